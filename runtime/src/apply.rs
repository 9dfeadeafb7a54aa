//! The executor stage of one replica in one group: applies committed batches, serves reads at the
//! slots they wait for, makes and restores snapshots, collects answers for clients.

use std::collections::BTreeMap;

use bytes::BytesMut;
use quorate_mq::{Sender, TrySendError};
use quorate_smr::auth::Authenticator;
use quorate_smr::executor::ReplySink;
use quorate_smr::session::ReplyStatus;
use quorate_smr::{ClientId, Executor, Protocol, RequestSeq, Slot, StateMachine};

use crate::answer;
use crate::journal::Snapshot;
use crate::message::{Apply, Hand, Notice, Query};
use crate::ports::Identity;
use crate::report::ExecutorReport;
use crate::shared::{Addressee, Registry};

pub(crate) struct ExecutorStage<P: Protocol, S> {
    pub(crate) identity: Identity<P>,
    pub(crate) incarnation: u64,
    executor: Option<Box<Executor<S>>>,
    /// Queries by the slot that they wait for.
    reads: BTreeMap<Slot, Vec<Query>>,
    wanted_snapshots: Vec<Slot>,
    answers: Answers,
    history_from: Slot,
    batches: u64,
    snapshots: u64,
    scratch: Vec<u8>,
}

impl<P: Protocol, S: StateMachine> ExecutorStage<P, S> {
    pub(crate) fn new(identity: Identity<P>) -> Self {
        Self {
            identity,
            incarnation: 0,
            executor: None,
            reads: BTreeMap::new(),
            wanted_snapshots: Vec::new(),
            answers: Answers::default(),
            history_from: Slot::ZERO,
            batches: 0,
            snapshots: 0,
            scratch: Vec::new(),
        }
    }

    pub(crate) fn start(&mut self, incarnation: u64, executor: Box<Executor<S>>) {
        self.incarnation = incarnation;
        self.history_from = executor.applied();
        self.batches = 0;
        self.executor = Some(executor);
    }

    pub(crate) fn crash(&mut self) {
        self.incarnation = 0;
        self.executor = None;
        self.reads.clear();
        self.wanted_snapshots.clear();
        self.answers = Answers::default();
    }

    /// Does `work` in order; what the protocol stage must hear goes to `hands`.
    pub(crate) fn run(&mut self, work: impl Iterator<Item = Apply>, hands: &mut Vec<Hand<P>>) {
        let mut applied = 0;
        for step in work {
            let done = match step {
                Apply::Commit { slot, batch, answer } => {
                    applied += 1;
                    self.commit(slot, &batch, answer, hands)
                }
                Apply::Read { slot, queries } => {
                    self.reads.entry(slot).or_default().extend(queries);
                    self.serve_reads();
                    Ok(())
                }
                Apply::TakeSnapshot { slot } => {
                    self.wanted_snapshots.push(slot);
                    self.take_snapshots(hands);
                    Ok(())
                }
                Apply::Restore { snapshot } => self.restore(&snapshot, hands),
            };
            if let Err(reason) = done {
                self.crash();
                hands.push(Hand::ExecutorFailed(reason));
                return;
            }
        }
        hands.push(Hand::Applied(applied));
    }

    #[inline]
    fn commit(
        &mut self,
        slot: Slot,
        batch: &quorate_smr::Batch,
        answer: bool,
        hands: &mut Vec<Hand<P>>,
    ) -> Result<(), String> {
        let Some(executor) = &mut self.executor else { return Ok(()) };
        let applied = if answer {
            executor.apply(slot, batch, &mut self.answers)
        } else {
            executor.apply(slot, batch, &mut |_, _, _, _: &[u8]| ())
        };
        applied.map_err(|error| error.to_string())?;
        self.batches += 1;
        if !self.reads.is_empty() {
            self.serve_reads();
        }
        if !self.wanted_snapshots.is_empty() {
            self.take_snapshots(hands);
        }
        Ok(())
    }

    fn serve_reads(&mut self) {
        let Some(executor) = &self.executor else { return };
        while let Some(due) = self.reads.first_entry()
            && *due.key() <= executor.applied()
        {
            for query in due.remove() {
                self.scratch.clear();
                executor.query(&query.query, &mut self.scratch);
                let (client, seq) = (query.client, query.seq);
                self.answers.reply(client, seq, ReplyStatus::Applied, &self.scratch);
            }
        }
    }

    fn take_snapshots(&mut self, hands: &mut Vec<Hand<P>>) {
        let Some(executor) = &self.executor else { return };
        let applied = executor.applied();
        if self.wanted_snapshots.contains(&applied) {
            let (meta, image) = executor.snapshot();
            self.snapshots += 1;
            hands.push(Hand::SnapshotTaken(Snapshot { meta, image: image.into() }));
        }
        self.wanted_snapshots.retain(|slot| *slot > applied);
    }

    fn restore(&mut self, snapshot: &Snapshot, hands: &mut Vec<Hand<P>>) -> Result<(), String> {
        let Some(executor) = &mut self.executor else { return Ok(()) };
        let meta = executor.restore(&snapshot.image).map_err(|error| error.to_string())?;
        self.history_from = meta.slot;
        hands.push(Hand::SnapshotInstalled(meta.slot));
        self.serve_reads();
        Ok(())
    }

    /// Hands the collected answers to their clients.
    pub(crate) fn flush(&mut self, registry: &Registry) {
        if !self.answers.touched.is_empty() || !self.answers.opened.is_empty() {
            self.answers.flush(&self.identity, registry);
        }
    }

    pub(crate) fn report(&self, with_digest: bool) -> Option<ExecutorReport> {
        let executor = self.executor.as_ref()?;
        Some(ExecutorReport {
            applied: executor.applied(),
            digest: with_digest.then(|| executor.state_digest()),
            history: executor.history(),
            history_from: self.history_from,
            commands: executor.commands(),
            batches: self.batches,
            answers: self.answers.count,
            answer_messages: self.answers.messages,
            answers_dropped: self.answers.dropped,
            snapshots: self.snapshots,
        })
    }
}

/// The answers to one client that have not left yet.
#[derive(Debug)]
struct Open {
    client: ClientId,
    bytes: BytesMut,
    count: u64,
    sender: Option<Sender<Notice>>,
}

/// Collects answers, one buffer for each client.
#[derive(Debug, Default)]
struct Answers {
    open: Vec<Open>,
    index: BTreeMap<ClientId, usize>,
    /// The client answered last: answers to one client come in runs.
    last: usize,
    /// Places in `open` that hold answers.
    touched: Vec<usize>,
    opened: Vec<(RequestSeq, ClientId)>,
    count: u64,
    messages: u64,
    dropped: u64,
}

impl ReplySink for Answers {
    #[inline]
    fn reply(&mut self, client: ClientId, seq: RequestSeq, status: ReplyStatus, payload: &[u8]) {
        if client == ClientId::NONE {
            if let Ok(opened) = <[u8; 8]>::try_from(payload) {
                self.opened.push((seq, ClientId(u64::from_le_bytes(opened))));
            }
            return;
        }
        let place = self.place(client);
        let open = &mut self.open[place];
        if open.count == 0 {
            self.touched.push(place);
        }
        open.count += 1;
        answer::push(&mut open.bytes, seq, status, payload);
    }
}

impl Answers {
    #[inline]
    fn place(&mut self, client: ClientId) -> usize {
        if self.open.get(self.last).is_some_and(|open| open.client == client) {
            return self.last;
        }
        self.last = *self.index.entry(client).or_insert_with(|| {
            self.open.push(Open { client, bytes: BytesMut::new(), count: 0, sender: None });
            self.open.len() - 1
        });
        self.last
    }

    fn flush<P: Protocol>(&mut self, identity: &Identity<P>, registry: &Registry) {
        for (nonce, client) in self.opened.drain(..) {
            self.count += 1;
            if let Some(sender) = registry.find(Addressee::Opening(nonce)) {
                let _ = sender.try_send(Notice::Opened { nonce, client });
            }
        }
        let mut gone = false;
        let mut touched = std::mem::take(&mut self.touched);
        for place in touched.drain(..) {
            let open = &mut self.open[place];
            let count = std::mem::take(&mut open.count);
            self.count += count;
            self.messages += 1;
            if !open.send(identity, registry) {
                self.dropped += count;
                gone |= open.sender.is_none();
            }
        }
        self.touched = touched;
        if gone {
            self.forget_strangers();
        }
    }

    /// Forgets clients that cannot be reached, so that buffers do not pile up.
    fn forget_strangers(&mut self) {
        self.open.retain(|open| open.sender.is_some());
        let places = self.open.iter().enumerate();
        self.index = places.map(|(place, open)| (open.client, place)).collect();
        self.last = 0;
    }
}

impl Open {
    /// Sends what was collected; false when nobody takes it.
    fn send<P: Protocol>(&mut self, identity: &Identity<P>, registry: &Registry) -> bool {
        let bytes = self.bytes.split().freeze();
        if self.sender.is_none() {
            self.sender = registry.find(Addressee::Session(identity.group, self.client));
        }
        let Some(sender) = &self.sender else { return false };
        let (from, group, client) = (identity.replica, identity.group, self.client);
        let tag = identity.auth.tag_reply(client, &bytes);
        match sender.try_send(Notice::Answers { from, group, client, bytes, tag }) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => false,
            Err(TrySendError::Closed(_)) => {
                self.sender = None;
                false
            }
        }
    }
}

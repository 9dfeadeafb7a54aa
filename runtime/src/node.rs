//! The protocol stage of one replica in one group: it feeds the pure protocol and carries out what
//! it asks for.
//!
//! What always holds: effects are carried out in order; every message passes the [`Gate`], so that
//! nothing that must be remembered becomes visible before it is durable; a replica that is crashed
//! or has failed says nothing. Durable steps and committed batches are collected here, and the
//! worker hands them on once a round: that is the group commit.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_smr::auth::Authenticator;
use quorate_smr::{
    Admin, Batch, ClientId, Command, Effect, Effects, Gate, Input, Lsn, Protocol, ReadId, Reason,
    Refused, RequestSeq, Role, Slot, Time, wire,
};

use crate::chunk::Chunk;
use crate::intake::Intake;
use crate::journal::Snapshot;
use crate::message::{Apply, Hand, PeerBody, PeerMessage, ProtocolView, Query, Step, describe};
use crate::ports::{Identity, Ports};
use crate::report::ProtocolCounters;

/// Reads that wait for the protocol's word, each for many queries.
const READS_PENDING_MAX: usize = 1024;
/// Queries that wait to be asked for.
const QUERIES_WAITING_MAX: usize = 65_536;
/// Batches proposed before what they cause is handled: what is in flight between the replicas of
/// one thread stays in the fastest cache.
const PROPOSALS_PER_TURN: usize = 64;
/// Pieces of work that an executor on another worker may have at a time.
const APPLIES_HANDED_MAX: usize = 4;
/// Snapshots of peers kept until the protocol decides about them.
const SNAPSHOTS_ARRIVED_MAX: usize = 2;
/// Snapshots of our own kept for peers that are behind.
const SNAPSHOTS_HELD_MAX: usize = 4;

type EffectsOf<P> = Effects<<P as Protocol>::Message, <P as Protocol>::Record>;

/// What a crash forgets.
struct Running<P: Protocol> {
    protocol: Box<P>,
    gate: Gate<P::Message>,
    role: Role,
    intake: Intake,
    queries: Vec<Query>,
    reads: BTreeMap<ReadId, (Time, Vec<Query>)>,
    next_read: u64,
    steps: Vec<Step<P::Record>>,
    /// A journal on another worker has steps of ours.
    writing: bool,
    applies: Vec<Apply>,
    /// Pieces of work that the executor has not reported as done.
    applying: usize,
    /// Batches handed to the executor and not applied, and those in `applies`.
    unapplied: usize,
    snapshots: BTreeMap<Slot, Snapshot>,
    arrived: BTreeMap<Slot, Snapshot>,
    admin_answer: Option<Reason>,
}

pub(crate) struct ProtocolStage<P: Protocol> {
    pub(crate) identity: Identity<P>,
    pub(crate) incarnation: u64,
    running: Option<Running<P>>,
    make_intake: Box<dyn Fn() -> Intake + Send>,
    retry_after: Duration,
    unapplied_max: usize,
    failure: Option<String>,
    counters: ProtocolCounters,
    /// Inputs came since the worker last settled this stage.
    pub(crate) dirty: bool,
}

impl<P: Protocol> ProtocolStage<P> {
    pub(crate) fn new(
        identity: Identity<P>,
        make_intake: Box<dyn Fn() -> Intake + Send>,
        retry_after: Duration,
        unapplied_max: usize,
    ) -> Self {
        Self {
            identity,
            incarnation: 0,
            running: None,
            make_intake,
            retry_after,
            unapplied_max,
            failure: None,
            counters: ProtocolCounters::default(),
            dirty: false,
        }
    }

    pub(crate) fn start(&mut self, incarnation: u64, protocol: Box<P>, snapshot: Option<Snapshot>) {
        self.incarnation = incarnation;
        self.failure = None;
        self.running = Some(Running {
            role: protocol.status().role,
            protocol,
            gate: Gate::new(),
            intake: (self.make_intake)(),
            queries: Vec::new(),
            reads: BTreeMap::new(),
            next_read: 0,
            steps: Vec::new(),
            writing: false,
            applies: Vec::new(),
            applying: 0,
            unapplied: 0,
            snapshots: snapshot
                .map(|snapshot| (snapshot.meta.slot, snapshot))
                .into_iter()
                .collect(),
            arrived: BTreeMap::new(),
            admin_answer: None,
        });
    }

    pub(crate) fn crash(&mut self) {
        self.running = None;
        self.incarnation = 0;
    }

    /// The replica stops by itself: it could not keep its promises any more.
    pub(crate) fn fail(&mut self, reason: String) {
        self.crash();
        self.failure = Some(reason);
    }

    /// Takes a client's requests in; they are proposed when the stage is settled.
    pub(crate) fn offer(&mut self, chunk: Chunk, ports: &Ports<P>) {
        let Some(running) = &mut self.running else { return };
        if let Err(chunk) = running.intake.offer(chunk) {
            let first = chunk.next().0;
            let requests = (first..first + chunk.len() as u64).map(RequestSeq).collect();
            self.counters.refused += chunk.len() as u64;
            ports.refuse(&self.identity, chunk.client(), requests, Reason::Busy);
        }
    }

    /// Takes a query in; all that came by the time the stage is settled wait as one.
    pub(crate) fn query(&mut self, query: Query, ports: &Ports<P>) {
        let Some(running) = &mut self.running else { return };
        if running.queries.len() >= QUERIES_WAITING_MAX {
            ports.refuse(&self.identity, query.client, vec![query.seq], Reason::Busy);
        } else {
            running.queries.push(query);
        }
    }

    /// A peer's message: decode, verify, hand to the protocol.
    pub(crate) fn receive(
        &mut self,
        now: Time,
        message: PeerMessage<P>,
        effects: &mut EffectsOf<P>,
        ports: &mut Ports<P>,
    ) {
        let Some(running) = &mut self.running else { return };
        let from = message.from;
        let sealed = match message.body {
            PeerBody::Value(sealed) => sealed,
            PeerBody::Frame(frame) => match wire::decode(&frame, ports.shared.cluster) {
                Ok((header, sealed)) if header.from == from => sealed,
                _ => {
                    self.counters.messages_dropped += 1;
                    return;
                }
            },
        };
        let Ok(opened) = self.identity.auth.open(from, sealed) else {
            self.counters.auth_failures += 1;
            return;
        };
        self.counters.messages_received += 1;
        let input = match message.image {
            None => Input::Message { from, message: opened },
            Some(image) => {
                let Some(snapshot) = describe(image) else {
                    self.counters.auth_failures += 1;
                    return;
                };
                let meta = snapshot.meta;
                running.arrived.insert(meta.slot, snapshot);
                while running.arrived.len() > SNAPSHOTS_ARRIVED_MAX {
                    running.arrived.pop_first();
                }
                Input::SnapshotArrived { from, message: opened, snapshot: meta }
            }
        };
        self.feed(now, input, effects, ports);
    }

    /// Ticks the protocol when its deadline has come; true when it had.
    pub(crate) fn tick(
        &mut self,
        now: Time,
        effects: &mut EffectsOf<P>,
        ports: &mut Ports<P>,
    ) -> bool {
        let Some(running) = &mut self.running else { return false };
        let lingered = running.intake.deadline().is_some_and(|deadline| deadline <= now);
        self.dirty |= lingered;
        if running.protocol.deadline().is_none_or(|deadline| deadline > now) {
            return lingered;
        }
        self.feed(now, Input::Tick, effects, ports);
        true
    }

    /// When [`ProtocolStage::tick`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let running = self.running.as_ref()?;
        let deadlines = [running.protocol.deadline(), running.intake.deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// What another stage of this node says.
    pub(crate) fn hear(
        &mut self,
        now: Time,
        hand: Hand<P>,
        effects: &mut EffectsOf<P>,
        ports: &mut Ports<P>,
    ) {
        let Some(running) = &mut self.running else { return };
        match hand {
            Hand::Durable(upto) => {
                running.writing = false;
                self.durable(now, upto, effects, ports);
            }
            Hand::Applied(batches) => {
                running.unapplied -= batches;
                running.applying -= 1;
                self.dirty = true;
            }
            Hand::SnapshotTaken(snapshot) => {
                let meta = snapshot.meta;
                running.hold_snapshot(snapshot);
                self.feed(now, Input::SnapshotTaken { snapshot: meta }, effects, ports);
            }
            Hand::SnapshotInstalled(slot) => {
                self.feed(now, Input::SnapshotInstalled { slot }, effects, ports);
            }
            Hand::JournalFailed(error) => self.fail(error.to_string()),
            Hand::ExecutorFailed(reason) => self.fail(reason),
            Hand::Write(_) | Hand::Apply(_) => unreachable!("only other stages receive these"),
        }
    }

    /// Everything up to `upto` is durable: messages that waited for it leave.
    pub(crate) fn durable(
        &mut self,
        now: Time,
        upto: Lsn,
        effects: &mut EffectsOf<P>,
        ports: &mut Ports<P>,
    ) {
        let Some(running) = &mut self.running else { return };
        running.gate.durable_upto(upto);
        while let Some(message) = running.gate.release() {
            ports.transmit(&self.identity, message, None, &mut self.counters);
        }
        self.feed(now, Input::Durable { upto }, effects, ports);
    }

    /// An operator's request: its answer is what the protocol says at once.
    pub(crate) fn admin(
        &mut self,
        now: Time,
        admin: Admin,
        effects: &mut EffectsOf<P>,
        ports: &mut Ports<P>,
    ) -> Result<(), Reason> {
        self.feed(now, Input::Admin(admin), effects, ports);
        match &mut self.running {
            None => Err(Reason::NotLeader { leader: None }),
            Some(running) => running.admin_answer.take().map_or(Ok(()), Err),
        }
    }

    /// Proposes what waits and is due, and asks for the reads that wait.
    pub(crate) fn propose(&mut self, now: Time, effects: &mut EffectsOf<P>, ports: &mut Ports<P>) {
        let Some(running) = &mut self.running else { return };
        let patience = self.retry_after * 2;
        if running.intake.stuck_since().is_some_and(|since| now.since(since) > patience) {
            running.intake.forget_in_flight();
        }
        if let Some(batch) = running.intake.take_returned() {
            self.feed(now, Input::Propose { batch }, effects, ports);
        }
        for _ in 0..PROPOSALS_PER_TURN {
            let Some(running) = &mut self.running else { return };
            let auth = &self.identity.auth;
            let admit = |command: &Command<'_>| auth.admit(command).is_ok();
            let Some(batch) = running.intake.next(now, admit, &mut self.counters) else { break };
            self.feed(now, Input::Propose { batch }, effects, ports);
        }
        self.ask_reads(now, effects, ports);
    }

    fn ask_reads(&mut self, now: Time, effects: &mut EffectsOf<P>, ports: &mut Ports<P>) {
        let Some(running) = &mut self.running else { return };
        let patience = self.retry_after * 2;
        // The oldest come first; what the protocol lost, clients ask again.
        while let Some(oldest) = running.reads.first_entry()
            && now.since(oldest.get().0) > patience
        {
            oldest.remove();
        }
        if running.queries.is_empty() || running.reads.len() >= READS_PENDING_MAX {
            return;
        }
        let queries = std::mem::take(&mut running.queries);
        let id = ReadId(running.next_read);
        running.next_read += 1;
        self.counters.reads += 1;
        self.counters.queries += queries.len() as u64;
        running.reads.insert(id, (now, queries));
        self.feed(now, Input::Read { id }, effects, ports);
    }

    fn feed(
        &mut self,
        now: Time,
        input: Input<P::Message>,
        effects: &mut EffectsOf<P>,
        ports: &mut Ports<P>,
    ) {
        let Some(running) = &mut self.running else { return };
        self.dirty = true;
        running.protocol.handle(now, input, effects);
        for effect in effects.drain() {
            running.carry_out(now, effect, &self.identity, &mut self.counters, ports);
        }
    }

    /// Durable steps that wait to be written. At most one write is handed to a journal on another
    /// worker; what comes meanwhile leaves with the next one.
    pub(crate) fn take_steps(&mut self, is_local: bool) -> Option<&mut Vec<Step<P::Record>>> {
        let running = self.running.as_mut()?;
        if running.steps.is_empty() || running.writing {
            return None;
        }
        running.writing = !is_local;
        Some(&mut running.steps)
    }

    /// Work that waits for the executor; little of it is handed to another worker at a time.
    pub(crate) fn take_applies(&mut self) -> Option<&mut Vec<Apply>> {
        let running = self.running.as_mut()?;
        if running.applies.is_empty() || running.applying >= APPLIES_HANDED_MAX {
            return None;
        }
        running.applying += 1;
        Some(&mut running.applies)
    }

    /// Whether the executor is so far behind that no more input should be taken.
    pub(crate) fn is_behind(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.unapplied > self.unapplied_max)
    }

    pub(crate) fn view(&self) -> ProtocolView {
        let running = self.running.as_ref();
        ProtocolView {
            node: self.identity.node,
            status: running.map(|running| running.protocol.status()),
            failure: self.failure.clone(),
            waiting: running.map_or(0, Running::waiting),
            counters: self.counters,
        }
    }
}

impl<P: Protocol> Running<P> {
    fn waiting(&self) -> usize {
        let in_flight = if self.role == Role::Leader { self.intake.in_flight() } else { 0 };
        self.intake.waiting() + in_flight + self.unapplied + self.queries.len() + self.reads.len()
    }

    #[inline]
    fn carry_out(
        &mut self,
        now: Time,
        effect: Effect<P::Message, P::Record>,
        identity: &Identity<P>,
        counters: &mut ProtocolCounters,
        ports: &mut Ports<P>,
    ) {
        match effect {
            Effect::Send { to, message, release } => {
                if let Some(message) = self.gate.offer(to, message, release) {
                    ports.transmit(identity, message, None, counters);
                }
            }
            Effect::Append { record } => {
                self.gate.step();
                self.steps.push(Step::Append(record));
            }
            Effect::Commit { slot, batch } => {
                if !self.intake.decided(&batch, now) && self.role != Role::Leader {
                    self.intake.decided_elsewhere(&batch, now);
                }
                let answer = identity.all_answer || self.role == Role::Leader;
                self.unapplied += 1;
                self.applies.push(Apply::Commit { slot, batch, answer });
            }
            Effect::ReadReady { id, slot } => {
                if let Some((_, queries)) = self.reads.remove(&id) {
                    self.applies.push(Apply::Read { slot, queries });
                }
            }
            Effect::Refused { request, reason } => {
                self.refuse(request, reason, identity, counters, ports);
            }
            Effect::RoleChanged { role, .. } => {
                if role != self.role {
                    self.role = role;
                    self.intake.forget_in_flight();
                }
            }
            Effect::TakeSnapshot { slot } => self.applies.push(Apply::TakeSnapshot { slot }),
            snapshots => self.carry_out_snapshot(snapshots, identity, counters, ports),
        }
    }

    fn carry_out_snapshot(
        &mut self,
        effect: Effect<P::Message, P::Record>,
        identity: &Identity<P>,
        counters: &mut ProtocolCounters,
        ports: &mut Ports<P>,
    ) {
        match effect {
            Effect::SendSnapshot { to, slot, message } => {
                let snapshot = self.snapshots.get(&slot);
                let image = &snapshot.expect("a protocol sends only snapshots that it has").image;
                let to = quorate_smr::To::One(to);
                ports.transmit(identity, (to, message), Some(image), counters);
            }
            Effect::Compact { slot, records } => {
                self.gate.step();
                self.snapshots.retain(|held, _| *held >= slot);
                let snapshot = self.snapshots.get(&slot).cloned();
                let snapshot = snapshot.expect("a protocol compacts to a snapshot that was taken");
                self.steps.push(Step::Replace(snapshot, records));
            }
            Effect::InstallSnapshot { snapshot: meta, records } => {
                self.gate.step();
                let arrived = self.arrived.remove(&meta.slot).filter(|held| held.meta == meta);
                let snapshot = arrived.expect("a protocol installs a snapshot that arrived");
                self.arrived.retain(|slot, _| *slot > meta.slot);
                self.snapshots.clear();
                self.snapshots.insert(meta.slot, snapshot.clone());
                self.steps.push(Step::Replace(snapshot.clone(), records));
                self.applies.push(Apply::Restore { snapshot });
            }
            other => unreachable!("not about snapshots: {other:?}"),
        }
    }

    fn hold_snapshot(&mut self, snapshot: Snapshot) {
        self.snapshots.insert(snapshot.meta.slot, snapshot);
        while self.snapshots.len() > SNAPSHOTS_HELD_MAX {
            self.snapshots.pop_first();
        }
    }

    fn refuse(
        &mut self,
        request: Refused,
        reason: Reason,
        identity: &Identity<P>,
        counters: &mut ProtocolCounters,
        ports: &Ports<P>,
    ) {
        match request {
            Refused::Proposal(batch) => {
                let again = reason == Reason::Busy;
                self.intake.refused(&batch, again);
                if !again {
                    counters.refused += batch.count() as u64;
                    refuse_requests(&batch, reason, identity, ports);
                }
            }
            Refused::Read(id) => {
                let queries = self.reads.remove(&id).map_or_else(Vec::new, |(_, queries)| queries);
                counters.refused += queries.len() as u64;
                for query in queries {
                    ports.refuse(identity, query.client, vec![query.seq], reason);
                }
            }
            Refused::Admin(_) => self.admin_answer = Some(reason),
        }
    }
}

/// Tells each client of a refused batch which of its requests were in it.
fn refuse_requests<P: Protocol>(
    batch: &Batch,
    reason: Reason,
    identity: &Identity<P>,
    ports: &Ports<P>,
) {
    let mut scratch = Vec::new();
    let Ok(body) = batch.body(&mut scratch) else { return };
    let mut requests: BTreeMap<ClientId, Vec<RequestSeq>> = BTreeMap::new();
    for command in body.commands() {
        requests.entry(command.client).or_default().push(command.seq);
    }
    for (client, requests) in requests {
        ports.refuse(identity, client, requests, reason);
    }
}

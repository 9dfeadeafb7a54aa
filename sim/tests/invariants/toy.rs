//! A toy protocol for the harness's own tests: replica 0 always leads and the others store what it
//! says. Correct as it stands (it waits for a majority, and for its disk), with a mistake for each
//! invariant that the simulator checks.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_sim::Inspect;
use quorate_sim::dice::Dice;
use quorate_sim::inspect::{Entry, Value};
use quorate_smr::batch::{BatchBuilder, Command};
use quorate_smr::{
    Batch, ClientId, Digest, Effect, Effects, Input, JournalCursor, Protocol, Reads, Reason,
    RecoverError, Recovered, Refused, ReplicaId, RequestSeq, Role, Setup, Slot, Status, Time, To,
    Trusted,
};
use serde::{Deserialize, Serialize};

/// The mistakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mistake {
    /// Backups acknowledge what they do not write down.
    ForgetsWhatItStored,
    /// The leader commits at once, without its disk and without the others.
    CommitsAlone,
    /// A backup commits something else now and then.
    CommitsAnother,
    /// Backups answer reads from what they happen to have.
    ReadsStale,
    /// More is held than allowed.
    Hoards,
    /// Nothing happens any more after a while.
    FallsSilent,
    /// Backups are never told the end.
    LeavesOneBehind,
    /// An assertion fails.
    Panics,
    /// The deadline never passes.
    TicksForever,
    /// Backups believe that they lead.
    TwoLeaders,
    /// The leader makes up a command.
    Invents,
    /// A slot is committed twice.
    CommitsTwice,
    /// A snapshot is wanted where none can be taken.
    SnapshotInThePast,
    /// The leader stores two batches in one slot.
    WritesTwoEntries,
    /// A replica does not start from its own journal.
    RefusesItsJournal,
    /// Commits are taken back.
    TakesBack,
    /// A backup takes a batch although it promised not to.
    BreaksItsPromise,
    /// A backup stores one batch and then another one, for the same slot and epoch.
    SaysTwoThings,
    /// Replicas vouch for different states.
    VouchesForAnother,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ToyConfig {
    pub(crate) mistake: Option<Mistake>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum ToyMessage {
    Store {
        slot: Slot,
        started: Time,
        batch: Batch,
        committed: Slot,
    },
    Stored {
        upto: Slot,
    },
    Committed {
        upto: Slot,
    },
    /// What the sender's state was at a slot.
    Vouched {
        slot: Slot,
        digest: Digest,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct ToyRecord {
    slot: Slot,
    /// When the leader that filled the slot started: tells its incarnations apart.
    started: Time,
    batch: Batch,
    /// Promised, and accepted under.
    ballot: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Toy {
    setup: Setup<ToyConfig>,
    cursor: JournalCursor,
    /// Slots recovered: durable before this incarnation began.
    recovered: u64,
    log: Vec<(Time, Batch)>,
    started: Time,
    committed: Slot,
    stored: BTreeMap<ReplicaId, Slot>,
    next_tick: Time,
}

type Out = Effects<ToyMessage, ToyRecord>;
const LEADER: ReplicaId = ReplicaId(0);
const BEAT: Duration = Duration::from_millis(20);

impl Toy {
    fn has(&self, mistake: Mistake) -> bool {
        self.setup.config.mistake == Some(mistake)
    }

    fn leads(&self) -> bool {
        self.setup.replica == LEADER
    }

    fn last(&self) -> Slot {
        Slot(self.log.len() as u64)
    }

    fn append(&mut self, started: Time, batch: Batch, out: &mut Out) {
        self.log.push((started, batch.clone()));
        let slot = self.last();
        if self.has(Mistake::ForgetsWhatItStored) && !self.leads() {
            return;
        }
        if self.has(Mistake::WritesTwoEntries) && slot.0.is_multiple_of(9) && !self.leads() {
            let batch = Batch::empty(self.setup.group);
            self.cursor.append(ToyRecord { slot, started, batch, ballot: 1 }, out);
            return;
        }
        let unfaithful = self.has(Mistake::BreaksItsPromise) && slot.0 == 9 && !self.leads();
        let ballot = u64::from(!unfaithful);
        self.cursor.append(ToyRecord { slot, started, batch, ballot }, out);
        if self.has(Mistake::SaysTwoThings) && slot.0 == 9 && !self.leads() {
            let (started, batch) = (started.after(BEAT), Batch::empty(self.setup.group));
            self.cursor.append(ToyRecord { slot, started, batch, ballot: 1 }, out);
        }
    }

    fn send_store(&self, to: To, slot: Slot, out: &mut Out) {
        let (started, batch) = self.log[slot.0 as usize - 1].clone();
        // After the disk: a slot that a crash loses is used again, and nobody may have heard of it.
        out.send(to, ToyMessage::Store { slot, started, batch, committed: self.committed });
    }

    fn commit_upto(&mut self, upto: Slot, out: &mut Out) {
        while self.committed < upto.min(self.last()) {
            self.committed = self.committed.next();
            let slot = self.committed;
            let mut batch = self.log[slot.0 as usize - 1].1.clone();
            if self.has(Mistake::CommitsAnother) && !self.leads() && slot.0.is_multiple_of(7) {
                batch = Batch::empty(self.setup.group);
            }
            assert!(!(self.has(Mistake::Panics) && slot.0 == 10), "the toy breaks at slot 10");
            out.commit(slot, batch.clone());
            if self.has(Mistake::CommitsTwice) && slot.0 == 10 {
                out.commit(slot, batch);
            }
            if slot.0 == 10 {
                let other = self.has(Mistake::VouchesForAnother);
                let digest = Digest::of(&[if other { self.setup.replica.0 } else { 0 }]);
                out.send(To::Others, ToyMessage::Vouched { slot, digest });
            }
            if self.has(Mistake::SnapshotInThePast) && slot.0 == 10 {
                out.push(Effect::TakeSnapshot { slot: Slot(3) });
            }
        }
    }

    /// Commits what a majority has on disk.
    fn count(&mut self, out: &mut Out) {
        if !self.leads() {
            return;
        }
        let own = Slot((self.recovered + self.cursor.durable().0).min(self.last().0));
        let mut all: Vec<_> = self.stored.values().copied().chain([own]).collect();
        all.resize(self.setup.members.len(), Slot::ZERO);
        all.sort_unstable_by(|left, right| right.cmp(left));
        let majority = all[self.setup.members.len() / 2];
        if self.committed < majority {
            self.commit_upto(majority, out);
            if !self.has(Mistake::LeavesOneBehind) {
                out.send_immediately(To::Others, ToyMessage::Committed { upto: self.committed });
            }
        }
    }

    fn propose(&mut self, batch: Batch, out: &mut Out) {
        if !self.leads() {
            let reason = Reason::NotLeader { leader: Some(LEADER) };
            return out.refuse(Refused::Proposal(batch), reason);
        }
        if self.has(Mistake::FallsSilent) && self.last().0 > 20 {
            return;
        }
        let batch =
            if self.has(Mistake::Invents) && self.last().0 == 9 { invented() } else { batch };
        self.append(self.started, batch, out);
        self.send_store(To::Others, self.last(), out);
        if self.has(Mistake::CommitsAlone) {
            self.commit_upto(self.last(), out);
        }
    }

    fn store(&mut self, slot: Slot, entry: (Time, Batch), committed: Slot, out: &mut Out) {
        if slot == self.last().next() {
            self.append(entry.0, entry.1, out);
        }
        self.commit_upto(committed, out);
        out.send(To::One(LEADER), ToyMessage::Stored { upto: self.last() });
    }

    fn beat(&mut self, now: Time, out: &mut Out) {
        self.next_tick = now.after(BEAT);
        if self.has(Mistake::TakesBack) && self.committed.0 > 10 {
            self.committed = Slot(9);
        }
        if !self.leads() {
            return;
        }
        for (peer, stored) in &self.stored {
            let to = To::One(*peer);
            for slot in (stored.0 + 1..=self.last().0).take(64) {
                self.send_store(to, Slot(slot), out);
            }
            let behind = self.has(Mistake::LeavesOneBehind) && peer.0 == 1;
            if !behind {
                out.send_immediately(to, ToyMessage::Committed { upto: self.committed });
            }
        }
    }
}

/// A command that nobody sent.
fn invented() -> Batch {
    let mut builder = BatchBuilder::new(quorate_smr::GroupId(0));
    let (client, seq) = (ClientId(777), RequestSeq(1));
    builder
        .push(&Command { client, seq, payload: b"made up", auth: &[] })
        .expect("one small command fits");
    builder.seal(None)
}

impl Protocol for Toy {
    type Config = ToyConfig;
    type Message = ToyMessage;
    type Record = ToyRecord;
    type Auth = Trusted;

    const NAME: &'static str = "toy";
    const READS: Reads = Reads::Indexed;

    fn replicas_for(faults: usize) -> usize {
        2 * faults + 1
    }

    fn reply_quorum(_replicas: usize) -> usize {
        1
    }

    fn authenticator(_setup: &Setup<ToyConfig>) -> Result<Trusted, RecoverError> {
        Ok(Trusted)
    }

    fn recover(
        setup: Setup<ToyConfig>,
        recovered: Recovered<ToyRecord>,
        now: Time,
    ) -> Result<Self, RecoverError> {
        if setup.config.mistake == Some(Mistake::RefusesItsJournal) && recovered.records.len() > 5 {
            return Err(RecoverError::Journal("more than five records".into()));
        }
        let log: Vec<_> = recovered.records.into_iter().map(|it| (it.started, it.batch)).collect();
        let stored = setup.peers().iter().map(|peer| (peer, Slot::ZERO)).collect();
        Ok(Self {
            setup,
            cursor: JournalCursor::default(),
            recovered: log.len() as u64,
            log,
            started: now,
            committed: Slot::ZERO,
            stored,
            next_tick: now.after(BEAT),
        })
    }

    fn handle(&mut self, now: Time, input: Input<ToyMessage>, out: &mut Out) {
        match input {
            Input::Tick => self.beat(now, out),
            Input::Propose { batch } => self.propose(batch, out),
            Input::Durable { upto } => {
                self.cursor.durable_upto(upto);
                self.count(out);
            }
            Input::Message { from, message } => match message {
                ToyMessage::Store { slot, started, batch, committed } => {
                    self.store(slot, (started, batch), committed, out);
                }
                ToyMessage::Stored { upto } => {
                    let stored = self.stored.entry(from).or_default();
                    *stored = (*stored).max(upto);
                    self.count(out);
                }
                ToyMessage::Committed { upto } => self.commit_upto(upto, out),
                ToyMessage::Vouched { .. } => {}
            },
            Input::Read { id } => {
                // The sole leader's commits are complete once all that it recovered is committed.
                let complete = self.leads() && self.committed.0 >= self.recovered;
                if complete || self.has(Mistake::ReadsStale) {
                    out.push(Effect::ReadReady { id, slot: self.committed });
                } else {
                    let reason = Reason::NotLeader { leader: Some(LEADER) };
                    out.refuse(Refused::Read(id), reason);
                }
            }
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Time> {
        if self.has(Mistake::TicksForever) { Some(Time::ZERO) } else { Some(self.next_tick) }
    }

    fn status(&self) -> Status {
        let leads = self.leads() || self.has(Mistake::TwoLeaders);
        Status {
            replica: self.setup.replica,
            role: if leads { Role::Leader } else { Role::Follower },
            epoch: 1,
            leader: Some(LEADER),
            base: Slot::ZERO,
            committed: self.committed,
            last: self.last(),
            held_bytes: if self.has(Mistake::Hoards) { self.log.len() << 16 } else { 0 },
            held_bytes_max: 1 << 20,
        }
    }

    fn retry_after(_config: &ToyConfig) -> Duration {
        Duration::from_millis(200)
    }
}

impl Inspect for Toy {
    /// How much a replica said that it stored.
    type Memory = u64;

    const SOLE_LEADER: bool = true;
    const COMPLETE_LEADER: bool = false;
    const BYZANTINE: bool = false;

    fn draw_config(_dice: &mut Dice) -> ToyConfig {
        ToyConfig::default()
    }

    fn memory(&self) -> u64 {
        self.last().0
    }

    fn still_knows(told: &u64, now: &u64) -> Result<(), String> {
        if now < told { Err("what it stored".into()) } else { Ok(()) }
    }

    fn entries(record: &ToyRecord, note: &mut dyn FnMut(Entry)) {
        let value = Value::Batch(record.batch.clone());
        note(Entry { slot: record.slot, epoch: record.started.0, value });
    }

    fn said(record: &ToyRecord) -> Option<Entry> {
        let value = Value::Batch(record.batch.clone());
        Some(Entry { slot: record.slot, epoch: 1, value })
    }

    fn promises(record: &ToyRecord) -> Option<u64> {
        Some(record.ballot)
    }

    fn accepts(record: &ToyRecord) -> Option<u64> {
        Some(record.ballot)
    }

    fn checkpoint(message: &ToyMessage) -> Option<(Slot, Digest)> {
        let ToyMessage::Vouched { slot, digest } = message else { return None };
        Some((*slot, *digest))
    }

    fn log(&self) -> Option<BTreeMap<Slot, Batch>> {
        None
    }
}

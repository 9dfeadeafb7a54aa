//! Scripted traces: what the papers say, replayed message by message.

mod bad_input;
mod crashes;
#[cfg(feature = "planted-defects")]
mod defects;
mod leaders;
mod learners;
mod normal_case;
mod partial_connectivity;
mod phase_one;
mod random;
mod reads;
mod snapshots;

use quorate_paxos::{Ballot, Message, Paxos, PaxosConfig, Record};
use quorate_smr::testing::{Pump, plain_batch, replicas};
use quorate_smr::{
    Batch, Effect, Effects, GroupId, Input, Lsn, Protocol, ReadId, Recovered, ReplicaId, Seed,
    Setup, Slot, Time, To,
};

/// `count` fresh replicas with the default settings.
fn pump(count: usize) -> Pump<Paxos> {
    Pump::new(count, &PaxosConfig::default())
}

/// The replicas of `0..count` except `id`.
fn others(count: usize, id: ReplicaId) -> Vec<ReplicaId> {
    replicas(count).filter(|other| *other != id).collect()
}

fn r(id: u8) -> ReplicaId {
    ReplicaId(id)
}

fn batch(text: &str) -> Batch {
    plain_batch(GroupId(0), 1, &[text.as_bytes()])
}

fn ballot(round: u64, replica: u8) -> Ballot {
    Ballot { round, replica: r(replica) }
}

fn accept(ballot: Ballot, slot: u64, decided: u64, text: &str) -> Message {
    let round = ballot.round;
    Message::Accept { round, slot: Slot(slot), decided: Slot(decided), batch: batch(text) }
}

fn prepare(ballot: Ballot, from: u64) -> Message {
    Message::Prepare { ballot, from: Slot(from) }
}

/// One replica as a plain value, with a disk that is as fast as the test says. The other members
/// are the test itself.
struct Solo {
    replica: Paxos,
    config: PaxosConfig,
    now: Time,
    journal: Vec<Record>,
    waiting: Vec<Record>,
    appended: Lsn,
    disk_held: bool,
    effects: Effects<Message, Record>,
    /// Messages asked to leave at once, and those released by the disk, in order.
    sent: Vec<(To, Message)>,
    gated: Vec<(Lsn, To, Message)>,
    commits: Vec<(Slot, Batch)>,
    reads: Vec<(ReadId, Slot)>,
}

impl Solo {
    /// Replica 0 of `members`.
    fn new(members: usize, config: PaxosConfig) -> Self {
        let replica = Self::recover(members, &config, Vec::new());
        Self {
            replica,
            config,
            now: Time::ZERO,
            journal: Vec::new(),
            waiting: Vec::new(),
            appended: Lsn::ZERO,
            disk_held: false,
            effects: Effects::new(),
            sent: Vec::new(),
            gated: Vec::new(),
            commits: Vec::new(),
            reads: Vec::new(),
        }
    }

    fn recover(members: usize, config: &PaxosConfig, records: Vec<Record>) -> Paxos {
        let setup = Setup::new(r(0), members, Seed(3), config.clone());
        let recovered = Recovered { snapshot: None, records };
        Paxos::recover(setup, recovered, Time::ZERO).expect("a valid journal")
    }

    /// Loses all that is not durable.
    fn restart(&mut self, members: usize) {
        let journal = std::mem::take(&mut self.journal);
        let fresh = Self::new(members, self.config.clone());
        let replica = Self::recover(members, &self.config, journal.clone());
        *self = Self { replica, journal, now: self.now, ..fresh };
    }

    fn input(&mut self, input: Input<Message>) {
        let mut effects = std::mem::take(&mut self.effects);
        self.replica.handle(self.now, input, &mut effects);
        for effect in effects.drain() {
            match effect {
                Effect::Send { to, message, release } => {
                    if release == quorate_smr::Release::Immediate || self.waiting.is_empty() {
                        self.sent.push((to, message));
                    } else {
                        self.gated.push((self.appended, to, message));
                    }
                }
                Effect::Append { record } => {
                    self.appended = self.appended.next();
                    self.waiting.push(record);
                }
                Effect::Commit { slot, batch } => self.commits.push((slot, batch)),
                Effect::ReadReady { id, slot } => self.reads.push((id, slot)),
                _ => {}
            }
        }
        self.effects = effects;
        if !self.disk_held {
            self.sync();
        }
    }

    /// Makes everything durable.
    fn sync(&mut self) {
        self.disk_held = false;
        if self.waiting.is_empty() {
            return;
        }
        self.journal.append(&mut self.waiting);
        self.sent.extend(self.gated.drain(..).map(|(_, to, message)| (to, message)));
        let upto = self.appended;
        self.input(Input::Durable { upto });
    }

    /// Says `message` as `from` and returns what the replica sends in return.
    fn hear(&mut self, from: ReplicaId, message: Message) -> Vec<(To, Message)> {
        self.sent.clear();
        self.input(Input::Message { from, message });
        self.sent.clone()
    }

    /// Moves to the next deadline and ticks; what the replica sends.
    fn tick(&mut self) -> Vec<(To, Message)> {
        self.sent.clear();
        self.now = self.now.max(self.replica.deadline().expect("a replica always has a deadline"));
        self.input(Input::Tick);
        self.sent.clone()
    }

    /// Brings the replica to phase 1: a canvass that everybody answers with "no leader here".
    fn stand(&mut self, members: usize) -> Ballot {
        for _ in 0..4 {
            let canvass = self.tick().into_iter().find_map(|(_, message)| match message {
                Message::Canvass { canvass } => Some(canvass),
                _ => None,
            });
            let Some(canvass) = canvass else { continue };
            for peer in others(members, r(0)) {
                let promised = self.replica.promised();
                let decided = Slot::ZERO;
                let free = true;
                self.hear(peer, Message::Canvassed { canvass, free, promised, decided });
            }
            if let Some(ballot) = self.replica.ballot() {
                return ballot;
            }
        }
        panic!("no canvass in four deadlines");
    }

    /// What is accepted, as (slot, ballot, batch).
    fn accepted(&self) -> Vec<(u64, Ballot, Batch)> {
        let values = self.replica.accepted();
        values.map(|(slot, ballot, batch)| (slot.0, ballot, batch.clone())).collect()
    }
}

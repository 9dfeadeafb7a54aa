//! Replicas with their disks and a wire that a test reorders, loses and duplicates at will.
//!
//! Unlike [`quorate_smr::testing::Pump`] this starts from any journal, so that a trace can begin in
//! the situations of the paper's figures, and it checks figure 3 after every step: election safety,
//! log matching, leader completeness, and agreement on what is committed.

use std::collections::{BTreeMap, VecDeque};

use quorate_raft::{Message, Position, Raft, RaftConfig, Record, Term};
use quorate_smr::testing::plain_batch;
use quorate_smr::{
    Batch, Digest, Effect, Effects, Gate, GroupId, Input, Protocol, ReadId, Reason, Recovered,
    Refused, ReplicaId, ReplicaSet, Role, Seed, Setup, Slot, SnapshotMeta, Time, To,
};

pub(crate) fn r(id: u8) -> ReplicaId {
    ReplicaId(id)
}

pub(crate) fn at(slot: u64, term: u64) -> Position {
    Position { term: Term(term), slot: Slot(slot) }
}

/// A batch that differs for each number.
pub(crate) fn batch(number: u64) -> Batch {
    plain_batch(GroupId(0), number, &[&number.to_le_bytes()])
}

/// The records of a log with these terms, in a journal of a replica in `term`.
pub(crate) fn records(term: u64, terms: &[u64]) -> Vec<Record> {
    let vote = Record::Vote { term: Term(term), vote: None };
    let entry = |(index, term): (usize, &u64)| {
        let slot = Slot(index as u64 + 1);
        Record::Entry { slot, term: Term(*term), batch: batch(slot.0 * 1000 + term) }
    };
    std::iter::once(vote).chain(terms.iter().enumerate().map(entry)).collect()
}

#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) from: ReplicaId,
    pub(crate) to: ReplicaId,
    pub(crate) message: Message,
    pub(crate) snapshot: Option<SnapshotMeta>,
}

#[derive(Clone, Debug)]
enum Step {
    Append(Record),
    Replace(SnapshotMeta, Vec<Record>),
}

pub(crate) struct Node {
    pub(crate) setup: Setup<RaftConfig>,
    pub(crate) raft: Option<Raft>,
    gate: Gate<Message>,
    pub(crate) journal: Recovered<Record>,
    unsynced: VecDeque<Step>,
    pub(crate) disk_held: bool,
    /// Snapshots asked for and not yet reported as taken.
    pub(crate) wanted: VecDeque<Slot>,
    installing: VecDeque<Slot>,
    next_commit: Slot,
    pub(crate) reads: Vec<(ReadId, Slot)>,
    pub(crate) refused: Vec<(Refused, Reason)>,
}

pub(crate) struct Cluster {
    pub(crate) now: Time,
    pub(crate) nodes: Vec<Node>,
    pub(crate) wire: Vec<Letter>,
    /// What was committed anywhere.
    pub(crate) decided: BTreeMap<Slot, Batch>,
    /// Who led each term.
    pub(crate) leaders: BTreeMap<Term, ReplicaId>,
    /// What was decided when each read arrived.
    read_floor: BTreeMap<ReadId, Slot>,
    next_batch: u64,
    next_read: u64,
}

impl Cluster {
    pub(crate) fn new(replicas: usize, config: &RaftConfig) -> Self {
        Self::with_journals(vec![Vec::new(); replicas], config)
    }

    pub(crate) fn with_journals(journals: Vec<Vec<Record>>, config: &RaftConfig) -> Self {
        let replicas = journals.len();
        let node = |(index, records): (usize, Vec<Record>)| Node {
            setup: Setup::new(r(index as u8), replicas, Seed(11), config.clone()),
            raft: None,
            gate: Gate::new(),
            journal: Recovered { snapshot: None, records },
            unsynced: VecDeque::new(),
            disk_held: false,
            wanted: VecDeque::new(),
            installing: VecDeque::new(),
            next_commit: Slot(1),
            reads: Vec::new(),
            refused: Vec::new(),
        };
        let mut cluster = Self {
            now: Time::ZERO,
            nodes: journals.into_iter().enumerate().map(node).collect(),
            wire: Vec::new(),
            decided: BTreeMap::new(),
            leaders: BTreeMap::new(),
            read_floor: BTreeMap::new(),
            next_batch: 1,
            next_read: 1,
        };
        for id in 0..replicas {
            cluster.start(r(id as u8));
        }
        cluster
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = ReplicaId> + use<> {
        ReplicaSet::first(self.nodes.len()).iter()
    }

    pub(crate) fn raft(&self, id: ReplicaId) -> &Raft {
        self.nodes[usize::from(id.0)].raft.as_ref().expect("the replica is running")
    }

    pub(crate) fn node(&mut self, id: ReplicaId) -> &mut Node {
        &mut self.nodes[usize::from(id.0)]
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = &Raft> {
        self.nodes.iter().filter_map(|node| node.raft.as_ref())
    }

    /// The terms of the log of `id`.
    pub(crate) fn terms(&self, id: ReplicaId) -> Vec<u64> {
        self.raft(id).log_entries().map(|(_, term, _)| term.0).collect()
    }

    pub(crate) fn start(&mut self, id: ReplicaId) {
        let now = self.now;
        let node = self.node(id);
        let raft = Raft::recover(node.setup.clone(), node.journal.clone(), now);
        node.next_commit = node.journal.snapshot.map_or(Slot::ZERO, |meta| meta.slot).next();
        node.raft = Some(raft.expect("the journal recovers"));
    }

    /// Stops `id`; what was not durable is lost.
    pub(crate) fn crash(&mut self, id: ReplicaId) {
        let node = self.node(id);
        node.raft = None;
        node.gate = Gate::new();
        node.unsynced.clear();
        node.wanted.clear();
        node.installing.clear();
        node.disk_held = false;
    }

    pub(crate) fn input(&mut self, id: ReplicaId, input: Input<Message>) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let now = self.now;
            let Some(raft) = &mut self.node(id).raft else { return };
            let mut effects = Effects::new();
            raft.handle(now, input, &mut effects);
            for effect in effects.drain() {
                self.carry_out(id, effect);
            }
            let node = self.node(id);
            inputs.extend(node.installing.drain(..).map(|slot| Input::SnapshotInstalled { slot }));
            if !node.disk_held && !node.unsynced.is_empty() {
                inputs.push_back(self.write(id));
            }
        }
        self.check(id);
    }

    fn carry_out(&mut self, id: ReplicaId, effect: Effect<Message, Record>) {
        let node = &mut self.nodes[usize::from(id.0)];
        match effect {
            Effect::Send { to, message, release } => {
                if let Some((to, message)) = node.gate.offer(to, message, release) {
                    self.post(id, to, &message);
                }
            }
            Effect::SendSnapshot { to, slot, message } => {
                let snapshot = Some(SnapshotMeta { slot, digest: Digest::default(), bytes: 0 });
                self.wire.push(Letter { from: id, to, message, snapshot });
            }
            Effect::Append { record } => {
                node.gate.step();
                node.unsynced.push_back(Step::Append(record));
            }
            Effect::Compact { slot, records } => {
                node.gate.step();
                let snapshot = SnapshotMeta { slot, digest: Digest::default(), bytes: 0 };
                node.unsynced.push_back(Step::Replace(snapshot, records));
            }
            Effect::InstallSnapshot { snapshot, records } => {
                node.gate.step();
                assert!(snapshot.slot >= node.next_commit, "a snapshot never goes back");
                node.next_commit = snapshot.slot.next();
                node.unsynced.push_back(Step::Replace(snapshot, records));
                node.installing.push_back(snapshot.slot);
            }
            Effect::Commit { slot, batch } => {
                assert_eq!(slot, node.next_commit, "commits come in order, once");
                node.next_commit = slot.next();
                let first = self.decided.entry(slot).or_insert_with(|| batch.clone());
                assert_eq!(*first, batch, "{slot} was decided twice");
            }
            Effect::ReadReady { id: read, slot } => {
                let floor = self.read_floor[&read];
                assert!(slot >= floor, "read at {slot} misses what was decided: {floor}");
                node.reads.push((read, slot));
            }
            Effect::Refused { request, reason } => node.refused.push((request, reason)),
            Effect::TakeSnapshot { slot } => node.wanted.push_back(slot),
            Effect::RoleChanged { role, epoch, .. } => {
                if role == Role::Leader {
                    let first = *self.leaders.entry(Term(epoch)).or_insert(id);
                    assert_eq!(first, id, "election safety: two leaders of T{epoch}");
                    self.check_leader_completeness(id);
                }
            }
        }
    }

    fn post(&mut self, from: ReplicaId, to: To, message: &Message) {
        let members = ReplicaSet::first(self.nodes.len());
        for to in to.receivers(from, members).iter() {
            self.wire.push(Letter { from, to, message: message.clone(), snapshot: None });
        }
    }

    /// Makes everything that waits at the disk of `id` durable.
    pub(crate) fn sync(&mut self, id: ReplicaId) {
        self.node(id).disk_held = false;
        if !self.node(id).unsynced.is_empty() {
            let durable = self.write(id);
            self.input(id, durable);
        }
    }

    fn write(&mut self, id: ReplicaId) -> Input<Message> {
        let node = self.node(id);
        for step in node.unsynced.drain(..) {
            match step {
                Step::Append(record) => node.journal.records.push(record),
                Step::Replace(snapshot, records) => {
                    node.journal = Recovered { snapshot: Some(snapshot), records };
                }
            }
        }
        let upto = node.gate.appended();
        node.gate.durable_upto(upto);
        while let Some((to, message)) = self.node(id).gate.release() {
            self.post(id, to, &message);
        }
        Input::Durable { upto }
    }

    /// Reports the oldest snapshot that `id` asked for as taken.
    pub(crate) fn take_snapshot(&mut self, id: ReplicaId) {
        if let Some(slot) = self.node(id).wanted.pop_front() {
            let snapshot = SnapshotMeta { slot, digest: Digest::default(), bytes: 0 };
            self.input(id, Input::SnapshotTaken { snapshot });
        }
    }

    pub(crate) fn propose(&mut self, id: ReplicaId) -> Batch {
        let batch = batch(self.next_batch);
        self.next_batch += 1;
        self.input(id, Input::Propose { batch: batch.clone() });
        batch
    }

    pub(crate) fn read(&mut self, id: ReplicaId) -> ReadId {
        let read = ReadId(self.next_read);
        self.next_read += 1;
        let floor = self.decided.keys().next_back().copied().unwrap_or_default();
        self.read_floor.insert(read, floor);
        self.input(id, Input::Read { id: read });
        read
    }

    pub(crate) fn send(&mut self, from: ReplicaId, to: ReplicaId, message: Message) {
        self.input(to, Input::Message { from, message });
    }

    /// Delivers the letter at `index`.
    pub(crate) fn deliver(&mut self, index: usize) {
        let letter = self.wire.remove(index);
        self.hand_over(letter);
    }

    pub(crate) fn hand_over(&mut self, letter: Letter) {
        let Letter { from, to, message, snapshot } = letter;
        let input = match snapshot {
            None => Input::Message { from, message },
            Some(snapshot) => Input::SnapshotArrived { from, message, snapshot },
        };
        self.input(to, input);
    }

    /// Delivers everything, oldest first, between the replicas in `connected`; loses the rest.
    pub(crate) fn settle_among(&mut self, connected: ReplicaSet) {
        for _ in 0..100_000 {
            self.wire.retain(|l| connected.contains(l.from) && connected.contains(l.to));
            if self.wire.is_empty() {
                return;
            }
            self.deliver(0);
        }
        panic!("the replicas chatter without end");
    }

    pub(crate) fn settle(&mut self) {
        self.settle_among(ReplicaSet::first(self.nodes.len()));
    }

    /// Lets the election timeout (or heartbeat) of `id` come.
    pub(crate) fn tick(&mut self, id: ReplicaId) {
        let deadline = self.nodes[usize::from(id.0)].raft.as_ref().and_then(Protocol::deadline);
        if let Some(deadline) = deadline {
            self.now = self.now.max(deadline);
            self.input(id, Input::Tick);
        }
    }

    /// Lets `duration` pass: every deadline is met, only replicas in `connected` hear each other.
    pub(crate) fn run(&mut self, duration: std::time::Duration, connected: ReplicaSet) {
        let end = self.now.after(duration);
        self.settle_among(connected);
        loop {
            let deadline = |id: ReplicaId| {
                let raft = self.nodes[usize::from(id.0)].raft.as_ref()?;
                raft.deadline().map(|deadline| (deadline, id))
            };
            match self.ids().filter_map(deadline).min() {
                Some((deadline, id)) if deadline <= end => {
                    self.tick(id);
                    self.settle_among(connected);
                }
                _ => break,
            }
        }
        self.now = end;
    }

    /// Makes `id` the leader with the votes of `connected`, whose members must allow it.
    pub(crate) fn elect(&mut self, id: ReplicaId, connected: ReplicaSet) {
        self.wire.clear();
        for _ in 0..20 {
            self.tick(id);
            self.settle_among(connected);
            if self.raft(id).role() == Role::Leader {
                return;
            }
        }
        panic!("{id} was not elected by {connected:?}");
    }

    /// Ticks and delivers until one leader committed something new on every replica.
    pub(crate) fn heal_and_progress(&mut self) {
        for id in self.ids() {
            if self.node(id).raft.is_none() {
                self.start(id);
            }
            self.sync(id);
        }
        for _ in 0..400 {
            self.settle();
            self.ids().for_each(|id| self.take_snapshot(id));
            let next = self.ids().filter_map(|id| Some((self.raft(id).deadline()?, id))).min();
            if let Some((_, id)) = next {
                self.tick(id);
            }
            self.settle();
            let leading = |id: &ReplicaId| self.raft(*id).role() == Role::Leader;
            let top = self.ids().filter(leading).max_by_key(|id| self.raft(*id).term());
            let Some(leader) = top else { continue };
            let before = self.decided.len();
            self.propose(leader);
            self.settle();
            let decided = self.decided.keys().next_back().copied().unwrap_or_default();
            let level = self.running().all(|raft| raft.committed() == decided);
            if self.decided.len() > before && level {
                return;
            }
        }
        panic!("no progress after healing: {:?}", self.statuses());
    }

    fn statuses(&self) -> Vec<quorate_smr::Status> {
        self.running().map(Protocol::status).collect()
    }

    fn check(&self, id: ReplicaId) {
        let Some(raft) = &self.nodes[usize::from(id.0)].raft else { return };
        let status = raft.status();
        assert!(status.held_bytes <= status.held_bytes_max, "memory is bounded");
        assert!(status.base <= status.committed && status.committed <= status.last);
        for other in self.running() {
            check_log_matching(raft, other);
        }
    }

    /// Figure 3: what was committed is in the log of every later leader.
    fn check_leader_completeness(&self, id: ReplicaId) {
        let raft = self.raft(id);
        let log: BTreeMap<Slot, &Batch> = raft.log_entries().map(|(s, _, b)| (s, b)).collect();
        let base = raft.status().base;
        for (slot, batch) in self.decided.range(base.next()..) {
            assert_eq!(log.get(slot), Some(&batch), "leader completeness: {id} at {slot}");
        }
    }
}

/// Figure 3: logs with an equal entry (slot and term) are equal up to it.
fn check_log_matching(a: &Raft, b: &Raft) {
    let theirs: BTreeMap<Slot, (Term, &Batch)> =
        b.log_entries().map(|(slot, term, batch)| (slot, (term, batch))).collect();
    let mut differed = false;
    for (slot, term, batch) in a.log_entries() {
        if let Some((their_term, their_batch)) = theirs.get(&slot) {
            if *their_term == term {
                assert!(!differed, "log matching: equal at {slot}, different below");
                assert_eq!(*their_batch, batch, "log matching at {slot}");
            } else {
                differed = true;
            }
        }
    }
}

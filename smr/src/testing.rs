//! A small deterministic pump that drives a handful of replicas as plain values, for tests.
//!
//! Messages travel in order, time stands still until it is advanced, disks are as fast as the test
//! says. Every step can be looked at. Runs under random faults belong to the simulator; the pump is
//! for examples and for scripted traces ("when this message arrives first, then …").
//!
//! Effects go through the same [`Gate`] as in production, messages through the protocol's
//! authenticator, commits through an [`Executor`].

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::auth::{Authenticator, ClientAuthenticator};
use crate::batch::{Batch, BatchBuilder, Command};
use crate::executor::Executor;
use crate::gate::Gate;
use crate::ids::{ClientId, GroupId, ReadId, ReplicaId, RequestSeq, Seed, Slot, Time};
use crate::machine::Checksum;
use crate::protocol::{
    Effect, Effects, Input, Protocol, Reason, Recovered, Refused, Role, Setup, SnapshotMeta,
    Status, To,
};
use crate::quorum::ReplicaSet;
use crate::session::SessionLimits;

/// The client that [`Pump::propose`] speaks for.
pub const PUMP_CLIENT: ClientId = ClientId(1);
/// Deliveries after which [`Pump::settle`] gives up: the replicas chatter without end.
pub const DELIVERIES_MAX: usize = 100_000;

type Sealed<P> = <<P as Protocol>::Auth as Authenticator<<P as Protocol>::Message>>::Sealed;

/// A message on its way.
#[derive(Clone, Debug)]
pub struct InFlight<P: Protocol> {
    /// The sender.
    pub from: ReplicaId,
    /// The receiver.
    pub to: ReplicaId,
    /// The message as sealed by the sender.
    pub sealed: Sealed<P>,
    /// Snapshot data that travels along.
    pub snapshot: Option<(SnapshotMeta, Vec<u8>)>,
}

/// One replica with its disk, its gate and its state machine.
struct Node<P: Protocol> {
    setup: Setup<P::Config>,
    auth: P::Auth,
    running: Option<Running<P>>,
    journal: Vec<P::Record>,
    journal_snapshot: Option<(SnapshotMeta, Vec<u8>)>,
    disk_held: bool,
}

/// What a crash forgets.
struct Running<P: Protocol> {
    protocol: P,
    gate: Gate<P::Message>,
    executor: Executor<Checksum>,
    unsynced: VecDeque<Step<P>>,
    snapshots: BTreeMap<Slot, (SnapshotMeta, Vec<u8>)>,
    arrived: BTreeMap<Slot, (SnapshotMeta, Vec<u8>)>,
    wanted_snapshots: Vec<Slot>,
    committed: Vec<(Slot, Batch)>,
    reads: Vec<(ReadId, Slot)>,
    refused: Vec<(Refused, Reason)>,
}

/// A durable step on its way to the disk.
enum Step<P: Protocol> {
    Append(P::Record),
    Replace(Option<(SnapshotMeta, Vec<u8>)>, Vec<P::Record>),
}

/// Drives replicas `0..n` of protocol `P`.
pub struct Pump<P: Protocol> {
    now: Time,
    nodes: Vec<Node<P>>,
    in_flight: VecDeque<InFlight<P>>,
    cut: Vec<(ReplicaId, ReplicaId)>,
    next_seq: u64,
}

impl<P: Protocol> Pump<P> {
    /// Starts `replicas` fresh replicas that share `config`.
    ///
    /// # Panics
    /// If the protocol refuses the setup.
    #[must_use]
    pub fn new(replicas: usize, config: &P::Config) -> Self {
        let setup = |index| Setup::new(ReplicaId(index as u8), replicas, Seed(7), config.clone());
        Self::with_setups((0..replicas).map(setup).collect())
    }

    /// Starts one fresh replica for each setup; the setup at index i must be of replica i.
    ///
    /// # Panics
    /// If the protocol refuses a setup.
    #[must_use]
    pub fn with_setups(setups: Vec<Setup<P::Config>>) -> Self {
        let now = Time::ZERO;
        let nodes = setups.into_iter().map(|setup| Node::start(setup, now)).collect();
        Self { now, nodes, in_flight: VecDeque::new(), cut: Vec::new(), next_seq: 1 }
    }

    /// The current time.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.now
    }

    /// The replica `id`.
    ///
    /// # Panics
    /// If it is crashed.
    #[must_use]
    pub fn replica(&self, id: ReplicaId) -> &P {
        &self.running(id).protocol
    }

    /// The status of every running replica.
    #[must_use]
    pub fn statuses(&self) -> Vec<Status> {
        let running = self.nodes.iter().filter_map(|node| node.running.as_ref());
        running.map(|running| running.protocol.status()).collect()
    }

    /// What `id` committed since it (re)started, in order.
    #[must_use]
    pub fn committed(&self, id: ReplicaId) -> &[(Slot, Batch)] {
        &self.running(id).committed
    }

    /// The payloads of the commands that `id` committed since it (re)started, in order.
    ///
    /// # Panics
    /// If a committed batch does not open.
    #[must_use]
    pub fn payloads(&self, id: ReplicaId) -> Vec<Vec<u8>> {
        let mut scratch = Vec::new();
        let mut payloads = Vec::new();
        for (_, batch) in self.committed(id) {
            let body = batch.body(&mut scratch).expect("a committed batch opens");
            payloads.extend(body.commands().map(|command| command.payload.to_vec()));
        }
        payloads
    }

    /// The state machine of `id` with its sessions.
    #[must_use]
    pub fn executor(&self, id: ReplicaId) -> &Executor<Checksum> {
        &self.running(id).executor
    }

    /// The durable journal of `id`.
    #[must_use]
    pub fn journal(&self, id: ReplicaId) -> &[P::Record] {
        &self.nodes[id.0 as usize].journal
    }

    /// The reads that `id` declared ready, with the slots to wait for.
    #[must_use]
    pub fn reads(&self, id: ReplicaId) -> &[(ReadId, Slot)] {
        &self.running(id).reads
    }

    /// The requests that `id` refused.
    #[must_use]
    pub fn refused(&self, id: ReplicaId) -> &[(Refused, Reason)] {
        &self.running(id).refused
    }

    /// The messages on their way, oldest first.
    #[must_use]
    pub const fn in_flight(&self) -> &VecDeque<InFlight<P>> {
        &self.in_flight
    }

    /// Seals a batch of [`PUMP_CLIENT`]'s commands with fresh sequence numbers.
    ///
    /// # Panics
    /// If a payload exceeds its limit or the protocol does not know the client.
    pub fn batch(&mut self, payloads: &[&[u8]]) -> Batch {
        let client = self.nodes[0].auth.client(PUMP_CLIENT).expect("client 1 is known");
        let mut builder = BatchBuilder::new(self.nodes[0].setup.group);
        for payload in payloads {
            let seq = RequestSeq(self.next_seq);
            self.next_seq += 1;
            let mut auth = Vec::new();
            client.sign(PUMP_CLIENT, seq, payload, &mut auth);
            let command = Command { client: PUMP_CLIENT, seq, payload, auth: &auth };
            builder.push(&command).expect("within the limits");
        }
        builder.seal(None)
    }

    /// Proposes `payloads` as one batch at `id`, without delivering anything.
    pub fn propose(&mut self, id: ReplicaId, payloads: &[&[u8]]) {
        let batch = self.batch(payloads);
        self.input(id, Input::Propose { batch });
    }

    /// Asks `id` for a linearizable read.
    pub fn read(&mut self, id: ReplicaId, read: ReadId) {
        self.input(id, Input::Read { id: read });
    }

    /// Hands `input` to `id` and carries out the effects. Ignored when `id` is crashed.
    pub fn input(&mut self, id: ReplicaId, input: Input<P::Message>) {
        let now = self.now;
        let node = &mut self.nodes[id.0 as usize];
        node.handle(now, input, &mut self.in_flight);
    }

    /// Delivers the oldest message; false when none is on its way. Messages over cut links, to
    /// crashed replicas, or that fail authentication are lost.
    pub fn deliver_one(&mut self) -> bool {
        let Some(envelope) = self.in_flight.pop_front() else { return false };
        let InFlight { from, to, sealed, snapshot } = envelope;
        if self.cut.contains(&(from, to)) {
            return true;
        }
        let now = self.now;
        let node = &mut self.nodes[to.0 as usize];
        let Ok(message) = node.auth.open(from, sealed) else { return true };
        let input = match snapshot {
            None => Input::Message { from, message },
            Some((meta, data)) => {
                if let Some(running) = &mut node.running {
                    running.arrived.insert(meta.slot, (meta, data));
                }
                Input::SnapshotArrived { from, message, snapshot: meta }
            }
        };
        node.handle(now, input, &mut self.in_flight);
        true
    }

    /// Delivers until nothing is on its way.
    ///
    /// # Panics
    /// After [`DELIVERIES_MAX`] deliveries.
    pub fn settle(&mut self) {
        for _ in 0..DELIVERIES_MAX {
            if !self.deliver_one() {
                return;
            }
        }
        panic!("replicas did not settle after {DELIVERIES_MAX} deliveries");
    }

    /// Loses the messages for which `lose` says so.
    pub fn lose_where(&mut self, mut lose: impl FnMut(&InFlight<P>) -> bool) {
        self.in_flight.retain(|envelope| !lose(envelope));
    }

    /// Takes the messages for which `take` says so off the wire, to be put back later.
    pub fn take_where(&mut self, mut take: impl FnMut(&InFlight<P>) -> bool) -> Vec<InFlight<P>> {
        let (taken, kept): (VecDeque<_>, VecDeque<_>) =
            self.in_flight.drain(..).partition(|envelope| take(envelope));
        self.in_flight = kept;
        taken.into()
    }

    /// Puts `envelope` on the wire, behind the others.
    pub fn post(&mut self, envelope: InFlight<P>) {
        self.in_flight.push_back(envelope);
    }

    /// Moves time forward by `duration`, ticking replicas when their deadlines come and delivering
    /// everything in between.
    pub fn advance(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        self.settle();
        while let Some(next) = self.next_deadline().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.tick_all();
            self.settle();
        }
        self.now = end;
    }

    /// Ticks every replica whose deadline has come, without delivering anything.
    pub fn tick_all(&mut self) {
        for index in 0..self.nodes.len() {
            let id = ReplicaId(index as u8);
            let due = self.nodes[index].deadline().is_some_and(|deadline| deadline <= self.now);
            if due {
                self.input(id, Input::Tick);
            }
        }
    }

    /// Moves time forward (deadline by deadline, at most a minute) until one replica leads and all
    /// running, connected replicas know it.
    ///
    /// # Panics
    /// If none leads within a minute of virtual time.
    pub fn run_until_leader(&mut self) -> ReplicaId {
        let end = self.now.after(Duration::from_secs(60));
        self.settle();
        loop {
            if let Some(leader) = self.leader() {
                return leader;
            }
            let next = self.next_deadline().filter(|next| *next <= end);
            self.now = self.now.max(next.expect("a leader within a minute of virtual time"));
            self.tick_all();
            self.settle();
        }
    }

    /// The replica that leads the highest epoch, if a majority of the running replicas follow it.
    #[must_use]
    pub fn leader(&self) -> Option<ReplicaId> {
        let statuses = self.statuses();
        let leads = statuses.iter().filter(|status| status.role == Role::Leader);
        let leader = leads.max_by_key(|status| status.epoch)?;
        let follows = |status: &&Status| {
            status.epoch == leader.epoch && status.leader == Some(leader.replica)
        };
        let following = statuses.iter().filter(follows).count();
        (following > self.nodes.len() / 2).then_some(leader.replica)
    }

    /// Cuts the link from `from` to `to`, in this direction only.
    pub fn cut(&mut self, from: ReplicaId, to: ReplicaId) {
        self.cut.push((from, to));
    }

    /// Cuts all links of `id`, in both directions.
    pub fn isolate(&mut self, id: ReplicaId) {
        for other in (0..self.nodes.len() as u8).map(ReplicaId).filter(|other| *other != id) {
            self.cut(id, other);
            self.cut(other, id);
        }
    }

    /// Restores all links.
    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// Stops `id`; what was not durable is lost.
    pub fn crash(&mut self, id: ReplicaId) {
        self.nodes[id.0 as usize].running = None;
    }

    /// Starts `id` again from its journal.
    ///
    /// # Panics
    /// If the protocol refuses its own journal.
    pub fn restart(&mut self, id: ReplicaId) {
        let now = self.now;
        self.nodes[id.0 as usize].restart(now);
    }

    /// Stops the disk of `id`: durable steps wait for [`Pump::sync`].
    pub fn hold_disk(&mut self, id: ReplicaId) {
        self.nodes[id.0 as usize].disk_held = true;
    }

    /// Makes everything that waits at the disk of `id` durable, and reports it.
    pub fn sync(&mut self, id: ReplicaId) {
        let now = self.now;
        self.nodes[id.0 as usize].sync(now, &mut self.in_flight);
    }

    /// Asserts that all running replicas committed the same batches at the same slots.
    ///
    /// # Panics
    /// If two differ.
    pub fn assert_agreement(&self) {
        let mut decided: BTreeMap<Slot, &Batch> = BTreeMap::new();
        for running in self.nodes.iter().filter_map(|node| node.running.as_ref()) {
            for (slot, batch) in &running.committed {
                let first = decided.entry(*slot).or_insert(batch);
                assert_eq!(*first, batch, "{slot} was decided twice");
            }
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        self.nodes.iter().filter_map(Node::deadline).min()
    }

    fn running(&self, id: ReplicaId) -> &Running<P> {
        let running = &self.nodes[id.0 as usize].running;
        running.as_ref().expect("the replica is running")
    }
}

impl<P: Protocol> Node<P> {
    fn start(setup: Setup<P::Config>, now: Time) -> Self {
        let auth = P::authenticator(&setup).expect("the setup has usable keys");
        let mut node = Self {
            setup,
            auth,
            running: None,
            journal: Vec::new(),
            journal_snapshot: None,
            disk_held: false,
        };
        node.restart(now);
        node
    }

    fn restart(&mut self, now: Time) {
        let fixed: Vec<ClientId> = (1..=16).map(ClientId).collect();
        let mut executor = Executor::new(Checksum::default(), SessionLimits::default(), &fixed);
        let mut snapshots = BTreeMap::new();
        if let Some((meta, data)) = &self.journal_snapshot {
            executor.restore(data).expect("a snapshot that was taken here restores");
            snapshots.insert(meta.slot, (*meta, data.clone()));
        }
        let recovered = Recovered {
            snapshot: self.journal_snapshot.as_ref().map(|(meta, _)| *meta),
            records: self.journal.clone(),
        };
        let protocol =
            P::recover(self.setup.clone(), recovered, now).expect("the journal recovers");
        self.running = Some(Running {
            protocol,
            gate: Gate::new(),
            executor,
            unsynced: VecDeque::new(),
            snapshots,
            arrived: BTreeMap::new(),
            wanted_snapshots: Vec::new(),
            committed: Vec::new(),
            reads: Vec::new(),
            refused: Vec::new(),
        });
    }

    fn deadline(&self) -> Option<Time> {
        self.running.as_ref().and_then(|running| running.protocol.deadline())
    }

    /// Hands one input over, and every input that its effects cause in turn.
    fn handle(&mut self, now: Time, input: Input<P::Message>, wire: &mut VecDeque<InFlight<P>>) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let Some(running) = &mut self.running else { return };
            let mut effects = Effects::new();
            running.protocol.handle(now, input, &mut effects);
            for effect in effects.drain() {
                self.carry_out(effect, &mut inputs, wire);
            }
            if !self.disk_held {
                self.write(&mut inputs, wire);
            }
        }
    }

    fn sync(&mut self, now: Time, wire: &mut VecDeque<InFlight<P>>) {
        self.disk_held = false;
        let mut inputs = VecDeque::new();
        self.write(&mut inputs, wire);
        for input in inputs {
            self.handle(now, input, wire);
        }
    }

    /// Writes what waits at the disk; reports it and releases the messages that waited.
    fn write(
        &mut self,
        inputs: &mut VecDeque<Input<P::Message>>,
        wire: &mut VecDeque<InFlight<P>>,
    ) {
        let Some(running) = &mut self.running else { return };
        if running.unsynced.is_empty() {
            return;
        }
        for step in running.unsynced.drain(..) {
            match step {
                Step::Append(record) => self.journal.push(record),
                Step::Replace(snapshot, records) => {
                    self.journal_snapshot = snapshot;
                    self.journal = records;
                }
            }
        }
        let upto = running.gate.appended();
        running.gate.durable_upto(upto);
        inputs.push_back(Input::Durable { upto });
        while let Some((to, message)) = self.running.as_mut().and_then(|r| r.gate.release()) {
            self.transmit(to, message, None, wire);
        }
    }

    fn carry_out(
        &mut self,
        effect: Effect<P::Message, P::Record>,
        inputs: &mut VecDeque<Input<P::Message>>,
        wire: &mut VecDeque<InFlight<P>>,
    ) {
        let Some(running) = &mut self.running else { return };
        match effect {
            Effect::Send { to, message, release } => {
                if let Some((to, message)) = running.gate.offer(to, message, release) {
                    self.transmit(to, message, None, wire);
                }
            }
            Effect::SendSnapshot { to, slot, message } => {
                let snapshot = running.snapshots.get(&slot).cloned();
                let snapshot = snapshot.expect("a protocol sends only snapshots that it has");
                self.transmit(To::One(to), message, Some(&snapshot), wire);
            }
            Effect::Append { record } => {
                running.gate.step();
                running.unsynced.push_back(Step::Append(record));
            }
            Effect::Compact { slot, records } => {
                running.gate.step();
                running.snapshots.retain(|held, _| *held >= slot);
                let snapshot = running.snapshots[&slot].clone();
                running.unsynced.push_back(Step::Replace(Some(snapshot), records));
            }
            Effect::InstallSnapshot { snapshot, records } => {
                running.install(snapshot, records);
                inputs.push_back(Input::SnapshotInstalled { slot: snapshot.slot });
            }
            Effect::Commit { slot, batch } => running.apply(slot, batch, inputs),
            Effect::ReadReady { id, slot } => running.reads.push((id, slot)),
            Effect::Refused { request, reason } => running.refused.push((request, reason)),
            Effect::TakeSnapshot { slot } => {
                running.wanted_snapshots.push(slot);
                running.take_wanted_snapshots(inputs);
            }
            Effect::RoleChanged { .. } => {}
        }
    }

    fn transmit(
        &self,
        to: To,
        message: P::Message,
        snapshot: Option<&(SnapshotMeta, Vec<u8>)>,
        wire: &mut VecDeque<InFlight<P>>,
    ) {
        let from = self.setup.replica;
        let sealed = self.auth.seal(to, message);
        for to in to.receivers(from, self.setup.members).iter() {
            let (sealed, snapshot) = (sealed.clone(), snapshot.cloned());
            wire.push_back(InFlight { from, to, sealed, snapshot });
        }
    }
}

impl<P: Protocol> Running<P> {
    fn apply(&mut self, slot: Slot, batch: Batch, inputs: &mut VecDeque<Input<P::Message>>) {
        let mut ignore = |_: ClientId, _: RequestSeq, _, _: &[u8]| ();
        self.executor.apply(slot, &batch, &mut ignore).expect("commits come in order");
        self.committed.push((slot, batch));
        self.take_wanted_snapshots(inputs);
    }

    fn take_wanted_snapshots(&mut self, inputs: &mut VecDeque<Input<P::Message>>) {
        let applied = self.executor.applied();
        if self.wanted_snapshots.contains(&applied) {
            self.wanted_snapshots.retain(|slot| *slot > applied);
            let (snapshot, data) = self.executor.snapshot();
            self.snapshots.insert(applied, (snapshot, data));
            inputs.push_back(Input::SnapshotTaken { snapshot });
        }
    }

    fn install(&mut self, snapshot: SnapshotMeta, records: Vec<P::Record>) {
        let (meta, data) = self.arrived.remove(&snapshot.slot).expect("the snapshot arrived");
        assert_eq!(meta, snapshot, "a protocol installs what arrived");
        self.executor.restore(&data).expect("a peer's snapshot restores");
        self.gate.step();
        self.snapshots.insert(meta.slot, (meta, data.clone()));
        self.unsynced.push_back(Step::Replace(Some((meta, data)), records));
    }
}

/// A batch of commands without proofs, for unit tests of protocols that trust their clients.
///
/// # Panics
/// If a payload exceeds its limit.
#[must_use]
pub fn plain_batch(group: GroupId, first_seq: u64, payloads: &[&[u8]]) -> Batch {
    let mut builder = BatchBuilder::new(group);
    for (offset, payload) in payloads.iter().enumerate() {
        let seq = RequestSeq(first_seq + offset as u64);
        let command = Command { client: PUMP_CLIENT, seq, payload, auth: &[] };
        builder.push(&command).expect("within the limits");
    }
    builder.seal(None)
}

/// The members `0..count` as replica identifiers.
pub fn replicas(count: usize) -> impl Iterator<Item = ReplicaId> {
    ReplicaSet::first(count).iter()
}

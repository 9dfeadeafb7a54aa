//! One replica with its host: what it remembers, what it holds back, and one step of it.
//!
//! The same contract as everywhere: effects pass through [`Gate`], messages through the protocol's
//! authenticator, a crash keeps a prefix of what was on its way to the disk. A step is a pure
//! function of the replica and of what happens to it, so the explorer computes each only once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use quorate_smr::gate::Gate;
use quorate_smr::protocol::{Effect, Effects, Input, Recovered, Refused, Release, Setup, To};
use quorate_smr::{
    Authenticator, Batch, Digest, Lsn, ReadId, ReplicaId, Role, Seed, Slot, SnapshotMeta, Status,
    Time,
};

use super::history::{Broken, Event, Holds, broken, digest_of, state_after};
use super::protocol::{Disk, Exploration, Explore, Timer};
use crate::inspect::Sealed;
use crate::invariants::{self, check_bounded, check_promise};
use crate::violation::Violation;

/// Inputs that one step may lead to; more is a loop.
const INPUTS_PER_STEP_MAX: usize = 100;
/// The size that snapshots claim, in bytes: the state is one digest.
const SNAPSHOT_BYTES: u64 = 32;

/// A message on its way to one receiver.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Envelope<M> {
    pub(crate) from: ReplicaId,
    pub(crate) to: ReplicaId,
    pub(crate) message: M,
    pub(crate) snapshot: Option<SnapshotMeta>,
}

/// A durable step on its way to the disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step<R> {
    Append(R),
    Replace(SnapshotMeta, Vec<R>),
}

/// A replica, its disk and its clock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Replica<P: Explore> {
    pub(crate) id: ReplicaId,
    /// `None` while it is down, and always for a Byzantine replica.
    pub(crate) process: Option<P>,
    clock: Time,
    snapshot: Option<SnapshotMeta>,
    records: Vec<P::Record>,
    pending: VecDeque<Step<P::Record>>,
    gate: Gate<P::Message>,
    /// The last slot applied and the state after it.
    applied: (Slot, Digest),
    /// Snapshots at hand: taken here, or arrived.
    snapshots: BTreeMap<Slot, SnapshotMeta>,
    wanted: Vec<Slot>,
    /// What it told others and must still know after a crash.
    told: Option<P::Memory>,
    /// What messages that wait for the disk will tell.
    will_tell: VecDeque<(Lsn, P::Memory)>,
    promised: u64,
}

/// What happens to a replica.
#[derive(Clone, Debug)]
pub(crate) enum Stimulus<M> {
    Deliver(Arc<Envelope<M>>),
    Tick,
    Propose(Batch),
    Read(ReadId),
    Sync,
    Crash { kept: usize },
    Restart,
}

/// How a step ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fate {
    /// With whatever is on its way to the disk left there.
    Leave,
    /// With all of it durable.
    Sync,
    /// With a crash after so many durable steps, before the next one.
    Crash(u8),
}

impl Fate {
    pub(crate) const fn usual(disk: Disk) -> Self {
        match disk {
            Disk::AtOnce => Self::Sync,
            Disk::Later => Self::Leave,
        }
    }
}

/// What came of a step.
#[derive(Debug)]
pub(crate) struct Stepped<P: Explore> {
    pub(crate) replica: Replica<P>,
    pub(crate) sent: Vec<Envelope<P::Message>>,
    pub(crate) events: Vec<Event>,
    pub(crate) broken: Option<Broken>,
}

/// What all replicas of an exploration share.
#[derive(Debug)]
pub(crate) struct Hosts<P: Explore> {
    setups: Vec<Setup<P::Config>>,
    auths: Vec<P::Auth>,
    liar: Option<ReplicaId>,
    lost: fn(&P::Message) -> bool,
}

impl<P: Explore> Hosts<P> {
    pub(crate) fn new(exploration: &Exploration<P>) -> Result<Self, String> {
        let (replicas, config) = (exploration.replicas, &exploration.config);
        let setup = |id| Setup::new(ReplicaId(id as u8), replicas, Seed(1), config.clone());
        let setups: Vec<_> = (0..replicas).map(setup).collect();
        let auths = setups.iter().map(P::authenticator).collect::<Result<_, _>>();
        let auths = auths.map_err(|error| error.to_string())?;
        Ok(Self { setups, auths, liar: exploration.byzantine, lost: exploration.lost })
    }

    /// A lie of the Byzantine replica to every honest one that believes its proofs.
    pub(crate) fn deliver_lie(&self, lie: &Sealed<P>) -> Vec<Envelope<P::Message>> {
        let Some(from) = self.liar else { return Vec::new() };
        let honest = self.setups.iter().map(|setup| setup.replica).filter(|id| *id != from);
        honest
            .filter_map(|to| {
                let message = self.auth(to).open(from, lie.clone()).ok()?;
                let carried = !(self.lost)(&message);
                carried.then_some(Envelope { from, to, message, snapshot: None })
            })
            .collect()
    }

    pub(crate) fn auth(&self, id: ReplicaId) -> &P::Auth {
        &self.auths[usize::from(id.0)]
    }

    /// A replica at its first start, with what it did about it.
    pub(crate) fn boot(&self, id: ReplicaId) -> Stepped<P> {
        let replica = Replica {
            id,
            process: None,
            clock: Time::ZERO,
            snapshot: None,
            records: Vec::new(),
            pending: VecDeque::new(),
            gate: Gate::new(),
            applied: (Slot::ZERO, Digest::default()),
            snapshots: BTreeMap::new(),
            wanted: Vec::new(),
            told: None,
            will_tell: VecDeque::new(),
            promised: 0,
        };
        if self.liar == Some(id) {
            return Stepped { replica, sent: Vec::new(), events: Vec::new(), broken: None };
        }
        let booted = self.step(&replica, &Stimulus::Restart, Fate::Sync, None);
        booted.expect("a first start cannot be cut short")
    }

    /// Lets `stimulus` happen to `replica`; `None` when `fate` does not fit (a crash after more steps
    /// than there are). With `notes`, says line by line what the replica does.
    pub(crate) fn step(
        &self,
        replica: &Replica<P>,
        stimulus: &Stimulus<P::Message>,
        fate: Fate,
        notes: Option<&mut Vec<String>>,
    ) -> Option<Stepped<P>> {
        let mut work = Work {
            hosts: self,
            replica: replica.clone(),
            sent: Vec::new(),
            events: Vec::new(),
            inputs: VecDeque::new(),
            notes,
        };
        let run = std::panic::AssertUnwindSafe(|| work.run(stimulus, fate));
        let outcome = std::panic::catch_unwind(run).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text =
                text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_string()));
            let detail = format!("{}: {}", replica.id, text.unwrap_or_default());
            Err(broken(invariants::NO_PANIC, detail))
        });
        let broken = match outcome {
            Ok(true) => None,
            Ok(false) => return None,
            Err(broken) => Some(broken),
        };
        let Work { replica, sent, events, .. } = work;
        Some(Stepped { replica, sent, events, broken })
    }
}

impl<P: Explore> Replica<P> {
    /// The replica's own view of itself, while it runs.
    pub(crate) fn status(&self) -> Option<Status> {
        self.process.as_ref().map(P::status)
    }

    /// The timer that can fire.
    pub(crate) fn timer(&self) -> Option<Timer> {
        let process = self.process.as_ref()?;
        process.deadline().and_then(|_| process.timer())
    }

    /// Durable steps on their way.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    fn write(&mut self, step: Step<P::Record>) {
        self.pending.push_back(step);
        self.gate.step();
    }

    /// Makes the oldest `count` pending steps durable.
    fn persist(&mut self, count: usize, events: &mut Vec<Event>) {
        for step in self.pending.drain(..count) {
            match step {
                Step::Append(record) => {
                    if let Some(entry) = P::said(&record)
                        && let Event::Wrote { slot, epoch, digest } = Event::wrote(&entry)
                    {
                        events.push(Event::Said { slot, epoch, digest });
                    }
                    self.records.push(record);
                }
                Step::Replace(snapshot, records) => {
                    self.snapshot = Some(snapshot);
                    self.records = records;
                }
            }
        }
    }
}

/// A step under way.
struct Work<'a, P: Explore> {
    hosts: &'a Hosts<P>,
    replica: Replica<P>,
    sent: Vec<Envelope<P::Message>>,
    events: Vec<Event>,
    inputs: VecDeque<Input<P::Message>>,
    notes: Option<&'a mut Vec<String>>,
}

impl<P: Explore> Work<'_, P> {
    /// False when the fate does not fit.
    fn run(&mut self, stimulus: &Stimulus<P::Message>, fate: Fate) -> Result<bool, Broken> {
        match stimulus {
            Stimulus::Restart => self.restart()?,
            Stimulus::Crash { kept } => {
                self.crash(*kept);
                return Ok(true);
            }
            Stimulus::Sync => self.sync()?,
            Stimulus::Tick => {
                let deadline = self.replica.process.as_ref().and_then(P::deadline);
                self.replica.clock = self.replica.clock.max(deadline.unwrap_or_default());
                self.inputs.push_back(Input::Tick);
            }
            Stimulus::Propose(batch) => {
                self.inputs.push_back(Input::Propose { batch: batch.clone() });
            }
            Stimulus::Read(id) => {
                self.events.push(Event::Asked);
                self.inputs.push_back(Input::Read { id: *id });
            }
            Stimulus::Deliver(envelope) => self.receive(envelope),
        }
        self.finish(fate)
    }

    fn receive(&mut self, envelope: &Envelope<P::Message>) {
        let (from, message) = (envelope.from, envelope.message.clone());
        self.inputs.push_back(match envelope.snapshot {
            None => Input::Message { from, message },
            Some(snapshot) => {
                self.replica.snapshots.insert(snapshot.slot, snapshot);
                Input::SnapshotArrived { from, message, snapshot }
            }
        });
    }

    /// Handles what waits, and what comes of it, up to the step's fate.
    fn finish(&mut self, fate: Fate) -> Result<bool, Broken> {
        let mut left = match fate {
            Fate::Crash(left) => usize::from(left),
            Fate::Leave | Fate::Sync => usize::MAX,
        };
        loop {
            self.handle_all()?;
            let pending = self.replica.pending();
            if fate == Fate::Leave {
                return Ok(true);
            }
            if pending > left {
                self.crash(left);
                return Ok(true);
            }
            if pending == 0 {
                return Ok(fate == Fate::Sync);
            }
            left -= pending;
            self.sync()?;
        }
    }

    fn handle_all(&mut self) -> Holds {
        for _ in 0..INPUTS_PER_STEP_MAX {
            let Some(input) = self.inputs.pop_front() else { return Ok(()) };
            self.handle(input)?;
        }
        let detail = format!("{}: a step does not end", self.replica.id);
        Err(broken(invariants::NO_RUNAWAY, detail))
    }

    fn handle(&mut self, input: Input<P::Message>) -> Holds {
        let now = self.replica.clock;
        let Some(process) = &mut self.replica.process else { return Ok(()) };
        let before = process.status();
        let mut effects = Effects::new();
        process.handle(now, input, &mut effects);
        let after = process.status();
        for effect in effects.drain() {
            self.carry_out(effect, &after)?;
        }
        self.check_status(&before, &after)
    }

    fn carry_out(&mut self, effect: Effect<P::Message, P::Record>, status: &Status) -> Holds {
        if let Some(notes) = &mut self.notes {
            notes.push(format!("{effect:?}"));
        }
        match effect {
            Effect::Send { to, message, release } => {
                if release == Release::Durable {
                    self.will_tell();
                }
                if let Some((to, message)) = self.replica.gate.offer(to, message, release) {
                    self.transmit(to, &message, None)?;
                }
            }
            Effect::SendSnapshot { to, slot, message } => {
                let Some(snapshot) = self.replica.snapshots.get(&slot).copied() else {
                    return self.contract(&format!("sends a snapshot at {slot}, which it has not"));
                };
                self.transmit(To::One(to), &message, Some(snapshot))?;
            }
            Effect::Append { record } => self.append(record)?,
            Effect::Compact { slot, records } => {
                let Some(snapshot) = self.replica.snapshots.get(&slot).copied() else {
                    return self.contract(&format!("compacts to {slot}, no snapshot there"));
                };
                self.replica.snapshots.retain(|held, _| *held >= slot);
                self.replica.write(Step::Replace(snapshot, records));
            }
            Effect::InstallSnapshot { snapshot, records } => self.install(snapshot, records)?,
            Effect::Commit { slot, batch } => self.commit(slot, &batch, status.epoch)?,
            Effect::ReadReady { id, slot } => self.events.push(Event::Ready { id, slot }),
            Effect::Refused { request: Refused::Proposal(batch), .. } => {
                self.events.push(Event::Refused { digest: digest_of(&batch) });
            }
            Effect::TakeSnapshot { slot } => {
                self.replica.wanted.push(slot);
                self.take_snapshots()?;
            }
            Effect::Refused { .. } | Effect::RoleChanged { .. } => {}
        }
        Ok(())
    }

    fn append(&mut self, record: P::Record) -> Holds {
        let replica = &mut self.replica;
        check_promise::<P>(replica.id, &mut replica.promised, &record).map_err(unbox)?;
        let events = &mut self.events;
        P::entries(&record, &mut |entry| events.push(Event::wrote(&entry)));
        replica.write(Step::Append(record));
        Ok(())
    }

    fn commit(&mut self, slot: Slot, batch: &Batch, epoch: u64) -> Holds {
        let (applied, state) = self.replica.applied;
        if slot != applied.next() {
            let detail = format!("{} committed {slot} after {applied}", self.replica.id);
            return Err(broken(invariants::SLOTS_CONTIGUOUS, detail));
        }
        let digest = digest_of(batch);
        self.replica.applied = (slot, state_after(state, digest));
        let entry = self.replica.process.as_ref().and_then(|process| process.entry_epoch(slot));
        self.events.push(Event::Committed { slot, epoch, digest, entry });
        self.take_snapshots()
    }

    /// Takes the snapshots that were asked for at the slot just applied.
    fn take_snapshots(&mut self) -> Holds {
        let (slot, digest) = self.replica.applied;
        if self.replica.wanted.iter().any(|wanted| *wanted < slot) {
            return self.contract(&format!("wants a snapshot below {slot}, already passed"));
        }
        if self.replica.wanted.contains(&slot) {
            self.replica.wanted.clear();
            let snapshot = SnapshotMeta { slot, digest, bytes: SNAPSHOT_BYTES };
            self.replica.snapshots.insert(slot, snapshot);
            self.inputs.push_back(Input::SnapshotTaken { snapshot });
        }
        Ok(())
    }

    fn install(&mut self, snapshot: SnapshotMeta, records: Vec<P::Record>) -> Holds {
        let SnapshotMeta { slot, digest, .. } = snapshot;
        if self.replica.snapshots.get(&slot) != Some(&snapshot) {
            return self.contract(&format!("installs a snapshot at {slot} that never arrived"));
        }
        if slot < self.replica.applied.0 {
            let detail =
                format!("{} at {} installs {slot}", self.replica.id, self.replica.applied.0);
            return Err(broken(invariants::NEVER_BACK, detail));
        }
        self.replica.applied = (slot, digest);
        self.replica.wanted.clear();
        self.events.push(Event::Installed { slot, digest });
        self.replica.write(Step::Replace(snapshot, records));
        self.inputs.push_back(Input::SnapshotInstalled { slot });
        Ok(())
    }

    fn check_status(&mut self, before: &Status, after: &Status) -> Holds {
        let forward = before.committed <= after.committed
            && before.epoch <= after.epoch
            && before.base <= after.base
            && after.base <= after.committed;
        if !forward {
            let detail = format!("from {before:?} to {after:?}");
            return Err(broken(invariants::NEVER_BACK, detail));
        }
        check_bounded(after).map_err(unbox)?;
        let led = before.role == Role::Leader && before.epoch == after.epoch;
        if after.role == Role::Leader && !led {
            self.leads(after);
        }
        Ok(())
    }

    fn leads(&mut self, status: &Status) {
        let Some(process) = self.replica.process.as_ref() else { return };
        let log = if P::COMPLETE_LEADER { process.log() } else { None };
        let digests = |log: BTreeMap<Slot, Batch>| {
            let held = |slot, batch: Batch| (digest_of(&batch), process.entry_epoch(slot));
            log.into_iter().map(|(slot, batch)| (slot, held(slot, batch))).collect()
        };
        let (epoch, base) = (status.epoch, status.base);
        self.events.push(Event::Leads { epoch, base, log: log.map(digests) });
    }

    fn will_tell(&mut self) {
        let Some(process) = self.replica.process.as_ref() else { return };
        let memory = process.memory();
        let (after, durable) = (self.replica.gate.appended(), self.replica.gate.durable());
        if after <= durable {
            self.replica.told = Some(memory);
            return;
        }
        match self.replica.will_tell.back_mut() {
            Some((last, waiting)) if *last == after => *waiting = memory,
            _ => self.replica.will_tell.push_back((after, memory)),
        }
    }

    /// Makes everything durable that is on its way, and releases what waited for it.
    fn sync(&mut self) -> Holds {
        let replica = &mut self.replica;
        replica.persist(replica.pending(), &mut self.events);
        let upto = replica.gate.appended();
        replica.gate.durable_upto(upto);
        if let Some((_, memory)) = replica.will_tell.drain(..).last() {
            replica.told = Some(memory);
        }
        self.inputs.push_back(Input::Durable { upto });
        while let Some((to, message)) = self.replica.gate.release() {
            self.transmit(to, &message, None)?;
        }
        Ok(())
    }

    fn transmit(&mut self, to: To, message: &P::Message, snapshot: Option<SnapshotMeta>) -> Holds {
        if (self.hosts.lost)(message) {
            return Ok(());
        }
        let from = self.replica.id;
        let members = self.hosts.setups[usize::from(from.0)].members;
        let sealed = self.hosts.auth(from).seal(to, message.clone());
        for receiver in to.receivers(from, members).iter() {
            if self.hosts.liar == Some(receiver) {
                continue;
            }
            match self.hosts.auth(receiver).open(from, sealed.clone()) {
                Ok(message) => {
                    self.sent.push(Envelope { from, to: receiver, message, snapshot });
                }
                Err(error) => return self.contract(&format!("sends {message:?}: {error}")),
            }
        }
        Ok(())
    }

    /// Takes the replica's memory away; of the pending steps the first `kept` survive.
    fn crash(&mut self, kept: usize) {
        let replica = &mut self.replica;
        replica.persist(kept.min(replica.pending()), &mut self.events);
        replica.pending.clear();
        replica.process = None;
        replica.gate = Gate::new();
        replica.will_tell.clear();
        replica.wanted.clear();
        let snapshot = replica.snapshot;
        replica.snapshots = snapshot.iter().map(|held| (held.slot, *held)).collect();
        replica.applied = snapshot.map_or_else(Default::default, |held| (held.slot, held.digest));
        self.inputs.clear();
    }

    fn restart(&mut self) -> Holds {
        let id = self.replica.id;
        let setup = self.hosts.setups[usize::from(id.0)].clone();
        let replica = &mut self.replica;
        let boot_time = P::boot_time(&setup.config);
        let recovered = Recovered { snapshot: replica.snapshot, records: replica.records.clone() };
        let process = P::recover(setup, recovered, replica.clock)
            .map_err(|error| broken(invariants::RECOVERS, format!("{id}: {error}")))?;
        let now = process.memory();
        if let Some(told) = &replica.told {
            P::still_knows(told, &now).map_err(|what| {
                let detail = format!("{id} forgot {what}: told {told:?}, recovered {now:?}");
                broken(invariants::TOLD_IS_REMEMBERED, detail)
            })?;
        }
        replica.promised = P::promise_of(&now);
        let status = process.status();
        replica.process = Some(process);
        if status.role == Role::Leader {
            self.leads(&status);
        }
        // What is due at once is part of starting.
        for _ in 0..INPUTS_PER_STEP_MAX {
            let due = self.replica.process.as_ref().and_then(P::deadline);
            if due.is_none_or(|due| due > self.replica.clock) {
                break;
            }
            self.inputs.push_back(Input::Tick);
            self.handle_all()?;
        }
        self.replica.clock = self.replica.clock.after(boot_time);
        Ok(())
    }

    fn contract(&self, what: &str) -> Holds {
        Err(broken(invariants::CONTRACT, format!("{} {what}", self.replica.id)))
    }
}

#[expect(clippy::boxed_local, reason = "checks return their rare violations boxed")]
fn unbox(violation: Box<Violation>) -> Broken {
    broken(violation.invariant, violation.detail)
}

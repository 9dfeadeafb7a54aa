//! Protocol cores as plain values: no queue, no thread, no client.
//!
//! The bare cost of agreement. Batches are proposed at the leader and messages handed from replica
//! to replica in order until all have committed. Proofs are made and checked as the protocol asks,
//! effects pass the same gate as in production, and every write is durable at once. What is done
//! with committed batches is the caller's choice ([`Commits`]); by default nothing.

use std::collections::VecDeque;
use std::time::Duration;

use quorate_smr::{
    Authenticator, Batch, Digest, Effect, Effects, Gate, Input, Lsn, Protocol, Recovered,
    ReplicaId, Seed, Setup, SnapshotMeta, Time, To,
};

use crate::error::BenchError;

type Sealed<P> = <<P as Protocol>::Auth as Authenticator<<P as Protocol>::Message>>::Sealed;

/// How far virtual time goes in search of a leader.
const ELECTION_MAX: Duration = Duration::from_secs(60);

/// Is told of every commit.
pub trait Commits {
    /// `replica` committed `batch` in its next slot; the batch may be empty.
    fn commit(&mut self, replica: ReplicaId, batch: &Batch);
}

impl Commits for () {
    fn commit(&mut self, _replica: ReplicaId, _batch: &Batch) {}
}

struct Core<P: Protocol> {
    protocol: P,
    auth: P::Auth,
    gate: Gate<P::Message>,
    setup: Setup<P::Config>,
}

/// Replicas `0..n` of one group.
pub struct CoreLoop<P: Protocol, C: Commits = ()> {
    cores: Vec<Core<P>>,
    commits: C,
    wire: VecDeque<(ReplicaId, ReplicaId, Sealed<P>)>,
    effects: Effects<P::Message, P::Record>,
    now: Time,
    committed: u64,
    messages: u64,
    leader: usize,
}

impl<P: Protocol> CoreLoop<P> {
    /// Fresh replicas with a leader. `replicas` at zero: as many as tolerate one fault.
    ///
    /// # Errors
    /// When the protocol refuses the setup or elects no leader within a minute of virtual time.
    pub fn new(replicas: usize) -> Result<Self, BenchError> {
        Self::telling(replicas, ())
    }
}

impl<P: Protocol, C: Commits> CoreLoop<P, C> {
    /// As [`CoreLoop::new`], and `commits` is told of every commit.
    ///
    /// # Errors
    /// As [`CoreLoop::new`].
    pub fn telling(replicas: usize, commits: C) -> Result<Self, BenchError> {
        let replicas = if replicas == 0 { P::replicas_for(1) } else { replicas };
        let failed = |error: quorate_smr::RecoverError| BenchError::setup(P::NAME, &error);
        let mut cores = Vec::new();
        for index in 0..replicas {
            let id = ReplicaId(index as u8);
            let setup = Setup::new(id, replicas, Seed(7), P::Config::default());
            let auth = P::authenticator(&setup).map_err(failed)?;
            let protocol =
                P::recover(setup.clone(), Recovered::default(), Time::ZERO).map_err(failed)?;
            cores.push(Core { protocol, auth, gate: Gate::new(), setup });
        }
        let (wire, effects, now) = (VecDeque::new(), Effects::new(), Time::ZERO);
        let mut this =
            Self { cores, commits, wire, effects, now, committed: 0, messages: 0, leader: 0 };
        this.elect()?;
        Ok(this)
    }

    /// The replica at which batches are proposed.
    #[must_use]
    pub fn leader(&self) -> ReplicaId {
        ReplicaId(self.leader as u8)
    }

    /// What is told of commits.
    #[must_use]
    pub fn commits(&self) -> &C {
        &self.commits
    }

    /// What is told of commits, to be changed.
    pub fn commits_mut(&mut self) -> &mut C {
        &mut self.commits
    }

    /// Messages between replicas since the start, each counted once for each receiver.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Hands `batch` to the leader; [`Self::settle`] carries what that sends.
    pub fn propose(&mut self, batch: Batch) {
        self.input(self.leader, Input::Propose { batch });
    }

    /// Proposes `batch` at the leader and returns once every replica has committed it.
    ///
    /// # Panics
    /// If a replica does not commit it: the loop has no faults to excuse that.
    pub fn order(&mut self, batch: Batch) {
        let expected = self.committed + self.cores.len() as u64;
        self.propose(batch);
        self.settle();
        for _ in 0..TICKS_MAX {
            if self.committed >= expected {
                return;
            }
            // Followers may learn of the commit with the next heartbeat only.
            self.tick();
        }
        panic!("{} of {expected} commits after {TICKS_MAX} ticks", self.committed);
    }

    fn elect(&mut self) -> Result<(), BenchError> {
        let end = Time::ZERO.after(ELECTION_MAX);
        loop {
            let leads = |core: &Core<P>| core.protocol.status().leader == Some(core.setup.replica);
            if let Some(leader) = self.cores.iter().position(leads) {
                self.leader = leader;
                return Ok(());
            }
            if self.now >= end {
                return Err(BenchError::setup(P::NAME, &"no leader within a minute"));
            }
            self.tick();
        }
    }

    /// Moves time to the next deadline, and carries what that sends.
    pub fn tick(&mut self) {
        let next = self.cores.iter().filter_map(|core| core.protocol.deadline()).min();
        self.now = self.now.max(next.unwrap_or(self.now));
        for index in 0..self.cores.len() {
            if self.cores[index].protocol.deadline().is_some_and(|due| due <= self.now) {
                self.input(index, Input::Tick);
            }
        }
        self.settle();
    }

    /// Hands messages over until none is on its way.
    pub fn settle(&mut self) {
        while let Some((from, to, sealed)) = self.wire.pop_front() {
            let target = usize::from(to.0);
            if let Ok(message) = self.cores[target].auth.open(from, sealed) {
                self.input(target, Input::Message { from, message });
            }
        }
    }

    fn input(&mut self, index: usize, input: Input<P::Message>) {
        let mut effects = std::mem::take(&mut self.effects);
        let mut next = Some(input);
        while let Some(input) = next.take() {
            let before = self.cores[index].gate.appended();
            self.cores[index].protocol.handle(self.now, input, &mut effects);
            let mut snapshot = None;
            for effect in effects.drain() {
                snapshot = self.carry_out(index, effect).or(snapshot);
            }
            let upto = self.cores[index].gate.appended();
            if upto > before {
                self.release(index, upto);
                next = Some(Input::Durable { upto });
            }
            if let Some(snapshot) = snapshot {
                // At most once in many thousand slots; the order of the two does not matter.
                let mut more = Effects::new();
                let taken = Input::SnapshotTaken { snapshot };
                self.cores[index].protocol.handle(self.now, taken, &mut more);
                for effect in more.drain() {
                    self.carry_out(index, effect);
                }
                let upto = self.cores[index].gate.appended();
                self.release(index, upto);
                next = Some(Input::Durable { upto });
            }
        }
        self.effects = effects;
    }

    /// Carries out one effect; a snapshot that was asked for comes back, empty.
    fn carry_out(
        &mut self,
        index: usize,
        effect: Effect<P::Message, P::Record>,
    ) -> Option<SnapshotMeta> {
        match effect {
            Effect::Send { to, message, release } => {
                if let Some((to, message)) = self.cores[index].gate.offer(to, message, release) {
                    self.transmit(index, to, message);
                }
            }
            Effect::Append { .. } | Effect::Compact { .. } | Effect::InstallSnapshot { .. } => {
                self.cores[index].gate.step();
            }
            Effect::Commit { batch, .. } => {
                self.committed += u64::from(!batch.is_empty());
                self.commits.commit(ReplicaId(index as u8), &batch);
            }
            Effect::TakeSnapshot { slot } => {
                return Some(SnapshotMeta { slot, digest: Digest::default(), bytes: 0 });
            }
            Effect::SendSnapshot { .. }
            | Effect::ReadReady { .. }
            | Effect::Refused { .. }
            | Effect::RoleChanged { .. } => {}
        }
        None
    }

    fn release(&mut self, index: usize, upto: Lsn) {
        self.cores[index].gate.durable_upto(upto);
        while let Some((to, message)) = self.cores[index].gate.release() {
            self.transmit(index, to, message);
        }
    }

    fn transmit(&mut self, index: usize, to: To, message: P::Message) {
        let Core { auth, setup, .. } = &self.cores[index];
        let sealed = auth.seal(to, message);
        let from = setup.replica;
        for to in to.receivers(from, setup.members).iter() {
            self.messages += 1;
            self.wire.push_back((from, to, sealed.clone()));
        }
    }
}

/// Deadlines that may pass until all replicas have committed a batch.
const TICKS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use quorate_smr::GroupId;
    use quorate_smr::testing::plain_batch;

    use super::*;

    fn orders_batches<P: Protocol>() {
        let mut cores: CoreLoop<P> = CoreLoop::new(0).unwrap();
        for round in 0..100 {
            cores.order(plain_batch(GroupId(0), round + 1, &[b"x"]));
        }
        assert_eq!(cores.committed, 100 * cores.cores.len() as u64);
    }

    #[test]
    fn every_replica_of_a_crash_tolerant_protocol_commits_every_batch() {
        orders_batches::<quorate_paxos::Paxos>();
        orders_batches::<quorate_raft::Raft>();
        orders_batches::<quorate_runtime::Direct>();
    }
}

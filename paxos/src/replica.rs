//! The replica: its parts, and the one door through which everything enters.
//!
//! What always holds, after each input:
//! - the acceptor's promise never decreases, and nothing is accepted below it;
//! - a leader leads under exactly the ballot that its own acceptor promised;
//! - commits were emitted up to `committed`, which is at most the decided prefix of the log.
//!
//! The rules themselves live in the modules named after the parts; this one only dispatches.

use std::time::Duration;

use quorate_smr::{
    Admin, Batch, Effect, Effects, Input, JournalCursor, Protocol, QuorumRule, Reads, Reason,
    RecoverError, Recovered, Refused, ReplicaId, Role, Setup, Slot, Status, Time, Trusted,
};

use crate::acceptor::Acceptor;
use crate::ballot::Ballot;
use crate::config::PaxosConfig;
use crate::election::{Canvass, Election};
use crate::leader::Leading;
use crate::message::Message;
use crate::proposer::Preparing;
use crate::record::Record;
use crate::snapshot::Snapshots;

/// Where effects go.
pub(crate) type Out = Effects<Message, Record>;

/// What the replica is doing besides accepting and learning, which it always does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mode {
    /// Follows a leader or waits for one.
    Following,
    /// Asks whether an election would disturb anybody.
    Canvassing(Canvass),
    /// Runs phase 1.
    Preparing(Preparing),
    /// Runs phase 2.
    Leading(Leading),
}

/// A Multi-Paxos replica: acceptor, learner and (at times) proposer in one. See the crate docs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Paxos {
    pub(crate) setup: Setup<PaxosConfig>,
    pub(crate) rule: QuorumRule,
    pub(crate) cursor: JournalCursor,
    pub(crate) acceptor: Acceptor,
    /// The last slot whose batch was handed to the host.
    pub(crate) committed: Slot,
    pub(crate) election: Election,
    pub(crate) snapshots: Snapshots,
    pub(crate) mode: Mode,
    /// What [`Effect::RoleChanged`] said last.
    pub(crate) announced: (Role, u64, Option<ReplicaId>),
}

impl Paxos {
    /// The highest ballot that this acceptor promised.
    #[must_use]
    pub const fn promised(&self) -> Ballot {
        self.acceptor.promised
    }

    /// The ballot under which this replica leads or stands for election, if it does.
    #[must_use]
    pub const fn ballot(&self) -> Option<Ballot> {
        match self.mode {
            Mode::Following | Mode::Canvassing(_) => None,
            Mode::Preparing(_) | Mode::Leading(_) => Some(self.acceptor.promised),
        }
    }

    /// Every value that this replica holds, in slot order: accepted under the given ballot, or
    /// ([`Ballot::ZERO`]) learned as decided without accepting it.
    pub fn accepted(&self) -> impl Iterator<Item = (Slot, Ballot, &Batch)> {
        self.acceptor.log.values(Slot(1))
    }

    /// Under which ballot the value at `slot` is held, as in [`Paxos::accepted`].
    #[must_use]
    pub fn accepted_at(&self, slot: Slot) -> Option<Ballot> {
        self.acceptor.log.ballot(slot)
    }

    /// Linearizable reads that wait for their confirmation.
    #[must_use]
    pub fn pending_reads(&self) -> usize {
        if let Mode::Leading(leading) = &self.mode { leading.reads.len() } else { 0 }
    }

    /// The end of the prefix of slots that this replica knows to be decided, with their values.
    #[must_use]
    pub const fn decided(&self) -> Slot {
        self.acceptor.log.decided()
    }

    /// The end of the prefix of slots that this acceptor has, durably, accepted under
    /// [`Paxos::promised`] or knows to be decided.
    #[must_use]
    pub const fn accepted_upto(&self) -> Slot {
        self.acceptor.stable
    }

    pub(crate) const fn me(&self) -> ReplicaId {
        self.setup.replica
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &PaxosConfig {
        &self.setup.config
    }

    const fn role(&self) -> Role {
        match self.mode {
            Mode::Following => Role::Follower,
            Mode::Canvassing(_) | Mode::Preparing(_) => Role::Candidate,
            Mode::Leading(_) => Role::Leader,
        }
    }

    /// The leader as far as known.
    pub(crate) const fn leader(&self) -> Option<ReplicaId> {
        if let Mode::Leading(_) = self.mode { Some(self.me()) } else { self.election.leader }
    }

    #[inline]
    fn announce(&mut self, effects: &mut Out) {
        let now = (self.role(), self.acceptor.promised.round, self.leader());
        if now != self.announced {
            self.announced = now;
            let (role, epoch, leader) = now;
            effects.push(Effect::RoleChanged { role, epoch, leader });
        }
    }

    #[inline]
    fn receive(&mut self, now: Time, from: ReplicaId, message: Message, effects: &mut Out) {
        let known = from != self.me() && self.setup.members.contains(from);
        if !known || !message.is_plausible(self.setup.group) {
            return;
        }
        match message {
            Message::Accept { round, slot, decided, batch } => {
                let ballot = Ballot { round, replica: from };
                if self.follow(now, from, ballot, effects) {
                    self.accept(slot, ballot, batch, effects);
                    self.learn(ballot, decided, effects);
                }
            }
            Message::Accepted { ballot, upto } => {
                self.on_accepted(now, from, ballot, upto, None, effects);
            }
            Message::Decide { ballot, decided } => {
                if self.follow(now, from, ballot, effects) {
                    self.learn(ballot, decided, effects);
                }
            }
            Message::Heartbeat { ballot, decided, probe } => {
                self.on_heartbeat(now, from, ballot, decided, probe, effects);
            }
            Message::HeartbeatAck { ballot, probe, upto } => {
                self.on_accepted(now, from, ballot, upto, Some(probe), effects);
            }
            other => self.receive_rare(now, from, other, effects),
        }
    }

    fn receive_rare(&mut self, now: Time, from: ReplicaId, message: Message, effects: &mut Out) {
        match message {
            Message::Canvass { canvass } => self.on_canvass(now, from, canvass, effects),
            Message::Canvassed { canvass, free, promised, decided } => {
                self.on_canvassed(now, from, canvass, free, promised, decided, effects);
            }
            Message::Prepare { ballot, from: slot } => {
                self.on_prepare(now, from, ballot, slot, effects);
            }
            Message::Promise { ballot, from: slot, decided, accepted, next }
                if self.ballot() == Some(ballot) =>
            {
                self.on_promise(now, from, slot, decided, accepted, next, effects);
            }
            Message::Refuse { promised } => self.on_refuse(now, promised, effects),
            Message::Fetch { from: slot } => self.on_fetch(now, from, slot, effects),
            Message::Decisions { from: slot, batches, decided } => {
                self.on_decisions(now, from, slot, batches, decided, effects);
            }
            Message::TakeOver { ballot } => self.on_take_over(now, from, ballot, effects),
            // Only together with data (`Input::SnapshotArrived`); the rest was handled before.
            _ => {}
        }
    }

    fn durable(&mut self, now: Time, effects: &mut Out) {
        if self.acceptor.advance_stable(self.cursor.durable()) {
            self.acknowledge(now, effects);
        }
        if let Mode::Preparing(_) = self.mode {
            self.lead_if_prepared(now, effects);
        }
    }

    fn admin(&mut self, now: Time, request: Admin, effects: &mut Out) {
        match request {
            Admin::TransferLeadership { to } => self.transfer(now, to, effects),
            Admin::ChangeMembership { .. } => {
                effects.refuse(Refused::Admin(request), Reason::Unsupported);
            }
        }
    }

    fn tick(&mut self, now: Time, effects: &mut Out) {
        match &self.mode {
            Mode::Following | Mode::Canvassing(_) => self.tick_election(now, effects),
            Mode::Preparing(_) => self.tick_preparing(now, effects),
            Mode::Leading(_) => self.tick_leading(now, effects),
        }
    }
}

impl Protocol for Paxos {
    type Config = PaxosConfig;
    type Message = Message;
    type Record = Record;
    type Auth = Trusted;

    const NAME: &'static str = "paxos";
    const READS: Reads = Reads::Indexed;

    fn replicas_for(faults: usize) -> usize {
        2 * faults + 1
    }

    fn reply_quorum(_replicas: usize) -> usize {
        1
    }

    fn authenticator(_setup: &Setup<PaxosConfig>) -> Result<Trusted, RecoverError> {
        Ok(Trusted)
    }

    fn recover(
        setup: Setup<PaxosConfig>,
        recovered: Recovered<Record>,
        now: Time,
    ) -> Result<Self, RecoverError> {
        crate::recovery::recover(setup, recovered, now)
    }

    fn handle(&mut self, now: Time, input: Input<Message>, effects: &mut Out) {
        // Only after a recovery is something left to emit here.
        self.emit_commits(effects);
        match input {
            Input::Tick => self.tick(now, effects),
            Input::Message { from, message } => self.receive(now, from, message, effects),
            Input::Propose { batch } => self.propose(batch, effects),
            Input::Read { id } => self.read(now, id, effects),
            Input::Durable { upto } => {
                self.cursor.durable_upto(upto);
                self.durable(now, effects);
            }
            Input::SnapshotTaken { snapshot } => self.on_snapshot_taken(snapshot.slot, effects),
            Input::SnapshotArrived { from, message, snapshot } => {
                self.on_snapshot_arrived(now, from, &message, snapshot, effects);
            }
            Input::SnapshotInstalled { slot } => self.on_snapshot_installed(now, slot, effects),
            Input::Admin(request) => self.admin(now, request, effects),
        }
        self.announce(effects);
    }

    fn deadline(&self) -> Option<Time> {
        if self.committed < self.decided() && !self.snapshots.is_installing() {
            return Some(Time::ZERO);
        }
        Some(match &self.mode {
            Mode::Following => self.election.follower_deadline(),
            Mode::Canvassing(canvass) => canvass.deadline,
            Mode::Preparing(preparing) => preparing.next_due(),
            Mode::Leading(leading) => leading.next_due(),
        })
    }

    fn status(&self) -> Status {
        let log = &self.acceptor.log;
        let adopted = match &self.mode {
            Mode::Preparing(preparing) => preparing.adopted_bytes(),
            _ => 0,
        };
        Status {
            replica: self.me(),
            role: self.role(),
            epoch: self.acceptor.promised.round,
            leader: self.leader(),
            base: self.snapshots.slot(),
            committed: self.committed,
            last: log.last().max(self.committed),
            held_bytes: log.bytes() + adopted,
            held_bytes_max: self.config().held_bytes_max(),
        }
    }

    fn retry_after(config: &PaxosConfig) -> Duration {
        config.election_timeout_max.saturating_mul(2)
    }
}

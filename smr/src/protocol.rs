//! The contract between a consensus protocol and whatever hosts it.
//!
//! A protocol is a value with one door in ([`Protocol::handle`]) and one way out ([`Effects`]). It
//! does no I/O, reads no clock, spawns no thread and owns no randomness beyond its [`Seed`]. What
//! always holds:
//!
//! - **Deterministic.** The same state, time and input give the same state and effects.
//! - **Durable before visible.** A message sent with [`Release::Durable`] leaves only after every
//!   durable step asked for before it is durable. Hosts enforce it with one value, [`crate::gate`].
//! - **Recoverable.** [`Protocol::recover`] rebuilds a replica from its snapshot and records alone.
//! - **Bounded.** Every buffer has a limit that the configuration names; beyond it a proposal is
//!   refused with a reason.
//! - **Checkable.** State is `Clone + Eq + Hash + Debug`, so that an explorer can enumerate it.
//! - **Authenticity at the edge.** [`Authenticator::open`] runs before `handle`, on any thread; a
//!   protocol never sees a message that failed it.
//!
//! Slots count *batches* and start at 1. Committed batches come out in slot order without gaps,
//! each once per incarnation, beginning after the snapshot that the replica recovered from. A slot
//! that decides nothing (a leader's no-op, a filled gap) commits an empty batch.

use std::fmt::{self, Debug};
use std::hash::Hash;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::auth::Authenticator;
use crate::batch::Batch;
use crate::digest::Digest;
use crate::ids::{ClusterId, GroupId, Lsn, ReadId, ReplicaId, Seed, Slot, Time};
use crate::quorum::{QuorumError, ReplicaSet};

/// What every protocol's message or record must offer: a plain, comparable, encodable value.
pub trait Value:
    Clone + Eq + Hash + Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
}

impl<T> Value for T where
    T: Clone + Eq + Hash + Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
}

/// Who a replica is and with whom it agrees.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Setup<C> {
    /// The deployment.
    pub cluster: ClusterId,
    /// The group within it.
    pub group: GroupId,
    /// This replica; must be one of `members`.
    pub replica: ReplicaId,
    /// The replicas of the group.
    pub members: ReplicaSet,
    /// This replica's only source of randomness; differs between replicas.
    pub seed: Seed,
    /// The protocol's own settings.
    pub config: C,
}

impl<C> Setup<C> {
    /// A setup for `replica` of a group `0..replicas`, with everything else at its default.
    #[must_use]
    pub fn new(replica: ReplicaId, replicas: usize, seed: Seed, config: C) -> Self {
        Self {
            cluster: ClusterId(1),
            group: GroupId(0),
            replica,
            members: ReplicaSet::first(replicas),
            seed: seed.derive(u64::from(replica.0)),
            config,
        }
    }

    /// The other members.
    #[must_use]
    pub fn peers(&self) -> ReplicaSet {
        self.members.difference(ReplicaSet::only(self.replica))
    }
}

/// What the journal gave back after a restart. `Default` is the first start of a new replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recovered<R> {
    /// The snapshot that the state machine was restored from, if any.
    pub snapshot: Option<SnapshotMeta>,
    /// The records that follow it, in the order in which they were appended.
    pub records: Vec<R>,
}

impl<R> Default for Recovered<R> {
    fn default() -> Self {
        Self { snapshot: None, records: Vec::new() }
    }
}

/// Why a replica cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoverError {
    /// The group cannot form quorums.
    #[error(transparent)]
    Quorum(#[from] QuorumError),
    /// This replica is not in its own group.
    #[error("{0} is not a member of its group; correct the setup")]
    NotAMember(ReplicaId),
    /// A setting is out of range.
    #[error("configuration: {0}")]
    Config(String),
    /// The records contradict one another or the snapshot: the journal is damaged or not ours.
    /// The replica must not start; restore it from its peers under a new identity.
    #[error("journal: {0}")]
    Journal(String),
}

/// What happens to a replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input<M> {
    /// Time passed; sent at the latest when [`Protocol::deadline`] is reached.
    Tick,
    /// A peer's message that passed [`Authenticator::open`]. `from` is authentic.
    Message {
        /// The peer.
        from: ReplicaId,
        /// What it said.
        message: M,
    },
    /// A client's commands, sealed; every command passed [`Authenticator::admit`].
    Propose {
        /// The batch.
        batch: Batch,
    },
    /// A linearizable read wants to know which slot it must wait for.
    Read {
        /// The host's number for it.
        id: ReadId,
    },
    /// Every durable step up to and including `upto` is on disk.
    Durable {
        /// The last of them.
        upto: Lsn,
    },
    /// The executor took the snapshot asked for by [`Effect::TakeSnapshot`].
    SnapshotTaken {
        /// What it covers.
        snapshot: SnapshotMeta,
    },
    /// A peer's message came with snapshot data, whose digest matches `snapshot.digest`.
    SnapshotArrived {
        /// The peer.
        from: ReplicaId,
        /// The message that the peer sent along.
        message: M,
        /// What the data covers, as computed by the receiving host.
        snapshot: SnapshotMeta,
    },
    /// The state machine now stands at the snapshot of [`Effect::InstallSnapshot`].
    SnapshotInstalled {
        /// Its slot.
        slot: Slot,
    },
    /// An operator's request.
    Admin(Admin),
}

/// What an operator may ask of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Admin {
    /// Hand leadership to `to`, if it is caught up.
    TransferLeadership {
        /// The wished-for leader.
        to: ReplicaId,
    },
    /// Replace the group's members.
    ChangeMembership {
        /// The members after the change.
        members: ReplicaSet,
    },
}

/// What a snapshot covers: all slots up to and including `slot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, serde::Deserialize)]
pub struct SnapshotMeta {
    /// The last slot applied.
    pub slot: Slot,
    /// The digest of the snapshot's bytes. Equal states give equal bytes.
    pub digest: Digest,
    /// Size of the snapshot's bytes.
    pub bytes: u64,
}

/// To whom a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum To {
    /// One replica.
    One(ReplicaId),
    /// Every other member.
    Others,
    /// These replicas (the sender is left out).
    Set(ReplicaSet),
}

impl To {
    /// The receivers, given the sender and the members.
    #[must_use]
    pub fn receivers(self, from: ReplicaId, members: ReplicaSet) -> ReplicaSet {
        let all = match self {
            Self::One(replica) => ReplicaSet::only(replica),
            Self::Others => members,
            Self::Set(set) => set.intersection(members),
        };
        all.difference(ReplicaSet::only(from))
    }
}

/// When a message may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Release {
    /// At once, beside the disk: the message promises nothing that the journal must remember.
    Immediate,
    /// After every durable step asked for so far is durable. The safe default.
    Durable,
}

/// What a replica asks of its host, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect<M, R> {
    /// Send a message.
    Send {
        /// Receivers.
        to: To,
        /// The message.
        message: M,
        /// When it may leave.
        release: Release,
    },
    /// Send `message` together with the data of the local snapshot at `slot`: the one of the last
    /// [`Effect::Compact`] or a later one. It arrives as [`Input::SnapshotArrived`].
    SendSnapshot {
        /// The receiver.
        to: ReplicaId,
        /// The slot at which the snapshot stands.
        slot: Slot,
        /// The message that travels along.
        message: M,
    },
    /// Durable step: append a record to the journal.
    Append {
        /// The record.
        record: R,
    },
    /// Durable step: the snapshot taken at `slot` and these records replace the whole journal, in
    /// one atomic step. The records are all that the replica still needs.
    Compact {
        /// The slot of a snapshot that the host holds ([`Input::SnapshotTaken`] named it).
        slot: Slot,
        /// The journal's new content.
        records: Vec<R>,
    },
    /// Durable step: as [`Effect::Compact`], with the snapshot that just arrived; the executor
    /// restores it, then the host answers [`Input::SnapshotInstalled`]. Commits go on after it.
    InstallSnapshot {
        /// The snapshot, one that [`Input::SnapshotArrived`] named.
        snapshot: SnapshotMeta,
        /// The journal's new content.
        records: Vec<R>,
    },
    /// `slot` decided `batch`: apply it.
    Commit {
        /// The slot, one above the previous commit or the installed snapshot.
        slot: Slot,
        /// Its batch.
        batch: Batch,
    },
    /// A read may be served once `slot` is applied.
    ReadReady {
        /// Which read.
        id: ReadId,
        /// The slot to wait for; it may be applied already.
        slot: Slot,
    },
    /// A request was not taken up. It had no effect and will have none.
    Refused {
        /// What was refused.
        request: Refused,
        /// Why, and what the requester may do.
        reason: Reason,
    },
    /// The log has grown: take a snapshot once `slot` is applied and answer
    /// [`Input::SnapshotTaken`]. The snapshot must stand at exactly `slot`.
    TakeSnapshot {
        /// The slot.
        slot: Slot,
    },
    /// The replica's role or its leader changed.
    RoleChanged {
        /// The new role.
        role: Role,
        /// Term, ballot round or view.
        epoch: u64,
        /// The leader as far as known.
        leader: Option<ReplicaId>,
    },
}

/// A request that was not taken up, given back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// These commands.
    Proposal(Batch),
    /// This read.
    Read(ReadId),
    /// This operator's request.
    Admin(Admin),
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reason {
    /// Another replica leads, or none does.
    #[error("not the leader; retry at {leader:?}, or anywhere when none is named")]
    NotLeader {
        /// The leader as far as known.
        leader: Option<ReplicaId>,
    },
    /// A window or buffer is full: retry later.
    #[error("busy: the window of requests in flight is full; retry later")]
    Busy,
    /// This protocol does not offer the request.
    #[error("this protocol does not support the request")]
    Unsupported,
    /// The request makes no sense here (a transfer to a stranger, another group's batch).
    #[error("the request is not valid for this group")]
    Invalid,
}

/// What a replica is at the moment. One set of words for the three protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Follows the leader (PBFT: a backup).
    Follower,
    /// Tries to become the leader (PBFT: changes view).
    Candidate,
    /// Orders batches (Paxos: the distinguished proposer; PBFT: the primary).
    Leader,
}

/// A replica's own view of itself, for invariants, metrics and people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status {
    /// Who.
    pub replica: ReplicaId,
    /// Its role.
    pub role: Role,
    /// Raft's term, the round of Paxos' ballot, PBFT's view.
    pub epoch: u64,
    /// The leader as far as known.
    pub leader: Option<ReplicaId>,
    /// The last slot of the snapshot below the log.
    pub base: Slot,
    /// The last slot committed.
    pub committed: Slot,
    /// The last slot for which anything is held.
    pub last: Slot,
    /// Bytes of batches held in memory.
    pub held_bytes: usize,
    /// The limit of `held_bytes` that follows from the configuration.
    pub held_bytes_max: usize,
}

/// Effects, in the order in which they were asked for. The host owns and reuses the buffer.
#[derive(Clone, PartialEq, Eq)]
pub struct Effects<M, R> {
    list: Vec<Effect<M, R>>,
}

impl<M, R> Default for Effects<M, R> {
    fn default() -> Self {
        Self { list: Vec::new() }
    }
}

impl<M: Debug, R: Debug> Debug for Effects<M, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.list).finish()
    }
}

impl<M, R> Effects<M, R> {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends `message` once all durable steps so far are durable.
    #[inline]
    pub fn send(&mut self, to: To, message: M) {
        self.list.push(Effect::Send { to, message, release: Release::Durable });
    }

    /// Sends `message` at once. Only for messages that promise nothing the journal must remember.
    #[inline]
    pub fn send_immediately(&mut self, to: To, message: M) {
        self.list.push(Effect::Send { to, message, release: Release::Immediate });
    }

    /// Adds any effect. Durable steps go through a [`JournalCursor`] instead.
    #[inline]
    pub fn push(&mut self, effect: Effect<M, R>) {
        self.list.push(effect);
    }

    /// Commits `batch` at `slot`.
    #[inline]
    pub fn commit(&mut self, slot: Slot, batch: Batch) {
        self.list.push(Effect::Commit { slot, batch });
    }

    /// Gives a request back.
    #[inline]
    pub fn refuse(&mut self, request: Refused, reason: Reason) {
        self.list.push(Effect::Refused { request, reason });
    }

    /// Takes all effects out, keeping the buffer.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Effect<M, R>> {
        self.list.drain(..)
    }

    /// The effects, to look at.
    #[must_use]
    pub fn as_slice(&self) -> &[Effect<M, R>] {
        &self.list
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// A replica's place in its own stream of durable steps: what it asked for, what is durable.
///
/// Both count from the start of this incarnation; what was recovered is durable by definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct JournalCursor {
    appended: Lsn,
    durable: Lsn,
}

impl JournalCursor {
    /// Asks for `record` to be appended; the number under which it will be reported durable.
    #[inline]
    pub fn append<M, R>(&mut self, record: R, effects: &mut Effects<M, R>) -> Lsn {
        self.step(Effect::Append { record }, effects)
    }

    /// Asks for the journal to become the snapshot at `slot` and `records`.
    pub fn compact<M, R>(
        &mut self,
        slot: Slot,
        records: Vec<R>,
        effects: &mut Effects<M, R>,
    ) -> Lsn {
        self.step(Effect::Compact { slot, records }, effects)
    }

    /// Asks for `snapshot` to be installed and the journal to become it and `records`.
    pub fn install<M, R>(
        &mut self,
        snapshot: SnapshotMeta,
        records: Vec<R>,
        effects: &mut Effects<M, R>,
    ) -> Lsn {
        self.step(Effect::InstallSnapshot { snapshot, records }, effects)
    }

    #[inline]
    fn step<M, R>(&mut self, effect: Effect<M, R>, effects: &mut Effects<M, R>) -> Lsn {
        self.appended = self.appended.next();
        effects.push(effect);
        self.appended
    }

    /// Notes that all steps up to `upto` are durable.
    ///
    /// # Panics
    /// If the host reports steps that were never asked for: its accounting is broken.
    #[inline]
    pub fn durable_upto(&mut self, upto: Lsn) {
        assert!(upto <= self.appended, "durable {upto} beyond appended {}", self.appended);
        self.durable = self.durable.max(upto);
    }

    /// The last step asked for.
    #[must_use]
    pub const fn appended(&self) -> Lsn {
        self.appended
    }

    /// The last step known to be durable.
    #[must_use]
    pub const fn durable(&self) -> Lsn {
        self.durable
    }
}

/// How a protocol answers linearizable reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reads {
    /// [`Input::Read`] yields a slot to wait for; the read itself is not ordered.
    Indexed,
    /// A read is proposed as a command like any other; [`Input::Read`] is refused.
    Ordered,
}

/// A consensus protocol: a pure, deterministic state machine that one replica runs.
pub trait Protocol: Clone + Eq + Hash + Debug + Send + 'static {
    /// The protocol's settings. `Default` is the shipped choice.
    type Config: Clone + Debug + Default + PartialEq + Send + Sync + 'static;
    /// What replicas say to one another.
    type Message: Value;
    /// What a replica remembers over a crash.
    type Record: Value;
    /// Makes and checks the proofs of origin of messages, commands and replies.
    type Auth: Authenticator<Self::Message>;

    /// The protocol's short name (`raft`).
    const NAME: &'static str;
    /// How linearizable reads are answered.
    const READS: Reads;

    /// Replicas needed to tolerate `faults` faults.
    fn replicas_for(faults: usize) -> usize;

    /// How many equal answers of distinct replicas a client needs, in a group of `replicas`.
    fn reply_quorum(replicas: usize) -> usize;

    /// The authenticator of the replica described by `setup`.
    ///
    /// # Errors
    /// When the setup's keys are unusable.
    fn authenticator(setup: &Setup<Self::Config>) -> Result<Self::Auth, RecoverError>;

    /// Builds a replica from what its journal remembers; from nothing on its first start.
    ///
    /// # Errors
    /// When the setup is invalid or the journal contradicts itself. The replica must not run then.
    fn recover(
        setup: Setup<Self::Config>,
        recovered: Recovered<Self::Record>,
        now: Time,
    ) -> Result<Self, RecoverError>;

    /// Takes one input and appends its effects to `effects`.
    ///
    /// # Panics
    /// Only when an invariant of the replica itself is broken; never because of what a peer, a
    /// client or an operator sent.
    fn handle(
        &mut self,
        now: Time,
        input: Input<Self::Message>,
        effects: &mut Effects<Self::Message, Self::Record>,
    );

    /// When the next [`Input::Tick`] is due; `None` when only other inputs matter.
    fn deadline(&self) -> Option<Time>;

    /// The replica's view of itself.
    fn status(&self) -> Status;

    /// A limit for how long a client should wait before it asks again or elsewhere.
    fn retry_after(config: &Self::Config) -> Duration;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_never_include_the_sender() {
        let members = ReplicaSet::first(3);
        assert_eq!(To::Others.receivers(ReplicaId(1), members).len(), 2);
        assert!(To::One(ReplicaId(1)).receivers(ReplicaId(1), members).is_empty());
        let set = To::Set(ReplicaSet::first(9)).receivers(ReplicaId(0), members);
        assert_eq!(set, [ReplicaId(1), ReplicaId(2)].into_iter().collect());
    }

    #[test]
    #[should_panic(expected = "beyond appended")]
    fn a_host_cannot_report_what_was_never_appended() {
        JournalCursor::default().durable_upto(Lsn(1));
    }

    #[test]
    fn every_durable_step_has_its_own_number() {
        let mut cursor = JournalCursor::default();
        let mut effects: Effects<(), u8> = Effects::new();
        assert_eq!(cursor.append(1, &mut effects), Lsn(1));
        assert_eq!(cursor.compact(Slot(1), vec![2], &mut effects), Lsn(2));
        cursor.durable_upto(Lsn(2));
        assert_eq!(cursor.durable(), cursor.appended());
        assert_eq!(effects.as_slice().len(), 2);
    }
}

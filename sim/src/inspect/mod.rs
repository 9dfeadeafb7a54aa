//! What the simulator wants to know about a protocol beyond the contract.
//!
//! One implementation for each protocol, here rather than in the protocol's crate: a protocol does
//! not depend on its simulator.

mod paxos;
mod pbft;
mod raft;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;

use quorate_smr::auth::Authenticator;
use quorate_smr::{Batch, Digest, Protocol, ReplicaId, Slot, To};

use crate::byzantine::{Behaviour, Speech};
use crate::dice::Dice;
use crate::turbulence::Illness;

/// A message as its sender sealed it.
pub type Sealed<P> = <<P as Protocol>::Auth as Authenticator<<P as Protocol>::Message>>::Sealed;

/// Something that a replica wrote to its journal and that can be compared between replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where in the log.
    pub slot: Slot,
    /// Under which term or ballot, as one number; a number belongs to one leader.
    pub epoch: u64,
    /// What.
    pub value: Value,
}

/// What a liar must stick to: for (epoch, slot) the value that it vouches for.
pub type Told = BTreeMap<(u64, Slot), Digest>;

/// A batch, or its digest where only that is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// The batch.
    Batch(Batch),
    /// Its digest.
    Digest(Digest),
}

/// A protocol that the simulator can look into.
pub trait Inspect: Protocol {
    /// What a replica must still know after a crash because it told others.
    type Memory: Clone + Eq + Hash + Debug + Send + Sync + 'static;

    /// Whether at most one replica may lead an epoch ([`quorate_smr::Status::epoch`]).
    const SOLE_LEADER: bool;
    /// Whether a new leader must hold every batch committed in earlier epochs.
    const COMPLETE_LEADER: bool;
    /// Whether replicas may be Byzantine.
    const BYZANTINE: bool;

    /// A configuration for one run: small windows and frequent snapshots, so that their edges are
    /// met within seconds.
    fn draw_config(dice: &mut Dice) -> Self::Config;

    /// Changes what depends on the size of the group.
    fn draw_for_group(_config: &mut Self::Config, _replicas: usize, _dice: &mut Dice) {}

    /// How many faulty replicas a group of `replicas` tolerates.
    #[must_use]
    fn faults(replicas: usize) -> usize {
        (0..replicas)
            .take_while(|faults| Self::replicas_for(*faults) <= replicas)
            .count()
            .saturating_sub(1)
    }

    /// How many replicas of a group with this configuration may be faulty for it to make progress.
    #[must_use]
    fn tolerated(_config: &Self::Config, replicas: usize) -> usize {
        Self::faults(replicas)
    }

    /// The largest batch that a replica with this configuration takes up, in bytes.
    #[must_use]
    fn batch_bytes_max(_config: &Self::Config) -> usize {
        1 << 20
    }

    /// Whether the others of a group of `replicas` make progress and converge although one replica
    /// suffers from `illness` for good. Where not, a run cuts it off instead.
    #[must_use]
    fn endures(_config: &Self::Config, _replicas: usize, _illness: Illness) -> bool {
        true
    }

    /// The message in a few words, for a chart: what it is, and the numbers that matter.
    #[must_use]
    fn label(message: &Self::Message) -> String {
        let text = format!("{message:?}");
        text.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
    }

    /// What the replica has promised so far.
    fn memory(&self) -> Self::Memory;

    /// Whether `now`, after a restart, keeps what was `told` before it.
    ///
    /// # Errors
    /// Says what was forgotten.
    fn still_knows(told: &Self::Memory, now: &Self::Memory) -> Result<(), String>;

    /// The log entries in a record. Replicas that hold an entry of the same slot and epoch must
    /// hold the same value.
    fn entries(record: &Self::Record, note: &mut dyn FnMut(Entry));

    /// Whether an entry stands for all entries before it (Raft §5.3), and only a leader's own ones
    /// are committed by counting.
    const CHAINED_LOG: bool = false;

    /// The epoch of the entry that the replica holds at `slot`, if it knows.
    fn epoch_at(&self, _slot: Slot) -> Option<u64> {
        None
    }

    /// Up to here the log need not be remembered for others: a snapshot covers it, or it is known
    /// to be decided.
    fn settled(&self) -> Slot {
        self.status().base
    }

    /// The last slot up to which `message` acknowledges entries that a quorum may count.
    #[must_use]
    fn acknowledges(_message: &Self::Message) -> Option<Slot> {
        None
    }

    /// Whether `message` promises something that must be durable before it leaves.
    #[must_use]
    fn is_promise(_message: &Self::Message) -> bool {
        false
    }

    /// How many honest replicas have an entry of one epoch on their disks before it is decided.
    #[must_use]
    fn quorum(_config: &Self::Config, replicas: usize) -> usize {
        replicas / 2 + 1
    }

    /// The invariant that a value which such a quorum holds is what later epochs propose; `None`
    /// where that takes more than a quorum (Raft §5.4.2).
    const CHOSEN_STAYS: Option<&'static str> = None;

    /// The state that `message` vouches for.
    #[must_use]
    fn checkpoint(_message: &Self::Message) -> Option<(Slot, Digest)> {
        None
    }

    /// Buffers that are limited by count: name, items held, limit.
    fn buffers(&self) -> Option<(&'static str, usize, usize)> {
        None
    }

    /// What `record` remembers so that the replica never tells another of the same slot and epoch
    /// something else.
    #[must_use]
    fn said(_record: &Self::Record) -> Option<Entry> {
        None
    }

    /// The ballot that `memory` promises, as one number; 0 where there are no promises.
    #[must_use]
    fn promise_of(_memory: &Self::Memory) -> u64 {
        0
    }

    /// The ballot that `record` promises.
    #[must_use]
    fn promises(_record: &Self::Record) -> Option<u64> {
        None
    }

    /// The ballot under which `record` accepts a value.
    #[must_use]
    fn accepts(_record: &Self::Record) -> Option<u64> {
        None
    }

    /// What the replica holds above its base; `None` when the protocol cannot say. Asked only
    /// when a leader is elected.
    fn log(&self) -> Option<BTreeMap<Slot, Batch>>;

    /// A lie of the kind `how` in place of `message`, with the liar's own valid proofs; `None` when
    /// there is nothing to lie about. `told` is what the liar said before and must stick to.
    fn lie(
        _how: Behaviour,
        _auth: &Self::Auth,
        _to: To,
        _message: &Self::Message,
        _told: &mut Told,
        _dice: &mut Dice,
    ) -> Option<Sealed<Self>> {
        None
    }

    /// `sealed` with a proof that is wrong for some receivers.
    fn spoil(_sealed: &Sealed<Self>, _dice: &mut Dice) -> Option<Sealed<Self>> {
        None
    }

    /// What kind of thing `message` is.
    #[must_use]
    fn speech(_message: &Self::Message) -> Speech {
        Speech::Other
    }

    /// Epoch and slot that a proposal or a vote is about.
    #[must_use]
    fn place(_message: &Self::Message) -> Option<(u64, Slot)> {
        None
    }

    /// All votes with which a replica supports `proposal`.
    #[must_use]
    fn votes_for(_proposal: &Self::Message) -> Vec<Self::Message> {
        Vec::new()
    }

    /// The proposal `message` of the replica `from` with `batch` in place of what it proposes;
    /// `None` when it proposes nothing.
    fn equivocate(
        _message: &Self::Message,
        _from: ReplicaId,
        _batch: &Batch,
    ) -> Option<Self::Message> {
        None
    }
}

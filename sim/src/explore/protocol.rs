//! What an exploration is made of, and what the explorer asks of a protocol.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use quorate_smr::{Batch, ReplicaId, ReplicaSet, Role, Slot};

use crate::inspect::{Inspect, Sealed};

/// The replicas that an exploration may have.
pub const EXPLORED_REPLICAS_MAX: usize = 5;

/// How often each kind of thing may happen, over the whole group. All else (which of them, in which
/// order, at which replica, with which messages lost) is explored exhaustively within these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Bounds {
    /// Timers of replicas that do not lead: elections, suspicions.
    pub timeouts: u8,
    /// Timers of leaders: heartbeats, retransmissions.
    pub heartbeats: u8,
    /// Batches that clients propose, each other than the rest, to whoever leads.
    pub proposals: u8,
    /// Linearizable reads, at whoever leads.
    pub reads: u8,
    /// Crashes; a crashed replica may come back at any time, or never.
    pub crashes: u8,
    /// Messages delivered and kept ([`Network::Once`] only; otherwise every message is).
    pub duplicates: u8,
    /// The highest term, ballot round or view; states beyond it are not entered.
    pub epochs: u8,
}

/// A bound that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "bound \"{0}\": write NAME=COUNT with a count of 0 to 255, separated by commas; names are \
     timeouts, heartbeats, proposals, reads, crashes, duplicates, epochs"
)]
pub struct BoundsError(pub String);

impl Bounds {
    /// These bounds with those in `changes` (`timeouts=3,crashes=1`) in place of their own.
    ///
    /// # Errors
    /// Names the part that cannot be read.
    pub fn changed(mut self, changes: &str) -> Result<Self, BoundsError> {
        for part in changes.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let bad = || BoundsError(part.to_string());
            let (name, count) = part.split_once('=').ok_or_else(bad)?;
            let count = count.trim().parse().map_err(|_| bad())?;
            *self.named(name.trim()).ok_or_else(bad)? = count;
        }
        Ok(self)
    }

    fn named(&mut self, name: &str) -> Option<&mut u8> {
        Some(match name {
            "timeouts" => &mut self.timeouts,
            "heartbeats" => &mut self.heartbeats,
            "proposals" => &mut self.proposals,
            "reads" => &mut self.reads,
            "crashes" => &mut self.crashes,
            "duplicates" => &mut self.duplicates,
            "epochs" => &mut self.epochs,
            _ => return None,
        })
    }
}

impl FromStr for Bounds {
    type Err = BoundsError;

    fn from_str(given: &str) -> Result<Self, BoundsError> {
        Self::default().changed(given)
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            ("timeouts", self.timeouts),
            ("heartbeats", self.heartbeats),
            ("proposals", self.proposals),
            ("reads", self.reads),
            ("crashes", self.crashes),
            ("duplicates", self.duplicates),
        ];
        for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            write!(f, "{name}={count},")?;
        }
        write!(f, "epochs={}", self.epochs)
    }
}

/// How the network treats messages. Loss needs no step of its own in either: a message may stay
/// undelivered for ever, and safety is checked after every step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Whatever was sent can be delivered at any later time, any number of times: loss, reordering
    /// and unlimited duplication.
    Kept,
    /// Each message is delivered at most once, except for [`Bounds::duplicates`]: loss and
    /// reordering. More states than [`Network::Kept`] for protocols that ignore repetitions, because
    /// "delivered already" is one more fact of each message; fewer behaviours.
    Once,
}

/// When durable steps become durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// At the end of the step that asked for them. A crash may come before, with any prefix of them
    /// written and with what need not wait for the disk already sent.
    AtOnce,
    /// By a step of its own, at any later time; a crash keeps any prefix.
    Later,
}

/// What an exploration should come across; one that does not proves little.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Milestone {
    /// A replica leads.
    Elected,
    /// A batch of a client is committed.
    Committed,
    /// Two epochs had a leader.
    SecondLeader,
    /// Batches of clients were committed in two epochs.
    CommittedInSecondEpoch,
    /// A replica installed a snapshot from a peer.
    SnapshotInstalled,
    /// A read was answered.
    ReadAnswered,
}

impl Milestone {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Elected,
        Self::Committed,
        Self::SecondLeader,
        Self::CommittedInSecondEpoch,
        Self::SnapshotInstalled,
        Self::ReadAnswered,
    ];

    /// What reports call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Elected => "a leader is elected",
            Self::Committed => "a command is committed",
            Self::SecondLeader => "leaders of two epochs",
            Self::CommittedInSecondEpoch => "commands committed in two epochs",
            Self::SnapshotInstalled => "a snapshot is installed",
            Self::ReadAnswered => "a read is answered",
        }
    }
}

/// A beginning that is not explored but played: the timer of one replica fires, the first client
/// batch is proposed to whoever leads, both as far as the bounds allow and the prelude says, and the
/// messages named here are delivered until they change nothing more. All
/// others wait in the network, and so do those of a Byzantine replica.
#[derive(Clone, Copy, Debug)]
pub struct Prelude<M> {
    /// What it is, in words.
    pub about: &'static str,
    /// Whose timer fires once, before anything else.
    pub stands: Option<ReplicaId>,
    /// Whether the first batch is proposed.
    pub proposes: bool,
    /// Which messages are delivered, by sender and receiver.
    pub carried: fn(ReplicaId, ReplicaId, &M) -> bool,
}

/// One exploration: a small group and what may happen to it.
#[derive(Clone, Debug)]
pub struct Exploration<P: Explore> {
    /// What the command line calls it.
    pub name: &'static str,
    /// What it covers, in a line.
    pub about: &'static str,
    /// Replicas, at most [`EXPLORED_REPLICAS_MAX`].
    pub replicas: usize,
    /// The protocol's configuration.
    pub config: P::Config,
    /// What may happen how often.
    pub bounds: Bounds,
    /// The network.
    pub network: Network,
    /// The disks.
    pub disk: Disk,
    /// Whose timers may fire.
    pub timed: ReplicaSet,
    /// Who may crash.
    pub crashing: ReplicaSet,
    /// Whether clients propose at most one batch in each epoch.
    pub one_each: bool,
    /// What has happened already at the start; from there on everything is explored.
    pub prelude: Option<Prelude<P::Message>>,
    /// Steps after which it ends, as one more bound; `None`: it ends with the last state.
    pub steps: Option<NonZeroUsize>,
    /// Messages that never arrive, which keeps the number of states down. Any message may be lost,
    /// so what such an exploration visits is real; what these messages lead to it does not visit.
    pub lost: fn(&P::Message) -> bool,
    /// A replica that lies (only where [`Inspect::BYZANTINE`]).
    pub byzantine: Option<ReplicaId>,
    /// What it must come across when it is complete.
    pub expects: Vec<Milestone>,
    /// Whether it is complete within seconds and belongs into every check of the repository.
    pub gate: bool,
}

impl<P: Explore> Exploration<P> {
    /// Without anything happening: fill in the bounds.
    #[must_use]
    pub fn new(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            replicas: P::replicas_for(1),
            config: P::small_config(),
            bounds: Bounds { epochs: 1, ..Bounds::default() },
            network: Network::Kept,
            disk: Disk::AtOnce,
            timed: ReplicaSet::first(EXPLORED_REPLICAS_MAX),
            crashing: ReplicaSet::first(EXPLORED_REPLICAS_MAX),
            one_each: false,
            prelude: None,
            steps: None,
            lost: |_| false,
            byzantine: None,
            expects: Vec::new(),
            gate: false,
        }
    }
}

/// Which of a replica's timers is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Counts as one of [`Bounds::timeouts`].
    Timeout,
    /// Counts as one of [`Bounds::heartbeats`].
    Heartbeat,
}

/// A protocol that can be explored.
///
/// Time is each replica's own: it stands still while messages come and jumps to the replica's
/// deadline when its timer fires. So the relative speed of clocks is explored as the order of
/// timers, and the state does not depend on how often messages were handled.
pub trait Explore: Inspect + Sync {
    /// Whether replicas differ in nothing but their names, so that of several that have done nothing
    /// yet only the first need act.
    const SYMMETRIC: bool;
    /// Whether a batch that is proposed once is committed once. Not where backups pass it on.
    const COMMITTED_ONCE: bool;

    /// A configuration with few moving parts and without random spread.
    fn small_config() -> Self::Config;

    /// What explorations the program offers.
    fn explorations() -> Vec<Exploration<Self>>;

    /// How much time has passed at a replica when it hears its first message.
    #[must_use]
    fn boot_time(_config: &Self::Config) -> Duration {
        Duration::ZERO
    }

    /// The timer behind [`quorate_smr::Protocol::deadline`]; `None` when it is of no interest.
    #[must_use]
    fn timer(&self) -> Option<Timer> {
        match self.status().role {
            Role::Leader => Some(Timer::Heartbeat),
            Role::Follower | Role::Candidate => Some(Timer::Timeout),
        }
    }

    /// Whether the logs of two replicas agree as far as they must.
    ///
    /// # Errors
    /// Says where they do not.
    fn logs_match(_left: &Self, _right: &Self) -> Result<(), String> {
        Ok(())
    }

    /// The epoch in which the entry at `slot` was first written, where entries keep it and `self`
    /// still holds it. Two null batches of different epochs are different entries.
    #[must_use]
    fn entry_epoch(&self, _slot: Slot) -> Option<u64> {
        None
    }

    /// Everything that the Byzantine replica with these keys says of its own accord, to whomever it
    /// likes. All of it can be delivered at any time, so it need not decide when to say what.
    #[must_use]
    fn lies(_auth: &Self::Auth, _liar: ReplicaId, _batches: &[Batch]) -> Vec<Sealed<Self>> {
        Vec::new()
    }

    /// Whether `message` is something from which the Byzantine replica makes new lies.
    #[must_use]
    fn feeds_lies(_message: &Self::Message) -> bool {
        false
    }

    /// What the Byzantine replica can say once it has heard `messages`: for each thing that it may
    /// want to say, the ways to prove it. The first way that anyone believes is taken.
    #[must_use]
    fn lies_after(
        _auth: &Self::Auth,
        _liar: ReplicaId,
        _messages: &[Self::Message],
        _batches: &[Batch],
    ) -> Vec<Vec<Sealed<Self>>> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_read_changed_and_printed() {
        let bounds: Bounds = "timeouts=2, crashes=1,epochs=3".parse().unwrap();
        assert_eq!((bounds.timeouts, bounds.crashes, bounds.epochs), (2, 1, 3));
        assert_eq!(bounds.changed("crashes=0").unwrap().to_string(), "timeouts=2,epochs=3");
        for bad in ["timeouts", "timeouts=x", "timeouts=256", "ticks=1"] {
            assert_eq!(bad.parse::<Bounds>(), Err(BoundsError(bad.to_string())));
        }
    }
}

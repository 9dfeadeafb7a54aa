//! The kinds of faults, how often each was injected, and which of them were spared.
//!
//! Whatever draws a fault asks `Faults::strikes` before it carries it out. So every fault of a run
//! has a name, its kind and its number among those of its kind ([`FaultId`]), and a run can be
//! repeated with some of them left out: that is how a failing run is reduced to the few faults that
//! it takes.

use std::collections::BTreeSet;
use std::fmt;

/// Declares the kinds with their names in reports.
macro_rules! faults {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// A kind of fault (or of hostile operation) that a run may inject.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FaultKind {
            $($(#[$doc])* $kind,)*
        }

        impl FaultKind {
            /// All kinds, in the order of reports.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// The name in reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// The kind with this name in reports.
            #[must_use]
            pub fn of_name(name: &str) -> Option<Self> {
                Self::ALL.iter().find(|kind| kind.name() == name).copied()
            }
        }
    };
}

faults! {
    /// A message vanished.
    Loss = "message lost",
    /// A message arrived twice.
    Duplicate = "message duplicated",
    /// A message was held back so long that later ones overtook it.
    Reorder = "message delayed past others",
    /// A frame's bits were flipped on the way.
    Corruption = "frame corrupted",
    /// The replicas were split in two that cannot talk.
    Partition = "partition, symmetric",
    /// One side hears the other but is not heard.
    OneWayPartition = "partition, one way",
    /// Some links are cut, so that who can talk to whom is not transitive.
    PartialPartition = "partition, partial",
    /// Messages were lost at a cut link.
    Cut = "message at a cut link",
    /// A frame arrived cut short.
    FrameCut = "frame cut short",
    /// A frame named another cluster.
    WrongCluster = "frame of another cluster",
    /// A frame named another sender than the one whose connection it came through.
    WrongSender = "frame under another sender's name",
    /// A message took a link that is slower than the others.
    SlowLink = "message over a slow link",
    /// A link held its messages and let them go at once.
    Clog = "link clogged",
    /// A message was held at a clogged link.
    ClogHeld = "message held at a clogged link",
    /// A message found the queue of a clogged link full.
    ClogOverflow = "message dropped at a clogged link",
    /// Links were stopped one by one and restored in another order.
    Swizzle = "links stopped one by one",
    /// A link went down and up several times.
    Flap = "link flapped",
    /// Everybody was left with a link to one replica only, which is not the leader.
    QuorumLoss = "graph: quorum loss",
    /// As a quorum loss, with the leader cut off.
    ConstrainedElection = "graph: constrained election",
    /// The replicas were left as a chain.
    Chained = "graph: chained",
    /// The leader could send and not hear.
    LeaderDeaf = "graph: leader hears nobody",
    /// The leader could hear and not send.
    LeaderVoiceless = "graph: leader heard by nobody",
    /// Two replicas were left with one neighbour each.
    FiveNodes = "graph: two with one neighbour each",
    /// A replica lost its memory and came back from its journal.
    Crash = "crash",
    /// A crash between two effects of one step.
    CrashWithinStep = "crash within a step",
    /// A crash while the disk was writing.
    CrashWithinSync = "crash within a sync",
    /// A crash lost durable steps that were asked for but not yet on disk.
    LostSteps = "steps lost in a crash",
    /// A crash tore the record that was being written.
    TornTail = "torn tail",
    /// The disk reported an error for a sync; the replica stopped.
    SyncError = "sync error",
    /// A disk was full for a while.
    DiskFull = "disk full",
    /// A replica stopped because a step did not fit on its disk.
    StoppedFull = "stopped by a full disk",
    /// A crash left damage that can be mended: one copy of the identity, or an identifier.
    MendableDamage = "mendable disk damage",
    /// Bits of a durable step flipped, with others behind it.
    Rot = "bit rot",
    /// Bits of the last durable step flipped.
    RotLast = "bit rot in the last record",
    /// A sync was reported, did not take place, and later ones did.
    LostSync = "lost sync",
    /// A step was written over another.
    MisplacedRecord = "record misplaced",
    /// Both copies of a disk's identity were damaged.
    DamagedIdentity = "disk identity damaged",
    /// A replica came back with an empty disk.
    EmptiedDisk = "disk emptied",
    /// A replica came back with another's disk.
    SwappedDisk = "disk swapped",
    /// A disk forgot synced steps at its end.
    ForgottenTail = "synced steps forgotten",
    /// A replica did not start, because its disk was refused.
    DiskRefused = "disk refused",
    /// A disk took far longer than usual.
    SlowDisk = "slow disk",
    /// A process stood still while its clock ran on.
    Pause = "pause",
    /// A process went on, after a pause, with the time that it had read before.
    OldClock = "old clock after a pause",
    /// A replica's clock runs fast or slow.
    Drift = "clock drift",
    /// A replica's clock jumped forward.
    ClockStep = "clock step",
    /// The leader stood still for several election timeouts and went on with its old clock.
    LeaderPause = "leader paused for long",
    /// Additional clients asked without a pause.
    Surge = "load: surge of clients",
    /// A client wrote a value far larger than usual.
    HugeCommand = "load: huge command",
    /// An input waited in a busy replica's inbox.
    Busy = "load: input waited",
    /// An input found the inbox full: a message was dropped, or a request refused.
    InboxFull = "load: inbox full",
    /// A replica was slower than the others.
    SlowReplica = "slow replica",
    /// A replica stayed ill when the others were healed.
    LeftIll = "left ill after healing",
    /// The state machine lagged behind the commits.
    SlowApply = "slow state machine",
    /// A new leader crashed or was cut off soon after its election.
    Hunt = "new leader hunted down",
    /// An operator moved the leadership.
    Transfer = "leadership transfer",
    /// A client gave up on a request, whose outcome stays unknown.
    GaveUp = "client gave up",
    /// A Byzantine replica said nothing.
    Mute = "byzantine: mute",
    /// A Byzantine replica spoke to some only.
    Selective = "byzantine: selective",
    /// A Byzantine primary sent different batches to different backups.
    Equivocate = "byzantine: equivocation",
    /// A Byzantine replica ran twice with one identity.
    Twin = "byzantine: twins",
    /// A Byzantine replica sent an old message of its own again.
    Replay = "byzantine: replay",
    /// A Byzantine replica changed a message after its proof was made.
    Forge = "byzantine: forged proof",
    /// A Byzantine replica signed something untrue.
    Lie = "byzantine: signed lie",
    /// A Byzantine replica spoke of another view or slot.
    Stale = "byzantine: of another view",
    /// A Byzantine replica made an authenticator that is right for some receivers only.
    PartlyProven = "byzantine: authenticator partly valid",
    /// A Byzantine replica withheld or forged a certificate.
    FalseCertificate = "byzantine: certificate withheld or forged",
    /// A Byzantine replica signed different checkpoints for different replicas.
    TwoCheckpoints = "byzantine: conflicting checkpoints",
    /// A Byzantine primary left a backup out.
    ServesSome = "byzantine: serves only some",
    /// A Byzantine replica delayed a message to just below the timeout.
    SlowSpeaker = "byzantine: slow",
    /// A Byzantine replica withheld what it was asked for.
    Withheld = "byzantine: body or answer withheld",
    /// A Byzantine replica invented a request, or passed off another body.
    Invention = "byzantine: request invented or body false",
    /// A Byzantine replica lost its journal.
    Amnesia = "byzantine: amnesia",
    /// Byzantine replicas told two stories in concert.
    Collusion = "byzantine: collusion",
    /// A Byzantine replica did one of several things.
    Shift = "byzantine: shifting behaviour",
    /// A client sent far more than it may.
    Flood = "client: flood",
    /// A client sent different requests under one number to different replicas.
    TwoFaced = "client: two requests under one number",
    /// A client's proof was right for some replicas only.
    PartialProof = "client: proof partly valid",
    /// A client's proof was wrong for every replica.
    BadProof = "client: proof invalid",
    /// Old requests, of others too, were sent again.
    OldRequest = "client: old request again",
    /// A client used absurd numbers or sizes.
    Absurd = "client: absurd number or size",
}

/// How often each kind was injected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultCounts([u64; FaultKind::ALL.len()]);

impl Default for FaultCounts {
    fn default() -> Self {
        Self([0; FaultKind::ALL.len()])
    }
}

impl FaultCounts {
    /// Counts one fault.
    pub const fn add(&mut self, kind: FaultKind) {
        self.0[kind as usize] += 1;
    }

    /// How often `kind` was injected.
    #[must_use]
    pub const fn of(&self, kind: FaultKind) -> u64 {
        self.0[kind as usize]
    }

    /// Adds the counts of another run.
    pub fn merge(&mut self, other: &Self) {
        for (sum, count) in self.0.iter_mut().zip(other.0) {
            *sum += count;
        }
    }

    /// All faults together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The kinds that were injected, with their counts.
    pub fn injected(&self) -> impl Iterator<Item = (FaultKind, u64)> {
        FaultKind::ALL.iter().map(|kind| (*kind, self.of(*kind))).filter(|(_, count)| *count > 0)
    }
}

/// One fault of a run: the `number`-th of its kind that was drawn, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId {
    /// The kind.
    pub kind: FaultKind,
    /// Its number among those of its kind, in the order in which they were drawn.
    pub number: u64,
}

/// The faults of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    counts: FaultCounts,
    drawn: FaultCounts,
    spared: BTreeSet<FaultId>,
    kept: Option<BTreeSet<FaultId>>,
}

impl Faults {
    /// The faults of a run in which those in `spared` do not take place, and, if some are `kept`,
    /// no others than those.
    pub(crate) fn new(spared: BTreeSet<FaultId>, kept: Option<BTreeSet<FaultId>>) -> Self {
        Self { spared, kept, ..Self::default() }
    }

    /// Whether the fault of `kind` that was just drawn takes place; counts it if so. If not, the
    /// caller goes on as though the dice had spared it.
    pub(crate) fn strikes(&mut self, kind: FaultKind) -> bool {
        let strikes = self.permits(kind);
        if strikes {
            self.counts.add(kind);
        }
        strikes
    }

    /// As [`Faults::strikes`], for a fault that is counted where it is carried out.
    pub(crate) fn permits(&mut self, kind: FaultKind) -> bool {
        let id = FaultId { kind, number: self.drawn.of(kind) };
        self.drawn.add(kind);
        !self.spared.contains(&id) && self.kept.as_ref().is_none_or(|kept| kept.contains(&id))
    }

    /// Counts what follows from another fault, or from what the plan says about a replica.
    pub(crate) const fn note(&mut self, kind: FaultKind) {
        self.counts.add(kind);
    }

    /// How often `kind` took place.
    pub(crate) const fn count(&self, kind: FaultKind) -> u64 {
        self.counts.of(kind)
    }

    /// How often each kind took place, and how often each was drawn by the dice.
    pub(crate) fn into_counts(self) -> (FaultCounts, FaultCounts) {
        (self.counts, self.drawn)
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lead_back_to_their_kind() {
        for kind in FaultKind::ALL {
            assert_eq!(FaultKind::of_name(kind.name()), Some(*kind));
        }
    }

    #[test]
    fn numbers_count_what_was_drawn_not_what_took_place() {
        let third = FaultId { kind: FaultKind::Crash, number: 2 };
        let mut only_third = Faults::new(BTreeSet::new(), Some([third].into()));
        let strikes = [0; 4].map(|_| only_third.strikes(FaultKind::Crash));
        assert_eq!(strikes, [false, false, true, false]);
        assert!(!only_third.strikes(FaultKind::Pause), "what is not kept does not take place");
        let (counts, drawn) = only_third.into_counts();
        assert_eq!((counts.total(), drawn.of(FaultKind::Crash)), (1, 4));

        let mut all_but_third = Faults::new([third].into(), None);
        let strikes = [0; 4].map(|_| all_but_third.strikes(FaultKind::Crash));
        assert_eq!(strikes, [true, true, false, true]);
    }
}

//! What a run does to its disks beyond slowness and errors: the plan, and how it is drawn.
//!
//! In about a third of the runs disks are bytes in the journal's format; only those have the faults
//! of this file. What costs a replica its disk for good is drawn within the bound that the
//! [`Atlas`] keeps.

use serde::{Deserialize, Serialize};

use crate::atlas::{Atlas, Loss};
use crate::dice::Dice;
use crate::fault::FaultKind;
use crate::plan::{MS, Recurring};

/// The parts of a run's randomness that this file draws from.
const PART_DURABILITY: u64 = 11;
const PART_LOSSES: u64 = 12;

/// Runs whose disks are bytes, in a million.
const BYTES_PPM: u32 = 300_000;
/// Of these, runs in which each spare of the fault bound costs a replica its disk, in a million.
const LOSS_PPM: u32 = 500_000;
/// Of these, where the protocol tolerates it, disks that forget without a trace, in a million.
const FORGETS_PPM: u32 = 250_000;

/// Disk faults that need the journal's bytes.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DurabilityPlan {
    /// Whether disks hold bytes in the journal's format; without, nothing below takes place.
    pub bytes: bool,
    /// Disks of crashed replicas that are damaged in a way that can be mended, in a million: one
    /// copy of the identity, or an identifier of a whole step.
    pub mendable_ppm: u32,
    /// A disk is full for a while.
    pub full: Recurring,
    /// Disks that are lost for good.
    pub losses: Vec<DiskLoss>,
    /// Crashes at chosen points of chosen writes.
    pub crash_points: Vec<CrashPoint>,
}

/// A disk that is lost for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskLoss {
    /// Whose.
    pub replica: u8,
    /// How.
    pub fault: DiskFault,
    /// When at the earliest, in nanoseconds.
    pub at_ns: u64,
}

/// How a disk is lost. Every kind but the last must be noticed when the replica starts; it is
/// refused then, and stays down: its return would need a membership change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskFault {
    /// Bits flip in the first step, where a term and a vote or a promise stand.
    RotFirst,
    /// Bits flip in a step between others.
    RotMiddle,
    /// Bits flip in the last step.
    RotLast,
    /// A sync was reported and did not take place; later ones did.
    LostSync,
    /// A step was written over another.
    Misplaced,
    /// Both copies of the identity are damaged.
    Identity,
    /// The disk was replaced by an empty one.
    Emptied,
    /// The disk of another replica is attached.
    Swapped,
    /// Synced steps at the end are forgotten at every crash, without a trace. Outside the
    /// crash-fault model: a Byzantine fault where the protocol tolerates those, and expected to
    /// break the others.
    ForgetsTail,
}

impl DiskFault {
    /// Those that are noticed at the next start.
    pub const NOTICED: [Self; 8] = [
        Self::RotFirst,
        Self::RotMiddle,
        Self::RotLast,
        Self::LostSync,
        Self::Misplaced,
        Self::Identity,
        Self::Emptied,
        Self::Swapped,
    ];

    /// As it is counted.
    #[must_use]
    pub const fn kind(self) -> FaultKind {
        match self {
            Self::RotFirst | Self::RotMiddle => FaultKind::Rot,
            Self::RotLast => FaultKind::RotLast,
            Self::LostSync => FaultKind::LostSync,
            Self::Misplaced => FaultKind::MisplacedRecord,
            Self::Identity => FaultKind::DamagedIdentity,
            Self::Emptied => FaultKind::EmptiedDisk,
            Self::Swapped => FaultKind::SwappedDisk,
            Self::ForgetsTail => FaultKind::ForgottenTail,
        }
    }
}

/// A crash while a disk writes a chosen step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashPoint {
    /// Whose disk.
    pub replica: u8,
    /// Which durable step of the disk's life, counted from 0.
    pub step: u64,
    /// Where in the writes of that step.
    pub cut: Cut,
}

/// What a crash leaves of the writes of a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    /// As the dice say.
    Drawn,
    /// Nothing of the step.
    Before,
    /// The beginning of the step.
    Torn,
    /// The beginning of the step, and garbage up to the end of the sector.
    Garbled,
    /// The step, but not its identifier.
    BeforeIdentifier,
    /// Step and identifier; the replica does not hear of it.
    After,
}

impl Cut {
    /// All but [`Cut::Drawn`].
    pub const POINTS: [Self; 5] =
        [Self::Before, Self::Torn, Self::Garbled, Self::BeforeIdentifier, Self::After];

    /// Whether the step is on the disk after the crash.
    #[must_use]
    pub const fn keeps_step(self) -> bool {
        matches!(self, Self::BeforeIdentifier | Self::After)
    }
}

impl DurabilityPlan {
    /// No faults; disks hold values.
    #[must_use]
    pub const fn quiet() -> Self {
        Self {
            bytes: false,
            mendable_ppm: 0,
            full: Recurring { every_ns: 0, length_ns: 0 },
            losses: Vec::new(),
            crash_points: Vec::new(),
        }
    }

    /// What `seed` draws; disks are lost only as far as `atlas` permits. `byzantine`: whether the
    /// protocol tolerates a disk that lies.
    pub(crate) fn draw(seed: u64, atlas: &mut Atlas, byzantine: bool) -> Self {
        let mut dice = Dice::new(seed, PART_DURABILITY);
        let mut plan = Self::quiet();
        if !dice.chance(BYTES_PPM) {
            return plan;
        }
        plan.bytes = true;
        plan.mendable_ppm = if dice.chance(500_000) { dice.below(400_000) as u32 } else { 0 };
        if dice.chance(300_000) {
            plan.full.every_ns = dice.between(200 * MS, 1500 * MS);
            plan.full.length_ns = dice.between(20 * MS, 500 * MS);
        }
        let mut dice = Dice::new(seed, PART_LOSSES);
        while atlas.spare() > 0 && dice.chance(LOSS_PPM) {
            let replica = dice.index(atlas.replicas()) as u8;
            let forgets = byzantine && dice.chance(FORGETS_PPM);
            let (fault, loss) = match forgets {
                true => (DiskFault::ForgetsTail, Loss::LyingDisk),
                false => (*dice.pick(&DiskFault::NOTICED), Loss::DiskLost),
            };
            let at_ns = dice.between(100 * MS, 2500 * MS);
            if atlas.lose(replica, loss) {
                plan.losses.push(DiskLoss { replica, fault, at_ns });
            }
        }
        plan
    }

    /// Whether the disk of `replica` forgets without a trace.
    #[must_use]
    pub fn forgets(&self, replica: u8) -> bool {
        let forgets = |loss: &DiskLoss| loss.fault == DiskFault::ForgetsTail;
        self.bytes && self.losses.iter().any(|loss| loss.replica == replica && forgets(loss))
    }
}

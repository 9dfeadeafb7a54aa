//! What a script does to disks that hold bytes ([`crate::plan::DurabilityPlan::bytes`]).

use quorate_smr::journal::JournalError;

use crate::atlas::Loss;
use crate::fault::FaultKind;
use crate::inspect::Inspect;
use crate::plan::{CrashPoint, Cut, DiskFault};
use crate::scene::{Scene, Step};

impl<P: Inspect> Scene<P> {
    /// Durable steps in the life of the replica's disk.
    #[must_use]
    pub fn durable_steps(&self, replica: usize) -> u64 {
        self.world.nodes[replica].disk.lifetime()
    }

    /// The replica will crash while its disk writes this step of its life (from 0), there.
    pub fn crash_at_step(&mut self, replica: usize, step: u64, cut: Cut) {
        let point = CrashPoint { replica: replica as u8, step, cut };
        self.world.nodes[replica].crash_points.push(point);
    }

    /// Crashes that were asked for and have not taken place.
    #[must_use]
    pub fn crashes_to_come(&self, replica: usize) -> usize {
        self.world.nodes[replica].crash_points.len()
    }

    /// The replica's next sync fails.
    pub fn fail_next_sync(&mut self, replica: usize) {
        self.world.nodes[replica].fail_next_sync = true;
    }

    /// The replica's next sync is reported and does not take place.
    pub fn lose_next_sync(&mut self, replica: usize) {
        if let Some(bytes) = &mut self.world.nodes[replica].disk.bytes {
            bytes.arm_lie();
        }
        self.world.faults.note(FaultKind::LostSync);
        self.world.note(|| format!("-- the next sync of r{replica} is a lie"));
    }

    /// Whether later steps are on the disk than one that is missing.
    #[must_use]
    pub fn has_gap(&self, replica: usize) -> bool {
        self.world.nodes[replica].disk.bytes.as_ref().is_some_and(|bytes| bytes.has_gap())
    }

    /// Only `room` more bytes fit on the replica's disk.
    pub fn fill_disk(&mut self, replica: usize, room: u64) {
        if let Some(bytes) = &mut self.world.nodes[replica].disk.bytes {
            bytes.limit(Some(room));
        }
        self.world.faults.note(FaultKind::DiskFull);
        self.world.note(|| format!("-- the disk of r{replica} has {room} bytes left"));
    }

    /// The replica's disk has space again.
    pub fn make_space(&mut self, replica: usize) {
        self.world.make_space(replica);
    }

    /// Damages the disk of a replica that is down; it must be refused when it is restarted. `other`
    /// is whose disk is attached by [`DiskFault::Swapped`].
    ///
    /// # Errors
    /// When the replica is up, or there is too little on its disk to damage.
    pub fn damage(&mut self, replica: usize, fault: DiskFault, other: usize) -> Step {
        self.expect("the replica whose disk is damaged is down", !self.is_up(replica))?;
        let world = &mut self.world;
        let attached = world.nodes[other].disk.bytes.clone();
        let Some(bytes) = &mut world.nodes[replica].disk.bytes else {
            return Err(self.failed("damage needs disks that hold bytes"));
        };
        let damaged = bytes.damage(fault, attached.as_deref(), &mut world.disk_fault_dice);
        self.lost_disk(replica, fault);
        self.expect("there was enough on the disk to damage", damaged)
    }

    /// Notes that the replica's disk must be refused from now on.
    pub fn lost_disk(&mut self, replica: usize, fault: DiskFault) {
        let kind = fault.kind();
        self.world.nodes[replica].damaged = Some(kind);
        self.world.atlas.lose_on_purpose(replica as u8, Loss::DiskLost);
        self.world.faults.note(kind);
        self.world.note(|| format!("-- the disk of r{replica}: {kind}"));
    }

    /// Damages one copy of the identity or one identifier on the disk of a replica that is down.
    pub fn damage_mendable(&mut self, replica: usize) {
        let dice = &mut self.world.disk_fault_dice;
        if let Some(bytes) = &mut self.world.nodes[replica].disk.bytes {
            bytes.damage_mendable(dice);
        }
        self.world.faults.note(FaultKind::MendableDamage);
    }

    /// The disk of a replica that is down forgets its last `count` appended records without a
    /// trace; how many it had.
    pub fn forget_tail(&mut self, replica: usize, count: usize) -> usize {
        self.world.faults.note(FaultKind::ForgottenTail);
        self.world.nodes[replica].disk.forget_tail(count)
    }

    /// Why the replica does not start.
    #[must_use]
    pub fn refused(&self, replica: usize) -> Option<&JournalError> {
        self.world.nodes[replica].refused.as_ref()
    }
}

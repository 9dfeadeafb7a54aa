//! What befalls disks during a run: full for a while, damaged, swapped, lying; and how a replica
//! starts from bytes.
//!
//! A replica whose disk is refused stays down for the rest of the run. To come back it would need a
//! new identity, and so a membership change, which no protocol here has yet.

use quorate_smr::ReplicaId;
use quorate_smr::journal::{DiskId, Identity, JournalError};

use crate::dice::Dice;
use crate::disk::OpenError;
use crate::event::{DiskEvent, Event};
use crate::fault::FaultKind;
use crate::inspect::Inspect;
use crate::invariants;
use crate::node::Node;
use crate::plan::{Cut, DiskFault, DiskLoss, MS};
use crate::trace::Mark;
use crate::violation::{Check, broken};
use crate::world::{Phase, World};

/// The part of a run's randomness that disk faults use while it runs.
pub(crate) const PART_DISK_FAULTS: u64 = 14;
/// How long to wait until there is enough on a disk to damage, in nanoseconds.
const LOSS_RETRY_NS: u64 = 60 * MS;
/// Bytes that fit on a disk when it is declared full, at most.
const FULL_ROOM_BYTES: u64 = 2_000;
/// Records that a lying disk forgets in one crash, at most.
const FORGOTTEN_MAX: u64 = 4;
/// Mean time between two crashes of a replica whose disk forgets, in nanoseconds.
const FORGETS_EVERY_NS: u64 = 300 * MS;

impl<P: Inspect> World<P> {
    /// Whose disk node `index` of `id` has; its number is random, and differs between twins.
    pub(crate) fn disk_identity(&self, index: usize, id: ReplicaId) -> Option<Identity> {
        if !self.plan.durability.bytes {
            return None;
        }
        let setup = quorate_smr::Setup::new(id, self.replicas, quorate_smr::Seed(self.seed), ());
        let mut dice = Dice::new(self.seed, PART_DISK_FAULTS);
        let disk =
            (0..=index).fold(0, |_, _| u128::from(dice.word()) << 64 | u128::from(dice.word()));
        let (cluster, group) = (setup.cluster, setup.group);
        Some(Identity { cluster, group, replica: id, disk: DiskId(disk) })
    }

    /// Schedules what the plan does to disks.
    pub(crate) fn begin_disk_faults(&mut self) {
        if !self.plan.durability.bytes {
            return;
        }
        for (number, loss) in self.plan.durability.losses.iter().enumerate() {
            self.queue.push(loss.at_ns, Event::Disk(DiskEvent::Loss { number }));
        }
        self.schedule_full();
        for point in self.plan.durability.crash_points.clone() {
            self.nodes[usize::from(point.replica)].crash_points.push(point);
        }
    }

    fn schedule_full(&mut self) {
        let full = self.plan.durability.full;
        if full.is_on() {
            let at = self.now_ns + self.disk_fault_dice.long_tail(full.every_ns).max(1);
            self.queue.push(at, Event::Disk(DiskEvent::Full));
        }
    }

    pub(crate) fn disk_event(&mut self, event: DiskEvent) -> Check {
        match event {
            DiskEvent::Full => {
                self.fill_disk();
                Ok(())
            }
            DiskEvent::Space { node } => {
                self.make_space(node);
                Ok(())
            }
            DiskEvent::Loss { number } => self.lose_disk(number),
        }
    }

    fn fill_disk(&mut self) {
        if self.phase != Phase::Faults {
            return;
        }
        self.schedule_full();
        let index = self.disk_fault_dice.index(self.nodes.len());
        let room = self.disk_fault_dice.below(FULL_ROOM_BYTES);
        let length = self.disk_fault_dice.long_tail(self.plan.durability.full.length_ns);
        let node = &mut self.nodes[index];
        let Some(bytes) = &mut node.disk.bytes else { return };
        if bytes.is_limited() || !self.faults.strikes(FaultKind::DiskFull) {
            return;
        }
        bytes.limit(Some(room));
        self.note_at(index, Mark::Noted, || format!("has {room} bytes left on its disk"));
        self.queue.push(self.now_ns + length, Event::Disk(DiskEvent::Space { node: index }));
    }

    /// Ends what keeps a disk from being written.
    pub(crate) fn make_space(&mut self, index: usize) {
        if let Some(bytes) = &mut self.nodes[index].disk.bytes {
            bytes.limit(None);
        }
    }

    /// A step was not written: the replica stops, and comes back when it is restarted.
    pub(crate) fn stop_at_refused_write(&mut self, index: usize, error: &JournalError) -> Check {
        if !matches!(error, JournalError::Full { .. }) {
            let detail = format!("r{index}: {error}");
            return Err(broken(invariants::CONTRACT, detail));
        }
        self.note_at(index, Mark::Noted, || error.to_string());
        self.crash(index, FaultKind::StoppedFull)
    }

    fn lose_disk(&mut self, number: usize) -> Check {
        let loss = self.plan.durability.losses[number];
        let index = usize::from(loss.replica);
        if self.phase != Phase::Faults || self.nodes[index].refused.is_some() {
            return Ok(());
        }
        match loss.fault {
            DiskFault::ForgetsTail => self.forget_tail(number, index),
            DiskFault::LostSync => self.lose_sync(number, index),
            _ => self.damage(number, index, loss),
        }
    }

    fn retry_loss(&mut self, number: usize, after_ns: u64) {
        self.queue.push(self.now_ns + after_ns, Event::Disk(DiskEvent::Loss { number }));
    }

    /// Damages the disk of a replica that is down, or crashes for it.
    fn damage(&mut self, number: usize, index: usize, loss: DiskLoss) -> Check {
        // Not one that was swapped before: it could be this replica's own, as it was then.
        let own = |node: &&Node<P>| node.id.0 != loss.replica && node.damaged.is_none();
        let other = self.nodes.iter().find(own);
        let other = other.and_then(|node| node.disk.bytes.clone());
        let node = &mut self.nodes[index];
        if node.damaged.is_some() {
            return Ok(());
        }
        let kind = loss.fault.kind();
        // What is damaged now is read only at the next start; a running replica does not notice.
        let Some(bytes) = &mut node.disk.bytes else { return Ok(()) };
        if node.running.is_some() {
            self.retry_loss(number, LOSS_RETRY_NS / 10);
            return self.crash(index, FaultKind::Crash);
        }
        let mut attempt = bytes.clone();
        let mut dice = self.disk_fault_dice.clone();
        if !attempt.damage(loss.fault, other.as_deref(), &mut dice) {
            self.retry_loss(number, LOSS_RETRY_NS);
            return Ok(());
        }
        if self.faults.strikes(kind) {
            self.disk_fault_dice = dice;
            *bytes = attempt;
            node.damaged = Some(kind);
            self.note_at(index, Mark::Noted, || format!("its disk: {kind}"));
        }
        Ok(())
    }

    /// Arms a sync that is a lie; once later ones left a gap, the replica crashes.
    fn lose_sync(&mut self, number: usize, index: usize) -> Check {
        let node = &mut self.nodes[index];
        let Some(bytes) = &mut node.disk.bytes else { return Ok(()) };
        if bytes.has_gap() {
            return self.crash(index, FaultKind::Crash);
        }
        if node.running.is_some() && !bytes.is_lying() {
            if !self.faults.strikes(FaultKind::LostSync) {
                return Ok(());
            }
            bytes.arm_lie();
        }
        self.retry_loss(number, LOSS_RETRY_NS);
        Ok(())
    }

    /// Crashes a replica, whose disk then forgets its end.
    fn forget_tail(&mut self, number: usize, index: usize) -> Check {
        let wait = self.disk_fault_dice.long_tail(FORGETS_EVERY_NS).max(MS);
        self.retry_loss(number, wait);
        if self.nodes[index].running.is_none() {
            return Ok(());
        }
        let count = 1 + self.disk_fault_dice.below(FORGOTTEN_MAX) as usize;
        if !self.faults.permits(FaultKind::ForgottenTail) {
            return Ok(());
        }
        self.crash_leaving(index, FaultKind::Crash, Some((0, Cut::Before)))?;
        let forgotten = self.nodes[index].disk.forget_tail(count);
        if forgotten > 0 {
            self.faults.note(FaultKind::ForgottenTail);
            self.note_at(index, Mark::Noted, || format!("its disk forgets {forgotten} steps"));
        }
        Ok(())
    }

    /// Perhaps damages the disk of a replica that just crashed, in a way that can be mended.
    pub(crate) fn damage_mendable(&mut self, index: usize) {
        let ppm = self.plan.durability.mendable_ppm;
        let sound = self.nodes[index].damaged.is_none();
        if ppm == 0 || self.phase != Phase::Faults || !self.disk_fault_dice.chance(ppm) {
            return;
        }
        let mut dice = Dice::new(self.disk_fault_dice.word(), PART_DISK_FAULTS);
        let Some(bytes) = &mut self.nodes[index].disk.bytes else { return };
        if sound && !bytes.is_lying() && self.faults.strikes(FaultKind::MendableDamage) {
            bytes.damage_mendable(&mut dice);
        }
    }

    /// Where in the writes of its present sync a node is to crash.
    pub(crate) fn crash_point(&mut self, index: usize) -> Option<(usize, Cut)> {
        let node = &mut self.nodes[index];
        let disk = &node.disk;
        let due = |step| disk.pending_index(step);
        let (at, point) = node
            .crash_points
            .iter()
            .enumerate()
            .find_map(|(at, point)| Some((at, (due(point.step)?, point.cut))))?;
        node.crash_points.remove(at);
        Some(point)
    }

    /// Reads a node's disk before its replica starts; whether it may.
    pub(crate) fn open_disk(&mut self, index: usize) -> Result<bool, Box<crate::Violation>> {
        let node = &mut self.nodes[index];
        if node.refused.is_some() {
            return Ok(false);
        }
        let (id, damaged) = (node.id, node.damaged);
        match (node.disk.open(), damaged) {
            (Ok(()), None) => Ok(true),
            (Err(OpenError::Refused(error)), Some(_)) => {
                self.faults.note(FaultKind::DiskRefused);
                let text = format!("does not start: {error}");
                self.nodes[index].refused = Some(error);
                self.note_at(index, Mark::Noted, || text);
                Ok(false)
            }
            (Err(OpenError::Refused(error)), None) => {
                let detail = format!("{id}: a sound disk is refused: {error}");
                Err(broken(invariants::RECOVERS, detail))
            }
            (Err(OpenError::Different(detail)), _) => {
                Err(broken(invariants::RECOVERS, format!("{id}: {detail}")))
            }
            (Ok(()), Some(kind)) => {
                let detail = format!("{id} starts from a disk that had: {kind}");
                Err(broken(invariants::CORRUPTION_REFUSED, detail))
            }
        }
    }
}

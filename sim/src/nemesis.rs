//! Trouble that comes again and again: crashes, pauses, partitions, transfers of leadership.

use quorate_smr::ReplicaId;
use quorate_smr::protocol::{Admin, Input};

use crate::event::{Event, Trouble};
use crate::fault::FaultKind;
use crate::inspect::Inspect;
use crate::plan::Recurring;
use crate::trace::Mark;
use crate::violation::Check;
use crate::world::{Phase, World};

/// Processes that go on, after a pause, with the time they had read before, in a million.
const OLD_CLOCK_PPM: u32 = 500_000;
/// The shortest mean time that a crashed replica is down, in nanoseconds.
const CRASH_NS_MIN: u64 = 20_000_000;
/// How long at least a hunted leader is cut off, on average, in nanoseconds.
const HUNT_CUT_NS: u64 = 150_000_000;
/// Troubles that are aimed at the leader, in a million.
const AT_LEADER_PPM: u32 = 400_000;

impl<P: Inspect> World<P> {
    fn recurring(&self, trouble: Trouble) -> Recurring {
        let plan = &self.plan.nemesis;
        match trouble {
            Trouble::Crash => plan.crash,
            Trouble::CrashWithinStep => plan.crash_within_step,
            Trouble::Pause => plan.pause,
            Trouble::Partition => plan.partition,
            Trouble::Transfer => plan.transfer,
        }
    }

    pub(crate) fn crash_length(&self, kind: FaultKind) -> u64 {
        let plan = &self.plan.nemesis;
        let length = match kind {
            FaultKind::CrashWithinStep | FaultKind::CrashWithinSync => {
                plan.crash_within_step.length_ns
            }
            _ => plan.crash.length_ns,
        };
        length.max(CRASH_NS_MIN)
    }

    pub(crate) fn schedule_trouble(&mut self, trouble: Trouble) {
        let recurring = self.recurring(trouble);
        if recurring.is_on() {
            let at = self.now_ns + self.nemesis_dice.long_tail(recurring.every_ns).max(1);
            self.queue.push(at, Event::Trouble(trouble));
        }
    }

    pub(crate) fn make_trouble(&mut self, trouble: Trouble) -> Check {
        if self.phase != Phase::Faults {
            return Ok(());
        }
        self.schedule_trouble(trouble);
        match trouble {
            Trouble::Crash => {
                if let Some(victim) = self.victim()
                    && self.faults.permits(FaultKind::Crash)
                {
                    return self.crash(victim, FaultKind::Crash);
                }
            }
            Trouble::CrashWithinStep => {
                if let Some(victim) = self.victim() {
                    self.crash_soon(victim);
                }
            }
            Trouble::Pause => self.pause(),
            Trouble::Partition => self.part(),
            Trouble::Transfer => return self.transfer(),
        }
        Ok(())
    }

    /// Lets a node crash within its next sync, or between two of its next effects.
    fn crash_soon(&mut self, victim: usize) {
        if self.nemesis_dice.chance(500_000) {
            self.nodes[victim].crash_within_sync = self.faults.permits(FaultKind::CrashWithinSync);
            return;
        }
        let effects = self.nemesis_dice.below(12) as u32;
        if self.faults.permits(FaultKind::CrashWithinStep) {
            self.nodes[victim].crash_after_effects = Some(effects);
        }
    }

    /// A running, honest node; often the leader.
    fn victim(&mut self) -> Option<usize> {
        let at_leader = self.nemesis_dice.chance(AT_LEADER_PPM);
        let leader = self.leader().filter(|_| at_leader);
        let choice = leader.unwrap_or_else(|| self.nemesis_dice.index(self.nodes.len()));
        let node = &self.nodes[choice];
        (node.is_honest() && node.running.is_some()).then_some(choice)
    }

    /// A node begins to lead: perhaps it will not for long.
    pub(crate) fn hunt(&mut self, node: usize) {
        let plan = &self.plan.nemesis;
        if self.phase == Phase::Faults
            && self.nemesis_dice.chance(plan.hunt_ppm)
            && self.faults.permits(FaultKind::Hunt)
        {
            let at = self.now_ns + self.nemesis_dice.below(plan.hunt_ns);
            let incarnation = self.nodes[node].incarnation;
            self.queue.push(at, Event::Hunt { node, incarnation });
        }
    }

    /// Crashes the hunted leader, or cuts it off.
    pub(crate) fn catch_leader(&mut self, index: usize, incarnation: u32) -> Check {
        if self.phase != Phase::Faults || self.nodes[index].incarnation != incarnation {
            return Ok(());
        }
        self.faults.note(FaultKind::Hunt);
        if self.nemesis_dice.chance(500_000) {
            return self.crash(index, FaultKind::Crash);
        }
        let hunted = usize::from(self.nodes[index].id.0);
        self.network.mend();
        for other in (0..self.replicas).filter(|other| *other != hunted) {
            self.network.cut(hunted, other);
            self.network.cut(other, hunted);
        }
        self.partition += 1;
        let partition = self.partition;
        self.note_at(hunted, Mark::Noted, || "is cut off".into());
        let length = self.plan.nemesis.partition.length_ns.max(HUNT_CUT_NS);
        let at = self.now_ns + self.nemesis_dice.long_tail(length);
        self.queue.push(at, Event::Mend { partition });
        Ok(())
    }

    fn pause(&mut self) {
        let Some(victim) = self.victim() else { return };
        if self.nodes[victim].paused.is_some() || !self.faults.strikes(FaultKind::Pause) {
            return;
        }
        let length = self.nemesis_dice.long_tail(self.plan.nemesis.pause.length_ns);
        let old_clock = self.nemesis_dice.chance(OLD_CLOCK_PPM);
        self.stand_still(victim, length, old_clock);
    }

    /// Lets a process stand still for `length_ns`, and go on with its old clock or not.
    pub(crate) fn stand_still(&mut self, victim: usize, length_ns: u64, old_clock: bool) {
        self.pauses += 1;
        let pause = self.pauses;
        let node = &mut self.nodes[victim];
        node.paused = Some(Vec::new());
        node.pause = pause;
        if old_clock {
            node.old_clock = Some(node.clock.local(self.now_ns));
        }
        self.note_at(victim, Mark::Paused, || "stands still".into());
        self.queue.push(self.now_ns + length_ns, Event::Resume { node: victim, pause });
    }

    pub(crate) fn resume(&mut self, index: usize, pause: u64) {
        if self.nodes[index].pause == pause {
            self.resume_now(index);
        }
    }

    /// Lets a paused process go on: what it missed is handled now, in order.
    pub(crate) fn resume_now(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let Some(waiting) = node.paused.take() else { return };
        if node.old_clock.is_some() {
            self.faults.note(FaultKind::OldClock);
        }
        // A tick that came due meanwhile is scheduled again, behind what waited.
        node.tick_at = u64::MAX;
        self.note_at(index, Mark::Resumed, || format!("goes on with {} events", waiting.len()));
        for event in waiting {
            if !matches!(event, Event::Tick { .. }) {
                self.queue.push(self.now_ns, event);
            }
        }
        self.schedule_tick(index);
    }

    /// Cuts links: all between two sides, in both directions or one, or some here and there.
    fn part(&mut self) {
        let count = self.replicas;
        if count < 2 {
            return;
        }
        let kind = *self.nemesis_dice.pick(&[
            FaultKind::Partition,
            FaultKind::Partition,
            FaultKind::OneWayPartition,
            FaultKind::PartialPartition,
        ]);
        if !self.faults.strikes(kind) {
            return;
        }
        self.network.mend();
        let mut side = self.nemesis_dice.between(1, (1 << count) - 1);
        if self.nemesis_dice.chance(AT_LEADER_PPM)
            && let Some(leader) = self.leader()
        {
            side = 1 << self.nodes[leader].id.0;
        }
        for from in 0..count {
            for to in 0..count {
                let (inside, outside) = (side >> from & 1 == 1, side >> to & 1 == 0);
                let cut = match kind {
                    FaultKind::Partition => inside == outside,
                    FaultKind::OneWayPartition => inside && outside,
                    _ => self.nemesis_dice.chance(300_000),
                };
                if from != to && cut {
                    self.network.cut(from, to);
                }
            }
        }
        self.partition += 1;
        let partition = self.partition;
        self.note(|| format!("{kind}: {}", sides(side, count)));
        let length = self.nemesis_dice.long_tail(self.plan.nemesis.partition.length_ns);
        self.queue.push(self.now_ns + length, Event::Mend { partition });
    }

    pub(crate) fn mend(&mut self, partition: u64) {
        if self.partition == partition {
            self.note(|| "all links are mended".into());
            self.network.mend();
        }
    }

    fn transfer(&mut self) -> Check {
        let Some(leader) = self.leader() else { return Ok(()) };
        let to = ReplicaId(self.nemesis_dice.index(self.replicas) as u8);
        if !self.faults.strikes(FaultKind::Transfer) {
            return Ok(());
        }
        self.note(|| format!("an operator asks r{leader} to hand over to {to}"));
        if self.nodes[leader].paused.is_some() {
            return Ok(());
        }
        self.handle(leader, Input::Admin(Admin::TransferLeadership { to }))
    }
}

/// Who is on which side of a partition.
fn sides(side: u64, count: usize) -> String {
    let names = |within: bool| {
        let on_it = (0..count).filter(|replica| (side >> replica & 1 == 1) == within);
        on_it.map(|replica| format!("r{replica}")).collect::<Vec<_>>().join(" ")
    };
    format!("{} | {}", names(true), names(false))
}

//! What a script does to links, messages, processes, timers and disks.

use crate::event::Event;
use crate::fault::FaultKind;
use crate::inspect::Inspect;
use crate::scene::script::{Action, CrashAtWrite};
use crate::scene::{Rule, Scene, Step, WritePoint};

/// Links.
impl<P: Inspect> Scene<P> {
    /// From now on nothing that `from` sends reaches `to`. What is on its way arrives.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.world.note(|| format!("-- r{from} -/-> r{to}"));
        self.world.network.cut(from, to);
    }

    /// Cuts the link in both directions.
    pub fn cut_both(&mut self, one: usize, other: usize) {
        self.cut(one, other);
        self.cut(other, one);
    }

    /// Cuts all links between two sides, in both directions.
    pub fn split(&mut self, side: &[usize], other: &[usize]) {
        for one in side {
            for two in other {
                self.cut_both(*one, *two);
            }
        }
    }

    /// Cuts a replica off from all others, in both directions.
    pub fn isolate(&mut self, replica: usize) {
        for other in (0..self.replicas()).filter(|other| *other != replica) {
            self.cut_both(replica, other);
        }
    }

    /// Mends one link, in this direction.
    pub fn mend(&mut self, from: usize, to: usize) {
        self.world.note(|| format!("-- r{from} --> r{to}"));
        self.world.network.mend_link(from, to);
    }

    /// Mends all links of a replica.
    pub fn rejoin(&mut self, replica: usize) {
        for other in (0..self.replicas()).filter(|other| *other != replica) {
            self.mend(replica, other);
            self.mend(other, replica);
        }
    }

    /// Mends all links.
    pub fn mend_all(&mut self) {
        self.world.note(|| "-- all links are mended".into());
        self.world.network.mend();
    }
}

/// Messages. Rules see them when they *arrive*, in the order in which the rules were made: a rule that
/// is stopped no longer catches what is on its way, and one that is made catches what was sent before.
impl<P: Inspect> Scene<P> {
    /// Holds back every message that matches (sender, receiver, content), until it is released.
    pub fn hold_where(
        &mut self,
        matches: impl Fn(usize, usize, &P::Message) -> bool + 'static,
    ) -> Rule {
        self.rule(Action::Hold, u64::MAX, matches)
    }

    /// Holds back everything on a link.
    pub fn hold(&mut self, from: usize, to: usize) -> Rule {
        self.hold_where(move |sender, receiver, _| (sender, receiver) == (from, to))
    }

    /// Loses every message that matches, until the rule is stopped.
    pub fn lose_where(
        &mut self,
        matches: impl Fn(usize, usize, &P::Message) -> bool + 'static,
    ) -> Rule {
        self.rule(Action::Drop, u64::MAX, matches)
    }

    /// Loses the next message of a kind (see [`Scene::kind`]) on a link.
    pub fn drop_next(&mut self, from: usize, to: usize, kind: &str) -> Rule {
        let kind = kind.to_owned();
        self.rule(Action::Drop, 1, move |sender, receiver, message| {
            (sender, receiver) == (from, to) && Self::kind(message) == kind
        })
    }

    /// Delivers every message that matches, and keeps a copy that arrives again when the rule is
    /// released.
    pub fn copy_where(
        &mut self,
        matches: impl Fn(usize, usize, &P::Message) -> bool + 'static,
    ) -> Rule {
        self.rule(Action::Copy, u64::MAX, matches)
    }

    fn rule(
        &mut self,
        action: Action,
        left: u64,
        matches: impl Fn(usize, usize, &P::Message) -> bool + 'static,
    ) -> Rule {
        self.script().watch(action, left, Box::new(matches))
    }

    /// The rule catches nothing more; what it caught stays caught.
    pub fn stop(&mut self, rule: Rule) {
        self.script().stop(rule);
    }

    /// How many messages the rule caught and still keeps.
    #[must_use]
    pub fn held(&self, rule: Rule) -> usize {
        self.world.script.as_ref().map_or(0, |script| script.kept(rule))
    }

    /// The rule catches nothing more, and what it caught arrives now, in the order in which it came.
    ///
    /// # Errors
    /// A broken invariant.
    pub fn release(&mut self, rule: Rule) -> Step {
        self.stop(rule);
        while self.release_one(rule)? {}
        Ok(())
    }

    /// The oldest message that the rule keeps arrives now; whether there was one.
    ///
    /// # Errors
    /// A broken invariant.
    pub fn release_one(&mut self, rule: Rule) -> Step<bool> {
        let Some((node, parcel)) = self.script().take(rule) else { return Ok(false) };
        self.act(|world| {
            if let Some(waiting) = &mut world.nodes[node].paused {
                waiting.push(Event::Deliver { node, parcel });
                return Ok(());
            }
            world.deliver(node, *parcel)
        })?;
        Ok(true)
    }

    /// The rule catches nothing more, and what it caught is lost.
    pub fn discard(&mut self, rule: Rule) {
        self.stop(rule);
        while self.script().take(rule).is_some() {}
    }
}

/// Processes, timers, disks.
impl<P: Inspect> Scene<P> {
    /// The replica loses its memory; of the writes on their way to its disk, the first `kept`
    /// survive. It stays down until it is restarted.
    ///
    /// # Errors
    /// A broken invariant.
    pub fn crash_keeping(&mut self, replica: usize, kept: usize) -> Step {
        self.script().crash_keeps = Some(kept);
        self.act(|world| world.crash(replica, FaultKind::Crash))
    }

    /// The replica loses its memory and every write that was not durable.
    ///
    /// # Errors
    /// A broken invariant.
    pub fn crash(&mut self, replica: usize) -> Step {
        self.crash_keeping(replica, 0)
    }

    /// The replica will crash at its `nth` write from now (from 1), at this point of it.
    pub fn crash_at_write(&mut self, replica: usize, nth: u64, point: WritePoint) {
        let skip = nth.saturating_sub(1);
        self.script().crash_at_write = Some(CrashAtWrite { node: replica, skip, point });
    }

    /// Whether the replica is up.
    #[must_use]
    pub fn is_up(&self, replica: usize) -> bool {
        self.world.nodes[replica].running.is_some()
    }

    /// A crashed replica starts from what its disk holds.
    ///
    /// # Errors
    /// A broken invariant, for example that it does not recover.
    pub fn restart(&mut self, replica: usize) -> Step {
        self.expect("the replica to restart is down", !self.is_up(replica))?;
        self.act(|world| world.start(replica))
    }

    /// The process stands still; what arrives waits.
    pub fn pause(&mut self, replica: usize) {
        let world = &mut self.world;
        let local = world.nodes[replica].clock.local(world.now_ns);
        let node = &mut world.nodes[replica];
        node.paused = Some(Vec::new());
        node.old_clock = Some(local);
        world.faults.note(FaultKind::Pause);
        world.note(|| format!("-- r{replica} stands still"));
    }

    /// A paused process goes on and reads the time at once.
    pub fn resume(&mut self, replica: usize) {
        self.world.nodes[replica].old_clock = None;
        self.world.resume_now(replica);
    }

    /// A paused process goes on, and takes the time that it read before for the present in its next
    /// step.
    pub fn resume_with_old_clock(&mut self, replica: usize) {
        self.world.resume_now(replica);
    }

    /// The replica's timers do not ring any more; it still answers. Whether they rang before.
    pub fn stop_timers(&mut self, replica: usize) -> bool {
        self.script().still.insert(replica)
    }

    /// The replica's timers ring again, overdue ones at once.
    pub fn start_timers(&mut self, replica: usize) {
        self.script().still.remove(&replica);
        self.world.nodes[replica].tick_at = u64::MAX;
        self.world.schedule_tick(replica);
    }

    /// The replica's disk finishes no sync any more.
    pub fn stall_disk(&mut self, replica: usize) {
        self.script().stalled.entry(replica).or_default();
    }

    /// The replica's disk finishes what waits, and goes on.
    pub fn resume_disk(&mut self, replica: usize) {
        let now = self.world.now_ns;
        for event in self.script().stalled.remove(&replica).into_iter().flatten() {
            self.world.queue.push(now, event);
        }
    }

    /// Ends what the script does; what is held is lost.
    pub(super) fn end_faults(&mut self) {
        self.script().forget_rules();
        self.script().crash_at_write = None;
        self.script().deaf.clear();
        self.script().slow_disks.clear();
        let stalled: Vec<_> = self.script().stalled.keys().copied().collect();
        for replica in stalled {
            self.resume_disk(replica);
        }
        let still = std::mem::take(&mut self.script().still);
        for replica in still {
            self.start_timers(replica);
        }
    }

    pub(super) fn script(&mut self) -> &mut crate::scene::Script<P> {
        self.world.script.as_mut().expect("a scene's world has a script from its start to its end")
    }
}

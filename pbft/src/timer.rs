//! When to suspect a primary, and when to tell the others what is missing.
//!
//! A backup has one timer for what has waited longest: a request that it passed on, or an assigned
//! slot that was not executed (PBFT §4.4). It runs only while something waits. Each view change
//! without progress doubles it, up to a limit; progress brings it back to its base (TOCS 2002
//! §4.5). While a view changes, the timer starts when `2f + 1` replicas want the new view.

use std::time::Duration;

use quorate_smr::{ReplicaId, Slot, Time, To};

use crate::message::{Message, StatusReport};
use crate::replica::{Out, Pbft, Phase};

/// What one peer may make us send on its own request in one retransmission interval, in the units
/// of [`Cost`].
const ANSWERS_MAX: u32 = 1024;
/// How often the time between two reports is doubled while they bring nothing.
const REPORT_DOUBLINGS_MAX: u32 = 4;

/// What an answer costs its sender, roughly.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Cost {
    /// One batch.
    Body = 1,
    /// A client's batch ordered again.
    Repetition = 16,
    /// What a report asks for.
    Report = 32,
    /// A NEW-VIEW, a VIEW-CHANGE or a snapshot.
    Large = 256,
}

/// Clocks and what drives them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Timers {
    /// How long to wait before the primary is suspected.
    pub(crate) timeout: Duration,
    /// Whether anything was executed since the last view change began (or none did).
    progressed: bool,
    /// When the current view was entered.
    entered: Time,
    /// Since when an assigned slot waits to be executed, or the last progress if that is later.
    waiting: Option<Time>,
    /// Since when `2f + 1` replicas want the view that we move to.
    pub(crate) wanted: Option<Time>,
    /// When the last report was sent.
    reported: Option<Time>,
    /// Reports in a row that brought nothing: the next one waits longer.
    fruitless: u32,
    start: Time,
    /// Answers to each member since the window of its budget began, by rank.
    budgets: Vec<(Time, u32)>,
}

impl Timers {
    pub(crate) fn new(now: Time, timeout: Duration, replicas: usize) -> Self {
        Self {
            timeout,
            progressed: true,
            entered: now,
            waiting: None,
            wanted: None,
            reported: None,
            fruitless: 0,
            start: now,
            budgets: vec![(now, 0); replicas],
        }
    }

    /// When the current view was entered.
    pub(crate) const fn entered(&self) -> Time {
        self.entered
    }
}

impl Pbft {
    /// When the primary will be suspected, or the view that we move to given up.
    pub(crate) fn view_deadline(&self) -> Option<Time> {
        let timers = &self.timers;
        let since = match self.phase {
            Phase::Changing => timers.wanted,
            // A primary gives up its view when it cannot get done what it assigned: some of the
            // others may have left for the next view and need it there.
            Phase::Active if self.is_primary() => {
                timers.waiting.map(|since| since.max(timers.entered))
            }
            Phase::Active => {
                let pending = self.pending.oldest();
                let oldest = [pending, timers.waiting].into_iter().flatten().min();
                oldest.map(|since| since.max(timers.entered))
            }
        };
        let usual = since.map(|since| since.after(timers.timeout));
        [usual, self.doubtful_deadline()].into_iter().flatten().min()
    }

    /// When a request of a client that is blamed has waited too long: the client deserves little
    /// trust, but the primary may be at fault all the same.
    fn doubtful_deadline(&self) -> Option<Time> {
        if self.phase == Phase::Changing || self.is_primary() {
            return None;
        }
        let since = self.pending.oldest_doubtful()?.max(self.timers.entered);
        Some(since.after(self.limits.timeout_max))
    }

    /// How many view changes in a row brought nothing.
    pub(crate) fn fruitless_views(&self) -> u32 {
        let doubled = self.timers.timeout.as_nanos() / self.limits.timeout.as_nanos().max(1);
        doubled.checked_ilog2().unwrap_or(0)
    }

    /// When the next report is due: soon while something is stuck, now and then otherwise.
    pub(crate) fn status_deadline(&self) -> Time {
        let timers = &self.timers;
        let Some(reported) = timers.reported else { return timers.start };
        let idle = reported.after(self.limits.status_interval);
        // What each report makes the others send can exceed what they and we get done, and then
        // nothing gets through any more: reports that bring nothing come at twice the distance.
        let wait = self.limits.retransmit_interval * (1 << timers.fruitless);
        self.stuck_since().map_or(idle, |since| since.max(reported).after(wait))
    }

    /// Since when something waits that the others could bring on; some time ago when it is known
    /// only that something does.
    pub(crate) fn stuck_since(&self) -> Option<Time> {
        let timers = &self.timers;
        if self.phase == Phase::Changing || self.ahead.is_some() {
            return Some(timers.start);
        }
        let pending = [self.pending.oldest(), self.pending.oldest_doubtful()];
        pending.into_iter().chain([timers.waiting]).flatten().min()
    }

    pub(crate) fn on_tick(&mut self, now: Time, out: &mut Out) {
        if self.view_deadline().is_some_and(|deadline| deadline <= now) {
            if self.is_active() && !self.is_primary() {
                self.blame_for_waiting(now);
            }
            self.start_view_change(now, self.view.next(), out);
        }
        if self.status_deadline() <= now {
            self.resend_pending(now, out);
            self.ask_for_missing(now, out);
            self.report(now, out);
            if self.stuck_since().is_some() {
                self.timers.fruitless = (self.timers.fruitless + 1).min(REPORT_DOUBLINGS_MAX);
            }
        }
    }

    /// How many of `most` things to send again at once: half as many with every report and every
    /// view that brought nothing, for a receiver may have lost the others because there were so
    /// many. Which are sent first is a matter of order, so that a few always get on.
    pub(crate) fn portion(&self, most: usize) -> usize {
        let halvings = (self.timers.fruitless + self.fruitless_views()).min(REPORT_DOUBLINGS_MAX);
        (most >> halvings).max(1)
    }

    /// Tells the others where we stand; they send what we lack.
    pub(crate) fn report(&mut self, now: Time, out: &mut Out) {
        self.timers.reported = Some(now);
        let view = self.view;
        let holds = |change: &&std::sync::Arc<crate::certificate::SignedViewChange>| {
            change.content.view == view
        };
        let heard = self.changes.iter().flatten().filter(holds);
        let report = StatusReport {
            view,
            changing: self.phase == Phase::Changing,
            stable: self.log.base(),
            committed: self.committed,
            heard: heard.map(|change| change.content.replica).collect(),
        };
        out.send(To::Others, Message::Status(report));
    }

    /// An assigned slot waits to be executed.
    pub(crate) fn note_waiting(&mut self, now: Time) {
        self.timers.waiting.get_or_insert(now);
    }

    /// Something was executed.
    pub(crate) fn note_progress(&mut self, now: Time) {
        // Only assignments count: votes for slots that nobody assigned are no reason to suspect the
        // primary. Assigned slots follow one another, so the first look mostly suffices.
        let waits = |slot: u64| {
            self.log
                .entry(Slot(slot))
                .is_some_and(|entry| entry.round.digest.is_some() || entry.round.unproven.is_some())
        };
        let more = (self.committed.0 + 1..=self.log.last().0).any(waits);
        self.timers.waiting = more.then_some(now);
        self.timers.fruitless = 0;
        if self.is_active() {
            self.timers.progressed = true;
            self.timers.timeout = self.limits.timeout;
        }
    }

    /// A view change begins: wait longer this time if the last view brought nothing.
    pub(crate) fn note_view_change(&mut self) {
        let timers = &mut self.timers;
        if timers.progressed {
            timers.timeout = self.limits.timeout;
        } else {
            timers.timeout = timers.timeout.saturating_mul(2).min(self.limits.timeout_max);
        }
        timers.progressed = false;
        timers.waiting = None;
        timers.wanted = None;
        timers.fruitless = 0;
    }

    /// A view was entered.
    pub(crate) fn note_entered(&mut self, now: Time) {
        self.timers.entered = now;
        self.timers.fruitless = 0;
        self.timers.wanted = None;
        self.timers.waiting = None;
    }

    /// Whether `peer` may make us spend `cost` now.
    pub(crate) fn may_answer(&mut self, now: Time, peer: ReplicaId, cost: Cost) -> bool {
        let Some(rank) = self.group.rank(peer) else { return false };
        let interval = self.limits.retransmit_interval;
        let Some((since, spent)) = self.timers.budgets.get_mut(rank) else { return false };
        if now.since(*since) >= interval {
            (*since, *spent) = (now, 0);
        }
        *spent = spent.saturating_add(cost as u32);
        *spent <= ANSWERS_MAX
    }
}

#[cfg(test)]
mod tests {
    use quorate_smr::testing::plain_batch;
    use quorate_smr::{Effect, Effects, GroupId, Input, Protocol, Seed, Setup};

    use super::*;
    use crate::config::PbftConfig;

    #[test]
    fn reports_that_bring_nothing_come_at_growing_distances() {
        let config = PbftConfig { client_auth: false, ..PbftConfig::default() };
        let setup = Setup::new(ReplicaId(1), 4, Seed(7), config);
        let mut replica = Pbft::fresh(&setup, Time::ZERO).unwrap();
        let (mut effects, mut reported_ms) = (Effects::new(), Vec::new());
        let batch = plain_batch(GroupId(0), 1, &[b"nobody answers"]);
        replica.handle(Time::ZERO, Input::Propose { batch }, &mut effects);
        for ms in 0..900 {
            let now = Time::ZERO.after(Duration::from_millis(ms));
            if replica.deadline().is_some_and(|deadline| deadline <= now) {
                replica.handle(now, Input::Tick, &mut effects);
            }
            let reports = |effect: Effect<_, _>| {
                matches!(effect, Effect::Send { message: Message::Status(_), .. })
            };
            if effects.drain().any(reports) {
                reported_ms.push(ms);
            }
        }
        assert_eq!(reported_ms, [0, 100, 300, 700]);
        assert_eq!(replica.portion(16), 1, "and bring less each time");
    }
}

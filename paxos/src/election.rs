//! Who may lead: hearing a leader, and asking before disturbing one.
//!
//! Kept apart from the log (as OmniPaxos does; Ng, Haridi, Carbone, EuroSys 2023): a candidate
//! needs no complete log, only connections, because phase 1 and the learner bring it what it
//! lacks. A replica that misses its leader first *canvasses*: does a phase 1 quorum also hear no
//! leader? Only then does it take a higher ballot. A leader that hears from no phase 2 quorum steps
//! down (`leader`), so "I hear a leader" implies that this leader is connected to a quorum. What
//! always holds: nothing here touches promises or the log; safety never depends on time.

use std::time::Duration;

use quorate_smr::{ReplicaId, ReplicaSet, Slot, Time, To};

use crate::ballot::Ballot;
use crate::config::PaxosConfig;
use crate::message::Message;
use crate::replica::{Mode, Out, Paxos};

/// What a replica knows about leaders.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Election {
    /// The leader followed.
    pub(crate) leader: Option<ReplicaId>,
    /// When the leader was last heard, a candidate given a promise, or this replica started: it may
    /// have a leader that it has not heard yet.
    contact: Time,
    /// From when `timeout` counts.
    since: Time,
    /// How long to wait from there for a leader; drawn anew for each attempt.
    timeout: Duration,
    /// The highest ballot seen anywhere.
    seen: Ballot,
    /// How often this replica canvassed; numbers the canvasses.
    attempts: u64,
}

/// A canvass under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Canvass {
    number: u64,
    pub(crate) deadline: Time,
    /// Who answered.
    reached: ReplicaSet,
    /// Who answered that it hears no leader.
    free: ReplicaSet,
}

impl Election {
    pub(crate) const fn new(now: Time, timeout: Duration, seen: Ballot) -> Self {
        Self { leader: None, contact: now, since: now, timeout, seen, attempts: 0 }
    }

    /// Waits `timeout` from `now` on.
    pub(crate) const fn restart(&mut self, now: Time, timeout: Duration) {
        self.since = now;
        self.timeout = timeout;
    }

    pub(crate) fn follower_deadline(&self) -> Time {
        self.since.after(self.timeout)
    }

    /// Notes a ballot, so that the next own one exceeds it.
    pub(crate) fn see(&mut self, ballot: Ballot) {
        self.seen = self.seen.max(ballot);
    }

    pub(crate) const fn seen(&self) -> Ballot {
        self.seen
    }

    #[inline]
    pub(crate) const fn heard_leader(&mut self, now: Time, leader: ReplicaId) {
        self.leader = Some(leader);
        self.contact = now;
        self.since = now;
    }

    /// A candidate got this replica's promise: leave it the time to become the leader.
    pub(crate) const fn yield_to(&mut self, now: Time) {
        self.leader = None;
        self.contact = now;
        self.since = now;
    }

    fn hears_leader(&self, now: Time, config: &PaxosConfig) -> bool {
        now.since(self.contact) < config.election_timeout_min
    }
}

impl Paxos {
    /// A random time to wait for a leader or an answer; another one for each attempt.
    pub(crate) fn draw_timeout(&self) -> Duration {
        let config = self.config();
        let spread = config.election_timeout_max - config.election_timeout_min;
        let purpose = [self.election.attempts, self.acceptor.promised.round];
        self.setup.seed.jitter(&purpose, config.election_timeout_min, spread)
    }

    /// Stops leading or standing for election, and waits a random time before trying again.
    pub(crate) fn stand_down(&mut self, now: Time, effects: &mut Out) {
        self.refuse_reads(effects);
        self.mode = Mode::Following;
        self.election.leader = None;
        self.election.restart(now, self.draw_timeout());
    }

    /// Time passed while following or canvassing.
    pub(crate) fn tick_election(&mut self, now: Time, effects: &mut Out) {
        let due = match &self.mode {
            Mode::Canvassing(canvass) => canvass.deadline,
            _ => self.election.follower_deadline(),
        };
        if now >= due {
            self.canvass(now, effects);
        }
    }

    /// Asks everybody whether an election would disturb a live leader.
    pub(crate) fn canvass(&mut self, now: Time, effects: &mut Out) {
        self.election.attempts += 1;
        self.election.leader = None;
        self.election.timeout = self.draw_timeout();
        let own = ReplicaSet::only(self.me());
        let number = self.election.attempts;
        let deadline = now.after(self.election.timeout);
        self.mode = Mode::Canvassing(Canvass { number, deadline, reached: own, free: own });
        effects.send_immediately(To::Others, Message::Canvass { canvass: number });
        self.prepare_if_free(now, effects);
    }

    /// A peer canvasses: says whether a leader is heard here. Changes nothing.
    pub(crate) fn on_canvass(&self, now: Time, peer: ReplicaId, canvass: u64, effects: &mut Out) {
        let leads = matches!(self.mode, Mode::Leading(_));
        let free = !leads && !self.election.hears_leader(now, self.config());
        let (promised, decided) = (self.acceptor.promised, self.acceptor.log.decided());
        let message = Message::Canvassed { canvass, free, promised, decided };
        effects.send_immediately(To::One(peer), message);
    }

    /// A peer answered a canvass.
    #[expect(clippy::too_many_arguments, reason = "the fields of one message")]
    pub(crate) fn on_canvassed(
        &mut self,
        now: Time,
        peer: ReplicaId,
        number: u64,
        free: bool,
        promised: Ballot,
        decided: Slot,
        effects: &mut Out,
    ) {
        self.election.see(promised);
        let Mode::Canvassing(canvass) = &mut self.mode else { return };
        if canvass.number != number {
            return;
        }
        canvass.reached.insert(peer);
        if free {
            canvass.free.insert(peer);
        }
        // A replica that the leader cannot reach learns from those that it can.
        if decided > self.acceptor.log.decided() {
            self.fetch(peer, effects);
        }
        self.prepare_if_free(now, effects);
    }

    /// Starts phase 1 once a quorum hears no leader and both kinds of quorum are in reach.
    fn prepare_if_free(&mut self, now: Time, effects: &mut Out) {
        let Mode::Canvassing(canvass) = &self.mode else { return };
        let (phase1, phase2) = (self.rule.phase1(), self.rule.phase2());
        if canvass.free.len() >= phase1 && canvass.reached.len() >= phase1.max(phase2) {
            self.prepare(now, effects);
        }
    }

    /// A peer promised a higher ballot: whoever leads or stands under a lower one gives up.
    pub(crate) fn on_refuse(&mut self, now: Time, promised: Ballot, effects: &mut Out) {
        self.election.see(promised);
        if self.ballot().is_some_and(|ballot| ballot < promised) {
            self.stand_down(now, effects);
        }
    }

    /// The leader asks this replica to succeed it.
    pub(crate) fn on_take_over(
        &mut self,
        now: Time,
        peer: ReplicaId,
        ballot: Ballot,
        effects: &mut Out,
    ) {
        let from_leader = ballot == self.acceptor.promised && ballot.replica == peer;
        if from_leader && matches!(self.mode, Mode::Following) {
            self.prepare(now, effects);
        }
    }
}

//! The acceptor: promises, acceptances, and what of them is durable.
//!
//! Lamport, *Paxos Made Simple*, §2.2: an acceptor promises not to accept proposals numbered less
//! than the highest prepare it answered (P1a), and remembers the highest-numbered proposal that it
//! accepted. What always holds: `promised` only grows, and `stable` covers only slots that would
//! survive a crash. Whom to follow and what is decided is left to `election` and `learner`.

use quorate_smr::{Batch, Lsn, ReplicaId, Slot, Time, To};

use crate::ballot::Ballot;
use crate::config::planted;
use crate::log::{self, Log};
use crate::message::{Acceptance, Message};
use crate::record::Record;
use crate::replica::{Mode, Out, Paxos};

/// An acceptor's memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Acceptor {
    /// The highest ballot promised.
    pub(crate) promised: Ballot,
    /// What was accepted and what of it is decided.
    pub(crate) log: Log,
    /// Every slot up to here is durably accepted under `promised`, or decided.
    pub(crate) stable: Slot,
    /// The decided prefix as last written to the journal.
    pub(crate) recorded: Slot,
}

impl Acceptor {
    /// Moves `stable` over what is decided and what is durable; whether it moved.
    #[inline]
    pub(crate) fn advance_stable(&mut self, durable: Lsn) -> bool {
        let before = self.stable;
        self.stable = self.stable.max(self.log.decided());
        loop {
            let next = self.stable.next();
            let durable_here = self.log.ballot(next) == Some(self.promised)
                && self.log.lsn(next).is_some_and(|lsn| lsn <= durable);
            if !durable_here {
                return self.stable > before;
            }
            self.stable = next;
        }
    }
}

impl Paxos {
    /// Promises `ballot`, which is above the promise, and makes that durable.
    pub(crate) fn promise(&mut self, ballot: Ballot, effects: &mut Out) -> Lsn {
        assert!(ballot > self.acceptor.promised, "promises only grow");
        self.acceptor.promised = ballot;
        self.acceptor.stable = self.acceptor.log.decided();
        self.election.see(ballot);
        self.cursor.append(Record::Promised { ballot }, effects)
    }

    /// Phase 1a arrived: promises, and reports what was accepted (phase 1b), or refuses.
    pub(crate) fn on_prepare(
        &mut self,
        now: Time,
        candidate: ReplicaId,
        ballot: Ballot,
        from: Slot,
        effects: &mut Out,
    ) {
        if ballot.replica != candidate {
            return;
        }
        if ballot < self.acceptor.promised {
            let promised = self.acceptor.promised;
            effects.send_immediately(To::One(candidate), Message::Refuse { promised });
            return;
        }
        if ballot > self.acceptor.promised {
            self.stand_down(now, effects);
            self.election.yield_to(now);
            self.promise(ballot, effects);
        } else if self.election.leader != Some(candidate) {
            // The next page: the candidate gets on, and a phase 1 of many pages must not be outbid
            // before it can end.
            if matches!(self.mode, Mode::Canvassing(_)) {
                self.stand_down(now, effects);
            }
            self.election.yield_to(now);
        }
        let page = self.promise_page(ballot, from);
        if planted!(self.config(), PromiseBeforeDurable) {
            return effects.send_immediately(To::One(candidate), page);
        }
        effects.send(To::One(candidate), page);
    }

    /// One page of a promise: what is accepted from `from` on, above what is decided here.
    fn promise_page(&self, ballot: Ballot, from: Slot) -> Message {
        let config = self.config();
        let log = &self.acceptor.log;
        let decided = log.decided();
        let mut accepted = Vec::new();
        let mut bytes = 0;
        let mut next = None;
        for (slot, under, batch) in log.values(from.max(decided.next())) {
            // Under this very ballot the candidate is the leader already and needs no promise.
            if under >= ballot {
                continue;
            }
            bytes += batch.len();
            let full = accepted.len() >= config.page_slots_max || bytes > config.page_bytes_max;
            if full && !accepted.is_empty() {
                next = Some(slot);
                break;
            }
            accepted.push(Acceptance { slot, ballot: under, batch: batch.clone() });
        }
        Message::Promise { ballot, from, decided, accepted, next }
    }

    /// Whether `ballot`, under which its owner `from` speaks as a leader, is to be obeyed; if it
    /// is, the sender is followed from here on.
    #[inline]
    pub(crate) fn follow(
        &mut self,
        now: Time,
        from: ReplicaId,
        ballot: Ballot,
        effects: &mut Out,
    ) -> bool {
        if ballot.replica != from {
            return false;
        }
        if ballot < self.acceptor.promised {
            if planted!(self.config(), AcceptBelowPromise) && matches!(self.mode, Mode::Following) {
                return true;
            }
            let promised = self.acceptor.promised;
            effects.send_immediately(To::One(from), Message::Refuse { promised });
            return false;
        }
        if ballot > self.acceptor.promised {
            self.stand_down(now, effects);
            self.election.yield_to(now);
            self.promise(ballot, effects);
        }
        if !matches!(self.mode, Mode::Following) {
            self.mode = Mode::Following;
        }
        self.election.heard_leader(now, from);
        true
    }

    /// Phase 2a arrived under a ballot that [`Paxos::follow`] let pass: accepts the value.
    #[inline]
    pub(crate) fn accept(&mut self, slot: Slot, ballot: Ballot, batch: Batch, effects: &mut Out) {
        let log = &self.acceptor.log;
        let known = slot <= log.decided() || log.ballot(slot) == Some(ballot);
        if known {
            // Sent again: the acknowledgement may have been lost.
            let upto = self.acceptor.stable;
            effects.send_immediately(To::One(ballot.replica), Message::Accepted { ballot, upto });
            return;
        }
        if self.has_room(slot, &batch) {
            self.record_acceptance(slot, ballot, batch, effects);
            if planted!(self.config(), AcknowledgeBeforeDurable) {
                self.acceptor.advance_stable(self.cursor.appended());
                let upto = self.acceptor.stable;
                let message = Message::Accepted { ballot, upto };
                effects.send_immediately(To::One(ballot.replica), message);
            }
            if planted!(self.config(), AcceptBelowPromise) && ballot < self.acceptor.promised {
                let message = Message::Accepted { ballot, upto: slot };
                effects.send(To::One(ballot.replica), message);
            }
        }
    }

    /// Whether `batch` may be accepted at `slot` within the bounds of the log. Half of the log's
    /// bytes stay free for decided values, so that what is missing can always be learned.
    fn has_room(&self, slot: Slot, batch: &Batch) -> bool {
        let (config, log) = (self.config(), &self.acceptor.log);
        let cost = log::cost(batch);
        // What was accepted here in a lower ballot makes room for it.
        let replaced = log.batch(slot).map_or(0, log::cost);
        slot.0 - log.decided().0 <= config.accept_slots_max()
            && log.open_bytes() - replaced + cost <= (config.log_bytes_max / 2).max(cost)
            && log.bytes() - replaced + cost <= config.log_bytes_max
    }

    /// Accepts: in memory now, durably once the journal says so.
    #[inline]
    pub(crate) fn record_acceptance(
        &mut self,
        slot: Slot,
        ballot: Ballot,
        batch: Batch,
        effects: &mut Out,
    ) {
        let below = ballot < self.acceptor.promised;
        assert!(
            !below || planted!(self.config(), AcceptBelowPromise),
            "P1a: never below the promise"
        );
        let decided = self.acceptor.log.decided();
        self.acceptor.recorded = decided;
        let record = Record::Accepted { ballot, slot, decided, batch: batch.clone() };
        let lsn = self.cursor.append(record, effects);
        self.acceptor.log.put(slot, ballot, lsn, batch);
    }

    /// Tells the leader how far this acceptor got; a leader counts its own acceptances.
    #[inline]
    pub(crate) fn acknowledge(&mut self, now: Time, effects: &mut Out) {
        let (ballot, upto) = (self.acceptor.promised, self.acceptor.stable);
        match self.mode {
            Mode::Leading(_) => self.decide(now, effects),
            Mode::Following if self.election.leader == Some(ballot.replica) => {
                // What it promises is durable already; it need not wait for what came later.
                let message = Message::Accepted { ballot, upto };
                effects.send_immediately(To::One(ballot.replica), message);
            }
            _ => {}
        }
    }
}

//! The leader's side of replication: proposals, answers, commits, heartbeats (§5.3, §5.4.2).
//!
//! A proposal is sent at once, beside the leader's own disk; the leader's copy counts when it is
//! durable, a follower's when the follower says so. The leader commits the last slot that a
//! majority holds, if its entry is of the current term: older entries are committed by those above
//! them, never by counting (§5.4.2).

use quorate_smr::{Batch, Lsn, Reason, Refused, ReplicaId, ReplicaSet, Slot, Time, To};

use crate::defect::Defect;
use crate::leader::{Leader, Out, View};
use crate::log::entry_bytes;
use crate::message::{Entries, Entry, Message, Position};
use crate::progress::Mode;
use crate::record::Record;
use crate::replica::{Raft, State};

impl Raft {
    pub(crate) fn on_propose(&mut self, batch: Batch, now: Time, out: &mut Out) {
        match self.admission(&batch) {
            Ok(()) => self.append_own(batch, now, out),
            Err(reason) => out.refuse(Refused::Proposal(batch), reason),
        }
    }

    /// Whether a proposal fits: group, leadership, windows.
    fn admission(&mut self, batch: &Batch) -> Result<(), Reason> {
        let State::Leader(leader) = &self.state else {
            return Err(Reason::NotLeader { leader: self.leader });
        };
        let config = &self.setup.config;
        let bytes = entry_bytes(batch);
        if batch.header().group != self.setup.group || bytes > config.uncommitted_bytes_max {
            return Err(Reason::Invalid);
        }
        let last = self.log.last();
        // What a quorum holds but not the own disk is on its way too: a slow disk pushes back.
        let settled = self.committed.min(leader.own_matched);
        let waiting = self.log.bytes_between(settled, last);
        let too_many = last.0 - settled.0 >= config.uncommitted_entries_max as u64;
        if too_many || waiting + bytes > config.uncommitted_bytes_max || leader.transfer.is_some() {
            return Err(Reason::Busy);
        }
        let bytes_max = config.proposal_bytes_max();
        if self.log.held_bytes() + bytes > bytes_max {
            self.log.trim_to(bytes_max - bytes);
            if self.log.held_bytes() + bytes > bytes_max {
                return Err(Reason::Busy);
            }
        }
        Ok(())
    }

    /// Appends a leader's entry: to the followers first, then to its own journal.
    pub(crate) fn append_own(&mut self, batch: Batch, now: Time, out: &mut Out) {
        let previous = self.log.last_position();
        let slot = previous.slot.next();
        let (term, entry) = (self.term, Entry { term: self.term, batch: batch.clone() });
        let lsn = Lsn(self.cursor.appended().0 + 1);
        self.log.push(term, batch.clone(), lsn);
        let Some((leader, view)) = self.leading(now) else {
            unreachable!("only a leader appends entries of its own");
        };
        leader.broadcast(entry, previous, view, out);
        let written = self.cursor.append(Record::Entry { slot, term, batch }, out);
        assert!(written == lsn, "the entry's durable step is the next one");
    }

    pub(crate) fn on_durable(&mut self, upto: Lsn, now: Time, out: &mut Out) {
        self.cursor.durable_upto(upto);
        match &mut self.state {
            State::Leader(leader) => {
                let own = leader.own_matched;
                let durable = self.cursor.durable();
                let mut reached = own.max(self.log.trimmed());
                let is_durable = |slot| self.log.entry(slot).is_some_and(|e| e.lsn <= durable);
                if own == Slot::ZERO {
                    reached = self.log.durable_upto(durable);
                }
                while is_durable(reached.next()) {
                    reached = reached.next();
                }
                if reached > own {
                    leader.own_matched = reached;
                    leader.matches.raise(own, reached);
                    self.advance_commit(now, out);
                }
            }
            State::Candidate { .. } => self.count_own_vote(now, out),
            State::Follower => self.acknowledge(out),
            State::PreCandidate { .. } => {}
        }
    }

    pub(crate) fn on_appended(&mut self, from: ReplicaId, upto: Slot, now: Time, out: &mut Out) {
        let Some((leader, view)) = self.leading(now) else { return };
        let progress = leader.of_mut(from);
        progress.heard = now;
        // What was never sent cannot be acknowledged.
        if upto > view.log.last() {
            return;
        }
        let before = progress.matched;
        if upto < before {
            return;
        }
        progress.acknowledged(upto);
        if upto > before {
            leader.matches.raise(before, upto);
            if upto > self.committed {
                self.advance_commit(now, out);
            }
        }
        self.continue_with(from, now, out);
    }

    /// After an answer of `from`: send what its window now lets through, or tell it the commit.
    fn continue_with(&mut self, from: ReplicaId, now: Time, out: &mut Out) {
        let Some((leader, view)) = self.leading(now) else { return };
        leader.replicate(from, view, out);
        leader.announce_commit(ReplicaSet::only(from), view, out);
        leader.hand_over(view, out);
    }

    pub(crate) fn on_conflict(
        &mut self,
        from: ReplicaId,
        previous: Slot,
        hint: Position,
        now: Time,
        out: &mut Out,
    ) {
        let Some((leader, view)) = self.leading(now) else { return };
        let progress = leader.of_mut(from);
        progress.heard = now;
        let answers_probe = match progress.mode {
            Mode::Probe { .. } => previous.0.checked_add(1) == Some(progress.next.0),
            Mode::Replicate => previous < progress.next,
            Mode::Snapshot { .. } => false,
        };
        // What was acknowledged cannot be missing; a stale answer says nothing new.
        if !answers_probe || previous <= progress.matched {
            return;
        }
        // §5.3: skip all entries of the conflicting term at once. The common position lies below
        // `previous`, not above the hint, and in no later term than the hint's.
        let below = Slot(previous.0 - 1).min(hint.slot);
        let candidate = if below < view.log.trimmed() {
            below
        } else {
            view.log.last_within(below, hint.term).slot
        };
        progress.probe_from(Slot(candidate.0 + 1));
        leader.replicate(from, view, out);
    }

    /// Commits what a quorum holds, if it is of this term (§5.4.2), and tells the followers.
    fn advance_commit(&mut self, now: Time, out: &mut Out) {
        let quorum = self.rule.phase2();
        let State::Leader(leader) = &self.state else { return };
        let held = leader.matches.held_by(quorum);
        if held <= self.committed {
            return;
        }
        let by_counting = self.setup.config.has(Defect::CommitOlderTermByCounting);
        if held < leader.first && !by_counting {
            return;
        }
        self.commit_upto(held, out);
        if let Some((leader, view)) = self.leading(now) {
            leader.announce_commit(view.peers, view, out);
            if !leader.reads.is_empty() {
                self.on_round_answered(now, out);
            }
        }
    }

    pub(crate) fn on_heartbeat_reply(
        &mut self,
        from: ReplicaId,
        round: u64,
        received: Slot,
        now: Time,
        out: &mut Out,
    ) {
        let Some((leader, view)) = self.leading(now) else { return };
        if round > leader.round {
            return;
        }
        let progress = leader.of_mut(from);
        progress.heard = now;
        progress.round = progress.round.max(round);
        if let Some(expected) = progress.settle_check(round) {
            leader.repair(from, received.min(view.log.last()), expected, view, out);
        }
        if !leader.reads.is_empty() {
            self.on_round_answered(now, out);
        }
        self.continue_with(from, now, out);
    }

    pub(crate) fn on_leader_tick(&mut self, now: Time, out: &mut Out) {
        let quorum = self.rule.phase2();
        let Some((leader, view)) = self.leading(now) else { return };
        if now < leader.heartbeat_at {
            return;
        }
        // Thesis §6.2: a leader that does not hear a quorum must not keep clients waiting.
        if view.config.check_quorum && leader.heard(view) < quorum {
            return self.become_follower(None, now, out);
        }
        leader.transfer = leader.transfer.filter(|transfer| now < transfer.until);
        leader.heartbeat(view, out);
    }
}

impl Leader {
    /// Sends one new entry to every follower whose window has room: one message for all.
    fn broadcast(&mut self, entry: Entry, previous: Position, view: View<'_>, out: &mut Out) {
        let slot = previous.slot.next();
        let mut receivers = ReplicaSet::EMPTY;
        for id in view.peers.iter() {
            let progress = self.of(id);
            if progress.next == slot && self.has_room(id, view) {
                let progress = self.of_mut(id);
                progress.next = slot.next();
                progress.commit_sent = view.committed;
                receivers.insert(id);
            } else {
                self.replicate(id, view, out);
            }
        }
        if receivers.is_empty() {
            return;
        }
        let to = if receivers == view.peers { To::Others } else { To::Set(receivers) };
        let (term, committed) = (view.term, view.committed);
        let entries = Entries::one(entry);
        out.send_immediately(to, Message::Append { term, previous, committed, entries });
    }

    /// Compares what a follower has received with what it must have received (everything below
    /// `expected`), and sends again what was lost.
    fn repair(
        &mut self,
        id: ReplicaId,
        received: Slot,
        expected: Slot,
        view: View<'_>,
        out: &mut Out,
    ) {
        let progress = self.of_mut(id);
        match progress.mode {
            Mode::Probe { .. } => progress.mode = Mode::Probe { waiting: false },
            Mode::Replicate if received.next() < expected => {
                progress.rewind_to(received.next());
            }
            // Everything arrived, an acknowledgement is late or lost.
            Mode::Replicate if received > progress.matched => {
                self.ask_again(id, received, view, out);
            }
            Mode::Replicate => {}
            Mode::Snapshot { slot, retry_at } => {
                if received >= slot {
                    progress.probe_from(received.next());
                } else if view.now >= retry_at {
                    progress.probe_from(progress.next);
                }
            }
        }
    }
}

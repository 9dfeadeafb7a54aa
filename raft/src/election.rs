//! Elections: timeouts, pre-vote, votes, and stepping down.
//!
//! A follower that hears no leader for its randomised timeout first asks whether it could win
//! (pre-vote, thesis §9.6): that question changes nothing anywhere, so a replica that was cut off
//! cannot depose a working leader when it returns. With a quorum of yeses it enters the next term,
//! votes for itself and asks for votes (§5.2). A vote goes once per term, to a log at least as
//! complete as the voter's (§5.4.1), and is durable before it is sent; so is the candidate's own.

use quorate_smr::quorum::Quorum;
use quorate_smr::{ReplicaId, Time, To};

use crate::config::ENTRY_OVERHEAD_BYTES;
use crate::defect::Defect;
use crate::leader::{Leader, Out};
use crate::message::{Message, Position};
use crate::replica::{Raft, State};
use crate::term::{TERM_JUMP_MAX, Term};

impl Raft {
    /// Draws a new timeout and waits for it.
    pub(crate) fn restart_election_timer(&mut self, now: Time) {
        self.draws += 1;
        let config = &self.setup.config;
        let purpose = [self.term.0, self.draws];
        let (base, spread) = (config.election_timeout, config.election_spread);
        self.timeout = self.setup.seed.jitter(&purpose, base, spread);
        self.election_at = now.after(self.timeout);
    }

    /// Whether this replica should not help to depose its leader (thesis §4.2.3, §9.6).
    pub(crate) fn hears_leader(&self, now: Time) -> bool {
        match self.state {
            State::Leader(_) => true,
            _ => {
                let silent = now.since(self.leader_heard);
                self.leader.is_some() && silent < self.setup.config.election_timeout
            }
        }
    }

    /// Whether a real vote request is ignored for the leader's sake. Only with check-quorum: else
    /// a leader that nobody hears would never be told to step down.
    pub(crate) fn defends_leader(&self, now: Time) -> bool {
        self.setup.config.check_quorum && self.hears_leader(now)
    }

    pub(crate) fn on_election_timeout(&mut self, now: Time, out: &mut Out) {
        let own_vote_waits = match &self.state {
            // The disk stands still: further terms would only pile up behind it.
            State::Candidate { own_vote, .. } => *own_vote > self.cursor.durable(),
            _ => false,
        };
        if own_vote_waits || !self.has_room_for_noop() {
            self.restart_election_timer(now);
        } else if self.setup.config.pre_vote {
            self.start_pre_vote(now, out);
        } else {
            self.start_election(false, now, out);
        }
    }

    /// A leader begins with an entry; a full log must first be compacted.
    pub(crate) fn has_room_for_noop(&mut self) -> bool {
        let needed = self.noop.len() + ENTRY_OVERHEAD_BYTES;
        let bytes_max = self.setup.config.log_bytes_max.saturating_sub(needed);
        self.log.trim_to(bytes_max);
        self.log.held_bytes() <= bytes_max
    }

    fn start_pre_vote(&mut self, now: Time, out: &mut Out) {
        let term = self.term.next();
        let mut votes = Quorum::new(term, self.setup.members, self.rule.phase1());
        votes.vote(self.setup.replica);
        self.leader = None;
        self.restart_election_timer(now);
        if votes.is_reached() {
            return self.start_election(false, now, out);
        }
        self.state = State::PreCandidate { votes };
        let last = self.log.last_position();
        out.send(To::Others, Message::Vote { term, last, pre: true, transfer: false });
    }

    /// Enters the next term and asks for votes; the request waits until the own vote is durable.
    pub(crate) fn start_election(&mut self, transfer: bool, now: Time, out: &mut Out) {
        self.term = self.term.next();
        self.vote = Some(self.setup.replica);
        self.verified = self.committed;
        self.leader = None;
        let own_vote = self.persist_vote(out);
        let votes = Quorum::new(self.term, self.setup.members, self.rule.phase1());
        self.state = State::Candidate { votes, own_vote };
        self.restart_election_timer(now);
        if !self.peers.is_empty() {
            let (term, last) = (self.term, self.log.last_position());
            out.send(To::Others, Message::Vote { term, last, pre: false, transfer });
        }
    }

    pub(crate) fn on_vote_request(
        &mut self,
        from: ReplicaId,
        term: Term,
        last: Position,
        pre: bool,
        now: Time,
        out: &mut Out,
    ) {
        let complete =
            last >= self.log.last_position() || self.setup.config.has(Defect::VoteForStaleLog);
        let granted = if pre {
            let newer = term > self.term && term.0 - self.term.0 <= TERM_JUMP_MAX;
            newer && complete && !self.hears_leader(now)
        } else {
            complete && self.vote.is_none_or(|candidate| candidate == from)
        };
        if granted && !pre {
            self.grant_vote(from, now, out);
        }
        let term = if granted { term } else { self.term };
        let reply = Message::VoteReply { term, granted, pre };
        if self.setup.config.has(Defect::VoteBeforeDurable) {
            return out.send_immediately(To::One(from), reply);
        }
        out.send(To::One(from), reply);
    }

    /// Votes for `candidate` in the current term, and gives it time to win.
    fn grant_vote(&mut self, candidate: ReplicaId, now: Time, out: &mut Out) {
        self.election_at = now.after(self.timeout);
        if self.vote == Some(candidate) {
            return;
        }
        self.vote = Some(candidate);
        self.state = State::Follower;
        if !self.setup.config.has(Defect::VoteNotPersisted) {
            self.persist_vote(out);
        }
    }

    pub(crate) fn on_vote_reply(
        &mut self,
        from: ReplicaId,
        term: Term,
        granted: bool,
        pre: bool,
        now: Time,
        out: &mut Out,
    ) {
        let votes = match &mut self.state {
            State::PreCandidate { votes } if pre => votes,
            State::Candidate { votes, .. } if !pre => votes,
            _ => return,
        };
        if !granted || term != *votes.value() {
            return;
        }
        votes.vote(from);
        if !votes.is_reached() {
            return;
        }
        if pre {
            self.start_election(false, now, out);
        } else {
            self.become_leader(now, out);
        }
    }

    /// The candidate's own vote counts from the moment when it is durable.
    pub(crate) fn count_own_vote(&mut self, now: Time, out: &mut Out) {
        let State::Candidate { votes, own_vote } = &mut self.state else { return };
        if *own_vote <= self.cursor.durable() {
            votes.vote(self.setup.replica);
            if votes.is_reached() {
                self.become_leader(now, out);
            }
        }
    }

    /// Leads the current term: begins it with a no-op, so that everything before it can be
    /// committed (§5.4.2, §8).
    fn become_leader(&mut self, now: Time, out: &mut Out) {
        let first = self.log.last().next();
        self.leader = Some(self.setup.replica);
        self.state = State::Leader(Box::new(Leader::new(self.setup.members, first, now)));
        let noop = self.noop.clone();
        self.append_own(noop, now, out);
        if let Some((leader, view)) = self.leading(now) {
            leader.heartbeat_at = now.after(view.config.heartbeat_interval);
        }
    }

    /// Follows `leader` in the current term. The vote stays: it was given for the whole term.
    pub(crate) fn become_follower(&mut self, leader: Option<ReplicaId>, now: Time, out: &mut Out) {
        let waited = matches!(self.state, State::Follower) && self.leader.is_none();
        self.leader = leader;
        if self.setup.config.has(Defect::VoteClearedOnStepDown) {
            self.vote = None;
        }
        if let State::Leader(old) = std::mem::replace(&mut self.state, State::Follower) {
            self.refuse_reads(*old, out);
        }
        // A replica that waits for a leader goes on waiting: only a leader or a granted vote
        // starts its timer again (§5.2).
        if !waited {
            self.restart_election_timer(now);
        }
    }
}

//! The replica: its state, the door through which inputs enter, and the rules for all servers.

use std::time::Duration;

use quorate_smr::quorum::{Quorum, QuorumRule, ReplicaSet};
use quorate_smr::{
    Admin, Batch, Effect, Input, JournalCursor, Lsn, Protocol, Reads, Reason, RecoverError,
    Recovered, Refused, ReplicaId, Role, Setup, Slot, Status, Time, To, Trusted,
};

use crate::config::RaftConfig;
use crate::follower::Owed;
use crate::leader::{Leader, Out, View};
use crate::log::Log;
use crate::message::Message;
use crate::record::Record;
use crate::term::{TERM_JUMP_MAX, Term};

/// What a replica is at the moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks whether it could win the term after its own.
    PreCandidate { votes: Quorum<Term> },
    /// Campaigns in its term.
    Candidate {
        votes: Quorum<Term>,
        /// The durable step of its own vote; the vote counts from then on.
        own_vote: Lsn,
    },
    /// Leads its term.
    Leader(Box<Leader>),
}

/// One Raft replica, a plain value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Raft {
    pub(crate) setup: Setup<RaftConfig>,
    pub(crate) rule: QuorumRule,
    pub(crate) peers: ReplicaSet,
    pub(crate) cursor: JournalCursor,
    pub(crate) term: Term,
    pub(crate) vote: Option<ReplicaId>,
    pub(crate) leader: Option<ReplicaId>,
    pub(crate) state: State,
    pub(crate) log: Log,
    pub(crate) committed: Slot,
    /// As a follower: the last slot known to equal the log of this term's leader.
    pub(crate) verified: Slot,
    /// As a follower: the acknowledgement that waits for the disk.
    pub(crate) owed: Option<Owed>,
    /// When this term's leader was last heard.
    pub(crate) leader_heard: Time,
    pub(crate) election_at: Time,
    /// The election timeout of the current draw.
    pub(crate) timeout: Duration,
    /// Counts timeouts drawn, so that each draw differs.
    pub(crate) draws: u64,
    /// The snapshot asked for and not yet taken.
    pub(crate) snapshot_wanted: Option<Slot>,
    /// The snapshot that the executor is restoring.
    pub(crate) installing: Option<Slot>,
    /// What [`Effect::RoleChanged`] last told.
    pub(crate) announced: (Role, Term, Option<ReplicaId>),
    /// The batch of a no-op entry.
    pub(crate) noop: Batch,
}

impl Raft {
    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &RaftConfig {
        &self.setup.config
    }

    /// The current term.
    #[must_use]
    pub const fn term(&self) -> Term {
        self.term
    }

    /// The candidate that has this replica's vote in the current term.
    #[must_use]
    pub const fn voted_for(&self) -> Option<ReplicaId> {
        self.vote
    }

    /// The last committed slot.
    #[must_use]
    pub const fn committed(&self) -> Slot {
        self.committed
    }

    /// The term of the entry at `slot`, if it is held or lies right below what is held.
    #[must_use]
    pub fn term_at(&self, slot: Slot) -> Option<Term> {
        self.log.term_at(slot)
    }

    /// The entries in memory, in order: some below the last snapshot, all above it.
    pub fn log_entries(&self) -> impl Iterator<Item = (Slot, Term, &Batch)> {
        self.log.iter().map(|(slot, held)| (slot, held.term, &held.batch))
    }

    /// The replica's current role.
    #[must_use]
    pub const fn role(&self) -> Role {
        match self.state {
            State::Follower => Role::Follower,
            State::PreCandidate { .. } | State::Candidate { .. } => Role::Candidate,
            State::Leader(_) => Role::Leader,
        }
    }

    /// The leader's state and what it needs to send, when this replica leads.
    #[inline]
    pub(crate) fn leading(&mut self, now: Time) -> Option<(&mut Leader, View<'_>)> {
        let State::Leader(leader) = &mut self.state else { return None };
        let view = View {
            term: self.term,
            log: &self.log,
            committed: self.committed,
            config: &self.setup.config,
            peers: self.peers,
            now,
        };
        Some((leader, view))
    }

    fn on_message(&mut self, from: ReplicaId, message: &Message, now: Time, out: &mut Out) {
        if !self.peers.contains(from) || !self.accept_term(from, message, now, out) {
            return;
        }
        match *message {
            Message::Append { previous, committed, ref entries, .. } => {
                self.on_append(from, previous, committed, entries, out);
            }
            Message::Appended { upto, .. } => self.on_appended(from, upto, now, out),
            Message::Conflict { previous, hint, .. } => {
                self.on_conflict(from, previous, hint, now, out);
            }
            Message::Commit { position, .. } => self.on_commit(position, out),
            Message::Heartbeat { round, matched, committed, .. } => {
                self.on_heartbeat(from, round, matched, committed, out);
            }
            Message::HeartbeatReply { round, received, .. } => {
                self.on_heartbeat_reply(from, round, received, now, out);
            }
            Message::Vote { term, last, pre, .. } => {
                self.on_vote_request(from, term, last, pre, now, out);
            }
            Message::VoteReply { term, granted, pre } => {
                self.on_vote_reply(from, term, granted, pre, now, out);
            }
            Message::TimeoutNow { .. } => self.on_timeout_now(now, out),
            // The term was all it had to say; a snapshot's message means nothing without its data.
            Message::NewerTerm { .. } | Message::Snapshot { .. } => {}
        }
    }

    /// The rules for all servers about terms (§5.1): adopt a newer one, answer an older one, follow
    /// the leader of the current one. False when the message has nothing more to say.
    pub(crate) fn accept_term(
        &mut self,
        from: ReplicaId,
        message: &Message,
        now: Time,
        out: &mut Out,
    ) -> bool {
        let term = message.term();
        if term < self.term {
            self.answer_older_term(from, message, out);
            return false;
        }
        if message.is_from_leader() {
            return self.follow(term, from, now, out);
        }
        if term == self.term {
            return true;
        }
        match message {
            // A question about a term that nobody is in yet, and its answer.
            Message::Vote { pre: true, .. } => true,
            Message::VoteReply { pre: true, granted: true, .. } => true,
            // Thesis §4.2.3: a replica that hears its leader does not help to depose it.
            Message::Vote { transfer: false, .. } if self.defends_leader(now) => false,
            _ => self.adopt_term(term, None, now, out),
        }
    }

    fn answer_older_term(&self, from: ReplicaId, message: &Message, out: &mut Out) {
        let to = To::One(from);
        match message {
            Message::Vote { pre, .. } => {
                let reply = Message::VoteReply { term: self.term, granted: false, pre: *pre };
                out.send(to, reply);
            }
            // The sender is deposed and does not know, or this replica's term ran ahead: either
            // way the sender must learn of the newer term (thesis §9.6 with check-quorum).
            Message::Append { .. } | Message::Heartbeat { .. } => {
                out.send(to, Message::NewerTerm { term: self.term });
            }
            _ => {}
        }
    }

    /// Follows `leader` in `term`. False when the message cannot be true.
    fn follow(&mut self, term: Term, leader: ReplicaId, now: Time, out: &mut Out) -> bool {
        if term > self.term {
            if !self.adopt_term(term, Some(leader), now, out) {
                return false;
            }
        } else if matches!(self.state, State::Leader(_)) {
            // Election safety (figure 3): a second leader of a term does not exist.
            return false;
        } else if self.leader != Some(leader) || !matches!(self.state, State::Follower) {
            self.become_follower(Some(leader), now, out);
        }
        self.leader_heard = now;
        self.election_at = now.after(self.timeout);
        true
    }

    /// Moves to a newer term, without a vote in it. False when the term is absurd.
    pub(crate) fn adopt_term(
        &mut self,
        term: Term,
        leader: Option<ReplicaId>,
        now: Time,
        out: &mut Out,
    ) -> bool {
        if term.0 - self.term.0 > TERM_JUMP_MAX {
            return false;
        }
        self.term = term;
        self.vote = None;
        self.verified = self.committed;
        self.persist_vote(out);
        self.become_follower(leader, now, out);
        true
    }

    pub(crate) fn persist_vote(&mut self, out: &mut Out) -> Lsn {
        self.cursor.append(Record::Vote { term: self.term, vote: self.vote }, out)
    }

    /// Tells the host when role, term or leader changed.
    #[inline]
    fn announce(&mut self, out: &mut Out) {
        let current = (self.role(), self.term, self.leader);
        if current != self.announced {
            self.announced = current;
            let (role, epoch, leader) = (current.0, current.1.0, current.2);
            out.push(Effect::RoleChanged { role, epoch, leader });
        }
    }

    fn on_tick(&mut self, now: Time, out: &mut Out) {
        match self.state {
            State::Leader(_) => self.on_leader_tick(now, out),
            _ if now >= self.election_at => self.on_election_timeout(now, out),
            _ => {}
        }
    }

    fn on_admin(&mut self, admin: Admin, now: Time, out: &mut Out) {
        match admin {
            Admin::TransferLeadership { to } => self.on_transfer(to, now, out),
            Admin::ChangeMembership { .. } => {
                out.refuse(Refused::Admin(admin), Reason::Unsupported);
            }
        }
    }
}

impl Protocol for Raft {
    type Config = RaftConfig;
    type Message = Message;
    type Record = Record;
    type Auth = Trusted;

    const NAME: &'static str = "raft";
    const READS: Reads = Reads::Indexed;

    fn replicas_for(faults: usize) -> usize {
        2 * faults + 1
    }

    fn reply_quorum(_replicas: usize) -> usize {
        1
    }

    fn authenticator(_setup: &Setup<RaftConfig>) -> Result<Trusted, RecoverError> {
        Ok(Trusted)
    }

    fn recover(
        setup: Setup<RaftConfig>,
        recovered: Recovered<Record>,
        now: Time,
    ) -> Result<Self, RecoverError> {
        Self::recover_from(setup, recovered, now)
    }

    fn handle(&mut self, now: Time, input: Input<Message>, effects: &mut Out) {
        match input {
            Input::Message { from, ref message } => self.on_message(from, message, now, effects),
            Input::Propose { batch } => self.on_propose(batch, now, effects),
            Input::Durable { upto } => self.on_durable(upto, now, effects),
            Input::Tick => self.on_tick(now, effects),
            Input::Read { id } => self.on_read(id, now, effects),
            Input::SnapshotTaken { snapshot } => self.on_snapshot_taken(snapshot, effects),
            Input::SnapshotArrived { from, message, snapshot } => {
                self.on_snapshot_arrived(from, &message, snapshot, now, effects);
            }
            Input::SnapshotInstalled { slot } => self.on_snapshot_installed(slot),
            Input::Admin(admin) => self.on_admin(admin, now, effects),
        }
        self.announce(effects);
    }

    fn deadline(&self) -> Option<Time> {
        match &self.state {
            State::Leader(_) if self.peers.is_empty() => None,
            State::Leader(leader) => Some(leader.heartbeat_at),
            _ => Some(self.election_at),
        }
    }

    fn status(&self) -> Status {
        Status {
            replica: self.setup.replica,
            role: self.role(),
            epoch: self.term.0,
            leader: self.leader,
            base: self.log.base(),
            committed: self.committed,
            last: self.log.last(),
            held_bytes: self.log.held_bytes(),
            held_bytes_max: self.setup.config.log_bytes_max,
        }
    }

    fn retry_after(config: &RaftConfig) -> Duration {
        config.election_timeout + config.election_spread
    }
}

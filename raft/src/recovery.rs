//! Building a replica from its journal, or from nothing.
//!
//! The records are replayed in order and every one is checked against those before it: a journal
//! that contradicts itself is damaged or someone else's, and a replica that started from it could
//! vote twice. Nothing is committed by recovery beyond the snapshot: the next leader tells.

use quorate_smr::quorum::QuorumRule;
use quorate_smr::{
    Batch, JournalCursor, Lsn, RecoverError, Recovered, ReplicaId, Role, Setup, Slot, Time,
};

use crate::config::RaftConfig;
use crate::defect::Defect;
use crate::log::Log;
use crate::message::Position;
use crate::record::Record;
use crate::replica::{Raft, State};
use crate::term::Term;

/// What the records say.
struct Replay<'a> {
    setup: &'a Setup<RaftConfig>,
    snapshot: Slot,
    term: Term,
    vote: Option<ReplicaId>,
    /// Unknown until the base record, when there is a snapshot.
    log: Option<Log>,
}

impl Raft {
    pub(crate) fn recover_from(
        setup: Setup<RaftConfig>,
        recovered: Recovered<Record>,
        now: Time,
    ) -> Result<Self, RecoverError> {
        setup.config.validate()?;
        let rule = QuorumRule::majority(setup.members)?;
        if !setup.members.contains(setup.replica) {
            return Err(RecoverError::NotAMember(setup.replica));
        }
        let snapshot = recovered.snapshot.map_or(Slot::ZERO, |meta| meta.slot);
        let mut replay =
            Replay { setup: &setup, snapshot, term: Term::ZERO, vote: None, log: None };
        if recovered.snapshot.is_none() {
            replay.log = Some(Log::new(Position::ZERO));
        }
        for record in recovered.records {
            replay.apply(record)?;
        }
        let (term, vote) = (replay.term, replay.vote);
        let log = replay.finish()?;
        let mut raft = Self {
            peers: setup.peers(),
            noop: Batch::empty(setup.group),
            rule,
            cursor: JournalCursor::default(),
            term,
            vote,
            leader: None,
            owed: None,
            state: State::Follower,
            committed: log.base(),
            verified: log.base(),
            log,
            leader_heard: Time::ZERO,
            election_at: now,
            timeout: setup.config.election_timeout,
            draws: 0,
            snapshot_wanted: None,
            installing: None,
            announced: (Role::Follower, term, None),
            setup,
        };
        if !raft.peers.is_empty() {
            raft.restart_election_timer(now);
        }
        Ok(raft)
    }
}

impl Replay<'_> {
    fn apply(&mut self, record: Record) -> Result<(), RecoverError> {
        match record {
            Record::Vote { term, vote } => self.apply_vote(term, vote),
            Record::Base { position } => self.apply_base(position),
            Record::Entry { slot, term, batch } => self.apply_entry(slot, term, batch),
        }
    }

    fn apply_vote(&mut self, term: Term, vote: Option<ReplicaId>) -> Result<(), RecoverError> {
        let kept = !self.setup.config.has(Defect::VoteClearedOnStepDown);
        let changed = kept && term == self.term && self.vote.is_some() && self.vote != vote;
        if term < self.term || changed {
            return Err(damaged(format!("a vote in {term} follows one in {}", self.term)));
        }
        if let Some(stranger) = vote.filter(|vote| !self.setup.members.contains(*vote)) {
            return Err(damaged(format!("a vote for {stranger}, which is not a member")));
        }
        (self.term, self.vote) = (term, vote);
        Ok(())
    }

    fn apply_base(&mut self, position: Position) -> Result<(), RecoverError> {
        if self.log.is_some() || position.slot != self.snapshot {
            let slot = position.slot;
            return Err(damaged(format!("a base at {slot}, the snapshot is at {}", self.snapshot)));
        }
        if position.term > self.term {
            return Err(damaged(format!("a base of {} in {}", position.term, self.term)));
        }
        self.log = Some(Log::new(position));
        Ok(())
    }

    fn apply_entry(&mut self, slot: Slot, term: Term, batch: Batch) -> Result<(), RecoverError> {
        let Some(log) = &mut self.log else {
            return Err(damaged(format!("an entry at {slot} before the base of the log")));
        };
        if slot <= log.base() || slot > log.last().next() {
            let (base, last) = (log.base(), log.last());
            return Err(damaged(format!("an entry at {slot} in a log of {base} to {last}")));
        }
        let group = batch.header().group;
        if group != self.setup.group {
            return Err(damaged(format!("an entry of {group} at {slot}")));
        }
        log.truncate_from(slot);
        if term < log.last_position().term || term > self.term {
            return Err(damaged(format!("an entry of {term} at {slot}, out of order")));
        }
        log.push(term, batch, Lsn::ZERO);
        Ok(())
    }

    fn finish(self) -> Result<Log, RecoverError> {
        let log = self.log.ok_or_else(|| {
            damaged(format!("no base record for the snapshot at {}", self.snapshot))
        })?;
        let bytes_max = self.setup.config.log_bytes_max;
        if log.held_bytes() > bytes_max {
            let held = log.held_bytes();
            let what = format!("log_bytes_max is {bytes_max}, the journal holds {held}; raise it");
            return Err(RecoverError::Config(what));
        }
        Ok(log)
    }
}

fn damaged(what: String) -> RecoverError {
    RecoverError::Journal(what)
}

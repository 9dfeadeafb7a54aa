//! Linearizable reads by read-index (thesis §6.4).
//!
//! A read that arrives at a leader remembers the commit slot. It may be served there once a quorum
//! answered a heartbeat round that *started after the read arrived*: then no other leader had been
//! elected when it arrived, so nothing newer was committed. At most one round is on its way for
//! reads; those that arrive meanwhile share the next one. The slot is at least that of the
//! leader's no-op, before which the leader does not know which of its entries are committed.

use quorate_smr::{Effect, ReadId, Reason, Refused, Slot, Time};

use crate::defect::Defect;
use crate::leader::{Leader, Out, View};
use crate::replica::{Raft, State};

/// A read that waits for its round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PendingRead {
    pub(crate) id: ReadId,
    /// The slot that it must see applied.
    pub(crate) slot: Slot,
    /// The round that confirms it.
    pub(crate) round: u64,
}

impl Raft {
    pub(crate) fn on_read(&mut self, id: ReadId, now: Time, out: &mut Out) {
        let reads_max = self.setup.config.reads_max;
        let quorum = self.rule.phase2();
        let hint = self.leader;
        let Some((leader, view)) = self.leading(now) else {
            return out.refuse(Refused::Read(id), Reason::NotLeader { leader: hint });
        };
        if view.config.has(Defect::ReadWithoutQuorum) {
            return out.push(Effect::ReadReady { id, slot: view.committed });
        }
        if leader.reads.len() >= reads_max {
            return out.refuse(Refused::Read(id), Reason::Busy);
        }
        let round_open = leader.confirmed < leader.round;
        let early = view.config.has(Defect::ReadBeforeOwnCommit);
        let slot = if early { view.committed } else { view.committed.max(leader.first) };
        let stale = view.config.has(Defect::ReadConfirmedByEarlierRound);
        let round = leader.round + u64::from(!stale);
        leader.reads.push_back(PendingRead { id, slot, round });
        if !round_open {
            leader.heartbeat(view, out);
        }
        leader.serve_reads(quorum, view, out);
    }

    /// Gives back the reads of a leader that is one no more.
    pub(crate) fn refuse_reads(&self, leader: Leader, out: &mut Out) {
        for read in leader.reads {
            out.refuse(Refused::Read(read.id), Reason::NotLeader { leader: self.leader });
        }
    }

    /// Looks whether the last answers confirmed a round.
    pub(crate) fn on_round_answered(&mut self, now: Time, out: &mut Out) {
        let quorum = self.rule.phase2();
        if let Some((leader, view)) = self.leading(now) {
            leader.serve_reads(quorum, view, out);
        }
    }

    /// Reads that wait for their confirmation.
    #[must_use]
    pub fn pending_reads(&self) -> usize {
        if let State::Leader(leader) = &self.state { leader.reads.len() } else { 0 }
    }
}

impl Leader {
    /// Serves the reads whose round is confirmed, then starts the round for those that wait.
    pub(crate) fn serve_reads(&mut self, quorum: usize, view: View<'_>, out: &mut Out) {
        self.confirmed = self.round_answered_by(quorum, view);
        if view.committed < self.first && !view.config.has(Defect::ReadBeforeOwnCommit) {
            return;
        }
        while let Some(read) = self.reads.front().filter(|read| read.round <= self.confirmed) {
            out.push(Effect::ReadReady { id: read.id, slot: read.slot });
            self.reads.pop_front();
        }
        if self.confirmed == self.round && !self.reads.is_empty() {
            self.heartbeat(view, out);
        }
    }

    /// The last round that `quorum` members answered; the leader answers its own at once.
    fn round_answered_by(&self, quorum: usize, view: View<'_>) -> u64 {
        let answered = |round: u64| {
            1 + view.peers.iter().filter(|id| self.of(*id).round >= round).count() >= quorum
        };
        if answered(self.round) {
            return self.round;
        }
        let rounds = view.peers.iter().map(|id| self.of(id).round);
        rounds.filter(|round| answered(*round)).max().unwrap_or(0).max(self.confirmed)
    }
}

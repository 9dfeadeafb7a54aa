//! What only a leader has, and the log as a leader sees it while it sends.

use std::collections::VecDeque;

use quorate_smr::{Effect, Effects, ReplicaId, ReplicaSet, Slot, Time, To};

use crate::config::RaftConfig;
use crate::log::Log;
use crate::message::{Message, Position};
use crate::progress::{Mode, Progress};
use crate::reads::PendingRead;
use crate::record::Record;
use crate::tally::Tally;
use crate::term::Term;

/// The effects of a Raft replica.
pub(crate) type Out = Effects<Message, Record>;

/// A leadership transfer under way (thesis §3.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Transfer {
    pub(crate) to: ReplicaId,
    /// When it is given up and proposals are taken again.
    pub(crate) until: Time,
    /// Whether the target was told to campaign.
    pub(crate) told: bool,
}

/// The volatile state of a leader (figure 2), lost when it steps down.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leader {
    /// Indexed by replica; entries of strangers and of the leader itself are unused.
    progress: Vec<Progress>,
    /// The match slots of all members, the leader's own included.
    pub(crate) matches: Tally,
    /// The last slot of the leader's own log that is durable.
    pub(crate) own_matched: Slot,
    /// The slot of the no-op with which this term began.
    pub(crate) first: Slot,
    /// Heartbeat rounds started in this term.
    pub(crate) round: u64,
    /// The last round that a quorum answered.
    pub(crate) confirmed: u64,
    pub(crate) heartbeat_at: Time,
    pub(crate) reads: VecDeque<PendingRead>,
    pub(crate) transfer: Option<Transfer>,
}

/// What a leader looks at while it sends.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) term: Term,
    pub(crate) log: &'a Log,
    pub(crate) committed: Slot,
    pub(crate) config: &'a RaftConfig,
    pub(crate) peers: ReplicaSet,
    pub(crate) now: Time,
}

impl Leader {
    /// A leader whose no-op will stand at `first`.
    pub(crate) fn new(members: ReplicaSet, first: Slot, now: Time) -> Self {
        let indices = members.iter().map(|id| id.0 as usize + 1).max().unwrap_or(0);
        Self {
            progress: vec![Progress::new(first, now); indices],
            matches: Tally::new(members.len()),
            own_matched: Slot::ZERO,
            first,
            round: 0,
            confirmed: 0,
            heartbeat_at: now,
            reads: VecDeque::new(),
            transfer: None,
        }
    }

    /// What is known of the member `id`.
    #[inline]
    pub(crate) fn of(&self, id: ReplicaId) -> &Progress {
        &self.progress[id.0 as usize]
    }

    /// What is known of the member `id`, to be changed.
    #[inline]
    pub(crate) fn of_mut(&mut self, id: ReplicaId) -> &mut Progress {
        &mut self.progress[id.0 as usize]
    }

    /// Sends `to` what its mode and window let through.
    pub(crate) fn replicate(&mut self, to: ReplicaId, view: View<'_>, out: &mut Out) {
        match self.of(to).mode {
            Mode::Probe { waiting: false } => self.send_probe(to, view, out),
            Mode::Replicate => self.fill_window(to, view, out),
            Mode::Probe { waiting: true } | Mode::Snapshot { .. } => {}
        }
    }

    /// Whether the next entry may be sent to `id` right away.
    #[inline]
    pub(crate) fn has_room(&self, id: ReplicaId, view: View<'_>) -> bool {
        let progress = self.of(id);
        if progress.is_idle() {
            return true;
        }
        let unacknowledged = view.log.bytes_between(progress.matched, Slot(progress.next.0 - 1));
        progress.mode == Mode::Replicate
            && progress.entries_in_flight() < view.config.window_entries
            && unacknowledged < view.config.window_bytes
    }

    /// Asks `to` for an acknowledgement of what it is known to have received up to `slot`. Where
    /// that is no longer held it cannot be asked for; the snapshot above it serves instead.
    pub(crate) fn ask_again(&mut self, to: ReplicaId, slot: Slot, view: View<'_>, out: &mut Out) {
        let Some(term) = view.log.term_at(slot) else {
            return self.send_snapshot(to, view, out);
        };
        let previous = Position { term, slot };
        let entries = crate::message::Entries::NONE;
        let (term, committed) = (view.term, view.committed);
        let message = Message::Append { term, previous, committed, entries };
        out.send_immediately(To::One(to), message);
    }

    fn send_probe(&mut self, to: ReplicaId, view: View<'_>, out: &mut Out) {
        if self.send_entries(to, view.config.window_entries, view, out).is_some() {
            self.of_mut(to).mode = Mode::Probe { waiting: true };
        }
    }

    fn fill_window(&mut self, to: ReplicaId, view: View<'_>, out: &mut Out) {
        while self.of(to).next <= view.log.last() && self.has_room(to, view) {
            let room = view.config.window_entries - self.of(to).entries_in_flight();
            let Some(upto) = self.send_entries(to, room, view, out) else { return };
            self.of_mut(to).next = upto.next();
        }
    }

    /// Sends the entries from `next` on, or the snapshot when they are not held any more. Returns
    /// the last slot sent.
    fn send_entries(
        &mut self,
        to: ReplicaId,
        count_max: usize,
        view: View<'_>,
        out: &mut Out,
    ) -> Option<Slot> {
        let next = self.of(to).next;
        let slot = Slot(next.0 - 1);
        let Some(term) = view.log.term_at(slot) else {
            self.send_snapshot(to, view, out);
            return None;
        };
        let entries = view.log.entries_from(next, count_max, view.config.max_append_bytes);
        let upto = Slot(slot.0 + entries.as_slice().len() as u64);
        let progress = self.of_mut(to);
        progress.commit_sent = progress.commit_sent.max(view.committed.min(upto));
        let message = Message::Append {
            term: view.term,
            previous: Position { term, slot },
            committed: view.committed,
            entries,
        };
        out.send_immediately(To::One(to), message);
        Some(upto)
    }

    fn send_snapshot(&mut self, to: ReplicaId, view: View<'_>, out: &mut Out) {
        let position = view.log.base_position();
        let retry_at = view.now.after(view.config.snapshot_retry);
        self.of_mut(to).mode = Mode::Snapshot { slot: position.slot, retry_at };
        let message = Message::Snapshot { term: view.term, position };
        out.push(Effect::SendSnapshot { to, slot: position.slot, message });
    }

    /// Tells the followers that will not learn it from an entry how far the log is committed.
    pub(crate) fn announce_commit(&mut self, whom: ReplicaSet, view: View<'_>, out: &mut Out) {
        let mut informed = ReplicaSet::EMPTY;
        for id in whom.iter() {
            let progress = self.of_mut(id);
            let behind = progress.commit_sent < view.committed;
            if behind && progress.is_idle() && progress.matched >= view.committed {
                progress.commit_sent = view.committed;
                informed.insert(id);
            }
        }
        if informed.is_empty() {
            return;
        }
        let slot = view.committed;
        let term = view.log.term_at(slot).expect("a committed slot above the base is held");
        let message = Message::Commit { term: view.term, position: Position { term, slot } };
        let to = if informed == view.peers { To::Others } else { To::Set(informed) };
        out.send_immediately(to, message);
    }

    /// Starts a heartbeat round.
    pub(crate) fn heartbeat(&mut self, view: View<'_>, out: &mut Out) {
        self.round += 1;
        self.heartbeat_at = view.now.after(view.config.heartbeat_interval);
        for id in view.peers.iter() {
            let round = self.round;
            let progress = self.of_mut(id);
            progress.set_check(round, view.now, view.config.heartbeat_interval);
            let slot = progress.matched;
            let known = view.log.term_at(slot).map(|term| Position { term, slot });
            let matched = known.unwrap_or(Position::ZERO);
            let (term, committed) = (view.term, view.committed);
            let message = Message::Heartbeat { term, round, matched, committed };
            out.send_immediately(To::One(id), message);
        }
    }

    /// How many members, the leader included, were heard within the last election timeout.
    pub(crate) fn heard(&self, view: View<'_>) -> usize {
        let recent =
            |id: &ReplicaId| view.now.since(self.of(*id).heard) < view.config.election_timeout;
        1 + view.peers.iter().filter(recent).count()
    }
}

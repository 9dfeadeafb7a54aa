//! Clients' batches: ordered by the primary, passed on by backups, waited for until executed.

use quorate_smr::{Batch, Reason, Refused, ReplicaId, Time, To};

use crate::message::{Message, Proposal};
use crate::pending::Remembered;
use crate::replica::{Out, Pbft};
use crate::timer::Cost;

/// Batches sent again at one time.
const RESENT_BATCHES_MAX: usize = 16;

/// What the primary did with a batch.
enum Taken {
    Yes,
    /// Given back: the queue is full.
    Full(Proposal),
}

impl Pbft {
    /// A client's batch from our own host; its commands' clients were checked at the edge.
    pub(crate) fn on_propose(&mut self, now: Time, batch: Batch, out: &mut Out) {
        let header = batch.header();
        let largest = batch.len().max(header.raw_bytes as usize);
        // Empty batches are null requests; only new views order them.
        let valid = header.group == self.group.id
            && largest <= self.limits.batch_bytes_max
            && !batch.is_empty();
        let proposal = if valid { Proposal::new(batch.clone()).ok() } else { None };
        let Some(proposal) = proposal else {
            out.refuse(Refused::Proposal(batch), Reason::Invalid);
            return;
        };
        if self.is_active_primary() {
            let Some(proposal) = self.screen(now, None, proposal, out) else { return };
            if let Taken::Full(proposal) = self.take(now, proposal, out) {
                out.refuse(Refused::Proposal(proposal.into_batch()), Reason::Busy);
            }
        } else {
            self.wait_for(now, &proposal, out);
        }
    }

    /// As backup: passes a batch on and starts to wait (PBFT §4.4: a request known to no backup
    /// could be ignored for ever).
    fn wait_for(&mut self, now: Time, proposal: &Proposal, out: &mut Out) {
        let batch = proposal.batch();
        // A repetition of what was executed is passed on, but it is no reason to suspect anyone.
        if !self.executed.contains_all(batch) && self.remember(batch, now) == Remembered::Full {
            out.refuse(Refused::Proposal(batch.clone()), Reason::Busy);
            return;
        }
        if self.is_active() {
            out.send_immediately(To::One(self.primary), Message::Request(proposal.clone()));
        }
    }

    /// A peer passed a batch on; its commands' clients were checked when it was opened. The primary
    /// orders it, except for commands that are on their way. A backup treats it like a client's.
    pub(crate) fn on_request(
        &mut self,
        now: Time,
        from: ReplicaId,
        proposal: Proposal,
        out: &mut Out,
    ) {
        if proposal.batch().is_empty() {
            return;
        }
        if !self.is_active_primary() {
            self.pass_on(now, from, &proposal, out);
            return;
        }
        if !self.can_take(&proposal) {
            // Remembered but not queued it would count as known, and never be ordered. The backup
            // passes it on again.
            return;
        }
        let Some(proposal) = self.screen(now, Some(from), proposal, out) else { return };
        if self.executed.contains_all(proposal.batch()) {
            // Its client may have missed the answers; but a backup cannot repeat at will.
            if self.may_answer(now, from, Cost::Repetition) {
                let _ = self.take(now, proposal, out);
            }
            return;
        }
        match self.remember(proposal.batch(), now) {
            Remembered::New(batch) if batch == *proposal.batch() => {
                let _ = self.take(now, proposal, out);
            }
            Remembered::New(batch) => {
                if let Ok(proposal) = Proposal::new(batch) {
                    let _ = self.take(now, proposal, out);
                }
            }
            Remembered::Known | Remembered::Full => {}
        }
    }

    /// As backup: a peer could not get this executed. Passed on once, when it is new; to a primary
    /// that asks whether we believe it whenever it does (see [`crate::blame`]).
    fn pass_on(&mut self, now: Time, from: ReplicaId, proposal: &Proposal, out: &mut Out) {
        if !self.is_active() {
            return;
        }
        let asked = from == self.primary && self.may_answer(now, from, Cost::Repetition);
        if asked {
            out.send_immediately(To::One(self.primary), Message::Request(proposal.clone()));
        }
        if self.executed.contains_all(proposal.batch()) {
            return;
        }
        let remembered = self.remember(proposal.batch(), now);
        if matches!(remembered, Remembered::New(_)) && from != self.primary {
            out.send_immediately(To::One(self.primary), Message::Request(proposal.clone()));
        }
    }

    /// As primary: orders a batch now, or queues it.
    fn take(&mut self, now: Time, proposal: Proposal, out: &mut Out) -> Taken {
        if self.queue.is_empty() && self.has_room(&proposal) {
            self.assign(now, proposal, out);
            return Taken::Yes;
        }
        if !self.can_queue(&proposal) {
            return Taken::Full(proposal);
        }
        let bytes = proposal.batch().len();
        self.queue_bytes += bytes;
        self.queue.push_back(proposal);
        Taken::Yes
    }

    fn can_take(&self, proposal: &Proposal) -> bool {
        self.can_queue(proposal) || (self.queue.is_empty() && self.has_room(proposal))
    }

    fn can_queue(&self, proposal: &Proposal) -> bool {
        self.queue.len() < self.limits.queue_max
            && self.queue_bytes + proposal.batch().len() <= self.limits.queue_bytes_max
    }

    /// Whether the primary may assign another slot to this.
    fn has_room(&self, proposal: &Proposal) -> bool {
        let bytes = self.log.bytes() + proposal.batch().len();
        // Half of the log, and half as much after each view that brought nothing: the others may
        // hold what earlier primaries assigned and we never saw, and have no room for more.
        let share = (self.limits.log_bytes_max / 2).checked_shr(self.fruitless_views());
        self.may_assign() && bytes <= share.unwrap_or(0)
    }

    fn may_assign(&self) -> bool {
        self.log.contains(self.next_slot) && self.installing.is_none()
    }

    /// As primary: orders what waits, as far as there is room.
    pub(crate) fn pump_queue(&mut self, now: Time, out: &mut Out) {
        while self.is_active_primary()
            && let Some(next) = self.queue.front()
        {
            if self.has_room(next) {
                let Some(proposal) = self.queue.pop_front() else { return };
                self.queue_bytes -= proposal.batch().len();
                self.assign(now, proposal, out);
            } else if self.lacks_checkpoint() {
                let Ok(null) = Proposal::new(Batch::empty(self.group.id)) else { return };
                self.assign(now, null, out);
            } else {
                return;
            }
        }
    }

    /// Whether nothing frees bytes of the window unless more slots are assigned: only a checkpoint
    /// does, and its slot has none yet. Null requests fill the gap, or batches so large that they
    /// exhaust the bytes before they reach the checkpoint would stop the group for ever.
    fn lacks_checkpoint(&self) -> bool {
        let interval = self.limits.checkpoint_interval;
        let base = self.log.base().0;
        let checkpoint = base.saturating_sub(base % interval).saturating_add(interval);
        self.may_assign() && self.next_slot.0 <= checkpoint
    }

    /// A view ended: what we queued or assigned as its primary, and was not executed, waits for
    /// the next primary like what clients give to a backup.
    pub(crate) fn give_up_primacy(&mut self, now: Time) {
        if !self.is_primary() {
            return;
        }
        for batch in self.unvouched_batches() {
            // Not handed on: it could cost the next view as well. Its client asks again.
            self.blame_clients(&batch);
            self.pending.forget(&batch);
        }
        let mut batches = self.unexecuted_batches();
        batches.extend(self.queue.drain(..).map(Proposal::into_batch));
        self.queue_bytes = 0;
        for batch in batches {
            // What does not fit is lost here; its client asks again.
            let _ = self.remember(&batch, now);
        }
    }

    /// Lets the commands of `batch` wait.
    fn remember(&mut self, batch: &Batch, now: Time) -> Remembered {
        let blame = &self.blame;
        self.pending.remember(batch, now, &self.limits, |client| blame.is_blamed(client))
    }

    /// The batches that we assigned in this view and that too few others vouched for.
    fn unvouched_batches(&self) -> Vec<Batch> {
        let (me, weak) = (self.group.me, self.group.weak());
        if !self.limits.client_auth || !self.is_active() {
            return Vec::new();
        }
        let own = self.log.iter().filter(|(slot, _)| *slot > self.committed);
        let own = own.filter(|(slot, _)| !self.was_chosen(*slot));
        own.filter_map(|(_, entry)| {
            let digest = entry.round.digest.filter(|it| !entry.round.vouched(*it, me, weak))?;
            entry.body(digest)
        })
        .filter(|batch| !batch.is_empty())
        .cloned()
        .collect()
    }

    /// The batches assigned in this view that were not executed.
    fn unexecuted_batches(&self) -> Vec<Batch> {
        let unexecuted = self.log.iter().filter(|(slot, _)| *slot > self.committed);
        unexecuted
            .filter_map(|(_, entry)| entry.round.digest.and_then(|digest| entry.body(digest)))
            .filter(|batch| !batch.is_empty())
            .cloned()
            .collect()
    }

    /// A view was entered: what waits goes to its primary, except for what the view started with.
    pub(crate) fn hand_over_pending(&mut self, now: Time, out: &mut Out) {
        let chosen = self.unexecuted_batches();
        let mut waiting: Vec<Batch> = self.pending.not_among(&chosen).cloned().collect();
        if self.is_primary() {
            // So that what backups pass on is not ordered a second time.
            for batch in &chosen {
                let _ = self.remember(batch, now);
            }
        }
        if !self.is_primary() && self.fruitless_views() > 0 {
            // Not all at once to a primary that may not get done what it gets: the rest follows
            // with what is sent again.
            waiting.truncate(self.portion(RESENT_BATCHES_MAX));
        }
        let waiting = waiting.into_iter().filter_map(|batch| Proposal::new(batch).ok());
        for proposal in waiting {
            if self.is_primary() {
                let Some(proposal) = self.screen(now, None, proposal, out) else { continue };
                if let Taken::Full(proposal) = self.take(now, proposal, out) {
                    // So that it is new when a backup or its client sends it again.
                    self.pending.forget(proposal.batch());
                }
            } else {
                out.send_immediately(To::One(self.primary), Message::Request(proposal));
            }
        }
    }

    /// What has waited for long may not have reached the primary. A replica that left its view
    /// alone tells everyone, as a client would: either they get the request executed, or they come
    /// to suspect the primary, too.
    pub(crate) fn resend_pending(&mut self, now: Time, out: &mut Out) {
        if self.is_active_primary() {
            return;
        }
        let to = if self.is_active() { To::One(self.primary) } else { To::Others };
        let most = self.portion(RESENT_BATCHES_MAX);
        for batch in self.pending.older_than(now, self.limits.retransmit_interval).take(most) {
            if let Ok(proposal) = Proposal::new(batch.clone()) {
                out.send_immediately(to, Message::Request(proposal));
            }
        }
    }

    /// Notes the commands of a batch that is handed to the executor.
    pub(crate) fn note_executed(&mut self, batch: &Batch) {
        if batch.is_empty() {
            return;
        }
        let mut scratch = Vec::new();
        // A batch that does not open never got here: its digest was computed from its body.
        let Ok(body) = batch.body(&mut scratch) else { return };
        self.executed.note(body.commands().map(|command| (command.client, command.seq)));
        if !self.pending.is_empty() {
            for command in body.commands() {
                self.pending.executed(command.client, command.seq);
            }
        }
        if !self.blame.is_empty() {
            for command in body.commands() {
                self.blame.executed(command.client, command.seq);
            }
        }
    }
}

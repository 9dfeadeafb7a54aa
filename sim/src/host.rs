//! How a node hosts its replica: inputs go in, effects are carried out, what changed is checked.

use std::hash::Hash;

use quorate_smr::auth::Authenticator;
use quorate_smr::protocol::{Effect, Input, Refused, Status, To};
use quorate_smr::session::ReplyStatus;
use quorate_smr::{Batch, ClientId, Effects, Lsn, Reason, RequestSeq, Role, Slot, Time};

use crate::client::{Answer, Reply, reply_bytes};
use crate::disk::Step;
use crate::event::Event;
use crate::fault::FaultKind;
use crate::fold::Fold;
use crate::inspect::Inspect;
use crate::invariants::{
    self, check_bounded, check_buffer, check_complete, check_host, check_read,
};
use crate::trace::Mark;
use crate::violation::{Check, broken};
use crate::witness;
use crate::world::{Phase, World};

/// Ticks that a replica may ask for at one moment of virtual time.
const TICKS_AT_ONCE_MAX: u32 = 100;

/// One answer that came out of the executor.
struct Applied {
    client: ClientId,
    seq: RequestSeq,
    status: ReplyStatus,
    payload: Vec<u8>,
}

impl<P: Inspect> World<P> {
    /// Hands one input to a replica, carries out its effects and checks what changed.
    pub(crate) fn handle(&mut self, index: usize, input: Input<P::Message>) -> Check {
        let now_ns = self.now_ns;
        let node = &mut self.nodes[index];
        let local = node.local_now(now_ns);
        let Some(running) = &mut node.running else { return Ok(()) };
        self.counters.steps += 1;
        let mut effects = std::mem::replace(&mut self.effects, Effects::new());
        running.protocol.handle(local, input, &mut effects);
        let carried = self.carry_out_all(index, &mut effects);
        drop(effects.drain());
        self.effects = effects;
        carried?;
        self.after_step(index)?;
        self.start_sync(index);
        self.schedule_tick(index);
        Ok(())
    }

    fn carry_out_all(
        &mut self,
        index: usize,
        effects: &mut Effects<P::Message, P::Record>,
    ) -> Check {
        let mut memory = None;
        for effect in effects.drain() {
            if let Some(left) = &mut self.nodes[index].crash_after_effects {
                if *left == 0 {
                    return self.crash(index, FaultKind::CrashWithinStep);
                }
                *left -= 1;
            }
            self.carry_out(index, effect, &mut memory)?;
        }
        Ok(())
    }

    fn carry_out(
        &mut self,
        index: usize,
        effect: Effect<P::Message, P::Record>,
        memory: &mut Option<P::Memory>,
    ) -> Check {
        let node = &mut self.nodes[index];
        let honest = node.is_honest();
        let Some(running) = &mut node.running else { return Ok(()) };
        match effect {
            Effect::Send { to, message, release } => {
                if honest {
                    self.check_message(index, &message, release, memory)?;
                }
                let Some(running) = &mut self.nodes[index].running else { return Ok(()) };
                if let Some((to, message)) = running.gate.offer(to, message, release) {
                    self.transmit(index, to, message, None)?;
                }
                Ok(())
            }
            Effect::SendSnapshot { to, slot, message } => {
                let Some((_, image)) = running.snapshots.get(&slot).cloned() else {
                    let detail =
                        format!("{} sends the snapshot at {slot}, which it has not", node.id);
                    return Err(broken(invariants::CONTRACT, detail));
                };
                self.note_at(index, Mark::Detail, || {
                    format!("sends its snapshot at {slot} to {to}")
                });
                self.transmit(index, To::One(to), message, Some(image))
            }
            Effect::Append { record } => {
                if honest {
                    self.check_entries(index, &record)?;
                }
                self.write(index, Step::Append(record))
            }
            Effect::Compact { slot, records } => {
                let Some(image) = running.snapshots.get(&slot).cloned() else {
                    let detail = format!("{} compacts to {slot}, no snapshot there", node.id);
                    return Err(broken(invariants::CONTRACT, detail));
                };
                running.snapshots.retain(|held, _| *held >= slot);
                self.note_at(index, Mark::Noted, || format!("compacts to {slot}"));
                self.write(index, Step::Replace(image, records))
            }
            Effect::InstallSnapshot { snapshot, records } => self.install(index, snapshot, records),
            Effect::Commit { slot, batch } => self.commit(index, slot, batch),
            Effect::ReadReady { id, slot } => {
                if let Some(wait) = running.reads.remove(&id) {
                    if node.byzantine.is_none() {
                        check_read(node.id, slot, wait.decided)?;
                    }
                    running.ready_reads.insert((slot, id), wait);
                    self.answer_reads(index);
                }
                Ok(())
            }
            Effect::Refused { request, reason } => {
                if reason == Reason::Busy {
                    self.counters.refused_busy += 1;
                }
                match request {
                    Refused::Proposal(batch) => self.refuse_batch(index, &batch, reason),
                    Refused::Read(id) => {
                        if let Some(wait) = running.reads.remove(&id) {
                            let answer = Answer::Refused(reason);
                            self.reply(index, wait.client, wait.id, wait.seq, answer);
                        }
                    }
                    Refused::Admin(_) => {}
                }
                Ok(())
            }
            Effect::TakeSnapshot { slot } => {
                if running.executor.applied() > slot {
                    let detail = format!("{} wants a snapshot at {slot}, already passed", node.id);
                    return Err(broken(invariants::CONTRACT, detail));
                }
                running.wanted_snapshots.push(slot);
                self.take_snapshots(index)
            }
            Effect::RoleChanged { role, epoch, leader } => {
                self.note_at(index, Mark::Role(role), || {
                    let of = match leader {
                        Some(leader) if role != Role::Leader => format!(" of {leader}"),
                        _ => String::new(),
                    };
                    format!("{role:?}{of}, epoch {epoch}")
                });
                // What it proposed may be lost with the leadership.
                if let Some(running) = &mut self.nodes[index].running {
                    running.proposed.clear();
                }
                Ok(())
            }
        }
    }

    /// Checks what a step changed.
    fn after_step(&mut self, index: usize) -> Check {
        let node = &mut self.nodes[index];
        let honest = node.is_honest();
        let Some(running) = &mut node.running else { return Ok(()) };
        let before = running.progress.status;
        let status = running.protocol.status();
        self.trace_hash.mix(status.committed.0);
        self.trace_hash.mix(status.epoch << 8 | status.role as u64);
        if !honest {
            running.progress.status = status;
            return Ok(());
        }
        if begins_to_lead(&before, &status) {
            self.hunt(index);
        }
        let Some(running) = &mut self.nodes[index].running else { return Ok(()) };
        running.progress.advance(status, running.executor.applied())?;
        check_bounded(&status)?;
        check_host(&status, running, self.clients.len() + self.plan.rogues.len())?;
        if let Some((name, held, max)) = running.protocol.buffers() {
            check_buffer(status.replica, name, held, max)?;
        }
        if P::SOLE_LEADER {
            self.book.leaders.reported(&status)?;
        }
        if P::CHAINED_LOG {
            self.check_decided(index, &before, &status)?;
        }
        let Some(running) = &self.nodes[index].running else { return Ok(()) };
        if P::COMPLETE_LEADER && begins_to_lead(&before, &status) {
            check_complete(&running.protocol, &status, &self.book.ledger)?;
        }
        Ok(())
    }

    /// Hands a durable step to the disk.
    pub(crate) fn write(&mut self, index: usize, step: Step<P::Record>) -> Check {
        let node = &mut self.nodes[index];
        if let Err(error) = node.disk.write(step) {
            return self.stop_at_refused_write(index, &error);
        }
        if let Some(running) = &mut node.running {
            let lsn = running.gate.step();
            assert_eq!(lsn, node.disk.appended(), "gate and disk count the same steps");
        }
        if self.crashes_at_this_write(index) {
            return self.crash(index, FaultKind::CrashWithinStep);
        }
        Ok(())
    }

    fn start_sync(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if node.running.is_none() || node.disk.syncing || !node.disk.is_dirty() {
            return;
        }
        node.disk.syncing = true;
        let plan = &self.plan.disk;
        let mut takes = plan.sync_min_ns;
        if plan.sync_extra_ns > 0 {
            takes += self.disk_dice.long_tail(plan.sync_extra_ns);
        }
        if self.phase == Phase::Faults
            && self.disk_dice.chance(plan.slow_ppm)
            && self.faults.strikes(FaultKind::SlowDisk)
        {
            takes += self.disk_dice.below(plan.slow_ns);
        }
        if let Some(slow) = self.plan.turbulence.slow_replica.filter(|_| self.is_slow(index)) {
            takes += slow.sync_ns;
        }
        let node = &self.nodes[index];
        let (incarnation, upto) = (node.incarnation, node.disk.appended());
        self.queue.push(self.now_ns + takes, Event::Synced { node: index, incarnation, upto });
    }

    pub(crate) fn synced(&mut self, index: usize, incarnation: u32, upto: Lsn) -> Check {
        if self.nodes[index].incarnation != incarnation {
            return Ok(());
        }
        if self.nodes[index].crash_within_sync {
            return self.crash(index, FaultKind::CrashWithinSync);
        }
        if let Some((step, cut)) = self.crash_point(index) {
            let kept = step + usize::from(cut.keeps_step());
            return self.crash_leaving(index, FaultKind::CrashWithinSync, Some((kept, cut)));
        }
        if std::mem::take(&mut self.nodes[index].fail_next_sync) {
            return self.crash(index, FaultKind::SyncError);
        }
        let errors = self.plan.disk.error_ppm;
        if self.phase == Phase::Faults
            && self.disk_dice.chance(errors)
            && self.faults.permits(FaultKind::SyncError)
        {
            // A failed sync is final: the journal is poisoned, the replica stops.
            return self.crash(index, FaultKind::SyncError);
        }
        let quorum = P::quorum(&self.config, self.replicas);
        let node = &mut self.nodes[index];
        let (id, honest, mut said) = (node.id, node.is_honest(), Ok(()));
        node.disk.sync(upto, |record| {
            if honest && said.is_ok() {
                said = witness::check_durable::<P>(&mut self.book, id, record, quorum);
            }
        });
        said?;
        node.disk.syncing = false;
        let Some(running) = &mut node.running else { return Ok(()) };
        running.gate.durable_upto(upto);
        node.told.release(upto);
        while let Some((to, message)) =
            self.nodes[index].running.as_mut().and_then(|running| running.gate.release())
        {
            self.transmit(index, to, message, None)?;
        }
        self.handle(index, Input::Durable { upto })
    }

    /// Makes sure that a tick comes at the replica's deadline.
    pub(crate) fn schedule_tick(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let Some(deadline) = node.deadline() else { return };
        let at = node.clock.virtual_at(deadline).max(self.now_ns);
        if at < node.tick_at {
            node.tick_at = at;
            self.queue.push(at, Event::Tick { node: index });
        }
    }

    pub(crate) fn tick(&mut self, index: usize) -> Check {
        let now_ns = self.now_ns;
        let node = &mut self.nodes[index];
        if node.tick_at != now_ns {
            return Ok(());
        }
        node.tick_at = u64::MAX;
        let Some(deadline) = node.deadline() else { return Ok(()) };
        if deadline > node.clock.local(now_ns) {
            self.schedule_tick(index);
            return Ok(());
        }
        self.handle(index, Input::Tick)?;
        let node = &mut self.nodes[index];
        node.ticks_at_once = if node.tick_at == now_ns { node.ticks_at_once + 1 } else { 0 };
        if node.ticks_at_once > TICKS_AT_ONCE_MAX {
            let deadline = node.deadline().unwrap_or(Time::ZERO);
            let detail = format!("{}: the deadline {deadline} does not pass", node.id);
            return Err(broken(invariants::NO_RUNAWAY, detail));
        }
        Ok(())
    }

    fn commit(&mut self, index: usize, slot: Slot, batch: Batch) -> Check {
        // With more liars than are tolerated nothing follows from what the honest ones hold; what is
        // looked for then is that they disagree.
        let within = self.plan.byzantine.len() <= P::faults(self.replicas);
        let node = &mut self.nodes[index];
        let honest = node.is_honest();
        let Some(running) = &mut node.running else { return Ok(()) };
        if honest {
            let epoch = running.protocol.status().epoch;
            let first = slot > self.book.ledger.last();
            self.book.ledger.commit(node.id, running.committed, slot, &batch, epoch)?;
            if first && within && P::CHOSEN_STAYS.is_some() {
                self.book.chosen.decided(node.id, slot)?;
            }
        }
        running.committed = slot;
        running.to_apply_bytes += batch.len();
        running.to_apply.push_back((slot, batch));
        let incarnation = node.incarnation;
        let slow = self.plan.turbulence.slow_replica.filter(|_| self.is_slow(index));
        let lag_ns = self.plan.apply_lag_ns + slow.map_or(0, |slow| slow.apply_ns);
        self.note_at(index, Mark::Committed(slot), || format!("commits {slot}"));
        if lag_ns == 0 {
            return self.apply(index);
        }
        let Some(running) = &mut self.nodes[index].running else { return Ok(()) };
        if !running.apply_scheduled {
            running.apply_scheduled = true;
            self.faults.note(FaultKind::SlowApply);
            let at = self.now_ns + self.host_dice.long_tail(lag_ns);
            self.queue.push(at, Event::Apply { node: index, incarnation });
        }
        Ok(())
    }

    pub(crate) fn apply_lagging(&mut self, index: usize, incarnation: u32) -> Check {
        let node = &mut self.nodes[index];
        match &mut node.running {
            Some(running) if node.incarnation == incarnation => running.apply_scheduled = false,
            _ => return Ok(()),
        }
        self.apply(index)
    }

    /// Applies what was committed, in order.
    fn apply(&mut self, index: usize) -> Check {
        while let Some((slot, batch)) =
            self.nodes[index].running.as_mut().and_then(|running| running.to_apply.pop_front())
        {
            if let Some(running) = &mut self.nodes[index].running {
                running.to_apply_bytes -= batch.len();
            }
            self.apply_slot(index, slot, &batch)?;
            self.take_snapshots(index)?;
        }
        self.answer_reads(index);
        Ok(())
    }

    fn apply_slot(&mut self, index: usize, slot: Slot, batch: &Batch) -> Check {
        let node = &mut self.nodes[index];
        let Some(running) = &mut node.running else { return Ok(()) };
        let mut answers = Vec::with_capacity(batch.count());
        let mut hash = Fold::default();
        let commands_before = running.executor.commands();
        let mut sink = |client: ClientId, seq: RequestSeq, status: ReplyStatus, reply: &[u8]| {
            (client, seq, status as u8, reply).hash(&mut hash);
            answers.push(Applied { client, seq, status, payload: reply.to_vec() });
        };
        let applied = running.executor.apply(slot, batch, &mut sink);
        applied.map_err(|error| broken(invariants::CONTRACT, format!("{}: {error}", node.id)))?;
        let count = running.executor.commands() - commands_before;
        if node.is_honest() {
            self.check_applied(index, slot, batch, hash.value(), &answers, count)?;
        }
        for applied in answers {
            self.answer(index, &applied);
        }
        Ok(())
    }

    fn check_applied(
        &mut self,
        index: usize,
        slot: Slot,
        batch: &Batch,
        hash: u64,
        answers: &[Applied],
        count: u64,
    ) -> Check {
        let id = self.nodes[index].id;
        let book = &mut self.book;
        if book.states.applied(id, slot, hash)? {
            let mut scratch = Vec::new();
            let body = batch.body(&mut scratch).expect("an applied batch opens");
            for command in body.commands() {
                book.issued.decided(slot, &command)?;
            }
            book.applications.next_slot();
            for applied in answers {
                let (status, payload) = (applied.status, &applied.payload);
                book.applications.answered(slot, applied.client, applied.seq, status, payload)?;
            }
        }
        book.applications.counted(id, slot, count)
    }

    /// Tells a client, if it waits here or must hear from everyone.
    fn answer(&mut self, index: usize, applied: &Applied) {
        let (id, seq) = (applied.client, applied.seq);
        let node = &mut self.nodes[index];
        let Some(running) = &mut node.running else { return };
        running.proposed.remove(&(id, seq));
        let client = match running.waiting.remove(&(id, seq)) {
            Some(client) => client,
            None if P::reply_quorum(self.replicas) > 1 => match id.0.checked_sub(1) {
                Some(client) if client < self.clients.len() as u64 => client as usize,
                _ => return,
            },
            None => return,
        };
        let bytes = reply_bytes(seq, applied.status, &applied.payload);
        let tag = node.auth.tag_reply(id, &bytes);
        let answer =
            Answer::Applied { status: applied.status, payload: applied.payload.clone(), tag };
        self.reply(index, client, id, seq, answer);
    }

    pub(crate) fn reply(
        &mut self,
        index: usize,
        client: usize,
        id: ClientId,
        seq: RequestSeq,
        answer: Answer,
    ) {
        let reply = Reply { from: self.nodes[index].id, id, seq, answer };
        if self.is_silenced(index, None) {
            return;
        }
        self.note_at(index, Mark::Request, || format!("answers {}", request_name(client, seq)));
        if let Some(delay) = self.client_delay() {
            self.queue.push(self.now_ns + delay, Event::Reply { client, reply: Box::new(reply) });
        }
    }

    /// Answers the reads whose slot is applied.
    pub(crate) fn answer_reads(&mut self, index: usize) {
        loop {
            let Some(running) = &mut self.nodes[index].running else { return };
            let Some(entry) = running.ready_reads.first_entry() else { return };
            if entry.key().0 > running.executor.applied() {
                return;
            }
            let wait = entry.remove();
            let mut payload = Vec::new();
            running.executor.query(&wait.query, &mut payload);
            self.reply(index, wait.client, wait.id, wait.seq, Answer::Read { payload });
        }
    }
}

/// A request in a few words, for a trace. Requests for a session have large random numbers.
pub(crate) fn request_name(client: usize, seq: RequestSeq) -> String {
    if seq.0 > u64::from(u32::MAX) { format!("c{client}") } else { format!("c{client} {seq}") }
}

fn begins_to_lead(before: &Status, now: &Status) -> bool {
    now.role == Role::Leader && (before.role != Role::Leader || before.epoch != now.epoch)
}

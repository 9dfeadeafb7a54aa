//! A round of a host: what has arrived is served, then every group that was touched is settled.

use std::collections::BTreeMap;
use std::rc::Rc;

use postcard::experimental::serialized_size;
use quorate_smr::auth::Authenticator;
use quorate_smr::protocol::{Effect, Input, Protocol};
use quorate_smr::session::ReplyStatus;
use quorate_smr::wire::FRAME_HEADER_BYTES;
use quorate_smr::{Batch, ClientId, Command, Effects, RequestSeq, Slot, To};

use super::costs::PS_PER_NS;
use super::node::{Item, local};
use super::world::{Event, World};

/// What is served in one round, at most.
const ITEMS_PER_ROUND: usize = 1024;
/// Batches proposed in one round, at most.
const PROPOSALS_PER_ROUND: usize = 64;
/// Bytes of an answer and its proof in a message to a client, and of what is around them.
const ANSWER_BYTES: usize = 32;
const ANSWERS_BYTES: usize = 24;

/// Answers of one round, by client.
type Answers = BTreeMap<usize, Vec<(RequestSeq, u64)>>;

impl<P: Protocol> World<P> {
    pub(super) fn round(&mut self, host: usize) -> Result<(), String> {
        let began_ps = (self.now_ns * PS_PER_NS).max(self.hosts[host].free_at_ps);
        let mut clock_ps = began_ps;
        for _ in 0..ITEMS_PER_ROUND {
            let Some(item) = self.hosts[host].inbox.pop_front() else { break };
            self.serve(item, &mut clock_ps)?;
        }
        // What settling causes is for the next round, so that answers leave early.
        for node in std::mem::take(&mut self.hosts[host].touched) {
            self.settle(node, &mut clock_ps)?;
        }
        let measured = self.is_measured();
        let place = &mut self.hosts[host];
        place.free_at_ps = clock_ps;
        place.busy_ps += if measured { clock_ps - began_ps } else { 0 };
        place.awaits_round = !place.inbox.is_empty() || !place.touched.is_empty();
        if place.awaits_round {
            self.queue.push(clock_ps.div_ceil(PS_PER_NS), Event::Round { host });
        }
        Ok(())
    }

    fn serve(&mut self, item: Item<P>, clock_ps: &mut u64) -> Result<(), String> {
        let costs = self.plan.costs;
        match item {
            Item::Parcel { node, from, bytes, sealed } => {
                *clock_ps += costs.receive(bytes);
                let sealed = Rc::unwrap_or_clone(sealed);
                let opened = self.nodes[node].auth.open(from, sealed);
                let message = opened.map_err(|error| format!("a message of {from}: {error}"))?;
                self.feed(node, Input::Message { from, message }, bytes, clock_ps)
            }
            Item::Requests { node, requests, bytes } => {
                *clock_ps += costs.decode.of(bytes);
                self.touch(node);
                if let Some(intake) = &mut self.nodes[node].intake {
                    requests.into_iter().for_each(|request| intake.offer(request));
                }
                Ok(())
            }
            Item::Tick { node } => {
                *clock_ps += costs.other_ps;
                let now = local(*clock_ps / PS_PER_NS);
                if self.nodes[node].protocol.deadline().is_some_and(|deadline| deadline <= now) {
                    return self.feed(node, Input::Tick, 0, clock_ps);
                }
                self.plan_tick(node);
                Ok(())
            }
        }
    }

    fn touch(&mut self, node: usize) {
        if !self.nodes[node].is_touched {
            self.nodes[node].is_touched = true;
            let host = self.nodes[node].host;
            self.hosts[host].touched.push(node);
        }
    }

    /// Hands one input to a replica and carries out its effects. `bytes` is the input's size.
    fn feed(
        &mut self,
        node: usize,
        input: Input<P::Message>,
        bytes: usize,
        clock_ps: &mut u64,
    ) -> Result<(), String> {
        self.touch(node);
        let place = &mut self.nodes[node];
        let now = local(*clock_ps / PS_PER_NS);
        if let Some(tape) = &mut self.tape {
            tape.heard[node].inputs.push((now, input.clone(), bytes));
        }
        let mut effects = std::mem::replace(&mut self.effects, Effects::new());
        place.protocol.handle(now, input, &mut effects);
        for effect in effects.drain() {
            self.carry_out(node, effect, clock_ps)?;
        }
        self.effects = effects;
        self.plan_tick(node);
        Ok(())
    }

    fn carry_out(
        &mut self,
        node: usize,
        effect: Effect<P::Message, P::Record>,
        clock_ps: &mut u64,
    ) -> Result<(), String> {
        let place = &mut self.nodes[node];
        match effect {
            Effect::Send { to, message, release } => {
                if let Some((to, message)) = place.gate.offer(to, message, release) {
                    self.transmit(node, to, message, clock_ps);
                }
            }
            Effect::Append { .. } | Effect::Compact { .. } => drop(place.gate.step()),
            Effect::Commit { slot, batch } => {
                if let Some(intake) = &mut place.intake
                    && !intake.decided(&batch)
                    && !batch.is_empty()
                {
                    return Err(format!("slot {slot} decided another batch than was proposed"));
                }
                place.decided.push_back((slot, batch));
            }
            Effect::TakeSnapshot { slot } => place.wanted_snapshots.push(slot),
            Effect::Refused { reason, .. } => return Err(format!("a batch was refused: {reason}")),
            Effect::SendSnapshot { .. } | Effect::InstallSnapshot { .. } => {
                return Err("a replica fell behind and needs a snapshot".into());
            }
            Effect::ReadReady { .. } | Effect::RoleChanged { .. } => {}
        }
        Ok(())
    }

    fn transmit(&mut self, node: usize, to: To, message: P::Message, clock_ps: &mut u64) {
        if let Some(tape) = &mut self.tape {
            tape.said.push((node, to, message.clone()));
        }
        let place = &self.nodes[node];
        let (id, host) = (place.id(), place.host);
        let group = node - usize::from(id.0);
        let receivers = to.receivers(id, place.setup.members);
        let sealed = Rc::new(place.auth.seal(to, message));
        let body = serialized_size(&*sealed).expect("a message can be encoded");
        let bytes = FRAME_HEADER_BYTES + body;
        *clock_ps += self.plan.costs.send(bytes, receivers.len());
        for receiver in receivers.iter() {
            let target = group + usize::from(receiver.0);
            self.send((host, target), *clock_ps, (bytes, id, sealed.clone()));
        }
    }

    /// Proposes, makes durable and applies what waits at one node.
    fn settle(&mut self, node: usize, clock_ps: &mut u64) -> Result<(), String> {
        self.nodes[node].is_touched = false;
        self.propose(node, clock_ps)?;
        self.make_durable(node, clock_ps)?;
        self.apply(node, clock_ps)
    }

    fn propose(&mut self, node: usize, clock_ps: &mut u64) -> Result<(), String> {
        let costs = self.plan.costs;
        for _ in 0..PROPOSALS_PER_ROUND {
            let place = &mut self.nodes[node];
            let Some(intake) = &mut place.intake else { return Ok(()) };
            let auth = &place.auth;
            let admits = |command: &Command<'_>| auth.admit(command).is_ok();
            let batch = intake.next(*clock_ps / PS_PER_NS, &costs, admits)?;
            *clock_ps += intake.take_cost();
            let Some(batch) = batch else { return Ok(()) };
            let raw_bytes = batch.header().raw_bytes as usize;
            *clock_ps += costs.propose.of(raw_bytes);
            if self.is_measured() {
                let counts = &mut self.counters.batches;
                counts.batches += 1;
                counts.commands += batch.count() as u64;
                counts.raw_bytes += raw_bytes as u64;
                counts.sealed_bytes += batch.len() as u64;
            }
            self.feed(node, Input::Propose { batch }, raw_bytes, clock_ps)?;
        }
        self.touch(node);
        Ok(())
    }

    /// Journals are in memory: what was appended is durable once the round has come to it.
    fn make_durable(&mut self, node: usize, clock_ps: &mut u64) -> Result<(), String> {
        let gate = &mut self.nodes[node].gate;
        let upto = gate.appended();
        if gate.durable() == upto {
            return Ok(());
        }
        gate.durable_upto(upto);
        while let Some((to, message)) = self.nodes[node].gate.release() {
            self.transmit(node, to, message, clock_ps);
        }
        *clock_ps += self.plan.costs.other_ps;
        self.feed(node, Input::Durable { upto }, 0, clock_ps)
    }

    fn apply(&mut self, node: usize, clock_ps: &mut u64) -> Result<(), String> {
        let mut answers = Answers::new();
        for (slot, batch) in self.nodes[node].take_decided() {
            self.apply_one(node, slot, &batch, &mut answers)?;
            *clock_ps += self.cost_of_applying(&batch);
            if self.nodes[node].wanted_snapshots.contains(&slot) {
                self.nodes[node].wanted_snapshots.retain(|wanted| *wanted > slot);
                let snapshot = self.nodes[node].executor.snapshot().0;
                self.feed(node, Input::SnapshotTaken { snapshot }, 0, clock_ps)?;
            }
        }
        self.answer(node, answers, clock_ps);
        Ok(())
    }

    fn apply_one(
        &mut self,
        node: usize,
        slot: Slot,
        batch: &Batch,
        answers: &mut Answers,
    ) -> Result<(), String> {
        let place = &mut self.nodes[node];
        let (leads, group) = (place.leads(), place.group);
        let (order, members) = (&mut self.order[group], &self.members[group]);
        let all_answer = P::reply_quorum(self.plan.hosts.len()) > 1;
        let mut wrong = None;
        let mut sink = |client: ClientId, seq: RequestSeq, status, answer: &[u8]| {
            let client = members[client.0 as usize - 1];
            let (ReplyStatus::Applied, Ok(answer)) = (status, answer.try_into()) else {
                wrong = Some(format!("request {seq} of client {client}: {status:?}"));
                return;
            };
            let answer = u64::from_le_bytes(answer);
            if leads {
                order.push((client, seq.0, answer));
            }
            if leads || all_answer {
                answers.entry(client).or_default().push((seq, answer));
            }
        };
        let applied = place.executor.apply(slot, batch, &mut sink);
        applied.map_err(|error| error.to_string())?;
        wrong.map_or(Ok(()), Err)
    }

    fn cost_of_applying(&self, batch: &Batch) -> u64 {
        let (costs, header) = (&self.plan.costs, batch.header());
        let (raw_bytes, count) = (header.raw_bytes as usize, batch.count() as u64);
        let applied = costs.apply.fixed_ps * count + costs.apply.byte_ps * raw_bytes as u64;
        let unpacked = if batch.is_compressed() { costs.unpack(raw_bytes, batch.len()) } else { 0 };
        applied + unpacked
    }

    fn answer(&mut self, node: usize, answers: Answers, clock_ps: &mut u64) {
        let (host, from) = (self.nodes[node].host, self.nodes[node].id());
        let costs = self.plan.costs;
        for (client, answers) in answers {
            let bytes = ANSWERS_BYTES + ANSWER_BYTES * answers.len();
            *clock_ps += costs.encode.of(bytes) + costs.answer_ps * answers.len() as u64;
            let place = self.clients[client].plan.place;
            let at_ns = self.links.answer(host, place, *clock_ps, bytes);
            self.queue.push(at_ns, Event::Answers { client, from, answers });
        }
    }
}

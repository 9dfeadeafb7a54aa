//! Requests of clients, at the replica and at the client.

use quorate_smr::auth::Authenticator;
use quorate_smr::batch::BATCH_HEADER_BYTES;
use quorate_smr::protocol::{Input, Reads};
use quorate_smr::session::ReplyStatus;
use quorate_smr::{Batch, ClientId, Command, ReadId, Reason, RequestSeq, Role};

use crate::client::{Answer, Doing, Reply, Request};
use crate::event::Event;
use crate::fault::FaultKind;
use crate::history::{decode_answer, label_of_answer};
use crate::host::request_name;
use crate::inspect::Inspect;
use crate::invariants;
use crate::lincheck::KvCall;
use crate::node::{BATCH_REQUESTS_MAX, READS_MAX, ReadWait};
use crate::plan::MS;
use crate::trace::{Happening, Mark};
use crate::violation::{Check, broken};
use crate::world::{Phase, World};

/// How long a client waits before it asks again after a refusal: minimum and spread.
const REFUSED_WAIT_NS: (u64, u64) = (2 * MS, 40 * MS);

/// How many more requests a client makes that only reads.
const READER_SHARE: u64 = 4;
/// How often a client is told that a replica is busy before it asks another one.
const BUSY_ATTEMPTS: u32 = 16;
/// How often a leader proposes a request that is not decided yet. More than once, so that protocols
/// and sessions meet copies; not without end, or the copies of a few impatient clients fill a log
/// that a slow disk empties entry by entry.
const PROPOSALS_MAX: u32 = 2;
/// How often a client doubles its patience.
const BACKOFF_DOUBLINGS_MAX: u32 = 3;

/// At the replica.
impl<P: Inspect> World<P> {
    /// A request arrives at a node.
    pub(crate) fn serve(&mut self, index: usize, request: Request) -> Check {
        let node = &mut self.nodes[index];
        if node.running.is_none() {
            return Ok(());
        }
        let (client, seq) = (request.client, request.seq);
        self.note_at(index, Mark::Request, || format!("hears {}", request_name(client, seq)));
        let node = &mut self.nodes[index];
        let Some(running) = &mut node.running else { return Ok(()) };
        self.counters.requests += 1;
        if request.indexed_read {
            if running.reads.len() + running.ready_reads.len() >= READS_MAX {
                self.refuse_busy(index, &request);
                return Ok(());
            }
            let read = ReadId(running.next_read);
            running.next_read += 1;
            let Request { client, id, seq, payload: query, .. } = request;
            let decided = self.book.ledger.last();
            let wait = ReadWait { client, id, seq, query, decided };
            running.reads.insert(read, wait);
            return self.handle(index, Input::Read { id: read });
        }
        let (payload, auth) = (request.payload.as_slice(), request.proof.as_slice());
        let command = Command { client: request.id, seq: request.seq, payload, auth };
        if node.auth.admit(&command).is_err() {
            self.counters.refused_at_the_edge += 1;
            return Ok(());
        }
        let bytes = command.encoded_bytes();
        let bytes_max = P::batch_bytes_max(&self.config) - BATCH_HEADER_BYTES;
        let is_full = running.inbox.len() >= BATCH_REQUESTS_MAX
            || !running.inbox.is_empty() && running.inbox_bytes + bytes > bytes_max;
        if is_full {
            self.refuse_busy(index, &request);
            return Ok(());
        }
        // A client waits for one answer at a time; what it waited for before was given up.
        running.waiting.retain(|_, client| *client != request.client);
        running.waiting.insert((request.id, request.seq), request.client);
        if running.protocol.status().role == Role::Leader {
            let proposals = running.proposed.entry((request.id, request.seq)).or_default();
            if *proposals == PROPOSALS_MAX {
                return Ok(());
            }
            *proposals += 1;
        }
        running.inbox.push(request);
        running.inbox_bytes += bytes;
        if self.plan.load.linger_ns == 0 {
            let incarnation = node.incarnation;
            return self.flush(index, incarnation);
        }
        if !running.flush_scheduled {
            running.flush_scheduled = true;
            let incarnation = node.incarnation;
            let at = self.now_ns + self.plan.load.linger_ns;
            self.queue.push(at, Event::Flush { node: index, incarnation });
        }
        Ok(())
    }

    /// Proposes what waits in the inbox as one batch.
    pub(crate) fn flush(&mut self, index: usize, incarnation: u32) -> Check {
        let node = &mut self.nodes[index];
        let Some(running) = &mut node.running else { return Ok(()) };
        if node.incarnation != incarnation {
            return Ok(());
        }
        running.flush_scheduled = false;
        running.inbox_bytes = 0;
        for request in running.inbox.drain(..) {
            let (payload, auth) = (request.payload.as_slice(), request.proof.as_slice());
            let command = Command { client: request.id, seq: request.seq, payload, auth };
            running.builder.push(&command).expect("a run's batches are small");
        }
        if running.builder.is_empty() {
            return Ok(());
        }
        let batch = running.builder.seal(None);
        if node.byzantine.is_some() {
            node.other_batch = Some(batch.clone());
        }
        self.handle(index, Input::Propose { batch })
    }

    /// Tells the clients of a refused batch.
    pub(crate) fn refuse_batch(&mut self, index: usize, batch: &Batch, reason: Reason) {
        let mut scratch = Vec::new();
        let Ok(body) = batch.body(&mut scratch) else { return };
        for command in body.commands() {
            let (id, seq) = (command.client, command.seq);
            let Some(running) = &mut self.nodes[index].running else { return };
            running.proposed.remove(&(id, seq));
            if let Some(client) = running.waiting.remove(&(id, seq)) {
                self.reply(index, client, id, seq, Answer::Refused(reason));
            }
        }
    }
}

/// At the client.
impl<P: Inspect> World<P> {
    /// The client's timer will ring after `wait_ns`; earlier ones no longer count.
    pub(crate) fn arm_client(&mut self, client: usize, wait_ns: u64) {
        self.clients[client].generation += 1;
        let generation = self.clients[client].generation;
        self.queue.push(self.now_ns + wait_ns, Event::ClientTimer { client, generation });
    }

    pub(crate) fn client_timer(&mut self, client: usize, generation: u64) {
        if self.clients[client].generation != generation {
            return;
        }
        match &self.clients[client].doing {
            Doing::Stopped => {}
            Doing::Idle => self.next_request(client),
            Doing::Opening => self.ask_elsewhere(client),
            Doing::Asking { .. } => {
                let give_up = self.plan.load.give_up_ppm;
                if self.phase == Phase::Faults
                    && self.clients[client].dice.chance(give_up)
                    && self.faults.strikes(FaultKind::GaveUp)
                {
                    self.tell(|| Happening::Client {
                        client,
                        label: "gives up".into(),
                        text: "gives up".into(),
                    });
                    self.finish(client, false);
                } else {
                    self.ask_elsewhere(client);
                }
            }
        }
    }

    fn next_request(&mut self, index: usize) {
        let enough = match self.phase {
            _ if let Some(enough) = self.surged_enough(index) => enough,
            Phase::Faults => {
                let share = if self.clients[index].reader { READER_SHARE } else { 1 };
                self.clients[index].completed >= self.plan.load.requests * share
            }
            Phase::Healed { .. } | Phase::Beyond { .. } => {
                self.clients[index].completed_healed >= self.plan.liveness_requests
            }
            Phase::Converging { .. } | Phase::Done => true,
        };
        let client = &mut self.clients[index];
        if enough {
            client.doing = Doing::Stopped;
            self.heal_if_all_stopped();
            return;
        }
        client.attempts = 0;
        if client.id == ClientId::NONE {
            let request = client.prepare_open();
            client.doing = Doing::Opening;
            self.book.issued.issue(request.id, request.seq, &request.payload);
        } else {
            let mut wish = client.wish(&self.plan.load);
            if let KvCall::Put(value) = &mut wish.call
                && let Some(bytes) = client.draw_huge(&self.plan.turbulence)
                && self.faults.strikes(FaultKind::HugeCommand)
            {
                value.resize(value.len() + bytes, b'.');
            }
            let ordered = client.dice.chance(self.plan.load.ordered_read_ppm);
            let indexed_read = wish.is_read() && !ordered && P::READS == Reads::Indexed;
            let request = client.prepare(wish.encode(), indexed_read);
            if !indexed_read {
                self.book.issued.issue(request.id, request.seq, &request.payload);
            }
            let number = self.history.call(index as u32, &wish);
            if self.trace.is_some() {
                let (id, seq) = (request.id, request.seq);
                let text = format!("({id} {seq}) asks {wish:?}");
                let label = wish.label();
                self.tell(|| Happening::Client { client: index, label, text });
            }
            let called_at_ns = self.now_ns;
            self.clients[index].doing = Doing::Asking { wish, number, indexed_read, called_at_ns };
        }
        self.ask(index);
    }

    /// When every client has done its share, faults end early.
    fn heal_if_all_stopped(&mut self) {
        let stopped = |doing: &Doing| matches!(doing, Doing::Stopped);
        if self.phase == Phase::Faults && self.clients.iter().all(|it| stopped(&it.doing)) {
            self.queue.push(self.now_ns, Event::FaultsEnd);
        }
    }

    /// Sends the present request to the replica that the client believes in, and to all of them
    /// when one may lie and did not answer.
    fn ask(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let Some(request) = client.request.clone() else { return };
        client.attempts += 1;
        let to_all = client.is_fixed() && client.attempts > 1;
        let stray = self.phase == Phase::Faults
            && (client.reader || client.dice.chance(self.plan.load.stray_ppm));
        let guess = if stray { client.dice.index(self.replicas) } else { client.guess };
        for node in 0..self.nodes.len() {
            if to_all || self.nodes[node].id.0 as usize == guess {
                self.send_request(node, &request);
            }
        }
        let recommended = P::retry_after(&self.config).as_nanos() as u64;
        let client = &mut self.clients[index];
        // A client that is not served asks less and less often, or retries alone could overload
        // a small window for ever.
        let backoff = 1 << (client.attempts - 1).min(BACKOFF_DOUBLINGS_MAX);
        let patience = recommended * self.plan.load.patience_percent / 100 * backoff;
        let wait = patience / 2 + client.dice.below(patience);
        self.arm_client(index, wait);
    }

    pub(crate) fn send_request(&mut self, node: usize, request: &Request) {
        self.overhear(request);
        let twice = self.phase == Phase::Faults
            && self.host_dice.chance(self.plan.network.duplicate_ppm)
            && self.faults.strikes(FaultKind::Duplicate);
        for _ in 0..1 + u8::from(twice) {
            if let Some(delay) = self.client_delay() {
                let request = Box::new(request.clone());
                self.queue.push(self.now_ns + delay, Event::Request { node, request });
            }
        }
    }

    fn ask_elsewhere(&mut self, index: usize) {
        let others = self.replicas - 1;
        let client = &mut self.clients[index];
        if others > 0 {
            client.guess = (client.guess + 1 + client.dice.index(others)) % self.replicas;
        }
        self.ask(index);
    }

    /// A reply arrives at a client.
    pub(crate) fn hear(&mut self, index: usize, reply: Reply) -> Check {
        if index >= self.clients.len() {
            self.rogue_hears(index, &reply);
            return Ok(());
        }
        let client = &mut self.clients[index];
        // Numbers begin anew in each session: an answer of an earlier one may come late.
        if (reply.id, reply.seq) != (client.id, client.seq) {
            return Ok(());
        }
        match (&client.doing, reply.answer) {
            (Doing::Opening | Doing::Asking { .. }, Answer::Refused(reason)) => {
                self.hear_refusal(index, usize::from(reply.from.0), reason);
                Ok(())
            }
            (Doing::Asking { indexed_read: true, .. }, Answer::Read { payload }) => {
                self.complete(index, &payload)
            }
            (
                Doing::Opening | Doing::Asking { indexed_read: false, .. },
                Answer::Applied { status, payload, tag },
            ) => {
                if !client.collect(reply.from, status, &payload, tag) {
                    return Ok(());
                }
                let (id, seq) = (client.id, client.seq);
                let book = &mut self.book;
                book.acknowledged.accepted(&book.applications, id, seq, status, &payload)?;
                self.hear_applied(index, status, &payload)
            }
            _ => Ok(()),
        }
    }

    fn hear_refusal(&mut self, index: usize, from: usize, reason: Reason) {
        let replicas = self.replicas;
        let client = &mut self.clients[index];
        match reason {
            Reason::NotLeader { leader: Some(leader) } if usize::from(leader.0) != from => {
                client.guess = usize::from(leader.0) % replicas;
            }
            Reason::NotLeader { .. } => client.guess = (from + 1) % replicas,
            // A deposed leader that does not know it may be busy for ever.
            Reason::Busy if client.attempts.is_multiple_of(BUSY_ATTEMPTS) => {
                client.guess = (from + 1) % replicas;
            }
            Reason::Busy | Reason::Invalid => {}
            Reason::Unsupported => {
                if let Doing::Asking { wish, indexed_read, .. } = &mut client.doing {
                    *indexed_read = false;
                    let payload = wish.encode();
                    self.book.issued.issue(client.id, client.seq, &payload);
                    client.request_for(payload, false);
                }
            }
        }
        // The timer of this attempt is replaced by a shorter one, which asks the new guess.
        let wait = REFUSED_WAIT_NS.0 + client.dice.below(REFUSED_WAIT_NS.1);
        client.generation += 1;
        let generation = client.generation;
        self.queue.push(self.now_ns + wait, Event::AskAgain { client: index, generation });
    }

    pub(crate) fn ask_again(&mut self, client: usize, generation: u64) {
        if self.clients[client].generation == generation {
            self.ask(client);
        }
    }

    fn hear_applied(&mut self, index: usize, status: ReplyStatus, payload: &[u8]) -> Check {
        let client = &mut self.clients[index];
        match status {
            ReplyStatus::Opened => {
                let id: [u8; 8] = payload.try_into().map_err(|_| {
                    broken(invariants::CONTRACT, "a session's identity has eight bytes".into())
                })?;
                client.id = ClientId(u64::from_le_bytes(id));
                client.seq = RequestSeq(0);
                client.doing = Doing::Idle;
                self.arm_client(index, 0);
                Ok(())
            }
            ReplyStatus::Applied => self.complete(index, payload),
            ReplyStatus::Stale | ReplyStatus::Expired => {
                // Not applied now; an earlier attempt may have been: the outcome is unknown.
                if !client.is_fixed() {
                    client.id = ClientId::NONE;
                }
                self.finish(index, false);
                Ok(())
            }
        }
    }

    /// The client's operation returned.
    fn complete(&mut self, index: usize, payload: &[u8]) -> Check {
        let now_ns = self.now_ns;
        let client = &mut self.clients[index];
        let Doing::Asking { wish, number, called_at_ns, .. } = &client.doing else {
            return Ok(());
        };
        let Some(answer) = decode_answer(payload) else {
            let detail = format!("client {index} got an answer that is none: {payload:?}");
            return Err(broken(invariants::CONTRACT, detail));
        };
        let (number, wish) = (*number, wish.clone());
        self.counters.latencies_ns.push(now_ns - called_at_ns);
        let attempts = client.attempts;
        if let Some(script) = &mut self.script {
            script.answered(now_ns, attempts);
        }
        client.learn(&wish, &answer);
        if self.trace.is_some() {
            let label = label_of_answer(&answer);
            let text = format!("is answered {answer:?}");
            self.tell(|| Happening::Client { client: index, label, text });
        }
        self.history.returned(number, answer);
        self.finish(index, true);
        Ok(())
    }

    pub(crate) fn finish(&mut self, index: usize, answered: bool) {
        let healed = self.phase != Phase::Faults;
        let think = self.plan.load.think_ns;
        let client = &mut self.clients[index];
        client.doing = Doing::Idle;
        client.request = None;
        client.completed += 1;
        client.completed_healed += u64::from(answered && healed);
        let think = if client.reader { think / READER_SHARE } else { think };
        let think = if client.surges_until.is_some() { 0 } else { think };
        let wait = if think > 0 { client.dice.long_tail(think) } else { 0 };
        self.arm_client(index, wait);
    }
}

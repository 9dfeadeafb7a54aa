//! What a script lets clients do, and what they heard.

use quorate_smr::ClientId;
use quorate_smr::protocol::Reads;

use crate::client::Doing;
use crate::history::Wish;
use crate::inspect::Inspect;
use crate::lincheck::{KvCall, KvReturn};
use crate::plan::MS;
use crate::scene::{Heard, PATIENCE_MS, Scene, Step};
use crate::world::World;

/// An operation that a client began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The client.
    pub client: usize,
    /// Its number in the history.
    number: usize,
}

/// How a read is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReadMode {
    /// The replica answers once it knows a slot to wait for (where the protocol offers that).
    Indexed,
    /// Ordered like a write.
    Ordered,
}

impl<P: Inspect> Scene<P> {
    /// The client writes, asks again where the leader is as often as it must, and is answered.
    ///
    /// # Errors
    /// A broken invariant, or no answer within [`PATIENCE_MS`].
    pub fn write(&mut self, client: usize, key: &str, value: &[u8]) -> Step {
        let at = self.leader_or_first();
        let operation = self.begin(client, key, KvCall::Put(value.to_vec()), at)?;
        self.persist(operation)?;
        Ok(())
    }

    /// The client appends to a value, as [`Scene::write`] does.
    ///
    /// # Errors
    /// A broken invariant, or no answer within [`PATIENCE_MS`].
    pub fn append(&mut self, client: usize, key: &str, suffix: &[u8]) -> Step {
        let at = self.leader_or_first();
        let operation = self.begin(client, key, KvCall::Append(suffix.to_vec()), at)?;
        self.persist(operation)?;
        Ok(())
    }

    /// The client reads at `replica`, in the cheapest way that the protocol offers, and is answered
    /// there.
    ///
    /// # Errors
    /// A broken invariant, or no answer within [`PATIENCE_MS`].
    pub fn read(&mut self, client: usize, key: &str, replica: usize) -> Step<Option<Vec<u8>>> {
        let operation = self.begin_read(client, key, replica, ReadMode::Indexed)?;
        self.run_until("the read is answered", |scene| scene.answer(operation).is_some())?;
        match self.answer(operation) {
            Some(KvReturn::Value(value)) => Ok(value.clone()),
            other => Err(self.failed(&format!("a read is answered with {other:?}"))),
        }
    }

    /// The client asks `replica` to write, and waits.
    ///
    /// # Errors
    /// A broken invariant, or that the client has an operation open.
    pub fn begin_write(
        &mut self,
        client: usize,
        key: &str,
        value: &[u8],
        replica: usize,
    ) -> Step<Operation> {
        self.begin(client, key, KvCall::Put(value.to_vec()), replica)
    }

    /// The client asks `replica` to append, and waits.
    ///
    /// # Errors
    /// A broken invariant, or that the client has an operation open.
    pub fn begin_append(
        &mut self,
        client: usize,
        key: &str,
        suffix: &[u8],
        replica: usize,
    ) -> Step<Operation> {
        self.begin(client, key, KvCall::Append(suffix.to_vec()), replica)
    }

    /// The client asks `replica` for a value, and waits.
    ///
    /// # Errors
    /// A broken invariant, or that the client has an operation open.
    pub fn begin_read(
        &mut self,
        client: usize,
        key: &str,
        replica: usize,
        mode: ReadMode,
    ) -> Step<Operation> {
        self.ready(client, key)?;
        let indexed = mode == ReadMode::Indexed && P::READS == Reads::Indexed;
        let wish = Wish { key: key.as_bytes().to_vec(), call: KvCall::Get };
        Ok(self.start(client, wish, indexed, Some(replica)))
    }

    fn begin(&mut self, client: usize, key: &str, call: KvCall, at: usize) -> Step<Operation> {
        self.ready(client, key)?;
        let wish = Wish { key: key.as_bytes().to_vec(), call };
        Ok(self.start(client, wish, false, Some(at)))
    }

    /// The client asks all replicas to write a value of no consequence.
    pub(super) fn ask_all(&mut self, client: usize, key: &str) -> Step<Operation> {
        self.ready(client, key)?;
        let call = KvCall::Put(self.world.counters.steps.to_be_bytes().to_vec());
        let wish = Wish { key: key.as_bytes().to_vec(), call };
        Ok(self.start(client, wish, false, None))
    }

    fn ready(&mut self, client: usize, key: &str) -> Step {
        let named = key.as_bytes().first().is_some_and(|first| *first >= b'a');
        self.expect("a key begins with a small letter", named)?;
        let free = matches!(self.world.clients[client].doing, Doing::Idle);
        self.expect(&format!("client {client} has no operation open"), free)?;
        if self.world.clients[client].id == ClientId::NONE {
            self.open_session(client)?;
        }
        Ok(())
    }

    fn start(&mut self, client: usize, wish: Wish, indexed: bool, at: Option<usize>) -> Operation {
        self.script().heard.remove(&client);
        let number = self.world.begin_operation(client, wish, indexed);
        self.world.send_present_request(client, at);
        Operation { client, number }
    }

    /// The client opens a session (where clients have no fixed identity), and is answered.
    ///
    /// # Errors
    /// A broken invariant, or no answer within [`PATIENCE_MS`].
    pub fn open_session(&mut self, client: usize) -> Step {
        self.world.begin_session(client);
        let opened = move |scene: &Self| scene.world.clients[client].id != ClientId::NONE;
        self.insist(client, "the session is opened", opened)
    }

    /// All clients that have no session open one, so that no later step waits for that.
    ///
    /// # Errors
    /// A broken invariant, or no answer within [`PATIENCE_MS`].
    pub fn open_sessions(&mut self) -> Step {
        for client in 0..self.world.clients.len() {
            if self.world.clients[client].id == ClientId::NONE {
                self.open_session(client)?;
            }
        }
        Ok(())
    }

    /// Waits for the operation, asking again now and then.
    fn persist(&mut self, operation: Operation) -> Step {
        self.insist(operation.client, "the operation is answered", move |scene| {
            scene.answer(operation).is_some()
        })
    }

    fn insist(&mut self, client: usize, what: &str, done: impl Fn(&Self) -> bool) -> Step {
        let end = self.world.now_ns + PATIENCE_MS * MS;
        let wait = P::retry_after(&self.world.config).as_nanos() as u64;
        while !done(self) {
            if self.world.now_ns >= end {
                return Err(self.failed(&format!("within {PATIENCE_MS} ms not: {what}")));
            }
            let again = self.world.now_ns + wait.max(MS);
            let refused = |scene: &Self| matches!(scene.heard(client), Some(Heard::Refused(_)));
            if self.pass_until(again, |scene| done(scene) || refused(scene))? && done(self) {
                return Ok(());
            }
            // A refusal is no reason to ask in a tight loop.
            self.run_for(10)?;
            self.script().heard.remove(&client);
            // Whoever cannot trust one replica asks them all.
            let everyone = self.world.clients[client].is_fixed();
            let at = (!everyone).then(|| self.leader_or_first());
            self.world.send_present_request(client, at);
        }
        Ok(())
    }

    /// The client sends its present request again, under the same number, to `replica`.
    pub fn retry(&mut self, client: usize, replica: usize) {
        self.world.send_present_request(client, Some(replica));
    }

    /// The client sends its present request again, under the same number, to every replica.
    pub fn retry_everywhere(&mut self, client: usize) {
        self.world.send_present_request(client, None);
    }

    /// Waits until the operation is answered, asking again where the leader is as often as it takes.
    ///
    /// # Errors
    /// A broken invariant, or no answer within [`PATIENCE_MS`].
    pub fn finish(&mut self, operation: Operation) -> Step {
        self.persist(operation)
    }

    /// The client waits no longer: the outcome of its operation stays unknown.
    pub fn give_up(&mut self, client: usize) {
        self.world.note(|| format!("-- client {client} gives up"));
        self.world.finish(client, false);
    }

    /// No reply reaches the client any more.
    pub fn deafen(&mut self, client: usize) {
        self.script().deaf.insert(client);
    }

    /// Replies reach the client again.
    pub fn hear_again(&mut self, client: usize) {
        self.script().deaf.remove(&client);
    }

    /// The answer to an operation; `None` while there is none.
    #[must_use]
    pub fn answer(&self, operation: Operation) -> Option<&KvReturn> {
        let operations = self.world.history.operations();
        operations[operation.number].operation.returned.as_ref().map(|(_, answer)| answer)
    }

    /// What a client heard since its last request was made.
    #[must_use]
    pub fn heard(&self, client: usize) -> Option<Heard> {
        self.world.script.as_ref().and_then(|script| script.heard.get(&client).copied())
    }

    fn leader_or_first(&self) -> usize {
        self.leader().map_or(0, |node| usize::from(self.world.nodes[node].id.0))
    }
}

impl<P: Inspect> World<P> {
    /// Makes the client's next request and notes the call; its number in the history.
    fn begin_operation(&mut self, index: usize, wish: Wish, indexed_read: bool) -> usize {
        let client = &mut self.clients[index];
        client.attempts = 0;
        let request = client.prepare(wish.encode(), indexed_read);
        if !indexed_read {
            self.book.issued.issue(request.id, request.seq, &request.payload);
        }
        let number = self.history.call(index as u32, &wish);
        let (id, seq, called_at_ns) = (request.id, request.seq, self.now_ns);
        self.note(|| format!("-- client {index} ({id} {seq}) asks {wish:?}"));
        self.clients[index].doing = Doing::Asking { wish, number, indexed_read, called_at_ns };
        number
    }

    fn begin_session(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if client.is_fixed() {
            return;
        }
        let request = client.prepare_open();
        client.doing = Doing::Opening;
        self.book.issued.issue(request.id, request.seq, &request.payload);
        let at = self.leader().map_or(0, |node| usize::from(self.nodes[node].id.0));
        self.send_present_request(index, Some(at));
    }

    /// Sends the client's present request to one replica, or to all of them.
    fn send_present_request(&mut self, client: usize, at: Option<usize>) {
        let Some(request) = self.clients[client].request.clone() else { return };
        for node in 0..self.nodes.len() {
            let id = usize::from(self.nodes[node].id.0);
            if at.is_none_or(|at| at == id) {
                self.send_request(node, &request);
            }
        }
    }
}

//! The client: sessions, retries, leader redirection, matching answers.
//!
//! What always holds: a request is applied at most once, however often it is sent, because it keeps
//! its number; a completion is delivered once for each ticket; a request whose outcome is not known
//! in time ends in [`CallError::Unknown`], never in a guess. Where replicas may lie, an answer
//! counts once enough distinct replicas gave the same one under their own tags.
//!
//! A client belongs to one thread at a time; open one for each thread.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_mq::strict::HANDLES_MAX;
use quorate_mq::{Receiver, RecvTimeoutError, bounded};
use quorate_smr::auth::{Authenticator, ClientAuthenticator};
use quorate_smr::batch::COMMAND_BYTES_MAX;
use quorate_smr::{ClientId, GroupId, Protocol, Reads, Reason, ReplicaId, RequestSeq};

pub use self::outcome::{CallError, ClientError, Completion, Reply, SubmitError, Ticket};
use self::session::{Outcome, Session};
use crate::answer::READ_BIT;
use crate::chunk::ChunkBuilder;
use crate::config::{ClusterConfig, WORKERS_MAX};
use crate::message::{ClientMessage, Notice};
use crate::placement::Stage;
use crate::queues::QueueKind;
use crate::shared::{Address, Addressee, Shared};

mod outcome;
mod session;

/// How long to wait before asking again where nobody leads.
const NO_LEADER_PAUSE: Duration = Duration::from_millis(5);
/// How long to wait before offering a request again to a queue or window that was full.
const BUSY_PAUSE: Duration = Duration::from_micros(500);
/// Redirections in a row before a pause: two replicas may point at one another for a while.
const REDIRECTS_MAX: u32 = 3;
/// Messages from replicas taken at once.
const NOTICES_PER_ROUND: usize = 256;
/// Bytes of an open chunk that make it leave.
const CHUNK_BYTES: usize = 48 << 10;

/// What a client is opened from.
pub(crate) struct Opening<P: Protocol> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) addresses: Vec<Address<P>>,
    pub(crate) config: Arc<ClusterConfig<P>>,
    /// An authenticator of each group: proofs name the group that they are for.
    pub(crate) auths: Vec<P::Auth>,
    /// The identity, where identities are fixed.
    pub(crate) fixed: Option<ClientId>,
}

type Proofs<P> = <<P as Protocol>::Auth as Authenticator<<P as Protocol>::Message>>::Client;

/// Clients that are open at once, at most, over queues of [`QueueKind::Strict`].
pub const STRICT_CLIENTS_MAX: usize = HANDLES_MAX - WORKERS_MAX - 1;

/// One open client, counted while it lives.
struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: &Arc<Shared>, kind: QueueKind) -> Result<Self, ClientError> {
        let counted = Self(shared.clone());
        let before = shared.clients.fetch_add(1, Ordering::Relaxed);
        if kind == QueueKind::Strict && before >= STRICT_CLIENTS_MAX {
            return Err(ClientError::TooMany(STRICT_CLIENTS_MAX));
        }
        Ok(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A client of a [`crate::Cluster`].
pub struct Client<P: Protocol> {
    _counted: Counted,
    shared: Arc<Shared>,
    addresses: Vec<Address<P>>,
    config: Arc<ClusterConfig<P>>,
    /// By group.
    proofs: Vec<Proofs<P>>,
    inbox: Receiver<Notice>,
    sessions: Vec<Session>,
    /// Completions that a call met while it waited for its own.
    ready: VecDeque<Completion>,
    notices: Vec<Notice>,
    proof: Vec<u8>,
    retry_after: Duration,
    /// Equal answers that make one.
    quorum: usize,
    /// No request is due to be sent again before this.
    next_due: Instant,
    retries: u64,
}

impl<P: Protocol> std::fmt::Debug for Client<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("outstanding", &self.outstanding()).finish_non_exhaustive()
    }
}

impl<P: Protocol> Client<P> {
    pub(crate) fn open(opening: Opening<P>) -> Result<Self, ClientError> {
        let Opening { shared, addresses, config, auths, fixed } = opening;
        let used_up = ClientError::IdentitiesUsedUp(config.client.fixed);
        if fixed.is_some_and(|client| client.0 > config.client.fixed as u64) {
            return Err(used_up);
        }
        let identity = fixed.unwrap_or(ClientId::NONE);
        let proofs: Option<Vec<_>> = auths.iter().map(|auth| auth.client(identity)).collect();
        let proofs = proofs.ok_or(used_up)?;
        let counted = Counted::new(&shared, config.queues.kind)?;
        let (sender, inbox) = bounded(config.queues.answers)?;
        let mut client = Self {
            _counted: counted,
            proofs,
            inbox,
            sessions: Vec::new(),
            ready: VecDeque::new(),
            notices: Vec::new(),
            proof: Vec::new(),
            retry_after: config.retry_after(),
            quorum: P::reply_quorum(config.replicas),
            next_due: Instant::now(),
            retries: 0,
            shared,
            addresses,
            config,
        };
        for group in (0..client.config.groups as u32).map(GroupId) {
            let guess = ReplicaId((group.0 as usize % client.config.replicas) as u8);
            let (id, leader) = match fixed {
                // Where identities are fixed nobody redirects: the first leader is the first member.
                Some(id) => (id, ReplicaId(0)),
                None => client.open_session(group, guess, &sender)?,
            };
            client.shared.registry.insert(Addressee::Session(group, id), sender.clone());
            client.sessions.push(Session::new(group, id, leader));
        }
        Ok(client)
    }

    /// Asks for a session through the log until it is opened.
    fn open_session(
        &mut self,
        group: GroupId,
        guess: ReplicaId,
        sender: &quorate_mq::Sender<Notice>,
    ) -> Result<(ClientId, ReplicaId), ClientError> {
        let nonce = self.shared.nonce();
        self.shared.registry.insert(Addressee::Opening(nonce), sender.clone());
        let opened = self.ask_for_session(group, guess, nonce);
        self.shared.registry.remove(Addressee::Opening(nonce));
        opened
    }

    fn ask_for_session(
        &mut self,
        group: GroupId,
        guess: ReplicaId,
        nonce: RequestSeq,
    ) -> Result<(ClientId, ReplicaId), ClientError> {
        let give_up = Instant::now() + self.config.client.timeout;
        let mut leader = guess;
        let mut builder = ChunkBuilder::default();
        builder.push(nonce, &[], &[]);
        let chunk = builder.seal(ClientId::NONE);
        while Instant::now() < give_up {
            let node = self.shared.placement.node(leader, group);
            let message = ClientMessage::Requests { node, chunk: chunk.clone() };
            let sent = self.deliver(leader, group, message);
            if sent == Delivery::Closed {
                return Err(ClientError::Closed);
            }
            let patience = if sent == Delivery::Sent { self.retry_after } else { BUSY_PAUSE };
            let mut until = (Instant::now() + patience).min(give_up);
            let mut next = ReplicaId(((leader.0 as usize + 1) % self.config.replicas) as u8);
            loop {
                match self.inbox.recv_deadline(until) {
                    Ok(Notice::Opened { nonce: answered, client, .. }) if answered == nonce => {
                        return Ok((client, leader));
                    }
                    Ok(Notice::Refused { from, reason, requests, .. })
                        if from == leader && requests.contains(&nonce) =>
                    {
                        match reason {
                            Reason::NotLeader { leader: Some(hint) } if self.knows(hint) => {
                                next = hint;
                            }
                            Reason::Busy => next = leader,
                            _ => {}
                        }
                        until = until.min(Instant::now() + NO_LEADER_PAUSE);
                    }
                    Ok(_) => {}
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Closed) => return Err(ClientError::Closed),
                }
            }
            leader = next;
        }
        Err(ClientError::NoAnswer(group))
    }

    /// Proposes `command` in the group of `key` and waits for its answer.
    ///
    /// # Errors
    /// [`CallError::Unknown`] when the answer did not come within the client's timeout; the other
    /// errors say that the command was not applied.
    pub fn call(&mut self, key: &[u8], command: &[u8]) -> Result<Reply, CallError> {
        let ticket = self.when_room(|client| client.submit(key, command))?;
        self.wait_for(ticket)
    }

    /// Reads linearizably: the answer reflects every command that was answered before the call.
    ///
    /// # Errors
    /// As [`Client::call`]; a read changes nothing, so that it can simply be repeated.
    pub fn read(&mut self, key: &[u8], query: &[u8]) -> Result<Reply, CallError> {
        let ticket = self.when_room(|client| client.submit_read(key, query))?;
        self.wait_for(ticket)
    }

    /// Takes a command for sending, without waiting. It leaves with others in one message: when
    /// enough are gathered, at [`Client::flush`], or with the next [`Client::poll`].
    ///
    /// # Errors
    /// [`SubmitError`]; the command has no effect then.
    #[inline]
    pub fn submit(&mut self, key: &[u8], command: &[u8]) -> Result<Ticket, SubmitError> {
        let group = self.group_of(key);
        if command.len() > COMMAND_BYTES_MAX {
            return Err(SubmitError::TooLarge(command.len()));
        }
        let session = &mut self.sessions[group.0 as usize];
        let seq = session.next_seq(self.config.client.window)?;
        self.proof.clear();
        let proofs = &self.proofs[group.0 as usize];
        proofs.sign(session.id, seq, command, &mut self.proof);
        session.push(seq, command, &self.proof);
        if session.open.count() >= self.config.client.chunk_requests
            || session.open.bytes() >= CHUNK_BYTES
        {
            self.send_open(group.0 as usize)?;
        }
        Ok(Ticket { group, seq })
    }

    /// Takes commands from `commands` while the window has room; how many were taken.
    ///
    /// # Errors
    /// As [`Client::submit`], for the first command of a full group or a closed cluster.
    pub fn submit_batch<'a>(
        &mut self,
        commands: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        tickets: &mut Vec<Ticket>,
    ) -> Result<usize, SubmitError> {
        let before = tickets.len();
        for (key, command) in commands {
            match self.submit(key, command) {
                Ok(ticket) => tickets.push(ticket),
                Err(error) if tickets.len() == before => return Err(error),
                Err(_) => break,
            }
        }
        Ok(tickets.len() - before)
    }

    /// Takes a linearizable read for sending, without waiting.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub fn submit_read(&mut self, key: &[u8], query: &[u8]) -> Result<Ticket, SubmitError> {
        if P::READS == Reads::Ordered {
            return self.submit(key, query);
        }
        if query.len() > COMMAND_BYTES_MAX {
            return Err(SubmitError::TooLarge(query.len()));
        }
        let group = self.group_of(key);
        let window = self.config.client.window;
        let session = &mut self.sessions[group.0 as usize];
        let now = Instant::now();
        let seq = session.push_read(Bytes::copy_from_slice(query), window, now)?;
        self.next_due = now;
        Ok(Ticket { group, seq })
    }

    /// Sends what was submitted and not sent yet.
    ///
    /// # Errors
    /// When the cluster was shut down.
    pub fn flush(&mut self) -> Result<(), SubmitError> {
        for index in 0..self.sessions.len() {
            if self.sessions[index].open.count() > 0 {
                self.send_open(index)?;
            }
        }
        Ok(())
    }

    /// Sends what was submitted, then waits until at least one request has ended, until `deadline`,
    /// or until nothing is outstanding; appends completions to `out` and returns how many.
    pub fn poll(&mut self, out: &mut Vec<Completion>, deadline: Instant) -> usize {
        self.poll_with(deadline, |ticket, outcome| {
            let outcome = outcome.map(|(whole, payload)| whole.slice_ref(payload));
            out.push(Completion { ticket, outcome });
        })
    }

    /// As [`Client::poll`], handing each completion to `each` without allocating or counting
    /// references: the answer is given as the message that it came in, and the bytes within.
    pub fn poll_with(
        &mut self,
        deadline: Instant,
        mut each: impl FnMut(Ticket, Result<(&Bytes, &[u8]), CallError>),
    ) -> usize {
        let count = Cell::new(0);
        let mut counting = |ticket: Ticket, outcome: Outcome<'_>| {
            count.set(count.get() + 1);
            each(ticket, outcome);
        };
        for Completion { ticket, outcome } in std::mem::take(&mut self.ready) {
            match &outcome {
                Ok(reply) => counting(ticket, Ok((reply, reply))),
                Err(error) => counting(ticket, Err(error.clone())),
            }
        }
        if self.outstanding() > 0 {
            self.turn(None, &mut counting);
        }
        while count.get() == 0 && self.outstanding() > 0 && Instant::now() < deadline {
            self.turn(Some(deadline), &mut counting);
        }
        count.get()
    }

    /// Requests that have not ended.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.sessions.iter().map(Session::outstanding).sum()
    }

    /// Messages that this client had to send again, for whatever reason.
    #[must_use]
    pub const fn retries(&self) -> u64 {
        self.retries
    }

    /// The group that serves `key`.
    #[must_use]
    #[inline]
    pub fn group_of(&self, key: &[u8]) -> GroupId {
        if self.sessions.len() == 1 { GroupId(0) } else { self.shared.route(key) }
    }

    /// Submits, waiting for room in the window.
    fn when_room(
        &mut self,
        mut submit: impl FnMut(&mut Self) -> Result<Ticket, SubmitError>,
    ) -> Result<Ticket, CallError> {
        loop {
            match submit(self) {
                Err(SubmitError::WindowFull) => {
                    let mut ready = std::mem::take(&mut self.ready);
                    let until = Instant::now() + self.retry_after;
                    self.turn(Some(until), &mut |ticket, outcome| {
                        keep(&mut ready, ticket, outcome);
                    });
                    self.ready = ready;
                }
                other => return other.map_err(CallError::Submit),
            }
        }
    }

    fn wait_for(&mut self, wanted: Ticket) -> Result<Reply, CallError> {
        let mut found = None;
        while found.is_none() {
            let mut ready = std::mem::take(&mut self.ready);
            let until = Instant::now() + self.retry_after;
            self.turn(Some(until), &mut |ticket, outcome| {
                if ticket == wanted {
                    found = Some(outcome.map(|(whole, payload)| whole.slice_ref(payload)));
                } else {
                    keep(&mut ready, ticket, outcome);
                }
            });
            self.ready = ready;
        }
        found.expect(
            "the loop ends with an outcome: every request ends at its timeout at the latest",
        )
    }

    /// Sends what waits, takes what replicas say (waiting for it until `until`, or not at all), and
    /// sends again what is due.
    fn turn(&mut self, until: Option<Instant>, each: &mut impl FnMut(Ticket, Outcome<'_>)) {
        let closed = self.flush().is_err();
        let mut notices = std::mem::take(&mut self.notices);
        let wake = until.map(|until| until.min(self.next_due));
        let taken = match wake {
            None => self.inbox.try_recv_batch(&mut notices, NOTICES_PER_ROUND).unwrap_or(0),
            Some(_) => {
                self.inbox.recv_batch_deadline(&mut notices, NOTICES_PER_ROUND, wake).unwrap_or(0)
            }
        };
        for notice in notices.drain(..) {
            self.hear(notice, each);
        }
        self.notices = notices;
        if taken == 0 && (closed || self.inbox.is_closed()) {
            self.sessions.iter_mut().for_each(|session| session.abandon(each));
            return;
        }
        if Instant::now() >= self.next_due {
            self.send_due(each);
        }
    }

    fn hear(&mut self, notice: Notice, each: &mut impl FnMut(Ticket, Outcome<'_>)) {
        match notice {
            Notice::Answers { from, group, client, bytes, tag } => {
                let at = group.0 as usize;
                let Some(session) = self.sessions.get_mut(at) else { return };
                if session.id != client {
                    return;
                }
                if self.quorum > 1 && !self.proofs[at].accepts(from, client, &bytes, tag) {
                    return;
                }
                session.answers(from, &bytes, self.quorum, each);
            }
            Notice::Refused { from, group, reason, requests } => {
                let known = match reason {
                    Reason::NotLeader { leader } => leader.filter(|leader| self.knows(*leader)),
                    _ => None,
                };
                let replicas = self.config.replicas;
                let Some(session) = self.sessions.get_mut(group.0 as usize) else { return };
                let now = Instant::now();
                session.refused(now, (from, reason), known, &requests, replicas, each);
                self.next_due = now;
            }
            // An answer to a repeated request for a session that is open already.
            Notice::Opened { .. } => {}
        }
    }

    /// Sends again what was not answered in time, gives up what is too old, and finds out what is
    /// due next.
    fn send_due(&mut self, each: &mut impl FnMut(Ticket, Outcome<'_>)) {
        let now = Instant::now();
        let mut next_due = now + self.retry_after;
        for index in 0..self.sessions.len() {
            let timeout = self.config.client.timeout;
            self.sessions[index].give_up(now, timeout, each);
            for chunk in 0..self.sessions[index].chunks() {
                if self.sessions[index].chunk_is_due(chunk, now) {
                    self.send_chunk(index, chunk, now);
                }
            }
            for seq in self.sessions[index].due_reads(now) {
                self.send_read(index, seq, now);
            }
            next_due = self.sessions[index].next_due().map_or(next_due, |due| due.min(next_due));
        }
        self.next_due = next_due;
    }

    fn send_open(&mut self, index: usize) -> Result<(), SubmitError> {
        let now = Instant::now();
        let chunk = self.sessions[index].seal(now);
        match self.send_chunk(index, chunk, now) {
            Delivery::Closed => Err(SubmitError::Closed),
            Delivery::Sent | Delivery::Full => Ok(()),
        }
    }

    /// Sends a chunk: to the leader; after a timeout to the next replica, or to all where that is
    /// how backups learn that the primary is silent (PBFT §4.4).
    fn send_chunk(&mut self, index: usize, place: usize, now: Instant) -> Delivery {
        let session = &mut self.sessions[index];
        let (group, replicas) = (session.group, self.config.replicas);
        let attempt = session.attempt(place, replicas, self.quorum);
        let mut sent = Delivery::Sent;
        for to in attempt.receivers.iter() {
            let node = self.shared.placement.node(to, group);
            let message = ClientMessage::Requests { node, chunk: attempt.chunk.clone() };
            let delivery = self.deliver(to, group, message);
            sent = if attempt.receivers.len() == 1 || delivery == Delivery::Closed {
                delivery
            } else {
                sent
            };
        }
        self.retries += u64::from(attempt.again);
        let pause = if sent == Delivery::Sent { self.retry_after } else { BUSY_PAUSE };
        self.sessions[index].sent(place, sent == Delivery::Sent, now + pause);
        self.next_due = self.next_due.min(now + pause);
        sent
    }

    fn send_read(&mut self, index: usize, seq: u64, now: Instant) {
        let replicas = self.config.replicas;
        let session = &mut self.sessions[index];
        let (group, id) = (session.group, session.id);
        let Some((to, query, again)) = session.read_attempt(seq, replicas) else { return };
        let node = self.shared.placement.node(to, group);
        let seq_on_wire = RequestSeq(seq | READ_BIT);
        let query = crate::message::Query { client: id, seq: seq_on_wire, query };
        let sent = self.deliver(to, group, ClientMessage::Read { node, query }) == Delivery::Sent;
        self.retries += u64::from(again);
        let pause = if sent { self.retry_after } else { BUSY_PAUSE };
        self.sessions[index].read_sent(seq, sent, now + pause);
    }

    fn deliver(&self, to: ReplicaId, group: GroupId, message: ClientMessage) -> Delivery {
        let node = self.shared.placement.node(to, group);
        let worker = self.shared.placement.worker(node, Stage::Protocol);
        match self.addresses[worker].clients.try_send(message) {
            Ok(()) => Delivery::Sent,
            Err(error) if error.is_closed() => Delivery::Closed,
            Err(_) => Delivery::Full,
        }
    }

    fn knows(&self, replica: ReplicaId) -> bool {
        usize::from(replica.0) < self.config.replicas
    }
}

impl<P: Protocol> Drop for Client<P> {
    fn drop(&mut self) {
        for session in &self.sessions {
            self.shared.registry.remove(Addressee::Session(session.group, session.id));
        }
    }
}

/// What became of a message to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    Sent,
    Full,
    Closed,
}

fn keep(ready: &mut VecDeque<Completion>, ticket: Ticket, outcome: Outcome<'_>) {
    let outcome = outcome.map(|(whole, payload)| whole.slice_ref(payload));
    ready.push_back(Completion { ticket, outcome });
}

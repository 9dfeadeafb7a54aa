//! Clients: each has one request in flight, repeats it under the same number until it is answered,
//! and records what it saw.
//!
//! Where clients are trusted (Raft, Paxos) a client opens a session through the log and believes
//! one answer. Where replicas may lie (PBFT) it has a fixed identity, signs its requests, and
//! believes an answer that enough distinct replicas gave.

use std::rc::Rc;

use quorate_smr::auth::ClientAuthenticator;
use quorate_smr::session::ReplyStatus;
use quorate_smr::{ClientId, Reason, ReplicaId, ReplicaSet, RequestSeq, Tag};

use crate::dice::Dice;
use crate::history::Wish;
use crate::lincheck::{KvCall, KvReturn};
use crate::plan::LoadPlan;
use crate::surge::CLIENTS_PER_KEY;
use crate::turbulence::Turbulence;

/// A request on its way to a replica.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) client: usize,
    pub(crate) id: ClientId,
    pub(crate) seq: RequestSeq,
    pub(crate) payload: Rc<Vec<u8>>,
    pub(crate) proof: Rc<Vec<u8>>,
    /// Whether it asks for a read that is not ordered.
    pub(crate) indexed_read: bool,
}

/// What a replica says to a client.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A request was applied (or not), as its slot says.
    Applied { status: ReplyStatus, payload: Vec<u8>, tag: Tag },
    /// An indexed read.
    Read { payload: Vec<u8> },
    /// Not taken up.
    Refused(Reason),
}

/// A reply on its way to a client.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) from: ReplicaId,
    pub(crate) id: ClientId,
    pub(crate) seq: RequestSeq,
    pub(crate) answer: Answer,
}

/// The bytes of a reply that a replica tags.
pub(crate) fn reply_bytes(seq: RequestSeq, status: ReplyStatus, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(9 + payload.len());
    bytes.extend_from_slice(&seq.0.to_le_bytes());
    bytes.push(status as u8);
    bytes.extend_from_slice(payload);
    bytes
}

/// What a client is doing.
#[derive(Debug)]
pub(crate) enum Doing {
    /// Waits before its next request.
    Idle,
    /// Asks for a session.
    Opening,
    /// Has a request in flight.
    Asking {
        wish: Wish,
        /// Its number in the history.
        number: usize,
        indexed_read: bool,
        called_at_ns: u64,
    },
    /// Does nothing more.
    Stopped,
}

/// A client.
#[derive(Debug)]
pub(crate) struct Client<A> {
    pub(crate) index: usize,
    pub(crate) id: ClientId,
    pub(crate) seq: RequestSeq,
    pub(crate) doing: Doing,
    pub(crate) request: Option<Request>,
    pub(crate) guess: usize,
    /// Recognises the timer that counts among those set before.
    pub(crate) generation: u64,
    pub(crate) attempts: u32,
    /// Completed since the start, and since healing.
    pub(crate) completed: u64,
    pub(crate) completed_healed: u64,
    pub(crate) dice: Dice,
    /// Only reads, often, and anywhere.
    pub(crate) reader: bool,
    /// When the surge ends that this client belongs to; `None` for a usual client.
    pub(crate) surges_until: Option<u64>,
    auth: A,
    quorum: usize,
    answers: Vec<Vote>,
    /// The values that this client saw last, for compare-and-swap.
    seen: Vec<Option<Vec<u8>>>,
    written: u32,
}

/// Who gave an answer.
#[derive(Debug)]
struct Vote {
    status: ReplyStatus,
    payload: Vec<u8>,
    from: ReplicaSet,
}

impl<A: ClientAuthenticator> Client<A> {
    pub(crate) fn new(index: usize, id: ClientId, auth: A, quorum: usize, dice: Dice) -> Self {
        Self {
            index,
            id,
            seq: RequestSeq(0),
            doing: Doing::Idle,
            request: None,
            guess: 0,
            generation: 0,
            attempts: 0,
            completed: 0,
            completed_healed: 0,
            dice,
            reader: false,
            surges_until: None,
            auth,
            quorum,
            answers: Vec::new(),
            seen: Vec::new(),
            written: 0,
        }
    }

    /// Whether the client has a fixed identity rather than a session.
    pub(crate) const fn is_fixed(&self) -> bool {
        self.quorum > 1
    }

    /// Draws the next operation.
    pub(crate) fn wish(&mut self, load: &LoadPlan) -> Wish {
        let key = match self.surges_until {
            None => self.dice.below(load.keys),
            Some(_) => load.keys + (self.index / CLIENTS_PER_KEY) as u64,
        };
        if self.seen.len() <= key as usize {
            self.seen.resize(key as usize + 1, None);
        }
        let call = if self.reader || self.dice.chance(load.read_ppm) {
            KvCall::Get
        } else {
            let value = self.fresh_value(load.value_bytes);
            match self.dice.below(10) {
                0..4 => KvCall::Put(value),
                4..7 => KvCall::Append(value),
                _ => {
                    let expected = self.seen[key as usize].clone();
                    KvCall::CompareAndSwap { expected, value }
                }
            }
        };
        Wish { key: vec![b'a' + key as u8], call }
    }

    /// A value that no one else writes, ever.
    fn fresh_value(&mut self, extra_bytes: usize) -> Vec<u8> {
        self.written += 1;
        let mut value = vec![b'A'.wrapping_add(self.index as u8)];
        value.extend_from_slice(&self.written.to_be_bytes()[1..]);
        value.resize(4 + extra_bytes, b'.');
        value
    }

    /// Draws whether a write is to be huge, and by how many bytes.
    pub(crate) fn draw_huge(&mut self, rough: &Turbulence) -> Option<usize> {
        let huge = self.dice.chance(rough.huge_ppm);
        huge.then(|| 1 + self.dice.index(rough.huge_bytes))
    }

    /// Makes the request `payload` with the next number.
    pub(crate) fn prepare(&mut self, payload: Vec<u8>, indexed_read: bool) -> Request {
        self.seq = RequestSeq(self.seq.0 + 1);
        self.request_for(payload, indexed_read)
    }

    /// Makes the request for a session. Its number tells it from all other such requests.
    pub(crate) fn prepare_open(&mut self) -> Request {
        self.id = ClientId::NONE;
        self.seq = RequestSeq(self.dice.word());
        self.request_for(Vec::new(), false)
    }

    /// The request under the present number.
    pub(crate) fn request_for(&mut self, payload: Vec<u8>, indexed_read: bool) -> Request {
        let mut proof = Vec::new();
        self.auth.sign(self.id, self.seq, &payload, &mut proof);
        self.answers.clear();
        let request = Request {
            client: self.index,
            id: self.id,
            seq: self.seq,
            payload: Rc::new(payload),
            proof: Rc::new(proof),
            indexed_read,
        };
        self.request = Some(request.clone());
        request
    }

    /// Notes what a replica answered; the answer once enough distinct replicas gave it.
    pub(crate) fn collect(
        &mut self,
        from: ReplicaId,
        status: ReplyStatus,
        payload: &[u8],
        tag: Tag,
    ) -> bool {
        let bytes = reply_bytes(self.seq, status, payload);
        if !self.auth.accepts(from, self.id, &bytes, tag) {
            return false;
        }
        let same = |vote: &Vote| vote.status == status && vote.payload == payload;
        let place = self.answers.iter().position(same).unwrap_or_else(|| {
            self.answers.push(Vote { status, payload: payload.to_vec(), from: ReplicaSet::EMPTY });
            self.answers.len() - 1
        });
        self.answers[place].from.insert(from);
        self.answers[place].from.len() >= self.quorum
    }

    /// Remembers a value for later compare-and-swaps.
    pub(crate) fn learn(&mut self, wish: &Wish, answer: &KvReturn) {
        let key = usize::from(wish.key[0] - b'a');
        let value = match (&wish.call, answer) {
            (_, KvReturn::Value(value) | KvReturn::Mismatch(value)) => value.clone(),
            (KvCall::Put(value) | KvCall::CompareAndSwap { value, .. }, _) => Some(value.clone()),
            _ => return,
        };
        if let Some(seen) = self.seen.get_mut(key) {
            *seen = value;
        }
    }
}

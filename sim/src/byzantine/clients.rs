//! Clients that misbehave, next to the honest ones.
//!
//! Each has an identity and keys of its own, nobody else's, and a key of the store that no honest
//! client uses. Honest clients must be served within the usual bound, buffers stay below their
//! limits, and each request of anyone is applied at most once.

use std::collections::VecDeque;
use std::rc::Rc;

use quorate_smr::auth::ClientAuthenticator;
use quorate_smr::session::ReplyStatus;
use quorate_smr::{ClientId, RequestSeq};
use serde::{Deserialize, Serialize};

use crate::client::{Answer, Reply, Request};
use crate::dice::Dice;
use crate::event::Event;
use crate::fault::FaultKind;
use crate::history::Wish;
use crate::inspect::Inspect;
use crate::lincheck::KvCall;
use crate::plan::MS;
use crate::world::{ClientSide, Phase, World};

/// Requests of all misbehaving clients together in one run.
const ROGUE_REQUESTS_MAX: u64 = 3_000;
/// Requests of a flood at one moment.
const FLOOD_REQUESTS: u64 = 24;
/// Mean time between two acts of a misbehaving client, in nanoseconds.
const ROGUE_NS: u64 = 60 * MS;
/// Requests of others that an eavesdropper remembers.
const OVERHEARD_MAX: usize = 32;
/// Bytes of an absurdly large value: above the smallest `batch_bytes_max`, below a frame.
const ABSURD_BYTES: usize = 20 << 10;
/// The key that misbehaving clients write.
const ROGUE_KEY: &[u8] = b"~";
/// The part of the run's randomness that misbehaving clients draw from.
const PART_ROGUES: u64 = 33;

/// How a client misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mischief {
    /// Sends far more requests than it may have waiting, to everyone.
    Flood,
    /// Sends different requests under one number to different replicas.
    TwoFaced,
    /// Sends requests whose proof is right for some replicas only; often for the primary alone.
    PartialProof,
    /// Sends requests whose proof is wrong.
    BadProof,
    /// Sends old requests again, its own and those of others that it overheard.
    OldRequests,
    /// Uses the largest and smallest numbers, and values that are too large.
    Absurd,
}

impl Mischief {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Flood,
        Self::TwoFaced,
        Self::PartialProof,
        Self::BadProof,
        Self::OldRequests,
        Self::Absurd,
    ];
    /// Those that mean something where clients are trusted and prove nothing.
    pub const UNPROVEN: [Self; 4] = [Self::Flood, Self::TwoFaced, Self::OldRequests, Self::Absurd];

    const fn fault(self) -> FaultKind {
        match self {
            Self::Flood => FaultKind::Flood,
            Self::TwoFaced => FaultKind::TwoFaced,
            Self::PartialProof => FaultKind::PartialProof,
            Self::BadProof => FaultKind::BadProof,
            Self::OldRequests => FaultKind::OldRequest,
            Self::Absurd => FaultKind::Absurd,
        }
    }
}

/// A misbehaving client.
pub(crate) struct Rogue<A> {
    mischief: Mischief,
    /// As clients are counted: after the honest ones.
    index: usize,
    id: ClientId,
    seq: u64,
    auth: A,
    dice: Dice,
    sent: VecDeque<Request>,
}

impl<A: ClientAuthenticator> Rogue<A> {
    pub(crate) fn new(seed: u64, index: usize, id: ClientId, auth: A, mischief: Mischief) -> Self {
        let dice = Dice::new(seed, PART_ROGUES + ((index as u64) << 32));
        Self { mischief, index, id, seq: 0, auth, dice, sent: VecDeque::new() }
    }

    /// A request with a right proof.
    fn request(&mut self, seq: u64, value: Vec<u8>) -> Request {
        let wish = Wish { key: ROGUE_KEY.to_vec(), call: KvCall::Put(value) };
        let payload = if self.id == ClientId::NONE { Vec::new() } else { wish.encode() };
        let (seq, mut proof) = (RequestSeq(seq), Vec::new());
        self.auth.sign(self.id, seq, &payload, &mut proof);
        let (payload, proof) = (Rc::new(payload), Rc::new(proof));
        Request { client: self.index, id: self.id, seq, payload, proof, indexed_read: false }
    }

    fn next(&mut self) -> Request {
        self.seq += 1;
        // The number of a request for a session tells it from all others.
        let seq = if self.id == ClientId::NONE { self.dice.word() } else { self.seq };
        let value = self.seq.to_be_bytes().to_vec();
        self.request(seq, value)
    }

    fn absurd(&mut self) -> Request {
        let bytes = *self.dice.pick(&[0, 8, ABSURD_BYTES]);
        let seq = match self.dice.below(4) {
            0 => u64::MAX,
            1 => u64::MAX - self.dice.below(4),
            2 => 0,
            _ => self.dice.word(),
        };
        self.request(seq, vec![b'~'; bytes])
    }
}

impl<P: Inspect> World<P> {
    /// Adds the misbehaving clients of the plan. Their identities follow the honest ones'.
    pub(crate) fn add_rogues(&mut self) {
        let fixed = P::reply_quorum(self.replicas) > 1;
        for (place, mischief) in self.plan.rogues.clone().into_iter().enumerate() {
            let index = self.clients_planned() + place;
            let key = ClientId(index as u64 + 1);
            let Some(auth) = self.client_side(key) else { continue };
            let id = if fixed { key } else { ClientId::NONE };
            if fixed {
                self.book.issued.anything_of(id);
            }
            self.rogues.push(Rogue::new(self.seed, index, id, auth, mischief));
        }
    }

    fn client_side(&self, client: ClientId) -> Option<ClientSide<P>> {
        use quorate_smr::auth::Authenticator;
        self.nodes[0].auth.client(client)
    }

    pub(crate) fn begin_rogues(&mut self) {
        for rogue in 0..self.rogues.len() {
            self.schedule_rogue(rogue);
        }
    }

    fn schedule_rogue(&mut self, rogue: usize) {
        let at = self.now_ns + self.rogues[rogue].dice.long_tail(ROGUE_NS).max(MS);
        self.queue.push(at, Event::Rogue { rogue });
    }

    /// Remembers a request of an honest client, if someone listens.
    pub(crate) fn overhear(&mut self, request: &Request) {
        let listens = |rogue: &&mut Rogue<_>| rogue.mischief == Mischief::OldRequests;
        if let Some(rogue) = self.rogues.iter_mut().find(listens) {
            rogue.sent.push_back(request.clone());
            if rogue.sent.len() > OVERHEARD_MAX {
                rogue.sent.pop_front();
            }
        }
    }

    /// A misbehaving client acts. It goes on when everything else is healed, until the honest
    /// clients were served.
    pub(crate) fn act(&mut self, index: usize) {
        if matches!(self.phase, Phase::Converging { .. } | Phase::Done)
            || self.rogue_requests >= ROGUE_REQUESTS_MAX
        {
            return;
        }
        self.schedule_rogue(index);
        let mischief = self.rogues[index].mischief;
        if !self.faults.strikes(mischief.fault()) {
            return;
        }
        match mischief {
            Mischief::Flood => {
                for _ in 0..FLOOD_REQUESTS {
                    let request = self.rogues[index].next();
                    self.send_to_all(&request);
                }
            }
            Mischief::TwoFaced => self.say_two_things(index),
            Mischief::PartialProof | Mischief::BadProof => self.prove_badly(index),
            Mischief::OldRequests => self.send_old(index),
            Mischief::Absurd => {
                let rogue = &mut self.rogues[index];
                let open = rogue.id == ClientId::NONE;
                let request = if open { rogue.next() } else { rogue.absurd() };
                self.send_to_all(&request);
            }
        }
    }

    fn say_two_things(&mut self, index: usize) {
        let rogue = &mut self.rogues[index];
        let one = rogue.next();
        let other = rogue.request(one.seq.0, b"something else".to_vec());
        for node in 0..self.nodes.len() {
            let first = self.rogues[index].dice.chance(500_000);
            self.send_rogue(node, if first { &one } else { &other });
        }
    }

    /// Spoils the parts of the proof for some replicas, or for all.
    fn prove_badly(&mut self, index: usize) {
        let leader = self.leader().map(|leader| usize::from(self.nodes[leader].id.0));
        let replicas = self.replicas;
        let rogue = &mut self.rogues[index];
        let mut request = rogue.next();
        let mut proof = request.proof.as_ref().clone();
        let share = proof.len() / replicas.max(1);
        let only_leader = rogue.dice.chance(400_000);
        for replica in 0..replicas {
            let spoiled = match rogue.mischief {
                Mischief::BadProof => true,
                _ if only_leader => Some(replica) != leader,
                _ => rogue.dice.chance(500_000),
            };
            if let Some(byte) = proof.get_mut(replica * share).filter(|_| spoiled) {
                *byte ^= 1;
            }
        }
        if rogue.mischief == Mischief::BadProof && rogue.dice.chance(300_000) {
            proof.truncate(rogue.dice.index(proof.len() + 1));
        }
        request.proof = Rc::new(proof);
        self.send_to_all(&request);
    }

    fn send_old(&mut self, index: usize) {
        let rogue = &mut self.rogues[index];
        let own = rogue.next();
        rogue.sent.push_back(own.clone());
        let old = rogue.dice.pick(rogue.sent.make_contiguous()).clone();
        self.send_to_all(&own);
        self.send_to_all(&old);
    }

    fn send_to_all(&mut self, request: &Request) {
        for node in 0..self.nodes.len() {
            self.send_rogue(node, request);
        }
    }

    fn send_rogue(&mut self, node: usize, request: &Request) {
        self.rogue_requests += 1;
        if request.id == ClientId::NONE {
            self.book.issued.issue(request.id, request.seq, &request.payload);
        }
        let (min, extra) = self.plan.client_delay_ns;
        let place = (request.client.checked_sub(self.clients_planned()))
            .filter(|place| *place < self.rogues.len())
            .unwrap_or(0);
        let delay = min + self.rogues[place].dice.below(extra.max(1));
        let request = Box::new(request.clone());
        self.queue.push(self.now_ns + delay, Event::Request { node, request });
    }

    /// A misbehaving client hears only what it needs: its session.
    pub(crate) fn rogue_hears(&mut self, client: usize, reply: &Reply) {
        let Some(place) = client.checked_sub(self.clients_planned()) else { return };
        let Some(rogue) = self.rogues.get_mut(place) else { return };
        let Answer::Applied { status, payload, .. } = &reply.answer else { return };
        let opened = rogue.id == ClientId::NONE && *status == ReplyStatus::Opened;
        if let Some(id) = payload.as_slice().try_into().ok().filter(|_| opened) {
            rogue.id = ClientId(u64::from_le_bytes(id));
            self.book.issued.anything_of(rogue.id);
        } else if *status == ReplyStatus::Expired {
            rogue.id = ClientId::NONE;
        }
    }
}

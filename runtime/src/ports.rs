//! The sending side of a worker: to peers, to stages on other workers, to clients.
//!
//! What always holds: nothing here blocks. What a queue does not take stays in a bounded buffer and
//! is tried again next round; peers' messages beyond the bound are dropped and counted, hand-offs
//! are never dropped (acknowledgements bound them).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use quorate_smr::auth::Authenticator;
use quorate_smr::{GroupId, Protocol, Reason, ReplicaId, ReplicaSet, RequestSeq, To, wire};

use crate::config::Transport;
use crate::message::{Hand, Internal, Notice, PeerBody, PeerMessage};
use crate::placement::{NodeIndex, Stage};
use crate::report::ProtocolCounters;
use crate::shared::{Address, Addressee, Shared};

/// Messages to one worker that wait here when its queue is full.
const UNSENT_PEER_MESSAGES_MAX: usize = 1024;

/// Who a node is, and its proofs.
#[derive(Clone, Debug)]
pub(crate) struct Identity<P: Protocol> {
    pub(crate) node: NodeIndex,
    pub(crate) replica: ReplicaId,
    pub(crate) group: GroupId,
    pub(crate) members: ReplicaSet,
    pub(crate) auth: P::Auth,
    /// Every replica answers, not only the leader.
    pub(crate) all_answer: bool,
}

pub(crate) struct Ports<P: Protocol> {
    pub(crate) shared: Arc<Shared>,
    addresses: Vec<Address<P>>,
    worker: usize,
    /// For nodes on this very worker.
    pub(crate) local: VecDeque<PeerMessage<P>>,
    local_max: usize,
    peers: Vec<Vec<PeerMessage<P>>>,
    hands: Vec<Vec<Internal<P>>>,
    /// Messages and pieces of work for nodes on other workers.
    pub(crate) handed_over: u64,
    scratch: Vec<u8>,
}

impl<P: Protocol> Ports<P> {
    pub(crate) fn new(
        shared: Arc<Shared>,
        addresses: Vec<Address<P>>,
        worker: usize,
        local_max: usize,
    ) -> Self {
        let workers = addresses.len();
        Self {
            shared,
            addresses,
            worker,
            local: VecDeque::new(),
            local_max,
            peers: (0..workers).map(|_| Vec::new()).collect(),
            hands: (0..workers).map(|_| Vec::new()).collect(),
            handed_over: 0,
            scratch: Vec::new(),
        }
    }

    /// Sends `message` of `identity` to its peers, with snapshot bytes if there are any.
    #[inline]
    pub(crate) fn transmit(
        &mut self,
        identity: &Identity<P>,
        (to, message): (To, P::Message),
        image: Option<&Arc<[u8]>>,
        counters: &mut ProtocolCounters,
    ) {
        let receivers = to.receivers(identity.replica, identity.members);
        if receivers.is_empty() {
            return;
        }
        let sealed = identity.auth.seal(to, message);
        let body = match self.shared.transport {
            Transport::Values => PeerBody::Value(sealed),
            Transport::Frames => match self.encode(identity, &sealed) {
                Some(frame) => PeerBody::Frame(frame),
                None => {
                    counters.messages_dropped += receivers.len() as u64;
                    return;
                }
            },
        };
        // The last receiver gets the body itself, the others copies of it.
        let mut receivers = receivers.iter();
        let mut next = receivers.next();
        let mut body = Some(body);
        while let Some(receiver) = next {
            next = receivers.next();
            let copy = if next.is_some() { body.clone() } else { body.take() };
            if let Some(body) = copy {
                self.deliver(identity, receiver, body, image, counters);
            }
        }
    }

    fn encode(&mut self, identity: &Identity<P>, sealed: &impl serde::Serialize) -> Option<Bytes> {
        self.scratch.clear();
        let (cluster, group, from) = (self.shared.cluster, identity.group, identity.replica);
        wire::encode(cluster, group, from, sealed, &mut self.scratch).ok()?;
        Some(Bytes::copy_from_slice(&self.scratch))
    }

    #[inline]
    fn deliver(
        &mut self,
        identity: &Identity<P>,
        receiver: ReplicaId,
        body: PeerBody<P>,
        image: Option<&Arc<[u8]>>,
        counters: &mut ProtocolCounters,
    ) {
        if self.shared.links.is_cut(identity.replica, receiver) {
            counters.messages_dropped += 1;
            return;
        }
        if let PeerBody::Frame(frame) = &body {
            counters.frames += 1;
            counters.wire_bytes += (frame.len() + image.map_or(0, |image| image.len())) as u64;
        }
        let to = self.shared.placement.node(receiver, identity.group);
        let worker = self.shared.placement.worker(to, Stage::Protocol);
        let image = image.cloned();
        let message = PeerMessage { to, from: identity.replica, body, image };
        let has_room = if worker == self.worker {
            self.local.len() < self.local_max
        } else {
            self.peers[worker].len() < UNSENT_PEER_MESSAGES_MAX || self.flush_peers(worker)
        };
        if !has_room {
            counters.messages_dropped += 1;
            return;
        }
        counters.messages_sent += 1;
        if worker == self.worker {
            self.local.push_back(message);
        } else {
            self.handed_over += 1;
            self.peers[worker].push(message);
        }
    }

    /// Hands work to another stage of `node` on another worker.
    pub(crate) fn hand(
        &mut self,
        (node, stage): (NodeIndex, Stage),
        incarnation: u64,
        hand: Hand<P>,
    ) {
        let worker = self.shared.placement.worker(node, stage);
        self.handed_over += u64::from(worker != self.worker);
        self.hands[worker].push(Internal { node, incarnation, hand });
    }

    /// Tells clients that their requests were not taken up.
    pub(crate) fn refuse(
        &self,
        identity: &Identity<P>,
        client: quorate_smr::ClientId,
        requests: Vec<RequestSeq>,
        reason: Reason,
    ) {
        let notify = |addressee: Addressee, requests: Vec<RequestSeq>| {
            if let Some(sender) = self.shared.registry.find(addressee) {
                let (from, group) = (identity.replica, identity.group);
                // A client whose queue is full asks again.
                let _ = sender.try_send(Notice::Refused { from, group, reason, requests });
            }
        };
        if client == quorate_smr::ClientId::NONE {
            for nonce in requests {
                notify(Addressee::Opening(nonce), vec![nonce]);
            }
        } else {
            notify(Addressee::Session(identity.group, client), requests);
        }
    }

    /// Sends what waits; true when everything left.
    pub(crate) fn flush(&mut self) -> bool {
        let mut all_left = true;
        for worker in 0..self.peers.len() {
            self.flush_peers(worker);
            all_left &= self.peers[worker].is_empty();
            let hands = &mut self.hands[worker];
            if !hands.is_empty() && self.addresses[worker].internal.try_send_batch(hands).is_err() {
                hands.clear();
            }
            all_left &= hands.is_empty();
        }
        all_left
    }

    /// True when there is room for another message afterwards. A worker that has stopped loses
    /// what is sent to it.
    fn flush_peers(&mut self, worker: usize) -> bool {
        let messages = &mut self.peers[worker];
        if !messages.is_empty() && self.addresses[worker].peers.try_send_batch(messages).is_err() {
            messages.clear();
        }
        messages.len() < UNSENT_PEER_MESSAGES_MAX
    }
}

//! What all threads of a cluster share: clients, links, the clock. Addresses each thread has its
//! own copy of: a sender remembers where it last worked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use quorate_mq::Sender;
use quorate_mq::partition::{Placement as _, SlotTable};
use quorate_smr::{ClientId, ClusterId, GroupId, Protocol, ReplicaId, RequestSeq};

use crate::clock::Clock;
use crate::config::Transport;
use crate::message::{ClientMessage, Internal, Notice, PeerMessage};
use crate::placement::Placement;
use crate::queues::Sending;

/// The sending ends of one worker's queues. A thread sends through its own copies.
pub(crate) struct Address<P: Protocol> {
    pub(crate) clients: Sending<ClientMessage>,
    pub(crate) peers: Sending<PeerMessage<P>>,
    pub(crate) internal: Sending<Internal<P>>,
}

impl<P: Protocol> Clone for Address<P> {
    fn clone(&self) -> Self {
        Self {
            clients: self.clients.clone(),
            peers: self.peers.clone(),
            internal: self.internal.clone(),
        }
    }
}

pub(crate) struct Shared {
    pub(crate) placement: Placement,
    pub(crate) transport: Transport,
    pub(crate) cluster: ClusterId,
    pub(crate) clock: Clock,
    pub(crate) registry: Registry,
    pub(crate) links: Links,
    /// Clients that are open: each holds a sender to each worker.
    pub(crate) clients: AtomicUsize,
    router: SlotTable,
    nonces: AtomicU64,
}

impl Shared {
    pub(crate) fn new(
        placement: Placement,
        replicas: usize,
        router: SlotTable,
        (transport, cluster): (Transport, ClusterId),
    ) -> Self {
        Self {
            placement,
            transport,
            cluster,
            clock: Clock::start(),
            registry: Registry::default(),
            links: Links::new(replicas),
            clients: AtomicUsize::new(0),
            router,
            nonces: AtomicU64::new(1),
        }
    }

    /// The group that serves `key`.
    #[inline]
    pub(crate) fn route(&self, key: &[u8]) -> GroupId {
        GroupId(u32::from(self.router.place(key)))
    }

    /// A number that no other request for a session of this cluster carries.
    pub(crate) fn nonce(&self) -> RequestSeq {
        RequestSeq(self.nonces.fetch_add(1, Ordering::Relaxed))
    }
}

/// Where a session's answers go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Addressee {
    Session(GroupId, ClientId),
    Opening(RequestSeq),
}

/// The queues of the clients that wait for answers.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    table: Mutex<BTreeMap<Addressee, Sender<Notice>>>,
}

impl Registry {
    pub(crate) fn insert(&self, addressee: Addressee, sender: Sender<Notice>) {
        self.table.lock().insert(addressee, sender);
    }

    pub(crate) fn remove(&self, addressee: Addressee) {
        self.table.lock().remove(&addressee);
    }

    pub(crate) fn find(&self, addressee: Addressee) -> Option<Sender<Notice>> {
        self.table.lock().get(&addressee).cloned()
    }

    pub(crate) fn clear(&self) {
        self.table.lock().clear();
    }
}

/// Which links between replicas are cut, one direction at a time.
#[derive(Debug)]
pub(crate) struct Links {
    replicas: usize,
    cut: Vec<AtomicBool>,
    /// How many are cut, so that the usual case is one load.
    count: AtomicUsize,
}

impl Links {
    fn new(replicas: usize) -> Self {
        let cut = (0..replicas * replicas).map(|_| AtomicBool::new(false)).collect();
        Self { replicas, cut, count: AtomicUsize::new(0) }
    }

    fn place(&self, from: ReplicaId, to: ReplicaId) -> usize {
        usize::from(from.0) * self.replicas + usize::from(to.0)
    }

    pub(crate) fn set(&self, from: ReplicaId, to: ReplicaId, cut: bool) {
        let was = self.cut[self.place(from, to)].swap(cut, Ordering::SeqCst);
        match (was, cut) {
            (false, true) => self.count.fetch_add(1, Ordering::SeqCst),
            (true, false) => self.count.fetch_sub(1, Ordering::SeqCst),
            _ => 0,
        };
    }

    #[inline]
    pub(crate) fn is_cut(&self, from: ReplicaId, to: ReplicaId) -> bool {
        self.count.load(Ordering::Relaxed) != 0
            && self.cut[self.place(from, to)].load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_cut_in_one_direction_and_healed() {
        let links = Links::new(3);
        let (a, b) = (ReplicaId(0), ReplicaId(2));
        links.set(a, b, true);
        links.set(a, b, true);
        assert!(links.is_cut(a, b) && !links.is_cut(b, a));
        links.set(a, b, false);
        assert!(!links.is_cut(a, b));
    }
}

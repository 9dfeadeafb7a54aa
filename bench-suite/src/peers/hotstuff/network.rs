//! The network between the replicas of the `hotstuff_rs` group: a channel to each.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use hotstuff_rs::networking::messages::Message;
use hotstuff_rs::networking::network::Network;
use hotstuff_rs::types::crypto_primitives::VerifyingKey;
use hotstuff_rs::types::update_sets::ValidatorSetUpdates;
use hotstuff_rs::types::validator_set::ValidatorSet;
use parking_lot::Mutex;

/// How long a receiver waits for a message before it answers that there is none: the library asks
/// again at once, and would keep a core busy with asking.
const RECEIVE_WAIT: Duration = Duration::from_millis(1);

type Letter = (VerifyingKey, Message);

/// One replica's end.
#[derive(Clone)]
pub(super) struct Channels {
    me: VerifyingKey,
    peers: Arc<HashMap<VerifyingKey, Sender<Letter>>>,
    inbox: Arc<Mutex<Receiver<Letter>>>,
}

impl Channels {
    /// The ends of a network between `keys`, in their order.
    pub(super) fn between(keys: impl Iterator<Item = VerifyingKey>) -> Vec<Self> {
        let ends: Vec<_> = keys.map(|key| (key, channel())).collect();
        let peers = ends.iter().map(|(key, (sender, _))| (*key, sender.clone())).collect();
        let peers: Arc<HashMap<_, _>> = Arc::new(peers);
        let end = |(me, (_, inbox))| Self {
            me,
            peers: peers.clone(),
            inbox: Arc::new(Mutex::new(inbox)),
        };
        ends.into_iter().map(end).collect()
    }
}

impl Network for Channels {
    fn init_validator_set(&mut self, _: ValidatorSet) {}

    fn update_validator_set(&mut self, _: ValidatorSetUpdates) {}

    fn broadcast(&mut self, message: Message) {
        for peer in self.peers.values() {
            // A replica that has stopped reads no more.
            let _ = peer.send((self.me, message.clone()));
        }
    }

    fn send(&mut self, peer: VerifyingKey, message: Message) {
        if let Some(peer) = self.peers.get(&peer) {
            let _ = peer.send((self.me, message));
        }
    }

    fn recv(&mut self) -> Option<Letter> {
        self.inbox.lock().recv_timeout(RECEIVE_WAIT).ok()
    }
}

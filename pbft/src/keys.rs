//! Keys: what one replica owns, and how an in-process cluster derives them.
//!
//! A replica shares a secret 32-byte key with each other replica and with each client (for MACs),
//! and owns an Ed25519 key pair (for the few messages that others must be able to pass on:
//! checkpoints, view changes, new views). [`ReplicaKeys`] holds one replica's share and nothing
//! else; a deployment creates it where keys are managed and gives each replica its own.
//!
//! In-process clusters, tests and simulations use [`KeySource::Shared`]: every key is derived from
//! one secret with BLAKE3's key derivation. Whoever knows the secret can speak for everyone, so it
//! protects only against what cannot read the process's memory.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use quorate_smr::{ClientId, ClusterId, RecoverError, ReplicaId, ReplicaSet};

use crate::group::Group;
use crate::memo::SignatureMemo;

/// A symmetric key.
pub type MacKey = [u8; 32];

/// Where a replica's keys come from.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// All keys of the cluster derived from one secret: for replicas that share an address space.
    Shared(ClusterSecret),
    /// This replica's own keys, and no one else's secrets.
    Own(Arc<ReplicaKeys>),
}

impl Default for KeySource {
    /// A secret that everyone knows: for in-process clusters and tests.
    fn default() -> Self {
        Self::Shared(ClusterSecret(*b"quorate in-process cluster only!"))
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shared(_) => f.write_str("Shared(..)"),
            Self::Own(keys) => write!(f, "Own({keys:?})"),
        }
    }
}

/// The secret from which all keys of an in-process cluster are derived. Not printed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClusterSecret(pub [u8; 32]);

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterSecret(..)")
    }
}

impl ClusterSecret {
    /// The key that two replicas share; the order of the two does not matter.
    #[must_use]
    pub fn pair_key(&self, cluster: ClusterId, one: ReplicaId, other: ReplicaId) -> MacKey {
        let pair = [one.0.min(other.0), one.0.max(other.0)];
        self.derive("quorate-pbft 2026-11 replica pair v1", cluster, &pair)
    }

    /// The key that `client` shares with `replica`.
    #[must_use]
    pub fn client_key(&self, cluster: ClusterId, client: ClientId, replica: ReplicaId) -> MacKey {
        let mut part = [0; 9];
        part[..8].copy_from_slice(&client.0.to_le_bytes());
        part[8] = replica.0;
        self.derive("quorate-pbft 2026-11 client v1", cluster, &part)
    }

    /// The seed of `replica`'s Ed25519 key pair.
    #[must_use]
    pub fn signing_seed(&self, cluster: ClusterId, replica: ReplicaId) -> [u8; 32] {
        self.derive("quorate-pbft 2026-11 signing v1", cluster, &[replica.0])
    }

    fn derive(&self, context: &str, cluster: ClusterId, part: &[u8]) -> [u8; 32] {
        let mut material = Vec::with_capacity(40 + part.len());
        material.extend_from_slice(&self.0);
        material.extend_from_slice(&cluster.0.to_le_bytes());
        material.extend_from_slice(part);
        blake3::derive_key(context, &material)
    }
}

/// One replica's keys. Secrets are not printed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ReplicaKeys {
    /// Whose they are.
    pub replica: ReplicaId,
    /// The seed of its Ed25519 key pair. Secret.
    pub signing_seed: [u8; 32],
    /// The Ed25519 public key of every member, this replica included.
    pub public: BTreeMap<ReplicaId, [u8; 32]>,
    /// The key shared with each other member. Secret.
    pub peers: BTreeMap<ReplicaId, MacKey>,
    /// The key shared with each client; the entry at index `i` is of the client with identity
    /// `i + 1`. Secret.
    pub clients: Vec<MacKey>,
}

impl fmt::Debug for ReplicaKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keys of {} ({} clients)", self.replica, self.clients.len())
    }
}

impl ReplicaKeys {
    /// `replica`'s share of the keys that follow from `secret`. Cost: about 0.2 µs for each client.
    #[must_use]
    pub fn derive(
        secret: &ClusterSecret,
        cluster: ClusterId,
        replica: ReplicaId,
        members: ReplicaSet,
        clients_max: u32,
    ) -> Self {
        let seed = |of| secret.signing_seed(cluster, of);
        let public = |of| SigningKey::from_bytes(&seed(of)).verifying_key().to_bytes();
        let peers = members.difference(ReplicaSet::only(replica));
        Self {
            replica,
            signing_seed: seed(replica),
            public: members.iter().map(|of| (of, public(of))).collect(),
            peers: peers.iter().map(|of| (of, secret.pair_key(cluster, replica, of))).collect(),
            clients: (1..=u64::from(clients_max))
                .map(|client| secret.client_key(cluster, ClientId(client), replica))
                .collect(),
        }
    }
}

impl KeySource {
    /// The keys of the replica that `group` is seen from.
    pub(crate) fn resolve(
        &self,
        group: &Group,
        clients_max: u32,
        memo: Option<&SignatureMemo>,
    ) -> Result<Arc<ReplicaKeys>, RecoverError> {
        match self {
            Self::Shared(secret) => {
                let (cluster, me, members) = (group.cluster, group.me, group.members());
                let derive = || ReplicaKeys::derive(secret, cluster, me, members, clients_max);
                let from = (secret.0, cluster, me, members, clients_max);
                Ok(memo.map_or_else(|| Arc::new(derive()), |memo| memo.derived(from, derive)))
            }
            Self::Own(keys) if keys.replica != group.me => Err(RecoverError::Config(format!(
                "the keys are of {}, this replica is {}",
                keys.replica, group.me
            ))),
            Self::Own(keys) => Ok(Arc::clone(keys)),
        }
    }

    /// The seed of this replica's key pair, without deriving the rest.
    pub(crate) fn signing_seed(&self, group: &Group) -> Result<[u8; 32], RecoverError> {
        match self {
            Self::Shared(secret) => Ok(secret.signing_seed(group.cluster, group.me)),
            Self::Own(_) => Ok(self.resolve(group, 0, None)?.signing_seed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: ClusterSecret = ClusterSecret([7; 32]);

    #[test]
    fn two_replicas_derive_the_same_pair_key_and_no_other() {
        let (cluster, a, b, c) = (ClusterId(1), ReplicaId(0), ReplicaId(1), ReplicaId(2));
        assert_eq!(SECRET.pair_key(cluster, a, b), SECRET.pair_key(cluster, b, a));
        assert_ne!(SECRET.pair_key(cluster, a, b), SECRET.pair_key(cluster, a, c));
        assert_ne!(SECRET.pair_key(cluster, a, b), SECRET.pair_key(ClusterId(2), a, b));
        let keys = ReplicaKeys::derive(&SECRET, cluster, a, ReplicaSet::first(4), 3);
        assert_eq!((keys.public.len(), keys.peers.len(), keys.clients.len()), (4, 3, 3));
    }

    #[test]
    fn secrets_are_not_printed() {
        let secret = ClusterSecret(*b"do not print this secret, please");
        let cluster = ClusterId(1);
        let keys = ReplicaKeys::derive(&secret, cluster, ReplicaId(0), ReplicaSet::first(4), 1);
        let printed = format!(
            "{secret:?} {:?} {keys:?} {:?}",
            KeySource::Shared(secret),
            KeySource::Own(Arc::new(keys.clone()))
        );
        assert!(!printed.contains("[") && !printed.contains("100"), "{printed}");
    }
}

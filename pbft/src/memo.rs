//! Signatures that are known to be right, shared by the replicas of one process.
//!
//! Ed25519 costs a simulator more than all the rest of a run: each checkpoint is signed by every
//! replica, verified by every other one, and verified again in each certificate that holds it.
//! Whether a signature is right does not depend on who asks, and signing is deterministic, so
//! replicas that share an address space may share what they found out. Nothing is believed that was
//! not signed or verified in full: a forged signature is looked for in vain and then verified.
//!
//! Keys that are derived from a shared secret are remembered too.
//!
//! A memo never answers "wrong". It holds at most [`MEMO_SIGNATURES_MAX`] signatures; when it is
//! full it forgets all of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ed25519_dalek::SigningKey;
use quorate_smr::{ClusterId, Digest, ReplicaId, ReplicaSet};

use crate::keys::ReplicaKeys;
use crate::sign::Signature;

/// Signatures that a memo holds: about 2 MiB.
pub const MEMO_SIGNATURES_MAX: usize = 1 << 14;
/// Key pairs that a memo holds, and replicas whose derived keys it holds.
const MEMO_KEYS_MAX: usize = 256;

/// Signatures known to be right. Clones share what they hold. For simulations and tests, where the
/// replicas of a cluster live in one process; between processes it would have nothing to share.
///
/// Two memos are equal whatever they hold: none changes what a replica does.
#[derive(Clone, Default)]
pub struct SignatureMemo(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// By digest and public key, the signature that the key's owner makes.
    signatures: BTreeMap<([u8; 32], [u8; 32]), Signature>,
    /// By seed.
    keys: BTreeMap<[u8; 32], SigningKey>,
    /// Keys derived from a shared secret.
    derived: BTreeMap<Derivation, Arc<ReplicaKeys>>,
}

/// All that the keys of a replica follow from: secret, cluster, replica, members, clients.
pub(crate) type Derivation = ([u8; 32], ClusterId, ReplicaId, ReplicaSet, u32);

impl SignatureMemo {
    /// An empty memo.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What the owner of `public` signs `digest` with, if that is known.
    pub(crate) fn signature(&self, public: &[u8; 32], digest: Digest) -> Option<Signature> {
        self.known().signatures.get(&(digest.0, *public)).copied()
    }

    /// Remembers a signature that was made or verified.
    pub(crate) fn remember(&self, public: &[u8; 32], digest: Digest, signature: Signature) {
        let mut known = self.known();
        if known.signatures.len() >= MEMO_SIGNATURES_MAX {
            known.signatures.clear();
        }
        known.signatures.insert((digest.0, *public), signature);
    }

    /// The key pair that follows from `seed`.
    pub(crate) fn key(&self, seed: &[u8; 32]) -> SigningKey {
        let mut known = self.known();
        if known.keys.len() >= MEMO_KEYS_MAX {
            known.keys.clear();
        }
        known.keys.entry(*seed).or_insert_with(|| SigningKey::from_bytes(seed)).clone()
    }

    /// The keys that `derive` derives.
    pub(crate) fn derived(
        &self,
        from: Derivation,
        derive: impl FnOnce() -> ReplicaKeys,
    ) -> Arc<ReplicaKeys> {
        let mut known = self.known();
        if known.derived.len() >= MEMO_KEYS_MAX {
            known.derived.clear();
        }
        Arc::clone(known.derived.entry(from).or_insert_with(|| Arc::new(derive())))
    }

    /// A panic elsewhere leaves only whole entries behind.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for SignatureMemo {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for SignatureMemo {}

impl fmt::Debug for SignatureMemo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignatureMemo({} signatures)", self.known().signatures.len())
    }
}

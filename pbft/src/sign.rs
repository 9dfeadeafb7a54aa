//! Ed25519 signatures for the few messages that must be transferable.
//!
//! What is signed is the BLAKE3 digest of a canonical encoding that starts with a domain and names
//! cluster and group; [`Canonical`] builds it field by field, with lengths in front of lists, so
//! that two different contents never have the same bytes.

use std::fmt;
use std::hash::{Hash, Hasher};

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use quorate_smr::{Digest, RecoverError, ReplicaId, Slot};
use serde::{Deserialize, Serialize};

use crate::group::{Group, View};
use crate::keys::ReplicaKeys;
use crate::memo::SignatureMemo;

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Signature {
    r: [u8; 32],
    s: [u8; 32],
}

impl Signature {
    /// The signature of these 64 bytes; whether it is one is decided when it is verified.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 64]) -> Self {
        let mut signature = Self::default();
        signature.r.copy_from_slice(&bytes[..32]);
        signature.s.copy_from_slice(&bytes[32..]);
        signature
    }

    /// The 64 bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&self.r);
        bytes[32..].copy_from_slice(&self.s);
        bytes
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sig({:02x}{:02x}..)", self.r[0], self.r[1])
    }
}

/// A replica's own signing key. Signing is deterministic; two of them are equal when their public
/// keys are.
#[derive(Clone)]
pub(crate) struct Signer {
    key: SigningKey,
    memo: Option<SignatureMemo>,
}

impl Signer {
    pub(crate) fn from_seed(seed: &[u8; 32], memo: Option<SignatureMemo>) -> Self {
        let key = match &memo {
            Some(memo) => memo.key(seed),
            None => SigningKey::from_bytes(seed),
        };
        Self { key, memo }
    }

    /// Cost: about 15 µs, unless the memo knows it.
    pub(crate) fn sign(&self, digest: Digest) -> Signature {
        let known = self.memo.as_ref().and_then(|memo| memo.signature(&self.public(), digest));
        known.unwrap_or_else(|| {
            let made = Signature::from_bytes(&self.key.sign(&digest.0).to_bytes());
            if let Some(memo) = &self.memo {
                memo.remember(&self.public(), digest, made);
            }
            made
        })
    }

    fn public(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }
}

impl PartialEq for Signer {
    fn eq(&self, other: &Self) -> bool {
        self.public() == other.public()
    }
}

impl Eq for Signer {}

impl Hash for Signer {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.public().hash(state);
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(..)")
    }
}

/// The members' public keys, by rank.
#[derive(Clone, Debug)]
pub(crate) struct PublicKeys {
    group: Group,
    keys: Vec<VerifyingKey>,
    memo: Option<SignatureMemo>,
}

impl PublicKeys {
    pub(crate) fn new(
        group: Group,
        keys: &ReplicaKeys,
        memo: Option<SignatureMemo>,
    ) -> Result<Self, RecoverError> {
        let missing = |member| RecoverError::Config(format!("no usable public key of {member}"));
        let key = |member| {
            let bytes = keys.public.get(&member).ok_or_else(|| missing(member))?;
            VerifyingKey::from_bytes(bytes).map_err(|_| missing(member))
        };
        let keys = group.members().iter().map(key).collect::<Result<_, _>>()?;
        Ok(Self { group, keys, memo })
    }

    pub(crate) const fn group(&self) -> &Group {
        &self.group
    }

    /// Whether `signer` signed `digest`. Strict: no malleable signatures, no weak keys. Cost: about
    /// 38 µs, unless the memo knows it.
    pub(crate) fn verifies(&self, signer: ReplicaId, digest: Digest, by: Signature) -> bool {
        let Some(key) = self.group.rank(signer).and_then(|rank| self.keys.get(rank)) else {
            return false;
        };
        let public = key.as_bytes();
        let known = self.memo.as_ref().and_then(|memo| memo.signature(public, digest));
        if known == Some(by) {
            return true;
        }
        let signature = ed25519_dalek::Signature::from_bytes(&by.to_bytes());
        let right = key.verify_strict(&digest.0, &signature).is_ok();
        if let Some(memo) = self.memo.as_ref().filter(|_| right) {
            memo.remember(public, digest, by);
        }
        right
    }
}

/// Builds the digest of a canonical encoding: short fields are gathered and hashed at once, which is
/// several times as fast as one by one.
pub(crate) struct Canonical(Vec<u8>);

/// Enough for most contents.
const CANONICAL_BYTES: usize = 256;

impl Canonical {
    /// `domain` must have a fixed length of 16 bytes and be unique to the kind of content.
    pub(crate) fn new(domain: &[u8; 16], group: &Group) -> Self {
        let mut canonical = Self(Vec::with_capacity(CANONICAL_BYTES));
        canonical.0.extend_from_slice(domain);
        canonical.number(group.cluster.0);
        canonical.number(u64::from(group.id.0));
        canonical
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn slot(&mut self, slot: Slot) {
        self.number(slot.0);
    }

    pub(crate) fn view(&mut self, view: View) {
        self.number(view.0);
    }

    pub(crate) fn replica(&mut self, replica: ReplicaId) {
        self.0.extend_from_slice(&[replica.0]);
    }

    pub(crate) fn digest(&mut self, digest: Digest) {
        self.0.extend_from_slice(&digest.0);
    }

    pub(crate) fn signature(&mut self, signature: Signature) {
        self.0.extend_from_slice(&signature.to_bytes());
    }

    pub(crate) fn finish(&self) -> Digest {
        Digest(*blake3::hash(&self.0).as_bytes())
    }
}

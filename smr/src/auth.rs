//! Proofs of origin, made and checked at the edge, outside the protocol's state.
//!
//! An [`Authenticator`] is stateless and cheap to clone, so that a host may run it on as many
//! threads as it likes. Crash-fault protocols trust their network and use [`Trusted`], which costs
//! nothing; PBFT brings its own.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use crate::batch::Command;
use crate::ids::{ClientId, ReplicaId, RequestSeq};
use crate::protocol::{To, Value};

/// Why something was refused at the edge. The host drops it and counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AuthError {
    /// The proof does not match what it should prove.
    #[error("the proof of origin does not match; the message was forged, corrupted or replayed")]
    Forged,
    /// No key is known for the sender.
    #[error("the sender is not known here")]
    UnknownSender,
    /// The content cannot be what an honest sender sends.
    #[error("the content is malformed")]
    Malformed,
}

/// A 16-byte keyed tag over a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Tag(pub [u8; 16]);

/// Makes and checks the proofs of one replica.
pub trait Authenticator<M>: Clone + Debug + Send + Sync + 'static {
    /// A message with its proof: what travels.
    type Sealed: Value;
    /// The client's side.
    type Client: ClientAuthenticator;

    /// Adds this replica's proof for the receivers in `to`.
    fn seal(&self, to: To, message: M) -> Self::Sealed;

    /// Checks the proof and everything in the message that can be checked without state.
    ///
    /// # Errors
    /// When the message must not reach the protocol.
    fn open(&self, from: ReplicaId, sealed: Self::Sealed) -> Result<M, AuthError>;

    /// Checks a client's command before it is batched.
    ///
    /// # Errors
    /// When the command is not from the client it names.
    fn admit(&self, command: &Command<'_>) -> Result<(), AuthError>;

    /// Tags a reply so that the client can tell which replica answered.
    fn tag_reply(&self, client: ClientId, reply: &[u8]) -> Tag;

    /// What a client of this cluster needs; `None` when `client` is unknown here.
    fn client(&self, client: ClientId) -> Option<Self::Client>;
}

/// Makes and checks the proofs of one client.
pub trait ClientAuthenticator: Clone + Debug + Send + Sync + 'static {
    /// Appends the proof of a request to `proof`.
    fn sign(&self, client: ClientId, seq: RequestSeq, payload: &[u8], proof: &mut Vec<u8>);

    /// Whether `tag` proves that `from` sent `reply`.
    fn accepts(&self, from: ReplicaId, client: ClientId, reply: &[u8], tag: Tag) -> bool;
}

/// No proofs: the network and the clients are trusted, as Raft and Paxos assume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Trusted;

impl<M: Value> Authenticator<M> for Trusted {
    type Sealed = M;
    type Client = Self;

    #[inline]
    fn seal(&self, _to: To, message: M) -> M {
        message
    }

    #[inline]
    fn open(&self, _from: ReplicaId, sealed: M) -> Result<M, AuthError> {
        Ok(sealed)
    }

    #[inline]
    fn admit(&self, _command: &Command<'_>) -> Result<(), AuthError> {
        Ok(())
    }

    #[inline]
    fn tag_reply(&self, _client: ClientId, _reply: &[u8]) -> Tag {
        Tag::default()
    }

    fn client(&self, _client: ClientId) -> Option<Self> {
        Some(Self)
    }
}

impl ClientAuthenticator for Trusted {
    #[inline]
    fn sign(&self, _: ClientId, _: RequestSeq, _payload: &[u8], _proof: &mut Vec<u8>) {}

    #[inline]
    fn accepts(&self, _from: ReplicaId, _: ClientId, _reply: &[u8], _tag: Tag) -> bool {
        true
    }
}

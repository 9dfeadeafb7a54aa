//! The edge: authenticators are made, checked, and everything that needs no state is verified.
//!
//! [`PbftAuth::open`] runs before [`Pbft::handle`](crate::Pbft), on any thread. Cheap checks come
//! first: shape, then the tag (one compression), then digests, then clients' tags, then signatures.

use std::sync::Arc;

use quorate_smr::{
    AuthError, Authenticator, Batch, ClientAuthenticator, ClientId, Command, Digest, RecoverError,
    ReplicaId, RequestSeq, Setup, Slot, Tag, To,
};

use crate::certificate::{
    NewView, SignedCheckpoint, SignedNewView, SignedViewChange, Verified, ViewChange,
    checkpoint_digest,
};
use crate::config::{Limits, PbftConfig};
use crate::group::Group;
use crate::keys::{ClusterSecret, KeySource, MacKey};
use crate::message::{CLAIMS_MAX, Message, Proposal, Wire};
use crate::new_view;
use crate::sealed::{Head, Sealed, Tags, same_tag, truncated};
use crate::sign::{PublicKeys, Signer};

/// Bytes of one client tag.
const CLIENT_TAG_BYTES: usize = 16;
/// Bytes tagged for each replica; of a payload that does not fit, the digest is tagged instead.
const CLIENT_INLINE_BYTES_MAX: usize = 256;
/// The domain of tags on requests, version 1.
const DOMAIN_REQUEST: u8 = 0xc1;
/// The domain of tags on replies, version 1.
const DOMAIN_REPLY: u8 = 0xc2;

/// Makes and checks the proofs of one replica. Cheap to clone; holds no state.
#[derive(Clone, Debug)]
pub struct PbftAuth {
    group: Group,
    limits: Limits,
    clients_max: u32,
    keys: Arc<KeyRing>,
}

struct KeyRing {
    signer: Signer,
    public: PublicKeys,
    /// By rank; the own entry is not used.
    peers: Vec<MacKey>,
    clients: Vec<MacKey>,
    secret: Option<ClusterSecret>,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyRing({} peers, {} clients)", self.peers.len(), self.clients.len())
    }
}

impl PbftAuth {
    pub(crate) fn new(setup: &Setup<PbftConfig>) -> Result<Self, RecoverError> {
        setup.config.validate()?;
        let group = Group::of(setup)?;
        let config = &setup.config;
        let keys = config.keys.resolve(&group, config.clients_max, config.memo.as_ref())?;
        if config.client_auth && keys.clients.len() < config.clients_max as usize {
            let found = keys.clients.len();
            return Err(RecoverError::Config(format!(
                "keys of {found} clients given, clients_max is {}",
                config.clients_max
            )));
        }
        let peer_key = |member: ReplicaId| match keys.peers.get(&member) {
            Some(key) => Ok(*key),
            None if member == group.me => Ok([0; 32]),
            None => Err(RecoverError::Config(format!("no key shared with {member}"))),
        };
        let ring = KeyRing {
            signer: Signer::from_seed(&keys.signing_seed, config.memo.clone()),
            public: PublicKeys::new(group, &keys, config.memo.clone())?,
            peers: group.members().iter().map(peer_key).collect::<Result<_, _>>()?,
            clients: keys.clients.clone(),
            secret: match config.keys {
                KeySource::Shared(secret) => Some(secret),
                KeySource::Own(_) => None,
            },
        };
        Ok(Self {
            group,
            limits: config.limits(),
            clients_max: config.clients_max,
            keys: Arc::new(ring),
        })
    }

    /// Seals any claim with this replica's own tags, whatever it says: what a faulty replica can
    /// do. For tests and for the simulator's Byzantine replicas.
    #[must_use]
    pub fn seal_wire(&self, to: To, wire: Wire) -> Sealed {
        let head = Head::of_wire(&wire, &self.group);
        Sealed { tags: self.tags(to, &head), wire }
    }

    /// Signs any statement about a checkpoint with this replica's key.
    #[must_use]
    pub fn sign_checkpoint(&self, slot: Slot, digest: Digest) -> SignedCheckpoint {
        let content = checkpoint_digest(&self.group, self.group.me, slot, digest);
        SignedCheckpoint { slot, digest, signature: self.keys.signer.sign(content) }
    }

    /// Signs any view change with this replica's key.
    #[must_use]
    pub fn sign_view_change(&self, content: ViewChange) -> SignedViewChange {
        let signature = self.keys.signer.sign(content.content_digest(&self.group));
        SignedViewChange { content, signature }
    }

    /// Signs any new view with this replica's key.
    #[must_use]
    pub fn sign_new_view(&self, content: NewView) -> SignedNewView {
        let signature = self.keys.signer.sign(content.content_digest(&self.group));
        SignedNewView { content, signature }
    }

    #[inline]
    fn tag_for(&self, head: &Head, to: ReplicaId) -> Tag {
        match self.group.rank(to).and_then(|rank| self.keys.peers.get(rank)) {
            Some(key) => head.tag(&self.group, self.group.me, to, key),
            None => Tag::default(),
        }
    }

    fn tags(&self, to: To, head: &Head) -> Tags {
        let replicas = self.group.replicas();
        let me = self.group.me;
        let tag = |member| if member == me { Tag::default() } else { self.tag_for(head, member) };
        match to {
            To::One(receiver) => Tags::One(self.tag_for(head, receiver)),
            _ if replicas == 4 => {
                let mut tags = [Tag::default(); 4];
                for (place, member) in tags.iter_mut().zip(self.group.members().iter()) {
                    *place = tag(member);
                }
                Tags::Four(tags)
            }
            _ => Tags::Many(self.group.members().iter().map(tag).collect()),
        }
    }

    fn check_tag(&self, from: ReplicaId, sealed: &Sealed) -> Result<(), AuthError> {
        let group = &self.group;
        if !group.is_peer(from) {
            return Err(AuthError::UnknownSender);
        }
        let rank = group.rank(from).ok_or(AuthError::UnknownSender)?;
        let own = group.rank(group.me).ok_or(AuthError::UnknownSender)?;
        let claimed = sealed.tags.for_rank(own, group.replicas()).ok_or(AuthError::Malformed)?;
        let head = Head::of_wire(&sealed.wire, group);
        let expected = head.tag(group, from, group.me, &self.keys.peers[rank]);
        if same_tag(claimed, expected) { Ok(()) } else { Err(AuthError::Forged) }
    }

    /// Opens a batch: its group and size, its digest, and (if asked) its clients' tags.
    fn open_batch(
        &self,
        claimed: Digest,
        batch: Batch,
        clients: bool,
    ) -> Result<Proposal, AuthError> {
        let header = batch.header();
        let largest = batch.len().max(header.raw_bytes as usize);
        if header.group != self.group.id || largest > self.limits.batch_bytes_max {
            return Err(AuthError::Malformed);
        }
        let mut scratch = Vec::new();
        let body = batch.body(&mut scratch).map_err(|_| AuthError::Malformed)?;
        let right = body.digest(header.group) == claimed;
        #[cfg(feature = "planted-defects")]
        let right = right || self.limits.has(crate::config::Defect::DigestNotCompared);
        if !right {
            return Err(AuthError::Forged);
        }
        #[cfg(feature = "planted-defects")]
        let clients = clients && !self.limits.has(crate::config::Defect::ClientProofUnchecked);
        let authentic = !clients || body.commands().all(|command| self.admit(&command).is_ok());
        Ok(Proposal::checked(claimed, batch, authentic))
    }

    fn open_wire(&self, from: ReplicaId, wire: Wire) -> Result<Message, AuthError> {
        let (public, interval) = (&self.keys.public, self.limits.checkpoint_interval);
        let holds = |holds: bool| if holds { Ok(()) } else { Err(AuthError::Forged) };
        Ok(match wire {
            Wire::Request { digest, batch } => {
                let proposal = self.open_batch(digest, batch, true)?;
                holds(proposal.is_authentic())?;
                Message::Request(proposal)
            }
            Wire::PrePrepare { view, slot, digest, batch } => {
                let proposal = self.open_batch(digest, batch, true)?;
                Message::PrePrepare { view, slot, proposal }
            }
            Wire::Prepare { view, slot, digest } => Message::Prepare { view, slot, digest },
            Wire::Commit { view, slot, digest } => Message::Commit { view, slot, digest },
            Wire::Checkpoint(checkpoint) => {
                holds(checkpoint.is_valid(from, public, interval))?;
                Message::Checkpoint(Verified::vouch(checkpoint))
            }
            Wire::Stable(certificate) => {
                holds(certificate.is_valid(public, interval))?;
                Message::Stable(Verified::vouch(certificate))
            }
            Wire::Snapshot(certificate) => {
                holds(certificate.is_valid(public, interval))?;
                Message::Snapshot(Verified::vouch(certificate))
            }
            Wire::ViewChange(change) => {
                holds(change.content.replica == from)?;
                new_view::check_change(&change, public, &self.limits, &mut Vec::new())?;
                Message::ViewChange(Verified::vouch(change))
            }
            Wire::NewView(claim) => {
                new_view::check_new_view(&claim, public, &self.limits)?;
                Message::NewView(Verified::vouch(claim))
            }
            Wire::Status(report) => Message::Status(report),
            Wire::Claims { first, digests } => {
                if digests.is_empty() || digests.len() > CLAIMS_MAX {
                    return Err(AuthError::Malformed);
                }
                Message::Claims { first, digests }
            }
            Wire::Fetch { slot, digest } => Message::Fetch { slot, digest },
            Wire::Body { slot, digest, batch } => {
                Message::Body { slot, proposal: self.open_batch(digest, batch, false)? }
            }
            Wire::FetchState { slot } => Message::FetchState { slot },
        })
    }

    fn client_key(&self, client: ClientId) -> Option<&MacKey> {
        let index = usize::try_from(client.0.checked_sub(1)?).ok()?;
        self.keys.clients.get(index)
    }
}

impl Authenticator<Message> for PbftAuth {
    type Sealed = Sealed;
    type Client = PbftClient;

    #[inline]
    fn seal(&self, to: To, message: Message) -> Sealed {
        let head = Head::of_message(&message, &self.group);
        Sealed { tags: self.tags(to, &head), wire: message.into_wire() }
    }

    #[inline]
    fn open(&self, from: ReplicaId, sealed: Sealed) -> Result<Message, AuthError> {
        self.check_tag(from, &sealed)?;
        self.open_wire(from, sealed.wire)
    }

    fn admit(&self, command: &Command<'_>) -> Result<(), AuthError> {
        if !self.limits.client_auth {
            return Ok(());
        }
        let key = self.client_key(command.client).ok_or(AuthError::UnknownSender)?;
        let rank = self.group.rank(self.group.me).ok_or(AuthError::UnknownSender)?;
        if command.auth.len() != self.group.replicas() * CLIENT_TAG_BYTES {
            return Err(AuthError::Malformed);
        }
        let own = &command.auth[rank * CLIENT_TAG_BYTES..][..CLIENT_TAG_BYTES];
        let claimed = own.try_into().map(Tag).map_err(|_| AuthError::Malformed)?;
        let content = ClientContent::new(DOMAIN_REQUEST, &self.group, command.client, command.seq);
        let expected = content.tag(key, self.group.me, &Payload::new(command.payload));
        if same_tag(claimed, expected) { Ok(()) } else { Err(AuthError::Forged) }
    }

    fn tag_reply(&self, client: ClientId, reply: &[u8]) -> Tag {
        match self.client_key(client) {
            Some(key) if self.limits.client_auth => {
                let content = ClientContent::new(DOMAIN_REPLY, &self.group, client, RequestSeq(0));
                content.tag(key, self.group.me, &Payload::new(reply))
            }
            _ => Tag::default(),
        }
    }

    /// Keys for `client`, derived from the cluster's secret: for in-process and test clusters. A
    /// replica that holds only its own keys ([`KeySource::Own`]) cannot speak for clients.
    fn client(&self, client: ClientId) -> Option<PbftClient> {
        let members = self.group.members();
        if !self.limits.client_auth {
            return Some(PbftClient { group: self.group, keys: Arc::new([]) });
        }
        if client.0 == 0 || client.0 > u64::from(self.clients_max) {
            return None;
        }
        let secret = self.keys.secret?;
        let key = |replica| secret.client_key(self.group.cluster, client, replica);
        Some(PbftClient { group: self.group, keys: members.iter().map(key).collect() })
    }
}

/// Makes and checks the proofs of one client: a tag for each replica on requests, one tag on each
/// reply.
#[derive(Clone)]
pub struct PbftClient {
    group: Group,
    /// By rank; empty where clients are not authenticated.
    keys: Arc<[MacKey]>,
}

impl std::fmt::Debug for PbftClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PbftClient({} keys)", self.keys.len())
    }
}

impl ClientAuthenticator for PbftClient {
    fn sign(&self, client: ClientId, seq: RequestSeq, payload: &[u8], proof: &mut Vec<u8>) {
        let content = ClientContent::new(DOMAIN_REQUEST, &self.group, client, seq);
        let payload = Payload::new(payload);
        for (replica, key) in self.group.members().iter().zip(self.keys.iter()) {
            proof.extend_from_slice(&content.tag(key, replica, &payload).0);
        }
    }

    fn accepts(&self, from: ReplicaId, client: ClientId, reply: &[u8], tag: Tag) -> bool {
        let Some(rank) = self.group.rank(from) else { return false };
        let Some(key) = self.keys.get(rank) else { return self.keys.is_empty() };
        let content = ClientContent::new(DOMAIN_REPLY, &self.group, client, RequestSeq(0));
        same_tag(tag, content.tag(key, from, &Payload::new(reply)))
    }
}

/// What client tags cover, except for the replica and the payload.
struct ClientContent([u8; 32]);

/// A payload as it is tagged: itself when short, its digest when long.
enum Payload<'a> {
    Inline(&'a [u8]),
    Digested(Digest),
}

impl<'a> Payload<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        if bytes.len() <= CLIENT_INLINE_BYTES_MAX - 32 {
            Self::Inline(bytes)
        } else {
            Self::Digested(Digest::of(bytes))
        }
    }
}

impl ClientContent {
    #[inline]
    fn new(domain: u8, group: &Group, client: ClientId, seq: RequestSeq) -> Self {
        let mut bytes = [0; 32];
        bytes[0] = domain;
        bytes[4..8].copy_from_slice(&group.id.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&group.cluster.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&client.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&seq.0.to_le_bytes());
        Self(bytes)
    }

    #[inline]
    fn tag(&self, key: &MacKey, replica: ReplicaId, payload: &Payload<'_>) -> Tag {
        let mut bytes = [0; CLIENT_INLINE_BYTES_MAX];
        bytes[..32].copy_from_slice(&self.0);
        bytes[2] = replica.0;
        let rest: &[u8] = match payload {
            Payload::Inline(payload) => payload,
            Payload::Digested(digest) => {
                bytes[1] = 1;
                &digest.0
            }
        };
        bytes[32..][..rest.len()].copy_from_slice(rest);
        truncated(key, &bytes[..32 + rest.len()])
    }
}

//! State machine replication: the contract that every protocol of this workspace implements, and
//! the parts that they share.
//!
//! This crate is pure: no thread, no I/O, no clock. A protocol takes an [`Input`] and asks for
//! [`Effect`]s; a host (the runtime, the simulator, the test pump) carries them out.
//!
//! ```
//! use quorate_smr::{BatchBuilder, ClientId, Command, Executor, GroupId, RequestSeq, Slot};
//! use quorate_smr::kv::{KvAnswer, KvCommand, KvStore};
//! use quorate_smr::session::{ReplyStatus, SessionLimits};
//!
//! // A client's command is copied into an open batch, which is then sealed.
//! let put = KvCommand::Put { key: b"answer", value: b"42" }.encode();
//! let command = Command { client: ClientId(1), seq: RequestSeq(1), payload: &put, auth: &[] };
//! let mut open = BatchBuilder::new(GroupId(0));
//! open.push(&command)?;
//! let batch = open.seal(None);
//!
//! // A protocol orders sealed batches; an executor applies each one once.
//! let mut executor = Executor::new(KvStore::default(), SessionLimits::default(), &[ClientId(1)]);
//! let mut answered = 0;
//! executor.apply(Slot(1), &batch, &mut |_, _, status, reply: &[u8]| {
//!     assert_eq!(status, ReplyStatus::Applied);
//!     assert_eq!(KvAnswer::decode(reply).unwrap(), KvAnswer::Written { existed: false });
//!     answered += 1;
//! })?;
//! assert_eq!(answered, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`protocol`] | the contract: [`Protocol`], [`Input`], [`Effects`] |
//! | [`batch`] | commands, open batches, sealed [`Batch`]es |
//! | [`quorum`] | replica sets, quorum rules, certificates of distinct voters |
//! | [`gate`] | durable before visible |
//! | [`auth`] | proofs of origin at the edge |
//! | [`session`], [`executor`] | exactly once, applied in order |
//! | [`machine`], [`kv`] | state machines |
//! | [`wire`] | versioned frames |
//! | [`journal`] | the bytes of durable steps |
//! | [`testing`] | a deterministic pump for tests and examples |

#![forbid(unsafe_code)]

pub mod auth;
pub mod batch;
#[cfg(feature = "planted-defects")]
mod defect;
mod digest;
pub mod executor;
pub mod gate;
mod ids;
pub mod journal;
pub mod kv;
pub mod machine;
pub mod protocol;
pub mod quorum;
pub mod session;
pub mod testing;
pub mod wire;

pub use auth::{AuthError, Authenticator, ClientAuthenticator, Tag, Trusted};
pub use batch::{Batch, BatchBuilder, BatchError, Command};
#[cfg(feature = "planted-defects")]
pub use defect::Defect;
pub use digest::Digest;
pub use executor::Executor;
pub use gate::Gate;
pub use ids::{ClientId, ClusterId, GroupId, Lsn, ReadId, ReplicaId, RequestSeq, Seed, Slot, Time};
pub use machine::StateMachine;
pub use protocol::{
    Admin, Effect, Effects, Input, JournalCursor, Protocol, Reads, Reason, RecoverError, Recovered,
    Refused, Release, Role, Setup, SnapshotMeta, Status, To,
};
pub use quorum::{Certificate, Quorum, QuorumRule, REPLICAS_MAX, ReplicaSet, Vote};

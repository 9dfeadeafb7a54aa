//! Practical Byzantine fault tolerance (Castro and Liskov, OSDI 1999 and TOCS 2002) as a pure state
//! machine: replicas that agree on an order of batches although up to `f` of `3f + 1` of them lie.
//!
//! # How it works, for an engineer who has not read the papers
//!
//! Time is divided into *views*; in each, one replica, the *primary*, assigns slots to batches. It
//! may lie, so nobody takes its word. A backup that accepts an assignment tells everyone
//! (PREPARE); who sees `2f + 1` replicas accept the same assignment knows that no other can be
//! accepted so in this view, and tells everyone (COMMIT); who sees `2f + 1` of those knows that
//! enough replicas will still know in later views, and executes. Two sets of `2f + 1` replicas
//! always share an honest one, which never says two things: that is the whole argument.
//!
//! A backup that waits too long for a request leaves the view and states, signed, what it prepared
//! and accepted. The next primary opens its view with `2f + 1` such statements and the batches that
//! follow from them; every replica checks all of it and computes the choice again before it believes
//! a word. Every so often replicas sign a digest of their state; `2f + 1` equal ones are a *stable
//! checkpoint*, below which everything is forgotten. Who missed too much fetches a snapshot that
//! such a certificate proves.
//!
//! # What this crate adds to the papers, and what it leaves out
//!
//! - Every message is opened by [`PbftAuth`] before the state machine sees it: one 16-byte keyed
//!   BLAKE3 tag for each receiver over 64 bytes (signing votes would cost 290 times as much), the
//!   batch's digest, every command's client tag, every signature and certificate. What must be
//!   verified is [`Verified`], a type that only verification makes. The state machine never hashes a
//!   batch that it received and never checks a signature; it only signs, rarely.
//! - Votes are counted by distinct replica, nowhere by message.
//! - Everything has a limit in [`PbftConfig`]; a slot holds one vote for each replica and phase.
//! - Reads are ordered like writes ([`Reads::Ordered`](quorate_smr::Reads)). There is no tentative
//!   execution, no read-only path, no change of members yet.
//! - A client whose tags are right for some replicas only costs each replica a view once; then it is
//!   blamed, and its requests are ordered when others vouch for them (`blame`).
//! - When batches exhaust the bytes of the log before the slot of the next checkpoint, the primary
//!   fills the gap with null requests; what is sent again comes at growing distances and in shrinking
//!   portions while it brings nothing.
//!
//! # Invariants
//!
//! | | what always holds | guarded by |
//! |---|---|---|
//! | S1 | no two honest replicas commit different batches in a slot | `tests/random.rs`, the simulator |
//! | S2 | what committed anywhere is chosen by every later view | `new_view`, `what_committed_is_chosen_from_any_quorum_whatever_f_liars_say` |
//! | S3 | a replica never says two things in one view and slot, over crashes too | `tests/crashes.rs` |
//! | S4 | nothing is prepared whose clients no honest replica believes | `a_request_that_the_primary_invented_is_prepared_by_nobody` |
//! | S5 | the low watermark moves only with a certificate of `2f + 1` | `tests/checkpoints.rs`, `tests/attacks.rs` |
//! | L1 | once messages arrive, what an honest replica was asked is executed | `tests/random.rs`, `tests/view_change.rs`, `sim/tests/liveness.rs` |
//! | B1 | memory is bounded whatever arrives | `a_flood_of_well_formed_messages_holds_a_bounded_number_of_bytes` |
//!
//! # Four replicas as plain values
//!
//! ```
//! use std::collections::VecDeque;
//! use quorate_pbft::{Pbft, PbftAuth, PbftConfig};
//! use quorate_smr::*;
//!
//! const EVERYONE: ReplicaSet = ReplicaSet::first(4);
//! let setup = |id| Setup::new(id, 4, Seed(1), PbftConfig::default());
//! let mut replicas: Vec<(Pbft, PbftAuth)> = EVERYONE
//!     .iter()
//!     .map(|id| {
//!         let auth = Pbft::authenticator(&setup(id)).unwrap();
//!         (Pbft::recover(setup(id), Recovered::default(), Time::ZERO).unwrap(), auth)
//!     })
//!     .collect();
//!
//! // A client signs a command for all replicas; it is sealed in a batch and given to the primary.
//! let (client, seq, payload) = (ClientId(1), RequestSeq(1), b"hello");
//! let mut proof = Vec::new();
//! replicas[0].1.client(client).unwrap().sign(client, seq, payload, &mut proof);
//! let mut open = BatchBuilder::new(GroupId(0));
//! open.push(&Command { client, seq, payload, auth: &proof })?;
//! let batch = open.seal(None);
//! let mut inputs = VecDeque::from([(ReplicaId(0), Input::Propose { batch })]);
//!
//! // The network and the disks are this loop: seal, send, open, handle; the disk answers at once.
//! let mut commits = Vec::new();
//! let mut written = [Lsn::ZERO; 4];
//! while let Some((at, input)) = inputs.pop_front() {
//!     let index = at.0 as usize;
//!     let mut effects = Effects::new();
//!     replicas[index].0.handle(Time::ZERO, input, &mut effects);
//!     for effect in effects.drain() {
//!         match effect {
//!             Effect::Send { to, message, .. } => {
//!                 let sealed = replicas[index].1.seal(to, message);
//!                 for receiver in to.receivers(at, EVERYONE).iter() {
//!                     let auth = &replicas[receiver.0 as usize].1;
//!                     let message = auth.open(at, sealed.clone())?;
//!                     inputs.push_back((receiver, Input::Message { from: at, message }));
//!                 }
//!             }
//!             Effect::Append { .. } => {
//!                 written[index] = written[index].next();
//!                 inputs.push_back((at, Input::Durable { upto: written[index] }));
//!             }
//!             Effect::Commit { slot, batch } => commits.push((at, slot, batch.count())),
//!             _ => {}
//!         }
//!     }
//! }
//! commits.sort();
//! let expected: Vec<_> = EVERYONE.iter().map(|id| (id, Slot(1), 1)).collect();
//! assert_eq!(commits, expected);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | `replica` | the state and its one door |
//! | `normal`, `requests`, `pending`, `window`, `tally` | ordering batches |
//! | `checkpoint` | watermarks and garbage collection |
//! | `view_change`, `new_view` | leaving a view; what the next starts with |
//! | `transfer`, `timer` | what is sent again, fetched, suspected |
//! | `blame` | clients that cost views |
//! | `record`, `recovery` | what a crash leaves |
//! | `auth`, `sealed`, `sign`, `memo`, `keys`, `certificate`, `message` | the edge |

#![forbid(unsafe_code)]

mod auth;
mod blame;
mod certificate;
mod checkpoint;
mod config;
mod group;
mod keys;
mod memo;
mod message;
mod new_view;
mod normal;
mod pending;
mod record;
mod recovery;
mod replica;
mod requests;
mod sealed;
mod sign;
mod tally;
mod timer;
mod transfer;
mod view_change;
mod window;

pub use auth::{PbftAuth, PbftClient};
pub use certificate::{
    CheckpointCertificate, NewView, Pair, SignedCheckpoint, SignedNewView, SignedViewChange,
    Verified, ViewChange,
};
#[cfg(feature = "planted-defects")]
pub use config::Defect;
pub use config::{PRE_PREPARED_PER_SLOT_MAX, PbftConfig, WINDOW_SLOTS_MAX};
pub use group::View;
pub use keys::{ClusterSecret, KeySource, MacKey, ReplicaKeys};
pub use memo::{MEMO_SIGNATURES_MAX, SignatureMemo};
pub use message::{CLAIMS_MAX, Message, Proposal, StatusReport, Wire};
pub use record::Record;
pub use replica::Pbft;
pub use sealed::{AUTHENTICATED_BYTES, Sealed, Tags};
pub use sign::Signature;

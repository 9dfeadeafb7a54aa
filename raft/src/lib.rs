//! Raft as a pure state machine.
//!
//! [`Raft`] implements [`quorate_smr::Protocol`]: one door in ([`handle`]), a list of effects out.
//! It does no I/O, reads no clock and starts no thread; whoever hosts it carries messages, writes
//! the journal and applies what is committed. Three replicas as plain values, with an instant disk:
//!
//! ```
//! use std::collections::VecDeque;
//! use quorate_raft::{Raft, RaftConfig};
//! use quorate_smr::testing::plain_batch;
//! use quorate_smr::{
//!     Effect, Effects, GroupId, Input, Lsn, Protocol, Recovered, ReplicaId, Seed, Setup, Time,
//! };
//!
//! let setup = |id| Setup::new(ReplicaId(id), 3, Seed(7), RaftConfig::default());
//! let mut replicas: Vec<Raft> = (0..3)
//!     .map(|id| Raft::recover(setup(id), Recovered::default(), Time::ZERO))
//!     .collect::<Result<_, _>>()?;
//! let (mut journals, mut committed) = (vec![Vec::new(); 3], vec![Vec::new(); 3]);
//! let mut effects = Effects::new();
//!
//! // Replica 0 reaches its election timeout; a client's batch arrives once it leads.
//! let now = replicas[0].deadline().expect("a follower waits for its leader");
//! let mut inputs = VecDeque::from([(0, Input::Tick)]);
//! let mut proposal = Some(plain_batch(GroupId(0), 1, &[b"hello"]));
//! while let Some((to, input)) = inputs.pop_front() {
//!     replicas[to].handle(now, input, &mut effects);
//!     for effect in effects.drain() {
//!         match effect {
//!             Effect::Append { record } => {
//!                 journals[to].push(record);
//!                 inputs.push_back((to, Input::Durable { upto: Lsn(journals[to].len() as u64) }));
//!             }
//!             // The journal is written when an effect is looked at: nothing needs to be held back.
//!             Effect::Send { to: receivers, message, .. } => {
//!                 let from = ReplicaId(to as u8);
//!                 for id in receivers.receivers(from, setup(0).members).iter() {
//!                     let message = message.clone();
//!                     inputs.push_back((id.0.into(), Input::Message { from, message }));
//!                 }
//!             }
//!             Effect::Commit { slot, batch } => committed[to].push((slot, batch)),
//!             _ => {}
//!         }
//!     }
//!     if replicas[to].status().leader == Some(ReplicaId(to as u8)) {
//!         inputs.extend(proposal.take().map(|batch| (to, Input::Propose { batch })));
//!     }
//! }
//! // Slot 1 is the new leader's no-op, slot 2 the proposal; all three agree.
//! assert_eq!(committed[0].len(), 2);
//! assert!(committed[0] == committed[1] && committed[1] == committed[2]);
//! # Ok::<(), quorate_smr::RecoverError>(())
//! ```
//!
//! # The algorithm in short
//!
//! Time is cut into *terms*, each with at most one leader. The leader orders batches in its log and
//! copies the log to the others; a slot is *committed* when a majority has it on disk and the term
//! is the leader's own. Anyone who wants to lead needs the votes of a majority, and a voter refuses
//! a log that is behind its own; two majorities share a replica, so every later leader has every
//! committed slot. All else is about doing that quickly and in the face of faults:
//!
//! | part | rule | source |
//! |---|---|---|
//! | elections | one vote per term, durable before it is sent; up-to-date check; random timeouts | §5.2, §5.4.1 |
//! | pre-vote | ask before disturbing: a replica that was cut off does not depose a leader | thesis §9.6 |
//! | check-quorum | a leader that hears no majority steps down; voters that hear it ignore rivals | thesis §6.2, §4.2.3 |
//! | replication | pipelined within a window; beside the leader's own disk; back-off by term | §5.3, thesis §10.2 |
//! | commit | by counting only in the current term; a no-op opens each term | §5.4.2, §8 |
//! | reads | read-index: a heartbeat round that started after the read arrived | thesis §6.4 |
//! | snapshots | the host takes them; the journal is replaced in one step; sent to stragglers | §7 |
//! | transfer | the target is brought up to date, then told to campaign | thesis §3.10 |
//!
//! "§" without a source is Ongaro and Ousterhout, *In Search of an Understandable Consensus
//! Algorithm (Extended Version)*, 2014; "thesis" is Ongaro, *Consensus: Bridging Theory and
//! Practice*, 2014. Not offered: changing the members of a group (refused as unsupported).
//!
//! # What waits for the disk
//!
//! Votes, requests for votes (they imply the candidate's own vote) and acknowledgements of entries
//! leave when everything before them is durable. A leader's entries, heartbeats and their answers
//! leave at once; the leader's own copy of an entry counts when the journal says that it is
//! durable. So a stalled disk neither deposes a leader nor keeps one in office.
//!
//! # Limits
//!
//! Every buffer has a bound in [`RaftConfig`]. What a peer sends is believed only as far as it
//! can be true: absurd terms, slots and rounds, strangers, and batches of other groups are ignored.
//!
//! [`handle`]: quorate_smr::Protocol::handle

#![forbid(unsafe_code)]

mod config;
mod defect;
mod election;
mod follower;
mod leader;
mod log;
mod message;
mod progress;
mod reads;
mod record;
mod recovery;
mod replica;
mod replication;
mod snapshot;
mod tally;
mod term;
mod transfer;

pub use config::{DURATION_MAX, ENTRY_OVERHEAD_BYTES, RaftConfig};
pub use defect::Defect;
pub use message::{Entries, Entry, Message, Position};
pub use record::Record;
pub use replica::Raft;
pub use snapshot::SNAPSHOT_SLOT_MAX;
pub use term::{TERM_JUMP_MAX, Term};

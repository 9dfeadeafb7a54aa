//! Multi-Paxos as a pure state machine.
//!
//! # The algorithm, for an engineer who has not read the papers
//!
//! A group of `2f + 1` replicas fills a log of numbered *slots*. Each slot must end up with one
//! batch, the same one everywhere, although up to `f` replicas crash and messages are lost, doubled
//! and delayed. Every replica plays three parts:
//!
//! - An **acceptor** is memory. It keeps one number, the highest *ballot* that it *promised*, and
//!   for each slot the batch that it last *accepted* and under which ballot. It refuses everything
//!   below its promise, and it answers only when its disk remembers.
//! - A **proposer** tries to lead. It picks a ballot above all that it has seen and asks the
//!   acceptors to promise it (*phase 1*). A promise reports what its sender has accepted. With the
//!   promises of a quorum the proposer leads, and asks the acceptors to accept batches under its
//!   ballot (*phase 2*). A slot is *decided* once a quorum has accepted it under one ballot.
//! - A **learner** finds out what is decided and hands it on in slot order.
//!
//! Why is a decided slot decided for ever? Any two quorums share an acceptor. So among the promises
//! that a later leader collects, one reports the decided batch, and the rule says that the leader
//! must propose, for each slot, the reported batch of the *highest* ballot; only where none is
//! reported may it propose what it likes. An earlier leader, meanwhile, can decide nothing more: the
//! acceptor in common has promised the higher ballot and refuses.
//!
//! Phase 1 does not name a slot, so a leader runs it once, for all slots that are still open, and
//! then only phase 2: one round trip for each batch, many batches at a time. Slots that turn out
//! empty below one that is not are filled with no-ops, because a log is applied in order.
//!
//! # What this implementation does beyond that
//!
//! - **Elections** are separate from the log (module `election`). A replica that misses its leader
//!   first asks whether a quorum misses it too; a leader that hears from no quorum steps down. A
//!   candidate that is far behind can win: it fetches what is decided before it leads. So the group
//!   goes on under partial connectivity, where Raft's rule "only the most complete log may win"
//!   can stop (`tests/traces/partial_connectivity.rs`).
//! - **Rounds are dealt out** among the replicas, so a round has one leader at most.
//! - **Acknowledgements are cumulative**, and the decided prefix travels with the next accept.
//! - **The leader's accepts leave beside its disk**; its own acceptance counts once durable.
//! - **Reads** are answered without ordering them, after one round that proves leadership.
//! - **Flexible quorums**: the sizes for the two phases may differ ([`FlexibleQuorums`]).
//! - **Snapshots** cut the log; a replica that fell behind it gets the snapshot.
//!
//! Not offered: a change of members (refused as unsupported), leases, reads at followers.
//!
//! # Three replicas as plain values
//!
//! ```
//! use quorate_paxos::{Paxos, PaxosConfig};
//! use quorate_smr::testing::plain_batch;
//! use quorate_smr::{Effect, Effects, GroupId, Input, Lsn, Protocol, Recovered, ReplicaId};
//! use quorate_smr::{ReplicaSet, Role, Seed, Setup, Slot, Time};
//! use std::collections::VecDeque;
//!
//! let setup = |id| Setup::new(ReplicaId(id), 3, Seed(1), PaxosConfig::default());
//! let start = |id| Paxos::recover(setup(id), Recovered::default(), Time::ZERO);
//! let mut replicas = vec![start(0)?, start(1)?, start(2)?];
//! let (mut durable, mut decided) = ([Lsn::ZERO; 3], vec![Vec::new(); 3]);
//!
//! // The first deadline passes, and that replica stands for election.
//! let first = (0..3).min_by_key(|id| replicas[*id].deadline()).unwrap();
//! let now = replicas[first].deadline().unwrap();
//! let mut inputs = VecDeque::from([(first, Input::Tick)]);
//! let mut proposal = Some(plain_batch(GroupId(0), 1, &[b"hello"]));
//! let mut effects = Effects::new();
//! while let Some((at, input)) = inputs.pop_front() {
//!     replicas[at].handle(now, input, &mut effects);
//!     for effect in effects.drain() {
//!         match effect {
//!             // These disks are durable at once; a real host holds messages back (`smr::gate`).
//!             Effect::Append { .. } => {
//!                 durable[at] = durable[at].next();
//!                 inputs.push_back((at, Input::Durable { upto: durable[at] }));
//!             }
//!             Effect::Send { to, message, .. } => {
//!                 let from = ReplicaId(at as u8);
//!                 for to in to.receivers(from, ReplicaSet::first(3)).iter() {
//!                     let message = message.clone();
//!                     inputs.push_back((to.0 as usize, Input::Message { from, message }));
//!                 }
//!             }
//!             Effect::RoleChanged { role: Role::Leader, .. } => {
//!                 let batch = proposal.take().expect("one leader");
//!                 inputs.push_back((at, Input::Propose { batch }));
//!             }
//!             Effect::Commit { slot, batch } => decided[at].push((slot, batch.count())),
//!             _ => {}
//!         }
//!     }
//! }
//! assert_eq!(decided, vec![vec![(Slot(1), 1)]; 3]);
//! # Ok::<(), quorate_smr::RecoverError>(())
//! ```
//!
//! # Reading order
//!
//! | module | what it holds | paper |
//! |---|---|---|
//! | `ballot` | the order of ballots | *Paxos Made Simple* §2.2 |
//! | `acceptor` | promises and acceptances | *Paxos Made Simple* §2.2 |
//! | `proposer` | phase 1, adoption, no-ops | *Paxos Made Simple* §2.2, §3 |
//! | `leader` | phase 2, windows, retransmission, handover | *Paxos Made Moderately Complex* (WINDOW) |
//! | `learner` | decisions, catching up | *Paxos Made Simple* §2.3 |
//! | `election` | who may stand | *Omni-Paxos* (the idea) |
//! | `reads` | linearizable reads | *Paxos Made Live* §5.2 (the problem) |
//! | `snapshot`, `recovery` | what is kept and how it comes back | *Paxos Made Live* §5.5 |
//!
//! Papers: L. Lamport, *The Part-Time Parliament* (1998) and *Paxos Made Simple* (2001); R. van
//! Renesse, D. Altinbuken, *Paxos Made Moderately Complex* (2015); H. Howard, D. Malkhi, A.
//! Spiegelman, *Flexible Paxos* (2016); T. Chandra, R. Griesemer, J. Redstone, *Paxos Made Live*
//! (2007); H. Ng, S. Haridi, P. Carbone, *Omni-Paxos* (2023).

#![forbid(unsafe_code)]

mod acceptor;
mod ballot;
mod config;
#[cfg(feature = "planted-defects")]
mod defect;
mod election;
mod leader;
mod learner;
mod log;
mod message;
mod proposer;
mod reads;
mod record;
mod recovery;
mod replica;
mod snapshot;

pub use ballot::{Ballot, ROUND_MAX};
pub use config::{FlexibleQuorums, PaxosConfig, WINDOW_SLOTS_MAX};
#[cfg(feature = "planted-defects")]
pub use defect::Defect;
pub use message::{Acceptance, Message, SLOT_MAX};
pub use record::Record;
pub use replica::Paxos;

//! Deterministic simulation with faults, invariants and a linearizability checker.
//!
//! One seed is one run, bit for bit: replicas of any [`Protocol`](quorate_smr::Protocol) that the
//! simulator can look into ([`Inspect`]), in virtual time, over a network, disks, processes and
//! clocks that fail, with clients that record what they saw. Invariants are checked after every
//! step; then everything is healed, and the cluster must serve its clients and converge.
//!
//! ```
//! use quorate_raft::Raft;
//! use quorate_sim::{Options, Plan, simulate};
//!
//! // Faults, load and configuration drawn from the seed.
//! let outcome = simulate(&Options::<Raft>::new(3), 42);
//! assert_eq!(outcome.violation, None);
//! assert_eq!(outcome.trace_hash, simulate(&Options::<Raft>::new(3), 42).trace_hash);
//!
//! // An experiment in virtual time: no faults, half a millisecond between any two machines.
//! let quiet = Options::<Raft> { plan: Some(Plan::quiet()), ..Options::new(3) };
//! let outcome = simulate(&quiet, 1);
//! println!("{} messages, {} ns each", outcome.messages, outcome.latencies_ns[0]);
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`plan`] | what one run is made of; the swarm |
//! | [`turbulence`], [`graphs`] | its rougher part; graphs of partial connectivity |
//! | [`invariants`] | what must always hold, one file each |
//! | [`inspect`] | what the simulator asks of a protocol, and the three protocols' answers |
//! | [`atlas`] | which replicas a run may lose for good |
//! | [`byzantine`], [`fault`] | how replicas lie; kinds of faults and their counts |
//! | [`door`] | what a replica refuses before its protocol sees it |
//! | [`explore`] | every state of small groups, within bounds |
//! | [`lincheck`] | the linearizability checker |
//! | [`metered`] | performance: hosts whose work takes time, without faults |
//! | [`scene`] | scripted runs: named scenarios, step by step |
//! | [`campaign`], [`registry`] | many seeds over all cores; protocols by name |

#![forbid(unsafe_code)]

pub mod atlas;
pub mod byzantine;
pub mod campaign;
pub mod chart;
mod client;
mod clock;
mod damage;
pub mod dice;
mod disk;
mod disk_faults;
pub mod door;
mod durability;
mod event;
pub mod explore;
pub mod fault;
mod fold;
pub mod graphs;
mod history;
mod host;
mod inbox;
pub mod inspect;
pub mod invariants;
mod lifecycle;
pub mod lincheck;
pub mod machine;
pub mod metered;
mod nemesis;
mod network;
mod node;
mod options;
mod outcome;
pub mod plan;
pub mod profile;
mod queue;
pub mod record;
pub mod registry;
pub mod regression;
pub mod scene;
mod service;
pub mod shrink;
mod snapshots;
mod storm;
mod surge;
pub mod trace;
mod traffic;
pub mod turbulence;
mod violation;
mod witness;
mod world;

pub use fault::{FaultCounts, FaultId, FaultKind};
pub use inspect::Inspect;
pub use options::{Adjust, Options, Tamper};
pub use outcome::{Outcome, simulate, simulate_told, simulate_traced};
pub use plan::Plan;
pub use scene::Scene;
pub use violation::Violation;

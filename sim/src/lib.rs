//! Deterministic simulation with faults, invariants and a linearizability checker.

#![forbid(unsafe_code)]

pub mod byzantine;
pub mod campaign;
mod client;
mod clock;
pub mod dice;
mod disk;
mod event;
pub mod fault;
mod fold;
mod history;
mod host;
pub mod inspect;
pub mod invariants;
mod lifecycle;
pub mod lincheck;
mod nemesis;
mod network;
mod node;
mod options;
mod outcome;
pub mod plan;
mod queue;
pub mod registry;
mod service;
mod snapshots;
mod traffic;
mod violation;
mod world;

pub use fault::{FaultCounts, FaultKind};
pub use inspect::Inspect;
pub use options::{Adjust, Options};
pub use outcome::{Outcome, simulate, simulate_traced};
pub use plan::Plan;
pub use violation::Violation;

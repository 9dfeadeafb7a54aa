//! Exhaustive exploration of small groups: every order of events, within bounds.
//!
//! The simulator samples long runs of large groups; the explorer visits *every* state that three or
//! four replicas can reach while each kind of event happens only so often ([`Bounds`]). It runs the
//! protocol crates themselves, behind the contract that every host uses, under `stateright`; the
//! invariants are those of the simulator where both can check them, and bear the same names.
//!
//! ```
//! use quorate_raft::Raft;
//! use quorate_sim::explore::{Exploration, Limits, explore};
//!
//! let bounds = "timeouts=1,epochs=1".parse().expect("bounds");
//! let election = Exploration::<Raft> { bounds, ..Exploration::new("one", "one election") };
//! let report = explore(&election, &Limits::default(), |_| ()).expect("it can be set up");
//! assert!(report.complete && report.violation.is_none());
//! assert!(report.unique > 10);
//! ```
//!
//! What bounds an exploration besides the counts: local clocks stand still between timers; clients
//! propose to leaders only; a violation ends the search. Prints have 64 bits: of a hundred million
//! states one pair would be confused with a probability of 0.03 %.

mod history;
mod paxos;
mod pbft;
mod protocol;
mod raft;
mod replica;
mod report;
mod table;
mod world;

pub use history::{LOGS_MATCH, READ_IS_FRESH, REFUSED_STAYS_OUT};
pub use protocol::{
    Bounds, BoundsError, Disk, EXPLORED_REPLICAS_MAX, Exploration, Explore, Milestone, Network,
    Prelude, Timer,
};
pub use report::{ExploreError, Limits, Progress, Report, Way, explore};
pub use world::{BROKEN_CONTRACT, PROPERTIES};

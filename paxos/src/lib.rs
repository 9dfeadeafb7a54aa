//! Multi-Paxos as a pure state machine.

#![forbid(unsafe_code)]

mod acceptor;
mod ballot;
mod config;
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
#[cfg(feature = "planted-defects")]
pub use config::Defect;
pub use config::{FlexibleQuorums, PaxosConfig, WINDOW_SLOTS_MAX};
pub use message::{Acceptance, Message, SLOT_MAX};
pub use record::Record;
pub use replica::Paxos;

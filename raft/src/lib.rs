//! Raft as a pure state machine.

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

pub use config::{DURATION_MAX, ENTRY_OVERHEAD_BYTES, RaftConfig};
pub use defect::Defect;
pub use message::{Entries, Entry, Message, Position};
pub use record::Record;
pub use replica::Raft;
pub use snapshot::SNAPSHOT_SLOT_MAX;
pub use term::{TERM_JUMP_MAX, Term};

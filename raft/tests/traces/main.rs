//! Scripted traces of Raft, by the situation that they play through, and random histories.
//!
//! "§" and "figure" refer to Ongaro and Ousterhout, *In Search of an Understandable Consensus
//! Algorithm (Extended Version)*, 2014; "thesis" to Ongaro, *Consensus: Bridging Theory and
//! Practice*, 2014.

mod bad_input;
mod cluster;
mod elections;
mod encoding;
#[cfg(feature = "planted-defects")]
mod planted_defects;
mod random_histories;
mod reads;
mod recovery;
mod replication;
mod snapshots;

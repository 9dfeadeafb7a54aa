//! Linearizability: does some order of the operations, each taking effect at one moment between its
//! call and its return, explain every answer? (Herlihy & Wing 1990.)
//!
//! [`check`] runs the search of Wing & Gong in Lowe's form (*Testing for linearizability*, 2017):
//! operations are taken one after another from those that may come next, and a pair of (operations
//! taken, state reached) that failed once is never tried again. Two facts cut the search further:
//!
//! - A completed operation that only reads (a get, a compare-and-swap that failed) and fits the
//!   present state can be taken at once: whatever order works with it later works with it now.
//! - An operation without a known outcome stays open for ever. It may take effect at any later
//!   moment, or never; the search ends when all *completed* operations are explained.
//!
//! Operations on different keys do not constrain one another (linearizability is local), so
//! [`check_kv`] checks key by key.

mod analysis;
mod by_key;
pub mod file;
mod kv;
mod model;
mod mutex;
mod register;
mod search;
mod values;

pub use analysis::{Analysis, STATES_MAX, Verdict, analyse, check};
pub use by_key::{KeyedOperation, KeyedVerdict, KvOperation, KvVerdict, check_by_key, check_kv};
pub use kv::{KvCall, KvModel, KvReturn};
pub use model::{Access, Model, Token};
pub use mutex::{MutexCall, MutexModel, MutexReturn};
pub use register::{RegisterCall, RegisterModel, RegisterReturn};
pub use search::{Limits, Operation};

//! Linearizability: does some order of the operations, each taking effect at one moment between its
//! call and its return, explain every answer? (Herlihy & Wing 1990.)
//!
//! [`check`] runs the search of Wing & Gong in Lowe's form (*Testing for linearizability*, 2017):
//! operations are taken one after another from those that may come next, and a pair of (operations
//! taken, state reached) that failed once is never tried again. What else cuts the search:
//!
//! - A completed operation that only reads (a get, a compare-and-swap that failed) and fits the
//!   present state can be taken at once: whatever order works with it later works with it now.
//! - An operation without a known outcome stays open for ever. It may take effect at any later
//!   moment, or never; the search ends when all *completed* operations are explained.
//! - Of operations with the same call and answer, the one that returns first goes first.
//! - For registers and locks, the search knows which values are still needed (`values.rs`).
//! - Operations on different keys do not constrain one another: [`check_by_key`].
//!
//! On a violation, [`analyse`] says where the history dies: at the first return by which no order
//! explains all the answers given so far.
//!
//! ```
//! use quorate_sim::lincheck::{
//!     Limits, Operation, RegisterCall, RegisterModel, RegisterReturn, Verdict, check,
//! };
//!
//! let write = |value, called_at, end| Operation {
//!     process: 0,
//!     call: RegisterCall::Write(Some(value)),
//!     called_at,
//!     returned: Some((end, RegisterReturn::Written)),
//! };
//! let read = |value, called_at, end| Operation {
//!     process: 1,
//!     call: RegisterCall::Read,
//!     called_at,
//!     returned: Some((end, RegisterReturn::Value(Some(value)))),
//! };
//! let verdict = |history: &[_]| check(&RegisterModel::default(), history, Limits::default());
//!
//! // While the second write runs, a read may see either value; afterwards only the new one.
//! assert_eq!(verdict(&[write(1, 0, 1), write(2, 2, 5), read(1, 3, 4)]), Verdict::Linearizable);
//! let stale = [write(1, 0, 1), write(2, 2, 5), read(1, 6, 7)];
//! assert_eq!(verdict(&stale), Verdict::Violation { operation: 2 });
//! ```
//!
//! Histories in files, and the page that draws one: [`mod@file`].

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

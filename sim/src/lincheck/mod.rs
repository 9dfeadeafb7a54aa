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

mod model;
mod search;

pub use model::{KvCall, KvModel, KvReturn, Model, RegisterCall, RegisterModel, RegisterReturn};
pub use search::{Limits, Operation, Verdict, check};

use std::collections::BTreeMap;

use model::SeenKvModel;

/// An operation on a key of a key-value store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvOperation {
    /// The key.
    pub key: Vec<u8>,
    /// The operation.
    pub operation: Operation<KvCall, KvReturn>,
}

/// The verdict on a history over several keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvVerdict {
    /// Every key's history is linearizable.
    Linearizable,
    /// One key's history is not.
    Violation {
        /// The key.
        key: Vec<u8>,
        /// The index, in the list that was given, of the operation that no order explains.
        operation: usize,
    },
    /// The search for a key exceeded its limit.
    GaveUp {
        /// The key.
        key: Vec<u8>,
    },
}

/// Checks a history over several keys, each on its own, from an empty store.
#[must_use]
pub fn check_kv(history: &[KvOperation], limits: Limits) -> KvVerdict {
    let mut keys: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
    for (index, entry) in history.iter().enumerate() {
        keys.entry(&entry.key).or_default().push(index);
    }
    let mut gave_up = None;
    for (key, indices) in keys {
        let operations: Vec<_> = indices.iter().map(|at| history[*at].operation.clone()).collect();
        match check(&SeenKvModel::new(&operations), &operations, limits) {
            Verdict::Linearizable => {}
            Verdict::Violation { operation } => {
                return KvVerdict::Violation { key: key.to_vec(), operation: indices[operation] };
            }
            Verdict::GaveUp => gave_up = Some(key.to_vec()),
        }
    }
    gave_up.map_or(KvVerdict::Linearizable, |key| KvVerdict::GaveUp { key })
}

#[cfg(test)]
mod tests;

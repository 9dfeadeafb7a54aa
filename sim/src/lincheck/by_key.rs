//! Several objects in one history. Linearizability is local (Herlihy & Wing 1990, §3.2): a history
//! is linearizable if, and only if, the part of each object is. So each key is checked on its own.

use std::collections::BTreeMap;

use super::analysis::{Verdict, analyse};
use super::kv::{KvCall, KvModel, KvReturn};
use super::model::Model;
use super::search::{Limits, Operation};

/// An operation on one of several objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedOperation<K, C, R> {
    /// Which object.
    pub key: K,
    /// The operation.
    pub operation: Operation<C, R>,
}

/// An operation on a key of a key-value store.
pub type KvOperation = KeyedOperation<Vec<u8>, KvCall, KvReturn>;

/// The verdict on a history over several keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyedVerdict<K> {
    /// Every key's history is linearizable.
    Linearizable,
    /// One key's history is not.
    Violation {
        /// The key.
        key: K,
        /// The index, in the list that was given, of the operation that no order explains.
        operation: usize,
    },
    /// The search for a key exceeded its limit, or was stopped; no other key is known to be broken.
    GaveUp {
        /// The key.
        key: K,
    },
}

/// The verdict on a history of a key-value store.
pub type KvVerdict = KeyedVerdict<Vec<u8>>;

/// Checks a history over several keys, each on its own, from an empty store.
#[must_use]
pub fn check_kv(history: &[KvOperation], limits: Limits) -> KvVerdict {
    check_by_key(&KvModel::default(), history, limits, &mut || true)
}

/// Checks a history over several objects of one model, each on its own, in the order of their keys
/// until one is found to be broken. `limits` are those of one key; `go_on` is as in [`analyse`].
pub fn check_by_key<M: Model, K: Ord + Clone>(
    model: &M,
    history: &[KeyedOperation<K, M::Call, M::Return>],
    limits: Limits,
    go_on: &mut dyn FnMut() -> bool,
) -> KeyedVerdict<K> {
    let mut gave_up = None;
    for (key, indices) in keys_of(history) {
        let operations: Vec<_> = indices.iter().map(|at| history[*at].operation.clone()).collect();
        match analyse(model, &operations, limits, go_on).verdict {
            Verdict::Linearizable => {}
            Verdict::Violation { operation } => {
                let operation = indices[operation];
                return KeyedVerdict::Violation { key: key.clone(), operation };
            }
            Verdict::GaveUp => gave_up = gave_up.or_else(|| Some(key.clone())),
        }
    }
    gave_up.map_or(KeyedVerdict::Linearizable, |key| KeyedVerdict::GaveUp { key })
}

fn keys_of<K: Ord, C, R>(history: &[KeyedOperation<K, C, R>]) -> BTreeMap<&K, Vec<usize>> {
    let mut keys: BTreeMap<&K, Vec<usize>> = BTreeMap::new();
    for (index, entry) in history.iter().enumerate() {
        keys.entry(&entry.key).or_default().push(index);
    }
    keys
}

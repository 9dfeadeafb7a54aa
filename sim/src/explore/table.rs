//! Values kept once, under a 64-bit print, so that a state of the whole group is a few numbers.
//!
//! A state of three replicas and thirty messages would cost kilobytes to copy and microseconds to
//! hash; there are millions of them, but only thousands of different *replicas* and *messages*
//! (SPIN calls it collapse compression). What always holds: equal values have equal prints in every
//! run and on every thread, and different values in one table have different prints (checked).

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash};
use std::sync::{Arc, PoisonError, RwLock};

use xxhash_rust::xxh3::Xxh3;

use crate::fold::Fold;

/// Locks over which a table is spread; a power of two.
const SHARDS: usize = 64;

type Shard<K, V> = RwLock<HashMap<K, V, BuildHasherDefault<Fold>>>;

/// A concurrent map that only grows.
#[derive(Debug)]
pub(crate) struct Memo<K, V> {
    shards: Vec<Shard<K, V>>,
}

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect() }
    }
}

impl<K: Hash + Eq, V: Clone> Memo<K, V> {
    /// The value of `key`, made when it is not known. Two threads may both make it.
    pub(crate) fn get_or_make(&self, key: K, make: impl FnOnce() -> V) -> V {
        if let Some(known) = self.get(&key) {
            return known;
        }
        let made = make();
        let mut shard = self.shard(&key).write().unwrap_or_else(PoisonError::into_inner);
        shard.entry(key).or_insert(made).clone()
    }

    /// The value of `key`, if it is known.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        self.shard(key).read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// How many are known.
    pub(crate) fn len(&self) -> usize {
        let count = |shard: &Shard<K, V>| shard.read().map_or(0, |known| known.len());
        self.shards.iter().map(count).sum()
    }

    fn shard(&self, key: &K) -> &Shard<K, V> {
        let hash = BuildHasherDefault::<Fold>::default().hash_one(key);
        &self.shards[(hash >> 40) as usize % SHARDS]
    }
}

/// Values by their prints.
#[derive(Debug)]
pub(crate) struct Table<T> {
    values: Memo<u64, Arc<T>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { values: Memo::default() }
    }
}

impl<T: Hash + Eq> Table<T> {
    /// Keeps `value`; its print, whose bits under `mask` are those of `mark`.
    ///
    /// # Panics
    /// If another value has the same print: then no exploration could be trusted.
    pub(crate) fn keep(&self, value: T, mask: u64, mark: u64) -> u64 {
        let mut hasher = Xxh3::new();
        value.hash(&mut hasher);
        let hash = hasher.digest();
        let print = (hash & !mask) | (mark & mask);
        let value = Arc::new(value);
        let kept = self.values.get_or_make(print, || Arc::clone(&value));
        assert!(*kept == *value, "two values with the print {print:016x}");
        print
    }

    /// The value with `print`.
    ///
    /// # Panics
    /// If nothing with that print was kept.
    pub(crate) fn get(&self, print: u64) -> Arc<T> {
        self.values.get(&print).expect("prints come from keeping a value")
    }

    /// How many values are kept.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_kept_once_and_carry_their_mark() {
        let table = Table::default();
        let print = table.keep("a", 0xff, 0x21);
        assert_eq!((print & 0xff, table.keep("a", 0xff, 0x21)), (0x21, print));
        assert_ne!(table.keep("b", 0xff, 0x21), print);
        assert_eq!((*table.get(print), table.len()), ("a", 2));
    }

    #[test]
    #[should_panic(expected = "two values with the print")]
    fn a_collision_is_noticed() {
        let table = Table::default();
        table.keep("a", u64::MAX, 7);
        table.keep("b", u64::MAX, 7);
    }
}

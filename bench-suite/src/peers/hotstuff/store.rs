//! The store of one replica of the `hotstuff_rs` group: a map in memory.

use std::collections::HashMap;
use std::sync::Arc;

use hotstuff_rs::block_tree::pluggables::{KVGet, KVStore, WriteBatch};
use parking_lot::{Mutex, MutexGuard};

type Map = HashMap<Vec<u8>, Vec<u8>>;

/// The map.
#[derive(Clone, Default)]
pub(super) struct Memory(Arc<Mutex<Map>>);

/// What is written together; `None` deletes.
pub(super) struct Writes(HashMap<Vec<u8>, Option<Vec<u8>>>);

/// The map while nobody writes.
pub(super) struct Frozen<'a>(MutexGuard<'a, Map>);

impl KVStore for Memory {
    type WriteBatch = Writes;
    type Snapshot<'a> = Frozen<'a>;

    fn write(&mut self, writes: Writes) {
        let mut map = self.0.lock();
        for (key, value) in writes.0 {
            match value {
                Some(value) => _ = map.insert(key, value),
                None => _ = map.remove(&key),
            }
        }
    }

    fn clear(&mut self) {
        self.0.lock().clear();
    }

    fn snapshot(&self) -> Frozen<'_> {
        Frozen(self.0.lock())
    }
}

impl KVGet for Memory {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.lock().get(key).cloned()
    }
}

impl KVGet for Frozen<'_> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key).cloned()
    }
}

impl WriteBatch for Writes {
    fn new() -> Self {
        Self(HashMap::new())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        self.0.insert(key.to_vec(), Some(value.to_vec()));
    }

    fn delete(&mut self, key: &[u8]) {
        self.0.insert(key.to_vec(), None);
    }
}

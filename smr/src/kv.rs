//! The reference state machine: an ordered key-value store.
//!
//! Operations: get, put, delete, compare-and-swap, append, scan. Commands and answers are encoded
//! with postcard, keys and values borrowed from the command on the way in.
//!
//! ```
//! use quorate_smr::kv::{KvAnswer, KvCommand, KvStore};
//! use quorate_smr::machine::StateMachine;
//!
//! let mut store = KvStore::default();
//! let mut reply = Vec::new();
//! store.apply(&KvCommand::Put { key: b"k", value: b"v" }.encode(), &mut reply);
//! reply.clear();
//! store.query(&KvCommand::Get { key: b"k" }.encode(), &mut reply);
//! assert_eq!(KvAnswer::decode(&reply).unwrap(), KvAnswer::Value(Some(b"v")));
//! ```

use std::collections::BTreeMap;
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use crate::machine::{RestoreError, StateMachine};

/// The largest key, in bytes.
pub const KEY_BYTES_MAX: usize = 4 << 10;
/// The largest value, in bytes; an append beyond it is refused.
pub const VALUE_BYTES_MAX: usize = 4 << 20;
/// The most entries that one scan returns.
pub const SCAN_ENTRIES_MAX: u32 = 1024;
/// The most bytes of keys and values that one scan returns; at least one entry comes back.
pub const SCAN_BYTES_MAX: usize = 1 << 20;

/// An operation on the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KvCommand<'a> {
    /// Read a key.
    Get {
        /// The key.
        #[serde(with = "serde_bytes")]
        key: &'a [u8],
    },
    /// Write a key.
    Put {
        /// The key.
        #[serde(with = "serde_bytes")]
        key: &'a [u8],
        /// Its new value.
        #[serde(with = "serde_bytes")]
        value: &'a [u8],
    },
    /// Remove a key.
    Delete {
        /// The key.
        #[serde(with = "serde_bytes")]
        key: &'a [u8],
    },
    /// Write a key if its value is as expected.
    CompareAndSwap {
        /// The key.
        #[serde(with = "serde_bytes")]
        key: &'a [u8],
        /// The value that it must have; `None`: it must be absent.
        #[serde(borrow, with = "serde_bytes")]
        expected: Option<&'a [u8]>,
        /// Its new value.
        #[serde(with = "serde_bytes")]
        value: &'a [u8],
    },
    /// Append to the value of a key; an absent key counts as empty.
    Append {
        /// The key.
        #[serde(with = "serde_bytes")]
        key: &'a [u8],
        /// What to append.
        #[serde(with = "serde_bytes")]
        suffix: &'a [u8],
    },
    /// List entries in key order.
    Scan {
        /// The first key.
        #[serde(with = "serde_bytes")]
        from: &'a [u8],
        /// How many entries, at most [`SCAN_ENTRIES_MAX`].
        entries_max: u32,
    },
}

/// The answer to a [`KvCommand`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KvAnswer<'a> {
    /// Get: the value. Delete: the value removed.
    Value(#[serde(borrow, with = "serde_bytes")] Option<&'a [u8]>),
    /// Put, Append: whether the key was there before.
    Written {
        /// Whether it was.
        existed: bool,
    },
    /// Compare-and-swap took place.
    Swapped,
    /// Compare-and-swap did not; this is the value that the key has.
    Mismatch(#[serde(borrow, with = "serde_bytes")] Option<&'a [u8]>),
    /// Scan: entries in key order.
    Entries(#[serde(borrow)] Vec<(&'a [u8], &'a [u8])>),
    /// The command could not be understood or exceeds a limit; nothing changed.
    Invalid(KvInvalid),
}

/// Why a command was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum KvInvalid {
    /// The bytes are not a command.
    #[error("the command does not decode")]
    Malformed,
    /// The key is longer than [`KEY_BYTES_MAX`].
    #[error("the key exceeds {KEY_BYTES_MAX} bytes")]
    KeyTooLong,
    /// The value would be longer than [`VALUE_BYTES_MAX`].
    #[error("the value would exceed {VALUE_BYTES_MAX} bytes")]
    ValueTooLong,
    /// A write came in as a query.
    #[error("a query cannot write; propose it as a command")]
    NotAQuery,
}

/// Bytes that are not an answer of this store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an answer of the key-value store: {0}")]
pub struct KvDecodeError(postcard::Error);

impl<'a> KvCommand<'a> {
    /// The command's bytes.
    ///
    /// # Panics
    /// Never in practice: encoding into memory does not fail.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.encode_into(&mut bytes);
        bytes
    }

    /// Appends the command's bytes to `bytes`, for callers that keep a buffer.
    ///
    /// # Panics
    /// Never in practice: encoding into memory does not fail.
    pub fn encode_into(&self, bytes: &mut Vec<u8>) {
        let taken = std::mem::take(bytes);
        *bytes = postcard::to_extend(self, taken).expect("encoding into memory does not fail");
    }

    /// The key that decides which shard serves the command.
    #[must_use]
    pub const fn key(&self) -> &'a [u8] {
        match self {
            Self::Get { key }
            | Self::Put { key, .. }
            | Self::Delete { key }
            | Self::CompareAndSwap { key, .. }
            | Self::Append { key, .. }
            | Self::Scan { from: key, .. } => key,
        }
    }

    /// Whether the command only reads.
    #[must_use]
    pub const fn is_read(&self) -> bool {
        matches!(self, Self::Get { .. } | Self::Scan { .. })
    }

    fn decode(bytes: &'a [u8]) -> Result<Self, KvInvalid> {
        let command: Self = postcard::from_bytes(bytes).map_err(|_| KvInvalid::Malformed)?;
        if command.key().len() > KEY_BYTES_MAX {
            return Err(KvInvalid::KeyTooLong);
        }
        match command {
            Self::Put { value, .. } | Self::CompareAndSwap { value, .. }
                if value.len() > VALUE_BYTES_MAX =>
            {
                Err(KvInvalid::ValueTooLong)
            }
            _ => Ok(command),
        }
    }
}

impl<'a> KvAnswer<'a> {
    /// Reads an answer.
    ///
    /// # Errors
    /// When the bytes are not an answer.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, KvDecodeError> {
        postcard::from_bytes(bytes).map_err(KvDecodeError)
    }

    fn encode_into(&self, reply: &mut Vec<u8>) {
        let taken = std::mem::take(reply);
        *reply = postcard::to_extend(self, taken).expect("encoding into memory does not fail");
    }
}

/// The store: keys and values in key order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KvStore {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl KvStore {
    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of `key`.
    #[must_use]
    pub fn value(&self, key: &[u8]) -> Option<&[u8]> {
        self.entries.get(key).map(Vec::as_slice)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> bool {
        if let Some(old) = self.entries.get_mut(key) {
            old.clear();
            old.extend_from_slice(value);
            return true;
        }
        self.entries.insert(key.to_vec(), value.to_vec());
        false
    }

    fn append(&mut self, key: &[u8], suffix: &[u8]) -> KvAnswer<'static> {
        let held = self.value(key).map_or(0, <[u8]>::len);
        if held + suffix.len() > VALUE_BYTES_MAX {
            return KvAnswer::Invalid(KvInvalid::ValueTooLong);
        }
        match self.entries.get_mut(key) {
            Some(value) => {
                value.extend_from_slice(suffix);
                KvAnswer::Written { existed: true }
            }
            None => KvAnswer::Written { existed: self.put(key, suffix) },
        }
    }

    fn scan(&self, from: &[u8], entries_max: u32) -> KvAnswer<'_> {
        let mut bytes = 0;
        let range = (Bound::Included(from), Bound::Unbounded);
        let entries = self
            .entries
            .range::<[u8], _>(range)
            .take(entries_max.min(SCAN_ENTRIES_MAX) as usize)
            .take_while(|(key, value)| {
                let first = bytes == 0;
                bytes += key.len() + value.len();
                first || bytes <= SCAN_BYTES_MAX
            })
            .map(|(key, value)| (key.as_slice(), value.as_slice()))
            .collect();
        KvAnswer::Entries(entries)
    }

    fn read(&self, command: &KvCommand<'_>, reply: &mut Vec<u8>) {
        match command {
            KvCommand::Get { key } => KvAnswer::Value(self.value(key)).encode_into(reply),
            KvCommand::Scan { from, entries_max } => {
                self.scan(from, *entries_max).encode_into(reply);
            }
            _ => KvAnswer::Invalid(KvInvalid::NotAQuery).encode_into(reply),
        }
    }

    fn write(&mut self, command: &KvCommand<'_>, reply: &mut Vec<u8>) {
        match *command {
            KvCommand::Put { key, value } => {
                KvAnswer::Written { existed: self.put(key, value) }.encode_into(reply);
            }
            KvCommand::Delete { key } => {
                let removed = self.entries.remove(key);
                KvAnswer::Value(removed.as_deref()).encode_into(reply);
            }
            KvCommand::CompareAndSwap { key, expected, value } => {
                if self.value(key) == expected {
                    self.put(key, value);
                    KvAnswer::Swapped.encode_into(reply);
                } else {
                    KvAnswer::Mismatch(self.value(key)).encode_into(reply);
                }
            }
            KvCommand::Append { key, suffix } => self.append(key, suffix).encode_into(reply),
            KvCommand::Get { .. } | KvCommand::Scan { .. } => self.read(command, reply),
        }
    }
}

impl StateMachine for KvStore {
    fn apply(&mut self, command: &[u8], reply: &mut Vec<u8>) {
        match KvCommand::decode(command) {
            Ok(command) => self.write(&command, reply),
            Err(invalid) => KvAnswer::Invalid(invalid).encode_into(reply),
        }
    }

    fn query(&self, query: &[u8], reply: &mut Vec<u8>) {
        match KvCommand::decode(query) {
            Ok(command) => self.read(&command, reply),
            Err(invalid) => KvAnswer::Invalid(invalid).encode_into(reply),
        }
    }

    fn snapshot(&self, image: &mut Vec<u8>) {
        let taken = std::mem::take(image);
        *image =
            postcard::to_extend(&self.entries, taken).expect("encoding into memory does not fail");
    }

    fn restore(&mut self, image: &[u8]) -> Result<(), RestoreError> {
        self.entries = postcard::from_bytes(image)
            .map_err(|error| RestoreError::Malformed(format!("key-value store: {error}")))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn apply(store: &mut KvStore, command: KvCommand<'_>) -> Vec<u8> {
        let mut reply = Vec::new();
        store.apply(&command.encode(), &mut reply);
        reply
    }

    #[test]
    fn compare_and_swap_swaps_only_on_the_expected_value() {
        let mut store = KvStore::default();
        let cas = |expected| KvCommand::CompareAndSwap { key: b"k", expected, value: b"new" };
        let reply = apply(&mut store, cas(Some(b"old")));
        assert_eq!(KvAnswer::decode(&reply).unwrap(), KvAnswer::Mismatch(None));
        let reply = apply(&mut store, cas(None));
        assert_eq!(KvAnswer::decode(&reply).unwrap(), KvAnswer::Swapped);
        let reply = apply(&mut store, cas(None));
        assert_eq!(KvAnswer::decode(&reply).unwrap(), KvAnswer::Mismatch(Some(b"new")));
    }

    #[test]
    fn append_delete_and_scan_do_what_they_say() {
        let mut store = KvStore::default();
        for (key, suffix) in [(b"b", b"1"), (b"a", b"2"), (b"b", b"3")] {
            apply(&mut store, KvCommand::Append { key, suffix });
        }
        let reply = apply(&mut store, KvCommand::Scan { from: b"", entries_max: 10 });
        let expected: Vec<(&[u8], &[u8])> = vec![(b"a", b"2"), (b"b", b"13")];
        assert_eq!(KvAnswer::decode(&reply).unwrap(), KvAnswer::Entries(expected));
        let reply = apply(&mut store, KvCommand::Delete { key: b"b" });
        assert_eq!(KvAnswer::decode(&reply).unwrap(), KvAnswer::Value(Some(b"13")));
        assert_eq!(store.len(), 1);
    }

    #[test]
    fn limits_are_answers_and_change_nothing() {
        let mut store = KvStore::default();
        let key = vec![b'k'; KEY_BYTES_MAX + 1];
        let reply = apply(&mut store, KvCommand::Put { key: &key, value: b"" });
        let too_long = KvAnswer::Invalid(KvInvalid::KeyTooLong);
        assert_eq!(KvAnswer::decode(&reply).unwrap(), too_long);
        let value = vec![0; VALUE_BYTES_MAX];
        apply(&mut store, KvCommand::Put { key: b"k", value: &value });
        let reply = apply(&mut store, KvCommand::Append { key: b"k", suffix: b"x" });
        let too_long = KvAnswer::Invalid(KvInvalid::ValueTooLong);
        assert_eq!(KvAnswer::decode(&reply).unwrap(), too_long);
        assert_eq!(store.value(b"k").map(<[u8]>::len), Some(VALUE_BYTES_MAX));
    }

    #[test]
    fn a_query_never_writes() {
        let store = KvStore::default();
        let mut reply = Vec::new();
        store.query(&KvCommand::Put { key: b"k", value: b"v" }.encode(), &mut reply);
        let refused = KvAnswer::Invalid(KvInvalid::NotAQuery);
        assert_eq!(KvAnswer::decode(&reply).unwrap(), refused);
    }

    proptest! {
        #[test]
        fn arbitrary_commands_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut reply = Vec::new();
            KvStore::default().apply(&bytes, &mut reply);
            prop_assert!(KvAnswer::decode(&reply).is_ok());
        }

        #[test]
        fn a_snapshot_restores_an_equal_store(
            entries in proptest::collection::btree_map(any::<Vec<u8>>(), any::<Vec<u8>>(), 0..20)
        ) {
            let store = KvStore { entries };
            let mut image = Vec::new();
            store.snapshot(&mut image);
            let mut other = KvStore::default();
            other.restore(&image).unwrap();
            prop_assert_eq!(store, other);
        }
    }
}

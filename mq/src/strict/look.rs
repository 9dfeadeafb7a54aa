//! Looking at a word that this thread only reads and another one reads before it changes it.
//!
//! What always holds: in a normal build it is a load.
//! Left to others: everything else.

use crate::sync::{AtomicU64, Ordering};

/// Loads a word.
#[inline(always)]
pub(super) fn look(word: &AtomicU64, ordering: Ordering) -> u64 {
    touch(word);
    word.load(ordering)
}

/// Loom orders two accesses both ways only if one of them is the last one that the other's thread
/// might conflict with: a load just before a compare-and-swap, by the same thread, hides another
/// thread's load from it. A change that changes nothing is not hidden.
#[cfg(loom)]
fn touch(word: &AtomicU64) {
    word.fetch_add(0, Ordering::Relaxed);
}

#[cfg(not(loom))]
#[inline(always)]
fn touch(_word: &AtomicU64) {}

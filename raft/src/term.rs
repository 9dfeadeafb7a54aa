//! Raft's logical clock (§5.1): consecutive numbers, each with at most one leader.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The largest step by which a peer may move this replica's term forward at once.
///
/// Terms grow by one per election; a peer that claims to be four billion elections ahead is faulty,
/// and believing it would bring the end of the number range within reach.
pub const TERM_JUMP_MAX: u64 = 1 << 32;

/// A term. `Term(0)` precedes all elections.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Term(pub u64);

impl Term {
    /// The term before the first election.
    pub const ZERO: Self = Self(0);

    /// The term after this one.
    ///
    /// # Panics
    /// If the term is `u64::MAX`, which [`TERM_JUMP_MAX`] keeps out of reach.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("terms do not overflow"))
    }
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "T{}", self.0)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

//! Identifiers as distinct types, so that a slot is never mistaken for a sequence number.
//!
//! There is no arithmetic *between* these types. Each is a fixed-width integer, because each is
//! stored or sent. Protocol-specific numbers (term, ballot, view) live with their protocol.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Declares one identifier: a transparent newtype that prints with a one-letter prefix.
macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident($int:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $int);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self, f)
            }
        }
    };
}

identifier!(
    /// Names one deployment; authenticated bytes carry it so that clusters cannot be confused.
    ClusterId(u64), "cluster-"
);
identifier!(
    /// Names one replicated group (shard) among those that share the same nodes.
    GroupId(u32), "g"
);
identifier!(
    /// The index of a replica in its group, below [`REPLICAS_MAX`](crate::REPLICAS_MAX).
    ReplicaId(u8), "r"
);
identifier!(
    /// Names a client session. `ClientId(0)` is [`ClientId::NONE`]: a session not yet opened.
    ClientId(u64), "c"
);
identifier!(
    /// A client's own number for a request; a retry carries the same number.
    RequestSeq(u64), "#"
);
identifier!(
    /// A position in the replicated log. Each slot decides one batch. Slot 0 precedes all batches.
    Slot(u64), "s"
);
identifier!(
    /// How many durable steps this incarnation of a replica has asked for (see [`crate::gate`]).
    Lsn(u64), "l"
);
identifier!(
    /// The host's number for a linearizable read (or a group of reads that waits as one).
    ReadId(u64), "q"
);
identifier!(
    /// Nanoseconds on the host's monotonic clock since an arbitrary origin.
    Time(u64), "t"
);

impl ClientId {
    /// The identity under which a client asks for a session.
    pub const NONE: Self = Self(0);
}

impl Slot {
    /// The position before the first batch.
    pub const ZERO: Self = Self(0);

    /// The slot after this one.
    ///
    /// # Panics
    /// If the slot is `u64::MAX`; at a billion slots a second that takes 584 years.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("slots do not overflow"))
    }

    /// The slot before this one, or `None` at [`Slot::ZERO`].
    #[must_use]
    pub const fn previous(self) -> Option<Self> {
        match self.0.checked_sub(1) {
            Some(slot) => Some(Self(slot)),
            None => None,
        }
    }
}

impl Lsn {
    /// Nothing was appended yet.
    pub const ZERO: Self = Self(0);

    /// The step after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Time {
    /// The clock's origin.
    pub const ZERO: Self = Self(0);

    /// This instant moved forward by `duration`, saturating at the end of time.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The time from `earlier` to this instant; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A seed handed to a replica at construction: its only source of randomness.
///
/// Draws are a pure function of the seed and of what they are drawn *for* (a term, an attempt), so
/// a replica holds no generator state and can be cloned, compared and hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seed(pub u64);

impl Seed {
    /// A uniformly spread 64-bit number for `purpose`.
    #[must_use]
    pub fn draw(self, purpose: &[u64]) -> u64 {
        let mut hasher = xxhash_rust::xxh3::Xxh3::with_seed(self.0);
        for word in purpose {
            hasher.update(&word.to_le_bytes());
        }
        hasher.digest()
    }

    /// A duration in `[base, base + spread)`, for randomised timeouts.
    #[must_use]
    pub fn jitter(self, purpose: &[u64], base: Duration, spread: Duration) -> Duration {
        let spread_ns = u64::try_from(spread.as_nanos()).unwrap_or(u64::MAX).max(1);
        base + Duration::from_nanos(self.draw(purpose) % spread_ns)
    }

    /// A seed for a part (a replica, a client), independent of the seeds of other parts.
    #[must_use]
    pub fn derive(self, part: u64) -> Self {
        Self(self.draw(&[part]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_print_with_their_prefix() {
        assert_eq!(format!("{:?} {} {}", Slot(7), ReplicaId(2), GroupId(3)), "s7 r2 g3");
    }

    #[test]
    fn jitter_stays_in_its_range_and_depends_on_purpose() {
        let seed = Seed(42);
        let base = Duration::from_millis(150);
        let draws: Vec<_> =
            (0..100).map(|term| seed.jitter(&[term], base, Duration::from_millis(150))).collect();
        assert!(draws.iter().all(|d| *d >= base && *d < 2 * base));
        assert!(draws.windows(2).any(|pair| pair[0] != pair[1]));
        assert_eq!(draws[3], seed.jitter(&[3], base, Duration::from_millis(150)));
    }

    #[test]
    fn time_saturates_instead_of_wrapping() {
        assert_eq!(Time(u64::MAX).after(Duration::from_secs(1)), Time(u64::MAX));
        assert_eq!(Time(1).since(Time(5)), Duration::ZERO);
    }
}

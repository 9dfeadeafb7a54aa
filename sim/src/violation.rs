//! What a run reports when something that must always hold did not.

use std::fmt;

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant's name, one of those in [`crate::invariants`].
    pub invariant: &'static str,
    /// What was seen.
    pub detail: String,
    /// Virtual time at which it was seen, in nanoseconds.
    pub at_ns: u64,
    /// The step of the run after which it was seen.
    pub step: u64,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.at_ns as f64 / 1e6;
        write!(f, "{} (at {ms:.3} ms, step {}): {}", self.invariant, self.step, self.detail)
    }
}

/// The result of a check; boxed, because it is almost always `Ok`.
pub(crate) type Check = Result<(), Box<Violation>>;

/// A violation whose time and step the world fills in.
pub(crate) fn broken(invariant: &'static str, detail: String) -> Box<Violation> {
    Box::new(Violation { invariant, detail, at_ns: 0, step: 0 })
}

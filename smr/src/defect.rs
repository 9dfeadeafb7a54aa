//! Deliberate mistakes in what clients rely on, to prove that a checker sees.
//!
//! The simulator plants one and must find it. Compiled only with the feature `planted-defects`: no
//! other build has a line of it.

/// A mistake that [`crate::executor::Executor::plant`] makes an executor make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Defect {
    /// A request that was applied before is applied again: breaks **at most once**.
    RetryAppliedTwice,
    /// A request of an expired session opens the session anew and is applied, perhaps for the
    /// second time: breaks **at most once**.
    ExpiredSessionRevived,
    /// A repeated request gets the answer to the newest request of its session instead of its own:
    /// breaks **the same answer**.
    AnswerOfAnother,
    /// A restored snapshot brings no sessions along, so that retries after it are not filtered:
    /// breaks **the agreement of states**.
    SessionsNotRestored,
}

impl Defect {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::RetryAppliedTwice,
        Self::ExpiredSessionRevived,
        Self::AnswerOfAnother,
        Self::SessionsNotRestored,
    ];
}

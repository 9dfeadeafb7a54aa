//! Why a scene stopped: a broken invariant, or something expected that did not come about.

use std::fmt;

use crate::violation::Violation;

/// A scene that did not go as its script says.
#[derive(Clone, Debug)]
pub struct SceneFailure {
    /// The broken invariant; `None` when an expectation of the script was not met.
    pub violation: Option<Violation>,
    /// What was seen, or expected.
    pub what: String,
    /// The last lines of the trace.
    pub trace: Vec<String>,
}

impl fmt::Display for SceneFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "{line}")?;
        }
        match &self.violation {
            Some(violation) => write!(f, "VIOLATION {violation}"),
            None => f.write_str(&self.what),
        }
    }
}

impl std::error::Error for SceneFailure {}

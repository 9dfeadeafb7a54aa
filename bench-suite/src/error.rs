//! What can go wrong in `compare`, in words for the person who called it.
//!
//! Every error ends the program with exit code 2 and leaves no half-written folder: a run is
//! written beside its place and moved there when it is complete.

use std::path::{Path, PathBuf};

/// Why `compare` stopped.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// An experiment that does not exist.
    #[error("there is no experiment {name:?}; there are: {known}")]
    UnknownExperiment {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A setting out of range.
    #[error("{setting} is {value}; it must be {allowed}")]
    Setting {
        /// Which setting.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A file or folder that cannot be read or written.
    #[error("cannot {act} {path}: {source}", path = path.display())]
    File {
        /// `read`, `write`, …
        act: &'static str,
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A run folder whose content is damaged or of another version.
    #[error("{path} is not a usable run file: {reason}; take it from version control again", path = path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No interrupted run can go on.
    #[error(
        "no interrupted run can go on here:\n  {reasons}\nstart afresh without --resume, or call it as that run was called, from the same commit on the same machine"
    )]
    Resume {
        /// Why, for each run found.
        reasons: String,
    },
    /// The report could not be rendered: a template or plot is broken.
    #[error("cannot render the report: {0}")]
    Render(String),
    /// A cluster or queue could not be set up, so nothing can be measured.
    #[error("cannot set up {what}: {reason}")]
    Setup {
        /// What was set up.
        what: String,
        /// Why it failed.
        reason: String,
    },
}

impl BenchError {
    /// A failed file operation.
    pub fn file(act: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::File { act, path: path.to_path_buf(), source }
    }

    /// A damaged run file.
    pub fn corrupt(path: &Path, reason: &impl ToString) -> Self {
        Self::Corrupt { path: path.to_path_buf(), reason: reason.to_string() }
    }

    /// A failed setup.
    pub fn setup(what: impl Into<String>, reason: &impl ToString) -> Self {
        Self::Setup { what: what.into(), reason: reason.to_string() }
    }
}

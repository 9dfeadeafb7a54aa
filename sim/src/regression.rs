//! Regression files: a reduced run that once broke an invariant, kept as JSON.
//!
//! | field | meaning |
//! |---|---|
//! | `format` | the version of this table, [`FORMAT`] |
//! | `about` | what the run showed, for readers; may be edited |
//! | `protocol`, `replicas`, `seed` | whose dice are thrown, for how many replicas |
//! | `plan` | network, disks, faults and load ([`Plan`]); what is missing is quiet |
//! | `kept` | the faults that take place, by kind, with their numbers in the order of the dice |
//! | `configuration` | the protocol's settings, which the seed draws: for readers, not read back |
//! | `invariant`, `detail`, `at_ms` | what was broken, and how and when it showed |
//! | `trace_hash` | of the run that broke it, hexadecimal |
//! | `commit` | the code that broke it |
//!
//! A file stays readable when plans get more fields. It replays the same schedule as long as the
//! dice are thrown in the same order; `trace_hash` tells whether they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::fault::{FaultId, FaultKind};
use crate::inspect::Inspect;
use crate::machine;
use crate::options::Options;
use crate::plan::Plan;
use crate::registry::{ProtocolName, REPLICAS_MAX};
use crate::shrink::Shrunk;

/// The version of the files.
pub const FORMAT: u32 = 1;
/// The largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// A run that once broke an invariant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Regression {
    /// [`FORMAT`].
    pub format: u32,
    /// What the run showed.
    #[serde(default)]
    pub about: String,
    /// The protocol.
    pub protocol: String,
    /// Replicas.
    pub replicas: usize,
    /// The seed.
    pub seed: u64,
    /// The invariant that was broken.
    pub invariant: String,
    /// What was seen.
    pub detail: String,
    /// When, in milliseconds of virtual time.
    pub at_ms: u64,
    /// The run's trace hash, hexadecimal.
    pub trace_hash: String,
    /// The commit that broke it.
    pub commit: String,
    /// The protocol's configuration, for readers.
    #[serde(default)]
    pub configuration: String,
    /// The faults that take place.
    pub kept: BTreeMap<String, BTreeSet<u64>>,
    /// The plan.
    pub plan: Plan,
}

/// Why a regression file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegressionError {
    /// The file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// It is too large to be one.
    #[error("{path} has more than {FILE_BYTES_MAX} bytes and is no regression file")]
    TooLarge {
        /// The file.
        path: String,
    },
    /// It is not what [`Regression`] describes.
    #[error("{path} is not a regression file: {error}")]
    Json {
        /// The file.
        path: String,
        /// What is wrong.
        error: serde_json::Error,
    },
    /// It is of another version, or names something that this program does not know.
    #[error("{path}: {what}")]
    Content {
        /// The file.
        path: String,
        /// What is wrong.
        what: String,
    },
}

impl Regression {
    /// Describes a reduced run.
    #[must_use]
    pub fn new<P: Inspect>(options: &Options<P>, shrunk: &Shrunk) -> Self {
        let (commit, changed) = machine::commit();
        let mut kept: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
        for id in &shrunk.kept {
            kept.entry(id.kind.name().to_owned()).or_default().insert(id.number);
        }
        let outcome = &shrunk.outcome;
        let violation = outcome.violation.as_ref();
        Self {
            format: FORMAT,
            about: String::new(),
            protocol: P::NAME.to_owned(),
            replicas: options.replicas,
            seed: outcome.seed,
            invariant: violation.map_or("", |it| it.invariant).to_owned(),
            detail: violation.map_or(String::new(), |it| it.detail.clone()),
            at_ms: violation.map_or(0, |it| it.at_ns / 1_000_000),
            trace_hash: format!("{:016x}", outcome.trace_hash),
            commit: if changed { format!("{commit}, changed") } else { commit },
            configuration: format!("{:?}", options.config_of(outcome.seed)),
            kept,
            plan: shrunk.plan.clone(),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, is not a regression file, is of another version, or names a protocol,
    /// a size of group or a kind of fault that there is not.
    pub fn read(path: &Path) -> Result<Self, RegressionError> {
        let shown = || path.display().to_string();
        let file = |error| RegressionError::File { path: shown(), error };
        if fs::metadata(path).map_err(file)?.len() > FILE_BYTES_MAX {
            return Err(RegressionError::TooLarge { path: shown() });
        }
        let text = fs::read_to_string(path).map_err(file)?;
        let regression: Self = serde_json::from_str(&text)
            .map_err(|error| RegressionError::Json { path: shown(), error })?;
        let checked = regression.check();
        checked.map_err(|what| RegressionError::Content { path: shown(), what })?;
        Ok(regression)
    }

    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!(
                "format {} is not {FORMAT}, the one this program reads",
                self.format
            ));
        }
        let protocol = self.protocol().map_err(|error| error.to_string())?;
        let least = protocol.replicas_min();
        if !(least..=REPLICAS_MAX).contains(&self.replicas) {
            return Err(format!(
                "{} replicas; {protocol} runs with {least} to {REPLICAS_MAX}",
                self.replicas
            ));
        }
        let unknown = self.kept.keys().find(|name| FaultKind::of_name(name).is_none());
        if let Some(name) = unknown {
            return Err(format!("there is no fault called \"{name}\""));
        }
        let load = &self.plan.load;
        if load.clients == 0 || load.keys == 0 {
            return Err("a run needs a client and a key".into());
        }
        Ok(())
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write(&self, path: &Path) -> Result<(), RegressionError> {
        let shown = || path.display().to_string();
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| RegressionError::Json { path: shown(), error })?;
        fs::write(path, text + "\n").map_err(|error| RegressionError::File { path: shown(), error })
    }

    /// The protocol.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn protocol(&self) -> Result<ProtocolName, crate::registry::UnknownProtocol> {
        self.protocol.parse()
    }

    /// The options that make the run.
    #[must_use]
    pub fn options<P: Inspect>(&self) -> Options<P> {
        let kept = self.kept.iter().filter_map(|(name, numbers)| {
            let kind = FaultKind::of_name(name)?;
            Some(numbers.iter().map(move |number| FaultId { kind, number: *number }))
        });
        Options {
            plan: Some(self.plan.clone()),
            kept: Some(kept.flatten().collect()),
            ..Options::new(self.replicas)
        }
    }
}

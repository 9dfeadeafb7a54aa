//! The record of a campaign that is kept: `summary.json` and the `README.md` that is made from it.
//!
//! What always holds: everything in the page comes from the JSON file; equal files give equal pages.
//! A folder is never overwritten.

mod page;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::campaign::{Campaign, Report, Summary, Until};
use crate::invariants;
use crate::machine::{self, Machine};
pub use page::page;

/// The version of `summary.json`.
pub const FORMAT: u32 = 1;
/// The name of the data file in a record's folder.
pub const SUMMARY_FILE: &str = "summary.json";
/// The name of the page in a record's folder.
pub const PAGE_FILE: &str = "README.md";
/// The largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Letters of the commit in a folder's name.
const COMMIT_LETTERS: usize = 7;

/// A campaign and its circumstances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`FORMAT`].
    pub format: u32,
    /// When it ended, UTC, as `2026-11-22 14:05`.
    pub date: String,
    /// The code.
    pub commit: String,
    /// Whether files differed from that commit.
    pub dirty: bool,
    /// The machine.
    pub machine: Machine,
    /// The compiler.
    pub toolchain: String,
    /// The command that made it.
    pub command: String,
    /// The first seed.
    pub first_seed: u64,
    /// Threads that made the runs.
    pub threads: usize,
    /// Real time, in seconds.
    pub wall_seconds: f64,
    /// Whether it was stopped by hand.
    pub stopped: bool,
    /// What was checked after every step or at the end of every run.
    pub invariants: Vec<String>,
    /// What came of it, for each protocol and size of group.
    pub groups: Vec<GroupRecord>,
    /// Defects that were planted to see whether the simulator finds them.
    #[serde(default)]
    pub defects: Vec<DefectRecord>,
}

/// What came of one protocol with one size of group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupRecord {
    /// The protocol.
    pub protocol: String,
    /// Replicas.
    pub replicas: usize,
    /// Runs.
    pub seeds: u64,
    /// Virtual time, in hours.
    pub simulated_hours: f64,
    /// Real time that the runs took, each on its core, in seconds.
    pub core_seconds: f64,
    /// Seconds of virtual time for each second of one core.
    pub simulated_seconds_per_core_second: f64,
    /// Inputs that replicas handled.
    pub steps: u64,
    /// Steps for each second of one core.
    pub steps_per_core_second: f64,
    /// Messages between replicas.
    pub messages: u64,
    /// Slots decided.
    pub slots: u64,
    /// Operations that clients called.
    pub operations: u64,
    /// Those whose outcome the client learned.
    pub completed: u64,
    /// Histories that the linearizability checker gave up on.
    pub histories_given_up: u64,
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
    /// Runs that broke an invariant.
    pub violated: u64,
    /// The first of them.
    pub violations: Vec<ViolationRecord>,
    /// The sum of all trace hashes, hexadecimal: the same on every machine.
    pub trace_hash: String,
}

/// A run that broke an invariant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViolationRecord {
    /// The seed.
    pub seed: u64,
    /// What was broken.
    pub invariant: String,
    /// How it showed.
    pub detail: String,
}

/// A planted defect and what it took to find it: a line of the file that the example
/// `planted-defects` writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefectRecord {
    /// The crate that it was planted in.
    pub protocol: String,
    /// Its name.
    pub defect: String,
    /// What caught it.
    pub invariant: String,
    /// Seeds that it took in several ranges; `null`: not found there.
    pub seeds: Vec<Option<u64>>,
    /// Replicas.
    pub replicas: usize,
}

/// Why a record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The system refuses.
    #[error("{path}: {error}")]
    File {
        /// The file or folder.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{path}{line}: {what}")]
    Content {
        /// The file.
        path: String,
        /// Where, or nothing.
        line: String,
        /// What is wrong.
        what: String,
    },
}

impl Record {
    /// The record of a campaign that just ended.
    #[must_use]
    pub fn new(
        campaign: &Campaign,
        report: &Report,
        command: String,
        defects: Vec<DefectRecord>,
    ) -> Self {
        let (commit, dirty) = machine::commit();
        let first_seed = match &campaign.until {
            Until::Seeds(seeds) => seeds.start,
            Until::Time { first, .. } => *first,
        };
        let group = |(group, summary): (&crate::campaign::Group, &Summary)| {
            GroupRecord::new(group.protocol.as_str(), group.replicas, summary)
        };
        Self {
            format: FORMAT,
            date: machine::now_utc(),
            commit,
            dirty,
            machine: machine::describe(),
            toolchain: machine::toolchain(),
            command,
            first_seed,
            threads: report.threads,
            wall_seconds: report.wall.as_secs_f64(),
            stopped: report.stopped,
            invariants: invariants::ALL.iter().map(|name| (*name).to_owned()).collect(),
            groups: report.groups.iter().map(group).collect(),
            defects,
        }
    }

    /// The name of the record's folder: date and commit.
    #[must_use]
    pub fn name(&self) -> String {
        let day = self.date.split(' ').next().unwrap_or("undated");
        let commit: String = self.commit.chars().take(COMMIT_LETTERS).collect();
        format!("{day}-{commit}")
    }

    /// Writes the folder of the record into `parent`; where it is. A second record of one day and
    /// commit gets a number.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write(&self, parent: &Path) -> Result<PathBuf, RecordError> {
        let refused = |path: &Path| {
            let path = path.display().to_string();
            |error| RecordError::File { path, error }
        };
        let mut folder = parent.join(self.name());
        let mut number = 2;
        while folder.exists() {
            folder = parent.join(format!("{}-{number}", self.name()));
            number += 1;
        }
        fs::create_dir_all(&folder).map_err(refused(&folder))?;
        let (summary, readme) = (folder.join(SUMMARY_FILE), folder.join(PAGE_FILE));
        let json = serde_json::to_string_pretty(self).map_err(|error| content(&summary, &error))?;
        fs::write(&summary, json + "\n").map_err(refused(&summary))?;
        fs::write(&readme, page(self)).map_err(refused(&readme))?;
        Ok(folder)
    }

    /// Reads the record in `folder`.
    ///
    /// # Errors
    /// When there is none, or it is of another version.
    pub fn read(folder: &Path) -> Result<Self, RecordError> {
        let path = folder.join(SUMMARY_FILE);
        let record: Self =
            serde_json::from_str(&read(&path)?).map_err(|error| content(&path, &error))?;
        match record.format {
            FORMAT => Ok(record),
            other => Err(content(&path, &format!("format {other} is not {FORMAT}"))),
        }
    }
}

impl GroupRecord {
    fn new(protocol: &str, replicas: usize, summary: &Summary) -> Self {
        let core_seconds = summary.busy_ns as f64 / 1e9;
        let per_second = |amount: f64| if core_seconds > 0.0 { amount / core_seconds } else { 0.0 };
        let simulated = summary.virtual_ns as f64 / 1e9;
        let faults = summary.faults.injected();
        let violations = summary.violations.iter().map(|(seed, violation)| ViolationRecord {
            seed: *seed,
            invariant: violation.invariant.to_owned(),
            detail: violation.detail.clone(),
        });
        Self {
            protocol: protocol.to_owned(),
            replicas,
            seeds: summary.seeds,
            simulated_hours: simulated / 3600.0,
            core_seconds,
            simulated_seconds_per_core_second: per_second(simulated),
            steps: summary.steps,
            steps_per_core_second: per_second(summary.steps as f64),
            messages: summary.messages,
            slots: summary.slots,
            operations: summary.operations,
            completed: summary.completed,
            histories_given_up: summary.checks_given_up,
            faults: faults.map(|(kind, count)| (kind.name().to_owned(), count)).collect(),
            violated: summary.violated,
            violations: violations.collect(),
            trace_hash: format!("{:016x}", summary.trace_hash),
        }
    }
}

/// Reads a file of defects, one JSON object in each line.
///
/// # Errors
/// When it cannot be read, or a line is not a [`DefectRecord`].
pub fn read_defects(path: &Path) -> Result<Vec<DefectRecord>, RecordError> {
    let text = read(path)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            serde_json::from_str(line).map_err(|error| RecordError::Content {
                path: path.display().to_string(),
                line: format!(", line {}", number + 1),
                what: error.to_string(),
            })
        })
        .collect()
}

fn read(path: &Path) -> Result<String, RecordError> {
    let refused = |error| RecordError::File { path: path.display().to_string(), error };
    if fs::metadata(path).map_err(refused)?.len() > FILE_BYTES_MAX {
        return Err(content(path, &format!("more than {FILE_BYTES_MAX} bytes")));
    }
    fs::read_to_string(path).map_err(refused)
}

fn content(path: &Path, what: &dyn std::fmt::Display) -> RecordError {
    let path = path.display().to_string();
    RecordError::Content { path, line: String::new(), what: what.to_string() }
}

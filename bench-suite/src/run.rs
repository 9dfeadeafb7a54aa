//! A run: what was measured, on what, and its raw samples; and its folder.
//!
//! ```text
//! runs/<date>-<commit>/run.json      the circumstances: commit, machine, toolchain, settings
//!                      samples.csv   one row for each repetition of each cell, nothing left out
//!                      rows.csv      derived: medians, intervals, ratios (see `rows`)
//!                      hist/*.hlog   latencies of every scheduled repetition (see `latency`)
//! ```
//!
//! What always holds: a folder appears complete or not at all; what is read back equals what was
//! written; damaged files are refused with the reason. Old runs are never changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

pub use quorate_sim::machine::Machine;
use serde::{Deserialize, Serialize};

use crate::error::BenchError;
use crate::latency::{self, Latencies};
use crate::metric::Metric;
use crate::rows;

/// The version of the folder's layout.
pub const RUN_FORMAT: u32 = 1;
/// The largest file of a run folder that is read, in bytes.
pub const RUN_FILE_BYTES_MAX: u64 = 64 << 20;

/// What was measured once: a place in the tables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cell {
    /// The experiment (`ablation`).
    pub experiment: String,
    /// The system (`raft`, `direct`).
    pub system: String,
    /// Its setting (`without-batching`).
    pub variant: String,
    /// The workload or size (`ycsb-a`).
    pub case: String,
}

impl Cell {
    /// A cell.
    #[must_use]
    pub fn new(experiment: &str, system: &str, variant: &str, case: &str) -> Self {
        let [experiment, system, variant, case] =
            [experiment, system, variant, case].map(str::to_owned);
        Self { experiment, system, variant, case }
    }
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}/{}", self.experiment, self.system, self.variant, self.case)
    }
}

/// Whether a repetition did what it claims to have done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Every check of the experiment passed.
    Verified,
    /// A check failed, or the repetition did not end: why.
    Failed(String),
}

impl Proof {
    const VERIFIED: &str = "verified";
    const FAILED: &str = "failed: ";

    /// Whether all checks passed.
    #[must_use]
    pub const fn is_verified(&self) -> bool {
        matches!(self, Self::Verified)
    }

    fn parse(text: &str) -> Option<Self> {
        if text == Self::VERIFIED {
            return Some(Self::Verified);
        }
        text.strip_prefix(Self::FAILED).map(|reason| Self::Failed(reason.to_owned()))
    }
}

impl std::fmt::Display for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Verified => f.write_str(Self::VERIFIED),
            Self::Failed(reason) => write!(f, "{}{reason}", Self::FAILED),
        }
    }
}

/// One repetition of a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What was measured.
    pub cell: Cell,
    /// Which repetition, from 1. Equal numbers of different cells ran close to one another.
    pub repetition: u32,
    /// The share of all CPU time that other processes took meanwhile, 0 to 1.
    pub foreign_cpu: f64,
    /// How often the repetition was thrown away and repeated because of other processes.
    pub repeats: u32,
    /// Whether it holds.
    pub proof: Proof,
    /// The figures.
    pub values: BTreeMap<Metric, f64>,
    /// The latencies behind them, where requests followed a schedule.
    pub latencies: Option<Latencies>,
}

/// An experiment that was part of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Its name.
    pub name: String,
    /// Repetitions of each cell.
    pub repetitions: u32,
    /// Measured time of each repetition, in milliseconds.
    pub measured_ms: u64,
    /// Settings that a reader needs, in words.
    pub settings: BTreeMap<String, String>,
}

/// The circumstances of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`RUN_FORMAT`].
    pub format: u32,
    /// The folder's name.
    pub id: String,
    /// When it started, UTC.
    pub started: String,
    /// How long it took, in seconds, without the time between an interruption and going on.
    pub seconds: u64,
    /// When it went on after an interruption, UTC.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resumed: Vec<String>,
    /// The commit measured, or `unknown`.
    pub commit: String,
    /// Whether files outside `results/` differed from the commit.
    pub dirty: bool,
    /// The command line after `cargo compare`.
    pub arguments: Vec<String>,
    /// Whether it was a short run (`--quick`).
    pub quick: bool,
    /// The machine.
    pub machine: Machine,
    /// The compiler.
    pub toolchain: String,
    /// Versions of other queues and consensus libraries measured, by name.
    pub peers: BTreeMap<String, String>,
    /// The share of CPU time of other processes above which a repetition is repeated.
    pub foreign_cpu_max_percent: u32,
    /// What the workloads' random choices start from.
    pub workload_seed: u64,
    /// The experiments, in order.
    pub experiments: Vec<Done>,
}

/// A run in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its circumstances.
    pub manifest: Manifest,
    /// Every repetition.
    pub samples: Vec<Sample>,
}

impl Run {
    /// Reads a run folder.
    ///
    /// # Errors
    /// When a file is missing, too large, of another version or damaged; says which and why.
    pub fn read(folder: &Path) -> Result<Self, BenchError> {
        let path = folder.join("run.json");
        let manifest: Manifest = serde_json::from_str(&read_bounded(&path)?)
            .map_err(|error| BenchError::corrupt(&path, &error))?;
        if manifest.format != RUN_FORMAT {
            let reason = format!("format {}, this build reads {RUN_FORMAT}", manifest.format);
            return Err(BenchError::corrupt(&path, &reason));
        }
        let path = folder.join("samples.csv");
        let mut samples = parse_samples(&read_bounded(&path)?)
            .map_err(|reason| BenchError::corrupt(&path, &reason))?;
        latency::read_into(folder, &mut samples)?;
        Ok(Self { manifest, samples })
    }

    /// The folder's files: name and content.
    ///
    /// # Panics
    /// Never in practice: encoding plain values into memory does not fail.
    #[must_use]
    pub fn files(&self) -> Vec<(&'static str, String)> {
        let json = serde_json::to_string_pretty(&self.manifest)
            .expect("a manifest has only string keys and finite numbers");
        let raw = [("run.json", json + "\n"), ("samples.csv", write_samples(&self.samples))];
        raw.into_iter().chain(self.derived()).collect()
    }

    /// Those files that follow from the samples.
    #[must_use]
    pub fn derived(&self) -> Vec<(&'static str, String)> {
        vec![("rows.csv", rows::to_csv(&rows::derive(&self.samples)))]
    }

    /// Writes the folder `runs/<id>` below `results`; it appears complete or not at all.
    ///
    /// # Errors
    /// When the folder exists already or cannot be written.
    pub fn write(&self, results: &Path) -> Result<(), BenchError> {
        let runs = results.join("runs");
        let (target, partial) =
            (runs.join(&self.manifest.id), runs.join(format!(".{}.partial", self.manifest.id)));
        if target.exists() {
            let source = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
            return Err(BenchError::file("write", &target, source));
        }
        if partial.exists() {
            fs::remove_dir_all(&partial)
                .map_err(|error| BenchError::file("remove", &partial, error))?;
        }
        fs::create_dir_all(&partial)
            .map_err(|error| BenchError::file("create", &partial, error))?;
        for (name, content) in self.files() {
            let path = partial.join(name);
            fs::write(&path, content).map_err(|error| BenchError::file("write", &path, error))?;
        }
        latency::write(&partial, &self.samples)?;
        fs::rename(&partial, &target).map_err(|error| BenchError::file("write", &target, error))
    }
}

/// Reads a text file of at most [`RUN_FILE_BYTES_MAX`] bytes.
pub(crate) fn read_bounded(path: &Path) -> Result<String, BenchError> {
    let bytes = fs::metadata(path).map_err(|error| BenchError::file("read", path, error))?.len();
    if bytes > RUN_FILE_BYTES_MAX {
        let reason = format!("{bytes} bytes, above the limit {RUN_FILE_BYTES_MAX}");
        return Err(BenchError::corrupt(path, &reason));
    }
    fs::read_to_string(path).map_err(|error| BenchError::file("read", path, error))
}

const KEYS: [&str; 8] =
    ["experiment", "system", "variant", "case", "repetition", "foreign_cpu", "repeats", "proof"];

/// The samples as a file with its header.
pub(crate) fn write_samples(samples: &[Sample]) -> String {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let header = KEYS.into_iter().chain(Metric::ALL.map(Metric::name));
    csv.write_record(header).expect("writing into memory does not fail");
    write_records(csv, samples)
}

/// One sample as that file's next line, with its end.
pub(crate) fn sample_line(sample: &Sample) -> String {
    write_records(csv::Writer::from_writer(Vec::new()), std::slice::from_ref(sample))
}

fn write_records(mut csv: csv::Writer<Vec<u8>>, samples: &[Sample]) -> String {
    for sample in samples {
        let Sample { cell, repetition, foreign_cpu, repeats, proof, values, latencies: _ } = sample;
        let mut record = vec![
            cell.experiment.clone(),
            cell.system.clone(),
            cell.variant.clone(),
            cell.case.clone(),
            repetition.to_string(),
            foreign_cpu.to_string(),
            repeats.to_string(),
            proof.to_string(),
        ];
        let value = |metric| values.get(&metric).map(f64::to_string).unwrap_or_default();
        record.extend(Metric::ALL.map(value));
        csv.write_record(record).expect("writing into memory does not fail");
    }
    let bytes = csv.into_inner().expect("writing into memory does not fail");
    String::from_utf8(bytes).expect("only strings were written")
}

/// Reads that file.
pub(crate) fn parse_samples(text: &str) -> Result<Vec<Sample>, String> {
    let mut csv = csv::Reader::from_reader(text.as_bytes());
    let header = csv.headers().map_err(|error| error.to_string())?;
    let columns = columns(header).ok_or("the columns are not those of this program")?;
    let parse = |record: Result<csv::StringRecord, csv::Error>| {
        let record = record.map_err(|error| error.to_string())?;
        let line = record.position().map_or(0, csv::Position::line);
        parse_sample(&record, &columns).ok_or_else(|| format!("line {line} does not parse"))
    };
    csv.records().map(parse).collect()
}

/// The metrics of the columns behind the keys. An older run has fewer of them.
fn columns(header: &csv::StringRecord) -> Option<Vec<Metric>> {
    let keys = header.iter().take(KEYS.len()).eq(KEYS);
    let metrics: Option<Vec<Metric>> =
        header.iter().skip(KEYS.len()).map(Metric::from_name).collect();
    // In the order of this program, and so each at most once.
    metrics.filter(|metrics| keys && metrics.is_sorted_by(|left, right| left < right))
}

fn parse_sample(record: &csv::StringRecord, columns: &[Metric]) -> Option<Sample> {
    let mut values = BTreeMap::new();
    for (offset, metric) in columns.iter().enumerate() {
        let field = record.get(KEYS.len() + offset)?;
        if !field.is_empty() {
            values.insert(*metric, finite(field)?);
        }
    }
    Some(Sample {
        cell: Cell::new(record.get(0)?, record.get(1)?, record.get(2)?, record.get(3)?),
        repetition: record.get(4)?.parse().ok()?,
        foreign_cpu: finite(record.get(5)?)?,
        repeats: record.get(6)?.parse().ok()?,
        proof: Proof::parse(record.get(7)?)?,
        values,
        latencies: None,
    })
}

fn finite(field: &str) -> Option<f64> {
    field.parse().ok().filter(|value: &f64| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_run_reads_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let run = testing::run();
        run.write(folder.path()).unwrap();
        let written = folder.path().join("runs").join(&run.manifest.id);
        assert_eq!(Run::read(&written).unwrap(), run);
        let names: Vec<_> = fs::read_dir(folder.path().join("runs")).unwrap().collect();
        assert_eq!(names.len(), 1, "nothing half-written stays behind");
    }

    #[test]
    fn an_existing_run_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let run = testing::run();
        run.write(folder.path()).unwrap();
        assert!(matches!(run.write(folder.path()), Err(BenchError::File { .. })));
    }

    #[test]
    fn damaged_files_are_refused_with_their_name() {
        let run = testing::run();
        let damages: [(&str, &dyn Fn(String) -> String); 6] = [
            ("run.json", &|text| text[..text.len() / 2].into()),
            ("run.json", &|text| text.replace("\"format\": 1", "\"format\": 99")),
            ("samples.csv", &|text| text.replace("experiment,", "trial,")),
            ("samples.csv", &|text| text.replace("verified", "trust me")),
            ("samples.csv", &|text| text[..text.len() - 3].rsplit_once(',').unwrap().0.into()),
            ("samples.csv", &|text| text.replacen(",0.01,", ",inf,", 1)),
        ];
        for (name, damage) in damages {
            let folder = tempfile::tempdir().unwrap();
            run.write(folder.path()).unwrap();
            let path = folder.path().join("runs").join(&run.manifest.id).join(name);
            let text = fs::read_to_string(&path).unwrap();
            let damaged = damage(text.clone());
            assert_ne!(damaged, text, "{name}: the damage must change something");
            fs::write(&path, damaged).unwrap();
            let error = Run::read(path.parent().unwrap()).unwrap_err();
            assert!(matches!(error, BenchError::Corrupt { .. }), "{error}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = Run::read(Path::new("no/such/run")).unwrap_err();
        assert!(error.to_string().contains("no/such/run"), "{error}");
    }

    #[test]
    fn a_huge_file_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = fs::File::create(folder.path().join("run.json")).unwrap();
        file.set_len(RUN_FILE_BYTES_MAX + 1).unwrap();
        let error = Run::read(folder.path()).unwrap_err();
        assert!(error.to_string().contains("above the limit"), "{error}");
    }

    #[test]
    fn a_failed_proof_keeps_its_reason() {
        let failed = Proof::Failed("replica 2 differs, after \"x\"".into());
        assert_eq!(Proof::parse(&failed.to_string()), Some(failed));
        assert_eq!(Proof::parse("verified?"), None);
    }
}

//! What the `compare` program does, as functions that a test can call.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::error::BenchError;
use crate::experiment::driver::FOREIGN_CPU_MAX_PERCENT;
use crate::experiment::{EXPERIMENTS, Effort, driver, queue, select};
use crate::machine;
use crate::peers;
use crate::report::{self, Report};
use crate::rows::{self, Table};
use crate::run::{Done as DoneExperiment, Manifest, RUN_FORMAT, Run, Sample};
use crate::workload::YCSB_A;

/// How the program was called.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A short run.
    pub quick: bool,
    /// The experiments asked for; empty for all.
    pub only: Vec<String>,
    /// Repetitions of each cell, instead of each experiment's own number.
    pub repetitions: Option<u32>,
    /// Where to write.
    pub out: Option<PathBuf>,
    /// Whether a complete run may replace the published report.
    pub publish: bool,
    /// Whether standard output carries JSON lines.
    pub json: bool,
    /// The command line, for the manifest.
    pub arguments: Vec<String>,
}

/// What the program prints at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// For standard output.
    pub output: String,
    /// For standard error.
    pub note: String,
    /// Rows that failed their checks.
    pub failed_rows: usize,
}

/// The experiments with their questions.
#[must_use]
pub fn list() -> Done {
    let line = |experiment: &crate::experiment::Experiment| {
        format!("{:<13} {}\n", experiment.name, experiment.question)
    };
    Done { output: EXPERIMENTS.iter().map(line).collect(), ..Done::default() }
}

/// Measures, writes the run folder and the report.
///
/// # Errors
/// When the options are wrong, before anything is measured; or when something cannot be written.
pub fn measure(options: &Options) -> Result<Done, BenchError> {
    let experiments = select(&options.only)?;
    let results = results_folder(options);
    writable(&results)?;
    let (started, clock) = (machine::now_utc(), Instant::now());
    let effort = Effort { quick: options.quick, repetitions: options.repetitions };
    let (done, samples) = driver::run(&experiments, &effort)?;
    let mut manifest = manifest(options, done, started);
    manifest.seconds = clock.elapsed().as_secs();
    manifest.id = free_id(&results, &manifest);
    let run = Run { manifest, samples };
    run.write(&results)?;
    let report = Report::render(&run, &report::history(&results)?)?;
    report.write(&results)?;
    Ok(finish(&run.samples, options, &results))
}

/// Regenerates the report of the run folder `run`.
///
/// # Errors
/// When the run is damaged or the report cannot be written; the old report is untouched then.
pub fn report_again(run: &Path, options: &Options) -> Result<Done, BenchError> {
    let report = report::again(run)?;
    let samples = Run::read(run)?.samples;
    let beside = run.parent().and_then(Path::parent).map(Path::to_path_buf);
    let results = match (&options.out, beside) {
        (Some(out), _) => out.clone(),
        (None, Some(beside)) if beside != Path::new("") => beside,
        _ => results_folder(options),
    };
    writable(&results)?;
    report.write(&results)?;
    Ok(finish(&samples, options, &results))
}

fn finish(samples: &[Sample], options: &Options, results: &Path) -> Done {
    let table = Table::new(samples);
    let failed_rows = table.failed().len();
    let mut end = String::new();
    if failed_rows > 0 {
        end += &format!("{failed_rows} rows failed their checks; the report says why.\n");
    }
    end += &format!("Report: {}\n", results.join("report").join("index.html").display());
    if options.json {
        let lines = rows::derive(samples).iter().map(|row| row.to_json() + "\n").collect();
        return Done { output: lines, note: end, failed_rows };
    }
    Done { output: report::summary(&table) + &end, note: String::new(), failed_rows }
}

/// Where results go: as told; or below `target/compare` for a partial or unpublished run; or the
/// workspace's `results`.
fn results_folder(options: &Options) -> PathBuf {
    if let Some(out) = &options.out {
        return out.clone();
    }
    // Cargo says where the package is; a bare call takes the current folder for the workspace.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let workspace = package.as_deref().and_then(Path::parent).unwrap_or(Path::new("."));
    if options.publish && options.only.is_empty() {
        return workspace.join("results");
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| workspace.join("target")).join("compare")
}

/// Says before measuring what would fail after it: the nearest existing part of the path must be
/// a folder.
fn writable(folder: &Path) -> Result<(), BenchError> {
    let existing = folder.ancestors().find(|part| part.exists());
    match existing {
        Some(part) if !part.is_dir() => {
            let source = std::io::Error::from(std::io::ErrorKind::NotADirectory);
            Err(BenchError::file("write below", part, source))
        }
        _ => Ok(()),
    }
}

fn manifest(options: &Options, experiments: Vec<DoneExperiment>, started: String) -> Manifest {
    let (commit, dirty) = machine::commit();
    Manifest {
        format: RUN_FORMAT,
        id: String::new(),
        started,
        seconds: 0,
        commit,
        dirty,
        arguments: options.arguments.clone(),
        quick: options.quick,
        machine: machine::describe(),
        toolchain: machine::toolchain(),
        peers: queue::peers().into_iter().chain(peers::versions()).collect(),
        foreign_cpu_max_percent: FOREIGN_CPU_MAX_PERCENT,
        workload_seed: YCSB_A.seed,
        experiments,
    }
}

/// `<date>-<commit>`, with what makes the run special, and a number where that is taken.
fn free_id(results: &Path, manifest: &Manifest) -> String {
    let date = manifest.started.split(' ').next().unwrap_or_default();
    let commit = &manifest.commit[..manifest.commit.len().min(7)];
    let kind = if manifest.quick { "-quick" } else { "" };
    let base = format!("{date}-{commit}{kind}");
    let taken = |id: &String| results.join("runs").join(id).exists();
    let numbered = (2u32..).map(|number| format!("{base}-{number}"));
    std::iter::once(base.clone()).chain(numbered).find(|id| !taken(id)).unwrap_or(base)
}

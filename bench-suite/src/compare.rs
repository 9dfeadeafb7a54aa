//! What the `compare` program does, as functions that a test can call.

use std::path::{Path, PathBuf};

use crate::error::BenchError;
use crate::experiment::driver::FOREIGN_CPU_MAX_PERCENT;
use crate::experiment::simulated::kept;
use crate::experiment::{EXPERIMENTS, Effort, driver, queue, select};
use crate::machine;
use crate::partial::{self, Identity, Partial};
use crate::peers;
use crate::report::{self, Report};
use crate::rows::{self, Table};
use crate::run::{Done as DoneExperiment, Manifest, RUN_FORMAT, Run, Sample};
use crate::verify;
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
    /// Whether to go on with an interrupted run.
    pub resume: bool,
    /// Ends the process, as a kill would, after so many repetitions: for tests of `resume`.
    pub stop_after: Option<usize>,
    /// A run whose CPU costs are taken for the experiments in virtual time, instead of measuring.
    pub costs_of: Option<PathBuf>,
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
    /// Published files that are not what their run says.
    pub differences: usize,
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
    let effort = Effort { quick: options.quick, repetitions: options.repetitions };
    driver::check(&effort)?;
    if let Some(run) = &options.costs_of {
        assume_costs(run)?;
    }
    let results = results_folder(options);
    writable(&results)?;
    let names = experiments.iter().map(|experiment| experiment.name.to_owned()).collect();
    let identity = Identity::here(options.quick, names, options.repetitions);
    let mut partial = open_partial(options, &results, identity)?;
    partial.stop_after(options.stop_after);
    let done = match driver::run(&experiments, &effort, &mut partial) {
        Err(error) if partial.samples().is_empty() => {
            partial.remove()?;
            return Err(error);
        }
        done => done?,
    };
    let samples = partial.samples().to_vec();
    publish((done, samples), partial, options, &results)
}

/// Ends the interrupted run at `folder`: what was measured as a whole becomes a run, and its report
/// is written. Experiments that were not reached are not part of it.
///
/// # Errors
/// When it is no interrupted run, when nothing of it is whole, or when something cannot be written.
pub fn finish_interrupted(folder: &Path, options: &Options) -> Result<Done, BenchError> {
    let results = folder.parent().and_then(Path::parent).unwrap_or(Path::new("."));
    let partial = Partial::to_finish(folder, machine::now_utc())?;
    let whole = partial.whole();
    if whole.0.is_empty() {
        let reasons = format!("{}: no experiment has a whole repetition", folder.display());
        return Err(BenchError::Resume { reasons });
    }
    publish(whole, partial, options, results)
}

/// Makes a run of what was measured, and writes its report.
fn publish(
    (experiments, samples): (Vec<DoneExperiment>, Vec<Sample>),
    partial: Partial,
    options: &Options,
    results: &Path,
) -> Result<Done, BenchError> {
    let manifest = manifest(options, experiments, &partial);
    let run = Run { manifest, samples: driver::in_order(samples) };
    run.write(results)?;
    partial.remove()?;
    let report = Report::render(&run, &report::history(results)?)?;
    report.write(results)?;
    Ok(finish(&run.samples, options, results))
}

/// The interrupted run that was asked for, or a new one; tells of others that could go on.
fn open_partial(
    options: &Options,
    results: &Path,
    identity: Identity,
) -> Result<Partial, BenchError> {
    if options.resume {
        let partial = Partial::resume(results, &identity, machine::now_utc())?;
        let there = partial.samples().len();
        eprintln!("going on with {}, {there} repetitions are there", partial.id());
        return Ok(partial);
    }
    for folder in partial::interrupted(results) {
        let folder = folder.display();
        eprintln!("an interrupted run is kept: {folder}; --resume goes on with it, or remove it");
    }
    let started = machine::now_utc();
    let id = free_id(results, &started, &identity);
    Partial::create(results, id, identity, started)
}

/// Takes the CPU costs that `run` kept as measured.
fn assume_costs(run: &Path) -> Result<(), BenchError> {
    for done in Run::read(run)?.manifest.experiments {
        kept::assume_settings(&done.settings)
            .map_err(|setting| BenchError::corrupt(run, &setting))?;
    }
    Ok(())
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

/// Compares what was derived from the run folder `run` with its samples; writes nothing.
///
/// # Errors
/// When it is not a run folder, or a run beside it is damaged.
pub fn verify(run: &Path) -> Result<Done, BenchError> {
    let verdict = verify::check(run)?;
    let differences = verdict.differences().count();
    let note = match differences {
        0 => String::new(),
        _ => format!(
            "{differences} files differ; `cargo compare --report {}` writes the report again\n",
            run.display()
        ),
    };
    Ok(Done { output: verdict.in_words(), note, differences, ..Done::default() })
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
        return Done { output: lines, note: end, failed_rows, ..Done::default() };
    }
    Done { output: report::summary(&table) + &end, failed_rows, ..Done::default() }
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

fn manifest(options: &Options, experiments: Vec<DoneExperiment>, partial: &Partial) -> Manifest {
    let identity = partial.identity().clone();
    Manifest {
        format: RUN_FORMAT,
        id: partial.id().to_owned(),
        started: partial.started().to_owned(),
        seconds: partial.seconds(),
        resumed: partial.resumed().to_vec(),
        commit: identity.commit,
        dirty: identity.dirty,
        arguments: options.arguments.clone(),
        quick: options.quick,
        machine: identity.machine,
        toolchain: identity.toolchain,
        peers: queue::peers().into_iter().chain(peers::versions()).collect(),
        foreign_cpu_max_percent: FOREIGN_CPU_MAX_PERCENT,
        workload_seed: YCSB_A.seed,
        experiments,
    }
}

/// `<date>-<commit>`, with what makes the run special, and a number where that is taken.
fn free_id(results: &Path, started: &str, identity: &Identity) -> String {
    let date = started.split(' ').next().unwrap_or_default();
    let commit = &identity.commit[..identity.commit.len().min(7)];
    let kind = if identity.quick { "-quick" } else { "" };
    let base = format!("{date}-{commit}{kind}");
    let numbered = (2u32..).map(|number| format!("{base}-{number}"));
    let free = |id: &String| !partial::is_taken(results, id);
    std::iter::once(base.clone()).chain(numbered).find(free).unwrap_or(base)
}

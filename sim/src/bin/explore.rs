//! Explores small groups exhaustively.
//!
//! Exit codes: 0 every property holds as far as it went (with `--gate`: everywhere within the
//! bounds), 1 one does not, a complete exploration missed what it should have come across, or with
//! `--gate` one was cut short, 2 bad input.

#![forbid(unsafe_code)]

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use comfy_table::Table;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use quorate_sim::explore::{
    BROKEN_CONTRACT, BoundsError, Exploration, Explore, ExploreError, Limits, Network, PROPERTIES,
    Progress, Report, explore,
};
use quorate_sim::registry::{ProtocolName, UnknownProtocol};
use rayon::prelude::*;

/// Visits every state that a small group can reach within bounds, and checks every property in it.
#[derive(Parser, Debug)]
#[command(name = "explore", version)]
struct Arguments {
    /// The protocol: raft, paxos, pbft, or all.
    #[arg(long, default_value = "all")]
    protocol: String,
    /// Only the exploration with this name (see --list); all of them by default.
    #[arg(long)]
    only: Option<String>,
    /// Only those that are complete within seconds, and each of them must be.
    #[arg(long, conflicts_with_all = ["only", "bounds", "depth", "threads"])]
    gate: bool,
    /// Says what explorations there are.
    #[arg(long)]
    list: bool,
    /// Other bounds: NAME=COUNT,… with timeouts, heartbeats, proposals, reads, crashes, duplicates,
    /// epochs.
    #[arg(long)]
    bounds: Option<String>,
    /// Stops each exploration after so many seconds, complete or not; 0: never.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Stops each exploration after so many generated states (about 600 bytes of memory for each
    /// that waits, 20 for each visited).
    #[arg(long, default_value = "100000000")]
    states: NonZeroUsize,
    /// Does not go further than so many steps.
    #[arg(long)]
    depth: Option<NonZeroUsize>,
    /// Explorations at a time; as many as there are cores by default.
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// Threads of each exploration. With several, it is not known up to which number of steps an
    /// incomplete one visited everything.
    #[arg(long, default_value = "1")]
    threads: NonZeroUsize,
}

/// What cannot be run.
#[derive(Debug, thiserror::Error)]
enum InputError {
    #[error(transparent)]
    Protocol(#[from] UnknownProtocol),
    #[error(transparent)]
    Bounds(#[from] BoundsError),
    #[error(transparent)]
    Explore(#[from] ExploreError),
    #[error("no exploration is called \"{given}\"; --list names them")]
    Unknown { given: String },
    #[error("threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(good) => ExitCode::from(u8::from(!good)),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs an exploration within limits, and tells a progress bar.
type Runner = dyn Fn(&Limits, &ProgressBar) -> Result<Row, ExploreError> + Send + Sync;

/// An exploration, whatever its protocol, with how it is run and told.
struct Job {
    line: String,
    run: Box<Runner>,
}

/// What the program says of an exploration.
struct Row {
    cells: Vec<String>,
    /// What is wrong, in words.
    remarks: Vec<String>,
    good: bool,
    complete: bool,
}

fn run(arguments: &Arguments) -> Result<bool, InputError> {
    let jobs = jobs(arguments)?;
    if arguments.list {
        jobs.iter().for_each(|job| println!("{}", job.line));
        return Ok(true);
    }
    let limits = limits(arguments);
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let at_a_time = arguments.jobs.unwrap_or(cores).get();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(at_a_time).build()?;
    let bars = MultiProgress::new();
    let carry_out = |job: &Job| {
        let bar = bars.add(ProgressBar::new_spinner());
        let row = (job.run)(&limits, &bar);
        bar.finish_and_clear();
        row
    };
    let rows = pool.install(|| jobs.par_iter().map(carry_out).collect::<Result<Vec<_>, _>>())?;
    let mut table = table();
    for row in &rows {
        row.remarks.iter().for_each(|line| println!("{line}"));
        table.add_row(&row.cells);
    }
    println!("{table}");
    let checked = PROPERTIES.len() + 1;
    println!("{checked} properties in each state: {}; {BROKEN_CONTRACT}", PROPERTIES.join("; "));
    Ok(rows.iter().all(|row| row.good && (row.complete || !arguments.gate)))
}

fn jobs(arguments: &Arguments) -> Result<Vec<Job>, InputError> {
    let protocols = match arguments.protocol.as_str() {
        "all" => vec![ProtocolName::Raft, ProtocolName::Paxos, ProtocolName::Pbft],
        name => vec![name.parse()?],
    };
    let mut jobs = Vec::new();
    for protocol in protocols {
        match protocol {
            ProtocolName::Raft => add_jobs::<quorate_raft::Raft>("raft", arguments, &mut jobs)?,
            ProtocolName::Paxos => add_jobs::<quorate_paxos::Paxos>("paxos", arguments, &mut jobs)?,
            ProtocolName::Pbft => add_jobs::<quorate_pbft::Pbft>("pbft", arguments, &mut jobs)?,
        }
    }
    match &arguments.only {
        Some(given) if jobs.is_empty() => Err(InputError::Unknown { given: given.clone() }),
        _ => Ok(jobs),
    }
}

fn add_jobs<P: Explore>(
    protocol: &'static str,
    arguments: &Arguments,
    jobs: &mut Vec<Job>,
) -> Result<(), InputError> {
    let wanted = |exploration: &Exploration<P>| {
        (exploration.gate || !arguments.gate)
            && arguments.only.as_ref().is_none_or(|given| given == exploration.name)
    };
    for mut exploration in P::explorations().into_iter().filter(wanted) {
        if let Some(changes) = &arguments.bounds {
            exploration.bounds = exploration.bounds.changed(changes)?;
            // What it comes across depends on the bounds.
            exploration.expects.clear();
        }
        let Exploration { name, about, bounds, .. } = exploration;
        let line = format!("{protocol:<5} {name:<16} {about} ({bounds})");
        let run = move |limits: &Limits, bar: &ProgressBar| {
            let report = watch(&exploration, limits, bar)?;
            Ok(row(protocol, &exploration, &report))
        };
        jobs.push(Job { line, run: Box::new(run) });
    }
    Ok(())
}

fn limits(arguments: &Arguments) -> Limits {
    Limits {
        states_max: Some(arguments.states),
        depth_max: arguments.depth,
        time_max: (arguments.seconds > 0).then(|| Duration::from_secs(arguments.seconds)),
        threads: arguments.threads,
    }
}

fn watch<P: Explore>(
    exploration: &Exploration<P>,
    limits: &Limits,
    bar: &ProgressBar,
) -> Result<Report, ExploreError> {
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    explore(exploration, limits, |progress: Progress| {
        let Progress { unique, depth, elapsed, .. } = progress;
        let (name, seconds) = (exploration.name, elapsed.as_secs_f64());
        let speed = unique as f64 / seconds.max(1e-3);
        bar.set_message(format!(
            "{name}: {unique} states, {depth} steps deep, {seconds:.0} s, {speed:.0} states/s"
        ));
        bar.tick();
    })
}

fn remarks<P: Explore>(exploration: &Exploration<P>, report: &Report) -> Vec<String> {
    let name = exploration.name;
    let mut lines = Vec::new();
    if let Some(way) = &report.violation {
        lines
            .push(format!("{name}: \"{}\" does not hold after {} steps:", way.property, way.steps));
        lines.extend(way.lines.iter().cloned());
        lines.push(format!("     {}", way.detail));
    }
    for missed in &report.missed {
        lines.push(format!("{name}: complete, but never: {}", missed.name()));
    }
    lines
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
    table.set_header([
        "protocol",
        "exploration",
        "bounds",
        "unique states",
        "generated",
        "deepest",
        "every state to",
        "seconds",
        "states/s",
        "came across",
        "verdict",
    ]);
    table
}

fn row<P: Explore>(protocol: &str, exploration: &Exploration<P>, report: &Report) -> Row {
    let seconds = report.elapsed.as_secs_f64();
    let reached: Vec<&str> = report.reached.iter().map(|milestone| milestone.name()).collect();
    let covered = report.covered.map_or_else(|| "?".to_string(), |steps| steps.to_string());
    let cells = vec![
        protocol.to_string(),
        exploration.name.to_string(),
        format!("{} replicas, {}", exploration.replicas, conditions(exploration)),
        report.unique.to_string(),
        report.total.to_string(),
        report.depth.to_string(),
        covered,
        format!("{seconds:.1}"),
        format!("{:.0}", report.unique as f64 / seconds.max(1e-3)),
        reached.join("; "),
        verdict(exploration, report),
    ];
    let remarks = remarks(exploration, report);
    Row { cells, remarks, good: report.is_good(), complete: report.complete }
}

fn conditions<P: Explore>(exploration: &Exploration<P>) -> String {
    let mut text = exploration.bounds.to_string();
    if exploration.network == Network::Once {
        text += ", each message once";
    }
    if exploration.one_each {
        text += ", one proposal in an epoch";
    }
    if let Some([one, other]) = exploration.cut {
        text += &format!(", nothing between {one} and {other}");
    }
    if let Some(liar) = exploration.byzantine {
        text += &format!(", {liar} lies");
    }
    if let Some(prelude) = &exploration.prelude {
        text += &format!(", from where {}", prelude.about);
    }
    if let Some(steps) = exploration.steps {
        text += &format!(", {steps} steps");
    }
    text
}

fn verdict<P: Explore>(exploration: &Exploration<P>, report: &Report) -> String {
    match report {
        Report { violation: Some(_), .. } => "VIOLATION".to_string(),
        Report { missed, .. } if !missed.is_empty() => "VACUOUS".to_string(),
        Report { complete: true, .. } => match exploration.steps {
            Some(steps) => format!("holds for {steps} steps"),
            None => "holds everywhere".to_string(),
        },
        _ => "holds so far".to_string(),
    }
}

//! Explores small groups exhaustively.
//!
//! Exit codes: 0 every property holds as far as it went, 1 one does not (or a complete exploration
//! missed what it should have come across), 2 bad input.

#![forbid(unsafe_code)]

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use comfy_table::Table;
use indicatif::{ProgressBar, ProgressStyle};
use quorate_sim::explore::{
    BROKEN_CONTRACT, BoundsError, Exploration, Explore, ExploreError, Limits, Network, PROPERTIES,
    Progress, Report, explore,
};
use quorate_sim::registry::{ProtocolName, UnknownProtocol};

/// Visits every state that a small group can reach within bounds, and checks every property in it.
#[derive(Parser, Debug)]
#[command(name = "explore", version)]
struct Arguments {
    /// The protocol: raft, paxos or pbft.
    #[arg(long)]
    protocol: String,
    /// Only the exploration with this name (see --list); all of them by default.
    #[arg(long)]
    only: Option<String>,
    /// Only those that end within seconds.
    #[arg(long, conflicts_with = "only")]
    quick: bool,
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
    /// Threads; all cores by default.
    #[arg(long)]
    threads: Option<NonZeroUsize>,
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
    #[error("no exploration is called \"{given}\"; there are: {known}")]
    Unknown { given: String, known: String },
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

fn run(arguments: &Arguments) -> Result<bool, InputError> {
    match arguments.protocol.parse()? {
        ProtocolName::Raft => run_all::<quorate_raft::Raft>(arguments),
        ProtocolName::Paxos => run_all::<quorate_paxos::Paxos>(arguments),
        ProtocolName::Pbft => run_all::<quorate_pbft::Pbft>(arguments),
    }
}

fn run_all<P: Explore>(arguments: &Arguments) -> Result<bool, InputError> {
    let chosen = choose::<P>(arguments)?;
    if arguments.list {
        for exploration in &chosen {
            println!("{:<18} {} ({})", exploration.name, exploration.about, exploration.bounds);
        }
        return Ok(true);
    }
    let limits = limits(arguments);
    let mut good = true;
    let mut table = table();
    for exploration in &chosen {
        let report = watch(exploration, &limits)?;
        good &= report.is_good();
        print_way(exploration, &report);
        add_row(&mut table, exploration, &report);
    }
    println!("{table}");
    let checked = PROPERTIES.len() + 1;
    println!("{checked} properties in each state: {}; {BROKEN_CONTRACT}", PROPERTIES.join("; "));
    Ok(good)
}

fn choose<P: Explore>(arguments: &Arguments) -> Result<Vec<Exploration<P>>, InputError> {
    let mut chosen = P::explorations();
    let names: Vec<&str> = chosen.iter().map(|exploration| exploration.name).collect();
    let known = names.join(", ");
    if arguments.quick {
        chosen.retain(|exploration| exploration.quick);
    }
    if let Some(given) = &arguments.only {
        chosen.retain(|exploration| exploration.name == given);
        if chosen.is_empty() {
            return Err(InputError::Unknown { given: given.clone(), known });
        }
    }
    for exploration in &mut chosen {
        if let Some(changes) = &arguments.bounds {
            exploration.bounds = exploration.bounds.changed(changes)?;
            // What it comes across depends on the bounds.
            exploration.expects.clear();
        }
    }
    Ok(chosen)
}

fn limits(arguments: &Arguments) -> Limits {
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    Limits {
        states_max: Some(arguments.states),
        depth_max: arguments.depth,
        time_max: (arguments.seconds > 0).then(|| Duration::from_secs(arguments.seconds)),
        threads: arguments.threads.unwrap_or(cores),
    }
}

fn watch<P: Explore>(
    exploration: &Exploration<P>,
    limits: &Limits,
) -> Result<Report, ExploreError> {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    let report = explore(exploration, limits, |progress: Progress| {
        let Progress { unique, depth, elapsed, .. } = progress;
        let (name, seconds) = (exploration.name, elapsed.as_secs_f64());
        let speed = unique as f64 / seconds.max(1e-3);
        bar.set_message(format!(
            "{name}: {unique} states, {depth} steps deep, {seconds:.0} s, {speed:.0} states/s"
        ));
        bar.tick();
    });
    bar.finish_and_clear();
    report
}

fn print_way<P: Explore>(exploration: &Exploration<P>, report: &Report) {
    if let Some(way) = &report.violation {
        println!(
            "\n{}: \"{}\" does not hold after {} steps:",
            exploration.name, way.property, way.steps
        );
        way.lines.iter().for_each(|line| println!("{line}"));
        println!("     {}\n", way.detail);
    }
    for missed in &report.missed {
        println!("{}: complete, but never: {}", exploration.name, missed.name());
    }
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
    table.set_header([
        "exploration",
        "bounds",
        "unique states",
        "generated",
        "depth",
        "seconds",
        "states/s",
        "replica states",
        "messages",
        "came across",
        "verdict",
    ]);
    table
}

fn add_row<P: Explore>(table: &mut Table, exploration: &Exploration<P>, report: &Report) {
    let seconds = report.elapsed.as_secs_f64();
    let reached: Vec<&str> = report.reached.iter().map(|milestone| milestone.name()).collect();
    let network = match exploration.network {
        Network::Kept => "",
        Network::Once => ", each message once",
    };
    let liar = exploration.byzantine.map_or_else(String::new, |liar| format!(", {liar} lies"));
    table.add_row([
        exploration.name.to_string(),
        format!("{} replicas, {}{network}{liar}", exploration.replicas, exploration.bounds),
        report.unique.to_string(),
        report.total.to_string(),
        report.depth.to_string(),
        format!("{seconds:.1}"),
        format!("{:.0}", report.unique as f64 / seconds.max(1e-3)),
        report.replicas.to_string(),
        report.messages.to_string(),
        reached.join("; "),
        verdict(report).to_string(),
    ]);
}

fn verdict(report: &Report) -> &'static str {
    match report {
        Report { violation: Some(_), .. } => "VIOLATION",
        Report { missed, .. } if !missed.is_empty() => "VACUOUS",
        Report { complete: true, .. } => "holds everywhere",
        _ => "holds so far",
    }
}

//! Runs seeds of the simulator, or replays one.
//!
//! Exit codes: 0 no violation, 1 a violation, 2 bad input.

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use comfy_table::Table;
use indicatif::{ProgressBar, ProgressStyle};
use quorate_sim::campaign::{Summary, run_seeds};
use quorate_sim::registry::{ProtocolName, REPLICAS_MAX, UnknownProtocol, Visitor};
use quorate_sim::{Inspect, Options, simulate, simulate_traced};

/// Runs a consensus protocol under faults, one deterministic run for each seed.
#[derive(Parser, Debug)]
#[command(name = "quorate-sim", version)]
struct Arguments {
    /// The protocol: raft, paxos or pbft.
    #[arg(long)]
    protocol: String,
    /// Runs these seeds, over all cores: FIRST..END (END is not run).
    #[arg(long, conflicts_with = "seed")]
    seeds: Option<String>,
    /// Replays this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Replicas; by default what one fault needs.
    #[arg(long)]
    replicas: Option<usize>,
    /// Prints what happens, line by line, to standard output (with --seed).
    #[arg(long, requires = "seed")]
    trace: bool,
}

/// What cannot be run.
#[derive(Debug, thiserror::Error)]
enum InputError {
    #[error(transparent)]
    Protocol(#[from] UnknownProtocol),
    #[error("--seeds \"{0}\" is not a range; write FIRST..END with FIRST below END, as in 0..1000")]
    Seeds(String),
    #[error("--replicas {given} is out of range; {protocol} runs with {least} to {REPLICAS_MAX}")]
    Replicas { given: usize, protocol: ProtocolName, least: usize },
    #[error("say which seeds to run: --seeds FIRST..END, or --seed S to replay one")]
    NoSeeds,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(clean) => ExitCode::from(u8::from(!clean)),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool, InputError> {
    let protocol: ProtocolName = arguments.protocol.parse()?;
    let seeds = match (&arguments.seeds, arguments.seed) {
        (Some(range), _) => parse_range(range)?,
        (None, Some(seed)) => seed..seed.saturating_add(1),
        (None, None) => return Err(InputError::NoSeeds),
    };
    let job = Job { protocol, seeds, replicas: arguments.replicas, trace: arguments.trace };
    protocol.visit(job)
}

fn parse_range(given: &str) -> Result<Range<u64>, InputError> {
    let bad = || InputError::Seeds(given.to_string());
    let (first, end) = given.split_once("..").ok_or_else(bad)?;
    let range = first.trim().parse().map_err(|_| bad())?..end.trim().parse().map_err(|_| bad())?;
    if range.is_empty() { Err(bad()) } else { Ok(range) }
}

/// What to run, once the protocol is a type.
struct Job {
    protocol: ProtocolName,
    seeds: Range<u64>,
    replicas: Option<usize>,
    trace: bool,
}

impl Visitor for Job {
    type Output = Result<bool, InputError>;

    fn visit<P: Inspect>(self) -> Self::Output {
        let usual = P::replicas_for(1);
        let replicas = self.replicas.unwrap_or(usual);
        let least = if P::BYZANTINE { usual } else { 1 };
        if !(least..=REPLICAS_MAX).contains(&replicas) {
            let protocol = self.protocol;
            return Err(InputError::Replicas { given: replicas, protocol, least });
        }
        let options = Options::<P>::new(replicas);
        let summary = if self.trace {
            trace_one(&options, self.seeds.start)
        } else {
            run_all(&options, self.protocol, self.seeds)
        };
        for (seed, violation) in &summary.violations {
            println!("\nseed {seed}: {violation}");
            let flag = match replicas == usual {
                true => String::new(),
                false => format!(" --replicas {replicas}"),
            };
            let protocol = self.protocol;
            println!(
                "  replay: cargo run --release -p quorate-sim -- --protocol {protocol} \
                 --seed {seed}{flag} --trace"
            );
        }
        Ok(summary.violations.is_empty())
    }
}

/// Replays one seed with its trace on standard output.
fn trace_one<P: Inspect>(options: &Options<P>, seed: u64) -> Summary {
    let mut out = std::io::BufWriter::new(std::io::stdout());
    // A reader that closed the pipe has seen enough.
    let outcome = simulate_traced(options, seed, move |line| drop(writeln!(out, "{line}")));
    println!("trace hash {:016x}", outcome.trace_hash);
    let mut summary = Summary::default();
    summary.add(outcome);
    summary
}

fn run_all<P: Inspect>(options: &Options<P>, protocol: ProtocolName, seeds: Range<u64>) -> Summary {
    let started = Instant::now();
    let single = (seeds.end - seeds.start == 1).then_some(seeds.start);
    let summary = match single {
        Some(seed) => {
            let outcome = simulate(options, seed);
            println!("trace hash {:016x}", outcome.trace_hash);
            let mut summary = Summary::default();
            summary.add(outcome);
            summary
        }
        None => {
            let bar = progress_bar(seeds.end - seeds.start);
            let summary = run_seeds(options, seeds, |_| bar.inc(1));
            bar.finish_and_clear();
            summary
        }
    };
    print_summary(protocol, options.replicas, &summary, started.elapsed().as_secs_f64());
    summary
}

fn progress_bar(seeds: u64) -> ProgressBar {
    let bar = ProgressBar::new(seeds);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {per_sec}, {eta} left");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

fn print_summary(protocol: ProtocolName, replicas: usize, summary: &Summary, seconds: f64) {
    let virtual_hours = summary.virtual_ns as f64 / 3.6e12;
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
    table.set_header(["what", "count"]);
    table.add_row(["protocol".to_string(), format!("{protocol}, {replicas} replicas")]);
    table.add_row(["seeds".to_string(), summary.seeds.to_string()]);
    table.add_row(["virtual hours".to_string(), format!("{virtual_hours:.3}")]);
    let speed = format!(
        "{:.0} seeds/s, {:.0} virtual s per s, {:.0} steps/s",
        summary.seeds as f64 / seconds,
        virtual_hours * 3600.0 / seconds,
        summary.steps as f64 / seconds
    );
    table.add_row(["speed".to_string(), speed]);
    for (name, count) in [
        ("steps", summary.steps),
        ("messages", summary.messages),
        ("slots decided", summary.slots),
        ("client operations", summary.operations),
        ("of known outcome", summary.completed),
        ("beyond the fault bound: stopped safely", summary.beyond_bound),
        ("histories too hard to check", summary.checks_given_up),
        ("faults injected", summary.faults.total()),
    ] {
        table.add_row([name.to_string(), count.to_string()]);
    }
    for (kind, count) in summary.faults.injected() {
        table.add_row([format!("  {kind}"), count.to_string()]);
    }
    table.add_row(["violations".to_string(), summary.violations.len().to_string()]);
    println!("{table}");
}

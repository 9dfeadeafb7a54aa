//! `cargo compare`: runs the experiments, writes a run folder and its report, prints a table.
//!
//! Exit codes: 0 when every row was verified, 1 when a row failed its checks (the report shows
//! which) or a published file is not what its run says (`--verify`), 2 when the call was wrong or something could not be read or written.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use quorate_bench::compare::{self, Options};
use quorate_bench::experiment::queue::{memory, scenario};

/// Measures Paxos, Raft and PBFT with and without batching, compression, sharding and pipelining,
/// verifies every repetition, and writes the report.
#[derive(Debug, Parser)]
#[command(name = "compare", bin_name = "cargo compare", version)]
struct Arguments {
    /// A short run: few repetitions, wide intervals.
    #[arg(long)]
    quick: bool,
    /// Only this experiment; may be given several times. Writes below target/compare, so that a
    /// partial run does not replace the published report.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// List the experiments and end.
    #[arg(long)]
    list: bool,
    /// Repetitions of each cell, instead of each experiment's own number.
    #[arg(long, value_name = "N")]
    repetitions: Option<u32>,
    /// Where the run folder and the report go. [default: results]
    #[arg(long, value_name = "DIR", conflicts_with = "no_publish")]
    out: Option<PathBuf>,
    /// Write below target/compare instead of results.
    #[arg(long)]
    no_publish: bool,
    /// Print the rows as JSON lines on standard output, and nothing else there.
    #[arg(long)]
    json: bool,
    /// Go on with an interrupted run of the same commit, options and machine: what it has measured
    /// already is kept.
    #[arg(long, conflicts_with = "list")]
    resume: bool,
    /// Derive every table and plot again from this run folder and compare with what is there; exit
    /// code 1 says that something differs.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["quick", "only", "list", "repetitions", "report", "resume", "out", "json"])]
    verify: Option<PathBuf>,
    /// Regenerate the report from this run folder, without measuring.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["quick", "only", "list", "repetitions", "resume"])]
    report: Option<PathBuf>,
    /// End an interrupted run without measuring more: what every cell of an experiment has becomes a
    /// run with its report; the rest is said to be missing. Takes its hidden folder.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["quick", "only", "list", "repetitions", "resume", "report", "verify", "out"])]
    finish: Option<PathBuf>,
    /// Takes the CPU costs for the experiments in virtual time from this run folder instead of
    /// measuring them: equal costs and seeds give equal rows.
    #[arg(long, value_name = "RUN")]
    costs_of: Option<PathBuf>,
    /// Measures the memory of an unbounded queue in this process; called by the program itself.
    #[arg(long, value_name = "QUEUE", hide = true)]
    memory_of: Option<String>,
    /// Ends the process, as a kill would, after so many repetitions; for tests of --resume.
    #[arg(long, value_name = "N", hide = true)]
    stop_after: Option<usize>,
    /// Items of the burst whose memory is measured.
    #[arg(long, value_name = "N", hide = true, requires = "memory_of", default_value_t = scenario::MEMORY_ITEMS)]
    items: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(queue) = &arguments.memory_of {
        return memory_of(queue, arguments.items);
    }
    let options = Options {
        quick: arguments.quick,
        only: arguments.only,
        repetitions: arguments.repetitions,
        out: arguments.out,
        publish: !arguments.no_publish,
        json: arguments.json,
        resume: arguments.resume,
        stop_after: arguments.stop_after,
        costs_of: arguments.costs_of,
        arguments: std::env::args().skip(1).collect(),
    };
    let folders = (arguments.verify, arguments.report, arguments.finish);
    let done = match folders {
        _ if arguments.list => Ok(compare::list()),
        (Some(run), _, _) => compare::verify(&run),
        (_, Some(run), _) => compare::report_again(&run, &options),
        (_, _, Some(folder)) => compare::finish_interrupted(&folder, &options),
        _ => compare::measure(&options),
    };
    match done {
        Ok(done) => {
            // A reader that went away (a closed pipe) is no failure of the run.
            let _ = std::io::stdout().write_all(done.output.as_bytes());
            eprint!("{}", done.note);
            if done.failed_rows + done.differences > 0 {
                ExitCode::from(1)
            } else {
                ExitCode::SUCCESS
            }
        }
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::from(2)
        }
    }
}

fn memory_of(queue: &str, items: u64) -> ExitCode {
    match memory::report(queue, items) {
        Ok(text) => {
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::from(2)
        }
    }
}

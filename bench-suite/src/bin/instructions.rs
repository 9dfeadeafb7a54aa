//! `cargo instructions`: counts the instructions of the hot paths and compares them with baselines.
//!
//! Exit codes: 0 when none grew, or when nothing could be compared (said loudly on standard error);
//! 1 when one grew; 2 when the call was wrong or something could not be read, run or written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use quorate_bench::BenchError;
use quorate_bench::instructions::paths::{self, HotPath};
use quorate_bench::instructions::{self, Baselines, Judged, TOLERANCE, Verdict, judge};

/// Counts the instructions of the hot paths under valgrind and compares them with the baselines;
/// counts do not depend on the machine's load.
#[derive(Debug, Parser)]
#[command(name = "instructions", bin_name = "cargo instructions", version)]
struct Arguments {
    /// Write the baselines again instead of comparing with them.
    #[arg(long)]
    refresh: bool,
    /// The baselines. [default: bench-suite/baselines/instructions.json]
    #[arg(long, value_name = "FILE")]
    baselines: Option<PathBuf>,
    /// Goes through one path; called by the program itself under valgrind.
    #[arg(long, value_name = "PATH", hide = true, requires = "operations")]
    run: Option<String>,
    /// How often.
    #[arg(long, value_name = "N", hide = true)]
    operations: Option<u64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match (&arguments.run, arguments.operations) {
        (Some(path), Some(operations)) => go_through(path, operations),
        _ => gate(&arguments),
    };
    done.unwrap_or_else(|error| {
        eprintln!("instructions: {error}");
        ExitCode::from(2)
    })
}

fn go_through(path: &str, operations: u64) -> Result<ExitCode, BenchError> {
    let known = HotPath::named(path);
    let path = known.ok_or_else(|| BenchError::setup(path, &"there is no such path"))?;
    path.run(operations)?;
    Ok(ExitCode::SUCCESS)
}

fn gate(arguments: &Arguments) -> Result<ExitCode, BenchError> {
    if cfg!(debug_assertions) {
        let reason = "counts of a build with debug assertions say nothing; call cargo instructions";
        return Err(BenchError::setup("the gate", &reason));
    }
    let file = arguments.baselines.clone().unwrap_or_else(kept);
    if !instructions::valgrind_is_there() {
        return Ok(skipped("valgrind is not installed"));
    }
    if arguments.refresh {
        Baselines::here(counts()?).write(&file)?;
        println!("written: {}", file.display());
        return Ok(ExitCode::SUCCESS);
    }
    let baselines = Baselines::read(&file)?;
    if let Some(mismatch) = baselines.mismatch() {
        return Ok(skipped(&mismatch));
    }
    let judged = judge(&baselines.instructions, &counts()?, TOLERANCE);
    print!("{}", table(&judged));
    let failed = judged.iter().filter(|one| one.verdict.fails()).count();
    if failed == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "{failed} of {} hot paths fail the gate; if that is meant, `cargo instructions --refresh` writes {}",
        judged.len(),
        file.display()
    );
    Ok(ExitCode::from(1))
}

fn kept() -> PathBuf {
    // Cargo says where the package is; a bare call takes the current folder for the workspace.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    package.unwrap_or_else(|| "bench-suite".into()).join("baselines/instructions.json")
}

fn counts() -> Result<BTreeMap<String, f64>, BenchError> {
    let program = std::env::current_exe()
        .map_err(|error| BenchError::file("find", Path::new("this program"), error))?;
    let count = |path: HotPath| Ok((path.name.to_owned(), instructions::count(&program, &path)?));
    paths::all().into_iter().map(count).collect()
}

fn skipped(reason: &str) -> ExitCode {
    let line = "*".repeat(78);
    eprintln!("{line}\n*** SKIPPED: instruction counts were NOT checked: {reason}\n{line}");
    ExitCode::SUCCESS
}

fn table(judged: &[Judged]) -> String {
    let number = |count: Option<f64>| count.map_or_else(|| "–".to_owned(), |n| format!("{n:.1}"));
    let mut grid = comfy_table::Table::new();
    grid.load_style(comfy_table::presets::ASCII_MARKDOWN);
    grid.set_header(["hot path", "baseline", "now", "change", ""]);
    for one in judged {
        let change = one.baseline.zip(one.count).map(|(before, now)| (now / before - 1.0) * 100.0);
        let verdict = match one.verdict {
            Verdict::Same => "",
            Verdict::Better => "fewer: refresh the baselines",
            Verdict::Worse => "MORE",
            Verdict::New => "NO BASELINE",
            Verdict::Gone => "NO LONGER COUNTED",
        };
        let change = change.map_or_else(|| "–".to_owned(), |change| format!("{change:+.1} %"));
        let row =
            [one.path.clone(), number(one.baseline), number(one.count), change, verdict.into()];
        grid.add_row(row);
    }
    format!("Instructions for each operation\n{grid}\n")
}

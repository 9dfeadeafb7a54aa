//! Hunts every planted defect with the plain swarm and prints how many seeds each took.
//!
//! ```console
//! $ cargo run --release -p quorate-sim --example planted-defects -- --out defects.jsonl
//! ```
//!
//! A defect is hunted over three disjoint ranges of seeds; the table shows the median. Then the
//! same seeds run without a defect, and must be clean. Exit code 0: every defect was found in each
//! range and nothing without them; 1: not so; 2: bad arguments or a file that cannot be written.
//!
//! An example rather than a program, because only tests and examples are built with the features
//! that contain the defects.

mod catalogue;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use serde::Serialize;

use catalogue::{Planted, SEEDS_MAX, all, clean};

/// Where the three ranges of seeds begin.
const STARTS: [u64; 3] = [0, 1_000_000, 2_000_000];

/// Hunts planted defects, and shows that the same seeds are clean without them.
#[derive(Parser)]
struct Arguments {
    /// Write one JSON line for each defect to this file.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Only defects of this crate (raft, paxos, pbft, smr).
    #[arg(long)]
    protocol: Option<String>,
    /// Only defects whose names contain this.
    #[arg(long, default_value = "")]
    defect: String,
    /// Seeds of each range within which a defect must be found.
    #[arg(long, default_value_t = SEEDS_MAX, value_parser = clap::value_parser!(u64).range(1..=SEEDS_MAX))]
    seeds: u64,
}

/// What came of one defect; a line of the published summary.
#[derive(Serialize)]
struct Row {
    protocol: &'static str,
    defect: String,
    /// What broke in the range that took the median number of seeds.
    invariant: &'static str,
    /// Seeds that each range took; `None` when all were tried in vain.
    seeds: [Option<u64>; STARTS.len()],
    replicas: usize,
}

impl Row {
    fn hunt(planted: &Planted, budget: u64) -> Self {
        let found = STARTS.map(|start| {
            let (seed, violation) = planted.find(start..start + budget)?;
            Some((seed - start + 1, violation.invariant))
        });
        let mut sorted = found;
        sorted.sort_by_key(|range| range.map_or(u64::MAX, |(seeds, _)| seeds));
        Self {
            protocol: planted.protocol,
            defect: planted.defect.clone(),
            invariant: sorted[STARTS.len() / 2].map_or("not found", |(_, invariant)| invariant),
            seeds: found.map(|range| range.map(|(seeds, _)| seeds)),
            replicas: planted.replicas,
        }
    }

    fn is_found(&self) -> bool {
        self.seeds.iter().all(Option::is_some)
    }

    fn median(&self) -> String {
        let mut seeds = self.seeds.map(|seeds| seeds.unwrap_or(u64::MAX));
        seeds.sort_unstable();
        match seeds[STARTS.len() / 2] {
            u64::MAX => "–".to_string(),
            seeds => seeds.to_string(),
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let wanted = |planted: &Planted| {
        let protocol = arguments.protocol.as_deref();
        protocol.is_none_or(|protocol| planted.protocol == protocol)
            && planted.defect.contains(&arguments.defect)
    };
    let mut rows = Vec::new();
    for planted in all().into_iter().filter(wanted) {
        let row = Row::hunt(&planted, arguments.seeds);
        eprintln!("{} {} ({}): {:?}", row.protocol, row.defect, row.replicas, row.seeds);
        rows.push(row);
    }
    print_table(&rows);
    let dirty = dirty_seeds(&rows, arguments.seeds);
    if let Some(path) = &arguments.out
        && let Err(error) = write_lines(path, &rows)
    {
        eprintln!("{}: {error}", path.display());
        return ExitCode::from(2);
    }
    let missed = rows.iter().filter(|row| !row.is_found()).count();
    println!(
        "{} defects, {missed} not found in every range; without a defect: {dirty} violations",
        rows.len()
    );
    if missed == 0 && dirty == 0 && !rows.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    }
}

fn print_table(rows: &[Row]) {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header([
        "defect",
        "crate",
        "replicas",
        "caught by",
        "seeds (median of three ranges)",
    ]);
    for row in rows {
        let replicas = row.replicas.to_string();
        let cells = [&row.defect, row.protocol, &replicas, row.invariant, &row.median()];
        table.add_row(cells);
    }
    println!("{table}");
}

/// Runs the seeds that the defects took without any; how many of them break an invariant.
fn dirty_seeds(rows: &[Row], budget: u64) -> usize {
    let mut longest: BTreeMap<(&str, usize, u64), u64> = BTreeMap::new();
    for row in rows {
        for (start, seeds) in STARTS.into_iter().zip(row.seeds) {
            let entry = longest.entry((row.protocol, row.replicas, start)).or_default();
            *entry = seeds.unwrap_or(budget).max(*entry);
        }
    }
    let mut dirty = 0;
    for ((protocol, replicas, start), seeds) in longest {
        for (seed, violation) in clean(protocol, replicas, start..start + seeds) {
            eprintln!("{protocol}, {replicas} replicas, seed {seed}, no defect: {violation}");
            dirty += 1;
        }
    }
    dirty
}

fn write_lines(path: &PathBuf, rows: &[Row]) -> Result<(), Box<dyn std::error::Error>> {
    let mut text = String::new();
    for row in rows {
        text.push_str(&serde_json::to_string(row)?);
        text.push('\n');
    }
    Ok(fs::write(path, text)?)
}

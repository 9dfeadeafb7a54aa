//! The page of a record, in Markdown.

use std::fmt::Write as _;

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;

use super::{DefectRecord, GroupRecord, Record};
use crate::fault::FaultKind;

/// The page of a record.
#[must_use]
pub fn page(record: &Record) -> String {
    let mut text = String::new();
    heading(&mut text, record);
    runs(&mut text, record);
    speed(&mut text, record);
    faults(&mut text, record);
    violations(&mut text, record);
    defects(&mut text, &record.defects);
    checked(&mut text, record);
    repeat(&mut text, record);
    text
}

/// Adds a paragraph; writing into a string cannot fail.
macro_rules! say {
    ($text:expr, $($words:tt)*) => {{ let _ = writeln!($text, $($words)*); }};
}

fn heading(text: &mut String, record: &Record) {
    let sum = |of: fn(&GroupRecord) -> f64| record.groups.iter().map(of).sum::<f64>();
    let seeds: u64 = record.groups.iter().map(|group| group.seeds).sum();
    let violated: u64 = record.groups.iter().map(|group| group.violated).sum();
    let hours = sum(|group| group.simulated_hours);
    let faults: u64 = record.groups.iter().flat_map(|group| group.faults.values()).sum();
    let Record { date, threads, machine, toolchain, .. } = record;
    let commit: String = record.commit.chars().take(12).collect();
    let changed = if record.dirty { " (with changes)" } else { "" };
    say!(
        text,
        "<!-- Made by `quorate-sim --out` from summary.json. Do not edit: a test compares. -->"
    );
    say!(text, "# Simulation, {date} UTC\n");
    say!(
        text,
        "**{} runs, {hours:.1} simulated hours, {} faults, {}.**\n",
        grouped(seeds),
        grouped(faults),
        match violated {
            0 => "no violation".to_owned(),
            1 => "one violation".to_owned(),
            more => format!("{} violations", grouped(more)),
        }
    );
    say!(
        text,
        "A run is a group of replicas in virtual time whose network, disks, processes and clocks \
         fail as a seed decides. Every invariant below is checked while faults last; then all \
         faults end, and the group must serve its clients and come to agree.\n"
    );
    say!(
        text,
        "Commit `{commit}`{changed}, {toolchain}, {threads} threads on {} cores of *{}*, {}. It took \
         {}: {:.1} simulated hours in a minute.{}\n",
        machine.cores,
        machine.cpu,
        machine.kernel,
        duration(record.wall_seconds),
        hours / (record.wall_seconds / 60.0).max(1e-9),
        if record.stopped { " It was stopped by hand." } else { "" }
    );
}

fn runs(text: &mut String, record: &Record) {
    let mut table = markdown(&[
        "protocol",
        "replicas",
        "runs",
        "simulated hours",
        "steps",
        "messages",
        "slots decided",
        "client operations",
        "of known outcome",
        "histories too hard to check",
        "violations",
    ]);
    for group in &record.groups {
        table.add_row([
            group.protocol.clone(),
            group.replicas.to_string(),
            grouped(group.seeds),
            format!("{:.2}", group.simulated_hours),
            grouped(group.steps),
            grouped(group.messages),
            grouped(group.slots),
            grouped(group.operations),
            grouped(group.completed),
            grouped(group.histories_given_up),
            grouped(group.violated),
        ]);
    }
    say!(text, "## What ran\n\n{table}\n");
    say!(
        text,
        "A *step* is one input that a replica handled: a message, a request, a timer, a disk that is \
         done. A *slot* is a place in the log on which the group agreed. A *history* is what the \
         clients of one run saw; it is checked for linearizability, and given up after a fixed \
         amount of work.\n"
    );
}

fn speed(text: &mut String, record: &Record) {
    let mut table = markdown(&[
        "protocol",
        "replicas",
        "simulated seconds per second",
        "steps per second",
        "simulated hours per minute",
    ]);
    for group in &record.groups {
        table.add_row([
            group.protocol.clone(),
            group.replicas.to_string(),
            format!("{:.0}", group.simulated_seconds_per_core_second),
            grouped(group.steps_per_core_second as u64),
            format!("{:.2}", group.simulated_seconds_per_core_second / 60.0),
        ]);
    }
    say!(text, "## Speed, for each core\n\n{table}\n");
}

fn faults(text: &mut String, record: &Record) {
    let mut titles = vec!["fault".to_owned()];
    titles.extend(record.groups.iter().map(|it| format!("{}, {}", it.protocol, it.replicas)));
    let mut table = markdown(&titles.iter().map(String::as_str).collect::<Vec<_>>());
    let name_of = |kind: &FaultKind| kind.name().to_owned();
    let known: Vec<String> = FaultKind::ALL.iter().map(name_of).collect();
    // Kinds that this program no longer knows come last.
    let old = record.groups.iter().flat_map(|group| group.faults.keys());
    let old = old.filter(|name| !known.contains(name)).cloned();
    let mut names = known.clone();
    names.extend(old.collect::<std::collections::BTreeSet<_>>());
    for name in names {
        let counts: Vec<_> = record
            .groups
            .iter()
            .map(|group| group.faults.get(&name).copied().unwrap_or(0))
            .collect();
        if counts.iter().any(|count| *count > 0) {
            let mut row = vec![name];
            row.extend(counts.into_iter().map(|count| match count {
                0 => "–".to_owned(),
                count => grouped(count),
            }));
            table.add_row(row);
        }
    }
    say!(text, "## Faults\n\n{table}\n");
}

fn violations(text: &mut String, record: &Record) {
    if record.groups.iter().all(|group| group.violated == 0) {
        return;
    }
    let mut table = markdown(&["protocol", "replicas", "seed", "invariant", "what was seen"]);
    for group in &record.groups {
        for violation in &group.violations {
            table.add_row([
                group.protocol.clone(),
                group.replicas.to_string(),
                violation.seed.to_string(),
                violation.invariant.clone(),
                violation.detail.replace('|', "\\|").replace('\n', " "),
            ]);
        }
    }
    say!(text, "## Violations\n\n{table}\n");
}

fn defects(text: &mut String, defects: &[DefectRecord]) {
    if defects.is_empty() {
        return;
    }
    let mut table = markdown(&["crate", "planted defect", "replicas", "caught by", "seeds"]);
    for defect in defects {
        let seeds: Vec<_> = defect
            .seeds
            .iter()
            .map(|seeds| seeds.map_or_else(|| "not found".to_owned(), |seeds| seeds.to_string()))
            .collect();
        table.add_row([
            defect.protocol.clone(),
            defect.defect.clone(),
            defect.replicas.to_string(),
            defect.invariant.clone(),
            seeds.join(", "),
        ]);
    }
    say!(text, "## Would it notice?\n");
    say!(
        text,
        "A defect planted in the protocol, what noticed it, and how many seeds that took, counted \
         from several first seeds. Without the defect the same seeds are clean.\n\n{table}\n"
    );
}

fn checked(text: &mut String, record: &Record) {
    say!(text, "## What was checked\n\n{}.\n", record.invariants.join(" · "));
}

fn repeat(text: &mut String, record: &Record) {
    say!(text, "## Repeat it\n\n```console\n$ {}\n```\n", record.command);
    say!(
        text,
        "The first seed was {}. A run depends on nothing but its seed, its size and the commit; the \
         sums of all trace hashes were {}.",
        record.first_seed,
        record
            .groups
            .iter()
            .map(|it| format!("`{}` ({}, {})", it.trace_hash, it.protocol, it.replicas))
            .collect::<Vec<_>>()
            .join(", ")
    );
}

fn markdown(titles: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(titles);
    table
}

/// A number with its digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn duration(seconds: f64) -> String {
    match seconds {
        ..120.0 => format!("{seconds:.1} seconds"),
        ..7200.0 => format!("{:.1} minutes", seconds / 60.0),
        _ => format!("{:.1} hours", seconds / 3600.0),
    }
}

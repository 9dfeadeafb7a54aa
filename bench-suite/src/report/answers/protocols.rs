//! How the three protocols differ when all else is equal.

use crate::report::words::display;
use crate::rows::Table;
use crate::stats::{latency, short};

use super::{Answer, PROTOCOLS, Point, Source, with_unit};

pub(super) fn answer(source: &Source<'_>) -> Answer {
    Answer {
        question: "How do Paxos, Raft and PBFT differ when all else is equal?",
        points: vec![work(source), distance(source), recovery(source), under_load(source)],
    }
}

/// What the ablation of this run calls the default.
pub(super) fn default_of(table: &Table) -> &'static str {
    let variants = table.distinct("ablation", |cell| &cell.variant);
    if variants.iter().any(|variant| variant == "default") { "default" } else { "all" }
}

/// Throughput, latency, messages, bytes and CPU of the default.
fn work(source: &Source<'_>) -> Point {
    let (case, default) = (source.first_case("ablation"), default_of(source.table));
    let of = |system: &str| {
        let figure =
            |metric: &str| source.figure(["ablation", system, default, case.as_deref()?], metric);
        let number = |metric: &str| figure(metric).map_or("–".into(), |one| short(one.median));
        let time = |metric: &str| figure(metric).map_or("–".into(), |one| latency(one.median));
        Some(format!(
            "answers {}, a lone command in {} (p99 {}), with {} messages and {} bytes between replicas and {} CPU µs for each command",
            with_unit(figure("throughput")?, "commands/s"),
            time("latency_p50"),
            time("latency_p99"),
            number("messages"),
            number("wire_bytes"),
            number("cpu")
        ))
    };
    let parts: Vec<String> = PROTOCOLS
        .iter()
        .filter_map(|system| Some(format!("{} {}", display(system), of(system)?)))
        .collect();
    source.point("ablation", (!parts.is_empty()).then(|| format!("{}.", parts.join("; "))))
}

/// Latency by distance, in round trips.
fn distance(source: &Source<'_>) -> Point {
    let figures = source.figures("wan", "latency_p50");
    let trips = |system: &str| {
        let far = figures.iter().filter(|(cell, _)| cell.system == system);
        let far = far.filter_map(|(cell, figure)| {
            let round_trip: f64 = cell.case.strip_prefix("rtt-")?.parse().ok()?;
            Some((round_trip, figure.median / 1e3 / round_trip))
        });
        let (round_trip, trips) = far.max_by(|a, b| a.0.total_cmp(&b.0))?;
        Some(format!("{trips:.2} round trips of {round_trip} ms"))
    };
    let text = source.each_protocol(trips);
    source.point("wan", text.map(|trips| format!("Far apart, a command takes: {trips}.")))
}

/// Time without service, median and worst, for each fault.
fn recovery(source: &Source<'_>) -> Point {
    let rows = source.table.rows().iter();
    let of_faults = rows.filter(|row| row.cell.experiment == "faults" && row.proof.is_verified());
    let times: Vec<_> = of_faults.filter(|row| ["ms", "us"].contains(&row.unit)).collect();
    let mut metrics: Vec<&str> = Vec::new();
    for row in &times {
        if !metrics.contains(&row.metric.as_str()) {
            metrics.push(&row.metric);
        }
    }
    // The first metric of the experiment is its answer; others explain it.
    let Some(metric) = metrics.first() else { return source.point("faults", None) };
    let mut cases: Vec<&str> = Vec::new();
    for row in times.iter().filter(|row| row.metric == *metric) {
        if !cases.contains(&row.cell.case.as_str()) {
            cases.push(&row.cell.case);
        }
    }
    let of_case = |case: &&str| {
        let of_system = |system: &str| {
            let row = times.iter().find(|row| {
                row.metric == *metric && row.cell.case == *case && row.cell.system == system
            })?;
            let figure = row.interval?;
            Some(with_unit(figure, if row.unit == "us" { "µs" } else { row.unit }))
        };
        let systems = source.each_protocol(of_system)?;
        Some(format!("{}: {systems}", case.replace('-', " ")))
    };
    let parts: Vec<String> = cases.iter().filter_map(of_case).collect();
    let text = (!parts.is_empty())
        .then(|| format!("Time without service after a fault, median: {}.", parts.join("; ")));
    source.point("faults", text)
}

/// The peak with different cluster sizes.
fn under_load(source: &Source<'_>) -> Point {
    let figures = source.figures("protocols", "throughput");
    let of = |system: &str| {
        let of_system: Vec<_> = figures.iter().filter(|(cell, _)| cell.system == system).collect();
        let best = of_system.iter().max_by(|a, b| super::by_median(a, b))?;
        let worst = of_system.iter().min_by(|a, b| super::by_median(a, b))?;
        Some(format!(
            "from {} ({} {}) to {} ({} {})",
            with_unit(worst.1, "commands/s"),
            worst.0.variant.replace('-', " "),
            worst.0.case.replace('-', " "),
            with_unit(best.1, "commands/s"),
            best.0.variant.replace('-', " "),
            best.0.case.replace('-', " ")
        ))
    };
    let text = source.each_protocol(of);
    source.point("protocols", text.map(|of| format!("Over all workloads and sizes: {of}.")))
}

//! How the three protocols differ when all else is equal.

use crate::metric::Metric;
use crate::report::words::display;
use crate::run::Cell;
use crate::stats::{latency, short};

use super::{Answer, PROTOCOLS, Point, Source, distinct, number_in, with_unit};

/// The time without service, in milliseconds.
const OUTAGE: &str = "outage";

pub(super) fn answer(source: &Source<'_>) -> Answer {
    Answer {
        question: "How do Paxos, Raft and PBFT differ when all else is equal?",
        points: vec![work(source), distance(source), recovery(source), under_load(source)],
    }
}

/// Throughput, latency, messages, bytes and CPU of the default.
fn work(source: &Source<'_>) -> Point {
    let (case, default) = (source.first_case("ablation"), source.table.default_variant());
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
    let figures = source.figures("faults", OUTAGE);
    let worst = |cell: &Cell| {
        let outage = Metric::from_name(OUTAGE)?;
        let of_cell = source.run.samples.iter().filter(|sample| sample.cell == *cell);
        let times = of_cell.filter_map(|sample| sample.values.get(&outage).copied());
        times.max_by(f64::total_cmp)
    };
    let of_system = |system: &str, fault: &str| {
        let wanted = |cell: &Cell| cell.system == system && cell.case == fault;
        let (cell, figure) = figures.iter().find(|(cell, _)| wanted(cell))?;
        Some(format!("{} (worst {} ms)", with_unit(*figure, "ms"), short(worst(cell)?)))
    };
    let of_fault = |fault: &String| {
        let systems = source.each_protocol(|system| of_system(system, fault))?;
        Some(format!("{}: {systems}", fault.replace('-', " ")))
    };
    let faults = distinct(figures.iter().map(|(cell, _)| &cell.case));
    let parts: Vec<String> = faults.into_iter().filter_map(of_fault).collect();
    let text = (!parts.is_empty())
        .then(|| format!("Time without service after a fault: {}.", parts.join("; ")));
    source.point("faults", text)
}

/// The peak by cluster size, and the workload that each protocol bears worst.
fn under_load(source: &Source<'_>) -> Point {
    let figures = source.figures("protocols", "throughput");
    let of = |system: &str| {
        let peaks = || {
            let of_system = figures.iter().filter(|(cell, _)| cell.system == system);
            of_system.filter(|(cell, _)| !cell.case.starts_with("share-"))
        };
        let first = peaks().next()?;
        let sizes: Vec<String> = peaks()
            .filter(|(cell, _)| cell.case == first.0.case)
            .map(|(cell, figure)| {
                let faults = number_in(&cell.variant).unwrap_or_default();
                format!("{} tolerating {faults}", with_unit(*figure, "commands/s"))
            })
            .collect();
        let worst = peaks()
            .filter(|(cell, _)| cell.variant == first.0.variant)
            .min_by(|a, b| super::by_median(a, b))?;
        Some(format!(
            "{} ({}; worst workload {}, {})",
            sizes.join(", "),
            first.0.case.replace('-', " "),
            worst.0.case.replace('-', " "),
            with_unit(worst.1, "commands/s"),
        ))
    };
    let text = source.each_protocol(of);
    source.point("protocols", text.map(|of| format!("Peaks: {of}.")))
}

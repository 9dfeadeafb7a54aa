//! What figures and tables of scheduled load share: which loads were kept up with, lines of
//! latency, columns of a table.

use crate::metric::Metric;
use crate::report::tables::proof;
use crate::rows::Table;
use crate::run::Cell;
use crate::stats::{Interval, latency, short};

/// The share of what was due that must have been answered in time; below it a load is saturated.
pub(super) const KEPT_UP: f64 = 0.95;

/// Whether the schedule slipped in `cell`; `None` without a verified figure.
pub(super) fn saturated(table: &Table, cell: &Cell) -> Option<bool> {
    let offered = table.figure(cell, Metric::Offered.name())?;
    let achieved = table.figure(cell, Metric::Achieved.name()).map_or(0.0, |i| i.median);
    Some(achieved < KEPT_UP * offered.median)
}

/// The figure of `metric` in a cell whose schedule was kept.
pub(super) fn kept(table: &Table, cell: &Cell, metric: Metric) -> Option<Interval> {
    table.figure(cell, metric.name()).filter(|_| saturated(table, cell) == Some(false))
}

/// Points of `metric` over what was due in a second, of those `cells` whose schedule was kept.
pub(super) fn points(table: &Table, cells: &[Cell], metric: Metric) -> Vec<(f64, Interval)> {
    let point = |cell: &Cell| {
        let offered = table.figure(cell, Metric::Offered.name())?.median;
        Some((offered, kept(table, cell, metric)?))
    };
    sorted(cells.iter().filter_map(point).collect())
}

/// Points by ascending x.
pub(super) fn sorted(mut points: Vec<(f64, Interval)>) -> Vec<(f64, Interval)> {
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

/// The columns of [`columns`] with their units.
pub(super) const HEADER: [&str; 10] = [
    "due per second",
    "answered per second",
    "commands per batch",
    "p50",
    "p90",
    "p99",
    "p99.9",
    "max",
    "requests",
    "proof",
];

/// A scheduled cell as columns of a table; what saturated is marked, and its latencies are lower
/// bounds.
pub(super) fn columns(table: &Table, cell: &Cell) -> Vec<String> {
    let figure = |metric: Metric| table.figure(cell, metric.name()).map(|i| i.median);
    let count = |metric| figure(metric).map_or_else(|| "–".into(), short);
    let slipped = saturated(table, cell) == Some(true);
    let bound = if slipped { "≥ " } else { "" };
    let time =
        |metric| figure(metric).map_or_else(|| "–".into(), |us| format!("{bound}{}", latency(us)));
    let answered = count(Metric::Achieved) + if slipped { " (saturated)" } else { "" };
    vec![
        count(Metric::Offered),
        answered,
        count(Metric::Batch),
        time(Metric::LatencyP50),
        time(Metric::LatencyP90),
        time(Metric::LatencyP99),
        time(Metric::LatencyP999),
        time(Metric::LatencyMax),
        count(Metric::LatencySamples),
        proof(table, cell),
    ]
}

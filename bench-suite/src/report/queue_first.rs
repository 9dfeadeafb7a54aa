//! The queue experiment as runs until November 2026 had it: two shapes, four queues, one policy each.
//!
//! Those runs are kept and stay readable; new runs have the layout of `queue`.

use crate::error::BenchError;
use crate::metric::Metric;
use crate::report::chart::Horizontal;
use crate::report::figures::{Figure, REAL_TIME, alt_of, ink_of, point_line, shape_of};
use crate::report::tables::{TableView, marked_change, proof};
use crate::report::words::{span, with_interval};
use crate::rows::Table;
use crate::run::Cell;

/// What was asked then.
pub(super) const QUESTION: &str =
    "How fast is the queue under all of this, against what else there is?";
/// How it was measured then.
pub(super) const METHOD: &str = "Items of 8 bytes through a bounded queue of 1,024, from producers to consumers on all cores; blocking channels wait as they do by default, the bare ring of crossbeam (`ArrayQueue`) spins with back-off. Batch mode moves 64 items at once and only mq has it. One hand-over is half of a round trip between two threads, each of which waits for the other.";

/// Whether the table is of that time.
pub(super) fn is_first_layout(table: &Table) -> bool {
    table.distinct("queue", |cell| &cell.case).iter().any(|case| case == "1p1c")
}

/// The table of that time.
pub(super) fn table_view(table: &Table) -> TableView {
    let mut rows = Vec::new();
    for case in table.distinct("queue", |cell| &cell.case) {
        for system in table.distinct("queue", |cell| &cell.system) {
            for variant in table.distinct("queue", |cell| &cell.variant) {
                let cell = Cell::new("queue", &system, &variant, &case);
                let Some(rate) = table.figure(&cell, Metric::Rate.name()) else { continue };
                let against = table.figure(&cell, "rate_vs_crossbeam");
                rows.push(vec![
                    case.clone(),
                    system.clone(),
                    variant.clone(),
                    with_interval(rate),
                    against.map_or_else(|| "–".into(), |i| marked_change(i.median, i.may_be(1.0))),
                    proof(table, &cell),
                ]);
            }
        }
    }
    TableView {
        caption: "Queues, items of 8 bytes".into(),
        header: [
            "threads",
            "queue",
            "mode",
            "items/s (95 % interval)",
            "against crossbeam",
            "proof",
        ]
        .map(str::to_owned)
        .into(),
        rows,
    }
}

/// The figure of that time.
///
/// # Errors
/// When a plot cannot be drawn.
pub(super) fn figure(table: &Table) -> Result<Figure, BenchError> {
    let systems = table.distinct("queue", |cell| &cell.system);
    let mut panels = Vec::new();
    let mut against = Vec::new();
    for case in table.distinct("queue", |cell| &cell.case) {
        let mut lines = Vec::new();
        for variant in table.distinct("queue", |cell| &cell.variant) {
            for system in &systems {
                let cell = Cell::new("queue", system, &variant, &case);
                let Some(interval) = table.figure(&cell, Metric::Rate.name()) else { continue };
                let single = variant == "single";
                let label = if single { system.clone() } else { format!("{system}, {variant}") };
                if system == "mq" && single {
                    against.extend(table.figure(&cell, "rate_vs_crossbeam").map(|i| i.median));
                }
                lines.push(point_line(
                    label,
                    Some(interval),
                    (if single { shape_of(system) } else { 2 }, ink_of(system)),
                ));
            }
        }
        let chart = Horizontal {
            title: case.clone(),
            axis: "items/s".into(),
            reference: None,
            factors: false,
            lines,
            legend: Vec::new(),
        };
        panels.push(chart.draw(&format!("{case}, items/s: {}", alt_of(&chart.lines)))?.inline);
    }
    let reading = span(&against, crate::stats::change).map_or_else(
        || "No verified comparison.".into(),
        |span| format!("One item at a time, mq against crossbeam's channel: {span}, depending on the threads."),
    );
    Ok(Figure {
        title: "Hand-over through a bounded queue".into(),
        clock: REAL_TIME,
        reading,
        panels,
    })
}

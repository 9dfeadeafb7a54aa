//! The report on stages and threads.

use crate::error::BenchError;
use crate::experiment::stages::LAYOUTS;
use crate::metric::Metric;
use crate::report::canvas::Ink;
use crate::report::chart::{Horizontal, Line, Mark};
use crate::report::figures::{Figure, REAL_TIME, ink_of, shape_of};
use crate::report::tables::{TableView, proof};
use crate::report::words::{display, span, with_interval};
use crate::rows::{FLOOR_SYSTEM, Table};
use crate::run::Cell;
use crate::stats::{Interval, change, short};

const NAME: &str = "stages";

fn figure(table: &Table, system: &str, layout: &str, metric: Metric) -> Option<Interval> {
    let case = table.distinct(NAME, |cell| &cell.case).into_iter().next()?;
    table.figure(&Cell::new(NAME, system, layout, &case), metric.name())
}

/// The figures of the experiment.
///
/// # Errors
/// When a plot cannot be drawn.
pub(super) fn figures(table: &Table) -> Result<Vec<Figure>, BenchError> {
    let systems = table.distinct(NAME, |cell| &cell.system);
    let panels = [
        (Metric::Throughput, "Throughput", "commands/s, closed loop"),
        (Metric::LatencyP50, "Latency at low load", "median from the intended send time, µs"),
        (Metric::LatencyP99, "Its tail", "99th percentile, µs"),
        (Metric::HandedOver, "Hand-overs between threads", "per command, under full load"),
        (Metric::Wakeups, "Wake-ups of threads", "per thousand commands, under full load"),
        (Metric::Cpu, "CPU time, client included", "CPU seconds per million commands"),
    ]
    .into_iter()
    .map(|(metric, title, axis)| panel(table, &systems, metric, (title, axis)))
    .collect::<Result<_, _>>()?;
    let reading = reading(table, &systems);
    let title = "What do threads buy, and what do hand-overs cost?".into();
    Ok(vec![Figure { title, clock: REAL_TIME, reading, panels }])
}

fn panel(
    table: &Table,
    systems: &[String],
    metric: Metric,
    (title, axis): (&str, &str),
) -> Result<String, BenchError> {
    let line = |(layout, _): (&str, _)| {
        let point = |system: &String| {
            // Nothing to hand over has no place on a logarithmic axis; the table shows the zero.
            let value = figure(table, system, layout, metric).filter(|i| i.median > 0.0)?;
            Some((shape_of(system), ink_of(system), value))
        };
        let points: Vec<(usize, Ink, Interval)> = systems.iter().filter_map(point).collect();
        let mark = if points.is_empty() { Mark::Note("none".into()) } else { Mark::Points(points) };
        let (label, value) = (layout.replace('-', " "), String::new());
        Line { label, mark, value, ink: Ink::Text, starts_group: false }
    };
    let chart = Horizontal {
        title: title.into(),
        axis: axis.into(),
        reference: None,
        factors: false,
        lines: LAYOUTS.into_iter().map(line).collect(),
        legend: systems.iter().map(|s| (shape_of(s), ink_of(s), display(s))).collect(),
    };
    let alt = format!("{title}, {axis}, by layout; the table has the figures");
    Ok(chart.draw(&alt)?.inline)
}

/// What a layout changes against inline, over the protocols.
fn reading(table: &Table, systems: &[String]) -> String {
    let against_inline = |layout: &str, metric: Metric| {
        let ratio = |system: &String| {
            let inline = figure(table, system, "inline", metric)?;
            Some(figure(table, system, layout, metric)?.median / inline.median)
        };
        let protocols = systems.iter().filter(|system| *system != FLOOR_SYSTEM);
        span(&protocols.filter_map(ratio).collect::<Vec<_>>(), change)
    };
    let sentence = |layout: &str, words: &str| {
        let throughput = against_inline(layout, Metric::Throughput)?;
        let latency = against_inline(layout, Metric::LatencyP50)?;
        let cpu = against_inline(layout, Metric::Cpu)?;
        Some(format!(
            "{words} changes throughput by {throughput}, the median at low load by {latency} and CPU per command by {cpu}"
        ))
    };
    let parts: Vec<String> = [
        sentence("per-stage", "a thread for each stage"),
        sentence("per-group", "a thread for each core with four groups"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if parts.is_empty() {
        return "No verified figures.".into();
    }
    format!("Against everything on one thread, over the protocols: {}.", parts.join("; "))
}

/// The table of the experiment.
pub(super) fn table(table: &Table) -> TableView {
    let mut rows = Vec::new();
    for system in table.distinct(NAME, |cell| &cell.system) {
        for case in table.distinct(NAME, |cell| &cell.case) {
            for (layout, _) in LAYOUTS {
                let number = |metric: Metric| {
                    figure(table, &system, layout, metric)
                        .map_or_else(|| "–".into(), |i| short(i.median))
                };
                let throughput = figure(table, &system, layout, Metric::Throughput);
                rows.push(vec![
                    format!("{}, {}", display(&system), layout.replace('-', " ")),
                    throughput.map_or_else(|| "–".into(), with_interval),
                    number(Metric::LatencyP50),
                    number(Metric::LatencyP99),
                    number(Metric::HandedOver),
                    number(Metric::Wakeups),
                    number(Metric::Cpu),
                    proof(table, &Cell::new(NAME, &system, layout, &case)),
                ]);
            }
        }
    }
    let header = [
        "system, layout",
        "commands/s (95 % interval)",
        "p50 µs at low load",
        "p99 µs",
        "hand-overs per command",
        "wake-ups per thousand",
        "CPU s per million",
        "proof",
    ];
    TableView {
        caption: "Layouts of stages over threads, commands of 16 bytes".into(),
        header: header.map(str::to_owned).into(),
        rows,
    }
}

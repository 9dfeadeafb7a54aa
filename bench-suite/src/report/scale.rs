//! Figures and tables of cluster size and number of groups.

use crate::error::BenchError;
use crate::experiment::simulated::CLOCK;
use crate::metric::Metric;
use crate::report::chart::{Lines, Series};
use crate::report::figures::{Figure, ink_of, shape_of};
use crate::report::tables::{TableView, proof};
use crate::report::words::display;
use crate::rows::Table;
use crate::run::Cell;
use crate::stats::{Interval, latency, short, three_digits};

const NAME: &str = "scale";

/// A metric over the number in the cases that start with `prefix`.
fn points(
    table: &Table,
    system: &str,
    (prefix, variant): (&str, &str),
    metric: Metric,
) -> Vec<(f64, Interval)> {
    let point = |case: &String| {
        let count: f64 = case.strip_prefix(prefix)?.parse().ok()?;
        let cell = Cell::new(NAME, system, variant, case);
        Some((count, table.figure(&cell, metric.name())?))
    };
    let mut points: Vec<_> =
        table.distinct(NAME, |cell| &cell.case).iter().filter_map(point).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

/// A panel: title, vertical axis, variant, metric.
type Panel = (&'static str, &'static str, &'static str, Metric);

pub(crate) fn figures(table: &Table) -> Result<Vec<Figure>, BenchError> {
    let systems = table.distinct(NAME, |cell| &cell.system);
    let panel = |(prefix, x_axis): (&str, &str), (title, y_axis, variant, metric): Panel| {
        let series = systems.iter().map(|system| Series {
            name: display(system),
            ink: ink_of(system),
            shape: shape_of(system),
            points: points(table, system, (prefix, variant), metric),
            is_level: false,
        });
        let chart = Lines {
            title: title.into(),
            x_axis: x_axis.into(),
            y_axis: y_axis.into(),
            series: series.collect(),
        };
        let alt = format!(
            "{title}: {y_axis} against {x_axis}, one line for each protocol; the table has the figures"
        );
        Ok::<_, BenchError>(chart.draw(&alt)?.inline)
    };
    let replicas = ("replicas-", "replicas in the group");
    let groups = ("groups-", "groups on the same hosts");
    let throughput = ("Throughput", "commands/s, closed loop", "full", Metric::Throughput);
    let messages = ("Messages", "messages per command, full load", "full", Metric::Messages);
    Ok(vec![
        Figure {
            title: "What more replicas cost".into(),
            clock: CLOCK,
            reading: replicas_reading(table, &systems),
            panels: vec![
                panel(replicas, throughput)?,
                panel(
                    replicas,
                    ("Latency alone", "median, µs, one request", "light", Metric::LatencyP50),
                )?,
                panel(replicas, messages)?,
            ],
        },
        Figure {
            title: "What more groups cost".into(),
            clock: CLOCK,
            reading: groups_reading(table, &systems),
            panels: vec![
                panel(groups, throughput)?,
                panel(groups, ("Latency", "median, µs, full load", "full", Metric::LatencyP50))?,
                panel(groups, messages)?,
            ],
        },
    ])
}

/// First and last figure of a line, with what they stand for.
fn ends(points: &[(f64, Interval)]) -> Option<[(f64, f64); 2]> {
    let (first, last) = (points.first()?, points.last()?);
    Some([(first.0, first.1.median), (last.0, last.1.median)])
}

fn replicas_reading(table: &Table, systems: &[String]) -> String {
    let sentence = |system: &String| {
        let of = |variant, metric| ends(&points(table, system, ("replicas-", variant), metric));
        let [(few, fast), (many, slow)] = of("full", Metric::Throughput)?;
        let [(_, near), (_, far)] = of("light", Metric::LatencyP50)?;
        Some(format!(
            "{} falls from {} commands/s with {few} replicas to {} with {many}, and a lone command takes {} instead of {}",
            display(system),
            short(fast),
            short(slow),
            latency(far),
            latency(near)
        ))
    };
    let sentences: Vec<String> = systems.iter().filter_map(sentence).collect();
    if sentences.is_empty() { "No verified figures.".into() } else { sentences.join("; ") + "." }
}

fn groups_reading(table: &Table, systems: &[String]) -> String {
    let sentence = |system: &String| {
        let [(few, alone), (many, together)] =
            ends(&points(table, system, ("groups-", "full"), Metric::Throughput))?;
        Some(format!(
            "{} answers {} commands/s with {few} group{} and {} with {many}, a factor of {}",
            display(system),
            short(alone),
            if few > 1.0 { "s" } else { "" },
            short(together),
            three_digits(together / alone)
        ))
    };
    let sentences: Vec<String> = systems.iter().filter_map(sentence).collect();
    if sentences.is_empty() { "No verified figures.".into() } else { sentences.join("; ") + "." }
}

pub(crate) fn tables(table: &Table) -> Vec<TableView> {
    let view = |(prefix, first): (&str, &str), caption: &str| {
        let mut rows = Vec::new();
        for case in table.distinct(NAME, |cell| &cell.case) {
            let Some(count) = case.strip_prefix(prefix) else { continue };
            for system in table.distinct(NAME, |cell| &cell.system) {
                rows.extend(row(table, &system, &case, count));
            }
        }
        let header = [
            first,
            "system",
            "commands/s",
            "commands per batch",
            "messages per command",
            "bytes per command",
            "leader's core busy",
            "p50 at full load",
            "p50 of a lone command",
            "proof",
        ];
        TableView { caption: caption.into(), header: header.map(str::to_owned).into(), rows }
    };
    vec![
        view(("replicas-", "replicas"), "One group of many replicas"),
        view(("groups-", "groups"), "Many groups on three hosts (PBFT four)"),
    ]
}

fn row(table: &Table, system: &str, case: &str, count: &str) -> Option<Vec<String>> {
    let cell = Cell::new(NAME, system, "full", case);
    table.rows().iter().find(|row| row.cell == cell)?;
    let figure = |metric: Metric| table.figure(&cell, metric.name()).map(|i| i.median);
    let number = |metric| figure(metric).map_or_else(|| "–".into(), short);
    let light = Cell { variant: "light".into(), ..cell.clone() };
    let alone = table.figure(&light, Metric::LatencyP50.name()).map(|i| i.median);
    Some(vec![
        count.to_owned(),
        display(system),
        number(Metric::Throughput),
        number(Metric::Batch),
        number(Metric::Messages),
        number(Metric::WireBytes),
        figure(Metric::LeaderBusy)
            .map_or_else(|| "–".into(), |busy| format!("{:.0} %", busy * 100.0)),
        figure(Metric::LatencyP50).map_or_else(|| "–".into(), latency),
        alone.map_or_else(|| "–".into(), latency),
        proof(table, &cell),
    ])
}

//! Figures and tables of window depth against round-trip time.

use crate::error::BenchError;
use crate::experiment::pipelining::BATCH_COUNT;
use crate::experiment::simulated::{self, CLOCK};
use crate::experiment::system::PROTOCOLS;
use crate::metric::Metric;
use crate::report::canvas::Ink;
use crate::report::chart::{Guide, Lines, Series};
use crate::report::figures::Figure;
use crate::report::tables::{TableView, proof};
use crate::report::words::{display, span};
use crate::rows::Table;
use crate::run::Cell;
use crate::stats::{Interval, short, three_digits};

const NAME: &str = "pipelining";
/// From this share of the best throughput on, a wider window buys little.
const KNEE_SHARE: f64 = 0.9;
const INKS: [Ink; 4] = [Ink::Blue, Ink::Green, Ink::Red, Ink::Purple];

/// A round trip, by its variant `rtt-100us`, in microseconds.
fn round_trip_us(variant: &str) -> Option<f64> {
    variant.strip_prefix("rtt-")?.strip_suffix("us")?.parse().ok()
}

fn round_trip_words(variant: &str) -> String {
    round_trip_us(variant).map_or_else(|| variant.into(), |us| format!("{} ms", plain(us / 1e3)))
}

/// A number without digits that say nothing.
fn plain(value: f64) -> String {
    format!("{value}")
}

fn window_of(case: &str) -> Option<f64> {
    case.strip_prefix("window-")?.parse().ok()
}

/// Throughput over windows of one system at one distance.
fn points(table: &Table, system: &str, variant: &str) -> Vec<(f64, Interval)> {
    let cases = table.distinct(NAME, |cell| &cell.case);
    let point = |case: &String| {
        let cell = Cell::new(NAME, system, variant, case);
        Some((window_of(case)?, table.figure(&cell, Metric::Throughput.name())?))
    };
    cases.iter().filter_map(point).collect()
}

/// Round trips from proposal to decision.
fn rounds(system: &str) -> f64 {
    let named = PROTOCOLS.into_iter().find(|known| known.name() == system);
    named.map_or(1.0, simulated::round_trips)
}

/// What the window allows, in commands a second.
fn ceiling(system: &str, window: f64, round_trip_us: f64) -> f64 {
    window * BATCH_COUNT as f64 / (round_trip_us / 1e6 * rounds(system))
}

pub(crate) fn figures(table: &Table) -> Result<Vec<Figure>, BenchError> {
    let systems = table.distinct(NAME, |cell| &cell.system);
    let variants = table.distinct(NAME, |cell| &cell.variant);
    let panel = |system: &String| -> Result<String, BenchError> {
        let series = variants.iter().zip(INKS.into_iter().cycle()).enumerate();
        let series = series.map(|(shape, (variant, ink))| Series {
            name: round_trip_words(variant),
            ink,
            shape,
            points: points(table, system, variant),
            is_level: false,
        });
        let chart = Lines {
            title: display(system),
            x_axis: "batches in flight, at most".into(),
            y_axis: "commands/s, closed loop".into(),
            series: series.collect(),
        };
        let guides: Vec<Guide> = variants
            .iter()
            .zip(INKS.into_iter().cycle())
            .filter_map(|(variant, ink)| guide(table, system, variant, ink))
            .collect();
        let alt = format!(
            "{}: throughput against the window, one line for each round trip, dashed the formula; the table has the figures",
            display(system)
        );
        Ok(chart.draw_with(&guides, &alt)?.inline)
    };
    Ok(vec![Figure {
        title: "How many batches must be in flight?".into(),
        clock: CLOCK,
        reading: reading(table, &systems, &variants),
        panels: systems.iter().map(panel).collect::<Result<_, _>>()?,
    }])
}

fn guide(table: &Table, system: &str, variant: &str, ink: Ink) -> Option<Guide> {
    let round_trip = round_trip_us(variant)?;
    let windows = points(table, system, variant);
    let points = windows.iter().map(|(window, _)| (*window, ceiling(system, *window, round_trip)));
    Some(Guide { ink, points: points.collect() })
}

/// The smallest window that reaches [`KNEE_SHARE`] of the best at this distance; `None` where the
/// widest one still gains.
fn knee(points: &[(f64, Interval)]) -> Option<f64> {
    let best = points.iter().map(|(_, i)| i.median).fold(0.0, f64::max);
    let (widest, _) = points.last()?;
    let reached = |(_, i): &&(f64, Interval)| i.median >= KNEE_SHARE * best;
    points.iter().find(reached).map(|(window, _)| *window).filter(|window| window < widest)
}

fn reading(table: &Table, systems: &[String], variants: &[String]) -> String {
    let mut sentences = Vec::new();
    for variant in variants {
        let by_system: Vec<Vec<(f64, Interval)>> =
            systems.iter().map(|system| points(table, system, variant)).collect();
        let gains: Vec<f64> = by_system
            .iter()
            .filter_map(|points| Some(points.last()?.1.median / points.first()?.1.median))
            .collect();
        let Some(gain) = span(&gains, |gain| format!("×{}", three_digits(gain))) else { continue };
        let knees: Vec<f64> = by_system.iter().filter_map(|points| knee(points)).collect();
        let enough = match span(&knees, plain) {
            Some(enough) if knees.len() == by_system.len() => {
                format!("{enough} batches are enough for 90 % of the best")
            }
            _ => "the widest window still gains".into(),
        };
        sentences.push(format!(
            "With {} between replicas the widest window brings {gain} over one batch at a time; {enough}.",
            round_trip_words(variant)
        ));
    }
    if sentences.is_empty() { "No verified figures.".into() } else { sentences.join(" ") }
}

pub(crate) fn tables(table: &Table) -> Vec<TableView> {
    let variants = table.distinct(NAME, |cell| &cell.variant);
    let cases = table.distinct(NAME, |cell| &cell.case);
    let view = |system: String| {
        let row = |case: &String| {
            let mut row = vec![window_of(case).map_or_else(|| case.clone(), plain)];
            row.extend(variants.iter().map(|variant| field(table, &system, variant, case)));
            row
        };
        let mut header = vec!["batches in flight".to_owned()];
        header.extend(variants.iter().map(|variant| round_trip_words(variant)));
        TableView {
            caption: format!(
                "{}: commands/s by window and round trip, and in brackets the share of the formula and how busy the leader's core was",
                display(&system)
            ),
            header,
            rows: cases.iter().map(row).collect(),
        }
    };
    table.distinct(NAME, |cell| &cell.system).into_iter().map(view).collect()
}

fn field(table: &Table, system: &str, variant: &str, case: &str) -> String {
    let cell = Cell::new(NAME, system, variant, case);
    let figure = |metric: Metric| table.figure(&cell, metric.name()).map(|i| i.median);
    let (Some(throughput), Some(round_trip), Some(window)) =
        (figure(Metric::Throughput), round_trip_us(variant), window_of(case))
    else {
        return proof(table, &cell);
    };
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let share = percent(throughput / ceiling(system, window, round_trip));
    let busy = figure(Metric::LeaderBusy).map_or_else(|| "–".into(), percent);
    format!("{} ({share}, {busy})", short(throughput))
}

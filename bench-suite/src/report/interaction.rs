//! The ablation's interactions: a panel for each protocol, a table, and the sentence between.

use crate::error::BenchError;
use crate::experiment::variant::{OPTIMISATIONS, only, pair, pairs};
use crate::report::chart::{Horizontal, Line};
use crate::report::figures::{Figure, REAL_TIME, alt_of, bar_line};
use crate::report::tables::{TableView, marked_change, proof};
use crate::report::words::{display, span};
use crate::rows::Table;
use crate::rows::interaction::{INTERACTION, beside};
use crate::run::Cell;
use crate::stats::{Interval, change, three_digits};

/// The cell in which both of a pair are on.
fn cell(system: &str, both: (usize, usize), case: &str) -> Cell {
    Cell::new("ablation", system, &pair(both), case)
}

/// A pair's name.
fn name((one, other): (usize, usize)) -> String {
    format!("{} and {}", OPTIMISATIONS[one], OPTIMISATIONS[other])
}

/// The figure of `case`; none where no pair was measured.
///
/// # Errors
/// When a panel cannot be drawn.
pub(super) fn figure(
    table: &Table,
    systems: &[String],
    case: &str,
) -> Result<Option<Figure>, BenchError> {
    let measured = |system: &String| {
        pairs().iter().any(|both| table.figure(&cell(system, *both, case), INTERACTION).is_some())
    };
    let systems: Vec<&String> = systems.iter().filter(|system| measured(system)).collect();
    if systems.is_empty() {
        return Ok(None);
    }
    let panel = |system: &&String| {
        let line = |both: (usize, usize)| -> Line {
            let factor = table.figure(&cell(system, both, case), INTERACTION);
            let line = bar_line(name(both), factor);
            let Some(factor) = factor else { return line };
            let words = format!("×{}", three_digits(factor.median));
            let value = if factor.may_be(1.0) { format!("({words})") } else { words };
            Line { value, ..line }
        };
        let chart = Horizontal {
            title: display(system),
            axis: "both, over the product of each".into(),
            reference: Some(1.0),
            factors: true,
            lines: pairs().map(line).into(),
            legend: Vec::new(),
        };
        let alt =
            format!("{}, interaction of throughput: {}", display(system), alt_of(&chart.lines));
        Ok(chart.draw(&alt)?.inline)
    };
    Ok(Some(Figure {
        title: format!("What two optimisations do to one another ({case})"),
        clock: REAL_TIME,
        reading: reading(table, &systems, case),
        panels: systems.iter().map(panel).collect::<Result<_, BenchError>>()?,
    }))
}

/// The pair that gains most by being together, the one that loses most, and what compression does
/// with and without batching.
fn reading(table: &Table, systems: &[&String], case: &str) -> String {
    let factors = |both: (usize, usize)| -> Vec<f64> {
        let factor = |system: &&String| table.figure(&cell(system, both, case), INTERACTION);
        systems.iter().filter_map(factor).map(|interval| interval.median).collect()
    };
    let extremes: Vec<(String, f64, f64, String)> = pairs()
        .into_iter()
        .filter_map(|both| {
            let factors = factors(both);
            let words = span(&factors, |factor| format!("×{}", three_digits(factor)))?;
            let low = factors.iter().copied().min_by(f64::total_cmp)?;
            let high = factors.iter().copied().max_by(f64::total_cmp)?;
            Some((name(both), low, high, words))
        })
        .collect();
    let mut text = String::from("×1 means that the gains of both multiply.");
    let most = extremes.iter().max_by(|a, b| a.2.total_cmp(&b.2)).filter(|pair| pair.2 > 1.0);
    let least = extremes.iter().min_by(|a, b| a.1.total_cmp(&b.1)).filter(|pair| pair.1 < 1.0);
    if let Some((name, _, _, words)) = most {
        text += &format!(" More than that: {name} ({words} over the protocols).");
    }
    if let Some((name, _, _, words)) = least {
        text += &format!(" Least of it: {name} ({words}).");
    }
    text + &compression_beside_batching(table, systems, case)
}

fn compression_beside_batching(table: &Table, systems: &[&String], case: &str) -> String {
    let medians = |variant: &str, metric: &str| -> Vec<f64> {
        let figure =
            |system: &&String| table.figure(&Cell::new("ablation", system, variant, case), metric);
        systems.iter().filter_map(figure).map(|interval| interval.median).collect()
    };
    let alone = span(&medians(&only("compression"), "throughput_vs_none"), change);
    let metric = beside("compression", "batching");
    let both = span(&medians(&pair((0, 1)), &metric), change);
    match (alone, both) {
        (Some(alone), Some(both)) => {
            format!(
                " Compression changes throughput by {alone} without batching, by {both} with it."
            )
        }
        _ => String::new(),
    }
}

/// The interactions of `case` with what each optimisation does alone and beside the other.
pub(super) fn table(table: &Table, case: &str) -> Option<TableView> {
    let systems = table.distinct("ablation", |cell| &cell.system);
    let changed = |figure: Option<Interval>| {
        figure.map_or_else(|| "–".into(), |i| marked_change(i.median, i.may_be(1.0)))
    };
    let alone = |system: &str, optimisation: &str| {
        let cell = Cell::new("ablation", system, &only(optimisation), case);
        changed(table.figure(&cell, "throughput_vs_none"))
    };
    let row = |system: &String, (one, other): (usize, usize)| {
        let cell = cell(system, (one, other), case);
        let factor = table.figure(&cell, INTERACTION)?;
        let (first, second) = (OPTIMISATIONS[one], OPTIMISATIONS[other]);
        Some(vec![
            format!("{}: {}", display(system), name((one, other))),
            format!(
                "×{} (×{} to ×{})",
                three_digits(factor.median),
                three_digits(factor.low),
                three_digits(factor.high)
            ),
            alone(system, first),
            changed(table.figure(&cell, &beside(first, second))),
            alone(system, second),
            changed(table.figure(&cell, &beside(second, first))),
            proof(table, &cell),
        ])
    };
    let rows: Vec<Vec<String>> = systems
        .iter()
        .flat_map(|system| {
            pairs().into_iter().filter_map(|both| row(system, both)).collect::<Vec<_>>()
        })
        .collect();
    let header = [
        "pair",
        "interaction (95 % interval)",
        "first alone",
        "first beside second",
        "second alone",
        "second beside first",
        "proof",
    ];
    (!rows.is_empty()).then(|| TableView {
        caption: format!("Interactions, throughput on {case}"),
        header: header.map(str::to_owned).into(),
        rows,
    })
}

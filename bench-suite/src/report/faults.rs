//! What the experiment `faults` shows: how long nobody is answered, seed by seed.

use crate::error::BenchError;
use crate::experiment::faults::WATCHED_MS;
use crate::metric::Metric;
use crate::report::canvas::{Ink, Svg};
use crate::report::chart::{Horizontal, Line, Mark};
use crate::report::figures::{Figure, alt_of, ink_of};
use crate::report::tables::{TableView, proof};
use crate::report::words::display;
use crate::rows::Table;
use crate::run::Cell;
use crate::stats::short;

const NAME: &str = "faults";
/// The fault that should cost nothing.
const CONTROL: &str = "follower-killed";
/// The fault that the first sentence speaks of.
const FIRST: &str = "leader-killed";

/// The figures: one panel for each protocol.
///
/// # Errors
/// When a plot cannot be drawn.
pub(crate) fn figures(table: &Table) -> Result<Vec<Figure>, BenchError> {
    let systems = table.distinct(NAME, |cell| &cell.system);
    let panels = systems.iter().map(|system| Ok(panel(table, system)?.inline));
    Ok(vec![Figure {
        title: "How long nobody is answered after a fault".into(),
        clock: "virtual time, simulated network and disks, no CPU cost",
        reading: reading(table, &systems),
        panels: panels.collect::<Result<_, BenchError>>()?,
    }])
}

/// The table: one row for each fault and protocol.
pub(crate) fn tables(table: &Table) -> Vec<TableView> {
    let mut rows = Vec::new();
    for fault in table.distinct(NAME, |cell| &cell.case) {
        for system in table.distinct(NAME, |cell| &cell.system) {
            let cell = cell(&system, &fault);
            let measured = table.figure(&cell, Metric::Outage.name()).is_some();
            if measured || table.rows().iter().any(|row| row.cell == cell) {
                rows.push(row(table, &cell));
            }
        }
    }
    let header = [
        "fault",
        "system",
        "p50",
        "p90",
        "longest",
        "asked again (p50)",
        "unanswered (p50)",
        "seeds",
        "proof",
    ];
    vec![TableView {
        caption: format!(
            "Time without service in virtual time, watched for {} s; commands that were asked for again, and that had no answer yet when the watch ended (none was lost)",
            WATCHED_MS / 1000
        ),
        header: header.map(str::to_owned).into(),
        rows,
    }]
}

fn row(table: &Table, cell: &Cell) -> Vec<String> {
    let outages = table.values(cell, Metric::Outage);
    let time = |share| quantile(outages, share).map_or_else(|| "–".into(), in_words);
    let commands = |metric| {
        let figure = table.figure(cell, Metric::name(metric));
        figure.map_or_else(|| "–".into(), |interval| short(interval.median))
    };
    vec![
        cell.case.replace('-', " "),
        display(&cell.system),
        time(0.5),
        time(0.9),
        time(1.0),
        commands(Metric::Repeated),
        commands(Metric::Unanswered),
        outages.len().to_string(),
        proof(table, cell),
    ]
}

fn cell(system: &str, fault: &str) -> Cell {
    Cell::new(NAME, system, "default", fault)
}

/// Milliseconds in words; a gap that never ended says so.
fn in_words(ms: f64) -> String {
    if ms >= WATCHED_MS as f64 * 0.999 {
        return format!("≥ {} s", WATCHED_MS / 1000);
    }
    if ms < 999.5 { format!("{} ms", short(ms)) } else { format!("{} s", short(ms / 1e3)) }
}

/// The same without a unit, for plots.
fn in_ms(ms: f64) -> String {
    if ms >= WATCHED_MS as f64 * 0.999 { format!("≥ {WATCHED_MS}") } else { short(ms) }
}

/// The value below or at which `share` of `values` lie: the nearest rank. Values are ascending.
fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let rank = (share * values.len() as f64).ceil() as usize;
    values.get(rank.max(1) - 1).copied()
}

fn panel(table: &Table, system: &str) -> Result<Svg, BenchError> {
    let faults = table.distinct(NAME, |cell| &cell.case);
    let lines = faults.iter().filter_map(|fault| {
        let values = table.values(&cell(system, fault), Metric::Outage).to_vec();
        let (median, longest) = (quantile(&values, 0.5)?, quantile(&values, 1.0)?);
        Some(Line {
            label: fault.replace('-', " "),
            value: format!("{} / {}", in_ms(median), in_ms(longest)),
            mark: Mark::Spread(values),
            ink: ink_of(system),
            starts_group: fault == "primary-silent",
        })
    });
    let chart = Horizontal {
        title: display(system),
        axis: "ms without an answer".into(),
        reference: None,
        factors: false,
        lines: lines.collect(),
        legend: vec![
            (0, Ink::Faint, "a seed each".into()),
            (3, ink_of(system), "median; right: median / longest".into()),
        ],
    };
    let alt = format!(
        "{}, median / longest time without service in ms: {}",
        display(system),
        alt_of(&chart.lines)
    );
    chart.draw(&alt)
}

fn reading(table: &Table, systems: &[String]) -> String {
    let median = |system: &str, fault: &str| {
        quantile(table.values(&cell(system, fault), Metric::Outage), 0.5)
    };
    let killed: Vec<String> = systems
        .iter()
        .filter_map(|system| {
            let outages = table.values(&cell(system, FIRST), Metric::Outage);
            let (half, most) = (quantile(outages, 0.5)?, quantile(outages, 1.0)?);
            Some(format!(
                "{} under {} (at worst {})",
                in_words(half),
                display(system),
                in_words(most)
            ))
        })
        .collect();
    if killed.is_empty() {
        return "No verified figures.".into();
    }
    let control = systems
        .iter()
        .filter_map(|system| quantile(table.values(&cell(system, CONTROL), Metric::Outage), 1.0));
    let control = control.max_by(f64::total_cmp).map_or_else(String::new, |most| {
        format!(" A replica that does not lead costs {} at worst.", in_words(most))
    });
    let worst = systems.iter().filter_map(|system| {
        let faults = table.distinct(NAME, |cell| &cell.case);
        let all = faults.iter().filter_map(|fault| Some((median(system, fault)?, fault.clone())));
        let (ms, fault) = all.max_by(|a, b| a.0.total_cmp(&b.0))?;
        let fault = fault.replace('-', " ");
        Some(format!("{fault} under {} ({})", display(system), in_words(ms)))
    });
    let worst = worst.collect::<Vec<_>>().join(", ");
    format!(
        "With the leader killed nobody is answered, at the median, for {}.{control} What takes longest, at the median: {worst}.",
        killed.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sample;

    fn table(outages: &[f64]) -> Table {
        let mut samples = Vec::new();
        for (repetition, outage) in (1..).zip(outages) {
            let values = [(Metric::Outage, *outage), (Metric::Repeated, 3.0)];
            samples.push(sample(cell("raft", FIRST), repetition, &values));
            samples.push(sample(cell("raft", CONTROL), repetition, &[(Metric::Outage, 20.0)]));
        }
        Table::new(&samples)
    }

    #[test]
    fn quantiles_are_nearest_ranks_and_gaps_that_never_end_say_so() {
        let view = &tables(&table(&[300.0, 100.0, 200.0, 8000.0]))[0];
        let row = view.rows.iter().find(|row| row[0] == "leader killed").unwrap();
        assert_eq!(row[1..5], ["Raft", "200 ms", "≥ 8 s", "≥ 8 s"].map(str::to_owned));
        assert_eq!((row[5].as_str(), row[7].as_str()), ("3.00", "4"));
    }

    #[test]
    fn the_sentence_is_made_of_the_samples() {
        let reading = &figures(&table(&[100.0, 1500.0, 200.0])).unwrap()[0].reading;
        assert!(reading.contains("200 ms under Raft (at worst 1.50 s)"), "{reading}");
        assert!(reading.contains("does not lead costs 20.0 ms at worst"), "{reading}");
        assert!(figures(&Table::new(&[])).unwrap()[0].reading.starts_with("No verified"));
    }
}

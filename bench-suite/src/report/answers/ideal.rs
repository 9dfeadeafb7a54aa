//! How far each headline is from the limit that measured parts, or the speed of the network, set.

use crate::error::BenchError;
use crate::report::canvas::Ink;
use crate::report::chart::{Horizontal, Line, Mark};
use crate::report::figures::{Figure, alt_of};
use crate::report::tables::TableView;
use crate::report::words::display;
use crate::rows::Table;
use crate::stats::{Interval, three_digits};

use super::number_in;

/// What the simulated client adds to a round trip between replicas, there and back.
const CLIENT_MS: f64 = 0.2;

/// One figure beside its limit.
struct Share {
    label: String,
    /// 1 is the limit.
    share: Interval,
    formula: String,
    is_virtual: bool,
}

/// The bars and the table of percent of ideal; `None` when the run has nothing to compare.
///
/// # Errors
/// When the plot cannot be drawn.
pub(crate) fn limits(table: &Table) -> Result<Option<(Figure, TableView)>, BenchError> {
    let mut shares = floors(table);
    shares.extend(round_trips(table));
    let Some(lowest) = shares.iter().min_by(|a, b| a.share.median.total_cmp(&b.share.median))
    else {
        return Ok(None);
    };
    let reading = format!(
        "Bars show what part of its limit each figure reaches. The furthest from it is {} with {}.",
        lowest.label,
        percent(lowest.share)
    );
    let chart = Horizontal {
        title: "Percent of ideal".into(),
        axis: "share of the limit".into(),
        reference: Some(1.0),
        factors: true,
        lines: shares.iter().enumerate().map(|(place, share)| bar(&shares, place, share)).collect(),
        legend: Vec::new(),
    };
    let svg = chart.draw(&format!("Percent of ideal: {}", alt_of(&chart.lines)))?;
    let figure = Figure {
        title: "How far from the limit?".into(),
        clock: "bars marked “virtual” in virtual time, the others in real time",
        reading,
        panels: vec![svg.inline],
    };
    let row = |share: &Share| {
        let clock = if share.is_virtual { "virtual" } else { "real" };
        vec![share.label.clone(), percent(share.share), share.formula.clone(), clock.into()]
    };
    let view = TableView {
        caption: "Percent of ideal, with the formula of the limit".into(),
        header: ["figure", "of the limit (95 % interval)", "the limit", "time"]
            .map(str::to_owned)
            .into(),
        rows: shares.iter().map(row).collect(),
    };
    Ok(Some((figure, view)))
}

fn bar(all: &[Share], place: usize, share: &Share) -> Line {
    let starts_group = place > 0 && all[place - 1].is_virtual != share.is_virtual;
    let value = format!("{} %", three_digits(share.share.median * 100.0));
    let ink = if share.is_virtual { Ink::Grey } else { Ink::Blue };
    Line { label: share.label.clone(), mark: Mark::Bar(share.share), value, ink, starts_group }
}

fn percent(share: Interval) -> String {
    let [median, low, high] =
        [share.median, share.low, share.high].map(|share| three_digits(share * 100.0));
    format!("{median} % ({low} to {high})")
}

/// Against the unreplicated machine behind the same queues, or in the same loop.
fn floors(table: &Table) -> Vec<Share> {
    let wanted = [
        ("small", "batching", "throughput_vs_floor", "16 bytes, batched"),
        ("small", "one-command-in-a-slot", "throughput_vs_floor", "16 bytes, one in a slot"),
        ("peers", "bare", "throughput_vs_unreplicated", "bare"),
    ];
    let mut shares = Vec::new();
    for (experiment, variant, metric, words) in wanted {
        let rows = table.rows().iter().filter(|row| {
            row.cell.experiment == experiment && row.cell.variant == variant && row.metric == metric
        });
        // Libraries of others have tables of their own.
        let ours = rows.filter(|row| super::PROTOCOLS.contains(&row.cell.system.as_str()));
        for row in ours.filter(|row| row.proof.is_verified()) {
            let Some(share) = row.interval else { continue };
            let case = if experiment == "small" { "" } else { &row.cell.case };
            let label = format!("{} {words} {}", display(&row.cell.system), case.replace('-', " "));
            let formula = if experiment == "small" {
                "commands/s of the unreplicated state machine behind the same queues, sessions and journal"
            } else {
                "commands/s of the unreplicated state machine in the same loop"
            };
            let label = label.trim_end().to_owned();
            shares.push(Share { label, share, formula: formula.into(), is_virtual: false });
        }
    }
    shares
}

/// Against the network's own time, where nothing else takes time.
fn round_trips(table: &Table) -> Vec<Share> {
    let mut shares = Vec::new();
    for row in table.rows() {
        let far = row.cell.experiment == "wan" && row.metric == "latency_p50";
        let (true, true) = (far && row.cell.case.starts_with("rtt-"), row.proof.is_verified())
        else {
            continue;
        };
        let (Some(round_trip), Some(figure)) = (number_in(&row.cell.case), row.interval) else {
            continue;
        };
        // From the leader to a quorum and back; PBFT takes three one-way steps.
        let trips = if row.cell.system == "pbft" { 1.5 } else { 1.0 };
        let ideal = (trips * round_trip + CLIENT_MS) * 1e3;
        let share = Interval {
            median: ideal / figure.median,
            low: ideal / figure.high,
            high: ideal / figure.low,
            repetitions: figure.repetitions,
        };
        shares.push(Share {
            label: format!("{} far apart, {round_trip} ms (virtual)", display(&row.cell.system)),
            share,
            formula: format!(
                "{trips} × {round_trip} ms round trip + {CLIENT_MS} ms to the client and back"
            ),
            is_virtual: true,
        });
    }
    shares
}

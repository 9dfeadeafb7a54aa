//! Sentences: what the figures say, for people who do not read plots.
//!
//! Each sentence carries its number, its interval and its unit, and names the case that loses.

use serde::Serialize;

use crate::experiment::driver::FOREIGN_CPU_MAX_PERCENT;
use crate::experiment::variant::{OPTIMISATIONS, changed, only};
use crate::metric::Metric;
use crate::rows::{ALL_VARIANT, FLOOR_SYSTEM, NONE_VARIANT, Table};
use crate::run::{Cell, Run};
use crate::stats::{self, Interval, change, short, three_digits};

/// What one system's figures say.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Headline {
    /// The system.
    pub(crate) system: String,
    /// The sentences.
    pub(crate) text: String,
}

/// A name as it starts a sentence.
pub(crate) fn display(system: &str) -> String {
    match system {
        "paxos" => "Paxos".into(),
        "raft" => "Raft".into(),
        "pbft" => "PBFT".into(),
        FLOOR_SYSTEM => "unreplicated".into(),
        other => other.into(),
    }
}

/// The headline of every protocol in the ablation, on its first workload.
pub(crate) fn headlines(table: &Table) -> Vec<Headline> {
    let Some(case) = table.distinct("ablation", |cell| &cell.case).into_iter().next() else {
        return Vec::new();
    };
    let systems = table.distinct("ablation", |cell| &cell.system);
    let headline = |system: String| {
        let text = ablation_headline(table, &system, &case)?;
        Some(Headline { system: display(&system), text })
    };
    systems.into_iter().filter_map(headline).collect()
}

fn ablation_headline(table: &Table, system: &str, case: &str) -> Option<String> {
    let figure = |variant: &str, metric: &str| {
        table.figure(&Cell::new("ablation", system, variant, case), metric)
    };
    let throughput = Metric::Throughput.name();
    let default = table.default_variant();
    let all = figure(default, throughput)?;
    let setting = if default == ALL_VARIANT { "with everything on" } else { "by default" };
    let mut text = format!("answers {} commands/s {setting}", with_interval(all));
    if let Some(none) = figure(NONE_VARIANT, throughput) {
        let gain = figure(default, "throughput_vs_none")?;
        text += &format!(
            " and {} with everything off, a factor of {}",
            short(none.median),
            three_digits(gain.median)
        );
    }
    text += ".";
    let alone = |name: &&str| {
        figure(&only(name), "throughput_vs_none").map(|interval| (interval, (*name).to_owned()))
    };
    if let Some((best, name)) = extreme(OPTIMISATIONS.iter().filter_map(alone), true) {
        text += &format!(
            " What helps most on its own is {name}: {} ({} to {}).",
            change(best.median),
            change(best.low),
            change(best.high)
        );
    }
    text += &losses(table, system, case);
    text += &latency(default, figure);
    Some(text)
}

/// What costs throughput here: an optimisation that the default is faster without, whether the
/// default has it or not.
fn losses(table: &Table, system: &str, case: &str) -> String {
    let default = table.default_variant();
    let change_of = |index: usize| {
        let (variant, on) = changed(default, index);
        let cell = Cell::new("ablation", system, &variant, case);
        let figure = table.figure(&cell, "throughput_vs_default")?;
        // How much is lost by having it: the inverse where the change takes it away.
        let loss = if on { 1.0 / figure.median } else { figure.median };
        (loss > 1.0 && !figure.may_be(1.0)).then_some((loss, figure, OPTIMISATIONS[index], on))
    };
    let worst = (0..OPTIMISATIONS.len()).filter_map(change_of).max_by(|a, b| a.0.total_cmp(&b.0));
    match worst {
        Some((_, figure, name, on)) => format!(
            " On this machine {name} costs throughput: with{} it the default changes by {} ({} to {}).",
            if on { "" } else { "out" },
            change(figure.median),
            change(figure.low),
            change(figure.high)
        ),
        None => " No optimisation costs throughput measurably here.".into(),
    }
}

fn latency(default: &str, figure: impl Fn(&str, &str) -> Option<Interval>) -> String {
    let (p50, p99) = (Metric::LatencyP50.name(), Metric::LatencyP99.name());
    let both = |variant: &str| Some((figure(variant, p50)?, figure(variant, p99)?));
    let (Some(all), Some(none)) = (both(default), both(NONE_VARIANT)) else {
        return String::new();
    };
    format!(
        " At low load the default answers in {} (median; p99 {}), against {} ({}) with everything off.",
        stats::latency(all.0.median),
        stats::latency(all.1.median),
        stats::latency(none.0.median),
        stats::latency(none.1.median),
    )
}

fn extreme(
    figures: impl Iterator<Item = (Interval, String)>,
    largest: bool,
) -> Option<(Interval, String)> {
    let order = |a: &(Interval, String), b: &(Interval, String)| a.0.median.total_cmp(&b.0.median);
    if largest { figures.max_by(order) } else { figures.min_by(order) }
}

/// `1.02 M (0.98 M to 1.06 M)`.
pub(crate) fn with_interval(interval: Interval) -> String {
    format!("{} ({} to {})", short(interval.median), short(interval.low), short(interval.high))
}

/// What `system`'s ablation panel shows, in one sentence.
pub(crate) fn ablation_reading(table: &Table, systems: &[String], case: &str) -> String {
    let mut parts = Vec::new();
    for name in OPTIMISATIONS {
        let factors: Vec<f64> = systems
            .iter()
            .filter_map(|system| {
                let cell = Cell::new("ablation", system, &only(name), case);
                Some(table.figure(&cell, "throughput_vs_none")?.median)
            })
            .collect();
        if let Some(span) = span(&factors, change) {
            parts.push(format!("{name} {span}"));
        }
    }
    if parts.is_empty() {
        return "No verified figures.".into();
    }
    format!("Turned on alone, over the protocols: {}.", parts.join("; "))
}

/// `low to high`, or one figure when both read alike.
pub(crate) fn span(values: &[f64], format: fn(f64) -> String) -> Option<String> {
    let low = values.iter().copied().min_by(f64::total_cmp)?;
    let high = values.iter().copied().max_by(f64::total_cmp)?;
    let (low, high) = (format(low), format(high));
    Some(if low == high { low } else { format!("{low} to {high}") })
}

/// What the default of this run is.
pub(crate) fn default_in_words(table: &Table) -> &'static str {
    if table.default_variant() == ALL_VARIANT {
        "has all four optimisations on"
    } else {
        "is the shipped configuration, with frames for messages: batching and pipelining on, one group, no compression"
    }
}

/// How much other processes disturbed the run.
pub(crate) fn disturbed(run: &Run) -> String {
    let limit = f64::from(FOREIGN_CPU_MAX_PERCENT) / 100.0;
    let above = run.samples.iter().filter(|sample| sample.foreign_cpu > limit).count();
    if above == 0 {
        return "No repetition that counts was disturbed beyond that.".into();
    }
    format!(
        "{above} of {} repetitions stayed disturbed beyond that and are in the figures: read them with care.",
        run.samples.len()
    )
}

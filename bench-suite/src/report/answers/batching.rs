//! What batching and asynchronous processing buy, and what they cost in latency at low load.

use crate::experiment::variant::only;
use crate::report::words::display;
use crate::rows::NONE_VARIANT;
use crate::run::Cell;
use crate::stats::{Interval, change, latency};

use super::{Answer, Point, Source, change_with_interval, number_in};

pub(super) fn answer(source: &Source<'_>) -> Answer {
    Answer {
        question: "What do batching and asynchronous processing buy, and what do they cost in latency at low load?",
        points: vec![
            throughput(source),
            low_load(source),
            sizes(source),
            stages(source),
            depth(source),
        ],
    }
}

fn throughput(source: &Source<'_>) -> Point {
    let case = source.first_case("ablation");
    let gain = |optimisation: &str| {
        source.each_protocol(|system| {
            let cell = ["ablation", system, &only(optimisation), case.as_deref()?];
            source.figure(cell, "throughput_vs_none").map(change_with_interval)
        })
    };
    let text = gain("batching").zip(gain("pipelining")).map(|(batching, pipelining)| {
        format!("Alone, against everything off: batching {batching}; several batches in flight {pipelining}.")
    });
    source.point("ablation", text)
}

/// What a lone command waits: the median, and the worst percentile that is kept.
fn low_load(source: &Source<'_>) -> Point {
    let case = source.first_case("ablation");
    let figure = |system: &str, variant: &str, metric: &str| {
        source.figure(["ablation", system, variant, case.as_deref()?], metric)
    };
    let of = |system: &str| {
        let alone = only("batching");
        let (with, without) =
            (figure(system, &alone, "latency_p50")?, figure(system, NONE_VARIANT, "latency_p50")?);
        let (worst, worst_without) =
            (figure(system, &alone, "latency_p99")?, figure(system, NONE_VARIANT, "latency_p99")?);
        Some(format!(
            "{} instead of {} ({} at the median; p99 {} instead of {})",
            spread(with),
            latency(without.median),
            change(with.median / without.median),
            latency(worst.median),
            latency(worst_without.median)
        ))
    };
    let text = source.each_protocol(of);
    let text = text.map(|of| format!("At low load a command with batching takes: {of}. What is waiting leaves at once; nobody waits for a batch to fill."));
    source.point("ablation", text)
}

fn spread(figure: Interval) -> String {
    format!("{} ({} to {})", latency(figure.median), latency(figure.low), latency(figure.high))
}

/// The smallest batch that reaches nine tenths of the best.
fn sizes(source: &Source<'_>) -> Point {
    let figures = source.figures("batching", "throughput");
    let of = |system: &str| {
        let sized = |cell: &Cell| cell.system == system && cell.case.starts_with("batch-");
        let mut sizes: Vec<(f64, f64)> = figures
            .iter()
            .filter(|(cell, _)| sized(cell))
            .filter_map(|(cell, figure)| Some((number_in(&cell.case)?, figure.median)))
            .collect();
        sizes.sort_by(|a, b| a.0.total_cmp(&b.0));
        let best = sizes.iter().map(|(_, figure)| *figure).max_by(f64::total_cmp)?;
        let (first, enough) = (sizes.first()?, sizes.iter().find(|size| size.1 >= 0.9 * best)?);
        Some(format!(
            "{} at {} commands a batch, {} at best",
            change(enough.1 / first.1),
            enough.0,
            change(best / first.1)
        ))
    };
    let text = source.each_protocol(of);
    source.point("batching", text.map(|of| format!("The smallest batch within a tenth of the best, against one command a batch: {of}.")))
}

/// Stages on threads of their own, against one thread for all.
fn stages(source: &Source<'_>) -> Point {
    let figures = source.figures("stages", "throughput");
    let of = |system: &str| {
        let of_system: Vec<&(Cell, Interval)> =
            figures.iter().filter(|(cell, _)| cell.system == system).collect();
        let base = of_system.iter().find(|(cell, _)| cell.variant.contains("inline"))?;
        let others = of_system.iter().filter(|(cell, _)| {
            cell.case == base.0.case && cell.variant != base.0.variant
        });
        let gains: Vec<String> = others
            .map(|(cell, figure)| {
                let gain = change(figure.median / base.1.median);
                format!("{} {gain}", cell.variant.replace('-', " "))
            })
            .collect();
        (!gains.is_empty()).then(|| gains.join(", "))
    };
    let text = source.each_protocol(of);
    source.point("stages", text.map(|of| format!("Against all stages on one thread: {of}.")))
}

/// Where a deeper window stops to help, by distance.
fn depth(source: &Source<'_>) -> Point {
    let figures = source.figures("pipelining", "throughput");
    let mut parts = Vec::new();
    let mut cases: Vec<&Cell> = Vec::new();
    for (cell, _) in &figures {
        if !cases.iter().any(|known| known.case == cell.case && known.system == cell.system) {
            cases.push(cell);
        }
    }
    for one in cases {
        let depths = figures.iter().filter(|(cell, _)| {
            cell.case == one.case && cell.system == one.system
        });
        let mut depths: Vec<(f64, f64)> = depths
            .filter_map(|(cell, figure)| Some((number_in(&cell.variant)?, figure.median)))
            .collect();
        depths.sort_by(|a, b| a.0.total_cmp(&b.0));
        let best = depths.iter().map(|(_, figure)| *figure).max_by(f64::total_cmp);
        let knee = depths.iter().find(|depth| best.is_some_and(|best| depth.1 >= 0.9 * best));
        if let (Some(first), Some(knee), true) = (depths.first(), knee, depths.len() > 1) {
            parts.push(format!(
                "{} {}: {} in flight, {}",
                display(&one.system),
                one.case.replace('-', " "),
                knee.0,
                change(knee.1 / first.1)
            ));
        }
    }
    let text = (!parts.is_empty()).then(|| {
        format!("Batches in flight that come within a tenth of the best, and what they gain over the fewest: {}.", parts.join("; "))
    });
    source.point("pipelining", text)
}

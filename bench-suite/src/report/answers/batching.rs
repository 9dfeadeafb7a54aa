//! What batching and asynchronous processing buy, and what they cost in latency at low load.

use crate::experiment::variant::only;
use crate::rows::NONE_VARIANT;
use crate::run::Cell;
use crate::stats::{Interval, change, latency};

use super::{Answer, Point, Source, by_median, change_with_interval, distinct, number_in};

pub(super) fn answer(source: &Source<'_>) -> Answer {
    Answer {
        question: "What do batching and asynchronous processing buy, and what do they cost in latency at low load?",
        points: vec![
            throughput(source),
            low_load(source),
            sizes(source),
            policies(source),
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
    source.point(
        "batching",
        text.map(|of| {
            format!(
                "The smallest batch within a tenth of the best, against one command a batch: {of}."
            )
        }),
    )
}

/// What adaptive batches cost at the lowest load, against one command at a time.
fn policies(source: &Source<'_>) -> Point {
    let metrics = ["latency_p50_vs_unbatched", "latency_p99_vs_unbatched"];
    let [median, high] = metrics.map(|metric| {
        let mut figures = source.figures("batching", metric);
        figures.retain(|(cell, _)| cell.variant == "adaptive" && cell.case.starts_with("load-"));
        figures
    });
    let loads = median.iter().filter_map(|(cell, _)| number_in(&cell.case));
    let lowest = loads.min_by(f64::total_cmp);
    let at = |figures: &[(Cell, Interval)], system: &str| {
        let wanted = |cell: &Cell| cell.system == system && number_in(&cell.case) == lowest;
        figures.iter().find(|(cell, _)| wanted(cell)).map(|(_, figure)| *figure)
    };
    let of = |system: &str| {
        let p99 = at(&high, system)
            .map_or_else(String::new, |ratio| format!(", p99 {}", change_with_interval(ratio)));
        Some(format!("{} at the median{p99}", change_with_interval(at(&median, system)?)))
    };
    let text = source.each_protocol(of).zip(lowest).map(|(of, share)| {
        format!("Latency with adaptive batches against one command at a time, at {share} % of the peak: {of}.")
    });
    source.point("batching", text)
}

/// Stages on threads of their own, against one thread for all: the best layout and the worst.
fn stages(source: &Source<'_>) -> Point {
    let figures = source.figures("stages", "throughput");
    let of = |system: &str| {
        let of_system = || figures.iter().filter(|(cell, _)| cell.system == system);
        let base = of_system().find(|(cell, _)| cell.variant == "inline")?;
        let others = || of_system().filter(|(cell, _)| cell.variant != base.0.variant);
        let words = |(cell, figure): &(Cell, Interval)| {
            let gain = change(figure.median / base.1.median);
            format!("{} {gain}", cell.variant.replace('-', " "))
        };
        let best = others().max_by(|a, b| by_median(a, b))?;
        let worst = others().min_by(|a, b| by_median(a, b))?;
        Some(format!("{} at best, {} at worst", words(best), words(worst)))
    };
    let text = source.each_protocol(of);
    source.point(
        "stages",
        text.map(|of| format!("Throughput against all stages on one thread: {of}.")),
    )
}

/// Where a deeper window stops to help, by distance.
fn depth(source: &Source<'_>) -> Point {
    let figures = source.figures("pipelining", "throughput");
    let knee = |system: &str, distance: &str| {
        let depths =
            figures.iter().filter(|(cell, _)| cell.system == system && cell.variant == distance);
        let mut depths: Vec<(f64, f64)> = depths
            .filter_map(|(cell, figure)| Some((number_in(&cell.case)?, figure.median)))
            .collect();
        depths.sort_by(|a, b| a.0.total_cmp(&b.0));
        let best = depths.iter().map(|(_, figure)| *figure).max_by(f64::total_cmp)?;
        let knee = depths.iter().find(|depth| depth.1 >= 0.9 * best)?;
        let gain = change(knee.1 / depths.first()?.1);
        (depths.len() > 1).then(|| format!("{} ({gain})", knee.0))
    };
    let of_distance = |distance: &String| {
        let knees = source.each_protocol(|system| knee(system, distance))?;
        Some(format!("round trip {}: {knees}", distance.trim_start_matches("rtt-")))
    };
    let distances = distinct(figures.iter().map(|(cell, _)| &cell.variant));
    let parts: Vec<String> = distances.into_iter().filter_map(of_distance).collect();
    let text = (!parts.is_empty()).then(|| {
        format!("Batches in flight that come within a tenth of the best, and what they gain over the fewest: {}.", parts.join("; "))
    });
    source.point("pipelining", text)
}

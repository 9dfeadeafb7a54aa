//! What sharding with load balancing buys, and which balancer bears skewed keys.

use crate::experiment::variant::only;
use crate::run::Cell;
use crate::stats::{Interval, change};

use super::{
    Answer, Point, Source, by_median, change_with_interval, distinct, number_in,
    ratio_with_interval,
};

/// The load of the fullest node over the mean; 1 is equal.
const IMBALANCE: &str = "imbalance";

pub(super) fn answer(source: &Source<'_>) -> Answer {
    Answer {
        question: "What does sharding with load balancing buy, and which balancer when keys are skewed?",
        points: vec![ablation(source), groups(source), balancers(source), groups_apart(source)],
    }
}

/// On one machine, alone.
fn ablation(source: &Source<'_>) -> Point {
    let case = source.first_case("ablation");
    let gain = |system: &str| {
        let cell = ["ablation", system, &only("sharding"), case.as_deref()?];
        source.figure(cell, "throughput_vs_none").map(change_with_interval)
    };
    let text = source.each_protocol(gain).map(|gains| {
        format!("Four groups instead of one, nothing else on, all replicas sharing one thread: {gains}. It buys no cores there; what shows is its cost.")
    });
    source.point("ablation", text)
}

/// Throughput with more groups, on this machine's cores.
fn groups(source: &Source<'_>) -> Point {
    source.point("sharding", more_groups(source, "sharding"))
}

/// The same in virtual time, with hosts for every group.
fn groups_apart(source: &Source<'_>) -> Point {
    source.point("scale", more_groups(source, "scale"))
}

/// From the fewest to the most groups, for each layout of threads.
fn more_groups(source: &Source<'_>, experiment: &str) -> Option<String> {
    let mut figures = source.figures(experiment, "throughput");
    figures.retain(|(cell, _)| cell.case.starts_with("groups-"));
    let of = |system: &str, variant: &str| {
        let mut of_system: Vec<(f64, Interval)> = figures
            .iter()
            .filter(|(cell, _)| cell.system == system && cell.variant == variant)
            .filter_map(|(cell, figure)| Some((number_in(&cell.case)?, *figure)))
            .collect();
        of_system.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (first, last) = (of_system.first()?, of_system.last()?);
        (first.0 < last.0).then(|| {
            let gain = change(last.1.median / first.1.median);
            format!("{gain} from {} to {} groups", first.0, last.0)
        })
    };
    let of_variant = |variant: &String| {
        let gains = source.each_protocol(|system| of(system, variant))?;
        Some(format!("{}: {gains}", variant.replace('-', " ")))
    };
    let variants = distinct(figures.iter().map(|(cell, _)| &cell.variant));
    let parts: Vec<String> = variants.into_iter().filter_map(of_variant).collect();
    (!parts.is_empty()).then(|| parts.join("; ") + ".")
}

/// Which balancer spreads skewed keys best, and worst: on the largest number of nodes, for every
/// distribution of keys.
fn balancers(source: &Source<'_>) -> Point {
    let mut spread = source.figures("sharding", IMBALANCE);
    let most = spread.iter().filter_map(|(cell, _)| number_in(&cell.case)).max_by(f64::total_cmp);
    spread.retain(|(cell, _)| number_in(&cell.case) == most);
    let judged = |skew: &String| {
        let of_skew = || spread.iter().filter(|(cell, _)| cell.variant == *skew);
        let (best, worst) =
            (of_skew().min_by(|a, b| by_median(a, b))?, of_skew().max_by(|a, b| by_median(a, b))?);
        (best.0 != worst.0).then(|| {
            format!(
                "{skew} keys: {} {}, worst {} {}",
                best.0.system,
                ratio_with_interval(best.1),
                worst.0.system,
                ratio_with_interval(worst.1)
            )
        })
    };
    let skews = distinct(spread.iter().map(|(cell, _)| &cell.variant));
    let parts: Vec<String> = skews.into_iter().filter_map(judged).collect();
    let keyed = keyed(&spread);
    let text = most.filter(|_| !parts.is_empty()).map(|nodes| {
        format!("Load of the fullest of {nodes} nodes over the mean, best and worst balancer: {}.{keyed}", parts.join("; "))
    });
    source.point("sharding", text)
}

/// The best among those that send equal keys to equal nodes, under the strongest skew.
fn keyed(spread: &[(Cell, Interval)]) -> String {
    let homeless = ["round robin", "least outstanding", "power of two"];
    let zipf = |cell: &Cell| cell.variant.strip_prefix("zipf-").and_then(|s| s.parse::<f64>().ok());
    let strongest = spread.iter().filter_map(|(cell, _)| zipf(cell)).max_by(f64::total_cmp);
    let keyed = spread.iter().filter(|(cell, _)| {
        strongest.is_some() && zipf(cell) == strongest && !homeless.contains(&cell.system.as_str())
    });
    keyed.min_by(|a, b| by_median(a, b)).map_or_else(String::new, |(cell, figure)| {
        format!(
            " Where equal keys must meet at one node, {} does best under {}: {}.",
            cell.system,
            cell.variant,
            ratio_with_interval(*figure)
        )
    })
}

//! What sharding with load balancing buys, and which balancer bears skewed keys.

use crate::experiment::variant::only;
use crate::report::words::{display, span};
use crate::run::Cell;
use crate::stats::{Interval, change, three_digits};

use super::{Answer, Point, Source, by_median, change_with_interval, number_in, ratio_with_interval};

/// Rows whose name says so measure how unequally work is spread; 1 is equal.
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

fn more_groups(source: &Source<'_>, experiment: &str) -> Option<String> {
    let figures = source.figures(experiment, "throughput");
    let of = |system: &str| {
        let mut of_system: Vec<(f64, Interval)> = figures
            .iter()
            .filter(|(cell, _)| cell.system == system && cell.case.starts_with("groups-"))
            .filter_map(|(cell, figure)| Some((number_in(&cell.case)?, *figure)))
            .collect();
        of_system.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (first, last) = (of_system.first()?, of_system.last()?);
        (first.0 < last.0).then(|| {
            let gain = change(last.1.median / first.1.median);
            format!("{gain} from {} to {} groups", first.0, last.0)
        })
    };
    source.each_protocol(of).map(|gains| format!("{gains}."))
}

/// Which balancer spreads skewed keys best, and worst.
fn balancers(source: &Source<'_>) -> Point {
    let rows = source.table.rows().iter();
    let spread: Vec<(Cell, Interval)> = rows
        .filter(|row| row.metric.contains(IMBALANCE) && row.proof.is_verified())
        .filter_map(|row| Some((row.cell.clone(), row.interval?)))
        .collect();
    let mut cases: Vec<&str> = Vec::new();
    for (cell, _) in &spread {
        if !cases.contains(&cell.case.as_str()) {
            cases.push(&cell.case);
        }
    }
    let judged = |case: &str| {
        let of_case: Vec<_> =
            spread.iter().filter(|(cell, _)| cell.case == case).cloned().collect();
        let best = of_case.iter().min_by(|a, b| by_median(a, b))?;
        let worst = of_case.iter().max_by(|a, b| by_median(a, b))?;
        (best.0 != worst.0).then(|| {
            format!(
                "{}: {} spreads best, {} times the mean on the fullest, {} worst, {}",
                case.replace('-', " "),
                name_of(&of_case, &best.0),
                ratio_with_interval(best.1),
                name_of(&of_case, &worst.0),
                ratio_with_interval(worst.1)
            )
        })
    };
    let parts: Vec<String> = cases.iter().filter_map(|case| judged(case)).collect();
    let means: Vec<f64> = spread.iter().map(|(_, figure)| figure.median).collect();
    let text = span(&means, three_digits).filter(|_| !parts.is_empty());
    let text = text.map(|span| format!("{}; over all of them {span}.", parts.join("; ")));
    source.point("sharding", text)
}

/// The balancer: whichever field tells the cells apart.
fn name_of(cells: &[(Cell, Interval)], cell: &Cell) -> String {
    let one_variant = cells.iter().all(|(other, _)| other.variant == cell.variant);
    if one_variant { display(&cell.system) } else { cell.variant.replace('-', " ") }
}

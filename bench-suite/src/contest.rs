//! Contests: in each scenario of the queues the best of ours against the best of the others.
//!
//! The best is the one with the best median among the verified rows, whatever its waiting policy;
//! choosing among several noisy figures favours whoever has more entries, which are the others.
//! The advantage is how many times better ours is: the ratio of rates, the inverse ratio of times;
//! taken within repetitions like every ratio.

use std::collections::BTreeMap;

use crate::experiment::queue::contenders::OURS;
use crate::experiment::queue::goals::{GOALS, Rival};
use crate::metric::Metric;
use crate::run::{Cell, Sample};
use crate::stats::{Interval, paired_ratio, seed_of, summarise};

/// The experiments that hold contests.
const EXPERIMENTS: [&str; 2] = ["queue", "queue-matrix"];
/// What contests are about, and whether more is better.
const METRICS: [(Metric, bool); 4] = [
    (Metric::Rate, true),
    (Metric::PairTime, false),
    (Metric::RoundTripP50, false),
    (Metric::MemoryLeft, false),
];

/// One scenario's best.
#[derive(Clone, Debug, PartialEq)]
pub struct Contest {
    /// The experiment.
    pub experiment: String,
    /// The scenario.
    pub case: String,
    /// What was measured.
    pub metric: Metric,
    /// The best of ours with its figure.
    pub ours: (Cell, Interval),
    /// The best of the others with its figure; `None` when there was none.
    pub other: Option<(Cell, Interval)>,
    /// How many times better ours is.
    pub advantage: Option<Interval>,
}

type Cells<'a> = BTreeMap<&'a Cell, Vec<&'a Sample>>;

/// All contests of `samples`, in the order in which scenarios first appear.
#[must_use]
pub fn of(samples: &[Sample]) -> Vec<Contest> {
    let mut order: Vec<(&str, &str)> = Vec::new();
    let mut cells: Cells<'_> = BTreeMap::new();
    for sample in samples.iter().filter(|one| EXPERIMENTS.contains(&&*one.cell.experiment)) {
        let scenario = (sample.cell.experiment.as_str(), sample.cell.case.as_str());
        // Samples of one scenario follow one another, so that the last one is enough to compare.
        if order.last() != Some(&scenario) && !order.contains(&scenario) {
            order.push(scenario);
        }
        cells.entry(&sample.cell).or_default().push(sample);
    }
    let contests = order.into_iter().flat_map(|(experiment, case)| {
        METRICS.map(|(metric, more)| contest(&cells, experiment, case, (metric, more)))
    });
    contests.flatten().collect()
}

fn contest(
    cells: &Cells<'_>,
    experiment: &str,
    case: &str,
    (metric, more_is_better): (Metric, bool),
) -> Option<Contest> {
    let best = |competes: &dyn Fn(&Cell) -> bool| {
        let figures = cells.iter().filter_map(|(cell, samples)| {
            let takes_part = cell.experiment == experiment && competes(cell);
            if !takes_part || samples.iter().any(|sample| !sample.proof.is_verified()) {
                return None;
            }
            let values: Vec<f64> =
                samples.iter().filter_map(|sample| sample.values.get(&metric).copied()).collect();
            let figure = summarise(&values, seed_of(&format!("{cell}/{}", metric.name())))?;
            Some((*cell, figure))
        });
        let order =
            |a: &(&Cell, Interval), b: &(&Cell, Interval)| a.1.median.total_cmp(&b.1.median);
        if more_is_better { figures.max_by(order) } else { figures.min_by(order) }
    };
    let ours = best(&|cell| is_ours(cell) && cell.case == case)?;
    let other = match rival_of(case) {
        Rival::Ours { system, case } => best(&|cell| cell.system == system && cell.case == case),
        Rival::Others => best(&|cell| !is_ours(cell) && meets(&cell.case, case)),
    };
    let advantage = other.and_then(|(other, _)| {
        let value = |sample: &&Sample| Some((sample.repetition, *sample.values.get(&metric)?));
        let others: BTreeMap<u32, f64> = cells[other].iter().filter_map(value).collect();
        let pairs = cells[ours.0].iter().filter_map(value).filter_map(|(repetition, ours)| {
            let other = *others.get(&repetition)?;
            Some(if more_is_better { (ours, other) } else { (other, ours) })
        });
        let seed = seed_of(&format!("{experiment}/{case}/{}/advantage", metric.name()));
        paired_ratio(&pairs.collect::<Vec<_>>(), seed)
    });
    let owned = |(cell, figure): (&Cell, Interval)| (cell.clone(), figure);
    Some(Contest {
        experiment: experiment.into(),
        case: case.into(),
        metric,
        ours: owned(ours),
        other: other.map(owned),
        advantage,
    })
}

fn is_ours(cell: &Cell) -> bool {
    cell.system.starts_with(OURS)
}

fn rival_of(case: &str) -> Rival {
    GOALS.iter().find(|goal| goal.case == case).map_or(Rival::Others, |goal| goal.rival)
}

/// Whether what others did in the scenario `measured` counts in `case`: bounded queues that only
/// try also meet channels, which wait by themselves.
fn meets(measured: &str, case: &str) -> bool {
    let shape = case.strip_prefix("single-");
    measured == case || (shape.is_some() && measured.strip_prefix("channel-") == shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Proof;
    use crate::testing::sample;

    fn samples(system: &str, case: &str, metric: Metric, values: &[f64]) -> Vec<Sample> {
        let cell = Cell::new("queue", system, "yield", case);
        (1..).zip(values).map(|(n, value)| sample(cell.clone(), n, &[(metric, *value)])).collect()
    }

    #[test]
    fn the_best_of_each_side_meet_and_the_ratio_is_taken_within_repetitions() {
        let mut all = samples("mq ring", "single-2x2", Metric::Rate, &[20.0, 200.0, 40.0]);
        all.extend(samples("mq strict", "single-2x2", Metric::Rate, &[1.0, 1.0, 1.0]));
        all.extend(samples("slow", "single-2x2", Metric::Rate, &[2.0, 2.0, 2.0]));
        all.extend(samples("fast", "single-2x2", Metric::Rate, &[10.0, 100.0, 20.0]));
        let contests = of(&all);
        assert_eq!(contests.len(), 1);
        assert_eq!(contests[0].ours.0.system, "mq ring");
        assert_eq!(contests[0].other.as_ref().unwrap().0.system, "fast");
        let advantage = contests[0].advantage.unwrap();
        assert_eq!((advantage.low, advantage.high), (2.0, 2.0));
    }

    #[test]
    fn less_time_is_an_advantage() {
        let mut all = samples("mq ring", "pair", Metric::PairTime, &[10.0]);
        all.extend(samples("other", "pair", Metric::PairTime, &[15.0]));
        assert_eq!(of(&all)[0].advantage.unwrap().median, 1.5);
    }

    #[test]
    fn a_failed_row_wins_nothing() {
        let mut all = samples("mq ring", "single-1x1", Metric::Rate, &[1.0]);
        all.extend(samples("other", "single-1x1", Metric::Rate, &[5.0]));
        all[1].proof = Proof::Failed("lost one".into());
        assert_eq!(of(&all)[0].other, None);
    }

    #[test]
    fn channels_of_others_count_where_bounded_queues_meet() {
        let mut all = samples("mq ring", "single-2x2", Metric::Rate, &[9.0]);
        all.extend(samples("crossfire", "channel-2x2", Metric::Rate, &[5.0]));
        all.extend(samples("mq channel", "channel-2x2", Metric::Rate, &[99.0]));
        let contest = &of(&all)[0];
        assert_eq!(contest.ours.0.system, "mq ring");
        assert_eq!(contest.other.as_ref().unwrap().0.system, "crossfire");
    }
}

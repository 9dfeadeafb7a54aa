//! Queues: `mq` against what a user would pick instead, in the same loops.
//!
//! Every item is a number; producers send disjoint ranges, consumers add up what they receive. The
//! proof of a repetition is that every number arrived exactly once: count, sum and sum of squares.
//!
//! | module | what it holds |
//! |---|---|
//! | [`contenders`] | who is measured: one line for each queue |
//! | [`ours`], [`mod@peers`] | adapters |
//! | [`ends`] | what the loops ask of an adapter |
//! | [`waiting`] | how callers wait for queues that only try |
//! | [`payload`] | the messages and the sums that prove their arrival |
//! | [`work`] | the measured loops |
//! | [`scenario`] | what is asked of whom |
//! | [`memory`] | memory after a burst |
//! | [`goals`] | what ours are meant to reach |

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::BenchError;
use crate::experiment::{Effort, Experiment, Plan, Trial};
use crate::run::Cell;

pub mod contenders;
pub mod ends;
pub mod goals;
pub mod memory;
pub mod ours;
pub mod payload;
pub mod peers;
pub mod scenario;
pub mod waiting;
pub mod work;

use self::scenario::Scenario;

/// The headline.
pub const EXPERIMENT: Experiment = Experiment {
    name: "queue",
    title: "Queues",
    question: "How fast are the queues under all of this, against what else there is?",
    method: "Messages of 8 bytes, capacity 1,024; equal shares for the producers, consumers race until the queue is closed and drained; as many messages as take about the stated time. One producer and one consumer have a core each, everything else runs where the system puts it. Queues that only try are measured with several ways to wait (yield; polite: 128, 256, 512 pauses, then yield; in the full run also crossbeam's back-off), and the best of them counts, for ours and for others alike; channels wait as they do by themselves. A scenario's best is the one with the best median of this run. Alone: one thread sends and receives, nobody else is there. Round trips: two threads on two cores, two queues; parked: a pause of 300 µs before each. Memory: resident, of a process that sends 4 million numbers and receives them again. Idle consumer: one more consumer takes one message and then holds its handle, doing nothing. Two cores cannot show contention among many: 2x2 and 4x4 measure waiting and preemption.",
    on_request: false,
    plan: plan_headline,
};

/// The whole matrix.
pub const MATRIX: Experiment = Experiment {
    name: "queue-matrix",
    title: "Queues, all shapes, capacities, messages and batches",
    question: "Where does a queue lose what it has elsewhere?",
    method: "As for the queues' headline, over five shapes, capacities of 64, 1,024 and 65,536, messages of 64 and 256 bytes and a box, and batches of 8 to 256. Two cores cannot show contention among many: all shapes but 1x1 measure waiting and preemption.",
    on_request: true,
    plan: plan_matrix,
};

/// The versions of the peers, as the lock file pins them.
#[must_use]
pub fn peers() -> BTreeMap<String, String> {
    const LOCK: &str = include_str!("../../../Cargo.lock");
    const PEERS: [&str; 13] = [
        "async-channel",
        "batch-channel",
        "concurrent-queue",
        "crossbeam-channel",
        "crossbeam-queue",
        "crossfire",
        "flume",
        "heapless",
        "kanal",
        "lfqueue",
        "rtrb",
        "thingbuf",
        "tokio",
    ];
    let version = |name: &str| {
        let after = LOCK.split_once(&format!("name = \"{name}\"\nversion = \""))?.1;
        Some((name.to_owned(), after.split_once('"')?.0.to_owned()))
    };
    PEERS.into_iter().filter_map(version).collect()
}

fn plan_headline(effort: &Effort) -> Result<Plan, BenchError> {
    Ok(plan(&EXPERIMENT, scenario::headline(), effort, (3, 15)))
}

fn plan_matrix(effort: &Effort) -> Result<Plan, BenchError> {
    Ok(plan(&MATRIX, scenario::matrix(), effort, (2, 7)))
}

fn plan(
    experiment: &Experiment,
    scenarios: Vec<Scenario>,
    effort: &Effort,
    repetitions: (u32, u32),
) -> Plan {
    let contenders = contenders::all();
    let mut trials = Vec::new();
    for scenario in scenarios {
        for contender in contenders.iter().filter(|one| scenario.admits(one, effort)) {
            let (name, waiting) = (contender.name, contender.policy.name());
            let cell = Cell::new(experiment.name, name, waiting, &scenario.case);
            trials.push(Trial { cell, measure: scenario.measure(*contender, effort) });
        }
    }
    let settings = [("capacity", format!("{} items", scenario::CAPACITY))];
    Plan {
        trials,
        repetitions: if effort.quick { repetitions.0 } else { repetitions.1 },
        measured: Duration::from_millis(if effort.quick { 40 } else { 200 }),
        settings: settings.map(|(name, value)| (name.to_owned(), value)).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::contenders::OURS;
    use super::payload::Received;
    use super::scenario::{BATCHES, SHAPES, Task};
    use super::waiting::Policy;
    use super::work::Setup;
    use super::*;

    const QUICK: Effort = Effort { quick: true, repetitions: None };
    const FULL: Effort = Effort { quick: false, repetitions: None };

    #[test]
    fn every_item_arrives_once_through_every_queue_shape_and_mode() {
        for contender in contenders::all() {
            for (shape, idle_consumer) in SHAPES.map(|shape| (shape, shape == SHAPES[3])) {
                let (items, policy, batch) = (2_000, contender.policy, 32);
                let setup = Setup { shape, capacity: 64, items, policy, batch, idle_consumer };
                let runs = contender.streams.into_iter().chain(contender.batches);
                for run in runs.filter(|_| (contender.offers)(&setup)) {
                    let streamed = run(&setup).expect("it offers this");
                    let expected = Received::of_range(items);
                    assert_eq!(streamed.received, expected, "{} {setup:?}", contender.name);
                }
            }
        }
    }

    #[test]
    fn one_thread_and_round_trips_work_with_every_queue() {
        for contender in contenders::all() {
            let alone = (contender.alone)(1024, 512, 2).map(|done| done.received);
            let trips = (contender.round_trips)(contender.policy, 5, Duration::ZERO);
            if contender.name != "heapless" {
                assert_eq!(alone, Some(Received::of_range(1024)), "{}", contender.name);
                assert_eq!(trips.map(|times| times.len()), Some(5), "{}", contender.name);
            }
        }
    }

    #[test]
    fn every_headline_scenario_has_one_of_ours() {
        let plan = plan_headline(&QUICK).unwrap();
        for scenario in scenario::headline() {
            let ours = |trial: &&Trial| {
                trial.cell.case == scenario.case && trial.cell.system.starts_with(OURS)
            };
            assert!(plan.trials.iter().any(|trial| ours(&trial)), "{}", scenario.case);
        }
    }

    #[test]
    fn the_matrix_has_every_peer_capacity_payload_and_batch() {
        let plan = plan_matrix(&FULL).unwrap();
        for contender in contenders::all() {
            let found = plan.trials.iter().any(|trial| trial.cell.system == contender.name);
            assert!(found, "{}", contender.name);
        }
        let scenarios = scenario::matrix();
        for batch in BATCHES {
            let found = scenarios
                .iter()
                .any(|one| matches!(one.task, Task::Stream { batch: size, .. } if size == batch));
            assert!(found, "{batch}");
        }
        assert!(plan.trials.iter().all(|trial| trial.cell.variant != Policy::Spin.name()));
    }

    #[test]
    fn no_two_trials_share_a_cell() {
        for plan in [plan_headline(&FULL).unwrap(), plan_matrix(&FULL).unwrap()] {
            let mut cells: Vec<&Cell> = plan.trials.iter().map(|trial| &trial.cell).collect();
            cells.sort();
            let shared = cells.windows(2).find(|pair| pair[0] == pair[1]);
            assert!(shared.is_none(), "{shared:?}");
        }
    }

    #[test]
    fn peers_are_named_with_their_versions() {
        assert_eq!(peers().len(), 13);
        assert!(peers().values().all(|version| version.contains('.')));
    }
}

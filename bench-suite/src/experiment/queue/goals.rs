//! What the queues are meant to reach: a figure on a machine of two cores like the one that the
//! goals were set on, and a ratio against the best of the others, which holds anywhere.

/// What a goal is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rival {
    /// The best of the others in the same scenario.
    Others,
    /// One of ours, with its best waiting, in another scenario.
    Ours {
        /// The queue.
        system: &'static str,
        /// The scenario.
        case: &'static str,
    },
}

/// A goal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goal {
    /// The scenario in words.
    pub words: &'static str,
    /// The scenario in files.
    pub case: &'static str,
    /// The figure: messages per second, or nanoseconds; `None` where only the ratio counts.
    pub figure: Option<f64>,
    /// How many times better than the rival.
    pub ratio: Option<f64>,
    /// Whom the ratio is taken against.
    pub rival: Rival,
}

const fn goal(words: &'static str, case: &'static str, figure: f64, ratio: Option<f64>) -> Goal {
    Goal { words, case, figure: Some(figure), ratio, rival: Rival::Others }
}

/// All goals, in the order of the table.
pub const GOALS: [Goal; 22] = [
    goal("bounded, single, 1x1", "single-1x1", 100e6, Some(1.5)),
    goal("bounded, single, 2x2", "single-2x2", 95e6, Some(1.5)),
    goal("bounded, single, 4x4", "single-4x4", 95e6, Some(1.5)),
    goal("batches of 32, 2x2", "batch-32-2x2", 300e6, Some(2.5)),
    goal("batches of 32, 4x4", "batch-32-4x4", 300e6, Some(2.5)),
    goal("batches of 64, 2x2", "batch-64-2x2", 480e6, Some(3.5)),
    goal("batches of 256, 2x2", "batch-256-2x2", 400e6, Some(2.4)),
    goal("blocking channel, 2x2", "channel-2x2", 80e6, Some(1.5)),
    goal("blocking channel, 4x4", "channel-4x4", 80e6, Some(1.5)),
    goal("unbounded, single, 1x1", "unbounded-1x1", 45e6, Some(1.7)),
    goal("unbounded, single, 2x2", "unbounded-2x2", 75e6, Some(1.7)),
    goal("unbounded, single, 4x4", "unbounded-4x4", 80e6, Some(1.7)),
    goal("sharded, single, 2x2", "sharded-2x2", 180e6, None),
    goal("sharded, single, 4x4", "sharded-4x4", 180e6, None),
    goal("SPSC, single", "spsc-1x1", 212e6, Some(1.0)),
    goal("SPSC, chunks of 64", "spsc-batch-64-1x1", 450e6, Some(1.2)),
    goal("strictly lock-free, single, 2x2", "strict-2x2", 35e6, Some(2.0)),
    Goal {
        words: "strictly lock-free, batches of 64, 2x2, against the fast ring",
        case: "strict-batch-64-2x2",
        figure: None,
        ratio: Some(ON_PAR),
        rival: Rival::Ours { system: "mq ring", case: "batch-64-2x2" },
    },
    goal("one thread, push and pop", "pair", 11.0, None),
    goal("one thread, bursts of 512", "burst", 14.0, None),
    goal("round trip, spinning, p50", "round-trip-spinning", 350.0, None),
    goal("round trip, blocking, p50", "round-trip-blocking", 600.0, None),
];

/// The ratio from which on two queues count as on par.
pub const ON_PAR: f64 = 0.9;
/// What the worst shape is to reach of one producer and one consumer.
pub const WORST_SHAPE_MIN: f64 = 0.75;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::queue::scenario;

    #[test]
    fn every_goal_is_about_a_scenario_that_is_measured() {
        let cases: Vec<String> = scenario::headline().into_iter().map(|one| one.case).collect();
        for goal in GOALS {
            assert!(cases.iter().any(|case| case == goal.case), "{}", goal.case);
            if let Rival::Ours { case, .. } = goal.rival {
                assert!(cases.iter().any(|known| known == case), "{case}");
            }
        }
    }
}

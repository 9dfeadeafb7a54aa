//! Batching: how large a batch should be, and which policy cuts it, from low load to saturation.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use quorate_mq::batcher::BatchPolicy;
use quorate_runtime::ClusterConfig;
use quorate_smr::Protocol;
use quorate_smr::machine::Checksum;

use crate::error::BenchError;
use crate::experiment::cluster::{Load, Prepared, Schedule};
use crate::experiment::peak::Peaks;
use crate::experiment::small::{Gathering, WINDOW, size_trials};
use crate::experiment::system::{Configure, PROTOCOLS, System};
use crate::experiment::{Effort, Experiment, Outcome, Plan, Trial};
use crate::rows::UNBATCHED_VARIANT;
use crate::run::Cell;
use crate::workload::SMALL;

/// Offered load in percent of what the shipped policy reaches in closed loop.
const SHARES: [u32; 4] = [1, 5, 25, 75];
/// The same in a short run.
const SHARES_QUICK: [u32; 2] = [1, 25];
/// Loads of at most this share count as low: there batching must cost nothing.
pub const SHARE_LOW_MAX: u32 = 5;

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    name: "batching",
    title: "Batching",
    question: "How large should a batch be, and what should decide when it leaves?",
    method: "As for small commands. Size: the number of commands in a batch is limited, a batch leaves as soon as the window of eight batches has room; closed loop. Policy: one command at a time in slots and messages; fixed sizes that leave when full or when a timer strikes (64 commands or 1 ms, 512 or 5 ms); adaptive, which ships: what is waiting leaves as soon as the window has room; adaptive that waits up to 200 µs while more than one batch is in flight. All policies of a protocol meet the same schedules, at shares of what the shipped policy reaches; latency counts from the intended send time; less than 95 % answered in time counts as saturated, and latencies are lower bounds then. Whether adaptive loses to no batching at low load is a row of its own: the ratio of their latencies within repetitions.",
    on_request: false,
    plan,
};

/// What decides when a batch leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    /// Each command alone.
    Unbatched,
    /// So many commands, or the time in microseconds.
    Fixed(usize, u64),
    /// What is waiting.
    Adaptive,
    /// The same, after so many microseconds while batches are in flight.
    AdaptiveLinger(u64),
}

const POLICIES: [(&str, Policy); 5] = [
    (UNBATCHED_VARIANT, Policy::Unbatched),
    ("fixed-64-1ms", Policy::Fixed(64, 1000)),
    ("fixed-512-5ms", Policy::Fixed(512, 5000)),
    ("adaptive", Policy::Adaptive),
    ("adaptive-linger-200us", Policy::AdaptiveLinger(200)),
];

impl Configure for Policy {
    fn configure<P: Protocol>(&self, config: &mut ClusterConfig<P>) {
        let lingering = |micros: u64| Duration::from_micros(micros);
        let policy = match self {
            Self::Unbatched => return Gathering::OneByOne.configure(config),
            Self::Fixed(count, micros) => BatchPolicy::fixed(*count, lingering(*micros)),
            Self::Adaptive => Ok(BatchPolicy::adaptive()),
            Self::AdaptiveLinger(micros) => BatchPolicy::adaptive().with_linger(lingering(*micros)),
        };
        config.batching = policy.expect("sizes above zero and timers within the limit");
    }
}

/// The case's name of a load of `share` percent.
#[must_use]
pub fn at_load(share: u32) -> String {
    format!("load-{share}")
}

/// The load in percent that `case` stands for; `None` for batch sizes.
#[must_use]
pub fn load_of(case: &str) -> Option<u32> {
    case.strip_prefix("load-")?.parse().ok()
}

fn plan(effort: &Effort) -> Result<Plan, BenchError> {
    let load = Load {
        window: WINDOW,
        warm_up: Duration::from_millis(if effort.quick { 40 } else { 60 }),
        measured: Duration::from_millis(if effort.quick { 100 } else { 200 }),
        probes: 0,
        probe_interval: Duration::ZERO,
    };
    let prepared = Prepared::new(SMALL, 1, false);
    let peaks = Rc::new(Peaks::new());
    let sizes: &[usize] =
        if effort.quick { &[1, 16, 256, 4096] } else { &[1, 4, 16, 64, 512, 4096] };
    let mut trials = size_trials(EXPERIMENT.name, sizes, &prepared, load);
    let shares: &[u32] = if effort.quick { &SHARES_QUICK } else { &SHARES };
    for system in PROTOCOLS {
        for share in shares {
            for named in POLICIES {
                trials.push(policy_trial((system, *share), named, load, (&prepared, &peaks)));
            }
        }
    }
    Ok(Plan {
        trials,
        repetitions: if effort.quick { 2 } else { 5 },
        measured: load.measured,
        settings: [
            ("client", format!("1, in closed loop with {WINDOW} requests in flight")),
            ("threads", "all replicas on one, the client on the last core".into()),
        ]
        .map(|(name, value): (&str, String)| (name.to_owned(), value))
        .into(),
    })
}

fn policy_trial(
    (system, share): (System, u32),
    (name, policy): (&str, Policy),
    load: Load,
    (prepared, peaks): (&Arc<Prepared>, &Rc<Peaks<System>>),
) -> Trial {
    let (prepared, peaks) = (prepared.clone(), peaks.clone());
    let measure = Box::new(move |_| {
        let peak = || system.repetition(&Policy::Adaptive, Checksum::default, &prepared, &load);
        let per_second = match peaks.of(system, peak) {
            Ok(peak) => peak * f64::from(share) / 100.0,
            Err(reason) => return Outcome::failed(&reason),
        };
        let schedule = Schedule { per_second, warm_up: load.warm_up, measured: load.measured };
        system.scheduled(&policy, Checksum::default, &prepared, &schedule)
    });
    Trial { cell: Cell::new(EXPERIMENT.name, system.name(), name, &at_load(share)), measure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_configures_what_its_name_says() {
        for (name, policy) in POLICIES {
            let mut config = ClusterConfig::<quorate_raft::Raft>::default();
            policy.configure(&mut config);
            config.validate().unwrap();
            let batching = config.batching;
            let shown = match policy {
                Policy::Unbatched => (1, Duration::ZERO),
                Policy::Fixed(count, micros) => (count, Duration::from_micros(micros)),
                Policy::Adaptive => (BatchPolicy::adaptive().count_max(), Duration::ZERO),
                Policy::AdaptiveLinger(micros) => {
                    (BatchPolicy::adaptive().count_max(), Duration::from_micros(micros))
                }
            };
            assert_eq!((batching.count_max(), batching.linger()), shown, "{name}");
        }
        assert!(POLICIES.iter().any(|(name, _)| *name == UNBATCHED_VARIANT));
    }

    #[test]
    fn loads_are_told_from_batch_sizes() {
        assert_eq!(load_of(&at_load(25)), Some(25));
        assert_eq!(load_of("batch-64"), None);
    }
}

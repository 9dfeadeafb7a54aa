//! The protocols beside one another, with everything else equal: peak throughput and its costs,
//! latency against load, cluster sizes, workloads, value sizes.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use quorate_paxos::Paxos;
use quorate_pbft::Pbft;
use quorate_raft::Raft;
use quorate_runtime::ClusterConfig;
use quorate_smr::Protocol;
use quorate_smr::kv::KvStore;

use crate::error::BenchError;
use crate::experiment::cluster::{Load, Prepared, Schedule};
use crate::experiment::peak::Peaks;
use crate::experiment::system::{Configure, SYSTEMS, System};
use crate::experiment::variant::Toggles;
use crate::experiment::{Effort, Experiment, Outcome, Plan, Trial};
use crate::run::Cell;
use crate::workload::{
    Keys, PAYLOAD_BYTES, Payload, WRITES, Workload, YCSB_A, YCSB_B, YCSB_C, YCSB_F,
};

/// Requests that the client keeps in flight at the peak.
pub const WINDOW: usize = 2048;
/// Their bytes at most: large values are fewer at a time.
const WINDOW_BYTES: usize = 4 << 20;
/// Bytes of all records of a store at most, about: large values have fewer records.
const STORE_BYTES: usize = 32 << 20;
/// The largest number of faults tolerated.
const FAULTS_MAX: usize = 3;
/// Offered load in percent of the measured peak, smallest clusters.
const SHARES: [u32; 8] = [5, 20, 40, 60, 80, 90, 100, 120];
/// The same for larger clusters.
const SHARES_LARGER: [u32; 5] = [5, 50, 80, 100, 120];
/// The same in a short run.
const SHARES_QUICK: [u32; 4] = [5, 50, 90, 120];
/// The load at which the report compares what a lone command costs, in percent of the peak.
pub const SHARE_LOW: u32 = 5;

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    name: "protocols",
    title: "The protocols beside one another",
    question: "What do the three protocols cost when all else is equal: in throughput, latency, messages, bytes and CPU?",
    method: "The shipped default (batching and pipelining; messages as encoded, checksummed frames; journals in memory) with one client, for clusters that tolerate one, two and three faults (Paxos and Raft 3, 5, 7 replicas; PBFT 4, 7, 10), and the unreplicated state machine behind the same queues, which is the floor of every cost and the ceiling of every throughput. Peak: closed loop. Curves: a fixed schedule at rising shares of that peak, latency from the intended send time; a load counts as saturated when less than 95 % of what was due was answered while the schedule lasted, and its latencies are lower bounds then. YCSB A (half reads), records of 400 bytes, Zipf keys, unless a row says otherwise. F counts the read and the write that follows it as two commands. Reads are linearizable; PBFT orders them like writes. Excluded: disks, links, cores of one's own. A repetition fails when a command is lost or applied twice, replicas differ, or the sampled history is not linearizable.",
    on_request: false,
    plan,
};

/// The shipped default with so many faults tolerated.
#[derive(Clone, Copy, Debug)]
struct Shipped {
    faults: usize,
}

impl Configure for Shipped {
    fn configure<P: Protocol>(&self, config: &mut ClusterConfig<P>) {
        Toggles::DEFAULT.configure(config);
        config.replicas = P::replicas_for(self.faults);
    }
}

/// The variant's name: how many faults are tolerated.
#[must_use]
pub fn tolerating(faults: usize) -> String {
    format!("f{faults}")
}

/// How many replicas tolerate `faults` in the system called `name`; one where there is nothing to
/// tolerate them with.
#[must_use]
pub fn replicas(name: &str, faults: usize) -> usize {
    match SYSTEMS.into_iter().find(|system| system.name() == name) {
        Some(System::Paxos) => Paxos::replicas_for(faults),
        Some(System::Raft) => Raft::replicas_for(faults),
        Some(System::Pbft) => Pbft::replicas_for(faults),
        Some(System::Direct) | None => 1,
    }
}

/// The case's name of a load of `share` percent of the peak.
#[must_use]
pub fn at_share(share: u32) -> String {
    format!("share-{share}")
}

/// The name of the case with values of `bytes` bytes; [`PAYLOAD_BYTES`] has them.
#[must_use]
pub const fn sized(bytes: usize) -> &'static str {
    match bytes {
        16 => "json-16",
        256 => "json-256",
        1024 => "json-1024",
        _ => "json-16384",
    }
}

/// The workloads of the smallest clusters.
fn workloads() -> Vec<Workload> {
    let uniform = Workload { name: "ycsb-a-uniform", keys: Keys::Uniform, ..YCSB_A };
    let of_size = |bytes: usize| {
        let records = YCSB_A.records.min((STORE_BYTES / bytes) as u32);
        Workload { name: sized(bytes), payload: Payload::Json(bytes), records, ..YCSB_A }
    };
    let mut workloads = vec![YCSB_A, YCSB_B, YCSB_C, YCSB_F, WRITES, uniform];
    workloads.extend(PAYLOAD_BYTES.map(of_size));
    workloads
}

/// A workload, generated when it is first needed.
struct Ready {
    workload: Workload,
    generated: OnceCell<(Arc<Prepared>, KvStore)>,
}

impl Ready {
    fn new(workload: Workload) -> Rc<Self> {
        Rc::new(Self { workload, generated: OnceCell::new() })
    }

    fn get(&self) -> &(Arc<Prepared>, KvStore) {
        self.generated.get_or_init(|| {
            let prepared = Prepared::new(self.workload, 1, true);
            let store = prepared.filled_store();
            (prepared, store)
        })
    }

    fn closed(&self, system: System, shipped: Shipped, times: Times) -> Outcome {
        let (prepared, store) = self.get();
        let fits = WINDOW_BYTES / self.workload.payload.bytes().max(1);
        let load = Load {
            window: WINDOW.min(fits),
            warm_up: times.warm_up,
            measured: times.measured,
            probes: 0,
            probe_interval: Duration::ZERO,
        };
        let store = store.clone();
        system.repetition(&shipped, move || store.clone(), prepared, &load)
    }

    fn open(&self, system: System, shipped: Shipped, times: Times, per_second: f64) -> Outcome {
        let (prepared, store) = self.get();
        let schedule = Schedule { per_second, warm_up: times.warm_up, measured: times.measured };
        let store = store.clone();
        system.scheduled(&shipped, move || store.clone(), prepared, &schedule)
    }
}

#[derive(Clone, Copy, Debug)]
struct Times {
    warm_up: Duration,
    measured: Duration,
}

/// What all trials share.
struct Planner {
    times: Times,
    main: Rc<Ready>,
    peaks: Rc<Peaks<(System, usize)>>,
    trials: Vec<Trial>,
}

impl Planner {
    fn closed(&mut self, system: System, faults: usize, ready: &Rc<Ready>) {
        let (times, ready) = (self.times, ready.clone());
        let case = ready.workload.name;
        let measure = Box::new(move |_| ready.closed(system, Shipped { faults }, times));
        let cell = Cell::new(EXPERIMENT.name, system.name(), &tolerating(faults), case);
        self.trials.push(Trial { cell, measure });
    }

    fn open(&mut self, system: System, faults: usize, share: u32) {
        let (times, ready, peaks) = (self.times, self.main.clone(), self.peaks.clone());
        let measure = Box::new(move |_| {
            let shipped = Shipped { faults };
            match peaks.of((system, faults), || ready.closed(system, shipped, times)) {
                Ok(peak) => ready.open(system, shipped, times, peak * f64::from(share) / 100.0),
                Err(reason) => Outcome::failed(&reason),
            }
        });
        let (variant, case) = (tolerating(faults), at_share(share));
        let cell = Cell::new(EXPERIMENT.name, system.name(), &variant, &case);
        self.trials.push(Trial { cell, measure });
    }
}

fn plan(effort: &Effort) -> Result<Plan, BenchError> {
    let times = Times {
        warm_up: Duration::from_millis(if effort.quick { 40 } else { 60 }),
        measured: Duration::from_millis(if effort.quick { 100 } else { 200 }),
    };
    let (main, peaks) = (Ready::new(YCSB_A), Rc::new(Peaks::new()));
    let mut planner = Planner { times, main: main.clone(), peaks, trials: Vec::new() };
    // The short run has the smallest and the largest values alone.
    let is_between = |workload: &Workload| matches!(workload.payload, Payload::Json(256 | 1024));
    for workload in workloads().into_iter().filter(|one| !effort.quick || !is_between(one)) {
        let ready = if workload == YCSB_A { main.clone() } else { Ready::new(workload) };
        for system in SYSTEMS {
            planner.closed(system, 1, &ready);
        }
    }
    for faults in 1..=FAULTS_MAX {
        // Without replicas there is nothing to tolerate faults with.
        let of_size = SYSTEMS.into_iter().filter(|system| faults == 1 || *system != System::Direct);
        for system in of_size {
            let shares: &[u32] = match (effort.quick, faults) {
                (true, 1) => &SHARES_QUICK,
                (true, _) => &[SHARE_LOW],
                (false, 1) => &SHARES,
                (false, _) => &SHARES_LARGER,
            };
            if faults > 1 {
                planner.closed(system, faults, &main);
            }
            for share in shares {
                planner.open(system, faults, *share);
            }
        }
    }
    Ok(Plan {
        trials: planner.trials,
        repetitions: if effort.quick { 2 } else { 5 },
        measured: times.measured,
        settings: settings(),
    })
}

fn settings() -> BTreeMap<String, String> {
    [
        ("client", format!("1, at the peak with {WINDOW} requests in flight")),
        ("curves", "schedules at shares of the peak of the run's first repetition".into()),
        ("structured text", "values of json-16 to json-16384 are cut from cargo metadata".into()),
        ("threads", "all replicas on one, the client on the last core".into()),
    ]
    .map(|(name, value): (&str, String)| (name.to_owned(), value))
    .into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::latency::file_name;

    #[test]
    fn every_cell_is_planned_once_and_has_a_log_of_its_own() {
        for quick in [true, false] {
            let plan = plan(&Effort { quick, repetitions: None }).unwrap();
            let names: BTreeSet<String> =
                plan.trials.iter().map(|trial| file_name(&trial.cell)).collect();
            assert_eq!(names.len(), plan.trials.len());
        }
    }

    #[test]
    fn sizes_have_names_of_their_own() {
        let names: BTreeSet<&str> = PAYLOAD_BYTES.map(sized).into();
        assert_eq!(names.len(), PAYLOAD_BYTES.len());
        for bytes in PAYLOAD_BYTES {
            assert_eq!(sized(bytes), format!("json-{bytes}"));
        }
    }

    #[test]
    fn larger_clusters_tolerate_more_faults() {
        for (faults, replicas) in [(1, 4), (2, 7), (3, 10)] {
            let mut config = ClusterConfig::<quorate_pbft::Pbft>::default();
            Shipped { faults }.configure(&mut config);
            assert_eq!(config.replicas, replicas);
            config.validate().unwrap();
        }
    }
}

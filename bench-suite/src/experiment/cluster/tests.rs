//! The proof of a repetition: honest ones pass, planted defects are found.

use quorate_runtime::{JournalFormat, Transport};
use quorate_smr::machine::Checksum;

use super::measured::percentile;
use super::*;
use crate::experiment::ablation::Setting;
use crate::experiment::small::Gathering;
use crate::experiment::system::{Configure, PROTOCOLS, System};
use crate::experiment::variant::{Toggles, ablation};
use crate::metric::Metric;
use crate::workload::{SMALL, YCSB_A, YCSB_F};

const LOAD: Load = Load {
    window: 64,
    warm_up: Duration::from_millis(1),
    measured: Duration::from_millis(30),
    probes: 5,
    probe_interval: Duration::from_millis(1),
};

fn few_records() -> Workload {
    // Enough that calls on a tracked key seldom overlap, which the history check needs.
    Workload { records: 2000, ..YCSB_A }
}

#[test]
fn every_protocol_is_verified_with_everything_on_and_off() {
    let prepared = Prepared::new(few_records(), 2, true);
    for system in PROTOCOLS {
        for toggles in [Toggles::ALL, Toggles::NONE] {
            let store = prepared.filled_store();
            let outcome = system.repetition(&toggles, move || store.clone(), &prepared, &LOAD);
            assert_eq!(outcome.proof, Proof::Verified, "{} {toggles:?}", system.name());
        }
    }
}

#[test]
fn the_floor_is_verified_too() {
    let prepared = Prepared::new(SMALL, 1, false);
    for gathering in [Gathering::Batching, Gathering::Single, Gathering::OneByOne] {
        let outcome = System::Direct.repetition(&gathering, Checksum::default, &prepared, &LOAD);
        assert_eq!(outcome.proof, Proof::Verified, "{gathering:?}");
    }
}

#[test]
fn a_setting_of_the_ablation_changes_the_configuration_as_it_says() {
    for (name, toggles) in ablation() {
        let mut config = ClusterConfig::<quorate_raft::Raft>::default();
        toggles.configure(&mut config);
        assert_eq!(config.groups > 1, toggles.sharding, "{name}");
        assert_eq!(config.batching.count_max() > 1, toggles.batching, "{name}");
        assert_eq!(config.batching.window_batches() > 1, toggles.pipelining, "{name}");
        let off = quorate_mq::compress::CompressionPolicy::Off;
        assert_eq!(config.compression != off, toggles.compression, "{name}");
        config.validate().unwrap();
    }
}

#[test]
fn the_default_of_the_report_is_the_default_of_the_runtime() {
    fn check<P: Protocol>()
    where
        P::Config: std::fmt::Debug + PartialEq,
    {
        let shipped = ClusterConfig::<P>::default();
        let mut config = shipped.clone();
        Setting::Shipped.configure(&mut config);
        assert_eq!(config, shipped);
        Toggles::DEFAULT.configure(&mut config);
        let frames = (Transport::Frames, JournalFormat::Frames);
        assert_eq!((config.transport, config.journal), frames);
        (config.transport, config.journal) = (shipped.transport, shipped.journal);
        assert_eq!(config, shipped);
    }
    check::<quorate_paxos::Paxos>();
    check::<quorate_raft::Raft>();
    check::<quorate_pbft::Pbft>();
}

/// What a small honest run leaves to be verified.
fn honest() -> (ClusterReport, Tally, Arc<Prepared>) {
    let prepared = Prepared::new(few_records(), 1, true);
    let store = prepared.filled_store();
    let config = ClusterConfig::<quorate_raft::Raft>::default();
    let cluster = Cluster::start(config, move || store.clone()).unwrap();
    let client = cluster.client().unwrap();
    let (operations, tracked) = (&prepared.clients[0], &prepared.tracked);
    let script = Script { operations, tracked, origin: Instant::now() };
    let mut driver = Driver::new(client, script);
    driver.count_loop(16, 500);
    driver.read_tracked(|record| prepared.workload.key(record));
    let tally = driver.finish();
    let report = cluster.shutdown();
    (report, tally, prepared)
}

#[test]
fn planted_defects_fail_the_proof() {
    let (mut report, mut tally, prepared) = honest();
    assert_eq!(prove(&report, &tally, &prepared), Ok(()));
    let reason = |report: &ClusterReport, tally: &Tally| {
        prove(report, tally, &prepared).expect_err("the defect is found")
    };

    tally.ordered += 1;
    assert!(reason(&report, &tally).contains("were sent"), "a command lost");
    tally.ordered -= 1;

    tally.errors = 1;
    assert!(reason(&report, &tally).contains("without an answer"));
    tally.errors = 0;

    let last_read = tally.history.last_mut().expect("tracked records were read");
    let honest_answer = last_read.operation.returned.clone();
    last_read.operation.returned = Some((u64::MAX - 2, KvReturn::Value(Some(b"stale".to_vec()))));
    assert!(reason(&report, &tally).contains("not linearizable"));
    tally.history.last_mut().expect("as before").operation.returned = honest_answer;

    let executor = report.last.nodes[0].executor.as_mut().expect("the replica runs");
    executor.digest = Some(quorate_smr::Digest::of(b"another state"));
    assert!(reason(&report, &tally).contains("differ"));
}

#[test]
fn percentiles_are_nearest_ranks() {
    let sorted: Vec<Duration> = (1..=200).map(Duration::from_micros).collect();
    assert_eq!(percentile(&sorted, 0.5).map(f64::round), Some(100.0));
    assert_eq!(percentile(&sorted, 0.99).map(f64::round), Some(198.0));
    assert_eq!(percentile(&[], 0.5), None);
}

#[test]
fn a_schedule_is_kept_and_every_request_has_a_latency() {
    let prepared = Prepared::new(few_records(), 1, true);
    let schedule = Schedule {
        per_second: 2000.0,
        warm_up: Duration::from_millis(20),
        measured: Duration::from_millis(100),
    };
    for system in PROTOCOLS {
        let store = prepared.filled_store();
        let machine = move || store.clone();
        let outcome = system.scheduled(&Toggles::ALL, machine, &prepared, &schedule);
        assert_eq!(outcome.proof, Proof::Verified, "{}", system.name());
        let latencies = outcome.latencies.unwrap();
        assert_eq!(latencies.count(), 200, "{}", system.name());
        assert_eq!(outcome.values[&Metric::LatencySamples], 200.0);
        assert_eq!(outcome.values[&Metric::Offered], 2000.0);
        assert!(outcome.values[&Metric::LatencyP50] <= outcome.values[&Metric::LatencyMax]);
    }
}

#[test]
fn a_schedule_that_nobody_could_keep_has_a_latency_for_each_request_too() {
    let prepared = Prepared::new(SMALL, 1, false);
    let schedule =
        Schedule { per_second: 50e6, warm_up: Duration::ZERO, measured: Duration::from_millis(2) };
    let outcome = System::Raft.scheduled(&Toggles::NONE, Checksum::default, &prepared, &schedule);
    assert_eq!(outcome.proof, Proof::Verified);
    assert_eq!(outcome.latencies.unwrap().count(), 100_000);
    let achieved = outcome.values.get(&Metric::Achieved).copied().unwrap_or(0.0);
    assert!(achieved < 0.95 * schedule.per_second, "{achieved}");
}

#[test]
fn records_are_read_before_they_are_written_back() {
    let prepared = Prepared::new(Workload { records: 2000, ..YCSB_F }, 1, true);
    let store = prepared.filled_store();
    let config = ClusterConfig::<quorate_raft::Raft>::default();
    let cluster = Cluster::start(config, move || store.clone()).unwrap();
    let operations = &prepared.clients[0][..300];
    let all: Vec<u32> = (0..2000).collect();
    let script = Script { operations, tracked: &all, origin: Instant::now() };
    let mut driver = Driver::new(cluster.client().unwrap(), script);
    driver.count_loop(16, 300);
    let tally = driver.finish();
    assert!(cluster.shutdown().verify().is_ok());
    let back = operations.iter().filter(|operation| operation.read_first.is_some());
    let (back, history) = (back.collect::<Vec<_>>(), &tally.history);
    assert_eq!((tally.errors, history.len()), (0, 300 + back.len()));
    for operation in back {
        let put = KvCall::Put(operation.value().to_vec());
        let of_key = |entry: &&KvOperation| entry.key == operation.key;
        let write = history.iter().find(|e| of_key(e) && e.operation.call == put).unwrap();
        let read_before = history.iter().filter(of_key).any(|entry| {
            let ended = entry.operation.returned.as_ref().map(|(at, _)| *at);
            entry.operation.call == KvCall::Get
                && ended.is_some_and(|ended| ended <= write.operation.called_at)
        });
        assert!(read_before, "record {}", operation.record);
    }
}

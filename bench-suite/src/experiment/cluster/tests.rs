//! The proof of a repetition: honest ones pass, planted defects are found.

use quorate_runtime::{JournalFormat, Transport};
use quorate_smr::machine::Checksum;

use super::*;
use crate::experiment::ablation::Setting;
use crate::experiment::small::Gathering;
use crate::experiment::system::{Configure, PROTOCOLS, System};
use crate::experiment::variant::{Toggles, ablation};
use crate::workload::{SMALL, YCSB_A};

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

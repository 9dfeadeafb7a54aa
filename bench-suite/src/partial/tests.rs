//! Tests of interrupted runs: what goes on, what is refused, what is not measured twice.

use std::time::Duration;

use super::*;
use crate::latency::Latencies;
use crate::metric::Metric;
use crate::testing::sample;

fn identity() -> Identity {
    Identity::here(true, vec!["ablation".into()], Some(2))
}

fn begin(results: &Path) -> Partial {
    Partial::create(results, "a".into(), identity(), "2026-01-02 03:04".into()).unwrap()
}

fn go_on(results: &Path, identity: &Identity) -> Result<Partial, BenchError> {
    Partial::resume(results, identity, "2026-01-02 04:05".into())
}

fn one(system: &str, repetition: u32) -> Sample {
    sample(Cell::new("ablation", system, "all", "x"), repetition, &[(Metric::Throughput, 0.1)])
}

fn done(setting: &str) -> Done {
    let settings = [("calibration".to_owned(), setting.to_owned())].into();
    Done { name: "ablation".into(), repetitions: 2, measured_ms: 1, settings }
}

#[test]
fn what_was_kept_is_there_again_and_knows_when_it_went_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut partial = begin(folder.path());
    partial.begin(done("1"), 2).unwrap();
    let kept = [one("raft", 1), one("paxos", 1), one("raft", 2)];
    kept.iter().for_each(|sample| partial.append(sample.clone()).unwrap());
    drop(partial);
    let mut partial = go_on(folder.path(), &identity()).unwrap();
    assert_eq!(partial.samples(), kept);
    assert_eq!(partial.resumed(), ["2026-01-02 04:05"]);
    let cell = Cell::new("ablation", "paxos", "all", "x");
    assert!(partial.has(&cell, 1) && !partial.has(&cell, 2));
    assert_eq!(partial.finished("ablation"), None);
    partial.append(one("paxos", 2)).unwrap();
    assert_eq!(partial.finished("ablation"), Some(&done("1")));
}

#[test]
fn a_run_that_is_ended_early_keeps_the_repetitions_that_every_cell_has() {
    let folder = tempfile::tempdir().unwrap();
    let mut partial = begin(folder.path());
    partial.begin(done("1"), 2).unwrap();
    for sample in [one("raft", 1), one("paxos", 1), one("paxos", 2)] {
        partial.append(sample).unwrap();
    }
    let place = partial.folder.clone();
    drop(partial);
    let partial = Partial::to_finish(&place, "2026-01-02 04:05".into()).unwrap();
    let (experiments, samples) = partial.whole();
    assert_eq!(experiments, [Done { repetitions: 1, ..done("1") }]);
    assert_eq!(samples, [one("raft", 1), one("paxos", 1)]);
}

#[test]
fn a_line_torn_by_a_kill_is_measured_again_wherever_it_is_torn() {
    let folder = tempfile::tempdir().unwrap();
    let mut partial = begin(folder.path());
    partial.append(one("raft", 1)).unwrap();
    let file = partial.folder.join(SAMPLES);
    let first = fs::read(&file).unwrap().len();
    partial.append(one("raft", 2)).unwrap();
    drop(partial);
    let whole = fs::read(&file).unwrap();
    for length in first..whole.len() {
        fs::write(&file, &whole[..length]).unwrap();
        let mut partial = go_on(folder.path(), &identity()).unwrap();
        assert_eq!(partial.samples(), [one("raft", 1)], "torn after {length} bytes");
        partial.append(one("raft", 2)).unwrap();
        drop(partial);
        assert_eq!(fs::read(&file).unwrap(), whole, "torn after {length} bytes");
    }
}

#[test]
fn latencies_whose_sample_was_not_kept_are_dropped_and_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let mut partial = begin(folder.path());
    let timed = |repetition| {
        let times = [Duration::from_micros(5), Duration::from_micros(50)];
        Sample { latencies: Latencies::of(&times), ..one("raft", repetition) }
    };
    partial.append(timed(1)).unwrap();
    let (samples, log) = (partial.folder.join(SAMPLES), partial.folder.join("hist"));
    let log = log.join(latency::file_name(&timed(1).cell));
    let kept = [&samples, &log].map(|path| fs::read_to_string(path).unwrap());
    partial.append(timed(2)).unwrap();
    drop(partial);
    let whole = fs::read_to_string(&log).unwrap();
    for length in [kept[1].len(), kept[1].len() + 9, whole.len() - 1, whole.len()] {
        fs::write(&samples, &kept[0]).unwrap();
        fs::write(&log, &whole[..length]).unwrap();
        let partial = go_on(folder.path(), &identity()).unwrap();
        assert_eq!(partial.samples(), [timed(1)], "{length} bytes of the log");
        assert_eq!(fs::read_to_string(&log).unwrap(), kept[1]);
    }
}

#[test]
fn another_commit_option_or_machine_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    drop(begin(folder.path()));
    type Change<'a> = (&'a str, &'a dyn Fn(&mut Identity));
    let changes: [Change<'_>; 6] = [
        ("commit", &|identity| identity.commit = "other".into()),
        ("--quick", &|identity| identity.quick = false),
        ("experiments", &|identity| identity.experiments.push("wan".into())),
        ("--repetitions", &|identity| identity.repetitions = None),
        ("machine", &|identity| identity.machine.cores += 1),
        ("built from other sources", &|identity| identity.program = "other".into()),
    ];
    for (reason, change) in changes {
        let mut other = identity();
        change(&mut other);
        let error = go_on(folder.path(), &other).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    go_on(folder.path(), &identity()).unwrap();
}

#[test]
fn a_run_that_another_process_writes_is_not_taken_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let _running = begin(folder.path());
    let error = go_on(folder.path(), &identity()).unwrap_err().to_string();
    assert!(error.contains("another process"), "{error}");
}

#[test]
fn without_an_interrupted_run_nothing_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let error = go_on(folder.path(), &identity()).unwrap_err().to_string();
    assert!(error.contains("there is none"), "{error}");
    begin(folder.path()).remove().unwrap();
    assert!(interrupted(folder.path()).is_empty());
}

#[test]
fn a_run_that_was_completed_is_not_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    drop(begin(folder.path()));
    assert_eq!(interrupted(folder.path()).len(), 1);
    fs::create_dir(folder.path().join("runs").join("a")).unwrap();
    assert!(interrupted(folder.path()).is_empty());
}

#[test]
fn an_experiment_that_begins_otherwise_is_measured_from_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut partial = begin(folder.path());
    partial.begin(done("1"), 1).unwrap();
    partial.append(one("raft", 1)).unwrap();
    partial.begin(done("1"), 1).unwrap();
    assert_eq!(partial.samples().len(), 1);
    partial.begin(done("2"), 1).unwrap();
    assert!(partial.samples().is_empty());
    partial.append(one("raft", 1)).unwrap();
    partial.append(one("raft", 2)).unwrap();
    drop(partial);
    let partial = go_on(folder.path(), &identity()).unwrap();
    assert_eq!(partial.samples().len(), 2);
    assert_eq!(partial.finished("ablation"), Some(&done("2")));
}

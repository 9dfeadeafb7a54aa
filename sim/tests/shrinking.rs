//! A failing run is reduced to much less, which fails in the same way, and which a file repeats.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use quorate_sim::campaign::find_violation;
use quorate_sim::registry::{ProtocolName, Visitor};
use quorate_sim::regression::Regression;
use quorate_sim::shrink::shrink;
use quorate_sim::{Inspect, Options, simulate};

/// Seeds within which a defect shows.
const SEEDS: u64 = 1_000;
/// Runs that a reduction may make.
const BUDGET: u64 = 600;

/// Plants a defect, reduces the first run that shows it, and repeats the result from its file.
fn reduces<P: Inspect>(name: &str, plant: impl Fn(&mut P::Config) + Send + Sync + 'static)
where
    Options<P>: Sync,
{
    let usual = Options::<P>::new(P::replicas_for(1));
    let planted = Options { adjust: Some(Arc::new(plant)), ..usual.clone() };
    let (seed, violation) = find_violation(&planted, 0..SEEDS).expect("the defect shows");

    let shrunk = shrink(&planted, seed, BUDGET, |_| ()).expect("it fails");
    assert!(shrunk.runs <= BUDGET);
    let reduced = shrunk.outcome.violation.clone().expect("it still fails");
    assert_eq!(reduced.invariant, violation.invariant);
    let (before, after) = (shrunk.faults_before, shrunk.kept.len());
    println!(
        "{name}: {before} faults to {after}, {:?} settings, {} runs",
        shrunk.knobs, shrunk.runs
    );
    assert!(after * 4 <= before, "{before} faults to {after}: less than a quarter");
    assert!(shrunk.knobs.1 < shrunk.knobs.0, "{:?}: no setting became quiet", shrunk.knobs);

    let folder = tempfile::tempdir().expect("a folder");
    let file = keep_in(folder.path(), name);
    let described = Regression::new(&planted, &shrunk);
    described.write(&file).expect("written");
    let read = Regression::read(&file).expect("read");
    assert_eq!(read, described);
    let again = Options { adjust: planted.adjust, ..read.options::<P>() };
    let again = simulate(&again, read.seed);
    assert_eq!(again.violation, shrunk.outcome.violation);
    assert_eq!(format!("{:016x}", again.trace_hash), read.trace_hash);
    // Without the defect the same schedule does no harm.
    assert_eq!(simulate(&read.options::<P>(), read.seed).violation, None);
}

/// Where the file goes: with `KEEP_REGRESSIONS` set, beside those that are kept.
fn keep_in(scratch: &Path, name: &str) -> PathBuf {
    match std::env::var_os("KEEP_REGRESSIONS") {
        Some(_) => regressions().join(format!("{name}.json")),
        None => scratch.join("regression.json"),
    }
}

fn regressions() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("regressions")
}

#[test]
fn a_forgotten_vote_is_reduced_to_a_quarter_of_its_faults() {
    use quorate_raft::{Defect, Raft};
    reduces::<Raft>("raft-vote-not-persisted", |config| {
        config.defect = Some(Defect::VoteNotPersisted);
    });
}

#[test]
fn a_forgotten_promise_is_reduced_to_a_quarter_of_its_faults() {
    use quorate_paxos::{Defect, Paxos};
    reduces::<Paxos>("paxos-promise-forgotten-on-crash", |config| {
        config.defect = Some(Defect::PromiseForgottenOnCrash);
    });
}

#[test]
fn a_commit_without_a_quorum_is_reduced_to_a_quarter_of_its_faults() {
    use quorate_pbft::{Defect, Pbft};
    reduces::<Pbft>("pbft-commit-without-quorum", |config| {
        config.defect = Some(Defect::CommitWithoutQuorum);
    });
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    use quorate_raft::{Defect, Raft};
    let plant = |config: &mut quorate_raft::RaftConfig| {
        config.defect = Some(Defect::VoteNotPersisted);
    };
    let options = Options::<Raft> { adjust: Some(Arc::new(plant)), ..Options::new(3) };
    let (seed, _) = find_violation(&options, 0..SEEDS).expect("the defect shows");
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let shrunk = pool.install(|| shrink(&options, seed, 100, |_| ())).expect("it fails");
        (shrunk.kept, shrunk.plan, shrunk.outcome.trace_hash)
    };
    assert_eq!(with(1), with(4));
}

#[test]
fn a_run_that_fails_nothing_is_not_reduced() {
    let options = Options::<quorate_raft::Raft>::new(3);
    assert!(shrink(&options, 0, BUDGET, |_| ()).is_none());
}

/// Replays a regression file.
struct Replay(Regression);

impl Visitor for Replay {
    type Output = Option<quorate_sim::Violation>;

    fn visit<P: Inspect>(self) -> Self::Output {
        simulate(&self.0.options::<P>(), self.0.seed).violation
    }
}

#[test]
fn every_kept_regression_stays_mended() {
    let mut replayed = 0;
    for entry in std::fs::read_dir(regressions()).expect("the folder of regressions") {
        let path = entry.expect("an entry").path();
        let regression = Regression::read(&path).unwrap_or_else(|error| panic!("{error}"));
        let protocol: ProtocolName = regression.protocol().expect("checked when it was read");
        assert_eq!(protocol.visit(Replay(regression)), None, "{}", path.display());
        replayed += 1;
    }
    assert!(replayed >= 2, "{replayed} files: where are the others?");
}

#[test]
fn a_file_of_another_version_or_with_unknown_names_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("changed.json");
    let kept = regressions().join("raft-vote-not-persisted.json");
    let text = std::fs::read_to_string(kept).expect("readable");
    for (from, to, words) in [
        ("\"format\": 1", "\"format\": 99", "format 99"),
        ("\"protocol\": \"raft\"", "\"protocol\": \"zab\"", "raft, paxos, pbft"),
        ("\"replicas\": 3", "\"replicas\": 99", "1 to 13"),
        ("\"kept\": {", "\"kept\": {\"meteorite\": [0],", "meteorite"),
        ("\"seed\"", "\"sead\"", "sead"),
    ] {
        assert!(text.contains(from), "{from}");
        let changed = text.replacen(from, to, 1).replace("[0],\n  }", "[0]\n  }");
        let changed = changed.replace("[0],}", "[0]}");
        std::fs::write(&file, changed).expect("written");
        let error = Regression::read(&file).expect_err(to).to_string();
        assert!(error.contains(words), "{to}: {error}");
    }
}

//! Each generic invariant of the harness is seen to fail, with a toy protocol and a mistake for it;
//! without a mistake the toy is clean.

mod toy;

use std::sync::Arc;

use quorate_sim::campaign::run_seeds;
use quorate_sim::invariants as names;
use quorate_sim::plan::SECOND;
use quorate_sim::{Options, Plan, simulate};
use toy::{Mistake, Toy};

/// Seeds tried for each mistake.
const SEEDS: u64 = 200;

fn options(mistake: Option<Mistake>) -> Options<Toy> {
    let adjust = move |config: &mut toy::ToyConfig| config.mistake = mistake;
    Options { adjust: Some(Arc::new(adjust)), ..Options::new(3) }
}

/// The swarm's plan for `seed`, but with the toy's only leader among the living.
fn with_leader(seed: u64, mistake: Option<Mistake>) -> Options<Toy> {
    let mut plan = Plan::swarm(seed, 3, 1, false);
    plan.left_down.retain(|replica| *replica != 0);
    plan.liveness_ns = 10 * SECOND;
    Options { plan: Some(plan), ..options(mistake) }
}

fn assert_breaks(mistake: Mistake, invariant: &str) {
    let mut broken = Vec::new();
    for seed in 0..SEEDS {
        let violation = simulate(&with_leader(seed, Some(mistake)), seed).violation;
        broken.extend(violation.map(|violation| violation.invariant));
        if broken.last() == Some(&invariant) {
            return;
        }
    }
    broken.sort_unstable();
    broken.dedup();
    panic!("{mistake:?} broke {broken:?}, not \"{invariant}\"");
}

#[test]
fn the_correct_toy_is_clean() {
    for seed in 0..SEEDS {
        let outcome = simulate(&with_leader(seed, None), seed);
        assert_eq!(outcome.violation, None, "seed {seed}");
        assert!(outcome.slots > 0 && !outcome.latencies_ns.is_empty(), "seed {seed} did nothing");
    }
}

#[test]
fn what_was_told_must_be_remembered() {
    assert_breaks(Mistake::ForgetsWhatItStored, names::TOLD_IS_REMEMBERED);
}

#[test]
fn what_is_decided_must_stay_decided_after_a_crash() {
    assert_breaks(Mistake::CommitsAlone, names::CHOSEN_STAYS_CHOSEN);
}

#[test]
fn a_slot_decides_one_value() {
    assert_breaks(Mistake::CommitsAnother, names::SLOT_AGREEMENT);
}

#[test]
fn stale_reads_are_not_linearizable() {
    assert_breaks(Mistake::ReadsStale, names::LINEARIZABLE);
}

#[test]
fn buffers_must_stay_below_their_limits() {
    assert_breaks(Mistake::Hoards, names::BUFFERS_BOUNDED);
}

#[test]
fn a_healed_cluster_must_serve() {
    assert_breaks(Mistake::FallsSilent, names::PROGRESS);
}

#[test]
fn a_healed_cluster_must_converge() {
    assert_breaks(Mistake::LeavesOneBehind, names::CONVERGENCE);
}

#[test]
fn a_broken_assertion_is_reported_with_its_words() {
    let outcome = (0..SEEDS)
        .find_map(|seed| simulate(&with_leader(seed, Some(Mistake::Panics)), seed).violation);
    let violation = outcome.unwrap();
    assert_eq!(violation.invariant, names::NO_PANIC);
    assert!(violation.detail.contains("the toy breaks at slot 10"), "{}", violation.detail);
}

#[test]
fn a_deadline_must_pass() {
    assert_breaks(Mistake::TicksForever, names::NO_RUNAWAY);
}

#[test]
fn an_epoch_has_one_leader() {
    assert_breaks(Mistake::TwoLeaders, names::ELECTION_SAFETY);
}

#[test]
fn nothing_is_decided_that_no_client_sent() {
    assert_breaks(Mistake::Invents, names::NOTHING_INVENTED);
}

#[test]
fn commits_are_contiguous() {
    assert_breaks(Mistake::CommitsTwice, names::SLOTS_CONTIGUOUS);
}

#[test]
fn a_snapshot_cannot_be_taken_in_the_past() {
    assert_breaks(Mistake::SnapshotInThePast, names::CONTRACT);
}

#[test]
fn an_epoch_and_slot_have_one_entry() {
    assert_breaks(Mistake::WritesTwoEntries, names::ONE_VALUE_PER_EPOCH_AND_SLOT);
}

#[test]
fn a_run_without_faults_has_the_latency_of_its_links_and_injects_nothing() {
    let options = Options { plan: Some(Plan::quiet()), count_bytes: true, ..options(None) };
    let outcome = simulate(&options, 1);
    assert_eq!(outcome.violation, None);
    assert_eq!(outcome.faults.total(), 0);
    assert!(outcome.message_bytes > outcome.messages * 24, "frames have headers");
    // Client to replica, replica to backup and back, replica to client: half a millisecond each.
    assert_eq!(outcome.latencies_ns.iter().max(), Some(&2_000_000));
}

#[test]
fn seeds_run_in_parallel_give_the_sum_of_their_runs() {
    let options = options(None);
    let summary = run_seeds(&options, 0..8, |_| ());
    let steps: u64 = (0..8).map(|seed| simulate(&options, seed).steps).sum();
    assert_eq!((summary.seeds, summary.steps), (8, steps));
}

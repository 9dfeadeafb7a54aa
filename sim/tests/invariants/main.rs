//! Each generic invariant of the harness is seen to fail, with a toy protocol and a mistake for it;
//! without a mistake the toy is clean.

mod proofs;
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
    plan.durability.losses.retain(|loss| loss.replica != 0);
    plan.turbulence.left_ill.retain(|(replica, _)| *replica != 0);
    plan.liveness_ns = 30 * SECOND;
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
fn a_broken_assertion_is_reported_with_its_words() {
    let outcome = (0..SEEDS)
        .find_map(|seed| simulate(&with_leader(seed, Some(Mistake::Panics)), seed).violation);
    let violation = outcome.unwrap();
    assert_eq!(violation.invariant, names::NO_PANIC);
    assert!(violation.detail.contains("the toy breaks at slot 10"), "{}", violation.detail);
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

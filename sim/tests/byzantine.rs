//! One Byzantine replica more than is tolerated must be seen to break agreement; as many as are
//! tolerated must not, with the same behaviour and the same seeds.

use std::sync::Arc;

use quorate_pbft::Pbft;
use quorate_sim::byzantine::Behaviour;
use quorate_sim::campaign::{find_violation, run_seeds};
use quorate_sim::invariants::{
    CHOSEN_STAYS_CHOSEN, ONE_VALUE_PER_EPOCH_AND_SLOT, PREPARED_SURVIVES, SLOT_AGREEMENT,
    STATE_AGREEMENT,
};
use quorate_sim::{FaultKind, Inspect, Options, Plan};

/// Seeds within which one liar too many must be seen.
const SEEDS: u64 = 40;
/// Seeds that must be clean without it.
const CLEAN: u64 = 8;

/// What says that honest replicas disagree; that they do not get on would prove nothing.
const AGREEMENT: [&str; 5] = [
    SLOT_AGREEMENT,
    STATE_AGREEMENT,
    ONE_VALUE_PER_EPOCH_AND_SLOT,
    CHOSEN_STAYS_CHOSEN,
    PREPARED_SURVIVES,
];

/// The swarm, in which the first `count` replicas do `behaviour` and nobody else is faulty for good.
fn options(replicas: usize, count: usize, behaviour: Behaviour) -> Options<Pbft> {
    let sharpen = move |plan: &mut Plan| {
        plan.byzantine = (0..count as u8).map(|replica| (replica, behaviour)).collect();
        plan.left_down.clear();
        plan.rogues.clear();
    };
    Options { sharpen: Some(Arc::new(sharpen)), ..Options::new(replicas) }
}

fn breaks_with_one_more(replicas: usize, behaviour: Behaviour, fault: FaultKind) {
    let tolerated = Pbft::faults(replicas);
    let mut start = 0;
    let (seed, violation) = loop {
        let too_many = options(replicas, tolerated + 1, behaviour);
        let Some((seed, violation)) = find_violation(&too_many, start..SEEDS) else {
            panic!("{behaviour:?} of {} in {replicas}: not seen in {SEEDS} seeds", tolerated + 1);
        };
        if AGREEMENT.contains(&violation.invariant) {
            break (seed, violation);
        }
        start = seed + 1;
    };
    println!("{behaviour:?}, {replicas} replicas: seed {seed}: {}", violation.invariant);
    let clean = run_seeds(&options(replicas, tolerated, behaviour), 0..CLEAN, |_| ());
    assert!(clean.violations.is_empty(), "{behaviour:?}: {:?}", clean.violations);
    assert!(clean.faults.of(fault) > 0, "{behaviour:?} took place");
}

#[test]
fn two_colluders_of_four_break_agreement_and_one_does_not() {
    breaks_with_one_more(4, Behaviour::Collude, FaultKind::Collusion);
}

#[test]
fn three_colluders_of_seven_break_agreement_and_two_do_not() {
    breaks_with_one_more(7, Behaviour::Collude, FaultKind::Collusion);
}

#[test]
fn two_pairs_of_twins_of_four_break_agreement_and_one_does_not() {
    breaks_with_one_more(4, Behaviour::Twins, FaultKind::Twin);
}

#[test]
fn three_pairs_of_twins_of_seven_break_agreement_and_two_do_not() {
    breaks_with_one_more(7, Behaviour::Twins, FaultKind::Twin);
}

//! Disks as bytes, what befalls them, and the fault bound: each fault strikes, each is noticed, and
//! what no disk can notice is seen by the invariants.

use std::sync::Arc;

use quorate_sim::campaign::{find_violation, run_seeds};
use quorate_sim::plan::{Cut, DiskFault, DiskLoss, DurabilityPlan, MS, Recurring};
use quorate_sim::registry::{ProtocolName, Visitor};
use quorate_sim::{FaultKind, Inspect, Options, Plan, invariants, simulate};

fn each_protocol(visit: impl Visitor<Output = ()> + Copy) {
    for protocol in ProtocolName::ALL {
        protocol.visit(visit);
    }
}

/// The swarm with another plan for the disks, and nobody else lost.
fn with_disks<P: Inspect>(durability: DurabilityPlan) -> Options<P> {
    let sharpen = move |plan: &mut Plan| {
        plan.durability = durability.clone();
        plan.byzantine.clear();
        plan.left_down.clear();
    };
    Options { sharpen: Some(Arc::new(sharpen)), ..Options::new(P::replicas_for(1)) }
}

/// Seeds that a protocol is given here; signatures make PBFT slow.
fn share<P: Inspect>(seeds: u64) -> u64 {
    if P::BYZANTINE { seeds / 4 } else { seeds }
}

#[derive(Clone, Copy)]
struct BytesChangeNothing;

impl Visitor for BytesChangeNothing {
    type Output = ();

    fn visit<P: Inspect>(self) {
        let run = |bytes, seed| {
            let plan = DurabilityPlan { bytes, ..DurabilityPlan::quiet() };
            simulate(&Options { hash_messages: true, ..with_disks::<P>(plan) }, seed)
        };
        for seed in 0..share::<P>(40) {
            let (values, bytes) = (run(false, seed), run(true, seed));
            assert_eq!(values.trace_hash, bytes.trace_hash, "{} seed {seed}", P::NAME);
            assert_eq!(values.history, bytes.history, "{} seed {seed}", P::NAME);
            assert_eq!((values.violation, bytes.violation), (None, None));
        }
    }
}

#[test]
fn disks_as_bytes_without_byte_faults_give_the_same_run_as_disks_as_values() {
    each_protocol(BytesChangeNothing);
}

#[derive(Clone, Copy)]
struct EveryLossIsNoticed;

impl Visitor for EveryLossIsNoticed {
    type Output = ();

    fn visit<P: Inspect>(self) {
        for fault in DiskFault::NOTICED {
            let loss = DiskLoss { replica: 1, fault, at_ns: 300 * MS };
            let plan =
                DurabilityPlan { bytes: true, losses: vec![loss], ..DurabilityPlan::quiet() };
            let summary = run_seeds(&with_disks::<P>(plan), 0..share::<P>(24), |_| ());
            assert!(
                summary.violations.is_empty(),
                "{} {fault:?}: {:?}",
                P::NAME,
                summary.violations
            );
            let refused = summary.faults.of(FaultKind::DiskRefused);
            assert!(refused > 0, "{} {fault:?}: no disk was refused", P::NAME);
        }
    }
}

#[test]
fn every_way_to_lose_a_disk_strikes_is_refused_and_the_others_go_on() {
    each_protocol(EveryLossIsNoticed);
}

#[derive(Clone, Copy)]
struct TemporaryFaults;

impl Visitor for TemporaryFaults {
    type Output = ();

    fn visit<P: Inspect>(self) {
        let plan = DurabilityPlan {
            bytes: true,
            mendable_ppm: 500_000,
            full: Recurring { every_ns: 200 * MS, length_ns: 100 * MS },
            ..DurabilityPlan::quiet()
        };
        let summary = run_seeds(&with_disks::<P>(plan), 0..share::<P>(60), |_| ());
        assert!(summary.violations.is_empty(), "{}: {:?}", P::NAME, summary.violations);
        for kind in [FaultKind::DiskFull, FaultKind::StoppedFull, FaultKind::MendableDamage] {
            assert!(summary.faults.of(kind) > 0, "{}: {kind} never struck", P::NAME);
        }
        assert_eq!(summary.faults.of(FaultKind::DiskRefused), 0, "{}", P::NAME);
    }
}

#[test]
fn full_disks_and_mendable_damage_strike_and_pass() {
    each_protocol(TemporaryFaults);
}

fn forgetful<P: Inspect>() -> Options<P> {
    let loss = |replica| DiskLoss { replica, fault: DiskFault::ForgetsTail, at_ns: 200 * MS };
    let plan = DurabilityPlan { bytes: true, losses: vec![loss(0)], ..DurabilityPlan::quiet() };
    with_disks::<P>(plan)
}

fn forgetting_breaks<P: Inspect>() {
    let found = find_violation(&forgetful::<P>(), 0..300);
    let Some((seed, violation)) = found else {
        panic!(
            "{}: a disk that forgets is outside the model and must be seen to break it",
            P::NAME
        );
    };
    println!("{}: seen at seed {seed}: {}", P::NAME, violation.invariant);
}

#[test]
fn a_disk_that_forgets_its_end_is_seen_to_break_raft_and_paxos() {
    forgetting_breaks::<quorate_raft::Raft>();
    forgetting_breaks::<quorate_paxos::Paxos>();
}

#[test]
fn a_disk_that_forgets_its_end_is_one_of_the_f_faulty_of_pbft() {
    let summary = run_seeds(&forgetful::<quorate_pbft::Pbft>(), 0..25, |_| ());
    assert!(summary.violations.is_empty(), "{:?}", summary.violations);
    assert!(summary.faults.of(FaultKind::ForgottenTail) > 20);
}

#[derive(Clone, Copy)]
struct BeyondTheBound;

impl Visitor for BeyondTheBound {
    type Output = ();

    fn visit<P: Inspect>(self) {
        let replicas = P::replicas_for(1);
        let mut options = Options::<P>::new(replicas);
        let seeds = share::<P>(40);
        let within = run_seeds(&options, 0..seeds, |_| ());
        assert!(within.violations.is_empty(), "{}: {:?}", P::NAME, within.violations);
        options.sharpen = Some(Arc::new(move |plan: &mut Plan| {
            plan.left_down = (0..replicas as u8).filter(|id| *id != 1).collect();
            plan.byzantine.clear();
        }));
        let beyond = run_seeds(&options, 0..seeds, |_| ());
        assert!(beyond.violations.is_empty(), "{}: {:?}", P::NAME, beyond.violations);
        assert_eq!(beyond.beyond_bound, seeds, "{}", P::NAME);
    }
}

#[test]
fn beyond_the_fault_bound_a_cluster_stops_safely_and_the_run_says_so() {
    each_protocol(BeyondTheBound);
}

#[test]
fn without_the_atlas_leave_nobody_is_lost() {
    // The fault is in the plan, so that the atlas knows of it; then the same without: nobody is
    // refused, and nobody is missed.
    let options =
        with_disks::<quorate_raft::Raft>(DurabilityPlan { bytes: true, ..DurabilityPlan::quiet() });
    let summary = run_seeds(&options, 0..60, |_| ());
    assert!(summary.violations.is_empty(), "{:?}", summary.violations);
    assert_eq!((summary.faults.of(FaultKind::DiskRefused), summary.beyond_bound), (0, 0));
}

#[test]
fn invariants_of_disks_have_names_in_reports() {
    for name in [invariants::RECOVERS, invariants::CORRUPTION_REFUSED] {
        assert!(invariants::ALL.contains(&name));
    }
    assert_eq!(Cut::POINTS.iter().filter(|cut| cut.keeps_step()).count(), 2);
}

#[derive(Clone, Copy)]
struct AsInTheLargeRun;

impl Visitor for AsInTheLargeRun {
    type Output = ();

    fn visit<P: Inspect>(self) {
        let runs: &[(&str, usize, u64)] =
            &[("raft", 3, 5749), ("paxos", 3, 7921), ("pbft", 4, 1069), ("pbft", 7, 6595)];
        for (_, replicas, seed) in runs.iter().filter(|(name, ..)| *name == P::NAME) {
            let outcome = simulate(&Options::<P>::new(*replicas), *seed);
            assert_eq!(outcome.violation, None, "{} seed {seed}", P::NAME);
        }
    }
}

/// Damage on top of damage, a disk that came back to its owner, and a late answer of an earlier
/// session were faults of the simulator.
#[test]
fn seeds_that_a_large_run_found_stay_mended() {
    each_protocol(AsInTheLargeRun);
}

//! For each invariant of the harness, something that is seen to break it.
//!
//! The list is complete: an invariant without a proof fails `every_invariant_has_a_proof`.

use std::sync::Arc;

use quorate_paxos::Paxos;
use quorate_pbft::Pbft;
use quorate_raft::Raft;
use quorate_sim::byzantine::Behaviour;
use quorate_sim::invariants as names;
use quorate_sim::{Inspect, Options, simulate};
use quorate_smr::{Executor, wire};

use crate::toy::{Mistake, Toy};
use crate::{assert_breaks, with_leader};

/// Seeds within which a protocol's planted defect must break the invariant that it is named for.
const SEEDS: u64 = 1_000;

/// What breaks an invariant.
enum Proof {
    /// A mistake of the toy protocol.
    Toy(Mistake),
    /// A planted defect of Raft, Paxos, PBFT, or of client sessions.
    Raft(quorate_raft::Defect),
    Paxos(quorate_paxos::Defect),
    Pbft(quorate_pbft::Defect),
    Sessions(quorate_smr::Defect),
    /// A run of its own.
    Own(fn()),
}

use Proof::{Own, Sessions};

/// Every invariant, and what is seen to break it.
const PROOFS: &[(&str, Proof)] = &[
    (names::SLOT_AGREEMENT, Proof::Toy(Mistake::CommitsAnother)),
    (names::SLOTS_CONTIGUOUS, Proof::Toy(Mistake::CommitsTwice)),
    (names::STATE_AGREEMENT, Sessions(quorate_smr::Defect::SessionsNotRestored)),
    (names::NEVER_BACK, Proof::Toy(Mistake::TakesBack)),
    (names::ACKNOWLEDGED_IS_APPLIED, Own(a_lying_leader_acknowledges_what_nobody_applies)),
    (names::NOTHING_INVENTED, Proof::Toy(Mistake::Invents)),
    (names::APPLIED_AT_MOST_ONCE, Sessions(quorate_smr::Defect::ExpiredSessionRevived)),
    (names::SAME_ANSWER, Sessions(quorate_smr::Defect::RetryAppliedTwice)),
    (names::BUFFERS_BOUNDED, Proof::Toy(Mistake::Hoards)),
    (names::TOLD_IS_REMEMBERED, Proof::Toy(Mistake::ForgetsWhatItStored)),
    (names::ELECTION_SAFETY, Proof::Toy(Mistake::TwoLeaders)),
    (names::ONE_VALUE_PER_EPOCH_AND_SLOT, Proof::Toy(Mistake::WritesTwoEntries)),
    (names::CHOSEN_STAYS_CHOSEN, Proof::Toy(Mistake::CommitsAlone)),
    (names::NEVER_TWO_THINGS, Proof::Toy(Mistake::SaysTwoThings)),
    (names::NEVER_BELOW_PROMISE, Proof::Toy(Mistake::BreaksItsPromise)),
    (names::LEADER_COMPLETENESS, Proof::Raft(quorate_raft::Defect::VoteForStaleLog)),
    (names::LOG_MATCHING, Proof::Raft(quorate_raft::Defect::AppendWithoutComparing)),
    (names::COMMIT_UNDER_OWN_EPOCH, Proof::Raft(quorate_raft::Defect::CommitOlderTermByCounting)),
    (names::CHOSEN_IS_PROPOSED, Proof::Paxos(quorate_paxos::Defect::IgnoreLowerBallotValue)),
    (names::PREPARED_SURVIVES, Proof::Pbft(quorate_pbft::Defect::NewViewUnverified)),
    (names::DECIDED_ON_QUORUM, Proof::Paxos(quorate_paxos::Defect::DecideBelowQuorum)),
    (names::ACKNOWLEDGED_IS_EQUAL, Proof::Raft(quorate_raft::Defect::AppendWithoutComparing)),
    (names::READ_SEES_DECIDED, Proof::Raft(quorate_raft::Defect::ReadWithoutQuorum)),
    (names::CHECKPOINTS_AGREE, Proof::Toy(Mistake::VouchesForAnother)),
    (names::PROGRESS, Proof::Toy(Mistake::FallsSilent)),
    (names::CONVERGENCE, Proof::Toy(Mistake::LeavesOneBehind)),
    (names::LINEARIZABLE, Own(stale_reads_are_seen_by_clients)),
    (names::RECOVERS, Proof::Toy(Mistake::RefusesItsJournal)),
    (names::NO_PANIC, Proof::Toy(Mistake::Panics)),
    (names::NO_RUNAWAY, Proof::Toy(Mistake::TicksForever)),
    (names::CORRUPTION_REFUSED, Own(a_frame_whose_checksum_nobody_looks_at_is_reported)),
    (names::CONTRACT, Proof::Toy(Mistake::SnapshotInThePast)),
];

#[test]
fn every_invariant_has_a_proof() {
    for name in names::ALL {
        assert!(PROOFS.iter().any(|(proven, _)| proven == name), "nothing is seen to break {name}");
    }
}

#[test]
fn every_invariant_is_seen_to_fail() {
    for (name, proof) in PROOFS {
        match proof {
            Proof::Toy(mistake) => assert_breaks(*mistake, name),
            Proof::Raft(defect) => {
                assert_finds::<Raft>(name, |config| config.defect = Some(*defect));
            }
            Proof::Paxos(defect) => {
                assert_finds::<Paxos>(name, |config| config.defect = Some(*defect));
            }
            Proof::Pbft(defect) => {
                assert_finds::<Pbft>(name, |config| config.defect = Some(*defect));
            }
            Sessions(defect) => {
                let plant = Arc::new(move |_, executor: &mut Executor<_>| executor.plant(*defect));
                assert_reports(name, &Options::<Raft> { tamper: Some(plant), ..Options::new(3) });
            }
            Own(run) => run(),
        }
    }
}

fn assert_finds<P: Inspect>(name: &str, plant: impl Fn(&mut P::Config) + Send + Sync + 'static) {
    let replicas = P::replicas_for(1);
    assert_reports(name, &Options::<P> { adjust: Some(Arc::new(plant)), ..Options::new(replicas) });
}

/// Some run with these options breaks the invariant `name`.
fn assert_reports<P: Inspect>(name: &str, options: &Options<P>) {
    let broken = |seed| simulate(options, seed).violation.map(|violation| violation.invariant);
    assert!((0..SEEDS).any(|seed| broken(seed) == Some(name)), "nothing broke {name}");
}

fn a_lying_leader_acknowledges_what_nobody_applies() {
    let mut options = with_leader(1, Some(Mistake::CommitsAlone));
    let plan = options.plan.as_mut().expect("the plan is given");
    plan.byzantine = vec![(0, Behaviour::Replay)];
    plan.left_down.clear();
    assert_reports::<Toy>(names::ACKNOWLEDGED_IS_APPLIED, &options);
}

/// An honest replica is caught when it serves the read (`READ_SEES_DECIDED`); a liar by its clients.
fn stale_reads_are_seen_by_clients() {
    assert_breaks(Mistake::ReadsStale, names::READ_SEES_DECIDED);
    let mut options = with_leader(1, Some(Mistake::ReadsStale));
    let plan = options.plan.as_mut().expect("the plan is given");
    plan.byzantine = vec![(1, Behaviour::Replay)];
    plan.left_down.clear();
    plan.load.stray_ppm = 500_000;
    plan.load.read_ppm = 500_000;
    plan.load.ordered_read_ppm = 0;
    assert_reports::<Toy>(names::LINEARIZABLE, &options);
}

fn a_frame_whose_checksum_nobody_looks_at_is_reported() {
    wire::plant_unchecked_frames(true);
    let sharpen = |plan: &mut quorate_sim::Plan| {
        plan.network.frames = true;
        plan.network.corrupt_ppm = 50_000;
    };
    let options = Options::<Raft> { sharpen: Some(Arc::new(sharpen)), ..Options::new(3) };
    assert_reports(names::CORRUPTION_REFUSED, &options);
    wire::plant_unchecked_frames(false);
}

//! A harness counts only when it has been seen to fail: every planted defect is found, and without
//! a defect the same seeds are clean.

use std::sync::Arc;

use quorate_sim::campaign::{find_violation, run_seeds};
use quorate_sim::{Inspect, Options};

/// Seeds within which a defect must be found.
const SEEDS: u64 = 1_000;

/// Options that plant something in every replica's configuration.
fn planted<P: Inspect>(plant: impl Fn(&mut P::Config) + Send + Sync + 'static) -> Options<P> {
    Options { adjust: Some(Arc::new(plant)), ..Options::new(P::replicas_for(1)) }
}

/// How many seeds it took to find what `plant` plants, and that they are clean without it.
fn is_found<P: Inspect>(name: &str, plant: impl Fn(&mut P::Config) + Send + Sync + 'static)
where
    Options<P>: Sync,
{
    let found = find_violation(&planted::<P>(plant), 0..SEEDS);
    let Some((seed, violation)) = found else {
        panic!("{name}: not found within {SEEDS} seeds");
    };
    println!("{name}: found at seed {seed}: {}", violation.invariant);
    let clean = run_seeds(&Options::<P>::new(P::replicas_for(1)), 0..seed + 1, |_| ());
    assert!(clean.violations.is_empty(), "without a defect: {:?}", clean.violations);
}

mod raft {
    use quorate_raft::{Defect, Raft};

    use super::is_found;

    fn check(defect: Defect) {
        is_found::<Raft>(&format!("{defect:?}"), move |config| config.defect = Some(defect));
    }

    #[test]
    fn a_vote_that_is_not_persisted_is_found() {
        check(Defect::VoteNotPersisted);
    }

    #[test]
    fn a_vote_cleared_on_a_step_down_is_found() {
        check(Defect::VoteClearedOnStepDown);
    }

    #[test]
    fn a_commit_of_an_older_term_by_counting_is_found() {
        check(Defect::CommitOlderTermByCounting);
    }

    #[test]
    fn a_follower_that_commits_beyond_what_was_verified_is_found() {
        check(Defect::FollowerCommitsBeyondVerified);
    }

    #[test]
    fn a_read_without_a_quorum_is_found() {
        check(Defect::ReadWithoutQuorum);
    }

    #[test]
    fn an_acknowledgement_before_the_disk_is_found() {
        check(Defect::AcknowledgeBeforeDurable);
    }

    #[test]
    fn a_vote_for_a_stale_log_is_found() {
        check(Defect::VoteForStaleLog);
    }
}

mod paxos {
    use quorate_paxos::{Defect, Paxos};

    use super::is_found;

    fn check(defect: Defect) {
        is_found::<Paxos>(&format!("{defect:?}"), move |config| config.defect = Some(defect));
    }

    #[test]
    fn an_acceptance_below_the_promise_is_found() {
        check(Defect::AcceptBelowPromise);
    }

    #[test]
    fn a_promise_forgotten_in_a_crash_is_found() {
        check(Defect::PromiseForgottenOnCrash);
    }

    #[test]
    fn a_leader_that_ignores_values_of_lower_ballots_is_found() {
        check(Defect::IgnoreLowerBallotValue);
    }

    #[test]
    fn a_read_without_a_quorum_is_found() {
        check(Defect::ReadWithoutQuorum);
    }

    #[test]
    fn a_read_before_adopted_values_are_decided_is_found() {
        check(Defect::ReadBeforeAdoptedDecided);
    }

    #[test]
    fn a_decision_below_a_quorum_is_found() {
        check(Defect::DecideBelowQuorum);
    }

    #[test]
    fn a_learner_that_takes_any_ballot_for_the_decision_is_found() {
        check(Defect::LearnFromAnyBallot);
    }
}

mod pbft {
    use quorate_pbft::{Defect, Pbft};

    use super::is_found;

    fn check(defect: Defect) {
        is_found::<Pbft>(&format!("{defect:?}"), move |config| config.defect = Some(defect));
    }

    #[test]
    fn a_new_view_that_is_not_verified_is_found() {
        check(Defect::NewViewUnverified);
    }

    #[test]
    fn a_prepared_batch_dropped_in_a_view_change_is_found() {
        check(Defect::PreparedDroppedInViewChange);
    }

    #[test]
    fn a_commit_without_a_quorum_is_found() {
        check(Defect::CommitWithoutQuorum);
    }

    #[test]
    fn votes_that_count_messages_are_found() {
        check(Defect::VotesCountMessages);
    }

    #[test]
    fn a_prepare_that_is_not_persisted_is_found() {
        check(Defect::PrepareNotPersisted);
    }
}

//! A harness counts only when it has been seen to fail: every planted defect is found, and without
//! a defect the same seeds are clean.

use std::sync::Arc;

use quorate_sim::campaign::{find_violation, run_seeds};
use quorate_sim::plan::MS;
use quorate_sim::{Inspect, Options, Plan};

/// Seeds within which a defect must be found.
const SEEDS: u64 = 1_000;

/// How many seeds it took to find what `plant` plants, and that they are clean without it.
fn is_found<P: Inspect>(name: &str, plant: impl Fn(&mut P::Config) + Send + Sync + 'static)
where
    Options<P>: Sync,
{
    find(name, Options::<P>::new(P::replicas_for(1)), plant);
}

/// As [`is_found`], with the swarm aimed at leaders that fall soon after their election, while many
/// clients read: for defects that need several short reigns in a row.
fn is_found_in_short_reigns<P: Inspect>(
    name: &str,
    narrow: impl Fn(&mut P::Config) + Send + Sync + Copy + 'static,
    plant: impl Fn(&mut P::Config) + Send + Sync + 'static,
) where
    Options<P>: Sync,
{
    let sharpen = |plan: &mut Plan| {
        plan.nemesis.hunt_ppm = 900_000;
        plan.nemesis.hunt_ns = plan.nemesis.hunt_ns.min(15 * MS);
        plan.load.readers_ppm = 500_000;
        plan.load.ordered_read_ppm = 0;
    };
    let options = Options::<P> {
        sharpen: Some(Arc::new(sharpen)),
        adjust: Some(Arc::new(narrow)),
        ..Options::new(P::replicas_for(1))
    };
    find(name, options, move |config| {
        narrow(config);
        plant(config);
    });
}

fn find<P: Inspect>(
    name: &str,
    options: Options<P>,
    plant: impl Fn(&mut P::Config) + Send + Sync + 'static,
) where
    Options<P>: Sync,
{
    let planted = Options { adjust: Some(Arc::new(plant)), ..options.clone() };
    let Some((seed, violation)) = find_violation(&planted, 0..SEEDS) else {
        panic!("{name}: not found within {SEEDS} seeds");
    };
    println!("{name}: found at seed {seed}: {}", violation.invariant);
    let clean = run_seeds(&options, 0..seed + 1, |_| ());
    assert!(clean.violations.is_empty(), "without a defect: {:?}", clean.violations);
}

mod raft {
    use quorate_raft::{Defect, Raft, RaftConfig};

    use super::{is_found, is_found_in_short_reigns};

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
        // One entry at a time, so that a reign can end between an old entry and its own no-op.
        let narrow = |config: &mut RaftConfig| {
            config.window_entries = 1;
            config.max_append_bytes = 1;
        };
        is_found_in_short_reigns::<Raft>("CommitOlderTermByCounting", narrow, |config| {
            config.defect = Some(Defect::CommitOlderTermByCounting);
        });
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

    use super::{is_found, is_found_in_short_reigns};

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
        is_found_in_short_reigns::<Paxos>(
            "ReadBeforeAdoptedDecided",
            |_| (),
            |config| config.defect = Some(Defect::ReadBeforeAdoptedDecided),
        );
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

    #[test]
    fn a_slot_prepared_without_a_quorum_is_found() {
        check(Defect::PreparedWithoutQuorum);
    }

    #[test]
    fn a_checkpoint_stable_without_a_quorum_is_found() {
        check(Defect::CheckpointWithoutQuorum);
    }

    #[test]
    fn a_digest_that_is_not_compared_with_the_body_is_found() {
        check(Defect::DigestNotCompared);
    }

    #[test]
    fn a_client_proof_that_is_not_checked_is_found() {
        check(Defect::ClientProofUnchecked);
    }

    #[test]
    fn view_changes_of_earlier_views_that_count_are_found() {
        check(Defect::OldViewChangesCounted);
    }

    #[test]
    fn a_claim_of_one_replica_that_is_believed_is_found() {
        check(Defect::ClaimOfOneBelieved);
    }

    #[test]
    fn a_view_change_that_is_not_persisted_is_found() {
        check(Defect::ViewChangeNotPersisted);
    }
}

//! A harness counts only when it has been seen to fail: every planted defect is found by the plain
//! swarm, and without a defect the same seeds are clean.
//!
//! `cargo run --release -p quorate-sim --example planted-defects` hunts the same defects over more
//! seeds and larger groups, and prints how many seeds each took.

use std::sync::Arc;

use quorate_sim::campaign::{find_violation, run_seeds};
use quorate_sim::{Inspect, Options};

/// Seeds within which a defect must be found.
const SEEDS: u64 = 1_000;

/// How many seeds it took to find what `plant` plants, and that they are clean without it.
fn is_found<P: Inspect>(name: &str, plant: impl Fn(&mut P::Config) + Send + Sync + 'static)
where
    Options<P>: Sync,
{
    let options = Options::<P>::new(P::replicas_for(1));
    let planted = Options { adjust: Some(Arc::new(plant)), ..options.clone() };
    find(name, &options, &planted);
}

fn find<P: Inspect>(name: &str, options: &Options<P>, planted: &Options<P>)
where
    Options<P>: Sync,
{
    let Some((seed, violation)) = find_violation(planted, 0..SEEDS) else {
        panic!("{name}: not found within {SEEDS} seeds");
    };
    println!("{name}: found at seed {seed}: {}", violation.invariant);
    let clean = run_seeds(options, 0..seed + 1, |_| ());
    assert!(clean.violations.is_empty(), "without a defect: {:?}", clean.violations);
}

/// One test for each defect, and one that none is left out.
macro_rules! tests {
    ($(fn $test:ident() finds $defect:ident;)*) => {
        $(
            #[test]
            fn $test() {
                check(Defect::$defect);
            }
        )*

        #[test]
        fn every_defect_has_its_test() {
            let tested = [$(Defect::$defect),*];
            assert!(Defect::ALL.iter().all(|defect| tested.contains(defect)), "{:?}", Defect::ALL);
        }
    };
}

mod raft {
    use quorate_raft::{Defect, Raft};

    use super::is_found;

    fn check(defect: Defect) {
        is_found::<Raft>(&format!("{defect:?}"), move |config| config.defect = Some(defect));
    }

    tests! {
        fn a_vote_that_is_not_persisted_is_found() finds VoteNotPersisted;
        fn a_vote_cleared_on_a_step_down_is_found() finds VoteClearedOnStepDown;
        fn a_vote_sent_before_it_is_durable_is_found() finds VoteBeforeDurable;
        fn a_vote_for_a_stale_log_is_found() finds VoteForStaleLog;
        fn a_vote_forgotten_by_compaction_is_found() finds CompactionForgetsVote;
        fn a_commit_of_an_older_term_by_counting_is_found() finds CommitOlderTermByCounting;
        fn a_follower_that_commits_beyond_what_was_verified_is_found()
            finds FollowerCommitsBeyondVerified;
        fn an_append_that_compares_nothing_is_found() finds AppendWithoutComparing;
        fn a_truncation_of_matching_entries_is_found() finds TruncateMatchingEntries;
        fn an_acknowledgement_before_the_disk_is_found() finds AcknowledgeBeforeDurable;
        fn a_compaction_that_drops_the_tail_is_found() finds CompactionDropsTail;
        fn a_read_without_a_quorum_is_found() finds ReadWithoutQuorum;
        fn a_read_confirmed_by_an_earlier_round_is_found() finds ReadConfirmedByEarlierRound;
        fn a_read_before_the_first_own_commit_is_found() finds ReadBeforeOwnCommit;
    }
}

mod paxos {
    use quorate_paxos::{Defect, Paxos};

    use super::is_found;

    fn check(defect: Defect) {
        is_found::<Paxos>(&format!("{defect:?}"), move |config| config.defect = Some(defect));
    }

    tests! {
        fn an_acceptance_below_the_promise_is_found() finds AcceptBelowPromise;
        fn a_promise_forgotten_in_a_crash_is_found() finds PromiseForgottenOnCrash;
        fn a_promise_sent_before_it_is_durable_is_found() finds PromiseBeforeDurable;
        fn a_promise_forgotten_by_compaction_is_found() finds CompactionForgetsPromise;
        fn an_acknowledgement_before_the_disk_is_found() finds AcknowledgeBeforeDurable;
        fn acceptances_dropped_by_compaction_are_found() finds CompactionDropsAcceptances;
        fn a_leader_that_ignores_values_of_lower_ballots_is_found() finds IgnoreLowerBallotValue;
        fn a_leader_that_adopts_the_lowest_ballot_is_found() finds AdoptLowestBallot;
        fn a_leader_that_reads_one_page_of_a_promise_is_found() finds FirstPageIsWholePromise;
        fn a_leader_that_lacks_decided_slots_is_found() finds LeadBehindDecided;
        fn a_decision_below_a_quorum_is_found() finds DecideBelowQuorum;
        fn a_learner_that_takes_any_ballot_for_the_decision_is_found() finds LearnFromAnyBallot;
        fn a_read_without_a_quorum_is_found() finds ReadWithoutQuorum;
        fn a_read_before_adopted_values_are_decided_is_found() finds ReadBeforeAdoptedDecided;
    }
}

mod sessions {
    use std::sync::Arc;

    use quorate_raft::Raft;
    use quorate_sim::Options;
    use quorate_smr::{Defect, Executor};

    use super::find;

    fn check(defect: Defect) {
        let options = Options::<Raft>::new(3);
        let plant = Arc::new(move |_, executor: &mut Executor<_>| executor.plant(defect));
        let planted = Options { tamper: Some(plant), ..options.clone() };
        find(&format!("{defect:?}"), &options, &planted);
    }

    tests! {
        fn a_retried_command_that_is_applied_twice_is_found() finds RetryAppliedTwice;
        fn an_expired_session_that_revives_is_found() finds ExpiredSessionRevived;
        fn an_answer_of_another_request_is_found() finds AnswerOfAnother;
        fn sessions_lost_by_a_snapshot_are_found() finds SessionsNotRestored;
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

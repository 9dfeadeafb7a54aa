//! The checker is checked: random histories find each planted defect, and name what it breaks.
//!
//! Compiled with the feature `planted-defects`. The histories are the same in every run.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use quorate_raft::Defect;

use crate::random_histories::{history, play};

/// Histories within which a defect must be found.
const HISTORIES_MAX: usize = 20_000;

/// Plays histories with `defect` planted until an invariant breaks; what the checker said then.
fn found(defect: Defect) -> String {
    let mut runner = TestRunner::deterministic();
    let strategy = history();
    for _ in 0..HISTORIES_MAX {
        let tree = strategy.new_tree(&mut runner).expect("no history is filtered out");
        let mut history = tree.current();
        history.config.defect = Some(defect);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| play(history))) {
            return panic.downcast_ref::<String>().cloned().unwrap_or_default();
        }
    }
    panic!("{defect:?} was not found in {HISTORIES_MAX} histories");
}

/// Whether the checker saw that a committed entry is missing in a later leader's log: at its
/// election, or, when the entry was committed only afterwards, by what that leader then overwrites.
fn loses_entries(complaint: &str) -> bool {
    ["leader completeness", "log matching", "decided twice"].iter().any(|p| complaint.contains(p))
}

#[test]
fn a_vote_that_is_not_persisted_breaks_election_safety() {
    assert!(found(Defect::VoteNotPersisted).contains("election safety"));
}

#[test]
fn a_vote_cleared_on_step_down_breaks_election_safety() {
    assert!(found(Defect::VoteClearedOnStepDown).contains("election safety"));
}

#[test]
fn counting_replicas_of_older_terms_breaks_leader_completeness() {
    assert!(loses_entries(&found(Defect::CommitOlderTermByCounting)));
}

#[test]
fn committing_beyond_the_verified_slot_breaks_agreement() {
    assert!(found(Defect::FollowerCommitsBeyondVerified).contains("decided twice"));
}

#[test]
fn reading_without_a_quorum_misses_what_was_decided() {
    assert!(found(Defect::ReadWithoutQuorum).contains("misses what was decided"));
}

#[test]
fn acknowledging_before_the_disk_breaks_leader_completeness() {
    assert!(loses_entries(&found(Defect::AcknowledgeBeforeDurable)));
}

#[test]
fn voting_for_a_stale_log_breaks_leader_completeness() {
    assert!(loses_entries(&found(Defect::VoteForStaleLog)));
}

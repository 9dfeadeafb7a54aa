//! Exploration counts only when it has been seen to fail: planted defects are found on a shortest
//! way, and without them the same explorations are clean.

use std::num::NonZeroUsize;

use quorate_sim::explore::{Exploration, Explore, Limits, Report, explore};
use quorate_sim::invariants;
use quorate_smr::{ReplicaId, ReplicaSet};

/// Far more states than any of these explorations needs.
const STATES_MAX: usize = 3_000_000;

fn run<P: Explore>(exploration: &Exploration<P>) -> Report {
    let limits = Limits { states_max: NonZeroUsize::new(STATES_MAX), ..Limits::default() };
    explore(exploration, &limits, |_| ()).expect("the exploration can be set up")
}

/// The defect that `plant` plants breaks `property`; without it the search to the same depth finds
/// nothing.
fn is_found<P: Explore>(
    name: &str,
    exploration: Exploration<P>,
    property: &str,
    plant: impl Fn(&mut P::Config),
) {
    let sound = exploration.clone();
    let mut planted = exploration;
    plant(&mut planted.config);
    let found = run(&planted);
    let Some(way) = found.violation else {
        panic!("{name}: not found in {} states, {} steps deep", found.unique, found.depth);
    };
    let (steps, unique) = (way.steps, found.unique);
    println!("{name}: {} after {steps} steps, {unique} states", way.property);
    assert_eq!(way.property, property, "{}:\n{}", way.detail, way.lines.join("\n"));
    let limits = Limits { depth_max: NonZeroUsize::new(steps), ..Limits::default() };
    let clean = explore(&sound, &limits, |_| ()).expect("the exploration can be set up");
    assert_eq!(clean.violation, None, "{name}: without the defect");
}

fn bounded<P: Explore>(bounds: &str) -> Exploration<P> {
    let bounds = bounds.parse().expect("bounds");
    Exploration { bounds, ..Exploration::new("test", "a test") }
}

fn only<const COUNT: usize>(replicas: [u8; COUNT]) -> ReplicaSet {
    replicas.into_iter().map(ReplicaId).collect()
}

mod raft {
    use quorate_raft::{Defect, Message, Raft, RaftConfig};
    use quorate_sim::explore::Milestone;

    use super::*;

    fn check(exploration: Exploration<Raft>, defect: Defect, property: &str) {
        let plant = |config: &mut RaftConfig| config.defect = Some(defect);
        is_found(&format!("{defect:?}"), exploration, property, plant);
    }

    /// Two leaders, without what deposes or repairs by the way.
    fn succession(bounds: &str) -> Exploration<Raft> {
        let lost = |message: &Message| {
            matches!(
                message,
                Message::NewerTerm { .. }
                    | Message::Conflict { .. }
                    | Message::HeartbeatReply { .. }
                    | Message::Commit { .. }
                    | Message::VoteReply { granted: false, .. }
            )
        };
        Exploration { lost, ..bounded(&format!("timeouts=2,epochs=2,{bounds}")) }
    }

    #[test]
    fn an_election_is_visited_completely_and_alike_each_time() {
        let exploration = bounded::<Raft>("timeouts=2,epochs=2");
        let report = run(&exploration);
        assert!(report.complete && report.violation.is_none(), "{report:?}");
        assert!(report.reached.contains(&Milestone::SecondLeader));
        let again = run(&exploration);
        assert_eq!((report.unique, report.total), (again.unique, again.total));
    }

    #[test]
    fn what_is_cut_short_says_to_which_depth_it_saw_everything() {
        let exploration = bounded::<Raft>("timeouts=2,epochs=2");
        let at = |states_max, depth_max| {
            let limits = Limits { states_max, depth_max, ..Limits::default() };
            explore(&exploration, &limits, |_| ()).expect("the exploration can be set up")
        };
        let whole = at(None, None);
        assert_eq!(whole.covered, Some(whole.depth));
        let deep = at(None, NonZeroUsize::new(5));
        assert_eq!((deep.complete, deep.covered), (false, Some(5)));
        let cut = at(NonZeroUsize::new(1), None);
        assert!(!cut.complete && cut.covered < Some(whole.depth), "{cut:?}");
        // The bound of the exploration itself is no cut.
        let bounded = Exploration { steps: NonZeroUsize::new(5), ..exploration.clone() };
        let bounded = run(&bounded);
        assert_eq!((bounded.complete, bounded.covered), (true, Some(5)));
        assert_eq!(bounded.unique, deep.unique);
    }

    #[test]
    fn an_exploration_that_misses_what_it_should_see_is_no_proof() {
        let expects = vec![Milestone::Committed];
        let report = run(&Exploration { expects, ..bounded::<Raft>("timeouts=1,epochs=1") });
        assert_eq!(report.missed, [Milestone::Committed]);
        assert!(!report.is_good());
    }

    #[test]
    fn a_vote_that_is_not_persisted_is_found() {
        let bounds = bounded("timeouts=2,crashes=1,epochs=1");
        check(bounds, Defect::VoteNotPersisted, invariants::TOLD_IS_REMEMBERED);
    }

    #[test]
    fn a_vote_cleared_on_a_step_down_is_found() {
        let bounds = bounded("timeouts=2,heartbeats=1,epochs=1");
        check(bounds, Defect::VoteClearedOnStepDown, invariants::ELECTION_SAFETY);
    }

    #[test]
    fn a_vote_for_a_stale_log_is_found() {
        let exploration = Exploration { timed: only([0, 2]), ..succession("proposals=1") };
        check(exploration, Defect::VoteForStaleLog, invariants::SLOT_AGREEMENT);
    }

    #[test]
    fn an_acknowledgement_before_the_disk_is_found() {
        let succession = succession("proposals=1,crashes=1");
        let exploration = Exploration { timed: only([0, 2]), crashing: only([1]), ..succession };
        check(exploration, Defect::AcknowledgeBeforeDurable, invariants::LEADER_COMPLETENESS);
    }

    #[test]
    fn a_read_without_a_quorum_is_found() {
        let bounds = bounded("timeouts=2,reads=1,epochs=2");
        let property = quorate_sim::explore::READ_IS_FRESH;
        check(bounds, Defect::ReadWithoutQuorum, property);
    }

    #[test]
    fn a_follower_that_commits_beyond_what_was_verified_is_found() {
        let succession = succession("heartbeats=1,proposals=1,crashes=1");
        let exploration = Exploration { timed: only([0, 1]), crashing: only([0]), ..succession };
        check(exploration, Defect::FollowerCommitsBeyondVerified, invariants::SLOT_AGREEMENT);
    }
}

mod paxos {
    use quorate_paxos::{Defect, Message, Paxos, PaxosConfig};

    use super::*;

    fn without_heartbeats(bounds: &str) -> Exploration<Paxos> {
        let lost = |message: &Message| {
            matches!(message, Message::Heartbeat { .. } | Message::HeartbeatAck { .. })
        };
        Exploration { lost, ..bounded(bounds) }
    }

    /// Replica 1 leads round 1, replica 2 round 2; nobody fetches or is refused.
    fn two_leaders(bounds: &str) -> Exploration<Paxos> {
        let lost = |message: &Message| {
            !matches!(
                message,
                Message::Canvass { .. }
                    | Message::Canvassed { .. }
                    | Message::Prepare { .. }
                    | Message::Promise { .. }
                    | Message::Accept { .. }
                    | Message::Accepted { .. }
            )
        };
        Exploration { lost, timed: only([1, 2]), ..bounded(bounds) }
    }

    fn check(exploration: Exploration<Paxos>, defect: Defect, property: &str) {
        let plant = |config: &mut PaxosConfig| config.defect = Some(defect);
        is_found(&format!("{defect:?}"), exploration, property, plant);
    }

    #[test]
    fn an_acceptance_below_the_promise_is_found() {
        let bounds = without_heartbeats("timeouts=2,proposals=1,epochs=3");
        check(bounds, Defect::AcceptBelowPromise, invariants::NEVER_BELOW_PROMISE);
    }

    #[test]
    fn a_promise_forgotten_in_a_crash_is_found() {
        let bounds = without_heartbeats("timeouts=1,crashes=1,epochs=3");
        check(bounds, Defect::PromiseForgottenOnCrash, invariants::TOLD_IS_REMEMBERED);
    }

    #[test]
    fn a_leader_that_ignores_values_of_lower_ballots_is_found() {
        let bounds = two_leaders("timeouts=2,proposals=2,epochs=3");
        check(bounds, Defect::IgnoreLowerBallotValue, invariants::CHOSEN_STAYS_CHOSEN);
    }

    #[test]
    fn a_decision_below_a_quorum_is_found() {
        let bounds = two_leaders("timeouts=2,proposals=2,epochs=3");
        check(bounds, Defect::DecideBelowQuorum, invariants::SLOT_AGREEMENT);
    }
}

mod pbft {
    use quorate_pbft::{Defect, Message, Pbft, PbftConfig, View};

    use super::*;

    fn check(exploration: Exploration<Pbft>, defect: Defect, property: &str) {
        let plant = |config: &mut PbftConfig| config.defect = Some(defect);
        is_found(&format!("{defect:?}"), exploration, property, plant);
    }

    #[test]
    fn votes_that_count_messages_are_found() {
        let lost = |message: &Message| match message {
            Message::PrePrepare { view, .. } | Message::Prepare { view, .. } => *view > View(0),
            _ => true,
        };
        let byzantine = Some(ReplicaId(0));
        let exploration = Exploration { byzantine, lost, ..bounded("epochs=0") };
        let property = invariants::ONE_VALUE_PER_EPOCH_AND_SLOT;
        check(exploration, Defect::VotesCountMessages, property);
    }

    /// A view change of the program's list: it begins where a batch is committed at one replica.
    fn listed(name: &str) -> Exploration<Pbft> {
        let mut all = Pbft::explorations();
        all.retain(|exploration| exploration.name == name);
        all.pop().expect("it is listed")
    }

    #[test]
    fn a_new_view_that_nobody_verifies_is_found() {
        let exploration = listed("lying-successor");
        check(exploration, Defect::NewViewUnverified, invariants::CHOSEN_STAYS_CHOSEN);
    }

    #[test]
    fn a_prepared_batch_dropped_in_a_view_change_is_found() {
        let exploration = listed("lying-successor");
        check(exploration, Defect::PreparedDroppedInViewChange, invariants::CHOSEN_STAYS_CHOSEN);
    }
}

mod program {
    use std::process::{Command, Output};

    fn explore(arguments: &[&str]) -> (Option<i32>, String, String) {
        let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_explore"))
            .args(arguments)
            .output()
            .expect("the program starts");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (status.code(), text(stdout), text(stderr))
    }

    #[test]
    fn bad_input_is_refused_with_what_would_be_right() {
        for (arguments, words) in [
            (&["--protocol", "viewstamped"][..], "raft, paxos, pbft"),
            (&["--protocol", "raft", "--only", "nonsense"], "--list"),
            (&["--protocol", "raft", "--bounds", "ticks=1"], "timeouts, heartbeats"),
            (&["--gate", "--bounds", "epochs=1"], "--gate"),
            (&["--states", "0"], "--states"),
        ] {
            let (code, out, error) = explore(arguments);
            assert_eq!(code, Some(2), "{arguments:?}: {error}");
            assert!(error.contains(words), "{arguments:?}: {error}");
            assert!(out.is_empty(), "nothing was half done");
        }
    }

    #[test]
    fn a_small_exploration_is_complete_and_the_exit_code_says_so() {
        let bounds = ["--only", "commands", "--bounds", "timeouts=1,proposals=0,crashes=0"];
        let (code, out, error) = explore(&[&["--protocol", "raft"], &bounds[..]].concat());
        assert_eq!(code, Some(0), "{error}");
        assert!(out.contains("holds everywhere"), "{out}");
    }

    #[test]
    fn a_gate_that_is_cut_short_fails() {
        let (code, out, error) = explore(&["--gate", "--protocol", "paxos", "--states", "50"]);
        assert_eq!(code, Some(1), "{error}");
        assert!(out.contains("holds so far"), "{out}");
    }
}

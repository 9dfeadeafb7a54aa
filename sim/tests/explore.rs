//! Exploration counts only when it has been seen to fail: planted defects are found on a shortest
//! way, and without them the same explorations are clean.

use std::num::NonZeroUsize;

use quorate_sim::explore::{Exploration, Explore, Limits, Report, explore};
use quorate_sim::invariants;

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
    let mut planted = exploration.clone();
    plant(&mut planted.config);
    let found = run(&planted);
    let Some(way) = found.violation else {
        panic!("{name}: not found in {} states, {} steps deep", found.unique, found.depth);
    };
    let (steps, unique) = (way.steps, found.unique);
    println!("{name}: {} after {steps} steps, {unique} states", way.property);
    assert_eq!(way.property, property, "{}:\n{}", way.detail, way.lines.join("\n"));
    let limits = Limits { depth_max: NonZeroUsize::new(steps), ..Limits::default() };
    let clean = explore(&exploration, &limits, |_| ()).expect("the exploration can be set up");
    assert_eq!(clean.violation, None, "{name}: without the defect");
}

fn bounded<P: Explore>(bounds: &str) -> Exploration<P> {
    let bounds = bounds.parse().expect("bounds");
    Exploration { bounds, ..Exploration::new("test", "a test") }
}

mod raft {
    use quorate_raft::{Defect, Message, Raft, RaftConfig};
    use quorate_sim::explore::{Disk, Milestone};

    use super::*;

    fn check(exploration: Exploration<Raft>, defect: Defect, property: &str) {
        let plant = |config: &mut RaftConfig| config.defect = Some(defect);
        is_found(&format!("{defect:?}"), exploration, property, plant);
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
        let bounds = bounded("timeouts=2,epochs=1");
        check(bounds, Defect::VoteClearedOnStepDown, invariants::ELECTION_SAFETY);
    }

    #[test]
    fn a_vote_for_a_stale_log_is_found() {
        let bounds = bounded("timeouts=2,epochs=2");
        check(bounds, Defect::VoteForStaleLog, invariants::LEADER_COMPLETENESS);
    }

    #[test]
    fn an_acknowledgement_before_the_disk_is_found() {
        let bounds = bounded("timeouts=2,crashes=1,epochs=2");
        check(bounds, Defect::AcknowledgeBeforeDurable, invariants::LEADER_COMPLETENESS);
    }

    #[test]
    fn a_read_without_a_quorum_is_found() {
        let bounds = bounded("timeouts=2,reads=1,epochs=2");
        let property = quorate_sim::explore::READ_IS_FRESH;
        check(bounds, Defect::ReadWithoutQuorum, property);
    }

    #[test]
    fn a_follower_that_commits_beyond_what_was_verified_is_found() {
        let config = RaftConfig { window_entries: 1, ..Raft::small_config() };
        let bounds = bounded("timeouts=2,heartbeats=1,proposals=1,epochs=2");
        let exploration = Exploration { config, ..bounds };
        check(exploration, Defect::FollowerCommitsBeyondVerified, invariants::SLOT_AGREEMENT);
    }

    #[test]
    fn a_slow_disk_without_a_defect_is_clean() {
        let lost = |message: &Message| matches!(message, Message::NewerTerm { .. });
        let bounds = bounded::<Raft>("timeouts=1,crashes=1,epochs=1");
        let report = run(&Exploration { disk: Disk::Later, lost, ..bounds });
        assert!(report.complete && report.violation.is_none(), "{report:?}");
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
        let bounds = without_heartbeats("timeouts=2,proposals=2,epochs=3");
        check(bounds, Defect::IgnoreLowerBallotValue, invariants::CHOSEN_STAYS_CHOSEN);
    }

    #[test]
    fn a_decision_below_a_quorum_is_found() {
        let bounds = without_heartbeats("timeouts=2,proposals=2,epochs=3");
        check(bounds, Defect::DecideBelowQuorum, invariants::CHOSEN_STAYS_CHOSEN);
    }
}

mod pbft {
    use quorate_pbft::{Defect, Message, Pbft, PbftConfig};
    use quorate_smr::ReplicaId;

    use super::*;

    fn check(exploration: Exploration<Pbft>, defect: Defect, property: &str) {
        let plant = |config: &mut PbftConfig| config.defect = Some(defect);
        let lost = |message: &Message| matches!(message, Message::Status(_));
        is_found(&format!("{defect:?}"), Exploration { lost, ..exploration }, property, plant);
    }

    #[test]
    fn a_commit_without_a_quorum_is_found() {
        let byzantine = Some(ReplicaId(0));
        let exploration = Exploration { byzantine, ..bounded("timeouts=2,epochs=1") };
        check(exploration, Defect::CommitWithoutQuorum, invariants::CHOSEN_STAYS_CHOSEN);
    }
}

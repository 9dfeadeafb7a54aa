//! Elections: §5.2, §5.4.1; pre-vote, thesis §9.6; check-quorum, thesis §6.2 and §4.2.3; leadership
//! transfer, thesis §3.10.

use std::time::Duration;

use quorate_raft::{Message, Raft, RaftConfig, Record, Term};
use quorate_smr::{
    Admin, Effects, Input, Lsn, Protocol, Reason, Recovered, Refused, ReplicaId, ReplicaSet, Role,
    Seed, Setup, Slot,
};

use crate::cluster::{Cluster, at, r, records};

fn vote(term: u64, last: (u64, u64)) -> Message {
    Message::Vote { term: Term(term), last: at(last.0, last.1), pre: false, transfer: false }
}

fn set(ids: &[u8]) -> ReplicaSet {
    ids.iter().map(|id| r(*id)).collect()
}

/// Whether `from` granted `to` a vote that is on its way.
fn granted(cluster: &Cluster, from: ReplicaId, to: ReplicaId) -> bool {
    cluster.wire.iter().any(|letter| {
        (letter.from, letter.to) == (from, to)
            && matches!(letter.message, Message::VoteReply { granted: true, .. })
    })
}

#[test]
fn a_replica_votes_once_per_term_and_says_so_again() {
    let mut cluster = Cluster::new(3, &RaftConfig::default());
    cluster.send(r(1), r(0), vote(1, (0, 0)));
    assert!(granted(&cluster, r(0), r(1)));
    cluster.wire.clear();
    cluster.send(r(2), r(0), vote(1, (0, 0)));
    assert!(!granted(&cluster, r(0), r(2)), "§5.2: at most one vote per term");
    cluster.send(r(1), r(0), vote(1, (0, 0)));
    assert!(granted(&cluster, r(0), r(1)), "a lost reply may be asked for again");
}

#[test]
fn a_vote_leaves_only_when_it_is_durable_and_survives_a_crash() {
    let mut cluster = Cluster::new(3, &RaftConfig::default());
    cluster.node(r(0)).disk_held = true;
    cluster.send(r(1), r(0), vote(1, (0, 0)));
    assert!(cluster.wire.is_empty(), "figure 2: persist before responding");
    cluster.sync(r(0));
    assert!(granted(&cluster, r(0), r(1)));
    cluster.crash(r(0));
    cluster.start(r(0));
    cluster.wire.clear();
    assert_eq!((cluster.raft(r(0)).term(), cluster.raft(r(0)).voted_for()), (Term(1), Some(r(1))));
    cluster.send(r(2), r(0), vote(1, (9, 1)));
    assert!(!granted(&cluster, r(0), r(2)));
}

#[test]
fn a_candidates_own_vote_counts_when_it_is_durable() {
    let mut cluster = Cluster::new(3, &RaftConfig { pre_vote: false, ..RaftConfig::default() });
    cluster.node(r(0)).disk_held = true;
    cluster.tick(r(0));
    assert!(cluster.wire.is_empty(), "asking for votes implies the own vote");
    let reply = Message::VoteReply { term: Term(1), granted: true, pre: false };
    cluster.send(r(1), r(0), reply);
    assert_eq!(cluster.raft(r(0)).role(), Role::Candidate, "one durable vote of three");
    cluster.sync(r(0));
    assert_eq!(cluster.raft(r(0)).role(), Role::Leader);
}

#[test]
fn a_stalled_disk_does_not_pile_up_terms() {
    let mut cluster = Cluster::new(3, &RaftConfig { pre_vote: false, ..RaftConfig::default() });
    cluster.node(r(0)).disk_held = true;
    for _ in 0..10 {
        cluster.tick(r(0));
    }
    assert_eq!(cluster.raft(r(0)).term(), Term(1));
}

#[test]
fn a_vote_survives_a_step_down_in_the_same_term() {
    let mut cluster = Cluster::new(3, &RaftConfig::default());
    cluster.elect(r(0), set(&[0, 1, 2]));
    let term = cluster.raft(r(0)).term();
    for _ in 0..20 {
        cluster.tick(r(0));
        cluster.wire.clear();
        if cluster.raft(r(0)).role() == Role::Follower {
            break;
        }
    }
    let raft = cluster.raft(r(0));
    assert_eq!((raft.role(), raft.term(), raft.voted_for()), (Role::Follower, term, Some(r(0))));
    cluster.send(r(2), r(0), vote(term.0, (99, term.0)));
    assert!(!granted(&cluster, r(0), r(2)), "the vote of this term is given");
}

#[test]
fn a_voter_refuses_a_log_behind_its_own() {
    // §5.4.1: the later last term is more complete; with equal terms the longer log is.
    let journals = || vec![records(3, &[1, 3]), Vec::new(), Vec::new()];
    let refused = |last| {
        let mut cluster = Cluster::with_journals(journals(), &RaftConfig::default());
        cluster.send(r(1), r(0), vote(4, last));
        assert_eq!(cluster.raft(r(0)).term(), Term(4), "the term is adopted either way");
        !granted(&cluster, r(0), r(1))
    };
    assert!(refused((9, 2)), "an older last term, however long");
    assert!(refused((1, 3)), "a shorter log of the same last term");
    assert!(!refused((2, 3)), "an equal log");
    assert!(!refused((1, 4)), "a later last term, however short");
}

#[test]
fn asking_for_a_pre_vote_changes_nothing_anywhere() {
    let mut cluster = Cluster::new(3, &RaftConfig::default());
    for _ in 0..5 {
        cluster.tick(r(0));
    }
    let unreached = cluster.raft(r(0));
    assert_eq!((unreached.role(), unreached.term()), (Role::Candidate, Term(0)));
    cluster.deliver(0);
    let asked = cluster.raft(r(1));
    assert_eq!((asked.term(), asked.voted_for()), (Term(0), None));
    assert!(cluster.nodes.iter().all(|node| node.journal.records.is_empty()));
}

/// Cuts replica 2 off a working group for many election timeouts, then lets it return.
fn returns_after_isolation(config: &RaftConfig) -> Cluster {
    let mut cluster = Cluster::new(3, config);
    cluster.elect(r(0), set(&[0, 1, 2]));
    cluster.settle();
    cluster.run(Duration::from_secs(3), set(&[0, 1]));
    cluster.tick(r(2));
    cluster.run(Duration::from_secs(1), set(&[0, 1, 2]));
    cluster
}

#[test]
fn a_replica_that_was_cut_off_does_not_depose_the_leader() {
    let cluster = returns_after_isolation(&RaftConfig::default());
    assert_eq!((cluster.raft(r(0)).role(), cluster.raft(r(0)).term()), (Role::Leader, Term(1)));
}

#[test]
fn without_pre_vote_and_check_quorum_it_does() {
    let config = RaftConfig { pre_vote: false, check_quorum: false, ..RaftConfig::default() };
    let cluster = returns_after_isolation(&config);
    assert!(cluster.raft(r(0)).term() > Term(1), "the contrast that shows what pre-vote is for");
}

#[test]
fn a_voter_that_hears_its_leader_ignores_a_rival() {
    let mut cluster = Cluster::new(3, &RaftConfig::default());
    cluster.elect(r(0), set(&[0, 1, 2]));
    cluster.settle();
    cluster.send(r(2), r(1), vote(7, (99, 6)));
    assert_eq!(cluster.raft(r(1)).term(), Term(1), "thesis §4.2.3");
    assert!(cluster.wire.is_empty());
    cluster.now = cluster.now.after(RaftConfig::default().election_timeout);
    cluster.send(r(2), r(1), vote(7, (99, 6)));
    assert!(granted(&cluster, r(1), r(2)), "a leader that fell silent is not defended");
}

#[test]
fn a_leader_that_hears_no_quorum_steps_down_within_an_election_timeout() {
    let config = RaftConfig::default();
    let mut cluster = Cluster::new(3, &config);
    cluster.elect(r(0), set(&[0, 1, 2]));
    cluster.settle();
    let since = cluster.now;
    while cluster.raft(r(0)).role() == Role::Leader {
        // It can send, but hears nothing.
        cluster.tick(r(0));
        cluster.wire.retain(|letter| letter.to != r(0));
        assert!(cluster.now.since(since) <= config.election_timeout + config.heartbeat_interval);
    }
    assert_eq!(cluster.raft(r(0)).status().leader, None);
}

#[test]
fn a_leader_stays_as_long_as_it_hears_a_quorum() {
    let mut cluster = Cluster::new(3, &RaftConfig::default());
    cluster.elect(r(0), set(&[0, 1, 2]));
    for _ in 0..100 {
        cluster.tick(r(0));
        cluster.settle_among(set(&[0, 2]));
    }
    assert_eq!((cluster.raft(r(0)).role(), cluster.raft(r(0)).term()), (Role::Leader, Term(1)));
}

#[test]
fn a_replica_ahead_of_its_leaders_term_is_not_stuck() {
    // Its term ran ahead in a failed election; its peers ignore it for their leader's sake. The
    // leader must learn of the term, or the replica would never follow again.
    let journals = vec![records(1, &[1]), records(1, &[1]), records(5, &[1])];
    let mut cluster = Cluster::with_journals(journals, &RaftConfig::default());
    cluster.elect(r(0), set(&[0, 1]));
    cluster.tick(r(0));
    cluster.settle();
    cluster.heal_and_progress();
    assert!(cluster.running().all(|raft| raft.term() > Term(5)));
}

#[test]
fn election_timeouts_stay_in_their_range_and_differ() {
    let config = RaftConfig::default();
    let range = config.election_timeout..config.election_timeout + config.election_spread;
    let mut seen = std::collections::BTreeSet::new();
    let mut cluster = Cluster::new(5, &config);
    for id in cluster.ids() {
        for _ in 0..10 {
            let deadline = cluster.raft(id).deadline().unwrap();
            let timeout = deadline.since(cluster.now);
            assert!(range.contains(&timeout), "{timeout:?}");
            seen.insert(timeout);
            cluster.tick(id);
            cluster.now = deadline;
        }
        cluster.now = quorate_smr::Time::ZERO;
    }
    assert!(seen.len() > 40, "timeouts are drawn afresh: {} of 50 differ", seen.len());
}

fn transfer(cluster: &mut Cluster, at: ReplicaId, to: ReplicaId) {
    cluster.input(at, Input::Admin(Admin::TransferLeadership { to }));
}

#[test]
fn leadership_moves_to_the_chosen_replica_at_once() {
    let mut cluster = Cluster::new(3, &RaftConfig::default());
    cluster.elect(r(0), set(&[0, 1, 2]));
    cluster.settle();
    let before = cluster.now;
    transfer(&mut cluster, r(0), r(2));
    cluster.settle();
    assert_eq!(cluster.raft(r(2)).role(), Role::Leader);
    assert_eq!((cluster.raft(r(2)).term(), cluster.now), (Term(2), before), "without a timeout");
}

#[test]
fn a_transfer_waits_until_the_target_has_the_whole_log() {
    let mut cluster = Cluster::new(3, &RaftConfig::default());
    cluster.elect(r(0), set(&[0, 1, 2]));
    cluster.propose(r(0));
    cluster.settle_among(set(&[0, 1]));
    transfer(&mut cluster, r(0), r(2));
    let tells = |cluster: &Cluster| {
        cluster.wire.iter().any(|letter| matches!(letter.message, Message::TimeoutNow { .. }))
    };
    assert!(!tells(&cluster));
    cluster.tick(r(0));
    cluster.settle();
    assert_eq!(cluster.raft(r(2)).role(), Role::Leader);
}

#[test]
fn proposals_are_refused_during_a_transfer_and_taken_again_when_it_fails() {
    let config = RaftConfig::default();
    let mut cluster = Cluster::new(3, &config);
    cluster.elect(r(0), set(&[0, 1, 2]));
    cluster.settle();
    transfer(&mut cluster, r(0), r(2));
    cluster.wire.clear();
    let batch = cluster.propose(r(0));
    let refused = &cluster.node(r(0)).refused;
    assert_eq!(refused.last(), Some(&(Refused::Proposal(batch), Reason::Busy)));
    let end = cluster.now.after(config.election_timeout + config.heartbeat_interval);
    cluster.run(end.since(cluster.now), set(&[0, 1]));
    let batch = cluster.propose(r(0));
    cluster.settle_among(set(&[0, 1]));
    assert!(cluster.decided.values().any(|decided| *decided == batch));
}

#[test]
fn operators_are_told_what_cannot_be_done() {
    let mut cluster = Cluster::new(3, &RaftConfig::default());
    cluster.elect(r(0), set(&[0, 1, 2]));
    cluster.settle();
    transfer(&mut cluster, r(0), r(9));
    transfer(&mut cluster, r(1), r(2));
    let members = ReplicaSet::first(5);
    cluster.input(r(0), Input::Admin(Admin::ChangeMembership { members }));
    let reasons = |cluster: &mut Cluster, id| -> Vec<Reason> {
        cluster.node(id).refused.iter().map(|(_, reason)| *reason).collect()
    };
    assert_eq!(reasons(&mut cluster, r(0)), [Reason::Invalid, Reason::Unsupported]);
    assert_eq!(reasons(&mut cluster, r(1)), [Reason::NotLeader { leader: Some(r(0)) }]);
}

#[test]
fn a_term_is_written_before_it_is_answered() {
    let mut cluster = Cluster::new(3, &RaftConfig::default());
    cluster.send(r(1), r(0), vote(3, (0, 0)));
    let expected = [
        Record::Vote { term: Term(3), vote: None },
        Record::Vote { term: Term(3), vote: Some(r(1)) },
    ];
    assert_eq!(cluster.node(r(0)).journal.records, expected);
}

#[test]
fn an_idle_follower_may_sleep_until_its_deadline() {
    let mut cluster = Cluster::new(3, &RaftConfig::default());
    let deadline = cluster.raft(r(0)).deadline().unwrap();
    cluster.now = quorate_smr::Time(deadline.0 - 1);
    cluster.input(r(0), Input::Tick);
    assert_eq!(cluster.raft(r(0)).role(), Role::Follower, "a tick too early does nothing");
    cluster.now = deadline;
    cluster.input(r(0), Input::Tick);
    assert_eq!(cluster.raft(r(0)).role(), Role::Candidate);
    let timeout = cluster.raft(r(0)).deadline().unwrap().since(deadline);
    assert!(timeout >= Duration::from_millis(300));
}

#[test]
fn members_need_not_be_numbered_without_gaps() {
    let members = set(&[3, 7, 100]);
    let setup =
        Setup { members, replica: r(100), ..Setup::new(r(0), 3, Seed(1), RaftConfig::default()) };
    let mut raft = Raft::recover(setup, Recovered::default(), quorate_smr::Time::ZERO).unwrap();
    let (mut effects, now) = (Effects::new(), raft.deadline().unwrap());
    let reply = |term, pre| Input::Message {
        from: r(7),
        message: Message::VoteReply { term: Term(term), granted: true, pre },
    };
    raft.handle(now, Input::Tick, &mut effects);
    raft.handle(now, reply(1, true), &mut effects);
    raft.handle(now, Input::Durable { upto: Lsn(1) }, &mut effects);
    raft.handle(now, reply(1, false), &mut effects);
    assert_eq!(raft.role(), Role::Leader);
    raft.handle(now, Input::Durable { upto: Lsn(2) }, &mut effects);
    let message = Message::Appended { term: Term(1), upto: Slot(1) };
    raft.handle(now, Input::Message { from: r(3), message }, &mut effects);
    assert_eq!(raft.committed(), Slot(1));
}

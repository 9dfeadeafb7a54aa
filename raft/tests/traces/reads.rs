//! Linearizable reads by read-index: thesis §6.4, *Raft* §8.

use quorate_raft::{Message, RaftConfig, Term};
use quorate_smr::{Protocol, Reason, Refused, ReplicaSet, Role, Slot};

use crate::cluster::{Cluster, r, records};

fn set(ids: &[u8]) -> ReplicaSet {
    ids.iter().map(|id| r(*id)).collect()
}

fn led_by_zero(config: &RaftConfig) -> Cluster {
    let mut cluster = Cluster::new(3, config);
    cluster.elect(r(0), set(&[0, 1, 2]));
    cluster.settle();
    cluster
}

fn heartbeats(cluster: &Cluster) -> usize {
    let beats = |message: &Message| matches!(message, Message::Heartbeat { .. });
    cluster.wire.iter().filter(|letter| beats(&letter.message)).count()
}

#[test]
fn a_read_before_the_first_commit_of_the_term_waits_for_it() {
    let journals = vec![records(1, &[1, 1]); 3];
    let mut cluster = Cluster::with_journals(journals, &RaftConfig::default());
    while cluster.raft(r(0)).role() != Role::Leader {
        cluster.tick(r(0));
        while cluster.raft(r(0)).role() != Role::Leader && !cluster.wire.is_empty() {
            cluster.deliver(0);
        }
    }
    let read = cluster.read(r(0));
    // Everybody confirms the leader, nobody acknowledges its no-op.
    let appends =
        |letter: &crate::cluster::Letter| matches!(letter.message, Message::Append { .. });
    cluster.wire.retain(|letter| !appends(letter));
    while !cluster.wire.is_empty() {
        cluster.deliver(0);
        cluster.wire.retain(|letter| !appends(letter));
    }
    assert!(cluster.node(r(0)).reads.is_empty(), "it does not know yet what is committed");
    cluster.tick(r(0));
    cluster.settle();
    assert_eq!(cluster.node(r(0)).reads, [(read, Slot(3))], "at the no-op, after both entries");
}

#[test]
fn a_read_at_an_isolated_old_leader_is_never_ready() {
    let mut cluster = led_by_zero(&RaftConfig::default());
    cluster.now = cluster.now.after(RaftConfig::default().election_timeout);
    cluster.elect(r(1), set(&[1, 2]));
    cluster.propose(r(1));
    cluster.settle_among(set(&[1, 2]));
    assert_eq!(cluster.raft(r(0)).role(), Role::Leader, "it does not know");
    let read = cluster.read(r(0));
    for _ in 0..20 {
        cluster.tick(r(0));
        cluster.settle_among(set(&[0]));
    }
    assert!(cluster.node(r(0)).reads.is_empty());
    let refused = (Refused::Read(read), Reason::NotLeader { leader: None });
    assert_eq!(cluster.node(r(0)).refused, [refused], "given back when it steps down");
}

#[test]
fn a_round_that_started_before_the_read_does_not_confirm_it() {
    let mut cluster = led_by_zero(&RaftConfig::default());
    cluster.tick(r(0));
    assert_eq!(heartbeats(&cluster), 2);
    let read = cluster.read(r(0));
    assert_eq!(heartbeats(&cluster), 2, "at most one round is on its way");
    while heartbeats(&cluster) > 0 {
        cluster.deliver(0);
    }
    // The first answer completes the old round and starts the read's own.
    cluster.deliver(0);
    assert!(cluster.node(r(0)).reads.is_empty(), "those replicas may have voted since");
    assert_eq!(heartbeats(&cluster), 2);
    cluster.settle();
    assert_eq!(cluster.node(r(0)).reads, [(read, Slot(1))]);
}

#[test]
fn reads_that_arrive_during_a_round_share_the_next_one() {
    let mut cluster = led_by_zero(&RaftConfig::default());
    for _ in 0..100 {
        cluster.read(r(0));
    }
    assert_eq!(heartbeats(&cluster), 2);
    let mut rounds = 0;
    while !cluster.wire.is_empty() {
        rounds += usize::from(matches!(cluster.wire[0].message, Message::Heartbeat { .. }));
        cluster.deliver(0);
    }
    assert_eq!((cluster.node(r(0)).reads.len(), rounds), (100, 4), "two rounds to two followers");
}

#[test]
fn stale_and_invented_answers_confirm_nothing() {
    let mut cluster = led_by_zero(&RaftConfig::default());
    cluster.read(r(0));
    cluster.wire.clear();
    let reply = |round| Message::HeartbeatReply { term: Term(1), round, received: Slot(1) };
    for round in [0, 2, u64::MAX] {
        cluster.send(r(1), r(0), reply(round));
    }
    cluster.send(
        r(1),
        r(0),
        Message::HeartbeatReply { term: Term(0), round: 1, received: Slot(1) },
    );
    cluster.send(r(9), r(0), reply(1));
    assert!(cluster.node(r(0)).reads.is_empty());
    cluster.send(r(1), r(0), reply(1));
    assert_eq!(cluster.node(r(0)).reads.len(), 1);
}

#[test]
fn a_lost_round_is_replaced_by_the_next_heartbeat() {
    let mut cluster = led_by_zero(&RaftConfig::default());
    cluster.read(r(0));
    cluster.wire.clear();
    cluster.tick(r(0));
    cluster.settle();
    assert_eq!(cluster.node(r(0)).reads.len(), 1);
}

#[test]
fn waiting_reads_are_bounded() {
    let mut cluster = led_by_zero(&RaftConfig { reads_max: 3, ..RaftConfig::default() });
    for _ in 0..3 {
        cluster.read(r(0));
    }
    let fourth = cluster.read(r(0));
    assert_eq!(cluster.node(r(0)).refused, [(Refused::Read(fourth), Reason::Busy)]);
    assert_eq!(cluster.raft(r(0)).pending_reads(), 3);
    cluster.settle();
    cluster.read(r(0));
    assert_eq!(cluster.node(r(0)).refused.len(), 1);
}

#[test]
fn a_follower_names_the_leader_to_ask() {
    let mut cluster = led_by_zero(&RaftConfig::default());
    let read = cluster.read(r(2));
    let refused = (Refused::Read(read), Reason::NotLeader { leader: Some(r(0)) });
    assert_eq!(cluster.node(r(2)).refused, [refused]);
}

#[test]
fn a_leader_with_a_stalled_disk_still_serves_reads() {
    let mut cluster = led_by_zero(&RaftConfig::default());
    cluster.ids().for_each(|id| cluster.node(id).disk_held = true);
    cluster.propose(r(0));
    cluster.read(r(0));
    cluster.settle();
    assert_eq!(cluster.node(r(0)).reads.len(), 1);
    assert_eq!(cluster.raft(r(0)).committed(), Slot(1), "the proposal waits for the disks");
}

#[test]
fn a_slow_follower_is_repaired_although_reads_start_round_after_round() {
    let mut cluster = led_by_zero(&RaftConfig::default());
    cluster.propose(r(0));
    cluster.wire.retain(|letter| letter.to != r(2));
    // Replica 1 answers at once, replica 2 always one round late.
    let mut late = Vec::new();
    for _ in 0..200 {
        cluster.now = cluster.now.after(std::time::Duration::from_millis(1));
        cluster.read(r(0));
        let now_due = std::mem::take(&mut late);
        while let Some(index) = cluster.wire.iter().position(|l| l.from == r(1) || l.to == r(1)) {
            cluster.deliver(index);
        }
        late = std::mem::take(&mut cluster.wire);
        for letter in now_due {
            cluster.hand_over(letter);
        }
    }
    assert_eq!(cluster.raft(r(2)).status().last, Slot(2), "what it lost was sent again");
}

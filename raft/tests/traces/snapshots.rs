//! Snapshots and compaction: *Raft* §7.

use std::time::Duration;

use quorate_raft::{Message, Raft, RaftConfig, Record, Term};
use quorate_smr::testing::Pump;
use quorate_smr::{Digest, Input, Protocol, Reason, ReplicaId, ReplicaSet, Slot, SnapshotMeta};

use crate::cluster::{Cluster, at, r, records};

fn config() -> RaftConfig {
    RaftConfig { snapshot_interval: 10, trailing_slots: 0, ..RaftConfig::default() }
}

fn set(ids: &[u8]) -> ReplicaSet {
    ids.iter().map(|id| r(*id)).collect()
}

fn meta(slot: u64) -> SnapshotMeta {
    SnapshotMeta { slot: Slot(slot), digest: Digest::default(), bytes: 0 }
}

/// A group whose replica 2 missed everything up to a snapshot at the others.
fn with_a_straggler(config: &RaftConfig) -> Cluster {
    let mut cluster = Cluster::new(3, config);
    cluster.elect(r(0), set(&[0, 1]));
    for _ in 0..20 {
        cluster.propose(r(0));
        cluster.settle_among(set(&[0, 1]));
        cluster.take_snapshot(r(0));
        cluster.take_snapshot(r(1));
    }
    assert_eq!(cluster.raft(r(0)).status().base, Slot(20));
    cluster
}

#[test]
fn the_log_is_dropped_below_a_snapshot_and_the_journal_with_it() {
    let mut pump = Pump::<Raft>::new(3, &config());
    let leader = pump.run_until_leader();
    for _ in 0..24 {
        pump.propose(leader, &[b"x"]);
        pump.settle();
    }
    for id in [0, 1, 2].map(ReplicaId) {
        let status = pump.replica(id).status();
        assert_eq!((status.base, status.committed), (Slot(20), Slot(25)));
        let journal = pump.journal(id);
        assert!(matches!(journal[1], Record::Base { position } if position.slot == Slot(20)));
        assert_eq!(journal.len(), 2 + 5, "vote, base, five entries");
        pump.crash(id);
        pump.restart(id);
        assert_eq!(pump.replica(id).status().committed, Slot(20));
    }
    let leader = pump.run_until_leader();
    pump.propose(leader, &[b"y"]);
    pump.settle();
    pump.assert_agreement();
    let digests = [0, 1, 2].map(|id| pump.executor(ReplicaId(id)).snapshot().0.digest);
    assert!(digests[0] == digests[1] && digests[1] == digests[2]);
}

#[test]
fn a_straggler_gets_the_snapshot_and_then_the_entries_above_it() {
    let mut pump = Pump::<Raft>::new(3, &config());
    let leader = pump.run_until_leader();
    let straggler = ReplicaId((leader.0 + 1) % 3);
    pump.isolate(straggler);
    for _ in 0..24 {
        pump.propose(leader, &[b"x"]);
        pump.settle();
    }
    pump.heal();
    pump.advance(Duration::from_secs(1));
    let status = pump.replica(straggler).status();
    assert_eq!((status.base, status.committed), (Slot(20), Slot(25)));
    let digests = [0, 1, 2].map(|id| pump.executor(ReplicaId(id)).snapshot().0.digest);
    assert!(digests[0] == digests[1] && digests[1] == digests[2]);
}

/// Found by the simulator (`--protocol raft --seed 1350`): the follower had the entry, its
/// acknowledgement was lost, and the leader compacted the entry away. The window stayed full, and
/// there was nothing left to ask about.
#[test]
fn an_acknowledgement_lost_before_a_compaction_does_not_strand_the_follower() {
    let config = RaftConfig { window_entries: 1, ..config() };
    let mut pump = Pump::<Raft>::new(3, &config);
    let leader = pump.run_until_leader();
    let straggler = ReplicaId((leader.0 + 1) % 3);
    pump.propose(leader, &[b"x"]);
    pump.settle();
    pump.propose(leader, &[b"its acknowledgement is lost"]);
    loop {
        pump.lose_where(|envelope| envelope.from == straggler);
        if !pump.deliver_one() {
            break;
        }
    }
    pump.isolate(straggler);
    for _ in 0..24 {
        pump.propose(leader, &[b"x"]);
        pump.settle();
    }
    assert!(pump.replica(leader).status().base > pump.replica(straggler).status().last);
    pump.heal();
    pump.advance(Duration::from_millis(250));
    assert_eq!(pump.replica(leader).status().leader, Some(leader), "it led all the time");
    assert_eq!(pump.committed(leader).last(), pump.committed(straggler).last());
}

#[test]
fn a_follower_a_little_behind_is_served_from_the_trailing_entries() {
    let mut cluster = with_a_straggler(&RaftConfig { trailing_slots: 30, ..config() });
    cluster.tick(r(0));
    while !cluster.wire.is_empty() {
        assert!(cluster.wire[0].snapshot.is_none(), "no snapshot is needed");
        cluster.deliver(0);
    }
    assert_eq!(cluster.raft(r(2)).committed(), Slot(21));
}

#[test]
fn a_lost_snapshot_is_sent_again_after_a_while_and_not_before() {
    let config = config();
    let mut cluster = with_a_straggler(&config);
    let snapshots = |cluster: &mut Cluster| {
        let sent = cluster.wire.iter().filter(|letter| letter.snapshot.is_some()).count();
        cluster.wire.retain(|letter| letter.snapshot.is_none());
        sent
    };
    let mut sent = 0;
    let end = cluster.now.after(2 * config.snapshot_retry + 4 * config.heartbeat_interval);
    while cluster.now < end {
        cluster.tick(r(0));
        while !cluster.wire.is_empty() {
            sent += snapshots(&mut cluster);
            if !cluster.wire.is_empty() {
                cluster.deliver(0);
            }
        }
    }
    assert_eq!(sent, 3, "at once, and after each of two retry intervals");
    cluster.run(2 * config.snapshot_retry, set(&[0, 1, 2]));
    assert_eq!(cluster.raft(r(2)).committed(), Slot(21));
}

#[test]
fn a_snapshot_of_what_the_log_holds_does_not_replace_it() {
    // §7: "the follower retains the entries that follow".
    let journals = vec![records(1, &[1, 1, 1, 1]), Vec::new(), Vec::new()];
    let mut cluster = Cluster::with_journals(journals, &config());
    let message = Message::Snapshot { term: Term(1), position: at(3, 1) };
    cluster.input(r(0), Input::SnapshotArrived { from: r(1), message, snapshot: meta(3) });
    let status = cluster.raft(r(0)).status();
    assert_eq!((status.base, status.committed, status.last), (Slot(0), Slot(3), Slot(4)));
}

#[test]
fn a_snapshot_replaces_a_log_that_contradicts_it() {
    let journals = vec![records(1, &[1, 1, 1, 1]), Vec::new(), Vec::new()];
    let mut cluster = Cluster::with_journals(journals, &config());
    let message = Message::Snapshot { term: Term(2), position: at(3, 2) };
    cluster.input(r(0), Input::SnapshotArrived { from: r(1), message, snapshot: meta(3) });
    let status = cluster.raft(r(0)).status();
    assert_eq!((status.base, status.committed, status.last), (Slot(3), Slot(3), Slot(3)));
    let expected =
        [Record::Vote { term: Term(2), vote: None }, Record::Base { position: at(3, 2) }];
    assert_eq!(cluster.node(r(0)).journal.records, expected);
    cluster.crash(r(0));
    cluster.start(r(0));
    assert_eq!(cluster.raft(r(0)).committed(), Slot(3));
}

#[test]
fn a_crash_before_the_install_is_durable_leaves_the_old_journal() {
    let mut cluster = with_a_straggler(&config());
    cluster.tick(r(0));
    while cluster.wire.iter().all(|letter| letter.snapshot.is_none()) {
        cluster.deliver(0);
    }
    cluster.node(r(2)).disk_held = true;
    let arrived = cluster.wire.iter().position(|letter| letter.snapshot.is_some()).unwrap();
    cluster.wire.drain(..arrived);
    cluster.deliver(0);
    assert_eq!(cluster.raft(r(2)).committed(), Slot(20));
    assert!(cluster.wire.iter().all(|letter| letter.from != r(2)), "nothing is acknowledged yet");
    cluster.crash(r(2));
    cluster.start(r(2));
    assert_eq!(cluster.raft(r(2)).committed(), Slot(0));
    cluster.heal_and_progress();
}

#[test]
fn a_message_that_does_not_fit_its_snapshot_is_ignored() {
    let mut cluster = Cluster::new(3, &config());
    let arrivals = [
        (at(3, 1), 4, "another slot"),
        (at(3, 9), 3, "a later term than its sender's"),
        (at(u64::MAX, 1), u64::MAX, "a slot without successors"),
    ];
    for (position, slot, what) in arrivals {
        let message = Message::Snapshot { term: Term(1), position };
        let snapshot = meta(slot);
        cluster.input(r(0), Input::SnapshotArrived { from: r(1), message, snapshot });
        assert_eq!(cluster.raft(r(0)).status().base, Slot(0), "{what}");
    }
    let message = Message::NewerTerm { term: Term(1) };
    cluster.input(r(0), Input::SnapshotArrived { from: r(1), message, snapshot: meta(3) });
    let message = Message::Snapshot { term: Term(1), position: at(3, 1) };
    cluster.input(r(0), Input::SnapshotArrived { from: r(7), message, snapshot: meta(3) });
    assert_eq!(cluster.raft(r(0)).status().base, Slot(0));
}

#[test]
fn a_full_log_refuses_proposals_until_a_snapshot_makes_room() {
    let config = RaftConfig {
        snapshot_interval: 1_000_000,
        uncommitted_bytes_max: 2 << 10,
        log_bytes_max: 8 << 10,
        ..config()
    };
    let mut cluster = Cluster::new(3, &config);
    cluster.elect(r(0), ReplicaSet::first(3));
    cluster.settle();
    for _ in 0..200 {
        cluster.propose(r(0));
        cluster.settle();
    }
    let refused = cluster.node(r(0)).refused.len();
    assert!(cluster.node(r(0)).refused.iter().all(|(_, reason)| *reason == Reason::Busy));
    assert!(refused > 100, "the log has a limit: {refused}");
    assert_eq!(cluster.node(r(0)).wanted.len(), 1, "half of it committed asks for a snapshot");
    for id in cluster.ids() {
        cluster.take_snapshot(id);
    }
    cluster.propose(r(0));
    assert_eq!(cluster.node(r(0)).refused.len(), refused, "there is room again");
    cluster.settle();
    assert!(cluster.running().all(|raft| raft.committed() == cluster.raft(r(0)).committed()));
}

#[test]
fn an_overtaken_snapshot_is_ignored() {
    let mut cluster = Cluster::new(3, &config());
    cluster.elect(r(0), ReplicaSet::first(3));
    for _ in 0..12 {
        cluster.propose(r(0));
        cluster.settle();
    }
    let wanted = cluster.node(r(2)).wanted[0];
    let message = Message::Snapshot { term: Term(1), position: at(15, 1) };
    cluster.input(r(2), Input::SnapshotArrived { from: r(0), message, snapshot: meta(15) });
    assert_eq!(cluster.raft(r(2)).status().base, Slot(15));
    for slot in [wanted.0, 15, 99, u64::MAX] {
        cluster.input(r(2), Input::SnapshotTaken { snapshot: meta(slot) });
        assert_eq!(cluster.raft(r(2)).status().base, Slot(15));
    }
}

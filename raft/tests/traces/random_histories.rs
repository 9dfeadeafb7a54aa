//! Random histories: any order of delivery, loss, duplication, crashes, slow disks and snapshots
//! keeps figure 3; after healing the group makes progress and all logs agree.

use std::time::Duration;

use proptest::prelude::*;
use quorate_raft::RaftConfig;
use quorate_smr::{Admin, Input};

use crate::cluster::{Cluster, r};

#[derive(Clone, Copy, Debug)]
enum Op {
    Deliver(prop::sample::Index),
    DeliverOldest,
    Duplicate(prop::sample::Index),
    Lose(prop::sample::Index),
    Tick(u8),
    Propose(u8),
    Read(u8),
    Transfer(u8, u8),
    HoldDisk(u8),
    Sync(u8),
    Crash(u8),
    Start(u8),
    TakeSnapshot(u8),
}

fn op() -> impl Strategy<Value = Op> {
    let who = || 0u8..5;
    prop_oneof![
        8 => any::<prop::sample::Index>().prop_map(Op::Deliver),
        24 => Just(Op::DeliverOldest),
        1 => any::<prop::sample::Index>().prop_map(Op::Duplicate),
        2 => any::<prop::sample::Index>().prop_map(Op::Lose),
        5 => who().prop_map(Op::Tick),
        8 => who().prop_map(Op::Propose),
        2 => who().prop_map(Op::Read),
        1 => (who(), who()).prop_map(|(at, to)| Op::Transfer(at, to)),
        1 => who().prop_map(Op::HoldDisk),
        2 => who().prop_map(Op::Sync),
        1 => who().prop_map(Op::Crash),
        2 => who().prop_map(Op::Start),
        2 => who().prop_map(Op::TakeSnapshot),
    ]
}

fn config(pre_vote: bool, check_quorum: bool, snapshot_interval: u64) -> RaftConfig {
    RaftConfig {
        pre_vote,
        check_quorum,
        snapshot_interval,
        trailing_slots: 2,
        window_entries: 3,
        window_bytes: 1000,
        max_append_bytes: 300,
        uncommitted_entries_max: 8,
        snapshot_retry: Duration::from_millis(200),
        ..RaftConfig::default()
    }
}

fn apply(cluster: &mut Cluster, op: Op) {
    let replicas = cluster.nodes.len() as u8;
    let who = |id: u8| r(id % replicas);
    let len = cluster.wire.len();
    match op {
        Op::Deliver(index) if len > 0 => cluster.deliver(index.index(len)),
        Op::DeliverOldest if len > 0 => cluster.deliver(0),
        Op::Duplicate(index) if len > 0 => {
            let copy = cluster.wire[index.index(len)].clone();
            cluster.wire.push(copy);
        }
        Op::Lose(index) if len > 0 => drop(cluster.wire.remove(index.index(len))),
        Op::Deliver(_) | Op::DeliverOldest | Op::Duplicate(_) | Op::Lose(_) => {}
        Op::Tick(id) => cluster.tick(who(id)),
        Op::Propose(id) => drop(cluster.propose(who(id))),
        Op::Read(id) => drop(cluster.read(who(id))),
        Op::Transfer(id, to) => {
            let admin = Admin::TransferLeadership { to: who(to) };
            cluster.input(who(id), Input::Admin(admin));
        }
        Op::HoldDisk(id) => cluster.node(who(id)).disk_held = true,
        Op::Sync(id) => cluster.sync(who(id)),
        Op::Crash(id) => cluster.crash(who(id)),
        Op::Start(id) => {
            if cluster.node(who(id)).raft.is_none() {
                cluster.start(who(id));
            }
        }
        Op::TakeSnapshot(id) => cluster.take_snapshot(who(id)),
    }
}

/// One run: a group, and what happens to it.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) replicas: usize,
    pub(crate) config: RaftConfig,
    ops: Vec<Op>,
}

pub(crate) fn history() -> impl Strategy<Value = History> {
    let replicas = prop_oneof![Just(1usize), Just(2), Just(3), Just(3), Just(5)];
    let snapshot_interval = prop_oneof![Just(3u64), Just(1000)];
    // Room for two dozen entries, or for all that a history can propose.
    let log_bytes_max = prop_oneof![Just(4usize << 10), Just(1 << 20)];
    let ops = proptest::collection::vec(op(), 0..600);
    (replicas, any::<bool>(), any::<bool>(), snapshot_interval, log_bytes_max, ops).prop_map(
        |(replicas, pre_vote, check_quorum, snapshot_interval, log_bytes_max, ops)| {
            let config = RaftConfig {
                log_bytes_max,
                uncommitted_bytes_max: log_bytes_max / 4,
                ..config(pre_vote, check_quorum, snapshot_interval)
            };
            History { replicas, config, ops }
        },
    )
}

/// Plays `history`, then heals everything.
///
/// # Panics
/// If an invariant breaks on the way, or if the healed group makes no progress.
pub(crate) fn play(history: History) {
    let mut cluster = Cluster::new(history.replicas, &history.config);
    for op in history.ops {
        apply(&mut cluster, op);
    }
    cluster.heal_and_progress();
}

proptest! {
    #[test]
    fn figure_3_holds_and_a_healed_group_makes_progress(history in history()) {
        play(history);
    }
}

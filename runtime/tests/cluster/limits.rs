//! Bounds, back-pressure, closing, bad configurations, groups, many clients at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use quorate_paxos::Paxos;
use quorate_pbft::Pbft;
use quorate_raft::Raft;
use quorate_runtime::{
    CallError, ClientError, ClientLimits, Cluster, ClusterConfig, Direct, Layout, QueueKind,
    QueueLimits, StartError, SubmitError,
};
use quorate_smr::kv::{KvCommand, KvStore};
use quorate_smr::machine::Checksum;
use quorate_smr::session::SessionLimits;
use quorate_smr::{GroupId, Protocol, Reads, ReplicaId};

use crate::common::{G0, KvCluster, PATIENCE, append, drain, finish, get, leader, put};

fn cluster<P: Protocol>(mut config: ClusterConfig<P>) -> KvCluster<P> {
    config.client.timeout = PATIENCE;
    Cluster::start(config, KvStore::default).unwrap()
}

fn refused<P: Protocol>(config: ClusterConfig<P>) -> StartError {
    Cluster::start(config, KvStore::default).map(drop).unwrap_err()
}

#[test]
fn bad_configurations_are_refused_by_name() {
    type Config = ClusterConfig<Raft>;
    let out_of_range = |config: Config, wanted: &str| match refused(config) {
        StartError::OutOfRange { what, .. } => assert_eq!(what, wanted),
        other => panic!("{wanted}: {other}"),
    };
    let usual = Config::default;
    out_of_range(Config { replicas: 0, ..usual() }, "replicas");
    out_of_range(Config { replicas: 129, ..usual() }, "replicas");
    out_of_range(Config { groups: 0, ..usual() }, "groups");
    out_of_range(Config { groups: 100_000, ..usual() }, "groups");
    out_of_range(Config { workers: 0, ..usual() }, "workers");
    let staged = Config { replicas: 100, layout: Layout::Staged, ..usual() };
    out_of_range(staged, "threads of the layout");
    let queues = QueueLimits { peer_messages: 0, ..QueueLimits::default() };
    out_of_range(Config { queues, ..usual() }, "queues.peer_messages");
    let client = ClientLimits { window: 9000, ..ClientLimits::default() };
    out_of_range(Config { client, ..usual() }, "client.window");
    let client = ClientLimits { timeout: Duration::ZERO, ..ClientLimits::default() };
    assert_eq!(refused(Config { client, ..usual() }), StartError::ZeroTimeout);
}

#[test]
fn a_protocol_that_refuses_its_group_is_named_with_its_reason() {
    let error = refused(ClusterConfig::<Pbft>::with_replicas(3));
    assert!(matches!(error, StartError::Replica { replica: ReplicaId(0), .. }));
    assert!(error.to_string().contains("3f+1"), "{error}");
    let error = refused(ClusterConfig::<Direct>::with_replicas(2));
    assert!(error.to_string().contains("one replica"), "{error}");
}

#[test]
fn fixed_identities_run_out_with_an_error() {
    let client = ClientLimits { fixed: 2, ..ClientLimits::default() };
    let cluster = cluster(ClusterConfig::<Pbft> { client, ..ClusterConfig::default() });
    let _first = cluster.client().unwrap();
    let _second = cluster.client().unwrap();
    assert!(matches!(cluster.client(), Err(ClientError::IdentitiesUsedUp(2))));
}

#[test]
fn the_window_bounds_what_is_outstanding() {
    let client = ClientLimits { window: 10, ..ClientLimits::default() };
    let cluster = cluster(ClusterConfig::<Raft> { client, ..ClusterConfig::default() });
    let mut client = cluster.client().unwrap();
    let command = KvCommand::Append { key: b"k", suffix: b"x" }.encode();
    for _ in 0..10 {
        client.submit(b"k", &command).unwrap();
    }
    assert_eq!(client.submit(b"k", &command), Err(SubmitError::WindowFull));
    assert_eq!(drain(&mut client).len(), 10);
    client.submit(b"k", &command).unwrap();
    drain(&mut client);
    assert_eq!(get(&mut client, b"k").unwrap().len(), 11);
    finish(cluster);
}

#[test]
fn tiny_queues_push_back_and_lose_nothing() {
    let kinds = [QueueKind::Ring, QueueKind::Strict];
    let layouts = [Layout::Inline, Layout::PerReplica, Layout::Staged];
    for (layout, kind) in layouts.into_iter().flat_map(|layout| kinds.map(|kind| (layout, kind))) {
        let queues = QueueLimits {
            kind,
            client_messages: 2,
            peer_messages: 16,
            answers: 2,
            intake_requests: 8,
            intake_bytes: 256,
            unapplied_batches: 4,
        };
        let client = ClientLimits {
            retry_after: Some(Duration::from_millis(20)),
            chunk_requests: 4,
            ..ClientLimits::default()
        };
        let config = ClusterConfig::<Raft> { layout, queues, client, ..ClusterConfig::default() };
        let cluster = cluster(config);
        std::thread::scope(|scope| {
            for name in 0..3u8 {
                let mut client = cluster.client().unwrap();
                scope.spawn(move || {
                    for number in 0..200u8 {
                        let command = KvCommand::Append { key: &[name], suffix: &[number] };
                        client.submit(&[name], &command.encode()).unwrap();
                    }
                    let completions = drain(&mut client);
                    assert_eq!(completions.len(), 200);
                    assert!(completions.iter().all(|completion| completion.outcome.is_ok()));
                });
            }
        });
        let mut reader = cluster.client().unwrap();
        for name in 0..3u8 {
            let mut found = get(&mut reader, &[name]).unwrap();
            found.sort_unstable();
            assert_eq!(found, (0..200).collect::<Vec<u8>>(), "{layout:?}: each applied once");
        }
        finish(cluster);
    }
}

#[test]
fn closing_finishes_what_was_sent_and_refuses_what_comes_after() {
    let cluster = cluster(ClusterConfig::<Paxos>::default());
    let mut client = cluster.client().unwrap();
    for number in 0..1000u32 {
        let key = number.to_le_bytes();
        client.submit(&key, &KvCommand::Put { key: &key, value: b"v" }.encode()).unwrap();
    }
    client.flush().unwrap();
    let report = finish(cluster);
    let completions = drain(&mut client);
    assert_eq!(completions.len(), 1000);
    assert!(completions.iter().all(|completion| completion.outcome.is_ok()));
    for node in &report.last.nodes {
        assert_eq!(node.executor.unwrap().commands, 1000);
    }
    let command = KvCommand::Put { key: b"k", value: b"v" }.encode();
    let late = client.call(b"k", &command);
    assert!(matches!(late, Err(CallError::Submit(SubmitError::Closed) | CallError::Unknown)));
}

#[test]
fn what_was_submitted_before_a_sudden_end_has_an_outcome_each() {
    let cluster = cluster(ClusterConfig::<Raft>::default());
    let mut client = cluster.client().unwrap();
    let command = KvCommand::Append { key: b"k", suffix: b"x" }.encode();
    for _ in 0..100 {
        client.submit(b"k", &command).unwrap();
    }
    drop(cluster);
    let completions = drain(&mut client);
    assert_eq!(completions.len(), 100);
    let unknown = |completion: &quorate_runtime::Completion| match &completion.outcome {
        Ok(_) | Err(CallError::Unknown) => true,
        Err(_) => false,
    };
    assert!(completions.iter().all(unknown));
}

#[test]
fn raft_spreads_keys_over_groups_and_finds_them_again() {
    keys_are_spread_over_groups_and_found_again::<Raft>();
}

#[test]
fn paxos_spreads_keys_over_groups_and_finds_them_again() {
    keys_are_spread_over_groups_and_found_again::<Paxos>();
}

/// Proofs of clients name the group: each group needs its own.
#[test]
fn pbft_spreads_keys_over_groups_and_finds_them_again() {
    keys_are_spread_over_groups_and_found_again::<Pbft>();
}

fn keys_are_spread_over_groups_and_found_again<P: Protocol>() {
    // One write, and one read where reads are commands like any other.
    let ordered_for_each_key = if P::READS == Reads::Ordered { 2 } else { 1 };
    for layout in [Layout::Inline, Layout::PerGroup, Layout::PerReplica] {
        let config =
            ClusterConfig::<P> { groups: 5, workers: 2, layout, ..ClusterConfig::default() };
        let cluster = cluster(config);
        let mut client = cluster.client().unwrap();
        let mut used: BTreeMap<GroupId, usize> = BTreeMap::new();
        for number in 0..100u32 {
            let key = number.to_be_bytes();
            *used.entry(cluster.group_of(&key)).or_default() += 1;
            put(&mut client, &key, &key);
        }
        assert_eq!(used.len(), 5, "every group has keys");
        for number in 0..100u32 {
            let key = number.to_be_bytes();
            assert_eq!(get(&mut client, &key), Some(key.to_vec()));
        }
        let report = finish(cluster);
        for (group, keys) in used {
            let nodes = report.last.nodes.iter().filter(|node| node.group == group);
            for node in nodes {
                let commands = node.executor.unwrap().commands;
                assert_eq!(commands, ordered_for_each_key * keys as u64, "{layout:?} {group}");
            }
        }
    }
}

/// Clients in several threads append to one key. Each acknowledged append is there once, each
/// client's in its order, and a read sees all that was acknowledged before it began.
fn history_is_sane<P: Protocol>(layout: Layout) {
    let cluster = cluster(ClusterConfig::<P> { layout, ..ClusterConfig::default() });
    std::thread::scope(|scope| {
        for name in 0..4u8 {
            let mut client = cluster.client().unwrap();
            scope.spawn(move || {
                for number in 0..50u8 {
                    append(&mut client, b"k", &[name, number]).unwrap();
                    let seen = get(&mut client, b"k").unwrap();
                    assert_eq!(numbers_of(name, &seen), (0..=number).collect::<Vec<_>>());
                }
            });
        }
    });
    let mut reader = cluster.client().unwrap();
    let all = get(&mut reader, b"k").unwrap();
    assert_eq!(all.len(), 4 * 50 * 2);
    for name in 0..4 {
        assert_eq!(numbers_of(name, &all), (0..50).collect::<Vec<_>>());
    }
    finish(cluster);
}

fn numbers_of(name: u8, entries: &[u8]) -> Vec<u8> {
    entries.chunks(2).filter(|entry| entry[0] == name).map(|entry| entry[1]).collect()
}

#[test]
fn raft_gives_many_clients_one_history() {
    history_is_sane::<Raft>(Layout::PerReplica);
}

#[test]
fn paxos_gives_many_clients_one_history() {
    history_is_sane::<Paxos>(Layout::Staged);
}

#[test]
fn pbft_gives_many_clients_one_history() {
    history_is_sane::<Pbft>(Layout::Inline);
}

#[test]
fn an_expired_session_says_so_and_applies_nothing() {
    let sessions = SessionLimits { clients_max: 2, window: 8192 };
    // A request that was sent twice could not tell for certain.
    let client = ClientLimits { retry_after: Some(PATIENCE / 4), ..ClientLimits::default() };
    let cluster = cluster(ClusterConfig::<Raft> { sessions, client, ..ClusterConfig::default() });
    let mut first = cluster.client().unwrap();
    let _second = cluster.client().unwrap();
    let _third = cluster.client().unwrap();
    assert_eq!(append(&mut first, b"k", b"x"), Err(CallError::SessionExpired));
    let error = append(&mut first, b"k", b"x").unwrap_err();
    assert_eq!(error, CallError::Submit(SubmitError::SessionExpired));
    let mut reader = cluster.client().unwrap();
    assert_eq!(get(&mut reader, b"k"), None);
    finish(cluster);
}

/// Sleeping costs nothing: within two seconds, three idle replicas use under two hundredths of a
/// core. Measured on the threads' own processor clocks, so that other load does not decide.
#[test]
fn an_idle_cluster_sleeps() {
    for layout in [Layout::Inline, Layout::Staged] {
        let config = ClusterConfig::<Raft> { layout, ..ClusterConfig::default() };
        let cluster = Cluster::start(config, Checksum::default).unwrap();
        let mut client = cluster.client().unwrap();
        client.call(b"k", b"wakes everyone").unwrap();
        let leads = leader(&cluster, G0);
        let before = cluster.status().unwrap();
        let started = Instant::now();
        assert!(before.node(leads, G0).unwrap().is_running());
        // Not a wait for something to happen: the interval over which nothing should.
        std::thread::park_timeout(Duration::from_secs(2));
        let after = cluster.status().unwrap();
        let elapsed = started.elapsed();
        let wakeups: u64 = after.workers.iter().map(|worker| worker.wakeups).sum::<u64>()
            - before.workers.iter().map(|worker| worker.wakeups).sum::<u64>();
        let per_second = wakeups as f64 / elapsed.as_secs_f64();
        assert!(per_second < 2000.0, "{layout:?}: {per_second} wake-ups a second");
        let cpu = |status: &quorate_runtime::ClusterStatus| {
            status.workers.iter().map(|worker| worker.cpu).sum::<Option<Duration>>()
        };
        if let (Some(before), Some(after)) = (cpu(&before), cpu(&after)) {
            let share = (after - before).as_secs_f64() / elapsed.as_secs_f64();
            assert!(share < 0.02, "{layout:?}: {share} of a core");
        }
        finish(cluster);
    }
}

//! Crashes, restarts, cut links, lost answers: nothing acknowledged is lost, nothing is applied
//! twice.

use std::time::{Duration, Instant};

use quorate_paxos::{Paxos, PaxosConfig};
use quorate_pbft::{Pbft, PbftConfig};
use quorate_raft::{Raft, RaftConfig};
use quorate_runtime::{
    CallError, ClientLimits, Cluster, ClusterConfig, Direct, DirectConfig, JournalFormat, Layout,
    StartError, VerifyError,
};
use quorate_smr::kv::{KvCommand, KvStore};
use quorate_smr::{Admin, Protocol, ReplicaId};

use crate::common::{G0, KvCluster, PATIENCE, append, drain, finish, get, leader, put, wait_until};

const LAYOUTS: [Layout; 4] = [Layout::Inline, Layout::Split, Layout::PerReplica, Layout::Staged];

fn cluster<P: Protocol>(config: ClusterConfig<P>) -> KvCluster<P> {
    Cluster::start(config, KvStore::default).unwrap()
}

fn patient() -> ClientLimits {
    ClientLimits { timeout: PATIENCE, ..ClientLimits::default() }
}

fn survives_a_leader_crash<P: Protocol>() {
    for layout in LAYOUTS {
        let config = ClusterConfig::<P> { layout, client: patient(), ..ClusterConfig::default() };
        let cluster = cluster(config);
        let mut client = cluster.client().unwrap();
        append(&mut client, b"k", b"a").unwrap();
        let first = leader(&cluster, G0);
        cluster.crash(first).unwrap();
        append(&mut client, b"k", b"b").unwrap();
        assert_ne!(leader(&cluster, G0), first);
        cluster.restart(first).unwrap();
        append(&mut client, b"k", b"c").unwrap();
        assert_eq!(get(&mut client, b"k"), Some(b"abc".to_vec()), "{layout:?}");
        let report = finish(cluster);
        assert!(report.last.nodes.iter().all(|node| node.is_running()));
    }
}

#[test]
fn raft_survives_a_leader_crash_and_the_client_finds_the_next() {
    survives_a_leader_crash::<Raft>();
}

#[test]
fn paxos_survives_a_leader_crash_and_the_client_finds_the_next() {
    survives_a_leader_crash::<Paxos>();
}

#[test]
fn pbft_survives_a_primary_crash_and_the_client_finds_the_next() {
    survives_a_leader_crash::<Pbft>();
}

#[test]
fn pbft_serves_with_one_replica_crashed() {
    let cluster = cluster(ClusterConfig::<Pbft> { client: patient(), ..ClusterConfig::default() });
    cluster.crash(ReplicaId(3)).unwrap();
    let mut client = cluster.client().unwrap();
    for number in 0..100u8 {
        append(&mut client, b"k", &[number]).unwrap();
    }
    assert_eq!(get(&mut client, b"k"), Some((0..100).collect()));
    let report = finish(cluster);
    assert_eq!(report.last.nodes.iter().filter(|node| node.is_running()).count(), 3);
}

fn restarts_whole<P: Protocol>(protocol: &P::Config) {
    for (layout, journal) in
        [(Layout::Inline, JournalFormat::Frames), (Layout::Staged, JournalFormat::Values)]
    {
        let config = ClusterConfig::<P> {
            layout,
            journal,
            protocol: protocol.clone(),
            client: patient(),
            ..ClusterConfig::default()
        };
        let cluster = cluster(config);
        let mut client = cluster.client().unwrap();
        for number in 0..60u8 {
            append(&mut client, b"k", &[number]).unwrap();
        }
        let replicas = || (0..cluster.config().replicas as u8).map(ReplicaId);
        replicas().for_each(|replica| cluster.crash(replica).unwrap());
        replicas().for_each(|replica| cluster.restart(replica).unwrap());
        append(&mut client, b"k", &[60]).unwrap();
        assert_eq!(get(&mut client, b"k"), Some((0..=60).collect()));
        finish(cluster);
    }
}

#[test]
fn raft_restarts_whole_from_its_journals() {
    restarts_whole::<Raft>(&RaftConfig::default());
}

#[test]
fn raft_restarts_whole_from_snapshots_and_what_follows() {
    let protocol = RaftConfig { snapshot_interval: 20, trailing_slots: 4, ..RaftConfig::default() };
    restarts_whole::<Raft>(&protocol);
}

#[test]
fn paxos_restarts_whole_from_its_journals() {
    restarts_whole::<Paxos>(&PaxosConfig::default());
}

#[test]
fn pbft_restarts_whole_from_its_journals() {
    restarts_whole::<Pbft>(&PbftConfig::default());
}

#[test]
fn direct_restarts_from_its_journal_and_its_snapshots() {
    restarts_whole::<Direct>(&DirectConfig::default());
    restarts_whole::<Direct>(&DirectConfig { snapshot_interval: 7, ..DirectConfig::default() });
}

/// A replica that was away for longer than the log reaches back comes home by a snapshot.
fn catches_up_by_snapshot<P: Protocol>(protocol: &P::Config) {
    for layout in LAYOUTS {
        let config = ClusterConfig::<P> {
            layout,
            protocol: protocol.clone(),
            client: patient(),
            ..ClusterConfig::default()
        };
        let cluster = cluster(config);
        let mut client = cluster.client().unwrap();
        put(&mut client, b"k", b"v");
        let away = (0..3).map(ReplicaId).find(|id| *id != leader(&cluster, G0)).unwrap();
        cluster.crash(away).unwrap();
        for number in 0..200u8 {
            append(&mut client, b"log", &[number]).unwrap();
        }
        cluster.restart(away).unwrap();
        wait_until("the replica has caught up", || cluster.status().unwrap().is_settled());
        let status = cluster.status().unwrap();
        let executor = status.node(away, G0).unwrap().executor.unwrap();
        assert!(executor.history_from.0 > 0, "{layout:?}: a snapshot was installed");
        finish(cluster);
    }
}

#[test]
fn raft_brings_a_lagging_replica_home_by_snapshot() {
    let protocol = RaftConfig { snapshot_interval: 20, trailing_slots: 4, ..RaftConfig::default() };
    catches_up_by_snapshot::<Raft>(&protocol);
}

#[test]
fn paxos_brings_a_lagging_replica_home_by_snapshot() {
    let protocol =
        PaxosConfig { snapshot_interval: 20, retained_slots_max: 4, ..PaxosConfig::default() };
    catches_up_by_snapshot::<Paxos>(&protocol);
}

/// While the leader is cut off no answer comes, so that the client must ask again and again.
fn applies_once_under_forced_retries<P: Protocol>() {
    let client_limits = ClientLimits { retry_after: Some(Duration::from_millis(2)), ..patient() };
    let cluster = cluster(ClusterConfig::<P> { client: client_limits, ..ClusterConfig::default() });
    let mut client = cluster.client().unwrap();
    append(&mut client, b"k", b".").unwrap();
    let replicas = cluster.config().replicas as u8;
    for round in 0..5u8 {
        let cut_off = leader(&cluster, G0);
        for other in (0..replicas).map(ReplicaId).filter(|other| *other != cut_off) {
            cluster.pause_link(cut_off, other).unwrap();
            cluster.pause_link(other, cut_off).unwrap();
        }
        let before = client.retries();
        let command = KvCommand::Append { key: b"k", suffix: &[round] }.encode();
        client.submit(b"k", &command).unwrap();
        let mut completions = Vec::new();
        while client.retries() < before + 3 && completions.is_empty() {
            client.poll(&mut completions, Instant::now() + Duration::from_millis(5));
        }
        cluster.heal();
        completions.extend(drain(&mut client));
        assert_eq!(completions.len(), 1);
        assert!(completions[0].outcome.is_ok(), "{:?}", completions[0].outcome);
    }
    assert!(client.retries() > 0);
    assert_eq!(get(&mut client, b"k"), Some(b".\0\x01\x02\x03\x04".to_vec()));
    finish(cluster);
}

#[test]
fn raft_applies_once_under_forced_retries() {
    applies_once_under_forced_retries::<Raft>();
}

#[test]
fn paxos_applies_once_under_forced_retries() {
    applies_once_under_forced_retries::<Paxos>();
}

#[test]
fn pbft_applies_once_under_forced_retries() {
    applies_once_under_forced_retries::<Pbft>();
}

#[test]
fn without_a_quorum_the_outcome_is_unknown_and_reads_are_not_served() {
    let limits = ClientLimits {
        timeout: Duration::from_millis(300),
        retry_after: Some(Duration::from_millis(50)),
        ..ClientLimits::default()
    };
    let cluster = cluster(ClusterConfig::<Raft> { client: limits, ..ClusterConfig::default() });
    // Opening may need more than the short timeout while replicas elect their leader.
    let mut opened = None;
    wait_until("a session is opened", || {
        opened = cluster.client().ok();
        opened.is_some()
    });
    let mut client = opened.unwrap();
    let leader = leader(&cluster, G0);
    for other in (0..3).map(ReplicaId).filter(|other| *other != leader) {
        cluster.crash(other).unwrap();
    }
    assert_eq!(append(&mut client, b"k", b"x"), Err(CallError::Unknown));
    let query = KvCommand::Get { key: b"k" }.encode();
    assert_eq!(client.read(b"k", &query), Err(CallError::Unknown));
}

#[test]
fn leadership_moves_when_asked() {
    let cluster = cluster(ClusterConfig::<Raft> { client: patient(), ..ClusterConfig::default() });
    let mut client = cluster.client().unwrap();
    append(&mut client, b"k", b"a").unwrap();
    let from = leader(&cluster, G0);
    let to = ReplicaId((from.0 + 1) % 3);
    wait_until("leadership has moved", || {
        let at = leader(&cluster, G0);
        // A leader may refuse while the receiver is behind; an earlier transfer may be under way.
        at == to || {
            let _ = cluster.admin(at, G0, Admin::TransferLeadership { to });
            append(&mut client, b"moves", b".").unwrap();
            false
        }
    });
    append(&mut client, b"k", b"b").unwrap();
    assert_eq!(get(&mut client, b"k"), Some(b"ab".to_vec()));
    finish(cluster);
}

#[test]
fn a_report_with_a_replica_cut_off_proves_nothing_and_says_so() {
    let config = ClusterConfig::<Raft> {
        drain_timeout: Duration::from_millis(50),
        client: patient(),
        ..ClusterConfig::default()
    };
    let cluster = cluster(config);
    let mut client = cluster.client().unwrap();
    append(&mut client, b"k", b"a").unwrap();
    let cut_off = (0..3).map(ReplicaId).find(|id| *id != leader(&cluster, G0)).unwrap();
    for other in (0..3).map(ReplicaId).filter(|other| *other != cut_off) {
        cluster.pause_link(other, cut_off).unwrap();
    }
    append(&mut client, b"k", b"b").unwrap();
    let report = cluster.shutdown();
    assert!(!report.settled);
    let error = report.verify().unwrap_err();
    assert!(matches!(error, VerifyError::Lagging { replica, .. } if replica == cut_off));
}

#[test]
fn strangers_are_refused_by_every_fault_control() {
    let cluster = cluster(ClusterConfig::<Raft>::default());
    let stranger = ReplicaId(3);
    let unknown = Err(StartError::UnknownReplica(stranger));
    assert_eq!(cluster.crash(stranger), unknown);
    assert_eq!(cluster.restart(stranger), unknown);
    assert_eq!(cluster.pause_link(stranger, ReplicaId(0)), unknown);
    assert_eq!(cluster.pause_link(ReplicaId(0), stranger), unknown);
    let transfer = Admin::TransferLeadership { to: ReplicaId(1) };
    assert!(cluster.admin(stranger, G0, transfer).is_err());
}

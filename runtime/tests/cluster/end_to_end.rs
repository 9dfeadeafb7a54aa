//! A client's commands travel through the whole path, for every protocol, layout and transport.

use std::sync::Arc;

use quorate_mq::batcher::BatchPolicy;
use quorate_mq::compress::{CompressionPolicy, Dictionary};
use quorate_paxos::Paxos;
use quorate_pbft::Pbft;
use quorate_raft::Raft;
use quorate_runtime::{
    Cluster, ClusterConfig, Direct, JournalFormat, Layout, Packing, QueueKind, QueueLimits,
    Transport,
};
use quorate_smr::kv::{KvCommand, KvStore};
use quorate_smr::{Protocol, Role};

use crate::common::{G0, KvCluster, PATIENCE, append, drain, finish, get, put, swap};

fn cluster<P: Protocol>(mut config: ClusterConfig<P>) -> KvCluster<P> {
    config.client.timeout = PATIENCE;
    Cluster::start(config, KvStore::default).unwrap()
}

/// Every operation, with the answers that one store would give.
fn exercise<P: Protocol>(cluster: KvCluster<P>) {
    let mut client = cluster.client().unwrap();
    assert!(!put(&mut client, b"k", b"one"));
    assert!(put(&mut client, b"k", b"two"));
    assert_eq!(get(&mut client, b"k"), Some(b"two".to_vec()));
    assert!(!swap(&mut client, b"k", Some(b"one"), b"three"));
    assert!(swap(&mut client, b"k", Some(b"two"), b"three"));
    append(&mut client, b"k", b"!").unwrap();
    assert_eq!(get(&mut client, b"k"), Some(b"three!".to_vec()));
    assert_eq!(get(&mut client, b"absent"), None);
    for number in 0..500u32 {
        let key = number.to_le_bytes();
        client.submit(&key, &KvCommand::Put { key: &key, value: b"v" }.encode()).unwrap();
    }
    let completions = drain(&mut client);
    assert_eq!(completions.len(), 500);
    assert!(completions.iter().all(|completion| completion.outcome.is_ok()));
    let report = finish(cluster);
    for node in &report.last.nodes {
        assert!(node.is_running() && node.failure.is_none());
        assert_eq!(node.protocol.auth_failures, 0);
    }
}

fn exercise_layouts<P: Protocol>() {
    for layout in
        [Layout::Inline, Layout::Split, Layout::PerReplica, Layout::Staged, Layout::PerGroup]
    {
        for kind in [QueueKind::Ring, QueueKind::Strict] {
            let queues = QueueLimits { kind, ..QueueLimits::default() };
            exercise(cluster(ClusterConfig::<P> { layout, queues, ..ClusterConfig::default() }));
        }
    }
}

fn exercise_options<P: Protocol>() {
    let frames = ClusterConfig::<P> {
        transport: Transport::Frames,
        journal: JournalFormat::Frames,
        ..ClusterConfig::default()
    };
    exercise(cluster(frames.clone()));
    exercise(cluster(ClusterConfig { compression: CompressionPolicy::Always, ..frames }));
    let alone = BatchPolicy::single().with_window(1, 1 << 20).unwrap();
    exercise(cluster(ClusterConfig::<P> { batching: alone, ..ClusterConfig::default() }));
}

#[test]
fn raft_serves_in_every_layout() {
    exercise_layouts::<Raft>();
}

#[test]
fn paxos_serves_in_every_layout() {
    exercise_layouts::<Paxos>();
}

#[test]
fn pbft_serves_in_every_layout() {
    exercise_layouts::<Pbft>();
}

#[test]
fn direct_serves_in_every_layout() {
    exercise_layouts::<Direct>();
}

#[test]
fn raft_serves_over_frames_compressed_and_one_by_one() {
    exercise_options::<Raft>();
}

#[test]
fn paxos_serves_over_frames_compressed_and_one_by_one() {
    exercise_options::<Paxos>();
}

#[test]
fn pbft_serves_over_frames_compressed_and_one_by_one() {
    exercise_options::<Pbft>();
}

#[test]
fn frames_are_counted_and_compression_shows_in_the_bytes() {
    let run = |compression| {
        let config = ClusterConfig::<Raft> {
            transport: Transport::Frames,
            journal: JournalFormat::Frames,
            compression,
            ..ClusterConfig::default()
        };
        let cluster = cluster(config);
        let mut client = cluster.client().unwrap();
        let value = b"the same words, again and again and again and again ".repeat(20);
        for number in 0..200u32 {
            let key = number.to_le_bytes();
            let command = KvCommand::Put { key: &key, value: &value }.encode();
            client.submit(&key, &command).unwrap();
        }
        drain(&mut client);
        finish(cluster)
    };
    let plain = run(CompressionPolicy::Off);
    let packed = run(CompressionPolicy::Always);
    assert!(plain.total(|node| node.protocol.frames) > 0);
    let wire = |report: &quorate_runtime::ClusterReport| report.total(|n| n.protocol.wire_bytes);
    assert!(wire(&packed) < wire(&plain) / 2, "{} {}", wire(&packed), wire(&plain));
    let kept = |report: &quorate_runtime::ClusterReport| report.total(|n| n.journal.bytes);
    assert!(kept(&packed) < kept(&plain) / 2);
    let sealed = packed.total(|node| node.protocol.sealed_bytes);
    assert!(sealed < packed.total(|node| node.protocol.raw_bytes) / 2);
    for node in &packed.last.nodes {
        assert_eq!(node.executor.unwrap().commands, 200);
    }
}

/// Bytes between replicas for the same commands, each a batch of its own.
fn wire_bytes_of<P: Protocol>(packing: Packing) -> u64 {
    let cluster = cluster(ClusterConfig::<P> {
        transport: Transport::Frames,
        journal: JournalFormat::Frames,
        compression: CompressionPolicy::Always,
        batching: BatchPolicy::single(),
        packing,
        ..ClusterConfig::default()
    });
    let value =
        |number: u32| format!(r#"{{"account":"{number}","operation":"transfer","state":"paid"}}"#);
    let mut client = cluster.client().unwrap();
    for number in 0..100u32 {
        let (key, value) = (number.to_le_bytes(), value(number));
        let command = KvCommand::Put { key: &key, value: value.as_bytes() };
        client.submit(&key, &command.encode()).unwrap();
    }
    assert!(drain(&mut client).iter().all(|completion| completion.outcome.is_ok()));
    assert_eq!(get(&mut client, &7u32.to_le_bytes()), Some(value(7).into_bytes()));
    let report = finish(cluster);
    for node in &report.last.nodes {
        assert_eq!(node.protocol.auth_failures, 0);
    }
    report.total(|node| node.protocol.wire_bytes)
}

fn a_dictionary_saves_bytes<P: Protocol>() {
    let words = br#"{"account":"12","operation":"transfer","state":"paid"}"#;
    let dictionary = Some(Arc::new(Dictionary::new(words).unwrap()));
    let with = wire_bytes_of::<P>(Packing { dictionary, ..Packing::default() });
    let without = wire_bytes_of::<P>(Packing::default());
    assert!(with < without, "{with} {without}");
}

#[test]
fn every_replica_opens_batches_that_were_packed_with_the_dictionary() {
    a_dictionary_saves_bytes::<Raft>();
    a_dictionary_saves_bytes::<Paxos>();
    a_dictionary_saves_bytes::<Pbft>();
}

#[cfg(all(feature = "zstd", feature = "rayon"))]
#[test]
fn every_replica_opens_batches_that_were_packed_by_zstd_and_by_several_threads() {
    fn all<P: Protocol>() {
        for (zstd_level, parallel_bytes_min) in
            [(Some(1), None), (None, Some(1)), (Some(3), Some(1))]
        {
            let packing = Packing { zstd_level, parallel_bytes_min, ..Packing::default() };
            exercise(cluster(ClusterConfig::<P> {
                compression: CompressionPolicy::Always,
                packing,
                ..ClusterConfig::default()
            }));
        }
    }
    all::<Raft>();
    all::<Paxos>();
    all::<Pbft>();
}

#[cfg(not(feature = "zstd"))]
#[test]
fn a_codec_that_is_not_built_in_is_refused_before_anything_runs() {
    let packing = Packing { zstd_level: Some(1), ..Packing::default() };
    let config = ClusterConfig::<Raft> { packing, ..ClusterConfig::default() };
    let error = Cluster::start(config, KvStore::default).unwrap_err();
    assert!(error.to_string().contains("the feature `zstd`"), "{error}");
}

#[test]
fn batching_off_proposes_each_request_alone() {
    let batching = BatchPolicy::single().with_window(64, 1 << 20).unwrap();
    let cluster = cluster(ClusterConfig::<Paxos> { batching, ..ClusterConfig::default() });
    let mut client = cluster.client().unwrap();
    for number in 0..300u32 {
        let key = number.to_le_bytes();
        client.submit(&key, &KvCommand::Put { key: &key, value: b"v" }.encode()).unwrap();
    }
    assert_eq!(drain(&mut client).len(), 300);
    let report = finish(cluster);
    let leaders = report.last.nodes.iter().filter(|node| node.protocol.batches > 0);
    for node in leaders {
        assert_eq!(node.protocol.batches, node.protocol.requests);
    }
}

#[test]
fn a_status_tells_who_leads_and_that_all_have_settled() {
    let cluster = cluster(ClusterConfig::<Raft>::default());
    put(&mut cluster.client().unwrap(), b"k", b"v");
    crate::common::wait_until("all replicas have settled", || {
        cluster.status().unwrap().is_settled()
    });
    let status = cluster.status().unwrap();
    let leader = status.leader(G0).unwrap();
    assert_eq!(status.node(leader, G0).unwrap().status.unwrap().role, Role::Leader);
    assert_eq!(status.nodes.len(), 3);
    finish(cluster);
}

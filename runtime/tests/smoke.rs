//! A first look.
use quorate_raft::Raft;
use quorate_runtime::{Cluster, ClusterConfig};
use quorate_smr::kv::{KvAnswer, KvCommand, KvStore};

#[test]
fn put_and_get() {
    let cluster =
        Cluster::<Raft, KvStore>::start(ClusterConfig::default(), KvStore::default).unwrap();
    let mut client = cluster.client().unwrap();
    let put = KvCommand::Put { key: b"k", value: b"v" }.encode();
    let reply = client.call(b"k", &put).unwrap();
    assert_eq!(KvAnswer::decode(&reply).unwrap(), KvAnswer::Written { existed: false });
    let get = KvCommand::Get { key: b"k" }.encode();
    let reply = client.read(b"k", &get).unwrap();
    assert_eq!(KvAnswer::decode(&reply).unwrap(), KvAnswer::Value(Some(b"v")));
    let report = cluster.shutdown();
    println!("{report:#?}");
    report.verify().unwrap();
}

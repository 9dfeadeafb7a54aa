//! What the integration tests share: typed calls, and waiting on conditions.

use std::time::{Duration, Instant};

use quorate_runtime::{CallError, Client, Cluster, ClusterReport, Completion};
use quorate_smr::kv::{KvAnswer, KvCommand, KvStore};
use quorate_smr::{GroupId, Protocol, ReplicaId, StateMachine};

/// Far more than any condition needs; reached only when something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const G0: GroupId = GroupId(0);

pub(crate) type KvCluster<P> = Cluster<P, KvStore>;

/// Waits until `condition` holds.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

/// The replica that leads `group`, once one does.
pub(crate) fn leader<P: Protocol, S: StateMachine>(
    cluster: &Cluster<P, S>,
    group: GroupId,
) -> ReplicaId {
    let mut found = None;
    wait_until("a replica leads", || {
        found = cluster.status().unwrap().leader(group);
        found.is_some()
    });
    found.unwrap()
}

pub(crate) fn put<P: Protocol>(client: &mut Client<P>, key: &[u8], value: &[u8]) -> bool {
    let reply = client.call(key, &KvCommand::Put { key, value }.encode()).unwrap();
    match KvAnswer::decode(&reply).unwrap() {
        KvAnswer::Written { existed } => existed,
        other => panic!("a put was answered {other:?}"),
    }
}

pub(crate) fn append<P: Protocol>(
    client: &mut Client<P>,
    key: &[u8],
    suffix: &[u8],
) -> Result<(), CallError> {
    client.call(key, &KvCommand::Append { key, suffix }.encode()).map(|reply| {
        assert!(matches!(KvAnswer::decode(&reply).unwrap(), KvAnswer::Written { .. }));
    })
}

pub(crate) fn get<P: Protocol>(client: &mut Client<P>, key: &[u8]) -> Option<Vec<u8>> {
    let reply = client.read(key, &KvCommand::Get { key }.encode()).unwrap();
    match KvAnswer::decode(&reply).unwrap() {
        KvAnswer::Value(value) => value.map(<[u8]>::to_vec),
        other => panic!("a get was answered {other:?}"),
    }
}

pub(crate) fn swap<P: Protocol>(
    client: &mut Client<P>,
    key: &[u8],
    expected: Option<&[u8]>,
    value: &[u8],
) -> bool {
    let command = KvCommand::CompareAndSwap { key, expected, value }.encode();
    let reply = client.call(key, &command).unwrap();
    match KvAnswer::decode(&reply).unwrap() {
        KvAnswer::Swapped => true,
        KvAnswer::Mismatch(_) => false,
        other => panic!("a swap was answered {other:?}"),
    }
}

/// Shuts down and proves that all running replicas agree.
pub(crate) fn finish<P: Protocol, S: StateMachine>(cluster: Cluster<P, S>) -> ClusterReport {
    let report = cluster.shutdown();
    assert!(report.settled, "replicas reach the same slots: {:#?}", report.last.nodes);
    report.verify().unwrap();
    report
}

/// Polls until nothing is outstanding.
pub(crate) fn drain<P: Protocol>(client: &mut Client<P>) -> Vec<Completion> {
    let deadline = Instant::now() + PATIENCE;
    let mut completions = Vec::new();
    while client.outstanding() > 0 {
        assert!(Instant::now() < deadline, "{} requests never end", client.outstanding());
        client.poll(&mut completions, deadline);
    }
    completions
}

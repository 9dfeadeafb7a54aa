//! Scripted traces of normal operation: log replication (*Raft* §5.3) and what surrounds it.

use quorate_raft::{Raft, RaftConfig};
use quorate_smr::testing::{Pump, replicas};
use quorate_smr::{ReadId, ReplicaId, Slot};

#[test]
fn three_replicas_elect_a_leader_and_commit_on_all() {
    let mut pump = Pump::<Raft>::new(3, &RaftConfig::default());
    let leader = pump.run_until_leader();
    pump.propose(leader, &[b"x", b"y"]);
    pump.propose(leader, &[b"z"]);
    pump.settle();
    for id in replicas(3) {
        assert_eq!(pump.payloads(id), [b"x", b"y", b"z"]);
    }
    pump.assert_agreement();
}

#[test]
fn a_single_replica_leads_and_commits_alone() {
    let mut pump = Pump::<Raft>::new(1, &RaftConfig::default());
    let leader = pump.run_until_leader();
    pump.propose(leader, &[b"x"]);
    pump.read(leader, ReadId(1));
    assert_eq!(pump.payloads(ReplicaId(0)), [b"x"]);
    assert_eq!(pump.reads(leader), [(ReadId(1), Slot(2))]);
}

#[test]
fn a_read_is_ready_at_the_commit_slot_after_one_round() {
    let mut pump = Pump::<Raft>::new(3, &RaftConfig::default());
    let leader = pump.run_until_leader();
    pump.propose(leader, &[b"x"]);
    pump.settle();
    pump.read(leader, ReadId(7));
    assert!(pump.reads(leader).is_empty());
    pump.settle();
    assert_eq!(pump.reads(leader), [(ReadId(7), Slot(2))]);
}

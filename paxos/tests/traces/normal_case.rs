//! The normal case: a leader is elected, batches are decided everywhere, reads are served.

use std::time::Duration;

use quorate_smr::testing::replicas;
use quorate_smr::{Input, ReadId, Reason, Refused, Role, Slot};

use crate::pump;

#[test]
fn a_leader_is_elected_and_its_batches_are_decided_everywhere() {
    let mut pump = pump(3);
    let leader = pump.run_until_leader();
    pump.propose(leader, &[b"a", b"b"]);
    pump.propose(leader, &[b"c"]);
    pump.settle();
    for id in replicas(3) {
        assert_eq!(pump.payloads(id), [b"a", b"b", b"c"], "{id}");
    }
    pump.assert_agreement();
}

#[test]
fn a_group_of_one_decides_alone() {
    let mut pump = pump(1);
    let leader = pump.run_until_leader();
    pump.propose(leader, &[b"alone"]);
    pump.read(leader, ReadId(1));
    assert_eq!(pump.payloads(leader), [b"alone"]);
    assert_eq!(pump.reads(leader), [(ReadId(1), Slot(1))]);
}

#[test]
fn a_follower_refuses_with_the_leader_as_a_hint() {
    let mut pump = pump(3);
    let leader = pump.run_until_leader();
    let follower = replicas(3).find(|id| *id != leader).unwrap();
    let batch = pump.batch(&[b"lost"]);
    pump.input(follower, Input::Propose { batch: batch.clone() });
    pump.read(follower, ReadId(7));
    let hint = Reason::NotLeader { leader: Some(leader) };
    assert_eq!(
        pump.refused(follower),
        [(Refused::Proposal(batch), hint), (Refused::Read(ReadId(7)), hint)]
    );
}

#[test]
fn an_idle_group_keeps_its_leader() {
    let mut pump = pump(5);
    let leader = pump.run_until_leader();
    let epoch = pump.replica(leader).promised();
    pump.advance(Duration::from_secs(30));
    assert_eq!(pump.leader(), Some(leader));
    assert!(replicas(5).all(|id| pump.replica(id).promised() == epoch));
}

#[test]
fn a_crashed_leader_is_replaced_and_what_it_decided_is_kept() {
    let mut pump = pump(3);
    let first = pump.run_until_leader();
    pump.propose(first, &[b"kept"]);
    pump.settle();
    pump.crash(first);
    let second = pump.run_until_leader();
    assert_ne!(first, second);
    pump.propose(second, &[b"next"]);
    pump.settle();
    pump.restart(first);
    pump.advance(Duration::from_millis(200));
    for id in replicas(3) {
        assert_eq!(pump.payloads(id), [b"kept".to_vec(), b"next".to_vec()], "{id}");
    }
    pump.assert_agreement();
    assert_eq!(pump.statuses()[first.0 as usize].role, Role::Follower);
}

#[test]
fn every_member_can_be_elected_over_time() {
    let mut leaders = std::collections::BTreeSet::new();
    let mut pump = pump(3);
    for _ in 0..30 {
        let leader = pump.run_until_leader();
        leaders.insert(leader);
        pump.crash(leader);
        pump.run_until_leader();
        pump.restart(leader);
        pump.advance(Duration::from_secs(1));
    }
    assert_eq!(leaders.len(), 3);
}

//! Each planted defect, shown to break what its documentation says, in the shortest trace that does.
//! (That random runs find them is the simulator's claim.)

use std::time::Duration;

use quorate_paxos::{Acceptance, Defect, Message, Paxos, PaxosConfig};
use quorate_smr::testing::{Pump, replicas};
use quorate_smr::{Input, Protocol, ReadId, ReplicaId, Role, Slot};

use crate::{Solo, accept, ballot, batch, others, prepare, r};

fn planted(defect: Defect) -> PaxosConfig {
    PaxosConfig { defect: Some(defect), ..PaxosConfig::default() }
}

#[test]
fn accept_below_promise_lets_a_deposed_leader_go_on() {
    let mut solo = Solo::new(3, planted(Defect::AcceptBelowPromise));
    solo.hear(r(2), prepare(ballot(5, 2), 1));
    solo.hear(r(1), accept(ballot(4, 1), 1, 0, "late"));
    assert_eq!(solo.accepted(), [(1, ballot(4, 1), batch("late"))]);
}

#[test]
fn promise_forgotten_on_crash_lets_two_leaders_decide() {
    let mut pump: Pump<Paxos> = Pump::new(3, &planted(Defect::PromiseForgottenOnCrash));
    let old = pump.run_until_leader();
    pump.isolate(old);
    let new = loop {
        pump.advance(Duration::from_millis(1));
        if let Some(new) = others(3, old).into_iter().find(|id| leads(&pump, *id)) {
            break new;
        }
    };
    assert!(leads(&pump, old), "the old leader has not noticed yet");
    pump.propose(new, &[b"new"]);
    pump.settle();
    assert_eq!(pump.payloads(new), [b"new"]);
    let third = others(3, old).into_iter().find(|id| *id != new).unwrap();
    pump.crash(third);
    pump.restart(third);
    pump.heal();
    pump.isolate(new);
    pump.propose(old, &[b"old"]);
    pump.settle();
    assert_eq!(pump.payloads(old), [b"old"], "decided beside the new leader's decision");
}

fn leads(pump: &Pump<Paxos>, id: ReplicaId) -> bool {
    pump.replica(id).status().role == Role::Leader
}

#[test]
fn acknowledge_before_durable_loses_a_decision() {
    let mut pump: Pump<Paxos> = Pump::new(3, &planted(Defect::AcknowledgeBeforeDurable));
    let leader = pump.run_until_leader();
    replicas(3).for_each(|id| pump.hold_disk(id));
    pump.propose(leader, &[b"lost"]);
    pump.settle();
    assert_eq!(pump.payloads(leader), [b"lost"], "decided although no disk holds it");
}

#[test]
fn ignore_lower_ballot_value_replaces_a_decision() {
    let mut pump: Pump<Paxos> = Pump::new(3, &planted(Defect::IgnoreLowerBallotValue));
    let first = pump.run_until_leader();
    pump.propose(first, &[b"decided"]);
    while pump.committed(first).is_empty() {
        pump.deliver_one();
    }
    pump.lose_where(|_| true);
    pump.isolate(first);
    pump.advance(Duration::from_secs(1));
    let second = pump.run_until_leader();
    pump.propose(second, &[b"replaced"]);
    pump.settle();
    assert_eq!(pump.payloads(first), [b"decided".to_vec()]);
    assert_eq!(pump.payloads(second), [b"replaced".to_vec()]);
}

#[test]
fn read_without_quorum_serves_reads_at_an_isolated_leader() {
    let mut pump: Pump<Paxos> = Pump::new(3, &planted(Defect::ReadWithoutQuorum));
    let leader = pump.run_until_leader();
    pump.isolate(leader);
    pump.read(leader, ReadId(1));
    assert_eq!(pump.reads(leader), [(ReadId(1), Slot(0))]);
}

#[test]
fn read_before_adopted_decided_names_a_slot_below_the_adopted_ones() {
    let mut solo = Solo::new(3, planted(Defect::ReadBeforeAdoptedDecided));
    let under = solo.stand(3);
    let accepted =
        vec![Acceptance { slot: Slot(1), ballot: ballot(1, 1), batch: batch("acknowledged") }];
    let (from, decided) = (Slot(1), Slot::ZERO);
    solo.hear(r(1), Message::Promise { ballot: under, from, decided, accepted, next: None });
    solo.input(Input::Read { id: ReadId(1) });
    for probe in 1..=2 {
        solo.hear(r(1), Message::HeartbeatAck { ballot: under, probe, upto: Slot::ZERO });
    }
    assert!(solo.commits.is_empty());
    assert_eq!(solo.reads, [(ReadId(1), Slot(0))]);
}

#[test]
fn decide_below_quorum_decides_alone() {
    let mut pump: Pump<Paxos> = Pump::new(3, &planted(Defect::DecideBelowQuorum));
    let leader = pump.run_until_leader();
    pump.isolate(leader);
    pump.propose(leader, &[b"alone"]);
    pump.settle();
    assert_eq!(pump.payloads(leader), [b"alone"]);
}

#[test]
fn learn_from_any_ballot_takes_a_stale_value_for_the_decision() {
    let mut solo = Solo::new(3, planted(Defect::LearnFromAnyBallot));
    solo.hear(r(1), accept(ballot(1, 1), 1, 0, "never decided"));
    solo.hear(r(2), Message::Heartbeat { ballot: ballot(2, 2), decided: Slot(1), probe: 1 });
    assert_eq!(solo.commits, [(Slot(1), batch("never decided"))]);
}

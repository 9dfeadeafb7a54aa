//! Linearizable reads: served only by a leader that a quorum confirmed after the read arrived, and
//! only above everything its predecessors may have decided.

use std::time::Duration;

use quorate_paxos::{Acceptance, Message, Paxos, PaxosConfig};
use quorate_smr::testing::{Pump, replicas};
use quorate_smr::{Input, ReadId, Reason, Refused, Slot};

use crate::{Solo, ballot, batch, others, pump, r};

#[test]
fn a_read_waits_for_everything_decided_before_it() {
    let mut pump = pump(3);
    let leader = pump.run_until_leader();
    for _ in 0..3 {
        pump.propose(leader, &[b"v"]);
        pump.settle();
    }
    pump.read(leader, ReadId(1));
    assert!(pump.reads(leader).is_empty(), "not before a quorum answered");
    pump.settle();
    assert_eq!(pump.reads(leader), [(ReadId(1), Slot(3))]);
}

#[test]
fn an_isolated_old_leader_never_serves_a_read() {
    let mut pump = pump(3);
    let old = pump.run_until_leader();
    pump.propose(old, &[b"old"]);
    pump.settle();
    pump.isolate(old);
    pump.read(old, ReadId(1));
    pump.advance(Duration::from_secs(1));
    let new = pump.run_until_leader();
    pump.propose(new, &[b"new"]);
    pump.read(old, ReadId(2));
    pump.advance(Duration::from_secs(1));
    assert!(pump.reads(old).is_empty());
    let refused: Vec<_> = pump.refused(old).iter().map(|(request, _)| request.clone()).collect();
    assert_eq!(refused, [Refused::Read(ReadId(1)), Refused::Read(ReadId(2))]);
}

/// Answers to questions asked before the read arrived do not count for it.
#[test]
fn an_answer_to_an_older_question_confirms_nothing() {
    let mut pump = pump(3);
    let leader = pump.run_until_leader();
    pump.advance(Duration::from_millis(50));
    pump.lose_where(|_| true);
    pump.read(leader, ReadId(1));
    pump.deliver_one();
    pump.deliver_one();
    let mut acks = pump.take_where(|e| matches!(e.sealed, Message::HeartbeatAck { .. }));
    assert_eq!(acks.len(), 2);
    let mut old = acks.pop().unwrap();
    let Message::HeartbeatAck { probe, .. } = &mut old.sealed else { panic!("an ack") };
    *probe -= 1;
    pump.post(old);
    pump.settle();
    assert!(pump.reads(leader).is_empty());
    pump.post(acks.pop().unwrap());
    pump.settle();
    assert_eq!(pump.reads(leader).len(), 1);
}

/// A new leader must not answer from its copy before it has completed what its predecessor left
/// open: the predecessor may have decided it, and acknowledged it to a client.
#[test]
fn a_read_at_a_new_leader_waits_for_the_adopted_values() {
    let mut solo = Solo::new(3, PaxosConfig::default());
    let under = solo.stand(3);
    let accepted =
        vec![Acceptance { slot: Slot(2), ballot: ballot(1, 1), batch: batch("maybe decided") }];
    let decided = Slot::ZERO;
    solo.hear(
        r(1),
        Message::Promise { ballot: under, from: Slot(1), decided, accepted, next: None },
    );
    solo.input(Input::Read { id: ReadId(1) });
    for (probe, upto) in [(1, 0), (2, 0), (2, 1)] {
        let upto = Slot(upto);
        solo.hear(r(1), Message::HeartbeatAck { ballot: under, probe, upto });
        assert!(solo.reads.is_empty(), "probe {probe} answered, slots up to {upto} accepted");
    }
    solo.hear(r(1), Message::HeartbeatAck { ballot: under, probe: 2, upto: Slot(2) });
    assert_eq!(solo.reads, [(ReadId(1), Slot(2))]);
}

#[test]
fn reads_survive_lost_questions() {
    let mut pump = pump(3);
    let leader = pump.run_until_leader();
    pump.read(leader, ReadId(1));
    pump.lose_where(|_| true);
    pump.advance(Duration::from_millis(60));
    assert_eq!(pump.reads(leader).len(), 1);
}

#[test]
fn waiting_reads_are_bounded_and_share_questions() {
    let config = PaxosConfig { reads_max: 10, ..PaxosConfig::default() };
    let mut pump: Pump<Paxos> = Pump::new(3, &config);
    let leader = pump.run_until_leader();
    pump.settle();
    for id in 0..12 {
        pump.read(leader, ReadId(id));
    }
    let busy = pump.refused(leader).iter().filter(|(_, reason)| *reason == Reason::Busy).count();
    assert_eq!(busy, 2);
    assert_eq!(pump.in_flight().len(), 2, "one question to each peer");
    pump.settle();
    let served: Vec<u64> = pump.reads(leader).iter().map(|(id, _)| id.0).collect();
    assert_eq!(served, (0..10).collect::<Vec<_>>());
}

#[test]
fn a_read_never_returns_less_than_a_read_before_it() {
    let mut pump = pump(3);
    let mut last = Slot::ZERO;
    for round in 0..10 {
        let leader = pump.run_until_leader();
        pump.propose(leader, &[b"v"]);
        pump.settle();
        pump.read(leader, ReadId(round));
        pump.settle();
        let (_, slot) = *pump.reads(leader).last().expect("served");
        assert!(slot > last);
        last = slot;
        pump.crash(leader);
        pump.run_until_leader();
        pump.restart(leader);
    }
    assert!(replicas(3).all(|id| others(3, id).len() == 2));
}

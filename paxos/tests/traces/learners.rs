//! Learners: what is decided reaches everybody, also those that missed the accepts.
//! *Paxos Made Simple* §2.3 and §3.

use std::time::Duration;

use quorate_paxos::{Message, PaxosConfig, Record};
use quorate_smr::testing::replicas;
use quorate_smr::{Slot, To};

use crate::{Solo, accept, ballot, batch, others, prepare, pump, r};

#[test]
fn a_replica_that_missed_everything_catches_up() {
    let mut pump = pump(3);
    let leader = pump.run_until_leader();
    let late = others(3, leader)[0];
    pump.isolate(late);
    for index in 0..1000u32 {
        pump.propose(leader, &[&index.to_le_bytes()]);
        pump.settle();
    }
    pump.heal();
    pump.advance(Duration::from_millis(600));
    assert_eq!(pump.payloads(late), pump.payloads(leader));
    assert_eq!(pump.payloads(late).len(), 1000);
}

/// The last decisions of a burst travel without a further accept and without waiting for a
/// heartbeat.
#[test]
fn followers_learn_the_last_decision_at_once() {
    let mut pump = pump(3);
    let leader = pump.run_until_leader();
    pump.propose(leader, &[b"v"]);
    pump.settle();
    assert!(replicas(3).all(|id| pump.payloads(id) == [b"v"]));
}

/// A value accepted under another ballot is not the decision, whatever the watermark says: the slot
/// may have been decided with another value while this replica was away.
#[test]
fn a_value_of_an_older_ballot_is_not_taken_for_the_decision() {
    let mut solo = Solo::new(3, PaxosConfig::default());
    solo.hear(r(1), accept(ballot(1, 1), 1, 0, "never decided"));
    let under = ballot(2, 2);
    let news = Message::Heartbeat { ballot: under, decided: Slot(1), probe: 1 };
    let sent = solo.hear(r(2), news);
    assert!(solo.commits.is_empty());
    assert!(sent.contains(&(To::One(r(2)), Message::Fetch { from: Slot(1) })), "{sent:?}");
    let batches = vec![batch("decided")];
    solo.hear(r(2), Message::Decisions { from: Slot(1), batches, decided: Slot(1) });
    assert_eq!(solo.commits, [(Slot(1), batch("decided"))]);
}

#[test]
fn a_learner_ignores_decisions_with_a_gap_before_them() {
    let mut solo = Solo::new(3, PaxosConfig::default());
    let batches = vec![batch("two")];
    solo.hear(r(1), Message::Decisions { from: Slot(2), batches, decided: Slot(2) });
    assert!(solo.commits.is_empty());
    let batches = vec![batch("one"), batch("two")];
    solo.hear(r(1), Message::Decisions { from: Slot(1), batches, decided: Slot(2) });
    let batches = vec![batch("one"), batch("two"), batch("three")];
    solo.hear(r(1), Message::Decisions { from: Slot(1), batches, decided: Slot(3) });
    let slots: Vec<u64> = solo.commits.iter().map(|(slot, _)| slot.0).collect();
    assert_eq!(slots, [1, 2, 3], "each once, in order");
}

/// What was learned is durable: the replica serves it again after a crash without asking anybody,
/// and no longer reports what it accepted there before.
#[test]
fn learned_decisions_survive_a_crash() {
    let mut solo = Solo::new(3, PaxosConfig::default());
    solo.hear(r(1), accept(ballot(1, 1), 1, 0, "replaced"));
    let batches = vec![batch("one"), batch("two")];
    solo.hear(r(2), Message::Decisions { from: Slot(1), batches, decided: Slot(2) });
    solo.restart(3);
    let sent = solo.hear(r(1), prepare(ballot(4, 1), 1));
    assert_eq!(solo.commits, [(Slot(1), batch("one")), (Slot(2), batch("two"))]);
    let [(_, Message::Promise { decided, accepted, .. })] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((*decided, accepted.len()), (Slot(2), 0));
}

/// The decided prefix is written down at the latest with the next heartbeat.
#[test]
fn a_restarted_follower_knows_what_was_decided() {
    let mut pump = pump(3);
    let leader = pump.run_until_leader();
    pump.propose(leader, &[b"v"]);
    pump.advance(Duration::from_millis(60));
    let follower = others(3, leader)[0];
    assert!(pump.journal(follower).contains(&Record::Decided { upto: Slot(1) }));
    pump.isolate(follower);
    pump.crash(follower);
    pump.restart(follower);
    pump.advance(Duration::from_millis(1));
    assert_eq!(pump.payloads(follower), [b"v"]);
}

#[test]
fn pages_of_decisions_are_bounded() {
    let config = PaxosConfig { page_slots_max: 3, ..PaxosConfig::default() };
    let mut solo = Solo::new(3, config);
    for slot in 1..=10 {
        solo.hear(r(1), accept(ballot(1, 1), slot, slot - 1, "v"));
    }
    let sent = solo.hear(r(2), Message::Fetch { from: Slot(1) });
    let [(_, Message::Decisions { batches, decided, .. })] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((batches.len(), *decided), (3, Slot(9)));
}

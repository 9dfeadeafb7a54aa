//! Crashes: a replica that comes back remembers every promise and every acceptance that it told
//! anybody. *Paxos Made Simple* §2.2, last paragraph.

use std::time::Duration;

use quorate_paxos::{Paxos, PaxosConfig, Record};
use quorate_smr::testing::{Pump, replicas};
use quorate_smr::{
    Batch, GroupId, Protocol, RecoverError, Recovered, ReplicaId, Seed, Setup, Slot, SnapshotMeta,
    Time,
};

use crate::{Solo, accept, ballot, batch, others, prepare, pump, r};

#[test]
fn a_promise_survives_a_crash() {
    let mut solo = Solo::new(3, PaxosConfig::default());
    solo.hear(r(2), prepare(ballot(5, 2), 1));
    solo.restart(3);
    assert_eq!(solo.replica.promised(), ballot(5, 2));
    solo.hear(r(1), accept(ballot(4, 1), 1, 0, "late"));
    assert!(solo.accepted().is_empty());
}

#[test]
fn an_acceptance_survives_a_crash_with_its_ballot() {
    let mut solo = Solo::new(3, PaxosConfig::default());
    solo.hear(r(1), accept(ballot(4, 1), 1, 0, "a"));
    solo.hear(r(1), accept(ballot(4, 1), 3, 0, "c"));
    let before = solo.accepted();
    solo.restart(3);
    assert_eq!(solo.accepted(), before);
}

/// What was not durable was not promised to anybody, and is gone.
#[test]
fn what_the_disk_did_not_hold_was_not_said() {
    let mut solo = Solo::new(3, PaxosConfig::default());
    solo.disk_held = true;
    assert!(solo.hear(r(2), prepare(ballot(5, 2), 1)).is_empty());
    assert!(solo.hear(r(2), accept(ballot(5, 2), 1, 0, "v")).is_empty());
    solo.restart(3);
    assert_eq!(solo.replica.promised(), quorate_paxos::Ballot::ZERO);
    assert!(solo.accepted().is_empty());
}

#[test]
fn a_ballot_is_never_used_twice() {
    let mut solo = Solo::new(3, PaxosConfig::default());
    let mut used = Vec::new();
    for _ in 0..5 {
        used.push(solo.stand(3));
        solo.restart(3);
    }
    assert!(used.windows(2).all(|pair| pair[0] < pair[1]), "{used:?}");
}

/// A run in which `victim` crashes after exactly `deliveries` messages: whatever was decided before
/// stays decided, and the group goes on.
fn crash_after(deliveries: usize, victim: ReplicaId, hold_disk: bool) {
    let mut pump = pump(3);
    let leader = pump.run_until_leader();
    pump.propose(leader, &[b"one"]);
    pump.settle();
    if hold_disk {
        pump.hold_disk(victim);
    }
    pump.propose(leader, &[b"two"]);
    pump.propose(leader, &[b"three"]);
    for _ in 0..deliveries {
        pump.deliver_one();
    }
    let decided = replicas(3).map(|id| pump.payloads(id)).max_by_key(Vec::len).expect("replicas");
    pump.crash(victim);
    pump.restart(victim);
    pump.advance(Duration::from_secs(2));
    let leader = pump.run_until_leader();
    pump.propose(leader, &[b"four"]);
    pump.advance(Duration::from_millis(200));
    for id in replicas(3) {
        let payloads = pump.payloads(id);
        assert!(payloads.starts_with(&decided), "{id} lost a decision after {deliveries}");
        assert_eq!(payloads.last().expect("decided"), b"four", "{id}");
    }
    pump.assert_agreement();
}

#[test]
fn a_crash_at_any_step_loses_no_decision() {
    for deliveries in 0..=14 {
        for victim in replicas(3) {
            crash_after(deliveries, victim, false);
            crash_after(deliveries, victim, true);
        }
    }
}

#[test]
fn all_replicas_can_crash_at_once() {
    let mut pump = pump(5);
    let leader = pump.run_until_leader();
    for index in 0..10u8 {
        pump.propose(leader, &[&[index]]);
    }
    for _ in 0..25 {
        pump.deliver_one();
    }
    let decided = replicas(5).map(|id| pump.payloads(id)).max_by_key(Vec::len).expect("replicas");
    pump.lose_where(|_| true);
    for id in replicas(5) {
        pump.crash(id);
    }
    for id in replicas(5) {
        pump.restart(id);
    }
    let leader = pump.run_until_leader();
    pump.advance(Duration::from_millis(200));
    assert!(pump.payloads(leader).starts_with(&decided));
    pump.assert_agreement();
}

/// Every prefix of a journal is a state that the replica was in.
#[test]
fn a_journal_recovers_cut_at_any_record() {
    let mut pump = pump(3);
    let leader = pump.run_until_leader();
    let follower = others(3, leader)[0];
    for index in 0..30u8 {
        pump.propose(leader, &[&[index]]);
        if index % 7 == 0 {
            pump.advance(Duration::from_millis(60));
        }
    }
    pump.settle();
    for id in [leader, follower] {
        let journal = pump.journal(id).to_vec();
        assert!(journal.len() > 30);
        for end in 0..=journal.len() {
            let setup = Setup::new(id, 3, Seed(7), PaxosConfig::default());
            let recovered = Recovered { snapshot: None, records: journal[..end].to_vec() };
            let replica = Paxos::recover(setup, recovered, Time::ZERO).expect("a prefix recovers");
            assert!(replica.decided() <= pump.replica(id).decided());
            assert!(replica.promised() <= pump.replica(id).promised());
        }
    }
}

fn recover(snapshot: Option<u64>, records: Vec<Record>) -> Result<Paxos, RecoverError> {
    let setup = Setup::new(r(0), 3, Seed(7), PaxosConfig::default());
    let meta = |slot| SnapshotMeta { slot: Slot(slot), digest: Default::default(), bytes: 0 };
    let recovered = Recovered { snapshot: snapshot.map(meta), records };
    Paxos::recover(setup, recovered, Time::ZERO)
}

#[test]
fn a_journal_that_contradicts_itself_is_refused() {
    let accepted = |slot, decided| Record::Accepted {
        ballot: ballot(1, 1),
        slot: Slot(slot),
        decided: Slot(decided),
        batch: Batch::empty(GroupId(0)),
    };
    let learned = |slot| Record::Learned { slot: Slot(slot), batch: batch("v") };
    let base = |slot| Record::Base { slot: Slot(slot), promised: ballot(1, 1) };
    let cases: Vec<(Option<u64>, Vec<Record>)> = vec![
        (None, vec![Record::Decided { upto: Slot(1) }]),
        (None, vec![accepted(2, 0), Record::Decided { upto: Slot(2) }]),
        (None, vec![accepted(1, 0), accepted(1, 1)]),
        (None, vec![accepted(u64::MAX, 0)]),
        (None, vec![accepted(1 << 50, 0)]),
        (None, vec![accepted(1, u64::MAX)]),
        (None, vec![learned(0)]),
        (None, vec![learned(2)]),
        (None, vec![learned(1), learned(1)]),
        (None, vec![learned(u64::MAX)]),
        (None, vec![base(4)]),
        (Some(5), vec![base(4)]),
        (Some(5), vec![]),
        (Some(5), vec![accepted(6, 5)]),
        (Some(5), vec![base(5), accepted(5, 5)]),
        (Some(5), vec![base(5), base(5)]),
        (
            None,
            vec![
                Record::Promised { ballot: ballot(2, 1) },
                Record::Promised { ballot: ballot(1, 1) },
            ],
        ),
    ];
    for (snapshot, records) in cases {
        let result = recover(snapshot, records.clone());
        assert!(matches!(result, Err(RecoverError::Journal(_))), "{snapshot:?} {records:?}");
    }
    assert!(recover(Some(5), vec![base(5), accepted(7, 5)]).is_ok());
}

#[test]
fn a_replica_outside_its_group_does_not_start() {
    let setup = Setup::new(r(3), 3, Seed(7), PaxosConfig::default());
    let result = Paxos::recover(setup, Recovered::default(), Time::ZERO);
    assert_eq!(result.unwrap_err(), RecoverError::NotAMember(r(3)));
}

#[test]
fn a_slow_disk_at_every_replica_only_delays() {
    let mut pump: Pump<Paxos> = pump(3);
    let leader = pump.run_until_leader();
    for id in replicas(3) {
        pump.hold_disk(id);
    }
    pump.propose(leader, &[b"v"]);
    pump.settle();
    assert!(replicas(3).all(|id| pump.payloads(id).is_empty()), "nothing durable, nothing decided");
    pump.sync(others(3, leader)[0]);
    pump.settle();
    assert!(pump.payloads(leader).is_empty(), "one acceptance is no quorum");
    pump.sync(leader);
    pump.settle();
    assert_eq!(pump.payloads(leader), [b"v"]);
}

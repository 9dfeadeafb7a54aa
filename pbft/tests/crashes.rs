//! Crash and restart: a replica never contradicts what it said.

mod common;

use std::time::Duration;

use common::*;
use quorate_pbft::{Pbft, PbftConfig, Record, Wire};
use quorate_smr::testing::{Pump, replicas};
use quorate_smr::{
    Digest, GroupId, Protocol, RecoverError, Recovered, Seed, Setup, Slot, SnapshotMeta, Time,
};

#[test]
fn a_crash_after_every_number_of_deliveries_loses_nothing_and_divides_nobody() {
    // Every replica is crashed and restarted at every point of the first three slots.
    for victim in replicas(4) {
        for deliveries in 0..40 {
            let mut pump = pump();
            for payload in [b"one", b"two", b"six"] {
                pump.propose(R0, &[payload]);
            }
            for _ in 0..deliveries {
                pump.deliver_one();
            }
            pump.crash(victim);
            pump.settle();
            pump.restart(victim);
            advance_until(&mut pump, |pump| replicas(4).all(|id| pump.payloads(id).len() >= 3));
            pump.assert_agreement();
            let payloads = pump.payloads(R1);
            for payload in [b"one", b"two", b"six"] {
                assert!(payloads.iter().any(|p| p == payload), "{victim} {deliveries}");
            }
        }
    }
}

#[test]
fn what_was_not_durable_was_not_said() {
    for victim in [R0, R1] {
        let mut pump = pump();
        pump.hold_disk(victim);
        pump.propose(R0, &[b"a"]);
        pump.settle();
        pump.crash(victim);
        assert!(pump.journal(victim).is_empty());
        let from_victim = |wire: &Wire| {
            matches!(wire, Wire::PrePrepare { .. } | Wire::Prepare { .. } | Wire::Commit { .. })
        };
        assert!(!pump.in_flight().iter().any(|e| e.from == victim && from_victim(&e.sealed.wire)));
    }
}

#[test]
fn a_primary_that_restarts_does_not_assign_a_slot_twice() {
    let mut pump = pump();
    pump.propose(R0, &[b"first"]);
    pump.lose_where(|_| true);
    pump.crash(R0);
    pump.restart(R0);
    pump.propose(R0, &[b"second"]);
    let slots: Vec<Slot> = pump
        .in_flight()
        .iter()
        .filter_map(|envelope| match &envelope.sealed.wire {
            Wire::PrePrepare { slot, .. } => Some(*slot),
            _ => None,
        })
        .collect();
    assert_eq!(slots, [Slot(2); 3]);
    advance_until(&mut pump, |pump| pump.payloads(R3).len() == 2);
    assert_eq!(pump.payloads(R3), [b"first".to_vec(), b"second".to_vec()]);
}

#[test]
fn a_prepared_batch_survives_a_restart_and_a_view_change() {
    let quiet = Duration::from_secs(1000);
    let config = PbftConfig { retransmit_interval: quiet, status_interval: quiet, ..config() };
    let mut pump: Pump<Pbft> = Pump::new(4, &config);
    pump.advance(Duration::ZERO);
    pump.propose(R0, &[b"precious"]);
    while pump.in_flight().iter().any(|e| !matches!(e.sealed.wire, Wire::Commit { .. })) {
        pump.deliver_one();
    }
    // Only replica 0 commits; then it is gone, and the others crash.
    pump.lose_where(|envelope| envelope.to != R0);
    pump.settle();
    assert_eq!(pump.payloads(R0), [b"precious"]);
    pump.isolate(R0);
    for id in [R1, R2, R3] {
        pump.crash(id);
    }
    for id in [R1, R2, R3] {
        pump.restart(id);
    }
    for id in [R1, R2] {
        pump.propose(id, &[b"later"]);
    }
    advance_until(&mut pump, |pump| pump.payloads(R3).len() >= 3);
    assert_eq!(pump.payloads(R3)[0], b"precious");
    pump.assert_agreement();
}

#[test]
fn a_view_change_is_remembered_at_each_of_its_steps() {
    // Crash each replica after each number of deliveries of the view change.
    for victim in [R1, R2, R3] {
        for deliveries in 0..30 {
            let mut pump = pump();
            pump.propose(R0, &[b"before"]);
            pump.settle();
            pump.isolate(R0);
            for id in [R1, R2] {
                pump.propose(id, &[b"x"]);
            }
            pump.lose_where(|_| true);
            pump.advance(config().view_change_timeout - Duration::from_millis(1));
            // One backup at a time, so that deliveries can be counted.
            pump.crash(R0);
            pump.advance(Duration::from_millis(1));
            for _ in 0..deliveries {
                pump.deliver_one();
            }
            let before = pump.replica(victim).view();
            let was_active = pump.replica(victim).is_active();
            pump.crash(victim);
            pump.restart(victim);
            assert_eq!(pump.replica(victim).view(), before, "{victim} {deliveries}");
            assert_eq!(pump.replica(victim).is_active(), was_active);
            pump.restart(R0);
            pump.heal();
            for id in replicas(4) {
                pump.propose(id, &[b"after"]);
            }
            advance_until(&mut pump, |pump| {
                let executor = pump.executor(R3);
                executor.commands() >= 4
            });
            pump.assert_agreement();
        }
    }
}

#[test]
fn everyone_restarts_from_a_checkpoint_and_goes_on() {
    let mut pump = pump();
    for _ in 0..10 {
        pump.propose(R0, &[b"x"]);
        pump.settle();
    }
    for id in replicas(4) {
        pump.crash(id);
    }
    for id in replicas(4) {
        pump.restart(id);
        assert_eq!(pump.replica(id).status().base, Slot(8));
    }
    advance_until(&mut pump, |pump| replicas(4).all(|id| pump.executor(id).applied() == Slot(10)));
    pump.propose(R2, &[b"more"]);
    advance_until(&mut pump, |pump| replicas(4).all(|id| pump.executor(id).applied() == Slot(11)));
    pump.assert_agreement();
}

#[test]
fn a_journal_compacted_after_view_changes_is_sound() {
    // What a compaction leaves: earlier views first, then the view, then what belongs to it. P may
    // name an earlier view than Q for the same batch, and then comes before its body.
    let setup = || Setup::new(R2, 4, Seed(7), config());
    let (one, two) = (batch(1, b"one"), batch(2, b"two"));
    let (a, b) = (digest(&one), digest(&two));
    let holds = |replica| quorate_pbft::ViewChange {
        prepared: vec![pair(1, 0, a)],
        pre_prepared: vec![pair(1, 0, a)],
        ..empty_change(replica, 2)
    };
    let changes = [R0, R1, R2].map(|replica| signed_change(holds(replica))).to_vec();
    let (v0, v1, v2) = (quorate_pbft::View(0), quorate_pbft::View(1), quorate_pbft::View(2));
    let pre_prepared = |view, slot, digest, batch: &quorate_smr::Batch| Record::PrePrepared {
        view,
        slot: Slot(slot),
        digest,
        batch: Some(batch.clone()),
    };
    let records = vec![
        Record::Prepared { view: v0, slot: Slot(1), digest: a },
        pre_prepared(v1, 2, b, &two),
        Record::NewView(signed_new_view(R2, 2, changes, 0, vec![a])),
        pre_prepared(v2, 1, a, &one),
    ];
    let recovered = |records| Recovered { snapshot: None, records };
    let replica = Pbft::recover(setup(), recovered(records.clone()), Time::ZERO).unwrap();
    assert_eq!((replica.view(), replica.assigned(Slot(1))), (v2, Some(a)));
    assert_eq!(replica.assigned(Slot(2)), None);
    // Without the body, or without the view, it is damaged.
    for missing in [2, 3] {
        let mut records = records.clone();
        records.remove(missing);
        let result = Pbft::recover(setup(), recovered(records), Time::ZERO);
        assert!(matches!(result, Err(RecoverError::Journal(_))), "without record {missing}");
    }
}

#[test]
fn a_damaged_journal_is_refused() {
    let setup = || Setup::new(R1, 4, Seed(7), config());
    let some = batch(1, b"x");
    let digest = digest(&some);
    let view = quorate_pbft::View(0);
    let prepared = Record::Prepared { view, slot: Slot(1), digest };
    let pre_prepared = |slot, digest, batch| Record::PrePrepared { view, slot, digest, batch };
    let snapshot = SnapshotMeta { slot: Slot(4), digest, bytes: 3 };
    let bad = [
        (None, vec![prepared]),
        (None, vec![pre_prepared(Slot(1), digest, None)]),
        (None, vec![pre_prepared(Slot(1), Digest([1; 32]), Some(some.clone()))]),
        (None, vec![pre_prepared(Slot(9), digest, Some(some.clone()))]),
        (None, vec![pre_prepared(Slot(0), digest, Some(some.clone()))]),
        (Some(snapshot), vec![]),
        (Some(snapshot), vec![pre_prepared(Slot(5), digest, Some(some.clone()))]),
        (None, vec![Record::ViewChange(signed_change(empty_change(R2, 1)))]),
        (None, vec![Record::ViewChange(signed_change(empty_change(R1, 0)))]),
    ];
    for (snapshot, records) in bad {
        let recovered = Recovered { snapshot, records };
        let result = Pbft::recover(setup(), recovered.clone(), Time::ZERO);
        assert!(matches!(result, Err(RecoverError::Journal(_))), "{recovered:?}");
    }
    let good =
        Recovered { snapshot: None, records: vec![pre_prepared(Slot(1), digest, Some(some))] };
    assert!(Pbft::recover(setup(), good, Time::ZERO).is_ok());
    let three = Setup::new(R1, 3, Seed(7), config());
    assert!(matches!(
        Pbft::recover(three, Recovered::default(), Time::ZERO),
        Err(RecoverError::Quorum(_))
    ));
    let stranger = Setup { replica: quorate_smr::ReplicaId(9), ..setup() };
    assert!(matches!(
        Pbft::recover(stranger, Recovered::default(), Time::ZERO),
        Err(RecoverError::NotAMember(_))
    ));
    assert_eq!(setup().group, GroupId(0));
}

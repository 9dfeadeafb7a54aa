//! Checkpoints, watermarks and state transfer (OSDI 1999 §4.3, TOCS 2002 §5.3).

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use quorate_pbft::{CheckpointCertificate, Pbft, PbftConfig, Wire};
use quorate_smr::testing::{InFlight, Pump, replicas};
use quorate_smr::{Digest, Protocol, Reason, Slot, SnapshotMeta, To};

fn fill(pump: &mut Pump<Pbft>, batches: usize) {
    for _ in 0..batches {
        pump.propose(R0, &[b"fill"]);
        pump.settle();
    }
}

fn bases(pump: &Pump<Pbft>) -> Vec<u64> {
    pump.statuses().iter().map(|status| status.base.0).collect()
}

fn is_checkpoint(wire: &Wire) -> bool {
    matches!(wire, Wire::Checkpoint(_) | Wire::Stable(_))
}

#[test]
fn a_stable_checkpoint_moves_the_watermark_and_collects_garbage() {
    let mut pump = pump();
    fill(&mut pump, 9);
    assert_eq!(bases(&pump), [8; 4]);
    for id in replicas(4) {
        assert!(pump.journal(id).len() <= 3, "base, pre-prepared, prepared of slot 9");
        assert!(pump.replica(id).status().held_bytes < 300);
    }
}

#[test]
fn the_window_is_full_until_a_checkpoint_is_stable_then_goes_on() {
    let mut pump = Pump::<Pbft>::new(4, &PbftConfig { queue_max: 2, ..config() });
    for _ in 0..11 {
        pump.propose(R0, &[b"x"]);
        while pump.deliver_one() {
            pump.lose_where(|envelope| is_checkpoint(&envelope.sealed.wire));
        }
    }
    assert_eq!(bases(&pump), [0; 4]);
    assert_eq!(pump.payloads(R1).len(), 8, "h + L");
    let (_, reason) = &pump.refused(R0)[0];
    assert_eq!((reason, pump.refused(R0).len()), (&Reason::Busy, 1), "two wait in the queue");
    pump.advance(Duration::from_secs(1));
    assert_eq!(bases(&pump), [8; 4], "checkpoints are sent again");
    assert_eq!(pump.payloads(R1).len(), 10);
    assert_eq!(pump.replica(R1).view().0, 0, "waiting for room is no fault of the primary");
}

#[test]
fn one_wrong_digest_does_not_keep_a_checkpoint_from_being_stable() {
    let mut pump = pump();
    for slot in [4, 8] {
        let lie = auth(R3).sign_checkpoint(Slot(slot), Digest([6; 32]));
        post_to_others(&mut pump, R3, &Wire::Checkpoint(lie));
    }
    fill(&mut pump, 8);
    assert_eq!(bases(&pump)[..3], [8; 3]);
}

#[test]
fn two_equal_digests_do_not_make_a_checkpoint_stable() {
    let mut pump = pump();
    pump.isolate(R2);
    fill(&mut pump, 3);
    pump.propose(R0, &[b"fourth"]);
    while pump.deliver_one() {
        pump.lose_where(|e| is_checkpoint(&e.sealed.wire) && (e.from == R3 || e.to == R3));
    }
    assert_eq!(pump.payloads(R1).len(), 4);
    assert_eq!(bases(&pump), [0; 4]);
}

#[test]
fn a_replica_that_missed_much_gets_a_snapshot_and_goes_on() {
    let mut pump = pump();
    pump.isolate(R3);
    fill(&mut pump, 30);
    assert_eq!(pump.replica(R3).status().committed, Slot(0));
    pump.heal();
    pump.advance(Duration::from_secs(2));
    assert_eq!(pump.replica(R3).status().committed, Slot(30));
    fill(&mut pump, 3);
    assert_eq!(pump.executor(R3).state_digest(), pump.executor(R0).state_digest());
    assert_eq!(pump.executor(R3).applied(), Slot(33));
    assert_eq!(pump.replica(R3).suspicion_deadline(), None);
    pump.assert_agreement();
}

#[test]
fn a_replica_that_missed_little_gets_the_slots() {
    let mut pump = pump();
    pump.isolate(R3);
    fill(&mut pump, 3);
    pump.heal();
    pump.advance(Duration::from_secs(1));
    assert_eq!(pump.payloads(R3).len(), 3);
    pump.assert_agreement();
}

#[test]
fn a_liar_among_those_asked_for_state_is_passed_over() {
    let mut pump = pump();
    pump.isolate(R3);
    fill(&mut pump, 12);
    pump.heal();
    // Replica 0 answers with other data, once with a right certificate and once with its own.
    let base = pump.replica(R1).status().base;
    let (real, data) = pump.executor(R1).snapshot();
    assert_eq!(real.slot, base);
    let votes = [R0, R1, R2].map(|id| (id, auth(id).sign_checkpoint(base, real.digest).signature));
    let right = CheckpointCertificate { slot: base, digest: real.digest, votes: votes.to_vec() };
    let lie = SnapshotMeta { digest: Digest([3; 32]), ..real };
    let mine = auth(R0).sign_checkpoint(base, lie.digest).signature;
    let wrong = CheckpointCertificate {
        digest: lie.digest,
        votes: [R0, R1, R2].map(|id| (id, mine)).to_vec(),
        ..right.clone()
    };
    for (certificate, snapshot) in [(right.clone(), lie), (wrong, lie)] {
        let sealed = auth(R0).seal_wire(To::One(R3), Wire::Snapshot(Arc::new(certificate)));
        let snapshot = Some((snapshot, b"not the state".to_vec()));
        pump.post(InFlight { from: R0, to: R3, sealed, snapshot });
    }
    pump.settle();
    assert_eq!(pump.replica(R3).status().committed, Slot(0));
    // Replica 0 never answers honestly; another is asked.
    pump.cut(R0, R3);
    pump.advance(Duration::from_secs(2));
    assert_eq!(pump.replica(R3).status().committed, Slot(12));
    assert_eq!(pump.executor(R3).snapshot().1, data);
}

#[test]
fn claims_of_f_replicas_are_not_believed() {
    let mut pump = pump();
    pump.isolate(R0);
    let lie = digest(&batch(50, b"never ordered"));
    for _ in 0..5 {
        post(&mut pump, R3, R1, Wire::Claims { first: Slot(1), digests: vec![lie; 4] });
    }
    let body = Wire::Body { slot: Slot(1), digest: lie, batch: batch(50, b"never ordered") };
    post(&mut pump, R3, R1, body);
    pump.advance(Duration::from_secs(1));
    assert!(pump.payloads(R1).is_empty());
}

#[test]
fn a_view_change_at_a_checkpoint_boundary_goes_on_from_it() {
    for before in 3..6 {
        let mut pump = pump();
        fill(&mut pump, before);
        pump.isolate(R0);
        pump.propose(R1, &[b"a"]);
        pump.propose(R2, &[b"b"]);
        advance_until(&mut pump, |pump| pump.payloads(R3).len() == before + 2);
        pump.heal();
        for round in 0..10 {
            pump.propose(R1, &[b"more"]);
            pump.settle();
            assert_eq!(pump.payloads(R2).len(), before + 3 + round);
        }
        pump.advance(Duration::from_secs(2));
        assert!(bases(&pump).iter().all(|base| *base >= 12), "{:?}", bases(&pump));
        pump.assert_agreement();
    }
}

#[test]
fn a_replica_whose_state_differs_does_not_follow_a_checkpoint_it_contradicts() {
    // Three faulty hosts would be needed to certify a wrong state; here the certificate is right
    // and the replica's own snapshot is not.
    let mut pump = pump();
    let wrong = SnapshotMeta { slot: Slot(4), digest: Digest([8; 32]), bytes: 1 };
    fill(&mut pump, 3);
    pump.isolate(R3);
    fill(&mut pump, 1);
    assert_eq!(bases(&pump)[..3], [4; 3]);
    let mut lagging = pump.replica(R3).clone();
    let mut out = quorate_smr::Effects::new();
    lagging.handle(pump.now(), quorate_smr::Input::SnapshotTaken { snapshot: wrong }, &mut out);
    assert!(out.is_empty(), "a snapshot that was not asked for says nothing");
}

/// Hands `wire` to the replica as it would arrive from `from`; what it makes of it.
fn hears(
    replica: &mut Pbft,
    now: quorate_smr::Time,
    from: quorate_smr::ReplicaId,
    wire: Wire,
) -> Vec<quorate_smr::Effect<quorate_pbft::Message, quorate_pbft::Record>> {
    use quorate_smr::Authenticator;
    let sealed = auth(from).seal_wire(To::One(R3), wire);
    let message = auth(R3).open(from, sealed).expect("it is well made");
    let mut out = quorate_smr::Effects::new();
    replica.handle(now, quorate_smr::Input::Message { from, message }, &mut out);
    out.drain().collect()
}

fn stable(slot: u64, digest: Digest) -> Arc<CheckpointCertificate> {
    let votes = [R0, R1, R2].map(|id| (id, auth(id).sign_checkpoint(Slot(slot), digest).signature));
    Arc::new(CheckpointCertificate { slot: Slot(slot), digest, votes: votes.to_vec() })
}

#[test]
fn a_replica_that_contradicts_a_stable_checkpoint_goes_on_from_a_proven_state_only() {
    use quorate_smr::{Effect, Effects, Input};
    let mut pump = pump();
    fill(&mut pump, 3);
    let (mut lone, now) = (pump.replica(R3).clone(), pump.now());
    // Slot 4 is committed by votes of the others; its host took a wrong snapshot of it.
    let (view, slot, fourth) = (quorate_pbft::View(0), Slot(4), pump.batch(&[b"fourth"]));
    let value = digest(&fourth);
    hears(&mut lone, now, R0, pre_prepare(0, 4, &fourth));
    for from in [R1, R2] {
        hears(&mut lone, now, from, Wire::Prepare { view, slot, digest: value });
    }
    for from in [R0, R1, R2] {
        hears(&mut lone, now, from, Wire::Commit { view, slot, digest: value });
    }
    assert_eq!(lone.status().committed, slot);
    let wrong = SnapshotMeta { slot, digest: Digest([8; 32]), bytes: 1 };
    lone.handle(now, Input::SnapshotTaken { snapshot: wrong }, &mut Effects::new());
    // The certificate names another digest: what is proven is not what this replica holds.
    hears(&mut lone, now, R1, Wire::Stable(stable(4, Digest([4; 32]))));
    assert_eq!(lone.status().base, Slot::ZERO, "its own state is not the stable one");
    // The next one is ahead: it is fetched as a whole, and nothing else moves the watermark.
    hears(&mut lone, now, R1, Wire::Stable(stable(8, Digest([9; 32]))));
    assert_eq!(lone.status().base, Slot::ZERO);
    let (mut out, mut asked, mut later) = (Effects::new(), false, now);
    for _ in 0..8 {
        later = later.max(lone.deadline().expect("it waits for something"));
        lone.handle(later, Input::Tick, &mut out);
        asked |= out.drain().any(|effect| {
            let fetch = |message: &quorate_pbft::Message| {
                matches!(message, quorate_pbft::Message::FetchState { slot: Slot(8) })
            };
            matches!(&effect, Effect::Send { message, .. } if fetch(message))
        });
    }
    assert!(asked, "it asks for the state that is proven");
    let arrives = |lone: &mut Pbft, digest: Digest| {
        use quorate_smr::Authenticator;
        let sealed = auth(R1).seal_wire(To::One(R3), Wire::Snapshot(stable(8, Digest([9; 32]))));
        let message = auth(R3).open(R1, sealed).expect("it is well made");
        let snapshot = SnapshotMeta { slot: Slot(8), digest, bytes: 1 };
        let mut out = Effects::new();
        lone.handle(later, Input::SnapshotArrived { from: R1, message, snapshot }, &mut out);
    };
    arrives(&mut lone, Digest([8; 32]));
    assert_eq!(lone.status().base, Slot::ZERO, "another state than the proven one");
    arrives(&mut lone, Digest([9; 32]));
    assert_eq!((lone.status().base, lone.status().committed), (Slot(8), Slot(8)));
}

#[test]
fn batches_that_fill_the_log_before_a_checkpoint_slot_do_not_stop_the_group() {
    // Half of 4 KiB holds two of these batches, and the checkpoint comes at slot 4.
    let tight = PbftConfig { batch_bytes_max: 1024, log_bytes_max: 4096, ..config() };
    let mut pump = Pump::<Pbft>::new(4, &tight);
    for _ in 0..12 {
        pump.propose(R0, &[&[7; 900]]);
    }
    pump.settle();
    for id in replicas(4) {
        assert_eq!(pump.payloads(id).len(), 12, "{id}");
        let status = pump.replica(id).status();
        assert_eq!(
            (status.epoch, status.base),
            (0, Slot(20)),
            "{id}: two batches for each checkpoint"
        );
    }
}

#[test]
fn a_backup_whose_log_is_full_still_takes_the_null_requests_that_bring_a_checkpoint() {
    let tight = PbftConfig { batch_bytes_max: 1024, log_bytes_max: 4096, ..config() };
    let mut pump = Pump::<Pbft>::new(4, &tight);
    // The primary fills the log of one backup with assignments that nobody else hears of; then one
    // of the others is gone, so that nothing goes on without that backup.
    for (slot, seq) in (5..9).zip(900..) {
        post(&mut pump, R0, R1, pre_prepare(0, slot, &batch(seq, &[7; 900])));
    }
    pump.settle();
    assert!(pump.replica(R1).status().held_bytes > 3 * 1024);
    pump.isolate(R3);
    pump.propose(R2, &[&[8; 900]]);
    let served = |pump: &Pump<Pbft>| pump.payloads(R2).contains(&vec![8; 900]);
    advance_until(&mut pump, served);
}

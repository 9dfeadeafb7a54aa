//! What one faulty replica with its own valid keys can try, and what comes of it.
//!
//! The first four succeed against a published implementation, each by a single replica.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use quorate_pbft::{CheckpointCertificate, Pbft, PbftConfig, View, ViewChange, Wire};
use quorate_smr::testing::{Pump, replicas};
use quorate_smr::{AuthError, Authenticator, Digest, Protocol, Slot, To};

/// Asserts that nothing happened to anyone, and that the group still works.
fn assert_unharmed(pump: &mut Pump<Pbft>) {
    pump.settle();
    for status in pump.statuses() {
        assert_eq!((status.epoch, status.base), (0, Slot::ZERO), "{status:?}");
    }
    let before = pump.payloads(R3).len();
    pump.propose(R0, &[b"still working"]);
    pump.settle();
    for id in replicas(4) {
        assert_eq!(pump.payloads(id).len(), before + 1, "{id}");
    }
    pump.assert_agreement();
}

fn refused(from: quorate_smr::ReplicaId, wire: Wire) -> AuthError {
    let sealed = auth(from).seal_wire(To::Others, wire);
    auth(R0).open(from, sealed).expect_err("it must be refused")
}

/// A certificate with whatever votes.
fn certificate(
    slot: u64,
    digest: Digest,
    signers: &[quorate_smr::ReplicaId],
) -> Arc<CheckpointCertificate> {
    let vote = |signer: &quorate_smr::ReplicaId| {
        (*signer, auth(*signer).sign_checkpoint(Slot(slot), digest).signature)
    };
    let votes = signers.iter().map(vote).collect();
    Arc::new(CheckpointCertificate { slot: Slot(slot), digest, votes })
}

#[test]
fn a_new_view_of_a_non_primary_with_an_unproved_checkpoint_is_refused() {
    let mut pump = pump();
    let claim = |certificate| {
        let content = ViewChange { stable: Slot(1_000_000), certificate, ..empty_change(R2, 7) };
        signed_new_view(R2, 7, vec![signed_change(content)], 1_000_000, vec![])
    };
    for proof in [None, Some(certificate(1_000_000, Digest([9; 32]), &[R2]))] {
        post_to_others(&mut pump, R2, &Wire::NewView(claim(proof)));
    }
    assert_unharmed(&mut pump);
}

#[test]
fn an_empty_new_view_is_refused() {
    let mut pump = pump();
    post_to_others(&mut pump, R1, &Wire::NewView(signed_new_view(R1, 1, vec![], 0, vec![])));
    assert_unharmed(&mut pump);
}

#[test]
fn the_same_view_change_three_times_is_one() {
    let mut pump = pump();
    let mine = signed_change(empty_change(R1, 1));
    for _ in 0..3 {
        post_to_others(&mut pump, R1, &Wire::ViewChange(Arc::clone(&mine)));
    }
    let thrice = vec![Arc::clone(&mine), Arc::clone(&mine), mine];
    let new_view = signed_new_view(R1, 1, thrice, 0, vec![]);
    assert_eq!(refused(R1, Wire::NewView(Arc::clone(&new_view))), AuthError::Malformed);
    post_to_others(&mut pump, R1, &Wire::NewView(new_view));
    assert_unharmed(&mut pump);
}

#[test]
fn a_prepared_claim_without_support_enters_no_new_view() {
    let invented = digest(&batch(1, b"nobody asked for this"));
    let claim = || {
        signed_change(ViewChange {
            prepared: vec![pair(1, 0, invented)],
            pre_prepared: vec![pair(1, 0, invented)],
            ..empty_change(R1, 1)
        })
    };
    // The faulty replica is the primary and chooses its own claim: refused.
    let changes =
        vec![signed_change(empty_change(R2, 1)), signed_change(empty_change(R3, 1)), claim()];
    let new_view = signed_new_view(R1, 1, changes, 0, vec![invented]);
    refused(R1, Wire::NewView(new_view));
    // It is a backup and the honest primary of view 2 hears it: its claim is not chosen, and cannot
    // keep the others from going on either.
    let mut pump = pump();
    pump.isolate(R1);
    pump.isolate(R0);
    pump.propose(R2, &[b"a"]);
    pump.propose(R3, &[b"b"]);
    pump.advance(Duration::from_secs(2));
    pump.heal();
    let claim = signed_change(ViewChange {
        prepared: vec![pair(1, 0, invented)],
        pre_prepared: vec![pair(1, 0, invented)],
        ..empty_change(R1, 2)
    });
    post_to_others(&mut pump, R1, &Wire::ViewChange(claim));
    pump.isolate(R1);
    advance_until(&mut pump, |pump| pump.payloads(R3).len() == 2);
    for id in [R0, R2, R3] {
        assert!(pump.committed(id).iter().all(|(_, batch)| digest(batch) != invented));
    }
    pump.assert_agreement();
}

#[test]
fn a_duplicate_signer_counts_once_in_every_certificate() {
    let state = Digest([5; 32]);
    for signers in [vec![R1, R1, R1], vec![R1, R2, R2], vec![R1, R2], vec![]] {
        let proof = certificate(4, state, &signers);
        assert_eq!(refused(R1, Wire::Stable(Arc::clone(&proof))), AuthError::Forged, "{signers:?}");
        let mine = ViewChange { stable: Slot(4), certificate: Some(proof), ..empty_change(R1, 1) };
        refused(R1, Wire::ViewChange(signed_change(mine)));
    }
    let honest = |id| signed_change(empty_change(id, 1));
    for changes in [vec![honest(R1), honest(R2), honest(R2)], vec![honest(R1), honest(R2)]] {
        refused(R1, Wire::NewView(signed_new_view(R1, 1, changes, 0, vec![])));
    }
    // Four with a duplicate among them: more than a quorum of messages and of replicas, but not
    // what an honest primary says.
    let four = vec![honest(R0), honest(R1), honest(R2), honest(R2)];
    refused(R1, Wire::NewView(signed_new_view(R1, 1, four, 0, vec![])));
    // The same, right: accepted, so that the refusals above are for the duplicates.
    let proof = certificate(4, state, &[R1, R2, R3]);
    let open = |wire| auth(R0).open(R1, auth(R1).seal_wire(To::Others, wire));
    open(Wire::Stable(proof)).unwrap();
    let right = vec![honest(R1), honest(R2), honest(R3)];
    open(Wire::NewView(signed_new_view(R1, 1, right, 0, vec![]))).unwrap();
}

#[test]
fn votes_repeated_by_one_backup_prepare_and_commit_nothing() {
    let mut pump = pump();
    pump.isolate(R2);
    pump.isolate(R3);
    pump.propose(R0, &[b"a"]);
    pump.settle();
    let a = digest(&pump.batch(&[b"a"]));
    let own = pump.replica(R1).assigned(Slot(1)).unwrap();
    assert_ne!(a, own, "another sequence number");
    for _ in 0..5 {
        for kind in [0, 1] {
            let (view, slot) = (View(0), Slot(1));
            let wire = if kind == 0 {
                Wire::Prepare { view, slot, digest: own }
            } else {
                Wire::Commit { view, slot, digest: own }
            };
            post(&mut pump, R1, R0, wire);
        }
    }
    pump.settle();
    assert!(!pump.replica(R0).is_prepared(Slot(1)));
    assert!(pump.payloads(R0).is_empty());
}

#[test]
fn new_views_with_one_wrong_part_are_refused() {
    let honest = |id, view| signed_change(empty_change(id, view));
    let all = |view| vec![honest(R1, view), honest(R2, view), honest(R3, view)];
    let invented = digest(&batch(1, b"invented"));
    // Another view than its view changes; signed by another; an invented choice; a wrong base.
    refused(R1, Wire::NewView(signed_new_view(R1, 5, all(1), 0, vec![])));
    refused(R2, Wire::NewView(signed_new_view(R2, 1, all(1), 0, vec![])));
    refused(R1, Wire::NewView(signed_new_view(R1, 1, all(1), 0, vec![invented])));
    refused(R1, Wire::NewView(signed_new_view(R1, 1, all(1), 4, vec![])));
    // A view change that replica 3 never signed.
    let mut forged = (*honest(R3, 1)).clone();
    forged.content.prepared = vec![pair(1, 0, invented)];
    forged.content.pre_prepared = vec![pair(1, 0, invented)];
    let changes = vec![honest(R1, 1), honest(R2, 1), honest(R0, 1), Arc::new(forged)];
    assert_eq!(
        refused(R1, Wire::NewView(signed_new_view(R1, 1, changes, 0, vec![]))),
        AuthError::Forged
    );
    // View changes of other clusters' or views' replicas, re-labelled.
    let mut relabelled = (*honest(R3, 2)).clone();
    relabelled.content.view = View(1);
    let changes = vec![honest(R1, 1), honest(R2, 1), Arc::new(relabelled)];
    refused(R1, Wire::NewView(signed_new_view(R1, 1, changes, 0, vec![])));
}

#[test]
fn view_changes_of_impossible_form_are_refused() {
    let one = Digest([1; 32]);
    let two = Digest([2; 32]);
    let base = || empty_change(R1, 3);
    let bad = [
        ViewChange { view: View(0), ..base() },
        ViewChange { replica: R2, ..base() },
        ViewChange { stable: Slot(4), ..base() },
        ViewChange { prepared: vec![pair(1, 0, one)], ..base() },
        ViewChange { pre_prepared: vec![pair(0, 0, one)], ..base() },
        ViewChange { pre_prepared: vec![pair(9, 0, one)], ..base() },
        ViewChange { pre_prepared: vec![pair(u64::MAX, 0, one)], ..base() },
        ViewChange { pre_prepared: vec![pair(1, 3, one)], ..base() },
        ViewChange { pre_prepared: vec![pair(1, 0, one), pair(1, 1, one)], ..base() },
        ViewChange { pre_prepared: vec![pair(1, 0, one), pair(1, 0, two)], ..base() },
        ViewChange { pre_prepared: vec![pair(2, 0, one), pair(1, 0, two)], ..base() },
        ViewChange {
            prepared: vec![pair(1, 0, one), pair(1, 1, two)],
            pre_prepared: vec![pair(1, 0, one), pair(1, 1, two)],
            ..base()
        },
        ViewChange {
            prepared: vec![pair(1, 1, one)],
            pre_prepared: vec![pair(1, 0, one)],
            ..base()
        },
    ];
    for content in bad {
        let signed = Arc::new(auth(R1).sign_view_change(content));
        refused(R1, Wire::ViewChange(signed));
    }
    let stuffed = (0..9).map(|view| pair(1, view, Digest([view as u8; 32]))).collect();
    let stuffing = ViewChange { pre_prepared: stuffed, ..empty_change(R1, 20) };
    refused(R1, Wire::ViewChange(signed_change(stuffing)));
}

#[test]
fn one_replica_that_calls_for_ever_higher_views_moves_nobody() {
    let quiet = Duration::from_secs(1000);
    let config = PbftConfig { retransmit_interval: quiet, status_interval: quiet, ..config() };
    let mut pump: Pump<Pbft> = Pump::new(4, &config);
    for view in [1, 2, 7, 1000, u64::MAX - 1, u64::MAX] {
        let change = signed_change(empty_change(R3, view));
        post_to_others(&mut pump, R3, &Wire::ViewChange(change));
    }
    assert_unharmed(&mut pump);
    // Nor does it keep the others from changing views when they must: requests are lost.
    pump.isolate(R3);
    pump.propose(R1, &[b"a"]);
    pump.propose(R2, &[b"b"]);
    pump.lose_where(|_| true);
    advance_until(&mut pump, |pump| pump.payloads(R1).len() == 3);
    assert_eq!(pump.replica(R1).view(), View(1));
}

#[test]
fn absurd_numbers_are_ignored() {
    let mut pump = pump();
    let some = batch(1, b"x");
    let digest = digest(&some);
    let ends = [0, 1, 9, 1 << 63, u64::MAX - 1, u64::MAX];
    for number in ends {
        for other in ends {
            let (view, slot) = (View(number), Slot(other));
            let report = quorate_pbft::StatusReport {
                view,
                changing: number % 2 == 0,
                stable: slot,
                committed: Slot(number),
                heard: quorate_smr::ReplicaSet::first(128),
            };
            let state = auth(R3).sign_checkpoint(slot, digest);
            let claims = Wire::Claims { first: slot, digests: vec![digest; 256] };
            for wire in [
                Wire::Prepare { view, slot, digest },
                Wire::Commit { view, slot, digest },
                Wire::Fetch { slot, digest },
                Wire::FetchState { slot },
                Wire::Status(report),
                Wire::Checkpoint(state),
                claims,
                pre_prepare(number, other, &some),
                Wire::Body { slot, digest, batch: some.clone() },
            ] {
                if slot != Slot(1) && slot != Slot(9) {
                    post_to_others(&mut pump, R3, &wire);
                }
            }
        }
    }
    for digests in [vec![], vec![digest; 257]] {
        assert_eq!(refused(R3, Wire::Claims { first: Slot(1), digests }), AuthError::Malformed);
    }
    assert_unharmed(&mut pump);
    let largest = pump.statuses().iter().map(|status| status.held_bytes).max();
    assert!(largest < Some(10_000));
}

#[test]
fn a_flood_of_well_formed_messages_holds_a_bounded_number_of_bytes() {
    let mut pump = pump();
    for round in 0..50u64 {
        for slot in 1..=20 {
            let flood = batch(round * 100 + slot, &[7; 500]);
            post_to_others(&mut pump, R0, &pre_prepare(0, slot, &flood));
            let lie = Wire::Prepare { view: View(0), slot: Slot(slot), digest: digest(&flood) };
            post_to_others(&mut pump, R3, &lie);
        }
        pump.settle();
    }
    for status in pump.statuses() {
        assert!(status.held_bytes <= 8 * 700, "{status:?}");
        assert!(status.last <= Slot(status.base.0 + 8));
    }
    pump.assert_agreement();
    let _ = replicas(4).map(|id| pump.replica(id).deadline()).collect::<Vec<_>>();
}

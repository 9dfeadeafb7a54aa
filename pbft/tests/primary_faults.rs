//! Faulty primaries and faulty clients.

mod common;

use std::time::Duration;

use common::*;
use quorate_pbft::{Pbft, Wire};
use quorate_smr::testing::{Pump, replicas};
use quorate_smr::{Batch, ClientId, Input, ReplicaId, Slot};

/// The primary says one thing to some and another to the rest.
fn equivocate(pump: &mut Pump<Pbft>, told_a: &[ReplicaId], told_b: &[ReplicaId]) {
    let (a, b) = (batch(901, b"a"), batch(902, b"b"));
    for to in told_a {
        post(pump, R0, *to, pre_prepare(0, 1, &a));
    }
    for to in told_b {
        post(pump, R0, *to, pre_prepare(0, 1, &b));
    }
    // Whatever helps each side: the primary commits to both.
    for (told, batch) in [(told_a, &a), (told_b, &b)] {
        for to in told {
            let (view, slot, digest) = (quorate_pbft::View(0), Slot(1), digest(batch));
            post(pump, R0, *to, Wire::Commit { view, slot, digest });
        }
    }
    pump.settle();
}

/// After the faulty primary goes silent, the others agree and serve requests.
fn assert_recovers(pump: &mut Pump<Pbft>) {
    pump.assert_agreement();
    pump.isolate(R0);
    pump.propose(R1, &[b"x"]);
    pump.propose(R2, &[b"y"]);
    let served = |pump: &Pump<Pbft>, id| {
        let payloads = pump.payloads(id);
        payloads.contains(&b"x".to_vec()) && payloads.contains(&b"y".to_vec())
    };
    advance_until(pump, |pump| [R1, R2, R3].iter().all(|id| served(pump, *id)));
    pump.assert_agreement();
}

#[test]
fn a_primary_that_equivocates_two_to_two_divides_nobody() {
    let mut pump = pump();
    equivocate(&mut pump, &[R1], &[R2]);
    assert!(replicas(4).all(|id| !pump.replica(id).is_prepared(Slot(1))));
    assert_recovers(&mut pump);
}

#[test]
fn a_primary_that_equivocates_three_to_one_divides_nobody() {
    let mut pump = pump();
    equivocate(&mut pump, &[R1, R2], &[R3]);
    assert!(pump.replica(R1).is_prepared(Slot(1)) && pump.replica(R2).is_prepared(Slot(1)));
    assert!(!pump.replica(R3).is_prepared(Slot(1)));
    assert_recovers(&mut pump);
    // What prepared at two honest replicas was kept.
    assert_eq!(pump.payloads(R3)[0], b"a");
}

#[test]
fn the_first_pre_prepare_for_a_slot_wins() {
    let mut pump = pump();
    let (first, second) = (batch(1, b"first"), batch(2, b"second"));
    for batch in [&first, &second] {
        post(&mut pump, R0, R1, pre_prepare(0, 1, batch));
    }
    pump.deliver_one();
    pump.deliver_one();
    assert_eq!(pump.replica(R1).assigned(Slot(1)), Some(digest(&first)));
    let prepares = pump
        .in_flight()
        .iter()
        .filter(|envelope| matches!(envelope.sealed.wire, Wire::Prepare { .. }));
    assert_eq!(prepares.count(), 3, "never two PREPAREs for one slot and view");
}

#[test]
fn only_the_primary_of_the_view_may_assign() {
    let mut pump = pump();
    post_to_others(&mut pump, R2, &pre_prepare(0, 1, &batch(1, b"usurped")));
    post_to_others(&mut pump, R1, &pre_prepare(1, 1, &batch(1, b"too early")));
    pump.settle();
    assert!(replicas(4).all(|id| pump.replica(id).assigned(Slot(1)).is_none()));
}

#[test]
fn a_request_that_the_primary_invented_is_prepared_by_nobody() {
    let mut pump = pump();
    let forgeries = [
        batch_with(1, b"pay me", |proof| proof.fill(0)),
        batch_with(2, b"pay me", |proof| proof.truncate(16)),
        batch_with(3, b"pay me", Vec::clear),
    ];
    for (slot, forged) in (1..).zip(&forgeries) {
        post_to_others(&mut pump, R0, &pre_prepare(0, slot, forged));
    }
    pump.settle();
    for id in [R1, R2, R3] {
        assert!((1..4).all(|slot| !pump.replica(id).is_prepared(Slot(slot))), "{id}");
        assert!(pump.replica(id).suspicion_deadline().is_some(), "{id} suspects the primary");
    }
    advance_until(&mut pump, |pump| pump.leader() == Some(R1));
    assert!(replicas(4).all(|id| pump.payloads(id).is_empty()));
}

#[test]
fn a_tag_that_is_right_for_the_primary_only_costs_a_view_and_no_more() {
    let mut pump = pump();
    let partial = batch_with(900, b"big mac", |proof| proof[16..].fill(0));
    post_to_others(&mut pump, R0, &pre_prepare(0, 1, &partial));
    pump.settle();
    assert!(replicas(4).all(|id| !pump.replica(id).is_prepared(Slot(1))));
    pump.propose(R1, &[b"honest"]);
    pump.propose(R2, &[b"too"]);
    advance_until(&mut pump, |pump| pump.payloads(R3).len() == 2);
    assert_eq!(pump.payloads(R3), [b"honest".to_vec(), b"too".to_vec()]);
}

#[test]
fn a_tag_that_is_right_for_the_primary_and_one_backup_is_enough() {
    // f + 1 replicas vouch for the client: one of them is honest (TOCS 2002 §3.2.2).
    let mut pump = pump();
    let partial = batch_with(900, b"partly", |proof| proof[32..].fill(0));
    let proposal = quorate_smr::Input::Propose { batch: partial };
    pump.input(R0, proposal);
    pump.settle();
    for id in replicas(4) {
        assert_eq!(pump.payloads(id), [b"partly"], "{id}");
        assert_eq!(pump.replica(id).view().0, 0, "no view change by a client");
    }
}

/// The client that proves its requests to some replicas only.
const POISONER: ClientId = ClientId(9);

/// Its request whose tag is right for `id` only.
fn proven_to_one(id: ReplicaId, seq: u64) -> Batch {
    batch_of(POISONER, seq, b"poison", |proof| {
        for (rank, tag) in proof.chunks_mut(16).enumerate() {
            if rank != usize::from(id.0) {
                tag.fill(0);
            }
        }
    })
}

#[test]
fn a_client_that_proves_its_requests_to_one_replica_each_does_not_stop_the_group() {
    let mut pump = pump();
    pump.isolate(R3);
    let (mut seq, mut asked) = (0, 0);
    // Every replica always has a request of this client that only it believes, whoever leads.
    for round in 0..60 {
        for id in [R0, R1, R2] {
            seq += 1;
            let batch = proven_to_one(id, seq);
            pump.input(id, Input::Propose { batch });
        }
        if round >= 30 {
            asked += 1;
            [R0, R1, R2].iter().for_each(|id| pump.propose(*id, &[b"honest"]));
        }
        pump.advance(Duration::from_secs(1));
    }
    pump.advance(LONG);
    let payloads = pump.payloads(R0);
    assert!(payloads.iter().all(|payload| payload == b"honest"));
    // Each request was made at three replicas; what a view took with it was not asked for again.
    assert!(payloads.len() >= 2 * asked, "{} of {} were executed", payloads.len(), 3 * asked);
}

#[test]
fn a_blamed_client_is_served_when_the_others_vouch_for_it() {
    let mut pump = pump();
    pump.input(R0, Input::Propose { batch: proven_to_one(R0, 1) });
    advance_until(&mut pump, |pump| pump.leader() == Some(R1));
    // Back to the first primary, which blames the client.
    for (silent, other) in [(R1, R2), (R2, R3), (R3, R1)] {
        pump.isolate(silent);
        pump.propose(other, &[b"go on"]);
        advance_until(&mut pump, |pump| pump.leader().is_some_and(|leader| leader != silent));
        pump.heal();
        pump.advance(Duration::from_secs(1));
    }
    assert_eq!(pump.leader(), Some(R0));
    let (view, before) = (pump.replica(R0).view(), pump.payloads(R2).len());
    let asked = |pump: &Pump<Pbft>| {
        let request = |wire: &Wire| matches!(wire, Wire::Request { .. });
        pump.in_flight().iter().filter(|it| it.from == R0 && request(&it.sealed.wire)).count()
    };
    let honest = batch_of(POISONER, 2, b"right for all", |_| ());
    pump.input(R0, Input::Propose { batch: honest });
    assert_eq!(asked(&pump), 3, "the others are asked whether they believe it");
    pump.settle();
    assert_eq!(pump.payloads(R2)[before..], [b"right for all".to_vec()]);
    pump.input(R0, Input::Propose { batch: proven_to_one(R0, 3) });
    pump.advance(LONG);
    assert_eq!(pump.replica(R0).view(), view, "what only the primary believes costs no view now");
}

#[test]
fn a_vouched_request_that_waited_since_an_earlier_view_is_ordered() {
    let mut pump = pump();
    pump.input(R0, Input::Propose { batch: proven_to_one(R0, 1) });
    advance_until(&mut pump, |pump| pump.leader() == Some(R1));
    for (silent, other) in [(R1, R2), (R2, R3), (R3, R1)] {
        if silent == R3 {
            // It waits at the replica that blames the client, which is the next primary.
            pump.cut(R0, R3);
            let batch = batch_of(POISONER, 2, b"right for all", |_| ());
            pump.input(R0, Input::Propose { batch });
            pump.settle();
        }
        pump.isolate(silent);
        pump.propose(other, &[b"go on"]);
        advance_until(&mut pump, |pump| pump.leader().is_some_and(|leader| leader != silent));
        pump.heal();
    }
    assert_eq!(pump.leader(), Some(R0));
    pump.advance(Duration::from_secs(1));
    // It asked when nobody was in its view yet; the client asks again.
    let batch = batch_of(POISONER, 2, b"right for all", |_| ());
    pump.input(R0, Input::Propose { batch });
    pump.settle();
    assert!(pump.payloads(R2).contains(&b"right for all".to_vec()));
}

#[test]
fn a_primary_that_serves_only_some_clients_is_replaced() {
    let mut pump = pump();
    // Replica 2's requests never reach the primary; everyone else's do, without end.
    pump.cut(R2, R0);
    pump.propose(R2, &[b"censored"]);
    pump.cut(R1, R0);
    pump.propose(R1, &[b"censored too"]);
    pump.settle();
    pump.heal();
    pump.cut(R2, R0);
    pump.cut(R1, R0);
    for _ in 0..100 {
        pump.propose(R0, &[b"favoured"]);
        pump.advance(Duration::from_millis(20));
    }
    assert!(pump.replica(R3).view().0 >= 1, "progress of others does not quiet the timer");
    assert!(pump.payloads(R3).contains(&b"censored".to_vec()));
}

#[test]
fn a_primary_that_skips_a_slot_is_replaced() {
    let mut pump = pump();
    post_to_others(&mut pump, R0, &pre_prepare(0, 2, &batch(1, b"after a gap")));
    pump.settle();
    assert!(pump.payloads(R1).is_empty(), "nothing is executed over a gap");
    pump.isolate(R0);
    advance_until(&mut pump, |pump| pump.leader() == Some(R1));
    assert_eq!(pump.payloads(R3), [b"after a gap"], "the gap was filled by a null request");
    pump.assert_agreement();
}

#[test]
fn a_body_withheld_from_one_is_fetched_by_its_digest() {
    let mut pump = pump();
    pump.propose(R0, &[b"body"]);
    pump.lose_where(|envelope| envelope.to == R3);
    pump.settle();
    assert!(pump.payloads(R3).is_empty());
    pump.cut(R0, R3);
    // A liar answers first, with another batch.
    let lie = batch(77, b"not it");
    let true_digest = digest(&pump.committed(R1)[0].1.clone());
    post(&mut pump, R2, R3, Wire::Body { slot: Slot(1), digest: true_digest, batch: lie.clone() });
    post(&mut pump, R2, R3, Wire::Body { slot: Slot(1), digest: digest(&lie), batch: lie });
    pump.advance(Duration::from_secs(1));
    assert_eq!(pump.payloads(R3), [b"body"]);
    assert_eq!(pump.replica(R3).view().0, 0);
}

//! View changes among honest replicas (OSDI 1999 §4.4, TOCS 2002 §4.5).

mod common;

use std::time::Duration;

use common::*;
use quorate_pbft::{Pbft, PbftConfig, Wire};
use quorate_smr::testing::{Pump, replicas};
use quorate_smr::{Input, Protocol, Role, Slot};

#[test]
fn a_mute_primary_is_replaced_and_its_backlog_served() {
    let mut pump = pump();
    pump.isolate(R0);
    pump.propose(R1, &[b"a"]);
    pump.propose(R2, &[b"b"]);
    advance_until(&mut pump, |pump| pump.payloads(R3).len() == 2);
    for id in [R1, R2, R3] {
        assert_eq!(pump.payloads(id), [b"a", b"b"], "{id}");
        assert_eq!(pump.replica(id).suspicion_deadline(), None, "nothing waits any more");
    }
    assert_eq!(pump.leader(), Some(R1));
    // The old primary follows once it can hear the others.
    pump.heal();
    advance_until(&mut pump, |pump| pump.payloads(R0).len() == 2);
    assert_eq!(views(&pump), [1; 4]);
    pump.assert_agreement();
}

#[test]
fn service_is_back_after_one_timeout_and_a_few_messages() {
    let mut pump = pump();
    pump.isolate(R0);
    pump.propose(R1, &[b"a"]);
    pump.advance(config().view_change_timeout - Duration::from_millis(1));
    assert_eq!(views(&pump), [0; 4]);
    pump.advance(Duration::from_millis(1));
    // Only one backup knew the request: one suspicion is not enough. It tells the others.
    assert_eq!(views(&pump), [0, 1, 0, 0]);
    assert_eq!(pump.payloads(R1), Vec::<Vec<u8>>::new());
    pump.advance(config().view_change_timeout + 2 * config().retransmit_interval);
    assert_eq!(pump.payloads(R3), [b"a"], "f + 1 suspicions are");
}

#[test]
fn a_replica_that_left_its_view_alone_still_gets_its_requests_executed() {
    let mut pump = pump();
    pump.cut(R1, R0);
    pump.propose(R1, &[b"a"]);
    pump.advance(Duration::from_secs(3));
    assert_eq!(views(&pump), [0, 1, 0, 0]);
    for id in replicas(4) {
        assert_eq!(pump.payloads(id), [b"a"], "{id}");
    }
}

#[test]
fn a_batch_committed_by_one_survives_views_0_to_3_with_silent_primaries() {
    // No retransmission: only the view changes can save it.
    let quiet = Duration::from_secs(1000);
    let config = PbftConfig { retransmit_interval: quiet, status_interval: quiet, ..config() };
    let mut pump: Pump<Pbft> = Pump::new(4, &config);
    pump.advance(Duration::ZERO);
    pump.propose(R0, &[b"precious"]);
    // All prepare; only replica 3 sees the commits.
    while pump.in_flight().iter().any(|e| !matches!(e.sealed.wire, Wire::Commit { .. })) {
        pump.deliver_one();
    }
    pump.lose_where(|envelope| envelope.to != R3);
    pump.settle();
    assert_eq!(pump.payloads(R3), [b"precious"]);
    // Replica 3 suspects the primary, too, because its request does not get there.
    pump.isolate(R1);
    pump.cut(R3, R0);
    pump.propose(R3, &[b"later"]);
    pump.settle();
    pump.heal();
    for (view, next_primary) in [(1, R1), (2, R2), (3, R3)] {
        pump.heal();
        pump.isolate(next_primary);
        advance_until(&mut pump, |pump| {
            replicas(4).filter(|id| *id != next_primary).all(|id| pump.replica(id).view().0 == view)
        });
        assert!(pump.statuses().iter().all(|status| status.leader.is_none() || status.epoch == 0));
        assert_eq!(pump.payloads(R0), Vec::<Vec<u8>>::new());
    }
    pump.heal();
    advance_until(&mut pump, |pump| pump.payloads(R2).len() == 2);
    assert_eq!(views(&pump)[..3], [4; 3]);
    for id in [R0, R1, R2] {
        assert_eq!(pump.payloads(id), [b"precious".to_vec(), b"later".to_vec()], "{id}");
    }
    pump.assert_agreement();
}

#[test]
fn a_primary_gives_up_a_view_in_which_it_gets_nothing_done() {
    // Found by the simulator: one replica committed and is content, one left the view, one is mute;
    // if the primary stayed, its slots would never commit, and no one else would leave.
    let mut pump = pump();
    pump.propose(R0, &[b"a"]);
    while pump.in_flight().iter().any(|e| !matches!(e.sealed.wire, Wire::Commit { .. })) {
        pump.deliver_one();
    }
    pump.lose_where(|envelope| envelope.to != R1);
    pump.settle();
    assert_eq!(pump.payloads(R1), [b"a"], "replica 1 is content");
    pump.isolate(R3);
    pump.isolate(R2);
    pump.advance(config().view_change_timeout + Duration::from_millis(100));
    assert!(pump.replica(R0).view().0 >= 1 && pump.replica(R2).view().0 >= 1);
    assert_eq!(pump.replica(R1).view().0, 0);
    pump.heal();
    pump.isolate(R3);
    advance_until(&mut pump, |pump| [R0, R1, R2].iter().all(|id| pump.payloads(*id).len() == 1));
    pump.assert_agreement();
}

#[test]
fn honest_replicas_in_neighbouring_views_meet_although_the_fourth_is_mute() {
    // Found by the simulator.
    let mut pump = pump();
    pump.isolate(R0);
    pump.isolate(R3);
    pump.propose(R1, &[b"a"]);
    pump.propose(R2, &[b"b"]);
    pump.advance(config().view_change_timeout);
    // The faulty replica's last words, to replica 2 alone, take it one view further.
    pump.heal();
    pump.isolate(R0);
    post(&mut pump, R3, R2, Wire::ViewChange(signed_change(empty_change(R3, 1))));
    pump.deliver_one();
    pump.isolate(R3);
    pump.advance(config().view_change_timeout);
    assert_eq!(views(&pump)[1..3], [1, 2]);
    pump.heal();
    pump.isolate(R3);
    advance_until(&mut pump, |pump| [R0, R1, R2].iter().all(|id| pump.payloads(*id).len() == 2));
    pump.assert_agreement();
}

#[test]
fn votes_for_slots_that_nobody_assigned_make_nobody_suspect_the_primary() {
    let mut pump = pump();
    for slot in 1..=8 {
        let (view, slot) = (quorate_pbft::View(0), Slot(slot));
        let noise = Wire::Prepare { view, slot, digest: quorate_smr::Digest([9; 32]) };
        post_to_others(&mut pump, R3, &noise);
    }
    pump.propose(R0, &[b"a"]);
    pump.settle();
    assert_eq!(pump.payloads(R1), [b"a"]);
    assert!(replicas(4).all(|id| pump.replica(id).suspicion_deadline().is_none()));
}

#[test]
fn what_nobody_prepared_gives_way() {
    let mut pump = pump();
    pump.propose(R0, &[b"unheard"]);
    pump.lose_where(|_| true);
    pump.isolate(R0);
    pump.propose(R1, &[b"a"]);
    pump.propose(R2, &[b"b"]);
    advance_until(&mut pump, |pump| pump.payloads(R3).len() == 2);
    pump.heal();
    // The old primary hands its own request to the new one.
    advance_until(&mut pump, |pump| pump.payloads(R3).len() == 3);
    assert_eq!(pump.payloads(R3)[2], b"unheard");
    pump.advance(Duration::from_secs(1));
    assert_eq!(pump.payloads(R0), pump.payloads(R3));
    pump.assert_agreement();
}

#[test]
fn a_request_is_executed_once_over_a_view_change() {
    let mut pump = pump();
    let again = pump.batch(&[b"once"]);
    for id in [R1, R2, R3] {
        pump.input(id, Input::Propose { batch: again.clone() });
    }
    // The primary orders it; nobody hears the commits of the others; then it goes silent.
    while pump.in_flight().iter().any(|e| !matches!(e.sealed.wire, Wire::Commit { .. })) {
        pump.deliver_one();
    }
    pump.lose_where(|_| true);
    pump.isolate(R0);
    pump.propose(R1, &[b"x"]);
    pump.propose(R2, &[b"y"]);
    advance_until(&mut pump, |pump| pump.payloads(R2).len() >= 3);
    for id in [R1, R2, R3] {
        pump.input(id, Input::Propose { batch: again.clone() });
    }
    pump.advance(Duration::from_secs(5));
    for id in [R1, R2, R3] {
        assert_eq!(pump.executor(id).commands(), 3, "applied once at {id}");
        assert_eq!(pump.replica(id).suspicion_deadline(), None);
    }
    assert_eq!(pump.replica(R1).view().0, 1, "a repetition is no reason for another view change");
    pump.assert_agreement();
}

#[test]
fn the_timeout_doubles_without_progress_up_to_its_limit_and_returns_to_base() {
    let config = PbftConfig { view_change_timeout_max: Duration::from_secs(4), ..config() };
    let mut pump: Pump<Pbft> = Pump::new(4, &config);
    pump.isolate(R0);
    pump.isolate(R1);
    pump.propose(R2, &[b"a"]);
    pump.propose(R3, &[b"b"]);
    // Two of four cannot even agree on a view: they wait, and the timer of the view stands still.
    pump.advance(Duration::from_secs(60));
    assert_eq!(pump.replica(R2).view().0, 1);
    assert_eq!(pump.replica(R2).suspicion_deadline(), None);
    // With a third the timer runs, and each silent primary takes twice as long.
    pump.heal();
    pump.isolate(R1);
    advance_until(&mut pump, |pump| !pump.payloads(R2).is_empty());
    assert_eq!(pump.replica(R2).suspicion_timeout(), config.view_change_timeout, "back to base");
}

#[test]
fn doubling_is_capped() {
    let config = PbftConfig { view_change_timeout_max: Duration::from_secs(4), ..config() };
    let mut pump: Pump<Pbft> = Pump::new(4, &config);
    // View changes reach everyone, nothing of a primary does: cut what primaries say, one by one.
    pump.propose(R1, &[b"a"]);
    pump.propose(R2, &[b"b"]);
    pump.lose_where(|_| true);
    let mut longest = Duration::ZERO;
    let mut seen = 0;
    for _ in 0..2000 {
        pump.heal();
        let view = replicas(4).map(|id| pump.replica(id).view().0).max().unwrap_or(0);
        let next =
            quorate_smr::ReplicaId(((view + u64::from(!pump.replica(R1).is_active())) % 4) as u8);
        for silent in [quorate_smr::ReplicaId((view % 4) as u8), next] {
            pump.isolate(silent);
        }
        pump.advance(Duration::from_millis(20));
        longest = longest.max(pump.replica(R2).suspicion_timeout());
        seen = seen.max(view);
    }
    assert!(longest <= Duration::from_secs(4) && seen >= 1, "{longest:?} {seen}");
}

#[test]
fn an_old_new_view_does_not_bring_an_old_view_back() {
    let mut pump = pump();
    pump.isolate(R0);
    pump.propose(R1, &[b"a"]);
    pump.propose(R2, &[b"b"]);
    advance_until(&mut pump, |pump| pump.leader() == Some(R1));
    pump.heal();
    advance_until(&mut pump, |pump| views(pump) == [1; 4]);
    // Capture the NEW-VIEW of view 1 as replica 1 would send it to one who lags.
    let report = quorate_pbft::StatusReport {
        view: quorate_pbft::View(0),
        changing: false,
        stable: Slot::ZERO,
        committed: Slot::ZERO,
        heard: quorate_smr::ReplicaSet::EMPTY,
    };
    pump.advance(Duration::from_secs(1));
    post(&mut pump, R3, R1, Wire::Status(report));
    pump.deliver_one();
    let old = pump.take_where(|envelope| matches!(envelope.sealed.wire, Wire::NewView(_)));
    assert_eq!(old.len(), 1);
    pump.isolate(R1);
    pump.propose(R3, &[b"c"]);
    pump.propose(R0, &[b"d"]);
    advance_until(&mut pump, |pump| pump.leader() == Some(R2));
    pump.heal();
    let before = views(&pump);
    for envelope in old {
        pump.post(envelope);
    }
    pump.settle();
    assert!(views(&pump).iter().zip(before).all(|(now, before)| *now >= before));
    assert_eq!(pump.replica(R3).status().role, Role::Follower);
}

#[test]
fn one_that_is_ahead_gets_the_votes_that_it_needs_to_help_those_behind() {
    // Replica 1 committed a slot that the others must commit again in the next view, in which one
    // replica is gone: they need its vote.
    let mut pump = pump();
    pump.propose(R0, &[b"ahead"]);
    for _ in 0..200 {
        pump.lose_where(|it| matches!(it.sealed.wire, Wire::Commit { .. }) && it.to != R1);
        if !pump.deliver_one() {
            break;
        }
    }
    assert_eq!([R1, R2, R3].map(|id| pump.payloads(id).len()), [1, 0, 0]);
    pump.isolate(R0);
    pump.propose(R2, &[b"next"]);
    pump.propose(R3, &[b"next"]);
    // The others' prepares for that slot never reach replica 1. It says that it committed the slot,
    // so nobody has a reason to repeat them but that its own vote is missing.
    pump.hold_disk(R2);
    pump.hold_disk(R3);
    pump.advance(Duration::from_millis(1500));
    for id in [R2, R3] {
        pump.sync(id);
        pump.hold_disk(id);
    }
    pump.settle();
    assert_eq!(pump.leader(), Some(R1), "the view is open, and their prepares wait for the disks");
    pump.cut(R2, R1);
    pump.cut(R3, R1);
    pump.sync(R2);
    pump.sync(R3);
    pump.settle();
    let prepared = [R1, R2, R3].map(|id| pump.replica(id).is_prepared(Slot(1)));
    assert_eq!(prepared, [false, true, true], "{:?}", pump.statuses());
    pump.heal();
    pump.isolate(R0);
    pump.advance(Duration::from_millis(900));
    assert_eq!(pump.replica(R2).view().0, 1, "within the same view");
    for id in [R1, R2, R3] {
        assert!(pump.payloads(id).len() >= 2, "{id}: {:?}", pump.statuses());
    }
    pump.assert_agreement();
}

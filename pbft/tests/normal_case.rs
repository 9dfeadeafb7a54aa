//! The normal case (Castro & Liskov, OSDI 1999, §4.2, figure 1).

use std::time::Duration;

use quorate_pbft::{Pbft, PbftConfig, Wire};
use quorate_smr::testing::{Pump, replicas};
use quorate_smr::{
    Admin, Batch, GroupId, Input, Protocol, ReadId, Reason, Refused, ReplicaId, Slot,
};

const PRIMARY: ReplicaId = ReplicaId(0);

fn pump() -> Pump<Pbft> {
    Pump::new(4, &PbftConfig::default())
}

/// How many messages of each kind of figure 1 are on their way.
fn in_flight(pump: &Pump<Pbft>) -> (usize, usize, usize) {
    let count = |is: fn(&Wire) -> bool| {
        pump.in_flight().iter().filter(|envelope| is(&envelope.sealed.wire)).count()
    };
    (
        count(|wire| matches!(wire, Wire::PrePrepare { .. })),
        count(|wire| matches!(wire, Wire::Prepare { .. })),
        count(|wire| matches!(wire, Wire::Commit { .. })),
    )
}

#[test]
fn figure_1_three_phases_and_no_other_message() {
    let mut pump = pump();
    pump.propose(PRIMARY, &[b"request"]);
    assert_eq!(in_flight(&pump), (3, 0, 0), "the primary multicasts one PRE-PREPARE");
    for _ in 0..3 {
        pump.deliver_one();
    }
    assert_eq!(in_flight(&pump), (0, 9, 0), "each backup multicasts one PREPARE");
    for _ in 0..9 {
        pump.deliver_one();
    }
    assert_eq!(in_flight(&pump), (0, 0, 12), "each replica multicasts one COMMIT");
    pump.settle();
    for id in replicas(4) {
        assert_eq!(pump.payloads(id), [b"request"], "{id}");
    }
    pump.assert_agreement();
}

#[test]
fn a_backup_passes_a_request_on_and_everyone_executes_it() {
    let mut pump = pump();
    pump.propose(ReplicaId(2), &[b"one", b"two"]);
    assert!(pump.replica(ReplicaId(2)).suspicion_deadline().is_some());
    pump.settle();
    for id in replicas(4) {
        assert_eq!(pump.payloads(id), [b"one", b"two"], "{id}");
        assert_eq!(pump.replica(id).suspicion_deadline(), None, "the timer stops when idle");
    }
}

/// Found by sharded load through backups: what the full queue had no room for was remembered
/// all the same, taken for known when it came again, and ordered only after a view change.
#[test]
fn what_a_full_queue_had_no_room_for_is_ordered_when_it_is_passed_on_again() {
    let config =
        PbftConfig { checkpoint_interval: 1, window: 2, queue_max: 1, ..PbftConfig::default() };
    let mut pump = Pump::<Pbft>::new(4, &config);
    let requests: Vec<Vec<u8>> = (0u8..8).map(|request| vec![request]).collect();
    for request in &requests {
        pump.propose(ReplicaId(2), &[request]);
    }
    pump.settle();
    assert!(pump.payloads(PRIMARY).len() < requests.len(), "the queue was too small for all");
    for _ in 0..8 {
        pump.advance(config.retransmit_interval);
        pump.settle();
    }
    for id in replicas(4) {
        let mut executed = pump.payloads(id);
        executed.sort();
        assert_eq!(executed, requests, "{id}");
        assert_eq!(pump.replica(id).status().epoch, 0, "nobody was suspected");
    }
}

#[test]
fn one_silent_backup_stops_nobody_two_stop_everybody() {
    let mut pump = pump();
    pump.isolate(ReplicaId(3));
    pump.propose(PRIMARY, &[b"with three"]);
    pump.settle();
    assert_eq!(pump.payloads(ReplicaId(1)), [b"with three"]);
    pump.isolate(ReplicaId(2));
    pump.propose(PRIMARY, &[b"with two"]);
    pump.settle();
    assert_eq!(pump.payloads(ReplicaId(1)), [b"with three"]);
}

#[test]
fn reads_and_operators_requests_are_refused_with_a_reason() {
    let mut pump = pump();
    pump.read(PRIMARY, ReadId(1));
    pump.input(PRIMARY, Input::Admin(Admin::TransferLeadership { to: ReplicaId(1) }));
    pump.input(PRIMARY, Input::Propose { batch: Batch::empty(GroupId(0)) });
    pump.input(PRIMARY, Input::Propose { batch: Batch::empty(GroupId(9)) });
    let reasons: Vec<Reason> = pump.refused(PRIMARY).iter().map(|(_, reason)| *reason).collect();
    assert_eq!(
        reasons,
        [Reason::Unsupported, Reason::Unsupported, Reason::Invalid, Reason::Invalid]
    );
    assert!(matches!(pump.refused(PRIMARY)[0].0, Refused::Read(ReadId(1))));
}

#[test]
fn lost_messages_are_sent_again() {
    let mut pump = pump();
    pump.propose(PRIMARY, &[b"lost"]);
    pump.lose_where(|_| true);
    pump.advance(Duration::from_millis(900));
    for id in replicas(4) {
        assert_eq!(pump.payloads(id), [b"lost"], "{id}");
        assert_eq!(pump.replica(id).status().epoch, 0, "no view change was needed");
    }
}

#[test]
fn a_vote_counts_only_when_its_record_is_durable() {
    let mut pump = pump();
    for id in replicas(4) {
        pump.hold_disk(id);
    }
    pump.propose(PRIMARY, &[b"request"]);
    assert!(pump.in_flight().is_empty(), "the PRE-PREPARE waits for the primary's disk");
    pump.sync(PRIMARY);
    pump.settle();
    assert!(!pump.replica(PRIMARY).is_prepared(Slot(1)), "no PREPARE leaves before its record");
    for id in replicas(4) {
        pump.sync(id);
    }
    pump.settle();
    assert_eq!(pump.payloads(PRIMARY), [b"request"]);
    assert_eq!(pump.journal(PRIMARY).len(), 2, "pre-prepared and prepared");
}

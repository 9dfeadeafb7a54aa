//! Leaders: duels, depositions, windows, handovers, lost messages.

use std::time::Duration;

use quorate_paxos::{FlexibleQuorums, Message, Paxos, PaxosConfig};
use quorate_smr::testing::{Pump, replicas};
use quorate_smr::{
    Admin, Input, Protocol, Reason, Refused, ReplicaSet, Role, Seed, Setup, Slot, Time,
};

use crate::{Solo, ballot, others, pump, r};

/// *Paxos Made Simple* §2.4: two proposers may outbid each other for ever. Here all three replicas
/// draw the same timeouts, so all stand at the same instant; that their rounds differ breaks the tie.
#[test]
fn duelling_proposers_resolve() {
    for seed in 0..50 {
        let setup = |id| Setup {
            seed: Seed(seed),
            ..Setup::new(r(id), 3, Seed(0), PaxosConfig::default())
        };
        let mut pump: Pump<Paxos> = Pump::with_setups((0..3).map(setup).collect());
        let first = pump.replica(r(0)).deadline();
        assert!(replicas(3).all(|id| pump.replica(id).deadline() == first), "all at once");
        let leader = pump.run_until_leader();
        pump.propose(leader, &[b"decided"]);
        pump.settle();
        assert!(replicas(3).all(|id| pump.payloads(id) == [b"decided"]), "seed {seed}");
        assert!(pump.now() < Time::ZERO.after(Duration::from_secs(2)), "seed {seed}");
    }
}

/// The same, message by message: who meets a higher ballot gives up, waits a random time, and then
/// bids above it.
#[test]
fn a_candidate_that_is_outbid_backs_off_and_then_bids_higher() {
    let mut solo = Solo::new(3, PaxosConfig::default());
    let first = solo.stand(3);
    let higher = ballot(first.round + 1, 1);
    solo.hear(r(2), Message::Refuse { promised: higher });
    assert_eq!(solo.replica.ballot(), None, "no longer a candidate");
    let wait = solo.replica.deadline().unwrap().since(solo.now);
    let config = PaxosConfig::default();
    assert!((config.election_timeout_min..config.election_timeout_max).contains(&wait));
    assert!(solo.stand(3) > higher);
}

/// A refusal that belongs to an earlier attempt changes nothing.
#[test]
fn an_old_refusal_does_not_stop_a_candidate() {
    let mut solo = Solo::new(3, PaxosConfig::default());
    let under = solo.stand(3);
    solo.hear(r(2), Message::Refuse { promised: ballot(0, 2) });
    assert_eq!(solo.replica.ballot(), Some(under));
}

/// *Paxos Made Simple* §2.2 P2: once its successor has a quorum of promises, the old leader decides
/// nothing any more.
#[test]
fn a_deposed_leader_cannot_decide() {
    let mut pump = pump(3);
    let old = pump.run_until_leader();
    pump.isolate(old);
    pump.advance(Duration::from_secs(1));
    let new = pump.run_until_leader();
    assert_ne!(old, new);
    pump.propose(new, &[b"new"]);
    pump.settle();
    pump.propose(old, &[b"old"]);
    pump.settle();
    assert!(pump.payloads(old).is_empty());
    pump.heal();
    pump.advance(Duration::from_millis(300));
    for id in replicas(3) {
        assert_eq!(pump.payloads(id), [b"new"], "{id}");
    }
    pump.assert_agreement();
}

/// Accepts that a deposed leader sent before it knew arrive late and are refused.
#[test]
fn late_accepts_of_a_deposed_leader_are_refused() {
    let mut pump = pump(3);
    let old = pump.run_until_leader();
    pump.propose(old, &[b"late"]);
    let late = pump.take_where(|envelope| matches!(envelope.sealed, Message::Accept { .. }));
    assert_eq!(late.len(), 2);
    pump.isolate(old);
    pump.advance(Duration::from_secs(1));
    let new = pump.run_until_leader();
    pump.propose(new, &[b"new"]);
    pump.settle();
    pump.heal();
    for envelope in late {
        pump.post(envelope);
    }
    pump.settle();
    pump.advance(Duration::from_secs(1));
    for id in replicas(3) {
        assert_eq!(pump.payloads(id), [b"new"], "{id}");
    }
    pump.assert_agreement();
}

#[test]
fn a_leader_without_a_quorum_steps_down_and_says_so() {
    let mut pump = pump(3);
    let leader = pump.run_until_leader();
    pump.isolate(leader);
    pump.advance(Duration::from_millis(400));
    assert_ne!(pump.replica(leader).status().role, Role::Leader);
    pump.propose(leader, &[b"refused"]);
    let (_, reason) = pump.refused(leader).last().unwrap();
    assert_eq!(*reason, Reason::NotLeader { leader: None });
}

/// A stalled disk does not stop the clock: heartbeats go on, and nothing is decided by the leader's
/// own acceptance before it is durable.
#[test]
fn a_leader_decides_beside_its_own_slow_disk() {
    let mut pump = pump(3);
    let leader = pump.run_until_leader();
    pump.hold_disk(leader);
    pump.propose(leader, &[b"two others are a quorum"]);
    pump.settle();
    assert_eq!(pump.payloads(leader).len(), 1);
    let [first, second] = others(3, leader)[..] else { panic!("two others") };
    pump.isolate(first);
    pump.propose(leader, &[b"needs the leader's own disk"]);
    pump.settle();
    assert_eq!(pump.payloads(leader).len(), 1, "one durable acceptance is no quorum");
    pump.sync(leader);
    pump.settle();
    assert_eq!(pump.payloads(leader).len(), 2);
    assert_eq!(pump.payloads(second).len(), 2);
}

#[test]
fn lost_accepts_and_acknowledgements_are_sent_again() {
    let mut pump = pump(3);
    let leader = pump.run_until_leader();
    pump.propose(leader, &[b"lost"]);
    pump.lose_where(|envelope| matches!(envelope.sealed, Message::Accept { .. }));
    pump.advance(Duration::from_millis(120));
    assert_eq!(pump.payloads(r(0)), [b"lost"]);
    pump.propose(leader, &[b"lost too"]);
    for _ in 0..2 {
        pump.deliver_one();
    }
    pump.lose_where(|envelope| matches!(envelope.sealed, Message::Accepted { .. }));
    pump.advance(Duration::from_millis(120));
    for id in replicas(3) {
        assert_eq!(pump.payloads(id).len(), 2, "{id}");
    }
}

#[test]
fn duplicated_and_reordered_messages_change_nothing() {
    let mut pump = pump(3);
    let leader = pump.run_until_leader();
    for index in 0..20u8 {
        pump.propose(leader, &[&[index]]);
    }
    let mut taken = pump.take_where(|_| true);
    taken.reverse();
    for envelope in taken {
        pump.post(envelope.clone());
        pump.post(envelope);
    }
    pump.advance(Duration::from_millis(200));
    let expected: Vec<Vec<u8>> = (0..20u8).map(|index| vec![index]).collect();
    for id in replicas(3) {
        assert_eq!(pump.payloads(id), expected, "{id}");
    }
}

#[test]
fn the_window_bounds_open_slots_and_bytes() {
    let config = PaxosConfig { window_slots_max: 4, ..PaxosConfig::default() };
    let mut pump: Pump<Paxos> = Pump::new(3, &config);
    let leader = pump.run_until_leader();
    for _ in 0..6 {
        pump.propose(leader, &[b"v"]);
    }
    let busy = pump.refused(leader).iter().filter(|(_, reason)| *reason == Reason::Busy).count();
    assert_eq!(busy, 2);
    pump.settle();
    assert_eq!(pump.payloads(leader).len(), 4);

    let config = PaxosConfig { window_bytes_max: 1000, ..PaxosConfig::default() };
    let mut pump: Pump<Paxos> = Pump::new(3, &config);
    let leader = pump.run_until_leader();
    pump.propose(leader, &[&[0; 4000]]);
    pump.propose(leader, &[b"small"]);
    assert_eq!(pump.refused(leader).len(), 1, "a large batch may be open, but alone");
    pump.settle();
    assert_eq!(pump.payloads(leader).len(), 1);
}

/// Howard, Malkhi, Spiegelman, *Flexible Paxos* (2016): four replicas, phase 2 quorums of two,
/// phase 1 quorums of three.
#[test]
fn flexible_quorums_decide_with_few_and_elect_with_many() {
    let quorums = Some(FlexibleQuorums { phase1: 3, phase2: 2 });
    let config = PaxosConfig { quorums, ..PaxosConfig::default() };
    let mut pump: Pump<Paxos> = Pump::new(4, &config);
    let leader = pump.run_until_leader();
    let rest = others(4, leader);
    pump.crash(rest[0]);
    pump.crash(rest[1]);
    pump.propose(leader, &[b"two of four"]);
    pump.settle();
    assert_eq!(pump.payloads(leader).len(), 1);
    pump.crash(leader);
    pump.restart(rest[0]);
    pump.advance(Duration::from_secs(5));
    let leading = pump.statuses().iter().filter(|status| status.role == Role::Leader).count();
    assert_eq!(leading, 0, "two of four elect nobody");
    pump.restart(rest[1]);
    pump.run_until_leader();
    assert!(rest.iter().all(|id| pump.payloads(*id) == [b"two of four"]));
}

#[test]
fn a_leader_hands_over_without_an_outage() {
    let mut pump = pump(3);
    let leader = pump.run_until_leader();
    let heir = others(3, leader)[1];
    pump.propose(leader, &[b"before"]);
    let before = pump.now();
    pump.input(leader, Input::Admin(Admin::TransferLeadership { to: heir }));
    pump.propose(leader, &[b"during"]);
    assert_eq!(pump.refused(leader).last().unwrap().1, Reason::Busy);
    pump.settle();
    assert_eq!(pump.leader(), Some(heir));
    assert_eq!(pump.now(), before, "no timeout was waited for");
    pump.propose(heir, &[b"after"]);
    pump.settle();
    assert_eq!(pump.payloads(leader), [b"before".to_vec(), b"after".to_vec()]);
}

#[test]
fn a_handover_to_a_dead_replica_is_given_up() {
    let mut pump = pump(3);
    let leader = pump.run_until_leader();
    let heir = others(3, leader)[0];
    pump.crash(heir);
    pump.input(leader, Input::Admin(Admin::TransferLeadership { to: heir }));
    pump.advance(Duration::from_millis(400));
    pump.propose(leader, &[b"v"]);
    pump.settle();
    assert_eq!(pump.payloads(leader), [b"v"]);
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let mut pump = pump(3);
    let leader = pump.run_until_leader();
    let to_stranger = Admin::TransferLeadership { to: r(9) };
    pump.input(leader, Input::Admin(to_stranger));
    let change = Admin::ChangeMembership { members: ReplicaSet::first(5) };
    pump.input(leader, Input::Admin(change));
    let foreign = quorate_smr::Batch::empty(quorate_smr::GroupId(8));
    pump.input(leader, Input::Propose { batch: foreign.clone() });
    assert_eq!(
        pump.refused(leader),
        [
            (Refused::Admin(to_stranger), Reason::Invalid),
            (Refused::Admin(change), Reason::Unsupported),
            (Refused::Proposal(foreign), Reason::Invalid),
        ]
    );
}

#[test]
fn a_round_names_its_leader() {
    let mut pump = pump(3);
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..15 {
        let leader = pump.run_until_leader();
        let status = pump.replica(leader).status();
        assert_eq!(*seen.entry(status.epoch).or_insert(leader), leader);
        pump.crash(leader);
        pump.run_until_leader();
        pump.restart(leader);
    }
    assert!(pump.replica(r(0)).decided() == Slot::ZERO, "elections alone decide nothing");
}

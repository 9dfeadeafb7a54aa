//! Partial connectivity: links fail one by one, so that replicas disagree about who is up.
//! The scenarios of Ng, Haridi, Carbone, *Omni-Paxos* (EuroSys 2023), and one-way variants.
//! Each demands progress: what is proposed after the fault is decided.

use std::time::Duration;

use quorate_paxos::Paxos;
use quorate_smr::testing::{Pump, replicas};
use quorate_smr::{Protocol, ReplicaId, Role};

use crate::{others, pump};

/// Cuts every link between `ids` in both directions, except those for which `keep` says so.
fn keep_links(pump: &mut Pump<Paxos>, count: usize, keep: impl Fn(ReplicaId, ReplicaId) -> bool) {
    for from in replicas(count) {
        for to in others(count, from) {
            if !keep(from, to) && !keep(to, from) {
                pump.cut(from, to);
            }
        }
    }
}

/// Proposes at whoever leads, every 10 ms for `ms`; how many of the steps decided something new at
/// the replica that got furthest.
fn steps_with_progress(pump: &mut Pump<Paxos>, ms: u64) -> usize {
    let mut progress = 0;
    let mut before = furthest(pump);
    for _ in 0..ms / 10 {
        let statuses = pump.statuses();
        let leaders: Vec<_> =
            statuses.iter().filter(|s| s.role == Role::Leader).map(|s| s.replica).collect();
        for leader in leaders {
            pump.propose(leader, &[b"v"]);
        }
        pump.advance(Duration::from_millis(10));
        let now = furthest(pump);
        progress += usize::from(now > before);
        before = now;
    }
    pump.assert_agreement();
    progress
}

fn furthest(pump: &Pump<Paxos>) -> u64 {
    pump.statuses().iter().map(|status| status.committed.0).max().unwrap_or(0)
}

fn leader_changes(pump: &mut Pump<Paxos>, ms: u64) -> usize {
    let mut changes = 0;
    let mut epoch = pump.statuses().iter().map(|s| s.epoch).max();
    for _ in 0..ms / 10 {
        pump.advance(Duration::from_millis(10));
        let now = pump.statuses().iter().map(|s| s.epoch).max();
        changes += usize::from(now != epoch);
        epoch = now;
    }
    changes
}

/// Five replicas; only A still sees a quorum, the leader keeps its link to A.
#[test]
fn quorum_loss_elects_the_one_that_sees_a_quorum() {
    let mut pump = pump(5);
    let leader = pump.run_until_leader();
    let hub = others(5, leader)[0];
    keep_links(&mut pump, 5, |a, b| a == hub || b == hub);
    assert!(steps_with_progress(&mut pump, 5_000) >= 350);
    assert_eq!(pump.replica(hub).status().role, Role::Leader);
}

/// The same, and A's log is behind everybody's: Raft cannot elect it, Paxos can.
#[test]
fn constrained_election_elects_a_replica_that_is_behind() {
    let mut pump = pump(5);
    let leader = pump.run_until_leader();
    let hub = others(5, leader)[0];
    pump.isolate(hub);
    for _ in 0..600 {
        pump.propose(leader, &[b"missed by the hub"]);
        pump.settle();
    }
    assert_eq!(pump.payloads(hub).len(), 0);
    pump.heal();
    keep_links(&mut pump, 5, |a, b| a == hub || b == hub);
    // The leader can still reach the hub; so that it cannot bring it up to date, it dies.
    pump.crash(leader);
    assert!(steps_with_progress(&mut pump, 5_000) >= 350);
    assert_eq!(pump.replica(hub).status().role, Role::Leader);
    assert!(pump.payloads(hub).len() > 600);
}

/// Three replicas in a chain, the leader at one end: the other end does not depose it, and is kept
/// up to date by the middle.
#[test]
fn a_chain_of_three_keeps_its_leader_and_its_far_end_learns() {
    let mut pump = pump(3);
    let leader = pump.run_until_leader();
    let far = others(3, leader)[0];
    pump.cut(leader, far);
    pump.cut(far, leader);
    assert_eq!(steps_with_progress(&mut pump, 5_000), 500);
    assert_eq!(pump.replica(leader).status().role, Role::Leader);
    let behind = pump.payloads(leader).len() - pump.payloads(far).len();
    assert!(behind <= 40, "the far end is {behind} slots behind");
}

/// Five replicas in a line, each reaching two to either side; the middle one or any other leads.
#[test]
fn a_line_of_five_with_reach_two_settles_on_one_leader() {
    for start in 0..5u8 {
        let mut pump = pump(5);
        let leader = pump.run_until_leader();
        // Rotate the line so that the leader stands at each position in turn.
        let place = |id: ReplicaId| {
            (i16::from(id.0) - i16::from(leader.0) + i16::from(start)).rem_euclid(5)
        };
        keep_links(&mut pump, 5, |a, b| (place(a) - place(b)).abs() <= 2);
        assert!(steps_with_progress(&mut pump, 5_000) >= 400, "leader at place {start}");
        assert!(leader_changes(&mut pump, 5_000) == 0, "leader at place {start}");
    }
}

#[test]
fn a_follower_that_hears_nothing_does_not_disturb() {
    let mut pump = pump(3);
    let leader = pump.run_until_leader();
    let deaf = others(3, leader)[0];
    for other in others(3, deaf) {
        pump.cut(other, deaf);
    }
    assert_eq!(steps_with_progress(&mut pump, 5_000), 500);
    assert_eq!(leader_changes(&mut pump, 5_000), 0);
    pump.heal();
    pump.advance(Duration::from_secs(1));
    assert_eq!(pump.replica(leader).status().role, Role::Leader);
    assert_eq!(pump.payloads(deaf), pump.payloads(leader));
}

#[test]
fn a_leader_that_hears_nothing_is_replaced() {
    let mut pump = pump(3);
    let leader = pump.run_until_leader();
    for other in others(3, leader) {
        pump.cut(other, leader);
    }
    assert!(steps_with_progress(&mut pump, 5_000) >= 380);
    assert_ne!(pump.replica(leader).status().role, Role::Leader);
}

#[test]
fn a_leader_that_nobody_hears_is_replaced() {
    let mut pump = pump(3);
    let leader = pump.run_until_leader();
    for other in others(3, leader) {
        pump.cut(leader, other);
    }
    assert!(steps_with_progress(&mut pump, 5_000) >= 400);
    assert_ne!(pump.replica(leader).status().role, Role::Leader);
}

/// A replica that has just started may have a leader that it has not heard yet; it does not vouch
/// for there being none.
#[test]
fn a_middle_that_restarts_does_not_help_the_far_end_to_depose_the_leader() {
    let mut pump = pump(3);
    let leader = pump.run_until_leader();
    let [middle, far] = others(3, leader)[..] else { panic!("two others") };
    pump.cut(leader, far);
    pump.cut(far, leader);
    let epoch = pump.replica(leader).status().epoch;
    for _ in 0..50 {
        pump.advance(Duration::from_millis(97));
        pump.crash(middle);
        pump.restart(middle);
    }
    pump.advance(Duration::from_millis(100));
    assert_eq!(pump.replica(leader).status().epoch, epoch);
    assert_eq!(pump.replica(leader).status().role, Role::Leader);
}

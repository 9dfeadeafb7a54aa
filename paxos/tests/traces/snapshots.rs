//! Snapshots: the log stays short, and those who fell behind it get the snapshot.
//! *Paxos Made Live* §5.5.

use std::time::Duration;

use quorate_paxos::{Paxos, PaxosConfig, Record};
use quorate_smr::testing::{Pump, replicas};
use quorate_smr::{Protocol, Slot};

use crate::others;

fn config() -> PaxosConfig {
    PaxosConfig { snapshot_interval: 10, retained_slots_max: 4, ..PaxosConfig::default() }
}

fn fill(pump: &mut Pump<Paxos>, slots: u32) {
    let leader = pump.run_until_leader();
    for index in 0..slots {
        pump.propose(leader, &[&index.to_le_bytes()]);
        pump.settle();
    }
}

#[test]
fn the_log_and_the_journal_stay_short() {
    let mut pump: Pump<Paxos> = Pump::new(3, &config());
    fill(&mut pump, 105);
    for id in replicas(3) {
        let status = pump.replica(id).status();
        assert_eq!((status.base, status.committed), (Slot(100), Slot(105)));
        assert!(pump.replica(id).accepted().count() <= 10 + 4, "{id}");
        let journal = pump.journal(id);
        assert!(matches!(journal[0], Record::Base { slot: Slot(100), .. }));
        assert!(journal.len() < 25);
        assert!(status.held_bytes <= status.held_bytes_max);
    }
}

#[test]
fn a_replica_behind_the_log_gets_the_snapshot() {
    let mut pump: Pump<Paxos> = Pump::new(3, &config());
    let leader = pump.run_until_leader();
    let late = others(3, leader)[0];
    pump.isolate(late);
    fill(&mut pump, 57);
    pump.heal();
    pump.advance(Duration::from_secs(1));
    assert_eq!(pump.replica(late).status().committed, Slot(57));
    assert_eq!(pump.committed(late).first().unwrap().0, Slot(51), "commits follow the snapshot");
    assert_eq!(pump.executor(late).snapshot().0, pump.executor(leader).snapshot().0);
}

#[test]
fn a_replica_slightly_behind_needs_no_snapshot() {
    let mut pump: Pump<Paxos> = Pump::new(3, &config());
    fill(&mut pump, 8);
    let leader = pump.run_until_leader();
    let late = others(3, leader)[0];
    pump.isolate(late);
    fill(&mut pump, 3);
    pump.heal();
    pump.advance(Duration::from_millis(200));
    assert_eq!(pump.committed(late).first().unwrap().0, Slot(1), "nothing was installed");
    assert_eq!(pump.replica(late).status().committed, Slot(11));
}

#[test]
fn every_replica_restarts_from_its_snapshot() {
    let mut pump: Pump<Paxos> = Pump::new(3, &config());
    fill(&mut pump, 33);
    let before: Vec<_> = replicas(3).map(|id| pump.executor(id).snapshot().0).collect();
    let promised: Vec<_> = replicas(3).map(|id| pump.replica(id).promised()).collect();
    for id in replicas(3) {
        pump.crash(id);
    }
    for id in replicas(3) {
        pump.restart(id);
        assert!(pump.replica(id).promised() >= promised[id.0 as usize], "promises survive");
    }
    fill(&mut pump, 1);
    pump.advance(Duration::from_millis(200));
    for id in replicas(3) {
        assert_eq!(pump.replica(id).status().committed, Slot(34), "{id}");
        assert_eq!(pump.replica(id).status().base, Slot(30), "{id}");
        assert_ne!(pump.executor(id).snapshot().0, before[id.0 as usize]);
    }
    pump.assert_agreement();
}

/// What an acceptor accepted above a snapshot must survive taking it: others may count on it.
#[test]
fn open_acceptances_survive_a_snapshot_and_a_crash() {
    let mut pump: Pump<Paxos> = Pump::new(3, &config());
    fill(&mut pump, 9);
    let leader = pump.run_until_leader();
    let heir = others(3, leader)[0];
    let other = others(3, leader)[1];
    pump.propose(leader, &[b"ten"]);
    while pump.replica(leader).decided() < Slot(10) {
        pump.deliver_one();
    }
    pump.lose_where(|_| true);
    // The accept of slot 11 brings the news of slot 10, which makes a snapshot due.
    pump.propose(leader, &[b"eleven"]);
    pump.lose_where(|envelope| envelope.to == other);
    pump.deliver_one();
    pump.lose_where(|_| true);
    assert_eq!(pump.replica(heir).status().base, Slot(10));
    assert!(matches!(
        pump.journal(heir),
        [
            Record::Base { slot: Slot(10), .. },
            Record::Accepted { slot: Slot(11), .. },
            Record::Decided { upto: Slot(10) },
        ]
    ));
    pump.crash(leader);
    pump.crash(heir);
    pump.restart(heir);
    pump.run_until_leader();
    pump.advance(Duration::from_millis(300));
    assert_eq!(pump.payloads(heir), [b"eleven"]);
    assert_eq!(pump.payloads(other).last().unwrap(), b"eleven");
}

/// Bytes, too, force a snapshot: the log never blocks for ever.
#[test]
fn a_full_log_is_relieved_by_a_snapshot() {
    let config = PaxosConfig {
        log_bytes_max: 64 << 10,
        window_bytes_max: 16 << 10,
        snapshot_interval: u64::MAX,
        ..PaxosConfig::default()
    };
    let mut pump: Pump<Paxos> = Pump::new(3, &config);
    let leader = pump.run_until_leader();
    for _ in 0..200 {
        pump.propose(leader, &[&[0; 2000]]);
        pump.settle();
        for status in pump.statuses() {
            assert!(status.held_bytes <= status.held_bytes_max / 2);
        }
    }
    assert_eq!(pump.payloads(leader).len(), 200);
}

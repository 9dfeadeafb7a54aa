//! Random schedules: any interleaving of deliveries, losses, duplicates, crashes, stalled disks and
//! passing time keeps agreement; once the faults end, everything accepted by a leader that stays is
//! decided. (Heavier faults belong to the simulator.)

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use quorate_paxos::{Ballot, Paxos, PaxosConfig};
use quorate_smr::testing::{Pump, replicas};
use quorate_smr::{Batch, ReadId, ReplicaId, Role, Slot};

use crate::r;

#[derive(Clone, Debug)]
enum Step {
    Deliver(u8),
    Lose(u8),
    Duplicate(u8),
    Postpone(u8),
    /// Proposes this many batches at whoever believes to lead.
    Propose(u8),
    Read(u8),
    Crash(u8),
    Restart(u8),
    HoldDisk(u8),
    Sync(u8),
    Cut(u8, u8),
    Heal,
    /// Passes time for one replica's deadline without delivering anything.
    Pass(u8),
}

fn step(count: u8) -> impl Strategy<Value = Step> {
    let id = 0..count;
    prop_oneof![
        30 => (1u8..12).prop_map(Step::Deliver),
        4 => (0u8..40).prop_map(Step::Lose),
        3 => (0u8..40).prop_map(Step::Duplicate),
        6 => (0u8..40).prop_map(Step::Postpone),
        14 => (1u8..5).prop_map(Step::Propose),
        2 => id.clone().prop_map(Step::Read),
        2 => id.clone().prop_map(Step::Crash),
        3 => id.clone().prop_map(Step::Restart),
        2 => id.clone().prop_map(Step::HoldDisk),
        4 => id.clone().prop_map(Step::Sync),
        2 => (id.clone(), id).prop_map(|(from, to)| Step::Cut(from, to)),
        1 => Just(Step::Heal),
        6 => (1u8..12).prop_map(Step::Pass),
    ]
}

/// A pump with the bookkeeping that the properties need.
struct World {
    pump: Pump<Paxos>,
    count: u8,
    up: Vec<bool>,
    next: u64,
    decided: BTreeMap<Slot, Batch>,
    proposed: BTreeMap<(Ballot, Slot), Batch>,
}

impl World {
    fn new(count: u8, config: &PaxosConfig) -> Self {
        let mut pump = Pump::new(count as usize, config);
        pump.run_until_leader();
        let up = vec![true; count as usize];
        Self { pump, count, up, next: 0, decided: BTreeMap::new(), proposed: BTreeMap::new() }
    }

    fn running(&self) -> impl Iterator<Item = ReplicaId> {
        let up = self.up.clone();
        replicas(self.count as usize).filter(move |id| up[id.0 as usize])
    }

    fn take(&mut self, step: &Step) {
        let nth = |index: u8, pump: &mut Pump<Paxos>| {
            let mut at = 0usize;
            let wanted = index as usize;
            pump.take_where(|_| {
                at += 1;
                at == wanted + 1
            })
        };
        match *step {
            Step::Deliver(count) => {
                for _ in 0..count {
                    self.pump.deliver_one();
                    self.check();
                }
            }
            Step::Lose(index) => drop(nth(index, &mut self.pump)),
            Step::Duplicate(index) => {
                for envelope in nth(index, &mut self.pump) {
                    self.pump.post(envelope.clone());
                    self.pump.post(envelope);
                }
            }
            Step::Postpone(index) => {
                for envelope in nth(index, &mut self.pump) {
                    self.pump.post(envelope);
                }
            }
            Step::Propose(count) => {
                for leader in self.leaders() {
                    (0..count).for_each(|_| self.propose(leader));
                }
            }
            Step::Read(id) => {
                self.next += 1;
                self.pump.read(r(id), ReadId(self.next));
            }
            Step::Crash(id) => {
                self.pump.crash(r(id));
                self.up[id as usize] = false;
            }
            Step::Restart(id) => self.restart(id),
            Step::HoldDisk(id) => self.pump.hold_disk(r(id)),
            Step::Sync(id) => self.pump.sync(r(id)),
            Step::Cut(from, to) => self.pump.cut(r(from), r(to)),
            Step::Heal => self.pump.heal(),
            Step::Pass(count) => self.pass(count),
        }
        self.check();
    }

    fn leaders(&self) -> Vec<ReplicaId> {
        let statuses = self.pump.statuses();
        let leaders = statuses.iter().filter(|status| status.role == Role::Leader);
        leaders.map(|status| status.replica).collect()
    }

    fn propose(&mut self, at: ReplicaId) {
        self.next += 1;
        let payload = self.next.to_le_bytes();
        self.pump.propose(at, &[&payload]);
    }

    fn restart(&mut self, id: u8) {
        if !self.up[id as usize] {
            self.up[id as usize] = true;
            self.pump.restart(r(id));
        }
    }

    /// Lets `count` deadlines come, delivering a few messages between them.
    fn pass(&mut self, count: u8) {
        for index in 0..count {
            let held = self.pump.take_where(|_| true);
            self.pump.advance(Duration::from_millis(u64::from(index) + 3));
            for envelope in held {
                self.pump.post(envelope);
            }
        }
    }

    /// One value for each slot, for all time; one value for each (ballot, slot); bounded memory.
    fn check(&mut self) {
        for id in self.running().collect::<Vec<_>>() {
            for (slot, batch) in self.pump.committed(id) {
                let first = self.decided.entry(*slot).or_insert_with(|| batch.clone());
                assert_eq!(first, batch, "{slot} was decided twice");
            }
            for (slot, ballot, batch) in self.pump.replica(id).accepted() {
                if ballot > Ballot::ZERO {
                    let key = (ballot, slot);
                    let first = self.proposed.entry(key).or_insert_with(|| batch.clone());
                    assert_eq!(first, batch, "two values under {ballot} at {slot}");
                }
            }
        }
        let mut leaders = BTreeMap::new();
        for status in self.pump.statuses() {
            assert!(status.held_bytes <= status.held_bytes_max);
            if status.role == Role::Leader {
                let other = leaders.insert(status.epoch, status.replica);
                assert_eq!(other, None, "two leaders in one epoch");
            }
        }
    }

    /// All faults end; demands progress.
    fn finish(&mut self) {
        self.pump.heal();
        for id in 0..self.count {
            self.restart(id);
            self.pump.sync(r(id));
        }
        self.pump.advance(Duration::from_secs(3));
        let leader = self.pump.run_until_leader();
        self.propose(leader);
        let last = self.next.to_le_bytes().to_vec();
        self.pump.advance(Duration::from_secs(3));
        self.check();
        for id in self.running().collect::<Vec<_>>() {
            let committed = self.pump.replica(id).decided();
            assert_eq!(committed, self.pump.replica(leader).decided(), "{id} caught up");
        }
        assert!(self.pump.payloads(leader).contains(&last), "progress after the faults");
    }
}

fn small() -> PaxosConfig {
    PaxosConfig {
        snapshot_interval: 6,
        retained_slots_max: 2,
        page_slots_max: 2,
        window_slots_max: 8,
        snapshot_retry: Duration::from_millis(300),
        ..PaxosConfig::default()
    }
}

proptest! {
    #[test]
    fn three_replicas_agree_whatever_happens(
        steps in proptest::collection::vec(step(3), 0..250),
        small_limits in any::<bool>(),
    ) {
        let config = if small_limits { small() } else { PaxosConfig::default() };
        let mut world = World::new(3, &config);
        for step in &steps {
            world.take(step);
        }
        world.finish();
    }

    #[test]
    fn five_replicas_agree_whatever_happens(
        steps in proptest::collection::vec(step(5), 0..250),
        small_limits in any::<bool>(),
    ) {
        let config = if small_limits { small() } else { PaxosConfig::default() };
        let mut world = World::new(5, &config);
        for step in &steps {
            world.take(step);
        }
        world.finish();
    }
}

/// The checks above are themselves checked: defects that break agreement are found.
#[cfg(feature = "planted-defects")]
#[test]
fn random_schedules_find_planted_defects() {
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    use quorate_paxos::Defect;

    for defect in [
        Defect::AcceptBelowPromise,
        Defect::AcknowledgeBeforeDurable,
        Defect::IgnoreLowerBallotValue,
        Defect::DecideBelowQuorum,
        Defect::LearnFromAnyBallot,
    ] {
        let config = PaxosConfig { defect: Some(defect), ..small() };
        let settings = Config {
            cases: 20_000,
            failure_persistence: None,
            max_shrink_iters: 0,
            ..Config::default()
        };
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(settings, rng);
        let steps = proptest::collection::vec(step(3), 0..250);
        let found = runner.run(&steps, |steps| {
            let mut world = World::new(3, &config);
            for step in &steps {
                world.take(step);
            }
            Ok(())
        });
        let message = format!("{:?}", found.expect_err("the defect is found"));
        println!("{defect:?}: {}", &message[..message.len().min(120)]);
        assert!(message.contains("decided twice") || message.contains("two values"), "{message}");
    }
}

//! Random schedules: delivery in any order, loss, duplication, cuts, crashes; agreement always,
//! and progress once the network heals. (Longer runs, with Byzantine replicas, are the
//! simulator's.)

mod common;

use std::time::Duration;

use common::*;
use proptest::prelude::*;
use quorate_pbft::{Pbft, PbftConfig};
use quorate_smr::testing::{Pump, replicas};
use quorate_smr::{Protocol, ReplicaId};

#[derive(Clone, Debug)]
enum Step {
    Propose(u8),
    Deliver(u8),
    DeliverAny(usize),
    Lose(usize),
    Duplicate(usize),
    Advance(u16),
    Crash(u8),
    Restart,
    Isolate(u8),
    Heal,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..4).prop_map(Step::Propose),
        6 => (1u8..30).prop_map(Step::Deliver),
        6 => any::<usize>().prop_map(Step::DeliverAny),
        3 => any::<usize>().prop_map(Step::Lose),
        2 => any::<usize>().prop_map(Step::Duplicate),
        2 => (1u16..1500).prop_map(Step::Advance),
        1 => (0u8..4).prop_map(Step::Crash),
        2 => Just(Step::Restart),
        1 => (0u8..4).prop_map(Step::Isolate),
        1 => Just(Step::Heal),
    ]
}

struct World {
    pump: Pump<Pbft>,
    down: Option<ReplicaId>,
    proposed: usize,
}

impl World {
    fn take(&mut self, index: usize) -> Option<quorate_smr::testing::InFlight<Pbft>> {
        let count = self.pump.in_flight().len();
        let wanted = index.checked_rem(count)?;
        let mut at = 0;
        let mut taken = self.pump.take_where(|_| {
            at += 1;
            at == wanted + 1
        });
        taken.pop()
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Propose(at) if self.down != Some(ReplicaId(*at)) => {
                self.proposed += 1;
                self.pump.propose(ReplicaId(*at), &[format!("{}", self.proposed).as_bytes()]);
            }
            Step::Propose(_) => {}
            Step::Deliver(count) => (0..*count).for_each(|_| {
                self.pump.deliver_one();
            }),
            Step::DeliverAny(index) => {
                // To the back of the queue: everything else overtakes it.
                if let Some(envelope) = self.take(*index) {
                    self.pump.post(envelope);
                }
            }
            Step::Lose(index) => drop(self.take(*index)),
            Step::Duplicate(index) => {
                if let Some(envelope) = self.take(*index) {
                    self.pump.post(envelope.clone());
                    self.pump.post(envelope);
                }
            }
            Step::Advance(millis) => self.pump.advance(Duration::from_millis((*millis).into())),
            Step::Crash(id) if self.down.is_none() => {
                self.down = Some(ReplicaId(*id));
                self.pump.crash(ReplicaId(*id));
            }
            Step::Crash(_) => {}
            Step::Restart => self.restart(),
            Step::Isolate(id) => self.pump.isolate(ReplicaId(*id)),
            Step::Heal => self.pump.heal(),
        }
    }

    fn restart(&mut self) {
        if let Some(id) = self.down.take() {
            self.pump.restart(id);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn replicas_agree_under_any_schedule_and_go_on_when_it_ends(
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let config = PbftConfig { clients_max: 16, ..config() };
        let mut world = World { pump: Pump::new(4, &config), down: None, proposed: 0 };
        for step in &steps {
            world.run(step);
            world.pump.assert_agreement();
            for status in world.pump.statuses() {
                prop_assert!(status.held_bytes <= status.held_bytes_max);
            }
        }
        world.restart();
        world.pump.heal();
        let pump = &mut world.pump;
        // Enough for every suspicion, doubled a few times, to run out.
        pump.advance(Duration::from_secs(100));
        for id in replicas(4) {
            pump.propose(id, &[b"the last"]);
        }
        pump.advance(Duration::from_secs(100));
        pump.assert_agreement();
        let digests: Vec<_> = replicas(4).map(|id| pump.executor(id).state_digest()).collect();
        prop_assert!(digests.iter().all(|digest| *digest == digests[0]), "{:#?}", pump.statuses());
        prop_assert!(replicas(4).all(|id| pump.executor(id).applied().0 >= 4), "{:#?}", pump.statuses());
        prop_assert!(replicas(4).all(|id| pump.replica(id).suspicion_deadline().is_none()));
    }

    #[test]
    fn the_same_inputs_give_the_same_replicas(steps in proptest::collection::vec(step(), 1..60)) {
        let config = PbftConfig { clients_max: 16, ..config() };
        let run = || {
            let mut world = World { pump: Pump::new(4, &config), down: None, proposed: 0 };
            steps.iter().for_each(|step| world.run(step));
            world.restart();
            replicas(4).map(|id| world.pump.replica(id).clone()).collect::<Vec<Pbft>>()
        };
        let (one, two) = (run(), run());
        prop_assert_eq!(&one, &two);
        prop_assert!(one.iter().zip(&two).all(|(a, b)| a.deadline() == b.deadline()));
    }
}

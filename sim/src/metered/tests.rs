//! What a metered run costs and when, on plans small enough to be calculated by hand.

use bytes::Bytes;
use quorate_mq::batcher::BatchPolicy;
use quorate_mq::compress::CompressionPolicy;
use quorate_paxos::Paxos;
use quorate_pbft::{Pbft, PbftConfig};
use quorate_raft::{Raft, RaftConfig};

use super::*;

fn pbft() -> PbftConfig {
    PbftConfig { clients_max: 8, ..PbftConfig::default() }
}

fn window(batches: usize) -> BatchPolicy {
    BatchPolicy::single().with_window(batches, 1 << 30).unwrap()
}

fn verified(outcome: Outcome) -> Outcome {
    assert_eq!(outcome.proof, Ok(()));
    assert!(outcome.commands > 0);
    outcome
}

#[test]
fn every_protocol_serves_and_the_same_seed_gives_the_same_outcome() {
    let mut plan = Plan::new(4, 1_000_000, 16);
    plan.distances.jitter_ns = 100_000;
    let raft = || verified(run::<Raft>(&RaftConfig::default(), &plan, 7));
    let paxos = || verified(run::<Paxos>(&Default::default(), &plan, 7));
    let pbft = || verified(run::<Pbft>(&pbft(), &plan, 7));
    assert_eq!(raft(), raft());
    assert_eq!(paxos(), paxos());
    assert_eq!(pbft(), pbft());
    assert_ne!(raft(), run::<Raft>(&RaftConfig::default(), &plan, 8));
}

#[test]
fn throughput_is_window_over_round_trip_where_nothing_else_limits() {
    for batches in [1, 2, 8] {
        let mut plan = Plan::new(3, 10_000_000, 64);
        plan.batching = window(batches);
        plan.measured_ns = 1_000_000_000;
        let outcome = verified(run::<Raft>(&RaftConfig::default(), &plan, 1));
        let expected = 100 * batches as u64;
        assert!(outcome.commands.abs_diff(expected) <= batches as u64, "{}", outcome.commands);
    }
}

#[test]
fn throughput_is_one_over_the_cost_where_the_core_limits() {
    let mut plan = Plan::new(3, 100_000, 512);
    plan.costs.apply.fixed_ps = 10_000_000;
    plan.measured_ns = 500_000_000;
    let outcome = verified(run::<Raft>(&RaftConfig::default(), &plan, 1));
    // 10 µs each: 50,000 in half a second, less the moments in which all wait for answers.
    assert!((45_000..=50_512).contains(&outcome.commands), "{}", outcome.commands);
    assert!(outcome.busy_ppm[0] > 900_000, "{:?}", outcome.busy_ppm);
}

#[test]
fn a_narrow_link_limits_to_its_bytes_over_the_copies_and_compression_widens_it() {
    let mut plan = Plan::new(3, 100_000, 512);
    plan.payloads = vec![Bytes::from(vec![b'a'; 1000])];
    plan.byte_ps = 80_000; // 100 Mbit/s
    plan.measured_ns = 1_000_000_000;
    plan.warm_up_ns = 100_000_000;
    let off = verified(run::<Raft>(&RaftConfig::default(), &plan, 1));
    // 12.5 MB/s, two copies of about 1,030 bytes each: 6,000, give or take a window.
    assert!((5_400..=6_600).contains(&off.commands), "{}", off.commands);
    plan.compression = CompressionPolicy::Always;
    let on = verified(run::<Raft>(&RaftConfig::default(), &plan, 1));
    assert!(on.commands > 5 * off.commands, "{} against {}", on.commands, off.commands);
    assert!(on.batches.sealed_bytes * 10 < on.batches.raw_bytes);
}

#[test]
fn compressing_costs_what_it_is_said_to_cost_also_in_vain() {
    let noise: Vec<u8> =
        (0..4000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut plan = Plan::new(3, 100_000, 64);
    plan.payloads = vec![noise.into()];
    plan.costs.compress_byte_ps = 100_000;
    plan.measured_ns = 1_000_000_000;
    let busy = |policy| {
        let plan = Plan { compression: policy, ..plan.clone() };
        verified(run::<Raft>(&RaftConfig::default(), &plan, 1)).busy_ppm[0]
    };
    assert_eq!(busy(CompressionPolicy::Off), 0);
    assert!(busy(CompressionPolicy::Always) > 900_000);
}

#[test]
fn clients_far_from_the_leader_wait_longer() {
    let mut plan = Plan::new(3, 0, 1);
    let ms = MS;
    plan.distances.one_way_ns = vec![
        vec![ms / 10, 20 * ms, 50 * ms],
        vec![20 * ms, ms / 10, 60 * ms],
        vec![50 * ms, 60 * ms, ms / 10],
    ];
    plan.hosts = vec![0, 1, 2];
    plan.clients = (0..3).map(|place| ClientPlan { place, group: 0, window: 1 }).collect();
    plan.measured_ns = 1_000 * ms;
    let outcome = verified(run::<Raft>(&RaftConfig::default(), &plan, 1));
    let median: Vec<u64> =
        outcome.latencies_ns.iter().map(|of_place| of_place[of_place.len() / 2]).collect();
    // To the leader and back, and a round trip to the nearer follower.
    assert_eq!(median, [40 * ms + ms / 5, 80 * ms, 140 * ms]);
}

#[test]
fn many_groups_share_their_hosts_and_are_led_in_turn() {
    let mut plan = Plan::new(3, 1_000_000, 4);
    plan.groups = 9;
    plan.clients = (0..9).map(|group| ClientPlan { place: 0, group, window: 4 }).collect();
    plan.costs.apply.fixed_ps = 1_000_000;
    let outcome = verified(run::<Raft>(&RaftConfig::default(), &plan, 1));
    let (least, most) = (outcome.busy_ppm.iter().min(), outcome.busy_ppm.iter().max());
    assert!(least > Some(&0) && least == most, "{:?}", outcome.busy_ppm);
}

#[test]
fn a_recorded_run_can_be_done_again_input_by_input() {
    let tape = record::<Raft>(&RaftConfig::default(), &Plan::new(3, 1_000_000, 4), 1).unwrap();
    assert!(!tape.said.is_empty());
    for heard in tape.heard {
        let recovered = quorate_smr::Recovered::default();
        let mut replica = Raft::recover(heard.setup, recovered, quorate_smr::Time::ZERO).unwrap();
        let mut effects = quorate_smr::Effects::new();
        for (now, input, _) in heard.inputs {
            replica.handle(now, input, &mut effects);
        }
        assert!(replica.status().committed > quorate_smr::Slot(10));
    }
}

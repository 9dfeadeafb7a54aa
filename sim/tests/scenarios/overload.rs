//! Load beyond the capacity: queues stay bounded (checked after every step), clients get
//! back-pressure, and no election is caused by load.
//!
//! Clients ask by themselves here. The capacity is measured first, by a few clients that ask without
//! a pause; then many more clients ask until the requests that reach the replicas are ten times what
//! is answered. No other fault is on.

use quorate_sim::plan::{MS, Recurring, SECOND};
use quorate_sim::scene::{SceneBuilder, Step};
use quorate_sim::turbulence::SlowReplica;
use quorate_sim::{FaultKind, Inspect, Outcome, Plan};

use crate::scenario;

/// How long the load lasts, in nanoseconds.
const LOAD_NS: u64 = SECOND;
/// Clients that measure the capacity: enough to fill every window below.
const FEW: usize = 24;
/// Clients of an overload.
const MANY: usize = 190;
/// How much of its capacity a cluster must still deliver under ten times the load, in percent.
const GOODPUT_PERCENT: usize = 50;

/// A protocol with small windows, so that its capacity is soon exceeded.
pub(crate) trait Narrow: Inspect {
    fn narrow(config: &mut Self::Config);
}

impl Narrow for quorate_raft::Raft {
    fn narrow(config: &mut quorate_raft::RaftConfig) {
        config.uncommitted_entries_max = 8;
        config.reads_max = 8;
    }
}

impl Narrow for quorate_paxos::Paxos {
    fn narrow(config: &mut quorate_paxos::PaxosConfig) {
        config.window_slots_max = 8;
        config.reads_max = 8;
    }
}

impl Narrow for quorate_pbft::Pbft {
    // The timeout is for how long a request may wait (PBFT §4.4), in queues as well: it must be longer
    // than what the queues hold takes at the capacity, or a full queue deposes an honest primary.
    fn narrow(config: &mut quorate_pbft::PbftConfig) {
        (config.checkpoint_interval, config.window) = (4, 8);
        (config.queue_max, config.pending_max) = (8, 8);
        config.view_change_timeout = std::time::Duration::from_secs(4);
    }
}

/// `clients` ask without a pause, again and again, for about [`LOAD_NS`].
fn load(plan: &mut Plan, clients: usize) {
    plan.faults_ns = LOAD_NS + SECOND / 2;
    plan.disk.sync_min_ns = 10 * MS;
    plan.load.clients = 2;
    plan.load.think_ns = 50 * MS;
    plan.load.requests = 1000;
    plan.load.patience_percent = 50;
    plan.load.sessions_max = 256;
    plan.turbulence.surge = Recurring { every_ns: SECOND / 2, length_ns: LOAD_NS };
    plan.turbulence.surge_clients = clients;
    plan.turbulence.service_ns = MS / 50;
}

fn assert_sound(what: &str, outcome: &Outcome) {
    assert_eq!(outcome.violation, None, "{what}");
    assert!(outcome.faults.of(FaultKind::Surge) > 0, "{what}: there was load");
    assert!(!outcome.check_gave_up, "{what}: the history was checked");
    assert_eq!(outcome.leaders, 1, "{what}: no election is caused by load");
}

fn offered_and_done(outcome: &Outcome) -> (u64, usize) {
    (outcome.requests, outcome.latencies_ns.len())
}

fn ten_times<P: Narrow>(scene: SceneBuilder<P>) -> Step {
    let scene = scene.config(P::narrow);
    let usual = scene.clone().plan(|plan| load(plan, FEW)).simulate();
    let flooded = scene.plan(|plan| load(plan, MANY)).simulate();
    assert_sound("usual load", &usual);
    assert_sound("ten times the load", &flooded);
    let ((_, capacity), (offered, done)) = (offered_and_done(&usual), offered_and_done(&flooded));
    assert!(offered >= 10 * done as u64, "{offered} offered, {done} done");
    assert!(flooded.refused_busy > 0, "clients are told to come back later");
    assert!(done * 100 >= capacity * GOODPUT_PERCENT, "{done} done, {capacity} at capacity");
    Ok(())
}

scenario!(offered_load_ten_times_the_capacity:
    raft(ten_times), paxos(ten_times), pbft(ten_times));

/// One replica is slow in everything, and the others do not wait for it. Replica 1 or replica 2: one
/// of them at most leads.
fn slow_follower<P: Narrow>(scene: SceneBuilder<P>) -> Step {
    let slow = |replica| {
        move |plan: &mut Plan| {
            load(plan, FEW);
            let (sync_ns, apply_ns, service_ns) = (60 * MS, 100 * MS, MS);
            plan.turbulence.slow_replica =
                Some(SlowReplica { replica, sync_ns, apply_ns, service_ns });
        }
    };
    let scene = scene.config(P::narrow);
    let slowed = [1, 2].map(|replica| scene.clone().plan(slow(replica)).simulate());
    let usual = scene.plan(|plan| load(plan, FEW)).simulate();
    for outcome in &slowed {
        assert_sound("a slow replica", outcome);
        assert!(outcome.faults.of(FaultKind::SlowReplica) > 0);
    }
    let best = slowed.iter().map(|outcome| outcome.latencies_ns.len()).max().unwrap_or(0);
    let usual = usual.latencies_ns.len();
    assert!(best * 100 >= usual * GOODPUT_PERCENT, "{best} done, {usual} without a slow one");
    Ok(())
}

scenario!(a_slow_follower: raft(slow_follower), paxos(slow_follower), pbft(slow_follower));

/// All disks take far longer than a heartbeat, and at times longer than an election timeout.
fn slow_disk<P: Narrow>(scene: SceneBuilder<P>) -> Step {
    let slow = |plan: &mut Plan| {
        load(plan, 8);
        plan.disk.sync_min_ns = 60 * MS;
        plan.disk.sync_extra_ns = 60 * MS;
        plan.disk.slow_ppm = 100_000;
        plan.disk.slow_ns = 600 * MS;
    };
    let outcome = scene.config(P::narrow).plan(slow).simulate();
    assert_sound("slow disks", &outcome);
    let longest = outcome.latencies_ns.iter().max().copied().unwrap_or(0);
    assert!(longest > 100 * MS, "{longest}: clients waited for disks");
    Ok(())
}

scenario!(a_slow_disk: raft(slow_disk), paxos(slow_disk), pbft(slow_disk));

/// Commands of up to a megabyte, over links of one gigabit.
fn huge<P: Narrow>(scene: SceneBuilder<P>) -> Step {
    let huge = |plan: &mut Plan| {
        load(plan, 3);
        plan.faults_ns = SECOND;
        plan.network.byte_ps = 8_000;
        plan.turbulence.huge_ppm = 1_000_000;
        plan.turbulence.huge_bytes = 1 << 20;
    };
    let outcome = scene.plan(huge).simulate();
    assert_sound("huge commands", &outcome);
    assert!(outcome.faults.of(FaultKind::HugeCommand) > 0);
    Ok(())
}

scenario!(huge_commands: raft(huge), paxos(huge), pbft(huge));

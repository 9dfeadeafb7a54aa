//! Performance in virtual time: the protocols through the same contract as everywhere, on hosts
//! whose work takes time, over links with a bandwidth and a length.
//!
//! The world of faults checks every invariant after every step and hosts one group with a few
//! clients; that is too slow for the loads of a performance experiment, and says nothing about
//! CPU. This world leaves faults, disks and elections after the first out, and adds what
//! throughput is made of: a core for each host that serves one thing after another at the costs of
//! [`Costs`], the shipped batcher with its window, real codecs and real bytes on the wire, many
//! groups on the same hosts.
//!
//! What always holds: the same plan, configuration and seed give the same outcome, on every
//! machine; a run is checked as a whole afterwards ([`Outcome::proof`]): replicas agree, every
//! command was applied exactly once, the clients' history is linearizable.
//!
//! Left to others: what the costs are (they are measured, see [`record`]), and faults.
//!
//! ```
//! use quorate_raft::{Raft, RaftConfig};
//! use quorate_sim::metered::{Plan, run};
//!
//! // Three hosts with 2 ms between them, one client with eight requests in flight.
//! let outcome = run::<Raft>(&RaftConfig::default(), &Plan::new(3, 2_000_000, 8), 1);
//! assert_eq!(outcome.proof, Ok(()));
//! // From client to leader, to the others and back, and to the client: two round trips.
//! assert_eq!(outcome.latencies_ns[0][0], 4_000_000);
//! ```

mod clients;
mod costs;
mod intake;
mod links;
mod node;
mod plan;
mod proof;
mod round;
mod tape;
mod world;

#[cfg(test)]
mod tests;

use quorate_smr::protocol::Protocol;

pub use self::costs::{Costs, Linear};
pub use self::intake::BatchCounts;
pub use self::plan::{ClientPlan, Distances, MS, Plan};
pub use self::tape::{Heard, Tape};
use self::world::World;

/// A core that is never idle.
const BUSY_ALWAYS_PPM: u64 = 1_000_000;

/// What a metered run gave. Counts and latencies are those of the measured time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Commands answered.
    pub commands: u64,
    /// How long each took, in nanoseconds, by the place of its client.
    pub latencies_ns: Vec<Vec<u64>>,
    /// Messages between replicas.
    pub messages: u64,
    /// Their bytes as frames.
    pub message_bytes: u64,
    /// The leaders' batches.
    pub batches: BatchCounts,
    /// The share of the time in which each host's core was busy, in millionths.
    pub busy_ppm: Vec<u64>,
    /// The measured time, in nanoseconds.
    pub measured_ns: u64,
    /// Whether all checks passed; otherwise which did not.
    pub proof: Result<(), String>,
}

impl Outcome {
    fn failed(reason: String) -> Self {
        Self {
            commands: 0,
            latencies_ns: Vec::new(),
            messages: 0,
            message_bytes: 0,
            batches: BatchCounts::default(),
            busy_ppm: Vec::new(),
            measured_ns: 0,
            proof: Err(reason),
        }
    }
}

/// Runs `plan` with replicas of `config`.
#[must_use]
pub fn run<P: Protocol>(config: &P::Config, plan: &Plan, seed: u64) -> Outcome {
    let ran = World::<P>::new(config, plan, seed).and_then(|mut world| {
        world.run()?;
        Ok(world)
    });
    match ran {
        Ok(world) => outcome(&world),
        Err(reason) => Outcome::failed(reason),
    }
}

fn outcome<P: Protocol>(world: &World<P>) -> Outcome {
    let (from_ns, measured_ns) = (world.measured_from_ns, world.plan.measured_ns);
    let until_ns = from_ns + measured_ns;
    let mut latencies_ns = vec![Vec::new(); world.plan.distances.one_way_ns.len()];
    let mut commands = 0;
    for done in &world.done {
        if (from_ns..until_ns).contains(&done.returned_ns) {
            commands += 1;
            let place = world.plan.clients[done.client].place;
            latencies_ns[place].push(done.returned_ns - done.called_ns);
        }
    }
    latencies_ns.iter_mut().for_each(|of_place| of_place.sort_unstable());
    // Picoseconds over nanoseconds are thousandths; a round may end after the measured time.
    let busy =
        |busy_ps: u64| (busy_ps.saturating_mul(1000) / measured_ns.max(1)).min(BUSY_ALWAYS_PPM);
    Outcome {
        commands,
        latencies_ns,
        messages: world.counters.messages,
        message_bytes: world.counters.message_bytes,
        batches: world.counters.batches,
        busy_ppm: world.hosts.iter().map(|host| busy(host.busy_ps)).collect(),
        measured_ns,
        proof: world.prove(),
    }
}

/// Runs `plan`, which has one group, and keeps everything that its replicas heard and said.
///
/// # Errors
/// When the run fails, or its checks do.
pub fn record<P: Protocol>(config: &P::Config, plan: &Plan, seed: u64) -> Result<Tape<P>, String> {
    let mut world = World::<P>::new(config, plan, seed)?;
    let heard = |node: &node::Node<P>| Heard { setup: node.setup.clone(), inputs: Vec::new() };
    world.tape = Some(Tape { heard: world.nodes.iter().map(heard).collect(), said: Vec::new() });
    world.run()?;
    world.prove()?;
    Ok(world.tape.take().unwrap_or_default())
}

//! What one run is made of: the network, the disks, the faults and the load.
//!
//! *Swarm testing*: each seed draws which faults are on at all and how strong, because a run with
//! everything on seldom gets far enough to be interesting, and some bugs need the quiet of all
//! other faults. [`Plan::quiet`] has none, for experiments in virtual time.

use serde::{Deserialize, Serialize};

use crate::atlas::{Atlas, Loss};
use crate::byzantine::{Behaviour, Mischief};
use crate::dice::Dice;
use crate::profile::Profile;
use crate::turbulence::Turbulence;

pub use crate::durability::{CrashPoint, Cut, DiskFault, DiskLoss, DurabilityPlan};

/// One millisecond of virtual time.
pub const MS: u64 = 1_000_000;
/// One second of virtual time.
pub const SECOND: u64 = 1_000 * MS;

/// How messages travel. Probabilities in parts of a million, per message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkPlan {
    /// The shortest delay of a message between two replicas, in nanoseconds.
    pub delay_min_ns: u64,
    /// The mean of what comes on top of it (a long tail), in nanoseconds.
    pub delay_extra_ns: u64,
    /// Time that the sender's link needs for a byte, in picoseconds (8,000: one gigabit a second);
    /// 0: unlimited.
    pub byte_ps: u64,
    /// Messages lost.
    pub loss_ppm: u32,
    /// Messages that arrive twice.
    pub duplicate_ppm: u32,
    /// Messages held back for a long time, so that others overtake them.
    pub reorder_ppm: u32,
    /// How long at most, in nanoseconds.
    pub reorder_ns: u64,
    /// Whether messages travel as encoded frames (slower; corruption needs it).
    pub frames: bool,
    /// Frames with flipped bits.
    pub corrupt_ppm: u32,
}

/// How disks behave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiskPlan {
    /// The shortest sync, in nanoseconds; 0 with no extra: durable at once.
    pub sync_min_ns: u64,
    /// The mean of what comes on top, in nanoseconds.
    pub sync_extra_ns: u64,
    /// Syncs that take [`DiskPlan::slow_ns`] longer.
    pub slow_ppm: u32,
    /// How much longer, at most, in nanoseconds.
    pub slow_ns: u64,
    /// Syncs that fail: the journal is poisoned and the replica stops (and restarts later).
    pub error_ppm: u32,
}

/// A fault that comes again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Recurring {
    /// Mean time between two of them over the whole cluster, in nanoseconds; 0: never.
    pub every_ns: u64,
    /// Mean length, in nanoseconds.
    pub length_ns: u64,
}

impl Recurring {
    /// Whether it is on.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.every_ns > 0
    }
}

/// What befalls processes, links and clocks.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NemesisPlan {
    /// A replica crashes, at any point between two events, and comes back later.
    pub crash: Recurring,
    /// A replica crashes between two effects of one step.
    pub crash_within_step: Recurring,
    /// A process stands still.
    pub pause: Recurring,
    /// Links are cut: symmetric, one-way, partial.
    pub partition: Recurring,
    /// An operator moves the leadership.
    pub transfer: Recurring,
    /// New leaders that crash or are cut off soon after their election, in parts of a million.
    pub hunt_ppm: u32,
    /// How soon at most, in nanoseconds.
    pub hunt_ns: u64,
    /// Clocks run fast or slow by at most this, in parts of a million.
    pub drift_ppm: i64,
}

/// What clients do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoadPlan {
    /// Clients, each with one request in flight.
    pub clients: usize,
    /// Keys; few, so that clients meet.
    pub keys: u64,
    /// Requests of each client while faults are on.
    pub requests: u64,
    /// Mean pause of a client between two requests, in nanoseconds.
    pub think_ns: u64,
    /// Requests that read.
    pub read_ppm: u32,
    /// Reads that are ordered like writes even where the protocol offers something cheaper.
    pub ordered_read_ppm: u32,
    /// Bytes that every written value carries on top of its unique four.
    pub value_bytes: usize,
    /// How long a replica waits for more requests before it proposes a batch, in nanoseconds.
    pub linger_ns: u64,
    /// Attempts that go unanswered and make a client give up on a request (its outcome stays
    /// unknown), while faults are on; 0: never.
    pub give_up_ppm: u32,
    /// Requests that go to a replica drawn at random rather than to the one believed to lead.
    pub stray_ppm: u32,
    /// Clients that only read, often, and anywhere.
    pub readers_ppm: u32,
    /// How long a client waits for an answer, in percent of what the protocol recommends.
    pub patience_percent: u64,
    /// Answers that each session remembers.
    pub session_window: usize,
    /// Sessions that can be open at once.
    pub sessions_max: usize,
}

/// Everything that a run needs besides the protocol and its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// The network between replicas.
    pub network: NetworkPlan,
    /// Delay of messages between clients and replicas, minimum and mean extra, in nanoseconds.
    pub client_delay_ns: (u64, u64),
    /// The disks.
    pub disk: DiskPlan,
    /// Their bytes, and what befalls these.
    pub durability: DurabilityPlan,
    /// Processes, links, clocks.
    pub nemesis: NemesisPlan,
    /// Rougher faults of links, clocks and load, and who stays ill.
    pub turbulence: Turbulence,
    /// Time between a commit and its application (mean, long tail), in nanoseconds.
    pub apply_lag_ns: u64,
    /// The clients.
    pub load: LoadPlan,
    /// Byzantine replicas with what they do.
    pub byzantine: Vec<(u8, Behaviour)>,
    /// Clients that misbehave, next to the honest ones of [`LoadPlan::clients`].
    pub rogues: Vec<Mischief>,
    /// How long faults last, in nanoseconds; they end earlier when the clients are done.
    pub faults_ns: u64,
    /// Replicas that stay down when the others are healed.
    pub left_down: Vec<u8>,
    /// Requests that each client must complete after healing.
    pub liveness_requests: u64,
    /// Virtual time within which the healed cluster must serve them, and then converge.
    pub liveness_ns: u64,
}

impl Plan {
    /// A run without faults: fixed delays, immediate disks.
    #[must_use]
    pub const fn quiet() -> Self {
        Self {
            network: NetworkPlan {
                delay_min_ns: MS / 2,
                delay_extra_ns: 0,
                byte_ps: 0,
                loss_ppm: 0,
                duplicate_ppm: 0,
                reorder_ppm: 0,
                reorder_ns: 0,
                frames: false,
                corrupt_ppm: 0,
            },
            client_delay_ns: (MS / 2, 0),
            disk: DiskPlan {
                sync_min_ns: 0,
                sync_extra_ns: 0,
                slow_ppm: 0,
                slow_ns: 0,
                error_ppm: 0,
            },
            durability: DurabilityPlan::quiet(),
            nemesis: NemesisPlan {
                crash: Recurring { every_ns: 0, length_ns: 0 },
                crash_within_step: Recurring { every_ns: 0, length_ns: 0 },
                pause: Recurring { every_ns: 0, length_ns: 0 },
                partition: Recurring { every_ns: 0, length_ns: 0 },
                transfer: Recurring { every_ns: 0, length_ns: 0 },
                hunt_ppm: 0,
                hunt_ns: 0,
                drift_ppm: 0,
            },
            turbulence: Turbulence::none(),
            apply_lag_ns: 0,
            load: LoadPlan {
                clients: 4,
                keys: 3,
                requests: 50,
                think_ns: MS,
                read_ppm: 300_000,
                ordered_read_ppm: 300_000,
                value_bytes: 0,
                linger_ns: 0,
                give_up_ppm: 0,
                stray_ppm: 0,
                readers_ppm: 0,
                patience_percent: 100,
                session_window: 8,
                sessions_max: 64,
            },
            byzantine: Vec::new(),
            rogues: Vec::new(),
            faults_ns: 60 * SECOND,
            left_down: Vec::new(),
            liveness_requests: 2,
            liveness_ns: 60 * SECOND,
        }
    }

    /// What `seed` draws for a group of `replicas` that tolerates `faults`; Byzantine ones among
    /// them if `byzantine`.
    #[must_use]
    pub fn swarm(seed: u64, replicas: usize, faults: usize, byzantine: bool) -> Self {
        let mut dice = Dice::new(seed, PART_PLAN);
        let mut plan = Self::quiet();
        plan.network = draw_network(&mut dice);
        plan.client_delay_ns = (dice.between(MS / 10, 2 * MS), dice.below(3 * MS));
        plan.disk = draw_disk(&mut dice);
        plan.nemesis = draw_nemesis(&mut dice);
        if dice.chance(250_000) {
            plan.apply_lag_ns = dice.below(20 * MS);
        }
        plan.load = draw_load(&mut dice);
        plan.faults_ns = dice.between(1500 * MS, 4 * SECOND);
        plan.liveness_requests = 3;
        plan.rogues = draw_rogues(seed, byzantine);
        let mut atlas = Atlas::new(replicas, faults);
        if byzantine && dice.chance(600_000) {
            draw_byzantine(&mut dice, &mut plan, &mut atlas);
        }
        for _ in 0..atlas.spare() {
            if !dice.chance(250_000) {
                break;
            }
            let down = dice.index(replicas) as u8;
            if atlas.lose(down, Loss::LeftDown) {
                plan.left_down.push(down);
            }
        }
        if let Some(profile) = Profile::draw(seed) {
            profile.aim(&mut plan);
        }
        plan.draw_turbulence(seed, &mut atlas);
        plan.durability = DurabilityPlan::draw(seed, &mut atlas, byzantine);
        plan.left_down.extend(atlas.go_beyond(seed));
        plan
    }

    fn draw_turbulence(&mut self, seed: u64, atlas: &mut Atlas) {
        let faulty: Vec<u8> = atlas.lost().collect();
        let (replicas, left) = (atlas.replicas(), atlas.spare());
        self.turbulence = Turbulence::draw(seed, replicas, left, &faulty, self.network.frames);
        for (replica, _) in &self.turbulence.left_ill {
            atlas.lose(*replica, Loss::LeftIll);
        }
        if self.turbulence.surge.is_on() {
            self.load.sessions_max = self.load.sessions_max.max(SURGE_SESSIONS_MAX);
        }
    }
}

/// Sessions in a run with surges, so that surging clients do not expire one another's sessions.
const SURGE_SESSIONS_MAX: usize = 64;
/// What a plan that was written down does not say is quiet.
impl Default for Plan {
    fn default() -> Self {
        Self::quiet()
    }
}

impl Default for NetworkPlan {
    fn default() -> Self {
        Plan::quiet().network
    }
}

impl Default for DiskPlan {
    fn default() -> Self {
        Plan::quiet().disk
    }
}

impl Default for LoadPlan {
    fn default() -> Self {
        Plan::quiet().load
    }
}

/// The part of the run's randomness that draws the plan.
const PART_PLAN: u64 = 1;

fn draw_network(dice: &mut Dice) -> NetworkPlan {
    let on = |dice: &mut Dice, most: u64| {
        if dice.chance(500_000) { dice.below(most) as u32 } else { 0 }
    };
    let frames = dice.chance(150_000);
    let extra_max = if dice.chance(300_000) { 30 * MS } else { 3 * MS };
    NetworkPlan {
        delay_min_ns: dice.between(MS / 20, 3 * MS),
        delay_extra_ns: dice.below(extra_max),
        byte_ps: 0,
        loss_ppm: on(dice, 200_000),
        duplicate_ppm: on(dice, 200_000),
        reorder_ppm: on(dice, 100_000),
        reorder_ns: dice.between(20 * MS, 800 * MS),
        frames,
        corrupt_ppm: if frames { on(dice, 50_000) } else { 0 },
    }
}

fn draw_disk(dice: &mut Dice) -> DiskPlan {
    let fast = dice.chance(300_000);
    DiskPlan {
        sync_min_ns: if fast { 0 } else { dice.between(MS / 50, 2 * MS) },
        sync_extra_ns: if fast { 0 } else { dice.below(6 * MS) },
        slow_ppm: if !fast && dice.chance(300_000) { dice.below(30_000) as u32 } else { 0 },
        slow_ns: dice.between(50 * MS, 600 * MS),
        error_ppm: if dice.chance(150_000) { dice.below(3_000) as u32 } else { 0 },
    }
}

fn draw_nemesis(dice: &mut Dice) -> NemesisPlan {
    let on = |dice: &mut Dice, ppm: u32, every: (u64, u64), length: (u64, u64)| {
        if !dice.chance(ppm) {
            return Recurring::default();
        }
        Recurring {
            every_ns: dice.between(every.0 * MS, every.1 * MS),
            length_ns: dice.between(length.0 * MS, length.1 * MS),
        }
    };
    NemesisPlan {
        crash: on(dice, 550_000, (150, 1500), (5, 700)),
        crash_within_step: on(dice, 450_000, (150, 1500), (1, 300)),
        pause: on(dice, 300_000, (200, 1500), (30, 700)),
        partition: on(dice, 550_000, (150, 1200), (50, 900)),
        transfer: on(dice, 200_000, (150, 900), (0, 1)),
        hunt_ppm: if dice.chance(300_000) { dice.between(200_000, 900_000) as u32 } else { 0 },
        hunt_ns: dice.between(MS, 40 * MS),
        drift_ppm: if dice.chance(400_000) { dice.between(100, 50_000) as i64 } else { 0 },
    }
}

fn draw_load(dice: &mut Dice) -> LoadPlan {
    LoadPlan {
        clients: dice.between(2, 7) as usize,
        keys: dice.between(1, 5),
        requests: dice.between(15, 60),
        think_ns: dice.between(MS / 2, 40 * MS),
        read_ppm: dice.between(100_000, 600_000) as u32,
        ordered_read_ppm: *dice.pick(&[0, 0, 300_000, 1_000_000]),
        value_bytes: if dice.chance(100_000) { dice.below(300) as usize } else { 0 },
        linger_ns: if dice.chance(500_000) { dice.below(5 * MS) } else { 0 },
        give_up_ppm: if dice.chance(500_000) { dice.below(300_000) as u32 } else { 0 },
        stray_ppm: *dice.pick(&[0, 100_000, 300_000]),
        readers_ppm: *dice.pick(&[0, 200_000, 500_000]),
        patience_percent: *dice.pick(&[15, 50, 100]),
        session_window: 8,
        sessions_max: if dice.chance(150_000) { 8 } else { 64 },
    }
}

/// The part of the run's randomness that draws misbehaving clients.
const PART_ROGUES: u64 = 32;

/// Misbehaving clients: seldom, and of a kind that the protocol can tell at all.
fn draw_rogues(seed: u64, byzantine: bool) -> Vec<Mischief> {
    let mut dice = Dice::new(seed, PART_ROGUES);
    let (ppm, kinds): (u32, &[Mischief]) =
        if byzantine { (250_000, &Mischief::ALL) } else { (100_000, &Mischief::UNPROVEN) };
    if !dice.chance(ppm) {
        return Vec::new();
    }
    (0..dice.between(1, 3)).map(|_| *dice.pick(kinds)).collect()
}

/// Makes some replicas Byzantine, as many as the atlas permits at most.
fn draw_byzantine(dice: &mut Dice, plan: &mut Plan, atlas: &mut Atlas) {
    let (replicas, faults) = (atlas.replicas(), atlas.spare());
    let count = dice.between(1, faults as u64 + 1) as usize;
    // Replicas 0 and 1 lead views 0 and 1, so that a Byzantine primary, old or new, is common.
    let first = if dice.chance(600_000) { dice.index(2) } else { dice.index(replicas) };
    for offset in 0..count.min(faults) {
        let replica = ((first + offset) % replicas) as u8;
        if atlas.lose(replica, Loss::Byzantine) {
            plan.byzantine.push((replica, Behaviour::draw(dice)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_loses_no_replica_twice() {
        for seed in 0..2000 {
            let plan = Plan::swarm(seed, 7, 2, true);
            let ill = plan.turbulence.left_ill.iter();
            let mut faulty: Vec<u8> =
                ill.map(|(replica, _)| *replica).chain(plan.left_down.clone()).collect();
            faulty.extend(plan.byzantine.iter().map(|(replica, _)| *replica));
            faulty.extend(plan.durability.losses.iter().map(|loss| loss.replica));
            let count = faulty.len();
            faulty.sort_unstable();
            faulty.dedup();
            assert_eq!(faulty.len(), count, "seed {seed}: nobody is counted twice");
        }
    }

    #[test]
    fn seeds_differ_and_the_same_seed_does_not() {
        assert_eq!(Plan::swarm(7, 3, 1, false), Plan::swarm(7, 3, 1, false));
        assert_ne!(Plan::swarm(7, 3, 1, false), Plan::swarm(8, 3, 1, false));
    }
}

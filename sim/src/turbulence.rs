//! The rougher part of a plan: delays that differ from link to link, links that clog and burst, flap
//! or stop one by one, graphs of partial connectivity, clocks that step, load beyond the capacity,
//! and replicas that stay ill when the others are healed.
//!
//! Every group of fields is drawn from its own dice, so that none shifts another's draws. Faults in
//! time are `storm.rs`' work, those of a single message `network.rs`', load is `surge.rs`'.

use serde::{Deserialize, Serialize};

use crate::dice::Dice;
use crate::plan::{MS, Recurring};

/// The most messages that a clogged link may be drawn to hold; later ones are dropped.
pub const CLOG_MESSAGES_MAX: u64 = 256;
/// The most additional clients that a surge may be drawn to have.
pub const SURGE_CLIENTS_MAX: u64 = 40;
/// The largest value that a plan draws for a huge command, in bytes.
pub const HUGE_BYTES_MAX: u64 = 8 << 10;

/// Parts of a run's randomness.
pub(crate) mod part {
    /// The network's fields of the plan.
    pub(super) const PLAN_NETWORK: u64 = 21;
    /// Clocks, processes.
    pub(super) const PLAN_PROCESS: u64 = 22;
    /// Load.
    pub(super) const PLAN_LOAD: u64 = 23;
    /// Who stays ill.
    pub(super) const PLAN_ILL: u64 = 24;
    /// When a storm comes, and whom it befalls.
    pub(crate) const STORM: u64 = 25;
    /// What becomes of single messages.
    pub(crate) const LINKS: u64 = 26;
    /// What surging clients ask.
    pub(crate) const SURGE: u64 = 27;
}

/// How the delay of a message on top of the shortest one is distributed around its mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum DelayShape {
    /// Most are short, some are many means.
    #[default]
    LongTail,
    /// Always the mean.
    Fixed,
    /// Anything from nothing to twice the mean, each as likely.
    Uniform,
    /// A quarter of the mean, or, one time in ten, eight means: two routes, one of them long.
    Bimodal,
}

/// A link that is slower than the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowLink {
    /// The sender.
    pub from: u8,
    /// The receiver.
    pub to: u8,
    /// Added to each delay, in nanoseconds.
    pub extra_ns: u64,
    /// Whether the other direction is as slow.
    pub both_ways: bool,
}

/// A replica on a slow machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowReplica {
    /// Which.
    pub replica: u8,
    /// Added to each sync of its disk, in nanoseconds.
    pub sync_ns: u64,
    /// Added to the mean time between a commit and its application, in nanoseconds.
    pub apply_ns: u64,
    /// Added to the time that it needs for an input, in nanoseconds.
    pub service_ns: u64,
}

/// What a replica goes on suffering from when the others are healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Illness {
    /// Neither hears nor is heard.
    CutOff,
    /// Is heard, and hears nobody.
    Deaf,
    /// Hears, and is heard by nobody.
    Voiceless,
    /// Talks with one of the others only.
    OneFriend,
    /// Its links hold messages and let them go in bursts.
    Clogged,
    /// All its links are slow.
    Slow,
    /// The process stands still.
    Paused,
}

impl Illness {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::CutOff,
        Self::Deaf,
        Self::Voiceless,
        Self::OneFriend,
        Self::Clogged,
        Self::Slow,
        Self::Paused,
    ];

    /// Whether the others can still be disturbed by such a replica.
    pub(crate) const fn is_heard(self) -> bool {
        matches!(self, Self::Deaf | Self::OneFriend | Self::Clogged | Self::Slow)
    }
}

/// Faults of links, clocks and load. The default has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Turbulence {
    /// How delays are distributed.
    pub delay_shape: DelayShape,
    /// Delays towards replicas with higher numbers, in percent of those towards lower ones.
    pub uphill_percent: u64,
    /// A link that is slower than the others.
    pub slow_link: Option<SlowLink>,
    /// Frames that arrive cut short, from another cluster, or under another sender's name, in parts
    /// of a million (needs [`crate::plan::NetworkPlan::frames`]).
    pub mangle_ppm: u32,
    /// A directed link holds its messages and lets them go all at once.
    pub clog: Recurring,
    /// Messages that a clogged link holds; later ones are dropped.
    pub clog_messages_max: usize,
    /// Some links stop one by one and come back one by one in another order.
    pub swizzle: Recurring,
    /// A link goes down and up several times in a row.
    pub flap: Recurring,
    /// The links that remain form a graph that is known to be hard ([`crate::graphs::Graph`]).
    pub graph: Recurring,
    /// A replica's monotonic clock jumps forward by `length_ns`, on average. Protocols read no wall
    /// clock, so a step backward does not exist for them.
    pub clock_step: Recurring,
    /// The leader stands still for several election timeouts and goes on with its old clock.
    pub leader_pause: Recurring,
    /// Additional clients ask without a pause.
    pub surge: Recurring,
    /// How many.
    pub surge_clients: usize,
    /// Writes with a value of up to [`Turbulence::huge_bytes`] more bytes, in parts of a million.
    pub huge_ppm: u32,
    /// How many bytes more, at most.
    pub huge_bytes: usize,
    /// Time that a replica needs for one input, in nanoseconds; what arrives meanwhile waits in its
    /// inbox, which is bounded. 0: none, and no inbox.
    pub service_ns: u64,
    /// A replica that is slower than the others while faults last.
    pub slow_replica: Option<SlowReplica>,
    /// Replicas that stay ill when the others are healed, with what they suffer from.
    pub left_ill: Vec<(u8, Illness)>,
}

impl Default for Turbulence {
    fn default() -> Self {
        Self::none()
    }
}

impl Turbulence {
    /// No turbulence.
    #[must_use]
    pub const fn none() -> Self {
        const NEVER: Recurring = Recurring { every_ns: 0, length_ns: 0 };
        Self {
            delay_shape: DelayShape::LongTail,
            uphill_percent: 100,
            slow_link: None,
            mangle_ppm: 0,
            clog: NEVER,
            clog_messages_max: 0,
            swizzle: NEVER,
            flap: NEVER,
            graph: NEVER,
            clock_step: NEVER,
            leader_pause: NEVER,
            surge: NEVER,
            surge_clients: 0,
            huge_ppm: 0,
            huge_bytes: 0,
            service_ns: 0,
            slow_replica: None,
            left_ill: Vec::new(),
        }
    }

    /// What `seed` draws for `replicas`, of which `may_stay_ill` may be ill after healing; those in
    /// `taken` are faulty in other ways. `frames` says whether messages travel as frames.
    pub(crate) fn draw(
        seed: u64,
        replicas: usize,
        may_stay_ill: usize,
        taken: &[u8],
        frames: bool,
    ) -> Self {
        let mut drawn = Self::none();
        draw_links(&mut Dice::new(seed, part::PLAN_NETWORK), &mut drawn, replicas, frames);
        draw_processes(&mut Dice::new(seed, part::PLAN_PROCESS), &mut drawn, replicas);
        draw_load(&mut Dice::new(seed, part::PLAN_LOAD), &mut drawn);
        let mut dice = Dice::new(seed, part::PLAN_ILL);
        drawn.left_ill = draw_left_ill(&mut dice, replicas, may_stay_ill, taken);
        drawn
    }

    /// Whether `replica` is to stay ill.
    #[must_use]
    pub fn stays_ill(&self, replica: u8) -> bool {
        self.left_ill.iter().any(|(ill, _)| *ill == replica)
    }
}

/// A fault that is on in a share of `ppm` of the runs; the bounds are in milliseconds.
fn now_and_then(dice: &mut Dice, ppm: u32, every: (u64, u64), length: (u64, u64)) -> Recurring {
    let on = dice.chance(ppm);
    let every_ns = dice.between(every.0 * MS, every.1 * MS);
    let length_ns = dice.between(length.0 * MS, length.1 * MS);
    if on { Recurring { every_ns, length_ns } } else { Recurring::default() }
}

fn draw_links(dice: &mut Dice, drawn: &mut Turbulence, replicas: usize, frames: bool) {
    drawn.delay_shape = *dice.pick(&[
        DelayShape::LongTail,
        DelayShape::LongTail,
        DelayShape::LongTail,
        DelayShape::Fixed,
        DelayShape::Uniform,
        DelayShape::Bimodal,
    ]);
    drawn.uphill_percent = *dice.pick(&[100, 100, 100, 25, 400]);
    if replicas > 1 && dice.chance(150_000) {
        let from = dice.index(replicas);
        let to = (from + 1 + dice.index(replicas - 1)) % replicas;
        let extra_ns = dice.between(5 * MS, 150 * MS);
        let both_ways = dice.chance(500_000);
        drawn.slow_link = Some(SlowLink { from: from as u8, to: to as u8, extra_ns, both_ways });
    }
    if frames && dice.chance(500_000) {
        drawn.mangle_ppm = dice.below(50_000) as u32;
    }
    drawn.clog = now_and_then(dice, 200_000, (50, 600), (20, 800));
    drawn.clog_messages_max = dice.between(4, CLOG_MESSAGES_MAX) as usize;
    drawn.swizzle = now_and_then(dice, 150_000, (300, 1500), (50, 600));
    drawn.flap = now_and_then(dice, 150_000, (200, 1200), (5, 120));
    drawn.graph = now_and_then(dice, 150_000, (300, 1500), (200, 1200));
}

fn draw_processes(dice: &mut Dice, drawn: &mut Turbulence, replicas: usize) {
    drawn.clock_step = now_and_then(dice, 200_000, (100, 1200), (10, 2000));
    drawn.leader_pause = now_and_then(dice, 120_000, (400, 1800), (0, 1));
    if dice.chance(150_000) {
        let replica = dice.index(replicas) as u8;
        let mut up_to = |most: u64| if dice.chance(600_000) { dice.below(most) } else { 0 };
        let (sync_ns, apply_ns) = (up_to(80 * MS), up_to(100 * MS));
        let service_ns = up_to(MS);
        drawn.slow_replica = Some(SlowReplica { replica, sync_ns, apply_ns, service_ns });
    }
}

fn draw_load(dice: &mut Dice, drawn: &mut Turbulence) {
    drawn.surge = now_and_then(dice, 120_000, (400, 1500), (20, 250));
    drawn.surge_clients = dice.between(8, SURGE_CLIENTS_MAX) as usize;
    if dice.chance(60_000) {
        drawn.huge_ppm = dice.between(20_000, 300_000) as u32;
        drawn.huge_bytes = dice.between(1 << 10, HUGE_BYTES_MAX) as usize;
    }
    // A surge alone meets replicas that are infinitely fast.
    if dice.chance(if drawn.surge.is_on() { 500_000 } else { 100_000 }) {
        drawn.service_ns = dice.between(MS / 1000, MS / 5);
    }
}

/// Who stays ill: at most `most`, none of them in `taken`. Together with those that stay down and
/// the Byzantine ones they never exceed what the protocol tolerates.
fn draw_left_ill(
    dice: &mut Dice,
    replicas: usize,
    most: usize,
    taken: &[u8],
) -> Vec<(u8, Illness)> {
    let mut ill: Vec<(u8, Illness)> = Vec::new();
    for _ in 0..most {
        if !dice.chance(350_000) {
            continue;
        }
        let replica = dice.index(replicas) as u8;
        let illness = *dice.pick(&Illness::ALL);
        if !taken.contains(&replica) && ill.iter().all(|(other, _)| *other != replica) {
            ill.push((replica, illness));
        }
    }
    ill
}

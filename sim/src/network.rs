//! The network between replicas: which messages arrive, when, and how often.
//!
//! Links are directed, so that every kind of partition is a set of cut links. A link is shut for one
//! of three reasons, kept apart so that mending one leaves the others: it is cut (a partition), it
//! is stopped (it flaps, or is stopped one by one with others), or one of its ends stays ill after
//! healing. A clogged link loses nothing at first: it holds its messages until a moment and then
//! lets them go at once; what exceeds its queue is dropped.

use quorate_smr::{ReplicaId, ReplicaSet};

use crate::damage::{Damage, mangle};
use crate::dice::Dice;
use crate::fault::{FaultKind, Faults};
use crate::plan::{MS, NetworkPlan};
use crate::turbulence::{DelayShape, Illness, Turbulence};

/// What becomes of one message: the delays after which copies arrive, at most two.
pub(crate) type Fate = [Option<u64>; 2];

/// The mean delay beyond the shortest that is left when the network is healed, in nanoseconds.
const HEALED_EXTRA_NS: u64 = 5 * MS;
/// How often a link that stays clogged after healing lets its messages go, in nanoseconds.
const ILL_CLOG_NS: u64 = 250 * MS;
/// What the links of a replica that stays slow take longer, in nanoseconds.
const ILL_SLOW_NS: u64 = 300 * MS;
/// How much longer the way to a higher number is at most when the network is healed, in percent.
const HEALED_UPHILL_PERCENT: u64 = 100;
/// Bimodal delays: how many messages take the long route, in a million.
const LONG_ROUTE_PPM: u32 = 100_000;

/// A link that holds its messages.
#[derive(Clone, Copy, Debug, Default)]
struct Clog {
    until_ns: u64,
    held: usize,
}

/// The state of the links, and the dice that decide about messages.
#[derive(Debug)]
pub(crate) struct Network {
    plan: NetworkPlan,
    rough: Turbulence,
    dice: Dice,
    /// For what the plan's turbulence adds.
    rough_dice: Dice,
    /// For each sender, the receivers that it cannot reach: partitions; links that are stopped.
    cut: Vec<ReplicaSet>,
    stopped: Vec<ReplicaSet>,
    /// By sender and receiver.
    clogs: Vec<Clog>,
    /// When each sender's link is free again.
    link_free_at: Vec<u64>,
    healed: bool,
    /// Who stays ill after healing.
    ill: Vec<(u8, Illness)>,
}

impl Network {
    pub(crate) fn new(
        plan: NetworkPlan,
        rough: Turbulence,
        replicas: usize,
        dice: Dice,
        rough_dice: Dice,
    ) -> Self {
        let none = vec![ReplicaSet::EMPTY; replicas];
        let clogs = vec![Clog::default(); replicas * replicas];
        Self {
            plan,
            rough,
            dice,
            rough_dice,
            cut: none.clone(),
            stopped: none,
            clogs,
            link_free_at: vec![0; replicas],
            healed: false,
            ill: Vec::new(),
        }
    }

    /// Whether messages travel as encoded frames.
    pub(crate) const fn frames(&self) -> bool {
        self.plan.frames
    }

    /// Whether the time of a message depends on its size.
    pub(crate) const fn has_bandwidth(&self) -> bool {
        self.plan.byte_ps > 0
    }

    /// Decides about one message of `bytes`.
    pub(crate) fn fate(
        &mut self,
        now_ns: u64,
        from: ReplicaId,
        to: ReplicaId,
        bytes: usize,
        faults: &mut Faults,
    ) -> Fate {
        if self.is_shut(from, to) {
            faults.note(FaultKind::Cut);
            return [None, None];
        }
        let Some(held) = self.held(now_ns, from, to, faults) else { return [None, None] };
        let queueing = held + self.transmission(now_ns, from, bytes);
        if self.healed {
            return [Some(queueing + self.delay(from, to, faults)), None];
        }
        if self.dice.chance(self.plan.loss_ppm) && faults.strikes(FaultKind::Loss) {
            return [None, None];
        }
        let mut delay = queueing + self.delay(from, to, faults);
        if self.dice.chance(self.plan.reorder_ppm) && faults.strikes(FaultKind::Reorder) {
            delay += self.dice.below(self.plan.reorder_ns);
        }
        let twice = self.dice.chance(self.plan.duplicate_ppm);
        if !twice || !faults.strikes(FaultKind::Duplicate) {
            return [Some(delay), None];
        }
        let behind = self.delay(from, to, faults) + self.dice.below(self.plan.reorder_ns / 4);
        [Some(delay), Some(delay + behind)]
    }

    fn is_shut(&self, from: ReplicaId, to: ReplicaId) -> bool {
        let sender = usize::from(from.0);
        self.cut[sender].contains(to)
            || self.stopped[sender].contains(to)
            || self.is_shut_by_illness(from, to)
    }

    fn is_shut_by_illness(&self, from: ReplicaId, to: ReplicaId) -> bool {
        let count = self.cut.len() as u8;
        self.ill.iter().any(|(ill, illness)| {
            let (sends, hears) = (from.0 == *ill, to.0 == *ill);
            let friend = (ill + 1) % count;
            match illness {
                Illness::CutOff => sends || hears,
                Illness::Deaf => hears,
                Illness::Voiceless => sends,
                Illness::OneFriend => sends && to.0 != friend || hears && from.0 != friend,
                Illness::Clogged | Illness::Slow | Illness::Paused => false,
            }
        })
    }

    /// How long a clogged link holds a message; `None` when it drops it.
    fn held(
        &mut self,
        now_ns: u64,
        from: ReplicaId,
        to: ReplicaId,
        faults: &mut Faults,
    ) -> Option<u64> {
        let place = self.place(from, to);
        let ill = |(replica, illness): &(u8, Illness)| {
            *illness == Illness::Clogged && (*replica == from.0 || *replica == to.0)
        };
        let stays_clogged = self.ill.iter().any(ill);
        let clog = &mut self.clogs[place];
        if stays_clogged && clog.until_ns <= now_ns {
            *clog = Clog { until_ns: now_ns - now_ns % ILL_CLOG_NS + ILL_CLOG_NS, held: 0 };
        }
        if clog.until_ns <= now_ns {
            return Some(0);
        }
        if clog.held >= self.rough.clog_messages_max {
            faults.note(FaultKind::ClogOverflow);
            return None;
        }
        clog.held += 1;
        faults.note(FaultKind::ClogHeld);
        Some(clog.until_ns - now_ns)
    }

    fn place(&self, from: ReplicaId, to: ReplicaId) -> usize {
        usize::from(from.0) * self.cut.len() + usize::from(to.0)
    }

    /// Damages `frame`, one message out of many, in a way that its checksum or its header betrays.
    pub(crate) fn damage(&mut self, frame: &mut Vec<u8>, faults: &mut Faults) -> Option<Damage> {
        if self.healed || frame.is_empty() {
            return None;
        }
        if self.dice.chance(self.plan.corrupt_ppm) && faults.strikes(FaultKind::Corruption) {
            flip_burst(frame, &mut self.dice);
            return Some(Damage::Content);
        }
        if self.rough_dice.chance(self.rough.mangle_ppm) {
            return mangle(frame, self.cut.len(), &mut self.rough_dice, faults);
        }
        None
    }

    fn delay(&mut self, from: ReplicaId, to: ReplicaId, faults: &mut Faults) -> u64 {
        let extra = match (self.plan.delay_extra_ns, self.rough.delay_shape) {
            (0, _) => 0,
            (mean, DelayShape::LongTail) => self.dice.long_tail(mean),
            (mean, DelayShape::Fixed) => mean,
            (mean, DelayShape::Uniform) => self.dice.below(2 * mean),
            (mean, DelayShape::Bimodal) if self.dice.chance(LONG_ROUTE_PPM) => 8 * mean,
            (mean, DelayShape::Bimodal) => mean / 4,
        };
        let usual = self.plan.delay_min_ns + extra;
        let uphill = if from < to { self.rough.uphill_percent } else { 100 };
        usual * uphill / 100 + self.slowness(from, to, faults)
    }

    /// What a link takes longer than the others.
    fn slowness(&self, from: ReplicaId, to: ReplicaId, faults: &mut Faults) -> u64 {
        if self.healed {
            let slow = |(ill, illness): &(u8, Illness)| {
                *illness == Illness::Slow && (*ill == from.0 || *ill == to.0)
            };
            return if self.ill.iter().any(slow) { ILL_SLOW_NS } else { 0 };
        }
        let Some(slow) = self.rough.slow_link else { return 0 };
        let there = (slow.from, slow.to) == (from.0, to.0);
        let back = slow.both_ways && (slow.to, slow.from) == (from.0, to.0);
        if !(there || back) {
            return 0;
        }
        faults.note(FaultKind::SlowLink);
        slow.extra_ns
    }

    /// How long the message waits for its sender's link, and takes to leave.
    fn transmission(&mut self, now_ns: u64, from: ReplicaId, bytes: usize) -> u64 {
        if self.plan.byte_ps == 0 {
            return 0;
        }
        let free_at = &mut self.link_free_at[usize::from(from.0)];
        *free_at = (*free_at).max(now_ns) + self.plan.byte_ps * bytes as u64 / 1000;
        *free_at - now_ns
    }

    /// Cuts the link from `from` to `to`, in this direction only.
    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.cut[from].insert(ReplicaId(to as u8));
    }

    /// Stops the link from `from` to `to`, or lets it go again.
    pub(crate) fn stop(&mut self, from: usize, to: usize, stopped: bool) {
        let to = ReplicaId(to as u8);
        if stopped {
            self.stopped[from].insert(to);
        } else {
            self.stopped[from].remove(to);
        }
    }

    /// Lets the link from `from` to `to` hold its messages until `until_ns`.
    pub(crate) fn clog(&mut self, from: usize, to: usize, until_ns: u64) {
        let place = self.place(ReplicaId(from as u8), ReplicaId(to as u8));
        self.clogs[place] = Clog { until_ns, held: 0 };
    }

    /// Mends the link from `from` to `to`.
    pub(crate) fn mend_link(&mut self, from: usize, to: usize) {
        self.cut[from].remove(ReplicaId(to as u8));
    }

    /// Mends all cut links.
    pub(crate) fn mend(&mut self) {
        self.cut.fill(ReplicaSet::EMPTY);
    }

    /// Ends all faults, for good, but for the links of those in `ill`; long delays shrink.
    pub(crate) fn heal(&mut self, ill: Vec<(u8, Illness)>) {
        self.ill = ill;
        self.mend();
        self.stopped.fill(ReplicaSet::EMPTY);
        self.clogs.fill(Clog::default());
        self.healed = true;
        self.plan.delay_extra_ns = self.plan.delay_extra_ns.min(HEALED_EXTRA_NS);
        // A round trip of fourfold delays could take longer than the shortest election timeout
        // drawn; then no leader can last (Raft §5.6: broadcast time << election timeout).
        self.rough.uphill_percent = self.rough.uphill_percent.min(HEALED_UPHILL_PERCENT);
        self.rough.clog_messages_max = self.rough.clog_messages_max.max(1);
    }
}

/// Flips bits within four bytes: what CRC-32C promises to notice, whatever the frame's length.
fn flip_burst(frame: &mut [u8], dice: &mut Dice) {
    let start = dice.index(frame.len());
    let burst = (dice.word() as u32 | 1).to_le_bytes();
    for (byte, flips) in frame[start..].iter_mut().zip(burst) {
        *byte ^= flips;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::turbulence::SlowLink;

    fn network(change: impl Fn(&mut NetworkPlan, &mut Turbulence)) -> (Network, Faults) {
        let mut plan = Plan::quiet();
        change(&mut plan.network, &mut plan.turbulence);
        let dice = |part| Dice::new(1, part);
        (Network::new(plan.network, plan.turbulence, 3, dice(0), dice(1)), Faults::default())
    }

    fn arrives(
        network: &mut Network,
        faults: &mut Faults,
        now: u64,
        ends: (u8, u8),
    ) -> Option<u64> {
        let (from, to) = (ReplicaId(ends.0), ReplicaId(ends.1));
        network.fate(now, from, to, 100, faults)[0].map(|delay| now + delay)
    }

    #[test]
    fn a_clogged_link_holds_its_messages_bursts_and_drops_what_exceeds_its_queue() {
        let (mut network, mut faults) = network(|_, rough| rough.clog_messages_max = 3);
        network.clog(0, 1, 10 * MS);
        let at: Vec<_> =
            (0..5).map(|now| arrives(&mut network, &mut faults, now * MS, (0, 1))).collect();
        let burst = Some(10 * MS + MS / 2);
        assert_eq!(at, [burst, burst, burst, None, None]);
        let back = arrives(&mut network, &mut faults, 0, (1, 0));
        assert_eq!(back, Some(MS / 2), "the other direction flows");
        let later = arrives(&mut network, &mut faults, 10 * MS, (0, 1));
        assert_eq!(later, Some(10 * MS + MS / 2), "afterwards it flows again");
        let counts = faults.into_counts().0;
        assert_eq!(counts.of(FaultKind::ClogHeld), 3);
        assert_eq!(counts.of(FaultKind::ClogOverflow), 2);
    }

    #[test]
    fn a_slow_link_is_slow_in_the_directions_that_it_names() {
        let slow = SlowLink { from: 0, to: 2, extra_ns: 9 * MS, both_ways: false };
        let (mut network, mut faults) = network(|_, rough| rough.slow_link = Some(slow));
        assert_eq!(arrives(&mut network, &mut faults, 0, (0, 2)), Some(MS / 2 + 9 * MS));
        assert_eq!(arrives(&mut network, &mut faults, 0, (2, 0)), Some(MS / 2));
    }

    #[test]
    fn delays_have_the_shape_that_the_plan_names() {
        let drawn = |shape| {
            let (mut network, mut faults) = network(|plan, rough| {
                plan.delay_min_ns = 0;
                plan.delay_extra_ns = 8 * MS;
                rough.delay_shape = shape;
            });
            let mut all: Vec<_> =
                (0..2000).filter_map(|_| arrives(&mut network, &mut faults, 0, (1, 0))).collect();
            all.sort_unstable();
            all
        };
        assert!(drawn(DelayShape::Fixed).iter().all(|delay| *delay == 8 * MS));
        let uniform = drawn(DelayShape::Uniform);
        assert!(uniform[100] < 2 * MS && uniform[1000] > 7 * MS && uniform[1999] < 16 * MS);
        let mut bimodal = drawn(DelayShape::Bimodal);
        assert!((100..300).contains(&bimodal.iter().filter(|delay| **delay == 64 * MS).count()));
        bimodal.dedup();
        assert_eq!(bimodal, [2 * MS, 64 * MS]);
        assert!(drawn(DelayShape::LongTail)[1999] > 30 * MS);
    }

    #[test]
    fn links_can_be_slower_in_one_direction() {
        let (mut network, mut faults) = network(|_, rough| rough.uphill_percent = 400);
        assert_eq!(arrives(&mut network, &mut faults, 0, (0, 1)), Some(2 * MS));
        assert_eq!(arrives(&mut network, &mut faults, 0, (1, 0)), Some(MS / 2));
    }

    #[test]
    fn mending_a_partition_leaves_stopped_links_stopped() {
        let (mut network, mut faults) = network(|_, _| ());
        network.cut(0, 1);
        network.stop(0, 2, true);
        network.mend();
        assert!(arrives(&mut network, &mut faults, 0, (0, 1)).is_some());
        assert!(arrives(&mut network, &mut faults, 0, (0, 2)).is_none());
        network.stop(0, 2, false);
        assert!(arrives(&mut network, &mut faults, 0, (0, 2)).is_some());
    }

    #[test]
    fn an_illness_begins_with_the_healing_and_spares_the_links_of_the_others() {
        let reach = |illness| {
            let (mut network, mut faults) = network(|_, _| ());
            let ends = [(1, 0), (0, 1), (1, 2), (0, 2)];
            let before = ends.map(|ends| arrives(&mut network, &mut faults, 0, ends));
            assert!(before.iter().all(|at| *at == Some(MS / 2)), "{illness:?}");
            network.heal(vec![(1, illness)]);
            ends.map(|ends| arrives(&mut network, &mut faults, 0, ends).map(|at| at / MS))
        };
        let soon = Some(0);
        assert_eq!(reach(Illness::CutOff), [None, None, None, soon]);
        assert_eq!(reach(Illness::Deaf), [soon, None, soon, soon]);
        assert_eq!(reach(Illness::Voiceless), [None, soon, None, soon]);
        assert_eq!(reach(Illness::OneFriend), [None, None, soon, soon]);
        assert_eq!(reach(Illness::Slow), [Some(300), Some(300), Some(300), soon]);
        assert_eq!(reach(Illness::Clogged), [Some(250), Some(250), Some(250), soon]);
    }
}

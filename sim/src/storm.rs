//! Storms: the faults of `turbulence.rs` that come again and again, and who falls ill for good.
//!
//! All draws here come from the storm's own dice. Links that are stopped or clogged come back by
//! themselves; after healing nothing of a storm goes on but what a replica is left ill with.

use crate::event::Event;
use crate::fault::FaultKind;
use crate::graphs::Graph;
use crate::inspect::Inspect;
use crate::plan::Recurring;
use crate::turbulence::Illness;
use crate::world::{Phase, World};

/// Links that a swizzle stops, in parts of a million.
const SWIZZLED_PPM: u32 = 400_000;
/// How often a flapping link goes down and up again, at least and at most.
const FLAPS: (u64, u64) = (3, 12);
/// For how many times the protocol's longest wait a leader is paused, at least and at most.
const PAUSE_WAITS: (u64, u64) = (2, 5);
/// Clogs that befall all links towards a replica rather than one link, in parts of a million.
const WIDE_CLOG_PPM: u32 = 300_000;

/// A fault that comes again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storm {
    Clog,
    Swizzle,
    Flap,
    Graph,
    ClockStep,
    LeaderPause,
    Surge,
}

impl Storm {
    const ALL: [Self; 7] = [
        Self::Clog,
        Self::Swizzle,
        Self::Flap,
        Self::Graph,
        Self::ClockStep,
        Self::LeaderPause,
        Self::Surge,
    ];
}

/// What happens to a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkChange {
    Stop,
    Go,
    ClogUntil(u64),
}

impl<P: Inspect> World<P> {
    fn storm_plan(&self, storm: Storm) -> Recurring {
        let rough = &self.plan.turbulence;
        match storm {
            Storm::Clog => rough.clog,
            Storm::Swizzle => rough.swizzle,
            Storm::Flap => rough.flap,
            Storm::Graph => rough.graph,
            Storm::ClockStep => rough.clock_step,
            Storm::LeaderPause => rough.leader_pause,
            Storm::Surge => rough.surge,
        }
    }

    pub(crate) fn schedule_storms(&mut self) {
        for storm in Storm::ALL {
            self.schedule_storm(storm);
        }
    }

    fn schedule_storm(&mut self, storm: Storm) {
        let recurring = self.storm_plan(storm);
        if recurring.is_on() {
            let at = self.now_ns + self.storm_dice.long_tail(recurring.every_ns).max(1);
            self.queue.push(at, Event::Storm(storm));
        }
    }

    pub(crate) fn make_storm(&mut self, storm: Storm) {
        if self.phase != Phase::Faults {
            return;
        }
        self.schedule_storm(storm);
        let length_ns = self.storm_plan(storm).length_ns;
        match storm {
            Storm::Clog => self.clog_links(length_ns),
            Storm::Swizzle => self.swizzle(length_ns),
            Storm::Flap => self.flap(length_ns),
            Storm::Graph => self.part_as_graph(length_ns),
            Storm::ClockStep => self.step_clock(length_ns),
            Storm::LeaderPause => self.pause_leader(),
            Storm::Surge => self.surge(length_ns),
        }
    }

    /// Two replicas that differ, if there are two.
    fn pair(&mut self) -> Option<(usize, usize)> {
        let from = self.storm_dice.index(self.replicas);
        let step = 1 + self.storm_dice.index(self.replicas.saturating_sub(1));
        let to = (from + step) % self.replicas;
        (from != to).then_some((from, to))
    }

    /// Lets one link, or all towards one replica, hold their messages for a while.
    fn clog_links(&mut self, length_ns: u64) {
        let Some((from, to)) = self.pair() else { return };
        let until = self.now_ns + self.storm_dice.long_tail(length_ns).max(1);
        let wide = self.storm_dice.chance(WIDE_CLOG_PPM);
        if !self.faults.strikes(FaultKind::Clog) {
            return;
        }
        for sender in 0..self.replicas {
            if sender != to && (wide || sender == from) {
                self.network.clog(sender, to, until);
            }
        }
        self.note(|| format!("links to r{to} hold their messages, all links: {wide}"));
    }

    /// Stops a random subset of the links one by one, and restores them one by one in another order
    /// (swizzle-clogging, as FoundationDB's testing documentation describes it).
    fn swizzle(&mut self, length_ns: u64) {
        let mut links = Vec::new();
        for from in 0..self.replicas {
            for to in (0..self.replicas).filter(|to| *to != from) {
                if self.storm_dice.chance(SWIZZLED_PPM) {
                    let stops = self.storm_dice.below(length_ns);
                    let goes = self.storm_dice.between(length_ns, 2 * length_ns);
                    links.push((from, to, self.now_ns + stops, self.now_ns + goes));
                }
            }
        }
        let clogs = self.storm_dice.chance(500_000);
        if !self.faults.strikes(FaultKind::Swizzle) {
            return;
        }
        self.note(|| format!("{} links stop one by one, clogged: {clogs}", links.len()));
        for (from, to, stops, goes) in links {
            let change = if clogs { LinkChange::ClogUntil(goes) } else { LinkChange::Stop };
            self.queue.push(stops, Event::Link { from, to, change });
            if !clogs {
                self.queue.push(goes, Event::Link { from, to, change: LinkChange::Go });
            }
        }
    }

    /// One link, in one direction or both, goes down and up several times.
    fn flap(&mut self, length_ns: u64) {
        let Some((from, to)) = self.pair() else { return };
        let both = self.storm_dice.chance(500_000);
        let times = self.storm_dice.between(FLAPS.0, FLAPS.1);
        let struck = self.faults.strikes(FaultKind::Flap);
        let mut at = self.now_ns;
        for time in 0..2 * times {
            let change = if time % 2 == 0 { LinkChange::Stop } else { LinkChange::Go };
            if struck {
                self.queue.push(at, Event::Link { from, to, change });
            }
            if struck && both {
                self.queue.push(at, Event::Link { from: to, to: from, change });
            }
            at += self.storm_dice.long_tail(length_ns).max(1);
        }
        self.note(|| format!("the link r{from} - r{to} flaps, both ways: {both}"));
    }

    pub(crate) fn change_link(&mut self, from: usize, to: usize, change: LinkChange) {
        if self.phase != Phase::Faults {
            return;
        }
        self.note(|| format!("link r{from} -> r{to}: {change:?}"));
        match change {
            LinkChange::Stop => self.network.stop(from, to, true),
            LinkChange::Go => self.network.stop(from, to, false),
            LinkChange::ClogUntil(until_ns) => self.network.clog(from, to, until_ns),
        }
    }

    /// Leaves only the links of a graph that is known to be hard.
    fn part_as_graph(&mut self, length_ns: u64) {
        let graph = *self.storm_dice.pick(&Graph::ALL);
        let (hub, length) =
            (self.storm_dice.index(self.replicas), self.storm_dice.long_tail(length_ns));
        let leader = self.leader().map_or(0, |leader| usize::from(self.nodes[leader].id.0));
        let cuts = graph.cuts(self.replicas, leader, hub);
        if cuts.is_empty() || !self.faults.strikes(kind_of(graph)) {
            return;
        }
        self.network.mend();
        for (from, to) in cuts {
            self.network.cut(from, to);
        }
        self.partition += 1;
        let partition = self.partition;
        self.note(|| format!("graph {graph:?} around r{hub}, leader r{leader}"));
        self.queue.push(self.now_ns + length, Event::Mend { partition });
    }

    /// A clock jumps forward; what was due meanwhile is due now.
    fn step_clock(&mut self, length_ns: u64) {
        let node = self.storm_dice.index(self.nodes.len());
        let step_ns = self.storm_dice.long_tail(length_ns).max(1);
        if !self.faults.strikes(FaultKind::ClockStep) {
            return;
        }
        self.nodes[node].clock.step(step_ns);
        let id = self.nodes[node].id;
        self.note(|| format!("the clock of {id} jumps by {step_ns} ns"));
        self.schedule_tick(node);
    }

    /// The leader stands still for several election timeouts, and goes on with its old clock.
    fn pause_leader(&mut self) {
        let waits = self.storm_dice.between(PAUSE_WAITS.0, PAUSE_WAITS.1);
        let Some(leader) = self.leader() else { return };
        let node = &self.nodes[leader];
        if !node.is_honest()
            || node.paused.is_some()
            || !self.faults.strikes(FaultKind::LeaderPause)
        {
            return;
        }
        let length_ns = P::retry_after(&self.config).as_nanos() as u64 * waits;
        self.stand_still(leader, length_ns, true);
    }

    /// The illnesses that begin when the others are healed.
    pub(crate) fn fall_ill(&mut self) {
        for (replica, illness) in self.plan.turbulence.left_ill.clone() {
            if !self.faults.strikes(FaultKind::LeftIll) {
                continue;
            }
            // Where one badly connected replica can keep all others from agreeing on a leader, it
            // is cut off instead: nothing is promised there.
            let endured = P::endures(&self.config, self.replicas, illness);
            let illness = if endured { illness } else { Illness::CutOff };
            self.note(|| format!("r{replica} stays ill: {illness:?}"));
            self.ill.push((replica, illness));
        }
    }

    /// Whether `replica` stayed ill when the others were healed.
    pub(crate) fn is_ill(&self, replica: quorate_smr::ReplicaId) -> bool {
        self.ill.iter().any(|(ill, _)| *ill == replica.0)
    }

    /// Whether the process of `replica` stands still for good.
    pub(crate) fn stands_still_for_good(&self, replica: quorate_smr::ReplicaId) -> bool {
        self.ill.contains(&(replica.0, Illness::Paused))
    }
}

const fn kind_of(graph: Graph) -> FaultKind {
    match graph {
        Graph::QuorumLoss => FaultKind::QuorumLoss,
        Graph::ConstrainedElection => FaultKind::ConstrainedElection,
        Graph::Chained => FaultKind::Chained,
        Graph::LeaderDeaf => FaultKind::LeaderDeaf,
        Graph::LeaderVoiceless => FaultKind::LeaderVoiceless,
        Graph::FiveNodes => FaultKind::FiveNodes,
    }
}

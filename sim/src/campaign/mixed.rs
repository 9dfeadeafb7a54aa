//! Campaigns over several protocols and sizes of groups, for a range of seeds or until the time is
//! up.
//!
//! The protocols take turns seed by seed. Which size of group a seed runs with follows from the
//! seed, so that its number says everything that is needed to repeat it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Summary;
use crate::inspect::Inspect;
use crate::options::Options;
use crate::outcome::{Outcome, simulate};
use crate::registry::{ProtocolName, Visitor};

/// One seed in so many runs with the group that tolerates two faults rather than one.
const LARGER_GROUP_EVERY: u64 = 4;

/// A protocol and the size of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// The protocol.
    pub protocol: ProtocolName,
    /// Replicas.
    pub replicas: usize,
}

/// Which protocols run, and with how many replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    /// The protocols; they take turns.
    pub protocols: Vec<ProtocolName>,
    /// The sizes of groups; they take turns. Empty: mostly what one fault needs, and for one seed
    /// in four what two need.
    pub replicas: Vec<usize>,
}

impl Mix {
    /// How many replicas the run of `seed` has.
    #[must_use]
    pub fn replicas_of(&self, protocol: ProtocolName, seed: u64) -> usize {
        if !self.replicas.is_empty() {
            return self.replicas[(seed % self.replicas.len() as u64) as usize];
        }
        let larger = seed % LARGER_GROUP_EVERY == LARGER_GROUP_EVERY - 1;
        protocol.replicas_for(if larger { 2 } else { 1 })
    }
}

/// When a campaign ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Until {
    /// After these seeds, for each protocol.
    Seeds(Range<u64>),
    /// When the time is up.
    Time {
        /// The first seed; the others follow it.
        first: u64,
        /// How long.
        lasts: Duration,
    },
}

/// Many runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Campaign {
    /// Of what.
    pub mix: Mix,
    /// How many.
    pub until: Until,
}

/// What came of a campaign.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// For each group.
    pub groups: BTreeMap<Group, Summary>,
    /// Real time that it took.
    pub wall: Duration,
    /// Threads that made the runs.
    pub threads: usize,
    /// Whether it was stopped before its end.
    pub stopped: bool,
}

impl Report {
    /// Everything together.
    #[must_use]
    pub fn total(&self) -> Summary {
        self.groups.values().cloned().fold(Summary::default(), Summary::merge)
    }

    /// Every violation that was kept.
    pub fn violations(&self) -> impl Iterator<Item = (Group, u64, &crate::Violation)> {
        self.groups.iter().flat_map(|(group, summary)| {
            summary.violations.iter().map(|(seed, violation)| (*group, *seed, violation))
        })
    }

    fn merge(mut self, other: Self) -> Self {
        for (group, summary) in other.groups {
            let mine = self.groups.remove(&group).unwrap_or_default();
            self.groups.insert(group, mine.merge(summary));
        }
        self
    }
}

impl Campaign {
    /// Makes the runs over all threads of rayon's pool; `done` is told after each. Ends early, with
    /// what there is, when `stop` becomes true.
    pub fn run(&self, stop: &AtomicBool, done: impl Fn(&Outcome) + Sync) -> Report {
        let started = Instant::now();
        let next = AtomicU64::new(0);
        let parts = rayon::broadcast(|_| {
            let mut part = Report::default();
            while !stop.load(Ordering::Relaxed) {
                let turn = next.fetch_add(1, Ordering::Relaxed);
                let Some((group, seed)) = self.turn(turn, started.elapsed()) else { break };
                let began = Instant::now();
                let outcome = simulate_named(group, seed);
                let busy_ns = began.elapsed().as_nanos() as u64;
                done(&outcome);
                let summary = part.groups.entry(group).or_default();
                summary.add(outcome);
                summary.busy_ns += busy_ns;
            }
            part
        });
        let threads = parts.len();
        let report = parts.into_iter().fold(Report::default(), Report::merge);
        let stopped = stop.load(Ordering::Relaxed);
        Report { wall: started.elapsed(), threads, stopped, ..report }
    }

    /// The run that comes at the `turn`-th place; `None` when the campaign is over.
    fn turn(&self, turn: u64, elapsed: Duration) -> Option<(Group, u64)> {
        let protocols = self.mix.protocols.len() as u64;
        let protocol = self.mix.protocols[(turn % protocols) as usize];
        let seed = match &self.until {
            Until::Seeds(seeds) => {
                Some(seeds.start + turn / protocols).filter(|seed| *seed < seeds.end)
            }
            Until::Time { first, lasts } => {
                Some(first.wrapping_add(turn / protocols)).filter(|_| elapsed < *lasts)
            }
        }?;
        let replicas = self.mix.replicas_of(protocol, seed);
        Some((Group { protocol, replicas }, seed))
    }
}

/// As [`simulate`] with everything drawn from the seed, for a protocol that is known by name.
#[must_use]
pub fn simulate_named(group: Group, seed: u64) -> Outcome {
    struct Run(Group, u64);

    impl Visitor for Run {
        type Output = Outcome;

        fn visit<P: Inspect>(self) -> Outcome {
            simulate(&Options::<P>::new(self.0.replicas), self.1)
        }
    }

    group.protocol.visit(Run(group, seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mix(replicas: &[usize]) -> Mix {
        Mix { protocols: ProtocolName::ALL.to_vec(), replicas: replicas.to_vec() }
    }

    #[test]
    fn protocols_take_turns_and_every_fourth_seed_has_a_larger_group() {
        let campaign = Campaign { mix: mix(&[]), until: Until::Seeds(2..4) };
        let turns: Vec<_> = (0..).map_while(|turn| campaign.turn(turn, Duration::ZERO)).collect();
        let group = |protocol, replicas| Group { protocol, replicas };
        use ProtocolName::{Paxos, Pbft, Raft};
        let expected = [
            (group(Raft, 3), 2),
            (group(Paxos, 3), 2),
            (group(Pbft, 4), 2),
            (group(Raft, 5), 3),
            (group(Paxos, 5), 3),
            (group(Pbft, 7), 3),
        ];
        assert_eq!(turns, expected);
    }

    #[test]
    fn given_sizes_take_turns() {
        let sizes: Vec<_> =
            (0..4).map(|seed| mix(&[3, 5]).replicas_of(ProtocolName::Raft, seed)).collect();
        assert_eq!(sizes, [3, 5, 3, 5]);
    }

    #[test]
    fn a_campaign_on_the_clock_ends_when_the_time_is_up() {
        let until = Until::Time { first: u64::MAX, lasts: Duration::from_secs(2) };
        let campaign = Campaign { mix: mix(&[]), until };
        assert!(campaign.turn(9, Duration::from_secs(1)).is_some());
        assert_eq!(campaign.turn(9, Duration::from_secs(2)), None);
    }

    #[test]
    fn a_stopped_campaign_returns_what_there_is() {
        let until = Until::Time { first: 0, lasts: Duration::from_secs(3600) };
        let stop = AtomicBool::new(false);
        let report =
            Campaign { mix: mix(&[]), until }.run(&stop, |_| stop.store(true, Ordering::Relaxed));
        assert!(report.stopped && report.total().seeds >= 1);
    }

    #[test]
    fn what_a_campaign_finds_does_not_depend_on_the_number_of_threads() {
        let campaign = Campaign { mix: mix(&[]), until: Until::Seeds(0..8) };
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let report = pool.install(|| campaign.run(&AtomicBool::new(false), |_| ()));
            let hash = |summary: &Summary| (summary.seeds, summary.steps, summary.trace_hash);
            report.groups.iter().map(|(group, it)| (*group, hash(it))).collect::<Vec<_>>()
        };
        let alone = with(1);
        assert_eq!(alone.len(), 6);
        assert_eq!(alone, with(3));
    }
}

//! How evenly a balancer spreads requests, how many keys move when nodes come and go, and what a
//! choice costs.
//!
//! The first two are arithmetic: equal seeds give equal figures on every machine. What always
//! holds, or the repetition has failed: every request reached exactly one node that exists.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Zipf};

use super::balancer::{Algorithm, Chooser, homes};
use crate::machine::thread_cpu;
use crate::metric::Metric;

/// Different keys.
pub const KEYS: usize = 10_000;
/// Requests in one repetition.
pub const REQUESTS: usize = 50_000;
/// Requests outstanding for each node, where a balancer looks at them.
const OUTSTANDING_EACH: usize = 10;
/// Choices whose cost is measured together.
const LOOKUPS: usize = 20_000;
/// Keys that they go round; few, so that they stay in the cache.
const LOOKUP_KEYS: usize = 1_024;

/// How often each key is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skew {
    /// All alike.
    Uniform,
    /// Zipf's law with constant 0.5.
    Mild,
    /// With constant 0.99, as in YCSB.
    Ycsb,
    /// With constant 1.2.
    Strong,
}

impl Skew {
    /// All of them, from even to skewed.
    pub const ALL: [Self; 4] = [Self::Uniform, Self::Mild, Self::Ycsb, Self::Strong];

    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Mild => "zipf-0.5",
            Self::Ycsb => "zipf-0.99",
            Self::Strong => "zipf-1.2",
        }
    }

    const fn constant(self) -> Option<f64> {
        match self {
            Self::Uniform => None,
            Self::Mild => Some(0.5),
            Self::Ycsb => Some(0.99),
            Self::Strong => Some(1.2),
        }
    }
}

/// Requests as indices of their keys, without end.
pub(super) struct Requests {
    random: ChaCha8Rng,
    zipf: Option<Zipf<f64>>,
}

impl Requests {
    pub(super) fn new(skew: Skew, seed: u32) -> Result<Self, String> {
        let zipf = skew.constant().map(|constant| Zipf::new(KEYS as f64, constant));
        let zipf = zipf.transpose().map_err(|error| error.to_string())?;
        Ok(Self { random: ChaCha8Rng::seed_from_u64(u64::from(seed)), zipf })
    }

    pub(super) fn next(&mut self) -> usize {
        match &self.zipf {
            Some(zipf) => (zipf.sample(&mut self.random) as usize - 1).min(KEYS - 1),
            None => below(&mut self.random, KEYS),
        }
    }
}

/// A number below `limit`.
pub(super) fn below(random: &mut ChaCha8Rng, limit: usize) -> usize {
    ((u64::from(random.next_u32()) * limit as u64) >> 32) as usize
}

/// The keys of a repetition: others for each seed.
pub(super) fn keys(seed: u32) -> Vec<Vec<u8>> {
    (0..KEYS).map(|rank| format!("{seed}/user{rank}").into_bytes()).collect()
}

/// Spreads requests over `nodes` nodes, then lets one join and one leave.
///
/// # Errors
/// What went wrong, in words.
pub fn balance(
    algorithm: Algorithm,
    nodes: usize,
    skew: Skew,
    seed: u32,
) -> Result<BTreeMap<Metric, f64>, String> {
    let keys = keys(seed);
    let loads = loads(algorithm, nodes, skew, seed, &keys)?;
    let mut values = spread(&loads);
    let moved = homes(algorithm, nodes, seed, &keys).map_err(|error| error.to_string())?;
    if let Some([before, joined, left]) = moved {
        let share = |after: &[u16]| {
            let moved = before.iter().zip(after).filter(|(one, other)| one != other).count();
            moved as f64 * 100.0 / keys.len() as f64
        };
        values.insert(Metric::MovedJoin, share(&joined));
        values.insert(Metric::MovedLeave, share(&left));
    }
    Ok(values)
}

/// Requests that each node got.
fn loads(
    algorithm: Algorithm,
    nodes: usize,
    skew: Skew,
    seed: u32,
    keys: &[Vec<u8>],
) -> Result<Vec<u64>, String> {
    let mut chooser = Chooser::new(algorithm, nodes, seed).map_err(|error| error.to_string())?;
    let mut requests = Requests::new(skew, seed)?;
    let mut ends = ChaCha8Rng::seed_from_u64(!u64::from(seed));
    let mut outstanding: Vec<usize> = Vec::with_capacity(OUTSTANDING_EACH * nodes);
    let mut loads = vec![0; nodes];
    for _ in 0..REQUESTS {
        if outstanding.len() == OUTSTANDING_EACH * nodes {
            let ended = outstanding.swap_remove(below(&mut ends, OUTSTANDING_EACH * nodes));
            chooser.completed(ended);
        }
        let node = chooser.choose(&keys[requests.next()]);
        *loads.get_mut(node).ok_or_else(|| format!("there is no node {node}"))? += 1;
        outstanding.push(node);
    }
    let total: u64 = loads.iter().sum();
    if total == REQUESTS as u64 {
        Ok(loads)
    } else {
        Err(format!("{total} requests reached a node where {REQUESTS} were sent"))
    }
}

/// The largest load over the mean, and how many nodes are how far from it.
fn spread(loads: &[u64]) -> BTreeMap<Metric, f64> {
    let mean = loads.iter().sum::<u64>() as f64 / loads.len() as f64;
    let shares: Vec<f64> = loads.iter().map(|load| *load as f64 / mean).collect();
    let within = |low: f64, high: f64| {
        let count = shares.iter().filter(|share| (low..high).contains(share)).count();
        count as f64 * 100.0 / shares.len() as f64
    };
    BTreeMap::from([
        (Metric::Imbalance, shares.iter().copied().fold(0.0, f64::max)),
        (Metric::NodesBelow50, within(0.0, 0.5)),
        (Metric::NodesBelow90, within(0.5, 0.9)),
        (Metric::NodesNear, within(0.9, 1.1)),
        (Metric::NodesAbove110, within(1.1, 1.5)),
        (Metric::NodesAbove150, within(1.5, f64::INFINITY)),
    ])
}

/// The CPU time of one choice among `nodes` nodes, its end included where that is counted.
///
/// # Errors
/// What went wrong, in words.
pub fn lookup(algorithm: Algorithm, nodes: usize) -> Result<BTreeMap<Metric, f64>, String> {
    let keys = &keys(0)[..LOOKUP_KEYS];
    let mut chooser = Chooser::new(algorithm, nodes, 1).map_err(|error| error.to_string())?;
    // What is outstanding meanwhile, so that those who look at it have something to see.
    let held: Vec<usize> =
        keys.iter().take(OUTSTANDING_EACH * nodes).map(|key| chooser.choose(key)).collect();
    let start = thread_cpu();
    let mut sum = 0;
    for key in keys.iter().cycle().take(LOOKUPS) {
        let node = chooser.choose(key);
        chooser.completed(node);
        sum += node;
    }
    let took = thread_cpu() - start;
    std::hint::black_box(sum);
    held.into_iter().for_each(|node| chooser.completed(node));
    Ok(BTreeMap::from([(Metric::LookupTime, took.as_secs_f64() * 1e9 / LOOKUPS as f64)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::sharding::balancer::ALGORITHMS;

    fn figure(algorithm: Algorithm, skew: Skew, metric: Metric) -> f64 {
        balance(algorithm, 16, skew, 7).unwrap()[&metric]
    }

    #[test]
    fn a_seed_gives_the_same_figures_again_and_another_seed_others() {
        for algorithm in [Algorithm::PowerOfTwo, Algorithm::Ring, Algorithm::BoundedRing] {
            let once = balance(algorithm, 16, Skew::Ycsb, 3).unwrap();
            assert_eq!(once, balance(algorithm, 16, Skew::Ycsb, 3).unwrap());
            assert_ne!(once, balance(algorithm, 16, Skew::Ycsb, 4).unwrap());
        }
    }

    #[test]
    fn every_node_is_counted_in_one_class() {
        for algorithm in ALGORITHMS {
            let values = balance(algorithm, 16, Skew::Strong, 1).unwrap();
            let classes = [
                Metric::NodesBelow50,
                Metric::NodesBelow90,
                Metric::NodesNear,
                Metric::NodesAbove110,
                Metric::NodesAbove150,
            ];
            let all: f64 = classes.iter().map(|class| values[class]).sum();
            assert!((all - 100.0).abs() < 1e-9, "{algorithm:?}: {all}");
        }
    }

    #[test]
    fn a_hot_key_overloads_its_home_unless_loads_are_bounded_or_keys_ignored() {
        for algorithm in ALGORITHMS {
            let imbalance = figure(algorithm, Skew::Strong, Metric::Imbalance);
            let spreads = !algorithm.is_keyed() || algorithm == Algorithm::BoundedRing;
            assert_eq!(imbalance < 1.5, spreads, "{algorithm:?}: {imbalance}");
        }
        assert!(figure(Algorithm::RoundRobin, Skew::Strong, Metric::Imbalance) < 1.001);
    }

    #[test]
    fn a_node_that_joins_takes_its_share_and_modulo_moves_nearly_all() {
        let ideal = 100.0 / 17.0;
        for algorithm in [Algorithm::SlotTable, Algorithm::Rendezvous, Algorithm::Jump] {
            let moved = figure(algorithm, Skew::Uniform, Metric::MovedJoin);
            assert!((moved - ideal).abs() < 1.0, "{algorithm:?}: {moved}");
        }
        assert!(figure(Algorithm::Modulo, Skew::Uniform, Metric::MovedJoin) > 90.0);
        let values = balance(Algorithm::RoundRobin, 16, Skew::Uniform, 1).unwrap();
        assert!(!values.contains_key(&Metric::MovedJoin), "keys have no home there");
    }

    #[test]
    fn a_choice_takes_some_time() {
        for algorithm in ALGORITHMS {
            assert!(lookup(algorithm, 4).unwrap()[&Metric::LookupTime] > 0.0, "{algorithm:?}");
        }
    }
}

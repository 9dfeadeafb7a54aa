//! Many seeds over all cores, and what came of them together.

use std::ops::Range;

use rayon::prelude::*;

use crate::fault::FaultCounts;
use crate::inspect::Inspect;
use crate::options::Options;
use crate::outcome::{Outcome, simulate};
use crate::violation::Violation;

/// What came of many runs.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Runs made.
    pub seeds: u64,
    /// Virtual time of all runs, in nanoseconds.
    pub virtual_ns: u128,
    /// Inputs handled by replicas.
    pub steps: u64,
    /// Events of all kinds.
    pub events: u64,
    /// Messages between replicas.
    pub messages: u64,
    /// Slots decided.
    pub slots: u64,
    /// Operations of clients that were called, and that returned.
    pub operations: u64,
    /// Operations of known outcome.
    pub completed: u64,
    /// Faults by kind.
    pub faults: FaultCounts,
    /// Runs beyond the fault bound; those without a violation stopped safely.
    pub beyond_bound: u64,
    /// Histories that the linearizability checker could not decide within its limit.
    pub checks_given_up: u64,
    /// Seeds with a broken invariant, lowest first.
    pub violations: Vec<(u64, Violation)>,
}

impl Summary {
    /// Adds one run.
    pub fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.virtual_ns += u128::from(outcome.virtual_ns);
        self.steps += outcome.steps;
        self.events += outcome.events;
        self.messages += outcome.messages;
        self.slots += outcome.slots;
        self.operations += outcome.history.len() as u64;
        self.completed += outcome.latencies_ns.len() as u64;
        self.faults.merge(&outcome.faults);
        self.beyond_bound += u64::from(outcome.beyond_bound);
        self.checks_given_up += u64::from(outcome.check_gave_up);
        if let Some(violation) = outcome.violation {
            self.violations.push((outcome.seed, violation));
        }
    }

    /// Adds the runs of another summary.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.seeds += other.seeds;
        self.virtual_ns += other.virtual_ns;
        self.steps += other.steps;
        self.events += other.events;
        self.messages += other.messages;
        self.slots += other.slots;
        self.operations += other.operations;
        self.completed += other.completed;
        self.faults.merge(&other.faults);
        self.beyond_bound += other.beyond_bound;
        self.checks_given_up += other.checks_given_up;
        self.violations.extend(other.violations);
        self.violations.sort_by_key(|(seed, _)| *seed);
        self
    }
}

/// Runs all `seeds` over all cores; `done` is told after each.
pub fn run_seeds<P: Inspect>(
    options: &Options<P>,
    seeds: Range<u64>,
    done: impl Fn(&Outcome) + Sync,
) -> Summary
where
    Options<P>: Sync,
{
    let one = |summary: Summary, seed| {
        let outcome = simulate(options, seed);
        done(&outcome);
        let mut summary = summary;
        summary.add(outcome);
        summary
    };
    seeds.into_par_iter().fold(Summary::default, one).reduce(Summary::default, Summary::merge)
}

/// The lowest seeds are tried first; the first violation found ends the search.
pub fn find_violation<P: Inspect>(
    options: &Options<P>,
    seeds: Range<u64>,
) -> Option<(u64, Violation)>
where
    Options<P>: Sync,
{
    const CHUNK: u64 = 16;
    let mut start = seeds.start;
    while start < seeds.end {
        let end = seeds.end.min(start + CHUNK);
        let found = run_seeds(options, start..end, |_| ()).violations;
        if let Some(first) = found.into_iter().next() {
            return Some(first);
        }
        start = end;
    }
    None
}

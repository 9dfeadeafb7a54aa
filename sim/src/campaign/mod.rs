//! Many seeds over all cores, and what came of them together.
//!
//! What always holds: a [`Summary`] does not grow with the number of runs, and does not depend on
//! the number of threads or on which of them made which run.

mod mixed;

use std::ops::Range;

use rayon::prelude::*;

use crate::fault::FaultCounts;
use crate::inspect::Inspect;
use crate::options::Options;
use crate::outcome::{Outcome, simulate};
use crate::violation::Violation;
pub use mixed::{Campaign, Group, Mix, Report, Until, simulate_named};

/// Violations that a summary keeps, those of the lowest seeds; the others are only counted.
pub const VIOLATIONS_KEPT_MAX: usize = 100;

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
    /// Runs with a broken invariant.
    pub violated: u64,
    /// Seeds with a broken invariant, lowest first, at most [`VIOLATIONS_KEPT_MAX`].
    pub violations: Vec<(u64, Violation)>,
    /// The sum of all runs' trace hashes: equal for equal seeds of equal code, whatever the machine
    /// and the number of threads.
    pub trace_hash: u64,
    /// Real time that the runs took, each on its core, in nanoseconds; 0 where nobody measured.
    pub busy_ns: u64,
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
        self.trace_hash = self.trace_hash.wrapping_add(outcome.trace_hash);
        if let Some(violation) = outcome.violation {
            self.violated += 1;
            self.violations.push((outcome.seed, violation));
            self.keep_the_lowest();
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
        self.trace_hash = self.trace_hash.wrapping_add(other.trace_hash);
        self.busy_ns += other.busy_ns;
        self.violated += other.violated;
        self.violations.extend(other.violations);
        self.keep_the_lowest();
        self
    }

    fn keep_the_lowest(&mut self) {
        self.violations.sort_by_key(|(seed, _)| *seed);
        self.violations.truncate(VIOLATIONS_KEPT_MAX);
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

#[cfg(test)]
mod tests {
    use quorate_raft::Raft;

    use super::*;
    use crate::violation::Violation;

    #[test]
    fn a_summary_keeps_the_lowest_violations_and_counts_the_others() {
        let outcome = simulate(&Options::<Raft>::new(1), 0);
        let detail = String::new();
        let violation = Violation { invariant: "planted", detail, at_ns: 0, step: 0 };
        let mut halves = [Summary::default(), Summary::default()];
        for seed in (0..300).rev() {
            let violation = Some(violation.clone());
            halves[seed as usize % 2].add(Outcome { seed, violation, ..outcome.clone() });
        }
        let [even, odd] = halves;
        let all = even.merge(odd);
        assert_eq!((all.violated, all.violations.len()), (300, VIOLATIONS_KEPT_MAX));
        let seeds: Vec<_> = all.violations.iter().map(|(seed, _)| *seed).collect();
        assert_eq!(seeds, (0..100).collect::<Vec<_>>());
    }
}

//! Reduces a failing run to the few faults that it takes.
//!
//! A run is made of a plan and of faults with names ([`FaultId`]). Three kinds of reduction take
//! turns until none helps any more or the budget is spent: whole kinds of faults are left out, then
//! halves of what is left and single faults (*delta debugging*, Zeller and Hildebrandt 2002), and the
//! plan is made quieter, field by field, with less work. A candidate counts when it breaks the same invariant.
//!
//! What always holds: the result was run and breaks the invariant; it does not depend on the number
//! of threads.

mod ddmin;
mod quieter;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use crate::fault::{FaultCounts, FaultId, FaultKind};
use crate::inspect::Inspect;
use crate::options::Options;
use crate::outcome::{Outcome, simulate};
use crate::plan::Plan;
use ddmin::minimise;
pub use quieter::count_knobs;
use quieter::{smaller, with_knobs};

/// How far a reduction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Runs made.
    pub runs: u64,
    /// Faults that are left.
    pub faults: usize,
    /// Fields of the plan that are not quiet.
    pub knobs: usize,
}

/// A run that breaks an invariant, reduced.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// What is left of the plan.
    pub plan: Plan,
    /// The faults that are left. No others take place.
    pub kept: BTreeSet<FaultId>,
    /// What comes of the reduced run.
    pub outcome: Outcome,
    /// What came of the run before.
    pub before: Outcome,
    /// Fields of the plan that were not quiet before, and that are not quiet now.
    pub knobs: (usize, usize),
    /// Faults that could strike before.
    pub faults_before: usize,
    /// Runs that it took, had they been made one after the other.
    pub runs: u64,
}

/// The run of `seed`, reduced; `None` when it breaks no invariant.
///
/// `told` hears of the progress. Cost: at most `budget` runs and two
/// more, and those that other cores make before they know that they are not needed.
pub fn shrink<P: Inspect>(
    options: &Options<P>,
    seed: u64,
    budget: u64,
    told: impl Fn(Progress) + Sync,
) -> Option<Shrunk>
where
    Options<P>: Sync,
{
    let before = simulate(options, seed);
    let invariant = before.violation.as_ref()?.invariant;
    let plan = options.plan_of(seed);
    let mut shrinker = Shrinker {
        options: Options { plan: None, sharpen: None, ..options.clone() },
        seed,
        invariant,
        left: budget,
        runs: AtomicU64::new(0),
        kept: drawn(&before.drawn, options),
        plan: plan.clone(),
        told,
    };
    let faults_before = shrinker.kept.len();
    shrinker.reduce();
    let Shrinker { kept, plan: reduced, left, .. } = shrinker;
    let knobs = (count_knobs(&plan), count_knobs(&reduced));
    let outcome = simulate(&with(options, &reduced, &kept), seed);
    // What was kept for a plan that has since become quieter may not be drawn any more.
    let kept = kept.into_iter().filter(|id| id.number < outcome.drawn.of(id.kind)).collect();
    let runs = budget - left;
    Some(Shrunk { plan: reduced, kept, outcome, before, knobs, faults_before, runs })
}

/// The options of a run with this plan and only these faults.
#[must_use]
pub fn with<P: Inspect>(options: &Options<P>, plan: &Plan, kept: &BTreeSet<FaultId>) -> Options<P> {
    let (plan, kept) = (Some(plan.clone()), Some(kept.clone()));
    Options { plan, kept, sharpen: None, ..options.clone() }
}

/// Every fault that took place in a run.
fn drawn<P: Inspect>(counts: &FaultCounts, options: &Options<P>) -> BTreeSet<FaultId> {
    let all = counts
        .injected()
        .flat_map(|(kind, count)| (0..count).map(move |number| FaultId { kind, number }));
    let kept = |id: &FaultId| options.kept.as_ref().is_none_or(|kept| kept.contains(id));
    all.filter(|id| !options.spared.contains(id) && kept(id)).collect()
}

struct Shrinker<P: Inspect, T> {
    options: Options<P>,
    seed: u64,
    invariant: &'static str,
    /// Runs that may still be made.
    left: u64,
    /// Runs made.
    runs: AtomicU64,
    kept: BTreeSet<FaultId>,
    plan: Plan,
    told: T,
}

impl<P: Inspect, T: Fn(Progress) + Sync> Shrinker<P, T>
where
    Options<P>: Sync,
{
    fn reduce(&mut self) {
        loop {
            let before = (self.kept.clone(), self.plan.clone());
            self.spare_kinds();
            self.quieten();
            self.spare_single();
            if self.left == 0 || before == (self.kept.clone(), self.plan.clone()) {
                return;
            }
        }
    }

    /// Leaves out whole kinds of faults.
    fn spare_kinds(&mut self) {
        let kinds: BTreeSet<FaultKind> = self.kept.iter().map(|id| id.kind).collect();
        let (plan, all) = (self.plan.clone(), self.kept.clone());
        let of = |kinds: &[FaultKind]| -> BTreeSet<FaultId> {
            all.iter().filter(|id| kinds.contains(&id.kind)).copied().collect()
        };
        let kinds = minimise(kinds.into_iter().collect(), |candidates| {
            self.first(candidates, |kinds| (plan.clone(), of(kinds)))
        });
        self.kept = of(&kinds);
    }

    /// Leaves out halves, quarters and so on, down to single faults.
    fn spare_single(&mut self) {
        let plan = self.plan.clone();
        let faults = minimise(self.kept.iter().copied().collect(), |candidates| {
            self.first(candidates, |faults| (plan.clone(), faults.iter().copied().collect()))
        });
        self.kept = faults.into_iter().collect();
    }

    /// Makes the plan quieter: as few fields as it takes, then less work.
    fn quieten(&mut self) {
        let (plan, kept) = (self.plan.clone(), self.kept.clone());
        let knobs = minimise(quieter::knobs(&plan), |candidates| {
            self.first(candidates, |knobs| (with_knobs(&plan, knobs), kept.clone()))
        });
        self.plan = with_knobs(&plan, &knobs);
        loop {
            let mut steps = smaller(&self.plan);
            let Some(taken) = self.first(&steps, |plan| (plan.clone(), kept.clone())) else {
                return;
            };
            self.plan = steps.swap_remove(taken);
        }
    }

    /// The first of `candidates` that breaks the invariant; they are tried over all cores.
    fn first<C: Sync>(
        &mut self,
        candidates: &[C],
        of: impl Fn(&C) -> (Plan, BTreeSet<FaultId>) + Sync,
    ) -> Option<usize> {
        let candidates = &candidates[..candidates.len().min(self.left as usize)];
        let found = candidates.par_iter().enumerate().find_first(|(_, candidate)| {
            let (plan, kept) = of(candidate);
            let outcome = simulate(&with(&self.options, &plan, &kept), self.seed);
            let runs = self.runs.fetch_add(1, Ordering::Relaxed) + 1;
            (self.told)(Progress { runs, faults: kept.len(), knobs: count_knobs(&plan) });
            outcome.violation.is_some_and(|violation| violation.invariant == self.invariant)
        });
        let found = found.map(|(place, _)| place);
        // As though one after the other, so that the result does not depend on the threads.
        self.left -= found.map_or(candidates.len(), |place| place + 1) as u64;
        found
    }
}

//! Runs plans: interleaves repetitions, repeats disturbed ones, shows progress on standard error.

use indicatif::{ProgressBar, ProgressStyle};

use crate::error::BenchError;
use crate::experiment::{Effort, Experiment, Plan, Trial};
use crate::machine::LoadMeter;
use crate::run::{Done, Sample};

/// Repetitions of one cell, at most.
pub const REPETITIONS_MAX: u32 = 1000;
/// The share of CPU time of other processes above which a repetition is repeated, in percent.
pub const FOREIGN_CPU_MAX_PERCENT: u32 = 10;
/// How often one repetition is repeated at most because of other processes.
pub const REPEATS_MAX: u32 = 3;
/// In a short run: the share of all repetitions that may be repeated.
const QUICK_REPEATS_SHARE: f64 = 0.1;

/// Runs `experiments` and returns their samples with a note on each.
///
/// # Errors
/// When a plan cannot be made. Failed repetitions are samples, not errors.
pub fn run(
    experiments: &[&Experiment],
    effort: &Effort,
) -> Result<(Vec<Done>, Vec<Sample>), BenchError> {
    if effort.repetitions.is_some_and(|count| count == 0 || count > REPETITIONS_MAX) {
        let value = effort.repetitions.unwrap_or(0).to_string();
        let (setting, allowed) = ("--repetitions", "between 1 and 1000");
        return Err(BenchError::Setting { setting, value, allowed });
    }
    let (mut done, mut samples) = (Vec::new(), Vec::new());
    for experiment in experiments {
        let mut plan = (experiment.plan)(effort)?;
        plan.repetitions = effort.repetitions.unwrap_or(plan.repetitions);
        run_plan(experiment.name, &mut plan, effort, &mut samples);
        done.push(Done {
            name: experiment.name.into(),
            repetitions: plan.repetitions,
            measured_ms: u64::try_from(plan.measured.as_millis()).unwrap_or(u64::MAX),
            settings: plan.settings,
        });
    }
    Ok((done, samples))
}

fn run_plan(name: &str, plan: &mut Plan, effort: &Effort, samples: &mut Vec<Sample>) {
    let steps = u64::from(plan.repetitions) * plan.trials.len() as u64;
    let progress = progress(name, steps);
    let budget = if effort.quick {
        (steps as f64 * QUICK_REPEATS_SHARE).ceil() as u32
    } else {
        u32::try_from(steps).unwrap_or(u32::MAX)
    };
    let (mut repeats_left, first) = (budget, samples.len());
    for repetition in 1..=plan.repetitions {
        let count = plan.trials.len();
        for place in 0..count {
            // Every other round runs backwards, so that a drift favours no cell.
            let place = if repetition % 2 == 1 { place } else { count - 1 - place };
            let trial = &mut plan.trials[place];
            progress.set_message(trial.cell.to_string());
            samples.push(measure(trial, repetition, &mut repeats_left));
            progress.inc(1);
        }
    }
    // Tables follow the plan's order, whichever way the rounds ran.
    let place = |sample: &Sample| plan.trials.iter().position(|trial| trial.cell == sample.cell);
    samples[first..].sort_by_key(|sample| (place(sample), sample.repetition));
    progress.finish_and_clear();
}

/// Measures once, again where others disturbed it and the budget allows, and keeps the last.
fn measure(trial: &mut Trial, repetition: u32, repeats_left: &mut u32) -> Sample {
    let mut repeats = 0;
    loop {
        let meter = LoadMeter::start();
        let outcome = (trial.measure)(repetition);
        let foreign_cpu = meter.foreign_share();
        let disturbed = foreign_cpu * 100.0 > f64::from(FOREIGN_CPU_MAX_PERCENT);
        if disturbed && outcome.proof.is_verified() && repeats < REPEATS_MAX && *repeats_left > 0 {
            repeats += 1;
            *repeats_left -= 1;
            continue;
        }
        let (cell, values, proof) = (trial.cell.clone(), outcome.values, outcome.proof);
        let latencies = outcome.latencies;
        // Four digits: the share is known to about a percent.
        let foreign_cpu = (foreign_cpu * 1e4).round() / 1e4;
        return Sample { cell, repetition, foreign_cpu, repeats, proof, values, latencies };
    }
}

fn progress(name: &str, steps: u64) -> ProgressBar {
    let bar = ProgressBar::new(steps);
    if bar.is_hidden() {
        eprintln!("{name}: {steps} repetitions");
    }
    let template = "{prefix:>12} [{bar:30}] {pos}/{len} {elapsed} left {eta}  {wide_msg}";
    let style = ProgressStyle::with_template(template).unwrap_or(ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("=> "));
    bar.set_prefix(name.to_owned());
    bar.enable_steady_tick(std::time::Duration::from_millis(500));
    bar
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::rc::Rc;
    use std::time::Duration;

    use super::*;
    use crate::experiment::Outcome;
    use crate::metric::Metric;
    use crate::run::{Cell, Proof};

    fn plan(log: &Rc<RefCell<Vec<String>>>) -> Plan {
        let trial = |system: &str| {
            let (log, name) = (log.clone(), system.to_owned());
            let measure = move |repetition| {
                log.borrow_mut().push(format!("{name}{repetition}"));
                let values = BTreeMap::from([(Metric::Throughput, f64::from(repetition))]);
                Outcome::new(values, Proof::Verified)
            };
            Trial { cell: Cell::new("test", system, "all", "x"), measure: Box::new(measure) }
        };
        Plan {
            trials: vec![trial("a"), trial("b"), trial("c")],
            repetitions: 2,
            measured: Duration::ZERO,
            settings: BTreeMap::new(),
        }
    }

    #[test]
    fn repetitions_are_interleaved_and_every_other_round_runs_backwards() {
        let log = Rc::new(RefCell::new(Vec::new()));
        let mut samples = Vec::new();
        let effort = Effort { quick: true, repetitions: None };
        run_plan("test", &mut plan(&log), &effort, &mut samples);
        let mut first_of_each: Vec<String> = log.borrow().clone();
        first_of_each.dedup();
        assert_eq!(first_of_each, ["a1", "b1", "c1", "c2", "b2", "a2"]);
        let order: Vec<_> =
            samples.iter().map(|s| format!("{}{}", s.cell.system, s.repetition)).collect();
        assert_eq!(order, ["a1", "a2", "b1", "b2", "c1", "c2"]);
    }

    #[test]
    fn a_failed_repetition_is_a_sample_and_is_not_tried_again() {
        let mut calls = 0;
        let cell = Cell::new("test", "a", "all", "x");
        let mut left = 10;
        let sample = {
            let measure = Box::new(|_| Outcome::failed(&"replica 1 differs"));
            measure_counted(&mut calls, Trial { cell, measure }, &mut left)
        };
        assert_eq!((calls, left), (1, 10));
        assert!(!sample.proof.is_verified());
    }

    fn measure_counted(calls: &mut u32, trial: Trial, left: &mut u32) -> Sample {
        let counter = Rc::new(RefCell::new(0));
        let (inner, mut measure_once) = (counter.clone(), trial.measure);
        let counted = move |repetition| {
            *inner.borrow_mut() += 1;
            measure_once(repetition)
        };
        let mut trial = Trial { cell: trial.cell, measure: Box::new(counted) };
        let sample = measure(&mut trial, 1, left);
        *calls = *counter.borrow();
        sample
    }

    #[test]
    fn zero_repetitions_are_refused_before_anything_is_measured() {
        for repetitions in [Some(0), Some(REPETITIONS_MAX + 1)] {
            let effort = Effort { quick: true, repetitions };
            assert!(matches!(run(&[], &effort), Err(BenchError::Setting { .. })));
        }
    }
}

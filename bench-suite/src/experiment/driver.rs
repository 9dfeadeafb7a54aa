//! Runs plans: interleaves repetitions, repeats disturbed ones, keeps each sample as it comes, and
//! leaves out those that an interrupted run kept before.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::error::BenchError;
use crate::experiment::{Effort, Experiment, Plan, Trial};
use crate::machine::LoadMeter;
use crate::partial::Partial;
use crate::progress::{Progress, Stage};
use crate::run::{Cell, Done, Proof, Sample};

/// Repetitions of one cell, at most.
pub const REPETITIONS_MAX: u32 = 1000;
/// The share of CPU time of other processes above which a repetition is repeated, in percent.
pub const FOREIGN_CPU_MAX_PERCENT: u32 = 10;
/// How often one repetition is repeated at most because of other processes.
pub const REPEATS_MAX: u32 = 3;
/// In a short run: the share of all repetitions that may be repeated.
const QUICK_REPEATS_SHARE: f64 = 0.1;

/// Refuses what cannot be measured.
///
/// # Errors
/// When there would be no repetition, or more than [`REPETITIONS_MAX`].
pub fn check(effort: &Effort) -> Result<(), BenchError> {
    match effort.repetitions {
        Some(count) if count == 0 || count > REPETITIONS_MAX => Err(BenchError::Setting {
            setting: "--repetitions",
            value: count.to_string(),
            allowed: "between 1 and 1000",
        }),
        _ => Ok(()),
    }
}

/// Runs `experiments` and keeps their samples in `partial`; what is there already is not measured
/// again. Returns what the manifest says of each.
///
/// # Errors
/// When a plan cannot be made, or a sample not be kept. Failed repetitions are samples, not errors.
pub fn run(
    experiments: &[&Experiment],
    effort: &Effort,
    partial: &mut Partial,
) -> Result<Vec<Done>, BenchError> {
    let plan = |experiment: &Experiment| {
        let mut plan = (experiment.plan)(effort)?;
        plan.repetitions = effort.repetitions.unwrap_or(plan.repetitions);
        Ok(plan)
    };
    let mut progress = Progress::new(survey(experiments, partial, plan)?);
    let mut all = Vec::new();
    for (place, experiment) in experiments.iter().enumerate() {
        if let Some(done) = partial.finished(experiment.name) {
            all.push(done.clone());
            continue;
        }
        let mut plan = plan(experiment)?;
        let done = plan.describe(experiment.name);
        partial.begin(done.clone(), plan.trials.len())?;
        progress.begin(place);
        run_plan(&mut plan, effort, partial, (&mut progress, place))?;
        progress.end();
        all.push(done);
    }
    Ok(all)
}

/// How much there is to do. Plans are made and dropped again, so that all of them are known to be
/// possible before anything is measured, and no more than one is in memory.
fn survey(
    experiments: &[&Experiment],
    partial: &Partial,
    plan: impl Fn(&Experiment) -> Result<Plan, BenchError>,
) -> Result<Vec<Stage>, BenchError> {
    let stage = |experiment: &&Experiment| {
        let name = experiment.name.to_owned();
        if let Some(done) = partial.finished(&name) {
            let measured = Duration::from_millis(done.measured_ms);
            return Ok(Stage { name, steps: 0, skipped: 0, measured });
        }
        let plan = plan(experiment)?;
        let steps = u64::from(plan.repetitions) * plan.trials.len() as u64;
        let there = |sample: &&Sample| sample.cell.experiment == name;
        let skipped = partial.samples().iter().filter(there).count() as u64;
        Ok(Stage { name, steps, skipped, measured: plan.measured })
    };
    experiments.iter().map(stage).collect()
}

impl Plan {
    fn describe(&self, name: &str) -> Done {
        Done {
            name: name.into(),
            repetitions: self.repetitions,
            measured_ms: u64::try_from(self.measured.as_millis()).unwrap_or(u64::MAX),
            settings: self.settings.clone(),
        }
    }
}

fn run_plan(
    plan: &mut Plan,
    effort: &Effort,
    partial: &mut Partial,
    (progress, stage): (&mut Progress, usize),
) -> Result<(), BenchError> {
    let steps = u64::from(plan.repetitions) * plan.trials.len() as u64;
    let budget = if effort.quick {
        (steps as f64 * QUICK_REPEATS_SHARE).ceil() as u32
    } else {
        u32::try_from(steps).unwrap_or(u32::MAX)
    };
    let is_virtual = plan.measured.is_zero();
    let mut repeats_left = budget;
    for repetition in 1..=plan.repetitions {
        let count = plan.trials.len();
        for place in 0..count {
            // Every other round runs backwards, so that a drift favours no cell.
            let place = if repetition % 2 == 1 { place } else { count - 1 - place };
            let trial = &mut plan.trials[place];
            if partial.has(&trial.cell, repetition) {
                continue;
            }
            let clock = Instant::now();
            progress.next(stage, &trial.cell.to_string());
            let sample = if is_virtual {
                // Whatever else the machine does, virtual time passes alike.
                Sample { foreign_cpu: 0.0, ..measure(trial, repetition, &mut 0) }
            } else {
                measure(trial, repetition, &mut repeats_left)
            };
            partial.append(sample)?;
            progress.step(stage, clock.elapsed());
        }
    }
    Ok(())
}

/// Samples in the order of tables: experiments and cells as they first appear (the first round runs
/// forwards), the repetitions of each together.
#[must_use]
pub fn in_order(mut samples: Vec<Sample>) -> Vec<Sample> {
    let mut experiments: Vec<String> = Vec::new();
    let mut places: BTreeMap<Cell, (usize, usize)> = BTreeMap::new();
    for sample in &samples {
        let name = &sample.cell.experiment;
        let experiment = experiments.iter().position(|known| known == name);
        let experiment = experiment.unwrap_or_else(|| {
            experiments.push(name.clone());
            experiments.len() - 1
        });
        let next = (experiment, places.len());
        places.entry(sample.cell.clone()).or_insert(next);
    }
    samples.sort_by_key(|sample| (places[&sample.cell], sample.repetition));
    samples
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
        let (cell, values, latencies) = (trial.cell.clone(), outcome.values, outcome.latencies);
        // One line in the file for each sample.
        let proof = match outcome.proof {
            Proof::Failed(why) => Proof::Failed(why.lines().collect::<Vec<_>>().join("; ")),
            verified => verified,
        };
        // Four digits: the share is known to about a percent.
        let foreign_cpu = (foreign_cpu * 1e4).round() / 1e4;
        return Sample { cell, repetition, foreign_cpu, repeats, proof, values, latencies };
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::experiment::Outcome;
    use crate::metric::Metric;
    use crate::partial::Identity;

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

    fn partial(results: &std::path::Path) -> Partial {
        let identity = Identity::here(true, vec!["test".into()], None);
        Partial::create(results, "test".into(), identity, "now".into()).unwrap()
    }

    #[test]
    fn repetitions_are_interleaved_and_every_other_round_runs_backwards() {
        let log = Rc::new(RefCell::new(Vec::new()));
        let effort = Effort { quick: true, repetitions: None };
        let folder = tempfile::tempdir().unwrap();
        let mut partial = partial(folder.path());
        let stage = Stage { name: "test".into(), steps: 6, skipped: 0, measured: Duration::ZERO };
        let mut progress = Progress::new(vec![stage]);
        run_plan(&mut plan(&log), &effort, &mut partial, (&mut progress, 0)).unwrap();
        let mut first_of_each: Vec<String> = log.borrow().clone();
        first_of_each.dedup();
        assert_eq!(first_of_each, ["a1", "b1", "c1", "c2", "b2", "a2"]);
        let samples = in_order(partial.samples().to_vec());
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
            assert!(matches!(check(&effort), Err(BenchError::Setting { .. })));
        }
    }
}

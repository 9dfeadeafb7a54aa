//! Experiments: what is measured, why, how each repetition is verified, and in which order.
//!
//! An experiment plans [`Trial`]s, one for each cell of its table. The [`driver`] runs them
//! interleaved: the first repetition of every cell, then the second of every cell, so that a slow
//! minute of the machine meets all alike. A trial sets up its system, measures, checks what it did
//! and tears everything down again; nothing survives into the next one.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::BenchError;
use crate::latency::Latencies;
use crate::metric::Metric;
use crate::run::{Cell, Proof};

pub mod ablation;
pub mod batching;
pub mod cluster;
pub mod compression;
pub mod driver;
pub mod faults;
mod load;
mod peak;
pub mod peers;
pub mod pipelining;
pub mod protocols;
pub mod queue;
pub mod regions;
pub mod scale;
pub mod sharding;
pub mod simulated;
pub mod small;
pub mod stages;
pub mod system;
pub mod variant;
pub mod wan;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Whether this is the short run.
    pub quick: bool,
    /// Repetitions of each cell, instead of the experiment's own choice.
    pub repetitions: Option<u32>,
}

/// What one repetition gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The figures.
    pub values: BTreeMap<Metric, f64>,
    /// Whether the checks passed.
    pub proof: Proof,
    /// The latencies behind the figures, where requests followed a schedule.
    pub latencies: Option<Latencies>,
}

impl Outcome {
    /// Figures with their proof, without a schedule.
    #[must_use]
    pub const fn new(values: BTreeMap<Metric, f64>, proof: Proof) -> Self {
        Self { values, proof, latencies: None }
    }

    /// A repetition that could not be carried out.
    #[must_use]
    pub fn failed(reason: &impl ToString) -> Self {
        Self::new(BTreeMap::new(), Proof::Failed(reason.to_string()))
    }
}

/// A cell and how one repetition of it is measured.
pub struct Trial {
    /// The place in the tables.
    pub cell: Cell,
    /// Measures once, given the number of the repetition.
    pub measure: Box<dyn FnMut(u32) -> Outcome>,
}

/// What an experiment will do.
pub struct Plan {
    /// The cells, in the order of tables.
    pub trials: Vec<Trial>,
    /// Repetitions of each.
    pub repetitions: u32,
    /// Measured time of a repetition.
    pub measured: Duration,
    /// Settings that a reader needs, in words.
    pub settings: BTreeMap<String, String>,
}

/// An experiment.
#[derive(Clone, Copy, Debug)]
pub struct Experiment {
    /// Its name on the command line and in files.
    pub name: &'static str,
    /// Its heading in the report.
    pub title: &'static str,
    /// The question that it answers.
    pub question: &'static str,
    /// What is compared, what is excluded, what counts as failure.
    pub method: &'static str,
    /// Whether it is measured only when it is asked for by name.
    pub on_request: bool,
    /// Plans it.
    pub plan: fn(&Effort) -> Result<Plan, BenchError>,
}

/// All experiments, in the order of the report.
pub const EXPERIMENTS: [Experiment; 14] = [
    ablation::EXPERIMENT,
    protocols::EXPERIMENT,
    small::EXPERIMENT,
    batching::EXPERIMENT,
    peers::EXPERIMENT,
    pipelining::EXPERIMENT,
    compression::EXPERIMENT,
    wan::EXPERIMENT,
    scale::EXPERIMENT,
    faults::EXPERIMENT,
    sharding::EXPERIMENT,
    stages::EXPERIMENT,
    queue::EXPERIMENT,
    queue::MATRIX,
];

/// What the report names as not yet measured, with the reason.
pub const NOT_YET: [(&str, &str); 2] = [
    ("durability", "journals stay in memory until the file journal exists"),
    ("etcd and other servers over a network", "the runtime has no sockets yet"),
];

/// The experiment called `name`.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Experiment> {
    EXPERIMENTS.iter().find(|experiment| experiment.name == name)
}

/// The experiments named in `only`, in the order of the report; when it is empty, all but
/// those that are measured on request.
///
/// # Errors
/// When a name is unknown; lists those that are known.
pub fn select(only: &[String]) -> Result<Vec<&'static Experiment>, BenchError> {
    let known: Vec<&str> = EXPERIMENTS.iter().map(|experiment| experiment.name).collect();
    if let Some(unknown) = only.iter().find(|name| !known.contains(&name.as_str())) {
        let (name, known) = (unknown.clone(), known.join(", "));
        return Err(BenchError::UnknownExperiment { name, known });
    }
    let wanted = |experiment: &&Experiment| {
        let named = only.iter().any(|name| name == experiment.name);
        named || (only.is_empty() && !experiment.on_request)
    };
    Ok(EXPERIMENTS.iter().filter(wanted).collect())
}

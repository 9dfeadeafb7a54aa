//! What may be asked of the program, and what is said about what may not.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Parser, ValueEnum};
use quorate_sim::campaign::{Campaign, Group, Mix, Until};
use quorate_sim::chart::Window;
use quorate_sim::record::RecordError;
use quorate_sim::registry::{ProtocolName, REPLICAS_MAX, UnknownProtocol};
use quorate_sim::regression::{Regression, RegressionError};
use quorate_smr::ReplicaId;

/// The longest campaign, in hours.
const HOURS_MAX: f64 = 24.0 * 365.0;

/// Runs consensus protocols under faults, one deterministic run for each seed.
///
/// Exit code 0: no violation; 1: a violation; 2: bad input.
#[derive(Parser, Debug)]
#[command(name = "quorate-sim", version)]
pub(crate) struct Arguments {
    /// The protocol: raft, paxos, pbft, or all of them in turn.
    #[arg(long)]
    protocol: Option<String>,
    /// Runs these seeds, over all cores: FIRST..END (END is not run).
    #[arg(long, group = "what")]
    seeds: Option<String>,
    /// Runs fresh seeds over all cores for so many hours (0.1 is six minutes).
    #[arg(long, group = "what")]
    hours: Option<f64>,
    /// Replays this seed.
    #[arg(long, group = "what")]
    seed: Option<u64>,
    /// Replays a regression file.
    #[arg(long, group = "what", conflicts_with_all = ["protocol", "replicas"], value_name = "FILE")]
    replay: Option<PathBuf>,
    /// The first seed of --hours; by default the clock decides, and the summary says which.
    #[arg(long, requires = "hours", value_name = "SEED")]
    base: Option<u64>,
    /// Replicas, several sizes as in 3,5; by default what one fault needs, for one seed in four what
    /// two need.
    #[arg(long, value_delimiter = ',')]
    replicas: Vec<usize>,
    /// Draws what happens (with --seed or --replay): `chart`, or every message in `full`.
    #[arg(long, num_args = 0..=1, default_missing_value = "chart", value_name = "FORM")]
    pub(super) trace: Option<TraceForm>,
    /// Draws only what happens from this moment on: 120ms, 1.5s.
    #[arg(long, requires = "trace", value_parser = parse_moment, value_name = "TIME")]
    from: Option<u64>,
    /// Draws only what happens up to this moment.
    #[arg(long, requires = "trace", value_parser = parse_moment, value_name = "TIME")]
    to: Option<u64>,
    /// Draws only these replicas: r0,r2.
    #[arg(long, requires = "trace", value_delimiter = ',', value_parser = parse_replica)]
    only: Vec<u8>,
    /// Writes the clients' history as JSON lines (with --seed or --replay), for `lincheck`.
    #[arg(long, conflicts_with_all = ["seeds", "hours", "shrink"], value_name = "FILE")]
    pub(super) history: Option<PathBuf>,
    /// Reduces a failing run to the few faults that it takes (with --seed or --replay).
    #[arg(long, conflicts_with_all = ["seeds", "hours", "trace"])]
    pub(super) shrink: bool,
    /// Runs that --shrink may make.
    #[arg(long, requires = "shrink", default_value_t = 2000, value_name = "RUNS")]
    pub(super) budget: u64,
    /// Where --shrink writes the regression file; by default <protocol>-<seed>.json.
    #[arg(long, requires = "shrink", value_name = "FILE")]
    pub(super) save: Option<PathBuf>,
    /// Writes a record of the campaign into a new folder in this one, as results/simulation.
    #[arg(long, conflicts_with_all = ["seed", "replay"], value_name = "FOLDER")]
    pub(super) out: Option<PathBuf>,
    /// Puts the planted defects of this file (see the example planted-defects) into the record.
    #[arg(long, requires = "out", value_name = "FILE")]
    pub(super) defects: Option<PathBuf>,
}

/// How a run is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum TraceForm {
    /// A sequence chart.
    Chart,
    /// A line for everything.
    Full,
}

/// What cannot be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error("{0}, or all")]
    Protocol(#[from] UnknownProtocol),
    #[error("say which protocol: --protocol raft, paxos, pbft, or all")]
    NoProtocol,
    #[error("--seeds \"{0}\" is not a range; write FIRST..END with FIRST below END, as in 0..1000")]
    Seeds(String),
    #[error("--hours {0} is not a time; write a number above 0 and up to {HOURS_MAX}, as in 0.5")]
    Hours(f64),
    #[error("--replicas {given} is out of range; {protocol} runs with {least} to {REPLICAS_MAX}")]
    Replicas { given: usize, protocol: ProtocolName, least: usize },
    #[error("--seed replays one run: name one protocol and at most one number of replicas")]
    NotOne,
    #[error("say which seeds to run: --seeds FIRST..END, --hours N, or --seed S to replay one")]
    NoSeeds,
    #[error("--trace and --shrink look at one run: add --seed S, or --replay FILE")]
    NoSeed,
    #[error("--only names r{0}, but the group has {1} replicas: r0 to r{last}", last = .1 - 1)]
    NoSuchReplica(u8, usize),
    #[error("--from lies after --to: nothing to draw")]
    EmptyWindow,
    #[error("{path}: {error}")]
    History { path: String, error: std::io::Error },
    #[error(transparent)]
    Regression(#[from] RegressionError),
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// What to do.
pub(super) enum Work {
    Many(Campaign),
    One(Case),
}

/// One run.
pub(super) struct Case {
    pub(super) group: Group,
    pub(super) seed: u64,
    /// The file that describes it; `None`: everything is drawn from the seed.
    pub(super) regression: Option<(PathBuf, Box<Regression>)>,
}

impl Arguments {
    /// What to do.
    pub(super) fn work(&self) -> Result<Work, InputError> {
        if let Some(file) = &self.replay {
            let regression = Regression::read(file)?;
            let group = Group { protocol: regression.protocol()?, replicas: regression.replicas };
            let seed = regression.seed;
            let regression = Some((file.clone(), Box::new(regression)));
            return Ok(Work::One(Case { group, seed, regression }));
        }
        let mix = self.mix()?;
        if let Some(seed) = self.seed {
            let ([protocol], ..=1) = (&mix.protocols[..], mix.replicas.len()) else {
                return Err(InputError::NotOne);
            };
            let group = Group { protocol: *protocol, replicas: mix.replicas_of(*protocol, seed) };
            return Ok(Work::One(Case { group, seed, regression: None }));
        }
        if self.trace.is_some() || self.shrink {
            return Err(InputError::NoSeed);
        }
        let until = match (&self.seeds, self.hours) {
            (Some(range), _) => Until::Seeds(parse_range(range)?),
            (None, Some(hours)) => {
                let first = self.base.unwrap_or_else(seed_of_the_clock);
                Until::Time { first, lasts: parse_hours(hours)? }
            }
            (None, None) => return Err(InputError::NoSeeds),
        };
        Ok(Work::Many(Campaign { mix, until }))
    }

    fn mix(&self) -> Result<Mix, InputError> {
        let protocols = match self.protocol.as_deref() {
            Some("all") => ProtocolName::ALL.to_vec(),
            Some(name) => vec![name.parse()?],
            None => return Err(InputError::NoProtocol),
        };
        for protocol in &protocols {
            let (protocol, least) = (*protocol, protocol.replicas_min());
            let wrong = |given: &&usize| !(least..=REPLICAS_MAX).contains(*given);
            if let Some(given) = self.replicas.iter().find(wrong) {
                return Err(InputError::Replicas { given: *given, protocol, least });
            }
        }
        Ok(Mix { protocols, replicas: self.replicas.clone() })
    }

    /// The part of the run that is drawn.
    pub(super) fn window(&self, replicas: usize) -> Result<Window, InputError> {
        let usual = Window::default();
        let (from_ns, to_ns) = (self.from.unwrap_or(0), self.to.unwrap_or(usual.to_ns));
        if from_ns > to_ns {
            return Err(InputError::EmptyWindow);
        }
        if let Some(stranger) = self.only.iter().find(|id| usize::from(**id) >= replicas) {
            return Err(InputError::NoSuchReplica(*stranger, replicas));
        }
        let only: BTreeSet<ReplicaId> = self.only.iter().map(|id| ReplicaId(*id)).collect();
        Ok(Window { from_ns, to_ns, only, ..usual })
    }
}

/// The command that repeats the run of a seed.
pub(super) fn command_of(group: Group, seed: u64) -> String {
    let Group { protocol, replicas } = group;
    let usual = Mix { protocols: vec![protocol], replicas: Vec::new() };
    let size = match usual.replicas_of(protocol, seed) == replicas {
        true => String::new(),
        false => format!(" --replicas {replicas}"),
    };
    format!("cargo run --release -p quorate-sim -- --protocol {protocol}{size} --seed {seed}")
}

fn seed_of_the_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Seconds, with room for the seeds of a campaign before the next second's.
    since.as_secs() * 1_000_000
}

fn parse_range(given: &str) -> Result<Range<u64>, InputError> {
    let bad = || InputError::Seeds(given.to_string());
    let (first, end) = given.split_once("..").ok_or_else(bad)?;
    let range = first.trim().parse().map_err(|_| bad())?..end.trim().parse().map_err(|_| bad())?;
    if range.is_empty() { Err(bad()) } else { Ok(range) }
}

fn parse_hours(given: f64) -> Result<Duration, InputError> {
    let valid = given > 0.0 && given <= HOURS_MAX;
    if valid { Ok(Duration::from_secs_f64(given * 3600.0)) } else { Err(InputError::Hours(given)) }
}

/// A moment of virtual time, in nanoseconds; a number without a unit is in milliseconds.
fn parse_moment(given: &str) -> Result<u64, String> {
    let units = [("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9), ("", 1e6)];
    let (number, unit) = units
        .iter()
        .find_map(|(unit, ns)| Some((given.strip_suffix(unit)?, ns)))
        .ok_or_else(|| given.to_owned())?;
    match number.trim().parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok((number * unit) as u64),
        _ => Err("write a time as in 120ms, 1.5s or 300us".into()),
    }
}

fn parse_replica(given: &str) -> Result<u8, String> {
    let number = given.trim().trim_start_matches('r');
    number.parse().map_err(|_| "write replicas as in r0,r2".into())
}

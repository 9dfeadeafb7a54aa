//! Rows: what the samples say, one for each cell and metric, with the ratios that tables show.
//!
//! Rows are derived from samples alone and in a fixed order, so that a report can be checked
//! against its raw data byte for byte. A row carries its proof: it is `verified` only if every one
//! of its repetitions was; failed rows stay and say why.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::contest::{self, Contest};
use crate::latency::Latencies;
use crate::metric::Metric;
use crate::rivals;
use crate::run::{Cell, Proof, Sample};
use crate::stats::{Interval, paired_ratio, seed_of, summarise};

pub mod interaction;

/// The setting that ships, in runs that have it; see [`default_variant`].
pub const DEFAULT_VARIANT: &str = "default";
/// The setting with everything on.
pub const ALL_VARIANT: &str = "all";
/// The setting with everything off.
pub const NONE_VARIANT: &str = "none";
/// The setting of the batching experiment in which every command travels alone.
pub const UNBATCHED_VARIANT: &str = "unbatched";
/// The unreplicated state machine: the floor that every protocol is compared with.
pub const FLOOR_SYSTEM: &str = "direct";

/// A figure with its interval and its proof.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What was measured.
    pub cell: Cell,
    /// The metric's name, or that of a ratio (`throughput_vs_default`).
    pub metric: String,
    /// Its unit.
    pub unit: &'static str,
    /// The figure; `None` when no repetition delivered one.
    pub interval: Option<Interval>,
    /// Whether every repetition was verified.
    pub proof: Proof,
}

/// What a cell is also compared with: the first word of the name says by which metric.
const COMPARISONS: [(&str, Comparison); 7] = [
    ("throughput_vs_default", Comparison::Default),
    ("throughput_vs_none", Comparison::Variant(NONE_VARIANT)),
    ("throughput_vs_one_group", Comparison::Case("groups-1")),
    ("throughput_vs_floor", Comparison::System(FLOOR_SYSTEM)),
    ("rate_vs_crossbeam", Comparison::System("crossbeam-channel")),
    ("latency_p50_vs_unbatched", Comparison::Variant(UNBATCHED_VARIANT)),
    ("latency_p99_vs_unbatched", Comparison::Variant(UNBATCHED_VARIANT)),
];

#[derive(Clone, Copy)]
enum Comparison {
    Default,
    Variant(&'static str),
    System(&'static str),
    Case(&'static str),
}

impl Comparison {
    fn reference(self, cell: &Cell, default: &str) -> Cell {
        let mut reference = cell.clone();
        match self {
            Self::Default => reference.variant = default.into(),
            Self::Variant(variant) => reference.variant = variant.into(),
            Self::System(system) => reference.system = system.into(),
            Self::Case(case) => reference.case = case.into(),
        }
        reference
    }
}

/// What the ablation of `samples` calls the default. Early runs had all four optimisations on by
/// default and no cell of that name; their rows and reports stay what they were.
#[must_use]
pub fn default_variant(samples: &[Sample]) -> &'static str {
    let has = |variant: &str| {
        let of_ablation = |sample: &&Sample| sample.cell.experiment == "ablation";
        samples.iter().filter(of_ablation).any(|sample| sample.cell.variant == variant)
    };
    if has(ALL_VARIANT) && !has(DEFAULT_VARIANT) { ALL_VARIANT } else { DEFAULT_VARIANT }
}

/// All rows of `samples`, in the order in which cells first appear.
#[must_use]
pub fn derive(samples: &[Sample]) -> Vec<Row> {
    let mut order = Vec::new();
    let mut by_cell: BTreeMap<&Cell, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        let of_cell = by_cell.entry(&sample.cell).or_default();
        if of_cell.is_empty() {
            order.push(&sample.cell);
        }
        of_cell.push(sample);
    }
    let default = default_variant(samples);
    let mut rows = Vec::new();
    for cell in order {
        metric_rows(&by_cell[cell], &mut rows);
        comparison_rows(cell, &by_cell, default, &mut rows);
        interaction::rows(cell, &by_cell, &mut rows);
    }
    rows.extend(contest::of(samples).into_iter().filter_map(advantage_row));
    rows.extend(rivals::rows(samples));
    rows
}

/// The advantage of our best queue in a scenario, over the best of the others.
fn advantage_row(contest: Contest) -> Option<Row> {
    let (metric, unit) = ("advantage".into(), "ratio");
    let interval = Some(contest.advantage?);
    Some(Row { cell: contest.ours.0, metric, unit, interval, proof: Proof::Verified })
}

fn metric_rows(samples: &[&Sample], rows: &mut Vec<Row>) {
    let (cell, proof) = (&samples[0].cell, proof_of(samples.iter().copied()));
    let mut delivered = false;
    for metric in Metric::ALL {
        let values: Vec<f64> =
            samples.iter().filter_map(|sample| sample.values.get(&metric).copied()).collect();
        let interval = summarise(&values, seed_of(&format!("{cell}/{}", metric.name())));
        if interval.is_some() {
            delivered = true;
            let (metric, unit) = (metric.name().into(), metric.unit());
            rows.push(Row { cell: cell.clone(), metric, unit, interval, proof: proof.clone() });
        }
    }
    if !delivered {
        let (metric, unit) = (Metric::Throughput.name().into(), Metric::Throughput.unit());
        rows.push(Row { cell: cell.clone(), metric, unit, interval: None, proof });
    }
}

fn comparison_rows(
    cell: &Cell,
    by_cell: &BTreeMap<&Cell, Vec<&Sample>>,
    default: &str,
    rows: &mut Vec<Row>,
) {
    for (name, comparison) in COMPARISONS {
        let reference = comparison.reference(cell, default);
        let Some(references) = by_cell.get(&reference).filter(|_| reference != *cell) else {
            continue;
        };
        let metric = name.split_once("_vs_").and_then(|(metric, _)| Metric::from_name(metric));
        let metric = metric.unwrap_or(Metric::Throughput);
        let value = |sample: &&Sample| {
            Some((sample.repetition, *sample.values.get(&metric)?)).filter(|(_, v)| *v > 0.0)
        };
        let second: BTreeMap<u32, f64> = references.iter().filter_map(value).collect();
        let pairs: Vec<(f64, f64)> = by_cell[cell]
            .iter()
            .filter_map(value)
            .filter_map(|(repetition, first)| Some((first, *second.get(&repetition)?)))
            .collect();
        let Some(interval) = paired_ratio(&pairs, seed_of(&format!("{cell}/{name}"))) else {
            continue;
        };
        rows.push(Row {
            cell: cell.clone(),
            metric: name.into(),
            unit: "ratio",
            interval: Some(interval),
            proof: proof_of(by_cell[cell].iter().chain(references).copied()),
        });
    }
}

fn values_of(samples: &[Sample]) -> BTreeMap<(Cell, Metric), Vec<f64>> {
    let mut values: BTreeMap<(Cell, Metric), Vec<f64>> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.proof.is_verified()) {
        for (metric, value) in &sample.values {
            values.entry((sample.cell.clone(), *metric)).or_default().push(*value);
        }
    }
    values.values_mut().for_each(|values| values.sort_by(f64::total_cmp));
    values
}

fn proof_of<'a>(samples: impl Iterator<Item = &'a Sample>) -> Proof {
    let (mut failed, mut count, mut reason) = (0, 0, "");
    for sample in samples {
        count += 1;
        if let Proof::Failed(why) = &sample.proof {
            failed += 1;
            reason = why;
        }
    }
    if failed == 0 {
        Proof::Verified
    } else {
        Proof::Failed(format!("{failed} of {count} repetitions; {reason}"))
    }
}

/// A row as it is written into files and onto standard output.
#[derive(Debug, Serialize)]
struct Flat<'a> {
    experiment: &'a str,
    system: &'a str,
    variant: &'a str,
    case: &'a str,
    metric: &'a str,
    unit: &'a str,
    median: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    repetitions: usize,
    proof: String,
}

impl Row {
    fn flat(&self) -> Flat<'_> {
        let Cell { experiment, system, variant, case } = &self.cell;
        Flat {
            experiment,
            system,
            variant,
            case,
            metric: &self.metric,
            unit: self.unit,
            median: self.interval.map(|interval| interval.median),
            low: self.interval.map(|interval| interval.low),
            high: self.interval.map(|interval| interval.high),
            repetitions: self.interval.map_or(0, |interval| interval.repetitions),
            proof: self.proof.to_string(),
        }
    }

    /// The row as one line of JSON.
    ///
    /// # Panics
    /// Never in practice: a row is plain text and numbers.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.flat()).expect("a row is plain text and numbers")
    }
}

/// The rows as a CSV file.
///
/// # Panics
/// Never in practice: writing into memory does not fail.
#[must_use]
pub fn to_csv(rows: &[Row]) -> String {
    let mut csv = csv::Writer::from_writer(Vec::new());
    for row in rows {
        csv.serialize(row.flat()).expect("writing into memory does not fail");
    }
    let bytes = csv.into_inner().expect("writing into memory does not fail");
    String::from_utf8(bytes).expect("only strings were written")
}

/// Rows, to be asked for figures.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Row>,
    index: BTreeMap<(Cell, String), usize>,
    latencies: BTreeMap<Cell, Vec<Latencies>>,
    contests: Vec<Contest>,
    default: &'static str,
    /// The verified values of each cell and metric, ascending.
    values: BTreeMap<(Cell, Metric), Vec<f64>>,
}

impl Table {
    /// The table of a run's samples.
    #[must_use]
    pub fn new(samples: &[Sample]) -> Self {
        let rows = derive(samples);
        let key = |(place, row): (usize, &Row)| ((row.cell.clone(), row.metric.clone()), place);
        let index = rows.iter().enumerate().map(key).collect();
        let mut latencies: BTreeMap<Cell, Vec<Latencies>> = BTreeMap::new();
        for sample in samples {
            if let Some(of_sample) = &sample.latencies {
                latencies.entry(sample.cell.clone()).or_default().push(of_sample.clone());
            }
        }
        let default = default_variant(samples);
        let values = values_of(samples);
        Self { rows, index, latencies, contests: contest::of(samples), default, values }
    }

    /// What `share` (0 to 1) of the requests of `cell` did not exceed in microseconds, over its
    /// repetitions, from the histograms that were kept; failed rows give none.
    #[must_use]
    pub fn quantile(&self, cell: &Cell, share: f64) -> Option<Interval> {
        self.figure(cell, Metric::LatencyP50.name())?;
        let of_repetition = |latencies: &Latencies| latencies.quantile(share);
        let values: Vec<f64> = self.latencies.get(cell)?.iter().map(of_repetition).collect();
        summarise(&values, seed_of(&format!("{cell}/{share}")))
    }

    /// How many latencies of `cell` were kept in each repetition, at the least.
    #[must_use]
    pub fn latencies_kept(&self, cell: &Cell) -> u64 {
        let of_cell = self.latencies.get(cell).map_or(&[][..], Vec::as_slice);
        of_cell.iter().map(Latencies::count).min().unwrap_or(0)
    }

    /// The values of `metric` in the verified repetitions of `cell`, ascending: for distributions.
    #[must_use]
    pub fn values(&self, cell: &Cell, metric: Metric) -> &[f64] {
        self.values.get(&(cell.clone(), metric)).map_or(&[], Vec::as_slice)
    }

    /// What this run's ablation calls the default.
    #[must_use]
    pub const fn default_variant(&self) -> &'static str {
        self.default
    }

    /// The contests of `experiment`, in order.
    pub fn contests(&self, experiment: &str) -> impl Iterator<Item = &Contest> {
        self.contests.iter().filter(move |contest| contest.experiment == experiment)
    }

    /// All rows, in order.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The verified figure of `metric` in `cell`; failed rows give none.
    #[must_use]
    pub fn figure(&self, cell: &Cell, metric: &str) -> Option<Interval> {
        let row = &self.rows[*self.index.get(&(cell.clone(), metric.to_owned()))?];
        row.interval.filter(|_| row.proof.is_verified())
    }

    /// The mean of `metric` over the verified repetitions of `cell`: for shares that must add up.
    #[must_use]
    pub fn mean(&self, cell: &Cell, metric: Metric) -> Option<f64> {
        self.figure(cell, metric.name())?;
        let values = self.values(cell, metric);
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    /// The distinct values of a cell's field in `experiment`, in order of appearance.
    #[must_use]
    pub fn distinct(&self, experiment: &str, field: impl Fn(&Cell) -> &str) -> Vec<String> {
        let mut seen: Vec<String> = Vec::new();
        for row in self.rows.iter().filter(|row| row.cell.experiment == experiment) {
            let value = field(&row.cell);
            if !seen.iter().any(|known| known == value) {
                seen.push(value.to_owned());
            }
        }
        seen
    }

    /// Rows with a failed proof.
    #[must_use]
    pub fn failed(&self) -> Vec<&Row> {
        self.rows.iter().filter(|row| !row.proof.is_verified()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn ratios_are_taken_within_repetitions() {
        let mut samples = testing::cell_samples("raft", "none", &[10.0, 1000.0, 100.0]);
        samples.extend(testing::cell_samples("raft", "default", &[20.0, 2000.0, 200.0]));
        let table = Table::new(&samples);
        let cell = Cell::new("ablation", "raft", "none", "ycsb-a");
        let ratio = table.figure(&cell, "throughput_vs_default").unwrap();
        assert_eq!((ratio.low, ratio.median, ratio.high), (0.5, 0.5, 0.5));
    }

    #[test]
    fn an_early_run_is_compared_with_what_it_called_the_default() {
        let mut samples = testing::cell_samples("raft", "none", &[10.0]);
        samples.extend(testing::cell_samples("raft", "all", &[20.0]));
        let early = Table::new(&samples);
        assert_eq!(early.default_variant(), ALL_VARIANT);
        samples.extend(testing::cell_samples("raft", "default", &[40.0]));
        let table = Table::new(&samples);
        assert_eq!(table.default_variant(), DEFAULT_VARIANT);
        let cell = Cell::new("ablation", "raft", "none", "ycsb-a");
        let ratio = |table: &Table| table.figure(&cell, "throughput_vs_default").map(|i| i.median);
        assert_eq!((ratio(&early), ratio(&table)), (Some(0.5), Some(0.25)));
    }

    #[test]
    fn one_failed_repetition_fails_the_row_and_every_ratio_with_it() {
        let mut samples = testing::cell_samples("raft", "none", &[10.0, 11.0]);
        samples.extend(testing::cell_samples("raft", "default", &[20.0, 22.0]));
        samples[3].proof = Proof::Failed("replica 2 differs".into());
        let table = Table::new(&samples);
        let figure = |variant| {
            table.figure(
                &Cell::new("ablation", "raft", variant, "ycsb-a"),
                Metric::Throughput.name(),
            )
        };
        assert!(figure("none").is_some() && figure("default").is_none());
        let none = Cell::new("ablation", "raft", "none", "ycsb-a");
        assert_eq!(table.figure(&none, "throughput_vs_default"), None);
        assert!(table.failed().iter().any(|row| row.to_json().contains("replica 2 differs")));
    }

    #[test]
    fn a_cell_without_figures_is_still_a_row() {
        let mut samples = testing::cell_samples("pbft", "default", &[1.0]);
        samples[0].values.clear();
        samples[0].proof = Proof::Failed("no leader".into());
        let rows = derive(&samples);
        assert_eq!(rows.len(), 1);
        assert!(rows[0].to_json().contains("\"median\":null"));
    }

    #[test]
    fn json_lines_have_the_promised_fields() {
        let rows = derive(&testing::cell_samples("raft", "default", &[1.0, 2.0]));
        let value: serde_json::Value = serde_json::from_str(&rows[0].to_json()).unwrap();
        let mut fields: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        fields.sort_unstable();
        let expected = [
            "case",
            "experiment",
            "high",
            "low",
            "median",
            "metric",
            "proof",
            "repetitions",
            "system",
            "unit",
            "variant",
        ];
        assert_eq!(fields, expected);
    }
}

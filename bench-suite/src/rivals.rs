//! Rivals: in each case of the experiment `peers`, each protocol of ours against each library of its
//! kind, and every system against the best of its layer.
//!
//! A library's figure is that of its best setting, ours that of the one that ships. The best is the
//! one with the best median among verified rows of this run; choosing among several noisy figures
//! favours whoever has more entries, which are the others. Ratios are taken within repetitions.

use std::collections::BTreeMap;

use crate::experiment::peers::{BARE, CLUSTER, EXPERIMENT, PACKED};
use crate::metric::Metric;
use crate::rows::Row;
use crate::run::{Cell, Proof, Sample};
use crate::stats::{Interval, paired_ratio, seed_of, summarise};

/// Whether replicas are plain values in one loop, or run with threads, queues and clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// One loop on one thread.
    Bare,
    /// Threads, queues and clients.
    Running,
}

/// What a system tolerates: only systems of a kind are rivals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tolerates {
    /// Nothing: the floor.
    Nothing,
    /// Replicas that stop.
    Crashes,
    /// Replicas that lie.
    Lies,
}

/// A system of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contestant {
    /// Its name in cells.
    pub system: &'static str,
    /// Whether it is ours.
    pub ours: bool,
    /// What it tolerates.
    pub tolerates: Tolerates,
    /// The layers in which it is measured.
    pub layers: &'static [Layer],
    /// The crate whose version is kept; empty for ours.
    pub package: &'static str,
}

const BOTH: &[Layer] = &[Layer::Bare, Layer::Running];

const fn ours(system: &'static str, tolerates: Tolerates) -> Contestant {
    Contestant { system, ours: true, tolerates, layers: BOTH, package: "" }
}

const fn peer(
    system: &'static str,
    package: &'static str,
    tolerates: Tolerates,
    layers: &'static [Layer],
) -> Contestant {
    Contestant { system, ours: false, tolerates, layers, package }
}

/// Who takes part, in the order of tables. A library that could not be measured stays here, so that
/// tables say so.
pub const CONTESTANTS: [Contestant; 8] = [
    ours("direct", Tolerates::Nothing),
    ours("paxos", Tolerates::Crashes),
    ours("raft", Tolerates::Crashes),
    ours("pbft", Tolerates::Lies),
    peer("raft-rs", "raft", Tolerates::Crashes, &[Layer::Bare]),
    peer("omnipaxos", "omnipaxos", Tolerates::Crashes, &[Layer::Bare]),
    peer("openraft", "openraft", Tolerates::Crashes, &[Layer::Running]),
    peer("hotstuff_rs", "hotstuff_rs", Tolerates::Lies, &[Layer::Running]),
];

/// The row that holds our ratio to the best library of the kind.
pub const VS_BEST_PEER: &str = "throughput_vs_best_peer";
/// The row that holds a system's ratio to the best of its kind and layer, ours included.
pub const VS_BEST: &str = "throughput_vs_best";
/// The row that holds a system's ratio to the unreplicated state machine of its layer.
pub const VS_FLOOR: &str = "throughput_vs_unreplicated";

/// The row that holds our ratio to `library`.
#[must_use]
pub fn versus(library: &str) -> String {
    format!("throughput_vs_{library}")
}

/// The contestant of that name.
#[must_use]
pub fn contestant(system: &str) -> Option<&'static Contestant> {
    CONTESTANTS.iter().find(|one| one.system == system)
}

/// The layer of a cell.
#[must_use]
pub fn layer_of(cell: &Cell) -> Layer {
    if [BARE, PACKED].contains(&cell.variant.as_str()) { Layer::Bare } else { Layer::Running }
}

/// The setting in which ours run in `layer`.
#[must_use]
pub const fn our_variant(layer: Layer) -> &'static str {
    match layer {
        Layer::Bare => BARE,
        Layer::Running => CLUSTER,
    }
}

/// A verified cell with its throughput.
pub type Figure = (Cell, Interval);

/// The best setting of `system` in a case and layer, given every cell's verified throughput.
#[must_use]
pub fn best_of<'a>(
    figures: &'a [Figure],
    system: &str,
    case: &str,
    layer: Layer,
) -> Option<&'a Figure> {
    let belongs =
        |(cell, _): &&Figure| cell.system == system && cell.case == case && layer_of(cell) == layer;
    figures.iter().filter(belongs).max_by(|a, b| a.1.median.total_cmp(&b.1.median))
}

/// The best library of a kind in a case and layer.
#[must_use]
pub fn best_peer<'a>(
    figures: &'a [Figure],
    tolerates: Tolerates,
    case: &str,
    layer: Layer,
) -> Option<&'a Figure> {
    best_among(figures, case, layer, |one| !one.ours && one.tolerates == tolerates)
}

fn best_among<'a>(
    figures: &'a [Figure],
    case: &str,
    layer: Layer,
    takes_part: impl Fn(&Contestant) -> bool,
) -> Option<&'a Figure> {
    let of_kind = CONTESTANTS.iter().filter(|one| takes_part(one));
    let best = of_kind.filter_map(|one| best_of(figures, one.system, case, layer));
    best.max_by(|a, b| a.1.median.total_cmp(&b.1.median))
}

/// The ratio rows of `samples`, in the order in which cells first appear.
#[must_use]
pub fn rows(samples: &[Sample]) -> Vec<Row> {
    let mut order: Vec<&Cell> = Vec::new();
    let mut cells: BTreeMap<&Cell, Vec<&Sample>> = BTreeMap::new();
    for sample in samples.iter().filter(|one| one.cell.experiment == EXPERIMENT.name) {
        let of_cell = cells.entry(&sample.cell).or_default();
        if of_cell.is_empty() {
            order.push(&sample.cell);
        }
        of_cell.push(sample);
    }
    let figures: Vec<Figure> =
        order.iter().filter_map(|cell| figure(cell, &cells[*cell])).collect();
    let mut rows = Vec::new();
    for (cell, _) in &figures {
        for (metric, reference) in references(&figures, cell) {
            if reference == cell {
                continue;
            }
            let seed = seed_of(&format!("{cell}/{metric}"));
            let interval = paired_ratio(&pairs(&cells[cell], &cells[reference]), seed);
            let (cell, proof) = (cell.clone(), Proof::Verified);
            rows.push(Row { cell, metric, unit: "ratio", interval, proof });
        }
    }
    rows
}

/// A cell's throughput, when every repetition was verified.
fn figure(cell: &Cell, samples: &[&Sample]) -> Option<Figure> {
    if samples.iter().any(|sample| !sample.proof.is_verified()) {
        return None;
    }
    let value = |sample: &&Sample| sample.values.get(&Metric::Throughput).copied();
    let values: Vec<f64> = samples.iter().filter_map(value).collect();
    let interval = summarise(&values, seed_of(&format!("{cell}/{}", Metric::Throughput.name())))?;
    Some((cell.clone(), interval))
}

/// What `cell` is compared with: the row's name and the other cell.
fn references<'a>(figures: &'a [Figure], cell: &Cell) -> Vec<(String, &'a Cell)> {
    let Some(system) = contestant(&cell.system) else { return Vec::new() };
    let (case, layer) = (cell.case.as_str(), layer_of(cell));
    let mut found = Vec::new();
    if system.tolerates != Tolerates::Nothing {
        let floor = best_of(figures, "direct", case, layer);
        let best = best_among(figures, case, layer, |one| one.tolerates == system.tolerates);
        found.extend(floor.map(|(floor, _)| (VS_FLOOR.to_owned(), floor)));
        found.extend(best.map(|(best, _)| (VS_BEST.to_owned(), best)));
    }
    if system.ours && system.tolerates != Tolerates::Nothing {
        for peer in CONTESTANTS.iter().filter(|one| !one.ours) {
            let peer = peer_figure(figures, system, peer, case, layer);
            found.extend(peer.map(|(other, _)| (versus(&other.system), other)));
        }
        let best = best_peer(figures, system.tolerates, case, layer);
        found.extend(best.map(|(best, _)| (VS_BEST_PEER.to_owned(), best)));
    }
    found
}

fn peer_figure<'a>(
    figures: &'a [Figure],
    ours: &Contestant,
    peer: &Contestant,
    case: &str,
    layer: Layer,
) -> Option<&'a Figure> {
    let same_kind = ours.tolerates == peer.tolerates;
    best_of(figures, peer.system, case, layer).filter(|_| same_kind)
}

fn pairs(first: &[&Sample], second: &[&Sample]) -> Vec<(f64, f64)> {
    let value =
        |sample: &&Sample| Some((sample.repetition, *sample.values.get(&Metric::Throughput)?));
    let second: BTreeMap<u32, f64> = second.iter().filter_map(value).collect();
    let firsts = first.iter().filter_map(value);
    firsts.filter_map(|(number, first)| Some((first, *second.get(&number)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Table;
    use crate::testing::sample;

    fn samples(system: &str, variant: &str, values: &[f64]) -> Vec<Sample> {
        let cell = Cell::new(EXPERIMENT.name, system, variant, "one-at-a-time");
        let one =
            |(n, value): (u32, &f64)| sample(cell.clone(), n, &[(Metric::Throughput, *value)]);
        (1..).zip(values).map(one).collect()
    }

    fn ratio(all: &[Sample], system: &str, variant: &str, metric: &str) -> Option<f64> {
        let cell = Cell::new(EXPERIMENT.name, system, variant, "one-at-a-time");
        Some(Table::new(all).figure(&cell, metric)?.median)
    }

    #[test]
    fn ours_meet_the_best_setting_of_the_best_library_within_repetitions() {
        let mut all = samples("raft", BARE, &[20.0, 200.0, 40.0]);
        all.extend(samples("raft-rs", BARE, &[1.0, 10.0, 2.0]));
        all.extend(samples("raft-rs", PACKED, &[10.0, 100.0, 20.0]));
        all.extend(samples("omnipaxos", BARE, &[5.0, 50.0, 10.0]));
        assert_eq!(ratio(&all, "raft", BARE, "throughput_vs_raft-rs"), Some(2.0));
        assert_eq!(ratio(&all, "raft", BARE, "throughput_vs_omnipaxos"), Some(4.0));
        assert_eq!(ratio(&all, "raft", BARE, VS_BEST_PEER), Some(2.0));
        assert_eq!(ratio(&all, "raft-rs", PACKED, VS_BEST), Some(0.5));
        assert_eq!(ratio(&all, "raft", BARE, VS_BEST), None, "it is the best itself");
    }

    #[test]
    fn layers_and_kinds_do_not_meet() {
        let mut all = samples("raft", BARE, &[20.0]);
        all.extend(samples("pbft", BARE, &[3.0]));
        all.extend(samples("raft", CLUSTER, &[2.0]));
        all.extend(samples("openraft", "current-thread", &[4.0]));
        all.extend(samples("direct", BARE, &[40.0]));
        assert_eq!(ratio(&all, "raft", CLUSTER, VS_BEST_PEER), Some(0.5));
        assert_eq!(ratio(&all, "raft", BARE, VS_BEST_PEER), None);
        assert_eq!(ratio(&all, "pbft", BARE, VS_BEST), None);
        assert_eq!(ratio(&all, "raft", BARE, VS_FLOOR), Some(0.5));
        assert_eq!(ratio(&all, "raft", CLUSTER, VS_FLOOR), None);
    }

    #[test]
    fn a_failed_row_is_nobodys_rival() {
        let mut all = samples("raft", BARE, &[20.0]);
        all.extend(samples("raft-rs", BARE, &[10.0]));
        all[1].proof = Proof::Failed("lost one".into());
        assert_eq!(ratio(&all, "raft", BARE, VS_BEST_PEER), None);
    }
}

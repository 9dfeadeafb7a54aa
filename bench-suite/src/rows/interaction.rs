//! Interactions: what two optimisations do together that neither does alone.
//!
//! For a pair, three ratios are taken within each repetition, where all four cells met the same
//! state of the machine: the interaction factor, (pair / none) / ((first / none) × (second /
//! none)), which is one when the gains multiply; and the gain of each beside the other, pair over
//! the other alone. A pair without all four cells has no such rows.

use std::collections::BTreeMap;

use super::{NONE_VARIANT, Row, proof_of};
use crate::experiment::variant::{OPTIMISATIONS, only, pair, pairs};
use crate::metric::Metric;
use crate::run::{Cell, Sample};
use crate::stats::{seed_of, summarise};

/// The row with the interaction factor.
pub const INTERACTION: &str = "interaction";

/// The row with the gain of `optimisation` where `other` is on already.
#[must_use]
pub fn beside(optimisation: &str, other: &str) -> String {
    format!("{optimisation}_beside_{other}")
}

type ByCell<'a> = BTreeMap<&'a Cell, Vec<&'a Sample>>;

pub(super) fn rows(cell: &Cell, by_cell: &ByCell<'_>, rows: &mut Vec<Row>) {
    let Some((first, second)) = pairs().into_iter().find(|both| pair(*both) == cell.variant) else {
        return;
    };
    let (first, second) = (OPTIMISATIONS[first], OPTIMISATIONS[second]);
    let of = |variant: String| {
        let other = Cell { variant, ..cell.clone() };
        by_cell.get(&other).map(|samples| (throughputs(samples), samples))
    };
    let (Some(both), Some(none), Some(one), Some(other)) =
        (of(cell.variant.clone()), of(NONE_VARIANT.into()), of(only(first)), of(only(second)))
    else {
        return;
    };
    let cells = [&both, &none, &one, &other];
    let proof = proof_of(cells.iter().flat_map(|(_, samples)| samples.iter().copied()));
    let mut push = |metric: String, ratio: &dyn Fn(u32) -> Option<f64>| {
        let ratios: Vec<f64> = both.0.keys().filter_map(|repetition| ratio(*repetition)).collect();
        let interval = summarise(&ratios, seed_of(&format!("{cell}/{metric}")));
        if interval.is_some() {
            let (cell, proof) = (cell.clone(), proof.clone());
            rows.push(Row { cell, metric, unit: "ratio", interval, proof });
        }
    };
    push(INTERACTION.into(), &|repetition| {
        let [both, none, one, other] = cells.map(|(values, _)| values.get(&repetition).copied());
        Some((both? * none?) / (one? * other?))
    });
    push(beside(first, second), &|repetition| {
        Some(both.0[&repetition] / other.0.get(&repetition)?)
    });
    push(beside(second, first), &|repetition| Some(both.0[&repetition] / one.0.get(&repetition)?));
}

/// Throughput by repetition; what measured nothing is left out.
fn throughputs(samples: &[&Sample]) -> BTreeMap<u32, f64> {
    let value =
        |sample: &&Sample| Some((sample.repetition, *sample.values.get(&Metric::Throughput)?));
    samples.iter().filter_map(value).filter(|(_, throughput)| *throughput > 0.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Table;
    use crate::run::Proof;
    use crate::testing::cell_samples;

    fn samples(cells: &[(&str, [f64; 2])]) -> Vec<Sample> {
        let of_cell = |(variant, values): &(&str, [f64; 2])| cell_samples("raft", variant, values);
        cells.iter().flat_map(of_cell).collect()
    }

    const CELLS: [(&str, [f64; 2]); 4] = [
        ("none", [10.0, 100.0]),
        ("only-batching", [40.0, 400.0]),
        ("only-compression", [9.0, 90.0]),
        ("batching+compression", [18.0, 180.0]),
    ];

    #[test]
    fn an_interaction_is_what_is_missing_to_the_product_of_both_gains() {
        let table = Table::new(&samples(&CELLS));
        let cell = Cell::new("ablation", "raft", "batching+compression", "ycsb-a");
        let median = |metric: &str| table.figure(&cell, metric).map(|interval| interval.median);
        // Alone: times 4 and times 0.9; together times 1.8 instead of 3.6.
        assert_eq!(median(INTERACTION), Some(0.5));
        assert_eq!(median(&beside("compression", "batching")), Some(18.0 / 40.0));
        assert_eq!(median(&beside("batching", "compression")), Some(2.0));
    }

    #[test]
    fn a_pair_with_a_missing_or_failed_cell_has_no_verified_interaction() {
        let cell = Cell::new("ablation", "raft", "batching+compression", "ycsb-a");
        let missing = Table::new(&samples(&CELLS[1..]));
        assert_eq!(missing.figure(&cell, INTERACTION), None);
        let mut failed = samples(&CELLS);
        failed[0].proof = Proof::Failed("lost one".into());
        assert_eq!(Table::new(&failed).figure(&cell, INTERACTION), None);
    }
}

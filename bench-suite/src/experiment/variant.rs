//! The four optimisations and the settings of an ablation: none, all, each alone, each left out.

use crate::rows::{DEFAULT_VARIANT, NONE_VARIANT};

/// The optimisations, in the order of tables.
pub const OPTIMISATIONS: [&str; 4] = ["batching", "compression", "sharding", "pipelining"];

/// Which optimisations are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Toggles {
    /// Several commands in a batch; otherwise each travels alone.
    pub batching: bool,
    /// Batches are compressed where that pays.
    pub compression: bool,
    /// Keys are spread over several groups; otherwise there is one.
    pub sharding: bool,
    /// Several batches in flight; otherwise one at a time.
    pub pipelining: bool,
}

impl Toggles {
    /// Everything off.
    pub const NONE: Self =
        Self { batching: false, compression: false, sharding: false, pipelining: false };
    /// Everything on: the default that we recommend.
    pub const ALL: Self =
        Self { batching: true, compression: true, sharding: true, pipelining: true };

    /// These settings with `optimisation` (an index into [`OPTIMISATIONS`]) turned over.
    #[must_use]
    pub const fn flipped(mut self, optimisation: usize) -> Self {
        let field = match optimisation {
            0 => &mut self.batching,
            1 => &mut self.compression,
            2 => &mut self.sharding,
            _ => &mut self.pipelining,
        };
        *field = !*field;
        self
    }
}

/// The variant with only `optimisation` on.
#[must_use]
pub fn only(optimisation: &str) -> String {
    format!("only-{optimisation}")
}

/// The variant with everything but `optimisation` on.
#[must_use]
pub fn without(optimisation: &str) -> String {
    format!("without-{optimisation}")
}

/// The ten settings of an ablation with their names.
#[must_use]
pub fn ablation() -> Vec<(String, Toggles)> {
    let mut variants = vec![(NONE_VARIANT.to_owned(), Toggles::NONE)];
    for (index, optimisation) in OPTIMISATIONS.into_iter().enumerate() {
        variants.push((only(optimisation), Toggles::NONE.flipped(index)));
    }
    variants.push((DEFAULT_VARIANT.to_owned(), Toggles::ALL));
    for (index, optimisation) in OPTIMISATIONS.into_iter().enumerate() {
        variants.push((without(optimisation), Toggles::ALL.flipped(index)));
    }
    variants
}

/// A variant's name as people say it.
#[must_use]
pub fn in_words(variant: &str) -> String {
    if variant == DEFAULT_VARIANT {
        return "all on (default)".into();
    }
    if variant == NONE_VARIANT {
        return "all off".into();
    }
    match (variant.strip_prefix("only-"), variant.strip_prefix("without-")) {
        (Some(optimisation), _) => format!("{optimisation} only"),
        (_, Some(optimisation)) => format!("all but {optimisation}"),
        _ => variant.replace('-', " "),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_setting_of_the_ablation_is_different_and_named() {
        let variants = ablation();
        let names: BTreeSet<_> = variants.iter().map(|(name, _)| in_words(name)).collect();
        assert_eq!((variants.len(), names.len()), (10, 10));
        for (index, (_, toggles)) in variants.iter().enumerate() {
            assert!(variants[..index].iter().all(|(_, other)| other != toggles));
        }
    }

    #[test]
    fn a_setting_with_one_change_differs_in_one_place() {
        for index in 0..OPTIMISATIONS.len() {
            assert_eq!(Toggles::ALL.flipped(index).flipped(index), Toggles::ALL);
            assert_ne!(Toggles::NONE.flipped(index), Toggles::NONE);
        }
    }
}

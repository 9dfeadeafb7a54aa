//! The four optimisations and the settings of an ablation: none, each alone, all pairs, the
//! shipped default with one change at a time, all four.
//!
//! What always holds: a setting has one name, whichever way it was reached. The default without
//! pipelining is batching alone, and carries that name; nothing is measured twice.

use crate::rows::{ALL_VARIANT, DEFAULT_VARIANT, NONE_VARIANT};

/// The optimisations, in the order of tables.
pub const OPTIMISATIONS: [&str; 4] = ["batching", "compression", "sharding", "pipelining"];

/// The default, but with messages and records passed as values: what one process needs, and to
/// the last field what a cluster's configuration is unless told otherwise.
pub const VALUES_VARIANT: &str = "default-as-values";

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
    /// What ships: batching, and the window that networks need. The other two lose throughput
    /// without a narrow link, or cores and machines to spread over.
    pub const DEFAULT: Self = Self { batching: true, pipelining: true, ..Self::NONE };
    /// Everything on.
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

    /// Whether each of [`OPTIMISATIONS`] is on.
    #[must_use]
    pub const fn states(self) -> [bool; 4] {
        [self.batching, self.compression, self.sharding, self.pipelining]
    }

    /// The setting's one name.
    #[must_use]
    pub fn name(self) -> String {
        let named = |wanted: bool| {
            let states = OPTIMISATIONS.into_iter().zip(self.states());
            states.filter(move |(_, on)| *on == wanted).map(|(name, _)| name).collect::<Vec<_>>()
        };
        match named(true)[..] {
            [] => NONE_VARIANT.into(),
            [one] => only(one),
            [_, _] if self == Self::DEFAULT => DEFAULT_VARIANT.into(),
            [first, second] => format!("{first}+{second}"),
            [_, _, _] => without(named(false)[0]),
            _ => ALL_VARIANT.into(),
        }
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

/// The variant with only these two (indices into [`OPTIMISATIONS`]) on.
#[must_use]
pub fn pair((one, other): (usize, usize)) -> String {
    Toggles::NONE.flipped(one).flipped(other).name()
}

/// All pairs of optimisations, as indices into [`OPTIMISATIONS`].
#[must_use]
pub const fn pairs() -> [(usize, usize); 6] {
    [(0, 1), (0, 3), (0, 2), (1, 3), (1, 2), (2, 3)]
}

/// The settings of an ablation with their names, in the order of tables: from nothing, from the
/// default, the remaining pairs, all four.
#[must_use]
pub fn ablation() -> Vec<(String, Toggles)> {
    let changes = 0..OPTIMISATIONS.len();
    let mut settings = vec![Toggles::NONE];
    settings.extend(changes.clone().map(|index| Toggles::NONE.flipped(index)));
    settings.push(Toggles::DEFAULT);
    settings.extend(changes.map(|index| Toggles::DEFAULT.flipped(index)));
    settings.extend(pairs().map(|(one, other)| Toggles::NONE.flipped(one).flipped(other)));
    settings.push(Toggles::ALL);
    let mut variants: Vec<(String, Toggles)> = Vec::new();
    for setting in settings {
        if variants.iter().all(|(_, known)| *known != setting) {
            variants.push((setting.name(), setting));
        }
    }
    variants
}

/// The variant that differs from `default` in one of [`OPTIMISATIONS`] alone, and whether the
/// change turns it on. `default` is the variant that a run calls so: early ones had all four on.
#[must_use]
pub fn changed(default: &str, optimisation: usize) -> (String, bool) {
    let base = if default == ALL_VARIANT { Toggles::ALL } else { Toggles::DEFAULT };
    (base.flipped(optimisation).name(), !base.states()[optimisation])
}

/// A variant's name as people say it.
#[must_use]
pub fn in_words(variant: &str) -> String {
    match variant {
        DEFAULT_VARIANT => return "default".into(),
        NONE_VARIANT => return "all off".into(),
        ALL_VARIANT => return "all four on".into(),
        VALUES_VARIANT => return "default, messages as values".into(),
        _ => {}
    }
    match (variant.strip_prefix("only-"), variant.strip_prefix("without-")) {
        (Some(optimisation), _) => format!("{optimisation} only"),
        (_, Some(optimisation)) => format!("all but {optimisation}"),
        _ => variant.replace('+', " and ").replace('-', " "),
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
        assert_eq!((variants.len(), names.len()), (14, 14));
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

    #[test]
    fn every_change_from_the_default_is_measured_and_says_its_direction() {
        let measured: BTreeSet<String> = ablation().into_iter().map(|(name, _)| name).collect();
        let changes: Vec<_> = (0..4).map(|index| changed(DEFAULT_VARIANT, index)).collect();
        assert!(changes.iter().all(|(name, _)| measured.contains(name)), "{changes:?}");
        assert_eq!(
            changes.iter().map(|(_, on)| *on).collect::<Vec<_>>(),
            [false, true, true, false]
        );
        assert_eq!(changed(ALL_VARIANT, 1), ("without-compression".into(), false));
    }
}

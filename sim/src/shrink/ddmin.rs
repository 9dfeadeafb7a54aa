//! Delta debugging (Zeller and Hildebrandt, *Simplifying and isolating failure-inducing input*,
//! 2002, §3): the smallest part of a list that still does it, as far as leaving out parts of
//! growing fineness shows.

/// Reduces `items`. `first` is asked for the first of several candidates that still does it.
///
/// No single item of the result can be left out, unless `first` gave up. Cost: at best some
/// logarithm of the number of items in candidates, at worst their square.
pub(super) fn minimise<T: Clone>(
    mut items: Vec<T>,
    mut first: impl FnMut(&[Vec<T>]) -> Option<usize>,
) -> Vec<T> {
    if items.is_empty() || first(&[Vec::new()]).is_some() {
        return Vec::new();
    }
    let mut parts = 2;
    while items.len() >= 2 {
        let mut candidates = candidates(&items, parts);
        match first(&candidates) {
            Some(taken) => {
                let alone = taken < parts;
                items = candidates.swap_remove(taken);
                parts = if alone { 2 } else { (parts - 1).max(2) };
            }
            None if parts >= items.len() => break,
            None => parts *= 2,
        }
        parts = parts.min(items.len());
    }
    items
}

/// Each of the `parts` alone, then everything without each of them.
fn candidates<T: Clone>(items: &[T], parts: usize) -> Vec<Vec<T>> {
    let bounds = |part: usize| part * items.len() / parts;
    let mut candidates = Vec::with_capacity(2 * parts);
    for part in 0..parts {
        candidates.push(items[bounds(part)..bounds(part + 1)].to_vec());
    }
    if parts > 2 {
        for part in 0..parts {
            candidates.push([&items[..bounds(part)], &items[bounds(part + 1)..]].concat());
        }
    }
    candidates
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Minimises `0..count` where every one of `needed` must be there; what is left, and how many
    /// candidates were asked about.
    fn reduce(count: u32, needed: &[u32]) -> (Vec<u32>, usize) {
        let mut asked = 0;
        let left = minimise((0..count).collect(), |candidates| {
            let found = candidates.iter().position(|candidate| {
                let there: BTreeSet<_> = candidate.iter().collect();
                needed.iter().all(|item| there.contains(item))
            });
            asked += found.map_or(candidates.len(), |place| place + 1);
            found
        });
        (left, asked)
    }

    #[test]
    fn exactly_what_is_needed_is_left() {
        assert!(reduce(1000, &[]).0.is_empty());
        assert_eq!(reduce(1000, &[617]).0, [617]);
        assert_eq!(reduce(1000, &[0, 999]).0, [0, 999]);
        assert_eq!(reduce(37, &[3, 4, 5, 30]).0, [3, 4, 5, 30]);
        assert_eq!(reduce(1, &[0]).0, [0]);
        assert!(reduce(0, &[]).0.is_empty());
        assert_eq!(reduce(5, &[0, 1, 2, 3, 4]).0, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_few_among_many_are_found_with_few_candidates() {
        assert!(reduce(1000, &[617]).1 < 40);
        assert!(reduce(1000, &[100, 900]).1 < 150);
    }

    #[test]
    fn who_gives_up_keeps_what_was_reached() {
        let mut left = 3;
        let kept = minimise((0..64).collect(), |candidates: &[Vec<u32>]| {
            left = i32::max(left - 1, 0);
            if left == 0 { None } else { candidates.iter().position(|it| it.contains(&60)) }
        });
        assert!(kept.len() < 64 && kept.contains(&60));
    }
}

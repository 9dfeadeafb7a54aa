//! Medians, bootstrap intervals and paired ratios, and how figures are written.
//!
//! A figure is the median over independent repetitions with a percentile bootstrap interval of
//! 95 %: the repetitions are drawn again with replacement, the median of each draw is taken, and
//! the middle 95 % of those medians are the interval. Ratios are taken within a repetition, where
//! both sides met the same state of the machine, and then treated alike. With fewer than five
//! repetitions the interval is little more than the range; the report says how many there were.
//!
//! Everything here is deterministic: the draws are seeded by the caller.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How often the repetitions are drawn again.
pub const BOOTSTRAP_DRAWS: usize = 2000;
/// The share of draws inside the interval.
pub const CONFIDENCE: f64 = 0.95;

/// Below this number of repetitions no difference is claimed.
pub const REPETITIONS_TO_TELL: usize = 3;

/// A median with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The median of the repetitions.
    pub median: f64,
    /// The lower end of the 95 % interval.
    pub low: f64,
    /// The upper end of the 95 % interval.
    pub high: f64,
    /// Independent repetitions behind it.
    pub repetitions: usize,
}

impl Interval {
    /// Whether the figure may as well be `value`: the interval contains it, or there are too few
    /// repetitions to tell.
    #[must_use]
    pub fn may_be(&self, value: f64) -> bool {
        self.repetitions < REPETITIONS_TO_TELL || (self.low <= value && value <= self.high)
    }
}

/// The median of `values` and its bootstrap interval; `None` without a finite value.
///
/// Cost: [`BOOTSTRAP_DRAWS`] × values.
#[must_use]
pub fn summarise(values: &[f64], seed: u64) -> Option<Interval> {
    let values: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let median_of_all = median(&mut values.clone())?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = vec![0.0; values.len()];
    let mut medians = Vec::with_capacity(BOOTSTRAP_DRAWS);
    for _ in 0..BOOTSTRAP_DRAWS {
        for place in &mut draw {
            // A multiply-shift keeps the choice uniform to 2^-32, far below what counts here.
            let index = (u64::from(random.next_u32()) * values.len() as u64) >> 32;
            *place = values[index as usize];
        }
        medians.extend(median(&mut draw));
    }
    medians.sort_by(f64::total_cmp);
    let tail = (1.0 - CONFIDENCE) / 2.0;
    Some(Interval {
        median: median_of_all,
        low: quantile(&medians, tail),
        high: quantile(&medians, 1.0 - tail),
        repetitions: values.len(),
    })
}

/// The median of `pairs`' ratios (first over second) and its interval. Pairs with a zero or
/// missing side are left out.
#[must_use]
pub fn paired_ratio(pairs: &[(f64, f64)], seed: u64) -> Option<Interval> {
    let usable = pairs.iter().filter(|(_, second)| *second > 0.0);
    let ratios: Vec<f64> = usable.map(|(first, second)| first / second).collect();
    summarise(&ratios, seed)
}

/// The median; sorts `values`. `None` when there are none.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// The value below which `share` of the sorted `values` lie (nearest rank).
///
/// # Panics
/// When there are none.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// A seed for the interval of `name`, so that each figure has its own draws.
#[must_use]
pub fn seed_of(name: &str) -> u64 {
    fnv_1a(name.as_bytes())
}

/// FNV-1a: stable over versions and platforms, which std's hasher does not promise.
pub(crate) fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// `value` with at most three significant digits and a thousands suffix: `1.23 M`, `45.6 k`.
#[must_use]
pub fn short(value: f64) -> String {
    let size = value.abs();
    let (scaled, suffix) = match size {
        _ if size >= 999.5e6 => (value / 1e9, " G"),
        _ if size >= 999.5e3 => (value / 1e6, " M"),
        _ if size >= 9995.0 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    format!("{}{suffix}", three_digits(scaled))
}

/// `value` with at most three significant digits, without an exponent.
#[must_use]
pub fn three_digits(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    if value == 0.0 {
        return "0".into();
    }
    let magnitude = value.abs().log10().floor() as i32;
    let unit = 10f64.powi(magnitude - 2);
    let rounded = (value / unit).round() * unit;
    // Rounding may carry into the next magnitude (9.996 becomes 10.0).
    let magnitude = rounded.abs().log10().floor() as i32;
    let decimals = usize::try_from(2 - magnitude).unwrap_or(0).min(9);
    format!("{rounded:.decimals$}")
}

/// A latency with its unit: `134 µs`, `13.8 ms`.
#[must_use]
pub fn latency(microseconds: f64) -> String {
    if microseconds < 999.5 {
        format!("{} µs", three_digits(microseconds))
    } else {
        format!("{} ms", three_digits(microseconds / 1e3))
    }
}

/// A ratio as a signed change: `+34 %`, `−12 %`; from a factor of two on as `×2.5`.
#[must_use]
pub fn change(ratio: f64) -> String {
    if !ratio.is_finite() {
        return "–".into();
    }
    if ratio >= 2.0 {
        return format!("×{}", three_digits(ratio));
    }
    let percent = (ratio - 1.0) * 100.0;
    let sign = if percent < 0.0 { "−" } else { "+" };
    let size = percent.abs();
    if size < 9.95 { format!("{sign}{size:.1} %") } else { format!("{sign}{size:.0} %") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_repetitions_have_an_interval_of_no_width() {
        let interval = summarise(&[5.0; 7], 1).unwrap();
        let expected = Interval { median: 5.0, low: 5.0, high: 5.0, repetitions: 7 };
        assert_eq!(interval, expected);
    }

    #[test]
    fn nothing_measured_has_no_median() {
        assert_eq!(summarise(&[], 1), None);
        assert_eq!(summarise(&[f64::NAN], 1), None);
        assert_eq!(paired_ratio(&[(1.0, 0.0)], 1), None);
    }

    #[test]
    fn three_repetitions_span_their_range() {
        // A draw is all minimum with probability 1/27, all but one with 6/27: over 2.5 % in all.
        let interval = summarise(&[3.0, 1.0, 2.0], 1).unwrap();
        assert_eq!((interval.low, interval.median, interval.high), (1.0, 2.0, 3.0));
    }

    #[test]
    fn the_interval_agrees_with_order_statistics() {
        // For n = 25 the exact 95 % interval of the median lies between ranks 8 and 18.
        let values: Vec<f64> = (1..=25).map(f64::from).collect();
        let interval = summarise(&values, 9).unwrap();
        assert_eq!(interval.median, 13.0);
        assert!((7.0..=9.0).contains(&interval.low), "{interval:?}");
        assert!((17.0..=19.0).contains(&interval.high), "{interval:?}");
    }

    #[test]
    fn the_interval_covers_the_true_median_about_as_often_as_it_says() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let runs = 400;
        let covered = (0..runs)
            .filter(|run| {
                let uniform = || f64::from(random.next_u32()) / f64::from(u32::MAX);
                let values: Vec<f64> = std::iter::repeat_with(uniform).take(15).collect();
                summarise(&values, *run).unwrap().may_be(0.5)
            })
            .count();
        // Nominal 380 of 400; the percentile bootstrap of a median at n = 15 is close to that.
        assert!((355..=400).contains(&covered), "{covered} of {runs}");
    }

    #[test]
    fn a_common_disturbance_cancels_in_paired_ratios() {
        let pairs = [(20.0, 10.0), (2.0, 1.0), (200.0, 100.0), (14.0, 7.0)];
        let interval = paired_ratio(&pairs, 1).unwrap();
        assert_eq!((interval.low, interval.median, interval.high), (2.0, 2.0, 2.0));
    }

    #[test]
    fn the_same_seed_gives_the_same_interval() {
        let values = [1.0, 5.0, 2.0, 8.0, 3.0, 9.0];
        assert_eq!(summarise(&values, 4), summarise(&values, 4));
        assert_ne!(seed_of("a"), seed_of("b"));
    }

    #[test]
    fn figures_have_at_most_three_significant_digits() {
        for (value, text) in [
            (1_234_567.0, "1.23 M"),
            (45_678.0, "45.7 k"),
            (9_994.0, "9990"),
            (9_996.0, "10.0 k"),
            (999.6, "1000"),
            (12.34, "12.3"),
            (0.012_34, "0.0123"),
            (9.996, "10.0"),
            (0.0, "0"),
            (3.0e9, "3.00 G"),
        ] {
            assert_eq!(short(value), text, "{value}");
        }
    }

    #[test]
    fn a_difference_needs_three_repetitions_and_an_interval_beside_it() {
        let interval = |low, high, repetitions| Interval { median: low, low, high, repetitions };
        assert!(!interval(1.1, 1.2, 3).may_be(1.0));
        assert!(interval(1.1, 1.2, 2).may_be(1.0));
        assert!(interval(0.9, 1.2, 30).may_be(1.0));
    }

    #[test]
    fn latencies_carry_their_unit() {
        assert_eq!((latency(134.2), latency(999.7)), ("134 µs".into(), "1.00 ms".into()));
        assert_eq!(latency(13_800.0), "13.8 ms");
    }

    #[test]
    fn changes_are_signed_and_large_ones_are_factors() {
        for (ratio, text) in
            [(1.034, "+3.4 %"), (0.88, "−12 %"), (1.5, "+50 %"), (6.12, "×6.12"), (1.0, "+0.0 %")]
        {
            assert_eq!(change(ratio), text);
        }
    }
}

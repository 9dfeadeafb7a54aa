//! The throughput that a system reaches in closed loop, found once in a run, so that the rates of
//! schedules can be shares of it and stay the same over repetitions.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::experiment::Outcome;
use crate::metric::Metric;
use crate::run::Proof;

/// Peaks by what was loaded.
#[derive(Debug)]
pub(super) struct Peaks<K> {
    found: RefCell<BTreeMap<K, f64>>,
}

impl<K: Ord> Peaks<K> {
    pub(super) const fn new() -> Self {
        Self { found: RefCell::new(BTreeMap::new()) }
    }

    /// The peak of `key` in commands per second, rounded to two digits; measured when it is asked
    /// for the first time.
    ///
    /// # Errors
    /// When that repetition was not verified or answered nothing; the next call tries again.
    pub(super) fn of(&self, key: K, measure: impl FnOnce() -> Outcome) -> Result<f64, String> {
        if let Some(peak) = self.found.borrow().get(&key) {
            return Ok(*peak);
        }
        let outcome = measure();
        if let Proof::Failed(reason) = outcome.proof {
            return Err(format!("no peak to take a share of: {reason}"));
        }
        let peak = outcome.values.get(&Metric::Throughput).copied().unwrap_or(0.0);
        if peak <= 0.0 {
            return Err("no peak to take a share of: nothing was answered".into());
        }
        self.found.borrow_mut().insert(key, two_digits(peak));
        Ok(two_digits(peak))
    }
}

fn two_digits(value: f64) -> f64 {
    let unit = 10f64.powi(value.log10().floor() as i32 - 1);
    (value / unit).round() * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(throughput: f64) -> Outcome {
        Outcome::new(BTreeMap::from([(Metric::Throughput, throughput)]), Proof::Verified)
    }

    #[test]
    fn a_peak_is_measured_once_and_rounded() {
        let peaks = Peaks::new();
        assert_eq!(peaks.of("raft", || outcome(123_456.0)), Ok(120_000.0));
        let again = peaks.of("raft", || panic!("it is known"));
        assert_eq!(again, Ok(120_000.0));
        assert_eq!(peaks.of("pbft", || outcome(98.7)), Ok(99.0));
    }

    #[test]
    fn a_failed_peak_is_an_error_and_is_tried_again() {
        let peaks = Peaks::new();
        let failed = peaks.of(1, || Outcome::failed(&"replica 2 differs"));
        assert!(failed.unwrap_err().contains("replica 2 differs"));
        assert!(peaks.of(1, || outcome(0.0)).is_err());
        assert_eq!(peaks.of(1, || outcome(10.0)), Ok(10.0));
    }
}

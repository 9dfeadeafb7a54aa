//! The simulation's only source of randomness: one ChaCha8 stream for each part of a run.
//!
//! Every draw of a part comes from its own [`Dice`], so that one more draw in one part (say, a new
//! kind of fault) shifts no draw of the others.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Probabilities are given in parts of a million.
pub const CERTAIN_PPM: u32 = 1_000_000;

/// A seeded generator with the few kinds of draws that a simulation needs.
#[derive(Clone, Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// The generator of part `part` of the run `seed`.
    #[must_use]
    pub fn new(seed: u64, part: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(part);
        Self(generator)
    }

    /// A uniform 64-bit number.
    pub fn word(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// True with a probability of `ppm` in a million. Draws nothing for 0.
    pub fn chance(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.below(u64::from(CERTAIN_PPM)) < u64::from(ppm)
    }

    /// A uniform number in `0..limit`; 0 when `limit` is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        // The high half of the product: uniform up to a bias of limit / 2^64.
        ((u128::from(self.0.next_u64()) * u128::from(limit)) >> 64) as u64
    }

    /// A uniform number in `low..high`; `low` when the range is empty.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low))
    }

    /// A uniform index below `count`.
    pub fn index(&mut self, count: usize) -> usize {
        self.below(count as u64) as usize
    }

    /// One of `choices`.
    ///
    /// # Panics
    /// If there is nothing to choose from.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.index(choices.len())]
    }

    /// A draw with a long tail and the given mean: most draws are small, some are many means.
    ///
    /// Sums of halvings rather than a logarithm, so that no platform's libm can differ.
    pub fn long_tail(&mut self, mean: u64) -> u64 {
        let word = self.word();
        // P(zeros >= k) = 2^-k; the interval [k, k+1) means is drawn with that probability.
        let zeros = u64::from(word.leading_zeros().min(12));
        let fraction = mean.saturating_mul(word & 0xffff_ffff) >> 32;
        mean.saturating_mul(zeros).saturating_add(fraction) * 2 / 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_part_give_the_same_draws_and_others_do_not() {
        let draws = |seed, part| {
            let mut dice = Dice::new(seed, part);
            [dice.word(), dice.below(1000), dice.long_tail(50)]
        };
        assert_eq!(draws(3, 1), draws(3, 1));
        assert_ne!(draws(3, 1), draws(3, 2));
        assert_ne!(draws(3, 1), draws(4, 1));
    }

    #[test]
    fn draws_stay_in_their_ranges_and_near_their_means() {
        let mut dice = Dice::new(1, 0);
        let count = 20_000;
        let hits = (0..count).filter(|_| dice.chance(250_000)).count();
        assert!((count / 5..count * 3 / 10).contains(&hits), "{hits}");
        let mean = (0..count).map(|_| dice.long_tail(900)).sum::<u64>() / count as u64;
        assert!((700..1100).contains(&mean), "{mean}");
        assert!((0..count).all(|_| (5..9).contains(&dice.between(5, 9))));
        assert_eq!((dice.below(0), dice.between(4, 4)), (0, 4));
    }
}

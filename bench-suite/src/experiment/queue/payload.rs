//! What travels through the queues, and the sums that notice a lost, doubled or torn item.

use std::fmt::Debug;

/// A message made from a number, from which the number can be read again.
///
/// `Default` and `Clone` are asked for by `thingbuf`, whose slots are never empty.
pub trait Payload: Clone + Default + Debug + Send + Sync + 'static {
    /// Its name in tables.
    const NAME: &'static str;
    /// The message of `number`.
    fn of(number: u64) -> Self;
    /// The number again; [`u64::MAX`] from a message that is not whole.
    fn number(&self) -> u64;
}

impl Payload for u64 {
    const NAME: &'static str = "8 B";

    #[inline]
    fn of(number: u64) -> Self {
        number
    }

    #[inline]
    fn number(&self) -> u64 {
        *self
    }
}

/// A message of `WORDS` words of eight bytes, all of them written.
#[derive(Clone, Copy, Debug)]
pub struct Words<const WORDS: usize>([u64; WORDS]);

/// 64 bytes.
pub type Line = Words<8>;
/// 256 bytes.
pub type FourLines = Words<32>;

impl<const WORDS: usize> Default for Words<WORDS> {
    fn default() -> Self {
        Self([0; WORDS])
    }
}

impl<const WORDS: usize> Payload for Words<WORDS> {
    const NAME: &'static str = if WORDS == 8 { "64 B" } else { "256 B" };

    #[inline]
    fn of(number: u64) -> Self {
        Self([number; WORDS])
    }

    #[inline]
    fn number(&self) -> u64 {
        let (first, last) = (self.0[0], self.0[WORDS - 1]);
        if first == last { first } else { u64::MAX }
    }
}

impl Payload for Box<u64> {
    const NAME: &'static str = "Box";

    #[inline]
    fn of(number: u64) -> Self {
        Self::new(number)
    }

    #[inline]
    fn number(&self) -> u64 {
        **self
    }
}

/// What consumers received, in sums that notice a lost and a doubled item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Items.
    pub count: u64,
    sum: u64,
    squares: u64,
}

impl Received {
    /// Adds a message.
    #[inline]
    pub fn take(&mut self, item: &impl Payload) {
        let number = item.number();
        self.count += 1;
        self.sum = self.sum.wrapping_add(number);
        self.squares = self.squares.wrapping_add(number.wrapping_mul(number));
    }

    /// What the numbers `0..count` add up to.
    #[must_use]
    pub fn of_range(count: u64) -> Self {
        let mut received = Self::default();
        (0..count).for_each(|item| received.take(&item));
        received
    }

    /// What two consumers received together.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
        self.squares = self.squares.wrapping_add(other.squares);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_and_a_doubled_item_do_not_cancel_out() {
        let expected = Received::of_range(10);
        let mut wrong = Received::default();
        (0..10).map(|item| if item == 3 { 4 } else { item }).for_each(|item| wrong.take(&item));
        assert_ne!(wrong, expected);
        let mut cancelling = Received::default();
        // One and four lost, two and three doubled: count and sum agree, squares do not.
        [0, 2, 2, 3, 3, 5, 6, 7, 8, 9].into_iter().for_each(|item: u64| cancelling.take(&item));
        assert_ne!(cancelling, expected);
    }

    #[test]
    fn every_payload_gives_its_number_back_and_a_torn_one_does_not() {
        assert_eq!(u64::of(7).number(), 7);
        assert_eq!(Line::of(7).number(), 7);
        assert_eq!(FourLines::of(7).number(), 7);
        assert_eq!(Box::<u64>::of(7).number(), 7);
        let mut torn = Line::of(7);
        torn.0[7] = 8;
        assert_eq!(torn.number(), u64::MAX);
    }
}

//! A small, fast, seedless hasher: the trace hash and the checker's tables must not depend on
//! process-wide random keys, and they are on the hot path.

use std::hash::Hasher;

/// Folds words by multiply and rotate. Not for adversarial input; a run makes its own input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fold(u64);

impl Fold {
    /// Mixes one word in.
    #[inline]
    pub(crate) const fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    /// The hash of everything mixed in so far.
    #[inline]
    #[must_use]
    pub(crate) const fn value(&self) -> u64 {
        let folded = (self.0 ^ (self.0 >> 32)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        folded ^ (folded >> 29)
    }
}

impl Hasher for Fold {
    #[inline]
    fn finish(&self) -> u64 {
        self.value()
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.mix(u64::from_le_bytes(chunk.try_into().expect("chunks of eight bytes")));
        }
        let mut last = [0; 8];
        let rest = chunks.remainder();
        last[..rest.len()].copy_from_slice(rest);
        self.mix(u64::from_le_bytes(last) ^ (bytes.len() as u64) << 56);
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }

    #[inline]
    fn write_u32(&mut self, word: u32) {
        self.mix(u64::from(word));
    }

    #[inline]
    fn write_u8(&mut self, word: u8) {
        self.mix(u64::from(word));
    }

    #[inline]
    fn write_usize(&mut self, word: usize) {
        self.mix(word as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, BuildHasherDefault};

    use super::*;

    #[test]
    fn order_length_and_content_change_the_hash() {
        let hash = |bytes: &[u8]| BuildHasherDefault::<Fold>::default().hash_one(bytes);
        assert_ne!(hash(b"ab"), hash(b"ba"));
        assert_ne!(hash(b"a"), hash(b"a\0"));
        assert_eq!(hash(b"the same"), hash(b"the same"));
    }
}

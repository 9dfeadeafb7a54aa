//! An lz4 encoder for small inputs behind a dictionary, whose table is prepared once.
//!
//! The block format is lz4's, and `lz4_flex` opens it. Its own encoder is not used here because
//! with a dictionary it takes a new table from the allocator and hashes the whole dictionary at
//! every call, which costs several times what a small message does (64 bytes: 68 MB/s against
//! 331 here). Here the table of the dictionary is copied (8 KiB, which stay in the nearest cache),
//! and the input is copied behind the dictionary, so that one buffer holds whatever a match may
//! refer to.
//!
//! How it works (lz4, Collet 2011): the four bytes at each position are looked up in a table of
//! where such bytes were seen last. If they are the same there, the match is made as long as
//! possible and written as: literals since the last match, distance back, length. Where nothing
//! matches, the steps become longer. By the format the last five bytes are literals and the last
//! match starts at least twelve before the end.
//!
//! What always holds: no allocation after the first inputs; equal inputs make equal blocks.
//! Left to others: whether the block is smaller.

use std::sync::Arc;

use super::{DICTIONARY_BYTES_MAX, DICTIONARY_RAW_BYTES_MAX, Dictionary};

/// Entries of a table.
const TABLE_ENTRIES: usize = 1 << TABLE_BITS;
const TABLE_BITS: u32 = 12;
/// The shortest match.
const MATCH_BYTES_MIN: usize = 4;
/// No match starts in these last bytes of the input.
const TAIL_BYTES: usize = 12;
/// No match reaches into these last bytes.
const LITERAL_TAIL_BYTES: usize = 5;
/// After this many misses, as a power of two, steps become longer by one.
const MISSES_BITS: u32 = 6;

// Positions fit the table's entries, and distances the format's two bytes.
const _: () = assert!(DICTIONARY_BYTES_MAX + DICTIONARY_RAW_BYTES_MAX <= u16::MAX as usize);

/// Where four bytes with some hash were seen last.
pub(super) type Table = Box<[u16; TABLE_ENTRIES]>;

/// The table of a dictionary.
pub(super) fn table_of(dictionary: &[u8]) -> Table {
    let mut table = Box::new([0; TABLE_ENTRIES]);
    for at in 0..dictionary.len().saturating_sub(MATCH_BYTES_MIN - 1) {
        table[entry(four(dictionary, at))] = at as u16;
    }
    table
}

/// Compresses inputs of at most [`DICTIONARY_RAW_BYTES_MAX`] bytes.
pub(super) struct PrefixEncoder {
    dictionary: Arc<Dictionary>,
    table: Table,
    /// The dictionary, then the input.
    window: Vec<u8>,
    block: Vec<u8>,
}

impl PrefixEncoder {
    pub(super) fn new(dictionary: Arc<Dictionary>) -> Self {
        let window = dictionary.bytes().to_vec();
        Self { table: dictionary.table().clone(), dictionary, window, block: Vec::new() }
    }

    pub(super) fn dictionary(&self) -> &Arc<Dictionary> {
        &self.dictionary
    }

    /// Compresses `raw` and returns the block.
    pub(super) fn encode(&mut self, raw: &[u8]) -> &[u8] {
        debug_assert!(raw.len() <= DICTIONARY_RAW_BYTES_MAX);
        let start = self.dictionary.bytes().len();
        self.table.copy_from_slice(&self.dictionary.table()[..]);
        self.window.truncate(start);
        self.window.extend_from_slice(raw);
        self.block.clear();
        // The longest block of so many bytes: all literals, their length in bytes of 255.
        self.block.reserve(raw.len() + raw.len() / 255 + 16);
        fill(&mut self.block, &self.window, start, &mut self.table);
        &self.block
    }
}

/// Writes the block of `window[start..]`.
fn fill(block: &mut Vec<u8>, window: &[u8], start: usize, table: &mut [u16; TABLE_ENTRIES]) {
    let last_match_start = window.len().saturating_sub(TAIL_BYTES);
    let (mut literals, mut at, mut misses) = (start, start, 1 << MISSES_BITS);
    while at < last_match_start {
        let bytes = four(window, at);
        let place = &mut table[entry(bytes)];
        let seen = usize::from(*place);
        *place = at as u16;
        if four(window, seen) != bytes {
            at += misses >> MISSES_BITS;
            misses += 1;
            continue;
        }
        let back = common_back(&window[literals..at], &window[..seen]);
        let ahead = common_ahead(window, seen + MATCH_BYTES_MIN, at + MATCH_BYTES_MIN);
        let match_bytes = back + MATCH_BYTES_MIN + ahead;
        push_sequence(block, &window[literals..at - back], at - seen, match_bytes);
        at = at - back + match_bytes;
        literals = at;
        misses = 1 << MISSES_BITS;
        table[entry(four(window, at - 2))] = (at - 2) as u16;
    }
    push_literals(block, &window[literals..], 0);
}

fn push_sequence(block: &mut Vec<u8>, literals: &[u8], distance: usize, match_bytes: usize) {
    let extra = match_bytes - MATCH_BYTES_MIN;
    push_literals(block, literals, extra.min(15) as u8);
    block.extend_from_slice(&(distance as u16).to_le_bytes());
    if extra >= 15 {
        push_length(block, extra - 15);
    }
}

/// A token with these low bits, and literals.
fn push_literals(block: &mut Vec<u8>, literals: &[u8], low_bits: u8) {
    block.push((literals.len().min(15) as u8) << 4 | low_bits);
    if literals.len() >= 15 {
        push_length(block, literals.len() - 15);
    }
    block.extend_from_slice(literals);
}

fn push_length(block: &mut Vec<u8>, mut length: usize) {
    while length >= 255 {
        block.push(255);
        length -= 255;
    }
    block.push(length as u8);
}

/// Bytes that are equal at the ends.
fn common_back(left: &[u8], right: &[u8]) -> usize {
    left.iter().rev().zip(right.iter().rev()).take_while(|(left, right)| left == right).count()
}

/// Bytes that are equal from `left` and from `right` on, short of the literal tail.
fn common_ahead(window: &[u8], left: usize, right: usize) -> usize {
    let right = &window[right..window.len() - LITERAL_TAIL_BYTES];
    let left = &window[left..left + right.len()];
    let mut equal = 0;
    for (left, right) in left.as_chunks::<8>().0.iter().zip(right.as_chunks::<8>().0) {
        let differ = u64::from_le_bytes(*left) ^ u64::from_le_bytes(*right);
        if differ != 0 {
            return equal + differ.trailing_zeros() as usize / 8;
        }
        equal += 8;
    }
    let rest = left[equal..].iter().zip(&right[equal..]);
    equal + rest.take_while(|(left, right)| left == right).count()
}

#[inline]
fn four(window: &[u8], at: usize) -> u32 {
    super::frame::word(&window[at..])
}

#[inline]
fn entry(bytes: u32) -> usize {
    // Knuth's multiplicative hash, the high bits.
    (bytes.wrapping_mul(2_654_435_761) >> (u32::BITS - TABLE_BITS)) as usize
}

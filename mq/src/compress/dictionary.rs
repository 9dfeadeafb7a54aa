//! Dictionaries: what small messages have in common, agreed upon beforehand.
//!
//! What always holds: a dictionary is immutable and has an id that follows from its bytes; equal
//! samples make equal dictionaries.
//! Left to others: sending a dictionary to those who need it, and when to change it. A receiver
//! may hold several, so a sender changes to one that all receivers hold already.

use super::prefix::{self, Table};

/// The largest dictionary, in bytes.
pub const DICTIONARY_BYTES_MAX: usize = 4 << 10;
/// The smallest dictionary, in bytes.
pub const DICTIONARY_BYTES_MIN: usize = 16;
/// Samples are read up to this number of bytes.
pub const SAMPLE_BYTES_MAX: usize = 1 << 20;

/// The seed of a dictionary's id.
const ID_SEED: u64 = 0x6469_6374_696f_6e61;
/// Bytes of the runs whose worth is counted: what an lz4 match should have to gain something.
const RUN_BYTES: usize = 6;
/// Bytes of the segments that a dictionary is put together from.
const SEGMENT_BYTES: usize = 48;
/// Runs are counted in this many places, by hash.
const COUNTERS: usize = 1 << 18;

/// Why there is no dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DictionaryError {
    /// Shorter than [`DICTIONARY_BYTES_MIN`], or the samples share less than that.
    #[error("a dictionary has at least {DICTIONARY_BYTES_MIN} bytes; got {0}")]
    TooShort(usize),
    /// Longer than [`DICTIONARY_BYTES_MAX`].
    #[error("a dictionary has at most {DICTIONARY_BYTES_MAX} bytes; got {0}")]
    TooLong(usize),
    /// A decompressor holds as many as it may.
    #[error("at most {max} dictionaries are held at once", max = super::DICTIONARIES_MAX)]
    TooMany,
}

/// Bytes that messages may refer to, prepared for compression.
#[derive(Clone, PartialEq, Eq)]
pub struct Dictionary {
    bytes: Vec<u8>,
    id: u32,
    table: Table,
}

impl std::fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id = format_args!("{:#010x}", self.id);
        f.debug_struct("Dictionary").field("id", &id).field("bytes", &self.bytes.len()).finish()
    }
}

impl Dictionary {
    /// A dictionary of these bytes, for instance one that was trained elsewhere.
    ///
    /// # Errors
    /// [`DictionaryError`] when there are too few or too many.
    pub fn new(bytes: &[u8]) -> Result<Self, DictionaryError> {
        match bytes.len() {
            short if short < DICTIONARY_BYTES_MIN => Err(DictionaryError::TooShort(short)),
            long if long > DICTIONARY_BYTES_MAX => Err(DictionaryError::TooLong(long)),
            _ => Ok(Self {
                bytes: bytes.to_vec(),
                id: xxhash_rust::xxh3::xxh3_64_with_seed(bytes, ID_SEED) as u32,
                table: prefix::table_of(bytes),
            }),
        }
    }

    /// Puts a dictionary of at most `bytes_max` bytes together from what `samples` share.
    ///
    /// The rule (a plain form of COVER: Liao, Petri, Moffat, Wirth, "Effective Construction of
    /// Relative Lempel-Ziv Dictionaries", 2016): a run of 6 bytes is worth the number of samples
    /// that hold it, nothing if only one does. The samples, one after another, are cut into as
    /// many stretches as segments of 48 bytes fit the dictionary. Each stretch in turn gives the
    /// segment whose runs are worth most; those runs are worth nothing from then on. Rounds are
    /// made until the dictionary is full or nothing of worth is left.
    ///
    /// Takes time in the bytes of the samples (12 ms for 1 MiB); a few hundred messages are
    /// enough.
    ///
    /// ```
    /// use quorate_mq::compress::Dictionary;
    ///
    /// let sample = |n| format!("{{\"account\":{n},\"op\":\"pay\"}}");
    /// let samples: Vec<_> = (0..100).map(sample).collect();
    /// let dictionary = Dictionary::train(samples.iter().map(String::as_bytes), 4096)?;
    /// assert!(dictionary.bytes().windows(6).any(|run| run == b"\"op\":\""));
    /// # Ok::<(), quorate_mq::compress::DictionaryError>(())
    /// ```
    ///
    /// # Errors
    /// [`DictionaryError`] when `bytes_max` is out of range or the samples share too little.
    pub fn train<'a>(
        samples: impl IntoIterator<Item = &'a [u8]>,
        bytes_max: usize,
    ) -> Result<Self, DictionaryError> {
        match bytes_max {
            short if short < DICTIONARY_BYTES_MIN => return Err(DictionaryError::TooShort(short)),
            long if long > DICTIONARY_BYTES_MAX => return Err(DictionaryError::TooLong(long)),
            _ => {}
        }
        let (text, mut worth) = read(samples);
        let mut bytes = Vec::with_capacity(bytes_max);
        let stretch = (text.len() / bytes_max.div_ceil(SEGMENT_BYTES)).max(2 * SEGMENT_BYTES);
        loop {
            let before = bytes.len();
            for text in text.chunks(stretch) {
                let room = bytes_max - bytes.len();
                bytes.extend_from_slice(best_segment(text, &mut worth, room.min(SEGMENT_BYTES)));
            }
            if bytes.len() == before || bytes.len() + RUN_BYTES > bytes_max {
                return Self::new(&bytes);
            }
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its id, which follows from its bytes (the low half of their XXH3): two that differ share it
    /// once in four thousand million.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }
}

/// Joins the samples and counts in how many of them each run occurs.
fn read<'a>(samples: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Vec<u32>) {
    let mut text = Vec::new();
    let mut worth = vec![0; COUNTERS];
    let mut last_sample = vec![0; COUNTERS];
    for (sample, number) in samples.into_iter().zip(1u32..) {
        let sample = &sample[..sample.len().min(SAMPLE_BYTES_MAX - text.len())];
        if sample.is_empty() && text.len() == SAMPLE_BYTES_MAX {
            break;
        }
        for run in sample.windows(RUN_BYTES) {
            let counter = counter(run);
            if last_sample[counter] != number {
                last_sample[counter] = number;
                worth[counter] += 1;
            }
        }
        text.extend_from_slice(sample);
    }
    for worth in worth.iter_mut().filter(|worth| **worth == 1) {
        *worth = 0;
    }
    (text, worth)
}

/// The segment of at most `bytes_max` bytes whose runs are worth most, less what is worth nothing
/// at its ends; empty when nothing is. Its runs are worth nothing afterwards.
fn best_segment<'a>(text: &'a [u8], worth: &mut [u32], bytes_max: usize) -> &'a [u8] {
    let bytes = bytes_max.min(text.len());
    if bytes < RUN_BYTES {
        return &[];
    }
    let worth_at = |at: usize| u64::from(worth[counter(&text[at..at + RUN_BYTES])]);
    let runs = bytes - RUN_BYTES + 1;
    let mut sum: u64 = (0..runs).map(worth_at).sum();
    let (mut best, mut best_sum) = (0, sum);
    for start in 1..=text.len() - bytes {
        sum = sum + worth_at(start + runs - 1) - worth_at(start - 1);
        if sum > best_sum {
            (best, best_sum) = (start, sum);
        }
    }
    let of_worth = |at: &usize| worth_at(*at) > 0;
    let Some(first) = (best..best + runs).find(of_worth) else { return &[] };
    let last = (best..best + runs).rfind(of_worth).unwrap_or(first);
    let segment = &text[first..last + RUN_BYTES];
    for run in segment.windows(RUN_BYTES) {
        worth[counter(run)] = 0;
    }
    segment
}

fn counter(run: &[u8]) -> usize {
    xxhash_rust::xxh3::xxh3_64(run) as usize % COUNTERS
}

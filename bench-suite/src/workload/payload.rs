//! What values are made of: kinds of bytes that a codec meets differently, in any size.
//!
//! What always holds: the same kind, size, record and random choices give the same bytes (text from
//! `cargo metadata`: on the same checkout); every kind but [`Payload::Record`] and
//! [`Payload::Small`] has exactly the bytes that it was asked for.

use std::fmt::Write as _;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::text;

/// The sizes of values in experiments over sizes, in bytes.
pub const PAYLOAD_BYTES: [usize; 4] = [16, 256, 1 << 10, 16 << 10];
/// The bytes of a value of [`Payload::Small`]: what is left of a command of
/// [`SMALL_COMMAND_BYTES`](super::SMALL_COMMAND_BYTES).
const SMALL_BYTES: usize = 7;

/// What values are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Payload {
    /// A generated JSON record of about this many bytes.
    Record(usize),
    /// Exactly [`SMALL_COMMAND_BYTES`](super::SMALL_COMMAND_BYTES) bytes for the whole command.
    Small,
    /// Structured text from real data: the JSON of `cargo metadata`, cut into records.
    Json(usize),
    /// Real text: the workspace's sources, cut into records.
    Source(usize),
    /// Binary records as services send them: numbers, times, measurements and short names between
    /// random identifiers.
    Mixed(usize),
    /// Bytes that no codec can shrink.
    Noise(usize),
}

impl Payload {
    /// The kinds of value that experiments compare, each of `bytes` bytes, with its name in tables.
    #[must_use]
    pub const fn kinds(bytes: usize) -> [(&'static str, Self); 4] {
        [
            ("json", Self::Json(bytes)),
            ("source", Self::Source(bytes)),
            ("mixed", Self::Mixed(bytes)),
            ("noise", Self::Noise(bytes)),
        ]
    }

    /// The bytes of a value, about.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Small => SMALL_BYTES,
            Self::Record(bytes)
            | Self::Json(bytes)
            | Self::Source(bytes)
            | Self::Mixed(bytes)
            | Self::Noise(bytes) => bytes,
        }
    }

    /// A value of record `record`.
    #[must_use]
    pub fn value(self, record: u32, random: &mut ChaCha8Rng) -> Vec<u8> {
        match self {
            Self::Record(bytes) => json_record(record, bytes, random),
            Self::Small => format!("{:07x}", random.next_u32() & 0x0fff_ffff).into_bytes(),
            Self::Json(bytes) => text::metadata().cut(bytes, random),
            Self::Source(bytes) => text::sources().cut(bytes, random),
            Self::Mixed(bytes) => mixed(record, bytes, random),
            Self::Noise(bytes) => noise(bytes, random),
        }
    }
}

/// A number below `limit`, uniform to 2^-32.
pub(super) fn below(random: &mut ChaCha8Rng, limit: u64) -> u64 {
    (u64::from(random.next_u32()) * limit) >> 32
}

/// Bytes without structure.
fn noise(bytes: usize, random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    random.fill_bytes(&mut noise);
    noise
}

/// Measurements, one after another: about half of the bytes are random identifiers and the low
/// digits of numbers, the rest repeats.
fn mixed(record: u32, bytes: usize, random: &mut ChaCha8Rng) -> Vec<u8> {
    /// The first moment, in milliseconds since 1970, and the days after it that are drawn from.
    const FIRST_MS: u64 = 1_790_000_000_000;
    const DAY_MS: u64 = 86_400_000;
    let mut mixed = Vec::with_capacity(bytes + 64);
    while mixed.len() < bytes {
        let at = FIRST_MS + below(random, DAY_MS);
        let celsius = 15.0 + below(random, 1500) as f64 / 100.0;
        let (state, city) = (pick(&STATES, random), pick(&CITIES, random));
        mixed.extend(record.to_le_bytes());
        mixed.extend(at.to_le_bytes());
        mixed.extend(random.next_u64().to_le_bytes());
        mixed.extend(celsius.to_le_bytes());
        for name in [state, city] {
            mixed.push(name.len() as u8);
            mixed.extend(name.as_bytes());
        }
    }
    mixed.truncate(bytes);
    mixed
}

const NAMES: [&str; 24] = [
    "Amara", "Bjorn", "Chen", "Dolores", "Emeka", "Farida", "Goran", "Hana", "Ines", "Jonas",
    "Keiko", "Lior", "Mirela", "Nadia", "Oskar", "Priya", "Quentin", "Rosa", "Sefa", "Tomas",
    "Umar", "Vera", "Wanda", "Yusuf",
];
const CITIES: [&str; 12] = [
    "Nairobi", "Lyon", "Osaka", "Porto", "Quito", "Riga", "Seoul", "Turin", "Utrecht", "Vilnius",
    "Windhoek", "Zagreb",
];
const STATES: [&str; 5] = ["pending", "paid", "packed", "shipped", "returned"];
const WORDS: [&str; 40] = [
    "order",
    "the",
    "customer",
    "asked",
    "for",
    "delivery",
    "on",
    "a",
    "later",
    "day",
    "because",
    "parcel",
    "was",
    "not",
    "at",
    "address",
    "call",
    "before",
    "noon",
    "and",
    "leave",
    "it",
    "with",
    "neighbour",
    "if",
    "nobody",
    "answers",
    "invoice",
    "number",
    "changed",
    "refund",
    "after",
    "return",
    "gift",
    "wrap",
    "please",
    "fragile",
    "glass",
    "second",
    "floor",
];

/// A record of structured text, close to `bytes` bytes (never shorter than its fixed fields).
fn json_record(record: u32, bytes: usize, random: &mut ChaCha8Rng) -> Vec<u8> {
    let (name, city, state) = (pick(&NAMES, random), pick(&CITIES, random), pick(&STATES, random));
    let mut text = String::with_capacity(bytes + 32);
    let session = random.next_u64();
    let (cents, day, hour) = (below(random, 100_000), below(random, 365), below(random, 24));
    write!(
        text,
        r#"{{"id":{record},"session":"{session:016x}","customer":{{"name":"{name}","email":"{}.{}@example.org","city":"{city}"}},"state":"{state}","total_cents":{cents},"updated":"2026-{:02}-{:02}T{hour:02}:{:02}:00Z","note":""#,
        name.to_lowercase(),
        below(random, 10_000),
        day / 31 + 1,
        day % 28 + 1,
        below(random, 60),
    )
    .expect("writing into a string does not fail");
    while text.len() + 12 < bytes {
        text.push_str(pick(&WORDS, random));
        text.push(' ');
    }
    text.push_str("\"}");
    text.into_bytes()
}

fn pick<'a>(words: &[&'a str], random: &mut ChaCha8Rng) -> &'a str {
    words[below(random, words.len() as u64) as usize]
}

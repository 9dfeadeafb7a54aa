//! Workloads, generated in full before anything is measured.
//!
//! The mixes follow YCSB: A is half reads and half updates, B is 95 % reads, F reads and writes
//! back, W only writes. Keys are drawn by a Zipf law (constant 0.99, as in YCSB) or evenly, and are
//! scattered over the key space so that hot keys are not neighbours. Values are records of
//! structured text like those that services store: fields, names, dates, numbers, a free text.
//!
//! What always holds: the same [`Workload`] gives the same commands, byte for byte.

use std::fmt::Write as _;

use bytes::Bytes;
use quorate_smr::kv::KvCommand;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Zipf};

/// YCSB's Zipf constant.
pub const ZIPF_CONSTANT: f64 = 0.99;
/// Bytes of a command of the smallest workload, as encoded.
pub const SMALL_COMMAND_BYTES: usize = 16;

/// Bytes that one append adds.
const APPEND_BYTES: usize = 16;

/// What share of the operations reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mix {
    /// YCSB A: 50 % reads, 50 % updates.
    A,
    /// YCSB B: 95 % reads, 5 % updates.
    B,
    /// YCSB F as one command each: half reads, half appends to a record.
    F,
    /// Updates only.
    W,
}

impl Mix {
    /// Reads among a hundred operations.
    #[must_use]
    pub const fn reads_percent(self) -> u32 {
        match self {
            Self::A | Self::F => 50,
            Self::B => 95,
            Self::W => 0,
        }
    }
}

/// How keys are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Keys {
    /// Every key equally often.
    Uniform,
    /// Zipf with [`ZIPF_CONSTANT`].
    Zipf,
}

/// What values are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Payload {
    /// A JSON record of about this many bytes.
    Record(usize),
    /// Exactly [`SMALL_COMMAND_BYTES`] bytes for the whole command.
    Small,
    /// This many bytes that no codec can shrink.
    Noise(usize),
}

/// A workload's description. Equal descriptions generate equal commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Workload {
    /// Its name in tables (`ycsb-a`).
    pub name: &'static str,
    /// The shares of operations.
    pub mix: Mix,
    /// The choice of keys.
    pub keys: Keys,
    /// The values.
    pub payload: Payload,
    /// How many distinct keys there are.
    pub records: u32,
    /// What the random choices start from.
    pub seed: u64,
}

/// YCSB A over 10,000 records of about 400 bytes: the ablation's workload.
pub const YCSB_A: Workload = Workload {
    name: "ycsb-a",
    mix: Mix::A,
    keys: Keys::Zipf,
    payload: Payload::Record(400),
    records: 10_000,
    seed: 0x5943_5342,
};

/// YCSB B: as A, mostly reads.
pub const YCSB_B: Workload = Workload { name: "ycsb-b", mix: Mix::B, ..YCSB_A };

/// Writes of 16 bytes in all: what the protocols cost when the payload costs nothing.
pub const SMALL: Workload = Workload {
    name: "write-16B",
    mix: Mix::W,
    keys: Keys::Uniform,
    payload: Payload::Small,
    records: 1_000,
    seed: 0x0010,
};

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Reads the record.
    Read,
    /// Replaces it by the last bytes of the command, this many.
    Put(u32),
    /// Appends them.
    Append(u32),
}

/// One generated operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The key, by which it is routed.
    pub key: Bytes,
    /// The encoded [`KvCommand`].
    pub command: Bytes,
    /// The key's number, below [`Workload::records`].
    pub record: u32,
    /// What it does.
    pub kind: Kind,
}

impl Operation {
    /// A read of `record`.
    #[must_use]
    pub fn read(record: u32, key: Bytes) -> Self {
        let command = KvCommand::Get { key: &key }.encode().into();
        Self { key, command, record, kind: Kind::Read }
    }

    /// What is written; empty for a read.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        match self.kind {
            Kind::Read => &[],
            // A command ends with its value.
            Kind::Put(bytes) | Kind::Append(bytes) => {
                &self.command[self.command.len() - bytes as usize..]
            }
        }
    }
}

impl Workload {
    /// The key of record `record`: scattered, so that neighbours in rank are not neighbours in key
    /// order.
    #[must_use]
    pub fn key(&self, record: u32) -> Bytes {
        match self.payload {
            Payload::Small => format!("k{record:05}").into(),
            _ => format!("user{:016x}", scatter(u64::from(record))).into(),
        }
    }

    /// The commands that fill the store before the measurement: one write of each record.
    #[must_use]
    pub fn fill(&self) -> Vec<Operation> {
        let mut random = self.random(u64::MAX);
        (0..self.records).map(|record| self.write(record, false, &mut random)).collect()
    }

    /// The operations of client `client`, `count` of them.
    ///
    /// # Panics
    /// If the workload has no records.
    #[must_use]
    pub fn operations(&self, client: u64, count: usize) -> Vec<Operation> {
        assert!(self.records > 0, "a workload has at least one record");
        let mut random = self.random(client);
        let zipf = Zipf::new(f64::from(self.records), ZIPF_CONSTANT)
            .expect("a positive count and constant are valid");
        let reads = u64::from(self.mix.reads_percent());
        let mut next = || {
            let record = match self.keys {
                Keys::Uniform => below(&mut random, u64::from(self.records)) as u32,
                Keys::Zipf => zipf.sample(&mut random) as u32 - 1,
            };
            if below(&mut random, 100) < reads {
                return Operation::read(record, self.key(record));
            }
            self.write(record, self.mix == Mix::F, &mut random)
        };
        std::iter::repeat_with(&mut next).take(count).collect()
    }

    fn write(&self, record: u32, append: bool, random: &mut ChaCha8Rng) -> Operation {
        let key = self.key(record);
        let value = match self.payload {
            Payload::Record(bytes) => json_record(record, bytes, random),
            Payload::Small => format!("{:07x}", random.next_u32() & 0x0fff_ffff).into_bytes(),
            Payload::Noise(bytes) => noise(bytes, random),
        };
        if append {
            // Short enough that a hot record stays far below the largest value.
            let suffix = &value[..value.len().min(APPEND_BYTES)];
            let command = KvCommand::Append { key: &key, suffix }.encode().into();
            return Operation { key, command, record, kind: Kind::Append(suffix.len() as u32) };
        }
        let command = KvCommand::Put { key: &key, value: &value }.encode().into();
        Operation { key, command, record, kind: Kind::Put(value.len() as u32) }
    }

    fn random(&self, stream: u64) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(stream);
        random
    }
}

/// Bytes without structure.
fn noise(bytes: usize, random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    random.fill_bytes(&mut noise);
    noise
}

/// A bijection that scatters neighbours (the finaliser of splitmix64).
fn scatter(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A number below `limit`, uniform to 2^-32.
fn below(random: &mut ChaCha8Rng, limit: u64) -> u64 {
    (u64::from(random.next_u32()) * limit) >> 32
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_workload_generates_the_same_bytes_and_clients_differ() {
        assert_eq!(YCSB_A.operations(3, 500), YCSB_A.operations(3, 500));
        assert_ne!(YCSB_A.operations(3, 500), YCSB_A.operations(4, 500));
        assert_eq!(YCSB_A.fill(), YCSB_A.fill());
    }

    #[test]
    fn keys_follow_the_zipf_law() {
        let mut counts = vec![0u32; YCSB_A.records as usize];
        let draws = 200_000;
        for operation in YCSB_A.operations(0, draws) {
            counts[operation.record as usize] += 1;
        }
        let harmonic: f64 =
            (1..=YCSB_A.records).map(|rank| f64::from(rank).powf(-ZIPF_CONSTANT)).sum();
        for rank in [1u32, 2, 10, 100] {
            let expected = draws as f64 * f64::from(rank).powf(-ZIPF_CONSTANT) / harmonic;
            let seen = f64::from(counts[rank as usize - 1]);
            // Six standard deviations of a binomial count.
            let tolerance = 6.0 * expected.sqrt();
            assert!((seen - expected).abs() < tolerance, "rank {rank}: {seen}, not {expected}");
        }
    }

    #[test]
    fn mixes_have_their_share_of_reads() {
        for (workload, percent) in [(YCSB_A, 50), (YCSB_B, 95), (SMALL, 0)] {
            let operations = workload.operations(1, 20_000);
            let reads = operations.iter().filter(|operation| operation.kind == Kind::Read).count();
            assert!(reads.abs_diff(200 * percent) < 300, "{}: {reads}", workload.name);
        }
    }

    #[test]
    fn small_commands_have_exactly_sixteen_bytes() {
        for operation in SMALL.operations(0, 1000).iter().chain(&SMALL.fill()) {
            assert_eq!(operation.command.len(), SMALL_COMMAND_BYTES);
        }
    }

    #[test]
    fn values_are_valid_json_of_about_the_size_asked_for() {
        let mut random = YCSB_A.random(0);
        for bytes in [256, 400, 1024] {
            for record in 0..100 {
                let value = json_record(record, bytes, &mut random);
                let parsed: serde_json::Value = serde_json::from_slice(&value).unwrap();
                assert_eq!(parsed["id"], record);
                assert!(value.len().abs_diff(bytes) < 24, "{} for {bytes}", value.len());
            }
        }
    }

    #[test]
    fn every_record_has_its_own_key() {
        for workload in [YCSB_A, SMALL] {
            let keys: BTreeSet<_> = (0..workload.records).map(|r| workload.key(r)).collect();
            assert_eq!(keys.len(), workload.records as usize);
        }
    }

    #[test]
    fn a_command_ends_with_its_value() {
        for operation in YCSB_A.fill().iter().take(100) {
            let value: serde_json::Value = serde_json::from_slice(operation.value()).unwrap();
            assert_eq!(value["id"], operation.record);
        }
        assert_eq!(Operation::read(1, YCSB_A.key(1)).value(), b"");
    }

    #[test]
    fn noise_does_not_repeat() {
        let workload = Workload { mix: Mix::W, payload: Payload::Noise(64), ..YCSB_A };
        let commands: BTreeSet<_> =
            workload.operations(0, 100).into_iter().map(|operation| operation.command).collect();
        assert_eq!(commands.len(), 100);
    }
}

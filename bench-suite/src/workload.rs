//! Workloads, generated in full before anything is measured.
//!
//! The mixes follow YCSB (Cooper et al., "Benchmarking cloud serving systems with YCSB", SoCC 2010,
//! table 2): A is half reads and half updates, B is 95 % reads, C only reads, F half reads and half
//! records that are read and then written back; W, which is ours, only writes. Keys are drawn by a
//! Zipf law (constant 0.99, as in YCSB) or evenly, and are scattered over the key space so that hot
//! keys are not neighbours. Values are of several kinds and sizes ([`payload`]): generated records,
//! real text ([`text`]), mixed binary, noise.
//!
//! What always holds: the same [`Workload`] gives the same commands, byte for byte (with text from
//! `cargo metadata`: on the same checkout). Left to others: when commands are sent, and that a
//! record that is written back was read before ([`Operation::read_first`]).

use bytes::Bytes;
use quorate_smr::kv::KvCommand;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Zipf};

use self::payload::below;
pub use self::payload::{PAYLOAD_BYTES, Payload};

pub mod payload;
pub mod text;

/// YCSB's Zipf constant.
pub const ZIPF_CONSTANT: f64 = 0.99;
/// Bytes of a command of the smallest workload, as encoded.
pub const SMALL_COMMAND_BYTES: usize = 16;

/// What share of the operations reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mix {
    /// YCSB A: 50 % reads, 50 % updates.
    A,
    /// YCSB B: 95 % reads, 5 % updates.
    B,
    /// YCSB C: 100 % reads.
    C,
    /// YCSB F: 50 % reads, 50 % records that are read and then written back.
    F,
    /// Updates only.
    W,
}

impl Mix {
    /// Reads that nothing follows among a hundred operations.
    #[must_use]
    pub const fn reads_percent(self) -> u32 {
        match self {
            Self::A | Self::F => 50,
            Self::B => 95,
            Self::C => 100,
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

/// YCSB C: as A, only reads.
pub const YCSB_C: Workload = Workload { name: "ycsb-c", mix: Mix::C, ..YCSB_A };

/// YCSB F: as A, every write after a read of the same record.
pub const YCSB_F: Workload = Workload { name: "ycsb-f", mix: Mix::F, ..YCSB_A };

/// As A, only writes.
pub const WRITES: Workload = Workload { name: "write-only", mix: Mix::W, ..YCSB_A };

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
    /// For a record that is read and then written back: the read, which must be answered before
    /// the command is sent.
    pub read_first: Option<Bytes>,
}

impl Operation {
    /// A read of `record`.
    #[must_use]
    pub fn read(record: u32, key: Bytes) -> Self {
        let command = KvCommand::Get { key: &key }.encode().into();
        Self { key, command, record, kind: Kind::Read, read_first: None }
    }

    /// What is written; empty for a read.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        match self.kind {
            Kind::Read => &[],
            // A command ends with its value.
            Kind::Put(bytes) => &self.command[self.command.len() - bytes as usize..],
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
        (0..self.records).map(|record| self.write(record, &mut random)).collect()
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
            let mut write = self.write(record, &mut random);
            if self.mix == Mix::F {
                write.read_first = Some(Operation::read(record, write.key.clone()).command);
            }
            write
        };
        std::iter::repeat_with(&mut next).take(count).collect()
    }

    fn write(&self, record: u32, random: &mut ChaCha8Rng) -> Operation {
        let key = self.key(record);
        let value = self.payload.value(record, random);
        let command = KvCommand::Put { key: &key, value: &value }.encode().into();
        let kind = Kind::Put(value.len() as u32);
        Operation { key, command, record, kind, read_first: None }
    }

    fn random(&self, stream: u64) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(stream);
        random
    }
}

/// A bijection that scatters neighbours (the finaliser of splitmix64).
fn scatter(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests;

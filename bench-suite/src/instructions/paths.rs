//! The hot paths: what every message, command or batch goes through, as loops on one thread without
//! a clock or randomness, so that equal work is equal instructions.

use std::hint::black_box;

use quorate_mq::compress::{CompressionPolicy, Compressor, Decompressor};
use quorate_paxos::Paxos;
use quorate_pbft::Pbft;
use quorate_raft::Raft;
use quorate_smr::{
    Authenticator, Batch, BatchBuilder, ClientAuthenticator, ClientId, Command, GroupId, Protocol,
    ReplicaId, RequestSeq, Seed, Setup,
};

use crate::core_loop::CoreLoop;
use crate::error::BenchError;
use crate::experiment::queue::contenders;
use crate::workload::{Mix, Payload, Workload, YCSB_A};

/// Commands in the batches of the paths that carry batches.
const BATCH: u64 = 64;
/// Slots of the queues.
const CAPACITY: usize = 1024;
/// Bytes that the codec packs, about a batch of records.
const PACKED_BYTES: usize = 16 << 10;
/// The smallest identity: where clients own keys, it does.
const CLIENT: ClientId = ClientId(1);

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct HotPath {
    /// Its name in the baselines.
    pub name: &'static str,
    /// Operations whose instructions are counted.
    pub operations: u64,
    run: fn(u64) -> Result<(), BenchError>,
}

/// All of them.
#[must_use]
pub fn all() -> Vec<HotPath> {
    let path = |name, operations, run| HotPath { name, operations, run };
    vec![
        path("queue/ring, push and pop", 50_000, |count| queue("mq ring", count)),
        path("queue/strict, push and pop", 50_000, |count| queue("mq strict", count)),
        path("queue/unbounded, push and pop", 50_000, |count| queue("mq unbounded", count)),
        path("queue/spsc, push and pop", 50_000, |count| queue("mq spsc", count)),
        path("queue/sharded, push and pop", 50_000, |count| queue("mq sharded", count)),
        path("queue/channel, push and pop", 50_000, |count| queue("mq channel", count)),
        path("protocol/paxos, a batch of 64 at three replicas", 200, order::<Paxos>),
        path("protocol/raft, a batch of 64 at three replicas", 200, order::<Raft>),
        path("protocol/pbft, a batch of 64 at four replicas", 50, order::<Pbft>),
        path("codec/seal a batch of 64", 200, seal),
        path("codec/decode a batch of 64", 200, decode),
        path("codec/lz4, pack 16 KiB", 50, pack),
        path("codec/lz4, open 16 KiB", 50, open),
    ]
}

impl HotPath {
    /// The path of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        all().into_iter().find(|path| path.name == name)
    }

    /// Goes through it so often.
    ///
    /// # Errors
    /// When what it needs cannot be set up.
    pub fn run(&self, operations: u64) -> Result<(), BenchError> {
        (self.run)(operations)
    }
}

fn queue(name: &str, count: u64) -> Result<(), BenchError> {
    let mut all = contenders::all().into_iter();
    let one = all.find(|one| one.name == name);
    let done = one.and_then(|one| (one.alone)(CAPACITY, 1, count));
    done.map(drop).ok_or_else(|| BenchError::setup(name, &"it does not open"))
}

/// Seals batches of commands of 16 bytes whose clients' proofs are right for `P`.
struct Sealer<A> {
    client: A,
    builder: BatchBuilder,
    seq: u64,
    proof: Vec<u8>,
}

impl<A: ClientAuthenticator> Sealer<A> {
    fn new(client: A) -> Self {
        Self { client, builder: BatchBuilder::new(GroupId(0)), seq: 0, proof: Vec::new() }
    }

    fn seal(&mut self) -> Result<Batch, BenchError> {
        for _ in 0..BATCH {
            self.seq += 1;
            self.proof.clear();
            let (seq, payload) = (RequestSeq(self.seq), &[7; 16]);
            self.client.sign(CLIENT, seq, payload, &mut self.proof);
            let command = Command { client: CLIENT, seq, payload, auth: &self.proof };
            self.builder.push(&command).map_err(|error| BenchError::setup("a batch", &error))?;
        }
        Ok(self.builder.seal(None))
    }
}

/// A client that replicas of `P` believe.
fn client<P: Protocol>() -> Result<impl ClientAuthenticator, BenchError> {
    let setup = Setup::new(ReplicaId(0), P::replicas_for(1), Seed(7), P::Config::default());
    let auth = P::authenticator(&setup).map_err(|error| BenchError::setup(P::NAME, &error))?;
    auth.client(CLIENT).ok_or_else(|| BenchError::setup(P::NAME, &"client 1 is not known"))
}

fn order<P: Protocol>(count: u64) -> Result<(), BenchError> {
    let mut cores: CoreLoop<P> = CoreLoop::new(0)?;
    let mut sealer = Sealer::new(client::<P>()?);
    for _ in 0..count {
        cores.order(sealer.seal()?);
    }
    Ok(())
}

fn seal(count: u64) -> Result<(), BenchError> {
    let mut sealer = Sealer::new(client::<Raft>()?);
    for _ in 0..count {
        black_box(sealer.seal()?);
    }
    Ok(())
}

fn decode(count: u64) -> Result<(), BenchError> {
    let batch = Sealer::new(client::<Raft>()?).seal()?;
    let failed = |error| BenchError::setup("a batch", &error);
    let mut scratch = Vec::new();
    for _ in 0..count {
        let decoded = Batch::decode(black_box(batch.as_bytes().clone())).map_err(failed)?;
        black_box(decoded.body(&mut scratch).map_err(failed)?);
    }
    Ok(())
}

/// Records one after another, as a batch holds them.
fn records() -> Vec<u8> {
    let workload = Workload { mix: Mix::W, payload: Payload::Record(400), ..YCSB_A };
    let operations = workload.operations(0, PACKED_BYTES / 64);
    let commands = operations.iter().flat_map(|operation| operation.command.to_vec());
    commands.take(PACKED_BYTES).collect()
}

fn pack(count: u64) -> Result<(), BenchError> {
    let (raw, mut frame) = (records(), Vec::new());
    let mut compressor = Compressor::new(CompressionPolicy::Always);
    for _ in 0..count {
        frame.clear();
        black_box(compressor.compress_into(black_box(&raw), &mut frame));
    }
    Ok(())
}

fn open(count: u64) -> Result<(), BenchError> {
    let (raw, mut frame) = (records(), Vec::new());
    Compressor::new(CompressionPolicy::Always).compress_into(&raw, &mut frame);
    let (mut decompressor, mut scratch) = (Decompressor::new(), Vec::new());
    for _ in 0..count {
        let opened = decompressor.open(black_box(&frame), raw.len(), &mut scratch);
        black_box(opened.map_err(|error| BenchError::setup("a frame", &error))?);
    }
    Ok(())
}

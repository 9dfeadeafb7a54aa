//! How fast four replicas agree, on one thread, driven by hand: the protocol and its cryptography
//! alone, without queues, threads, disks or execution.
//!
//! `cargo run --release -p quorate-pbft --example throughput [seconds-per-row] [batch]`
//!
//! Each row proposes batches of 128-byte commands at the primary, keeps a few in flight, and ends
//! when all four replicas committed them. Every message is sealed (a MAC for each receiver) and
//! opened (MAC, digest, client MACs) exactly as in production; the disk answers at once; snapshots
//! are taken for free. With clients authenticated, the work of the clients themselves is included
//! (a tag for each replica on each command), and the primary's check of its own.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use quorate_pbft::{Pbft, PbftAuth, PbftClient, PbftConfig, Sealed};
use quorate_smr::{
    Authenticator, Batch, BatchBuilder, ClientAuthenticator, ClientId, Command, Digest, Effect,
    Effects, Gate, GroupId, Input, Protocol, Recovered, ReplicaId, RequestSeq, Seed, Setup,
    SnapshotMeta, Time,
};

const REPLICAS: usize = 4;
const CLIENT: ClientId = ClientId(1);
const PAYLOAD: [u8; 128] = [7; 128];
/// The clock is read once in so many commands in flight, because reading it costs microseconds.
const ROUNDS_BETWEEN_CLOCK_READS: usize = 256;

struct Node {
    protocol: Pbft,
    auth: PbftAuth,
    gate: Gate<quorate_pbft::Message>,
    inbox: VecDeque<(ReplicaId, Sealed)>,
    inputs: VecDeque<Input<quorate_pbft::Message>>,
    committed: u64,
}

struct Cluster {
    nodes: Vec<Node>,
    effects: Effects<quorate_pbft::Message, quorate_pbft::Record>,
    builder: BatchBuilder,
    client: PbftClient,
    next_seq: u64,
}

impl Cluster {
    fn new(config: &PbftConfig) -> Self {
        let node = |index: usize| {
            let setup = Setup::new(ReplicaId(index as u8), REPLICAS, Seed(1), config.clone());
            let auth = Pbft::authenticator(&setup).expect("the setup is valid");
            let protocol = Pbft::recover(setup, Recovered::default(), Time::ZERO);
            Node {
                protocol: protocol.expect("the setup is valid"),
                auth,
                gate: Gate::new(),
                inbox: VecDeque::new(),
                inputs: VecDeque::new(),
                committed: 0,
            }
        };
        let nodes: Vec<Node> = (0..REPLICAS).map(node).collect();
        let client = nodes[0].auth.client(CLIENT).expect("client 1 is known");
        Self {
            nodes,
            effects: Effects::new(),
            builder: BatchBuilder::new(GroupId(0)),
            client,
            next_seq: 1,
        }
    }

    /// A batch as a client and the primary's edge make it: signed, admitted, sealed.
    fn batch(&mut self, commands: usize) -> Batch {
        let mut proof = Vec::new();
        for _ in 0..commands {
            let seq = RequestSeq(self.next_seq);
            self.next_seq += 1;
            proof.clear();
            self.client.sign(CLIENT, seq, &PAYLOAD, &mut proof);
            let command = Command { client: CLIENT, seq, payload: &PAYLOAD, auth: &proof };
            self.nodes[0].auth.admit(&command).expect("the client signed it");
            self.builder.push(&command).expect("it fits");
        }
        self.builder.seal(None)
    }

    /// Delivers until nothing is on its way.
    fn settle(&mut self) {
        loop {
            let mut idle = true;
            for index in 0..REPLICAS {
                while let Some((from, sealed)) = self.nodes[index].inbox.pop_front() {
                    idle = false;
                    let message = self.nodes[index].auth.open(from, sealed).expect("it is ours");
                    self.handle(index, Input::Message { from, message });
                }
            }
            if idle {
                return;
            }
        }
    }

    fn handle(&mut self, index: usize, input: Input<quorate_pbft::Message>) {
        self.nodes[index].inputs.push_back(input);
        while let Some(input) = self.nodes[index].inputs.pop_front() {
            let mut effects = std::mem::take(&mut self.effects);
            self.nodes[index].protocol.handle(Time::ZERO, input, &mut effects);
            let mut synced = false;
            for effect in effects.drain() {
                synced |= self.carry_out(index, effect);
            }
            self.effects = effects;
            if synced {
                self.sync(index);
            }
        }
    }

    /// Whether the effect was a durable step.
    fn carry_out(
        &mut self,
        index: usize,
        effect: Effect<quorate_pbft::Message, quorate_pbft::Record>,
    ) -> bool {
        let node = &mut self.nodes[index];
        match effect {
            Effect::Send { to, message, release } => {
                if let Some((to, message)) = node.gate.offer(to, message, release) {
                    self.transmit(index, to, message);
                }
            }
            Effect::Append { .. } | Effect::Compact { .. } => {
                node.gate.step();
                return true;
            }
            Effect::Commit { .. } => node.committed += 1,
            Effect::TakeSnapshot { slot } => {
                let snapshot = SnapshotMeta { slot, digest: Digest([1; 32]), bytes: 0 };
                node.inputs.push_back(Input::SnapshotTaken { snapshot });
            }
            other => panic!("nothing else happens in the normal case: {other:?}"),
        }
        false
    }

    fn sync(&mut self, index: usize) {
        let upto = self.nodes[index].gate.appended();
        self.nodes[index].gate.durable_upto(upto);
        while let Some((to, message)) = self.nodes[index].gate.release() {
            self.transmit(index, to, message);
        }
        self.nodes[index].inputs.push_front(Input::Durable { upto });
    }

    fn transmit(&mut self, index: usize, to: quorate_smr::To, message: quorate_pbft::Message) {
        let from = ReplicaId(index as u8);
        let sealed = self.nodes[index].auth.seal(to, message);
        for receiver in to.receivers(from, quorate_smr::ReplicaSet::first(REPLICAS)).iter() {
            self.nodes[receiver.0 as usize].inbox.push_back((from, sealed.clone()));
        }
    }
}

/// Time that this process spent on a core, so that other work on the machine does not count; wall
/// time where the system does not tell.
struct Clock {
    wall: Instant,
    on_core_ns: Option<u64>,
}

impl Clock {
    fn start() -> Self {
        Self { wall: Instant::now(), on_core_ns: Self::on_core_ns() }
    }

    fn on_core_ns() -> Option<u64> {
        let schedstat = std::fs::read_to_string("/proc/self/schedstat").ok()?;
        schedstat.split_whitespace().next()?.parse().ok()
    }

    fn seconds(&self) -> f64 {
        match (self.on_core_ns, Self::on_core_ns()) {
            (Some(start), Some(now)) => (now - start) as f64 / 1e9,
            _ => self.wall.elapsed().as_secs_f64(),
        }
    }
}

fn row(config: &PbftConfig, commands: usize, in_flight: usize, duration: Duration) -> f64 {
    let mut cluster = Cluster::new(config);
    let start = Clock::start();
    let mut batches = 0u64;
    while start.seconds() < duration.as_secs_f64() {
        for _ in 0..ROUNDS_BETWEEN_CLOCK_READS.div_ceil(commands) {
            for _ in 0..in_flight {
                let batch = cluster.batch(commands);
                cluster.handle(0, Input::Propose { batch });
                batches += 1;
            }
            cluster.settle();
        }
    }
    let seconds = start.seconds();
    for (index, node) in cluster.nodes.iter().enumerate() {
        assert_eq!(node.committed, batches, "replica {index} committed everything");
    }
    batches as f64 / seconds
}

fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1.0);
    let sizes: Vec<usize> = match std::env::args().nth(2).and_then(|text| text.parse().ok()) {
        Some(size) => vec![size],
        None => vec![1, 64, 1024],
    };
    println!("4 replicas, 1 thread, 128-byte commands, 8 batches in flight");
    println!("{:>14} {:>6} {:>12} {:>14}", "client auth", "batch", "batches/s", "commands/s");
    for client_auth in [false, true] {
        for commands in sizes.clone() {
            let config = PbftConfig { client_auth, ..PbftConfig::default() };
            let mut rates: Vec<f64> = (0..5)
                .map(|_| row(&config, commands, 8, Duration::from_secs_f64(seconds / 5.0)))
                .collect();
            rates.sort_by(f64::total_cmp);
            let label = if client_auth { "MAC vector" } else { "none" };
            let median = rates[2];
            println!("{label:>14} {commands:>6} {median:>12.0} {:>14.0}", median * commands as f64);
        }
    }
}

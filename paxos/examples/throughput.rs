//! How many batches a second three replicas order as plain values on one thread: no executor, no
//! queue, no client, journals that are durable at once. What remains is the protocol itself.
//!
//! ```text
//! cargo run --release -p quorate-paxos --example throughput
//! ```
//!
//! For each batch size, `closed` waits until a batch is committed on all three replicas before it
//! proposes the next; `open N` keeps N batches in flight. Each line is the median of five runs.
//! Sealing the batches is outside the timed part.

use std::time::{Duration, Instant};

use quorate_paxos::{Message, Paxos, PaxosConfig, Record};
use quorate_smr::testing::plain_batch;
use quorate_smr::{
    Batch, Digest, Effect, Effects, GroupId, Input, Lsn, Protocol, Recovered, ReplicaId,
    ReplicaSet, Role, Seed, Setup, SnapshotMeta, Time,
};

const REPLICAS: usize = 3;
const RUNS: usize = 5;
/// Distinct batches, proposed in turn.
const BATCHES: usize = 4096;

/// Three replicas and the messages between them.
struct Cluster {
    replicas: Vec<Paxos>,
    appended: Vec<Lsn>,
    committed: Vec<u64>,
    wire: Vec<(usize, usize, Message)>,
    effects: Effects<Message, Record>,
}

impl Cluster {
    fn new() -> Self {
        let setup =
            |index| Setup::new(ReplicaId(index as u8), REPLICAS, Seed(1), PaxosConfig::default());
        let start = |index| {
            Paxos::recover(setup(index), Recovered::default(), Time::ZERO).expect("a valid setup")
        };
        Self {
            replicas: (0..REPLICAS).map(start).collect(),
            appended: vec![Lsn::ZERO; REPLICAS],
            committed: vec![0; REPLICAS],
            wire: Vec::new(),
            effects: Effects::new(),
        }
    }

    /// Hands `input` over, then reports all durable steps at once, as a fast disk would.
    fn input(&mut self, at: usize, input: Input<Message>) {
        self.replicas[at].handle(Time::ZERO, input, &mut self.effects);
        loop {
            let before = self.appended[at];
            let snapshot = self.carry_out(at);
            let upto = self.appended[at];
            if let Some(snapshot) = snapshot {
                let input = Input::SnapshotTaken { snapshot };
                self.replicas[at].handle(Time::ZERO, input, &mut self.effects);
            }
            if upto > before {
                let input = Input::Durable { upto };
                self.replicas[at].handle(Time::ZERO, input, &mut self.effects);
            }
            if self.effects.is_empty() {
                return;
            }
        }
    }

    /// Carries out the effects of `at`; the snapshot that it wants, if any.
    fn carry_out(&mut self, at: usize) -> Option<SnapshotMeta> {
        let members = ReplicaSet::first(REPLICAS);
        let mut wanted = None;
        for effect in self.effects.drain() {
            match effect {
                Effect::Send { to, message, .. } => {
                    let mut receivers = to.receivers(ReplicaId(at as u8), members).iter();
                    let first = receivers.next();
                    for receiver in receivers {
                        self.wire.push((at, receiver.0 as usize, message.clone()));
                    }
                    if let Some(first) = first {
                        self.wire.push((at, first.0 as usize, message));
                    }
                }
                Effect::Append { .. } | Effect::Compact { .. } => {
                    self.appended[at] = self.appended[at].next();
                }
                Effect::Commit { slot, .. } => self.committed[at] = slot.0,
                Effect::TakeSnapshot { slot } => {
                    wanted = Some(SnapshotMeta { slot, digest: Digest::default(), bytes: 0 });
                }
                _ => {}
            }
        }
        wanted
    }

    fn settle(&mut self) {
        let mut wire = Vec::new();
        while !self.wire.is_empty() {
            std::mem::swap(&mut wire, &mut self.wire);
            for (from, to, message) in wire.drain(..) {
                self.input(to, Input::Message { from: ReplicaId(from as u8), message });
            }
        }
    }

    fn elect(&mut self) -> usize {
        let later = Time::ZERO.after(Duration::from_millis(400));
        self.replicas[0].handle(later, Input::Tick, &mut self.effects);
        self.input(0, Input::Tick);
        self.settle();
        let leads = |replica: &Paxos| replica.status().role == Role::Leader;
        self.replicas.iter().position(leads).expect("the one that ticked leads")
    }
}

fn batches(commands: usize) -> Vec<Batch> {
    let payload = [7u8; 16];
    let payloads = vec![&payload[..]; commands];
    let first = |index: usize| 1 + (index * commands) as u64;
    (0..BATCHES).map(|index| plain_batch(GroupId(0), first(index), &payloads)).collect()
}

/// Batches a second, with `open` of them in flight.
fn run(batches: &[Batch], open: usize, total: usize) -> f64 {
    let mut cluster = Cluster::new();
    let leader = cluster.elect();
    let start = Instant::now();
    let mut proposed = 0;
    while proposed < total {
        for _ in 0..open.min(total - proposed) {
            let batch = batches[proposed % batches.len()].clone();
            cluster.input(leader, Input::Propose { batch });
            proposed += 1;
        }
        cluster.settle();
    }
    let elapsed = start.elapsed();
    assert!(cluster.committed.iter().all(|slot| *slot == total as u64), "committed on all");
    total as f64 / elapsed.as_secs_f64()
}

fn main() {
    eprintln!(
        "sizes: message {} effect {} input {} record {}",
        size_of::<Message>(),
        size_of::<Effect<Message, Record>>(),
        size_of::<Input<Message>>(),
        size_of::<Record>()
    );
    println!("{:>8} {:>8} {:>14} {:>14}", "commands", "open", "batches/s", "commands/s");
    for commands in [1, 64] {
        let batches = batches(commands);
        for open in [1, 8, 64] {
            let mut rates: Vec<f64> = (0..RUNS).map(|_| run(&batches, open, 1_000_000)).collect();
            rates.sort_by(f64::total_cmp);
            let rate = rates[RUNS / 2];
            println!("{commands:>8} {open:>8} {rate:>14.0} {:>14.0}", rate * commands as f64);
        }
    }
}

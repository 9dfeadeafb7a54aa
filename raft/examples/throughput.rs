//! How fast three replicas are as plain values: no executor, no queue, no client, one thread.
//!
//! Proposals go in at the leader, all messages are carried by hand, the disk is instant (`Durable`
//! is handed back right after each input). A proposal counts when all three replicas committed it.
//! `closed` waits for that after every proposal, `pipelined` keeps 64 on their way.
//!
//! ```text
//! cargo run --release -p quorate-raft --example throughput
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use quorate_raft::{Message, Raft, RaftConfig, Record};
use quorate_smr::{
    Batch, BatchBuilder, ClientId, Command, Digest, Effect, Effects, GroupId, Input, Lsn, Protocol,
    Recovered, ReplicaId, ReplicaSet, RequestSeq, Role, Seed, Setup, Slot, SnapshotMeta, Time, To,
};

const REPLICAS: usize = 3;
const RUN: Duration = Duration::from_secs(2);

/// Three replicas and what travels between them.
struct Group {
    replicas: Vec<Raft>,
    appended: [u64; REPLICAS],
    committed: [u64; REPLICAS],
    wire: VecDeque<(ReplicaId, ReplicaId, Message)>,
    effects: Effects<Message, Record>,
    now: Time,
}

impl Group {
    fn new() -> Self {
        let replica = |index: usize| {
            let id = ReplicaId(index as u8);
            let setup = Setup::new(id, REPLICAS, Seed(1), RaftConfig::default());
            Raft::recover(setup, Recovered::default(), Time::ZERO).expect("a valid setup")
        };
        Self {
            replicas: (0..REPLICAS).map(replica).collect(),
            appended: [0; REPLICAS],
            committed: [0; REPLICAS],
            wire: VecDeque::new(),
            effects: Effects::new(),
            now: Time::ZERO,
        }
    }

    fn input(&mut self, to: ReplicaId, input: Input<Message>) {
        let index = usize::from(to.0);
        let before = self.appended[index];
        self.replicas[index].handle(self.now, input, &mut self.effects);
        let wanted = self.carry_out(to);
        let upto = Lsn(self.appended[index]);
        if upto.0 > before {
            self.replicas[index].handle(self.now, Input::Durable { upto }, &mut self.effects);
            self.carry_out(to);
        }
        if let Some(slot) = wanted {
            let snapshot = SnapshotMeta { slot, digest: Digest::default(), bytes: 0 };
            self.input(to, Input::SnapshotTaken { snapshot });
        }
    }

    /// Carries out the effects of `from`; returns the slot of the snapshot that it asked for.
    fn carry_out(&mut self, from: ReplicaId) -> Option<Slot> {
        let index = usize::from(from.0);
        let mut wanted = None;
        for effect in self.effects.drain() {
            match effect {
                // The disk is instant, so that nothing waits for it.
                Effect::Send { to: To::One(to), message, .. } => {
                    self.wire.push_back((from, to, message));
                }
                Effect::Send { to, message, .. } => {
                    for to in to.receivers(from, ReplicaSet::first(REPLICAS)).iter() {
                        self.wire.push_back((from, to, message.clone()));
                    }
                }
                Effect::Append { .. } | Effect::Compact { .. } => self.appended[index] += 1,
                Effect::Commit { slot, .. } => self.committed[index] = slot.0,
                Effect::TakeSnapshot { slot } => wanted = Some(slot),
                _ => {}
            }
        }
        wanted
    }

    fn settle(&mut self) {
        while let Some((from, to, message)) = self.wire.pop_front() {
            self.input(to, Input::Message { from, message });
        }
    }

    fn elect(&mut self) -> ReplicaId {
        loop {
            let leader = self.replicas.iter().position(|replica| replica.role() == Role::Leader);
            if let Some(leader) = leader {
                return ReplicaId(leader as u8);
            }
            let due = |index: &usize| self.replicas[*index].deadline().expect("a follower waits");
            let next = (0..REPLICAS).min_by_key(due).expect("three replicas");
            self.now = due(&next);
            self.input(ReplicaId(next as u8), Input::Tick);
            self.settle();
        }
    }
}

fn batch(builder: &mut BatchBuilder, commands: u64, seq: &mut u64) -> Batch {
    for _ in 0..commands {
        *seq += 1;
        let payload = [7; 16];
        let command =
            Command { client: ClientId(1), seq: RequestSeq(*seq), payload: &payload, auth: &[] };
        builder.push(&command).expect("within the limits");
    }
    builder.seal(None)
}

/// Commands per second, with `depth` proposals on their way at once.
fn run(commands: u64, depth: usize, fresh: bool) -> f64 {
    let mut group = Group::new();
    let leader = group.elect();
    let mut builder = BatchBuilder::new(GroupId(0));
    let mut seq = 0;
    let sealed = batch(&mut builder, commands, &mut seq);
    let start = Instant::now();
    let mut batches = 0;
    let first = group.committed[0];
    while start.elapsed() < RUN {
        for _ in 0..4096 / depth {
            for _ in 0..depth {
                let batch =
                    if fresh { batch(&mut builder, commands, &mut seq) } else { sealed.clone() };
                group.input(leader, Input::Propose { batch });
            }
            group.settle();
        }
        batches += 4096 / depth * depth;
    }
    let elapsed = start.elapsed().as_secs_f64();
    let expected = [first + batches as u64; REPLICAS];
    assert_eq!(group.committed, expected, "every proposal is committed on every replica");
    batches as f64 * commands as f64 / elapsed
}

fn main() {
    println!("{:>9} {:>10} {:>8} {:>14}", "commands", "mode", "sealed", "commands/s");
    for commands in [1, 64] {
        for (mode, depth) in [("closed", 1), ("pipelined", 64)] {
            for (sealed, fresh) in [("before", false), ("inside", true)] {
                let rate = run(commands, depth, fresh);
                println!("{commands:>9} {mode:>10} {sealed:>8} {:>12.2} M", rate / 1e6);
            }
        }
    }
}

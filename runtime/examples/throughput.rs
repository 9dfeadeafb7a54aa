//! Commands per second through the whole path: client, queue, batcher, protocol, journal, executor,
//! answers delivered. Verifies each run.
//!
//! ```text
//! cargo run --release -p quorate-runtime --example throughput [-- PROTOCOL [LAYOUT [BATCHING [SECONDS]]]]
//! ```
//!
//! 16-byte commands, the `Checksum` machine, one client thread that keeps its window full.

use std::time::{Duration, Instant};

use quorate_mq::batcher::BatchPolicy;
use quorate_paxos::Paxos;
use quorate_pbft::Pbft;
use quorate_raft::Raft;
use quorate_runtime::{Cluster, ClusterConfig, ClusterReport, Direct, Layout};
use quorate_smr::machine::Checksum;
use quorate_smr::{Protocol, Slot};

const LAYOUTS: [(&str, Layout); 5] = [
    ("inline", Layout::Inline),
    ("split", Layout::Split),
    ("per-replica", Layout::PerReplica),
    ("staged", Layout::Staged),
    ("per-group", Layout::PerGroup),
];

struct Wish {
    protocol: Option<String>,
    layout: Option<String>,
    batching: Option<String>,
    duration: Duration,
}

fn main() {
    let mut args = std::env::args().skip(1);
    let any = |name: String| (name != "all").then_some(name);
    let wish = Wish {
        protocol: args.next().and_then(any),
        layout: args.next().and_then(any),
        batching: args.next().and_then(any),
        duration: Duration::from_secs_f64(
            args.next().and_then(|seconds| seconds.parse().ok()).unwrap_or(1.0),
        ),
    };
    println!(
        "{:<8} {:<12} {:<9} {:>10} {:>10} {:>9} {:>10} {:>7} {:>8}",
        "protocol",
        "layout",
        "batching",
        "M cmd/s",
        "mean batch",
        "ns/cmd",
        "cpu ns/cmd",
        "queued",
        "wakeups"
    );
    compare::<Direct>(&wish);
    compare::<Raft>(&wish);
    compare::<Paxos>(&wish);
    compare::<Pbft>(&wish);
}

fn compare<P: Protocol>(wish: &Wish) {
    if wish.protocol.as_ref().is_some_and(|wanted| wanted != P::NAME) {
        return;
    }
    for (name, layout) in LAYOUTS {
        if wish.layout.as_ref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        for (policy, batching) in [("off", false), ("adaptive", true)] {
            if wish.batching.as_ref().is_some_and(|wanted| wanted != policy) {
                continue;
            }
            let (commands, elapsed, report) = run::<P>(layout, batching, wish.duration);
            let cpu: Duration = report.last.workers.iter().filter_map(|worker| worker.cpu).sum();
            let queued: Duration =
                report.last.workers.iter().filter_map(|worker| worker.queued).sum();
            let wakeups: u64 = report.last.workers.iter().map(|worker| worker.wakeups).sum();
            let leader = report.last.nodes.iter().max_by_key(|node| node.protocol.batches);
            println!(
                "{:<8} {:<12} {:<9} {:>10.3} {:>10.1} {:>9.0} {:>10.0} {:>6.0}% {:>8}",
                P::NAME,
                name,
                policy,
                commands as f64 / elapsed.as_secs_f64() / 1e6,
                leader.map_or(0.0, |node| node.mean_batch()),
                elapsed.as_nanos() as f64 / commands as f64,
                cpu.as_nanos() as f64 / commands as f64,
                100.0 * queued.as_secs_f64() / elapsed.as_secs_f64(),
                wakeups,
            );
        }
    }
}

fn run<P: Protocol>(
    layout: Layout,
    batching: bool,
    duration: Duration,
) -> (u64, Duration, ClusterReport) {
    let batching = if batching {
        BatchPolicy::adaptive()
    } else {
        BatchPolicy::single().with_window(512, 1 << 20).expect("a valid window")
    };
    let config = ClusterConfig::<P> { layout, batching, ..ClusterConfig::default() };
    let cluster = Cluster::start(config, Checksum::default).expect("the cluster starts");
    let mut client = cluster.client().expect("a leader answers");
    let started = Instant::now();
    let mut answered = 0u64;
    let mut sent = 0u64;
    while started.elapsed() < duration {
        let mut command = [0; 16];
        for _ in 0..4096 {
            command[..8].copy_from_slice(&sent.to_le_bytes());
            if client.submit(&command[..8], &command).is_err() {
                break;
            }
            sent += 1;
        }
        client.poll_with(started + 2 * duration, |_, outcome| {
            outcome.expect("nothing fails here");
            answered += 1;
        });
    }
    while client.outstanding() > 0 {
        client.poll_with(Instant::now() + duration, |_, outcome| {
            outcome.expect("nothing fails here");
            answered += 1;
        });
    }
    let elapsed = started.elapsed();
    assert_eq!(answered, sent, "every command is answered once");
    let report = cluster.shutdown();
    report.verify().expect("replicas agree");
    // A replica that came home by a snapshot did not apply what the snapshot covers.
    let whole = report.last.nodes.iter().filter_map(|node| node.executor);
    for executor in whole.filter(|executor| executor.history_from == Slot::ZERO) {
        assert_eq!(executor.commands, sent, "every answered command was applied once");
    }
    (answered, elapsed, report)
}

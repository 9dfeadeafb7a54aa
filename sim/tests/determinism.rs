//! The same seed run twice gives the same trace, message for message, for every protocol.

use quorate_sim::registry::{ProtocolName, Visitor};
use quorate_sim::{Inspect, Options, simulate, simulate_traced};

/// Seeds compared for each protocol.
const SEEDS: u64 = 12;

struct RunTwice;

impl Visitor for RunTwice {
    type Output = ();

    fn visit<P: Inspect>(self) {
        let usual = P::replicas_for(1);
        let options = Options::<P> { hash_messages: true, ..Options::new(usual) };
        let mut hashes = Vec::new();
        for seed in 0..SEEDS {
            let (first, second) = (simulate(&options, seed), simulate(&options, seed));
            assert_eq!(first.trace_hash, second.trace_hash, "{} seed {seed}", P::NAME);
            assert_eq!(first.history, second.history, "{} seed {seed}", P::NAME);
            assert_eq!(first.latencies_ns, second.latencies_ns, "{} seed {seed}", P::NAME);
            hashes.push(first.trace_hash);
        }
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len() as u64, SEEDS, "{}: seeds differ from one another", P::NAME);
    }
}

#[test]
fn the_same_seed_twice_gives_the_same_trace_hash_for_every_protocol() {
    for protocol in ProtocolName::ALL {
        protocol.visit(RunTwice);
    }
}

struct RunTraced;

impl Visitor for RunTraced {
    type Output = ();

    fn visit<P: Inspect>(self) {
        let options = Options::<P>::new(P::replicas_for(1));
        let lines = std::rc::Rc::new(std::cell::Cell::new(0));
        let counted = lines.clone();
        let traced = simulate_traced(&options, 5, move |line| {
            assert!(line.contains(" ms  "), "every line says when: {line}");
            counted.set(counted.get() + 1);
        });
        assert!(lines.get() > 100, "{}: a run has more to tell", P::NAME);
        assert_eq!(traced.trace_hash, simulate(&options, 5).trace_hash, "{}", P::NAME);
    }
}

#[test]
fn tracing_a_run_does_not_change_it() {
    for protocol in ProtocolName::ALL {
        protocol.visit(RunTraced);
    }
}

//! The same seed run twice gives the same trace, message for message, for every protocol.

use quorate_sim::byzantine::Behaviour;
use quorate_sim::registry::{ProtocolName, Visitor};
use quorate_sim::{Inspect, Options, Plan, simulate, simulate_traced};
use rayon::prelude::*;

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

/// Two runs of each seed with the plan aimed at something; a third one on another thread, with
/// others beside it.
struct RunAimed {
    sharpen: fn(&mut Plan),
    replicas_for: usize,
}

impl Visitor for RunAimed {
    type Output = ();

    fn visit<P: Inspect>(self) {
        let replicas = P::replicas_for(self.replicas_for);
        let sharpen = self.sharpen;
        let options = Options::<P> {
            hash_messages: true,
            sharpen: Some(std::sync::Arc::new(sharpen)),
            ..Options::new(replicas)
        };
        let hash = |seed: u64| simulate(&options, seed).trace_hash;
        let here: Vec<_> = (0..SEEDS / 2).map(hash).collect();
        let again: Vec<_> = (0..SEEDS / 2).map(hash).collect();
        assert_eq!(here, again, "{}, {replicas} replicas", P::NAME);
        for threads in [1, 4] {
            let pool =
                rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            let elsewhere: Vec<_> =
                pool.install(|| (0..SEEDS / 2).into_par_iter().map(hash).collect());
            assert_eq!(here, elsewhere, "{}, {replicas} replicas, {threads} threads", P::NAME);
        }
    }
}

#[test]
fn runs_with_encoded_frames_are_the_same_on_any_number_of_threads() {
    let sharpen = |plan: &mut Plan| {
        plan.network.frames = true;
        plan.network.corrupt_ppm = 20_000;
    };
    for protocol in ProtocolName::ALL {
        protocol.visit(RunAimed { sharpen, replicas_for: 1 });
    }
}

#[test]
fn runs_of_larger_groups_are_the_same_on_any_number_of_threads() {
    for protocol in ProtocolName::ALL {
        protocol.visit(RunAimed { sharpen: |_| (), replicas_for: 2 });
    }
}

#[test]
fn runs_with_every_byzantine_behaviour_are_the_same_on_any_number_of_threads() {
    for behaviour in Behaviour::ALL {
        let options = Options::<quorate_pbft::Pbft> {
            hash_messages: true,
            sharpen: Some(std::sync::Arc::new(move |plan: &mut Plan| {
                plan.left_down.clear();
                plan.byzantine = vec![(0, behaviour)];
            })),
            ..Options::new(4)
        };
        let hash = |seed: u64| simulate(&options, seed).trace_hash;
        let here: Vec<_> = (0..3).map(hash).collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let elsewhere: Vec<_> = pool.install(|| (0..3u64).into_par_iter().map(hash).collect());
        assert_eq!(here, elsewhere, "{behaviour:?}");
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

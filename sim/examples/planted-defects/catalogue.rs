//! Every planted defect of the workspace, as something that can be hunted.
//!
//! The example and the test of the same name share this file: what the one publishes is what the
//! other checks.

use std::ops::Range;
use std::sync::Arc;

use quorate_paxos::Paxos;
use quorate_pbft::Pbft;
use quorate_raft::Raft;
use quorate_sim::campaign::{find_violation, run_seeds};
use quorate_sim::{Inspect, Options, Violation};

/// Seeds within which a defect must be found.
pub(crate) const SEEDS_MAX: u64 = 1_000;

type Hunt = dyn Fn(Range<u64>) -> Option<(u64, Violation)> + Sync;

/// A defect, and how to look for it.
pub(crate) struct Planted {
    /// The crate that has it.
    pub(crate) protocol: &'static str,
    /// Its name.
    pub(crate) defect: String,
    /// The size of the group.
    pub(crate) replicas: usize,
    hunt: Box<Hunt>,
}

impl Planted {
    /// The first of `seeds` whose run breaks an invariant, and how.
    pub(crate) fn find(&self, seeds: Range<u64>) -> Option<(u64, Violation)> {
        (self.hunt)(seeds)
    }
}

/// All planted defects.
pub(crate) fn all() -> Vec<Planted> {
    let mut all = Vec::new();
    for defect in quorate_raft::Defect::ALL {
        for replicas in [3, 5] {
            let options = in_config::<Raft>(replicas, move |config| config.defect = Some(*defect));
            all.push(planted("raft", format!("{defect:?}"), options));
        }
    }
    for defect in quorate_paxos::Defect::ALL {
        for replicas in [3, 5] {
            let options = in_config::<Paxos>(replicas, move |config| config.defect = Some(*defect));
            all.push(planted("paxos", format!("{defect:?}"), options));
        }
    }
    for defect in quorate_pbft::Defect::ALL {
        let options = in_config::<Pbft>(4, move |config| config.defect = Some(*defect));
        all.push(planted("pbft", format!("{defect:?}"), options));
    }
    for defect in quorate_smr::Defect::ALL {
        // What clients rely on is the same over every protocol.
        let plant = Arc::new(|_, executor: &mut quorate_smr::Executor<_>| executor.plant(*defect));
        let options = Options::<Raft> { tamper: Some(plant), ..Options::new(3) };
        all.push(planted("smr", format!("{defect:?}"), options));
    }
    all
}

/// The violations of `seeds` without a defect, in groups of the size that is used for `protocol`.
pub(crate) fn clean(protocol: &str, replicas: usize, seeds: Range<u64>) -> Vec<(u64, Violation)> {
    fn violations<P: Inspect>(replicas: usize, seeds: Range<u64>) -> Vec<(u64, Violation)>
    where
        Options<P>: Sync,
    {
        run_seeds(&Options::<P>::new(replicas), seeds, |_| ()).violations
    }
    match protocol {
        "paxos" => violations::<Paxos>(replicas, seeds),
        "pbft" => violations::<Pbft>(replicas, seeds),
        _ => violations::<Raft>(replicas, seeds),
    }
}

fn in_config<P: Inspect>(
    replicas: usize,
    plant: impl Fn(&mut P::Config) + Send + Sync + 'static,
) -> Options<P> {
    Options { adjust: Some(Arc::new(plant)), ..Options::new(replicas) }
}

fn planted<P: Inspect>(protocol: &'static str, defect: String, options: Options<P>) -> Planted
where
    Options<P>: Sync + 'static,
{
    let replicas = options.replicas;
    let hunt = Box::new(move |seeds| find_violation(&options, seeds));
    Planted { protocol, defect, replicas, hunt }
}

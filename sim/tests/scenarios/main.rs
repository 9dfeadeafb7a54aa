//! Named scenarios: the faults that we survive, one deterministic script each, for every protocol
//! that it concerns and for two sizes of group.
//!
//! A scenario is a function from a [`SceneBuilder`] to a result, named in the words of the table in
//! `sim/README.md`; [`scenario!`] makes one test of it for each protocol and size. Where a defect can
//! be planted against which it stands, the same function must fail with the defect: [`sees`].

mod byzantine;
mod clients;
mod durability;
mod elections;
mod index;
mod network;
mod network_graphs;
mod overload;
mod reads;
mod snapshots;
mod subject;

use quorate_sim::Inspect;
use quorate_sim::scene::{Scene, SceneBuilder, Step};

/// Each scenario is played under these seeds: timers differ, the script does not.
const SEEDS: std::ops::Range<u64> = 1..4;

/// Plays a scenario in a group of `replicas`.
///
/// # Panics
/// If it fails; the trace tells how.
fn play<P: Inspect>(replicas: usize, scenario: fn(SceneBuilder<P>) -> Step) {
    for seed in SEEDS {
        if let Err(failure) = scenario(Scene::build(replicas, seed)) {
            panic!("seed {seed}:\n{failure}");
        }
    }
}

/// Plays a scenario with a planted defect, and demands that it breaks one of `invariants` under some
/// seed.
///
/// # Panics
/// If it does not: then the scenario proves nothing.
fn sees<P: Inspect>(
    replicas: usize,
    scenario: fn(SceneBuilder<P>) -> Step,
    plant: impl Fn(&mut P::Config),
    invariants: &[&str],
) {
    sees_in(replicas, scenario, |scene| scene.config(&plant), invariants);
}

/// As [`sees`], with a defect that is planted anywhere.
///
/// # Panics
/// If the scenario breaks none of `invariants`.
fn sees_in<P: Inspect>(
    replicas: usize,
    scenario: fn(SceneBuilder<P>) -> Step,
    plant: impl Fn(SceneBuilder<P>) -> SceneBuilder<P>,
    invariants: &[&str],
) {
    let mut others = Vec::new();
    for seed in SEEDS {
        let Err(failure) = scenario(plant(Scene::build(replicas, seed))) else { continue };
        match &failure.violation {
            Some(violation) if invariants.contains(&violation.invariant) => return,
            _ => others.push(failure.to_string()),
        }
    }
    panic!("none of {invariants:?} broke; but: {}", others.join("\n"));
}

/// One test for each protocol and group size: `scenario!(name: raft(body), pbft(other_body));`.
/// `sim/README.md` names it by its file and name; the index checks that.
macro_rules! scenario {
    ($name:ident: $($protocol:ident($body:expr)),+ $(,)?) => {
        mod $name {
            use super::*;
            $($crate::scenario!(@ $protocol $body);)+
        }
    };
    (@ raft $body:expr) => { $crate::scenario!(@@ raft quorate_raft::Raft, 3, 5, $body); };
    (@ paxos $body:expr) => { $crate::scenario!(@@ paxos quorate_paxos::Paxos, 3, 5, $body); };
    (@ pbft $body:expr) => { $crate::scenario!(@@ pbft quorate_pbft::Pbft, 4, 7, $body); };
    (@@ $protocol:ident $type:ty, $small:literal, $large:literal, $body:expr) => {
        mod $protocol {
            use super::*;
            #[test]
            fn small_group() {
                $crate::play::<$type>($small, $body);
            }
            #[test]
            fn large_group() {
                $crate::play::<$type>($large, $body);
            }
        }
    };
}
pub(crate) use scenario;

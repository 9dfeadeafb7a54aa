//! Time without service after each fault, in virtual time.
//!
//! A scripted scene of the simulator: clients ask steadily, a fault strikes at a moment that the
//! seed draws, and the longest gap between two answers that any client got from then on is the time
//! without service. Then every fault is ended and the scene must settle, as every simulated run
//! must: progress, convergence, no broken invariant, a linearizable history.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_paxos::{Paxos, PaxosConfig};
use quorate_pbft::{Pbft, PbftConfig};
use quorate_raft::{Raft, RaftConfig};
use quorate_sim::Inspect;
use quorate_sim::byzantine::Behaviour;
use quorate_sim::plan::{MS, Plan as Simulated};
use quorate_sim::scene::{Scene, Step};
use quorate_smr::Protocol;

use crate::error::BenchError;
use crate::experiment::system::{PROTOCOLS, System};
use crate::experiment::{Effort, Experiment, Outcome, Plan, Trial};
use crate::metric::Metric;
use crate::run::{Cell, Proof};

/// Clients, each with one request in flight.
const CLIENTS: usize = 16;
/// Mean pause of a client between two requests, in milliseconds.
const THINK_MS: u64 = 20;
/// Keys, so many that requests seldom meet.
const KEYS: u64 = 64;
/// Requests that read; they are ordered like writes.
const READ_PPM: u32 = 200_000;
/// Shortest delay between replicas, and between clients and replicas, in microseconds.
const DELAY_US: u64 = 500;
/// Mean of what comes on top, in microseconds.
const JITTER_US: u64 = 100;
/// How long a sync takes at least, in microseconds, and the mean of what comes on top.
const SYNC_US: (u64, u64) = (1_000, 200);
/// The service runs undisturbed for this long, in milliseconds, and a part of the spread more.
const WARM_UP_MS: u64 = 500;
/// Moments at which the fault may strike, in milliseconds.
const SPREAD_MS: u64 = 500;
/// Coprime to the spread, so that the seeds' moments cover it evenly.
const STRIDE_MS: u64 = 187;
/// How long the service is watched from the fault on, in milliseconds.
pub const WATCHED_MS: u64 = 8_000;
/// How long a replica that restarts is down, in milliseconds.
const DOWN_MS: u64 = 200;
/// How long a paused replica stands still, in milliseconds.
const PAUSE_MS: u64 = 2_000;
/// How much longer each sync of a slow disk takes, in milliseconds.
const SLOW_SYNC_MS: u64 = 100;
/// Seeds of the full and of the short run.
const SEEDS: (u32, u32) = (32, 5);

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    name: "faults",
    title: "Time without service after a fault (virtual time)",
    question: "How long does nobody get an answer when something breaks?",
    method: "In the simulator, every protocol with the settings that it ships with: sixteen clients ask steadily (a fifth of the requests read, all are ordered) and repeat themselves as the protocol recommends. One fault strikes at a moment that the seed draws; partitions cut replicas from one another, not from clients. The time without service is the longest gap between two answers to anyone in the eight seconds from the fault on; a gap that is still open then counts as far as it was watched. One repetition is one seed. Excluded: CPU time, and what a client's own patience would add on a real network beyond the delays. A repetition fails if an invariant breaks, if the group does not serve and converge once all faults are ended, or if the history is not linearizable; an acknowledged command that is lost would be both.",
    on_request: false,
    plan,
};

/// What breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    FollowerKilled,
    LeaderKilled,
    LeaderRestarted,
    LeaderIsolated,
    LeaderUnheard,
    LeaderDeaf,
    LeaderSlowDisk,
    LeaderPaused,
    PrimarySilent,
    PrimaryEquivocates,
    PrimarySlow,
}

impl Fault {
    /// Those that strike every protocol.
    const ALL: [Self; 8] = [
        Self::FollowerKilled,
        Self::LeaderKilled,
        Self::LeaderRestarted,
        Self::LeaderIsolated,
        Self::LeaderUnheard,
        Self::LeaderDeaf,
        Self::LeaderSlowDisk,
        Self::LeaderPaused,
    ];
    /// Those of replicas that lie.
    const BYZANTINE: [Self; 3] = [Self::PrimarySilent, Self::PrimaryEquivocates, Self::PrimarySlow];

    /// The name in files; with blanks for hyphens, in tables.
    const fn name(self) -> &'static str {
        match self {
            Self::FollowerKilled => "follower-killed",
            Self::LeaderKilled => "leader-killed",
            Self::LeaderRestarted => "leader-restarted",
            Self::LeaderIsolated => "leader-isolated",
            Self::LeaderUnheard => "leader-unheard",
            Self::LeaderDeaf => "leader-deaf",
            Self::LeaderSlowDisk => "leader-disk-slow",
            Self::LeaderPaused => "leader-paused",
            Self::PrimarySilent => "primary-silent",
            Self::PrimaryEquivocates => "primary-equivocates",
            Self::PrimarySlow => "primary-slow",
        }
    }

    const fn behaviour(self) -> Option<Behaviour> {
        match self {
            Self::PrimarySilent => Some(Behaviour::Mute),
            Self::PrimaryEquivocates => Some(Behaviour::Equivocate),
            Self::PrimarySlow => Some(Behaviour::Slow),
            _ => None,
        }
    }

    /// Lets it strike.
    fn strike<P: Inspect>(self, scene: &mut Scene<P>, leader: usize) -> Step {
        let others: Vec<usize> = (0..scene.replicas()).filter(|other| *other != leader).collect();
        match self {
            Self::FollowerKilled => scene.crash(others[0]),
            Self::LeaderKilled | Self::LeaderRestarted => scene.crash(leader),
            Self::LeaderIsolated => {
                scene.isolate(leader);
                Ok(())
            }
            Self::LeaderUnheard => {
                others.iter().for_each(|other| scene.cut(leader, *other));
                Ok(())
            }
            Self::LeaderDeaf => {
                others.iter().for_each(|other| scene.cut(*other, leader));
                Ok(())
            }
            Self::LeaderSlowDisk => {
                scene.slow_disk(leader, SLOW_SYNC_MS);
                Ok(())
            }
            Self::LeaderPaused => {
                scene.pause(leader);
                Ok(())
            }
            Self::PrimarySilent | Self::PrimaryEquivocates | Self::PrimarySlow => {
                scene.misbehave(leader);
                Ok(())
            }
        }
    }

    /// How it goes on while the service is watched.
    fn watch<P: Inspect>(self, scene: &mut Scene<P>, leader: usize) -> Step {
        match self {
            Self::LeaderRestarted => {
                scene.run_for(DOWN_MS)?;
                scene.restart(leader)?;
                scene.run_for(WATCHED_MS - DOWN_MS)
            }
            Self::LeaderPaused => {
                scene.run_for(PAUSE_MS)?;
                scene.resume(leader);
                scene.run_for(WATCHED_MS - PAUSE_MS)
            }
            _ => scene.run_for(WATCHED_MS),
        }
    }
}

fn plan(effort: &Effort) -> Result<Plan, BenchError> {
    let mut trials = Vec::new();
    for fault in Fault::ALL.into_iter().chain(Fault::BYZANTINE) {
        for system in PROTOCOLS {
            if fault.behaviour().is_some() && system != System::Pbft {
                continue;
            }
            let cell = Cell::new(EXPERIMENT.name, system.name(), "default", fault.name());
            let measure = Box::new(move |repetition| measured(system, fault, repetition));
            trials.push(Trial { cell, measure });
        }
    }
    Ok(Plan {
        trials,
        repetitions: if effort.quick { SEEDS.1 } else { SEEDS.0 },
        measured: Duration::ZERO,
        settings: settings(),
    })
}

fn settings() -> BTreeMap<String, String> {
    let (raft, paxos, pbft) =
        (RaftConfig::default(), PaxosConfig::default(), PbftConfig::default());
    let (sync, more) = SYNC_US;
    let ms = |time: Duration| time.as_millis();
    [
        ("clients", format!("{CLIENTS}, {THINK_MS} ms mean pause")),
        (
            "delays",
            format!("{DELAY_US} µs, {JITTER_US} µs mean on top; replicas and clients alike"),
        ),
        ("a sync", format!("{sync} µs, {more} µs mean on top")),
        ("a slow disk", format!("{SLOW_SYNC_MS} ms more for each sync")),
        ("a restart", format!("{DOWN_MS} ms down; what was not durable is lost")),
        ("a pause", format!("{PAUSE_MS} ms")),
        ("a slow primary", "delays what it sends by 80 % of the time until suspicion".into()),
        (
            "Raft",
            format!(
                "elections after {} to {} ms, clients ask again after {} ms",
                ms(raft.election_timeout),
                ms(raft.election_timeout + raft.election_spread),
                ms(Raft::retry_after(&raft))
            ),
        ),
        (
            "Paxos",
            format!(
                "elections after {} to {} ms, clients ask again after {} ms",
                ms(paxos.election_timeout_min),
                ms(paxos.election_timeout_max),
                ms(Paxos::retry_after(&paxos))
            ),
        ),
        (
            "PBFT",
            format!(
                "suspicion after {} ms, doubled up to {} ms; clients ask again after {} ms",
                ms(pbft.view_change_timeout),
                ms(pbft.view_change_timeout_max),
                ms(Pbft::retry_after(&pbft))
            ),
        ),
        ("patience", "half to one and a half times that, and twice as long each time".into()),
        ("seed", "the number of the repetition".into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn measured(system: System, fault: Fault, repetition: u32) -> Outcome {
    let watched = match system {
        System::Paxos => watched::<Paxos>(fault, repetition),
        System::Raft => watched::<Raft>(fault, repetition),
        System::Pbft => watched::<Pbft>(fault, repetition),
        System::Direct => return Outcome::failed(&"one replica has nobody to take over"),
    };
    watched.unwrap_or_else(|failure| {
        Outcome::failed(&failure.violation.map_or_else(
            || failure.what.lines().next().unwrap_or_default().to_owned(),
            |violation| violation.to_string(),
        ))
    })
}

/// The load and the hardware: no faults of their own.
fn calm() -> Simulated {
    const US: u64 = MS / 1000;
    let mut plan = Simulated::quiet();
    plan.network.delay_min_ns = DELAY_US * US;
    plan.network.delay_extra_ns = JITTER_US * US;
    plan.client_delay_ns = (DELAY_US * US, JITTER_US * US);
    (plan.disk.sync_min_ns, plan.disk.sync_extra_ns) = (SYNC_US.0 * US, SYNC_US.1 * US);
    plan.load.clients = CLIENTS;
    plan.load.keys = KEYS;
    // More than they get to: they ask until the scene settles.
    plan.load.requests = u64::from(u32::MAX);
    plan.load.think_ns = THINK_MS * MS;
    plan.load.read_ppm = READ_PPM;
    plan.load.ordered_read_ppm = 1_000_000;
    plan
}

fn watched<P: Inspect + Protocol>(fault: Fault, repetition: u32) -> Step<Outcome> {
    let builder = Scene::<P>::build(P::replicas_for(1), u64::from(repetition));
    let mut builder = builder.plan(|plan| *plan = calm()).untraced();
    if let Some(behaviour) = fault.behaviour() {
        // The primary of the first view, which without a fault is never left.
        builder = builder.byzantine(0, behaviour);
    }
    let mut scene = builder.start()?;
    if fault.behaviour().is_some() {
        scene.behave(0);
    }
    scene.open_sessions()?;
    scene.open_for_business();
    scene.run_for(WARM_UP_MS + u64::from(repetition) * STRIDE_MS % SPREAD_MS)?;
    scene.run_until("somebody leads", |scene| scene.leader().is_some())?;
    let leader = scene.leader().unwrap_or_default();
    let (struck_ns, repeated) = (scene.now_ns(), scene.repeated());
    fault.strike(&mut scene, leader)?;
    fault.watch(&mut scene, leader)?;
    let outage_ns = longest_gap(scene.answered_ns(), struck_ns, scene.now_ns());
    let values = BTreeMap::from([
        (Metric::Outage, outage_ns as f64 / MS as f64),
        (Metric::Repeated, (scene.repeated() - repeated) as f64),
        (Metric::Unanswered, scene.waiting() as f64),
    ]);
    scene.settle()?;
    let proof = if scene.is_undecided() {
        Proof::Failed("the history check gave up".into())
    } else {
        Proof::Verified
    };
    Ok(Outcome { values, latencies: None, proof })
}

/// The longest time within `from..end` in which nobody was answered.
fn longest_gap(answered_ns: &[u64], from: u64, end: u64) -> u64 {
    let (mut last, mut longest) = (from, 0);
    let within = answered_ns.iter().filter(|at| (from..end).contains(*at));
    for at in within.chain(std::iter::once(&end)) {
        longest = longest.max(at - last);
        last = *at;
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outage_ms(system: System, fault: Fault, repetition: u32) -> f64 {
        let outcome = measured(system, fault, repetition);
        assert_eq!(outcome.proof, Proof::Verified, "{} {}", system.name(), fault.name());
        assert_eq!(outcome, measured(system, fault, repetition), "the same seed, the same figures");
        outcome.values[&Metric::Outage]
    }

    #[test]
    fn a_leader_costs_an_election_and_a_follower_nothing() {
        for system in PROTOCOLS {
            let follower = outage_ms(system, Fault::FollowerKilled, 1);
            let leader = outage_ms(system, Fault::LeaderKilled, 1);
            assert!(follower < 100.0, "{}: {follower} ms", system.name());
            assert!(leader > 2.0 * follower, "{}: {leader} ms", system.name());
            assert!(leader < WATCHED_MS as f64, "{}: nobody took over", system.name());
        }
    }

    #[test]
    fn a_primary_that_says_nothing_any_more_is_replaced() {
        let outage = outage_ms(System::Pbft, Fault::PrimarySilent, 1);
        assert!((100.0..WATCHED_MS as f64).contains(&outage), "{outage} ms");
    }

    #[test]
    fn a_gap_begins_at_the_fault_and_ends_at_an_answer_or_with_the_watch() {
        assert_eq!(longest_gap(&[], 10, 30), 20);
        assert_eq!(longest_gap(&[2, 9, 14, 28, 40], 10, 30), 14);
        assert_eq!(longest_gap(&[11, 12], 10, 30), 18);
    }
}

//! The systems under test by name: three protocols and the unreplicated floor.

use std::time::Duration;

use quorate_paxos::Paxos;
use quorate_pbft::Pbft;
use quorate_raft::Raft;
use quorate_runtime::{ClusterConfig, Direct};
use quorate_smr::{Protocol, StateMachine};

use crate::error::BenchError;
use crate::experiment::Outcome;
use crate::experiment::cluster::{Load, Prepared, Runner, Schedule, repetition, runner, scheduled};

/// A client gives a request up after this long; a repetition in which that happens has failed.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
/// Replicas that have not come to the same slot this long after the load have failed.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// A system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum System {
    /// The state machine alone, behind the same queues.
    Direct,
    /// Multi-Paxos, three replicas.
    Paxos,
    /// Raft, three replicas.
    Raft,
    /// PBFT, four replicas.
    Pbft,
}

/// The protocols, without the floor.
pub const PROTOCOLS: [System; 3] = [System::Paxos, System::Raft, System::Pbft];
/// All systems.
pub const SYSTEMS: [System; 4] = [System::Direct, System::Paxos, System::Raft, System::Pbft];

/// Changes a configuration, whichever protocol it is for.
pub trait Configure {
    /// Makes the change.
    fn configure<P: Protocol>(&self, config: &mut ClusterConfig<P>);
}

impl System {
    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => Direct::NAME,
            Self::Paxos => Paxos::NAME,
            Self::Raft => Raft::NAME,
            Self::Pbft => Pbft::NAME,
        }
    }

    /// One repetition on a cluster of this system.
    #[must_use]
    pub fn repetition<S: StateMachine>(
        self,
        configure: &impl Configure,
        machine: impl Fn() -> S + Send + Sync + 'static,
        prepared: &Prepared,
        load: &Load,
    ) -> Outcome {
        match self {
            Self::Direct => repetition(config::<Direct>(configure), machine, prepared, load),
            Self::Paxos => repetition(config::<Paxos>(configure), machine, prepared, load),
            Self::Raft => repetition(config::<Raft>(configure), machine, prepared, load),
            Self::Pbft => repetition(config::<Pbft>(configure), machine, prepared, load),
        }
    }

    /// One repetition by a fixed schedule on a cluster of this system.
    #[must_use]
    pub fn scheduled<S: StateMachine>(
        self,
        configure: &impl Configure,
        machine: impl Fn() -> S + Send + Sync + 'static,
        prepared: &Prepared,
        schedule: &Schedule,
    ) -> Outcome {
        match self {
            Self::Direct => scheduled(config::<Direct>(configure), machine, prepared, schedule),
            Self::Paxos => scheduled(config::<Paxos>(configure), machine, prepared, schedule),
            Self::Raft => scheduled(config::<Raft>(configure), machine, prepared, schedule),
            Self::Pbft => scheduled(config::<Pbft>(configure), machine, prepared, schedule),
        }
    }

    /// A running cluster of this system, to be loaded by a bench: called with a number of
    /// commands, it returns how long they took.
    ///
    /// # Errors
    /// When the cluster does not start or has no leader in time.
    pub fn runner<S: StateMachine>(
        self,
        configure: &impl Configure,
        machine: impl Fn() -> S + Send + Sync + 'static,
        prepared: &std::sync::Arc<Prepared>,
        window: usize,
    ) -> Result<Runner, BenchError> {
        let prepared = prepared.clone();
        match self {
            Self::Direct => runner(config::<Direct>(configure), machine, prepared, window),
            Self::Paxos => runner(config::<Paxos>(configure), machine, prepared, window),
            Self::Raft => runner(config::<Raft>(configure), machine, prepared, window),
            Self::Pbft => runner(config::<Pbft>(configure), machine, prepared, window),
        }
    }
}

fn config<P: Protocol>(configure: &impl Configure) -> ClusterConfig<P> {
    let mut config = ClusterConfig { drain_timeout: DRAIN_TIMEOUT, ..ClusterConfig::default() };
    config.client.timeout = CLIENT_TIMEOUT;
    configure.configure(&mut config);
    config
}

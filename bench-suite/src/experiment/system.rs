//! The systems under test by name: three protocols and the unreplicated floor.

use quorate_runtime::ClusterConfig;
use quorate_smr::{Protocol, StateMachine};

use crate::direct::Direct;
use crate::experiment::Outcome;
use crate::experiment::cluster::{Load, Prepared, repetition};

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
            Self::Paxos => quorate_paxos::Paxos::NAME,
            Self::Raft => quorate_raft::Raft::NAME,
            Self::Pbft => quorate_pbft::Pbft::NAME,
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
            Self::Paxos => {
                repetition(config::<quorate_paxos::Paxos>(configure), machine, prepared, load)
            }
            Self::Raft => {
                repetition(config::<quorate_raft::Raft>(configure), machine, prepared, load)
            }
            Self::Pbft => {
                repetition(config::<quorate_pbft::Pbft>(configure), machine, prepared, load)
            }
        }
    }
}

fn config<P: Protocol>(configure: &impl Configure) -> ClusterConfig<P> {
    let mut config = ClusterConfig::default();
    configure.configure(&mut config);
    config
}

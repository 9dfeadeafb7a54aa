//! What a run is asked for.

use std::collections::BTreeSet;
use std::sync::Arc;

use quorate_smr::ReplicaId;
use quorate_smr::executor::Executor;
use quorate_smr::kv::KvStore;
use quorate_smr::protocol::Protocol;

use crate::dice::Dice;
use crate::fault::FaultId;
use crate::inspect::Inspect;
use crate::plan::Plan;

/// The part of a run's randomness that draws the configuration.
const PART_CONFIG: u64 = 6;

/// Changes a configuration or a plan that was drawn.
pub type Adjust<C> = Arc<dyn Fn(&mut C) + Send + Sync>;

/// Changes the executor of a replica.
pub type Tamper = Arc<dyn Fn(ReplicaId, &mut Executor<KvStore>) + Send + Sync>;

/// How runs are made. [`Options::new`] gives the swarm.
#[derive(Clone)]
pub struct Options<P: Protocol> {
    /// Replicas in the group.
    pub replicas: usize,
    /// The faults and the load; `None`: each seed draws its own.
    pub plan: Option<Plan>,
    /// Applied to the plan, drawn or given (to aim the swarm at something).
    pub sharpen: Option<Adjust<Plan>>,
    /// The protocol's configuration; `None`: each seed draws its own.
    pub config: Option<P::Config>,
    /// Applied to the configuration, drawn or given (a planted defect, for example).
    pub adjust: Option<Adjust<P::Config>>,
    /// Applied to the executor of each replica whenever it starts (a planted defect, for example).
    pub tamper: Option<Tamper>,
    /// Whether drawn plans may make replicas Byzantine, where the protocol tolerates them.
    pub byzantine: bool,
    /// Whether the bytes of messages are counted (costs an encoding each).
    pub count_bytes: bool,
    /// Whether the trace hash covers the content of messages, not only their order.
    pub hash_messages: bool,
    /// Faults that the dice draw and that are left out all the same.
    pub spared: BTreeSet<FaultId>,
    /// If given, these faults take place and no others that the dice draw.
    pub kept: Option<BTreeSet<FaultId>>,
}

impl<P: Protocol> Options<P> {
    /// Runs of a group of `replicas`, everything else drawn from the seed.
    #[must_use]
    pub const fn new(replicas: usize) -> Self {
        Self {
            replicas,
            plan: None,
            sharpen: None,
            config: None,
            adjust: None,
            tamper: None,
            byzantine: true,
            count_bytes: false,
            hash_messages: false,
            spared: BTreeSet::new(),
            kept: None,
        }
    }
}

impl<P: Inspect> Options<P> {
    /// The protocol's configuration in the run of `seed`.
    #[must_use]
    pub fn config_of(&self, seed: u64) -> P::Config {
        let mut config = self.config.clone().unwrap_or_else(|| {
            let mut dice = Dice::new(seed, PART_CONFIG);
            let mut config = P::draw_config(&mut dice);
            P::draw_for_group(&mut config, self.replicas, &mut dice);
            config
        });
        if let Some(adjust) = &self.adjust {
            adjust(&mut config);
        }
        config
    }

    /// Faults and load in the run of `seed`.
    #[must_use]
    pub fn plan_of(&self, seed: u64) -> Plan {
        let mut plan = self.plan.clone().unwrap_or_else(|| {
            let tolerated = P::tolerated(&self.config_of(seed), self.replicas);
            Plan::swarm(seed, self.replicas, tolerated, P::BYZANTINE && self.byzantine)
        });
        if let Some(sharpen) = &self.sharpen {
            sharpen(&mut plan);
        }
        plan
    }
}

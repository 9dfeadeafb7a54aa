//! One replica of one group, and the host that it shares with those of other groups.

use std::collections::VecDeque;
use std::rc::Rc;

use quorate_smr::auth::Authenticator;
use quorate_smr::executor::Executor;
use quorate_smr::machine::Checksum;
use quorate_smr::protocol::{Protocol, Recovered, Setup};
use quorate_smr::session::SessionLimits;
use quorate_smr::{Batch, ClientId, Gate, GroupId, ReplicaId, Seed, Slot, Time};

use super::intake::{Intake, Request};
use super::plan::Plan;

/// How long ago replicas started by their own clocks, so that none waits for a leader that it may
/// not have heard yet, in nanoseconds.
const HEAD_START_NS: u64 = 600_000_000_000;

/// A message as its sender sealed it.
pub(super) type Sealed<P> =
    <<P as Protocol>::Auth as Authenticator<<P as Protocol>::Message>>::Sealed;

/// What reaches a host.
pub(super) enum Item<P: Protocol> {
    /// A peer's message for a node.
    Parcel { node: usize, from: ReplicaId, bytes: usize, sealed: Rc<Sealed<P>> },
    /// A client's requests for a node, `bytes` in one message.
    Requests { node: usize, requests: Vec<Request>, bytes: usize },
    /// A node's deadline.
    Tick { node: usize },
}

/// A host: one core, and what waits for it.
pub(super) struct Host<P: Protocol> {
    pub(super) inbox: VecDeque<Item<P>>,
    /// A round is planned.
    pub(super) awaits_round: bool,
    /// When its core is free, in picoseconds.
    pub(super) free_at_ps: u64,
    /// How long it was busy in the measured time, in picoseconds.
    pub(super) busy_ps: u64,
    /// Nodes with something to settle.
    pub(super) touched: Vec<usize>,
}

impl<P: Protocol> Default for Host<P> {
    fn default() -> Self {
        Self {
            inbox: VecDeque::new(),
            awaits_round: false,
            free_at_ps: 0,
            busy_ps: 0,
            touched: Vec::new(),
        }
    }
}

/// One replica of one group.
pub(super) struct Node<P: Protocol> {
    pub(super) setup: Setup<P::Config>,
    pub(super) group: usize,
    pub(super) host: usize,
    pub(super) protocol: P,
    pub(super) auth: P::Auth,
    pub(super) gate: Gate<P::Message>,
    pub(super) executor: Executor<Checksum>,
    pub(super) decided: VecDeque<(Slot, Batch)>,
    pub(super) wanted_snapshots: Vec<Slot>,
    /// For which time a tick is planned, in nanoseconds.
    pub(super) tick_at_ns: u64,
    /// At the group's first replica, which leads.
    pub(super) intake: Option<Intake>,
    pub(super) is_touched: bool,
}

impl<P: Protocol> Node<P> {
    /// A replica that starts for the first time.
    ///
    /// # Errors
    /// When the configuration is refused.
    pub(super) fn new(
        plan: &Plan,
        config: &P::Config,
        (group, replica): (usize, usize),
        (clients, seed): (usize, u64),
    ) -> Result<Self, String> {
        let mut setup = Setup::new(
            ReplicaId(replica as u8),
            plan.hosts.len(),
            Seed(seed).derive(group as u64),
            config.clone(),
        );
        setup.group = GroupId(group as u32);
        let auth = P::authenticator(&setup).map_err(|error| error.to_string())?;
        let protocol = P::recover(setup.clone(), Recovered::default(), Time::ZERO)
            .map_err(|error| error.to_string())?;
        let sessions: Vec<ClientId> = (0..clients).map(session).collect();
        let intake = || Intake::new(group, plan.batching, plan.compression);
        Ok(Self {
            setup,
            group,
            host: plan.host(group, replica),
            protocol,
            auth,
            gate: Gate::new(),
            executor: Executor::new(Checksum::default(), limits(plan), &sessions),
            decided: VecDeque::new(),
            wanted_snapshots: Vec::new(),
            tick_at_ns: u64::MAX,
            intake: (replica == 0).then(intake),
            is_touched: false,
        })
    }

    pub(super) fn id(&self) -> ReplicaId {
        self.setup.replica
    }

    /// Whether it is the replica that leads its group.
    pub(super) const fn leads(&self) -> bool {
        self.intake.is_some()
    }

    /// When its next tick is due.
    pub(super) fn deadline_ns(&self) -> Option<u64> {
        Some(self.protocol.deadline()?.0.saturating_sub(HEAD_START_NS))
    }

    pub(super) fn take_decided(&mut self) -> VecDeque<(Slot, Batch)> {
        std::mem::take(&mut self.decided)
    }
}

/// What a replica's clock shows.
pub(super) const fn local(now_ns: u64) -> Time {
    Time(now_ns + HEAD_START_NS)
}

/// The session of client number `number` of a group.
pub(super) const fn session(number: usize) -> ClientId {
    ClientId(number as u64 + 1)
}

/// Sessions remember as many answers as a client may wait for.
fn limits(plan: &Plan) -> SessionLimits {
    let window = plan.clients.iter().map(|client| client.window).max().unwrap_or(1);
    SessionLimits { window: window.max(1), ..SessionLimits::default() }
}

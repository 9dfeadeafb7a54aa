//! One run: replicas, network, disks, clients and faults in virtual time.
//!
//! The world is single-threaded and owns everything; an event is taken, handled, and what changed
//! is checked. Nothing depends on the machine: no clock, no thread, no hash order, no address.

use std::collections::BTreeSet;

use quorate_smr::auth::Authenticator;
use quorate_smr::protocol::{Effects, Setup};
use quorate_smr::{ClientId, ReplicaId, Role, Seed, Slot};

use crate::atlas::Atlas;
use crate::byzantine::{Behaviour, Rogue, Speakers};
use crate::client::{Client, Doing};
use crate::clock::Clock;
use crate::dice::Dice;
use crate::disk::Disk;
use crate::disk_faults::PART_DISK_FAULTS;
use crate::door::Refusals;
use crate::event::{Event, Trouble};
use crate::fault::{FaultKind, Faults};
use crate::fold::Fold;
use crate::history::History;
use crate::inspect::Inspect;
use crate::invariants::{self, Acknowledgements, Book, Told};
use crate::lincheck::{KvVerdict, Limits, check_kv};
use crate::network::Network;
use crate::node::Node;
use crate::options::{Options, Tamper};
use crate::plan::{MS, Plan};
use crate::queue::EventQueue;
use crate::scene::Script;
use crate::trace::{Happening, Mark, TraceEvent};
use crate::turbulence::{Illness, part as rough};
use crate::violation::{Check, Violation, broken};

/// The most events of a run; one that needs more is a message storm.
pub(crate) const EVENTS_MAX: u64 = 5_000_000;
/// How much work a history may cost; what exceeds it is counted and reported as undecided.
const CHECK_LIMITS: Limits = Limits { configurations_max: 200_000 };
/// How often a healed world looks whether it is done, in nanoseconds.
const POLL_NS: u64 = 10 * MS;
/// How long a cluster beyond its fault bound is watched, in nanoseconds.
const BEYOND_NS: u64 = 2_000 * MS;

/// Parts of a run's randomness; the plan is part 1, the configuration part 6.
mod part {
    pub(super) const NETWORK: u64 = 2;
    pub(super) const DISK: u64 = 3;
    pub(super) const NEMESIS: u64 = 4;
    pub(super) const HOST: u64 = 5;
    pub(super) const CLIENTS: u64 = 100;
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Faults,
    Healed {
        since_ns: u64,
    },
    Converging {
        since_ns: u64,
    },
    /// More replicas are lost than the protocol tolerates: it may stop, but only safely.
    Beyond {
        since_ns: u64,
    },
    Done,
}

/// Counters of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) steps: u64,
    pub(crate) events: u64,
    pub(crate) messages: u64,
    pub(crate) message_bytes: u64,
    pub(crate) refused_at_the_edge: u64,
    pub(crate) refusals: Refusals,
    pub(crate) latencies_ns: Vec<u64>,
    pub(crate) gave_up_check: bool,
    pub(crate) beyond_bound: bool,
    /// Requests that reached a replica, and those refused because a window or buffer was full.
    pub(crate) requests: u64,
    pub(crate) refused_busy: u64,
}

/// The client's side of the protocol's authenticator.
pub(crate) type ClientSide<P> = <<P as quorate_smr::Protocol>::Auth as Authenticator<
    <P as quorate_smr::Protocol>::Message,
>>::Client;

/// The receiver of the trace.
pub(crate) type TraceSink = Box<dyn FnMut(&TraceEvent)>;

/// One run.
pub(crate) struct World<P: Inspect> {
    pub(crate) seed: u64,
    pub(crate) now_ns: u64,
    pub(crate) queue: EventQueue<Event<P>>,
    pub(crate) plan: Plan,
    pub(crate) nodes: Vec<Node<P>>,
    pub(crate) replicas: usize,
    pub(crate) clients: Vec<Client<ClientSide<P>>>,
    pub(crate) rogues: Vec<Rogue<ClientSide<P>>>,
    /// Requests that misbehaving clients sent.
    pub(crate) rogue_requests: u64,
    pub(crate) speakers: Speakers<P>,
    pub(crate) network: Network,
    pub(crate) disk_dice: Dice,
    pub(crate) disk_fault_dice: Dice,
    /// Who may be lost for good.
    pub(crate) atlas: Atlas,
    pub(crate) nemesis_dice: Dice,
    pub(crate) host_dice: Dice,
    pub(crate) storm_dice: Dice,
    /// Replicas that stayed ill when the others were healed.
    pub(crate) ill: Vec<(u8, Illness)>,
    pub(crate) book: Book,
    pub(crate) history: History,
    pub(crate) faults: Faults,
    pub(crate) counters: Counters,
    pub(crate) phase: Phase,
    pub(crate) trace_hash: Fold,
    pub(crate) trace: Option<TraceSink>,
    /// The message that is being sent, in a few words; empty when nobody watches.
    pub(crate) label: String,
    pub(crate) config: P::Config,
    pub(crate) tamper: Option<Tamper>,
    pub(crate) effects: Effects<P::Message, P::Record>,
    pub(crate) partition: u64,
    pub(crate) pauses: u64,
    pub(crate) count_bytes: bool,
    pub(crate) hash_messages: bool,
    pub(crate) bytes: Vec<u8>,
    /// What a scene holds back; `None` in every run of the swarm.
    pub(crate) script: Option<Box<Script<P>>>,
}

impl<P: Inspect> World<P> {
    /// The world of `seed` at virtual time 0.
    pub(crate) fn new(options: &Options<P>, seed: u64, trace: Option<TraceSink>) -> Self {
        let replicas = options.replicas;
        let config = options.config_of(seed);
        let plan = options.plan_of(seed);
        let network = Network::new(
            plan.network.clone(),
            plan.turbulence.clone(),
            replicas,
            Dice::new(seed, part::NETWORK),
            Dice::new(seed, rough::LINKS),
        );
        let mut world = Self {
            seed,
            now_ns: 0,
            queue: EventQueue::default(),
            nodes: Vec::new(),
            replicas,
            clients: Vec::new(),
            rogues: Vec::new(),
            rogue_requests: 0,
            speakers: Speakers::new(seed),
            network,
            disk_dice: Dice::new(seed, part::DISK),
            disk_fault_dice: Dice::new(seed, PART_DISK_FAULTS),
            atlas: Atlas::of_plan(&plan, replicas, P::tolerated(&config, replicas)),
            nemesis_dice: Dice::new(seed, part::NEMESIS),
            host_dice: Dice::new(seed, part::HOST),
            storm_dice: Dice::new(seed, rough::STORM),
            ill: Vec::new(),
            book: Book::default(),
            history: History::default(),
            faults: Faults::new(options.spared.clone(), options.kept.clone()),
            counters: Counters::default(),
            phase: Phase::Faults,
            trace_hash: Fold::default(),
            trace,
            label: String::new(),
            config,
            tamper: options.tamper.clone(),
            effects: Effects::new(),
            partition: 0,
            pauses: 0,
            count_bytes: options.count_bytes,
            hash_messages: options.hash_messages,
            bytes: Vec::new(),
            script: None,
            plan,
        };
        world.add_nodes();
        world.add_clients();
        world.add_rogues();
        world
    }

    fn add_nodes(&mut self) {
        for replica in 0..self.replicas as u8 {
            let byzantine = self.plan.byzantine.iter().find(|(id, _)| *id == replica);
            let byzantine = byzantine.map(|(_, behaviour)| *behaviour);
            let twins = byzantine == Some(Behaviour::Twins);
            self.add_node(ReplicaId(replica), byzantine, twins.then_some(0));
        }
        // Second twins come last, so that node i hosts replica i.
        for (replica, behaviour) in self.plan.byzantine.clone() {
            if behaviour == Behaviour::Twins {
                self.add_node(ReplicaId(replica), Some(behaviour), Some(1));
                self.faults.note(FaultKind::Twin);
            }
        }
    }

    fn add_node(&mut self, id: ReplicaId, byzantine: Option<Behaviour>, twin: Option<u8>) {
        let setup = Setup::new(id, self.replicas, Seed(self.seed), self.config.clone());
        let auth = P::authenticator(&setup).expect("the drawn configuration has usable keys");
        let drift_max = self.plan.nemesis.drift_ppm;
        let mut drift = 0;
        if drift_max > 0 {
            let drawn = self.nemesis_dice.below(2 * drift_max.unsigned_abs()) as i64 - drift_max;
            drift = if self.faults.strikes(FaultKind::Drift) { drawn } else { 0 };
        }
        let offset = self.nemesis_dice.between(0, 1000) * MS;
        self.nodes.push(Node {
            id,
            setup,
            auth,
            clock: Clock::new(offset, drift),
            disk: Disk::new(self.disk_identity(self.nodes.len(), id)),
            told: Told::default(),
            acknowledged: Acknowledgements::default(),
            promised: 0,
            byzantine,
            forgets: P::BYZANTINE && self.plan.durability.forgets(id.0),
            damaged: None,
            refused: None,
            fail_next_sync: false,
            crash_points: Vec::new(),
            twin,
            running: None,
            incarnation: 0,
            tick_at: u64::MAX,
            ticks_at_once: 0,
            paused: None,
            pause: 0,
            old_clock: None,
            crash_after_effects: None,
            crash_within_sync: false,
            lies: std::collections::BTreeMap::new(),
            old_messages: std::collections::VecDeque::new(),
            other_batch: None,
        });
    }

    fn add_clients(&mut self) {
        let quorum = P::reply_quorum(self.replicas);
        for index in 0..self.clients_planned() {
            let id = if quorum > 1 { ClientId(index as u64 + 1) } else { ClientId::NONE };
            let key = ClientId(index as u64 + 1);
            let auth = self.nodes[0].auth.client(key).expect("the first clients are known");
            let surges = index >= self.plan.load.clients;
            let part = if surges { rough::SURGE << 32 } else { part::CLIENTS };
            let dice = Dice::new(self.seed, part + index as u64);
            let mut client = Client::new(index, id, auth, quorum, dice);
            if surges {
                client.doing = Doing::Stopped;
                client.surges_until = Some(0);
                self.clients.push(client);
                continue;
            }
            // The first client writes, or there would be nothing to read.
            client.reader = index > 0 && client.dice.chance(self.plan.load.readers_ppm);
            self.clients.push(client);
        }
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// The first violation.
    pub(crate) fn run(&mut self) -> Result<(), Violation> {
        self.run_events().map_err(|mut violation| {
            violation.at_ns = self.now_ns;
            violation.step = self.counters.steps;
            let line = format!("VIOLATION {violation}");
            self.note(|| line);
            *violation
        })
    }

    fn run_events(&mut self) -> Check {
        self.begin()?;
        while self.phase != Phase::Done {
            self.next_event()?;
        }
        self.check_history()
    }

    /// Lets the next event happen.
    pub(crate) fn next_event(&mut self) -> Check {
        let Some((at_ns, event)) = self.queue.pop() else {
            return Err(broken(invariants::PROGRESS, "nothing is left to happen".into()));
        };
        self.now_ns = at_ns;
        self.counters.events += 1;
        if self.counters.events > EVENTS_MAX {
            let detail = format!("{EVENTS_MAX} events were not enough");
            return Err(broken(invariants::NO_RUNAWAY, detail));
        }
        if self.script.is_none() {
            return self.take(event);
        }
        match self.intercept(event) {
            Some(event) => self.take(event),
            None => Ok(()),
        }
    }

    pub(crate) fn begin(&mut self) -> Check {
        if self.trace.is_some() {
            let nodes = self.nodes.iter().map(|node| node.id).collect();
            self.tell(|| Happening::Begin { nodes });
        }
        for node in 0..self.nodes.len() {
            self.start(node)?;
        }
        for client in 0..self.clients.len() {
            let wait = self.host_dice.below(50 * MS);
            self.arm_client(client, wait);
        }
        self.begin_amnesia();
        self.begin_rogues();
        for trouble in [
            Trouble::Crash,
            Trouble::CrashWithinStep,
            Trouble::Pause,
            Trouble::Partition,
            Trouble::Transfer,
        ] {
            self.schedule_trouble(trouble);
        }
        self.begin_disk_faults();
        self.schedule_storms();
        if self.plan.turbulence.slow_replica.is_some() {
            self.faults.note(FaultKind::SlowReplica);
        }
        self.queue.push(self.plan.faults_ns, Event::FaultsEnd);
        Ok(())
    }

    fn take(&mut self, event: Event<P>) -> Check {
        let (kind, who) = kind_of(&event);
        self.trace_hash.mix(self.now_ns);
        self.trace_hash.mix(kind << 32 | who as u64);
        if let Some(node) = node_of(&event)
            && self.nodes[node].paused.is_some()
        {
            self.wait_for_resume(node, event);
            return Ok(());
        }
        match event {
            Event::Deliver { node, .. } | Event::Request { node, .. } => self.arrive(node, event),
            event => self.admit(event),
        }
    }

    /// Handles an event whose time has come.
    pub(crate) fn admit(&mut self, event: Event<P>) -> Check {
        match event {
            Event::Deliver { node, parcel } => self.deliver(node, *parcel),
            Event::Tick { node } => self.tick(node),
            Event::Synced { node, incarnation, upto } => self.synced(node, incarnation, upto),
            Event::Apply { node, incarnation } => self.apply_lagging(node, incarnation),
            Event::Flush { node, incarnation } => self.flush(node, incarnation),
            Event::SnapshotTaken { node, incarnation, snapshot } => {
                self.snapshot_taken(node, incarnation, snapshot)
            }
            Event::SnapshotInstalled { node, incarnation, slot } => {
                self.snapshot_installed(node, incarnation, slot)
            }
            Event::Request { node, request } => self.serve(node, *request),
            Event::Reply { client, reply } => self.hear(client, *reply),
            Event::ClientTimer { client, generation } => {
                self.client_timer(client, generation);
                Ok(())
            }
            Event::AskAgain { client, generation } => {
                self.ask_again(client, generation);
                Ok(())
            }
            Event::Trouble(trouble) => self.make_trouble(trouble),
            Event::Disk(event) => self.disk_event(event),
            Event::Storm(storm) => {
                self.make_storm(storm);
                Ok(())
            }
            Event::Link { from, to, change } => {
                self.change_link(from, to, change);
                Ok(())
            }
            Event::Free { node, incarnation } => self.free(node, incarnation),
            Event::Restart { node, incarnation } => self.restart(node, incarnation),
            Event::Resume { node, pause } => {
                self.resume(node, pause);
                Ok(())
            }
            Event::Mend { partition } => {
                self.mend(partition);
                Ok(())
            }
            Event::Hunt { node, incarnation } => self.catch_leader(node, incarnation),
            Event::Forget { node } => self.forget(node),
            Event::Rogue { rogue } => {
                self.act(rogue);
                Ok(())
            }
            Event::FaultsEnd => self.heal(),
            Event::Poll => self.poll(),
        }
    }

    /// Ends all faults and demands progress.
    pub(crate) fn heal(&mut self) -> Check {
        if self.phase != Phase::Faults {
            return Ok(());
        }
        self.note(|| "healed: no more faults".into());
        self.phase = Phase::Healed { since_ns: self.now_ns };
        self.fall_ill();
        self.network.heal(self.ill.clone());
        for node in 0..self.nodes.len() {
            self.nodes[node].crash_after_effects = None;
            self.nodes[node].crash_within_sync = false;
            self.nodes[node].crash_points.clear();
            self.make_space(node);
            self.resume_now(node);
            let left_down = self.plan.left_down.contains(&self.nodes[node].id.0);
            match (&self.nodes[node].running, left_down) {
                (Some(_), true) => self.crash(node, FaultKind::Crash)?,
                (None, false) => self.start(node)?,
                _ => {}
            }
            if self.stands_still_for_good(self.nodes[node].id) {
                self.nodes[node].paused = Some(Vec::new());
            }
        }
        if self.atlas.exceeds(self.lost_now()) {
            self.note(|| "beyond the fault bound: it need not serve".into());
            self.counters.beyond_bound = true;
            self.phase = Phase::Beyond { since_ns: self.now_ns };
        }
        for client in 0..self.clients.len() {
            let waits = &mut self.clients[client];
            waits.attempts = 0;
            if matches!(waits.doing, Doing::Idle | Doing::Stopped) && waits.surges_until.is_none() {
                waits.doing = Doing::Idle;
            }
            let wait = waits.dice.below(20 * MS);
            self.arm_client(client, wait);
        }
        self.queue.push(self.now_ns + POLL_NS, Event::Poll);
        Ok(())
    }

    fn poll(&mut self) -> Check {
        match self.phase {
            Phase::Healed { since_ns } => {
                let needed = self.plan.liveness_requests;
                let served = |client: &Client<_>| {
                    client.surges_until.is_some() || client.completed_healed >= needed
                };
                if self.clients.iter().all(served) {
                    self.note(|| "every client was served: converging".into());
                    self.phase = Phase::Converging { since_ns: self.now_ns };
                } else if self.now_ns - since_ns > self.plan.liveness_ns {
                    return Err(broken(invariants::PROGRESS, self.describe()));
                }
            }
            Phase::Converging { since_ns } => {
                if self.has_converged() {
                    self.phase = Phase::Done;
                    return self.check_end();
                }
                if self.now_ns - since_ns > self.plan.liveness_ns {
                    return Err(broken(invariants::CONVERGENCE, self.describe()));
                }
            }
            Phase::Beyond { since_ns } => {
                if self.now_ns - since_ns > BEYOND_NS {
                    self.phase = Phase::Done;
                    return self.check_stopped();
                }
            }
            Phase::Faults | Phase::Done => {}
        }
        self.queue.push(self.now_ns + POLL_NS, Event::Poll);
        Ok(())
    }

    /// How many replicas are lost at present.
    ///
    /// # Panics
    /// If the atlas knows nothing of one of them: the simulator broke its own bound.
    fn lost_now(&self) -> usize {
        let is_lost =
            |node: &&Node<P>| !node.is_honest() || node.running.is_none() || self.is_ill(node.id);
        let lost: BTreeSet<_> = self.nodes.iter().filter(is_lost).map(|node| node.id).collect();
        for id in &lost {
            assert!(self.atlas.loss(id.0).is_some(), "{id} is lost without the atlas' leave");
        }
        lost.len()
    }

    /// Checks a cluster that was left with too few replicas to serve.
    fn check_stopped(&mut self) -> Check {
        let stand = |node: &Node<P>| {
            let executor = &node.running.as_ref()?.executor;
            Some((node.id, executor.applied(), executor.state_digest()))
        };
        let honest = self.nodes.iter().filter(|node| node.is_honest());
        let stands: Vec<_> = honest.filter_map(stand).collect();
        for (id, applied, digest) in stands {
            self.book.states.digest(id, applied, digest)?;
        }
        self.book.acknowledged.survive(self.book.ledger.last())
    }

    /// The nodes that must get on after healing: honest, running, and not left ill.
    fn healed_core(&self) -> impl Iterator<Item = &Node<P>> {
        let well = |node: &&Node<P>| !self.is_ill(node.id);
        self.nodes.iter().filter(|node| node.is_honest() && node.running.is_some()).filter(well)
    }

    fn has_converged(&self) -> bool {
        let last = self.book.ledger.last();
        self.healed_core().all(|node| node.applied() == Some(last))
    }

    fn check_end(&mut self) -> Check {
        let last = self.book.ledger.last();
        let digests: Vec<_> = self
            .healed_core()
            .filter_map(|node| Some((node.id, node.running.as_ref()?.executor.state_digest())))
            .collect();
        for (id, digest) in digests {
            self.book.states.digest(id, last, digest)?;
        }
        self.book.acknowledged.survive(last)
    }

    pub(crate) fn check_history(&mut self) -> Check {
        match check_kv(self.history.operations(), CHECK_LIMITS) {
            KvVerdict::Linearizable => Ok(()),
            KvVerdict::GaveUp { .. } => {
                self.counters.gave_up_check = true;
                Ok(())
            }
            KvVerdict::Violation { key, operation } => {
                let operation = &self.history.operations()[operation].operation;
                let key = String::from_utf8_lossy(&key).into_owned();
                let detail = format!("key {key}: no order explains {operation:?}");
                Err(broken(invariants::LINEARIZABLE, detail))
            }
        }
    }

    /// Who stands where, for a report of a cluster that does not get on.
    pub(crate) fn describe(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        for node in &self.nodes {
            let _ = match &node.running {
                None => write!(text, "{} is down; ", node.id),
                Some(running) => {
                    let status = running.progress.status;
                    let (byzantine, applied) = (node.byzantine, running.executor.applied());
                    let Slot(committed) = status.committed;
                    write!(
                        text,
                        "{} {:?} epoch {} leader {:?} base {} committed {committed} last {} \
                         applied {applied} byzantine {byzantine:?}; ",
                        node.id, status.role, status.epoch, status.leader, status.base, status.last
                    )
                }
            };
        }
        if !self.ill.is_empty() {
            let _ = write!(text, "left ill: {:?}; ", self.ill);
        }
        for client in &self.clients {
            if client.surges_until.is_none()
                && client.completed_healed < self.plan.liveness_requests
            {
                let (index, attempts) = (client.index, client.attempts);
                let _ =
                    write!(text, "client {index} waits for {} (attempt {attempts}); ", client.seq);
            }
        }
        text
    }

    /// The node that leads the highest epoch, if any does.
    pub(crate) fn leader(&self) -> Option<usize> {
        (0..self.nodes.len())
            .filter_map(|index| {
                let status = self.nodes[index].running.as_ref()?.progress.status;
                (status.role == Role::Leader).then_some((status.epoch, index))
            })
            .max()
            .map(|(_, index)| index)
    }

    /// Tells what happened to the whole group, if someone watches.
    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        self.tell(|| Happening::World { text: text() });
    }

    /// Tells what happened at a node, if someone watches.
    pub(crate) fn note_at(&mut self, node: usize, mark: Mark, text: impl FnOnce() -> String) {
        self.tell(|| Happening::Node { node, mark, text: text() });
    }

    /// Tells what happened, if someone watches.
    pub(crate) fn tell(&mut self, what: impl FnOnce() -> Happening) {
        if let Some(trace) = &mut self.trace {
            trace(&TraceEvent { at_ns: self.now_ns, what: what() });
        }
    }
}

/// A number for the kind of event and for whom it happens, for the trace hash.
fn kind_of<P: Inspect>(event: &Event<P>) -> (u64, usize) {
    match event {
        Event::Deliver { node, .. } => (1, *node),
        Event::Tick { node } => (2, *node),
        Event::Synced { node, .. } => (3, *node),
        Event::Apply { node, .. } => (4, *node),
        Event::Flush { node, .. } => (5, *node),
        Event::SnapshotTaken { node, .. } => (6, *node),
        Event::Request { node, .. } => (7, *node),
        Event::Reply { client, .. } => (8, *client),
        Event::ClientTimer { client, .. } => (9, *client),
        Event::Trouble(trouble) => (10, *trouble as usize),
        Event::Restart { node, .. } => (11, *node),
        Event::Resume { node, .. } => (12, *node),
        Event::Mend { .. } => (13, 0),
        Event::FaultsEnd => (14, 0),
        Event::Poll => (15, 0),
        Event::Forget { node } => (31, *node),
        Event::Rogue { rogue } => (32, *rogue),
        Event::AskAgain { client, .. } => (17, *client),
        Event::Hunt { node, .. } => (18, *node),
        Event::Disk(_) => (33, 0),
        Event::SnapshotInstalled { node, .. } => (16, *node),
        Event::Storm(storm) => (21, *storm as usize),
        Event::Link { from, to, .. } => (22, *from << 8 | *to),
        Event::Free { node, .. } => (23, *node),
    }
}

/// The node whose process must run for the event to be handled.
const fn node_of<P: Inspect>(event: &Event<P>) -> Option<usize> {
    match event {
        Event::Deliver { node, .. }
        | Event::Tick { node }
        | Event::Synced { node, .. }
        | Event::Apply { node, .. }
        | Event::Flush { node, .. }
        | Event::SnapshotTaken { node, .. }
        | Event::SnapshotInstalled { node, .. }
        | Event::Free { node, .. }
        | Event::Request { node, .. } => Some(*node),
        _ => None,
    }
}

//! Scripted runs: one named scenario, step by step, on the same world as the swarm.
//!
//! A [`Scene`] owns a world without faults and lets things happen: elect this replica, cut that
//! link, hold this message back, crash at that write. Between two steps of the script virtual time
//! runs, and every invariant of the swarm is checked after every event. [`Scene::settle`] ends all
//! faults and demands what every run demands: progress, convergence, linearizable histories. A step
//! that fails says why and shows the end of the trace.
//!
//! Clients do nothing of themselves until the scene settles: they ask, and ask again, when the
//! script says so. Crashed replicas stay down until they are restarted. Nothing is random but what
//! the seed says.
//!
//! ```
//! use quorate_raft::Raft;
//! use quorate_sim::scene::Scene;
//!
//! # fn main() -> Result<(), quorate_sim::scene::SceneFailure> {
//! let mut scene = Scene::<Raft>::new(3, 1)?;
//! scene.elect(0)?;
//! scene.write(0, "a", b"1")?;
//! scene.isolate(0);
//! scene.elect(1)?;
//! scene.write(1, "a", b"2")?;
//! scene.mend_all();
//! assert_eq!(scene.read(2, "a", 1)?, Some(b"2".to_vec()));
//! scene.settle()
//! # }
//! ```

mod clients;
mod disks;
mod door;
mod failure;
mod faults;
mod load;
mod script;
mod weather;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::rc::Rc;

use quorate_smr::protocol::{Admin, Input, Status};
use quorate_smr::{ReplicaId, Role, Slot};

use crate::byzantine::Behaviour;
use crate::fault::FaultKind;
use crate::inspect::Inspect;
use crate::invariants;
use crate::options::{Options, Tamper};
use crate::outcome::caught;
use crate::plan::{MS, Plan};
use crate::trace::TraceEvent;
use crate::violation::{Check, Violation};
use crate::world::{Phase, TraceSink, World};

pub use clients::{Operation, ReadMode};
pub use door::SeenFrame;
pub use failure::SceneFailure;
pub use script::{Heard, Rule, WritePoint};

pub(crate) use script::Script;

/// Virtual time within which what a script waits for must come about, in milliseconds.
pub const PATIENCE_MS: u64 = 60_000;
/// How long a replica that is to be elected has the field to itself, and how long the others go on
/// before it tries again, in milliseconds.
const CAMPAIGN_MS: u64 = 5_000;
const PAUSE_MS: u64 = 500;
/// Lines of the trace that a failure shows.
const TRACE_LINES_MAX: usize = 120;
/// When the faults of a world end that a script drives: never.
const NEVER_NS: u64 = u64::MAX / 4;

/// The result of a step of a script.
pub type Step<T = ()> = Result<T, SceneFailure>;

/// How a scene is set up; [`Scene::build`] begins one.
#[derive(Clone)]
#[must_use]
pub struct SceneBuilder<P: Inspect> {
    replicas: usize,
    seed: u64,
    config: P::Config,
    plan: Plan,
    tamper: Option<Tamper>,
    untraced: bool,
}

impl<P: Inspect> SceneBuilder<P> {
    /// Replicas in the group.
    #[must_use]
    pub const fn replicas(&self) -> usize {
        self.replicas
    }

    /// Changes the protocol's configuration, which begins as the shipped one.
    pub fn config(mut self, change: impl FnOnce(&mut P::Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Changes the plan, which begins as [`Plan::quiet`] with four clients.
    pub fn plan(mut self, change: impl FnOnce(&mut Plan)) -> Self {
        change(&mut self.plan);
        self
    }

    /// Changes the executor of each replica whenever it starts (plants a defect, for example).
    pub fn tamper(mut self, tamper: Tamper) -> Self {
        self.tamper = Some(tamper);
        self
    }

    /// Makes a replica Byzantine; the invariants do not apply to it any more.
    pub fn byzantine(mut self, replica: usize, behaviour: Behaviour) -> Self {
        self.plan.byzantine.push((replica as u8, behaviour));
        self
    }

    /// Starts all replicas at virtual time 0.
    ///
    /// # Errors
    /// When a replica does not start with this configuration.
    pub fn start(mut self) -> Step<Scene<P>> {
        self.plan.faults_ns = NEVER_NS;
        let options = Options::<P> {
            plan: Some(self.plan),
            config: Some(self.config),
            tamper: self.tamper,
            ..Options::new(self.replicas)
        };
        let lines = Rc::new(RefCell::new(VecDeque::new()));
        let sink = Rc::clone(&lines);
        let trace = move |event: &TraceEvent| {
            let mut lines = sink.borrow_mut();
            lines.push_back(event.to_string());
            if lines.len() > TRACE_LINES_MAX {
                lines.pop_front();
            }
        };
        let trace = (!self.untraced).then(|| Box::new(trace) as TraceSink);
        let mut world = World::new(&options, self.seed, trace);
        world.script = Some(Box::new(Script::new()));
        let mut scene = Scene { world, lines };
        scene.act(World::begin)?;
        Ok(scene)
    }
}

/// A scripted run. Replicas and clients are named by their numbers, from 0.
pub struct Scene<P: Inspect> {
    world: World<P>,
    lines: Rc<RefCell<VecDeque<String>>>,
}

/// Setting up, and how time passes.
impl<P: Inspect> Scene<P> {
    /// Begins to set up a scene of `replicas`.
    pub fn build(replicas: usize, seed: u64) -> SceneBuilder<P> {
        let config = P::Config::default();
        SceneBuilder { replicas, seed, config, plan: Plan::quiet(), tamper: None, untraced: false }
    }

    /// A scene of `replicas` with the shipped configuration.
    ///
    /// # Errors
    /// When a replica does not start.
    pub fn new(replicas: usize, seed: u64) -> Step<Self> {
        Self::build(replicas, seed).start()
    }

    /// Lets `ms` milliseconds pass.
    ///
    /// # Errors
    /// A broken invariant.
    pub fn run_for(&mut self, ms: u64) -> Step {
        let end = self.world.now_ns + ms * MS;
        self.pass_until(end, |_| false)?;
        Ok(())
    }

    /// Lets time pass until `come` holds, [`PATIENCE_MS`] at most. `what` names it in the failure.
    ///
    /// # Errors
    /// A broken invariant, or that it did not come about.
    pub fn run_until(&mut self, what: &str, come: impl FnMut(&Self) -> bool) -> Step {
        self.run_until_within(PATIENCE_MS, what, come)
    }

    /// As [`Scene::run_until`], within `ms` milliseconds.
    ///
    /// # Errors
    /// A broken invariant, or that it did not come about.
    pub fn run_until_within(
        &mut self,
        ms: u64,
        what: &str,
        come: impl FnMut(&Self) -> bool,
    ) -> Step {
        let end = self.world.now_ns + ms * MS;
        if self.pass_until(end, come)? {
            return Ok(());
        }
        Err(self.failed(&format!("within {ms} ms it did not come about that {what}")))
    }

    /// Whether `come` held before `end_ns`.
    fn pass_until(&mut self, end_ns: u64, mut come: impl FnMut(&Self) -> bool) -> Step<bool> {
        while !come(self) {
            match self.world.queue.next_at() {
                Some(at) if at <= end_ns => self.act(World::next_event)?,
                _ => {
                    self.world.now_ns = end_ns;
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Fails unless `holds`.
    ///
    /// # Errors
    /// When it does not; the failure names `what`.
    pub fn expect(&self, what: &str, holds: bool) -> Step {
        if holds { Ok(()) } else { Err(self.failed(&format!("it does not hold that {what}"))) }
    }

    /// Fails unless `found` equals `wanted`.
    ///
    /// # Errors
    /// When they differ; the failure shows both.
    pub fn expect_eq<T: PartialEq + Debug>(&self, what: &str, found: &T, wanted: &T) -> Step {
        if found == wanted {
            return Ok(());
        }
        Err(self.failed(&format!("{what}: found {found:?}, expected {wanted:?}")))
    }

    /// Lets `ms` milliseconds pass, in which nobody may begin to lead.
    ///
    /// # Errors
    /// A broken invariant, or a new leader.
    pub fn expect_no_leader_change(&mut self, ms: u64) -> Step {
        let led = self.epochs_led();
        let end = self.world.now_ns + ms * MS;
        let changed = self.pass_until(end, |scene| scene.epochs_led() != led)?;
        self.expect("no other replica began to lead", !changed)
    }

    /// Ends all faults and demands of the scene what every run must show: progress, convergence,
    /// and linearizable histories. Messages still held are lost; crashed replicas come back, but
    /// for those that the plan leaves down.
    ///
    /// # Errors
    /// A broken invariant.
    pub fn settle(&mut self) -> Step {
        self.end_faults();
        self.act(World::heal)?;
        while self.world.phase != Phase::Done {
            self.act(World::next_event)?;
        }
        self.act(World::check_history)
    }

    /// Writes a line of the script into the trace.
    pub fn note(&mut self, line: &str) {
        self.world.note(|| format!("-- {line}"));
    }

    /// The end of the trace.
    #[must_use]
    pub fn trace(&self) -> Vec<String> {
        self.lines.borrow().iter().cloned().collect()
    }

    /// Does something to the world; a broken invariant or assertion becomes a failure.
    fn act(&mut self, act: impl FnOnce(&mut World<P>) -> Check) -> Step {
        let world = &mut self.world;
        let broken = match caught(|| act(world)) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(violation)) => *violation,
            Err(detail) => Violation { invariant: invariants::NO_PANIC, detail, at_ns: 0, step: 0 },
        };
        let (at_ns, step) = (self.world.now_ns, self.world.counters.steps);
        let violation = Violation { at_ns, step, ..broken };
        let what = violation.to_string();
        Err(SceneFailure { violation: Some(violation), what, trace: self.trace() })
    }

    fn failed(&self, what: &str) -> SceneFailure {
        let stand = self.world.describe();
        SceneFailure { violation: None, what: format!("{what}\n{stand}"), trace: self.trace() }
    }
}

/// What the replicas are and hold.
impl<P: Inspect> Scene<P> {
    /// Replicas in the group.
    #[must_use]
    pub const fn replicas(&self) -> usize {
        self.world.replicas
    }

    /// Virtual time since the start, in milliseconds.
    #[must_use]
    pub const fn now_ms(&self) -> u64 {
        self.world.now_ns / MS
    }

    /// The replica's own protocol value; `None` while it is down.
    #[must_use]
    pub fn protocol(&self, replica: usize) -> Option<&P> {
        self.world.nodes[replica].running.as_ref().map(|running| &running.protocol)
    }

    /// The replica's view of itself; `None` while it is down.
    #[must_use]
    pub fn status(&self, replica: usize) -> Option<Status> {
        self.protocol(replica).map(P::status)
    }

    /// The last slot that the replica committed; 0 while it is down.
    #[must_use]
    pub fn committed(&self, replica: usize) -> u64 {
        self.status(replica).map_or(0, |status| status.committed.0)
    }

    /// The last slot that the replica applied; 0 while it is down.
    #[must_use]
    pub fn applied(&self, replica: usize) -> u64 {
        self.world.nodes[replica].applied().map_or(0, |slot| slot.0)
    }

    /// The slot of the snapshot on the replica's disk; 0 without one.
    #[must_use]
    pub fn snapshot(&self, replica: usize) -> u64 {
        self.world.nodes[replica].disk.snapshot.as_ref().map_or(0, |(meta, _)| meta.slot.0)
    }

    /// The records on the replica's disk, in order.
    #[must_use]
    pub fn records(&self, replica: usize) -> Vec<P::Record> {
        self.world.nodes[replica].disk.records.clone()
    }

    /// Writes that the replica asked its disk for and that are not durable yet.
    #[must_use]
    pub fn pending_writes(&self, replica: usize) -> usize {
        self.world.nodes[replica].disk.pending()
    }

    /// The last slot that anybody committed.
    #[must_use]
    pub fn decided(&self) -> u64 {
        let Slot(last) = self.world.book.ledger.last();
        last
    }

    /// The replica that leads the highest epoch, if any does.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        self.world.leader()
    }

    /// Whether the replica takes itself for the leader.
    #[must_use]
    pub fn leads(&self, replica: usize) -> bool {
        self.status(replica).is_some_and(|status| status.role == Role::Leader)
    }

    /// How many epochs had a leader so far.
    #[must_use]
    pub fn epochs_led(&self) -> usize {
        self.world.book.leaders.count()
    }

    /// How often faults of `kind` took place.
    #[must_use]
    pub fn faults(&self, kind: FaultKind) -> u64 {
        self.world.faults.count(kind)
    }

    /// Frames, messages and requests that were refused before they reached a protocol.
    #[must_use]
    pub const fn refused_at_the_edge(&self) -> u64 {
        self.world.counters.refused_at_the_edge
    }

    /// The name of a message's kind: how its debug form begins.
    #[must_use]
    pub fn kind(message: &P::Message) -> String {
        let text = format!("{message:?}");
        let end = text.find(|character: char| !character.is_alphanumeric());
        text[..end.unwrap_or(text.len())].to_owned()
    }
}

/// Leaders.
impl<P: Inspect> Scene<P> {
    /// Lets time pass until `replica` leads and those that can hear it follow. The others' timers do
    /// not ring meanwhile; where views follow one another in turn (PBFT), primaries on the way fall
    /// silent and the last client asks for something, so that they are replaced.
    ///
    /// # Errors
    /// A broken invariant, or that it cannot be elected.
    pub fn elect(&mut self, replica: usize) -> Step {
        if P::reply_quorum(self.replicas()) > 1 {
            return self.rotate_to(replica);
        }
        let epoch = self.highest_epoch();
        let led = |scene: &Self| {
            scene.leads(replica) && scene.status(replica).is_some_and(|it| it.epoch >= epoch)
        };
        let end = self.world.now_ns + PATIENCE_MS * MS;
        loop {
            if self.campaign(replica, led)? {
                break;
            }
            self.expect(&format!("r{replica} can be elected"), self.world.now_ns < end)?;
            // Another leader may have to hand out what it has first.
            self.run_for(PAUSE_MS)?;
        }
        self.run_until(&format!("a quorum follows r{replica}"), |scene| {
            scene.followers(replica) > scene.replicas() / 2
        })
    }

    /// Lets only `replica` have timers for a while; whether it led.
    fn campaign(&mut self, replica: usize, led: impl Fn(&Self) -> bool) -> Step<bool> {
        let mut stopped = Vec::new();
        for other in (0..self.replicas()).filter(|other| *other != replica) {
            if self.stop_timers(other) {
                stopped.push(other);
            }
        }
        let end = self.world.now_ns + CAMPAIGN_MS * MS;
        let led = self.pass_until(end, led)?;
        for other in stopped {
            self.start_timers(other);
        }
        Ok(led)
    }

    /// Moves views on until `replica` is the primary.
    fn rotate_to(&mut self, replica: usize) -> Step {
        let client = self.world.clients.len() - 1;
        let count = self.replicas();
        while self.leader() != Some(replica) || self.followers(replica) <= count * 2 / 3 {
            let Some(primary) = self.leader().filter(|leader| *leader != replica) else {
                self.run_for(10)?;
                continue;
            };
            let epoch = self.highest_epoch();
            let mute = self.lose_where(move |from, _, _| from == primary);
            let operation = self.ask_all(client, "scene")?;
            self.run_until("another primary leads", |scene| {
                scene.highest_epoch() > epoch
                    && scene.leader().is_some_and(|leader| leader != primary)
            })?;
            self.stop(mute);
            self.run_until("the request that deposed the primary is done", |scene| {
                scene.answer(operation).is_some()
            })?;
        }
        Ok(())
    }

    /// How many running replicas take `leader` for the leader of its epoch, itself included.
    #[must_use]
    pub fn followers(&self, leader: usize) -> usize {
        let Some(status) = self.status(leader) else { return 0 };
        let id = ReplicaId(leader as u8);
        (0..self.replicas())
            .filter_map(|replica| self.status(replica))
            .filter(|it| it.epoch == status.epoch && it.leader == Some(id))
            .count()
    }

    /// The highest epoch that a running replica knows.
    #[must_use]
    pub fn highest_epoch(&self) -> u64 {
        (0..self.replicas())
            .filter_map(|replica| self.status(replica))
            .map(|it| it.epoch)
            .max()
            .unwrap_or(0)
    }

    /// An operator asks the replica to hand its leadership over to `to`.
    ///
    /// # Errors
    /// A broken invariant.
    pub fn transfer(&mut self, replica: usize, to: usize) -> Step {
        let admin = Admin::TransferLeadership { to: ReplicaId(to as u8) };
        self.act(|world| world.handle(replica, Input::Admin(admin)))
    }
}

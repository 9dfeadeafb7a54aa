//! One replica with what surrounds it: disk, clock, gate, state machine, inbox.
//!
//! A [`Node`] is a process that hosts a replica; it outlives crashes. [`Running`] is what a crash
//! forgets. Two nodes may share one [`ReplicaId`]: twins.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use quorate_smr::executor::Executor;
use quorate_smr::journal::JournalError;
use quorate_smr::kv::KvStore;
use quorate_smr::protocol::{Protocol, Setup};
use quorate_smr::{Batch, BatchBuilder, ClientId, Gate, ReadId, ReplicaId, RequestSeq, Slot, Time};

use crate::byzantine::Behaviour;
use crate::client::Request;
use crate::clock::Clock;
use crate::disk::{Disk, Image};
use crate::event::Event;
use crate::fault::FaultKind;
use crate::inbox::Inbox;
use crate::inspect::Inspect;
use crate::invariants::{Acknowledgements, Progress, Told};
use crate::plan::CrashPoint;

/// Arrived snapshots that a node keeps until its replica asks for one.
pub(crate) const ARRIVED_MAX: usize = 4;
/// Requests that wait at a node to become a batch.
pub(crate) const BATCH_REQUESTS_MAX: usize = 256;
/// Reads that wait at a node.
pub(crate) const READS_MAX: usize = 256;
/// Messages that wait at a node for its disk.
pub(crate) const GATE_MESSAGES_MAX: usize = 16_384;
/// Old messages that a replaying Byzantine node keeps.
pub(crate) const REPLAYS_MAX: usize = 32;

/// A process that hosts one replica.
pub(crate) struct Node<P: Inspect> {
    pub(crate) id: ReplicaId,
    pub(crate) setup: Setup<P::Config>,
    pub(crate) auth: P::Auth,
    pub(crate) clock: Clock,
    pub(crate) disk: Disk<P::Record>,
    pub(crate) told: Told<P>,
    /// The log entries that it acknowledged.
    pub(crate) acknowledged: Acknowledgements,
    /// The highest ballot that it asked its disk to remember.
    pub(crate) promised: u64,
    pub(crate) byzantine: Option<Behaviour>,
    /// Whether its disk forgets, under a protocol that takes such a replica for Byzantine.
    pub(crate) forgets: bool,
    /// What its disk suffered that must be noticed at the next start.
    pub(crate) damaged: Option<FaultKind>,
    /// Why it does not start any more.
    pub(crate) refused: Option<JournalError>,
    /// Its next sync fails.
    pub(crate) fail_next_sync: bool,
    /// Where in its writes it is to crash.
    pub(crate) crash_points: Vec<CrashPoint>,
    /// Which of two twins this is.
    pub(crate) twin: Option<u8>,
    pub(crate) running: Option<Running<P>>,
    /// Counts restarts; what a crashed incarnation left behind is recognised by it.
    pub(crate) incarnation: u32,
    /// When the next tick is scheduled, in virtual time; `u64::MAX`: none.
    pub(crate) tick_at: u64,
    /// Ticks at one moment: a deadline that never passes is a bug.
    pub(crate) ticks_at_once: u32,
    /// Events that wait until a paused process goes on.
    pub(crate) paused: Option<Vec<Event<P>>>,
    /// The number of the last pause; an older one no longer ends anything.
    pub(crate) pause: u64,
    /// The time that the process read before it was paused.
    pub(crate) old_clock: Option<Time>,
    /// Effects to carry out before a crash within a step.
    pub(crate) crash_after_effects: Option<u32>,
    /// What a Byzantine node vouched for against better knowledge.
    pub(crate) lies: crate::inspect::Told,
    /// Crash instead of finishing the next sync.
    pub(crate) crash_within_sync: bool,
    /// A Byzantine node's own old messages, and the last batch that it was asked to propose.
    pub(crate) old_messages: VecDeque<(ReplicaId, crate::event::Parcel<P>)>,
    pub(crate) other_batch: Option<Batch>,
}

impl<P: Inspect> Node<P> {
    /// Whether invariants apply to this node.
    pub(crate) const fn is_honest(&self) -> bool {
        self.byzantine.is_none() && !self.forgets
    }

    /// What the process takes for the time.
    pub(crate) fn local_now(&mut self, now_ns: u64) -> Time {
        self.old_clock.take().unwrap_or_else(|| self.clock.local(now_ns))
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.running.as_ref().and_then(|running| running.protocol.deadline())
    }

    pub(crate) fn applied(&self) -> Option<Slot> {
        self.running.as_ref().map(|running| running.executor.applied())
    }
}

/// A read that waits at a replica.
#[derive(Debug)]
pub(crate) struct ReadWait {
    pub(crate) client: usize,
    pub(crate) id: ClientId,
    pub(crate) seq: RequestSeq,
    pub(crate) query: Rc<Vec<u8>>,
    /// The last slot that was decided anywhere when the read arrived.
    pub(crate) decided: Slot,
}

/// What a crash forgets.
pub(crate) struct Running<P: Protocol + Inspect> {
    pub(crate) protocol: P,
    pub(crate) progress: Progress,
    pub(crate) gate: Gate<P::Message>,
    pub(crate) executor: Executor<KvStore>,
    /// The last slot that the protocol committed.
    pub(crate) committed: Slot,
    pub(crate) to_apply: VecDeque<(Slot, Batch)>,
    pub(crate) to_apply_bytes: usize,
    pub(crate) apply_scheduled: bool,
    pub(crate) snapshots: BTreeMap<Slot, Image>,
    pub(crate) arrived: VecDeque<Image>,
    pub(crate) wanted_snapshots: Vec<Slot>,
    pub(crate) next_read: u64,
    pub(crate) reads: BTreeMap<ReadId, ReadWait>,
    pub(crate) ready_reads: BTreeMap<(Slot, ReadId), ReadWait>,
    /// Requests that wait to become a batch, and their bytes.
    pub(crate) inbox: Vec<Request>,
    pub(crate) inbox_bytes: usize,
    /// What waits while the replica is busy.
    pub(crate) lanes: Inbox<Event<P>>,
    pub(crate) flush_scheduled: bool,
    pub(crate) builder: BatchBuilder,
    /// Which client waits here for the answer to which request.
    pub(crate) waiting: BTreeMap<(ClientId, RequestSeq), usize>,
    /// How often each request was proposed here, as the leader that this replica still is, and is
    /// not decided.
    pub(crate) proposed: BTreeMap<(ClientId, RequestSeq), u32>,
}

impl<P: Inspect> Running<P> {
    pub(crate) fn new(
        protocol: P,
        executor: Executor<KvStore>,
        snapshot: Option<&Image>,
        setup: &Setup<P::Config>,
    ) -> Self {
        let applied = executor.applied();
        let snapshots = snapshot.map(|image| (image.0.slot, image.clone())).into_iter().collect();
        Self {
            progress: Progress::new(protocol.status(), applied),
            protocol,
            gate: Gate::new(),
            executor,
            committed: applied,
            to_apply: VecDeque::new(),
            to_apply_bytes: 0,
            apply_scheduled: false,
            snapshots,
            arrived: VecDeque::new(),
            wanted_snapshots: Vec::new(),
            next_read: 1,
            reads: BTreeMap::new(),
            ready_reads: BTreeMap::new(),
            inbox: Vec::new(),
            inbox_bytes: 0,
            lanes: Inbox::default(),
            flush_scheduled: false,
            builder: BatchBuilder::new(setup.group),
            waiting: BTreeMap::new(),
            proposed: BTreeMap::new(),
        }
    }
}

//! The replica: its state, its one door, and who handles what.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use quorate_smr::{
    Batch, Digest, Effect, Effects, Input, JournalCursor, Lsn, Protocol, Reads, Reason,
    RecoverError, Recovered, Refused, ReplicaId, Role, Setup, Slot, SnapshotMeta, Status, Time,
};

use crate::auth::PbftAuth;
use crate::blame::Blame;
use crate::certificate::{CheckpointCertificate, SignedNewView, SignedViewChange};
use crate::checkpoint::CheckpointVotes;
use crate::config::{Limits, PbftConfig};
use crate::group::{Group, View};
use crate::message::{Message, Proposal};
use crate::pending::{Executed, Pending};
use crate::record::Record;
use crate::sign::Signer;
use crate::timer::Timers;
use crate::window::Window;

/// What a handler writes to.
pub(crate) type Out = Effects<Message, Record>;

/// One PBFT replica, as a plain value. See the crate's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pbft {
    pub(crate) group: Group,
    pub(crate) limits: Limits,
    pub(crate) signer: Signer,
    pub(crate) cursor: JournalCursor,
    /// Own votes whose records are on their way to the disk, oldest first.
    pub(crate) unsynced: VecDeque<(Lsn, OwnVote)>,

    pub(crate) view: View,
    pub(crate) phase: Phase,
    /// The primary of `view`.
    pub(crate) primary: ReplicaId,
    /// The NEW-VIEW that opened `view`; none in view 0.
    pub(crate) new_view: Option<Arc<SignedNewView>>,
    /// The VIEW-CHANGE for the highest view of each member, by rank. Our own enters when durable.
    pub(crate) changes: Vec<Option<Arc<SignedViewChange>>>,
    /// Our own last VIEW-CHANGE.
    pub(crate) own_change: Option<Arc<SignedViewChange>>,

    pub(crate) log: Window,
    pub(crate) committed: Slot,
    /// As primary: the next slot to assign.
    pub(crate) next_slot: Slot,

    /// The proof of the low watermark; none at slot 0.
    pub(crate) certificate: Option<Arc<CheckpointCertificate>>,
    /// The proof of a stable checkpoint that we have not reached.
    pub(crate) ahead: Option<Arc<CheckpointCertificate>>,
    /// Snapshots above the low watermark that our host took.
    pub(crate) taken: BTreeMap<Slot, SnapshotMeta>,
    pub(crate) checkpoints: BTreeMap<Slot, CheckpointVotes>,
    /// A snapshot that our host is installing.
    pub(crate) installing: Option<Slot>,
    /// How often state was asked for without getting it: whose turn it is to be asked.
    pub(crate) state_asks: u64,
    /// How far we were when we last looked whether state must be asked for.
    pub(crate) state_seen: Slot,

    /// As primary: batches that wait for room in the window.
    pub(crate) queue: VecDeque<Proposal>,
    pub(crate) queue_bytes: usize,
    pub(crate) pending: Pending,
    pub(crate) executed: Executed,
    pub(crate) blame: Blame,

    pub(crate) timers: Timers,
}

/// Whether a view is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Batches are ordered.
    Active,
    /// The NEW-VIEW is awaited; nothing is ordered.
    Changing,
}

/// An own vote, counted once its record is durable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum OwnVote {
    Prepare { view: View, slot: Slot, digest: Digest },
    Commit { view: View, slot: Slot, digest: Digest },
    ViewChange(Arc<SignedViewChange>),
}

impl Pbft {
    /// A replica at the start of view 0.
    pub(crate) fn fresh(setup: &Setup<PbftConfig>, now: Time) -> Result<Self, RecoverError> {
        setup.config.validate()?;
        let group = Group::of(setup)?;
        let limits = setup.config.limits();
        let config = &setup.config;
        let signer = Signer::from_seed(&config.keys.signing_seed(&group)?, config.memo.clone());
        Ok(Self {
            group,
            limits,
            signer,
            cursor: JournalCursor::default(),
            unsynced: VecDeque::new(),
            view: View(0),
            phase: Phase::Active,
            primary: group.primary(View(0)),
            new_view: None,
            changes: vec![None; group.replicas()],
            own_change: None,
            log: Window::new(Slot::ZERO, limits.window),
            committed: Slot::ZERO,
            next_slot: Slot(1),
            certificate: None,
            ahead: None,
            taken: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            installing: None,
            state_asks: 0,
            state_seen: Slot::ZERO,
            queue: VecDeque::new(),
            queue_bytes: 0,
            pending: Pending::default(),
            executed: Executed::default(),
            blame: Blame::default(),
            timers: Timers::new(now, limits.timeout, group.replicas()),
        })
    }

    /// The view that the replica is in, or moves to.
    #[must_use]
    pub const fn view(&self) -> View {
        self.view
    }

    /// Whether the view is open (not waiting for a NEW-VIEW).
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.phase == Phase::Active
    }

    /// What was pre-prepared here in the current view for `slot`, to look at.
    #[must_use]
    pub fn assigned(&self, slot: Slot) -> Option<Digest> {
        self.log.entry(slot)?.round.digest
    }

    /// Whether `slot` prepared here in the current view, to look at.
    #[must_use]
    pub fn is_prepared(&self, slot: Slot) -> bool {
        self.log.entry(slot).is_some_and(|entry| entry.round.prepared)
    }

    /// How long the replica waits at present before it suspects a primary.
    #[must_use]
    pub const fn suspicion_timeout(&self) -> Duration {
        self.timers.timeout
    }

    /// When the replica will suspect its primary; `None` while nothing waits.
    #[must_use]
    pub fn suspicion_deadline(&self) -> Option<Time> {
        self.view_deadline()
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.primary == self.group.me
    }

    pub(crate) fn is_active_primary(&self) -> bool {
        self.is_active() && self.is_primary()
    }

    /// The body of `digest` in `slot`, if it is held; the null request is known to all.
    pub(crate) fn body(&self, slot: Slot, digest: Digest) -> Option<Batch> {
        let held = self.log.entry(slot).and_then(|entry| entry.body(digest)).cloned();
        held.or_else(|| (digest == self.group.null).then(|| Batch::empty(self.group.id)))
    }

    pub(crate) fn role(&self) -> Role {
        match self.phase {
            Phase::Changing => Role::Candidate,
            Phase::Active if self.is_primary() => Role::Leader,
            Phase::Active => Role::Follower,
        }
    }

    pub(crate) fn leader(&self) -> Option<ReplicaId> {
        self.is_active().then_some(self.primary)
    }

    pub(crate) fn announce_role(&self, out: &mut Out) {
        let (role, leader) = (self.role(), self.leader());
        out.push(Effect::RoleChanged { role, epoch: self.view.0, leader });
    }

    fn on_message(&mut self, now: Time, from: ReplicaId, message: Message, out: &mut Out) {
        if !self.group.is_peer(from) {
            return;
        }
        match message {
            Message::PrePrepare { view, slot, proposal } => {
                self.on_pre_prepare(now, from, view, slot, proposal, out);
            }
            Message::Prepare { view, slot, digest } => {
                self.on_prepare(now, from, view, slot, digest, out);
            }
            Message::Commit { view, slot, digest } => {
                self.on_commit(now, from, view, slot, digest, out);
            }
            Message::Request(proposal) => self.on_request(now, from, proposal, out),
            Message::Checkpoint(checkpoint) => self.on_checkpoint(from, &checkpoint, out),
            Message::Stable(certificate) => self.on_stable(&certificate, out),
            Message::ViewChange(change) => self.on_view_change(now, from, &change, out),
            Message::NewView(new_view) => self.on_new_view(now, &new_view, out),
            Message::Status(report) => self.on_status(now, from, &report, out),
            Message::Claims { first, digests } => {
                self.on_claims(now, from, first, &digests, out);
            }
            Message::Fetch { slot, digest } => self.on_fetch(now, from, slot, digest, out),
            Message::Body { slot, proposal } => self.on_body(now, slot, proposal, out),
            Message::FetchState { slot } => self.on_fetch_state(now, from, slot, out),
            // Without the snapshot that it should travel with it says nothing.
            Message::Snapshot(certificate) => self.on_stable(&certificate, out),
        }
    }

    /// Counts our own votes whose records are durable.
    fn count_durable(&mut self, now: Time, out: &mut Out) {
        let durable = self.cursor.durable();
        while self.unsynced.front().is_some_and(|(lsn, _)| *lsn <= durable) {
            if let Some((_, vote)) = self.unsynced.pop_front() {
                self.count_own(now, vote, out);
            }
        }
    }

    fn count_own(&mut self, now: Time, vote: OwnVote, out: &mut Out) {
        let me = self.group.me;
        match vote {
            OwnVote::Prepare { view, slot, digest } => {
                self.on_own_prepare(now, view, slot, digest, out);
            }
            OwnVote::Commit { view, slot, digest } => {
                self.on_commit(now, me, view, slot, digest, out);
            }
            OwnVote::ViewChange(change) => self.count_view_change(now, me, &change, out),
        }
    }
}

impl Protocol for Pbft {
    type Config = PbftConfig;
    type Message = Message;
    type Record = Record;
    type Auth = PbftAuth;

    const NAME: &'static str = "pbft";
    const READS: Reads = Reads::Ordered;

    fn replicas_for(faults: usize) -> usize {
        (3 * faults + 1).max(4)
    }

    /// `f + 1`: one of them is honest (PBFT §4).
    fn reply_quorum(replicas: usize) -> usize {
        replicas.saturating_sub(1) / 3 + 1
    }

    fn authenticator(setup: &Setup<PbftConfig>) -> Result<PbftAuth, RecoverError> {
        PbftAuth::new(setup)
    }

    fn recover(
        setup: Setup<PbftConfig>,
        recovered: Recovered<Record>,
        now: Time,
    ) -> Result<Self, RecoverError> {
        let mut replica = Self::fresh(&setup, now)?;
        replica.rebuild(recovered)?;
        Ok(replica)
    }

    fn handle(&mut self, now: Time, input: Input<Message>, out: &mut Out) {
        match input {
            Input::Message { from, message } => self.on_message(now, from, message, out),
            Input::Durable { upto } => self.cursor.durable_upto(upto),
            Input::Propose { batch } => self.on_propose(now, batch, out),
            Input::Tick => self.on_tick(now, out),
            Input::SnapshotTaken { snapshot } => self.on_snapshot_taken(snapshot, out),
            Input::SnapshotArrived { message, snapshot, .. } => {
                self.on_snapshot_arrived(now, message, snapshot, out);
            }
            Input::SnapshotInstalled { slot } => self.on_snapshot_installed(now, slot, out),
            Input::Read { id } => out.refuse(Refused::Read(id), Reason::Unsupported),
            Input::Admin(admin) => out.refuse(Refused::Admin(admin), Reason::Unsupported),
        }
        self.count_durable(now, out);
        if !self.queue.is_empty() {
            self.pump_queue(now, out);
        }
    }

    fn deadline(&self) -> Option<Time> {
        let status = self.status_deadline();
        Some(self.view_deadline().map_or(status, |view| view.min(status)))
    }

    fn status(&self) -> Status {
        Status {
            replica: self.group.me,
            role: self.role(),
            epoch: self.view.0,
            leader: self.leader(),
            base: self.log.base(),
            committed: self.committed,
            last: self.log.last().max(self.committed),
            held_bytes: self.log.bytes() + self.queue_bytes + self.pending.bytes(),
            held_bytes_max: self.limits.log_bytes_max
                + self.limits.queue_bytes_max
                + self.limits.pending_bytes_max,
        }
    }

    fn retry_after(config: &PbftConfig) -> Duration {
        config.view_change_timeout
    }
}

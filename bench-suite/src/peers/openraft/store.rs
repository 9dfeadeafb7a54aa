//! The log, the state machine and the types of the `openraft` group. Everything is in memory, and
//! the log is purged behind snapshots as the library asks.

use std::collections::VecDeque;
use std::fmt::{Debug, Display, Formatter};
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use ::openraft::impls::{
    BoxedErrorSource, InlineBatch, OneshotResponder, TokioRuntime, Vote, leader_id_adv,
};
use ::openraft::storage::{EntryResponder, IOFlushed, RaftLogStorage, RaftStateMachine};
use ::openraft::type_config::alias::{
    EntryOf, LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf, VoteOf,
};
use ::openraft::vote::RaftLeaderId;
use ::openraft::{
    EntryPayload, LogState, OptionalSend, RaftLogReader, RaftSnapshotBuilder, RaftTypeConfig,
    Snapshot, SnapshotMeta, StoredMembership,
};
use futures_util::{Stream, StreamExt as _};
use parking_lot::Mutex;
use quorate_smr::StateMachine as _;
use quorate_smr::machine::Checksum;

use crate::peers::Application;

/// A command. It travels by reference count.
#[derive(Clone, Debug)]
pub(super) struct Request(pub(super) bytes::Bytes);

impl Display for Request {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// The types of the group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TypeConfig;

impl RaftTypeConfig for TypeConfig {
    type AsyncRuntime = TokioRuntime;
    type Batch<T>
        = InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type D = Request;
    type Entry = ::openraft::Entry<<Self::LeaderId as RaftLeaderId>::Committed, Self::Payload>;
    type ErrorSource = BoxedErrorSource;
    type LeaderId = leader_id_adv::LeaderId<u64, u64>;
    type Node = ();
    type NodeId = u64;
    type Payload = EntryPayload<Request, u64, ()>;
    /// The reply: the checksum itself.
    type R = u64;
    // One answer for each command is all that a client waits for.
    type Responder<T>
        = OneshotResponder<Self, T>
    where
        T: OptionalSend + 'static;
    type Term = u64;
    type Vote = Vote<Self::LeaderId>;
}

type Entry = EntryOf<TypeConfig>;
type LogId = LogIdOf<TypeConfig>;

/// A log in memory: entries without gaps, of which the oldest were purged.
#[derive(Clone, Default)]
pub(super) struct Log {
    inner: Arc<Mutex<LogInner>>,
}

#[derive(Default)]
struct LogInner {
    vote: Option<VoteOf<TypeConfig>>,
    entries: VecDeque<Entry>,
    /// The index of the first entry, or of the next one when there is none.
    first: u64,
    purged: Option<LogId>,
}

impl LogInner {
    /// The place of the entry with that index, or of the first one behind it.
    fn place(&self, index: u64) -> usize {
        (index.saturating_sub(self.first) as usize).min(self.entries.len())
    }
}

impl RaftLogReader<TypeConfig> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let log = self.inner.lock();
        let start = match range.start_bound() {
            Bound::Included(index) => log.place(*index),
            Bound::Excluded(index) => log.place(index + 1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(index) => log.place(index + 1),
            Bound::Excluded(index) => log.place(*index),
            Bound::Unbounded => log.entries.len(),
        };
        Ok(log.entries.range(start..end.max(start)).cloned().collect())
    }

    async fn read_vote(&mut self) -> Result<Option<VoteOf<TypeConfig>>, io::Error> {
        Ok(self.inner.lock().vote)
    }
}

impl RaftLogStorage<TypeConfig> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let log = self.inner.lock();
        let last = log.entries.back().map(|entry| entry.log_id);
        Ok(LogState { last_purged_log_id: log.purged, last_log_id: last.or(log.purged) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<TypeConfig>) -> Result<(), io::Error> {
        self.inner.lock().vote = Some(*vote);
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        {
            let mut log = self.inner.lock();
            for entry in entries {
                if log.entries.is_empty() {
                    log.first = entry.log_id.index;
                }
                log.entries.push_back(entry);
            }
        }
        callback.io_completed(Ok(()));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let mut log = self.inner.lock();
        let kept = log.place(last.map_or(0, |last| last.index + 1));
        log.entries.truncate(kept);
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        let mut log = self.inner.lock();
        let purged = log.place(upto.index + 1);
        log.entries.drain(..purged);
        log.first = upto.index + 1;
        log.purged = Some(upto);
        Ok(())
    }
}

/// The state machine of one node.
#[derive(Clone, Default)]
pub(super) struct Machine {
    inner: Arc<Mutex<MachineInner>>,
}

#[derive(Default)]
struct MachineInner {
    application: Application,
    replies: u64,
    applied: Option<LogId>,
    membership: StoredMembershipOf<TypeConfig>,
    snapshot: Option<SnapshotOf<TypeConfig, Vec<u8>>>,
}

impl Machine {
    /// The replicated state.
    pub(super) fn checksum(&self) -> Checksum {
        self.inner.lock().application.machine().clone()
    }

    /// The sum of all replies that this node computed, whether or not it sent them.
    pub(super) fn sum_of_replies(&self) -> u64 {
        self.inner.lock().replies
    }
}

impl MachineInner {
    fn apply(&mut self, request: &Request) -> u64 {
        let reply = self.application.apply(&request.0);
        let reply = reply.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        self.replies = self.replies.wrapping_add(reply);
        reply
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Machine {
    type SnapshotData = Vec<u8>;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<TypeConfig, Vec<u8>>, io::Error> {
        let mut machine = self.inner.lock();
        let mut image = machine.replies.to_le_bytes().to_vec();
        machine.application.machine().snapshot(&mut image);
        let last_membership = machine.membership.clone();
        let meta = SnapshotMeta { last_log_id: machine.applied, last_membership };
        let snapshot = Snapshot { meta, snapshot: image };
        machine.snapshot = Some(snapshot.clone());
        Ok(snapshot)
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotBuilder = Self;
    type SnapshotData = Vec<u8>;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId>, StoredMembershipOf<TypeConfig>), io::Error> {
        let machine = self.inner.lock();
        Ok((machine.applied, machine.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(entry) = entries.next().await {
            let (entry, responder) = entry?;
            let mut machine = self.inner.lock();
            machine.applied = Some(entry.log_id);
            let mut reply = 0;
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(request) => reply = machine.apply(&request),
                EntryPayload::Membership(members) => {
                    machine.membership = StoredMembership::new(Some(entry.log_id), members);
                }
            }
            drop(machine);
            if let Some(responder) = responder {
                responder.send(reply);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<TypeConfig>,
        image: Vec<u8>,
    ) -> Result<(), io::Error> {
        let (replies, state) =
            image.split_first_chunk::<8>().ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut machine = self.inner.lock();
        machine.application.restore(state).map_err(io::Error::other)?;
        machine.replies = u64::from_le_bytes(*replies);
        machine.applied = meta.last_log_id;
        machine.membership = meta.last_membership.clone();
        machine.snapshot = Some(Snapshot { meta: meta.clone(), snapshot: image });
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<SnapshotOf<TypeConfig, Vec<u8>>>, io::Error> {
        Ok(self.inner.lock().snapshot.clone())
    }
}

//! What travels through the queues between stages.
//!
//! Four classes, each with its own queue at a worker, so that one never starves another: clients
//! (pushes back when full), peers (dropped and counted when full), internal hand-offs between the
//! stages of one node (bounded by acknowledgements, never dropped), and control.

use std::sync::Arc;

use bytes::Bytes;
use quorate_mq::Sender;
use quorate_smr::auth::Authenticator;
use quorate_smr::{
    Admin, Batch, ClientId, Executor, GroupId, Lsn, Protocol, Reason, ReplicaId, RequestSeq, Slot,
    SnapshotMeta, Status, Tag,
};

use crate::chunk::Chunk;
use crate::journal::{JournalCounters, JournalError, Recovery, Snapshot};
use crate::placement::NodeIndex;
use crate::report::{ExecutorReport, ProtocolCounters};

/// A protocol's message with its proof.
pub(crate) type Sealed<P> =
    <<P as Protocol>::Auth as Authenticator<<P as Protocol>::Message>>::Sealed;

/// From a client to the protocol stage of a node.
#[derive(Debug)]
pub(crate) enum ClientMessage {
    Requests { node: NodeIndex, chunk: Chunk },
    Read { node: NodeIndex, query: Query },
}

/// A read that waits for its slot.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) client: ClientId,
    pub(crate) seq: RequestSeq,
    pub(crate) query: Bytes,
}

/// From the protocol stage of one replica to that of another, in the same group.
pub(crate) struct PeerMessage<P: Protocol> {
    pub(crate) to: NodeIndex,
    pub(crate) from: ReplicaId,
    pub(crate) body: PeerBody<P>,
    /// Snapshot bytes that travel along.
    pub(crate) image: Option<Arc<[u8]>>,
}

pub(crate) enum PeerBody<P: Protocol> {
    Value(Sealed<P>),
    Frame(Bytes),
}

impl<P: Protocol> Clone for PeerBody<P> {
    fn clone(&self) -> Self {
        match self {
            Self::Value(sealed) => Self::Value(sealed.clone()),
            Self::Frame(frame) => Self::Frame(frame.clone()),
        }
    }
}

/// A durable step on its way to the journal.
pub(crate) enum Step<R> {
    Append(R),
    Replace(Snapshot, Vec<R>),
}

/// Work for an executor, in order.
pub(crate) enum Apply {
    Commit { slot: Slot, batch: Batch, answer: bool },
    Read { slot: Slot, queries: Vec<Query> },
    TakeSnapshot { slot: Slot },
    Restore { snapshot: Snapshot },
}

/// Between the stages of one node on different workers.
pub(crate) enum Hand<P: Protocol> {
    Write(Vec<Step<P::Record>>),
    Durable(Lsn),
    JournalFailed(JournalError),
    Apply(Vec<Apply>),
    /// One [`Hand::Apply`] is done; that many commits of it were applied.
    Applied(usize),
    SnapshotTaken(Snapshot),
    SnapshotInstalled(Slot),
    /// The executor cannot go on: the replica stops.
    ExecutorFailed(String),
}

/// A hand-off with its address. One from before a crash is recognised by its incarnation.
pub(crate) struct Internal<P: Protocol> {
    pub(crate) node: NodeIndex,
    pub(crate) incarnation: u64,
    pub(crate) hand: Hand<P>,
}

/// From the cluster's handle to a worker.
pub(crate) enum Control<P: Protocol, S> {
    /// Forget what a crash forgets, of every stage of these nodes that lives here.
    Crash {
        nodes: Vec<NodeIndex>,
        done: Sender<()>,
    },
    /// Give back what the journal of `node` holds.
    Reopen {
        node: NodeIndex,
        done: Sender<Result<Recovery<P::Record>, JournalError>>,
    },
    StartJournal {
        node: NodeIndex,
        incarnation: u64,
        done: Sender<()>,
    },
    StartExecutor {
        node: NodeIndex,
        incarnation: u64,
        executor: Box<Executor<S>>,
        done: Sender<()>,
    },
    StartProtocol {
        node: NodeIndex,
        incarnation: u64,
        protocol: Box<P>,
        snapshot: Option<Snapshot>,
        done: Sender<()>,
    },
    Status {
        done: Sender<WorkerView>,
    },
    Admin {
        node: NodeIndex,
        admin: Admin,
        done: Sender<Result<(), Reason>>,
    },
    Stop {
        done: Sender<WorkerView>,
    },
}

/// What a worker says about itself and the stages that it serves.
#[derive(Debug, Default)]
pub(crate) struct WorkerView {
    pub(crate) worker: usize,
    pub(crate) wakeups: u64,
    pub(crate) handed_over: u64,
    /// Nanoseconds on a core, and waiting for one.
    pub(crate) account: Option<(u64, u64)>,
    pub(crate) protocols: Vec<ProtocolView>,
    pub(crate) journals: Vec<(NodeIndex, JournalCounters)>,
    pub(crate) executors: Vec<(NodeIndex, ExecutorReport)>,
}

#[derive(Debug)]
pub(crate) struct ProtocolView {
    pub(crate) node: NodeIndex,
    pub(crate) status: Option<Status>,
    pub(crate) failure: Option<String>,
    /// Requests and committed batches that this stage still has to hand on.
    pub(crate) waiting: usize,
    pub(crate) counters: ProtocolCounters,
}

/// From a replica to a client.
#[derive(Clone, Debug)]
pub(crate) enum Notice {
    /// Answers, encoded one after the other (see [`crate::answer`]).
    Answers { from: ReplicaId, group: GroupId, client: ClientId, bytes: Bytes, tag: Tag },
    /// A session was opened.
    Opened { nonce: RequestSeq, client: ClientId },
    /// Requests were not taken up.
    Refused { from: ReplicaId, group: GroupId, reason: Reason, requests: Vec<RequestSeq> },
}

/// A peer's snapshot as the protocol stage remembers it until it is installed.
pub(crate) fn describe(image: Arc<[u8]>) -> Option<Snapshot> {
    let meta: SnapshotMeta = quorate_smr::executor::describe_snapshot(&image).ok()?;
    Some(Snapshot { meta, image })
}

//! What a cluster is made of, and the reasons why one cannot be started.
//!
//! Every number is checked by [`ClusterConfig::validate`] before a thread or a queue exists; a
//! configuration that passes never panics later.

use std::time::Duration;

use quorate_mq::batcher::BatchPolicy;
use quorate_mq::compress::CompressionPolicy;
use quorate_smr::batch::{BATCH_COMMANDS_MAX, BATCH_RAW_BYTES_MAX};
use quorate_smr::session::{CLIENT_ID_FIRST, SessionLimits};
use quorate_smr::{ClusterId, GroupId, Protocol, REPLICAS_MAX, RecoverError, ReplicaId, Seed};

use crate::journal::JournalError;
use crate::packing::{Packing, PackingError};
use crate::queues::QueueKind;

/// The most groups of one cluster: the placement of keys knows no more shards.
pub const GROUPS_MAX: usize = quorate_mq::partition::SHARDS_MAX;
/// The most worker threads of one cluster.
pub const WORKERS_MAX: usize = 256;
/// The largest capacity of a queue, in messages.
pub const QUEUE_CAPACITY_MAX: usize = 1 << 20;
/// The largest window of a client session, in requests.
pub const SESSION_WINDOW_MAX: usize = 1 << 20;

/// Which threads serve the stages of which replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Everything on one thread: the fewest hand-offs. Right for few cores.
    Inline,
    /// One thread for the protocol and journal stages of all replicas, one for all executors.
    Split,
    /// One thread for each replica.
    PerReplica,
    /// A thread for each stage of each replica: protocol, journal, executor.
    Staged,
    /// The groups spread over [`ClusterConfig::workers`] threads, all replicas of a group together.
    PerGroup,
}

/// How messages cross from replica to replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// As values: what a cluster inside one process needs.
    Values,
    /// As frames: encoded, checksummed, counted and decoded, as on a network.
    Frames,
}

/// What the journal keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JournalFormat {
    /// Records as values. Bytes are not counted.
    Values,
    /// Records as checksummed frames, decoded at recovery. Bytes are counted.
    Frames,
}

/// Limits of the client side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientLimits {
    /// Requests of one client in flight in one group; at most the session window.
    pub window: usize,
    /// Requests that travel to the cluster as one message at most.
    pub chunk_requests: usize,
    /// When a request that was not answered is given up, its outcome unknown.
    pub timeout: Duration,
    /// When an unanswered request is sent again; `None`: what the protocol recommends.
    pub retry_after: Option<Duration>,
    /// Fixed identities that are handed out where clients own keys (PBFT).
    pub fixed: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            window: 4096,
            chunk_requests: 128,
            timeout: Duration::from_secs(10),
            retry_after: None,
            fixed: 16,
        }
    }
}

/// The queues between stages: their algorithm and their capacities. A full queue pushes back on clients; a peer's message
/// that finds one full is dropped and counted, for protocols send again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QueueLimits {
    /// The algorithm of the queues to workers.
    pub kind: QueueKind,
    /// Messages from clients that wait at one worker.
    pub client_messages: usize,
    /// Messages from peers that wait at one worker.
    pub peer_messages: usize,
    /// Answers that wait at one client, in messages of many answers each.
    pub answers: usize,
    /// Requests that wait at one replica of one group to be proposed.
    pub intake_requests: usize,
    /// Bytes of such requests; one message of a client is always taken.
    pub intake_bytes: usize,
    /// Committed batches that wait at one executor before its replica takes no more input.
    pub unapplied_batches: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            kind: QueueKind::default(),
            client_messages: 1024,
            peer_messages: 16_384,
            answers: 8192,
            intake_requests: 65_536,
            intake_bytes: 64 << 20,
            unapplied_batches: 4096,
        }
    }
}

/// Everything that a cluster needs to start.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterConfig<P: Protocol> {
    /// Replicas of each group.
    pub replicas: usize,
    /// Groups; keys are spread over them.
    pub groups: usize,
    /// The protocol's own settings.
    pub protocol: P::Config,
    /// Threads and what they serve.
    pub layout: Layout,
    /// Threads of [`Layout::PerGroup`]; other layouts know their number.
    pub workers: usize,
    /// When batches are cut, and how many may be in flight in one group.
    pub batching: BatchPolicy,
    /// When batches are compressed.
    pub compression: CompressionPolicy,
    /// How they are compressed then.
    pub packing: Packing,
    /// How messages cross.
    pub transport: Transport,
    /// What journals keep.
    pub journal: JournalFormat,
    /// Limits of the session tables.
    pub sessions: SessionLimits,
    /// Limits of clients.
    pub client: ClientLimits,
    /// Capacities of queues.
    pub queues: QueueLimits,
    /// The deployment's name, which frames carry.
    pub cluster: ClusterId,
    /// The source of all randomness.
    pub seed: Seed,
    /// For how long [`crate::Cluster::shutdown`] waits for replicas to reach the same slot.
    pub drain_timeout: Duration,
}

/// One group, batches of what waits with eight in flight, no compression, everything on one
/// thread. In one process compression and further groups lose throughput (`results/`, ablation):
/// the former pays below some Gbit/s of link, the latter where there are cores or machines to
/// spread them over. The window is there for networks, where it covers the round trip.
impl<P: Protocol> Default for ClusterConfig<P> {
    fn default() -> Self {
        Self {
            replicas: P::replicas_for(1),
            groups: 1,
            protocol: P::Config::default(),
            layout: Layout::Inline,
            workers: 1,
            batching: BatchPolicy::adaptive(),
            compression: CompressionPolicy::Off,
            packing: Packing::default(),
            transport: Transport::Values,
            journal: JournalFormat::Values,
            sessions: SessionLimits::default(),
            client: ClientLimits::default(),
            queues: QueueLimits::default(),
            cluster: ClusterId(1),
            seed: Seed(1),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

impl<P: Protocol> ClusterConfig<P> {
    /// The default with another number of replicas.
    #[must_use]
    pub fn with_replicas(replicas: usize) -> Self {
        Self { replicas, ..Self::default() }
    }

    /// Checks everything that can be checked without starting anything.
    ///
    /// # Errors
    /// Names the first setting that is out of range.
    pub fn validate(&self) -> Result<(), StartError> {
        self.validate_size()?;
        self.validate_clients()?;
        in_range("bytes of a batch", self.batching.bytes_max(), 1, BATCH_RAW_BYTES_MAX)?;
        in_range("requests of a batch", self.batching.count_max(), 1, BATCH_COMMANDS_MAX)?;
        in_range("sessions.clients_max", self.sessions.clients_max, 1, usize::MAX)?;
        let queues = &self.queues;
        for (what, value) in [
            ("queues.client_messages", queues.client_messages),
            ("queues.peer_messages", queues.peer_messages),
            ("queues.answers", queues.answers),
            ("queues.intake_requests", queues.intake_requests),
            ("queues.unapplied_batches", queues.unapplied_batches),
        ] {
            in_range(what, value, 1, QUEUE_CAPACITY_MAX)?;
        }
        in_range("queues.intake_bytes", queues.intake_bytes, 1, usize::MAX)?;
        self.packing.compressor(self.compression)?;
        Ok(())
    }

    fn validate_size(&self) -> Result<(), StartError> {
        in_range("replicas", self.replicas, 1, REPLICAS_MAX)?;
        in_range("groups", self.groups, 1, GROUPS_MAX)?;
        in_range("workers", self.workers, 1, WORKERS_MAX)?;
        let threads = match self.layout {
            Layout::Inline | Layout::Split | Layout::PerGroup => 1,
            Layout::PerReplica => self.replicas,
            Layout::Staged => 3 * self.replicas,
        };
        in_range("threads of the layout", threads, 1, WORKERS_MAX)
    }

    fn validate_clients(&self) -> Result<(), StartError> {
        in_range("sessions.window", self.sessions.window, 1, SESSION_WINDOW_MAX)?;
        in_range("client.window", self.client.window, 1, self.sessions.window)?;
        in_range("client.chunk_requests", self.client.chunk_requests, 1, SESSION_WINDOW_MAX)?;
        in_range("client.fixed", self.client.fixed, 0, CLIENT_ID_FIRST as usize - 1)?;
        if self.client.timeout.is_zero() || self.client.retry_after.is_some_and(|d| d.is_zero()) {
            return Err(StartError::ZeroTimeout);
        }
        Ok(())
    }

    /// When a client sends an unanswered request again.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        self.client.retry_after.unwrap_or_else(|| P::retry_after(&self.protocol))
    }
}

/// Why a cluster cannot be started. Nothing runs then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// A number is out of range.
    #[error("{what} is {value}; use {min} to {max}")]
    OutOfRange {
        /// Which setting.
        what: &'static str,
        /// What it was set to.
        value: usize,
        /// The smallest value allowed.
        min: usize,
        /// The largest value allowed.
        max: usize,
    },
    /// A client would give up, or ask again, without waiting at all.
    #[error("client timeouts must be longer than zero")]
    ZeroTimeout,
    /// The protocol refuses its settings, the number of replicas, or its journal.
    #[error("{replica} of {group}: {error}")]
    Replica {
        /// Which replica.
        replica: ReplicaId,
        /// Of which group.
        group: GroupId,
        /// Why.
        error: RecoverError,
    },
    /// A snapshot in the journal does not restore.
    #[error("{replica} of {group}: the journal's snapshot does not restore: {reason}")]
    Snapshot {
        /// Which replica.
        replica: ReplicaId,
        /// Of which group.
        group: GroupId,
        /// Why.
        reason: String,
    },
    /// The journal cannot be read.
    #[error("{replica} of {group}: {error}")]
    Journal {
        /// Which replica.
        replica: ReplicaId,
        /// Of which group.
        group: GroupId,
        /// Why.
        error: JournalError,
    },
    /// Batches cannot be packed as asked for.
    #[error(transparent)]
    Packing(#[from] PackingError),
    /// A queue could not be opened.
    #[error("queue: {0}")]
    Queue(#[from] quorate_mq::CapacityError),
    /// The operating system refused a thread.
    #[error("thread: {0}")]
    Thread(String),
    /// The cluster has been shut down.
    #[error("the cluster has been shut down; start another")]
    Closed,
    /// There is no such replica.
    #[error("{0} is not a replica of this cluster")]
    UnknownReplica(ReplicaId),
}

fn in_range(what: &'static str, value: usize, min: usize, max: usize) -> Result<(), StartError> {
    if value < min || value > max {
        return Err(StartError::OutOfRange { what, value, min, max });
    }
    Ok(())
}

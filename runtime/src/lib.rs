//! Hosts replicas of any protocol inside one process: worker threads, queues between all stages,
//! journals, clients, groups.
//!
//! ```
//! use quorate_raft::Raft;
//! use quorate_runtime::{Cluster, ClusterConfig};
//! use quorate_smr::kv::{KvAnswer, KvCommand, KvStore};
//!
//! // Three replicas of a key-value store, agreeing by Raft.
//! let config = ClusterConfig::<Raft>::default();
//! let cluster = Cluster::start(config, KvStore::default)?;
//! let mut client = cluster.client()?;
//!
//! // A command is applied once, however often it had to be sent.
//! let reply = client.call(b"k", &KvCommand::Put { key: b"k", value: b"v" }.encode())?;
//! assert_eq!(KvAnswer::decode(&reply)?, KvAnswer::Written { existed: false });
//!
//! // A read is linearizable, without going through the log where the protocol allows it.
//! let reply = client.read(b"k", &KvCommand::Get { key: b"k" }.encode())?;
//! assert_eq!(KvAnswer::decode(&reply)?, KvAnswer::Value(Some(b"v")));
//!
//! // The report proves that the replicas agree.
//! let report = cluster.shutdown();
//! report.verify()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The way of a command
//!
//! ```text
//! client ─▶ [mq] ─▶ intake ─▶ protocol ─▶ journal ──┐ durable
//!  submit    chunk    batcher    (pure)    one sync  │
//!    ▲                  ▲          │ ▲ ◀─────────────┘
//!    │                  │          │ └─ [mq] ◀─ peers
//!    └── [mq] ◀─ answers ◀─ executor ◀─ commits
//! ```
//!
//! A client gathers requests into *chunks*, sealed once and kept for retries. The replica that
//! leads copies them straight into the open *batch*, which the batcher cuts at the pace of its
//! window; the sealed batch is what the protocol orders, what the journal keeps and what peers are
//! sent. Answers to one client leave as one buffer for each round. So the cost of a queue, of a
//! message and of an answer is shared by as many commands as were waiting.
//!
//! # Which thread does what
//!
//! [`Layout`] places the stages of all replicas on worker threads. Stages on the same thread hand
//! over by a plain call; across threads always through `quorate-mq`, with one doorbell for each
//! worker. A worker drains its inboxes, settles the nodes that were touched, sends what came of it,
//! and sleeps until its doorbell rings or the earliest deadline of a protocol comes.
//!
//! # What always holds
//!
//! - **Durable before visible**: every message passes [`quorate_smr::Gate`].
//! - **Bounded**: a full queue pushes back on clients; peers' messages that find one full are dropped
//!   and counted. No worker ever blocks on another.
//! - **Exactly once**: a request keeps its number over retries and leaders; an outcome that is not
//!   known in time is [`CallError::Unknown`].
//! - **Nothing is lost at the close**: [`Cluster::shutdown`] finishes what was taken in.
//!
//! Left to others: disks and networks (this crate's journal is in memory, its transport inside the
//! process), and changing the table that places keys.

#![forbid(unsafe_code)]

mod answer;
mod apply;
mod chunk;
mod client;
mod clock;
mod cluster;
mod config;
mod direct;
mod intake;
pub mod journal;
mod message;
mod node;
mod packing;
mod placement;
mod ports;
mod queues;
pub mod report;
mod shared;
mod worker;

pub use client::{
    CallError, Client, ClientError, Completion, Reply, STRICT_CLIENTS_MAX, SubmitError, Ticket,
};
pub use cluster::{Cluster, JournalFactory};
pub use config::{
    ClientLimits, ClusterConfig, GROUPS_MAX, JournalFormat, Layout, QUEUE_CAPACITY_MAX,
    QueueLimits, SESSION_WINDOW_MAX, StartError, Transport, WORKERS_MAX,
};
pub use direct::{Direct, DirectConfig, DirectRecord};
pub use journal::{Journal, MemoryJournal};
pub use packing::{Packing, PackingError};
pub use queues::QueueKind;
pub use report::{ClusterReport, ClusterStatus, NodeReport, VerifyError};

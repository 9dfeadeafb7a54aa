//! Hosts replicas of any protocol: workers, queues, journal, client, groups.

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
mod placement;
mod ports;
pub mod report;
mod shared;
mod worker;

pub use client::{CallError, Client, ClientError, Completion, Reply, SubmitError, Ticket};
pub use cluster::{Cluster, JournalFactory};
pub use config::{
    ClientLimits, ClusterConfig, GROUPS_MAX, JournalFormat, Layout, QUEUE_CAPACITY_MAX,
    QueueLimits, SESSION_WINDOW_MAX, StartError, Transport, WORKERS_MAX,
};
pub use direct::{Direct, DirectConfig, DirectRecord};
pub use journal::{Journal, MemoryJournal};
pub use report::{ClusterReport, ClusterStatus, NodeReport, VerifyError};

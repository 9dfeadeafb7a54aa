//! What a run tells while it is watched: one value for each thing that happened, in order.
//!
//! What always holds: telling changes nothing in the run, and costs a run that nobody watches one
//! branch. [`fmt::Display`] gives the long form, a line with everything; [`crate::chart`] draws the
//! short one.

use std::fmt;

use quorate_smr::{ReplicaId, Role, Slot, To};

/// Something that happened at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceEvent {
    /// Virtual time, in nanoseconds.
    pub at_ns: u64,
    /// What.
    pub what: Happening,
}

/// What happened. Nodes and clients are named by their index; node i hosts replica i, and the
/// second halves of twins follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// The run begins with these replicas, one for each node.
    Begin {
        /// The replica that each node hosts.
        nodes: Vec<ReplicaId>,
    },
    /// A replica says something.
    Says {
        /// The node.
        node: usize,
        /// To whom.
        to: To,
        /// The message in full.
        text: String,
    },
    /// A message leaves for one receiver.
    Leaves {
        /// The sender's node.
        node: usize,
        /// The receiver.
        to: ReplicaId,
        /// The message in a few words.
        label: String,
        /// When copies of it will arrive; none when it is lost.
        arrivals_ns: Vec<u64>,
    },
    /// A message arrives and is taken.
    Arrives {
        /// The receiver's node.
        node: usize,
        /// Who sent it.
        from: ReplicaId,
        /// When it left.
        sent_ns: u64,
        /// The message in a few words.
        label: String,
        /// The message in full.
        text: String,
    },
    /// Something happened at a node.
    Node {
        /// The node.
        node: usize,
        /// What it means for a reader.
        mark: Mark,
        /// What, in words.
        text: String,
    },
    /// Something happened at a client.
    Client {
        /// The client.
        client: usize,
        /// In a few words.
        label: String,
        /// In full.
        text: String,
    },
    /// Something happened to the whole group.
    World {
        /// What, in words.
        text: String,
    },
}

/// What kind of thing happened at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It started, or came back.
    Started,
    /// It lost its memory, or stopped.
    Crashed,
    /// It stands still.
    Paused,
    /// It goes on.
    Resumed,
    /// Its role changed.
    Role(Role),
    /// It committed a slot.
    Committed(Slot),
    /// A request of a client, or the answer to it.
    Request,
    /// Something worth a line.
    Noted,
    /// Something that only the long form shows.
    Detail,
}

impl fmt::Display for TraceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |ns: u64| ns as f64 / 1e6;
        write!(f, "{:>12.4} ms  ", ms(self.at_ns))?;
        match &self.what {
            Happening::Begin { nodes } => write!(f, "begins with {nodes:?}"),
            Happening::Says { node, to, text } => write!(f, "r{node} -> {to:?}: {text}"),
            Happening::Leaves { node, to, label, arrivals_ns } if arrivals_ns.is_empty() => {
                write!(f, "r{node} -> {to}: {label} will not arrive")
            }
            Happening::Leaves { node, to, label, arrivals_ns } => {
                write!(f, "r{node} -> {to}: {label} will arrive at")?;
                arrivals_ns.iter().try_for_each(|at| write!(f, " {:.4} ms", ms(*at)))
            }
            Happening::Arrives { node, from, sent_ns, text, .. } => {
                write!(f, "r{node} <- {from} (sent at {:.4} ms): {text}", ms(*sent_ns))
            }
            Happening::Node { node, text, .. } => write!(f, "r{node} {text}"),
            Happening::Client { client, text, .. } => write!(f, "client {client} {text}"),
            Happening::World { text } => f.write_str(text),
        }
    }
}

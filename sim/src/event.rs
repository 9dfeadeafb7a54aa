//! What can happen in a world.

use std::rc::Rc;

use quorate_smr::protocol::Protocol;
use quorate_smr::{Lsn, ReplicaId, Slot, SnapshotMeta};

use crate::client::{Reply, Request};
use crate::damage::Damage;
use crate::inspect::Sealed;
use crate::storm::{LinkChange, Storm};

/// What travels between replicas.
#[derive(Clone)]
pub(crate) enum Content<P: Protocol> {
    /// A sealed message.
    Sealed(Sealed<P>),
    /// Its frame.
    Frame(Rc<Vec<u8>>),
}

/// A message on its way.
#[derive(Clone)]
pub(crate) struct Parcel<P: Protocol> {
    pub(crate) from: ReplicaId,
    /// Which of two twins sent it.
    pub(crate) twin: Option<u8>,
    pub(crate) content: Content<P>,
    /// Snapshot bytes that travel along.
    pub(crate) snapshot: Option<Rc<Vec<u8>>>,
    /// What was done to the frame on the way.
    pub(crate) damage: Option<Damage>,
    /// When it was sent, in virtual time.
    pub(crate) sent_ns: u64,
}

/// A kind of trouble that comes again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Crash,
    CrashWithinStep,
    Pause,
    Partition,
    Transfer,
}

/// Something that befalls disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskEvent {
    /// Some disk is full from now on.
    Full,
    /// A node's disk has space again.
    Space { node: usize },
    /// The loss with this number in the plan is due.
    Loss { number: usize },
}

/// Something that happens at a moment. Nodes and clients are named by their index.
pub(crate) enum Event<P: Protocol> {
    Deliver {
        node: usize,
        parcel: Box<Parcel<P>>,
    },
    Tick {
        node: usize,
    },
    Synced {
        node: usize,
        incarnation: u32,
        upto: Lsn,
    },
    Apply {
        node: usize,
        incarnation: u32,
    },
    Flush {
        node: usize,
        incarnation: u32,
    },
    SnapshotTaken {
        node: usize,
        incarnation: u32,
        snapshot: SnapshotMeta,
    },
    SnapshotInstalled {
        node: usize,
        incarnation: u32,
        slot: Slot,
    },
    Request {
        node: usize,
        request: Box<Request>,
    },
    Reply {
        client: usize,
        reply: Box<Reply>,
    },
    ClientTimer {
        client: usize,
        generation: u64,
    },
    AskAgain {
        client: usize,
        generation: u64,
    },
    Trouble(Trouble),
    Disk(DiskEvent),
    Storm(Storm),
    Link {
        from: usize,
        to: usize,
        change: LinkChange,
    },
    Free {
        node: usize,
        incarnation: u32,
    },
    Restart {
        node: usize,
        incarnation: u32,
    },
    Resume {
        node: usize,
        pause: u64,
    },
    Mend {
        partition: u64,
    },
    Hunt {
        node: usize,
        incarnation: u32,
    },
    /// A replica with amnesia forgets its journal.
    Forget {
        node: usize,
    },
    /// A misbehaving client does what it does.
    Rogue {
        rogue: usize,
    },
    FaultsEnd,
    Poll,
}

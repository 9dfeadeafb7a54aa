//! What becomes of a request, and why a client or a request may fail.
//!
//! Each error says whether the request may have been applied; only [`CallError::Unknown`] leaves it
//! open.

use bytes::Bytes;
use quorate_smr::batch::COMMAND_BYTES_MAX;
use quorate_smr::{GroupId, Reason, RecoverError, RequestSeq};

/// What the state machine answered.
pub type Reply = Bytes;

/// Names a request of one client until its completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// The group that serves it.
    pub group: GroupId,
    /// Its number in the client's session with that group.
    pub seq: RequestSeq,
}

/// The end of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Which request.
    pub ticket: Ticket,
    /// What became of it.
    pub outcome: Result<Reply, CallError>,
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nobody answered in time, or the answer is gone. The request may have been applied, may be
    /// applied yet, or never will be: read the state to find out.
    #[error("the outcome is unknown: the request may or may not have been applied")]
    Unknown,
    /// The session had expired; the request was not applied. Open another client.
    #[error("the session expired and the request was not applied; open another client")]
    SessionExpired,
    /// The group refused the request; it was not applied.
    #[error("refused: {0}")]
    Refused(Reason),
    /// The request was never sent.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

/// Why a request was not taken for sending. It has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// As many requests as the window allows are in flight: poll for completions first.
    #[error("the window of requests in flight is full; poll for completions first")]
    WindowFull,
    /// The command exceeds the limit.
    #[error("the command has {0} bytes, more than the limit of {COMMAND_BYTES_MAX}")]
    TooLarge(usize),
    /// The session has expired: open another client.
    #[error("the session has expired; open another client")]
    SessionExpired,
    /// The cluster was shut down.
    #[error("the cluster was shut down")]
    Closed,
}

/// Why a client cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No leader answered in time: too few replicas run or reach one another.
    #[error("{0} did not open a session in time; see the cluster's status")]
    NoAnswer(GroupId),
    /// Every identity fixed by the configuration is taken.
    #[error("all {0} client identities are taken; raise client.fixed and the protocol's clients")]
    IdentitiesUsedUp(usize),
    /// Every client holds a handle of each worker's queue, of which there are only so many.
    #[error("{0} clients are open, which is the limit; drop one")]
    TooMany(usize),
    /// The keys are unusable.
    #[error("keys: {0}")]
    Keys(RecoverError),
    /// The queue for answers could not be opened.
    #[error("queue: {0}")]
    Queue(#[from] quorate_mq::CapacityError),
    /// The cluster was shut down.
    #[error("the cluster was shut down")]
    Closed,
}

//! Applies committed batches to a state machine, exactly once for each client request.
//!
//! One [`Executor`] per replica and group. It checks that slots arrive in order, filters
//! repetitions through the [`Sessions`], collects the answers, serves reads at the slot they wait
//! for, and makes and restores snapshots (state machine and sessions together, canonical bytes).

use crate::batch::{Batch, BatchError, Command};
#[cfg(feature = "planted-defects")]
use crate::defect::Defect;
use crate::digest::Digest;
use crate::ids::{ClientId, RequestSeq, Slot};
use crate::machine::{RestoreError, StateMachine};
use crate::protocol::SnapshotMeta;
use crate::session::{Admission, ReplyStatus, SessionLimits, Sessions};

/// The version of the snapshot layout.
const SNAPSHOT_VERSION: u8 = 1;

/// Receives the answers of a batch, in order.
pub trait ReplySink {
    /// `client`'s request `seq` was answered.
    fn reply(&mut self, client: ClientId, seq: RequestSeq, status: ReplyStatus, payload: &[u8]);
}

impl<F: FnMut(ClientId, RequestSeq, ReplyStatus, &[u8])> ReplySink for F {
    fn reply(&mut self, client: ClientId, seq: RequestSeq, status: ReplyStatus, payload: &[u8]) {
        self(client, seq, status, payload);
    }
}

/// Why a batch cannot be applied. The replica must stop: it would diverge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// A slot was skipped or repeated.
    #[error("slot {got} cannot follow slot {applied}; the protocol broke its order")]
    OutOfOrder {
        /// The last slot applied.
        applied: Slot,
        /// The slot that came.
        got: Slot,
    },
    /// The batch does not open.
    #[error("batch at slot {slot}: {error}")]
    Batch {
        /// Where.
        slot: Slot,
        /// What is wrong with it.
        error: BatchError,
    },
}

/// A state machine, its client sessions, and how far it got.
#[derive(Clone, Debug)]
pub struct Executor<S> {
    machine: S,
    sessions: Sessions,
    applied: Slot,
    commands: u64,
    history: u64,
    scratch: Vec<u8>,
    #[cfg(feature = "planted-defects")]
    defect: Option<Defect>,
}

impl<S: StateMachine> Executor<S> {
    /// An executor that has applied nothing.
    #[must_use]
    pub fn new(machine: S, limits: SessionLimits, fixed_clients: &[ClientId]) -> Self {
        Self {
            machine,
            sessions: Sessions::new(limits, fixed_clients),
            applied: Slot::ZERO,
            commands: 0,
            history: 0,
            scratch: Vec::new(),
            #[cfg(feature = "planted-defects")]
            defect: None,
        }
    }

    /// Makes the executor make a mistake.
    #[cfg(feature = "planted-defects")]
    pub const fn plant(&mut self, defect: Defect) {
        self.defect = Some(defect);
    }

    /// Applies `batch` at `slot`, which must follow the last one, and hands its answers to `sink`.
    ///
    /// # Errors
    /// When the order is broken or the batch does not open; nothing was applied then.
    pub fn apply(
        &mut self,
        slot: Slot,
        batch: &Batch,
        sink: &mut impl ReplySink,
    ) -> Result<(), ApplyError> {
        if slot != self.applied.next() {
            return Err(ApplyError::OutOfOrder { applied: self.applied, got: slot });
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        match batch.body(&mut scratch) {
            Ok(body) => body.commands().for_each(|command| self.apply_one(&command, sink)),
            Err(error) => return Err(ApplyError::Batch { slot, error }),
        }
        self.scratch = scratch;
        self.applied = slot;
        self.history = mix(self.history, u64::from(batch.header().checksum), slot.0);
        Ok(())
    }

    #[inline]
    fn apply_one(&mut self, command: &Command<'_>, sink: &mut impl ReplySink) {
        let (client, seq) = (command.client, command.seq);
        if client == ClientId::NONE {
            let opened = self.sessions.open();
            sink.reply(client, seq, ReplyStatus::Opened, &opened.0.to_le_bytes());
            return;
        }
        #[cfg(feature = "planted-defects")]
        if let Some(defect) = self.defect {
            self.sessions.misremember(defect, client, seq);
        }
        match self.sessions.admit(client, seq) {
            Admission::New(reply) => {
                self.machine.apply(command.payload, reply);
                self.commands += 1;
                sink.reply(client, seq, ReplyStatus::Applied, reply);
            }
            Admission::Repeated(reply) => sink.reply(client, seq, ReplyStatus::Applied, reply),
            Admission::Stale => sink.reply(client, seq, ReplyStatus::Stale, &[]),
            Admission::Unknown => sink.reply(client, seq, ReplyStatus::Expired, &[]),
        }
    }

    /// Answers a query from the current state. The caller has waited for the read's slot.
    pub fn query(&self, query: &[u8], reply: &mut Vec<u8>) {
        self.machine.query(query, reply);
    }

    /// The last slot applied.
    #[must_use]
    pub const fn applied(&self) -> Slot {
        self.applied
    }

    /// Commands applied by this incarnation, repetitions not counted.
    #[must_use]
    pub const fn commands(&self) -> u64 {
        self.commands
    }

    /// A running hash over (slot, batch) of everything applied by this incarnation since its
    /// start or its last restored snapshot. Cheap; for [`Executor::state_digest`] see there.
    #[must_use]
    pub const fn history(&self) -> u64 {
        self.history
    }

    /// The state machine, to look at.
    #[must_use]
    pub const fn machine(&self) -> &S {
        &self.machine
    }

    /// The sessions, to look at.
    #[must_use]
    pub const fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The digest of the whole state: state machine and sessions. Equal on all replicas at equal
    /// slots. Cost: a snapshot.
    #[must_use]
    pub fn state_digest(&self) -> Digest {
        self.snapshot().0.digest
    }

    /// A snapshot at [`Executor::applied`]: its description and its canonical bytes.
    #[must_use]
    pub fn snapshot(&self) -> (SnapshotMeta, Vec<u8>) {
        let mut image = vec![SNAPSHOT_VERSION];
        image.extend_from_slice(&self.applied.0.to_le_bytes());
        image.extend_from_slice(&[0; 8]);
        let start = image.len();
        self.sessions.snapshot(&mut image);
        let sessions_bytes = (image.len() - start) as u64;
        image[start - 8..start].copy_from_slice(&sessions_bytes.to_le_bytes());
        self.machine.snapshot(&mut image);
        (describe(self.applied, &image), image)
    }

    /// Becomes the state in `image`.
    ///
    /// # Errors
    /// When the bytes are not a snapshot. The state may be partly replaced only when the state
    /// machine breaks its own promise; otherwise it is unchanged.
    pub fn restore(&mut self, image: &[u8]) -> Result<SnapshotMeta, RestoreError> {
        let (slot, sessions, machine) = split_image(image)?;
        let mut restored = Sessions::new(SessionLimits::default(), &[]);
        restored.restore(sessions)?;
        #[cfg(feature = "planted-defects")]
        if self.defect == Some(Defect::SessionsNotRestored) {
            restored.forget_answers();
        }
        self.machine.restore(machine)?;
        self.sessions = restored;
        self.applied = slot;
        self.history = 0;
        Ok(describe(slot, image))
    }
}

/// Describes the snapshot in `image` without restoring it, as a host does when one arrives.
///
/// # Errors
/// When the bytes are not a snapshot.
pub fn describe_snapshot(image: &[u8]) -> Result<SnapshotMeta, RestoreError> {
    let (slot, ..) = split_image(image)?;
    Ok(describe(slot, image))
}

fn describe(slot: Slot, image: &[u8]) -> SnapshotMeta {
    SnapshotMeta { slot, digest: Digest::of(image), bytes: image.len() as u64 }
}

fn split_image(image: &[u8]) -> Result<(Slot, &[u8], &[u8]), RestoreError> {
    let short = || RestoreError::Malformed("cut short".into());
    let (&version, rest) = image.split_first().ok_or_else(short)?;
    if version != SNAPSHOT_VERSION {
        return Err(RestoreError::Version(version));
    }
    let (slot, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
    let (sessions_bytes, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
    let sessions_bytes =
        usize::try_from(u64::from_le_bytes(*sessions_bytes)).map_err(|_| short())?;
    let (sessions, machine) = rest.split_at_checked(sessions_bytes).ok_or_else(short)?;
    Ok((Slot(u64::from_le_bytes(*slot)), sessions, machine))
}

const fn mix(state: u64, checksum: u64, slot: u64) -> u64 {
    let word = checksum ^ slot.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (state ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchBuilder;
    use crate::ids::GroupId;
    use crate::machine::Checksum;

    fn executor() -> Executor<Checksum> {
        Executor::new(Checksum::default(), SessionLimits::default(), &[ClientId(5)])
    }

    fn batch(requests: &[(u64, u64)]) -> Batch {
        let mut builder = BatchBuilder::new(GroupId(0));
        for (client, seq) in requests {
            let command = Command {
                client: ClientId(*client),
                seq: RequestSeq(*seq),
                payload: b"add",
                auth: &[],
            };
            builder.push(&command).unwrap();
        }
        builder.seal(None)
    }

    type Answers = Vec<(u64, u64, ReplyStatus, Vec<u8>)>;

    fn apply(executor: &mut Executor<Checksum>, slot: u64, requests: &[(u64, u64)]) -> Answers {
        let mut answers = Vec::new();
        let mut sink = |client: ClientId, seq: RequestSeq, status, payload: &[u8]| {
            answers.push((client.0, seq.0, status, payload.to_vec()));
        };
        executor.apply(Slot(slot), &batch(requests), &mut sink).unwrap();
        answers
    }

    #[test]
    fn a_retried_request_is_applied_once_and_answered_alike() {
        let mut executor = executor();
        let first = apply(&mut executor, 1, &[(5, 1)]);
        let again = apply(&mut executor, 2, &[(5, 1), (5, 1)]);
        assert_eq!((first[0].clone(), first[0].clone()), (again[0].clone(), again[1].clone()));
        assert_eq!(executor.machine().applied(), 1);
    }

    #[test]
    fn an_unknown_session_is_told_so_and_nothing_is_applied() {
        let mut executor = executor();
        let answers = apply(&mut executor, 1, &[(77, 1)]);
        assert_eq!(answers[0].2, ReplyStatus::Expired);
        assert_eq!(executor.machine().applied(), 0);
    }

    #[test]
    fn a_session_is_opened_through_the_log() {
        let mut executor = executor();
        let answers = apply(&mut executor, 1, &[(0, 99)]);
        assert_eq!(answers[0].2, ReplyStatus::Opened);
        let client = u64::from_le_bytes(answers[0].3.as_slice().try_into().unwrap());
        assert_eq!(apply(&mut executor, 2, &[(client, 1)])[0].2, ReplyStatus::Applied);
    }

    #[test]
    fn a_skipped_or_repeated_slot_is_refused() {
        let mut executor = executor();
        apply(&mut executor, 1, &[]);
        for slot in [1, 3] {
            let error = executor.apply(Slot(slot), &batch(&[]), &mut |_, _, _, _: &[u8]| ());
            assert!(matches!(error, Err(ApplyError::OutOfOrder { .. })));
        }
    }

    #[test]
    fn a_snapshot_carries_sessions_so_that_a_retry_after_it_is_still_filtered() {
        let mut source = executor();
        let first = apply(&mut source, 1, &[(5, 1)]);
        let (meta, image) = source.snapshot();
        let mut target = executor();
        assert_eq!(target.restore(&image).unwrap(), meta);
        assert_eq!(describe_snapshot(&image).unwrap(), meta);
        assert_eq!(apply(&mut target, 2, &[(5, 1)]), first);
        assert_eq!(target.machine().applied(), 1);
        apply(&mut source, 2, &[(5, 1)]);
        assert_eq!(target.state_digest(), source.state_digest());
    }

    #[test]
    fn a_damaged_snapshot_is_refused_at_every_length() {
        let mut source = executor();
        apply(&mut source, 1, &[(5, 1)]);
        let (_, image) = source.snapshot();
        let mut target = executor();
        for end in 0..image.len() {
            assert!(target.restore(&image[..end]).is_err(), "cut at {end}");
        }
        assert_eq!(target.applied(), Slot::ZERO);
    }
}

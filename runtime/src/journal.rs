//! What a replica remembers over a crash, behind one trait; and the journal that keeps it in memory.
//!
//! What always holds: steps become durable in the order in which they were asked for; a step is
//! durable once [`Journal::sync`] returned a number at or above its own; a compaction or an
//! installation replaces everything before it in one atomic step. Steps are counted from 1 since
//! the journal was opened, exactly as [`quorate_smr::Gate`] counts them.
//!
//! Group commit is the caller's rhythm: it asks for everything that waits, then calls `sync` once.

use std::fmt::Debug;
use std::sync::Arc;

use quorate_smr::protocol::Value;
use quorate_smr::wire::{self, WireError};
use quorate_smr::{ClusterId, GroupId, Lsn, Recovered, ReplicaId, SnapshotMeta};

use crate::config::JournalFormat;

/// A snapshot: what it covers, and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What it covers.
    pub meta: SnapshotMeta,
    /// Its bytes.
    pub image: Arc<[u8]>,
}

/// What a journal gives back after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery<R> {
    /// The newest snapshot, if any.
    pub snapshot: Option<Snapshot>,
    /// The records that follow it.
    pub records: Vec<R>,
}

impl<R> Recovery<R> {
    /// Splits off what the protocol needs.
    #[must_use]
    pub fn into_recovered(self) -> (Option<Snapshot>, Recovered<R>) {
        let meta = self.snapshot.as_ref().map(|snapshot| snapshot.meta);
        (self.snapshot, Recovered { snapshot: meta, records: self.records })
    }
}

/// Why a journal failed. The replica stops: what it promised may be lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// A step cannot be written; no later step was written either.
    #[error("journal cannot write: {0}; the replica stops, start it again from what is durable")]
    Write(String),
    /// What was written does not read back.
    #[error("journal record {index} is damaged: {error}; restore the replica from its peers")]
    Damaged {
        /// Which record, from 0.
        index: usize,
        /// What is wrong with it.
        error: WireError,
    },
}

/// How much a journal was asked to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct JournalCounters {
    /// Records appended.
    pub records: u64,
    /// Bytes of these records; zero where records are kept as values.
    pub bytes: u64,
    /// Times that a group of steps was made durable.
    pub syncs: u64,
    /// Compactions and installations.
    pub replacements: u64,
}

/// The durable memory of one replica in one group.
pub trait Journal<R>: Send + Debug {
    /// Asks for `record` to be appended.
    fn append(&mut self, record: R);

    /// Asks for `snapshot` and `records` to replace everything, in one atomic step.
    fn replace(&mut self, snapshot: Snapshot, records: Vec<R>);

    /// Makes everything asked for so far durable; the number of the last durable step.
    ///
    /// # Errors
    /// When a step could not be written. The journal is poisoned until it is opened again.
    fn sync(&mut self) -> Result<Lsn, JournalError>;

    /// Starts over from what is durable: steps not yet synced are lost, counting starts at 1.
    ///
    /// # Errors
    /// When what was written does not read back.
    fn reopen(&mut self) -> Result<Recovery<R>, JournalError>;

    /// What was asked of it since it was made.
    fn counters(&self) -> JournalCounters;
}

#[derive(Clone, Debug)]
enum Kept<R> {
    Value(R),
    Frame(Box<[u8]>),
}

#[derive(Clone, Debug)]
struct Content<R> {
    snapshot: Option<Snapshot>,
    kept: Vec<Kept<R>>,
}

/// A journal in memory: it outlives a crash of its replica, not of the process.
#[derive(Clone, Debug)]
pub struct MemoryJournal<R> {
    format: JournalFormat,
    cluster: ClusterId,
    group: GroupId,
    replica: ReplicaId,
    /// Everything asked for.
    content: Content<R>,
    /// How many of its records are durable.
    durable_records: usize,
    /// What is durable instead, while a replacement waits for its sync.
    replaced: Option<Content<R>>,
    asked: Lsn,
    failed: Option<JournalError>,
    counters: JournalCounters,
    scratch: Vec<u8>,
}

impl<R: Value> MemoryJournal<R> {
    /// An empty journal of `replica` in `group`.
    #[must_use]
    pub fn new(
        format: JournalFormat,
        cluster: ClusterId,
        group: GroupId,
        replica: ReplicaId,
    ) -> Self {
        Self {
            format,
            cluster,
            group,
            replica,
            content: Content { snapshot: None, kept: Vec::new() },
            durable_records: 0,
            replaced: None,
            asked: Lsn::ZERO,
            failed: None,
            counters: JournalCounters::default(),
            scratch: Vec::new(),
        }
    }

    #[inline]
    fn keep(&mut self, record: R) {
        self.counters.records += 1;
        let kept = match self.format {
            JournalFormat::Values => Kept::Value(record),
            JournalFormat::Frames => self.encode(&record),
        };
        self.content.kept.push(kept);
    }

    fn encode(&mut self, record: &R) -> Kept<R> {
        self.scratch.clear();
        let (cluster, group, replica) = (self.cluster, self.group, self.replica);
        if let Err(error) = wire::encode(cluster, group, replica, record, &mut self.scratch) {
            self.failed = Some(JournalError::Write(error.to_string()));
        }
        self.counters.bytes += self.scratch.len() as u64;
        Kept::Frame(self.scratch.as_slice().into())
    }

    fn read(&self, index: usize) -> Result<R, JournalError> {
        match &self.content.kept[index] {
            Kept::Value(record) => Ok(record.clone()),
            Kept::Frame(frame) => wire::decode(frame, self.cluster)
                .map(|(_, record)| record)
                .map_err(|error| JournalError::Damaged { index, error }),
        }
    }
}

impl<R: Value> Journal<R> for MemoryJournal<R> {
    #[inline]
    fn append(&mut self, record: R) {
        self.keep(record);
        self.asked = self.asked.next();
    }

    fn replace(&mut self, snapshot: Snapshot, records: Vec<R>) {
        self.counters.replacements += 1;
        self.counters.bytes += snapshot.meta.bytes;
        let new = Content { snapshot: Some(snapshot), kept: Vec::new() };
        let mut old = std::mem::replace(&mut self.content, new);
        if self.replaced.is_none() {
            old.kept.truncate(self.durable_records);
            self.replaced = Some(old);
        }
        self.durable_records = 0;
        records.into_iter().for_each(|record| self.keep(record));
        self.asked = self.asked.next();
    }

    fn sync(&mut self) -> Result<Lsn, JournalError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if let Some(Content { mut kept, .. }) = self.replaced.take() {
            // The old buffer goes on, so that it need not grow again.
            kept.clear();
            kept.append(&mut self.content.kept);
            self.content.kept = kept;
        }
        self.counters.syncs += 1;
        self.durable_records = self.content.kept.len();
        Ok(self.asked)
    }

    fn reopen(&mut self) -> Result<Recovery<R>, JournalError> {
        if let Some(replaced) = self.replaced.take() {
            self.durable_records = replaced.kept.len();
            self.content = replaced;
        }
        self.content.kept.truncate(self.durable_records);
        self.asked = Lsn::ZERO;
        self.failed = None;
        let records = (0..self.durable_records).map(|index| self.read(index));
        let records = records.collect::<Result<_, _>>()?;
        Ok(Recovery { snapshot: self.content.snapshot.clone(), records })
    }

    fn counters(&self) -> JournalCounters {
        self.counters
    }
}

#[cfg(test)]
mod tests {
    use quorate_smr::{Digest, Slot};

    use super::*;

    fn journal(format: JournalFormat) -> MemoryJournal<u64> {
        MemoryJournal::new(format, ClusterId(1), GroupId(0), ReplicaId(0))
    }

    fn snapshot(slot: u64) -> Snapshot {
        let image: Arc<[u8]> = Arc::from(&b"state"[..]);
        let meta = SnapshotMeta { slot: Slot(slot), digest: Digest::of(&image), bytes: 5 };
        Snapshot { meta, image }
    }

    #[test]
    fn what_was_not_synced_is_lost_and_what_was_is_not() {
        for format in [JournalFormat::Values, JournalFormat::Frames] {
            let mut journal = journal(format);
            journal.append(1);
            journal.append(2);
            assert_eq!(journal.sync(), Ok(Lsn(2)));
            journal.append(3);
            assert_eq!(journal.reopen().unwrap().records, [1, 2]);
            journal.append(4);
            assert_eq!(journal.sync(), Ok(Lsn(1)), "counting starts over");
            assert_eq!(journal.reopen().unwrap().records, [1, 2, 4]);
        }
    }

    #[test]
    fn a_replacement_leaves_only_its_snapshot_and_records() {
        let mut journal = journal(JournalFormat::Values);
        journal.append(1);
        journal.replace(snapshot(7), vec![8, 9]);
        journal.append(10);
        assert_eq!(journal.sync(), Ok(Lsn(3)));
        let recovery = journal.reopen().unwrap();
        assert_eq!((recovery.snapshot, recovery.records), (Some(snapshot(7)), vec![8, 9, 10]));
    }

    #[test]
    fn a_replacement_that_was_not_synced_never_happened() {
        let mut journal = journal(JournalFormat::Values);
        journal.append(1);
        journal.sync().unwrap();
        journal.append(2);
        journal.replace(snapshot(7), vec![8]);
        journal.append(9);
        let recovery = journal.reopen().unwrap();
        assert_eq!((recovery.snapshot, recovery.records), (None, vec![1]));
    }

    #[test]
    fn a_damaged_frame_is_refused_with_its_place() {
        let mut journal = journal(JournalFormat::Frames);
        journal.append(1);
        journal.append(2);
        journal.sync().unwrap();
        let Kept::Frame(frame) = &mut journal.content.kept[1] else {
            panic!("frames were asked for")
        };
        let last = frame.len() - 1;
        frame[last] ^= 1;
        assert!(matches!(journal.reopen(), Err(JournalError::Damaged { index: 1, .. })));
    }
}

//! A replica's disk: what is durable, and what is on its way there.
//!
//! Steps become durable in order, several with one sync (group commit). A crash keeps a prefix of
//! what was on its way: any prefix, because the disk may have written it without having said so.
//!
//! A disk holds typed values. In some runs it also holds their bytes, in the journal's format
//! ([`bytes`]): then a crash cuts bytes, faults damage bytes, and a replica starts from what its
//! bytes decode to. The typed content remains beside them as what the bytes must say.

mod bytes;
mod damage;

use std::collections::VecDeque;
use std::rc::Rc;

use quorate_smr::journal::{Identity, JournalError};
use quorate_smr::{Lsn, SnapshotMeta};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::dice::Dice;
use crate::plan::Cut;

pub(crate) use bytes::ByteDisk;

/// A snapshot with its bytes, shared between disk, memory and network.
pub(crate) type Image = (SnapshotMeta, Rc<Vec<u8>>);

/// A durable step on its way to the disk.
#[derive(Debug)]
pub(crate) enum Step<R> {
    Append(R),
    Replace(Image, Vec<R>),
}

/// The durable content and the steps behind it.
#[derive(Debug)]
pub(crate) struct Disk<R> {
    pub(crate) snapshot: Option<Image>,
    pub(crate) records: Vec<R>,
    /// The bytes, in runs that keep them.
    pub(crate) bytes: Option<Box<ByteDisk>>,
    pending: VecDeque<Step<R>>,
    /// The last step handed over in this incarnation, and the last durable one.
    appended: Lsn,
    durable: Lsn,
    /// Steps that became durable, over all incarnations.
    lifetime: u64,
    /// How many of the last records were appended one by one, so that a disk can forget them.
    tail: usize,
    pub(crate) syncing: bool,
}

/// What a crash did to the steps that were on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CrashLoss {
    pub(crate) kept: usize,
    pub(crate) lost: usize,
    /// Whether the record that was being written was refused as torn; `None` if none was.
    pub(crate) torn_refused: Option<bool>,
}

/// Why a disk did not give back what it had made durable.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The bytes are refused.
    Refused(JournalError),
    /// The bytes decode to something else: the format is broken.
    Different(String),
}

impl<R: Clone + Eq + std::fmt::Debug + Serialize + DeserializeOwned> Disk<R> {
    /// An empty disk; it keeps bytes if it is given an identity.
    pub(crate) fn new(identity: Option<Identity>) -> Self {
        Self {
            snapshot: None,
            records: Vec::new(),
            bytes: identity.map(|identity| Box::new(ByteDisk::format(identity))),
            pending: VecDeque::new(),
            appended: Lsn::ZERO,
            durable: Lsn::ZERO,
            lifetime: 0,
            tail: 0,
            syncing: false,
        }
    }

    /// Takes a step; it is durable after a later [`Disk::sync`].
    ///
    /// # Errors
    /// When the disk is full; nothing was taken then.
    pub(crate) fn write(&mut self, step: Step<R>) -> Result<(), JournalError> {
        if let Some(bytes) = &mut self.bytes {
            match &step {
                Step::Append(record) => bytes.append(record)?,
                Step::Replace((meta, image), records) => bytes.replace(meta, image, records)?,
            }
        }
        self.appended = self.appended.next();
        self.pending.push_back(step);
        Ok(())
    }

    /// Whether steps wait for a sync.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The last step handed over.
    pub(crate) const fn appended(&self) -> Lsn {
        self.appended
    }

    /// Which of the steps on their way is step `number` of the disk's life, counted from 0.
    pub(crate) fn pending_index(&self, number: u64) -> Option<usize> {
        let index = number.checked_sub(self.lifetime)? as usize;
        (index < self.pending.len()).then_some(index)
    }

    /// Makes all steps up to `upto` durable, and shows each record that became so.
    pub(crate) fn sync(&mut self, upto: Lsn, mut durable: impl FnMut(&R)) {
        if let Some(bytes) = &mut self.bytes {
            bytes.sync((upto.0.saturating_sub(self.durable.0)) as usize);
        }
        while self.durable < upto {
            let step = self.pending.pop_front().expect("a step that was handed over waits");
            if let Step::Append(record) = &step {
                durable(record);
            }
            self.apply(step);
            self.durable = self.durable.next();
        }
    }

    /// Loses all but the first `kept` of the steps on their way, and begins a new incarnation.
    /// `tear` is handed the first record that was lost, and says whether its torn frame is refused.
    /// Bytes are cut as `cut` says; `dice` draws where.
    pub(crate) fn crash(
        &mut self,
        kept: usize,
        cut: Cut,
        dice: &mut Dice,
        mut tear: impl FnMut(&R) -> Option<bool>,
    ) -> CrashLoss {
        let kept = kept.min(self.pending.len());
        if let Some(bytes) = &mut self.bytes {
            bytes.crash(kept, cut, dice);
        }
        for _ in 0..kept {
            let step = self.pending.pop_front().expect("counted above");
            self.apply(step);
        }
        let lost = self.pending.len();
        let torn_refused = match self.pending.front() {
            Some(Step::Append(record)) => tear(record),
            _ => None,
        };
        self.pending.clear();
        self.appended = Lsn::ZERO;
        self.durable = Lsn::ZERO;
        self.syncing = false;
        CrashLoss { kept, lost, torn_refused }
    }

    /// Reads the bytes, if the disk keeps any, and compares them with what was made durable.
    ///
    /// # Errors
    /// When they are refused, or say something else.
    pub(crate) fn open(&mut self) -> Result<(), OpenError> {
        let Some(bytes) = &mut self.bytes else { return Ok(()) };
        let (snapshot, records) = bytes.open::<R>().map_err(OpenError::Refused)?;
        let same = |ours: &Image| matches!(&snapshot, Some((meta, image)) if *meta == ours.0 && *image == *ours.1);
        if records != self.records
            || self.snapshot.as_ref().map_or(snapshot.is_some(), |it| !same(it))
        {
            let detail = format!(
                "the bytes say {:?} and {records:?}, durable were {:?} and {:?}",
                snapshot.map(|(meta, _)| meta),
                self.snapshot.as_ref().map(|(meta, _)| meta),
                self.records
            );
            return Err(OpenError::Different(detail));
        }
        Ok(())
    }

    /// Forgets up to `count` of the last durable records without a trace: the disk had lied about
    /// them. How many.
    pub(crate) fn forget_tail(&mut self, count: usize) -> usize {
        if self.bytes.as_ref().is_some_and(|bytes| bytes.is_ailing()) {
            return 0;
        }
        let count = count.min(self.tail);
        self.tail -= count;
        self.records.truncate(self.records.len() - count);
        if let Some(bytes) = &mut self.bytes {
            bytes.forget_tail(count);
        }
        count
    }

    /// Steps that became durable, over all incarnations.
    pub(crate) const fn lifetime(&self) -> u64 {
        self.lifetime
    }

    /// Steps on their way.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    fn apply(&mut self, step: Step<R>) {
        self.lifetime += 1;
        match step {
            Step::Append(record) => {
                self.records.push(record);
                self.tail += 1;
            }
            Step::Replace(image, records) => {
                self.snapshot = Some(image);
                self.records = records;
                self.tail = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_smr::{Digest, Slot};

    use super::*;

    #[test]
    fn a_crash_keeps_what_was_synced_and_a_prefix_of_the_rest() {
        let mut disk = Disk::new(None);
        for record in 1..=4 {
            disk.write(Step::Append(record)).unwrap();
        }
        disk.sync(Lsn(2), |_| ());
        assert_eq!(disk.records, [1, 2]);
        let loss = disk.crash(1, Cut::Drawn, &mut Dice::new(1, 1), |record| Some(*record == 4));
        assert_eq!(loss, CrashLoss { kept: 1, lost: 1, torn_refused: Some(true) });
        assert_eq!(disk.records, [1, 2, 3]);
        assert_eq!((disk.appended(), disk.is_dirty()), (Lsn::ZERO, false));
    }

    #[test]
    fn a_replacement_is_all_or_nothing() {
        let meta = SnapshotMeta { slot: Slot(9), digest: Digest::of(b"x"), bytes: 1 };
        let mut disk = Disk::new(None);
        disk.write(Step::Append(1)).unwrap();
        disk.sync(Lsn(1), |_| ());
        disk.write(Step::Replace((meta, Rc::new(vec![0])), vec![7, 8])).unwrap();
        disk.crash(0, Cut::Drawn, &mut Dice::new(1, 1), |_| None);
        assert_eq!((disk.records.as_slice(), disk.snapshot.is_some()), (&[1][..], false));
        disk.write(Step::Replace((meta, Rc::new(vec![0])), vec![7, 8])).unwrap();
        disk.sync(Lsn(1), |_| ());
        assert_eq!((disk.records.as_slice(), disk.snapshot.is_some()), (&[7, 8][..], true));
    }
}

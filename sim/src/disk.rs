//! A replica's disk: what is durable, and what is on its way there.
//!
//! Steps become durable in order, several with one sync (group commit). A crash keeps a prefix of
//! what was on its way: any prefix, because the disk may have written it without having said so.

use std::collections::VecDeque;
use std::rc::Rc;

use quorate_smr::{Lsn, SnapshotMeta};

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
    pending: VecDeque<Step<R>>,
    /// The last step handed over in this incarnation, and the last durable one.
    appended: Lsn,
    durable: Lsn,
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

impl<R> Disk<R> {
    pub(crate) const fn new() -> Self {
        Self {
            snapshot: None,
            records: Vec::new(),
            pending: VecDeque::new(),
            appended: Lsn::ZERO,
            durable: Lsn::ZERO,
            syncing: false,
        }
    }

    /// Takes a step; it is durable after a later [`Disk::sync`].
    pub(crate) fn write(&mut self, step: Step<R>) {
        self.appended = self.appended.next();
        self.pending.push_back(step);
    }

    /// Whether steps wait for a sync.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The last step handed over.
    pub(crate) const fn appended(&self) -> Lsn {
        self.appended
    }

    /// Makes all steps up to `upto` durable, and shows each record that became so.
    pub(crate) fn sync(&mut self, upto: Lsn, mut durable: impl FnMut(&R)) {
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
    pub(crate) fn crash(
        &mut self,
        kept: usize,
        mut tear: impl FnMut(&R) -> Option<bool>,
    ) -> CrashLoss {
        let kept = kept.min(self.pending.len());
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

    /// Steps on their way.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    fn apply(&mut self, step: Step<R>) {
        match step {
            Step::Append(record) => self.records.push(record),
            Step::Replace(image, records) => {
                self.snapshot = Some(image);
                self.records = records;
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
        let mut disk = Disk::new();
        for record in 1..=4 {
            disk.write(Step::Append(record));
        }
        disk.sync(Lsn(2), |_| ());
        assert_eq!(disk.records, [1, 2]);
        let loss = disk.crash(1, |record| Some(*record == 4));
        assert_eq!(loss, CrashLoss { kept: 1, lost: 1, torn_refused: Some(true) });
        assert_eq!(disk.records, [1, 2, 3]);
        assert_eq!((disk.appended(), disk.is_dirty()), (Lsn::ZERO, false));
    }

    #[test]
    fn a_replacement_is_all_or_nothing() {
        let meta = SnapshotMeta { slot: Slot(9), digest: Digest::of(b"x"), bytes: 1 };
        let mut disk = Disk::new();
        disk.write(Step::Append(1));
        disk.sync(Lsn(1), |_| ());
        disk.write(Step::Replace((meta, Rc::new(vec![0])), vec![7, 8]));
        disk.crash(0, |_| None);
        assert_eq!((disk.records.as_slice(), disk.snapshot.is_some()), (&[1][..], false));
        disk.write(Step::Replace((meta, Rc::new(vec![0])), vec![7, 8]));
        disk.sync(Lsn(1), |_| ());
        assert_eq!((disk.records.as_slice(), disk.snapshot.is_some()), (&[7, 8][..], true));
    }
}

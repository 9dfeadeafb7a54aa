//! A disk's bytes in the journal's format, and what a crash leaves of a sync.
//!
//! The writes of a sync happen in order: the frames of its steps, then their identifiers, then the
//! removal of replaced generations. A crash keeps a prefix of these writes, cut anywhere, and may
//! leave garbage behind the cut up to the end of the sector.

use std::collections::{BTreeMap, VecDeque};

use quorate_smr::SnapshotMeta;
use quorate_smr::journal::{
    self, Generation, GenerationBytes, Identity, JournalError, Place, Repair, Step, Writer,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::dice::Dice;
use crate::plan::Cut;

/// What a disk writes as a whole, in bytes.
const SECTOR_BYTES: usize = 512;
/// Bytes of an identifier.
const IDENTIFIER_BYTES: usize = 32;

/// A snapshot with its bytes, and the records that follow it.
pub(super) type Content<R> = (Option<(SnapshotMeta, Vec<u8>)>, Vec<R>);

/// The areas of one generation.
#[derive(Clone, Debug, Default)]
pub(super) struct Areas {
    pub(super) steps: Vec<u8>,
    pub(super) identifiers: Vec<u8>,
}

/// Where a durable step is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) place: Place,
    pub(super) offset: usize,
    pub(super) bytes: usize,
}

/// The bytes of one disk.
#[derive(Clone, Debug)]
pub(crate) struct ByteDisk {
    pub(super) identity: Identity,
    pub(super) identity_area: Vec<u8>,
    pub(super) generations: BTreeMap<Generation, Areas>,
    /// The end of the journal; `None` from a crash until the disk is opened again.
    writer: Option<Writer>,
    pending: VecDeque<Step>,
    /// How much may be written beyond the present size; `None`: no limit.
    room: Option<u64>,
    /// What the host was told is durable, and is not.
    lie: Lie,
    /// Whether it was damaged since it was opened, in a way that will be mended.
    ailing: bool,
}

/// A sync that was reported and did not take place.
#[derive(Clone, Debug)]
enum Lie {
    None,
    /// The next sync will be one.
    Armed,
    /// These steps are not on the disk; nothing that follows them is, either.
    Told(Vec<Step>),
    /// Later steps are: there is a gap.
    Gap,
}

impl ByteDisk {
    /// The disk of a new replica.
    pub(super) fn format(identity: Identity) -> Self {
        let (writer, steps) = Writer::format(identity);
        let areas = Areas { steps, identifiers: Vec::new() };
        Self {
            identity,
            identity_area: journal::format_identity(&identity),
            generations: BTreeMap::from([(Generation::FIRST, areas)]),
            writer: Some(writer),
            pending: VecDeque::new(),
            room: None,
            lie: Lie::None,
            ailing: false,
        }
    }

    /// Notes damage that the next opening mends. Until then nothing else may be damaged: two faults
    /// at one step can look like a crash.
    pub(super) const fn ail(&mut self) {
        self.ailing = true;
    }

    /// Whether something waits to be mended.
    pub(super) const fn is_ailing(&self) -> bool {
        self.ailing
    }

    fn writer(&mut self) -> &mut Writer {
        self.writer.as_mut().expect("a replica runs only on a disk that was opened")
    }

    pub(super) fn append<R: Serialize>(&mut self, record: &R) -> Result<(), JournalError> {
        let step = self.writer().append(record)?;
        self.pending.push_back(step);
        Ok(())
    }

    pub(super) fn replace<R: Serialize>(
        &mut self,
        meta: &SnapshotMeta,
        image: &[u8],
        records: &[R],
    ) -> Result<(), JournalError> {
        let step = self.writer().replace(meta, image, records)?;
        self.pending.push_back(step);
        Ok(())
    }

    /// Carries out the writes of the first `count` steps, or only says so.
    pub(super) fn sync(&mut self, count: usize) {
        let steps: Vec<_> = self.pending.drain(..count).collect();
        let appends = steps.iter().all(|step| !step.begins_generation);
        if matches!(self.lie, Lie::Armed) && appends && !steps.is_empty() {
            self.lie = Lie::Told(steps);
            return;
        }
        let Some(last) = steps.last().map(|step| step.generation) else { return };
        self.write_frames(&steps);
        self.write_identifiers(&steps);
        self.generations.retain(|generation, _| *generation >= last);
        self.note_writes(appends);
    }

    /// After a lie, steps that follow leave a gap, and a replacement makes good.
    fn note_writes(&mut self, appends: bool) {
        if matches!(self.lie, Lie::Told(_) | Lie::Gap) {
            self.lie = if appends { Lie::Gap } else { Lie::None };
        }
    }

    fn write_frames(&mut self, steps: &[Step]) {
        for step in steps {
            let areas = self.generations.entry(step.generation).or_default();
            put(&mut areas.steps, step.offset as usize, &step.frames);
        }
    }

    fn write_identifiers(&mut self, steps: &[Step]) {
        for step in steps {
            let areas = self.generations.entry(step.generation).or_default();
            put(&mut areas.identifiers, step.identifier_offset as usize, &step.identifier);
        }
    }

    /// The power goes: the frames of `kept` steps were written; `cut` says what else was.
    pub(super) fn crash(&mut self, kept: usize, cut: Cut, dice: &mut Dice) {
        let mut steps: Vec<_> = self.pending.drain(..).collect();
        let torn = (kept < steps.len()).then(|| steps.swap_remove(kept));
        steps.truncate(kept);
        self.write_frames(&steps);
        match torn {
            Some(step) => self.tear(&step, cut, dice),
            None => self.cut_identifiers(&steps, cut, dice),
        }
        if !steps.is_empty() {
            self.note_writes(steps.iter().all(|step| !step.begins_generation));
        }
        match std::mem::replace(&mut self.lie, Lie::None) {
            Lie::Told(untold) => {
                // Nothing later is there that would show the lie. This disk had written it after
                // all; one that forgets its end is another fault.
                self.write_frames(&untold);
                self.write_identifiers(&untold);
            }
            Lie::Gap => self.lie = Lie::Gap,
            Lie::Armed | Lie::None => {}
        }
        self.writer = None;
    }

    /// Writes the beginning of a step, perhaps with garbage behind it.
    fn tear(&mut self, step: &Step, cut: Cut, dice: &mut Dice) {
        let written = match cut {
            Cut::Before => return,
            Cut::Torn | Cut::Garbled => dice.between(1, step.frames.len() as u64) as usize,
            _ => dice.index(step.frames.len()),
        };
        let garbled = cut == Cut::Garbled || cut == Cut::Drawn && dice.chance(300_000);
        let mut bytes = step.frames[..written].to_vec();
        if garbled {
            // The byte at the cut differs, or a step cut before its last byte might become whole.
            bytes.push(step.frames[written] ^ (1 + dice.below(255) as u8));
            let end = (step.offset as usize + bytes.len()).next_multiple_of(SECTOR_BYTES);
            let garbage = end - step.offset as usize - bytes.len();
            bytes.extend((0..garbage).map(|_| dice.below(256) as u8));
        }
        if !bytes.is_empty() {
            let areas = self.generations.entry(step.generation).or_default();
            put(&mut areas.steps, step.offset as usize, &bytes);
        }
    }

    /// Writes the beginning of the identifiers of `steps`.
    fn cut_identifiers(&mut self, steps: &[Step], cut: Cut, dice: &mut Dice) {
        let whole = steps.len() * IDENTIFIER_BYTES;
        let written = match cut {
            Cut::After => whole,
            Cut::BeforeIdentifier => 0,
            _ => dice.index(whole + 1),
        };
        let count = written / IDENTIFIER_BYTES;
        self.write_identifiers(&steps[..count]);
        if let Some(step) = steps.get(count) {
            let areas = self.generations.entry(step.generation).or_default();
            let part = &step.identifier[..written % IDENTIFIER_BYTES];
            put(&mut areas.identifiers, step.identifier_offset as usize, part);
        }
    }

    /// Reads the journal, mends what may be mended, and makes it ready for new steps.
    pub(super) fn open<R: DeserializeOwned>(&mut self) -> Result<Content<R>, JournalError> {
        let areas = self.generations.iter().map(|(generation, areas)| GenerationBytes {
            generation: *generation,
            steps: &areas.steps,
            identifiers: &areas.identifiers,
        });
        let areas: Vec<_> = areas.collect();
        let opened = journal::open(&self.identity, &self.identity_area, &areas)?;
        self.mend(&opened.repairs);
        self.ailing = false;
        let mut writer = opened.writer;
        writer.limit(self.room.map(|room| writer.bytes() + room));
        self.writer = Some(writer);
        Ok((opened.snapshot, opened.records))
    }

    fn mend(&mut self, repairs: &[Repair]) {
        for repair in repairs {
            match repair {
                Repair::Identity { offset, bytes } => {
                    put(&mut self.identity_area, *offset as usize, bytes);
                }
                Repair::Truncate { generation, bytes } => {
                    self.areas(*generation).steps.truncate(*bytes as usize);
                }
                Repair::Identifier { generation, offset, bytes } => {
                    put(&mut self.areas(*generation).identifiers, *offset as usize, bytes);
                }
                Repair::Remove { generation } => {
                    self.generations.remove(generation);
                }
            }
        }
    }

    fn areas(&mut self, generation: Generation) -> &mut Areas {
        self.generations.entry(generation).or_default()
    }

    /// From now on `room` more bytes fit; `None`: no limit.
    pub(crate) fn limit(&mut self, room: Option<u64>) {
        self.room = room;
        if let Some(writer) = &mut self.writer {
            writer.limit(room.map(|room| writer.bytes() + room));
        }
    }

    /// Whether it has a limit.
    pub(crate) const fn is_limited(&self) -> bool {
        self.room.is_some()
    }

    /// Lets the next sync be a lie.
    pub(crate) fn arm_lie(&mut self) {
        self.lie = Lie::Armed;
    }

    /// Whether a lie is armed, told, or shows.
    pub(crate) const fn is_lying(&self) -> bool {
        !matches!(self.lie, Lie::None)
    }

    /// Whether steps are missing in front of later ones.
    pub(crate) const fn has_gap(&self) -> bool {
        matches!(self.lie, Lie::Gap)
    }

    /// The durable steps of the present generation; not asked while there is a gap.
    pub(super) fn extents(&self) -> Vec<Extent> {
        let Some((_, areas)) = self.generations.last_key_value() else { return Vec::new() };
        let long = |bytes: &[u8], at: usize| {
            u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
        };
        let identifiers = areas.identifiers.chunks_exact(IDENTIFIER_BYTES);
        let extents = identifiers.map(|identifier| Extent {
            place: Place(long(identifier, 0)),
            offset: long(identifier, 8) as usize,
            bytes: long(identifier, 16) as usize,
        });
        extents.collect()
    }

    /// Cuts off the last `count` steps and their identifiers.
    pub(super) fn forget_tail(&mut self, count: usize) {
        let extents = self.extents();
        if count == 0 || extents.len() < count {
            return;
        }
        let remaining = extents.len() - count;
        let offset = extents[remaining].offset;
        let Some(mut areas) = self.generations.last_entry() else { return };
        areas.get_mut().steps.truncate(offset);
        areas.get_mut().identifiers.truncate(remaining * IDENTIFIER_BYTES);
    }
}

/// Writes `bytes` at `offset`; what lies between the end and `offset` becomes a hole of zeros.
pub(super) fn put(area: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if area.len() < end {
        area.resize(end, 0);
    }
    area[offset..end].copy_from_slice(bytes);
}

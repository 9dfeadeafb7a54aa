//! From bytes to what is recovered, or to the reason why nothing is.

use serde::de::DeserializeOwned;

use super::error::{Flaw, JournalError, Proof};
use super::frame::{AREA_HEADER_BYTES, IDENTIFIER_BYTES, Identifier, Kind, Sealer};
use super::identity::{Identity, check_identity};
use super::writer::Writer;
use super::{Generation, Place};
use crate::protocol::SnapshotMeta;

/// The areas of one generation, as the host finds them.
#[derive(Clone, Copy, Debug)]
pub struct GenerationBytes<'a> {
    /// Which.
    pub generation: Generation,
    /// The steps area.
    pub steps: &'a [u8],
    /// The identifiers area; empty when there is none.
    pub identifiers: &'a [u8],
}

/// What the host changes, and syncs, before it writes the first new step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Write `bytes` at `offset` of the identity area: a copy was damaged.
    Identity {
        /// Where.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// Cut the steps area to `bytes`: what follows was torn in a crash.
    Truncate {
        /// Whose area.
        generation: Generation,
        /// Bytes that remain.
        bytes: u64,
    },
    /// Write `bytes` at `offset` of the identifiers area: the crash came before, or it was damaged.
    Identifier {
        /// Whose area.
        generation: Generation,
        /// Where.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// Remove both areas: replaced, or torn before they replaced anything.
    Remove {
        /// Whose areas.
        generation: Generation,
    },
}

/// A sound journal.
#[derive(Clone, Debug)]
pub struct Opened<R> {
    /// The snapshot with its bytes.
    pub snapshot: Option<(SnapshotMeta, Vec<u8>)>,
    /// The records that follow it.
    pub records: Vec<R>,
    /// What the host mends first.
    pub repairs: Vec<Repair>,
    /// Goes on where the journal ends.
    pub writer: Writer,
}

/// Reads the journal of `identity`: its identity area and all generations that exist.
///
/// Memory grows with the bytes at hand, never with a length that they declare.
///
/// # Errors
/// Every [`JournalError`] but those of writing; the replica must not start.
pub fn open<R: DeserializeOwned>(
    identity: &Identity,
    identity_area: &[u8],
    generations: &[GenerationBytes<'_>],
) -> Result<Opened<R>, JournalError> {
    let mut repairs = Vec::new();
    if let Some((offset, bytes)) = check_identity(identity_area, identity)? {
        repairs.push(Repair::Identity { offset, bytes });
    }
    let mut sorted = generations.to_vec();
    sorted.sort_by_key(|bytes| std::cmp::Reverse(bytes.generation));
    let highest = sorted.first().ok_or(JournalError::NoSteps)?.generation;
    for (index, area) in sorted.iter().enumerate() {
        let (generation, older) = (area.generation, &sorted[index + 1..]);
        let Some(read) = Read::<R>::generation(identity, *area, !older.is_empty())? else {
            repairs.push(Repair::Remove { generation });
            continue;
        };
        repairs.extend(older.iter().map(|area| Repair::Remove { generation: area.generation }));
        repairs.extend(read.repairs);
        let places = (read.first, read.next);
        let offset = read.offset as u64;
        return Ok(Opened {
            snapshot: read.snapshot,
            records: read.records,
            repairs,
            writer: Writer::resume(*identity, generation, highest, places, offset),
        });
    }
    Err(JournalError::NoSteps)
}

/// A step all of whose frames are whole.
struct WholeStep<'a> {
    parts: Vec<(Kind, &'a [u8])>,
    /// Where it ends in the steps area.
    end: usize,
    /// The checksum over its headers.
    checksum: u32,
}

/// What was read of one generation so far.
struct Read<'a, R> {
    sealer: Sealer,
    area: GenerationBytes<'a>,
    first: Place,
    next: Place,
    /// Where the next step should begin.
    offset: usize,
    snapshot: Option<(SnapshotMeta, Vec<u8>)>,
    records: Vec<R>,
    repairs: Vec<Repair>,
}

impl<'a, R: DeserializeOwned> Read<'a, R> {
    /// Reads one generation; `None` if it was torn before it replaced the one before it.
    fn generation(
        identity: &Identity,
        area: GenerationBytes<'a>,
        has_predecessor: bool,
    ) -> Result<Option<Self>, JournalError> {
        let sealer = Sealer::new(identity, area.generation);
        let proven = highest_identifier(&sealer, area.identifiers);
        let Some(first) = sealer.open_area(area.steps) else {
            let durable = proven.is_some() || sealer.find_later(area.steps, Place(0)).is_some();
            if durable || !has_predecessor {
                return Err(JournalError::Header { generation: area.generation.0 });
            }
            return Ok(None);
        };
        let mut read = Self {
            sealer,
            area,
            first,
            next: first,
            offset: AREA_HEADER_BYTES,
            snapshot: None,
            records: Vec::new(),
            repairs: Vec::new(),
        };
        while let Some(end) = read.step(proven)? {
            read.offset = end;
            read.next = read.next.next();
        }
        let replaces = area.generation != Generation::FIRST;
        if replaces && read.next == first {
            return match has_predecessor {
                true => Ok(None),
                false => Err(read.damaged(Flaw::Short, Proof::NoPredecessor)),
            };
        }
        Ok(Some(read))
    }

    /// Reads the next step; where it ends, or `None` at the journal's end.
    fn step(&mut self, proven: Option<Place>) -> Result<Option<usize>, JournalError> {
        match self.frames() {
            Ok(step) => {
                let length = (step.end - self.offset) as u64;
                self.check_identifier(length, step.checksum)?;
                self.take(&step.parts)?;
                Ok(Some(step.end))
            }
            Err(Flaw::Astray(found)) => {
                let (expected, offset) = (self.next, self.offset as u64);
                Err(JournalError::Misplaced { expected, found, offset })
            }
            Err(flaw) => {
                let rest = &self.area.steps[self.offset..];
                let identified = proven.filter(|place| *place >= self.next);
                let later = || self.sealer.find_later(rest, self.next).map(Proof::LaterStep);
                if let Some(proof) = identified.map(Proof::Identifier).or_else(later) {
                    return Err(self.damaged(flaw, proof));
                }
                if !rest.is_empty() {
                    let (generation, bytes) = (self.area.generation, self.offset as u64);
                    self.repairs.push(Repair::Truncate { generation, bytes });
                }
                Ok(None)
            }
        }
    }

    const fn damaged(&self, flaw: Flaw, proof: Proof) -> JournalError {
        let (place, offset) = (self.next, self.offset as u64);
        match flaw {
            Flaw::Hole | Flaw::Short if self.area.steps.len() == self.offset => {
                JournalError::Gap { place, offset, proof }
            }
            Flaw::Hole => JournalError::Gap { place, offset, proof },
            _ => JournalError::Rot { place, offset, flaw, proof },
        }
    }

    /// The next step, if all its frames are whole.
    fn frames(&self) -> Result<WholeStep<'a>, Flaw> {
        let mut parts = Vec::new();
        let (mut at, mut headers, mut expected) = (self.offset, 0, None);
        loop {
            let (frame, body) = self.sealer.open_frame(&self.area.steps[at..], &mut headers)?;
            if frame.place != self.next {
                return Err(Flaw::Astray(frame.place));
            }
            if frame.part != parts.len() as u32
                || *expected.get_or_insert(frame.parts) != frame.parts
            {
                return Err(Flaw::Impossible);
            }
            at += super::frame::FRAME_HEADER_BYTES + body.len();
            parts.push((frame.kind, body));
            if frame.part + 1 == frame.parts {
                return Ok(WholeStep { parts, end: at, checksum: headers });
            }
        }
    }

    /// Compares the step with its identifier, if that is whole; has it written if not.
    fn check_identifier(&mut self, bytes: u64, checksum: u32) -> Result<(), JournalError> {
        let place = self.next;
        let ours = Identifier { place, offset: self.offset as u64, bytes, checksum };
        let slot = (place.0 - self.first.0) as usize * IDENTIFIER_BYTES;
        let found = self.area.identifiers.get(slot..);
        match found.and_then(|found| self.sealer.open_identifier(found)) {
            Some(found) if found == ours => {}
            Some(found) if found.place == place => return Err(JournalError::Conflict { place }),
            _ => self.repairs.push(Repair::Identifier {
                generation: self.area.generation,
                offset: slot as u64,
                bytes: self.sealer.identifier(&ours).to_vec(),
            }),
        }
        Ok(())
    }

    /// Takes the content of a whole step.
    fn take(&mut self, parts: &[(Kind, &[u8])]) -> Result<(), JournalError> {
        let place = self.next;
        let malformed = |what| Err(JournalError::Malformed { place, what });
        let replaces = self.area.generation != Generation::FIRST && place == self.first;
        if !replaces {
            return match parts {
                [(Kind::Record, body)] => {
                    self.records.push(decode(place, body)?);
                    Ok(())
                }
                _ => malformed("an appended step is one record"),
            };
        }
        let [(Kind::Snapshot, body), rest @ ..] = parts else {
            return malformed("a generation begins with a snapshot");
        };
        let meta: SnapshotMeta = decode(place, body)?;
        let chunks = rest.iter().take_while(|(kind, _)| *kind == Kind::Chunk).count();
        let image: Vec<u8> = rest[..chunks].iter().flat_map(|(_, body)| *body).copied().collect();
        if image.len() as u64 != meta.bytes {
            return malformed("the snapshot has another size than it says");
        }
        for (kind, body) in &rest[chunks..] {
            if *kind != Kind::Kept {
                return malformed("only records follow the snapshot");
            }
            self.records.push(decode(place, body)?);
        }
        self.snapshot = Some((meta, image));
        Ok(())
    }
}

/// The highest place that an identifier proves, wherever it stands.
fn highest_identifier(sealer: &Sealer, identifiers: &[u8]) -> Option<Place> {
    let slots = identifiers.chunks_exact(IDENTIFIER_BYTES);
    slots.filter_map(|slot| sealer.open_identifier(slot)).map(|found| found.place).max()
}

fn decode<T: DeserializeOwned>(place: Place, body: &[u8]) -> Result<T, JournalError> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(JournalError::Malformed { place, what: "bytes follow a record" }),
        Err(error) => Err(JournalError::Record { place, error }),
    }
}

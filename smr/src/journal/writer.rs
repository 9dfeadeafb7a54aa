//! From durable steps to bytes.

use serde::Serialize;

use super::error::JournalError;
use super::frame::{
    AREA_HEADER_BYTES, CHUNK_BYTES_MAX, FrameHeader, IDENTIFIER_BYTES, Identifier, Kind, PARTS_MAX,
    RECORD_BYTES_MAX, Sealer,
};
use super::identity::Identity;
use super::{Generation, Place};
use crate::protocol::SnapshotMeta;

/// The bytes of one durable step, and where they belong.
///
/// Of all steps of a sync, a host writes first the frames, then the identifiers, then it syncs,
/// and only then removes the generations before that of a step with [`Step::begins_generation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its number.
    pub place: Place,
    /// Whose areas it goes to.
    pub generation: Generation,
    /// Whether it is the first of its generation: the areas are created with it.
    pub begins_generation: bool,
    /// Where in the steps area `frames` go.
    pub offset: u64,
    /// The frames; in front of them the area's header if the step begins its generation.
    pub frames: Vec<u8>,
    /// Where in the identifiers area `identifier` goes.
    pub identifier_offset: u64,
    /// The identifier.
    pub identifier: [u8; IDENTIFIER_BYTES],
}

/// Where a journal ends, and so where its next step goes.
#[derive(Clone, Debug)]
pub struct Writer {
    identity: Identity,
    sealer: Sealer,
    generation: Generation,
    /// The number of the next generation: above all that were ever seen.
    next_generation: Generation,
    first: Place,
    next: Place,
    /// Bytes of the steps area.
    offset: u64,
    bytes_max: Option<u64>,
}

impl Writer {
    /// The journal of a new disk, with the bytes of its first steps area.
    ///
    /// The host writes these and syncs, then writes the identity and syncs again; before that the
    /// disk counts as unformatted.
    #[must_use]
    pub fn format(identity: Identity) -> (Self, Vec<u8>) {
        let sealer = Sealer::new(&identity, Generation::FIRST);
        let area = sealer.area_header(Place::FIRST).to_vec();
        let writer = Self {
            identity,
            sealer,
            generation: Generation::FIRST,
            next_generation: Generation(Generation::FIRST.0 + 1),
            first: Place::FIRST,
            next: Place::FIRST,
            offset: area.len() as u64,
            bytes_max: None,
        };
        (writer, area)
    }

    /// A writer that goes on behind what was read.
    pub(super) fn resume(
        identity: Identity,
        generation: Generation,
        highest: Generation,
        (first, next): (Place, Place),
        offset: u64,
    ) -> Self {
        Self {
            identity,
            sealer: Sealer::new(&identity, generation),
            generation,
            next_generation: Generation(highest.0 + 1),
            first,
            next,
            offset,
            bytes_max: None,
        }
    }

    /// Limits the bytes of all areas that exist at one time; `None`: no limit but the disk's.
    pub const fn limit(&mut self, bytes_max: Option<u64>) {
        self.bytes_max = bytes_max;
    }

    /// Bytes of the present generation, both areas.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.offset + (self.next.0 - self.first.0) * IDENTIFIER_BYTES as u64
    }

    /// The present generation.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// The place of the next step.
    #[must_use]
    pub const fn next(&self) -> Place {
        self.next
    }

    /// The step that appends `record`.
    ///
    /// # Errors
    /// [`JournalError::TooLarge`] and [`JournalError::Full`]; the writer is unchanged then, and the
    /// replica must stop, because it counts on the step.
    ///
    /// # Panics
    /// Never in practice: encoding into memory does not fail.
    pub fn append<R: Serialize>(&mut self, record: &R) -> Result<Step, JournalError> {
        let body = encode_record(record)?;
        let mut frames = Vec::with_capacity(body.len() + 64);
        let mut headers = 0;
        let header = frame(Kind::Record, self.next, 0, 1);
        self.sealer.push_frame(&header, &body, &mut frames, &mut headers);
        self.check_space(frames.len())?;
        let step = self.step(frames, headers);
        self.next = self.next.next();
        self.offset += step.frames.len() as u64;
        Ok(step)
    }

    /// The step that puts `snapshot`, whose bytes are `image`, and `records` in place of all.
    ///
    /// # Errors
    /// As [`Writer::append`].
    ///
    /// # Panics
    /// Never in practice: encoding into memory does not fail.
    pub fn replace<R: Serialize>(
        &mut self,
        snapshot: &SnapshotMeta,
        image: &[u8],
        records: &[R],
    ) -> Result<Step, JournalError> {
        let count = 1 + image.len().div_ceil(CHUNK_BYTES_MAX) + records.len();
        let parts = u32::try_from(count).unwrap_or(u32::MAX);
        if parts > PARTS_MAX {
            return Err(too_large("frames of a step", count, PARTS_MAX as usize));
        }
        let place = self.next;
        let sealer = Sealer::new(&self.identity, self.next_generation);
        let mut frames = sealer.area_header(place).to_vec();
        let (mut headers, mut part) = (0, 0);
        let mut push = |kind, body: &[u8]| {
            sealer.push_frame(&frame(kind, place, part, parts), body, &mut frames, &mut headers);
            part += 1;
        };
        push(Kind::Snapshot, &encode_record(snapshot)?);
        for chunk in image.chunks(CHUNK_BYTES_MAX) {
            push(Kind::Chunk, chunk);
        }
        for record in records {
            push(Kind::Kept, &encode_record(record)?);
        }
        self.check_space(frames.len())?;
        self.generation = self.next_generation;
        self.next_generation = Generation(self.generation.0 + 1);
        self.sealer = sealer;
        self.first = place;
        let step = self.step(frames, headers);
        self.next = place.next();
        self.offset = step.frames.len() as u64;
        Ok(step)
    }

    fn check_space(&self, frame_bytes: usize) -> Result<(), JournalError> {
        let Some(bytes_max) = self.bytes_max else { return Ok(()) };
        let needed = (frame_bytes + IDENTIFIER_BYTES) as u64;
        let left = bytes_max.saturating_sub(self.bytes());
        if needed > left { Err(JournalError::Full { needed, left }) } else { Ok(()) }
    }

    /// The step `self.next` made of `frames`.
    fn step(&self, frames: Vec<u8>, headers: u32) -> Step {
        let begins_generation = self.next == self.first && self.generation != Generation::FIRST;
        let (offset, start) = if begins_generation {
            (0, AREA_HEADER_BYTES as u64)
        } else {
            (self.offset, self.offset)
        };
        let identifier = Identifier {
            place: self.next,
            offset: start,
            bytes: offset + frames.len() as u64 - start,
            checksum: headers,
        };
        Step {
            place: self.next,
            generation: self.generation,
            begins_generation,
            offset,
            identifier_offset: (self.next.0 - self.first.0) * IDENTIFIER_BYTES as u64,
            identifier: self.sealer.identifier(&identifier),
            frames,
        }
    }
}

fn frame(kind: Kind, place: Place, part: u32, parts: u32) -> FrameHeader {
    FrameHeader { kind, place, part, parts, body_bytes: 0, body_checksum: 0 }
}

fn encode_record<R: Serialize>(record: &R) -> Result<Vec<u8>, JournalError> {
    let body = postcard::to_stdvec(record).expect("encoding into memory does not fail");
    if body.len() > RECORD_BYTES_MAX {
        return Err(too_large("a record", body.len(), RECORD_BYTES_MAX));
    }
    Ok(body)
}

fn too_large(what: &'static str, size: usize, size_max: usize) -> JournalError {
    JournalError::TooLarge { what, size: size as u64, size_max: size_max as u64 }
}

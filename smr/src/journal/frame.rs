//! Frames, identifiers and the header of a steps area: fixed layouts, each with its checksum.

use super::error::Flaw;
use super::identity::Identity;
use super::{Generation, JOURNAL_VERSION, Place};

/// The largest record, in bytes.
pub const RECORD_BYTES_MAX: usize = 64 << 20;
/// The most bytes of a snapshot in one frame.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;
/// The most frames of one step: a snapshot of up to a tebibyte, or a million records.
pub const PARTS_MAX: u32 = 1 << 20;

/// Bytes of a steps area in front of its frames.
pub(super) const AREA_HEADER_BYTES: usize = 32;
/// Bytes of a frame in front of its body.
pub(super) const FRAME_HEADER_BYTES: usize = 36;
/// Bytes of an identifier.
pub(super) const IDENTIFIER_BYTES: usize = 32;

const AREA_MAGIC: [u8; 8] = *b"QJSTEPS1";
const FRAME_MAGIC: [u8; 4] = *b"QJFR";

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An appended record.
    Record = 1,
    /// The description of the snapshot that begins a replacement.
    Snapshot = 2,
    /// Some of its bytes.
    Chunk = 3,
    /// A record that the replacement keeps.
    Kept = 4,
}

impl Kind {
    const fn parse(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Record),
            2 => Some(Self::Snapshot),
            3 => Some(Self::Chunk),
            4 => Some(Self::Kept),
            _ => None,
        }
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Makes and checks the checksums of one generation of one disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sealer {
    seed: u32,
    generation: Generation,
}

impl Sealer {
    pub(super) fn new(identity: &Identity, generation: Generation) -> Self {
        Self { seed: identity.checksum_seed(generation), generation }
    }

    pub(super) fn checksum(&self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(self.seed, bytes)
    }

    /// The header of the generation's steps area.
    pub(super) fn area_header(&self, first: Place) -> [u8; AREA_HEADER_BYTES] {
        let mut header = [0; AREA_HEADER_BYTES];
        header[0..8].copy_from_slice(&AREA_MAGIC);
        header[8..16].copy_from_slice(&self.generation.0.to_le_bytes());
        header[16..24].copy_from_slice(&first.0.to_le_bytes());
        let checksum = self.checksum(&header[..28]);
        header[28..32].copy_from_slice(&checksum.to_le_bytes());
        header
    }

    /// The place of the first step, if the header is whole.
    pub(super) fn open_area(&self, steps: &[u8]) -> Option<Place> {
        let header = steps.first_chunk::<AREA_HEADER_BYTES>()?;
        let whole = header[0..8] == AREA_MAGIC
            && long(header, 8) == self.generation.0
            && self.checksum(&header[..28]) == word(header, 28);
        whole.then(|| Place(long(header, 16)))
    }

    /// Appends a frame; its header joins `headers`, from which the step's checksum is made.
    pub(super) fn push_frame(
        &self,
        frame: &FrameHeader,
        body: &[u8],
        out: &mut Vec<u8>,
        headers: &mut u32,
    ) {
        let mut header = [0; FRAME_HEADER_BYTES];
        header[0..4].copy_from_slice(&FRAME_MAGIC);
        header[4] = JOURNAL_VERSION;
        header[5] = frame.kind as u8;
        header[8..16].copy_from_slice(&frame.place.0.to_le_bytes());
        header[16..20].copy_from_slice(&frame.part.to_le_bytes());
        header[20..24].copy_from_slice(&frame.parts.to_le_bytes());
        header[24..28].copy_from_slice(&(body.len() as u32).to_le_bytes());
        header[28..32].copy_from_slice(&self.checksum(body).to_le_bytes());
        let checksum = self.checksum(&header[..32]);
        header[32..36].copy_from_slice(&checksum.to_le_bytes());
        *headers = crc32c::crc32c_append(*headers, &header[..32]);
        out.extend_from_slice(&header);
        out.extend_from_slice(body);
    }

    /// The frame at the start of `bytes`, with its body; also joins its header to `headers`.
    pub(super) fn open_frame<'a>(
        &self,
        bytes: &'a [u8],
        headers: &mut u32,
    ) -> Result<(FrameHeader, &'a [u8]), Flaw> {
        let header = self.open_header(bytes)?;
        let end = FRAME_HEADER_BYTES + header.body_bytes;
        let body = bytes.get(FRAME_HEADER_BYTES..end).ok_or(Flaw::Short)?;
        if self.checksum(body) != header.body_checksum {
            return Err(Flaw::Body);
        }
        *headers = crc32c::crc32c_append(*headers, &bytes[..32]);
        Ok((header, body))
    }

    /// The frame header at the start of `bytes`. Its length is believed only after its checksum.
    fn open_header(&self, bytes: &[u8]) -> Result<FrameHeader, Flaw> {
        let Some(header) = bytes.first_chunk::<FRAME_HEADER_BYTES>() else {
            return Err(Flaw::Short);
        };
        if header.iter().all(|byte| *byte == 0) {
            return Err(Flaw::Hole);
        }
        if header[0..4] != FRAME_MAGIC || self.checksum(&header[..32]) != word(header, 32) {
            return Err(Flaw::Header);
        }
        let kind = Kind::parse(header[5]).ok_or(Flaw::Impossible)?;
        let (part, parts) = (word(header, 16), word(header, 20));
        let body_bytes = word(header, 24) as usize;
        let possible = header[4] == JOURNAL_VERSION
            && part < parts
            && parts <= PARTS_MAX
            && body_bytes <= RECORD_BYTES_MAX;
        if !possible {
            return Err(Flaw::Impossible);
        }
        let place = Place(long(header, 8));
        Ok(FrameHeader { kind, place, part, parts, body_bytes, body_checksum: word(header, 28) })
    }

    /// The place of some frame in `bytes` that is beyond `place`.
    pub(super) fn find_later(&self, bytes: &[u8], place: Place) -> Option<Place> {
        let starts = bytes.windows(FRAME_MAGIC.len()).enumerate();
        let mut found = starts.filter(|(_, window)| *window == FRAME_MAGIC);
        found.find_map(|(at, _)| {
            let header = self.open_header(&bytes[at..]).ok()?;
            (header.place > place).then_some(header.place)
        })
    }

    pub(super) fn identifier(&self, identifier: &Identifier) -> [u8; IDENTIFIER_BYTES] {
        let mut bytes = [0; IDENTIFIER_BYTES];
        bytes[0..8].copy_from_slice(&identifier.place.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&identifier.offset.to_le_bytes());
        bytes[16..24].copy_from_slice(&identifier.bytes.to_le_bytes());
        bytes[24..28].copy_from_slice(&identifier.checksum.to_le_bytes());
        let checksum = self.checksum(&bytes[..28]);
        bytes[28..32].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The identifier in `bytes`, if it is whole.
    pub(super) fn open_identifier(&self, bytes: &[u8]) -> Option<Identifier> {
        let bytes = bytes.first_chunk::<IDENTIFIER_BYTES>()?;
        (self.checksum(&bytes[..28]) == word(bytes, 28)).then(|| Identifier {
            place: Place(long(bytes, 0)),
            offset: long(bytes, 8),
            bytes: long(bytes, 16),
            checksum: word(bytes, 24),
        })
    }
}

/// What stands in front of a frame's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) kind: Kind,
    pub(super) place: Place,
    pub(super) part: u32,
    pub(super) parts: u32,
    pub(super) body_bytes: usize,
    pub(super) body_checksum: u32,
}

/// What is kept of a step, away from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identifier {
    pub(super) place: Place,
    /// Where the step begins in its steps area.
    pub(super) offset: u64,
    /// Bytes of all its frames.
    pub(super) bytes: u64,
    /// A checksum over the headers of its frames, which hold those of the bodies; without their own
    /// checksums, behind which every header would end in the same state.
    pub(super) checksum: u32,
}

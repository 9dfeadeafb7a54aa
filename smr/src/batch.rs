//! Batches: sealed once, then the unit of everything.
//!
//! Commands are copied into an open [`BatchBuilder`]; [`BatchBuilder::seal`] writes the header in
//! front of them. From then on the same bytes, under one reference count, are the entry of the
//! log, the payload on the wire, the record in the journal, and the unit of checksum, compression
//! and digest. A protocol orders batches and never looks at a command, except PBFT, which
//! authenticates clients.
//!
//! Layout (little endian):
//!
//! ```text
//! 0  u16 magic "QB"      8  u32 command count     20 u32 crc32c over bytes 0..20 and 24..
//! 2  u8  version         12 u32 raw body bytes    24 body (codec 0: commands; codec 1: one
//! 3  u8  codec           16 u32 body bytes           compressed frame of `mq` that holds them)
//! 4  u32 group
//! command: u64 client, u64 sequence, u32 payload bytes, u16 auth bytes, u16 zero, payload, auth
//! ```

use std::fmt;
use std::hash::{Hash, Hasher};

use bytes::{BufMut, Bytes, BytesMut};
use quorate_mq::compress::{self, Compressor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::Digest;
use crate::ids::{ClientId, GroupId, RequestSeq};

/// The version of the batch layout that this build writes and reads.
pub const BATCH_VERSION: u8 = 1;
/// Bytes in front of a batch's body.
pub const BATCH_HEADER_BYTES: usize = 24;
/// Bytes in front of a command's payload.
pub const COMMAND_HEADER_BYTES: usize = 24;
/// The largest body of a batch before compression, in bytes.
pub const BATCH_RAW_BYTES_MAX: usize = 16 << 20;
/// The largest number of commands in a batch.
pub const BATCH_COMMANDS_MAX: usize = 1 << 20;
/// The largest payload of one command, in bytes.
pub const COMMAND_BYTES_MAX: usize = 8 << 20;
/// The largest authenticator of one command, in bytes: a 16-byte tag for each replica.
pub const COMMAND_AUTH_BYTES_MAX: usize = 16 * crate::quorum::REPLICAS_MAX;

const MAGIC: [u8; 2] = *b"QB";
const CODEC_RAW: u8 = 0;
const CODEC_COMPRESSED: u8 = 1;
/// How much one growth of the builder's buffer reserves: many small batches share an allocation.
const BUILDER_CHUNK_BYTES: usize = 64 << 10;

/// One client request, borrowed from the batch that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Command<'a> {
    /// The session that asks.
    pub client: ClientId,
    /// The client's number for this request.
    pub seq: RequestSeq,
    /// What the state machine interprets.
    pub payload: &'a [u8],
    /// Proof of origin, interpreted by the protocol's authenticator; empty where none is used.
    pub auth: &'a [u8],
}

impl Command<'_> {
    /// Bytes that this command takes in a batch.
    #[must_use]
    pub const fn encoded_bytes(&self) -> usize {
        COMMAND_HEADER_BYTES + self.payload.len() + self.auth.len()
    }
}

/// Why bytes are not a batch, or a command does not fit one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than the header announces, or than a header has.
    #[error("batch is cut short: {have} bytes where {need} are needed; ask the sender again")]
    Truncated {
        /// Bytes at hand.
        have: usize,
        /// Bytes that were announced.
        need: usize,
    },
    /// The first bytes are not those of a batch.
    #[error("not a batch: magic bytes {0:02x?}")]
    Magic([u8; 2]),
    /// Written by another version.
    #[error("batch version {0} is unknown; this build reads version {BATCH_VERSION}")]
    Version(u8),
    /// A codec that this build does not know.
    #[error("batch codec {0} is unknown")]
    Codec(u8),
    /// A number in the header exceeds its limit.
    #[error("batch declares {what} {value}, above the limit {limit}")]
    Limit {
        /// Which number.
        what: &'static str,
        /// What was declared.
        value: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The bytes changed on their way.
    #[error("batch checksum differs; the bytes were corrupted, ask the sender again")]
    Checksum,
    /// The commands do not fill the body exactly as the header says.
    #[error("batch body does not hold the {0} commands that its header declares")]
    Body(u32),
    /// The compressed body does not decompress.
    #[error("batch body: {0}")]
    Frame(#[from] compress::FrameError),
}

/// The parsed header of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchHeader {
    /// The group whose log the batch belongs to.
    pub group: GroupId,
    /// Commands inside.
    pub count: u32,
    /// Bytes of the body before compression.
    pub raw_bytes: u32,
    /// CRC-32C over the rest of the batch.
    pub checksum: u32,
    body_bytes: u32,
    codec: u8,
}

/// A sealed, immutable batch of commands. Cloning costs one reference count.
///
/// It is its bytes and nothing else: 32 bytes that move by value; the header is read from them.
#[derive(Clone, PartialEq, Eq)]
pub struct Batch {
    bytes: Bytes,
}

impl Batch {
    /// A batch without commands: a leader's no-op, the filler of a gap, PBFT's null request.
    #[must_use]
    pub fn empty(group: GroupId) -> Self {
        let mut builder = BatchBuilder::new(group);
        builder.buffer.reserve(BATCH_HEADER_BYTES);
        builder.seal(None)
    }

    /// Takes a batch from bytes that came from a peer or a disk.
    ///
    /// The header, the limits and the checksum are checked here; the commands inside when they are
    /// read ([`Batch::body`]), because most replicas pass a batch on unread. Allocates nothing.
    ///
    /// # Errors
    /// Says what is wrong with the bytes. The receiver drops them; a sender retransmits.
    pub fn decode(bytes: Bytes) -> Result<Self, BatchError> {
        let header = parse_header(&bytes)?;
        if checksum(&bytes) != header.checksum {
            return Err(BatchError::Checksum);
        }
        Ok(Self { bytes })
    }

    /// The header, read from the bytes.
    #[must_use]
    #[inline]
    pub fn header(&self) -> BatchHeader {
        BatchHeader::read(self.head())
    }

    /// Commands inside.
    #[must_use]
    pub fn count(&self) -> usize {
        self.header().count as usize
    }

    /// Whether the batch carries no command.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Whether the body is compressed.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.header().codec == CODEC_COMPRESSED
    }

    #[inline]
    fn head(&self) -> &[u8; BATCH_HEADER_BYTES] {
        self.bytes.first_chunk().expect("a sealed batch has a header")
    }

    /// The sealed bytes: header and body, exactly as stored and sent.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Size as stored and sent, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Opens the body; a compressed one is decompressed into `scratch`, whose capacity is reused.
    ///
    /// # Errors
    /// When the body does not decompress to the declared size or does not hold the declared
    /// commands. After a checksum that matched, that means that the *sealer* was faulty.
    pub fn body<'a>(&'a self, scratch: &'a mut Vec<u8>) -> Result<Body<'a>, BatchError> {
        let header = self.header();
        let stored = &self.bytes[BATCH_HEADER_BYTES..];
        let raw: &[u8] = if self.is_compressed() {
            scratch.clear();
            compress::decompress_into(stored, header.raw_bytes as usize, scratch)?;
            scratch
        } else {
            stored
        };
        if raw.len() != header.raw_bytes as usize {
            return Err(BatchError::Body(header.count));
        }
        Body::validate(raw, header.count)
    }

    /// The BLAKE3 digest of the group and the *uncompressed* body: what PBFT agrees on.
    ///
    /// # Errors
    /// As [`Batch::body`].
    pub fn digest(&self, scratch: &mut Vec<u8>) -> Result<Digest, BatchError> {
        Ok(self.body(scratch)?.digest(self.header().group))
    }
}

impl Hash for Batch {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The header holds the checksum of the rest.
        self.head().hash(state);
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BatchHeader { count, checksum, .. } = self.header();
        write!(f, "batch({count} commands, {checksum:08x})")
    }
}

impl Serialize for Batch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.bytes)
    }
}

impl<'de> Deserialize<'de> for Batch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Bytes::deserialize(deserializer)?;
        Self::decode(bytes).map_err(serde::de::Error::custom)
    }
}

/// The commands of a batch, validated, ready to be read in order.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a> {
    raw: &'a [u8],
    count: u32,
}

impl<'a> Body<'a> {
    fn validate(raw: &'a [u8], count: u32) -> Result<Self, BatchError> {
        let mut rest = raw;
        for _ in 0..count {
            rest = split_command(rest).ok_or(BatchError::Body(count))?.1;
        }
        if !rest.is_empty() {
            return Err(BatchError::Body(count));
        }
        Ok(Self { raw, count })
    }

    /// The commands in order.
    #[must_use]
    pub const fn commands(&self) -> Commands<'a> {
        Commands { rest: self.raw, left: self.count }
    }

    /// The digest of these commands as a batch of `group`.
    #[must_use]
    pub fn digest(&self, group: GroupId) -> Digest {
        Digest::of_parts(&[&group.0.to_le_bytes(), self.raw])
    }
}

/// Iterates over the commands of a [`Body`].
#[derive(Clone, Debug)]
pub struct Commands<'a> {
    rest: &'a [u8],
    left: u32,
}

impl<'a> Iterator for Commands<'a> {
    type Item = Command<'a>;

    #[inline]
    fn next(&mut self) -> Option<Command<'a>> {
        if self.left == 0 {
            return None;
        }
        let (command, rest) = split_command(self.rest).expect("the body was validated");
        self.rest = rest;
        self.left -= 1;
        Some(command)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Commands<'_> {}

/// An open batch: commands are copied in, then it is sealed.
///
/// The builder keeps its buffer over many batches: sealed batches are slices of shared chunks, and
/// a chunk is used again once every batch in it was dropped.
#[derive(Debug)]
pub struct BatchBuilder {
    group: GroupId,
    buffer: BytesMut,
    count: u32,
    /// Where the compressed form of a body is written before it is copied into a batch.
    compressed: Vec<u8>,
}

impl BatchBuilder {
    /// An empty open batch of `group`.
    #[must_use]
    pub fn new(group: GroupId) -> Self {
        Self { group, buffer: BytesMut::new(), count: 0, compressed: Vec::new() }
    }

    /// Commands in the open batch.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count as usize
    }

    /// Whether the open batch holds no command.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the open batch's body.
    #[must_use]
    pub fn raw_bytes(&self) -> usize {
        self.buffer.len().saturating_sub(BATCH_HEADER_BYTES)
    }

    /// Copies `command` into the open batch.
    ///
    /// # Errors
    /// [`BatchError::Limit`] when the command is too large, or the batch full: seal, then retry.
    #[inline]
    pub fn push(&mut self, command: &Command<'_>) -> Result<(), BatchError> {
        limit("command payload bytes", command.payload.len(), COMMAND_BYTES_MAX)?;
        limit("command auth bytes", command.auth.len(), COMMAND_AUTH_BYTES_MAX)?;
        limit("commands", self.count() + 1, BATCH_COMMANDS_MAX)?;
        let needed = command.encoded_bytes();
        limit("raw bytes", self.raw_bytes() + needed, BATCH_RAW_BYTES_MAX)?;
        self.open(needed);
        let mut header = [0; COMMAND_HEADER_BYTES];
        header[0..8].copy_from_slice(&command.client.0.to_le_bytes());
        header[8..16].copy_from_slice(&command.seq.0.to_le_bytes());
        header[16..20].copy_from_slice(&(command.payload.len() as u32).to_le_bytes());
        header[20..22].copy_from_slice(&(command.auth.len() as u16).to_le_bytes());
        self.buffer.extend_from_slice(&header);
        self.buffer.extend_from_slice(command.payload);
        self.buffer.extend_from_slice(command.auth);
        self.count += 1;
        Ok(())
    }

    /// Seals what was pushed and starts the next batch.
    ///
    /// With a compressor the body is compressed where the compressor's policy finds that it pays;
    /// otherwise the bytes stay where they are and only the header is written.
    #[must_use]
    pub fn seal(&mut self, compressor: Option<&mut Compressor>) -> Batch {
        self.open(0);
        let raw_bytes = self.raw_bytes();
        let mut codec = CODEC_RAW;
        if let Some(compressor) = compressor {
            self.compressed.clear();
            let raw = &self.buffer[BATCH_HEADER_BYTES..];
            compressor.compress_into(raw, &mut self.compressed);
            if self.compressed.len() < raw_bytes {
                codec = CODEC_COMPRESSED;
                self.buffer.truncate(BATCH_HEADER_BYTES);
                self.buffer.extend_from_slice(&self.compressed);
            }
        }
        let body_bytes = self.buffer.len() - BATCH_HEADER_BYTES;
        let count = std::mem::take(&mut self.count);
        let mut head = &mut self.buffer[..BATCH_HEADER_BYTES];
        head.put_slice(&MAGIC);
        head.put_u8(BATCH_VERSION);
        head.put_u8(codec);
        head.put_u32_le(self.group.0);
        head.put_u32_le(count);
        head.put_u32_le(raw_bytes as u32);
        head.put_u32_le(body_bytes as u32);
        let checksum = checksum(&self.buffer);
        self.buffer[20..24].copy_from_slice(&checksum.to_le_bytes());
        Batch { bytes: self.buffer.split().freeze() }
    }

    /// Makes room for `needed` body bytes, and for the header when the batch is new.
    #[inline]
    fn open(&mut self, needed: usize) {
        let new = self.buffer.is_empty();
        let wanted = needed + if new { BATCH_HEADER_BYTES } else { 0 };
        if self.buffer.capacity() - self.buffer.len() < wanted {
            self.buffer.reserve(wanted.max(BUILDER_CHUNK_BYTES));
        }
        if new {
            self.buffer.put_bytes(0, BATCH_HEADER_BYTES);
        }
    }
}

fn limit(what: &'static str, value: usize, limit: usize) -> Result<(), BatchError> {
    if value > limit { Err(BatchError::Limit { what, value, limit }) } else { Ok(()) }
}

impl BatchHeader {
    #[inline]
    fn read(head: &[u8; BATCH_HEADER_BYTES]) -> Self {
        let word =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        Self {
            group: GroupId(word(4)),
            count: word(8),
            raw_bytes: word(12),
            checksum: word(20),
            body_bytes: word(16),
            codec: head[3],
        }
    }
}

fn parse_header(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let Some(head) = bytes.first_chunk::<BATCH_HEADER_BYTES>() else {
        return Err(BatchError::Truncated { have: bytes.len(), need: BATCH_HEADER_BYTES });
    };
    if head[0..2] != MAGIC {
        return Err(BatchError::Magic([head[0], head[1]]));
    }
    if head[2] != BATCH_VERSION {
        return Err(BatchError::Version(head[2]));
    }
    let header = BatchHeader::read(head);
    if header.codec > CODEC_COMPRESSED {
        return Err(BatchError::Codec(header.codec));
    }
    limit("commands", header.count as usize, BATCH_COMMANDS_MAX)?;
    limit("raw bytes", header.raw_bytes as usize, BATCH_RAW_BYTES_MAX)?;
    let need = BATCH_HEADER_BYTES + header.body_bytes as usize;
    if bytes.len() != need {
        return Err(BatchError::Truncated { have: bytes.len(), need });
    }
    Ok(header)
}

fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..20]), &bytes[BATCH_HEADER_BYTES..])
}

/// The first command of `bytes` and what follows it; `None` when it is cut short or malformed.
#[inline]
fn split_command(bytes: &[u8]) -> Option<(Command<'_>, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<COMMAND_HEADER_BYTES>()?;
    let word = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes"));
    let tail = word(16);
    let (payload_bytes, auth_bytes) = (tail as u32 as usize, (tail >> 32) as u16 as usize);
    if tail >> 48 != 0 || payload_bytes > COMMAND_BYTES_MAX || auth_bytes > COMMAND_AUTH_BYTES_MAX {
        return None;
    }
    let (payload, rest) = rest.split_at_checked(payload_bytes)?;
    let (auth, rest) = rest.split_at_checked(auth_bytes)?;
    let command = Command { client: ClientId(word(0)), seq: RequestSeq(word(8)), payload, auth };
    Some((command, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quorate_mq::compress::CompressionPolicy;

    use super::*;

    fn command(seq: u64, payload: &[u8]) -> Command<'_> {
        Command { client: ClientId(7), seq: RequestSeq(seq), payload, auth: b"tag" }
    }

    fn sample(compressor: Option<&mut Compressor>) -> Batch {
        let mut builder = BatchBuilder::new(GroupId(3));
        for seq in 0..20 {
            builder.push(&command(seq, b"the same payload again and again")).unwrap();
        }
        builder.seal(compressor)
    }

    #[test]
    fn a_sealed_batch_reads_back_its_commands_in_order() {
        let batch = sample(None);
        let again = Batch::decode(batch.as_bytes().clone()).unwrap();
        assert_eq!(again, batch);
        let mut scratch = Vec::new();
        let sequences: Vec<u64> =
            again.body(&mut scratch).unwrap().commands().map(|c| c.seq.0).collect();
        assert_eq!(sequences, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn compression_changes_the_bytes_but_not_the_digest() {
        let mut compressor = Compressor::new(CompressionPolicy::Always);
        let (plain, packed) = (sample(None), sample(Some(&mut compressor)));
        assert!(packed.is_compressed() && packed.len() < plain.len() / 2);
        let mut scratch = Vec::new();
        let digest = plain.digest(&mut scratch).unwrap();
        assert_eq!(packed.digest(&mut scratch).unwrap(), digest);
    }

    #[test]
    fn an_empty_batch_is_valid_and_small() {
        let batch = Batch::empty(GroupId(1));
        assert_eq!((batch.count(), batch.len()), (0, BATCH_HEADER_BYTES));
        assert_eq!(Batch::decode(batch.as_bytes().clone()).unwrap(), batch);
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_refused() {
        let bytes = sample(None).as_bytes().clone();
        for end in 0..bytes.len() {
            assert!(Batch::decode(bytes.slice(..end)).is_err(), "cut at {end}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Batch::decode(flipped.into()).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_checksummed_lie_about_the_count_is_refused_when_opened() {
        let mut bytes = sample(None).as_bytes().to_vec();
        bytes[8..12].copy_from_slice(&21u32.to_le_bytes());
        let sum = checksum(&bytes);
        bytes[20..24].copy_from_slice(&sum.to_le_bytes());
        let batch = Batch::decode(bytes.into()).unwrap();
        assert_eq!(batch.body(&mut Vec::new()).unwrap_err(), BatchError::Body(21));
    }

    #[test]
    fn the_builder_refuses_what_exceeds_its_limits_and_stays_usable() {
        let mut builder = BatchBuilder::new(GroupId(0));
        let huge = vec![0; COMMAND_BYTES_MAX + 1];
        assert!(matches!(builder.push(&command(0, &huge)), Err(BatchError::Limit { .. })));
        builder.push(&command(1, b"fits")).unwrap();
        assert_eq!(builder.seal(None).count(), 1);
        assert!(builder.is_empty());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Batch::decode(bytes.into());
        }

        #[test]
        fn any_commands_round_trip(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100), 0..50),
            pack in any::<bool>(),
        ) {
            let mut builder = BatchBuilder::new(GroupId(9));
            for (seq, payload) in payloads.iter().enumerate() {
                builder.push(&command(seq as u64, payload)).unwrap();
            }
            let mut compressor = Compressor::new(CompressionPolicy::Always);
            let batch = builder.seal(pack.then_some(&mut compressor));
            let batch = Batch::decode(batch.as_bytes().clone()).unwrap();
            let mut scratch = Vec::new();
            let body = batch.body(&mut scratch).unwrap();
            prop_assert!(body.commands().map(|c| c.payload).eq(payloads.iter().map(Vec::as_slice)));
        }
    }
}

//! Requests of one client on their way to a replica: one buffer, consecutive numbers.
//!
//! A client seals a chunk once and keeps a reference for retries; the replica copies the requests
//! straight from it into an open batch. Layout of a request: `u32` payload bytes, `u16` proof
//! bytes, payload, proof (little endian).

use bytes::{BufMut, Bytes, BytesMut};
use quorate_smr::{ClientId, Command, RequestSeq};

const REQUEST_HEADER_BYTES: usize = 6;
/// How much one growth of the buffer reserves: many small chunks share an allocation.
const BUFFER_BYTES: usize = 64 << 10;

/// A sealed run of requests. Cloning costs one reference count.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    client: ClientId,
    next: RequestSeq,
    left: u32,
    bytes: Bytes,
    at: usize,
}

impl Chunk {
    pub(crate) const fn len(&self) -> usize {
        self.left as usize
    }

    /// Bytes of the requests that were not taken yet.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) const fn client(&self) -> ClientId {
        self.client
    }

    /// The number of the first request that was not taken yet.
    pub(crate) const fn next(&self) -> RequestSeq {
        self.next
    }

    /// The first request that was not taken yet.
    #[inline]
    pub(crate) fn peek(&self) -> Option<Command<'_>> {
        if self.left == 0 {
            return None;
        }
        let rest = &self.bytes[self.at..];
        let payload_bytes = u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
        let auth_bytes = usize::from(u16::from_le_bytes([rest[4], rest[5]]));
        let (payload, rest) = rest[REQUEST_HEADER_BYTES..].split_at(payload_bytes);
        Some(Command { client: self.client, seq: self.next, payload, auth: &rest[..auth_bytes] })
    }

    /// Takes the first request, which had `payload_bytes` and `auth_bytes`.
    #[inline]
    pub(crate) const fn advance(&mut self, payload_bytes: usize, auth_bytes: usize) {
        self.at += REQUEST_HEADER_BYTES + payload_bytes + auth_bytes;
        self.next = RequestSeq(self.next.0 + 1);
        self.left -= 1;
    }
}

/// An open chunk.
#[derive(Debug, Default)]
pub(crate) struct ChunkBuilder {
    buffer: BytesMut,
    count: u32,
    first: RequestSeq,
}

impl ChunkBuilder {
    pub(crate) const fn count(&self) -> usize {
        self.count as usize
    }

    pub(crate) fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Appends a request. `seq` must follow that of the previous one.
    #[inline]
    pub(crate) fn push(&mut self, seq: RequestSeq, payload: &[u8], auth: &[u8]) {
        if self.count == 0 {
            self.first = seq;
        }
        debug_assert_eq!(seq.0, self.first.0 + u64::from(self.count), "numbers are consecutive");
        let wanted = REQUEST_HEADER_BYTES + payload.len() + auth.len();
        if self.buffer.capacity() - self.buffer.len() < wanted {
            self.buffer.reserve(wanted.max(BUFFER_BYTES));
        }
        self.buffer.put_u32_le(payload.len() as u32);
        self.buffer.put_u16_le(auth.len() as u16);
        self.buffer.put_slice(payload);
        self.buffer.put_slice(auth);
        self.count += 1;
    }

    /// Seals what was pushed, in the name of `client`.
    pub(crate) fn seal(&mut self, client: ClientId) -> Chunk {
        let left = std::mem::take(&mut self.count);
        Chunk { client, next: self.first, left, bytes: self.buffer.split().freeze(), at: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_out_as_they_went_in() {
        let mut builder = ChunkBuilder::default();
        builder.push(RequestSeq(5), b"one", b"proof");
        builder.push(RequestSeq(6), b"", b"");
        let mut chunk = builder.seal(ClientId(9));
        let first = chunk.peek().unwrap();
        assert_eq!(
            (first.seq, first.payload, first.auth),
            (RequestSeq(5), &b"one"[..], &b"proof"[..])
        );
        chunk.advance(3, 5);
        let second = chunk.peek().unwrap();
        assert_eq!(
            (second.client, second.seq, second.payload),
            (ClientId(9), RequestSeq(6), &b""[..])
        );
        chunk.advance(0, 0);
        assert!(chunk.peek().is_none());
        builder.push(RequestSeq(7), b"x", b"");
        assert_eq!(builder.seal(ClientId(9)).next(), RequestSeq(7));
    }
}

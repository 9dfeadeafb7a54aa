//! Answers on their way to a client: one buffer for all answers to one client from one round of
//! an executor, so that a thousand small answers cost one message.
//!
//! Layout of an answer: `u64` request, `u8` status, `u32` payload bytes, payload (little endian).

use bytes::{BufMut, Bytes, BytesMut};
use quorate_smr::RequestSeq;
use quorate_smr::session::ReplyStatus;

const ANSWER_HEADER_BYTES: usize = 13;
/// How much one growth of a buffer reserves; each client has one at each executor.
const BUFFER_BYTES: usize = 4 << 10;
/// Set in the number of a linearizable read, so that reads and commands cannot be confused.
pub(crate) const READ_BIT: u64 = 1 << 63;

/// One answer, as a slice of its buffer.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) seq: RequestSeq,
    pub(crate) status: ReplyStatus,
    pub(crate) payload: &'a [u8],
}

/// Appends an answer to an open buffer.
#[inline]
pub(crate) fn push(out: &mut BytesMut, seq: RequestSeq, status: ReplyStatus, payload: &[u8]) {
    let wanted = ANSWER_HEADER_BYTES + payload.len();
    if out.capacity() - out.len() < wanted {
        out.reserve(wanted.max(BUFFER_BYTES));
    }
    let mut header = [0; ANSWER_HEADER_BYTES];
    header[0..8].copy_from_slice(&seq.0.to_le_bytes());
    header[8] = status as u8;
    header[9..13].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    out.put_slice(&header);
    out.put_slice(payload);
}

/// The answers in a sealed buffer, in order. Ends at the first byte that is not an answer.
pub(crate) fn read(bytes: &Bytes) -> impl Iterator<Item = Answer<'_>> {
    let mut rest: &[u8] = bytes;
    std::iter::from_fn(move || {
        let (header, tail) = rest.split_first_chunk::<ANSWER_HEADER_BYTES>()?;
        let seq = u64::from_le_bytes(header[0..8].try_into().ok()?);
        let payload_bytes = u32::from_le_bytes(header[9..13].try_into().ok()?) as usize;
        let (payload, tail) = tail.split_at_checked(payload_bytes)?;
        let status = ReplyStatus::from_u8(header[8])?;
        rest = tail;
        Some(Answer { seq: RequestSeq(seq), status, payload })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_read_back_and_a_cut_buffer_ends_early() {
        let mut out = BytesMut::new();
        push(&mut out, RequestSeq(3), ReplyStatus::Applied, b"yes");
        push(&mut out, RequestSeq(4), ReplyStatus::Stale, b"");
        let bytes = out.freeze();
        let all: Vec<_> = read(&bytes).map(|a| (a.seq.0, a.status, a.payload.to_vec())).collect();
        assert_eq!(
            all,
            [(3, ReplyStatus::Applied, b"yes".to_vec()), (4, ReplyStatus::Stale, vec![])]
        );
        for end in 0..bytes.len() {
            assert!(read(&bytes.slice(..end)).count() < 2);
        }
    }
}

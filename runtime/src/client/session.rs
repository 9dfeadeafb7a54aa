//! A client's session with one group: what is outstanding, and what is known about it.
//!
//! Requests are numbered without gaps, so that what is outstanding is a queue indexed by number.
//! They travel in chunks; a chunk is kept until all its requests have ended, to be sent again.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_smr::session::ReplyStatus;
use quorate_smr::{ClientId, GroupId, Reason, ReplicaId, ReplicaSet, RequestSeq};

use super::{BUSY_PAUSE, CallError, NO_LEADER_PAUSE, REDIRECTS_MAX, SubmitError, Ticket};
use crate::answer::{self, READ_BIT};
use crate::chunk::{Chunk, ChunkBuilder};

#[cfg(test)]
mod tests;

/// An answer as the message that it came in and the bytes within, or why there is none.
pub(super) type Outcome<'a> = Result<(&'a Bytes, &'a [u8]), CallError>;

/// One value that replicas answered, and who did.
#[derive(Debug)]
struct Candidate {
    status: ReplyStatus,
    payload: Bytes,
    voters: ReplicaSet,
}

#[derive(Debug)]
struct Entry {
    /// The number of the chunk that carries it.
    chunk: u64,
    done: bool,
    candidates: Vec<Candidate>,
}

/// How far something sent has come.
#[derive(Clone, Copy, Debug)]
struct Progress {
    created: Instant,
    /// When to send it (again).
    due: Instant,
    /// Who has it and has not refused it.
    sent_to: Option<ReplicaId>,
    sends: u32,
    redirects: u32,
}

impl Progress {
    const fn new(now: Instant) -> Self {
        Self { created: now, due: now, sent_to: None, sends: 0, redirects: 0 }
    }

    /// A refusal came from `from`. Stale ones, from replicas asked before, are ignored.
    fn refused(&mut self, now: Instant, from: ReplicaId, reason: Reason, hint: Option<ReplicaId>) {
        if self.sent_to != Some(from) {
            return;
        }
        self.sent_to = None;
        self.redirects += 1;
        self.due = match reason {
            Reason::Busy => now + BUSY_PAUSE,
            _ if hint.is_some_and(|hint| hint != from) && self.redirects <= REDIRECTS_MAX => now,
            _ => now + NO_LEADER_PAUSE,
        };
    }
}

#[derive(Debug)]
struct Sent {
    chunk: Chunk,
    first: u64,
    left: u32,
    progress: Progress,
}

#[derive(Debug)]
struct Read {
    query: Bytes,
    progress: Progress,
}

/// One sending of a chunk.
pub(super) struct Attempt {
    pub(super) chunk: Chunk,
    pub(super) receivers: ReplicaSet,
    pub(super) again: bool,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(super) group: GroupId,
    pub(super) id: ClientId,
    leader: ReplicaId,
    next: u64,
    /// The number of the first entry.
    base: u64,
    entries: VecDeque<Entry>,
    left: usize,
    pub(super) open: ChunkBuilder,
    chunks: VecDeque<Sent>,
    /// The number of the first chunk.
    chunk_base: u64,
    reads: BTreeMap<u64, Read>,
    next_read: u64,
    expired: bool,
}

impl Session {
    pub(super) fn new(group: GroupId, id: ClientId, leader: ReplicaId) -> Self {
        Self {
            group,
            id,
            leader,
            next: 1,
            base: 1,
            entries: VecDeque::new(),
            left: 0,
            open: ChunkBuilder::default(),
            chunks: VecDeque::new(),
            chunk_base: 0,
            reads: BTreeMap::new(),
            next_read: 1,
            expired: false,
        }
    }

    pub(super) fn outstanding(&self) -> usize {
        self.left + self.reads.len()
    }

    pub(super) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// The number for the next request, if the window has room.
    #[inline]
    pub(super) fn next_seq(&self, window: usize) -> Result<RequestSeq, SubmitError> {
        if self.entries.len() >= window {
            return Err(SubmitError::WindowFull);
        }
        if self.expired {
            return Err(SubmitError::SessionExpired);
        }
        Ok(RequestSeq(self.next))
    }

    /// Takes a request into the open chunk.
    #[inline]
    pub(super) fn push(&mut self, seq: RequestSeq, payload: &[u8], proof: &[u8]) {
        self.open.push(seq, payload, proof);
        let chunk = self.chunk_base + self.chunks.len() as u64;
        self.entries.push_back(Entry { chunk, done: false, candidates: Vec::new() });
        self.next += 1;
        self.left += 1;
    }

    pub(super) fn push_read(
        &mut self,
        query: Bytes,
        window: usize,
        now: Instant,
    ) -> Result<RequestSeq, SubmitError> {
        if self.reads.len() >= window {
            return Err(SubmitError::WindowFull);
        }
        let seq = self.next_read;
        self.next_read += 1;
        self.reads.insert(seq, Read { query, progress: Progress::new(now) });
        Ok(RequestSeq(seq | READ_BIT))
    }

    /// Seals the open chunk; its place among the chunks.
    pub(super) fn seal(&mut self, now: Instant) -> usize {
        let left = self.open.count() as u32;
        let chunk = self.open.seal(self.id);
        let first = chunk.next().0;
        self.chunks.push_back(Sent { chunk, first, left, progress: Progress::new(now) });
        self.chunks.len() - 1
    }

    pub(super) fn chunk_is_due(&self, place: usize, now: Instant) -> bool {
        let sent = &self.chunks[place];
        sent.left > 0 && sent.progress.due <= now
    }

    /// To whom a chunk goes next. After a silence that is another replica, or everyone where
    /// `quorum` equal answers are needed.
    pub(super) fn attempt(&mut self, place: usize, replicas: usize, quorum: usize) -> Attempt {
        let sent = &mut self.chunks[place];
        let silent = sent.progress.sent_to.is_some();
        let again = sent.progress.sends > 0;
        if sent.progress.sent_to == Some(self.leader) {
            self.leader = ReplicaId(((self.leader.0 as usize + 1) % replicas) as u8);
        }
        let receivers = if quorum > 1 && again && (silent || sent.progress.redirects > 1) {
            ReplicaSet::first(replicas)
        } else {
            ReplicaSet::only(self.leader)
        };
        Attempt { chunk: sent.chunk.clone(), receivers, again }
    }

    /// A chunk was sent, or found its receiver's queue full.
    pub(super) fn sent(&mut self, place: usize, sent: bool, due: Instant) {
        let leader = self.leader;
        let progress = &mut self.chunks[place].progress;
        progress.note_sent(sent, leader, due);
    }

    pub(super) fn due_reads(&self, now: Instant) -> Vec<u64> {
        let due = self.reads.iter().filter(|(_, read)| read.progress.due <= now);
        due.map(|(seq, _)| *seq).collect()
    }

    /// To whom a read goes next.
    pub(super) fn read_attempt(
        &mut self,
        seq: u64,
        replicas: usize,
    ) -> Option<(ReplicaId, Bytes, bool)> {
        let read = self.reads.get(&seq)?;
        if read.progress.sent_to == Some(self.leader) {
            self.leader = ReplicaId(((self.leader.0 as usize + 1) % replicas) as u8);
        }
        Some((self.leader, read.query.clone(), read.progress.sends > 0))
    }

    pub(super) fn read_sent(&mut self, seq: u64, sent: bool, due: Instant) {
        let leader = self.leader;
        if let Some(read) = self.reads.get_mut(&seq) {
            read.progress.note_sent(sent, leader, due);
        }
    }

    /// When something is due to be sent again.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let chunks = self.chunks.iter().filter(|sent| sent.left > 0).map(|sent| sent.progress.due);
        chunks.chain(self.reads.values().map(|read| read.progress.due)).min()
    }

    /// Takes the answers of one replica.
    pub(super) fn answers(
        &mut self,
        from: ReplicaId,
        bytes: &Bytes,
        quorum: usize,
        each: &mut impl FnMut(Ticket, Outcome<'_>),
    ) {
        if quorum == 1 {
            self.leader = from;
        }
        for answer in answer::read(bytes) {
            let group = self.group;
            let ticket = Ticket { group, seq: answer.seq };
            if answer.seq.0 & READ_BIT != 0 {
                if self.reads.remove(&(answer.seq.0 & !READ_BIT)).is_some() {
                    each(ticket, Ok((bytes, answer.payload)));
                }
                continue;
            }
            let Some(index) = self.index(answer.seq) else { continue };
            let entry = &mut self.entries[index];
            if entry.done {
                continue;
            }
            if quorum > 1 && !entry.vote(from, &answer, bytes, quorum) {
                continue;
            }
            let sends = self.finish(index);
            match answer.status {
                ReplyStatus::Applied | ReplyStatus::Opened => {
                    each(ticket, Ok((bytes, answer.payload)));
                }
                ReplyStatus::Stale => each(ticket, Err(CallError::Unknown)),
                ReplyStatus::Expired => {
                    self.expired = true;
                    // An earlier sending may have been applied before the session expired.
                    let certain = sends <= 1;
                    let error =
                        if certain { CallError::SessionExpired } else { CallError::Unknown };
                    each(ticket, Err(error));
                }
            }
        }
        self.trim();
    }

    /// Some requests were not taken up by `from`.
    pub(super) fn refused(
        &mut self,
        now: Instant,
        (from, reason): (ReplicaId, Reason),
        hint: Option<ReplicaId>,
        requests: &[RequestSeq],
        replicas: usize,
        each: &mut impl FnMut(Ticket, Outcome<'_>),
    ) {
        if let Reason::NotLeader { .. } = reason
            && self.leader == from
        {
            let next = ReplicaId(((from.0 as usize + 1) % replicas) as u8);
            self.leader = hint.filter(|hint| *hint != from).unwrap_or(next);
        }
        for seq in requests {
            if seq.0 & READ_BIT != 0 {
                if let Some(read) = self.reads.get_mut(&(seq.0 & !READ_BIT)) {
                    read.progress.refused(now, from, reason, hint);
                }
                continue;
            }
            let Some(index) = self.index(*seq).filter(|index| !self.entries[*index].done) else {
                continue;
            };
            if matches!(reason, Reason::Invalid | Reason::Unsupported) {
                let sends = self.finish(index);
                let ticket = Ticket { group: self.group, seq: *seq };
                let certain = sends <= 1;
                let error = if certain { CallError::Refused(reason) } else { CallError::Unknown };
                each(ticket, Err(error));
                continue;
            }
            let chunk = (self.entries[index].chunk - self.chunk_base) as usize;
            self.chunks[chunk].progress.refused(now, from, reason, hint);
        }
        self.trim();
    }

    /// Ends what has been outstanding for longer than `timeout`.
    pub(super) fn give_up(
        &mut self,
        now: Instant,
        timeout: Duration,
        each: &mut impl FnMut(Ticket, Outcome<'_>),
    ) {
        let too_old =
            |progress: &Progress| now.saturating_duration_since(progress.created) >= timeout;
        for place in 0..self.chunks.len() {
            if too_old(&self.chunks[place].progress) {
                self.abandon_chunk(place, each);
            }
        }
        let old: Vec<u64> =
            self.reads.iter().filter(|(_, r)| too_old(&r.progress)).map(|(seq, _)| *seq).collect();
        for seq in old {
            self.reads.remove(&seq);
            let ticket = Ticket { group: self.group, seq: RequestSeq(seq | READ_BIT) };
            each(ticket, Err(CallError::Unknown));
        }
        self.trim();
    }

    /// Ends everything: the cluster is gone.
    pub(super) fn abandon(&mut self, each: &mut impl FnMut(Ticket, Outcome<'_>)) {
        if self.open.count() > 0 {
            self.seal(Instant::now());
        }
        for place in 0..self.chunks.len() {
            self.abandon_chunk(place, each);
        }
        for seq in std::mem::take(&mut self.reads).into_keys() {
            let ticket = Ticket { group: self.group, seq: RequestSeq(seq | READ_BIT) };
            each(ticket, Err(CallError::Unknown));
        }
        self.trim();
    }

    fn abandon_chunk(&mut self, place: usize, each: &mut impl FnMut(Ticket, Outcome<'_>)) {
        let first = self.chunks[place].first;
        let chunk = self.chunk_base + place as u64;
        let mut seq = RequestSeq(first.max(self.base));
        while let Some(index) = self.index(seq).filter(|index| self.entries[*index].chunk == chunk)
        {
            if !self.entries[index].done {
                self.finish(index);
                each(Ticket { group: self.group, seq }, Err(CallError::Unknown));
            }
            seq = RequestSeq(seq.0 + 1);
        }
    }

    #[inline]
    fn index(&self, seq: RequestSeq) -> Option<usize> {
        let index = seq.0.checked_sub(self.base)? as usize;
        (index < self.entries.len()).then_some(index)
    }

    /// Marks an entry as ended; how often its chunk had been sent.
    #[inline]
    fn finish(&mut self, index: usize) -> u32 {
        let entry = &mut self.entries[index];
        entry.done = true;
        entry.candidates = Vec::new();
        self.left -= 1;
        let place = (entry.chunk - self.chunk_base) as usize;
        let Some(sent) = self.chunks.get_mut(place) else { return 0 };
        sent.left -= 1;
        sent.progress.sends
    }

    /// Forgets what has ended at the front.
    fn trim(&mut self) {
        while self.entries.front().is_some_and(|entry| entry.done) {
            self.entries.pop_front();
            self.base += 1;
        }
        let oldest = self.entries.front().map(|entry| entry.chunk);
        while self.chunks.front().is_some_and(|sent| sent.left == 0)
            && oldest.is_none_or(|oldest| oldest > self.chunk_base)
        {
            self.chunks.pop_front();
            self.chunk_base += 1;
        }
    }
}

impl Progress {
    fn note_sent(&mut self, sent: bool, to: ReplicaId, due: Instant) {
        self.due = due;
        if sent {
            self.sends += 1;
            self.sent_to = Some(to);
        }
    }
}

impl Entry {
    /// Counts an answer; true when `quorum` distinct replicas gave the same.
    fn vote(
        &mut self,
        from: ReplicaId,
        answer: &answer::Answer<'_>,
        bytes: &Bytes,
        quorum: usize,
    ) -> bool {
        if self.candidates.iter().any(|candidate| candidate.voters.contains(from)) {
            return false;
        }
        let same = |candidate: &&mut Candidate| {
            candidate.status == answer.status && candidate.payload == answer.payload
        };
        if let Some(candidate) = self.candidates.iter_mut().find(same) {
            candidate.voters.insert(from);
            return candidate.voters.len() >= quorum;
        }
        let payload = bytes.slice_ref(answer.payload);
        let voters = ReplicaSet::only(from);
        self.candidates.push(Candidate { status: answer.status, payload, voters });
        false
    }
}

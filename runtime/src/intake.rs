//! From clients' chunks to sealed batches, at the pace that the batcher's window allows.
//!
//! What always holds: requests enter batches in the order in which they came; no more than
//! `requests_max` requests or `bytes_max` bytes wait (one chunk always may); what does not fit is
//! given back, not kept. A request that fails its proof is dropped and counted. Requests are copied once, from the chunk into the open batch.

use std::collections::VecDeque;

use quorate_mq::batcher::{BatchPolicy, Batcher, Decision};
use quorate_mq::compress::Compressor;
use quorate_smr::batch::BATCH_HEADER_BYTES;
use quorate_smr::{Batch, BatchBuilder, ClientId, Command, GroupId, RequestSeq, Time};

use crate::chunk::Chunk;
use crate::report::ProtocolCounters;

/// A batch that was proposed here and not decided yet.
#[derive(Debug)]
struct Proposed {
    /// Where its bytes are: unique while the batch is alive, which `batch` ensures.
    batch: Batch,
    bytes: usize,
    /// Its last request, by which it is known when it comes back in other company.
    last: (ClientId, RequestSeq),
}

/// What may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IntakeLimits {
    pub(crate) requests_max: usize,
    pub(crate) bytes_max: usize,
}

#[derive(Debug)]
pub(crate) struct Intake {
    waiting: VecDeque<Chunk>,
    waiting_requests: usize,
    waiting_bytes: usize,
    limits: IntakeLimits,
    batcher: Batcher,
    builder: BatchBuilder,
    compressor: Option<Compressor>,
    in_flight: VecDeque<Proposed>,
    /// A batch that the protocol was too busy to take.
    returned: Option<Proposed>,
    /// The request that was last put into a batch.
    last: (ClientId, RequestSeq),
    /// When anything in flight was last decided or began.
    moved_at: Time,
}

impl Intake {
    pub(crate) fn new(
        group: GroupId,
        policy: BatchPolicy,
        compressor: Option<Compressor>,
        limits: IntakeLimits,
    ) -> Self {
        Self {
            waiting: VecDeque::new(),
            waiting_requests: 0,
            waiting_bytes: 0,
            limits,
            batcher: Batcher::new(policy),
            builder: BatchBuilder::new(group),
            compressor,
            in_flight: VecDeque::new(),
            returned: None,
            last: (ClientId(0), RequestSeq(0)),
            moved_at: Time::ZERO,
        }
    }

    /// Takes a chunk in, or gives it back when too many requests wait.
    pub(crate) fn offer(&mut self, chunk: Chunk) -> Result<(), Chunk> {
        let fits = self.waiting_requests + chunk.len() <= self.limits.requests_max
            && self.waiting_bytes + chunk.bytes() <= self.limits.bytes_max;
        if !fits && self.waiting_requests > 0 {
            return Err(chunk);
        }
        self.waiting_requests += chunk.len();
        self.waiting_bytes += chunk.bytes();
        self.waiting.push_back(chunk);
        Ok(())
    }

    /// Requests that were taken in and are not in a batch in flight.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting_requests
            + self.builder.count()
            + self.returned.as_ref().map_or(0, |proposed| proposed.batch.count())
    }

    /// Batches proposed and not decided.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The next batch to propose, if one is due. `admit` decides about each request.
    pub(crate) fn next(
        &mut self,
        now: Time,
        admit: impl Fn(&Command<'_>) -> bool,
        counters: &mut ProtocolCounters,
    ) -> Option<Batch> {
        if self.returned.is_some() {
            return None;
        }
        self.fill(now, admit, counters);
        if self.batcher.poll(now.0) != Decision::Cut {
            return None;
        }
        let size = self.batcher.cut();
        let batch = self.builder.seal(self.compressor.as_mut());
        counters.batches += 1;
        counters.requests += batch.count() as u64;
        counters.raw_bytes += (BATCH_HEADER_BYTES + batch.header().raw_bytes as usize) as u64;
        counters.sealed_bytes += batch.len() as u64;
        if self.in_flight.is_empty() {
            self.moved_at = now;
        }
        self.in_flight.push_back(Proposed {
            batch: batch.clone(),
            bytes: size.bytes,
            last: self.last,
        });
        Some(batch)
    }

    /// Moves waiting requests into the open batch until it is full.
    fn fill(
        &mut self,
        now: Time,
        admit: impl Fn(&Command<'_>) -> bool,
        counters: &mut ProtocolCounters,
    ) {
        while let Some(chunk) = self.waiting.front_mut() {
            while let Some(command) = chunk.peek() {
                let (payload_bytes, auth_bytes) = (command.payload.len(), command.auth.len());
                if !self.batcher.fits(command.encoded_bytes()) {
                    let _ = self.batcher.add(now.0, command.encoded_bytes());
                    return;
                }
                if admit(&command) && self.builder.push(&command).is_ok() {
                    self.last = (command.client, command.seq);
                    let _ = self.batcher.add(now.0, command.encoded_bytes());
                } else {
                    counters.auth_failures += 1;
                }
                let before = chunk.bytes();
                chunk.advance(payload_bytes, auth_bytes);
                self.waiting_bytes -= before - chunk.bytes();
                self.waiting_requests -= 1;
            }
            self.waiting.pop_front();
        }
    }

    /// `batch` was decided; true when it was proposed here.
    pub(crate) fn decided(&mut self, batch: &Batch, now: Time) -> bool {
        let ours = self.in_flight.front().is_some_and(|front| same(&front.batch, batch));
        if ours && let Some(proposed) = self.in_flight.pop_front() {
            self.batcher.completed(proposed.bytes);
            self.moved_at = now;
        }
        ours
    }

    /// `batch` was decided at a replica that only passes batches on: the one who orders them may
    /// have regrouped, reordered and copied them, so that ours are known by their last requests.
    /// Costs a look at each request while anything is in flight here, nothing otherwise.
    pub(crate) fn decided_elsewhere(&mut self, batch: &Batch, now: Time) {
        if self.in_flight.is_empty() {
            return;
        }
        let mut scratch = Vec::new();
        let Ok(body) = batch.body(&mut scratch) else { return };
        for command in body.commands() {
            let request = (command.client, command.seq);
            let found = self.in_flight.iter().position(|proposed| proposed.last == request);
            if let Some(proposed) = found.and_then(|index| self.in_flight.remove(index)) {
                self.batcher.completed(proposed.bytes);
                self.moved_at = now;
            }
        }
    }

    /// `batch` was refused; `again` keeps it to be proposed once more.
    pub(crate) fn refused(&mut self, batch: &Batch, again: bool) {
        let found = self.in_flight.iter().rposition(|proposed| same(&proposed.batch, batch));
        let Some(proposed) = found.and_then(|index| self.in_flight.remove(index)) else { return };
        if again {
            self.returned = Some(proposed);
        } else {
            self.batcher.completed(proposed.bytes);
        }
    }

    /// Takes the batch that the protocol was too busy for, to propose it again.
    pub(crate) fn take_returned(&mut self) -> Option<Batch> {
        let proposed = self.returned.take()?;
        let batch = proposed.batch.clone();
        self.in_flight.push_back(proposed);
        Some(batch)
    }

    /// Gives up what is in flight: with a leadership, or when nothing moved for too long. Clients
    /// ask again.
    pub(crate) fn forget_in_flight(&mut self) {
        self.in_flight.clear();
        self.returned = None;
        self.batcher.forget_in_flight();
    }

    /// Since when nothing in flight was decided, if anything is in flight.
    pub(crate) fn stuck_since(&self) -> Option<Time> {
        (!self.in_flight.is_empty() || self.returned.is_some()).then_some(self.moved_at)
    }

    /// When a batch may become due though nothing else happens.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.batcher.deadline().map(Time)
    }
}

/// Whether two handles are of one sealed batch. Two batches alive at once never share bytes.
fn same(left: &Batch, right: &Batch) -> bool {
    left.as_bytes().as_ptr() == right.as_bytes().as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::ChunkBuilder;

    fn chunk(first: u64, count: u64) -> Chunk {
        let mut builder = ChunkBuilder::default();
        for seq in first..first + count {
            builder.push(RequestSeq(seq), b"payload", b"");
        }
        builder.seal(ClientId(1))
    }

    fn intake(policy: BatchPolicy, requests_max: usize) -> Intake {
        let limits = IntakeLimits { requests_max, bytes_max: 1000 };
        Intake::new(GroupId(0), policy, None, limits)
    }

    fn batches(intake: &mut Intake) -> Vec<Batch> {
        let mut counters = ProtocolCounters::default();
        std::iter::from_fn(|| intake.next(Time(1), |_| true, &mut counters)).collect()
    }

    #[test]
    fn what_waits_leaves_as_one_batch_and_the_window_gathers_the_rest() {
        let policy = BatchPolicy::adaptive().with_window(1, 64 << 10).unwrap();
        let mut intake = intake(policy, 1000);
        intake.offer(chunk(1, 20)).unwrap();
        intake.offer(chunk(21, 20)).unwrap();
        let first = batches(&mut intake);
        assert_eq!(first.iter().map(Batch::count).collect::<Vec<_>>(), [40]);
        intake.offer(chunk(41, 5)).unwrap();
        assert!(batches(&mut intake).is_empty());
        assert!(intake.decided(&first[0], Time(2)));
        assert_eq!(batches(&mut intake)[0].count(), 5);
    }

    #[test]
    fn batching_off_makes_each_request_its_own_batch_within_the_window() {
        let policy = BatchPolicy::single().with_window(3, 1 << 20).unwrap();
        let mut intake = intake(policy, 1000);
        intake.offer(chunk(1, 10)).unwrap();
        let sent = batches(&mut intake);
        assert_eq!(sent.iter().map(Batch::count).collect::<Vec<_>>(), [1, 1, 1]);
        assert!(!intake.decided(&sent[1], Time(2)), "batches are decided in order");
        assert!(intake.decided(&sent[0], Time(2)));
        assert_eq!(batches(&mut intake).len(), 1);
        assert_eq!(intake.waiting(), 6);
    }

    #[test]
    fn what_was_passed_on_is_known_again_regrouped_and_in_any_order() {
        let policy = BatchPolicy::single().with_window(3, 1 << 20).unwrap();
        let mut intake = intake(policy, 1000);
        intake.offer(chunk(1, 10)).unwrap();
        assert_eq!(batches(&mut intake).len(), 3);
        let mut other = BatchBuilder::new(GroupId(0));
        for (client, seq) in [(2, 1), (1, 3), (1, 1), (1, 9)] {
            let (client, seq) = (ClientId(client), RequestSeq(seq));
            other.push(&Command { client, seq, payload: b"payload", auth: b"" }).unwrap();
        }
        let regrouped = other.seal(None);
        assert!(!intake.decided(&regrouped, Time(2)), "it is none of ours as a whole");
        intake.decided_elsewhere(&regrouped, Time(2));
        assert_eq!(intake.in_flight(), 1, "request 2 is not decided");
        assert_eq!(batches(&mut intake).len(), 2, "the window has room for two again");
    }

    #[test]
    fn a_batch_that_came_back_is_proposed_again_before_any_other() {
        let mut intake = intake(BatchPolicy::single(), 1000);
        intake.offer(chunk(1, 1)).unwrap();
        let first = batches(&mut intake).remove(0);
        intake.refused(&first, true);
        intake.offer(chunk(2, 1)).unwrap();
        assert!(batches(&mut intake).is_empty());
        assert_eq!(intake.take_returned(), Some(first));
        assert_eq!(batches(&mut intake).len(), 1);
    }

    #[test]
    fn more_than_the_limit_is_given_back() {
        let mut intake = intake(BatchPolicy::adaptive(), 10);
        intake.offer(chunk(1, 8)).unwrap();
        assert_eq!(intake.offer(chunk(9, 3)).unwrap_err().len(), 3);
        intake.offer(chunk(9, 2)).unwrap();
        assert_eq!(intake.waiting(), 10);
    }

    #[test]
    fn more_bytes_than_the_limit_are_given_back_but_a_lone_chunk_never_is() {
        let mut intake = intake(BatchPolicy::adaptive(), 1000);
        intake.offer(chunk(1, 200)).unwrap();
        assert!(intake.offer(chunk(201, 1)).is_err());
        assert_eq!(batches(&mut intake)[0].count(), 200);
        intake.offer(chunk(201, 1)).unwrap();
    }

    #[test]
    fn a_request_that_fails_its_proof_is_dropped_and_counted() {
        let mut intake = intake(BatchPolicy::adaptive(), 10);
        intake.offer(chunk(1, 4)).unwrap();
        let mut counters = ProtocolCounters::default();
        let odd = |command: &Command<'_>| command.seq.0 % 2 == 1;
        let batch = intake.next(Time(1), odd, &mut counters).unwrap();
        assert_eq!((batch.count(), counters.auth_failures), (2, 2));
        assert_eq!(intake.waiting(), 0);
    }
}

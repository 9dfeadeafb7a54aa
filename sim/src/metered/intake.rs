//! From requests to sealed batches at the leader of a group, at the pace that the window allows.
//!
//! What always holds: requests enter batches in the order in which they came, and the batcher that
//! ships decides when a batch leaves. Proofs of origin are real; so are the bytes of a batch.

use std::collections::VecDeque;

use bytes::Bytes;
use quorate_mq::batcher::{BatchPolicy, Batcher, Decision};
use quorate_mq::compress::{CompressionPolicy, Compressor};
use quorate_smr::{Batch, BatchBuilder, ClientId, Command, GroupId, RequestSeq};

use super::costs::Costs;

/// A client's request at its leader.
pub(super) struct Request {
    pub(super) client: ClientId,
    pub(super) seq: RequestSeq,
    pub(super) payload: Bytes,
    pub(super) proof: Vec<u8>,
}

impl Request {
    fn command(&self) -> Command<'_> {
        Command { client: self.client, seq: self.seq, payload: &self.payload, auth: &self.proof }
    }
}

/// What waits at a leader and what it has in flight.
pub(super) struct Intake {
    waiting: VecDeque<Request>,
    batcher: Batcher,
    builder: BatchBuilder,
    compressor: Option<Compressor>,
    in_flight: VecDeque<(Batch, usize)>,
    /// What taking requests in cost and was not charged yet, in picoseconds.
    owed_ps: u64,
}

/// What a leader's batches were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchCounts {
    /// Batches.
    pub batches: u64,
    /// Commands in them.
    pub commands: u64,
    /// Their bytes before compression.
    pub raw_bytes: u64,
    /// Their bytes as sent.
    pub sealed_bytes: u64,
}

impl Intake {
    pub(super) fn new(group: usize, batching: BatchPolicy, policy: CompressionPolicy) -> Self {
        let compressor = (policy != CompressionPolicy::Off).then(|| Compressor::new(policy));
        Self {
            waiting: VecDeque::new(),
            batcher: Batcher::new(batching),
            builder: BatchBuilder::new(GroupId(group as u32)),
            compressor,
            in_flight: VecDeque::new(),
            owed_ps: 0,
        }
    }

    pub(super) fn offer(&mut self, request: Request) {
        self.waiting.push_back(request);
    }

    /// The next batch, if one is due. `admits` decides about each request. What it cost is kept
    /// for [`Intake::take_cost`].
    ///
    /// # Errors
    /// When a request is refused or does not fit a batch: an honest client's always does.
    pub(super) fn next(
        &mut self,
        now_ns: u64,
        costs: &Costs,
        admits: impl Fn(&Command<'_>) -> bool,
    ) -> Result<Option<Batch>, String> {
        while let Some(request) = self.waiting.front() {
            let command = request.command();
            if !self.batcher.fits(command.encoded_bytes()) {
                let _ = self.batcher.add(now_ns, command.encoded_bytes());
                break;
            }
            if !admits(&command) {
                return Err("a request of an honest client was refused".into());
            }
            self.builder.push(&command).map_err(|error| error.to_string())?;
            let _ = self.batcher.add(now_ns, command.encoded_bytes());
            self.owed_ps += costs.request.of(command.payload.len());
            self.waiting.pop_front();
        }
        if self.batcher.poll(now_ns) != Decision::Cut {
            return Ok(None);
        }
        let size = self.batcher.cut();
        let batch = self.seal(costs);
        self.in_flight.push_back((batch.clone(), size.bytes));
        Ok(Some(batch))
    }

    /// What the work since the last call cost, in picoseconds.
    pub(super) fn take_cost(&mut self) -> u64 {
        std::mem::take(&mut self.owed_ps)
    }

    fn seal(&mut self, costs: &Costs) -> Batch {
        let tried_before = self.compressor.as_ref().map_or(0, Compressor::tried);
        let batch = self.builder.seal(self.compressor.as_mut());
        let tried = self.compressor.as_ref().map_or(0, Compressor::tried) > tried_before;
        self.owed_ps += costs.seal.of(batch.len());
        if tried {
            self.owed_ps += u64::from(batch.header().raw_bytes) * costs.compress_byte_ps;
        }
        batch
    }

    /// `batch` was decided; true when it was the next of ours.
    pub(super) fn decided(&mut self, batch: &Batch) -> bool {
        let same =
            |(front, _): &(Batch, usize)| front.as_bytes().as_ptr() == batch.as_bytes().as_ptr();
        if !self.in_flight.front().is_some_and(same) {
            return false;
        }
        if let Some((_, bytes)) = self.in_flight.pop_front() {
            self.batcher.completed(bytes);
        }
        true
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty()
    }
}

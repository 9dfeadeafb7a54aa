//! Load on a running cluster: clients that keep a window full, and one that keeps to a schedule.
//!
//! Clients record the calls and answers of a few keys, which the history check reads; of all other
//! requests they count the ends. Everything that is sent was generated before.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_runtime::{Client, SubmitError, Ticket};
use quorate_sim::lincheck::{KvCall, KvOperation, KvReturn, Operation as Recorded};
use quorate_smr::kv::KvAnswer;
use quorate_smr::{Protocol, Reads};

use crate::workload::{Kind, Operation};

/// The share of a schedule's interval before a send in which the clock is watched instead of slept
/// on: sleeping longer than asked for is common, and would be counted as latency.
const WATCH: Duration = Duration::from_micros(150);

/// What one client did and saw.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Requests answered inside the measured time.
    pub(crate) measured: u64,
    /// Requests sent through the log at any time.
    pub(crate) ordered: u64,
    /// Requests that ended without an answer.
    pub(crate) errors: u64,
    /// The first of those, in words.
    pub(crate) error: Option<String>,
    /// Calls and answers of the tracked keys.
    pub(crate) history: Vec<KvOperation>,
    /// Latencies of the open loop.
    pub(crate) latencies: Vec<Duration>,
}

/// What a client goes by.
pub(crate) struct Script<'a> {
    /// What to send, again from the start when the end is reached.
    pub(crate) operations: &'a [Operation],
    /// Records whose calls and answers are kept; few, so that they are searched one by one.
    pub(crate) tracked: &'a [u32],
    /// The origin of the history's times.
    pub(crate) origin: Instant,
}

/// A client with its script and its tally.
pub(crate) struct Driver<'a, P: Protocol> {
    client: Client<P>,
    script: Script<'a>,
    next: usize,
    open: BTreeMap<Ticket, usize>,
    tally: Tally,
}

impl<'a, P: Protocol> Driver<'a, P> {
    pub(crate) fn new(client: Client<P>, script: Script<'a>) -> Self {
        Self { client, script, next: 0, open: BTreeMap::new(), tally: Tally::default() }
    }

    /// Keeps `window` requests in flight until `end`, counts those answered from `begin` on, then
    /// waits for the rest.
    pub(crate) fn closed_loop(&mut self, window: usize, begin: Instant, end: Instant) {
        loop {
            let now = Instant::now();
            if now >= end {
                break;
            }
            while self.client.outstanding() < window {
                match self.send() {
                    Ok(_) => {}
                    // Numbers in flight must lie close together: an old one is still open.
                    Err(SubmitError::WindowFull) => break,
                    Err(error) => return self.tally.note(&error),
                }
            }
            let answered = self.receive(end);
            if Instant::now() >= begin && now < end {
                self.tally.measured += answered;
            }
        }
        self.drain();
    }

    /// Keeps `window` requests in flight until `count` were sent and answered.
    pub(crate) fn count_loop(&mut self, window: usize, count: u64) {
        let mut left = count;
        while left > 0 {
            while left > 0 && self.client.outstanding() < window {
                match self.send() {
                    Ok(_) => left -= 1,
                    Err(SubmitError::WindowFull) => break,
                    Err(error) => return self.tally.note(&error),
                }
            }
            self.receive(Instant::now() + Duration::from_millis(100));
        }
        self.drain();
    }

    /// Sends `count` requests, one every `interval`, and records how long after its intended time
    /// each was answered.
    pub(crate) fn open_loop(&mut self, count: usize, interval: Duration) {
        let start = Instant::now() + interval;
        let mut due: BTreeMap<Ticket, Instant> = BTreeMap::new();
        for number in 0..count {
            let intended = start + interval * number as u32;
            while Instant::now() < intended {
                let sleep_until = intended - WATCH;
                if due.is_empty() {
                    let left = sleep_until.saturating_duration_since(Instant::now());
                    if left.is_zero() { std::hint::spin_loop() } else { std::thread::sleep(left) }
                } else {
                    self.receive_timed(sleep_until.max(Instant::now()), &mut due);
                }
            }
            let sent = self.send().and_then(|ticket| self.client.flush().map(|()| ticket));
            match sent {
                Ok(ticket) => due.insert(ticket, intended),
                Err(error) => return self.tally.note(&error),
            };
        }
        while !due.is_empty() && self.client.outstanding() > 0 {
            self.receive_timed(Instant::now() + Duration::from_millis(100), &mut due);
        }
    }

    /// Reads every tracked record once, at the end, so that the history shows what became of it.
    pub(crate) fn read_tracked(&mut self, key_of: impl Fn(u32) -> Bytes) {
        for record in self.script.tracked {
            if let Err(error) = self.submit(&Operation::read(*record, key_of(*record))) {
                return self.tally.note(&error);
            }
            self.drain();
        }
    }

    /// Whether a request ended without an answer.
    pub(crate) fn has_failed(&self) -> bool {
        self.tally.errors > 0
    }

    /// What the client saw.
    pub(crate) fn finish(self) -> Tally {
        self.tally
    }

    /// The client, for more work, and what it saw.
    pub(crate) fn into_parts(self) -> (Client<P>, Tally) {
        (self.client, self.tally)
    }

    /// Sends the script's next operation.
    fn send(&mut self) -> Result<Ticket, SubmitError> {
        let operations = self.script.operations;
        let ticket = self.submit(&operations[self.next])?;
        self.next = if self.next + 1 == operations.len() { 0 } else { self.next + 1 };
        Ok(ticket)
    }

    #[inline]
    fn submit(&mut self, operation: &Operation) -> Result<Ticket, SubmitError> {
        let tracked = self.script.tracked.contains(&operation.record);
        let called_at = if tracked { self.clock() } else { 0 };
        let is_read = operation.kind == Kind::Read;
        let ticket = if is_read {
            self.client.submit_read(&operation.key, &operation.command)?
        } else {
            self.client.submit(&operation.key, &operation.command)?
        };
        if !is_read || P::READS == Reads::Ordered {
            self.tally.ordered += 1;
        }
        if tracked {
            self.open.insert(ticket, self.tally.history.len());
            // Each request is a process of its own: one client has many in flight.
            let process = self.tally.history.len() as u32;
            let call = recorded_call(operation);
            let operation_of_key = Recorded { process, call, called_at, returned: None };
            let key = operation.key.to_vec();
            self.tally.history.push(KvOperation { key, operation: operation_of_key });
        }
        Ok(ticket)
    }

    fn clock(&self) -> u64 {
        u64::try_from(self.script.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn drain(&mut self) {
        while self.client.outstanding() > 0 {
            self.receive(Instant::now() + Duration::from_millis(100));
        }
    }

    /// Waits for answers until `deadline` and returns how many came.
    fn receive(&mut self, deadline: Instant) -> u64 {
        self.receive_each(deadline, |_| ())
    }

    fn receive_timed(&mut self, deadline: Instant, due: &mut BTreeMap<Ticket, Instant>) {
        let mut latencies = std::mem::take(&mut self.tally.latencies);
        self.receive_each(deadline, |ticket| {
            if let Some(intended) = due.remove(&ticket) {
                latencies.push(intended.elapsed());
            }
        });
        self.tally.latencies = latencies;
    }

    fn receive_each(&mut self, deadline: Instant, mut each: impl FnMut(Ticket)) -> u64 {
        let Self { client, script, open, tally, .. } = self;
        let mut answered = 0;
        client.poll_with(deadline, |ticket, outcome| {
            each(ticket);
            match outcome {
                Ok((_, reply)) => {
                    answered += 1;
                    if !open.is_empty()
                        && let Some(index) = open.remove(&ticket)
                    {
                        let now = u64::try_from(script.origin.elapsed().as_nanos());
                        tally.record(index, now.unwrap_or(u64::MAX), reply);
                    }
                }
                Err(error) => tally.note(&error),
            }
        });
        answered
    }
}

impl Tally {
    /// Both tallies together.
    pub(crate) fn with(mut self, other: Self) -> Self {
        self.measured += other.measured;
        self.ordered += other.ordered;
        self.errors += other.errors;
        self.error = self.error.or(other.error);
        self.history.extend(other.history);
        self.latencies.extend(other.latencies);
        self
    }

    fn note(&mut self, error: &impl ToString) {
        self.errors += 1;
        self.error.get_or_insert_with(|| error.to_string());
    }

    /// Notes the answer to the call at `index` of the history.
    fn record(&mut self, index: usize, at: u64, reply: &[u8]) {
        match recorded_return(reply) {
            Some(returned) => self.history[index].operation.returned = Some((at, returned)),
            None => self.note(&"a reply is not an answer to what was asked"),
        }
    }
}

fn recorded_call(operation: &Operation) -> KvCall {
    let value = operation.value().to_vec();
    match operation.kind {
        Kind::Read => KvCall::Get,
        Kind::Put(_) => KvCall::Put(value),
    }
}

fn recorded_return(reply: &[u8]) -> Option<KvReturn> {
    match KvAnswer::decode(reply).ok()? {
        KvAnswer::Value(value) => Some(KvReturn::Value(value.map(<[u8]>::to_vec))),
        KvAnswer::Written { existed } => Some(KvReturn::Written { existed }),
        _ => None,
    }
}

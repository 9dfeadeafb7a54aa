//! Load on a running cluster: clients that keep a window full, and those that keep to a schedule.
//!
//! Clients record the calls and answers of a few keys, which the history check reads; of all other
//! requests they count the ends. Everything that is sent was generated before. A record that is
//! read and written back is read first, and the write leaves when the answer has come.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_runtime::{Client, SubmitError, Ticket};
use quorate_sim::lincheck::{KvCall, KvOperation, KvReturn, Operation as Recorded};
use quorate_smr::kv::KvAnswer;
use quorate_smr::{Protocol, Reads};

use crate::workload::{Kind, Operation};

pub(crate) mod schedule;

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
    /// Reads whose record is then written: which operation of the script that is.
    reading: BTreeMap<Ticket, usize>,
    /// Such writes whose read was answered, and when the operation was due on a schedule.
    follow_ups: VecDeque<(usize, Option<Instant>)>,
    tally: Tally,
}

impl<'a, P: Protocol> Driver<'a, P> {
    pub(crate) fn new(client: Client<P>, script: Script<'a>) -> Self {
        Self {
            client,
            script,
            next: 0,
            open: BTreeMap::new(),
            reading: BTreeMap::new(),
            follow_ups: VecDeque::new(),
            tally: Tally::default(),
        }
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

    /// Sends the script's next operation, or the read that goes before it.
    fn send(&mut self) -> Result<Ticket, SubmitError> {
        let operations = self.script.operations;
        let operation = &operations[self.next];
        let ticket = match &operation.read_first {
            None => self.submit(operation)?,
            Some(query) => {
                let ticket = self.submit_call(operation, query, true)?;
                self.reading.insert(ticket, self.next);
                ticket
            }
        };
        self.next = if self.next + 1 == operations.len() { 0 } else { self.next + 1 };
        Ok(ticket)
    }

    /// Sends the writes whose reads were answered, as far as the window has room. `sent` is told
    /// each, with the time at which its operation was due.
    fn send_follow_ups(&mut self, mut sent: impl FnMut(Ticket, Option<Instant>)) {
        while let Some((index, intended)) = self.follow_ups.pop_front() {
            match self.submit(&self.script.operations[index]) {
                Ok(ticket) => sent(ticket, intended),
                Err(SubmitError::WindowFull) => {
                    return self.follow_ups.push_front((index, intended));
                }
                Err(error) => return self.tally.note(&error),
            }
        }
    }

    fn submit(&mut self, operation: &Operation) -> Result<Ticket, SubmitError> {
        self.submit_call(operation, &operation.command, operation.kind == Kind::Read)
    }

    /// Sends `bytes`, a read of the operation's record or its command.
    #[inline]
    fn submit_call(
        &mut self,
        operation: &Operation,
        bytes: &[u8],
        is_read: bool,
    ) -> Result<Ticket, SubmitError> {
        let tracked = self.script.tracked.contains(&operation.record);
        let called_at = if tracked { self.clock() } else { 0 };
        let ticket = if is_read {
            self.client.submit_read(&operation.key, bytes)?
        } else {
            self.client.submit(&operation.key, bytes)?
        };
        if !is_read || P::READS == Reads::Ordered {
            self.tally.ordered += 1;
        }
        if tracked {
            self.open.insert(ticket, self.tally.history.len());
            // Each request is a process of its own: one client has many in flight.
            let process = self.tally.history.len() as u32;
            let call = recorded_call(operation, is_read);
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
        while self.client.outstanding() > 0 || !self.follow_ups.is_empty() {
            self.receive(Instant::now() + Duration::from_millis(100));
        }
    }

    /// Waits for answers until `deadline` and returns how many came.
    fn receive(&mut self, deadline: Instant) -> u64 {
        let answered = self.receive_each(deadline, |_, _| None);
        self.send_follow_ups(|_, _| ());
        answered
    }

    /// As [`Self::receive`], without sending; `each` is told every ticket and whether a write
    /// follows it, and says when the operation was due on a schedule.
    fn receive_each(
        &mut self,
        deadline: Instant,
        mut each: impl FnMut(Ticket, bool) -> Option<Instant>,
    ) -> u64 {
        let Self { client, script, open, reading, follow_ups, tally, .. } = self;
        let mut answered = 0;
        client.poll_with(deadline, |ticket, outcome| {
            let follow_up = if reading.is_empty() { None } else { reading.remove(&ticket) };
            let due = each(ticket, follow_up.is_some());
            follow_ups.extend(follow_up.map(|index| (index, due)));
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

fn recorded_call(operation: &Operation, is_read: bool) -> KvCall {
    if is_read { KvCall::Get } else { KvCall::Put(operation.value().to_vec()) }
}

fn recorded_return(reply: &[u8]) -> Option<KvReturn> {
    match KvAnswer::decode(reply).ok()? {
        KvAnswer::Value(value) => Some(KvReturn::Value(value.map(<[u8]>::to_vec))),
        KvAnswer::Written { existed } => Some(KvReturn::Written { existed }),
        _ => None,
    }
}

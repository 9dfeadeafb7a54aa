//! When to send what has been collected: a pure value that is told the time.
//!
//! Items join the *open* batch. A batch that is *cut* is in flight until its owner reports it as
//! completed. At most a *window* of batches and bytes is in flight; while it is full, items
//! gather, so that under load batches grow by themselves. Three policies differ in when they cut
//! while the window has room:
//!
//! | policy | cuts | a lone item waits | for |
//! |---|---|---|---|
//! | [`BatchPolicy::single`] | at every item | never | comparison: batching off |
//! | [`BatchPolicy::fixed`] | when full, or when the oldest item has waited for the linger | for the linger | comparison: a timer costs exactly itself |
//! | [`BatchPolicy::adaptive`] | whenever anything is there: "what was waiting when the previous batch left" | never | the default |
//!
//! What always holds: no batch exceeds the policy's count; none exceeds its bytes, except one
//! item that does so alone; items leave in the order in which they came; with nothing in flight
//! an item of the single and adaptive policies is never delayed; while the window has room, what
//! lingers leaves exactly at its deadline; nothing stays once completions and time go on.
//! Left to others: the items (see [`BatchQueue`] for a queue that holds them), the clock, and
//! calling [`Batcher::poll`] at [`Batcher::deadline`].
//!
//! # Which limits
//!
//! *Linger* is off, because it costs exactly itself: at low load every item is late by the whole
//! timer, and at high load batches fill before it strikes. (Kafka waited for nothing until its
//! version 4; TigerBeetle and Aeron never wait.) What a timer is meant to bring, larger batches
//! under load, the window brings without one: while it is full, items gather. The adaptive policy can be
//! told to linger nevertheless; it then does so only behind two batches in flight, where the item
//! would mostly wait anyway. Keep it under 200 µs or a two-hundredth of the round trip.
//!
//! *The window* should be the bandwidth times the round trip, in bytes. Too small, and throughput
//! is at most window over round trip (Little's law): one batch in flight, the rule of Nagle and of
//! classic group commit, makes an arrival wait for the whole flight and doubles the 99th percentile
//! already at a tenth of the capacity. Too large, and queues form in the network or the journal
//! instead of here, where they would make batches larger. It is counted in bytes, because a
//! window counted in batches fills with tiny batches over a long round trip; the limit of eight
//! batches is right where the round trip is short and each batch has a fixed cost (a slot, a
//! vote, a sync): [`BatchPolicy::with_window_bytes`] lifts it for links where it is not.
//!
//! | link | batch bytes | window |
//! |---|---|---|
//! | 0.1 ms, 10 Gbit/s | 64 KiB | eight batches, 512 KiB: the default |
//! | 50 ms, 1 Gbit/s | 1 MiB | `with_window_bytes(6 << 20)` |
//!
//! *Count and bytes* bound the time and memory that one batch takes at its receiver; beyond some
//! sixty items there is little left to save (the fixed cost of a batch is spread), so they are
//! limits against bursts, not targets.
//!
//! Literature: Nagle, RFC 896 (1984); Santos and Schiper, "Tuning Paxos for high throughput with
//! batching and pipelining" (ICDCN 2012).

use std::time::Duration;

use thiserror::Error;

pub use self::queue::BatchQueue;

mod queue;
#[cfg(test)]
mod tests;

/// Items in a batch, unless told otherwise.
pub const BATCH_COUNT_DEFAULT: usize = 8_192;
/// Bytes in a batch, unless told otherwise: right for a local network; a wide one wants 1 MiB.
pub const BATCH_BYTES_DEFAULT: usize = 64 << 10;
/// Batches in flight, unless told otherwise.
pub const WINDOW_BATCHES_DEFAULT: usize = 8;
/// The most batches in flight where only bytes are counted: what a receiver must be able to keep
/// apart.
pub const WINDOW_BATCHES_MAX: usize = 65_536;
/// The longest linger that a policy accepts.
pub const LINGER_MAX: Duration = Duration::from_secs(10);

/// Why a policy was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// A limit of zero lets nothing through.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// A full batch would never fit the window.
    #[error("a window of {window} bytes cannot hold a batch of {batch}; widen the window")]
    WindowBelowBatch {
        /// The window asked for, in bytes.
        window: usize,
        /// The largest batch, in bytes.
        batch: usize,
    },
    /// Longer than [`LINGER_MAX`].
    #[error("a linger of {0:?} exceeds the limit of {LINGER_MAX:?}")]
    LingerTooLong(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Mode {
    Single,
    Fixed,
    Adaptive,
}

/// When batches are cut, and how much may be in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BatchPolicy {
    mode: Mode,
    count_max: usize,
    bytes_max: usize,
    linger_ns: u64,
    window_batches: usize,
    window_bytes: usize,
}

impl BatchPolicy {
    /// What is waiting leaves as soon as the window has room; nothing waits for a timer.
    pub fn adaptive() -> Self {
        Self {
            mode: Mode::Adaptive,
            count_max: BATCH_COUNT_DEFAULT,
            bytes_max: BATCH_BYTES_DEFAULT,
            linger_ns: 0,
            window_batches: WINDOW_BATCHES_DEFAULT,
            window_bytes: WINDOW_BATCHES_DEFAULT * BATCH_BYTES_DEFAULT,
        }
    }

    /// Each item leaves alone.
    pub fn single() -> Self {
        Self { mode: Mode::Single, count_max: 1, ..Self::adaptive() }
    }

    /// `count_max` items leave together; fewer leave when the oldest has waited for `linger`.
    ///
    /// # Errors
    /// [`PolicyError`] when `count_max` is zero or `linger` longer than [`LINGER_MAX`].
    pub fn fixed(count_max: usize, linger: Duration) -> Result<Self, PolicyError> {
        Self { mode: Mode::Fixed, ..Self::adaptive() }
            .with_count_max(count_max)?
            .with_linger(linger)
    }

    /// Limits the items of a batch. The single policy keeps its limit of one.
    ///
    /// # Errors
    /// [`PolicyError::Zero`].
    pub fn with_count_max(mut self, count_max: usize) -> Result<Self, PolicyError> {
        if count_max == 0 {
            return Err(PolicyError::Zero("the items of a batch"));
        }
        if self.mode != Mode::Single {
            self.count_max = count_max;
        }
        Ok(self)
    }

    /// Limits the bytes of a batch, and widens the window in bytes to its number of such
    /// batches; set a narrower one with [`BatchPolicy::with_window`] afterwards.
    ///
    /// # Errors
    /// [`PolicyError::Zero`].
    pub fn with_bytes_max(mut self, bytes_max: usize) -> Result<Self, PolicyError> {
        if bytes_max == 0 {
            return Err(PolicyError::Zero("the bytes of a batch"));
        }
        self.bytes_max = bytes_max;
        self.window_bytes = bytes_max.saturating_mul(self.window_batches);
        Ok(self)
    }

    /// Limits what is in flight. On a wide network the bytes should be bandwidth times delay and
    /// the batches many; one batch is "no pipelining".
    ///
    /// # Errors
    /// [`PolicyError`] when `batches` is zero or `bytes` do not hold one full batch.
    pub fn with_window(mut self, batches: usize, bytes: usize) -> Result<Self, PolicyError> {
        if batches == 0 {
            return Err(PolicyError::Zero("the batches of a window"));
        }
        if bytes < self.bytes_max {
            return Err(PolicyError::WindowBelowBatch { window: bytes, batch: self.bytes_max });
        }
        self.window_batches = batches;
        self.window_bytes = bytes;
        Ok(self)
    }

    /// Limits what is in flight by its bytes alone (and [`WINDOW_BATCHES_MAX`]): for links whose
    /// bandwidth times delay holds many small batches.
    ///
    /// # Errors
    /// [`PolicyError::WindowBelowBatch`] when `bytes` do not hold one full batch.
    pub fn with_window_bytes(self, bytes: usize) -> Result<Self, PolicyError> {
        self.with_window(WINDOW_BATCHES_MAX, bytes)
    }

    /// How long an item may wait for company. The adaptive policy waits only while more than one
    /// batch is in flight already, and not at all by default; the single policy never does.
    ///
    /// # Errors
    /// [`PolicyError::LingerTooLong`].
    pub fn with_linger(mut self, linger: Duration) -> Result<Self, PolicyError> {
        if linger > LINGER_MAX {
            return Err(PolicyError::LingerTooLong(linger));
        }
        self.linger_ns = u64::try_from(linger.as_nanos()).expect("LINGER_MAX fits");
        Ok(self)
    }

    /// The most items in a batch.
    pub fn count_max(&self) -> usize {
        self.count_max
    }

    /// The most bytes in a batch of more than one item.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// The most batches in flight.
    pub fn window_batches(&self) -> usize {
        self.window_batches
    }

    /// The most bytes in flight, as long as more than one batch is.
    pub fn window_bytes(&self) -> usize {
        self.window_bytes
    }

    /// How long an item may wait for company; zero is never.
    pub fn linger(&self) -> Duration {
        Duration::from_nanos(self.linger_ns)
    }
}

impl Default for BatchPolicy {
    fn default() -> Self {
        Self::adaptive()
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use]
pub enum Decision {
    /// Nothing, until an item, a completion or the deadline comes.
    Wait,
    /// Call [`Batcher::cut`] and send the batch.
    Cut,
    /// The item was *not* added: it does not fit into the open batch. Add it again after the cut,
    /// which [`Batcher::poll`] allows as soon as the window has room.
    Full,
}

/// The size of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct BatchSize {
    /// Its items.
    pub count: usize,
    /// Their bytes.
    pub bytes: usize,
}

/// Tracks the open batch and what is in flight, and decides when to cut. All calls take constant
/// time and no memory. Times are in nanoseconds of any clock that does not go back.
///
/// ```
/// use quorate_mq::batcher::{BatchPolicy, Batcher, Decision};
///
/// let one_in_flight = BatchPolicy::adaptive().with_window(1, 64 << 10)?;
/// let mut batcher = Batcher::new(one_in_flight);
/// assert_eq!(batcher.add(0, 100), Decision::Cut); // idle: a lone item leaves at once
/// let first = batcher.cut();
/// assert_eq!(batcher.add(10, 100), Decision::Wait); // the window is full: items gather
/// assert_eq!(batcher.add(20, 100), Decision::Wait);
/// batcher.completed(first.bytes);
/// assert_eq!(batcher.poll(30), Decision::Cut);
/// assert_eq!(batcher.cut().count, 2);
/// # Ok::<(), quorate_mq::batcher::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Batcher {
    policy: BatchPolicy,
    open: BatchSize,
    /// When the first item of the open batch came.
    opened_at: u64,
    /// An item was refused: the open batch will not grow any more.
    complete: bool,
    in_flight_batches: usize,
    in_flight_bytes: usize,
}

impl Batcher {
    /// A batcher with nothing open and nothing in flight.
    pub fn new(policy: BatchPolicy) -> Self {
        Self {
            policy,
            open: BatchSize::default(),
            opened_at: 0,
            complete: false,
            in_flight_batches: 0,
            in_flight_bytes: 0,
        }
    }

    /// The policy it follows.
    pub fn policy(&self) -> &BatchPolicy {
        &self.policy
    }

    /// Adds an item of `bytes` that came at `now`, unless the answer is [`Decision::Full`].
    pub fn add(&mut self, now: u64, bytes: usize) -> Decision {
        if !self.fits(bytes) {
            self.complete = true;
            return Decision::Full;
        }
        if self.open.count == 0 {
            self.opened_at = now;
        }
        self.open.count += 1;
        self.open.bytes += bytes;
        self.poll(now)
    }

    /// Whether an item of `bytes` would join the open batch. An empty batch takes any item.
    pub fn fits(&self, bytes: usize) -> bool {
        let bytes_after = self.open.bytes.saturating_add(bytes);
        self.open.count == 0
            || (!self.complete
                && self.open.count < self.policy.count_max
                && bytes_after <= self.policy.bytes_max)
    }

    /// Whether the open batch should leave by now: [`Decision::Cut`] or [`Decision::Wait`].
    pub fn poll(&self, now: u64) -> Decision {
        if self.open.count == 0 || !self.window_has_room() {
            return Decision::Wait;
        }
        match self.due_at() {
            Some(due) if now < due => Decision::Wait,
            _ => Decision::Cut,
        }
    }

    /// When [`Batcher::poll`] may say cut though nothing else happens; `None` when only an item
    /// or a completion can bring that about.
    pub fn deadline(&self) -> Option<u64> {
        if self.open.count == 0 || !self.window_has_room() { None } else { self.due_at() }
    }

    /// The open batch leaves; it is in flight from now on.
    ///
    /// # Panics
    /// When no item was added: a batch is never empty.
    pub fn cut(&mut self) -> BatchSize {
        assert!(self.open.count > 0, "only a batch with items is cut");
        self.in_flight_batches += 1;
        self.in_flight_bytes += self.open.bytes;
        self.complete = false;
        std::mem::take(&mut self.open)
    }

    /// A batch of `bytes` is not in flight any more.
    ///
    /// # Panics
    /// When no such batch can be in flight.
    pub fn completed(&mut self, bytes: usize) {
        assert!(self.in_flight_batches > 0, "each batch is completed once");
        assert!(self.in_flight_bytes >= bytes, "with the bytes it was cut with");
        self.in_flight_batches -= 1;
        self.in_flight_bytes -= bytes;
        assert!(self.in_flight_batches > 0 || self.in_flight_bytes == 0, "all bytes came back");
    }

    /// Everything in flight is given up, for instance with a leadership.
    pub fn forget_in_flight(&mut self) {
        self.in_flight_batches = 0;
        self.in_flight_bytes = 0;
    }

    /// The size of the open batch.
    pub fn open(&self) -> BatchSize {
        self.open
    }

    /// Batches in flight, and their bytes.
    pub fn in_flight(&self) -> BatchSize {
        BatchSize { count: self.in_flight_batches, bytes: self.in_flight_bytes }
    }

    fn window_has_room(&self) -> bool {
        self.in_flight_batches == 0
            || (self.in_flight_batches < self.policy.window_batches
                && self.in_flight_bytes.saturating_add(self.open.bytes) <= self.policy.window_bytes)
    }

    /// Until when the open batch waits for company, if it does.
    fn due_at(&self) -> Option<u64> {
        let full = self.complete
            || self.open.count >= self.policy.count_max
            || self.open.bytes >= self.policy.bytes_max;
        let lingers = match self.policy.mode {
            Mode::Single => false,
            Mode::Fixed => true,
            Mode::Adaptive => self.policy.linger_ns > 0 && self.in_flight_batches > 1,
        };
        (lingers && !full).then(|| self.opened_at.saturating_add(self.policy.linger_ns))
    }
}

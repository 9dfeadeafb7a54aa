//! How long to stay away from a queue that had nothing to give: [`Patience`], one value per
//! handle, for callers of the `try_` forms.
//!
//! What always holds: a wait is bounded (one round takes a few microseconds, or one yield), and
//! from the third fruitless round on each one gives the core away, and from the first on while
//! other threads wait for it, so that a waiter never keeps a peer from running for longer than
//! about ten microseconds.
//! Left to others: parking (the channels do), and what is waited for.
//!
//! # Why staying away is fast
//! Producer and consumer that work in the same cache line pay a transfer of that line for each
//! value. A caller that finds the queue empty (or full) and comes back at once keeps both in that
//! state for ever; one that stays away for a microsecond finds a hundred values in lines that
//! move once. It is the other way round for a caller that waits for the answer to its own
//! request: nothing collects, and each nanosecond away is latency. What was seen last tells the
//! two apart: a *streaming* handle succeeded many times since it last failed, one in *request and
//! response* once or twice. Because fast polling itself can make a stream look like the second,
//! every [`PROBE_EVERY`]th short wait stays away once, to see whether values collect.

use std::time::{Duration, Instant};

use crate::sync::{spin_loop, yield_now};

/// Successful calls between two failures from which on they count as a stream.
pub const STREAMING_MIN: u32 = 24;
/// How many short bursts in a row end the state of streaming.
pub const SHORT_BURSTS_MAX: u32 = 4;
/// How often a waiting handle in request and response tries what a long wait brings.
pub const PROBE_EVERY: u32 = 256;
/// The first wait of a streaming handle; the second is twice as long.
pub const AWAY: Duration = Duration::from_micros(2);
/// Fruitless waits in a row that keep the core; later ones yield it.
pub const HOT_ROUNDS: u32 = 2;

/// A yield that took longer than this let another thread run.
const CROWDED_YIELD: Duration = Duration::from_micros(1);
/// Looks of one round in request and response, with a spin-loop hint between two.
const LOOKS: u32 = 64;
/// Spin-loop hints between two looks at the clock: a hint takes 10 to 140 cycles.
const HINTS: u32 = 8;

/// The waiting of one handle: tell it of successes, call it after a failure.
///
/// ```
/// use quorate_mq::{Consume, Patience, PopError, Produce, ring};
///
/// let (producer, consumer) = ring::queue(64)?;
/// let worker = std::thread::spawn(move || {
///     let mut patience = Patience::new();
///     let mut sum = 0;
///     loop {
///         match consumer.try_pop() {
///             Ok(value) => {
///                 patience.after_success();
///                 sum += value;
///             }
///             Err(PopError::Closed) => return sum,
///             Err(_) => patience.wait(|| consumer.looks_filled()),
///         }
///     }
/// });
/// let mut patience = Patience::new();
/// for value in 0..1_000 {
///     while producer.try_push(value).is_err() {
///         patience.wait(|| producer.looks_free());
///     }
///     patience.after_success();
/// }
/// # use quorate_mq::Handle;
/// producer.close();
/// assert_eq!(worker.join().unwrap(), 499_500);
/// # Ok::<(), quorate_mq::CapacityError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Patience {
    /// Successful calls since the last failure.
    successes: u32,
    /// Failures since the last success.
    failures: u32,
    /// Short waits since the last probe.
    short_waits: u32,
    /// How many short bursts end the streaming; 0 in request and response.
    streaming: u32,
    /// Looks in the round of `after_failure`.
    looks: u32,
    /// Whether the last yield let another thread run: then somebody needs the core more.
    crowded: bool,
}

impl Patience {
    /// The patience of a handle that has seen nothing yet: it polls tightly.
    pub const fn new() -> Self {
        Self { successes: 0, failures: 0, short_waits: 0, streaming: 0, looks: 0, crowded: false }
    }

    /// Tells of one call that pushed or popped something.
    ///
    /// Calls count and not values: a few large batches fill a queue in less time than a wait
    /// takes, and move their lines once as it is.
    #[inline(always)]
    pub fn after_success(&mut self) {
        self.successes = self.successes.saturating_add(1);
        self.failures = 0;
    }

    /// Waits after a failure: one spin-loop hint in request and response, otherwise as
    /// [`Patience::wait`].
    pub fn after_failure(&mut self) {
        let polls = self.failures == 0 && self.successes < STREAMING_MIN && self.streaming <= 1;
        if self.looks > 0 || (polls && self.short_waits + 1 < PROBE_EVERY) {
            // So many looks are one round of `wait`.
            self.looks = (self.looks + 1) % LOOKS;
            spin_loop();
        } else {
            self.wait(|| false);
        }
    }

    /// Waits one round after a failure; in request and response until `ready`, which should look
    /// at as little as it can (`looks_filled`, `looks_free`).
    ///
    /// Takes up to about a microsecond in request and response, up to twice [`AWAY`] when
    /// streaming, or one yield. The caller tries again whatever the reason for the return.
    #[inline(never)]
    pub fn wait(&mut self, mut ready: impl FnMut() -> bool) {
        let away = self.next_round();
        if cfg!(any(loom, shuttle)) {
            yield_now();
        } else if self.crowded || self.failures > HOT_ROUNDS {
            let before = Instant::now();
            yield_now();
            self.crowded = before.elapsed() > CROWDED_YIELD;
        } else if let Some(away) = away {
            stay_away(away);
        } else {
            for _ in 0..LOOKS {
                if ready() {
                    return;
                }
                spin_loop();
            }
        }
    }

    /// Whether the handle counts as streaming.
    pub fn is_streaming(&self) -> bool {
        self.streaming > 0
    }

    /// Counts a failure; says for how long to stay away, `None` for polling.
    fn next_round(&mut self) -> Option<Duration> {
        if self.failures == 0 {
            if self.successes >= STREAMING_MIN {
                self.streaming = SHORT_BURSTS_MAX;
                self.short_waits = 0;
            } else {
                self.streaming = self.streaming.saturating_sub(1);
                self.short_waits += 1;
            }
            self.successes = 0;
        }
        self.failures = self.failures.saturating_add(1);
        if self.is_streaming() {
            Some(AWAY * (1 << (self.failures - 1).min(1)))
        } else if self.short_waits >= PROBE_EVERY {
            self.short_waits = 0;
            Some(AWAY)
        } else {
            None
        }
    }
}

fn stay_away(away: Duration) {
    let began = Instant::now();
    while began.elapsed() < away {
        (0..HINTS).for_each(|_| spin_loop());
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_handle_that_answers_polls_and_one_that_streams_stays_away_longer_and_longer() {
        let mut patience = Patience::new();
        patience.after_success();
        assert_eq!(patience.next_round(), None);
        (0..STREAMING_MIN).for_each(|_| patience.after_success());
        let rounds: Vec<_> = (0..2).map(|_| patience.next_round()).collect();
        assert_eq!(rounds, [Some(AWAY), Some(AWAY * 2)]);
        assert!(patience.is_streaming());
        for bursts in 1..=SHORT_BURSTS_MAX {
            patience.after_success();
            let away = patience.next_round();
            assert_eq!(away.is_none(), bursts == SHORT_BURSTS_MAX, "short bursts: answers");
        }
    }

    #[test]
    fn a_handle_that_polls_stays_away_now_and_then_to_see_whether_values_collect() {
        let mut patience = Patience::new();
        let waits = (0..3 * PROBE_EVERY)
            .filter(|_| {
                patience.after_success();
                patience.next_round().is_some()
            })
            .count();
        assert_eq!(waits, 3);
        assert!(!patience.is_streaming());
    }

    #[test]
    fn polling_ends_when_ready_and_otherwise_too() {
        let mut patience = Patience::new();
        let mut looks = 0;
        patience.wait(|| {
            looks += 1;
            looks == 3
        });
        assert_eq!(looks, 3);
        for _ in 0..1_000 {
            patience.wait(|| false);
            patience.after_failure();
        }
    }
}

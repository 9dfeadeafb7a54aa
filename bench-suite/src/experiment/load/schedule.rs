//! Open loop: requests leave by a fixed schedule, whatever became of those before.
//!
//! What always holds: every request of the schedule has a latency, counted from its intended send
//! time; one that could not be sent while the schedule lasted counts with the time that it had
//! waited by then, which is a lower bound. So a system that stalls cannot hide it by slowing its
//! clients down (Tene's "coordinated omission").

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use quorate_runtime::{SubmitError, Ticket};
use quorate_smr::Protocol;

use super::Driver;

/// The share of a schedule's interval before a send in which the clock is watched instead of slept
/// on: sleeping longer than asked for is common, and would be counted as latency.
const WATCH: Duration = Duration::from_micros(150);
/// Requests sent between two looks for answers while the schedule is late.
const SENDS_PER_LOOK: usize = 32;
/// How long to wait for room where the client's window is full.
const FULL_PAUSE: Duration = Duration::from_micros(200);
/// How long to wait for answers after the schedule before looking again.
const LAST_PAUSE: Duration = Duration::from_millis(100);

/// A fixed schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Time between two requests.
    pub(crate) interval: Duration,
    /// Requests at the start whose latencies do not count.
    pub(crate) warm_up: usize,
    /// Requests after them.
    pub(crate) counted: usize,
    /// For how long after the schedule's end requests that are late are still sent.
    pub(crate) patience: Duration,
}

impl Pace {
    const fn total(&self) -> usize {
        self.warm_up + self.counted
    }

    /// When request `number` is due, after the first one.
    fn offset(&self, number: usize) -> Duration {
        Duration::from_nanos((self.interval.as_nanos() as u64).saturating_mul(number as u64))
    }
}

/// A schedule being kept.
struct Keeping {
    /// Where the part begins in which answers are counted, and where it ends.
    counted: (Instant, Instant),
    /// When the requests in flight were due. Those that do not count are not in it.
    due: BTreeMap<Ticket, Instant>,
}

impl<P: Protocol> Driver<'_, P> {
    /// Sends by `pace` and records how long after its intended time each request was answered;
    /// counts the answers that came while the counted part lasted.
    pub(crate) fn open_loop(&mut self, pace: &Pace) {
        let start = Instant::now() + pace.interval;
        let end = start + pace.offset(pace.total());
        let counted = (start + pace.offset(pace.warm_up), end);
        let mut keeping = Keeping { counted, due: BTreeMap::new() };
        let mut sent = 0;
        while sent < pace.total() {
            let intended = start + pace.offset(sent);
            self.wait_until(intended, &mut keeping);
            if sent % SENDS_PER_LOOK == 0 {
                self.receive_timed(Instant::now(), &mut keeping);
            }
            let Some(ticket) = self.send_by(end + pace.patience, &mut keeping) else { break };
            if sent >= pace.warm_up {
                keeping.due.insert(ticket, intended);
            }
            sent += 1;
        }
        let now = Instant::now();
        for number in sent.max(pace.warm_up)..pace.total() {
            self.tally.latencies.push(now.saturating_duration_since(start + pace.offset(number)));
        }
        while self.is_busy() {
            self.receive_timed(Instant::now() + LAST_PAUSE, &mut keeping);
        }
    }

    fn is_busy(&self) -> bool {
        self.client.outstanding() > 0 || !self.follow_ups.is_empty()
    }

    /// Takes answers until `moment`.
    fn wait_until(&mut self, moment: Instant, keeping: &mut Keeping) {
        while Instant::now() < moment {
            let sleep_until = moment - WATCH;
            if self.is_busy() {
                self.receive_timed(sleep_until.max(Instant::now()), keeping);
                continue;
            }
            let left = sleep_until.saturating_duration_since(Instant::now());
            if left.is_zero() { std::hint::spin_loop() } else { std::thread::sleep(left) }
        }
    }

    /// Sends the next operation, waiting for room in the window, but not beyond `stop`; `None` when
    /// it was not sent.
    fn send_by(&mut self, stop: Instant, keeping: &mut Keeping) -> Option<Ticket> {
        while Instant::now() < stop {
            match self.send() {
                Ok(ticket) => return Some(ticket),
                Err(SubmitError::WindowFull) => {
                    self.receive_timed(Instant::now() + FULL_PAUSE, keeping);
                }
                Err(error) => {
                    self.tally.note(&error);
                    return None;
                }
            }
        }
        None
    }

    /// Takes answers until `deadline` and notes their latencies. A record that is read and written
    /// back has one latency, which ends with the write.
    fn receive_timed(&mut self, deadline: Instant, keeping: &mut Keeping) {
        let mut latencies = std::mem::take(&mut self.tally.latencies);
        let mut ended = 0;
        self.receive_each(deadline, |ticket, follows| {
            let intended = keeping.due.remove(&ticket);
            if !follows {
                ended += 1;
                latencies.extend(intended.map(|intended| intended.elapsed()));
            }
            intended
        });
        self.tally.latencies = latencies;
        let (now, (begin, end)) = (Instant::now(), keeping.counted);
        if begin <= now && now < end {
            self.tally.measured += ended;
        }
        self.send_follow_ups(|ticket, intended| {
            keeping.due.extend(intended.map(|intended| (ticket, intended)));
        });
    }
}

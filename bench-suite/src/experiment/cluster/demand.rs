//! How a cluster is loaded: by clients that keep a window full, or by a schedule.

use std::time::Duration;

use crate::experiment::load::schedule::Pace;

/// How late the last requests of a schedule may leave before they count as not sent.
const LATE_MAX: Duration = Duration::from_millis(5);
/// The longest wait for a probe that could not be sent.
const PROBE_PATIENCE: Duration = Duration::from_secs(10);

/// Closed loop: as many requests in flight as the window allows, then a few lone ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Requests that each client keeps in flight.
    pub window: usize,
    /// Time before measuring.
    pub warm_up: Duration,
    /// Measured time.
    pub measured: Duration,
    /// Requests of the latency probe; zero for none.
    pub probes: usize,
    /// Time between two of them.
    pub probe_interval: Duration,
}

impl Load {
    pub(super) const fn probe(&self) -> Pace {
        Pace {
            interval: self.probe_interval,
            warm_up: 0,
            counted: self.probes,
            patience: PROBE_PATIENCE,
        }
    }
}

/// Open loop: a fixed schedule of requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Requests due in a second; above zero.
    pub per_second: f64,
    /// Time before measuring, on the same schedule.
    pub warm_up: Duration,
    /// Measured time.
    pub measured: Duration,
}

impl Schedule {
    pub(super) fn pace(&self) -> Pace {
        let count = |time: Duration| (time.as_secs_f64() * self.per_second).round() as usize;
        Pace {
            interval: Duration::from_secs_f64(1.0 / self.per_second),
            warm_up: count(self.warm_up),
            counted: count(self.measured).max(1),
            patience: LATE_MAX,
        }
    }
}

/// Who decides when requests leave.
#[derive(Clone, Copy, Debug)]
pub(super) enum Demand<'a> {
    /// The answers: all clients keep a window full.
    Closed(&'a Load),
    /// A schedule, kept by the first client.
    Open(&'a Schedule),
}

impl Demand<'_> {
    /// The time before measuring, and the measured time.
    pub(super) const fn times(self) -> (Duration, Duration) {
        match self {
            Self::Closed(load) => (load.warm_up, load.measured),
            Self::Open(schedule) => (schedule.warm_up, schedule.measured),
        }
    }
}

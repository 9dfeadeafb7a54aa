//! The host's monotonic clock, as the protocols' [`Time`].

use std::time::{Duration, Instant};

use quorate_smr::Time;

/// Counts nanoseconds since the cluster started. Protocols never see a wall clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    pub(crate) fn now(&self) -> Time {
        Time::ZERO.after(self.origin.elapsed())
    }

    /// The instant of `time`; a time out of reach becomes an hour from the origin, and then again.
    pub(crate) fn instant(&self, time: Time) -> Instant {
        let far = Duration::from_secs(3600);
        self.origin
            .checked_add(Duration::from_nanos(time.0))
            .unwrap_or_else(|| Instant::now() + far)
    }
}

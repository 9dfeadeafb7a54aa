//! A replica's own monotonic clock: it starts somewhere else, runs a little fast or slow, and may
//! jump forward (the machine slept, or a hypervisor held it). It never jumps backward: protocols see
//! only this clock, and no wall clock at all, so that a wall clock that is set back cannot exist for
//! them.

use quorate_smr::Time;

/// Drift is given in parts of a million; the crystal of a bad machine is off by a few hundred.
pub(crate) const DRIFT_PPM_MAX: i64 = 200_000;

/// Turns virtual time into what one replica's clock shows. Monotonic as long as virtual time is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    offset_ns: u64,
    rate_ppm: u64,
}

impl Clock {
    /// A clock that showed `offset_ns` at virtual time 0 and gains `drift_ppm` on true time.
    #[must_use]
    pub(crate) fn new(offset_ns: u64, drift_ppm: i64) -> Self {
        let drift = drift_ppm.clamp(-DRIFT_PPM_MAX, DRIFT_PPM_MAX);
        Self { offset_ns, rate_ppm: (1_000_000 + drift).unsigned_abs() }
    }

    /// The clock jumps forward by `step_ns`.
    pub(crate) const fn step(&mut self, step_ns: u64) {
        self.offset_ns = self.offset_ns.saturating_add(step_ns);
    }

    /// What the clock shows at virtual time `now_ns`.
    #[must_use]
    pub(crate) fn local(self, now_ns: u64) -> Time {
        let run = u128::from(now_ns) * u128::from(self.rate_ppm) / 1_000_000;
        Time(self.offset_ns.saturating_add(run as u64))
    }

    /// The first virtual time at which the clock shows at least `local`.
    #[must_use]
    pub(crate) fn virtual_at(self, local: Time) -> u64 {
        let run = u128::from(local.0.saturating_sub(self.offset_ns));
        let at = (run * 1_000_000).div_ceil(u128::from(self.rate_ppm));
        u64::try_from(at).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_moves_the_clock_forward_and_every_alarm_closer() {
        let mut clock = Clock::new(1_234, 13);
        let (before, alarm) = (clock.local(1_000_000), Time(9_000_000));
        let rings = clock.virtual_at(alarm);
        clock.step(2_000_000);
        assert_eq!(clock.local(1_000_000), Time(before.0 + 2_000_000));
        assert!(clock.virtual_at(alarm) < rings);
        assert_eq!(clock.virtual_at(Time(1_500_000)), 0, "it already rang");
    }

    #[test]
    fn an_alarm_rings_at_the_first_moment_that_shows_its_time() {
        for drift in [-150_000, -7, 0, 13, 200_000] {
            let clock = Clock::new(1_234, drift);
            for local in [Time(0), Time(1_234), Time(99_999), Time(7_000_000_001)] {
                let at = clock.virtual_at(local);
                assert!(clock.local(at) >= local);
                assert!(at == 0 || clock.local(at - 1) < local, "drift {drift}, {local}");
            }
        }
    }
}

//! The machine: what it is, how much CPU time this process used, and how much others took.
//!
//! A repetition during which other processes took more than a stated share of the CPU says little
//! about us; [`LoadMeter`] tells that share from `/proc/stat`, which counts in ticks of 10 ms.
//! Where a file is missing (not Linux) facts are `unknown` and the share is zero; the report shows
//! what was known.

use std::fs;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

pub use quorate_sim::machine::{commit, cores, describe, now_utc, toolchain};

/// Kernel ticks in a second, as shown to user space (`USER_HZ`, fixed by Linux's interface).
const TICKS_PER_SECOND: f64 = 100.0;

/// A set of cores that a thread, and the threads that it starts, may run on.
#[derive(Clone, Debug)]
pub struct Cores {
    numbers: Vec<usize>,
}

impl Cores {
    /// Those that this thread may use now.
    #[must_use]
    pub fn allowed() -> Self {
        let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
        Self { numbers: (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect() }
    }

    /// All but the last; the last one too when there is no other.
    #[must_use]
    pub fn all_but_last(&self) -> Self {
        let count = self.numbers.len();
        Self { numbers: self.numbers[..count.saturating_sub(1).max(count.min(1))].to_vec() }
    }

    /// The first one alone.
    #[must_use]
    pub fn first(&self) -> Self {
        Self { numbers: self.numbers[..self.numbers.len().min(1)].to_vec() }
    }

    /// The last one alone.
    #[must_use]
    pub fn last(&self) -> Self {
        Self { numbers: self.numbers[self.numbers.len().saturating_sub(1)..].to_vec() }
    }

    /// Binds this thread to them. Where the system refuses, threads run wherever they did.
    pub fn bind(&self) {
        let mut set = CpuSet::new();
        for core in &self.numbers {
            set.set(*core);
        }
        // A measurement on unbound threads is noisier, not wrong.
        let _ = sched_setaffinity(None, &set);
    }
}

/// The CPU time that this process has used.
#[must_use]
pub fn process_cpu() -> Duration {
    cpu(ClockId::ProcessCPUTime)
}

/// The CPU time that this thread has used.
#[must_use]
pub fn thread_cpu() -> Duration {
    cpu(ClockId::ThreadCPUTime)
}

fn cpu(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}

/// Bytes of this process that are in memory; `None` where the system does not tell.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    let pages = fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse::<u64>();
    Some(pages.ok()? * rustix::param::page_size() as u64)
}

/// Measures what share of the machine other processes take.
#[derive(Debug)]
pub struct LoadMeter {
    started: Instant,
    busy: Option<f64>,
    own: Duration,
}

impl LoadMeter {
    /// Starts to measure.
    #[must_use]
    pub fn start() -> Self {
        Self { started: Instant::now(), busy: busy_seconds(), own: process_cpu() }
    }

    /// The share of all CPU time since the start that other processes took, 0 to 1.
    #[must_use]
    pub fn foreign_share(&self) -> f64 {
        let (Some(before), Some(after)) = (self.busy, busy_seconds()) else { return 0.0 };
        let own = (process_cpu() - self.own).as_secs_f64();
        let available = self.started.elapsed().as_secs_f64() * cores() as f64;
        if available <= 0.0 {
            return 0.0;
        }
        ((after - before - own) / available).clamp(0.0, 1.0)
    }
}

/// CPU seconds that all processes have used since the machine started.
fn busy_seconds() -> Option<f64> {
    busy_ticks(&fs::read_to_string("/proc/stat").ok()?).map(|ticks| ticks / TICKS_PER_SECOND)
}

/// The busy ticks of `/proc/stat`: user, nice, system, interrupts and stolen time.
fn busy_ticks(stat: &str) -> Option<f64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<f64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
    let [user, nice, system, _idle, _wait, hard, soft, steal, ..] = ticks[..] else { return None };
    Some(user + nice + system + hard + soft + steal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_split_without_overlap_where_there_are_two() {
        let cores = Cores { numbers: vec![0, 2, 5] };
        assert_eq!((cores.all_but_last().numbers, cores.last().numbers), (vec![0, 2], vec![5]));
        let one = Cores { numbers: vec![3] };
        assert_eq!((one.all_but_last().numbers, one.last().numbers), (vec![3], vec![3]));
        assert_eq!((cores.first().numbers, one.first().numbers), (vec![0], vec![3]));
    }

    #[test]
    fn waiting_is_not_busy_time() {
        let stat = "cpu  10 1 5 1000 500 2 3 4 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(busy_ticks(stat), Some(25.0));
        assert_eq!(busy_ticks("intr 5"), None);
        assert_eq!(busy_ticks("cpu  1 2"), None);
    }

    #[test]
    fn work_of_this_process_is_counted_as_its_own() {
        let before = thread_cpu();
        let mut sum = 0u64;
        while thread_cpu() - before < Duration::from_millis(2) {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(process_cpu() >= thread_cpu());
        assert!((0.0..=1.0).contains(&LoadMeter::start().foreign_share()));
    }
}

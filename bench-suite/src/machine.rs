//! The machine: what it is, how much CPU time this process used, and how much others took.
//!
//! A repetition during which other processes took more than a stated share of the CPU says little
//! about us; [`LoadMeter`] tells that share from `/proc/stat`, which counts in ticks of 10 ms.
//! Where a file is missing (not Linux) facts are `unknown` and the share is zero; the report shows
//! what was known.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

use crate::run::Machine;

/// Kernel ticks in a second, as shown to user space (`USER_HZ`, fixed by Linux's interface).
const TICKS_PER_SECOND: f64 = 100.0;

/// What this machine says of itself.
#[must_use]
pub fn describe() -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let kibibytes = memory.and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    let kernel = read("/proc/sys/kernel/osrelease");
    Machine {
        cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".into()),
        cores: cores(),
        memory_bytes: kibibytes.unwrap_or(0) * 1024,
        kernel: format!("{} {}", std::env::consts::OS, kernel.trim()).trim().to_owned(),
    }
}

/// Cores that this process may use.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

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

/// The compiler's own version line, or `unknown`.
#[must_use]
pub fn toolchain() -> String {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    output_of(Command::new(rustc).arg("--version")).unwrap_or_else(|| "unknown".into())
}

/// The commit of the checkout around the current folder, and whether files other than results
/// differ from it. `unknown` outside a checkout.
#[must_use]
pub fn commit() -> (String, bool) {
    let Some(commit) = output_of(Command::new("git").args(["rev-parse", "HEAD"])) else {
        return ("unknown".into(), true);
    };
    let status = ["status", "--porcelain", "--", ":/", ":(exclude,top)results"];
    let changes = output_of(Command::new("git").args(status));
    (commit, changes.is_none_or(|changes| !changes.is_empty()))
}

fn output_of(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
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

/// The current date and time, UTC, as `2026-11-22 14:05`.
#[must_use]
pub fn now_utc() -> String {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    utc(since_epoch.as_secs())
}

fn utc(seconds: u64) -> String {
    let (year, month, day) = civil(seconds / 86_400);
    let minutes = seconds % 86_400 / 60;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", minutes / 60, minutes % 60)
}

/// The Gregorian date of a day since 1970-01-01 (Hinnant, *chrono-compatible low-level date
/// algorithms*, `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00"),
            (951_782_400, "2000-02-29 00:00"),
            (1_795_356_300, "2026-11-22 14:05"),
            (4_107_542_399, "2100-02-28 23:59"),
            (4_107_542_400, "2100-03-01 00:00"),
        ] {
            assert_eq!(utc(seconds), text);
        }
    }

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

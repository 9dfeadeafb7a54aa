//! Progress on standard error: how far the run and its experiment are, and how long both still take.
//!
//! On a terminal two bars; elsewhere plain lines, one at the start of each experiment and then at
//! most one every [`LINE_INTERVAL`]. The time left follows from what steps took so far; an
//! experiment that has not begun is expected to take its measured time and the overhead seen so far.
//! Nothing here reaches standard output or the results.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Between two plain lines of one experiment, at least.
pub const LINE_INTERVAL: Duration = Duration::from_secs(20);
/// What a step is expected to take beside its measured time, as a factor, before any was seen.
const OVERHEAD: f64 = 1.5;
/// What a step without measured time (virtual time) is expected to take before any was seen.
const VIRTUAL_STEP: Duration = Duration::from_millis(200);
/// The whole run's bar counts thousandths of its expected time.
const WHOLE: u64 = 1000;

/// One experiment's work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Its experiment.
    pub name: String,
    /// Repetitions of all cells.
    pub steps: u64,
    /// Those that need not be measured any more.
    pub skipped: u64,
    /// Measured time of a step; zero in virtual time.
    pub measured: Duration,
}

/// How long a run still takes.
#[derive(Clone, Debug)]
pub struct Estimate {
    stages: Vec<(Stage, Counted)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    steps: u64,
    took: Duration,
}

impl Estimate {
    /// Of these stages, none of which has begun.
    #[must_use]
    pub fn new(stages: Vec<Stage>) -> Self {
        Self { stages: stages.into_iter().map(|stage| (stage, Counted::default())).collect() }
    }

    /// Counts a step of the stage at `place`.
    pub fn step(&mut self, place: usize, took: Duration) {
        let counted = &mut self.stages[place].1;
        counted.steps += 1;
        counted.took += took;
    }

    /// What is left of the stage at `place`.
    #[must_use]
    pub fn left(&self, place: usize) -> Duration {
        let (stage, counted) = &self.stages[place];
        let steps = stage.steps.saturating_sub(stage.skipped + counted.steps);
        if counted.steps > 0 {
            return counted.took.mul_f64(steps as f64 / counted.steps as f64);
        }
        let step = if stage.measured.is_zero() {
            VIRTUAL_STEP
        } else {
            stage.measured.mul_f64(self.overhead())
        };
        step.mul_f64(steps as f64)
    }

    /// What is left of all stages.
    #[must_use]
    pub fn left_in_all(&self) -> Duration {
        (0..self.stages.len()).map(|place| self.left(place)).sum()
    }

    /// How many times its measured time a step took.
    fn overhead(&self) -> f64 {
        let real = self.stages.iter().filter(|(stage, _)| !stage.measured.is_zero());
        let (took, measured) = real.fold((0.0, 0.0), |(took, measured), (stage, counted)| {
            let of_stage = stage.measured.as_secs_f64() * counted.steps as f64;
            (took + counted.took.as_secs_f64(), measured + of_stage)
        });
        if measured > 0.0 { took / measured } else { OVERHEAD }
    }
}

/// What the person in front of the screen sees.
#[derive(Debug)]
pub struct Progress {
    estimate: Estimate,
    began: Instant,
    bars: MultiProgress,
    whole: ProgressBar,
    stage: Option<ProgressBar>,
    last_line: Option<Instant>,
}

impl Progress {
    /// Shows a run of these stages.
    #[must_use]
    pub fn new(stages: Vec<Stage>) -> Self {
        let bars = MultiProgress::new();
        let whole = bars.add(ProgressBar::new(WHOLE));
        whole.set_style(style("{prefix:>12} [{bar:30}] {percent:>3} %  {elapsed}  {wide_msg}"));
        whole.set_prefix("whole run");
        let (estimate, began) = (Estimate::new(stages), Instant::now());
        let this = Self { estimate, began, bars, whole, stage: None, last_line: None };
        this.show_whole();
        this.whole.enable_steady_tick(Duration::from_millis(500));
        this
    }

    /// The stage at `place` begins.
    pub fn begin(&mut self, place: usize) {
        let stage = &self.estimate.stages[place].0;
        let bar = self.bars.add(ProgressBar::new(stage.steps));
        bar.set_style(style("{prefix:>12} [{bar:30}] {pos}/{len}  {elapsed}  {wide_msg}"));
        bar.set_prefix(stage.name.clone());
        bar.set_position(stage.skipped);
        self.stage = Some(bar);
        self.last_line = None;
        self.line(place);
    }

    /// The next step of the stage at `place` is that of `cell`.
    pub fn next(&self, place: usize, cell: &str) {
        if let Some(bar) = &self.stage {
            bar.set_message(format!("{} left, {cell}", in_words(self.estimate.left(place))));
        }
    }

    /// A step of the stage at `place` is done.
    pub fn step(&mut self, place: usize, took: Duration) {
        self.estimate.step(place, took);
        self.stage.iter().for_each(|bar| bar.inc(1));
        self.show_whole();
        self.line(place);
    }

    /// The stage is done.
    pub fn end(&mut self) {
        self.stage.take().iter().for_each(ProgressBar::finish_and_clear);
    }

    fn show_whole(&self) {
        let (spent, left) = (self.began.elapsed(), self.estimate.left_in_all());
        let share = spent.as_secs_f64() / (spent + left).as_secs_f64().max(f64::MIN_POSITIVE);
        self.whole.set_position((share * WHOLE as f64) as u64);
        self.whole.set_message(format!("{} left", in_words(left)));
    }

    fn line(&mut self, place: usize) {
        let due = self.last_line.is_none_or(|last| last.elapsed() >= LINE_INTERVAL);
        if !self.whole.is_hidden() || !due {
            return;
        }
        self.last_line = Some(Instant::now());
        let (stage, counted) = &self.estimate.stages[place];
        eprintln!(
            "{}: {} of {} repetitions, {} left; the whole run: {} left",
            stage.name,
            stage.skipped + counted.steps,
            stage.steps,
            in_words(self.estimate.left(place)),
            in_words(self.estimate.left_in_all())
        );
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
        self.whole.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

/// `45 s`, `12 min 5 s`, `1 h 2 min`.
fn in_words(time: Duration) -> String {
    let seconds = time.as_secs_f64().ceil() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(steps: u64, skipped: u64, measured_ms: u64) -> Stage {
        let measured = Duration::from_millis(measured_ms);
        Stage { name: "test".into(), steps, skipped, measured }
    }

    #[test]
    fn time_left_follows_from_the_steps_seen_and_falls_to_zero() {
        let mut estimate = Estimate::new(vec![stage(4, 0, 1000)]);
        assert_eq!(estimate.left(0), Duration::from_secs(6));
        for left in [9, 6, 3, 0] {
            estimate.step(0, Duration::from_secs(3));
            assert_eq!(estimate.left(0), Duration::from_secs(left));
        }
    }

    #[test]
    fn later_experiments_are_expected_to_have_the_overhead_seen_so_far() {
        let mut estimate = Estimate::new(vec![stage(1, 0, 1000), stage(10, 0, 500)]);
        estimate.step(0, Duration::from_secs(2));
        assert_eq!(estimate.left_in_all(), Duration::from_secs(10));
    }

    #[test]
    fn what_is_there_already_takes_no_time() {
        let estimate = Estimate::new(vec![stage(10, 10, 1000), stage(10, 5, 0)]);
        assert_eq!((estimate.left(0), estimate.left(1)), (Duration::ZERO, VIRTUAL_STEP * 5));
    }

    #[test]
    fn times_are_said_in_two_units_at_most() {
        for (seconds, words) in
            [(0.2, "1 s"), (59.0, "59 s"), (61.0, "1 min 1 s"), (3720.0, "1 h 2 min")]
        {
            assert_eq!(in_words(Duration::from_secs_f64(seconds)), words);
        }
    }
}

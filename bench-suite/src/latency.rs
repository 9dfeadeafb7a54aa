//! Latencies of one repetition as an HDR histogram, and the interval logs that keep them.
//!
//! A run folder has `hist/<experiment>-<system>-<variant>-<case>.hlog` for each cell that was
//! measured by a schedule: one interval for each repetition, tagged with cell and repetition, in
//! the text format of the HDR tools (V2, deflate, base64), values in nanoseconds.
//!
//! What always holds: what is read back equals what was written; a log is read within stated
//! bounds, and one that is damaged, or of a repetition that the run does not have, is refused with
//! the reason. Left to others: which latencies are recorded (see
//! [`experiment::load`](crate::experiment)).
//!
//! Literature: Tene, "How NOT to measure latency" (2013), on the intended send time;
//! HdrHistogram's log format, version 1.2.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{
    IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, Tag,
};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};

use crate::error::BenchError;
use crate::run::{Cell, Sample, read_bounded};

/// The folder of the logs below a run's folder.
pub const HISTOGRAMS: &str = "hist";
/// The longest latency that is told apart from longer ones; longer ones count as this.
pub const LATENCY_MAX: Duration = Duration::from_secs(60);
/// The most logs that are read from one run.
pub const LOGS_MAX: usize = 10_000;
/// The longest encoded histogram that is read, in bytes of text.
pub const ENCODED_BYTES_MAX: usize = 1 << 20;
/// Significant digits: a value is kept within one percent.
const DIGITS: u8 = 2;

/// The latencies of one repetition, each within a percent.
#[derive(Clone, Debug, PartialEq)]
pub struct Latencies {
    /// In nanoseconds.
    histogram: Histogram<u64>,
}

impl Latencies {
    /// Those of `latencies`; `None` when there are none.
    #[must_use]
    pub fn of(latencies: &[Duration]) -> Option<Self> {
        let mut histogram = empty()?;
        for latency in latencies {
            let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
            histogram.saturating_record(nanos);
        }
        (!latencies.is_empty()).then_some(Self { histogram })
    }

    /// All of `parts` together; `None` when there are none.
    #[must_use]
    pub fn together<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut all = empty()?;
        for part in parts {
            // Both have the same bounds, so that everything fits.
            all.add(&part.histogram).ok()?;
        }
        (!all.is_empty()).then_some(Self { histogram: all })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// What `share` (0 to 1) of them do not exceed, in microseconds.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        self.histogram.value_at_quantile(share) as f64 / 1e3
    }
}

fn empty() -> Option<Histogram<u64>> {
    // Never `None`: the bounds are constants in the allowed order.
    Histogram::new_with_bounds(1, LATENCY_MAX.as_nanos() as u64, DIGITS).ok()
}

/// The file of `cell`'s log.
#[must_use]
pub fn file_name(cell: &Cell) -> String {
    let Cell { experiment, system, variant, case } = cell;
    format!("{}.hlog", plain(&format!("{experiment}-{system}-{variant}-{case}")))
}

/// Without what file systems and the log's tags do not take.
fn plain(text: &str) -> String {
    let keeps = |letter: char| letter.is_ascii_alphanumeric() || ".-_/".contains(letter);
    text.chars().map(|letter| if keeps(letter) { letter } else { '-' }).collect()
}

/// What names a repetition in a log.
fn tag(sample: &Sample) -> String {
    plain(&format!("{}/{}", sample.cell, sample.repetition))
}

/// Writes the logs of `samples` below `folder`; none when there are no latencies.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn write(folder: &Path, samples: &[Sample]) -> Result<(), BenchError> {
    let logs = logs(samples);
    let folder = folder.join(HISTOGRAMS);
    if !logs.is_empty() {
        fs::create_dir_all(&folder).map_err(|error| BenchError::file("create", &folder, error))?;
    }
    for (name, log) in logs {
        let path = folder.join(name);
        fs::write(&path, log).map_err(|error| BenchError::file("write", &path, error))?;
    }
    Ok(())
}

/// The logs of `samples`: name below [`HISTOGRAMS`] and content.
pub(crate) fn logs(samples: &[Sample]) -> BTreeMap<String, String> {
    let mut logs: BTreeMap<String, String> = BTreeMap::new();
    for sample in samples {
        if let Some(line) = line(sample) {
            *logs.entry(file_name(&sample.cell)).or_insert_with(head) += &line;
        }
    }
    logs
}

/// What stands above the intervals.
fn head() -> String {
    "#[Histogram log format version 1.2]\n#[Latencies in nanoseconds; an interval for each repetition]\n".into()
}

/// The interval of one repetition; `None` when it has no latencies.
fn line(sample: &Sample) -> Option<String> {
    let histogram = &sample.latencies.as_ref()?.histogram;
    let mut text = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let tag = tag(sample);
    // Repetitions stand in their order; when they ran is not part of the log.
    let start = Duration::from_secs(u64::from(sample.repetition));
    let mut writer =
        IntervalLogWriterBuilder::new().begin_log_with(&mut text, &mut serializer).ok()?;
    writer.write_histogram(histogram, start, Duration::from_secs(1), Tag::new(&tag)).ok()?;
    String::from_utf8(text).ok()
}

/// Adds the interval of `sample` to its log below `folder`, which may not exist yet.
///
/// # Errors
/// When the log cannot be written.
pub(crate) fn append(folder: &Path, sample: &Sample) -> Result<(), BenchError> {
    let Some(line) = line(sample) else { return Ok(()) };
    let folder = folder.join(HISTOGRAMS);
    fs::create_dir_all(&folder).map_err(|error| BenchError::file("create", &folder, error))?;
    let path = folder.join(file_name(&sample.cell));
    let text = if path.exists() { line } else { head() + &line };
    let mut options = fs::File::options();
    let written = options.create(true).append(true).open(&path);
    let written = written.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| BenchError::file("write", &path, error))
}

/// Gives each of `samples` the latencies that `folder` has of it. A run without logs has none.
///
/// # Errors
/// When a log is too large, damaged, or has a repetition twice or one that is not among `samples`.
pub(crate) fn read_into(folder: &Path, samples: &mut [Sample]) -> Result<(), BenchError> {
    let mut by_tag = by_tag(samples);
    for path in log_files(folder)? {
        let corrupt = |reason: String| BenchError::corrupt(&path, &reason);
        for (tag, latencies) in parse(&read_bounded(&path)?).map_err(corrupt)? {
            let sample = by_tag.get_mut(&tag);
            let sample = sample.ok_or_else(|| corrupt(format!("{tag} is not part of this run")))?;
            if sample.latencies.replace(latencies).is_some() {
                return Err(corrupt(format!("{tag} is there twice")));
            }
        }
    }
    Ok(())
}

/// As [`read_into`] for a run that was interrupted: what was not written to its end is left out,
/// and so is what has no sample; of a repetition that was measured again the last one counts. The
/// logs below `folder` are then what `samples` say.
///
/// # Errors
/// When a log is too large or damaged before its end, or cannot be written.
pub(crate) fn recover(folder: &Path, samples: &mut [Sample]) -> Result<(), BenchError> {
    let mut by_tag = by_tag(samples);
    for path in log_files(folder)? {
        let text = read_bounded(&path)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let intervals = parse(&text[..whole]);
        for (tag, latencies) in intervals.map_err(|reason| BenchError::corrupt(&path, &reason))? {
            if let Some(sample) = by_tag.get_mut(&tag) {
                sample.latencies = Some(latencies);
            }
        }
        fs::remove_file(&path).map_err(|error| BenchError::file("remove", &path, error))?;
    }
    write(folder, samples)
}

fn by_tag(samples: &mut [Sample]) -> BTreeMap<String, &mut Sample> {
    samples.iter_mut().map(|sample| (tag(sample), sample)).collect()
}

/// The logs below `folder`; none where there is no place for them.
fn log_files(folder: &Path) -> Result<Vec<PathBuf>, BenchError> {
    let folder = folder.join(HISTOGRAMS);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let failed = |error| BenchError::file("read", &folder, error);
    let listing = fs::read_dir(&folder).map_err(failed)?.take(LOGS_MAX + 1);
    let paths: Result<Vec<PathBuf>, _> =
        listing.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect();
    match paths {
        Ok(paths) if paths.len() > LOGS_MAX => {
            Err(BenchError::corrupt(&folder, &format!("more than {LOGS_MAX} logs")))
        }
        paths => paths,
    }
}

/// The intervals of a log with their tags.
fn parse(log: &str) -> Result<Vec<(String, Latencies)>, String> {
    let mut intervals = Vec::new();
    for entry in IntervalLogIterator::new(log.as_bytes()) {
        match entry.map_err(|error| format!("{error:?}"))? {
            LogEntry::Interval(interval) => {
                let tag = interval.tag().ok_or("an interval without a tag")?.as_str().to_owned();
                intervals.push((tag, decode(interval.encoded_histogram())?));
            }
            LogEntry::StartTime(_) | LogEntry::BaseTime(_) => {}
        }
    }
    // The iterator takes what it does not understand for a comment.
    let lines = log.lines().filter(|line| !line.starts_with('#')).count();
    if lines != intervals.len() || !(log.is_empty() || log.ends_with('\n')) {
        return Err(format!("{lines} lines, {} intervals", intervals.len()));
    }
    Ok(intervals)
}

fn decode(encoded: &str) -> Result<Latencies, String> {
    if encoded.len() > ENCODED_BYTES_MAX {
        return Err(format!("a histogram of {} bytes, above the limit", encoded.len()));
    }
    let bytes = STANDARD.decode(encoded).map_err(|error| error.to_string())?;
    let histogram: Histogram<u64> = Deserializer::new()
        .deserialize(&mut bytes.as_slice())
        .map_err(|error| error.to_string())?;
    let expected = empty().ok_or("the bounds of histograms")?;
    if (histogram.sigfig(), histogram.high(), histogram.is_empty())
        != (DIGITS, expected.high(), false)
    {
        return Err("a histogram with other bounds, or an empty one".into());
    }
    Ok(Latencies { histogram })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn micros(values: impl IntoIterator<Item = u64>) -> Latencies {
        let latencies: Vec<Duration> = values.into_iter().map(Duration::from_micros).collect();
        Latencies::of(&latencies).unwrap()
    }

    fn near(value: f64, expected: f64) -> bool {
        (value / expected - 1.0).abs() <= 0.01
    }

    #[test]
    fn quantiles_are_nearest_ranks_within_a_percent() {
        let latencies = micros(1..=1000);
        for (share, expected) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0), (1.0, 1000.0)] {
            assert!(near(latencies.quantile(share), expected), "{}", latencies.quantile(share));
        }
        assert_eq!(latencies.count(), 1000);
        assert_eq!(Latencies::of(&[]), None);
    }

    #[test]
    fn a_latency_beyond_the_range_counts_as_the_longest() {
        let latencies = Latencies::of(&[LATENCY_MAX * 100]).unwrap();
        assert!(near(latencies.quantile(1.0), LATENCY_MAX.as_secs_f64() * 1e6));
    }

    #[test]
    fn histograms_together_count_everything() {
        let (low, high) = (micros(1..=500), micros(501..=1000));
        assert_eq!(Latencies::together([&low, &high]).unwrap(), micros(1..=1000));
        assert_eq!(Latencies::together([]), None);
    }

    fn samples() -> Vec<Sample> {
        let mut samples = testing::cell_samples("raft", "a, b", &[1.0, 2.0]);
        samples.extend(testing::cell_samples("pbft", "all", &[3.0]));
        samples[0].latencies = Some(micros(10..=300));
        samples[1].latencies = Some(micros([7, 7, 70_000]));
        samples
    }

    /// Writes the logs of `samples`, changed by `damage`, and reads them into samples without any.
    fn read_back(damage: impl Fn(&str) -> String) -> Result<Vec<Sample>, BenchError> {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &samples()).unwrap();
        for (name, log) in logs(&samples()) {
            fs::write(folder.path().join(HISTOGRAMS).join(name), damage(&log)).unwrap();
        }
        let mut bare = samples();
        bare.iter_mut().for_each(|sample| sample.latencies = None);
        read_into(folder.path(), &mut bare).map(|()| bare)
    }

    #[test]
    fn logs_read_back_as_they_were_written() {
        assert_eq!(read_back(str::to_owned).unwrap(), samples());
        let names: Vec<String> = logs(&samples()).into_keys().collect();
        assert_eq!(names, ["ablation-raft-a--b-ycsb-a.hlog"]);
    }

    type Damage<'a> = &'a dyn Fn(&str) -> String;

    #[test]
    fn damaged_logs_are_refused_with_the_reason() {
        let damages: [(&str, Damage<'_>); 6] = [
            ("is not part of this run", &|log| log.replace("/2,", "/9,")),
            ("is there twice", &|log| log.replace("/2,", "/1,")),
            ("", &|log| log.replace("Tag=", "Gat:")),
            ("", &|log| log.trim_end().to_owned()),
            ("without a tag", &|log| log.replace("Tag=ablation/raft/a--b/ycsb-a/1,", "")),
            ("", &|log| log.replace("HISTF", "HISTG")),
        ];
        for (reason, damage) in damages {
            let error = read_back(damage).unwrap_err();
            assert!(matches!(error, BenchError::Corrupt { .. }), "{error}");
            assert!(error.to_string().contains(reason), "{error}");
        }
    }

    #[test]
    fn an_interrupted_run_keeps_what_was_written_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut all = samples();
        for sample in &all {
            append(folder.path(), sample).unwrap();
        }
        let place = folder.path().join(HISTOGRAMS);
        let path = place.join("ablation-raft-a--b-ycsb-a.hlog");
        assert_eq!(logs(&all).into_values().next(), fs::read_to_string(&path).ok());
        // The second one was measured again, and the process ended while its line was written.
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, whole.clone() + "Tag=ablation/raft/a--b/ycsb-a/2,0.0").unwrap();
        all.iter_mut().for_each(|sample| sample.latencies = None);
        all.remove(0);
        recover(folder.path(), &mut all).unwrap();
        assert_eq!(all[0].latencies, samples()[1].latencies);
        assert!(fs::read_to_string(&path).unwrap().len() < whole.len(), "only what has a sample");
        let mut again = all.clone();
        again.iter_mut().for_each(|sample| sample.latencies = None);
        read_into(folder.path(), &mut again).unwrap();
        assert_eq!(again, all);
    }

    #[test]
    fn a_run_without_logs_has_no_latencies() {
        let folder = tempfile::tempdir().unwrap();
        let mut bare = testing::cell_samples("raft", "all", &[1.0]);
        read_into(folder.path(), &mut bare).unwrap();
        assert_eq!(bare[0].latencies, None);
    }
}

//! Instruction counts of the hot paths, as a gate: they do not depend on the machine's load.
//!
//! Each of the [`paths`] is run twice under valgrind's cachegrind, once with [`PLAIN`] operations and
//! once with `operations` more; the difference over `operations` is what one costs, without start and
//! set-up. The counts are compared with baselines that are kept beside the sources. No runner has to
//! be installed beside valgrind for that, which is why no framework is used.
//!
//! What always holds: a count above its baseline by more than [`TOLERANCE`] fails; so does a path
//! without a baseline and a baseline without a path; what cannot be compared (no valgrind, another
//! compiler or processor than the baselines') is skipped in words that nobody overlooks, and never
//! passes silently. Counts depend on the profile: the alias `cargo instructions` fixes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::error::BenchError;
use crate::machine;
use crate::run::read_bounded;

pub mod paths;

/// The share by which a count may exceed its baseline. Other versions of the C library move counts by
/// a few percent.
pub const TOLERANCE: f64 = 0.10;
/// Operations of the run that is subtracted.
pub const PLAIN: u64 = 64;
/// The version of the baselines' file.
const BASELINES_FORMAT: u32 = 1;

/// What was counted before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baselines {
    /// The file's version.
    pub format: u32,
    /// The compiler.
    pub toolchain: String,
    /// Processor architecture and system.
    pub target: String,
    /// Instructions for an operation, by path.
    pub instructions: BTreeMap<String, f64>,
}

impl Baselines {
    /// These counts, made here.
    #[must_use]
    pub fn here(instructions: BTreeMap<String, f64>) -> Self {
        let (toolchain, target) = (machine::toolchain(), target());
        Self { format: BASELINES_FORMAT, toolchain, target, instructions }
    }

    /// Reads a file of baselines.
    ///
    /// # Errors
    /// When it is missing, too large, damaged or of another version.
    pub fn read(path: &Path) -> Result<Self, BenchError> {
        let baselines: Self = serde_json::from_str(&read_bounded(path)?)
            .map_err(|error| BenchError::corrupt(path, &error))?;
        if baselines.format != BASELINES_FORMAT {
            let reason = format!("format {}, not {BASELINES_FORMAT}", baselines.format);
            return Err(BenchError::corrupt(path, &reason));
        }
        Ok(baselines)
    }

    /// Writes them.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), BenchError> {
        let json = serde_json::to_string_pretty(self)
            .map_err(|error| BenchError::Render(error.to_string()))?;
        fs::write(path, json + "\n").map_err(|error| BenchError::file("write", path, error))
    }

    /// Why counts made here cannot be compared with these; `None` when they can.
    #[must_use]
    pub fn mismatch(&self) -> Option<String> {
        let here = Self::here(BTreeMap::new());
        let what = [
            ("compiler", &self.toolchain, &here.toolchain),
            ("target", &self.target, &here.target),
        ];
        let (name, theirs, ours) = what.into_iter().find(|(_, theirs, ours)| theirs != ours)?;
        Some(format!("the baselines are of the {name} {theirs}, this is {ours}"))
    }
}

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Within the tolerance.
    Same,
    /// Fewer instructions, by more than the tolerance: the baselines should be written again.
    Better,
    /// More instructions, by more than the tolerance.
    Worse,
    /// There is a count and no baseline.
    New,
    /// There is a baseline and no count.
    Gone,
}

impl Verdict {
    /// Whether it fails the gate.
    #[must_use]
    pub const fn fails(self) -> bool {
        matches!(self, Self::Worse | Self::New | Self::Gone)
    }
}

/// A path with its baseline and its count.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The path.
    pub path: String,
    /// Instructions for an operation before.
    pub baseline: Option<f64>,
    /// Instructions for an operation now.
    pub count: Option<f64>,
    /// What that means.
    pub verdict: Verdict,
}

/// Compares `counts` with `baselines`, path by path.
#[must_use]
pub fn judge(
    baselines: &BTreeMap<String, f64>,
    counts: &BTreeMap<String, f64>,
    tolerance: f64,
) -> Vec<Judged> {
    let paths: BTreeSet<&String> = baselines.keys().chain(counts.keys()).collect();
    let judged = |path: &String| {
        let (baseline, count) = (baselines.get(path).copied(), counts.get(path).copied());
        let verdict = match (baseline, count) {
            (None, _) => Verdict::New,
            (_, None) => Verdict::Gone,
            (Some(baseline), Some(count)) if count > baseline * (1.0 + tolerance) => Verdict::Worse,
            (Some(baseline), Some(count)) if count < baseline * (1.0 - tolerance) => {
                Verdict::Better
            }
            _ => Verdict::Same,
        };
        Judged { path: path.clone(), baseline, count, verdict }
    };
    paths.into_iter().map(judged).collect()
}

/// Whether valgrind can be called.
#[must_use]
pub fn valgrind_is_there() -> bool {
    let called = Command::new("valgrind").arg("--version").output();
    called.is_ok_and(|output| output.status.success())
}

/// Instructions for one operation of `path`, run by `program`.
///
/// # Errors
/// When valgrind or the program fails, or counts nothing.
pub fn count(program: &Path, path: &paths::HotPath) -> Result<f64, BenchError> {
    let plain = total(program, path.name, PLAIN)?;
    let more = total(program, path.name, PLAIN + path.operations)?;
    let difference = more.checked_sub(plain).filter(|difference| *difference > 0);
    let difference = difference.ok_or_else(|| {
        BenchError::setup(path.name, &"more operations did not take more instructions")
    })?;
    // A tenth is all that a reader of the baselines needs.
    Ok((difference as f64 / path.operations as f64 * 10.0).round() / 10.0)
}

/// Instructions of a whole run with so many operations.
fn total(program: &Path, path: &str, operations: u64) -> Result<u64, BenchError> {
    let failed = |reason: &dyn ToString| {
        BenchError::setup(format!("valgrind on {path}"), &reason.to_string())
    };
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(program)
        .args(["--run", path, "--operations", &operations.to_string()])
        .output()
        .map_err(|error| failed(&error))?;
    let messages = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let last = messages.lines().last().unwrap_or_default().to_owned();
        return Err(failed(&format!("{}: {last}", output.status)));
    }
    parse(&messages).ok_or_else(|| failed(&"it did not say how many instructions there were"))
}

/// The count in cachegrind's messages: `==123== I   refs:      1,234,567`.
fn parse(messages: &str) -> Option<u64> {
    let line = messages.lines().find(|line| line.contains("refs:") && line.contains(" I "))?;
    let digits: String = line.split_once("refs:")?.1.chars().filter(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn target() -> String {
    format!("{} {}", std::env::consts::ARCH, std::env::consts::OS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(figures: &[(&str, f64)]) -> BTreeMap<String, f64> {
        figures.iter().map(|(path, count)| ((*path).to_owned(), *count)).collect()
    }

    fn verdict(baseline: f64, count: f64) -> Verdict {
        judge(&counts(&[("a", baseline)]), &counts(&[("a", count)]), TOLERANCE)[0].verdict
    }

    #[test]
    fn a_path_that_grew_by_more_than_the_tolerance_fails() {
        assert_eq!(verdict(100.0, 110.0), Verdict::Same);
        assert_eq!(verdict(100.0, 110.1), Verdict::Worse);
        assert_eq!(verdict(100.0, 90.0), Verdict::Same);
        assert_eq!(verdict(100.0, 89.9), Verdict::Better);
        assert!(Verdict::Worse.fails() && !Verdict::Better.fails() && !Verdict::Same.fails());
    }

    #[test]
    fn a_path_cannot_leave_or_enter_the_gate_unseen() {
        let judged = judge(&counts(&[("gone", 1.0)]), &counts(&[("new", 1.0)]), TOLERANCE);
        let verdicts: Vec<_> = judged.iter().map(|one| (one.path.as_str(), one.verdict)).collect();
        assert_eq!(verdicts, [("gone", Verdict::Gone), ("new", Verdict::New)]);
        assert!(judged.iter().all(|one| one.verdict.fails()));
    }

    #[test]
    fn cachegrinds_count_is_read_from_its_messages() {
        let messages = "==1== Cachegrind\n==1== \n==1== I   refs:      1,234,567\n";
        assert_eq!(parse(messages), Some(1_234_567));
        assert_eq!(parse("==1== D refs: 5\n"), None);
    }

    #[test]
    fn baselines_of_another_compiler_or_processor_are_not_compared() {
        let mut baselines = Baselines::here(counts(&[("a", 1.0)]));
        assert_eq!(baselines.mismatch(), None);
        baselines.toolchain = "rustc 1.0.0".into();
        assert!(baselines.mismatch().unwrap().contains("compiler rustc 1.0.0"));
        let mut baselines = Baselines::here(counts(&[]));
        baselines.target = "m68k amiga".into();
        assert!(baselines.mismatch().unwrap().contains("m68k"));
    }

    #[test]
    fn baselines_survive_the_file_and_damage_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("instructions.json");
        let baselines = Baselines::here(counts(&[("a", 12.5)]));
        baselines.write(&path).unwrap();
        assert_eq!(Baselines::read(&path).unwrap(), baselines);
        fs::write(&path, "{").unwrap();
        assert!(Baselines::read(&path).is_err());
    }

    #[test]
    fn the_kept_baselines_are_those_of_the_paths() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("baselines/instructions.json");
        let kept = Baselines::read(&path).unwrap().instructions;
        let kept: Vec<&str> = kept.keys().map(String::as_str).collect();
        let mut names: Vec<&str> = paths::all().iter().map(|path| path.name).collect();
        names.sort_unstable();
        assert_eq!(kept, names);
    }
}

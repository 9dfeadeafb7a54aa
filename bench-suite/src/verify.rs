//! `cargo compare --verify`: derives all that is published of a run from its samples again, and
//! compares it with what is there.
//!
//! What always holds: nothing is written; every file that the report consists of is named with its
//! verdict; a file that is missing, or that no run has made, is a difference. A run that is not the
//! published one is compared in its own folder alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::BenchError;
use crate::report::{self, Report, front};
use crate::run::{Run, read_bounded};

/// Characters shown on each side of a difference.
const EXCERPT: usize = 40;

/// A file and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The file.
    pub path: PathBuf,
    /// Where it differs from what follows from the samples; `None` when it does not.
    pub difference: Option<String>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Each file compared.
    pub files: Vec<Checked>,
    /// The run that is published instead, where it is another.
    pub published: Option<String>,
}

impl Verdict {
    /// The files that differ.
    pub fn differences(&self) -> impl Iterator<Item = &Checked> {
        self.files.iter().filter(|file| file.difference.is_some())
    }

    /// A line for each file.
    #[must_use]
    pub fn in_words(&self) -> String {
        let mut text = String::new();
        for Checked { path, difference } in &self.files {
            let verdict = difference.as_deref().unwrap_or("follows from the samples");
            let _ = writeln!(text, "{}: {verdict}", path.display());
        }
        if let Some(other) = &self.published {
            let _ = writeln!(text, "The published report is that of {other}: not compared.");
        }
        text
    }
}

/// Compares what was derived from the run at `folder` with its samples.
///
/// # Errors
/// When the folder is not a run, or a run beside it is damaged.
pub fn check(folder: &Path) -> Result<Verdict, BenchError> {
    let run = Run::read(folder)?;
    let mut files = vec![samples(&run, folder)];
    for (name, expected) in run.derived() {
        files.push(compare(folder.join(name), &expected));
    }
    let folder =
        fs::canonicalize(folder).map_err(|error| BenchError::file("read", folder, error))?;
    let (id, results) = (folder.file_name(), folder.parent().and_then(Path::parent));
    let published = results.and_then(published_run);
    if let (Some(results), Some(published)) = (results, published) {
        if id.is_none_or(|id| *id != *published) {
            return Ok(Verdict { files, published: Some(published) });
        }
        let report = Report::render(&run, &report::history(results)?)?;
        files.extend(published_files(&report, results));
    }
    Ok(Verdict { files, published: None })
}

/// The run that the report below `results` names; `None` without a report.
#[must_use]
pub fn published_run(results: &Path) -> Option<String> {
    let readme = read_bounded(&results.join("README.md")).ok()?;
    let (_, behind) = readme.split_once(report::GENERATED_FROM)?;
    let end = behind.find(|letter: char| letter.is_whitespace() || letter == '.')?;
    Some(behind[..end].to_owned())
}

fn published_files(report: &Report, results: &Path) -> Vec<Checked> {
    let compared = report.files.iter().map(|(name, text)| compare(results.join(name), text));
    let mut files: Vec<Checked> = compared.collect();
    let expected: Vec<PathBuf> = files.iter().map(|file| file.path.clone()).collect();
    let there = fs::read_dir(results.join("report")).into_iter().flatten().flatten();
    for path in there.map(|entry| entry.path()).filter(|path| !expected.contains(path)) {
        let difference = Some("no run has made it: remove it".into());
        files.push(Checked { path, difference });
    }
    let path = results.join("..").join("README.md");
    if let Ok(readme) = read_bounded(&path)
        && let Some(expected) = front::spliced(&readme, &report.front)
    {
        files.push(compare(path, &expected));
    }
    files
}

/// Whether every cell has each repetition once, as many as the manifest says.
fn samples(run: &Run, folder: &Path) -> Checked {
    let mut cells: BTreeMap<_, Vec<u32>> = BTreeMap::new();
    for sample in &run.samples {
        cells.entry(&sample.cell).or_default().push(sample.repetition);
    }
    let wrong = cells.iter_mut().find_map(|(cell, there)| {
        let done = run.manifest.experiments.iter().find(|done| done.name == cell.experiment);
        let Some(done) = done else {
            return Some(format!("{cell} is of no experiment of run.json"));
        };
        there.sort_unstable();
        let complete = there.iter().copied().eq(1..=done.repetitions);
        let count = done.repetitions;
        (!complete).then(|| format!("{cell} has repetitions {there:?}, not 1 to {count}"))
    });
    let empty = run
        .manifest
        .experiments
        .iter()
        .find(|done| !run.samples.iter().any(|sample| sample.cell.experiment == done.name));
    let difference = wrong.or_else(|| empty.map(|done| format!("{} has no sample", done.name)));
    Checked { path: folder.join("samples.csv"), difference }
}

fn compare(path: PathBuf, expected: &str) -> Checked {
    let difference = match fs::read_to_string(&path) {
        Ok(found) => first_difference(&found, expected),
        Err(error) => Some(format!("cannot be read: {error}")),
    };
    Checked { path, difference }
}

/// Where two texts begin to differ.
fn first_difference(found: &str, expected: &str) -> Option<String> {
    if found == expected {
        return None;
    }
    let (mut ours, mut theirs) = (found.lines(), expected.lines());
    for number in 1.. {
        let (found, expected) = (ours.next(), theirs.next());
        if found == expected && found.is_some() {
            continue;
        }
        let (Some(found), Some(expected)) = (found, expected) else {
            return Some(match (found, expected) {
                (Some(found), _) => {
                    format!("line {number}: found {:?}, expected the end", excerpt(found, 0))
                }
                (_, Some(expected)) => {
                    format!("line {number}: found the end, expected {:?}", excerpt(expected, 0))
                }
                _ => format!("line {number}: the line ends differ"),
            });
        };
        let same = found.chars().zip(expected.chars()).take_while(|(a, b)| a == b).count();
        let (found, expected) = (excerpt(found, same), excerpt(expected, same));
        let column = same + 1;
        return Some(format!(
            "line {number}, column {column}: found {found:?}, expected {expected:?}"
        ));
    }
    None
}

/// What stands around the character at `place`.
fn excerpt(line: &str, place: usize) -> String {
    line.chars().skip(place.saturating_sub(EXCERPT)).take(2 * EXCERPT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named_by_line_and_column() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        let difference = first_difference("a\n12.5 k\n", "a\n12.6 k\n").unwrap();
        assert!(difference.starts_with("line 2, column 4: found \"12.5 k\""), "{difference}");
        assert!(first_difference("a\nb", "a").unwrap().contains("line 2: found \"b\""));
        assert!(first_difference("a", "a\nb").unwrap().contains("expected \"b\""));
        assert!(first_difference("a\n", "a").unwrap().contains("line ends differ"));
    }
}

//! What is published in `results/` is what its run folder says, byte for byte; and a changed digit
//! anywhere in it is found.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use quorate_bench::report;
use quorate_bench::rows;
use quorate_bench::run::Run;
use quorate_bench::verify;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The run that `README.md` in `results` names; `None` while nothing is published.
fn published_run(results: &Path) -> Option<PathBuf> {
    let run = verify::published_run(results).map(|id| results.join("runs").join(id));
    if run.is_none() {
        let published = ["README.md", "report"].map(|name| results.join(name).exists());
        assert_eq!(published, [false, false], "a report that names no run");
    }
    run
}

#[test]
fn the_published_report_follows_from_its_run_folder() {
    let Some(run) = published_run(&workspace().join("results")) else { return };
    let verdict = verify::check(&run).unwrap();
    assert!(
        verdict.differences().next().is_none() && verdict.published.is_none(),
        "{}run `cargo compare --report {}`",
        verdict.in_words(),
        run.display()
    );
    let named = |end: &str| verdict.files.iter().any(|file| file.path.ends_with(end));
    for end in ["rows.csv", "results/README.md", "report/index.html", "report/data.json"] {
        assert!(named(end), "{end} was compared: {verdict:?}");
    }
    assert!(named("../README.md"), "the workspace's README has its numbers: {verdict:?}");
}

#[test]
fn rows_of_every_kept_run_follow_from_its_samples() {
    let results = workspace().join("results");
    for run in report::history(&results).unwrap() {
        let folder = results.join("runs").join(&run.manifest.id);
        let rows = fs::read_to_string(folder.join("rows.csv")).unwrap();
        assert!(rows == rows::to_csv(&rows::derive(&run.samples)), "{}", folder.display());
        assert_eq!(Run::read(&folder).unwrap(), run);
    }
}

/// A copy of what is published, below a folder of its own.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a scratch folder");
    for entry in fs::read_dir(from).expect("what is published") {
        let entry = entry.expect("a published file");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a scratch folder takes a copy");
        }
    }
}

fn verify(run: &Path) -> (Option<i32>, String) {
    let program = Command::new(env!("CARGO_BIN_EXE_compare"));
    let output = { program }.arg("--verify").arg(run).output().expect("the program runs");
    (output.status.code(), String::from_utf8(output.stdout).expect("it prints text"))
}

/// The text with its last digit changed.
fn falsified(text: &str) -> String {
    let place = text.rfind(|letter: char| letter.is_ascii_digit()).expect("it has a digit");
    let digit = if &text[place..=place] == "7" { "8" } else { "7" };
    format!("{}{digit}{}", &text[..place], &text[place + 1..])
}

#[test]
fn a_changed_digit_is_found_wherever_it_stands() {
    let scratch = tempfile::tempdir().unwrap();
    let results = scratch.path().join("results");
    copy(&workspace().join("results"), &results);
    fs::copy(workspace().join("README.md"), scratch.path().join("README.md")).unwrap();
    let Some(run) = published_run(&results) else { return };
    assert_eq!(verify(&run).0, Some(0), "{}", verify(&run).1);

    let front = scratch.path().join("README.md");
    let in_front = |text: &str| {
        let (before, behind) = text.split_once(report::front::END).expect("it has numbers");
        falsified(before) + report::front::END + behind
    };
    let anywhere = |text: &str| falsified(text);
    // The last digit of one sample need not show in a median of three digits.
    let one_less = |text: &str| {
        let (before, _) = text.trim_end().rsplit_once('\n').expect("it has samples");
        before.to_owned() + "\n"
    };
    type Falsify<'a> = &'a dyn Fn(&str) -> String;
    let files: [(PathBuf, Falsify<'_>); 7] = [
        (run.join("rows.csv"), &anywhere),
        (run.join("samples.csv"), &one_less),
        (results.join("README.md"), &anywhere),
        (results.join("report/index.html"), &anywhere),
        (results.join("report/data.json"), &anywhere),
        (results.join("report/ablation.svg"), &anywhere),
        (front, &in_front),
    ];
    for (path, falsify) in files {
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, falsify(&text)).unwrap();
        let (code, words) = verify(&run);
        // 2 where the logs of latencies no longer fit the samples: the run cannot be read at all.
        assert!(matches!(code, Some(1 | 2)), "{}: {code:?}, {words}", path.display());
        let clean = words.lines().all(|line| line.ends_with("follows from the samples"));
        assert!(code == Some(2) || !clean, "{words}");
        fs::remove_file(&path).unwrap();
        let missing = verify(&run).0;
        // A folder of results elsewhere has no such README beside it.
        assert!(missing != Some(0) || path == scratch.path().join("README.md"), "{path:?}");
        fs::write(&path, text).unwrap();
    }
    fs::write(results.join("report/extra.svg"), "").unwrap();
    assert!(verify(&run).1.contains("no run has made it"));
}

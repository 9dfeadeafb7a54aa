//! The program's promises to its callers: exit codes, clear errors, clean standard output.

use std::path::Path;
use std::process::{Command, Output};

fn compare(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_compare"))
        .args(arguments)
        .output()
        .expect("the program was built with this test")
}

fn refused(arguments: &[&str], words: &str) {
    let output = compare(arguments);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
    assert!(message.contains(words), "{arguments:?}: {message}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
}

#[test]
fn a_wrong_call_ends_with_two_and_says_what_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    refused(&["--only", "speed", "--out", out], "there are: ablation");
    refused(&["--repetitions", "0", "--out", out], "between 1 and 1000");
    refused(&["--repetitions", "many"], "invalid value");
    refused(&["--no-such-option"], "--no-such-option");
    refused(&["--report", "no/such/run", "--out", out], "no/such/run");
    let left: Vec<_> = folder.path().read_dir().unwrap().collect();
    assert!(left.is_empty(), "nothing was written: {left:?}");
}

#[test]
fn a_damaged_run_is_refused_and_the_old_report_stays() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("runs").join("damaged");
    std::fs::create_dir_all(&run).unwrap();
    std::fs::write(run.join("run.json"), "{\"format\": 1").unwrap();
    std::fs::write(folder.path().join("README.md"), "before").unwrap();
    refused(&["--report", run.to_str().unwrap()], "run.json");
    assert_eq!(std::fs::read_to_string(folder.path().join("README.md")).unwrap(), "before");
    assert!(!folder.path().join("report").exists());
}

#[test]
fn a_file_in_the_way_is_refused_before_anything_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("taken");
    std::fs::write(&file, "").unwrap();
    let below = file.join("results");
    refused(&["--quick", "--only", "queue", "--out", below.to_str().unwrap()], "taken");
}

#[test]
fn json_lines_are_all_that_stands_on_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let arguments = ["--quick", "--only", "wan", "--repetitions", "1", "--json", "--out", out];
    let output = compare(&arguments);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{message}");
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(lines.lines().count() > 8, "{lines}");
    for line in lines.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(row["experiment"], "wan");
        assert_eq!(row["proof"], "verified", "{line}");
    }
    assert!(message.contains("report/index.html") || message.contains("report\\index.html"));
    report_again_is_the_same(folder.path());
}

/// `--report` on the folder that was just written changes nothing.
fn report_again_is_the_same(results: &Path) {
    let read = || {
        ["README.md", "report/index.html", "report/data.json", "report/ablation.svg"]
            .map(|name| std::fs::read_to_string(results.join(name)).expect("the report is there"))
    };
    let before = read();
    let mut runs = results.join("runs").read_dir().expect("the run was written");
    let run = runs.next().expect("there is one").expect("it can be read").path();
    let output = compare(&["--report", run.to_str().expect("temporary paths are text")]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(read(), before);
}

/// Cells with their repetitions as the only run below `results` has them, in a fixed order.
fn measured(results: &Path) -> Vec<(String, u32)> {
    let mut runs = results.join("runs").read_dir().expect("runs were written");
    let run = runs.next().expect("there is a run").expect("it can be read").path();
    assert!(runs.next().is_none(), "nothing else is left below runs");
    let run = quorate_bench::run::Run::read(&run).expect("it is complete");
    let mut samples: Vec<(String, u32)> =
        run.samples.iter().map(|one| (one.cell.to_string(), one.repetition)).collect();
    samples.sort();
    samples
}

#[test]
fn an_interrupted_run_goes_on_and_measures_nothing_twice() {
    let (folder, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let out = |folder: &tempfile::TempDir| folder.path().to_str().unwrap().to_owned();
    let arguments = |out: String, more: &[&str]| {
        let all = ["--quick", "--only", "wan", "--repetitions", "2", "--out", &out];
        let output = compare(&[&all, more].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, message) = arguments(out(&folder), &["--stop-after", "7"]);
    assert_eq!(code, None, "ended by a signal, like a kill: {message}");
    assert!(!folder.path().join("README.md").exists(), "an incomplete run has no report");
    let mut listing = folder.path().join("runs").read_dir().unwrap();
    let hidden = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().file_name().to_string_lossy().starts_with('.')
    };
    assert!(listing.all(hidden), "an incomplete run is hidden");

    let (code, message) = arguments(out(&folder), &["--resume", "--stop-after", "12"]);
    assert_eq!(code, None, "interrupted once more: {message}");
    assert!(message.contains("7 repetitions are there"), "{message}");
    let (code, message) = arguments(out(&folder), &["--resume"]);
    assert_eq!(code, Some(0), "{message}");
    assert!(message.contains("12 repetitions are there"), "{message}");

    let (code, message) = arguments(out(&whole), &[]);
    assert_eq!(code, Some(0), "{message}");
    let samples = measured(folder.path());
    assert_eq!(samples, measured(whole.path()));
    assert!(samples.windows(2).all(|pair| pair[0] != pair[1]), "{samples:?}");
}

#[test]
fn going_on_is_refused_where_nothing_fits() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    refused(&["--resume", "--out", out], "there is none");
    let begin = ["--quick", "--only", "wan", "--out", out, "--stop-after", "1"];
    assert_eq!(compare(&begin).status.code(), None);
    refused(&["--resume", "--only", "wan", "--out", out], "--quick was true and is false");
    let other = ["--resume", "--quick", "--only", "wan", "--out", out, "--repetitions", "3"];
    refused(&other, "--repetitions was not given and is 3");
}

#[test]
fn verifying_what_is_no_run_ends_with_two() {
    let folder = tempfile::tempdir().unwrap();
    refused(&["--verify", "no/such/run"], "no/such/run");
    refused(&["--verify", folder.path().to_str().unwrap()], "run.json");
    refused(&["--verify", "x", "--quick"], "cannot be used with");
}

#[test]
fn experiments_are_listed_with_their_questions() {
    let output = compare(&["--list"]);
    let list = String::from_utf8(output.stdout).unwrap();
    for name in ["ablation", "small", "batching", "wan", "queue", "queue-matrix"] {
        assert!(list.lines().any(|line| line.starts_with(name) && line.ends_with('?')), "{list}");
    }
}

#[test]
fn the_memory_of_an_unbounded_queue_is_measured_by_a_call_of_its_own() {
    let output = compare(&["--memory-of", "mq unbounded", "--items", "50000"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(text.split_whitespace().filter_map(|n| n.parse::<u64>().ok()).count(), 2, "{text}");
    refused(&["--memory-of", "crossbeam ArrayQueue"], "no unbounded queue");
}

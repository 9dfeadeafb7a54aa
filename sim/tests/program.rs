//! The program: exit codes, messages, charts, records, and a replay that says what the run said.

use std::process::{Command, Output};

fn quorate_sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quorate-sim"))
        .args(arguments)
        .output()
        .expect("the program starts")
}

fn assert_refused(arguments: &[&str], words: &str) {
    let output = quorate_sim(arguments);
    let error = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
    assert!(error.contains(words), "{arguments:?}: {error}");
    assert!(output.stdout.is_empty(), "nothing was half done");
}

#[test]
fn bad_input_is_refused_with_what_would_be_right() {
    assert_refused(&["--protocol", "viewstamped", "--seeds", "0..1"], "raft, paxos, pbft, or all");
    assert_refused(&["--protocol", "raft", "--seeds", "0..1", "--replicas", "0"], "1 to 13");
    assert_refused(&["--protocol", "pbft", "--seeds", "0..1", "--replicas", "3"], "4 to 13");
    assert_refused(&["--protocol", "all", "--seeds", "0..1", "--replicas", "5,3"], "4 to 13");
    assert_refused(&["--protocol", "raft", "--seeds", "5..5"], "FIRST..END");
    assert_refused(&["--protocol", "raft", "--seeds", "seven"], "FIRST..END");
    assert_refused(&["--protocol", "raft"], "--seeds FIRST..END");
    assert_refused(&["--protocol", "raft", "--seeds", "0..9", "--seed", "1"], "--seed");
    assert_refused(&["--seeds", "0..1"], "--protocol");
    assert_refused(&["--protocol", "raft", "--hours", "0"], "above 0");
    assert_refused(&["--protocol", "raft", "--hours", "NaN"], "above 0");
    assert_refused(&["--protocol", "all", "--seed", "1"], "one protocol");
    assert_refused(&["--protocol", "raft", "--seed", "1", "--replicas", "3,5"], "one protocol");
    assert_refused(&["--protocol", "raft", "--seeds", "0..9", "--trace"], "--seed S");
    assert_refused(&["--protocol", "raft", "--seeds", "0..9", "--shrink"], "--shrink");
    assert_refused(&["--replay", "no-such-file.json"], "no-such-file.json");
    assert_refused(&["--replay", "Cargo.toml"], "not a regression file");
    assert_refused(&["--protocol", "raft", "--seed", "1", "--trace", "prose"], "chart, full");
    let drawn = ["--protocol", "raft", "--seed", "1", "--trace"];
    assert_refused(&[&drawn[..], &["--from", "soon"]].concat(), "120ms");
    assert_refused(&[&drawn[..], &["--from", "9s", "--to", "1s"]].concat(), "nothing to draw");
    assert_refused(&[&drawn[..], &["--only", "r0,r9"]].concat(), "r0 to r2");
    let kept = ["--protocol", "raft", "--seeds", "0..1", "--out", "nowhere", "--defects"];
    assert_refused(&[&kept[..], &["no-such-file"]].concat(), "no-such-file");
    assert_refused(&[&kept[..], &["Cargo.toml"]].concat(), "line 1");
}

fn text_of(arguments: &[&str]) -> String {
    let output = quorate_sim(arguments);
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {text}");
    text
}

fn line_of<'a>(text: &'a str, begin: &str) -> &'a str {
    let found = text.lines().find(|line| line.trim_start_matches(['│', ' ']).starts_with(begin));
    found.unwrap_or_else(|| panic!("no line begins with {begin}: {text}"))
}

#[test]
fn a_clean_range_ends_with_zero_and_a_table_of_faults() {
    let table = text_of(&["--protocol", "all", "--seeds", "0..8"]);
    for words in ["seeds", "virtual hours", "steps", "crash", "raft, 3", "paxos, 5", "pbft, 4"] {
        assert!(table.contains(words), "{words} is missing in {table}");
    }
    assert!(line_of(&table, "violations").contains('0'));
    let again = text_of(&["--protocol", "all", "--seeds", "0..8"]);
    assert_eq!(line_of(&table, "trace hashes"), line_of(&again, "trace hashes"));
}

#[test]
fn a_replay_with_a_trace_ends_with_the_hash_of_the_run_without() {
    for (protocol, seed) in [("raft", "3"), ("paxos", "7"), ("pbft", "2")] {
        let arguments = ["--protocol", protocol, "--seed", seed];
        let quiet = text_of(&arguments);
        for form in [&["--trace"][..], &["--trace", "full"]] {
            let drawn = text_of(&[&arguments[..], form].concat());
            assert_eq!(line_of(&quiet, "trace hash"), line_of(&drawn, "trace hash"));
            assert!(drawn.lines().count() > 100, "a run has more to tell");
        }
    }
}

#[test]
fn the_history_of_a_run_is_written_for_the_checker() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.jsonl");
    text_of(&["--protocol", "raft", "--seed", "1", "--history", file.to_str().unwrap()]);
    let lines = std::fs::read_to_string(file).unwrap();
    assert!(lines.lines().count() > 10 && lines.contains("\"invoke\""), "{lines}");
}

#[test]
fn a_chart_fits_a_terminal_and_a_window_is_a_part_of_it() {
    let arguments = ["--protocol", "raft", "--seed", "1", "--replicas", "3", "--trace"];
    let whole = text_of(&arguments);
    assert!(whole.lines().all(|line| line.chars().count() <= 120));
    for sign in ["★ Leader", "■ commits", "○ ", "▶│", "clients"] {
        assert!(whole.contains(sign), "{sign}");
    }
    let window = ["--from", "100ms", "--to", "0.3s", "--only", "r0,r2"];
    let part = text_of(&[&arguments[..], &window[..]].concat());
    let times = part.lines().filter_map(|line| line.get(..10)?.trim().parse::<f64>().ok());
    let times: Vec<_> = times.collect();
    assert!(times.len() > 5 && times.iter().all(|ms| (100.0..=300.0).contains(ms)), "{times:?}");
    assert!(part.contains("r0") && !line_of(&part, "time ms").contains("r1"));
}

#[test]
fn a_campaign_on_the_clock_leaves_a_record_of_itself() {
    let folder = tempfile::tempdir().unwrap();
    let defects = folder.path().join("defects.jsonl");
    let line =
        r#"{"protocol":"raft","defect":"Forgets","invariant":"i","seeds":[4,null],"replicas":3}"#;
    std::fs::write(&defects, line).unwrap();
    let (out, defects) = (folder.path().to_str().unwrap(), defects.to_str().unwrap());
    let arguments = [
        "--protocol",
        "all",
        "--hours",
        "0.0002",
        "--base",
        "5",
        "--out",
        out,
        "--defects",
        defects,
    ];
    let text = text_of(&arguments);
    let written =
        std::path::PathBuf::from(line_of(&text, "written: ").trim_start_matches("written: "));
    let record = quorate_sim::record::Record::read(&written).unwrap();
    assert_eq!(record.first_seed, 5);
    assert!(record.groups.iter().map(|group| group.seeds).sum::<u64>() > 0);
    let page = std::fs::read_to_string(written.join("README.md")).unwrap();
    assert_eq!(page, quorate_sim::record::page(&record));
    for words in ["no violation", "Forgets", "4, not found", "simulated seconds per second"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let second = text_of(&["--protocol", "raft", "--seeds", "0..1", "--out", out]);
    assert!(line_of(&second, "written: ").ends_with("-2"), "a record is never overwritten");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_a_campaign_with_its_summary() {
    use std::io::{BufRead as _, BufReader};
    use std::process::Stdio;

    let mut program = Command::new(env!("CARGO_BIN_EXE_quorate-sim"))
        .args(["--protocol", "raft", "--hours", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // Once it says so, it listens.
    let mut said = String::new();
    BufReader::new(program.stderr.take().unwrap()).read_line(&mut said).unwrap();
    assert!(said.contains("Ctrl-C"), "{said}");
    let id = program.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let output = program.wait_with_output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{table}");
    assert!(table.contains("stopped by hand"), "{table}");
}

#[test]
fn a_regression_file_is_replayed_and_a_clean_seed_is_not_reduced() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/regressions");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = text_of(&["--replay", path.to_str().unwrap()]);
        assert!(text.contains("no violation") && text.contains("the file's violation"), "{text}");
    }
    let text = text_of(&["--protocol", "raft", "--seed", "1", "--shrink"]);
    assert!(text.contains("nothing to reduce"), "{text}");
}

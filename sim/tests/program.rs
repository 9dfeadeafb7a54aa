//! The program: exit codes, messages, and a replay that says what the run said.

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
    assert_refused(&["--protocol", "viewstamped", "--seeds", "0..1"], "raft, paxos, pbft");
    assert_refused(&["--protocol", "raft", "--seeds", "0..1", "--replicas", "0"], "1 to 13");
    assert_refused(&["--protocol", "pbft", "--seeds", "0..1", "--replicas", "3"], "4 to 13");
    assert_refused(&["--protocol", "raft", "--seeds", "5..5"], "FIRST..END");
    assert_refused(&["--protocol", "raft", "--seeds", "seven"], "FIRST..END");
    assert_refused(&["--protocol", "raft"], "--seeds FIRST..END");
    assert_refused(&["--protocol", "raft", "--seeds", "0..9", "--seed", "1"], "--seed");
    assert_refused(&["--seeds", "0..1"], "--protocol");
}

#[test]
fn a_clean_range_ends_with_zero_and_a_table_of_faults() {
    let output = quorate_sim(&["--protocol", "raft", "--seeds", "0..10"]);
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{table}");
    for words in ["seeds", "virtual hours", "steps", "crash", "violations"] {
        assert!(table.contains(words), "{words} is missing in {table}");
    }
}

#[test]
fn a_replay_with_a_trace_ends_with_the_hash_of_the_run_without() {
    let hash = |arguments: &[&str]| {
        let output = String::from_utf8(quorate_sim(arguments).stdout).unwrap();
        output.lines().find(|line| line.starts_with("trace hash")).unwrap().to_string()
    };
    let quiet = hash(&["--protocol", "paxos", "--seed", "3"]);
    assert_eq!(quiet, hash(&["--protocol", "paxos", "--seed", "3", "--trace"]));
}

//! The program: exit codes and what it prints.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::generate::{Load, keyed, plant_stale_read, to_json};

fn lincheck(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lincheck"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    // A program that refuses its arguments does not read.
    drop(stdin.write_all(input.as_bytes()));
    drop(stdin);
    child.wait_with_output().expect("the program ends")
}

fn texts(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    (output.status.code().expect("an exit code"), text(&output.stdout), text(&output.stderr))
}

const STALE: &str = r#"{"process":0,"type":"invoke","f":"write","key":"x","value":1}
{"process":0,"type":"ok","f":"write","key":"x","value":1}
{"process":1,"type":"invoke","f":"write","key":"x","value":2}
{"process":1,"type":"ok","f":"write","key":"x","value":2}
{"process":2,"type":"invoke","f":"read","key":"x"}
{"process":2,"type":"ok","f":"read","key":"x","value":1}
"#;

#[test]
fn a_linearizable_history_ends_with_zero() {
    let history = to_json(&keyed(Load::default(), 1));
    let (code, out, _) = texts(&lincheck(&["-"], &history));
    assert_eq!(code, 0, "{out}");
    for words in ["linearizable\n", "model       cas-register", "2000 (", "objects     10"] {
        assert!(out.contains(words), "{words} is missing in {out}");
    }
}

#[test]
fn a_violation_ends_with_one_and_names_the_operation() {
    let (code, out, _) = texts(&lincheck(&["-"], STALE));
    assert_eq!(code, 1);
    for words in [
        "NOT linearizable",
        "object \"x\"",
        "dies at line 6: process 2 read → 1 (called in line 5)",
        "2 operations explain all answers; possible states: 2",
    ] {
        assert!(out.contains(words), "{words} is missing in {out}");
    }
}

#[test]
fn machines_are_told_the_same() {
    let mut history = keyed(Load { values: 0, ..Load::default() }, 1);
    plant_stale_read(&mut history).expect("there is room for a stale read");
    let (code, out, _) = texts(&lincheck(&["--json", "-"], &to_json(&history)));
    assert_eq!(code, 1);
    let report: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(report["verdict"], "violation");
    assert_eq!(report["operations"], 2000);
    assert_eq!(report["violation"]["f"], "read");
    assert!(report["violation"]["line"].as_u64() > report["violation"]["called_line"].as_u64());
}

#[test]
fn bad_input_ends_with_two_and_its_place_and_prints_no_verdict() {
    let (code, out, error) = texts(&lincheck(&["-"], "{\"process\":0}"));
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(error.contains("standard input: line 1, column 13: missing field"), "{error}");
    for arguments in [
        &["--model", "queue", "-"][..],
        &["--timeout", "soon", "-"],
        &["--initial", "{", "-"],
        &["--model", "mutex", "-"],
        &["/nonexistent/history.edn"],
        &[],
    ] {
        let (code, out, error) = texts(&lincheck(arguments, STALE));
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {error}");
        assert!(!error.is_empty());
    }
}

#[test]
fn a_search_that_is_out_of_time_ends_with_three() {
    let history = to_json(&keyed(Load { keys: 1, ..Load::default() }, 3));
    let (code, out, _) = texts(&lincheck(&["--timeout", "0s", "-"], &history));
    assert_eq!(code, 3, "{out}");
    assert!(out.contains("gave up after 0ns; a longer --timeout may decide it"), "{out}");
}

#[test]
fn the_initial_value_and_the_model_can_be_given() {
    let read = r#"{"process":2,"type":"invoke","f":"read"}
{"process":2,"type":"ok","f":"read","value":"a"}
"#;
    for model in ["auto", "register", "cas-register", "kv"] {
        let arguments = ["--model", model, "--initial", "\"a\"", "-"];
        assert_eq!(texts(&lincheck(&arguments, read)).0, 0);
        assert_eq!(texts(&lincheck(&["--model", model, "-"], read)).0, 1);
    }
}

#[test]
fn a_page_is_written_for_either_verdict() {
    let folder = std::env::temp_dir().join(format!("lincheck-page-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the page");
    let page = folder.join("page.html");
    let path = page.to_str().expect("text");
    for (history, words) in [(STALE, "not linearizable"), ("", ": linearizable")] {
        lincheck(&["--html", path, "-"], history);
        let written = std::fs::read_to_string(&page).expect("the page is written");
        assert!(written.contains(words));
    }
    std::fs::remove_dir_all(&folder).expect("the folder is removed");
}

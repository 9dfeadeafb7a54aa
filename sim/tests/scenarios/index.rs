//! The table in `sim/README.md` and the tests name one another.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The protocols, in the order of the table's columns.
const PROTOCOLS: [&str; 3] = ["raft", "paxos", "pbft"];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// For each `scenario!` in the sources, `file::name` with the protocols that it is played for.
fn played() -> BTreeMap<String, BTreeSet<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut played = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("the folder of this test is there") {
        let path = entry.expect("the folder can be listed").path();
        let file = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        if file == "main" || file == "index" {
            continue;
        }
        let source = std::fs::read_to_string(&path).expect("a source is text");
        for call in source.split("\nscenario!(").skip(1) {
            let (name, rest) = call.split_once(':').expect("a scenario has a name");
            let rest = rest.split_once(");").expect("a scenario ends").0;
            let of = |protocol: &&&str| rest.contains(&format!("{protocol}("));
            let protocols = PROTOCOLS.iter().filter(of).map(|it| (*it).to_owned()).collect();
            played.insert(format!("{file}::{}", name.trim()), protocols);
        }
    }
    played
}

/// For each test that the table names, the protocols in whose column it stands.
fn listed() -> BTreeMap<String, BTreeSet<String>> {
    let readme = read("README.md");
    let mut listed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in readme.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<_> = line.trim_matches('|').split('|').collect();
        if cells.len() != 1 + PROTOCOLS.len() {
            continue;
        }
        for (cell, protocol) in cells[1..].iter().zip(PROTOCOLS) {
            for name in cell.split('`').skip(1).step_by(2).filter(|name| name.contains("::")) {
                listed.entry(name.to_owned()).or_default().insert(protocol.to_owned());
            }
        }
    }
    listed
}

#[test]
fn the_table_and_the_tests_name_the_same_scenarios() {
    assert_eq!(listed(), played());
}

#[test]
fn the_tests_of_the_queue_exist() {
    let readme = read("README.md");
    let rows = readme.split("### Queue").nth(1).and_then(|rest| rest.split("###").next());
    let rows = rows.expect("the readme has the queue's table");
    let mut named = 0;
    for cell in
        rows.lines().filter(|line| line.contains("`mq/")).filter_map(|row| row.rsplit('|').nth(1))
    {
        let mut source = String::new();
        for word in cell.split([' ', ',', '(', ')']).filter(|word| !word.is_empty()) {
            if let Some(path) = word.strip_prefix('`').and_then(|path| path.strip_suffix('`')) {
                source = read(&format!("../{path}"));
            } else if word.contains('_') {
                assert!(source.contains(&format!("fn {word}")), "{word}");
                named += 1;
            }
        }
    }
    assert!(named >= 7, "one test for each scenario at least");
}

#[test]
fn no_cell_of_the_table_is_empty() {
    let readme = read("README.md");
    let table = readme.split("## What is held").nth(1).expect("the readme has the table");
    for line in table.lines().filter(|line| line.starts_with('|')) {
        let empty = line.trim_matches('|').split('|').any(|cell| cell.trim().is_empty());
        assert!(!empty, "{line}");
    }
}

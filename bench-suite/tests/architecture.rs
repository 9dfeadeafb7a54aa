//! The architecture's promises that can be read off the sources, checked as ordinary tests.
//!
//! `ARCHITECTURE.md` states numbered invariants; each names the test that guards it. The tests here
//! prove that those tests exist, and guard the invariants about layers and purity themselves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Which crates of the workspace a crate may depend on. The floors of the house, top to bottom.
const FLOORS: &[(&str, &[&str])] = &[
    ("mq", &[]),
    ("smr", &["mq"]),
    ("paxos", &["smr"]),
    ("raft", &["smr"]),
    ("pbft", &["smr"]),
    ("runtime", &["mq", "smr"]),
    ("sim", &["mq", "smr", "paxos", "raft", "pbft"]),
    ("bench-suite", &["mq", "smr", "paxos", "raft", "pbft", "runtime", "sim"]),
];

/// The crates that do no I/O, read no clock, spawn no thread and own no global randomness.
const PURE: &[&str] = &["smr", "paxos", "raft", "pbft"];

/// What a pure crate never mentions outside of its tests and examples.
const IMPURE: &[&str] = &[
    "std::thread",
    "std::fs",
    "std::net",
    "std::env",
    "Instant::now",
    "SystemTime",
    "HashMap",
    "HashSet",
    "thread_rng",
    "rand::rng",
    "println!",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the workspace").into()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn sources(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    rust_files(&root().join(folder), &mut files);
    assert!(!files.is_empty(), "{folder} has sources");
    files
}

/// The part of a source file before its unit tests, without comments.
fn production_code(path: &Path) -> String {
    let text = read(path);
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let no_comment = |line: &str| line.split("//").next().unwrap_or_default().to_string();
    code.lines().map(no_comment).collect::<Vec<_>>().join("\n")
}

/// The names of the workspace's crates among a manifest's dependencies (not its dev-dependencies).
fn dependencies(manifest: &str) -> Vec<String> {
    let mut section = "";
    let mut names = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if section == "[dependencies]"
            && let Some(rest) = line.strip_prefix("quorate-")
        {
            let end = rest.find(['.', ' ', '=']).unwrap_or(rest.len());
            names.push(rest[..end].to_string());
        }
    }
    names
}

#[test]
fn no_crate_depends_on_a_sibling_or_a_higher_floor() {
    for (folder, allowed) in FLOORS {
        let manifest = read(&root().join(folder).join("Cargo.toml"));
        for dependency in dependencies(&manifest) {
            assert!(allowed.contains(&dependency.as_str()), "{folder} depends on {dependency}");
        }
    }
}

#[test]
fn every_crate_of_the_workspace_stands_on_a_floor() {
    let manifest = read(&root().join("Cargo.toml"));
    let line = manifest.lines().find(|line| line.starts_with("members")).expect("members");
    let mut members: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
    let mut floors: Vec<&str> = FLOORS.iter().map(|(folder, _)| *folder).collect();
    members.sort_unstable();
    floors.sort_unstable();
    assert_eq!(members, floors);
}

#[test]
fn protocols_do_no_io_read_no_clock_and_iterate_nothing_unordered() {
    for folder in PURE {
        for file in sources(&format!("{folder}/src")) {
            let code = production_code(&file);
            for word in IMPURE {
                assert!(!code.contains(word), "{} mentions {word}", file.display());
            }
        }
    }
}

#[test]
fn unsafe_code_lives_in_mq_alone() {
    for (folder, _) in FLOORS.iter().filter(|(folder, _)| *folder != "mq") {
        let library = root().join(folder).join("src/lib.rs");
        assert!(read(&library).contains("#![forbid(unsafe_code)]"), "{folder} forbids unsafe code");
    }
}

#[test]
fn every_file_says_what_it_is() {
    for (folder, _) in FLOORS {
        for file in sources(&format!("{folder}/src")) {
            assert!(read(&file).starts_with("//!"), "{} opens with //!", file.display());
        }
    }
}

/// `ARCHITECTURE.md` names guards as `` `path/to/file.rs::test_name` ``.
fn guards(text: &str) -> BTreeMap<String, Vec<(String, String)>> {
    let mut guards: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let mut invariant = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("- **I") {
            let number = rest.split(['.', ' ', '*']).next().unwrap_or_default();
            invariant = Some(format!("I{number}"));
        } else if !line.starts_with("  ") {
            invariant = None;
        }
        let Some(invariant) = &invariant else { continue };
        let entry = guards.entry(invariant.clone()).or_default();
        for quoted in line.split('`').skip(1).step_by(2) {
            if let Some((file, test)) = quoted.split_once(".rs::") {
                entry.push((format!("{file}.rs"), test.to_string()));
            }
        }
    }
    guards
}

#[test]
fn every_invariant_of_the_architecture_names_a_test_that_exists() {
    let guards = guards(&read(&root().join("ARCHITECTURE.md")));
    assert!(guards.len() >= 12, "the architecture states its invariants");
    for (invariant, tests) in guards {
        assert!(!tests.is_empty(), "{invariant} names no test");
        for (file, test) in tests {
            let text = read(&root().join(&file));
            let is_there = ["(", "<"].iter().any(|next| text.contains(&format!("fn {test}{next}")));
            assert!(is_there, "{invariant}: {file} has no {test}");
        }
    }
}

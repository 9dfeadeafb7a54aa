//! Every named ordering and every step that can be left out has a model that misses it: each name
//! in the source stands in a table of mutants of a loom test, and no table has a name too many.
#![allow(clippy::unwrap_used, reason = "helpers of tests, too, end a test by a panic")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The code of a file without its comments and without white space, so that a line break is none.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| line.split_whitespace()).collect()
}

/// The string literals that follow `opening`.
fn literals_behind<'a>(code: &'a str, opening: &str) -> impl Iterator<Item = &'a str> {
    let behind = code.match_indices(opening).map(|(at, found)| &code[at + found.len()..]);
    behind.filter_map(|rest| rest.split_once('"')).map(|(name, _)| name)
}

/// What a name stands behind: an ordering, a step, and the fence that is left out with an ordering.
const OPENINGS: [&str; 4] = ["order(\"", "planted(\"", "fence_unless([\"", "handshake_fence(&[\""];

#[test]
fn every_named_ordering_and_step_has_a_mutant() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = BTreeMap::new();
    for path in rust_files(&root.join("src")) {
        let code = code(&path);
        for opening in OPENINGS {
            for name in literals_behind(&code, opening) {
                names.insert(name.to_owned(), path.clone());
            }
        }
    }
    assert!(names.len() >= 6, "the search finds names: {names:?}");
    let mut missing = names.clone();
    let mut unknown = Vec::new();
    for path in rust_files(&root.join("tests")) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("loom") {
            continue;
        }
        for name in literals_behind(&code(&path), "(\"") {
            missing.remove(name);
            let looks_like_one = name.contains('.') && name.split('.').count() == 2;
            if looks_like_one && !names.contains_key(name) {
                unknown.push(name.to_owned());
            }
        }
    }
    assert!(missing.is_empty(), "no model guards {missing:#?}");
    assert!(unknown.is_empty(), "no code has {unknown:?}");
}

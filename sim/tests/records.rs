//! Records of campaigns that are kept: every page is current with its data.

use std::fs;
use std::path::{Path, PathBuf};

use quorate_sim::record::{PAGE_FILE, Record, page};

fn records() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/simulation");
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir()).collect()
}

#[test]
fn every_page_says_what_its_summary_says() {
    for folder in records() {
        let record = Record::read(&folder).unwrap_or_else(|error| panic!("{error}"));
        let kept = fs::read_to_string(folder.join(PAGE_FILE)).expect("a page");
        assert_eq!(kept, page(&record), "{}", folder.display());
    }
}

#[test]
fn a_record_that_is_kept_has_no_violation_or_says_so() {
    for folder in records() {
        let record = Record::read(&folder).unwrap_or_else(|error| panic!("{error}"));
        let violated: u64 = record.groups.iter().map(|group| group.violated).sum();
        let says = page(&record).contains("no violation");
        assert_eq!(says, violated == 0, "{}", folder.display());
    }
}

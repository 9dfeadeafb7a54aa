//! What is published in `results/` is what its run folder says, byte for byte.

use std::path::{Path, PathBuf};

use quorate_bench::report;
use quorate_bench::rows;
use quorate_bench::run::Run;

fn results() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../results")
}

/// The run that the published report names; `None` while nothing is published.
fn published_run() -> Option<PathBuf> {
    let data = std::fs::read_to_string(results().join("report/data.json")).ok()?;
    let data: serde_json::Value = serde_json::from_str(&data).expect("data.json is JSON");
    let id = data["run"].as_str().expect("data.json names its run");
    Some(results().join("runs").join(id))
}

#[test]
fn the_published_report_follows_from_its_run_folder() {
    let Some(run) = published_run() else {
        let published = ["README.md", "report"].map(|name| results().join(name).exists());
        assert_eq!(published, [false, false], "a report without data.json");
        return;
    };
    for (name, expected) in report::again(&run).unwrap().files {
        let path = results().join(name);
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == expected,
            "{} is not what its run says; run `cargo compare --report {}`",
            path.display(),
            run.display()
        );
    }
}

#[test]
fn rows_of_every_kept_run_follow_from_its_samples() {
    for run in report::history(&results()).unwrap() {
        let folder = results().join("runs").join(&run.manifest.id);
        let rows = std::fs::read_to_string(folder.join("rows.csv")).unwrap();
        assert!(rows == rows::to_csv(&rows::derive(&run.samples)), "{}", folder.display());
        assert_eq!(Run::read(&folder).unwrap(), run);
    }
}

//! Tests of the rendered report, on a synthetic run.

use super::*;
use crate::run::Proof;
use crate::testing;

fn rendered(run: &Run) -> Report {
    Report::render(run, std::slice::from_ref(run)).unwrap()
}

fn file<'a>(report: &'a Report, name: &str) -> &'a str {
    &report.files.iter().find(|(path, _)| *path == name).unwrap().1
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    let run = testing::run();
    assert_eq!(rendered(&run), rendered(&run));
}

#[test]
fn the_page_needs_no_network_and_no_script() {
    let report = rendered(&testing::run());
    let page = file(&report, "report/index.html");
    let own_namespace = page.replace("http://www.w3.org/2000/svg", "");
    for outside in ["http://", "https://", "<script", "@import", "url("] {
        assert!(!own_namespace.contains(outside), "{outside}");
    }
}

#[test]
fn every_plot_has_an_alternative_text_and_a_sentence() {
    let report = rendered(&testing::run());
    let page = file(&report, "report/index.html");
    let plots = page.matches("<svg").count();
    assert!(plots >= 10, "{plots} plots");
    assert_eq!(page.matches("aria-label=\"").count(), plots);
    assert_eq!(page.matches("<figure>").count(), page.matches("<figcaption>").count());
    assert!(!page.contains("aria-label=\"\"") && !page.contains("<figcaption> <"));
}

#[test]
fn figures_in_words_are_those_of_the_samples() {
    let report = rendered(&testing::run());
    let readme = file(&report, "README.md");
    // Raft, default: 0.9 M times 1.02, 1.04, 1.06; batching alone is six times all off.
    let answer = "**Raft** answers 936 k (918 k to 954 k) commands/s by default";
    assert!(readme.contains(answer), "{readme}");
    assert!(readme.contains("batching: ×6.00 (×6.00 to ×6.00)"), "{readme}");
    // With compression the default reaches 0.8 of itself, with sharding 0.97.
    let loss = "compression costs throughput: with it the default changes by −20 %";
    assert!(readme.contains(loss), "{readme}");
    // 0.7 × 0.15 over 0.9 × 0.14.
    assert!(readme.contains("| Raft: batching and compression | ×0.833 (×0.833 to ×0.833) |"));
    let sentence = "by −6.7 % without batching, by −22 % with it";
    assert!(readme.contains(sentence), "{readme}");
}

#[test]
fn an_early_run_keeps_its_own_default() {
    let mut run = testing::run();
    let late = ["default", "default-as-values"];
    run.samples.retain(|sample| {
        !late.contains(&&*sample.cell.variant) && !sample.cell.variant.contains('+')
    });
    let report = rendered(&run);
    let readme = file(&report, "README.md");
    assert!(readme.contains("commands/s with everything on"), "{readme}");
    assert!(readme.contains("*default* has all four optimisations on"), "{readme}");
    assert!(!readme.contains("Interactions,"), "{readme}");
}

#[test]
fn goals_of_the_queues_are_judged_by_the_samples() {
    let report = rendered(&testing::run());
    let readme = file(&report, "README.md");
    // 60 M times 1.04 with the better policy, twice what the best of the others reaches.
    let ours = "| bounded, single, 2x2 | 62.4 M (61.2 M to 63.6 M) | mq ring, polite |";
    assert!(readme.contains(ours), "{readme}");
    let line = readme.lines().find(|line| line.starts_with("| bounded, single, 2x2 ")).unwrap();
    assert!(line.contains("2.00 (2.00 to 2.00)"), "{line}");
    assert!(line.ends_with("| ≥ 95.0 M | no | ≥ 1.50 | yes |"), "{line}");
    assert!(readme.contains("| one thread, push and pop | 9.36 ns"), "{readme}");
    assert!(readme.contains("Two cores cannot show contention among many"), "{readme}");
}

#[test]
fn a_failed_queue_is_named_and_wins_nothing() {
    let mut run = testing::run();
    for sample in &mut run.samples {
        if sample.cell.system == "mq ring" && sample.cell.case == "single-2x2" {
            sample.proof = Proof::Failed("lost one".into());
        }
    }
    let readme = rendered(&run);
    let readme = file(&readme, "README.md");
    assert!(
        readme.contains("| mq ring, polite | single 2x2 | failed: 3 of 3 repetitions; lost one |")
    );
    assert!(!readme.contains("| bounded, single, 2x2 "), "{readme}");
}

#[test]
fn a_failed_row_stays_in_the_tables_and_leaves_plots_and_sentences() {
    let mut run = testing::run();
    for sample in &mut run.samples {
        if sample.cell.system == "raft" && sample.cell.variant == "default" {
            sample.proof = Proof::Failed("replica 2 <differs>".into());
        }
    }
    let report = rendered(&run);
    let page = file(&report, "report/index.html");
    assert!(page.contains("class=\"failed\""));
    assert!(page.contains("replica 2 &lt;differs&gt;"));
    assert!(page.contains("rows failed their checks"));
    let readme = file(&report, "README.md");
    assert!(!readme.contains("**Raft** answers") && readme.contains("**Paxos** answers"));
}

#[test]
fn a_run_of_one_experiment_says_what_is_missing() {
    let mut run = testing::run();
    run.manifest.experiments.retain(|done| done.name == "queue");
    run.samples.retain(|sample| sample.cell.experiment == "queue");
    let report = rendered(&run);
    let readme = file(&report, "README.md");
    assert!(readme.contains("The ablation is not part of this run"));
    assert!(readme.contains("**ablation**: not part of this run"));
}

#[test]
fn a_report_is_replaced_as_a_whole_and_leaves_nothing_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let report = rendered(&testing::run());
    report.write(folder.path()).unwrap();
    report.write(folder.path()).unwrap();
    let mut names: Vec<String> = fs::read_dir(folder.path().join("report"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["ablation.svg", "data.json", "index.html"]);
}

#[test]
fn a_report_again_from_its_folder_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let run = testing::run();
    run.write(folder.path()).unwrap();
    let again = again(&folder.path().join("runs").join(&run.manifest.id)).unwrap();
    assert_eq!(again, rendered(&run));
}

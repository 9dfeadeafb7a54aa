//! Tests of the answers, on a synthetic run and on runs that lack what a question asks for.

use super::*;
use crate::metric::Metric;
use crate::run::{Done, Proof, Sample};
use crate::testing;

fn answers(run: &Run) -> Vec<Answer> {
    of(run, &Table::new(&run.samples))
}

fn text<'a>(answers: &'a [Answer], topic: &str, experiment: &str) -> &'a str {
    let answer = answers.iter().find(|one| one.question.contains(topic)).unwrap();
    &answer.points.iter().find(|point| point.experiment == experiment).unwrap().text
}

/// The synthetic run with an experiment of these cells: system, variant, case and its figure.
fn with(experiment: &str, metric: Metric, cells: &[(&str, &str, &str, f64)]) -> Run {
    let mut run = testing::run();
    run.manifest.experiments.push(Done {
        name: experiment.into(),
        repetitions: 3,
        measured_ms: 0,
        settings: [].into(),
    });
    for (system, variant, case, value) in cells {
        let cell = Cell::new(experiment, system, variant, case);
        let sample = |n| testing::sample(cell.clone(), n, &[(metric, *value)]);
        run.samples.extend((1..=3).map(sample));
    }
    run
}

#[test]
fn every_question_is_answered_or_said_to_be_open() {
    let answers = answers(&testing::run());
    assert_eq!(answers.len(), 4);
    for answer in &answers {
        assert!(answer.question.ends_with('?') && answer.points.len() > 1, "{answer:?}");
        assert!(answer.points.iter().all(|point| point.text.ends_with('.')), "{answer:?}");
    }
    assert_eq!(text(&answers, "compression buy", "compression"), "not measured in this run.");
    assert_eq!(text(&answers, "differ", "faults"), "not measured in this run.");
}

#[test]
fn gains_are_those_of_the_samples_with_their_interval() {
    let answers = answers(&testing::run());
    // Batching alone is six times all off, in every repetition.
    let batching = text(&answers, "batching", "ablation");
    assert!(batching.contains("batching Paxos ×6.00 (×6.00 to ×6.00)"), "{batching}");
    let sharding = text(&answers, "sharding", "ablation");
    assert!(sharding.contains("Raft +33 % (+33 % to +33 %)"), "{sharding}");
}

#[test]
fn a_failed_row_answers_nothing() {
    let mut run = testing::run();
    let fail = |sample: &mut Sample| sample.proof = Proof::Failed("differs".into());
    run.samples.iter_mut().filter(|one| one.cell.experiment == "ablation").for_each(fail);
    assert_eq!(text(&answers(&run), "batching", "ablation"), "no verified figure in this run.");
}

#[test]
fn an_empty_run_leaves_every_question_open() {
    let mut run = testing::run();
    run.manifest.experiments.clear();
    run.samples.clear();
    let points = answers(&run).into_iter().flat_map(|answer| answer.points);
    assert!(points.into_iter().all(|point| point.text == "not measured in this run."));
    let front = front(&run, &Table::new(&run.samples));
    assert!(front.table.rows.is_empty());
    assert!(limits(&Table::new(&run.samples)).unwrap().is_none());
}

#[test]
fn the_break_even_of_compression_is_found_by_payload() {
    let figures = [
        ("raft", "off", "json/batch-64/mbit-10", 1.0),
        ("raft", "on", "json/batch-64/mbit-10", 3.0),
        ("raft", "adaptive", "json/batch-64/mbit-10", 2.7),
        ("raft", "off", "json/batch-64/mbit-1000", 10.0),
        ("raft", "on", "json/batch-64/mbit-1000", 9.0),
    ];
    let answers = answers(&with("compression", Metric::Throughput, &figures));
    let words = text(&answers, "compression buy", "compression");
    assert!(words.contains("json: Raft it pays up to 10 Mbit/s (×3.00 at 10)"), "{words}");
    assert!(words.contains("at worst: −10 % (Raft, json batch 64 mbit 10)"), "{words}");
}

#[test]
fn more_groups_are_compared_with_the_fewest() {
    let figures =
        [("raft", "one-thread", "groups-1", 2.0), ("raft", "one-thread", "groups-4", 5.0)];
    let answers = answers(&with("sharding", Metric::Throughput, &figures));
    let words = text(&answers, "sharding", "sharding");
    assert_eq!(words, "one thread: Raft ×2.50 from 1 to 4 groups.");
}

#[test]
fn the_best_balancer_under_skew_is_named_with_its_load_and_the_worst_too() {
    let figures = [
        ("round robin", "zipf-1.2", "balance-16", 1.0),
        ("bounded loads", "zipf-1.2", "balance-16", 1.25),
        ("modulo", "zipf-1.2", "balance-16", 4.0),
        ("modulo", "zipf-1.2", "balance-4", 9.0),
    ];
    let answers = answers(&with("sharding", Metric::Imbalance, &figures));
    let answer = answers.iter().find(|one| one.question.contains("sharding")).unwrap();
    let of_sharding = |point: &&Point| point.experiment == "sharding";
    let words = &answer.points.iter().rfind(of_sharding).unwrap().text;
    assert!(words.contains("zipf-1.2 keys: round robin 1.00"), "{words}");
    assert!(words.contains("worst modulo 4.00"), "{words}");
    assert!(words.contains("bounded loads does best under zipf-1.2: 1.25"), "{words}");
}

#[test]
fn the_knee_of_the_window_is_the_first_depth_near_the_best() {
    let figures = [
        ("raft", "rtt-100us", "window-1", 1.0),
        ("raft", "rtt-100us", "window-4", 3.9),
        ("raft", "rtt-100us", "window-16", 4.0),
    ];
    let answers = answers(&with("pipelining", Metric::Throughput, &figures));
    let words = text(&answers, "batching", "pipelining");
    assert!(words.contains("round trip 100us: Raft 4 (×3.90)"), "{words}");
}

#[test]
fn the_headline_has_a_row_for_each_protocol_and_the_worst_case_of_the_queue() {
    let run = testing::run();
    let front = front(&run, &Table::new(&run.samples));
    let names: Vec<&str> = front.table.rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(names, ["Paxos", "Raft", "PBFT", "the queue, messages/s"]);
    let raft = &front.table.rows[1];
    assert_eq!(raft[1], "936 k (918 k to 954 k)");
    assert!(raft[2].starts_with("×6.67"), "{raft:?}");
    // 4 of 9 million.
    assert_eq!(raft[3], "44.4 % (44.4 to 44.4)");
    assert_eq!(raft[4], "not in this run");
}

#[test]
fn the_share_of_the_limit_is_that_of_the_floor() {
    let run = testing::run();
    let (figure, view) = limits(&Table::new(&run.samples)).unwrap().unwrap();
    let raft = view.rows.iter().find(|row| row[0] == "Raft 16 bytes, batched").unwrap();
    assert_eq!(raft[1], "44.4 % (44.4 to 44.4)");
    assert!(figure.reading.contains("PBFT 16 bytes, batched with 11.1 %"), "{}", figure.reading);
}

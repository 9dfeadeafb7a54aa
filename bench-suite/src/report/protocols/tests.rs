//! The protocols in the report, from synthetic samples.

use std::time::Duration;

use super::*;
use crate::latency::Latencies;
use crate::run::{Proof, Sample};
use crate::testing::sample;

fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    for repetition in 1..=5 {
        for (system, speed) in [("direct", 4e6), ("raft", 2e6), ("pbft", 1e6)] {
            for (case, factor) in [("ycsb-a", 1.0), ("write-only", 0.5), ("ycsb-c", 2.0)] {
                let values = [
                    (Metric::Throughput, speed * factor),
                    (Metric::Cpu, 2e6 / speed),
                    (Metric::WorkerCpu, 0.8e6 / speed),
                    (Metric::Messages, 0.5),
                    (Metric::WireBytes, 300.0),
                ];
                samples.push(sample(at(system, 1, case), repetition, &values));
            }
            for (share, answered) in [(5, 1.0), (50, 1.0), (120, 0.8)] {
                let offered = speed * f64::from(share) / 100.0;
                let values = [
                    (Metric::Offered, offered),
                    (Metric::Achieved, offered * answered),
                    (Metric::LatencyP50, 40.0),
                    (Metric::LatencyP99, 90.0),
                    (Metric::Messages, 4.0),
                ];
                let mut of_share = sample(at(system, 1, &at_share(share)), repetition, &values);
                let latencies: Vec<_> = (1..=2000).map(Duration::from_micros).collect();
                of_share.latencies = Latencies::of(&latencies);
                samples.push(of_share);
            }
        }
    }
    samples
}

#[test]
fn a_curve_ends_before_the_schedule_slips() {
    let table = Table::new(&samples());
    let points = curve(&table, "raft", 1, Metric::LatencyP50);
    assert_eq!(points.iter().map(|(x, _)| *x).collect::<Vec<_>>(), [1e5, 1e6]);
    let reading = curve_reading(&table, &systems(&table));
    assert!(reading.contains("Raft 40.0 µs at 5 % of its peak"), "{reading}");
    assert!(reading.contains("kept up with is 50 % (99th percentile 90.0 µs)"), "{reading}");
}

#[test]
fn percentiles_come_from_the_histograms_as_far_as_there_are_requests() {
    let table = Table::new(&samples());
    let tail = tail(&table, "raft", 50);
    // Two thousand requests tell one in a thousand, not one in ten thousand.
    assert_eq!(tail.len(), 4);
    let (rarity, latency) = tail[3];
    assert_eq!(rarity.round(), 1000.0);
    assert!((latency.median / 1998.0 - 1.0).abs() < 0.01, "{latency:?}");
    let reading = percentile_reading(&table, &systems(&table), Some(50));
    assert!(reading.contains("for one in 1000"), "{reading}");
}

#[test]
fn the_ceiling_is_one_core_over_the_cpu_of_a_command() {
    let table = Table::new(&samples());
    let ceiling = ceiling(&table, "raft", 1).unwrap();
    assert!((ceiling.median - 2.5e6).abs() < 1.0, "{ceiling:?}");
    assert_eq!(percent_of_ceiling(&table, "raft", 1).unwrap(), "80.0 %");
}

#[test]
fn the_tables_have_a_row_for_each_cluster_workload_and_load() {
    let views = tables(&Table::new(&samples()));
    let rows: Vec<usize> = views.iter().map(|view| view.rows.len()).collect();
    assert_eq!(rows, [3, 3, 9]);
    for view in &views {
        assert!(view.rows.iter().all(|row| row.len() == view.header.len()), "{}", view.caption);
    }
    let raft = &views[0].rows[1];
    assert_eq!((raft[0].as_str(), raft[2].as_str()), ("Raft, 3 replicas", "50.0 %"));
    let saturated = &views[2].rows[2];
    assert!(saturated[3].ends_with("(saturated)") && saturated[5].starts_with("≥ "));
}

#[test]
fn a_failed_cell_leaves_the_plots_and_stays_in_the_table() {
    let mut samples = samples();
    for sample in &mut samples {
        if sample.cell == peak("pbft", 1) {
            sample.proof = Proof::Failed("replica 3 differs".into());
        }
    }
    let table = Table::new(&samples);
    assert_eq!(ceiling(&table, "pbft", 1), None);
    let costs = &tables(&table)[0];
    let row = costs.rows.iter().find(|row| row[0].starts_with("PBFT")).unwrap();
    assert!(row.last().unwrap().contains("replica 3 differs"), "{row:?}");
}

#[test]
fn every_figure_has_panels_and_a_sentence() {
    for figure in figures(&Table::new(&samples())).unwrap() {
        assert!(!figure.panels.is_empty(), "{}", figure.title);
        assert!(!figure.reading.is_empty(), "{}", figure.title);
    }
}

//! The report on sharding, on what its own calculations give and on planted clusters.

use super::*;
use crate::experiment::sharding::balance::balance;
use crate::experiment::sharding::service::service;
use crate::run::{Proof, Sample};
use crate::testing::sample;

/// Two seeds of every balancer among sixteen nodes, and clusters whose figures are planted.
fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut add = |cell: Cell, seed: u32, values: std::collections::BTreeMap<Metric, f64>| {
        let values: Vec<_> = values.into_iter().collect();
        samples.push(sample(cell, seed, &values));
    };
    for seed in 1..=2 {
        for algorithm in ALGORITHMS {
            for skew in [Skew::Uniform, Skew::Ycsb] {
                let values = balance(algorithm, NODES, skew, seed).unwrap();
                add(cell(algorithm.name(), skew.name(), "balance-16"), seed, values);
                let values = service(algorithm, Servers::Equal, skew, seed).unwrap();
                add(cell(algorithm.name(), skew.name(), &Servers::Equal.case()), seed, values);
            }
        }
        for (system, speed) in [("direct", 4e6), ("raft", 1e6)] {
            for (groups, factor) in [(1, 1.0), (4, 0.75)] {
                let values = [(Metric::Throughput, speed * factor), (Metric::Cpu, 0.5)].into();
                add(cell(system, ONE_THREAD, &format!("groups-{groups}")), seed, values);
                let values = [(Metric::Throughput, speed / factor), (Metric::Cpu, 0.5)].into();
                add(cell(system, THREAD_PER_CORE, &format!("groups-{groups}")), seed, values);
            }
        }
    }
    samples
}

#[test]
fn sentences_say_what_the_samples_say() {
    let table = Table::new(&samples());
    let figures = figures(&table).unwrap();
    let reading = |title: &str| {
        let figure = figures.iter().find(|figure| figure.title.contains(title));
        figure.map(|figure| figure.reading.clone()).unwrap_or_default()
    };
    let groups = reading("more groups");
    assert!(groups.contains("From one group to 4") && groups.contains("by −25 %"), "{groups}");
    assert!(groups.contains("by +33 % with a thread for each core"), "{groups}");
    let moved = reading("keys move");
    assert!(moved.contains("5.88 %") && moved.contains("slot table"), "{moved}");
    assert!(!moved.contains("modulo"), "{moved}");
    let even = reading("evenly");
    assert!(even.contains("zipf-0.99 keys round robin, least outstanding"), "{even}");
    assert!(!even.rsplit("zipf-0.99").next().unwrap().contains("slot table"), "{even}");
}

#[test]
fn every_figure_says_its_clock_and_no_clock_is_shared_by_unlike_things() {
    let table = Table::new(&samples());
    let clocks: Vec<&str> = figures(&table).unwrap().iter().map(|figure| figure.clock).collect();
    let expected = [REAL_TIME, CALCULATED, CALCULATED, CALCULATED, CPU_TIME, VIRTUAL_TIME];
    assert_eq!(clocks, expected);
}

#[test]
fn what_a_saturated_server_takes_is_not_a_figure() {
    let table = Table::new(&samples());
    let views = tables(&table);
    let servers = views.iter().find(|view| view.caption.contains("servers behind")).unwrap();
    let row = |name: &str| servers.rows.iter().find(|row| row[0] == name).unwrap();
    // Of the columns uniform, 0.5, 0.99, 1.2, one slow server only two were measured here.
    let slots = row("slot table");
    assert!(slots[3].ends_with("saturated") && slots[2] == "–", "{slots:?}");
    assert!(!row("least outstanding")[3].contains("saturated"));
    let groups = &views[0];
    let raft: Vec<&String> = groups.rows.iter().map(|row| &row[0]).collect();
    assert!(raft.iter().any(|name| *name == "Raft, one thread"), "{raft:?}");
}

#[test]
fn a_failed_balancer_stays_in_the_table_and_leaves_the_plots() {
    let mut samples = samples();
    for sample in &mut samples {
        if sample.cell.system == "jump" && sample.cell.case == "balance-16" {
            sample.proof = Proof::Failed("a request got lost".into());
        }
    }
    let table = Table::new(&samples);
    let figures = figures(&table).unwrap();
    let histogram = &figures[1].panels[0];
    assert!(histogram.contains("modulo") && !histogram.contains("jump"), "{histogram}");
    let failed = |view: &TableView| {
        view.rows.iter().any(|row| row[0] == "jump" && row.last().unwrap().contains("got lost"))
    };
    assert!(tables(&table).iter().any(failed));
}

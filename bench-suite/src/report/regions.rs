//! Figures and tables of real distances: which region should lead, and who waits how long.

use crate::error::BenchError;
use crate::experiment::simulated::CLOCK;
use crate::metric::Metric;
use crate::report::canvas::Ink;
use crate::report::chart::{Horizontal, Line, Mark};
use crate::report::figures::{Figure, alt_of, ink_of, shape_of};
use crate::report::tables::{TableView, proof};
use crate::report::words::display;
use crate::rows::Table;
use crate::run::Cell;
use crate::stats::{Interval, latency};

const NAME: &str = "wan";

/// A cluster: its name, its regions, who runs there.
struct Cluster {
    name: String,
    regions: Vec<String>,
    systems: Vec<String>,
}

fn clusters(table: &Table) -> Vec<Cluster> {
    let mut clusters: Vec<Cluster> = Vec::new();
    for case in table.distinct(NAME, |cell| &cell.case) {
        let Some((name, region)) = case.split_once('/') else { continue };
        let known = clusters.iter().position(|cluster| cluster.name == name);
        let place = known.unwrap_or_else(|| {
            let systems = systems_of(table, &case);
            clusters.push(Cluster { name: name.into(), regions: Vec::new(), systems });
            clusters.len() - 1
        });
        clusters[place].regions.push(region.to_owned());
    }
    clusters
}

fn systems_of(table: &Table, case: &str) -> Vec<String> {
    let mut systems: Vec<String> = Vec::new();
    for row in table.rows() {
        let cell = &row.cell;
        if cell.experiment == NAME && cell.case == case && !systems.contains(&cell.system) {
            systems.push(cell.system.clone());
        }
    }
    systems
}

fn cell(cluster: &Cluster, system: &str, leader: &str, region: &str) -> Cell {
    Cell::new(NAME, system, &format!("leader-{leader}"), &format!("{}/{region}", cluster.name))
}

/// The mean over the regions of their clients' median, in ms.
fn mean(table: &Table, cluster: &Cluster, system: &str, leader: &str) -> Option<Interval> {
    let figures: Vec<Interval> = cluster
        .regions
        .iter()
        .map(|region| {
            table.figure(&cell(cluster, system, leader, region), Metric::LatencyP50.name())
        })
        .collect::<Option<_>>()?;
    let mean = |pick: fn(&Interval) -> f64| {
        figures.iter().map(pick).sum::<f64>() / figures.len() as f64 / 1e3
    };
    Some(Interval {
        median: mean(|i| i.median),
        low: mean(|i| i.low),
        high: mean(|i| i.high),
        repetitions: figures.first()?.repetitions,
    })
}

pub(crate) fn figures(table: &Table) -> Result<Vec<Figure>, BenchError> {
    let clusters = clusters(table);
    if clusters.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![Figure {
        title: "Where the leader should be, with real distances".into(),
        clock: CLOCK,
        reading: reading(table, &clusters),
        panels: clusters.iter().map(|cluster| panel(table, cluster)).collect::<Result<_, _>>()?,
    }])
}

fn panel(table: &Table, cluster: &Cluster) -> Result<String, BenchError> {
    let line = |leader: &String| {
        let points: Vec<(usize, Ink, Interval)> = cluster
            .systems
            .iter()
            .filter_map(|system| {
                let mean = mean(table, cluster, system, leader)?;
                Some((shape_of(system), ink_of(system), mean))
            })
            .collect();
        let value =
            points.first().map_or_else(|| "–".into(), |(_, _, mean)| latency(mean.median * 1e3));
        Line {
            label: leader.clone(),
            mark: if points.is_empty() {
                Mark::Note("no verified figure".into())
            } else {
                Mark::Points(points)
            },
            value,
            ink: Ink::Text,
            starts_group: false,
        }
    };
    let chart = Horizontal {
        title: format!("{} regions, by the leader's", capital(&cluster.name)),
        axis: "mean over regions of the median latency, ms".into(),
        reference: None,
        factors: false,
        lines: cluster.regions.iter().map(line).collect(),
        legend: cluster
            .systems
            .iter()
            .map(|system| (shape_of(system), ink_of(system), display(system)))
            .collect(),
    };
    let alt = format!("{}: {}", chart.title, alt_of(&chart.lines));
    Ok(chart.draw(&alt)?.inline)
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn reading(table: &Table, clusters: &[Cluster]) -> String {
    let mut sentences = Vec::new();
    for cluster in clusters {
        for system in &cluster.systems {
            let mut means: Vec<(f64, &String)> = cluster
                .regions
                .iter()
                .filter_map(|leader| {
                    Some((mean(table, cluster, system, leader)?.median * 1e3, leader))
                })
                .collect();
            means.sort_by(|a, b| a.0.total_cmp(&b.0));
            let (Some((best, at)), Some((worst, far))) = (means.first(), means.last()) else {
                continue;
            };
            sentences.push(format!(
                "{} in {} regions takes {} on average with its leader in {at} and {} with it in {far}",
                display(system),
                cluster.name,
                latency(*best),
                latency(*worst)
            ));
        }
    }
    if sentences.is_empty() { "No verified figures.".into() } else { sentences.join("; ") + "." }
}

pub(crate) fn tables(table: &Table) -> Vec<TableView> {
    let view = |cluster: &Cluster| {
        let mut rows = Vec::new();
        for leader in &cluster.regions {
            for system in &cluster.systems {
                let field = |region: &String| {
                    let cell = cell(cluster, system, leader, region);
                    let figure =
                        |metric: Metric| table.figure(&cell, metric.name()).map(|i| i.median);
                    match (figure(Metric::LatencyP50), figure(Metric::LatencyP99)) {
                        (Some(p50), Some(p99)) => format!("{} / {}", latency(p50), latency(p99)),
                        _ => proof(table, &cell),
                    }
                };
                let mut row = vec![leader.clone(), display(system)];
                row.extend(cluster.regions.iter().map(field));
                rows.push(row);
            }
        }
        let mut header = vec!["leader in".to_owned(), "system".to_owned()];
        header.extend(cluster.regions.iter().map(|region| format!("clients in {region}")));
        let caption = format!(
            "{} regions: latency of a write of 1 KiB, median / 99th percentile, by the clients' region",
            capital(&cluster.name)
        );
        TableView { caption, header, rows }
    };
    clusters(table).iter().map(view).collect()
}

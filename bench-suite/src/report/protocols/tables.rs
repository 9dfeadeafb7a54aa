//! Tables of the protocols beside one another.

use super::{NAME, at, faults, peak, percent_of_ceiling, shares, systems, workload_cases};
use crate::experiment::protocols::{SHARE_LOW, at_share, replicas, sized};
use crate::metric::Metric;
use crate::report::schedules;
use crate::report::tables::{TableView, is_floor, proof};
use crate::report::words::{display, with_interval};
use crate::rows::Table;
use crate::run::Cell;
use crate::stats::{Interval, short, three_digits};
use crate::workload::PAYLOAD_BYTES;

/// The tables.
pub(in crate::report) fn tables(table: &Table) -> Vec<TableView> {
    vec![costs(table), workloads(table), curves(table)]
}

/// What the terminal shows.
pub(in crate::report) fn summary(table: &Table) -> Vec<TableView> {
    vec![costs(table)]
}

/// A system with its number of replicas.
fn named(system: &str, faults: usize) -> String {
    match replicas(system, faults) {
        1 => display(system),
        count => format!("{}, {count} replicas", display(system)),
    }
}

/// The systems with the faults that they tolerate, as far as there are figures.
fn clusters(table: &Table) -> Vec<(String, usize)> {
    let mut clusters = Vec::new();
    for faults in faults(table) {
        let there = systems(table).into_iter().filter(|system| faults == 1 || !is_floor(system));
        clusters.extend(there.map(|system| (system, faults)));
    }
    clusters
}

fn costs(table: &Table) -> TableView {
    let row = |(system, faults): (String, usize)| {
        let cell = peak(&system, faults);
        let low = at(&system, faults, &at_share(SHARE_LOW));
        let figure = |cell: &Cell, metric: Metric| table.figure(cell, metric.name());
        let number = |cell, metric| {
            figure(cell, metric).map_or_else(|| "–".into(), |i: Interval| short(i.median))
        };
        let of_floor = table.figure(&cell, "throughput_vs_floor");
        let percent = |i: Interval| format!("{} %", three_digits(i.median * 100.0));
        let per_core = figure(&cell, Metric::Cpu).map(|cpu| short(1e6 / cpu.median));
        vec![
            named(&system, faults),
            figure(&cell, Metric::Throughput).map_or_else(|| "–".into(), with_interval),
            of_floor.map_or_else(|| "–".into(), percent),
            percent_of_ceiling(table, &system, faults).unwrap_or_else(|| "–".into()),
            per_core.unwrap_or_else(|| "–".into()),
            number(&cell, Metric::Cpu),
            number(&cell, Metric::Batch),
            number(&cell, Metric::Messages),
            number(&low, Metric::Messages),
            number(&cell, Metric::WireBytes),
            number(&low, Metric::WireBytes),
            proof(table, &cell),
        ]
    };
    TableView {
        caption: format!("Peak of YCSB A and its costs; low load is {SHARE_LOW} % of the peak"),
        header: [
            "system",
            "commands/s (95 % interval)",
            "of the floor",
            "of the CPU ceiling",
            "commands per core-second",
            "CPU s per million",
            "commands per batch",
            "messages per command",
            "messages, low load",
            "bytes per command",
            "bytes, low load",
            "proof",
        ]
        .map(str::to_owned)
        .into(),
        rows: clusters(table).into_iter().map(row).collect(),
    }
}

fn workloads(table: &Table) -> TableView {
    let systems = systems(table);
    let sizes = PAYLOAD_BYTES.map(|bytes| sized(bytes).to_owned());
    let measured = table.distinct(NAME, |cell| &cell.case);
    let sizes = sizes.into_iter().filter(|case| measured.contains(case));
    let row = |case: String| {
        let mut row = vec![match case.strip_prefix("json-") {
            Some(bytes) => format!("YCSB A, values of {bytes} bytes"),
            None => case.clone(),
        }];
        row.extend(systems.iter().map(|system| {
            let cell = at(system, 1, &case);
            match table.figure(&cell, Metric::Throughput.name()) {
                Some(interval) => with_interval(interval),
                None => proof(table, &cell),
            }
        }));
        row
    };
    let mut header = vec!["workload".to_owned()];
    header.extend(systems.iter().map(|system| format!("{}, commands/s", named(system, 1))));
    TableView {
        caption: "Throughput by workload, one fault tolerated, closed loop".into(),
        header,
        rows: workload_cases(table).into_iter().chain(sizes).map(row).collect(),
    }
}

fn curves(table: &Table) -> TableView {
    let mut rows = Vec::new();
    for (system, faults) in clusters(table) {
        for share in shares(table) {
            let cell = at(&system, faults, &at_share(share));
            if !table.rows().iter().any(|row| row.cell == cell) {
                continue;
            }
            let mut row = vec![named(&system, faults), format!("{share} %")];
            row.extend(schedules::columns(table, &cell));
            rows.push(row);
        }
    }
    let header = ["system", "of its peak"].into_iter().chain(schedules::HEADER);
    TableView {
        caption: "Latency by load: a fixed schedule, latency from the intended send time".into(),
        header: header.map(str::to_owned).collect(),
        rows,
    }
}

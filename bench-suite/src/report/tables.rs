//! Tables of the report, for the page and for `README.md` alike.

use serde::Serialize;

use crate::experiment::EXPERIMENTS;
use crate::experiment::variant::in_words;
use crate::experiment::wan::ROUND_TRIP_MS;
use crate::metric::Metric;
use crate::report::words::{display, with_interval};
use crate::report::{
    batching, compression, faults, interaction, peers, pipelining, protocols, queue, regions,
    scale, sharding, stages,
};
use crate::rows::{ALL_VARIANT, DEFAULT_VARIANT, FLOOR_SYSTEM, Row, Table};
use crate::run::{Cell, Proof, Run};
use crate::stats::{change, short, three_digits};

/// A table ready to be laid out.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct TableView {
    /// What it shows.
    pub(crate) caption: String,
    /// Column headers with units.
    pub(crate) header: Vec<String>,
    /// Rows of text; the first column names the row.
    pub(crate) rows: Vec<Vec<String>>,
}

const CHECKED: &str = "verified";

/// The tables of `experiment`.
pub(crate) fn of(experiment: &str, table: &Table) -> Vec<TableView> {
    match experiment {
        "ablation" => ablation(table),
        "small" => vec![small(table)],
        "batching" => batching::tables(table),
        "protocols" => protocols::tables(table),
        "queue" | "queue-matrix" => queue::tables(experiment, table),
        "compression" => compression::tables(table),
        "pipelining" => pipelining::tables(table),
        "peers" => peers::tables(table),
        "scale" => scale::tables(table),
        "wan" => std::iter::once(wan(table)).chain(regions::tables(table)).collect(),
        "faults" => faults::tables(table),
        "sharding" => sharding::tables(table),
        "stages" => vec![stages::table(table)],
        _ => vec![plain(experiment, table)],
    }
}

/// What the terminal shows: the columns that matter most.
pub(crate) fn summary(table: &Table) -> Vec<TableView> {
    let mut views = Vec::new();
    for experiment in EXPERIMENTS.map(|experiment| experiment.name) {
        let mut of_experiment = match experiment {
            "queue" | "queue-matrix" => queue::summary(experiment, table),
            "peers" => peers::summary(table),
            "batching" => batching::summary(table),
            "protocols" => protocols::summary(table),
            _ => of(experiment, table),
        };
        of_experiment.retain(|view| !view.rows.is_empty());
        if experiment == "ablation" {
            for view in &mut of_experiment {
                if view.header.len() > 10 {
                    view.keep_columns(&[0, 1, 2, 3, 8, 10]);
                }
            }
        }
        views.extend(of_experiment);
    }
    views
}

impl TableView {
    fn keep_columns(&mut self, kept: &[usize]) {
        for row in self.rows.iter_mut().chain(std::iter::once(&mut self.header)) {
            *row = kept.iter().filter_map(|column| row.get(*column).cloned()).collect();
        }
    }
}

fn ablation(table: &Table) -> Vec<TableView> {
    let variants = table.distinct("ablation", |cell| &cell.variant);
    let mut views = Vec::new();
    for case in table.distinct("ablation", |cell| &cell.case) {
        for system in table.distinct("ablation", |cell| &cell.system) {
            let row = |variant: &String| {
                let cell = Cell::new("ablation", &system, variant, &case);
                ablation_row(table, &cell, in_words(variant))
            };
            views.push(TableView {
                caption: format!("{}, {case}", display(&system)),
                header: [
                    "setting",
                    "commands/s (95 % interval)",
                    "against default",
                    "against all off",
                    "commands per batch",
                    "bytes per command",
                    "messages per command",
                    "CPU s per million",
                    "p50 µs",
                    "p99 µs",
                    "proof",
                ]
                .map(str::to_owned)
                .into(),
                rows: variants.iter().map(row).collect(),
            });
        }
        views.extend(interaction::table(table, &case));
    }
    views
}

fn ablation_row(table: &Table, cell: &Cell, name: String) -> Vec<String> {
    let number = |metric: Metric| {
        table
            .figure(cell, metric.name())
            .map_or_else(|| "–".into(), |interval| short(interval.median))
    };
    let against = |metric: &str| {
        table
            .figure(cell, metric)
            .map_or_else(|| "–".into(), |i| marked_change(i.median, i.may_be(1.0)))
    };
    let throughput = table.figure(cell, Metric::Throughput.name());
    vec![
        name,
        throughput.map_or_else(|| "–".into(), with_interval),
        against("throughput_vs_default"),
        against("throughput_vs_none"),
        number(Metric::Batch),
        number(Metric::WireBytes),
        number(Metric::Messages),
        number(Metric::Cpu),
        number(Metric::LatencyP50),
        number(Metric::LatencyP99),
        proof(table, cell),
    ]
}

/// A change; in brackets where the interval does not exclude that nothing changed.
pub(crate) fn marked_change(ratio: f64, undecided: bool) -> String {
    if undecided { format!("({})", change(ratio)) } else { change(ratio) }
}

pub(super) fn proof(table: &Table, cell: &Cell) -> String {
    let of_cell = |row: &&Row| row.cell == *cell;
    match table.rows().iter().find(of_cell).map(|row| &row.proof) {
        Some(Proof::Verified) => CHECKED.into(),
        Some(failed) => failed.to_string(),
        None => "not measured".into(),
    }
}

fn small(table: &Table) -> TableView {
    let variants = table.distinct("small", |cell| &cell.variant);
    let mut rows = Vec::new();
    for system in table.distinct("small", |cell| &cell.system) {
        for variant in &variants {
            for case in table.distinct("small", |cell| &cell.case) {
                let cell = Cell::new("small", &system, variant, &case);
                let Some(figure) = table.figure(&cell, Metric::Throughput.name()) else {
                    rows.push(missing_row(
                        display(&system),
                        in_words(variant),
                        3,
                        proof(table, &cell),
                    ));
                    continue;
                };
                let number = |metric: Metric| {
                    table
                        .figure(&cell, metric.name())
                        .map_or_else(|| "–".into(), |i| short(i.median))
                };
                let of_floor = table.figure(&cell, "throughput_vs_floor");
                let percent =
                    |i: crate::stats::Interval| format!("{} %", three_digits(i.median * 100.0));
                rows.push(vec![
                    display(&system),
                    in_words(variant),
                    with_interval(figure),
                    of_floor.map_or_else(|| "(the floor)".into(), percent),
                    number(Metric::Cpu),
                    proof(table, &cell),
                ]);
            }
        }
    }
    TableView {
        caption: "Commands of 16 bytes, all replies delivered".into(),
        header: [
            "system",
            "setting",
            "commands/s (95 % interval)",
            "of the floor",
            "CPU s per million",
            "proof",
        ]
        .map(str::to_owned)
        .into(),
        rows,
    }
}

fn missing_row(name: String, setting: String, dashes: usize, proof: String) -> Vec<String> {
    let mut row = vec![name, setting];
    row.extend(vec!["–".to_owned(); dashes]);
    row.push(proof);
    row
}

fn wan(table: &Table) -> TableView {
    let mut rows = Vec::new();
    let even = |case: &String| case.starts_with("rtt-") || case.starts_with("mbit-");
    for case in table.distinct("wan", |cell| &cell.case).into_iter().filter(even) {
        for system in table.distinct("wan", |cell| &cell.system) {
            let cell = Cell::new("wan", &system, "default", &case);
            let figure = |metric: Metric| table.figure(&cell, metric.name()).map(|i| i.median);
            let time = |metric| figure(metric).map_or_else(|| "–".into(), crate::stats::latency);
            let count = |metric| figure(metric).map_or_else(|| "–".into(), short);
            let network = match (case.strip_prefix("rtt-"), case.strip_prefix("mbit-")) {
                (Some(round_trip), _) => format!("{round_trip} ms, unlimited"),
                (_, Some(megabits)) => format!("{ROUND_TRIP_MS} ms, {megabits} Mbit/s"),
                _ => case.clone(),
            };
            rows.push(vec![
                network,
                display(&system),
                time(Metric::LatencyP50),
                time(Metric::LatencyP99),
                count(Metric::Messages),
                count(Metric::WireBytes),
                proof(table, &cell),
            ]);
        }
    }
    let header =
        ["network", "system", "p50", "p99", "messages per command", "bytes per command", "proof"];
    TableView {
        caption: "Latency of a write of 1 KiB in virtual time".into(),
        header: header.map(str::to_owned).into(),
        rows,
    }
}

/// Every row as it is, for experiments without a table of their own.
fn plain(experiment: &str, table: &Table) -> TableView {
    let of_experiment = |row: &&Row| row.cell.experiment == experiment;
    let row = |row: &Row| {
        let figure = row.interval.map_or_else(|| "–".into(), with_interval);
        vec![
            display(&row.cell.system),
            in_words(&row.cell.variant),
            row.cell.case.clone(),
            format!("{} [{}]", row.metric.replace('_', " "), row.unit),
            figure,
            row.proof.to_string(),
        ]
    };
    TableView {
        caption: "All rows".into(),
        header: ["system", "setting", "case", "metric", "median (95 % interval)", "proof"]
            .map(str::to_owned)
            .into(),
        rows: table.rows().iter().filter(of_experiment).map(row).collect(),
    }
}

/// The throughput of the default and of everything on in every run kept.
pub(crate) fn history(runs: &[Run]) -> Option<TableView> {
    let mut systems: Vec<String> = Vec::new();
    let tables: Vec<(&Run, Table)> =
        runs.iter().map(|run| (run, Table::new(&run.samples))).collect();
    for (_, table) in &tables {
        for system in table.distinct("ablation", |cell| &cell.system) {
            if !systems.contains(&system) {
                systems.push(system);
            }
        }
    }
    let row = |(run, table): &(&Run, Table)| {
        let manifest = &run.manifest;
        let kind = if manifest.quick { "short" } else { "full" };
        let mut row = vec![manifest.id.clone(), kind.into(), manifest.machine.cpu.clone()];
        let settings = [DEFAULT_VARIANT, ALL_VARIANT];
        row.extend(systems.iter().flat_map(|system| {
            settings.map(|variant| {
                let cell = Cell::new("ablation", system, variant, "ycsb-a");
                let figure = table.figure(&cell, Metric::Throughput.name());
                figure.map_or_else(|| "–".into(), |interval| short(interval.median))
            })
        }));
        row
    };
    let mut header: Vec<String> = ["run", "kind", "processor"].map(str::to_owned).into();
    header.extend(systems.iter().flat_map(|system| {
        ["default", "all four on"].map(|setting| format!("{}, {setting}", display(system)))
    }));
    let rows: Vec<_> = tables.iter().map(row).collect();
    let caption = "Throughput on ycsb-a in all runs kept, commands/s (before December 2026 the default had all four on)".into();
    (!rows.is_empty()).then_some(TableView { caption, header, rows })
}

/// Whether `system` is the unreplicated floor.
pub(crate) fn is_floor(system: &str) -> bool {
    system == FLOOR_SYSTEM
}

//! The headline table: each protocol against everything off, against the unreplicated machine, and
//! against the best other library of its kind, typical and worst case; and the queue likewise.

use serde::Serialize;

use crate::metric::Metric;
use crate::report::tables::TableView;
use crate::report::words::{display, with_interval};
use crate::rows::Table;
use crate::run::{Cell, Run};
use crate::stats::{Interval, three_digits};

use super::{PROTOCOLS, Source, by_median, change_with_interval, ratio_with_interval};

/// The row of a protocol's ratio to the best library of its kind.
const VS_BEST_PEER: &str = "throughput_vs_best_peer";
/// How the rows of its ratio to each library begin.
const VERSUS: &str = "throughput_vs_";

/// What stands above everything else.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Front {
    /// The table, a row for each protocol.
    pub(crate) table: TableView,
    /// Sentences on how to read it, and on what is not in this run.
    pub(crate) notes: Vec<String>,
}

/// The headline of a run.
pub(crate) fn front(run: &Run, table: &Table) -> Front {
    let source = Source { run, table };
    let header = [
        "protocol",
        "commands/s, default (95 % interval)",
        "against everything off",
        "of the unreplicated machine",
        "against the best other library",
        "worst case against it",
    ];
    let mut rows: Vec<Vec<String>> =
        PROTOCOLS.iter().map(|system| protocol_row(&source, system)).collect();
    rows.extend(queue_row(table));
    rows.retain(|row| row[1..].iter().any(|field| field != MISSING));
    let caption = "Each protocol at its shipped setting".to_owned();
    let table = TableView { caption, header: header.map(str::to_owned).into(), rows };
    Front { table, notes: notes(&source) }
}

const MISSING: &str = "not in this run";

fn protocol_row(source: &Source<'_>, system: &str) -> Vec<String> {
    let (case, default) = (source.first_case("ablation"), source.table.default_variant());
    let ablation =
        |metric: &str| source.figure(["ablation", system, default, case.as_deref()?], metric);
    let small = ["small", system, "batching", "write-16B"];
    let percent = |share: Interval| {
        let [median, low, high] =
            [share.median, share.low, share.high].map(|share| three_digits(share * 100.0));
        format!("{median} % ({low} to {high})")
    };
    let (typical, worst) = against_peers(source, system).unzip();
    let missing = || MISSING.to_owned();
    vec![
        display(system),
        ablation(Metric::Throughput.name()).map_or_else(missing, with_interval),
        ablation("throughput_vs_none").map_or_else(missing, change_with_interval),
        source.figure(small, "throughput_vs_floor").map_or_else(missing, percent),
        typical.unwrap_or_else(missing),
        worst.unwrap_or_else(missing),
    ]
}

/// The ratio to the best library of the kind in the middle case, and in the worst.
fn against_peers(source: &Source<'_>, system: &str) -> Option<(String, String)> {
    let mut ratios = source.figures("peers", VS_BEST_PEER);
    ratios.retain(|(cell, _)| cell.system == system);
    ratios.sort_by(by_median);
    let words = |(cell, ratio): &(Cell, Interval)| {
        let peer = best_peer(source, cell, *ratio).map_or_else(String::new, |name| name + ", ");
        format!("{} ({peer}{})", ratio_with_interval(*ratio), cell.case.replace('-', " "))
    };
    Some((words(ratios.get(ratios.len() / 2)?), words(ratios.first()?)))
}

/// Which library was the best in that cell: the one with the same ratio.
fn best_peer(source: &Source<'_>, cell: &Cell, ratio: Interval) -> Option<String> {
    let rows = source.table.rows().iter().filter(|row| row.cell == *cell);
    let mut of_cell = rows.filter(|row| row.metric != VS_BEST_PEER);
    let same = |row: &&crate::rows::Row| {
        row.metric.starts_with(VERSUS) && row.interval.map(|one| one.median) == Some(ratio.median)
    };
    let found = of_cell.find(same)?;
    found.metric.strip_prefix(VERSUS).map(str::to_owned)
}

/// The queue in the contests of this run.
fn queue_row(table: &Table) -> Option<Vec<String>> {
    let mut contests: Vec<_> = table
        .contests("queue")
        .filter(|contest| contest.metric == Metric::Rate)
        .filter_map(|contest| Some((contest, contest.advantage?)))
        .collect();
    contests.sort_by(|a, b| a.1.median.total_cmp(&b.1.median));
    let words = |place: usize| {
        let (contest, advantage) = contests.get(place)?;
        let other = contest.other.as_ref()?.0.system.clone();
        let case = contest.case.replace('-', " ");
        Some(format!("{} ({other}, {case})", ratio_with_interval(*advantage)))
    };
    let dash = || "–".to_owned();
    Some(vec![
        "the queue, messages/s".into(),
        dash(),
        dash(),
        dash(),
        words(contests.len() / 2)?,
        words(0)?,
    ])
}

fn notes(source: &Source<'_>) -> Vec<String> {
    let measured = |name: &str| source.run.manifest.experiments.iter().any(|one| one.name == name);
    let mut notes = vec![
        "Against everything off: one command in a batch, one batch in flight, one group, no compression. In square brackets: may as well be no change.".to_owned(),
        "Of the unreplicated machine: the ceiling is the same state machine without replication behind the same queues, with commands of 16 bytes.".to_owned(),
    ];
    if measured("peers") {
        notes.push("Against the best other library of the kind: the ratio of throughputs within repetitions, above 1 where ours is faster; the middle one of all cases, and the lowest.".into());
    } else {
        notes.push("Other consensus libraries are not part of this run; the queue's row meets other queues.".into());
    }
    notes
}

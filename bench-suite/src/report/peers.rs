//! Tables and figures of the comparison with other consensus libraries: our ratio to the best
//! library of each kind, the matrix of systems and cases, and what could not be made equal.

use crate::error::BenchError;
use crate::experiment::peers::{CASES, EXPERIMENT};
use crate::metric::Metric;
use crate::peers::COMMAND;
use crate::report::canvas::Ink;
use crate::report::chart::{Horizontal, Line, Mark};
use crate::report::figures::{Figure, REAL_TIME, alt_of, ink_of, shape_of};
use crate::report::tables::{TableView, proof};
use crate::report::words::{display, with_interval};
use crate::rivals::{
    self, CONTESTANTS, Contestant, Figure as Measured, Layer, Tolerates, VS_BEST, VS_BEST_PEER,
    VS_FLOOR, best_of, best_peer, our_variant,
};
use crate::rows::Table;
use crate::run::Cell;
use crate::stats::{Interval, short, three_digits};

const LAYERS: [(Layer, &str); 2] =
    [(Layer::Bare, "bare cores on one thread"), (Layer::Running, "running clusters")];
const KINDS: [(Tolerates, &str); 2] =
    [(Tolerates::Crashes, "replicas that stop"), (Tolerates::Lies, "replicas that lie")];

/// What each library was set to, and what could not be made equal.
const NOTES: [(&str, &str, &str); 6] = [
    (
        "ours, bare",
        "default settings; commands that leave together are one batch",
        "A batch is copied, checksummed and, in PBFT, signed by the client for every replica and checked; sessions are not part of it.",
    ),
    (
        "ours, running",
        "default settings with the window and batch of the case",
        "Sessions find repeated requests; client and replicas are on two cores, so that a lone command waits for two threads to wake.",
    ),
    (
        "raft-rs",
        "protobuf codec (not used: messages are values); messages up to 1 MiB, 1,024 in flight, batch_append for batches, no message that only carries a commit index; MemStorage",
        "Commands go in by reference count: no copy, no checksum, no client or number in an entry. With one command in each slot, entries that wait are still stored together. Packed: the application writes the commands of a batch into one entry.",
    ),
    (
        "omnipaxos",
        "batch_size as large as the batch; MemoryStorage",
        "Entries are values under a reference count: no copy, no checksum. Its outbox merges what waits into one message even with batch_size 1. Packed: one entry holds the commands of a batch.",
    ),
    (
        "openraft",
        "current-thread runtime, and two workers; appends pipelined (stream_append); client_write by one task for each command in flight, client_write_many for batches; log in memory",
        "Asynchronous: tasks and channels for each node; in the current-thread runtime the client shares the thread, so that nothing waits for another core. No sessions.",
    ),
    (
        "hotstuff_rs",
        "four replicas, in-memory tree, blocks of the case's batch, one command in flight where one at a time",
        "Every vote is signed (Ed25519) where ours has tags; clients prove nothing and get no reply: a command counts as answered when the block that holds it is committed at the replica that is watched. No handler of events, which would cost it three quarters.",
    ),
];

/// The tables.
pub(super) fn tables(table: &Table) -> Vec<TableView> {
    let figures = figures_of(table);
    let mut views = vec![headlines(table, &figures)];
    for (layer, layer_words) in LAYERS {
        for (kind, kind_words) in KINDS {
            let caption = format!(
                "Commands/s and share of the best in the column; {layer_words}, against {kind_words}"
            );
            views.push(matrix(table, &figures, (layer, kind), caption));
        }
    }
    views.push(costs(table, &figures));
    views.push(notes());
    views.retain(|view| !view.rows.is_empty());
    views
}

/// What the terminal shows.
pub(super) fn summary(table: &Table) -> Vec<TableView> {
    let mut views = vec![headlines(table, &figures_of(table))];
    views.retain(|view| !view.rows.is_empty());
    views
}

/// Every cell's verified throughput.
fn figures_of(table: &Table) -> Vec<Measured> {
    let throughput = Metric::Throughput.name();
    let of_experiment = |row: &&crate::rows::Row| {
        row.cell.experiment == EXPERIMENT.name && row.metric == throughput
    };
    let figure =
        |row: &crate::rows::Row| Some((row.cell.clone(), table.figure(&row.cell, throughput)?));
    table.rows().iter().filter(of_experiment).filter_map(figure).collect()
}

fn view(caption: String, header: &[&str], rows: Vec<Vec<String>>) -> TableView {
    TableView { caption, header: header.iter().map(|&name| name.to_owned()).collect(), rows }
}

fn ours(layer: Layer) -> impl Iterator<Item = (&'static Contestant, &'static str)> {
    let protocols = CONTESTANTS.iter().filter(|one| one.ours);
    protocols
        .filter(|one| one.tolerates != Tolerates::Nothing)
        .map(move |one| (one, our_variant(layer)))
}

fn headlines(table: &Table, figures: &[Measured]) -> TableView {
    let mut rows = Vec::new();
    for (layer, words) in LAYERS {
        for (protocol, variant) in ours(layer) {
            for case in CASES {
                let cell = Cell::new(EXPERIMENT.name, protocol.system, variant, case.name);
                let figure = |metric: &str| table.figure(&cell, metric);
                let Some(throughput) = figure(Metric::Throughput.name()) else { continue };
                let peer = best_peer(figures, protocol.tolerates, case.name, layer);
                rows.push(vec![
                    display(protocol.system),
                    words.to_owned(),
                    in_words(case.name),
                    with_interval(throughput),
                    peer.map_or_else(|| no_peer(protocol.tolerates, layer), named),
                    figure(VS_BEST_PEER).map_or_else(|| "–".into(), factor),
                    figure(VS_FLOOR).map_or_else(|| "–".into(), percent),
                ]);
            }
        }
    }
    let header = [
        "protocol",
        "layer",
        "case",
        "ours, commands/s (95 % interval)",
        "best library of its kind, commands/s",
        "ours ÷ best library (95 % interval)",
        "of the unreplicated machine",
    ];
    view("Ours against the best library of the same kind".into(), &header, rows)
}

/// Why there is no library to compare with.
fn no_peer(kind: Tolerates, layer: Layer) -> String {
    let of_kind = |one: &&Contestant| !one.ours && one.tolerates == kind;
    let measured = CONTESTANTS.iter().filter(of_kind).any(|one| one.layers.contains(&layer));
    if measured { absent() } else { "none comes in this form".into() }
}

fn absent() -> String {
    format!("not in this run: `{COMMAND}`")
}

fn named((cell, interval): &Measured) -> String {
    format!("{}, {}: {}", cell.system, in_words(&cell.variant), with_interval(*interval))
}

/// `1.52 (1.47 to 1.60)`; in brackets where the interval does not exclude a tie.
fn factor(interval: Interval) -> String {
    let [median, low, high] = [interval.median, interval.low, interval.high].map(three_digits);
    let text = format!("×{median} ({low} to {high})");
    if interval.may_be(1.0) { format!("({text})") } else { text }
}

fn percent(interval: Interval) -> String {
    format!("{} %", three_digits(interval.median * 100.0))
}

/// A name as people say it: `batches of 64 1KiB`.
fn in_words(name: &str) -> String {
    name.replace('-', " ")
}

fn matrix(
    table: &Table,
    figures: &[Measured],
    (layer, kind): (Layer, Tolerates),
    caption: String,
) -> TableView {
    let mut rows = Vec::new();
    let of_kind = |one: &&Contestant| one.tolerates == kind && one.layers.contains(&layer);
    for system in CONTESTANTS.iter().filter(of_kind) {
        let mut row = vec![display(system.system)];
        row.extend(CASES.map(|case| match best_of(figures, system.system, case.name, layer) {
            Some((cell, interval)) => {
                let share = table.figure(cell, VS_BEST).map_or(1.0, |share| share.median);
                format!("{} (×{})", short(interval.median), three_digits(share))
            }
            None => missing(table, system, case.name, layer),
        }));
        rows.push(row);
    }
    let names = CASES.map(|case| in_words(case.name));
    let header: Vec<&str> =
        std::iter::once("system").chain(names.iter().map(String::as_str)).collect();
    view(caption, &header, rows)
}

/// Why a system has no figure in a case: its proof failed, or it was not measured.
fn missing(table: &Table, system: &Contestant, case: &str, layer: Layer) -> String {
    let variants = table.distinct(EXPERIMENT.name, |cell| &cell.variant);
    let cells =
        variants.iter().map(|variant| Cell::new(EXPERIMENT.name, system.system, variant, case));
    let measured = |cell: &Cell| table.rows().iter().any(|row| row.cell == *cell);
    let in_layer = cells.filter(|cell| rivals::layer_of(cell) == layer);
    in_layer
        .filter(measured)
        .map(|cell| proof(table, &cell))
        .next()
        .unwrap_or_else(|| if system.ours { "not measured".into() } else { absent() })
}

fn costs(table: &Table, figures: &[Measured]) -> TableView {
    let mut rows = Vec::new();
    for (layer, words) in LAYERS {
        for system in CONTESTANTS.iter().filter(|one| one.layers.contains(&layer)) {
            let mut row = vec![display(system.system), words.to_owned()];
            for case in CASES.iter().take(3) {
                let cell = best_of(figures, system.system, case.name, layer).map(|(cell, _)| cell);
                for metric in [Metric::Cpu, Metric::Messages] {
                    let figure = cell.and_then(|cell| table.figure(cell, metric.name()));
                    row.push(figure.map_or_else(|| "–".into(), |one| short(one.median)));
                }
            }
            rows.push(row);
        }
    }
    let mut header = vec!["system".to_owned(), "layer".to_owned()];
    for case in CASES.iter().take(3) {
        header.push(format!("{}: CPU s per million", in_words(case.name)));
        header.push("messages per command".into());
    }
    let caption = "CPU time of the process, clients included, and messages between replicas".into();
    TableView { caption, header, rows }
}

fn notes() -> TableView {
    let row = |(name, settings, differs): (&str, &str, &str)| {
        [name, settings, differs].map(str::to_owned).into()
    };
    let header = ["system", "settings", "what could not be made equal"];
    view("Settings and differences".into(), &header, NOTES.map(row).into())
}

/// The figures.
///
/// # Errors
/// When a plot cannot be drawn.
pub(super) fn figures(table: &Table) -> Result<Vec<Figure>, BenchError> {
    let mut panels = Vec::new();
    for (layer, words) in LAYERS {
        let chart = panel(table, layer, words);
        if chart.lines.iter().any(|line| matches!(line.mark, Mark::Points(_))) {
            let alt = format!("{}: {}", chart.title, alt_of(&chart.lines));
            panels.push(chart.draw(&alt)?.inline);
        }
    }
    if panels.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![Figure {
        title: "Our throughput against the best library of the same kind".into(),
        clock: REAL_TIME,
        reading: reading(table),
        panels,
    }])
}

fn panel(table: &Table, layer: Layer, words: &str) -> Horizontal {
    let protocols: Vec<(&str, &str)> = ours(layer).map(|(one, v)| (one.system, v)).collect();
    let line = |case: crate::experiment::peers::Case| {
        let point = |(system, variant): &(&str, &str)| {
            let cell = Cell::new(EXPERIMENT.name, system, variant, case.name);
            Some((shape_of(system), ink_of(system), table.figure(&cell, VS_BEST_PEER)?))
        };
        let points: Vec<_> = protocols.iter().filter_map(point).collect();
        let factors: Vec<String> = points
            .iter()
            .map(|(_, _, interval)| format!("×{}", three_digits(interval.median)))
            .collect();
        let (mark, value, ink) = if points.is_empty() {
            (Mark::Note("no library measured".into()), "–".into(), Ink::Faint)
        } else {
            (Mark::Points(points), factors.join(" "), Ink::Text)
        };
        Line { label: in_words(case.name), mark, value, ink, starts_group: false }
    };
    let drawn = |(system, variant): &&(&str, &str)| {
        CASES.iter().any(|case| {
            let cell = Cell::new(EXPERIMENT.name, system, variant, case.name);
            table.figure(&cell, VS_BEST_PEER).is_some()
        })
    };
    Horizontal {
        title: capitalised(words),
        axis: "our throughput, as a factor of the best library's".into(),
        reference: Some(1.0),
        factors: true,
        lines: CASES.map(line).into(),
        legend: protocols
            .iter()
            .filter(drawn)
            .map(|(system, _)| (shape_of(system), ink_of(system), display(system)))
            .collect(),
    }
}

fn capitalised(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The span of factors for each protocol and layer, and every case that is lost.
fn reading(table: &Table) -> String {
    let (mut parts, mut lost) = (Vec::new(), Vec::new());
    for (layer, words) in LAYERS {
        for (protocol, variant) in ours(layer) {
            let factors = CASES.iter().filter_map(|case| {
                let cell = Cell::new(EXPERIMENT.name, protocol.system, variant, case.name);
                Some((case.name, table.figure(&cell, VS_BEST_PEER)?))
            });
            let factors: Vec<(&str, Interval)> = factors.collect();
            let medians: Vec<f64> = factors.iter().map(|(_, one)| one.median).collect();
            let name = display(protocol.system);
            let span =
                crate::report::words::span(&medians, |one| format!("×{}", three_digits(one)));
            parts.extend(span.map(|span| format!("{name} {span} ({words})")));
            let loses = |(_, one): &&(&str, Interval)| one.median < 1.0 && !one.may_be(1.0);
            let cases = factors.iter().filter(loses);
            lost.extend(cases.map(|(case, one)| {
                format!("{name} {} ({words}): ×{}", in_words(case), three_digits(one.median))
            }));
        }
    }
    let losses = if lost.is_empty() {
        "No case is lost beyond its interval".to_owned()
    } else {
        format!("Lost: {}", lost.join("; "))
    };
    format!("Against the best library of its kind, over the cases: {}. {losses}.", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::peers::{BARE, CLUSTER};
    use crate::run::{Proof, Sample};
    use crate::testing::sample;

    fn samples(system: &str, variant: &str, throughput: f64) -> Vec<Sample> {
        let cell = Cell::new(EXPERIMENT.name, system, variant, CASES[0].name);
        (1..=3)
            .map(|n| {
                let wobble = 1.0 + f64::from(n) / 100.0;
                sample(cell.clone(), n, &[(Metric::Throughput, throughput * wobble)])
            })
            .collect()
    }

    fn text(views: &[TableView]) -> String {
        format!("{views:?}")
    }

    #[test]
    fn a_loss_is_said_and_stands_in_the_tables() {
        let mut all = samples("paxos", BARE, 1e6);
        all.extend(samples("omnipaxos", BARE, 2e6));
        let table = Table::new(&all);
        let figures = figures(&table).unwrap();
        assert_eq!(figures.len(), 1);
        assert!(figures[0].reading.contains("Lost: Paxos one at a time"), "{}", figures[0].reading);
        assert!(text(&tables(&table)).contains("×0.500"));
    }

    #[test]
    fn what_was_not_measured_says_how_to() {
        let mut all = samples("raft", BARE, 1e6);
        all.extend(samples("raft", CLUSTER, 1e5));
        let table = Table::new(&all);
        assert!(text(&tables(&table)).contains(COMMAND));
        assert!(super::figures(&table).unwrap().is_empty(), "no library, no figure");
    }

    #[test]
    fn a_failed_library_shows_its_reason() {
        let mut all = samples("raft", BARE, 1e6);
        all.extend(samples("raft-rs", BARE, 2e6));
        all[4].proof = Proof::Failed("replica 1 applied 5 of 6 or others".into());
        assert!(text(&tables(&Table::new(&all))).contains("replica 1 applied 5 of 6"));
    }
}

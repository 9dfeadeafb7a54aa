//! Tables of the queues: goals against what was reached, throughput by shape, costs of one thread,
//! round trips, memory, and what an idle consumer does to the others.

use crate::contest::Contest;
use crate::experiment::queue::contenders::OURS;
use crate::experiment::queue::goals::{GOALS, Goal, WORST_SHAPE_MIN};
use crate::experiment::queue::scenario::MEMORY_ITEMS;
use crate::metric::Metric;
use crate::report::queue_first;
use crate::report::tables::TableView;
use crate::report::words::with_interval;
use crate::rows::Table;
use crate::run::Cell;
use crate::stats::{Interval, short, three_digits};

/// What every reader of these figures has to know.
pub(super) const TWO_CORES: &str = " Two cores cannot show contention among many: more than two threads show waiting and preemption.";

/// Scenarios whose names begin alike, as one table: the beginning and the caption.
const GROUPS: [(&str, &str); 16] = [
    ("single-", "Bounded queues, one message at a time"),
    ("batch-8-", "Batches of 8"),
    ("batch-32-", "Batches of 32"),
    ("batch-64-", "Batches of 64"),
    ("batch-256-", "Batches of 256"),
    ("channel-", "Channels that wait by themselves, one message at a time"),
    ("unbounded-", "Queues without bound, one message at a time"),
    ("sharded-", "Sharded queues: order within each producer only"),
    ("spsc-", "One producer, one consumer"),
    ("strict-", "Lock-free in the strict sense"),
    ("capacity-64-", "Capacity 64"),
    ("capacity-1024-", "Capacity 1,024"),
    ("capacity-65536-", "Capacity 65,536"),
    ("64b-", "Messages of 64 bytes"),
    ("256b-", "Messages of 256 bytes"),
    ("box-", "Boxed messages"),
];

/// The tables of `experiment`.
pub(super) fn tables(experiment: &str, table: &Table) -> Vec<TableView> {
    if experiment == "queue" && queue_first::is_first_layout(table) {
        return vec![queue_first::table_view(table)];
    }
    let mut views = vec![contests(experiment, table)];
    for (prefix, caption) in GROUPS {
        let caption = format!("{caption}; messages/s, with the best waiting of each");
        views.push(by_case(experiment, table, prefix, &caption));
    }
    views.push(alone(experiment, table));
    views.push(round_trips(experiment, table));
    views.push(memory(experiment, table));
    views.push(idle(experiment, table));
    views.push(failed(experiment, table));
    views.retain(|view| !view.rows.is_empty());
    views
}

/// What the terminal shows.
pub(super) fn summary(experiment: &str, table: &Table) -> Vec<TableView> {
    let mut views = tables(experiment, table);
    let first_layout = experiment == "queue" && queue_first::is_first_layout(table);
    if !first_layout {
        views.retain(|view| view.caption == CONTESTS || view.caption == FAILED);
    }
    views
}

const CONTESTS: &str = "Ours against the best of the others";
const FAILED: &str = "Failed rows";

fn view(caption: &str, header: &[&str], rows: Vec<Vec<String>>) -> TableView {
    let header = header.iter().map(|&name| name.to_owned()).collect();
    TableView { caption: caption.into(), header, rows }
}

/// A figure with its unit: `95.1 M (90.2 M to 97.0 M)`, `11.2 ns (11.0 to 11.9)`.
fn figure(metric: Metric, interval: Interval) -> String {
    match metric.unit() {
        "ns" => format!(
            "{} ns ({} to {})",
            three_digits(interval.median),
            three_digits(interval.low),
            three_digits(interval.high)
        ),
        _ => with_interval(interval),
    }
}

fn who(cell: &Cell) -> String {
    format!("{}, {}", cell.system, cell.variant)
}

/// Whether a goal is reached; open where the interval includes it.
fn met(interval: Interval, goal: f64, more_is_better: bool) -> &'static str {
    if interval.may_be(goal) {
        return "open";
    }
    if (interval.median > goal) == more_is_better { "yes" } else { "no" }
}

fn contests(experiment: &str, table: &Table) -> TableView {
    let mut rows: Vec<Vec<String>> =
        table.contests(experiment).map(|contest| contest_row(experiment, contest)).collect();
    rows.extend(worst_shape(experiment, table));
    view(
        CONTESTS,
        &[
            "scenario",
            "ours (95 % interval)",
            "which",
            "best of the others",
            "which",
            "times better (95 % interval)",
            "goal",
            "reached",
            "times better, goal",
            "reached",
        ],
        rows,
    )
}

fn contest_row(experiment: &str, contest: &Contest) -> Vec<String> {
    let goal = GOALS.iter().find(|goal| experiment == "queue" && goal.case == contest.case);
    let dash = || "–".to_owned();
    let (ours, metric) = (&contest.ours, contest.metric);
    let more_is_better = metric == Metric::Rate;
    let goal_figure = goal.and_then(|goal| goal.figure);
    let goal_ratio = goal.and_then(|goal| goal.ratio);
    let goal_text = |goal: f64| match metric.unit() {
        "ns" => format!("≤ {} ns", three_digits(goal)),
        _ => format!("≥ {}", short(goal)),
    };
    let ratio = contest.advantage;
    vec![
        goal.map_or_else(|| in_words(&contest.case), |goal: &Goal| goal.words.into()),
        figure(metric, ours.1),
        who(&ours.0),
        contest.other.as_ref().map_or_else(dash, |(_, interval)| figure(metric, *interval)),
        contest.other.as_ref().map_or_else(dash, |(cell, _)| who(cell)),
        ratio.map_or_else(dash, times),
        goal_figure.map_or_else(dash, goal_text),
        goal_figure.map_or_else(dash, |goal| met(ours.1, goal, more_is_better).into()),
        goal_ratio.map_or_else(dash, |goal| format!("≥ {}", three_digits(goal))),
        goal_ratio.map_or_else(dash, |goal| ratio.map_or("–", |i| met(i, goal, true)).into()),
    ]
}

/// `1.52 (1.47 to 1.60)`.
fn times(interval: Interval) -> String {
    let [median, low, high] = [interval.median, interval.low, interval.high].map(three_digits);
    format!("{median} ({low} to {high})")
}

/// A scenario without a goal of its own: `idle consumer 2x2`.
pub(super) fn in_words(case: &str) -> String {
    case.replace('-', " ")
}

/// What the worst shape reaches of one to one: ours, and the best of the others.
fn worst_shape(experiment: &str, table: &Table) -> Option<Vec<String>> {
    let systems = table.distinct(experiment, |cell| &cell.system);
    let share = |system: &String| {
        let cases = table.distinct(experiment, |cell| &cell.case);
        let of = |case: &str| Some(best_of(experiment, table, system, case)?.1.median);
        let single = cases.iter().filter(|case| case.starts_with("single-"));
        let worst = single.filter_map(|case| of(case)).min_by(f64::total_cmp)?;
        Some((worst / of("single-1x1")?, system.clone()))
    };
    let best = |is_ours: bool| {
        let side = systems.iter().filter(|system| system.starts_with(OURS) == is_ours);
        side.filter_map(share).max_by(|a, b| a.0.total_cmp(&b.0))
    };
    let (ours, other) = (best(true)?, best(false)?);
    let reached = if ours.0 >= WORST_SHAPE_MIN { "yes" } else { "no" };
    let mut row: Vec<String> = [
        "bounded, single, worst shape ÷ 1x1".into(),
        three_digits(ours.0),
        ours.1,
        three_digits(other.0),
        other.1,
        "–".into(),
        format!("≥ {}", three_digits(WORST_SHAPE_MIN)),
        reached.into(),
    ]
    .into();
    row.extend(["–".to_owned(), "–".to_owned()]);
    Some(row)
}

/// A system's best row in a scenario, whatever its waiting.
pub(super) fn best_of(
    experiment: &str,
    table: &Table,
    system: &str,
    case: &str,
) -> Option<(String, Interval)> {
    let waits = table.distinct(experiment, |cell| &cell.variant);
    let figures = waits.into_iter().filter_map(|waiting| {
        let cell = Cell::new(experiment, system, &waiting, case);
        Some((waiting, table.figure(&cell, Metric::Rate.name())?))
    });
    figures.max_by(|a, b| a.1.median.total_cmp(&b.1.median))
}

fn by_case(experiment: &str, table: &Table, prefix: &str, caption: &str) -> TableView {
    let mut cases = table.distinct(experiment, |cell| &cell.case);
    cases.retain(|case| case.starts_with(prefix));
    let mut rows = Vec::new();
    for system in table.distinct(experiment, |cell| &cell.system) {
        let fields: Vec<Option<String>> = cases
            .iter()
            .map(|case| {
                let (waiting, interval) = best_of(experiment, table, &system, case)?;
                Some(format!("{} {waiting}", with_interval(interval)))
            })
            .collect();
        if fields.iter().any(Option::is_some) {
            let field = |field: Option<String>| field.unwrap_or_else(|| "–".into());
            rows.push(std::iter::once(system).chain(fields.into_iter().map(field)).collect());
        }
    }
    let label = |case: &String| in_words(case.strip_prefix(prefix).unwrap_or(case));
    let labels: Vec<String> = cases.iter().map(label).collect();
    let header: Vec<&str> =
        std::iter::once("queue").chain(labels.iter().map(String::as_str)).collect();
    view(caption, &header, rows)
}

/// Every row of the scenarios that begin with `prefix`, as fields of the metrics.
fn rows_of(
    experiment: &str,
    table: &Table,
    prefix: &str,
    metrics: &[Metric],
) -> Vec<(Cell, Vec<Interval>)> {
    let mut cells: Vec<&Cell> = Vec::new();
    for row in table.rows() {
        let cell = &row.cell;
        if cell.experiment == experiment && cell.case.starts_with(prefix) && !cells.contains(&cell)
        {
            cells.push(cell);
        }
    }
    let figures = |cell: &&Cell| {
        let figures = metrics.iter().map(|metric| table.figure(cell, metric.name()));
        Some(((*cell).clone(), figures.collect::<Option<Vec<_>>>()?))
    };
    cells.iter().filter_map(figures).collect()
}

fn alone(experiment: &str, table: &Table) -> TableView {
    let pairs = rows_of(experiment, table, "pair", &[Metric::PairTime]);
    let bursts = rows_of(experiment, table, "burst", &[Metric::PairTime]);
    let row = |(cell, pair): &(Cell, Vec<Interval>)| {
        let burst = bursts.iter().find(|(other, _)| other.system == cell.system);
        vec![
            cell.system.clone(),
            figure(Metric::PairTime, pair[0]),
            burst.map_or_else(|| "–".into(), |(_, burst)| figure(Metric::PairTime, burst[0])),
        ]
    };
    view(
        "One thread alone: time for each push and pop",
        &["queue", "push, then pop", "512 pushes, then 512 pops"],
        pairs.iter().map(row).collect(),
    )
}

fn round_trips(experiment: &str, table: &Table) -> TableView {
    let metrics = [Metric::RoundTripP50, Metric::RoundTripP99];
    let row = |(cell, times): (Cell, Vec<Interval>)| {
        let kind = cell.case.strip_prefix("round-trip-").unwrap_or(&cell.case);
        vec![
            format!("{}, {}", cell.system, in_words(kind)),
            cell.variant.clone(),
            figure(metrics[0], times[0]),
            figure(metrics[1], times[1]),
        ]
    };
    let rows = rows_of(experiment, table, "round-trip-", &metrics).into_iter().map(row).collect();
    let caption = "Round trip between two threads on two cores; parked: with 300 µs between two";
    view(caption, &["queue", "waiting", "median", "99th percentile"], rows)
}

/// Bytes as `66.3 MB`.
fn megabytes(bytes: f64) -> String {
    format!("{} MB", three_digits(bytes / 1e6))
}

fn memory(experiment: &str, table: &Table) -> TableView {
    let metrics = [Metric::MemoryPeak, Metric::MemoryLeft];
    let row = |(cell, bytes): (Cell, Vec<Interval>)| {
        let [peak, left] = [bytes[0].median, bytes[1].median];
        let for_each = three_digits(peak / MEMORY_ITEMS as f64);
        vec![cell.system, megabytes(peak), for_each, megabytes(left)]
    };
    let rows = rows_of(experiment, table, "memory", &metrics).into_iter().map(row).collect();
    let caption =
        "Resident memory of a burst of 4 million numbers of 8 bytes, with what the allocator keeps";
    view(caption, &["queue without bound", "all inside", "bytes for each", "all taken out"], rows)
}

fn idle(experiment: &str, table: &Table) -> TableView {
    let row = |(cell, rate): (Cell, Vec<Interval>)| {
        let same = |case: &str| {
            let other = Cell { case: case.into(), ..cell.clone() };
            table.figure(&other, Metric::Rate.name())
        };
        let cases = ["single-2x2", "channel-2x2", "unbounded-2x2", "sharded-2x2", "strict-2x2"];
        let without = cases.into_iter().find_map(same);
        let share = |without: Interval| {
            format!("{} %", three_digits(rate[0].median / without.median * 100.0))
        };
        vec![
            who(&cell),
            with_interval(rate[0]),
            without.map_or_else(|| "–".into(), with_interval),
            without.map_or_else(|| "–".into(), share),
        ]
    };
    let rates = rows_of(experiment, table, "idle-consumer-", &[Metric::Rate]);
    let rows = rates.into_iter().map(row).collect();
    let caption = "Two producers and two consumers beside a third consumer that took one message and holds its handle, doing nothing; messages/s";
    view(caption, &["queue", "with it", "without it", "share"], rows)
}

fn failed(experiment: &str, table: &Table) -> TableView {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for row in table.failed() {
        let fields = vec![who(&row.cell), in_words(&row.cell.case), row.proof.to_string()];
        if row.cell.experiment == experiment && !rows.contains(&fields) {
            rows.push(fields);
        }
    }
    view(FAILED, &["queue", "scenario", "proof"], rows)
}

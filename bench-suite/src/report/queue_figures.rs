//! Figures of the queues: how far ahead ours are, throughput by shape, round trips, memory.

use crate::contest::Contest;
use crate::error::BenchError;
use crate::experiment::queue::contenders::OURS;
use crate::metric::Metric;
use crate::report::canvas::Ink;
use crate::report::chart::{Horizontal, Line, Mark};
use crate::report::figures::{Figure, REAL_TIME, alt_of};
use crate::report::queue::{best_of, in_words};
use crate::report::queue_first;
use crate::rows::Table;
use crate::run::Cell;
use crate::stats::{Interval, short, three_digits};

/// Marks of the series of a panel: ours first, then the others.
const OURS_MARKS: [(usize, Ink); 2] = [(0, Ink::Blue), (1, Ink::Green)];
const OTHERS_MARKS: [(usize, Ink); 3] = [(2, Ink::Red), (3, Ink::Purple), (1, Ink::Grey)];

/// The panels of throughput by shape: how their scenarios begin, and the title.
const BY_SHAPE: [(&str, &str); 10] = [
    ("single-", "Bounded queues"),
    ("batch-", "Batches"),
    ("channel-", "Channels that wait by themselves"),
    ("unbounded-", "Queues without bound"),
    ("capacity-64-", "Capacity 64"),
    ("capacity-1024-", "Capacity 1,024"),
    ("capacity-65536-", "Capacity 65,536"),
    ("64b-", "Messages of 64 bytes"),
    ("256b-", "Messages of 256 bytes"),
    ("box-", "Boxed messages"),
];

/// The figures of `experiment`.
///
/// # Errors
/// When a plot cannot be drawn.
pub(super) fn figures(experiment: &str, table: &Table) -> Result<Vec<Figure>, BenchError> {
    if experiment == "queue" && queue_first::is_first_layout(table) {
        return Ok(vec![queue_first::figure(table)?]);
    }
    let mut figures = vec![advantages(experiment, table)?, by_shape(experiment, table)?];
    figures.extend(round_trips(experiment, table)?);
    figures.extend(memory(experiment, table)?);
    Ok(figures)
}

fn figure(title: &str, reading: String, panels: Vec<String>) -> Figure {
    Figure { title: title.into(), clock: REAL_TIME, reading, panels }
}

/// Lines of one panel of advantages at most.
const LINES_MAX: usize = 24;

fn advantages(experiment: &str, table: &Table) -> Result<Figure, BenchError> {
    let known = |contest: &&Contest| contest.advantage.is_some();
    let contests: Vec<&Contest> = table.contests(experiment).filter(known).collect();
    let line = |contest: &&Contest| {
        let advantage = contest.advantage?;
        let ink = match advantage {
            undecided if undecided.may_be(1.0) => Ink::Grey,
            ahead if ahead.median > 1.0 => Ink::Blue,
            _ => Ink::Red,
        };
        let factor = format!("×{}", three_digits(advantage.median));
        let value = if advantage.may_be(1.0) { format!("({factor})") } else { factor };
        let label = in_words(&contest.case);
        Some(Line { label, mark: Mark::Bar(advantage), value, ink, starts_group: false })
    };
    let mut panels = Vec::new();
    for part in contests.chunks(LINES_MAX) {
        let chart = Horizontal {
            title: "More messages, less time, less memory".into(),
            axis: "times better".into(),
            reference: Some(1.0),
            factors: true,
            lines: part.iter().filter_map(line).collect(),
            legend: Vec::new(),
        };
        panels.push(chart.draw(&format!("Times better: {}", alt_of(&chart.lines)))?.inline);
    }
    let ahead = |contest: &&&Contest| {
        contest.advantage.is_some_and(|times| times.median > 1.0 && !times.may_be(1.0))
    };
    let behind = |contest: &&&Contest| {
        contest.advantage.is_some_and(|times| times.median < 1.0 && !times.may_be(1.0))
    };
    let losses: Vec<String> =
        contests.iter().filter(behind).map(|contest| in_words(&contest.case)).collect();
    let losses = if losses.is_empty() { "none".to_owned() } else { losses.join(", ") };
    let reading = format!(
        "Of {} scenarios ours is measurably ahead in {}, and behind in {losses}; in grey ones the interval includes a draw. The strict queue's batches are compared with our own ring.",
        contests.len(),
        contests.iter().filter(ahead).count(),
    );
    Ok(figure("Against the best of the others, with its best waiting", reading, panels))
}

/// The systems of a side that reach most over `cases`, best first.
fn leaders(
    experiment: &str,
    table: &Table,
    cases: &[String],
    (is_ours, count): (bool, usize),
) -> Vec<String> {
    let score = |system: String| {
        let figures = cases.iter().filter_map(|case| best_of(experiment, table, &system, case));
        let logs: Vec<f64> = figures.map(|(_, figure)| figure.median.ln()).collect();
        let mean = logs.iter().sum::<f64>() / logs.len().max(1) as f64;
        // Who takes part in few scenarios does not lead.
        (logs.len() * 2 > cases.len()).then_some((mean, system))
    };
    let systems = table.distinct(experiment, |cell| &cell.system);
    let side = systems.into_iter().filter(|system| system.starts_with(OURS) == is_ours);
    let mut scored: Vec<(f64, String)> = side.filter_map(score).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(count).map(|(_, system)| system).collect()
}

fn by_shape(experiment: &str, table: &Table) -> Result<Figure, BenchError> {
    let all = table.distinct(experiment, |cell| &cell.case);
    let mut panels = Vec::new();
    for (prefix, title) in BY_SHAPE {
        let cases: Vec<String> =
            all.iter().filter(|case| case.starts_with(prefix)).cloned().collect();
        if cases.is_empty() {
            continue;
        }
        let ours = leaders(experiment, table, &cases, (true, OURS_MARKS.len()));
        let others = leaders(experiment, table, &cases, (false, OTHERS_MARKS.len()));
        let legend: Vec<(usize, Ink, String)> = ours
            .into_iter()
            .zip(OURS_MARKS)
            .chain(others.into_iter().zip(OTHERS_MARKS))
            .map(|(system, (shape, ink))| (shape, ink, system))
            .collect();
        let line = |case: &String| {
            let points = legend.iter().filter_map(|(shape, ink, system)| {
                Some((*shape, *ink, best_of(experiment, table, system, case)?.1))
            });
            let points: Vec<(usize, Ink, Interval)> = points.collect();
            Line {
                label: in_words(case.strip_prefix(prefix).unwrap_or(case)),
                value: points.first().map_or_else(String::new, |(.., i)| short(i.median)),
                mark: Mark::Points(points),
                ink: Ink::Text,
                starts_group: true,
            }
        };
        let chart = Horizontal {
            title: title.into(),
            axis: "messages/s; producers x consumers".into(),
            reference: None,
            factors: false,
            lines: cases.iter().map(line).collect(),
            legend: legend.clone(),
        };
        let alt = format!("{title}, messages per second of {}", alt_of(&chart.lines));
        panels.push(chart.draw(&alt)?.inline);
    }
    let reading = "Each queue with its best waiting in each scenario: ours, and those of the others that reach most over all of a panel; the figure at the right is our first one's.";
    Ok(figure("Throughput by shape", reading.into(), panels))
}

/// One scenario's points for every queue, two metrics on each line.
fn pairs_panel(
    experiment: &str,
    table: &Table,
    case: &str,
    (title, axis): (&str, &str),
    series: [(Metric, &str); 2],
    text: fn(f64) -> String,
) -> Result<Option<String>, BenchError> {
    let mut found: Vec<(bool, String, Interval, Interval)> = Vec::new();
    for system in table.distinct(experiment, |cell| &cell.system) {
        for waiting in table.distinct(experiment, |cell| &cell.variant) {
            let cell = Cell::new(experiment, &system, &waiting, case);
            let [first, second] = series.map(|(metric, _)| table.figure(&cell, metric.name()));
            let (Some(first), Some(second)) = (first, second) else { continue };
            let patient = if waiting == "patience" { ", patience" } else { "" };
            found.push((!system.starts_with(OURS), format!("{system}{patient}"), first, second));
        }
    }
    // Ours above the others, each side from the least.
    found.sort_by(|a, b| a.0.cmp(&b.0).then(a.2.median.total_cmp(&b.2.median)));
    let ours = found.iter().filter(|(is_other, ..)| !is_other).count();
    let line = |(place, (_, label, first, second)): (usize, (bool, String, Interval, Interval))| {
        let value = format!("{} / {}", text(first.median), text(second.median));
        let mark = Mark::Points(vec![(0, Ink::Blue, first), (3, Ink::Red, second)]);
        Line { label, mark, value, ink: Ink::Text, starts_group: place == ours && ours > 0 }
    };
    let lines: Vec<Line> = found.into_iter().enumerate().map(line).collect();
    if lines.is_empty() {
        return Ok(None);
    }
    let [first, second] = series.map(|(_, words)| words.to_owned());
    let chart = Horizontal {
        title: title.into(),
        axis: axis.into(),
        reference: None,
        factors: false,
        lines,
        legend: vec![(0, Ink::Blue, first), (3, Ink::Red, second)],
    };
    Ok(Some(chart.draw(&format!("{title}, {axis}: {}", alt_of(&chart.lines)))?.inline))
}

fn round_trips(experiment: &str, table: &Table) -> Result<Option<Figure>, BenchError> {
    let series = [(Metric::RoundTripP50, "median"), (Metric::RoundTripP99, "99th percentile")];
    let mut panels = Vec::new();
    for (case, title) in [
        ("round-trip-spinning", "Polling, bounded"),
        ("round-trip-spinning-unbounded", "Polling, without bound"),
        ("round-trip-spinning-spsc", "Polling, one to one"),
        ("round-trip-blocking", "Channels, one trip after the other"),
        ("round-trip-parked", "Channels, 300 µs between two trips"),
    ] {
        let words = (title, "round trip, ns");
        panels.extend(pairs_panel(experiment, table, case, words, series, short)?);
    }
    let reading = "Two threads on two cores send one message back and forth. Who parks at once pays for two wake-ups in each trip; who polls first does not, unless the answer takes longer than it polls.";
    let title = "How long a message takes there and back";
    Ok((!panels.is_empty()).then(|| figure(title, reading.into(), panels)))
}

fn memory(experiment: &str, table: &Table) -> Result<Option<Figure>, BenchError> {
    let series = [(Metric::MemoryPeak, "all inside"), (Metric::MemoryLeft, "all taken out")];
    let words = ("Memory of a burst, without bound", "resident bytes above the start");
    let panel = pairs_panel(experiment, table, "memory", words, series, short)?;
    let reading = "Four million numbers of 8 bytes are sent, then received, by a process of its own that does nothing else. What a queue frees and the allocator keeps counts as resident.";
    let title = "Memory after a burst";
    Ok(panel.map(|panel| figure(title, reading.into(), vec![panel])))
}

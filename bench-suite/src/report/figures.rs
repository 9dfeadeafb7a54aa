//! The report's figures: which panels there are and the sentence under each.

use serde::Serialize;

use crate::error::BenchError;
use crate::experiment::variant::{OPTIMISATIONS, changed, in_words, only};
use crate::metric::Metric;
use crate::report::canvas::{Ink, Svg};
use crate::report::chart::{Horizontal, Line, Lines, Mark, Series};
use crate::report::tables::marked_change;
use crate::report::words::{ablation_reading, display, span};
use crate::report::{
    batching, compression, faults, interaction, peers, pipelining, protocols, queue_figures,
    regions, scale, sharding, stages,
};
use crate::rows::{ALL_VARIANT, NONE_VARIANT, Table};
use crate::run::Cell;
use crate::stats::{Interval, short, three_digits};

/// One or more panels with what they show.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    /// The heading.
    pub(super) title: String,
    /// How time was measured: every figure says so.
    pub(super) clock: &'static str,
    /// One sentence: what the reader sees.
    pub(super) reading: String,
    /// The panels' markup.
    pub(super) panels: Vec<String>,
}

pub(super) const REAL_TIME: &str = "real time, one process";
const VIRTUAL_TIME: &str = "virtual time, simulated network, no CPU cost";

/// A system's colour, the same in all figures.
pub(super) fn ink_of(system: &str) -> Ink {
    match system {
        "paxos" | "mq" => Ink::Blue,
        "raft" => Ink::Red,
        "pbft" => Ink::Green,
        _ => Ink::Grey,
    }
}

/// A system's shape, the same in all figures.
pub(super) fn shape_of(system: &str) -> usize {
    match system {
        "paxos" | "mq" => 0,
        "raft" => 1,
        "pbft" => 2,
        _ => 3,
    }
}

/// The figures of `experiment`.
///
/// # Errors
/// When a plot cannot be drawn.
pub(crate) fn of(experiment: &str, table: &Table) -> Result<Vec<Figure>, BenchError> {
    match experiment {
        "ablation" => ablation(table),
        "small" => Ok(vec![small(table)?]),
        "batching" => batching::figures(table),
        "protocols" => protocols::figures(table),
        "compression" => compression::figures(table),
        "pipelining" => pipelining::figures(table),
        "peers" => peers::figures(table),
        "scale" => scale::figures(table),
        "wan" => Ok(std::iter::once(wan(table)?).chain(regions::figures(table)?).collect()),
        "faults" => faults::figures(table),
        "sharding" => sharding::figures(table),
        "stages" => stages::figures(table),
        "queue" | "queue-matrix" => queue_figures::figures(experiment, table),
        _ => Ok(Vec::new()),
    }
}

fn ablation(table: &Table) -> Result<Vec<Figure>, BenchError> {
    let systems = table.distinct("ablation", |cell| &cell.system);
    let mut figures = Vec::new();
    for case in table.distinct("ablation", |cell| &cell.case) {
        let panels = |draw: &dyn Fn(&str) -> Result<Svg, BenchError>| {
            systems.iter().map(|system| Ok(draw(system)?.inline)).collect::<Result<_, _>>()
        };
        figures.push(Figure {
            title: format!("What each optimisation does to throughput ({case})"),
            clock: REAL_TIME,
            reading: ablation_reading(table, &systems, &case),
            panels: panels(&|system| throughput_panel(table, system, &case))?,
        });
        figures.extend(interaction::figure(table, &systems, &case)?);
        figures.push(Figure {
            title: format!("What it costs in latency at low load ({case})"),
            clock: REAL_TIME,
            reading: latency_reading(table, &systems, &case),
            panels: panels(&|system| latency_panel(table, system, &case))?,
        });
        figures.push(Figure {
            title: format!("Bytes, messages and CPU for each command ({case})"),
            clock: REAL_TIME,
            reading: cost_reading(table, &systems, &case),
            panels: [
                (Metric::WireBytes, "Bytes between replicas", "bytes per command"),
                (Metric::Messages, "Messages between replicas", "messages per command"),
                (Metric::Cpu, "CPU time, clients included", "CPU seconds per million commands"),
            ]
            .into_iter()
            .map(|(metric, title, axis)| cost_panel(table, &systems, &case, (metric, title, axis)))
            .collect::<Result<_, _>>()?,
        });
    }
    Ok(figures)
}

fn throughput_panel(table: &Table, system: &str, case: &str) -> Result<Svg, BenchError> {
    let mut lines = vec![heading("from all off, turned on", false)];
    let bar = |label: String, variant: &str, metric: &str| {
        let cell = Cell::new("ablation", system, variant, case);
        bar_line(label, table.figure(&cell, metric))
    };
    for name in OPTIMISATIONS {
        lines.push(bar(format!("+ {name}"), &only(name), "throughput_vs_none"));
    }
    let default = table.default_variant();
    if default != ALL_VARIANT {
        lines.push(bar("default".into(), default, "throughput_vs_none"));
    }
    lines.push(bar("all four".into(), ALL_VARIANT, "throughput_vs_none"));
    lines.push(heading("from the default, one changed", true));
    for (index, name) in OPTIMISATIONS.into_iter().enumerate() {
        let (variant, on) = changed(default, index);
        let sign = if on { '+' } else { '−' };
        lines.push(bar(format!("{sign} {name}"), &variant, "throughput_vs_default"));
    }
    if default != ALL_VARIANT {
        lines.push(bar("all four on".into(), ALL_VARIANT, "throughput_vs_default"));
    }
    lines.push(bar("all off".into(), NONE_VARIANT, "throughput_vs_default"));
    let chart = Horizontal {
        title: display(system),
        axis: "throughput, as a factor of the setting named".into(),
        reference: Some(1.0),
        factors: true,
        lines,
        legend: Vec::new(),
    };
    chart.draw(&format!("{}: {}", display(system), alt_of(&chart.lines)))
}

pub(super) fn heading(words: &str, starts_group: bool) -> Line {
    Line {
        label: String::new(),
        mark: Mark::Note(words.into()),
        value: String::new(),
        ink: Ink::Faint,
        starts_group,
    }
}

pub(super) fn bar_line(label: String, figure: Option<Interval>) -> Line {
    let Some(interval) = figure else { return missing(label) };
    let ink = match interval {
        undecided if undecided.may_be(1.0) => Ink::Grey,
        gain if gain.median > 1.0 => Ink::Blue,
        _ => Ink::Red,
    };
    let value = marked_change(interval.median, interval.may_be(1.0));
    Line { label, mark: Mark::Bar(interval), value, ink, starts_group: false }
}

fn missing(label: String) -> Line {
    let mark = Mark::Note("no verified figure".into());
    Line { label, mark, value: "–".into(), ink: Ink::Faint, starts_group: false }
}

/// A line with one point.
pub(super) fn point_line(
    label: String,
    figure: Option<Interval>,
    (shape, ink): (usize, Ink),
) -> Line {
    let Some(interval) = figure else { return missing(label) };
    let mark = Mark::Points(vec![(shape, ink, interval)]);
    Line { label, mark, value: short(interval.median), ink, starts_group: false }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// What a reader who cannot see the chart is told.
pub(super) fn alt_of(lines: &[Line]) -> String {
    let words = lines.iter().map(|line| match &line.mark {
        Mark::Note(words) if line.label.is_empty() => format!("{words}:"),
        _ => format!("{} {};", line.label, line.value),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn latency_panel(table: &Table, system: &str, case: &str) -> Result<Svg, BenchError> {
    let line = |variant: String| {
        let cell = Cell::new("ablation", system, &variant, case);
        let both = table
            .figure(&cell, Metric::LatencyP50.name())
            .zip(table.figure(&cell, Metric::LatencyP99.name()));
        let Some((p50, p99)) = both else { return missing(in_words(&variant)) };
        Line {
            label: in_words(&variant),
            mark: Mark::Points(vec![(0, Ink::Blue, p50), (3, Ink::Red, p99)]),
            value: format!("{} / {}", short(p50.median), short(p99.median)),
            ink: Ink::Blue,
            starts_group: variant == table.default_variant(),
        }
    };
    let chart = Horizontal {
        title: display(system),
        axis: "latency from the intended send time, µs".into(),
        reference: None,
        factors: false,
        lines: table.distinct("ablation", |cell| &cell.variant).into_iter().map(line).collect(),
        legend: vec![(0, Ink::Blue, "median".into()), (3, Ink::Red, "99th percentile".into())],
    };
    let alt = format!("{}, median / p99 in µs: {}", display(system), alt_of(&chart.lines));
    chart.draw(&alt)
}

fn latency_reading(table: &Table, systems: &[String], case: &str) -> String {
    let ratio = |variant: &str| -> Vec<f64> {
        let median = |system: &String, variant: &str| {
            let cell = Cell::new("ablation", system, variant, case);
            Some(table.figure(&cell, Metric::LatencyP50.name())?.median)
        };
        systems
            .iter()
            .filter_map(|system| Some(median(system, variant)? / median(system, NONE_VARIANT)?))
            .collect()
    };
    match span(&ratio(table.default_variant()), crate::stats::change) {
        Some(change) => {
            format!("A lone command with the default: {change} at the median against all off.")
        }
        None => "No verified figures.".into(),
    }
}

fn cost_panel(
    table: &Table,
    systems: &[String],
    case: &str,
    (metric, title, axis): (Metric, &str, &str),
) -> Result<String, BenchError> {
    let line = |variant: String| {
        let points: Vec<(usize, Ink, Interval)> = systems
            .iter()
            .filter_map(|system| {
                let cell = Cell::new("ablation", system, &variant, case);
                Some((shape_of(system), ink_of(system), table.figure(&cell, metric.name())?))
            })
            .collect();
        if points.is_empty() {
            return missing(in_words(&variant));
        }
        Line {
            label: in_words(&variant),
            mark: Mark::Points(points),
            value: String::new(),
            ink: Ink::Text,
            starts_group: variant == table.default_variant(),
        }
    };
    let chart = Horizontal {
        title: title.into(),
        axis: axis.into(),
        reference: None,
        factors: false,
        lines: table.distinct("ablation", |cell| &cell.variant).into_iter().map(line).collect(),
        legend: systems
            .iter()
            .map(|system| (shape_of(system), ink_of(system), display(system)))
            .collect(),
    };
    Ok(chart.draw(&format!("{title}: {axis} for each setting; the table has the figures"))?.inline)
}

fn cost_reading(table: &Table, systems: &[String], case: &str) -> String {
    let figures = |variant: &str, metric: Metric| -> Vec<f64> {
        systems
            .iter()
            .filter_map(|system| {
                let cell = Cell::new("ablation", system, variant, case);
                Some(table.figure(&cell, metric.name())?.median)
            })
            .collect()
    };
    let sentence = |metric: Metric, what: &str| {
        let default = table.default_variant();
        let (all, none) = (figures(default, metric), figures(NONE_VARIANT, metric));
        Some(format!(
            "{what} {} with everything off, {} with the default",
            span(&none, short)?,
            span(&all, short)?
        ))
    };
    let parts: Vec<String> = [
        sentence(Metric::Messages, "Messages per command:"),
        sentence(Metric::WireBytes, "bytes:"),
        sentence(Metric::Cpu, "CPU seconds per million:"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if parts.is_empty() { "No verified figures.".into() } else { parts.join("; ") + "." }
}

fn small(table: &Table) -> Result<Figure, BenchError> {
    let systems = table.distinct("small", |cell| &cell.system);
    let variants = table.distinct("small", |cell| &cell.variant);
    let case = table.distinct("small", |cell| &cell.case).into_iter().next().unwrap_or_default();
    let mut lines = Vec::new();
    for variant in &variants {
        lines.push(heading(&in_words(variant), !lines.is_empty()));
        for system in &systems {
            let cell = Cell::new("small", system, variant, &case);
            let figure = table.figure(&cell, Metric::Throughput.name());
            lines.push(point_line(display(system), figure, (shape_of(system), ink_of(system))));
        }
    }
    let chart = Horizontal {
        title: "Throughput, 16-byte commands".into(),
        axis: "commands/s, closed loop".into(),
        reference: None,
        factors: false,
        lines,
        legend: Vec::new(),
    };
    let svg = chart.draw(&format!("Commands per second: {}", alt_of(&chart.lines)))?;
    let of_floor = |variant: &String| {
        let share = |system: &String| {
            let cell = Cell::new("small", system, variant, &case);
            let share = table.figure(&cell, "throughput_vs_floor")?.median * 100.0;
            Some(format!("{} {} %", display(system), three_digits(share)))
        };
        let shares: Vec<String> = systems.iter().filter_map(share).collect();
        (!shares.is_empty()).then(|| format!("{}: {}", in_words(variant), shares.join(", ")))
    };
    let shares: Vec<String> = variants.iter().filter_map(of_floor).collect();
    let reading = if shares.is_empty() {
        "No verified figures.".into()
    } else {
        format!(
            "What the protocols reach of the unreplicated machine behind the same queues; the rest is the price of agreement. {}.",
            capitalised(&shares.join("; "))
        )
    };
    let title = "What the protocols cost when the payload costs nothing".into();
    Ok(Figure { title, clock: REAL_TIME, reading, panels: vec![svg.inline] })
}

fn wan(table: &Table) -> Result<Figure, BenchError> {
    let systems = table.distinct("wan", |cell| &cell.system);
    let panel = |prefix: &str, title: &str, x_axis: &str| {
        let series = systems.iter().map(|system| Series {
            name: display(system),
            ink: ink_of(system),
            shape: shape_of(system),
            points: wan_points(table, system, prefix),
            is_level: false,
        });
        let chart = Lines {
            title: title.into(),
            x_axis: x_axis.into(),
            y_axis: "median latency, ms".into(),
            series: series.collect(),
        };
        let alt = format!(
            "{title}: median latency, one line for each protocol; the table has the figures"
        );
        Ok::<_, BenchError>(chart.draw(&alt)?.inline)
    };
    let panels = vec![
        panel("rtt-", "By distance", "round trip between replicas, ms")?,
        panel("mbit-", "By bandwidth", "link, Mbit/s")?,
    ];
    let far: Vec<String> = systems
        .iter()
        .filter_map(|system| {
            let (round_trip, latency) = *wan_points(table, system, "rtt-").last()?;
            let trips = three_digits(latency.median / round_trip);
            Some(format!("{} {trips} round trips", display(system)))
        })
        .collect();
    let reading = if far.is_empty() {
        "No verified figures.".into()
    } else {
        format!("Far apart, a command takes {} at the median.", far.join(", "))
    };
    let title = "What a command waits for on a network".into();
    Ok(Figure { title, clock: VIRTUAL_TIME, reading, panels })
}

/// The median latencies in ms over the cases that start with `prefix`, by the number after it.
fn wan_points(table: &Table, system: &str, prefix: &str) -> Vec<(f64, Interval)> {
    let mut points: Vec<(f64, Interval)> = table
        .distinct("wan", |cell| &cell.case)
        .iter()
        .filter_map(|case| {
            let x = case.strip_prefix(prefix)?.parse().ok()?;
            let cell = Cell::new("wan", system, "default", case);
            let micros = table.figure(&cell, Metric::LatencyP50.name())?;
            let (median, low, high) = (micros.median / 1e3, micros.low / 1e3, micros.high / 1e3);
            Some((x, Interval { median, low, high, ..micros }))
        })
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

/// The picture for the top `README.md`: what each optimisation adds to nothing, per protocol.
///
/// # Errors
/// When it cannot be drawn.
pub(crate) fn picture(table: &Table) -> Result<Svg, BenchError> {
    let systems = table.distinct("ablation", |cell| &cell.system);
    let case = table.distinct("ablation", |cell| &cell.case).into_iter().next().unwrap_or_default();
    let figure = |system: &str, variant: &str| {
        table.figure(&Cell::new("ablation", system, variant, &case), "throughput_vs_none")
    };
    let line = |label: &str, variant: &str| {
        let points: Vec<(usize, Ink, Interval)> = systems
            .iter()
            .filter_map(|system| Some((shape_of(system), ink_of(system), figure(system, variant)?)))
            .collect();
        if points.is_empty() {
            return missing(label.into());
        }
        let medians: Vec<f64> = points.iter().map(|(_, _, interval)| interval.median).collect();
        let value = span(&medians, |factor| format!("×{}", three_digits(factor)));
        Line {
            label: label.into(),
            mark: Mark::Points(points),
            value: value.unwrap_or_default(),
            ink: Ink::Text,
            starts_group: false,
        }
    };
    let mut lines: Vec<Line> = OPTIMISATIONS.iter().map(|name| line(name, &only(name))).collect();
    if table.default_variant() != ALL_VARIANT {
        lines.push(line("default", table.default_variant()));
    }
    lines.push(line("all four", ALL_VARIANT));
    let chart = Horizontal {
        title: "What each optimisation does to throughput".into(),
        axis: format!("factor against all off, {case}"),
        reference: Some(1.0),
        factors: true,
        lines,
        legend: systems
            .iter()
            .map(|system| (shape_of(system), ink_of(system), display(system)))
            .collect(),
    };
    chart.draw(&format!("Throughput as a factor of all off: {}", alt_of(&chart.lines)))
}

//! The protocols beside one another in the report: plots. Tables are in [`tables`].

use crate::error::BenchError;
use crate::experiment::protocols::{SHARE_LOW, at_share, replicas, sized, tolerating};
use crate::metric::Metric;
use crate::report::canvas::Ink;
use crate::report::chart::{Horizontal, Line, Lines, Mark, Series};
use crate::report::figures::{Figure, REAL_TIME, alt_of, ink_of, shape_of};
use crate::report::schedules::{kept, saturated, sorted};
use crate::report::tables::is_floor;
use crate::report::words::{display, span};
use crate::rows::Table;
use crate::run::Cell;
use crate::stats::{self, Interval, short, three_digits};
use crate::workload::{PAYLOAD_BYTES, YCSB_A};

mod tables;

pub(super) use self::tables::{summary, tables};

const NAME: &str = "protocols";
/// Shares of requests whose latency the plot by percentile shows.
const QUANTILES: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 0.9999];

/// The figures.
///
/// # Errors
/// When a plot cannot be drawn.
pub(super) fn figures(table: &Table) -> Result<Vec<Figure>, BenchError> {
    let systems = systems(table);
    Ok(vec![
        Figure {
            title: "Latency against throughput".into(),
            clock: REAL_TIME,
            reading: curve_reading(table, &systems),
            panels: vec![
                curve_panel(table, &systems, Metric::LatencyP50, "median")?,
                curve_panel(table, &systems, Metric::LatencyP99, "99th percentile")?,
            ],
        },
        Figure {
            title: "The same by cluster size".into(),
            clock: REAL_TIME,
            reading: size_reading(table, &systems),
            panels: replicated(&systems)
                .map(|system| size_panel(table, system))
                .collect::<Result<_, _>>()?,
        },
        percentiles(table, &systems)?,
        ceilings(table, &systems)?,
        costs(table, &systems)?,
        Figure {
            title: "Workloads and sizes of values".into(),
            clock: REAL_TIME,
            reading: workload_reading(table, &systems),
            panels: vec![workload_panel(table, &systems)?, payload_panel(table, &systems)?],
        },
    ])
}

fn systems(table: &Table) -> Vec<String> {
    table.distinct(NAME, |cell| &cell.system)
}

fn replicated(systems: &[String]) -> impl Iterator<Item = &String> {
    systems.iter().filter(|system| !is_floor(system))
}

/// How many faults the clusters tolerate, ascending.
fn faults(table: &Table) -> Vec<usize> {
    let variants = table.distinct(NAME, |cell| &cell.variant);
    (1..).take_while(|faults| variants.contains(&tolerating(*faults))).collect()
}

/// The loads in percent of the peak, ascending.
fn shares(table: &Table) -> Vec<u32> {
    let share = |case: &String| case.strip_prefix("share-")?.parse().ok();
    let cases = table.distinct(NAME, |cell| &cell.case);
    let mut shares: Vec<u32> = cases.iter().filter_map(share).collect();
    shares.sort_unstable();
    shares
}

fn at(system: &str, faults: usize, case: &str) -> Cell {
    Cell::new(NAME, system, &tolerating(faults), case)
}

/// The closed loop at its peak.
fn peak(system: &str, faults: usize) -> Cell {
    at(system, faults, YCSB_A.name)
}

/// Latency over what was answered, for the loads that were kept up with.
fn curve(table: &Table, system: &str, faults: usize, metric: Metric) -> Vec<(f64, Interval)> {
    let point = |share: u32| {
        let cell = at(system, faults, &at_share(share));
        let answered = table.figure(&cell, Metric::Achieved.name())?.median;
        Some((answered, kept(table, &cell, metric)?))
    };
    sorted(shares(table).into_iter().filter_map(point).collect())
}

fn series_of(system: &str, points: Vec<(f64, Interval)>) -> Series {
    let (name, ink, shape) = (display(system), ink_of(system), shape_of(system));
    Series { name, ink, shape, points, is_level: false }
}

fn curve_panel(
    table: &Table,
    systems: &[String],
    metric: Metric,
    name: &str,
) -> Result<String, BenchError> {
    let series = |system: &String| series_of(system, curve(table, system, 1, metric));
    let chart = Lines {
        title: format!("One fault tolerated: {name}"),
        x_axis: "commands answered per second".into(),
        y_axis: format!("latency, {name}, µs"),
        series: systems.iter().map(series).collect(),
    };
    let alt = format!(
        "{name} of latency against throughput, one line for each system; the table has the figures"
    );
    Ok(chart.draw(&alt)?.inline)
}

fn curve_reading(table: &Table, systems: &[String]) -> String {
    let of_system = |system: &String| {
        let cell = |share: u32| at(system, 1, &at_share(share));
        let shares = shares(table);
        let low = *shares.first()?;
        let p50 = kept(table, &cell(low), Metric::LatencyP50)?.median;
        let highest =
            shares.iter().rev().find(|share| saturated(table, &cell(**share)) == Some(false))?;
        let p99 = kept(table, &cell(*highest), Metric::LatencyP99)?.median;
        Some(format!(
            "{} {} at {low} % of its peak; the highest load that it kept up with is {highest} % (99th percentile {})",
            display(system),
            stats::latency(p50),
            stats::latency(p99)
        ))
    };
    let parts: Vec<String> = systems.iter().filter_map(of_system).collect();
    if parts.is_empty() {
        return "No verified figures.".into();
    }
    format!(
        "Median latency: {}. A line ends before the schedule slips; the unreplicated machine is the floor of latency and the ceiling of throughput.",
        parts.join("; ")
    )
}

fn size_panel(table: &Table, system: &str) -> Result<String, BenchError> {
    let looks = [(Ink::Blue, 0), (Ink::Red, 1), (Ink::Green, 2)];
    let series = faults(table).into_iter().zip(looks).map(|(faults, (ink, shape))| Series {
        name: format!("n = {}", replicas(system, faults)),
        ink,
        shape,
        points: curve(table, system, faults, Metric::LatencyP50),
        is_level: false,
    });
    let chart = Lines {
        title: display(system),
        x_axis: "commands answered per second".into(),
        y_axis: "latency, median, µs".into(),
        series: series.collect(),
    };
    let alt = format!("{}: median latency against throughput by replicas", display(system));
    Ok(chart.draw(&alt)?.inline)
}

fn size_reading(table: &Table, systems: &[String]) -> String {
    let Some(largest) = faults(table).last().copied().filter(|faults| *faults > 1) else {
        return "No verified figures.".into();
    };
    let of_system = |system: &String| {
        let throughput =
            |faults| Some(table.figure(&peak(system, faults), Metric::Throughput.name())?.median);
        let share = throughput(largest)? / throughput(1)? * 100.0;
        let (small, large) = (replicas(system, 1), replicas(system, largest));
        Some(format!(
            "{} {} % with {large} instead of {small}",
            display(system),
            three_digits(share)
        ))
    };
    let parts: Vec<String> = replicated(systems).filter_map(of_system).collect();
    if parts.is_empty() {
        return "No verified figures.".into();
    }
    format!("What is left of the peak with more replicas on the same core: {}.", parts.join(", "))
}

fn percentiles(table: &Table, systems: &[String]) -> Result<Figure, BenchError> {
    let all_keep = |share: &u32| {
        let kept =
            |system: &String| saturated(table, &at(system, 1, &at_share(*share))) == Some(false);
        systems.iter().all(kept)
    };
    let shares: Vec<u32> = shares(table).into_iter().filter(all_keep).collect();
    let mut chosen: Vec<u32> = shares.first().into_iter().chain(shares.last()).copied().collect();
    chosen.dedup();
    let panels: Result<Vec<String>, BenchError> =
        chosen.iter().map(|share| percentile_panel(table, systems, *share)).collect();
    Ok(Figure {
        title: "Latency by percentile".into(),
        clock: REAL_TIME,
        reading: percentile_reading(table, systems, chosen.last().copied()),
        panels: panels?,
    })
}

/// Latencies over "one request in so many is slower", as far as there are enough requests.
fn tail(table: &Table, system: &str, share: u32) -> Vec<(f64, Interval)> {
    let cell = at(system, 1, &at_share(share));
    let requests = table.latencies_kept(&cell) as f64;
    let told = |quantile: &f64| requests * (1.0 - quantile) >= 1.0;
    let point = |quantile: f64| Some((1.0 / (1.0 - quantile), table.quantile(&cell, quantile)?));
    QUANTILES.into_iter().filter(told).filter_map(point).collect()
}

fn percentile_panel(table: &Table, systems: &[String], share: u32) -> Result<String, BenchError> {
    let chart = Lines {
        title: format!("At {share} % of each one's peak"),
        x_axis: "one request in so many is slower".into(),
        y_axis: "latency, µs".into(),
        series: systems
            .iter()
            .map(|system| series_of(system, tail(table, system, share)))
            .collect(),
    };
    let alt = format!("Latency by percentile at {share} % of the peak, one line for each system");
    Ok(chart.draw(&alt)?.inline)
}

fn percentile_reading(table: &Table, systems: &[String], share: Option<u32>) -> String {
    let Some(share) = share else { return "No load was kept up with by all.".into() };
    let of_system = |system: &String| {
        let (rarity, latency) = *tail(table, system, share).last()?;
        Some(format!(
            "{} {} for one in {}",
            display(system),
            stats::latency(latency.median),
            short(rarity.round())
        ))
    };
    let parts: Vec<String> = systems.iter().filter_map(of_system).collect();
    if parts.is_empty() {
        return "This run kept no histograms.".into();
    }
    format!(
        "At {share} % of the peak, latency from the intended send time: {}. From the histograms of the run.",
        parts.join(", ")
    )
}

/// What one core for the replicas could answer if it did nothing else than they did at the peak.
fn ceiling(table: &Table, system: &str, faults: usize) -> Option<Interval> {
    let seconds = table.figure(&peak(system, faults), Metric::WorkerCpu.name())?;
    let (median, low, high) = (1e6 / seconds.median, 1e6 / seconds.high, 1e6 / seconds.low);
    Some(Interval { median, low, high, ..seconds })
}

/// The measured peak in percent of the ceiling.
fn percent_of_ceiling(table: &Table, system: &str, faults: usize) -> Option<String> {
    let throughput = table.figure(&peak(system, faults), Metric::Throughput.name())?;
    let percent = throughput.median / ceiling(table, system, faults)?.median * 100.0;
    Some(format!("{} %", three_digits(percent)))
}

fn ceilings(table: &Table, systems: &[String]) -> Result<Figure, BenchError> {
    let line = |system: &String| {
        let measured = table.figure(&peak(system, 1), Metric::Throughput.name());
        let mut points: Vec<(usize, Ink, Interval)> =
            measured.map(|interval| (0, Ink::Blue, interval)).into_iter().collect();
        points.extend(ceiling(table, system, 1).map(|interval| (3, Ink::Grey, interval)));
        let value = percent_of_ceiling(table, system, 1).unwrap_or_else(|| "–".into());
        line_of(display(system), points, value)
    };
    let chart = Horizontal {
        title: "Peak and ceiling, one fault tolerated".into(),
        axis: "commands/s".into(),
        reference: None,
        factors: false,
        lines: systems.iter().map(line).collect(),
        legend: vec![
            (0, Ink::Blue, "measured, closed loop".into()),
            (3, Ink::Grey, "1 core ÷ CPU per command".into()),
        ],
    };
    let alt = format!("Percent of the CPU ceiling: {}", alt_of(&chart.lines));
    let parts: Vec<String> = systems
        .iter()
        .filter_map(|system| {
            Some(format!("{} {}", display(system), percent_of_ceiling(table, system, 1)?))
        })
        .collect();
    let reading = if parts.is_empty() {
        "No verified figures.".into()
    } else {
        format!(
            "The replicas share one core; the ceiling is one second divided by the CPU time that their thread used for a command. Reached: {}.",
            parts.join(", ")
        )
    };
    let title = "How close to the limit of the core?".into();
    Ok(Figure { title, clock: REAL_TIME, reading, panels: vec![chart.draw(&alt)?.inline] })
}

fn line_of(label: String, points: Vec<(usize, Ink, Interval)>, value: String) -> Line {
    let mark = if points.is_empty() {
        Mark::Note("no verified figure".into())
    } else {
        Mark::Points(points)
    };
    Line { label, mark, value, ink: Ink::Text, starts_group: false }
}

fn legend(systems: &[String]) -> Vec<(usize, Ink, String)> {
    systems.iter().map(|system| (shape_of(system), ink_of(system), display(system))).collect()
}

fn costs(table: &Table, systems: &[String]) -> Result<Figure, BenchError> {
    let low = at_share(SHARE_LOW);
    let panels = [
        (Metric::Messages, "messages per command", low.as_str(), "Messages, low load"),
        (Metric::Messages, "messages per command", YCSB_A.name, "Messages, at the peak"),
        (Metric::WireBytes, "bytes per command", low.as_str(), "Bytes, low load"),
        (Metric::WireBytes, "bytes per command", YCSB_A.name, "Bytes, at the peak"),
        (Metric::Cpu, "CPU s per million commands", YCSB_A.name, "CPU, clients included"),
    ];
    let panels: Result<Vec<String>, BenchError> = panels
        .into_iter()
        .map(|(metric, axis, case, title)| {
            let line = |faults: usize| {
                let point = |system: &String| {
                    let figure = table.figure(&at(system, faults, case), metric.name())?;
                    Some((shape_of(system), ink_of(system), figure))
                };
                // Without replicas there are no messages, which a logarithmic scale cannot show.
                let above_zero = |(_, _, figure): &(usize, Ink, Interval)| figure.median > 0.0;
                let points = systems.iter().filter_map(point).filter(above_zero).collect();
                line_of(format!("{faults} tolerated"), points, String::new())
            };
            let chart = Horizontal {
                title: title.into(),
                axis: axis.into(),
                reference: None,
                factors: false,
                lines: faults(table).into_iter().map(line).collect(),
                legend: legend(systems),
            };
            let alt = format!("{title}: {axis} by faults tolerated; the table has the figures");
            Ok(chart.draw(&alt)?.inline)
        })
        .collect();
    Ok(Figure {
        title: "Messages, bytes and CPU for each command, by faults tolerated".into(),
        clock: REAL_TIME,
        reading: cost_reading(table, systems),
        panels: panels?,
    })
}

fn cost_reading(table: &Table, systems: &[String]) -> String {
    let figure = |system: &String, faults, case: &str, metric: Metric| {
        Some(short(table.figure(&at(system, faults, case), metric.name())?.median))
    };
    let largest = faults(table).last().copied().unwrap_or(1);
    let low = at_share(SHARE_LOW);
    let of_system = |system: &String| {
        Some(format!(
            "{} {} at low load and {} at the peak ({} with {} replicas), {} bytes and {} CPU seconds per million at the peak",
            display(system),
            figure(system, 1, &low, Metric::Messages)?,
            figure(system, 1, YCSB_A.name, Metric::Messages)?,
            figure(system, largest, YCSB_A.name, Metric::Messages)?,
            replicas(system, largest),
            figure(system, 1, YCSB_A.name, Metric::WireBytes)?,
            figure(system, 1, YCSB_A.name, Metric::Cpu)?,
        ))
    };
    let parts: Vec<String> = replicated(systems).filter_map(of_system).collect();
    if parts.is_empty() {
        return "No verified figures.".into();
    }
    format!("Messages per command: {}.", parts.join("; "))
}

/// The cases that are loaded in closed loop, in order, without those over sizes of values.
fn workload_cases(table: &Table) -> Vec<String> {
    let mut cases = table.distinct(NAME, |cell| &cell.case);
    cases.retain(|case| !case.starts_with("share-") && !case.starts_with("json-"));
    cases
}

fn workload_panel(table: &Table, systems: &[String]) -> Result<String, BenchError> {
    let line = |case: String| {
        let point = |system: &String| {
            let figure = table.figure(&at(system, 1, &case), Metric::Throughput.name())?;
            Some((shape_of(system), ink_of(system), figure))
        };
        let points = systems.iter().filter_map(point).collect();
        line_of(case.clone(), points, String::new())
    };
    let chart = Horizontal {
        title: "Throughput by workload".into(),
        axis: "commands/s, closed loop".into(),
        reference: None,
        factors: false,
        lines: workload_cases(table).into_iter().map(line).collect(),
        legend: legend(systems),
    };
    Ok(chart.draw("Throughput by workload and system; the table has the figures")?.inline)
}

fn payload_points(table: &Table, system: &str) -> Vec<(f64, Interval)> {
    let point = |bytes: usize| {
        let figure = table.figure(&at(system, 1, sized(bytes)), Metric::Throughput.name())?;
        Some((bytes as f64, figure))
    };
    PAYLOAD_BYTES.into_iter().filter_map(point).collect()
}

fn payload_panel(table: &Table, systems: &[String]) -> Result<String, BenchError> {
    let series = |system: &String| series_of(system, payload_points(table, system));
    let chart = Lines {
        title: "Throughput by size of values".into(),
        x_axis: "bytes of a value".into(),
        y_axis: "commands/s, closed loop".into(),
        series: systems.iter().map(series).collect(),
    };
    Ok(chart.draw("Throughput against the size of values, one line for each system")?.inline)
}

fn workload_reading(table: &Table, systems: &[String]) -> String {
    let ratios = |first: &str, second: &str| {
        let ratio = |system: &String| {
            let throughput =
                |case| Some(table.figure(&at(system, 1, case), Metric::Throughput.name())?.median);
            Some(throughput(first)? / throughput(second)?)
        };
        let ratios: Vec<f64> = replicated(systems).filter_map(ratio).collect();
        span(&ratios, stats::change)
    };
    let parts = [
        ratios("ycsb-c", "write-only")
            .map(|change| format!("reads only against writes only {change}")),
        ratios("ycsb-a-uniform", YCSB_A.name)
            .map(|change| format!("even keys against Zipf {change}")),
        ratios(sized(16 << 10), sized(16))
            .map(|change| format!("16 KiB against 16 bytes {change}")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        return "No verified figures.".into();
    }
    format!("Over the protocols, in commands per second: {}.", parts.join("; "))
}

#[cfg(test)]
mod tests;

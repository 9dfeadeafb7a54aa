//! Batching in the report: the curve over sizes, policies against load, and whether the policy that
//! ships loses to no batching at low load.

use crate::error::BenchError;
use crate::experiment::batching::{SHARE_LOW_MAX, at_load, load_of};
use crate::metric::Metric;
use crate::report::canvas::Ink;
use crate::report::chart::{Horizontal, Line, Lines, Mark, Series};
use crate::report::figures::{Figure, REAL_TIME, alt_of, ink_of, shape_of};
use crate::report::schedules::{self, points, saturated};
use crate::report::tables::{TableView, is_floor, marked_change, proof};
use crate::report::words::{display, span, with_interval};
use crate::rows::{Table, UNBATCHED_VARIANT};
use crate::run::Cell;
use crate::stats::{Interval, three_digits};

const NAME: &str = "batching";
/// The policy that ships.
const SHIPPED: &str = "adaptive";

/// The figures.
///
/// # Errors
/// When a plot cannot be drawn.
pub(super) fn figures(table: &Table) -> Result<Vec<Figure>, BenchError> {
    let mut figures = vec![sizes(table)?];
    if loads(table).is_empty() {
        // An older run: sizes alone.
        return Ok(figures);
    }
    for (metric, name) in
        [(Metric::LatencyP50, "Median latency"), (Metric::LatencyP99, "99th percentile")]
    {
        figures.push(Figure {
            title: format!("{name} by policy and load"),
            clock: REAL_TIME,
            reading: policy_reading(table, metric),
            panels: panels(table, |system| policy_panel(table, system, metric, name))?,
        });
    }
    figures.push(Figure {
        title: "What each policy answers in time".into(),
        clock: REAL_TIME,
        reading: answered_reading(table),
        panels: panels(table, |system| answered_panel(table, system))?,
    });
    figures.push(low_load(table)?);
    Ok(figures)
}

/// The tables.
pub(super) fn tables(table: &Table) -> Vec<TableView> {
    let mut views = vec![size_table(table)];
    if !loads(table).is_empty() {
        views.push(low_load_table(table));
        views.push(policy_table(table));
    }
    views
}

/// What the terminal shows.
pub(super) fn summary(table: &Table) -> Vec<TableView> {
    tables(table).into_iter().take(2).collect()
}

/// The loads in percent, ascending.
fn loads(table: &Table) -> Vec<u32> {
    let mut loads: Vec<u32> =
        table.distinct(NAME, |cell| &cell.case).iter().filter_map(|case| load_of(case)).collect();
    loads.sort_unstable();
    loads
}

/// The systems that meet schedules.
fn systems(table: &Table) -> Vec<String> {
    let mut systems = table.distinct(NAME, |cell| &cell.system);
    systems.retain(|system| !is_floor(system));
    systems
}

fn policies(table: &Table) -> Vec<String> {
    let mut policies = table.distinct(NAME, |cell| &cell.variant);
    // The curve over sizes.
    policies.retain(|policy| policy != "fixed");
    policies
}

fn panels(
    table: &Table,
    draw: impl Fn(&str) -> Result<String, BenchError>,
) -> Result<Vec<String>, BenchError> {
    systems(table).iter().map(|system| draw(system)).collect()
}

fn sizes(table: &Table) -> Result<Figure, BenchError> {
    let cases = table.distinct(NAME, |cell| &cell.case);
    let mut series: Vec<Series> = Vec::new();
    let mut gains = Vec::new();
    for system in &table.distinct(NAME, |cell| &cell.system) {
        let point = |case: &String| {
            let size: f64 = case.strip_prefix("batch-")?.parse().ok()?;
            let cell = Cell::new(NAME, system, "fixed", case);
            Some((size, table.figure(&cell, Metric::Throughput.name())?))
        };
        let points: Vec<(f64, Interval)> = cases.iter().filter_map(point).collect();
        if let (Some(first), Some(last), false) = (points.first(), points.last(), is_floor(system))
        {
            gains.push(last.1.median / first.1.median);
        }
        let (name, ink, shape) = (display(system), ink_of(system), shape_of(system));
        series.push(Series { name, ink, shape, points, is_level: false });
    }
    let chart = Lines {
        title: "Throughput by batch size".into(),
        x_axis: "commands per batch, at most".into(),
        y_axis: "commands/s, closed loop".into(),
        series,
    };
    let alt =
        "Throughput against batch size, one line for each protocol; the table has the figures";
    let reading = span(&gains, |gain| format!("×{}", three_digits(gain))).map_or_else(
        || "No verified figures.".into(),
        |gain| format!("From the smallest to the largest batch throughput changes by {gain}; the grey line is the unreplicated machine with the same batches, the ceiling of the others."),
    );
    let title = "How large should a batch be?".into();
    Ok(Figure { title, clock: REAL_TIME, reading, panels: vec![chart.draw(alt)?.inline] })
}

/// A policy's short name, colour and shape.
fn look_of(policy: &str) -> (&str, Ink, usize) {
    match policy {
        UNBATCHED_VARIANT => ("one by one", Ink::Grey, 3),
        SHIPPED => ("adaptive", Ink::Blue, 0),
        "adaptive-linger-200us" => ("… + 200 µs", Ink::Green, 2),
        "fixed-64-1ms" => ("64 or 1 ms", Ink::Red, 1),
        "fixed-512-5ms" => ("512 or 5 ms", Ink::Purple, 1),
        other => (other, Ink::Text, 3),
    }
}

/// A policy in the words of tables.
fn in_words(policy: &str) -> &str {
    match policy {
        UNBATCHED_VARIANT => "one by one",
        SHIPPED => "adaptive (ships)",
        "adaptive-linger-200us" => "adaptive, up to 200 µs behind others",
        "fixed-64-1ms" => "64 commands or 1 ms",
        "fixed-512-5ms" => "512 commands or 5 ms",
        other => other,
    }
}

fn cells(table: &Table, system: &str, policy: &str) -> Vec<Cell> {
    let cell = |load| Cell::new(NAME, system, policy, &at_load(load));
    loads(table).into_iter().map(cell).collect()
}

fn policy_panel(
    table: &Table,
    system: &str,
    metric: Metric,
    name: &str,
) -> Result<String, BenchError> {
    let series = |policy: String| {
        let points = points(table, &cells(table, system, &policy), metric);
        let (name, ink, shape) = look_of(&policy);
        Series { name: name.into(), ink, shape, points, is_level: false }
    };
    let chart = Lines {
        title: display(system),
        x_axis: "commands due per second".into(),
        y_axis: format!("{}, µs", name.to_lowercase()),
        series: policies(table).into_iter().map(series).collect(),
    };
    let alt = format!(
        "{}: {} against load, one line for each policy; the table has the figures",
        display(system),
        name.to_lowercase()
    );
    Ok(chart.draw(&alt)?.inline)
}

fn policy_reading(table: &Table, metric: Metric) -> String {
    let Some(lowest) = loads(table).first().copied() else { return "No verified figures.".into() };
    let at_lowest = |policy: String| {
        let figure = |system: &String| {
            let cell = Cell::new(NAME, system, &policy, &at_load(lowest));
            Some(schedules::kept(table, &cell, metric)?.median)
        };
        let figures: Vec<f64> = systems(table).iter().filter_map(figure).collect();
        Some(format!("{} {}", in_words(&policy), span(&figures, crate::stats::latency)?))
    };
    let parts: Vec<String> = policies(table).into_iter().filter_map(at_lowest).collect();
    if parts.is_empty() {
        return "No verified figures.".into();
    }
    format!(
        "At {lowest} % of the peak, over the protocols: {}. A line ends where the schedule slips.",
        parts.join("; ")
    )
}

fn answered_panel(table: &Table, system: &str) -> Result<String, BenchError> {
    let series = |policy: String| {
        let point = |cell: &Cell| {
            let offered = table.figure(cell, Metric::Offered.name())?.median;
            Some((offered, table.figure(cell, Metric::Achieved.name())?))
        };
        let of_policy = cells(table, system, &policy);
        let points = schedules::sorted(of_policy.iter().filter_map(point).collect());
        let (name, ink, shape) = look_of(&policy);
        Series { name: name.into(), ink, shape, points, is_level: false }
    };
    let chart = Lines {
        title: display(system),
        x_axis: "commands due per second".into(),
        y_axis: "answered per second".into(),
        series: policies(table).into_iter().map(series).collect(),
    };
    let alt = format!(
        "{}: commands answered in time against those due, one line for each policy",
        display(system)
    );
    Ok(chart.draw(&alt)?.inline)
}

fn answered_reading(table: &Table) -> String {
    let first_slip = |system: &String| {
        let cells = cells(table, system, UNBATCHED_VARIANT);
        let slipped = cells.iter().find(|cell| saturated(table, cell) == Some(true))?;
        let load = load_of(&slipped.case)?;
        Some(format!("{} at {load} %", display(system)))
    };
    let slips: Vec<String> = systems(table).iter().filter_map(first_slip).collect();
    if slips.is_empty() {
        return "No load was too high for commands one by one.".into();
    }
    format!(
        "Commands one by one first fall behind, in percent of what the shipped policy reaches: {}.",
        slips.join(", ")
    )
}

/// The ratio of the shipped policy's latency to that of no batching.
fn ratio(table: &Table, system: &str, load: u32, metric: &str) -> Option<Interval> {
    let cell = |variant: &str| Cell::new(NAME, system, variant, &at_load(load));
    let both = [SHIPPED, UNBATCHED_VARIANT];
    let told = both.iter().all(|variant| saturated(table, &cell(variant)) == Some(false));
    table.figure(&cell(SHIPPED), metric).filter(|_| told)
}

const RATIOS: [(&str, &str); 2] =
    [("latency_p50_vs_unbatched", "p50"), ("latency_p99_vs_unbatched", "p99")];

fn low_loads(table: &Table) -> Vec<u32> {
    loads(table).into_iter().filter(|load| *load <= SHARE_LOW_MAX).collect()
}

fn low_load(table: &Table) -> Result<Figure, BenchError> {
    let mut lines = Vec::new();
    for system in systems(table) {
        for (place, (load, (metric, name))) in low_loads(table)
            .into_iter()
            .flat_map(|load| RATIOS.map(|ratio| (load, ratio)))
            .enumerate()
        {
            let label = format!("{}, {load} %, {name}", display(&system));
            lines.push(ratio_line(label, ratio(table, &system, load, metric), place == 0));
        }
    }
    let chart = Horizontal {
        title: "Adaptive against one by one".into(),
        axis: "latency, as a factor of no batching".into(),
        reference: Some(1.0),
        factors: true,
        lines,
        legend: Vec::new(),
    };
    let alt = format!("Latency of adaptive batching over none: {}", alt_of(&chart.lines));
    Ok(Figure {
        title: "Does adaptive batching cost anything at low load?".into(),
        clock: REAL_TIME,
        reading: low_load_reading(table),
        panels: vec![chart.draw(&alt)?.inline],
    })
}

fn ratio_line(label: String, figure: Option<Interval>, starts_group: bool) -> Line {
    let Some(interval) = figure else {
        let mark = Mark::Note("no verified figure".into());
        return Line { label, mark, value: "–".into(), ink: Ink::Faint, starts_group };
    };
    let ink = match interval {
        undecided if undecided.may_be(1.0) => Ink::Grey,
        slower if slower.median > 1.0 => Ink::Red,
        _ => Ink::Blue,
    };
    let value = marked_change(interval.median, interval.may_be(1.0));
    Line { label, mark: Mark::Bar(interval), value, ink, starts_group }
}

/// Whether the shipped policy lost: its latency is above that of no batching, beyond the interval.
fn lost(ratio: Interval) -> bool {
    ratio.median > 1.0 && !ratio.may_be(1.0)
}

fn low_load_reading(table: &Table) -> String {
    let (mut compared, mut losses) = (0, Vec::new());
    for system in systems(table) {
        for load in low_loads(table) {
            for (metric, name) in RATIOS {
                let Some(ratio) = ratio(table, &system, load, metric) else { continue };
                compared += 1;
                if lost(ratio) {
                    let by = crate::stats::change(ratio.median);
                    losses.push(format!("{} {name} at {load} % by {by}", display(&system)));
                }
            }
        }
    }
    match (compared, losses.is_empty()) {
        (0, _) => "No verified figures.".into(),
        (_, true) => {
            format!("Adaptive loses to no batching in none of {compared} comparisons at low load.")
        }
        (_, false) => format!(
            "Adaptive loses to no batching in {} of {compared} comparisons at low load: {}.",
            losses.len(),
            losses.join(", ")
        ),
    }
}

fn low_load_table(table: &Table) -> TableView {
    let mut rows = Vec::new();
    for system in systems(table) {
        for load in low_loads(table) {
            let ratios = RATIOS.map(|(metric, _)| ratio(table, &system, load, metric));
            let verdict = match ratios {
                [Some(p50), Some(p99)] if lost(p50) || lost(p99) => "yes",
                [Some(p50), Some(p99)] if p50.may_be(1.0) && p99.may_be(1.0) => {
                    "no (not told apart)"
                }
                [Some(_), Some(_)] => "no",
                _ => "no verified figure, or one of them saturated",
            };
            let mut row = vec![display(&system), format!("{load} %")];
            row.extend(ratios.map(|ratio| ratio.map_or_else(|| "–".into(), with_interval)));
            row.push(verdict.into());
            row.push(proof(table, &Cell::new(NAME, &system, SHIPPED, &at_load(load))));
            rows.push(row);
        }
    }
    TableView {
        caption: "Adaptive against commands one by one at low load: latency as a factor".into(),
        header: ["system", "load", "p50", "p99", "adaptive lost", "proof"]
            .map(str::to_owned)
            .into(),
        rows,
    }
}

fn policy_table(table: &Table) -> TableView {
    let mut rows = Vec::new();
    for system in systems(table) {
        for load in loads(table) {
            for policy in policies(table) {
                let cell = Cell::new(NAME, &system, &policy, &at_load(load));
                let mut row = vec![display(&system), format!("{load} %"), in_words(&policy).into()];
                row.extend(schedules::columns(table, &cell));
                rows.push(row);
            }
        }
    }
    let header = ["system", "load", "policy"].into_iter().chain(schedules::HEADER);
    TableView {
        caption: "Policies by load, in percent of what the shipped policy reaches in closed loop"
            .into(),
        header: header.map(str::to_owned).collect(),
        rows,
    }
}

fn size_table(table: &Table) -> TableView {
    let systems = table.distinct(NAME, |cell| &cell.system);
    let row = |case: &String| {
        let mut row = vec![case.strip_prefix("batch-")?.to_owned()];
        row.extend(systems.iter().map(|system| {
            let cell = Cell::new(NAME, system, "fixed", case);
            match table.figure(&cell, Metric::Throughput.name()) {
                Some(interval) => with_interval(interval),
                None => proof(table, &cell),
            }
        }));
        Some(row)
    };
    let mut header = vec!["commands per batch, at most".to_owned()];
    header.extend(systems.iter().map(|system| format!("{}, commands/s", display(system))));
    TableView {
        caption: "Throughput by batch size".into(),
        header,
        rows: table.distinct(NAME, |cell| &cell.case).iter().filter_map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Sample;
    use crate::testing::sample;

    /// Raft at 1 % load; adaptive's median is `factor` times that of no batching.
    fn samples(factor: f64) -> Vec<Sample> {
        let mut samples = Vec::new();
        for repetition in 1..=5 {
            for (policy, factor) in [(UNBATCHED_VARIANT, 1.0), (SHIPPED, factor)] {
                let values = [
                    (Metric::Offered, 1000.0),
                    (Metric::Achieved, 999.0),
                    (Metric::LatencyP50, 50.0 * factor),
                    (Metric::LatencyP99, 90.0),
                ];
                let cell = Cell::new(NAME, "raft", policy, &at_load(1));
                samples.push(sample(cell, repetition, &values));
            }
        }
        samples
    }

    #[test]
    fn a_loss_at_low_load_is_said_with_its_size() {
        let table = Table::new(&samples(1.2));
        let reading = low_load_reading(&table);
        assert_eq!(
            reading,
            "Adaptive loses to no batching in 1 of 2 comparisons at low load: Raft p50 at 1 % by +20 %."
        );
        assert_eq!(low_load_table(&table).rows[0][4], "yes");
    }

    #[test]
    fn no_loss_is_claimed_where_there_is_none() {
        for (factor, verdict) in [(1.0, "no (not told apart)"), (0.8, "no")] {
            let table = Table::new(&samples(factor));
            assert!(low_load_reading(&table).contains("in none of 2"), "{factor}");
            assert_eq!(low_load_table(&table).rows[0][4], verdict);
        }
    }

    #[test]
    fn a_saturated_side_is_no_comparison_and_its_latencies_are_bounds() {
        let mut samples = samples(1.2);
        for sample in samples.iter_mut().filter(|s| s.cell.variant == UNBATCHED_VARIANT) {
            sample.values.insert(Metric::Achieved, 900.0);
        }
        let table = Table::new(&samples);
        assert_eq!(low_load_reading(&table), "No verified figures.");
        let cell = Cell::new(NAME, "raft", UNBATCHED_VARIANT, &at_load(1));
        let columns = schedules::columns(&table, &cell);
        assert_eq!((columns[1].as_str(), columns[3].as_str()), ("900 (saturated)", "≥ 50.0 µs"));
        assert!(points(&table, &[cell], Metric::LatencyP50).is_empty());
    }

    #[test]
    fn every_figure_of_a_run_with_schedules_has_its_panels() {
        let table = Table::new(&samples(1.0));
        let figures = figures(&table).unwrap();
        assert_eq!(figures.len(), 5);
        assert!(figures.iter().all(|figure| !figure.panels.is_empty()));
    }
}

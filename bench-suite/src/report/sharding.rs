//! The report on sharding: throughput against groups, the balance of balancers, servers behind them.

use crate::error::BenchError;
use crate::experiment::sharding::balance::Skew;
use crate::experiment::sharding::balancer::ALGORITHMS;
use crate::experiment::sharding::service::{OFFERED, SERVERS, Servers};
use crate::experiment::sharding::{ONE_THREAD, THREAD_PER_CORE};
use crate::metric::Metric;
use crate::report::canvas::Ink;
use crate::report::chart::{Horizontal, Line, Lines, Mark, Series};
use crate::report::figures::{Figure, REAL_TIME, alt_of, ink_of, shape_of};
use crate::report::stack::Stacks;
use crate::report::tables::{TableView, marked_change, proof};
use crate::report::words::{display, span, with_interval};
use crate::rows::{FLOOR_SYSTEM, Table};
use crate::run::Cell;
use crate::stats::{Interval, change, short, three_digits};

const NAME: &str = "sharding";
/// Nodes of the plots; tables have the others.
const NODES: usize = 16;
const CALCULATED: &str = "calculated from seeds, no clock";
const CPU_TIME: &str = "real time, CPU clock of one thread";
const VIRTUAL_TIME: &str = "virtual time, queueing simulation";

/// The four skews, each with its shape and ink.
const MARKS: [(usize, Ink); 4] = [(0, Ink::Blue), (1, Ink::Green), (2, Ink::Purple), (3, Ink::Red)];

fn cell(system: &str, variant: &str, case: &str) -> Cell {
    Cell::new(NAME, system, variant, case)
}

/// A figure; percentiles only where the load that they belong to is sustained. Where it is not in
/// most repetitions, those few in which it was would tell too good a tale.
fn figure(table: &Table, cell: &Cell, metric: Metric) -> Option<Interval> {
    let is_percentile = matches!(metric, Metric::ServiceP50 | Metric::ServiceP99);
    let sustains = || {
        let sustained = table.figure(cell, Metric::Sustained.name());
        sustained.is_some_and(|sustained| sustained.median > OFFERED * 100.0)
    };
    (!is_percentile || sustains()).then(|| table.figure(cell, metric.name())).flatten()
}

fn balancers() -> impl Iterator<Item = &'static str> {
    ALGORITHMS.into_iter().map(|algorithm| algorithm.name())
}

/// The systems whose groups were measured.
fn systems(table: &Table) -> Vec<String> {
    let mut systems = table.distinct(NAME, |cell| &cell.system);
    systems.retain(|system| balancers().all(|balancer| balancer != system));
    systems
}

/// How many groups a case has.
fn groups_of(case: &str) -> Option<u32> {
    case.strip_prefix("groups-")?.parse().ok()
}

/// The figures of the experiment.
///
/// # Errors
/// When a plot cannot be drawn.
pub(super) fn figures(table: &Table) -> Result<Vec<Figure>, BenchError> {
    let mut figures = Vec::new();
    if !systems(table).is_empty() {
        figures.push(groups(table)?);
    }
    let balance = format!("balance-{NODES}");
    if table.distinct(NAME, |cell| &cell.case).contains(&balance) {
        figures.extend([
            histogram(table, &balance)?,
            imbalance(table, &balance)?,
            moved(table, &balance)?,
            lookup(table)?,
            service(table)?,
        ]);
    }
    Ok(figures)
}

fn groups(table: &Table) -> Result<Figure, BenchError> {
    let systems = systems(table);
    let panel = |variant: &str, title: &str| {
        let series = |system: &String| Series {
            name: display(system),
            ink: ink_of(system),
            shape: shape_of(system),
            points: group_points(table, system, variant, Metric::Throughput.name()),
            is_level: false,
        };
        let chart = Lines {
            title: title.into(),
            x_axis: "groups over the same replicas".into(),
            y_axis: "commands/s, closed loop".into(),
            series: systems.iter().map(series).collect(),
        };
        let alt = format!("{title}: commands per second against groups; the table has the figures");
        Ok::<_, BenchError>(chart.draw(&alt)?.inline)
    };
    let panels =
        vec![panel(ONE_THREAD, "One thread")?, panel(THREAD_PER_CORE, "A thread for each core")?];
    let changes = |variant: &str| {
        let last = |system: &&String| {
            let points = group_points(table, system, variant, "throughput_vs_one_group");
            points.last().map(|(_, ratio)| ratio.median)
        };
        let protocols = systems.iter().filter(|system| *system != FLOOR_SYSTEM);
        span(&protocols.filter_map(|system| last(&system)).collect::<Vec<_>>(), change)
    };
    let most = table.distinct(NAME, |cell| &cell.case).iter().filter_map(|c| groups_of(c)).max();
    let reading = match (changes(ONE_THREAD), changes(THREAD_PER_CORE), most) {
        (Some(one), Some(many), Some(most)) => format!(
            "From one group to {most}, throughput changes by {one} over the protocols on one thread, where batches only get thinner, and by {many} with a thread for each core. The grey line is the floor: the unreplicated machine with as many groups."
        ),
        _ => "No verified figures.".into(),
    };
    let title = "What do more groups buy on this machine?".into();
    Ok(Figure { title, clock: REAL_TIME, reading, panels })
}

fn group_points(table: &Table, system: &str, variant: &str, metric: &str) -> Vec<(f64, Interval)> {
    let cases = table.distinct(NAME, |cell| &cell.case);
    let point = |case: &String| {
        let figure = table.figure(&cell(system, variant, case), metric)?;
        Some((f64::from(groups_of(case)?), figure))
    };
    cases.iter().filter_map(point).collect()
}

fn histogram(table: &Table, case: &str) -> Result<Figure, BenchError> {
    let classes = [
        Metric::NodesBelow50,
        Metric::NodesBelow90,
        Metric::NodesNear,
        Metric::NodesAbove110,
        Metric::NodesAbove150,
    ];
    let panel = |skew: Skew| {
        let bar = |balancer: &'static str| {
            let cell = cell(balancer, skew.name(), case);
            // Means, because medians of classes need not add up to a whole.
            let shares: Vec<f64> =
                classes.iter().filter_map(|class| table.mean(&cell, *class)).collect();
            let worst = table.figure(&cell, Metric::Imbalance.name())?;
            let words = format!("max ×{}", three_digits(worst.median));
            Some((balancer.to_owned(), shares.try_into().ok()?, words))
        };
        let chart = Stacks {
            title: format!("{NODES} nodes, {} keys", skew.name()),
            axis: "% of nodes, by their load relative to the mean".into(),
            classes: ["< 50 %", "< 90 %", "± 10 %", "> 110 %", "> 150 %"],
            bars: balancers().filter_map(bar).collect(),
        };
        let alt = format!(
            "Nodes by load, {} keys: {}",
            skew.name(),
            chart
                .bars
                .iter()
                .map(|(name, _, worst)| format!("{name} {worst}"))
                .collect::<Vec<_>>()
                .join(", ")
        );
        Ok::<_, BenchError>(chart.draw(&alt)?.inline)
    };
    let near = |skew: Skew| {
        let is_even = |balancer: &&str| {
            let cell = cell(balancer, skew.name(), case);
            let worst = table.figure(&cell, Metric::Imbalance.name());
            worst.is_some_and(|worst| worst.median < 1.5)
        };
        let even: Vec<&str> = balancers().filter(is_even).collect();
        if even.is_empty() { "none".to_owned() } else { even.join(", ") }
    };
    let reading = format!(
        "Balancers that give no node more than half as much again as the mean: with uniform keys {}; with {} keys {}.",
        near(Skew::Uniform),
        Skew::Ycsb.name(),
        near(Skew::Ycsb)
    );
    Ok(Figure {
        title: "How evenly are nodes loaded?".into(),
        clock: CALCULATED,
        reading,
        panels: vec![panel(Skew::Uniform)?, panel(Skew::Ycsb)?],
    })
}

/// A panel with a line for each balancer and a point for each of `columns`: variant, case, words.
fn points_panel(
    table: &Table,
    metric: Metric,
    (title, axis): (&str, &str),
    columns: &[(String, String, String)],
) -> Result<(String, Vec<Line>), BenchError> {
    let line = |balancer: &'static str| {
        let point = |(place, (variant, case, _)): (usize, &(String, String, String))| {
            let figure = figure(table, &cell(balancer, variant, case), metric)?;
            let (shape, ink) = MARKS[place % MARKS.len()];
            Some((shape, ink, figure))
        };
        let points: Vec<_> = columns.iter().enumerate().filter_map(point).collect();
        let first = points.first().map(|(_, _, figure)| short(figure.median))?;
        // A figure beside several points would leave open whose it is.
        let value = if columns.len() == 1 { first } else { String::new() };
        let (mark, ink) = (Mark::Points(points), Ink::Text);
        Some(Line { label: balancer.into(), mark, value, ink, starts_group: false })
    };
    let legend = |(place, (_, _, words)): (usize, &(String, String, String))| {
        let (shape, ink) = MARKS[place % MARKS.len()];
        (shape, ink, words.clone())
    };
    let chart = Horizontal {
        title: title.into(),
        axis: axis.into(),
        reference: None,
        factors: false,
        lines: balancers().filter_map(line).collect(),
        legend: columns.iter().enumerate().map(legend).collect(),
    };
    let alt = if columns.len() == 1 {
        format!("{title}, {axis}: {}", alt_of(&chart.lines))
    } else {
        format!("{title}, {axis}, for each balancer; the table has the figures")
    };
    Ok((chart.draw(&alt)?.inline, chart.lines))
}

fn skews(case: &str) -> Vec<(String, String, String)> {
    Skew::ALL
        .map(|skew| (skew.name().to_owned(), case.to_owned(), skew.name().replace('-', " ")))
        .into()
}

fn imbalance(table: &Table, case: &str) -> Result<Figure, BenchError> {
    let axis = "load of the most loaded node over the mean";
    let columns = skews(case);
    let (panel, _) = points_panel(table, Metric::Imbalance, ("Load imbalance", axis), &columns)?;
    let figure = |balancer: &str, skew: Skew| {
        table.figure(&cell(balancer, skew.name(), case), Metric::Imbalance.name())
    };
    let words = |interval: Option<Interval>| {
        interval.map_or_else(
            || "–".into(),
            |i| {
                format!(
                    "×{} ({} to {})",
                    three_digits(i.median),
                    three_digits(i.low),
                    three_digits(i.high)
                )
            },
        )
    };
    let reading = format!(
        "With zipf 1.2 the most loaded of {NODES} nodes has {} of the mean by slots, {} with bounded loads, {} with the fewest outstanding: no placement that keeps a key in one place can spread a hot key.",
        words(figure("slot table", Skew::Strong)),
        words(figure("bounded loads", Skew::Strong)),
        words(figure("least outstanding", Skew::Strong)),
    );
    let title = "What does skew do to the balance?".into();
    Ok(Figure { title, clock: CALCULATED, reading, panels: vec![panel] })
}

fn moved(table: &Table, case: &str) -> Result<Figure, BenchError> {
    let uniform = Skew::Uniform.name();
    let columns = [(uniform.to_owned(), case.to_owned(), "keys that move".to_owned())];
    let axis = "% of keys with another node";
    let (join, joins) =
        points_panel(table, Metric::MovedJoin, ("When a node joins", axis), &columns)?;
    let (leave, _) =
        points_panel(table, Metric::MovedLeave, ("When a node leaves", axis), &columns)?;
    let ideal = 100.0 / (NODES as f64 + 1.0);
    let near = |line: &&Line| match &line.mark {
        Mark::Points(points) => points.iter().all(|(_, _, moved)| moved.median < 1.25 * ideal),
        _ => false,
    };
    let minimal: Vec<&str> = joins.iter().filter(near).map(|line| line.label.as_str()).collect();
    let reading = format!(
        "One of {} nodes should take {} % of the keys. Within a quarter of that: {}. Balancers that ignore keys are not shown: nothing has a home there.",
        NODES + 1,
        three_digits(ideal),
        if minimal.is_empty() { "none".into() } else { minimal.join(", ") }
    );
    let title = "How many keys move?".into();
    Ok(Figure { title, clock: CALCULATED, reading, panels: vec![join, leave] })
}

fn lookup(table: &Table) -> Result<Figure, BenchError> {
    let sizes = sizes(table, "lookup-");
    let column =
        |nodes: &u32| ("cpu-time".to_owned(), format!("lookup-{nodes}"), format!("{nodes} nodes"));
    let columns: Vec<_> = sizes.iter().map(column).collect();
    let axis = "ns of CPU time for one choice";
    let (panel, _) = points_panel(table, Metric::LookupTime, ("Cost of a choice", axis), &columns)?;
    let most = sizes.last().copied().unwrap_or_default();
    let cost = |balancer: &'static str| {
        let cell = cell(balancer, "cpu-time", &format!("lookup-{most}"));
        Some((balancer, table.figure(&cell, Metric::LookupTime.name())?.median))
    };
    let costs: Vec<(&str, f64)> = balancers().filter_map(cost).collect();
    let cheapest = costs.iter().min_by(|a, b| a.1.total_cmp(&b.1));
    let dearest = costs.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    let reading = match (cheapest, dearest) {
        (Some((low, least)), Some((high, most_ns))) => format!(
            "Among {most} nodes a choice takes from {} ns ({low}) to {} ns ({high}).",
            three_digits(*least),
            three_digits(*most_ns)
        ),
        _ => "No verified figures.".into(),
    };
    let title = "What does a choice cost?".into();
    Ok(Figure { title, clock: CPU_TIME, reading, panels: vec![panel] })
}

/// The node counts of the cases that start with `prefix`, ascending.
fn sizes(table: &Table, prefix: &str) -> Vec<u32> {
    let cases = table.distinct(NAME, |cell| &cell.case);
    let mut sizes: Vec<u32> =
        cases.iter().filter_map(|case| case.strip_prefix(prefix)?.parse().ok()).collect();
    sizes.sort_unstable();
    sizes
}

fn service(table: &Table) -> Result<Figure, BenchError> {
    let equal = Servers::Equal.case();
    let slow = Servers::OneSlow.case();
    let uniform = || Skew::Uniform.name().to_owned();
    let axis = "% of the capacity of 16 servers";
    let (by_skew, _) =
        points_panel(table, Metric::Sustained, ("Sustained, equal servers", axis), &skews(&equal))?;
    let columns = [
        (uniform(), equal.clone(), "equal servers".to_owned()),
        (uniform(), slow.clone(), "one of half the speed".to_owned()),
    ];
    let (by_speed, _) =
        points_panel(table, Metric::Sustained, ("Sustained, uniform keys", axis), &columns)?;
    let axis = format!("p99 at {} % load, in mean service times", three_digits(OFFERED * 100.0));
    let (tail, _) =
        points_panel(table, Metric::ServiceP99, ("Tail latency", &axis), &skews(&equal))?;
    let sustained = |balancer: &str, skew: Skew, case: &str| {
        table
            .figure(&cell(balancer, skew.name(), case), Metric::Sustained.name())
            .map_or_else(|| "–".into(), |i| format!("{} %", three_digits(i.median)))
    };
    let reading = format!(
        "Of the capacity of {SERVERS} servers the slot table sustains {} with uniform keys and {} with zipf 0.99, bounded loads {}, the fewest outstanding {}. Where the load is not sustained there is no tail to show. With one slow server round robin sustains {}, the fewest outstanding {}.",
        sustained("slot table", Skew::Uniform, &equal),
        sustained("slot table", Skew::Ycsb, &equal),
        sustained("bounded loads", Skew::Ycsb, &equal),
        sustained("least outstanding", Skew::Ycsb, &equal),
        sustained("round robin", Skew::Uniform, &slow),
        sustained("least outstanding", Skew::Uniform, &slow),
    );
    let title = "What does the balancer do to throughput and tail latency?".into();
    Ok(Figure { title, clock: VIRTUAL_TIME, reading, panels: vec![by_skew, by_speed, tail] })
}

/// The tables of the experiment.
pub(super) fn tables(table: &Table) -> Vec<TableView> {
    let views = [groups_table(table), balance_table(table), service_table(table)];
    views.into_iter().filter(|view| !view.rows.is_empty()).collect()
}

fn groups_table(table: &Table) -> TableView {
    let mut rows = Vec::new();
    for variant in [ONE_THREAD, THREAD_PER_CORE] {
        for system in systems(table) {
            for case in table.distinct(NAME, |cell| &cell.case) {
                let (Some(groups), cell) = (groups_of(&case), cell(&system, variant, &case)) else {
                    continue;
                };
                let figure = |metric: &str| table.figure(&cell, metric);
                let number = |metric: Metric, of: fn(f64) -> f64| {
                    figure(metric.name()).map_or_else(|| "–".into(), |i| short(of(i.median)))
                };
                rows.push(vec![
                    format!("{}, {}", display(&system), variant.replace('-', " ")),
                    groups.to_string(),
                    figure(Metric::Throughput.name()).map_or_else(|| "–".into(), with_interval),
                    figure("throughput_vs_one_group")
                        .map_or_else(|| "–".into(), |i| marked_change(i.median, i.may_be(1.0))),
                    number(Metric::Batch, |batch| batch),
                    number(Metric::Cpu, |cpu| cpu),
                    number(Metric::Cpu, |cpu| 1e6 / cpu),
                    proof(table, &cell),
                ]);
            }
        }
    }
    let header = [
        "system, threads",
        "groups",
        "commands/s (95 % interval)",
        "against one group",
        "commands per batch",
        "CPU s per million",
        "commands per core-second",
        "proof",
    ];
    TableView {
        caption: "Throughput by groups, commands of 16 bytes (real time)".into(),
        header: header.map(str::to_owned).into(),
        rows,
    }
}

fn balance_table(table: &Table) -> TableView {
    let mut rows = Vec::new();
    for balancer in balancers() {
        for nodes in sizes(table, "balance-") {
            let case = format!("balance-{nodes}");
            let of = |variant: &str, case: &str, metric: Metric| {
                let figure = table.figure(&cell(balancer, variant, case), metric.name());
                figure.map_or_else(|| "–".into(), |i| three_digits(i.median))
            };
            let mut row = vec![balancer.to_owned(), nodes.to_string()];
            row.extend(Skew::ALL.map(|skew| of(skew.name(), &case, Metric::Imbalance)));
            let uniform = Skew::Uniform.name();
            row.push(of(uniform, &case, Metric::MovedJoin));
            row.push(of(uniform, &case, Metric::MovedLeave));
            row.push(of("cpu-time", &format!("lookup-{nodes}"), Metric::LookupTime));
            row.push(proof(table, &cell(balancer, uniform, &case)));
            rows.push(row);
        }
    }
    let header = [
        "balancer",
        "nodes",
        "max/mean, uniform",
        "zipf 0.5",
        "zipf 0.99",
        "zipf 1.2",
        "% of keys moved by a join",
        "by a leave",
        "ns per choice",
        "proof",
    ];
    TableView {
        caption: "Balance of keys and requests (calculated), cost of a choice (CPU time)".into(),
        header: header.map(str::to_owned).into(),
        rows,
    }
}

fn service_table(table: &Table) -> TableView {
    let cases: Vec<(Skew, String, String)> = Skew::ALL
        .map(|skew| (skew, Servers::Equal.case(), skew.name().replace('-', " ")))
        .into_iter()
        .chain([(Skew::Uniform, Servers::OneSlow.case(), "one slow server".to_owned())])
        .collect();
    let measured = table.distinct(NAME, |cell| &cell.system);
    let is_measured = |balancer: &&str| measured.iter().any(|system| system == balancer);
    let row =
        |balancer: &'static str| {
            let mut row = vec![balancer.to_owned()];
            for (skew, case, _) in &cases {
                let cell = cell(balancer, skew.name(), case);
                let tail = figure(table, &cell, Metric::ServiceP99);
                let tail = tail.map_or_else(|| "saturated".into(), |i| three_digits(i.median));
                let sustained = table.figure(&cell, Metric::Sustained.name());
                row.push(sustained.map_or_else(
                    || "–".into(),
                    |i| format!("{} %; {tail}", three_digits(i.median)),
                ));
            }
            row.push(proof(table, &cell(balancer, Skew::Uniform.name(), &Servers::Equal.case())));
            row
        };
    let mut header = vec!["balancer".to_owned()];
    header.extend(cases.iter().map(|(_, _, words)| words.clone()));
    header.push("proof".into());
    TableView {
        caption: format!(
            "{SERVERS} servers behind a balancer (virtual time): sustained; p99 at {} % load in service times",
            three_digits(OFFERED * 100.0)
        ),
        header,
        rows: balancers().filter(|balancer| is_measured(balancer)).map(row).collect(),
    }
}

#[cfg(test)]
mod tests;

//! Figures and tables of compression against link bandwidth.

use crate::error::BenchError;
use crate::experiment::simulated::CLOCK;
use crate::metric::Metric;
use crate::report::canvas::Ink;
use crate::report::chart::{Lines, Series};
use crate::report::figures::{Figure, ink_of, shape_of};
use crate::report::tables::{TableView, proof};
use crate::report::words::display;
use crate::rows::Table;
use crate::run::Cell;
use crate::stats::{Interval, change, short, three_digits};

const NAME: &str = "compression";
/// How far the adaptive policy may stay behind the better of off and on.
const BEHIND_MAX: f64 = 0.03;
/// A gain below this is none: runs differ by as much as a batch more or less in the measured time.
const GAIN_MIN: f64 = 0.01;

/// What a case `json/batch-1024/mbit-10` stands for.
#[derive(Clone, Debug, PartialEq)]
struct Spot {
    kind: String,
    batch_bytes: u64,
    megabits: f64,
}

impl Spot {
    fn parse(case: &str) -> Option<Self> {
        let mut parts = case.split('/');
        let (kind, batch, link) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self {
            kind: kind.into(),
            batch_bytes: batch.strip_prefix("batch-")?.parse().ok()?,
            megabits: link.strip_prefix("mbit-")?.parse().ok()?,
        })
    }

    fn batch_words(&self) -> String {
        format!("{} KiB", self.batch_bytes / 1024)
    }
}

/// A line of places that differ in bandwidth alone: kind, batch, and the cases in order.
struct Slope {
    spot: Spot,
    cases: Vec<(f64, String)>,
}

fn slopes(table: &Table) -> Vec<Slope> {
    let mut slopes: Vec<Slope> = Vec::new();
    for case in table.distinct(NAME, |cell| &cell.case) {
        let Some(spot) = Spot::parse(&case) else { continue };
        let same = |slope: &&mut Slope| {
            slope.spot.kind == spot.kind && slope.spot.batch_bytes == spot.batch_bytes
        };
        match slopes.iter_mut().find(same) {
            Some(slope) => slope.cases.push((spot.megabits, case)),
            None => slopes.push(Slope { cases: vec![(spot.megabits, case)], spot }),
        }
    }
    slopes.iter_mut().for_each(|slope| slope.cases.sort_by(|a, b| a.0.total_cmp(&b.0)));
    slopes
}

fn throughput(table: &Table, system: &str, policy: &str, case: &str) -> Option<Interval> {
    table.figure(&Cell::new(NAME, system, policy, case), Metric::Throughput.name())
}

/// Throughput of `policy` over off, by bandwidth.
fn gains(table: &Table, system: &str, policy: &str, slope: &Slope) -> Vec<(f64, f64)> {
    let gain = |(megabits, case): &(f64, String)| {
        let off = throughput(table, system, "off", case)?;
        let with = throughput(table, system, policy, case)?;
        Some((*megabits, with.median / off.median))
    };
    slope.cases.iter().filter_map(gain).collect()
}

/// From where down compression pays.
#[derive(Clone, Copy, Debug, PartialEq)]
enum BreakEven {
    /// On none of the links.
    Never,
    /// On all of them.
    Always,
    /// Below this many Mbit/s.
    Below(f64),
}

/// Where the gain falls to one, on a straight line between logarithms of bandwidth.
fn break_even(gains: &[(f64, f64)]) -> Option<BreakEven> {
    let (_, narrowest) = *gains.first()?;
    if narrowest <= 1.0 + GAIN_MIN {
        return Some(BreakEven::Never);
    }
    let crossing = gains.windows(2).find_map(|pair| {
        let [(low, above), (high, below)] = [pair[0], pair[1]];
        (above > 1.0 && below <= 1.0).then(|| {
            let share = (above - 1.0) / (above - below);
            low * (high / low).powf(share)
        })
    });
    Some(crossing.map_or(BreakEven::Always, BreakEven::Below))
}

impl BreakEven {
    fn words(self) -> String {
        match self {
            Self::Never => "never".into(),
            Self::Always => "on all links".into(),
            Self::Below(megabits) => format!("below {}", bandwidth(megabits)),
        }
    }
}

fn bandwidth(megabits: f64) -> String {
    if megabits < 999.5 {
        format!("{} Mbit/s", three_digits(megabits))
    } else {
        format!("{} Gbit/s", three_digits(megabits / 1e3))
    }
}

pub(crate) fn figures(table: &Table) -> Result<Vec<Figure>, BenchError> {
    let systems = table.distinct(NAME, |cell| &cell.system);
    let slopes = slopes(table);
    let kinds = kinds(&slopes);
    let map = |kind: &String| map_panel(table, &systems, &slopes, kind);
    let mut figures = vec![Figure {
        title: "From which bandwidth down does compression pay?".into(),
        clock: CLOCK,
        reading: map_reading(table, &systems, &slopes),
        panels: kinds.iter().map(map).collect::<Result<_, _>>()?,
    }];
    for system in &systems {
        let largest = slopes.iter().map(|slope| slope.spot.batch_bytes).max();
        let of_largest = slopes.iter().filter(|slope| Some(slope.spot.batch_bytes) == largest);
        figures.push(Figure {
            title: format!("Throughput against bandwidth, {}", display(system)),
            clock: CLOCK,
            reading: adaptive_reading(table, system, &slopes),
            panels: of_largest
                .map(|slope| curve_panel(table, system, slope))
                .collect::<Result<_, _>>()?,
        });
    }
    Ok(figures)
}

fn kinds(slopes: &[Slope]) -> Vec<String> {
    let mut kinds: Vec<String> = Vec::new();
    for slope in slopes {
        if !kinds.contains(&slope.spot.kind) {
            kinds.push(slope.spot.kind.clone());
        }
    }
    kinds
}

/// Gain over bandwidth and batch size: each protocol's break-even line.
fn map_panel(
    table: &Table,
    systems: &[String],
    slopes: &[Slope],
    kind: &str,
) -> Result<String, BenchError> {
    let of_kind = || slopes.iter().filter(|slope| slope.spot.kind == kind);
    let point = |system: &String, slope: &Slope| {
        let megabits = match break_even(&gains(table, system, "on", slope))? {
            BreakEven::Below(megabits) => megabits,
            BreakEven::Always => slope.cases.last()?.0,
            BreakEven::Never => return None,
        };
        let exact = Interval { median: megabits, low: megabits, high: megabits, repetitions: 1 };
        Some((slope.spot.batch_bytes as f64 / 1024.0, exact))
    };
    let series: Vec<Series> = systems
        .iter()
        .map(|system| Series {
            name: display(system),
            ink: ink_of(system),
            shape: shape_of(system),
            points: of_kind().filter_map(|slope| point(system, slope)).collect(),
            is_level: false,
        })
        .filter(|series| !series.points.is_empty())
        .collect();
    let pays = !series.is_empty();
    let links = slopes.iter().flat_map(|slope| slope.cases.iter().map(|(megabits, _)| *megabits));
    let frame = [links.clone().fold(f64::INFINITY, f64::min), links.fold(0.0, f64::max)];
    let chart = Lines {
        title: if pays {
            format!("{kind}: pays below the line")
        } else {
            format!("{kind}: never pays")
        },
        x_axis: "bytes of a batch, at most, KiB".into(),
        y_axis: "link, Mbit/s".into(),
        series: if pays { series } else { vec![invisible(slopes, frame)] },
    };
    let alt = format!(
        "{kind}: the bandwidth below which compressing every batch pays, by batch size, one line for each protocol; the table has the figures"
    );
    Ok(chart.draw(&alt)?.inline)
}

/// An empty map of the same size.
fn invisible(slopes: &[Slope], [low, high]: [f64; 2]) -> Series {
    let batches = slopes.iter().map(|slope| slope.spot.batch_bytes as f64 / 1024.0);
    let all = Interval { median: high, low, high, repetitions: 1 };
    Series {
        name: String::new(),
        ink: Ink::Grid,
        shape: 0,
        points: batches.take(1).map(|batch| (batch, all)).collect(),
        is_level: true,
    }
}

fn curve_panel(table: &Table, system: &str, slope: &Slope) -> Result<String, BenchError> {
    let policies = [("off", Ink::Grey), ("on", Ink::Red), ("adaptive", Ink::Blue)];
    let series = policies.into_iter().enumerate().map(|(shape, (policy, ink))| Series {
        name: policy.into(),
        ink,
        shape,
        points: slope
            .cases
            .iter()
            .filter_map(|(megabits, case)| {
                Some((*megabits, throughput(table, system, policy, case)?))
            })
            .collect(),
        is_level: false,
    });
    let title = format!("{}, batches of {}", slope.spot.kind, slope.spot.batch_words());
    let chart = Lines {
        title: title.clone(),
        x_axis: "link, Mbit/s".into(),
        y_axis: "commands/s, closed loop".into(),
        series: series.collect(),
    };
    let alt = format!(
        "{}, {title}: throughput against bandwidth with compression off, on and adaptive; the table has the figures",
        display(system)
    );
    Ok(chart.draw(&alt)?.inline)
}

fn map_reading(table: &Table, systems: &[String], slopes: &[Slope]) -> String {
    let mut sentences = Vec::new();
    for kind in kinds(slopes) {
        let of_kind = slopes.iter().filter(|slope| slope.spot.kind == kind);
        let words: Vec<String> = of_kind
            .filter(|slope| {
                slopes.iter().all(|other| other.spot.batch_bytes <= slope.spot.batch_bytes)
            })
            .flat_map(|slope| {
                systems.iter().filter_map(|system| {
                    let even = break_even(&gains(table, system, "on", slope))?;
                    Some(format!("{} {}", display(system), even.words()))
                })
            })
            .collect();
        if !words.is_empty() {
            sentences.push(format!("{kind}: {}", words.join(", ")));
        }
    }
    if sentences.is_empty() {
        return "No verified figures.".into();
    }
    format!("In the largest batches compressing every batch pays: {}.", sentences.join("; "))
}

/// Where the adaptive policy is behind the better of off and on: bandwidth, case and by how much.
fn behind(table: &Table, system: &str, slopes: &[Slope]) -> (usize, Vec<(String, f64)>) {
    let (mut count, mut behind) = (0, Vec::new());
    for slope in slopes {
        for (megabits, case) in &slope.cases {
            let median = |policy| Some(throughput(table, system, policy, case)?.median);
            let (Some(off), Some(on), Some(adaptive)) =
                (median("off"), median("on"), median("adaptive"))
            else {
                continue;
            };
            count += 1;
            let ratio = adaptive / off.max(on);
            if ratio < 1.0 - BEHIND_MAX {
                let Spot { kind, .. } = &slope.spot;
                let place =
                    format!("{kind}, {}, {}", slope.spot.batch_words(), bandwidth(*megabits));
                behind.push((place, ratio));
            }
        }
    }
    behind.sort_by(|a, b| a.1.total_cmp(&b.1));
    (count, behind)
}

fn adaptive_reading(table: &Table, system: &str, slopes: &[Slope]) -> String {
    let (count, behind) = behind(table, system, slopes);
    let Some((worst, ratio)) = behind.first() else {
        return if count == 0 {
            "No verified figures.".into()
        } else {
            format!(
                "The adaptive policy stays within 3 % of the better of off and on in all {count} places."
            )
        };
    };
    format!(
        "The adaptive policy stays within 3 % of the better of off and on in {} of {count} places; the worst is {worst}: {}. It looks at what the codec saves, not at the link.",
        count - behind.len(),
        change(*ratio)
    )
}

pub(crate) fn tables(table: &Table) -> Vec<TableView> {
    let slopes = slopes(table);
    let mut views = vec![even_table(table, &slopes)];
    for system in table.distinct(NAME, |cell| &cell.system) {
        views.push(all_places(table, &system, &slopes));
    }
    views
}

fn even_table(table: &Table, slopes: &[Slope]) -> TableView {
    let systems = table.distinct(NAME, |cell| &cell.system);
    let row = |slope: &Slope| {
        let mut row = vec![slope.spot.kind.clone(), slope.spot.batch_words()];
        let ratio = slope.cases.first().and_then(|(_, case)| {
            let cell = Cell::new(NAME, systems.first()?, "on", case);
            table.figure(&cell, Metric::CompressionRatio.name())
        });
        row.push(ratio.map_or_else(|| "–".into(), |i| three_digits(i.median)));
        row.extend(systems.iter().map(|system| {
            let even = break_even(&gains(table, system, "on", slope));
            even.map_or_else(|| "–".into(), BreakEven::words)
        }));
        row
    };
    let mut header = ["payload", "batch, at most", "raw/sent"].map(str::to_owned).to_vec();
    header.extend(systems.iter().map(|system| format!("{}, pays", display(system))));
    TableView {
        caption: "Where compressing every batch breaks even".into(),
        header,
        rows: slopes.iter().map(row).collect(),
    }
}

fn all_places(table: &Table, system: &str, slopes: &[Slope]) -> TableView {
    let row = |slope: &Slope, megabits: f64, case: &str| {
        let figure = |policy: &str| throughput(table, system, policy, case).map(|i| i.median);
        let mut row = vec![slope.spot.kind.clone(), slope.spot.batch_words(), bandwidth(megabits)];
        for policy in ["off", "on", "adaptive"] {
            let failed = || proof(table, &Cell::new(NAME, system, policy, case));
            row.push(figure(policy).map_or_else(failed, short));
        }
        let best = figure("off").zip(figure("on")).map(|(off, on)| off.max(on));
        let adaptive = figure("adaptive").zip(best).map(|(adaptive, best)| change(adaptive / best));
        row.push(adaptive.unwrap_or_else(|| "–".into()));
        row
    };
    let header = [
        "payload",
        "batch, at most",
        "link",
        "off",
        "on",
        "adaptive",
        "adaptive against the better",
    ];
    TableView {
        caption: format!("{}: commands/s with compression off, on and adaptive", display(system)),
        header: header.map(str::to_owned).into(),
        rows: slopes
            .iter()
            .flat_map(|slope| {
                slope.cases.iter().map(move |(megabits, case)| row(slope, *megabits, case))
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_break_even_lies_where_the_gain_crosses_one() {
        let even = |gains: &[(f64, f64)]| break_even(gains);
        assert_eq!(even(&[(10.0, 1.5), (1000.0, 0.5)]), Some(BreakEven::Below(100.0)));
        assert_eq!(even(&[(10.0, 0.99), (1000.0, 0.5)]), Some(BreakEven::Never));
        assert_eq!(even(&[(10.0, 2.0), (1000.0, 1.5)]), Some(BreakEven::Always));
        assert_eq!(even(&[]), None);
    }
}

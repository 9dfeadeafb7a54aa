//! What compression buys, and from which bandwidth down.

use crate::experiment::variant::only;
use crate::report::words::display;
use crate::run::Cell;
use crate::stats::{Interval, change};

use super::{Answer, Point, Source, change_with_interval, distinct, number_in};

pub(super) fn answer(source: &Source<'_>) -> Answer {
    Answer {
        question: "What does compression buy, and from which bandwidth down?",
        points: vec![ablation(source), bandwidth(source)],
    }
}

/// In one process, where a link costs nothing.
fn ablation(source: &Source<'_>) -> Point {
    let case = source.first_case("ablation");
    let figure = |system: &str, variant: &str, metric: &str| {
        source.figure(["ablation", system, variant, case.as_deref()?], metric)
    };
    let alone = only("compression");
    let throughput = source.each_protocol(|system| {
        figure(system, &alone, "throughput_vs_none").map(change_with_interval)
    });
    // Compression needs batches: its bytes are told where both are on.
    let with = ["batching+compression", "all"];
    let without = [only("batching"), "without-compression".to_owned()];
    let bytes = source.each_protocol(|system| {
        let share = |(with, without): (&&str, &String)| {
            let (with, without) =
                (figure(system, with, "wire_bytes")?, figure(system, without, "wire_bytes")?);
            Some(change(with.median / without.median))
        };
        with.iter().zip(&without).find_map(share)
    });
    let text = throughput.map(|throughput| {
        let bytes = bytes.map_or_else(String::new, |bytes| {
            format!(" Beside batching it changes the bytes between replicas by {bytes}.")
        });
        format!("Alone, in one process, where links cost nothing, it changes throughput by {throughput}: a command by itself is too small to shrink.{bytes}")
    });
    source.point("ablation", text)
}

/// The bandwidth below which compressed batches are faster, for each kind of payload in the largest
/// batches.
fn bandwidth(source: &Source<'_>) -> Point {
    let mut figures = source.figures("compression", "throughput");
    let batch = |cell: &Cell| number_in(cell.case.split('/').nth(1).unwrap_or_default());
    let largest = figures.iter().filter_map(|(cell, _)| batch(cell)).max_by(f64::total_cmp);
    figures.retain(|(cell, _)| batch(cell) == largest);
    let kinds = distinct(figures.iter().map(|(cell, _)| kind_of(&cell.case)));
    let figures = &figures;
    let of_system = |system: &str, kind: &str| {
        let at = |variant: &str| -> Vec<(f64, Interval)> {
            let wanted = |cell: &Cell| {
                cell.system == system && cell.variant == variant && kind_of(&cell.case) == kind
            };
            let found = figures.iter().filter(|(cell, _)| wanted(cell));
            found.filter_map(|(cell, figure)| Some((megabits(&cell.case)?, *figure))).collect()
        };
        break_even(&gains(&at("off"), &at("on")))
    };
    let of_kind = |kind: &&str| {
        let systems = source.each_protocol(|system| of_system(system, kind))?;
        Some(format!("{kind}: {systems}"))
    };
    let parts: Vec<String> = kinds.iter().filter_map(of_kind).collect();
    let text = (!parts.is_empty()).then(|| format!("{}.{}", parts.join("; "), adaptive(figures)));
    source.point("compression", text)
}

/// What adaptive compression loses at worst against the better of on and off.
fn adaptive(figures: &[(Cell, Interval)]) -> String {
    let other = |cell: &Cell, variant: &str| {
        let twin = Cell { variant: variant.into(), ..cell.clone() };
        figures.iter().find(|(cell, _)| *cell == twin).map(|(_, figure)| figure.median)
    };
    let adaptive = figures.iter().filter(|(cell, _)| cell.variant == "adaptive");
    let ratios = adaptive.filter_map(|(cell, figure)| {
        let better = other(cell, "on")?.max(other(cell, "off")?);
        Some((figure.median / better, cell))
    });
    let worst = ratios.min_by(|a, b| a.0.total_cmp(&b.0));
    worst.map_or_else(String::new, |(ratio, cell)| {
        let (system, case) = (display(&cell.system), cell.case.replace(['/', '-'], " "));
        format!(
            " Adaptive against the better of on and off, at worst: {} ({system}, {case}).",
            change(ratio)
        )
    })
}

/// The link of a case like `json/batch-1024/mbit-100`, in Mbit/s.
fn megabits(case: &str) -> Option<f64> {
    number_in(&case[case.find("mbit-")?..])
}

/// The payload of that case.
fn kind_of(case: &str) -> &str {
    case.split('/').next().unwrap_or(case)
}

/// For each bandwidth how many times faster compressed batches are.
fn gains(off: &[(f64, Interval)], on: &[(f64, Interval)]) -> Vec<(f64, f64)> {
    let gain = |(bandwidth, off): &(f64, Interval)| {
        let on = on.iter().find(|(other, _)| other == bandwidth)?;
        Some((*bandwidth, on.1.median / off.median))
    };
    let mut gains: Vec<(f64, f64)> = off.iter().filter_map(gain).collect();
    gains.sort_by(|a, b| a.0.total_cmp(&b.0));
    gains
}

/// Between which bandwidths the gain vanishes.
fn break_even(gains: &[(f64, f64)]) -> Option<String> {
    let (slowest, fastest) = (gains.first()?, gains.last()?);
    let pays = gains.iter().rposition(|(_, gain)| *gain > 1.0);
    Some(match pays {
        None => format!("it pays on no link from {} Mbit/s up", slowest.0),
        Some(place) if place + 1 == gains.len() => {
            format!(
                "it pays on every link up to {} Mbit/s ({} there)",
                fastest.0,
                change(fastest.1)
            )
        }
        Some(place) => format!(
            "it pays up to {} Mbit/s ({} at {}) and no longer at {} ({})",
            gains[place].0,
            change(slowest.1),
            slowest.0,
            gains[place + 1].0,
            change(gains[place + 1].1)
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_and_the_kind_are_read_from_the_case() {
        assert_eq!(megabits("json/batch-1024/mbit-100"), Some(100.0));
        assert_eq!(megabits("json/batch-1024"), None);
        assert_eq!(kind_of("json/batch-1024/mbit-100"), "json");
    }

    #[test]
    fn the_break_even_lies_between_the_last_gain_and_the_next_link() {
        let words = break_even(&[(10.0, 3.0), (100.0, 1.2), (1000.0, 0.9)]).unwrap();
        assert_eq!(words, "it pays up to 100 Mbit/s (×3.00 at 10) and no longer at 1000 (−10 %)");
        assert!(break_even(&[(10.0, 0.9)]).unwrap().contains("no link"));
        assert!(break_even(&[(10.0, 1.5)]).unwrap().contains("every link"));
        assert_eq!(break_even(&[]), None);
    }
}

//! What compression buys, and from which bandwidth down.

use crate::experiment::variant::only;
use crate::run::Cell;
use crate::stats::{Interval, change};

use super::{Answer, Point, Source, change_with_interval, number_in};

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

/// The bandwidth below which compressed batches are faster, for each kind of payload.
fn bandwidth(source: &Source<'_>) -> Point {
    let figures = source.figures("compression", "throughput");
    let mut kinds: Vec<(String, String)> = Vec::new();
    for (cell, _) in &figures {
        let kind = (cell.system.clone(), kind_of(&cell.case));
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let of_kind = |(system, kind): &(String, String)| {
        let at = |variant: &str| -> Vec<(f64, Interval)> {
            let wanted = |cell: &Cell| {
                cell.system == *system && cell.variant == variant && kind_of(&cell.case) == *kind
            };
            let found = figures.iter().filter(|(cell, _)| wanted(cell));
            found.filter_map(|(cell, figure)| Some((megabits(&cell.case)?, *figure))).collect()
        };
        let gains = gains(&at("off"), &[at("on"), at("adaptive"), at("lz4")]);
        let words = break_even(&gains)?;
        Some(format!("{} ({}): {words}", crate::report::words::display(system), kind))
    };
    let parts: Vec<String> = kinds.iter().filter_map(of_kind).collect();
    let text = (!parts.is_empty()).then(|| format!("{}.", parts.join("; ")));
    source.point("compression", text)
}

/// The link of a case like `text-64-mbit-100`, in Mbit/s.
fn megabits(case: &str) -> Option<f64> {
    number_in(&case[case.find("mbit-")?..])
}

/// The case without its link.
fn kind_of(case: &str) -> String {
    let kind = case.split("mbit-").next().unwrap_or(case).trim_end_matches('-');
    kind.replace('-', " ")
}

/// For each bandwidth how many times faster compressed batches are; the first setting that was
/// measured counts.
fn gains(off: &[(f64, Interval)], on: &[Vec<(f64, Interval)>]) -> Vec<(f64, f64)> {
    let Some(on) = on.iter().find(|figures| !figures.is_empty()) else { return Vec::new() };
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
            format!("it pays on every link up to {} Mbit/s ({} there)", fastest.0, change(fastest.1))
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
        assert_eq!(megabits("text-mbit-100"), Some(100.0));
        assert_eq!(megabits("text"), None);
        assert_eq!(kind_of("mixed-text-mbit-100"), "mixed text");
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

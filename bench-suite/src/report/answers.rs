//! Answers: the questions that the comparison was made for, each answered from the run's own rows.
//!
//! What always holds: an answer is computed; it names the experiments that it comes from, carries
//! its number with its interval, and says what loses. Where an experiment is not part of the run, or
//! a cell failed its checks, the answer says so instead of leaving the question out.

use serde::Serialize;

use crate::report::words::display;
use crate::rows::Table;
use crate::run::{Cell, Run};
use crate::stats::{Interval, change, short, three_digits};

mod batching;
mod compression;
mod headline;
mod ideal;
mod protocols;
mod sharding;

pub(crate) use headline::front;
pub(crate) use ideal::limits;

/// The protocols, in the order of answers.
const PROTOCOLS: [&str; 3] = ["paxos", "raft", "pbft"];

/// A question with what the run says to it.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Answer {
    /// The question, as it is asked.
    pub(crate) question: &'static str,
    /// What was found, a point for each experiment.
    pub(crate) points: Vec<Point>,
}

/// What one experiment says.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Point {
    /// The experiment.
    pub(crate) experiment: &'static str,
    /// In words; that it was not measured when it was not.
    pub(crate) text: String,
}

const NOTHING: &str = "no verified figure in this run.";

impl Answer {
    /// Where one point of an experiment says something, the others need not say that they do not.
    fn tidy(&mut self) {
        self.points.dedup();
        let telling: Vec<&str> = self
            .points
            .iter()
            .filter(|one| one.text != NOTHING)
            .map(|one| one.experiment)
            .collect();
        self.points.retain(|one| one.text != NOTHING || !telling.contains(&one.experiment));
    }
}

/// All answers.
pub(crate) fn of(run: &Run, table: &Table) -> Vec<Answer> {
    let source = Source { run, table };
    let mut answers = vec![
        sharding::answer(&source),
        compression::answer(&source),
        batching::answer(&source),
        protocols::answer(&source),
    ];
    // An experiment with two points says once that it is missing.
    answers.iter_mut().for_each(Answer::tidy);
    answers
}

/// Where answers come from.
#[derive(Clone, Copy)]
struct Source<'a> {
    run: &'a Run,
    table: &'a Table,
}

impl Source<'_> {
    /// What `experiment` says, or why it says nothing.
    fn point(&self, experiment: &'static str, text: Option<String>) -> Point {
        let measured = self.run.manifest.experiments.iter().any(|done| done.name == experiment);
        let text = match (text, measured) {
            (Some(text), _) => text,
            (None, true) => NOTHING.into(),
            (None, false) => "not measured in this run.".into(),
        };
        Point { experiment, text }
    }

    fn figure(&self, cell: [&str; 4], metric: &str) -> Option<Interval> {
        let [experiment, system, variant, case] = cell;
        self.table.figure(&Cell::new(experiment, system, variant, case), metric)
    }

    /// The first workload of the ablation: the one that headlines are about.
    fn first_case(&self, experiment: &str) -> Option<String> {
        self.table.distinct(experiment, |cell| &cell.case).into_iter().next()
    }

    /// `figure` for each protocol that has one, in words.
    fn each_protocol(&self, figure: impl Fn(&str) -> Option<String>) -> Option<String> {
        let of = |system: &&str| Some(format!("{} {}", display(system), figure(system)?));
        let parts: Vec<String> = PROTOCOLS.iter().filter_map(of).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// The verified figures of `metric` in `experiment`.
    fn figures(&self, experiment: &str, metric: &str) -> Vec<(Cell, Interval)> {
        let rows = self.table.rows().iter();
        let wanted = rows.filter(|row| {
            row.cell.experiment == experiment && row.metric == metric && row.proof.is_verified()
        });
        wanted.filter_map(|row| Some((row.cell.clone(), row.interval?))).collect()
    }
}

/// `+34 % (+30 % to +40 %)`, in brackets where nothing may have changed.
fn change_with_interval(ratio: Interval) -> String {
    let text =
        format!("{} ({} to {})", change(ratio.median), change(ratio.low), change(ratio.high));
    if ratio.may_be(1.0) { format!("[{text}]") } else { text }
}

/// `1.23 (1.20 to 1.30)`.
fn ratio_with_interval(ratio: Interval) -> String {
    let [median, low, high] = [ratio.median, ratio.low, ratio.high].map(three_digits);
    format!("{median} ({low} to {high})")
}

/// `134 (120 to 140)` with a unit behind it.
fn with_unit(figure: Interval, unit: &str) -> String {
    let [median, low, high] = [figure.median, figure.low, figure.high].map(short);
    format!("{median} ({low} to {high}) {unit}")
}

/// The number in a name like `mbit-100` or `groups-4`.
fn number_in(name: &str) -> Option<f64> {
    let start = name.find(|letter: char| letter.is_ascii_digit())?;
    let rest = &name[start..];
    let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
    rest[..end.unwrap_or(rest.len())].trim_end_matches('.').parse().ok()
}

/// The distinct values, in the order in which they first appear.
fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for value in values {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen
}

fn by_median(a: &(Cell, Interval), b: &(Cell, Interval)) -> std::cmp::Ordering {
    a.1.median.total_cmp(&b.1.median)
}

#[cfg(test)]
mod tests;

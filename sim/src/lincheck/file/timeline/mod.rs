//! A history as a page: one lane for each process, a bar for each operation from its call to its
//! return, the order that explains the answers as numbers, and where it ends.
//!
//! The page is one file without scripts; everything from the history is escaped. Time runs from
//! left to right by events, not by a clock: an event stands where its neighbours leave room.

mod layout;
mod svg;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::event::{Completion, Entry, Function, History};
use super::judge::{Judgement, KeyReport};
use super::value::Value;
use crate::lincheck::Verdict;

use layout::Bar;

/// The most operations that a picture shows.
const DRAWN_MAX: usize = 5_000;
/// Events before the call of the operation at which the history dies, in the first picture.
const WINDOW_BEFORE: usize = 14;
/// Events after its return.
const WINDOW_AFTER: usize = 4;
/// The most events of the first picture.
const WINDOW_MAX: usize = 48;
/// The most rows of the table.
const ROWS_MAX: usize = 5_000;
/// The most characters of a value in running text.
const SHOWN_MAX: usize = 160;

const STYLE: &str = include_str!("style.css");

/// Draws what was found; `title` names the history.
#[must_use]
pub fn draw(history: &History, judgement: &Judgement, title: &str) -> String {
    let verdict = match judgement.verdict {
        Verdict::Linearizable => "linearizable",
        Verdict::Violation { .. } => "not linearizable",
        Verdict::GaveUp => "undecided",
    };
    let mut page = String::new();
    let title = escape(title);
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title}: {verdict}</title>\n<style>{STYLE}</style></head><body>\n\
         <h1>{title}: {verdict}</h1>\n"
    );
    let counted = |number: usize, what: &str| match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    };
    let _ = writeln!(
        page,
        "<p class=\"facts\">{}, {}, model {}</p>",
        counted(history.entries.len(), "operation"),
        counted(judgement.keys, "object"),
        judgement.model
    );
    let broken = judgement.reports.iter().find(|report| is_broken(report));
    let shown: Vec<&KeyReport> = match broken {
        Some(report) => vec![report],
        None => judgement.reports.iter().collect(),
    };
    for (number, report) in shown.iter().enumerate() {
        let picture = Picture::new(history, report);
        if shown.len() > 1 {
            let open = if number == 0 { " open" } else { "" };
            let _ = write!(page, "<details{open}><summary>{}</summary>", heading(report));
        } else if report.key.is_some() {
            let _ = write!(page, "<h2>{}</h2>", heading(report));
        }
        picture.write(&mut page, number);
        if shown.len() > 1 {
            page.push_str("</details>\n");
        }
    }
    page.push_str("</body></html>\n");
    page
}

const fn is_broken(report: &KeyReport) -> bool {
    matches!(report.verdict, Verdict::Violation { .. })
}

fn heading(report: &KeyReport) -> String {
    let verdict = match report.verdict {
        Verdict::Linearizable => "linearizable",
        Verdict::Violation { .. } => "not linearizable",
        Verdict::GaveUp => "undecided",
    };
    let key = report.key.as_ref().map_or("the only one".to_string(), shown);
    format!("Object <code>{}</code>: {verdict}", escape(&key))
}

/// Text that a page shows as it is.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Neither HTML nor a reader has a use for control characters and reversed text.
            _ if character.is_control() || is_direction(character) => escaped.push('\u{fffd}'),
            _ => escaped.push(character),
        }
    }
    escaped
}

const fn is_direction(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn shortened(text: &str, characters_max: usize) -> String {
    if text.chars().count() <= characters_max {
        return text.to_string();
    }
    let start: String = text.chars().take(characters_max - 1).collect();
    format!("{start}…")
}

fn shown(value: &Value) -> String {
    shortened(&value.to_string(), SHOWN_MAX)
}

/// An operation in few words: `read → 3`, `cas 1 → 2`.
#[must_use]
pub fn described(entry: &Entry) -> String {
    let (function, argument) = (entry.function, &entry.argument);
    let done = match &entry.completed {
        Some((_, _, Completion::Ok { value, .. })) => Some(value),
        _ => None,
    };
    match (function, argument) {
        (Function::Read, _) => match done {
            Some(value) => format!("read → {}", shown(value)),
            None => "read".to_string(),
        },
        (Function::CompareAndSwap, Value::List(pair)) if pair.len() == 2 => {
            format!("cas {} → {}", shown(&pair[0]), shown(&pair[1]))
        }
        (Function::Write | Function::Append, _) => format!("{function} {}", shown(argument)),
        _ => function.to_string(),
    }
}

/// One object's history, ready to be drawn.
struct Picture<'a> {
    history: &'a History,
    report: &'a KeyReport,
    bars: Vec<Bar>,
    lanes: Vec<String>,
    /// The bar at which the history dies.
    dead: Option<usize>,
    left_out: usize,
}

impl<'a> Picture<'a> {
    fn new(history: &'a History, report: &'a KeyReport) -> Self {
        let dead_entry = match report.verdict {
            Verdict::Violation { operation } => Some(operation),
            _ => None,
        };
        let numbers: BTreeMap<usize, usize> =
            report.order.iter().enumerate().map(|(place, index)| (*index, place)).collect();
        let drawn = excerpt(&report.entries, dead_entry);
        let mut picture = Self {
            history,
            report,
            bars: Vec::with_capacity(drawn.len()),
            lanes: Vec::new(),
            dead: None,
            left_out: report.entries.len() - drawn.len(),
        };
        let mut lanes: BTreeMap<&Value, usize> =
            drawn.iter().map(|index| (&history.entries[*index].process, 0)).collect();
        for (row, (process, lane)) in lanes.iter_mut().enumerate() {
            *lane = row;
            picture.lanes.push(shortened(&process_name(process), 14));
        }
        for index in drawn {
            let entry = &history.entries[*index];
            let lane = lanes[&entry.process];
            let is_dead = dead_entry == Some(*index);
            if is_dead {
                picture.dead = Some(picture.bars.len());
            }
            picture.bars.push(bar(report, entry, lane, numbers.get(index).copied(), is_dead));
        }
        picture
    }

    fn write(&self, page: &mut String, number: usize) {
        if let Some(dead) = self.dead {
            self.write_death(page);
            page.push_str("<h2>Around the place where it dies</h2>\n");
            page.push_str(LEGEND);
            let window = layout::window(&self.bars, dead, WINDOW_BEFORE, WINDOW_AFTER, WINDOW_MAX);
            svg::write(page, &window.bars, &self.lanes, window.note.as_deref());
        } else {
            page.push_str(LEGEND);
        }
        let _ = write!(page, "<h2>The whole history</h2>\n<div class=\"zoom\">");
        for (class, label) in [("z3", "30 %"), ("z6", "60 %"), ("z1", "100 %"), ("z15", "150 %")] {
            let checked = if class == "z1" { " checked" } else { "" };
            let _ = writeln!(
                page,
                "<input type=\"radio\" class=\"{class}\" name=\"zoom{number}\" \
                 id=\"{class}-{number}\"{checked}><label for=\"{class}-{number}\">{label}</label>"
            );
        }
        let note = (self.left_out > 0)
            .then(|| format!("{} further operations are not drawn.", self.left_out));
        svg::write(page, &self.bars, &self.lanes, note.as_deref());
        page.push_str("</div>\n");
        self.write_table(page);
    }

    fn write_death(&self, page: &mut String) {
        let Verdict::Violation { operation } = self.report.verdict else { return };
        let entry = &self.history.entries[operation];
        let returned = entry.completed.as_ref().map_or(0, |(at, _, _)| at.line);
        let states: Vec<String> = self.report.states.iter().map(|state| code(state)).collect();
        let possible = match states.len() {
            1 => format!("The state could only be {}", states[0]),
            _ => format!("The state could be one of {}", states.join(", ")),
        };
        let _ = writeln!(
            page,
            "<div class=\"dies\"><p><strong>It dies at line {returned}</strong>: {} of process {} \
             (called in line {}). No order of the operations explains this answer too.</p>\
             <p>{possible} after the {} operations that explain all answers before.</p></div>",
            code(&described(entry)),
            escape(&process_name(&entry.process)),
            entry.called.line,
            self.report.order.len()
        );
    }

    fn write_table(&self, page: &mut String) {
        let order = &self.report.order;
        let _ = write!(
            page,
            "<details><summary>The order, as a table ({} operations)</summary>\n<table><tr>\
             <th>#</th><th>line</th><th>process</th><th>operation</th><th>state after</th></tr>\n",
            order.len()
        );
        for (place, index) in order.iter().enumerate().take(ROWS_MAX) {
            let entry = &self.history.entries[*index];
            let state = self.report.states_after.get(place).map_or("", String::as_str);
            let _ = writeln!(
                page,
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                place + 1,
                entry.called.line,
                escape(&process_name(&entry.process)),
                escape(&described(entry)),
                escape(&shortened(state, SHOWN_MAX))
            );
        }
        page.push_str("</table></details>\n");
    }
}

const LEGEND: &str = "<ul class=\"legend\"><li><i></i>explained; the number is its place in the \
order</li><li><i class=\"l-dead\"></i>✗ the answer that no order explains</li>\
<li><i class=\"l-late\"></i>not needed for what came before</li>\
<li><i class=\"l-open\"></i>unknown outcome</li>\
<li><i class=\"l-fail\"></i>did not take place</li></ul>\n";

fn code(text: &str) -> String {
    format!("<code>{}</code>", escape(&shortened(text, SHOWN_MAX)))
}

fn process_name(process: &Value) -> String {
    match process {
        Value::Text(name) => name.clone(),
        other => other.to_string(),
    }
}

/// At most [`DRAWN_MAX`] operations: those up to some after the dying one, or the first.
fn excerpt(entries: &[usize], dead: Option<usize>) -> &[usize] {
    if entries.len() <= DRAWN_MAX {
        return entries;
    }
    let at = dead.and_then(|dead| entries.iter().position(|index| *index == dead)).unwrap_or(0);
    let end = (at + DRAWN_MAX / 10).clamp(DRAWN_MAX, entries.len());
    &entries[end - DRAWN_MAX..end]
}

fn bar(report: &KeyReport, entry: &Entry, lane: usize, place: Option<usize>, dead: bool) -> Bar {
    let failed = matches!(&entry.completed, Some((_, _, Completion::Failed { .. })));
    let class = match (dead, &entry.completed, place) {
        (true, ..) => "dead",
        (_, None, Some(_)) => "open took",
        (_, None, None) => "open",
        (_, _, Some(_)) => "done",
        _ if failed => "fail",
        _ => "late",
    };
    let label = described(entry);
    let lines = match &entry.completed {
        Some((at, _, _)) => format!("lines {} to {}", entry.called.line, at.line),
        None => format!("line {}, outcome unknown", entry.called.line),
    };
    let state = place.and_then(|place| report.states_after.get(place));
    let state = state
        .map_or(String::new(), |state| format!("\nstate after: {}", shortened(state, SHOWN_MAX)));
    Bar {
        lane,
        called_at: entry.called_at,
        returned_at: entry.completed.as_ref().map(|(_, at, _)| *at),
        label: if dead { format!("✗ {}", shortened(&label, 22)) } else { shortened(&label, 22) },
        title: format!("process {}: {label}\n{lines}{state}", process_name(&entry.process)),
        class,
        place,
    }
}

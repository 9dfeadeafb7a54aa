//! Histories in files: JSON lines or Jepsen's EDN, read into [`History`], judged by [`judge`], and
//! written by [`write_json`].
//!
//! # The events
//!
//! A file is a list of events, in the order in which they happened. Each has
//!
//! | field | |
//! |---|---|
//! | `process` | who: a number or a text. Events of `nemesis` are skipped, and counted |
//! | `type` | `invoke`: it calls. `ok`: the call returned. `fail`: the operation did not take place, and never will. `info`: nobody knows whether it took, takes or will take place, for ever |
//! | `f` | `read`, `write`, `cas`, `append`, `delete`, `acquire`, `release` |
//! | `key` | which object, if there are several: any value. Left out or null: the only one |
//! | `value` | see below |
//!
//! A process calls one operation after another. A call that never completes is as one that ends
//! with `info`. After `info` a process may call again. Other fields are ignored.
//!
//! | `f` | `value` of `invoke` | `value` of `ok` |
//! |---|---|---|
//! | `read` | not looked at | what was read; null: nothing |
//! | `write` | what to write; null: nothing | left out, null, or the same |
//! | `cas` | `[expected, new]` | left out, null, or the same |
//! | `append` | a text, which is joined to the text held, or a list, joined to the list; nothing held counts as empty | left out, null, or the same |
//! | `delete` | not looked at | not looked at |
//! | `acquire`, `release` | not looked at | not looked at |
//!
//! Three fields say more, if a store answers more: `found` of a `cas` that ended with `fail` is the
//! value that it found instead; `found` of a `delete` that ended with `ok` is the value removed;
//! `existed` of a `write` or `append` that ended with `ok` is whether there was a value before. All
//! are held against the history like a read.

mod edn;
mod event;
mod json;
mod judge;
mod subject;
mod timeline;
mod value;

pub use event::{Completion, Entry, Function, History, InputError, Position, Problem, Result};
pub use json::write_json;
pub use judge::{Judgement, KeyReport, ModelName, Options, UnknownModel, judge};
pub use timeline::{described, draw};
pub use value::{VALUE_DEPTH_MAX, Value};

/// The most bytes of a file.
pub const FILE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The most operations of a file.
pub const OPERATIONS_MAX: usize = 1_000_000;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object in each line.
    Json,
    /// EDN maps, one after another, or in one vector or list.
    Edn,
}

/// Guesses the format by the first signs of the content: JSON objects have quoted names.
#[must_use]
pub fn guess_format(content: &[u8]) -> Format {
    let mut signs = content.iter().filter(|byte| !byte.is_ascii_whitespace() && **byte != b',');
    match (signs.next(), signs.next()) {
        (Some(b'{'), Some(b'"' | b'}') | None) | (None, _) => Format::Json,
        _ => Format::Edn,
    }
}

/// Reads a history. `independent`: values are pairs `[key value]`, as Jepsen's independent tests
/// write them.
///
/// # Errors
/// The first thing that is wrong, and where.
pub fn read_history(content: &[u8], format: Format, independent: bool) -> Result<History> {
    if content.len() > FILE_BYTES_MAX {
        return Err(InputError { at: Position::START, problem: Problem::TooLarge });
    }
    let text = std::str::from_utf8(content).map_err(|error| {
        let before = &content[..error.valid_up_to()];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let at = Position { line, column: 1 + before.len() - line_start };
        InputError { at, problem: Problem::NotText }
    })?;
    let mut recorder = event::Recorder::new(independent);
    match format {
        Format::Json => json::read(text, &mut recorder)?,
        Format::Edn => edn::read(text, &mut recorder)?,
    }
    Ok(recorder.finish())
}

/// Draws the history of a simulated run, as [`draw`] does for a file.
///
/// # Errors
/// Only if there are more than [`OPERATIONS_MAX`] operations, or more than [`FILE_BYTES_MAX`] bytes
/// of them.
pub fn draw_run(run: &[crate::lincheck::KvOperation], title: &str) -> Result<String> {
    let mut lines = Vec::new();
    // Memory takes all that is written.
    drop(write_json(run, &mut lines));
    let history = read_history(&lines, Format::Json, false)?;
    let judgement = judge(&history, &Options::default(), &mut || true)?;
    Ok(draw(&history, &judgement, title))
}

//! JSON lines: reading them, and writing a simulated run's history as such.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::{Deserialize, Deserializer};
use serde_json::json;

use super::event::{Event, InputError, Kind, Position, Problem, Recorder, Result};
use super::value::Value;
use crate::lincheck::{KvCall, KvOperation, KvReturn};

/// An event as JSON has it.
#[derive(Deserialize)]
struct Line<'a> {
    process: serde_json::Value,
    r#type: Kind,
    #[serde(borrow)]
    f: Cow<'a, str>,
    #[serde(default)]
    key: serde_json::Value,
    #[serde(default)]
    value: serde_json::Value,
    #[serde(default, deserialize_with = "present")]
    found: Option<serde_json::Value>,
    existed: Option<bool>,
}

/// A field that is there, even if it is null.
fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(deserializer).map(Some)
}

/// Reads one event from each line; empty lines are skipped.
pub(super) fn read(text: &str, recorder: &mut Recorder) -> Result<()> {
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let at = Position { line: number + 1, column: indent + 1 };
        let parsed: Line<'_> = serde_json::from_str(line).map_err(|error| {
            let at = Position { line: number + 1, column: error.column().max(1) };
            InputError { at, problem: Problem::Syntax(without_place(&error)) }
        })?;
        recorder.add(Event {
            at,
            process: Value::from_json(parsed.process),
            kind: parsed.r#type,
            function: parsed.f.into_owned(),
            key: Value::from_json(parsed.key),
            value: Value::from_json(parsed.value),
            found: parsed.found.map(Value::from_json),
            existed: parsed.existed,
        })?;
    }
    Ok(())
}

/// The message without "at line 1 column 7": every line is parsed on its own.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(message, _)| message.to_string())
}

/// Writes a history of a key-value store as JSON lines. Bytes become text: printable ASCII stands
/// for itself, all else and `%` as `%XX`; so appending bytes is appending text.
///
/// # Errors
/// Those of `out`.
pub fn write_json(history: &[KvOperation], out: &mut impl Write) -> io::Result<()> {
    let mut events: Vec<(u64, bool, usize)> = Vec::new();
    for (index, entry) in history.iter().enumerate() {
        events.push((entry.operation.called_at, false, index));
        events.extend(entry.operation.returned.as_ref().map(|(at, _)| (*at, true, index)));
    }
    events.sort_unstable();
    // A process that calls again before it got an answer gave the call up.
    let mut running = std::collections::BTreeMap::new();
    for (_, is_return, index) in events {
        let KvOperation { key, operation } = &history[index];
        let (process, key) = (operation.process, text_of(key));
        let (f, value) = described(&operation.call);
        if !is_return {
            if let Some((f, key)) = running.insert(process, (f, key.clone())) {
                let line = json!({"process": process, "type": "info", "f": f, "key": key});
                writeln!(out, "{line}")?;
            }
            let line = json!({"process": process, "type": "invoke", "f": f, "key": key,
                "value": value});
            writeln!(out, "{line}")?;
        } else if let Some((_, answer)) = &operation.returned {
            running.remove(&process);
            let mut line = json!({"process": process, "type": "ok", "f": f, "key": key,
                "value": value});
            add_answer(&mut line, &operation.call, answer);
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

fn described(call: &KvCall) -> (&'static str, serde_json::Value) {
    match call {
        KvCall::Get => ("read", serde_json::Value::Null),
        KvCall::Put(bytes) => ("write", text_of(bytes).into()),
        KvCall::Append(bytes) => ("append", text_of(bytes).into()),
        KvCall::CompareAndSwap { expected, value } => {
            ("cas", json!([expected.as_deref().map(text_of), text_of(value)]))
        }
        KvCall::Delete => ("delete", serde_json::Value::Null),
    }
}

fn add_answer(line: &mut serde_json::Value, call: &KvCall, answer: &KvReturn) {
    match answer {
        KvReturn::Value(value) => {
            let field = if *call == KvCall::Delete { "found" } else { "value" };
            line[field] = json!(value.as_deref().map(text_of));
        }
        KvReturn::Written { existed } => line["existed"] = (*existed).into(),
        KvReturn::Mismatch(value) => {
            line["type"] = "fail".into();
            line["found"] = json!(value.as_deref().map(text_of));
        }
        KvReturn::Done | KvReturn::Swapped => {}
    }
}

fn text_of(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b' '..=b'~' if *byte != b'%' => text.push(char::from(*byte)),
            _ => drop(write!(text, "%{byte:02X}")),
        }
    }
    text
}

//! Jepsen's EDN: maps one after another, or in one vector or list.

use clojure_reader::edn::{Edn, read as read_edn};
use clojure_reader::error::{Code, Error};

use super::event::{Event, InputError, Kind, Position, Problem, Recorder, Result};
use super::value::{VALUE_DEPTH_MAX, Value};

/// Text that is read bit by bit, and where it stands.
struct Reader<'a> {
    rest: &'a str,
    at: Position,
}

impl<'a> Reader<'a> {
    /// Goes on until `rest` is what is left.
    fn advance_to(&mut self, rest: &'a str) {
        for character in self.rest[..self.rest.len() - rest.len()].chars() {
            if character == '\n' {
                self.at = Position { line: self.at.line + 1, column: 1 };
            } else {
                self.at.column += 1;
            }
        }
        self.rest = rest;
    }

    /// Skips white space, commas and comments.
    fn skip_blank(&mut self) {
        loop {
            let blank = |character: char| character.is_whitespace() || character == ',';
            let mut rest = self.rest.trim_start_matches(blank);
            if rest.starts_with(';') {
                rest = rest.find('\n').map_or("", |end| &rest[end..]);
            }
            if rest.len() == self.rest.len() {
                return;
            }
            self.advance_to(rest);
        }
    }

    fn wrong(&self, problem: Problem) -> InputError {
        InputError { at: self.at, problem }
    }

    /// The place of an error that was found from here on.
    fn wrong_syntax(&self, error: &Error) -> InputError {
        let (line, column) = (error.line.unwrap_or(1), error.column.unwrap_or(1));
        let at = match line {
            1 => Position { line: self.at.line, column: self.at.column + column - 1 },
            _ => Position { line: self.at.line + line - 1, column },
        };
        InputError { at, problem: Problem::Syntax(explained(&error.code)) }
    }
}

fn explained(code: &Code) -> String {
    match code {
        Code::UnexpectedEOF => "the file ends within a value".into(),
        Code::UnmatchedDelimiter(delimiter) => format!("{delimiter} closes nothing"),
        Code::HashMapDuplicateKey => "a map has a key twice".into(),
        Code::SetDuplicateKey => "a set has an item twice".into(),
        Code::InvalidNumber => "this number is not one, or has more than 64 bits".into(),
        Code::InvalidEscape => "a text has an escape other than \\t \\r \\n \\\\ \\\"".into(),
        other => format!("this is not EDN ({other:?})"),
    }
}

/// Reads the events.
pub(super) fn read(text: &str, recorder: &mut Recorder) -> Result<()> {
    let mut reader = Reader { rest: text, at: Position::START };
    // Before the parser sees it: sets within sets take it quadratic time.
    if let Some(offset) = too_deep(text) {
        reader.advance_to(&text[offset..]);
        return Err(reader.wrong(Problem::TooDeep));
    }
    reader.skip_blank();
    let closing = match reader.rest.chars().next() {
        Some('[') => Some(']'),
        Some('(') => Some(')'),
        _ => None,
    };
    if closing.is_some() {
        reader.advance_to(&reader.rest[1..]);
    }
    loop {
        reader.skip_blank();
        match reader.rest.chars().next() {
            None if closing.is_none() => return Ok(()),
            None => return Err(reader.wrong(Problem::Syntax("the list is not closed".into()))),
            Some(next) if Some(next) == closing => break,
            Some(_) => {}
        }
        let (edn, rest) = read_edn(reader.rest).map_err(|error| reader.wrong_syntax(&error))?;
        let event = event(&edn, reader.at).map_err(|problem| reader.wrong(problem))?;
        recorder.add(event)?;
        reader.advance_to(rest);
    }
    reader.advance_to(&reader.rest[1..]);
    reader.skip_blank();
    if reader.rest.is_empty() {
        return Ok(());
    }
    Err(reader.wrong(Problem::Syntax("nothing may follow the list of events".into())))
}

/// Where brackets are nested deeper than any event with values of [`VALUE_DEPTH_MAX`] needs.
fn too_deep(text: &str) -> Option<usize> {
    let (mut depth, mut in_text) = (0_usize, false);
    let mut bytes = text.bytes().enumerate();
    while let Some((offset, byte)) = bytes.next() {
        match byte {
            // What follows stands for itself, in a text and as a character.
            b'\\' => drop(bytes.next()),
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b';' => drop(bytes.find(|(_, byte)| *byte == b'\n')),
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        // The list of events and the event itself come on top.
        if depth > VALUE_DEPTH_MAX + 2 {
            return Some(offset);
        }
    }
    None
}

fn event(edn: &Edn<'_>, at: Position) -> std::result::Result<Event, Problem> {
    // Newer versions of Jepsen write records: #jepsen.history.Op{…}.
    let map = match edn {
        Edn::Tagged(_, map) => map,
        map => map,
    };
    if !matches!(map, Edn::Map(_)) {
        let message = "an event is a map, as in {:process 0, :type :invoke, :f :read}";
        return Err(Problem::Syntax(message.into()));
    }
    let field = |name: &'static str| map.get(&Edn::key(name));
    let value = |name: &'static str| {
        field(name).map(|edn| Value::from_edn(edn).ok_or(Problem::TooDeep)).transpose()
    };
    let keyword = |name: &'static str| match field(name) {
        Some(Edn::Key(text) | Edn::Str(text)) => Ok(text.to_string()),
        Some(other) => {
            // The value is checked for depth before it is shown.
            let found = Value::from_edn(other).ok_or(Problem::TooDeep)?.to_string();
            Err(Problem::Field { field: name, found, expected: "a keyword" })
        }
        None => Err(Problem::Missing(name)),
    };
    let kind = match keyword("type")?.as_str() {
        "invoke" => Kind::Invoke,
        "ok" => Kind::Ok,
        "fail" => Kind::Fail,
        "info" => Kind::Info,
        other => {
            let expected = ":invoke, :ok, :fail or :info";
            return Err(Problem::Field { field: "type", found: format!(":{other}"), expected });
        }
    };
    let existed = match field("existed") {
        Some(Edn::Bool(flag)) => Some(*flag),
        _ => None,
    };
    Ok(Event {
        at,
        process: value("process")?.ok_or(Problem::Missing("process"))?,
        kind,
        function: keyword("f")?,
        key: value("key")?.unwrap_or(Value::Nil),
        value: value("value")?.unwrap_or(Value::Nil),
        found: value("found")?,
        existed,
    })
}

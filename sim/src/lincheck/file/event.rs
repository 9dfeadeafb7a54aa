//! From events to operations: who called what, and what came of it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::fmt;
use std::str::FromStr;

use super::value::{VALUE_DEPTH_MAX, Value};
use super::{FILE_BYTES_MAX, OPERATIONS_MAX};

/// A place in a file, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Position {
    /// Where a file starts.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {}, column {}: {problem}", at.line, at.column)]
pub struct InputError {
    /// Where.
    pub at: Position,
    /// What.
    pub problem: Problem,
}

/// A result of reading a history.
pub type Result<T> = std::result::Result<T, InputError>;

/// What can be wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Too many bytes.
    #[error("the file has more than {FILE_BYTES_MAX} bytes; check it in parts")]
    TooLarge,
    /// Too many operations.
    #[error("there are more than {OPERATIONS_MAX} operations; check them in parts")]
    TooMany,
    /// Not UTF-8.
    #[error("this is not UTF-8 text")]
    NotText,
    /// Not what the format allows.
    #[error("{0}")]
    Syntax(String),
    /// A value is nested too deeply.
    #[error("this is nested deeper than {VALUE_DEPTH_MAX} levels")]
    TooDeep,
    /// A field is missing.
    #[error("the field {0} is missing")]
    Missing(&'static str),
    /// A field is of the wrong kind.
    #[error("{field} is {found}; it must be {expected}")]
    Field {
        /// The field.
        field: &'static str,
        /// What it is.
        found: String,
        /// What it must be.
        expected: &'static str,
    },
    /// An operation that no model knows.
    #[error("unknown f {0}; known are read, write, cas, append, delete, acquire and release")]
    UnknownFunction(String),
    /// An operation that the model does not have.
    #[error("a {model} has no {function}; see --model")]
    NotInModel {
        /// The model.
        model: &'static str,
        /// The operation.
        function: Function,
    },
    /// A process called while its last call was under way.
    #[error("process {process} calls again, but its call in line {line} has not completed")]
    CalledTwice {
        /// The process.
        process: String,
        /// Where it called before.
        line: usize,
    },
    /// A completion without a call.
    #[error("process {0} completes an operation, but it has called none")]
    NotCalled(String),
    /// A completion of something else.
    #[error("process {process} completes {what}, but it called {called} in line {line}")]
    OtherOperation {
        /// The process.
        process: String,
        /// What the completion says.
        what: String,
        /// What was called.
        called: String,
        /// Where.
        line: usize,
    },
    /// A key of texts has another value, or a key of lists.
    #[error("append joins {expected}s, but here is {found}")]
    Mixed {
        /// What the other values of the key are.
        expected: &'static str,
        /// What this is.
        found: String,
    },
    /// The model's initial state is fixed.
    #[error("a mutex is free at first; leave --initial out")]
    InitialMutex,
}

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Function {
    /// Read the value.
    Read,
    /// Write a value.
    Write,
    /// Compare and swap.
    CompareAndSwap,
    /// Append to the value.
    Append,
    /// Remove the value.
    Delete,
    /// Acquire the lock.
    Acquire,
    /// Release the lock.
    Release,
}

impl Function {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Read, "read"),
        (Self::Write, "write"),
        (Self::CompareAndSwap, "cas"),
        (Self::Append, "append"),
        (Self::Delete, "delete"),
        (Self::Acquire, "acquire"),
        (Self::Release, "release"),
    ];
}

impl fmt::Display for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(function, _)| function == self);
        formatter.write_str(name.map_or("", |(_, name)| name))
    }
}

impl FromStr for Function {
    type Err = Problem;

    fn from_str(name: &str) -> std::result::Result<Self, Problem> {
        let known = Self::ALL.iter().find(|(_, known)| *known == name);
        known
            .map(|(function, _)| *function)
            .ok_or_else(|| Problem::UnknownFunction(Value::Text(name.to_string()).to_string()))
    }
}

/// An operation of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who called.
    pub process: Value,
    /// What was called.
    pub function: Function,
    /// On which object.
    pub key: Option<Value>,
    /// With what.
    pub argument: Value,
    /// Where it was called.
    pub called: Position,
    /// The number of that event.
    pub called_at: u64,
    /// Where it completed, the number of that event, and how; `None` when that is unknown.
    pub completed: Option<(Position, u64, Completion)>,
}

/// How an operation completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion {
    /// It took place.
    Ok {
        /// Its answer.
        value: Value,
        /// The value that it removed.
        found: Option<Value>,
        /// Whether there was a value before.
        existed: Option<bool>,
    },
    /// It did not take place.
    Failed {
        /// What it found instead of what it expected.
        found: Option<Value>,
    },
}

/// The operations of a file, in the order of their calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The operations, those that did not take place included.
    pub entries: Vec<Entry>,
    /// Events of a nemesis.
    pub skipped: usize,
}

/// The type of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Invoke,
    Ok,
    Fail,
    Info,
}

/// One event, as it stands in a file.
pub(super) struct Event {
    pub(super) at: Position,
    pub(super) process: Value,
    pub(super) kind: Kind,
    pub(super) function: String,
    pub(super) key: Value,
    pub(super) value: Value,
    pub(super) found: Option<Value>,
    pub(super) existed: Option<bool>,
}

/// Pairs calls with completions.
pub(super) struct Recorder {
    history: History,
    running: BTreeMap<Value, usize>,
    events: u64,
    independent: bool,
}

impl Recorder {
    pub(super) fn new(independent: bool) -> Self {
        Self { history: History::default(), running: BTreeMap::new(), events: 0, independent }
    }

    pub(super) fn finish(self) -> History {
        self.history
    }

    pub(super) fn add(&mut self, mut event: Event) -> Result<()> {
        let at = event.at;
        let wrong = |problem| InputError { at, problem };
        let is_nemesis = match &event.process {
            Value::Text(name) => name == "nemesis",
            Value::Other(name) => name == ":nemesis",
            _ => false,
        };
        if is_nemesis {
            self.history.skipped += 1;
            return Ok(());
        }
        if !matches!(event.process, Value::Integer(_) | Value::Text(_)) {
            let (field, found) = ("process", event.process.to_string());
            let expected = "a number, a text or the nemesis";
            return Err(wrong(Problem::Field { field, found, expected }));
        }
        let function: Function = event.function.parse().map_err(wrong)?;
        if self.independent {
            (event.key, event.value) = split_pair(event.value).map_err(wrong)?;
        }
        self.events += 1;
        match event.kind {
            Kind::Invoke => self.call(event, function).map_err(wrong),
            _ => self.complete(event, function).map_err(wrong),
        }
    }

    fn call(&mut self, event: Event, function: Function) -> std::result::Result<(), Problem> {
        if self.history.entries.len() == OPERATIONS_MAX {
            return Err(Problem::TooMany);
        }
        let is_pair = matches!(&event.value, Value::List(pair) if pair.len() == 2);
        if function == Function::CompareAndSwap && !is_pair {
            let (field, found) = ("the value of cas", event.value.to_string());
            return Err(Problem::Field { field, found, expected: "[expected, new]" });
        }
        match self.running.entry(event.process.clone()) {
            Slot::Vacant(slot) => slot.insert(self.history.entries.len()),
            Slot::Occupied(slot) => {
                let line = self.history.entries[*slot.get()].called.line;
                return Err(Problem::CalledTwice { process: event.process.to_string(), line });
            }
        };
        self.history.entries.push(Entry {
            process: event.process,
            function,
            key: (event.key != Value::Nil).then_some(event.key),
            argument: event.value,
            called: event.at,
            called_at: self.events,
            completed: None,
        });
        Ok(())
    }

    fn complete(&mut self, event: Event, function: Function) -> std::result::Result<(), Problem> {
        let Some(index) = self.running.remove(&event.process) else {
            return Err(Problem::NotCalled(event.process.to_string()));
        };
        let entry = &mut self.history.entries[index];
        let other = |what: String, called: String| Problem::OtherOperation {
            process: event.process.to_string(),
            what,
            called,
            line: entry.called.line,
        };
        if function != entry.function {
            return Err(other(function.to_string(), entry.function.to_string()));
        }
        if event.key != Value::Nil && entry.key.as_ref() != Some(&event.key) {
            let called = entry.key.as_ref().map_or("without a key".into(), Value::to_string);
            return Err(other(format!("key {}", event.key), called));
        }
        let repeats =
            matches!(function, Function::Write | Function::CompareAndSwap | Function::Append);
        let differs = event.value != Value::Nil && event.value != entry.argument;
        if event.kind == Kind::Ok && repeats && differs {
            return Err(other(
                format!("{function} {}", event.value),
                format!("{function} {}", entry.argument),
            ));
        }
        let completion = match event.kind {
            Kind::Ok => {
                Completion::Ok { value: event.value, found: event.found, existed: event.existed }
            }
            Kind::Fail => Completion::Failed { found: event.found },
            Kind::Invoke | Kind::Info => return Ok(()),
        };
        entry.completed = Some((event.at, self.events, completion));
        Ok(())
    }
}

fn split_pair(value: Value) -> std::result::Result<(Value, Value), Problem> {
    match value {
        Value::List(pair) if pair.len() == 2 => {
            let mut pair = pair.into_iter();
            Ok((pair.next().unwrap_or(Value::Nil), pair.next().unwrap_or(Value::Nil)))
        }
        // An event without a value belongs to the key of its call.
        Value::Nil => Ok((Value::Nil, Value::Nil)),
        other => Err(Problem::Field {
            field: "value",
            found: other.to_string(),
            expected: "[key, value], as --independent says",
        }),
    }
}

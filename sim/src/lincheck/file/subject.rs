//! The operations on one key in the terms of a model.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::event::{Completion, Entry, Function, InputError, Position, Problem, Result};
use super::value::Value;
use crate::lincheck::{
    KvCall, KvModel, KvReturn, MutexCall, MutexModel, MutexReturn, Operation, RegisterCall,
    RegisterModel, RegisterReturn,
};

/// A model, operations and how its states are shown.
pub(super) struct Subject<M, C, R, S> {
    pub(super) model: M,
    pub(super) operations: Vec<Operation<C, R>>,
    pub(super) show: S,
}

/// What a completed entry answered; `None` for an unknown outcome.
fn answer<R>(entry: &Entry, of: impl FnOnce(&Completion) -> R) -> Option<(u64, R)> {
    entry.completed.as_ref().map(|(_, at, completion)| (*at, of(completion)))
}

fn operation<C, R>(entry: &Entry, call: C, returned: Option<(u64, R)>) -> Operation<C, R> {
    // Only the search's reports would show the process; entries are looked up there.
    Operation { process: 0, call, called_at: entry.called_at, returned }
}

/// The two values of a compare-and-swap.
fn pair(entry: &Entry) -> (&Value, &Value) {
    match &entry.argument {
        Value::List(pair) if pair.len() == 2 => (&pair[0], &pair[1]),
        _ => (&Value::Nil, &Value::Nil),
    }
}

/// Numbers values; nil is no value.
#[derive(Default)]
struct Numbers {
    numbers: BTreeMap<Value, i64>,
    values: Vec<Value>,
}

impl Numbers {
    fn of(&mut self, value: &Value) -> Option<i64> {
        if *value == Value::Nil {
            return None;
        }
        let number = *self.numbers.entry(value.clone()).or_insert(self.values.len() as i64);
        if number == self.values.len() as i64 {
            self.values.push(value.clone());
        }
        Some(number)
    }
}

/// Reads, writes, compare-and-swaps and plain deletes, as those of a register.
pub(super) fn register(
    entries: &[&Entry],
    initial: &Value,
) -> Subject<RegisterModel, RegisterCall, RegisterReturn, impl Fn(&Option<i64>) -> String> {
    let mut numbers = Numbers::default();
    let model = RegisterModel { initial: numbers.of(initial) };
    let mut operations = Vec::with_capacity(entries.len());
    for entry in entries {
        let call = match entry.function {
            Function::Write => RegisterCall::Write(numbers.of(&entry.argument)),
            Function::CompareAndSwap => {
                let (from, to) = pair(entry);
                RegisterCall::CompareAndSwap(numbers.of(from), numbers.of(to))
            }
            Function::Delete => RegisterCall::Write(None),
            _ => RegisterCall::Read,
        };
        let returned = answer(entry, |completion| match (completion, call) {
            (Completion::Ok { value, .. }, RegisterCall::Read) => {
                RegisterReturn::Value(numbers.of(value))
            }
            (Completion::Ok { .. }, RegisterCall::Write(_)) => RegisterReturn::Written,
            (Completion::Ok { .. }, RegisterCall::CompareAndSwap(..)) => {
                RegisterReturn::Swapped(true)
            }
            (Completion::Failed { found }, _) => {
                RegisterReturn::Mismatch(numbers.of(found.as_ref().unwrap_or(&Value::Nil)))
            }
        });
        operations.push(operation(entry, call, returned));
    }
    let show = move |state: &Option<i64>| {
        state.map_or(Value::Nil.to_string(), |number| numbers.values[number as usize].to_string())
    };
    Subject { model, operations, show }
}

/// Acquires and releases.
pub(super) fn mutex(
    entries: &[&Entry],
) -> Subject<MutexModel, MutexCall, MutexReturn, impl Fn(&bool) -> String> {
    let of = |entry: &&Entry| {
        let acquires = entry.function == Function::Acquire;
        let call = if acquires { MutexCall::Acquire } else { MutexCall::Release };
        operation(entry, call, answer(entry, |_| MutexReturn))
    };
    let show = |held: &bool| if *held { "held" } else { "free" }.to_string();
    Subject { model: MutexModel, operations: entries.iter().map(of).collect(), show }
}

/// Whether a key's operations are more than a register's.
pub(super) fn needs_bytes(entries: &[&Entry]) -> bool {
    let says_more = |entry: &&Entry| match &entry.completed {
        Some((_, _, Completion::Ok { found, existed, .. })) => {
            existed.is_some() || found.is_some() && entry.function == Function::Delete
        }
        _ => false,
    };
    let appends = |entry: &&Entry| entry.function == Function::Append;
    entries.iter().any(|entry| appends(entry) || says_more(entry))
}

/// How the values of a key become bytes, so that appending values is appending bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    /// Texts as they are.
    Texts,
    /// Lists: each item as it is shown, and a comma.
    Lists,
    /// Nothing is appended: any value as it is shown.
    Shown,
}

impl Encoding {
    fn of(entries: &[&Entry]) -> Self {
        let mut appends = entries.iter().filter(|entry| entry.function == Function::Append);
        match appends.next().map(|entry| &entry.argument) {
            None => Self::Shown,
            Some(Value::List(_)) => Self::Lists,
            Some(_) => Self::Texts,
        }
    }

    fn encode(self, value: &Value, at: Position) -> Result<Option<Vec<u8>>> {
        let expected = match (self, value) {
            (_, Value::Nil) => return Ok(None),
            (Self::Shown, value) => return Ok(Some(value.to_string().into_bytes())),
            (Self::Texts, Value::Text(text)) => return Ok(Some(text.clone().into_bytes())),
            (Self::Lists, Value::List(items)) => {
                let shown = items.iter().map(|item| format!("{item},"));
                return Ok(Some(shown.collect::<String>().into_bytes()));
            }
            (Self::Texts, _) => "text",
            (Self::Lists, _) => "list",
        };
        let found = value.to_string();
        Err(InputError { at, problem: Problem::Mixed { expected, found } })
    }

    /// A value that something is done with: not nil.
    fn encode_some(self, value: &Value, at: Position) -> Result<Vec<u8>> {
        self.encode(value, at)?.ok_or_else(|| {
            let problem = Problem::Field {
                field: "value",
                found: Value::Nil.to_string(),
                expected: "something: only write and delete can leave nothing",
            };
            InputError { at, problem }
        })
    }

    fn show(self, state: Option<&[u8]>) -> String {
        let Some(bytes) = state else { return Value::Nil.to_string() };
        let text = String::from_utf8_lossy(bytes);
        match self {
            Self::Texts => Value::Text(text.into_owned()).to_string(),
            Self::Lists => format!("[{}]", text.strip_suffix(',').unwrap_or(&text)),
            Self::Shown => text.into_owned(),
        }
    }
}

type KvSubject = Subject<KvModel, KvCall, KvReturn, Box<dyn Fn(&KvState) -> String>>;
type KvState = Option<Arc<[u8]>>;

/// All operations of a key-value store.
///
/// # Errors
/// [`Problem::Mixed`] if something is appended and not all values are of its kind.
pub(super) fn kv(entries: &[&Entry], initial: &Value) -> Result<KvSubject> {
    let encoding = Encoding::of(entries);
    let mut operations = Vec::with_capacity(entries.len());
    for entry in entries {
        let at = entry.called;
        let call = match entry.function {
            Function::Write => match encoding.encode(&entry.argument, at)? {
                Some(bytes) => KvCall::Put(bytes),
                None => KvCall::Delete,
            },
            Function::Append => KvCall::Append(encoding.encode_some(&entry.argument, at)?),
            Function::CompareAndSwap => {
                let (expected, value) = pair(entry);
                let expected = encoding.encode(expected, at)?;
                KvCall::CompareAndSwap { expected, value: encoding.encode_some(value, at)? }
            }
            Function::Delete => KvCall::Delete,
            _ => KvCall::Get,
        };
        let returned = match &entry.completed {
            None => None,
            Some((at, time, completion)) => {
                Some((*time, kv_answer(encoding, entry.function, completion, *at)?))
            }
        };
        operations.push(operation(entry, call, returned));
    }
    let initial = encoding.encode(initial, Position::START)?;
    let model = KvModel { initial: initial.map(Into::into) };
    Ok(Subject { model, operations, show: Box::new(move |state| encoding.show(state.as_deref())) })
}

fn kv_answer(
    encoding: Encoding,
    function: Function,
    completion: &Completion,
    at: Position,
) -> Result<KvReturn> {
    Ok(match (completion, function) {
        (Completion::Ok { value, .. }, Function::Read) => {
            KvReturn::Value(encoding.encode(value, at)?)
        }
        (Completion::Ok { .. }, Function::CompareAndSwap) => KvReturn::Swapped,
        (Completion::Ok { found: Some(found), .. }, Function::Delete) => {
            KvReturn::Value(encoding.encode(found, at)?)
        }
        (Completion::Ok { existed: Some(existed), .. }, Function::Write | Function::Append) => {
            KvReturn::Written { existed: *existed }
        }
        (Completion::Ok { .. }, _) => KvReturn::Done,
        (Completion::Failed { found }, _) => {
            KvReturn::Mismatch(encoding.encode(found.as_ref().unwrap_or(&Value::Nil), at)?)
        }
    })
}

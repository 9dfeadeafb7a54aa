//! The verdict on a history that was read, key by key.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::event::{Completion, Entry, Function, History, InputError, Position, Problem, Result};
use super::subject::{self, Subject};
use super::value::Value;
use crate::lincheck::{Limits, Model, Verdict, analyse};

/// A model by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelName {
    /// read, write.
    Register,
    /// read, write, cas.
    CasRegister,
    /// read, write, cas, append, delete.
    Kv,
    /// acquire, release.
    Mutex,
}

impl ModelName {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Register, Self::CasRegister, Self::Kv, Self::Mutex];

    /// The smallest model that has all operations of a history.
    fn of(history: &History) -> Self {
        let has = |functions: &[Function]| {
            history.entries.iter().any(|entry| functions.contains(&entry.function))
        };
        if has(&[Function::Acquire, Function::Release]) {
            Self::Mutex
        } else if has(&[Function::Append, Function::Delete]) {
            Self::Kv
        } else if has(&[Function::CompareAndSwap]) {
            Self::CasRegister
        } else {
            Self::Register
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::CasRegister => "cas-register",
            Self::Kv => "kv",
            Self::Mutex => "mutex",
        }
    }

    const fn has(self, function: Function) -> bool {
        match function {
            Function::Acquire | Function::Release => matches!(self, Self::Mutex),
            Function::Read | Function::Write => !matches!(self, Self::Mutex),
            Function::CompareAndSwap => matches!(self, Self::CasRegister | Self::Kv),
            Function::Append | Function::Delete => matches!(self, Self::Kv),
        }
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// No model has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown model \"{0}\"; known are register, cas-register, kv and mutex")]
pub struct UnknownModel(pub String);

impl FromStr for ModelName {
    type Err = UnknownModel;

    fn from_str(name: &str) -> std::result::Result<Self, UnknownModel> {
        let known = Self::ALL.into_iter().find(|model| model.name() == name);
        known.ok_or_else(|| UnknownModel(name.to_string()))
    }
}

/// How to judge.
#[derive(Clone, Debug)]
pub struct Options {
    /// The model; `None`: the smallest that has all operations.
    pub model: Option<ModelName>,
    /// What every object holds at first.
    pub initial: Value,
    /// The limits of each search.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self { model: None, initial: Value::Nil, limits: Limits::default() }
    }
}

/// The verdict on a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The model that it was held against.
    pub model: ModelName,
    /// What was found: a violation if any key has one, else whether a search gave up. The
    /// operation of a violation is an index into [`History::entries`].
    pub verdict: Verdict,
    /// How many objects the history has.
    pub keys: usize,
    /// What was found for each object, in the order of their keys; a violation is the last.
    pub reports: Vec<KeyReport>,
}

/// What was found for one object. All indices are into [`History::entries`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyReport {
    /// The object.
    pub key: Option<Value>,
    /// Its operations, those that did not take place included.
    pub entries: Vec<usize>,
    /// The verdict.
    pub verdict: Verdict,
    /// As in [`Analysis`](crate::lincheck::Analysis): the order that explains the answers, or
    /// those before the history dies.
    pub order: Vec<usize>,
    /// The state after each operation of `order`.
    pub states_after: Vec<String>,
    /// States that are possible at the end of it.
    pub states: Vec<String>,
    /// Pairs of (operations taken, state) that were looked at.
    pub configurations: usize,
}

/// Checks a history key by key, until a key is found to be broken. `go_on` is asked now and then;
/// when it answers no, the rest is given up.
///
/// # Errors
/// An operation that the model does not have; values that cannot be appended to one another.
pub fn judge(
    history: &History,
    options: &Options,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Judgement> {
    let model = options.model.unwrap_or_else(|| ModelName::of(history));
    if model == ModelName::Mutex && options.initial != Value::Nil {
        return Err(InputError { at: Position::START, problem: Problem::InitialMutex });
    }
    let mut keys: BTreeMap<Option<&Value>, Vec<usize>> = BTreeMap::new();
    for (index, entry) in history.entries.iter().enumerate() {
        if !model.has(entry.function) {
            let problem = Problem::NotInModel { model: model.name(), function: entry.function };
            return Err(InputError { at: entry.called, problem });
        }
        keys.entry(entry.key.as_ref()).or_default().push(index);
    }
    let mut judgement =
        Judgement { model, verdict: Verdict::Linearizable, keys: keys.len(), reports: Vec::new() };
    for (key, entries) in keys {
        let mut report = judge_key(history, &entries, model, options, go_on)?;
        report.key = key.cloned();
        report.entries = entries;
        let verdict = report.verdict;
        judgement.reports.push(report);
        match verdict {
            Verdict::Linearizable => {}
            Verdict::GaveUp => judgement.verdict = Verdict::GaveUp,
            Verdict::Violation { .. } => {
                judgement.verdict = verdict;
                break;
            }
        }
    }
    Ok(judgement)
}

/// Whether an entry says anything: what did not take place does only if it says what it found.
fn counts(entry: &Entry) -> bool {
    match &entry.completed {
        Some((_, _, Completion::Failed { found })) => {
            found.is_some() && entry.function == Function::CompareAndSwap
        }
        _ => true,
    }
}

fn judge_key(
    history: &History,
    all: &[usize],
    model: ModelName,
    options: &Options,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<KeyReport> {
    let indices: Vec<usize> =
        all.iter().copied().filter(|index| counts(&history.entries[*index])).collect();
    let entries: Vec<&Entry> = indices.iter().map(|index| &history.entries[*index]).collect();
    let limits = options.limits;
    Ok(match model {
        ModelName::Mutex => report(&subject::mutex(&entries), &indices, limits, go_on),
        ModelName::Kv if subject::needs_bytes(&entries) => {
            report(&subject::kv(&entries, &options.initial)?, &indices, limits, go_on)
        }
        _ => report(&subject::register(&entries, &options.initial), &indices, limits, go_on),
    })
}

fn report<M: Model, S: Fn(&M::State) -> String>(
    subject: &Subject<M, M::Call, M::Return, S>,
    indices: &[usize],
    limits: Limits,
    go_on: &mut dyn FnMut() -> bool,
) -> KeyReport {
    let Subject { model, operations, show } = subject;
    let found = analyse(model, operations, limits, go_on);
    let mut state = model.initial();
    let mut states_after = Vec::with_capacity(found.order.len());
    for index in &found.order {
        // What an operation answered later does not matter for what it does.
        if let Some(after) = model.step(&state, &operations[*index].call, None) {
            state = after;
        }
        states_after.push(show(&state));
    }
    KeyReport {
        key: None,
        entries: Vec::new(),
        verdict: match found.verdict {
            Verdict::Violation { operation } => {
                Verdict::Violation { operation: indices[operation] }
            }
            other => other,
        },
        order: found.order.iter().map(|index| indices[*index]).collect(),
        states_after,
        states: found.states.iter().map(show).collect(),
        configurations: found.configurations,
    }
}

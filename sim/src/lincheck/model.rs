//! Sequential models: what one operation after another may answer.

use std::collections::BTreeSet;
use std::hash::Hash;
use std::sync::Arc;

use super::Operation;

/// A sequential specification.
pub trait Model {
    /// The state between two operations.
    type State: Clone + Eq + Hash;
    /// What is called.
    type Call;
    /// What is answered.
    type Return;

    /// The state before the first operation.
    fn initial(&self) -> Self::State;

    /// The state after `call`, if it may be answered with `answer` in `state`; `None` if not. An
    /// answer of `None` is unknown: any would do.
    fn step(
        &self,
        state: &Self::State,
        call: &Self::Call,
        answer: Option<&Self::Return>,
    ) -> Option<Self::State>;

    /// Whether `call`, answered so, leaves *every* state as it is in which it may be answered so.
    /// (Writing a value that is there already does not count: elsewhere it would change the state.)
    fn only_reads(&self, call: &Self::Call, answer: &Self::Return) -> bool;

    /// Whether `call`, of unknown outcome, need not be tried in `state`: whatever it would help to
    /// explain can be explained without it.
    fn is_idle(&self, _state: &Self::State, _call: &Self::Call) -> bool {
        false
    }
}

/// A register that holds a number; absent at first.
#[derive(Clone, Copy, Debug, Default)]
pub struct RegisterModel;

/// What may be asked of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterCall {
    /// Read it.
    Read,
    /// Write it.
    Write(i64),
    /// Write the second value if it holds the first.
    CompareAndSwap(i64, i64),
}

/// What a register answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterReturn {
    /// Read: the value.
    Value(Option<i64>),
    /// Write: done.
    Written,
    /// Compare-and-swap: whether it swapped.
    Swapped(bool),
}

impl Model for RegisterModel {
    type State = Option<i64>;
    type Call = RegisterCall;
    type Return = RegisterReturn;

    fn initial(&self) -> Self::State {
        None
    }

    fn step(
        &self,
        state: &Self::State,
        call: &RegisterCall,
        answer: Option<&RegisterReturn>,
    ) -> Option<Self::State> {
        let (after, expected) = match *call {
            RegisterCall::Read => (*state, RegisterReturn::Value(*state)),
            RegisterCall::Write(value) => (Some(value), RegisterReturn::Written),
            RegisterCall::CompareAndSwap(from, to) if *state == Some(from) => {
                (Some(to), RegisterReturn::Swapped(true))
            }
            RegisterCall::CompareAndSwap(..) => (*state, RegisterReturn::Swapped(false)),
        };
        answer.is_none_or(|answer| *answer == expected).then_some(after)
    }

    fn only_reads(&self, _call: &RegisterCall, answer: &RegisterReturn) -> bool {
        matches!(answer, RegisterReturn::Value(_) | RegisterReturn::Swapped(false))
    }
}

/// One key of the key-value store: get, put, append, compare-and-swap, delete. Absent at first.
#[derive(Clone, Copy, Debug, Default)]
pub struct KvModel;

/// What may be asked of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvCall {
    /// Read the value.
    Get,
    /// Write the value.
    Put(Vec<u8>),
    /// Append to the value; an absent one counts as empty.
    Append(Vec<u8>),
    /// Write the value if it is as expected.
    CompareAndSwap {
        /// The value that it must have; `None`: absent.
        expected: Option<Vec<u8>>,
        /// The new value.
        value: Vec<u8>,
    },
    /// Remove the value.
    Delete,
}

/// What a key answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvReturn {
    /// Get: the value. Delete: the value removed.
    Value(Option<Vec<u8>>),
    /// Put, append: whether there was a value before.
    Written {
        /// Whether there was.
        existed: bool,
    },
    /// Compare-and-swap took place.
    Swapped,
    /// Compare-and-swap did not; this is the value.
    Mismatch(Option<Vec<u8>>),
}

impl Model for KvModel {
    type State = Option<Arc<[u8]>>;
    type Call = KvCall;
    type Return = KvReturn;

    fn initial(&self) -> Self::State {
        None
    }

    fn step(
        &self,
        state: &Self::State,
        call: &KvCall,
        answer: Option<&KvReturn>,
    ) -> Option<Self::State> {
        if !answer.is_none_or(|answer| may_answer(state.as_deref(), call, answer)) {
            return None;
        }
        Some(match call {
            KvCall::Get => state.clone(),
            KvCall::Put(value) => Some(value.as_slice().into()),
            KvCall::Append(suffix) => {
                let held = state.as_deref().unwrap_or_default();
                Some([held, suffix].concat().into())
            }
            KvCall::CompareAndSwap { expected, value }
                if expected.as_deref() == state.as_deref() =>
            {
                Some(value.as_slice().into())
            }
            KvCall::CompareAndSwap { .. } => state.clone(),
            KvCall::Delete => None,
        })
    }

    fn only_reads(&self, call: &KvCall, answer: &KvReturn) -> bool {
        matches!(call, KvCall::Get) || matches!(answer, KvReturn::Mismatch(_))
    }
}

/// [`KvModel`] for one history, of which it knows which written bytes nobody ever saw.
///
/// While a value with unseen bytes in it stands, no get and no compare-and-swap can have completed;
/// only writes that do not look, until one of them replaces it. Without deletes those answer the
/// same whatever the value, as long as there is one. So a write of unknown outcome whose bytes were
/// never seen explains nothing once the key exists.
pub(super) struct SeenKvModel {
    unseen: BTreeSet<Vec<u8>>,
}

impl SeenKvModel {
    pub(super) fn new(history: &[Operation<KvCall, KvReturn>]) -> Self {
        let mut unseen = BTreeSet::new();
        if !history.iter().any(|operation| operation.call == KvCall::Delete) {
            let seen: Vec<&[u8]> = history.iter().flat_map(seen_by).collect();
            let open = history.iter().filter(|operation| operation.returned.is_none());
            for bytes in open.filter_map(|operation| written_by(&operation.call)) {
                let shows = |value: &&[u8]| value.windows(bytes.len()).any(|part| part == bytes);
                if !bytes.is_empty() && !seen.iter().any(shows) {
                    unseen.insert(bytes.to_vec());
                }
            }
        }
        Self { unseen }
    }
}

fn written_by(call: &KvCall) -> Option<&[u8]> {
    match call {
        KvCall::Put(bytes) | KvCall::Append(bytes) => Some(bytes),
        KvCall::CompareAndSwap { value, .. } => Some(value),
        KvCall::Get | KvCall::Delete => None,
    }
}

/// The values that an operation shows to have stood.
fn seen_by(operation: &Operation<KvCall, KvReturn>) -> impl Iterator<Item = &[u8]> {
    let answered = match &operation.returned {
        Some((_, KvReturn::Value(value) | KvReturn::Mismatch(value))) => value.as_deref(),
        _ => None,
    };
    let expected = match &operation.call {
        KvCall::CompareAndSwap { expected, .. } => expected.as_deref(),
        _ => None,
    };
    answered.into_iter().chain(expected)
}

impl Model for SeenKvModel {
    type State = Option<Arc<[u8]>>;
    type Call = KvCall;
    type Return = KvReturn;

    fn initial(&self) -> Self::State {
        KvModel.initial()
    }

    fn step(
        &self,
        state: &Self::State,
        call: &KvCall,
        answer: Option<&KvReturn>,
    ) -> Option<Self::State> {
        KvModel.step(state, call, answer)
    }

    fn only_reads(&self, call: &KvCall, answer: &KvReturn) -> bool {
        KvModel.only_reads(call, answer)
    }

    fn is_idle(&self, state: &Self::State, call: &KvCall) -> bool {
        state.is_some() && written_by(call).is_some_and(|bytes| self.unseen.contains(bytes))
    }
}

fn may_answer(state: Option<&[u8]>, call: &KvCall, answer: &KvReturn) -> bool {
    match (call, answer) {
        (KvCall::Get | KvCall::Delete, KvReturn::Value(value)) => value.as_deref() == state,
        (KvCall::Put(_) | KvCall::Append(_), KvReturn::Written { existed }) => {
            *existed == state.is_some()
        }
        (KvCall::CompareAndSwap { expected, .. }, KvReturn::Swapped) => {
            expected.as_deref() == state
        }
        (KvCall::CompareAndSwap { expected, .. }, KvReturn::Mismatch(value)) => {
            value.as_deref() == state && expected.as_deref() != state
        }
        _ => false,
    }
}

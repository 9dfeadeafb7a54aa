//! Sequential models: what one operation after another may answer.

use std::hash::Hash;
use std::sync::Arc;

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

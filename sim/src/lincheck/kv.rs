//! One key of a key-value store: get, put, append, compare-and-swap, delete.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Operation;
use super::model::Model;

/// One key of the key-value store.
#[derive(Clone, Debug, Default)]
pub struct KvModel {
    /// What it holds at first; `None`: absent.
    pub initial: Option<Arc<[u8]>>,
}

/// What may be asked of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KvReturn {
    /// Get: the value. Delete: the value removed.
    Value(Option<Vec<u8>>),
    /// Put, append: whether there was a value before.
    Written {
        /// Whether there was.
        existed: bool,
    },
    /// Put, append, delete: done; what was there before is not said.
    Done,
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
        self.initial.clone()
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

    /// Which operations of unknown outcome wrote bytes that nobody ever saw.
    ///
    /// While a value with unseen bytes in it stands, no get and no compare-and-swap can have
    /// completed; only writes that do not look, until one of them replaces it. Without deletes
    /// those answer the same whatever the value, as long as there is one. So a write of unknown
    /// outcome whose bytes were never seen explains nothing once the key exists.
    fn unseen(&self, history: &[Operation<KvCall, KvReturn>]) -> Vec<bool> {
        if history.iter().any(|operation| operation.call == KvCall::Delete) {
            return Vec::new();
        }
        let seen: Vec<&[u8]> = history.iter().flat_map(seen_by).collect();
        let open = history.iter().filter(|operation| operation.returned.is_none());
        let mut unseen = BTreeSet::new();
        for bytes in open.filter_map(|operation| written_by(&operation.call)) {
            let shows = |value: &&[u8]| value.windows(bytes.len()).any(|part| part == bytes);
            if !bytes.is_empty() && !seen.iter().any(shows) {
                unseen.insert(bytes);
            }
        }
        let nobody_saw = |call| written_by(call).is_some_and(|bytes| unseen.contains(bytes));
        history.iter().map(|operation| nobody_saw(&operation.call)).collect()
    }

    fn settled(&self, state: &Self::State) -> bool {
        state.is_some()
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

fn may_answer(state: Option<&[u8]>, call: &KvCall, answer: &KvReturn) -> bool {
    match (call, answer) {
        (KvCall::Get | KvCall::Delete, KvReturn::Value(value)) => value.as_deref() == state,
        (KvCall::Put(_) | KvCall::Append(_), KvReturn::Written { existed }) => {
            *existed == state.is_some()
        }
        (KvCall::Put(_) | KvCall::Append(_) | KvCall::Delete, KvReturn::Done) => true,
        (KvCall::CompareAndSwap { expected, .. }, KvReturn::Swapped) => {
            expected.as_deref() == state
        }
        (KvCall::CompareAndSwap { expected, .. }, KvReturn::Mismatch(value)) => {
            value.as_deref() == state && expected.as_deref() != state
        }
        _ => false,
    }
}

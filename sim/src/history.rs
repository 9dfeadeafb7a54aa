//! The history of a run as the clients saw it, for the linearizability checker.

use quorate_smr::kv::{KvAnswer, KvCommand};

use crate::lincheck::{KvCall, KvOperation, KvReturn, Operation};

/// An operation that a client wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) key: Vec<u8>,
    pub(crate) call: KvCall,
}

impl Wish {
    /// The command's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let key = self.key.as_slice();
        match &self.call {
            KvCall::Get => KvCommand::Get { key },
            KvCall::Put(value) => KvCommand::Put { key, value },
            KvCall::Append(suffix) => KvCommand::Append { key, suffix },
            KvCall::CompareAndSwap { expected, value } => {
                KvCommand::CompareAndSwap { key, expected: expected.as_deref(), value }
            }
            KvCall::Delete => KvCommand::Delete { key },
        }
        .encode()
    }

    /// The operation in a few words, for a trace.
    pub(crate) fn label(&self) -> String {
        let key = String::from_utf8_lossy(&self.key);
        match &self.call {
            KvCall::Get => format!("get {key}"),
            KvCall::Put(value) => format!("put {key}={}", short(value)),
            KvCall::Append(suffix) => format!("append {key}+{}", short(suffix)),
            KvCall::CompareAndSwap { expected, value } => {
                let expected = expected.as_deref().map_or_else(|| "-".into(), short);
                format!("cas {key} {expected}>{}", short(value))
            }
            KvCall::Delete => format!("delete {key}"),
        }
    }

    /// Whether the operation only reads.
    pub(crate) const fn is_read(&self) -> bool {
        matches!(self.call, KvCall::Get)
    }
}

/// An answer in a few words, for a trace.
pub(crate) fn label_of_answer(answer: &KvReturn) -> String {
    match answer {
        KvReturn::Value(None) => "= nothing".into(),
        KvReturn::Value(Some(value)) => format!("= {}", short(value)),
        other => {
            format!("{other:?}").split(['(', ' ', '{']).next().unwrap_or_default().to_lowercase()
        }
    }
}

/// The last written part of a value: its client's letter and its number there.
fn short(value: &[u8]) -> String {
    let value = match value.iter().rposition(|byte| *byte != b'.') {
        Some(end) => &value[..=end],
        None => value,
    };
    match value {
        [.., client, high, middle, low] if client.is_ascii_uppercase() => {
            let number = u32::from_be_bytes([0, *high, *middle, *low]);
            format!("{}{number}", char::from(*client))
        }
        _ => format!("{} bytes", value.len()),
    }
}

/// Reads an answer of the store; `None` when it is not one that a client of the run may get.
pub(crate) fn decode_answer(answer: &[u8]) -> Option<KvReturn> {
    Some(match KvAnswer::decode(answer).ok()? {
        KvAnswer::Value(value) => KvReturn::Value(value.map(<[u8]>::to_vec)),
        KvAnswer::Written { existed } => KvReturn::Written { existed },
        KvAnswer::Swapped => KvReturn::Swapped,
        KvAnswer::Mismatch(value) => KvReturn::Mismatch(value.map(<[u8]>::to_vec)),
        KvAnswer::Entries(_) | KvAnswer::Invalid(_) => return None,
    })
}

/// Calls and returns in the order in which they happened.
#[derive(Debug, Default)]
pub(crate) struct History {
    operations: Vec<KvOperation>,
    events: u64,
}

impl History {
    /// A client calls; the number under which its return is recorded.
    pub(crate) fn call(&mut self, process: u32, wish: &Wish) -> usize {
        self.events += 1;
        let call = wish.call.clone();
        let operation = Operation { process, call, called_at: self.events, returned: None };
        self.operations.push(KvOperation { key: wish.key.clone(), operation });
        self.operations.len() - 1
    }

    /// The call of that number returned. One that never does has an unknown outcome.
    pub(crate) fn returned(&mut self, number: usize, answer: KvReturn) {
        self.events += 1;
        self.operations[number].operation.returned = Some((self.events, answer));
    }

    pub(crate) fn operations(&self) -> &[KvOperation] {
        &self.operations
    }

    pub(crate) fn into_operations(self) -> Vec<KvOperation> {
        self.operations
    }
}

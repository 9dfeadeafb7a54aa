//! What a sequential model says: which answer may follow which state, and what lets a search skip.

use std::hash::Hash;

use super::Operation;

/// A sequential specification of one object.
pub trait Model {
    /// The state between two operations.
    type State: Clone + Eq + Hash;
    /// What is called.
    type Call: Clone + Eq + Hash;
    /// What is answered.
    type Return: Clone + Eq + Hash;

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

    /// What `call`, answered so, does to an object that holds one value at a time. With an answer
    /// of `None`: what it does if it takes effect.
    ///
    /// If every operation of a history has an access, the search knows which values are still
    /// needed and skips most orders (see [`Access`]). `None`, the default, is always right.
    fn access(&self, _call: &Self::Call, _answer: Option<&Self::Return>) -> Option<Access> {
        None
    }

    /// The value held in `state`, in the terms of [`access`](Self::access).
    fn token(&self, _state: &Self::State) -> Token {
        Token(None)
    }

    /// For each operation of `history`: whether it need not be tried in any state that
    /// [`settled`](Self::settled) accepts, as whatever it helps to explain there can be explained
    /// without it. Asked for operations of unknown outcome only. An empty list means none.
    fn unseen(&self, _history: &[Operation<Self::Call, Self::Return>]) -> Vec<bool> {
        Vec::new()
    }

    /// Whether [`unseen`](Self::unseen) operations may be left out in `state`.
    fn settled(&self, _state: &Self::State) -> bool {
        true
    }
}

/// A value as the search tells values apart; `None` is a value too (nothing, nil).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub Option<i64>);

/// What an operation does to an object that holds one value at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing that anyone could notice (a read whose answer is unknown).
    Nothing,
    /// Requires this value and leaves it.
    Looks(Token),
    /// Requires any other value and leaves it.
    Avoids(Token),
    /// Leaves this value, whatever there was.
    Writes(Token),
    /// Requires the first value and leaves the second.
    Swaps(Token, Token),
}

//! A register: read, write, compare-and-swap.

use super::model::{Access, Model, Token};

/// A register that holds a number, or nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct RegisterModel {
    /// What it holds at first.
    pub initial: Option<i64>,
}

/// What may be asked of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegisterCall {
    /// Read it.
    Read,
    /// Write this; `None` empties it.
    Write(Option<i64>),
    /// Write the second value if it holds the first.
    CompareAndSwap(Option<i64>, Option<i64>),
}

/// What a register answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegisterReturn {
    /// Read: the value.
    Value(Option<i64>),
    /// Write: done.
    Written,
    /// Compare-and-swap: whether it swapped.
    Swapped(bool),
    /// Compare-and-swap did not swap; this was the value.
    Mismatch(Option<i64>),
}

impl Model for RegisterModel {
    type State = Option<i64>;
    type Call = RegisterCall;
    type Return = RegisterReturn;

    fn initial(&self) -> Self::State {
        self.initial
    }

    fn step(
        &self,
        state: &Self::State,
        call: &RegisterCall,
        answer: Option<&RegisterReturn>,
    ) -> Option<Self::State> {
        let swaps = matches!(call, RegisterCall::CompareAndSwap(from, _) if from == state);
        let fits = match (call, answer) {
            (_, None) | (RegisterCall::Write(_), Some(RegisterReturn::Written)) => true,
            (RegisterCall::Read, Some(RegisterReturn::Value(value))) => value == state,
            (RegisterCall::CompareAndSwap(..), Some(RegisterReturn::Swapped(did))) => *did == swaps,
            (RegisterCall::CompareAndSwap(..), Some(RegisterReturn::Mismatch(value))) => {
                !swaps && value == state
            }
            _ => false,
        };
        fits.then_some(match *call {
            RegisterCall::Write(value) => value,
            RegisterCall::CompareAndSwap(_, to) if swaps => to,
            _ => *state,
        })
    }

    fn only_reads(&self, _call: &RegisterCall, answer: &RegisterReturn) -> bool {
        !matches!(answer, RegisterReturn::Written | RegisterReturn::Swapped(true))
    }

    fn access(&self, call: &RegisterCall, answer: Option<&RegisterReturn>) -> Option<Access> {
        Some(match (*call, answer.copied()) {
            (RegisterCall::Read, None) => Access::Nothing,
            (RegisterCall::Read, Some(RegisterReturn::Value(value))) => Access::Looks(Token(value)),
            (RegisterCall::Write(value), None | Some(RegisterReturn::Written)) => {
                Access::Writes(Token(value))
            }
            (
                RegisterCall::CompareAndSwap(from, to),
                None | Some(RegisterReturn::Swapped(true)),
            ) => Access::Swaps(Token(from), Token(to)),
            (RegisterCall::CompareAndSwap(from, _), Some(RegisterReturn::Swapped(false))) => {
                Access::Avoids(Token(from))
            }
            (RegisterCall::CompareAndSwap(from, _), Some(RegisterReturn::Mismatch(value)))
                if value != from =>
            {
                Access::Looks(Token(value))
            }
            // An answer that no state allows.
            _ => return None,
        })
    }

    fn token(&self, state: &Self::State) -> Token {
        Token(*state)
    }
}

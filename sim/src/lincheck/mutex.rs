//! A lock that one may hold: acquire, release. Who releases it is not looked at, as a lock service
//! that takes a lock away from a client that it holds dead may free it in the client's name.

use super::model::{Access, Model, Token};

/// A lock, free at first.
#[derive(Clone, Copy, Debug, Default)]
pub struct MutexModel;

/// What may be asked of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MutexCall {
    /// Take it; possible when it is free.
    Acquire,
    /// Free it; possible when it is held.
    Release,
}

/// A lock answers only when it did what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MutexReturn;

impl Model for MutexModel {
    /// Whether it is held.
    type State = bool;
    type Call = MutexCall;
    type Return = MutexReturn;

    fn initial(&self) -> bool {
        false
    }

    fn step(&self, held: &bool, call: &MutexCall, answer: Option<&MutexReturn>) -> Option<bool> {
        let acquires = *call == MutexCall::Acquire;
        match acquires != *held {
            true => Some(acquires),
            // Of unknown outcome, it may have been refused.
            false => answer.is_none().then_some(*held),
        }
    }

    fn only_reads(&self, _call: &MutexCall, _answer: &MutexReturn) -> bool {
        false
    }

    fn access(&self, call: &MutexCall, _answer: Option<&MutexReturn>) -> Option<Access> {
        let [free, held] = [Token(Some(0)), Token(Some(1))];
        Some(match call {
            MutexCall::Acquire => Access::Swaps(free, held),
            MutexCall::Release => Access::Swaps(held, free),
        })
    }

    fn token(&self, held: &bool) -> Token {
        Token(Some(i64::from(*held)))
    }
}

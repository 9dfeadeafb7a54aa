//! Which values are still needed: what lets the search skip most orders of a register's operations.
//!
//! Where every operation has an [`Access`], a value is *needed* while an operation that requires it
//! (or requires another) is not taken. From that follows, for a search that stands in some state:
//!
//! - **V1** While the held value is not needed, all such values are one and the same state: the
//!   next operation that is not a blind write cannot tell them apart.
//! - **V2** While the held value is not needed, a blind write of `v` may be taken at once if all
//!   that need `v` are completed looks that are already called: they follow at once, and `v` is
//!   not needed any more. In any order that explains the history, the write and its looks stand
//!   together, and the next operation is a blind write; so they can be moved to the front.
//! - **V3** The held value must not be replaced while a completed operation requires it and no
//!   operation that leaves it is left.
//! - **V4** An operation of unknown outcome is worth taking only if the very next one requires the
//!   value that it leaves (or requires another): otherwise the next is a blind write, and the
//!   order explains as much without it.
//!
//! What forbids a value (a compare-and-swap that failed, and does not say what it found) can notice
//! any write; while such an operation is left, V2 and the end of V4's argument do not hold, and are
//! not used.
//!
//! For written values that are unique this makes the search polynomial, as only one choice
//! survives wherever the value is needed (compare Gibbons & Korach, *Testing shared memories*,
//! 1997); for few values and many writers it leaves little to try.

use std::collections::BTreeMap;

use super::model::{Access, Model, Token};
use super::search::Operation;

/// What an operation does, with values numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Nothing,
    Looks(usize),
    Avoids(usize),
    Writes(usize),
    Swaps(usize, usize),
}

impl Act {
    pub(super) const fn leaves(self) -> Option<usize> {
        match self {
            Self::Writes(value) | Self::Swaps(_, value) => Some(value),
            _ => None,
        }
    }

    /// The value that it tells from others.
    const fn observes(self) -> Option<usize> {
        match self {
            Self::Looks(value) | Self::Avoids(value) | Self::Swaps(value, _) => Some(value),
            _ => None,
        }
    }
}

/// Counts over the operations that are not taken yet, by value.
#[derive(Clone, Debug, Default)]
struct Count {
    /// Tell this value from others.
    observers: u32,
    /// Of these: completed looks.
    looks: u32,
    /// Completed, and require this value.
    required: u32,
    /// Leave this value.
    makers: u32,
}

/// The values of a history and who still needs them.
pub(super) struct Values {
    acts: Vec<Act>,
    completed: Vec<bool>,
    counts: Vec<Count>,
    /// Operations left that forbid a value.
    avoiders: u32,
    /// The value held.
    now: usize,
}

impl Values {
    /// `None` if an operation's access is not known.
    pub(super) fn new<M: Model>(
        model: &M,
        history: &[Operation<M::Call, M::Return>],
    ) -> Option<Self> {
        let mut numbers: BTreeMap<Token, usize> = BTreeMap::new();
        let mut number = |token: Token| {
            let next = numbers.len();
            *numbers.entry(token).or_insert(next)
        };
        let now = number(model.token(&model.initial()));
        let mut acts = Vec::with_capacity(history.len());
        for operation in history {
            let answer = operation.returned.as_ref().map(|(_, answer)| answer);
            acts.push(match model.access(&operation.call, answer)? {
                Access::Nothing => Act::Nothing,
                Access::Looks(token) => Act::Looks(number(token)),
                Access::Avoids(token) => Act::Avoids(number(token)),
                Access::Writes(token) => Act::Writes(number(token)),
                Access::Swaps(from, to) if from == to => Act::Looks(number(from)),
                Access::Swaps(from, to) => Act::Swaps(number(from), number(to)),
            });
        }
        let completed = history.iter().map(|operation| operation.returned.is_some()).collect();
        let counts = vec![Count::default(); numbers.len()];
        let mut values = Self { acts, completed, counts, avoiders: 0, now };
        for index in 0..history.len() {
            values.count(index, 1);
        }
        values.forget_useless();
        Some(values)
    }

    /// Operations of unknown outcome that leave what nobody needs are as good as not called; and
    /// so are then those of which only they needed the value.
    fn forget_useless(&mut self) {
        let mut again = self.avoiders == 0;
        while again {
            again = false;
            for index in 0..self.acts.len() {
                if self.completed[index] || self.acts[index] == Act::Nothing {
                    continue;
                }
                let useful = self.acts[index].leaves().is_some_and(|value| self.is_needed(value));
                if !useful {
                    self.count(index, -1);
                    self.acts[index] = Act::Nothing;
                    again = true;
                }
            }
        }
    }

    fn count(&mut self, index: usize, by: i32) {
        let (act, completed) = (self.acts[index], self.completed[index]);
        if matches!(act, Act::Avoids(_)) {
            self.avoiders = self.avoiders.wrapping_add_signed(by);
        }
        if let Some(value) = act.observes() {
            let count = &mut self.counts[value];
            count.observers = count.observers.wrapping_add_signed(by);
            if completed && !matches!(act, Act::Avoids(_)) {
                count.required = count.required.wrapping_add_signed(by);
            }
            if completed && matches!(act, Act::Looks(_)) {
                count.looks = count.looks.wrapping_add_signed(by);
            }
        }
        if let Some(value) = act.leaves() {
            let count = &mut self.counts[value];
            count.makers = count.makers.wrapping_add_signed(by);
        }
    }

    /// V3 at the start: whether a completed operation requires what nobody leaves. V3 keeps it so.
    pub(super) fn is_hopeless(&self) -> bool {
        let lost = |(value, count): (usize, &Count)| {
            value != self.now && count.required > 0 && count.makers == 0
        };
        self.counts.iter().enumerate().any(lost)
    }

    pub(super) fn act(&self, index: usize) -> Act {
        self.acts[index]
    }

    /// The operation is taken; the value held before, for [`Values::untake`].
    pub(super) fn take(&mut self, index: usize) -> usize {
        let before = self.now;
        self.count(index, -1);
        self.now = self.acts[index].leaves().unwrap_or(before);
        before
    }

    pub(super) fn untake(&mut self, index: usize, before: usize) {
        self.count(index, 1);
        self.now = before;
    }

    fn is_needed(&self, value: usize) -> bool {
        self.counts[value].observers > 0
    }

    /// V1.
    pub(super) fn holds_what_nobody_needs(&self) -> bool {
        !self.is_needed(self.now)
    }

    /// V2, for a state that nobody needs; `callable` counts the looks at a value that are called.
    pub(super) fn is_free(&self, index: usize, callable: impl Fn(usize) -> u32) -> bool {
        let Act::Writes(value) = self.acts[index] else { return false };
        let count = &self.counts[value];
        // Of unknown outcome and needed by nobody: useless, not free.
        self.avoiders == 0
            && (self.completed[index] || count.observers > 0)
            && count.observers == count.looks
            && callable(value) == count.looks
    }

    /// V3, and what became useless: whether to try the operation at all.
    pub(super) fn is_worth_trying(&self, index: usize) -> bool {
        let act = self.acts[index];
        let Some(leaves) = act.leaves() else { return act != Act::Nothing };
        if !self.completed[index] && self.avoiders == 0 && !self.is_needed(leaves) {
            return false;
        }
        let held = &self.counts[self.now];
        let own = u32::from(self.completed[index] && act.observes() == Some(self.now));
        leaves == self.now || held.required == own || held.makers > 0
    }

    /// V4: whether the operation may follow one of unknown outcome that nobody has noticed yet.
    pub(super) fn notices(&self, index: usize) -> bool {
        match self.acts[index] {
            Act::Looks(value) | Act::Swaps(value, _) => value == self.now,
            Act::Avoids(_) => true,
            Act::Nothing | Act::Writes(_) => false,
        }
    }
}

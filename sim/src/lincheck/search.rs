//! The search for an order that explains a history; see the module above for the idea.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use super::Model;
use crate::fold::Fold;

/// One operation of a history. Times are positions in the history: any increasing numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<C, R> {
    /// Who called. One process calls one operation after another.
    pub process: u32,
    /// What was called.
    pub call: C,
    /// When it was called.
    pub called_at: u64,
    /// When it returned and with what; `None` when that is not known, for ever.
    pub returned: Option<(u64, R)>,
}

/// How much work a check may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most pairs of (operations taken, state) that are remembered.
    pub configurations_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { configurations_max: 4_000_000 }
    }
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Some order explains every answer.
    Linearizable,
    /// No order does.
    Violation {
        /// The index of the operation at whose return the longest attempt died.
        operation: usize,
    },
    /// The limit was reached before an answer was found.
    GaveUp,
}

/// Checks `history` against `model`. Cost: exponential at worst in the number of operations that
/// overlap, near linear for histories of few overlapping operations.
#[must_use]
pub fn check<M: Model>(
    model: &M,
    history: &[Operation<M::Call, M::Return>],
    limits: Limits,
) -> Verdict {
    Search::new(model, history).run(limits)
}

/// A set of operations as a bitmap.
type Taken = Box<[u64]>;

/// Marks a list entry as the return of an operation.
const RETURN: usize = 1 << (usize::BITS - 1);

/// Where the search goes on.
#[derive(Clone, Copy)]
enum Cursor {
    /// At this entry of the list.
    List(usize),
    /// At this place among the open operations.
    Open(usize),
}

struct Search<'a, M: Model> {
    model: &'a M,
    history: &'a [Operation<M::Call, M::Return>],
    /// Calls and returns of completed operations in time order, as a doubly linked list: entry 0
    /// is the head, entry i of `what` is an operation's index, with [`RETURN`] for its return.
    what: Vec<usize>,
    next: Vec<usize>,
    previous: Vec<usize>,
    /// Where each completed operation's call and return stand in the list.
    places: Vec<(usize, usize)>,
    /// The operations that never returned, in the order of their calls. They are tried last: most
    /// of them explain nothing.
    open: Vec<usize>,
    state: M::State,
    taken: Taken,
    completed_left: usize,
    stack: Vec<Frame<M::State>>,
}

/// One operation taken.
struct Frame<S> {
    operation: usize,
    before: S,
    /// No other choice at this point can do better; on the way back there is nothing to try.
    forced: bool,
    /// Where the operation was found.
    found: Cursor,
}

impl<'a, M: Model> Search<'a, M> {
    fn new(model: &'a M, history: &'a [Operation<M::Call, M::Return>]) -> Self {
        let mut events: Vec<(u64, bool, usize)> = Vec::with_capacity(history.len() * 2);
        let mut open = Vec::new();
        for (index, operation) in history.iter().enumerate() {
            match &operation.returned {
                // At equal times calls go first: the operations overlap.
                Some((at, _)) => {
                    events.extend([(operation.called_at, false, index), (*at, true, index)]);
                }
                None => open.push(index),
            }
        }
        events.sort_unstable();
        open.sort_unstable_by_key(|index| history[*index].called_at);
        let mut places = vec![(0, 0); history.len()];
        let mut what = vec![0];
        for (place, (_, is_return, index)) in events.iter().enumerate() {
            match is_return {
                false => places[*index].0 = place + 1,
                true => places[*index].1 = place + 1,
            }
            what.push(if *is_return { index | RETURN } else { *index });
        }
        let entries = what.len();
        Self {
            model,
            history,
            what,
            next: (1..=entries).map(|at| if at == entries { 0 } else { at }).collect(),
            previous: (0..entries).map(|at| at.wrapping_sub(1)).collect(),
            places,
            completed_left: history.len() - open.len(),
            open,
            state: model.initial(),
            taken: vec![0; history.len().div_ceil(64)].into(),
            stack: Vec::new(),
        }
    }

    fn run(mut self, limits: Limits) -> Verdict {
        let mut seen: HashSet<(Taken, M::State), BuildHasherDefault<Fold>> = HashSet::default();
        let (mut fewest_left, mut died_at) = (usize::MAX, 0);
        let mut cursor = Cursor::List(self.next[0]);
        while self.completed_left > 0 {
            let (candidate, otherwise) = match cursor {
                Cursor::List(entry) => {
                    let what = self.what[entry];
                    if what & RETURN == 0 {
                        (Some(what), Cursor::List(self.next[entry]))
                    } else {
                        // An operation must take effect before it returns.
                        if self.completed_left < fewest_left {
                            (fewest_left, died_at) = (self.completed_left, what & !RETURN);
                        }
                        (None, Cursor::Open(0))
                    }
                }
                Cursor::Open(place) => match self.open_at(place) {
                    Some(index) => (Some(index), Cursor::Open(place + 1)),
                    None => match self.step_back() {
                        Some(found) => (None, found),
                        None => return Verdict::Violation { operation: died_at },
                    },
                },
            };
            let took = candidate.is_some_and(|index| self.try_take(index, cursor, &mut seen));
            cursor = if took { Cursor::List(self.next[0]) } else { otherwise };
            if seen.len() > limits.configurations_max {
                return Verdict::GaveUp;
            }
        }
        Verdict::Linearizable
    }

    /// The open operation at `place`, if it was called before the next return.
    fn open_at(&self, place: usize) -> Option<usize> {
        let index = *self.open.get(place)?;
        let mut entry = self.next[0];
        while self.what[entry] & RETURN == 0 {
            entry = self.next[entry];
        }
        let returned = self.history[self.what[entry] & !RETURN].returned.as_ref();
        returned.is_some_and(|(at, _)| self.history[index].called_at <= *at).then_some(index)
    }

    fn try_take(
        &mut self,
        index: usize,
        found: Cursor,
        seen: &mut HashSet<(Taken, M::State), BuildHasherDefault<Fold>>,
    ) -> bool {
        let (word, bit) = (index / 64, 1 << (index % 64));
        if self.taken[word] & bit != 0 {
            return false;
        }
        let operation = &self.history[index];
        let answer = operation.returned.as_ref().map(|(_, answer)| answer);
        let Some(after) = self.model.step(&self.state, &operation.call, answer) else {
            return false;
        };
        let open = answer.is_none();
        if open && (after == self.state || self.model.is_idle(&self.state, &operation.call)) {
            return false;
        }
        let forced = answer.is_some_and(|answer| self.model.only_reads(&operation.call, answer));
        self.taken[word] |= bit;
        // A forced step leads to one configuration only; it need not be remembered.
        if !forced && !seen.insert((self.taken.clone(), after.clone())) {
            self.taken[word] &= !bit;
            return false;
        }
        let before = std::mem::replace(&mut self.state, after);
        self.stack.push(Frame { operation: index, before, forced, found });
        if answer.is_some() {
            self.completed_left -= 1;
            let (call, ret) = self.places[index];
            self.unlink(call);
            self.unlink(ret);
        }
        true
    }

    /// Takes back the last choice that had alternatives; where to look for them.
    fn step_back(&mut self) -> Option<Cursor> {
        while let Some(frame) = self.stack.pop() {
            let index = frame.operation;
            self.state = frame.before;
            self.taken[index / 64] &= !(1 << (index % 64));
            if self.history[index].returned.is_some() {
                self.completed_left += 1;
                let (call, ret) = self.places[index];
                self.relink(ret);
                self.relink(call);
            }
            if !frame.forced {
                return Some(match frame.found {
                    Cursor::List(entry) => Cursor::List(self.next[entry]),
                    Cursor::Open(place) => Cursor::Open(place + 1),
                });
            }
        }
        None
    }

    fn unlink(&mut self, place: usize) {
        let (previous, next) = (self.previous[place], self.next[place]);
        self.next[previous] = next;
        if next != 0 {
            self.previous[next] = previous;
        }
    }

    fn relink(&mut self, place: usize) {
        let (previous, next) = (self.previous[place], self.next[place]);
        self.next[previous] = place;
        if next != 0 {
            self.previous[next] = place;
        }
    }
}

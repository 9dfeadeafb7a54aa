//! The search for an order that explains a history; see the module above for the idea.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hash};

use super::model::Model;
use super::values::{Act, Values};
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
    /// The most pairs of (operations taken, state) that one search remembers; some 100 bytes each.
    pub configurations_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { configurations_max: 4_000_000 }
    }
}

/// How a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Some order explains every answer.
    Found,
    /// All orders were tried.
    Exhausted,
    /// The limit was reached, or the caller said to stop.
    Stopped,
}

/// Rounds between two questions whether to go on.
const ROUNDS_PER_QUESTION: u64 = 256;
/// The most completed operations that are compared with one of unknown outcome.
const TWINS_MAX: usize = 64;
/// Marks a list entry as the return of an operation.
const RETURN: usize = 1 << (usize::BITS - 1);

type Seen<S> = HashSet<(Box<[u64]>, Option<S>), BuildHasherDefault<Fold>>;

/// Where the search goes on.
#[derive(Clone, Copy)]
enum Cursor {
    /// At this entry of the list.
    List(usize),
    /// At this place among the open operations.
    Open(usize),
}

/// One operation taken.
struct Frame<S> {
    operation: usize,
    before: S,
    value_before: usize,
    unnoticed_before: bool,
    top_before: usize,
    /// No other choice at this point can do better; on the way back there is nothing to try.
    forced: bool,
    /// Where the operation was found.
    found: Cursor,
}

pub(super) struct Search<'a, M: Model> {
    model: &'a M,
    history: &'a [Operation<M::Call, M::Return>],
    /// Calls and returns of completed operations in time order, as a doubly linked list: entry 0
    /// is the head, entry i of `what` is an operation's index, with [`RETURN`] for its return.
    what: Vec<usize>,
    next: Vec<usize>,
    previous: Vec<usize>,
    /// Where each completed operation's call and return stand in the list.
    places: Vec<(usize, usize)>,
    /// For each operation, the completed one (or, for open ones, the open one) with the same call
    /// and answer that comes before it: in the order of returns, or of calls.
    twins: Vec<Option<usize>>,
    /// For each open operation, the completed ones with the same call, in the order of returns.
    completed_twins: HashMap<usize, Vec<usize>>,
    /// The operations that never returned, in the order of their calls. They are tried last: most
    /// of them explain nothing.
    open: Vec<usize>,
    /// Open operations that may be left out in settled states.
    unseen: Vec<bool>,
    values: Option<Values>,
    /// Whether an operation only reads.
    reads: Vec<bool>,
    /// Where the first return of an operation that is not taken stands.
    front: usize,
    state: M::State,
    /// An operation of unknown outcome was taken last, and must be noticed by the next.
    unnoticed: bool,
    /// Bit for each operation: the open ones first, then the completed in the order of their calls.
    taken: Vec<u64>,
    bits: Vec<usize>,
    open_words: usize,
    /// Words of `taken` from here on are 0.
    top: usize,
    completed_left: usize,
    stack: Vec<Frame<M::State>>,
    seen: Seen<M::State>,
}

impl<'a, M: Model> Search<'a, M> {
    pub(super) fn new(model: &'a M, history: &'a [Operation<M::Call, M::Return>]) -> Self {
        let mut search = Self::plain(model, history);
        search.unseen = model.unseen(history);
        search.values = Values::new(model, history);
        search
    }

    /// A search that leaves out nothing that could take effect.
    pub(super) fn plain(model: &'a M, history: &'a [Operation<M::Call, M::Return>]) -> Self {
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
        let open_words = open.len().div_ceil(64);
        let mut bits = vec![0; history.len()];
        for (place, index) in open.iter().enumerate() {
            bits[*index] = place;
        }
        let mut places = vec![(0, 0); history.len()];
        let mut what = vec![0];
        let mut bit = open_words * 64;
        for (place, (_, is_return, index)) in events.iter().enumerate() {
            if *is_return {
                places[*index].1 = place + 1;
            } else {
                places[*index].0 = place + 1;
                bits[*index] = bit;
                bit += 1;
            }
            what.push(if *is_return { index | RETURN } else { *index });
        }
        let entries = what.len();
        let returns = events.iter().filter(|(_, is_return, _)| *is_return);
        let returns: Vec<usize> = returns.map(|(_, _, index)| *index).collect();
        Self {
            model,
            history,
            what,
            next: (1..=entries).map(|at| if at == entries { 0 } else { at }).collect(),
            previous: (0..entries).map(|at| at.wrapping_sub(1)).collect(),
            places,
            twins: twins(history, &returns, &open),
            completed_twins: completed_twins(history, &returns, &open),
            completed_left: returns.len(),
            open,
            unseen: Vec::new(),
            values: None,
            reads: history.iter().map(|operation| only_reads(model, operation)).collect(),
            front: usize::MAX,
            state: model.initial(),
            unnoticed: false,
            taken: vec![0; bit.div_ceil(64)],
            bits,
            open_words,
            top: open_words,
            stack: Vec::new(),
            seen: Seen::default(),
        }
    }

    /// Searches for orders that explain every answer; `found` is told the state after each, and
    /// says whether that is enough.
    pub(super) fn run(
        &mut self,
        limits: Limits,
        go_on: &mut dyn FnMut() -> bool,
        found: &mut dyn FnMut(&M::State) -> bool,
    ) -> Ending {
        if self.values.as_ref().is_some_and(Values::is_hopeless) {
            return Ending::Exhausted;
        }
        let mut cursor = self.start_of_round();
        if self.completed_left == 0 && found(&self.state) {
            return Ending::Found;
        }
        let mut rounds: u64 = 0;
        loop {
            let (candidate, otherwise) = match cursor {
                Cursor::List(entry) if self.what[entry] & RETURN == 0 => {
                    (Some(self.what[entry]), Cursor::List(self.next[entry]))
                }
                // An operation must take effect before it returns.
                Cursor::List(_) => (None, Cursor::Open(0)),
                Cursor::Open(place) => match self.open_at(place) {
                    Some(index) => (Some(index), Cursor::Open(place + 1)),
                    None => match self.step_back() {
                        Some(found) => (None, found),
                        None => return Ending::Exhausted,
                    },
                },
            };
            if candidate.is_some_and(|index| self.try_take(index, cursor)) {
                cursor = self.start_of_round();
                if self.completed_left == 0 && found(&self.state) {
                    return Ending::Found;
                }
            } else {
                cursor = otherwise;
            }
            rounds += 1;
            let ask = rounds.is_multiple_of(ROUNDS_PER_QUESTION);
            if self.seen.len() > limits.configurations_max || (ask && !go_on()) {
                return Ending::Stopped;
            }
        }
    }

    /// The operations taken, in their order.
    pub(super) fn order(&self) -> Vec<usize> {
        self.stack.iter().map(|frame| frame.operation).collect()
    }

    pub(super) const fn state(&self) -> &M::State {
        &self.state
    }

    pub(super) fn configurations(&self) -> usize {
        self.seen.len()
    }

    /// Takes what can be taken at once, and stands before the first choice.
    fn start_of_round(&mut self) -> Cursor {
        self.find_front();
        while self.take_forced() {
            self.find_front();
        }
        match self.next[0] {
            0 => Cursor::Open(0),
            first => Cursor::List(first),
        }
    }

    /// Finds the first return of an operation that is not taken.
    fn find_front(&mut self) {
        let mut entry = self.next[0];
        while entry != 0 && self.what[entry] & RETURN == 0 {
            entry = self.next[entry];
        }
        self.front = if entry == 0 { usize::MAX } else { entry };
    }

    /// The completed operations that were called before the first return.
    fn callable(&self) -> impl Iterator<Item = usize> {
        let step = |entry: &usize| Some(self.next[*entry]);
        let entries = std::iter::successors(Some(self.next[0]), step);
        let calls = entries.take_while(|entry| *entry != 0 && self.what[*entry] & RETURN == 0);
        calls.map(|entry| self.what[entry])
    }

    fn take_forced(&mut self) -> bool {
        let fits = |index: &usize| {
            let operation = &self.history[*index];
            let answer = operation.returned.as_ref().map(|(_, answer)| answer);
            self.reads[*index] && self.model.step(&self.state, &operation.call, answer).is_some()
        };
        let forced = self.callable().find(fits).or_else(|| self.free_write());
        let Some(index) = forced else { return false };
        let operation = &self.history[index];
        let answer = operation.returned.as_ref().map(|(_, answer)| answer);
        let after = self.model.step(&self.state, &operation.call, answer);
        let after = after.unwrap_or_else(|| unreachable!("a blind write fits every state"));
        self.take(index, after, Cursor::List(0), true);
        true
    }

    /// V2: a write that may be taken at once.
    fn free_write(&self) -> Option<usize> {
        let values = self.values.as_ref()?;
        if !values.holds_what_nobody_needs() {
            return None;
        }
        let looks_at = |value: usize| {
            let looks = self.callable().filter(|index| values.act(*index) == Act::Looks(value));
            looks.count() as u32
        };
        let callable = self.callable().find(|index| values.is_free(*index, looks_at));
        callable.or_else(|| {
            let open = (0..).map_while(|place| self.open_at(place));
            let mut left = open.filter(|index| !self.is_taken(*index));
            left.find(|index| values.is_free(*index, looks_at))
        })
    }

    /// The open operation at `place`, if it was called before the first return.
    fn open_at(&self, place: usize) -> Option<usize> {
        let index = *self.open.get(place)?;
        if self.front == usize::MAX {
            return Some(index);
        }
        let returned = self.history[self.what[self.front] & !RETURN].returned.as_ref();
        returned.is_some_and(|(at, _)| self.history[index].called_at <= *at).then_some(index)
    }

    fn is_taken(&self, index: usize) -> bool {
        let bit = self.bits[index];
        self.taken[bit / 64] >> (bit % 64) & 1 == 1
    }

    fn try_take(&mut self, index: usize, found: Cursor) -> bool {
        if self.is_taken(index) || self.has_earlier_twin(index) {
            return false;
        }
        if let Some(values) = &self.values
            && (!values.is_worth_trying(index) || self.unnoticed && !values.notices(index))
        {
            return false;
        }
        let operation = &self.history[index];
        let answer = operation.returned.as_ref().map(|(_, answer)| answer);
        let Some(after) = self.model.step(&self.state, &operation.call, answer) else {
            return false;
        };
        if answer.is_none() && !self.is_open_worth_trying(index, &after) {
            return false;
        }
        self.take(index, after, found, false);
        if self.seen.insert(self.configuration()) {
            return true;
        }
        self.take_back();
        false
    }

    fn is_open_worth_trying(&self, index: usize, after: &M::State) -> bool {
        let call = &self.history[index].call;
        let unseen = self.unseen.get(index).is_some_and(|unseen| *unseen);
        if *after == self.state || (unseen && self.model.settled(&self.state)) {
            return false;
        }
        // A completed operation that does the same goes first: this one can wait for ever.
        let twins = self.completed_twins.get(&index).map_or(&[][..], Vec::as_slice);
        let first = twins.partition_point(|twin| self.places[*twin].1 < self.front);
        !twins[first..].iter().take(TWINS_MAX).any(|twin| {
            let answer = self.history[*twin].returned.as_ref().map(|(_, answer)| answer);
            self.is_callable(*twin)
                && self.model.step(&self.state, call, answer).as_ref() == Some(after)
        })
    }

    /// Whether a completed operation could come next, as far as time goes.
    fn is_callable(&self, index: usize) -> bool {
        self.places[index].0 < self.front && !self.is_taken(index)
    }

    /// Of operations with the same call and answer that are all called, those that return first go
    /// first: in any order that explains the history two of them can change places.
    fn has_earlier_twin(&self, index: usize) -> bool {
        let mut twin = self.twins[index];
        if self.history[index].returned.is_none() {
            return twin.is_some_and(|twin| !self.is_taken(twin));
        }
        while let Some(other) = twin {
            if self.places[other].1 < self.front {
                return false;
            }
            if self.is_callable(other) {
                return true;
            }
            twin = self.twins[other];
        }
        false
    }

    fn take(&mut self, index: usize, after: M::State, found: Cursor, forced: bool) {
        let open = self.history[index].returned.is_none();
        let bit = self.bits[index];
        self.taken[bit / 64] |= 1 << (bit % 64);
        let frame = Frame {
            operation: index,
            before: std::mem::replace(&mut self.state, after),
            value_before: self.values.as_mut().map_or(0, |values| values.take(index)),
            unnoticed_before: self.unnoticed,
            top_before: self.top,
            forced,
            found,
        };
        self.stack.push(frame);
        self.unnoticed = open && self.values.is_some();
        self.top = self.top.max(bit / 64 + 1);
        if !open {
            self.completed_left -= 1;
            let (call, ret) = self.places[index];
            self.unlink(call);
            self.unlink(ret);
        }
    }

    fn take_back(&mut self) -> Option<Frame<M::State>> {
        let mut frame = self.stack.pop()?;
        let index = frame.operation;
        let bit = self.bits[index];
        self.taken[bit / 64] &= !(1 << (bit % 64));
        std::mem::swap(&mut self.state, &mut frame.before);
        if let Some(values) = &mut self.values {
            values.untake(index, frame.value_before);
        }
        self.unnoticed = frame.unnoticed_before;
        self.top = frame.top_before;
        if self.history[index].returned.is_some() {
            self.completed_left += 1;
            let (call, ret) = self.places[index];
            self.relink(ret);
            self.relink(call);
        }
        Some(frame)
    }

    /// Takes back the last choice that had alternatives; where to look for them.
    fn step_back(&mut self) -> Option<Cursor> {
        loop {
            let frame = self.take_back()?;
            if !frame.forced {
                self.find_front();
                return Some(match frame.found {
                    Cursor::List(entry) => Cursor::List(self.next[entry]),
                    Cursor::Open(place) => Cursor::Open(place + 1),
                });
            }
        }
    }

    /// What decides all that follows: which operations are left, and the state. Completed
    /// operations before the first that is left are all taken and need not be listed.
    fn configuration(&self) -> (Box<[u64]>, Option<M::State>) {
        let low = match self.next[0] {
            0 => self.top,
            first => self.bits[self.what[first]] / 64,
        };
        let (open, high) = (&self.taken[..self.open_words], self.taken.get(low..self.top));
        let high = high.unwrap_or_default();
        let length = high.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        let first = (low as u64) << 1 | u64::from(self.unnoticed);
        let words = [&[first], open, &high[..length]].concat().into();
        let any = self.values.as_ref().is_some_and(Values::holds_what_nobody_needs);
        (words, (!any).then(|| self.state.clone()))
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

fn only_reads<M: Model>(model: &M, operation: &Operation<M::Call, M::Return>) -> bool {
    let answer = operation.returned.as_ref().map(|(_, answer)| answer);
    answer.is_some_and(|answer| model.only_reads(&operation.call, answer))
}

/// The same call and answer before each operation, among the completed in the order of `returns`
/// and among the open in the order of `open`.
fn twins<C: Eq + Hash, R: Eq + Hash>(
    history: &[Operation<C, R>],
    returns: &[usize],
    open: &[usize],
) -> Vec<Option<usize>> {
    let mut twins = vec![None; history.len()];
    let mut last = HashMap::new();
    for index in returns.iter().chain(open) {
        let operation = &history[*index];
        let answer = operation.returned.as_ref().map(|(_, answer)| answer);
        twins[*index] = last.insert((&operation.call, answer), *index);
    }
    twins
}

/// For each open operation, the completed ones with the same call in the order of `returns`.
fn completed_twins<C: Eq + Hash, R>(
    history: &[Operation<C, R>],
    returns: &[usize],
    open: &[usize],
) -> HashMap<usize, Vec<usize>> {
    let mut by_call: HashMap<&C, Vec<usize>> = HashMap::new();
    for index in open {
        by_call.entry(&history[*index].call).or_default();
    }
    for index in returns {
        if let Some(same) = by_call.get_mut(&history[*index].call) {
            same.push(*index);
        }
    }
    let of = |index: &usize| (*index, by_call[&history[*index].call].clone());
    open.iter().map(of).filter(|(_, same)| !same.is_empty()).collect()
}

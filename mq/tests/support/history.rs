//! Histories of real runs, and whether a queue may have answered like that.
//!
//! What always holds: what is reported is a violation. Each condition follows from
//! linearizability (Herlihy and Wing, 1990) and the order of non-overlapping calls; a history that
//! violates none may still be wrong, except for short ones, which [`is_linearizable`] tries in
//! every order (Wing and Gong, 1993).
//! Left to others: making histories (`histories`).
//!
//! Times come from one monotonic clock. Two calls at the same reading count as overlapping.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    fmt,
};

/// What a call was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// These values were pushed, in this order.
    Pushed(Vec<u64>),
    /// The queue was full.
    Full,
    /// These values were popped, in this order.
    Popped(Vec<u64>),
    /// The queue was empty.
    Empty,
}

/// One call: from when to when, in nanoseconds, and what came of it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) begin: u64,
    pub(crate) end: u64,
    pub(crate) answer: Answer,
}

/// What no queue may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Violation {
    /// A value was popped that nobody pushed, or before it was pushed.
    OutOfNowhere(u64),
    /// A value was popped twice.
    Duplicate(u64),
    /// A value was never popped, though the queue was drained at the end.
    Lost(u64),
    /// The first was pushed before the second and popped after it.
    Overtaken(u64, u64),
    /// "Empty" at this time, while there was a value at each moment of the call.
    FalseEmpty(u64),
    /// "Full" at this time, while there was room at each moment of the call.
    FalseFull(u64),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One value's way: its calls, and its place in each.
#[derive(Clone, Copy)]
struct Way {
    value: u64,
    pushed: Moment,
    popped: Moment,
}

#[derive(Clone, Copy)]
struct Moment {
    call: usize,
    index: usize,
    begin: u64,
    end: u64,
}

impl Moment {
    fn precedes(&self, other: &Self) -> bool {
        self.end < other.begin || (self.call == other.call && self.index < other.index)
    }
}

/// What a history may be held to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Promise {
    /// The producer of a value, where only values of one producer keep their order and nothing is
    /// promised about "empty" and "full".
    pub(crate) producer_of: Option<fn(u64) -> u64>,
    /// How many values fit, where that is exact.
    pub(crate) capacity: Option<usize>,
}

/// The first violations of each kind in a history at whose end the queue was drained.
pub(crate) fn violations(calls: &[Call], promise: Promise) -> Vec<Violation> {
    let (ways, mut found) = ways(calls);
    match promise.producer_of {
        None => {
            found.extend(overtaken(&ways));
            found.extend(false_empty(calls, &ways));
        }
        Some(producer_of) => {
            let mut of_producers: BTreeMap<u64, Vec<Way>> = BTreeMap::new();
            for way in &ways {
                of_producers.entry(producer_of(way.value)).or_default().push(*way);
            }
            found.extend(of_producers.values().filter_map(|ways| overtaken(ways)));
        }
    }
    if let Some(capacity) = promise.capacity {
        found.extend(false_full(calls, &ways, capacity));
    }
    found
}

/// The ways of all values that were pushed and popped, and what is wrong with the others.
fn ways(calls: &[Call]) -> (Vec<Way>, Vec<Violation>) {
    let mut found = Vec::new();
    let (mut pushed, mut popped) = (HashMap::new(), HashMap::new());
    for (call, Call { begin, end, answer }) in calls.iter().enumerate() {
        let (values, moments) = match answer {
            Answer::Pushed(values) => (values, &mut pushed),
            Answer::Popped(values) => (values, &mut popped),
            Answer::Full | Answer::Empty => continue,
        };
        for (index, value) in values.iter().enumerate() {
            let moment = Moment { call, index, begin: *begin, end: *end };
            if moments.insert(*value, moment).is_some() {
                found.push(Violation::Duplicate(*value));
            }
        }
    }
    let mut ways = Vec::with_capacity(pushed.len());
    for (value, pushed) in &pushed {
        match popped.remove(value) {
            Some(popped) if popped.end < pushed.begin => {
                found.push(Violation::OutOfNowhere(*value));
            }
            Some(popped) => ways.push(Way { value: *value, pushed: *pushed, popped }),
            None => found.push(Violation::Lost(*value)),
        }
    }
    found.extend(popped.keys().map(|value| Violation::OutOfNowhere(*value)));
    (ways, found)
}

/// A value that was pushed before another one and popped after it. The values are passed in the
/// order in which their pushes began; of all whose push had ended by then, the one whose pop began
/// last is the only one that can have been overtaken. Inside one batch neighbours are compared.
fn overtaken(ways: &[Way]) -> Option<Violation> {
    let mut by_begin: Vec<&Way> = ways.iter().collect();
    by_begin.sort_by_key(|way| way.pushed.begin);
    let mut by_end: Vec<&Way> = ways.iter().collect();
    by_end.sort_by_key(|way| way.pushed.end);
    let mut ended = by_end.into_iter().peekable();
    let mut latest: Option<&Way> = None;
    for second in by_begin {
        while let Some(first) = ended.next_if(|first| first.pushed.end < second.pushed.begin) {
            if latest.is_none_or(|way| way.popped.begin < first.popped.begin) {
                latest = Some(first);
            }
        }
        if let Some(first) = latest
            && second.popped.precedes(&first.popped)
        {
            return Some(Violation::Overtaken(first.value, second.value));
        }
    }
    overtaken_in_a_batch(ways, |way| way.pushed, |way| way.popped, false)
        .or_else(|| overtaken_in_a_batch(ways, |way| way.popped, |way| way.pushed, true))
}

/// Neighbours in one call that another call turned around.
fn overtaken_in_a_batch(
    ways: &[Way],
    batch: fn(&Way) -> Moment,
    other: fn(&Way) -> Moment,
    popped: bool,
) -> Option<Violation> {
    let mut sorted: Vec<&Way> = ways.iter().collect();
    sorted.sort_by_key(|way| (batch(way).call, batch(way).index));
    sorted.windows(2).find_map(|pair| {
        let (first, second) = (pair[0], pair[1]);
        let together = batch(first).call == batch(second).call;
        (together && other(second).precedes(&other(first))).then(|| {
            let (first, second) = if popped { (second, first) } else { (first, second) };
            Violation::Overtaken(first.value, second.value)
        })
    })
}

/// An "empty" while values were inside for sure all the time: from the end of their push to the
/// begin of their pop. Where these spans overlap they are one.
fn false_empty(calls: &[Call], ways: &[Way]) -> Option<Violation> {
    let mut spans: Vec<(u64, u64)> = ways
        .iter()
        .map(|way| (way.pushed.end, way.popped.begin))
        .filter(|(from, to)| from < to)
        .collect();
    spans.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (from, to) in spans {
        match merged.last_mut() {
            Some(last) if from < last.1 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    calls.iter().filter(|call| call.answer == Answer::Empty).find_map(|call| {
        let behind = merged.partition_point(|(from, _)| *from < call.begin);
        let (_, to) = *merged.get(behind.checked_sub(1)?)?;
        (call.end < to).then_some(Violation::FalseEmpty(call.begin))
    })
}

/// A "full" while fewer values than fit can have been inside: from the begin of their push to the
/// end of their pop.
fn false_full(calls: &[Call], ways: &[Way], capacity: usize) -> Option<Violation> {
    let mut changes: BTreeMap<u64, i64> = BTreeMap::new();
    for way in ways {
        *changes.entry(way.pushed.begin).or_default() += 1;
        *changes.entry(way.popped.end + 1).or_default() -= 1;
    }
    let mut inside = 0;
    let steps: Vec<(u64, i64)> = changes
        .into_iter()
        .map(|(at, change)| {
            inside += change;
            (at, inside)
        })
        .collect();
    calls.iter().filter(|call| call.answer == Answer::Full).find_map(|call| {
        let first = steps.partition_point(|(at, _)| *at <= call.begin).saturating_sub(1);
        let most = steps[first..]
            .iter()
            .take_while(|(at, _)| *at <= call.end)
            .map(|(_, inside)| *inside)
            .max();
        (most.unwrap_or(0) < capacity as i64).then_some(Violation::FalseFull(call.begin))
    })
}

/// The longest history that [`is_linearizable`] takes.
pub(crate) const CALLS_MAX: usize = 10;

/// Whether some order of the calls that respects time is one that a deque of this capacity gives.
///
/// # Panics
/// With more than [`CALLS_MAX`] calls.
pub(crate) fn is_linearizable(calls: &[Call], capacity: Option<usize>) -> bool {
    assert!(calls.len() <= CALLS_MAX, "every order of {} calls is too many", calls.len());
    try_every_order(calls, capacity, 0, &VecDeque::new(), &mut HashSet::new())
}

fn try_every_order(
    calls: &[Call],
    capacity: Option<usize>,
    done: u32,
    queue: &VecDeque<u64>,
    seen: &mut HashSet<(u32, VecDeque<u64>)>,
) -> bool {
    if done.count_ones() as usize == calls.len() {
        return true;
    }
    if !seen.insert((done, queue.clone())) {
        return false;
    }
    let open = |index: &usize| done & 1 << index == 0;
    let first_end = (0..calls.len()).filter(open).map(|index| calls[index].end).min();
    (0..calls.len()).filter(open).any(|index| {
        first_end.is_some_and(|end| calls[index].begin <= end)
            && after(queue, &calls[index].answer, capacity).is_some_and(|queue| {
                try_every_order(calls, capacity, done | 1 << index, &queue, seen)
            })
    })
}

/// The queue after a call that was answered like that; `None` if it cannot be.
fn after(queue: &VecDeque<u64>, answer: &Answer, capacity: Option<usize>) -> Option<VecDeque<u64>> {
    let room = capacity.map_or(usize::MAX, |capacity| capacity - queue.len());
    let mut queue = queue.clone();
    match answer {
        Answer::Pushed(values) if values.len() <= room => queue.extend(values),
        Answer::Full if room == 0 => {}
        Answer::Empty if queue.is_empty() => {}
        Answer::Popped(values) => {
            let fits = values.iter().all(|value| queue.pop_front() == Some(*value));
            return fits.then_some(queue);
        }
        Answer::Pushed(_) | Answer::Full | Answer::Empty => return None,
    }
    Some(queue)
}

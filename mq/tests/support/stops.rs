//! Runs an operation on one thread that stands still at chosen steps, and the work of the others
//! meanwhile.
//!
//! What always holds: a run ends, whatever the queue does; every value is accounted for at the
//! end of it.
//! Left to others: which operation, which steps, what to make of the answers (`lock_freedom`).

use std::{collections::BTreeSet, sync::Arc, thread};

use quorate_mq::{
    PopError, PushError,
    stepped::{Obstacle, Site, Stop},
};

use crate::kinds::{Bound, End, Kind, Order, Pop, Push};

/// The capacity of the queues under test, in values: more than a batch, so that a thread that
/// stands still holds some places and not all.
pub(crate) const CAPACITY: usize = 8;
const BATCH: usize = 3;
/// Rounds without success after which the others cannot go on. Nothing but they changes the
/// queue, so that a few would do; hints of handles may take as many as there are places.
const ROUNDS_IDLE_MAX: u32 = 1_000;
/// The steps that one operation may make while nobody else runs: far more than any needs.
const STEPS_MAX: u64 = 100_000;
/// Marks the values that the stopped thread pushes.
const OF_VICTIM: u64 = 1 << 63;

/// The state of the queue before the operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    /// Values inside.
    pub(crate) fill: usize,
    /// Values that went through before.
    pub(crate) turns: usize,
    /// Whether the thread that is stopped uses a handle that nobody used before.
    pub(crate) fresh: bool,
}

/// What one thread begins, and does not end.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// Whether it uses the pushing handle; otherwise the popping one.
    pushes: bool,
    act: Act,
}

#[derive(Clone, Copy)]
enum Act {
    One,
    Batch,
    Close,
    CloneAndDrop,
}

pub(crate) const OPERATIONS: &[Operation] = &[
    Operation { name: "push", pushes: true, act: Act::One },
    Operation { name: "push_batch", pushes: true, act: Act::Batch },
    Operation { name: "pop", pushes: false, act: Act::One },
    Operation { name: "pop_batch", pushes: false, act: Act::Batch },
    Operation { name: "close", pushes: true, act: Act::Close },
    Operation { name: "close by a consumer", pushes: false, act: Act::Close },
    Operation { name: "clone and drop a producer", pushes: true, act: Act::CloneAndDrop },
    Operation { name: "clone and drop a consumer", pushes: false, act: Act::CloneAndDrop },
];

/// How the thread stands still.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// Once, until the others have completed so many operations.
    For(u64),
    /// Before each of so many steps, until the others have completed so many operations; and
    /// `stride` more before the next step, so that what they leave behind differs.
    Steps { stops_max: u64, completed_min: u64, stride: u64 },
}

/// What one stop did to the others.
pub(crate) struct Stopped {
    pub(crate) site: Site,
    pub(crate) completed: u64,
    /// Why they could not go on.
    pub(crate) blocked: Option<String>,
}

/// What the stopped thread did in the end.
#[derive(Default)]
struct Outcome {
    pushed: Vec<u64>,
    popped: Vec<u64>,
}

/// The handles of the thread that is stopped.
struct Victim<K: Kind> {
    push: Option<K::Push<u64>>,
    pop: Option<K::Pop<u64>>,
}

/// Runs `operation` in a fresh queue and stops it before step `first`; returns the stops, none
/// when the operation has fewer steps.
pub(crate) fn stop_once<K: Kind>(
    operation: &'static Operation,
    context: Context,
    first: u64,
    pace: Pace,
) -> Vec<Stopped> {
    let (mut others, mut victim) = prepare::<K>(operation, context);
    let stop = Stop::new();
    let in_thread = stop.clone();
    let thread = thread::spawn(move || {
        let outcome = in_thread.run(first, || victim.perform(operation));
        (outcome, victim)
    });
    let stops = match pace {
        Pace::For(completed_min) => {
            stop.wait().map(|site| others.work(&stop, site, completed_min)).into_iter().collect()
        }
        Pace::Steps { stops_max, completed_min, stride } => {
            others.work_between_steps(&stop, stops_max, completed_min, stride)
        }
    };
    stop.release();
    let (outcome, victim) = thread.join().expect("the operation itself does not panic");
    let sites: Vec<_> = stops.iter().map(|stopped| stopped.site.to_string()).collect();
    others.account_for_every_value(outcome, victim).unwrap_or_else(|difference| {
        panic!(
            "{}: {difference}; after {} from {context:?} had stopped before step {first}: {sites:?}",
            K::NAME, operation.name
        )
    });
    stops
}

/// A queue in the wanted state. The thread that is stopped gets its own handle; where there can
/// be only one on its side, the others do without.
fn prepare<K: Kind>(operation: &Operation, context: Context) -> (Others<K>, Victim<K>) {
    let (push, pop) = K::queue(CAPACITY);
    let mut others =
        Others { push: Some(push), pop: Some(pop), next: 0, expected: 0, ..Others::default() };
    for _ in 0..context.turns {
        others.push_one();
        others.pop_one();
    }
    for _ in 0..context.fill {
        others.push_one();
    }
    assert_eq!(others.next - others.expected, context.fill as u64, "a quiet queue takes all");
    let mut victim = Victim { push: None, pop: None };
    // The values of the others keep their order among themselves if they have one producer.
    let fresh = context.fresh || K::ORDER == Order::PerProducer;
    if operation.pushes {
        victim.push = split(&mut others.push, fresh, K::another_push);
    } else {
        victim.pop = split(&mut others.pop, fresh, K::another_pop);
    }
    (others, victim)
}

/// Takes the handle away, or another one if it should be fresh, and leaves the other of the two.
fn split<H>(handle: &mut Option<H>, fresh: bool, another: impl Fn(&H) -> Option<H>) -> Option<H> {
    let used = handle.take()?;
    match another(&used) {
        None => Some(used),
        Some(new) => {
            let (mine, theirs) = if fresh { (new, used) } else { (used, new) };
            *handle = Some(theirs);
            Some(mine)
        }
    }
}

impl<K: Kind> Victim<K> {
    fn perform(&mut self, operation: &Operation) -> Outcome {
        let mut outcome = Outcome::default();
        if let Some(push) = &self.push {
            match operation.act {
                Act::One => {
                    if push.push(OF_VICTIM).is_ok() {
                        outcome.pushed.push(OF_VICTIM);
                    }
                }
                Act::Batch => {
                    let mut source: Vec<_> = (0..BATCH as u64).map(|n| OF_VICTIM | n).collect();
                    let count = push.push_batch(&mut source).unwrap_or(0);
                    outcome.pushed.extend((0..count as u64).map(|n| OF_VICTIM | n));
                }
                Act::Close => drop(push.close()),
                Act::CloneAndDrop => drop(K::another_push(push)),
            }
        }
        if let Some(pop) = &self.pop {
            match operation.act {
                Act::One => outcome.popped.extend(pop.pop()),
                Act::Batch => drop(pop.pop_batch(&mut outcome.popped, BATCH)),
                Act::Close => drop(pop.close()),
                Act::CloneAndDrop => drop(K::another_pop(pop)),
            }
        }
        outcome
    }
}

/// What one try of the others came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Done,
    Nothing,
    Busy,
    Closed,
}

/// The handles of the threads that go on, and the account of what they pushed and popped.
struct Others<K: Kind> {
    push: Option<K::Push<u64>>,
    pop: Option<K::Pop<u64>>,
    /// The next value to push: they count up.
    next: u64,
    /// The value that comes next in order.
    expected: u64,
    /// Values that were passed over: the stopped thread must have them.
    missing: BTreeSet<u64>,
    /// What the stopped thread pushed and the others popped.
    of_victim: Vec<u64>,
    batch: Vec<u64>,
}

impl<K: Kind> Default for Others<K> {
    fn default() -> Self {
        Self {
            push: None,
            pop: None,
            next: 0,
            expected: 0,
            missing: BTreeSet::new(),
            of_victim: Vec::new(),
            batch: Vec::new(),
        }
    }
}

impl<K: Kind> Others<K> {
    fn push_one(&mut self) -> Answer {
        let Some(push) = &self.push else { return Answer::Closed };
        match push.push(self.next) {
            Ok(()) => {
                self.next += 1;
                Answer::Done
            }
            Err(error) => answer_to_push(&error),
        }
    }

    fn push_some(&mut self) -> Answer {
        let Some(push) = &self.push else { return Answer::Closed };
        self.batch.clear();
        self.batch.extend(self.next..self.next + BATCH as u64);
        match push.push_batch(&mut self.batch) {
            Ok(count) => {
                self.next += count as u64;
                Answer::Done
            }
            Err(error) => answer_to_push(&error),
        }
    }

    fn pop_one(&mut self) -> Answer {
        let Some(pop) = &self.pop else { return Answer::Closed };
        match pop.pop() {
            Ok(value) => {
                self.note(value);
                Answer::Done
            }
            Err(error) => answer_to_pop(error),
        }
    }

    fn pop_some(&mut self) -> Answer {
        let Some(pop) = &self.pop else { return Answer::Closed };
        let mut batch = std::mem::take(&mut self.batch);
        batch.clear();
        let popped = pop.pop_batch(&mut batch, BATCH);
        batch.iter().for_each(|value| self.note(*value));
        self.batch = batch;
        popped.map_or_else(answer_to_pop, |_| Answer::Done)
    }

    /// Takes a popped value into the account: in order, and none twice.
    fn note(&mut self, value: u64) {
        if value & OF_VICTIM != 0 {
            self.of_victim.push(value);
            return;
        }
        assert!(value >= self.expected && value < self.next, "{value} twice or out of order");
        assert!(value - self.expected <= BATCH as u64, "more passed over than one thread takes");
        self.missing.extend(self.expected..value);
        self.expected = value + 1;
    }

    /// Pushes and pops in turn until `completed_min` operations succeeded, or none can.
    fn work(&mut self, stop: &Arc<Stop>, site: Site, completed_min: u64) -> Stopped {
        let alone = self.push.is_none() || self.pop.is_none();
        let mut completed = 0;
        let mut closed = false;
        let mut stuck = None;
        stop.watch(STEPS_MAX, |next_operation| {
            let (mut push_idle, mut pop_idle) = (0, 0);
            for round in 0_u64.. {
                next_operation();
                let pushed = if round % 4 == 3 { self.push_some() } else { self.push_one() };
                next_operation();
                let popped = if round % 4 == 2 { self.pop_some() } else { self.pop_one() };
                let push_done = pushed == Answer::Done || pushed == Answer::Closed;
                let pop_done = popped == Answer::Done || popped == Answer::Closed;
                // Without the other side "full" and "empty" are all there is to answer.
                let push_done = push_done || (alone && pushed == Answer::Nothing);
                let nothing_comes = alone || pushed == Answer::Closed;
                let pop_done = pop_done || (nothing_comes && popped == Answer::Nothing);
                closed = pushed == Answer::Closed && self.push.is_some();
                completed += u64::from(push_done) + u64::from(pop_done);
                push_idle = if push_done { 0 } else { push_idle + 1 };
                pop_idle = if pop_done { 0 } else { pop_idle + 1 };
                if push_idle.max(pop_idle) >= ROUNDS_IDLE_MAX {
                    stuck = Some(format!("a push answers {pushed:?}, a pop {popped:?}"));
                }
                if stuck.is_some() || stop.obstacle().is_some() || completed >= completed_min {
                    break;
                }
            }
        });
        let blocked = stop.obstacle().map(describe).or(stuck);
        let blocked = blocked.or_else(|| if closed { None } else { self.left_undone() });
        Stopped { site, completed, blocked }
    }

    /// Without the other side: whether a value or a place was withheld that was there before.
    fn left_undone(&self) -> Option<String> {
        if self.push.is_none() && self.expected + (self.missing.len() as u64) < self.next {
            return Some("a value that was there is withheld".to_owned());
        }
        let room = self.expected + CAPACITY as u64 - self.next;
        if self.pop.is_none() && K::BOUND == Bound::Exact && room > 0 {
            return Some("a place that was free is withheld".to_owned());
        }
        None
    }

    /// Lets the thread make one step at a time, and works in between.
    fn work_between_steps(
        &mut self,
        stop: &Arc<Stop>,
        stops_max: u64,
        completed_min: u64,
        stride: u64,
    ) -> Vec<Stopped> {
        let mut stops = Vec::new();
        while let Some(site) = stop.wait() {
            let stopped = self.work(stop, site, completed_min);
            let ends = stopped.blocked.is_some();
            stops.push(stopped);
            if ends || stops.len() as u64 >= stops_max || site.access == "wait" {
                break;
            }
            (0..stride).for_each(|_| _ = (self.push_one(), self.pop_one()));
            // Full for every other step, so that both ends come into the way.
            if stops.len().is_multiple_of(2) {
                (0..CAPACITY).for_each(|_| _ = self.push_one());
            }
            stop.advance();
        }
        stops
    }

    /// After the thread has gone on: each value is there once, in order.
    fn account_for_every_value(
        mut self,
        outcome: Outcome,
        victim: Victim<K>,
    ) -> Result<(), String> {
        // Where there is one handle for a side, it comes back from the thread.
        self.pop = self.pop.take().or(victim.pop);
        let last = loop {
            match self.pop_one() {
                Answer::Done => {}
                last => break last,
            }
        };
        self.missing.extend(self.expected..self.next);
        let popped: BTreeSet<_> = outcome.popped.iter().copied().collect();
        if last == Answer::Busy {
            Err("a pop says that somebody is halfway, nobody is".to_owned())
        } else if popped.len() != outcome.popped.len() {
            Err(format!("the stopped thread popped a value twice: {:?}", outcome.popped))
        } else if self.missing != popped {
            Err(format!("others miss {:?}, the stopped thread popped {popped:?}", self.missing))
        } else if self.of_victim != outcome.pushed {
            let Outcome { pushed, .. } = outcome;
            Err(format!("the stopped thread pushed {pushed:?}, others popped {:?}", self.of_victim))
        } else {
            Ok(())
        }
    }
}

fn answer_to_push<T>(error: &PushError<T>) -> Answer {
    match error {
        PushError::Full(_) => Answer::Nothing,
        PushError::Busy(_) => Answer::Busy,
        PushError::Closed(_) => Answer::Closed,
    }
}

fn answer_to_pop(error: PopError) -> Answer {
    match error {
        PopError::Empty => Answer::Nothing,
        PopError::Busy => Answer::Busy,
        PopError::Closed => Answer::Closed,
    }
}

fn describe(obstacle: Obstacle) -> String {
    match obstacle {
        Obstacle::Lock(site) => format!("they wait for a lock, {site}"),
        Obstacle::Steps(site) => format!("an operation of theirs has no end, last {site}"),
    }
}

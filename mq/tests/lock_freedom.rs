//! Lock-freedom, by stopping a thread for ever: before each step of an operation, in queues that
//! are empty, half full and full, alone and amid the work of others. Run with
//! `RUSTFLAGS="--cfg stepped" cargo test --release -p quorate-mq --test lock_freedom --
//! --nocapture`.
//!
//! What is shown: the others complete a million operations while that thread stands still, or
//! (for the types without the guarantee) they cannot, at the steps that the table names. The
//! others are one thread that pushes and pops in turn, so that the answers depend on nothing but
//! the step; whoever fails a thousand rounds on end can never go on, since nothing else changes
//! the queue. After that the thread goes on, and every value must be there once and in order.
//! What is not shown: freedom from starvation; an operation may be overtaken without end.
#![cfg(stepped)]
#![allow(clippy::unwrap_used, reason = "helpers of tests, too, end a test by a panic")]

#[macro_use]
#[path = "support/kinds.rs"]
mod kinds;
#[path = "support/stops.rs"]
mod stops;

use std::collections::{BTreeMap, BTreeSet};

use kinds::Kind;
use quorate_mq::stepped::Site;
use stops::{CAPACITY, Context, OPERATIONS, Operation, Pace, Stopped, stop_once};

/// Operations of the others while a thread stands still, in a queue that is half full.
const COMPLETED_MIN: u64 = 1_000_000;
/// The same in each other state, and ten times as many as at each step amid the work of others.
const COMPLETED_MIN_ELSEWHERE: u64 = 20_000;
/// After so many steps amid the work of others an operation is left to run to its end.
const STEPS_AMID_OTHERS_MAX: u64 = 200;

/// The operations in which a stop blocks others, for the types that are not lock-free.
const BLOCKING: &[(&str, &[&str])] = &[
    ("ring", &["push", "push_batch", "pop", "pop_batch"]),
    ("sharded", &["pop", "pop_batch", "close", "close by a consumer", "clone and drop a producer"]),
    ("a lock", &["push", "push_batch", "pop", "pop_batch", "close", "close by a consumer"]),
];

for_every_kind! { others_go_on_or_the_step_is_named }

/// What was found for one operation of one type.
#[derive(Default)]
struct Row {
    stops: usize,
    completed: u64,
    steps: BTreeSet<Site>,
    blocking: BTreeMap<Site, String>,
}

impl Row {
    fn add(&mut self, stopped: &Stopped) {
        self.stops += 1;
        self.completed += stopped.completed;
        self.steps.insert(stopped.site);
        if let Some(reason) = &stopped.blocked {
            self.blocking.entry(stopped.site).or_insert_with(|| reason.clone());
        }
    }

    fn print(&self, kind: &str, operation: &str) {
        println!(
            "| {kind} | {operation} | {} | {} | {} | {} |",
            self.steps.len(),
            self.stops,
            self.completed,
            if self.blocking.is_empty() {
                "none".to_owned()
            } else {
                self.blocking.len().to_string()
            },
        );
        for (site, reason) in &self.blocking {
            println!("{kind}: stopped before {site}, {reason}");
        }
    }
}

fn contexts() -> Vec<Context> {
    let mut contexts = Vec::new();
    for fill in [CAPACITY / 2, 0, 1, CAPACITY - 1, CAPACITY] {
        contexts.push(Context { fill, turns: 0, fresh: false });
        contexts.push(Context { fill, turns: CAPACITY - 2, fresh: false });
        contexts.push(Context { fill, turns: 0, fresh: true });
    }
    contexts
}

fn others_go_on_or_the_step_is_named<K: Kind>() {
    let mut blocking = Vec::new();
    println!("| type | stopped in | steps | stops | completed by others | steps that block |");
    for operation in OPERATIONS {
        let mut row = Row::default();
        for context in contexts() {
            let common = context.fill == CAPACITY / 2 && context.turns == 0 && !context.fresh;
            let completed_min = if common { COMPLETED_MIN } else { COMPLETED_MIN_ELSEWHERE };
            stop_before_each_step::<K>(operation, context, completed_min, &mut row);
            stop_amid_others::<K>(operation, context, &mut row);
        }
        row.print(K::NAME, operation.name);
        if !row.blocking.is_empty() {
            blocking.push(operation.name);
        }
    }
    let known = BLOCKING.iter().find(|(name, _)| *name == K::NAME);
    let expected = known.map_or(&[][..], |(_, operations)| *operations);
    assert_eq!(blocking, expected, "{}: where a stop blocks others", K::NAME);
}

/// Stops the operation before its first step for ever, before its second, and so on.
fn stop_before_each_step<K: Kind>(
    operation: &'static Operation,
    context: Context,
    completed_min: u64,
    row: &mut Row,
) {
    for step in 0.. {
        let stopped = stop_once::<K>(operation, context, step, Pace::For(completed_min));
        match stopped.as_slice() {
            [] => return,
            [stopped] => row.add(stopped),
            _ => unreachable!("one stop in a run"),
        }
    }
}

/// Lets the operation make one step at a time while the others work in between, so that it comes
/// to the steps that only interference leads to.
fn stop_amid_others<K: Kind>(operation: &'static Operation, context: Context, row: &mut Row) {
    for stride in [1, 2, CAPACITY as u64 + 1] {
        let pace = Pace::Steps {
            stops_max: STEPS_AMID_OTHERS_MAX,
            completed_min: COMPLETED_MIN_ELSEWHERE / 10,
            stride,
        };
        for stopped in stop_once::<K>(operation, context, 0, pace) {
            row.add(&stopped);
        }
    }
}

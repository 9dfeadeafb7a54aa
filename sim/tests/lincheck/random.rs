//! Small random histories of each model, against brute force over all orders.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use quorate_sim::lincheck::{
    KvCall, KvModel, KvReturn, Limits, Model, MutexCall, MutexModel, MutexReturn, Operation,
    RegisterCall, RegisterModel, RegisterReturn, Verdict, analyse,
};

/// Random histories for each test.
const CASES: u32 = 4000;
/// Both verdicts must come up so often, or the test shows little.
const EACH_VERDICT_MIN: u32 = 400;

type History<M> = [Operation<<M as Model>::Call, <M as Model>::Return>];

/// Tries every order of every subset that contains all completed operations.
fn brute_force<M: Model>(model: &M, history: &History<M>) -> bool {
    extend(model, history, 0, &model.initial())
}

fn extend<M: Model>(model: &M, history: &History<M>, taken: u32, state: &M::State) -> bool {
    let left = |at: &usize| taken >> at & 1 == 0;
    let mut open = (0..history.len()).filter(left);
    if open.clone().all(|at| history[at].returned.is_none()) {
        return true;
    }
    open.any(|at| {
        let called_at = history[at].called_at;
        // Someone who is left out returned before this one was called: it must come first.
        let overtaken = (0..history.len())
            .filter(left)
            .any(|other| history[other].returned.as_ref().is_some_and(|(end, _)| *end < called_at));
        let answer = history[at].returned.as_ref().map(|(_, answer)| answer);
        let after = model.step(state, &history[at].call, answer);
        !overtaken && after.is_some_and(|after| extend(model, history, taken | 1 << at, &after))
    })
}

/// The first moment whose past no order explains, by brute force; the operation that returned then.
fn dies_at<M: Model>(model: &M, history: &History<M>) -> Option<usize> {
    let mut returns: Vec<(u64, usize)> = Vec::new();
    for (index, operation) in history.iter().enumerate() {
        returns.extend(operation.returned.as_ref().map(|(at, _)| (*at, index)));
    }
    returns.sort_unstable();
    (0..returns.len()).find_map(|last| {
        let mut past = history.to_vec();
        for (_, index) in &returns[last + 1..] {
            past[*index].returned = None;
        }
        past.retain(|operation| operation.called_at <= returns[last].0);
        (!brute_force(model, &past)).then_some(returns[last].1)
    })
}

/// Checks that an order explains what it says that it explains.
fn explains<M: Model>(model: &M, history: &History<M>, order: &[usize], all: bool) -> bool {
    let mut state = model.initial();
    for (place, index) in order.iter().enumerate() {
        let operation = &history[*index];
        // On a violation, later answers of operations that ran then are not held against them.
        let answer = operation.returned.as_ref().map(|(_, answer)| answer).filter(|_| all);
        let Some(after) = model.step(&state, &operation.call, answer) else { return false };
        state = after;
        let overtaken = order[place + 1..].iter().any(|later| {
            let end = history[*later].returned.as_ref().map_or(u64::MAX, |(end, _)| *end);
            end < operation.called_at
        });
        if overtaken {
            return false;
        }
    }
    !all || (0..history.len()).all(|at| history[at].returned.is_none() || order.contains(&at))
}

/// Compares the search with brute force on random histories: verdict, place of death, order.
fn compare<M: Model>(model: &M, operations: impl Strategy<Value = Operation<M::Call, M::Return>>)
where
    M::Call: std::fmt::Debug,
    M::Return: std::fmt::Debug,
{
    let (yes, no) = (AtomicU32::new(0), AtomicU32::new(0));
    let histories = prop::collection::vec(operations, 0..8);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(CASES));
    let result = runner.run(&histories, |history| {
        let found = analyse(model, &history, Limits::default(), &mut || true);
        match brute_force(model, &history) {
            true => {
                yes.fetch_add(1, Relaxed);
                prop_assert_eq!(found.verdict, Verdict::Linearizable);
                prop_assert!(explains(model, &history, &found.order, true));
            }
            false => {
                no.fetch_add(1, Relaxed);
                let operation = dies_at(model, &history).expect("it dies somewhere");
                prop_assert_eq!(found.verdict, Verdict::Violation { operation });
                prop_assert!(explains(model, &history, &found.order, false));
            }
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let (yes, no) = (yes.into_inner(), no.into_inner());
    assert!(yes.min(no) >= EACH_VERDICT_MIN, "{yes} linearizable, {no} not");
}

/// An operation of a call and its answer at random times; unknown with the weight given.
fn at_times<C: Clone + std::fmt::Debug, R: Clone + std::fmt::Debug>(
    calls: impl Strategy<Value = (C, R)>,
) -> impl Strategy<Value = Operation<C, R>> {
    (calls, 0..20u64, 1..14u64, 0..4u8).prop_map(|((call, answer), called_at, length, known)| {
        let returned = (known > 0).then_some((called_at + length, answer));
        Operation { process: 0, call, called_at, returned }
    })
}

fn value() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![3 => (0..3i64).prop_map(Some), 1 => Just(None)]
}

#[test]
fn a_register_is_judged_as_by_brute_force() {
    let calls = prop_oneof![
        value().prop_map(|seen| (RegisterCall::Read, RegisterReturn::Value(seen))),
        value().prop_map(|new| (RegisterCall::Write(new), RegisterReturn::Written)),
    ];
    compare(&RegisterModel::default(), at_times(calls));
}

#[test]
fn a_register_of_many_values_is_judged_as_by_brute_force() {
    let calls = prop_oneof![
        (0..6i64).prop_map(|seen| (RegisterCall::Read, RegisterReturn::Value(Some(seen)))),
        (0..6i64).prop_map(|new| (RegisterCall::Write(Some(new)), RegisterReturn::Written)),
    ];
    compare(&RegisterModel { initial: Some(0) }, at_times(calls));
}

#[test]
fn a_cas_register_is_judged_as_by_brute_force() {
    let swap = (value(), value()).prop_map(|(from, to)| RegisterCall::CompareAndSwap(from, to));
    let calls = prop_oneof![
        2 => value().prop_map(|seen| (RegisterCall::Read, RegisterReturn::Value(seen))),
        2 => value().prop_map(|new| (RegisterCall::Write(new), RegisterReturn::Written)),
        3 => swap.prop_map(|call| (call, RegisterReturn::Swapped(true))),
    ];
    compare(&RegisterModel::default(), at_times(calls));
}

#[test]
fn swaps_that_say_why_they_failed_are_judged_as_by_brute_force() {
    let swap = (value(), value()).prop_map(|(from, to)| RegisterCall::CompareAndSwap(from, to));
    let answer = prop_oneof![
        2 => Just(RegisterReturn::Swapped(true)),
        2 => Just(RegisterReturn::Swapped(false)),
        1 => value().prop_map(RegisterReturn::Mismatch),
    ];
    let calls = prop_oneof![
        2 => value().prop_map(|seen| (RegisterCall::Read, RegisterReturn::Value(seen))),
        2 => value().prop_map(|new| (RegisterCall::Write(new), RegisterReturn::Written)),
        3 => (swap, answer),
    ];
    compare(&RegisterModel::default(), at_times(calls));
}

#[test]
fn a_mutex_is_judged_as_by_brute_force() {
    let call = prop_oneof![Just(MutexCall::Acquire), Just(MutexCall::Release)];
    compare(&MutexModel, at_times(call.prop_map(|call| (call, MutexReturn))));
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(b'a'..b'c', 1..3)
}

fn kv_calls(deletes: u32) -> impl Strategy<Value = (KvCall, KvReturn)> {
    let held = || prop::option::weighted(0.8, bytes());
    let done = || {
        prop_oneof![
            2 => Just(KvReturn::Done),
            2 => any::<bool>().prop_map(|existed| KvReturn::Written { existed }),
        ]
    };
    let swap =
        (held(), bytes()).prop_map(|(expected, value)| KvCall::CompareAndSwap { expected, value });
    let swapped = prop_oneof![
        2 => Just(KvReturn::Swapped),
        1 => held().prop_map(KvReturn::Mismatch),
    ];
    prop_oneof![
        2 => held().prop_map(|seen| (KvCall::Get, KvReturn::Value(seen))),
        2 => (bytes().prop_map(KvCall::Put), done()),
        2 => (bytes().prop_map(KvCall::Append), done()),
        1 => (swap, swapped),
        deletes => (Just(KvCall::Delete), prop_oneof![
            Just(KvReturn::Done),
            held().prop_map(KvReturn::Value),
        ]),
    ]
}

#[test]
fn a_key_is_judged_as_by_brute_force() {
    compare(&KvModel::default(), at_times(kv_calls(0)));
}

#[test]
fn a_key_that_is_deleted_is_judged_as_by_brute_force() {
    compare(&KvModel { initial: Some(b"a"[..].into()) }, at_times(kv_calls(1)));
}

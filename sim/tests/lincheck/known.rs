//! Histories whose verdict is known.

use quorate_sim::lincheck::{
    KvCall, KvOperation, KvReturn, KvVerdict, Limits, MutexCall, MutexModel, MutexReturn,
    Operation, RegisterCall, RegisterModel, RegisterReturn, Verdict, analyse, check, check_kv,
};

use crate::generate::RegisterOperation;

use RegisterCall::{CompareAndSwap, Read, Write};
use RegisterReturn::{Mismatch, Swapped, Value, Written};

fn operation(
    process: u32,
    call: RegisterCall,
    called_at: u64,
    returned: Option<(u64, RegisterReturn)>,
) -> RegisterOperation {
    Operation { process, call, called_at, returned }
}

fn write(process: u32, value: i64, called_at: u64, returned_at: u64) -> RegisterOperation {
    operation(process, Write(Some(value)), called_at, Some((returned_at, Written)))
}

fn read(process: u32, value: Option<i64>, called_at: u64, returned_at: u64) -> RegisterOperation {
    operation(process, Read, called_at, Some((returned_at, Value(value))))
}

fn swap(process: u32, values: (i64, i64), at: u64, returned: Option<u64>) -> RegisterOperation {
    let call = CompareAndSwap(Some(values.0), Some(values.1));
    operation(process, call, at, returned.map(|end| (end, Swapped(true))))
}

fn verdict(history: &[RegisterOperation]) -> Verdict {
    check(&RegisterModel::default(), history, Limits::default())
}

#[track_caller]
fn assert_dies_at(history: &[RegisterOperation], operation: usize) {
    assert_eq!(verdict(history), Verdict::Violation { operation });
}

#[track_caller]
fn assert_linearizable(history: &[RegisterOperation]) {
    assert_eq!(verdict(history), Verdict::Linearizable);
}

#[test]
fn nothing_is_linearizable() {
    assert_linearizable(&[]);
    assert_linearizable(&[operation(0, Write(Some(1)), 0, None)]);
}

#[test]
fn a_read_that_overlaps_a_write_may_see_either_value() {
    for seen in [None, Some(1)] {
        assert_linearizable(&[write(0, 1, 0, 10), read(1, seen, 5, 6)]);
    }
}

#[test]
fn a_read_after_a_write_must_see_it() {
    assert_dies_at(&[write(0, 1, 0, 1), read(1, None, 2, 3)], 1);
}

#[test]
fn the_first_of_two_broken_reads_is_named() {
    let history = [
        write(0, 1, 0, 1),
        write(0, 2, 2, 3),
        read(1, Some(2), 4, 5),
        read(2, Some(1), 6, 7),
        read(2, Some(7), 8, 9),
    ];
    assert_dies_at(&history, 3);
}

#[test]
fn two_readers_must_not_see_two_writes_in_opposite_orders() {
    let history = [
        write(0, 1, 0, 100),
        write(1, 2, 0, 100),
        read(2, Some(1), 1, 2),
        read(2, Some(2), 3, 4),
        read(3, Some(1), 5, 6),
    ];
    assert_dies_at(&history, 4);
}

#[test]
fn a_new_value_once_read_does_not_go_away_while_its_write_still_runs() {
    let history = [write(0, 1, 0, 100), read(1, Some(1), 1, 2), read(2, None, 3, 4)];
    assert_dies_at(&history, 2);
}

#[test]
fn a_write_of_unknown_outcome_may_take_effect_late_or_never() {
    let unknown = operation(0, Write(Some(1)), 0, None);
    assert_linearizable(&[unknown.clone(), read(1, None, 5, 6), read(1, None, 7, 8)]);
    assert_linearizable(&[unknown.clone(), read(1, None, 5, 6), read(1, Some(1), 7, 8)]);
    assert_dies_at(&[unknown, read(1, Some(1), 5, 6), read(1, None, 7, 8)], 2);
}

#[test]
fn a_write_of_unknown_outcome_does_not_take_effect_before_its_call() {
    let history = [read(1, Some(1), 0, 1), operation(0, Write(Some(1)), 2, None)];
    assert_dies_at(&history, 0);
}

#[test]
fn a_swap_of_unknown_outcome_explains_what_follows_it_once() {
    let start = [write(0, 1, 0, 1), swap(1, (1, 2), 2, None)];
    let with = |more: &[RegisterOperation]| [&start, more].concat();
    assert_linearizable(&with(&[read(2, Some(1), 4, 5), read(2, Some(2), 6, 7)]));
    // Long after, and through a value that it brought back.
    assert_linearizable(&with(&[write(2, 3, 4, 5), write(2, 1, 6, 7), read(2, Some(2), 8, 9)]));
    let twice = [read(2, Some(2), 4, 5), write(2, 1, 6, 7), read(2, Some(2), 8, 9)];
    assert_dies_at(&with(&twice), 4);
}

#[test]
fn of_two_swaps_from_one_value_only_one_succeeds() {
    let history = [write(0, 1, 0, 1), swap(1, (1, 2), 2, Some(9)), swap(2, (1, 3), 2, Some(9))];
    assert!(matches!(verdict(&history), Verdict::Violation { .. }));
}

#[test]
fn a_write_applied_twice_is_seen() {
    let history = [write(0, 1, 0, 1), swap(1, (1, 2), 2, Some(3)), read(2, Some(1), 4, 5)];
    assert_dies_at(&history, 2);
}

#[test]
fn a_swap_that_failed_is_held_to_its_reason() {
    let failed = |answer| {
        let call = CompareAndSwap(Some(1), Some(2));
        [write(0, 1, 0, 1), operation(1, call, 2, Some((3, answer)))]
    };
    assert_dies_at(&failed(Swapped(false)), 1);
    assert_dies_at(&failed(Mismatch(Some(1))), 1);
    assert_dies_at(&failed(Mismatch(Some(4))), 1);
    let call = CompareAndSwap(Some(5), Some(2));
    for answer in [Swapped(false), Mismatch(Some(1))] {
        assert_linearizable(&[write(0, 1, 0, 1), operation(1, call, 2, Some((3, answer)))]);
    }
}

#[test]
fn the_order_and_the_states_at_the_end_are_told() {
    let history =
        [write(0, 1, 0, 1), operation(1, Write(Some(2)), 2, None), read(2, Some(3), 4, 5)];
    let found = analyse(&RegisterModel::default(), &history, Limits::default(), &mut || true);
    assert_eq!(found.verdict, Verdict::Violation { operation: 2 });
    assert_eq!(found.order, [0]);
    assert_eq!(found.states, [Some(1), Some(2)]);
}

#[test]
fn the_initial_value_counts() {
    let history = [read(0, Some(5), 0, 1)];
    let model = RegisterModel { initial: Some(5) };
    assert_eq!(check(&model, &history, Limits::default()), Verdict::Linearizable);
    assert_dies_at(&history, 0);
}

fn lock(
    process: u32,
    call: MutexCall,
    at: u64,
    end: Option<u64>,
) -> Operation<MutexCall, MutexReturn> {
    let returned = end.map(|end| (end, MutexReturn));
    Operation { process, call, called_at: at, returned }
}

fn mutex(history: &[Operation<MutexCall, MutexReturn>]) -> Verdict {
    check(&MutexModel, history, Limits::default())
}

use MutexCall::{Acquire, Release};

#[test]
fn a_lock_is_not_acquired_twice() {
    let history = [lock(0, Acquire, 0, Some(1)), lock(1, Acquire, 2, Some(3))];
    assert_eq!(mutex(&history), Verdict::Violation { operation: 1 });
    let history =
        [lock(0, Acquire, 0, Some(1)), lock(1, Acquire, 2, Some(9)), lock(0, Release, 3, Some(4))];
    assert_eq!(mutex(&history), Verdict::Linearizable);
}

#[test]
fn a_release_of_unknown_outcome_frees_a_lock_once() {
    let start = [lock(0, Acquire, 0, Some(1)), lock(0, Release, 2, None)];
    let second = [&start[..], &[lock(1, Acquire, 4, Some(5))]].concat();
    assert_eq!(mutex(&second), Verdict::Linearizable);
    let third = [&second[..], &[lock(2, Acquire, 6, Some(7))]].concat();
    assert_eq!(mutex(&third), Verdict::Violation { operation: 3 });
}

#[test]
fn a_free_lock_is_not_released() {
    assert_eq!(mutex(&[lock(0, Release, 0, Some(1))]), Verdict::Violation { operation: 0 });
    let lost = [lock(0, Acquire, 0, None), lock(0, Release, 2, Some(3))];
    assert_eq!(mutex(&lost), Verdict::Linearizable);
}

fn kv(key: &[u8], process: u32, call: KvCall, at: u64, answer: Option<KvReturn>) -> KvOperation {
    let returned = answer.map(|answer| (at + 1, answer));
    KvOperation {
        key: key.to_vec(),
        operation: Operation { process, call, called_at: at, returned },
    }
}

fn append(process: u32, at: u64, suffix: &[u8], existed: bool) -> KvOperation {
    let answer = KvReturn::Written { existed };
    kv(b"k", process, KvCall::Append(suffix.to_vec()), at, Some(answer))
}

fn get(process: u32, at: u64, value: &[u8]) -> KvOperation {
    kv(b"k", process, KvCall::Get, at, Some(KvReturn::Value(Some(value.to_vec()))))
}

#[test]
fn appends_keep_their_order_and_keys_are_independent() {
    let mut history = vec![append(0, 0, b"a", false), append(0, 2, b"b", true), get(1, 4, b"ab")];
    assert_eq!(check_kv(&history, Limits::default()), KvVerdict::Linearizable);
    history.push(KvOperation { key: b"other".to_vec(), ..append(2, 4, b"z", false) });
    assert_eq!(check_kv(&history, Limits::default()), KvVerdict::Linearizable);
    history.insert(0, get(1, 6, b"ba"));
    let expected = KvVerdict::Violation { key: b"k".to_vec(), operation: 0 };
    assert_eq!(check_kv(&history, Limits::default()), expected);
}

#[test]
fn dozens_of_lost_writes_that_nobody_saw_do_not_slow_the_check() {
    let lost = |at: u8| kv(b"k", 9, KvCall::Append(vec![b'x', at]), 2, None);
    let mut history = vec![append(0, 0, b"a", false)];
    history.extend((0..40).map(lost));
    history.push(get(1, 100, b"b"));
    let expected = KvVerdict::Violation { key: b"k".to_vec(), operation: 41 };
    assert_eq!(check_kv(&history, Limits { configurations_max: 1000 }), expected);
}

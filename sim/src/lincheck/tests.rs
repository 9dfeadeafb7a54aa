//! The checker itself is checked: known histories, and random ones against brute force.

use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::dice::Dice;

type RegisterOperation = Operation<RegisterCall, RegisterReturn>;

fn operation(
    process: u32,
    call: RegisterCall,
    called_at: u64,
    returned: Option<(u64, RegisterReturn)>,
) -> RegisterOperation {
    Operation { process, call, called_at, returned }
}

fn verdict(history: &[RegisterOperation]) -> Verdict {
    check(&RegisterModel, history, Limits::default())
}

use RegisterCall::{CompareAndSwap, Read, Write};
use RegisterReturn::{Swapped, Value, Written};

#[test]
fn a_read_that_overlaps_a_write_may_see_either_value() {
    for seen in [None, Some(1)] {
        let history = [
            operation(0, Write(1), 0, Some((10, Written))),
            operation(1, Read, 5, Some((6, Value(seen)))),
        ];
        assert_eq!(verdict(&history), Verdict::Linearizable);
    }
}

#[test]
fn a_read_after_a_write_must_see_it() {
    let history = [
        operation(0, Write(1), 0, Some((1, Written))),
        operation(1, Read, 2, Some((3, Value(None)))),
    ];
    assert_eq!(verdict(&history), Verdict::Violation { operation: 1 });
}

#[test]
fn two_readers_must_not_see_two_writes_in_opposite_orders() {
    let history = [
        operation(0, Write(1), 0, Some((100, Written))),
        operation(1, Write(2), 0, Some((100, Written))),
        operation(2, Read, 1, Some((2, Value(Some(1))))),
        operation(2, Read, 3, Some((4, Value(Some(2))))),
        operation(3, Read, 5, Some((6, Value(Some(1))))),
    ];
    assert!(matches!(verdict(&history), Verdict::Violation { .. }));
}

#[test]
fn a_write_of_unknown_outcome_may_take_effect_late_or_never() {
    let unknown = operation(0, Write(1), 0, None);
    let sees = |at, value| operation(1, Read, at, Some((at + 1, Value(value))));
    assert_eq!(verdict(&[unknown.clone(), sees(5, None), sees(7, None)]), Verdict::Linearizable);
    assert_eq!(verdict(&[unknown.clone(), sees(5, None), sees(7, Some(1))]), Verdict::Linearizable);
    let back_again = [unknown, sees(5, Some(1)), sees(7, None)];
    assert!(matches!(verdict(&back_again), Verdict::Violation { .. }));
}

#[test]
fn a_write_applied_twice_is_seen() {
    let history = [
        operation(0, Write(1), 0, Some((1, Written))),
        operation(1, CompareAndSwap(1, 2), 2, Some((3, Swapped(true)))),
        operation(2, Read, 4, Some((5, Value(Some(1))))),
    ];
    assert!(matches!(verdict(&history), Verdict::Violation { .. }));
}

fn append(process: u32, at: u64, suffix: &[u8], existed: bool) -> KvOperation {
    let returned = Some((at + 1, KvReturn::Written { existed }));
    let call = KvCall::Append(suffix.to_vec());
    KvOperation {
        key: b"k".to_vec(),
        operation: Operation { process, call, called_at: at, returned },
    }
}

fn get(process: u32, at: u64, value: &[u8]) -> KvOperation {
    let returned = Some((at + 1, KvReturn::Value(Some(value.to_vec()))));
    KvOperation {
        key: b"k".to_vec(),
        operation: Operation { process, call: KvCall::Get, called_at: at, returned },
    }
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
fn a_search_beyond_its_limit_says_so() {
    let mut history: Vec<_> = (0..12)
        .map(|process| operation(process, Write(i64::from(process)), 0, Some((100, Written))))
        .collect();
    history.push(operation(99, Read, 200, Some((201, Value(Some(77))))));
    let limits = Limits { configurations_max: 100 };
    assert_eq!(check(&RegisterModel, &history, limits), Verdict::GaveUp);
}

/// Runs a register for real, with each operation taking effect somewhere inside its interval.
fn honest_history(processes: u32, operations: usize, seed: u64) -> Vec<RegisterOperation> {
    let mut dice = Dice::new(seed, 0);
    let mut starts: Vec<(u64, u32)> = Vec::new();
    let mut free_at = vec![0u64; processes as usize];
    for at in 0..operations {
        let process = (at as u32) % processes;
        let start = free_at[process as usize] + dice.between(1, 50);
        starts.push((start, process));
        free_at[process as usize] = start + 200;
    }
    let mut effects: Vec<(u64, u64, u32, RegisterCall)> = Vec::new();
    for (start, process) in starts {
        let call = match dice.below(3) {
            0 => Read,
            1 => Write(dice.below(5) as i64),
            _ => CompareAndSwap(dice.below(5) as i64, dice.below(5) as i64),
        };
        effects.push((start + dice.between(1, 150), start, process, call));
    }
    effects.sort_unstable_by_key(|(at, start, process, _)| (*at, *start, *process));
    let mut value = None;
    let mut history = Vec::new();
    for (at, start, process, call) in effects {
        let answer = match call {
            Read => Value(value),
            Write(new) => {
                value = Some(new);
                Written
            }
            CompareAndSwap(from, to) => {
                let swaps = value == Some(from);
                value = if swaps { Some(to) } else { value };
                Swapped(swaps)
            }
        };
        let returned = dice.chance(950_000).then_some((at + dice.between(1, 40), answer));
        history.push(operation(process, call, start, returned));
    }
    history
}

#[test]
fn a_contended_history_of_a_real_register_passes_quickly_and_a_forged_answer_does_not() {
    let started = Instant::now();
    for seed in 0..20 {
        let mut history = honest_history(10, 170, seed);
        assert_eq!(verdict(&history), Verdict::Linearizable, "seed {seed}");
        let read = history.iter_mut().rev().find(|op| op.call == Read && op.returned.is_some());
        read.unwrap().returned.as_mut().unwrap().1 = Value(Some(99));
        assert!(matches!(verdict(&history), Verdict::Violation { .. }), "seed {seed}");
    }
    // Generous: not a benchmark, only a guard against exponential behaviour.
    assert!(started.elapsed().as_secs() < 60);
}

/// Tries every order of every subset that contains all completed operations.
fn brute_force(history: &[RegisterOperation]) -> bool {
    fn extend(history: &[RegisterOperation], taken: u32, state: Option<i64>) -> bool {
        let left = |at: &usize| taken >> at & 1 == 0;
        let mut open = (0..history.len()).filter(left);
        if open.clone().all(|at| history[at].returned.is_none()) {
            return true;
        }
        open.any(|at| {
            let called_at = history[at].called_at;
            // Someone who is left out returned before this one was called: it must come first.
            let overtaken = (0..history.len()).filter(left).any(|other| {
                history[other].returned.as_ref().is_some_and(|(end, _)| *end < called_at)
            });
            let answer = history[at].returned.as_ref().map(|(_, answer)| answer);
            !overtaken
                && RegisterModel
                    .step(&state, &history[at].call, answer)
                    .is_some_and(|after| extend(history, taken | 1 << at, after))
        })
    }
    extend(history, 0, None)
}

fn any_operation() -> impl Strategy<Value = RegisterOperation> {
    let call = prop_oneof![
        Just(Read),
        (0..3i64).prop_map(Write),
        (0..3i64, 0..3i64).prop_map(|(from, to)| CompareAndSwap(from, to)),
    ];
    (call, 0..20u64, 1..12u64, 0..6u8, prop::option::of(0..3i64), any::<bool>()).prop_map(
        |(call, called_at, length, known, value, swapped)| {
            let answer = match call {
                Read => Value(value),
                Write(_) => Written,
                CompareAndSwap(..) => Swapped(swapped),
            };
            let returned = (known > 0).then_some((called_at + length, answer));
            operation(0, call, called_at, returned)
        },
    )
}

fn any_kv_operation() -> impl Strategy<Value = KvOperation> {
    let value = || prop::collection::vec(b'a'..b'd', 1..3);
    let call = prop_oneof![
        Just(KvCall::Get),
        value().prop_map(KvCall::Put),
        value().prop_map(KvCall::Append),
        (prop::option::of(value()), value())
            .prop_map(|(expected, value)| KvCall::CompareAndSwap { expected, value }),
    ];
    let answer = (any::<bool>(), prop::option::of(value()));
    (call, 0..20u64, 1..12u64, any::<bool>(), answer).prop_map(
        |(call, called_at, length, known, (flag, value))| {
            let answer = match call {
                KvCall::Put(_) | KvCall::Append(_) => KvReturn::Written { existed: flag },
                KvCall::CompareAndSwap { .. } if flag => KvReturn::Swapped,
                KvCall::CompareAndSwap { .. } => KvReturn::Mismatch(value),
                KvCall::Get | KvCall::Delete => KvReturn::Value(value),
            };
            let returned = known.then_some((called_at + length, answer));
            let operation = Operation { process: 0, call, called_at, returned };
            KvOperation { key: b"k".to_vec(), operation }
        },
    )
}

#[test]
fn dozens_of_lost_writes_that_nobody_saw_do_not_slow_the_check() {
    let lost = |at: u8| {
        let call = KvCall::Append(vec![b'x', at]);
        let operation = Operation { process: 9, call, called_at: 2, returned: None };
        KvOperation { key: b"k".to_vec(), operation }
    };
    let mut history = vec![append(0, 0, b"a", false)];
    history.extend((0..40).map(lost));
    history.push(get(1, 100, b"b"));
    let expected = KvVerdict::Violation { key: b"k".to_vec(), operation: 41 };
    assert_eq!(check_kv(&history, Limits { configurations_max: 1000 }), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn leaving_out_what_nobody_saw_changes_no_verdict(
        history in prop::collection::vec(any_kv_operation(), 0..8)
    ) {
        let plain: Vec<_> = history.iter().map(|entry| entry.operation.clone()).collect();
        let expected = check(&KvModel, &plain, Limits::default()) == Verdict::Linearizable;
        let found = check_kv(&history, Limits::default()) == KvVerdict::Linearizable;
        prop_assert_eq!(expected, found);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn the_search_agrees_with_brute_force(
        history in prop::collection::vec(any_operation(), 0..7)
    ) {
        let linearizable = verdict(&history) == Verdict::Linearizable;
        prop_assert_eq!(linearizable, brute_force(&history));
    }
}

//! How much the checker must look at: counted in configurations, so that no clock decides.

use quorate_sim::lincheck::{
    Analysis, KeyedVerdict, Limits, Model, Operation, RegisterCall, RegisterModel, RegisterReturn,
    Verdict, analyse, check_by_key,
};

use crate::generate::{Load, RegisterOperation, keyed, plant_stale_read, single};

use RegisterCall::{CompareAndSwap, Read, Write};
use RegisterReturn::{Swapped, Value, Written};

fn analysis(history: &[RegisterOperation]) -> Analysis<Option<i64>> {
    analyse(&RegisterModel::default(), history, Limits::default(), &mut || true)
}

fn within(configurations_max: usize) -> Limits {
    Limits { configurations_max }
}

#[test]
fn two_thousand_operations_by_fifty_clients_over_ten_keys_need_few_configurations() {
    for seed in 0..20 {
        let history = keyed(Load::default(), seed);
        let verdict =
            check_by_key(&RegisterModel::default(), &history, within(2_000), &mut || true);
        assert_eq!(verdict, KeyedVerdict::Linearizable, "seed {seed}");
    }
}

#[test]
fn one_stale_read_among_two_thousand_operations_is_found_where_it_is() {
    let mut planted = 0;
    for seed in 0..20 {
        let mut history = keyed(Load { values: 0, ..Load::default() }, seed);
        let Some(read) = plant_stale_read(&mut history) else { continue };
        planted += 1;
        let verdict =
            check_by_key(&RegisterModel::default(), &history, within(5_000), &mut || true);
        let expected = KeyedVerdict::Violation { key: history[read].key, operation: read };
        assert_eq!(verdict, expected, "seed {seed}");
    }
    assert!(planted >= 10, "{planted} histories had room for a stale read");
}

#[test]
fn a_contended_register_of_few_values_needs_few_configurations() {
    for seed in 0..50 {
        let mut history = single(Load { clients: 10, operations: 85, ..Load::default() }, seed);
        let found = analysis(&history);
        assert_eq!(found.verdict, Verdict::Linearizable, "seed {seed}");
        assert!(found.configurations < 1_000, "seed {seed}: {}", found.configurations);
        let read = history.iter_mut().rev().find(|op| op.call == Read && op.returned.is_some());
        read.unwrap().returned.as_mut().unwrap().1 = Value(Some(99));
        let found = analysis(&history);
        assert!(matches!(found.verdict, Verdict::Violation { .. }), "seed {seed}");
        assert!(found.configurations < 20_000, "seed {seed}: {}", found.configurations);
    }
}

#[test]
fn fifty_clients_on_one_register_of_unique_values_need_few_configurations() {
    for seed in 0..10 {
        let load = Load { keys: 1, values: 0, swaps: false, ..Load::default() };
        let mut history = keyed(load, seed);
        for planted in [false, true] {
            let read = if planted { plant_stale_read(&mut history) } else { None };
            let plain: Vec<_> = history.iter().map(|entry| entry.operation.clone()).collect();
            let found = analysis(&plain);
            let expected =
                read.map_or(Verdict::Linearizable, |operation| Verdict::Violation { operation });
            assert_eq!(found.verdict, expected, "seed {seed}");
            assert!(found.configurations < 50_000, "seed {seed}: {}", found.configurations);
        }
    }
}

#[test]
fn a_hundred_writes_of_unknown_outcome_that_others_read_stay_cheap() {
    let mut history: Vec<RegisterOperation> =
        (0..100).map(|value| operation(value, Write(Some(i64::from(value))), 0, None)).collect();
    for at in 0..60i64 {
        let time = 10 * at as u64 + 10;
        history.push(operation(200, Read, time, Some((time + 5, Value(Some(at))))));
    }
    let found = analysis(&history);
    assert_eq!(found.verdict, Verdict::Linearizable);
    assert!(found.configurations < 1_000, "{}", found.configurations);
    history.push(operation(200, Read, 900, Some((901, Value(Some(3))))));
    let found = analysis(&history);
    assert_eq!(found.verdict, Verdict::Violation { operation: 160 });
    assert!(found.configurations < 1_000, "{}", found.configurations);
}

#[test]
fn lost_compare_and_swaps_over_five_values_stay_cheap() {
    for seed in 0..10 {
        let load = Load { clients: 5, operations: 170, lost_ppm: 200_000, ..Load::default() };
        let history = single(load, seed);
        let found = analysis(&history);
        assert_eq!(found.verdict, Verdict::Linearizable, "seed {seed}");
        assert!(found.configurations < 100_000, "seed {seed}: {}", found.configurations);
    }
}

#[test]
fn fifty_clients_that_all_overlap_are_checked() {
    let mut history: Vec<RegisterOperation> = (0..25)
        .map(|value| operation(value, Write(Some(i64::from(value))), 0, Some((100, Written))))
        .collect();
    for value in 0..25 {
        let answer = Value(Some(i64::from(value)));
        history.push(operation(30 + value, Read, 1, Some((101, answer))));
    }
    assert_eq!(analysis(&history).verdict, Verdict::Linearizable);
    // Both reads come after all writes, and no one writes between them.
    history.push(operation(99, Read, 200, Some((201, Value(Some(7))))));
    assert_eq!(analysis(&history).verdict, Verdict::Linearizable);
    history.push(operation(99, Read, 202, Some((203, Value(Some(8))))));
    let found = analysis(&history);
    assert_eq!(found.verdict, Verdict::Violation { operation: 51 });
    assert!(found.configurations < 10_000, "{}", found.configurations);
}

#[test]
fn a_chain_of_swaps_that_all_overlap_is_found() {
    let chain = (0..40).map(|at| {
        let call = CompareAndSwap(Some(at), Some(at + 1));
        operation(at as u32, call, 0, Some((100, Swapped(true))))
    });
    let mut history = vec![operation(90, Write(Some(0)), 0, Some((100, Written)))];
    history.extend(chain.rev());
    let found = analysis(&history);
    assert_eq!(found.verdict, Verdict::Linearizable);
    assert!(found.configurations < 5_000, "{}", found.configurations);
}

#[test]
fn a_search_asks_whether_to_go_on_and_gives_up_when_told() {
    let history = hard_for_anyone();
    let mut questions = 0;
    let mut go_on = || {
        questions += 1;
        questions < 3
    };
    let found = analyse(&Opaque, &history, Limits::default(), &mut go_on);
    assert_eq!(found.verdict, Verdict::GaveUp);
    assert_eq!(questions, 3);
}

#[test]
fn a_search_beyond_its_memory_gives_up() {
    let found = analyse(&Opaque, &hard_for_anyone(), within(100), &mut || true);
    assert_eq!(found.verdict, Verdict::GaveUp);
    assert_eq!(found.configurations, 101);
}

/// Many writes at once, and a read of what nobody wrote.
fn hard_for_anyone() -> Vec<RegisterOperation> {
    let mut history: Vec<_> = (0..20)
        .map(|process| operation(process, Write(Some(i64::from(process))), 0, Some((100, Written))))
        .collect();
    history.push(operation(99, Read, 200, Some((201, Value(Some(77))))));
    history
}

/// A register that tells the search nothing about its values.
struct Opaque;

impl Model for Opaque {
    type State = Option<i64>;
    type Call = RegisterCall;
    type Return = RegisterReturn;

    fn initial(&self) -> Option<i64> {
        None
    }

    fn step(
        &self,
        state: &Option<i64>,
        call: &RegisterCall,
        answer: Option<&RegisterReturn>,
    ) -> Option<Option<i64>> {
        RegisterModel::default().step(state, call, answer)
    }

    fn only_reads(&self, call: &RegisterCall, answer: &RegisterReturn) -> bool {
        RegisterModel::default().only_reads(call, answer)
    }
}

fn operation(
    process: u32,
    call: RegisterCall,
    called_at: u64,
    returned: Option<(u64, RegisterReturn)>,
) -> RegisterOperation {
    Operation { process, call, called_at, returned }
}

//! Tests of the batcher: each policy in words, then what always holds for any input.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const MICROSECOND: u64 = 1_000;

fn linger(microseconds: u64) -> Duration {
    Duration::from_micros(microseconds)
}

#[test]
fn impossible_policies_are_refused() {
    let adaptive = BatchPolicy::adaptive();
    assert!(matches!(adaptive.with_count_max(0), Err(PolicyError::Zero(_))));
    assert!(matches!(adaptive.with_bytes_max(0), Err(PolicyError::Zero(_))));
    assert!(matches!(adaptive.with_window(0, usize::MAX), Err(PolicyError::Zero(_))));
    assert_eq!(
        adaptive.with_window(1, 100),
        Err(PolicyError::WindowBelowBatch { window: 100, batch: BATCH_BYTES_DEFAULT })
    );
    let long = LINGER_MAX + Duration::from_nanos(1);
    assert_eq!(BatchPolicy::fixed(2, long), Err(PolicyError::LingerTooLong(long)));
}

#[test]
fn the_single_policy_sends_every_item_alone() {
    let mut batcher = Batcher::new(BatchPolicy::single().with_count_max(9).unwrap());
    for now in 0..5 {
        assert_eq!(batcher.add(now, 10), Decision::Cut);
        assert_eq!(batcher.add(now, 10), Decision::Full);
        assert_eq!(batcher.cut(), BatchSize { count: 1, bytes: 10 });
    }
    assert_eq!(batcher.in_flight(), BatchSize { count: 5, bytes: 50 });
}

#[test]
fn the_fixed_policy_waits_for_the_count_or_the_linger() {
    let mut batcher = Batcher::new(BatchPolicy::fixed(3, linger(100)).unwrap());
    assert_eq!(batcher.add(5_000, 1), Decision::Wait);
    assert_eq!(batcher.deadline(), Some(5_000 + 100 * MICROSECOND));
    assert_eq!(batcher.add(6_000, 1), Decision::Wait);
    assert_eq!(batcher.add(7_000, 1), Decision::Cut, "the third fills it");
    assert_eq!(batcher.cut().count, 3);
    assert_eq!(batcher.deadline(), None);

    assert_eq!(batcher.add(8_000, 1), Decision::Wait);
    assert_eq!(batcher.poll(8_000 + 100 * MICROSECOND - 1), Decision::Wait);
    assert_eq!(batcher.poll(8_000 + 100 * MICROSECOND), Decision::Cut);
}

#[test]
fn an_item_that_does_not_fit_completes_the_open_batch() {
    let policy = BatchPolicy::fixed(10, linger(100)).unwrap().with_bytes_max(64).unwrap();
    let mut batcher = Batcher::new(policy);
    assert_eq!(batcher.add(0, 60), Decision::Wait);
    assert_eq!(batcher.add(0, 10), Decision::Full);
    assert_eq!(batcher.poll(0), Decision::Cut, "it will not grow any more");
    assert!(!batcher.fits(1), "nothing overtakes the refused item");
    assert_eq!(batcher.cut(), BatchSize { count: 1, bytes: 60 });
    assert_eq!(batcher.add(0, 10), Decision::Wait);
}

#[test]
fn an_item_larger_than_a_batch_leaves_alone() {
    let policy = BatchPolicy::adaptive().with_bytes_max(64).unwrap();
    let mut batcher = Batcher::new(policy);
    assert_eq!(batcher.add(0, 1_000_000), Decision::Cut);
    assert_eq!(batcher.add(0, 1), Decision::Full);
    assert_eq!(batcher.cut().count, 1);
}

#[test]
fn the_adaptive_policy_sends_what_waited_when_the_window_opens() {
    let policy = BatchPolicy::adaptive().with_window(2, 1 << 20).unwrap();
    let mut batcher = Batcher::new(policy);
    for _ in 0..2 {
        assert_eq!(batcher.add(0, 8), Decision::Cut);
        assert_eq!(batcher.cut().count, 1);
    }
    for _ in 0..37 {
        assert_eq!(batcher.add(1, 8), Decision::Wait);
    }
    assert_eq!(batcher.deadline(), None, "only a completion opens the window");
    batcher.completed(8);
    assert_eq!(batcher.poll(2), Decision::Cut);
    assert_eq!(batcher.cut().count, 37);
}

#[test]
fn the_window_counts_bytes_as_well_as_batches() {
    let policy = BatchPolicy::adaptive().with_bytes_max(100).unwrap().with_window(8, 150).unwrap();
    let mut batcher = Batcher::new(policy);
    assert_eq!(batcher.add(0, 90), Decision::Cut);
    batcher.cut();
    assert_eq!(batcher.add(0, 61), Decision::Wait, "90 + 61 exceed 150");
    batcher.completed(90);
    assert_eq!(batcher.poll(0), Decision::Cut);
}

#[test]
fn a_window_of_bytes_holds_any_number_of_small_batches() {
    let policy = BatchPolicy::adaptive().with_window_bytes(64 << 10).unwrap();
    assert_eq!(policy.linger(), Duration::ZERO, "off unless asked for");
    let mut batcher = Batcher::new(policy);
    for sent in 0..1_024 {
        assert_eq!(batcher.add(sent, 64), Decision::Cut, "none is delayed");
        assert_eq!(batcher.cut().count, 1);
    }
    assert_eq!(batcher.in_flight(), BatchSize { count: 1_024, bytes: 64 << 10 });
    assert_eq!(batcher.add(9_999, 1), Decision::Wait, "the bytes are used up");
    let narrow = BatchPolicy::adaptive().with_window_bytes(100);
    let refused = PolicyError::WindowBelowBatch { window: 100, batch: BATCH_BYTES_DEFAULT };
    assert_eq!(narrow, Err(refused));
}

#[test]
fn an_adaptive_linger_is_armed_only_behind_two_batches() {
    let policy = BatchPolicy::adaptive().with_linger(linger(200)).unwrap();
    let mut batcher = Batcher::new(policy);
    for _ in 0..2 {
        assert_eq!(batcher.add(0, 1), Decision::Cut);
        batcher.cut();
    }
    assert_eq!(batcher.add(7, 1), Decision::Wait);
    assert_eq!(batcher.deadline(), Some(7 + 200 * MICROSECOND));
    batcher.completed(1);
    assert_eq!(batcher.poll(8), Decision::Cut, "one in flight is no reason to wait");
}

#[test]
fn giving_up_the_flight_opens_the_window() {
    let mut batcher = Batcher::new(BatchPolicy::single().with_window(1, 1 << 20).unwrap());
    assert_eq!(batcher.add(0, 1), Decision::Cut);
    batcher.cut();
    assert_eq!(batcher.add(0, 1), Decision::Wait);
    batcher.forget_in_flight();
    assert_eq!(batcher.poll(0), Decision::Cut);
}

#[test]
#[should_panic(expected = "each batch is completed once")]
fn completing_what_is_not_in_flight_is_a_broken_invariant() {
    Batcher::new(BatchPolicy::adaptive()).completed(0);
}

#[test]
fn a_full_queue_hands_the_item_back() {
    let mut queue = BatchQueue::new(BatchPolicy::fixed(9, linger(1)).unwrap(), 2);
    assert_eq!(queue.push(0, 'a', 1), Ok(()));
    assert_eq!(queue.push(0, 'b', 1), Ok(()));
    assert_eq!(queue.push(0, 'c', 1), Err('c'));
    assert_eq!(queue.abandon().collect::<String>(), "ab");
    assert!(queue.is_empty() && queue.deadline().is_none());
}

/// One event of a random history.
#[derive(Debug, Clone)]
enum Event {
    /// An item of this size comes.
    Item(usize),
    /// The oldest batch in flight completes.
    Complete,
    /// Time passes, in nanoseconds.
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0usize..120).prop_map(Event::Item),
        3 => Just(Event::Complete),
        3 => (1u64..300_000).prop_map(Event::Pass),
    ]
}

fn policy() -> impl Strategy<Value = BatchPolicy> {
    let base = prop_oneof![
        Just(BatchPolicy::single()),
        Just(BatchPolicy::adaptive()),
        Just(BatchPolicy::adaptive().with_linger(linger(150)).unwrap()),
        Just(BatchPolicy::fixed(1, linger(100)).unwrap()),
    ];
    (base, 1usize..12, 1usize..200, 1usize..5, 0usize..400).prop_map(
        |(base, count, bytes, batches, more)| {
            base.with_count_max(count)
                .and_then(|policy| policy.with_bytes_max(bytes))
                .and_then(|policy| policy.with_window(batches, bytes + more))
                .unwrap()
        },
    )
}

proptest! {
    #[test]
    fn limits_order_and_promptness_hold_for_any_history(
        policy in policy(),
        events in prop::collection::vec(event(), 1..300),
    ) {
        let mut queue = BatchQueue::new(policy, 1_000);
        let (mut now, mut next, mut taken) = (0, 0, 0);
        let mut sizes = Vec::new();
        let mut flight: VecDeque<BatchSize> = VecDeque::new();
        for event in events {
            match event {
                Event::Item(bytes) => {
                    sizes.push(bytes);
                    queue.push(now, next, bytes).unwrap();
                    next += 1;
                }
                Event::Complete => {
                    if let Some(done) = flight.pop_front() {
                        queue.completed(done.bytes);
                    }
                }
                Event::Pass(time) => now += time,
            }
            let mut batch = Vec::new();
            while let Some(size) = queue.take(now, &mut batch) {
                prop_assert_eq!(size.count, batch.len());
                prop_assert_eq!(&batch, &(taken..taken + size.count).collect::<Vec<_>>());
                prop_assert_eq!(size.bytes, batch.iter().map(|item| sizes[*item]).sum::<usize>());
                prop_assert!(size.count <= policy.count_max());
                prop_assert!(size.count == 1 || size.bytes <= policy.bytes_max());
                taken += size.count;
                batch.clear();
                flight.push_back(size);
                prop_assert!(flight.len() <= policy.window_batches());
                let in_flight: usize = flight.iter().map(|size| size.bytes).sum();
                prop_assert!(flight.len() == 1 || in_flight <= policy.window_bytes());
            }
            prop_assert_eq!(queue.len(), next - taken);
            if flight.is_empty() && policy.mode != Mode::Fixed {
                prop_assert!(queue.is_empty(), "idle: nothing is delayed");
            }
            if let Some(deadline) = queue.deadline() {
                prop_assert!(deadline > now, "a deadline that passed has been acted upon");
                prop_assert!(deadline <= now + policy.linger_ns);
            }
        }
        // Completions and time alone bring everything out.
        let mut batch = Vec::new();
        for _ in 0..2 * next {
            now += policy.linger_ns;
            while let Some(size) = queue.take(now, &mut batch) {
                flight.push_back(size);
            }
            if let Some(done) = flight.pop_front() {
                queue.completed(done.bytes);
            }
        }
        prop_assert_eq!(taken + batch.len(), next);
    }
}

/// Sizes of items, and how long each lets the one after it wait.
fn arrivals() -> impl Strategy<Value = Vec<(usize, u64)>> {
    prop::collection::vec((0usize..300, 1u64..400_000), 1..60)
}

proptest! {
    #[test]
    fn a_deadline_is_exact_to_the_nanosecond(policy in policy(), arrivals in arrivals()) {
        let (mut batcher, mut now) = (Batcher::new(policy), 1_000);
        for (bytes, pass) in arrivals {
            let decision = batcher.add(now, bytes);
            match batcher.deadline() {
                Some(due) if decision == Decision::Wait => {
                    prop_assert!(due > now);
                    prop_assert!(due <= now + policy.linger_ns, "no later than a linger from now");
                    prop_assert_eq!(batcher.poll(due - 1), Decision::Wait);
                    prop_assert_eq!(batcher.poll(due), Decision::Cut);
                }
                None if decision == Decision::Wait => {
                    prop_assert_eq!(batcher.poll(u64::MAX), Decision::Wait, "time changes nothing");
                    prop_assert!(batcher.in_flight().count > 0, "only a completion can help");
                }
                _ => {}
            }
            now += pass;
            if batcher.poll(now) == Decision::Cut {
                let _ = batcher.cut();
            }
        }
    }

    #[test]
    fn a_lone_message_leaves_at_once(
        policy in policy(),
        bytes in 0usize..1 << 20,
        now in any::<u64>(),
        flights in prop::collection::vec(0usize..100, 0..4),
    ) {
        prop_assume!(policy.mode != Mode::Fixed);
        let mut batcher = Batcher::new(policy);
        // Whatever was in flight before: when it is done, nothing of it is left.
        for flight in flights {
            prop_assert_eq!(batcher.add(now, flight), Decision::Cut);
            let done = batcher.cut();
            batcher.completed(done.bytes);
        }
        prop_assert_eq!(batcher.add(now, bytes), Decision::Cut);
        prop_assert_eq!(batcher.cut(), BatchSize { count: 1, bytes });
    }

    #[test]
    fn equal_histories_lead_to_equal_batchers(policy in policy(), arrivals in arrivals()) {
        let run = || {
            let mut batcher = Batcher::new(policy);
            let mut decisions = Vec::new();
            for (time, (bytes, _)) in arrivals.iter().enumerate() {
                decisions.push(batcher.add(time as u64, *bytes));
                if batcher.poll(time as u64) == Decision::Cut {
                    let _ = batcher.cut();
                }
            }
            (batcher, decisions)
        };
        prop_assert_eq!(run(), run(), "a value: no clock, nothing random");
    }
}

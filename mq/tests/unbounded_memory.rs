//! The unbounded queue and the allocator: nothing is asked of it in the steady state, and what a
//! burst took is given back. In a file of its own, since it replaces the allocator.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use quorate_mq::{Consume, Handle, Produce, unbounded};

// Each test counts its own thread's calls, so that the others and the harness do not disturb it.
thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; the counters allocate nothing and
// have no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        LIVE_BYTES.set(LIVE_BYTES.get() + layout.size() as isize);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.set(LIVE_BYTES.get() - layout.size() as isize);
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many allocations `work` makes.
fn allocations(work: impl FnOnce()) -> usize {
    let before = CALLS.get();
    work();
    CALLS.get() - before
}

#[test]
fn the_steady_state_allocates_nothing() {
    let (producer, consumer) = unbounded::queue::<u64>().unwrap();
    let mut batch = Vec::with_capacity(256);
    for backlog in [0, 1, 100, 1000, 5000] {
        let mut turn = |count: u64| {
            for value in 0..count {
                producer.try_push(value).unwrap();
                consumer.try_pop().unwrap();
                if value % 64 == 0 {
                    batch.extend(0..200);
                    producer.push_batch(&mut batch).unwrap();
                    let mut left = 200;
                    while left > 0 {
                        left -= consumer.pop_batch(&mut batch, left).unwrap();
                    }
                    batch.clear();
                }
            }
        };
        for value in 0..backlog {
            producer.try_push(value).unwrap();
        }
        // Until the segments have the size that this backlog needs.
        turn(100_000);
        assert_eq!(allocations(|| turn(300_000)), 0, "with a backlog of {backlog}");
        while consumer.try_pop().is_ok() {}
    }
}

#[test]
fn a_backlog_that_comes_and_goes_allocates_nothing() {
    let (producer, consumer) = unbounded::queue::<u64>().unwrap();
    let turn = || {
        for count in [10, 3000, 1, 700, 9000] {
            (0..count).for_each(|value| producer.try_push(value).unwrap());
            assert!((0..count).all(|value| consumer.try_pop() == Ok(value)));
        }
    };
    (0..20).for_each(|_| turn());
    assert_eq!(allocations(|| (0..50).for_each(|_| turn())), 0);
}

#[test]
fn a_burst_gives_its_memory_back() {
    let (producer, consumer) = unbounded::queue::<u64>().unwrap();
    let before = LIVE_BYTES.get();
    (0..1_000_000).for_each(|value| producer.try_push(value).unwrap());
    let peak = LIVE_BYTES.get() - before;
    assert!((0..1_000_000).all(|value| consumer.try_pop() == Ok(value)));
    let kept = LIVE_BYTES.get() - before;
    assert!(peak < 14_000_000, "{peak} bytes for a million values of 8");
    assert!(kept < peak / 16, "{kept} of {peak} bytes are kept");
    let reported = consumer.memory_bytes() as isize;
    assert!(reported.abs_diff(kept) < 64 << 10, "{reported} reported, {kept} counted");
}

#[test]
fn dropping_the_handles_gives_everything_back() {
    let before = LIVE_BYTES.get();
    let (producer, consumer) = unbounded::queue::<Box<u64>>().unwrap();
    (0..100_000).for_each(|value| producer.try_push(Box::new(value)).unwrap());
    (0..50_000).for_each(|_| drop(consumer.clone().try_pop().unwrap()));
    consumer.close();
    drop((producer, consumer));
    assert_eq!(LIVE_BYTES.get(), before);
}

//! The queue types that the proofs run on, one line each, behind one trait; and one more that
//! blocks on purpose, by which the proofs are tested.
//!
//! What always holds: a proof that is written for `K: Kind` runs for every line of
//! `for_every_kind!`.
//! Left to others: the proofs (`laws`, `histories`, `lock_freedom`, `shuttle`).

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, TryLockError},
};

use quorate_mq::{Consume, PopError, Produce, PushError, ring, sharded, spsc, strict, unbounded};

#[cfg(not(stepped))]
fn step(_access: &'static str) {}
#[cfg(stepped)]
use quorate_mq::stepped::step;

/// What the order of values is promised for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// All values.
    Total,
    /// The values of one producer.
    PerProducer,
}

/// How many values fit inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// As many as were asked for.
    Exact,
    /// As many as were asked for, in each producer's part.
    PerProducer,
    /// As many as memory holds.
    Memory,
}

/// A queue type.
pub(crate) trait Kind: 'static {
    /// Its name in reports.
    const NAME: &'static str;
    const ORDER: Order;
    const BOUND: Bound;
    type Push<T: Send + 'static>: Push<T>;
    type Pop<T: Send + 'static>: Pop<T>;

    fn queue<T: Send + 'static>(capacity: usize) -> (Self::Push<T>, Self::Pop<T>);
    /// Another handle, where the type allows more than one.
    fn another_push<T: Send + 'static>(handle: &Self::Push<T>) -> Option<Self::Push<T>>;
    fn another_pop<T: Send + 'static>(handle: &Self::Pop<T>) -> Option<Self::Pop<T>>;
}

/// Either handle: what the proofs need of `Handle`.
pub(crate) trait End {
    fn close(&self) -> bool;
}

impl<H: quorate_mq::Handle> End for H {
    fn close(&self) -> bool {
        quorate_mq::Handle::close(self)
    }
}

/// A pushing handle: what the proofs need of `Produce`.
pub(crate) trait Push<T>: End + Send + 'static {
    fn push(&self, value: T) -> Result<(), PushError<T>>;
    fn push_batch(&self, source: &mut Vec<T>) -> Result<usize, PushError<()>>;
}

/// A popping handle: what the proofs need of `Consume`.
pub(crate) trait Pop<T>: End + Send + 'static {
    fn pop(&self) -> Result<T, PopError>;
    fn pop_batch(&self, out: &mut Vec<T>, count_max: usize) -> Result<usize, PopError>;
}

impl<T, P: Produce<T> + Send + 'static> Push<T> for P {
    fn push(&self, value: T) -> Result<(), PushError<T>> {
        self.try_push(value)
    }

    fn push_batch(&self, source: &mut Vec<T>) -> Result<usize, PushError<()>> {
        Produce::push_batch(self, source)
    }
}

impl<T, C: Consume<T> + Send + 'static> Pop<T> for C {
    fn pop(&self) -> Result<T, PopError> {
        self.try_pop()
    }

    fn pop_batch(&self, out: &mut Vec<T>, count_max: usize) -> Result<usize, PopError> {
        Consume::pop_batch(self, out, count_max)
    }
}

macro_rules! another {
    (many $handle:ident) => {
        Some($handle.clone())
    };
    (one $handle:ident) => {{
        let _ = $handle;
        None
    }};
}

/// Declares a kind: its name, the module with its handles and how to make them, how many there may
/// be on each side, its order and bound.
macro_rules! kind {
    (
        $kind:ident $name:literal = $module:ident: |$capacity:ident| $make:expr;
        $pushes:ident, $pops:ident; $order:ident, $bound:ident
    ) => {
        pub(crate) struct $kind;

        impl Kind for $kind {
            const NAME: &'static str = $name;
            const ORDER: Order = Order::$order;
            const BOUND: Bound = Bound::$bound;
            type Push<T: Send + 'static> = $module::Producer<T>;
            type Pop<T: Send + 'static> = $module::Consumer<T>;

            fn queue<T: Send + 'static>($capacity: usize) -> (Self::Push<T>, Self::Pop<T>) {
                $make
            }

            fn another_push<T: Send + 'static>(handle: &Self::Push<T>) -> Option<Self::Push<T>> {
                another!($pushes handle)
            }

            fn another_pop<T: Send + 'static>(handle: &Self::Pop<T>) -> Option<Self::Pop<T>> {
                another!($pops handle)
            }
        }
    };
}

kind! { Ring "ring" = ring: |capacity| ring::queue(capacity).unwrap();
many, many; Total, Exact }
kind! { Strict "strict" = strict: |capacity| strict::queue(capacity).unwrap();
many, many; Total, Exact }
kind! { StrictInSmall "strict, small blocks" = strict: |capacity| small_blocks(capacity);
many, many; Total, Exact }
kind! { Unbounded "unbounded" = unbounded: |_capacity| unbounded::queue().unwrap();
many, many; Total, Memory }
kind! { UnboundedInSmall "unbounded, small segments" = unbounded: |_capacity| small_segments();
many, many; Total, Memory }
kind! { Spsc "spsc" = spsc: |capacity| spsc::starting_at(capacity, FIRST).unwrap();
one, one; Total, Exact }
kind! { Sharded "sharded" = sharded: |capacity| sharded::starting_at(capacity, FIRST).unwrap();
many, many; PerProducer, PerProducer }
kind! { Locked "a lock" = locked: |capacity| locked::queue(capacity);
many, many; Total, Exact }

/// Positions that are about to wrap around.
const FIRST: usize = usize::MAX - 50;

/// Blocks of two cells, and positions that need many bits.
fn small_blocks<T>(capacity: usize) -> (strict::Producer<T>, strict::Consumer<T>) {
    strict::queue_with(capacity, 2, 1 << 50).unwrap()
}

/// A segment ends every few values.
fn small_segments<T>() -> (unbounded::Producer<T>, unbounded::Consumer<T>) {
    let options = unbounded::Options { segment_capacity_first: 2, segment_capacity_max: 4 };
    unbounded::queue_with(options).unwrap()
}

/// Makes each claim, a function that is generic over a `Kind`, a test of every kind.
macro_rules! for_every_kind {
    ($($claim:ident)+) => {
        for_every_kind! { @ [$($claim)+] ring: Ring }
        for_every_kind! { @ [$($claim)+] strict: Strict }
        for_every_kind! { @ [$($claim)+] strict_in_small: StrictInSmall }
        for_every_kind! { @ [$($claim)+] unbounded: Unbounded }
        for_every_kind! { @ [$($claim)+] unbounded_in_small: UnboundedInSmall }
        for_every_kind! { @ [$($claim)+] spsc: Spsc }
        for_every_kind! { @ [$($claim)+] sharded: Sharded }
        for_every_kind! { @ [$($claim)+] locked: Locked }
    };
    (@ [$($claim:ident)+] $module:ident: $kind:ident) => {
        mod $module {
            $(
                #[test]
                fn $claim() {
                    super::$claim::<super::kinds::$kind>();
                }
            )+
        }
    };
}

/// A deque under a lock: what blocks, and what is so simple that it is right.
pub(crate) mod locked {
    use super::*;

    /// How often an operation tries to take the lock before it answers `Busy`.
    const TRIES_MAX: u32 = 8;

    #[derive(Debug)]
    struct State<T> {
        values: VecDeque<T>,
        capacity: usize,
        closed: bool,
    }

    #[derive(Debug)]
    struct Shared<T>(Mutex<State<T>>);

    impl<T> Shared<T> {
        /// Runs an operation under the lock; `None` when somebody keeps it.
        fn within<R>(&self, operation: impl FnOnce(&mut State<T>) -> R) -> Option<R> {
            for _ in 0..TRIES_MAX {
                step("lock");
                match self.0.try_lock() {
                    Ok(mut state) => return Some(finish(&mut state, operation)),
                    Err(TryLockError::WouldBlock) => std::hint::spin_loop(),
                    Err(TryLockError::Poisoned(_)) => panic!("a thread panicked under the lock"),
                }
            }
            None
        }

        fn close(&self) -> bool {
            loop {
                if let Some(closed) =
                    self.within(|state| !std::mem::replace(&mut state.closed, true))
                {
                    return closed;
                }
            }
        }
    }

    fn finish<T, R>(
        state: &mut MutexGuard<'_, State<T>>,
        operation: impl FnOnce(&mut State<T>) -> R,
    ) -> R {
        let result = operation(state);
        step("unlock");
        result
    }

    #[derive(Debug)]
    pub(crate) struct Producer<T>(Arc<Shared<T>>);

    #[derive(Debug)]
    pub(crate) struct Consumer<T>(Arc<Shared<T>>);

    pub(crate) fn queue<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
        let state = State { values: VecDeque::new(), capacity, closed: false };
        let shared = Arc::new(Shared(Mutex::new(state)));
        (Producer(shared.clone()), Consumer(shared))
    }

    impl<T> Clone for Producer<T> {
        fn clone(&self) -> Self {
            Self(self.0.clone())
        }
    }

    impl<T> Clone for Consumer<T> {
        fn clone(&self) -> Self {
            Self(self.0.clone())
        }
    }

    impl<T> End for Producer<T> {
        fn close(&self) -> bool {
            self.0.close()
        }
    }

    impl<T> End for Consumer<T> {
        fn close(&self) -> bool {
            self.0.close()
        }
    }

    impl<T: Send + 'static> Push<T> for Producer<T> {
        fn push(&self, value: T) -> Result<(), PushError<T>> {
            let mut value = Some(value);
            let pushed = self.0.within(|state| {
                let value = value.take().expect("the lock is taken once");
                if state.closed {
                    Err(PushError::Closed(value))
                } else if state.values.len() == state.capacity {
                    Err(PushError::Full(value))
                } else {
                    state.values.push_back(value);
                    Ok(())
                }
            });
            match (pushed, value) {
                (Some(result), _) => result,
                (None, Some(value)) => Err(PushError::Busy(value)),
                (None, None) => unreachable!("the value is taken under the lock only"),
            }
        }

        fn push_batch(&self, source: &mut Vec<T>) -> Result<usize, PushError<()>> {
            if source.is_empty() {
                return Ok(0);
            }
            let pushed = self.0.within(|state| {
                let count = source.len().min(state.capacity - state.values.len());
                if state.closed {
                    Err(PushError::Closed(()))
                } else if count == 0 {
                    Err(PushError::Full(()))
                } else {
                    state.values.extend(source.drain(..count));
                    Ok(count)
                }
            });
            pushed.unwrap_or(Err(PushError::Busy(())))
        }
    }

    impl<T: Send + 'static> Pop<T> for Consumer<T> {
        fn pop(&self) -> Result<T, PopError> {
            let popped = self.0.within(|state| {
                let nothing = if state.closed { PopError::Closed } else { PopError::Empty };
                state.values.pop_front().ok_or(nothing)
            });
            popped.unwrap_or(Err(PopError::Busy))
        }

        fn pop_batch(&self, out: &mut Vec<T>, count_max: usize) -> Result<usize, PopError> {
            if count_max == 0 {
                return Ok(0);
            }
            let popped = self.0.within(|state| {
                let nothing = if state.closed { PopError::Closed } else { PopError::Empty };
                let count = count_max.min(state.values.len());
                out.extend(state.values.drain(..count));
                if count == 0 { Err(nothing) } else { Ok(count) }
            });
            popped.unwrap_or(Err(PopError::Busy))
        }
    }
}

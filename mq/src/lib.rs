//! The message path of Quorate, and a crate for itself: queues without locks on their data path,
//! channels over them, and the pure values that decide
//! what travels through them: batcher, compressor, partitioners. Knows nothing of consensus.
//!
//! ```
//! use quorate_mq::{batcher::{BatchPolicy, BatchQueue}, bounded};
//!
//! let (sender, receiver) = bounded(1024)?;
//! let producers: Vec<_> = (0..2)
//!     .map(|producer| {
//!         let sender = sender.clone();
//!         std::thread::spawn(move || {
//!             let mut commands: Vec<_> = (0..100).map(|n| format!("{producer}:{n}")).collect();
//!             sender.send_batch(&mut commands) // blocks while the queue is full
//!         })
//!     })
//!     .collect();
//! drop(sender); // the producers hold clones; the last one closes the channel
//!
//! // A stage takes what is there and lets batches grow while one is in flight.
//! let mut queue = BatchQueue::new(BatchPolicy::adaptive(), 10_000);
//! let (mut arrived, mut sent) = (Vec::new(), 0);
//! while receiver.recv_batch(&mut arrived, 64).is_ok() {
//!     for command in arrived.drain(..) {
//!         let bytes = command.len();
//!         queue.push(0, command, bytes).expect("room for ten thousand");
//!     }
//!     let mut batch = Vec::new();
//!     while let Some(size) = queue.take(0, &mut batch) {
//!         sent += batch.drain(..).count(); // seal, compress and send it
//!         queue.completed(size.bytes); // when it is acknowledged
//!     }
//! }
//! assert_eq!(sent, 200);
//! for producer in producers {
//!     assert!(producer.join().unwrap().is_ok());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Which queue
//!
//! All offer [`Produce`] and [`Consume`] to their handles, and all carry channels.
//!
//! | queue | producers × consumers | bound | order | for |
//! |---|---|---|---|---|
//! | [`ring`] | many × many | exact | first in, first out | the fastest for batches; the default |
//! | [`strict`] | many × many | exact | first in, first out | threads that may be stopped, killed or starved |
//! | [`unbounded`] | many × many | memory | first in, first out | producers that must never wait; memory comes back after a burst |
//! | [`spsc`] | one × one | exact | first in, first out | a stage with one of each |
//! | [`sharded`] | many × many | exact, per producer | per producer only | many producers, single values |
//!
//! # What each guarantees
//!
//! What a thread that is stopped *for ever in the middle of an operation* does to the others; shown
//! for every type by stopping a thread before each of its shared accesses (`TESTING.md`).
//!
//! | | a producer stopped | a consumer stopped | class |
//! |---|---|---|---|
//! | [`ring`] | hides its places: consumers come to them and no further, producers go on until the ring is full | producers come to its places and no further | not lock-free, like Vyukov's queue, crossbeam's `ArrayQueue`, and most rings that are called lock-free; but no call waits: it answers [`PopError::Busy`] |
//! | [`strict`] | nothing | nothing; keeps a block or two of spare memory | lock-free (Herlihy and Shavit, *The Art of Multiprocessor Programming*, 3.7), without the second ring of SCQ (Nikolaev, DISC 2019) and the wide words of LCRQ (Morrison and Afek, PPoPP 2013); cloning and dropping handles takes a lock that pushes and pops do not need |
//! | [`unbounded`] | nothing; keeps the memory of a segment | the same | lock-free, the allocator apart (at the end of a segment, never while segments are reused) |
//! | [`spsc`] | nothing: what it sent before is received | nothing until the queue is full | wait-free |
//! | [`sharded`] | nothing; stopped in clone, drop or close: those, and the first pop after them | hides its lane, whose producer goes on until the lane is full | push wait-free, pop blocking for one lane |
//! | a channel that is `try_`ed | as its queue, while nobody is parked | as its queue, while nobody is parked | a lock guards the list of those who wait; it is taken to park, and to wake somebody who is parked |
//! | a lock around a deque | everybody | everybody | blocking |
//!
//! | | every queue and channel |
//! |---|---|
//! | delivery | each value is received once, or handed back, or dropped once with the queue |
//! | close | one atomic step: what was sent before is received, what comes after is handed back |
//! | "full", "empty", "closed" | true at one moment during the call (for [`spsc`] and [`sharded`] see there); a peer that is halfway is told apart ([`PopError::Busy`]), the `try_` forms of a channel report it as empty or full |
//! | `try_` forms | never wait for another thread |
//! | waiting | polls for at most [`SPIN_DEFAULT`] (not on a single core), then parks; wakes as many as there is news for, nobody when nobody is parked; a waiter that gives up passes its wake-up on; an idle receiver uses no processor time |
//! | panics | no user code runs between claim and publication |
//!
//! # Parts
//! * [`queue`]: the traits. [`ring`], [`strict`], [`unbounded`], [`spsc`], [`sharded`]: the queues,
//!   with handles that never wait; [`Patience`] for loops around them.
//! * [`bounded`], [`channel`]: channels over each of them, blocking, timed, asynchronous
//!   ([`Sender::send_async`], [`Receiver::recv_async`], `Stream`, `Sink`), in batches.
//! * [`Inboxes`], [`Doorbell`]: one thread that serves several queues.
//! * [`batcher`]: when to send what has been collected.
//! * [`compress`]: tagged, checked frames over lz4, with dictionaries; zstd and parallel work as
//!   features.
//! * [`partition`]: key to shard, request to worker.
//!
//! `unsafe` is confined to the queues, `cells` and `queue::front`; their invariants are numbered
//! there. `TESTING.md` says how they are proven, and with which command.

#![deny(unsafe_code)]

mod asymmetric;
pub mod batcher;
#[allow(
    unsafe_code,
    reason = "places that values are handed over through; contracts in the module"
)]
mod cells;
pub mod channel;
pub mod compress;
mod doorbell;
pub mod partition;
pub mod patience;
pub mod queue;
#[allow(unsafe_code, reason = "slots are shared by hand-over; invariants in the module")]
pub mod ring;
#[allow(unsafe_code, reason = "lanes are shared under their locks; invariants in the module")]
pub mod sharded;
#[allow(unsafe_code, reason = "places are shared by hand-over; invariants in the module")]
pub mod spsc;
#[allow(unsafe_code, reason = "values are handed over through blocks; invariants in the module")]
pub mod strict;
mod sync;
#[allow(unsafe_code, reason = "segments are shared by hand-over; invariants in the module")]
pub mod unbounded;
mod wait;

pub use channel::{
    ChannelOptions, Closed, Inboxes, Receiver, RecvError, RecvTimeoutError, SendError,
    SendTimeoutError, Sender, TryRecvError, TrySendError, bounded, bounded_with,
    bounded_with_doorbell, over,
};
pub use doorbell::{Doorbell, Ticket};
pub use patience::Patience;
pub use queue::{
    CAPACITY_MAX, CapacityError, Consume, Either, FrontDrain, Handle, PopError, Produce, PushError,
};
pub use ring::Ring;
pub use wait::SPIN_DEFAULT;

/// Inner parts that the models drive on their own, and what plants a defect in them.
#[cfg(any(loom, shuttle))]
#[doc(hidden)]
pub mod modelled {
    use crate::wait;

    /// Weakens the ordering, or plants the defect, of this name in models of the calling thread.
    pub fn weaken(name: Option<&'static str>) {
        crate::sync::weaken(name);
    }

    /// The list of those who wait.
    #[derive(Debug)]
    pub struct WaitList(wait::WaitList);

    impl WaitList {
        #[allow(clippy::new_without_default)]
        pub fn new() -> Self {
            Self(wait::WaitList::new())
        }

        /// Sleeps until `take` answers; `nothing_yet` looks with SeqCst.
        pub fn wait_until<R>(
            &self,
            nothing_yet: impl Fn() -> bool,
            mut take: impl FnMut() -> Option<R>,
        ) -> R {
            let look = || take().map_or(wait::Look::Nothing, wait::Look::Done);
            wait::wait_alone(&self.0, None, nothing_yet, look).expect("there is no deadline")
        }

        /// Sleeps and gives up at once, while a peer stands in the way of the last look.
        pub fn give_up(&self, nothing_yet: impl Fn() -> bool) {
            // Before it polls, before it sleeps, and after.
            let mut looks = 0;
            let look = || {
                looks += 1;
                if looks <= 2 { wait::Look::<()>::Nothing } else { wait::Look::Busy }
            };
            let now = std::time::Instant::now();
            assert!(wait::wait_alone(&self.0, Some(now), nothing_yet, look).is_none());
        }

        pub fn wake(&self, count: usize) {
            self.0.wake(count);
        }
    }
}

/// Stopping a thread in the middle of an operation, for the test of lock-freedom.
#[cfg(all(stepped, not(any(loom, shuttle))))]
#[doc(hidden)]
pub mod stepped {
    pub use crate::sync::stepped::{
        AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Obstacle, Site, Stop, fence, step,
    };
}

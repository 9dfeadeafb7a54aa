//! What came of a run, and how to make one.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use crate::door::Refusals;
use crate::fault::FaultCounts;
use crate::inspect::Inspect;
use crate::invariants;
use crate::lincheck::KvOperation;
use crate::options::Options;
use crate::trace::TraceEvent;
use crate::violation::Violation;
use crate::world::{TraceSink, World};

/// What came of one run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The first broken invariant.
    pub violation: Option<Violation>,
    /// Virtual time that the run took, in nanoseconds.
    pub virtual_ns: u64,
    /// Inputs that replicas handled.
    pub steps: u64,
    /// Events of all kinds.
    pub events: u64,
    /// Messages between replicas, lost ones included.
    pub messages: u64,
    /// Their bytes as frames, if [`Options::count_bytes`] asked for it (snapshots always count).
    pub message_bytes: u64,
    /// Frames, messages and requests that were refused before they reached a protocol.
    pub refused_at_the_edge: u64,
    /// Those of frames and messages, by reason.
    pub refusals: Refusals,
    /// Requests that reached a replica.
    pub requests: u64,
    /// Requests refused because a window or a buffer was full: back-pressure.
    pub refused_busy: u64,
    /// Slots decided.
    pub slots: u64,
    /// Epochs that had a leader.
    pub leaders: usize,
    /// Time from call to return of each completed operation, in order of completion, nanoseconds.
    pub latencies_ns: Vec<u64>,
    /// The clients' history.
    pub history: Vec<KvOperation>,
    /// The faults injected.
    pub faults: FaultCounts,
    /// The faults that the dice drew, whether or not they took place: the numbers below these name
    /// the faults of this run ([`crate::FaultId`]). Consequences of other faults are not among them.
    pub drawn: FaultCounts,
    /// Whether more replicas were lost than the protocol tolerates: then no progress was demanded,
    /// and without a violation the cluster stopped safely.
    pub beyond_bound: bool,
    /// Whether the linearizability checker ran into its limit.
    pub check_gave_up: bool,
    /// A hash over every event and every step's result.
    pub trace_hash: u64,
}

/// Runs `seed` to its end. The same options and seed give the same outcome, bit for bit.
///
/// A broken assertion (a panic) of the protocol is caught and reported as a violation.
#[must_use]
pub fn simulate<P: Inspect>(options: &Options<P>, seed: u64) -> Outcome {
    run(options, seed, None)
}

/// As [`simulate`], with every event, message and decision told to `trace`, line by line.
#[must_use]
pub fn simulate_traced<P: Inspect>(
    options: &Options<P>,
    seed: u64,
    mut trace: impl FnMut(&str) + 'static,
) -> Outcome {
    simulate_told(options, seed, move |event| trace(&event.to_string()))
}

/// As [`simulate`], with everything that happens told to `watch`.
#[must_use]
pub fn simulate_told<P: Inspect>(
    options: &Options<P>,
    seed: u64,
    watch: impl FnMut(&TraceEvent) + 'static,
) -> Outcome {
    run(options, seed, Some(Box::new(watch)))
}

thread_local! {
    /// The last panic within a run on this thread; `None` outside of runs.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Keeps panics within runs off standard error; others are reported as before.
fn catch_quietly() {
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let inside = PANIC.with_borrow_mut(|panic| match panic {
                Some(text) => {
                    *text = info.to_string();
                    true
                }
                None => false,
            });
            if !inside {
                previous(info);
            }
        }));
    });
}

fn run<P: Inspect>(options: &Options<P>, seed: u64, trace: Option<TraceSink>) -> Outcome {
    let mut world = World::new(options, seed, trace);
    let violation = match caught(|| world.run()) {
        Ok(result) => result.err(),
        Err(detail) => Some(Violation {
            invariant: invariants::NO_PANIC,
            detail,
            at_ns: world.now_ns,
            step: world.counters.steps,
        }),
    };
    conclude(world, violation)
}

/// Does `act`; the words of a broken assertion within it, if one broke.
pub(crate) fn caught<R>(act: impl FnOnce() -> R) -> Result<R, String> {
    catch_quietly();
    PANIC.set(Some(String::new()));
    let done = panic::catch_unwind(AssertUnwindSafe(act));
    let panicked = PANIC.take();
    done.map_err(|_| panicked.unwrap_or_default())
}

fn conclude<P: Inspect>(world: World<P>, violation: Option<Violation>) -> Outcome {
    let (faults, drawn) = world.faults.into_counts();
    Outcome {
        seed: world.seed,
        violation,
        virtual_ns: world.now_ns,
        steps: world.counters.steps,
        events: world.counters.events,
        messages: world.counters.messages,
        message_bytes: world.counters.message_bytes,
        refused_at_the_edge: world.counters.refused_at_the_edge,
        refusals: world.counters.refusals,
        requests: world.counters.requests,
        refused_busy: world.counters.refused_busy,
        slots: world.book.ledger.last().0,
        leaders: world.book.leaders.count(),
        latencies_ns: world.counters.latencies_ns,
        history: world.history.into_operations(),
        faults,
        drawn,
        beyond_bound: world.counters.beyond_bound,
        check_gave_up: world.counters.gave_up_check,
        trace_hash: world.trace_hash.value(),
    }
}

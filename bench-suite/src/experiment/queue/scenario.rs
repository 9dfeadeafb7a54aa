//! What is asked of the queues: the scenarios of the headline table and those of the whole matrix,
//! and how one repetition of each is measured.

use std::collections::BTreeMap;
use std::time::Duration;

use super::contenders::{Contender, Kind, PAYLOADS};
use super::payload::Received;
use super::waiting::Policy;
use super::work::{Setup, Shape, Streamed};
use crate::experiment::{Effort, Outcome};
use crate::metric::Metric;
use crate::run::Proof;
use crate::stats;

/// Items that a queue holds, where the scenario does not say otherwise.
pub const CAPACITY: usize = 1024;
/// All shapes; four and four are more threads than two cores.
pub const SHAPES: [Shape; 5] = [shape(1, 1), shape(1, 2), shape(2, 1), shape(2, 2), shape(4, 4)];
/// Sizes of batches.
pub const BATCHES: [usize; 4] = [8, 32, 64, 256];
/// Capacities of the matrix.
pub const CAPACITIES: [usize; 3] = [64, 1024, 65_536];
/// Items of a burst, for the cost of one that meets nobody.
pub const BURST: u64 = 512;
/// Between two pings to a peer that is to be parked by then.
pub const PARKED_AFTER: Duration = Duration::from_micros(300);

const fn shape(producers: u64, consumers: u64) -> Shape {
    Shape { producers, consumers }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// A stream.
    Stream {
        /// The message, as in [`PAYLOADS`].
        payload: usize,
        /// Messages that move at once; one by one where this is 1.
        batch: usize,
        /// Whether one more consumer holds its handle and does nothing.
        idle_consumer: bool,
    },
    /// One thread, which sends so many and receives them again.
    Alone(u64),
    /// Round trips, with a pause before each.
    RoundTrips(Duration),
    /// Memory after a burst.
    Memory,
}

/// A case of the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Its name in files.
    pub case: String,
    /// Who takes part.
    pub kinds: &'static [Kind],
    /// What is measured.
    pub task: Task,
    /// With how many threads.
    pub shape: Shape,
    /// Items that the queue holds.
    pub capacity: usize,
}

/// One message after the other.
const SINGLE: Task = Task::Stream { payload: 0, batch: 1, idle_consumer: false };

const fn in_batches(batch: usize) -> Task {
    Task::Stream { payload: 0, batch, idle_consumer: false }
}

fn scenario(case: String, kinds: &'static [Kind], task: Task, shape: Shape) -> Scenario {
    Scenario { case, kinds, task, shape, capacity: CAPACITY }
}

const MANY_TO_MANY: &[Kind] = &[Kind::Bounded, Kind::Strict, Kind::Sharded, Kind::Channel];
const ALL_BOUNDED: &[Kind] =
    &[Kind::Bounded, Kind::Strict, Kind::Sharded, Kind::Spsc, Kind::Channel];

/// The scenarios of the headline table.
#[must_use]
pub fn headline() -> Vec<Scenario> {
    use Kind::{Bounded, Channel, Sharded, Spsc, Strict, Unbounded};
    let mut all = Vec::new();
    let mut streams = |name: &str, kinds: &'static [Kind], task: Task, shapes: &[Shape]| {
        all.extend(shapes.iter().map(|at| scenario(format!("{name}-{at}"), kinds, task, *at)));
    };
    let [one, .., two, four] = SHAPES;
    streams("single", &[Bounded], SINGLE, &SHAPES);
    streams("batch-32", &[Bounded, Channel], in_batches(32), &[two, four]);
    streams("batch-64", &[Bounded, Channel], in_batches(64), &[two]);
    streams("batch-256", &[Bounded, Channel], in_batches(256), &[two]);
    streams("channel", &[Channel], SINGLE, &[one, two, four]);
    streams("unbounded", &[Unbounded], SINGLE, &[one, two, four]);
    streams("sharded", &[Sharded], SINGLE, &[two, four]);
    streams("spsc", &[Spsc], SINGLE, &[one]);
    streams("spsc-batch-64", &[Spsc], in_batches(64), &[one]);
    streams("strict", &[Strict], SINGLE, &[one, two, four]);
    streams("strict-batch-64", &[Strict], in_batches(64), &[two]);
    let idle = Task::Stream { payload: 0, batch: 1, idle_consumer: true };
    streams("idle-consumer", &[Bounded, Strict, Sharded, Channel, Unbounded], idle, &[two]);
    let mut lone = |name: &str, kinds: &'static [Kind], task: Task| {
        all.push(scenario(name.to_owned(), kinds, task, one));
    };
    lone("pair", &[Bounded, Strict, Channel], Task::Alone(1));
    lone("burst", &[Bounded, Strict, Channel], Task::Alone(BURST));
    let trips = Task::RoundTrips(Duration::ZERO);
    lone("round-trip-spinning", &[Bounded, Strict], trips);
    lone("round-trip-spinning-unbounded", &[Unbounded], trips);
    lone("round-trip-spinning-spsc", &[Spsc], trips);
    lone("round-trip-blocking", &[Channel, Unbounded], trips);
    lone("round-trip-parked", &[Channel, Unbounded], Task::RoundTrips(PARKED_AFTER));
    lone("memory", &[Unbounded], Task::Memory);
    all
}

/// The scenarios of the whole matrix.
#[must_use]
pub fn matrix() -> Vec<Scenario> {
    let mut all = Vec::new();
    for shape in SHAPES {
        for capacity in CAPACITIES {
            let case = format!("capacity-{capacity}-{shape}");
            all.push(Scenario { capacity, ..scenario(case, ALL_BOUNDED, SINGLE, shape) });
        }
        for batch in BATCHES {
            let case = format!("batch-{batch}-{shape}");
            all.push(scenario(case, ALL_BOUNDED, in_batches(batch), shape));
        }
        let unbounded = format!("unbounded-{shape}");
        all.push(scenario(unbounded, &[Kind::Unbounded], SINGLE, shape));
    }
    for (payload, name) in PAYLOADS.into_iter().enumerate().skip(1) {
        for shape in [SHAPES[0], SHAPES[3]] {
            let case = format!("{}-{shape}", name.to_lowercase().replace(' ', ""));
            let task = Task::Stream { payload, batch: 1, idle_consumer: false };
            all.push(scenario(case, MANY_TO_MANY, task, shape));
        }
    }
    all
}

impl Scenario {
    /// Whether `contender` takes part, with its policy.
    #[must_use]
    pub fn admits(&self, contender: &Contender, effort: &Effort) -> bool {
        let policy = match (self.task, contender.policy) {
            // Polling all the time is for round trips.
            (Task::Stream { .. }, Policy::Spin) => false,
            (Task::Stream { .. }, Policy::BackOff) => !effort.quick,
            (Task::Stream { idle_consumer: false, .. }, _) => true,
            // Ours are to show what they do with the waiting that we ship.
            (Task::RoundTrips(_), Policy::Patience) => self.kinds[0] != Kind::Channel,
            (Task::RoundTrips(_), Policy::Spin) => self.kinds[0] != Kind::Channel,
            (Task::RoundTrips(_), policy) => {
                self.kinds[0] == Kind::Channel && policy == Policy::Blocking
            }
            // Where waiting does not matter, one policy is enough.
            (_, policy) => matches!(policy, Policy::Blocking | Policy::Polite),
        };
        let batches = match self.task {
            Task::Stream { batch, .. } => batch == 1 || contender.batches.is_some(),
            _ => true,
        };
        self.kinds.contains(&contender.kind)
            && policy
            && batches
            && !(effort.quick && contender.full_only)
            && (contender.offers)(&self.setup(0, contender.policy))
    }

    fn setup(&self, items: u64, policy: Policy) -> Setup {
        let Self { shape, capacity, .. } = *self;
        let (batch, idle_consumer) = match self.task {
            Task::Stream { batch, idle_consumer, .. } => (batch, idle_consumer),
            _ => (1, false),
        };
        Setup { shape, capacity, items, policy, batch, idle_consumer }
    }

    /// A way to measure one repetition with `contender`.
    #[must_use]
    pub fn measure(&self, contender: Contender, effort: &Effort) -> Box<dyn FnMut(u32) -> Outcome> {
        let target = Duration::from_millis(if effort.quick { 40 } else { 200 });
        let scenario = self.clone();
        match self.task {
            Task::Stream { payload, batch, .. } => {
                let run = match contender.batches {
                    Some(run) if batch > 1 => run,
                    _ => contender.streams[payload],
                };
                let run = move |items| run(&scenario.setup(items, contender.policy));
                let value = |items: u64, seconds: f64| items as f64 / seconds;
                calibrated(target, ITEMS_MIN, run, Metric::Rate, value)
            }
            Task::Alone(burst) => {
                let run = move |items| (contender.alone)(scenario.capacity, burst, items / burst);
                let value = |items: u64, seconds: f64| seconds * 1e9 / items as f64;
                calibrated(target / 2, BURST * 20, run, Metric::PairTime, value)
            }
            Task::RoundTrips(pause) => {
                let most = if effort.quick { 10_000 } else { 100_000 };
                Box::new(move |_| round_trips(contender, pause, target, most))
            }
            Task::Memory => {
                let items = MEMORY_ITEMS;
                Box::new(move |_| super::memory::in_a_process_of_its_own(contender.name, items))
            }
        }
    }
}

/// Items of the burst whose memory is measured: 32 MB of numbers.
pub const MEMORY_ITEMS: u64 = 4_000_000;
/// Items of the shortest stream.
const ITEMS_MIN: u64 = 10_000;
/// Items of the longest stream.
const ITEMS_MAX: u64 = 200_000_000;
/// How often the number of items is corrected within the first repetition.
const CORRECTIONS_MAX: u32 = 4;

/// Measures with as many items as take about `target`; the first repetition finds out how many.
fn calibrated(
    target: Duration,
    items_min: u64,
    run: impl Fn(u64) -> Option<Streamed> + 'static,
    metric: Metric,
    value: fn(u64, f64) -> f64,
) -> Box<dyn FnMut(u32) -> Outcome> {
    let mut items = None;
    Box::new(move |_| {
        let mut corrections = if items.is_some() { 0 } else { CORRECTIONS_MAX };
        loop {
            let count = items.unwrap_or(items_min);
            let Some(Streamed { elapsed, received }) = run(count) else {
                return Outcome::failed(&"the queue could not be opened");
            };
            // A multiple of all bursts and of all numbers of producers.
            let fitting = count as f64 * target.as_secs_f64() / elapsed.as_secs_f64().max(1e-6);
            items = Some((fitting as u64).clamp(items_min, ITEMS_MAX) / BURST * BURST);
            let long_enough = elapsed * 3 > target * 2 || count >= ITEMS_MAX / BURST * BURST;
            let expected = Received::of_range(count);
            if received == expected && !long_enough && corrections > 0 {
                corrections -= 1;
                continue;
            }
            let values = BTreeMap::from([(metric, value(count, elapsed.as_secs_f64()))]);
            return Outcome::new(values, proof(&received, &expected));
        }
    })
}

fn proof(received: &Received, expected: &Received) -> Proof {
    if received == expected {
        return Proof::Verified;
    }
    let (found, sent) = (received.count, expected.count);
    Proof::Failed(format!("{found} of {sent} items arrived, or not the same"))
}

/// Round trips that are made at least.
const ROUND_TRIPS_MIN: u64 = 100;

fn round_trips(contender: Contender, pause: Duration, target: Duration, most: u64) -> Outcome {
    const REFUSED: &str = "the queue could not be opened, or gave back something else";
    // A few first: parked peers take a hundred times as long as polling ones.
    let Some(first) = (contender.round_trips)(contender.policy, ROUND_TRIPS_MIN / 2, pause) else {
        return Outcome::failed(&REFUSED);
    };
    let mean = f64::from(first.iter().sum::<u32>()) / first.len() as f64 / 1e9;
    let rounds = (target.as_secs_f64() / (mean + pause.as_secs_f64())) as u64;
    let rounds = rounds.clamp(ROUND_TRIPS_MIN, most);
    let Some(mut times) = (contender.round_trips)(contender.policy, rounds, pause) else {
        return Outcome::failed(&REFUSED);
    };
    times.sort_unstable();
    let times: Vec<f64> = times.into_iter().map(f64::from).collect();
    let values = BTreeMap::from([
        (Metric::RoundTripP50, stats::quantile(&times, 0.5)),
        (Metric::RoundTripP99, stats::quantile(&times, 0.99)),
    ]);
    Outcome::new(values, Proof::Verified)
}

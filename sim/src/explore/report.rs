//! Runs an exploration and says what came of it.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use stateright::{Checker, CheckerBuilder, HasDiscoveries, Model, Path};

use super::protocol::{EXPLORED_REPLICAS_MAX, Exploration, Explore, Milestone};
use super::world::{Action, BROKEN_CONTRACT, PROPERTIES, State, World};

/// How often a running exploration reports its progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
/// The first wait for an exploration that may end at once.
const FIRST_WAIT: Duration = Duration::from_millis(1);

/// Where an exploration stops even if it is not complete, and what it may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// States generated, repeated ones included. A state costs about 600 bytes while it waits and
    /// 20 afterwards.
    pub states_max: Option<NonZeroUsize>,
    /// Steps from the start; the lower of this and [`Exploration::steps`] counts.
    pub depth_max: Option<NonZeroUsize>,
    /// Wall-clock time.
    pub time_max: Option<Duration>,
    /// Threads.
    pub threads: NonZeroUsize,
}

impl Default for Limits {
    /// One thread and no limit: the way to a violation is then a shortest one at the first attempt.
    fn default() -> Self {
        Self { states_max: None, depth_max: None, time_max: None, threads: NonZeroUsize::MIN }
    }
}

/// How far an exploration got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Different states.
    pub unique: usize,
    /// States generated.
    pub total: usize,
    /// Steps from the start to the last state looked at.
    pub depth: usize,
    /// Time since the start.
    pub elapsed: Duration,
}

/// A way to a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The property that is broken there.
    pub property: &'static str,
    /// What was seen.
    pub detail: String,
    /// How many steps lead there.
    pub steps: usize,
    /// The steps, one line for each and an indented one for each effect.
    pub lines: Vec<String>,
}

/// What came of an exploration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Different states.
    pub unique: usize,
    /// States generated: also those that were known.
    pub total: usize,
    /// Different states of single replicas.
    pub replicas: usize,
    /// Different messages.
    pub messages: usize,
    /// The steps of the longest shortest way.
    pub depth: usize,
    /// How long it took.
    pub elapsed: Duration,
    /// Whether every state within the bounds was visited.
    pub complete: bool,
    /// Every state that so many steps lead to was checked, though the rest was not; `None` when
    /// that is not known: with several threads the order of visits is not by steps.
    pub covered: Option<usize>,
    /// What it came across.
    pub reached: Vec<Milestone>,
    /// What it should have come across and did not, though it is complete: it proves little.
    pub missed: Vec<Milestone>,
    /// The shortest way to a state in which a property does not hold.
    pub violation: Option<Way>,
}

impl Report {
    /// Whether nothing is wrong, as far as it went.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.violation.is_none() && self.missed.is_empty()
    }
}

/// Why an exploration did not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExploreError {
    /// More replicas than a state has room for.
    #[error("{0} replicas; an exploration has at most {EXPLORED_REPLICAS_MAX}")]
    Replicas(usize),
    /// The protocol refuses its configuration.
    #[error("configuration: {0}")]
    Setup(String),
    /// The explorer itself is broken.
    #[error("a thread of the explorer stopped; its message is on standard error")]
    Stopped,
}

/// Explores, telling `watch` now and then how far it is. With several threads a violation is
/// searched again with one, because only that order of visits gives a shortest way.
///
/// # Errors
/// When the exploration cannot be set up.
pub fn explore<P: Explore>(
    exploration: &Exploration<P>,
    limits: &Limits,
    mut watch: impl FnMut(Progress),
) -> Result<Report, ExploreError> {
    let started = Instant::now();
    let first = run(exploration, limits, started, &mut watch)?;
    let Some(way) = first.violation.as_ref().filter(|_| limits.threads.get() > 1) else {
        return Ok(first);
    };
    let depth_max = NonZeroUsize::new(way.steps);
    let single = Limits { depth_max, ..Limits::default() };
    // It is not cut short: the way is known to be there.
    let second = run(exploration, &single, started, &mut watch)?;
    Ok(if second.violation.is_some() { second } else { first })
}

fn run<P: Explore>(
    exploration: &Exploration<P>,
    limits: &Limits,
    started: Instant,
    watch: &mut impl FnMut(Progress),
) -> Result<Report, ExploreError> {
    if exploration.replicas > EXPLORED_REPLICAS_MAX {
        return Err(ExploreError::Replicas(exploration.replicas));
    }
    let world = World::new(exploration).map_err(ExploreError::Setup)?;
    let limits = &bounded(exploration, limits);
    let mut checker = limited(world.checker(), limits).spawn_bfs();
    let mut stopped = None;
    let mut handles = checker.handles();
    let mut wait = FIRST_WAIT;
    while handles.iter().any(|handle| !handle.is_finished()) {
        std::thread::sleep(wait);
        wait = (wait * 2).min(PROGRESS_INTERVAL);
        let progress = progress(&checker, started);
        watch(progress);
        if stopped.is_none() && limits.time_max.is_some_and(|max| progress.elapsed >= max) {
            // `stateright` looks at the time only where threads share work. All that waits is still
            // checked. With one thread, every state before the depth seen here had its turn.
            stopped = Some(progress.depth);
            checker.model().stop(true);
        }
    }
    for handle in handles.drain(..) {
        handle.join().map_err(|_| ExploreError::Stopped)?;
    }
    // Ways are found by taking them again.
    checker.model().stop(false);
    Ok(report(exploration, limits, &checker, stopped, started))
}

/// The limits with the exploration's own bound on steps.
fn bounded<P: Explore>(exploration: &Exploration<P>, limits: &Limits) -> Limits {
    let depth_max = limits.depth_max.into_iter().chain(exploration.steps).min();
    Limits { depth_max, ..*limits }
}

fn limited<M: Model>(mut builder: CheckerBuilder<M>, limits: &Limits) -> CheckerBuilder<M> {
    builder = builder.threads(limits.threads.get()).finish_when(HasDiscoveries::AnyFailures);
    if let Some(states) = limits.states_max {
        builder = builder.target_state_count(states.get());
    }
    if let Some(depth) = limits.depth_max {
        // It counts states rather than steps, and leaves the last ones unchecked.
        builder = builder.target_max_depth(depth.get() + 2);
    }
    builder
}

fn progress<M: Model>(checker: &impl Checker<M>, started: Instant) -> Progress {
    Progress {
        unique: checker.unique_state_count(),
        total: checker.state_count(),
        depth: checker.max_depth().saturating_sub(1),
        elapsed: started.elapsed(),
    }
}

fn report<P: Explore>(
    exploration: &Exploration<P>,
    limits: &Limits,
    checker: &impl Checker<World<P>>,
    stopped: Option<usize>,
    started: Instant,
) -> Report {
    let Progress { unique, total, depth, elapsed } = progress(checker, started);
    let mut discoveries = checker.discoveries();
    let failed = PROPERTIES.into_iter().chain([BROKEN_CONTRACT]);
    let failure = failed.into_iter().find_map(|name| discoveries.remove(name));
    let violation = failure.and_then(|path| way(checker.model(), path));
    // Sure to be covered, by what may have cut it short. At a limit of states some of the last depth
    // were not looked at; at a limit of depth those beyond it were generated and left.
    let by_states = limits.states_max.filter(|max| total >= max.get());
    let by_states = by_states.map(|_| depth.saturating_sub(1));
    let by_depth = limits.depth_max.map(NonZeroUsize::get).filter(|max| depth > *max);
    let cut = by_states.into_iter().chain(stopped).chain(by_depth).min();
    let wanted = exploration.steps.map(NonZeroUsize::get);
    let complete = violation.is_none()
        && match cut {
            None => true,
            // The exploration's own bound is no cut.
            Some(_) => by_states.is_none() && stopped.is_none() && by_depth == wanted,
        };
    let covered = cut.unwrap_or(depth).min(depth);
    let covered = Some(covered).filter(|_| violation.is_none() && limits.threads.get() == 1);
    let has = |milestone: &Milestone| discoveries.contains_key(milestone.name());
    let missed = exploration.expects.iter().copied().filter(|expected| complete && !has(expected));
    let (replicas, messages) = checker.model().parts();
    Report {
        unique,
        total,
        replicas,
        messages,
        depth,
        elapsed,
        complete,
        covered,
        reached: Milestone::ALL.into_iter().filter(has).collect(),
        missed: missed.collect(),
        violation,
    }
}

fn way<P: Explore>(world: &World<P>, path: Path<State, Action>) -> Option<Way> {
    let steps: Vec<(State, Option<Action>)> = path.into_vec();
    let taken = steps.iter().filter_map(|(state, action)| Some((state, (*action)?)));
    let (before, last) = taken.clone().next_back()?;
    let broken = world.explain(before, last)?;
    let numbered = |(index, (state, action)): (usize, (&State, Action))| {
        let mut lines = world.tell(state, action);
        if let Some(first) = lines.first_mut() {
            *first = format!("{:>3}. {first}", index + 1);
        }
        lines
    };
    Some(Way {
        property: broken.property,
        detail: broken.detail,
        steps: taken.clone().count(),
        lines: taken.enumerate().flat_map(numbered).collect(),
    })
}

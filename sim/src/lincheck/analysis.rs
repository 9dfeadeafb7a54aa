//! Verdicts, and for a violation the place where the history dies.

use super::model::Model;
use super::search::{Ending, Limits, Operation, Search};

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Some order explains every answer.
    Linearizable,
    /// No order does.
    Violation {
        /// The index of the operation at whose return the history dies: some order explains all
        /// answers that were given before, none explains this one too.
        operation: usize,
    },
    /// The limit was reached, or the caller said to stop, before an answer was found.
    GaveUp,
}

/// A verdict with its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Analysis<S> {
    /// The verdict.
    pub verdict: Verdict,
    /// An order that explains the answers: all of them, or on a violation those that were given
    /// before the history dies. Operations of unknown outcome that it does not need are left out.
    pub order: Vec<usize>,
    /// States that are possible after these answers, the one that `order` ends in first. On a
    /// violation as many as were found with some effort, at most [`STATES_MAX`]; otherwise one.
    pub states: Vec<S>,
    /// Pairs of (operations taken, state) that the search for the verdict went through. With a
    /// search that gave up: until then.
    pub configurations: usize,
}

/// The most possible states that an [`Analysis`] lists.
pub const STATES_MAX: usize = 16;
/// The effort spent on finding possible states, in configurations.
const STATES_EFFORT: Limits = Limits { configurations_max: 20_000 };

/// Checks `history` against `model`. Cost: exponential at worst in the number of operations that
/// overlap, near linear for histories of few overlapping operations and for registers to which each
/// value is written once.
#[must_use]
pub fn check<M: Model>(
    model: &M,
    history: &[Operation<M::Call, M::Return>],
    limits: Limits,
) -> Verdict {
    analyse(model, history, limits, &mut || true).verdict
}

/// As [`check`], with the reasons. `go_on` is asked now and then; when it answers no, the search
/// gives up (a deadline, a cancelled request).
#[must_use]
pub fn analyse<M: Model>(
    model: &M,
    history: &[Operation<M::Call, M::Return>],
    limits: Limits,
    go_on: &mut dyn FnMut() -> bool,
) -> Analysis<M::State> {
    let mut search = Search::new(model, history);
    let ending = search.run(limits, go_on, &mut |_| true);
    let configurations = search.configurations();
    let (order, states) = (search.order(), vec![search.state().clone()]);
    drop(search);
    match ending {
        Ending::Found => Analysis { verdict: Verdict::Linearizable, order, states, configurations },
        Ending::Stopped => {
            let (order, states) = (Vec::new(), Vec::new());
            Analysis { verdict: Verdict::GaveUp, order, states, configurations }
        }
        Ending::Exhausted => {
            let diagnosis = diagnose(model, history, limits, go_on);
            Analysis { configurations, ..diagnosis }
        }
    }
}

/// Finds the first return that no order explains: linearizability is closed under prefixes, so it
/// is found by halving.
fn diagnose<M: Model>(
    model: &M,
    history: &[Operation<M::Call, M::Return>],
    limits: Limits,
    go_on: &mut dyn FnMut() -> bool,
) -> Analysis<M::State> {
    let mut returns: Vec<(u64, usize)> = Vec::new();
    for (index, operation) in history.iter().enumerate() {
        returns.extend(operation.returned.as_ref().map(|(at, _)| (*at, index)));
    }
    returns.sort_unstable();
    let mut best = (Vec::new(), model.initial());
    // The first `low` returns can be explained, the first `high` + 1 cannot.
    let (mut low, mut high) = (0, returns.len().saturating_sub(1));
    while low < high {
        let middle = low.midpoint(high);
        let prefix = Prefix::new(history, &returns, middle + 1, None);
        let mut search = Search::new(model, &prefix.operations);
        if search.run(limits, go_on, &mut |_| true) == Ending::Found {
            let order = search.order().into_iter().map(|index| prefix.indices[index]).collect();
            best = (order, search.state().clone());
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let operation = returns.get(low).map_or(0, |(_, index)| *index);
    let (order, state) = best;
    let prefix = Prefix::new(history, &returns, low, Some(operation));
    let states = possible_states(model, &prefix.operations, state, go_on);
    Analysis { verdict: Verdict::Violation { operation }, order, states, configurations: 0 }
}

fn possible_states<M: Model>(
    model: &M,
    history: &[Operation<M::Call, M::Return>],
    known: M::State,
    go_on: &mut dyn FnMut() -> bool,
) -> Vec<M::State> {
    let mut states = vec![known];
    let mut add = |state: &M::State| {
        if !states.contains(state) {
            states.push(state.clone());
        }
        states.len() == STATES_MAX
    };
    Search::plain(model, history).run(STATES_EFFORT, go_on, &mut add);
    states
}

/// What was known of a history at some moment.
struct Prefix<C, R> {
    operations: Vec<Operation<C, R>>,
    /// Where each stands in the whole history.
    indices: Vec<usize>,
}

impl<C: Clone, R: Clone> Prefix<C, R> {
    /// The first `known` of `returns`, and what was called until the last of these, or until the
    /// next if the operation that it belongs to is left out (`without`).
    fn new(
        history: &[Operation<C, R>],
        returns: &[(u64, usize)],
        known: usize,
        without: Option<usize>,
    ) -> Self {
        let until = if without.is_some() { known } else { known - 1 };
        let moment = returns.get(until).map_or(u64::MAX, |(at, _)| *at);
        let mut is_known = vec![false; history.len()];
        for (_, index) in &returns[..known] {
            is_known[*index] = true;
        }
        let mut prefix = Self { operations: Vec::new(), indices: Vec::new() };
        for (index, operation) in history.iter().enumerate() {
            if operation.called_at <= moment && without != Some(index) {
                let mut operation = operation.clone();
                operation.returned = operation.returned.filter(|_| is_known[index]);
                prefix.operations.push(operation);
                prefix.indices.push(index);
            }
        }
        prefix
    }
}

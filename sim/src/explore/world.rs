//! The group as `stateright` sees it: states, actions, properties.
//!
//! A state holds prints (see [`super::table`]), so copying and hashing one costs little however
//! large replicas are. What one replica does with one stimulus is computed once and remembered.
//!
//! What is not explored twice: an action that changes nothing (a repeated message, mostly) leads
//! nowhere, and of interchangeable replicas that have done nothing yet only the first acts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quorate_smr::{
    Batch, BatchBuilder, ClientId, Command, GroupId, ReadId, ReplicaId, RequestSeq, Role,
};
use stateright::{Model, Property};

use super::history::{Broken, Event, History, LOGS_MATCH, READ_IS_FRESH, REFUSED_STAYS_OUT};
use super::history::{Rules, broken};
use super::protocol::{
    Bounds, EXPLORED_REPLICAS_MAX, Exploration, Explore, Milestone, Network, Prelude, Timer,
};
use super::replica::{Envelope, Fate, Hosts, Replica, Stepped, Stimulus};
use super::table::{Memo, Table};
use crate::inspect::Sealed;
use crate::invariants;

/// What must hold in every state. The explorer checks all of it at every step.
pub const PROPERTIES: [&str; 19] = [
    invariants::SLOT_AGREEMENT,
    invariants::SLOTS_CONTIGUOUS,
    invariants::STATE_AGREEMENT,
    invariants::NEVER_BACK,
    invariants::NOTHING_INVENTED,
    invariants::APPLIED_AT_MOST_ONCE,
    invariants::BUFFERS_BOUNDED,
    invariants::TOLD_IS_REMEMBERED,
    invariants::ELECTION_SAFETY,
    invariants::ONE_VALUE_PER_EPOCH_AND_SLOT,
    invariants::CHOSEN_STAYS_CHOSEN,
    invariants::NEVER_TWO_THINGS,
    invariants::NEVER_BELOW_PROMISE,
    invariants::LEADER_COMPLETENESS,
    invariants::RECOVERS,
    invariants::NO_PANIC,
    LOGS_MATCH,
    READ_IS_FRESH,
    REFUSED_STAYS_OUT,
];

/// Runaways and breaches of the host's contract: not properties of consensus, but never passed over.
pub const BROKEN_CONTRACT: &str = "host contract, no runaway";

/// Durable steps of one input after which a crash is tried, at most; inputs ask for fewer.
const CRASH_POINTS: u8 = 4;
/// The bits of an envelope's print that name sender and receiver.
const ADDRESS_MASK: u64 = 0xff;
/// Batches that clients may propose, at most.
const BATCHES_MAX: u8 = 8;
/// Steps of a prelude, at most.
const PRELUDE_STEPS_MAX: usize = 1_000;

/// A state of the group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    replicas: [u64; EXPLORED_REPLICAS_MAX],
    /// Prints of envelopes, sorted.
    network: Vec<u64>,
    history: u64,
    used: Used,
    /// Replicas that have acted, where they are interchangeable.
    touched: u8,
    broken: bool,
    /// Which property is broken, as an index; the last stands for [`BROKEN_CONTRACT`].
    property: u8,
}

/// What was used up of the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
struct Used {
    timeouts: u8,
    heartbeats: u8,
    proposals: u8,
    reads: u8,
    crashes: u8,
    duplicates: u8,
    /// One more than the last epoch with a proposal, if that is bounded.
    proposed_in: u8,
}

/// Something that can happen in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Action {
    replica: u8,
    what: What,
    fate: Fate,
    /// Whether a delivered message stays in the network.
    keep: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum What {
    Deliver(u64),
    Tick,
    Propose(u8),
    Read(u8),
    Sync,
    Crash(u8),
    Restart,
}

/// What a step of one replica amounts to.
#[derive(Debug)]
struct Outcome {
    replica: u64,
    /// Sorted.
    sent: Vec<u64>,
    events: Vec<Event>,
    broken: Option<Broken>,
    feeds_lies: bool,
    epoch: u64,
}

/// What is looked at of a replica for each state.
#[derive(Clone, Copy, Debug)]
struct Glance {
    runs: bool,
    timer: Option<Timer>,
    leads: bool,
    epoch: u64,
    pending: usize,
}

/// An exploration with everything that was computed on the way.
#[derive(Debug)]
pub(crate) struct World<P: Explore> {
    exploration: Exploration<P>,
    hosts: Hosts<P>,
    batches: Vec<Batch>,
    rules: Rules,
    replicas: Table<Replica<P>>,
    envelopes: Table<Envelope<P::Message>>,
    histories: Table<History>,
    glances: Memo<u64, Glance>,
    outcomes: Memo<(u64, What, Fate), Option<Arc<Outcome>>>,
    /// Pairs of replicas whose logs were compared, and whether they match.
    matches: Memo<(u64, u64), bool>,
    /// What the Byzantine replica says once it heard the envelopes with these prints.
    lies: Memo<Vec<u64>, Arc<Vec<u64>>>,
    /// Properties that were reported: by [`PROPERTIES`], the contract, then milestones.
    claimed: Vec<AtomicBool>,
    stopped: AtomicBool,
    /// Where the exploration starts.
    start: Option<State>,
}

impl<P: Explore> World<P> {
    /// Nothing has happened yet.
    ///
    /// # Errors
    /// When the exploration cannot be set up.
    pub(crate) fn new(exploration: &Exploration<P>) -> Result<Self, String> {
        let batches: Vec<Batch> = (1..=BATCHES_MAX).map(batch).collect();
        let liar = exploration.byzantine.is_some();
        let claims = PROPERTIES.len() + 1 + Milestone::ALL.len();
        let mut world = Self {
            hosts: Hosts::new(exploration)?,
            rules: Rules::new(&batches, P::SOLE_LEADER, P::COMMITTED_ONCE, liar),
            batches,
            exploration: exploration.clone(),
            replicas: Table::default(),
            envelopes: Table::default(),
            histories: Table::default(),
            glances: Memo::default(),
            outcomes: Memo::default(),
            matches: Memo::default(),
            lies: Memo::default(),
            claimed: (0..claims).map(|_| AtomicBool::new(false)).collect(),
            stopped: AtomicBool::new(false),
            start: None,
        };
        let start = world.initial();
        world.start = Some(match &exploration.prelude {
            Some(prelude) => world.play(start, prelude)?,
            None => start,
        });
        Ok(world)
    }

    /// While it is stopped, states have no successors.
    pub(crate) fn stop(&self, stopped: bool) {
        self.stopped.store(stopped, Ordering::Relaxed);
    }

    /// The state after `prelude`.
    fn play(&self, mut state: State, prelude: &Prelude<P::Message>) -> Result<State, String> {
        let usual = Fate::usual(self.exploration.disk);
        if let Some(ReplicaId(replica)) = prelude.stands {
            let tick = Action { replica, what: What::Tick, fate: usual, keep: false };
            state = self.next_state(&state, tick).ok_or("the prelude's timer does nothing")?;
        }
        let mut actions = Vec::new();
        for _ in 0..PRELUDE_STEPS_MAX {
            actions.clear();
            self.actions(&state, &mut actions);
            let mut fitting = actions.iter().filter(|action| action.fate == usual);
            let played = |what| match what {
                What::Propose(number) => prelude.proposes && number == 0,
                What::Deliver(print) => {
                    let Envelope { from, to, message, .. } = &*self.envelopes.get(print);
                    let liar = self.exploration.byzantine == Some(*from);
                    !liar && (prelude.carried)(*from, *to, message)
                }
                _ => false,
            };
            let next = fitting.find_map(|action| {
                played(action.what).then(|| self.next_state(&state, *action)).flatten()
            });
            let Some(next) = next else { return Ok(state) };
            state = next;
            if state.broken {
                return Err(format!("\"{}\" breaks a property", prelude.about));
            }
        }
        Err(format!("\"{}\" does not end within {PRELUDE_STEPS_MAX} steps", prelude.about))
    }

    /// How many different replicas and messages were met.
    pub(crate) fn parts(&self) -> (usize, usize) {
        (self.replicas.len(), self.envelopes.len())
    }

    const fn bounds(&self) -> &Bounds {
        &self.exploration.bounds
    }

    fn count(&self) -> usize {
        self.exploration.replicas
    }

    fn initial(&self) -> State {
        let mut replicas = [0; EXPLORED_REPLICAS_MAX];
        let mut history = History::default();
        let mut network = Vec::new();
        for (index, place) in replicas.iter_mut().enumerate().take(self.count()) {
            let id = ReplicaId(index as u8);
            let Stepped { replica, sent, events, .. } = self.hosts.boot(id);
            for event in &events {
                // The first view's primary leads it from the start.
                let noted = history.note(id, event, 0, &self.rules);
                assert!(noted.is_ok(), "a group that did nothing keeps its properties");
            }
            *place = self.replicas.keep(replica, 0, 0);
            network.extend(sent.into_iter().map(|envelope| self.post(envelope)));
        }
        network.extend(self.first_lies());
        network.extend(self.more_lies(&network).iter());
        network.sort_unstable();
        network.dedup();
        State {
            replicas,
            network,
            history: self.histories.keep(history, 0, 0),
            used: Used::default(),
            touched: 0,
            broken: false,
            property: 0,
        }
    }

    fn post(&self, envelope: Envelope<P::Message>) -> u64 {
        let address = u64::from(envelope.from.0) << 4 | u64::from(envelope.to.0);
        self.envelopes.keep(envelope, ADDRESS_MASK, address)
    }

    /// Everything that the liar says of its own accord.
    fn first_lies(&self) -> Vec<u64> {
        let Some(liar) = self.exploration.byzantine else { return Vec::new() };
        let lies = P::lies(self.hosts.auth(liar), liar, &self.batches);
        lies.into_iter().flat_map(|lie| self.send_lie(&lie)).collect()
    }

    fn send_lie(&self, lie: &Sealed<P>) -> Vec<u64> {
        self.hosts.deliver_lie(lie).into_iter().map(|envelope| self.post(envelope)).collect()
    }

    /// What the liar can say given everything in the network.
    fn more_lies(&self, network: &[u64]) -> Arc<Vec<u64>> {
        let Some(liar) = self.exploration.byzantine else { return Arc::default() };
        let heard: Vec<_> = network.iter().map(|print| self.envelopes.get(*print)).collect();
        let mut messages: Vec<P::Message> = Vec::new();
        let mut key = Vec::new();
        for (print, envelope) in network.iter().zip(&heard) {
            if P::feeds_lies(&envelope.message) && !messages.contains(&envelope.message) {
                messages.push(envelope.message.clone());
                key.push(*print);
            }
        }
        self.lies.get_or_make(key, || {
            let auth = self.hosts.auth(liar);
            let lies = P::lies_after(auth, liar, &messages, &self.batches);
            let believed = |ways: &Vec<_>| {
                let sent = ways.iter().map(|lie| self.send_lie(lie));
                sent.into_iter().find(|sent| !sent.is_empty()).unwrap_or_default()
            };
            Arc::new(lies.iter().flat_map(believed).collect())
        })
    }

    fn glance(&self, print: u64) -> Glance {
        self.glances.get_or_make(print, || {
            let replica = self.replicas.get(print);
            Glance {
                runs: replica.process.is_some(),
                timer: replica.timer(),
                epoch: replica.status().map_or(0, |status| status.epoch),
                leads: replica.status().is_some_and(|status| status.role == Role::Leader),
                pending: replica.pending(),
            }
        })
    }

    fn stimulus(&self, what: What) -> Stimulus<P::Message> {
        match what {
            What::Deliver(print) => Stimulus::Deliver(self.envelopes.get(print)),
            What::Tick => Stimulus::Tick,
            What::Propose(number) => Stimulus::Propose(self.batches[usize::from(number)].clone()),
            What::Read(number) => Stimulus::Read(ReadId(u64::from(number))),
            What::Sync => Stimulus::Sync,
            What::Crash(kept) => Stimulus::Crash { kept: usize::from(kept) },
            What::Restart => Stimulus::Restart,
        }
    }

    fn outcome(&self, replica: u64, what: What, fate: Fate) -> Option<Arc<Outcome>> {
        self.outcomes.get_or_make((replica, what, fate), || {
            let before = self.replicas.get(replica);
            let stepped = self.hosts.step(&before, &self.stimulus(what), fate, None)?;
            let Stepped { replica, sent, events, broken } = stepped;
            let feeds_lies = sent.iter().any(|envelope| P::feeds_lies(&envelope.message));
            let epoch = replica.status().map_or(0, |status| status.epoch);
            let replica = self.replicas.keep(replica, 0, 0);
            let mut sent: Vec<u64> = sent.into_iter().map(|envelope| self.post(envelope)).collect();
            sent.sort_unstable();
            Some(Arc::new(Outcome { replica, sent, events, broken, feeds_lies, epoch }))
        })
    }

    /// What `action` breaks in `state`, in words: found again for the report.
    pub(crate) fn explain(&self, state: &State, action: Action) -> Option<Broken> {
        let index = usize::from(action.replica);
        let outcome = self.outcome(state.replicas[index], action.what, action.fate)?;
        let mut next = state.clone();
        self.spend(&mut next, action);
        next.replicas[index] = outcome.replica;
        self.judge(&mut next, action, &outcome)
    }

    /// Notes what happened and checks what must hold.
    fn judge(&self, next: &mut State, action: Action, outcome: &Outcome) -> Option<Broken> {
        if let Some(broken) = &outcome.broken {
            return Some(broken.clone());
        }
        if !outcome.events.is_empty() {
            let mut history = (*self.histories.get(next.history)).clone();
            let proposed = usize::from(next.used.proposals);
            for event in &outcome.events {
                let id = ReplicaId(action.replica);
                if let Err(broken) = history.note(id, event, proposed, &self.rules) {
                    return Some(broken);
                }
            }
            next.history = self.histories.keep(history, 0, 0);
        }
        self.compare_logs(next, usize::from(action.replica))
    }

    fn compare_logs(&self, state: &State, index: usize) -> Option<Broken> {
        let own = state.replicas[index];
        for other in state.replicas.iter().take(self.count()).filter(|other| **other != own) {
            let compare = || self.logs_match(own, *other).is_ok();
            if !self.matches.get_or_make((own, *other), compare) {
                let detail = self.logs_match(own, *other).err().unwrap_or_default();
                return Some(broken(LOGS_MATCH, detail));
            }
        }
        None
    }

    fn logs_match(&self, one: u64, other: u64) -> Result<(), String> {
        let (one, other) = (self.replicas.get(one), self.replicas.get(other));
        match (&one.process, &other.process) {
            (Some(one), Some(other)) => P::logs_match(one, other),
            _ => Ok(()),
        }
    }

    /// What can happen at the replica with this index, besides deliveries.
    fn own_actions(&self, state: &State, index: usize, actions: &mut Vec<Action>) {
        let (bounds, used) = (self.bounds(), &state.used);
        let glance = self.glance(state.replicas[index]);
        let usual = Fate::usual(self.exploration.disk);
        let mut add = |what, fate| {
            actions.push(Action { replica: index as u8, what, fate, keep: false });
        };
        if !glance.runs {
            if self.exploration.byzantine != Some(ReplicaId(index as u8)) {
                add(What::Restart, usual);
            }
            return;
        }
        let mut inputs = Vec::new();
        let id = ReplicaId(index as u8);
        let timed = self.exploration.timed.contains(id);
        match glance.timer.filter(|_| timed) {
            Some(Timer::Timeout) if used.timeouts < bounds.timeouts => inputs.push(What::Tick),
            Some(Timer::Heartbeat) if used.heartbeats < bounds.heartbeats => {
                inputs.push(What::Tick);
            }
            _ => {}
        }
        let asked = self.exploration.one_each && u64::from(used.proposed_in) > glance.epoch;
        if glance.leads && !asked && used.proposals < bounds.proposals.min(BATCHES_MAX) {
            inputs.push(What::Propose(used.proposals));
        }
        if glance.leads && used.reads < bounds.reads {
            inputs.push(What::Read(used.reads));
        }
        if glance.pending > 0 {
            add(What::Sync, usual);
        }
        let may_crash = used.crashes < bounds.crashes && self.exploration.crashing.contains(id);
        for what in inputs {
            add(what, usual);
            if may_crash && usual == Fate::Sync {
                (0..CRASH_POINTS).for_each(|point| add(what, Fate::Crash(point)));
            }
        }
        if may_crash {
            (0..=glance.pending).for_each(|kept| add(What::Crash(kept as u8), Fate::Leave));
        }
    }

    fn deliveries(&self, state: &State, actions: &mut Vec<Action>) {
        let usual = Fate::usual(self.exploration.disk);
        let may_crash = state.used.crashes < self.bounds().crashes && usual == Fate::Sync;
        let kept = self.exploration.network == Network::Kept;
        let again = !kept && state.used.duplicates < self.bounds().duplicates;
        let mut last = None;
        for print in state.network.iter().copied() {
            let replica = (print & 0xf) as u8;
            if last == Some(print)
                || !self.may_act(state, usize::from(replica))
                || !self.glance(state.replicas[usize::from(replica)]).runs
            {
                continue;
            }
            last = Some(print);
            let what = What::Deliver(print);
            let mut add = |fate, keep| actions.push(Action { replica, what, fate, keep });
            let may_crash = may_crash && self.exploration.crashing.contains(ReplicaId(replica));
            add(usual, kept);
            if again {
                add(usual, true);
            }
            if may_crash {
                (0..CRASH_POINTS).for_each(|point| add(Fate::Crash(point), kept));
            }
        }
    }

    /// Of replicas that have done nothing and differ in nothing but their names, only the first acts.
    fn may_act(&self, state: &State, index: usize) -> bool {
        let is_touched = |index: usize| state.touched >> index & 1 == 1;
        !P::SYMMETRIC || is_touched(index) || (0..index).all(is_touched)
    }

    fn spend(&self, state: &mut State, action: Action) {
        let used = &mut state.used;
        match action.what {
            What::Tick => match self.glance(state.replicas[usize::from(action.replica)]).timer {
                Some(Timer::Heartbeat) => used.heartbeats += 1,
                _ => used.timeouts += 1,
            },
            What::Propose(_) => {
                used.proposals += 1;
                if self.exploration.one_each {
                    let glance = self.glance(state.replicas[usize::from(action.replica)]);
                    used.proposed_in = u8::try_from(glance.epoch + 1).unwrap_or(u8::MAX);
                }
            }
            What::Read(_) => used.reads += 1,
            What::Crash(_) => used.crashes += 1,
            What::Deliver(print) => {
                if !action.keep {
                    let place = state.network.binary_search(&print);
                    state.network.remove(place.expect("only what was sent is delivered"));
                } else if self.exploration.network == Network::Once {
                    used.duplicates += 1;
                }
            }
            What::Sync | What::Restart => {}
        }
        if let Fate::Crash(_) = action.fate {
            state.used.crashes += 1;
        }
    }

    /// Adds what was sent; whether that was news.
    fn send(&self, network: &mut Vec<u64>, sent: &[u64]) {
        for print in sent {
            match network.binary_search(print) {
                Ok(_) if self.exploration.network == Network::Kept => {}
                Ok(place) | Err(place) => network.insert(place, *print),
            }
        }
    }

    /// Whether the action is a message that changes nothing.
    fn is_idle(&self, state: &State, action: Action, outcome: &Outcome) -> bool {
        action.keep
            && outcome.replica == state.replicas[usize::from(action.replica)]
            && outcome.events.is_empty()
            && outcome.broken.is_none()
            && outcome.sent.iter().all(|print| state.network.binary_search(print).is_ok())
    }

    fn is_news(&self, claim: usize) -> bool {
        !self.claimed[claim].swap(true, Ordering::Relaxed)
    }

    fn reached(&self, state: &State, index: usize) -> bool {
        let claim = PROPERTIES.len() + 1 + index;
        if self.claimed[claim].load(Ordering::Relaxed) {
            return false;
        }
        let history = self.histories.get(state.history);
        history.has(Milestone::ALL[index], &self.rules) && self.is_news(claim)
    }

    /// One line for `action` in `state`, and one for each effect of it.
    pub(crate) fn tell(&self, state: &State, action: Action) -> Vec<String> {
        let id = ReplicaId(action.replica);
        let what = match action.what {
            What::Deliver(print) => {
                let Envelope { from, message, .. } = &*self.envelopes.get(print);
                format!("{id} receives from {from}: {message:?}")
            }
            What::Tick => format!("{id}: its timer fires"),
            What::Propose(number) => format!("{id}: a client proposes batch {}", number + 1),
            What::Read(number) => format!("{id}: a client asks for read {number}"),
            What::Sync => format!("{id}: its disk has caught up"),
            What::Crash(kept) => format!("{id} crashes; of its pending steps {kept} survive"),
            What::Restart => format!("{id} restarts"),
        };
        let end = match action.fate {
            Fate::Crash(kept) => format!(", then crashes when {kept} durable steps are written"),
            Fate::Leave | Fate::Sync => String::new(),
        };
        let mut lines = vec![what + &end];
        let before = self.replicas.get(state.replicas[usize::from(action.replica)]);
        let mut effects = Vec::new();
        let stimulus = self.stimulus(action.what);
        let _ = self.hosts.step(&before, &stimulus, action.fate, Some(&mut effects));
        lines.extend(effects.into_iter().map(|effect| format!("    {id}: {effect}")));
        lines
    }
}

impl<P: Explore> Model for World<P> {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        self.start.iter().cloned().collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken || self.stopped.load(Ordering::Relaxed) {
            return;
        }
        for index in 0..self.count() {
            if self.may_act(state, index) {
                self.own_actions(state, index, actions);
            }
        }
        self.deliveries(state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let index = usize::from(action.replica);
        let outcome = self.outcome(state.replicas[index], action.what, action.fate)?;
        if outcome.epoch > u64::from(self.bounds().epochs) || self.is_idle(state, action, &outcome)
        {
            return None;
        }
        let mut next = state.clone();
        self.spend(&mut next, action);
        if P::SYMMETRIC {
            next.touched |= 1 << index;
        }
        next.replicas[index] = outcome.replica;
        self.send(&mut next.network, &outcome.sent);
        if outcome.feeds_lies {
            let lies = self.more_lies(&next.network);
            self.send(&mut next.network, &lies);
        }
        if let Some(broken) = self.judge(&mut next, action, &outcome) {
            next.broken = true;
            next.property = property_index(broken.property);
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = Vec::new();
        macro_rules! hold {
            ($($index:literal)*) => {$(
                properties.push(Property::always(PROPERTIES[$index], holds::<P, $index>));
            )*};
        }
        macro_rules! reach {
            ($($index:literal)*) => {$(
                let name = Milestone::ALL[$index].name();
                properties.push(Property::sometimes(name, reaches::<P, $index>));
            )*};
        }
        hold!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18);
        properties.push(Property::always(BROKEN_CONTRACT, holds::<P, 19>));
        reach!(0 1 2 3 4 5);
        properties
    }
}

/// Whether the property with this index holds; the first state in which it does not is reported,
/// which makes the reported way a shortest one.
fn holds<P: Explore, const INDEX: usize>(world: &World<P>, state: &State) -> bool {
    !state.broken || usize::from(state.property) != INDEX || !world.is_news(INDEX)
}

fn reaches<P: Explore, const INDEX: usize>(world: &World<P>, state: &State) -> bool {
    world.reached(state, INDEX)
}

fn property_index(name: &str) -> u8 {
    let known = PROPERTIES.iter().position(|property| *property == name);
    known.unwrap_or(PROPERTIES.len()) as u8
}

/// The batch that clients propose as the `number`-th.
fn batch(number: u8) -> Batch {
    let mut builder = BatchBuilder::new(GroupId(0));
    let command = Command {
        client: ClientId(1),
        seq: RequestSeq(u64::from(number)),
        payload: &[number],
        auth: &[],
    };
    builder.push(&command).expect("a command of one byte fits a batch");
    builder.seal(None)
}

//! What a scene holds back: messages by rule, timers, disks, replies; and when a replica crashes.
//!
//! Everything passes through [`World::intercept`] on its way out of the event queue, so that the
//! world itself knows nothing of scenes: a run without a script asks one question for each event.

use std::collections::{BTreeMap, BTreeSet};

use quorate_smr::Reason;
use quorate_smr::auth::Authenticator;
use quorate_smr::session::ReplyStatus;
use quorate_smr::wire;

use crate::client::Answer;
use crate::event::{Content, Event, Parcel};
use crate::inspect::Inspect;
use crate::world::{Phase, World};

/// Names a rule about messages; what it caught is released or discarded by this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule(u32);

/// What becomes of a message that a rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Kept until it is released.
    Hold,
    /// Lost.
    Drop,
    /// Delivered, and a copy is kept until it is released.
    Copy,
}

/// Matches messages by sender, receiver and content.
pub(crate) type Matches<P> =
    Box<dyn Fn(usize, usize, &<P as quorate_smr::Protocol>::Message) -> bool>;

struct Watch<P: Inspect> {
    rule: Rule,
    action: Action,
    matches: Matches<P>,
    /// How many more messages it catches.
    left: u64,
}

struct Kept<P: Inspect> {
    rule: Rule,
    node: usize,
    parcel: Box<Parcel<P>>,
}

/// When a crash strikes, seen from one write of a replica to its journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WritePoint {
    /// Before any of it reached the disk.
    Before,
    /// In the middle: the record is torn.
    Torn,
    /// When it was written, but before the replica heard so.
    After,
}

impl WritePoint {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Before, Self::Torn, Self::After];
}

/// A crash at a write to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CrashAtWrite {
    pub(crate) node: usize,
    /// Writes that pass first.
    pub(crate) skip: u64,
    pub(crate) point: WritePoint,
}

/// What a client heard last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Its request came to a slot.
    Applied(ReplyStatus),
    /// Its read was served.
    Read,
    /// Its request was not taken up.
    Refused(Reason),
}

/// The state of a scene beside its world.
pub(crate) struct Script<P: Inspect> {
    watches: Vec<Watch<P>>,
    kept: Vec<Kept<P>>,
    rules: u32,
    /// Nodes whose timers do not ring.
    pub(crate) still: BTreeSet<usize>,
    /// Nodes whose disks finish no sync, with the syncs that wait.
    pub(crate) stalled: BTreeMap<usize, Vec<Event<P>>>,
    /// Clients to whom no reply gets through.
    pub(crate) deaf: BTreeSet<usize>,
    pub(crate) heard: BTreeMap<usize, Heard>,
    pub(crate) crash_at_write: Option<CrashAtWrite>,
    /// How many of its pending writes the next crash leaves on the disk.
    pub(crate) crash_keeps: Option<usize>,
    /// Nodes whose disks take longer.
    pub(crate) slow_disks: BTreeMap<usize, SlowDisk>,
    /// Whether clients ask by themselves.
    pub(crate) clients_ask: bool,
    /// When operations were answered.
    pub(crate) answered_ns: Vec<u64>,
    /// Those among them that were asked for more than once.
    pub(crate) repeated: u64,
}

/// A disk that takes longer for each sync.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlowDisk {
    pub(crate) extra_ns: u64,
    /// When the sync at hand ends, if it was put off already.
    pub(crate) due: Option<u64>,
}

impl<P: Inspect> Script<P> {
    pub(crate) fn new() -> Self {
        Self {
            watches: Vec::new(),
            kept: Vec::new(),
            rules: 0,
            still: BTreeSet::new(),
            stalled: BTreeMap::new(),
            deaf: BTreeSet::new(),
            heard: BTreeMap::new(),
            crash_at_write: None,
            crash_keeps: None,
            slow_disks: BTreeMap::new(),
            clients_ask: false,
            answered_ns: Vec::new(),
            repeated: 0,
        }
    }

    /// From now on `action` is done to the next `left` messages that match.
    pub(crate) fn watch(&mut self, action: Action, left: u64, matches: Matches<P>) -> Rule {
        self.rules += 1;
        let rule = Rule(self.rules);
        self.watches.push(Watch { rule, action, matches, left });
        rule
    }

    /// The rule catches nothing more; what it caught stays caught.
    pub(crate) fn stop(&mut self, rule: Rule) {
        self.watches.retain(|watch| watch.rule != rule);
    }

    /// How many messages the rule keeps.
    pub(crate) fn kept(&self, rule: Rule) -> usize {
        self.kept.iter().filter(|kept| kept.rule == rule).count()
    }

    /// Takes the oldest message that the rule keeps.
    pub(crate) fn take(&mut self, rule: Rule) -> Option<(usize, Box<Parcel<P>>)> {
        let place = self.kept.iter().position(|kept| kept.rule == rule)?;
        let kept = self.kept.remove(place);
        Some((kept.node, kept.parcel))
    }

    /// Forgets all rules and what they keep.
    pub(crate) fn forget_rules(&mut self) {
        self.watches.clear();
        self.kept.clear();
    }

    /// Whether the message goes on to its receiver.
    fn passes(&mut self, node: usize, to: usize, parcel: &Parcel<P>, message: &P::Message) -> bool {
        let from = usize::from(parcel.from.0);
        let caught = |watch: &&mut Watch<P>| watch.left > 0 && (watch.matches)(from, to, message);
        let Some(watch) = self.watches.iter_mut().find(caught) else { return true };
        watch.left -= 1;
        if watch.action != Action::Drop {
            let parcel = Box::new(parcel.clone());
            self.kept.push(Kept { rule: watch.rule, node, parcel });
        }
        watch.action == Action::Copy
    }
}

impl<P: Inspect> World<P> {
    /// The event, unless the script keeps it. Only faults are scripted: a healed world goes on as
    /// any other.
    pub(crate) fn intercept(&mut self, event: Event<P>) -> Option<Event<P>> {
        if self.phase != Phase::Faults {
            return Some(event);
        }
        let Some(mut script) = self.script.take() else { return Some(event) };
        let event = self.intercept_with(&mut script, event);
        self.script = Some(script);
        event
    }

    fn intercept_with(&mut self, script: &mut Script<P>, event: Event<P>) -> Option<Event<P>> {
        match event {
            Event::Deliver { node, parcel } => {
                let to = usize::from(self.nodes[node].id.0);
                let passes = script.watches.is_empty()
                    || self
                        .peek(node, &parcel)
                        .is_none_or(|message| script.passes(node, to, &parcel, &message));
                passes.then_some(Event::Deliver { node, parcel })
            }
            Event::Tick { node } if script.still.contains(&node) => {
                self.nodes[node].tick_at = u64::MAX;
                None
            }
            Event::Synced { node, incarnation, upto } => {
                let event = Event::Synced { node, incarnation, upto };
                let slow = script.slow_disks.get_mut(&node);
                if let Some(due) = slow.and_then(|disk| disk.delay(self.now_ns)) {
                    self.queue.push(due, event);
                    return None;
                }
                match script.stalled.get_mut(&node) {
                    Some(waiting) => {
                        waiting.push(event);
                        None
                    }
                    None => Some(event),
                }
            }
            Event::Reply { client, reply } => {
                if script.deaf.contains(&client) {
                    return None;
                }
                // Misbehaving clients come after those that the script knows.
                if self.clients.get(client).is_some_and(|it| it.seq == reply.seq) {
                    let heard = match &reply.answer {
                        Answer::Applied { status, .. } => Heard::Applied(*status),
                        Answer::Read { .. } => Heard::Read,
                        Answer::Refused(reason) => Heard::Refused(*reason),
                    };
                    script.heard.insert(client, heard);
                }
                Some(Event::Reply { client, reply })
            }
            Event::ClientTimer { .. } | Event::AskAgain { .. } if script.clients_ask => Some(event),
            // Clients ask when the scene says so, and replicas come back when it says so.
            Event::ClientTimer { .. } | Event::AskAgain { .. } | Event::Restart { .. } => None,
            other => Some(other),
        }
    }

    /// The message in a parcel, if it is one for this node.
    pub(crate) fn peek(&self, node: usize, parcel: &Parcel<P>) -> Option<P::Message> {
        let node = &self.nodes[node];
        let sealed = match &parcel.content {
            Content::Sealed(sealed) => sealed.clone(),
            Content::Frame(frame) => wire::decode(frame, node.setup.cluster).ok()?.1,
        };
        node.auth.open(parcel.from, sealed).ok()
    }

    /// Whether the write that node `index` just handed to its disk is the one at which the scene
    /// lets it crash; then it says how many of the pending writes survive.
    pub(crate) fn crashes_at_this_write(&mut self, index: usize) -> bool {
        let pending = self.nodes[index].disk.pending();
        let Some(script) = &mut self.script else { return false };
        let Some(plan) = &mut script.crash_at_write else { return false };
        if plan.node != index {
            return false;
        }
        if plan.skip > 0 {
            plan.skip -= 1;
            return false;
        }
        let written = plan.point == WritePoint::After;
        script.crash_keeps = Some(pending - usize::from(!written));
        script.crash_at_write = None;
        true
    }
}

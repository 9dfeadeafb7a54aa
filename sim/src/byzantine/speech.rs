//! How Byzantine replicas speak: what an honest replica would say goes in, what is sent comes out.
//!
//! Two decisions are made for each message: what is said (the *content*), for each receiver, and
//! how it is sent (the *channel*). A behaviour is of the one kind or the other; one that shifts has
//! one of each at a time.

use std::collections::BTreeMap;
use std::rc::Rc;

use quorate_smr::auth::Authenticator;
use quorate_smr::protocol::To;
use quorate_smr::{Batch, ReplicaId, Slot};

use super::{Behaviour, Speech, forge};
use crate::dice::Dice;
use crate::disk::Disk;
use crate::event::{Event, Parcel};
use crate::fault::FaultKind;
use crate::fold::Fold;
use crate::inspect::{Inspect, Sealed};
use crate::node::REPLAYS_MAX;
use crate::plan::MS;
use crate::violation::Check;
use crate::world::{Phase, World};

/// How long a Byzantine replica treats the same peers in the same way, in nanoseconds.
const WHIM_NS: u64 = 300 * MS;
/// Messages that a Byzantine replica replays or forges, in parts of a million.
const MISCHIEF_PPM: u32 = 150_000;
/// How long a shifting replica keeps a behaviour, in nanoseconds.
const SHIFT_NS: u64 = 500 * MS;
/// How much of the time after which it would be suspected a slow replica waits, in percent.
const SLOW_PERCENT: u64 = 80;
/// Mean time between two losses of memory of a replica with amnesia, in nanoseconds.
const AMNESIA_NS: u64 = 500 * MS;
/// The part of the run's randomness that new behaviours draw from.
const PART_SPEECH: u64 = 31;
/// Stories that colluders remember, oldest views and slots forgotten first.
const STORIES_MAX: usize = 1024;

/// What a shifting replica may do to the content, and to the channel.
const CONTENTS: [Option<Behaviour>; 10] = [
    None,
    None,
    Some(Behaviour::Equivocate),
    Some(Behaviour::Lie),
    Some(Behaviour::Stale),
    Some(Behaviour::FalseCertificates),
    Some(Behaviour::TwoCheckpoints),
    Some(Behaviour::ServeSome),
    Some(Behaviour::Withhold),
    Some(Behaviour::Invent),
];
const CHANNELS: [Option<Behaviour>; 8] = [
    None,
    None,
    Some(Behaviour::Mute),
    Some(Behaviour::Selective),
    Some(Behaviour::Replay),
    Some(Behaviour::Forge),
    Some(Behaviour::PartlyProven),
    Some(Behaviour::Slow),
];

/// The votes for what each half of the honest replicas was told, by epoch and slot.
type Stories<P> = BTreeMap<(u64, Slot), [Vec<<P as quorate_smr::Protocol>::Message>; 2]>;

/// What Byzantine replicas of one run share.
pub(crate) struct Speakers<P: Inspect> {
    dice: Dice,
    stories: Stories<P>,
}

impl<P: Inspect> Speakers<P> {
    pub(crate) fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed, PART_SPEECH), stories: BTreeMap::new() }
    }
}

/// Content.
impl<P: Inspect> World<P> {
    /// Sends what a Byzantine node makes of `message`.
    pub(crate) fn misspeak(
        &mut self,
        index: usize,
        to: To,
        message: &P::Message,
        image: Option<&Rc<Vec<u8>>>,
    ) {
        let receivers = to.receivers(self.nodes[index].id, self.nodes[index].setup.members);
        match self.content_of(index) {
            Some(Behaviour::Equivocate) if self.equivocate(index, to, message, image) => {}
            Some(Behaviour::Collude) if self.collude(index, to, message) => {}
            Some(
                how @ (Behaviour::Lie
                | Behaviour::Stale
                | Behaviour::FalseCertificates
                | Behaviour::TwoCheckpoints
                | Behaviour::Invent),
            ) => {
                for receiver in receivers.iter() {
                    self.lie(index, how, To::One(receiver), message, image);
                }
            }
            Some(how @ (Behaviour::ServeSome | Behaviour::Withhold)) => {
                for receiver in receivers.iter() {
                    if !self.leaves_out(how, receiver, message) {
                        self.say(index, To::One(receiver), message, image);
                    }
                }
            }
            _ => self.say(index, to, message, image),
        }
    }

    /// Says `message`, with an authenticator as good as the channel makes it.
    fn say(&mut self, index: usize, to: To, message: &P::Message, image: Option<&Rc<Vec<u8>>>) {
        let sealed = self.nodes[index].auth.seal(to, message.clone());
        self.say_sealed(index, to, sealed, image);
    }

    fn say_sealed(&mut self, index: usize, to: To, sealed: Sealed<P>, image: Option<&Rc<Vec<u8>>>) {
        let spoils = self.channel_of(index) == Some(Behaviour::PartlyProven);
        let spoiled = if spoils { P::spoil(&sealed, &mut self.speakers.dice) } else { None };
        let sealed = match spoiled {
            Some(spoiled) if self.faults.strikes(FaultKind::PartlyProven) => spoiled,
            _ => sealed,
        };
        self.send_sealed(index, to, sealed, image.cloned());
    }

    /// Tells one receiver a signed lie, or the truth.
    fn lie(
        &mut self,
        index: usize,
        how: Behaviour,
        to: To,
        message: &P::Message,
        image: Option<&Rc<Vec<u8>>>,
    ) {
        let node = &mut self.nodes[index];
        let dice =
            if how == Behaviour::Lie { &mut self.host_dice } else { &mut self.speakers.dice };
        let lie = P::lie(how, &node.auth, to, message, &mut node.lies, dice);
        match lie {
            Some(lie) if self.faults.strikes(how.fault()) => {
                self.say_sealed(index, to, lie, image);
            }
            _ => self.say(index, to, message, image),
        }
    }

    /// Whether `receiver` does not get `message`.
    fn leaves_out(&mut self, how: Behaviour, receiver: ReplicaId, message: &P::Message) -> bool {
        let left_out = match (how, P::speech(message)) {
            (Behaviour::ServeSome, Speech::Proposal) => self.whim(receiver) & 4 == 4,
            (Behaviour::Withhold, Speech::Proposal) => self.whim(receiver) & 12 == 4,
            (Behaviour::Withhold, Speech::Answer) => true,
            _ => false,
        };
        left_out && self.faults.strikes(how.fault())
    }

    /// Proposes different batches to different backups; whether `message` was a proposal.
    fn equivocate(
        &mut self,
        index: usize,
        to: To,
        message: &P::Message,
        image: Option<&Rc<Vec<u8>>>,
    ) -> bool {
        let Some(other) = self.other_proposal(index, message) else { return false };
        if !self.faults.strikes(FaultKind::Equivocate) {
            return false;
        }
        let receivers = to.receivers(self.nodes[index].id, self.nodes[index].setup.members);
        for receiver in receivers.iter() {
            let lie = self.host_dice.chance(500_000);
            let said = if lie { &other } else { message };
            self.say(index, To::One(receiver), said, image);
        }
        true
    }

    /// Another proposal in place of `message`, if that is one.
    fn other_proposal(&self, index: usize, message: &P::Message) -> Option<P::Message> {
        let node = &self.nodes[index];
        let batch = node.other_batch.clone().unwrap_or_else(|| Batch::empty(node.setup.group));
        let other = P::equivocate(message, node.id, &batch)?;
        if other != *message {
            return Some(other);
        }
        let null = Batch::empty(node.setup.group);
        P::equivocate(message, node.id, &null).filter(|other| other != message)
    }

    /// Tells two stories as primary, or stands by those that were told; whether it did.
    fn collude(&mut self, index: usize, to: To, message: &P::Message) -> bool {
        let Some(place) = P::place(message) else { return false };
        let receivers = to.receivers(self.nodes[index].id, self.nodes[index].setup.members);
        if P::speech(message) == Speech::Proposal
            && !self.speakers.stories.contains_key(&place)
            && let Some(other) = self.other_proposal(index, message)
            && self.faults.strikes(FaultKind::Collusion)
        {
            let votes = [P::votes_for(message), P::votes_for(&other)];
            self.speakers.stories.insert(place, votes);
            if self.speakers.stories.len() > STORIES_MAX {
                self.speakers.stories.pop_first();
            }
            for receiver in receivers.iter() {
                let said = if self.half(receiver) == 0 { message } else { &other };
                self.say(index, To::One(receiver), said, None);
            }
            for colluder in 0..self.nodes.len() {
                if self.nodes[colluder].byzantine == Some(Behaviour::Collude)
                    && self.nodes[colluder].running.is_some()
                {
                    self.stand_by(colluder, To::Others, place);
                }
            }
            return true;
        }
        if !self.speakers.stories.contains_key(&place) {
            return false;
        }
        self.stand_by(index, to, place);
        true
    }

    /// Votes for what each listener was told.
    fn stand_by(&mut self, index: usize, to: To, place: (u64, Slot)) {
        let node = &self.nodes[index];
        for receiver in to.receivers(node.id, node.setup.members).iter() {
            let half = self.half(receiver);
            let votes = self.speakers.stories.get(&place).map(|halves| halves[half].clone());
            for vote in votes.into_iter().flatten() {
                self.say(index, To::One(receiver), &vote, None);
            }
        }
    }

    /// In which half of the honest replicas `replica` is.
    fn half(&self, replica: ReplicaId) -> usize {
        let below = usize::from(replica.0);
        self.nodes[..below].iter().filter(|node| node.is_honest()).count() & 1
    }
}

/// Channel.
impl<P: Inspect> World<P> {
    /// Sends a Byzantine node's parcel on its way, or does not.
    pub(crate) fn missend(&mut self, index: usize, to: ReplicaId, parcel: Parcel<P>, bytes: usize) {
        if self.is_silenced(index, Some(to)) {
            return;
        }
        let mut later = 0;
        match self.channel_of(index) {
            Some(Behaviour::Replay) => self.replay(index, to, &parcel),
            Some(Behaviour::Slow) => {
                self.faults.note(FaultKind::SlowSpeaker);
                let patience = P::retry_after(&self.config).as_nanos() as u64;
                later = patience * SLOW_PERCENT / 100;
            }
            Some(Behaviour::Forge) if self.host_dice.chance(MISCHIEF_PPM) => {
                if let Some(forged) = forge::<P>(&parcel, &mut self.host_dice)
                    && self.faults.strikes(FaultKind::Forge)
                {
                    self.dispatch(to, forged, bytes, 0);
                    return;
                }
            }
            _ => {}
        }
        self.dispatch(to, parcel, bytes, later);
    }

    /// Whether a Byzantine node keeps quiet towards `to` (a client, if none is named).
    pub(crate) fn is_silenced(&mut self, index: usize, to: Option<ReplicaId>) -> bool {
        if self.nodes[index].is_honest() {
            return false;
        }
        let peer = to.unwrap_or(ReplicaId(u8::MAX));
        let (silent, kind) = match (self.channel_of(index), self.nodes[index].twin) {
            (Some(Behaviour::Mute), _) => (true, FaultKind::Mute),
            (Some(Behaviour::Selective), _) => (self.whim(peer) & 2 == 2, FaultKind::Selective),
            // A twin speaks to those only that it hears. Those of several twins that are in the
            // same half hear one another.
            (Some(Behaviour::Twins), Some(twin)) if !self.has_twin(peer) => {
                (self.whim(peer) & 1 != u64::from(twin), FaultKind::Twin)
            }
            _ => return false,
        };
        if silent {
            self.faults.note(kind);
        }
        silent
    }

    fn has_twin(&self, replica: ReplicaId) -> bool {
        self.nodes.iter().skip(self.replicas).any(|node| node.id == replica)
    }

    /// The nodes that hear what is sent to `to`: one, unless it has a twin.
    pub(crate) fn homes(&self, to: ReplicaId, from: ReplicaId, twin: Option<u8>) -> Vec<usize> {
        let mut homes = vec![usize::from(to.0)];
        for (index, node) in self.nodes.iter().enumerate().skip(self.replicas) {
            if node.id == to {
                homes.push(index);
            }
        }
        if homes.len() > 1 {
            let half = twin.map_or_else(|| self.whim(from) & 1, u64::from);
            homes.swap(0, usize::from(half == 1));
            homes.truncate(1);
        }
        homes
    }

    /// Keeps the message for later, and sends an old one again now and then.
    fn replay(&mut self, index: usize, to: ReplicaId, parcel: &Parcel<P>) {
        let old = &mut self.nodes[index].old_messages;
        old.push_back((to, parcel.clone()));
        if old.len() > REPLAYS_MAX {
            old.pop_front();
        }
        if self.host_dice.chance(MISCHIEF_PPM) && self.faults.strikes(FaultKind::Replay) {
            let place = self.host_dice.index(self.nodes[index].old_messages.len());
            let (to, parcel) = self.nodes[index].old_messages[place].clone();
            let later = self.host_dice.below(WHIM_NS);
            self.dispatch(to, parcel, 0, later);
        }
    }
}

/// Moods.
impl<P: Inspect> World<P> {
    /// What a Byzantine node does to the content now.
    fn content_of(&mut self, index: usize) -> Option<Behaviour> {
        match self.nodes[index].byzantine {
            Some(Behaviour::Shifting) => {
                let mood = CONTENTS[(self.mood(index) % CONTENTS.len() as u64) as usize];
                mood.inspect(|_| self.faults.note(FaultKind::Shift))
            }
            other => other,
        }
    }

    /// What a Byzantine node does to the channel now.
    fn channel_of(&self, index: usize) -> Option<Behaviour> {
        match self.nodes[index].byzantine {
            Some(Behaviour::Shifting) => {
                CHANNELS[((self.mood(index) >> 32) % CHANNELS.len() as u64) as usize]
            }
            other => other,
        }
    }

    /// A number that stays the same for a shifting node for a while.
    fn mood(&self, index: usize) -> u64 {
        let mut fold = Fold::default();
        fold.mix(self.seed ^ 0x6d6f_6f64);
        fold.mix(self.now_ns / SHIFT_NS);
        fold.mix(index as u64);
        fold.value()
    }

    /// A number that stays the same for a peer for a while.
    fn whim(&self, peer: ReplicaId) -> u64 {
        let mut fold = Fold::default();
        fold.mix(self.seed);
        fold.mix(self.now_ns / WHIM_NS);
        fold.mix(u64::from(peer.0));
        fold.value()
    }
}

/// Amnesia.
impl<P: Inspect> World<P> {
    /// Lets those with amnesia forget for the first time.
    pub(crate) fn begin_amnesia(&mut self) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].byzantine == Some(Behaviour::Amnesia) {
                self.schedule_amnesia(node);
            }
        }
    }

    fn schedule_amnesia(&mut self, node: usize) {
        let at = self.now_ns + self.speakers.dice.long_tail(AMNESIA_NS).max(MS);
        self.queue.push(at, Event::Forget { node });
    }

    /// The node crashes, and its journal is gone.
    pub(crate) fn forget(&mut self, index: usize) -> Check {
        if self.phase != Phase::Faults {
            return Ok(());
        }
        self.schedule_amnesia(index);
        if !self.faults.permits(FaultKind::Amnesia) || self.nodes[index].running.is_none() {
            return Ok(());
        }
        self.crash(index, FaultKind::Amnesia)?;
        self.nodes[index].disk = Disk::new(self.disk_identity(index, self.nodes[index].id));
        Ok(())
    }
}

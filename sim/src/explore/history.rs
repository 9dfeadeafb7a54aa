//! What happened in the group as a whole, as far as a property needs it: the explorer's memory.
//!
//! Part of every explored state. It is kept small and independent of who was first, because two
//! states that differ in nothing else would be explored twice.

use std::collections::{BTreeMap, BTreeSet};

use quorate_smr::{Batch, Digest, GroupId, ReadId, ReplicaId, Slot};

use super::protocol::Milestone;
use crate::inspect::{Entry, Value};
use crate::invariants;

/// A read is answered from a state that holds all that was committed before it was asked.
pub const READ_IS_FRESH: &str = "a read sees what was committed before it";
/// A request that was refused has no effect.
pub const REFUSED_STAYS_OUT: &str = "what was refused is never committed";
/// Two logs that hold an entry of the same epoch at a slot agree on everything before it.
pub const LOGS_MATCH: &str = "logs match";

/// A property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) property: &'static str,
    pub(crate) detail: String,
}

/// The result of a check.
pub(crate) type Holds = Result<(), Broken>;

pub(crate) fn broken(property: &'static str, detail: String) -> Broken {
    Broken { property, detail }
}

/// Something that a replica did and that concerns the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It wrote an entry.
    Wrote { slot: Slot, epoch: u64, digest: Digest },
    /// It made durable what it must never contradict.
    Said { slot: Slot, epoch: u64, digest: Digest },
    /// It committed a batch; `entry` is the epoch that the entry carries, where it does.
    Committed { slot: Slot, epoch: u64, digest: Digest, entry: Option<u64> },
    /// It began to lead; with what it holds above `base`, where the protocol can say.
    Leads { epoch: u64, base: Slot, log: Option<BTreeMap<Slot, Held>> },
    /// It installed a snapshot whose state has this digest.
    Installed { slot: Slot, digest: Digest },
    /// A read was asked of it.
    Asked,
    /// A read may be answered at this slot.
    Ready { id: ReadId, slot: Slot },
    /// It refused a batch.
    Refused { digest: Digest },
}

impl Event {
    pub(crate) fn wrote(entry: &Entry) -> Self {
        let digest = match &entry.value {
            Value::Batch(batch) => digest_of(batch),
            Value::Digest(digest) => *digest,
        };
        Self::Wrote { slot: entry.slot, epoch: entry.epoch, digest }
    }
}

/// The digest of a batch; one that does not open has none that anyone could name.
pub(crate) fn digest_of(batch: &Batch) -> Digest {
    batch.digest(&mut Vec::new()).unwrap_or_default()
}

/// The digest of the state after `batch`, which is all that the explorer's state machine holds.
pub(crate) fn state_after(before: Digest, batch: Digest) -> Digest {
    Digest::of_parts(&[&before.0, &batch.0])
}

/// What the checks take as given.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// The batches that clients may propose, in order.
    pub(crate) batches: Vec<Digest>,
    pub(crate) null: Digest,
    pub(crate) sole_leader: bool,
    pub(crate) committed_once: bool,
    /// All batches are known to clients from the start (a Byzantine replica uses them).
    pub(crate) all_proposed: bool,
}

impl Rules {
    pub(crate) fn new(
        batches: &[Batch],
        sole: bool,
        committed_once: bool,
        all_proposed: bool,
    ) -> Self {
        Self {
            batches: batches.iter().map(digest_of).collect(),
            null: digest_of(&Batch::empty(GroupId(0))),
            sole_leader: sole,
            committed_once,
            all_proposed,
        }
    }
}

/// What a log holds at a slot: the batch, and the epoch that the entry carries, where it does.
pub(crate) type Held = (Digest, Option<u64>);

/// What was decided at a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Decided {
    digest: Digest,
    /// The lowest epoch in which anyone committed it.
    since: u64,
    /// The epoch that the entry carries.
    entry: Option<u64>,
}

impl Decided {
    /// Whether a log holds this very entry.
    fn is_held(&self, held: &Held) -> bool {
        self.digest == held.0 && same_epoch(self.entry, held.1)
    }
}

/// Whether two entries may be the same by the epochs that they carry.
fn same_epoch(one: Option<u64>, other: Option<u64>) -> bool {
    one.zip(other).is_none_or(|(one, other)| one == other)
}

/// What happened so far.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct History {
    /// Entry i is slot i + 1.
    decided: Vec<Decided>,
    written: BTreeMap<(Slot, u64), Digest>,
    said: BTreeMap<(Slot, u64, ReplicaId), Digest>,
    leaders: BTreeMap<u64, ReplicaId>,
    refused: BTreeSet<Digest>,
    /// For each read, the last slot decided when it was asked; `None` once it was answered.
    reads: Vec<Option<Slot>>,
    installed: bool,
}

impl History {
    /// The last slot that anyone committed.
    fn last(&self) -> Slot {
        Slot(self.decided.len() as u64)
    }

    /// Notes what `replica` did, after `proposed` batches were proposed.
    ///
    /// # Errors
    /// When that breaks a property.
    pub(crate) fn note(
        &mut self,
        replica: ReplicaId,
        event: &Event,
        proposed: usize,
        rules: &Rules,
    ) -> Holds {
        match event {
            Event::Wrote { slot, epoch, digest } => self.wrote(replica, *slot, *epoch, *digest),
            Event::Said { slot, epoch, digest } => self.said(replica, *slot, *epoch, *digest),
            Event::Committed { slot, epoch, digest, entry } => {
                self.provenance(*slot, *digest, proposed, rules)?;
                self.committed(replica, *slot, *epoch, (*digest, *entry))
            }
            Event::Leads { epoch, base, log } => {
                self.leads(replica, *epoch, *base, log.as_ref(), rules)
            }
            Event::Installed { slot, digest } => self.installs(replica, *slot, *digest),
            Event::Asked => {
                self.reads.push(Some(self.last()));
                Ok(())
            }
            Event::Ready { id, slot } => self.answers(replica, *id, *slot),
            Event::Refused { digest } => {
                self.refused.insert(*digest);
                Ok(())
            }
        }
    }

    /// Whether it came to `milestone`.
    pub(crate) fn has(&self, milestone: Milestone, rules: &Rules) -> bool {
        let clients = |decided: &&Decided| decided.digest != rules.null;
        match milestone {
            Milestone::Elected => !self.leaders.is_empty(),
            Milestone::Committed => self.decided.iter().any(|slot| clients(&slot)),
            Milestone::SecondLeader => self.leaders.len() > 1,
            Milestone::CommittedInSecondEpoch => {
                let epochs = self.decided.iter().filter(clients).map(|decided| decided.since);
                epochs.clone().min() != epochs.max()
            }
            Milestone::SnapshotInstalled => self.installed,
            Milestone::ReadAnswered => self.reads.iter().any(Option::is_none),
        }
    }

    fn wrote(&mut self, replica: ReplicaId, slot: Slot, epoch: u64, digest: Digest) -> Holds {
        if let Some(Decided { digest: decided, since, .. }) = self.decided_at(slot)
            && since < epoch
            && decided != digest
        {
            let detail = format!(
                "{slot} decided {decided:?} by epoch {since}; in epoch {epoch} {replica} has {digest:?}"
            );
            return Err(broken(invariants::CHOSEN_STAYS_CHOSEN, detail));
        }
        let known = *self.written.entry((slot, epoch)).or_insert(digest);
        if known == digest {
            return Ok(());
        }
        let detail =
            format!("{slot} in epoch {epoch}: one has {known:?}, {replica} has {digest:?}");
        Err(broken(invariants::ONE_VALUE_PER_EPOCH_AND_SLOT, detail))
    }

    fn said(&mut self, replica: ReplicaId, slot: Slot, epoch: u64, digest: Digest) -> Holds {
        let first = *self.said.entry((slot, epoch, replica)).or_insert(digest);
        if first == digest {
            return Ok(());
        }
        let detail = format!("{replica}, {slot}, epoch {epoch}: first {first:?}, then {digest:?}");
        Err(broken(invariants::NEVER_TWO_THINGS, detail))
    }

    fn provenance(&self, slot: Slot, digest: Digest, proposed: usize, rules: &Rules) -> Holds {
        if digest == rules.null {
            return Ok(());
        }
        let proposed = if rules.all_proposed { rules.batches.len() } else { proposed };
        let known = rules.batches.iter().take(proposed).any(|batch| *batch == digest);
        if !known {
            let detail = format!("{slot} commits {digest:?}, which nobody proposed");
            return Err(broken(invariants::NOTHING_INVENTED, detail));
        }
        if self.refused.contains(&digest) {
            let detail = format!("{slot} commits {digest:?}, which was refused");
            return Err(broken(REFUSED_STAYS_OUT, detail));
        }
        let other = self.decided.iter().position(|decided| decided.digest == digest);
        if rules.committed_once
            && let Some(other) = other.filter(|other| *other as u64 + 1 != slot.0)
        {
            let detail = format!("{digest:?} is committed at s{} and at {slot}", other + 1);
            return Err(broken(invariants::APPLIED_AT_MOST_ONCE, detail));
        }
        Ok(())
    }

    fn committed(&mut self, replica: ReplicaId, slot: Slot, epoch: u64, held: Held) -> Holds {
        let (digest, entry) = held;
        if slot == self.last().next() {
            self.decided.push(Decided { digest, since: epoch, entry });
        } else if slot > self.last() || slot == Slot::ZERO {
            let detail = format!("{replica} commits {slot}, the last decided is {}", self.last());
            return Err(broken(invariants::SLOTS_CONTIGUOUS, detail));
        }
        let decided = &mut self.decided[slot.0 as usize - 1];
        if !decided.is_held(&held) {
            let detail = format!("{slot}: one decided {decided:?}, {replica} decided {held:?}");
            return Err(broken(invariants::SLOT_AGREEMENT, detail));
        }
        decided.since = decided.since.min(epoch);
        let since = decided.since;
        let later = self.written.range((slot, since + 1)..(slot.next(), 0));
        match later.into_iter().find(|(_, written)| **written != digest) {
            None => Ok(()),
            Some(((_, epoch), written)) => {
                let detail = format!(
                    "{slot} decided {digest:?} by epoch {since}; epoch {epoch} has {written:?}"
                );
                Err(broken(invariants::CHOSEN_STAYS_CHOSEN, detail))
            }
        }
    }

    fn leads(
        &mut self,
        replica: ReplicaId,
        epoch: u64,
        base: Slot,
        log: Option<&BTreeMap<Slot, Held>>,
        rules: &Rules,
    ) -> Holds {
        let first = *self.leaders.entry(epoch).or_insert(replica);
        if rules.sole_leader && first != replica {
            let detail = format!("epoch {epoch}: {first} and {replica}");
            return Err(broken(invariants::ELECTION_SAFETY, detail));
        }
        let Some(log) = log else { return Ok(()) };
        for slot in (base.next().0..=self.last().0).map(Slot) {
            let Some(decided) = self.decided_at(slot) else { continue };
            let held = log.get(&slot);
            if decided.since < epoch && !held.is_some_and(|held| decided.is_held(held)) {
                let detail = format!(
                    "{replica} leads epoch {epoch} with {held:?} at {slot}; that is {decided:?}"
                );
                return Err(broken(invariants::LEADER_COMPLETENESS, detail));
            }
        }
        Ok(())
    }

    fn installs(&mut self, replica: ReplicaId, slot: Slot, digest: Digest) -> Holds {
        self.installed = true;
        let decided = self.decided.get(..slot.0 as usize);
        let state = decided.map(|decided| {
            decided.iter().fold(Digest::default(), |state, slot| state_after(state, slot.digest))
        });
        if state == Some(digest) {
            return Ok(());
        }
        let detail = format!("{replica} installs {digest:?} at {slot}, decided is {state:?}");
        Err(broken(invariants::STATE_AGREEMENT, detail))
    }

    fn answers(&mut self, replica: ReplicaId, id: ReadId, slot: Slot) -> Holds {
        let asked = usize::try_from(id.0).ok().and_then(|index| self.reads.get_mut(index));
        let Some(floor) = asked.and_then(Option::take) else { return Ok(()) };
        if slot >= floor {
            return Ok(());
        }
        let detail =
            format!("{replica} answers {id} at {slot}; {floor} was decided when it was asked");
        Err(broken(READ_IS_FRESH, detail))
    }

    fn decided_at(&self, slot: Slot) -> Option<Decided> {
        self.decided.get(usize::try_from(slot.previous()?.0).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_with_the_no_op_of_another_term_is_not_complete() {
        let rules = Rules::new(&[], true, true, false);
        let (slot, digest) = (Slot(1), rules.null);
        let after_commit = || {
            let mut history = History::default();
            let commit = Event::Committed { slot, epoch: 1, digest, entry: Some(1) };
            history.note(ReplicaId(0), &commit, 0, &rules).unwrap();
            history
        };
        let leads = |entry| {
            let log = Some(BTreeMap::from([(slot, (digest, Some(entry)))]));
            let leads = Event::Leads { epoch: 3, base: Slot::ZERO, log };
            after_commit().note(ReplicaId(1), &leads, 0, &rules)
        };
        assert_eq!(leads(1), Ok(()));
        assert_eq!(leads(2).unwrap_err().property, invariants::LEADER_COMPLETENESS);
        let again = Event::Committed { slot, epoch: 2, digest, entry: Some(2) };
        let broken = after_commit().note(ReplicaId(1), &again, 0, &rules).unwrap_err();
        assert_eq!(broken.property, invariants::SLOT_AGREEMENT);
    }
}

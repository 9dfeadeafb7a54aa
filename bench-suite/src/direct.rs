//! The unreplicated floor: one replica that commits what it has written, and talks to nobody.
//!
//! It implements the same contract as the protocols and runs in the same runtime behind the same
//! queues, sessions, journal and executor. What it costs is everything but agreement.

use std::collections::VecDeque;
use std::time::Duration;

use quorate_smr::{
    Batch, Effect, Effects, Input, JournalCursor, Lsn, Protocol, Reads, Reason, RecoverError,
    Recovered, Refused, ReplicaId, Role, Setup, Slot, SnapshotMeta, Status, Time, Trusted,
};
use serde::{Deserialize, Serialize};

/// Bytes of batches in the journal after which a snapshot replaces them.
pub const SNAPSHOT_EVERY_BYTES: usize = 64 << 20;

/// Messages of a system that sends none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Silence {}

/// A batch in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Written {
    slot: Slot,
    batch: Batch,
}

/// One replica without peers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Direct {
    replica: ReplicaId,
    journal: JournalCursor,
    base: Slot,
    last: Slot,
    committed: Slot,
    unwritten: VecDeque<(Lsn, Slot, Batch)>,
    /// What a snapshot would not cover, in case one was asked for.
    since_snapshot: Option<(Slot, Vec<Written>)>,
    bytes: usize,
    recovered: Vec<Written>,
}

impl Direct {
    fn propose(&mut self, batch: Batch, effects: &mut Effects<Silence, Written>) {
        self.last = self.last.next();
        self.bytes += batch.len();
        let written = Written { slot: self.last, batch: batch.clone() };
        if let Some((_, since)) = &mut self.since_snapshot {
            since.push(written.clone());
        }
        let lsn = self.journal.append(written, effects);
        self.unwritten.push_back((lsn, self.last, batch));
        if self.bytes >= SNAPSHOT_EVERY_BYTES && self.since_snapshot.is_none() {
            self.bytes = 0;
            self.since_snapshot = Some((self.last, Vec::new()));
            effects.push(Effect::TakeSnapshot { slot: self.last });
        }
    }

    fn commit_written(&mut self, upto: Lsn, effects: &mut Effects<Silence, Written>) {
        self.journal.durable_upto(upto);
        while self.unwritten.front().is_some_and(|(lsn, ..)| *lsn <= upto) {
            let Some((_, slot, batch)) = self.unwritten.pop_front() else { return };
            self.committed = slot;
            effects.commit(slot, batch);
        }
    }

    fn compact(&mut self, snapshot: SnapshotMeta, effects: &mut Effects<Silence, Written>) {
        let Some((slot, since)) = self.since_snapshot.take() else { return };
        if slot == snapshot.slot {
            self.base = slot;
            self.journal.compact(slot, since, effects);
        }
    }
}

impl Protocol for Direct {
    type Config = ();
    type Message = Silence;
    type Record = Written;
    type Auth = Trusted;

    const NAME: &'static str = "direct";
    const READS: Reads = Reads::Indexed;

    fn replicas_for(_faults: usize) -> usize {
        1
    }

    fn reply_quorum(_replicas: usize) -> usize {
        1
    }

    fn authenticator(_setup: &Setup<()>) -> Result<Trusted, RecoverError> {
        Ok(Trusted)
    }

    fn recover(
        setup: Setup<()>,
        recovered: Recovered<Written>,
        _now: Time,
    ) -> Result<Self, RecoverError> {
        if setup.members.len() != 1 {
            let reason = "the unreplicated floor has exactly one replica";
            return Err(RecoverError::Config(reason.into()));
        }
        let base = recovered.snapshot.map_or(Slot::ZERO, |snapshot| snapshot.slot);
        let mut last = base;
        for written in &recovered.records {
            if written.slot != last.next() {
                let reason = format!("{} follows {last}", written.slot);
                return Err(RecoverError::Journal(reason));
            }
            last = written.slot;
        }
        Ok(Self {
            replica: setup.replica,
            journal: JournalCursor::default(),
            base,
            last,
            committed: base,
            unwritten: VecDeque::new(),
            since_snapshot: None,
            bytes: 0,
            recovered: recovered.records,
        })
    }

    fn handle(
        &mut self,
        _now: Time,
        input: Input<Silence>,
        effects: &mut Effects<Silence, Written>,
    ) {
        for written in std::mem::take(&mut self.recovered) {
            self.committed = written.slot;
            effects.commit(written.slot, written.batch);
        }
        match input {
            Input::Propose { batch } => self.propose(batch, effects),
            Input::Durable { upto } => self.commit_written(upto, effects),
            Input::Read { id } => {
                effects.push(Effect::ReadReady { id, slot: self.committed });
            }
            Input::SnapshotTaken { snapshot } => self.compact(snapshot, effects),
            Input::Admin(admin) => effects.refuse(Refused::Admin(admin), Reason::Unsupported),
            Input::Tick | Input::SnapshotInstalled { .. } => {}
            Input::Message { message, .. } | Input::SnapshotArrived { message, .. } => {
                match message {}
            }
        }
    }

    fn deadline(&self) -> Option<Time> {
        // Recovered batches are committed at the first input; ask for one.
        (!self.recovered.is_empty()).then_some(Time::ZERO)
    }

    fn status(&self) -> Status {
        let held = self.unwritten.iter().map(|(_, _, batch)| batch.len()).sum();
        Status {
            replica: self.replica,
            role: Role::Leader,
            epoch: 1,
            leader: Some(self.replica),
            base: self.base,
            committed: self.committed,
            last: self.last,
            held_bytes: held,
            held_bytes_max: usize::MAX,
        }
    }

    fn retry_after(_config: &()) -> Duration {
        Duration::from_secs(1)
    }
}

#[cfg(test)]
mod tests {
    use quorate_smr::testing::Pump;

    use super::*;

    #[test]
    fn what_is_written_is_committed_in_order() {
        let mut pump: Pump<Direct> = Pump::new(1, &());
        pump.propose(ReplicaId(0), &[b"a", b"b"]);
        pump.propose(ReplicaId(0), &[b"c"]);
        assert_eq!(pump.payloads(ReplicaId(0)), [b"a", b"b", b"c"]);
    }

    #[test]
    fn a_restart_commits_what_the_journal_holds() {
        let mut pump: Pump<Direct> = Pump::new(1, &());
        pump.propose(ReplicaId(0), &[b"a"]);
        pump.crash(ReplicaId(0));
        pump.restart(ReplicaId(0));
        pump.propose(ReplicaId(0), &[b"b"]);
        assert_eq!(pump.payloads(ReplicaId(0)), [b"a", b"b"]);
    }

    #[test]
    fn it_refuses_to_pretend_that_it_replicates() {
        let setup = Setup::new(ReplicaId(0), 3, quorate_smr::Seed(1), ());
        assert!(Direct::recover(setup, Recovered::default(), Time::ZERO).is_err());
    }
}

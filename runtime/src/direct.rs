//! No consensus: one replica that commits what is proposed once it is durable.
//!
//! [`Direct`] runs over the same queues, batcher, journal, executor and client as the protocols do.
//! What they cost above it is the price of agreement; what it costs is the price of everything else.
//! It survives a crash through its journal and nothing more.
//!
//! ```
//! use quorate_runtime::{Cluster, ClusterConfig, Direct};
//! use quorate_smr::kv::{KvAnswer, KvCommand, KvStore};
//!
//! let config = ClusterConfig::<Direct>::default();
//! let cluster = Cluster::start(config, KvStore::default)?;
//! let put = KvCommand::Put { key: b"k", value: b"v" }.encode();
//! let reply = cluster.client()?.call(b"k", &put)?;
//! assert_eq!(KvAnswer::decode(&reply)?, KvAnswer::Written { existed: false });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use quorate_smr::{
    Batch, Effect, Effects, GroupId, Input, JournalCursor, Lsn, Protocol, Reads, Reason,
    RecoverError, Recovered, Refused, ReplicaId, Role, Setup, Slot, Status, Time, Trusted,
};
use serde::{Deserialize, Serialize};

/// Settings of [`Direct`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DirectConfig {
    /// Batches that may wait for the journal.
    pub window: usize,
    /// Slots after which the journal is compacted.
    pub snapshot_interval: u64,
}

impl Default for DirectConfig {
    fn default() -> Self {
        Self { window: 1024, snapshot_interval: 16_384 }
    }
}

/// What [`Direct`] remembers: a batch and its slot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DirectRecord {
    /// The slot.
    pub slot: Slot,
    /// Its batch.
    pub batch: Batch,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Held {
    lsn: Lsn,
    batch: Batch,
}

/// The protocol that is none: a single replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Direct {
    replica: ReplicaId,
    group: GroupId,
    window: usize,
    snapshot_interval: u64,
    cursor: JournalCursor,
    /// The last slot of the snapshot below the log.
    base: Slot,
    committed: Slot,
    /// The batches after `base`.
    log: VecDeque<Held>,
    held_bytes: usize,
    snapshot_wanted: bool,
}

impl Protocol for Direct {
    type Config = DirectConfig;
    type Message = ();
    type Record = DirectRecord;
    type Auth = Trusted;

    const NAME: &'static str = "direct";
    const READS: Reads = Reads::Indexed;

    fn replicas_for(_faults: usize) -> usize {
        1
    }

    fn reply_quorum(_replicas: usize) -> usize {
        1
    }

    fn authenticator(_setup: &Setup<DirectConfig>) -> Result<Trusted, RecoverError> {
        Ok(Trusted)
    }

    fn recover(
        setup: Setup<DirectConfig>,
        recovered: Recovered<DirectRecord>,
        _now: Time,
    ) -> Result<Self, RecoverError> {
        let config = &setup.config;
        if setup.members.len() != 1 {
            let replicas = setup.members.len();
            let error = format!("direct runs one replica, {replicas} were asked for");
            return Err(RecoverError::Config(error));
        }
        if !setup.members.contains(setup.replica) {
            return Err(RecoverError::NotAMember(setup.replica));
        }
        if config.window == 0 || config.snapshot_interval == 0 {
            return Err(RecoverError::Config("window and interval must be at least 1".into()));
        }
        let base = recovered.snapshot.map_or(Slot::ZERO, |snapshot| snapshot.slot);
        let mut direct = Self {
            replica: setup.replica,
            group: setup.group,
            window: config.window,
            snapshot_interval: config.snapshot_interval,
            cursor: JournalCursor::default(),
            base,
            committed: base,
            log: VecDeque::new(),
            held_bytes: 0,
            snapshot_wanted: false,
        };
        for record in recovered.records {
            if record.slot != direct.last().next() {
                let error = format!("{} follows {}", record.slot, direct.last());
                return Err(RecoverError::Journal(error));
            }
            direct.hold(Lsn::ZERO, record.batch);
        }
        Ok(direct)
    }

    fn handle(&mut self, _now: Time, input: Input<()>, effects: &mut Effects<(), DirectRecord>) {
        match input {
            Input::Propose { batch } => self.propose(batch, effects),
            Input::Read { id } => effects.push(Effect::ReadReady { id, slot: self.committed }),
            Input::Durable { upto } => self.cursor.durable_upto(upto),
            Input::SnapshotTaken { snapshot } => self.compact(snapshot.slot, effects),
            Input::Admin(admin) => effects.refuse(Refused::Admin(admin), Reason::Unsupported),
            Input::Tick
            | Input::Message { .. }
            | Input::SnapshotArrived { .. }
            | Input::SnapshotInstalled { .. } => {}
        }
        self.commit(effects);
    }

    /// Only right after a recovery, to commit what was recovered.
    fn deadline(&self) -> Option<Time> {
        let next = (self.committed.0 - self.base.0) as usize;
        self.log.get(next).filter(|held| held.lsn == Lsn::ZERO).map(|_| Time::ZERO)
    }

    fn status(&self) -> Status {
        Status {
            replica: self.replica,
            role: Role::Leader,
            epoch: 1,
            leader: Some(self.replica),
            base: self.base,
            committed: self.committed,
            last: self.last(),
            held_bytes: self.held_bytes,
            held_bytes_max: usize::MAX,
        }
    }

    fn retry_after(_config: &DirectConfig) -> Duration {
        Duration::from_secs(1)
    }
}

impl Direct {
    fn last(&self) -> Slot {
        Slot(self.base.0 + self.log.len() as u64)
    }

    fn hold(&mut self, lsn: Lsn, batch: Batch) {
        self.held_bytes += batch.len();
        self.log.push_back(Held { lsn, batch });
    }

    fn propose(&mut self, batch: Batch, effects: &mut Effects<(), DirectRecord>) {
        if batch.header().group != self.group {
            effects.refuse(Refused::Proposal(batch), Reason::Invalid);
            return;
        }
        // The log is bounded by the window, and by the snapshot that must come before it grows on.
        let log_max = 2 * self.snapshot_interval + self.window as u64;
        let waiting = self.last().0 - self.committed.0;
        if waiting >= self.window as u64 || self.log.len() as u64 >= log_max {
            effects.refuse(Refused::Proposal(batch), Reason::Busy);
            return;
        }
        let slot = self.last().next();
        let lsn = self.cursor.append(DirectRecord { slot, batch: batch.clone() }, effects);
        self.hold(lsn, batch);
    }

    fn commit(&mut self, effects: &mut Effects<(), DirectRecord>) {
        while let Some(held) = self.log.get((self.committed.0 - self.base.0) as usize)
            && held.lsn <= self.cursor.durable()
        {
            self.committed = self.committed.next();
            effects.commit(self.committed, held.batch.clone());
        }
        let grown = self.committed.0 - self.base.0;
        if grown >= self.snapshot_interval && !self.snapshot_wanted {
            self.snapshot_wanted = true;
            effects.push(Effect::TakeSnapshot { slot: self.committed });
        }
    }

    fn compact(&mut self, slot: Slot, effects: &mut Effects<(), DirectRecord>) {
        self.snapshot_wanted = false;
        while self.base < slot.min(self.committed) {
            let Some(held) = self.log.pop_front() else { break };
            self.held_bytes -= held.batch.len();
            self.base = self.base.next();
        }
        let after = self.log.iter().enumerate();
        let records = after.map(|(offset, held)| DirectRecord {
            slot: Slot(self.base.0 + 1 + offset as u64),
            batch: held.batch.clone(),
        });
        self.cursor.compact(slot, records.collect(), effects);
    }
}

#[cfg(test)]
mod tests {
    use quorate_smr::testing::Pump;

    use super::*;

    const ONLY: ReplicaId = ReplicaId(0);

    #[test]
    fn nothing_is_committed_before_it_is_durable() {
        let mut pump = Pump::<Direct>::new(1, &DirectConfig::default());
        pump.hold_disk(ONLY);
        pump.propose(ONLY, &[b"x"]);
        pump.settle();
        assert!(pump.committed(ONLY).is_empty());
        pump.sync(ONLY);
        assert_eq!(pump.payloads(ONLY), [b"x"]);
    }

    #[test]
    fn a_restart_commits_what_the_journal_holds() {
        let mut pump = Pump::<Direct>::new(1, &DirectConfig::default());
        for payload in [b"a", b"b"] {
            pump.propose(ONLY, &[payload]);
        }
        pump.settle();
        pump.crash(ONLY);
        pump.restart(ONLY);
        pump.advance(Duration::from_millis(1));
        assert_eq!(pump.payloads(ONLY), [b"a", b"b"]);
    }

    #[test]
    fn the_journal_is_compacted_and_still_recovers() {
        let config = DirectConfig { snapshot_interval: 4, ..DirectConfig::default() };
        let mut pump = Pump::<Direct>::new(1, &config);
        for payload in 0..10u8 {
            pump.propose(ONLY, &[&[payload]]);
            pump.settle();
        }
        assert!(pump.journal(ONLY).len() < 10);
        assert!(pump.replica(ONLY).status().base >= Slot(4));
        let before = pump.executor(ONLY).state_digest();
        pump.crash(ONLY);
        pump.restart(ONLY);
        pump.advance(Duration::from_millis(1));
        assert_eq!(pump.executor(ONLY).state_digest(), before);
    }

    #[test]
    fn two_replicas_are_refused() {
        let setup = Setup::new(ONLY, 2, quorate_smr::Seed(1), DirectConfig::default());
        let error = Direct::recover(setup, Recovered::default(), Time::ZERO).unwrap_err();
        assert!(matches!(error, RecoverError::Config(_)));
    }
}

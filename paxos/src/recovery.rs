//! Rebuilds a replica from its snapshot and its records.
//!
//! What always holds: a journal that this code wrote, cut at any record, recovers; one that
//! contradicts itself is refused instead of guessed at. A recovered replica follows; it takes part
//! again under ballots that its promises allow.

use quorate_smr::{JournalCursor, Lsn, RecoverError, Recovered, Role, Setup, Slot, Time};

use crate::acceptor::Acceptor;
use crate::ballot::Ballot;
use crate::config::{PaxosConfig, WINDOW_SLOTS_MAX, planted};
use crate::election::Election;
use crate::log::Log;
use crate::message::SLOT_MAX;
use crate::record::Record;
use crate::replica::{Mode, Paxos};
use crate::snapshot::Snapshots;

/// See [`quorate_smr::Protocol::recover`].
pub(crate) fn recover(
    setup: Setup<PaxosConfig>,
    recovered: Recovered<Record>,
    now: Time,
) -> Result<Paxos, RecoverError> {
    let rule = setup.config.validate(setup.members)?;
    if !setup.members.contains(setup.replica) {
        return Err(RecoverError::NotAMember(setup.replica));
    }
    let base = recovered.snapshot.map_or(Slot::ZERO, |snapshot| snapshot.slot);
    let mut acceptor =
        Acceptor { promised: Ballot::ZERO, log: Log::new(base), stable: base, recorded: base };
    if base > Slot::ZERO && !matches!(recovered.records.first(), Some(Record::Base { .. })) {
        return Err(damaged(0, "a snapshot without the base record that follows it"));
    }
    for (index, record) in recovered.records.into_iter().enumerate() {
        replay(&mut acceptor, base, index, record)?;
    }
    if planted!(setup.config, PromiseForgottenOnCrash) {
        acceptor.promised = Ballot::ZERO;
    }
    acceptor.advance_stable(Lsn::ZERO);
    let promised = acceptor.promised;
    let mut paxos = Paxos {
        election: Election::new(now, setup.config.election_timeout_min, promised),
        setup,
        rule,
        cursor: JournalCursor::default(),
        acceptor,
        committed: base,
        snapshots: Snapshots::new(base),
        mode: Mode::Following,
        announced: (Role::Follower, promised.round, None),
    };
    paxos.election.restart(now, paxos.draw_timeout());
    Ok(paxos)
}

fn damaged(index: usize, what: &str) -> RecoverError {
    RecoverError::Journal(format!("record {index}: {what}; restore this replica from its peers"))
}

fn replay(
    acceptor: &mut Acceptor,
    base: Slot,
    index: usize,
    record: Record,
) -> Result<(), RecoverError> {
    match record {
        Record::Base { slot, promised } => {
            if index != 0 || slot != base {
                return Err(damaged(index, "a base that does not match the snapshot"));
            }
            acceptor.promised = promised;
        }
        Record::Promised { ballot } => {
            if ballot <= acceptor.promised {
                return Err(damaged(index, "a promise that does not exceed the one before"));
            }
            acceptor.promised = ballot;
        }
        Record::Accepted { ballot, slot, decided, batch } => {
            decide_upto(acceptor, index, decided)?;
            let log = &mut acceptor.log;
            if slot <= log.decided() || slot > SLOT_MAX {
                return Err(damaged(index, "an acceptance at a slot that is decided or absurd"));
            }
            if slot.0 - log.decided().0 > 2 * WINDOW_SLOTS_MAX {
                return Err(damaged(index, "an acceptance beyond every window"));
            }
            acceptor.promised = acceptor.promised.max(ballot);
            log.put(slot, ballot, Lsn::ZERO, batch);
        }
        Record::Learned { slot, batch } => {
            if slot == Slot::ZERO || slot > SLOT_MAX {
                return Err(damaged(index, "a decision at an absurd slot"));
            }
            decide_upto(acceptor, index, Slot(slot.0 - 1))?;
            if slot != acceptor.log.decided().next() {
                return Err(damaged(index, "a decision at a slot that is decided"));
            }
            acceptor.log.put(slot, Ballot::ZERO, Lsn::ZERO, batch);
            acceptor.log.decide_next();
        }
        Record::Decided { upto } => decide_upto(acceptor, index, upto)?,
    }
    acceptor.recorded = acceptor.log.decided();
    Ok(())
}

/// Extends the decided prefix to `upto`; every slot in it must hold its value by now.
fn decide_upto(acceptor: &mut Acceptor, index: usize, upto: Slot) -> Result<(), RecoverError> {
    while acceptor.log.decided() < upto {
        if acceptor.log.batch(acceptor.log.decided().next()).is_none() {
            return Err(damaged(index, "a decided slot without its value"));
        }
        acceptor.log.decide_next();
    }
    Ok(())
}

//! Crash and restart: figure 2's persistent state, and journals that must not be believed.

use quorate_raft::{Position, Raft, RaftConfig, Record, Term};
use quorate_smr::{
    Batch, Digest, GroupId, Protocol, RecoverError, Recovered, ReplicaSet, Seed, Setup, Slot,
    SnapshotMeta, Time,
};

use crate::cluster::{Cluster, at, batch, r, records};

fn recover(snapshot: Option<u64>, records: Vec<Record>) -> Result<Raft, RecoverError> {
    let setup = Setup::new(r(0), 3, Seed(1), RaftConfig::default());
    let meta = |slot| SnapshotMeta { slot: Slot(slot), digest: Digest::default(), bytes: 0 };
    Raft::recover(setup, Recovered { snapshot: snapshot.map(meta), records }, Time::ZERO)
}

fn vote(term: u64, vote: Option<u8>) -> Record {
    Record::Vote { term: Term(term), vote: vote.map(r) }
}

fn base(slot: u64, term: u64) -> Record {
    Record::Base { position: Position { slot: Slot(slot), term: Term(term) } }
}

fn entry(slot: u64, term: u64) -> Record {
    Record::Entry {
        slot: Slot(slot),
        term: Term(term),
        batch: batch(slot.wrapping_mul(1000) + term),
    }
}

#[test]
fn every_prefix_of_a_journal_recovers_and_loses_nothing_that_it_holds() {
    let mut cluster =
        Cluster::new(3, &RaftConfig { snapshot_interval: 1000, ..RaftConfig::default() });
    for leader in [0, 1, 0] {
        cluster.now = cluster.now.after(RaftConfig::default().election_timeout);
        cluster.elect(r(leader), ReplicaSet::first(3));
        for _ in 0..4 {
            cluster.propose(r(leader));
        }
        cluster.settle();
    }
    let journal = cluster.node(r(2)).journal.records.clone();
    assert!(journal.len() >= 15 + 3);
    for length in 0..=journal.len() {
        let raft = recover(None, journal[..length].to_vec()).unwrap();
        let (mut term, mut voted, mut log) = (Term(0), None, Vec::new());
        for record in &journal[..length] {
            match record {
                Record::Vote { term: now, vote } => (term, voted) = (*now, *vote),
                Record::Entry { slot, term, .. } => {
                    log.truncate(slot.0 as usize - 1);
                    log.push(*term);
                }
                Record::Base { .. } => unreachable!("nothing was compacted"),
            }
        }
        assert_eq!((raft.term(), raft.voted_for(), raft.committed()), (term, voted, Slot(0)));
        assert!(raft.log_entries().map(|(_, term, _)| term).eq(log));
    }
}

#[test]
fn a_group_that_lost_power_goes_on_from_its_journals() {
    let mut cluster = Cluster::new(3, &RaftConfig::default());
    cluster.elect(r(0), ReplicaSet::first(3));
    for _ in 0..5 {
        cluster.propose(r(0));
    }
    cluster.settle();
    let decided = cluster.decided.clone();
    for id in cluster.ids() {
        cluster.crash(id);
    }
    cluster.wire.clear();
    for id in cluster.ids() {
        cluster.start(id);
        assert_eq!(cluster.raft(id).committed(), Slot(0), "only the next leader can tell");
    }
    cluster.heal_and_progress();
    assert!(decided.iter().all(|(slot, batch)| cluster.decided[slot] == *batch));
}

#[test]
fn a_restarted_follower_learns_the_commit_without_new_proposals() {
    let mut cluster = Cluster::new(3, &RaftConfig::default());
    cluster.elect(r(0), ReplicaSet::first(3));
    cluster.propose(r(0));
    cluster.settle();
    cluster.crash(r(2));
    cluster.start(r(2));
    cluster.tick(r(0));
    cluster.settle();
    assert_eq!(cluster.raft(r(2)).committed(), Slot(2));
}

#[test]
fn entries_replace_what_they_overwrite() {
    let mut journal = records(2, &[1, 1, 1, 2]);
    journal.extend([vote(3, None), entry(3, 3)]);
    let raft = recover(None, journal).unwrap();
    let log: Vec<_> = raft.log_entries().map(|(slot, term, _)| (slot.0, term.0)).collect();
    assert_eq!(log, [(1, 1), (2, 1), (3, 3)]);
}

#[test]
fn a_compacted_journal_starts_at_its_base() {
    let raft = recover(Some(7), vec![vote(4, Some(2)), base(7, 3), entry(8, 3), entry(9, 4)]);
    let raft = raft.unwrap();
    let status = raft.status();
    assert_eq!((status.base, status.committed, status.last), (Slot(7), Slot(7), Slot(9)));
    assert_eq!((raft.term(), raft.voted_for()), (Term(4), Some(r(2))));
}

#[test]
fn a_journal_that_contradicts_itself_is_refused() {
    let foreign = Record::Entry { slot: Slot(1), term: Term(1), batch: Batch::empty(GroupId(9)) };
    let damaged = [
        (None, vec![vote(2, None), vote(1, None)], "a term that goes back"),
        (None, vec![vote(2, Some(1)), vote(2, Some(2))], "two votes in one term"),
        (None, vec![vote(2, Some(1)), vote(2, None)], "a vote taken back"),
        (None, vec![vote(2, Some(9))], "a vote for a stranger"),
        (None, vec![vote(1, None), entry(2, 1)], "a gap"),
        (None, vec![vote(1, None), entry(0, 1)], "slot zero"),
        (None, vec![vote(1, None), entry(u64::MAX, 1)], "an absurd slot"),
        (None, vec![entry(1, 1)], "an entry of a term that was never entered"),
        (None, vec![vote(2, None), entry(1, 2), entry(2, 1)], "terms that go back"),
        (None, vec![vote(1, None), foreign], "another group's batch"),
        (None, vec![vote(1, None), base(3, 1)], "a base without its snapshot"),
        (Some(3), vec![vote(1, None), base(4, 1)], "a base elsewhere than the snapshot"),
        (Some(3), vec![base(3, 1)], "a base of a term that was never entered"),
        (Some(3), vec![vote(1, None), base(3, 1), base(3, 1)], "two bases"),
        (Some(3), vec![vote(1, None), entry(4, 1)], "entries before the base"),
        (Some(3), vec![vote(1, None), base(3, 1), entry(3, 1)], "an entry under the snapshot"),
        (Some(3), vec![vote(1, None)], "no base"),
    ];
    for (snapshot, records, what) in damaged {
        let error = recover(snapshot, records).expect_err(what);
        assert!(matches!(error, RecoverError::Journal(_)), "{what}: {error}");
    }
}

#[test]
fn an_invalid_setup_is_refused() {
    let start = |setup| Raft::recover(setup, Recovered::default(), Time::ZERO).unwrap_err();
    let setup = || Setup::new(r(0), 3, Seed(1), RaftConfig::default());
    let stranger = Setup { replica: r(5), ..setup() };
    assert_eq!(start(stranger), RecoverError::NotAMember(r(5)));
    let nobody = Setup { members: ReplicaSet::EMPTY, ..setup() };
    assert!(matches!(start(nobody), RecoverError::Quorum(_)));
    let hasty =
        RaftConfig { heartbeat_interval: std::time::Duration::ZERO, ..RaftConfig::default() };
    assert!(matches!(start(Setup { config: hasty, ..setup() }), RecoverError::Config(_)));
}

#[test]
fn a_journal_larger_than_the_limit_names_the_setting_to_raise() {
    let config = RaftConfig {
        uncommitted_bytes_max: 1 << 10,
        log_bytes_max: 4 << 10,
        ..RaftConfig::default()
    };
    let setup = Setup::new(r(0), 3, Seed(1), config);
    let recovered = Recovered { snapshot: None, records: records(1, &[1; 100]) };
    let error = Raft::recover(setup, recovered, Time::ZERO).unwrap_err();
    assert!(error.to_string().contains("log_bytes_max"), "{error}");
}

#[test]
fn positions_are_compared_by_term_first() {
    assert!(at(1, 2) > at(5, 1));
}

//! The test pump keeps the promises of a host: order, durability before visibility, recovery.
//!
//! Driven by a toy: replica 0 writes each batch to its journal, tells the others, and every
//! replica commits once it has heard. It tolerates nothing; it exercises every effect that the
//! pump carries out.

use std::time::Duration;

use quorate_smr::testing::Pump;
use quorate_smr::{
    Batch, Effects, Input, JournalCursor, Lsn, Protocol, Reads, Reason, RecoverError, Recovered,
    Refused, ReplicaId, Role, Setup, Slot, Status, Time, To, Trusted,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Toy {
    setup: Setup<()>,
    cursor: JournalCursor,
    log: Vec<Batch>,
    waiting: Vec<(Lsn, Slot)>,
    committed: Slot,
    ticks: u64,
}

impl Toy {
    fn leads(&self) -> bool {
        self.setup.replica == ReplicaId(0)
    }

    fn commit_next(&mut self, effects: &mut Effects<(Slot, Batch), Batch>) {
        self.committed = self.committed.next();
        let batch = self.log[self.committed.0 as usize - 1].clone();
        effects.commit(self.committed, batch);
    }
}

impl Protocol for Toy {
    type Config = ();
    type Message = (Slot, Batch);
    type Record = Batch;
    type Auth = Trusted;

    const NAME: &'static str = "toy";
    const READS: Reads = Reads::Ordered;

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
        recovered: Recovered<Batch>,
        _now: Time,
    ) -> Result<Self, RecoverError> {
        Ok(Self {
            setup,
            cursor: JournalCursor::default(),
            log: recovered.records,
            waiting: Vec::new(),
            committed: Slot::ZERO,
            ticks: 0,
        })
    }

    fn handle(
        &mut self,
        _now: Time,
        input: Input<(Slot, Batch)>,
        effects: &mut Effects<(Slot, Batch), Batch>,
    ) {
        match input {
            Input::Propose { batch } if self.leads() => {
                self.log.push(batch.clone());
                let slot = Slot(self.log.len() as u64);
                let lsn = self.cursor.append(batch.clone(), effects);
                self.waiting.push((lsn, slot));
                effects.send(To::Others, (slot, batch));
            }
            Input::Propose { batch } => {
                let leader = Some(ReplicaId(0));
                effects.refuse(Refused::Proposal(batch), Reason::NotLeader { leader });
            }
            Input::Message { message: (_, batch), .. } => {
                self.log.push(batch);
                self.commit_next(effects);
            }
            Input::Durable { upto } => {
                self.cursor.durable_upto(upto);
                while self.waiting.first().is_some_and(|(lsn, _)| *lsn <= upto) {
                    self.waiting.remove(0);
                    self.commit_next(effects);
                }
            }
            Input::Tick => self.ticks += 1,
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Time> {
        Some(Time::ZERO.after(Duration::from_millis(10 * (self.ticks + 1))))
    }

    fn status(&self) -> Status {
        Status {
            replica: self.setup.replica,
            role: if self.leads() { Role::Leader } else { Role::Follower },
            epoch: 1,
            leader: Some(ReplicaId(0)),
            base: Slot::ZERO,
            committed: self.committed,
            last: Slot(self.log.len() as u64),
            held_bytes: 0,
            held_bytes_max: 0,
        }
    }

    fn retry_after(_config: &()) -> Duration {
        Duration::from_millis(100)
    }
}

const LEADER: ReplicaId = ReplicaId(0);
const FOLLOWER: ReplicaId = ReplicaId(2);

#[test]
fn a_proposal_reaches_every_replica_in_order() {
    let mut pump: Pump<Toy> = Pump::new(3, &());
    pump.propose(LEADER, &[b"one", b"two"]);
    pump.propose(LEADER, &[b"three"]);
    pump.settle();
    for id in quorate_smr::testing::replicas(3) {
        assert_eq!(pump.payloads(id), [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]);
        assert_eq!(pump.executor(id).applied(), Slot(2));
    }
    pump.assert_agreement();
}

#[test]
fn a_message_does_not_leave_before_its_record_is_durable() {
    let mut pump: Pump<Toy> = Pump::new(3, &());
    pump.hold_disk(LEADER);
    pump.propose(LEADER, &[b"one"]);
    assert!(pump.in_flight().is_empty());
    assert!(pump.committed(LEADER).is_empty());
    pump.sync(LEADER);
    assert_eq!(pump.in_flight().len(), 2);
    assert_eq!(pump.committed(LEADER).len(), 1);
}

#[test]
fn a_crash_forgets_what_was_not_durable_and_nothing_else() {
    let mut pump: Pump<Toy> = Pump::new(3, &());
    pump.propose(LEADER, &[b"kept"]);
    pump.hold_disk(LEADER);
    pump.propose(LEADER, &[b"lost"]);
    pump.crash(LEADER);
    pump.restart(LEADER);
    assert_eq!(pump.replica(LEADER).log.len(), 1);
    assert_eq!(pump.journal(LEADER).len(), 1);
}

#[test]
fn cut_links_lose_messages_in_one_direction_and_healed_links_do_not() {
    let mut pump: Pump<Toy> = Pump::new(3, &());
    pump.cut(LEADER, FOLLOWER);
    pump.propose(LEADER, &[b"one"]);
    pump.settle();
    assert!(pump.committed(FOLLOWER).is_empty());
    pump.heal();
    pump.propose(LEADER, &[b"two"]);
    pump.settle();
    assert_eq!(pump.payloads(FOLLOWER), [b"two".to_vec()]);
}

#[test]
#[should_panic(expected = "was decided twice")]
fn disagreement_is_noticed() {
    let mut pump: Pump<Toy> = Pump::new(3, &());
    pump.cut(LEADER, FOLLOWER);
    pump.propose(LEADER, &[b"one"]);
    pump.settle();
    pump.heal();
    pump.propose(LEADER, &[b"two"]);
    pump.settle();
    pump.assert_agreement();
}

#[test]
fn time_moves_from_deadline_to_deadline() {
    let mut pump: Pump<Toy> = Pump::new(1, &());
    pump.advance(Duration::from_millis(35));
    assert_eq!(pump.replica(LEADER).ticks, 3);
    assert_eq!(pump.now(), Time::ZERO.after(Duration::from_millis(35)));
}

#[test]
fn a_refusal_gives_the_batch_back() {
    let mut pump: Pump<Toy> = Pump::new(3, &());
    pump.propose(FOLLOWER, &[b"one"]);
    let (request, reason) = &pump.refused(FOLLOWER)[0];
    assert!(matches!(request, Refused::Proposal(batch) if batch.count() == 1));
    assert_eq!(*reason, Reason::NotLeader { leader: Some(LEADER) });
}

//! Helpers for the traces: small limits, and the hand of a faulty replica that owns its own keys.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use quorate_pbft::{
    NewView, Pair, Pbft, PbftAuth, PbftConfig, SignedNewView, SignedViewChange, View, ViewChange,
    Wire,
};
use quorate_smr::testing::{InFlight, Pump, replicas};
use quorate_smr::{
    Batch, BatchBuilder, ClientId, Command, Digest, GroupId, Protocol, ReplicaId, RequestSeq, Seed,
    Setup, Slot, To,
};

pub const R0: ReplicaId = ReplicaId(0);
pub const R1: ReplicaId = ReplicaId(1);
pub const R2: ReplicaId = ReplicaId(2);
pub const R3: ReplicaId = ReplicaId(3);

/// Longer than any single suspicion in these tests.
pub const LONG: Duration = Duration::from_secs(8);

pub fn config() -> PbftConfig {
    PbftConfig { checkpoint_interval: 4, window: 8, ..PbftConfig::default() }
}

pub fn pump() -> Pump<Pbft> {
    Pump::new(4, &config())
}

/// The authenticator of one replica, as a faulty replica holds it.
pub fn auth(id: ReplicaId) -> PbftAuth {
    static AUTHS: OnceLock<Vec<PbftAuth>> = OnceLock::new();
    let one = |id| Pbft::authenticator(&Setup::new(id, 4, Seed(7), config())).expect("valid keys");
    AUTHS.get_or_init(|| replicas(4).map(one).collect())[id.0 as usize].clone()
}

/// Puts a claim on the wire, sealed with the sender's own keys.
pub fn post(pump: &mut Pump<Pbft>, from: ReplicaId, to: ReplicaId, wire: Wire) {
    let sealed = auth(from).seal_wire(To::One(to), wire);
    pump.post(InFlight { from, to, sealed, snapshot: None });
}

pub fn post_to_others(pump: &mut Pump<Pbft>, from: ReplicaId, wire: &Wire) {
    for to in replicas(4).filter(|to| *to != from) {
        post(pump, from, to, wire.clone());
    }
}

/// A batch of client 1's commands, signed as `sign` says.
pub fn batch_with(seq: u64, payload: &[u8], sign: impl Fn(&mut Vec<u8>)) -> Batch {
    batch_of(ClientId(1), seq, payload, sign)
}

/// A batch of any client's command, signed as `sign` says.
pub fn batch_of(client: ClientId, seq: u64, payload: &[u8], sign: impl Fn(&mut Vec<u8>)) -> Batch {
    use quorate_smr::{Authenticator, ClientAuthenticator};
    let seq = RequestSeq(seq);
    let mut proof = Vec::new();
    let signer = auth(R0).client(client).expect("the client is known");
    signer.sign(client, seq, payload, &mut proof);
    sign(&mut proof);
    let mut builder = BatchBuilder::new(GroupId(0));
    builder.push(&Command { client, seq, payload, auth: &proof }).expect("it fits");
    builder.seal(None)
}

pub fn batch(seq: u64, payload: &[u8]) -> Batch {
    batch_with(seq, payload, |_| ())
}

pub fn digest(batch: &Batch) -> Digest {
    batch.digest(&mut Vec::new()).expect("it opens")
}

pub fn pre_prepare(view: u64, slot: u64, batch: &Batch) -> Wire {
    Wire::PrePrepare {
        view: View(view),
        slot: Slot(slot),
        digest: digest(batch),
        batch: batch.clone(),
    }
}

/// A view change that claims nothing.
pub fn empty_change(replica: ReplicaId, view: u64) -> ViewChange {
    ViewChange {
        replica,
        view: View(view),
        stable: Slot::ZERO,
        certificate: None,
        prepared: Vec::new(),
        pre_prepared: Vec::new(),
    }
}

pub fn signed_change(content: ViewChange) -> Arc<SignedViewChange> {
    Arc::new(auth(content.replica).sign_view_change(content))
}

pub fn signed_new_view(
    signer: ReplicaId,
    view: u64,
    changes: Vec<Arc<SignedViewChange>>,
    base: u64,
    chosen: Vec<Digest>,
) -> Arc<SignedNewView> {
    let content = NewView { view: View(view), changes, base: Slot(base), chosen };
    Arc::new(auth(signer).sign_new_view(content))
}

pub fn pair(slot: u64, view: u64, digest: Digest) -> Pair {
    Pair { slot: Slot(slot), view: View(view), digest }
}

pub fn views(pump: &Pump<Pbft>) -> Vec<u64> {
    pump.statuses().iter().map(|status| status.epoch).collect()
}

/// Moves on until `done` holds, at most `LONG`.
pub fn advance_until(pump: &mut Pump<Pbft>, done: impl Fn(&Pump<Pbft>) -> bool) {
    let step = Duration::from_millis(20);
    for _ in 0..LONG.as_millis() / step.as_millis() {
        pump.settle();
        if done(pump) {
            return;
        }
        pump.advance(step);
    }
    panic!("it did not happen within {LONG:?}: {:#?}", pump.statuses());
}

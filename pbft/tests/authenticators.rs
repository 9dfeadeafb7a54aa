//! Authenticators: what is refused at the edge (TOCS 2002 §3.2).

mod common;

use std::sync::Arc;

use common::*;
use proptest::prelude::*;
use quorate_pbft::{
    ClusterSecret, KeySource, Message, Pbft, PbftAuth, PbftConfig, ReplicaKeys, Tags, View, Wire,
};
use quorate_smr::testing::{plain_batch, replicas};
use quorate_smr::{
    AuthError, Authenticator, ClientAuthenticator, ClientId, ClusterId, Command, Digest, GroupId,
    Protocol, RecoverError, ReplicaId, ReplicaSet, RequestSeq, Seed, Setup, Slot, Tag, To,
};

fn prepare() -> Wire {
    Wire::Prepare { view: View(3), slot: Slot(5), digest: Digest([1; 32]) }
}

fn setup(id: ReplicaId, config: PbftConfig) -> Setup<PbftConfig> {
    Setup::new(id, 4, Seed(7), config)
}

#[test]
fn a_message_opens_at_each_receiver_and_nowhere_else() {
    let sealed = auth(R0).seal_wire(To::Others, prepare());
    for to in [R1, R2, R3] {
        assert!(matches!(auth(to).open(R0, sealed.clone()), Ok(Message::Prepare { .. })));
        for not_from in [R1, R2, R3].into_iter().filter(|id| *id != to) {
            assert_eq!(auth(to).open(not_from, sealed.clone()), Err(AuthError::Forged));
        }
    }
    // To oneself, reflected, from strangers.
    assert_eq!(auth(R0).open(R0, sealed.clone()), Err(AuthError::UnknownSender));
    assert_eq!(auth(R0).open(R1, sealed.clone()), Err(AuthError::Forged));
    for stranger in [4, 9, 200] {
        let result = auth(R1).open(ReplicaId(stranger), sealed.clone());
        assert_eq!(result, Err(AuthError::UnknownSender));
    }
    // A tag for one receiver does not serve another.
    let one = auth(R0).seal_wire(To::One(R1), prepare());
    assert!(auth(R1).open(R0, one.clone()).is_ok());
    assert_eq!(auth(R2).open(R0, one), Err(AuthError::Forged));
}

#[test]
fn tags_of_the_wrong_shape_are_refused() {
    let mut sealed = auth(R0).seal_wire(To::Others, prepare());
    for tags in [Tags::Many(Arc::new([])), Tags::Many(vec![Tag::default(); 1000].into())] {
        sealed.tags = tags;
        assert_eq!(auth(R1).open(R0, sealed.clone()), Err(AuthError::Malformed));
    }
}

#[test]
fn a_tag_says_nothing_in_another_view_slot_kind_cluster_or_group() {
    let sealed = auth(R0).seal_wire(To::Others, prepare());
    let (view, slot, digest) = (View(3), Slot(5), Digest([1; 32]));
    let replays = [
        Wire::Prepare { view: View(4), slot, digest },
        Wire::Prepare { view, slot: Slot(6), digest },
        Wire::Prepare { view, slot, digest: Digest([2; 32]) },
        Wire::Commit { view, slot, digest },
        Wire::Fetch { slot, digest },
    ];
    for wire in replays {
        let mut replayed = sealed.clone();
        replayed.wire = wire;
        assert_eq!(auth(R1).open(R0, replayed), Err(AuthError::Forged));
    }
    let elsewhere = [
        Setup { cluster: ClusterId(2), ..setup(R1, config()) },
        Setup { group: GroupId(2), ..setup(R1, config()) },
    ];
    for setup in elsewhere {
        let other = Pbft::authenticator(&setup).unwrap();
        assert_eq!(other.open(R0, sealed.clone()), Err(AuthError::Forged));
    }
}

#[test]
fn a_batch_that_differs_from_its_digest_or_exceeds_its_limits_is_refused() {
    let (one, two) = (batch(1, b"one"), batch(2, b"two"));
    let (view, slot) = (View(0), Slot(1));
    let open = |wire| auth(R1).open(R0, auth(R0).seal_wire(To::Others, wire));
    let lie = Wire::PrePrepare { view, slot, digest: digest(&one), batch: two.clone() };
    assert_eq!(open(lie), Err(AuthError::Forged));
    let body = Wire::Body { slot, digest: digest(&one), batch: two };
    assert_eq!(open(body), Err(AuthError::Forged));
    let foreign = plain_batch(GroupId(9), 1, &[b"x"]);
    let wire = Wire::Request { digest: digest(&foreign), batch: foreign };
    assert_eq!(open(wire), Err(AuthError::Malformed));
    let small = PbftConfig { batch_bytes_max: 1024, ..config() };
    let strict = Pbft::authenticator(&setup(R1, small)).unwrap();
    let large = batch(1, &[0; 2000]);
    let sealed = auth(R0).seal_wire(To::Others, pre_prepare(0, 1, &large));
    assert_eq!(strict.open(R0, sealed), Err(AuthError::Malformed));
}

#[test]
fn a_client_proves_its_requests_to_every_replica_and_no_other_client_can() {
    for payload in [&b""[..], b"short", &[7; 223], &[7; 224], &[7; 225], &[7; 5000]] {
        let (client, seq) = (ClientId(3), RequestSeq(9));
        let mut proof = Vec::new();
        auth(R2).client(client).unwrap().sign(client, seq, payload, &mut proof);
        let command = Command { client, seq, payload, auth: &proof };
        for id in replicas(4) {
            auth(id).admit(&command).unwrap();
            let wrong = [
                Command { client: ClientId(4), ..command },
                Command { seq: RequestSeq(10), ..command },
                Command { payload: b"other", ..command },
            ];
            for command in wrong {
                assert_eq!(auth(id).admit(&command), Err(AuthError::Forged));
            }
            for client in [0, 1025, u64::MAX] {
                let stranger = Command { client: ClientId(client), ..command };
                assert_eq!(auth(id).admit(&stranger), Err(AuthError::UnknownSender));
            }
            let cut = Command { auth: &proof[..63], ..command };
            assert_eq!(auth(id).admit(&cut), Err(AuthError::Malformed));
        }
    }
}

#[test]
fn a_reply_is_accepted_from_its_replica_for_its_client_only() {
    let client = auth(R0).client(ClientId(5)).unwrap();
    for id in replicas(4) {
        let tag = auth(id).tag_reply(ClientId(5), b"answer");
        assert!(client.accepts(id, ClientId(5), b"answer", tag));
        assert!(!client.accepts(id, ClientId(5), b"other", tag));
        assert!(!client.accepts(ReplicaId((id.0 + 1) % 4), ClientId(5), b"answer", tag));
        assert!(!client.accepts(ReplicaId(9), ClientId(5), b"answer", tag));
        let others = auth(id).tag_reply(ClientId(6), b"answer");
        assert!(!client.accepts(id, ClientId(5), b"answer", others));
        // A request's tag is no reply's tag.
        let mut proof = Vec::new();
        client.sign(ClientId(5), RequestSeq(0), b"answer", &mut proof);
        let own = proof[16 * id.0 as usize..][..16].try_into().map(Tag).unwrap();
        assert!(!client.accepts(id, ClientId(5), b"answer", own));
    }
}

#[test]
fn without_client_authentication_anyone_may_ask() {
    let open = PbftConfig { client_auth: false, ..config() };
    let auth = Pbft::authenticator(&setup(R1, open)).unwrap();
    let command =
        Command { client: ClientId(1 << 40), seq: RequestSeq(1), payload: b"", auth: &[] };
    auth.admit(&command).unwrap();
    let client = auth.client(ClientId(1 << 40)).unwrap();
    let mut proof = Vec::new();
    client.sign(ClientId(1 << 40), RequestSeq(1), b"x", &mut proof);
    assert!(proof.is_empty());
    assert!(client.accepts(R0, ClientId(1), b"r", auth.tag_reply(ClientId(1), b"r")));
}

#[test]
fn a_replica_with_its_own_keys_only_works_and_cannot_speak_for_clients() {
    let secret = ClusterSecret([3; 32]);
    let own = |id| -> PbftAuth {
        let members = ReplicaSet::first(4);
        let keys = ReplicaKeys::derive(&secret, ClusterId(1), id, members, 1024);
        let config = PbftConfig { keys: KeySource::Own(Arc::new(keys)), ..config() };
        Pbft::authenticator(&setup(id, config)).unwrap()
    };
    let sealed = own(R0).seal_wire(To::Others, prepare());
    assert!(own(R1).open(R0, sealed.clone()).is_ok());
    assert_eq!(auth(R1).open(R0, sealed), Err(AuthError::Forged), "another secret");
    assert!(own(R1).client(ClientId(1)).is_none());
}

#[test]
fn unusable_keys_are_refused_with_a_reason() {
    let secret = ClusterSecret([3; 32]);
    let keys = |id| ReplicaKeys::derive(&secret, ClusterId(1), id, ReplicaSet::first(4), 1024);
    let mut no_peer = keys(R1);
    no_peer.peers.remove(&R2);
    let mut no_public = keys(R1);
    no_public.public.remove(&R3);
    let mut few_clients = keys(R1);
    few_clients.clients.truncate(7);
    for keys in [keys(R0), no_peer, no_public, few_clients] {
        let config = PbftConfig { keys: KeySource::Own(Arc::new(keys)), ..config() };
        let result = Pbft::authenticator(&setup(R1, config));
        assert!(matches!(result, Err(RecoverError::Config(_))), "{result:?}");
    }
}

proptest! {
    #[test]
    fn a_changed_tag_is_refused(byte in 0usize..16, bit in 0u8..8) {
        let mut sealed = auth(R0).seal_wire(To::One(R1), prepare());
        if let Tags::One(tag) = &mut sealed.tags {
            tag.0[byte] ^= 1 << bit;
        }
        prop_assert_eq!(auth(R1).open(R0, sealed), Err(AuthError::Forged));
    }
}

//! Bad input at the network door of a replica in a running cluster, for every protocol: each is
//! refused with a typed, counted error (or, absurd but well-formed, handled without harm); nothing
//! panics, nothing grows, and the cluster goes on committing.
//!
//! What needs sockets (handshakes, certificates, one byte a second, ten thousand connects) is not
//! here.

mod absurd;

use std::collections::BTreeMap;

use absurd::Absurd;
use quorate_mq::compress::{CompressionPolicy, Compressor};
use quorate_paxos::Paxos;
use quorate_pbft::Pbft;
use quorate_raft::Raft;
use quorate_sim::Inspect;
use quorate_sim::dice::Dice;
use quorate_sim::scene::{Scene, SceneFailure, SeenFrame, Step};
use quorate_smr::batch::{BATCH_RAW_BYTES_MAX, BatchBuilder, Command};
use quorate_smr::wire::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES, WireError, encode};
use quorate_smr::{Batch, ClientId, ClusterId, GroupId, ReplicaId, RequestSeq};

/// The largest recorded frame of which every bit is flipped, in bytes; of larger ones every byte.
const BITWISE_BYTES_MAX: usize = 1024;

/// A cluster at work, with a client that was served.
fn cluster<P: Inspect>() -> Step<Scene<P>> {
    let replicas = P::replicas_for(1);
    let builder = Scene::<P>::build(replicas, 1).plan(|plan| plan.network.frames = true);
    let mut scene = builder.start()?;
    scene.elect(1)?;
    scene.write(0, "a", b"before")?;
    Ok(scene)
}

/// It still commits, and converges.
fn goes_on<P: Inspect>(mut scene: Scene<P>) -> Step {
    scene.write(0, "a", b"after")?;
    for replica in 0..scene.replicas() {
        let (held, most) = scene.held_bytes(replica);
        scene.expect("what it holds stays bounded", held <= most)?;
    }
    scene.settle()
}

fn succeed(outcome: Step) {
    if let Err(failure) = outcome {
        let failure: SceneFailure = failure;
        panic!("{failure}");
    }
}

/// One frame of every kind of message that a short life of the cluster brings about.
fn recorded<P: Inspect>() -> Step<(Scene<P>, BTreeMap<String, SeenFrame>)> {
    let mut scene = cluster::<P>()?;
    let rule = scene.copy_where(|_, _, _| true);
    scene.write(1, "b", b"1")?;
    scene.isolate(1);
    scene.elect(2)?;
    for number in 0..3u8 {
        scene.write(1, "b", &[number])?;
    }
    scene.mend_all();
    scene.crash(0)?;
    scene.write(1, "b", b"2")?;
    scene.restart(0)?;
    scene.run_for(4 * scene.longest_wait_ms())?;
    scene.stop(rule);
    let mut kinds = BTreeMap::new();
    for frame in scene.take_frames(rule) {
        kinds.entry(frame.kind.clone()).or_insert(frame);
    }
    Ok((scene, kinds))
}

fn truncations_and_flips<P: Inspect>() -> Step {
    let (mut scene, kinds) = recorded::<P>()?;
    assert!(kinds.len() >= 6, "{}: only {:?}", P::NAME, kinds.keys());
    for frame in kinds.values() {
        for end in 0..frame.bytes.len() {
            let cut = frame.bytes[..end].to_vec();
            let refused = scene.inject(frame.to, frame.from, cut)?;
            assert_eq!(refused, Some("cut short"), "{} cut at {end}", frame.kind);
        }
        let step = if frame.bytes.len() > BITWISE_BYTES_MAX { 8 } else { 1 };
        for bit in (0..frame.bytes.len() * 8).step_by(step) {
            let mut flipped = frame.bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let refused = scene.inject(frame.to, frame.from, flipped)?;
            assert!(refused.is_some(), "{} bit {bit}", frame.kind);
        }
    }
    goes_on(scene)
}

fn wrong_headers<P: Inspect>() -> Step {
    let (mut scene, kinds) = recorded::<P>()?;
    for frame in kinds.values() {
        let SeenFrame { from, to, bytes, .. } = frame;
        let mut expect = |connected: usize, change: &dyn Fn(&mut Vec<u8>), name| {
            let mut changed = bytes.clone();
            change(&mut changed);
            seal_again(&mut changed);
            let refused = scene.inject(*to, connected, changed)?;
            assert_eq!(refused, Some(name), "{}", frame.kind);
            Ok(())
        };
        expect(*from, &|it| it[0] ^= 1, "not a frame")?;
        expect(*from, &|it| it[2] += 1, "another version")?;
        expect(*from, &|it| it[4] ^= 1, "another group")?;
        expect(*from, &|it| it[8] ^= 1, "another cluster")?;
        let third = (0..).find(|other| other != from && other != to).unwrap_or(0);
        expect(third, &|_| (), "another sender")?;
        expect(*from, &|it| it[3] = third as u8, "another sender")?;
        expect(*to, &|it| it[3] = *to as u8, "not a peer")?;
        expect(99, &|it| it[3] = 99, "not a peer")?;
        expect(*from, &|it| it.push(0), "bytes after the message")?;
    }
    goes_on(scene)
}

/// The length in the header is checked before anything is done with it; what it announces need not
/// be there.
fn declared_lengths<P: Inspect>() -> Step {
    let (mut scene, kinds) = recorded::<P>()?;
    let frame = kinds.values().next().expect("something was said");
    let most = FRAME_BYTES_MAX - FRAME_HEADER_BYTES;
    let names = [(most - 1, "cut short"), (most, "cut short"), (most + 1, "too large")];
    for (declared, name) in names.into_iter().chain([(u32::MAX as usize, "too large")]) {
        let mut head = frame.bytes.clone();
        head[16..20].copy_from_slice(&(declared as u32).to_le_bytes());
        let refused = scene.inject(frame.to, frame.from, head)?;
        assert_eq!(refused, Some(name), "declared {declared} bytes");
    }
    goes_on(scene)
}

/// Bytes that nobody meant, and bodies that nobody meant under a right header.
fn noise<P: Inspect>() -> Step {
    let mut scene = cluster::<P>()?;
    let (mut dice, replicas) = (Dice::new(7, 0), scene.replicas());
    for number in 0..3000 {
        let length = dice.index(300);
        let mut bytes: Vec<u8> = (0..length).map(|_| dice.word() as u8).collect();
        let (to, from) = (number % replicas, (number + 1) % replicas);
        assert!(scene.inject(to, from, bytes.clone())?.is_some());
        // The first byte names a kind of message that does not exist.
        bytes.insert(0, 0x7f);
        let mut frame = Vec::new();
        let body = Raw(bytes);
        encode(ClusterId(1), GroupId(0), ReplicaId(from as u8), &body, &mut frame)
            .expect("a small frame");
        assert_eq!(scene.inject(to, from, frame)?, Some("not a message"));
    }
    goes_on(scene)
}

/// Bytes as they are, without a length in front of them.
struct Raw(Vec<u8>);

impl serde::Serialize for Raw {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeTuple;
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
        tuple.end()
    }
}

/// Makes the checksum and the length fit the frame again.
fn seal_again(frame: &mut [u8]) {
    let body_bytes = (frame.len() - FRAME_HEADER_BYTES) as u32;
    frame[16..20].copy_from_slice(&body_bytes.to_le_bytes());
    let sum = crc32c::crc32c_append(crc32c::crc32c(&frame[..20]), &frame[FRAME_HEADER_BYTES..]);
    frame[20..24].copy_from_slice(&sum.to_le_bytes());
}

/// Well-formed messages of an authentic peer with values that cannot be. For the protocols that
/// trust their peers such a peer is outside the model; that nothing panics or grows is all that is
/// promised, and that the cluster goes on.
fn absurd_values<P: Absurd>() -> Step {
    let mut scene = cluster::<P>()?;
    let liar = 0;
    for sealed in P::absurd(&scene, liar) {
        for to in 1..scene.replicas() {
            let frame = scene.frame(liar, &sealed);
            scene.inject(to, liar, frame)?;
        }
        scene.run_for(1)?;
    }
    scene.run_for(4 * scene.longest_wait_ms())?;
    goes_on(scene)
}

/// The same through the door with a million entries in one message.
fn a_million_entries<P: Absurd>() -> Step {
    let mut scene = cluster::<P>()?;
    let leader = scene.leader().unwrap_or(0);
    let before = scene.held_bytes(leader).0;
    let liar = (leader + 1) % scene.replicas();
    for sealed in P::million(&scene, liar) {
        let frame = scene.frame(liar, &sealed);
        scene.inject(leader, liar, frame)?;
    }
    scene.expect("nothing of it is kept", scene.held_bytes(leader).0 <= before + 1024)?;
    goes_on(scene)
}

macro_rules! at_every_door {
    ($($test:ident => $body:ident;)+) => {
        $(mod $test {
            use super::*;
            #[test]
            fn raft() { succeed($body::<Raft>()); }
            #[test]
            fn paxos() { succeed($body::<Paxos>()); }
            #[test]
            fn pbft() { succeed($body::<Pbft>()); }
        })+
    };
}

at_every_door! {
    truncation_at_every_byte_and_every_bit_flipped => truncations_and_flips;
    wrong_cluster_version_group_peer_and_oneself => wrong_headers;
    a_declared_length_at_the_limit_and_beyond => declared_lengths;
    noise_is_refused => noise;
    absurd_values_do_no_harm => absurd_values;
    a_million_entries_are_not_kept => a_million_entries;
}

#[test]
fn a_frame_of_the_limit_is_made_and_one_byte_more_is_not() {
    let mut frame = Vec::new();
    let mut make = |body: usize| {
        frame.clear();
        let text = "x".repeat(body);
        encode(ClusterId(1), GroupId(0), ReplicaId(0), &text, &mut frame)
    };
    // Four bytes say how long the text is.
    let most = FRAME_BYTES_MAX - FRAME_HEADER_BYTES - 4;
    assert_eq!(make(most - 1), Ok(()));
    assert_eq!(make(most), Ok(()));
    assert_eq!(make(most + 1), Err(WireError::TooLarge(FRAME_BYTES_MAX + 1)));
}

#[test]
fn a_declared_decompressed_size_that_cannot_be_is_refused_before_memory_is_taken() {
    let mut builder = BatchBuilder::new(GroupId(0));
    let (payload, auth) = (&[0; 4000][..], &[][..]);
    let command = Command { client: ClientId(1), seq: RequestSeq(1), payload, auth };
    builder.push(&command).expect("a small command fits");
    let mut compressor = Compressor::new(CompressionPolicy::Always);
    let honest = builder.seal(Some(&mut compressor));
    assert!(honest.is_compressed() && honest.len() < 400);
    let raw = honest.header().raw_bytes as usize;
    let most = BATCH_RAW_BYTES_MAX;
    for declared in [0, raw - 1, raw + 1, most - 1, most, most + 1, u32::MAX as usize] {
        let mut bytes = honest.as_bytes().to_vec();
        bytes[12..16].copy_from_slice(&(declared as u32).to_le_bytes());
        // A batch keeps its length and its checksum where a frame does.
        seal_again(&mut bytes);
        let mut scratch = Vec::new();
        let opened = Batch::decode(bytes.into()).map(|batch| batch.body(&mut scratch).is_ok());
        assert_ne!(opened, Ok(true), "declared {declared}");
        assert!(scratch.capacity() < 16 << 10, "declared {declared}: {}", scratch.capacity());
    }
}

#[test]
fn an_empty_group_or_one_without_the_replica_does_not_start() {
    fn refused<P: Inspect>() {
        use quorate_smr::{Recovered, ReplicaSet, Seed, Setup, Time};
        let setup = Setup::new(ReplicaId(0), 4, Seed(1), P::Config::default());
        for members in [ReplicaSet::EMPTY, ReplicaSet::only(ReplicaId(3))] {
            let setup = Setup { members, ..setup.clone() };
            assert!(P::recover(setup, Recovered::default(), Time::ZERO).is_err(), "{}", P::NAME);
        }
    }
    refused::<Raft>();
    refused::<Paxos>();
    refused::<Pbft>();
}

//! What work costs the CPU of this machine: the calibration of the experiments in virtual time.
//!
//! A cluster runs once in virtual time and keeps everything that its replicas heard and said, with
//! small batches and with large ones. Then each piece is done again with a watch in hand, through
//! the code that ships: sealing, encoding, decoding and opening every message, every step of every
//! replica, taking requests in, sealing batches, applying, answering. A piece counts with its
//! fastest of several times, which leaves out what interrupted it; a straight line through
//! (bytes, time) splits fixed costs from costs for each byte.
//!
//! Not in it: the kernel's network stack, disks, waking threads.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use quorate_mq::batcher::BatchPolicy;
use quorate_mq::compress::{CompressionPolicy, Compressor, decompress_into};
use quorate_paxos::Paxos;
use quorate_pbft::Pbft;
use quorate_raft::Raft;
use quorate_sim::metered::{Costs, Linear, MS, Plan, Tape, record};
use quorate_smr::machine::Checksum;
use quorate_smr::session::SessionLimits;
use quorate_smr::{
    Authenticator, Batch, BatchBuilder, ClientAuthenticator, ClientId, ClusterId, Command, Effects,
    Executor, GroupId, Input, Protocol, Recovered, ReplicaId, RequestSeq, Seed, Setup, Slot, Time,
    To, wire,
};

use super::{paxos, pbft, raft};
use crate::error::BenchError;
use crate::experiment::system::System;

/// How often each piece is timed; the fastest counts.
const REPEATS: usize = 5;
/// Payloads of small and large commands, in bytes.
const SMALL_BYTES: usize = 16;
const LARGE_BYTES: usize = 1024;
/// Commands in a large batch.
const LARGE_COUNT: usize = 32;
/// Messages that a recorded run may make, roughly: with many replicas it has fewer batches.
const MESSAGES_MAX: usize = 20_000;
/// Batches of a recorded run, at least and at most.
const BATCHES: (usize, usize) = (4, 100);
/// Commands in the timing of what is done for each command.
const COMMANDS: usize = 2_000;
/// The client of the calibration.
const CLIENT: ClientId = ClientId(1);

/// What was measured so far in this process, by system and number of replicas.
static MEASURED: Mutex<BTreeMap<(System, usize), Costs>> = Mutex::new(BTreeMap::new());

/// The costs of `system` with `replicas` replicas in a group; measured once in a process.
///
/// # Errors
/// When the recorded run fails its checks.
pub fn of(system: System, replicas: usize) -> Result<Costs, BenchError> {
    let mut measured = MEASURED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(costs) = measured.get(&(system, replicas)) {
        return Ok(*costs);
    }
    let costs = match system {
        System::Paxos => measure::<Paxos>(&paxos(1), replicas),
        System::Raft => measure::<Raft>(&raft(1), replicas),
        System::Pbft => {
            measure::<Pbft>(&pbft(1, 1), replicas).map(|costs| Costs { opened_before: 1, ..costs })
        }
        System::Direct => Ok(Costs::FREE),
    };
    let failed = |reason| BenchError::Setup {
        what: format!("the calibration of {} with {replicas} replicas", system.name()),
        reason,
    };
    let costs = costs.map_err(failed)?;
    measured.insert((system, replicas), costs);
    Ok(costs)
}

/// Takes `costs` as measured, instead of measuring: a run can be done again with the figures of
/// another.
pub fn assume(system: System, replicas: usize, costs: Costs) {
    let mut measured = MEASURED.lock().unwrap_or_else(PoisonError::into_inner);
    measured.insert((system, replicas), costs);
}

/// What compressing and opening a byte costs, in picoseconds.
pub type Codec = (u64, u64);

/// What was measured so far in this process, by kind of payload and bytes of a batch.
static CODECS: Mutex<BTreeMap<(String, usize), Codec>> = Mutex::new(BTreeMap::new());

/// The costs of the codec on batches of `batch_bytes` with `payloads`, which are of this `kind`;
/// measured once in a process.
#[must_use]
pub fn codec(kind: &str, payloads: &[Bytes], batch_bytes: usize) -> Codec {
    let mut measured = CODECS.lock().unwrap_or_else(PoisonError::into_inner);
    let place = (kind.to_owned(), batch_bytes);
    *measured.entry(place).or_insert_with(|| time_codec(payloads, batch_bytes))
}

/// Takes `codec` as measured, instead of measuring.
pub fn assume_codec(kind: &str, batch_bytes: usize, codec: Codec) {
    let mut measured = CODECS.lock().unwrap_or_else(PoisonError::into_inner);
    measured.insert((kind.to_owned(), batch_bytes), codec);
}

fn time_codec(payloads: &[Bytes], batch_bytes: usize) -> Codec {
    let mut body = Vec::new();
    for payload in payloads.iter().cycle() {
        if body.len() >= batch_bytes {
            break;
        }
        body.extend_from_slice(&[0; quorate_smr::batch::COMMAND_HEADER_BYTES]);
        body.extend_from_slice(payload);
    }
    let mut compressor = Compressor::new(CompressionPolicy::Always);
    let (mut frame, mut opened) = (Vec::new(), Vec::new());
    let compress_ns = fastest(4 * REPEATS, || {
        frame.clear();
        compressor.compress_into(&body, &mut frame);
    });
    let decompress_ns = fastest(4 * REPEATS, || {
        opened.clear();
        decompress_into(&frame, body.len(), &mut opened).expect("an honest frame opens");
    });
    let per_byte = |ns: f64| ps(ns / body.len().max(1) as f64);
    (per_byte(compress_ns), per_byte(decompress_ns))
}

/// Pieces of work: bytes and nanoseconds of each.
#[derive(Debug, Default)]
struct Pieces(Vec<(f64, f64)>);

impl Pieces {
    /// The straight line that fits best, without negative parts.
    fn line(&self) -> Linear {
        let count = self.0.len() as f64;
        if count == 0.0 {
            return Linear::default();
        }
        let mean = |pick: fn(&(f64, f64)) -> f64| self.0.iter().map(pick).sum::<f64>() / count;
        let (bytes, ns) = (mean(|piece| piece.0), mean(|piece| piece.1));
        let spread: f64 = self.0.iter().map(|piece| (piece.0 - bytes).powi(2)).sum();
        let shared: f64 = self.0.iter().map(|piece| (piece.0 - bytes) * (piece.1 - ns)).sum();
        let slope = if spread > 0.0 { (shared / spread).max(0.0) } else { 0.0 };
        Linear { fixed_ps: ps(ns - slope * bytes), byte_ps: ps(slope) }
    }

    fn mean_ps(&self) -> u64 {
        ps(self.0.iter().map(|piece| piece.1).sum::<f64>() / self.0.len().max(1) as f64)
    }
}

fn ps(ns: f64) -> u64 {
    (ns.max(0.0) * 1e3).round() as u64
}

/// The fastest of `repeats` times, in nanoseconds, without what looking at the clock takes.
fn fastest(repeats: usize, mut work: impl FnMut()) -> f64 {
    let mut least = f64::INFINITY;
    for _ in 0..repeats {
        let began = Instant::now();
        work();
        least = least.min(began.elapsed().as_nanos() as f64);
    }
    (least - clock_ns()).max(0.0)
}

/// What looking at the clock twice takes.
fn clock_ns() -> f64 {
    static CLOCK_NS: std::sync::OnceLock<f64> = std::sync::OnceLock::new();
    *CLOCK_NS.get_or_init(|| {
        let look = |_| {
            let began = Instant::now();
            began.elapsed().as_nanos() as f64
        };
        (0..10_000).map(look).fold(f64::INFINITY, f64::min)
    })
}

/// What was timed of one protocol.
#[derive(Debug, Default)]
struct Timed {
    encode: Pieces,
    prove: Pieces,
    decode: Pieces,
    open: Pieces,
    step: Pieces,
    propose: Pieces,
    other: Pieces,
}

fn measure<P: Protocol>(config: &P::Config, replicas: usize) -> Result<Costs, String> {
    let mut timed = Timed::default();
    for (bytes, count) in [(SMALL_BYTES, 1), (LARGE_BYTES, LARGE_COUNT)] {
        let tape = record::<P>(config, &plan(replicas, bytes, count), 1)?;
        time_messages(&tape, &mut timed)?;
        time_steps(&tape, &mut timed)?;
    }
    let mut costs = Costs {
        encode: timed.encode.line(),
        prove_ps: timed.prove.mean_ps(),
        decode: timed.decode.line(),
        open: timed.open.line(),
        step: timed.step.line(),
        propose: timed.propose.line(),
        other_ps: timed.other.mean_ps(),
        ..Costs::FREE
    };
    time_commands::<P>(config, replicas, &mut costs)?;
    Ok(costs)
}

/// A run to be recorded: one client, batches of `count` commands of `bytes`.
fn plan(replicas: usize, bytes: usize, count: usize) -> Plan {
    let batches = (MESSAGES_MAX / (replicas * replicas)).clamp(BATCHES.0, BATCHES.1);
    let mut plan = Plan::new(replicas, MS, count);
    plan.payloads = vec![payload(bytes)];
    plan.batching = BatchPolicy::adaptive().with_count_max(count).expect("a batch of one or more");
    plan.warm_up_ns = 0;
    plan.measured_ns = 3 * MS * batches as u64;
    plan
}

/// Bytes that no codec shrinks and no code path favours.
fn payload(bytes: usize) -> Bytes {
    (0..bytes).map(|place| (place as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect()
}

fn time_messages<P: Protocol>(tape: &Tape<P>, timed: &mut Timed) -> Result<(), String> {
    let auths: Vec<P::Auth> = tape
        .heard
        .iter()
        .map(|heard| P::authenticator(&heard.setup).map_err(|error| error.to_string()))
        .collect::<Result<_, _>>()?;
    let mut frame = Vec::new();
    for (sender, to, message) in &tape.said {
        let setup = &tape.heard[*sender].setup;
        let receivers = to.receivers(setup.replica, setup.members);
        let Some(first) = receivers.iter().next() else { continue };
        let sealed = auths[*sender].seal(*to, message.clone());
        let (cluster, group, from) = (setup.cluster, setup.group, setup.replica);
        let encode_ns = fastest(REPEATS, || {
            frame.clear();
            let _ = wire::encode(cluster, group, from, &sealed, &mut frame);
        });
        let bytes = frame.len() as f64;
        timed.encode.0.push((bytes, encode_ns));
        let prove_ns = time_sealing(&auths[*sender], *to, message);
        timed.prove.0.push((bytes, prove_ns / receivers.len() as f64));
        let (mut decode_ns, mut open_ns) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..REPEATS {
            let (taken, ns) = decode::<P>(&frame, cluster)?;
            decode_ns = decode_ns.min(ns);
            let began = Instant::now();
            let opened = auths[usize::from(first.0)].open(from, taken);
            open_ns = open_ns.min(began.elapsed().as_nanos() as f64 - clock_ns());
            opened.map_err(|error| error.to_string())?;
        }
        timed.decode.0.push((bytes, decode_ns.max(0.0)));
        timed.open.0.push((bytes, open_ns.max(0.0)));
    }
    Ok(())
}

/// Sealing takes the message; only that is timed, not the copy for the next time.
fn time_sealing<M: Clone, A: Authenticator<M>>(auth: &A, to: To, message: &M) -> f64 {
    let mut least = f64::INFINITY;
    for _ in 0..REPEATS {
        let copy = message.clone();
        let began = Instant::now();
        let sealed = auth.seal(to, copy);
        least = least.min(began.elapsed().as_nanos() as f64);
        drop(std::hint::black_box(sealed));
    }
    (least - clock_ns()).max(0.0)
}

type Sealed<P> = <<P as Protocol>::Auth as Authenticator<<P as Protocol>::Message>>::Sealed;

fn decode<P: Protocol>(frame: &[u8], cluster: ClusterId) -> Result<(Sealed<P>, f64), String> {
    let began = Instant::now();
    let decoded = wire::decode::<Sealed<P>>(frame, cluster);
    let ns = began.elapsed().as_nanos() as f64 - clock_ns();
    decoded.map(|(_, sealed)| (sealed, ns)).map_err(|error| error.to_string())
}

/// Does every replica's run again, several times; each input counts with its fastest.
fn time_steps<P: Protocol>(tape: &Tape<P>, timed: &mut Timed) -> Result<(), String> {
    for heard in &tape.heard {
        let mut least = vec![f64::INFINITY; heard.inputs.len()];
        for _ in 0..REPEATS {
            let setup = heard.setup.clone();
            let mut replica = P::recover(setup, Recovered::default(), Time::ZERO)
                .map_err(|error| error.to_string())?;
            let mut effects = Effects::new();
            for ((now, input, _), least) in heard.inputs.iter().zip(&mut least) {
                let input = input.clone();
                let began = Instant::now();
                replica.handle(*now, input, &mut effects);
                drop(effects.drain());
                *least = least.min(began.elapsed().as_nanos() as f64 - clock_ns());
            }
        }
        for ((_, input, bytes), ns) in heard.inputs.iter().zip(least) {
            let pieces = match input {
                Input::Message { .. } => &mut timed.step,
                Input::Propose { .. } => &mut timed.propose,
                _ => &mut timed.other,
            };
            pieces.0.push((*bytes as f64, ns.max(0.0)));
        }
    }
    Ok(())
}

/// What is done for each command, by small and large ones.
fn time_commands<P: Protocol>(
    config: &P::Config,
    replicas: usize,
    costs: &mut Costs,
) -> Result<(), String> {
    let setup = Setup::new(ReplicaId(0), replicas, Seed(1), config.clone());
    let auth = P::authenticator(&setup).map_err(|error| error.to_string())?;
    let client = auth.client(CLIENT).ok_or("the first client is unknown")?;
    let (mut request, mut apply) = (Pieces::default(), Pieces::default());
    let mut seal = Pieces::default();
    for bytes in [SMALL_BYTES, LARGE_BYTES] {
        let payload = payload(bytes);
        let mut builder = BatchBuilder::new(GroupId(0));
        let mut proofs = Vec::new();
        for seq in 1..=COMMANDS as u64 {
            let mut proof = Vec::new();
            client.sign(CLIENT, RequestSeq(seq), &payload, &mut proof);
            proofs.push(proof);
        }
        let take_in = |builder: &mut BatchBuilder| {
            for (seq, proof) in (1..).zip(&proofs) {
                let seq = RequestSeq(seq);
                let command = Command { client: CLIENT, seq, payload: &payload, auth: proof };
                if auth.admit(&command).is_ok() {
                    let _ = builder.push(&command);
                }
            }
        };
        let (mut request_ns, mut least_ns) = (f64::INFINITY, f64::INFINITY);
        let mut batch = Batch::empty(GroupId(0));
        for _ in 0..REPEATS {
            request_ns = request_ns.min(fastest(1, || take_in(&mut builder)));
            let began = Instant::now();
            batch = builder.seal(None);
            let seal_ns = began.elapsed().as_nanos() as f64 - clock_ns();
            least_ns = least_ns.min(seal_ns);
        }
        if batch.count() != COMMANDS {
            return Err("an honest client's request was refused".into());
        }
        let limits = SessionLimits { window: COMMANDS, ..SessionLimits::default() };
        let apply_ns = time_applying(&batch, limits)?;
        seal.0.push((batch.len() as f64, least_ns.max(0.0)));
        request.0.push((bytes as f64, request_ns / COMMANDS as f64));
        let whole = f64::from(batch.header().raw_bytes);
        apply.0.push((whole / COMMANDS as f64, apply_ns / COMMANDS as f64));
    }
    (costs.request, costs.seal, costs.apply) = (request.line(), seal.line(), apply.line());
    let answers = fastest(REPEATS, || {
        for seq in 0..COMMANDS as u64 {
            std::hint::black_box(auth.tag_reply(CLIENT, &seq.to_le_bytes()));
        }
    });
    costs.answer_ps = ps(answers / COMMANDS as f64);
    Ok(())
}

fn time_applying(batch: &Batch, limits: SessionLimits) -> Result<f64, String> {
    let mut least = f64::INFINITY;
    for _ in 0..REPEATS {
        let mut executor = Executor::new(Checksum::default(), limits, &[CLIENT]);
        let mut answers = Vec::with_capacity(8 * batch.count());
        let mut sink = |_, _, _, answer: &[u8]| answers.extend_from_slice(answer);
        let began = Instant::now();
        executor.apply(Slot(1), batch, &mut sink).map_err(|error| error.to_string())?;
        least = least.min(began.elapsed().as_nanos() as f64 - clock_ns());
    }
    Ok(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_into_its_fixed_part_and_its_slope() {
        let pieces = Pieces([10.0, 100.0, 1000.0].map(|bytes| (bytes, 50.0 + 2.0 * bytes)).into());
        assert_eq!(pieces.line(), Linear { fixed_ps: 50_000, byte_ps: 2_000 });
        let falling = Pieces(vec![(10.0, 100.0), (1000.0, 50.0)]);
        assert_eq!(falling.line(), Linear { fixed_ps: 75_000, byte_ps: 0 });
        assert_eq!(Pieces::default().line(), Linear::default());
    }

    #[test]
    fn every_kind_of_work_has_a_cost_and_proofs_cost_only_pbft() {
        for (system, replicas) in [(System::Raft, 3), (System::Paxos, 3), (System::Pbft, 4)] {
            let costs = of(system, replicas).unwrap();
            let all = [costs.encode, costs.decode, costs.step, costs.propose, costs.apply];
            assert!(all.iter().all(|line| line.of(1000) > 0), "{system:?}: {costs:?}");
            assert!(costs.request.of(100) > 0, "{system:?}");
            assert_eq!(of(system, replicas).unwrap(), costs, "measured once");
        }
        let (raft, pbft) = (of(System::Raft, 3).unwrap(), of(System::Pbft, 4).unwrap());
        assert!(pbft.open.of(200) > raft.open.of(200) && pbft.answer_ps > raft.answer_ps);
    }
}

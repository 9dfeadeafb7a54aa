//! `hotstuff_rs` as four replicas of one process, each with its own threads.
//!
//! Set up for speed as far as the library lets one: an in-memory tree, channels for a network whose
//! receiver blocks for a moment instead of spinning, blocks of the batch's size, no event handlers
//! (one alone costs three quarters of the throughput), no logging.
//!
//! Not the same as ours: every vote is signed and checked (Ed25519) where ours carries tags; clients
//! prove nothing and get no reply. A command counts as answered once its effect is in the committed
//! state of the replica that the client watches. A block is committed when three more follow it, so
//! that empty blocks are made while a lone command waits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hotstuff_rs::app::{
    App, ProduceBlockRequest, ProduceBlockResponse, ValidateBlockRequest, ValidateBlockResponse,
};
use hotstuff_rs::block_tree::pluggables::KVGet as _;
use hotstuff_rs::replica::{Configuration, Replica, ReplicaSpec};
use hotstuff_rs::types::crypto_primitives::{CryptoHasher, Digest as _, SigningKey};
use hotstuff_rs::types::data_types::{
    BufferSize, ChainID, CryptoHash, Data, Datum, EpochLength, Power,
};
use hotstuff_rs::types::update_sets::AppStateUpdates;
use hotstuff_rs::types::validator_set::{ValidatorSet, ValidatorSetState};
use quorate_smr::StateMachine as _;
use quorate_smr::machine::Checksum;

use crate::experiment::Outcome;
use crate::machine::process_cpu;
use crate::metric::Metric;
use crate::peers::drive::Sending;
use crate::peers::{Application, Script};
use crate::run::Proof;

mod network;
mod store;

use network::Channels;
use store::Memory;

/// Replicas: one of them may lie.
const REPLICAS: u8 = 4;
/// Where the application keeps its state: the image of the checksum machine.
const STATE_KEY: &[u8] = b"checksum";
/// Bytes of messages that may wait.
const MESSAGE_BUFFER_BYTES: u64 = 64 << 20;
/// Views between two all-to-all synchronisations.
const EPOCH_VIEWS: u32 = 100;
/// How long a view may take before the next leader is asked. Whole seconds: the library drops
/// fractions, and views of half a second would all end at once.
const VIEW_TIME_MAX: Duration = Duration::from_secs(2);
/// How long the first commit may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the last commit on every replica may take: with one command in a block, what is in
/// flight at the end takes hundreds of blocks.
const DRAIN: Duration = Duration::from_secs(60);
/// Between two looks of the client at the committed state.
const POLL: Duration = Duration::from_micros(100);
/// The length in front of each command of a block, in bytes.
const LENGTH_BYTES: usize = 4;

/// The variant's name in tables.
pub const VARIANT: &str = "own-threads";

/// One repetition: a fresh group, loaded, verified and shut down.
#[must_use]
pub fn repetition(
    script: &Arc<Script>,
    sending: Sending,
    (warm_up, measured): (Duration, Duration),
) -> Outcome {
    let sent = Arc::new(AtomicU64::new(sending.in_flight as u64));
    let group = Group::start(script, sending, &sent);
    let mut client = Client { group: &group, sent: &sent, in_flight: sending.in_flight as u64 };
    let loaded = client.load(warm_up, measured);
    let proof = loaded.as_ref().map_err(Clone::clone).and_then(|_| client.prove(script));
    let values = loaded.map(|loaded| loaded.values()).unwrap_or_default();
    let proof = proof.map_or_else(Proof::Failed, |()| Proof::Verified);
    Outcome::new(values, proof)
}

/// Four replicas and their stores.
struct Group {
    stores: Vec<Memory>,
    /// They stop when they are dropped.
    _replicas: Vec<Replica<Memory>>,
}

impl Group {
    fn start(script: &Arc<Script>, sending: Sending, sent: &Arc<AtomicU64>) -> Self {
        let keys: Vec<SigningKey> =
            (1..=REPLICAS).map(|number| SigningKey::from_bytes(&[number; 32])).collect();
        let mut validators = ValidatorSet::new();
        keys.iter().for_each(|key| validators.put(&key.verifying_key(), Power::new(1)));
        let channels = Channels::between(keys.iter().map(SigningKey::verifying_key));
        let (mut stores, mut replicas) = (Vec::new(), Vec::new());
        for (key, network) in keys.into_iter().zip(channels) {
            let store = Memory::default();
            let mut state = AppStateUpdates::new();
            state.insert(STATE_KEY.to_vec(), image(&Checksum::default()));
            let validators =
                ValidatorSetState::new(validators.clone(), validators.clone(), None, true);
            Replica::initialize(store.clone(), state, validators);
            let app = Commands { script: script.clone(), sent: sent.clone(), batch: sending.batch };
            let spec = ReplicaSpec::builder()
                .app(app)
                .network(network)
                .kv_store(store.clone())
                .configuration(configuration(key))
                .build();
            replicas.push(spec.start());
            stores.push(store);
        }
        Self { stores, _replicas: replicas }
    }

    /// The committed state of a replica.
    fn committed(&self, replica: usize) -> Result<Checksum, String> {
        let image = self.stores[replica].committed_app_state(STATE_KEY);
        machine(&image.ok_or("a replica has no state")?)
    }
}

fn configuration(me: SigningKey) -> Configuration {
    Configuration::builder()
        .me(me)
        .chain_id(ChainID::new(0))
        .block_sync_request_limit(100)
        .block_sync_server_advertise_time(Duration::from_secs(10))
        .block_sync_response_timeout(Duration::from_secs(3))
        .block_sync_blacklist_expiry_time(Duration::from_secs(10))
        .block_sync_trigger_min_view_difference(2)
        .block_sync_trigger_timeout(Duration::from_secs(60))
        .progress_msg_buffer_capacity(BufferSize::new(MESSAGE_BUFFER_BYTES))
        .epoch_length(EpochLength::new(EPOCH_VIEWS))
        .max_view_time(VIEW_TIME_MAX)
        .log_events(false)
        .build()
}

fn image(machine: &Checksum) -> Vec<u8> {
    let mut image = Vec::new();
    machine.snapshot(&mut image);
    image
}

fn machine(image: &[u8]) -> Result<Checksum, String> {
    let mut machine = Checksum::default();
    machine.restore(image).map_err(|error| error.to_string())?;
    Ok(machine)
}

/// The application: commands are numbered, so that a leader proposes those that follow on the state
/// of the block before; none is lost and none comes twice.
struct Commands {
    script: Arc<Script>,
    sent: Arc<AtomicU64>,
    batch: usize,
}

impl Commands {
    /// The state after the commands of a block; `None` when the block is malformed.
    fn execute(&self, state: &[u8], mut block: &[u8]) -> Option<Vec<u8>> {
        let mut application = Application::default();
        application.restore(state).ok()?;
        while !block.is_empty() {
            let (length, rest) = block.split_first_chunk::<LENGTH_BYTES>()?;
            let (command, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            application.apply(command);
            block = rest;
        }
        Some(image(application.machine()))
    }

    fn updates(&self, state: &[u8], block: &[u8]) -> Option<Option<AppStateUpdates>> {
        if block.is_empty() {
            return Some(None);
        }
        let mut updates = AppStateUpdates::new();
        updates.insert(STATE_KEY.to_vec(), self.execute(state, block)?);
        Some(Some(updates))
    }
}

fn hash(block: &[u8]) -> CryptoHash {
    let mut hasher = CryptoHasher::new();
    hasher.update(block);
    CryptoHash::new(hasher.finalize().into())
}

impl App<Memory> for Commands {
    fn produce_block(&mut self, request: ProduceBlockRequest<Memory>) -> ProduceBlockResponse {
        let state = request.block_tree().app_state(STATE_KEY).unwrap_or_default();
        let applied = machine(&state).map_or(0, |machine| machine.applied());
        let waiting = self.sent.load(Ordering::Relaxed).saturating_sub(applied);
        let count = waiting.min(self.batch as u64);
        let mut block = Vec::new();
        for seq in applied + 1..=applied + count {
            let command = &self.script.batch(seq, 1)[0];
            block.extend_from_slice(&(command.len() as u32).to_le_bytes());
            block.extend_from_slice(command);
        }
        ProduceBlockResponse {
            data_hash: hash(&block),
            app_state_updates: self.updates(&state, &block).flatten(),
            data: Data::new(vec![Datum::new(block)]),
            validator_set_updates: None,
        }
    }

    fn validate_block(&mut self, request: ValidateBlockRequest<Memory>) -> ValidateBlockResponse {
        let proposed = request.proposed_block();
        let [datum] = proposed.data.vec().as_slice() else { return ValidateBlockResponse::Invalid };
        if proposed.data_hash != hash(datum.bytes()) {
            return ValidateBlockResponse::Invalid;
        }
        let state = request.block_tree().app_state(STATE_KEY).unwrap_or_default();
        match self.updates(&state, datum.bytes()) {
            Some(app_state_updates) => {
                ValidateBlockResponse::Valid { app_state_updates, validator_set_updates: None }
            }
            None => ValidateBlockResponse::Invalid,
        }
    }

    fn validate_block_for_sync(
        &mut self,
        request: ValidateBlockRequest<Memory>,
    ) -> ValidateBlockResponse {
        self.validate_block(request)
    }
}

/// Keeps commands in flight: as many are sent as were answered, and so many more.
struct Client<'a> {
    group: &'a Group,
    sent: &'a AtomicU64,
    in_flight: u64,
}

struct Loaded {
    commands: u64,
    elapsed: Duration,
    cpu: Duration,
}

impl Loaded {
    fn values(&self) -> BTreeMap<Metric, f64> {
        let commands = self.commands as f64;
        BTreeMap::from([
            (Metric::Throughput, commands / self.elapsed.as_secs_f64()),
            (Metric::Cpu, self.cpu.as_secs_f64() / commands * 1e6),
        ])
    }
}

impl Client<'_> {
    fn load(&mut self, warm_up: Duration, measured: Duration) -> Result<Loaded, String> {
        let first = self.watch(Instant::now() + PATIENCE, |answered| answered > 0)?;
        if first == 0 {
            return Err(format!("no command was committed within {} s", PATIENCE.as_secs()));
        }
        let before = self.watch(Instant::now() + warm_up, |_| false)?;
        let (begin, cpu) = (Instant::now(), process_cpu());
        let answered = self.watch(begin + measured, |_| false)?;
        let (elapsed, cpu) = (begin.elapsed(), process_cpu() - cpu);
        match answered - before {
            0 => Err("no command was committed in the measured time".into()),
            commands => Ok(Loaded { commands, elapsed, cpu }),
        }
    }

    /// Sends as commands are answered, until a moment or a condition; returns how many were.
    fn watch(&self, until: Instant, enough: impl Fn(u64) -> bool) -> Result<u64, String> {
        loop {
            let answered = self.group.committed(0)?.applied();
            self.sent.store(answered + self.in_flight, Ordering::Relaxed);
            if enough(answered) || Instant::now() >= until {
                return Ok(answered);
            }
            std::thread::sleep(POLL);
        }
    }

    /// Checks that every replica applied exactly what was sent, in order.
    fn prove(&self, script: &Script) -> Result<(), String> {
        let sent = self.sent.load(Ordering::Relaxed);
        let expected = script.replay(sent).1;
        let deadline = Instant::now() + DRAIN;
        for replica in 0..self.group.stores.len() {
            while self.group.committed(replica)?.applied() < sent && Instant::now() < deadline {
                std::thread::sleep(POLL);
            }
            let found = self.group.committed(replica)?;
            if found != expected {
                let applied = found.applied();
                return Err(format!("replica {replica} applied {applied} of {sent} or others"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::SMALL;

    #[test]
    fn every_command_is_applied_once_everywhere() {
        let script = Arc::new(Script::new(&SMALL));
        let times = (Duration::ZERO, Duration::from_millis(100));
        for (batch, in_flight) in [(1, 1), (64, 512)] {
            let outcome = repetition(&script, Sending { batch, in_flight }, times);
            assert_eq!(outcome.proof, Proof::Verified, "{batch} of {in_flight}");
        }
    }

    #[test]
    fn a_malformed_block_is_refused() {
        let (script, sent) = (Arc::new(Script::new(&SMALL)), Arc::new(AtomicU64::new(0)));
        let app = Commands { script, sent, batch: 1 };
        let state = image(&Checksum::default());
        assert!(app.updates(&state, &[1, 0, 0, 0, 7]).is_some());
        assert!(app.updates(&state, &[2, 0, 0, 0, 7]).is_none());
        assert!(app.updates(b"", &[1, 0, 0, 0, 7]).is_none());
    }
}

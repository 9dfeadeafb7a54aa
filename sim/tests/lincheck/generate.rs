//! Histories of a real register, simulated: each operation takes effect at a drawn moment between
//! its call and its return, some returns are lost, and clients call again after a while.

use std::collections::BinaryHeap;

use quorate_sim::dice::Dice;
use quorate_sim::lincheck::{KeyedOperation, Operation, RegisterCall, RegisterReturn};

use RegisterCall::{CompareAndSwap, Read, Write};
use RegisterReturn::{Swapped, Value, Written};

pub(crate) type RegisterOperation = Operation<RegisterCall, RegisterReturn>;
pub(crate) type KeyedRegisterOperation = KeyedOperation<u64, RegisterCall, RegisterReturn>;

/// What to simulate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) clients: u32,
    pub(crate) operations: usize,
    pub(crate) keys: u64,
    /// Written values are drawn from so many; 0: each is written once.
    pub(crate) values: u64,
    /// Returns lost, in millionths; the client goes on under a new process number.
    pub(crate) lost_ppm: u32,
    /// Compare-and-swaps too.
    pub(crate) swaps: bool,
    /// The longest wait of a client before its next call; operations take up to 100.
    pub(crate) pause: u64,
}

impl Default for Load {
    fn default() -> Self {
        let (clients, operations, keys, values) = (50, 2000, 10, 5);
        Self { clients, operations, keys, values, lost_ppm: 20_000, swaps: true, pause: 10 }
    }
}

/// An operation on its way.
struct Plan {
    key: u64,
    call: RegisterCall,
    process: u32,
    called_at: u64,
    returns_at: u64,
    index: usize,
}

pub(crate) fn keyed(load: Load, seed: u64) -> Vec<KeyedRegisterOperation> {
    let mut dice = Dice::new(seed, 0);
    let mut plans = plan(load, &mut dice);
    plans.sort_by_key(|(effect_at, plan)| (*effect_at, plan.index));
    let mut held = vec![None; load.keys as usize];
    let mut history: Vec<(usize, KeyedRegisterOperation)> = Vec::new();
    for (_, plan) in plans {
        let value: &mut Option<i64> = &mut held[plan.key as usize];
        let answer = match plan.call {
            Read => Value(*value),
            Write(new) => {
                *value = new;
                Written
            }
            CompareAndSwap(from, to) => {
                let swaps = *value == from;
                *value = if swaps { to } else { *value };
                Swapped(swaps)
            }
        };
        let returned = (plan.returns_at != u64::MAX).then_some((plan.returns_at, answer));
        let Plan { process, call, called_at, key, index, .. } = plan;
        let operation = Operation { process, call, called_at, returned };
        history.push((index, KeyedOperation { key, operation }));
    }
    history.sort_by_key(|(index, _)| *index);
    history.into_iter().map(|(_, operation)| operation).collect()
}

fn plan(load: Load, dice: &mut Dice) -> Vec<(u64, Plan)> {
    let mut free: BinaryHeap<std::cmp::Reverse<(u64, u32)>> =
        (0..load.clients).map(|process| std::cmp::Reverse((dice.below(50), process))).collect();
    let mut processes = load.clients;
    let mut plans = Vec::new();
    for index in 0..load.operations {
        let std::cmp::Reverse((called_at, process)) = free.pop().expect("clients come back");
        let key = dice.below(load.keys);
        let value = |dice: &mut Dice| match load.values {
            0 => Some(index as i64),
            values => Some(dice.below(values) as i64),
        };
        let call = match dice.below(if load.swaps { 3 } else { 2 }) {
            0 => Read,
            1 => Write(value(dice)),
            _ => {
                let from = dice.below(load.values.max(1)) as i64;
                CompareAndSwap(Some(from), value(dice))
            }
        };
        let effect_at = called_at + dice.between(1, 60);
        let gone_at = effect_at + dice.between(1, 40);
        let lost = dice.chance(load.lost_ppm);
        let returns_at = if lost { u64::MAX } else { gone_at };
        if lost {
            processes += 1;
        }
        let next = if lost { processes - 1 } else { process };
        free.push(std::cmp::Reverse((gone_at + dice.between(1, load.pause.max(2)), next)));
        plans.push((effect_at, Plan { key, call, process, called_at, returns_at, index }));
    }
    plans
}

/// The history of one register.
pub(crate) fn single(load: Load, seed: u64) -> Vec<RegisterOperation> {
    let load = Load { keys: 1, ..load };
    keyed(load, seed).into_iter().map(|keyed| keyed.operation).collect()
}

/// Makes one read in the later half answer what a write before it wrote that was overwritten by a
/// write which returned before the read was called, and that nobody wrote again. The index of the
/// read; `None` if no read will do.
pub(crate) fn plant_stale_read(history: &mut [KeyedRegisterOperation]) -> Option<usize> {
    let half = history.len() / 2;
    (half..history.len()).find_map(|at| {
        let stale = stale_value_for(history, at)?;
        history[at].operation.returned.as_mut()?.1 = Value(stale);
        Some(at)
    })
}

fn stale_value_for(history: &[KeyedRegisterOperation], at: usize) -> Option<Option<i64>> {
    let read = &history[at];
    if read.operation.call != Read || read.operation.returned.is_none() {
        return None;
    }
    let called_at = read.operation.called_at;
    let same_key = || history.iter().filter(|other| other.key == read.key);
    let writes = || same_key().filter(|other| leaves(&other.operation.call).is_some());
    let end_of = |entry: &KeyedRegisterOperation| {
        entry.operation.returned.as_ref().map_or(u64::MAX, |(end, _)| *end)
    };
    // The last blind write that certainly came before the read.
    let blind = |other: &&KeyedRegisterOperation| matches!(other.operation.call, Write(_));
    let over = writes().filter(blind).filter(|other| end_of(other) < called_at);
    let over = over.max_by_key(|other| other.operation.called_at)?.operation.called_at;
    let stale = writes().filter_map(|other| leaves(&other.operation.call));
    stale.map(Some).find(|value| {
        // Whoever wrote it was done before that write was called.
        let mut makers = writes().filter(|other| leaves(&other.operation.call) == *value);
        makers.all(|other| end_of(other) < over)
    })
}

fn leaves(call: &RegisterCall) -> Option<i64> {
    match call {
        Read => None,
        Write(value) | CompareAndSwap(_, value) => *value,
    }
}

/// The history as JSON lines. A failed compare-and-swap says what it found only as `fail`.
pub(crate) fn to_json(history: &[KeyedRegisterOperation]) -> String {
    let mut events: Vec<(u64, bool, usize)> = Vec::new();
    for (index, KeyedOperation { operation, .. }) in history.iter().enumerate() {
        events.push((operation.called_at, false, index));
        events.extend(operation.returned.map(|(at, _)| (at, true, index)));
    }
    events.sort_unstable();
    let mut lines = String::new();
    for (_, is_return, index) in events {
        let KeyedOperation { key, operation } = &history[index];
        let (f, value) = match operation.call {
            Read => ("read", "null".to_string()),
            Write(value) => ("write", json(value)),
            CompareAndSwap(from, to) => ("cas", format!("[{},{}]", json(from), json(to))),
        };
        let (kind, value) = match operation.returned {
            _ if !is_return => ("invoke", value),
            Some((_, Value(seen))) => ("ok", json(seen)),
            Some((_, Swapped(false))) => ("fail", value),
            _ => ("ok", value),
        };
        lines += &format!(
            "{{\"process\":{},\"type\":\"{kind}\",\"f\":\"{f}\",\"key\":{key},\"value\":{value}}}\n",
            operation.process
        );
    }
    lines
}

fn json(value: Option<i64>) -> String {
    value.map_or("null".to_string(), |value| value.to_string())
}

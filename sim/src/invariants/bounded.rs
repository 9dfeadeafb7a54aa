//! Buffers stay below their limits.

use quorate_smr::Status;

use crate::inbox::{CLIENT_INBOX_MAX, PEER_INBOX_MAX};
use crate::inspect::Inspect;
use crate::node::{ARRIVED_MAX, BATCH_REQUESTS_MAX, GATE_MESSAGES_MAX, READS_MAX, Running};
use crate::violation::{Check, broken};

/// Held bytes stay below the limit that follows from the configuration.
pub const BUFFERS_BOUNDED: &str = "buffers stay below their limits";

/// Checks the replica's own account of what it holds.
pub(crate) fn check_bounded(status: &Status) -> Check {
    if status.held_bytes <= status.held_bytes_max {
        return Ok(());
    }
    let (replica, held, max) = (status.replica, status.held_bytes, status.held_bytes_max);
    Err(broken(BUFFERS_BOUNDED, format!("{replica} holds {held} bytes, the limit is {max}")))
}

/// Checks what the host of the replica holds on its behalf, with `clients` clients in the run.
pub(crate) fn check_host<P: Inspect>(
    status: &Status,
    running: &Running<P>,
    clients: usize,
) -> Check {
    let (peers, requests) = running.lanes.waiting();
    let reads = running.reads.len() + running.ready_reads.len();
    let held = [
        ("messages in its inbox", peers, PEER_INBOX_MAX),
        ("requests in its inbox", requests, CLIENT_INBOX_MAX),
        ("requests that wait for a batch", running.inbox.len(), BATCH_REQUESTS_MAX),
        ("reads that wait", reads, READS_MAX),
        ("clients that wait for an answer", running.waiting.len(), clients),
        ("snapshots that arrived", running.arrived.len(), ARRIVED_MAX),
        ("messages that wait for its disk", running.gate.held(), GATE_MESSAGES_MAX),
        ("bytes to apply", running.to_apply_bytes, status.held_bytes_max),
    ];
    for (what, count, most) in held {
        if count > most {
            let detail = format!("{}: {count} {what}, the limit is {most}", status.replica);
            return Err(broken(BUFFERS_BOUNDED, detail));
        }
    }
    Ok(())
}

/// Checks one buffer of `replica` that is counted in items.
pub(crate) fn check_buffer(
    replica: quorate_smr::ReplicaId,
    name: &str,
    held: usize,
    max: usize,
) -> Check {
    if held <= max {
        return Ok(());
    }
    Err(broken(BUFFERS_BOUNDED, format!("{replica} holds {held} {name}, the limit is {max}")))
}

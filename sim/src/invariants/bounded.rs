//! Buffers stay below their limits.

use quorate_smr::Status;

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

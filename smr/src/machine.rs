//! What is replicated: a deterministic state machine over opaque commands.

/// Why a snapshot cannot be restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The bytes are not a snapshot of this state machine.
    #[error("snapshot is malformed: {0}; fetch it again from another replica")]
    Malformed(String),
    /// The snapshot was written by another version.
    #[error("snapshot version {0} is unknown to this build")]
    Version(u8),
}

/// A deterministic state machine.
///
/// The same commands in the same order must give the same answers and the same snapshots on every
/// replica: no clock, no randomness, no iteration over randomly ordered maps. A command that makes
/// no sense is answered, never a panic: every replica will meet it.
pub trait StateMachine: Send + 'static {
    /// Applies one command and appends its answer to `reply`.
    fn apply(&mut self, command: &[u8], reply: &mut Vec<u8>);

    /// Answers a read-only query by appending to `reply`; must not depend on anything but state.
    fn query(&self, query: &[u8], reply: &mut Vec<u8>);

    /// Appends a canonical image of the whole state: equal states give equal bytes.
    fn snapshot(&self, image: &mut Vec<u8>);

    /// Replaces the state by the one in `image`.
    ///
    /// # Errors
    /// When `image` is not a snapshot; the state is unchanged then.
    fn restore(&mut self, image: &[u8]) -> Result<(), RestoreError>;
}

/// The cheapest state machine that still depends on every byte and on the order: it keeps a
/// running checksum and answers with it. For measuring consensus rather than an application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checksum {
    applied: u64,
    state: u64,
}

impl Checksum {
    /// How many commands were applied.
    #[must_use]
    pub const fn applied(&self) -> u64 {
        self.applied
    }
}

impl StateMachine for Checksum {
    #[inline]
    fn apply(&mut self, command: &[u8], reply: &mut Vec<u8>) {
        self.applied += 1;
        self.state = xxhash_rust::xxh3::xxh3_64_with_seed(command, self.state);
        reply.extend_from_slice(&self.state.to_le_bytes());
    }

    fn query(&self, _query: &[u8], reply: &mut Vec<u8>) {
        reply.extend_from_slice(&self.state.to_le_bytes());
    }

    fn snapshot(&self, image: &mut Vec<u8>) {
        image.extend_from_slice(&self.applied.to_le_bytes());
        image.extend_from_slice(&self.state.to_le_bytes());
    }

    fn restore(&mut self, image: &[u8]) -> Result<(), RestoreError> {
        let (applied, rest) = image
            .split_first_chunk::<8>()
            .ok_or_else(|| RestoreError::Malformed("checksum image is cut short".into()))?;
        let state: [u8; 8] = rest
            .try_into()
            .map_err(|_| RestoreError::Malformed("checksum image has the wrong length".into()))?;
        *self = Self { applied: u64::from_le_bytes(*applied), state: u64::from_le_bytes(state) };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_machine_notices_order() {
        let run = |commands: [&[u8]; 2]| {
            let mut machine = Checksum::default();
            for command in commands {
                machine.apply(command, &mut Vec::new());
            }
            let mut image = Vec::new();
            machine.snapshot(&mut image);
            image
        };
        assert_ne!(run([b"a", b"b"]), run([b"b", b"a"]));
        assert_eq!(run([b"a", b"b"]), run([b"a", b"b"]));
    }
}

//! What work costs a host's CPU, in picoseconds. Measured elsewhere; all zero is a CPU that costs
//! nothing.

use serde::{Deserialize, Serialize};

/// Picoseconds in a nanosecond.
pub(super) const PS_PER_NS: u64 = 1000;

/// A cost that grows with size: a fixed part and one for each byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linear {
    /// For each piece of work, in picoseconds.
    pub fixed_ps: u64,
    /// For each byte of it, in picoseconds.
    pub byte_ps: u64,
}

impl Linear {
    /// The cost of a piece of `bytes`, in picoseconds.
    #[must_use]
    pub const fn of(self, bytes: usize) -> u64 {
        self.fixed_ps + self.byte_ps * bytes as u64
    }
}

/// What one host's core needs for each kind of work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Costs {
    /// Encoding a message into a checksummed frame, once for all its receivers; by its bytes.
    pub encode: Linear,
    /// Proving the origin of a message, for each receiver, in picoseconds.
    pub prove_ps: u64,
    /// Decoding a frame and checking its checksum; by its bytes.
    pub decode: Linear,
    /// Checking the origin and content of a message; by its bytes, uncompressed.
    pub open: Linear,
    /// The protocol's own work on a peer's message; by its bytes, uncompressed.
    pub step: Linear,
    /// The protocol's work on a batch that it proposes; by its bytes, uncompressed.
    pub propose: Linear,
    /// The protocol's work on other inputs: the journal's word, a tick. In picoseconds.
    pub other_ps: u64,
    /// Checking a client's request and copying it into a batch; by its payload.
    pub request: Linear,
    /// Sealing a batch; by its bytes.
    pub seal: Linear,
    /// Applying a command; by its payload.
    pub apply: Linear,
    /// Answering a command, with the proof of who answers, in picoseconds.
    pub answer_ps: u64,
    /// Compressing a byte, in picoseconds. Charged wherever a batch was tried, also in vain.
    pub compress_byte_ps: u64,
    /// Decompressing into a byte, in picoseconds.
    pub decompress_byte_ps: u64,
    /// How often a replica opens a compressed batch before it applies it.
    pub opened_before: u64,
}

impl Costs {
    /// A CPU that costs nothing.
    pub const FREE: Self = Self {
        encode: Linear { fixed_ps: 0, byte_ps: 0 },
        prove_ps: 0,
        decode: Linear { fixed_ps: 0, byte_ps: 0 },
        open: Linear { fixed_ps: 0, byte_ps: 0 },
        step: Linear { fixed_ps: 0, byte_ps: 0 },
        propose: Linear { fixed_ps: 0, byte_ps: 0 },
        other_ps: 0,
        request: Linear { fixed_ps: 0, byte_ps: 0 },
        seal: Linear { fixed_ps: 0, byte_ps: 0 },
        apply: Linear { fixed_ps: 0, byte_ps: 0 },
        answer_ps: 0,
        compress_byte_ps: 0,
        decompress_byte_ps: 0,
        opened_before: 0,
    };

    /// Sending one frame of `bytes` to `receivers`.
    pub(super) const fn send(&self, bytes: usize, receivers: usize) -> u64 {
        self.encode.of(bytes) + self.prove_ps * receivers as u64
    }

    /// Taking one frame of `bytes` in.
    pub(super) const fn receive(&self, bytes: usize) -> u64 {
        self.decode.of(bytes) + self.open.of(bytes) + self.step.of(bytes)
    }

    /// What a decided batch costs beyond what was charged by its bytes on the wire.
    pub(super) const fn unpack(&self, raw_bytes: usize, sealed_bytes: usize) -> u64 {
        let hidden = raw_bytes.saturating_sub(sealed_bytes) as u64;
        let opened = raw_bytes as u64 * (1 + self.opened_before);
        hidden * (self.open.byte_ps + self.step.byte_ps) + opened * self.decompress_byte_ps
    }
}

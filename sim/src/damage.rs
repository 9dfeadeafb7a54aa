//! What becomes of a frame on a bad way: cut short, from another cluster, under another name.
//!
//! Flipped bits are `network.rs`' work. Here the checksum is right again afterwards, so that it is
//! the header's own checks that must refuse the frame.

use quorate_smr::wire::FRAME_HEADER_BYTES;

use crate::dice::Dice;
use crate::fault::{FaultKind, Faults};

/// What was done to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// It is no longer a frame for its receiver; one that takes it for a message is broken.
    Content,
    /// It claims another sender than the one whose connection it came through.
    Sender,
}

/// Where a frame's header names the sender, the cluster, and the checksum.
const SENDER_AT: usize = 3;
const CLUSTER_AT: usize = 8;
const CHECKSUM_AT: usize = 20;

/// Damages `frame` in a group of `replicas`.
pub(crate) fn mangle(
    frame: &mut Vec<u8>,
    replicas: usize,
    dice: &mut Dice,
    faults: &mut Faults,
) -> Option<Damage> {
    if frame.len() < FRAME_HEADER_BYTES {
        return None;
    }
    let kind = *dice.pick(&[FaultKind::FrameCut, FaultKind::WrongCluster, FaultKind::WrongSender]);
    let draw = dice.word();
    if !faults.strikes(kind) {
        return None;
    }
    match kind {
        FaultKind::FrameCut => {
            frame.truncate((draw % frame.len() as u64) as usize);
            Some(Damage::Content)
        }
        FaultKind::WrongCluster => {
            frame[CLUSTER_AT + (draw % 8) as usize] ^= 1 << (draw >> 8 & 7);
            seal_again(frame);
            Some(Damage::Content)
        }
        _ => {
            let step = 1 + (draw % (replicas as u64 - 1).max(1)) as u8;
            frame[SENDER_AT] = (frame[SENDER_AT] + step) % replicas as u8;
            seal_again(frame);
            Some(Damage::Sender)
        }
    }
}

/// Makes the checksum fit the frame again.
fn seal_again(frame: &mut [u8]) {
    let head = crc32c::crc32c(&frame[..CHECKSUM_AT]);
    let sum = crc32c::crc32c_append(head, &frame[FRAME_HEADER_BYTES..]);
    frame[CHECKSUM_AT..FRAME_HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use quorate_smr::{ClusterId, GroupId, ReplicaId, wire};

    use super::*;

    #[test]
    fn a_mangled_frame_is_refused_or_names_another_sender() {
        let cluster = ClusterId(1);
        let mut frame = Vec::new();
        wire::encode(cluster, GroupId(0), ReplicaId(1), &42u64, &mut frame).unwrap();
        let (mut dice, mut faults) = (Dice::new(1, 0), Faults::default());
        for _ in 0..300 {
            let mut mangled = frame.clone();
            let decoded = |bytes: &[u8]| wire::decode::<u64>(bytes, cluster);
            match mangle(&mut mangled, 3, &mut dice, &mut faults).unwrap() {
                Damage::Content => assert!(decoded(&mangled).is_err()),
                Damage::Sender => assert_ne!(decoded(&mangled).unwrap().0.from, ReplicaId(1)),
            }
        }
        let counts = faults.into_counts().0;
        for kind in [FaultKind::FrameCut, FaultKind::WrongCluster, FaultKind::WrongSender] {
            assert!(counts.of(kind) > 50, "{kind}");
        }
    }
}

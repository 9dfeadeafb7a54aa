//! Damage to a disk's bytes while nobody writes to it.

use quorate_smr::journal;

use super::bytes::{ByteDisk, put};
use crate::dice::Dice;
use crate::plan::DiskFault;

/// Bytes from one copy of the identity to the other.
const IDENTITY_COPY_BYTES: usize = 4096;
/// Bytes of the identity that are checked.
const IDENTITY_BYTES: usize = 44;
/// Bytes of an identifier.
const IDENTIFIER_BYTES: usize = 32;

impl ByteDisk {
    /// Whether there is a journal to damage, and nothing is damaged yet.
    fn is_sound(&self) -> bool {
        let extents = self.extents();
        let contiguous = extents.windows(2).all(|pair| {
            pair[0].place.next() == pair[1].place
                && pair[0].offset + pair[0].bytes == pair[1].offset
        });
        let end = extents.last().map(|last| last.offset + last.bytes);
        let held = self.generations.last_key_value().map_or(0, |(_, areas)| areas.steps.len());
        !self.is_ailing() && contiguous && end.is_some_and(|end| end <= held)
    }

    /// Damages the disk of a replica that is down; whether there was enough on it to damage.
    /// `other` is the disk that is attached in its place by [`DiskFault::Swapped`].
    pub(crate) fn damage(
        &mut self,
        fault: DiskFault,
        other: Option<&Self>,
        dice: &mut Dice,
    ) -> bool {
        match fault {
            DiskFault::RotFirst | DiskFault::RotMiddle | DiskFault::RotLast => {
                self.rot(fault, dice)
            }
            DiskFault::Misplaced => self.misplace(dice),
            DiskFault::Identity => {
                // From sound copies: damage on top of damage might undo it.
                self.identity_area = journal::format_identity(&self.identity);
                self.damage_identity(0, dice);
                self.damage_identity(IDENTITY_COPY_BYTES, dice);
                true
            }
            DiskFault::Emptied => {
                self.identity_area.clear();
                self.generations.clear();
                true
            }
            DiskFault::Swapped => {
                let Some(other) = other else { return false };
                self.identity_area.clone_from(&other.identity_area);
                self.generations.clone_from(&other.generations);
                true
            }
            DiskFault::LostSync | DiskFault::ForgetsTail => false,
        }
    }

    /// Flips some bits of a durable step whose identifier is there.
    fn rot(&mut self, fault: DiskFault, dice: &mut Dice) -> bool {
        let extents = self.extents();
        if extents.is_empty() || !self.is_sound() {
            return false;
        }
        let victim = match fault {
            DiskFault::RotFirst => 0,
            DiskFault::RotLast => extents.len() - 1,
            _ if extents.len() < 3 => return false,
            _ => 1 + dice.index(extents.len() - 2),
        };
        let extent = extents[victim];
        let Some(mut areas) = self.generations.last_entry() else { return false };
        let at = extent.offset + dice.index(extent.bytes);
        areas.get_mut().steps[at] ^= 1 + dice.below(255) as u8;
        true
    }

    /// Writes one step over another.
    fn misplace(&mut self, dice: &mut Dice) -> bool {
        let extents = self.extents();
        if extents.len() < 2 || !self.is_sound() {
            return false;
        }
        let from = dice.index(extents.len());
        let to = (from + 1 + dice.index(extents.len() - 1)) % extents.len();
        let (from, to) = (extents[from], extents[to]);
        let Some(mut areas) = self.generations.last_entry() else { return false };
        let steps = &mut areas.get_mut().steps;
        let stray = steps[from.offset..from.offset + from.bytes].to_vec();
        put(steps, to.offset, &stray);
        true
    }

    fn damage_identity(&mut self, copy: usize, dice: &mut Dice) {
        let at = copy + dice.index(IDENTITY_BYTES);
        if let Some(byte) = self.identity_area.get_mut(at) {
            *byte ^= 1 + dice.below(255) as u8;
        }
    }

    /// Damages what can be mended: one copy of the identity, or an identifier of a whole step.
    pub(crate) fn damage_mendable(&mut self, dice: &mut Dice) {
        if dice.chance(500_000) {
            let copy = if dice.chance(500_000) { 0 } else { IDENTITY_COPY_BYTES };
            self.damage_identity(copy, dice);
            self.ail();
            return;
        }
        let count = self.extents().len();
        if count == 0 || !self.is_sound() {
            return;
        }
        let at = dice.index(count) * IDENTIFIER_BYTES + dice.index(IDENTIFIER_BYTES);
        if let Some(mut areas) = self.generations.last_entry() {
            areas.get_mut().identifiers[at] ^= 1 + dice.below(255) as u8;
            self.ail();
        }
    }
}

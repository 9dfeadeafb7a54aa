//! What a Byzantine replica does.
//!
//! The replica runs the real protocol; what it says is changed on the way out, with its own valid
//! proofs ([`Behaviour::Forge`] excepted). Whatever it does, honest replicas must stay in
//! agreement, and with at most f of them the group must make progress.

use quorate_smr::protocol::Protocol;
use serde::{Deserialize, Serialize};

use crate::dice::Dice;
use crate::event::{Content, Parcel};

/// How a Byzantine replica misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Behaviour {
    /// Says nothing at all.
    Mute,
    /// Speaks to some replicas only, and not always to the same.
    Selective,
    /// As primary, proposes different batches to different backups.
    Equivocate,
    /// Runs twice with one identity; each half hears and answers some of the others.
    Twins,
    /// Sends messages of its own again, much later.
    Replay,
    /// Changes messages after their proof was made.
    Forge,
    /// Lies in what it signs: certificates withheld, another choice in a new view, a checkpoint of
    /// another state.
    Lie,
}

impl Behaviour {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Mute,
        Self::Selective,
        Self::Equivocate,
        Self::Twins,
        Self::Replay,
        Self::Forge,
        Self::Lie,
    ];

    /// One of them.
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        *dice.pick(&Self::ALL)
    }
}

/// Changes one bit of a sealed message; `None` when the result is not a message at all.
pub(crate) fn forge<P: Protocol>(parcel: &Parcel<P>, dice: &mut Dice) -> Option<Parcel<P>> {
    let Content::Sealed(sealed) = &parcel.content else { return None };
    let mut bytes = postcard::to_stdvec(sealed).ok()?;
    let bit = dice.index(bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    let forged = postcard::from_bytes(&bytes).ok().filter(|forged| forged != sealed)?;
    Some(Parcel { content: Content::Sealed(forged), ..parcel.clone() })
}

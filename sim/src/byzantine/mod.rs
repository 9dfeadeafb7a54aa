//! What a Byzantine replica does, and what misbehaving clients do.
//!
//! The replica runs the real protocol; what it says is changed on the way out, with its own valid
//! proofs ([`Behaviour::Forge`] and [`Behaviour::PartlyProven`] excepted). Whatever it does, honest
//! replicas must stay in agreement, and with at most f of them the group must make progress.
//! `speech` carries the behaviours out; `clients` is the other hostile side.

mod clients;
mod speech;

use quorate_smr::protocol::Protocol;
use serde::{Deserialize, Serialize};

pub use clients::Mischief;
pub(crate) use clients::Rogue;
pub(crate) use speech::Speakers;

use crate::dice::Dice;
use crate::event::{Content, Parcel};
use crate::fault::FaultKind;

/// How a Byzantine replica misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
    /// Says what it says in other views and for other slots: stale, early, absurdly late.
    Stale,
    /// Makes authenticators that are right for some receivers only.
    PartlyProven,
    /// Withholds or forges the certificates in view changes, new views and state transfers.
    FalseCertificates,
    /// Signs one checkpoint for half of the others, and another one for the rest.
    TwoCheckpoints,
    /// As primary, serves only some: proposals reach some backups, all else reaches everyone.
    ServeSome,
    /// Delays everything to just below the time after which it would be suspected.
    Slow,
    /// Gives nothing that it is asked for (bodies, claims, proofs, state), and leaves someone out
    /// when it proposes, so that there is something to ask for.
    Withhold,
    /// Proposes requests that no client made, and passes off other bodies under a digest.
    Invent,
    /// Crashes now and then and forgets its journal.
    Amnesia,
    /// Acts in concert: the primary tells two halves of the honest replicas two stories, and every
    /// colluder votes for the one that its listener was told.
    Collude,
    /// Does one thing of what it says and one of how it sends, others every half second.
    Shifting,
}

impl Behaviour {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Mute,
        Self::Selective,
        Self::Equivocate,
        Self::Twins,
        Self::Replay,
        Self::Forge,
        Self::Lie,
        Self::Stale,
        Self::PartlyProven,
        Self::FalseCertificates,
        Self::TwoCheckpoints,
        Self::ServeSome,
        Self::Slow,
        Self::Withhold,
        Self::Invent,
        Self::Amnesia,
        Self::Collude,
        Self::Shifting,
    ];

    /// One of them.
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        *dice.pick(&Self::ALL)
    }

    /// The kind of fault that it counts as.
    #[must_use]
    pub const fn fault(self) -> FaultKind {
        match self {
            Self::Mute => FaultKind::Mute,
            Self::Selective => FaultKind::Selective,
            Self::Equivocate => FaultKind::Equivocate,
            Self::Twins => FaultKind::Twin,
            Self::Replay => FaultKind::Replay,
            Self::Forge => FaultKind::Forge,
            Self::Lie => FaultKind::Lie,
            Self::Stale => FaultKind::Stale,
            Self::PartlyProven => FaultKind::PartlyProven,
            Self::FalseCertificates => FaultKind::FalseCertificate,
            Self::TwoCheckpoints => FaultKind::TwoCheckpoints,
            Self::ServeSome => FaultKind::ServesSome,
            Self::Slow => FaultKind::SlowSpeaker,
            Self::Withhold => FaultKind::Withheld,
            Self::Invent => FaultKind::Invention,
            Self::Amnesia => FaultKind::Amnesia,
            Self::Collude => FaultKind::Collusion,
            Self::Shifting => FaultKind::Shift,
        }
    }
}

/// What kind of thing a message is, as far as it matters to a liar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// Assigns a slot.
    Proposal,
    /// Votes in a slot.
    Vote,
    /// Answers what a peer lacks.
    Answer,
    /// Anything else.
    Other,
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

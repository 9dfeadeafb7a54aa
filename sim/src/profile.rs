//! What a share of the runs is aimed at.
//!
//! The swarm draws every fault by itself, so that a defect which needs several of them together, in
//! a row, is met seldom. A profile turns the drawn plan towards one such situation; most runs have
//! none. Profiles have dice of their own: which runs get one shifts no other draw.

use crate::dice::Dice;
use crate::plan::{LoadPlan, MS, Plan};

/// The part of the run's randomness that draws the profile.
const PART_PROFILE: u64 = 41;
/// Runs with short reigns, in parts of a million.
const SHORT_REIGNS_PPM: u64 = 80_000;
/// Runs with more clients than sessions, in parts of a million.
const CROWDED_PPM: u64 = 60_000;
/// Runs with late requests, in parts of a million.
const LATE_PPM: u64 = 40_000;
/// The mean time that a late request travels, in nanoseconds.
const LATE_NS: u64 = 100 * MS;
/// The longest that a hunted leader of a short reign leads, in nanoseconds.
const REIGN_NS: u64 = 15 * MS;

/// A situation that a plan is turned towards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Leaders fall soon after their election, many times in a row, while many clients read: what a
    /// new leader does not know yet matters.
    ShortReigns,
    /// More clients than sessions, and impatient ones: sessions expire while requests are retried.
    CrowdedSessions,
    /// Requests that travel for longer than their clients wait, so that old copies of them arrive
    /// after newer requests of the same client.
    LateRequests,
}

impl Profile {
    /// What `seed` draws.
    #[must_use]
    pub fn draw(seed: u64) -> Option<Self> {
        let drawn = Dice::new(seed, PART_PROFILE).below(1_000_000);
        if drawn < SHORT_REIGNS_PPM {
            Some(Self::ShortReigns)
        } else if drawn < SHORT_REIGNS_PPM + CROWDED_PPM {
            Some(Self::CrowdedSessions)
        } else if drawn < SHORT_REIGNS_PPM + CROWDED_PPM + LATE_PPM {
            Some(Self::LateRequests)
        } else {
            None
        }
    }

    /// Turns `plan` towards it.
    pub fn aim(self, plan: &mut Plan) {
        match self {
            Self::ShortReigns => {
                plan.nemesis.hunt_ppm = 900_000;
                plan.nemesis.hunt_ns = plan.nemesis.hunt_ns.min(REIGN_NS);
                plan.network.loss_ppm = plan.network.loss_ppm.max(100_000);
                plan.network.reorder_ppm = plan.network.reorder_ppm.max(100_000);
                plan.load = LoadPlan {
                    clients: plan.load.clients.max(5),
                    think_ns: plan.load.think_ns.min(2 * MS),
                    readers_ppm: 300_000,
                    ordered_read_ppm: 0,
                    patience_percent: 15,
                    ..plan.load
                };
            }
            Self::CrowdedSessions => {
                let clients = plan.load.clients.max(4);
                plan.load = LoadPlan {
                    clients,
                    sessions_max: clients - 1,
                    readers_ppm: 0,
                    patience_percent: 15,
                    ..plan.load
                };
                plan.network.loss_ppm = plan.network.loss_ppm.max(50_000);
            }
            Self::LateRequests => {
                plan.client_delay_ns.1 = LATE_NS;
                plan.network.duplicate_ppm = plan.network.duplicate_ppm.max(100_000);
                plan.load = LoadPlan { readers_ppm: 0, patience_percent: 15, ..plan.load };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_runs_have_no_profile_and_each_profile_is_drawn() {
        let count = |wanted: Option<Profile>| {
            (0..2_000).filter(|seed| Profile::draw(*seed) == wanted).count()
        };
        assert!(count(None) > 1_600);
        assert!(count(Some(Profile::ShortReigns)) > 100);
        assert!(count(Some(Profile::CrowdedSessions)) > 70);
        assert!(count(Some(Profile::LateRequests)) > 40);
    }
}

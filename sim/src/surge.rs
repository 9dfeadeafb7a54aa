//! Surges: additional clients that ask without a pause for a while, far beyond the capacity.
//!
//! They have keys of their own, a few clients to a key, so that their histories stay cheap to check;
//! what the checker gives up on all the same is counted. When the surge or the faults are over they
//! finish what they have in flight and stop.

use crate::client::Doing;
use crate::fault::FaultKind;
use crate::inspect::Inspect;
use crate::plan::MS;
use crate::world::{Phase, World};

/// Surging clients that share a key.
pub(crate) const CLIENTS_PER_KEY: usize = 4;
/// Within what time surging clients begin, in nanoseconds.
const BEGIN_NS: u64 = 2 * MS;

impl<P: Inspect> World<P> {
    /// Clients of this run, those of surges included.
    pub(crate) fn clients_planned(&self) -> usize {
        let rough = &self.plan.turbulence;
        let surging = if rough.surge.is_on() { rough.surge_clients } else { 0 };
        self.plan.load.clients + surging
    }

    /// Lets the surging clients begin; those of the last surge go on.
    pub(crate) fn surge(&mut self, length_ns: u64) {
        if !self.faults.strikes(FaultKind::Surge) {
            return;
        }
        let until_ns = self.now_ns + self.storm_dice.long_tail(length_ns).max(1);
        self.note(|| format!("a surge of clients until {until_ns} ns"));
        for index in self.plan.load.clients..self.clients.len() {
            let client = &mut self.clients[index];
            client.surges_until = Some(until_ns);
            if matches!(client.doing, Doing::Stopped) {
                client.doing = Doing::Idle;
                let wait = client.dice.below(BEGIN_NS);
                self.arm_client(index, wait);
            }
        }
    }

    /// Whether a surging client has asked enough; `None` for a usual client.
    pub(crate) fn surged_enough(&self, index: usize) -> Option<bool> {
        let until_ns = self.clients[index].surges_until?;
        Some(self.phase != Phase::Faults || self.now_ns >= until_ns)
    }
}

//! Clients that ask by themselves while a script lets things happen, and when they were answered.
//!
//! [`Scene::open_for_business`] lets every client of the plan ask at its own pace, repeat itself and
//! follow redirections as in a run of the swarm; the script goes on beside them. What faults do to
//! the service shows in the times of the answers.

use crate::client::Doing;
use crate::inspect::Inspect;
use crate::plan::MS;
use crate::scene::script::SlowDisk;
use crate::scene::{Scene, SceneBuilder};

impl<P: Inspect> SceneBuilder<P> {
    /// Keeps no trace: failures do not show how they came about, and the scene runs several times
    /// as fast.
    pub fn untraced(mut self) -> Self {
        self.untraced = true;
        self
    }
}

/// Load.
impl<P: Inspect> Scene<P> {
    /// From now on the clients ask by themselves, as the plan's load says, until the scene settles.
    pub fn open_for_business(&mut self) {
        self.script().clients_ask = true;
        for client in 0..self.world.clients.len() {
            // Out of step with one another.
            let spread = self.world.plan.load.think_ns.max(1);
            let wait = self.world.clients[client].dice.below(spread);
            self.world.arm_client(client, wait);
        }
    }

    /// When each answer came that a client took for its operation, in nanoseconds since the start,
    /// in order.
    #[must_use]
    pub fn answered_ns(&self) -> &[u64] {
        self.world.script.as_ref().map_or(&[], |script| &script.answered_ns)
    }

    /// Operations so far that were answered only after their client had asked again.
    #[must_use]
    pub fn repeated(&self) -> u64 {
        self.world.script.as_ref().map_or(0, |script| script.repeated)
    }

    /// Operations that wait for an answer at present.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let asks = |doing: &Doing| matches!(doing, Doing::Asking { .. });
        self.world.clients.iter().filter(|client| asks(&client.doing)).count()
    }

    /// Virtual time since the start, in nanoseconds.
    #[must_use]
    pub const fn now_ns(&self) -> u64 {
        self.world.now_ns
    }

    /// Whether the history was so tangled that the checker gave up on it when the scene settled: then
    /// nothing is proven.
    #[must_use]
    pub const fn is_undecided(&self) -> bool {
        self.world.counters.gave_up_check
    }
}

/// Faults under load.
impl<P: Inspect> Scene<P> {
    /// Each sync of the replica's disk takes `ms` milliseconds longer.
    pub fn slow_disk(&mut self, replica: usize, ms: u64) {
        self.world.note(|| format!("-- the disk of r{replica} takes {ms} ms longer"));
        let slow = SlowDisk { extra_ns: ms * MS, due: None };
        self.script().slow_disks.insert(replica, slow);
    }

    /// A replica that the plan makes Byzantine behaves well until [`Scene::misbehave`].
    pub fn behave(&mut self, replica: usize) {
        self.world.nodes[replica].byzantine = None;
    }

    /// A replica that the plan makes Byzantine does what the plan says from now on. The invariants do
    /// not apply to it any more.
    pub fn misbehave(&mut self, replica: usize) {
        let planned = self.world.plan.byzantine.iter().find(|(id, _)| usize::from(*id) == replica);
        let behaviour = planned.map(|(_, behaviour)| *behaviour);
        self.world.note(|| format!("-- r{replica} turns {behaviour:?}"));
        self.world.nodes[replica].byzantine = behaviour;
    }
}

impl SlowDisk {
    /// When the sync that ends at `now_ns` really ends; `None`: now.
    pub(crate) fn delay(&mut self, now_ns: u64) -> Option<u64> {
        if self.due.take() == Some(now_ns) {
            return None;
        }
        let due = now_ns + self.extra_ns;
        self.due = Some(due);
        Some(due)
    }
}

impl<P: Inspect> crate::scene::Script<P> {
    /// Notes that a client's operation was answered after so many attempts.
    pub(crate) fn answered(&mut self, now_ns: u64, attempts: u32) {
        self.answered_ns.push(now_ns);
        self.repeated += u64::from(attempts > 1);
    }
}

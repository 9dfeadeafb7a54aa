//! What a script does to links beyond cutting them, to clocks, and to load.

use crate::graphs::Graph;
use crate::inspect::Inspect;
use crate::options::Options;
use crate::outcome::{Outcome, simulate};
use crate::plan::MS;
use crate::scene::{Scene, SceneBuilder};

impl<P: Inspect> SceneBuilder<P> {
    /// Runs without a script: clients ask by themselves, as the plan says, and at the end the run is
    /// healed like any other.
    pub fn simulate(self) -> Outcome {
        let options = Options::<P> {
            plan: Some(self.plan),
            config: Some(self.config),
            ..Options::new(self.replicas)
        };
        simulate(&options, self.seed)
    }
}

/// Links, clocks and load.
impl<P: Inspect> Scene<P> {
    /// Leaves only the links of `graph`, for a leader and a replica in the middle.
    pub fn shape(&mut self, graph: Graph, leader: usize, hub: usize) {
        self.mend_all();
        for (from, to) in graph.cuts(self.replicas(), leader, hub) {
            self.cut(from, to);
        }
    }

    /// The link holds what is sent for `ms` milliseconds and lets it go at once: as many messages as
    /// the plan's turbulence says; the others are lost.
    pub fn clog(&mut self, from: usize, to: usize, ms: u64) {
        let until_ns = self.world.now_ns + ms * MS;
        self.world.note(|| format!("-- r{from} ... r{to} for {ms} ms"));
        self.world.network.clog(from, to, until_ns);
    }

    /// The replica's clock jumps forward by `ms` milliseconds.
    pub fn step_clock(&mut self, replica: usize, ms: u64) {
        self.world.note(|| format!("-- the clock of r{replica} jumps by {ms} ms"));
        self.world.nodes[replica].clock.step(ms * MS);
        self.world.schedule_tick(replica);
    }

    /// The longest time that a client of this protocol should wait before it asks again, in
    /// milliseconds: one or two election timeouts, the longest that can be drawn.
    #[must_use]
    pub fn longest_wait_ms(&self) -> u64 {
        P::retry_after(&self.world.config).as_millis() as u64
    }

    /// Requests refused so far because a window or a buffer was full.
    #[must_use]
    pub const fn refused_busy(&self) -> u64 {
        self.world.counters.refused_busy
    }
}

//! What is measured: each metric with its name, its unit and its direction.

use serde::{Deserialize, Serialize};

/// A measured quantity. The order is the order of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Commands answered in a second, closed loop.
    Throughput,
    /// Median latency from the intended send time, open loop at low load.
    LatencyP50,
    /// 99th percentile of the same.
    LatencyP99,
    /// CPU time of the whole process (clients included) for a million commands.
    Cpu,
    /// Bytes between replicas for each command.
    WireBytes,
    /// Messages between replicas for each command.
    Messages,
    /// Commands in a batch, on average.
    Batch,
    /// Items handed over in a second (queues).
    Rate,
    /// One hand-over from thread to thread (queues).
    HandOver,
    /// One push and one pop by a thread alone (queues).
    PairTime,
    /// Median of the round trips between two threads (queues).
    RoundTripP50,
    /// 99th percentile of the same.
    RoundTripP99,
    /// Resident memory above the start with a whole burst inside (queues).
    MemoryPeak,
    /// The same after the burst.
    MemoryLeft,
    /// Messages and pieces of work that crossed from one thread of a cluster to another, per command.
    HandedOver,
    /// How often a thread of a cluster was woken, per thousand commands.
    Wakeups,
    /// The load of the most loaded node over the mean (balancers).
    Imbalance,
    /// Keys with another node after one joined (placements).
    MovedJoin,
    /// Keys with another node after one left (placements).
    MovedLeave,
    /// One choice of a node (balancers).
    LookupTime,
    /// What servers behind a balancer sustain, closed loop.
    Sustained,
    /// Median response time behind a balancer, open loop.
    ServiceP50,
    /// 99th percentile of the same.
    ServiceP99,
    /// Nodes with less than half of the mean load (balancers).
    NodesBelow50,
    /// Nodes with 50 % to 90 % of it.
    NodesBelow90,
    /// Nodes with 90 % to 110 % of it.
    NodesNear,
    /// Nodes with 110 % to 150 % of it.
    NodesAbove110,
    /// Nodes with more than 150 % of it.
    NodesAbove150,
    /// The longest time without an answer to anybody, after a fault.
    Outage,
    /// Commands that were answered only after they had been asked for again.
    Repeated,
    /// Commands that had no answer when the watch after a fault ended.
    Unanswered,
    /// Raw bytes of batches over their bytes as sent.
    CompressionRatio,
    /// The share of the time in which the leader's host was busy (virtual time).
    LeaderBusy,
    /// 90th percentile of the latencies from the intended send time.
    LatencyP90,
    /// 99.9th percentile of the same.
    LatencyP999,
    /// The longest of them.
    LatencyMax,
    /// How many there are.
    LatencySamples,
    /// Operations due in a second, open loop.
    Offered,
    /// Operations answered in a second while the schedule lasted, open loop.
    Achieved,
    /// CPU time of the replicas' threads alone for a million commands, closed loop.
    WorkerCpu,
}

impl Metric {
    /// All metrics in the order of columns.
    pub const ALL: [Self; 40] = [
        Self::Throughput,
        Self::LatencyP50,
        Self::LatencyP99,
        Self::Cpu,
        Self::WireBytes,
        Self::Messages,
        Self::Batch,
        Self::Rate,
        Self::HandOver,
        Self::PairTime,
        Self::RoundTripP50,
        Self::RoundTripP99,
        Self::MemoryPeak,
        Self::MemoryLeft,
        Self::HandedOver,
        Self::Wakeups,
        Self::Imbalance,
        Self::MovedJoin,
        Self::MovedLeave,
        Self::LookupTime,
        Self::Sustained,
        Self::ServiceP50,
        Self::ServiceP99,
        Self::NodesBelow50,
        Self::NodesBelow90,
        Self::NodesNear,
        Self::NodesAbove110,
        Self::NodesAbove150,
        Self::Outage,
        Self::Repeated,
        Self::Unanswered,
        Self::CompressionRatio,
        Self::LeaderBusy,
        Self::LatencyP90,
        Self::LatencyP999,
        Self::LatencyMax,
        Self::LatencySamples,
        Self::Offered,
        Self::Achieved,
        Self::WorkerCpu,
    ];

    /// The name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::LatencyP50 => "latency_p50",
            Self::LatencyP99 => "latency_p99",
            Self::Cpu => "cpu",
            Self::WireBytes => "wire_bytes",
            Self::Messages => "messages",
            Self::Batch => "batch",
            Self::Rate => "rate",
            Self::HandOver => "hand_over",
            Self::PairTime => "pair_time",
            Self::RoundTripP50 => "round_trip_p50",
            Self::RoundTripP99 => "round_trip_p99",
            Self::MemoryPeak => "memory_peak",
            Self::MemoryLeft => "memory_left",
            Self::HandedOver => "handed_over",
            Self::Wakeups => "wakeups",
            Self::Imbalance => "imbalance",
            Self::MovedJoin => "moved_join",
            Self::MovedLeave => "moved_leave",
            Self::LookupTime => "lookup_time",
            Self::Sustained => "sustained",
            Self::ServiceP50 => "service_p50",
            Self::ServiceP99 => "service_p99",
            Self::NodesBelow50 => "nodes_below_50",
            Self::NodesBelow90 => "nodes_below_90",
            Self::NodesNear => "nodes_near",
            Self::NodesAbove110 => "nodes_above_110",
            Self::NodesAbove150 => "nodes_above_150",
            Self::Outage => "outage",
            Self::Repeated => "repeated",
            Self::Unanswered => "unanswered",
            Self::CompressionRatio => "compression_ratio",
            Self::LeaderBusy => "leader_busy",
            Self::LatencyP90 => "latency_p90",
            Self::LatencyP999 => "latency_p999",
            Self::LatencyMax => "latency_max",
            Self::LatencySamples => "latency_samples",
            Self::Offered => "offered",
            Self::Achieved => "achieved",
            Self::WorkerCpu => "worker_cpu",
        }
    }

    /// The unit in files.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Throughput => "commands/s",
            Self::LatencyP50
            | Self::LatencyP99
            | Self::LatencyP90
            | Self::LatencyP999
            | Self::LatencyMax => "us",
            Self::LatencySamples => "requests",
            Self::Offered | Self::Achieved => "operations/s",
            Self::Cpu | Self::WorkerCpu => "s/million commands",
            Self::WireBytes => "bytes/command",
            Self::Messages => "messages/command",
            Self::Batch => "commands/batch",
            Self::Rate => "items/s",
            Self::HandOver
            | Self::PairTime
            | Self::RoundTripP50
            | Self::RoundTripP99
            | Self::LookupTime => "ns",
            Self::MemoryPeak | Self::MemoryLeft => "bytes",
            Self::HandedOver => "hand-overs/command",
            Self::Wakeups => "wake-ups/thousand commands",
            Self::Imbalance => "max/mean",
            Self::MovedJoin | Self::MovedLeave => "% of keys",
            Self::Sustained => "% of capacity",
            Self::ServiceP50 | Self::ServiceP99 => "service times",
            Self::NodesBelow50
            | Self::NodesBelow90
            | Self::NodesNear
            | Self::NodesAbove110
            | Self::NodesAbove150 => "% of nodes",
            Self::Outage => "ms",
            Self::Repeated | Self::Unanswered => "commands",
            Self::CompressionRatio => "raw/sent",
            Self::LeaderBusy => "share",
        }
    }

    /// The metric of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_found_again() {
        for metric in Metric::ALL {
            assert_eq!(Metric::from_name(metric.name()), Some(metric));
        }
        assert_eq!(Metric::from_name("speed"), None);
    }
}

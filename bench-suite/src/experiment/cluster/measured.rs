//! From what a repetition counted to its figures.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_runtime::report::WorkerReport;
use quorate_runtime::{ClusterStatus, NodeReport};

use super::demand::Demand;
use crate::experiment::load::Tally;
use crate::metric::Metric;

/// What was measured, before it is verified.
pub(super) struct Measured {
    pub(super) tally: Tally,
    /// CPU time of the process in the measured time.
    pub(super) cpu: Duration,
    /// The cluster when the measured time began.
    pub(super) before: ClusterStatus,
    /// The cluster when it ended.
    pub(super) after: ClusterStatus,
}

impl Measured {
    pub(super) fn values(&self, demand: Demand<'_>) -> BTreeMap<Metric, f64> {
        let mut values = self.latency_values();
        let commands = self.tally.measured as f64;
        if commands == 0.0 {
            return values;
        }
        match demand {
            Demand::Closed(load) => {
                values.insert(Metric::Throughput, commands / load.measured.as_secs_f64());
                values.insert(Metric::Cpu, self.cpu.as_secs_f64() / commands * 1e6);
                if let Some(cpu) = self.worker_cpu() {
                    values.insert(Metric::WorkerCpu, cpu.as_secs_f64() / commands * 1e6);
                }
            }
            Demand::Open(schedule) => {
                values.insert(Metric::Offered, schedule.per_second);
                values.insert(Metric::Achieved, commands / schedule.measured.as_secs_f64());
            }
        }
        values.insert(Metric::Messages, self.delta(|node| node.protocol.messages_sent) / commands);
        let wire_bytes = self.delta(|node| node.protocol.wire_bytes);
        if wire_bytes > 0.0 {
            values.insert(Metric::WireBytes, wire_bytes / commands);
        }
        let batches = self.delta(|node| node.protocol.batches);
        if batches > 0.0 {
            values.insert(Metric::Batch, self.delta(|node| node.protocol.requests) / batches);
        }
        let threads = |count: fn(&WorkerReport) -> u64| {
            let sum = |status: &ClusterStatus| status.workers.iter().map(count).sum::<u64>();
            sum(&self.after).saturating_sub(sum(&self.before)) as f64
        };
        values.insert(Metric::HandedOver, threads(|worker| worker.handed_over) / commands);
        values.insert(Metric::Wakeups, threads(|worker| worker.wakeups) / commands * 1e3);
        values
    }

    fn latency_values(&self) -> BTreeMap<Metric, f64> {
        let mut latencies = self.tally.latencies.clone();
        latencies.sort_unstable();
        let percentiles = [
            (Metric::LatencyP50, 0.5),
            (Metric::LatencyP90, 0.9),
            (Metric::LatencyP99, 0.99),
            (Metric::LatencyP999, 0.999),
            (Metric::LatencyMax, 1.0),
        ];
        let value = |(metric, share)| Some((metric, percentile(&latencies, share)?));
        let mut values: BTreeMap<Metric, f64> = percentiles.into_iter().filter_map(value).collect();
        if !latencies.is_empty() {
            values.insert(Metric::LatencySamples, latencies.len() as f64);
        }
        values
    }

    /// What `count` grew by over all replicas in the measured time.
    fn delta(&self, count: fn(&NodeReport) -> u64) -> f64 {
        let sum = |status: &ClusterStatus| status.nodes.iter().map(count).sum::<u64>();
        sum(&self.after).saturating_sub(sum(&self.before)) as f64
    }

    /// What the threads of the replicas used meanwhile; `None` where the system does not tell.
    fn worker_cpu(&self) -> Option<Duration> {
        let sum = |status: &ClusterStatus| -> Option<Duration> {
            status.workers.iter().map(|worker| worker.cpu).sum()
        };
        Some(sum(&self.after)?.saturating_sub(sum(&self.before)?))
    }
}

/// The value in µs that `share` of the sorted latencies do not exceed.
pub(super) fn percentile(sorted: &[Duration], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    Some(sorted.get(rank.max(1) - 1)?.as_secs_f64() * 1e6)
}

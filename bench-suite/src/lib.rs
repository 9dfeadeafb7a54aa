//! Benches, experiments and the published comparison.
//!
//! `cargo compare` runs the [`experiment`]s in real time inside one process, verifies every
//! repetition, writes a [`run`] folder and generates the [`report`] from it. `cargo bench` runs the
//! criterion benches beside this crate. This library holds what both share.
//!
//! | module | what it holds |
//! |---|---|
//! | [`mod@compare`] | what the program does |
//! | [`workload`] | commands, generated before anything is measured |
//! | [`experiment`] | what is measured, how it is verified, and the order of repetitions |
//! | [`stats`] | medians, bootstrap intervals, paired ratios |
//! | [`contest`] | in each scenario of the queues, our best against the others' best |
//! | [`latency`] | latencies as HDR histograms, and the logs that keep them |
//! | [`rivals`] | in each case of `peers`, each protocol against each library of its kind |
//! | [`metric`], [`run`], [`rows`] | samples, their folder, and the rows that follow from them |
//! | [`report`] | `README.md`, the page and its plots, all from a run folder |
//! | [`instructions`] | instruction counts of the hot paths, compared with baselines |
//! | [`verify`] | whether what is published follows from its run folder |
//! | [`core_loop`] | protocol cores as plain values, for benches |
//! | [`partial`], [`progress`] | a run that is not complete yet, and how long it still takes |
//! | [`peers`] | other libraries' cores, and ours, behind one interface on one thread |
//! | [`machine`] | the machine's facts, CPU clocks, other processes' share |

#![forbid(unsafe_code)]

pub mod compare;
pub mod contest;
pub mod core_loop;
pub mod error;
pub mod experiment;
pub mod instructions;
pub mod latency;
pub mod machine;
pub mod metric;
pub mod partial;
pub mod peers;
pub mod progress;
pub mod report;
pub mod rivals;
pub mod rows;
pub mod run;
pub mod stats;
#[cfg(test)]
mod testing;
pub mod verify;
pub mod workload;

pub use error::BenchError;

/// The examples of the workspace's README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

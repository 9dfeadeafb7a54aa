//! Benches, experiments and the published comparison.

#![forbid(unsafe_code)]

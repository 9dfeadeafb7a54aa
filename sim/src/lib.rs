//! Deterministic simulation with faults, invariants and a linearizability checker.

#![forbid(unsafe_code)]

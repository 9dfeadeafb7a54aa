//! Practical Byzantine fault tolerance as a pure state machine.

#![forbid(unsafe_code)]

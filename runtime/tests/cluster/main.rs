//! Whole clusters on real threads. No verdict depends on timing: tests wait on conditions, with a
//! deadline that only something broken reaches.

#![allow(clippy::unwrap_used, reason = "a test may panic; clippy exempts only #[test] functions")]

mod common;
mod end_to_end;
mod faults;
mod limits;

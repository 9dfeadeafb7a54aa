//! The primitives under everything that is concurrent here: the standard ones and `parking_lot`
//! in a normal build, a checker's under `--cfg loom` and `--cfg shuttle`, and the standard ones
//! with a hook before every access under `--cfg stepped`.
//!
//! What always holds: concurrent code of this crate takes atomics, cells, locks and yields from
//! here and nowhere else, so that a checker sees every step of the code that ships.
//! Left to others: what the primitives are used for.
//!
//! # Named orderings and planted defects
//! An ordering that a model guards is written `order("ring.publish", Release)`, a step whose
//! omission a model finds stands behind `planted("ring.free-before-read")`. In a normal build the
//! first is its argument and the second is false, both constant. Under a checker the test of the
//! mutants weakens one name at a time and expects a model to fail.

#[cfg(loom)]
mod loom;
#[cfg(not(any(loom, shuttle, stepped)))]
mod native;
#[cfg(not(loom))]
mod plain;
#[cfg(all(shuttle, not(loom)))]
mod shuttle;
#[cfg(all(stepped, not(any(loom, shuttle))))]
pub(crate) mod stepped;

#[cfg(loom)]
pub(crate) use self::loom::*;
#[cfg(not(any(loom, shuttle, stepped)))]
pub(crate) use self::native::*;
#[cfg(all(shuttle, not(loom)))]
pub(crate) use self::shuttle::*;
#[cfg(all(stepped, not(any(loom, shuttle))))]
pub(crate) use self::stepped::*;

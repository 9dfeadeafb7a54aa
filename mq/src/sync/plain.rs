//! What builds without loom have in common.

use std::cell;

/// Follows a SeqCst access that takes part in a store-then-load handshake. The access alone
/// suffices on hardware and in the language's model, so that this costs nothing; loom
/// treats SeqCst accesses as acquire-release and needs the fence spelled out. It stands right
/// behind the access, so that later stores (a publication) are as unordered as they ship.
#[inline(always)]
pub(crate) fn seq_cst_access_fence() {}

/// Whether the defect of this name is planted: never, here.
#[cfg(not(shuttle))]
#[inline(always)]
pub(crate) const fn planted(_name: &'static str) -> bool {
    false
}

/// A cell with loom's closure interface.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct UnsafeCell<T>(cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

//! Asks the memory system for a cache line before it is needed, for writing.
//!
//! What always holds: no effect on what any thread sees; where it is not known how to ask,
//! nothing happens.

/// Asks for the line of `place`, as its only holder; `place` need not be valid.
#[inline(always)]
pub(super) fn prefetch_for_writing<T>(place: *const T) {
    #[cfg(all(target_arch = "x86_64", not(any(loom, miri))))]
    // SAFETY: the instruction neither faults nor changes registers, flags or memory; processors
    // without it take it for a no-op.
    unsafe {
        std::arch::asm!(
            "prefetchw [{}]",
            in(reg) place,
            options(nostack, preserves_flags, readonly)
        );
    }
    #[cfg(all(target_arch = "aarch64", not(any(loom, miri))))]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!(
            "prfm pstl1keep, [{}]",
            in(reg) place,
            options(nostack, preserves_flags, readonly)
        );
    }
    #[cfg(any(loom, miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = place;
}

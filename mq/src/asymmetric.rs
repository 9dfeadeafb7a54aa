//! Fences in pairs of which one side is nearly free: for handshakes in which one thread acts
//! millions of times a second and the other one hardly ever.
//!
//! Two threads that each store and then load what the other one stores need a SeqCst fence
//! between, on both sides, or both may miss the other's store (Dekker's pattern; Attiya et al.,
//! "Laws of Order", POPL 2011, show that no protocol avoids it). Linux can run the fence of one
//! thread *for* all others of the process (`membarrier(2)`, private expedited): so the frequent
//! side keeps its instructions in order for the compiler only ([`Asymmetric::light`]) and the rare
//! side pays one or two microseconds ([`Asymmetric::heavy`]).
//!
//! What always holds: a `light` and a `heavy` behave like two `fence(SeqCst)`. Where the kernel
//! does not offer the call (other systems, old kernels, sandboxes, checkers) both are that fence.
//! Left to others: what is stored and loaded around them.

use crate::sync::{Ordering, fence};

/// Which kind of fences this process uses; copied into each handle, so that the frequent side
/// reads no shared memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asymmetric {
    expedited: bool,
}

impl Asymmetric {
    /// The kind that the system offers; the first call registers the process, a few microseconds.
    pub(crate) fn new() -> Self {
        Self { expedited: expedited::register() }
    }

    /// The frequent side: between its store and its load.
    #[inline(always)]
    pub(crate) fn light(self) {
        if self.expedited {
            // The compiler keeps the order; `heavy` makes the processor keep it.
            std::sync::atomic::compiler_fence(Ordering::SeqCst);
        } else {
            fence(Ordering::SeqCst);
        }
    }

    /// The rare side: between its store and its load. Costs a system call and an interrupt of the
    /// processors that run threads of this process.
    ///
    /// # Panics
    /// When the system refuses what it granted before (a sandbox that was set up later): then
    /// nothing orders the two sides any more.
    #[cold]
    pub(crate) fn heavy(self) {
        fence(Ordering::SeqCst);
        if self.expedited {
            assert!(
                expedited::run(),
                "the system granted membarrier to this process and now refuses"
            );
        }
    }
}

#[cfg(all(target_os = "linux", not(any(loom, shuttle, miri))))]
mod expedited {
    use std::sync::OnceLock;

    use rustix::thread::{MembarrierCommand, membarrier};

    pub(super) fn register() -> bool {
        static REGISTERED: OnceLock<bool> = OnceLock::new();
        *REGISTERED.get_or_init(|| {
            membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok() && run()
        })
    }

    pub(super) fn run() -> bool {
        membarrier(MembarrierCommand::PrivateExpedited).is_ok()
    }
}

#[cfg(not(all(target_os = "linux", not(any(loom, shuttle, miri)))))]
mod expedited {
    pub(super) fn register() -> bool {
        false
    }

    pub(super) fn run() -> bool {
        false
    }
}

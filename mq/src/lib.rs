//! The message path: lock-free bounded MPMC queue, channels, batching, compression, partitioning.

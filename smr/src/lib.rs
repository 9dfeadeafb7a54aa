//! State machine replication: the protocol contract, batches, quorums, sessions, wire format.

#![forbid(unsafe_code)]

//! Hosts replicas of any protocol: workers, queues, journal, client, groups.

#![forbid(unsafe_code)]

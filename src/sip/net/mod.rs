//! Transports: datagrams in and out, nothing of what they mean; and the task that joins them to the core.

pub mod task;
pub mod udp;

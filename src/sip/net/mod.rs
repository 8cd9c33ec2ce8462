//! Transports: datagrams in and out, nothing of what they mean.

pub mod udp;

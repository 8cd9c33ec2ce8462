//! The suite.

mod mutation;
mod sipp;
mod support;
mod tidy;
mod torture;

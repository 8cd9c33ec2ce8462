//! The suite.

mod commands;
mod mutation;
mod sipp;
mod support;
mod tidy;
mod torture;

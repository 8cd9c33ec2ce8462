//! The suite.

mod commands;
mod mutation;
mod openapi;
mod sipp;
mod support;
mod tidy;
mod torture;

//! The suite.

mod api;
mod calls;
mod commands;
mod load;
mod money;
mod mutation;
mod openapi;
mod readme;
mod server;
mod sipp;
mod support;
mod tidy;
mod torture;

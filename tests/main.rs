//! The suite.

mod mutation;
mod tidy;
mod torture;

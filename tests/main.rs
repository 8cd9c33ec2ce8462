//! The suite.

mod tidy;
mod torture;

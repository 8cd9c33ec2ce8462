//! The suite.

mod tidy;

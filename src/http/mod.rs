//! The doors that speak HTTP.
//!
//! `server` listens, bounds and shuts down; `api` is for machines; `softphone` is for phones. Every door says no through `error`.

pub mod api;
pub mod auth;
pub mod error;
pub mod idempotency;
pub mod limits;
pub mod server;
pub mod softphone;

pub use server::{Listener, Peer};

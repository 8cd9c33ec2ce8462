//! Every behaviour of the core that UDP can show, on raw messages at both ends, under a clock that moves only when told.

#[path = "../../../tests/support/audit.rs"]
mod audit;
mod bench;
mod callee;
mod caller;
mod door;
mod forked;
mod inside;
mod login;
mod network;
mod ping;
mod reliable;
mod session;

use bench::{Bench, PEER, header, param, sdp, status};

//! The web doors, over real sockets.

mod softphone;
mod softphone_auth;

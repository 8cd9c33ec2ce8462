//! Stories of calls, over real sockets on this machine, on a clock that is moved by hand.

mod books_fail;
mod callthrough;
mod cancel;
mod carrier_fails;
mod code;
mod credit_runs_out;
mod forked;
mod late_offer;
mod lost;
mod messages;
mod refused;
mod relay;
mod restart;
mod rtpengine;
mod sessions;

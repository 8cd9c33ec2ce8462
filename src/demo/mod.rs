//! The demo: the real service on free ports of this machine, provisioned, called and checked.

mod carrier;
mod ladder;

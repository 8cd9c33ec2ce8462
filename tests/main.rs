//! The suite.

mod admin;
mod api;
mod arrivals;
mod browser;
mod calls;
mod commands;
mod geoip;
mod http;
mod jobs;
mod kill;
mod load;
mod money;
mod mutation;
mod openapi;
mod overspend;
mod people;
mod readme;
mod records;
mod reservations;
mod server;
mod sipp;
mod stats;
mod story;
mod support;
mod tidy;
mod torture;

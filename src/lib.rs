//! callthrough: a prepaid call-through server.

pub mod call;
pub mod callthrough;
pub mod cdr;
pub mod database;
pub mod geoip;
pub mod http;
pub mod jobs;
pub mod ledger;
pub mod rating;
pub mod sdp;
pub mod sip;
pub mod subscriber;
pub mod trunk;
pub mod types;

pub mod b2bua;

pub mod app;
pub mod command;
pub mod config;
pub mod simulate;

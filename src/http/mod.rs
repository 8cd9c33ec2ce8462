//! The doors that speak HTTP.
//!
//! `server` listens, bounds and shuts down; `api` is for machines; `softphone` is for phones. Every door says no through `error`.

pub mod admin;
pub mod api;
pub mod auth;
pub mod caller;
mod deadline;
mod entrance;
pub mod error;
pub mod gate;
pub mod idempotency;
pub mod limits;
pub mod server;
pub mod softphone;
mod store;
pub mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::Router;
use axum::middleware::from_fn;

pub use caller::Caller;
pub use error::Problem;
pub use gate::Gate;
pub use server::{BodyTime, Bounds, Peer, serve};
pub use tls::{Certificates, TlsError};

use crate::b2bua;
use crate::database::Database;
use crate::ledger;
use crate::rating;
use crate::subscriber;
use crate::trace::Trace;
use crate::trunk::Trunks;
use crate::types::{Clock, Random};

/// Settings of the web doors.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// PEM file with the certificate and those that signed it; empty means no TLS.
    pub tls_certificate: PathBuf,
    /// PEM file with its private key.
    pub tls_key: PathBuf,
    /// Connections at once; more wait.
    pub max_connections: usize,
    /// Requests a minute of one key or sign-in to the API; 0 means no bound.
    pub requests_a_minute: u32,
}

impl Default for Config {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 8080));
        Self { listen, tls_certificate: PathBuf::new(), tls_key: PathBuf::new(), max_connections: 4096, requests_a_minute: 600 }
    }
}

impl Config {
    /// How much and how long strangers may take.
    pub fn bounds(&self) -> Bounds {
        Bounds { connections: self.max_connections, ..Bounds::default() }
    }

    /// The certificates, if TLS is wanted.
    pub fn certificates(&self) -> Result<Option<Certificates>, TlsError> {
        if self.tls_certificate.as_os_str().is_empty() && self.tls_key.as_os_str().is_empty() {
            return Ok(None);
        }
        Certificates::load(&self.tls_certificate, &self.tls_key).map(Some)
    }
}

/// What the doors work with. Cheap to clone.
#[derive(Clone)]
pub struct State {
    /// The books.
    pub database: Database,
    /// Time.
    pub clock: Clock,
    /// Chance.
    pub random: Random,
    /// The carriers as calls see them; reloaded after a change.
    pub trunks: Trunks,
    /// What goes over the wire.
    pub trace: Trace,
    /// The price tables; refreshed after an import.
    pub decks: rating::Decks,
    /// Files that may become deck versions.
    pub imports: rating::import::Imports,
    /// Which deck is the default.
    pub rating: rating::Config,
    /// Limits of postings.
    pub ledger: ledger::Config,
    /// How secrets are hashed.
    pub credentials: subscriber::credential::Config,
    /// Seals secrets that must be read again; none without a master key.
    pub sealer: Option<subscriber::Sealer>,
    /// Hotlists and tenants' own rules in memory.
    pub rules: crate::fraud::Rules,
    /// The calls that are up.
    pub calls: b2bua::Handle,
    /// How often somebody may ask, and how passwords are checked.
    pub gate: Gate,
}

/// Every door of `state`, with `softphone` beside the API. What no other door answers is the softphones': their paths are
/// configuration, and a mistake in one gets a message too.
pub fn router(state: State, softphone: Router) -> Router {
    let api = api::router(state.clone());
    softphone.nest("/api/v1", api.clone()).merge(admin::router(state, api)).layer(from_fn(deadline::keep))
}

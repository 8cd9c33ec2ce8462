//! Messages, transactions, dialogs, transports (RFC 3261 and kin).
//!
//! The door is [`Endpoint`]: it offers every new call of a known source as an [`Incoming`], starts calls with
//! [`Endpoint::invite`], and either way hands out a [`Leg`], which takes commands and tells events. Behind the door one task owns one
//! sans-IO core; tags, branches, CSeq numbers, retransmissions, forks, races and routes never come out of it.

pub(crate) mod admission;
pub(crate) mod core;
pub(crate) mod dialog;
pub mod digest;
pub mod endpoint;
pub mod leg;
pub mod msg;
pub(crate) mod net;
pub(crate) mod overload;
pub(crate) mod redact;
pub mod resolve;
pub mod tap;
pub(crate) mod target;
pub(crate) mod transaction;
pub mod transport;

pub use self::core::{Ping, PingState};
pub use endpoint::{Config, Endpoint, Login, Registration, RegistrationState, Source, SourcePolicy, Strangers, Tables};
pub use leg::{
    Body, ByWhom, EarlyDialogId, Header, Hop, InDialog, Incoming, Invite, Leg, LegEvent, LegId, OutgoingInvite, Reason, RequestId,
    StoredDialog, Target,
};
pub use net::tls::TlsError;
pub use resolve::Resolver;
pub use target::{Step, in_order};
pub use transport::Transport;

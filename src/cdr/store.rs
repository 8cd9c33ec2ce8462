//! Every SQL statement of the room.

use sqlx::AnyConnection;

use super::Record;
use crate::types::{CallId, SubscriberId, Timestamp};

/// Which records a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this subscriber's.
    pub subscriber: Option<SubscriberId>,
    /// Began at or after.
    pub from: Option<Timestamp>,
    /// Began before.
    pub until: Option<Timestamp>,
    /// Only with this cause's word.
    pub cause: Option<String>,
}

/// The record of a call.
pub async fn get(connection: &mut AnyConnection, call: CallId) -> Result<Option<Record>, sqlx::Error> {
    let _ = (connection, call);
    Ok(None)
}

/// Records, newest first, older than the one of `after`.
pub async fn list(connection: &mut AnyConnection, filter: &Filter, after: Option<CallId>, limit: u32) -> Result<Vec<Record>, sqlx::Error> {
    let _ = (connection, filter, after, limit);
    Ok(Vec::new())
}

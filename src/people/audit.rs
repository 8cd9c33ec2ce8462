//! The log of who changed what: append-only, written in the transaction of the change (spec: security, section 9).

use serde_json::Value;
use sqlx::AnyConnection;

use super::Who;
use crate::types::{AuditId, TenantId, Timestamp};

/// One change. Secrets are never part of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    /// Its id.
    pub id: AuditId,
    /// In whose books; none for the operator's own things.
    pub tenant: Option<TenantId>,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub who: Who,
    /// What they were called then.
    pub name: String,
    /// From which address; empty for the command line.
    pub from: String,
    /// What: `subscriber.update`, `account.top_up`, `deck.apply`.
    pub action: &'static str,
    /// The id of the thing.
    pub target: String,
    /// As it was; none for something new.
    pub before: Option<Value>,
    /// As it is; none for something gone.
    pub after: Option<Value>,
}

/// Writes the line. Call it in the transaction that makes the change.
pub async fn note(tx: &mut AnyConnection, act: &Act) -> Result<(), sqlx::Error> {
    super::store::note(tx, act).await
}

/// A line as it is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its id.
    pub id: AuditId,
    /// In whose books; none for the operator's own things.
    pub tenant: Option<TenantId>,
    /// When.
    pub at: Timestamp,
    /// Who: the id of a person or key, or `server`.
    pub who: String,
    /// What they were called then.
    pub name: String,
    /// From which address.
    pub from: String,
    /// What.
    pub action: String,
    /// The id of the thing.
    pub target: String,
    /// As it was.
    pub before: Option<Value>,
    /// As it is.
    pub after: Option<Value>,
}

/// Which lines are wanted.
#[derive(Debug, Clone)]
pub struct Filter {
    /// In whose books.
    pub tenant: TenantId,
    /// The operator's own things too.
    pub operator: bool,
    /// Of this person or key only.
    pub who: Option<String>,
    /// This action only.
    pub action: Option<String>,
    /// About this thing only.
    pub target: Option<String>,
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// Older than this line.
    pub after: Option<AuditId>,
}

/// Lines of the log, newest first.
pub async fn list(connection: &mut AnyConnection, filter: &Filter, limit: u32) -> Result<Vec<Line>, sqlx::Error> {
    super::store::audit(connection, filter, limit).await
}

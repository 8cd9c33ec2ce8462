//! What somebody should look at: low balances, signs of fraud, carriers that fail. An alert is raised once and stays until
//! somebody acknowledges it; raising it again meanwhile only counts.

mod store;

use sqlx::AnyConnection;

use crate::types::{AlertId, TenantId, Timestamp};

/// How soon somebody should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Notice,
    /// Today.
    Warning,
    /// Now: money or service is going.
    Critical,
}

impl Severity {
    /// The word the books keep.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// An alert to raise.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Its id, used if it is new.
    pub id: AlertId,
    /// Whose; none for the operator's own.
    pub tenant: Option<TenantId>,
    /// When.
    pub at: Timestamp,
    /// What kind: `low_balance`, `first_call_to_country`, `sequential_numbers`, `short_calls`, …
    pub kind: &'static str,
    /// How soon.
    pub severity: Severity,
    /// The id of whom or what it is about; one open alert a kind and subject.
    pub subject: String,
    /// A sentence for a person: what happened and what to do.
    pub text: String,
}

/// Raises it, or counts it on the open one of the same kind and subject. True if it is new.
pub async fn raise(tx: &mut AnyConnection, draft: &Draft) -> Result<bool, sqlx::Error> {
    store::raise(tx, draft).await
}

/// An alert as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Its id.
    pub id: AlertId,
    /// Whose; none for the operator's own.
    pub tenant: Option<TenantId>,
    /// What kind.
    pub kind: String,
    /// How soon, by its word.
    pub severity: String,
    /// The id of whom or what it is about.
    pub subject: String,
    /// What happened and what to do.
    pub text: String,
    /// How often it was raised.
    pub times: i64,
    /// First raised.
    pub first_at: Timestamp,
    /// Last raised.
    pub last_at: Timestamp,
    /// When somebody took it on.
    pub acknowledged_at: Option<Timestamp>,
    /// Who.
    pub acknowledged_by: Option<String>,
    /// What they said.
    pub note: Option<String>,
}

/// Which alerts are wanted.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Whose.
    pub tenant: TenantId,
    /// The operator's own too.
    pub operator: bool,
    /// Open ones, or acknowledged ones.
    pub open: Option<bool>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Of this severity.
    pub severity: Option<Severity>,
    /// Those raised first before this one.
    pub after: Option<AlertId>,
}

/// Alerts, newest first.
pub async fn list(connection: &mut AnyConnection, filter: &Filter, limit: u32) -> Result<Vec<Alert>, sqlx::Error> {
    store::list(connection, filter, limit).await
}

/// One alert.
pub async fn get(connection: &mut AnyConnection, id: AlertId) -> Result<Option<Alert>, sqlx::Error> {
    store::get(connection, id).await
}

/// Somebody takes it on. An alert of the same kind and subject is raised anew after that.
pub async fn acknowledge(tx: &mut AnyConnection, id: AlertId, at: Timestamp, who: &str, note: &str) -> Result<(), sqlx::Error> {
    store::acknowledge(tx, id, at, who, note).await
}

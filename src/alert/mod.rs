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

//! Holds that are open, as people look at them: what is set aside for whom, for which call, since when.

mod store;

use sqlx::AnyConnection;

use super::LedgerError;
use crate::types::{AccountId, CallId, Currency, HoldId, Micros, SubscriberId, TenantId, Timestamp};

/// Money set aside for a leg of a call that is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenHold {
    /// Which.
    pub id: HoldId,
    /// For which call.
    pub call: CallId,
    /// For which of its legs: `a` or `b`.
    pub leg: String,
    /// From which account.
    pub account: AccountId,
    /// Who calls.
    pub subscriber: SubscriberId,
    /// How much.
    pub amount: Micros,
    /// In what.
    pub currency: Currency,
    /// For how much talk, in seconds.
    pub funded_secs: i64,
    /// Since when.
    pub created_at: Timestamp,
}

/// Which holds are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Only of this account.
    pub account: Option<AccountId>,
    /// Only of this subscriber.
    pub subscriber: Option<SubscriberId>,
}

/// The open holds of a tenant, oldest first; `after` is the id the last page ended with.
pub async fn list(
    connection: &mut AnyConnection,
    tenant: TenantId,
    filter: Filter,
    after: Option<HoldId>,
    limit: u32,
) -> Result<Vec<OpenHold>, LedgerError> {
    store::list(connection, tenant, filter, after, limit).await
}

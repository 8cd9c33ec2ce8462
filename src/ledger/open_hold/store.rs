//! The SQL of looking at open holds.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::{Filter, OpenHold};
use crate::ledger::LedgerError;
use crate::types::{HoldId, Micros, TenantId, Timestamp};

pub(super) async fn list(
    connection: &mut AnyConnection,
    tenant: TenantId,
    filter: Filter,
    after: Option<HoldId>,
    limit: u32,
) -> Result<Vec<OpenHold>, LedgerError> {
    let rows = sqlx::query(
        "select h.id, h.call_id, h.leg, h.account_id, h.subscriber_id, h.amount_micros, h.funded_secs, h.created_at_us, a.currency \
         from hold h join account a on a.id = h.account_id \
         where h.resolved_at_us is null and a.tenant_id = $1 and h.id > $2 and ($3 = '' or h.account_id = $3) \
         and ($4 = '' or h.subscriber_id = $4) order by h.id limit $5",
    )
    .bind(tenant.to_string())
    .bind(after.map(|id| id.to_string()).unwrap_or_default())
    .bind(filter.account.map(|id| id.to_string()).unwrap_or_default())
    .bind(filter.subscriber.map(|id| id.to_string()).unwrap_or_default())
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok(open_hold(row)?)).collect()
}

fn open_hold(row: &AnyRow) -> Result<OpenHold, sqlx::Error> {
    Ok(OpenHold {
        id: parsed(row, "id")?,
        call: parsed(row, "call_id")?,
        leg: row.try_get("leg")?,
        account: parsed(row, "account_id")?,
        subscriber: parsed(row, "subscriber_id")?,
        amount: Micros::new(row.try_get("amount_micros")?),
        currency: parsed(row, "currency")?,
        funded_secs: row.try_get("funded_secs")?,
        created_at: Timestamp::from_micros(row.try_get("created_at_us")?),
    })
}

fn parsed<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>>(row: &AnyRow, name: &str) -> Result<T, sqlx::Error> {
    row.try_get::<String, _>(name)?.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

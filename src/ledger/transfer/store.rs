//! Every SQL statement of the transfers.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::Transfer;
use crate::ledger::LedgerError;
use crate::types::{AccountId, Micros, TenantId, Timestamp, TransferId};

/// Which transfers of a tenant are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// Whose.
    pub tenant: TenantId,
    /// Those from or to this account.
    pub account: Option<AccountId>,
}

pub(super) async fn create(tx: &mut AnyConnection, made: &Transfer) -> Result<(), LedgerError> {
    sqlx::query(
        "insert into transfer (id, tenant_id, from_account, to_account, currency, amount_micros, reason, made_by, created_at_us,
             out_posting, in_posting) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(made.id.to_string())
    .bind(made.tenant.to_string())
    .bind(made.from.to_string())
    .bind(made.to.to_string())
    .bind(made.currency.to_string())
    .bind(made.amount.get())
    .bind(&made.reason)
    .bind(&made.by)
    .bind(made.at.as_micros())
    .bind(made.out_posting.to_string())
    .bind(made.in_posting.to_string())
    .execute(tx)
    .await?;
    Ok(())
}

/// The tenant's transfer of this id.
pub async fn get(connection: &mut AnyConnection, tenant: TenantId, id: TransferId) -> Result<Option<Transfer>, LedgerError> {
    let row = sqlx::query("select * from transfer where id = $1 and tenant_id = $2")
        .bind(id.to_string())
        .bind(tenant.to_string())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read).transpose()
}

/// The tenant's transfers, newest first.
pub async fn list(
    connection: &mut AnyConnection,
    filter: Filter,
    before: Option<TransferId>,
    limit: u32,
) -> Result<Vec<Transfer>, LedgerError> {
    let rows = sqlx::query(
        "select * from transfer where tenant_id = $1 and ($2 = '' or id < $2) and ($3 = '' or from_account = $3 or to_account = $3)
         order by id desc limit $4",
    )
    .bind(filter.tenant.to_string())
    .bind(before.map_or_else(String::new, |id| id.to_string()))
    .bind(filter.account.map_or_else(String::new, |id| id.to_string()))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<Transfer, LedgerError> {
    Ok(Transfer {
        id: parse(row, "id")?,
        tenant: parse(row, "tenant_id")?,
        from: parse(row, "from_account")?,
        to: parse(row, "to_account")?,
        amount: Micros::new(row.try_get("amount_micros")?),
        currency: parse(row, "currency")?,
        reason: row.try_get("reason")?,
        by: row.try_get("made_by")?,
        at: Timestamp::from_micros(row.try_get("created_at_us")?),
        out_posting: parse(row, "out_posting")?,
        in_posting: parse(row, "in_posting")?,
    })
}

fn parse<T: std::str::FromStr>(row: &AnyRow, column: &'static str) -> Result<T, LedgerError> {
    row.try_get::<String, _>(column)?.parse().map_err(|_| LedgerError::Damaged(column))
}

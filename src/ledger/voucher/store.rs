//! The SQL of vouchers.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::{Batch, BatchState, Voucher};
use crate::ledger::LedgerError;
use crate::types::{AccountId, Currency, Micros, PostingId, TenantId, Timestamp, VoucherBatchId, VoucherId};

/// Vouchers that one statement writes.
const A_STATEMENT: usize = 500;

pub(super) async fn create_batch(tx: &mut AnyConnection, batch: &Batch) -> Result<(), LedgerError> {
    sqlx::query(
        "insert into voucher_batch (id, tenant_id, name, amount_micros, currency, count, state, expires_at_us, made_by, created_at_us)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(batch.id.to_string())
    .bind(batch.tenant.to_string())
    .bind(&batch.name)
    .bind(batch.amount.get())
    .bind(batch.currency.as_str())
    .bind(i64::from(batch.count))
    .bind(batch.state.as_str())
    .bind(batch.expires_at.map(Timestamp::as_micros))
    .bind(&batch.made_by)
    .bind(batch.created_at.as_micros())
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn create_vouchers(tx: &mut AnyConnection, batch: &Batch, rows: &[(VoucherId, String)]) -> Result<(), LedgerError> {
    for (chunk, first) in rows.chunks(A_STATEMENT).zip((1_i64..).step_by(A_STATEMENT)) {
        let places: Vec<String> =
            (0..chunk.len()).map(|row| format!("(${}, $1, $2, ${}, ${})", row * 3 + 3, row * 3 + 4, row * 3 + 5)).collect();
        let sql = format!("insert into voucher (id, batch_id, tenant_id, number, digest) values {}", places.join(", "));
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(batch.id.to_string()).bind(batch.tenant.to_string());
        let numbered = chunk.iter().zip(first..);
        numbered
            .fold(query, |query, ((id, digest), number)| query.bind(id.to_string()).bind(number).bind(digest))
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

pub(super) async fn set_state(tx: &mut AnyConnection, id: VoucherBatchId, from: BatchState, to: BatchState) -> Result<bool, LedgerError> {
    let done = sqlx::query("update voucher_batch set state = $3 where id = $1 and state = $2")
        .bind(id.to_string())
        .bind(from.as_str())
        .bind(to.as_str())
        .execute(tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn void(tx: &mut AnyConnection, tenant: TenantId, id: VoucherId, now: Timestamp) -> Result<bool, LedgerError> {
    let done = sqlx::query(
        "update voucher set voided_at_us = $3 where id = $1 and tenant_id = $2 and redeemed_at_us is null and voided_at_us is null",
    )
    .bind(id.to_string())
    .bind(tenant.to_string())
    .bind(now.as_micros())
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// What redeeming looks at.
pub(super) struct Found {
    pub(super) id: VoucherId,
    pub(super) amount: Micros,
    pub(super) currency: Currency,
    pub(super) state: BatchState,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) redeemed: bool,
    pub(super) voided: bool,
}

pub(super) async fn find(connection: &mut AnyConnection, tenant: TenantId, digest: &str) -> Result<Option<Found>, LedgerError> {
    let row = sqlx::query(
        "select v.id, v.redeemed_at_us, v.voided_at_us, b.amount_micros, b.currency, b.state, b.expires_at_us
         from voucher v join voucher_batch b on b.id = v.batch_id where v.digest = $1 and v.tenant_id = $2",
    )
    .bind(digest)
    .bind(tenant.to_string())
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        let time = |column: &str| row.try_get::<Option<i64>, _>(column);
        Ok(Found {
            id: row.try_get::<String, _>("id")?.parse().map_err(|_| LedgerError::Damaged("voucher.id"))?,
            amount: Micros::new(row.try_get("amount_micros")?),
            currency: row.try_get::<String, _>("currency")?.parse()?,
            state: state(&row)?,
            expires_at: time("expires_at_us")?.map(Timestamp::from_micros),
            redeemed: time("redeemed_at_us")?.is_some(),
            voided: time("voided_at_us")?.is_some(),
        })
    })
    .transpose()
}

/// Takes the voucher, if nobody has.
pub(super) async fn take(tx: &mut AnyConnection, id: VoucherId, account: AccountId, now: Timestamp) -> Result<bool, LedgerError> {
    let done = sqlx::query(
        "update voucher set redeemed_at_us = $3, account_id = $2 where id = $1 and redeemed_at_us is null and voided_at_us is null",
    )
    .bind(id.to_string())
    .bind(account.to_string())
    .bind(now.as_micros())
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn note_posting(tx: &mut AnyConnection, id: VoucherId, posting: PostingId) -> Result<(), LedgerError> {
    sqlx::query("update voucher set posting_id = $2 where id = $1").bind(id.to_string()).bind(posting.to_string()).execute(tx).await?;
    Ok(())
}

const BATCH: &str = "select b.*, (select count(*) from voucher v where v.batch_id = b.id and v.redeemed_at_us is not null) as redeemed,
    (select count(*) from voucher v where v.batch_id = b.id and v.voided_at_us is not null) as voided from voucher_batch b";

/// One batch of the tenant.
pub async fn get_batch(connection: &mut AnyConnection, tenant: TenantId, id: VoucherBatchId) -> Result<Option<Batch>, LedgerError> {
    let sql = sqlx::AssertSqlSafe(format!("{BATCH} where b.id = $1 and b.tenant_id = $2"));
    let row = sqlx::query(sql).bind(id.to_string()).bind(tenant.to_string()).fetch_optional(connection).await?;
    row.as_ref().map(batch).transpose()
}

/// The tenant's batches, newest first, older than `before`.
pub async fn batches(
    connection: &mut AnyConnection,
    tenant: TenantId,
    before: Option<VoucherBatchId>,
    limit: u32,
) -> Result<Vec<Batch>, LedgerError> {
    let sql = sqlx::AssertSqlSafe(format!("{BATCH} where b.tenant_id = $1 and ($2 = '' or b.id < $2) order by b.id desc limit $3"));
    let rows = sqlx::query(sql)
        .bind(tenant.to_string())
        .bind(before.map_or_else(String::new, |id| id.to_string()))
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(batch).collect()
}

/// The vouchers of a batch in the order of their numbers, after number `after`.
pub async fn vouchers(connection: &mut AnyConnection, batch: VoucherBatchId, after: u32, limit: u32) -> Result<Vec<Voucher>, LedgerError> {
    let rows = sqlx::query("select * from voucher where batch_id = $1 and number > $2 order by number limit $3")
        .bind(batch.to_string())
        .bind(i64::from(after))
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            let time = |column: &str| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_micros));
            let account = row.try_get::<Option<String>, _>("account_id")?;
            let account = account.map(|id| id.parse().map_err(|_| LedgerError::Damaged("voucher.account_id"))).transpose()?;
            Ok(Voucher {
                id: row.try_get::<String, _>("id")?.parse().map_err(|_| LedgerError::Damaged("voucher.id"))?,
                number: u32::try_from(row.try_get::<i64, _>("number")?).unwrap_or(0),
                redeemed: time("redeemed_at_us")?.zip(account),
                voided_at: time("voided_at_us")?,
            })
        })
        .collect()
}

fn state(row: &AnyRow) -> Result<BatchState, LedgerError> {
    match row.try_get::<String, _>("state")?.as_str() {
        "pending" => Ok(BatchState::Pending),
        "active" => Ok(BatchState::Active),
        "void" => Ok(BatchState::Void),
        _ => Err(LedgerError::Damaged("voucher_batch.state")),
    }
}

fn batch(row: &AnyRow) -> Result<Batch, LedgerError> {
    let text = |column: &str| row.try_get::<String, _>(column);
    let count = |column: &str| Ok::<_, sqlx::Error>(u32::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0));
    Ok(Batch {
        id: text("id")?.parse().map_err(|_| LedgerError::Damaged("voucher_batch.id"))?,
        tenant: text("tenant_id")?.parse().map_err(|_| LedgerError::Damaged("voucher_batch.tenant_id"))?,
        name: text("name")?,
        amount: Micros::new(row.try_get("amount_micros")?),
        currency: text("currency")?.parse()?,
        count: count("count")?,
        state: state(row)?,
        expires_at: row.try_get::<Option<i64>, _>("expires_at_us")?.map(Timestamp::from_micros),
        made_by: text("made_by")?,
        created_at: Timestamp::from_micros(row.try_get("created_at_us")?),
        redeemed: count("redeemed")?,
        voided: count("voided")?,
    })
}

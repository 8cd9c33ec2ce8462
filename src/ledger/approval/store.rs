//! The SQL of approvals.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::{Approval, By, State};
use crate::ledger::LedgerError;
use crate::types::{ApprovalId, Micros, PostingId, TenantId, Timestamp};

/// Which approvals a list shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only where they stand so.
    pub state: Option<State>,
}

/// Adds an approval; false if as many wait already as may.
pub(super) async fn create(tx: &mut AnyConnection, approval: &Approval, most: i64) -> Result<bool, LedgerError> {
    let done = sqlx::query(
        "insert into approval (id, tenant_id, movement, amount_micros, currency, subject, reason, asked_by, asked_for, asked_name, asked_at_us,
             expires_at_us, state)
         select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'pending'
         where (select count(*) from approval where tenant_id = $2 and state = 'pending' and expires_at_us > $11) < $13",
    )
    .bind(approval.id.to_string())
    .bind(approval.tenant.to_string())
    .bind(serde_json::to_string(&approval.wanted).map_err(|_| LedgerError::Damaged("approval.movement"))?)
    .bind(approval.amount.get())
    .bind(approval.currency.as_str())
    .bind(&approval.subject)
    .bind(&approval.reason)
    .bind(&approval.asked.who)
    .bind(&approval.asked.behind)
    .bind(&approval.asked.name)
    .bind(approval.asked_at.as_micros())
    .bind(approval.expires_at.as_micros())
    .bind(most)
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Decides it, if nobody has and its time is not over.
pub(super) async fn decide(tx: &mut AnyConnection, id: ApprovalId, by: &By, state: State, now: Timestamp) -> Result<bool, LedgerError> {
    let done = sqlx::query(
        "update approval set state = $2, decided_by = $3, decided_name = $4, decided_at_us = $5
         where id = $1 and state = 'pending' and expires_at_us > $5",
    )
    .bind(id.to_string())
    .bind(state.as_str())
    .bind(&by.who)
    .bind(&by.name)
    .bind(now.as_micros())
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Notes what it made.
pub(super) async fn note_posting(tx: &mut AnyConnection, id: ApprovalId, posting: PostingId) -> Result<(), LedgerError> {
    sqlx::query("update approval set posting_id = $2 where id = $1").bind(id.to_string()).bind(posting.to_string()).execute(tx).await?;
    Ok(())
}

/// One approval of the tenant as of `now`.
pub async fn get(
    connection: &mut AnyConnection,
    tenant: TenantId,
    id: ApprovalId,
    now: Timestamp,
) -> Result<Option<Approval>, LedgerError> {
    let row = sqlx::query("select * from approval where id = $1 and tenant_id = $2")
        .bind(id.to_string())
        .bind(tenant.to_string())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(|row| read(row, now)).transpose()
}

/// The tenant's approvals, newest first, older than `before`.
pub async fn list(
    connection: &mut AnyConnection,
    tenant: TenantId,
    filter: Filter,
    before: Option<ApprovalId>,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<Approval>, LedgerError> {
    let (stored, alive) = match filter.state {
        None => ("", ""),
        Some(State::Pending) => ("pending", "yes"),
        Some(State::Expired) => ("pending", "no"),
        Some(decided) => (decided.as_str(), ""),
    };
    let rows = sqlx::query(
        "select * from approval where tenant_id = $1 and ($2 = '' or state = $2) and ($3 = '' or id < $3)
             and ($4 = '' or ($4 = 'yes' and expires_at_us > $5) or ($4 = 'no' and expires_at_us <= $5))
         order by id desc limit $6",
    )
    .bind(tenant.to_string())
    .bind(stored)
    .bind(before.map_or_else(String::new, |id| id.to_string()))
    .bind(alive)
    .bind(now.as_micros())
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| read(row, now)).collect()
}

fn read(row: &AnyRow, now: Timestamp) -> Result<Approval, LedgerError> {
    let text = |column: &str| row.try_get::<String, _>(column);
    let maybe = |column: &str| row.try_get::<Option<String>, _>(column);
    let expires_at = Timestamp::from_micros(row.try_get("expires_at_us")?);
    Ok(Approval {
        id: text("id")?.parse().map_err(|_| LedgerError::Damaged("approval.id"))?,
        tenant: text("tenant_id")?.parse().map_err(|_| LedgerError::Damaged("approval.tenant_id"))?,
        wanted: serde_json::from_str(&text("movement")?).map_err(|_| LedgerError::Damaged("approval.movement"))?,
        amount: Micros::new(row.try_get("amount_micros")?),
        currency: text("currency")?.parse()?,
        subject: text("subject")?,
        reason: text("reason")?,
        asked: By { who: text("asked_by")?, behind: text("asked_for")?, name: text("asked_name")? },
        asked_at: Timestamp::from_micros(row.try_get("asked_at_us")?),
        expires_at,
        state: match text("state")?.as_str() {
            "approved" => State::Approved,
            "declined" => State::Declined,
            _ if expires_at <= now => State::Expired,
            _ => State::Pending,
        },
        decided: maybe("decided_by")?.zip(maybe("decided_name")?),
        decided_at: row.try_get::<Option<i64>, _>("decided_at_us")?.map(Timestamp::from_micros),
        posting: maybe("posting_id")?.map(|id| id.parse().map_err(|_| LedgerError::Damaged("approval.posting_id"))).transpose()?,
    })
}

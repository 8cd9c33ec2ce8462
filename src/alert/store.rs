//! All SQL of the room.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::{Alert, Draft, Filter};
use crate::types::{AlertId, Timestamp};

/// Adds the alert, or counts it on the open one of its kind and subject; true if it was added.
pub async fn raise(tx: &mut AnyConnection, draft: &Draft) -> Result<bool, sqlx::Error> {
    let tenant = draft.tenant.map_or_else(String::new, |id| id.to_string());
    let counted = sqlx::query(
        "update alert set times = times + 1, last_at_us = $1, text = $2 \
         where tenant_id = $3 and kind = $4 and subject = $5 and acknowledged_at_us is null",
    )
    .bind(draft.at.as_micros())
    .bind(&draft.text)
    .bind(&tenant)
    .bind(draft.kind)
    .bind(&draft.subject)
    .execute(&mut *tx)
    .await?;
    if counted.rows_affected() > 0 {
        return Ok(false);
    }
    let severity = draft.severity.as_str();
    let added = sqlx::query(
        "insert into alert (id, tenant_id, kind, severity, subject, text, first_at_us, last_at_us) values ($1, $2, $3, $4, $5, $6, $7, $7) \
         on conflict do nothing",
    )
    .bind(draft.id.to_string())
    .bind(tenant)
    .bind(draft.kind)
    .bind(severity)
    .bind(&draft.subject)
    .bind(&draft.text)
    .bind(draft.at.as_micros())
    .execute(tx)
    .await?;
    Ok(added.rows_affected() > 0)
}

/// Alerts, newest first.
pub async fn list(connection: &mut AnyConnection, filter: &Filter, limit: u32) -> Result<Vec<Alert>, sqlx::Error> {
    let own = if filter.operator { String::new() } else { filter.tenant.to_string() };
    let open = filter.open.map_or(-1, i64::from);
    let rows = sqlx::query(
        "select * from alert where tenant_id in ($1, $2) and ($3 = '' or id < $3) and ($4 = '' or kind = $4) \
         and ($5 = '' or severity = $5) and ($6 = -1 or ($6 = 1 and acknowledged_at_us is null) \
         or ($6 = 0 and acknowledged_at_us is not null)) order by id desc limit $7",
    )
    .bind(filter.tenant.to_string())
    .bind(own)
    .bind(filter.after.map_or_else(String::new, |id| id.to_string()))
    .bind(filter.kind.clone().unwrap_or_default())
    .bind(filter.severity.map_or("", super::Severity::as_str))
    .bind(open)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(alert).collect()
}

/// One alert.
pub async fn get(connection: &mut AnyConnection, id: AlertId) -> Result<Option<Alert>, sqlx::Error> {
    let row = sqlx::query("select * from alert where id = $1").bind(id.to_string()).fetch_optional(connection).await?;
    row.as_ref().map(alert).transpose()
}

/// Marks it as taken on.
pub async fn acknowledge(tx: &mut AnyConnection, id: AlertId, at: Timestamp, who: &str, note: &str) -> Result<(), sqlx::Error> {
    sqlx::query("update alert set acknowledged_at_us = $2, acknowledged_by = $3, note = $4 where id = $1 and acknowledged_at_us is null")
        .bind(id.to_string())
        .bind(at.as_micros())
        .bind(who)
        .bind(Some(note.to_owned()).filter(|note| !note.is_empty()))
        .execute(tx)
        .await
        .map(drop)
}

fn alert(row: &AnyRow) -> Result<Alert, sqlx::Error> {
    Ok(Alert {
        id: row.try_get::<String, _>("id")?.parse().map_err(|_| sqlx::Error::Decode("alert.id".into()))?,
        tenant: row.try_get::<String, _>("tenant_id")?.parse().ok(),
        kind: row.try_get("kind")?,
        severity: row.try_get("severity")?,
        subject: row.try_get("subject")?,
        text: row.try_get("text")?,
        times: row.try_get("times")?,
        first_at: Timestamp::from_micros(row.try_get("first_at_us")?),
        last_at: Timestamp::from_micros(row.try_get("last_at_us")?),
        acknowledged_at: row.try_get::<Option<i64>, _>("acknowledged_at_us")?.map(Timestamp::from_micros),
        acknowledged_by: row.try_get("acknowledged_by")?,
        note: row.try_get("note")?,
    })
}

//! All SQL of the room.

use sqlx::AnyConnection;

use super::Draft;

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
    let severity = serde_json::to_value(draft.severity).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
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

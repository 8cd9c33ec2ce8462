//! All SQL of the room.

use sqlx::AnyConnection;

use super::audit::Act;

/// Adds a line to the audit log.
pub async fn note(tx: &mut AnyConnection, act: &Act) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into audit (id, tenant_id, at_us, who, name, source, action, target, before, after) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(act.id.to_string())
    .bind(act.tenant.map(|id| id.to_string()))
    .bind(act.at.as_micros())
    .bind(act.who.to_string())
    .bind(&act.name)
    .bind(&act.from)
    .bind(act.action)
    .bind(&act.target)
    .bind(act.before.as_ref().map(ToString::to_string))
    .bind(act.after.as_ref().map(ToString::to_string))
    .execute(tx)
    .await
    .map(drop)
}

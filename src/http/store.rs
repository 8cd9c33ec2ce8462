//! All SQL of the doors themselves: the stored answers of idempotent requests.

use sqlx::{AnyConnection, Row as _};

use super::idempotency::{Answer, Asked, Seen};
use crate::types::Timestamp;

/// Takes the key for this request, or tells what stands under it. A request that was left unfinished before `abandoned_before`
/// (its process died) is taken over.
pub async fn begin(tx: &mut AnyConnection, asked: &Asked, now: Timestamp, abandoned_before: Timestamp) -> Result<Seen, sqlx::Error> {
    let taken = sqlx::query(
        "insert into idempotency (key, credential, request, body_digest, created_at_us) values ($1, $2, $3, $4, $5) \
         on conflict (credential, key) do update set created_at_us = $5 \
         where idempotency.status is null and idempotency.created_at_us < $6 and idempotency.request = $3 and idempotency.body_digest = $4",
    )
    .bind(&asked.key)
    .bind(&asked.credential)
    .bind(&asked.request)
    .bind(&asked.body_digest)
    .bind(now.as_micros())
    .bind(abandoned_before.as_micros())
    .execute(&mut *tx)
    .await?;
    if taken.rows_affected() == 1 {
        return Ok(Seen::New);
    }
    let row = sqlx::query("select * from idempotency where credential = $1 and key = $2")
        .bind(&asked.credential)
        .bind(&asked.key)
        .fetch_one(tx)
        .await?;
    if row.try_get::<String, _>("request")? != asked.request || row.try_get::<String, _>("body_digest")? != asked.body_digest {
        return Ok(Seen::Other);
    }
    let Some(status) = row.try_get::<Option<i64>, _>("status")? else { return Ok(Seen::Running) };
    Ok(Seen::Finished(Answer {
        status: u16::try_from(status).map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        content_type: row.try_get::<Option<String>, _>("content_type")?.unwrap_or_default(),
        body: row.try_get::<Option<String>, _>("body")?.unwrap_or_default(),
    }))
}

/// Keeps the answer, in the transaction that did the work.
pub async fn finish(tx: &mut AnyConnection, asked: &Asked, answer: &Answer) -> Result<(), sqlx::Error> {
    sqlx::query("update idempotency set status = $3, content_type = $4, body = $5 where credential = $1 and key = $2")
        .bind(&asked.credential)
        .bind(&asked.key)
        .bind(i64::from(answer.status))
        .bind(&answer.content_type)
        .bind(&answer.body)
        .execute(tx)
        .await
        .map(drop)
}

/// Frees the key: nothing was done.
pub async fn abandon(tx: &mut AnyConnection, asked: &Asked) -> Result<(), sqlx::Error> {
    sqlx::query("delete from idempotency where credential = $1 and key = $2 and status is null")
        .bind(&asked.credential)
        .bind(&asked.key)
        .execute(tx)
        .await
        .map(drop)
}

/// Forgets answers older than `before`.
pub async fn forget(tx: &mut AnyConnection, before: Timestamp) -> Result<u64, sqlx::Error> {
    let gone = sqlx::query("delete from idempotency where created_at_us < $1").bind(before.as_micros()).execute(tx).await?;
    Ok(gone.rows_affected())
}

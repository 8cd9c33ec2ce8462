//! All SQL of the doors themselves: API keys and the stored answers of idempotent requests.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::idempotency::{Answer, Asked, Seen};
use super::key::ApiKey;
use crate::types::{ApiKeyId, Timestamp};

/// Adds a key.
pub async fn create_key(tx: &mut AnyConnection, key: &ApiKey, digest: &str) -> Result<(), sqlx::Error> {
    sqlx::query("insert into api_key (id, name, digest, created_at_us) values ($1, $2, $3, $4)")
        .bind(key.id.to_string())
        .bind(&key.name)
        .bind(digest)
        .bind(key.created_at.as_micros())
        .execute(tx)
        .await
        .map(drop)
}

/// The key with this digest that has not been revoked.
pub async fn find_key(connection: &mut AnyConnection, digest: &str) -> Result<Option<ApiKey>, sqlx::Error> {
    let row =
        sqlx::query("select * from api_key where digest = $1 and revoked_at_us is null").bind(digest).fetch_optional(connection).await?;
    row.as_ref().map(read_key).transpose()
}

/// Keys, oldest first, after `after`.
pub async fn list_keys(connection: &mut AnyConnection, after: Option<ApiKeyId>, limit: u32) -> Result<Vec<ApiKey>, sqlx::Error> {
    let rows = sqlx::query("select * from api_key where id > $1 order by id limit $2")
        .bind(after.map_or_else(String::new, |id| id.to_string()))
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(read_key).collect()
}

/// Notes that a key was used; not more often than once a minute.
pub async fn touch_key(tx: &mut AnyConnection, id: ApiKeyId, now: Timestamp, not_since: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query("update api_key set last_used_at_us = $2 where id = $1 and (last_used_at_us is null or last_used_at_us < $3)")
        .bind(id.to_string())
        .bind(now.as_micros())
        .bind(not_since.as_micros())
        .execute(tx)
        .await
        .map(drop)
}

/// Takes a key back, at once; false if there is none such or it is back already.
pub async fn revoke_key(tx: &mut AnyConnection, id: ApiKeyId, now: Timestamp) -> Result<bool, sqlx::Error> {
    let done = sqlx::query("update api_key set revoked_at_us = $2 where id = $1 and revoked_at_us is null")
        .bind(id.to_string())
        .bind(now.as_micros())
        .execute(tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

fn read_key(row: &AnyRow) -> Result<ApiKey, sqlx::Error> {
    let id: String = row.try_get("id")?;
    let at = |column| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_micros));
    Ok(ApiKey {
        id: id.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        name: row.try_get("name")?,
        created_at: Timestamp::from_micros(row.try_get("created_at_us")?),
        last_used_at: at("last_used_at_us")?,
        revoked_at: at("revoked_at_us")?,
    })
}

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

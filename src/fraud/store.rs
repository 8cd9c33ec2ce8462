//! All SQL of the room.

use std::collections::HashMap;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::{Book, Hotlist, Policy, Rules};
use crate::database::Database;
use crate::types::{Country, HotlistId, SubscriberId, TenantId, Timestamp};

/// Lists that one tenant, or the operator, has at most.
pub const MOST_LISTS: usize = 50;

/// Brings the rules in memory up to date with the books; lists that did not change are not read again.
pub async fn refresh(database: &Database, rules: &Rules) -> Result<(), sqlx::Error> {
    let before = rules.book();
    let mut connection = database.read().await?;
    let heads = sqlx::query("select id, updated_at_us from hotlist order by id").fetch_all(&mut *connection).await?;
    let stamps: Vec<(String, i64)> = heads.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, sqlx::Error>>()?;
    let mut book = Book { stamps, ..Book::default() };
    if book.stamps == before.stamps {
        book.everybody = before.everybody.clone();
        book.own.clone_from(&before.own);
    } else {
        for (id, _) in &book.stamps {
            let row = sqlx::query("select tenant_id, name, prefixes from hotlist where id = $1")
                .bind(id)
                .fetch_optional(&mut *connection)
                .await?;
            let Some(row) = row else { continue };
            let (tenant, name, text): (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let entries = text.lines().filter_map(|line| line.parse().ok());
            match tenant.parse() {
                Ok(tenant) => book.own.entry(tenant).or_default().add(&name, entries),
                Err(_) => book.everybody.add(&name, entries),
            }
        }
    }
    book.policies = policies(&mut connection).await?;
    drop(connection);
    rules.swap(book);
    Ok(())
}

async fn policies(connection: &mut AnyConnection) -> Result<HashMap<TenantId, Policy>, sqlx::Error> {
    let rows = sqlx::query("select id, settings from tenant where settings <> '{}'").fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            let id = row.try_get::<String, _>(0)?.parse().map_err(|_| sqlx::Error::Decode("tenant.id".into()))?;
            let policy = serde_json::from_str(&row.try_get::<String, _>(1)?).map_err(|error| sqlx::Error::Decode(error.into()))?;
            Ok((id, policy))
        })
        .collect()
}

/// Notes that somebody called a country. Whether it was the tenant's first call there, and whether the subscriber's.
pub async fn called(
    tx: &mut AnyConnection,
    tenant: TenantId,
    subscriber: SubscriberId,
    country: Country,
    at: Timestamp,
) -> Result<(bool, bool), sqlx::Error> {
    let mut first = [false; 2];
    for (first, who) in first.iter_mut().zip([String::new(), subscriber.to_string()]) {
        let done = sqlx::query(
            "insert into called_country (tenant_id, subscriber_id, country, first_at_us) values ($1, $2, $3, $4) on conflict do nothing",
        )
        .bind(tenant.to_string())
        .bind(who)
        .bind(country.to_string())
        .bind(at.as_micros())
        .execute(&mut *tx)
        .await?;
        *first = done.rows_affected() > 0;
    }
    Ok(first.into())
}

/// A tenant's own rules.
pub async fn policy(connection: &mut AnyConnection, tenant: TenantId) -> Result<Policy, sqlx::Error> {
    let row = sqlx::query("select settings from tenant where id = $1").bind(tenant.to_string()).fetch_one(connection).await?;
    serde_json::from_str(&row.try_get::<String, _>(0)?).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Other rules for a tenant.
pub async fn set_policy(tx: &mut AnyConnection, tenant: TenantId, policy: &Policy) -> Result<(), sqlx::Error> {
    let settings = serde_json::to_string(policy).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query("update tenant set settings = $2 where id = $1").bind(tenant.to_string()).bind(settings).execute(tx).await.map(drop)
}

const HEAD: &str = "id, tenant_id, name, source, entries, updated_at_us";

/// The lists that count for a tenant: the operator's and its own.
pub async fn list(connection: &mut AnyConnection, tenant: TenantId) -> Result<Vec<Hotlist>, sqlx::Error> {
    let sql = format!("select {HEAD} from hotlist where tenant_id in ('', $1) order by id");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(tenant.to_string()).fetch_all(connection).await?;
    rows.iter().map(hotlist).collect()
}

/// One list.
pub async fn get(connection: &mut AnyConnection, id: HotlistId) -> Result<Option<Hotlist>, sqlx::Error> {
    let sql = format!("select {HEAD} from hotlist where id = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id.to_string()).fetch_optional(connection).await?;
    row.as_ref().map(hotlist).transpose()
}

/// What is on a list; nothing if there is no such list.
pub async fn entries(connection: &mut AnyConnection, id: HotlistId) -> Result<Vec<u64>, sqlx::Error> {
    let row = sqlx::query("select prefixes from hotlist where id = $1").bind(id.to_string()).fetch_optional(connection).await?;
    let text = row.map(|row| row.try_get::<String, _>(0)).transpose()?.unwrap_or_default();
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

/// Puts a list in place of what had its id.
pub async fn put(tx: &mut AnyConnection, list: &Hotlist, entries: &[u64]) -> Result<(), sqlx::Error> {
    let text = entries.iter().map(u64::to_string).collect::<Vec<_>>().join("\n");
    sqlx::query(
        "insert into hotlist (id, tenant_id, name, source, entries, prefixes, updated_at_us) values ($1, $2, $3, $4, $5, $6, $7) \
         on conflict (id) do update set name = excluded.name, source = excluded.source, entries = excluded.entries, \
         prefixes = excluded.prefixes, updated_at_us = excluded.updated_at_us",
    )
    .bind(list.id.to_string())
    .bind(list.tenant.map_or_else(String::new, |tenant| tenant.to_string()))
    .bind(&list.name)
    .bind(&list.source)
    .bind(list.entries)
    .bind(text)
    .bind(list.updated_at.as_micros())
    .execute(tx)
    .await
    .map(drop)
}

/// Takes a list away.
pub async fn delete(tx: &mut AnyConnection, id: HotlistId) -> Result<(), sqlx::Error> {
    sqlx::query("delete from hotlist where id = $1").bind(id.to_string()).execute(tx).await.map(drop)
}

fn hotlist(row: &AnyRow) -> Result<Hotlist, sqlx::Error> {
    Ok(Hotlist {
        id: row.try_get::<String, _>("id")?.parse().map_err(|_| sqlx::Error::Decode("hotlist.id".into()))?,
        tenant: row.try_get::<String, _>("tenant_id")?.parse().ok(),
        name: row.try_get("name")?,
        source: row.try_get("source")?,
        entries: row.try_get("entries")?,
        updated_at: Timestamp::from_micros(row.try_get("updated_at_us")?),
    })
}

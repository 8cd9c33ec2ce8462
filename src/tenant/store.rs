//! All SQL of the room.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::{Caps, Tenant};
use crate::types::{Micros, TenantId, Timestamp};

/// Most tenants one installation has.
pub const MOST_TENANTS: i64 = 1000;

/// Every tenant, by name.
pub async fn all(database: &crate::database::Database) -> Result<Vec<Tenant>, sqlx::Error> {
    let mut connection = database.read().await?;
    let rows = sqlx::query("select * from tenant order by name, id limit $1").bind(MOST_TENANTS).fetch_all(&mut *connection).await?;
    rows.iter().map(tenant).collect()
}

/// One tenant.
pub async fn get(connection: &mut AnyConnection, id: TenantId) -> Result<Option<Tenant>, sqlx::Error> {
    let row = sqlx::query("select * from tenant where id = $1").bind(id.to_string()).fetch_optional(connection).await?;
    row.as_ref().map(tenant).transpose()
}

/// The tenant that is called so in paths.
pub async fn by_slug(connection: &mut AnyConnection, slug: &str) -> Result<Option<Tenant>, sqlx::Error> {
    let row = sqlx::query("select * from tenant where slug = $1").bind(slug).fetch_optional(connection).await?;
    row.as_ref().map(tenant).transpose()
}

/// Tenants in the order of their birth; only `own`, if there is one.
pub async fn list(
    connection: &mut AnyConnection,
    after: Option<TenantId>,
    own: Option<TenantId>,
    limit: u32,
) -> Result<Vec<Tenant>, sqlx::Error> {
    let own = own.map(|id| id.to_string()).unwrap_or_default();
    let rows = sqlx::query("select * from tenant where id > $1 and ($2 = '' or id = $2) order by id limit $3")
        .bind(after.map_or_else(String::new, |id| id.to_string()))
        .bind(own)
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(tenant).collect()
}

/// Adds a tenant.
pub async fn create(tx: &mut AnyConnection, tenant: &Tenant) -> Result<(), sqlx::Error> {
    sqlx::query("insert into tenant (id, slug, name, home_country, enabled, created_at_us, max_calls, spend_cap_micros) values ($1, $2, $3, $4, $5, $6, $7, $8)")
        .bind(tenant.id.to_string())
        .bind(&tenant.slug)
        .bind(&tenant.name)
        .bind(tenant.home_country.map(|country| country.to_string()))
        .bind(i64::from(tenant.enabled))
        .bind(tenant.created_at.as_micros())
        .bind(tenant.caps.max_calls.map(i64::from))
        .bind(tenant.caps.spend_cap.map(Micros::get))
        .execute(tx)
        .await
        .map(drop)
}

/// Another slug, name, home, other caps, or switched off.
pub async fn update(tx: &mut AnyConnection, tenant: &Tenant) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update tenant set slug = $2, name = $3, home_country = $4, enabled = $5, max_calls = $6, spend_cap_micros = $7 where id = $1",
    )
    .bind(tenant.id.to_string())
    .bind(&tenant.slug)
    .bind(&tenant.name)
    .bind(tenant.home_country.map(|country| country.to_string()))
    .bind(i64::from(tenant.enabled))
    .bind(tenant.caps.max_calls.map(i64::from))
    .bind(tenant.caps.spend_cap.map(Micros::get))
    .execute(tx)
    .await
    .map(drop)
}

fn tenant(row: &AnyRow) -> Result<Tenant, sqlx::Error> {
    let parsed = |column: &str| row.try_get::<String, _>(column);
    let home = row.try_get::<Option<String>, _>("home_country")?.map(|country| country.parse()).transpose();
    Ok(Tenant {
        id: parsed("id")?.parse().map_err(|error: crate::types::IdError| sqlx::Error::Decode(error.into()))?,
        slug: parsed("slug")?,
        name: parsed("name")?,
        home_country: home.map_err(|_| sqlx::Error::Decode("home_country".into()))?,
        enabled: row.try_get::<i64, _>("enabled")? != 0,
        caps: Caps {
            max_calls: row.try_get::<Option<i64>, _>("max_calls")?.map(|most| u32::try_from(most).unwrap_or(u32::MAX)),
            spend_cap: row.try_get::<Option<i64>, _>("spend_cap_micros")?.map(Micros::new),
        },
        created_at: Timestamp::from_micros(row.try_get("created_at_us")?),
    })
}

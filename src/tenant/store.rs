//! All SQL of the room.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::Tenant;
use crate::types::{TenantId, Timestamp};

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

fn tenant(row: &AnyRow) -> Result<Tenant, sqlx::Error> {
    let parsed = |column: &str| row.try_get::<String, _>(column);
    let home = row.try_get::<Option<String>, _>("home_country")?.map(|country| country.parse()).transpose();
    Ok(Tenant {
        id: parsed("id")?.parse().map_err(|error: crate::types::IdError| sqlx::Error::Decode(error.into()))?,
        slug: parsed("slug")?,
        name: parsed("name")?,
        home_country: home.map_err(|_| sqlx::Error::Decode("home_country".into()))?,
        enabled: row.try_get::<i64, _>("enabled")? != 0,
        created_at: Timestamp::from_micros(row.try_get("created_at_us")?),
    })
}

//! All SQL of the trunks.

use sqlx::{AnyConnection, Row as _};

use super::{Settings, Trunk};
use crate::types::{Timestamp, TrunkId};

/// Most trunks one installation has.
pub const MOST_TRUNKS: i64 = 1000;

/// What can go wrong with the trunks of the books.
#[derive(Debug, thiserror::Error)]
pub enum TrunkError {
    /// Another trunk has this name.
    #[error("Another trunk has this name. Choose another.")]
    NameTaken,
    /// There are [`MOST_TRUNKS`] already.
    #[error("There are 1000 trunks already. Delete one first.")]
    TooMany,
    /// A row holds what no trunk can be.
    #[error("the trunk {0} in the books cannot be read: {1}")]
    Broken(String, String),
    /// The books cannot be reached.
    #[error(transparent)]
    Books(#[from] sqlx::Error),
}

/// Every trunk in order of priority.
pub async fn list(connection: &mut AnyConnection) -> Result<Vec<Trunk>, TrunkError> {
    let rows = sqlx::query("select id, name, enabled, priority, settings from trunk order by priority, name limit $1")
        .bind(MOST_TRUNKS)
        .fetch_all(connection)
        .await?;
    rows.iter().map(read).collect()
}

/// One trunk.
pub async fn get(connection: &mut AnyConnection, id: TrunkId) -> Result<Option<Trunk>, TrunkError> {
    let row = sqlx::query("select id, name, enabled, priority, settings from trunk where id = $1")
        .bind(id.to_string())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read).transpose()
}

/// Adds a trunk.
pub async fn create(connection: &mut AnyConnection, trunk: &Trunk, now: Timestamp) -> Result<(), TrunkError> {
    let added = sqlx::query(
        "insert into trunk (id, name, enabled, settings, priority, created_at_us) \
         select $1, $2, $3, $4, $5, $6 where (select count(*) from trunk) < $7",
    )
    .bind(trunk.id.to_string())
    .bind(&trunk.name)
    .bind(i64::from(trunk.enabled))
    .bind(json(&trunk.settings))
    .bind(trunk.priority)
    .bind(now.as_micros())
    .bind(MOST_TRUNKS)
    .execute(connection)
    .await
    .map_err(named)?;
    if added.rows_affected() == 0 { Err(TrunkError::TooMany) } else { Ok(()) }
}

/// Replaces everything but the id; false if there is no such trunk.
pub async fn update(connection: &mut AnyConnection, trunk: &Trunk) -> Result<bool, TrunkError> {
    let changed = sqlx::query("update trunk set name = $2, enabled = $3, settings = $4, priority = $5 where id = $1")
        .bind(trunk.id.to_string())
        .bind(&trunk.name)
        .bind(i64::from(trunk.enabled))
        .bind(json(&trunk.settings))
        .bind(trunk.priority)
        .execute(connection)
        .await
        .map_err(named)?;
    Ok(changed.rows_affected() == 1)
}

/// Forgets a trunk; false if there was none. Its name stays in the CDRs.
pub async fn delete(connection: &mut AnyConnection, id: TrunkId) -> Result<bool, TrunkError> {
    let gone = sqlx::query("delete from trunk where id = $1").bind(id.to_string()).execute(connection).await?;
    Ok(gone.rows_affected() == 1)
}

/// Keeps a sealed secret of a trunk, or forgets it.
pub async fn set_secret(connection: &mut AnyConnection, id: TrunkId, kind: SecretKind, sealed: Option<&str>) -> Result<(), TrunkError> {
    if let Some(sealed) = sealed {
        let keep = "insert into trunk_secret (trunk_id, kind, sealed) values ($1, $2, $3) \
                    on conflict (trunk_id, kind) do update set sealed = excluded.sealed";
        sqlx::query(keep).bind(id.to_string()).bind(kind.as_str()).bind(sealed).execute(connection).await?;
    } else {
        let forget = "delete from trunk_secret where trunk_id = $1 and kind = $2";
        sqlx::query(forget).bind(id.to_string()).bind(kind.as_str()).execute(connection).await?;
    }
    Ok(())
}

/// What is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretKind {
    /// Our password at the carrier.
    Password,
    /// The hashes of the carrier's password with us, one for each algorithm.
    Digest,
}

impl SecretKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Digest => "digest",
        }
    }
}

/// The sealed secrets of all trunks.
pub async fn secrets(connection: &mut AnyConnection) -> Result<Vec<(TrunkId, SecretKind, String)>, TrunkError> {
    let rows = sqlx::query("select trunk_id, kind, sealed from trunk_secret order by trunk_id, kind limit $1")
        .bind(MOST_TRUNKS * 2)
        .fetch_all(connection)
        .await?;
    let read = |row: &sqlx::any::AnyRow| {
        let (id, kind): (String, String) = (row.try_get("trunk_id")?, row.try_get("kind")?);
        let kind = if kind == SecretKind::Digest.as_str() { SecretKind::Digest } else { SecretKind::Password };
        Ok((id.parse().map_err(|error| TrunkError::Broken(id.clone(), format!("{error}")))?, kind, row.try_get("sealed")?))
    };
    rows.iter().map(read).collect()
}

fn read(row: &sqlx::any::AnyRow) -> Result<Trunk, TrunkError> {
    let id: String = row.try_get("id")?;
    let settings: String = row.try_get("settings")?;
    let broken = |reason: &dyn std::fmt::Display| TrunkError::Broken(id.clone(), reason.to_string());
    Ok(Trunk {
        id: id.parse().map_err(|error| broken(&error))?,
        name: row.try_get("name")?,
        enabled: row.try_get::<i64, _>("enabled")? != 0,
        priority: row.try_get("priority")?,
        settings: serde_json::from_str(&settings).map_err(|error| broken(&error))?,
        target: None,
    })
}

fn json(settings: &Settings) -> String {
    serde_json::to_string(settings).expect("settings hold nothing JSON cannot say")
}

fn named(error: sqlx::Error) -> TrunkError {
    // SQLite names the column of a broken constraint, PostgreSQL the constraint.
    match error.as_database_error() {
        Some(broken) if broken.is_unique_violation() => TrunkError::NameTaken,
        _ => error.into(),
    }
}

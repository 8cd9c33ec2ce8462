//! Keys to the API: 160 random bits shown once, kept as their SHA-256, revocable.

use sha2::{Digest as _, Sha256};

use super::store;
use crate::database::{self, Database};
use crate::types::{ApiKeyId, Clock, Random, Secret, Timestamp};

/// What every key begins with, so that a scanner of repositories knows one when it sees it.
const PREFIX: &str = "ct_live_";
/// Characters of 62 after the prefix: 27 of them hold more than 160 bits.
const LENGTH: usize = 27;
/// Longest name of a key.
pub const LONGEST_NAME: usize = 100;

/// A key as it is listed; the key itself is nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// What the operator calls it.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last let somebody in, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

/// Makes a key. The secret is shown once and cannot be found again.
pub async fn create(database: &Database, clock: &Clock, random: &Random, name: &str) -> Result<(ApiKey, Secret), database::Error> {
    let secret = Secret::new(format!("{PREFIX}{}", random.alphanumeric(LENGTH)));
    let name = name.chars().filter(|character| !character.is_control()).take(LONGEST_NAME).collect();
    let key = ApiKey { id: ApiKeyId::new(clock, random), name, created_at: clock.timestamp(), last_used_at: None, revoked_at: None };
    let (row, digest) = (key.clone(), digest(secret.expose()));
    database.write(move |tx| Box::pin(async move { store::create_key(tx, &row, &digest).await })).await?;
    Ok((key, secret))
}

/// Every key, oldest first.
pub async fn list(database: &Database, after: Option<ApiKeyId>, limit: u32) -> Result<Vec<ApiKey>, database::Error> {
    store::list_keys(&mut *database.read().await?, after, limit).await
}

/// Takes a key back at once; false if there is none such.
pub async fn revoke(database: &Database, clock: &Clock, id: ApiKeyId) -> Result<bool, database::Error> {
    let now = clock.timestamp();
    database.write(move |tx| Box::pin(async move { store::revoke_key(tx, id, now).await })).await
}

/// The key that `presented` is, if it is one.
pub(super) async fn find(database: &Database, presented: &str) -> Result<Option<ApiKey>, database::Error> {
    if presented.len() != PREFIX.len() + LENGTH || !presented.starts_with(PREFIX) {
        return Ok(None);
    }
    // Looked up by its digest: what an index compares tells nothing about the key.
    store::find_key(&mut *database.read().await?, &digest(presented)).await
}

fn digest(key: &str) -> String {
    crate::subscriber::credential::hex(&Sha256::digest(key.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_holds_160_bits() {
        assert!(62_f64.log2() * f64::from(u32::try_from(LENGTH).unwrap()) >= 160.0);
    }
}

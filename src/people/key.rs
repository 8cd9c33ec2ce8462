//! Keys to the API: 160 random bits shown once, kept as their SHA-256, bound to a tenant or the operator's, with the scopes they
//! were given, revocable. A new key is made before the old one is taken back: as many hold at a time as are wanted.

use std::collections::BTreeSet;

use super::{PeopleError, Principal, Role, Scope, Who, digest, store};
use crate::database::{Connection, Database};
use crate::types::{ApiKeyId, Clock, Random, Secret, TenantId, Timestamp};

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
    /// The tenant it is bound to; none for the operator's own.
    pub tenant: Option<TenantId>,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// Who made it: the id of a person or key, or `server`.
    pub made_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it holds; none: until it is taken back.
    pub expires_at: Option<Timestamp>,
    /// When it last let somebody in, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

impl ApiKey {
    /// As whom it acts.
    pub fn principal(&self) -> Principal {
        Principal { who: Who::Key(self.id), name: self.name.clone(), tenant: self.tenant, scopes: self.scopes.clone() }
    }
}

/// A key to make.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// The tenant, or none for the operator's own.
    pub tenant: Option<TenantId>,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// Until when it holds.
    pub expires_at: Option<Timestamp>,
}

/// Makes a key that does not do more than `by` may. The secret is shown once and cannot be found again.
pub async fn make(
    tx: &mut Connection,
    by: &Principal,
    new: NewKey,
    clock: &Clock,
    random: &Random,
) -> Result<(ApiKey, Secret), PeopleError> {
    let beyond = !new.scopes.is_subset(&by.scopes) || (new.tenant.is_none() && by.tenant.is_some());
    if beyond {
        return Err(PeopleError::MoreThanYou);
    }
    let secret = Secret::new(format!("{PREFIX}{}", random.alphanumeric(LENGTH)));
    let key = ApiKey {
        id: ApiKeyId::new(clock, random),
        tenant: new.tenant,
        name: new.name.chars().filter(|character| !character.is_control()).take(LONGEST_NAME).collect(),
        scopes: new.scopes,
        made_by: by.who.to_string(),
        created_at: clock.timestamp(),
        expires_at: new.expires_at,
        last_used_at: None,
        revoked_at: None,
    };
    store::create_key(tx, &key, &digest(secret.expose())).await?;
    Ok((key, secret))
}

/// Makes a key of the operator that may do everything: at the machine itself.
pub async fn create(database: &Database, clock: &Clock, random: &Random, name: &str) -> Result<(ApiKey, Secret), PeopleError> {
    let (clock, random, name) = (clock.clone(), random.clone(), name.to_owned());
    let made = database.write(move |tx| {
        Box::pin(async move {
            let server = Principal { who: Who::Server, name: "server".to_owned(), tenant: None, scopes: Role::Owner.scopes() };
            let new = NewKey { tenant: None, name, scopes: Role::Owner.scopes(), expires_at: None };
            make(tx, &server, new, &clock, &random).await
        })
    });
    made.await
}

/// The keys of a tenant, or the operator's own, oldest first.
pub async fn list(
    connection: &mut Connection,
    tenant: Option<TenantId>,
    after: Option<ApiKeyId>,
    limit: u32,
) -> Result<Vec<ApiKey>, PeopleError> {
    Ok(store::keys(connection, tenant, after, limit).await?)
}

/// The key, if somebody who works in `tenant` may see it. `operator`: the operator's own keys too.
pub async fn get(connection: &mut Connection, id: ApiKeyId, tenant: TenantId, operator: bool) -> Result<Option<ApiKey>, PeopleError> {
    let found = store::key(connection, id).await?;
    Ok(found.filter(|key| key.tenant.map_or(operator, |own| own == tenant)))
}

/// Another name, other scopes, another end. Nobody changes a key that may do more than they.
pub async fn update(tx: &mut Connection, by: &Principal, before: &ApiKey, after: &ApiKey) -> Result<(), PeopleError> {
    if before.scopes.is_subset(&by.scopes) && after.scopes.is_subset(&by.scopes) {
        Ok(store::update_key(tx, after).await?)
    } else {
        Err(PeopleError::MoreThanYou)
    }
}

/// Takes a key back at once; false if it was taken back before. Whoever may change people may take any of their tenant's back.
pub async fn revoke(tx: &mut Connection, id: ApiKeyId, now: Timestamp) -> Result<bool, PeopleError> {
    Ok(store::revoke_key(tx, id, now).await?)
}

/// The key that `presented` is, if it is one that holds now.
pub async fn find(database: &Database, presented: &str, now: Timestamp) -> Result<Option<ApiKey>, PeopleError> {
    if presented.len() != PREFIX.len() + LENGTH || !presented.starts_with(PREFIX) {
        return Ok(None);
    }
    // Looked up by its digest: what an index compares tells nothing about the key.
    let found = store::find_key(&mut *database.read().await?, &digest(presented)).await?;
    Ok(found.filter(|key| key.expires_at.is_none_or(|end| now < end)))
}

/// Notes that a key was used; not more often than `not_since` says.
pub async fn touch(tx: &mut Connection, id: ApiKeyId, now: Timestamp, not_since: Timestamp) -> Result<(), PeopleError> {
    Ok(store::touch_key(tx, id, now, not_since).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_holds_160_bits() {
        assert!(62_f64.log2() * f64::from(u32::try_from(LENGTH).unwrap()) >= 160.0);
    }
}

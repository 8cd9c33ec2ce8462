//! Somebody who signs in: their name at the door, their role, and the rules of who may change whom.

use super::{PeopleError, Principal, Role, Who, store};
use crate::database::Connection;
use crate::types::{Clock, PersonId, Random, TenantId, Timestamp};

/// Longest name at the door and longest name for people.
pub const LONGEST_NAME: usize = 200;

/// Somebody who keeps the books. What they prove themselves by is nowhere in here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Their id.
    pub id: PersonId,
    /// The tenant they are bound to; none for the operator's own.
    pub tenant: Option<TenantId>,
    /// What they sign in as: an e-mail address or a user name, in lower case.
    pub login: String,
    /// What people call them.
    pub name: String,
    /// What they are to the books.
    pub role: Role,
    /// Whether they may sign in.
    pub enabled: bool,
    /// Whether they have accepted their invitation.
    pub accepted: bool,
    /// Whether a second factor is asked for.
    pub second_factor: bool,
    /// When they were added.
    pub created_at: Timestamp,
    /// When they last signed in.
    pub signed_in_at: Option<Timestamp>,
}

impl Person {
    /// As whom they act.
    pub fn principal(&self) -> Principal {
        Principal { who: Who::Person(self.id), name: self.login.clone(), tenant: self.tenant, scopes: self.role.scopes() }
    }
}

/// Somebody to add.
#[derive(Debug, Clone)]
pub struct NewPerson {
    /// The tenant, or none for the operator's own.
    pub tenant: Option<TenantId>,
    /// What they will sign in as.
    pub login: String,
    /// What people call them.
    pub name: String,
    /// What they are to the books.
    pub role: Role,
}

/// What changes.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// What people call them.
    pub name: Option<String>,
    /// What they are to the books.
    pub role: Option<Role>,
    /// Whether they may sign in.
    pub enabled: Option<bool>,
}

/// A name at the door as it is compared.
pub fn fold(login: &str) -> Result<String, PeopleError> {
    let folded = login.trim().to_lowercase();
    let fine = (2..=LONGEST_NAME).contains(&folded.chars().count()) && !folded.chars().any(|c| c.is_control() || c.is_whitespace());
    if fine { Ok(folded) } else { Err(PeopleError::Login) }
}

/// A name for people.
pub fn called(name: &str) -> Result<String, PeopleError> {
    let name = name.trim();
    let fine = (1..=LONGEST_NAME).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if fine { Ok(name.to_owned()) } else { Err(PeopleError::Name) }
}

/// Lets `by` go on only if they may do themselves all that `role` may.
fn within(by: &Principal, role: Role) -> Result<(), PeopleError> {
    if role.scopes().is_subset(&by.scopes) { Ok(()) } else { Err(PeopleError::MoreThanYou) }
}

/// Adds somebody without a password; an invitation lets them choose one.
pub async fn create(tx: &mut Connection, by: &Principal, new: NewPerson, clock: &Clock, random: &Random) -> Result<Person, PeopleError> {
    within(by, new.role)?;
    if new.tenant.is_none() && by.tenant.is_some() {
        return Err(PeopleError::MoreThanYou);
    }
    let person = Person {
        id: PersonId::new(clock, random),
        tenant: new.tenant,
        login: fold(&new.login)?,
        name: called(&new.name)?,
        role: new.role,
        enabled: true,
        accepted: false,
        second_factor: false,
        created_at: clock.timestamp(),
        signed_in_at: None,
    };
    store::create_person(tx, &person).await.map_err(PeopleError::taken)?;
    Ok(person)
}

/// The person, if somebody who works in `tenant` may see them. `operator`: the operator's own people too.
pub async fn get(connection: &mut Connection, id: PersonId, tenant: TenantId, operator: bool) -> Result<Option<Person>, PeopleError> {
    let found = store::person(connection, id).await?;
    Ok(found.filter(|person| person.tenant.map_or(operator, |own| own == tenant)))
}

/// The person, for whoever they are themselves.
pub async fn find(connection: &mut Connection, id: PersonId) -> Result<Option<Person>, PeopleError> {
    Ok(store::person(connection, id).await?)
}

/// Lets `by` change `person` only if they may do themselves all that the person may.
pub fn may_change(by: &Principal, person: &Person) -> Result<(), PeopleError> {
    within(by, person.role)
}

/// The people of a tenant, or the operator's own, oldest first.
pub async fn list(
    connection: &mut Connection,
    tenant: Option<TenantId>,
    after: Option<PersonId>,
    limit: u32,
) -> Result<Vec<Person>, PeopleError> {
    Ok(store::people(connection, tenant, after, limit).await?)
}

/// Changes somebody. Whoever may do less than they can or shall may not; the operator's last owner stays one.
pub async fn update(tx: &mut Connection, by: &Principal, before: &Person, change: &Change) -> Result<Person, PeopleError> {
    within(by, before.role)?;
    let mut after = before.clone();
    if let Some(role) = change.role {
        within(by, role)?;
        after.role = role;
    }
    if let Some(name) = &change.name {
        after.name = called(name)?;
    }
    after.enabled = change.enabled.unwrap_or(before.enabled);
    if (before.role, before.enabled) != (after.role, after.enabled) {
        keep_an_owner(tx, before, after.role == Role::Owner && after.enabled).await?;
    }
    store::update_person(tx, &after).await?;
    Ok(after)
}

/// Removes somebody with their sign-ins and invitations; what they did stays in the audit log under their name.
pub async fn remove(tx: &mut Connection, by: &Principal, person: &Person) -> Result<(), PeopleError> {
    within(by, person.role)?;
    keep_an_owner(tx, person, false).await?;
    Ok(store::remove_person(tx, person.id).await?)
}

/// The second factor is taken away, for somebody who lost it, by somebody who may.
pub async fn forget_second_factor(tx: &mut Connection, by: &Principal, person: &Person) -> Result<(), PeopleError> {
    within(by, person.role)?;
    Ok(store::set_totp(tx, person.id, None, 0).await?)
}

/// Ends every sign-in of somebody; how many there were.
pub async fn sign_out(tx: &mut Connection, by: &Principal, person: &Person, now: Timestamp) -> Result<u64, PeopleError> {
    within(by, person.role)?;
    Ok(store::end_sign_ins(tx, person.id, None, now).await?)
}

async fn keep_an_owner(tx: &mut Connection, person: &Person, stays: bool) -> Result<(), PeopleError> {
    let is_one = person.tenant.is_none() && person.role == Role::Owner && person.enabled && person.accepted;
    if !is_one || stays || store::other_owners(tx, person.id).await? > 0 { Ok(()) } else { Err(PeopleError::LastOwner) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_and_bounded() {
        assert_eq!(fold(" Ann@Example.com ").unwrap(), "ann@example.com");
        for wrong in ["", "a", "ann b", "ann\u{7}x", &"x".repeat(201)] {
            assert!(fold(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nobody_grants_more_than_they_have() {
        let support = Principal { who: Who::Server, name: String::new(), tenant: None, scopes: Role::Support.scopes() };
        assert!(within(&support, Role::ReadOnly).is_ok() && within(&support, Role::Support).is_ok());
        assert!(within(&support, Role::Billing).is_err() && within(&support, Role::Owner).is_err());
    }
}

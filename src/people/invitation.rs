//! One-time links that let somebody choose a password: for the first owner, for people who are invited, and for those who lost
//! theirs. A link holds 160 random bits and is kept as their SHA-256.

use std::time::Duration;

use super::person::{self, NewPerson, Person};
use super::{PeopleError, Principal, Role, Who, digest, password, store};
use crate::database::Connection;
use crate::types::{Clock, PersonId, Random, Secret, Timestamp};

/// How long a link holds.
pub const LIFE: Duration = Duration::from_secs(24 * 3600);
/// Characters of 62: 27 of them hold more than 160 bits.
const LENGTH: usize = 27;

/// What a link is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Who chooses a password; none where an owner of the operator is made.
    pub person: Option<Person>,
    /// Until when.
    pub expires_at: Timestamp,
}

/// What is chosen.
#[derive(Debug, Clone)]
pub struct Acceptance {
    /// What the owner will sign in as; people who were invited have a name already.
    pub login: Option<String>,
    /// What people call them.
    pub name: Option<String>,
    /// The password, hashed.
    pub hashed: Secret,
}

/// Where the link leads, below the server's address.
pub fn path(token: &Secret) -> String {
    format!("/admin/welcome/{}", token.expose())
}

/// A new link for `person`; their older ones die. None: a link that makes an owner.
pub async fn create(
    tx: &mut Connection,
    person: Option<PersonId>,
    clock: &Clock,
    random: &Random,
) -> Result<(Secret, Timestamp), PeopleError> {
    let token = Secret::new(random.alphanumeric(LENGTH));
    let expires_at = clock.timestamp() + LIFE;
    store::replace_invitation(tx, person, &digest(token.expose()), expires_at).await?;
    Ok((token, expires_at))
}

/// The link for the first owner, while the operator has none who could sign in; any older one dies.
pub async fn welcome(tx: &mut Connection, clock: &Clock, random: &Random) -> Result<Option<Secret>, PeopleError> {
    if store::has_owner(tx).await? {
        return Ok(None);
    }
    create(tx, None, clock, random).await.map(|(token, _)| Some(token))
}

/// What the link is for; none if it is used, too old or never was.
pub async fn find(connection: &mut Connection, token: &str, now: Timestamp) -> Result<Option<Invitation>, PeopleError> {
    let Some((person, expires_at)) = store::invitation(connection, &digest(token), now).await? else { return Ok(None) };
    let person = match person {
        Some(id) => match store::person(connection, id).await?.filter(|person| person.enabled) {
            Some(person) => Some(person),
            None => return Ok(None),
        },
        None => None,
    };
    Ok(Some(Invitation { person, expires_at }))
}

/// Whether `chosen` may be the password of whoever the link is for.
pub fn check(invitation: &Invitation, login: Option<&str>, chosen: &str) -> Result<(), PeopleError> {
    let login = match &invitation.person {
        Some(person) => person.login.clone(),
        None => person::fold(login.ok_or(PeopleError::Login)?)?,
    };
    password::check(chosen, &login)
}

/// Uses the link: the password is set, every sign-in of before ends.
pub async fn accept(tx: &mut Connection, token: &str, chosen: Acceptance, clock: &Clock, random: &Random) -> Result<Person, PeopleError> {
    let now = clock.timestamp();
    let found = find(tx, token, now).await?.ok_or(PeopleError::Gone)?;
    if !store::use_invitation(tx, &digest(token), now).await? {
        return Err(PeopleError::Gone);
    }
    let person = if let Some(person) = found.person {
        person
    } else {
        let server = Principal { who: Who::Server, name: "server".to_owned(), tenant: None, scopes: Role::Owner.scopes() };
        let login = chosen.login.ok_or(PeopleError::Login)?;
        let name = chosen.name.unwrap_or_else(|| login.clone());
        person::create(tx, &server, NewPerson { tenant: None, login, name, role: Role::Owner }, clock, random).await?
    };
    store::set_password(tx, person.id, &chosen.hashed).await?;
    store::end_sign_ins(tx, person.id, None, now).await?;
    Ok(Person { accepted: true, ..person })
}

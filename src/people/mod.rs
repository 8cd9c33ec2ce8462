//! Who keeps the books: people who sign in, keys for machines, what each may do, and the log of what each did.
//!
//! Everybody acts as a [`Principal`]: a name, the tenant it is bound to (none for the operator's own people and keys), and the
//! [`Scope`]s it has. A role is a set of scopes. A change is written together with its line in the audit log, in one transaction.

pub mod audit;
pub mod invitation;
pub mod key;
pub mod password;
pub mod person;
pub mod sign_in;
mod store;
pub mod totp;

use std::collections::BTreeSet;
use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::database;
use crate::types::{ApiKeyId, PersonId, TenantId};

/// Why something about people is not done. Every text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    /// The books.
    #[error(transparent)]
    Database(#[from] database::Error),
    /// What somebody signs in as.
    #[error("Write a name of 2 to 200 characters without spaces, such as ann@example.com.")]
    Login,
    /// What people call somebody.
    #[error("Write a name of 1 to 200 characters.")]
    Name,
    /// Somebody is called that already.
    #[error("Somebody signs in under this name already. Choose another, or change that person.")]
    Taken,
    /// A password that will not do.
    #[error("{0}")]
    Password(&'static str),
    /// Nobody gives what they have not.
    #[error("You cannot give, change or take away more than you may do yourself. Ask an owner for it.")]
    MoreThanYou,
    /// Somebody must be able to get in.
    #[error("This is the operator's last owner who can sign in. Make another one first.")]
    LastOwner,
    /// The link is used, too old, or never was.
    #[error("This link is used up or too old. Ask whoever sent it for a new one.")]
    Gone,
    /// The password was right; the second factor is missing.
    #[error("Give the code of your authenticator app, or one of your recovery codes.")]
    CodeNeeded,
    /// The code is wrong or used.
    #[error("This code is wrong, too old or used. Wait for the next one and try again.")]
    CodeWrong,
    /// There is no second factor to confirm.
    #[error("No second factor was offered. Ask for one first.")]
    NothingOffered,
    /// Sealing needs the key.
    #[error("The secret of the second factor cannot be sealed or opened: put the right master key back and start the server again.")]
    NoMasterKey,
}

impl PeopleError {
    /// A unique name is taken; everything else stays what it is.
    fn taken(error: database::Error) -> Self {
        match error.as_database_error() {
            Some(broken) if broken.is_unique_violation() => Self::Taken,
            _ => Self::Database(error),
        }
    }
}

/// What is kept of a random secret.
fn digest(secret: &str) -> String {
    crate::subscriber::credential::hex(&Sha256::digest(secret.as_bytes()))
}

/// One kind of thing somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// See everything of the tenant but the audit log.
    Read,
    /// Change subscribers, their numbers, identities, credentials and limits.
    Subscribers,
    /// Move money: top-ups, adjustments, transfers, vouchers; approve them.
    Money,
    /// Import, apply, roll back decks; exchange rates.
    Decks,
    /// Change access numbers.
    Numbers,
    /// Change trunks: the operator's own only.
    Trunks,
    /// Hang up calls, cancel reservations.
    Calls,
    /// Change caps, country switches, hotlists; acknowledge alerts.
    Fraud,
    /// Invite, change and remove people and keys.
    People,
    /// Make and change tenants: the operator's own only.
    Tenants,
    /// Read and export the audit log.
    Audit,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Scope {
    /// From the way it is written in keys.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.code() == code)
    }

    /// Every scope, in the order of the list above.
    pub const ALL: [Self; 11] = [
        Self::Read,
        Self::Subscribers,
        Self::Money,
        Self::Decks,
        Self::Numbers,
        Self::Trunks,
        Self::Calls,
        Self::Fraud,
        Self::People,
        Self::Tenants,
        Self::Audit,
    ];

    /// As it is written in keys and in the API.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Subscribers => "subscribers",
            Self::Money => "money",
            Self::Decks => "decks",
            Self::Numbers => "numbers",
            Self::Trunks => "trunks",
            Self::Calls => "calls",
            Self::Fraud => "fraud",
            Self::People => "people",
            Self::Tenants => "tenants",
            Self::Audit => "audit",
        }
    }
}

/// What a person is to the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May do everything.
    Owner,
    /// Keeps the money: subscribers, money, decks, fraud rules, audit.
    Billing,
    /// Helps callers: subscribers and live calls, no money.
    Support,
    /// Looks.
    ReadOnly,
}

impl Role {
    /// Every role, the one that may most first.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Billing, Self::Support, Self::ReadOnly];

    /// As it is written in the books and in the API.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Billing => "billing",
            Self::Support => "support",
            Self::ReadOnly => "read_only",
        }
    }

    /// From the word in the books.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.code() == code)
    }

    /// What the role may do.
    pub fn scopes(self) -> BTreeSet<Scope> {
        let scopes: &[Scope] = match self {
            Self::Owner => &Scope::ALL,
            Self::Billing => {
                &[Scope::Read, Scope::Subscribers, Scope::Money, Scope::Decks, Scope::Numbers, Scope::Calls, Scope::Fraud, Scope::Audit]
            }
            Self::Support => &[Scope::Read, Scope::Subscribers, Scope::Calls],
            Self::ReadOnly => &[Scope::Read],
        };
        scopes.iter().copied().collect()
    }
}

/// Who it is, by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    /// Somebody who signed in.
    Person(PersonId),
    /// A machine with a key.
    Key(ApiKeyId),
    /// The server itself, or somebody at its command line.
    Server,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(id) => id.fmt(f),
            Self::Key(id) => id.fmt(f),
            Self::Server => f.write_str("server"),
        }
    }
}

impl std::str::FromStr for Who {
    type Err = crate::types::IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('_').map(|(kind, _)| kind) {
            Some("pers") => text.parse().map(Self::Person),
            Some("key") => text.parse().map(Self::Key),
            _ => Ok(Self::Server),
        }
    }
}

/// Somebody who is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// By id.
    pub who: Who,
    /// What people call them.
    pub name: String,
    /// The tenant they are bound to; none for the operator's own.
    pub tenant: Option<TenantId>,
    /// What they may do.
    pub scopes: BTreeSet<Scope>,
}

impl Principal {
    /// May they do this?
    pub fn may(&self, scope: Scope) -> bool {
        let operators = matches!(scope, Scope::Trunks | Scope::Tenants);
        self.scopes.contains(&scope) && (!operators || self.tenant.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trunks_and_tenants_are_the_operators() {
        let bound = Principal { who: Who::Server, name: String::new(), tenant: Some(TenantId::MAIN), scopes: Role::Owner.scopes() };
        assert!(bound.may(Scope::Money) && !bound.may(Scope::Trunks) && !bound.may(Scope::Tenants));
        let operator = Principal { tenant: None, ..bound };
        assert!(Scope::ALL.into_iter().all(|scope| operator.may(scope)));
        assert!(!Role::Support.scopes().contains(&Scope::Money));
    }
}

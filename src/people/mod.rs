//! Who keeps the books: people who sign in, keys for machines, what each may do, and the log of what each did.
//!
//! Everybody acts as a [`Principal`]: a name, the tenant it is bound to (none for the operator's own people and keys), and the
//! [`Scope`]s it has. A role is a set of scopes. A change is written together with its line in the audit log, in one transaction.

pub mod audit;
mod store;

use std::collections::BTreeSet;
use std::fmt;

use crate::types::{ApiKeyId, PersonId, TenantId};

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

impl Scope {
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

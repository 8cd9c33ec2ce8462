//! The operator's customers, strictly apart: each has its own access numbers, decks, subscribers, people and rules. One of them
//! exists from the start, and a server with one business never needs another.

pub mod store;

use crate::types::{Country, TenantId, Timestamp};

/// A customer of the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its name in paths: lower-case letters, digits and hyphens, 2 to 40 of them.
    pub slug: String,
    /// What people call it.
    pub name: String,
    /// Where it is at home: new tenants may call there.
    pub home_country: Option<Country>,
    /// Whether its subscribers may call and its people sign in.
    pub enabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

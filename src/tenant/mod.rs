//! The operator's customers, strictly apart: each has its own access numbers, decks, subscribers, people and rules. One of them
//! exists from the start, and a server with one business never needs another.

pub mod store;

use crate::types::{Country, Micros, TenantId, Timestamp};

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
    /// What all its subscribers together may do.
    pub caps: Caps,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Caps of a whole tenant, above those of its subscribers; none means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Caps {
    /// Calls at once, counted as open holds.
    pub max_calls: Option<u32>,
    /// What may be spent a day, each currency by itself: settled since 00:00 UTC and held.
    pub spend_cap: Option<Micros>,
}

/// Whether a tenant may be called so in paths.
pub fn is_slug(text: &str) -> bool {
    (2..=40).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_safe_in_paths() {
        assert!(is_slug("main") && is_slug("north-shop-2"));
        for wrong in ["", "a", "North", "1st", "-x", "a/b", "a b", "ä1", &"x".repeat(41)] {
            assert!(!is_slug(wrong), "{wrong}");
        }
    }
}

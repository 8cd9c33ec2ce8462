//! What fraud may not reach: hotlists, and each tenant's own rules on countries and kinds of numbers.
//!
//! [`Rules`] keeps all of it in memory and is asked at both doors, when a phone requests a call and when the call arrives.
//! Changes are seen at once on the node that made them, and by the others within seconds.

pub mod hotlist;
pub mod policy;
pub mod store;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

pub use hotlist::{Hotlist, Listed};
pub use policy::{NewCountry, OnFraud, Policy, Signs};

use crate::types::{E164, TenantId};

/// Everything as of one moment.
#[derive(Debug, Default)]
pub struct Book {
    /// The operator's hotlists together.
    pub everybody: Listed,
    /// Each tenant's own together.
    pub own: HashMap<TenantId, Listed>,
    /// Rules of the tenants that have any.
    pub policies: HashMap<TenantId, Policy>,
    /// What the lists were read as of; the same stamps mean the same lists.
    stamps: Vec<(String, i64)>,
}

/// The rules in memory; every clone sees the same book, which is swapped whole.
#[derive(Debug, Clone, Default)]
pub struct Rules(Arc<RwLock<Arc<Book>>>);

/// Two settings are the same whatever the rules in memory say.
impl PartialEq for Rules {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Rules {}

impl Rules {
    /// The book as it stands; it does not change under its reader.
    pub fn book(&self) -> Arc<Book> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a new book in place.
    pub fn swap(&self, book: Book) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(book);
    }

    /// The tenant's own rules, if it has any.
    pub fn policy(&self, tenant: TenantId) -> Option<Policy> {
        self.book().policies.get(&tenant).cloned()
    }
}

impl Book {
    /// The name of the hotlist the number is on, the operator's or the tenant's own.
    pub fn listed(&self, tenant: TenantId, number: E164) -> Option<&str> {
        let digits = number.digits();
        self.everybody.find(&digits).or_else(|| self.own.get(&tenant)?.find(&digits))
    }
}

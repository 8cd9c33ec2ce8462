//! What fraud may not reach: hotlists, and each tenant's own rules on countries and kinds of numbers; and what looks like it.
//!
//! [`Rules`] keeps all of it in memory and is asked at both doors, when a phone requests a call and when the call arrives.
//! Changes are seen at once on the node that made them, and by the others within seconds.

pub mod hotlist;
pub mod policy;
pub mod store;
pub mod watch;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

pub use hotlist::{Hotlist, Listed};
pub use policy::{NewCountry, OnFraud, Policy, PrefixClass, Signs};

use self::watch::{Finding, Watch};
use crate::types::{E164, Refusal, SubscriberId, TenantId, Timestamp};

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

/// The rules in memory, and what is seen of the calls of late. Every clone sees the same; the book is swapped whole.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    book: Arc<RwLock<Arc<Book>>>,
    watch: Arc<Mutex<Watch>>,
}

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
        Arc::clone(&self.book.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a new book in place.
    pub fn swap(&self, book: Book) {
        *self.book.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(book);
    }

    /// The tenant's own rules, if it has any.
    pub fn policy(&self, tenant: TenantId) -> Option<Policy> {
        self.book().policies.get(&tenant).cloned()
    }

    /// A call is let in: it is looked at for signs of fraud, in memory.
    pub fn called(&self, tenant: TenantId, subscriber: SubscriberId, number: E164, now: Timestamp) {
        self.watch().called(&self.signs(tenant), tenant, subscriber, number, now);
    }

    /// So many calls in an hour to numbers of a class that its tenant watches, the last to this one.
    pub fn watched(&self, tenant: TenantId, subscriber: SubscriberId, calls: u32, number: E164, now: Timestamp) {
        self.watch().watched(tenant, subscriber, calls, number, now);
    }

    /// An answered call is over.
    pub fn ended(&self, subscriber: SubscriberId, talked: Duration, now: Timestamp) {
        let Some(tenant) = self.watch().tenant(subscriber) else { return };
        let signs = self.signs(tenant);
        self.watch().ended(&signs, tenant, subscriber, talked, now);
    }

    /// A request or a call is refused.
    pub fn refused(&self, tenant: TenantId, subscriber: SubscriberId, refusal: Refusal, now: Timestamp) {
        let signs = self.signs(tenant);
        self.watch().refused(&signs, tenant, subscriber, refusal, now);
    }

    /// What was found since it was asked last.
    pub fn findings(&self) -> Vec<Finding> {
        self.watch().findings()
    }

    /// What could not be written down is found again.
    pub fn put_back(&self, findings: Vec<Finding>) {
        self.watch().put_back(findings);
    }

    fn signs(&self, tenant: TenantId) -> Signs {
        self.book().policies.get(&tenant).map(|policy| policy.signs.clone()).unwrap_or_default()
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// The name of the hotlist the number is on, the operator's or the tenant's own.
    pub fn listed(&self, tenant: TenantId, number: E164) -> Option<&str> {
        let digits = number.digits();
        self.everybody.find(&digits).or_else(|| self.own.get(&tenant)?.find(&digits))
    }
}

//! Money from one account to another of the same tenant and currency.
//!
//! Each account has a chain of its own, so a transfer is two postings by way of the transit book, in one transaction: one takes
//! from the giver, one gives to the taker, and the transit book is empty again after each transfer. Both accounts are locked in
//! the order of their ids, so that two transfers the other way round do not wait for each other for ever.

mod store;

use sqlx::AnyConnection;

use super::{Draft, Kind, LedgerError};
use crate::types::{AccountId, Clock, Currency, Micros, PostingId, Random, TenantId, Timestamp, TransferId};

pub use store::{Filter, get, list};

/// A transfer that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// In whose books.
    pub tenant: TenantId,
    /// Who gives.
    pub from: AccountId,
    /// Who takes.
    pub to: AccountId,
    /// How much.
    pub amount: Micros,
    /// In what.
    pub currency: Currency,
    /// Why.
    pub reason: String,
    /// Who asked.
    pub by: String,
    /// The key under which it is done once.
    pub key: String,
}

/// A transfer that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Which.
    pub id: TransferId,
    /// In whose books.
    pub tenant: TenantId,
    /// Who gave.
    pub from: AccountId,
    /// Who took.
    pub to: AccountId,
    /// How much.
    pub amount: Micros,
    /// In what.
    pub currency: Currency,
    /// Why.
    pub reason: String,
    /// Who asked.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// The giver's posting.
    pub out_posting: PostingId,
    /// The taker's posting.
    pub in_posting: PostingId,
}

/// Why no money moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotMade {
    /// Giver and taker are one.
    Same,
    /// Nothing, or less.
    Amount,
    /// One of them is in another currency.
    Currency(AccountId, Currency),
    /// The giver has only this left to spend.
    NotEnough(Micros),
}

/// Makes it, in one transaction. Another tenant's account is none.
pub async fn make(
    tx: &mut AnyConnection,
    wanted: Wanted,
    clock: &Clock,
    random: &Random,
) -> Result<Result<Transfer, NotMade>, LedgerError> {
    let Wanted { tenant, from, to, amount, currency, .. } = wanted;
    if from == to {
        return Ok(Err(NotMade::Same));
    }
    if amount <= Micros::ZERO {
        return Ok(Err(NotMade::Amount));
    }
    let now = clock.timestamp();
    for account in [from.min(to), from.max(to)] {
        super::store::lock(tx, account, now).await?;
    }
    let mut left = Micros::ZERO;
    for id in [to, from] {
        let account = super::store::get(tx, id).await?.filter(|account| account.tenant == tenant).ok_or(LedgerError::NoAccount(id))?;
        if account.currency != currency {
            return Ok(Err(NotMade::Currency(id, account.currency)));
        }
        left = account.available()?;
    }
    if left < amount {
        return Ok(Err(NotMade::NotEnough(left)));
    }
    let id = TransferId::new(clock, random);
    let draft = |account, amount, way| Draft {
        account,
        kind: Kind::Transfer,
        amount,
        cause: id.to_string(),
        idempotency_key: format!("{}/{way}", wanted.key),
        note: wanted.reason.clone(),
        against: None,
    };
    let taken = super::store::post(tx, draft(from, Micros::ZERO.minus(amount)?, "out"), clock, random).await?;
    let given = super::store::post(tx, draft(to, amount, "in"), clock, random).await?;
    let made = Transfer {
        id,
        tenant,
        from,
        to,
        amount,
        currency,
        reason: wanted.reason,
        by: wanted.by,
        at: now,
        out_posting: taken.posting.id,
        in_posting: given.posting.id,
    };
    store::create(tx, &made).await?;
    Ok(Ok(made))
}

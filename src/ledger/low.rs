//! A word when an account runs low: told once when less than its threshold is left to spend, armed again when more is. It is
//! looked at whenever money moves; money set aside for calls that are up counts as spent.

mod store;

use sqlx::AnyConnection;

use super::{Account, LedgerError};
use crate::alert::{self, Severity};
use crate::types::{AlertId, Clock, Micros, Money, MoneyError, Random};

/// An account before its money moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// As it stands.
    pub account: Account,
    /// Somebody was told, and it has not been above since.
    pub told: bool,
}

/// What is to be noted once the money has moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// As it stands after.
    account: Account,
    /// It runs low; else it is above again.
    low: bool,
}

impl Watch {
    /// What there is to note when the balance gains `gain` and `freed` of its holds is given back; mostly nothing.
    pub fn after(mut self, gain: Micros, freed: Micros) -> Result<Option<Notice>, MoneyError> {
        self.account.balance = self.account.balance.plus(gain)?;
        self.account.held = self.account.held.minus(freed)?;
        let low = self.account.available()? < self.account.low_balance;
        // A small payment into an empty account is no news.
        let news = if self.told { !low } else { low && gain < Micros::ZERO };
        Ok(news.then_some(Notice { account: self.account, low }))
    }
}

impl Notice {
    /// Notes it, in the transaction that moved the money.
    pub async fn give(self, tx: &mut AnyConnection, clock: &Clock, random: &Random) -> Result<(), LedgerError> {
        let Self { account, low } = self;
        let now = clock.timestamp();
        store::note(tx, account.id, low.then_some(now)).await?;
        if !low {
            return Ok(());
        }
        let money = |amount| Money { amount, currency: account.currency };
        let (left, threshold) = (money(account.available()?), money(account.low_balance));
        let draft = alert::Draft {
            id: AlertId::new(clock, random),
            tenant: Some(account.tenant),
            at: now,
            kind: "low_balance",
            severity: Severity::Notice,
            subject: account.id.to_string(),
            text: format!(
                "The account has {} {} left to spend, less than {}. Top it up, or ask its owner to.",
                left.amount, left.currency, threshold.amount
            ),
        };
        alert::raise(tx, &draft).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{AccountId, Clock, Random, TenantId};

    fn watch(balance: i64, held: i64, told: bool) -> Watch {
        let id = AccountId::new(&Clock::system(), &Random::seeded(1));
        let account = Account {
            id,
            tenant: TenantId::MAIN,
            currency: "EUR".parse().unwrap(),
            credit_limit: Micros::ZERO,
            balance: Micros::new(balance),
            held: Micros::new(held),
            low_balance: Micros::new(2000),
        };
        Watch { account, told }
    }

    #[test]
    fn it_is_told_once_and_armed_again() {
        for (balance, held, told, gain, freed, news) in [
            (2500, 0, false, -500, 0, None),
            (2500, 0, false, -501, 0, Some(true)),
            (2500, 0, true, -501, 0, None),
            (100, 0, true, 1900, 0, Some(false)),
            (100, 0, true, 1000, 0, None),
            (100, 0, false, 1000, 0, None),
            (3000, 600, false, -100, 300, None),
            (3000, 1000, false, -100, 0, Some(true)),
            (3000, 1000, false, -100, 1000, None),
        ] {
            let noted = watch(balance, held, told).after(Micros::new(gain), Micros::new(freed)).unwrap().map(|notice| notice.low);
            assert_eq!(noted, news, "{balance} {held} {told} {gain} {freed}");
        }
    }
}

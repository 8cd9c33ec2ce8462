//! What people do to accounts: adjust, give, reverse, correct. Each is carried out in one transaction, once for its key; what is
//! above the limit waits for a second person (see [`super::approval`]).

use sqlx::AnyConnection;

use super::store::{self, Posted};
use super::{Draft, Kind, LedgerError, Posting};
use crate::types::{AccountId, CallId, Clock, Micros, PostingId, Random};

/// Corrections of one call; more than this is no correction any more.
const CORRECTIONS: u32 = 20;

/// A movement a person asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Movement {
    /// The balance gains or loses.
    Adjust {
        /// Whose.
        account: AccountId,
        /// What it gains; negative if it loses.
        amount: Micros,
    },
    /// A gift.
    Bonus {
        /// Whose.
        account: AccountId,
        /// What it gains.
        amount: Micros,
    },
    /// The exact reverse of a posting.
    Reverse {
        /// Whose.
        account: AccountId,
        /// Which.
        posting: PostingId,
    },
    /// What a call should have cost.
    Correct {
        /// Which.
        call: CallId,
        /// The right charge.
        charge: Micros,
    },
}

/// Why and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What.
    pub movement: Movement,
    /// Who asked, and who approved, as the entry names them.
    pub by: String,
    /// Why.
    pub reason: String,
    /// The key under which it is done once.
    pub key: String,
}

/// How much would move, and on whose account: what the limit is compared with. None: there is nothing to move it on.
pub async fn weigh(connection: &mut AnyConnection, movement: &Movement) -> Result<Option<(AccountId, Micros)>, LedgerError> {
    Ok(match *movement {
        Movement::Adjust { account, amount } | Movement::Bonus { account, amount } => Some((account, amount)),
        Movement::Reverse { account, posting } => {
            let found = store::posting_of(connection, account, posting).await?;
            found.map(|posting| Ok::<_, LedgerError>((account, Micros::ZERO.minus(posting.gain()?)?))).transpose()?
        }
        Movement::Correct { call, charge } => match charged(connection, call).await? {
            Some(charged) => Some((charged.account, charged.amount.minus(charge)?)),
            None => None,
        },
    })
}

/// Does it. A key that was used does nothing again and tells what it did.
pub async fn carry_out(tx: &mut AnyConnection, order: Order, clock: &Clock, random: &Random) -> Result<Posted, LedgerError> {
    let Order { movement, by, reason, key } = order;
    let draft = |account, kind, amount| Draft {
        account,
        kind,
        amount,
        cause: by.clone(),
        idempotency_key: key.clone(),
        note: reason.clone(),
        against: None,
    };
    match movement {
        Movement::Adjust { account, amount } => store::post(tx, draft(account, Kind::Adjustment, amount), clock, random).await,
        Movement::Bonus { account, amount } => store::post(tx, draft(account, Kind::Bonus, amount), clock, random).await,
        Movement::Reverse { account, posting } => {
            let found = store::posting_of(tx, account, posting).await?.ok_or(LedgerError::NoPosting(posting))?;
            if !matches!(found.kind, Kind::TopUp | Kind::Adjustment | Kind::Bonus | Kind::Voucher) {
                return Err(LedgerError::NotReversible(found.kind));
            }
            store::post(tx, reversal(&found, &by, &reason)?, clock, random).await
        }
        Movement::Correct { call, charge } => correct(tx, call, charge, (&by, &reason), clock, random).await,
    }
}

/// The reverse of a posting, under a key of its own: a posting is reversed once.
fn reversal(posting: &Posting, by: &str, reason: &str) -> Result<Draft, LedgerError> {
    let theirs = posting.entries.iter().find(|entry| entry.account != Some(posting.account));
    Ok(Draft {
        account: posting.account,
        kind: Kind::Reversal,
        amount: Micros::ZERO.minus(posting.gain()?)?,
        cause: posting.id.to_string(),
        idempotency_key: format!("reversal:{}", posting.id),
        note: format!("{reason} ({by})"),
        against: theirs.map(|entry| entry.book),
    })
}

/// What a call has cost up to now.
struct Charged {
    account: AccountId,
    amount: Micros,
    /// What is reversed when it is corrected; none if the call was free.
    posting: Option<Posting>,
    /// Corrections there have been.
    corrections: u32,
}

/// Finds what a call costs: its charge, or its latest correction. None: the call has no settled hold.
async fn charged(connection: &mut AnyConnection, call: CallId) -> Result<Option<Charged>, LedgerError> {
    let Some((account, hold)) = store::settled_hold(connection, call).await? else { return Ok(None) };
    let mut posting = store::by_key(connection, &format!("charge:{hold}")).await?;
    let mut corrections = 0;
    while corrections < CORRECTIONS {
        let key = correction_key(call, corrections + 1);
        let Some(later) = store::by_key(connection, &key).await? else { break };
        (posting, corrections) = (Some(later), corrections + 1);
    }
    // A correction to nothing leaves only the reversal.
    if let Some(standing) = &posting
        && store::by_key(connection, &format!("reversal:{}", standing.id)).await?.is_some()
    {
        posting = None;
    }
    let amount = posting.as_ref().map(Posting::gain).transpose()?.unwrap_or(Micros::ZERO);
    Ok(Some(Charged { account, amount: Micros::ZERO.minus(amount)?, posting, corrections }))
}

fn correction_key(call: CallId, number: u32) -> String {
    format!("correction:{call}:{number}")
}

async fn correct(
    tx: &mut AnyConnection,
    call: CallId,
    charge: Micros,
    (by, reason): (&str, &str),
    clock: &Clock,
    random: &Random,
) -> Result<Posted, LedgerError> {
    if charge < Micros::ZERO {
        return Err(LedgerError::Draft(super::entry::DraftError::Amount));
    }
    let account = store::settled_hold(tx, call).await?.ok_or(LedgerError::NotCharged(call))?.0;
    // Two corrections at once: the second sees the first.
    store::lock(tx, account, clock.timestamp()).await?;
    let charged = charged(tx, call).await?.ok_or(LedgerError::NotCharged(call))?;
    if charged.amount == charge || charged.corrections >= CORRECTIONS {
        return Err(LedgerError::NothingToCorrect(call));
    }
    let mut posted = None;
    if let Some(posting) = &charged.posting {
        posted = Some(store::post(tx, reversal(posting, by, reason)?, clock, random).await?);
    }
    if charge > Micros::ZERO {
        let draft = Draft {
            account: charged.account,
            kind: Kind::Correction,
            amount: Micros::ZERO.minus(charge)?,
            cause: call.to_string(),
            idempotency_key: correction_key(call, charged.corrections + 1),
            note: format!("{reason} ({by})"),
            against: None,
        };
        posted = Some(store::post(tx, draft, clock, random).await?);
    }
    posted.ok_or(LedgerError::NothingToCorrect(call))
}

//! The second person: what is above the limit is asked for by one and approved or declined by another (spec: money, section 4).

mod store;

use std::time::Duration;

use sqlx::AnyConnection;

use super::movement::{self, Movement, Order};
use super::store::Posted;
use super::{LedgerError, voucher};
use crate::types::{ApprovalId, Clock, Currency, Micros, PostingId, Random, TenantId, Timestamp, VoucherBatchId};

pub use store::{Filter, get, list};

/// What nobody decides in this time is over.
pub const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Approvals of one tenant that may wait.
const MOST_PENDING: i64 = 1000;

/// What waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum Wanted {
    /// A batch of vouchers becomes good.
    Vouchers {
        /// Which.
        batch: VoucherBatchId,
    },
    /// Money moves.
    Movement(Movement),
}

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits.
    Pending,
    /// It was done.
    Approved,
    /// It will not be done.
    Declined,
    /// Nobody decided in time.
    Expired,
}

impl State {
    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Declined => "declined",
            Self::Expired => "expired",
        }
    }
}

/// Somebody who asks or decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// Person or key.
    pub who: String,
    /// The person behind it: a key counts as whoever made it.
    pub behind: String,
    /// What people call them.
    pub name: String,
}

/// A request for a second person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Which.
    pub id: ApprovalId,
    /// In whose books.
    pub tenant: TenantId,
    /// What is to be done.
    pub wanted: Wanted,
    /// How much moves.
    pub amount: Micros,
    /// In what.
    pub currency: Currency,
    /// The id of the account, call or batch it is about.
    pub subject: String,
    /// Why.
    pub reason: String,
    /// Who asked.
    pub asked: By,
    /// When.
    pub asked_at: Timestamp,
    /// When it is over undecided.
    pub expires_at: Timestamp,
    /// Where it stands.
    pub state: State,
    /// Who decided: id and name.
    pub decided: Option<(String, String)>,
    /// When.
    pub decided_at: Option<Timestamp>,
    /// The last posting it made.
    pub posting: Option<PostingId>,
}

/// A question to be asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// In whose books.
    pub tenant: TenantId,
    /// What is to be done.
    pub wanted: Wanted,
    /// How much moves.
    pub amount: Micros,
    /// In what.
    pub currency: Currency,
    /// The id of the account, call or batch it is about.
    pub subject: String,
    /// Why.
    pub reason: String,
    /// Who asks.
    pub by: By,
}

/// Asks for a second person.
pub async fn ask(tx: &mut AnyConnection, question: Question, clock: &Clock, random: &Random) -> Result<Approval, LedgerError> {
    let now = clock.timestamp();
    let approval = Approval {
        id: ApprovalId::new(clock, random),
        tenant: question.tenant,
        wanted: question.wanted,
        amount: question.amount,
        currency: question.currency,
        subject: question.subject,
        reason: question.reason,
        asked: question.by,
        asked_at: now,
        expires_at: now + LIFE,
        state: State::Pending,
        decided: None,
        decided_at: None,
        posting: None,
    };
    if store::create(tx, &approval, MOST_PENDING).await? { Ok(approval) } else { Err(LedgerError::TooManyPending) }
}

/// Approves: what was asked for is done now, in this transaction, once. Whoever asked cannot.
pub async fn approve(
    tx: &mut AnyConnection,
    approval: &Approval,
    by: &By,
    clock: &Clock,
    random: &Random,
) -> Result<Option<Posted>, LedgerError> {
    decide(tx, approval, by, State::Approved, clock.timestamp()).await?;
    let Wanted::Movement(movement) = approval.wanted else {
        if let Wanted::Vouchers { batch } = approval.wanted {
            voucher::activate(tx, batch).await?;
        }
        return Ok(None);
    };
    let order = Order {
        movement,
        by: format!("{} {}, approved by {} {}", approval.asked.name, approval.asked.who, by.name, by.who),
        reason: approval.reason.clone(),
        key: format!("approval:{}", approval.id),
    };
    let posted = movement::carry_out(tx, order, clock, random).await?;
    store::note_posting(tx, approval.id, posted.posting.id).await?;
    Ok(Some(posted))
}

/// Declines: it will not be done. Whoever asked may take it back this way too.
pub async fn decline(tx: &mut AnyConnection, approval: &Approval, by: &By, now: Timestamp) -> Result<(), LedgerError> {
    let taken_back = By { behind: String::new(), ..by.clone() };
    decide(tx, approval, &taken_back, State::Declined, now).await?;
    if let Wanted::Vouchers { batch } = approval.wanted {
        voucher::void_batch(tx, batch, now).await?;
    }
    Ok(())
}

async fn decide(tx: &mut AnyConnection, approval: &Approval, by: &By, state: State, now: Timestamp) -> Result<(), LedgerError> {
    if by.behind == approval.asked.behind {
        return Err(LedgerError::SamePerson);
    }
    if store::decide(tx, approval.id, by, state, now).await? { Ok(()) } else { Err(LedgerError::Decided) }
}

//! Reads all the books and names the first row that does not add up. Changes nothing; safe beside a running server, for it reads
//! one snapshot.

mod store;

use std::time::Duration;

use super::{LedgerError, Posting};
use crate::cdr::Record;
use crate::database::Database;
use crate::rating::{self, numerator};
use crate::types::{AccountId, CallId, Currency, HoldId, Micros, Timestamp};

/// A hold without a sign of life of its call for this long is one that leaked.
const SILENT: Duration = Duration::from_secs(60);

/// Something that does not add up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{row}: {problem}")]
pub struct Finding {
    /// Which row: its table and id.
    pub row: String,
    /// What is wrong with it.
    pub problem: String,
}

/// What was read when nothing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Accounts.
    pub accounts: u64,
    /// Postings.
    pub postings: u64,
    /// Holds.
    pub holds: u64,
    /// Open ones among them.
    pub open_holds: u64,
    /// Call records.
    pub records: u64,
}

/// Checks everything as of `now`: the counts if all is well, else the first finding.
pub async fn verify(database: &Database, now: Timestamp) -> Result<Result<Counts, Finding>, LedgerError> {
    let mut snapshot = store::Snapshot::take(database).await?;
    let mut counts = Counts::default();
    let outcome = match all(&mut snapshot, now, &mut counts).await {
        Ok(()) => Ok(Ok(counts)),
        Err(Stop::Found(finding)) => Ok(Err(finding)),
        Err(Stop::Fault(LedgerError::Damaged(column))) => {
            Ok(Err(Finding { row: column.to_owned(), problem: "holds something that no program of ours writes".to_owned() }))
        }
        Err(Stop::Fault(fault)) => Err(fault),
    };
    snapshot.give_back().await?;
    outcome
}

enum Stop {
    Found(Finding),
    Fault(LedgerError),
}

impl<E: Into<LedgerError>> From<E> for Stop {
    fn from(fault: E) -> Self {
        Self::Fault(fault.into())
    }
}

fn found(row: impl std::fmt::Display, problem: impl Into<String>) -> Stop {
    Stop::Found(Finding { row: row.to_string(), problem: problem.into() })
}

async fn all(snapshot: &mut store::Snapshot, now: Timestamp, counts: &mut Counts) -> Result<(), Stop> {
    let mut last = None;
    while let Some(accounts) = snapshot.accounts(last).await? {
        for account in &accounts {
            check_account(snapshot, account, counts).await?;
            counts.accounts += 1;
        }
        last = accounts.last().map(|account| account.id);
    }
    if let Some(posting) = snapshot.charge_without_hold().await? {
        return Err(found(format!("posting {posting}"), "is a charge, and no settled hold stands behind it"));
    }
    for (what, rule) in store::RULES {
        if let Some(id) = snapshot.breaks(rule.sql).await? {
            return Err(found(format!("{what} {id}"), rule.problem));
        }
    }
    let mut last = None;
    while let Some(holds) = snapshot.holds(last).await? {
        for hold in &holds {
            check_hold(hold, now)?;
            counts.holds += 1;
            counts.open_holds += u64::from(hold.resolved_at.is_none());
        }
        last = holds.last().map(|hold| hold.id);
    }
    if let Some(call) = snapshot.ended_without_record().await? {
        return Err(found(format!("call {call}"), "has ended and left no record"));
    }
    let mut last = None;
    while let Some(records) = snapshot.records(last).await? {
        for (record, hold) in &records {
            check_record(record, hold.as_ref())?;
            counts.records += 1;
        }
        last = records.last().map(|(record, _)| record.call);
    }
    Ok(())
}

/// An account's row.
struct AccountRow {
    id: AccountId,
    currency: Currency,
    balance: Micros,
    seq: i64,
    hash: String,
}

async fn check_account(snapshot: &mut store::Snapshot, account: &AccountRow, counts: &mut Counts) -> Result<(), Stop> {
    let (mut balance, mut seq, mut hash) = (Micros::ZERO, 0, String::new());
    while let Some(postings) = snapshot.postings(account.id, seq).await? {
        for posting in postings {
            check_posting(&posting, account, seq, &hash)?;
            balance = balance.plus(posting.gain()?)?;
            (seq, hash) = (posting.seq, posting.hash);
            counts.postings += 1;
        }
    }
    let row = format!("account {}", account.id);
    if seq != account.seq || hash != account.hash {
        return Err(found(row, format!("names posting {} as its newest; the chain ends at {seq}", account.seq)));
    }
    if balance != account.balance {
        return Err(found(row, format!("has the balance {}; its entries sum to {balance}", account.balance)));
    }
    Ok(())
}

fn check_posting(posting: &Posting, account: &AccountRow, seq: i64, hash: &str) -> Result<(), Stop> {
    let row = format!("posting {}", posting.id);
    if posting.seq != seq + 1 {
        return Err(found(row, format!("is number {} of its account where {} was due", posting.seq, seq + 1)));
    }
    if posting.entries.len() < 2 {
        return Err(found(row, "has fewer than two entries"));
    }
    if let Some((currency, sum)) = posting.sums().into_iter().find(|&(_, sum)| sum != 0) {
        return Err(found(row, format!("sums to {sum} micro-units of {currency} instead of zero")));
    }
    if posting.entries.iter().any(|entry| entry.account.is_some() && entry.currency != posting.currency) {
        return Err(found(row, "moves the account's money in another currency than the account's"));
    }
    if posting.entries.iter().any(|entry| entry.account.is_some_and(|whose| whose != account.id)) {
        return Err(found(row, "moves the money of an account whose chain it is not on"));
    }
    if posting.currency != account.currency {
        return Err(found(row, format!("is in {} on an account in {}", posting.currency, account.currency)));
    }
    if posting.prev_hash != hash {
        return Err(found(row, "does not follow the posting before it: the chain is broken here"));
    }
    if posting.hash != posting.expected_hash() {
        return Err(found(row, "was changed after it was posted: its hash does not fit"));
    }
    Ok(())
}

/// A hold's row, its call's signs of life, and the charges under its key.
struct HoldRow {
    id: HoldId,
    call: CallId,
    amount: Micros,
    funded_secs: u32,
    outcome: Option<String>,
    settled: Option<Micros>,
    created_at: Timestamp,
    resolved_at: Option<Timestamp>,
    charges: i64,
    charged: Micros,
    carrier: Micros,
    last_alive_at: Timestamp,
    call_ended: bool,
}

fn check_hold(hold: &HoldRow, now: Timestamp) -> Result<(), Stop> {
    let wrong = |problem: String| Err(found(format!("hold {}", hold.id), problem));
    if hold.resolved_at.is_none() {
        if hold.outcome.is_some() || hold.charges > 0 {
            return wrong("is open and yet settled, released or charged".to_owned());
        }
        let silent = hold.call_ended || hold.last_alive_at < now - SILENT;
        if silent && hold.created_at < now - SILENT {
            return wrong(format!("is open without a live call: {} ended or was last alive at {}", hold.call, hold.last_alive_at));
        }
        return Ok(());
    }
    let settled = match (hold.outcome.as_deref(), hold.settled) {
        (Some("settled"), Some(settled)) => settled,
        (Some("released"), None) => Micros::ZERO,
        _ => return wrong("is resolved, but neither settled with an amount nor released".to_owned()),
    };
    if settled > hold.amount || settled < Micros::ZERO {
        return wrong(format!("was settled at {settled}, outside of its amount {}", hold.amount));
    }
    let postings = i64::from(settled > Micros::ZERO);
    if hold.charges != postings || hold.charged != settled {
        return wrong(format!("was settled at {settled}; {} postings charge {} for it", hold.charges, hold.charged));
    }
    Ok(())
}

fn check_record(record: &Record, hold: Option<&HoldRow>) -> Result<(), Stop> {
    let wrong = |problem: String| Err(found(format!("cdr {}", record.call), problem));
    let charged = record.charged.as_ref().map_or(Micros::ZERO, |(_, charge)| charge.amount);
    let settled = hold.and_then(|hold| hold.settled).unwrap_or_default();
    if charged != settled {
        return wrong(format!("says {charged}; its hold was settled at {settled}"));
    }
    if hold.is_some_and(|hold| hold.resolved_at.is_none()) {
        return wrong("is written, and its hold is still open".to_owned());
    }
    if record.answered_at.is_none() && charged > Micros::ZERO {
        return wrong(format!("charges {charged} for a call that was never answered"));
    }
    let carrier = hold.map_or(Micros::ZERO, |hold| hold.carrier);
    let cost = record.cost.as_ref().filter(|_| hold.is_some()).map_or(Micros::ZERO, |(_, cost)| cost.amount);
    if carrier != cost {
        return wrong(format!("says that its carrier takes {cost}; {carrier} is posted for it"));
    }
    if let (Some((quote, charge)), Some(answered_at)) = (&record.cost, record.answered_at) {
        let again = rating::cost(quote, record.duration, answered_at)?;
        if again != *charge {
            return wrong(format!("says that its carrier takes {}; computed again it is {}", charge.amount, again.amount));
        }
    }
    let (Some((quote, charge)), Some(answered_at), Some(hold)) = (&record.charged, record.answered_at, hold) else { return Ok(()) };
    if hold.settled.is_none() {
        return Ok(());
    }
    let again = quote.rate.charge_at(quote.rate.whole_seconds(record.duration).min(hold.funded_secs), answered_at)?;
    if again != *charge {
        return wrong(format!(
            "charges {} for {} s; computed again it is {} for {} s",
            charge.amount, charge.billed_secs, again.amount, again.billed_secs
        ));
    }
    let from_parts = numerator(quote.rate.connect_fee, &quote.rate.segments(charge.billed_secs, answered_at));
    if charge.billed_secs > 0 && from_parts != charge.numerator {
        return wrong(format!("keeps the fraction {}; its rate and seconds give {from_parts}", charge.numerator));
    }
    Ok(())
}

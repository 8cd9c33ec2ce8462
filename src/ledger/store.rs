//! Every SQL statement of the room.

use std::collections::HashMap;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::low::Watch;
use super::{Account, Book, Draft, Entry, Kind, LedgerError, Posting};
use crate::database::Script;
use crate::types::{AccountId, CallId, Clock, Currency, HoldId, Micros, PostingId, Random, TenantId, Timestamp};

/// Postings of one list.
const MAX_LIST: u32 = 1000;

/// The columns of an account.
macro_rules! account {
    () => {
        "account.id, tenant_id, currency, credit_limit_micros, balance_micros, low_balance_micros, low_since_us,
         cast(coalesce((select sum(hold.amount_micros) from hold
             where hold.account_id = account.id and hold.resolved_at_us is null), 0) as bigint) as held_micros"
    };
}

/// What a posted draft left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// The posting, new or found.
    pub posting: Posting,
    /// The balance after it; of a repeated one, the balance now.
    pub balance: Micros,
    /// The key was known and the draft the same: nothing moved again.
    pub replayed: bool,
}

/// Opens an account. It starts empty, whatever `account` says of balance and holds: money comes in by postings.
pub async fn create(tx: &mut AnyConnection, account: &Account, now: Timestamp) -> Result<(), LedgerError> {
    sqlx::query(
        "insert into account (id, currency, credit_limit_micros, created_at_us, tenant_id, low_balance_micros) values ($1, $2, $3, $4, $5, $6)",
    )
        .bind(account.id.to_string())
        .bind(account.currency.as_str())
        .bind(account.credit_limit.get())
        .bind(now.as_micros())
        .bind(account.tenant.to_string())
        .bind(account.low_balance.get())
        .execute(tx)
        .await?;
    Ok(())
}

/// An account as it stands, if there is one.
pub async fn get(connection: &mut AnyConnection, id: AccountId) -> Result<Option<Account>, LedgerError> {
    let mut script = Script::default();
    add_get(&mut script, id);
    read_account(id, script.ask(connection).await?.first().and_then(|rows| rows.first()))
}

/// The statement of [`get`], to travel with others; its row is for [`read_account`].
pub fn add_get(script: &mut Script, id: AccountId) {
    script.add(concat!("select ", account!(), " from account where id = $1"), [id.to_string().into()]);
}

/// The account that a row tells of.
pub fn read_account(id: AccountId, row: Option<&AnyRow>) -> Result<Option<Account>, LedgerError> {
    row.map(|row| {
        Ok(Account {
            id,
            tenant: row.try_get::<String, _>("tenant_id")?.parse().map_err(|_| LedgerError::Damaged("account.tenant_id"))?,
            currency: row.try_get::<String, _>("currency")?.parse()?,
            credit_limit: Micros::new(row.try_get("credit_limit_micros")?),
            balance: Micros::new(row.try_get("balance_micros")?),
            held: Micros::new(row.try_get("held_micros")?),
            low_balance: Micros::new(row.try_get("low_balance_micros")?),
        })
    })
    .transpose()
}

/// Which accounts of a tenant are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// Whose.
    pub tenant: TenantId,
    /// Those in this currency.
    pub currency: Option<Currency>,
    /// Those with a balance below this.
    pub below: Option<Micros>,
}

/// The accounts of a tenant, oldest first.
pub async fn list(
    connection: &mut AnyConnection,
    filter: Filter,
    after: Option<AccountId>,
    limit: u32,
) -> Result<Vec<Account>, LedgerError> {
    let rows = sqlx::query(concat!(
        "select ",
        account!(),
        " from account where tenant_id = $1 and id > $2 and ($3 = '' or currency = $3) and balance_micros < $4 order by id limit $5"
    ))
    .bind(filter.tenant.to_string())
    .bind(after.map_or_else(String::new, |id| id.to_string()))
    .bind(filter.currency.map_or_else(String::new, |currency| currency.to_string()))
    .bind(filter.below.map_or(i64::MAX, Micros::get))
    .bind(i64::from(limit.min(MAX_LIST)))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| watch(row).map(|watch| watch.account)).collect()
}

/// What a row with the columns of an account says of it running low.
pub(crate) fn watch(row: &AnyRow) -> Result<Watch, LedgerError> {
    let id = row.try_get::<String, _>("id")?.parse().map_err(|_| LedgerError::Damaged("account.id"))?;
    let account = read_account(id, Some(row))?.ok_or(LedgerError::NoAccount(id))?;
    Ok(Watch { account, told: row.try_get::<Option<i64>, _>("low_since_us")?.is_some() })
}

/// Changes how far below zero an account may go, and below which amount somebody is told.
pub async fn set_limits(tx: &mut AnyConnection, id: AccountId, credit_limit: Micros, low_balance: Micros) -> Result<(), LedgerError> {
    sqlx::query("update account set credit_limit_micros = $2, low_balance_micros = $3 where id = $1")
        .bind(id.to_string())
        .bind(credit_limit.get())
        .bind(low_balance.get())
        .execute(tx)
        .await?;
    Ok(())
}

/// Posts a draft once, whatever happens to the request that brought it.
pub async fn post(tx: &mut AnyConnection, draft: Draft, clock: &Clock, random: &Random) -> Result<Posted, LedgerError> {
    draft.check()?;
    let now = clock.timestamp();
    let row = sqlx::query(concat!("update account set locked_at_us = $2 where id = $1 returning posting_seq, posting_hash, ", account!()))
        .bind(draft.account.to_string())
        .bind(now.as_micros())
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(LedgerError::NoAccount(draft.account))?;
    let watch = watch(&row)?;
    let Account { balance, currency, .. } = watch.account;
    if let Some(known) = by_key(tx, &draft.idempotency_key).await? {
        let same =
            known.account == draft.account && known.kind == draft.kind && known.gain()? == draft.amount && known.cause == draft.cause;
        return if same { Ok(Posted { posting: known, balance, replayed: true }) } else { Err(LedgerError::KeyUsed) };
    }
    let seq = row.try_get::<i64, _>("posting_seq")? + 1;
    let notice = watch.after(draft.amount, Micros::ZERO)?;
    let balance = balance.plus(draft.amount)?;
    let posting = draft.post(PostingId::new(clock, random), seq, now, currency, row.try_get("posting_hash")?)?;
    let mut script = Script::default();
    insert(&mut script, &posting)?;
    script.run(tx).await.map_err(key_used)?;
    if let Some(notice) = notice {
        notice.give(tx, clock, random).await?;
    }
    Ok(Posted { posting, balance, replayed: false })
}

/// Adds a posting, its entries, and their effect on the account. The account is locked and the posting is next in its chain; a
/// second posting at the same place breaks the constraint `posting_seq`.
pub fn insert(script: &mut Script, posting: &Posting) -> Result<(), LedgerError> {
    let (id, account) = (posting.id.to_string(), posting.account.to_string());
    script.add(
        "insert into posting (id, account_id, seq, kind, cause, idempotency_key, note, created_at_us, prev_hash, hash)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        [
            id.clone().into(),
            account.clone().into(),
            posting.seq.into(),
            posting.kind.as_str().into(),
            posting.cause.clone().into(),
            posting.idempotency_key.clone().into(),
            posting.note.clone().into(),
            posting.at.as_micros().into(),
            posting.prev_hash.clone().into(),
            posting.hash.clone().into(),
        ],
    );
    // Entries come in pairs: what one gives the other takes.
    let (pairs, []) = posting.entries.as_chunks::<2>() else { return Err(LedgerError::Damaged("a posting with half a pair of entries")) };
    for (line, [ours, theirs]) in (1_i64..).step_by(2).zip(pairs) {
        script.add(
            "insert into entry (posting_id, line, book, account_id, currency, amount_micros)
             values ($1, $2, $3, $4, $5, $6), ($1, $2 + 1, $7, $8, $9, $10)",
            [
                id.clone().into(),
                line.into(),
                ours.book.as_str().into(),
                ours.account.map(|account| account.to_string()).into(),
                ours.currency.as_str().into(),
                ours.amount.get().into(),
                theirs.book.as_str().into(),
                theirs.account.map(|account| account.to_string()).into(),
                theirs.currency.as_str().into(),
                theirs.amount.get().into(),
            ],
        );
    }
    script.add(
        "update account set balance_micros = balance_micros + $2, posting_seq = $3, posting_hash = $4 where id = $1",
        [account.into(), posting.gain()?.get().into(), posting.seq.into(), posting.hash.clone().into()],
    );
    Ok(())
}

/// Two accounts that meet over one key: PostgreSQL tells the second so.
fn key_used(fault: sqlx::Error) -> LedgerError {
    match &fault {
        sqlx::Error::Database(refused) if refused.constraint() == Some("posting_idempotency") => LedgerError::KeyUsed,
        _ => LedgerError::Database(fault),
    }
}

pub(super) const POSTING: &str =
    "select posting.id, posting.account_id, posting.seq, posting.kind, posting.cause, posting.idempotency_key, posting.note,
    posting.created_at_us, posting.prev_hash, posting.hash, account.currency
    from posting join account on account.id = posting.account_id";

/// The posting under a key, if there is one.
pub(super) async fn by_key(connection: &mut AnyConnection, key: &str) -> Result<Option<Posting>, LedgerError> {
    let sql = sqlx::AssertSqlSafe(format!("{POSTING} where posting.idempotency_key = $1"));
    let Some(row) = sqlx::query(sql).bind(key).fetch_optional(&mut *connection).await? else { return Ok(None) };
    with_entries(connection, vec![posting(&row)?]).await.map(|postings| postings.into_iter().next())
}

/// One posting of an account.
pub async fn posting_of(connection: &mut AnyConnection, account: AccountId, id: PostingId) -> Result<Option<Posting>, LedgerError> {
    let sql = sqlx::AssertSqlSafe(format!("{POSTING} where posting.id = $1 and posting.account_id = $2"));
    let row = sqlx::query(sql).bind(id.to_string()).bind(account.to_string()).fetch_optional(&mut *connection).await?;
    let Some(row) = row else { return Ok(None) };
    with_entries(connection, vec![posting(&row)?]).await.map(|postings| postings.into_iter().next())
}

/// The account and the hold a call was charged on.
pub(super) async fn settled_hold(connection: &mut AnyConnection, call: CallId) -> Result<Option<(AccountId, HoldId)>, LedgerError> {
    let row = sqlx::query("select id, account_id from hold where call_id = $1 and outcome = 'settled' order by leg limit 1")
        .bind(call.to_string())
        .fetch_optional(connection)
        .await?;
    row.map(|row| {
        let account = row.try_get::<String, _>("account_id")?.parse().map_err(|_| LedgerError::Damaged("hold.account_id"))?;
        Ok((account, row.try_get::<String, _>("id")?.parse().map_err(|_| LedgerError::Damaged("hold.id"))?))
    })
    .transpose()
}

/// Locks an account until the transaction ends; false if there is none such.
pub async fn lock(tx: &mut AnyConnection, account: AccountId, now: Timestamp) -> Result<bool, LedgerError> {
    let done = sqlx::query("update account set locked_at_us = $2 where id = $1")
        .bind(account.to_string())
        .bind(now.as_micros())
        .execute(tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Which postings of an account are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Of this kind.
    pub kind: Option<Kind>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

/// The postings of an account, newest first, older than place `before` in its chain.
pub async fn postings(
    connection: &mut AnyConnection,
    account: AccountId,
    wanted: Wanted,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<Posting>, LedgerError> {
    let sql = sqlx::AssertSqlSafe(format!(
        "{POSTING} where posting.account_id = $1 and posting.seq < $2 and ($4 = '' or posting.kind = $4)
             and posting.created_at_us >= $5 and posting.created_at_us < $6
         order by posting.seq desc limit $3"
    ));
    let rows = sqlx::query(sql)
        .bind(account.to_string())
        .bind(before.unwrap_or(i64::MAX))
        .bind(i64::from(limit.min(MAX_LIST)))
        .bind(wanted.kind.map_or("", Kind::as_str))
        .bind(wanted.since.map_or(i64::MIN, Timestamp::as_micros))
        .bind(wanted.until.map_or(i64::MAX, Timestamp::as_micros))
        .fetch_all(&mut *connection)
        .await?;
    let found = rows.iter().map(posting).collect::<Result<Vec<_>, _>>()?;
    with_entries(connection, found).await
}

/// How long the money that was set aside for a call pays for; none for a call without a hold.
pub async fn funded_secs(connection: &mut AnyConnection, call: CallId) -> Result<Option<u32>, sqlx::Error> {
    let secs: Option<i64> = sqlx::query_scalar("select funded_secs from hold where call_id = $1 and leg = 'b'")
        .bind(call.to_string())
        .fetch_optional(connection)
        .await?;
    Ok(secs.map(|secs| u32::try_from(secs).unwrap_or(u32::MAX)))
}

/// The postings of an account after place `seq`, in the order of its chain.
pub(super) async fn chain(connection: &mut AnyConnection, account: AccountId, seq: i64, limit: u32) -> Result<Vec<Posting>, LedgerError> {
    let sql = sqlx::AssertSqlSafe(format!("{POSTING} where posting.account_id = $1 and posting.seq > $2 order by posting.seq limit $3"));
    let rows = sqlx::query(sql).bind(account.to_string()).bind(seq).bind(i64::from(limit)).fetch_all(&mut *connection).await?;
    let found = rows.iter().map(posting).collect::<Result<Vec<_>, _>>()?;
    with_entries(connection, found).await
}

pub(super) async fn with_entries(connection: &mut AnyConnection, mut postings: Vec<Posting>) -> Result<Vec<Posting>, LedgerError> {
    let Some(last) = postings.last().map(|posting| posting.id.to_string()) else { return Ok(postings) };
    // A few numbers of places, so that there are few statements to prepare; the last posting fills up.
    let places = postings.len().next_power_of_two();
    let list = (1..=places).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ");
    let sql = format!(
        "select posting_id, book, account_id, currency, amount_micros from entry where posting_id in ({list}) order by posting_id, line"
    );
    let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
    for place in 0..places {
        query = query.bind(postings.get(place).map_or_else(|| last.clone(), |posting| posting.id.to_string()));
    }
    let rows = query.fetch_all(connection).await?;
    let places: HashMap<String, usize> = postings.iter().enumerate().map(|(place, posting)| (posting.id.to_string(), place)).collect();
    for row in rows {
        if let Some(&place) = places.get(&row.try_get::<String, _>("posting_id")?) {
            postings[place].entries.push(entry(&row)?);
        }
    }
    Ok(postings)
}

/// A posting of a row, without its entries.
pub(super) fn posting(row: &AnyRow) -> Result<Posting, LedgerError> {
    let text = |column: &str| row.try_get::<String, _>(column);
    Ok(Posting {
        id: text("id")?.parse().map_err(|_| LedgerError::Damaged("posting.id"))?,
        account: text("account_id")?.parse().map_err(|_| LedgerError::Damaged("posting.account_id"))?,
        seq: row.try_get("seq")?,
        kind: Kind::parse(&text("kind")?).ok_or(LedgerError::Damaged("posting.kind"))?,
        cause: text("cause")?,
        idempotency_key: text("idempotency_key")?,
        note: text("note")?,
        at: Timestamp::from_micros(row.try_get("created_at_us")?),
        currency: text("currency")?.parse()?,
        entries: Vec::new(),
        prev_hash: text("prev_hash")?,
        hash: text("hash")?,
    })
}

/// An entry of a row.
fn entry(row: &AnyRow) -> Result<Entry, LedgerError> {
    let account = row.try_get::<Option<String>, _>("account_id")?;
    Ok(Entry {
        book: Book::parse(&row.try_get::<String, _>("book")?).ok_or(LedgerError::Damaged("entry.book"))?,
        account: account.map(|id| id.parse().map_err(|_| LedgerError::Damaged("entry.account_id"))).transpose()?,
        currency: row.try_get::<String, _>("currency")?.parse()?,
        amount: Micros::new(row.try_get("amount_micros")?),
    })
}

//! Every SQL statement of the months: each is bounded by a month and reads by time or along one account's chain.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::{BookSum, Month, Sum, Summary};
use crate::ledger::store::{POSTING, posting, with_entries};
use crate::ledger::{Book, Kind, LedgerError, Posting};
use crate::types::{AccountId, Currency, Micros, PostingId, TenantId, Timestamp};

/// A posting and the balance after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What moved.
    pub posting: Posting,
    /// The account's balance after it, along its chain.
    pub balance: Micros,
}

/// When the books of an account, or of a tenant's first, were opened.
pub async fn begun(connection: &mut AnyConnection, tenant: TenantId, account: Option<AccountId>) -> Result<Option<Timestamp>, LedgerError> {
    let at: Option<i64> = sqlx::query_scalar("select min(created_at_us) from account where tenant_id = $1 and ($2 = '' or id = $2)")
        .bind(tenant.to_string())
        .bind(account.map_or_else(String::new, |id| id.to_string()))
        .fetch_one(connection)
        .await?;
    Ok(at.map(Timestamp::from_micros))
}

/// An account's month in figures.
pub async fn summary(connection: &mut AnyConnection, account: AccountId, month: Month) -> Result<Summary, LedgerError> {
    let id = account.to_string();
    let mut balance = async |at: Timestamp| {
        let sum: i64 = sqlx::query_scalar(
            "select cast(coalesce(sum(e.amount_micros), 0) as bigint) from posting p join entry e on e.posting_id = p.id
             where p.account_id = $1 and e.account_id = $1 and p.created_at_us < $2",
        )
        .bind(&id)
        .bind(at.as_micros())
        .fetch_one(&mut *connection)
        .await?;
        Ok::<_, LedgerError>(Micros::new(sum))
    };
    let (opening, closing) = (balance(month.start()).await?, balance(month.end()).await?);
    let rows = sqlx::query(
        "select p.kind, e.currency, count(*) as count, cast(sum(e.amount_micros) as bigint) as amount
         from posting p join entry e on e.posting_id = p.id
         where p.account_id = $1 and e.account_id = $1 and p.created_at_us >= $2 and p.created_at_us < $3
         group by p.kind, e.currency order by p.kind",
    )
    .bind(&id)
    .bind(month.start().as_micros())
    .bind(month.end().as_micros())
    .fetch_all(&mut *connection)
    .await?;
    let sums = rows.iter().map(sum).collect::<Result<_, _>>()?;
    let row = sqlx::query(
        "select count(*) as count, cast(coalesce(sum(c.billed_secs), 0) as bigint) as billed_secs
         from posting p join cdr c on c.call_id = p.cause
         where p.account_id = $1 and p.kind = 'charge' and p.created_at_us >= $2 and p.created_at_us < $3",
    )
    .bind(&id)
    .bind(month.start().as_micros())
    .bind(month.end().as_micros())
    .fetch_one(connection)
    .await?;
    Ok(Summary { opening, closing, sums, calls: count(&row, "count")?, billed_secs: count(&row, "billed_secs")? })
}

/// The postings of an account's month in the order of its chain, after place `after`, each with the balance after it.
pub async fn account_lines(
    connection: &mut AnyConnection,
    account: AccountId,
    month: Month,
    after: i64,
    limit: u32,
) -> Result<Vec<Line>, LedgerError> {
    let sql = sqlx::AssertSqlSafe(format!(
        "{POSTING} where posting.account_id = $1 and posting.seq > $2 and posting.created_at_us >= $3 and posting.created_at_us < $4
         order by posting.seq limit $5"
    ));
    let rows = sqlx::query(sql)
        .bind(account.to_string())
        .bind(after)
        .bind(month.start().as_micros())
        .bind(month.end().as_micros())
        .bind(i64::from(limit))
        .fetch_all(&mut *connection)
        .await?;
    let found = rows.iter().map(posting).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = found.first().map(|posting| posting.seq) else { return Ok(Vec::new()) };
    let before: i64 = sqlx::query_scalar(
        "select cast(coalesce(sum(e.amount_micros), 0) as bigint) from posting p join entry e on e.posting_id = p.id
         where p.account_id = $1 and e.account_id = $1 and p.seq < $2",
    )
    .bind(account.to_string())
    .bind(first)
    .fetch_one(&mut *connection)
    .await?;
    let mut balance = Micros::new(before);
    let postings = with_entries(connection, found).await?;
    postings
        .into_iter()
        .map(|posting| {
            balance = balance.plus(posting.gain()?)?;
            Ok(Line { posting, balance })
        })
        .collect()
}

/// The postings of a tenant's month in the order of time, after the posting `after`.
pub async fn tenant_lines(
    connection: &mut AnyConnection,
    tenant: TenantId,
    month: Month,
    after: Option<PostingId>,
    limit: u32,
) -> Result<Vec<Posting>, LedgerError> {
    let mut from = month.start().as_micros();
    let mut last = String::new();
    if let Some(after) = after {
        last = after.to_string();
        let at: Option<i64> =
            sqlx::query_scalar("select created_at_us from posting where id = $1").bind(&last).fetch_optional(&mut *connection).await?;
        from = at.unwrap_or(from).max(from);
    }
    let sql = sqlx::AssertSqlSafe(format!(
        "{POSTING} where account.tenant_id = $1 and posting.created_at_us >= $2 and posting.created_at_us < $3
             and (posting.created_at_us > $2 or posting.id > $4)
         order by posting.created_at_us, posting.id limit $5"
    ));
    let rows = sqlx::query(sql)
        .bind(tenant.to_string())
        .bind(from)
        .bind(month.end().as_micros())
        .bind(last)
        .bind(i64::from(limit))
        .fetch_all(&mut *connection)
        .await?;
    let found = rows.iter().map(posting).collect::<Result<Vec<_>, _>>()?;
    with_entries(connection, found).await
}

/// What moved on all accounts of a tenant in a month, by kind and currency.
pub async fn tenant_sums(connection: &mut AnyConnection, tenant: TenantId, month: Month) -> Result<Vec<Sum>, LedgerError> {
    let rows = sqlx::query(
        "select p.kind, e.currency, count(*) as count, cast(sum(e.amount_micros) as bigint) as amount
         from posting p join account a on a.id = p.account_id join entry e on e.posting_id = p.id and e.account_id = p.account_id
         where a.tenant_id = $1 and p.created_at_us >= $2 and p.created_at_us < $3
         group by p.kind, e.currency order by e.currency, p.kind",
    )
    .bind(tenant.to_string())
    .bind(month.start().as_micros())
    .bind(month.end().as_micros())
    .fetch_all(connection)
    .await?;
    rows.iter().map(sum).collect()
}

/// What each book of a tenant gained in a month. The sums of a currency are zero together.
pub async fn books(connection: &mut AnyConnection, tenant: TenantId, month: Month) -> Result<Vec<BookSum>, LedgerError> {
    let rows = sqlx::query(
        "select e.book, e.currency, count(*) as count, cast(sum(e.amount_micros) as bigint) as amount
         from posting p join account a on a.id = p.account_id join entry e on e.posting_id = p.id
         where a.tenant_id = $1 and p.created_at_us >= $2 and p.created_at_us < $3
         group by e.book, e.currency order by e.currency, e.book",
    )
    .bind(tenant.to_string())
    .bind(month.start().as_micros())
    .bind(month.end().as_micros())
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(BookSum {
                book: Book::parse(&row.try_get::<String, _>("book")?).ok_or(LedgerError::Damaged("entry.book"))?,
                currency: currency(row)?,
                amount: Micros::new(row.try_get("amount")?),
                count: count(row, "count")?,
            })
        })
        .collect()
}

fn sum(row: &AnyRow) -> Result<Sum, LedgerError> {
    Ok(Sum {
        kind: Kind::parse(&row.try_get::<String, _>("kind")?).ok_or(LedgerError::Damaged("posting.kind"))?,
        currency: currency(row)?,
        count: count(row, "count")?,
        amount: Micros::new(row.try_get("amount")?),
    })
}

fn currency(row: &AnyRow) -> Result<Currency, LedgerError> {
    Ok(row.try_get::<String, _>("currency")?.parse()?)
}

fn count(row: &AnyRow, column: &str) -> Result<u64, LedgerError> {
    Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or_default())
}

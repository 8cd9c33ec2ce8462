//! Every SQL statement of the verification: it only reads, page by page, in one snapshot.

use sqlx::any::AnyRow;
use sqlx::{Executor as _, Row as _};

use super::{AccountRow, HoldRow};
use crate::cdr::{self, Record};
use crate::database::{Borrowed, Database, Kind};
use crate::ledger::{self, LedgerError, Posting};
use crate::types::{AccountId, CallId, HoldId, Micros, Timestamp};

/// Rows of a page.
const PAGE: u32 = 1000;

/// The books as of one instant.
pub(super) struct Snapshot(Borrowed);

impl Snapshot {
    pub(super) async fn take(database: &Database) -> Result<Self, LedgerError> {
        let mut connection = database.read().await?;
        let begin = match database.kind() {
            Kind::Sqlite => "begin",
            Kind::Postgres => "begin transaction isolation level repeatable read read only",
        };
        connection.execute(begin).await?;
        Ok(Self(connection))
    }

    pub(super) async fn give_back(mut self) -> Result<(), LedgerError> {
        self.0.execute("rollback").await?;
        Ok(())
    }

    pub(super) async fn accounts(&mut self, after: Option<AccountId>) -> Result<Option<Vec<AccountRow>>, LedgerError> {
        let rows =
            sqlx::query("select id, currency, balance_micros, posting_seq, posting_hash from account where id > $1 order by id limit $2")
                .bind(after.map_or_else(String::new, |id| id.to_string()))
                .bind(i64::from(PAGE))
                .fetch_all(&mut *self.0)
                .await?;
        page(rows, |row| {
            Ok(AccountRow {
                id: parse(row, "id", "account.id")?,
                currency: row.try_get::<String, _>("currency")?.parse()?,
                balance: Micros::new(row.try_get("balance_micros")?),
                seq: row.try_get("posting_seq")?,
                hash: row.try_get("posting_hash")?,
            })
        })
    }

    /// The postings of an account after place `seq`, in the order of the chain.
    pub(super) async fn postings(&mut self, account: AccountId, seq: i64) -> Result<Option<Vec<Posting>>, LedgerError> {
        let postings = ledger::store::chain(&mut self.0, account, seq, PAGE).await?;
        Ok(Some(postings).filter(|postings| !postings.is_empty()))
    }

    /// A charge that no settled hold explains.
    pub(super) async fn charge_without_hold(&mut self) -> Result<Option<String>, LedgerError> {
        let found = sqlx::query_scalar(
            "select id from posting where kind = 'charge'
                 and not exists (select 1 from hold where hold.id = substr(posting.idempotency_key, 8) and hold.outcome = 'settled')
             order by id limit 1",
        )
        .fetch_optional(&mut *self.0)
        .await?;
        Ok(found)
    }

    /// The first row that breaks a rule.
    pub(super) async fn breaks(&mut self, sql: &'static str) -> Result<Option<String>, LedgerError> {
        Ok(sqlx::query_scalar(sql).fetch_optional(&mut *self.0).await?)
    }

    pub(super) async fn holds(&mut self, after: Option<HoldId>) -> Result<Option<Vec<HoldRow>>, LedgerError> {
        let rows = sqlx::query(HOLDS_BY_ID)
            .bind(after.map_or_else(String::new, |id| id.to_string()))
            .bind(i64::from(PAGE))
            .fetch_all(&mut *self.0)
            .await?;
        page(rows, hold)
    }

    /// A call that ended without a record.
    pub(super) async fn ended_without_record(&mut self) -> Result<Option<String>, LedgerError> {
        let found = sqlx::query_scalar(
            "select id from call where ended_at_us is not null and not exists (select 1 from cdr where cdr.call_id = call.id)
             order by id limit 1",
        )
        .fetch_optional(&mut *self.0)
        .await?;
        Ok(found)
    }

    /// Records, each with its hold if it has one.
    pub(super) async fn records(&mut self, after: Option<CallId>) -> Result<Option<Vec<(Record, Option<HoldRow>)>>, LedgerError> {
        let after = after.map_or_else(String::new, |id| id.to_string());
        let rows = sqlx::query("select * from cdr where call_id > $1 order by call_id limit $2")
            .bind(&after)
            .bind(i64::from(PAGE))
            .fetch_all(&mut *self.0)
            .await?;
        let Some(last) = rows.last() else { return Ok(None) };
        let last: String = last.try_get("call_id")?;
        let holds = sqlx::query(HOLDS_BY_CALL).bind(&after).bind(&last).fetch_all(&mut *self.0).await?;
        let mut holds =
            holds.iter().map(|row| hold(row).map(|hold| (hold.call, hold))).collect::<Result<std::collections::HashMap<_, _>, _>>()?;
        page(rows, |row| {
            let record = cdr::store::read(row)?;
            let hold = holds.remove(&record.call);
            Ok((record, hold))
        })
    }
}

/// What must hold between rows of different tables.
pub(super) struct Rule {
    /// Finds the first row that breaks it.
    pub sql: &'static str,
    /// What is wrong with that row.
    pub problem: &'static str,
}

/// The rules, and what their rows are.
pub(super) const RULES: [(&str, Rule); 9] = [
    (
        "posting",
        Rule {
            sql: "select p.id from posting p where p.kind = 'carrier_cost'
                      and not exists (select 1 from hold where hold.id = substr(p.idempotency_key, 6) and hold.outcome = 'settled')
                  order by p.id limit 1",
            problem: "pays a carrier, and no settled hold stands behind it",
        },
    ),
    (
        "posting",
        Rule {
            sql: "select p.id from posting p where p.kind = 'correction'
                      and not exists (select 1 from hold where hold.call_id = p.cause and hold.outcome = 'settled')
                  order by p.id limit 1",
            problem: "corrects a call that was never charged",
        },
    ),
    (
        "posting",
        Rule {
            sql: "select p.id from posting p
                      left join posting o on o.id = p.cause and o.account_id = p.account_id and p.idempotency_key = 'reversal:' || o.id
                      left join entry a on a.posting_id = p.id and a.account_id = p.account_id
                      left join entry b on b.posting_id = o.id and b.account_id = p.account_id
                  where p.kind = 'reversal' and (b.posting_id is null or a.posting_id is null or a.amount_micros <> -b.amount_micros)
                  order by p.id limit 1",
            problem: "is not the exact reverse of the posting it names",
        },
    ),
    (
        "voucher",
        Rule {
            sql: "select v.id from voucher v join voucher_batch b on b.id = v.batch_id
                      left join posting p on p.id = v.posting_id and p.kind = 'voucher' and p.cause = v.id and p.account_id = v.account_id
                      left join entry e on e.posting_id = p.id and e.account_id = p.account_id and e.amount_micros = b.amount_micros
                  where (v.redeemed_at_us is not null or v.posting_id is not null or v.account_id is not null)
                      and (v.redeemed_at_us is null or v.voided_at_us is not null or e.posting_id is null)
                  order by v.id limit 1",
            problem: "is redeemed, and not by one posting of its amount on its account",
        },
    ),
    (
        "posting",
        Rule {
            sql: "select p.id from posting p where p.kind = 'voucher'
                      and not exists (select 1 from voucher v where v.id = p.cause and v.posting_id = p.id)
                  order by p.id limit 1",
            problem: "credits a voucher that was not redeemed by it",
        },
    ),
    (
        "transfer",
        Rule {
            sql: "select t.id from transfer t
                      left join posting o on o.id = t.out_posting and o.kind = 'transfer' and o.cause = t.id and o.account_id = t.from_account
                      left join posting i on i.id = t.in_posting and i.kind = 'transfer' and i.cause = t.id and i.account_id = t.to_account
                      left join entry a on a.posting_id = o.id and a.account_id = o.account_id and a.amount_micros = -t.amount_micros
                      left join entry b on b.posting_id = i.id and b.account_id = i.account_id and b.amount_micros = t.amount_micros
                  where a.posting_id is null or b.posting_id is null
                  order by t.id limit 1",
            problem: "does not take from one account what it gives to the other",
        },
    ),
    (
        "posting",
        Rule {
            sql: "select p.id from posting p where p.kind = 'transfer'
                      and not exists (select 1 from transfer t where t.id = p.cause and p.id in (t.out_posting, t.in_posting))
                  order by p.id limit 1",
            problem: "belongs to no transfer",
        },
    ),
    (
        "approval",
        Rule {
            sql: "select a.id from approval a
                  where (a.state = 'approved') <> (a.posting_id is not null or (a.state = 'approved' and a.movement like '{\"batch\":%'))
                      or (a.posting_id is not null and not exists (select 1 from posting p where p.id = a.posting_id))
                      or (a.state = 'approved' and (a.decided_by is null or a.decided_by = a.asked_by or a.decided_by = a.asked_for))
                  order by a.id limit 1",
            problem: "is approved without a second person or a posting, or has a posting without being approved",
        },
    ),
    (
        "posting",
        Rule {
            sql: "select p.id from posting p where p.idempotency_key like 'approval:%'
                      and not exists (select 1 from approval a where a.id = substr(p.idempotency_key, 10) and a.state = 'approved')
                  order by p.id limit 1",
            problem: "was made without its approval",
        },
    ),
];

/// The columns of a [`HoldRow`].
macro_rules! holds {
    ($clauses:literal) => {
        concat!(
            "select h.id, h.call_id, h.amount_micros, h.funded_secs, h.outcome, h.settled_micros, h.created_at_us, h.resolved_at_us,
                 c.last_alive_at_us, c.ended_at_us,
                 (select count(*) from posting p where p.idempotency_key = 'charge:' || h.id) as charges,
                 cast(coalesce((select -sum(e.amount_micros) from posting p join entry e on e.posting_id = p.id
                     where p.idempotency_key = 'charge:' || h.id and e.account_id = h.account_id), 0) as bigint) as charged,
                 cast(coalesce((select -sum(e.amount_micros) from posting p join entry e on e.posting_id = p.id
                     where p.idempotency_key in ('charge:' || h.id, 'cost:' || h.id) and e.book = 'carrier_cost'), 0) as bigint) as carrier
             from hold h join call c on c.id = h.call_id ",
            $clauses
        )
    };
}

const HOLDS_BY_ID: &str = holds!("where h.id > $1 order by h.id limit $2");
const HOLDS_BY_CALL: &str = holds!("where h.call_id > $1 and h.call_id <= $2");

fn hold(row: &AnyRow) -> Result<HoldRow, LedgerError> {
    let time = |column: &str| row.try_get::<Option<i64>, _>(column).map(|at| at.map(Timestamp::from_micros));
    Ok(HoldRow {
        id: parse(row, "id", "hold.id")?,
        call: parse(row, "call_id", "hold.call_id")?,
        amount: Micros::new(row.try_get("amount_micros")?),
        funded_secs: u32::try_from(row.try_get::<i64, _>("funded_secs")?).map_err(|_| LedgerError::Damaged("hold.funded_secs"))?,
        outcome: row.try_get("outcome")?,
        settled: row.try_get::<Option<i64>, _>("settled_micros")?.map(Micros::new),
        created_at: Timestamp::from_micros(row.try_get("created_at_us")?),
        resolved_at: time("resolved_at_us")?,
        charges: row.try_get("charges")?,
        charged: Micros::new(row.try_get("charged")?),
        carrier: Micros::new(row.try_get("carrier")?),
        last_alive_at: Timestamp::from_micros(row.try_get("last_alive_at_us")?),
        call_ended: time("ended_at_us")?.is_some(),
    })
}

fn page<T>(rows: Vec<AnyRow>, read: impl FnMut(&AnyRow) -> Result<T, LedgerError>) -> Result<Option<Vec<T>>, LedgerError> {
    let rows = rows.iter().map(read).collect::<Result<Vec<T>, _>>()?;
    Ok(Some(rows).filter(|rows| !rows.is_empty()))
}

fn parse<T: std::str::FromStr>(row: &AnyRow, column: &str, name: &'static str) -> Result<T, LedgerError> {
    row.try_get::<String, _>(column)?.parse().map_err(|_| LedgerError::Damaged(name))
}

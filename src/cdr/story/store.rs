//! What the books know around a record. The only statements of this room that read other rooms' tables, and they only read.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::super::store::parse;
use super::{Hold, Posting, Reservation, Story};
use crate::cdr::Record;
use crate::types::{Currency, Micros, Money, Timestamp};

/// Lines of money that one call can have: its charge, and corrections with their reverse.
const MOST_LINES: i64 = 200;

/// Everything around a record.
pub async fn tell(connection: &mut AnyConnection, record: Record) -> Result<Story, sqlx::Error> {
    let call = record.call.to_string();
    let around = sqlx::query(
        "select s.name as subscriber_name, r.id as reservation_id, r.created_at_us as reserved_us, r.expires_at_us, r.access_number,
             r.rule, r.source, h.id as hold_id, h.amount_micros, h.funded_secs, h.created_at_us as held_us, h.outcome, h.settled_micros,
             h.resolved_at_us, a.currency
         from cdr c left join subscriber s on s.id = c.subscriber_id
             left join reservation r on r.id = c.reservation_id
             left join hold h on h.call_id = c.call_id and h.leg = 'b'
             left join account a on a.id = h.account_id
         where c.call_id = $1",
    )
    .bind(&call)
    .fetch_optional(&mut *connection)
    .await?;
    let lines = sqlx::query(
        "select p.id, p.kind, p.note, p.created_at_us, e.book, e.currency, e.amount_micros
         from posting p join entry e on e.posting_id = p.id
         where p.cause in (select cast($1 as text) union all select charged.id from posting charged where charged.cause = $1)
         order by p.created_at_us, p.seq, e.line limit $2",
    )
    .bind(&call)
    .bind(MOST_LINES)
    .fetch_all(connection)
    .await?;
    let around = around.as_ref();
    Ok(Story {
        subscriber_name: around.map(|row| row.try_get("subscriber_name")).transpose()?.flatten(),
        reservation: around.map(reservation).transpose()?.flatten(),
        hold: around.map(hold).transpose()?.flatten(),
        postings: postings(&lines)?,
        record,
    })
}

fn reservation(row: &AnyRow) -> Result<Option<Reservation>, sqlx::Error> {
    let Some(id) = parse(row, "reservation_id")? else { return Ok(None) };
    Ok(Some(Reservation {
        id,
        created_at: Timestamp::from_micros(row.try_get("reserved_us")?),
        expires_at: Timestamp::from_micros(row.try_get("expires_at_us")?),
        access_number: row.try_get("access_number")?,
        rule: row.try_get("rule")?,
        source: row.try_get("source")?,
    }))
}

fn hold(row: &AnyRow) -> Result<Option<Hold>, sqlx::Error> {
    let Some((id, currency)) = parse(row, "hold_id")?.zip(parse::<Currency>(row, "currency")?) else { return Ok(None) };
    let money = |micros: i64| Money { amount: Micros::new(micros), currency };
    Ok(Some(Hold {
        id,
        amount: money(row.try_get("amount_micros")?),
        funded_secs: row.try_get("funded_secs")?,
        created_at: Timestamp::from_micros(row.try_get("held_us")?),
        outcome: row.try_get("outcome")?,
        settled: row.try_get::<Option<i64>, _>("settled_micros")?.map(money),
        resolved_at: row.try_get::<Option<i64>, _>("resolved_at_us")?.map(Timestamp::from_micros),
    }))
}

fn postings(lines: &[AnyRow]) -> Result<Vec<Posting>, sqlx::Error> {
    let mut postings: Vec<Posting> = Vec::new();
    for row in lines {
        let id = parse(row, "id")?.ok_or(sqlx::Error::RowNotFound)?;
        let currency = parse(row, "currency")?.ok_or(sqlx::Error::RowNotFound)?;
        let line = (row.try_get("book")?, Money { amount: Micros::new(row.try_get("amount_micros")?), currency });
        match postings.last_mut() {
            Some(posting) if posting.id == id => posting.entries.push(line),
            _ => postings.push(Posting {
                id,
                kind: row.try_get("kind")?,
                note: row.try_get("note")?,
                at: Timestamp::from_micros(row.try_get("created_at_us")?),
                entries: vec![line],
            }),
        }
    }
    Ok(postings)
}

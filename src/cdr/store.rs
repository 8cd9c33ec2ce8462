//! Every SQL statement of the room.

use std::time::Duration;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::{Record, cause_word, parse_cause};
use crate::database::Script;
use crate::rating::{Charge, Quote};
use crate::types::{CallId, Micros, Side, SubscriberId, Timestamp};

/// Records of one list.
const MAX_LIST: u32 = 1000;

/// Which records a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this subscriber's.
    pub subscriber: Option<SubscriberId>,
    /// Began at or after.
    pub from: Option<Timestamp>,
    /// Began before.
    pub until: Option<Timestamp>,
    /// Only with this cause's word.
    pub cause: Option<String>,
}

/// Adds a record. A second one of the same call changes nothing.
pub fn insert(script: &mut Script, record: &Record) {
    let time = |at: Timestamp| at.as_micros();
    let (quote, charge) = record.charged.as_ref().map(|(quote, charge)| (quote, charge)).unzip();
    script.add(
        "insert into cdr (call_id, subscriber_id, account_id, reservation_id, sip_call_id, caller, dialled, destination, trunk_in,
             trunk_out, cause, side, sip_status, late, began_at_us, progressed_at_us, answered_at_us, ended_at_us, duration_ns,
             billed_secs, currency, charge_micros, charge_numerator, rounding, rate, detail)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26)
         on conflict (call_id) do nothing",
        [
            record.call.to_string().into(),
            record.subscriber.map(|id| id.to_string()).into(),
            record.account.map(|id| id.to_string()).into(),
            record.reservation.map(|id| id.to_string()).into(),
            record.sip_call_id.clone().into(),
            record.caller.clone().into(),
            record.dialled.clone().into(),
            record.destination.map(|number| number.to_string()).into(),
            record.trunk_in.clone().into(),
            record.trunk_out.clone().into(),
            cause_word(record.cause).into(),
            record.side.map(|side| side.as_str().to_owned()).into(),
            record.sip_status.map(i64::from).into(),
            i64::from(record.late).into(),
            time(record.began_at).into(),
            record.progressed_at.map(time).into(),
            record.answered_at.map(time).into(),
            time(record.ended_at).into(),
            i64::try_from(record.duration.as_nanos()).unwrap_or(i64::MAX).into(),
            charge.map_or(0, |charge| i64::try_from(charge.billed_secs).unwrap_or(i64::MAX)).into(),
            quote.map(|quote| quote.currency.as_str().to_owned()).into(),
            charge.map_or(0, |charge| charge.amount.get()).into(),
            charge.map(|charge| charge.numerator.to_string()).into(),
            quote.map(|quote| quote.rate.rounding.as_str().to_owned()).into(),
            quote.and_then(|quote| serde_json::to_string(quote).ok()).into(),
            record.detail.clone().into(),
        ],
    );
}

/// The record of a call.
pub async fn get(connection: &mut AnyConnection, call: CallId) -> Result<Option<Record>, sqlx::Error> {
    let row = sqlx::query("select * from cdr where call_id = $1").bind(call.to_string()).fetch_optional(connection).await?;
    row.as_ref().map(read).transpose()
}

/// Records, newest first, older than the one of `after`.
pub async fn list(connection: &mut AnyConnection, filter: &Filter, after: Option<CallId>, limit: u32) -> Result<Vec<Record>, sqlx::Error> {
    let rows = sqlx::query(
        "select * from cdr where ($1 = '' or subscriber_id = $1) and began_at_us >= $2 and began_at_us < $3 and ($4 = '' or cause = $4)
             and ($5 = '' or call_id < $5)
         order by call_id desc limit $6",
    )
    .bind(filter.subscriber.map_or_else(String::new, |id| id.to_string()))
    .bind(filter.from.map_or(i64::MIN, Timestamp::as_micros))
    .bind(filter.until.map_or(i64::MAX, Timestamp::as_micros))
    .bind(filter.cause.clone().unwrap_or_default())
    .bind(after.map_or_else(String::new, |id| id.to_string()))
    .bind(i64::from(limit.min(MAX_LIST)))
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

/// A record of a row.
pub(crate) fn read(row: &AnyRow) -> Result<Record, sqlx::Error> {
    let text = |column: &str| row.try_get::<Option<String>, _>(column);
    let number = |column: &str| row.try_get::<i64, _>(column);
    let time = |column: &str| row.try_get::<Option<i64>, _>(column).map(|at| at.map(Timestamp::from_micros));
    let quote: Option<Quote> = text("rate")?.map(|json| serde_json::from_str(&json).map_err(damaged("rate"))).transpose()?;
    let numerator = text("charge_numerator")?.map(|digits| digits.parse::<i128>().map_err(damaged("charge_numerator"))).transpose()?;
    let billed_secs = u64::try_from(number("billed_secs")?).map_err(damaged("billed_secs"))?;
    let amount = Micros::new(number("charge_micros")?);
    Ok(Record {
        call: parse(row, "call_id")?.ok_or(sqlx::Error::RowNotFound)?,
        subscriber: parse(row, "subscriber_id")?,
        account: parse(row, "account_id")?,
        reservation: parse(row, "reservation_id")?,
        sip_call_id: text("sip_call_id")?,
        caller: text("caller")?,
        dialled: text("dialled")?.unwrap_or_default(),
        destination: parse(row, "destination")?,
        trunk_in: text("trunk_in")?,
        trunk_out: text("trunk_out")?,
        cause: parse_cause(&row.try_get::<String, _>("cause")?).ok_or_else(|| damaged("cause")("an unknown word"))?,
        side: match text("side")?.as_deref() {
            Some("a") => Some(Side::A),
            Some("b") => Some(Side::B),
            _ => None,
        },
        sip_status: row.try_get::<Option<i64>, _>("sip_status")?.and_then(|status| u16::try_from(status).ok()),
        late: number("late")? == 1,
        began_at: Timestamp::from_micros(number("began_at_us")?),
        progressed_at: time("progressed_at_us")?,
        answered_at: time("answered_at_us")?,
        ended_at: Timestamp::from_micros(number("ended_at_us")?),
        duration: Duration::from_nanos(u64::try_from(number("duration_ns")?).map_err(damaged("duration_ns"))?),
        charged: quote.zip(numerator).map(|(quote, numerator)| (quote, Charge { billed_secs, numerator, amount })),
        detail: text("detail")?,
    })
}

fn parse<T>(row: &AnyRow, column: &'static str) -> Result<Option<T>, sqlx::Error>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    row.try_get::<Option<String>, _>(column)?.map(|text| text.parse().map_err(damaged(column))).transpose()
}

fn damaged<E: Into<Box<dyn std::error::Error + Send + Sync>>>(column: &'static str) -> impl FnOnce(E) -> sqlx::Error {
    move |source| sqlx::Error::ColumnDecode { index: column.to_owned(), source: source.into() }
}

//! Every SQL statement of the room.

use std::time::Duration;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::{Record, cause_word, parse_cause};
use crate::database::{self, Script, Value};
use crate::media::{Quality, Statistics};
use crate::rating::{Charge, Quote};
use crate::types::{CallId, E164, Micros, Side, SubscriberId, TenantId, Timestamp};

/// Records of one page.
pub const MAX_LIST: u32 = 1000;
/// Matches of a range that are sorted; of more, the newest are soon met by going back in time.
const SORTED: i64 = 50_000;

/// Whose records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Owner {
    /// Everybody's: only for the server's own purposes.
    #[default]
    Anybody,
    /// One tenant's.
    Tenant(TenantId),
}

/// Which records a list shows: those that fit everything that is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Whose.
    pub owner: Owner,
    /// This subscriber's.
    pub subscriber: Option<SubscriberId>,
    /// From this number.
    pub caller: Option<E164>,
    /// To numbers that begin with these digits; no plus sign.
    pub destination: Option<String>,
    /// Came by the trunk of this name.
    pub trunk_in: Option<String>,
    /// Left by the trunk of this name.
    pub trunk_out: Option<String>,
    /// With this cause's word.
    pub cause: Option<String>,
    /// B answered, or did not.
    pub answered: Option<bool>,
    /// Charged at least this much, in whatever currency.
    pub min_charge: Option<Micros>,
    /// Of this SIP Call-ID on the caller's side.
    pub sip_call_id: Option<String>,
    /// Began at or after.
    pub from: Option<Timestamp>,
    /// Began before.
    pub until: Option<Timestamp>,
}

/// Adds a record. A second one of the same call changes nothing.
pub fn insert(script: &mut Script, record: &Record) {
    let time = |at: Timestamp| at.as_micros();
    let count =
        |of: fn(&Statistics) -> u64| -> Value { record.sound.as_ref().map(|sound| i64::try_from(of(sound)).unwrap_or(i64::MAX)).into() };
    let (quote, charge) = record.charged.as_ref().map(|(quote, charge)| (quote, charge)).unzip();
    let (buy, cost) = record.cost.as_ref().map(|(quote, charge)| (quote, charge)).unzip();
    script.add(
        "insert into cdr (call_id, subscriber_id, account_id, reservation_id, sip_call_id, caller, dialled, destination, trunk_in,
             trunk_out, cause, side, sip_status, late, began_at_us, progressed_at_us, answered_at_us, ended_at_us, duration_ns,
             billed_secs, currency, charge_micros, charge_numerator, rounding, rate, detail, tenant_id,
             cost_micros, cost_numerator, cost_billed_secs, cost_currency, cost_rate,
             a_packets, a_lost, a_jitter_us, b_packets, b_lost, b_jitter_us)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26,
             coalesce((select tenant_id from subscriber where id = $2), (select tenant_id from access_number where number = $8),
             $27), $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38)
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
            TenantId::MAIN.to_string().into(), // what is nobody's is the house's
            cost.map(|cost| cost.amount.get()).into(),
            cost.map(|cost| cost.numerator.to_string()).into(),
            cost.map(|cost| i64::try_from(cost.billed_secs).unwrap_or(i64::MAX)).into(),
            buy.map(|quote| quote.currency.as_str().to_owned()).into(),
            buy.and_then(|quote| serde_json::to_string(quote).ok()).into(),
            count(|sound| sound.a.packets),
            count(|sound| sound.a.lost),
            count(|sound| sound.a.jitter_us),
            count(|sound| sound.b.packets),
            count(|sound| sound.b.lost),
            count(|sound| sound.b.jitter_us),
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
    let last = match after {
        Some(after) => {
            let (owned, mut values) = conditions(&Filter { owner: filter.owner, ..Filter::default() }, None);
            values.push(after.to_string().into());
            let sql = format!("select began_at_us from cdr where {owned} and call_id = ${}", values.len());
            let began = database::bind(sqlx::query(sqlx::AssertSqlSafe(sql)), values).fetch_optional(&mut *connection).await?;
            let Some(row) = began else { return Ok(Vec::new()) };
            Some((row.try_get("began_at_us")?, after))
        }
        None => None,
    };
    let way = way(connection, filter).await?;
    let (conditions, mut values) = conditions(filter, last);
    values.push(i64::from(limit.min(MAX_LIST)).into());
    let order = format!("order by began_at_us desc, call_id desc limit ${}", values.len());
    let sql = match way {
        Way::Free => format!("select * from cdr where {conditions} {order}"),
        Way::Ordered(index) => format!("select * from cdr indexed by {index} where {conditions} {order}"),
        Way::Sorted(index) => {
            format!("select * from cdr where rowid in (select rowid from cdr indexed by {index} where {conditions} {order}) {order}")
        }
    };
    let rows = database::bind(sqlx::query(sqlx::AssertSqlSafe(sql)), values).fetch_all(connection).await?;
    rows.iter().map(read).collect()
}

/// How the rows of a page are found. SQLite is told, because it keeps no count of what is in an index and takes the wrong one;
/// PostgreSQL counts and chooses by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// As the database likes.
    Free,
    /// Along this index, which has them in order.
    Ordered(&'static str),
    /// All of this index's range, sorted from the index alone; only then the rows.
    Sorted(&'static str),
}

async fn way(connection: &mut AnyConnection, filter: &Filter) -> Result<Way, sqlx::Error> {
    if connection.backend_name() != "SQLite" {
        return Ok(Way::Free);
    }
    let alone = [
        (filter.sip_call_id.is_some(), "cdr_sip_call_id"),
        (filter.subscriber.is_some(), "cdr_subscriber"),
        (filter.caller.is_some(), "cdr_caller"),
    ];
    if let Some((_, index)) = alone.into_iter().find(|(set, _)| *set) {
        return Ok(Way::Ordered(index));
    }
    if filter.owner == Owner::Anybody {
        return Ok(Way::Free);
    }
    let ranges = [
        (Filter { destination: filter.destination.clone(), ..Filter::default() }, "cdr_destination"),
        (Filter { min_charge: filter.min_charge, ..Filter::default() }, "cdr_charge"),
    ];
    for (range, index) in ranges {
        if range != Filter::default() && is_rare(connection, Filter { owner: filter.owner, ..range }, index).await? {
            return Ok(Way::Sorted(index));
        }
    }
    let exact = [
        (filter.cause.is_some(), "cdr_cause"),
        (filter.trunk_out.is_some(), "cdr_trunk_out"),
        (filter.trunk_in.is_some(), "cdr_trunk_in"),
        (filter.answered == Some(false), "cdr_unanswered"),
    ];
    Ok(Way::Ordered(exact.into_iter().find(|(set, _)| *set).map_or("cdr_began", |(_, index)| index)))
}

async fn is_rare(connection: &mut AnyConnection, filter: Filter, index: &str) -> Result<bool, sqlx::Error> {
    let (conditions, mut values) = conditions(&filter, None);
    values.push((SORTED + 1).into());
    let counted = format!("select 1 from cdr indexed by {index} where {conditions} limit ${}", values.len());
    let sql = format!("select count(*) as found from ({counted}) as some");
    let row = database::bind(sqlx::query(sqlx::AssertSqlSafe(sql)), values).fetch_one(connection).await?;
    Ok(row.try_get::<i64, _>("found")? <= SORTED)
}

/// The filter in SQL, and its values.
fn conditions(filter: &Filter, last: Option<(i64, CallId)>) -> (String, Vec<Value>) {
    let mut all = Conditions { sql: "1 = 1".to_owned(), values: Vec::new() };
    match filter.owner {
        Owner::Anybody => {}
        Owner::Tenant(tenant) => all.add("tenant_id = ?", tenant.to_string()),
    }
    all.add_some("subscriber_id = ?", filter.subscriber.map(|id| id.to_string()));
    all.add_some("caller = ?", filter.caller.map(|number| number.to_string()));
    all.add_some("trunk_in = ?", filter.trunk_in.clone());
    all.add_some("trunk_out = ?", filter.trunk_out.clone());
    all.add_some("cause = ?", filter.cause.clone());
    all.add_some("sip_call_id = ?", filter.sip_call_id.clone());
    all.add_some("began_at_us >= ?", filter.from.map(Timestamp::as_micros));
    all.add_some("began_at_us < ?", filter.until.map(Timestamp::as_micros));
    match filter.answered {
        Some(true) => all.sql.push_str(" and answered_at_us is not null"),
        Some(false) => all.sql.push_str(" and answered_at_us is null"),
        None => {}
    }
    if let Some(least) = filter.min_charge {
        all.sql.push_str(" and charge_micros > 0");
        all.add("charge_micros >= ?", least.get());
    }
    if let Some(digits) = &filter.destination {
        all.add("destination >= ?", format!("+{digits}"));
        all.add_some("destination < ?", after_prefix(digits).map(|next| format!("+{next}")));
    }
    if let Some((began, call)) = last {
        all.add("began_at_us <= ?", began);
        all.values.push(call.to_string().into());
        let call = all.values.len();
        all.add(&format!("(began_at_us < ? or call_id < ${call})"), began);
    }
    (all.sql, all.values)
}

struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    fn add(&mut self, condition: &str, value: impl Into<Value>) {
        self.values.push(value.into());
        self.sql.push_str(" and ");
        self.sql.push_str(&condition.replace('?', &format!("${}", self.values.len())));
    }

    fn add_some(&mut self, condition: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.add(condition, value);
        }
    }
}

/// The least number that stands after all that begin with these digits; none if they are all nines.
fn after_prefix(digits: &str) -> Option<String> {
    let counted = digits.trim_end_matches('9');
    let (last, before) = counted.as_bytes().split_last()?;
    let next = char::from(last + 1);
    Some(format!("{}{next}", std::str::from_utf8(before).ok()?))
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
        tenant: parse(row, "tenant_id")?,
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
        cost: cost(row)?,
        sound: sound(row)?,
        detail: text("detail")?,
    })
}

/// How it sounded, if the row says.
fn sound(row: &AnyRow) -> Result<Option<Statistics>, sqlx::Error> {
    let count = |column: &str| -> Result<Option<u64>, sqlx::Error> {
        Ok(row.try_get::<Option<i64>, _>(column)?.and_then(|count| u64::try_from(count).ok()))
    };
    let quality = |packets: &str, lost: &str, jitter: &str| -> Result<Option<Quality>, sqlx::Error> {
        let (Some(packets), Some(lost), Some(jitter_us)) = (count(packets)?, count(lost)?, count(jitter)?) else { return Ok(None) };
        Ok(Some(Quality { packets, lost, jitter_us }))
    };
    let (a, b) = (quality("a_packets", "a_lost", "a_jitter_us")?, quality("b_packets", "b_lost", "b_jitter_us")?);
    Ok(a.zip(b).map(|(a, b)| Statistics { a, b }))
}

/// What the carrier takes, if the row says.
fn cost(row: &AnyRow) -> Result<Option<(Quote, Charge)>, sqlx::Error> {
    let Some(json) = row.try_get::<Option<String>, _>("cost_rate")? else { return Ok(None) };
    let quote = serde_json::from_str(&json).map_err(damaged("cost_rate"))?;
    let charge = Charge {
        billed_secs: u64::try_from(row.try_get::<i64, _>("cost_billed_secs")?).map_err(damaged("cost_billed_secs"))?,
        numerator: row.try_get::<String, _>("cost_numerator")?.parse().map_err(damaged("cost_numerator"))?,
        amount: Micros::new(row.try_get("cost_micros")?),
    };
    Ok(Some((quote, charge)))
}

/// A text column that may be null as a value.
pub(super) fn parse<T>(row: &AnyRow, column: &'static str) -> Result<Option<T>, sqlx::Error>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    row.try_get::<Option<String>, _>(column)?.map(|text| text.parse().map_err(damaged(column))).transpose()
}

fn damaged<E: Into<Box<dyn std::error::Error + Send + Sync>>>(column: &'static str) -> impl FnOnce(E) -> sqlx::Error {
    move |source| sqlx::Error::ColumnDecode { index: column.to_owned(), source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_the_next_begins() {
        for (digits, next) in [("420", Some("421")), ("1", Some("2")), ("49", Some("5")), ("4299", Some("43")), ("9", None), ("99", None)] {
            assert_eq!(after_prefix(digits).as_deref(), next, "{digits}");
        }
    }

    #[test]
    fn each_condition_has_its_own_value() {
        let filter = Filter { cause: Some("busy".into()), destination: Some("420".into()), answered: Some(false), ..Filter::default() };
        let (sql, values) = conditions(&filter, None);
        assert_eq!(sql, "1 = 1 and cause = $1 and answered_at_us is null and destination >= $2 and destination < $3");
        assert_eq!(values.len(), 3);
    }
}

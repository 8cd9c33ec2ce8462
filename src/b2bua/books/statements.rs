//! Every SQL statement of a call's books.
//!
//! Statements that do not look at each other's answers travel together in a [`Script`].

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::{Authorise, Closing, Leaving};
use crate::callthrough;
use crate::cdr::{self, Record};
use crate::database::{Kind, Script};
use crate::ledger::hold::{Limits, Room, Slice, Usage};
use crate::ledger::low::Watch;
use crate::ledger::{self, Account, LedgerError, Posting};
use crate::rating::Quote;
use crate::stats;
use crate::types::{AccountId, CallId, DeckId, HoldId, Micros, Nanos, ReservationId, SubscriberId, Timestamp};

/// Calls of the last hour are counted up to here; a limit that high is none.
const COUNTED_CALLS: i64 = 1000;
/// Calls of one heartbeat statement.
const HEARTBEAT: usize = 100;

/// A subscriber and their account at one instant, under the account's lock.
#[derive(Debug)]
pub(super) struct Standing {
    pub account: Account,
    pub enabled: bool,
    pub deck: Option<DeckId>,
    pub limits: Limits,
    pub usage: Usage,
    /// Calls of the last minute.
    pub calls_minute: u32,
}

/// An open hold with what is needed to settle it or to add to it.
#[derive(Debug)]
pub(super) struct OpenHold {
    pub id: HoldId,
    pub account: AccountId,
    pub subscriber: SubscriberId,
    pub amount: Micros,
    pub funded_secs: u32,
    pub quote: Quote,
    pub posting_seq: i64,
    pub posting_hash: String,
    /// The account before the call is settled.
    pub watch: Watch,
}

/// What the books know of a call that ends.
#[derive(Debug, Default)]
pub(super) struct Ending {
    pub recorded: bool,
    /// When B answered, if that was written down: periods are counted from it.
    pub answered_at: Option<Timestamp>,
    pub hold: Option<OpenHold>,
}

/// A call's row, as a recovery reads it.
#[derive(Debug)]
pub(super) struct CallRow {
    pub closing: Closing,
    pub dialogs: Option<String>,
    pub last_alive_at: Timestamp,
    pub funded_until: Option<Timestamp>,
}

/// Keeps everybody else off the account until the transaction ends. SQLite has one writer and needs no lock; PostgreSQL
/// looks at rows as of the start of a statement, so the lock comes first and the reading after it. A tenant with caps is locked
/// before the account, always in this order.
pub(super) fn lock_payer(script: &mut Script, kind: Kind, subscriber: SubscriberId, now: Timestamp) {
    if kind == Kind::Postgres {
        script.add(
            "select 1 from tenant where id = (select tenant_id from subscriber where id = $1)
                 and (max_calls is not null or spend_cap_micros is not null) for no key update",
            [subscriber.to_string().into()],
        );
        script.add(
            "update account set locked_at_us = $2 where id = (select account_id from subscriber where id = $1)",
            [subscriber.to_string().into(), now.as_micros().into()],
        );
    }
}

/// The same of a tenant with a cap on spending by the call's hold: for what adds to the hold.
fn lock_tenant(script: &mut Script, kind: Kind, call: CallId) {
    if kind == Kind::Postgres {
        script.add(
            "select 1 from tenant where id in (select a.tenant_id from hold h join account a on a.id = h.account_id where h.call_id = $1)
                 and spend_cap_micros is not null for no key update",
            [call.to_string().into()],
        );
    }
}

/// The same of the account by the call's hold.
fn lock_holder(script: &mut Script, kind: Kind, call: CallId, now: Timestamp) {
    if kind == Kind::Postgres {
        script.add(
            "update account set locked_at_us = $2 where id in (select account_id from hold where call_id = $1)",
            [call.to_string().into(), now.as_micros().into()],
        );
    }
}

/// Reads what the limits need to know of a subscriber, in one statement.
pub(super) async fn standing(
    tx: &mut AnyConnection,
    subscriber: SubscriberId,
    config: &ledger::Config,
    now: Timestamp,
) -> Result<Option<Standing>, LedgerError> {
    let mut script = Script::default();
    add_standing(&mut script, subscriber, now);
    read_standing(script.ask(tx).await?.last().and_then(|rows| rows.first()), config, now)
}

/// The statement of [`standing`], to travel with others; its one row is for [`read_standing`].
pub(super) fn add_standing(script: &mut Script, subscriber: SubscriberId, now: Timestamp) {
    script.add(
        "select s.tenant_id, s.account_id, s.enabled, s.deck_id, s.max_calls, s.spend_cap_micros, s.max_price_nanos, s.max_calls_hour,
             s.longest_call_secs, s.spent_day_us, s.spent_micros, a.currency, a.credit_limit_micros, a.balance_micros,
             a.low_balance_micros, cast(coalesce(sum(h.amount_micros), 0) as bigint) as account_held,
             cast(coalesce(sum(case when h.subscriber_id = $1 then h.amount_micros end), 0) as bigint) as own_held,
             count(distinct case when h.subscriber_id = $1 then h.call_id end) as calls,
             t.max_calls as tenant_max_calls, t.spend_cap_micros as tenant_spend_cap,
             case when t.max_calls is not null then (select count(distinct o.call_id) from hold o cross join account p
                 where o.resolved_at_us is null and p.id = o.account_id and p.tenant_id = s.tenant_id) end as tenant_calls,
             case when t.spend_cap_micros is not null then (select cast(coalesce(sum(o.amount_micros), 0) as bigint)
                 from hold o cross join account p where o.resolved_at_us is null and p.id = o.account_id
                 and p.tenant_id = s.tenant_id and p.currency = a.currency) end as tenant_held,
             case when t.spend_cap_micros is not null then (select cast(coalesce(sum(o.spent_micros), 0) as bigint)
                 from subscriber o cross join account p where o.tenant_id = s.tenant_id and o.spent_day_us = $5
                 and p.id = o.account_id and p.currency = a.currency) end as tenant_spent,
             (select count(*) from (select 1 from call c where c.subscriber_id = $1 and c.began_at_us > $2 limit $3) as recent) as calls_hour,
             (select count(*) from (select 1 from call c where c.subscriber_id = $1 and c.began_at_us > $4 limit $3) as latest) as calls_minute
         from subscriber s join account a on a.id = s.account_id join tenant t on t.id = s.tenant_id
             left join hold h on h.account_id = a.id and h.resolved_at_us is null
         where s.id = $1 group by s.id, a.id, t.id",
        [
            subscriber.to_string().into(),
            (now - std::time::Duration::from_secs(3600)).as_micros().into(),
            COUNTED_CALLS.into(),
            (now - std::time::Duration::from_secs(60)).as_micros().into(),
            now.start_of_day().as_micros().into(),
        ],
    );
}

/// What the row says; nothing if there is no such subscriber.
pub(super) fn read_standing(row: Option<&AnyRow>, config: &ledger::Config, now: Timestamp) -> Result<Option<Standing>, LedgerError> {
    let Some(row) = row else { return Ok(None) };
    let number = |column: &str| row.try_get::<i64, _>(column);
    let own = |column: &str| row.try_get::<Option<i64>, _>(column);
    let count = |column: &str| number(column).map(|count| u32::try_from(count).unwrap_or(u32::MAX));
    let own_count = |column: &str, default: u32| own(column).map(|own| own.map_or(default, |own| u32::try_from(own).unwrap_or(u32::MAX)));
    let max_calls_hour = own_count("max_calls_hour", config.max_calls_hour)?;
    let counted = u32::try_from(COUNTED_CALLS).unwrap_or(u32::MAX);
    Ok(Some(Standing {
        calls_minute: count("calls_minute")?,
        account: Account {
            id: parse(row, "account_id")?,
            tenant: parse(row, "tenant_id")?,
            currency: row.try_get::<String, _>("currency")?.parse()?,
            credit_limit: Micros::new(number("credit_limit_micros")?),
            balance: Micros::new(number("balance_micros")?),
            held: Micros::new(number("account_held")?),
            low_balance: Micros::new(number("low_balance_micros")?),
        },
        enabled: number("enabled")? == 1,
        deck: parse_optional(row, "deck_id")?,
        limits: Limits {
            max_calls: own_count("max_calls", config.max_calls)?,
            spend_cap: own("spend_cap_micros")?.map_or(config.spend_cap, Micros::new),
            max_price: own("max_price_nanos")?.map_or_else(|| config.max_price(), Nanos::new),
            max_calls_hour: if max_calls_hour >= counted { u32::MAX } else { max_calls_hour },
            longest_call_secs: own_count("longest_call_secs", config.longest_call_secs)?.min(config.longest_call_secs),
        },
        usage: Usage {
            calls: count("calls")?,
            calls_hour: count("calls_hour")?,
            spent: if number("spent_day_us")? == now.start_of_day().as_micros() {
                Micros::new(number("spent_micros")?)
            } else {
                Micros::ZERO
            },
            held: Micros::new(number("own_held")?),
            tenant: Room {
                calls: own("tenant_max_calls")?.zip(own("tenant_calls")?).map(|(most, calls)| left(most, calls)),
                spend: match (own("tenant_spend_cap")?, own("tenant_spent")?, own("tenant_held")?) {
                    (Some(cap), Some(spent), Some(held)) => Some(Micros::new(cap).minus(Micros::new(spent))?.minus(Micros::new(held))?),
                    _ => None,
                },
            },
        },
    }))
}

/// Where a subscriber called since then, calls that are over included.
pub(super) async fn calls_since(tx: &mut AnyConnection, subscriber: SubscriberId, since: Timestamp) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("select destination from call where subscriber_id = $1 and began_at_us > $2 limit $3")
        .bind(subscriber.to_string())
        .bind(since.as_micros())
        .bind(COUNTED_CALLS)
        .fetch_all(tx)
        .await
}

fn left(most: i64, calls: i64) -> u32 {
    u32::try_from(most.saturating_sub(calls).max(0)).unwrap_or(u32::MAX)
}

/// Writes a call that is let in, and its hold.
pub(super) async fn begin(
    tx: &mut AnyConnection,
    node: &str,
    ask: &Authorise,
    account: AccountId,
    hold: (HoldId, &Slice, &Quote),
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let (id, slice, quote) = hold;
    let rate = serde_json::to_string(quote).map_err(|fault| sqlx::Error::Encode(fault.into()))?;
    let (call, subscriber, now) = (ask.call.to_string(), ask.subscriber.to_string(), now.as_micros());
    let mut script = Script::default();
    script.add(
        "insert into call (id, node, subscriber_id, reservation_id, sip_call_id, caller, dialled, destination, trunk_in, began_at_us,
             last_alive_at_us)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        [
            call.clone().into(),
            node.into(),
            subscriber.clone().into(),
            ask.reservation.map(|id| id.to_string()).into(),
            ask.sip_call_id.clone().into(),
            ask.caller.map(|number| number.to_string()).into(),
            ask.dialled.clone().into(),
            ask.destination.to_string().into(),
            ask.trunk_in.clone().into(),
            ask.began_at.as_micros().into(),
            now.into(),
        ],
    );
    script.add(
        "insert into hold (id, call_id, leg, account_id, subscriber_id, amount_micros, funded_secs, rate, created_at_us)
         values ($1, $2, 'b', $3, $4, $5, $6, $7, $8)",
        [
            id.to_string().into(),
            call.into(),
            account.to_string().into(),
            subscriber.into(),
            slice.amount.get().into(),
            i64::from(slice.funded_secs).into(),
            rate.into(),
            now.into(),
        ],
    );
    script.run(tx).await
}

/// Adds to a hold and to the time it pays for.
pub(super) async fn extend(tx: &mut AnyConnection, call: CallId, slice: &Slice) -> Result<(), sqlx::Error> {
    let (call, funded_secs) = (call.to_string(), i64::from(slice.funded_secs));
    let mut script = Script::default();
    script.add(
        "update hold set amount_micros = $2, funded_secs = $3 where call_id = $1 and resolved_at_us is null",
        [call.clone().into(), slice.amount.get().into(), funded_secs.into()],
    );
    script.add(
        "update call set funded_until_us = answered_at_us + 1000000 * $2 where id = $1 and answered_at_us is not null",
        [call.into(), funded_secs.into()],
    );
    script.run(tx).await
}

/// B answered: the call's row says so, and its reservation is used up.
pub(super) async fn answered(
    tx: &mut AnyConnection,
    call: CallId,
    reservation: Option<ReservationId>,
    at: Timestamp,
    (dialogs, leaving): (String, Option<Leaving>),
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let mut script = Script::default();
    let (trunk, cost) = leaving.map(|leaving| (leaving.trunk, leaving.cost)).unzip();
    let cost = cost.flatten().and_then(|quote| serde_json::to_string(&quote).ok());
    script.add(
        "update call set answered_at_us = $2, dialogs = $3, last_alive_at_us = $4,
             funded_until_us = $2 + 1000000 * (select min(funded_secs) from hold where call_id = $1), trunk_out = $5, cost_rate = $6
         where id = $1 and ended_at_us is null",
        [call.to_string().into(), at.as_micros().into(), dialogs.into(), now.as_micros().into(), trunk.into(), cost.into()],
    );
    if let Some(reservation) = reservation {
        callthrough::store::add_consume(&mut script, reservation, call);
    }
    script.run(tx).await
}

/// These calls were alive at `now`.
pub(super) async fn alive(tx: &mut AnyConnection, calls: &[CallId], now: Timestamp) -> Result<(), sqlx::Error> {
    let places = (2..HEARTBEAT + 2).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ");
    let sql = format!("update call set last_alive_at_us = $1 where ended_at_us is null and id in ({places})");
    for some in calls.chunks(HEARTBEAT) {
        // Always the same number of places, so that it is always the same prepared statement; the last call fills up.
        let last = some.last().map(CallId::to_string).unwrap_or_default();
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql.clone())).bind(now.as_micros());
        for place in 0..HEARTBEAT {
            query = query.bind(some.get(place).map_or_else(|| last.clone(), CallId::to_string));
        }
        query.execute(&mut *tx).await?;
    }
    Ok(())
}

/// What the books know of a call that asks for more, under its tenant's and its account's lock.
pub(super) async fn running(tx: &mut AnyConnection, kind: Kind, call: CallId, now: Timestamp) -> Result<Ending, LedgerError> {
    let mut script = Script::default();
    lock_tenant(&mut script, kind, call);
    read_ending(tx, script, kind, call, now).await
}

/// What the books know of a call that ends, under its account's lock.
pub(super) async fn ending(tx: &mut AnyConnection, kind: Kind, call: CallId, now: Timestamp) -> Result<Ending, LedgerError> {
    read_ending(tx, Script::default(), kind, call, now).await
}

async fn read_ending(tx: &mut AnyConnection, mut script: Script, kind: Kind, call: CallId, now: Timestamp) -> Result<Ending, LedgerError> {
    lock_holder(&mut script, kind, call, now);
    script.add(
        "select h.id as hold_id, h.account_id, h.subscriber_id, h.amount_micros, h.funded_secs, h.rate, a.posting_seq, a.posting_hash,
             a.id, a.tenant_id, a.currency, a.credit_limit_micros, a.balance_micros, a.low_balance_micros, a.low_since_us,
             cast(coalesce((select sum(o.amount_micros) from hold o where o.account_id = h.account_id and o.resolved_at_us is null), 0)
                 as bigint) as held_micros,
             (select count(*) from cdr where cdr.call_id = $1) as recorded,
             (select c.answered_at_us from call c where c.id = $1) as answered_at_us
         from (select 1 as one) as always
             left join hold h on h.call_id = $1 and h.leg = 'b' and h.resolved_at_us is null
             left join account a on a.id = h.account_id",
        [call.to_string().into()],
    );
    let answers = script.ask(tx).await?;
    let row = answers.last().and_then(|rows| rows.first()).ok_or(sqlx::Error::RowNotFound)?;
    let hold = row.try_get::<Option<String>, _>("hold_id")?.map(|_| open(row)).transpose()?;
    let answered_at = row.try_get::<Option<i64>, _>("answered_at_us")?.map(Timestamp::from_micros);
    Ok(Ending { recorded: row.try_get::<i64, _>("recorded")? > 0, answered_at, hold })
}

fn open(row: &AnyRow) -> Result<OpenHold, LedgerError> {
    Ok(OpenHold {
        id: parse(row, "hold_id")?,
        account: parse(row, "account_id")?,
        subscriber: parse(row, "subscriber_id")?,
        amount: Micros::new(row.try_get("amount_micros")?),
        funded_secs: u32::try_from(row.try_get::<i64, _>("funded_secs")?).map_err(|_| LedgerError::Damaged("hold.funded_secs"))?,
        quote: serde_json::from_str(&row.try_get::<String, _>("rate")?).map_err(|_| LedgerError::Damaged("hold.rate"))?,
        posting_seq: row.try_get("posting_seq")?,
        posting_hash: row.try_get("posting_hash")?,
        watch: ledger::store::watch(row)?,
    })
}

/// Ends a call in the books: its hold, its charge, its row, its reservation and its record, all at once.
pub(super) async fn end(
    tx: &mut AnyConnection,
    record: &Record,
    settled: Option<Micros>,
    posting: Option<&Posting>,
    ending: &Ending,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let outcome = if settled.is_some() { "settled" } else { "released" };
    let mut script = Script::default();
    resolve(&mut script, record.call, outcome, settled, record.ended_at, now);
    if let Some(posting) = posting {
        ledger::store::insert(&mut script, posting)?;
        let spent = Micros::ZERO.minus(posting.gain()?)?;
        script.add(
            "update subscriber set spent_micros = case when spent_day_us = $2 then spent_micros else 0 end + $3, spent_day_us = $2
             where id = $1",
            [record.subscriber.map(|id| id.to_string()).into(), now.start_of_day().as_micros().into(), spent.get().into()],
        );
    }
    stats::store::note(&mut script, &record.call.to_string());
    cdr::store::insert(&mut script, record);
    if let Some(reservation) = record.reservation {
        if record.answered_at.is_some() && ending.answered_at.is_none() {
            callthrough::store::add_consume(&mut script, reservation, record.call);
        }
        callthrough::store::add_release(&mut script, reservation, record.call, now);
    }
    script.run(tx).await.map_err(LedgerError::from)
}

/// Takes a hold back that was made too late for anybody to use, and the claim with it.
pub(super) async fn undo(
    tx: &mut AnyConnection,
    call: CallId,
    reservation: Option<ReservationId>,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let mut script = Script::default();
    resolve(&mut script, call, "released", None, now, now);
    if let Some(reservation) = reservation {
        callthrough::store::add_release(&mut script, reservation, call, now);
    }
    script.run(tx).await
}

fn resolve(script: &mut Script, call: CallId, outcome: &'static str, settled: Option<Micros>, ended_at: Timestamp, now: Timestamp) {
    let call = call.to_string();
    script.add(
        "update hold set outcome = $2, settled_micros = $3, resolved_at_us = $4 where call_id = $1 and resolved_at_us is null",
        [call.clone().into(), outcome.into(), settled.map(Micros::get).into(), now.as_micros().into()],
    );
    script.add("update call set ended_at_us = $2 where id = $1 and ended_at_us is null", [call.into(), ended_at.as_micros().into()]);
}

/// The calls that this node has open in the books.
pub(super) async fn open_calls(connection: &mut AnyConnection, node: &str) -> Result<Vec<CallRow>, LedgerError> {
    let rows =
        sqlx::query("select * from call where node = $1 and ended_at_us is null order by id").bind(node).fetch_all(connection).await?;
    rows.iter().map(call_row).collect()
}

/// One call's row, if it is still open.
pub(super) async fn open_call(connection: &mut AnyConnection, call: CallId) -> Result<Option<CallRow>, LedgerError> {
    let row =
        sqlx::query("select * from call where id = $1 and ended_at_us is null").bind(call.to_string()).fetch_optional(connection).await?;
    row.as_ref().map(call_row).transpose()
}

fn call_row(row: &AnyRow) -> Result<CallRow, LedgerError> {
    let time = |column: &str| row.try_get::<Option<i64>, _>(column).map(|at| at.map(Timestamp::from_micros));
    let began_at = Timestamp::from_micros(row.try_get("began_at_us")?);
    let last_alive_at = Timestamp::from_micros(row.try_get("last_alive_at_us")?);
    Ok(CallRow {
        closing: Closing {
            call: parse(row, "id")?,
            subscriber: parse_optional(row, "subscriber_id")?,
            reservation: parse_optional(row, "reservation_id")?,
            sip_call_id: row.try_get("sip_call_id")?,
            caller: row.try_get("caller")?,
            dialled: row.try_get("dialled")?,
            destination: parse_optional(row, "destination")?,
            trunk_in: row.try_get("trunk_in")?,
            trunk_out: row.try_get("trunk_out")?,
            cause: crate::call::Cause::ServerRestart,
            side: None,
            sip_status: None,
            late: false,
            began_at,
            progressed_at: None,
            answered_at: time("answered_at_us")?,
            ended_at: last_alive_at.max(began_at),
            duration: std::time::Duration::ZERO,
            cost: row.try_get::<Option<String>, _>("cost_rate")?.and_then(|json| serde_json::from_str(&json).ok()),
            sound: None,
            detail: None,
        },
        dialogs: row.try_get("dialogs")?,
        last_alive_at,
        funded_until: time("funded_until_us")?,
    })
}

fn parse<T: std::str::FromStr>(row: &AnyRow, column: &'static str) -> Result<T, LedgerError> {
    row.try_get::<String, _>(column)?.parse().map_err(|_| LedgerError::Damaged(column))
}

fn parse_optional<T: std::str::FromStr>(row: &AnyRow, column: &'static str) -> Result<Option<T>, LedgerError> {
    let text = row.try_get::<Option<String>, _>(column)?;
    text.map(|text| text.parse().map_err(|_| LedgerError::Damaged(column))).transpose()
}

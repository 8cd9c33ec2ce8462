//! Every SQL statement of the room.

use std::collections::{BTreeMap, HashMap};

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

use super::{DECIDED, HOUR, SLOT, Sum, TRUNKS_KEPT, start_of};
use crate::cdr::parse_cause;
use crate::database::{Script, Value, bind};
use crate::types::{Currency, Micros, Money, TenantId, Timestamp};

/// Records that are counted in one transaction: the writer is nobody's for long.
pub const COUNTED: usize = 500;

/// Attempts to call out over one trunk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrunkSum {
    /// Its name.
    pub trunk: String,
    /// Calls that were tried over it.
    pub attempts: i64,
    /// Of them, answered.
    pub answered: i64,
    /// Of them, failed for a reason that another trunk may not have.
    pub failed: i64,
}

/// Whose sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Everybody's: the operator's view of the carriers.
    Everybody,
    /// One tenant's.
    Tenant(TenantId),
}

/// What waits for somebody, and what is at risk now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Now {
    /// Holds of calls that are up.
    pub open_holds: i64,
    /// What they set aside.
    pub held: Vec<Money>,
    /// Alerts nobody has acknowledged, by severity: critical, warning, notice.
    pub alerts: [i64; 3],
    /// Changes that wait for a second person.
    pub approvals: i64,
}

/// Notes that a record is to be counted, unless it is there already. Stands before the record in its script.
pub fn note(script: &mut Script, call: &str) {
    script.add(
        "insert into cdr_uncounted (call_id) select $1 where not exists (select 1 from cdr where call_id = $1) on conflict do nothing",
        [call.into()],
    );
}

/// Counts up to [`COUNTED`] records that are in no sum yet; returns how many it found.
pub async fn count_calls(tx: &mut AnyConnection, now: Timestamp) -> Result<usize, sqlx::Error> {
    lock(tx, "calls", now).await?;
    let rows = sqlx::query(
        "select u.call_id, c.tenant_id, c.began_at_us, c.answered_at_us, c.duration_ns, c.billed_secs, c.currency, c.charge_micros, c.detail
         from cdr_uncounted u left join cdr c on c.call_id = u.call_id order by u.call_id limit $1",
    )
    .bind(i64::try_from(COUNTED).unwrap_or(i64::MAX))
    .fetch_all(&mut *tx)
    .await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let mut calls: BTreeMap<(String, i64, String), [i64; 5]> = BTreeMap::new();
    let mut trunks: BTreeMap<(i64, String, String), [i64; 3]> = BTreeMap::new();
    let mut counted = Vec::with_capacity(rows.len());
    for row in &rows {
        counted.push(Value::from(row.try_get::<String, _>("call_id")?));
        // A note without its record: the record is in the same transaction, so there is none that could come later.
        let Some(tenant) = row.try_get::<Option<String>, _>("tenant_id")? else { continue };
        add_call(row, &tenant, &mut calls)?;
        add_attempts(row, &tenant, now, &mut trunks)?;
    }
    for ((tenant, hour, currency), [count, answered, talk_ms, billed_secs, spend]) in calls {
        sqlx::query(
            "insert into stat_hour (tenant_id, hour_us, currency, calls, answered, talk_ms, billed_secs, spend_micros)
             values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (tenant_id, hour_us, currency) do update set
             calls = stat_hour.calls + excluded.calls, answered = stat_hour.answered + excluded.answered,
             talk_ms = stat_hour.talk_ms + excluded.talk_ms, billed_secs = stat_hour.billed_secs + excluded.billed_secs,
             spend_micros = stat_hour.spend_micros + excluded.spend_micros",
        )
        .bind(tenant)
        .bind(hour)
        .bind(currency)
        .bind(count)
        .bind(answered)
        .bind(talk_ms)
        .bind(billed_secs)
        .bind(spend)
        .execute(&mut *tx)
        .await?;
    }
    for ((slot, trunk, tenant), [attempts, answered, failed]) in trunks {
        sqlx::query(
            "insert into stat_trunk (slot_us, trunk, tenant_id, attempts, answered, failed) values ($1, $2, $3, $4, $5, $6)
             on conflict (slot_us, trunk, tenant_id) do update set attempts = stat_trunk.attempts + excluded.attempts,
             answered = stat_trunk.answered + excluded.answered, failed = stat_trunk.failed + excluded.failed",
        )
        .bind(slot)
        .bind(trunk)
        .bind(tenant)
        .bind(attempts)
        .bind(answered)
        .bind(failed)
        .execute(&mut *tx)
        .await?;
    }
    let found = counted.len();
    let places = (1..=found).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ");
    let sql = format!("delete from cdr_uncounted where call_id in ({places})");
    bind(sqlx::query(AssertSqlSafe(sql)), counted).execute(tx).await?;
    Ok(found)
}

fn add_call(row: &AnyRow, tenant: &str, calls: &mut BTreeMap<(String, i64, String), [i64; 5]>) -> Result<(), sqlx::Error> {
    let hour = start_of(Timestamp::from_micros(row.try_get("began_at_us")?), HOUR).as_micros();
    let currency: Option<String> = row.try_get("currency")?;
    let own: [i64; 5] = [
        1,
        i64::from(row.try_get::<Option<i64>, _>("answered_at_us")?.is_some()),
        row.try_get::<i64, _>("duration_ns")? / 1_000_000,
        row.try_get("billed_secs")?,
        row.try_get("charge_micros")?,
    ];
    let sums = calls.entry((tenant.to_owned(), hour, currency.unwrap_or_default())).or_default();
    for (sum, own) in sums.iter_mut().zip(own) {
        *sum = sum.saturating_add(own);
    }
    Ok(())
}

/// What a record's detail says of the trunks that were tried.
#[derive(serde::Deserialize)]
struct Detail {
    #[serde(default)]
    attempts: Vec<Attempt>,
}

#[derive(serde::Deserialize)]
struct Attempt {
    trunk: String,
    outcome: String,
    at: Timestamp,
}

fn add_attempts(
    row: &AnyRow,
    tenant: &str,
    now: Timestamp,
    trunks: &mut BTreeMap<(i64, String, String), [i64; 3]>,
) -> Result<(), sqlx::Error> {
    let detail: Option<String> = row.try_get("detail")?;
    let Some(detail) = detail.and_then(|detail| serde_json::from_str::<Detail>(&detail).ok()) else { return Ok(()) };
    for attempt in detail.attempts.into_iter().filter(|attempt| now.since(attempt.at) < TRUNKS_KEPT) {
        let slot = start_of(attempt.at, SLOT).as_micros();
        let failed = parse_cause(&attempt.outcome).is_some_and(crate::call::Cause::another_trunk_may_help);
        let sums = trunks.entry((slot, attempt.trunk, tenant.to_owned())).or_default();
        sums[0] += 1;
        sums[1] += i64::from(attempt.outcome == "answered");
        sums[2] += i64::from(failed);
    }
    Ok(())
}

/// Counts the requests that are decided by now, each once, and forgets old sums of trunks.
pub async fn count_requests(tx: &mut AnyConnection, now: Timestamp) -> Result<(), sqlx::Error> {
    lock(tx, "requests", now).await?;
    let until = (now - DECIDED).as_micros();
    sqlx::query(
        "insert into stat_request (tenant_id, hour_us, requests, never_arrived)
         select tenant_id, (created_at_us / $2) * $2, count(*), cast(sum(case when state = 'expired' and claims = 0 then 1 else 0 end) as bigint)
         from reservation where created_at_us >= (select until_us from stat_cursor where name = 'requests') and created_at_us < $1
         group by tenant_id, (created_at_us / $2) * $2
         on conflict (tenant_id, hour_us) do update set requests = stat_request.requests + excluded.requests,
         never_arrived = stat_request.never_arrived + excluded.never_arrived",
    )
    .bind(until)
    .bind(hour_us())
    .execute(&mut *tx)
    .await?;
    sqlx::query("update stat_cursor set until_us = $1 where name = 'requests' and until_us < $1").bind(until).execute(&mut *tx).await?;
    sqlx::query("delete from stat_trunk where slot_us < $1").bind((now - TRUNKS_KEPT).as_micros()).execute(tx).await?;
    Ok(())
}

/// Throws the sums of calls away and makes them again from the records. Takes seconds at millions of them: for the command line
/// and for tests. Sums of trunks stay.
pub async fn recount(tx: &mut AnyConnection, now: Timestamp) -> Result<(), sqlx::Error> {
    lock(tx, "calls", now).await?;
    sqlx::query("delete from stat_hour").execute(&mut *tx).await?;
    sqlx::query(
        "insert into stat_hour (tenant_id, hour_us, currency, calls, answered, talk_ms, billed_secs, spend_micros)
         select tenant_id, (began_at_us / $1) * $1, coalesce(currency, ''), count(*), count(answered_at_us),
             cast(sum(duration_ns / 1000000) as bigint), cast(sum(billed_secs) as bigint), cast(sum(charge_micros) as bigint)
         from cdr where call_id not in (select call_id from cdr_uncounted) group by tenant_id, (began_at_us / $1) * $1, coalesce(currency, '')",
    )
    .bind(hour_us())
    .execute(tx)
    .await?;
    Ok(())
}

fn hour_us() -> i64 {
    i64::try_from(HOUR.as_micros()).unwrap_or(i64::MAX)
}

async fn lock(tx: &mut AnyConnection, name: &'static str, now: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query("update stat_cursor set locked_at_us = $2 where name = $1").bind(name).bind(now.as_micros()).execute(tx).await.map(drop)
}

/// A tenant's sums by the hour from `from` on, in the order of time.
pub async fn hours(connection: &mut AnyConnection, tenant: TenantId, from: Timestamp) -> Result<Vec<(Timestamp, Sum)>, sqlx::Error> {
    let mut hours: BTreeMap<Timestamp, Sum> = BTreeMap::new();
    let calls = sqlx::query("select * from stat_hour where tenant_id = $1 and hour_us >= $2")
        .bind(tenant.to_string())
        .bind(from.as_micros())
        .fetch_all(&mut *connection)
        .await?;
    for row in &calls {
        let sum = hours.entry(Timestamp::from_micros(row.try_get("hour_us")?)).or_default();
        sum.calls += row.try_get::<i64, _>("calls")?;
        sum.answered += row.try_get::<i64, _>("answered")?;
        sum.talk_ms += row.try_get::<i64, _>("talk_ms")?;
        sum.billed_secs += row.try_get::<i64, _>("billed_secs")?;
        if let Ok(currency) = row.try_get::<String, _>("currency")?.parse() {
            sum.spends(currency, Micros::new(row.try_get("spend_micros")?));
        }
    }
    // The last minutes are not counted yet: few enough to look at.
    let requests = sqlx::query(
        "select hour_us, requests, never_arrived from stat_request where tenant_id = $1 and hour_us >= $2
         union all
         select (created_at_us / $3) * $3, count(*), cast(sum(case when state = 'expired' and claims = 0 then 1 else 0 end) as bigint)
         from reservation where tenant_id = $1 and created_at_us >= $2
         and created_at_us >= (select until_us from stat_cursor where name = 'requests') group by (created_at_us / $3) * $3",
    )
    .bind(tenant.to_string())
    .bind(from.as_micros())
    .bind(hour_us())
    .fetch_all(connection)
    .await?;
    for row in &requests {
        let sum = hours.entry(Timestamp::from_micros(row.try_get(0)?)).or_default();
        sum.requests += row.try_get::<i64, _>(1)?;
        sum.never_arrived += row.try_get::<i64, _>(2)?;
    }
    Ok(hours.into_iter().collect())
}

/// How each trunk did since `from`, by name.
pub async fn trunks(connection: &mut AnyConnection, whose: Whose, from: Timestamp) -> Result<Vec<TrunkSum>, sqlx::Error> {
    let tenant = match whose {
        Whose::Everybody => None,
        Whose::Tenant(tenant) => Some(tenant.to_string()),
    };
    let rows = sqlx::query(
        "select trunk, cast(sum(attempts) as bigint), cast(sum(answered) as bigint), cast(sum(failed) as bigint) from stat_trunk
         where slot_us >= $1 and ($2 is null or tenant_id = $2) group by trunk order by trunk",
    )
    .bind(start_of(from, SLOT).as_micros())
    .bind(tenant)
    .fetch_all(connection)
    .await?;
    let read = |row: &AnyRow| {
        Ok(TrunkSum { trunk: row.try_get(0)?, attempts: row.try_get(1)?, answered: row.try_get(2)?, failed: row.try_get(3)? })
    };
    rows.iter().map(read).collect()
}

/// What waits and what is at risk in a tenant's books; `operator` adds the alerts that are the operator's own.
pub async fn now(connection: &mut AnyConnection, tenant: TenantId, operator: bool) -> Result<Now, sqlx::Error> {
    let tenant = tenant.to_string();
    let held = sqlx::query(
        "select a.currency, count(*), cast(sum(h.amount_micros) as bigint) from hold h join account a on a.id = h.account_id
         where h.resolved_at_us is null and a.tenant_id = $1 group by a.currency order by a.currency",
    )
    .bind(&tenant)
    .fetch_all(&mut *connection)
    .await?;
    let mut now = Now::default();
    for row in &held {
        now.open_holds += row.try_get::<i64, _>(1)?;
        if let Ok(currency) = row.try_get::<String, _>(0)?.parse::<Currency>() {
            now.held.push(Money { amount: Micros::new(row.try_get(2)?), currency });
        }
    }
    let alerts =
        sqlx::query("select severity, count(*) from alert where acknowledged_at_us is null and tenant_id in ($1, $2) group by severity")
            .bind(&tenant)
            .bind(if operator { "" } else { &tenant })
            .fetch_all(&mut *connection)
            .await?;
    let alerts: HashMap<String, i64> =
        alerts.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, sqlx::Error>>()?;
    now.approvals = sqlx::query_scalar("select count(*) from approval where tenant_id = $1 and state = 'pending'")
        .bind(&tenant)
        .fetch_one(connection)
        .await?;
    now.alerts = ["critical", "warning", "notice"].map(|severity| alerts.get(severity).copied().unwrap_or(0));
    Ok(now)
}

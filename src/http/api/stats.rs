//! How business goes: what is up, at risk and waiting now, and sums over time for charts.

use std::time::Duration;

use axum::extract::{Extension, State as From};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::Asked;
use crate::http::error::Problem;
use crate::http::{Caller, State};
use crate::people::Scope;
use crate::stats::store::{self, TrunkSum, Whose};
use crate::stats::{Bucket, HOUR, Step, Sum, buckets, permille, start_of};
use crate::types::{Money, Timestamp};

pub(super) fn router() -> Router<State> {
    Router::new().route("/stats/overview", get(overview)).route("/stats/series", get(series))
}

/// Sums of trunks are kept this long.
const LONGEST_LOOK_MINUTES: u32 = 7 * 24 * 60;
/// Hours of a day, for the overview's two sums.
const DAY_HOURS: u32 = 24;

fn sum_shape(sum: &Sum) -> Value {
    let spend: Vec<_> = sum.spend.iter().map(|(&currency, &amount)| Money { amount, currency }).collect();
    json!({
        "calls": sum.calls,
        "answered": sum.answered,
        "answer_ratio": sum.answered_permille().map(ratio),
        "talk_secs": sum.talk_ms / 1000,
        "average_secs": sum.average_secs(),
        "billed_secs": sum.billed_secs,
        "spend": spend,
        "requests": sum.requests,
        "never_arrived": sum.never_arrived,
    })
}

/// Thousandths as decimal text: `0.667`.
fn ratio(permille: i64) -> String {
    format!("{}.{:03}", permille / 1000, permille % 1000)
}

fn trunk_shape(trunk: &TrunkSum) -> Value {
    json!({
        "trunk": trunk.trunk,
        "attempts": trunk.attempts,
        "answered": trunk.answered,
        "failed": trunk.failed,
        "answer_ratio": permille(trunk.answered, trunk.attempts).map(ratio),
    })
}

fn bucket_shape(bucket: &Bucket) -> Value {
    let mut shape = sum_shape(&bucket.sum);
    shape["at"] = json!(bucket.at);
    shape
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Look {
    trunk_minutes: Option<u32>,
}

async fn overview(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Asked(asked): Asked<Look>,
) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    let minutes = asked.trunk_minutes.unwrap_or(60);
    if !(5..=LONGEST_LOOK_MINUTES).contains(&minutes) {
        return Err(Problem::field("trunk_minutes", format!("Look 5 to {LONGEST_LOOK_MINUTES} minutes back.")));
    }
    let at = state.clock.timestamp();
    let operator = caller.principal.tenant.is_none();
    let mut connection = state.database.read().await?;
    let from = start_of(at, HOUR) - HOUR * (2 * DAY_HOURS - 1);
    let hours = store::hours(&mut connection, caller.tenant, from).await?;
    let [before, last] = &buckets_of_a_day(&hours, at);
    let whose = if operator { Whose::Everybody } else { Whose::Tenant(caller.tenant) };
    let trunks = store::trunks(&mut connection, whose, at - Duration::from_secs(u64::from(minutes) * 60)).await?;
    let now = store::now(&mut connection, caller.tenant, operator).await?;
    let (connected, setting_up): (Vec<_>, Vec<_>) =
        state.calls.list().into_iter().filter(|call| caller.sees(call.tenant)).partition(|call| call.answered.is_some());
    let [critical, warning, notice] = now.alerts;
    Ok(Json(json!({
        "at": at,
        "live_calls": { "setting_up": setting_up.len(), "connected": connected.len() },
        "last_day": sum_shape(last),
        "day_before": sum_shape(before),
        "open_holds": now.open_holds,
        "held": now.held,
        "pending_approvals": now.approvals,
        "open_alerts": { "critical": critical, "warning": warning, "notice": notice },
        "trunks": trunks.iter().map(trunk_shape).collect::<Vec<_>>(),
    })))
}

/// The 24 hours before the last 24, and those.
fn buckets_of_a_day(hours: &[(Timestamp, Sum)], at: Timestamp) -> [Sum; 2] {
    let columns = buckets(hours, Step::Hour, 2 * DAY_HOURS, at);
    let total = |columns: &[Bucket]| {
        let mut sum = Sum::default();
        for column in columns {
            sum.add(&column.sum);
        }
        sum
    };
    let (before, last) = columns.split_at(columns.len() / 2);
    [total(before), total(last)]
}

/// How far back a series goes.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
enum Span {
    #[default]
    #[serde(rename = "24h")]
    Day,
    #[serde(rename = "7d")]
    Week,
    #[serde(rename = "30d")]
    Month,
}

impl Span {
    const fn days(self) -> u32 {
        match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 30,
        }
    }

    const fn code(self) -> &'static str {
        match self {
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
        }
    }

    const fn step(self) -> Step {
        match self {
            Self::Day | Self::Week => Step::Hour,
            Self::Month => Step::Day,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    span: Span,
    step: Option<Step>,
}

async fn series(From(state): From<State>, Extension(caller): Extension<Caller>, Asked(asked): Asked<Wanted>) -> Result<Response, Problem> {
    caller.need(Scope::Read)?;
    let step = asked.step.unwrap_or_else(|| asked.span.step());
    let count = match step {
        Step::Hour => asked.span.days() * DAY_HOURS,
        Step::Day => asked.span.days(),
    };
    let at = state.clock.timestamp();
    let from = start_of(at, step.duration()) - step.duration() * (count - 1);
    let hours = store::hours(&mut *state.database.read().await?, caller.tenant, from).await?;
    let columns = buckets(&hours, step, count, at);
    let items: Vec<_> = columns.iter().map(bucket_shape).collect();
    Ok(Json(json!({ "span": asked.span.code(), "step": step, "from": from, "until": at, "items": items, "next": null })).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_written_in_thousandths() {
        assert_eq!((ratio(667), ratio(1000), ratio(5)), ("0.667".to_owned(), "1.000".to_owned(), "0.005".to_owned()));
    }
}

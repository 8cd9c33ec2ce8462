//! Call records: one a call, refused ones included.

use axum::extract::{Extension, State as From};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Asked, Id, named, names, page, page_length};
use crate::cdr::store::{self, Filter, Owner};
use crate::cdr::{self, Posting, Record, Step, Story, cause_word, parse_cause};
use crate::http::error::Problem;
use crate::http::{Caller, State};
use crate::media::Quality;
use crate::people::Scope;
use crate::rating::DENOMINATOR;
use crate::types::{CallId, E164, Micros, Money, Side, SubscriberId, Timestamp};

pub(super) fn router() -> Router<State> {
    Router::new().route("/cdrs", get(list)).route("/cdrs/{call_id}", get(one))
}

fn shape(record: &Record) -> Value {
    let mut shape = json!({
        "call_id": record.call,
        "subscriber_id": record.subscriber,
        "account_id": record.account,
        "reservation_id": record.reservation,
        "sip_call_id": record.sip_call_id,
        "caller": record.caller,
        "dialled": record.dialled,
        "destination": record.destination,
        "trunk_in": record.trunk_in,
        "trunk_out": record.trunk_out,
        "cause": cause_word(record.cause),
        "side": record.side.map(Side::as_str),
        "sip_status": record.sip_status,
        "late": record.late,
        "began_at": record.began_at,
        "progressed_at": record.progressed_at,
        "answered_at": record.answered_at,
        "ended_at": record.ended_at,
        "duration_secs": seconds(record.duration),
        "billed_secs": 0,
        "charge": null,
        "media": null,
    });
    if let Some(sound) = &record.sound {
        let of = |quality: &Quality| json!({ "packets": quality.packets, "lost": quality.lost, "jitter_ms": format!("{}.{:03}", quality.jitter_us / 1000, quality.jitter_us % 1000) });
        shape["media"] = json!({ "a": of(&sound.a), "b": of(&sound.b) });
    }
    if let Some((quote, charge)) = &record.charged {
        shape["billed_secs"] = json!(charge.billed_secs);
        shape["charge"] = json!(Money { amount: charge.amount, currency: quote.currency });
        shape["exact_micros"] = json!(format!("{}/{DENOMINATOR}", charge.numerator));
        shape["rate"] = json!({
            "deck_id": quote.deck,
            "version_id": quote.version,
            "prefix": quote.prefix,
            "name": quote.name,
            "per_minute": { "amount": quote.rate.per_minute, "currency": quote.currency },
            "connect_fee": Money { amount: quote.rate.connect_fee, currency: quote.currency },
            "first_secs": quote.rate.first_secs,
            "next_secs": quote.rate.next_secs,
            "rounding": quote.rate.rounding,
        });
    }
    if let Some(detail) = record.detail.as_deref().and_then(|detail| serde_json::from_str::<Value>(detail).ok()) {
        shape["detail"] = detail;
    }
    shape
}

/// A record with everything around it: whose it is, what the phone had asked for, the money, and the steps in their order.
fn whole(story: &Story) -> Value {
    let mut whole = shape(&story.record);
    whole["subscriber_name"] = json!(story.subscriber_name);
    whole["subscriber"] =
        story.record.subscriber.zip(story.subscriber_name.as_ref()).map_or(Value::Null, |(id, name)| json!({ "id": id, "name": name }));
    whole["reservation"] = story.reservation.as_ref().map_or(Value::Null, |asked| {
        json!({
            "id": asked.id,
            "created_at": asked.created_at,
            "expires_at": asked.expires_at,
            "access_number": asked.access_number,
            "rule": asked.rule,
            "source": asked.source,
        })
    });
    whole["hold"] = story.hold.as_ref().map_or(Value::Null, |hold| {
        json!({
            "id": hold.id,
            "amount": hold.amount,
            "funded_secs": hold.funded_secs,
            "created_at": hold.created_at,
            "outcome": hold.outcome,
            "settled": hold.settled,
            "resolved_at": hold.resolved_at,
        })
    });
    whole["postings"] = story.postings.iter().map(posting).collect();
    let steps = story.steps();
    let first = steps.first().map(|step| step.at);
    whole["steps"] = steps.iter().map(|one| step(one, first.unwrap_or(one.at))).collect();
    whole
}

fn posting(posting: &Posting) -> Value {
    let entries: Vec<_> = posting.entries.iter().map(|(book, amount)| json!({ "book": book, "amount": amount })).collect();
    json!({ "id": posting.id, "kind": posting.kind, "note": posting.note, "at": posting.at, "entries": entries })
}

fn step(step: &Step, first: Timestamp) -> Value {
    json!({
        "at": step.at,
        "after_secs": seconds(step.at.since(first)),
        "from": step.from.as_str(),
        "to": step.to.as_str(),
        "what": step.what,
        "trunk": step.trunk,
        "sip_status": step.sip_status,
        "cause": step.cause,
        "funded_secs": step.funded_secs,
        "amount": step.amount,
    })
}

/// Seconds with three decimals, as text: `61.250`.
fn seconds(duration: std::time::Duration) -> String {
    format!("{}.{:03}", duration.as_secs(), duration.subsec_millis())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    subscriber_id: Option<SubscriberId>,
    caller: Option<E164>,
    destination: Option<String>,
    trunk_in: Option<String>,
    trunk_out: Option<String>,
    cause: Option<String>,
    answered: Option<bool>,
    min_charge: Option<String>,
    sip_call_id: Option<String>,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    after: Option<CallId>,
    limit: Option<u32>,
}

impl Page {
    fn filter(self, caller: &Caller) -> Result<Filter, Problem> {
        let destination = self.destination.map(|prefix| digits(&prefix)).transpose()?;
        let min_charge = self.min_charge.map(|amount| amount.parse::<Micros>()).transpose();
        if self.cause.as_deref().is_some_and(|word| parse_cause(word).is_none()) {
            return Err(Problem::field(
                "cause",
                "No call ends for this cause. Write its word as a record has it, such as answered or busy.",
            ));
        }
        Ok(Filter {
            owner: Owner::Tenant(caller.tenant),
            subscriber: self.subscriber_id,
            caller: self.caller,
            destination,
            trunk_in: self.trunk_in,
            trunk_out: self.trunk_out,
            cause: self.cause,
            answered: self.answered,
            min_charge: min_charge.map_err(|error| Problem::field("min_charge", format!("{error}. Correct the query.")))?,
            sip_call_id: self.sip_call_id,
            from: self.from,
            until: self.until,
        })
    }
}

/// The digits of a prefix, with or without its plus sign.
fn digits(prefix: &str) -> Result<String, Problem> {
    let digits = prefix.strip_prefix('+').unwrap_or(prefix);
    if (1..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(digits.to_owned());
    }
    Err(Problem::field("destination", "Write the beginning of the number as 1 to 15 digits, such as 420."))
}

async fn list(From(state): From<State>, Extension(caller): Extension<Caller>, Asked(asked): Asked<Page>) -> Result<Response, Problem> {
    caller.need(Scope::Read)?;
    let limit = page_length(asked.limit)?;
    let after = asked.after;
    let filter = asked.filter(&caller)?;
    let records = store::list(&mut *state.database.read().await?, &filter, after, limit + 1).await?;
    let names = names(&state, records.iter().map(|record| record.subscriber)).await?;
    Ok(page(records, limit, |record| record.call, |record| named(shape(record), record.subscriber, &names)))
}

async fn one(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<CallId>) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    let mut connection = state.database.read().await?;
    let record = store::get(&mut connection, id).await?.filter(|record| caller.sees(record.tenant));
    let record = record.ok_or_else(|| Problem::not_found("CDR; a call that is still up has none yet"))?;
    Ok(Json(whole(&cdr::tell(&mut connection, record).await?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_in_milliseconds() {
        assert_eq!(seconds(std::time::Duration::from_nanos(61_250_999_999)), "61.250");
    }
}

//! Call records: one a call, refused ones included.

use axum::extract::State as From;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Asked, Id, page, page_length};
use crate::cdr::store::{self, Filter};
use crate::cdr::{Record, cause_word};
use crate::http::State;
use crate::http::error::Problem;
use crate::rating::DENOMINATOR;
use crate::types::{CallId, Money, Side, SubscriberId, Timestamp};

/// Rows of one CSV file; the next file goes on after the last of them.
const CSV_ROWS: u32 = 10_000;

pub(super) fn router() -> Router<State> {
    Router::new().route("/cdrs", get(list)).route("/cdrs.csv", get(csv)).route("/cdrs/{call_id}", get(one))
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
    });
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

/// Seconds with three decimals, as text: `61.250`.
fn seconds(duration: std::time::Duration) -> String {
    format!("{}.{:03}", duration.as_secs(), duration.subsec_millis())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    subscriber_id: Option<SubscriberId>,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    cause: Option<String>,
    after: Option<CallId>,
    limit: Option<u32>,
}

impl Page {
    fn filter(&self) -> Filter {
        Filter { subscriber: self.subscriber_id, from: self.from, until: self.until, cause: self.cause.clone() }
    }
}

async fn list(From(state): From<State>, Asked(asked): Asked<Page>) -> Result<Response, Problem> {
    let limit = page_length(asked.limit)?;
    let records = store::list(&mut *state.database.read().await?, &asked.filter(), asked.after, limit + 1).await?;
    Ok(page(records, limit, |record| record.call, shape))
}

async fn one(From(state): From<State>, Id(id): Id<CallId>) -> Result<Json<Value>, Problem> {
    let record = store::get(&mut *state.database.read().await?, id).await?;
    Ok(Json(shape(&record.ok_or_else(|| Problem::not_found("CDR; a call that is still up has none yet"))?)))
}

const COLUMNS: [&str; 20] = [
    "call_id",
    "began_at",
    "answered_at",
    "ended_at",
    "caller",
    "dialled",
    "destination",
    "subscriber_id",
    "account_id",
    "trunk_in",
    "trunk_out",
    "cause",
    "side",
    "sip_status",
    "duration_secs",
    "billed_secs",
    "charge",
    "currency",
    "prefix",
    "per_minute",
];

fn row(record: &Record) -> [String; 20] {
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let shape = shape(record);
    COLUMNS.map(|column| {
        let value = match column {
            "charge" => &shape["charge"]["amount"],
            "currency" => &shape["charge"]["currency"],
            "prefix" => &shape["rate"]["prefix"],
            "per_minute" => &shape["rate"]["per_minute"]["amount"],
            column => &shape[column],
        };
        harmless(text(value))
    })
}

/// A cell that a spreadsheet would take for a formula is quoted as text (ASVS 1.2.10). Our own numbers begin with a plus.
fn harmless(cell: String) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell }
}

async fn csv(From(state): From<State>, Asked(asked): Asked<Page>) -> Result<Response, Problem> {
    let limit @ 1..=CSV_ROWS = asked.limit.unwrap_or(CSV_ROWS) else {
        return Err(Problem::field("limit", format!("Ask for 1 to {CSV_ROWS} rows a file.")));
    };
    let records = store::list(&mut *state.database.read().await?, &asked.filter(), asked.after, limit).await?;
    let mut file = csv::Writer::from_writer(Vec::new());
    let written = file.write_record(COLUMNS).and_then(|()| records.iter().try_for_each(|record| file.write_record(row(record))));
    written.map_err(|error| Problem::fault(&error))?;
    let file = file.into_inner().map_err(|error| Problem::fault(&error))?;
    let mut response = file.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"cdrs.csv\""));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_cannot_be_formulas() {
        for (cell, written) in
            [("=1+1", "'=1+1"), ("+15551231234", "'+15551231234"), ("-5", "'-5"), ("@x", "'@x"), ("plain", "plain"), ("", "")]
        {
            assert_eq!(harmless(cell.to_owned()), written);
        }
    }

    #[test]
    fn durations_are_written_in_milliseconds() {
        assert_eq!(seconds(std::time::Duration::from_nanos(61_250_999_999)), "61.250");
    }
}

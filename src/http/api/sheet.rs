//! Every list as a table: `?format=csv`, or `Accept: text/csv`, and the same filters.
//!
//! A sheet is the list's own pages, asked for one after the other and written down as they come: it holds one page at a time
//! however long it gets, and nothing can be in a sheet that is not in the list. A file that could not be finished breaks off
//! without its proper end, so that nobody takes it for whole.

use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body_util::channel::Channel;
use serde_json::Value;

use crate::http::error::Problem;

/// Rows that are asked for at once.
const ROWS: usize = 500;
/// Most bytes of one page.
const PAGE_BYTES: usize = 16 << 20;
/// Pages that wait for a slow reader.
const WAITING: usize = 2;

/// The lists, and what of an item stands in which column: `heading=path`, or the path alone.
const SHEETS: &[(&str, &[&str])] = &[
    (
        "/cdrs",
        &[
            "call_id",
            "began_at",
            "answered_at",
            "ended_at",
            "caller",
            "dialled",
            "destination",
            "subscriber_id",
            "subscriber_name",
            "account_id",
            "trunk_in",
            "trunk_out",
            "cause",
            "side",
            "sip_status",
            "duration_secs",
            "billed_secs",
            "charge=charge.amount",
            "currency=charge.currency",
            "prefix=rate.prefix",
            "zone=rate.name",
            "per_minute=rate.per_minute.amount",
        ],
    ),
    (
        "/calls",
        &[
            "id",
            "began_at",
            "answered_at",
            "state",
            "caller",
            "dialled",
            "destination",
            "subscriber_id",
            "subscriber_name",
            "trunk_in",
            "trunk_out",
            "funded_until",
        ],
    ),
    (
        "/reservations",
        &[
            "id",
            "created_at",
            "expires_at",
            "late_until",
            "state",
            "subscriber_id",
            "subscriber_name",
            "access_number",
            "destination",
            "rule",
            "claims",
            "late",
            "call_id",
        ],
    ),
    (
        "/access-numbers",
        &[
            "number",
            "country",
            "enabled",
            "default",
            "modes",
            "trunk",
            "capacity",
            "latitude=coordinates.latitude",
            "longitude=coordinates.longitude",
            "created_at",
        ],
    ),
    (
        "/trunks",
        &["id", "name", "enabled", "priority", "target", "addresses", "country", "channels", "calls_per_second", "calls", "failing"],
    ),
    (
        "/subscribers",
        &[
            "id",
            "name",
            "enabled",
            "account_id",
            "balance=balance.amount",
            "currency=balance.currency",
            "home_country",
            "locale",
            "identities",
            "numbers",
            "deck_id",
            "created_at",
        ],
    ),
    (
        "/accounts",
        &[
            "id",
            "currency",
            "balance=balance.amount",
            "held=held.amount",
            "credit_limit=credit_limit.amount",
            "available=available.amount",
            "low_balance=low_balance.amount",
        ],
    ),
    (
        "/accounts/{account_id}/statements/{month}",
        &["at", "id", "kind", "amount=amount.amount", "balance=balance.amount", "currency=amount.currency", "cause", "note"],
    ),
    ("/statements/{month}", &["at", "account_id", "id", "kind", "amount=amount.amount", "currency=amount.currency", "cause", "note"]),
    ("/transfers", &["id", "at", "from_account_id", "to_account_id", "amount=amount.amount", "currency=amount.currency", "reason", "by"]),
    ("/books", &["book", "currency=amount.currency", "amount=amount.amount", "entries"]),
    ("/accounts/{account_id}/entries", &["id", "at", "kind", "amount=amount.amount", "currency=amount.currency", "cause", "note"]),
    ("/decks", &["id", "name", "currency", "created_at"]),
    ("/keys", &["id", "name", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at"]),
    (
        "/holds",
        &[
            "id",
            "call_id",
            "leg",
            "account_id",
            "subscriber_id",
            "amount=amount.amount",
            "currency=amount.currency",
            "funded_secs",
            "created_at",
        ],
    ),
    ("/people", &["id", "tenant", "login", "name", "role", "enabled", "accepted", "second_factor", "created_at", "signed_in_at"]),
    ("/tenants", &["id", "slug", "name", "home_country", "enabled", "created_at"]),
    (
        "/alerts",
        &["id", "kind", "severity", "subject", "text", "times", "first_at", "last_at", "acknowledged_at", "acknowledged_by", "note"],
    ),
    ("/hotlists", &["id", "operator", "name", "source", "entries", "updated_at"]),
    ("/hotlists/{hotlist_id}/entries", &["digits"]),
    ("/audit", &["id", "tenant", "at", "who", "name", "from", "action", "target", "before", "after"]),
];

/// Whether the list at this path has a sheet.
fn columns(request: &Request) -> Option<&'static [&'static str]> {
    let matched = request.extensions().get::<MatchedPath>()?.as_str();
    let matched = matched.strip_prefix("/api/v1").unwrap_or(matched);
    SHEETS.iter().find(|(path, _)| *path == matched).map(|(_, columns)| *columns)
}

fn is_asked(request: &Request) -> bool {
    let accepted = request.headers().get(header::ACCEPT).and_then(|kinds| kinds.to_str().ok()).unwrap_or_default();
    accepted.contains("text/csv") || query(request.uri()).iter().any(|(name, value)| name == "format" && value == "csv")
}

fn query(uri: &Uri) -> Vec<(String, String)> {
    serde_urlencoded::from_str(uri.query().unwrap_or_default()).unwrap_or_default()
}

/// Answers a list as a table where that is asked for.
pub(super) async fn sheets(mut request: Request, next: Next) -> Response {
    let Some(columns) = columns(&request).filter(|_| request.method() == axum::http::Method::GET) else { return next.run(request).await };
    let format = query(request.uri()).into_iter().find(|(name, _)| name == "format").map(|(_, value)| value);
    match format.as_deref() {
        None | Some("csv" | "json") => {}
        Some(_) => return Problem::field("format", "A list is written as json or csv. Ask for one of them.").into_response(),
    }
    if !is_asked(&request) {
        if format.is_some() {
            let kept = query(request.uri()).into_iter().filter(|(name, _)| name != "format").collect();
            *request.uri_mut() = with_query(request.uri(), kept);
        }
        return next.run(request).await;
    }
    let (parts, _) = request.into_parts();
    match Pages::of(parts, next).and_then(|pages| Ok((Sheet::headed(columns)?, pages))) {
        Ok((sheet, pages)) => stream(sheet, pages).await,
        Err(problem) => problem.into_response(),
    }
}

/// Answers with the first page, and lets the others follow.
async fn stream(mut sheet: Sheet, mut pages: Pages) -> Response {
    let first = match pages.next().await {
        Ok(Some(items)) => sheet.rows(&items),
        Ok(None) => Ok(sheet.take()),
        Err(answer) => return answer,
    };
    let first = match first {
        Ok(first) => first,
        Err(error) => return Problem::fault(&error).into_response(),
    };
    let name = pages.name();
    let (mut sender, body) = Channel::<Bytes, std::io::Error>::new(WAITING);
    tokio::spawn(async move {
        if sender.send_data(first).await.is_err() {
            return;
        }
        loop {
            let chunk = match pages.next().await {
                Ok(None) => return,
                Ok(Some(items)) => sheet.rows(&items),
                Err(answer) => Err(std::io::Error::other(format!("a page of the table was answered with {}", answer.status()))),
            };
            match chunk {
                Ok(chunk) => {
                    if sender.send_data(chunk).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a table was broken off");
                    sender.abort(error);
                    return;
                }
            }
        }
    });
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present"));
    if let Ok(attachment) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.csv\"")) {
        headers.insert(header::CONTENT_DISPOSITION, attachment);
    }
    response
}

fn with_query(uri: &Uri, query: Vec<(String, String)>) -> Uri {
    let query = serde_urlencoded::to_string(query).unwrap_or_default();
    format!("{}?{query}", uri.path()).parse().unwrap_or_else(|_| uri.clone())
}

/// The list's own pages, one after the other.
struct Pages {
    parts: Parts,
    next: Next,
    filters: Vec<(String, String)>,
    /// Rows that may still come; as many as there are if nobody said.
    left: usize,
    /// Where the next page begins; none at the first.
    after: Option<String>,
    /// There is no next page.
    over: bool,
}

impl Pages {
    fn of(mut parts: Parts, next: Next) -> Result<Self, Problem> {
        let (mut filters, mut left, mut after) = (Vec::new(), usize::MAX, None);
        for (name, value) in query(&parts.uri) {
            match name.as_str() {
                "format" => {}
                "limit" => {
                    left = value
                        .parse()
                        .ok()
                        .filter(|rows| (1..=ROWS).contains(rows))
                        .ok_or_else(|| Problem::field("limit", format!("Ask for 1 to {ROWS} rows, or leave it out for all.")))?;
                }
                "after" => after = Some(value),
                _ => filters.push((name, value)),
            }
        }
        parts.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        Ok(Self { parts, next, filters, left, after, over: false })
    }

    /// What the file is called: the last word of its path, and the one before where that is a month.
    fn name(&self) -> String {
        let path = percent_encoding::percent_decode_str(self.parts.uri.path()).decode_utf8_lossy();
        let mut words = path.rsplit('/');
        let word = words.next().unwrap_or_default();
        let word = if word.starts_with(|first: char| first.is_ascii_digit()) {
            format!("{}-{word}", words.next().unwrap_or_default())
        } else {
            word.to_owned()
        };
        word.chars().filter(|character| character.is_ascii_alphanumeric() || *character == '-').collect()
    }

    /// The items of the next page, or the answer that is none.
    async fn next(&mut self) -> Result<Option<Vec<Value>>, Response> {
        if self.over || self.left == 0 {
            return Ok(None);
        }
        let after = self.after.take();
        let mut query = self.filters.clone();
        query.push(("limit".to_owned(), self.left.min(ROWS).to_string()));
        query.extend(after.map(|after| ("after".to_owned(), after)));
        let mut request = Request::from_parts(self.parts.clone(), Body::empty());
        *request.uri_mut() = with_query(&self.parts.uri, query);
        let answer = self.next.clone().run(request).await;
        if answer.status() != StatusCode::OK {
            return Err(answer);
        }
        let bytes = to_bytes(answer.into_body(), PAGE_BYTES).await.map_err(|error| Problem::fault(&error).into_response())?;
        let mut page: Value = serde_json::from_slice(&bytes).map_err(|error| Problem::fault(&error).into_response())?;
        let Value::Array(items) = page["items"].take() else { return Ok(None) };
        self.left = self.left.saturating_sub(items.len());
        self.after = match &page["next"] {
            Value::Null => None,
            Value::String(next) => Some(next.clone()),
            next => Some(next.to_string()),
        };
        self.over = self.after.is_none();
        Ok(Some(items))
    }
}

/// The text of the table so far that nobody has taken yet.
struct Sheet {
    columns: Vec<Vec<&'static str>>,
    file: csv::Writer<Vec<u8>>,
}

impl Sheet {
    fn headed(columns: &[&'static str]) -> Result<Self, Problem> {
        let (headings, paths): (Vec<_>, Vec<_>) = columns.iter().map(|column| column.split_once('=').unwrap_or((column, column))).unzip();
        let mut file = csv::Writer::from_writer(Vec::new());
        file.write_record(headings).map_err(|error| Problem::fault(&error))?;
        Ok(Self { columns: paths.into_iter().map(|path| path.split('.').collect()).collect(), file })
    }

    fn rows(&mut self, items: &[Value]) -> std::io::Result<Bytes> {
        for item in items {
            let cells = self.columns.iter().map(|path| cell(path.iter().fold(item, |value, name| &value[name])));
            self.file.write_record(cells)?;
        }
        Ok(self.take())
    }

    fn take(&mut self) -> Bytes {
        let done = std::mem::replace(&mut self.file, csv::Writer::from_writer(Vec::new()));
        Bytes::from(done.into_inner().unwrap_or_default())
    }
}

fn cell(value: &Value) -> String {
    harmless(match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    })
}

/// A cell that a spreadsheet would take for a formula is quoted as text (ASVS 1.2.10). Our own numbers begin with a plus.
pub(super) fn harmless(cell: String) -> String {
    // A negative amount is a figure, and sheets must be able to add it up.
    let figure =
        cell.strip_prefix('-').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
    if !figure && cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_cannot_be_formulas() {
        for (cell, written) in [
            ("=1+1", "'=1+1"),
            ("+15551231234", "'+15551231234"),
            ("-1.25", "-1.25"),
            ("-1+2", "'-1+2"),
            ("-", "'-"),
            ("-x", "'-x"),
            ("@x", "'@x"),
            ("plain", "plain"),
            ("", ""),
        ] {
            assert_eq!(harmless(cell.to_owned()), written);
        }
    }

    #[test]
    fn a_row_holds_what_its_columns_name() {
        let mut sheet = Sheet::headed(&["id", "charge=charge.amount", "modes"]).unwrap();
        let items =
            [json!({ "id": "a", "charge": { "amount": "1.25" }, "modes": ["pinless", "pin"] }), json!({ "id": "=b", "charge": null })];
        let written = sheet.rows(&items).unwrap();
        assert_eq!(std::str::from_utf8(&written).unwrap(), "id,charge,modes\na,1.25,pinless pin\n'=b,,\n");
        assert!(sheet.take().is_empty(), "what is taken is gone");
    }
}

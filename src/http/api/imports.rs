//! Files that become versions of a deck: read while they arrive, compared, looked at, applied.
//!
//! `POST /decks/{deck_id}/import` does it in two requests with the file in both. An import of its own
//! (`POST /decks/{deck_id}/imports`) keeps what was read, tells how far it is, pages through what would change, and is applied
//! without sending the file again.

use std::io::Read;
use std::sync::Arc;

use axum::body::{Body as Stream, HttpBody as _};
use axum::extract::{DefaultBodyLimit, Extension, Request, State as From};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::{Buf as _, Bytes};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::body::{Asked, Body, Id, page_length};
use super::decks::{found, refresh, version_shape};
use crate::callthrough::is_high_risk_prefix;
use crate::http::error::Problem;
use crate::http::server::BodyTime;
use crate::http::{Caller, State};
use crate::people::Scope;
use crate::people::audit::{self, Act};
use crate::rating::import::{
    self, Also, Apply, Checked, Columns, Comparison, DecimalMark, Format, Held, ImportError, List, Progress, Rules, Separator,
    State as Stage, Thousands,
};
use crate::rating::store::{Deck, Version};
use crate::rating::{DurationRounding, Rounding};
use crate::types::{Currency, DeckId, DeckVersionId, ImportId, Timestamp};

/// Bytes of one file.
const FILE: usize = 128 * 1024 * 1024;
/// Pieces of the file that wait to be read.
const PIECES: usize = 16;
/// Longest billing step of lines that do not say.
const LONGEST_STEP_SECS: u32 = 86_400;

pub(super) fn router() -> Router<State> {
    let files = Router::new()
        .route("/decks/{deck_id}/import", post(import_csv))
        .route("/decks/{deck_id}/imports", post(begin))
        .layer(DefaultBodyLimit::disable());
    Router::new()
        .route("/imports/{import_id}", get(one).delete(discard))
        .route("/imports/{import_id}/rows", get(rows))
        .route("/imports/{import_id}/apply", post(apply))
        .merge(files)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Import {
    /// Of the dry run; without it this is the dry run.
    fingerprint: Option<String>,
    effective_from: Option<Timestamp>,
    separator: Option<Separator>,
    decimal_mark: DecimalMark,
    thousands: Thousands,
    prefix_lists: bool,
    rounding: Rounding,
    duration_rounding: DurationRounding,
    first_secs: u32,
    next_secs: u32,
    max_rejects: u32,
    /// `prefix:Code,per_minute:Price`
    columns: Option<String>,
    /// Of an import of its own: answer when it has been compared.
    wait: bool,
}

impl Default for Import {
    fn default() -> Self {
        let format = Format::default();
        Self {
            fingerprint: None,
            effective_from: None,
            separator: format.separator,
            decimal_mark: format.decimal_mark,
            thousands: format.thousands,
            prefix_lists: format.prefix_lists,
            rounding: format.rounding,
            duration_rounding: format.duration_rounding,
            first_secs: format.first_secs,
            next_secs: format.next_secs,
            max_rejects: format.max_rejects,
            columns: None,
            wait: false,
        }
    }
}

impl Import {
    fn format(&self, currency: Currency) -> Result<Format, Problem> {
        for (field, secs) in [("first_secs", self.first_secs), ("next_secs", self.next_secs)] {
            if !(1..=LONGEST_STEP_SECS).contains(&secs) {
                return Err(Problem::field(field, format!("Write a step of 1 to {LONGEST_STEP_SECS} seconds.")));
            }
        }
        Ok(Format {
            separator: self.separator,
            decimal_mark: self.decimal_mark,
            thousands: self.thousands,
            prefix_lists: self.prefix_lists,
            currency: Some(currency),
            rounding: self.rounding,
            duration_rounding: self.duration_rounding,
            first_secs: self.first_secs,
            next_secs: self.next_secs,
            max_rejects: self.max_rejects,
            columns: self.columns.as_deref().map_or_else(|| Ok(Columns::default()), columns)?,
        })
    }
}

/// `prefix:Code,per_minute:Price` as the headings of the columns.
fn columns(text: &str) -> Result<Columns, Problem> {
    let mut columns = serde_json::to_value(Columns::default()).map_err(|error| Problem::fault(&error))?;
    for pair in text.split(',') {
        let known = pair.split_once(':').filter(|(ours, theirs)| columns.get(ours).is_some() && !theirs.is_empty());
        let (ours, theirs) = known.ok_or_else(|| {
            Problem::field("columns", "Write pairs of our name and the file's heading, such as prefix:Code,per_minute:Price.")
        })?;
        columns[ours] = json!(theirs);
    }
    super::body::from_value(columns)
}

async fn import_csv(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<DeckId>,
    Asked(asked): Asked<Import>,
    time: Option<Extension<BodyTime>>,
    request: Request,
) -> Result<Response, Problem> {
    caller.need(Scope::Decks)?;
    let deck = found(&mut *state.database.read().await?, &caller, id).await?;
    check_there(&request)?;
    if let Some(Extension(time)) = time {
        time.by_progress();
    }
    let (reading, arrived) = read(&state, id, request.into_body(), asked.format(deck.currency)?, None).await;
    let checked = reading.await.map_err(|error| Problem::fault(&error))?;
    arrived?;
    let checked = checked?;
    let Some(fingerprint) = asked.fingerprint else {
        return Ok(Json(json!({ "applied": false, "report": checked.report })).into_response());
    };
    let effective_from = at_the_earliest_now(&state, asked.effective_from);
    let order = Apply { deck: id, sheet: checked.comparison.sheet().clone(), fingerprint, effective_from };
    let version = written(&state, &caller, &deck, order, None).await?;
    Ok((StatusCode::CREATED, Json(json!({ "applied": true, "version_id": version, "effective_from": effective_from }))).into_response())
}

/// A line of the audit log that is written together with the switch.
pub(super) fn noted(act: Act) -> Also {
    Box::new(move |tx| Box::pin(async move { audit::note(tx, &act).await }))
}

/// A version cannot become valid before it is there.
fn at_the_earliest_now(state: &State, asked: Option<Timestamp>) -> Timestamp {
    let now = state.clock.timestamp();
    asked.map_or(now, |at| at.max(now))
}

/// Writes a version with its line in the audit log: whole, even if the client goes away.
async fn written(state: &State, caller: &Caller, deck: &Deck, order: Apply, held: Option<Arc<Held>>) -> Result<DeckVersionId, Problem> {
    let rates = order.sheet.table.len();
    let act = Act { tenant: deck.tenant, ..caller.act(state, "deck.apply", deck.id, None, None) };
    let work = state.clone();
    let applied = tokio::spawn(async move {
        let act = |version: &Version| {
            let mut after = version_shape(version);
            after["rates"] = json!(rates);
            Some(noted(Act { after: Some(after), ..act }))
        };
        let nobody = Progress::default();
        let progress = held.as_ref().map_or(&nobody, |held| &held.progress);
        let applied = import::apply_with(&work.database, &work.decks, &work.clock, &work.random, order, progress, act).await;
        if applied.is_ok() {
            refresh(&work).await;
        }
        applied
    });
    Ok(applied.await.map_err(|error| Problem::fault(&error))??)
}

fn shape(held: &Held) -> Value {
    let mut shape = json!({
        "id": held.id,
        "deck_id": held.deck,
        "state": "reading",
        "created_at": held.created_at,
        "rows_read": held.progress.rows_read(),
        "rows_written": held.progress.rows_written(),
    });
    let mut tell = |state: &str, checked: &Checked| {
        shape["state"] = json!(state);
        shape["report"] = json!(checked.report);
    };
    match held.state() {
        Stage::Reading => {}
        Stage::Rejected { reason, rejects, rejected } => {
            shape["state"] = json!("rejected");
            shape["reason"] = json!(reason);
            shape["rejects"] = json!(rejects);
            shape["rejected"] = json!(rejected);
        }
        Stage::Checked(checked) => tell("checked", &checked),
        Stage::Applying(checked) => tell("applying", &checked),
        Stage::Applied { version, effective_from, checked } => {
            tell("applied", &checked);
            shape["version_id"] = json!(version);
            shape["effective_from"] = json!(effective_from);
        }
    }
    shape
}

async fn begin(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<DeckId>,
    Asked(asked): Asked<Import>,
    time: Option<Extension<BodyTime>>,
    request: Request,
) -> Result<Response, Problem> {
    caller.need(Scope::Decks)?;
    let deck = found(&mut *state.database.read().await?, &caller, id).await?;
    if asked.fingerprint.is_some() || asked.effective_from.is_some() {
        return Err(Problem::field("fingerprint", "Apply an import at its own address once it is checked."));
    }
    check_there(&request)?;
    if let Some(Extension(time)) = time {
        time.by_progress();
    }
    let format = asked.format(deck.currency)?;
    let held = state.imports.begin(&state.clock, &state.random, id, deck.tenant).map_err(|error| Problem::conflict(format!("{error}.")))?;
    let (reading, arrived) = read(&state, id, request.into_body(), format, Some(Arc::clone(&held))).await;
    let (clock, watched) = (state.clock.clone(), Arc::clone(&held));
    let broken = arrived.as_ref().err().map(|problem| problem.message.to_string());
    tokio::spawn(async move {
        let outcome = reading.await;
        let none = |reason: String| Stage::Rejected { reason, rejects: Vec::new(), rejected: 0 };
        let stage = match (broken, outcome) {
            (Some(reason), _) => none(reason),
            (None, Ok(Ok(checked))) => Stage::Checked(Arc::new(checked)),
            (None, Ok(Err(error))) => match error {
                ImportError::Rejected { ref listed, count } => {
                    Stage::Rejected { reason: format!("{error}."), rejects: listed.clone(), rejected: count }
                }
                error => none(format!("{error}.")),
            },
            (None, Err(fault)) => {
                tracing::error!(%fault, "an import died while it was read");
                none("Something broke on our side while the file was read. Send it again.".to_owned())
            }
        };
        watched.becomes(stage, clock.now());
    });
    arrived?;
    if asked.wait {
        held.settled().await;
    }
    Ok((StatusCode::ACCEPTED, Json(shape(&held))).into_response())
}

/// The import, if it is one of the caller's decks'.
fn held(state: &State, caller: &Caller, id: ImportId) -> Result<Arc<Held>, Problem> {
    state.imports.get(id).filter(|held| caller.sees(held.tenant)).ok_or_else(|| Problem::not_found("import"))
}

async fn one(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<ImportId>) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    Ok(Json(shape(&*held(&state, &caller, id)?)))
}

async fn discard(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<ImportId>) -> Result<StatusCode, Problem> {
    caller.need(Scope::Decks)?;
    held(&state, &caller, id)?;
    if state.imports.discard(id) {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::conflict("The import is being read or written. Wait until it is done."))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rows {
    list: List,
    after: Option<u32>,
    limit: Option<u32>,
}

async fn rows(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<ImportId>,
    Asked(asked): Asked<Rows>,
) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    let limit = usize::try_from(page_length(asked.limit)?).unwrap_or(usize::MAX);
    let (Stage::Checked(checked) | Stage::Applying(checked) | Stage::Applied { checked, .. }) = held(&state, &caller, id)?.state() else {
        return Err(Problem::conflict("There is nothing to compare: the file is still being read, or it was rejected."));
    };
    let after = usize::try_from(asked.after.unwrap_or(0)).unwrap_or(usize::MAX);
    // Half a million rows are looked through for a page.
    let page = tokio::task::spawn_blocking(move || checked.comparison.page(asked.list, after, limit.saturating_add(1))).await;
    let mut page = page.map_err(|error| Problem::fault(&error))?;
    let more = page.len() > limit;
    page.truncate(limit);
    let next = more.then(|| (after + page.len()).to_string());
    Ok(Json(json!({ "items": page, "next": next })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Application {
    /// Of the report somebody looked at.
    fingerprint: String,
    effective_from: Option<Timestamp>,
    #[serde(default)]
    wait: bool,
}

async fn apply(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<ImportId>,
    Body(asked, _): Body<Application>,
) -> Result<Response, Problem> {
    caller.need(Scope::Decks)?;
    let held = held(&state, &caller, id)?;
    let deck = found(&mut *state.database.read().await?, &caller, held.deck).await?;
    let Stage::Checked(checked) = held.state() else {
        return Err(Problem::conflict("Only a checked import can be applied: look at its state."));
    };
    if checked.comparison.fingerprint() != asked.fingerprint {
        return Err(ImportError::Fingerprint.into());
    }
    let Some(checked) = held.begin(state.clock.now()) else {
        return Err(Problem::conflict("The import is being applied already."));
    };
    let effective_from = at_the_earliest_now(&state, asked.effective_from);
    let order = Apply { deck: held.deck, sheet: checked.comparison.sheet().clone(), fingerprint: asked.fingerprint, effective_from };
    let (work, watched) = (state.clone(), Arc::clone(&held));
    tokio::spawn(async move {
        let stage = match written(&work, &caller, &deck, order, Some(Arc::clone(&watched))).await {
            Ok(version) => Stage::Applied { version, effective_from, checked },
            Err(problem) if problem.status == StatusCode::CONFLICT || problem.status == StatusCode::NOT_FOUND => {
                Stage::Rejected { reason: problem.message.to_string(), rejects: Vec::new(), rejected: 0 }
            }
            // The books were away: it may be applied again.
            Err(_) => Stage::Checked(checked),
        };
        watched.becomes(stage, work.clock.now());
    });
    if asked.wait {
        held.settled().await;
    }
    Ok((StatusCode::ACCEPTED, Json(shape(&held))).into_response())
}

/// A request without a file is a slip, not a file that is empty.
fn check_there(request: &Request) -> Result<(), Problem> {
    if request.body().is_end_stream() {
        return Err(Problem::bad_request("There is no file in the request. Send the rows as the body, with Content-Type: text/csv."));
    }
    Ok(())
}

type Reading = tokio::task::JoinHandle<Result<Checked, ImportError>>;

/// The file, read while it arrives, and then compared; `held` tells how far it is. The second is whether all of it arrived: what
/// was read of half a file is worth nothing.
async fn read(state: &State, deck: DeckId, body: Stream, format: Format, held: Option<Arc<Held>>) -> (Reading, Result<(), Problem>) {
    let (sender, pieces) = mpsc::channel(PIECES);
    let (decks, now) = (state.decks.clone(), state.clock.timestamp());
    let rules = Rules { max_price: Some(state.ledger.max_price()), high_risk: is_high_risk_prefix };
    let reading = tokio::task::spawn_blocking(move || {
        let (file, nobody) = (Pieces { pieces, current: Bytes::new() }, Progress::default());
        let sheet = import::read_with(file, &format, held.as_ref().map_or(&nobody, |held| &held.progress))?;
        let comparison = Comparison::new(&decks, deck, sheet, rules, now);
        let report = comparison.report();
        Ok(Checked { comparison, report })
    });
    let mut body = Limited::new(body, FILE);
    while let Some(frame) = body.frame().await {
        let piece = match frame {
            Ok(frame) => frame.into_data().ok(),
            Err(error) => {
                let too_large = error.downcast_ref::<LengthLimitError>().is_some();
                let problem = if too_large {
                    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The file is larger than 128 MiB. Split the deck.")
                } else {
                    Problem::new(StatusCode::REQUEST_TIMEOUT, "body_incomplete", "The file did not arrive in time or whole. Send it again.")
                };
                return (reading, Err(problem));
            }
        };
        // The reader stops early when the file is hopeless; its own error says why.
        if let Some(piece) = piece
            && sender.send(piece).await.is_err()
        {
            break;
        }
    }
    (reading, Ok(()))
}

/// What arrives on one side is read on the other, without a buffer for the whole.
struct Pieces {
    pieces: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.current = piece,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

impl std::convert::From<ImportError> for Problem {
    fn from(error: ImportError) -> Self {
        let told = |code, error: &ImportError| Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, format!("{error}."));
        match error {
            ImportError::Unreadable(_) => told("deck_unreadable", &error),
            ImportError::Rejected { ref listed, .. } => {
                Self { lines: listed.iter().map(|line| json!(line)).collect(), ..told("deck_rejected", &error) }
            }
            ImportError::Fingerprint => Self { field: Some("fingerprint".into()), ..Self::conflict(format!("{error}.")) },
            ImportError::NoDeck => Self::not_found("deck"),
            ImportError::Database(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_are_mapped_by_pairs() {
        let mapped = columns("prefix:Dial code,per_minute:Price").unwrap();
        assert_eq!((mapped.prefix.as_deref(), mapped.per_minute.as_deref(), mapped.name), (Some("Dial code"), Some("Price"), None));
        for wrong in ["", "prefix", "prefix:", "code:prefix"] {
            assert_eq!(columns(wrong).unwrap_err().field.as_deref(), Some("columns"), "{wrong}");
        }
    }

    #[test]
    fn pieces_read_as_one_file() {
        let (sender, pieces) = mpsc::channel(4);
        for piece in ["pre", "", "fix\n", "420"] {
            sender.try_send(Bytes::from(piece)).unwrap();
        }
        drop(sender);
        let mut text = String::new();
        Pieces { pieces, current: Bytes::new() }.read_to_string(&mut text).unwrap();
        assert_eq!(text, "prefix\n420");
    }
}

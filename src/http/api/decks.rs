//! Rate decks: made, filled from CSV, and asked what a destination costs.

use std::io::Read;

use axum::body::Body as Stream;
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

use super::body::{Asked, Body, Id, page, page_length};
use crate::database::Connection;
use crate::http::error::Problem;
use crate::http::server::BodyTime;
use crate::http::{Caller, State};
use crate::people::Scope;
use crate::people::audit::{self, Act};
use crate::rating::import::{self, Apply, Columns, DecimalMark, Format, ImportError, Separator, Sheet};
use crate::rating::store::{self, Deck, DeckError, Filter, Version};
use crate::rating::{DENOMINATOR, DurationRounding, Kind, Quote, Rounding, numerator};
use crate::types::{Currency, DeckId, E164, Micros, Money, Timestamp};

/// Longest name.
const LONGEST_NAME: usize = 100;
/// Bytes of one file.
const FILE: usize = 128 * 1024 * 1024;
/// Pieces of the file that wait to be read.
const PIECES: usize = 16;

pub(super) fn router() -> Router<State> {
    let import = Router::new().route("/decks/{deck_id}/import", post(import_csv)).layer(DefaultBodyLimit::disable());
    Router::new()
        .route("/decks", get(list).post(create))
        .route("/decks/{deck_id}", get(one))
        .route("/decks/{deck_id}/rate", get(rate))
        .merge(import)
}

fn shape(deck: &Deck) -> Value {
    json!({ "id": deck.id, "name": deck.name, "kind": deck.kind, "currency": deck.currency, "created_at": deck.created_at })
}

fn version_shape(version: &Version) -> Value {
    json!({
        "id": version.id,
        "number": version.number,
        "fingerprint": version.fingerprint,
        "rounding": version.rounding,
        "duration_rounding": version.duration_rounding,
        "effective_from": version.effective_from,
        "created_at": version.created_at,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    kind: Option<Kind>,
    after: Option<DeckId>,
    limit: Option<u32>,
}

async fn list(From(state): From<State>, Extension(caller): Extension<Caller>, Asked(asked): Asked<Page>) -> Result<Response, Problem> {
    caller.need(Scope::Read)?;
    let limit = page_length(asked.limit)?;
    let filter = Filter { tenant: caller.tenant, operators: caller.principal.tenant.is_none(), kind: asked.kind };
    let decks = store::list(&mut *state.database.read().await?, filter, asked.after, limit + 1).await?;
    Ok(page(decks, limit, |deck| deck.id, shape))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    name: String,
    currency: Currency,
    #[serde(default)]
    kind: Kind,
}

async fn create(From(state): From<State>, Extension(caller): Extension<Caller>, Body(new, _): Body<New>) -> Result<Response, Problem> {
    caller.need(Scope::Decks)?;
    if new.name.trim().is_empty() || new.name.len() > LONGEST_NAME || new.name.chars().any(char::is_control) {
        return Err(Problem::field("name", format!("Give a name of 1 to {LONGEST_NAME} bytes without control characters.")));
    }
    let id = DeckId::new(&state.clock, &state.random);
    let tenant = match new.kind {
        Kind::Sell => Some(caller.tenant),
        Kind::Cost => {
            caller.need_operator()?;
            None
        }
    };
    let deck = Deck { id, tenant, kind: new.kind, name: new.name, currency: new.currency, created_at: state.clock.timestamp() };
    let row = deck.clone();
    let act = Act { tenant, ..caller.act(&state, "deck.create", id, None, Some(shape(&deck))) };
    let made = state.database.write(move |tx| {
        Box::pin(async move {
            store::create(tx, &row).await?;
            Ok::<_, Problem>(audit::note(tx, &act).await?)
        })
    });
    made.await?;
    refresh(&state).await;
    Ok((StatusCode::CREATED, Json(shape(&deck))).into_response())
}

impl std::convert::From<DeckError> for Problem {
    fn from(error: DeckError) -> Self {
        match error {
            DeckError::NameTaken => {
                let message = "There is a deck of this name. Choose another name, or import a new version of that deck.";
                Self { field: Some("name".into()), ..Self::conflict(message) }
            }
            DeckError::Database(error) => error.into(),
        }
    }
}

/// New calls see the change at once; other nodes within their next look.
pub(super) async fn refresh(state: &State) {
    if let Err(error) = store::refresh(&state.database, &state.decks, &state.rating, state.clock.timestamp()).await {
        tracing::error!(%error, "the decks were changed but could not be read again; calls use the old ones until the next look");
    }
}

/// The tenant's deck, or the operator's own.
async fn found(connection: &mut Connection, caller: &Caller, id: DeckId) -> Result<Deck, Problem> {
    let deck = store::get(connection, id).await?.filter(|deck| caller.sees(deck.tenant));
    deck.ok_or_else(|| Problem::not_found("deck"))
}

async fn one(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<DeckId>) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    let mut connection = state.database.read().await?;
    let deck = found(&mut connection, &caller, id).await?;
    let versions = store::versions(&mut connection, id).await?;
    let mut shape = shape(&deck);
    shape["versions"] = json!(versions.iter().map(version_shape).collect::<Vec<_>>());
    Ok(Json(shape))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    number: E164,
    /// Explains what a call of this many seconds costs.
    seconds: Option<u32>,
    /// Explains how long this much credit lasts.
    credit: Option<Micros>,
    /// As of this moment; now if left out.
    at: Option<Timestamp>,
}

async fn rate(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<DeckId>,
    Asked(asked): Asked<Question>,
) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    found(&mut *state.database.read().await?, &caller, id).await?;
    let at = asked.at.unwrap_or_else(|| state.clock.timestamp());
    let shelf = state.decks.shelf();
    let quote = shelf.decks.get(&id).and_then(|deck| deck.quote(asked.number, at)).ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "no_rate",
            "No prefix of this deck fits the number at that time. Import a rate for it, or ask for another number.",
        )
    })?;
    Ok(Json(explanation(&asked, &quote, at)?))
}

fn explanation(asked: &Question, quote: &Quote, at: Timestamp) -> Result<Value, Problem> {
    const LONGEST: u32 = 86_400;
    let currency = quote.currency;
    let money = |amount| Money { amount, currency };
    let mut shape = json!({
        "number": asked.number,
        "at": at,
        "deck_id": quote.deck,
        "version_id": quote.version,
        "prefix": quote.prefix,
        "name": quote.name,
        "per_minute": { "amount": quote.rate.per_minute, "currency": currency },
        "connect_fee": money(quote.rate.connect_fee),
        "first_secs": quote.rate.first_secs,
        "next_secs": quote.rate.next_secs,
        "min_secs": quote.rate.min_secs,
        "min_charge": money(quote.rate.min_charge),
        "grace_secs": quote.rate.grace_secs,
        "rounding": quote.rate.rounding,
        "duration_rounding": quote.rate.duration_rounding,
        "periods": quote.rate.periods,
    });
    if let Some(seconds) = asked.seconds {
        let charge = quote
            .rate
            .charge_at(seconds, at)
            .map_err(|_| Problem::field("seconds", "The charge is out of range. Ask for fewer seconds."))?;
        let exact = numerator(quote.rate.connect_fee, &quote.rate.segments(charge.billed_secs, at));
        shape["charge"] = json!({
            "seconds": seconds,
            "billed_secs": charge.billed_secs,
            "amount": money(charge.amount),
            "exact_micros": format!("{}/{DENOMINATOR}", if charge.billed_secs == 0 { 0 } else { exact }),
        });
    }
    if let Some(credit) = asked.credit {
        shape["affordable"] = json!({ "credit": money(credit), "seconds": quote.rate.affordable_at(credit, LONGEST, at) });
    }
    Ok(shape)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Import {
    /// Of the dry run; without it this is the dry run.
    fingerprint: Option<String>,
    effective_from: Option<Timestamp>,
    separator: Separator,
    decimal_mark: DecimalMark,
    rounding: Rounding,
    duration_rounding: DurationRounding,
    first_secs: u32,
    next_secs: u32,
    max_rejects: u32,
    /// `prefix:Code,per_minute:Price`
    columns: Option<String>,
}

impl Default for Import {
    fn default() -> Self {
        let format = Format::default();
        Self {
            fingerprint: None,
            effective_from: None,
            separator: format.separator,
            decimal_mark: format.decimal_mark,
            rounding: format.rounding,
            duration_rounding: format.duration_rounding,
            first_secs: format.first_secs,
            next_secs: format.next_secs,
            max_rejects: format.max_rejects,
            columns: None,
        }
    }
}

impl Import {
    fn format(&self) -> Result<Format, Problem> {
        Ok(Format {
            separator: self.separator,
            decimal_mark: self.decimal_mark,
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
    if let Some(Extension(time)) = time {
        time.by_progress();
    }
    let format = asked.format()?;
    let sheet = sheet(request.into_body(), format).await?;
    let now = state.clock.timestamp();
    let Some(fingerprint) = asked.fingerprint else {
        let decks = state.decks.clone();
        let compared = tokio::task::spawn_blocking(move || import::dry_run(&decks, deck.id, &sheet, now)).await;
        let report = compared.map_err(|error| Problem::fault(&error))??;
        return Ok(Json(json!({ "applied": false, "report": report })).into_response());
    };
    let effective_from = asked.effective_from.unwrap_or(now);
    let order = Apply { deck: id, sheet, fingerprint, effective_from };
    // A version is written whole even if the client goes away.
    let (database, decks, clock, random) = (state.database.clone(), state.decks.clone(), state.clock.clone(), state.random.clone());
    let applied = tokio::spawn(async move { import::apply(&database, &decks, &clock, &random, order).await }).await;
    let version = applied.map_err(|error| Problem::fault(&error))??;
    refresh(&state).await;
    Ok((StatusCode::CREATED, Json(json!({ "applied": true, "version_id": version, "effective_from": effective_from }))).into_response())
}

/// The file, read while it arrives.
async fn sheet(body: Stream, format: Format) -> Result<Sheet, Problem> {
    let (sender, pieces) = mpsc::channel(PIECES);
    let reading = tokio::task::spawn_blocking(move || import::read(Pieces { pieces, current: Bytes::new() }, &format));
    let mut body = Limited::new(body, FILE);
    let mut broken = None;
    while let Some(frame) = body.frame().await {
        let piece = match frame {
            Ok(frame) => frame.into_data().ok(),
            Err(error) => {
                let too_large = error.downcast_ref::<LengthLimitError>().is_some();
                broken = Some(if too_large {
                    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The file is larger than 128 MiB. Split the deck.")
                } else {
                    Problem::new(StatusCode::REQUEST_TIMEOUT, "body_incomplete", "The file did not arrive in time or whole. Send it again.")
                });
                break;
            }
        };
        // The reader stops early when the file is hopeless; its own error says why.
        if let Some(piece) = piece
            && sender.send(piece).await.is_err()
        {
            break;
        }
    }
    drop(sender);
    let sheet = reading.await.map_err(|error| Problem::fault(&error))?;
    broken.map_or_else(|| sheet.map_err(Problem::from), Err)
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
    use crate::types::Nanos;

    #[test]
    fn headings_are_mapped_by_pairs() {
        let mapped = columns("prefix:Dial code,per_minute:Price").unwrap();
        assert_eq!((mapped.prefix.as_str(), mapped.per_minute.as_str(), mapped.name.as_str()), ("Dial code", "Price", "name"));
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

    #[test]
    fn an_explanation_can_be_computed_by_hand() {
        let clock = crate::types::Clock::manual(Timestamp::from_micros(1_900_000_000_000_000));
        let random = crate::types::Random::seeded(1);
        let quote = Quote {
            deck: DeckId::new(&clock, &random),
            version: crate::types::DeckVersionId::new(&clock, &random),
            prefix: "420".into(),
            name: "Czechia".into(),
            currency: "EUR".parse().unwrap(),
            rate: crate::rating::Rate {
                per_minute: Nanos::new(600_000_000),
                connect_fee: Micros::ZERO,
                first_secs: 60,
                next_secs: 60,
                min_secs: 0,
                min_charge: Micros::ZERO,
                grace_secs: 0,
                rounding: Rounding::Up,
                duration_rounding: crate::rating::DurationRounding::Up,
                periods: crate::rating::Periods::default(),
            },
        };
        let asked =
            Question { number: "+420601123456".parse().unwrap(), seconds: Some(61), credit: Some(Micros::new(1_000_000)), at: None };
        let told = explanation(&asked, &quote, clock.timestamp()).unwrap();
        assert_eq!(told["charge"]["amount"], json!({ "amount": "1.20", "currency": "EUR" }));
        assert_eq!((&told["charge"]["billed_secs"], &told["affordable"]["seconds"]), (&json!(120), &json!(60)));
        assert_eq!(told["charge"]["exact_micros"], "72000000000/60000");
    }
}

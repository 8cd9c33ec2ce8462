//! Reading requests and writing answers alike for every resource.

use std::collections::HashMap;

use axum::Json;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Serialize};
use serde_json::Value;

use super::super::State;
use super::super::error::Problem;
use crate::subscriber;
use crate::types::SubscriberId;

/// Items of a page unless the request asks for fewer or more.
const PAGE: u32 = 50;
/// Most items of a page.
const LONGEST_PAGE: u32 = 500;

/// A body in JSON, kept as bytes too: the idempotency of a request is that of its bytes.
pub struct Body<T>(pub T, pub Bytes);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        check_json(request.headers())?;
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| too_much(&rejection))?;
        Ok(Self(read(&bytes)?, bytes))
    }
}

fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") || kind.to_ascii_lowercase().ends_with("+json") {
        Ok(())
    } else {
        let message = "Send the body as JSON with the header Content-Type: application/json.";
        Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message))
    }
}

/// What happened to a body that was not read to its end.
fn too_much(rejection: &BytesRejection) -> Problem {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The body is larger than this address takes. Send less.")
        }
        _ => Problem::new(StatusCode::REQUEST_TIMEOUT, "body_incomplete", "The body did not arrive in time or whole. Send it again."),
    }
}

/// JSON as `T`; a problem names the field.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Every body is an object; a list of its values in their order would be taken for one.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(Problem::bad_request("Send one JSON object as the body."));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| wrong(&error))?;
    json.end().map_err(|error| Problem::bad_request(format!("There is something after the JSON: {error}. Send one JSON object.")))?;
    Ok(value)
}

/// A JSON value as `T`; a problem names the field.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(whole(value)).map_err(|error| wrong(&error))
}

/// `3.0` is a whole number to whoever writes JSON.
fn whole(value: Value) -> Value {
    /// Every whole number up to here is exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) => match number.as_f64() {
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and small enough")]
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < EXACT => Value::from(float as i64),
            _ => Value::Number(number),
        },
        Value::Object(fields) => Value::Object(fields.into_iter().map(|(name, value)| (name, whole(value))).collect()),
        Value::Array(items) => Value::Array(items.into_iter().map(whole).collect()),
        other => other,
    }
}

/// A whole number of a body that is read at once.
pub fn whole_number<'de, D: serde::Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<T, D::Error> {
    T::deserialize(whole(Value::deserialize(deserializer)?)).map_err(serde::de::Error::custom)
}

fn wrong(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let path = error.path().to_string();
    let reason = error.inner().to_string();
    let reason = reason.split(" at line ").next().unwrap_or_default();
    let message = format!("{}. Correct the request.", capital(reason));
    if path == "." || path == "?" { Problem::bad_request(message) } else { Problem::field(path, message) }
}

fn capital(text: &str) -> String {
    let mut characters = text.trim_end_matches('.').chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// `current` with the fields of `patch` in place of its own; null clears a field (RFC 7396, one level).
pub fn patched(current: &impl Serialize, patch: Value) -> Result<Value, Problem> {
    let Value::Object(patch) = patch else { return Err(Problem::bad_request("Send a JSON object with the fields that change.")) };
    let mut fields = serde_json::to_value(current).map_err(|error| Problem::fault(&error))?;
    if let Value::Object(fields) = &mut fields {
        fields.extend(patch);
    }
    Ok(fields)
}

/// Parts a flat object into the fields of `head` and the rest, which are the settings.
pub fn parted(value: Value, head: &[&str]) -> Result<(Value, Value), Problem> {
    let Value::Object(fields) = value else { return Err(Problem::bad_request("Send a JSON object.")) };
    let (head, rest): (serde_json::Map<_, _>, serde_json::Map<_, _>) =
        fields.into_iter().partition(|(name, _)| head.contains(&name.as_str()));
    Ok((Value::Object(head), Value::Object(rest)))
}

/// Lets only objects stand in these fields, alone or in lists: a list of an object's values in their order would be taken for one.
pub fn objects(settings: &Value, names: &[&'static str]) -> Result<(), Problem> {
    for &name in names {
        let wrong = |value: &Value| !value.is_object() && !value.is_null();
        let field = &settings[name];
        if field.as_array().map_or_else(|| wrong(field), |items| name == "coordinates" || items.iter().any(wrong)) {
            return Err(Problem::field(name, "Write it with its fields by name, as an object."));
        }
    }
    Ok(())
}

/// An id in the path; what cannot be one is not found.
pub struct Id<T>(pub T);

impl<S: Send + Sync, T: std::str::FromStr> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let all = path(parts, state).await?;
        all.iter().next().and_then(|(_, text)| text.parse().ok()).map(Self).ok_or_else(|| Problem::not_found("thing"))
    }
}

/// Two ids in the path.
pub struct Ids<T, U>(pub T, pub U);

impl<S: Send + Sync, T: std::str::FromStr, U: std::str::FromStr> FromRequestParts<S> for Ids<T, U> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let all = path(parts, state).await?;
        let mut texts = all.iter().map(|(_, text)| text);
        let both = texts.next().and_then(|text| text.parse().ok()).zip(texts.next().and_then(|text| text.parse().ok()));
        both.map(|(one, other)| Self(one, other)).ok_or_else(|| Problem::not_found("thing"))
    }
}

async fn path<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<RawPathParams, Problem> {
    RawPathParams::from_request_parts(parts, state).await.map_err(|_| Problem::not_found("thing"))
}

/// The query of a request.
pub struct Asked<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(query)| Self(query)).map_err(|rejection: QueryRejection| {
            let reason = rejection.body_text();
            let reason = reason.trim_start_matches("Failed to deserialize query string: ");
            let (field, reason) = reason.split_once(": ").unwrap_or(("", reason));
            let message = format!("{}. Correct the query.", capital(reason));
            if field.is_empty() || field.contains(' ') { Problem::bad_request(message) } else { Problem::field(field.to_owned(), message) }
        })
    }
}

/// A text on one line of at most `most` characters; not blank, if it has to be there.
pub fn line(field: &'static str, text: &str, least: usize, most: usize) -> Result<(), Problem> {
    if text.chars().count() > most || text.chars().any(char::is_control) || (least > 0 && text.trim().is_empty()) {
        return Err(Problem::field(field, format!("Write {least} to {most} characters on one line.")));
    }
    Ok(())
}

/// How many items a page has.
pub fn page_length(limit: Option<u32>) -> Result<u32, Problem> {
    match limit.unwrap_or(PAGE) {
        limit @ 1..=LONGEST_PAGE => Ok(limit),
        _ => Err(Problem::field("limit", format!("Ask for 1 to {LONGEST_PAGE} items a page."))),
    }
}

/// A page of a list: what was found with one more than `limit` asked for, and the id to go on after.
pub fn page<T, I: std::fmt::Display>(mut found: Vec<T>, limit: u32, id: impl Fn(&T) -> I, shape: impl Fn(&T) -> Value) -> Response {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| id(last).to_string());
    Json(serde_json::json!({ "items": found.iter().map(shape).collect::<Vec<_>>(), "next": next })).into_response()
}

/// What the subscribers of a list are called.
pub async fn names(state: &State, ids: impl IntoIterator<Item = Option<SubscriberId>>) -> Result<HashMap<SubscriberId, String>, Problem> {
    let ids: Vec<_> = ids.into_iter().flatten().collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    Ok(subscriber::store::names(&mut *state.database.read().await?, ids).await?)
}

/// A shape with the name of its subscriber, for those who read rather than join.
pub fn named(mut shape: Value, subscriber: Option<SubscriberId>, names: &HashMap<SubscriberId, String>) -> Value {
    if let Value::Object(fields) = &mut shape {
        fields.insert("subscriber_name".to_owned(), serde_json::json!(subscriber.and_then(|id| names.get(&id))));
    }
    shape
}

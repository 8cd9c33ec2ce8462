//! `Idempotency-Key`: a request that moves money does it once, however often it is sent (spec: money, section 8).
//!
//! The key is taken in one transaction; the work and its stored answer are committed together in the next. A process that dies
//! in between leaves a key that is taken over a minute later, and the posting's own unique key sees to it that money moves once.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use sha2::{Digest as _, Sha256};

use super::error::Problem;
use super::{State, store};
use crate::database::{self, Connection, Work};
use crate::subscriber::credential::hex;

/// How long answers are kept.
pub const KEPT: Duration = Duration::from_secs(48 * 3600);
/// A request that runs for longer than this has lost its process.
const ABANDONED: Duration = Duration::from_secs(60);
/// Longest key.
const LONGEST_KEY: usize = 255;
/// Bytes of an answer that is kept.
const LONGEST_ANSWER: usize = 1 << 20;
/// Fields of answers that are told once.
const SECRETS: [&str; 3] = ["key", "secret", "invitation"];
/// Tells that the answer is that of an earlier request.
const REPLAYED: &str = "idempotency-replayed";

/// A request under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The key the client chose.
    pub key: String,
    /// Who asks; two clients may choose the same key.
    pub credential: String,
    /// Method and path.
    pub request: String,
    /// SHA-256 of the body.
    pub body_digest: String,
}

/// An answer that is stored and given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// `application/json`.
    pub content_type: String,
    /// The body.
    pub body: String,
}

impl Answer {
    /// An answer in JSON.
    pub fn json(status: StatusCode, body: &impl serde::Serialize) -> Self {
        let body = serde_json::to_string(body).expect("answers hold nothing JSON cannot say");
        Self { status: status.as_u16(), content_type: "application/json".to_owned(), body }
    }

    fn respond(self, replayed: bool) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        if let Ok(content_type) = HeaderValue::from_str(&self.content_type) {
            response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        }
        if replayed {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

/// What stands under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Nothing did; the key is ours now.
    New,
    /// The same request, not yet finished.
    Running,
    /// The same request, finished.
    Finished(Answer),
    /// Another request.
    Other,
}

/// The key of a request, or what is wrong with it.
pub fn asked(headers: &HeaderMap, credential: String, request: String, body: &[u8]) -> Result<Asked, Problem> {
    let wrong = "Send one Idempotency-Key header of 1 to 255 printable characters, a new one for each new movement.";
    let mut keys = headers.get_all("idempotency-key").iter();
    let key = match (keys.next().and_then(|key| key.to_str().ok()), keys.next()) {
        (Some(key), None) if (1..=LONGEST_KEY).contains(&key.len()) && !key.contains('\t') => key.to_owned(),
        _ => return Err(Problem { code: "idempotency_key", ..Problem::field("Idempotency-Key", wrong) }),
    };
    Ok(Asked { key, credential, request, body_digest: hex(&Sha256::digest(body)) })
}

/// The key of what a request posts: unique over all clients, and of a length the books take.
pub fn posting_key(asked: &Asked) -> String {
    format!("api:{}", hex(&Sha256::digest(format!("{} {}", asked.credential, asked.key).as_bytes())))
}

/// Runs `work` once for the key. The work and its answer are kept together or not at all; a problem frees the key.
/// It runs to its end even if the client goes away.
pub async fn once<F>(state: &State, asked: Asked, work: F) -> Result<Response, Problem>
where
    F: for<'c> FnOnce(&'c mut Connection) -> Work<'c, Result<Answer, Problem>> + Send + 'static,
{
    let state = state.clone();
    let running = tokio::spawn(async move {
        if let Some(answered) = claim(&state, &asked).await? {
            return Ok(answered);
        }
        let done = asked.clone();
        let outcome = state.database.write(move |tx| {
            Box::pin(async move {
                let answer = work(tx).await?;
                store::finish(tx, &done, &answer).await?;
                Ok::<_, Problem>(answer)
            })
        });
        match outcome.await {
            Ok(answer) => Ok(answer.respond(false)),
            Err(problem) => {
                free(&state, asked).await;
                Err(problem)
            }
        }
    });
    running.await.unwrap_or_else(|error| Err(Problem::fault(&error)))
}

/// Takes the key for a request; an answer if the request was answered before.
async fn claim(state: &State, asked: &Asked) -> Result<Option<Response>, Problem> {
    let (claim, now) = (asked.clone(), state.clock.timestamp());
    let seen =
        state.database.write(move |tx| Box::pin(async move { Ok::<_, Problem>(store::begin(tx, &claim, now, now - ABANDONED).await?) }));
    match seen.await? {
        Seen::New => Ok(None),
        Seen::Finished(answer) => Ok(Some(answer.respond(true))),
        Seen::Running => {
            let message = "The same request is being worked on. Send it again in a moment to get its answer.";
            Err(Problem::new(StatusCode::CONFLICT, "idempotency_running", message))
        }
        Seen::Other => {
            let message = "This Idempotency-Key was used for another request. Send a new key for a new movement.";
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_used", message))
        }
    }
}

/// Frees the key: nothing was done.
async fn free(state: &State, asked: Asked) {
    let freed = state.database.write(move |tx| Box::pin(async move { Ok::<_, Problem>(store::abandon(tx, &asked).await?) })).await;
    if freed.is_err() {
        tracing::warn!("an idempotency key could not be freed; it frees itself in a minute");
    }
}

/// Answers a request under a key once by a handler that knows nothing of keys, for what makes something and moves no money: should the
/// process die between the work and its stored answer, the request may be done again a minute later. Secrets are told the first time
/// only.
pub async fn once_around(
    state: &State,
    asked: Asked,
    handler: impl Future<Output = Response> + Send + 'static,
) -> Result<Response, Problem> {
    let state = state.clone();
    let running = tokio::spawn(async move {
        if let Some(answered) = claim(&state, &asked).await? {
            return Ok(answered);
        }
        let (parts, body) = handler.await.into_parts();
        let Ok(body) = axum::body::to_bytes(body, LONGEST_ANSWER).await else {
            free(&state, asked).await;
            return Err(Problem::fault(&"an answer is too long to be kept"));
        };
        if parts.status.is_success() {
            let answer =
                Answer { status: parts.status.as_u16(), content_type: "application/json".to_owned(), body: without_secrets(&body) };
            let kept = state.database.write(move |tx| Box::pin(async move { Ok::<_, Problem>(store::finish(tx, &asked, &answer).await?) }));
            if kept.await.is_err() {
                tracing::warn!("the answer under an idempotency key could not be kept");
            }
        } else {
            free(&state, asked).await;
        }
        Ok(Response::from_parts(parts, Body::from(body)))
    });
    running.await.unwrap_or_else(|error| Err(Problem::fault(&error)))
}

/// A body without what is told once.
fn without_secrets(body: &[u8]) -> String {
    match serde_json::from_slice(body) {
        Ok(serde_json::Value::Object(mut fields)) => {
            fields.retain(|name, _| !SECRETS.contains(&name.as_str()));
            serde_json::Value::Object(fields).to_string()
        }
        _ => String::from_utf8_lossy(body).into_owned(),
    }
}

/// Forgets answers that are older than they have to be kept.
pub async fn forget(state: &State) -> Result<u64, database::Error> {
    let before = state.clock.timestamp() - KEPT;
    state.database.write(move |tx| Box::pin(async move { store::forget(tx, before).await })).await
}

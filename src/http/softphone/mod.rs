//! The door for phones: Web Call-Through.
//!
//! The operator's template decides the names of fields, their places and the method; an [`mapping::Endpoint`] of the configuration
//! says how to read them. Every answer that is no success carries a message in the user's language, whatever went wrong.

mod callthrough;
mod house;
pub mod mapping;
pub mod messages;
pub mod reply;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;

pub use house::House;
use mapping::{Arrived, Endpoint, Field, Fields, Fit};
use messages::Language;
use reply::{Format, Reply, Trouble};

use super::auth::{self, Doorkeeper, Presented};
use super::limits::{self, Block, Client, Limits, client};
use super::server::Peer;
use crate::callthrough::Desk;
use crate::subscriber::Sealer;
use crate::subscriber::credential;
use crate::types::{Refusal, Secret};

/// Bytes of a body.
const BODY: usize = 16 * 1024;
/// The main tenant in paths: its doors need no prefix.
const MAIN: &str = "main";
/// Bytes of an address.
const URL: usize = 8 * 1024;
/// The user is staring at the screen: later than this the answer is that we are busy.
const DEADLINE: Duration = Duration::from_millis(4500);

/// Settings of the door.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Addresses phones ask at; the built-in ones when there are none.
    pub endpoint: Vec<Endpoint>,
    /// How people prove who they are.
    pub auth: auth::Config,
    /// How often they may ask.
    pub limits: limits::Config,
    /// Proxies whose forwarding headers are believed.
    pub trusted_proxies: Vec<Block>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: Endpoint::built_in(),
            auth: auth::Config::default(),
            limits: limits::Config::default(),
            trusted_proxies: Vec::new(),
        }
    }
}

/// What the door works with.
pub struct Door {
    desk: Desk,
    doorkeeper: Doorkeeper,
    limits: Limits,
    config: Config,
}

impl Door {
    /// Opens it.
    pub fn new(desk: Desk, mut config: Config, credentials: &credential::Config, sealer: Option<Sealer>) -> Self {
        if config.endpoint.is_empty() {
            config.endpoint = Endpoint::built_in();
        }
        let limits = Limits::new(config.limits.clone(), desk.clock.clone());
        let doorkeeper = Doorkeeper::new(
            config.auth.clone(),
            credentials,
            desk.database.clone(),
            limits.clone(),
            sealer,
            desk.clock.clone(),
            &desk.random,
        );
        Self { desk, doorkeeper, limits, config }
    }
}

/// Everything phones ask. It answers whatever no other door does, because paths are configuration and mistakes in them need
/// a message too.
pub fn router(door: Door) -> Router {
    Router::new().fallback(handle).with_state(Arc::new(door))
}

/// How an answer is to look, as far as it is known.
#[derive(Clone, Copy)]
struct Looks {
    reply: Format,
    error_reply: Format,
    xml_type: reply::XmlType,
    language: Language,
}

impl Looks {
    /// What the client asked for explicitly holds for failures too.
    const fn asked(self, format: Option<Format>) -> Self {
        match format {
            Some(format) => Self { reply: format, error_reply: format, ..self },
            None => self,
        }
    }

    fn trouble(self, trouble: &Trouble) -> Reply {
        Reply::trouble(self.error_reply, self.xml_type, trouble, self.language)
    }
}

impl From<&Endpoint> for Looks {
    fn from(endpoint: &Endpoint) -> Self {
        Self { reply: endpoint.reply, error_reply: endpoint.error_reply, xml_type: endpoint.xml_type, language: Language::default() }
    }
}

async fn handle(State(door): State<Arc<Door>>, request: Request) -> Response {
    let looks = first_looks(&door, &request);
    let head = request.method() == Method::HEAD;
    // A task of its own: a client that hangs up half-way, a panic and a slow database all end in an orderly way.
    let answering = tokio::spawn(async move { answer(&door, request).await });
    let reply = match tokio::time::timeout(DEADLINE, answering).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(error)) => {
            tracing::error!(%error, "a request of a phone ended in a panic; this is a bug");
            looks.trouble(&Trouble::new(StatusCode::INTERNAL_SERVER_ERROR, "internal"))
        }
        Err(_) => {
            tracing::error!(deadline_ms = DEADLINE.as_millis(), "a request of a phone took too long; look at the database");
            looks.trouble(&Trouble::of(Refusal::BooksDown))
        }
    };
    tracing::debug!(status = reply.status, head, "a phone is answered");
    reply.into_response()
}

/// Whose door the path leads to, and the rest of the path: `/t/{slug}/callthrough` is a tenant's, every other the main tenant's.
fn tenant(path: &str) -> (&str, &str) {
    let named = path.strip_prefix("/t/").and_then(|rest| Some((rest.split_once('/')?.0, &rest[rest.find('/')?..])));
    named.unwrap_or((MAIN, path))
}

/// Format and language as the address alone tells them.
fn first_looks(door: &Door, request: &Request) -> Looks {
    let endpoints = &door.config.endpoint;
    let (_, path) = tenant(request.uri().path());
    let fitting = endpoints.iter().find_map(|endpoint| Some((endpoint, endpoint.path.fit(path)?)));
    let query = request.uri().query().unwrap_or_default();
    let parameter = |name: &str| query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| key.eq_ignore_ascii_case(name));
    let looks = Looks::from(fitting.as_ref().map_or(&endpoints[0], |(endpoint, _)| endpoint));
    let suffix = || Format::parse(request.uri().path().trim_end_matches('/').rsplit_once('.')?.1);
    let looks = looks.asked(parameter("format").and_then(|(_, format)| Format::parse(format)).or_else(suffix));
    let language = parameter("locale").and_then(|(_, locale)| Language::of(locale)).unwrap_or_default();
    Looks { language, ..looks }
}

async fn answer(door: &Door, request: Request) -> Reply {
    let looks = first_looks(door, &request);
    let (parts, body) = request.into_parts();
    let (tenant, path) = tenant(parts.uri.path());
    if parts.uri.path_and_query().is_some_and(|uri| uri.as_str().len() > URL) {
        return looks.trouble(&Trouble::new(StatusCode::URI_TOO_LONG, "address_too_long"));
    }
    let mut fitting: Vec<(&Endpoint, Fit<'_>)> =
        door.config.endpoint.iter().filter_map(|endpoint| Some((endpoint, endpoint.path.fit(path)?))).collect();
    fitting.sort_by_key(|(endpoint, _)| std::cmp::Reverse(endpoint.path.literals()));
    if fitting.is_empty() {
        return looks.trouble(&Trouble::new(StatusCode::NOT_FOUND, "not_found"));
    }
    let takes = |endpoint: &Endpoint| endpoint.methods.iter().any(|method| method.eq_ignore_ascii_case(parts.method.as_str()));
    // HEAD could not carry a dial string: an operator who sends it has misconfigured the app.
    let fit = fitting.iter().find(|(endpoint, _)| parts.method != Method::HEAD && takes(endpoint));
    let Some((endpoint, fit)) = fit else {
        return looks.trouble(&Trouble::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"));
    };
    let Ok(body) = to_bytes(body, BODY).await else {
        return looks.trouble(&Trouble::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"));
    };
    let content_type = text(&parts.headers, header::CONTENT_TYPE.as_str());
    let arrived = Arrived { query: parts.uri.query().unwrap_or_default(), content_type, body: &body };
    let fields = match mapping::read(endpoint, fit, arrived, |name| text(&parts.headers, name)) {
        Ok(fields) => fields,
        Err(trouble) => return looks.trouble(&trouble),
    };
    let looks = Looks::from(*endpoint).asked(fit.format.or_else(|| fields.get(Field::Format).and_then(Format::parse)));
    let language = fields.get(Field::Locale).and_then(Language::of);
    let looks = Looks { language: language.unwrap_or_default(), ..looks };
    let (peer, tls) = parts.extensions.get::<Peer>().map_or(([0, 0, 0, 0].into(), false), |peer| (peer.address.ip(), peer.tls));
    let client = client(peer, tls, &parts.headers, &door.config.trusted_proxies);
    let asked = Asked { door, endpoint, tenant, fields: &fields, client, looks, speaks: language.is_some() };
    asked.answer(&parts).await
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// A request that could be read.
struct Asked<'r> {
    door: &'r Door,
    /// Whose door it is, by its name in paths.
    tenant: &'r str,
    endpoint: &'r Endpoint,
    fields: &'r Fields,
    client: Client,
    looks: Looks,
    /// Whether the request itself said its language.
    speaks: bool,
}

impl Asked<'_> {
    async fn answer(&self, parts: &axum::http::request::Parts) -> Reply {
        if let Err(seconds) = self.door.limits.source(limits::Source::of(self.client.address)) {
            return self.looks.trouble(&Trouble::wait(seconds));
        }
        let presented = match self.presented(parts) {
            Ok(presented) => presented,
            Err(trouble) => return self.looks.trouble(&trouble),
        };
        let signed_in = match self.door.doorkeeper.sign_in(&self.endpoint.auth, &presented).await {
            Ok(signed_in) => signed_in,
            Err(denied) => return reply::denied(denied).map_or_else(|stored| stored, |trouble| self.looks.trouble(&trouble)),
        };
        let language = Language::of(&signed_in.who.subscriber.locale).filter(|_| !self.speaks).unwrap_or(self.looks.language);
        let looks = Looks { language, ..self.looks };
        let mapping::Service::Callthrough = self.endpoint.service;
        let reply = match callthrough::answer(self.door, self.fields, &signed_in, self.client).await {
            Ok(answer) => Reply::dial(looks.reply, looks.xml_type, answer.dial_string.as_str()),
            Err(trouble) => {
                tracing::info!(subscriber.id = %signed_in.who.subscriber.id, reason = trouble.code, "a request is refused");
                looks.trouble(&trouble)
            }
        };
        if let Some(nonce) = &signed_in.nonce {
            let kept = self.door.doorkeeper.keep_answer(signed_in.who.subscriber.id, nonce, reply.status, &reply.content_type, &reply.body);
            if let Err(fault) = kept.await {
                tracing::error!(%fault, "an answer could not be kept for a retry");
                return looks.trouble(&Trouble::of(Refusal::BooksDown));
            }
        }
        reply
    }

    fn presented(&self, parts: &axum::http::request::Parts) -> Result<Presented, Trouble> {
        let digest = self.endpoint.auth.contains(&auth::Variant::Digest);
        let get = |field| self.fields.get(field).map(str::to_owned);
        let authorization = text(&parts.headers, header::AUTHORIZATION.as_str()).map(str::to_owned);
        let user = get(Field::User).or_else(|| digest.then(String::new)).ok_or(Trouble::field("missing_user"))?;
        let secret = get(Field::Secret).or_else(|| digest.then(String::new)).ok_or(Trouble::field("missing_secret"))?;
        let target = get(Field::Target).ok_or(Trouble::field("missing_target"))?;
        Ok(Presented {
            tenant: self.tenant.to_owned(),
            user,
            secret: Secret::new(secret),
            nonce: get(Field::Nonce),
            target,
            device: get(Field::Device),
            authorization,
            method: parts.method.to_string(),
            uri: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            fingerprint: self.fields.fingerprint(),
            client: self.client,
        })
    }
}

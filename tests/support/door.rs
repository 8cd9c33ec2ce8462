//! The web doors of a server in this process, on a free port of the loopback, with books of their own.

use callthrough::b2bua;
use callthrough::database::{Database, Kind};
use callthrough::http::{self, Bounds, State};
use callthrough::people::key::NewKey;
use callthrough::people::{Principal, Role, Who};
use callthrough::rating::Decks;
use callthrough::subscriber::Sealer;
use callthrough::trace::{self, Trace};
use callthrough::trunk::Trunks;
use callthrough::types::{Clock, PersonId, Random, Secret, Timestamp};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::desk::empty_database;
use super::folder::Folder;

/// Running doors; they close and their books go when this is dropped.
pub struct Door {
    pub state: State,
    pub address: std::net::SocketAddr,
    pub key: Secret,
    pub client: reqwest::Client,
    /// Its own books, if it has any.
    _folder: Option<Folder>,
    stop: CancellationToken,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// An answer, its body read as JSON where it is JSON.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
    pub body: Value,
}

impl Door {
    /// Opens the doors at 2026-03-01T12:00:00Z by a clock that stands still.
    pub async fn open() -> Self {
        Self::on(Kind::Sqlite).await
    }

    /// The same on books of this kind.
    pub async fn on(kind: Kind) -> Self {
        Self::made(kind, Bounds::default(), |router| router).await
    }

    /// The same with other bounds and with more routes.
    pub async fn with(bounds: Bounds, more: impl FnOnce(axum::Router) -> axum::Router) -> Self {
        Self::made(Kind::Sqlite, bounds, more).await
    }

    async fn made(kind: Kind, bounds: Bounds, more: impl FnOnce(axum::Router) -> axum::Router) -> Self {
        let clock = Clock::manual(Timestamp::parse("2026-03-01T12:00:00Z").unwrap());
        let folder = Folder::new();
        let database = Database::open(&empty_database(kind, &folder).await).await.unwrap();
        let state = state(database, clock, b2bua::Handle::new(10)).await;
        Self::onto(state, Some(folder), bounds, more).await
    }

    /// Doors onto this.
    pub async fn of(state: State) -> Self {
        Self::onto(state, None, Bounds::default(), |router| router).await
    }

    /// Doors onto the books and calls of others.
    pub async fn beside(database: Database, clock: Clock, calls: b2bua::Handle) -> Self {
        Self::onto(state(database, clock, calls).await, None, Bounds::default(), |router| router).await
    }

    /// The same, where what goes over the wire is looked at.
    pub async fn tracing(database: Database, clock: Clock, calls: b2bua::Handle, trace: Trace) -> Self {
        let state = State { trace, ..state(database, clock, calls).await };
        Self::onto(state, None, Bounds::default(), |router| router).await
    }

    async fn onto(state: State, folder: Option<Folder>, bounds: Bounds, more: impl FnOnce(axum::Router) -> axum::Router) -> Self {
        let (_, key) = callthrough::people::key::create(&state.database, &state.clock, &state.random, "test").await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let router = more(http::router(state.clone(), axum::Router::new()));
        tokio::spawn(http::serve(listener, None, router, bounds, stop.clone()));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { state, address, key, client, _folder: folder, stop }
    }

    /// A key made by somebody, that may do everything.
    pub async fn key_by(&self, who: Who) -> String {
        let (clock, random) = (self.state.clock.clone(), self.state.random.clone());
        let made = self.state.database.write(move |tx| {
            Box::pin(async move {
                let by = Principal { who, name: "somebody".to_owned(), tenant: None, scopes: Role::Owner.scopes() };
                let new = NewKey { tenant: None, name: "test".to_owned(), scopes: Role::Owner.scopes(), expires_at: None };
                callthrough::people::key::make(tx, &by, new, &clock, &random).await
            })
        });
        made.await.unwrap().1.expose().to_owned()
    }

    /// A key of a person who has nothing to do with the others.
    pub async fn key_of_another_person(&self) -> String {
        self.key_by(Who::Person(PersonId::new(&self.state.clock, &self.state.random))).await
    }

    /// The same doors by another key.
    pub fn as_key(&self, key: &str) -> Hand {
        Hand { address: self.address, key: key.to_owned(), client: self.client.clone() }
    }

    /// Sends a request to the API with the key.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        self.as_key(self.key.expose()).send(method, path, headers, body).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[], Some(body)).await
    }
}

/// Somebody with a key of their own at the same doors.
pub struct Hand {
    address: std::net::SocketAddr,
    key: String,
    client: reqwest::Client,
}

impl Hand {
    /// Sends a request to the API with the key.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        let mut request = self.client.request(method.parse().unwrap(), format!("http://{}/api/v1{path}", self.address));
        if !headers.iter().any(|(name, _)| *name == "cookie" || *name == "authorization") {
            request = request.bearer_auth(&self.key);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = match body {
                Value::String(text) => request.body(text.clone()),
                body => request.header("content-type", "application/json").body(body.to_string()),
            };
        }
        Answer::of(request).await
    }
}

async fn state(database: Database, clock: Clock, calls: b2bua::Handle) -> State {
    let credentials = callthrough::subscriber::credential::Config { argon2_memory_kib: 8, argon2_passes: 1 };
    let gate = http::Gate::new(&clock, &Random::system(), &credentials, 0, Vec::new());
    State {
        trunks: Trunks::load(&database, clock.clone()).await.unwrap(),
        trace: Trace::start(&trace::Config::default(), database.clone(), clock.clone()).0,
        database,
        clock,
        random: Random::system(),
        decks: Decks::default(),
        imports: callthrough::rating::import::Imports::default(),
        rating: callthrough::rating::Config::default(),
        ledger: callthrough::ledger::Config::default(),
        credentials: callthrough::subscriber::credential::Config::default(),
        sealer: Some(Sealer::from_key_file(&[7; 32]).unwrap()),
        rules: callthrough::fraud::Rules::default(),
        calls,
        gate,
    }
}

impl Answer {
    pub async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { status, headers, text, body }
    }

    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

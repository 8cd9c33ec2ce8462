//! The office phones ask at: books of its own, a deck, access numbers, subscribers, and the softphone door on a free port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use callthrough::callthrough::access_number::Settings;
use callthrough::callthrough::{self as room, AccessNumber, Availability, Desk, Found, Inventory, Reservation};
use callthrough::database::{Database, Kind};
use callthrough::geoip::GeoIp;
use callthrough::http::softphone::{self, Door};
use callthrough::ledger::{self, Account, Draft};
use callthrough::rating::{self, Decks};
use callthrough::subscriber::credential::{self, Wanted};
use callthrough::subscriber::{self, Credential, Sealer, Subscriber, VerifiedNumber};
use callthrough::types::{AccountId, CallId, Clock, Country, CredentialId, E164, Micros, Random, Secret, SubscriberId, Timestamp};
use sqlx::Connection as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::folder::Folder;

/// The access number of the golden set.
pub const ACCESS_NUMBER: &str = "+15551230000";
/// Its destination.
pub const DESTINATION: &str = "+15551231234";

/// Books with what reservations need.
pub struct Office {
    pub database: Database,
    pub clock: Clock,
    pub random: Random,
    pub decks: Decks,
    pub config: room::Config,
    pub sealer: Sealer,
    pub carriers: Arc<Carriers>,
    _folder: Folder,
}

/// Carriers that are up, or not.
#[derive(Default)]
pub struct Carriers {
    pub down: AtomicBool,
    pub draining: AtomicBool,
    pub full: AtomicBool,
}

impl Availability for Carriers {
    fn trunk_up(&self, name: &str) -> bool {
        name != "down"
    }

    fn reachable(&self, _: E164) -> bool {
        !self.down.load(Ordering::Relaxed)
    }

    fn live_calls(&self, _: E164) -> u32 {
        if self.full.load(Ordering::Relaxed) { 1_000_000 } else { 0 }
    }

    fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// Somebody with a phone.
#[derive(Debug, Clone, Copy)]
pub struct Person {
    pub id: SubscriberId,
}

async fn empty_database(kind: Kind, folder: &Folder) -> String {
    match kind {
        Kind::Sqlite => format!("sqlite:{}", folder.path().join("books.sqlite").display()),
        Kind::Postgres => {
            let server = std::env::var("CALLTHROUGH_TEST_POSTGRES").expect(
                "this test needs a PostgreSQL server: run tests/run, which starts one, or set CALLTHROUGH_TEST_POSTGRES to the \
                 address of an empty one, such as postgres://postgres@127.0.0.1:5432/",
            );
            sqlx::any::install_default_drivers();
            let server = server.trim_end_matches('/');
            let name = format!("office_{}", Random::system().alphanumeric(16).to_lowercase());
            let mut connection = sqlx::AnyConnection::connect(&format!("{server}/postgres")).await.expect("the PostgreSQL server answers");
            let create = sqlx::AssertSqlSafe(format!("create database {name}"));
            sqlx::query(create).execute(&mut connection).await.expect("the server lets us create databases");
            format!("{server}/{name}")
        }
    }
}

impl Office {
    /// An office without numbers and people, at 2030-01-02T03:04:05Z by a clock that stands still.
    pub async fn open(kind: Kind) -> Self {
        let folder = Folder::new();
        let database = Database::open(&empty_database(kind, &folder).await).await.expect("the database opens");
        let clock = Clock::manual(Timestamp::parse("2030-01-02T03:04:05Z").unwrap());
        let office = Self {
            database,
            clock,
            random: Random::system(),
            decks: Decks::default(),
            config: room::Config::default(),
            sealer: Sealer::from_key_file(&[7; 32]).unwrap(),
            carriers: Arc::default(),
            _folder: folder,
        };
        office.deck().await;
        office
    }

    /// 0.30 a minute by the second to +1, +44 and +420.
    async fn deck(&self) {
        let done = self.database.write(|tx| {
            Box::pin(async move {
                for statement in [
                    "insert into deck (id, name, currency, created_at_us) values ('deck_00000000000000000000000001', 'retail', 'EUR', 0)",
                    "insert into deck_version (id, deck_id, number, fingerprint, state, rounding, effective_from_us, created_at_us) \
                     values ('dver_00000000000000000000000001', 'deck_00000000000000000000000001', 1, '', 'active', 'up', 0, 0)",
                ] {
                    sqlx::query(statement).execute(&mut *tx).await?;
                }
                for prefix in ["1", "44", "420"] {
                    sqlx::query(
                        "insert into rate (version_id, prefix, per_minute_nanos, first_secs, next_secs) \
                         values ('dver_00000000000000000000000001', $1, 300000000, 1, 1)",
                    )
                    .bind(prefix)
                    .execute(&mut *tx)
                    .await?;
                }
                Ok::<_, sqlx::Error>(())
            })
        });
        done.await.unwrap();
        let now = self.clock.timestamp();
        rating::store::refresh(&self.database, &self.decks, &rating::Config::default(), now).await.unwrap();
    }

    /// An access number with settings as the API would take them.
    pub async fn number(&self, digits: &str, country: &str, settings: serde_json::Value) -> AccessNumber {
        let number = AccessNumber {
            tenant: callthrough::types::TenantId::MAIN,
            number: digits.parse().unwrap(),
            country: country.parse().unwrap(),
            enabled: true,
            settings: serde_json::from_value::<Settings>(settings).unwrap(),
            created_at: self.clock.timestamp(),
        };
        let stored = number.clone();
        let done = self.database.write(move |tx| Box::pin(async move { room::store::create_access_number(tx, &stored).await }));
        done.await.unwrap();
        number
    }

    /// A subscriber with names, verified numbers and a credit in micro-units.
    pub async fn person(&self, names: &[&str], numbers: &[&str], credit: i64) -> Person {
        self.person_with(names, numbers, credit, |_| {}).await
    }

    pub async fn person_with(&self, names: &[&str], numbers: &[&str], credit: i64, change: impl FnOnce(&mut Subscriber)) -> Person {
        let (id, account) = (SubscriberId::new(&self.clock, &self.random), AccountId::new(&self.clock, &self.random));
        let now = self.clock.timestamp();
        let mut subscriber = Subscriber {
            tenant: callthrough::types::TenantId::MAIN,
            id,
            account,
            name: names.first().copied().unwrap_or("nobody").to_owned(),
            home: "US".parse::<Country>().unwrap(),
            locale: "en".into(),
            enabled: true,
            withholds_number: false,
            deck: None,
            access_wish: None,
            max_calls: None,
            spend_cap: None,
            max_price: None,
            max_calls_hour: None,
            longest_call_secs: None,
            created_at: now,
        };
        change(&mut subscriber);
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let numbers: Vec<E164> = numbers.iter().map(|number| number.parse().unwrap()).collect();
        let money = Account {
            tenant: callthrough::types::TenantId::MAIN,
            id: account,
            currency: "EUR".parse().unwrap(),
            credit_limit: Micros::ZERO,
            balance: Micros::ZERO,
            held: Micros::ZERO,
            low_balance: ledger::LOW_BALANCE,
        };
        let (clock, random) = (self.clock.clone(), self.random.clone());
        let done = self.database.write(move |tx| {
            Box::pin(async move {
                ledger::store::create(tx, &money, now).await?;
                if credit > 0 {
                    let draft = Draft {
                        account,
                        kind: ledger::Kind::TopUp,
                        amount: Micros::new(credit),
                        cause: "test".into(),
                        idempotency_key: account.to_string(),
                        note: String::new(),
                        against: None,
                    };
                    ledger::store::post(tx, draft, &clock, &random).await?;
                }
                subscriber::store::create(tx, &subscriber).await?;
                for name in names {
                    subscriber::store::add_identity(tx, id, &name).await?;
                }
                for number in numbers {
                    subscriber::store::add_number(tx, id, VerifiedNumber::new(number, now)).await?;
                }
                Ok::<_, ledger::LedgerError>(())
            })
        });
        done.await.unwrap();
        Person { id }
    }

    /// A credential of this kind with this secret.
    pub async fn credential(&self, person: &Person, kind: subscriber::Kind, secret: &str) {
        let cheap = credential::Config { argon2_memory_kib: 8, argon2_passes: 1 };
        let wanted = Wanted {
            kind,
            secret: Some(Secret::new(secret)),
            device: None,
            user: Some("johndow".into()),
            realm: Some("callthrough".into()),
        };
        let id = CredentialId::new(&self.clock, &self.random);
        let (made, _) = Credential::make(id, person.id, wanted, &cheap, Some(&self.sealer), &self.random, self.clock.timestamp()).unwrap();
        let done = self.database.write(move |tx| Box::pin(async move { subscriber::store::add_credential(tx, &made).await }));
        done.await.unwrap();
    }

    pub fn desk(&self) -> Desk {
        Desk {
            database: self.database.clone(),
            decks: self.decks.clone(),
            geoip: GeoIp::bundled(),
            availability: self.carriers.clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
            config: self.config.clone(),
            ledger: ledger::Config::default(),
            inventory: Inventory::default(),
        }
    }

    /// What a call from `caller` to `access_number` finds now.
    pub async fn find(&self, caller: &str, access_number: &str) -> Found {
        let mut connection = self.database.read().await.unwrap();
        let (caller, access_number) = (caller.parse().unwrap(), access_number.parse().unwrap());
        room::store::find(&mut connection, &self.config, caller, access_number, self.clock.timestamp()).await.unwrap()
    }

    /// A call that finds, and claims what it found: its reservation, whether it was late, or the refusal's word.
    pub async fn arrive(&self, caller: &str, access_number: &str) -> Result<(CallId, Reservation, bool), String> {
        let reservation = match self.find(caller, access_number).await {
            Found::Pending(reservation) => reservation,
            Found::Cooling(_) => return Err("cooling_down".into()),
            Found::Expired(_) => return Err("reservation_expired".into()),
            Found::Used(_) => return Err("reservation_used".into()),
            Found::None => return Err("no_reservation".into()),
        };
        self.claim(&reservation).await
    }

    pub async fn claim(&self, reservation: &Reservation) -> Result<(CallId, Reservation, bool), String> {
        let (call, id, now) = (CallId::new(&self.clock, &self.random), reservation.id, self.clock.timestamp());
        let config = self.config.clone();
        let claimed = self.database.write(move |tx| Box::pin(async move { room::store::claim(tx, &config, id, call, now).await })).await;
        match claimed {
            Ok(claimed) => Ok((call, claimed.reservation, claimed.late)),
            Err(room::Error::Refused(refusal)) => Err(refusal.code().into()),
            Err(error) => panic!("{error}"),
        }
    }

    /// The call ended.
    pub async fn release(&self, reservation: &Reservation, call: CallId) {
        let (id, now) = (reservation.id, self.clock.timestamp());
        let done = self.database.write(move |tx| Box::pin(async move { room::store::release(tx, id, call, now).await }));
        done.await.unwrap();
    }

    /// B answered.
    pub async fn consume(&self, reservation: &Reservation, call: CallId) {
        let id = reservation.id;
        let done = self.database.write(move |tx| Box::pin(async move { room::store::consume(tx, id, call).await }));
        done.await.unwrap();
    }

    /// Reservations of this state in the books.
    pub async fn count(&self, state: &str) -> i64 {
        let mut connection = self.database.read().await.unwrap();
        sqlx::query_scalar("select count(*) from reservation where state = $1").bind(state).fetch_one(&mut *connection).await.unwrap()
    }

    /// Opens the web door with these settings of `[softphone]`.
    pub async fn serve(self, settings: &str) -> Served {
        let config: softphone::Config = toml::from_str(settings).unwrap();
        let cheap = credential::Config { argon2_memory_kib: 8, argon2_passes: 1 };
        let door = Door::new(self.desk(), config, &cheap, Some(self.sealer.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        tokio::spawn(callthrough::http::serve(listener, None, softphone::router(door), callthrough::http::Bounds::default(), stop.clone()));
        Served { office: self, address, stop }
    }
}

/// An office with an open web door.
pub struct Served {
    pub office: Office,
    pub address: SocketAddr,
    stop: CancellationToken,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// An answer as it stood on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub headers: String,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The message, which every failure has.
    #[track_caller]
    pub fn message(&self) -> String {
        let message = self.json()["message"].as_str().unwrap_or_default().to_owned();
        assert!(!message.is_empty(), "{self:?}");
        message
    }

    /// The dial string of an answer in any format.
    pub fn dial_string(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        if let Some(rest) = self.body.strip_prefix("<response><dialString>") {
            return rest.strip_suffix("</dialString></response>").unwrap().to_owned();
        }
        self.json()["dialString"].as_str().unwrap().to_owned()
    }
}

impl Served {
    /// Sends these bytes on a connection of their own and reads to its end.
    pub async fn raw(&self, request: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no end of head in {text:?}"));
        let (first, headers) = head.split_once("\r\n").unwrap_or((head, ""));
        let status = first.split(' ').nth(1).unwrap().parse().unwrap();
        let reply = Reply { status, headers: headers.to_owned(), body: body.to_owned() };
        assert_eq!(reply.header("content-length").map(str::to_owned), Some(body.len().to_string()), "{reply:?}");
        for never in ["location", "set-cookie", "content-encoding", "transfer-encoding"] {
            assert_eq!(reply.header(never), None, "{reply:?}");
        }
        reply
    }

    /// GET with more headers, each ended by CR LF.
    pub async fn get_with(&self, target: &str, headers: &str) -> Reply {
        self.raw(format!("GET {target} HTTP/1.1\r\nHost: ct.example.com\r\nConnection: close\r\n{headers}\r\n").as_bytes()).await
    }

    pub async fn get(&self, target: &str) -> Reply {
        self.get_with(target, "").await
    }

    pub async fn post(&self, target: &str, headers: &str, body: &str) -> Reply {
        let length = body.len();
        let head =
            format!("POST {target} HTTP/1.1\r\nHost: ct.example.com\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
        self.raw(format!("{head}{body}").as_bytes()).await
    }
}

//! A desk of the books: one database of its own, an account, a subscriber and a deck, without any socket.

use std::time::Duration;

use callthrough::b2bua::books::{Authorise, Authorised, Books, Closing, NotAuthorised, Setup};
use callthrough::call::Cause;
use callthrough::database::{Database, Kind};
use callthrough::fraud::Rules;
use callthrough::ledger::{self, Account, Draft};
use callthrough::rating::import::{self, Apply, Format};
use callthrough::rating::{self, Decks};
use callthrough::subscriber::{self, Subscriber};
use callthrough::types::{AccountId, CallId, Clock, DeckId, Micros, Random, Side, SubscriberId, Timestamp};
use sqlx::Connection as _;

use super::folder::Folder;

/// What a test of the books stands on.
pub struct Desk {
    pub url: String,
    pub database: Database,
    pub decks: Decks,
    pub books: Books,
    pub clock: Clock,
    pub random: Random,
    pub account: AccountId,
    pub subscriber: SubscriberId,
    pub config: ledger::Config,
    /// Hotlists and the tenants' own rules, as the books of calls see them.
    pub rules: Rules,
    folder: Folder,
}

/// Every price a test needs, by prefix.
const DECK: &str = "prefix,name,per_minute,first_secs,next_secs,connect_fee\n\
    420,by the second,0.60,1,1,0\n\
    421,by the minute,0.60,60,60,0\n\
    1555,fine,0.0137,1,1,0.05\n\
    33,free,0,60,60,0\n\
    881,dear,9.00,60,60,0\n";

/// Limits that are out of the way of a test that is not about them.
pub fn wide() -> ledger::Config {
    ledger::Config {
        max_calls: 100_000,
        max_calls_hour: 100_000,
        spend_cap: Micros::new(1_000_000_000_000),
        max_price_per_minute: Micros::new(1_000_000),
        books_timeout_ms: 60_000,
        ..ledger::Config::default()
    }
}

/// The address of an empty database of this kind.
pub async fn empty_database(kind: Kind, folder: &Folder) -> String {
    match kind {
        Kind::Sqlite => format!("sqlite:{}", folder.path().join("books.sqlite").display()),
        Kind::Postgres => {
            let server = std::env::var("CALLTHROUGH_TEST_POSTGRES").expect(
                "this test needs a PostgreSQL server: run tests/run, which starts one, or set CALLTHROUGH_TEST_POSTGRES to the \
                 address of an empty one, such as postgres://postgres@127.0.0.1:5432/",
            );
            sqlx::any::install_default_drivers();
            let server = server.trim_end_matches('/');
            let name = format!("books_{}", Random::system().alphanumeric(16).to_lowercase());
            let mut connection = sqlx::AnyConnection::connect(&format!("{server}/postgres")).await.expect("the PostgreSQL server answers");
            let create = sqlx::AssertSqlSafe(format!("create database {name}"));
            sqlx::query(create).execute(&mut connection).await.expect("the server lets us create databases");
            format!("{server}/{name}")
        }
    }
}

impl Desk {
    /// A desk with `balance` on its account and limits that do not matter.
    pub async fn open(kind: Kind, balance: i64) -> Self {
        Self::with(kind, balance, wide()).await
    }

    pub async fn with(kind: Kind, balance: i64, config: ledger::Config) -> Self {
        let folder = Folder::new();
        let url = empty_database(kind, &folder).await;
        let database = Database::open(&url).await.expect("the database opens");
        let clock = Clock::manual(Timestamp::parse("2030-01-02T03:04:05Z").unwrap());
        let random = Random::system();
        let decks = Decks::default();
        let (account, subscriber) = (AccountId::new(&clock, &random), SubscriberId::new(&clock, &random));
        let rules = Rules::default();
        let books = books(&database, &decks, &clock, &random, setup(&config, &rules, &folder));
        let desk = Self { url, database, decks, books, clock, random, account, subscriber, config, rules, folder };
        desk.add_account(account).await;
        desk.add_subscriber(subscriber, account).await;
        desk.add_deck().await;
        if balance > 0 {
            desk.top_up(balance).await;
        }
        desk
    }

    /// The same books in a new process: nothing is in memory.
    pub fn restarted(&self) -> Books {
        books(&self.database, &self.decks, &self.clock, &self.random, setup(&self.config, &self.rules, &self.folder))
    }

    /// One more account, empty.
    pub async fn add_account(&self, id: AccountId) {
        let account = Account {
            tenant: callthrough::types::TenantId::MAIN,
            id,
            currency: "EUR".parse().unwrap(),
            credit_limit: Micros::ZERO,
            balance: Micros::ZERO,
            held: Micros::ZERO,
            low_balance: ledger::LOW_BALANCE,
        };
        let now = self.clock.timestamp();
        let done = self.database.write(move |tx| Box::pin(async move { ledger::store::create(tx, &account, now).await }));
        done.await.expect("the account is new");
    }

    /// One more subscriber of an account.
    pub async fn add_subscriber(&self, id: SubscriberId, account: AccountId) {
        let subscriber = Subscriber {
            tenant: callthrough::types::TenantId::MAIN,
            id,
            account,
            name: "Ann".into(),
            home: "CZ".parse().unwrap(),
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
            created_at: self.clock.timestamp(),
        };
        let done = self.database.write(move |tx| Box::pin(async move { subscriber::store::create(tx, &subscriber).await }));
        done.await.expect("the subscriber is new");
    }

    async fn add_deck(&self) {
        let id = DeckId::new(&self.clock, &self.random);
        let deck = rating::store::Deck {
            tenant: Some(callthrough::types::TenantId::MAIN),
            kind: rating::Kind::Sell,
            id,
            name: "retail".into(),
            currency: "EUR".parse().unwrap(),
            created_at: self.clock.timestamp(),
        };
        self.database.write(move |tx| Box::pin(async move { rating::store::create(tx, &deck).await })).await.expect("the deck is new");
        self.import(id, DECK).await.expect("the deck is right");
    }

    /// Dry run, apply, refresh.
    pub async fn import(&self, deck: DeckId, csv: &str) -> Result<(), import::ImportError> {
        let now = self.clock.timestamp();
        let sheet = import::read(csv.as_bytes(), &Format::default())?;
        let fingerprint = import::dry_run(&self.decks, deck, &sheet, now)?.fingerprint;
        let order = Apply { deck, sheet, fingerprint, effective_from: now };
        import::apply(&self.database, &self.decks, &self.clock, &self.random, order).await?;
        rating::store::refresh(&self.database, &self.decks, &rating::Config::default(), now).await?;
        Ok(())
    }

    pub async fn top_up(&self, amount: i64) {
        let key = format!("payment {}", self.random.alphanumeric(12));
        self.post(self.draft(amount, &key)).await.expect("a top-up is posted");
    }

    pub fn draft(&self, amount: i64, key: &str) -> Draft {
        Draft {
            account: self.account,
            kind: ledger::Kind::TopUp,
            amount: Micros::new(amount),
            cause: "payment 17".into(),
            idempotency_key: key.into(),
            note: String::new(),
            against: None,
        }
    }

    pub async fn post(&self, draft: Draft) -> Result<ledger::store::Posted, ledger::LedgerError> {
        let (clock, random) = (self.clock.clone(), self.random.clone());
        let post = self.database.write(move |tx| Box::pin(async move { ledger::store::post(tx, draft, &clock, &random).await }));
        post.await
    }

    /// A request for a call to `destination`, which begins now.
    pub fn ask(&self, destination: &str) -> Authorise {
        Authorise {
            call: CallId::new(&self.clock, &self.random),
            subscriber: self.subscriber,
            reservation: None,
            sip_call_id: Some("a84b4c76e66710@192.0.2.1".into()),
            caller: Some("+447700900123".parse().unwrap()),
            dialled: "+442079460123".into(),
            destination: destination.parse().unwrap(),
            trunk_in: Some("carrier".into()),
            began_at: self.clock.timestamp(),
            cost_decks: Vec::new(),
        }
    }

    pub async fn authorise(&self, destination: &str) -> Result<(CallId, Authorised), NotAuthorised> {
        let ask = self.ask(destination);
        let call = ask.call;
        self.books.authorise(ask).await.map(|authorised| (call, authorised))
    }

    /// The closing of a call that ends now; `talked` is none if B never answered.
    pub fn closing(&self, call: CallId, talked: Option<Duration>) -> Closing {
        let now = self.clock.timestamp();
        Closing {
            call,
            subscriber: Some(self.subscriber),
            reservation: None,
            sip_call_id: Some("a84b4c76e66710@192.0.2.1".into()),
            caller: Some("+447700900123".into()),
            dialled: "+442079460123".into(),
            destination: Some("+420601123456".parse().unwrap()),
            trunk_in: Some("carrier".into()),
            trunk_out: Some("other carrier".into()),
            cause: if talked.is_some() { Cause::HungUp } else { Cause::Cancelled },
            side: Some(Side::A),
            sip_status: Some(200),
            late: false,
            began_at: now - talked.unwrap_or_default(),
            progressed_at: None,
            answered_at: talked.map(|talked| now - talked),
            ended_at: now,
            duration: talked.unwrap_or_default(),
            cost: None,
            sound: None,
            detail: None,
        }
    }

    pub async fn account(&self) -> Account {
        let mut connection = self.database.read().await.unwrap();
        ledger::store::get(&mut connection, self.account).await.unwrap().expect("the account exists")
    }

    pub async fn balance(&self) -> i64 {
        self.account().await.balance.get()
    }

    pub async fn record(&self, call: CallId) -> Option<callthrough::cdr::Record> {
        let mut connection = self.database.read().await.unwrap();
        callthrough::cdr::store::get(&mut connection, call).await.unwrap()
    }

    /// The books add up as of now.
    pub async fn verified(&self) -> ledger::verify::Counts {
        ledger::verify(&self.database, self.clock.timestamp())
            .await
            .expect("the books can be read")
            .unwrap_or_else(|finding| panic!("{finding}"))
    }

    /// The same where calls are up that nobody keeps alive: they say that they live first.
    pub async fn verified_with_live_calls(&self) -> ledger::verify::Counts {
        let now = self.clock.timestamp().as_micros();
        self.execute(&format!("update call set last_alive_at_us = {now} where ended_at_us is null")).await.unwrap();
        self.verified().await
    }

    /// Any statement, past all rules.
    pub async fn execute(&self, sql: &str) -> Result<u64, sqlx::Error> {
        let sql = sql.to_owned();
        let done = self.database.write(move |tx| Box::pin(async move { sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(tx).await }));
        done.await.map(|done| done.rows_affected())
    }
}

fn setup(config: &ledger::Config, rules: &Rules, folder: &Folder) -> Setup {
    Setup {
        node: "node1".into(),
        spool: folder.path().join("cdr.spool"),
        ledger: config.clone(),
        callthrough: callthrough::callthrough::Config { rules: rules.clone(), ..callthrough::callthrough::Config::default() },
    }
}

fn books(database: &Database, decks: &Decks, clock: &Clock, random: &Random, setup: Setup) -> Books {
    Books::new(database.clone(), decks.clone(), clock.clone(), random.clone(), setup)
}

//! The switchboard in this process, on a clock that is moved by hand, with its books in a temporary file, and those who use it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use callthrough::b2bua::books::{Books, Setup};
use callthrough::b2bua::{self, Handle, Wiring};
use callthrough::callthrough::access_number::{Candidate, Settings as AccessSettings};
use callthrough::callthrough::store::Ask;
use callthrough::callthrough::{AccessNumber, Mode, Rule};
use callthrough::cdr::{self, Record};
use callthrough::database::Database;
use callthrough::ledger::{self, Account, Draft, Kind};
use callthrough::media::{self, Engine, Homes};
use callthrough::rating::{self, Decks, import};
use callthrough::sip::{self, Endpoint};
use callthrough::subscriber::{self, Subscriber, VerifiedNumber};
use callthrough::trace::{self, Trace};
use callthrough::trunk::{self, Trunk, Trunks};
use callthrough::types::{AccountId, Clock, DeckId, E164, Micros, Random, SubscriberId, Timestamp, TrunkId};

use tokio::runtime::Runtime;

use super::carrier::{Carrier, OFFER, Party, sdp};
use super::until;

/// The number everybody dials.
pub const ACCESS: &str = "+15551230000";
/// Where Alice calls from.
pub const ALICE: &str = "+15551231234";
/// Where she wants to go.
pub const PRAGUE: &str = "+420601123456";

pub struct Switchboard {
    pub clock: Clock,
    pub calls: Handle,
    pub database: Database,
    pub sip: SocketAddr,
    /// The carrier whose calls come in.
    pub origin: Carrier,
    /// What goes over the wire.
    pub trace: Trace,
    trunks: Trunks,
    decks: Decks,
    folder: PathBuf,
    plan: Plan,
    /// What runs the server; shutting it down is what kill -9 is to a process.
    runtime: Option<Runtime>,
}

/// What differs from test to test.
#[derive(Clone)]
pub struct Plan {
    pub calls: b2bua::Config,
    pub media: media::Config,
    pub ledger: ledger::Config,
    pub trace: trace::Config,
    pub callthrough: callthrough::callthrough::Config,
    /// How calls are recognised at the access number.
    pub modes: Vec<Mode>,
    /// A line of the deck: price a minute, first and next seconds.
    pub price: &'static str,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            calls: b2bua::Config::default(),
            media: media::Config { relay: media::Carrier::Bypass, ..media::Config::default() },
            ledger: ledger::Config::default(),
            trace: trace::Config::default(),
            callthrough: callthrough::callthrough::Config::default(),
            modes: vec![Mode::Pinless],
            price: "0.60,1,1",
        }
    }
}

impl Switchboard {
    pub async fn new() -> Self {
        Self::planned(Plan::default()).await
    }

    pub async fn planned(plan: Plan) -> Self {
        let folder = std::env::temp_dir().join(format!("callthrough-board-{}", Random::system().alphanumeric(12)));
        std::fs::create_dir(&folder).unwrap();
        let clock = Clock::manual(Timestamp::parse("2030-01-02T12:00:00Z").unwrap());
        Self::in_folder(folder, clock, plan).await
    }

    async fn in_folder(folder: PathBuf, clock: Clock, plan: Plan) -> Self {
        let server = serve(folder.clone(), clock.clone(), plan.clone(), SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let Server { runtime, calls, database, sip, trace, trunks, decks } = server;
        let origin = Carrier::start(&clock).await;
        let board = Self { clock, calls, database, sip, origin, trace, trunks, decks, folder, plan, runtime: Some(runtime) };
        board.add_trunk("origin", 0, None, vec![board.origin.address().to_string()]).await;
        board.add_access_number().await;
        board.add_deck().await;
        board
    }

    /// Kills the server where it stands, and starts another one on the same books and the same port.
    pub async fn is_killed_and_starts_again(&mut self) {
        self.runtime.take().expect("it runs").shutdown_background();
        let server = until("the port of the killed server", async || {
            serve(self.folder.clone(), self.clock.clone(), self.plan.clone(), self.sip).await.ok()
        })
        .await;
        let Server { runtime, calls, database, sip, trace, trunks, decks } = server;
        (self.calls, self.database, self.sip, self.trace, self.trunks, self.decks) = (calls, database, sip, trace, trunks, decks);
        self.runtime = Some(runtime);
    }

    /// A carrier that takes calls onward.
    pub async fn carrier(&self, name: &str, priority: i64) -> Carrier {
        let carrier = Carrier::start(&self.clock).await;
        self.add_trunk(name, priority, Some(carrier.address()), vec![carrier.address().to_string()]).await;
        carrier
    }

    /// A subscriber with one verified number and this much credit.
    pub async fn subscriber(&self, number: &'static str, credit: &str) -> Phone<'_> {
        let (clock, random) = (self.clock.clone(), Random::system());
        let now = clock.timestamp();
        let account = AccountId::new(&clock, &random);
        let id = SubscriberId::new(&clock, &random);
        let subscriber = Subscriber {
            tenant: callthrough::types::TenantId::MAIN,
            id,
            account,
            name: "Alice".into(),
            home: "US".parse().unwrap(),
            locale: "en".into(),
            enabled: true,
            withholds_number: false,
            deck: None,
            access_wish: None,
            max_calls: None,
            spend_cap: None,
            max_price: Some("1".parse().unwrap()),
            max_calls_hour: Some(1000),
            longest_call_secs: None,
            created_at: now,
        };
        let top_up = Draft {
            account,
            kind: Kind::TopUp,
            amount: credit.parse().unwrap(),
            cause: "test".into(),
            idempotency_key: format!("top-up-{id}"),
            note: String::new(),
            against: None,
        };
        let empty = Account {
            tenant: callthrough::types::TenantId::MAIN,
            id: account,
            currency: "EUR".parse().unwrap(),
            credit_limit: Micros::ZERO,
            balance: Micros::ZERO,
            held: Micros::ZERO,
            low_balance: ledger::LOW_BALANCE,
        };
        self.database
            .write(move |tx| {
                Box::pin(async move {
                    ledger::store::create(tx, &empty, now).await?;
                    if top_up.amount > Micros::ZERO {
                        ledger::store::post(tx, top_up, &clock, &random).await?;
                    }
                    subscriber::store::create(tx, &subscriber).await?;
                    let number = VerifiedNumber::new(number.parse().unwrap(), now);
                    subscriber::store::add_number(tx, id, number).await?;
                    Ok::<_, ledger::LedgerError>(())
                })
            })
            .await
            .unwrap();
        Phone { board: self, id, account, number }
    }

    pub async fn add_trunk(&self, name: &str, priority: i64, target: Option<SocketAddr>, addresses: Vec<String>) {
        let settings = trunk::Settings {
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            target: target.map(|target| target.to_string().parse().unwrap()),
            country: "US".parse().ok(),
            ..trunk::Settings::default()
        };
        self.add_trunk_with(name, priority, settings).await;
    }

    /// A trunk of several addresses, tried in this order.
    pub async fn add_trunk_at(&self, name: &str, priority: i64, addresses: &[SocketAddr]) {
        let mut targets = addresses.iter().map(|address| address.to_string().parse().unwrap());
        let settings = trunk::Settings {
            addresses: addresses.iter().map(|address| address.to_string().parse().unwrap()).collect(),
            target: targets.next(),
            more_targets: targets.collect(),
            country: "US".parse().ok(),
            ..trunk::Settings::default()
        };
        self.add_trunk_with(name, priority, settings).await;
    }

    /// What the addresses of a trunk say when they are asked whether they live.
    pub fn says(&self, name: &str) -> Vec<Option<trunk::PingState>> {
        let trunks = self.trunks.all();
        let trunk = trunks.iter().find(|trunk| trunk.name == name).expect("a trunk of this name");
        self.trunks.addresses(trunk.id).into_iter().map(|address| address.state).collect()
    }

    async fn add_trunk_with(&self, name: &str, priority: i64, settings: trunk::Settings) {
        let (id, now) = (TrunkId::new(&self.clock, &Random::system()), self.clock.timestamp());
        let trunk = Trunk { id, name: name.into(), enabled: true, priority, settings, target: None };
        self.database.write(move |tx| Box::pin(async move { trunk::store::create(tx, &trunk, now).await })).await.unwrap();
        self.trunks.reload(&self.database).await.unwrap();
    }

    async fn add_access_number(&self) {
        let number = self.access_number();
        self.database
            .write(move |tx| Box::pin(async move { callthrough::callthrough::store::create_access_number(tx, &number).await }))
            .await
            .unwrap();
    }

    fn access_number(&self) -> AccessNumber {
        AccessNumber {
            tenant: callthrough::types::TenantId::MAIN,
            number: ACCESS.parse().unwrap(),
            country: "US".parse().unwrap(),
            enabled: true,
            settings: AccessSettings { modes: self.plan.modes.clone(), ..AccessSettings::default() },
            created_at: self.clock.timestamp(),
        }
    }

    async fn add_deck(&self) {
        let (decks, price) = (&self.decks, self.plan.price);
        let (random, now) = (Random::system(), self.clock.timestamp());
        let deck = DeckId::new(&self.clock, &random);
        let row = rating::store::Deck {
            tenant: Some(callthrough::types::TenantId::MAIN),
            kind: rating::Kind::Sell,
            id: deck,
            name: "retail".into(),
            currency: "EUR".parse().unwrap(),
            created_at: now,
        };
        self.database.write(move |tx| Box::pin(async move { rating::store::create(tx, &row).await })).await.unwrap();
        rating::store::refresh(&self.database, decks, &rating::Config::default(), now).await.unwrap();
        let file = format!("prefix,name,per_minute,first_secs,next_secs\n420,Czechia,{price}\n1,NANP,{price}\n");
        let sheet = import::read(file.as_bytes(), &import::Format::default()).unwrap();
        let fingerprint = import::dry_run(decks, deck, &sheet, now).unwrap().fingerprint;
        let order = import::Apply { deck, sheet, fingerprint, effective_from: now };
        import::apply(&self.database, decks, &self.clock, &random, order).await.unwrap();
        rating::store::refresh(&self.database, decks, &rating::Config::default(), now).await.unwrap();
    }

    /// Runs a statement on the books, behind everybody's back: how a test makes them fail.
    pub async fn sabotages(&self, statement: &'static str) {
        self.database.write(move |tx| Box::pin(async move { sqlx::query(statement).execute(tx).await.map(drop) })).await.unwrap();
    }

    /// The records so far, oldest first, once there are as many.
    pub async fn records(&self, expected: usize) -> Vec<Record> {
        until("the records of the calls", async || {
            let mut connection = self.database.read().await.unwrap();
            let mut records = cdr::store::list(&mut connection, &cdr::store::Filter::default(), None, 100).await.unwrap();
            records.sort_by_key(|record| record.call);
            (records.len() >= expected).then_some(records)
        })
        .await
    }

    /// The one record, every call being over and the books adding up.
    pub async fn record(&self) -> Record {
        let mut records = self.records(1).await;
        self.is_at_rest().await;
        assert_eq!(records.len(), 1, "one call, one record");
        records.remove(0)
    }

    /// No call is up, no hold is open, the books add up.
    pub async fn is_at_rest(&self) {
        until("the end of all calls", async || (self.calls.count() == 0).then_some(())).await;
        let counts = ledger::verify(&self.database, self.clock.timestamp()).await.unwrap().expect("the books add up");
        assert_eq!(counts.open_holds, 0, "no hold is left open");
    }

    /// Moves the clock on in small steps, and lets the calls do what is due in between: a jump over a whole slice would look to
    /// them like a machine that stood still.
    pub async fn goes_by(&self, secs: u64) {
        const STEP_SECS: u64 = 5;
        let mut left = secs;
        while left > 0 {
            let step = left.min(STEP_SECS);
            self.clock.advance(Duration::from_secs(step));
            left -= step;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Switchboard {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        // A folder that is gone already is fine.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

struct Server {
    runtime: Runtime,
    calls: Handle,
    database: Database,
    sip: SocketAddr,
    trace: Trace,
    trunks: Trunks,
    decks: Decks,
}

/// A server in a runtime of its own.
async fn serve(folder: PathBuf, clock: Clock, plan: Plan, listen: SocketAddr) -> std::io::Result<Server> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let starting = runtime.spawn(async move {
        let random = Random::system();
        let config = sip::Config { listen: vec![listen], ..sip::Config::default() };
        let database = Database::open(&format!("sqlite:{}/books.sqlite", folder.display())).await.unwrap();
        let (trace, tap) = Trace::start(&plan.trace, database.clone(), clock.clone());
        let resolver = sip::Resolver::by_servers(&config.dns, clock.clone());
        let (endpoint, incoming) = Endpoint::start_tapped(config, clock.clone(), random.clone(), resolver, Some(tap)).await?;
        let sip = endpoint.local_addresses()[0];
        let decks = Decks::default();
        rating::store::refresh(&database, &decks, &rating::Config::default(), clock.timestamp()).await.unwrap();
        let trunks = Trunks::load(&database, clock.clone()).await.unwrap();
        let setup = Setup { node: "test".into(), spool: folder.join("spool"), ledger: plan.ledger, callthrough: plan.callthrough.clone() };
        let books = Books::new(database.clone(), decks.clone(), clock.clone(), random.clone(), setup);
        let homes = Homes::new(&plan.media, &[listen.ip()], &[]);
        let media = Engine::new(&plan.media, homes, clock.clone(), random.clone()).unwrap();
        let calls = b2bua::start(Wiring {
            config: plan.calls,
            callthrough: plan.callthrough,
            database: database.clone(),
            books,
            trunks: trunks.clone(),
            media,
            endpoint,
            incoming,
            trace: trace.clone(),
            advertise: vec![],
            clock,
            random,
        })
        .await;
        Ok::<_, std::io::Error>((calls, database, sip, trace, trunks, decks))
    });
    match starting.await.expect("the start does not panic") {
        Ok((calls, database, sip, trace, trunks, decks)) => Ok(Server { runtime, calls, database, sip, trace, trunks, decks }),
        Err(error) => {
            runtime.shutdown_background();
            Err(error)
        }
    }
}

/// A subscriber and the phone in their hand.
pub struct Phone<'b> {
    board: &'b Switchboard,
    id: SubscriberId,
    account: AccountId,
    number: &'static str,
}

impl Phone<'_> {
    /// Asks for a call to `destination`: from now on, the access number means it.
    pub async fn requests(&self, destination: &str) {
        self.reserves(destination, Mode::Pinless).await;
    }

    /// The same for a call that is recognised by the code that comes back.
    pub async fn requests_code(&self, destination: &str) -> String {
        self.reserves(destination, Mode::Code).await.expect("a code")
    }

    async fn reserves(&self, destination: &str, mode: Mode) -> Option<String> {
        let (clock, random) = (self.board.clock.clone(), Random::system());
        let (subscriber, caller, destination) = (self.id, self.number.parse::<E164>().unwrap(), destination.parse().unwrap());
        let number = self.board.access_number();
        self.board
            .database
            .write(move |tx| {
                Box::pin(async move {
                    let candidate = || vec![vec![Candidate { number: &number, mode, rule: Rule::Default }]];
                    let ask = Ask {
                        tenant: callthrough::types::TenantId::MAIN,
                        subscriber,
                        callers: vec![caller],
                        destination,
                        groups: candidate(),
                        fallback: vec![],
                        source: String::new(),
                        nonce: None,
                        places: vec![],
                    };
                    let config = callthrough::callthrough::Config::default();
                    callthrough::callthrough::store::reserve(tx, &config, &ask, &clock, &random).await
                })
            })
            .await
            .unwrap()
            .code
    }

    /// Dials the access number.
    pub async fn dials(&self) -> Party {
        self.board.origin.brings(self.board.sip, self.number, ACCESS, sdp(OFFER), vec![]).await
    }

    /// Asks and dials.
    pub async fn calls(&self, destination: &str) -> Party {
        self.requests(destination).await;
        self.dials().await
    }

    /// What is on the account, holds left aside.
    pub async fn balance(&self) -> String {
        let mut connection = self.board.database.read().await.unwrap();
        ledger::store::get(&mut connection, self.account).await.unwrap().expect("the account").balance.to_string()
    }
}

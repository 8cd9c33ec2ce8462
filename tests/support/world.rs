//! A running server with its prices, its access number, its carriers and its subscribers, all told through the API.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::folder::Folder;
use super::server::{Around, Server};
use super::{eventually, sipp};

/// Our access number.
pub const ACCESS_NUMBER: &str = "+15551230000";
/// Where calls go unless a test wants it otherwise.
pub const DESTINATION: &str = "+15551231234";
/// 0.30 a minute by the second is 5 000 micro-units a second.
pub const PRICE: &str = "0.30";
/// The same in micro-units a second.
pub const MICROS_A_SECOND: i64 = 5_000;

/// What an answer to the API may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection idle for longer is not used again: the server closes it some time.
const IDLE: Duration = Duration::from_secs(3);

/// Speaks to the API, like any machine.
pub struct Api {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    base: String,
    key: String,
}

impl Api {
    /// The API at `http` with a key.
    pub fn new(http: SocketAddr, key: String) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let client = reqwest::Client::builder().timeout(PATIENCE).pool_idle_timeout(IDLE).no_proxy().build().expect("a client");
        Self { runtime, client, base: format!("http://{http}"), key }
    }

    /// Waits for something on this thread.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// The same API for tasks.
    pub fn speaker(&self) -> Speaker {
        Speaker { client: self.client.clone(), base: self.base.clone(), key: self.key.clone() }
    }

    /// Sends a request as built; status and body.
    fn send(&self, request: reqwest::RequestBuilder) -> (u16, String) {
        self.runtime.block_on(async {
            let answer = request.send().await.unwrap_or_else(|error| panic!("the server does not answer: {error:?}"));
            (answer.status().as_u16(), answer.text().await.unwrap_or_else(|error| panic!("the answer broke off: {error:?}")))
        })
    }

    #[track_caller]
    fn told(&self, path: &str, request: reqwest::RequestBuilder) -> Value {
        let (status, text) = self.send(request.bearer_auth(&self.key));
        assert!((200..300).contains(&status), "{path}: {status} {text}");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}")) }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v1{path}", self.base)
    }

    /// GET.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        self.told(path, self.client.get(self.url(path)))
    }

    /// Every item of a list, page after page.
    #[track_caller]
    pub fn list(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mark = if path.contains('?') { '&' } else { '?' };
        let mut after = String::new();
        loop {
            let mut page = self.get(&format!("{path}{mark}limit=500{after}"));
            items.append(page["items"].as_array_mut().unwrap_or_else(|| panic!("{path} is no list")));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return items,
            }
        }
    }

    /// POST with a key of its own.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Value {
        self.told(path, self.client.post(self.url(path)).header("Idempotency-Key", fresh_key()).json(body))
    }

    /// POST with this key, whatever comes of it: the status, whether the answer says when to come back, and the answer.
    pub fn try_post(&self, path: &str, body: &Value, key: &str) -> (u16, bool, String) {
        let request = self.client.post(self.url(path)).bearer_auth(&self.key).header("Idempotency-Key", key).json(body);
        self.runtime.block_on(async {
            let answer = request.send().await.unwrap_or_else(|error| panic!("the server does not answer: {error:?}"));
            let (status, retry) = (answer.status().as_u16(), answer.headers().contains_key("retry-after"));
            (status, retry, answer.text().await.unwrap_or_else(|error| panic!("the answer broke off: {error:?}")))
        })
    }

    /// PATCH.
    #[track_caller]
    pub fn patch(&self, path: &str, body: &Value) -> Value {
        self.told(path, self.client.patch(self.url(path)).json(body))
    }

    /// POST of a table.
    #[track_caller]
    pub fn post_csv(&self, path: &str, csv: &str) -> Value {
        self.told(path, self.client.post(self.url(path)).header("Content-Type", "text/csv").body(csv.to_owned()))
    }
}

/// Speaks to the API from a task.
pub struct Speaker {
    client: reqwest::Client,
    base: String,
    key: String,
}

impl Speaker {
    /// POST with a key of its own.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.client.post(format!("{}/api/v1{path}", self.base)).bearer_auth(&self.key);
        let answer = request.header("Idempotency-Key", fresh_key()).json(body).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("the server does not answer: {error:?}"));
        let status = answer.status();
        let text = answer.text().await.unwrap_or_else(|error| panic!("the answer broke off: {error:?}"));
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
    }
}

impl Speaker {
    /// POST with this key: sent again, it does nothing more. A copy that is under way may be asked to wait (409); then it is.
    pub fn post_with_key(&self, path: &str, body: Value, key: String) -> impl Future<Output = ()> + Send + 'static {
        let request = self.client.post(format!("{}/api/v1{path}", self.base)).bearer_auth(&self.key);
        let request = request.header("Idempotency-Key", key).json(&body);
        async move {
            loop {
                let answer = request.try_clone().expect("a plain body").send().await;
                let answer = answer.unwrap_or_else(|error| panic!("the server does not answer: {error:?}"));
                let status = answer.status().as_u16();
                if status == 409 {
                    tokio::task::yield_now().await;
                    continue;
                }
                assert!((200..300).contains(&status), "{status} {}", answer.text().await.unwrap_or_default());
                return;
            }
        }
    }
}

fn fresh_key() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("test-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A subscriber's phone.
#[derive(Debug, Clone)]
pub struct Phone {
    /// The subscriber.
    pub subscriber: String,
    /// The account that pays.
    pub account: String,
    /// What the phone calls itself.
    pub user: String,
    /// Its secret.
    pub token: String,
    /// Its verified number.
    pub number: String,
}

/// A server with everything a call needs, and the folder of its test.
pub struct World {
    /// The API.
    pub api: Api,
    /// The server.
    pub server: Server,
    /// Where its carrier stands; calls come from here.
    pub carrier: SocketAddr,
    /// Traces and files; last, so that it goes last.
    pub folder: Folder,
}

impl World {
    /// A server with a deck, an access number and the carrier that brings its calls.
    pub fn new() -> Self {
        Self::with("")
    }

    /// The same with settings of its own: TOML tables.
    pub fn with(settings: &str) -> Self {
        Self::with_around(Folder::new(), settings, Around::default())
    }

    /// The same in a folder that is there, with something around the server.
    pub fn with_around(folder: Folder, settings: &str, around: Around) -> Self {
        let server = Server::start_in(&folder, settings, around);
        let api = Api::new(server.http, server.key());
        let carrier = sipp::free_address(sipp::CARRIER);
        let world = Self { api, server, carrier, folder };
        world.deck(PRICE, 1, 1);
        world.api.post("/access-numbers", &json!({ "number": ACCESS_NUMBER, "country": "US" }));
        world.trunk("carrier", &json!({ "addresses": [carrier.to_string()] }));
        world
    }

    /// A tariff for the whole world.
    pub fn deck(&self, price: &str, first_secs: u32, next_secs: u32) -> String {
        let deck = self.api.post("/decks", &json!({ "name": format!("Deck {price} {first_secs} {next_secs}"), "currency": "EUR" }));
        let mut csv = "prefix,name,per_minute,first_secs,next_secs\n".to_owned();
        for prefix in 1..=9 {
            csv.push_str(&format!("{prefix},Zone {prefix},{price},{first_secs},{next_secs}\n"));
        }
        let id = text(&deck, "id");
        let tried = self.api.post_csv(&format!("/decks/{id}/import"), &csv);
        let fingerprint = text(&tried["report"], "fingerprint");
        self.api.post_csv(&format!("/decks/{id}/import?fingerprint={fingerprint}"), &csv);
        id
    }

    /// A trunk with these settings.
    pub fn trunk(&self, name: &str, settings: &Value) -> String {
        let mut trunk = json!({ "name": name });
        if let (Value::Object(trunk), Value::Object(settings)) = (&mut trunk, settings) {
            trunk.extend(settings.clone());
        }
        text(&self.api.post("/trunks", &trunk), "id")
    }

    /// A trunk that takes calls onward to `address`; lower priority is tried first.
    pub fn trunk_out(&self, name: &str, address: SocketAddr, priority: u32) -> String {
        let address = address.to_string();
        // SIPp takes each OPTIONS for a call that went wrong.
        self.trunk(name, &json!({ "addresses": [address], "target": address, "priority": priority, "options_secs": 0 }))
    }

    /// A subscriber with this verified number and credit.
    pub fn phone(&self, number: &str, credit: &str) -> Phone {
        self.phone_with(number, credit, &json!({}))
    }

    /// The same with settings of their own.
    pub fn phone_with(&self, number: &str, credit: &str, settings: &Value) -> Phone {
        let mut all = json!({ "currency": "EUR" });
        if let (Value::Object(all), Value::Object(settings)) = (&mut all, settings) {
            all.extend(settings.clone());
        }
        let phone = self.subscriber(number, &all);
        if credit != "0" {
            self.top_up(&phone.account, credit);
        }
        phone
    }

    /// A subscriber whose calls another account pays.
    pub fn phone_on(&self, account: &str, number: &str) -> Phone {
        self.subscriber(number, &json!({ "account_id": account }))
    }

    fn subscriber(&self, number: &str, settings: &Value) -> Phone {
        let user = format!("user{}", number.trim_start_matches('+'));
        let mut subscriber = json!({ "name": user, "home_country": "US", "identities": [user], "numbers": [number] });
        if let (Value::Object(subscriber), Value::Object(settings)) = (&mut subscriber, settings) {
            subscriber.extend(settings.clone());
        }
        let made = self.api.post("/subscribers", &subscriber);
        let (id, account) = (text(&made, "id"), text(&made, "account_id"));
        let credential = self.api.post(&format!("/subscribers/{id}/credentials"), &json!({ "kind": "token" }));
        Phone { subscriber: id, account, user, token: text(&credential, "secret"), number: number.to_owned() }
    }

    /// Puts money on an account.
    pub fn top_up(&self, account: &str, credit: &str) {
        let amount = json!({ "amount": credit, "currency": "EUR" });
        self.api.post(&format!("/accounts/{account}/top_up"), &json!({ "amount": amount, "payment": "test" }));
    }

    /// Changes a subscriber.
    pub fn change(&self, phone: &Phone, changes: &Value) {
        self.api.patch(&format!("/subscribers/{}", phone.subscriber), changes);
    }

    /// The phone asks to call `destination`: the digits it is told to dial.
    #[track_caller]
    pub fn asks(&self, phone: &Phone, destination: &str) -> String {
        let (status, answer) = self.requests(phone, destination);
        assert_eq!(status, 200, "{answer}");
        let dial_string = answer.split("<dialString>").nth(1).and_then(|rest| rest.split('<').next());
        dial_string.unwrap_or_else(|| panic!("no dial string in {answer}")).to_owned()
    }

    /// The phone asks; status and body of the answer.
    pub fn requests(&self, phone: &Phone, destination: &str) -> (u16, String) {
        let form = [("username", phone.user.as_str()), ("password", phone.token.as_str()), ("targetNumber", destination)];
        self.api.send(self.api.client.post(format!("{}/callthrough", self.api.base)).form(&form))
    }

    /// A call of `phone` for `dialled`, as the carrier brings it.
    pub fn calls(&self, scenario: &str, phone: &Phone, dialled: &str) -> sipp::Script {
        sipp::Script::caller(scenario, self.carrier, self.server.sip, &phone.number, dialled)
    }

    /// The records so far.
    pub fn records(&self) -> Vec<Value> {
        self.api.list("/cdrs")
    }

    /// The one record there is; waits until it is written.
    #[track_caller]
    pub fn record(&self) -> Value {
        let records = self.records_once(1);
        assert_eq!(records.len(), 1, "{records:#?}");
        records.into_iter().next().expect("one")
    }

    /// The records, once there are `count` of them.
    #[track_caller]
    pub fn records_once(&self, count: usize) -> Vec<Value> {
        /// A record is written when both sides are done; SIPp may be done earlier.
        const WRITTEN: Duration = Duration::from_secs(15);
        let found = eventually(WRITTEN, || Some(self.records()).filter(|records| records.len() >= count));
        found.unwrap_or_else(|| panic!("there are not {count} records: {:#?}\n{}", self.records(), self.server.shown()))
    }

    /// What is on an account.
    pub fn account(&self, account: &str) -> Account {
        let shape = self.api.get(&format!("/accounts/{account}"));
        Account { balance: micros(&shape["balance"]), held: micros(&shape["held"]) }
    }

    /// The end of every story: the books are clean and no money is set aside for a call that is over.
    #[track_caller]
    pub fn is_at_rest(&self) {
        let calls = eventually(Duration::from_secs(15), || Some(self.api.list("/calls")).filter(Vec::is_empty));
        assert!(calls.is_some(), "calls are still up: {:#?}", self.api.list("/calls"));
        assert_eq!(self.open_holds(), 0, "money is still set aside");
        self.server.books_are_clean();
    }

    /// Holds that nobody settled or released.
    pub fn open_holds(&self) -> i64 {
        self.count("select count(*) from hold where resolved_at_us is null")
    }

    /// A question to the database behind the server's back.
    pub fn count(&self, question: &'static str) -> i64 {
        self.server.count(&self.api.runtime, question, 0)
    }

    /// The same, about a number: `$1` in the question.
    pub fn count_of(&self, question: &'static str, about: i64) -> i64 {
        self.server.count(&self.api.runtime, question, about)
    }
}

/// An account's money in micro-units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// What was paid in less what was charged.
    pub balance: i64,
    /// What is set aside.
    pub held: i64,
}

/// `{"amount":"1.25","currency":"EUR"}` in micro-units.
pub fn micros(money: &Value) -> i64 {
    let amount = money["amount"].as_str().unwrap_or_else(|| panic!("{money} is no money"));
    let (sign, digits) = amount.strip_prefix('-').map_or((1, amount), |digits| (-1, digits));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let read = |text: &str| text.parse::<i64>().unwrap_or_else(|error| panic!("{amount}: {error}"));
    sign * (read(whole) * 1_000_000 + read(&format!("{part:0<6}")))
}

/// A field that must be there.
#[track_caller]
pub fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}")).to_owned()
}

//! The night watch on a clock that is moved by hand: what is past its time is marked, and later forgotten.

use std::time::Duration;

use callthrough::app::{self, Running};
use callthrough::config::Config;
use callthrough::people::key;
use callthrough::types::{Clock, Random, Timestamp};
use serde_json::{Value, json};

use super::support::eventually;
use super::support::folder::Folder;
use super::support::world::Api;

const PATIENCE: Duration = Duration::from_secs(10);

async fn start(folder: &Folder, clock: &Clock) -> (Running, String) {
    let mut config = Config { data_dir: folder.file("data"), ..Config::default() };
    config.http.listen.set_port(0);
    config.sip.listen[0].set_port(0);
    let running = app::start_with(config, clock.clone(), Random::system()).await.unwrap();
    let (_, secret) = key::create(&running.database, clock, &Random::system(), "test").await.unwrap();
    (running, secret.expose().to_owned())
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}")).to_owned()
}

/// Somebody with a token, and all that a request needs.
fn provision(api: &Api) -> (String, String) {
    let deck = text(&api.post("/decks", &json!({ "name": "all", "currency": "EUR" })), "id");
    let csv = "prefix,per_minute\n1,0.01\n";
    let report = api.post_csv(&format!("/decks/{deck}/import"), csv);
    api.post_csv(&format!("/decks/{deck}/import?fingerprint={}", text(&report["report"], "fingerprint")), csv);
    api.post("/access-numbers", &json!({ "number": "+15551230000", "country": "US" }));
    api.post("/trunks", &json!({ "name": "out", "addresses": ["127.0.0.1:9"], "target": "127.0.0.1:9" }));
    let subscriber = api.post(
        "/subscribers",
        &json!({ "name": "Jo", "home_country": "US", "currency": "EUR", "identities": ["jo"], "numbers": ["+15551230099"] }),
    );
    let (id, account) = (text(&subscriber, "id"), text(&subscriber, "account_id"));
    let credit = json!({ "amount": { "amount": "1.00", "currency": "EUR" }, "payment": "cash" });
    api.post(&format!("/accounts/{account}/top_up"), &credit);
    let credential = api.post(&format!("/subscribers/{id}/credentials"), &json!({ "kind": "token" }));
    (id, text(&credential, "secret"))
}

#[test]
fn a_reservation_expires_after_its_grace_and_is_forgotten_a_day_later() {
    let folder = Folder::new();
    let clock = Clock::manual(Timestamp::parse("2030-01-02T03:04:05Z").unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (running, key) = runtime.block_on(start(&folder, &clock));
    let api = Api::new(running.http_addr, key);
    let (subscriber, token) = provision(&api);
    let asked = format!("http://{}/callthrough?u=jo&p={token}&to=%2B15551231234", running.http_addr);
    let answer =
        api.block_on(async { reqwest::Client::builder().no_proxy().build().unwrap().get(asked).send().await.unwrap().text().await });
    assert!(answer.as_ref().is_ok_and(|answer| answer.contains("<dialString>+15551230000</dialString>")), "{answer:?}");

    let list = format!("/reservations?subscriber_id={subscriber}");
    assert_eq!(api.list(&list)[0]["state"], "pending");
    // A life of 60 s and a grace of 10 s.
    clock.advance(Duration::from_secs(71));
    assert!(eventually(PATIENCE, || (api.list(&list)[0]["state"] == "expired").then_some(())).is_some(), "{:?}", api.list(&list));
    clock.advance(Duration::from_secs(25 * 3600));
    assert!(eventually(PATIENCE, || api.list(&list).is_empty().then_some(())).is_some(), "{:?}", api.list(&list));
    runtime.block_on(running.stop());
}

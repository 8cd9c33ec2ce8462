//! Who gets in and what each may do: the first owner, passwords, second factors, invitations, keys, and how often one may try.

use std::collections::BTreeSet;
use std::time::Duration;

use callthrough::database::Kind;
use callthrough::http::Gate;
use callthrough::people::{invitation, totp};
use callthrough::types::{Random, Secret};
use serde_json::{Value, json};

use crate::support::door::{Answer, Door};

const PASSWORD: &str = "staple the blue door";

/// A browser: it keeps its cookie and the token of its pages.
struct Browser<'d> {
    door: &'d Door,
    cookie: String,
    csrf: String,
}

impl<'d> Browser<'d> {
    fn new(door: &'d Door) -> Self {
        Self { door, cookie: "other=1".to_owned(), csrf: String::new() }
    }

    async fn send(&mut self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let cookie = self.cookie.clone();
        let csrf = self.csrf.clone();
        let answer = self.door.send(method, path, &[("cookie", &cookie), ("x-csrf-token", &csrf)], body).await;
        let set = answer.headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok());
        if let Some(set) = set.into_iter().find(|set| set.starts_with("callthrough=")) {
            self.cookie = set.split(';').next().unwrap().to_owned();
        }
        if let Some(csrf) = answer.body["csrf"].as_str() {
            self.csrf = csrf.to_owned();
        }
        answer
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    async fn post(&mut self, path: &str, body: Value) -> Answer {
        self.send("POST", path, Some(&body)).await
    }

    async fn signs_in(&mut self, login: &str, password: &str) -> Answer {
        self.post("/session", json!({ "login": login, "password": password })).await
    }
}

/// The one-time link of a server nobody can sign in to.
async fn welcome(door: &Door) -> Option<Secret> {
    let (clock, random) = (door.state.clock.clone(), door.state.random.clone());
    let made = door.state.database.write(move |tx| Box::pin(async move { invitation::welcome(tx, &clock, &random).await }));
    made.await.unwrap()
}

async fn owner(door: &Door) -> Browser<'_> {
    let link = welcome(door).await.expect("nobody is there yet");
    let mut owner = Browser::new(door);
    let chosen = json!({ "login": "Ann@Example.com", "name": "Ann", "password": PASSWORD });
    let accepted = owner.post(&format!("/invitations/{}", link.expose()), chosen).await;
    assert_eq!(accepted.status, 200, "{}", accepted.text);
    owner
}

fn code(secret: &str, door: &Door) -> String {
    totp::current(&Secret::new(secret), door.state.clock.timestamp()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_owner_comes_by_a_link_that_works_once() {
    the_first_owner(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_owner_comes_by_a_link_on_postgresql_too() {
    the_first_owner(Kind::Postgres).await;
}

async fn the_first_owner(kind: Kind) {
    let door = Door::on(kind).await;
    let first = welcome(&door).await.unwrap();
    let second = welcome(&door).await.unwrap();
    let mut anybody = Browser::new(&door);
    assert_eq!(anybody.get(&format!("/invitations/{}", first.expose())).await.status, 404, "a new start kills the old link");
    let path = format!("/invitations/{}", second.expose());
    let told = anybody.get(&path).await;
    assert_eq!((&told.body["makes"], &told.body["login"]), (&json!("owner"), &Value::Null));
    let weak = anybody.post(&path, json!({ "login": "ann@example.com", "password": "short" })).await;
    assert_eq!((weak.status, weak.body["field"].as_str()), (422, Some("password")));
    let accepted = anybody.post(&path, json!({ "login": "Ann@Example.com", "name": "Ann", "password": PASSWORD })).await;
    assert_eq!(accepted.status, 200, "{}", accepted.text);
    assert_eq!((&accepted.body["person"]["login"], &accepted.body["person"]["role"]), (&json!("ann@example.com"), &json!("owner")));
    let cookie = accepted.header("set-cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && cookie.contains("Path=/;"), "{cookie}");
    assert_eq!(anybody.get("/session").await.body["person"]["name"], "Ann");
    assert_eq!(Browser::new(&door).get(&path).await.status, 404, "used up");
    assert!(welcome(&door).await.is_none(), "there is an owner now");
    let log = anybody.get("/audit").await;
    // The clock stands still, so lines of one moment have no order.
    let actions: BTreeSet<_> = log.body["items"].as_array().unwrap().iter().map(|line| line["action"].as_str().unwrap()).collect();
    assert_eq!(actions, BTreeSet::from(["person.accept", "session.begin"]));
    assert!(!log.text.contains(PASSWORD) && !log.text.contains("argon2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_too_old_after_a_day() {
    let door = Door::open().await;
    let link = welcome(&door).await.unwrap();
    door.state.clock.advance(Duration::from_secs(24 * 3600));
    let late = Browser::new(&door).post(&format!("/invitations/{}", link.expose()), json!({ "login": "ann", "password": PASSWORD })).await;
    assert_eq!((late.status, late.code()), (404, "not_found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_alone_changes_nothing() {
    let door = Door::open().await;
    let mut ann = owner(&door).await;
    let csrf = std::mem::take(&mut ann.csrf);
    let body = json!({ "slug": "north", "name": "North" });
    for forged in ["", "forged", &csrf.to_uppercase()] {
        ann.csrf = forged.to_owned();
        let refused = ann.post("/tenants", body.clone()).await;
        assert_eq!((refused.status, refused.code()), (403, "csrf"), "{forged}");
    }
    ann.csrf = csrf;
    assert_eq!(ann.post("/tenants", body).await.status, 201);
    let mut nobody = Browser::new(&door);
    nobody.cookie = format!("callthrough={}", "x".repeat(27));
    assert_eq!(nobody.get("/session").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_wrong_and_switched_off_are_told_alike_and_wait_longer_each_time() {
    let door = Door::open().await;
    let mut ann = owner(&door).await;
    let made = ann.post("/people", json!({ "login": "bob", "name": "Bob", "role": "support" })).await;
    let bob = made.body["id"].as_str().unwrap().to_owned();
    let link = made.body["invitation"]["token"].as_str().unwrap().to_owned();
    let mut his = Browser::new(&door);
    assert_eq!(his.post(&format!("/invitations/{link}"), json!({ "password": PASSWORD })).await.status, 200);
    assert_eq!(his.get("/session").await.status, 200);
    assert_eq!(ann.send("PATCH", &format!("/people/{bob}"), Some(&json!({ "enabled": false }))).await.status, 200);
    assert_eq!(his.get("/session").await.status, 401, "whoever is switched off is out at once");

    let mut told = Vec::new();
    for (login, password) in [("nobody", PASSWORD), ("ann@example.com", "wrong horse battery"), ("bob", PASSWORD)] {
        let refused = Browser::new(&door).signs_in(login, password).await;
        told.push((refused.status, refused.text));
    }
    let elsewhere = json!({ "tenant": "nowhere", "login": "ann@example.com", "password": PASSWORD });
    let refused = Browser::new(&door).post("/session", elsewhere).await;
    told.push((refused.status, refused.text));
    assert!(told[0].0 == 401 && told.iter().all(|one| *one == told[0]), "{told:?}");

    // Free tries, then a wait that doubles, then the right password is in again.
    let mut waits = Vec::new();
    for _ in 0..8 {
        let refused = Browser::new(&door).signs_in("carol", "wrong horse battery").await;
        if refused.status == 429 {
            let wait: u64 = refused.header("retry-after").parse().unwrap();
            waits.push(wait);
            door.state.clock.advance(Duration::from_secs(wait));
            Browser::new(&door).signs_in("carol", "wrong horse battery").await;
        }
    }
    assert!(waits.len() >= 2 && waits.windows(2).all(|pair| pair[1] > pair[0]), "{waits:?}");
    assert_eq!(Browser::new(&door).signs_in("ann@example.com", PASSWORD).await.status, 201, "nobody else is locked out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_factor_is_asked_for_and_each_code_lets_in_once() {
    let door = Door::open().await;
    let mut ann = owner(&door).await;
    let offer = ann.post("/session/totp", json!({})).await;
    let secret = offer.body["secret"].as_str().unwrap().to_owned();
    assert!(offer.body["address"].as_str().unwrap().starts_with("otpauth://totp/callthrough:ann%40example%2Ecom?secret="));
    assert!(offer.body["svg"].as_str().unwrap().contains("<svg"));
    assert_eq!(ann.post("/session/totp/confirm", json!({ "code": "000000" })).await.code(), "code_wrong");
    assert_eq!(Browser::new(&door).signs_in("ann@example.com", PASSWORD).await.status, 201, "an offer is not yet a second factor");
    let codes = ann.post("/session/totp/confirm", json!({ "code": code(&secret, &door) })).await;
    let recovery: Vec<String> = serde_json::from_value(codes.body["recovery_codes"].clone()).unwrap();
    assert_eq!(recovery.len(), 10);

    let door = &door;
    let try_with = async |given: &str| {
        let body = json!({ "login": "ann@example.com", "password": PASSWORD, "code": given });
        let answer = Browser::new(door).post("/session", body).await;
        (answer.status, answer.code().to_owned())
    };
    assert_eq!(Browser::new(door).signs_in("ann@example.com", PASSWORD).await.code(), "code_needed");
    let used = code(&secret, door);
    assert_eq!(try_with(&used).await, (401, "code_wrong".to_owned()), "the code that confirmed is used");
    door.state.clock.advance(Duration::from_secs(30));
    let fresh = code(&secret, door);
    assert_eq!(try_with(&fresh).await.0, 201);
    assert_eq!(try_with(&fresh).await, (401, "code_wrong".to_owned()));
    assert_eq!(try_with(&recovery[3].to_uppercase()).await.0, 201);
    assert_eq!(try_with(&recovery[3]).await, (401, "code_wrong".to_owned()), "a recovery code too");

    // The secret is sealed in the books, and the log knows neither it nor a code.
    let mut connection = door.state.database.read().await.unwrap();
    let kept: String = sqlx::query_scalar("select totp from person where totp is not null").fetch_one(&mut *connection).await.unwrap();
    assert!(!kept.contains(&secret));
    drop(connection);
    let log = ann.get("/audit?limit=500").await.text;
    assert!(!log.contains(&secret) && !log.contains(&recovery[0]) && log.contains("person.totp_confirm"));

    assert_eq!(ann.send("DELETE", "/session/totp", None).await.status, 204);
    assert_eq!(Browser::new(door).signs_in("ann@example.com", PASSWORD).await.status, 201);
    assert_eq!(ann.send("DELETE", "/session/totp", None).await.status, 409, "there is none to remove");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_ends_and_money_wants_the_password_fresh() {
    let door = Door::open().await;
    let mut ann = owner(&door).await;
    let account = ann.post("/accounts", json!({ "currency": "EUR" })).await.body["id"].as_str().unwrap().to_owned();
    let limit = json!({ "credit_limit": { "amount": "5.00", "currency": "EUR" } });
    let path = format!("/accounts/{account}");
    assert_eq!(ann.send("PATCH", &path, Some(&limit)).await.status, 200);
    door.state.clock.advance(Duration::from_secs(15 * 60));
    let stale = ann.send("PATCH", &path, Some(&limit)).await;
    assert_eq!((stale.status, stale.code()), (403, "confirm_needed"));
    assert_eq!(ann.get(&path).await.status, 200, "looking is fine");
    assert_eq!(ann.post("/session/confirm", json!({ "password": "wrong horse battery" })).await.status, 401);
    assert_eq!(ann.post("/session/confirm", json!({ "password": PASSWORD })).await.status, 200);
    assert_eq!(ann.send("PATCH", &path, Some(&limit)).await.status, 200);

    let mut other = Browser::new(&door);
    assert_eq!(other.signs_in("ann@example.com", PASSWORD).await.status, 201);
    let change = json!({ "password": PASSWORD, "new_password": "the window is open" });
    assert_eq!(ann.post("/session/password", change).await.status, 204);
    assert_eq!(other.get("/session").await.status, 401, "another password ends the other sign-ins");
    assert_eq!(ann.get("/session").await.status, 200);
    let before = ann.cookie.clone();
    assert_eq!(ann.signs_in("ann@example.com", "the window is open").await.status, 201);
    assert_ne!(ann.cookie, before);
    other.cookie = before;
    assert_eq!(other.get("/session").await.status, 401, "signing in again ends the sign-in before");
    door.state.clock.advance(Duration::from_secs(3600));
    assert_eq!(ann.get("/session").await.status, 401, "an hour without a request");
    ann.signs_in("ann@example.com", "the window is open").await;
    for _ in 0..24 {
        door.state.clock.advance(Duration::from_secs(1790));
        assert_eq!(ann.get("/session").await.status, 200);
    }
    door.state.clock.advance(Duration::from_secs(300));
    assert_eq!(ann.get("/session").await.status, 401, "twelve hours");
    ann.signs_in("ann@example.com", "the window is open").await;
    assert_eq!(ann.send("DELETE", "/session", None).await.status, 204);
    assert_eq!(ann.get("/session").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_grants_more_than_they_have_and_an_owner_stays() {
    let door = Door::open().await;
    let mut ann = owner(&door).await;
    let me = ann.get("/session").await.body["person"]["id"].as_str().unwrap().to_owned();
    for change in [json!({ "role": "billing" }), json!({ "enabled": false })] {
        let refused = ann.send("PATCH", &format!("/people/{me}"), Some(&change)).await;
        assert_eq!((refused.status, refused.code()), (409, "conflict"), "{change}");
    }
    assert_eq!(ann.send("DELETE", &format!("/people/{me}"), None).await.status, 409);

    // A key with two scopes makes neither an owner nor a key with more, nor touches those who may more.
    let narrow = ann.post("/keys", json!({ "name": "narrow", "scopes": ["read", "people"] })).await;
    let bearer = format!("Bearer {}", narrow.body["key"].as_str().unwrap());
    let door = &door;
    let by_key = async |method: &str, path: &str, body: Option<&Value>| door.send(method, path, &[("authorization", &bearer)], body).await;
    let owner = json!({ "login": "eve", "name": "Eve", "role": "owner" });
    assert_eq!(by_key("POST", "/people", Some(&owner)).await.code(), "not_allowed");
    assert_eq!(by_key("POST", "/keys", Some(&json!({ "name": "more", "scopes": ["money"] }))).await.code(), "not_allowed");
    assert_eq!(by_key("POST", &format!("/people/{me}/invite"), None).await.code(), "not_allowed");
    assert_eq!(by_key("DELETE", &format!("/people/{me}/totp"), None).await.code(), "not_allowed");
    assert_eq!(by_key("POST", "/subscribers", Some(&json!({}))).await.code(), "not_allowed");
    assert_eq!(by_key("GET", "/audit", None).await.code(), "not_allowed");
    let looks = json!({ "login": "dan", "name": "Dan", "role": "read_only" });
    assert_eq!(by_key("POST", "/people", Some(&looks)).await.status, 201);
    assert_eq!(by_key("POST", "/people", Some(&looks)).await.code(), "conflict");

    // A key of a tenant sees its tenant only, and nothing of the operator's.
    let tenant = ann.post("/tenants", json!({ "slug": "north", "name": "North" })).await.body["id"].as_str().unwrap().to_owned();
    let everything = json!(callthrough::people::Scope::ALL);
    let made = door
        .send(
            "POST",
            "/keys",
            &[("callthrough-tenant", &tenant)],
            Some(&json!({ "name": "north", "scopes": everything, "operator": false })),
        )
        .await;
    assert_eq!((made.status, &made.body["tenant"]), (201, &json!(tenant)));
    let bearer = format!("Bearer {}", made.body["key"].as_str().unwrap());
    let theirs = async |method: &str, path: &str, body: Option<&Value>| door.send(method, path, &[("authorization", &bearer)], body).await;
    for (path, status) in [("/trunks", 403), ("/people?operator=true", 403), ("/keys?operator=true", 403), ("/people", 200)] {
        assert_eq!(theirs("GET", path, None).await.status, status, "{path}");
    }
    assert_eq!(theirs("GET", &format!("/people/{me}"), None).await.status, 404);
    assert_eq!(theirs("GET", "/tenants", None).await.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(theirs("POST", "/tenants", Some(&json!({ "slug": "own", "name": "Own" }))).await.status, 403);
    assert_eq!(theirs("POST", "/keys", Some(&json!({ "name": "up", "scopes": ["read"], "operator": true }))).await.status, 403);
    let elsewhere = [("authorization", bearer.as_str()), ("callthrough-tenant", "ten_00000000000000000000000000")];
    assert_eq!(door.send("GET", "/subscribers", &elsewhere, None).await.status, 404);

    // The same name in the tenant is somebody else, who signs in there.
    let north = [("callthrough-tenant", tenant.as_str())];
    let hers = json!({ "login": "ann@example.com", "name": "Another Ann", "role": "owner", "operator": false });
    let made = door.send("POST", "/people", &north, Some(&hers)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let link = made.body["invitation"]["token"].as_str().unwrap();
    let mut another = Browser::new(door);
    let accepted = another.post(&format!("/invitations/{link}"), json!({ "password": "the window is open" })).await;
    assert_eq!(accepted.body["tenant"], json!(tenant));
    assert_eq!(Browser::new(door).signs_in("ann@example.com", "the window is open").await.status, 401);
    let body = json!({ "tenant": "north", "login": "ann@example.com", "password": "the window is open" });
    assert_eq!(Browser::new(door).post("/session", body).await.status, 201);
    assert_eq!(ann.send("PATCH", &format!("/tenants/{tenant}"), Some(&json!({ "enabled": false }))).await.status, 200);
    assert_eq!(another.get("/session").await.status, 401, "a tenant that is switched off takes its people along");
    assert_eq!(theirs("GET", "/subscribers", None).await.status, 401, "and its keys");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_ends_by_its_time_and_by_being_taken_back() {
    let door = Door::open().await;
    let body = json!({ "name": "shop", "scopes": ["read"], "expires_at": "2026-03-01T13:00:00Z" });
    let made = door.post("/keys", &body).await;
    let bearer = format!("Bearer {}", made.body["key"].as_str().unwrap());
    let by_key = async || door.send("GET", "/subscribers", &[("authorization", &bearer)], None).await.status;
    assert_eq!(by_key().await, 200);
    door.state.clock.advance(Duration::from_secs(3600));
    assert_eq!(by_key().await, 401);
    let path = format!("/keys/{}", made.body["id"].as_str().unwrap());
    assert_eq!(door.send("PATCH", &path, &[], Some(&json!({ "expires_at": null }))).await.status, 200);
    assert_eq!(by_key().await, 200);
    assert_eq!(door.send("DELETE", &path, &[], None).await.status, 204);
    assert_eq!(by_key().await, 401);
    assert!(door.get(&path).await.body["revoked_at"].is_string());
    assert_eq!(door.send("PATCH", &path, &[], Some(&json!({ "name": "again" }))).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_says_how_many_requests_are_left() {
    let books = Door::open().await;
    let mut state = books.state.clone();
    let (clock, random) = (state.clock.clone(), Random::system());
    state.gate = Gate::new(&clock, &random, &callthrough::subscriber::credential::Config::default(), 3, Vec::new());
    let door = Door::of(state).await;
    let left: Vec<String> = [door.get("/subscribers").await, door.get("/nothing").await, door.get("/subscribers").await]
        .iter()
        .map(|answer| format!("{} {}", answer.header("ratelimit-policy"), answer.header("ratelimit")))
        .collect();
    assert_eq!(left[0], "\"default\";q=3;w=60 \"default\";r=2;t=60");
    assert!(left[2].contains("r=0"), "{left:?}");
    let refused = door.get("/subscribers").await;
    assert_eq!((refused.status, refused.code(), refused.header("retry-after")), (429, "too_fast", "20"));
    door.state.clock.advance(Duration::from_secs(20));
    assert_eq!(door.get("/subscribers").await.status, 200);
}

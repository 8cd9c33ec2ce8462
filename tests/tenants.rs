//! Two tenants of one operator, strictly apart: whatever one asks with the other's identifiers is answered exactly as if nothing of
//! that name existed.

use std::collections::BTreeSet;

use callthrough::database::Kind;
use serde_json::{Value, json};

use crate::openapi::{Operation, description, furnished, operations, resolve};
use crate::support::door::{Answer, Door};
use crate::support::switchboard::{ALICE, PRAGUE, Switchboard};
use crate::support::until;

/// What every identifier of the furnished books begins with after its kind.
pub const THEIRS: &str = "01jb3k5m7n9p0q1r2s3t4v5w";
/// Identifiers of theirs that are no ids, and unknown ones of the same make.
const PLAIN: [(&str, &str); 4] = [
    ("+15551230000", "+15551239999"),
    ("+420601123456", "+420601129999"),
    ("/alice", "/nobody"),
    ("ten_00000000000000000000000000", "ten_01jb3k5m7n9p0q1r2s3t4v5w6y"),
];
/// What else would tell of them.
pub const WORDS: [&str; 4] = ["Alice", "+420601123456", "+15551230000", "bob@example.com"];

/// One request, as it is sent.
#[derive(Debug, Clone, PartialEq)]
struct Request {
    operation: String,
    method: &'static str,
    address: String,
    headers: Vec<(String, String)>,
    body: Option<Value>,
}

impl Request {
    /// The good example of an operation.
    fn of(description: &Value, operation: &Operation<'_>) -> Self {
        let example = |holder: &Value| holder["examples"].get("good").map(|example| example["value"].clone());
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let (mut address, mut query, mut headers) = (operation.path.to_owned(), Vec::new(), Vec::new());
        for parameter in &operation.parameters {
            let name = parameter["name"].as_str().unwrap();
            match (parameter["in"].as_str().unwrap(), example(parameter)) {
                ("path", value) => address = address.replace(&format!("{{{name}}}"), &text(value.expect("paths have examples"))),
                ("query", Some(value)) if name != "limit" => query.push((name.to_owned(), text(value))),
                // Whatever may be asked of one subscriber, deck or call is asked so.
                ("query", None) => {
                    let pattern = resolve(description, &parameter["schema"])["pattern"].as_str().unwrap_or_default();
                    if let Some((kind, _)) =
                        pattern.strip_prefix('^').and_then(|rest| rest.split_once("_[0-7]")).filter(|_| name != "after")
                    {
                        query.push((name.to_owned(), format!("{kind}_{THEIRS}6x")));
                    }
                }
                ("header", Some(value)) => headers.push((name.to_owned(), text(value))),
                _ => {}
            }
        }
        if !query.is_empty() {
            address = format!("{address}?{}", serde_urlencoded::to_string(query).unwrap());
        }
        let content = operation.shape.get("requestBody").and_then(|body| body["content"].as_object()?.iter().next());
        let body = content.and_then(|(kind, content)| {
            if kind != "application/json" {
                headers.push(("content-type".to_owned(), kind.clone()));
            }
            example(content)
        });
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("callthrough-tenant"));
        Self { operation: operation.id.to_owned(), method: operation.method, address, headers, body }
    }

    /// The same about things that never were.
    fn about_nothing(&self) -> Self {
        let address = nobodys(&self.address);
        let body = self.body.as_ref().map(|body| serde_json::from_str(&unknown(&body.to_string())).unwrap());
        Self { address, body, ..self.clone() }
    }

    async fn send(&self, door: &Door, more: &[(&str, &str)]) -> Answer {
        let key = door.state.random.alphanumeric(20);
        let own = self.headers.iter().map(|(name, value)| {
            let fresh = name.eq_ignore_ascii_case("idempotency-key");
            (name.as_str(), if fresh { key.as_str() } else { value.as_str() })
        });
        let headers: Vec<_> = own.chain(more.iter().copied()).collect();
        door.send(&self.method.to_uppercase(), &self.address, &headers, self.body.as_ref()).await
    }
}

/// Ids of theirs become ids of nobody.
fn unknown(text: &str) -> String {
    text.replace(&format!("{THEIRS}6x"), &format!("{THEIRS}6y")).replace(&format!("{THEIRS}7x"), &format!("{THEIRS}7y"))
}

/// Whatever identifies a thing of theirs becomes what identifies nothing.
pub fn nobodys(text: &str) -> String {
    PLAIN.iter().fold(unknown(text), |text, (theirs, nobodys)| {
        text.replace(&theirs.replace('+', "%2B"), &nobodys.replace('+', "%2B")).replace(theirs, nobodys)
    })
}

/// The operations that are about somebody's books; a sign-in and a one-time link are nobody's but their holder's.
fn requests(description: &Value) -> Vec<Request> {
    let ours = operations(description).into_iter().filter(|operation| {
        let security = operation.shape["security"].as_array();
        security.is_none_or(|ways| ways.iter().any(|way| way["key"].is_array()))
    });
    ours.map(|operation| Request::of(description, &operation)).collect()
}

/// Books with everything in the main tenant, and the id of another one.
pub async fn two(kind: Kind) -> (Door, String) {
    let door = furnished(kind).await;
    // What the examples take for the operator's own is the main tenant's here.
    let moved = door.state.database.write(|tx| {
        Box::pin(async move {
            sqlx::query("update person set tenant_id = 'ten_00000000000000000000000000'").execute(&mut *tx).await?;
            sqlx::query("update api_key set tenant_id = 'ten_00000000000000000000000000' where name = 'old'").execute(tx).await
        })
    });
    moved.await.unwrap();
    let made = door.post("/tenants", &json!({ "slug": "north", "name": "North" })).await;
    let tenant = made.body["id"].as_str().unwrap().to_owned();
    (door, tenant)
}

/// A key of the tenant that may do everything a tenant's key may.
async fn key_of(door: &Door, tenant: &str) -> String {
    let all = json!({ "name": "north", "scopes": callthrough::people::Scope::ALL, "operator": false });
    let made = door.send("POST", "/keys", &[("callthrough-tenant", tenant)], Some(&all)).await;
    format!("Bearer {}", made.body["key"].as_str().unwrap())
}

/// What the main tenant's books say, by everything that can be asked of them.
async fn books(door: &Door, requests: &[Request]) -> Vec<(String, String)> {
    let mut said = Vec::new();
    for request in requests.iter().filter(|request| request.method == "get") {
        // The operator's own things and its log grow while somebody tries.
        if !["listAudit", "listKeys", "listPeople", "getSession", "listTenants"].contains(&request.operation.as_str()) {
            said.push((request.operation.clone(), request.send(door, &[]).await.text));
        }
    }
    said
}

async fn nothing_leaks(kind: Kind) {
    let (door, tenant) = two(kind).await;
    let bearer = key_of(&door, &tenant).await;
    let description = description();
    let requests = requests(&description);
    let before = books(&door, &requests).await;
    let (mut wrong, mut compared) = (Vec::new(), BTreeSet::new());
    let theirs = [("authorization", bearer.as_str())];
    let chosen = [("callthrough-tenant", tenant.as_str())];
    for request in &requests {
        let nothing = request.about_nothing();
        // A tenant's key, and one of the operator's that works for the other tenant; the carriers are the operator's to see.
        for (who, headers) in [("the tenant's key", &theirs[..]), ("the operator's key", &chosen[..])] {
            let operators_own = ["trunks", "tenants", "fx-rates"].iter().any(|own| request.address.starts_with(&format!("/{own}")));
            if who == "the operator's key" && operators_own {
                continue;
            }
            let (at_theirs, at_nothing) = (request.send(&door, headers).await, nothing.send(&door, headers).await);
            let leaks = at_theirs.text.contains(THEIRS) || WORDS.iter().any(|word| at_theirs.text.contains(word));
            let echoed = request.address.contains(THEIRS) || request.body.as_ref().is_some_and(|body| body.to_string().contains(THEIRS));
            // Its own log tells what it sent itself, the examples' numbers among them.
            if leaks && !echoed && request.method == "get" && request.operation != "listAudit" {
                wrong.push(format!("{} by {who} shows {}", request.operation, at_theirs.text));
            }
            if *request == nothing {
                continue;
            }
            compared.insert(request.operation.clone());
            if (at_theirs.status, &at_theirs.text) != (at_nothing.status, &at_nothing.text) {
                wrong.push(format!(
                    "{} by {who}: {} {}\n    but about nothing: {} {}",
                    request.operation, at_theirs.status, at_theirs.text, at_nothing.status, at_nothing.text
                ));
            }
            let one_thing = request.address.split('?').next() != nothing.address.split('?').next();
            if one_thing && at_theirs.status < 400 {
                wrong.push(format!("{} by {who}: {} {}", request.operation, at_theirs.status, at_theirs.text));
            }
        }
    }
    let with_id =
        operations(&description).into_iter().filter(|one| one.path.replace("{month}", "").contains('{') && one.shape["security"].is_null());
    for operation in with_id {
        assert!(compared.contains(operation.id), "{} was not tried", operation.id);
    }
    for (now, before) in books(&door, &requests).await.into_iter().zip(before) {
        assert!(now == before, "the other's books are as they were, but {}:\n{}\nwas\n{}", now.0, now.1, before.1);
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenant_learns_nothing_of_another() {
    nothing_leaks(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenant_learns_nothing_of_another_on_postgresql_either() {
    nothing_leaks(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_names_anothers_things_is_answered_as_if_they_were_not_there() {
    let (door, tenant) = two(Kind::Sqlite).await;
    let bearer = key_of(&door, &tenant).await;
    let own = [("authorization", bearer.as_str())];
    let mine = json!({ "name": "Own", "home_country": "CZ", "currency": "EUR" });
    let made = door.send("POST", "/subscribers", &own, Some(&mine)).await;
    let subscriber = format!("/subscribers/{}", made.body["id"].as_str().unwrap());
    let deck = format!("deck_{THEIRS}6x");
    let account = made.body["account_id"].clone();
    let their_account = format!("acct_{THEIRS}6x");
    let euro = json!({ "amount": "1.00", "currency": "EUR" });
    let cross = |from: &Value, to: &Value| json!({ "from_account_id": from, "to_account_id": to, "amount": euro, "reason": "to share" });
    let own_deck = door.send("POST", "/decks", &own, Some(&json!({ "name": "own", "currency": "EUR" }))).await;
    let roll_back = format!("/decks/{}/roll_back", own_deck.body["id"].as_str().unwrap());
    // A code that is good, in the books of the other.
    let voucher = "0123-4567-89AB-CDEF-V";
    let bodies = [
        (422, "POST", "/subscribers", json!({ "name": "Own", "home_country": "CZ", "account_id": their_account })),
        (422, "POST", "/subscribers", json!({ "name": "Own", "home_country": "CZ", "currency": "EUR", "deck_id": deck })),
        (422, "PATCH", &subscriber, json!({ "deck_id": deck })),
        (404, "POST", "/transfers", cross(&account, &json!(their_account))),
        (404, "POST", "/transfers", cross(&json!(their_account), &account)),
        (404, "POST", "/vouchers/redeem", json!({ "code": voucher, "account_id": their_account })),
        (404, "POST", &roll_back, json!({ "version_id": format!("dver_{THEIRS}6x") })),
    ];
    for (status, method, path, body) in bodies {
        let keyed = |key| [own[0], ("idempotency-key", key)];
        let at_theirs = door.send(method, path, &keyed("one"), Some(&body)).await;
        let body = serde_json::from_str(&unknown(&body.to_string())).unwrap();
        let at_nothing = door.send(method, path, &keyed("other"), Some(&body)).await;
        assert_eq!(at_theirs.status, status, "{method} {path}: {}", at_theirs.text);
        assert_eq!(at_theirs.text, at_nothing.text);
    }
    // Their voucher is as unknown here as one that was never made.
    let [theirs, nobodys] = [voucher, "0000-0000-0000-0000-0"].map(|code| json!({ "code": code, "account_id": account }));
    let at_theirs = door.send("POST", "/vouchers/redeem", &[own[0], ("idempotency-key", "theirs")], Some(&theirs)).await;
    let at_nothing = door.send("POST", "/vouchers/redeem", &[own[0], ("idempotency-key", "nobodys")], Some(&nobodys)).await;
    assert_eq!((at_theirs.status, at_theirs.code()), (409, "voucher_unknown"), "{}", at_theirs.text);
    assert_eq!(at_theirs.text, at_nothing.text);
    // The furnished books have seen this key: here it is new.
    let top_up = format!("/accounts/{}/top_up", account.as_str().unwrap());
    let paid = json!({ "amount": { "amount": "5.00", "currency": "EUR" }, "payment": "pay_1" });
    let first = door.send("POST", &top_up, &[own[0], ("idempotency-key", "first")], Some(&paid)).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, ""), "{}", first.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_may_use_the_same_names() {
    let (door, tenant) = two(Kind::Sqlite).await;
    let bearer = key_of(&door, &tenant).await;
    let own = [("authorization", bearer.as_str())];
    let same = [
        ("/decks", json!({ "name": "retail", "currency": "EUR" })),
        (
            "/subscribers",
            json!({ "name": "Alice", "home_country": "CZ", "currency": "EUR", "identities": ["alice"], "numbers": ["+420601123456"] }),
        ),
        ("/people", json!({ "login": "bob@example.com", "name": "Bob", "role": "support" })),
        ("/keys", json!({ "name": "old", "scopes": ["read"] })),
    ];
    for (path, body) in same {
        let made = door.send("POST", path, &own, Some(&body)).await;
        assert_eq!(made.status, 201, "{path}: {}", made.text);
        let found = door.send("GET", path, &own, None).await;
        assert!(found.body["items"].as_array().unwrap().len() <= 2 && !found.text.contains(THEIRS), "{path}: {}", found.text);
    }
    let mine = door.send("GET", "/subscribers?identity=alice", &own, None).await;
    let theirs = door.get("/subscribers?identity=alice").await;
    assert_eq!(mine.body["items"].as_array().unwrap().len(), 1);
    assert_ne!(mine.body["items"][0]["id"], theirs.body["items"][0]["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_up_is_unseen_by_another_tenant() {
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let door = Door::beside(board.database.clone(), board.clock.clone(), board.calls.clone()).await;
    let tenant = door.post("/tenants", &json!({ "slug": "north", "name": "North" })).await.body["id"].as_str().unwrap().to_owned();
    let bearer = key_of(&door, &tenant).await;
    let own = [("authorization", bearer.as_str())];
    let mut a = alice.calls(PRAGUE).await;
    let mut b = north.gets_a_call().await;
    b.answers().await;
    a.is_answered().await;
    let up = until("the call on the list", async || board.calls.list().into_iter().find(|call| call.answered.is_some())).await.id;
    assert_eq!(door.get("/calls").await.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(door.send("GET", "/calls", &own, None).await.body["items"], json!([]));
    let nobodys = format!("call_{THEIRS}6y");
    for (method, end) in [("GET", ""), ("POST", "/hang_up")] {
        let at_theirs = door.send(method, &format!("/calls/{up}{end}"), &own, None).await;
        let at_nothing = door.send(method, &format!("/calls/{nobodys}{end}"), &own, None).await;
        assert_eq!((at_theirs.status, &at_theirs.text), (404, &at_nothing.text));
    }
    assert_eq!(board.calls.list().len(), 1, "it was not hung up");
    assert_eq!(door.send("POST", &format!("/calls/{up}/hang_up"), &[], None).await.status, 202);
    a.is_hung_up().await;
    b.is_hung_up().await;
    board.record().await;
    let at_theirs = door.send("GET", &format!("/cdrs/{up}"), &own, None).await;
    let at_nothing = door.send("GET", &format!("/cdrs/{nobodys}"), &own, None).await;
    assert_eq!((at_theirs.status, &at_theirs.text), (404, &at_nothing.text));
    assert_eq!(door.send("GET", "/cdrs", &own, None).await.body["items"], json!([]));
}

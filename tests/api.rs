//! Stories of the API that one request does not tell: keys, repeated movements, pages, changes that carriers feel at once.

use std::fmt::Write as _;

use callthrough::database::Kind;
use callthrough::http;
use serde_json::{Value, json};

use crate::support::door::{Answer, Door};

async fn subscriber(door: &Door, fields: Value) -> Value {
    let mut wanted = json!({ "name": "Alice", "home_country": "CZ", "currency": "EUR" });
    wanted.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let made = door.post("/subscribers", &wanted).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.body
}

fn path(kind: &str, shape: &Value, field: &str) -> String {
    format!("/{kind}/{}", shape[field].as_str().unwrap())
}

async fn top_up(door: &Door, account: &str, key: &str, amount: &str) -> Answer {
    let body = json!({ "amount": { "amount": amount, "currency": "EUR" }, "payment": "pay_1" });
    door.send("POST", &format!("{account}/top_up"), &[("Idempotency-Key", key)], Some(&body)).await
}

async fn balance(door: &Door, account: &str) -> String {
    door.get(account).await.body["balance"]["amount"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn only_a_live_key_opens_the_door() {
    let door = Door::open().await;
    let address = format!("http://{}/api/v1/trunks", door.address);
    let almost = format!("{}x", &door.key.expose()[..door.key.expose().len() - 1]);
    for authorization in [
        None,
        Some("Bearer".to_owned()),
        Some("Basic eDp5".to_owned()),
        Some(format!("Bearer {almost}")),
        Some("Bearer ct_live_".to_owned()),
    ] {
        let mut request = door.client.get(&address);
        if let Some(authorization) = &authorization {
            request = request.header("authorization", authorization);
        }
        let answer = Answer::of(request).await;
        assert_eq!((answer.status, answer.code()), (401, "unauthorized"), "{authorization:?}");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    assert_eq!(door.get("/trunks").await.status, 200);

    // The listing never tells the key; a revoked one opens nothing.
    let keys = door.get("/keys").await;
    assert!(!keys.text.contains(door.key.expose()));
    let id = keys.body["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(door.send("DELETE", &format!("/keys/{id}"), &[], None).await.status, 204);
    assert_eq!(door.get("/trunks").await.status, 401);
}

#[tokio::test]
async fn the_last_use_of_a_key_is_shown_to_the_minute() {
    let door = Door::open().await;
    assert_eq!(door.get("/trunks").await.status, 200);
    // The note is written beside the answer, so a later answer shows it.
    let mut shown = Value::Null;
    for _ in 0..1000 {
        shown = door.get("/keys").await.body["items"][0]["last_used_at"].clone();
        if !shown.is_null() {
            break;
        }
    }
    assert_eq!(shown, json!("2026-03-01T12:00:00Z"));
}

#[tokio::test]
async fn an_unknown_address_or_method_is_told_in_json() {
    let door = Door::open().await;
    assert_eq!((door.get("/nothing").await.status, door.get("/nothing").await.code().to_owned()), (404, "not_found".to_owned()));
    let answer = door.send("DELETE", "/trunks", &[], None).await;
    assert_eq!((answer.status, answer.code()), (405, "method_not_allowed"));
    assert!(answer.header("allow").contains("GET"));
}

#[tokio::test]
async fn money_moves_once_however_often_the_request_is_sent() {
    let door = Door::open().await;
    let account = path("accounts", &subscriber(&door, json!({})).await, "account_id");

    let first = top_up(&door, &account, "key-1", "10.00").await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, ""));
    assert_eq!(first.body["balance"]["amount"], "10.00");
    let again = top_up(&door, &account, "key-1", "10.00").await;
    assert_eq!((again.status, again.header("idempotency-replayed"), &again.text), (201, "true", &first.text));
    assert_eq!(balance(&door, &account).await, "10.00");

    let other = top_up(&door, &account, "key-1", "20.00").await;
    assert_eq!((other.status, other.code()), (422, "idempotency_key_used"));
    let elsewhere = path("accounts", &subscriber(&door, json!({ "name": "Bob" })).await, "account_id");
    assert_eq!(top_up(&door, &elsewhere, "key-1", "10.00").await.status, 422);

    assert_eq!(top_up(&door, &account, "key-2", "10.00").await.status, 201);
    assert_eq!((balance(&door, &account).await, balance(&door, &elsewhere).await), ("20.00".to_owned(), "0.00".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_requests_at_once_under_one_key_move_money_once() {
    forty_requests_at_once(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_requests_at_once_move_money_once_on_postgresql_too() {
    forty_requests_at_once(Kind::Postgres).await;
}

async fn forty_requests_at_once(kind: Kind) {
    let door = Door::on(kind).await;
    let account = path("accounts", &subscriber(&door, json!({})).await, "account_id");
    let body = json!({ "amount": { "amount": "1.00", "currency": "EUR" }, "payment": "pay_1" }).to_string();
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let request = door
            .client
            .post(format!("http://{}/api/v1{account}/top_up", door.address))
            .bearer_auth(door.key.expose())
            .header("Idempotency-Key", "one")
            .header("content-type", "application/json")
            .body(body.clone());
        requests.spawn(Answer::of(request));
    }
    let answers = requests.join_all().await;
    let fresh = answers.iter().filter(|answer| answer.status == 201 && answer.header("idempotency-replayed").is_empty()).count();
    assert_eq!(fresh, 1);
    for answer in &answers {
        let replayed = answer.status == 201;
        assert!(replayed || (answer.status, answer.code()) == (409, "idempotency_running"), "{} {}", answer.status, answer.text);
    }
    assert_eq!(balance(&door, &account).await, "1.00");
}

#[tokio::test]
async fn what_was_refused_before_any_work_leaves_the_key_free() {
    let door = Door::open().await;
    let account = path("accounts", &subscriber(&door, json!({})).await, "account_id");
    for (amount, status) in [("0.00", 422), ("-1.00", 422), ("1.0000001", 400), ("1,00", 400), ("1e3", 400)] {
        let answer = top_up(&door, &account, "key", amount).await;
        assert_eq!(
            (answer.status, answer.body["field"].as_str().map(|field| field.starts_with("amount"))),
            (status, Some(true)),
            "{}",
            answer.text
        );
    }
    let usd = json!({ "amount": { "amount": "1.00", "currency": "USD" }, "payment": "pay_1" });
    let answer = door.send("POST", &format!("{account}/top_up"), &[("Idempotency-Key", "key")], Some(&usd)).await;
    assert_eq!((answer.status, &answer.body["field"]), (422, &json!("amount.currency")));
    let nobody = top_up(&door, "/accounts/acct_01jb3k5m7n9p0q1r2s3t4v5w6y", "key", "1.00").await;
    assert_eq!(nobody.status, 404);
    assert_eq!(top_up(&door, &account, "key", "1.00").await.status, 201);

    for headers in [vec![], vec![("Idempotency-Key", "")], vec![("Idempotency-Key", "a"), ("Idempotency-Key", "b")]] {
        let body = json!({ "amount": { "amount": "1.00", "currency": "EUR" }, "payment": "pay_1" });
        let answer = door.send("POST", &format!("{account}/top_up"), &headers, Some(&body)).await;
        assert_eq!((answer.status, answer.code()), (400, "idempotency_key"), "{headers:?}");
    }
    assert_eq!(balance(&door, &account).await, "1.00");
}

#[tokio::test]
async fn a_key_whose_process_died_is_taken_over_after_a_minute() {
    let door = Door::open().await;
    let account = path("accounts", &subscriber(&door, json!({})).await, "account_id");
    assert_eq!(top_up(&door, &account, "key", "1.00").await.status, 201);
    // As it stands when the process dies between taking the key and doing the work.
    let died = door
        .state
        .database
        .write(|tx| Box::pin(async move { sqlx::query("update idempotency set status = null, body = null").execute(tx).await.map(drop) }));
    died.await.unwrap();
    assert_eq!(top_up(&door, &account, "key", "1.00").await.code(), "idempotency_running");
    door.state.clock.advance(std::time::Duration::from_secs(61));
    assert_eq!(top_up(&door, &account, "key", "2.00").await.code(), "idempotency_key_used");
    assert_eq!(top_up(&door, &account, "key", "1.00").await.status, 201);
    assert_eq!(balance(&door, &account).await, "1.00", "the posting's own key holds");
    door.state.clock.advance(http::idempotency::KEPT + std::time::Duration::from_secs(1));
    assert_eq!(http::idempotency::forget(&door.state).await.unwrap(), 1);
}

#[tokio::test]
async fn adjustments_are_signed_and_large_ones_wait_for_a_second_person() {
    let door = Door::open().await;
    let account = path("accounts", &subscriber(&door, json!({})).await, "account_id");
    let adjust = async |key: &str, amount: &str| {
        let body = json!({ "amount": { "amount": amount, "currency": "EUR" }, "reason": "test" });
        door.send("POST", &format!("{account}/adjust"), &[("Idempotency-Key", key)], Some(&body)).await
    };
    assert_eq!(adjust("1", "5.00").await.status, 201);
    assert_eq!(adjust("2", "-2.50").await.body["balance"]["amount"], "2.50");
    let waiting = adjust("3", "1000.00").await;
    assert_eq!((waiting.status, &waiting.body["state"]), (202, &json!("pending")));
    assert_eq!(balance(&door, &account).await, "2.50", "nothing has moved");
    let approve = format!("{}/approve", path("approvals", &waiting.body, "id"));

    // Whoever asked cannot be the second person, not even by a second key of theirs.
    assert_eq!(door.send("POST", &approve, &[], None).await.code(), "second_person_needed");
    let mine = door.as_key(&door.key_by(callthrough::people::Who::Server).await).send("POST", &approve, &[], None).await;
    assert_eq!(mine.code(), "second_person_needed");

    // A hundred impatient second persons move the money once.
    let other = std::sync::Arc::new(door.as_key(&door.key_of_another_person().await));
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (other, approve) = (other.clone(), approve.clone());
        tries.spawn(async move { other.send("POST", &approve, &[], None).await.status });
    }
    let statuses = tries.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1);
    assert!(statuses.iter().all(|status| [200, 409].contains(status)), "{statuses:?}");
    assert_eq!(balance(&door, &account).await, "1002.50");

    // What was wrong is reversed once, exactly.
    let entries = door.get(&format!("{account}/entries?limit=2")).await.body;
    assert_eq!((entries["items"][0]["seq"].as_i64(), entries["items"][1]["amount"]["amount"].as_str()), (Some(3), Some("-2.50")));
    let reverse = format!("{account}/entries/{}/reverse", entries["items"][1]["id"].as_str().unwrap());
    let why = json!({ "reason": "by mistake" });
    let reversed = door.send("POST", &reverse, &[("Idempotency-Key", "4")], Some(&why)).await;
    assert_eq!((reversed.status, reversed.body["amount"]["amount"].as_str()), (201, Some("2.50")), "{}", reversed.text);
    let again = door.send("POST", &reverse, &[("Idempotency-Key", "5")], Some(&why)).await;
    assert!(again.status == 409 || again.body["id"] == reversed.body["id"], "{}", again.text);
    assert_eq!(balance(&door, &account).await, "1005.00");
    let rest = door.get(&format!("{account}/entries?limit=2&after={}", entries["next"].as_str().unwrap())).await.body;
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
}

#[tokio::test]
async fn who_guesses_vouchers_waits() {
    let door = Door::open().await;
    let account = subscriber(&door, json!({})).await["account_id"].as_str().unwrap().to_owned();
    let batch = json!({ "name": "spring", "amount": { "amount": "5.00", "currency": "EUR" }, "count": 10 });
    let other = door.as_key(&door.key_of_another_person().await);
    let elsewhere = door.send("POST", "/vouchers/batches", &[("Idempotency-Key", "b")], Some(&batch)).await.body;
    let redeem = async |hand: &crate::support::door::Hand, code: &str, account: &str| {
        let body = json!({ "code": code, "account_id": account });
        let key = door.state.random.alphanumeric(12);
        hand.send("POST", "/vouchers/redeem", &[("Idempotency-Key", &key)], Some(&body)).await
    };
    let me = door.as_key(door.key.expose());
    // The right form and check character, and yet nobody's: 0000-0000-0000-0000-0 and the like.
    let nobody = "0000-0000-0000-0000-0";
    for _ in 0..10 {
        let unknown = redeem(&me, nobody, &account).await;
        assert_eq!((unknown.status, unknown.code()), (409, "voucher_unknown"), "{}", unknown.text);
    }
    assert_eq!(redeem(&me, nobody, &account).await.status, 409);
    let good = elsewhere["codes"][0].as_str().unwrap();
    let told = redeem(&me, good, &account).await;
    assert_eq!((told.status, told.code(), told.header("retry-after").is_empty()), (429, "too_fast", false), "{}", told.text);
    // Neither another person for that account, nor the same person for another account.
    assert_eq!(redeem(&other, good, &account).await.status, 429);
    let second = subscriber(&door, json!({ "identities": [], "name": "Bob" })).await["account_id"].as_str().unwrap().to_owned();
    assert_eq!(redeem(&me, good, &second).await.status, 429);
    assert_eq!(redeem(&other, good, &second).await.status, 201);
    door.state.clock.advance(std::time::Duration::from_secs(2));
    assert_eq!(redeem(&me, elsewhere["codes"][1].as_str().unwrap(), &account).await.status, 201);
}

/// Whatever makes something takes a key: sent again it is not made again, and secrets are told once.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_under_a_key_is_made_once() {
    let door = std::sync::Arc::new(Door::open().await);
    let bob = json!({ "name": "Bob", "home_country": "CZ", "currency": "EUR", "identities": ["bob"] });
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (door, bob) = (door.clone(), bob.clone());
        tries.spawn(async move { door.send("POST", "/subscribers", &[("Idempotency-Key", "bob")], Some(&bob)).await });
    }
    let answers = tries.join_all().await;
    let made: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
    let first: Vec<_> = made.iter().filter(|answer| answer.header("idempotency-replayed").is_empty()).collect();
    assert_eq!(first.len(), 1);
    assert!(made.iter().all(|answer| answer.text == first[0].text));
    assert!(answers.iter().all(|answer| answer.status == 201 || answer.code() == "idempotency_running"));
    assert_eq!(door.get("/subscribers").await.body["items"].as_array().unwrap().len(), 1);
    let other = json!({ "name": "Bob", "home_country": "SK", "currency": "EUR" });
    let told = door.send("POST", "/subscribers", &[("Idempotency-Key", "bob")], Some(&other)).await;
    assert_eq!((told.status, told.code()), (422, "idempotency_key_used"));
    // What was refused leaves the key free.
    let wrong = json!({ "name": "shop", "scopes": [] });
    assert_eq!(door.send("POST", "/keys", &[("Idempotency-Key", "shop")], Some(&wrong)).await.status, 400);
    let shop = json!({ "name": "shop", "scopes": ["read"] });
    let [first, again] = [
        door.send("POST", "/keys", &[("Idempotency-Key", "shop")], Some(&shop)).await,
        door.send("POST", "/keys", &[("Idempotency-Key", "shop")], Some(&shop)).await,
    ];
    assert_eq!((first.status, again.status, again.header("idempotency-replayed")), (201, 201, "true"));
    assert_eq!((&first.body["id"], &again.body["key"]), (&again.body["id"], &Value::Null));
    assert!(first.body["key"].as_str().unwrap().starts_with("ct_live_"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voucher_is_redeemed_once_by_a_hundred_who_try() {
    a_hundred_try_a_voucher(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voucher_is_redeemed_once_on_postgresql_too() {
    a_hundred_try_a_voucher(Kind::Postgres).await;
}

async fn a_hundred_try_a_voucher(kind: Kind) {
    let door = std::sync::Arc::new(Door::on(kind).await);
    let account = subscriber(&door, json!({})).await["account_id"].as_str().unwrap().to_owned();
    let batch = json!({ "name": "spring", "amount": { "amount": "5.00", "currency": "EUR" }, "count": 3 });
    let made = door.send("POST", "/vouchers/batches", &[("Idempotency-Key", "b")], Some(&batch)).await;
    assert_eq!((made.status, made.body["codes"].as_array().map(Vec::len)), (201, Some(3)), "{}", made.text);
    let again = door.send("POST", "/vouchers/batches", &[("Idempotency-Key", "b")], Some(&batch)).await;
    assert_eq!((&again.body["id"], &again.body["codes"]), (&made.body["id"], &Value::Null), "codes are told once");

    let code = made.body["codes"][0].as_str().unwrap().to_lowercase();
    let mut tries = tokio::task::JoinSet::new();
    for number in 0..100 {
        let (door, body) = (door.clone(), json!({ "code": code, "account_id": account }));
        let key = format!("try-{number}");
        tries.spawn(async move { door.send("POST", "/vouchers/redeem", &[("Idempotency-Key", &key)], Some(&body)).await });
    }
    let answers = tries.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert!(answers.iter().filter(|answer| answer.status != 201).all(|answer| answer.code() == "voucher_used"));
    assert_eq!(balance(&door, &format!("/accounts/{account}")).await, "5.00");

    // A batch that is void is good for nothing; neither is a code with a slip.
    let at = format!("/vouchers/batches/{}", made.body["id"].as_str().unwrap());
    assert_eq!(door.send("POST", &format!("{at}/void"), &[], None).await.body["state"], "void");
    let redeem = async |code: &str| {
        let body = json!({ "code": code, "account_id": account });
        door.send("POST", "/vouchers/redeem", &[("Idempotency-Key", code)], Some(&body)).await
    };
    assert_eq!(redeem(made.body["codes"][1].as_str().unwrap()).await.code(), "voucher_void");
    let slip = redeem("0000-0000-0000-0000-1").await;
    assert_eq!((slip.status, &slip.body["field"]), (422, &json!("code")));
    assert_eq!(door.get(&at).await.body["redeemed"], 1);

    // More than one person may give away waits for a second one.
    let large = json!({ "name": "summer", "amount": { "amount": "5.00", "currency": "EUR" }, "count": 30 });
    let large = door.send("POST", "/vouchers/batches", &[("Idempotency-Key", "l")], Some(&large)).await;
    assert_eq!(large.body["state"], "pending");
    let code = large.body["codes"][0].as_str().unwrap();
    assert_eq!(redeem(code).await.code(), "voucher_pending");
    let approve = format!("/approvals/{}/approve", large.body["approval_id"].as_str().unwrap());
    assert_eq!(door.as_key(&door.key_of_another_person().await).send("POST", &approve, &[], None).await.status, 200);
    let body = json!({ "code": code, "account_id": account });
    assert_eq!(door.send("POST", "/vouchers/redeem", &[("Idempotency-Key", "later")], Some(&body)).await.status, 201);
}

#[tokio::test]
async fn a_subscriber_from_the_first_day_to_the_last() {
    let door = Door::open().await;
    let alice = subscriber(&door, json!({ "identities": ["Alice"], "numbers": ["+420601123456"] })).await;
    let at = path("subscribers", &alice, "id");
    assert_eq!((&alice["identities"], &alice["numbers"]), (&json!(["alice"]), &json!(["+420601123456"])));

    // Nobody else can be called Alice; a half-made subscriber leaves nothing behind.
    let other = json!({ "name": "Alice", "home_country": "CZ", "currency": "EUR", "identities": ["second", "ALICE"] });
    assert_eq!(door.post("/subscribers", &other).await.code(), "conflict");
    assert_eq!(door.get("/subscribers").await.body["items"].as_array().unwrap().len(), 1);

    for (wanted, found) in [("identity=ALICE", 1), ("identity=second", 0), ("number=%2B420601123456", 1), ("number=%2B420601123457", 0)] {
        let list = door.get(&format!("/subscribers?{wanted}")).await.body;
        assert_eq!(list["items"].as_array().unwrap().len(), found, "{wanted}");
    }

    let token = door.post(&format!("{at}/credentials"), &json!({ "kind": "token", "device": "phone" })).await.body;
    assert!(token["secret"].as_str().unwrap().len() >= 27);
    let password = door.post(&format!("{at}/credentials"), &json!({ "kind": "password", "secret": "correct horse" })).await;
    assert!(password.status == 201 && !password.text.contains("correct horse"), "{}", password.text);
    let listed = door.get(&format!("{at}/credentials")).await.text;
    assert!(!listed.contains(token["secret"].as_str().unwrap()) && !listed.contains("argon2"));
    let credential = format!("{at}/credentials/{}", token["id"].as_str().unwrap());
    assert_eq!(door.send("DELETE", &credential, &[], None).await.status, 204);
    assert_eq!(door.send("DELETE", &credential, &[], None).await.status, 404);

    let patch = async |fields: Value| door.send("PATCH", &at, &[], Some(&fields)).await;
    let changed = patch(json!({ "max_price": { "amount": "0.1234567", "currency": "EUR" }, "max_calls": 3 })).await.body;
    assert_eq!(
        (&changed["max_price"]["amount"], &changed["max_calls"], &changed["name"]),
        (&json!("0.1234567"), &json!(3), &json!("Alice"))
    );
    assert_eq!(patch(json!({ "max_calls": null })).await.body["max_calls"], Value::Null);
    for (fields, field) in [
        (json!({ "nonsense": 1 }), ""),
        (json!({ "id": "sub_1" }), ""),
        (json!({ "enabled": "yes" }), "enabled"),
        (json!({ "home_country": null }), "home_country"),
        (json!({ "name": " " }), "name"),
        (json!({ "locale": "english!" }), "locale"),
        (json!({ "access_wish": "12" }), "access_wish"),
        (json!({ "deck_id": "deck_01jb3k5m7n9p0q1r2s3t4v5w6y" }), "deck_id"),
        (json!({ "max_price": { "amount": "-1", "currency": "EUR" } }), "max_price"),
        (json!([]), ""),
    ] {
        let answer = patch(fields.clone()).await;
        let told = answer.body["field"].as_str().unwrap_or_default();
        let status = if field == "deck_id" { 422 } else { 400 };
        assert_eq!((answer.status, told.starts_with(field)), (status, true), "{fields}: {}", answer.text);
    }

    assert_eq!(door.send("DELETE", &at, &[], None).await.status, 204);
    let gone = door.get(&at).await.body;
    assert_eq!((&gone["enabled"], &gone["numbers"], &gone["identities"]), (&json!(false), &json!([]), &json!([])));
}

#[tokio::test]
async fn calls_use_a_changed_trunk_at_once() {
    let door = Door::open().await;
    let trunk = json!({ "name": "carrier", "addresses": ["192.0.2.0/24"], "target": "192.0.2.7:5070" });
    let made = door.post("/trunks", &trunk).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let source = "192.0.2.1:5060".parse().unwrap();
    let known = || door.state.trunks.identify(source).map(|trunk| trunk.name.clone());
    let taken = || door.state.trunks.candidates("+420601123456".parse().unwrap()).len();
    assert_eq!((known().as_deref(), taken()), (Some("carrier"), 1));

    for (wrong, status, field) in [
        (json!({ "name": "carrier" }), 409, "name"),
        (json!({ "name": "twin", "addresses": ["192.0.2.0/24"] }), 409, "addresses"),
        (json!({ "name": "x", "addresses": ["everywhere"] }), 400, "addresses[0]"),
        (json!({ "name": "x", "target": "sip:carrier" }), 400, "target"),
        (json!({ "name": "x", "identity": [] }), 400, "identity"),
        (json!({ "name": "x", "format_out": "national" }), 422, "country"),
        (json!({ "name": "x", "adresses": [] }), 400, "adresses"),
        (json!({ "name": "" }), 400, "name"),
        (json!({}), 400, ""),
    ] {
        let answer = door.post("/trunks", &wrong).await;
        assert_eq!((answer.status, answer.body["field"].as_str().unwrap_or_default()), (status, field), "{wrong}: {}", answer.text);
    }

    let at = path("trunks", &made.body, "id");
    assert_eq!(door.send("PATCH", &at, &[], Some(&json!({ "enabled": false }))).await.status, 200);
    assert_eq!((known(), taken()), (None, 0));
    assert_eq!(door.send("PATCH", &at, &[], Some(&json!({ "enabled": true, "destinations": ["44"] }))).await.status, 200);
    assert_eq!((known().as_deref(), taken()), (Some("carrier"), 0));
    assert_eq!(door.send("DELETE", &at, &[], None).await.status, 204);
    assert_eq!(known(), None);
}

#[tokio::test]
async fn pages_go_through_everything_once() {
    let door = Door::open().await;
    for index in 0..7 {
        let made = door.post("/access-numbers", &json!({ "number": format!("+1555123000{index}"), "country": "US" })).await;
        assert_eq!(made.status, 201, "{}", made.text);
    }
    let (mut seen, mut after) = (Vec::new(), String::new());
    for length in [3, 3, 1] {
        let page = door.get(&format!("/access-numbers?limit=3{after}")).await.body;
        let items = page["items"].as_array().unwrap();
        assert_eq!(items.len(), length);
        seen.extend(items.iter().map(|item| item["number"].as_str().unwrap().to_owned()));
        after = page["next"].as_str().map(|next| format!("&after={}", next.replace('+', "%2B"))).unwrap_or_default();
    }
    assert_eq!((seen.len(), after.as_str()), (7, ""));
    seen.dedup();
    assert_eq!(seen.len(), 7);
    for wrong in ["limit=0", "limit=501", "limit=x", "limit=-1", "nonsense=1", "after=x"] {
        let answer = door.get(&format!("/access-numbers?{wrong}")).await;
        assert_eq!((answer.status, answer.code()), (400, "bad_request"), "{wrong}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_broken_body_is_told_with_its_field() {
    let door = Door::open().await;
    let at = format!("http://{}/api/v1/decks", door.address);
    for (kind, body, status, code) in [
        ("application/json", "{", 400, "bad_request"),
        ("application/json", "", 400, "bad_request"),
        ("application/json", "{\"name\":\"a\",\"currency\":\"EUR\"} x", 400, "bad_request"),
        ("application/json", "{\"name\":\"\u{7}\",\"currency\":\"EUR\"}", 400, "bad_request"),
        ("application/json", "{\"name\":\"a\",\"currency\":\"EUR\",\"currency\":\"USD\"}", 400, "bad_request"),
        ("text/plain", "{\"name\":\"a\",\"currency\":\"EUR\"}", 415, "unsupported_media_type"),
        ("", "{\"name\":\"a\",\"currency\":\"EUR\"}", 415, "unsupported_media_type"),
        ("application/json; charset=utf-8", "{\"name\":\"a\",\"currency\":\"EUR\"}", 201, ""),
        ("application/json", "{\"name\":\"a\",\"currency\":\"EUR\"}", 409, "conflict"),
    ] {
        let answer = Answer::of(door.client.post(&at).bearer_auth(door.key.expose()).header("content-type", kind).body(body)).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{kind} {body}: {}", answer.text);
    }
    let nested = door
        .post(
            "/subscribers",
            &json!({ "name": "A", "home_country": "CZ", "currency": "EUR", "spend_cap": { "amount": 5, "currency": "EUR" } }),
        )
        .await;
    assert_eq!(nested.body["field"], "spend_cap.amount");
}

#[tokio::test]
async fn numbers_of_calls_are_exported_without_formulas() {
    let door = Door::open().await;
    let written = door.state.database.write(|tx| {
        Box::pin(async move {
            sqlx::query(
                "insert into cdr (call_id, caller, dialled, trunk_in, cause, began_at_us, ended_at_us) values \
                 ('call_01jb3k5m7n9p0q1r2s3t4v5w6x', '+420601123456', '=cmd()', '@carrier', 'no_reservation', 1, 2)",
            )
            .execute(tx)
            .await
            .map(drop)
        })
    });
    written.await.unwrap();
    let file = door.get("/cdrs?format=csv").await;
    assert_eq!(file.header("content-type"), "text/csv; charset=utf-8; header=present");
    let mut rows = csv::Reader::from_reader(file.text.as_bytes());
    let row = rows.records().next().unwrap().unwrap();
    let headings = rows.headers().unwrap().clone();
    let cell = |name: &str| row.get(headings.iter().position(|heading| heading == name).unwrap()).unwrap().to_owned();
    assert_eq!((cell("caller").as_str(), cell("dialled").as_str(), cell("trunk_in").as_str()), ("'+420601123456", "'=cmd()", "'@carrier"));
    assert_eq!((cell("cause").as_str(), cell("charge").as_str()), ("no_reservation", ""));
}

#[tokio::test]
async fn a_deck_is_looked_at_before_it_is_applied() {
    let door = Door::open().await;
    let deck = door.post("/decks", &json!({ "name": "retail", "currency": "EUR" })).await.body;
    let at = path("decks", &deck, "id");
    let import = async |query: &str, file: &str| {
        door.send("POST", &format!("{at}/import?{query}"), &[("content-type", "text/csv")], Some(&json!(file))).await
    };
    let file = "prefix,name,per_minute,connect_fee,first_secs,next_secs\n420,Czechia,0.60,0.00,60,60\n4206,Czechia mobile,0.90,0.05,1,1\n";

    let bad = import("", "prefix,name,per_minute,first_secs\n420,Czechia,0.60,0\n44,UK,free,60\n").await;
    assert_eq!((bad.status, bad.code()), (422, "deck_rejected"));
    assert_eq!((&bad.body["lines"][0]["line"], &bad.body["lines"][1]["line"]), (&json!(2), &json!(3)), "{}", bad.text);
    assert_eq!(import("", "nothing\n1\n").await.status, 422);
    assert_eq!(import("separator=colon", file).await.status, 400);

    let report = import("", file).await;
    assert_eq!(
        (report.status, &report.body["applied"], &report.body["report"]["added"]),
        (200, &json!(false), &json!(2)),
        "{}",
        report.text
    );
    assert_eq!(door.get(&format!("{at}/rate?number=%2B420601123456")).await.code(), "no_rate", "a dry run changes nothing");
    let fingerprint = report.body["report"]["fingerprint"].as_str().unwrap();
    let other = import(&format!("fingerprint={fingerprint}"), &file.replace("0.60", "0.06")).await;
    assert_eq!((other.status, &other.body["field"]), (409, &json!("fingerprint")));
    let applied = import(&format!("fingerprint={fingerprint}"), file).await;
    assert_eq!((applied.status, &applied.body["applied"]), (201, &json!(true)), "{}", applied.text);

    let rate = door.get(&format!("{at}/rate?number=%2B420601123456&seconds=61&credit=1.00")).await.body;
    assert_eq!((&rate["prefix"], &rate["charge"]["amount"]["amount"]), (&json!("4206"), &json!("0.965")));
    assert_eq!(rate["affordable"]["seconds"], 63, "0.95 left after the fee, at 0.015 a second");
    let versions = door.get(&at).await.body["versions"].clone();
    assert_eq!((versions.as_array().unwrap().len(), &versions[0]["fingerprint"]), (1, &json!(fingerprint)));
}

#[tokio::test]
async fn a_large_deck_arrives_in_pieces() {
    let door = Door::open().await;
    let at = path("decks", &door.post("/decks", &json!({ "name": "large", "currency": "EUR" })).await.body, "id");
    let mut file = String::from("prefix,name,per_minute\n");
    for prefix in 1_000_000..1_020_000 {
        writeln!(file, "{prefix},place {prefix},0.0123456").unwrap();
    }
    assert!(file.len() > 500_000, "far above the bound of other bodies");
    let report = door.send("POST", &format!("{at}/import"), &[("content-type", "text/csv")], Some(&json!(file))).await;
    assert_eq!((report.status, &report.body["report"]["rates"]), (200, &json!(20_000)), "{}", report.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_of_a_month_are_told_and_saved() {
    let door = Door::open().await;
    let alice = subscriber(&door, json!({})).await;
    let (one, id) = (path("accounts", &alice, "account_id"), alice["account_id"].as_str().unwrap());
    let other = door.post("/accounts", &json!({ "currency": "EUR" })).await.body;
    let other_id = other["id"].as_str().unwrap();
    top_up(&door, &one, "1", "5.00").await;
    let transfer =
        json!({ "from_account_id": id, "to_account_id": other_id, "amount": { "amount": "1.25", "currency": "EUR" }, "reason": "=1+1" });
    let send = async |key: &str, body: &Value| door.send("POST", "/transfers", &[("Idempotency-Key", key)], Some(body)).await;
    let made = send("t", &transfer).await;
    assert_eq!((made.status, send("t", &transfer).await.body), (201, made.body.clone()), "{}", made.text);
    assert_eq!(door.get(&format!("/transfers/{}", made.body["id"].as_str().unwrap())).await.body, made.body);
    let mut much = transfer.clone();
    much["amount"]["amount"] = json!("3.76");
    assert_eq!((send("u", &much).await.status, send("u", &much).await.code().to_owned()), (409, "not_enough_credit".to_owned()));
    assert_eq!((balance(&door, &one).await, balance(&door, &path("accounts", &other, "id")).await), ("3.75".into(), "1.25".into()));

    let months = door.get(&format!("{one}/statements")).await.body;
    assert_eq!((months["items"].as_array().unwrap().len(), months["items"][0]["month"].as_str()), (1, Some("2026-03")));
    let statement = door.get(&format!("{one}/statements/2026-03?limit=1")).await.body;
    assert_eq!(
        (&statement["summary"]["opening"]["amount"], &statement["summary"]["closing"]["amount"], &statement["items"][0]["kind"]),
        (&json!("0.00"), &json!("3.75"), &json!("top_up"))
    );
    let rest = door.get(&format!("{one}/statements/2026-03?after={}", statement["next"].as_str().unwrap())).await.body;
    assert_eq!((&rest["items"][0]["balance"]["amount"], &rest["summary"]), (&json!("3.75"), &Value::Null));
    assert_eq!(door.get(&format!("{one}/statements/2026-04")).await.body["summary"]["opening"]["amount"], "3.75");
    assert_eq!(door.get(&format!("{one}/statements/2026-4")).await.status, 404);

    let table = door.get(&format!("{one}/statements/2026-03?format=csv")).await;
    let lines: Vec<_> = table.text.lines().collect();
    assert_eq!(lines[0], "at,id,kind,amount,balance,currency,cause,note");
    assert!(lines.len() == 3 && lines[2].contains("transfer,-1.25,3.75,EUR,") && lines[2].ends_with(",'=1+1"), "{}", table.text);
    let month = door.get("/statements/2026-03?format=csv").await;
    assert!(month.text.lines().count() == 4 && month.text.contains(other_id), "{}", month.text);
    let books = door.get("/books?month=2026-03").await.body;
    let amount =
        |book: &str| books["items"].as_array().unwrap().iter().find(|one| one["book"] == book).unwrap()["amount"]["amount"].clone();
    assert_eq!((amount("payments"), amount("subscriber"), amount("transit")), (json!("-5.00"), json!("5.00"), json!("0.00")));

    let below = door.get("/accounts?below=2.00&currency=EUR").await.body;
    assert_eq!((below["items"].as_array().unwrap().len(), &below["items"][0]["id"]), (1, &json!(other_id)));
    for (query, found) in [("kind=transfer", 1), ("kind=charge", 0), ("until=2026-03-01T00:00:00Z", 0), ("since=2026-03-01T00:00:00Z", 2)] {
        let entries = door.get(&format!("{one}/entries?{query}")).await.body;
        assert_eq!(entries["items"].as_array().unwrap().len(), found, "{query}");
    }
}

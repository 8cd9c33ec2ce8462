//! The API's description is true: every path has a handler, every handler a path, every example is sent and every answer fits.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use callthrough::database::Kind;
use callthrough::http::State;
use callthrough::subscriber::credential::hash_password;
use serde_json::{Map, Value, json};

use crate::support::door::{Answer, Door};
use crate::support::switchboard::{ALICE, PRAGUE, Switchboard};
use crate::support::until;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
/// Operations whose good example needs a live call, the code of a minute or a fingerprint: tests of their own make them.
const LIVE: [&str; 5] = ["getCall", "hangUpCall", "confirmTotp", "removeTotp", "applyImport"];
/// Operations that are no GET and change nothing in the books: dry runs.
const UNLOGGED: [&str; 3] = ["importDeck", "beginImport", "discardImport"];
/// The cookie of the examples.
pub const SIGNED_IN: &str = "callthrough=exampleSignIn00000000000000";

/// The anti-forgery token of that cookie.
pub const CSRF: &str = "31bd08d4cba2bd305da5f9b5100484abfb1deadc0dfe1d763768efbf8810e6b4";

pub fn description() -> Value {
    serde_saphyr::from_str(include_str!("../openapi.yaml")).expect("openapi.yaml is YAML")
}

pub struct Operation<'a> {
    pub method: &'static str,
    pub path: &'a str,
    pub id: &'a str,
    pub shape: &'a Value,
    pub parameters: Vec<&'a Value>,
}

pub fn operations(description: &Value) -> Vec<Operation<'_>> {
    let mut found = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for method in METHODS {
            let Some(shape) = item.get(method) else { continue };
            let lists = [&item["parameters"], &shape["parameters"]];
            let parameters = lists.into_iter().filter_map(Value::as_array).flatten().map(|one| resolve(description, one)).collect();
            found.push(Operation { method, path, id: shape["operationId"].as_str().unwrap_or_default(), shape, parameters });
        }
    }
    found
}

pub fn resolve<'a>(description: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => {
            let target = description.pointer(reference.strip_prefix('#').unwrap());
            resolve(description, target.unwrap_or_else(|| panic!("{reference} points nowhere")))
        }
        None => value,
    }
}

/// `(method, path)` of every route in the sources of the API.
fn handlers() -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/api")).unwrap() {
        let source = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for (at, _) in source.match_indices(".route(") {
            let rest = &source[at + ".route(".len()..];
            let mut depth = 1;
            let end = rest.char_indices().find(|(_, character)| {
                depth += i32::from(*character == '(') - i32::from(*character == ')');
                depth == 0
            });
            let call = &rest[..end.unwrap().0];
            let path = call.split('"').nth(1).unwrap();
            for method in METHODS {
                let begins = call
                    .match_indices(&format!("{method}("))
                    .any(|(at, _)| !call[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
                if begins {
                    found.insert((method.to_owned(), path.to_owned()));
                }
            }
        }
    }
    found
}

#[test]
fn every_path_has_a_handler_and_every_handler_a_path() {
    let description = description();
    let described: BTreeSet<_> = operations(&description).iter().map(|one| (one.method.to_owned(), one.path.to_owned())).collect();
    let handled = handlers();
    assert_eq!(described.difference(&handled).collect::<Vec<_>>(), Vec::<&(String, String)>::new(), "described, but not handled");
    assert_eq!(handled.difference(&described).collect::<Vec<_>>(), Vec::<&(String, String)>::new(), "handled, but not described");
    assert!(described.len() > 40);
}

#[test]
fn every_operation_has_an_id_and_every_property_a_sentence() {
    let description = description();
    let mut wrong = String::new();
    let mut ids = BTreeSet::new();
    for operation in operations(&description) {
        if operation.id.is_empty() || !ids.insert(operation.id) {
            writeln!(wrong, "{} {}: an operationId of its own is missing", operation.method, operation.path).unwrap();
        }
        if !is_sentence(&operation.shape["summary"]) {
            writeln!(wrong, "{}: the summary is no sentence", operation.id).unwrap();
        }
        for parameter in &operation.parameters {
            if !is_sentence(&parameter["description"]) {
                writeln!(wrong, "{}: {} has no sentence", operation.id, parameter["name"]).unwrap();
            }
        }
        let in_path: BTreeSet<_> = operation.path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
        let described: BTreeSet<_> =
            operation.parameters.iter().filter(|one| one["in"] == "path").filter_map(|one| one["name"].as_str()).collect();
        if in_path != described {
            writeln!(wrong, "{}: the path names {in_path:?}, the parameters {described:?}", operation.id).unwrap();
        }
    }
    for (name, schema) in description["components"]["schemas"].as_object().unwrap() {
        properties_without_sentence(name, schema, &mut wrong);
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

fn is_sentence(text: &Value) -> bool {
    text.as_str().is_some_and(|text| text.len() > 5 && text.ends_with('.'))
}

fn properties_without_sentence(name: &str, schema: &Value, wrong: &mut String) {
    for (property, shape) in schema["properties"].as_object().into_iter().flatten() {
        if !is_sentence(&shape["description"]) {
            writeln!(wrong, "{name}.{property} has no sentence").unwrap();
        }
        properties_without_sentence(&format!("{name}.{property}"), shape, wrong);
    }
}

/// The books the examples are sent against: one of everything, under the ids of the examples.
pub async fn furnished(kind: Kind) -> Door {
    const ID: &str = "01jb3k5m7n9p0q1r2s3t4v5w6x";
    const MAIN: &str = "ten_00000000000000000000000000";
    /// SHA-256 of the code 0123-4567-89AB-CDEF-V.
    const VOUCHER: &str = "b8e8069c0cb79ddec3746e0fa70dfbd29ddaa5a7fa195b7ae184a9010d353004";
    let door = Door::on(kind).await;
    let now = door.state.clock.timestamp().as_micros();
    let cheap = callthrough::subscriber::credential::Config { argon2_memory_kib: 8, argon2_passes: 1 };
    let statements = [
        format!("insert into account (id, currency, created_at_us) values ('acct_{ID}', 'EUR', {now})"),
        format!(
            "insert into subscriber (id, account_id, name, home_country, created_at_us) values ('sub_{ID}', 'acct_{ID}', 'Alice', 'CZ', {now})"
        ),
        format!("insert into identity (name, subscriber_id) values ('alice', 'sub_{ID}')"),
        format!("insert into subscriber_number (number, subscriber_id, verified_at_us) values ('+420601123456', 'sub_{ID}', {now})"),
        format!(
            "insert into credential (id, subscriber_id, kind, verifier, created_at_us) values ('cred_{ID}', 'sub_{ID}', 'token', 'x', {now})"
        ),
        format!("insert into trunk (id, name, settings, created_at_us) values ('trunk_{ID}', 'first-carrier', '{{}}', {now})"),
        format!("insert into deck (id, name, currency, created_at_us) values ('deck_{ID}', 'retail', 'EUR', {now})"),
        format!(
            "insert into reservation (id, subscriber_id, access_number, destination, state, rule, created_at_us, expires_at_us, late_until_us) \
             values ('resv_{ID}', 'sub_{ID}', '+15551230000', '+420601123456', 'pending', 'geoip', {now}, {now} + 60000000, {now} + 70000000)"
        ),
        format!(
            "insert into cdr (call_id, subscriber_id, caller, dialled, cause, began_at_us, ended_at_us) \
             values ('call_{ID}', 'sub_{ID}', '+420601123456', '+15551230000', 'no_reservation', {now}, {now} + 1000)"
        ),
        format!(
            "insert into call_message (call_id, kept_at_us, messages) values ('call_{ID}', {now}, '[{{\"at_us\":{now},\"side\":\"a\",\
             \"way\":\"received\",\"transport\":\"udp\",\"local\":\"192.0.2.1:5060\",\"remote\":\"192.0.2.7:5060\",\
             \"sip_call_id\":\"one\",\"text\":\"INVITE sip:+15551230000@192.0.2.1 SIP/2.0\"}}]')"
        ),
        format!(
            "insert into call (id, node, subscriber_id, dialled, destination, began_at_us, last_alive_at_us, ended_at_us) \
             values ('call_{ID}', 'node1', 'sub_{ID}', '+15551230000', '+420601123456', {now}, {now}, {now})"
        ),
        format!(
            "insert into hold (id, call_id, leg, account_id, subscriber_id, amount_micros, funded_secs, rate, created_at_us, outcome, \
             settled_micros, resolved_at_us) values ('hold_{ID}', 'call_{ID}', 'a', 'acct_{ID}', 'sub_{ID}', 0, 0, '{{}}', {now}, 'settled', 0, {now})"
        ),
        format!(
            "insert into posting (id, account_id, seq, kind, cause, idempotency_key, created_at_us, prev_hash, hash) \
             values ('post_{ID}', 'acct_{ID}', 1, 'top_up', 'pay_0', 'zero', {now}, '', '')"
        ),
        format!(
            "insert into entry (posting_id, line, book, account_id, currency, amount_micros) \
             values ('post_{ID}', 1, 'subscriber', 'acct_{ID}', 'EUR', 1000000), ('post_{ID}', 2, 'payments', null, 'EUR', -1000000)"
        ),
        format!("update account set balance_micros = 1000000, posting_seq = 1 where id = 'acct_{ID}'"),
        format!("insert into account (id, currency, created_at_us) values ('acct_01jb3k5m7n9p0q1r2s3t4v5w7x', 'EUR', {now})"),
        format!(
            "insert into transfer (id, tenant_id, from_account, to_account, currency, amount_micros, reason, made_by, created_at_us, out_posting, in_posting) \
             values ('xfer_{ID}', '{MAIN}', 'acct_{ID}', 'acct_01jb3k5m7n9p0q1r2s3t4v5w7x', 'EUR', 1000000, 'shared', 'server', {now}, 'post_{ID}', 'post_{ID}')"
        ),
        format!(
            "insert into approval (id, tenant_id, movement, amount_micros, currency, subject, reason, asked_by, asked_for, asked_name, asked_at_us, \
             expires_at_us, state) values ('appr_{ID}', '{MAIN}', '{{\"kind\":\"adjust\",\"account\":\"acct_{ID}\",\"amount\":\"500\"}}', 500000000, \
             'EUR', 'acct_{ID}', 'a refund', 'pers_{ID}', 'pers_{ID}', 'Somebody else', {now}, {now} + 60000000, 'pending')"
        ),
        format!(
            "insert into voucher_batch (id, tenant_id, name, amount_micros, currency, count, state, made_by, created_at_us) \
             values ('vbat_{ID}', '{MAIN}', 'winter', 5000000, 'EUR', 1, 'active', 'server', {now})"
        ),
        format!("insert into voucher (id, batch_id, tenant_id, number, digest) values ('vou_{ID}', 'vbat_{ID}', '{MAIN}', 1, '{VOUCHER}')"),
        format!(
            "insert into alert (id, tenant_id, kind, severity, subject, text, first_at_us, last_at_us) \
             values ('alert_{ID}', '{MAIN}', 'low_balance', 'warning', 'acct_{ID}', 'The account runs low.', {now}, {now})"
        ),
        format!(
            "insert into hotlist (id, tenant_id, name, source, entries, prefixes, updated_at_us) \
             values ('hot_{ID}', '{MAIN}', 'old', '', 1, '88213', {now})"
        ),
        format!("insert into api_key (id, name, digest, created_at_us) values ('key_{ID}', 'old', 'x', {now})"),
        format!(
            "insert into person (id, login, name, role, password, created_at_us) \
             values ('pers_{ID}', 'ann@example.com', 'Ann', 'owner', '{}', {now})",
            hash_password("correct horse battery", &cheap, &door.state.random).expose()
        ),
        format!(
            "insert into sign_in (id, person_id, digest, source, agent, created_at_us, seen_at_us, confirmed_at_us) \
             values ('sign_{ID}', 'pers_{ID}', 'c9be978c78a8f914f22e86206fa888b985008bf31de259fa64275813146229e2', '127.0.0.1', 'test', {now}, {now}, {now})"
        ),
        format!(
            "insert into person (id, login, name, role, created_at_us) \
             values ('pers_01jb3k5m7n9p0q1r2s3t4v5w7x', 'bob@example.com', 'Bob', 'support', {now})"
        ),
        format!(
            "insert into invitation (digest, person_id, expires_at_us) \
             values ('322c9a3bd3a96100da6219356fe542257228186d3f9c26a8a2627c8c54a90b42', 'pers_01jb3k5m7n9p0q1r2s3t4v5w7x', {now} + 60000000)"
        ),
    ];
    let written = door.state.database.write(move |tx| {
        Box::pin(async move {
            for statement in statements {
                sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut *tx).await?;
            }
            Ok::<_, sqlx::Error>(())
        })
    });
    written.await.unwrap();
    let made = door.post("/access-numbers", &json!({ "number": "+15551230000", "country": "US", "default": true })).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let top_up = json!({ "amount": { "amount": "5.00", "currency": "EUR" }, "payment": "pay_1" });
    let made = door.send("POST", &format!("/accounts/acct_{ID}/top_up"), &[("idempotency-key", "first")], Some(&top_up)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let file = json!("prefix,name,per_minute\n420,Czechia,0.60\n1,North America,0.02\n");
    let import = format!("/decks/deck_{ID}/import");
    let report = door.send("POST", &import, &[("content-type", "text/csv")], Some(&file)).await;
    assert_eq!(report.status, 200, "{}", report.text);
    let fingerprint = report.body["report"]["fingerprint"].as_str().unwrap();
    let applied = door.send("POST", &format!("{import}?fingerprint={fingerprint}"), &[("content-type", "text/csv")], Some(&file)).await;
    assert_eq!(applied.status, 201, "{}", applied.text);
    let older = format!(
        "insert into deck_version (id, deck_id, number, fingerprint, state, rounding, effective_from_us, created_at_us) \
         values ('dver_{ID}', 'deck_{ID}', 0, 'x', 'active', 'up', 0, 0)"
    );
    let written = door.state.database.write(move |tx| Box::pin(async move { sqlx::query(sqlx::AssertSqlSafe(older)).execute(tx).await }));
    written.await.unwrap();
    hold_import(&door.state, ID);
    door
}

/// An import that may be applied, under the id of the examples.
pub fn hold_import(state: &State, id: &str) {
    use callthrough::rating::import;
    use callthrough::types::{DeckId, TenantId};
    let deck: DeckId = format!("deck_{id}").parse().unwrap();
    let sheet = import::read("prefix,name,per_minute\n420,Czechia,0.70\n44,UK,0.02\n".as_bytes(), &import::Format::default()).unwrap();
    let now = state.clock.timestamp();
    let comparison = import::Comparison::new(&state.decks, deck, sheet, import::Rules::default(), now);
    let report = comparison.report();
    let held = state.imports.begin_as(format!("imp_{id}").parse().unwrap(), &state.clock, deck, Some(TenantId::MAIN)).unwrap();
    held.becomes(import::State::Checked(std::sync::Arc::new(import::Checked { comparison, report })), state.clock.now());
}

/// Sends one example of an operation: `wanted` where a part has one, else its good one. Nothing if no part has `wanted`.
async fn send(description: &Value, operation: &Operation<'_>, wanted: &str, kind: Kind, wrong: &mut Vec<String>) -> Option<Answer> {
    let example = |holder: &Value, which: &str| holder["examples"].get(which).map(|example| example["value"].clone());
    let body = operation.shape.get("requestBody").map(|body| body["content"].as_object().unwrap().iter().next().unwrap());
    let body_has = body.is_some_and(|(_, content)| example(content, wanted).is_some());
    let parameters_have = operation.parameters.iter().any(|parameter| example(parameter, wanted).is_some());
    let ways = operation.shape["security"].as_array();
    let by_cookie = ways.and_then(|ways| ways.first()).is_some_and(|way| way["session"].is_array());
    // What has nothing else to be wrong comes from a page of somebody else's.
    let forged = wanted == "bad" && !body_has && !parameters_have && by_cookie;
    if !body_has && !parameters_have && !forged && (wanted == "bad" || body.is_some()) {
        return None;
    }
    // A bad body is sent to a good address.
    let which = if body_has { "good" } else { wanted };
    let (mut path, mut query, mut headers) = (operation.path.to_owned(), Vec::new(), Vec::new());
    for parameter in &operation.parameters {
        let Some(value) = example(parameter, which).or_else(|| example(parameter, "good")) else { continue };
        let (name, value) = (parameter["name"].as_str().unwrap(), value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        match parameter["in"].as_str().unwrap() {
            "path" => path = path.replace(&format!("{{{name}}}"), &value),
            "query" => query.push((name.to_owned(), value)),
            "header" => headers.push((name.to_owned(), value)),
            other => panic!("parameters in {other}"),
        }
    }
    if !query.is_empty() {
        write!(path, "?{}", serde_urlencoded::to_string(query).unwrap()).unwrap();
    }
    let sent = body.map(|(kind, content)| {
        if kind != "application/json" {
            headers.push(("content-type".to_owned(), kind.clone()));
        }
        example(content, wanted).or_else(|| example(content, "good")).unwrap()
    });
    if let Some((_, content)) = body
        && wanted == "good"
        && content["schema"]["type"] != "string"
    {
        check(description, &content["schema"], sent.as_ref().unwrap(), operation.id, wrong);
    }
    let door = furnished(kind).await;
    if by_cookie {
        headers.push(("cookie".to_owned(), SIGNED_IN.to_owned()));
        headers.push(("x-csrf-token".to_owned(), if forged { "forged" } else { CSRF }.to_owned()));
    }
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let before = lines_in_the_log(&door).await;
    let answer = door.send(&operation.method.to_uppercase(), &path, &headers, sent.as_ref()).await;
    let added = lines_in_the_log(&door).await - before;
    let expected = answer.status < 300 && operation.method != "get" && !UNLOGGED.contains(&operation.id);
    if expected != (added > 0) {
        wrong.push(format!("{}: {} with {added} lines in the audit log", operation.id, answer.status));
    }
    Some(answer)
}

async fn lines_in_the_log(door: &Door) -> i64 {
    let mut connection = door.state.database.read().await.unwrap();
    sqlx::query_scalar("select count(*) from audit").fetch_one(&mut *connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_good_example_succeeds_and_its_answer_fits() {
    good_examples(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_good_example_succeeds_on_postgresql_too() {
    good_examples(Kind::Postgres).await;
}

async fn good_examples(kind: Kind) {
    let description = description();
    let mut wrong = Vec::new();
    for operation in operations(&description).iter().filter(|operation| !LIVE.contains(&operation.id)) {
        let Some(answer) = send(&description, operation, "good", kind, &mut wrong).await else {
            wrong.push(format!("{}: there is no good example", operation.id));
            continue;
        };
        let Some(response) = operation.shape["responses"].get(answer.status.to_string()).filter(|_| answer.status < 300) else {
            wrong.push(format!("{}: {} {}", operation.id, answer.status, answer.text));
            continue;
        };
        match response["content"].as_object().and_then(|content| content.iter().next()) {
            Some((kind, _)) if !answer.header("content-type").starts_with(kind.as_str()) => {
                wrong.push(format!("{}: the answer is {}", operation.id, answer.header("content-type")));
            }
            Some((kind, content)) if kind == "application/json" => {
                check(&description, &content["schema"], &answer.body, operation.id, &mut wrong);
            }
            Some(_) => {}
            None if answer.text.is_empty() => {}
            None => wrong.push(format!("{}: a body that is not described: {}", operation.id, answer.text)),
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_example_is_refused_with_a_message() {
    let description = description();
    let mut wrong = Vec::new();
    for operation in &operations(&description) {
        let Some(answer) = send(&description, operation, "bad", Kind::Sqlite, &mut wrong).await else {
            wrong.push(format!("{}: there is no bad example", operation.id));
            continue;
        };
        if !(400..500).contains(&answer.status) || !is_sentence(&answer.body["message"]) {
            wrong.push(format!("{}: {} {}", operation.id, answer.status, answer.text));
        }
        check(&description, &json!({ "$ref": "#/components/schemas/Problem" }), &answer.body, operation.id, &mut wrong);
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_fits_while_it_is_up_and_when_it_is_charged() {
    let description = description();
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let door = Door::beside(board.database.clone(), board.clock.clone(), board.calls.clone()).await;
    let mut a = alice.calls(PRAGUE).await;
    let mut b = north.gets_a_call().await;
    b.answers().await;
    a.is_answered().await;
    let up = until("the call on the list", async || board.calls.list().into_iter().find(|call| call.answered.is_some())).await.id;
    board.goes_by(61).await;

    let fits = |name: &str, answer: &Answer| {
        let mut wrong = Vec::new();
        check(&description, &json!({ "$ref": format!("#/components/schemas/{name}") }), &answer.body, name, &mut wrong);
        assert!(answer.status == 200 && wrong.is_empty(), "{}\n{}", wrong.join("\n"), answer.text);
    };
    fits("Calls", &door.get("/calls").await);
    let call = door.get(&format!("/calls/{up}")).await;
    fits("Call", &call);
    assert_eq!((&call.body["caller"], &call.body["state"]), (&json!(ALICE), &json!("connected")));

    assert_eq!(door.send("POST", &format!("/calls/{up}/hang_up"), &[], None).await.status, 202);
    a.is_hung_up().await;
    b.is_hung_up().await;
    board.record().await;
    let record = door.get(&format!("/cdrs/{up}")).await;
    fits("CdrWhole", &record);
    fits("Cdrs", &door.get("/cdrs").await);
    assert_eq!((&record.body["cause"], &record.body["duration_secs"]), (&json!("operator"), &json!("61.000")));
    assert_eq!(record.body["charge"]["amount"], "0.61");
    assert_eq!(door.send("POST", &format!("/calls/{up}/hang_up"), &[], None).await.status, 404);
}

/// Says why `value` does not fit `schema`: the part of JSON Schema that the description uses.
fn check(description: &Value, schema: &Value, value: &Value, place: &str, problems: &mut Vec<String>) {
    let schema = resolve(description, schema);
    if let Some(choices) = schema["oneOf"].as_array() {
        let fitting = choices.iter().filter(|choice| {
            let mut own = Vec::new();
            check(description, choice, value, place, &mut own);
            own.is_empty()
        });
        if fitting.count() != 1 {
            problems.push(format!("{place}: {value} fits not exactly one of the choices"));
        }
        return;
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let fits = |choice| {
            let mut own = Vec::new();
            check(description, choice, value, place, &mut own);
            own.is_empty()
        };
        if !choices.iter().any(fits) {
            problems.push(format!("{place}: {value} fits none of the choices"));
        }
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is = |kind: &&str| match *kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the type {other} is not known"),
    };
    if !kinds.is_empty() && !kinds.iter().any(is) {
        problems.push(format!("{place}: {value} is not {kinds:?}"));
        return;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        problems.push(format!("{place}: {value} is none of {allowed:?}"));
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str()) {
        let fitting = regex::Regex::new(pattern).unwrap_or_else(|error| panic!("{place}: {error}"));
        if !fitting.is_match(text) {
            problems.push(format!("{place}: {text} does not fit {pattern}"));
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        check(description, &schema["items"], item, &format!("{place}[{index}]"), problems);
    }
    if let Value::Object(fields) = value {
        let known = properties(description, schema);
        check_fields(description, schema, &known, fields, place, problems);
    }
}

fn check_fields(
    description: &Value,
    schema: &Value,
    known: &BTreeMap<&str, &Value>,
    fields: &Map<String, Value>,
    place: &str,
    problems: &mut Vec<String>,
) {
    for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(required) {
            problems.push(format!("{place}: {required} is missing"));
        }
    }
    if known.is_empty() {
        return;
    }
    for (name, value) in fields {
        match known.get(name.as_str()) {
            Some(schema) => check(description, schema, value, &format!("{place}.{name}"), problems),
            None => problems.push(format!("{place}: {name} is not described")),
        }
    }
}

/// The properties of a schema, those of its parts included.
fn properties<'a>(description: &'a Value, schema: &'a Value) -> BTreeMap<&'a str, &'a Value> {
    let mut known = BTreeMap::new();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        known.extend(properties(description, resolve(description, part)));
    }
    known.extend(schema["properties"].as_object().into_iter().flatten().map(|(name, shape)| (name.as_str(), shape)));
    known
}

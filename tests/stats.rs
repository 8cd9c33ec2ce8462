//! How business goes: counted once each, in whatever order the records come, apart by tenant, and the same when counted again.

use std::time::Duration;

use callthrough::database::Kind;
use callthrough::stats;
use serde_json::{Value, json};

use crate::support::door::Door;

const SECOND: &str = "ten_01jb3k5m7n9p0q1r2s3t4v5w6x";
/// The doors stand at 2026-03-01T12:00:00Z.
const NOW: i64 = 1_772_366_400_000_000;
const MINUTE: i64 = 60_000_000;

/// Statements without arguments, in one transaction.
async fn run(door: &Door, statements: Vec<String>) {
    let done = door.state.database.write(move |tx| {
        Box::pin(async move {
            for statement in statements {
                sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut *tx).await?;
            }
            Ok::<_, callthrough::database::Error>(())
        })
    });
    done.await.unwrap();
}

/// A record with its note, as a call leaves them.
fn call(n: i64, tenant: &str, minutes_ago: i64, answered: bool) -> Vec<String> {
    let began = NOW - minutes_ago * MINUTE;
    let at = callthrough::types::Timestamp::from_micros(began);
    let outcome = if answered { "answered" } else { "busy" };
    let detail = json!({ "attempts": [
        { "trunk": "north", "outcome": "trunk_unreachable", "at": at, "millis": 10 },
        { "trunk": "south", "outcome": outcome, "at": at, "millis": 10 },
    ] });
    let (answered_at, duration, billed, charge) =
        if answered { (began.to_string(), 90_000_000_000_i64, 90, 450_000) } else { ("null".to_owned(), 0, 0, 0) };
    vec![
        format!("insert into cdr_uncounted (call_id) values ('call_{n:026}')"),
        format!(
            "insert into cdr (call_id, tenant_id, dialled, cause, began_at_us, answered_at_us, ended_at_us, duration_ns, billed_secs, currency, \
             charge_micros, detail) values ('call_{n:026}', '{tenant}', '+15551230000', '{outcome}', {began}, {answered_at}, {began}, {duration}, \
             {billed}, 'EUR', {charge}, '{detail}')"
        ),
    ]
}

fn request(n: i64, minutes_ago: i64, state: &str) -> String {
    let at = NOW - minutes_ago * MINUTE;
    format!(
        "insert into reservation (id, subscriber_id, access_number, destination, state, rule, created_at_us, expires_at_us, late_until_us) \
         values ('rsv_{n:026}', 'sub_x', '+15551230000', '+15551231234', '{state}', 'x', {at}, {at}, {at})"
    )
}

async fn furnished(kind: Kind) -> Door {
    let door = Door::on(kind).await;
    let main = "ten_00000000000000000000000000";
    let mut all = vec![
        format!("insert into tenant (id, slug, name, created_at_us) values ('{SECOND}', 'second', 'Second', 0)"),
        "insert into account (id, currency, created_at_us) values ('acct_x', 'EUR', 0)".to_owned(),
        "insert into subscriber (id, account_id, name, home_country, created_at_us) values ('sub_x', 'acct_x', 'Alice', 'US', 0)"
            .to_owned(),
    ];
    all.extend(call(1, main, 5, true));
    all.extend(call(2, main, 10, false));
    all.extend(call(3, main, 130, true));
    all.extend(call(4, main, 60 * 30, true));
    all.extend(call(5, SECOND, 5, true));
    all.extend([request(1, 2, "used"), request(2, 3, "expired"), request(3, 90, "expired"), request(4, 91, "used")]);
    run(&door, all).await;
    door
}

async fn count(door: &Door) {
    let now = door.state.clock.timestamp();
    door.state.database.write(move |tx| Box::pin(stats::count_calls(tx, now))).await.unwrap();
    door.state.database.write(move |tx| Box::pin(stats::count_requests(tx, now))).await.unwrap();
}

async fn overview(door: &Door, tenant: &str) -> Value {
    let answer = door.send("GET", "/stats/overview", &[("Callthrough-Tenant", tenant)], None).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_counted_once_on_sqlite() {
    counted_once(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_counted_once_on_postgresql() {
    counted_once(Kind::Postgres).await;
}

async fn counted_once(kind: Kind) {
    let door = furnished(kind).await;
    count(&door).await;
    count(&door).await;
    let main = overview(&door, "ten_00000000000000000000000000").await;
    let wanted = json!({
        "calls": 3, "answered": 2, "answer_ratio": "0.667", "talk_secs": 180, "average_secs": 90, "billed_secs": 180,
        "spend": [{ "amount": "0.90", "currency": "EUR" }], "requests": 4, "never_arrived": 2,
    });
    assert_eq!(main["last_day"], wanted);
    assert_eq!((&main["day_before"]["calls"], &main["day_before"]["requests"]), (&json!(1), &json!(0)));
    // The operator sees the carriers whole, whichever tenant they work for; the last hour holds three of the calls.
    let south = json!({ "trunk": "south", "attempts": 3, "answered": 2, "failed": 0, "answer_ratio": "0.667" });
    assert_eq!(main["trunks"][1], south);
    assert_eq!((&main["trunks"][0]["trunk"], &main["trunks"][0]["failed"]), (&json!("north"), &json!(3)));
    let second = overview(&door, SECOND).await;
    assert_eq!((&second["last_day"]["calls"], &second["last_day"]["requests"]), (&json!(1), &json!(0)));

    let series = door.get("/stats/series?span=24h").await;
    let items = series.body["items"].as_array().unwrap();
    assert_eq!(
        (items.len(), &items[23]["at"], &items[22]["calls"], &items[20]["calls"]),
        (24, &json!("2026-03-01T12:00:00Z"), &json!(2), &json!(1))
    );
    let month = door.get("/stats/series?span=30d").await;
    assert_eq!((month.body["items"].as_array().map(Vec::len), &month.body["items"][29]["calls"]), (Some(30), &json!(3)));
    assert_eq!(month.body["items"][28]["calls"], 1);

    // Thrown away and counted again from the records, all is as before.
    let now = door.state.clock.timestamp();
    door.state.database.write(move |tx| Box::pin(stats::recount(tx, now))).await.unwrap();
    assert_eq!(overview(&door, "ten_00000000000000000000000000").await["last_day"], wanted);
    // A record that comes late goes where it belongs.
    run(&door, call(6, "ten_00000000000000000000000000", 130, false)).await;
    count(&door).await;
    let series = door.get("/stats/series?span=24h").await;
    assert_eq!(series.body["items"][20]["calls"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_undecided_until_its_call_can_no_longer_come() {
    let door = furnished(Kind::Sqlite).await;
    count(&door).await;
    door.state.clock.advance(Duration::from_secs(660));
    count(&door).await;
    let series = door.get("/stats/series").await;
    let sums = |field: &str| series.body["items"].as_array().unwrap().iter().map(|item| item[field].as_i64().unwrap()).sum::<i64>();
    assert_eq!((sums("requests"), sums("never_arrived")), (4, 2));
}

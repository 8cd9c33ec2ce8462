//! What went over the wire is told of each call, both legs, without secrets, to the operator and to nobody else.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use callthrough::people::key::NewKey;
use callthrough::people::{Principal, Role, Who};
use callthrough::sip::{Body, InDialog, LegEvent};
use callthrough::trace::{Config, Keeping};
use callthrough::types::{CallId, TenantId};
use serde_json::Value;

use crate::support::door::{Answer, Door};
use crate::support::switchboard::{ALICE, PRAGUE, Plan, Switchboard};
use crate::support::until;

/// Longer than a call's last words take.
const LAST_WORDS: Duration = Duration::from_secs(6);

async fn traced(calls: Keeping) -> Switchboard {
    Switchboard::planned(Plan { trace: Config { calls, ..Config::default() }, ..Plan::default() }).await
}

async fn door(board: &Switchboard) -> Door {
    Door::tracing(board.database.clone(), board.clock.clone(), board.calls.clone(), board.trace.clone()).await
}

/// `leg way first-line` of each message.
fn rungs(answer: &Answer) -> Vec<String> {
    let text = |message: &Value, name: &str| message[name].as_str().unwrap().to_owned();
    let messages = answer.body["messages"].as_array().unwrap_or_else(|| panic!("{}", answer.text));
    let rung = |message: &Value| {
        let first = text(message, "text").lines().next().unwrap().split('@').next().unwrap().to_owned();
        format!("{} {} {first}", text(message, "leg"), text(message, "way"))
    };
    messages.iter().map(rung).collect()
}

/// A call in which a key is pressed, to its end.
async fn a_call(board: &Switchboard) -> CallId {
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let mut a = alice.calls(PRAGUE).await;
    let mut b = north.gets_a_call().await;
    b.rings().await;
    b.answers().await;
    a.is_answered().await;
    let id = until("the call on the list", async || board.calls.list().into_iter().find(|call| call.answered.is_some())).await.id;
    let key = Body { content_type: Cow::Borrowed("application/dtmf-relay"), bytes: "Signal=7\r\nDuration=160\r\n".into() };
    a.asks(InDialog::Info, Some(key)).await;
    let request = loop {
        match b.hears().await {
            LegEvent::Acked { .. } => {}
            LegEvent::Request { id, .. } => break id,
            event => panic!("no key but {event:?}"),
        }
    };
    b.responds(request, 200, None).await;
    assert!(matches!(a.hears().await, LegEvent::Response { status: 200, .. }));
    let door = door(board).await;
    until("the message with the key", async || {
        let told = door.get(&format!("/calls/{id}/messages")).await;
        rungs(&told).iter().any(|rung| rung.starts_with("a received INFO")).then_some(())
    })
    .await;
    a.hangs_up().await;
    b.is_hung_up().await;
    board.record().await;
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_legs_are_told_while_the_call_is_up_and_from_the_books_later() {
    let mut board = traced(Keeping::Books).await;
    let id = a_call(&board).await;
    let path = format!("/calls/{id}/messages");
    let at_once = door(&board).await;
    // The last answers may still be on their way.
    let first = until("the last words", async || {
        let told = at_once.get(&path).await;
        let all = rungs(&told);
        (all.iter().filter(|rung| rung.ends_with("SIP/2.0 200 OK")).count() == 6).then_some(told)
    })
    .await;
    let all = rungs(&first);
    assert_eq!(all[0], "a received INVITE sip:+15551230000");
    for rung in [
        "a sent SIP/2.0 100 Trying",
        "b sent INVITE sip:+420601123456",
        "b received SIP/2.0 180 Ringing",
        "a sent SIP/2.0 180 Ringing",
        "a received ACK",
        "b sent ACK",
        "b sent INFO",
        "a received BYE",
        "b sent BYE",
    ] {
        assert!(all.iter().any(|one| one.starts_with(rung)), "{rung}: {all:#?}");
    }
    let whole = first.text.clone();
    assert!(whole.contains("Signal=x") && !whole.contains("Signal=7"), "the key that was pressed is nowhere: {whole}");
    assert_eq!(first.body["left_out"], 0);

    board.clock.advance(LAST_WORDS);
    until("the row", async || {
        let count: i64 =
            sqlx::query_scalar("select count(*) from call_message").fetch_one(&mut *board.database.read().await.unwrap()).await.unwrap();
        (count == 1).then_some(())
    })
    .await;
    board.is_killed_and_starts_again().await;
    let later = door(&board).await.get(&path).await;
    assert_eq!(rungs(&later)[..all.len()], all[..], "the same by the books");

    board.clock.advance(Duration::from_secs(1));
    let before = board.clock.timestamp();
    let forgotten = board.database.write(move |tx| Box::pin(callthrough::trace::forget(tx, before))).await.unwrap();
    assert_eq!(forgotten, 1);
    let gone = door(&board).await.get(&path).await;
    assert!(gone.status == 404 && gone.text.contains("trace.kept_days"), "{}", gone.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_operator_sees_them_and_in_the_right_tenant() {
    let board = traced(Keeping::Memory).await;
    let id = a_call(&board).await;
    let path = format!("/calls/{id}/messages");
    let door = door(&board).await;
    assert_eq!(door.get(&path).await.status, 200);
    let made = door.post("/tenants", &serde_json::json!({ "slug": "other", "name": "Other", "home_country": "CZ" })).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let other = made.body["id"].as_str().unwrap().to_owned();
    assert_eq!(door.send("GET", &path, &[("callthrough-tenant", &other)], None).await.status, 404, "the call is another tenant's");
    for (tenant, scopes, status) in
        [(Some(TenantId::MAIN), Role::Owner.scopes(), 403), (None, Role::Owner.scopes(), 200), (None, BTreeSet::default(), 403)]
    {
        let (clock, random) = (board.clock.clone(), door.state.random.clone());
        let made = board.database.write(move |tx| {
            Box::pin(async move {
                let by = Principal { who: Who::Server, name: "somebody".to_owned(), tenant: None, scopes: Role::Owner.scopes() };
                callthrough::people::key::make(
                    tx,
                    &by,
                    NewKey { tenant, name: "test".to_owned(), scopes, expires_at: None },
                    &clock,
                    &random,
                )
                .await
            })
        });
        let key = made.await.unwrap().1;
        let told = door.as_key(key.expose()).send("GET", &path, &[], None).await;
        assert_eq!(told.status, status, "{tenant:?}: {}", told.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_kept_unless_the_operator_wants_it() {
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let mut a = alice.calls(PRAGUE).await;
    north.gets_a_call().await.refuses(486).await;
    a.is_refused().await;
    let record = board.record().await;
    let told = door(&board).await.get(&format!("/calls/{}/messages", record.call)).await;
    assert!(told.status == 404 && told.text.contains("Set trace.calls"), "{}", told.text);
    assert!(!board.trace.is_on());
}

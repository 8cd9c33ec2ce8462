//! What a call costs the books alone: let in, answered, closed, on SQLite, in this process.

use std::sync::Arc;
use std::time::Duration;

use callthrough::b2bua::books::Authorise;
use callthrough::database::Kind;
use callthrough::types::{AccountId, SubscriberId};

use super::support::desk::{Desk, wide};
use super::support::traffic::usage;
use super::{Size, millis};

/// Accounts that the calls are spread over.
const PAYERS: usize = 200;
/// How long a call is up.
const UP: Duration = Duration::from_millis(300);

/// CPU of one call, in milliseconds.
pub fn cpu_millis(size: Size) -> f64 {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let desk = Arc::new(Desk::with(Kind::Sqlite, 0, wide()).await);
        let payers = payers(&desk).await;
        let pid = std::process::id();
        let before = usage(pid);
        let mut tick = tokio::time::interval(Duration::from_secs(1) / size.rate);
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..size.calls {
            tick.tick().await;
            let (desk, subscriber) = (Arc::clone(&desk), payers[number as usize % PAYERS]);
            calls.spawn(async move {
                let ask = Authorise { subscriber, ..desk.ask("+420601123456") };
                let call = ask.call;
                desk.books.authorise(ask).await.expect("there is credit");
                desk.books
                    .answered(call, None, desk.clock.timestamp(), String::from("[null,null]"), None)
                    .await
                    .expect("the books are there");
                tokio::time::sleep(UP).await;
                desk.books.close(desk.closing(call, Some(UP))).await.expect("the books are there");
            });
        }
        calls.join_all().await;
        let spent = millis(before, usage(pid)) / f64::from(size.calls);
        desk.verified().await;
        spent
    })
}

async fn payers(desk: &Desk) -> Vec<SubscriberId> {
    let mut payers = Vec::with_capacity(PAYERS);
    for _ in 0..PAYERS {
        let (account, subscriber) = (AccountId::new(&desk.clock, &desk.random), SubscriberId::new(&desk.clock, &desk.random));
        desk.add_account(account).await;
        desk.add_subscriber(subscriber, account).await;
        desk.execute(&format!("update account set credit_limit_micros = 1000000000 where id = '{account}'")).await.expect("an account");
        payers.push(subscriber);
    }
    payers
}

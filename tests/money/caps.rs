//! Caps of a whole tenant, and of calls a minute, hold whatever happens at once.

use std::sync::Arc;
use std::time::Duration;

use callthrough::b2bua::books::{Authorise, NotExtended};
use callthrough::database::Kind;
use callthrough::fraud::{Book, Policy};
use callthrough::types::{AccountId, CallId, Refusal, SubscriberId, TenantId};

use crate::support::desk::Desk;

super::on_both!(
    two_hundred_calls_at_once_keep_the_tenants_calls_at_once,
    two_hundred_calls_at_once_keep_the_tenants_spending,
    a_tenants_cap_stops_extension_and_counts_each_currency_by_itself,
    two_hundred_calls_at_once_keep_the_calls_a_minute,
    who_is_switched_off_talks_to_the_end_of_what_is_paid,
);

/// Callers, each with an account of their own.
const CALLERS: usize = 200;
const MAIN: TenantId = TenantId::MAIN;

/// Subscribers of the tenant with 5.00 each on accounts of their own, so that nothing but the tenant's caps is in their way.
async fn callers(desk: &Desk) -> Vec<SubscriberId> {
    let mut made = Vec::new();
    for _ in 0..CALLERS {
        let (account, subscriber) = (AccountId::new(&desk.clock, &desk.random), SubscriberId::new(&desk.clock, &desk.random));
        desk.add_account(account).await;
        desk.add_subscriber(subscriber, account).await;
        let key = format!("payment {account}");
        desk.post(callthrough::ledger::Draft { account, ..desk.draft(5_000_000, &key) }).await.unwrap();
        made.push(subscriber);
    }
    made
}

/// All of them call at once. Who got through, and why the others did not.
async fn all_call(desk: &Arc<Desk>, callers: &[SubscriberId]) -> (Vec<(SubscriberId, CallId)>, Vec<Refusal>) {
    let mut calls = tokio::task::JoinSet::new();
    for &subscriber in callers {
        let desk = Arc::clone(desk);
        calls.spawn(async move {
            let ask = Authorise { subscriber, ..desk.ask("+421601123456") };
            let call = ask.call;
            desk.books.authorise(ask).await.map(|_| (subscriber, call)).map_err(|refused| refused.refusal())
        });
    }
    let (through, refused): (Vec<_>, Vec<_>) = calls.join_all().await.into_iter().partition(Result::is_ok);
    (through.into_iter().filter_map(Result::ok).collect(), refused.into_iter().filter_map(Result::err).collect())
}

async fn all_end(desk: &Arc<Desk>, calls: &[(SubscriberId, CallId)], talked: Option<Duration>) {
    for &(subscriber, call) in calls {
        let closing = callthrough::b2bua::books::Closing { subscriber: Some(subscriber), ..desk.closing(call, talked) };
        desk.books.close(closing).await.unwrap();
    }
}

async fn two_hundred_calls_at_once_keep_the_tenants_calls_at_once(kind: Kind) {
    const MOST: usize = 30;
    let desk = Arc::new(Desk::open(kind, 0).await);
    let callers = callers(&desk).await;
    desk.execute(&format!("update tenant set max_calls = {MOST} where id = '{MAIN}'")).await.unwrap();
    for round in 0..3 {
        let (through, refused) = all_call(&desk, &callers).await;
        assert_eq!(through.len(), MOST, "round {round}");
        assert!(refused.iter().all(|refusal| *refusal == Refusal::TooManyCalls), "round {round}: {refused:?}");
        all_end(&desk, &through, None).await;
    }
    desk.execute(&format!("update tenant set max_calls = null where id = '{MAIN}'")).await.unwrap();
    let (through, _) = all_call(&desk, &callers).await;
    assert_eq!(through.len(), CALLERS, "without the cap nothing is in the way");
    all_end(&desk, &through, None).await;
    assert_eq!(desk.verified().await.open_holds, 0);
}

async fn two_hundred_calls_at_once_keep_the_tenants_spending(kind: Kind) {
    let desk = Arc::new(Desk::open(kind, 0).await);
    let callers = callers(&desk).await;
    // Twenty first minutes of 0.60, and nearly one more.
    desk.execute(&format!("update tenant set spend_cap_micros = 12599999 where id = '{MAIN}'")).await.unwrap();
    let (through, refused) = all_call(&desk, &callers).await;
    assert_eq!(through.len(), 20);
    assert!(refused.iter().all(|refusal| *refusal == Refusal::SpendCap), "{refused:?}");
    // What was held is spent by half of them, and the others give it back.
    let (talked, silent) = through.split_at(10);
    all_end(&desk, talked, Some(Duration::from_secs(30))).await;
    all_end(&desk, silent, None).await;
    let (through, refused) = all_call(&desk, &callers).await;
    assert_eq!((through.len(), refused.len()), (10, CALLERS - 10), "what was spent today stays spent");
    all_end(&desk, &through, None).await;
    desk.clock.advance(Duration::from_secs(24 * 3600));
    let (through, _) = all_call(&desk, &callers).await;
    assert_eq!(through.len(), 20, "a new day");
    all_end(&desk, &through, None).await;
    desk.verified().await;
}

async fn a_tenants_cap_stops_extension_and_counts_each_currency_by_itself(kind: Kind) {
    let desk = Desk::open(kind, 50_000_000).await;
    desk.execute(&format!("update tenant set spend_cap_micros = 1000000 where id = '{MAIN}'")).await.unwrap();
    let (call, first) = desk.authorise("+420601123456").await.unwrap();
    assert_eq!(first.grant.funded, Duration::from_secs(60));
    assert_eq!(desk.books.extend(call).await.unwrap().funded, Duration::from_secs(100), "1.00 at 0.60 a minute");
    assert!(matches!(desk.books.extend(call).await, Err(NotExtended::Exhausted)));
    assert_eq!(desk.authorise("+420601123456").await.unwrap_err().refusal(), Refusal::SpendCap);
    desk.execute(&format!("update account set currency = 'USD' where id = '{}'", desk.account)).await.unwrap();
    let other = AccountId::new(&desk.clock, &desk.random);
    desk.add_account(other).await;
    let somebody = SubscriberId::new(&desk.clock, &desk.random);
    desk.add_subscriber(somebody, other).await;
    desk.post(callthrough::ledger::Draft { account: other, ..desk.draft(5_000_000, "the other") }).await.unwrap();
    let ask = Authorise { subscriber: somebody, ..desk.ask("+420601123456") };
    assert!(desk.books.authorise(ask).await.is_ok(), "dollars do not count against euros");
}

async fn two_hundred_calls_at_once_keep_the_calls_a_minute(kind: Kind) {
    let desk = Arc::new(Desk::open(kind, 500_000_000).await);
    let mut book = Book::default();
    book.policies.insert(MAIN, Policy { max_calls_minute: Some(7), ..Policy::default() });
    desk.rules.swap(book);
    let alone = vec![desk.subscriber; CALLERS];
    let (through, refused) = all_call(&desk, &alone).await;
    assert_eq!(through.len(), 7);
    assert!(refused.iter().all(|refusal| *refusal == Refusal::TooFast), "{refused:?}");
    all_end(&desk, &through, None).await;
    desk.clock.advance(Duration::from_secs(59));
    assert_eq!(all_call(&desk, &alone).await.0.len(), 0, "calls that are over count too");
    desk.clock.advance(Duration::from_secs(2));
    assert_eq!(all_call(&desk, &alone).await.0.len(), 7, "a minute later");
}

async fn who_is_switched_off_talks_to_the_end_of_what_is_paid(kind: Kind) {
    let desk = Desk::open(kind, 50_000_000).await;
    let (call, _) = desk.authorise("+420601123456").await.unwrap();
    desk.execute(&format!("update subscriber set enabled = 0 where id = '{}'", desk.subscriber)).await.unwrap();
    assert!(matches!(desk.books.extend(call).await, Err(NotExtended::Exhausted)));
    assert_eq!(desk.authorise("+420601123456").await.unwrap_err().refusal(), Refusal::Disabled);
}

use std::sync::Arc;
use std::time::Duration;

use callthrough::b2bua::books::Authorise;
use callthrough::database::Kind;
use callthrough::types::{Micros, Refusal, SubscriberId};

use crate::support::desk::Desk;

super::on_both!(
    two_hundred_calls_at_once_spend_what_is_there_and_no_more,
    extensions_compete_for_the_same_credit,
    one_reservation_has_one_winner
);

/// R3: credit for ten minutes and a few micro-units; 200 calls of two subscribers at once on one account.
async fn two_hundred_calls_at_once_spend_what_is_there_and_no_more(kind: Kind) {
    const CREDIT: i64 = 10 * 600_000 + 299_999;
    let desk = Arc::new(Desk::open(kind, CREDIT).await);
    let other = SubscriberId::new(&desk.clock, &desk.random);
    desk.add_subscriber(other, desk.account).await;
    let rounds = if crate::support::long_form() { 50 } else { 2 };
    for _ in 0..rounds {
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..200 {
            let desk = Arc::clone(&desk);
            calls.spawn(async move {
                let subscriber = if number % 2 == 0 { desk.subscriber } else { other };
                let ask = Authorise { subscriber, ..desk.ask("+421601123456") };
                let call = ask.call;
                desk.books.authorise(ask).await.map(|_| call).map_err(|refused| refused.refusal())
            });
        }
        let outcomes = calls.join_all().await;
        let winners: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.ok()).collect();
        assert_eq!(winners.len(), usize::try_from(CREDIT / 600_000).unwrap(), "as many as the credit pays for");
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(Refusal::NotEnoughCredit))));
        assert_eq!(desk.account().await.available(), Ok(Micros::new(CREDIT % 600_000)));

        let mut closes = tokio::task::JoinSet::new();
        for (place, call) in winners.into_iter().enumerate() {
            let desk = Arc::clone(&desk);
            let talked = (place == 0).then_some(Duration::from_secs(59));
            closes.spawn(async move { desk.books.close(desk.closing(call, talked)).await.unwrap() });
        }
        closes.join_all().await;
        let account = desk.account().await;
        assert_eq!((account.balance.get(), account.held.get()), (CREDIT - 600_000, 0), "exact to the micro-unit");
        desk.top_up(600_000).await;
    }
    desk.verified().await;
}

async fn extensions_compete_for_the_same_credit(kind: Kind) {
    let desk = Arc::new(Desk::open(kind, 6_000_000).await);
    let mut calls = Vec::new();
    for _ in 0..5 {
        calls.push(desk.authorise("+421601123456").await.unwrap().0);
    }
    let mut extensions = tokio::task::JoinSet::new();
    for call in calls.iter().copied().cycle().take(40) {
        let desk = Arc::clone(&desk);
        extensions.spawn(async move { desk.books.extend(call).await.is_ok() });
    }
    let granted = extensions.join_all().await.into_iter().filter(|&granted| granted).count();
    assert_eq!(granted, 5, "five more minutes were left");
    let account = desk.account().await;
    assert_eq!((account.held.get(), account.available()), (6_000_000, Ok(Micros::ZERO)));
    for call in calls {
        desk.books.close(desk.closing(call, Some(Duration::from_secs(7200)))).await.unwrap();
    }
    assert_eq!(desk.balance().await, 0, "every call is charged to the end of its funded time");
    desk.verified().await;
}

async fn one_reservation_has_one_winner(kind: Kind) {
    let desk = Arc::new(Desk::open(kind, 600_000_000).await);
    let reservation = callthrough::types::ReservationId::new(&desk.clock, &desk.random);
    let now = desk.clock.timestamp().as_micros();
    desk.execute(&format!(
        "insert into reservation (id, subscriber_id, access_number, destination, state, rule, created_at_us, expires_at_us, late_until_us)
         values ('{reservation}', '{}', '+442079460123', '+421601123456', 'pending', 'test', {now}, {now} + 60000000, {now} + 70000000)",
        desk.subscriber,
    ))
    .await
    .unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let desk = Arc::clone(&desk);
        calls.spawn(async move {
            let ask = Authorise { reservation: Some(reservation), ..desk.ask("+421601123456") };
            desk.books.authorise(ask).await.map(drop).map_err(|refused| refused.refusal())
        });
    }
    let outcomes = calls.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(()) | Err(Refusal::ReservationUsed))));
    assert_eq!(desk.account().await.held.get(), 600_000, "losers hold nothing");
}

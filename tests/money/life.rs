use std::time::Duration;

use callthrough::b2bua::books::{Closed, NotAuthorised, NotExtended};
use callthrough::database::Kind;
use callthrough::ledger;
use callthrough::types::{Micros, Refusal, ReservationId, SubscriberId};

use crate::support::desk::{Desk, wide};

super::on_both!(
    a_call_is_held_charged_and_recorded,
    a_call_nobody_answers_costs_nothing,
    a_refused_call_leaves_a_record_and_nothing_else,
    the_worked_example_with_two_calls,
    our_own_delay_is_never_charged,
    every_limit_is_checked_in_the_transaction,
    a_reservation_is_claimed_with_the_hold_and_undone_with_it,
    a_fine_price_is_exact_to_the_micro_unit,
    a_spend_cap_counts_what_was_settled_today,
);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

async fn a_call_is_held_charged_and_recorded(kind: Kind) {
    let desk = Desk::open(kind, 1_000_000).await;
    let (call, authorised) = desk.authorise("+420601123456").await.unwrap();
    assert_eq!((authorised.grant.funded, authorised.grant.more), (secs(60), true));
    assert_eq!(desk.account().await.available(), Ok(Micros::new(400_000)));

    desk.books.answered(call, None, desk.clock.timestamp(), "{}".into(), None).await.unwrap();
    desk.clock.advance(Duration::from_secs(30));
    let grant = desk.books.extend(call).await.unwrap();
    assert_eq!((grant.hold, grant.funded, grant.more), (authorised.grant.hold, secs(100), false));
    desk.clock.advance(Duration::from_millis(30_001));
    let closed = desk.books.close(desk.closing(call, Some(Duration::from_millis(60_001)))).await.unwrap();

    assert_eq!(closed, Closed::Written(Micros::new(610_000)), "61 seconds at 0.60 a minute");
    let account = desk.account().await;
    assert_eq!((account.balance.get(), account.held.get()), (390_000, 0));
    let record = desk.record(call).await.unwrap();
    let (quote, charge) = record.charged.unwrap();
    assert_eq!((charge.billed_secs, charge.numerator, charge.amount.get()), (61, 36_600_000_000, 610_000));
    assert_eq!((quote.prefix.as_str(), quote.name.as_str()), ("420", "by the second"));
    assert_eq!(record.duration, Duration::from_millis(60_001));
    let counts = desk.verified().await;
    assert_eq!((counts.postings, counts.holds, counts.open_holds, counts.records), (2, 1, 0, 1));

    assert_eq!(desk.books.close(desk.closing(call, Some(secs(99)))).await.unwrap(), Closed::Already);
    assert_eq!(desk.balance().await, 390_000, "a call is charged once");
}

async fn a_call_nobody_answers_costs_nothing(kind: Kind) {
    let desk = Desk::open(kind, 1_000_000).await;
    let (call, _) = desk.authorise("+421601123456").await.unwrap();
    assert_eq!(desk.books.close(desk.closing(call, None)).await.unwrap(), Closed::Written(Micros::ZERO));
    let account = desk.account().await;
    assert_eq!((account.balance.get(), account.held.get()), (1_000_000, 0));
    let record = desk.record(call).await.unwrap();
    assert_eq!((record.answered_at, record.cause.code()), (None, "cancelled"));
    desk.verified().await;
}

async fn a_refused_call_leaves_a_record_and_nothing_else(kind: Kind) {
    let desk = Desk::open(kind, 299_999).await;
    let ask = desk.ask("+420601123456");
    let call = ask.call;
    let refused = desk.books.authorise(ask).await.unwrap_err();
    assert_eq!(refused.refusal(), Refusal::NotEnoughCredit);
    let mut closing = desk.closing(call, None);
    closing.cause = callthrough::call::Cause::Refused(refused.refusal());
    desk.books.close(closing).await.unwrap();
    assert_eq!(desk.record(call).await.unwrap().cause.code(), "not_enough_credit");
    let counts = desk.verified().await;
    assert_eq!((counts.holds, counts.records), (0, 1));
}

async fn the_worked_example_with_two_calls(kind: Kind) {
    let desk = Desk::open(kind, 1_000_000).await;
    let (first, granted) = desk.authorise("+420601123456").await.unwrap();
    assert_eq!(granted.grant.funded, secs(60));
    let (second, granted) = desk.authorise("+420601123457").await.unwrap();
    assert_eq!((granted.grant.funded, granted.grant.more), (secs(40), false));
    assert!(matches!(desk.books.extend(first).await, Err(NotExtended::Exhausted)));
    assert_eq!(desk.account().await.available(), Ok(Micros::ZERO));
    desk.clock.advance(secs(60));
    for (call, talked) in [(first, 60), (second, 40)] {
        desk.books.close(desk.closing(call, Some(secs(talked)))).await.unwrap();
    }
    assert_eq!(desk.balance().await, 0);
    desk.verified().await;

    let desk = Desk::open(kind, 1_000_000).await;
    let (first, granted) = desk.authorise("+421601123456").await.unwrap();
    assert_eq!((granted.grant.funded, granted.grant.more), (secs(60), false));
    assert!(matches!(desk.books.extend(first).await, Err(NotExtended::Exhausted)));
    let refused = desk.authorise("+421601123457").await.unwrap_err();
    assert_eq!(refused.refusal(), Refusal::NotEnoughCredit, "0.40 does not pay one increment");
}

async fn our_own_delay_is_never_charged(kind: Kind) {
    let desk = Desk::open(kind, 600_000).await;
    let (call, granted) = desk.authorise("+420601123456").await.unwrap();
    assert_eq!(granted.grant.funded, secs(60));
    desk.clock.advance(secs(63));
    desk.books.close(desk.closing(call, Some(Duration::from_millis(62_500)))).await.unwrap();
    assert_eq!(desk.balance().await, 0, "charged to the end of the funded time, not beyond");
    desk.verified().await;
}

async fn every_limit_is_checked_in_the_transaction(kind: Kind) {
    let limits = ledger::Config { max_calls: 2, max_calls_hour: 3, max_price_per_minute: Micros::new(600_000), ..wide() };
    let desk = Desk::with(kind, 50_000_000, limits).await;
    let refusal = |refused: NotAuthorised| refused.refusal();
    assert_eq!(desk.authorise("+881601123456").await.map(drop).map_err(refusal), Err(Refusal::NoRate), "too dear");
    assert_eq!(desk.authorise("+77001234567").await.map(drop).map_err(refusal), Err(Refusal::NoRate), "no price");
    let (first, _) = desk.authorise("+33155501234").await.unwrap();
    let (second, _) = desk.authorise("+33155501235").await.unwrap();
    assert_eq!(desk.authorise("+33155501236").await.map(drop).map_err(refusal), Err(Refusal::TooManyCalls), "free calls count too");
    desk.books.close(desk.closing(first, None)).await.unwrap();
    let (third, _) = desk.authorise("+420601123456").await.unwrap();
    for call in [second, third] {
        desk.books.close(desk.closing(call, None)).await.unwrap();
    }
    assert_eq!(desk.authorise("+420601123456").await.map(drop).map_err(refusal), Err(Refusal::TooFast));
    desk.clock.advance(secs(3601));
    desk.authorise("+420601123456").await.unwrap();
    desk.execute("update subscriber set enabled = 0").await.unwrap();
    assert_eq!(desk.authorise("+420601123456").await.map(drop).map_err(refusal), Err(Refusal::Disabled));
}

async fn a_reservation_is_claimed_with_the_hold_and_undone_with_it(kind: Kind) {
    let desk = Desk::open(kind, 0).await;
    let reservation = ReservationId::new(&desk.clock, &desk.random);
    let now = desk.clock.timestamp().as_micros();
    let insert = format!(
        "insert into reservation (id, subscriber_id, access_number, destination, state, rule, created_at_us, expires_at_us, late_until_us)
         values ('{reservation}', '{}', '+442079460123', '+420601123456', 'pending', 'test', {now}, {}, {})",
        desk.subscriber,
        now + 60_000_000,
        now + 70_000_000
    );
    desk.execute(&insert).await.unwrap();
    let ask = || callthrough::b2bua::books::Authorise { reservation: Some(reservation), ..desk.ask("+420601123456") };
    let claimed = async |expected: Result<(), Refusal>| {
        let ask = ask();
        let call = ask.call;
        assert_eq!(desk.books.authorise(ask).await.map(drop).map_err(|refused| refused.refusal()), expected);
        call
    };
    claimed(Err(Refusal::NotEnoughCredit)).await;
    desk.top_up(1_000_000).await;
    let call = claimed(Ok(())).await;
    claimed(Err(Refusal::ReservationUsed)).await;

    let closing = callthrough::b2bua::books::Closing { reservation: Some(reservation), ..desk.closing(call, None) };
    desk.books.close(closing).await.unwrap();
    let call = claimed(Ok(())).await;
    desk.books.answered(call, Some(reservation), desk.clock.timestamp(), "{}".into(), None).await.unwrap();
    let closing = callthrough::b2bua::books::Closing { reservation: Some(reservation), ..desk.closing(call, Some(secs(1))) };
    desk.books.close(closing).await.unwrap();
    claimed(Err(Refusal::NoReservation)).await;
    assert_eq!(desk.balance().await, 990_000);
    desk.verified().await;
}

async fn a_fine_price_is_exact_to_the_micro_unit(kind: Kind) {
    let desk = Desk::open(kind, 10_000_000).await;
    let mut spent = 0;
    for (talked, charge) in [(1, 50_229), (29, 56_622), (61, 63_929)] {
        let (call, _) = desk.authorise("+15551231234").await.unwrap();
        if talked > 30 {
            desk.books.extend(call).await.unwrap();
        }
        let closed = desk.books.close(desk.closing(call, Some(secs(talked)))).await.unwrap();
        assert_eq!(closed, Closed::Written(Micros::new(charge)));
        spent += charge;
    }
    assert_eq!(desk.balance().await, 10_000_000 - spent);
    desk.verified().await;
}

async fn a_spend_cap_counts_what_was_settled_today(kind: Kind) {
    let desk = Desk::with(kind, 50_000_000, ledger::Config { spend_cap: Micros::new(1_000_000), ..wide() }).await;
    let (call, _) = desk.authorise("+420601123456").await.unwrap();
    desk.books.close(desk.closing(call, Some(secs(60)))).await.unwrap();
    let (call, granted) = desk.authorise("+420601123456").await.unwrap();
    assert_eq!(granted.grant.funded, secs(40), "0.40 of the cap is left");
    assert!(matches!(desk.books.extend(call).await, Err(NotExtended::Exhausted)));
    let refused = desk.authorise("+420601123456").await.unwrap_err();
    assert_eq!(refused.refusal(), Refusal::SpendCap);
    let other = SubscriberId::new(&desk.clock, &desk.random);
    desk.add_subscriber(other, desk.account).await;
    let ask = callthrough::b2bua::books::Authorise { subscriber: other, ..desk.ask("+420601123456") };
    desk.books.authorise(ask).await.expect("a cap is its subscriber's own");
    desk.books.close(desk.closing(call, Some(secs(40)))).await.unwrap();
    desk.clock.advance(Duration::from_secs(86_400));
    assert_eq!(desk.authorise("+420601123456").await.unwrap().1.grant.funded, secs(60), "a new day");
}

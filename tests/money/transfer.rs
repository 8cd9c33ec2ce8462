use std::sync::Arc;

use callthrough::database::Kind;
use callthrough::ledger::transfer::{self, NotMade, Transfer, Wanted};
use callthrough::types::{AccountId, Micros, TenantId};

use crate::support::desk::Desk;
use crate::support::long_form;

super::on_both!(
    a_transfer_moves_what_is_there_and_no_more,
    transfers_both_ways_at_once_lose_and_invent_nothing,
    a_transfer_that_does_not_add_up_is_named
);

fn wanted(from: AccountId, to: AccountId, amount: i64, key: &str) -> Wanted {
    Wanted {
        tenant: TenantId::MAIN,
        from,
        to,
        amount: Micros::new(amount),
        currency: "EUR".parse().unwrap(),
        reason: "shared".into(),
        by: "server".into(),
        key: key.into(),
    }
}

async fn make(desk: &Desk, wanted: Wanted) -> Result<Transfer, NotMade> {
    let (clock, random) = (desk.clock.clone(), desk.random.clone());
    let made = desk.database.write(move |tx| Box::pin(async move { transfer::make(tx, wanted, &clock, &random).await }));
    made.await.unwrap()
}

async fn balance(desk: &Desk, id: AccountId) -> i64 {
    let mut connection = desk.database.read().await.unwrap();
    callthrough::ledger::store::get(&mut connection, id).await.unwrap().unwrap().balance.get()
}

async fn a_transfer_moves_what_is_there_and_no_more(kind: Kind) {
    let desk = Desk::open(kind, 5_000_000).await;
    let other = AccountId::new(&desk.clock, &desk.random);
    desk.add_account(other).await;
    // Money that a call may take does not go elsewhere: the hold is 0.60.
    let (call, _) = desk.authorise("+420601123456").await.unwrap();
    assert_eq!(make(&desk, wanted(desk.account, other, 4_400_001, "a")).await, Err(NotMade::NotEnough(Micros::new(4_400_000))));
    let made = make(&desk, wanted(desk.account, other, 4_400_000, "b")).await.unwrap();
    assert_eq!((balance(&desk, desk.account).await, balance(&desk, other).await), (600_000, 4_400_000));
    assert_eq!(make(&desk, wanted(desk.account, desk.account, 1, "c")).await, Err(NotMade::Same));
    assert_eq!(make(&desk, wanted(desk.account, other, 0, "d")).await, Err(NotMade::Amount));
    assert_eq!(make(&desk, wanted(desk.account, other, -5, "e")).await, Err(NotMade::Amount));
    let dollars = Wanted { currency: "USD".parse().unwrap(), ..wanted(other, desk.account, 1, "f") };
    assert!(matches!(make(&desk, dollars).await, Err(NotMade::Currency(..))));
    desk.books.close(desk.closing(call, None)).await.unwrap();
    let mut connection = desk.database.read().await.unwrap();
    let filter = transfer::Filter { tenant: TenantId::MAIN, account: Some(other) };
    assert_eq!(transfer::list(&mut connection, filter, None, 10).await.unwrap(), [made]);
    drop(connection);
    desk.verified().await;
}

/// Two accounts, a hundred transfers at once, half of them the other way round, round after round.
async fn transfers_both_ways_at_once_lose_and_invent_nothing(kind: Kind) {
    const ALL: i64 = 3_000_000;
    let desk = Arc::new(Desk::open(kind, ALL).await);
    let other = AccountId::new(&desk.clock, &desk.random);
    desk.add_account(other).await;
    let rounds = if long_form() { 100 } else { 3 };
    let (mut made, mut refused) = (0, 0);
    for round in 0..rounds {
        let mut transfers = tokio::task::JoinSet::new();
        for number in 0..100 {
            let desk = Arc::clone(&desk);
            transfers.spawn(async move {
                let (from, to) = if number % 2 == 0 { (desk.account, other) } else { (other, desk.account) };
                make(&desk, wanted(from, to, 700_000, &format!("{round}/{number}"))).await
            });
        }
        for outcome in transfers.join_all().await {
            match outcome {
                Ok(_) => made += 1,
                Err(NotMade::NotEnough(left)) => {
                    assert!(left < Micros::new(700_000) && left >= Micros::ZERO);
                    refused += 1;
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        let (ours, theirs) = (balance(&desk, desk.account).await, balance(&desk, other).await);
        assert!(ours >= 0 && theirs >= 0 && ours + theirs == ALL, "round {round}: {ours} and {theirs}");
    }
    assert!(made > 0, "none of {refused} was made");
    desk.verified().await;
    println!("{rounds} rounds of 100 transfers: {made} made, {refused} refused");
}

async fn a_transfer_that_does_not_add_up_is_named(kind: Kind) {
    let desk = Desk::open(kind, 5_000_000).await;
    let other = AccountId::new(&desk.clock, &desk.random);
    desk.add_account(other).await;
    let made = make(&desk, wanted(desk.account, other, 1_000_000, "a")).await.unwrap();
    desk.verified().await;
    for (damage, repair, told) in [
        (
            "update transfer set amount_micros = 1000001",
            "update transfer set amount_micros = 1000000",
            format!("transfer {}: does not take from one account what it gives to the other", made.id),
        ),
        (
            "update transfer set in_posting = out_posting",
            &*format!("update transfer set in_posting = '{}'", made.in_posting),
            format!("transfer {}: does not take", made.id),
        ),
        ("update transfer set id = 'xfer_00000000000000000000000000'", "", "transfer xfer_00000000000000000000000000: does not".into()),
        (
            "delete from transfer",
            "",
            format!("posting {}: belongs to no transfer", made.out_posting.to_string().min(made.in_posting.to_string())),
        ),
    ] {
        desk.execute(damage).await.unwrap();
        let finding = callthrough::ledger::verify(&desk.database, desk.clock.timestamp()).await.unwrap().expect_err(damage);
        assert!(finding.to_string().starts_with(&told), "{damage}: {finding}");
        if !repair.is_empty() {
            desk.execute(repair).await.unwrap();
            desk.verified().await;
        }
    }
}

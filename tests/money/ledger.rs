use callthrough::database::Kind;
use callthrough::ledger::store::Wanted;
use callthrough::ledger::{self, Draft, LedgerError};
use callthrough::types::Micros;

use crate::support::desk::Desk;

super::on_both!(a_top_up_under_one_key_moves_money_once, postings_and_entries_are_only_added, a_list_of_postings_goes_back_in_time);

async fn a_top_up_under_one_key_moves_money_once(kind: Kind) {
    let desk = std::sync::Arc::new(Desk::open(kind, 0).await);
    let mut posts = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let desk = std::sync::Arc::clone(&desk);
        posts.spawn(async move { desk.post(desk.draft(1_250_000, "event 1")).await.unwrap().replayed });
    }
    let replayed = posts.join_all().await.into_iter().filter(|&replayed| replayed).count();
    assert_eq!((replayed, desk.balance().await), (19, 1_250_000));

    assert!(matches!(desk.post(desk.draft(1_250_001, "event 1")).await, Err(LedgerError::KeyUsed)));
    assert!(matches!(desk.post(desk.draft(-1, "event 2")).await, Err(LedgerError::Draft(ledger::entry::DraftError::Amount))));
    let big = Draft { kind: ledger::Kind::Adjustment, ..desk.draft(-100_000_001, "event 3") };
    assert_eq!(desk.post(big).await.unwrap().balance, Micros::new(1_250_000 - 100_000_001));
    assert_eq!(desk.verified().await.postings, 2);
}

async fn postings_and_entries_are_only_added(kind: Kind) {
    let desk = Desk::open(kind, 1_000_000).await;
    for sql in ["update posting set note = 'x'", "delete from posting", "update entry set amount_micros = 0", "delete from entry"] {
        let refused = desk.execute(sql).await.expect_err(sql).to_string();
        assert!(refused.contains("append_only"), "{sql}: {refused}");
    }
    desk.verified().await;
}

async fn a_list_of_postings_goes_back_in_time(kind: Kind) {
    let desk = Desk::open(kind, 0).await;
    for number in 1..=5 {
        desk.post(desk.draft(number * 1000, &format!("event {number}"))).await.unwrap();
    }
    let mut connection = desk.database.read().await.unwrap();
    let newest = ledger::store::postings(&mut connection, desk.account, Wanted::default(), None, 3).await.unwrap();
    assert_eq!(newest.iter().map(|posting| posting.gain().unwrap().get()).collect::<Vec<_>>(), [5000, 4000, 3000]);
    let older = ledger::store::postings(&mut connection, desk.account, Wanted::default(), Some(3), 10).await.unwrap();
    assert_eq!(older.iter().map(|posting| posting.seq).collect::<Vec<_>>(), [2, 1]);
    assert!(older.iter().all(|posting| posting.entries.len() == 2 && posting.sums().values().all(|&sum| sum == 0)));
}

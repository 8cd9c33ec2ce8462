use std::time::Duration;

use callthrough::database::Kind;
use callthrough::ledger::statement::{self, Month};
use callthrough::ledger::{self, Draft};
use callthrough::types::{Micros, TenantId};

use crate::support::desk::Desk;

super::on_both!(a_month_has_what_the_one_before_left_and_what_moved, an_account_that_runs_low_is_told_of_once_and_again_after_a_top_up);

/// Movements over five months: in each, what was there and what moved is what is there after, on the account and in the books.
async fn a_month_has_what_the_one_before_left_and_what_moved(kind: Kind) {
    let desk = Desk::open(kind, 20_000_000).await;
    let first = Month::of(desk.clock.timestamp());
    for number in 0..40 {
        desk.clock.advance(Duration::from_secs(86_400 * 3 + desk.random.below(86_400)));
        if number % 4 == 0 {
            let (call, _) = desk.authorise("+420601123456").await.unwrap();
            desk.clock.advance(Duration::from_secs(10));
            desk.books.close(desk.closing(call, Some(Duration::from_secs(10)))).await.unwrap();
        } else {
            let amount = i64::try_from(desk.random.below(2_000_000)).unwrap() - 1_000_000;
            let draft = Draft { kind: ledger::Kind::Adjustment, ..desk.draft(amount | 1, &format!("event {number}")) };
            desk.post(draft).await.unwrap();
        }
    }
    let mut connection = desk.database.read().await.unwrap();
    let (mut left, mut lines, mut calls) = (Micros::ZERO, 0, 0);
    let mut months = first.until(Month::of(desk.clock.timestamp()));
    months.reverse();
    assert!(months.len() >= 4, "{months:?}");
    for month in months {
        let summary = statement::summary(&mut connection, desk.account, month).await.unwrap();
        assert_eq!(summary.opening, left, "{month}");
        let mut balance = summary.opening;
        let (mut after, mut all) = (0, Vec::new());
        loop {
            let page = statement::account_lines(&mut connection, desk.account, month, after, 3).await.unwrap();
            let Some(last) = page.last() else { break };
            after = last.posting.seq;
            all.extend(page);
        }
        for line in &all {
            balance = balance.plus(line.posting.gain().unwrap()).unwrap();
            assert_eq!(line.balance, balance, "{month}, entry {}", line.posting.seq);
            assert!((month.start()..month.end()).contains(&line.posting.at));
        }
        assert_eq!(balance, summary.closing, "{month}");
        let moved = summary.sums.iter().try_fold(Micros::ZERO, |sum, one| sum.plus(one.amount)).unwrap();
        assert_eq!(summary.opening.plus(moved), Ok(summary.closing));
        let books = statement::books(&mut connection, TenantId::MAIN, month).await.unwrap();
        assert_eq!(books.iter().map(|book| i128::from(book.amount.get())).sum::<i128>(), 0, "{month}");
        let mut tenant = Vec::new();
        loop {
            let last = tenant.last().map(|posting: &ledger::Posting| posting.id);
            let page = statement::tenant_lines(&mut connection, TenantId::MAIN, month, last, 4).await.unwrap();
            if page.is_empty() {
                break;
            }
            tenant.extend(page);
        }
        assert_eq!(tenant, all.iter().map(|line| line.posting.clone()).collect::<Vec<_>>(), "the tenant has this account only");
        let sums = statement::tenant_sums(&mut connection, TenantId::MAIN, month).await.unwrap();
        assert_eq!(sums.iter().map(|sum| sum.count).sum::<u64>(), u64::try_from(all.len()).unwrap());
        (left, lines, calls) = (summary.closing, lines + all.len(), calls + summary.calls);
        assert_eq!(summary.billed_secs, summary.calls * 10);
    }
    assert_eq!((left, lines, calls), (desk.account().await.balance, 41, 10));
    drop(connection);
    desk.verified().await;
}

async fn alerts(desk: &Desk) -> Option<i64> {
    let mut connection = desk.database.read().await.unwrap();
    sqlx::query_scalar("select times from alert where kind = 'low_balance' and subject = $1 and acknowledged_at_us is null")
        .bind(desk.account.to_string())
        .fetch_optional(&mut *connection)
        .await
        .unwrap()
}

/// 2.10 on the account and calls of 0.10: the second call takes it below 2.00.
async fn an_account_that_runs_low_is_told_of_once_and_again_after_a_top_up(kind: Kind) {
    let desk = Desk::open(kind, 0).await;
    desk.top_up(100_000).await;
    assert_eq!(alerts(&desk).await, None, "a payment is no news, however small");
    desk.top_up(2_000_000).await;
    for told in [None, Some(1), Some(1)] {
        let (call, _) = desk.authorise("+420601123456").await.unwrap();
        desk.books.close(desk.closing(call, Some(Duration::from_secs(10)))).await.unwrap();
        assert_eq!(alerts(&desk).await, told);
    }
    desk.top_up(1_000_000).await;
    let adjustment = |amount, key: &str| Draft { kind: ledger::Kind::Adjustment, ..desk.draft(amount, key) };
    desk.post(adjustment(-500_000, "more than is left above")).await.unwrap();
    assert_eq!(alerts(&desk).await, Some(1), "2.30 are left");
    desk.post(adjustment(-400_000, "and below again")).await.unwrap();
    assert_eq!(alerts(&desk).await, Some(2), "armed again");
    desk.verified().await;
}

use std::time::Duration;

use callthrough::database::Kind;
use callthrough::ledger;

use crate::support::desk::Desk;

super::on_both!(the_first_row_that_does_not_add_up_is_named, vouchers_and_approvals_stand_for_postings);

async fn the_first_row_that_does_not_add_up_is_named(kind: Kind) {
    let desk = Desk::open(kind, 5_000_000).await;
    let (call, _) = desk.authorise("+420601123456").await.unwrap();
    desk.books.close(desk.closing(call, Some(Duration::from_secs(10)))).await.unwrap();
    let (open, _) = desk.authorise("+420601123456").await.unwrap();
    let before = desk.verified().await;
    allow_changes(&desk).await;
    let charge = "id = (select id from posting where kind = 'charge')";
    let charge_entries = "posting_id = (select id from posting where kind = 'charge')";
    for (damage, repair, told) in [
        (
            "update account set balance_micros = balance_micros + 1",
            "update account set balance_micros = balance_micros - 1",
            "its entries sum to",
        ),
        (
            &*format!("update entry set amount_micros = amount_micros - 1 where line = 1 and {charge_entries}"),
            &*format!("update entry set amount_micros = amount_micros + 1 where line = 1 and {charge_entries}"),
            "sums to -1 micro-units of EUR instead of zero",
        ),
        (
            &*format!("update entry set amount_micros = amount_micros * 2 where {charge_entries}"),
            &*format!("update entry set amount_micros = amount_micros / 2 where {charge_entries}"),
            "was changed after it was posted",
        ),
        ("update posting set note = 'x'", "update posting set note = ''", "was changed after it was posted"),
        (
            &*format!("update posting set prev_hash = 'x' || prev_hash where {charge}"),
            &*format!("update posting set prev_hash = substr(prev_hash, 2) where {charge}"),
            "the chain is broken here",
        ),
        (
            &*format!("update posting set seq = 3 where {charge}"),
            &*format!("update posting set seq = 2 where {charge}"),
            "is number 3 of its account where 2 was due",
        ),
        (
            "update hold set settled_micros = 99999 where outcome = 'settled'",
            "update hold set settled_micros = 100000 where outcome = 'settled'",
            "was settled at 0.099999; 1 postings charge 0.10",
        ),
        (
            "update hold set outcome = 'released' where outcome = 'settled'",
            "update hold set outcome = 'settled' where outcome = 'released'",
            "no settled hold stands behind it",
        ),
        ("update cdr set charge_micros = 1", "update cdr set charge_micros = 100000", "its hold was settled at 0.10"),
        ("update cdr set duration_ns = 11000000000", "update cdr set duration_ns = 10000000000", "computed again it is 0.11 for 11 s"),
        ("update cdr set billed_secs = 11", "update cdr set billed_secs = 10", "computed again"),
        ("update cdr set call_id = 'call_00000000000000000000000000'", "", "has ended and left no record"),
    ] {
        let backup = desk.record(call).await;
        desk.execute(damage).await.unwrap();
        let finding = ledger::verify(&desk.database, desk.clock.timestamp()).await.unwrap().expect_err(damage);
        assert!(finding.to_string().contains(told), "{damage}: {finding}");
        if repair.is_empty() {
            let id = backup.unwrap().call;
            desk.execute(&format!("update cdr set call_id = '{id}'")).await.unwrap();
        } else {
            desk.execute(repair).await.unwrap();
        }
        assert_eq!(desk.verified().await, before, "{repair}");
    }
    desk.clock.advance(Duration::from_secs(61));
    let finding = ledger::verify(&desk.database, desk.clock.timestamp()).await.unwrap().expect_err("a silent call");
    assert!(finding.to_string().contains(&format!("is open without a live call: {open}")), "{finding}");
    desk.books.alive(&[open]).await.unwrap();
    assert_eq!(desk.verified().await, before);
}

async fn vouchers_and_approvals_stand_for_postings(kind: Kind) {
    const MAIN: &str = "ten_00000000000000000000000000";
    let desk = Desk::open(kind, 5_000_000).await;
    let (account, posting) = (desk.account, "(select max(id) from posting)");
    desk.execute(&format!(
        "insert into voucher_batch (id, tenant_id, name, amount_micros, currency, count, state, made_by, created_at_us)
         values ('vbat_1', '{MAIN}', 'spring', 5000000, 'EUR', 1, 'active', 'server', 0)"
    ))
    .await
    .unwrap();
    let voucher = |posting: &str| {
        format!(
            "insert into voucher (id, batch_id, tenant_id, number, digest, redeemed_at_us, account_id, posting_id)
             values ('vou_1', 'vbat_1', '{MAIN}', 1, 'x', 1, '{account}', {posting})"
        )
    };
    let approval = |state: &str, decided_by: &str, posting: &str| {
        format!(
            "insert into approval (id, tenant_id, movement, amount_micros, currency, subject, reason, asked_by, asked_for, asked_name,
                 asked_at_us, expires_at_us, state, decided_by, posting_id)
             values ('appr_1', '{MAIN}', '{{\"kind\":\"adjust\"}}', 1, 'EUR', 'x', 'x', 'key_1', 'pers_1', 'x', 0, 1, '{state}', {decided_by}, {posting})"
        )
    };
    for (damage, told) in [
        (voucher("null"), Some("voucher vou_1: is redeemed, and not by one posting")),
        (voucher(posting), Some("voucher vou_1: is redeemed, and not by one posting")),
        (approval("approved", "'pers_2'", "null"), Some("approval appr_1: is approved without")),
        (approval("approved", "'pers_1'", posting), Some("approval appr_1: is approved without")),
        (approval("approved", "'key_1'", posting), Some("approval appr_1: is approved without")),
        (approval("declined", "'pers_2'", posting), Some("approval appr_1: is approved without")),
        (approval("pending", "null", "null"), None),
        (approval("approved", "'pers_2'", posting), None),
    ] {
        desk.execute(&damage).await.unwrap();
        let found = ledger::verify(&desk.database, desk.clock.timestamp()).await.unwrap().err().map(|finding| finding.to_string());
        match told {
            Some(told) => assert!(found.as_deref().is_some_and(|found| found.starts_with(told)), "{damage}: {found:?}"),
            None => assert_eq!(found, None, "{damage}"),
        }
        desk.execute("delete from voucher; delete from approval").await.unwrap();
    }
}

/// Takes the guards away, as somebody with the database's password can.
async fn allow_changes(desk: &Desk) {
    let triggers = match desk.database.kind() {
        Kind::Sqlite => {
            "drop trigger posting_no_update; drop trigger posting_no_delete; drop trigger entry_no_update; drop trigger entry_no_delete"
        }
        Kind::Postgres => "drop trigger posting_no_change on posting; drop trigger entry_no_change on entry",
    };
    desk.execute(triggers).await.unwrap();
}

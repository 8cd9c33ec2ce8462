use std::time::Duration;

use callthrough::b2bua::books::{Closed, NotAuthorised, NotExtended};
use callthrough::database::Kind;
use callthrough::ledger;
use callthrough::types::Micros;
use sqlx::{AnyConnection, Connection as _, Executor as _};

use crate::support::desk::{Desk, wide};

super::on_both!(
    a_killed_server_charges_to_its_last_heartbeat,
    a_recovery_that_is_killed_starts_again,
    records_wait_while_the_database_is_away,
    a_hold_that_comes_too_late_is_given_back,
    a_close_that_fails_anywhere_changes_nothing,
);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

async fn a_killed_server_charges_to_its_last_heartbeat(kind: Kind) {
    let desk = Desk::open(kind, 10_000_000).await;
    let (ringing, _) = desk.authorise("+420601123456").await.unwrap();
    let (talking, _) = desk.authorise("+420601123457").await.unwrap();
    let (at_its_end, _) = desk.authorise("+420601123458").await.unwrap();
    for call in [talking, at_its_end] {
        desk.books.answered(call, None, desk.clock.timestamp(), r#"{"a":1}"#.into(), None).await.unwrap();
    }
    desk.clock.advance(secs(20));
    desk.books.alive(&[talking, ringing]).await.unwrap();
    desk.clock.advance(secs(38));
    desk.books.alive(&[at_its_end]).await.unwrap();
    desk.clock.advance(secs(600));

    let after = desk.restarted();
    let left = after.recover().await.unwrap();
    assert_eq!(left.len(), 3);
    assert_eq!(left.iter().find(|left| left.call == talking).unwrap().dialogs.as_deref(), Some(r#"{"a":1}"#));
    assert!(left.iter().any(|left| left.call == ringing && left.dialogs.is_none() && left.answered_at.is_none()));
    assert_eq!(after.close_abandoned(ringing).await.unwrap(), Closed::Written(Micros::ZERO));
    assert_eq!(after.close_abandoned(talking).await.unwrap(), Closed::Written(Micros::new(250_000)), "20 s and one heartbeat");
    assert_eq!(after.close_abandoned(at_its_end).await.unwrap(), Closed::Written(Micros::new(600_000)), "not beyond the funded minute");
    assert_eq!(desk.record(talking).await.unwrap().cause.code(), "server_restart");
    assert!(after.recover().await.unwrap().is_empty());
    assert_eq!(desk.balance().await, 10_000_000 - 850_000);
    assert_eq!(desk.verified().await.open_holds, 0);
}

async fn a_recovery_that_is_killed_starts_again(kind: Kind) {
    let desk = Desk::open(kind, 10_000_000).await;
    let (call, _) = desk.authorise("+420601123456").await.unwrap();
    desk.books.answered(call, None, desk.clock.timestamp(), "{}".into(), None).await.unwrap();
    for _ in 0..3 {
        let after = desk.restarted();
        for left in after.recover().await.unwrap() {
            after.close_abandoned(left.call).await.unwrap();
        }
        assert_eq!(desk.restarted().close_abandoned(call).await.unwrap(), Closed::Already);
        assert_eq!(desk.balance().await, 10_000_000 - 50_000);
    }
    desk.verified().await;
}

/// Somebody else has the books and does not let go.
async fn lock_everybody_out(desk: &Desk) -> AnyConnection {
    let mut connection = AnyConnection::connect(&desk.url).await.unwrap();
    let lock = match desk.database.kind() {
        Kind::Sqlite => "begin exclusive",
        Kind::Postgres => "begin; lock table account, hold, call, cdr in access exclusive mode",
    };
    connection.execute(lock).await.unwrap();
    connection
}

async fn let_in(mut connection: AnyConnection) {
    connection.execute("rollback").await.unwrap();
    connection.close().await.unwrap();
}

fn impatient() -> ledger::Config {
    ledger::Config { books_timeout_ms: 40, ..wide() }
}

async fn records_wait_while_the_database_is_away(kind: Kind) {
    let desk = Desk::with(kind, 10_000_000, impatient()).await;
    // The first call may be slow for reasons of the machine; patience is short here, so it may need a second try.
    let mut calls = Vec::new();
    while calls.len() < 2 {
        calls.extend(desk.authorise("+420601123456").await.map(|(call, _)| call));
    }
    let (first, second) = (calls[0], calls[1]);
    let lock = lock_everybody_out(&desk).await;
    assert!(matches!(desk.authorise("+420601123456").await, Err(NotAuthorised::Fault(_))), "no call is admitted free");
    assert!(matches!(desk.books.extend(first).await, Err(NotExtended::Fault(_))), "and none is extended");
    assert_eq!(desk.books.close(desk.closing(first, Some(secs(30)))).await.unwrap(), Closed::Spooled);
    assert_eq!(desk.books.close(desk.closing(second, Some(secs(10)))).await.unwrap(), Closed::Spooled);
    let_in(lock).await;

    let after = desk.restarted();
    assert_eq!(after.replay().await.unwrap(), 2);
    assert_eq!(after.replay().await.unwrap(), 0, "once");
    for left in after.recover().await.unwrap() {
        after.close_abandoned(left.call).await.unwrap();
    }
    assert_eq!(desk.balance().await, 10_000_000 - 400_000, "charged for what was talked, not for the heartbeat");
    assert_eq!(desk.record(first).await.unwrap().duration, secs(30));
}

async fn a_hold_that_comes_too_late_is_given_back(kind: Kind) {
    let desk = Desk::with(kind, 600_000, impatient()).await;
    let lock = lock_everybody_out(&desk).await;
    let ask = desk.ask("+421601123456");
    let call = ask.call;
    assert!(matches!(desk.books.authorise(ask).await, Err(NotAuthorised::Fault(_))));
    assert_eq!(desk.books.close(desk.closing(call, None)).await.unwrap(), Closed::Spooled);
    let_in(lock).await;
    let mut tries = 0;
    loop {
        desk.books.replay().await.unwrap();
        let counts = ledger::verify(&desk.database, desk.clock.timestamp()).await.unwrap();
        let settled = counts.is_ok_and(|counts| counts.open_holds == 0 && counts.records == 1);
        if settled && desk.account().await.available() == Ok(Micros::new(600_000)) {
            break;
        }
        tries += 1;
        assert!(tries < 400, "the hold leaked");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    desk.verified().await;
}

/// L7: the store fails at each statement in turn; the record waits, and nothing is half done.
async fn a_close_that_fails_anywhere_changes_nothing(kind: Kind) {
    let desk = Desk::open(kind, 10_000_000).await;
    let mut spent = 0;
    for (table, event) in [
        ("hold", "update"),
        ("call", "update"),
        ("posting", "insert"),
        ("entry", "insert"),
        ("account", "update"),
        ("subscriber", "update"),
        ("cdr", "insert"),
    ] {
        let (call, _) = desk.authorise("+420601123456").await.unwrap();
        let (fail, mend) = match kind {
            Kind::Sqlite => (
                format!("create trigger failing before {event} on {table} begin select raise(abort, 'disk on fire'); end"),
                "drop trigger failing".to_owned(),
            ),
            Kind::Postgres => (
                format!(
                    "create or replace function fail() returns trigger language plpgsql as $$ begin raise exception 'disk on fire'; end $$;
                     create trigger failing before {event} on {table} for each row execute function fail()"
                ),
                format!("drop trigger failing on {table}"),
            ),
        };
        desk.execute(&fail).await.unwrap();
        assert_eq!(desk.books.close(desk.closing(call, Some(secs(10)))).await.unwrap(), Closed::Spooled, "{table}");
        assert_eq!((desk.balance().await, desk.record(call).await), (10_000_000 - spent, None), "{table}");
        assert_eq!(desk.verified().await.open_holds, 1, "{table}");
        desk.execute(&mend).await.unwrap();
        assert_eq!(desk.books.replay().await.unwrap(), 1, "{table}");
        spent += 100_000;
        assert_eq!(desk.balance().await, 10_000_000 - spent, "{table}");
    }
    assert_eq!(desk.verified().await.open_holds, 0);
}

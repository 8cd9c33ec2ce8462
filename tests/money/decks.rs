use callthrough::database::Kind;
use callthrough::rating::import::{self, Apply, Format, ImportError};
use callthrough::rating::{self, Config};
use callthrough::types::{Clock, DeckId, Timestamp};

use crate::support::desk::Desk;

super::on_both!(an_import_goes_live_whole_and_as_it_was_shown, a_running_call_keeps_its_price, half_an_import_is_never_seen);

async fn an_import_goes_live_whole_and_as_it_was_shown(kind: Kind) {
    let desk = Desk::open(kind, 0).await;
    let deck = default_deck(&desk);
    let now = desk.clock.timestamp();
    let sheet = import::read("prefix,name,per_minute\n420,Czechia,0.70\n44,UK,0.02\n".as_bytes(), &Format::default()).unwrap();
    let report = import::dry_run(&desk.decks, deck, &sheet, now).unwrap();
    assert_eq!((report.rates, report.counts.added, report.counts.removed, report.counts.dearer), (2, 1, 4, 1));
    let later = now + std::time::Duration::from_secs(3600);
    let order = |fingerprint: &str| Apply { deck, sheet: sheet.clone(), fingerprint: fingerprint.into(), effective_from: later };
    let apply = async |order| import::apply(&desk.database, &desk.decks, &desk.clock, &desk.random, order).await;
    assert!(matches!(apply(order("something else")).await, Err(ImportError::Fingerprint)));
    apply(order(&report.fingerprint)).await.unwrap();
    assert!(matches!(apply(order(&report.fingerprint)).await, Err(ImportError::Fingerprint)), "the deck changed since");
    refresh(&desk, now).await;
    let price = |at| {
        desk.decks.quote(callthrough::types::TenantId::MAIN, None, "+420601123456".parse().unwrap(), at).unwrap().rate.per_minute.get()
    };
    assert_eq!((price(now), price(later)), (600_000_000, 700_000_000), "switched at its time");
    refresh(&desk, later).await;
    assert_eq!(price(later), 700_000_000);
    assert!(matches!(apply(Apply { deck: DeckId::new(&desk.clock, &desk.random), ..order("x") }).await, Err(ImportError::NoDeck)));
    let mut connection = desk.database.read().await.unwrap();
    let versions = rating::store::versions(&mut connection, deck).await.unwrap();
    assert_eq!(versions.iter().map(|version| version.number).collect::<Vec<_>>(), [2, 1]);
}

async fn a_running_call_keeps_its_price(kind: Kind) {
    let desk = Desk::open(kind, 1_000_000).await;
    let (call, _) = desk.authorise("+420601123456").await.unwrap();
    desk.import(default_deck(&desk), "prefix,per_minute\n420,0.90\n").await.unwrap();
    desk.books.close(desk.closing(call, Some(std::time::Duration::from_secs(10)))).await.unwrap();
    assert_eq!(desk.balance().await, 900_000, "by the price that was copied into its hold");
    desk.verified().await;
}

async fn half_an_import_is_never_seen(kind: Kind) {
    let desk = Desk::open(kind, 0).await;
    let deck = default_deck(&desk);
    desk.execute(&format!(
        "insert into deck_version (id, deck_id, number, fingerprint, state, rounding, effective_from_us, created_at_us)
             values ('dver_00000000000000000000000009', '{deck}', 2, 'x', 'importing', 'up', 0, 0);
         insert into rate (version_id, prefix, per_minute_nanos, first_secs, next_secs) values ('dver_00000000000000000000000009', '420', 1, 1, 1)"
    ))
    .await
    .unwrap();
    refresh(&desk, desk.clock.timestamp()).await;
    let quote =
        desk.decks.quote(callthrough::types::TenantId::MAIN, None, "+420601123456".parse().unwrap(), desk.clock.timestamp()).unwrap();
    assert_eq!(quote.rate.per_minute.get(), 600_000_000);
    desk.import(deck, "prefix,per_minute\n420,0.90\n").await.expect("the next import sweeps it away");
    let mut connection = desk.database.read().await.unwrap();
    let left: i64 = sqlx::query_scalar("select count(*) from rate where version_id = 'dver_00000000000000000000000009'")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

/// R18 in short: fifty thousand rates (half a million in the long form) within a bound of time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_deck_is_imported_while_calls_go_on() {
    let desk = Desk::open(Kind::Sqlite, 100_000_000).await;
    let rates = if crate::support::long_form() { 500_000 } else { 20_000 };
    let mut csv = String::from("prefix,name,per_minute\n420,Czechia,0.60\n");
    for value in 0..rates {
        use std::fmt::Write as _;
        writeln!(csv, "9{value:06},somewhere {},0.{:04}", value / 100, value % 9973).unwrap();
    }
    let deck = default_deck(&desk);
    let (clock, began) = (Clock::system(), Clock::system().now());
    let importing = desk.import(deck, &csv);
    let calling = async {
        for _ in 0..20 {
            let (call, _) = desk.authorise("+420601123456").await.unwrap();
            desk.books.close(desk.closing(call, None)).await.unwrap();
        }
    };
    let (imported, ()) = tokio::join!(importing, calling);
    imported.unwrap();
    println!("{rates} rates in {} ms", clock.now().since(began).as_millis());
    assert_eq!(
        desk.decks
            .quote(callthrough::types::TenantId::MAIN, None, "+9000017123456".parse().unwrap(), desk.clock.timestamp())
            .unwrap()
            .rate
            .per_minute
            .get(),
        1_700_000
    );
}

fn default_deck(desk: &Desk) -> DeckId {
    desk.decks.shelf().defaults[&callthrough::types::TenantId::MAIN]
}

async fn refresh(desk: &Desk, now: Timestamp) {
    rating::store::refresh(&desk.database, &desk.decks, &Config::default(), now).await.unwrap();
}

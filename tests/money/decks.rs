use callthrough::b2bua::books::{Authorise, Closed, Closing, Cost, Leaving};
use callthrough::database::Kind;
use callthrough::rating::import::{self, Apply, Format, ImportError};
use callthrough::rating::{self, Config};
use callthrough::types::{Clock, DeckId, Refusal, Timestamp};

use crate::support::desk::Desk;

super::on_both!(
    an_import_goes_live_whole_and_as_it_was_shown,
    a_running_call_keeps_its_price,
    half_an_import_is_never_seen,
    what_an_import_leaves_behind_is_swept_in_pieces,
    a_roll_back_is_a_new_version_that_equals_the_old,
    no_call_is_sold_below_what_its_carrier_takes,
    a_carrier_is_paid_for_calls_that_cost_their_caller_nothing_and_after_a_crash,
    a_call_over_the_end_of_peak_is_charged_for_both,
);

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

async fn what_an_import_leaves_behind_is_swept_in_pieces(kind: Kind) {
    let desk = Desk::open(kind, 0).await;
    let deck = default_deck(&desk);
    let now = desk.clock.timestamp().as_micros();
    desk.execute(&format!(
        "insert into deck_version (id, deck_id, number, fingerprint, state, rounding, effective_from_us, created_at_us)
             values ('dver_00000000000000000000000008', '{deck}', 2, 'x', 'importing', 'up', 0, {now});
         insert into rate (version_id, prefix, per_minute_nanos, first_secs, next_secs) values ('dver_00000000000000000000000008', '420', 1, 1, 1)"
    ))
    .await
    .unwrap();
    assert_eq!(import::sweep(&desk.database, desk.clock.timestamp()).await.unwrap(), 0, "one that may still go on is left alone");
    desk.clock.advance(std::time::Duration::from_secs(3601));
    assert_eq!(import::sweep(&desk.database, desk.clock.timestamp()).await.unwrap(), 1);
    let mut connection = desk.database.read().await.unwrap();
    let left: i64 =
        sqlx::query_scalar("select count(*) from deck_version where state = 'importing'").fetch_one(&mut *connection).await.unwrap();
    assert_eq!(left, 0);
}

async fn a_roll_back_is_a_new_version_that_equals_the_old(kind: Kind) {
    let desk = Desk::open(kind, 0).await;
    let deck = default_deck(&desk);
    let versions = async || rating::store::versions(&mut desk.database.read().await.unwrap(), deck).await.unwrap();
    let price = || {
        let at = desk.clock.timestamp();
        desk.decks.quote(callthrough::types::TenantId::MAIN, None, "+420601123456".parse().unwrap(), at).unwrap().rate.per_minute.get()
    };
    let first = versions().await.remove(0);
    desk.import(deck, "prefix,per_minute,periods,duration_rounding\n420,0.90,mo 08:00-09:00 0.95 @+01:00,nearest\n").await.unwrap();
    assert_eq!(price(), 900_000_000);
    let now = desk.clock.timestamp();
    import::roll_back(&desk.database, &desk.decks, &desk.clock, &desk.random, &first, now, |_| None).await.unwrap();
    refresh(&desk, now).await;
    assert_eq!(price(), 600_000_000);
    assert_eq!(versions().await.iter().map(|version| version.number).collect::<Vec<_>>(), [3, 2, 1], "nothing is taken away");
    // What is written down is what is in memory: another node reads it as it was.
    let fresh = rating::Decks::default();
    rating::store::refresh(&desk.database, &fresh, &Config::default(), now).await.unwrap();
    let mut connection = desk.database.read().await.unwrap();
    let second = versions().await.remove(1);
    let rates = rating::store::rates(&mut connection, &second, "", 10).await.unwrap();
    assert_eq!(rates[0].2.periods.to_string(), "mo 08:00-09:00 0.95 @+01:00");
    assert_eq!(rates[0].2.duration_rounding, rating::DurationRounding::Nearest);
    assert_eq!(fresh.shelf().decks[&deck].valid(now).unwrap().table, desk.decks.shelf().decks[&deck].valid(now).unwrap().table);
}

/// A carrier's deck in dollars, and what a dollar is in euros.
async fn carriers_deck(desk: &Desk, csv: &str, fx: Option<&str>) -> DeckId {
    let (id, now) = (DeckId::new(&desk.clock, &desk.random), desk.clock.timestamp());
    let (kind, currency) = (rating::Kind::Cost, "USD".parse().unwrap());
    let deck = rating::store::Deck { id, tenant: None, kind, name: format!("carrier {id}"), currency, created_at: now };
    desk.database.write(move |tx| Box::pin(async move { rating::store::create(tx, &deck).await })).await.unwrap();
    if let Some(rate) = fx {
        let rate = rating::FxRate { from: currency, to: "EUR".parse().unwrap(), rate: rate.parse().unwrap(), effective_from: now };
        assert!(desk.database.write(move |tx| Box::pin(async move { rating::store::add_fx_rate(tx, &rate, now).await })).await.unwrap());
    }
    desk.import(id, csv).await.unwrap();
    id
}

async fn no_call_is_sold_below_what_its_carrier_takes(kind: Kind) {
    let desk = Desk::open(kind, 10_000_000).await;
    let dear = carriers_deck(&desk, "prefix,per_minute,increment\n420,0.70,1/1\n", Some("0.9")).await;
    let fair = carriers_deck(&desk, "prefix,per_minute,increment\n420,0.50,30/30\n", None).await;
    let ask = |cost_decks| Authorise { cost_decks, ..desk.ask("+420601123456") };
    let refused = desk.books.authorise(ask(vec![Some(dear)])).await.unwrap_err().refusal();
    assert_eq!(refused, Refusal::NoMargin, "0.63 a minute is more than 0.60");
    let nobody = desk.books.authorise(Authorise { cost_decks: vec![Some(fair)], ..desk.ask("+15551231234") }).await.unwrap_err();
    assert_eq!(nobody.refusal(), Refusal::NoMargin, "a carrier without a price for the number does not get it");
    let order = ask(vec![Some(dear), None, Some(fair)]);
    let call = order.call;
    let costs = desk.books.authorise(order).await.unwrap().costs;
    let [Cost::TooMuch, Cost::Unknown, Cost::Known(buy)] = costs.as_slice() else { panic!("{costs:?}") };
    let leaving = Leaving { trunk: "north".into(), cost: Some(buy.clone()) };
    desk.books.answered(call, None, desk.clock.timestamp(), "{}".into(), Some(leaving)).await.unwrap();
    desk.clock.advance(std::time::Duration::from_secs(31));
    let closing = Closing { cost: Some(buy.clone()), ..desk.closing(call, Some(std::time::Duration::from_secs(31))) };
    desk.books.close(closing).await.unwrap();
    assert_eq!(desk.balance().await, 10_000_000 - 310_000);
    let (quote, cost) = desk.record(call).await.unwrap().cost.unwrap();
    assert_eq!((quote.currency.as_str(), cost.billed_secs, cost.amount.get()), ("USD", 60, 500_000));
    let books = "select cast(sum(amount_micros) as bigint) from entry where book = 'carrier_payable' and currency = 'USD'";
    let owed: i64 = sqlx::query_scalar(books).fetch_one(&mut *desk.database.read().await.unwrap()).await.unwrap();
    assert_eq!(owed, 500_000);
    desk.verified().await;
    desk.execute(&format!("update cdr set cost_micros = 400000 where call_id = '{call}'")).await.unwrap();
    let finding = callthrough::ledger::verify(&desk.database, desk.clock.timestamp()).await.unwrap().unwrap_err().to_string();
    assert!(finding.contains("carrier takes 0.40; 0.50 is posted"), "{finding}");
}

async fn a_carrier_is_paid_for_calls_that_cost_their_caller_nothing_and_after_a_crash(kind: Kind) {
    let desk = Desk::open(kind, 1_000_000).await;
    let deck = carriers_deck(&desk, "prefix,per_minute,increment\n33,0,1/1\n420,0.50,1/1\n", Some("0.9")).await;
    let free = Authorise { cost_decks: vec![Some(deck)], ..desk.ask("+33155501234") };
    let call = free.call;
    let costs = desk.books.authorise(free).await.unwrap().costs;
    let Cost::Known(buy) = &costs[0] else { panic!("{costs:?}") };
    let mut buy = buy.clone();
    buy.rate.connect_fee = callthrough::types::Micros::new(20_000);
    desk.books
        .answered(call, None, desk.clock.timestamp(), "{}".into(), Some(Leaving { trunk: "north".into(), cost: Some(buy) }))
        .await
        .unwrap();
    // The process is killed; the next one pays the carrier by what the call's row says.
    let next = desk.restarted();
    next.recover().await.unwrap();
    next.close_abandoned(call).await.unwrap();
    assert_eq!(next.close_abandoned(call).await.unwrap(), Closed::Already);
    let record = desk.record(call).await.unwrap();
    assert_eq!((record.trunk_out.as_deref(), record.cost.unwrap().1.amount.get()), (Some("north"), 20_000));
    assert_eq!(desk.balance().await, 1_000_000);
    desk.verified().await;
}

async fn a_call_over_the_end_of_peak_is_charged_for_both(kind: Kind) {
    let desk = Desk::open(kind, 10_000_000).await;
    // The desk's day is a Wednesday, 03:04:05 UTC: 45 seconds before 04:04:50 there.
    desk.import(default_deck(&desk), "prefix,per_minute,increment,periods\n420,0.30,1/1,mo-fr 00:00-03:05 0.60\n").await.unwrap();
    let (call, authorised) = desk.authorise("+420601123456").await.unwrap();
    assert_eq!(authorised.grant.funded, std::time::Duration::from_secs(60), "set aside at the dearest price, whenever B answers");
    let answered_at = desk.clock.timestamp();
    desk.books.answered(call, None, answered_at, "{}".into(), None).await.unwrap();
    desk.clock.advance(std::time::Duration::from_secs(40));
    let grant = desk.books.extend(call).await.unwrap();
    assert!(grant.funded >= std::time::Duration::from_secs(120), "{grant:?}");
    desk.clock.advance(std::time::Duration::from_secs(60));
    desk.books.close(desk.closing(call, Some(std::time::Duration::from_secs(100)))).await.unwrap();
    assert_eq!(desk.balance().await, 10_000_000 - 550_000 - 225_000, "55 s of peak and 45 s after it");
    desk.verified().await;
}

/// R18: two hundred thousand rates, three lines of them broken (half a million in the long form), while calls are let in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_deck_is_imported_while_calls_go_on() {
    use std::fmt::Write as _;
    let desk = Desk::open(Kind::Sqlite, 100_000_000).await;
    let rates = if crate::support::long_form() { 500_000 } else { 200_000 };
    let mut csv = String::from("Code,Destination,Price\n420,Czechia,0.60\n");
    for value in 0..rates {
        match value {
            1_000 => csv.push_str("9x,broken,0.01\n"),
            50_000 => csv.push_str("9,broken,\"0,01\"\n"),
            150_000 => csv.push_str("420,twice,0.02\n"),
            _ => {}
        }
        writeln!(csv, "9{value:06},somewhere {},0.{:04}", value / 100, value % 9973).unwrap();
    }
    let deck = default_deck(&desk);
    let Err(ImportError::Rejected { listed, count }) = import::read(csv.as_bytes(), &Format::default()) else {
        panic!("three lines are bad")
    };
    assert_eq!((count, listed.iter().map(|bad| bad.line).collect::<Vec<_>>()), (3, vec![1_003, 50_004, 150_005]));
    let (clock, before) = (Clock::system(), resident_kib());
    let began = clock.now();
    let importing = async {
        let now = desk.clock.timestamp();
        let sheet = import::read(csv.as_bytes(), &Format { max_rejects: 3, ..Format::default() }).unwrap();
        let read = clock.now().since(began).as_millis();
        let report = import::dry_run(&desk.decks, deck, &sheet, now).unwrap();
        assert_eq!((report.counts.added, report.rejected), (rates, 3));
        let compared = clock.now().since(began).as_millis();
        let order = Apply { deck, sheet, fingerprint: report.fingerprint, effective_from: now };
        import::apply(&desk.database, &desk.decks, &desk.clock, &desk.random, order).await.unwrap();
        refresh(&desk, now).await;
        let grown = resident_kib().saturating_sub(before) / 1024;
        let whole = clock.now().since(began).as_millis();
        println!("{rates} rates: read {read} ms, compared {compared} ms, live {whole} ms after the beginning; {grown} MiB more in memory");
        assert!(cfg!(debug_assertions) || whole < 10_000, "{whole} ms");
        assert!(cfg!(debug_assertions) || grown < 300, "{grown} MiB");
    };
    let calling = async {
        let mut longest = 0;
        for _ in 0..20 {
            let asked = clock.now();
            let (call, _) = desk.authorise("+420601123456").await.unwrap();
            longest = longest.max(clock.now().since(asked).as_millis());
            desk.books.close(desk.closing(call, None)).await.unwrap();
        }
        println!("a call waited {longest} ms at most for its authorisation");
        assert!(longest < 2000, "calls starve: {longest} ms");
    };
    tokio::join!(importing, calling);
    let price =
        |number: &str| desk.decks.quote(callthrough::types::TenantId::MAIN, None, number.parse().unwrap(), desk.clock.timestamp()).unwrap();
    assert_eq!(price("+9000017123456").rate.per_minute.get(), 1_700_000);
    let shelf = desk.decks.shelf();
    let table = &shelf.decks[&deck].valid(desk.clock.timestamp()).unwrap().table;
    let mut times: Vec<u128> = (0..20_000_u64)
        .map(|step| {
            let number = format!("+9{:06}1234", step * 7919 % rates).parse().unwrap();
            let asked = clock.now();
            std::hint::black_box(table.find(number));
            clock.now().since(asked).as_nanos()
        })
        .collect();
    times.sort_unstable();
    println!("look-up p99 {} ns", times[19_800]);
    assert!(times[19_800] < 50_000, "p99 is {} ns", times[19_800]);
}

/// What the process holds in memory now.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse().ok()).unwrap_or(0)
}

fn default_deck(desk: &Desk) -> DeckId {
    desk.decks.shelf().defaults[&callthrough::types::TenantId::MAIN]
}

async fn refresh(desk: &Desk, now: Timestamp) {
    rating::store::refresh(&desk.database, &desk.decks, &Config::default(), now).await.unwrap();
}

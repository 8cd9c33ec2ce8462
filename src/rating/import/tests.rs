use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::rating::{
    Deck, Decks, DurationRounding, Exchange, Fraction, FxRate, Kind, Periods, Prefix, Rate, Rounding, Shelf, Table, TableBuilder, Version,
};
use crate::types::{Clock, Currency, DeckId, DeckVersionId, Micros, Nanos, Random, TenantId, Timestamp};

fn read_text(text: &str, format: &Format) -> Result<Sheet, ImportError> {
    read(text.as_bytes(), format)
}

fn rejected(text: &str) -> Vec<(u64, String)> {
    match read_text(text, &Format::default()) {
        Err(ImportError::Rejected { listed, .. }) => listed.into_iter().map(|bad| (bad.line, bad.reason)).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn comma_semicolon_tab_and_the_byte_order_mark_are_read() {
    let comma =
        read_text("\u{feff}Prefix,Name,per_minute\n420,Czechia,0.0137\n+42060,\"Czechia, mobile\",0.05\n", &Format::default()).unwrap();
    let semicolon = Format { separator: Some(Separator::Semicolon), decimal_mark: DecimalMark::Comma, ..Format::default() };
    let semicolon = read_text("prefix;name;per_minute\r\n420;Czechia;0,0137\r\n42060;Czechia, mobile;0,05\r\n", &semicolon).unwrap();
    let tab = Format { separator: Some(Separator::Tab), ..Format::default() };
    let tab = read_text("per_minute\tprefix\tname\n0.0137\t420\tCzechia\n0.05\t42060\tCzechia, mobile\n", &tab).unwrap();
    assert_eq!(comma.table, semicolon.table);
    assert_eq!(comma.table, tab.table);
    let row = comma.table.find("+420601123456".parse().unwrap()).unwrap();
    assert_eq!((row.name, row.rate.per_minute.get(), row.rate.first_secs), ("Czechia, mobile", 50_000_000, 60));
}

#[test]
fn every_bad_line_is_named_with_its_reason() {
    let bad = rejected(
        "prefix,per_minute,first_secs,next_secs,connect_fee\n\
         1,0.01,60,60,0\n\
         44,0.01,60,0,0\n\
         1,0.02,1,1,0\n\
         33,-0.01,1,1,0\n\
         34,0.0123456789,1,1,0\n\
         35,\"1,234\",1,1,0\n\
         3a,0.01,1,1,0\n\
         36,0.01,1,1\n\
         37,0.01,soon,1,0\n\
         38,99999999999,1,1,0\n\
         39,0.01,1,1,0.0000001\n\
         40,,1,1,0\n",
    );
    let expected = [
        (3, "next billing step is 0"),
        (4, "already on line 2"),
        (5, "negative"),
        (6, "at most 9 decimals"),
        (7, "declared to be a dot"),
        (8, "1 to 15 digits"),
        (9, "4 cells where the heading has 5"),
        (10, "whole seconds"),
        (11, "out of range"),
        (12, "at most 6 decimals"),
        (13, "plain digits"),
    ];
    assert_eq!(bad.iter().map(|bad| bad.0).collect::<Vec<_>>(), expected.map(|expected| expected.0));
    for ((_, reason), (line, part)) in bad.iter().zip(expected) {
        assert!(reason.contains(part), "line {line}: {reason}");
    }
}

#[test]
fn bad_lines_are_left_out_only_where_that_was_said() {
    let text = "prefix,per_minute\n1,0.01\n44,x\n";
    assert!(matches!(read_text(text, &Format::default()), Err(ImportError::Rejected { count: 1, .. })));
    let sheet = read_text(text, &Format { max_rejects: 1, ..Format::default() }).unwrap();
    assert_eq!((sheet.table.len(), sheet.rejects.len()), (1, 1));
}

#[test]
fn a_file_that_is_no_deck_says_so() {
    for (text, part) in [
        ("", "it is empty"),
        ("prefix,per_minute\n", "no rates below"),
        ("prefix|per_minute\n1|2\n", "another separator"),
        ("number,price\n1,2\n", "no column \"prefix\""),
    ] {
        let said = read_text(text, &Format::default()).unwrap_err().to_string();
        assert!(said.contains(part), "{said}");
    }
    let latin = [b"prefix,name,per_minute\n".as_slice(), b"34,Espa\xf1a,0.01\n"].concat();
    assert!(read(latin.as_slice(), &Format::default()).unwrap_err().to_string().contains("UTF-8"));
}

#[test]
fn what_is_written_is_read_back() {
    let text = "prefix,name,per_minute,connect_fee,first_secs,next_secs,min_secs,min_charge,grace_secs\n\
         1,=NANP,0.0000875,0.05,30,6,0,0.01,3\n420,\"Czechia, \"\"fixed\"\"\",12,0,1,1,10,0,0\n4420,-UK,0,0,60,60,0,0,0\n";
    let sheet = read_text(text, &Format::default()).unwrap();
    let mut written = Vec::new();
    write(&sheet.table, &mut written).unwrap();
    assert_eq!(read(written.as_slice(), &Format::default()).unwrap().table, sheet.table);
    assert!(String::from_utf8(written).unwrap().contains(",'=NANP,"), "no spreadsheet computes a name");
}

/// A shelf with a tariff of these rates and a carrier's deck of those.
fn shelf(sell: &str, cost: &str, fx: Option<&str>) -> (Decks, DeckId) {
    let (clock, random) = (Clock::manual(Timestamp::from_micros(1_900_000_000_000_000)), Random::seeded(3));
    let (eur, usd): (Currency, Currency) = ("EUR".parse().unwrap(), "USD".parse().unwrap());
    let deck = |text: &str, tenant, kind, currency| {
        let (id, version) = (DeckId::new(&clock, &random), DeckVersionId::new(&clock, &random));
        let table = read_text(text, &Format::default()).unwrap().table;
        let version = Version { id: version, number: 1, effective_from: Timestamp::from_micros(0), table };
        let versions = vec![version];
        (id, Deck { id, tenant, name: "carrier".into(), kind, currency, newest: Some(versions[0].id), versions })
    };
    let (id, sells) = deck(sell, Some(TenantId::MAIN), Kind::Sell, eur);
    let (carriers, costs) = deck(cost, None, Kind::Cost, usd);
    let fx =
        fx.map(|rate| FxRate { from: usd, to: eur, rate: rate.parse::<Fraction>().unwrap(), effective_from: Timestamp::from_micros(0) });
    let decks = Decks::default();
    let exchange = Exchange::new(fx.into_iter().collect());
    decks.swap(Shelf { decks: HashMap::from([(id, sells), (carriers, costs)]), defaults: HashMap::from([(TenantId::MAIN, id)]), exchange });
    (decks, id)
}

fn compared(decks: &Decks, deck: DeckId, text: &str) -> Comparison {
    let rules = Rules { max_price: Some(Nanos::new(2_000_000_000)), high_risk: |digits| digits.starts_with("881") };
    let format = Format { first_secs: 1, next_secs: 1, ..Format::default() };
    Comparison::new(decks, deck, read_text(text, &format).unwrap(), rules, Timestamp::from_micros(1))
}

fn listed(comparison: &Comparison, list: List) -> Vec<String> {
    comparison.page(list, 0, 100).into_iter().map(|change| change.prefix).collect()
}

#[test]
fn a_report_tells_what_changes_dearest_first() {
    let (decks, deck) = shelf(
        "prefix,per_minute,increment\n1,0.01,1/1\n44,0.02,1/1\n4477,0.04,1/1\n33,0.03,1/1\n34,0,1/1\n39,0.01,1/1\n",
        "prefix,per_minute\n9,1\n",
        None,
    );
    let comparison = compared(
        &decks,
        deck,
        "prefix,per_minute,connect_fee\n1,0.02,0\n44,0.01,0\n33,0.03,0.01\n34,0.01,0\n155,0.05,0\n881,0.5,0\n420112,0.1,0\n39,0.01,0\n",
    );
    let report = comparison.report();
    let counts = report.counts;
    assert_eq!(
        (report.rates, counts.added, counts.removed, counts.dearer, counts.cheaper, counts.altered, counts.unchanged),
        (8, 3, 1, 2, 1, 1, 1)
    );
    assert_eq!((counts.shadowed, counts.newly_covered, counts.uncovered, counts.emergency, counts.high_risk), (1, 2, 0, 1, 1));
    assert_eq!(
        report.dearer_list.iter().map(|change| (&*change.prefix, change.basis_points)).collect::<Vec<_>>(),
        [("34", None), ("1", Some(10_000))]
    );
    assert_eq!((report.added_list[0].prefix.as_str(), report.added_list[0].from.map(Nanos::get)), ("155", Some(10_000_000)));
    assert_eq!((report.removed_list[0].prefix.as_str(), report.removed_list[0].to.map(Nanos::get)), ("4477", Some(10_000_000)));
    assert_eq!(listed(&comparison, List::Shadowed), ["155"]);
    assert_eq!(listed(&comparison, List::NewlyCovered), ["420112", "881"]);
    assert_eq!(
        (listed(&comparison, List::Emergency), listed(&comparison, List::HighRisk)),
        (vec!["420112".to_owned()], vec!["881".to_owned()])
    );
    assert_eq!(listed(&comparison, List::Unchanged), ["39"]);
    assert_eq!(comparison.page(List::Added, 1, 1)[0].prefix, "420112", "page by page");
}

#[test]
fn slips_are_suspicious() {
    let (decks, deck) = shelf("prefix,per_minute\n1,0.01\n44,0.02\n", "prefix,per_minute\n9,1\n", None);
    let comparison = compared(
        &decks,
        deck,
        "prefix,per_minute\n1,0.10\n44,0\n420,0.01\n4201,0.01\n4202,0.01\n4203,0.01\n4204,0.1\n49,2.01\n33,2.00\n34,0.09\n",
    );
    let told: Vec<_> = comparison.page(List::Suspicious, 0, 10).into_iter().map(|change| (change.prefix, change.note)).collect();
    for (prefix, part) in
        [("1", "what it was"), ("4204", "median of its neighbours, 0.01"), ("44", "price is zero"), ("49", "highest price")]
    {
        assert!(told.iter().any(|(suspect, note)| suspect == prefix && note.contains(part)), "{prefix}: {told:?}");
    }
    assert_eq!(told.len(), 4, "{told:?}");
}

#[test]
fn rates_below_cost_are_told_by_the_exchange_rate_of_the_day() {
    let tariff = "prefix,per_minute\n1,0.01\n";
    let carrier = "prefix,per_minute,increment\n420,0.10,1/1\n42060,0.20,60/60\n";
    let file = "prefix,per_minute\n1,0.01\n420,0.09\n42060,0.17\n42070,0.08\n";
    let below = |fx| {
        let (decks, deck) = shelf(tariff, carrier, fx);
        listed(&compared(&decks, deck, file), List::BelowCost)
    };
    assert_eq!(below(Some("0.9")), ["42060", "42070"], "what the carrier takes for 420 is 0.09 exactly, and it has no price for 1");
    assert_eq!(below(Some("0.8")), Vec::<String>::new());
    assert_eq!(below(None), ["420", "42060", "42070"], "without an exchange rate nobody can tell, and that is told");
}

#[test]
fn lines_are_counted_as_an_editor_does() {
    let text = "code,destination,rate\n1,\"North\nAmerica\",0.01\n\n\n44,UK,x\n420,\"a\n\nb\",0.01\n33,France,y\n";
    assert_eq!(rejected(text).into_iter().map(|(line, _)| line).collect::<Vec<_>>(), [6, 10]);
    let dos = text.replace('\n', "\r\n");
    assert_eq!(rejected(&dos).into_iter().map(|(line, _)| line).collect::<Vec<_>>(), [6, 10], "whatever ends its lines");
}

#[test]
fn many_bad_lines_are_listed_up_to_a_bound_and_counted_to_the_end() {
    let mut text = "prefix,per_minute\n".to_owned();
    for line in 0..BAD_LINES_LISTED + 500 {
        text.push_str(&format!("{},bad\n", 1_000_000 + line));
    }
    let Err(ImportError::Rejected { listed, count }) = read_text(&text, &Format::default()) else { panic!() };
    assert_eq!((listed.len(), count), (BAD_LINES_LISTED, 1500));
    assert_eq!(listed.last().unwrap().line, 1001);
}

#[test]
fn a_carriers_own_file_is_read_as_it_is() {
    let text = "Destination;Dial Codes;Rate (EUR/min);Increment;Effective Date;Setup Fee;Currency;Comments\n\
                Czechia mobile;420601, 420602;0,1234;60/1;2030-02-01;0,05;EUR;new\n\
                UK;44;0,01;1/1/1;2030-01-01;;eur;\n";
    let format = Format { decimal_mark: DecimalMark::Comma, prefix_lists: true, currency: "EUR".parse().ok(), ..Format::default() };
    let sheet = read_text(text, &format).unwrap();
    assert_eq!((sheet.separator, sheet.ignored_columns.as_slice()), (Separator::Semicolon, ["comments".to_owned()].as_slice()));
    assert_eq!(sheet.effective_from.unwrap().to_string(), "2030-02-01T00:00:00Z");
    let row = sheet.table.find("+420602123456".parse().unwrap()).unwrap();
    assert_eq!(
        (row.rate.per_minute.get(), row.rate.connect_fee.get(), row.rate.first_secs, row.rate.next_secs),
        (123_400_000, 50_000, 60, 1)
    );
    let other = Format { currency: "USD".parse().ok(), ..format };
    assert!(read_text(text, &other).unwrap_err().to_string().contains("the deck is in USD"));
}

fn any_row() -> impl Strategy<Value = (String, String, Rate)> {
    let periods = prop_oneof![
        3 => Just(Periods::default()),
        1 => Just("mo,we 08:00-18:30 0.02; su 00:00-24:00 1.000000001 @-05:30".parse::<Periods>().unwrap()),
    ];
    let amounts = (0..2_000_000_000_000_i64, 0..10_000_000_i64, 0..10_000_000_i64);
    let secs = (1..200_u32, 1..200_u32, 0..90_u32, 0..90_u32);
    ("[0-9]{1,15}", "[ -~\u{e9}=+@'\"\n;,-]{0,12}", amounts, secs, periods).prop_map(|(prefix, name, amounts, secs, periods)| {
        let rate = Rate {
            per_minute: Nanos::new(amounts.0),
            connect_fee: Micros::new(amounts.1),
            min_charge: Micros::new(amounts.2),
            first_secs: secs.0,
            next_secs: secs.1,
            min_secs: secs.2,
            grace_secs: secs.3,
            rounding: Rounding::HalfEven,
            duration_rounding: DurationRounding::Nearest,
            periods,
        };
        (prefix, name.trim().to_owned(), rate)
    })
}

proptest! {
    #[test]
    fn an_exported_deck_imports_back_to_the_identical_one(rows in proptest::collection::vec(any_row(), 1..30)) {
        let mut builder = TableBuilder::default();
        for (prefix, name, rate) in &rows {
            builder.add(Prefix::parse(prefix).unwrap(), name, rate.clone());
        }
        let table: Table = builder.build();
        let mut written = Vec::new();
        write(&table, &mut written).unwrap();
        let sheet = read(written.as_slice(), &Format::default()).unwrap();
        prop_assert_eq!(sheet.table.rows().collect::<Vec<_>>(), table.rows().collect::<Vec<_>>());
        prop_assert_eq!((sheet.rounding, sheet.duration_rounding), (Rounding::HalfEven, DurationRounding::Nearest));
        let mut again = Vec::new();
        write(&sheet.table, &mut again).unwrap();
        prop_assert_eq!(Arc::new(written), Arc::new(again));
    }
}

//! Call records are found by any filter, page after page, on both databases; and any list is a table.

use callthrough::database::Kind;
use serde_json::{Value, json};

use crate::support::door::Door;

/// Records at this time; several share each instant, so that an order by time alone would lose some.
const BEGAN: i64 = 1_772_366_400_000_000;
const RECORDS: usize = 240;

async fn filled(kind: Kind) -> Door {
    let door = Door::on(kind).await;
    let written = door.state.database.write(|tx| {
        Box::pin(async move {
            for index in 0..RECORDS {
                let began = BEGAN + i64::try_from(index / 7).unwrap() * 1_000_000;
                let answered = index % 3 == 0;
                let destination = ["+420601123456", "+442079460000", "+15551231234", "+9912345678", "+4206123"][index % 5];
                sqlx::query(
                    "insert into cdr (call_id, tenant_id, caller, dialled, destination, trunk_in, trunk_out, cause, sip_call_id, began_at_us,
                         answered_at_us, ended_at_us, charge_micros) \
                     values ($1, 'ten_00000000000000000000000000', $2, '+15551230000', $3, 'carrier', $4, $5, $6, $7, $8, $7 + 5000000, $9)",
                )
                .bind(format!("call_{index:026}"))
                .bind(format!("+4206011234{:02}", index % 11))
                .bind(destination)
                .bind(answered.then_some(["north", "south"][index % 2]))
                .bind(if answered { "answered" } else { ["busy", "no_answer"][index % 2] })
                .bind(format!("sip-{index}"))
                .bind(began)
                .bind(answered.then_some(began + 1_000_000))
                .bind(if answered { i64::try_from(index % 4).unwrap() * 250_000 } else { 0 })
                .execute(&mut *tx)
                .await?;
            }
            Ok::<_, sqlx::Error>(())
        })
    });
    written.await.unwrap();
    door
}

async fn every_page(door: &Door, query: &str) -> Vec<Value> {
    let (mut items, mut after) = (Vec::new(), String::new());
    loop {
        let page = door.get(&format!("/cdrs?limit=9&{query}{after}")).await;
        assert_eq!(page.status, 200, "{query}: {}", page.text);
        items.extend(page.body["items"].as_array().unwrap().iter().cloned());
        match page.body["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return items,
        }
    }
}

/// Whether a record fits a filter.
type Fits = fn(&Value) -> bool;

async fn filters_find_what_fits(kind: Kind) {
    let door = filled(kind).await;
    let all = every_page(&door, "").await;
    assert_eq!(all.len(), RECORDS);
    let order = |item: &Value| (item["began_at"].as_str().unwrap().to_owned(), item["call_id"].as_str().unwrap().to_owned());
    assert!(all.windows(2).all(|pair| order(&pair[0]) > order(&pair[1])), "newest first, each once");

    let filters: [(&str, Fits); 12] = [
        ("caller=%2B420601123403", |item| item["caller"] == "+420601123403"),
        ("destination=420", |item| item["destination"].as_str().unwrap().starts_with("+420")),
        ("destination=%2B42060", |item| item["destination"].as_str().unwrap().starts_with("+42060")),
        ("destination=9", |item| item["destination"].as_str().unwrap().starts_with("+9")),
        ("destination=7", |_| false),
        ("trunk_in=carrier", |_| true),
        ("trunk_out=south", |item| item["trunk_out"] == "south"),
        ("cause=busy", |item| item["cause"] == "busy"),
        ("answered=true", |item| !item["answered_at"].is_null()),
        ("answered=false&cause=no_answer&destination=44", |item| {
            item["cause"] == "no_answer" && item["destination"].as_str().unwrap().starts_with("+44")
        }),
        ("sip_call_id=sip-77", |item| item["sip_call_id"] == "sip-77"),
        ("from=2026-03-01T12:00:10Z&until=2026-03-01T12:00:20Z", |item| {
            let began = item["began_at"].as_str().unwrap();
            ("2026-03-01T12:00:10".."2026-03-01T12:00:20").contains(&began)
        }),
    ];
    for (query, fits) in filters {
        let expected: Vec<_> = all.iter().filter(|item| fits(item)).cloned().collect();
        assert_eq!(every_page(&door, query).await, expected, "{query}");
    }
    assert!(every_page(&door, "min_charge=0.50").await.len() < every_page(&door, "min_charge=0.25").await.len());
    assert_eq!(every_page(&door, "min_charge=0.50").await.len(), (0..RECORDS).filter(|index| index % 3 == 0 && index % 4 >= 2).count());

    for (query, field) in
        [("cause=ok", "cause"), ("destination=Prague", "destination"), ("min_charge=a", "min_charge"), ("limit=0", "limit")]
    {
        let no = door.get(&format!("/cdrs?{query}")).await;
        assert_eq!((no.status, &no.body["field"]), (400, &json!(field)), "{query}: {}", no.text);
    }
    assert_eq!(
        door.get("/cdrs?after=call_00000000000000000000000zzz").await.body["items"],
        json!([]),
        "an unknown place has nothing after it"
    );
}

#[tokio::test]
async fn every_filter_finds_what_fits_and_nothing_else() {
    filters_find_what_fits(Kind::Sqlite).await;
}

#[tokio::test]
async fn every_filter_finds_what_fits_on_postgresql_too() {
    filters_find_what_fits(Kind::Postgres).await;
}

#[tokio::test]
async fn a_list_is_a_table_as_long_as_it_is() {
    let door = filled(Kind::Sqlite).await;
    let rows = |text: &str| csv::Reader::from_reader(text.as_bytes()).records().map(|row| row.unwrap()[0].to_owned()).collect::<Vec<_>>();
    let ids: Vec<_> = every_page(&door, "cause=busy").await.iter().map(|item| item["call_id"].as_str().unwrap().to_owned()).collect();
    let table = door.get("/cdrs?format=csv&cause=busy").await;
    assert_eq!((rows(&table.text), table.header("content-disposition")), (ids, "attachment; filename=\"cdrs.csv\""));
    let accepted = door.send("GET", "/cdrs", &[("accept", "text/csv")], None).await;
    assert_eq!(rows(&accepted.text).len(), RECORDS);
    assert_eq!(rows(&door.get("/cdrs?format=csv&limit=13").await.text).len(), 13);
    assert_eq!(door.get("/cdrs?format=json&limit=1").await.body["items"].as_array().unwrap().len(), 1);
    for no in ["/cdrs?format=pdf", "/cdrs?format=csv&limit=0", "/cdrs?format=csv&cause=ok"] {
        assert_eq!(door.get(no).await.status, 400, "{no}");
    }
    assert_eq!(
        door.get("/access-numbers?format=csv").await.text,
        "number,country,enabled,default,modes,trunk,capacity,latitude,longitude,created_at\n"
    );
}

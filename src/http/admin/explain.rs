//! Why a call costs what it costs: asked for a number, and told of a call.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::Query;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use serde_json::Value;

use super::desk::{Desk, query};
use super::form::{Field, filters};
use super::layout::{Page, Section};
use super::records::said;
use super::table::Table;
use super::text::t;
use super::{House, show};

pub(super) fn router() -> Router<House> {
    Router::new().route("/admin/explain", get(page))
}

async fn page(desk: Desk, Query(asked): Query<BTreeMap<String, String>>) -> Response {
    let decks = desk.get("/decks?limit=500").await.unwrap_or_default();
    let decks: Vec<_> = std::iter::once((String::new(), t("the default deck").to_owned()))
        .chain(decks["items"].as_array().into_iter().flatten().filter_map(|deck| {
            Some((deck["id"].as_str()?.to_owned(), format!("{} ({})", deck["name"].as_str()?, deck["currency"].as_str()?)))
        }))
        .collect();
    let fields = vec![
        Field::input("tel", "number", t("Number that is called")).required(),
        Field::input("number", "duration_secs", t("Seconds of talk")).hint(t("60 if empty")),
        Field::choice("deck_id", t("Deck"), decks),
        Field::text("subscriber_id", t("Or the tariff of subscriber")).hint(t("By id; their own page leads here with it")),
        Field::text("at", t("At this time")).hint(t("UTC, such as 2026-03-01T12:00:00Z; now if empty")),
    ];
    let shown = filters("/admin/explain", &asked, fields);
    let page = Page::new(&desk, Section::Explain, t("Explain a rate"))
        .lead(t("What a call to a number costs, which prefix decides, and what a carrier asks for it."));
    if asked.get("number").is_none_or(|number| number.trim().is_empty()) {
        return page.show(shown);
    }
    let pairs = asked.iter().map(|(name, value)| (name.as_str(), value.trim()));
    match desk.get(&format!("/rates/explain{}", query(pairs))).await {
        Ok(why) => page.show(html! {
            (shown)
            div.figures {
                (show::figure(t("Costs"), show::money(&why["charge"]["amount"]), html! { (t("for")) " " (why["charge"]["duration_secs"].as_str().unwrap_or_default()) " s" }))
                (show::figure(t("A minute"), show::money(&why["per_minute"]), html! { (why["name"].as_str().unwrap_or_default()) }))
                (show::figure(t("Billed"), html! { (show::duration(why["charge"]["billed_secs"].as_u64().unwrap_or_default())) }, increments(&why)))
                (show::figure(t("Prefix"), html! { (why["prefix"].as_str().unwrap_or_default()) }, html! { (why["source"]["deck"].as_str().unwrap_or_default()) }))
            }
            div.grid.wide {
                (show::card(t("In words"), sentences(&why)))
                (show::card(t("The price"), price(&why)))
                (show::card(t("The charge"), charge(&why)))
                (passed_over(&why))
                (carriers(&why))
            }
        }),
        Err(trouble) => page.show_as(trouble.status, html! { (shown) (said(&trouble)) }),
    }
}

/// `60/60` and the like.
fn increments(priced: &Value) -> Markup {
    html! { (t("in steps of")) " " (priced["first_secs"]) "/" (priced["next_secs"]) " s" }
}

/// The explanation in words.
pub(super) fn sentences(why: &Value) -> Markup {
    html! { ol.sentences { @for sentence in why["sentences"].as_array().into_iter().flatten() { li { (sentence.as_str().unwrap_or_default()) } } } }
}

/// The price that decided.
pub(super) fn price(why: &Value) -> Markup {
    let source = &why["source"];
    let deck = html! {
        @match (source["deck_id"].as_str(), source["deck"].as_str()) {
            (Some(id), Some(name)) => a href={ "/admin/decks/" (id) } { (name) },
            _ => (show::dash()),
        }
        @if let Some(number) = source["number"].as_u64() { " " span.quiet { (t("version")) " " (number) } }
    };
    show::facts([
        (t("Deck"), deck),
        (t("Prefix"), html! { (show::text(&why["prefix"])) " " (why["name"].as_str().unwrap_or_default()) }),
        (t("A minute"), show::money(&why["per_minute"])),
        (t("Connect fee"), show::money(&why["connect_fee"])),
        (t("Increments"), increments(why)),
        (t("Least charge"), show::money(&why["min_charge"])),
        (t("Free up to"), html! { (why["grace_secs"]) " s" }),
        (t("Rounding"), show::text(&why["rounding"])),
    ])
}

/// How the charge comes about.
pub(super) fn charge(why: &Value) -> Markup {
    let charge = &why["charge"];
    let rows = charge["segments"].as_array().into_iter().flatten().map(|part| {
        vec![
            html! { (part["from_sec"]) " s" },
            html! { (part["secs"]) " s" },
            show::money(&part["per_minute"]),
            html! { (part["exact_micros"].as_str().unwrap_or_default()) },
        ]
    });
    html! {
        (show::facts([
            (t("Talked"), html! { (charge["duration_secs"].as_str().unwrap_or_default()) " s" }),
            (t("Billed"), html! { (charge["billed_secs"]) " s" }),
            (t("Exactly"), html! { (charge["exact_micros"].as_str().unwrap_or_default()) " " span.quiet { (t("millionths")) } }),
            (t("Rounded once"), show::money(&charge["rounded"])),
            (t("Charge"), show::money(&charge["amount"])),
        ]))
        (Table::new(t("Billed seconds by price")).figures(t("From")).figures(t("Seconds")).figures(t("A minute")).figures(t("Millionths, exactly")).rows(rows).empty(t("Nothing is billed.")).show())
    }
}

fn passed_over(why: &Value) -> Markup {
    let rows = why["passed_over"].as_array().into_iter().flatten().map(|other| {
        let reason = if other["reason"] == "shorter" { t("a longer prefix fits too") } else { t("it does not fit the number") };
        vec![show::text(&other["prefix"]), show::text(&other["name"]), show::money(&other["per_minute"]), html! { (reason) }]
    });
    let table = Table::new(t("Prefixes that did not decide"))
        .column(t("Prefix"))
        .column(t("Name"))
        .figures(t("A minute"))
        .column(t("Passed over because"))
        .rows(rows)
        .empty(t("No other prefix comes near."));
    show::card(t("Passed over"), table.show())
}

/// What the carriers ask, where the reader may know.
pub(super) fn carriers(why: &Value) -> Markup {
    let carriers = why["carriers"].as_array().map(Vec::as_slice).unwrap_or_default();
    if carriers.is_empty() {
        return html! {};
    }
    let rows = carriers.iter().map(|carrier| {
        let verdict = carrier["verdict"].as_str().unwrap_or_default();
        vec![
            show::text(&carrier["trunk"]),
            show::text(&carrier["prefix"]),
            show::money(&carrier["per_minute"]),
            show::money(&carrier["charge"]["amount"]),
            show::money(&carrier["margin"]),
            html! { (verdict.replace('_', " ")) },
        ]
    });
    let table = Table::new(t("What carriers ask for it"))
        .column(t("Trunk"))
        .column(t("Prefix"))
        .figures(t("A minute"))
        .figures(t("Costs us"))
        .figures(t("Margin"))
        .column(t("Verdict"))
        .rows(rows);
    show::card(t("Carriers"), table.show())
}

//! One call told whole: the ladder of what happened, its money, and the words why it cost what it cost.

use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::desk::{Desk, escaped};
use super::explain::{carriers, charge, price, sentences};
use super::ladder::ladder;
use super::layout::{Page, Section};
use super::records::{caller, cause, lasted, subscriber};
use super::reservations::rule;
use super::table::Table;
use super::text::t;
use super::{House, Trouble, show};
use crate::types::Micros;

pub(super) fn router() -> Router<House> {
    Router::new().route("/admin/cdrs/{call_id}", get(one)).route("/admin/cdrs/{call_id}/pcap", get(super::wire::capture))
}

async fn one(desk: Desk, Path(call): Path<String>) -> Result<Response, Trouble> {
    let id = escaped(&call);
    let record = match desk.get(&format!("/cdrs/{id}")).await {
        Ok(record) => record,
        // Not over yet, perhaps.
        Err(trouble) => {
            let call = desk.get(&format!("/calls/{id}")).await.map_err(|_| trouble)?;
            return Ok(still_up(&desk, &call, &super::wire::card(&desk, &id).await));
        }
    };
    let why = desk.get(&format!("/cdrs/{id}/explain")).await.ok();
    let wire = super::wire::card(&desk, &id).await;
    let correction = super::correct::card(&desk, &record).await;
    let title = match record["destination"].as_str() {
        Some(destination) => t("Call to {number}").replace("{number}", destination),
        None => t("Call to nowhere").to_owned(),
    };
    let page = Page::new(&desk, Section::Records, title).under("/admin/cdrs", t("Call records"));
    Ok(page.show(html! {
        div.figures {
            (show::figure(t("It ended"), cause(record["cause"].as_str().unwrap_or_default()), ended_by(&record)))
            (show::figure(t("Talked"), html! { (lasted(&record["duration_secs"])) }, html! { (record["duration_secs"].as_str().unwrap_or_default()) " s" }))
            (show::figure(t("Billed"), html! { (show::duration(record["billed_secs"].as_u64().unwrap_or_default())) }, html! { (t("after increments")) }))
            (charge_figure(&record))
        }
        div.grid.wide {
            div.stack {
                (show::card(t("What happened"), ladder(&record)))
                @if record["media"].is_object() { (show::card(t("How it sounded"), sound(&record["media"]))) }
                (wire)
                (show::card(t("The record"), facts(&record)))
            }
            div.stack {
                (show::card(t("Why it cost this"), why_html(why.as_ref())))
                (show::card(t("Its money"), money(&record)))
                (correction)
            }
        }
    }))
}

fn ended_by(record: &Value) -> Markup {
    let words = match record["side"].as_str() {
        Some("a") => t("by the caller"),
        Some("b") => t("by the far end"),
        _ => t("by us"),
    };
    html! { (words) }
}

/// What it costs by now, and before it was corrected.
fn charge_figure(record: &Value) -> Markup {
    let postings = record["postings"].as_array().into_iter().flatten();
    let lines = postings.flat_map(|posting| posting["entries"].as_array().into_iter().flatten());
    let taken =
        lines.filter(|line| line["book"] == "subscriber").filter_map(|line| line["amount"]["amount"].as_str()?.parse::<Micros>().ok());
    let taken: i64 = taken.map(|amount| -amount.get()).sum();
    let first = record["charge"]["amount"].as_str().and_then(|amount| amount.parse::<Micros>().ok());
    let now = json!({ "amount": Micros::new(taken).to_string(), "currency": record["charge"]["currency"] });
    match first {
        Some(first) if first.get() != taken && record["postings"].as_array().is_some_and(|postings| !postings.is_empty()) => show::figure(
            t("Charge, corrected"),
            show::money(&now),
            html! { (t("before it was corrected")) " " (show::money(&record["charge"])) },
        ),
        _ => show::figure(t("Charge"), show::money(&record["charge"]), exact(record)),
    }
}

fn exact(record: &Value) -> Markup {
    let Some(fraction) = record["exact_micros"].as_str() else { return html! { (t("it never got a price")) } };
    html! { (t("exactly")) " " (fraction) " " (t("millionths")) }
}

fn still_up(desk: &Desk, call: &Value, wire: &Markup) -> Response {
    let page = Page::new(desk, Section::Calls, t("This call is still up")).under("/admin/calls", t("Live calls"));
    page.show(html! {
        p { (t("Its record is written when it ends. Until then it is among the live calls.")) }
        (show::facts([
            (t("Subscriber"), subscriber(call)),
            (t("Caller"), caller(&call["caller"])),
            (t("Destination"), show::text(&call["destination"])),
            (t("Began"), show::time(&call["began_at"])),
            (t("Answered"), show::time(&call["answered_at"])),
        ]))
        (wire)
        p { a.button href="/admin/calls" { (t("To the live calls")) } }
    })
}

fn why_html(why: Option<&Value>) -> Markup {
    let Some(why) = why else {
        return html! { p.quiet { (t("The call ended before it had a price, so there is nothing to explain.")) } };
    };
    html! {
        (sentences(why))
        details { summary { (t("The figures")) } (price(why)) (charge(why)) (carriers(why)) }
    }
}

fn sound(media: &Value) -> Markup {
    let rows = [(t("From the caller"), &media["a"]), (t("From the far end"), &media["b"])].map(|(whose, stream)| {
        let jitter = stream["jitter_ms"].as_str().unwrap_or_default();
        vec![html! { (whose) }, html! { (stream["packets"]) }, html! { (stream["lost"]) }, html! { (jitter) " ms" }]
    });
    Table::new(t("Sound as it arrived here"))
        .column(t("Whose"))
        .figures(t("Packets"))
        .figures(t("Lost"))
        .figures(t("Jitter"))
        .rows(rows)
        .show()
}

fn money(record: &Value) -> Markup {
    let hold = &record["hold"];
    let postings = record["postings"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows = postings.iter().flat_map(|posting| {
        let lines = posting["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
        lines.iter().enumerate().map(move |(line, entry)| {
            let first = line == 0;
            vec![
                if first { html! { (show::time(&posting["at"])) } } else { html! {} },
                if first { html! { (kind(posting["kind"].as_str().unwrap_or_default())) @if posting["note"].as_str().is_some_and(|note| !note.is_empty()) { br; span.quiet { (show::note(&posting["note"])) } } } } else { html! {} },
                html! { (book(entry["book"].as_str().unwrap_or_default())) },
                show::money(&entry["amount"]),
            ]
        })
    });
    html! {
        @if hold.is_object() {
            (show::facts([
                (t("Set aside"), html! { (show::money(&hold["amount"])) " " span.quiet { (t("for")) " " (show::duration(hold["funded_secs"].as_u64().unwrap_or_default())) } }),
                (t("Taken of it"), show::money(&hold["settled"])),
                (t("Hold"), html! { (outcome(hold["outcome"].as_str())) " " (show::id(&hold["id"])) }),
            ]))
        } @else {
            p.quiet { (t("No money was set aside: the call was not let in.")) }
        }
        @if !postings.is_empty() {
            (Table::new(t("The postings of this call")).column(t("When")).column(t("What")).column(t("Book")).figures(t("Amount")).rows(rows).show())
        }
    }
}

fn outcome(word: Option<&str>) -> Markup {
    match word {
        Some("settled") => show::badge(t("settled"), "good"),
        Some("released") => show::badge(t("released"), "plain"),
        _ => show::badge(t("open"), "warn"),
    }
}

/// The kind of a movement, in words.
pub(super) fn kind(word: &str) -> &str {
    match word {
        "charge" => t("Charge"),
        "reversal" => t("Reversal"),
        "adjustment" => t("Adjustment"),
        "bonus" => t("Bonus"),
        "top_up" => t("Top-up"),
        "correction" => t("Correction"),
        "cost" => t("Carrier's part"),
        other => other,
    }
}

/// A book, in words.
pub(super) fn book(word: &str) -> &str {
    match word {
        "subscriber" => t("Subscriber"),
        "revenue_voice" => t("Revenue, voice"),
        "payments" => t("Payments"),
        "bonus" => t("Bonus"),
        "adjustment" => t("Adjustments"),
        "carrier_cost" => t("Carrier cost"),
        "carrier_payable" => t("Owed to carriers"),
        "fx" => t("Exchange"),
        "transit" => t("On the way between accounts"),
        other => other,
    }
}

fn facts(record: &Value) -> Markup {
    let reservation = &record["reservation"];
    show::facts([
        (t("Call id"), show::id(&record["call_id"])),
        (t("SIP Call-ID"), show::id(&record["sip_call_id"])),
        (t("Subscriber"), subscriber(record)),
        (
            t("Account"),
            html! { @if let Some(account) = record["account_id"].as_str() { a href={ "/admin/accounts/" (account) } { code.id { (account) } } } @else { (show::dash()) } },
        ),
        (t("Caller"), caller(&record["caller"])),
        (t("Dialled"), show::text(&record["dialled"])),
        (t("Destination"), show::text(&record["destination"])),
        (t("Came by"), show::text(&record["trunk_in"])),
        (t("Left by"), show::text(&record["trunk_out"])),
        (t("Asked"), html! { (show::time(&reservation["created_at"])) }),
        (t("Number chosen by"), rule(reservation["rule"].as_str().unwrap_or_default())),
        (t("Asked from"), show::text(&reservation["source"])),
        (t("Began"), show::time(&record["began_at"])),
        (t("Rang"), show::time(&record["progressed_at"])),
        (t("Answered"), show::time(&record["answered_at"])),
        (t("Ended"), show::time(&record["ended_at"])),
        (t("SIP status"), show::text(&record["sip_status"])),
    ])
}

//! Call records: found by any filter, and exported as they are found.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::extract::Query;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use maud::{Markup, html};
use serde_json::Value;

use super::desk::{Desk, escaped, query};
use super::form::{Field, filters};
use super::layout::{Page, Section};
use super::table::{Table, pages};
use super::text::t;
use super::{House, Trouble, show};
use crate::types::Timestamp;

/// Records of one page.
const ROWS: &str = "50";
const A_DAY: Duration = Duration::from_secs(86_400);

pub(super) fn router() -> Router<House> {
    Router::new().route("/admin/cdrs", get(list)).route("/admin/cdrs.csv", get(export))
}

/// What the filters ask, as the API wants it. Days become times: from the beginning of the first to the end of the last.
fn asked_of_api(asked: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let day = |text: &str| Timestamp::parse(&format!("{text}T00:00:00Z"));
    let pairs = asked.iter().map(|(name, value)| (name.as_str(), value.trim())).filter(|(_, value)| !value.is_empty());
    pairs
        .map(|(name, value)| match (name, day(value)) {
            ("from", Some(first)) => (name.to_owned(), first.to_string()),
            ("until", Some(last)) => (name.to_owned(), (last + A_DAY).to_string()),
            ("search", _) => ("sip_call_id".to_owned(), value.to_owned()),
            ("min_charge", _) => (name.to_owned(), value.replace(',', ".")),
            _ => (name.to_owned(), value.to_owned()),
        })
        .collect()
}

fn path(asked: &BTreeMap<String, String>, more: &[(&str, &str)]) -> String {
    let own = asked_of_api(asked);
    let pairs = own.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    format!("/cdrs{}", query(pairs.chain(more.iter().copied())))
}

async fn list(desk: Desk, Query(asked): Query<BTreeMap<String, String>>) -> Response {
    if let Some(call) = asked.get("search").map(|search| search.trim()).filter(|search| search.starts_with("call_")) {
        return Redirect::to(&format!("/admin/cdrs/{}", escaped(call))).into_response();
    }
    let found = desk.get(&path(&asked, &[("limit", ROWS)])).await;
    let trunks = if desk.may(crate::people::Scope::Trunks) { names(&desk, "/trunks?limit=500").await } else { Vec::new() };
    let pairs: Vec<(&str, &str)> = asked.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let kept: Vec<(&str, &str)> = pairs.iter().copied().filter(|(name, _)| *name != "after").collect();
    let export = format!("/admin/cdrs.csv{}", query(kept));
    let page = Page::new(&desk, Section::Records, t("Call records"))
        .lead(t("One record a call, refused ones included, newest first. Times are UTC."))
        .actions(html! { a.button href=(export) download { (t("Export as CSV")) } });
    let shown_filters = filters("/admin/cdrs", &asked, fields(trunks));
    match found {
        Ok(found) => page.show(html! { (shown_filters) (table(&found["items"])) (pages("/admin/cdrs", &pairs, found["next"].as_str())) }),
        Err(trouble) => page.show_as(trouble.status, html! { (shown_filters) (said(&trouble)) }),
    }
}

/// What the API has against a filter.
pub(super) fn said(trouble: &Trouble) -> Markup {
    html! { div.trouble role="alert" { p { (trouble.message) } } }
}

/// The names of a list, to choose from.
pub(super) async fn names(desk: &Desk, path: &str) -> Vec<String> {
    let found = desk.get(path).await.unwrap_or_default();
    found["items"].as_array().into_iter().flatten().filter_map(|item| item["name"].as_str().map(str::to_owned)).collect()
}

fn fields(trunks: Vec<String>) -> Vec<Field> {
    let any = || (String::new(), t("any").to_owned());
    let choices = |words: Vec<String>| std::iter::once(any()).chain(words.into_iter().map(|word| (word.clone(), word))).collect::<Vec<_>>();
    let causes = CAUSES.iter().map(|word| ((*word).to_owned(), cause_words(word)));
    let mut fields = vec![
        Field::input("search", "search", t("Call id")).hint(t("Ours, or the SIP Call-ID")),
        Field::text("caller", t("Caller")),
        Field::text("destination", t("Destination begins with")),
        Field::choice("cause", t("Ended because"), std::iter::once(any()).chain(causes)),
        Field::choice(
            "answered",
            t("Answered"),
            [any(), ("true".to_owned(), t("yes").to_owned()), ("false".to_owned(), t("no").to_owned())],
        ),
        Field::amount("min_charge", t("Charged at least")),
        Field::input("date", "from", t("From day")),
        Field::input("date", "until", t("To day")),
        Field::text("subscriber_id", t("Subscriber id")),
    ];
    if !trunks.is_empty() {
        fields.push(Field::choice("trunk_in", t("Came by trunk"), choices(trunks.clone())));
        fields.push(Field::choice("trunk_out", t("Left by trunk"), choices(trunks)));
    }
    fields
}

/// A table of records, for this page and for a subscriber's.
pub(super) fn table(items: &Value) -> Markup {
    let rows = items.as_array().into_iter().flatten().map(|item| {
        let call = item["call_id"].as_str().unwrap_or_default();
        vec![
            html! { a href={ "/admin/cdrs/" (call) } { (show::time(&item["began_at"])) } },
            subscriber(item),
            caller(&item["caller"]),
            show::text(&item["destination"]),
            show::text(&item["trunk_out"]),
            cause(item["cause"].as_str().unwrap_or_default()),
            html! { (lasted(&item["duration_secs"])) },
            show::money(&item["charge"]),
        ]
    });
    Table::new(t("Call records, newest first"))
        .column(t("Began"))
        .column(t("Subscriber"))
        .column(t("Caller"))
        .column(t("Destination"))
        .column(t("Trunk"))
        .column(t("Ended because"))
        .figures(t("Talked"))
        .figures(t("Charge"))
        .rows(rows)
        .empty(t("No call fits. Change the filters, or wait for one."))
        .show()
}

/// Who it is, with the way there.
pub(super) fn subscriber(item: &Value) -> Markup {
    match (item["subscriber_id"].as_str(), item["subscriber_name"].as_str()) {
        (Some(id), name) => html! { a href={ "/admin/subscribers/" (id) } { (name.unwrap_or(t("deleted"))) } },
        (None, _) => show::dash(),
    }
}

/// A caller's number, or that it was withheld.
pub(super) fn caller(number: &Value) -> Markup {
    number.as_str().map_or_else(|| html! { span.quiet { (t("withheld")) } }, |number| html! { (number) })
}

/// `61.250` as a clock.
pub(super) fn lasted(secs: &Value) -> String {
    let whole = secs.as_str().and_then(|secs| secs.split('.').next()).and_then(|secs| secs.parse().ok()).unwrap_or(0);
    if whole == 0 { "–".to_owned() } else { show::duration(whole) }
}

/// The causes a filter offers, the usual ones first.
const CAUSES: &[&str] = &[
    "answered",
    "busy",
    "no_answer",
    "cancelled",
    "rejected",
    "not_found",
    "unavailable",
    "credit_exhausted",
    "longest_call",
    "operator",
    "incompatible",
    "trunk_fault",
    "trunk_silent",
    "trunk_unreachable",
    "all_trunks_failed",
    "lost",
    "no_sound",
    "setup_timeout",
    "server_stopped",
    "server_restart",
    "no_reservation",
    "reservation_expired",
    "reservation_used",
    "caller_withheld",
    "caller_unverified",
    "not_enough_credit",
    "spend_cap",
    "too_many_calls",
    "too_fast",
    "no_rate",
    "no_margin",
    "barred",
    "high_risk",
    "emergency",
    "no_such_number",
    "no_access_number",
    "disabled",
    "sign_in_failed",
    "cooling_down",
    "button_closed",
    "books_down",
    "draining",
];

/// Why a call ended, in words.
pub(super) fn cause_words(word: &str) -> String {
    let words = match word {
        "answered" => t("answered, then hung up"),
        "busy" => t("busy"),
        "no_answer" => t("no answer"),
        "cancelled" => t("caller gave up"),
        "rejected" => t("rejected by the far end"),
        "not_found" => t("number does not exist"),
        "unavailable" => t("far end unavailable"),
        "incompatible" => t("far end incompatible"),
        "trunk_fault" => t("trunk failed"),
        "trunk_silent" => t("trunk silent"),
        "trunk_unreachable" => t("trunk unreachable"),
        "all_trunks_failed" => t("all trunks failed"),
        "lost" => t("a leg was lost"),
        "no_sound" => t("no sound for too long"),
        "credit_exhausted" => t("credit ran out"),
        "longest_call" => t("longest call reached"),
        "setup_timeout" => t("took too long to set up"),
        "operator" => t("hung up by an operator"),
        "server_stopped" => t("server stopped"),
        "server_restart" => t("server restarted"),
        "no_reservation" => t("nobody had asked for it"),
        "reservation_expired" => t("came too late"),
        "reservation_used" => t("reservation was in use"),
        "caller_withheld" => t("caller withheld the number"),
        "caller_unverified" => t("caller not vouched for"),
        "not_enough_credit" => t("not enough credit"),
        "spend_cap" => t("day's spending limit"),
        "too_many_calls" => t("too many calls at once"),
        "too_fast" => t("too many calls an hour"),
        "no_rate" => t("no price for it"),
        "no_margin" => t("would have cost more than it brings"),
        "barred" => t("destination barred"),
        "high_risk" => t("high-risk destination"),
        "emergency" => t("emergency number"),
        "no_such_number" => t("not a number"),
        "no_access_number" => t("no access number"),
        "disabled" => t("subscriber switched off"),
        "sign_in_failed" => t("sign-in failed"),
        "cooling_down" => t("number changed lately"),
        "button_closed" => t("button closed"),
        "books_down" => t("books out of reach"),
        "draining" => t("server was stopping"),
        other => return other.replace('_', " "),
    };
    words.to_owned()
}

/// Why a call ended, with its colour: good, the callers' own business, or something to look at.
pub(super) fn cause(word: &str) -> Markup {
    let colour = match word {
        "answered" => "good",
        "busy" | "no_answer" | "cancelled" | "rejected" | "not_found" | "unavailable" | "operator" | "longest_call" => "plain",
        "credit_exhausted" | "no_reservation" | "reservation_expired" | "not_enough_credit" | "spend_cap" | "too_many_calls" => "warn",
        _ => "bad",
    };
    show::badge(&cause_words(word), colour)
}

async fn export(desk: Desk, Query(asked): Query<BTreeMap<String, String>>) -> Response {
    let path = path(&asked, &[("format", "csv")]);
    desk.download(&path).await.unwrap_or_else(Trouble::into_response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cdr::parse_cause;

    #[test]
    fn every_cause_can_be_filtered_by() {
        assert_eq!(CAUSES.len(), std::collections::BTreeSet::from_iter(CAUSES).len());
        let refusals = crate::types::Refusal::ALL;
        assert!(refusals.iter().all(|refusal| CAUSES.contains(&refusal.code())), "every refusal can be asked for");
        for word in CAUSES.iter().copied() {
            assert!(parse_cause(word).is_some(), "{word}");
        }
    }

    #[test]
    fn days_reach_from_their_first_moment_to_their_last() {
        let asked = BTreeMap::from([("from".to_owned(), "2026-03-01".to_owned()), ("until".to_owned(), "2026-03-31".to_owned())]);
        let of_api = asked_of_api(&asked);
        assert_eq!(of_api[0].1, "2026-03-01T00:00:00Z");
        assert_eq!(of_api[1].1, "2026-04-01T00:00:00Z");
    }
}

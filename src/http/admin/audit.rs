//! Who did what: the log with its filters, and each change as what was and what is.

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::extract::Query;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use serde_json::Value;

use super::House;
use super::desk::{Desk, Trouble, query};
use super::form::{Field, filters};
use super::layout::{Page, Section};
use super::show;
use super::table::{Table, pages};
use super::text::t;

/// The filters of the page, each as the API has it.
const FILTERS: [&str; 3] = ["who", "action", "target"];

pub(super) fn router() -> Router<House> {
    Router::new().route("/admin/audit", get(list)).route("/admin/audit.csv", get(export))
}

/// The page's query as the API's: days become the times they begin and end at.
fn asked_of(asked: &BTreeMap<String, String>) -> Vec<(&'static str, String)> {
    let said = |name: &str| asked.get(name).map(|value| value.trim().to_owned()).unwrap_or_default();
    let day =
        |name: &str, time: &str| Some(said(name)).filter(|day| !day.is_empty()).map(|day| format!("{day}T{time}Z")).unwrap_or_default();
    let mut pairs: Vec<_> = FILTERS.into_iter().map(|name| (name, said(name))).collect();
    pairs.extend([("since", day("since", "00:00:00")), ("until", day("until", "23:59:59")), ("after", said("after"))]);
    pairs
}

fn as_query(pairs: &[(&'static str, String)]) -> String {
    query(pairs.iter().map(|(name, value)| (*name, value.as_str())))
}

async fn list(desk: Desk, Query(asked): Query<BTreeMap<String, String>>) -> Result<Response, Trouble> {
    let pairs = asked_of(&asked);
    let found = desk.get(&format!("/audit{}", as_query(&pairs))).await?;
    let rows = found["items"].as_array().into_iter().flatten().map(|line| {
        vec![
            show::time(&line["at"]),
            html! { (show::text(&line["name"])) @if line["from"].as_str().is_some_and(|from| !from.is_empty()) { br; span.quiet { (show::text(&line["from"])) } } },
            html! { code { (show::text(&line["action"])) } },
            target(&line["target"]),
            changes(&line["before"], &line["after"]),
        ]
    });
    let table = Table::new(t("Audit log"))
        .column(t("When"))
        .column(t("Who"))
        .column(t("What"))
        .column(t("On"))
        .column(t("Change"))
        .empty(t("Nothing was done that these filters show."))
        .rows(rows)
        .show();
    let fields = vec![
        Field::input("search", "who", t("Who")).hint(t("Id of a person or a key.")),
        Field::input("search", "action", t("What")).hint(t("Such as account.top_up.")),
        Field::input("search", "target", t("On")).hint(t("Id of the thing.")),
        Field::input("date", "since", t("From day")),
        Field::input("date", "until", t("To day")),
    ];
    let shown: Vec<(&str, &str)> = asked.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let body = html! { (filters("/admin/audit", &asked, fields)) (table) (pages("/admin/audit", &shown, found["next"].as_str())) };
    let actions = html! { a.button href={ "/admin/audit.csv" (as_query(&pairs)) } { (t("Save as CSV")) } };
    Ok(Page::new(&desk, Section::Audit, t("Audit log"))
        .actions(actions)
        .lead(t("Every change, with who made it. Nothing in it can be changed or removed."))
        .show(body))
}

async fn export(desk: Desk, Query(asked): Query<BTreeMap<String, String>>) -> Result<Response, Trouble> {
    let mut pairs: Vec<(&str, &str)> =
        asked.iter().map(|(name, value)| (name.as_str(), value.as_str())).filter(|(name, _)| *name != "after").collect();
    pairs.push(("format", "csv"));
    desk.download(&format!("/audit{}", query(pairs))).await
}

/// A thing, as the way to its page where it has one.
fn target(value: &Value) -> Markup {
    let id = value.as_str().unwrap_or_default();
    let folder = match id.split('_').next() {
        Some("sub") => "subscribers",
        Some("acct") => "accounts",
        Some("call") => "cdrs",
        Some("deck") => "decks",
        Some("pers") => "people",
        Some("ten") => "tenants",
        Some("trunk") => "trunks",
        Some("appr") => "approvals",
        Some("key") => "keys",
        Some("vbat") => "vouchers",
        _ if id.starts_with('+') => "access-numbers",
        _ => return show::id(value),
    };
    html! { a href={ "/admin/" (folder) "/" (id) } { code.id { (id) } } }
}

/// What differs: each part as it was and as it is.
fn changes(before: &Value, after: &Value) -> Markup {
    let empty = serde_json::Map::new();
    let (was, is) = (before.as_object().unwrap_or(&empty), after.as_object().unwrap_or(&empty));
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).filter(|name| was.get(*name) != is.get(*name)).collect();
    let heading = match (before.is_null(), after.is_null()) {
        (true, true) => return show::dash(),
        (true, false) => t("new"),
        (false, true) => t("gone"),
        (false, false) => t("changed"),
    };
    html! {
        details {
            summary { (heading) " (" (names.len()) ")" }
            dl.diff {
                @for name in names {
                    dt { (name) }
                    dd {
                        @if let Some(old) = was.get(name) { del { (plain(old)) } }
                        @if let Some(new) = is.get(name) { " " ins { (plain(new)) } }
                    }
                }
            }
        }
    }
}

/// A value as somebody reads it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "–".to_owned(),
        Value::Object(money) if money.len() == 2 && money.contains_key("amount") => {
            format!(
                "{} {}",
                money["amount"].as_str().unwrap_or_default(),
                money.get("currency").and_then(Value::as_str).unwrap_or_default()
            )
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_differs_is_shown() {
        let before = json!({ "name": "Alice", "enabled": true, "spend_cap": null });
        let after = json!({ "name": "Alice", "enabled": false, "spend_cap": { "amount": "5.00", "currency": "EUR" } });
        let shown = changes(&before, &after).into_string();
        assert!(shown.contains("<del>true</del> <ins>false</ins>") && shown.contains("<ins>5.00 EUR</ins>"), "{shown}");
        assert!(!shown.contains("Alice"), "{shown}");
    }

    #[test]
    fn days_become_times() {
        let asked = BTreeMap::from([("since".to_owned(), "2030-01-02".to_owned()), ("who".to_owned(), " pers_1 ".to_owned())]);
        assert_eq!(as_query(&asked_of(&asked)), "?who=pers%5F1&since=2030%2D01%2D02T00%3A00%3A00Z");
    }
}

//! What somebody should look at, and the button that says somebody has.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::Method;
use axum::response::Response;
use axum::routing::{get, post};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::desk::{Desk, escaped, query};
use super::form::{Field, Form, Submitted, filters};
use super::layout::{Page, Section};
use super::session::done;
use super::table::{Table, pages};
use super::text::t;
use super::{House, Trouble, show};
use crate::people::Scope;

pub(super) fn router() -> Router<House> {
    Router::new().route("/admin/alerts", get(list)).route("/admin/alerts/{alert_id}/acknowledge", post(acknowledge))
}

async fn list(desk: Desk, Query(asked): Query<BTreeMap<String, String>>) -> Result<Response, Trouble> {
    let said = |name: &str| asked.get(name).map_or("", String::as_str);
    let open = if said("state") == "all" { "" } else { "true" };
    let pairs = [("open", open), ("severity", said("severity")), ("after", said("after"))];
    let found = desk.get(&format!("/alerts{}", query(pairs))).await?;
    let rows = found["items"].as_array().into_iter().flatten().map(|alert| row(&desk, alert)).collect::<Vec<_>>();
    let table =
        Table::new(t("Alerts")).column(t("How soon")).column(t("What happened")).figures(t("Times")).column(t("Last")).column(t("State"));
    let options = |words: [(&str, &'static str); 4]| words.map(|(value, words)| (value.to_owned(), words.to_owned()));
    let severities = options([("", t("any")), ("critical", t("critical")), ("warning", t("warning")), ("notice", t("notice"))]);
    let states = [(String::new(), t("open").to_owned()), ("all".to_owned(), t("all").to_owned())];
    let fields = vec![Field::choice("state", t("State"), states), Field::choice("severity", t("How soon"), severities)];
    let page = Page::new(&desk, Section::Alerts, t("Alerts")).lead(t("What somebody should look at, newest first."));
    let here = [("state", said("state")), ("severity", said("severity")), ("after", said("after"))];
    Ok(page.show(html! {
        (filters("/admin/alerts", &asked, fields))
        (table.rows(rows).empty(t("Nothing to look at.")).show())
        (pages("/admin/alerts", &here, found["next"].as_str()))
    }))
}

fn row(desk: &Desk, alert: &Value) -> Vec<Markup> {
    let word = |name: &str| alert[name].as_str().unwrap_or_default();
    let severity = match word("severity") {
        "critical" => show::badge(t("critical"), "bad"),
        "warning" => show::badge(t("warning"), "warn"),
        _ => show::badge(t("notice"), "plain"),
    };
    // A country may stand behind whom it is about.
    let subject = word("subject").split(' ').next().unwrap_or_default();
    let address = match subject.split_once('_').map(|(kind, _)| kind) {
        Some("sub") => Some(format!("/admin/subscribers/{subject}")),
        Some("acct") => Some(format!("/admin/accounts/{subject}")),
        Some("call") => Some(format!("/admin/cdrs/{subject}")),
        _ => None,
    };
    let state = html! {
        @if alert["acknowledged_at"].is_null() {
            @if desk.may(Scope::Fraud) {
                (Form::new(desk, format!("/admin/alerts/{}/acknowledge", escaped(word("id"))), t("Seen")).inline().show())
            } @else { (show::badge(t("open"), "warn")) }
        } @else { (show::badge(t("seen"), "good")) " " (show::time(&alert["acknowledged_at"])) }
    };
    vec![
        severity,
        html! { (word("text")) @if let Some(address) = address { " " a href=(address) { (subject) } } },
        html! { (alert["times"]) },
        show::time(&alert["last_at"]),
        state,
    ]
}

async fn acknowledge(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    let body = json!({ "note": form.text("note") });
    desk.send(Method::POST, &format!("/alerts/{}/acknowledge", escaped(&id)), &body, None).await?;
    Ok(done("/admin/alerts", t("The alert is marked as seen.")))
}

//! The calls that are up, each with a button that ends it.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::Method;
use axum::response::Response;
use axum::routing::{get, post};
use maud::{Markup, html};
use serde_json::Value;

use super::desk::{Desk, escaped};
use super::form::{Form, Submitted};
use super::layout::{Page, Section};
use super::records::{caller, subscriber};
use super::session::done;
use super::table::{Table, pages};
use super::text::t;
use super::{House, Trouble, show};
use crate::people::Scope;
use crate::types::Timestamp;

pub(super) fn router() -> Router<House> {
    Router::new().route("/admin/calls", get(list)).route("/admin/calls/{call_id}/hang_up", post(hang_up))
}

async fn list(desk: Desk, Query(asked): Query<BTreeMap<String, String>>) -> Result<Response, Trouble> {
    let after = asked.get("after").map(|after| format!("&after={}", escaped(after))).unwrap_or_default();
    let found = desk.get(&format!("/calls?limit=100{after}")).await?;
    let pairs: Vec<_> = asked.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let page = Page::new(&desk, Section::Calls, t("Live calls")).lead(t("The calls that are up on this server now, oldest first."));
    Ok(page.show(html! {
        div #live data-live { (table(&desk, &found["items"])) }
        (pages("/admin/calls", &pairs, found["next"].as_str()))
    }))
}

fn table(desk: &Desk, items: &Value) -> Markup {
    let now = desk.house.state.clock.timestamp();
    let since = |value: &Value| {
        let at = value.as_str().and_then(Timestamp::parse);
        at.map_or_else(|| "–".to_owned(), |at| show::duration(now.since(at).as_secs()))
    };
    let rows = items.as_array().into_iter().flatten().map(|call| {
        let left = call["funded_until"].as_str().and_then(Timestamp::parse).map(|until| until.since(now).as_secs());
        vec![
            show::time(&call["began_at"]),
            subscriber(call),
            caller(&call["caller"]),
            show::text(&call["destination"]),
            html! { (show::text(&call["trunk_in"])) " → " (show::text(&call["trunk_out"])) },
            state(call["state"].as_str().unwrap_or_default()),
            html! { (since(&call["answered_at"])) },
            html! { (left.map_or_else(|| "–".to_owned(), show::duration)) },
            end(desk, call),
        ]
    });
    Table::new(t("Calls that are up"))
        .column(t("Began"))
        .column(t("Subscriber"))
        .column(t("Caller"))
        .column(t("Destination"))
        .column(t("Trunks"))
        .column(t("State"))
        .figures(t("Talking for"))
        .figures(t("Paid for another"))
        .column(t("End it"))
        .rows(rows)
        .empty(t("No call is up."))
        .show()
}

fn end(desk: &Desk, call: &Value) -> Markup {
    let id = call["id"].as_str().unwrap_or_default();
    if !desk.may(Scope::Calls) {
        return show::dash();
    }
    Form::new(desk, format!("/admin/calls/{id}/hang_up"), t("Hang up"))
        .confirm(t("Hang up this call? Both sides are cut off at once, and what was talked is charged."))
        .danger()
        .inline()
        .show()
}

pub(super) fn state(word: &str) -> Markup {
    match word {
        "screening" => show::badge(t("arriving"), "plain"),
        "authorising" => show::badge(t("asking the books"), "plain"),
        "dialling" => show::badge(t("dialling"), "plain"),
        "ringing" => show::badge(t("ringing"), "warn"),
        "connected" => show::badge(t("talking"), "good"),
        _ => show::badge(t("ending"), "plain"),
    }
}

async fn hang_up(desk: Desk, Path(call): Path<String>, _sent: Submitted) -> Result<Response, Trouble> {
    desk.send(Method::POST, &format!("/calls/{}/hang_up", escaped(&call)), &Value::Null, None).await?;
    Ok(done("/admin/calls", t("The call is being ended. Its record follows in a moment.")))
}

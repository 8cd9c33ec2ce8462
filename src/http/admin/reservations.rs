//! What phones have asked for: whose call is awaited now, and what became of the others.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::Method;
use axum::response::Response;
use axum::routing::{get, post};
use maud::{Markup, html};
use serde_json::Value;

use super::desk::{Desk, escaped, query};
use super::form::{Field, Form, Submitted, filters};
use super::layout::{Page, Section};
use super::records::{said, subscriber};
use super::session::done;
use super::table::{Table, pages};
use super::text::t;
use super::{House, Trouble, show};
use crate::people::Scope;

const HERE: &str = "/admin/reservations";

pub(super) fn router() -> Router<House> {
    Router::new()
        .route(HERE, get(list))
        .route("/admin/reservations.csv", get(export))
        .route("/admin/reservations/{reservation_id}/cancel", post(cancel))
}

/// Without a choice the page shows what lives.
fn path(asked: &BTreeMap<String, String>, more: &[(&str, &str)]) -> String {
    let pairs = asked.iter().map(|(name, value)| (name.as_str(), value.as_str())).filter(|(_, value)| *value != "all");
    let live = if asked.contains_key("live") { None } else { Some(("live", "true")) };
    format!("/reservations{}", query(pairs.chain(live).chain(more.iter().copied())))
}

async fn list(desk: Desk, Query(mut asked): Query<BTreeMap<String, String>>) -> Response {
    let found = desk.get(&path(&asked, &[("limit", "50")])).await;
    asked.entry("live".to_owned()).or_insert_with(|| "true".to_owned());
    let pairs: Vec<_> = asked.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let kept: Vec<_> = pairs.iter().copied().filter(|(name, _)| *name != "after").collect();
    let export = format!("/admin/reservations.csv{}", query(kept));
    let page = Page::new(&desk, Section::Reservations, t("Reservations"))
        .lead(t("A phone asks over the web and is told a number to dial; for about a minute we wait for its call."))
        .actions(html! { a.button href=(export) download { (t("Export as CSV")) } });
    let shown = filters(
        HERE,
        &asked,
        vec![
            Field::choice(
                "live",
                t("Which"),
                [("true", t("awaited or in a call")), ("false", t("over")), ("all", t("all"))]
                    .map(|(value, words)| (value.to_owned(), words.to_owned())),
            ),
            Field::input("tel", "access_number", t("Access number")),
            Field::input("tel", "destination", t("Destination")),
            Field::text("subscriber_id", t("Subscriber id")),
        ],
    );
    match found {
        Ok(found) => page.show(html! {
            (shown)
            div #live data-live { (table(&desk, &found["items"])) }
            (pages(HERE, &pairs, found["next"].as_str()))
        }),
        Err(trouble) => page.show_as(trouble.status, html! { (shown) (said(&trouble)) }),
    }
}

fn table(desk: &Desk, items: &Value) -> Markup {
    let rows = items.as_array().into_iter().flatten().map(|item| {
        vec![
            show::time(&item["created_at"]),
            subscriber(item),
            show::text(&item["access_number"]),
            show::text(&item["destination"]),
            state(item),
            rule(item["rule"].as_str().unwrap_or_default()),
            show::time(&item["expires_at"]),
            next(desk, item),
        ]
    });
    Table::new(t("Reservations, newest first"))
        .column(t("Asked"))
        .column(t("Subscriber"))
        .column(t("To be dialled"))
        .column(t("Destination"))
        .column(t("State"))
        .column(t("Number chosen by"))
        .column(t("Awaited until"))
        .column(t("Next"))
        .rows(rows)
        .empty(t("No phone has asked for this."))
        .show()
}

fn state(item: &Value) -> Markup {
    let late = item["late"].as_bool() == Some(true);
    html! {
        @match item["state"].as_str().unwrap_or_default() {
            "pending" => (show::badge(t("awaited"), "warn")),
            "claimed" => (show::badge(t("call is being set up"), "plain")),
            "used" => (show::badge(t("call was answered"), "good")),
            "expired" => (show::badge(t("nobody called"), "bad")),
            "superseded" => (show::badge(t("asked anew"), "plain")),
            _ => (show::badge(t("taken back"), "plain")),
        }
        @if late { " " (show::badge(t("late"), "warn")) }
    }
}

/// The rule that chose the access number, in words.
pub(super) fn rule(word: &str) -> Markup {
    let words = match word {
        "wish" => t("the user's wish"),
        "hint" => t("the phone's network"),
        "geoip" => t("where the phone is"),
        "home" => t("the home country"),
        "default" => t("the default"),
        _ => return show::dash(),
    };
    html! { (words) }
}

fn next(desk: &Desk, item: &Value) -> Markup {
    let id = item["id"].as_str().unwrap_or_default();
    if item["state"] == "pending" && desk.may(Scope::Calls) {
        return Form::new(desk, format!("{HERE}/{id}/cancel"), t("Take back"))
            .confirm(t("Take this reservation back? The phone's call will be refused."))
            .danger()
            .inline()
            .show();
    }
    match item["call_id"].as_str() {
        Some(call) if item["state"] == "used" || item["state"] == "claimed" => {
            html! { a href={ "/admin/cdrs/" (call) } { (t("The call")) } }
        }
        _ => show::dash(),
    }
}

async fn cancel(desk: Desk, Path(id): Path<String>, _sent: Submitted) -> Result<Response, Trouble> {
    desk.send(Method::DELETE, &format!("/reservations/{}", escaped(&id)), &Value::Null, None).await?;
    Ok(done(HERE, t("The reservation is taken back.")))
}

async fn export(desk: Desk, Query(asked): Query<BTreeMap<String, String>>) -> Result<Response, Trouble> {
    desk.download(&path(&asked, &[("format", "csv")])).await
}

//! All money that is set aside for calls that are up.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::Query;
use axum::response::Response;
use axum::routing::get;
use maud::html;

use super::House;
use super::desk::{Desk, Trouble, query};
use super::form::{Field, filters};
use super::layout::{Page, Section};
use super::show;
use super::table::{Table, pages};
use super::text::t;

const HERE: &str = "/admin/holds";

pub(super) fn router() -> Router<House> {
    Router::new().route(HERE, get(list))
}

async fn list(desk: Desk, Query(asked): Query<BTreeMap<String, String>>) -> Result<Response, Trouble> {
    let said = |name: &str| asked.get(name).map(|value| value.trim()).unwrap_or_default();
    let kept = [("account_id", said("account_id")), ("subscriber_id", said("subscriber_id")), ("after", said("after"))];
    let found = desk.get(&format!("/holds{}", query(kept))).await?;
    let rows = found["items"].as_array().into_iter().flatten().map(|hold| {
        let linked = |folder: &str, name: &str| {
            let id = hold[name].as_str().unwrap_or_default();
            html! { @if !id.is_empty() { a href={ "/admin/" (folder) "/" (id) } { code.id { (id) } } } }
        };
        let call = hold["call_id"].as_str().unwrap_or_default();
        vec![
            html! { a href={ "/admin/cdrs/" (call) } { (show::time(&hold["created_at"])) } },
            linked("accounts", "account_id"),
            linked("subscribers", "subscriber_id"),
            show::money(&hold["amount"]),
            html! { (show::duration(hold["funded_secs"].as_u64().unwrap_or_default())) },
        ]
    });
    let table = Table::new(t("Open holds"))
        .column(t("Since"))
        .column(t("Account"))
        .column(t("Subscriber"))
        .figures(t("Held"))
        .figures(t("For talk of"))
        .empty(t("Nothing is set aside."))
        .rows(rows)
        .show();
    let body = html! {
        (filters(HERE, &asked, vec![Field::text("account_id", t("Account id")), Field::text("subscriber_id", t("Subscriber id"))]))
        (table)
        (pages(HERE, &kept, found["next"].as_str()))
    };
    let page = Page::new(&desk, Section::Accounts, t("Open holds")).under("/admin/accounts", t("Accounts"));
    Ok(page.lead(t("Money set aside for calls that are up: taken when they end, or given back.")).show(body))
}

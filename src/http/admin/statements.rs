//! The books by month: an account's statement to print or to save, and the month of all accounts.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{Path, Query};
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use serde_json::Value;

use super::House;
use super::accounts::{account, cause, entries_of, link, movement, named, names};
use super::desk::{Desk, Trouble, escaped, query};
use super::layout::{Page, Section};
use super::record::book;
use super::show;
use super::table::{Table, pages};
use super::text::t;

/// Lines of one page of the API.
const LINES: u32 = 500;
/// Pages of it that one printed statement has at most; a longer month is saved as a file.
const MOST_PAGES: usize = 20;

pub(super) fn router() -> Router<House> {
    Router::new()
        .route("/admin/accounts/{account_id}/statements", get(months))
        .route("/admin/accounts/{account_id}/statements/{month}", get(one))
        .route("/admin/accounts/{account_id}/statements/{month}/csv", get(file))
        .route("/admin/statements", get(all_months))
        .route("/admin/statements/{month}", get(all))
        .route("/admin/statements/{month}/csv", get(all_file))
}

/// Months as the way to their statements below `address`.
fn months_table(found: &Value, address: &str) -> Markup {
    let rows = found["items"].as_array().into_iter().flatten().map(|item| {
        let month = item["month"].as_str().unwrap_or_default();
        vec![
            html! { a href={ (address) "/" (month) } { (month) } },
            html! { @if item["over"] == true { (show::badge(t("whole"), "good")) } @else { (show::badge(t("not over yet"), "warn")) } },
            html! { a href={ (address) "/" (month) "/csv" } { (t("Save as CSV")) } },
        ]
    });
    Table::new(t("Statements")).column(t("Month")).column(t("State")).column(t("File")).empty(t("Nothing has moved yet.")).rows(rows).show()
}

async fn months(desk: Desk, Path(id): Path<String>) -> Result<Response, Trouble> {
    let found = desk.get(&format!("/accounts/{}/statements", escaped(&id))).await?;
    let body = months_table(&found, &format!("/admin/accounts/{id}/statements"));
    let page = Page::new(&desk, Section::Accounts, t("Statements")).under("/admin/accounts", t("Accounts"));
    Ok(page.under(format!("/admin/accounts/{id}"), t("Account")).lead(id).show(body))
}

/// The whole month of an account: the first page with its summary, and the lines of the others.
async fn whole(desk: &Desk, address: &str) -> Result<(Value, bool), Trouble> {
    let limit = LINES.to_string();
    let mut first = desk.get(&format!("{address}{}", query([("limit", limit.as_str())]))).await?;
    let mut next = first["next"].as_str().map(str::to_owned);
    let mut lines = first["items"].as_array().cloned().unwrap_or_default();
    for _ in 1..MOST_PAGES {
        let Some(after) = &next else { break };
        let more = desk.get(&format!("{address}{}", query([("limit", limit.as_str()), ("after", after)]))).await?;
        lines.extend(more["items"].as_array().into_iter().flatten().cloned());
        next = more["next"].as_str().map(str::to_owned);
    }
    first["items"] = Value::Array(lines);
    Ok((first, next.is_some()))
}

async fn one(desk: Desk, Path((id, month)): Path<(String, String)>) -> Result<Response, Trouble> {
    let (statement, cut) = whole(&desk, &format!("/accounts/{}/statements/{}", escaped(&id), escaped(&month))).await?;
    let owner = account(&desk, &id).await?;
    let summary = &statement["summary"];
    let lines = statement["items"].as_array().into_iter().flatten().map(|line| {
        vec![
            show::time(&line["at"]),
            html! { (movement(line["kind"].as_str().unwrap_or_default())) },
            cause(line),
            show::note(&line["note"]),
            show::money(&line["amount"]),
            show::money(&line["balance"]),
        ]
    });
    let table = Table::new(t("Movements"))
        .column(t("When"))
        .column(t("What"))
        .column(t("Because of"))
        .column(t("Note"))
        .figures(t("Amount"))
        .figures(t("Balance"))
        .empty(t("Nothing moved in this month."))
        .rows(lines)
        .show();
    let body = html! {
        div.grid.wide {
            (show::card(t("The month"), show::facts([
                (t("Account"), link(&BTreeMap::from([(id.clone(), named(&owner))]), &id)),
                (t("From"), show::day(&statement["from"])),
                (t("Before"), show::day(&statement["until"])),
                (t("At the beginning"), show::money(&summary["opening"])),
                (t("At the end"), show::money(&summary["closing"])),
            ])))
            (show::card(t("What moved"), sums_table(&summary["sums"])))
        }
        @if summary["calls"]["count"].as_i64().is_some_and(|count| count > 0) {
            p { (t("Calls")) ": " (show::count(&summary["calls"]["count"])) ", " (show::duration(summary["calls"]["billed_secs"].as_u64().unwrap_or_default())) " " (t("billed")) ", " (show::money(&summary["calls"]["charge"])) }
        }
        @if cut { p.note-box { (t("This month is too long to print whole. Save it as CSV instead.")) } }
        (table)
    };
    let here = format!("/admin/accounts/{id}/statements");
    let actions = html! {
        button.primary type="button" data-print hidden { (t("Print")) }
        a.button href={ (here) "/" (month) "/csv" } { (t("Save as CSV")) }
    };
    let page = Page::new(&desk, Section::Accounts, format!("{} {month}", t("Statement")));
    let page =
        page.under("/admin/accounts", t("Accounts")).under(format!("/admin/accounts/{id}"), named(&owner)).under(here, t("Statements"));
    Ok(page.actions(actions).show(body))
}

/// Sums by kind.
fn sums_table(sums: &Value) -> Markup {
    let rows = sums.as_array().into_iter().flatten().map(|sum| {
        vec![html! { (movement(sum["kind"].as_str().unwrap_or_default())) }, show::text(&sum["count"]), show::money(&sum["amount"])]
    });
    Table::new(t("What moved"))
        .column(t("What"))
        .figures(t("Times"))
        .figures(t("Together"))
        .empty(t("Nothing moved in this month."))
        .rows(rows)
        .show()
}

async fn file(desk: Desk, Path((id, month)): Path<(String, String)>) -> Result<Response, Trouble> {
    desk.download(&format!("/accounts/{}/statements/{}?format=csv", escaped(&id), escaped(&month))).await
}

async fn all_months(desk: Desk) -> Result<Response, Trouble> {
    let found = desk.get("/statements").await?;
    let page = Page::new(&desk, Section::Accounts, t("Months")).under("/admin/accounts", t("Accounts"));
    Ok(page.lead(t("Everything that moved on all accounts, month by month.")).show(months_table(&found, "/admin/statements")))
}

async fn all(desk: Desk, Path(month): Path<String>, Query(asked): Query<BTreeMap<String, String>>) -> Result<Response, Trouble> {
    let after = asked.get("after").map(String::as_str).unwrap_or_default();
    let found = desk.get(&format!("/statements/{}{}", escaped(&month), query([("after", after)]))).await?;
    let here = format!("/admin/statements/{month}");
    let books = if after.is_empty() { desk.get(&format!("/books{}", query([("month", month.as_str())]))).await.ok() } else { None };
    let items = found["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names = names(&desk, items.iter().filter_map(|entry| entry["account_id"].as_str())).await;
    let body = html! {
        div.grid.wide {
            @if !found["sums"].is_null() { (show::card(t("What moved"), sums_table(&found["sums"]))) }
            @if let Some(books) = &books { (show::card(t("The books"), books_table(books))) }
        }
        h2 { (t("Movements")) }
        (entries_of(&found, false, Some(&names)))
        (pages(&here, &[("after", after)], found["next"].as_str()))
    };
    let actions = html! {
        button type="button" data-print hidden { (t("Print")) }
        a.button.primary href={ (here) "/csv" } { (t("Save as CSV")) }
    };
    let page = Page::new(&desk, Section::Accounts, format!("{} {month}", t("The month"))).under("/admin/accounts", t("Accounts"));
    Ok(page.under("/admin/statements", t("Months")).actions(actions).show(body))
}

/// Every book with its sum: those of a currency are zero together.
fn books_table(books: &Value) -> Markup {
    let rows = books["items"].as_array().into_iter().flatten().map(|sum| {
        vec![html! { (book(sum["book"].as_str().unwrap_or_default())) }, show::count(&sum["entries"]), show::money(&sum["amount"])]
    });
    Table::new(t("The books"))
        .column(t("Book"))
        .figures(t("Entries"))
        .figures(t("Credits less debits"))
        .empty(t("Nothing moved in this month."))
        .rows(rows)
        .show()
}

async fn all_file(desk: Desk, Path(month): Path<String>) -> Result<Response, Trouble> {
    desk.download(&format!("/statements/{}?format=csv", escaped(&month))).await
}

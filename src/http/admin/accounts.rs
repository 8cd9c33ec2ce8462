//! Accounts: the list, one with its entries, and the forms that move its money.

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::House;
use super::desk::{Desk, Trouble, escaped, query};
use super::form::{Field, Form, Submitted, filters};
use super::layout::{Page, Section};
use super::session::done;
use super::show;
use super::table::{Table, pages};
use super::text::t;
use crate::people::Scope;

/// Accounts of one page that are named; a page of the API has no more by itself.
const MOST_NAMED: usize = 100;

pub(super) fn router() -> Router<House> {
    Router::new()
        .route("/admin/accounts", get(list).post(create))
        .route("/admin/accounts/new", get(new))
        .route("/admin/accounts/{account_id}", get(one))
        .route("/admin/accounts/{account_id}/top-up", get(top_up_form).post(top_up))
        .route("/admin/accounts/{account_id}/adjust", get(adjust_form).post(adjust))
        .route("/admin/accounts/{account_id}/entries/{posting_id}/reverse", get(reverse_form).post(reverse))
        .route("/admin/accounts/{account_id}/limit", get(limit_form).post(limit))
}

async fn list(desk: Desk, Query(asked): Query<BTreeMap<String, String>>) -> Result<Response, Trouble> {
    let said = |name: &str| asked.get(name).map(|value| value.trim()).unwrap_or_default();
    if said("q").starts_with("acct_") {
        return Ok(Redirect::to(&format!("/admin/accounts/{}", escaped(said("q")))).into_response());
    }
    let found = desk
        .get(&format!("/accounts{}", query([("currency", said("currency")), ("below", said("below")), ("after", said("after"))])))
        .await?;
    let rows = found["items"].as_array().into_iter().flatten().map(|account| {
        let id = account["id"].as_str().unwrap_or_default();
        vec![
            html! { a href={ "/admin/accounts/" (id) } { (called(account)) } },
            show::balance(&account["balance"]),
            show::balance(&account["held"]),
            show::balance(&account["credit_limit"]),
            show::balance(&account["available"]),
        ]
    });
    let table = Table::new(t("Accounts"))
        .column(t("Account"))
        .figures(t("Balance"))
        .figures(t("Held"))
        .figures(t("Credit limit"))
        .figures(t("Left to spend"))
        .empty(t("No accounts yet. One is opened with each new subscriber."))
        .rows(rows)
        .show();
    let search = Field::input("search", "q", t("Account id")).hint(t("Accounts of people are found by their names among the subscribers."));
    let currency = Field::input("search", "currency", t("Currency"));
    let below = Field::input("search", "below", t("Balance below"));
    let shown = [("currency", said("currency")), ("below", said("below")), ("after", said("after"))];
    let body = html! {
        (filters("/admin/accounts", &asked, vec![search, currency, below]))
        (table)
        (pages("/admin/accounts", &shown, found["next"].as_str()))
    };
    let actions = html! { @if desk.may(Scope::Money) {
        a.button.primary href="/admin/accounts/new" { (t("Open an account")) }
    } a.button href="/admin/transfers" { (t("Transfers")) } a.button href="/admin/holds" { (t("Open holds")) } a.button href="/admin/statements" { (t("Months")) } };
    Ok(Page::new(&desk, Section::Accounts, t("Accounts")).actions(actions).show(body))
}

async fn new(desk: Desk) -> Response {
    new_page(&desk, None, None)
}

fn new_page(desk: &Desk, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Response {
    let form = Form::new(desk, "/admin/accounts", t("Open the account"))
        .again(given, trouble)
        .field(Field::text("currency", t("Currency")).required().hint(t("Three letters, such as EUR. It never changes.")))
        .field(Field::amount("credit_limit", t("Credit limit")).hint(t("How far below zero it may go. Empty: not at all.")));
    let status = trouble.map_or(StatusCode::OK, |trouble| trouble.status);
    let page = Page::new(desk, Section::Accounts, t("Open an account")).under("/admin/accounts", t("Accounts"));
    page.show_as(status, html! { div.card { (form.show()) } })
}

async fn create(desk: Desk, form: Submitted) -> Response {
    let currency = form.text("currency").to_uppercase();
    let mut body = json!({ "currency": currency });
    if form.get("credit_limit").is_some() {
        body["credit_limit"] = form.money("credit_limit", &currency);
    }
    match desk.send(Method::POST, "/accounts", &body, None).await {
        Ok(made) => done(&format!("/admin/accounts/{}", made["id"].as_str().unwrap_or_default()), t("The account is open.")),
        Err(trouble) => new_page(&desk, Some(&form), Some(&trouble)),
    }
}

/// The account as the API tells it.
pub(super) async fn account(desk: &Desk, id: &str) -> Result<Value, Trouble> {
    desk.get(&format!("/accounts/{}", escaped(id))).await
}

async fn one(desk: Desk, Path(id): Path<String>, Query(asked): Query<BTreeMap<String, String>>) -> Result<Response, Trouble> {
    let account = account(&desk, &id).await?;
    let after = asked.get("after").map(String::as_str).unwrap_or_default();
    let entries = desk.get(&format!("/accounts/{}/entries{}", escaped(&id), query([("after", after)]))).await?;
    let address = format!("/admin/accounts/{id}");
    let holds = desk.get(&format!("/holds?account_id={}&limit=20", escaped(&id))).await?;
    let whose = desk.get(&format!("/subscribers?account_id={}", escaped(&id))).await?;
    let body = html! {
        p { (t("Used by")) ":" @for subscriber in whose["items"].as_array().into_iter().flatten() {
            " " a href={ "/admin/subscribers/" (subscriber["id"].as_str().unwrap_or_default()) } { (show::text(&subscriber["name"])) }
        } @if whose["items"].as_array().is_none_or(Vec::is_empty) { " " (t("nobody")) } }
        div.figures {
            (show::figure(t("Balance"), show::balance(&account["balance"]), html! {}))
            (show::figure(t("Left to spend"), show::balance(&account["available"]), html! { (t("With the credit limit, less what is held")) }))
            (show::figure(t("Held for calls that are up"), show::balance(&account["held"]), html! {}))
            (show::figure(t("Credit limit"), show::balance(&account["credit_limit"]), html! {}))
        }
        @if holds["items"].as_array().is_some_and(|items| !items.is_empty()) {
            (show::card(t("Open holds"), super::subscriber::holds_table(&holds)))
        }
        h2 { (t("Movements")) }
        (entries_table(&entries, desk.may(Scope::Money)))
        (pages(&address, &[("after", after)], next(&entries).as_deref()))
    };
    let actions = html! {
        @if desk.may(Scope::Money) {
            a.button.primary href={ (address) "/top-up" } { (t("Top up")) }
            a.button href={ (address) "/adjust" } { (t("Adjust")) }
            a.button href={ (address) "/transfer" } { (t("Transfer")) }
            a.button href={ (address) "/limit" } { (t("Limits")) }
        }
        a.button href={ (address) "/statements" } { (t("Statements")) }
    };
    let page = Page::new(&desk, Section::Accounts, named(&account)).under("/admin/accounts", t("Accounts")).actions(actions).lead(id);
    Ok(page.show(body))
}

/// The same as the title of a page.
pub(super) fn named(account: &Value) -> String {
    match account["subscribers"][0]["name"].as_str() {
        Some(name) => t("Account of {name}").replace("{name}", name),
        None => t("Account").to_owned(),
    }
}

/// An account by those who use it, or by its id.
fn called(account: &Value) -> Markup {
    let users: Vec<_> = account["subscribers"].as_array().into_iter().flatten().filter_map(|one| one["name"].as_str()).collect();
    html! { @if users.is_empty() { code.id { (account["id"].as_str().unwrap_or_default()) } } @else { (users.join(", ")) } }
}

/// What the accounts of a page are called: by those who use them.
pub(super) async fn names(desk: &Desk, ids: impl IntoIterator<Item = &str>) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for id in ids.into_iter().filter(|id| id.starts_with("acct_")).collect::<BTreeSet<_>>().into_iter().take(MOST_NAMED) {
        if let Ok(account) = account(desk, id).await
            && let Some(name) = account["subscribers"][0]["name"].as_str()
        {
            names.insert(id.to_owned(), name.to_owned());
        }
    }
    names
}

/// The way to an account, by its name where it has one.
pub(super) fn link(names: &BTreeMap<String, String>, id: &str) -> Markup {
    html! { a href={ "/admin/accounts/" (id) } { @match names.get(id) { Some(name) => (name), None => code.id { (id) } } } }
}

/// Where the next page begins; cursors are texts or numbers.
fn next(found: &Value) -> Option<String> {
    match &found["next"] {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// What moved, newest first.
pub(super) fn entries_table(entries: &Value, reversible: bool) -> Markup {
    entries_of(entries, reversible, None)
}

/// The same of several accounts, with what they are called.
pub(super) fn entries_of(entries: &Value, reversible: bool, names: Option<&BTreeMap<String, String>>) -> Markup {
    let rows = entries["items"].as_array().into_iter().flatten().map(|entry| {
        let text = |name: &str| entry[name].as_str().unwrap_or_default();
        let mut cells = vec![
            show::time(&entry["at"]),
            html! { (movement(text("kind"))) },
            show::money(&entry["amount"]),
            cause(entry),
            show::note(&entry["note"]),
        ];
        if let Some(names) = names {
            cells.insert(1, link(names, text("account_id")));
        }
        if reversible {
            let way = format!("/admin/accounts/{}/entries/{}/reverse", text("account_id"), text("id"));
            let call = text("cause").split([':', '/']).next().filter(|cause| cause.starts_with("call_"));
            cells.push(html! {
                @match (text("kind"), call) {
                    ("top_up" | "adjustment" | "bonus" | "voucher", _) => a href=(way) { (t("Reverse")) },
                    ("charge" | "correction", Some(call)) => a href={ "/admin/cdrs/" (call) "/correct" } { (t("Correct")) },
                    _ => {},
                }
            });
        }
        cells
    });
    let table = Table::new(t("Movements")).column(t("When"));
    let table = if names.is_some() { table.column(t("Account")) } else { table };
    let table = table.column(t("What")).figures(t("Amount")).column(t("Because of")).column(t("Note")).empty(t("Nothing has moved yet."));
    let table = if reversible { table.column(t("Action")) } else { table };
    table.rows(rows).show()
}

/// A cause, as a way there where it has a page.
pub(super) fn cause(entry: &Value) -> Markup {
    match entry["cause"].as_str() {
        Some(cause) if cause.starts_with("call_") => {
            html! { a href={ "/admin/cdrs/" (cause.split([':', '/']).next().unwrap_or(cause)) } { (t("the call")) } }
        }
        Some(cause) if cause.starts_with("post_") => html! { span title=(cause) { (t("an earlier movement")) } },
        // Who did it: the name to read, the id for whoever points at it.
        Some(cause) if cause.contains(" pers_") || cause.contains(" key_") => {
            html! { span title=(cause) { (cause.split(' ').next().unwrap_or(cause)) } }
        }
        _ => show::text(&entry["cause"]),
    }
}

/// Kinds of movements in words.
pub(super) fn movement(code: &str) -> &str {
    match code {
        "top_up" => t("Top-up"),
        "adjustment" => t("Adjustment"),
        "charge" => t("Charge"),
        "voucher" => t("Voucher"),
        "transfer" => t("Transfer"),
        "reversal" => t("Reversal"),
        "bonus" => t("Bonus"),
        "correction" => t("Correction"),
        "carrier_cost" => t("Carrier's part"),
        other => other,
    }
}

/// The page of a form that moves the account's money.
pub(super) fn money_page(desk: &Desk, account: &Value, title: &str, form: Form<'_>, trouble: Option<&Trouble>) -> Response {
    let id = account["id"].as_str().unwrap_or_default();
    let body = html! {
        div.grid {
            div.card { (form.show()) }
            (show::card(t("The account"), show::facts([
                (t("Used by"), called(account)),
                (t("Balance"), show::balance(&account["balance"])),
                (t("Held"), show::balance(&account["held"])),
                (t("Credit limit"), show::balance(&account["credit_limit"])),
                (t("Left to spend"), show::balance(&account["available"])),
            ])))
        }
    };
    let page = Page::new(desk, Section::Accounts, title)
        .under("/admin/accounts", t("Accounts"))
        .under(format!("/admin/accounts/{id}"), named(account));
    page.show_as(trouble.map_or(StatusCode::OK, |trouble| trouble.status), body)
}

pub(super) fn currency(account: &Value) -> &str {
    account["currency"].as_str().unwrap_or_default()
}

fn top_up_page(desk: &Desk, account: &Value, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Response {
    let id = account["id"].as_str().unwrap_or_default();
    let form = Form::new(desk, format!("/admin/accounts/{id}/top-up"), t("Top up"))
        .once()
        .again(given, trouble)
        .field(Field::amount("amount", format!("{} ({})", t("Amount"), currency(account))).required())
        .field(
            Field::text("payment", t("Payment")).required().hint(t("Its reference at whoever took the money, such as a receipt number.")),
        )
        .field(Field::text("note", t("Note")));
    money_page(desk, account, t("Top up"), form, trouble)
}

async fn top_up_form(desk: Desk, Path(id): Path<String>) -> Result<Response, Trouble> {
    let account = account(&desk, &id).await?;
    Ok(desk.confirm_first(&desk.path).unwrap_or_else(|| top_up_page(&desk, &account, None, None)))
}

async fn top_up(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    let account = account(&desk, &id).await?;
    let body = json!({ "amount": form.money("amount", currency(&account)), "payment": form.text("payment"), "note": form.text("note") });
    match desk.send(Method::POST, &format!("/accounts/{}/top_up", escaped(&id)), &body, form.key()).await {
        Ok(_) => Ok(done(&format!("/admin/accounts/{id}"), t("The account is topped up."))),
        Err(trouble) => Ok(top_up_page(&desk, &account, Some(&form), Some(&trouble))),
    }
}

fn adjust_page(desk: &Desk, account: &Value, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Response {
    let id = account["id"].as_str().unwrap_or_default();
    let form = Form::new(desk, format!("/admin/accounts/{id}/adjust"), t("Adjust"))
        .once()
        .again(given, trouble)
        .field(
            Field::amount("amount", format!("{} ({})", t("Amount"), currency(account)))
                .required()
                .hint(t("With a minus to take money away.")),
        )
        .field(Field::choice(
            "kind",
            t("What it is"),
            [("adjustment".to_owned(), t("A correction by hand").to_owned()), ("bonus".to_owned(), t("A gift").to_owned())],
        ))
        .field(Field::text("reason", t("Reason")).required().hint(t("Above the limit, a second person must approve before it counts.")));
    money_page(desk, account, t("Adjust"), form, trouble)
}

async fn adjust_form(desk: Desk, Path(id): Path<String>) -> Result<Response, Trouble> {
    let account = account(&desk, &id).await?;
    Ok(desk.confirm_first(&desk.path).unwrap_or_else(|| adjust_page(&desk, &account, None, None)))
}

async fn adjust(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    let account = account(&desk, &id).await?;
    let body = json!({ "amount": form.money("amount", currency(&account)), "kind": form.text("kind"), "reason": form.text("reason") });
    match desk.send(Method::POST, &format!("/accounts/{}/adjust", escaped(&id)), &body, form.key()).await {
        Ok(answer) => Ok(moved_or_waits(&id, &answer, t("The account is adjusted."))),
        Err(trouble) => Ok(adjust_page(&desk, &account, Some(&form), Some(&trouble))),
    }
}

/// Back to the account, or to the approval that waits for somebody else.
pub(super) fn moved_or_waits(id: &str, answer: &Value, said: &str) -> Response {
    moved_or_waits_at(&format!("/admin/accounts/{id}"), answer, said)
}

/// The same, back to another page.
pub(super) fn moved_or_waits_at(address: &str, answer: &Value, said: &str) -> Response {
    match answer["id"].as_str().filter(|answer| answer.starts_with("appr_")) {
        Some(approval) => done(&format!("/admin/approvals/{approval}"), t("It waits for a second person to approve it.")),
        None => done(address, said),
    }
}

fn reverse_page(desk: &Desk, account: &Value, posting: &str, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Response {
    let id = account["id"].as_str().unwrap_or_default();
    let form = Form::new(desk, format!("/admin/accounts/{id}/entries/{posting}/reverse"), t("Reverse it"))
        .once()
        .danger()
        .again(given, trouble)
        .with(html! { p { (t("The movement stays in the books; its exact opposite is added.")) " " code.id { (posting) } } })
        .field(Field::text("reason", t("Reason")).required().hint(t("Above the limit, a second person must approve before it counts.")));
    money_page(desk, account, t("Reverse a movement"), form, trouble)
}

async fn reverse_form(desk: Desk, Path((id, posting)): Path<(String, String)>) -> Result<Response, Trouble> {
    let account = account(&desk, &id).await?;
    let first = desk.confirm_first(&desk.path);
    Ok(first.unwrap_or_else(|| reverse_page(&desk, &account, &posting, None, None)))
}

async fn reverse(desk: Desk, Path((id, posting)): Path<(String, String)>, form: Submitted) -> Result<Response, Trouble> {
    let account = account(&desk, &id).await?;
    let address = format!("/accounts/{}/entries/{}/reverse", escaped(&id), escaped(&posting));
    match desk.send(Method::POST, &address, &json!({ "reason": form.text("reason") }), form.key()).await {
        Ok(answer) => Ok(moved_or_waits(&id, &answer, t("The movement is reversed."))),
        Err(trouble) => Ok(reverse_page(&desk, &account, &posting, Some(&form), Some(&trouble))),
    }
}

fn limit_page(desk: &Desk, account: &Value, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Response {
    let id = account["id"].as_str().unwrap_or_default();
    let now = |name: &str| account[name]["amount"].as_str().unwrap_or_default().to_owned();
    let named = |words: &str| format!("{words} ({})", currency(account));
    let form = Form::new(desk, format!("/admin/accounts/{id}/limit"), t("Save"))
        .again(given, trouble)
        .field(
            Field::amount("credit_limit", named(t("Credit limit")))
                .required()
                .value(now("credit_limit"))
                .hint(t("How far below zero the account may go.")),
        )
        .field(
            Field::amount("low_balance", named(t("Low balance")))
                .required()
                .value(now("low_balance"))
                .hint(t("An alert is raised when the account has less than this.")),
        );
    money_page(desk, account, t("Limits"), form, trouble)
}

async fn limit_form(desk: Desk, Path(id): Path<String>) -> Result<Response, Trouble> {
    let account = account(&desk, &id).await?;
    Ok(desk.confirm_first(&desk.path).unwrap_or_else(|| limit_page(&desk, &account, None, None)))
}

async fn limit(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    let account = account(&desk, &id).await?;
    let limit = |name: &str| form.money(name, currency(&account));
    let body = json!({ "credit_limit": limit("credit_limit"), "low_balance": limit("low_balance") });
    match desk.send(Method::PATCH, &format!("/accounts/{}", escaped(&id)), &body, None).await {
        Ok(_) => Ok(done(&format!("/admin/accounts/{id}"), t("Saved."))),
        Err(trouble) => Ok(limit_page(&desk, &account, Some(&form), Some(&trouble))),
    }
}

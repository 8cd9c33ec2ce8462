//! Money on paper: batches, their codes on a sheet to print (shown once), redeeming one, and making them void.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::House;
use super::desk::{Desk, Trouble, escaped, query};
use super::form::{Field, Form, Submitted};
use super::layout::{Page, Section};
use super::session::done;
use super::show;
use super::table::{Table, pages};
use super::text::t;
use crate::people::Scope;

pub(super) fn router() -> Router<House> {
    Router::new()
        .route("/admin/vouchers", get(list).post(create))
        .route("/admin/vouchers/new", get(new))
        .route("/admin/vouchers/redeem", get(redeem_form).post(redeem))
        .route("/admin/vouchers/{batch_id}", get(one))
        .route("/admin/vouchers/{batch_id}/void", post(void_batch))
        .route("/admin/vouchers/{batch_id}/void-one", post(void_one))
}

fn standing(batch: &Value) -> Markup {
    match batch["state"].as_str().unwrap_or_default() {
        "active" => show::badge(t("good"), "good"),
        "pending" => show::badge(t("waits for approval"), "warn"),
        "expired" => show::badge(t("expired"), "plain"),
        _ => show::badge(t("void"), "bad"),
    }
}

async fn list(desk: Desk, Query(asked): Query<BTreeMap<String, String>>) -> Result<Response, Trouble> {
    let after = asked.get("after").map(String::as_str).unwrap_or_default();
    let found = desk.get(&format!("/vouchers/batches{}", query([("after", after)]))).await?;
    let rows = found["items"].as_array().into_iter().flatten().map(|batch| {
        vec![
            html! { a href={ "/admin/vouchers/" (batch["id"].as_str().unwrap_or_default()) } { (show::text(&batch["name"])) } },
            standing(batch),
            show::money(&batch["amount"]),
            show::text(&batch["count"]),
            show::text(&batch["redeemed"]),
            show::text(&batch["voided"]),
            show::day(&batch["expires_at"]),
            show::day(&batch["created_at"]),
        ]
    });
    let table = Table::new(t("Batches of vouchers"))
        .column(t("Name"))
        .column(t("State"))
        .figures(t("Worth each"))
        .figures(t("Vouchers"))
        .figures(t("Redeemed"))
        .figures(t("Made void"))
        .column(t("Good until"))
        .column(t("Made"))
        .empty(t("No vouchers yet."))
        .rows(rows)
        .show();
    let body = html! { (table) (pages("/admin/vouchers", &[("after", after)], found["next"].as_str())) };
    let actions = html! { @if desk.may(Scope::Money) {
        a.button.primary href="/admin/vouchers/new" { (t("Make vouchers")) }
        a.button href="/admin/vouchers/redeem" { (t("Redeem one")) }
    } };
    Ok(Page::new(&desk, Section::Vouchers, t("Vouchers")).actions(actions).show(body))
}

async fn new(desk: Desk) -> Response {
    desk.confirm_first("/admin/vouchers/new").unwrap_or_else(|| new_page(&desk, None, None))
}

fn new_page(desk: &Desk, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Response {
    let form = Form::new(desk, "/admin/vouchers", t("Make them"))
        .once()
        .again(given, trouble)
        .field(Field::text("name", t("Name")).required().hint(t("What the batch is for.")))
        .field(Field::amount("amount", t("Worth each")).required())
        .field(Field::text("currency", t("Currency")).required().api("amount.currency").hint(t("Three letters, such as EUR.")))
        .field(Field::input("number", "count", t("How many")).required())
        .field(
            Field::input("date", "expires_at", t("Good until")).hint(t("The first day they are no longer good, in UTC. Empty: for good.")),
        );
    let lead = t("The codes are shown once, on a sheet to print. Only their digests are kept.");
    let page = Page::new(desk, Section::Vouchers, t("Make vouchers")).under("/admin/vouchers", t("Vouchers")).lead(lead);
    page.show_as(trouble.map_or(StatusCode::OK, |trouble| trouble.status), html! { div.card { (form.show()) } })
}

async fn create(desk: Desk, form: Submitted) -> Response {
    let currency = form.text("currency").to_uppercase();
    let expires = form.get("expires_at").map(|day| format!("{day}T00:00:00Z"));
    let body = json!({ "name": form.text("name"), "amount": form.money("amount", &currency), "count": form.number("count"), "expires_at": expires });
    match desk.send(Method::POST, "/vouchers/batches", &body, form.key()).await {
        Ok(made) => sheet(&desk, &made),
        Err(trouble) => new_page(&desk, Some(&form), Some(&trouble)),
    }
}

/// The codes, to print.
fn sheet(desk: &Desk, made: &Value) -> Response {
    let name = made["name"].as_str().unwrap_or_default();
    let codes: Vec<&str> = made["codes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let body = html! {
        @if !made["approval_id"].is_null() { p.note-box.noprint role="status" { (t("They are worth nothing until a second person approves the batch.")) } }
        @if codes.is_empty() { p.note-box { (t("The codes were shown before and are kept nowhere. Make the batch void and make another one if they are lost.")) } }
        @else { p.note-box.noprint { (t("Print this page or save it now. The codes are shown this once.")) } }
        div.sheet {
            @for code in &codes {
                div.voucher { strong { (name) } p { (show::money(&made["amount"])) } code { (code) } @if !made["expires_at"].is_null() { p.quiet { (t("Good until")) " " (show::day(&made["expires_at"])) } } }
            }
        }
    };
    let batch = format!("/admin/vouchers/{}", made["id"].as_str().unwrap_or_default());
    let actions = html! { button.primary type="button" data-print hidden { (t("Print")) } a.button href=(batch) { (t("To the batch")) } };
    Page::new(desk, Section::Vouchers, name).under("/admin/vouchers", t("Vouchers")).actions(actions).show(body)
}

async fn one(desk: Desk, Path(id): Path<String>, Query(asked): Query<BTreeMap<String, String>>) -> Result<Response, Trouble> {
    let api = format!("/vouchers/batches/{}", escaped(&id));
    let batch = desk.get(&api).await?;
    let after = asked.get("after").map(String::as_str).unwrap_or_default();
    let found = desk.get(&format!("{api}/vouchers{}", query([("after", after)]))).await?;
    let may = desk.may(Scope::Money) && batch["state"] != "void";
    let rows = found["items"].as_array().into_iter().flatten().map(|voucher| {
        let (redeemed, voided) = (!voucher["redeemed_at"].is_null(), !voucher["voided_at"].is_null());
        let state = if redeemed {
            show::badge(t("redeemed"), "plain")
        } else if voided {
            show::badge(t("void"), "bad")
        } else {
            standing(&batch)
        };
        let account = voucher["account_id"].as_str();
        let void = || {
            Form::new(&desk, format!("/admin/vouchers/{id}/void-one"), t("Make void"))
                .field(Field::hidden("voucher", voucher["id"].as_str().unwrap_or_default()))
                .confirm(t("Make this voucher void?"))
                .danger()
                .inline()
                .show()
        };
        vec![
            show::text(&voucher["number"]),
            state,
            show::time(&voucher["redeemed_at"]),
            account.map_or_else(show::dash, |account| html! { a href={ "/admin/accounts/" (account) } { code.id { (account) } } }),
            html! { @if may && !redeemed && !voided { (void()) } },
        ]
    });
    let table = Table::new(t("Vouchers"))
        .figures(t("Number"))
        .column(t("State"))
        .column(t("Redeemed"))
        .column(t("On account"))
        .column(t("Action"))
        .rows(rows)
        .show();
    let address = format!("/admin/vouchers/{id}");
    let next = match &found["next"] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let body = html! {
        div.figures {
            (show::figure(t("State"), standing(&batch), html! {}))
            (show::figure(t("Worth each"), show::money(&batch["amount"]), html! {}))
            (show::figure(t("Vouchers"), show::text(&batch["count"]), html! { (t("made")) " " (show::day(&batch["created_at"])) }))
            (show::figure(t("Redeemed"), show::text(&batch["redeemed"]), html! { (show::text(&batch["voided"])) " " (t("made void")) }))
        }
        (table)
        (pages(&address, &[("after", after)], next.as_deref()))
    };
    let actions = html! { @if may {
        (Form::new(&desk, format!("{address}/void"), t("Make the rest void")).confirm(t("Make every voucher of this batch void that was not redeemed?")).danger().inline().show())
    } };
    let name = batch["name"].as_str().unwrap_or_default();
    Ok(Page::new(&desk, Section::Vouchers, name).under("/admin/vouchers", t("Vouchers")).actions(actions).show(body))
}

async fn void_batch(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    drop(form);
    let here = format!("/admin/vouchers/{id}");
    if let Some(first) = desk.confirm_first(&here) {
        return Ok(first);
    }
    desk.send(Method::POST, &format!("/vouchers/batches/{}/void", escaped(&id)), &Value::Null, None).await?;
    Ok(done(&here, t("The rest of the batch is void.")))
}

async fn void_one(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    let here = format!("/admin/vouchers/{id}");
    if let Some(first) = desk.confirm_first(&here) {
        return Ok(first);
    }
    desk.send(Method::POST, &format!("/vouchers/{}/void", escaped(form.text("voucher"))), &Value::Null, None).await?;
    Ok(done(&here, t("The voucher is void.")))
}

async fn redeem_form(desk: Desk, Query(asked): Query<BTreeMap<String, String>>) -> Response {
    let account = asked.get("account_id").map(String::as_str).unwrap_or_default();
    desk.confirm_first("/admin/vouchers/redeem").unwrap_or_else(|| redeem_page(&desk, account, None, None))
}

fn redeem_page(desk: &Desk, account: &str, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Response {
    let form = Form::new(desk, "/admin/vouchers/redeem", t("Redeem"))
        .once()
        .again(given, trouble)
        .field(Field::text("code", t("Code")).required().hint(t("As it is printed; hyphens and case do not matter.")))
        .field(Field::text("account_id", t("Account")).required().value(account).hint(t("The id of the account that gets the money.")));
    let page = Page::new(desk, Section::Vouchers, t("Redeem a voucher")).under("/admin/vouchers", t("Vouchers"));
    page.show_as(trouble.map_or(StatusCode::OK, |trouble| trouble.status), html! { div.card { (form.show()) } })
}

async fn redeem(desk: Desk, form: Submitted) -> Response {
    let body = json!({ "code": form.text("code"), "account_id": form.text("account_id") });
    match desk.send(Method::POST, "/vouchers/redeem", &body, form.key()).await {
        Ok(_) => done(&format!("/admin/accounts/{}", form.text("account_id")), t("The voucher is redeemed.")),
        Err(trouble) => redeem_page(&desk, form.text("account_id"), Some(&form), Some(&trouble)),
    }
}

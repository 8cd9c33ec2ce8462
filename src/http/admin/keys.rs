//! Keys for machines: making one with its scopes, seeing when it was last used, taking it back.

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
use super::people::{operator, whose_tabs};
use super::session::done;
use super::show;
use super::table::{Table, pages};
use super::text::t;
use crate::people::Scope;

pub(super) fn router() -> Router<House> {
    Router::new()
        .route("/admin/keys", get(list).post(create))
        .route("/admin/keys/new", get(new))
        .route("/admin/keys/{key_id}", get(one).post(update))
        .route("/admin/keys/{key_id}/revoke", post(revoke))
}

async fn list(desk: Desk, Query(asked): Query<BTreeMap<String, String>>) -> Result<Response, Trouble> {
    let operator = operator(&desk, &asked);
    let whose = if operator { "true" } else { "false" };
    let after = asked.get("after").map(String::as_str).unwrap_or_default();
    let found = desk.get(&format!("/keys{}", query([("operator", whose), ("after", after)]))).await?;
    let rows = found["items"].as_array().into_iter().flatten().map(|key| {
        let live = key["revoked_at"].is_null();
        let scopes: Vec<&str> = key["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let revoke = || {
            Form::new(&desk, format!("/admin/keys/{}/revoke", key["id"].as_str().unwrap_or_default()), t("Revoke"))
                .confirm(t("Revoke this key? Whatever uses it is turned away at once."))
                .danger()
                .inline()
                .show()
        };
        vec![
            html! { @if live { a href={ "/admin/keys/" (key["id"].as_str().unwrap_or_default()) } { (show::text(&key["name"])) } } @else { (show::text(&key["name"])) } },
            html! { @if live { (show::badge(t("valid"), "good")) } @else { (show::badge(t("revoked"), "plain")) } },
            html! { @if scopes.len() == Scope::ALL.len() { (t("everything")) } @else { (scopes.join(", ")) } },
            show::time(&key["created_at"]),
            show::time(&key["expires_at"]),
            show::time(&key["last_used_at"]),
            html! { @if live { (revoke()) } },
        ]
    });
    let table = Table::new(t("API keys"))
        .column(t("Name"))
        .column(t("State"))
        .column(t("May"))
        .column(t("Made"))
        .column(t("Holds until"))
        .column(t("Last used"))
        .column(t("Action"))
        .empty(t("No key yet. Machines cannot ask the API."))
        .rows(rows)
        .show();
    let body = html! {
        (whose_tabs(&desk, "/admin/keys", operator))
        (table)
        (pages("/admin/keys", &[("operator", whose), ("after", after)], found["next"].as_str()))
    };
    let actions = html! { a.button.primary href={ "/admin/keys/new?operator=" (whose) } { (t("Make a key")) } };
    Ok(Page::new(&desk, Section::Keys, t("API keys")).actions(actions).show(body))
}

/// The scopes in words.
fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => t("See everything but the audit log"),
        Scope::Subscribers => t("Change subscribers and their phones"),
        Scope::Money => t("Move money"),
        Scope::Decks => t("Change rate decks"),
        Scope::Numbers => t("Change access numbers"),
        Scope::Trunks => t("Change trunks"),
        Scope::Calls => t("Hang up calls, cancel reservations"),
        Scope::Fraud => t("Change rules and hotlists, acknowledge alerts"),
        Scope::People => t("Change people and keys"),
        Scope::Tenants => t("Change tenants"),
        Scope::Audit => t("Read the audit log"),
    }
}

async fn new(desk: Desk, Query(asked): Query<BTreeMap<String, String>>) -> Response {
    let operator = operator(&desk, &asked);
    let here = format!("/admin/keys/new?operator={operator}");
    desk.confirm_first(&here).unwrap_or_else(|| new_page(&desk, operator, None, None))
}

fn new_page(desk: &Desk, operator: bool, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Response {
    let mut form = Form::new(desk, "/admin/keys", t("Make the key"))
        .again(given, trouble)
        .field(Field::text("name", t("Name")).required().hint(t("What uses it, such as the web shop.")))
        .with(scopes(desk, given.map_or_else(|| vec!["read"], |form| form.all("scopes")), trouble))
        .field(ends());
    if desk.caller.is_operator() {
        form = form.field(
            Field::choice(
                "operator",
                t("Works for"),
                [
                    ("true".to_owned(), t("the operator, in all tenants").to_owned()),
                    ("false".to_owned(), t("the tenant chosen above").to_owned()),
                ],
            )
            .value(operator),
        );
    }
    let page = Page::new(desk, Section::Keys, t("Make a key")).under("/admin/keys", t("API keys"));
    page.show_as(trouble.map_or(StatusCode::OK, |trouble| trouble.status), html! { div.card { (form.show()) } })
}

/// What a key may do, as boxes.
fn scopes(desk: &Desk, chosen: Vec<&str>, trouble: Option<&Trouble>) -> Markup {
    let wrong = trouble.filter(|trouble| trouble.field.as_deref() == Some("scopes"));
    html! {
        fieldset aria-describedby="scopes-wrong" {
            legend { (t("What it may do")) }
            @for one in Scope::ALL.into_iter().filter(|one| desk.may(*one) || chosen.contains(&one.code())) {
                div.field.check {
                    input id={ "scope-" (one.code()) } type="checkbox" name="scopes" value=(one.code()) checked[chosen.contains(&one.code())];
                    label for={ "scope-" (one.code()) } { (scope(one)) }
                }
            }
            p.wrong #scopes-wrong { @if let Some(wrong) = wrong { (wrong.message) } }
        }
    }
}

fn ends() -> Field {
    Field::input("date", "expires_at", t("Holds until")).hint(t("The first day it no longer holds, in UTC. Empty: until it is revoked."))
}

async fn one(desk: Desk, Path(id): Path<String>) -> Result<Response, Trouble> {
    let key = desk.get(&format!("/keys/{}", escaped(&id))).await?;
    Ok(desk.confirm_first(&desk.path).unwrap_or_else(|| one_page(&desk, &key, None, None)))
}

fn one_page(desk: &Desk, key: &Value, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Response {
    let now = || key["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let day = key["expires_at"].as_str().and_then(|at| at.get(..10)).unwrap_or_default();
    let form = Form::new(desk, format!("/admin/keys/{}", key["id"].as_str().unwrap_or_default()), t("Save"))
        .again(given, trouble)
        .field(Field::text("name", t("Name")).required().value(key["name"].as_str().unwrap_or_default()))
        .with(scopes(desk, given.map_or_else(now, |form| form.all("scopes")), trouble))
        .field(ends().value(day));
    let page = Page::new(desk, Section::Keys, key["name"].as_str().unwrap_or_default()).under("/admin/keys", t("API keys"));
    page.show_as(trouble.map_or(StatusCode::OK, |trouble| trouble.status), html! { div.card { (form.show()) } })
}

async fn update(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    let path = format!("/keys/{}", escaped(&id));
    let key = desk.get(&path).await?;
    let body = json!({ "name": form.text("name"), "scopes": form.all("scopes"), "expires_at": expiry(&form) });
    match desk.send(Method::PATCH, &path, &body, None).await {
        Ok(_) => Ok(done("/admin/keys", t("The key is changed."))),
        Err(trouble) => Ok(one_page(&desk, &key, Some(&form), Some(&trouble))),
    }
}

/// The end of a key: the beginning of the day that was chosen.
fn expiry(form: &Submitted) -> Option<String> {
    form.get("expires_at").map(|day| format!("{day}T00:00:00Z"))
}

async fn create(desk: Desk, form: Submitted) -> Response {
    let mut body = json!({ "name": form.text("name"), "scopes": form.all("scopes"), "expires_at": expiry(&form) });
    let operator = desk.caller.is_operator() && form.text("operator") != "false";
    if desk.caller.is_operator() {
        body["operator"] = json!(operator);
    }
    match desk.send(Method::POST, "/keys", &body, None).await {
        Ok(made) => {
            let body = html! {
                div.card {
                    (show::secret(t("The key. Requests carry it as Authorization: Bearer and the key."), made["key"].as_str().unwrap_or_default()))
                    p { a.button href="/admin/keys" { (t("To the keys")) } }
                }
            };
            Page::new(&desk, Section::Keys, made["name"].as_str().unwrap_or_default()).under("/admin/keys", t("API keys")).show(body)
        }
        Err(trouble) => new_page(&desk, operator, Some(&form), Some(&trouble)),
    }
}

async fn revoke(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    drop(form);
    desk.send(Method::DELETE, &format!("/keys/{}", escaped(&id)), &Value::Null, None).await?;
    Ok(done("/admin/keys", t("The key is revoked.")))
}

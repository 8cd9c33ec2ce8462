//! The operator's customers: the list, somebody new, and what can be said of one.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::House;
use super::desk::{Desk, Trouble, escaped, query};
use super::form::{Field, Form, Submitted};
use super::layout::{Page, Section};
use super::session::{done, set_cookie};
use super::show;
use super::table::{Table, pages};
use super::text::t;

pub(super) fn router() -> Router<House> {
    Router::new()
        .route("/admin/tenants", get(list).post(create))
        .route("/admin/tenants/new", get(new))
        .route("/admin/tenants/{tenant_id}", get(one).post(update))
}

async fn list(desk: Desk, Query(asked): Query<BTreeMap<String, String>>) -> Result<Response, Trouble> {
    let after = asked.get("after").map(String::as_str).unwrap_or_default();
    let found = desk.get(&format!("/tenants{}", query([("after", after)]))).await?;
    let rows = found["items"].as_array().into_iter().flatten().map(|tenant| {
        let id = tenant["id"].as_str().unwrap_or_default();
        let working = desk.caller.tenant.to_string() == id;
        vec![
            html! { a href={ "/admin/tenants/" (id) } { (show::text(&tenant["name"])) } },
            html! { code { (show::text(&tenant["slug"])) } },
            show::text(&tenant["home_country"]),
            show::enabled(&tenant["enabled"]),
            since(tenant),
            work_for(&desk, id, working),
        ]
    });
    let table = Table::new(t("Tenants"))
        .column(t("Name"))
        .column(t("In addresses"))
        .column(t("Country"))
        .column(t("State"))
        .column(t("Since"))
        .column(t("Action"))
        .rows(rows)
        .show();
    let body = html! { (table) (pages("/admin/tenants", &[("after", after)], found["next"].as_str())) };
    let actions = html! { a.button.primary href="/admin/tenants/new" { (t("Add a tenant")) } };
    let page = Page::new(&desk, Section::Tenants, t("Tenants")).actions(actions);
    Ok(page.lead(t("Your customers, strictly apart: each has its own numbers, decks, subscribers and people.")).show(body))
}

/// The first tenant was there before anybody was.
fn since(tenant: &Value) -> Markup {
    if tenant["created_at"].as_str().is_some_and(|at| at.starts_with("1970-")) {
        return html! { (t("the beginning")) };
    }
    show::day(&tenant["created_at"])
}

fn work_for(desk: &Desk, id: &str, working: bool) -> Markup {
    if working {
        return show::badge(t("you work here"), "good");
    }
    Form::new(desk, "/admin/tenant", t("Work for it")).field(Field::hidden("tenant", id)).inline().show()
}

fn fields<'f>(form: Form<'f>, now: &Value) -> Form<'f> {
    let text = |name: &str| now[name].as_str().unwrap_or_default().to_owned();
    form.field(Field::text("name", t("Name")).required().value(text("name")))
        .field(
            Field::text("slug", t("Name in addresses"))
                .required()
                .value(text("slug"))
                .hint(t("Lower-case letters, digits and hyphens: the phones ask at /t/NAME/callthrough.")),
        )
        .field(Field::text("home_country", t("Home country")).value(text("home_country")).hint(t("Two letters, such as US.")))
        .field(
            Field::check("enabled", t("In business"))
                .checked(now["enabled"] == true)
                .hint(t("Off: its subscribers cannot call and its people cannot sign in.")),
        )
}

fn body(form: &Submitted) -> Value {
    let country = form.get("home_country").map(str::to_uppercase);
    json!({ "name": form.text("name"), "slug": form.text("slug"), "home_country": country, "enabled": form.checked("enabled") })
}

async fn new(desk: Desk) -> Response {
    desk.confirm_first("/admin/tenants/new").unwrap_or_else(|| new_page(&desk, None, None))
}

fn new_page(desk: &Desk, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Response {
    let form = fields(Form::new(desk, "/admin/tenants", t("Add the tenant")).again(given, trouble), &json!({ "enabled": true }));
    let page = Page::new(desk, Section::Tenants, t("Add a tenant")).under("/admin/tenants", t("Tenants"));
    page.show_as(trouble.map_or(StatusCode::OK, |trouble| trouble.status), html! { div.card { (form.show()) } })
}

async fn create(desk: Desk, form: Submitted) -> Response {
    match desk.send(Method::POST, "/tenants", &body(&form), None).await {
        Ok(made) => {
            let id = made["id"].as_str().unwrap_or_default();
            let mut response = done(&format!("/admin/tenants/{id}"), t("The tenant is added. You work for it now."));
            set_cookie(&mut response, &format!("tenant={id}; Path=/admin; Max-Age=43200; HttpOnly; SameSite=Strict"));
            response
        }
        Err(trouble) => new_page(&desk, Some(&form), Some(&trouble)),
    }
}

async fn one(desk: Desk, Path(id): Path<String>) -> Result<Response, Trouble> {
    page(&desk, &id, None, None).await
}

async fn page(desk: &Desk, id: &str, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Result<Response, Trouble> {
    let tenant = desk.get(&format!("/tenants/{}", escaped(id))).await?;
    let slug = tenant["slug"].as_str().unwrap_or_default();
    let working = desk.caller.tenant.to_string() == id;
    let form = fields(Form::new(desk, format!("/admin/tenants/{id}"), t("Save")).again(given, trouble), &tenant);
    let body = html! {
        div.grid {
            (show::card(t("Change"), form.show()))
            (show::card(t("The tenant"), html! {
                (show::facts([
                    (t("State"), show::enabled(&tenant["enabled"])),
                    (t("Its people sign in at"), html! { code data-copy { (desk.origin()) "/admin/sign-in?tenant=" (slug) } }),
                    (t("Its phones ask at"), html! { code data-copy { (desk.origin()) @if slug == "main" { "/callthrough" } @else { "/t/" (slug) "/callthrough" } } }),
                    (t("Since"), since(&tenant)),
                    (t("Id"), show::id(&tenant["id"])),
                ]))
                p { (work_for(desk, id, working)) }
                @if working {
                    p { a href="/admin/subscribers" { (t("Subscribers")) } " · " a href="/admin/access-numbers" { (t("Access numbers")) } " · " a href="/admin/decks" { (t("Rate decks")) } " · " a href="/admin/people?operator=false" { (t("People")) } }
                }
            }))
        }
    };
    let page = Page::new(desk, Section::Tenants, tenant["name"].as_str().unwrap_or_default()).under("/admin/tenants", t("Tenants"));
    Ok(page.show_as(trouble.map_or(StatusCode::OK, |trouble| trouble.status), body))
}

async fn update(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    match desk.send(Method::PATCH, &format!("/tenants/{}", escaped(&id)), &body(&form), None).await {
        Ok(_) => Ok(done(&format!("/admin/tenants/{id}"), t("Saved."))),
        Err(trouble) => page(&desk, &id, Some(&form), Some(&trouble)).await,
    }
}

//! Who keeps the books: the people, their roles, and the links that let them in.

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
use super::form::{Again, Field, Form, Submitted};
use super::layout::{Page, Section};
use super::session::done;
use super::show;
use super::table::{Table, pages};
use super::text::t;

pub(super) fn router() -> Router<House> {
    Router::new()
        .route("/admin/people", get(list).post(create))
        .route("/admin/people/new", get(new))
        .route("/admin/people/{person_id}", get(one).post(update))
        .route("/admin/people/{person_id}/invite", post(invite))
        .route("/admin/people/{person_id}/sign-out", post(sign_out))
        .route("/admin/people/{person_id}/second-factor", post(forget_second_factor))
        .route("/admin/people/{person_id}/remove", post(remove))
}

/// The roles in words.
pub(super) fn role(code: &str) -> &str {
    match code {
        "owner" => t("Owner"),
        "billing" => t("Billing"),
        "support" => t("Support"),
        "read_only" => t("Read-only"),
        other => other,
    }
}

/// Roles with what they may do.
fn roles() -> Vec<(String, String)> {
    [
        ("read_only", t("looks at everything but the audit log")),
        ("support", t("subscribers and live calls, no money")),
        ("billing", t("subscribers, money, decks, rules, audit log")),
        ("owner", t("everything")),
    ]
    .map(|(code, may)| (code.to_owned(), format!("{}: {may}", role(code))))
    .to_vec()
}

/// The operator's own beside the tenant's, for those who may see both.
pub(super) fn whose_tabs(desk: &Desk, address: &str, operator: bool) -> Markup {
    html! {
        @if desk.caller.is_operator() {
            nav.tabs aria-label=(t("Whose")) {
                a href={ (address) "?operator=true" } aria-current=[operator.then_some("page")] { (t("The operator's own")) }
                a href={ (address) "?operator=false" } aria-current=[(!operator).then_some("page")] { (t("The tenant's")) }
            }
        }
    }
}

/// Whose are meant: the operator's own unless said, for those who are the operator's.
pub(super) fn operator(desk: &Desk, asked: &BTreeMap<String, String>) -> bool {
    desk.caller.is_operator() && asked.get("operator").is_none_or(|said| said != "false")
}

async fn list(desk: Desk, Query(asked): Query<BTreeMap<String, String>>) -> Result<Response, Trouble> {
    let operator = operator(&desk, &asked);
    let whose = if operator { "true" } else { "false" };
    let after = asked.get("after").map(String::as_str).unwrap_or_default();
    let found = desk.get(&format!("/people{}", query([("operator", whose), ("after", after)]))).await?;
    let rows = found["items"].as_array().into_iter().flatten().map(|person| {
        let id = person["id"].as_str().unwrap_or_default();
        vec![
            html! { a href={ "/admin/people/" (id) } { (show::text(&person["name"])) } },
            show::text(&person["login"]),
            html! { (role(person["role"].as_str().unwrap_or_default())) },
            standing(person),
            html! { @if person["second_factor"] == true { (show::badge(t("on"), "good")) } @else { (show::badge(t("off"), "warn")) } },
            show::time(&person["signed_in_at"]),
        ]
    });
    let table = Table::new(t("People"))
        .column(t("Name"))
        .column(t("User name"))
        .column(t("Role"))
        .column(t("State"))
        .column(t("Second factor"))
        .column(t("Last signed in"))
        .empty(t("Nobody yet. Invite the first one."))
        .rows(rows)
        .show();
    let body = html! {
        (whose_tabs(&desk, "/admin/people", operator))
        (table)
        (pages("/admin/people", &[("operator", whose), ("after", after)], found["next"].as_str()))
    };
    let actions = html! { a.button.primary href={ "/admin/people/new?operator=" (whose) } { (t("Invite somebody")) } };
    Ok(Page::new(&desk, Section::People, t("People")).actions(actions).show(body))
}

fn standing(person: &Value) -> Markup {
    match (person["enabled"] == true, person["accepted"] == true) {
        (false, _) => show::badge(t("off"), "bad"),
        (true, false) => show::badge(t("invited"), "warn"),
        (true, true) => show::badge(t("on"), "good"),
    }
}

async fn new(desk: Desk, Query(asked): Query<BTreeMap<String, String>>) -> Response {
    let operator = operator(&desk, &asked);
    let here = format!("/admin/people/new?operator={operator}");
    desk.confirm_first(&here).unwrap_or_else(|| new_page(&desk, operator, None, None))
}

fn new_page(desk: &Desk, operator: bool, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Response {
    let mut form = Form::new(desk, "/admin/people", t("Make the invitation"))
        .again(given, trouble)
        .field(Field::text("login", t("User name")).required().hint(t("What they sign in as: an e-mail address, or a short name.")))
        .field(Field::text("name", t("Name")).required().hint(t("As others see it.")))
        .field(Field::choice("role", t("Role"), roles()).value("read_only"));
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
    let page = Page::new(desk, Section::People, t("Invite somebody"))
        .under("/admin/people", t("People"))
        .lead(t("You get a link to give to them. By it they choose their password themselves."));
    page.show_as(trouble.map_or(StatusCode::OK, |trouble| trouble.status), html! { div.card { (form.show()) } })
}

async fn create(desk: Desk, form: Submitted) -> Response {
    let mut body = json!({ "login": form.text("login"), "name": form.text("name"), "role": form.text("role") });
    let operator = desk.caller.is_operator() && form.text("operator") != "false";
    if desk.caller.is_operator() {
        body["operator"] = json!(operator);
    }
    match desk.send(Method::POST, "/people", &body, None).await {
        Ok(made) => link_page(&desk, &made),
        Err(trouble) => new_page(&desk, operator, Some(&form), Some(&trouble)),
    }
}

/// The link, shown this once.
fn link_page(desk: &Desk, made: &Value) -> Response {
    let path = made["invitation"]["path"].as_str().unwrap_or_default();
    let body = html! {
        div.card {
            (show::secret(t("Give this link to them, by a way that nobody else reads:"), &format!("{}{path}", desk.origin())))
            p { (t("It holds until")) " " (show::time(&made["invitation"]["expires_at"])) ". " (t("A newer link makes it void.")) }
            p { a.button href="/admin/people" { (t("To the people")) } }
        }
    };
    let name = made["name"].as_str().unwrap_or_default();
    Page::new(desk, Section::People, format!("{} {name}", t("Invitation for"))).under("/admin/people", t("People")).show(body)
}

async fn one(desk: Desk, Path(id): Path<String>) -> Result<Response, Trouble> {
    page(&desk, &id, None).await
}

async fn page(desk: &Desk, id: &str, again: Option<&Again<'_>>) -> Result<Response, Trouble> {
    let api = format!("/people/{}", escaped(id));
    let person = desk.get(&api).await?;
    let sign_ins = desk.get(&format!("{api}/sign-ins")).await?;
    let here = format!("/admin/people/{id}");
    let rows = sign_ins["items"].as_array().into_iter().flatten().map(|one| {
        vec![show::text(&one["agent"]), show::text(&one["source"]), show::time(&one["created_at"]), show::time(&one["seen_at"])]
    });
    let table = Table::new(t("Signed-in browsers"))
        .column(t("Browser"))
        .column(t("From"))
        .column(t("Since"))
        .column(t("Last request"))
        .empty(t("Signed in nowhere."))
        .rows(rows)
        .show();
    let any = sign_ins["items"].as_array().is_some_and(|items| !items.is_empty());
    let form = Form::new(desk, here.clone(), t("Save"))
        .again_as("person", again)
        .field(Field::text("name", t("Name")).required().value(person["name"].as_str().unwrap_or_default()))
        .field(Field::choice("role", t("Role"), roles()).value(person["role"].as_str().unwrap_or_default()))
        .field(Field::check("enabled", t("May sign in")).checked(person["enabled"] == true));
    let body = html! {
        @if let Some(again) = again.filter(|again| again.form.is_empty()) { div.trouble role="alert" { p { (again.trouble.message) } } }
        div.grid {
            (show::card(t("Who they are"), show::facts([
                (t("User name"), show::text(&person["login"])),
                (t("State"), standing(&person)),
                (t("Role"), html! { (role(person["role"].as_str().unwrap_or_default())) }),
                (t("Works for"), html! { @if person["tenant"].is_null() { (t("the operator")) } @else { (t("the tenant")) } }),
                (t("Second factor"), show::text(&person["second_factor"])),
                (t("Added"), show::time(&person["created_at"])),
                (t("Last signed in"), show::time(&person["signed_in_at"])),
            ])))
            (show::card(t("Change"), form.show()))
        }
        section.card { h2 { (t("Signed-in browsers")) } (table) }
        div.buttons {
            (Form::new(desk, format!("{here}/invite"), t("New link for a password")).confirm(t("Make a new link? By it they choose another password; older links die.")).inline().show())
            @if any { (Form::new(desk, format!("{here}/sign-out"), t("Sign out everywhere")).inline().show()) }
            @if person["second_factor"] == true {
                (Form::new(desk, format!("{here}/second-factor"), t("Take the second factor away")).confirm(t("Take the second factor away? Do it only for somebody you have spoken to.")).danger().inline().show())
            }
            (Form::new(desk, format!("{here}/remove"), t("Remove")).confirm(t("Remove this person? What they did stays in the audit log.")).danger().inline().show())
        }
    };
    let name = person["name"].as_str().unwrap_or_default();
    Ok(Page::new(desk, Section::People, name).under("/admin/people", t("People")).show_as(Again::status(again), body))
}

async fn update(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    let body = json!({ "name": form.text("name"), "role": form.text("role"), "enabled": form.checked("enabled") });
    let did = desk.send(Method::PATCH, &format!("/people/{}", escaped(&id)), &body, None).await;
    back(&desk, &id, ("person", &form), did, t("Saved.")).await
}

/// Back to the person with a word, or with what is wrong.
async fn back(
    desk: &Desk,
    id: &str,
    form: (&'static str, &Submitted),
    did: Result<Value, Trouble>,
    said: &str,
) -> Result<Response, Trouble> {
    let here = format!("/admin/people/{id}");
    match did {
        Ok(_) => Ok(done(&here, said)),
        Err(trouble) if trouble.code == "confirm_needed" && form.0.is_empty() => desk.confirm_first(&here).ok_or(trouble),
        Err(trouble) => page(desk, id, Some(&Again { form: form.0, given: form.1, trouble: &trouble })).await,
    }
}

async fn invite(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    match desk.send(Method::POST, &format!("/people/{}/invite", escaped(&id)), &Value::Null, None).await {
        Ok(made) => Ok(link_page(&desk, &made)),
        Err(trouble) => back(&desk, &id, ("", &form), Err(trouble), "").await,
    }
}

async fn sign_out(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    let did = desk.send(Method::DELETE, &format!("/people/{}/sign-ins", escaped(&id)), &Value::Null, None).await;
    back(&desk, &id, ("", &form), did, t("They are signed out everywhere.")).await
}

async fn forget_second_factor(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    let did = desk.send(Method::DELETE, &format!("/people/{}/totp", escaped(&id)), &Value::Null, None).await;
    back(&desk, &id, ("", &form), did, t("The second factor is taken away.")).await
}

async fn remove(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    match desk.send(Method::DELETE, &format!("/people/{}", escaped(&id)), &Value::Null, None).await {
        Ok(_) => Ok(done("/admin/people", t("The person is removed."))),
        Err(trouble) => back(&desk, &id, ("", &form), Err(trouble), "").await,
    }
}

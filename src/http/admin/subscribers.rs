//! Who may call: the list with its search, somebody new, and changing what is said of them.

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
use super::form::{Field, Form, Submitted, filters};
use super::layout::{Page, Section};
use super::session::done;
use super::show;
use super::table::{Table, pages};
use super::text::t;
use crate::people::Scope;

pub(super) fn router() -> Router<House> {
    Router::new()
        .route("/admin/subscribers", get(list).post(create))
        .route("/admin/subscribers/new", get(new))
        .route("/admin/subscribers/{subscriber_id}/edit", get(edit).post(update))
}

async fn list(desk: Desk, Query(asked): Query<BTreeMap<String, String>>) -> Result<Response, Trouble> {
    let said = |name: &str| asked.get(name).map(|value| value.trim()).unwrap_or_default();
    let (wanted, after) = (said("q"), said("after"));
    let found = find(&desk, wanted, after).await?;
    let rows = found["items"].as_array().into_iter().flatten().map(|subscriber| {
        let id = subscriber["id"].as_str().unwrap_or_default();
        let account = subscriber["account_id"].as_str().unwrap_or_default();
        vec![
            html! { a href={ "/admin/subscribers/" (id) } { (show::text(&subscriber["name"])) } },
            show::text(&subscriber["home_country"]),
            show::enabled(&subscriber["enabled"]),
            html! { a href={ "/admin/accounts/" (account) } { (show::balance(&subscriber["balance"])) } },
            show::day(&subscriber["created_at"]),
        ]
    });
    let table = Table::new(t("Subscribers"))
        .column(t("Name"))
        .column(t("Country"))
        .column(t("State"))
        .figures(t("Balance"))
        .column(t("Since"))
        .empty(if wanted.is_empty() {
            t("No subscribers yet. Add the first one.")
        } else {
            t("Nobody is found by this. Try a part of the name, an identity, or a whole number with its +.")
        })
        .rows(rows)
        .show();
    let search = Field::input("search", "q", t("Name, identity or number")).hint(t("A number with its +, such as +15551230099."));
    let body = html! {
        (filters("/admin/subscribers", &asked, vec![search]))
        (table)
        (pages("/admin/subscribers", &[("q", wanted), ("after", after)], found["next"].as_str()))
    };
    let actions = html! { @if desk.may(Scope::Subscribers) { a.button.primary href="/admin/subscribers/new" { (t("Add a subscriber")) } } };
    Ok(Page::new(&desk, Section::Subscribers, t("Subscribers")).actions(actions).show(body))
}

/// By number if it is one, else by identity, else by a part of the name.
async fn find(desk: &Desk, wanted: &str, after: &str) -> Result<Value, Trouble> {
    let digits: String = wanted.chars().filter(|letter| !matches!(letter, ' ' | '-' | '(' | ')' | '.' | '/')).collect();
    if let Some(number) = digits.strip_prefix('+').filter(|number| number.bytes().all(|byte| byte.is_ascii_digit())) {
        match desk.get(&format!("/subscribers{}", query([("number", format!("+{number}").as_str())]))).await {
            Err(trouble) if trouble.status == StatusCode::BAD_REQUEST => return Ok(json!({ "items": [], "next": null })),
            found => return found,
        }
    }
    if !wanted.is_empty() && after.is_empty() {
        let found = desk.get(&format!("/subscribers{}", query([("identity", wanted)]))).await?;
        if found["items"].as_array().is_some_and(|items| !items.is_empty()) {
            return Ok(found);
        }
    }
    desk.get(&format!("/subscribers{}", query([("name", wanted), ("after", after)]))).await
}

async fn new(desk: Desk) -> Result<Response, Trouble> {
    form_page(&desk, None, None).await
}

async fn create(desk: Desk, form: Submitted) -> Result<Response, Trouble> {
    let mut body = fields(&form, "");
    let currency = form.text("currency").to_uppercase();
    body["identities"] = json!(form.all("identities"));
    body["numbers"] = json!(form.all("numbers"));
    match form.get("account_id") {
        Some(account) => body["account_id"] = json!(account),
        None => body["currency"] = json!(currency),
    }
    body["spend_cap"] = form.money("spend_cap", &currency);
    body["max_price"] = form.money("max_price", &currency);
    match desk.send(Method::POST, "/subscribers", &body, None).await {
        Ok(made) => Ok(done(&format!("/admin/subscribers/{}", made["id"].as_str().unwrap_or_default()), t("The subscriber is added."))),
        Err(trouble) => form_page(&desk, Some(&form), Some(&trouble)).await,
    }
}

/// What both forms say.
fn fields(form: &Submitted, currency: &str) -> Value {
    json!({
        "name": form.text("name"),
        "home_country": form.text("home_country").to_uppercase(),
        "locale": form.get("locale").unwrap_or("en"),
        "enabled": form.checked("enabled"),
        "withholds_number": form.checked("withholds_number"),
        "deck_id": form.json("deck_id"),
        "access_wish": form.json("access_wish"),
        "max_calls": form.number("max_calls"),
        "max_calls_hour": form.number("max_calls_hour"),
        "longest_call_secs": form.number("longest_call_secs"),
        "spend_cap": form.money("spend_cap", currency),
        "max_price": form.money("max_price", currency),
    })
}

/// The tenant's decks as choices.
async fn decks(desk: &Desk) -> Vec<(String, String)> {
    let found = desk.get("/decks?limit=500").await.unwrap_or_default();
    let mut choices = vec![(String::new(), t("The default deck").to_owned())];
    choices.extend(found["items"].as_array().into_iter().flatten().filter(|deck| deck["kind"] != "cost").map(|deck| {
        let text = |name: &str| deck[name].as_str().unwrap_or_default();
        (text("id").to_owned(), format!("{} ({})", text("name"), text("currency")))
    }));
    choices
}

async fn form_page(desk: &Desk, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Result<Response, Trouble> {
    let form = Form::new(desk, "/admin/subscribers", t("Add the subscriber"))
        .wide()
        .again(given, trouble)
        .field(Field::text("name", t("Name")).required().hint(t("What you call them. Callers never see it.")))
        .field(
            Field::text("home_country", t("Home country"))
                .required()
                .hint(t("Two letters, such as US. The numbers they dial are read as dialled there.")),
        )
        .field(Field::lines("numbers", t("Verified numbers"), 2).hint(t("The numbers they call from, each with its +, one a line.")))
        .field(Field::lines("identities", t("Identities"), 2).hint(t("What their softphone signs in as, one a line.")))
        .field(Field::text("currency", t("Currency")).hint(t("Three letters, such as EUR: a new account is opened for them.")))
        .field(Field::text("account_id", t("Account")).hint(t("To share an account that is there, give its id instead of a currency.")));
    let form = common(form, &json!({ "enabled": true, "locale": "en" }), decks(desk).await).show();
    let status = trouble.map_or(StatusCode::OK, |trouble| trouble.status);
    let page = Page::new(desk, Section::Subscribers, t("Add a subscriber")).under("/admin/subscribers", t("Subscribers"));
    Ok(page.show_as(status, html! { div.card { (form) } }))
}

/// What can be said of a subscriber at any time.
fn common<'f>(form: Form<'f>, now: &Value, decks: Vec<(String, String)>) -> Form<'f> {
    let text = |name: &str| now[name].as_str().unwrap_or_default().to_owned();
    let amount = |name: &str| now[name]["amount"].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| now[name].as_u64().map(|number| number.to_string()).unwrap_or_default();
    let usual = t("Empty: as for everybody.");
    form.field(Field::choice("deck_id", t("Rate deck"), decks).value(text("deck_id")))
        .field(Field::text("locale", t("Language")).value(text("locale")).hint(t("Of the messages on their phone, such as en or pt-BR.")))
        .field(
            Field::text("access_wish", t("Access number they prefer"))
                .value(text("access_wish"))
                .hint(t("Empty: the best one for where they are.")),
        )
        .field(Field::input("number", "max_calls", t("Calls at once")).value(number("max_calls")).hint(usual))
        .field(Field::input("number", "max_calls_hour", t("Calls an hour")).value(number("max_calls_hour")).hint(usual))
        .field(Field::input("number", "longest_call_secs", t("Longest call, in seconds")).value(number("longest_call_secs")).hint(usual))
        .field(Field::amount("spend_cap", t("Most to spend a day")).value(amount("spend_cap")).hint(usual))
        .field(Field::amount("max_price", t("Highest price a minute")).value(amount("max_price")).hint(usual))
        .field(Field::check("enabled", t("May call")).checked(now["enabled"] == true).hint(t("Off: every door turns them away.")))
        .field(
            Field::check("withholds_number", t("The carrier hides their number"))
                .checked(now["withholds_number"] == true)
                .hint(t("Their calls are then recognised by a code.")),
        )
}

async fn edit(desk: Desk, Path(id): Path<String>) -> Result<Response, Trouble> {
    edit_page(&desk, &id, None, None).await
}

async fn edit_page(desk: &Desk, id: &str, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Result<Response, Trouble> {
    let now = desk.get(&format!("/subscribers/{}", escaped(id))).await?;
    let form = Form::new(desk, format!("/admin/subscribers/{id}/edit"), t("Save"))
        .wide()
        .again(given, trouble)
        .field(Field::text("name", t("Name")).required().value(now["name"].as_str().unwrap_or_default()))
        .field(Field::text("home_country", t("Home country")).required().value(now["home_country"].as_str().unwrap_or_default()));
    let form: Markup = common(form, &now, decks(desk).await).show();
    let status = trouble.map_or(StatusCode::OK, |trouble| trouble.status);
    let page = Page::new(desk, Section::Subscribers, t("Change a subscriber"))
        .under("/admin/subscribers", t("Subscribers"))
        .under(format!("/admin/subscribers/{id}"), now["name"].as_str().unwrap_or_default());
    Ok(page.show_as(status, html! { div.card { (form) } }))
}

async fn update(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    let address = format!("/subscribers/{}", escaped(&id));
    let now = desk.get(&address).await?;
    let currency = now["balance"]["currency"].as_str().unwrap_or_default();
    match desk.send(Method::PATCH, &address, &fields(&form, currency), None).await {
        Ok(_) => Ok(done(&format!("/admin/subscribers/{id}"), t("Saved."))),
        Err(trouble) => edit_page(&desk, &id, Some(&form), Some(&trouble)).await,
    }
}

//! Rate decks: the list, one with its versions, a file going in by a dry run that shows what it would change, rolling back.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Query};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
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
use super::upload;
use crate::people::Scope;

/// How often and how long one waits for a short import before its progress is shown.
const SHORT: u32 = 20;
const A_MOMENT: Duration = Duration::from_millis(50);

pub(super) fn router() -> Router<House> {
    Router::new()
        .route("/admin/decks", get(list).post(create))
        .route("/admin/decks/new", get(new))
        .route("/admin/decks/{deck_id}", get(one))
        .route("/admin/decks/{deck_id}/import", post(upload::import).layer(DefaultBodyLimit::disable()))
        .route("/admin/decks/{deck_id}/export", get(export))
        .route("/admin/decks/{deck_id}/roll-back", get(ask_back).post(roll_back))
        .route("/admin/imports/{import_id}", get(held))
        .route("/admin/imports/{import_id}/apply", post(apply))
        .route("/admin/imports/{import_id}/discard", post(discard))
}

async fn list(desk: Desk, Query(asked): Query<BTreeMap<String, String>>) -> Result<Response, Trouble> {
    let after = asked.get("after").map(String::as_str).unwrap_or_default();
    let found = desk.get(&format!("/decks{}", query([("after", after)]))).await?;
    let rows = found["items"].as_array().into_iter().flatten().map(|deck| {
        vec![
            html! { a href={ "/admin/decks/" (deck["id"].as_str().unwrap_or_default()) } { (show::text(&deck["name"])) } },
            kind(deck),
            show::text(&deck["currency"]),
            show::day(&deck["created_at"]),
        ]
    });
    let table = Table::new(t("Rate decks"))
        .column(t("Name"))
        .column(t("Kind"))
        .column(t("Currency"))
        .column(t("Since"))
        .empty(t("No deck yet. Without prices nobody can call."))
        .rows(rows)
        .show();
    let body = html! { (table) (pages("/admin/decks", &[("after", after)], found["next"].as_str())) };
    let actions = html! { @if desk.may(Scope::Decks) { a.button.primary href="/admin/decks/new" { (t("Add a deck")) } } };
    Ok(Page::new(&desk, Section::Decks, t("Rate decks")).actions(actions).show(body))
}

fn kind(deck: &Value) -> Markup {
    if deck["kind"] == "cost" { show::badge(t("what a carrier takes"), "warn") } else { show::badge(t("what subscribers pay"), "good") }
}

async fn new(desk: Desk) -> Response {
    new_page(&desk, None, None)
}

fn new_page(desk: &Desk, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Response {
    let mut form =
        Form::new(desk, "/admin/decks", t("Add the deck")).again(given, trouble).field(Field::text("name", t("Name")).required()).field(
            Field::text("currency", t("Currency")).required().hint(t("Three letters, such as EUR. Accounts that use it are in the same.")),
        );
    if desk.caller.is_operator() {
        let kinds = [("sell".to_owned(), t("What subscribers pay").to_owned()), ("cost".to_owned(), t("What a carrier takes").to_owned())];
        form = form.field(Field::choice("kind", t("Kind"), kinds));
    }
    let page = Page::new(desk, Section::Decks, t("Add a deck")).under("/admin/decks", t("Rate decks"));
    page.show_as(trouble.map_or(StatusCode::OK, |trouble| trouble.status), html! { div.card { (form.show()) } })
}

async fn create(desk: Desk, form: Submitted) -> Response {
    let mut body = json!({ "name": form.text("name"), "currency": form.text("currency").to_uppercase() });
    if let Some(kind) = form.get("kind") {
        body["kind"] = json!(kind);
    }
    match desk.send(Method::POST, "/decks", &body, None).await {
        Ok(made) => {
            done(&format!("/admin/decks/{}", made["id"].as_str().unwrap_or_default()), t("The deck is added. Import its prices next."))
        }
        Err(trouble) => new_page(&desk, Some(&form), Some(&trouble)),
    }
}

async fn one(desk: Desk, Path(id): Path<String>) -> Result<Response, Trouble> {
    page(&desk, &id, &BTreeMap::new(), None).await
}

/// One deck, perhaps with what was said and what was wrong with a file.
pub(super) async fn page(desk: &Desk, id: &str, said: &BTreeMap<String, String>, trouble: Option<&Trouble>) -> Result<Response, Trouble> {
    let deck = desk.get(&format!("/decks/{}", escaped(id))).await?;
    let may = desk.may(Scope::Decks);
    let now = deck["versions"].as_array().and_then(|versions| versions.first()).map(|version| version["id"].clone());
    let rows = deck["versions"].as_array().into_iter().flatten().map(|version| {
        let version_id = version["id"].as_str().unwrap_or_default();
        vec![
            show::text(&version["number"]),
            show::time(&version["effective_from"]),
            show::time(&version["created_at"]),
            html! { code { (version["fingerprint"].as_str().unwrap_or_default().get(..12).unwrap_or_default()) } },
            html! { a href={ "/admin/decks/" (id) "/export?version_id=" (version_id) } { (t("Save as CSV")) } },
            html! { @if may && Some(&version["id"]) != now.as_ref() { a href={ "/admin/decks/" (id) "/roll-back?version_id=" (version_id) } { (t("Roll back to it")) } } },
        ]
    });
    let versions = Table::new(t("Versions"))
        .figures(t("Version"))
        .column(t("Valid from"))
        .column(t("Applied"))
        .column(t("Fingerprint"))
        .column(t("File"))
        .column(t("Action"))
        .empty(t("No prices yet. Import a file."))
        .rows(rows)
        .show();
    let body = html! {
        (show::card(t("The deck"), show::facts([
            (t("Kind"), kind(&deck)),
            (t("Currency"), show::text(&deck["currency"])),
            (t("Since"), show::time(&deck["created_at"])),
            (t("Id"), show::id(&deck["id"])),
        ])))
        @if may { section.card { h2 { (t("Import prices")) } (upload::form(desk, id, said, trouble)) } }
        section.card { h2 { (t("Versions")) } (versions) }
    };
    let actions = html! { a.button href={ "/admin/explain?deck_id=" (id) } { (t("Explain a rate")) } };
    let name = deck["name"].as_str().unwrap_or_default();
    let page = Page::new(desk, Section::Decks, name).under("/admin/decks", t("Rate decks")).actions(actions);
    Ok(page.show_as(trouble.map_or(StatusCode::OK, |trouble| trouble.status), body))
}

async fn export(desk: Desk, Path(id): Path<String>, Query(asked): Query<BTreeMap<String, String>>) -> Result<Response, Trouble> {
    let version = asked.get("version_id").map(String::as_str).unwrap_or_default();
    desk.download(&format!("/decks/{}/export{}", escaped(&id), query([("version_id", version)]))).await
}

async fn ask_back(desk: Desk, Path(id): Path<String>, Query(asked): Query<BTreeMap<String, String>>) -> Result<Response, Trouble> {
    let version = asked.get("version_id").map(String::as_str).unwrap_or_default();
    back_page(&desk, &id, version, None, None).await
}

/// Which version, and from when.
async fn back_page(
    desk: &Desk,
    id: &str,
    version: &str,
    given: Option<&Submitted>,
    trouble: Option<&Trouble>,
) -> Result<Response, Trouble> {
    let deck = desk.get(&format!("/decks/{}", escaped(id))).await?;
    let old = deck["versions"].as_array().into_iter().flatten().find(|known| known["id"] == version).unwrap_or(&Value::Null);
    let form = Form::new(desk, format!("/admin/decks/{id}/roll-back"), t("Roll back"))
        .again(given, trouble)
        .with(show::facts([(t("Version"), show::text(&old["number"])), (t("Was valid from"), show::time(&old["effective_from"]))]))
        .field(Field::hidden("version_id", version))
        .field(Field::input("datetime-local", "effective_from", t("Valid from")).hint(t("In UTC. Empty: at once.")))
        .confirm(t("Make a new version that is the same as this one?"));
    let name = deck["name"].as_str().unwrap_or_default();
    let page = Page::new(desk, Section::Decks, t("Roll back to an old version")).under(format!("/admin/decks/{id}"), name);
    let lead = t("The prices of the old version become a new one. Nothing that was charged changes.");
    let body = html! { section.card { (form.show()) } };
    Ok(page.lead(lead).show_as(trouble.map_or(StatusCode::OK, |trouble| trouble.status), body))
}

async fn roll_back(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    let mut body = json!({ "version_id": form.text("version_id") });
    if let Some(at) = moment(&form) {
        body["effective_from"] = json!(at);
    }
    match desk.send(Method::POST, &format!("/decks/{}/roll_back", escaped(&id)), &body, None).await {
        Ok(_) => Ok(done(&format!("/admin/decks/{id}"), t("Rolled back: the old prices are a new version."))),
        Err(trouble) => back_page(&desk, &id, form.text("version_id"), Some(&form), Some(&trouble)).await,
    }
}

/// The lists of an import, as the API names them, in the order of how much they matter.
fn lists() -> [(&'static str, &'static str); 13] {
    [
        ("suspicious", t("Look like a slip")),
        ("below_cost", t("Below cost")),
        ("emergency", t("Emergency numbers")),
        ("high_risk", t("High risk")),
        ("uncovered", t("Lose their price")),
        ("removed", t("Removed")),
        ("dearer", t("Dearer")),
        ("cheaper", t("Cheaper")),
        ("added", t("Added")),
        ("newly_covered", t("Newly covered")),
        ("shadowed", t("Split off")),
        ("altered", t("Altered")),
        ("unchanged", t("Unchanged")),
    ]
}

async fn held(desk: Desk, Path(id): Path<String>, Query(asked): Query<BTreeMap<String, String>>) -> Result<Response, Trouble> {
    held_page(&desk, &id, &asked, None, None).await
}

async fn held_page(
    desk: &Desk,
    id: &str,
    asked: &BTreeMap<String, String>,
    given: Option<&Submitted>,
    trouble: Option<&Trouble>,
) -> Result<Response, Trouble> {
    let import = desk.get(&format!("/imports/{}", escaped(id))).await?;
    let deck = import["deck_id"].as_str().unwrap_or_default();
    let named = desk.get(&format!("/decks/{}", escaped(deck))).await?;
    let state = import["state"].as_str().unwrap_or_default();
    let (lead, body) = match state {
        "reading" => (t("The file is being read."), progress(id, &import)),
        "applying" => (t("The new prices are being written. Until that is done the old ones hold."), progress(id, &import)),
        "rejected" => (t("The file is rejected. Nothing has changed."), rejected(desk, deck, &import, asked)),
        "checked" => {
            let away = || {
                Form::new(desk, format!("/admin/imports/{id}/discard"), t("Throw it away"))
                    .field(Field::hidden("deck", deck))
                    .inline()
                    .show()
            };
            let form = html! { @if desk.may(Scope::Decks) { div.card { (apply_form(desk, id, &import["report"], given, trouble)) p.more { (away()) } } } };
            (t("This is what would change. Nothing has changed yet."), html! { (form) (looked_at(desk, id, &import, asked).await?) })
        }
        _ => {
            let done = html! { p.flash role="status" { (t("Applied. The new prices are valid from")) " " (show::time(&import["effective_from"])) "." } };
            (t("This is what changed."), html! { (done) (looked_at(desk, id, &import, asked).await?) })
        }
    };
    let page = Page::new(desk, Section::Decks, t("Import"))
        .under("/admin/decks", t("Rate decks"))
        .under(format!("/admin/decks/{deck}"), named["name"].as_str().unwrap_or(t("The deck")));
    Ok(page.lead(lead).show_as(trouble.map_or(StatusCode::OK, |trouble| trouble.status), body))
}

/// How far it is; scripts look again by themselves.
fn progress(id: &str, import: &Value) -> Markup {
    html! {
        div.card #progress data-live="soon" aria-live="polite" {
            p { (show::count(&import["rows_read"])) " " (t("lines are read")) ", " (show::count(&import["rows_written"])) " " (t("rates are written")) "." }
            p { a.button href={ "/admin/imports/" (id) } { (t("Look again")) } }
        }
    }
}

/// What is wrong with the file, and the way to send it again.
fn rejected(desk: &Desk, deck: &str, import: &Value, asked: &BTreeMap<String, String>) -> Markup {
    let mut said = asked.clone();
    let bad = import["rejected"].as_u64().unwrap_or(0);
    if bad > 0 {
        said.insert("max_rejects".to_owned(), bad.to_string());
    }
    html! {
        div.trouble role="alert" { p { (show::text(&import["reason"])) } }
        @if bad > 0 { (bad_lines(&import["rejects"], &import["rejected"])) }
        @if desk.may(Scope::Decks) {
            section.card {
                h2 { (t("Send it again")) }
                @if bad > 0 { p { (t("Correct these lines in the file and choose it again. Or choose it as it is: the broken lines are then left out.")) } }
                (upload::form(desk, deck, &said, None))
            }
        }
    }
}

/// The lists of what would change, one of them page by page.
async fn looked_at(desk: &Desk, id: &str, import: &Value, asked: &BTreeMap<String, String>) -> Result<Markup, Trouble> {
    let report = &import["report"];
    let some = |code: &str| report[code].as_u64().is_some_and(|count| count > 0);
    let chosen = asked.get("list").map(String::as_str).filter(|list| lists().iter().any(|(code, _)| code == list));
    let first = lists().into_iter().map(|(code, _)| code).find(|code| some(code));
    let list = chosen.or(first).unwrap_or("unchanged");
    let after = asked.get("after").map(String::as_str).unwrap_or_default();
    let rows = desk.get(&format!("/imports/{}/rows{}", escaped(id), query([("list", list), ("after", after)]))).await?;
    Ok(html! {
        @if some("rejected") { (bad_lines(&report["rejects"], &report["rejected"])) }
        nav.tabs aria-label=(t("What would change")) {
            @for (code, name) in lists() {
                @if some(code) {
                    a href={ "/admin/imports/" (id) "?list=" (code) } aria-current=[(code == list).then_some("page")] { (name) " " span.quiet { (show::count(&report[code])) } }
                }
            }
        }
        (changes(&rows))
        (pages(&format!("/admin/imports/{id}"), &[("list", list), ("after", after)], rows["next"].as_str()))
    })
}

fn apply_form(desk: &Desk, id: &str, report: &Value, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Markup {
    Form::new(desk, format!("/admin/imports/{id}/apply"), t("Apply it"))
        .again(given, trouble)
        .with(html! { p { strong { (show::count(&report["rates"])) } " " (t("rates are in the file.")) } })
        .field(Field::hidden("fingerprint", report["fingerprint"].as_str().unwrap_or_default()))
        .field(Field::input("datetime-local", "effective_from", t("Valid from")).hint(t("In UTC. Empty: at once.")))
        .confirm(t("Switch to these prices? The old ones stay, and can be rolled back to."))
        .show()
}

/// The lines that cannot be read, each with what is wrong.
pub(super) fn bad_lines(lines: &Value, all: &Value) -> Markup {
    let rows = lines.as_array().into_iter().flatten().map(|line| vec![show::count(&line["line"]), show::text(&line["reason"])]);
    html! {
        section.card {
            h2 { (t("Broken lines")) " (" (show::count(all)) ")" }
            (Table::new(t("Broken lines")).column(t("Line")).column(t("What is wrong")).rows(rows).show())
        }
    }
}

fn changes(rows: &Value) -> Markup {
    let rows = rows["items"].as_array().into_iter().flatten().map(|row| {
        let percent = row["basis_points"].as_i64().map(|points| {
            let (sign, points) = (if points < 0 { "-" } else { "+" }, points.unsigned_abs());
            format!("{sign}{}.{:02} %", points / 100, points % 100)
        });
        vec![
            html! { code { (show::text(&row["prefix"])) } },
            show::text(&row["name"]),
            show::text(&row["from"]),
            show::text(&row["to"]),
            html! { (percent.unwrap_or_else(|| "–".to_owned())) },
            show::text(&row["note"]),
        ]
    });
    Table::new(t("What would change"))
        .column(t("Prefix"))
        .column(t("Name"))
        .figures(t("So far"))
        .figures(t("To be"))
        .figures(t("Change"))
        .column(t("Note"))
        .rows(rows)
        .show()
}

/// A moment as browsers write it, in UTC.
pub(super) fn moment(form: &Submitted) -> Option<String> {
    form.get("effective_from").map(|at| if at.len() == 16 { format!("{at}:00Z") } else { format!("{at}Z") })
}

async fn apply(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    let at = moment(&form);
    let mut body = json!({ "fingerprint": form.text("fingerprint") });
    if let Some(at) = at {
        body["effective_from"] = json!(at);
    }
    match desk.send(Method::POST, &format!("/imports/{}/apply", escaped(&id)), &body, None).await {
        Ok(import) => {
            // A short one is done before anybody looks.
            let (mut import, api) = (import, format!("/imports/{}", escaped(&id)));
            for _ in 0..SHORT {
                if import["state"] != "applying" {
                    break;
                }
                tokio::time::sleep(A_MOMENT).await;
                import = desk.get(&api).await?;
            }
            Ok(Redirect::to(&format!("/admin/imports/{id}")).into_response())
        }
        Err(trouble) => held_page(&desk, &id, &BTreeMap::new(), Some(&form), Some(&trouble)).await,
    }
}

async fn discard(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    desk.send(Method::DELETE, &format!("/imports/{}", escaped(&id)), &Value::Null, None).await?;
    Ok(done(&format!("/admin/decks/{}", escaped(form.text("deck"))), t("The file is thrown away. Nothing has changed.")))
}

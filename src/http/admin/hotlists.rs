//! Lists of numbers and prefixes that must not be called: which there are, what is on them, a new file, and away with one.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Multipart, Path, Query};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::desk::{Desk, Trouble, escaped, query};
use super::form::{Field, Form, Submitted, filters};
use super::layout::{Page, Section};
use super::session::done;
use super::table::{Table, pages};
use super::text::t;
use super::{House, show};
use crate::fraud::hotlist::MOST_BYTES;
use crate::people::Scope;

/// What a form may be longer than its list.
const FORM_BYTES: usize = 16 << 10;

pub(super) fn router() -> Router<House> {
    let long = || DefaultBodyLimit::max(MOST_BYTES + FORM_BYTES);
    Router::new()
        .route("/admin/hotlists", get(list).post(create).layer(long()))
        .route("/admin/hotlists/new", get(new))
        .route("/admin/hotlists/{hotlist_id}", get(one))
        .route("/admin/hotlists/{hotlist_id}/load", post(replace).layer(long()))
        .route("/admin/hotlists/{hotlist_id}/remove", post(remove))
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Whose list it is.
fn whose(list: &Value) -> Markup {
    if list["operator"] == true { show::badge(t("every tenant"), "warn") } else { show::badge(t("this tenant"), "plain") }
}

/// May the reader change it? The operator's own lists are the operator's.
fn may_change(desk: &Desk, list: &Value) -> bool {
    desk.may(Scope::Fraud) && (list["operator"] != true || desk.caller.principal.tenant.is_none())
}

async fn list(desk: Desk) -> Result<Response, Trouble> {
    let found = desk.get("/hotlists").await?;
    let rows = found["items"].as_array().into_iter().flatten().map(|list| {
        vec![
            html! { a href={ "/admin/hotlists/" (word(&list["id"])) } { (word(&list["name"])) } },
            whose(list),
            html! { (list["entries"]) },
            show::text(&list["source"]),
            show::time(&list["updated_at"]),
        ]
    });
    let table = Table::new(t("Hotlists")).column(t("Name")).column(t("Counts for")).figures(t("Entries"));
    let table = table.column(t("Where it is from")).column(t("Loaded")).rows(rows);
    let actions = html! { @if desk.may(Scope::Fraud) { a.button.primary href="/admin/hotlists/new" { (t("Load a list")) } } };
    let page = Page::new(&desk, Section::Hotlists, t("Hotlists")).actions(actions);
    let lead = t("Numbers and beginnings of numbers that nobody may call, whatever else is allowed.");
    Ok(page.lead(lead).show(table.empty(t("No list yet. None is shipped: load your own.")).show()))
}

/// The text of a list, pasted or from a file.
fn text(form: Form<'_>) -> Form<'_> {
    form.with(html! {
        div.field {
            label for="file" { (t("File")) }
            p.hint #file-hint { (t("A number or beginning a line with country code, such as +88213; a CSV's first column counts.")) }
            input #file type="file" name="file" accept=".csv,.txt,text/csv,text/plain" aria-describedby="file-hint";
        }
    })
    .field(Field::lines("text", t("Or paste the lines here"), 5))
}

async fn new(desk: Desk) -> Response {
    show_new(&desk, None, None)
}

fn show_new(desk: &Desk, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Response {
    let form = Form::new(desk, "/admin/hotlists", t("Load the list")).again(given, trouble).multipart();
    let form = form.field(Field::text("name", t("Name")).required());
    let mut form = text(form.field(Field::text("source", t("Where it is from")).hint(t("For people: who gave it to you, and when"))));
    if desk.caller.principal.tenant.is_none() {
        form = form.field(Field::check("operator", t("Counts for every tenant")));
    }
    let page = Page::new(desk, Section::Hotlists, t("Load a list")).under("/admin/hotlists", t("Hotlists"));
    page.show_as(trouble.map_or(StatusCode::OK, |trouble| trouble.status), html! { div.card { (form.show()) } })
}

async fn create(desk: Desk, parts: Multipart) -> Response {
    let form = match read(&desk, parts).await {
        Ok(form) => form,
        Err(trouble) => return show_new(&desk, None, Some(&trouble)),
    };
    let body = json!({
        "name": form.text("name"),
        "source": form.text("source"),
        "text": form.text("text"),
        "operator": form.checked("operator"),
    });
    match desk.send(Method::POST, "/hotlists", &body, None).await {
        Ok(made) => done(&format!("/admin/hotlists/{}", word(&made["id"])), t("The list is loaded. It counts for new calls at once.")),
        Err(trouble) => show_new(&desk, Some(&form), Some(&trouble)),
    }
}

fn unreadable() -> Trouble {
    Trouble {
        status: StatusCode::BAD_REQUEST,
        code: "bad_request".to_owned(),
        message: t("The form did not arrive whole, or its file is no text or too long. Choose the file and send it again.").to_owned(),
        field: None,
        lines: Vec::new(),
    }
}

/// The form with its file, which takes the place of the pasted lines.
async fn read(desk: &Desk, mut parts: Multipart) -> Result<Submitted, Trouble> {
    let mut fields: Vec<(String, String)> = Vec::new();
    while let Some(field) = parts.next_field().await.map_err(|_| unreadable())? {
        let name = field.name().unwrap_or_default().to_owned();
        let text = field.text().await.map_err(|_| unreadable())?;
        match name.as_str() {
            "file" if text.trim().is_empty() => {}
            "file" => fields.insert(0, ("text".to_owned(), text)),
            _ => fields.push((name, text)),
        }
    }
    Submitted::of(fields).filter(|form| form.text("csrf") == desk.visit.csrf).ok_or_else(unreadable)
}

async fn one(desk: Desk, Path(id): Path<String>, Query(asked): Query<BTreeMap<String, String>>) -> Result<Response, Trouble> {
    page(&desk, &id, &asked, None).await
}

async fn page(
    desk: &Desk,
    id: &str,
    asked: &BTreeMap<String, String>,
    again: Option<(Option<&Submitted>, &Trouble)>,
) -> Result<Response, Trouble> {
    let path = format!("/hotlists/{}", escaped(id));
    let list = desk.get(&path).await?;
    let said = |name: &str| asked.get(name).map_or("", String::as_str);
    let here = [("q", said("q")), ("after", said("after"))];
    let found = desk.get(&format!("{path}/entries{}", query(here))).await?;
    let rows = found["items"].as_array().into_iter().flatten().map(|entry| vec![html! { code { "+" (word(&entry["digits"])) } }]);
    let entries = Table::new(t("Entries")).column(t("Number or beginning")).rows(rows).empty(t("No entry begins so."));
    let (given, trouble) = again.map_or((None, None), |(given, trouble)| (given, Some(trouble)));
    let address = format!("/admin/hotlists/{}", word(&list["id"]));
    let body = html! {
        (show::facts([
            (t("Counts for"), whose(&list)),
            (t("Entries"), html! { (list["entries"]) }),
            (t("Where it is from"), show::text(&list["source"])),
            (t("Loaded"), show::time(&list["updated_at"])),
            (t("Id"), show::id(&list["id"])),
        ]))
        (filters(&address, asked, vec![Field::text("q", t("Begins with")).hint(t("Digits with country code"))]))
        (entries.show())
        (pages(&address, &here, found["next"].as_str()))
        @if may_change(desk, &list) {
            (show::card(t("Load other entries"), {
                let form = Form::new(desk, format!("{address}/load"), t("Put them in place of these")).again(given, trouble).multipart();
                text(form.field(Field::text("source", t("Where it is from")).value(word(&list["source"])))).show()
            }))
            (Form::new(desk, format!("{address}/remove"), t("Remove the list"))
                .confirm(t("Remove the list? What only it barred may be called again."))
                .danger()
                .show())
        }
    };
    let page = Page::new(desk, Section::Hotlists, word(&list["name"])).under("/admin/hotlists", t("Hotlists"));
    Ok(page.show_as(trouble.map_or(StatusCode::OK, |trouble| trouble.status), body))
}

async fn replace(desk: Desk, Path(id): Path<String>, parts: Multipart) -> Result<Response, Trouble> {
    let form = match read(&desk, parts).await {
        Ok(form) => form,
        Err(trouble) => return page(&desk, &id, &BTreeMap::new(), Some((None, &trouble))).await,
    };
    let body = json!({ "source": form.text("source"), "text": form.text("text") });
    match desk.send(Method::PUT, &format!("/hotlists/{}", escaped(&id)), &body, None).await {
        Ok(_) => Ok(done(&format!("/admin/hotlists/{}", escaped(&id)), t("The list is loaded. It counts for new calls at once."))),
        Err(trouble) => page(&desk, &id, &BTreeMap::new(), Some((Some(&form), &trouble))).await,
    }
}

async fn remove(desk: Desk, Path(id): Path<String>, _: Submitted) -> Result<Response, Trouble> {
    desk.send(Method::DELETE, &format!("/hotlists/{}", escaped(&id)), &Value::Null, None).await?;
    Ok(done("/admin/hotlists", t("The list is removed.")))
}

//! A file on its way from the browser into the API: passed on as it comes, never held whole.

use std::collections::BTreeMap;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Multipart, Path};
use axum::http::{Method, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use http_body_util::channel::Channel;
use maud::{Markup, html};
use serde_json::Value;

use super::decks;
use super::desk::{Desk, Trouble, escaped, query};
use super::text::t;
use crate::http::server::BodyTime;

/// Pieces of a file that wait to be read.
const PIECES: usize = 4;
/// Longest word of a form that goes before its file.
const LONGEST: usize = 1000;
/// Most of the API's answer that is read.
const ANSWER: usize = 8 << 20;
/// What the form may say of the file.
const SAID: [&str; 10] = [
    "separator",
    "decimal_mark",
    "thousands",
    "rounding",
    "duration_rounding",
    "first_secs",
    "next_secs",
    "max_rejects",
    "prefix_lists",
    "columns",
];

/// What is seldom said of a file.
const MORE: [&str; 6] = ["rounding", "duration_rounding", "first_secs", "next_secs", "prefix_lists", "columns"];

/// The form: what the file looks like, and the file.
/// `said` is what an earlier try said, by the names of the fields.
pub(super) fn form(desk: &Desk, deck: &str, said: &BTreeMap<String, String>, trouble: Option<&Trouble>) -> Markup {
    let before = |name: &str| said.get(name).map(String::as_str).unwrap_or_default();
    let choice = |name: &str, label: &str, hint: &str, options: &[(&str, &str)]| {
        html! {
            div.field {
                label for=(name) { (label) }
                p.hint id={ (name) "-hint" } { (hint) }
                select id=(name) name=(name) aria-describedby={ (name) "-hint" } { @for (value, words) in options { option value=(value) selected[!value.is_empty() && before(name) == *value] { (words) } } }
            }
        }
    };
    let figure = |name: &str, label: &str, hint: &str| {
        html! {
            div.field {
                label for=(name) { (label) }
                p.hint id={ (name) "-hint" } { (hint) }
                input id=(name) name=(name) type="number" min="1" value=(before(name)) aria-describedby={ (name) "-hint" };
            }
        }
    };
    html! {
        form.form.two method="post" action={ "/admin/decks/" (deck) "/import" } enctype="multipart/form-data" {
            (desk.visit.csrf_field())
            @if let Some(trouble) = trouble {
                div.trouble role="alert" { p { (trouble.message) } }
            }
            (choice("decimal_mark", t("Decimals"), t("What stands before the decimals."), &[("dot", t("a dot: 0.05")), ("comma", t("a comma: 0,05"))]))
            (choice("thousands", t("Thousands"), t("What stands between thousands."), &[("none", t("nothing")), ("comma", t("a comma")), ("dot", t("a dot")), ("space", t("a blank"))]))
            (choice("separator", t("Cells"), t("What stands between cells."), &[("", t("find out")), ("comma", t("a comma")), ("semicolon", t("a semicolon")), ("tab", t("a tab"))]))
            div.field {
                label for="max_rejects" { (t("Broken lines that may be left out")) }
                p.hint #max_rejects-hint { (t("More reject the file.")) }
                input #max_rejects type="number" name="max_rejects" value=(said.get("max_rejects").map_or("0", String::as_str)) min="0" aria-describedby="max_rejects-hint";
            }
            details open[MORE.iter().any(|name| !before(name).is_empty())] {
                summary { (t("More about the file")) }
                div.fields {
                    (choice("rounding", t("A charge rounds"), t("To the millionth, once."), &[("", t("up")), ("half_even", t("half to even")), ("down", t("down"))]))
                    (choice("duration_rounding", t("Started seconds"), t("How talk becomes whole seconds."), &[("", t("count")), ("nearest", t("count from a half on")), ("down", t("do not count"))]))
                    (figure("first_secs", t("First step"), t("Seconds, where the file says none; 60 if empty.")))
                    (figure("next_secs", t("Further steps"), t("Seconds, where the file says none; 60 if empty.")))
                    (choice("prefix_lists", t("Prefixes"), t("What stands in the column of prefixes."), &[("", t("one prefix a line")), ("true", t("lists of prefixes"))]))
                    div.field {
                        label for="columns" { (t("Headings")) }
                        p.hint #columns-hint { (t("Where they are not found: our name and the file's, such as prefix:Code,per_minute:Price.")) }
                        input #columns name="columns" value=(before("columns")) maxlength="1000" aria-describedby="columns-hint" autocomplete="off";
                    }
                }
            }
            div.field {
                label for="file" { (t("File")) span.required aria-hidden="true" { " *" } }
                p.hint #file-hint { (t("CSV with a heading: prefix and price a minute at least.")) }
                input #file type="file" name="file" accept=".csv,text/csv" required aria-describedby="file-hint";
            }
            div.buttons { button.primary type="submit" { (t("Look what would change")) } }
        }
    }
}

fn unreadable() -> Trouble {
    Trouble {
        status: StatusCode::BAD_REQUEST,
        code: "bad_request".to_owned(),
        message: t("The form did not arrive whole. Choose the file and send it again.").to_owned(),
        field: None,
        lines: Vec::new(),
    }
}

/// Takes the form apart, and passes the file on while it arrives.
pub(super) async fn import(
    desk: Desk,
    Path(id): Path<String>,
    time: Option<Extension<BodyTime>>,
    mut parts: Multipart,
) -> Result<Response, Trouble> {
    if let Some(Extension(time)) = time {
        time.by_progress();
    }
    let mut said: Vec<(&'static str, String)> = vec![("wait", "true".to_owned())];
    let mut ours = false;
    while let Some(mut field) = parts.next_field().await.map_err(|_| unreadable())? {
        let name = field.name().unwrap_or_default().to_owned();
        if name == "file" {
            // The token stands before the file: nothing of a foreign form is read.
            if !ours {
                return Err(unreadable());
            }
            let address = format!("/decks/{}/imports{}", escaped(&id), query(said.iter().map(|(name, value)| (*name, value.as_str()))));
            let (mut sender, body) = Channel::<Bytes, std::io::Error>::new(PIECES);
            let request = Request::builder().method(Method::POST).uri(address).header(header::CONTENT_TYPE, "text/csv");
            let request = request.body(Body::new(body)).map_err(|_| unreadable())?;
            let pump = async {
                loop {
                    match field.chunk().await {
                        Ok(Some(piece)) => {
                            if sender.send_data(piece).await.is_err() {
                                return;
                            }
                        }
                        Ok(None) => return drop(sender),
                        // A file that breaks off must not look whole.
                        Err(error) => return sender.abort(std::io::Error::other(error)),
                    }
                }
            };
            let (answer, ()) = tokio::join!(desk.pass(request), pump);
            return answered(&desk, &id, answer, &said).await;
        }
        let mut text = Vec::new();
        while let Some(piece) = field.chunk().await.map_err(|_| unreadable())? {
            if text.len() + piece.len() > LONGEST {
                return Err(unreadable());
            }
            text.extend_from_slice(&piece);
        }
        let text = String::from_utf8(text).map_err(|_| unreadable())?;
        if name == "csrf" {
            ours = text == desk.visit.csrf;
        } else if let Some(name) = SAID.into_iter().find(|known| *known == name) {
            said.push((name, text.trim().to_owned()));
        }
    }
    Err(unreadable())
}

async fn answered(desk: &Desk, id: &str, answer: Response, said: &[(&'static str, String)]) -> Result<Response, Trouble> {
    let status = answer.status();
    let bytes = axum::body::to_bytes(answer.into_body(), ANSWER).await.unwrap_or_default();
    let told: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    if status.is_success() {
        let import = told["id"].as_str().unwrap_or_default();
        // How the file was read, should it be sent again.
        let kept = said.iter().filter(|(name, _)| *name != "wait").map(|(name, value)| (*name, value.as_str()));
        let here = format!("/admin/imports/{import}{}", query(kept));
        return Ok(Redirect::to(&here).into_response());
    }
    let kept = said.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    decks::page(desk, id, &kept, Some(&Trouble::read(status, &told))).await
}

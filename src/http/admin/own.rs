//! The reader's own sign-in: the password, the second factor, and the password given again before money moves.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::Query;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use maud::{Markup, PreEscaped, html};
use serde_json::{Value, json};

use super::House;
use super::desk::{Desk, Trouble};
use super::form::{Again, Field, Form, Submitted};
use super::layout::{Page, Section};
use super::people::role;
use super::session::done;
use super::show;
use super::sign_in::back;
use super::text::t;

pub(super) fn router() -> Router<House> {
    Router::new()
        .route("/admin/me", get(own))
        .route("/admin/me/password", post(change_password))
        .route("/admin/me/second-factor", post(offer))
        .route("/admin/me/second-factor/confirm", post(accept_offer))
        .route("/admin/me/second-factor/remove", post(forget))
        .route("/admin/confirm", get(ask_again).post(confirm))
}

async fn own(desk: Desk, Query(asked): Query<BTreeMap<String, String>>) -> Result<Response, Trouble> {
    let welcome = asked.contains_key("new").then(|| {
        html! {
            p.note-box role="status" { (t("You are signed in. Set up a second factor now: the password alone then opens nothing.")) }
        }
    });
    page(&desk, None, welcome).await
}

async fn page(desk: &Desk, again: Option<&Again<'_>>, top: Option<Markup>) -> Result<Response, Trouble> {
    let session = desk.get("/session").await?;
    let person = &session["person"];
    let second = person["second_factor"] == true;
    let body = html! {
        @if let Some(top) = top { (top) }
        @if let Some(again) = again.filter(|again| again.form.is_empty()) { div.trouble role="alert" { p { (again.trouble.message) } } }
        div.grid {
            (show::card(t("Who you are"), show::facts([
                (t("User name"), show::text(&person["login"])),
                (t("Name"), show::text(&person["name"])),
                (t("Role"), html! { (role(person["role"].as_str().unwrap_or_default())) }),
                (t("Works for"), html! { @if person["tenant"].is_null() { (t("the operator")) } @else { (t("a tenant")) } }),
                (t("Last signed in"), show::time(&person["signed_in_at"])),
            ])))
            (show::card(t("Password"), password_form(desk, again)))
            section.card #second-factor {
                h2 { (t("Second factor")) }
                @if second {
                    p { (show::badge(t("on"), "good")) " " (t("Each sign-in asks for a code of your authenticator.")) }
                    (Form::new(desk, "/admin/me/second-factor/remove", t("Switch it off")).confirm(t("Switch the second factor off? The password alone will then let in.")).danger().inline().show())
                } @else {
                    p { (show::badge(t("off"), "warn")) " " (t("The password alone lets in.")) }
                    (Form::new(desk, "/admin/me/second-factor", t("Set it up")).show())
                }
            }
        }
    };
    Ok(Page::new(desk, Section::Own, t("Your sign-in")).show_as(Again::status(again), body))
}

fn password_form(desk: &Desk, again: Option<&Again<'_>>) -> Markup {
    Form::new(desk, "/admin/me/password", t("Change the password"))
        .again_as("password", again)
        .field(Field::input("password", "password", t("Present password")).required().autocomplete("current-password"))
        .field(
            Field::input("password", "new_password", t("New password"))
                .required()
                .autocomplete("new-password")
                .hint(t("At least 12 characters. Every other browser is signed out.")),
        )
        .field(Field::input("password", "new_again", t("New password again")).required().autocomplete("new-password"))
        .show()
}

/// A trouble of the page's own, in the API's shape.
fn wrong(field: &str, message: &str) -> Trouble {
    Trouble {
        status: StatusCode::BAD_REQUEST,
        code: "bad_request".to_owned(),
        message: message.to_owned(),
        field: Some(field.to_owned()),
        lines: Vec::new(),
    }
}

async fn change_password(desk: Desk, form: Submitted) -> Result<Response, Trouble> {
    let did = if form.text("new_password") == form.text("new_again") {
        let body = json!({ "password": form.text("password"), "new_password": form.text("new_password") });
        desk.send(Method::POST, "/session/password", &body, None).await
    } else {
        Err(wrong("new_again", t("The two passwords differ. Write the same one twice.")))
    };
    match did {
        Ok(_) => Ok(done("/admin/me", t("The password is changed."))),
        Err(trouble) => page(&desk, Some(&Again { form: "password", given: &form, trouble: &trouble }), None).await,
    }
}

async fn offer(desk: Desk, form: Submitted) -> Result<Response, Trouble> {
    if let Some(first) = desk.confirm_first("/admin/me") {
        return Ok(first);
    }
    match desk.send(Method::POST, "/session/totp", &Value::Null, None).await {
        Ok(offered) => Ok(offered_page(&desk, &offered, None, None)),
        Err(trouble) => page(&desk, Some(&Again { form: "", given: &form, trouble: &trouble }), None).await,
    }
}

fn offered_page(desk: &Desk, offered: &Value, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Response {
    let text = |name: &str| offered[name].as_str().unwrap_or_default().to_owned();
    let form = Form::new(desk, "/admin/me/second-factor/confirm", t("Switch it on")).again(given, trouble).field(
        Field::text("code", t("Code")).required().autocomplete("one-time-code").hint(t("The six digits that the authenticator shows now.")),
    );
    let body = html! {
        div.grid {
            @if !text("secret").is_empty() {
                section.card {
                    h2 { (t("1. Put it into your authenticator")) }
                    p { (t("Scan this picture with an authenticator app.")) }
                    div.qr role="img" aria-label=(t("QR code with the secret of the second factor")) { (PreEscaped(text("svg"))) }
                    p { (t("Or type this secret:")) " " code data-copy { (text("secret")) } }
                }
            }
            section.card { h2 { (t("2. Show that it works")) } (form.show()) }
        }
    };
    let page = Page::new(desk, Section::Own, t("Second factor")).under("/admin/me", t("Your sign-in"));
    page.show_as(trouble.map_or(StatusCode::OK, |trouble| trouble.status), body)
}

async fn accept_offer(desk: Desk, form: Submitted) -> Result<Response, Trouble> {
    match desk.send(Method::POST, "/session/totp/confirm", &json!({ "code": form.text("code") }), None).await {
        Ok(answer) => {
            let codes: Vec<&str> = answer["recovery_codes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let body = html! {
                section.card {
                    p { (t("The second factor is on. Keep these recovery codes where your phone is not: each lets you in once without it.")) }
                    ul.codes { @for code in &codes { li { code { (code) } } } }
                    p.hint { (t("They are shown this once.")) }
                    p { a.button.primary href="/admin" { (t("To the overview")) } }
                }
            };
            Ok(Page::new(&desk, Section::Own, t("Recovery codes")).under("/admin/me", t("Your sign-in")).show(body))
        }
        // The secret is not told twice: the authenticator has it already.
        Err(trouble) => Ok(offered_page(&desk, &Value::Null, Some(&form), Some(&trouble))),
    }
}

async fn forget(desk: Desk, form: Submitted) -> Result<Response, Trouble> {
    if let Some(first) = desk.confirm_first("/admin/me") {
        return Ok(first);
    }
    match desk.send(Method::DELETE, "/session/totp", &Value::Null, None).await {
        Ok(_) => Ok(done("/admin/me", t("The second factor is off."))),
        Err(trouble) => page(&desk, Some(&Again { form: "", given: &form, trouble: &trouble }), None).await,
    }
}

async fn ask_again(desk: Desk, Query(asked): Query<BTreeMap<String, String>>) -> Response {
    confirm_page(&desk, asked.get("next").map(String::as_str).unwrap_or_default(), None, None)
}

fn confirm_page(desk: &Desk, next: &str, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Response {
    let form = Form::new(desk, "/admin/confirm", t("Go on"))
        .again(given, trouble)
        .field(Field::hidden("next", back(next)))
        .field(Field::input("password", "password", t("Password")).required().autocomplete("current-password"))
        .field(
            Field::text("code", t("Code of your second factor")).autocomplete("one-time-code").hint(t("Leave it empty if you have none.")),
        );
    let page = Page::new(desk, Section::Own, t("Your password again"))
        .lead(t("Money, and who may do what, want the password given within the last fifteen minutes."));
    page.show_as(trouble.map_or(StatusCode::OK, |trouble| trouble.status), html! { div.card { (form.show()) } })
}

async fn confirm(desk: Desk, form: Submitted) -> Response {
    let body = json!({ "password": form.text("password"), "code": form.get("code") });
    match desk.send(Method::POST, "/session/confirm", &body, None).await {
        Ok(_) => Redirect::to(back(form.text("next"))).into_response(),
        Err(trouble) => confirm_page(&desk, form.text("next"), Some(&form), Some(&trouble)),
    }
}

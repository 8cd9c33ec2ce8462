//! One-time links: the first owner, somebody who was invited, somebody who lost their password.

use axum::Extension;
use axum::Router;
use axum::extract::{Path, State as From};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use axum::routing::get;
use maud::html;
use serde_json::{Value, json};

use super::desk::{Way, escaped};
use super::form::Submitted;
use super::session::done;
use super::sign_in::{ask_outside, with_cookies};
use super::text::t;
use super::{House, layout};
use crate::http::server::Peer;

/// Shortest password, as the page says it.
const SHORTEST: &str = "12";
/// Most of the API's answer that is read.
const ANSWER: usize = 64 * 1024;

pub(super) fn router() -> Router<House> {
    Router::new().route("/admin/welcome/{token}", get(ask).post(accept))
}

/// What the API says, and whether it is good news.
async fn told(answer: Response) -> (StatusCode, Value) {
    let status = answer.status();
    let bytes = axum::body::to_bytes(answer.into_body(), ANSWER).await.unwrap_or_default();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

async fn ask(From(house): From<House>, Path(token): Path<String>, headers: HeaderMap, peer: Option<Extension<Peer>>) -> Response {
    let way = Way::of(&headers, peer.map(|Extension(peer)| peer));
    let (status, link) = told(ask_outside(&house, &way, Method::GET, &format!("/invitations/{}", escaped(&token)), None).await).await;
    if status.is_success() { page(StatusCode::OK, &token, &link, None, None) } else { gone(status, &link) }
}

/// The link does not hold.
fn gone(status: StatusCode, answer: &Value) -> Response {
    let said = answer["message"].as_str().unwrap_or(t("This link was used or is too old. Ask for a new one."));
    let body = html! { p { (said) } p { a.button href="/admin/sign-in" { (t("To the sign-in")) } } };
    layout::bare(status, t("This link does not hold"), body)
}

fn page(status: StatusCode, token: &str, link: &Value, given: Option<&Submitted>, wrong: Option<(&str, &str)>) -> Response {
    let owner = link["makes"] == "owner";
    let said = |name: &str| given.map(|form| form.text(name).to_owned()).unwrap_or_default();
    let at = |name: &str| wrong.filter(|(field, _)| *field == name).map(|(_, message)| message);
    let elsewhere = wrong.filter(|(field, _)| !["login", "name", "password", "again", "code"].contains(field)).map(|(_, message)| message);
    let field = |name: &'static str, label: &str, kind: &str, complete: &str, hint: Option<&str>, value: &str| {
        let invalid = at(name).map(|_| "true");
        html! {
            div.field {
                label for=(name) { (label) }
                @if let Some(hint) = hint { p.hint id={ (name) "-hint" } { (hint) } }
                input id=(name) name=(name) type=(kind) value=(value) autocomplete=(complete) autocapitalize="none" required
                    aria-invalid=[invalid] aria-describedby={ (name) "-hint " (name) "-wrong" };
                @if let Some(wrong) = at(name) { p.wrong id={ (name) "-wrong" } { (wrong) } }
            }
        }
    };
    let strength = t("At least 12 characters. Four or five words that do not belong together are strong and easy to remember.");
    let body = html! {
        @if owner { p { (t("You become the owner: you may do everything, and let others in.")) } }
        @else { p { (t("Choose your password. You sign in as")) " " strong { (link["login"].as_str().unwrap_or_default()) } @if let Some(tenant) = link["tenant"].as_str() { " " (t("at")) " " strong { (tenant) } } "." } }
        form.form method="post" action={ "/admin/welcome/" (token) } {
            @if let Some(wrong) = elsewhere { div.trouble role="alert" { p { (wrong) } } }
            @if owner {
                (field("login", t("User name"), "text", "username", Some(t("What you sign in as: an e-mail address, or a short name.")), &said("login")))
                (field("name", t("Your name"), "text", "name", Some(t("As others see it.")), &said("name")))
            } @else {
                input type="hidden" name="login" value=(link["login"].as_str().unwrap_or_default()) autocomplete="username";
            }
            div data-strength=(SHORTEST) { (field("password", t("Password"), "password", "new-password", Some(strength), "")) }
            (field("again", t("The password again"), "password", "new-password", None, ""))
            @if link["second_factor"] == true {
                (field("code", t("Code of your second factor"), "text", "one-time-code", Some(t("Six digits of your authenticator, or a recovery code.")), ""))
            }
            div.buttons { button.primary { @if owner { (t("Become the owner")) } @else { (t("Set the password")) } } }
        }
    };
    layout::bare(status, if owner { t("Welcome") } else { t("Choose a password") }, body)
}

async fn accept(
    From(house): From<House>,
    Path(token): Path<String>,
    headers: HeaderMap,
    peer: Option<Extension<Peer>>,
    form: Submitted,
) -> Response {
    let way = Way::of(&headers, peer.map(|Extension(peer)| peer));
    let address = format!("/invitations/{}", escaped(&token));
    let (status, link) = told(ask_outside(&house, &way, Method::GET, &address, None).await).await;
    if !status.is_success() {
        return gone(status, &link);
    }
    if form.text("password") != form.text("again") {
        let wrong = Some(("again", t("The two passwords differ. Write the same one twice.")));
        return page(StatusCode::BAD_REQUEST, &token, &link, Some(&form), wrong);
    }
    let mut body = json!({ "password": form.text("password"), "code": form.get("code") });
    if link["makes"] == "owner" {
        body["login"] = form.json("login");
        body["name"] = form.json("name");
    }
    let answer = ask_outside(&house, &way, Method::POST, &address, Some(&body)).await;
    if !answer.status().is_success() {
        let (status, told) = told(answer).await;
        let wrong = (
            told["field"].as_str().unwrap_or_default(),
            told["message"].as_str().unwrap_or(t("That did not work. Try again in a moment.")),
        );
        return page(status, &token, &link, Some(&form), Some(wrong));
    }
    if answer.headers().contains_key(axum::http::header::SET_COOKIE) {
        return with_cookies("/admin/me?new=1", &answer);
    }
    done("/admin/sign-in", t("The password is set. Sign in with it."))
}

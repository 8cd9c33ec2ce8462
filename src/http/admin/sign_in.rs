//! In and out: the sign-in page, the sign-out, and the choice of the tenant to work for.

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State as From};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use maud::html;
use serde::Deserialize;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::desk::{Desk, Way};
use super::form::Submitted;
use super::session::{self, done, set_cookie};
use super::text::t;
use super::{House, layout};
use crate::http::server::Peer;

pub(super) fn outside() -> Router<House> {
    Router::new().route("/admin/sign-in", get(ask).post(sign_in))
}

pub(super) fn inside() -> Router<House> {
    Router::new().route("/admin/sign-out", post(sign_out)).route("/admin/tenant", post(choose_tenant))
}

#[derive(Debug, Default, Deserialize)]
struct Back {
    #[serde(default)]
    next: String,
    #[serde(default)]
    tenant: String,
}

/// Only our own pages: a path below `/admin`, never an address of somebody else's.
pub(super) fn back(next: &str) -> &str {
    let ours = next == "/admin" || next.starts_with("/admin/") || next.starts_with("/admin?");
    if ours && !next.contains(['\\', '\r', '\n']) && !next.starts_with("/admin/sign-") { next } else { "/admin" }
}

async fn ask(Query(asked): Query<Back>) -> Response {
    page(StatusCode::OK, &asked.next, (&asked.tenant, ""), None)
}

fn page(status: StatusCode, next: &str, (tenant, name): (&str, &str), wrong: Option<&str>) -> Response {
    let body = html! {
        form.form method="post" action="/admin/sign-in" {
            @if let Some(wrong) = wrong { div.trouble role="alert" { p { (wrong) } } }
            input type="hidden" name="next" value=(back(next));
            div.field { label for="name" { (t("User name")) } input #name name="login" value=(name) autocomplete="username" autocapitalize="none" required autofocus[name.is_empty()]; }
            div.field { label for="password" { (t("Password")) } input #password type="password" name="password" autocomplete="current-password" required; }
            div.field {
                label for="code" { (t("Code of your second factor")) }
                p.hint #code-hint { (t("Six digits of your authenticator, or a recovery code. Leave it empty if you have none.")) }
                input #code name="code" inputmode="numeric" autocomplete="one-time-code" aria-describedby="code-hint";
            }
            details open[!tenant.is_empty()] {
                summary { (t("I work for a tenant")) }
                div.field {
                    label for="tenant" { (t("Name of the tenant")) }
                    p.hint #tenant-hint { (t("As it stands in the addresses of its phones. The operator's own people leave it empty.")) }
                    input #tenant name="tenant" value=(tenant) autocomplete="organization" autocapitalize="none" aria-describedby="tenant-hint";
                }
            }
            div.buttons { button.primary { (t("Sign in")) } }
        }
    };
    layout::bare(status, t("Sign in"), body)
}

/// Asks the API on behalf of a browser that is not signed in.
pub(super) async fn ask_outside(house: &House, way: &Way, method: Method, path: &str, body: Option<&Value>) -> Response {
    let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let Ok(mut request) = request.body(body) else { return StatusCode::BAD_REQUEST.into_response() };
    way.mark(&mut request);
    house.api.clone().oneshot(request).await.into_response()
}

/// On to `next` with the cookies of the API's answer.
pub(super) fn with_cookies(next: &str, answer: &Response) -> Response {
    let mut response = Redirect::to(next).into_response();
    for cookie in answer.headers().get_all(header::SET_COOKIE) {
        response.headers_mut().append(header::SET_COOKIE, cookie.clone());
    }
    response
}

async fn sign_in(From(house): From<House>, headers: HeaderMap, peer: Option<axum::Extension<Peer>>, form: Submitted) -> Response {
    let body = json!({
        "tenant": form.get("tenant"), "login": form.text("login"), "password": form.text("password"), "code": form.get("code"),
    });
    let way = Way::of(&headers, peer.map(|axum::Extension(peer)| peer));
    let answer = ask_outside(&house, &way, Method::POST, "/session", Some(&body)).await;
    if answer.status().is_success() {
        return with_cookies(back(form.text("next")), &answer);
    }
    let status = answer.status();
    let bytes = axum::body::to_bytes(answer.into_body(), 64 * 1024).await.unwrap_or_default();
    let told: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let said = told["message"].as_str().unwrap_or(t("That did not work. Try again in a moment."));
    page(status, form.text("next"), (form.text("tenant"), form.text("login")), Some(said))
}

async fn sign_out(desk: Desk, form: Submitted) -> Response {
    drop(form);
    let Ok(request) = Request::builder().method(Method::DELETE).uri("/session").body(Body::empty()) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    with_cookies("/admin/sign-in", &desk.pass(request).await)
}

async fn choose_tenant(desk: Desk, form: Submitted) -> Response {
    let wanted = form.text("tenant");
    if !desk.visit.tenants.iter().any(|(id, _)| id == wanted) {
        return session::done("/admin", t("There is no such tenant."));
    }
    let mut response = done("/admin", t("You now work for another tenant."));
    set_cookie(&mut response, &format!("tenant={wanted}; Path=/admin; Max-Age=43200; HttpOnly; SameSite=Strict"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_never_leads_away() {
        for away in
            ["https://example.com/", "//example.com", "/admin\\@example.com", "/other", "/adminx", "/admin/sign-out", "/admin/\r\nx"]
        {
            assert_eq!(back(away), "/admin", "{away}");
        }
        assert_eq!(back("/admin/cdrs?after=x"), "/admin/cdrs?after=x");
    }
}

//! The signed-in browser: its cookie, its anti-forgery token, its flash message, its theme.

use axum::extract::{Request, State as From};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};

use super::desk::{Desk, escaped};
use super::text::t;
use super::{House, layout};
use crate::http::caller::from_cookie;
use crate::http::server::Peer;

/// Longest flash message.
const FLASH: usize = 300;

/// A browser that is signed in.
#[derive(Debug, Clone)]
pub struct Visit {
    /// What every form of it sends along.
    pub csrf: String,
    /// What the last step said.
    pub flash: Option<String>,
    /// `light` or `dark`, where the reader chose.
    pub theme: Option<String>,
    /// Tenants to choose from, for the operator's own people: id and name.
    pub tenants: Vec<(String, String)>,
}

impl Visit {
    /// The hidden field of every form.
    pub fn csrf_field(&self) -> Markup {
        html! { input type="hidden" name="csrf" value=(self.csrf); }
    }

    /// What the last step said, once.
    pub fn flash(&self) -> Markup {
        html! { @if let Some(flash) = &self.flash { p.flash role="status" { (flash) } } }
    }
}

/// A cookie's value by name.
pub fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// Lets those in whose cookie is good, and sends the others to the sign-in.
pub async fn enter(From(house): From<House>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let (mut caller, sign_in) = match from_cookie(&house.state, request.headers(), peer).await {
        Ok(Some(found)) => found,
        Ok(None) => return to_sign_in(request.uri()),
        Err(problem) => return problem.into_response(),
    };
    let headers = request.headers();
    let flash = cookie(headers, "flash").map(|text| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned());
    let theme = cookie(headers, "theme").filter(|theme| matches!(*theme, "light" | "dark")).map(str::to_owned);
    let mut tenants = Vec::new();
    if caller.principal.tenant.is_none() {
        let chosen = cookie(headers, "tenant").map(str::to_owned);
        match crate::tenant::store::all(&house.state.database).await {
            Ok(all) => {
                if let Some(tenant) = all.iter().find(|tenant| Some(tenant.id.to_string()) == chosen) {
                    caller.tenant = tenant.id;
                }
                tenants = all.into_iter().map(|tenant| (tenant.id.to_string(), tenant.name)).collect();
            }
            Err(error) => return crate::http::Problem::books_down(&error).into_response(),
        }
    }
    let had_flash = flash.is_some();
    request.extensions_mut().insert(Visit { csrf: sign_in.csrf.expose().to_owned(), flash, theme, tenants });
    request.extensions_mut().insert(caller);
    let mut response = next.run(request).await;
    if had_flash && !response.headers().contains_key(header::SET_COOKIE) {
        set_cookie(&mut response, "flash=; Path=/admin; Max-Age=0; HttpOnly; SameSite=Strict");
    }
    response
}

/// The sign-in, with the way back.
pub fn to_sign_in(uri: &Uri) -> Response {
    let back = uri.path_and_query().map_or("/admin", |path| path.as_str());
    let next = if back == "/admin" { String::new() } else { format!("?next={}", escaped(back)) };
    Redirect::to(&format!("/admin/sign-in{next}")).into_response()
}

/// On to another page after something was done, with a word about it.
pub fn done(address: &str, said: &str) -> Response {
    let mut response = Redirect::to(address).into_response();
    let said: String = said.chars().take(FLASH).collect();
    set_cookie(&mut response, &format!("flash={}; Path=/admin; Max-Age=60; HttpOnly; SameSite=Strict", escaped(&said)));
    response
}

/// Adds a cookie to an answer.
pub fn set_cookie(response: &mut Response, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// Nothing but our own pages may send us forms.
pub async fn same_origin(request: Request, next: Next) -> Response {
    if foreign(&request) {
        let body = html! { p { (t("This form came from another site. Open the page here and send it again.")) } };
        return layout::bare(StatusCode::FORBIDDEN, t("Not allowed"), body);
    }
    next.run(request).await
}

/// Does another site send this form? Browsers say where a form comes from by `Origin` and `Sec-Fetch-Site`.
fn foreign(request: &Request) -> bool {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return false;
    }
    let host = text("host").or_else(|| request.uri().authority().map(axum::http::uri::Authority::as_str)).unwrap_or_default();
    let elsewhere = text("origin").is_some_and(|origin| origin.split_once("://").is_none_or(|(_, from)| from != host));
    elsewhere || text("sec-fetch-site").is_some_and(|site| site != "same-origin")
}

/// The choice of tenant of the operator's own people.
pub fn tenant_switch(desk: &Desk) -> Markup {
    let chosen = desk.caller.tenant.to_string();
    html! {
        @if desk.visit.tenants.len() > 1 {
            form.switch method="post" action="/admin/tenant" {
                (desk.visit.csrf_field())
                label for="tenant-switch" { span.quiet { (t("Tenant")) } }
                select #tenant-switch name="tenant" data-submit {
                    @for (id, name) in &desk.visit.tenants { option value=(id) selected[*id == chosen] { (name) } }
                }
                button.plain { (t("Change")) }
            }
        }
    }
}

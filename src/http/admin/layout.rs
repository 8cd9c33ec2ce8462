//! The frame around every page: navigation, who reads it, flash messages, security headers.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::desk::{Desk, Trouble};
use super::text::{language, t};
use super::{asset, session};
use crate::people::Scope;

/// Where a page belongs in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// How things stand.
    Overview,
    /// Calls that are up.
    Calls,
    /// Calls that are over.
    Records,
    /// What phones have asked for.
    Reservations,
    /// Who may call.
    Subscribers,
    /// Money.
    Accounts,
    /// Money on paper.
    Vouchers,
    /// Movements that wait for a second person.
    Approvals,
    /// Prices.
    Decks,
    /// What other currencies come to.
    ExchangeRates,
    /// Why it costs what it costs.
    Explain,
    /// Numbers people dial to reach us.
    AccessNumbers,
    /// Carriers.
    Trunks,
    /// What somebody should look at.
    Alerts,
    /// What may be called, and what looks like fraud.
    Rules,
    /// What must not be called.
    Hotlists,
    /// The operator's customers.
    Tenants,
    /// Who keeps the books.
    People,
    /// Machines that do.
    Keys,
    /// Who did what.
    Audit,
    /// The reader's own sign-in.
    Own,
}

impl Section {
    /// Carriers' prices are the operator's own.
    fn is_for(self, desk: &Desk) -> bool {
        self != Self::ExchangeRates || desk.caller.principal.tenant.is_none()
    }
}

/// A section with its address, its name and the scope that shows it.
type Entry = (Section, &'static str, &'static str, Scope);

/// The navigation: groups, and in each the sections with address, name and the scope that shows them.
fn navigation() -> [(&'static str, Vec<Entry>); 7] {
    use Section as S;
    [
        ("", vec![(S::Overview, "/admin", t("Overview"), Scope::Read)]),
        (
            t("Calls"),
            vec![
                (S::Calls, "/admin/calls", t("Live calls"), Scope::Read),
                (S::Records, "/admin/cdrs", t("Call records"), Scope::Read),
                (S::Reservations, "/admin/reservations", t("Reservations"), Scope::Read),
            ],
        ),
        (
            t("Customers"),
            vec![
                (S::Subscribers, "/admin/subscribers", t("Subscribers"), Scope::Read),
                (S::Accounts, "/admin/accounts", t("Accounts"), Scope::Read),
                (S::Vouchers, "/admin/vouchers", t("Vouchers"), Scope::Read),
                (S::Approvals, "/admin/approvals", t("Approvals"), Scope::Read),
            ],
        ),
        (
            t("Prices"),
            vec![
                (S::Decks, "/admin/decks", t("Rate decks"), Scope::Read),
                (S::Explain, "/admin/explain", t("Explain a rate"), Scope::Read),
                (S::ExchangeRates, "/admin/exchange-rates", t("Exchange rates"), Scope::Read),
            ],
        ),
        (
            t("Network"),
            vec![
                (S::AccessNumbers, "/admin/access-numbers", t("Access numbers"), Scope::Read),
                (S::Trunks, "/admin/trunks", t("Trunks"), Scope::Trunks),
            ],
        ),
        (
            t("Fraud"),
            vec![
                (S::Alerts, "/admin/alerts", t("Alerts"), Scope::Read),
                (S::Rules, "/admin/rules", t("Rules"), Scope::Read),
                (S::Hotlists, "/admin/hotlists", t("Hotlists"), Scope::Read),
            ],
        ),
        (
            t("House"),
            vec![
                (S::Tenants, "/admin/tenants", t("Tenants"), Scope::Tenants),
                (S::People, "/admin/people", t("People"), Scope::People),
                (S::Keys, "/admin/keys", t("API keys"), Scope::People),
                (S::Audit, "/admin/audit", t("Audit log"), Scope::Audit),
            ],
        ),
    ]
}

/// A page in the making.
pub struct Page<'d> {
    desk: &'d Desk,
    section: Section,
    title: String,
    trail: Vec<(String, String)>,
    actions: Markup,
    lead: Option<String>,
}

impl<'d> Page<'d> {
    /// A page of the section.
    pub fn new(desk: &'d Desk, section: Section, title: impl Into<String>) -> Self {
        Self { desk, section, title: title.into(), trail: Vec::new(), actions: html! {}, lead: None }
    }

    /// The page above this one: address and name.
    pub fn under(mut self, address: impl Into<String>, name: impl Into<String>) -> Self {
        self.trail.push((address.into(), name.into()));
        self
    }

    /// Buttons and links beside the title.
    pub fn actions(mut self, actions: Markup) -> Self {
        self.actions = actions;
        self
    }

    /// A sentence below the title.
    pub fn lead(mut self, lead: impl Into<String>) -> Self {
        self.lead = Some(lead.into());
        self
    }

    /// The whole page.
    pub fn show(self, body: Markup) -> Response {
        self.show_as(StatusCode::OK, body)
    }

    /// The whole page with a status: a form that was refused comes back with the API's.
    pub fn show_as(self, status: StatusCode, body: Markup) -> Response {
        let desk = self.desk;
        let inner = html! {
            a.skip href="#main" { (t("Skip to the content")) }
            header.top {
                a.brand href="/admin" { img src=(asset::path("icon.svg")) alt="" width="24" height="24"; span { "callthrough" } }
                button.menu type="button" aria-expanded="false" aria-controls="nav" data-menu hidden { (t("Menu")) }
                div.who {
                    (session::tenant_switch(desk))
                    button.plain type="button" data-theme-toggle hidden title=(t("Change between light and dark")) aria-label=(t("Change between light and dark")) { "◐" }
                    a href="/admin/me" { (desk.caller.principal.name) }
                    form method="post" action="/admin/sign-out" { (desk.visit.csrf_field()) button.plain { (t("Sign out")) } }
                }
            }
            nav #nav aria-label=(t("Main")) {
                @for (group, sections) in navigation() {
                    @let shown: Vec<_> = sections.into_iter().filter(|(section, _, _, scope)| desk.may(*scope) && section.is_for(desk)).collect();
                    @if !shown.is_empty() {
                        @if !group.is_empty() { p.group { (group) } }
                        ul {
                            @for (section, address, name, _) in shown {
                                li { a href=(address) aria-current=[(section == self.section).then_some("page")] { (name) } }
                            }
                        }
                    }
                }
            }
            main #main tabindex="-1" {
                @if !self.trail.is_empty() {
                    p.trail { @for (address, name) in &self.trail { a href=(address) { (name) } span aria-hidden="true" { " / " } } }
                }
                div.head {
                    h1 { (self.title) }
                    div.actions { (self.actions) }
                }
                @if let Some(lead) = &self.lead { p.lead { (lead) } }
                (desk.visit.flash())
                (body)
            }
        };
        (status, Html(document(&self.title, desk.visit.theme.as_deref(), "app", inner).into_string())).into_response()
    }
}

/// A page of its own, before the sign-in.
pub fn bare(status: StatusCode, title: &str, body: Markup) -> Response {
    let inner = html! {
        main #main {
            p.brand { img src=(asset::path("icon.svg")) alt="" width="32" height="32"; span { "callthrough" } }
            h1 { (title) }
            (body)
        }
    };
    (status, Html(document(title, None, "bare", inner).into_string())).into_response()
}

fn document(title: &str, theme: Option<&str>, class: &str, inner: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang=(language().tag()) data-theme=[theme] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · callthrough" }
                link rel="icon" href=(asset::path("icon.svg"));
                link rel="stylesheet" href=(asset::path("style.css"));
                script src=(asset::path("page.js")) defer {}
            }
            body class=(class) data-say-copy=(t("Copy")) data-say-copied=(t("Copied")) data-say-cancel=(t("Cancel")) data-say-strength=(t("Strength of the password")) {
                (inner)
            }
        }
    }
}

/// A page for something the API refused where no form can show it.
pub fn trouble(trouble: &Trouble) -> Response {
    let title = match trouble.status {
        StatusCode::NOT_FOUND => t("Not found"),
        StatusCode::FORBIDDEN => t("Not allowed"),
        StatusCode::SERVICE_UNAVAILABLE => t("Not now"),
        _ => t("That did not work"),
    };
    bare(trouble.status, title, html! { p { (trouble.message) } p { a.button href="/admin" { (t("To the overview")) } } })
}

/// Forms are sent to addresses that are no pages: whoever asks for one, by loading a page again, comes to the page above it.
pub async fn page_above(method: Method, uri: Uri) -> Response {
    match uri.path().rsplit_once('/') {
        Some((above, _)) if matches!(method, Method::GET | Method::HEAD) => Redirect::to(above).into_response(),
        _ => {
            let body = html! { p { (t("Nothing can be sent to this address.")) } p { a.button href="/admin" { (t("To the overview")) } } };
            bare(StatusCode::METHOD_NOT_ALLOWED, t("Not allowed"), body)
        }
    }
}

/// No page has this address.
pub async fn nothing_here() -> Response {
    let body = html! { p { (t("There is no page at this address.")) } p { a.button href="/admin" { (t("To the overview")) } } };
    bare(StatusCode::NOT_FOUND, t("Not found"), body)
}

/// What every answer says to the browser (spec: security, section 6).
pub async fn headers(request: Request, next: Next) -> Response {
    const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
                          form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Ready HTML of our own, such as an SVG from a file.
pub fn ready(html: &'static str) -> Markup {
    PreEscaped(html.to_owned())
}

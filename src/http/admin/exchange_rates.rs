//! Exchange rates from dates on: what carriers' prices in other currencies come to. Rates are added and never changed.

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::get;
use maud::html;
use serde_json::json;

use super::decks::moment;
use super::desk::{Desk, Trouble};
use super::form::{Field, Form, Submitted};
use super::layout::{Page, Section};
use super::session::done;
use super::table::Table;
use super::text::t;
use super::{House, show};
use crate::people::Scope;

pub(super) fn router() -> Router<House> {
    Router::new().route("/admin/exchange-rates", get(list).post(add))
}

async fn list(desk: Desk) -> Result<Response, Trouble> {
    page(&desk, None, None).await
}

async fn page(desk: &Desk, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Result<Response, Trouble> {
    let found = desk.get("/fx-rates?limit=500").await?;
    let rows = found["items"].as_array().into_iter().flatten().map(|rate| {
        vec![
            html! { "1 " abbr { (show::text(&rate["from"])) } },
            html! { (show::text(&rate["rate"])) " " abbr { (show::text(&rate["to"])) } },
            show::time(&rate["effective_from"]),
        ]
    });
    let table = Table::new(t("Exchange rates")).column(t("This much")).figures(t("Is")).column(t("Valid from"));
    let table = table.rows(rows).empty(t("No exchange rate yet. None is needed while carriers and tariffs have the same currency."));
    let form = Form::new(desk, "/admin/exchange-rates", t("Add the rate"))
        .again(given, trouble)
        .wide()
        .field(Field::text("from", t("From the currency")).hint(t("Three letters, such as USD")).required())
        .field(Field::text("to", t("To the currency")).hint(t("Three letters, such as EUR")).required())
        .field(Field::amount("rate", t("One is")).hint(t("A decimal such as 0.9231, or a fraction such as 12/13")).required())
        .field(Field::input("datetime-local", "effective_from", t("Valid from")).hint(t("In UTC. Empty: at once.")));
    let body = html! {
        @if desk.may(Scope::Decks) { (show::card(t("Add a rate"), form.show())) }
        (table.show())
    };
    let page = Page::new(desk, Section::ExchangeRates, t("Exchange rates"));
    let lead = t(
        "What carriers' prices in other currencies come to, newest first. Rates are added and never changed, so old calls stay explained.",
    );
    Ok(page.lead(lead).show_as(trouble.map_or(StatusCode::OK, |trouble| trouble.status), body))
}

async fn add(desk: Desk, form: Submitted) -> Result<Response, Trouble> {
    let mut body = json!({
        "from": form.text("from").to_uppercase(),
        "to": form.text("to").to_uppercase(),
        "rate": form.text("rate").replace(',', "."),
    });
    if let Some(at) = moment(&form) {
        body["effective_from"] = json!(at);
    }
    match desk.send(Method::POST, "/fx-rates", &body, None).await {
        Ok(_) => Ok(done("/admin/exchange-rates", t("The rate is added."))),
        Err(trouble) => page(&desk, Some(&form), Some(&trouble)).await,
    }
}

//! "Correct the charge": the old posting is reversed and the right one made, by two people where it is much.

use axum::Router;
use axum::extract::Path;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::accounts::moved_or_waits_at;
use super::desk::{Desk, Trouble, escaped};
use super::explain::sentences;
use super::form::{Field, Form, Submitted};
use super::layout::{Page, Section};
use super::text::t;
use super::{House, show};
use crate::people::Scope;

pub(super) fn router() -> Router<House> {
    Router::new().route("/admin/cdrs/{call_id}/correct", get(form).post(correct))
}

/// The way to the form, on a call that was charged, for those who may; and what waits for a second person.
pub(super) async fn card(desk: &Desk, record: &Value) -> Markup {
    let call = record["call_id"].as_str().unwrap_or_default();
    let waiting = desk.get("/approvals?state=pending&limit=500").await.unwrap_or_default();
    let waiting: Vec<_> = waiting["items"].as_array().into_iter().flatten().filter(|one| one["wanted"]["call"] == call).collect();
    let may = desk.may(Scope::Money) && record["account_id"].is_string() && record["charge"].is_object();
    if waiting.is_empty() && !may {
        return html! {};
    }
    show::card(
        t("Is the charge wrong?"),
        html! {
            @for approval in &waiting {
                p.note-box {
                    a href={ "/admin/approvals/" (approval["id"].as_str().unwrap_or_default()) } { (t("A correction")) } " " (t("waits for a second person.")) " "
                    (show::text(&approval["asked_name"])) ": " (show::text(&approval["reason"]))
                }
            }
            @if may && waiting.is_empty() {
                p { (t("Say what the call should have cost. The charge is reversed and the right one made; both stay in the books.")) }
                p { a.button href={ "/admin/cdrs/" (call) "/correct" } { (t("Correct the charge")) } }
            }
        },
    )
}

async fn form(desk: Desk, Path(call): Path<String>) -> Result<Response, Trouble> {
    let record = desk.get(&format!("/cdrs/{}", escaped(&call))).await?;
    if let Some(first) = desk.confirm_first(&desk.path) {
        return Ok(first);
    }
    Ok(page(&desk, &record, None, None).await)
}

async fn page(desk: &Desk, record: &Value, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Response {
    let call = record["call_id"].as_str().unwrap_or_default();
    let here = format!("/admin/cdrs/{call}");
    let why = desk.get(&format!("/cdrs/{}/explain", escaped(call))).await.ok();
    let form = Form::new(desk, format!("{here}/correct"), t("Correct the charge"))
        .once()
        .again(given, trouble)
        .field(
            Field::amount("charge", format!("{} ({})", t("It should have cost"), currency(record)))
                .required()
                .hint(t("0 if nobody should pay for it.")),
        )
        .field(Field::text("reason", t("Reason")).required().hint(t("Above the limit, a second person must approve before it counts.")));
    let body = html! {
        div.figures {
            (show::figure(t("Charge"), show::money(&record["charge"]), html! { (t("as it stands in the record")) }))
            (show::figure(t("Subscriber"), super::records::subscriber(record), html! { (show::text(&record["destination"])) }))
        }
        div.grid.wide {
            (show::card(t("The right charge"), form.show()))
            @if let Some(why) = &why { (show::card(t("Why it cost this"), sentences(why))) }
        }
    };
    let page = Page::new(desk, Section::Records, t("Correct the charge")).under("/admin/cdrs", t("Call records"));
    page.under(here, t("The call")).show_as(trouble.map_or(StatusCode::OK, |trouble| trouble.status), body)
}

fn currency(record: &Value) -> &str {
    record["charge"]["currency"].as_str().unwrap_or_default()
}

async fn correct(desk: Desk, Path(call): Path<String>, sent: Submitted) -> Result<Response, Trouble> {
    let record = desk.get(&format!("/cdrs/{}", escaped(&call))).await?;
    let body = json!({ "charge": sent.money("charge", currency(&record)), "reason": sent.text("reason") });
    match desk.send(Method::POST, &format!("/cdrs/{}/correct", escaped(&call)), &body, sent.key()).await {
        Ok(answer) => Ok(moved_or_waits_at(&format!("/admin/cdrs/{call}"), &answer, t("The charge is corrected."))),
        Err(trouble) => Ok(page(&desk, &record, Some(&sent), Some(&trouble)).await),
    }
}

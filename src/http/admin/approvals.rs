//! Movements that wait for a second person, and what became of the others.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::Method;
use axum::response::Response;
use axum::routing::{get, post};
use maud::{Markup, html};
use serde_json::Value;

use super::House;
use super::accounts::{link, names};
use super::desk::{Desk, Trouble, escaped, query};
use super::form::{Form, Submitted};
use super::layout::{Page, Section};
use super::session::done;
use super::show;
use super::table::{Table, pages};
use super::text::t;
use crate::people::Scope;

pub(super) fn router() -> Router<House> {
    Router::new()
        .route("/admin/approvals", get(list))
        .route("/admin/approvals/{approval_id}", get(one))
        .route("/admin/approvals/{approval_id}/approve", post(approve))
        .route("/admin/approvals/{approval_id}/decline", post(decline))
}

async fn list(desk: Desk, Query(asked): Query<BTreeMap<String, String>>) -> Result<Response, Trouble> {
    let states = [("pending", t("Waiting")), ("approved", t("Approved")), ("declined", t("Declined")), ("expired", t("Expired"))];
    let state = asked.get("state").map(String::as_str).filter(|asked| states.iter().any(|(code, _)| code == asked)).unwrap_or("pending");
    let after = asked.get("after").map(String::as_str).unwrap_or_default();
    let found = desk.get(&format!("/approvals{}", query([("state", state), ("after", after)]))).await?;
    let names = names(&desk, found["items"].as_array().into_iter().flatten().filter_map(|one| one["subject"].as_str())).await;
    let rows = found["items"].as_array().into_iter().flatten().map(|approval| {
        let id = approval["id"].as_str().unwrap_or_default();
        vec![
            html! { a href={ "/admin/approvals/" (id) } { (wanted(&approval["wanted"])) } },
            show::money(&approval["amount"]),
            subject(&names, &approval["subject"]),
            show::text(&approval["reason"]),
            html! { (show::text(&approval["asked_name"])) br; span.quiet { (show::time(&approval["asked_at"])) } },
            html! { @if approval["decided_at"].is_null() { (buttons(&desk, approval)) } @else { (show::text(&approval["decided_name"])) br; span.quiet { (show::time(&approval["decided_at"])) } } },
        ]
    });
    let table = Table::new(t("Approvals"))
        .column(t("What"))
        .figures(t("Amount"))
        .column(t("On"))
        .column(t("Reason"))
        .column(t("Asked by"))
        .column(t("Decision"))
        .empty(if state == "pending" { t("Nothing waits for a second person.") } else { t("Nothing here yet.") })
        .rows(rows)
        .show();
    let body = html! {
        nav.tabs aria-label=(t("State")) {
            @for (code, name) in states { a href={ "/admin/approvals?state=" (code) } aria-current=[(code == state).then_some("page")] { (name) } }
        }
        (table)
        (pages("/admin/approvals", &[("state", state), ("after", after)], found["next"].as_str()))
    };
    let lead = t("Above the limit, whoever asks for a movement cannot be the one who approves it.");
    Ok(Page::new(&desk, Section::Approvals, t("Approvals")).lead(lead).show(body))
}

/// What is asked for, in words.
fn wanted(wanted: &Value) -> &'static str {
    match wanted["kind"].as_str() {
        Some("adjust") => t("Adjustment"),
        Some("bonus") => t("Bonus"),
        Some("reverse") => t("Reversal"),
        Some("correct") => t("Correction of a call"),
        Some("transfer") => t("Transfer"),
        None if wanted["batch"].is_string() => t("Batch of vouchers"),
        _ => t("Movement"),
    }
}

/// The account or the batch it is about.
fn subject(names: &BTreeMap<String, String>, value: &Value) -> Markup {
    let id = value.as_str().unwrap_or_default();
    if id.starts_with("vbat_") {
        return html! { a href={ "/admin/vouchers/" (id) } { (t("the batch")) } };
    }
    link(names, id)
}

/// Approve and decline, for those who may. Whoever asked can only take it back.
fn buttons(desk: &Desk, approval: &Value) -> Markup {
    let id = approval["id"].as_str().unwrap_or_default();
    let own = approval["asked_by"].as_str() == Some(desk.caller.principal.who.to_string().as_str());
    html! {
        @if approval["state"] == "pending" && desk.may(Scope::Money) {
            @if own { span.quiet { (t("You asked; somebody else decides.")) " " } }
            @else { (Form::new(desk, format!("/admin/approvals/{id}/approve"), t("Approve")).confirm(t("Approve this? It is done at once.")).inline().show()) " " }
            (Form::new(desk, format!("/admin/approvals/{id}/decline"), if own { t("Take back") } else { t("Decline") }).danger().inline().show())
        }
    }
}

async fn one(desk: Desk, Path(id): Path<String>) -> Result<Response, Trouble> {
    let approval = desk.get(&format!("/approvals/{}", escaped(&id))).await?;
    let names = names(&desk, approval["subject"].as_str()).await;
    let wanted_of = &approval["wanted"];
    let call = wanted_of["call"].as_str();
    let state = match approval["state"].as_str().unwrap_or_default() {
        "pending" => show::badge(t("Waiting"), "warn"),
        "approved" => show::badge(t("Approved"), "good"),
        "declined" => show::badge(t("Declined"), "bad"),
        _ => show::badge(t("Expired"), "plain"),
    };
    let body = html! {
        div.card {
            (show::facts([
                (t("State"), state),
                (t("Amount"), show::money(&approval["amount"])),
                (t("On"), subject(&names, &approval["subject"])),
                (t("Call"), call.map_or_else(show::dash, |call| html! { a href={ "/admin/cdrs/" (call) } { (t("the call")) } })),
                (t("Reason"), show::text(&approval["reason"])),
                (t("Asked by"), html! { (show::text(&approval["asked_name"])) ", " (show::time(&approval["asked_at"])) }),
                (t("Over at"), show::time(&approval["expires_at"])),
                (t("Decided by"), html! { (show::text(&approval["decided_name"])) @if !approval["decided_at"].is_null() { ", " (show::time(&approval["decided_at"])) } }),
            ]))
            div.buttons { (buttons(&desk, &approval)) }
        }
    };
    Ok(Page::new(&desk, Section::Approvals, wanted(wanted_of)).under("/admin/approvals", t("Approvals")).show(body))
}

async fn approve(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    drop(form);
    decide(&desk, &id, "approve", t("Approved. It is done.")).await
}

async fn decline(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    drop(form);
    decide(&desk, &id, "decline", t("Declined. Nothing moves.")).await
}

async fn decide(desk: &Desk, id: &str, how: &str, said: &str) -> Result<Response, Trouble> {
    let here = format!("/admin/approvals/{id}");
    if let Some(first) = desk.confirm_first(&here) {
        return Ok(first);
    }
    desk.send(Method::POST, &format!("/approvals/{}/{how}", escaped(id)), &Value::Null, None).await?;
    Ok(done(&here, said))
}

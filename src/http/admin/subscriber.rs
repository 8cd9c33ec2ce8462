//! One subscriber: who they are, their money, numbers, identities, phones and calls.

use axum::Router;
use axum::extract::Path;
use axum::http::Method;
use axum::response::Response;
use axum::routing::{get, post};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::House;
use super::desk::{Desk, Trouble, escaped};
use super::form::{Again, Field, Form, Submitted};
use super::layout::{Page, Section};
use super::session::done;
use super::show;
use super::table::Table;
use super::text::t;
use crate::people::Scope;
use crate::types::TenantId;

pub(super) fn router() -> Router<House> {
    Router::new()
        .route("/admin/subscribers/{subscriber_id}", get(one))
        .route("/admin/subscribers/{subscriber_id}/numbers", post(add_number))
        .route("/admin/subscribers/{subscriber_id}/numbers/remove", post(remove_number))
        .route("/admin/subscribers/{subscriber_id}/identities", post(add_identity))
        .route("/admin/subscribers/{subscriber_id}/identities/remove", post(remove_identity))
        .route("/admin/subscribers/{subscriber_id}/credentials", post(add_credential))
        .route("/admin/subscribers/{subscriber_id}/credentials/revoke", post(revoke_credential))
        .route("/admin/subscribers/{subscriber_id}/remove", post(remove))
}

async fn one(desk: Desk, Path(id): Path<String>) -> Result<Response, Trouble> {
    page(&desk, &id, None, None).await
}

async fn page(desk: &Desk, id: &str, again: Option<&Again<'_>>, made: Option<&Value>) -> Result<Response, Trouble> {
    let api = format!("/subscribers/{}", escaped(id));
    let subscriber = desk.get(&api).await?;
    let account_id = subscriber["account_id"].as_str().unwrap_or_default();
    let account = desk.get(&format!("/accounts/{account_id}")).await?;
    let numbers = desk.get(&format!("{api}/numbers")).await?;
    let credentials = desk.get(&format!("{api}/credentials")).await?;
    let live = desk.get(&format!("/calls?subscriber_id={}&limit=20", escaped(id))).await?;
    let holds = desk.get(&format!("/holds?subscriber_id={}&limit=20", escaped(id))).await?;
    let records = desk.get(&format!("/cdrs?subscriber_id={}&limit=10", escaped(id))).await?;
    let entries = desk.get(&format!("/accounts/{account_id}/entries?limit=5")).await?;
    let change = desk.may(Scope::Subscribers);
    let door = door(desk).await;
    let body = html! {
        @if let Some(again) = again.filter(|again| again.form.is_empty()) { div.trouble role="alert" { p { (again.trouble.message) } } }
        @if let Some(made) = made { (new_secret(&door, &subscriber, made)) }
        div.figures {
            (show::figure(t("Balance"), show::balance(&account["balance"]), html! { a href={ "/admin/accounts/" (account_id) } { (t("The account")) } }))
            (show::figure(t("Left to spend"), show::balance(&account["available"]), html! { (t("With the credit limit, less what is held")) }))
            (show::figure(t("Held for calls that are up"), show::balance(&account["held"]), html! {}))
            (show::figure(t("Live calls"), html! { (live["items"].as_array().map_or(0, Vec::len)) }, html! {}))
        }
        div.grid.wide {
            (show::card(t("Who they are"), facts(&subscriber)))
            (show::card(t("Limits"), limits(&subscriber)))
            (show::card(t("Verified numbers"), numbers_card(desk, id, &numbers, change, again)))
            (show::card(t("Identities"), identities_card(desk, id, &subscriber, change, again)))
        }
        section.card #devices { h2 { (t("Phones and their secrets")) } (credentials_card(desk, id, &credentials, change, again)) }
        section.card { h2 { (t("Setting up a phone")) } (provisioning(&door, &subscriber, None)) }
        div.grid.wide #live data-live {
            (show::card(t("Live calls"), live_table(&live)))
            (show::card(t("Open holds"), holds_table(&holds)))
        }
        section.card { h2 { (t("Latest calls")) } (records_table(&records)) p.more { a href={ "/admin/cdrs?subscriber_id=" (id) } { (t("All call records")) } } }
        section.card { h2 { (t("Latest movements")) } (super::accounts::entries_table(&entries, false)) p.more { a href={ "/admin/accounts/" (account_id) } { (t("All movements")) } } }
        @if change { (remove_form(desk, id)) }
    };
    let actions = html! {
        @if desk.may(Scope::Money) { a.button.primary href={ "/admin/accounts/" (account_id) "/top-up" } { (t("Top up")) } }
        @if change { a.button href={ "/admin/subscribers/" (id) "/edit" } { (t("Change")) } }
        a.button href={ "/admin/explain?subscriber_id=" (id) } { (t("Explain a rate")) }
    };
    let name = subscriber["name"].as_str().unwrap_or_default();
    let page = Page::new(desk, Section::Subscribers, name).under("/admin/subscribers", t("Subscribers")).actions(actions);
    Ok(page.show_as(Again::status(again), body))
}

fn facts(subscriber: &Value) -> Markup {
    show::facts([
        (t("State"), show::enabled(&subscriber["enabled"])),
        (t("Home country"), show::text(&subscriber["home_country"])),
        (t("Language"), show::text(&subscriber["locale"])),
        (
            t("Rate deck"),
            subscriber["deck_id"]
                .as_str()
                .map_or_else(|| html! { (t("The default deck")) }, |deck| html! { a href={ "/admin/decks/" (deck) } { (deck) } }),
        ),
        (t("Access number they prefer"), show::text(&subscriber["access_wish"])),
        (t("Number hidden by the carrier"), show::text(&subscriber["withholds_number"])),
        (t("Since"), show::time(&subscriber["created_at"])),
        (t("Id"), show::id(&subscriber["id"])),
    ])
}

fn limits(subscriber: &Value) -> Markup {
    let or_usual = |value: &Value, shown: Markup| {
        if value.is_null() {
            html! { span.quiet { (t("as for everybody")) } }
        } else {
            shown
        }
    };
    let row = |name: &str, shown: fn(&Value) -> Markup| or_usual(&subscriber[name], shown(&subscriber[name]));
    show::facts([
        (t("Calls at once"), row("max_calls", show::text)),
        (t("Calls an hour"), row("max_calls_hour", show::text)),
        (t("Longest call"), row("longest_call_secs", |secs| html! { (show::duration(secs.as_u64().unwrap_or_default())) })),
        (t("Most to spend a day"), row("spend_cap", show::money)),
        (t("Highest price a minute"), row("max_price", show::money)),
    ])
}

/// A button that takes one thing of a list away.
fn take_away(desk: &Desk, action: String, name: &str, value: &str, button: &str, question: &str) -> Markup {
    Form::new(desk, action, button).field(Field::hidden(name, value)).confirm(question).danger().inline().show()
}

fn numbers_card(desk: &Desk, id: &str, numbers: &Value, change: bool, again: Option<&Again<'_>>) -> Markup {
    let rows = numbers["items"].as_array().into_iter().flatten().map(|number| {
        let digits = number["number"].as_str().unwrap_or_default();
        let remove = || {
            take_away(
                desk,
                format!("/admin/subscribers/{id}/numbers/remove"),
                "number",
                digits,
                t("Remove"),
                t("Remove this number? Calls from it will no longer be theirs."),
            )
        };
        // Times of one form sort as they pass.
        let cooling = number["usable_from"].as_str() > Some(desk.house.state.clock.timestamp().to_string().as_str());
        let since = html! {
            (show::day(&number["verified_at"]))
            @if cooling { " " (show::badge(t("may not call before"), "warn")) " " (show::time(&number["usable_from"])) }
        };
        vec![html! { (digits) }, since, html! { @if change { (remove()) } }]
    });
    let table = Table::new(t("Verified numbers"))
        .column(t("Number"))
        .column(t("Verified"))
        .column(t("Action"))
        .empty(t("No number yet. Their calls cannot be recognised by number."))
        .rows(rows)
        .show();
    let form = || {
        Form::new(desk, format!("/admin/subscribers/{id}/numbers"), t("Add as verified"))
            .again_as("numbers", again)
            .field(Field::input("tel", "number", t("Number")).required().hint(t("With its +. You vouch that it is theirs.")))
            .show()
    };
    html! { (table) @if change { hr; (form()) } }
}

fn identities_card(desk: &Desk, id: &str, subscriber: &Value, change: bool, again: Option<&Again<'_>>) -> Markup {
    let rows = subscriber["identities"].as_array().into_iter().flatten().map(|identity| {
        let name = identity.as_str().unwrap_or_default();
        let remove = || {
            take_away(
                desk,
                format!("/admin/subscribers/{id}/identities/remove"),
                "identity",
                name,
                t("Remove"),
                t("Remove this identity? A phone that signs in by it will be turned away."),
            )
        };
        vec![html! { code { (name) } }, html! { @if change { (remove()) } }]
    });
    let table = Table::new(t("Identities"))
        .column(t("Identity"))
        .column(t("Action"))
        .empty(t("No identity yet. A softphone cannot say who it is."))
        .rows(rows)
        .show();
    let form = || {
        Form::new(desk, format!("/admin/subscribers/{id}/identities"), t("Add"))
            .again_as("identities", again)
            .field(
                Field::text("identity", t("Identity"))
                    .required()
                    .api("identities")
                    .hint(t("User name, or user@domain, as the softphone sends it.")),
            )
            .show()
    };
    html! { (table) @if change { hr; (form()) } }
}

/// The kinds of secrets in words.
fn kind(code: &str) -> &'static str {
    match code {
        "token" => t("Token"),
        "password" => t("Password"),
        "app_secret" => t("Secret for signed requests"),
        "digest" => t("HTTP Digest"),
        _ => t("Other"),
    }
}

fn credentials_card(desk: &Desk, id: &str, credentials: &Value, change: bool, again: Option<&Again<'_>>) -> Markup {
    let rows = credentials["items"].as_array().into_iter().flatten().map(|credential| {
        let (id_of, live) = (credential["id"].as_str().unwrap_or_default(), credential["revoked_at"].is_null());
        let revoke = || {
            take_away(
                desk,
                format!("/admin/subscribers/{id}/credentials/revoke"),
                "credential",
                id_of,
                t("Revoke"),
                t("Revoke this secret? The phone that uses it will be turned away at once."),
            )
        };
        vec![
            html! { (kind(credential["kind"].as_str().unwrap_or_default())) },
            show::text(&credential["device"]),
            if live { show::badge(t("valid"), "good") } else { show::badge(t("revoked"), "plain") },
            show::time(&credential["created_at"]),
            show::time(&credential["last_used_at"]),
            html! { @if change && live { (revoke()) } },
        ]
    });
    let table = Table::new(t("Secrets of phones"))
        .column(t("Kind"))
        .column(t("Device"))
        .column(t("State"))
        .column(t("Made"))
        .column(t("Last used"))
        .column(t("Action"))
        .empty(t("No secret yet. No phone can ask for a call."))
        .rows(rows)
        .show();
    let kinds = ["token", "password", "app_secret", "digest"].map(|code| (code.to_owned(), kind(code).to_owned()));
    let form = || {
        Form::new(desk, format!("/admin/subscribers/{id}/credentials"), t("Make a secret"))
            .wide()
            .again_as("credentials", again)
            .field(Field::choice("kind", t("Kind"), kinds).value("token").hint(t("A token suits most phones.")))
            .field(Field::text("device", t("Device")).hint(t("Empty: any phone may use it. Else the installation id it is bound to.")))
            .field(Field::text("user", t("User name")).hint(t("For HTTP Digest only.")))
            .field(Field::text("realm", t("Realm")).hint(t("For HTTP Digest only.")))
            .show()
    };
    html! { (table) @if change { hr; (form()) } }
}

/// The address phones ask at: the main tenant's plainly, another's below its own name.
async fn door(desk: &Desk) -> String {
    let path = match desk.tenant().await {
        Some(tenant) if tenant.id != TenantId::MAIN => format!("/t/{}/callthrough", tenant.slug),
        _ => "/callthrough".to_owned(),
    };
    format!("{}{path}", desk.origin())
}

fn new_secret(door: &str, subscriber: &Value, made: &Value) -> Markup {
    let secret = made["secret"].as_str().unwrap_or_default();
    html! {
        div.card {
            h2 { (t("The new secret")) }
            (show::secret(kind(made["kind"].as_str().unwrap_or_default()), secret))
            @if made["kind"] == "token" { (provisioning(door, subscriber, Some(secret))) }
        }
    }
}

/// What to put into a softphone's account.
fn provisioning(door: &str, subscriber: &Value, secret: Option<&str>) -> Markup {
    let identity = subscriber["identities"][0].as_str().unwrap_or("IDENTITY");
    let token = secret.unwrap_or("TOKEN");
    let data = "u=%account[username]%&amp;p=%account[x-ct-token]%&amp;to=%targetNumber%&amp;dev=%installid%";
    let account = format!(
        "<username>{identity}</username>\n<cth_ws_url>{door}</cth_ws_url>\n<cth_ws_postData>{data}</cth_ws_postData>\n<x-ct-token>{token}</x-ct-token>"
    );
    let sample = format!("curl -fsS '{door}?u={identity}&p={token}&to=%2B15551231234'");
    html! {
        p { (t("Put these nodes into the account of the softphone:")) }
        pre { code data-copy { (account) } }
        p { (t("What the phone will send, to try by hand:")) }
        pre { code data-copy { (sample) } }
        @if secret.is_none() { p.hint { (t("In the place of TOKEN stands the token. Make a new one above if it is lost; it cannot be shown again.")) } }
    }
}

/// Calls that are up.
fn live_table(live: &Value) -> Markup {
    let rows = live["items"].as_array().into_iter().flatten().map(|call| {
        let id = call["id"].as_str().unwrap_or_default();
        vec![
            html! { a href={ "/admin/cdrs/" (id) } { (show::time(&call["began_at"])) } },
            show::text(&call["caller"]),
            show::text(&call["destination"]),
            super::calls::state(call["state"].as_str().unwrap_or_default()),
        ]
    });
    Table::new(t("Live calls"))
        .column(t("Since"))
        .column(t("From"))
        .column(t("To"))
        .column(t("State"))
        .empty(t("No call is up."))
        .rows(rows)
        .show()
}

/// What is set aside for them.
pub(super) fn holds_table(holds: &Value) -> Markup {
    let rows = holds["items"].as_array().into_iter().flatten().map(|hold| {
        let call = hold["call_id"].as_str().unwrap_or_default();
        vec![
            html! { a href={ "/admin/cdrs/" (call) } { (show::time(&hold["created_at"])) } },
            show::money(&hold["amount"]),
            html! { (show::duration(hold["funded_secs"].as_u64().unwrap_or_default())) },
        ]
    });
    Table::new(t("Open holds"))
        .column(t("Since"))
        .figures(t("Held"))
        .figures(t("For talk of"))
        .empty(t("Nothing is set aside."))
        .rows(rows)
        .show()
}

/// Calls that are over.
fn records_table(records: &Value) -> Markup {
    let rows = records["items"].as_array().into_iter().flatten().map(|record| {
        let id = record["call_id"].as_str().unwrap_or_default();
        vec![
            html! { a href={ "/admin/cdrs/" (id) } { (show::time(&record["began_at"])) } },
            show::text(&record["caller"]),
            html! { @if record["destination"].is_null() { (show::text(&record["dialled"])) } @else { (show::text(&record["destination"])) } },
            super::records::cause(record["cause"].as_str().unwrap_or_default()),
            html! { (show::duration(record["billed_secs"].as_u64().unwrap_or_default())) },
            show::money(&record["charge"]),
        ]
    });
    Table::new(t("Latest calls"))
        .column(t("Began"))
        .column(t("From"))
        .column(t("To"))
        .column(t("Ended for"))
        .figures(t("Billed"))
        .figures(t("Charge"))
        .empty(t("No call yet."))
        .rows(rows)
        .show()
}

fn remove_form(desk: &Desk, id: &str) -> Markup {
    Form::new(desk, format!("/admin/subscribers/{id}/remove"), t("Remove the subscriber"))
        .confirm(t("Remove this subscriber for good? Their account and their call records stay."))
        .danger()
        .inline()
        .show()
}

/// What a small form of the page did: back to the page with a word, or with the form as it was.
async fn back(
    desk: &Desk,
    id: &str,
    form: (&'static str, &Submitted),
    did: Result<Value, Trouble>,
    said: &str,
) -> Result<Response, Trouble> {
    match did {
        Ok(_) => Ok(done(&format!("/admin/subscribers/{id}"), said)),
        Err(trouble) => page(desk, id, Some(&Again { form: form.0, given: form.1, trouble: &trouble }), None).await,
    }
}

async fn add_number(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    let did =
        desk.send(Method::POST, &format!("/subscribers/{}/numbers", escaped(&id)), &json!({ "number": form.text("number") }), None).await;
    back(&desk, &id, ("numbers", &form), did, t("The number is added.")).await
}

async fn remove_number(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    let address = format!("/subscribers/{}/numbers/{}", escaped(&id), escaped(form.text("number")));
    let did = desk.send(Method::DELETE, &address, &Value::Null, None).await;
    back(&desk, &id, ("", &form), did, t("The number is removed.")).await
}

async fn add_identity(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    let did = desk
        .send(Method::POST, &format!("/subscribers/{}/identities", escaped(&id)), &json!({ "identity": form.text("identity") }), None)
        .await;
    back(&desk, &id, ("identities", &form), did, t("The identity is added.")).await
}

async fn remove_identity(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    let address = format!("/subscribers/{}/identities/{}", escaped(&id), escaped(form.text("identity")));
    let did = desk.send(Method::DELETE, &address, &Value::Null, None).await;
    back(&desk, &id, ("", &form), did, t("The identity is removed.")).await
}

async fn add_credential(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    let mut wanted = json!({ "kind": form.text("kind") });
    for name in ["device", "user", "realm"] {
        if let Some(text) = form.get(name) {
            wanted[name] = json!(text);
        }
    }
    match desk.send(Method::POST, &format!("/subscribers/{}/credentials", escaped(&id)), &wanted, None).await {
        // Shown in the answer itself: a secret does not go through a redirect.
        Ok(made) => page(&desk, &id, None, Some(&made)).await,
        Err(trouble) => page(&desk, &id, Some(&Again { form: "credentials", given: &form, trouble: &trouble }), None).await,
    }
}

async fn revoke_credential(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    let address = format!("/subscribers/{}/credentials/{}", escaped(&id), escaped(form.text("credential")));
    let did = desk.send(Method::DELETE, &address, &Value::Null, None).await;
    back(&desk, &id, ("", &form), did, t("The secret is revoked.")).await
}

async fn remove(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    match desk.send(Method::DELETE, &format!("/subscribers/{}", escaped(&id)), &Value::Null, None).await {
        Ok(_) => Ok(done("/admin/subscribers", t("The subscriber is removed."))),
        Err(trouble) => page(&desk, &id, Some(&Again { form: "", given: &form, trouble: &trouble }), None).await,
    }
}

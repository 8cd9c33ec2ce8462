//! The carriers: how they do, and all of their settings.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::desk::{Desk, escaped, query};
use super::form::{Field, Form, Submitted};
use super::layout::{Page, Section};
use super::session::done;
use super::table::Table;
use super::text::t;
use super::{House, Trouble, show};
use crate::people::Scope;

pub(super) fn router() -> Router<House> {
    Router::new()
        .route("/admin/trunks", get(list).post(create))
        .route("/admin/trunks/new", get(new))
        .route("/admin/trunks/{trunk_id}", get(one).post(update))
        .route("/admin/trunks/{trunk_id}/remove", post(remove))
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

async fn list(desk: Desk) -> Result<Response, Trouble> {
    let found = desk.get("/trunks?limit=500").await?;
    let rows = found["items"].as_array().into_iter().flatten().map(|trunk| {
        let state = match (trunk["enabled"].as_bool(), trunk["failing"].as_bool()) {
            (Some(true), Some(true)) => show::badge(t("failing"), "bad"),
            (enabled, _) => show::enabled(&json!(enabled)),
        };
        let addresses = trunk["addresses"].as_array().into_iter().flatten().map(word).collect::<Vec<_>>().join(", ");
        vec![
            html! { a href={ "/admin/trunks/" (word(&trunk["id"])) } { (word(&trunk["name"])) } },
            state,
            html! { (trunk["calls"]) },
            html! { (trunk["priority"]) },
            html! { (addresses) },
            show::text(&trunk["target"]),
        ]
    });
    let table = Table::new(t("Trunks")).column(t("Name")).column(t("State")).figures(t("Calls now")).figures(t("Priority"));
    let table = table.column(t("Calls come from")).column(t("Calls go to")).rows(rows.collect::<Vec<_>>());
    let actions = html! { @if desk.may(Scope::Trunks) { a.button.primary href="/admin/trunks/new" { (t("New trunk")) } } };
    let page = Page::new(&desk, Section::Trunks, t("Trunks")).actions(actions);
    Ok(page.lead(t("The carriers that bring calls and take them onward.")).show(table.empty(t("No carrier yet.")).show()))
}

/// The settings a form has, as the API names them, by what they are.
const LISTS: [&str; 6] = ["addresses", "more_targets", "certificate_names", "withheld", "destinations", "dialled"];
const RULES: [&str; 2] = ["rules_in", "rules_out"];
const WORDS: [&str; 5] = ["transport", "bare", "format_out", "attestation", "identity"];
const MAYBE: [&str; 5] = ["target", "outbound_proxy", "country", "cost_deck", "login"];
const FIGURES: [&str; 2] = ["channels", "calls_per_second"];
const SET: [&str; 2] = ["priority", "options_secs"];
const SWITCHES: [&str; 5] = ["enabled", "trusted", "diversion", "login_md5", "register"];

fn options<const N: usize>(options: [(&str, &str); N]) -> Vec<(String, String)> {
    options.map(|(value, words)| (value.to_owned(), words.to_owned())).to_vec()
}

/// What is written in the form for a list of the API.
fn lines(trunk: &Value, name: &str) -> String {
    trunk[name].as_array().into_iter().flatten().map(word).collect::<Vec<_>>().join("\n")
}

/// Rules as `00 > +`, one a line.
fn rules(trunk: &Value, name: &str) -> String {
    let rules = trunk[name].as_array().into_iter().flatten();
    rules.map(|rule| format!("{} > {}", word(&rule["strip"]), word(&rule["add"]))).collect::<Vec<_>>().join("\n")
}

fn fields<'f>(form: Form<'f>, trunk: &Value, decks: Vec<(String, String)>) -> Form<'f> {
    let number = |name: &str| trunk[name].as_i64().map_or_else(String::new, |number| number.to_string());
    let form = form
        .field(Field::text("name", t("Name")).value(word(&trunk["name"])).required().hint(t("Call records show it.")))
        .field(
            Field::lines("addresses", t("Calls come from"), 3)
                .hint(t("Addresses or blocks, one a line; nobody else is let in over this trunk"))
                .value(lines(trunk, "addresses")),
        )
        .field(
            Field::text("target", t("Calls go to"))
                .hint(t("Host and port, such as 192.0.2.20:5060; empty if it takes none"))
                .value(word(&trunk["target"])),
        )
        .field(
            Field::lines("more_targets", t("Further addresses"), 2)
                .hint(t("Of the same carrier, one a line; tried in this order when the first does not answer"))
                .value(lines(trunk, "more_targets")),
        )
        .field(
            Field::text("outbound_proxy", t("Outbound proxy"))
                .hint(t("Host and port that calls are sent through; empty for none"))
                .value(word(&trunk["outbound_proxy"])),
        )
        .field(
            Field::choice("transport", t("Transport"), options([("auto", t("Automatic")), ("udp", "UDP"), ("tcp", "TCP"), ("tls", "TLS")]))
                .hint(t("Automatic: as its DNS says, else UDP; what is too long for a datagram by TCP"))
                .value(trunk["transport"].as_str().unwrap_or("auto")),
        )
        .field(
            Field::lines("certificate_names", t("Certificate names"), 2)
                .hint(t("Names of a TLS client certificate that identify it beside its addresses, one a line"))
                .value(lines(trunk, "certificate_names")),
        )
        .field(
            Field::text("login", t("Our name there"))
                .hint(t("If the carrier asks for a password; empty if it does not"))
                .value(word(&trunk["login"])),
        )
        .field(Field::input("password", "password", t("Password")).autocomplete("new-password").hint(if trunk["has_password"] == true {
            t("One is kept; empty leaves it")
        } else {
            t("Kept sealed and never shown")
        }))
        .field(Field::check("login_md5", t("MD5 may answer, for old carriers")).checked(trunk["login_md5"] == true))
        .field(Field::check("register", t("The carrier wants us to register")).checked(trunk["register"] == true))
        .field(
            Field::input("number", "options_secs", t("Asked whether it lives"))
                .hint(t("By OPTIONS, every so many seconds; 0 for never"))
                .value(trunk["options_secs"].as_i64().unwrap_or(30).to_string()),
        )
        .field(
            Field::text("country", t("Country"))
                .hint(t("Whose national form its numbers have, such as US; empty if they are always international"))
                .value(word(&trunk["country"])),
        )
        .field(Field::input("number", "priority", t("Priority")).hint(t("Lower is tried first")).value(number("priority")))
        .field(Field::input("number", "channels", t("Calls at once")).hint(t("No bound if empty")).value(number("channels")))
        .field(
            Field::input("number", "calls_per_second", t("New calls a second"))
                .hint(t("No bound if empty"))
                .value(number("calls_per_second")),
        )
        .field(
            Field::choice("cost_deck", t("What it takes"), decks)
                .hint(t("Its carrier's deck; calls that would cost more than they bring are then refused"))
                .value(word(&trunk["cost_deck"])),
        )
        .field(Field::check("enabled", t("Enabled")).checked(trunk["enabled"].as_bool().unwrap_or(true)));
    caller(digits(form.with(html! { h2 { (t("Its numbers")) } }), trunk).with(html! { h2 { (t("Who calls")) } }), trunk)
}

fn registration(state: &str) -> Markup {
    match state {
        "registered" => show::badge(t("registered"), "good"),
        "failed" => show::badge(t("not registered"), "bad"),
        _ => html! { (t("being tried")) },
    }
}

/// How it writes numbers.
fn digits<'f>(form: Form<'f>, trunk: &Value) -> Form<'f> {
    let rule = t("One a line: beginning > what stands there instead, such as 00 > +");
    form.field(
        Field::choice(
            "bare",
            t("Digits without plus or prefix are"),
            options([
                ("auto", t("what fits the country")),
                ("international", t("international numbers")),
                ("national", t("national numbers")),
            ]),
        )
        .value(Some(word(&trunk["bare"])).filter(|bare| !bare.is_empty()).unwrap_or("auto")),
    )
    .field(
        Field::choice(
            "format_out",
            t("It wants numbers as"),
            options([
                ("plus", "+420601123456"),
                ("zero_zero", "00420601123456"),
                ("zero_one_one", "011420601123456"),
                ("bare", "420601123456"),
                ("national", t("dialled inside the country")),
            ]),
        )
        .value(Some(word(&trunk["format_out"])).filter(|format| !format.is_empty()).unwrap_or("plus")),
    )
    .field(Field::lines("rules_in", t("Rules for numbers that arrive"), 2).hint(rule).value(rules(trunk, "rules_in")))
    .field(Field::lines("rules_out", t("Rules for numbers that leave"), 2).hint(rule).value(rules(trunk, "rules_out")))
    .field(
        Field::lines("destinations", t("Takes calls to"), 2)
            .hint(t("Prefixes without plus, one a line; empty: to everywhere"))
            .value(lines(trunk, "destinations")),
    )
    .field(
        Field::lines("dialled", t("Brings calls for"), 2)
            .hint(t("Prefixes of access numbers without plus, one a line; empty: for all"))
            .value(lines(trunk, "dialled")),
    )
    .field(Field::check("diversion", t("A Diversion header may tell the number that was dialled")).checked(trunk["diversion"] == true))
}

/// How far its word on the caller is believed.
fn caller<'f>(form: Form<'f>, trunk: &Value) -> Form<'f> {
    let chosen = trunk["identity"].as_array().into_iter().flatten().map(word).collect::<Vec<_>>().join(" ");
    let chosen = if chosen.is_empty() { "p_asserted_identity from".to_owned() } else { chosen };
    let name = |header: &str| match header {
        "p_asserted_identity" => "P-Asserted-Identity".to_owned(),
        "remote_party_id" => "Remote-Party-ID".to_owned(),
        "from" => "From".to_owned(),
        other => other.to_owned(),
    };
    let mut ways: Vec<String> =
        ["p_asserted_identity from", "p_asserted_identity", "p_asserted_identity remote_party_id from", "remote_party_id from", "from"]
            .map(str::to_owned)
            .to_vec();
    if !ways.contains(&chosen) {
        ways.push(chosen.clone());
    }
    let ways = ways.into_iter().map(|way| {
        let words = way.split(' ').map(name).collect::<Vec<_>>().join(t(", else "));
        (way, words)
    });
    form.field(Field::choice("identity", t("The caller's number is read from"), ways).value(chosen))
        .field(
            Field::check("trusted", t("Its P-Asserted-Identity and verstat are believed"))
                .checked(trunk["trusted"].as_bool().unwrap_or(true)),
        )
        .field(
            Field::choice(
                "attestation",
                t("The carrier must vouch for the caller's number"),
                options([
                    ("ignore", t("not at all")),
                    ("refuse_failed", t("unless it says that it failed, call it good")),
                    ("require_b", t("in full or in part (A or B)")),
                    ("require_a", t("in full (A)")),
                ]),
            )
            .value(Some(word(&trunk["attestation"])).filter(|policy| !policy.is_empty()).unwrap_or("ignore")),
        )
        .field(
            Field::lines("withheld", t("Also withheld"), 2)
                .hint(t("User parts that mean a withheld number, one a line, beside the usual ones"))
                .value(lines(trunk, "withheld")),
        )
}

/// Everything a form says of a trunk.
fn body(form: &Submitted) -> Value {
    let mut body = json!({ "name": form.text("name") });
    for name in LISTS {
        body[name] = json!(form.all(name));
    }
    for name in RULES {
        let rule = |line: &str| {
            let (strip, add) = line.split_once('>').unwrap_or((line, ""));
            json!({ "strip": strip.trim(), "add": add.trim() })
        };
        body[name] = form.all(name).into_iter().map(rule).collect();
    }
    for name in WORDS {
        if let Some(said) = form.get(name) {
            body[name] = if name == "identity" { json!(said.split_whitespace().collect::<Vec<_>>()) } else { json!(said) };
        }
    }
    for name in MAYBE {
        body[name] = form.json(name);
    }
    for name in FIGURES {
        body[name] = form.number(name);
    }
    for name in SWITCHES {
        body[name] = json!(form.checked(name));
    }
    if !form.text("password").is_empty() {
        body["password"] = json!(form.text("password"));
    }
    for name in SET {
        if form.get(name).is_some() {
            body[name] = form.number(name);
        }
    }
    body
}

/// The carriers' decks to choose from.
async fn decks(desk: &Desk) -> Vec<(String, String)> {
    let found = desk.get("/decks?kind=cost&limit=500").await.unwrap_or_default();
    let decks = found["items"].as_array().into_iter().flatten();
    let named = decks.map(|deck| (word(&deck["id"]).to_owned(), format!("{} ({})", word(&deck["name"]), word(&deck["currency"]))));
    std::iter::once((String::new(), t("nobody knows").to_owned())).chain(named).collect()
}

async fn new(desk: Desk) -> Response {
    show_new(&desk, None, None).await
}

async fn show_new(desk: &Desk, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Response {
    let form = fields(Form::new(desk, "/admin/trunks", t("Make the trunk")).again(given, trouble), &Value::Null, decks(desk).await);
    let page = Page::new(desk, Section::Trunks, t("New trunk")).under("/admin/trunks", t("Trunks"));
    page.show_as(trouble.map_or(StatusCode::OK, |trouble| trouble.status), html! { div.card { (form.show()) } })
}

async fn create(desk: Desk, form: Submitted) -> Response {
    let mut body = body(&form);
    if let Value::Object(fields) = &mut body {
        fields.retain(|_, value| !value.is_null());
    }
    match desk.send(Method::POST, "/trunks", &body, None).await {
        Ok(made) => done(&format!("/admin/trunks/{}", word(&made["id"])), t("The trunk is made.")),
        Err(trouble) => show_new(&desk, Some(&form), Some(&trouble)).await,
    }
}

async fn one(desk: Desk, Path(id): Path<String>, Query(asked): Query<BTreeMap<String, String>>) -> Result<Response, Trouble> {
    let trunk = desk.get(&format!("/trunks/{}", escaped(&id))).await?;
    Ok(show_one(&desk, &trunk, asked.get("typed").map(String::as_str), None, None).await)
}

async fn show_one(desk: &Desk, trunk: &Value, typed: Option<&str>, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Response {
    let address = format!("/admin/trunks/{}", word(&trunk["id"]));
    let form = fields(Form::new(desk, address.clone(), t("Save")).again(given, trouble), trunk, decks(desk).await);
    let tried = tried(desk, trunk, typed).await;
    let page = Page::new(desk, Section::Trunks, word(&trunk["name"])).under("/admin/trunks", t("Trunks"));
    let health = if trunk["failing"] == true { show::badge(t("failing"), "bad") } else { show::badge(t("fine"), "good") };
    page.show_as(
        trouble.map_or(StatusCode::OK, |trouble| trouble.status),
        html! {
            div.figures {
                (show::figure(t("Calls now"), html! { (trunk["calls"]) }, html! {}))
                (show::figure(t("Health"), health, html! { @if trunk["failing"] == true { (t("tried after the others for a while")) } }))
                @if let Some(state) = trunk["registration"]["state"].as_str() {
                    (show::figure(t("Registration"), registration(state), html! { (word(&trunk["registration"]["reason"])) }))
                }
                @if let Some(resolved) = trunk["resolved"].as_str() { (show::figure(t("Its address"), html! { (resolved) }, html! {})) }
            }
            (addresses(trunk))
            div.grid.wide {
                (show::card(t("Settings"), form.show()))
                div.stack {
                    (tried)
                    (show::card(t("Its calls"), html! {
                        p { a href={ "/admin/cdrs" (query([("trunk_in", word(&trunk["name"]))])) } { (t("Calls it brought")) } " · "
                            a href={ "/admin/cdrs" (query([("trunk_out", word(&trunk["name"]))])) } { (t("Calls it took onward")) } }
                    }))
                    (show::card(t("Take it away"), html! {
                        p { (t("No call is taken from it and none is sent to it any more. Calls that are up go on; records keep its name.")) }
                        (Form::new(desk, format!("{address}/remove"), t("Delete the trunk")).danger().confirm(t("Delete this trunk for good?")).show())
                    }))
                }
            }
        },
    )
}

/// How each of its addresses does; nothing if it has none.
fn addresses(trunk: &Value) -> Markup {
    let known = trunk["health"].as_array().map(Vec::as_slice).unwrap_or_default();
    let row = |address: &Value| {
        let state = match word(&address["state"]) {
            "alive" => show::badge(t("answers"), "good"),
            "lost" => show::badge(t("lost"), "bad"),
            "unknown" => html! { (t("being tried")) },
            _ => html! { (t("not asked")) },
        };
        let calls = if address["last"] == true { t("try the others first") } else { t("go there") };
        let transport = word(&address["transport"]).to_uppercase();
        vec![html! { (word(&address["address"])) " " (transport) }, state, show::time(&address["since"]), html! { (calls) }]
    };
    if known.is_empty() {
        return html! {};
    }
    let table = Table::new(t("Addresses")).column(t("Address")).column(t("When asked by OPTIONS")).column(t("Since")).column(t("Calls"));
    html! { (show::card(t("Addresses"), table.rows(known.iter().map(row).collect::<Vec<_>>()).show())) }
}

/// A number tried on its rules: what it means when it arrives, how it is written when it leaves.
async fn tried(desk: &Desk, trunk: &Value, typed: Option<&str>) -> Markup {
    let id = word(&trunk["id"]);
    let typed = typed.map(str::trim).filter(|typed| !typed.is_empty());
    let told = match typed {
        Some(typed) => Some(desk.get(&format!("/trunks/{}/numbers{}", escaped(id), query([("typed", typed)]))).await),
        None => None,
    };
    show::card(
        t("Try a number"),
        html! {
            form.form method="get" action={ "/admin/trunks/" (id) } {
                div.field {
                    label for="typed" { (t("Number as it stands in a call")) }
                    input #typed name="typed" value=[typed] autocomplete="off" required;
                }
                div.buttons { button type="submit" { (t("Try it")) } }
            }
            @match &told {
                Some(Ok(told)) => (show::facts([
                    (t("Arriving it means"), told["read"].as_str().map_or_else(|| html! { (t("no number: the call is refused")) }, |read| html! { strong { (read) } })),
                    (t("Leaving it is written"), show::text(&told["written"])),
                ])),
                Some(Err(trouble)) => div.trouble role="alert" { p { (trouble.message) } },
                None => {},
            }
        },
    )
}

async fn update(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    let path = format!("/trunks/{}", escaped(&id));
    let trunk = desk.get(&path).await?;
    match desk.send(Method::PATCH, &path, &body(&form), None).await {
        Ok(_) => Ok(done(&format!("/admin/trunks/{}", escaped(&id)), t("The trunk is saved."))),
        Err(trouble) => Ok(show_one(&desk, &trunk, None, Some(&form), Some(&trouble)).await),
    }
}

async fn remove(desk: Desk, Path(id): Path<String>, _sent: Submitted) -> Result<Response, Trouble> {
    desk.send(Method::DELETE, &format!("/trunks/{}", escaped(&id)), &Value::Null, None).await?;
    Ok(done("/admin/trunks", t("The trunk is deleted.")))
}

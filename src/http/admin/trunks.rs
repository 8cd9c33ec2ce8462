//! The carriers: how they do, and the settings most of them need. The rest of the settings stays as the API set it.

use axum::Router;
use axum::extract::Path;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::get;
use maud::html;
use serde_json::{Value, json};

use super::desk::{Desk, escaped};
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

fn transports() -> Vec<(String, String)> {
    [("auto", t("Automatic")), ("udp", t("UDP")), ("tcp", t("TCP")), ("tls", t("TLS"))]
        .map(|(value, shown)| (value.to_owned(), shown.to_string()))
        .to_vec()
}

fn fields<'f>(form: Form<'f>, trunk: &Value) -> Form<'f> {
    let addresses = trunk["addresses"].as_array().into_iter().flatten().map(word).collect::<Vec<_>>().join("\n");
    let number = |name: &str| trunk[name].as_i64().map_or_else(String::new, |number| number.to_string());
    form.field(Field::text("name", t("Name")).value(word(&trunk["name"])).required())
        .field(
            Field::lines("addresses", t("Calls come from"), 3)
                .hint(t("Addresses or blocks, one a line; nobody else is let in over this trunk"))
                .value(addresses),
        )
        .field(
            Field::text("target", t("Calls go to"))
                .hint(t("Host and port, such as 192.0.2.20:5060; empty if it takes none"))
                .value(word(&trunk["target"])),
        )
        .field(
            Field::lines("more_targets", t("Further addresses"), 2)
                .hint(t("Of the same carrier, one a line; tried in this order when the first does not answer"))
                .value(trunk["more_targets"].as_array().into_iter().flatten().map(word).collect::<Vec<_>>().join("\n")),
        )
        .field(
            Field::text("outbound_proxy", t("Outbound proxy"))
                .hint(t("Host and port that calls are sent through; empty for none"))
                .value(word(&trunk["outbound_proxy"])),
        )
        .field(
            Field::choice("transport", t("Transport"), transports())
                .hint(t("Automatic: as its DNS says, else UDP; what is too long for a datagram by TCP"))
                .value(trunk["transport"].as_str().unwrap_or("auto")),
        )
        .field(
            Field::lines("certificate_names", t("Certificate names"), 2)
                .hint(t("Names of a TLS client certificate that identify it beside its addresses, one a line"))
                .value(trunk["certificate_names"].as_array().into_iter().flatten().map(word).collect::<Vec<_>>().join("\n")),
        )
        .field(
            Field::text("country", t("Country"))
                .hint(t("Whose national form its numbers have, such as US; empty if they are always international"))
                .value(word(&trunk["country"])),
        )
        .field(Field::input("number", "priority", t("Priority")).hint(t("Lower is tried first")).value(number("priority")))
        .field(Field::input("number", "channels", t("Calls at once")).hint(t("No bound if empty")).value(number("channels")))
        .field(Field::check("enabled", t("Enabled")).checked(trunk["enabled"].as_bool().unwrap_or(true)))
}

fn body(form: &Submitted) -> Value {
    let mut body = json!({ "name": form.text("name"), "addresses": form.all("addresses"), "enabled": form.checked("enabled") });
    for name in ["more_targets", "certificate_names"] {
        body[name] = json!(form.all(name));
    }
    if form.get("transport").is_some() {
        body["transport"] = json!(form.text("transport"));
    }
    for name in ["target", "outbound_proxy", "country"] {
        body[name] = form.json(name);
    }
    body["channels"] = form.number("channels");
    if form.get("priority").is_some() {
        body["priority"] = form.number("priority");
    }
    body
}

async fn new(desk: Desk) -> Response {
    show_new(&desk, None, None)
}

fn show_new(desk: &Desk, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Response {
    let form = fields(Form::new(desk, "/admin/trunks", t("Make the trunk")).again(given, trouble), &Value::Null);
    let page = Page::new(desk, Section::Trunks, t("New trunk")).under("/admin/trunks", t("Trunks"));
    page.show_as(trouble.map_or(StatusCode::OK, |trouble| trouble.status), form.show())
}

async fn create(desk: Desk, form: Submitted) -> Response {
    let mut body = body(&form);
    if let Value::Object(fields) = &mut body {
        fields.retain(|_, value| !value.is_null());
    }
    match desk.send(Method::POST, "/trunks", &body, None).await {
        Ok(made) => done(&format!("/admin/trunks/{}", word(&made["id"])), t("The trunk is made.")),
        Err(trouble) => show_new(&desk, Some(&form), Some(&trouble)),
    }
}

async fn one(desk: Desk, Path(id): Path<String>) -> Result<Response, Trouble> {
    let trunk = desk.get(&format!("/trunks/{}", escaped(&id))).await?;
    Ok(show_one(&desk, &trunk, None, None))
}

fn show_one(desk: &Desk, trunk: &Value, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Response {
    let address = format!("/admin/trunks/{}", word(&trunk["id"]));
    let form = fields(Form::new(desk, address, t("Save")).again(given, trouble), trunk);
    let page = Page::new(desk, Section::Trunks, word(&trunk["name"])).under("/admin/trunks", t("Trunks"));
    page.show_as(
        trouble.map_or(StatusCode::OK, |trouble| trouble.status),
        html! {
            div.figures {
                (show::figure(t("Calls now"), html! { (trunk["calls"]) }, html! {}))
                (show::figure(t("Health"), if trunk["failing"] == true { show::badge(t("failing"), "bad") } else { show::badge(t("fine"), "good") }, html! {}))
            }
            (form.show())
        },
    )
}

async fn update(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    let path = format!("/trunks/{}", escaped(&id));
    let trunk = desk.get(&path).await?;
    match desk.send(Method::PATCH, &path, &body(&form), None).await {
        Ok(_) => Ok(done(&format!("/admin/trunks/{}", escaped(&id)), t("The trunk is saved."))),
        Err(trouble) => Ok(show_one(&desk, &trunk, Some(&form), Some(&trouble))),
    }
}

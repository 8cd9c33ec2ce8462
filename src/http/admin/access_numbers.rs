//! The numbers people dial to reach us: on a map, in a list, and each with its settings.

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
use super::map::{Point, map, middle};
use super::records::names;
use super::session::done;
use super::table::{Table, pages};
use super::text::t;
use super::{House, Trouble, show};
use crate::people::Scope;

const HERE: &str = "/admin/access-numbers";

pub(super) fn router() -> Router<House> {
    Router::new()
        .route(HERE, get(list))
        .route("/admin/access-numbers.csv", get(export))
        .route("/admin/access-numbers/new", get(new).post(create))
        .route("/admin/access-numbers/{number}", get(edit).post(update))
        .route("/admin/access-numbers/{number}/delete", post(remove))
}

/// Only the operator gives numbers out; they come from the operator's carriers.
fn may_add(desk: &Desk) -> bool {
    desk.may(Scope::Numbers) && desk.caller.principal.tenant.is_none()
}

async fn list(desk: Desk, Query(asked): Query<BTreeMap<String, String>>) -> Result<Response, Trouble> {
    let after = asked.get("after").map(String::as_str).unwrap_or_default();
    let found = desk.get(&format!("/access-numbers{}", query([("limit", "500"), ("after", after)]))).await?;
    let numbers = found["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let points: Vec<_> = numbers.iter().filter_map(point).collect();
    let page = Page::new(&desk, Section::AccessNumbers, t("Access numbers")).actions(html! {
        a.button href="/admin/access-numbers.csv" download { (t("Export as CSV")) }
        @if may_add(&desk) { a.button.primary href="/admin/access-numbers/new" { (t("Add a number")) } }
    });
    Ok(page.show(html! {
        @if !points.is_empty() { (show::card(t("Where they are"), map(t("Access numbers on a map of the world; the list below says the same"), &points))) }
        (table(numbers))
        (pages(HERE, &[("after", after)], found["next"].as_str()))
    }))
}

/// Where the number stands: by its coordinates, or in the middle of its country.
fn point(number: &Value) -> Option<Point> {
    let exact = number["coordinates"]["latitude"].as_f64().zip(number["coordinates"]["longitude"].as_f64());
    let digits = number["number"].as_str()?;
    let country = number["country"].as_str()?;
    Some(Point {
        place: exact.or_else(|| middle(country))?,
        name: format!("{digits}, {country}"),
        address: format!("{HERE}/{}", escaped(digits)),
        off: number["enabled"] != true,
    })
}

fn table(numbers: &[Value]) -> Markup {
    let rows = numbers.iter().map(|number| {
        let digits = number["number"].as_str().unwrap_or_default();
        vec![
            html! { a href={ (HERE) "/" (escaped(digits)) } { (digits) } @if number["default"] == true { " " (show::badge(t("default"), "plain")) } },
            show::text(&number["country"]),
            html! { (modes(number).join(", ")) },
            html! { (user_cost(number["user_cost"].as_str().unwrap_or_default())) },
            show::text(&number["trunk"]),
            show::text(&number["capacity"]),
            place(number),
            show::enabled(&number["enabled"]),
        ]
    });
    Table::new(t("Access numbers"))
        .column(t("Number"))
        .column(t("Country"))
        .column(t("Recognised by"))
        .column(t("Costs the caller"))
        .column(t("Trunk"))
        .figures(t("Calls at once"))
        .column(t("Place"))
        .column(t("State"))
        .rows(rows.collect::<Vec<_>>())
        .empty(t("No access number yet. The operator adds the numbers that the carriers gave."))
        .show()
}

fn modes(number: &Value) -> Vec<&str> {
    number["modes"].as_array().into_iter().flatten().filter_map(Value::as_str).map(mode).collect()
}

fn mode(word: &str) -> &str {
    match word {
        "pinless" => t("the caller's number"),
        "code" => t("a one-time code"),
        "pin" => t("a PIN"),
        other => other,
    }
}

fn user_cost(word: &str) -> &str {
    match word {
        "toll_free" => t("nothing"),
        "local" => t("a local call"),
        "mobile" => t("a call to a mobile"),
        other => other,
    }
}

fn place(number: &Value) -> Markup {
    let exact = number["coordinates"]["latitude"].as_f64().zip(number["coordinates"]["longitude"].as_f64());
    let Some((latitude, longitude)) = exact else { return html! { span.quiet { (t("middle of the country")) } } };
    html! { (format!("{latitude:.2}, {longitude:.2}")) }
}

async fn new(desk: Desk) -> Response {
    page(&desk, StatusCode::OK, None, None, None).await
}

async fn create(desk: Desk, sent: Submitted) -> Response {
    let mut body = body(&sent);
    body["number"] = sent.json("number");
    match desk.send(Method::POST, "/access-numbers", &body, None).await {
        Ok(made) => done(HERE, &t("{number} is an access number now.").replace("{number}", made["number"].as_str().unwrap_or_default())),
        Err(trouble) => page(&desk, trouble.status, None, Some(&sent), Some(&trouble)).await,
    }
}

async fn edit(desk: Desk, Path(number): Path<String>) -> Result<Response, Trouble> {
    let found = desk.get(&format!("/access-numbers/{}", escaped(&number))).await?;
    Ok(page(&desk, StatusCode::OK, Some(&found), None, None).await)
}

async fn update(desk: Desk, Path(number): Path<String>, sent: Submitted) -> Result<Response, Trouble> {
    let path = format!("/access-numbers/{}", escaped(&number));
    match desk.send(Method::PATCH, &path, &body(&sent), None).await {
        Ok(_) => Ok(done(HERE, t("The access number is changed."))),
        Err(trouble) => {
            let found = desk.get(&path).await?;
            Ok(page(&desk, trouble.status, Some(&found), Some(&sent), Some(&trouble)).await)
        }
    }
}

async fn remove(desk: Desk, Path(number): Path<String>, _sent: Submitted) -> Result<Response, Trouble> {
    desk.send(Method::DELETE, &format!("/access-numbers/{}", escaped(&number)), &Value::Null, None).await?;
    Ok(done(HERE, t("The access number is gone. Its call records stay.")))
}

async fn export(desk: Desk) -> Result<Response, Trouble> {
    desk.download("/access-numbers?format=csv").await
}

/// The settings as the form has them.
fn body(sent: &Submitted) -> Value {
    let degrees = |name: &str| sent.get(name).and_then(|text| text.replace(',', ".").parse::<f64>().ok());
    let coordinates = match (sent.get("latitude"), sent.get("longitude")) {
        (None, None) => Value::Null,
        _ => json!({ "latitude": degrees("latitude"), "longitude": degrees("longitude") }),
    };
    let mut body = json!({
        "country": sent.text("country").to_uppercase(),
        "enabled": sent.checked("enabled"),
        "default": sent.checked("default"),
        "modes": sent.text("modes").split_whitespace().collect::<Vec<_>>(),
        "user_cost": sent.json("user_cost"),
        "inbound_cost": sent.get("inbound_cost").unwrap_or("0").replace(',', "."),
        "capacity": sent.number("capacity"),
        "trunk": sent.json("trunk"),
        "pauses": sent.number("pauses"),
        "terminator": sent.json("terminator"),
        "pin": sent.json("pin"),
        "coordinates": coordinates,
    });
    if body["pauses"].is_null() {
        body["pauses"] = json!(2);
    }
    body
}

async fn page(desk: &Desk, status: StatusCode, number: Option<&Value>, sent: Option<&Submitted>, trouble: Option<&Trouble>) -> Response {
    let trunks = if desk.may(Scope::Trunks) { names(desk, "/trunks?limit=500").await } else { Vec::new() };
    let digits = number.and_then(|number| number["number"].as_str());
    let title = digits.unwrap_or(t("Add an access number"));
    let page = Page::new(desk, Section::AccessNumbers, title).under(HERE, t("Access numbers"));
    let empty = Value::Null;
    let now = number.unwrap_or(&empty);
    let action = digits.map_or_else(|| format!("{HERE}/new"), |digits| format!("{HERE}/{}", escaped(digits)));
    let mut form = Form::new(desk, action, if digits.is_some() { t("Save") } else { t("Add the number") }).again(sent, trouble);
    if digits.is_none() {
        form =
            form.field(Field::input("tel", "number", t("Number")).hint(t("With plus and country code, such as +420601123000")).required());
    }
    form = fields(form, now, trunks);
    page.show_as(
        status,
        html! {
            (show::card(t("Settings"), form.show()))
            @if let Some(digits) = digits { @if desk.may(Scope::Numbers) {
                (show::card(t("Take it away"), html! {
                    p { (t("New requests are not sent to this number any more. Calls that are up go on.")) }
                    (Form::new(desk, format!("{HERE}/{}/delete", escaped(digits)), t("Delete the number")).danger().confirm(t("Delete this access number?")).show())
                }))
            } }
        },
    )
}

fn fields<'f>(form: Form<'f>, now: &Value, trunks: Vec<String>) -> Form<'f> {
    let text = |name: &str| match &now[name] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    let degrees = |name: &str| now["coordinates"][name].as_f64().map_or_else(String::new, |degrees| degrees.to_string());
    let chosen: Vec<_> = now["modes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let chosen = if chosen.is_empty() { "pinless".to_owned() } else { chosen.join(" ") };
    let mut ways: Vec<String> =
        ["pinless", "pinless code", "pinless pin", "pinless code pin", "code", "code pin", "pin"].map(str::to_owned).to_vec();
    if !ways.contains(&chosen) {
        ways.push(chosen.clone());
    }
    let ways = ways.into_iter().map(|way| {
        let words = way.split(' ').map(mode).collect::<Vec<_>>().join(t(", else "));
        (way, words)
    });
    let costs = ["toll_free", "local", "mobile"].map(|cost| (cost.to_owned(), user_cost(cost).to_owned()));
    let ends = [("", t("nothing")), ("#", "#"), ("*", "*")].map(|(value, words)| (value.to_owned(), words.to_owned()));
    let cost = Some(text("user_cost")).filter(|cost| !cost.is_empty()).unwrap_or_else(|| "local".to_owned());
    form.field(Field::text("country", t("Country")).hint(t("Two letters, such as CZ")).value(text("country")).required())
        .field(Field::check("enabled", t("Given to phones")).checked(now.is_null() || now["enabled"] == true))
        .field(Field::check("default", t("The default: given where no better one is known")).checked(now["default"] == true))
        .field(Field::choice("modes", t("A call is recognised by"), ways).value(chosen))
        .field(Field::choice("user_cost", t("Costs the caller"), costs).value(cost))
        .field(Field::amount("inbound_cost", t("A minute in costs us")).value(text("inbound_cost")))
        .field(Field::input("number", "capacity", t("Calls at once")).hint(t("Empty: no bound")).value(text("capacity")))
        .field(
            Field::text("trunk", t("Its calls come by trunk"))
                .hint(t("The number is passed over while that trunk is off"))
                .value(text("trunk"))
                .suggestions(trunks),
        )
        .with(html! { p.hint { (t("The place decides between numbers of one country, and is where the map shows it.")) } })
        .field(
            Field::amount("latitude", t("Latitude"))
                .api("coordinates")
                .hint(t("Degrees north, such as 50.08; south is negative"))
                .value(degrees("latitude")),
        )
        .field(
            Field::amount("longitude", t("Longitude"))
                .api("coordinates")
                .hint(t("Degrees east, such as 14.43; west is negative"))
                .value(degrees("longitude")),
        )
        .field(Field::input("number", "pauses", t("Pauses before digits")).hint(t("Each is about two seconds")).value(text("pauses")))
        .field(Field::choice("terminator", t("Digits end with"), ends).value(text("terminator")))
        .field(
            Field::text("pin", t("PIN"))
                .hint(t("For recognition by PIN: digits, or a placeholder such as %account[x-cth-pin]%"))
                .value(text("pin")),
        )
}

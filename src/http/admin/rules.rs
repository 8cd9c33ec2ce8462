//! What a tenant's subscribers may call, how much, and what happens when it looks like fraud.

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::desk::{Desk, Trouble};
use super::form::{Again, Field, Form, Submitted};
use super::layout::{Page, Section};
use super::session::done;
use super::text::t;
use super::{House, show};
use crate::people::Scope;
use crate::types::NumberKind;

pub(super) fn router() -> Router<House> {
    Router::new().route("/admin/rules", get(one).post(update)).route("/admin/rules/caps", post(update_caps))
}

/// What each kind of number is called.
pub(super) fn kind(kind: NumberKind) -> &'static str {
    match kind {
        NumberKind::Fixed => t("fixed lines"),
        NumberKind::Mobile => t("mobile phones"),
        NumberKind::FixedOrMobile => t("fixed or mobile, where nobody can tell"),
        NumberKind::TollFree => t("toll-free numbers"),
        NumberKind::Premium => t("premium rate numbers"),
        NumberKind::SharedCost => t("shared-cost numbers"),
        NumberKind::Personal => t("personal numbers"),
        NumberKind::Voip => t("internet telephony"),
        NumberKind::Pager => t("pagers"),
        NumberKind::Uan => t("company-wide numbers"),
        NumberKind::Voicemail => t("mailboxes"),
        NumberKind::Satellite => t("satellite phones and networks of no country"),
        NumberKind::Unknown => t("numbers that nobody was given"),
    }
}

async fn one(desk: Desk) -> Result<Response, Trouble> {
    page(&desk, None).await
}

async fn page(desk: &Desk, again: Option<&Again<'_>>) -> Result<Response, Trouble> {
    let policy = desk.get("/policy").await?;
    let tenant = desk.get(&format!("/tenants/{}", desk.caller.tenant)).await?;
    let body = html! {
        (show::card(t("Caps of the tenant"), caps(desk, &tenant, again)))
        @if desk.may(Scope::Fraud) {
            div.card { (form(desk, &policy, again)) }
        } @else {
            (show::card(t("The rules"), told(&policy)))
        }
    };
    let page = Page::new(desk, Section::Rules, t("Rules"));
    Ok(page
        .lead(t("What subscribers may call, and what happens when their calls look like fraud. What is barred stays barred whatever is allowed."))
        .show_as(Again::status(again), body))
}

fn list(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn form<'f>(desk: &'f Desk, policy: &Value, again: Option<&Again<'f>>) -> Markup {
    let options =
        |words: &[(&str, &'static str)]| words.iter().map(|(value, words)| ((*value).to_owned(), (*words).to_owned())).collect::<Vec<_>>();
    let choice = |name: &str, label: &'static str, words: &[(&str, &'static str)]| Field::choice(name, label, options(words));
    let countries = match policy["countries"].as_array() {
        None => "usual",
        Some(some) if some.is_empty() => "all",
        Some(_) => "some",
    };
    let blocked = list(&policy["blocked_kinds"]);
    let heading = |words: &'static str| html! { h2 { (words) } };
    let mut form = Form::new(desk, "/admin/rules", t("Save the rules"))
        .again_as("rules", again)
        .wide()
        .with(heading(t("Where")))
        .field(
            choice(
                "which_countries",
                t("Countries"),
                &[("usual", t("as the server is configured")), ("all", t("all that have a price")), ("some", t("only those named"))],
            )
            .value(countries),
        )
        .field(
            Field::lines("countries", t("Those named"), 3)
                .hint(t("Two letters each, such as CZ, with commas or one a line"))
                .value(list(&policy["countries"]).join(", ")),
        )
        .field(
            Field::lines("barred_prefixes", t("Barred beginnings"), 3)
                .hint(t("Digits with country code, without plus, one a line: such numbers are refused"))
                .value(list(&policy["barred_prefixes"]).join("\n")),
        )
        .field(
            Field::lines("allowed_prefixes", t("Allowed beginnings"), 3)
                .hint(t("Such numbers may be called whatever their kind"))
                .value(list(&policy["allowed_prefixes"]).join("\n")),
        )
        .with(heading(t("Kinds of numbers")))
        .field(
            choice(
                "which_kinds",
                t("Kinds that may not be called"),
                &[("usual", t("as the server is configured")), ("some", t("those checked"))],
            )
            .value(if policy["blocked_kinds"].is_null() { "usual" } else { "some" }),
        );
    for number_kind in NumberKind::ALL {
        let name = format!("block_{}", number_kind.code());
        form = form.field(Field::check(name, kind(number_kind)).api("blocked_kinds").checked(blocked.contains(&number_kind.code())));
    }
    let signs = &policy["signs"];
    let count = |name: &'static str, label: &'static str| {
        let value = signs[name].as_u64().map_or_else(String::new, |count| count.to_string());
        Field::input("number", name, label).api(format!("signs.{name}")).value(value)
    };
    let number = |name: &str| policy[name].as_u64().map_or_else(String::new, |count| count.to_string());
    form.with(heading(t("How fast")))
        .field(
            Field::input("number", "max_calls_minute", t("Calls of a subscriber in a minute"))
                .hint(t("No limit if empty"))
                .value(number("max_calls_minute")),
        )
        .field(
            Field::input("number", "cool_down_hours", t("Hours before a changed number may call"))
                .hint(t("A verified number after the first one waits so long; 24 if empty"))
                .value(number("cool_down_hours")),
        )
        .field(
            Field::lines("classes", t("Limits of beginnings"), 3)
                .hint(t("One a line: beginnings with commas, calls of a subscriber an hour that make an alert, most calls an hour; such as 88213,88216 1 3. A - is none."))
                .value(classes(policy)),
        )
        .with(heading(t("Signs of fraud")))
        .field(
            choice(
                "on_fraud",
                t("What happens"),
                &[("alert", t("an alert")), ("suspend", t("an alert, and the subscriber is switched off"))],
            )
            .value(policy["on_fraud"].as_str().unwrap_or_default()),
        )
        .field(count("window_secs", t("Counted in so many seconds")))
        .field(count("sequential_numbers", t("Numbers in a row")).hint(t("Such as 0100, 0101, 0102; 0 not to look for it")))
        .field(count("same_number", t("Calls to one number")).hint(t("0 not to look for it")))
        .field(count("short_calls", t("Short calls")).hint(t("0 not to look for it")))
        .field(count("short_call_secs", t("Short is up to so many seconds")))
        .field(count("refusals", t("Refused calls and requests")).hint(t("0 not to look for it")))
        .field(
            choice(
                "new_country",
                t("First call to a country"),
                &[("off", t("is not told of")), ("tenant", t("the first of anybody")), ("subscriber", t("the first of each subscriber"))],
            )
            .api("signs.new_country")
            .value(signs["new_country"].as_str().unwrap_or_default()),
        )
        .show()
}

/// The classes of prefixes as lines.
fn classes(policy: &Value) -> String {
    let number = |value: &Value| value.as_u64().map_or_else(|| "-".to_owned(), |number| number.to_string());
    let line = |class: &Value| {
        format!("{} {} {}", list(&class["prefixes"]).join(","), number(&class["alert_calls_hour"]), number(&class["max_calls_hour"]))
    };
    policy["classes"].as_array().into_iter().flatten().map(line).collect::<Vec<_>>().join("\n")
}

/// And back; what is no number stays text, and the API says so.
fn read_classes(text: &str) -> Value {
    let number = |word: Option<&str>| match word {
        None | Some("-") => Value::Null,
        Some(word) => word.parse::<u64>().map_or_else(|_| json!(word), |number| json!(number)),
    };
    let read = |line: &str| {
        let mut words = line.split_whitespace();
        let prefixes: Vec<&str> = words.next().unwrap_or_default().split(',').filter(|prefix| !prefix.is_empty()).collect();
        json!({ "prefixes": prefixes, "alert_calls_hour": number(words.next()), "max_calls_hour": number(words.next()) })
    };
    text.lines().filter(|line| !line.trim().is_empty()).map(read).collect()
}

/// The rules for those who may only read them.
fn told(policy: &Value) -> Markup {
    let joined = |value: &Value, nothing: &'static str| match list(value) {
        some if some.is_empty() => nothing.to_owned(),
        some => some.join(", "),
    };
    let countries = if policy["countries"].is_null() {
        t("as the server is configured").to_owned()
    } else {
        joined(&policy["countries"], t("all that have a price"))
    };
    let kinds = if policy["blocked_kinds"].is_null() {
        t("as the server is configured").to_owned()
    } else {
        joined(&policy["blocked_kinds"], "–")
    };
    let happens = if policy["on_fraud"] == "suspend" { t("an alert, and the subscriber is switched off") } else { t("an alert") };
    show::facts([
        (t("Countries"), html! { (countries) }),
        (t("Kinds that may not be called"), html! { (kinds) }),
        (t("Barred beginnings"), html! { (joined(&policy["barred_prefixes"], "–")) }),
        (t("Allowed beginnings"), html! { (joined(&policy["allowed_prefixes"], "–")) }),
        (t("Calls of a subscriber in a minute"), show::text(&policy["max_calls_minute"])),
        (t("When it looks like fraud"), html! { (happens) }),
    ])
}

fn caps<'f>(desk: &'f Desk, tenant: &Value, again: Option<&Again<'f>>) -> Markup {
    if !desk.may(Scope::Tenants) {
        return html! {
            (show::facts([
                (t("Calls at once"), show::text(&tenant["max_calls"])),
                (t("Most to spend a day"), show::text(&tenant["spend_cap"])),
            ]))
            p.hint { (t("All subscribers together. Ask the operator for others.")) }
        };
    }
    Form::new(desk, "/admin/rules/caps", t("Save the caps"))
        .again_as("caps", again)
        .wide()
        .field(
            Field::input("number", "max_calls", t("Calls at once"))
                .hint(t("All subscribers together; no limit if empty"))
                .value(tenant["max_calls"].as_u64().map_or_else(String::new, |most| most.to_string())),
        )
        .field(
            Field::amount("spend_cap", t("Most to spend a day"))
                .hint(t("All subscribers together, each currency by itself; no limit if empty"))
                .value(tenant["spend_cap"].as_str().unwrap_or_default()),
        )
        .show()
}

async fn update(desk: Desk, form: Submitted) -> Result<Response, Trouble> {
    let countries = match form.text("which_countries") {
        "some" => json!(form.all("countries").iter().map(|country| country.to_uppercase()).collect::<Vec<_>>()),
        "all" => json!([]),
        _ => Value::Null,
    };
    // An empty list means all that have a price; whoever named none has not said that.
    if form.text("which_countries") == "some" && countries == json!([]) {
        let trouble = Trouble {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            code: "unfit".to_owned(),
            message: t("Name one country at least.").to_owned(),
            field: Some("countries".to_owned()),
            lines: Vec::new(),
        };
        return page(&desk, Some(&Again { form: "rules", given: &form, trouble: &trouble })).await;
    }
    let checked = NumberKind::ALL.iter().map(|kind| kind.code()).filter(|code| form.checked(&format!("block_{code}")));
    let kinds = if form.text("which_kinds") == "some" { json!(checked.collect::<Vec<_>>()) } else { Value::Null };
    let mut signs = serde_json::Map::new();
    for name in ["window_secs", "sequential_numbers", "same_number", "short_calls", "short_call_secs", "refusals"] {
        if form.get(name).is_some() {
            signs.insert(name.to_owned(), form.number(name));
        }
    }
    signs.insert("new_country".to_owned(), form.json("new_country"));
    let body = json!({
        "countries": countries,
        "blocked_kinds": kinds,
        "barred_prefixes": form.all("barred_prefixes"),
        "allowed_prefixes": form.all("allowed_prefixes"),
        "max_calls_minute": form.number("max_calls_minute"),
        "cool_down_hours": form.number("cool_down_hours"),
        "classes": read_classes(form.text("classes")),
        "on_fraud": form.text("on_fraud"),
        "signs": signs,
    });
    match desk.send(Method::PATCH, "/policy", &body, None).await {
        Ok(_) => Ok(done("/admin/rules", t("The rules are saved. They hold for new calls at once."))),
        Err(trouble) => page(&desk, Some(&Again { form: "rules", given: &form, trouble: &trouble })).await,
    }
}

async fn update_caps(desk: Desk, form: Submitted) -> Result<Response, Trouble> {
    let amount = form.get("spend_cap").map(|amount| amount.replace(',', "."));
    let body = json!({ "max_calls": form.number("max_calls"), "spend_cap": amount });
    match desk.send(Method::PATCH, &format!("/tenants/{}", desk.caller.tenant), &body, None).await {
        Ok(_) => Ok(done("/admin/rules", t("The caps are saved. They hold for new calls at once."))),
        Err(trouble) => page(&desk, Some(&Again { form: "caps", given: &form, trouble: &trouble })).await,
    }
}

//! A call drawn as a ladder: the lanes of phone, server and trunk from left to right, time from above to below. Each rung is a
//! sentence first, so that it reads as well without the drawing.

use maud::{Markup, html};
use serde_json::Value;

use super::records::cause_words;
use super::show;
use super::text::t;

/// The rungs of a call, of `GET /cdrs/{call_id}`.
pub(super) fn ladder(call: &Value) -> Markup {
    let steps = call["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    html! {
        div.ladder {
            p.lanes aria-hidden="true" { span { (t("Phone")) } span { (t("callthrough")) } span { (t("Carrier")) } }
            ol {
                @for step in steps {
                    li class={ "rung " (way(step)) " " (colour(step)) } {
                        span.when { "+" (step["after_secs"].as_str().unwrap_or_default()) abbr { " s" } }
                        div.lane {
                            p { (words(step, call)) }
                            span.arrow aria-hidden="true" {}
                        }
                    }
                }
            }
        }
        p.hint.quiet { (t("Times count from the first step, by the server's clock.")) }
    }
}

/// From which lane to which.
fn way(step: &Value) -> &'static str {
    match (step["from"].as_str().unwrap_or_default(), step["to"].as_str().unwrap_or_default()) {
        ("phone", "server") => "phone-server",
        ("server", "phone") => "server-phone",
        ("server", "trunk") => "server-trunk",
        ("trunk", "server") => "trunk-server",
        ("trunk", "phone") => "trunk-phone",
        _ => "inside",
    }
}

fn colour(step: &Value) -> &'static str {
    match step["what"].as_str().unwrap_or_default() {
        "answered" => "good",
        "failed" | "refused" => "bad",
        "held" | "extended" | "moved" => "money-step",
        _ => "",
    }
}

/// What happened, as a sentence.
fn words(step: &Value, call: &Value) -> Markup {
    let told = |name: &str| step[name].as_str().unwrap_or_default().to_owned();
    let known = |name: &str| call[name].as_str().unwrap_or("–").to_owned();
    let trunk = told("trunk");
    let text = match step["what"].as_str().unwrap_or_default() {
        "reserved" => {
            let number = call["reservation"]["access_number"].as_str().unwrap_or("–");
            t("The phone asked for {destination} and was told to dial {number}.")
                .replace("{destination}", &known("destination"))
                .replace("{number}", number)
        }
        "arrived" => t("The call arrived over {trunk}, for {dialled}.").replace("{trunk}", &trunk).replace("{dialled}", &known("dialled")),
        "held" => {
            let secs = step["funded_secs"].as_u64().unwrap_or_default();
            t("Let in. Money was set aside for {time} of talk.").replace("{time}", &show::duration(secs))
        }
        "dialled" => t("{destination} was called over {trunk}.").replace("{destination}", &known("destination")).replace("{trunk}", &trunk),
        "failed" => t("{trunk} did not take it: {cause}.").replace("{trunk}", &trunk).replace("{cause}", &cause_words(&told("cause"))),
        "progressed" => t("First sign of life from the carrier's side.").to_owned(),
        "answered" => t("Answered. From here on it is charged.").to_owned(),
        "extended" => {
            let secs = step["funded_secs"].as_u64().unwrap_or_default();
            t("More money was set aside: enough for {time} of talk.").replace("{time}", &show::duration(secs))
        }
        "refused" => t("Ended before an answer: {cause}.").replace("{cause}", &cause_words(&told("cause"))),
        "ended" => match step["from"].as_str() {
            Some("phone") => t("The caller hung up.").to_owned(),
            Some("trunk") => t("The far end hung up.").to_owned(),
            _ => t("We ended it: {cause}.").replace("{cause}", &cause_words(&told("cause"))),
        },
        "moved" => t("The books moved money.").to_owned(),
        _ => String::new(),
    };
    let status = step["sip_status"].as_u64().filter(|_| step["what"] != "ended");
    html! {
        (text)
        @if let Some(status) = status { " " code { "SIP " (status) } }
        @if step["amount"].is_object() { " " (show::money(&step["amount"])) }
    }
}

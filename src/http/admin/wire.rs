//! The messages of a call on the wire, as a ladder: each opens to its text.

use axum::extract::Path;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use super::desk::{Desk, escaped};
use super::text::t;
use super::{Trouble, show};

/// The messages of a call, where they are kept and the reader may see them.
pub(super) async fn card(desk: &Desk, call: &str) -> Markup {
    if !desk.caller.is_operator() {
        return html! {};
    }
    match desk.get(&format!("/calls/{call}/messages")).await {
        Ok(told) => show::card(
            t("On the wire"),
            html! {
                (messages(&told))
                p { a.button href={ "/admin/cdrs/" (call) "/pcap" } download { (t("Save as a capture file")) } }
            },
        ),
        Err(trouble) => show::card(t("On the wire"), html! { p.quiet { (trouble.message) } }),
    }
}

/// The same as a file for Wireshark.
pub(super) async fn capture(desk: Desk, Path(call): Path<String>) -> Result<Response, Trouble> {
    desk.download(&format!("/calls/{}/messages?format=pcap", escaped(&call))).await
}

fn messages(told: &Value) -> Markup {
    let messages = told["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let first = messages.first().map_or(0, micros);
    let left_out = told["left_out"].as_u64().unwrap_or_default();
    html! {
        div.ladder {
            p.lanes aria-hidden="true" { span { (t("Carrier of the caller")) } span { (t("callthrough")) } span { (t("Carrier")) } }
            ol {
                @for message in messages {
                    li class={ "rung " (way(message)) " " (colour(message)) } {
                        span.when { "+" (after(micros(message) - first)) abbr { " s" } }
                        div.lane {
                            details {
                                summary { (label(text(message, "text"))) " " span.quiet { (text(message, "remote")) " " (text(message, "transport")) } }
                                pre { (text(message, "text")) }
                            }
                            span.arrow aria-hidden="true" {}
                        }
                    }
                }
            }
        }
        @if left_out > 0 { p.hint.quiet { (t("Messages left out because the call had too many:")) " " (show::count(&told["left_out"])) } }
        p.hint.quiet { (t("Passwords and keys that were pressed are never shown. Times count from the first message.")) }
    }
}

fn text<'a>(message: &'a Value, name: &str) -> &'a str {
    message[name].as_str().unwrap_or_default()
}

fn micros(message: &Value) -> i64 {
    crate::types::Timestamp::parse(text(message, "at")).map_or(0, crate::types::Timestamp::as_micros)
}

/// Microseconds as seconds with three decimals.
fn after(micros: i64) -> String {
    let millis = micros.max(0) / 1000;
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

fn way(message: &Value) -> &'static str {
    match (text(message, "leg"), text(message, "way")) {
        ("a", "received") => "phone-server",
        ("a", _) => "server-phone",
        (_, "received") => "trunk-server",
        _ => "server-trunk",
    }
}

fn colour(message: &Value) -> &'static str {
    match text(message, "text").strip_prefix("SIP/2.0 ").and_then(|rest| rest.bytes().next()) {
        Some(b'2') => "good",
        Some(b'4'..=b'6') => "bad",
        _ => "",
    }
}

/// A request by its method, an answer by its status and what it answers.
fn label(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    let Some(status) = first.strip_prefix("SIP/2.0 ") else { return first.split(' ').next().unwrap_or_default().to_owned() };
    let named = |line: &str| line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("cseq")).map(|(_, value)| value.to_owned());
    let method = message.lines().find_map(named).and_then(|value| value.split_whitespace().nth(1).map(str::to_owned));
    match method {
        Some(method) => format!("{status} ({method})"),
        None => status.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_named_by_what_it_does() {
        assert_eq!(label("INVITE sip:+15551231234@192.0.2.7 SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\n"), "INVITE");
        assert_eq!(label("SIP/2.0 180 Ringing\r\nCSeq: 1 INVITE\r\n\r\n"), "180 Ringing (INVITE)");
        assert_eq!((label("SIP/2.0 200"), label("")), ("200".to_owned(), String::new()));
        assert_eq!(after(61_250_999), "61.250");
    }
}

//! Small pieces of messages: Reason, Retry-After, bodies, headers the switchboard adds.

use std::borrow::Cow;
use std::time::Duration;

use crate::sip::dialog::refresh::{Accepted, Refresh};
use crate::sip::leg::{Body, Header, Reason};
use crate::sip::msg::{Capabilities, Message, Method, Name, Request, Response};

/// What we can do.
pub(super) const CAN: Capabilities<'static> = Capabilities {
    allow: &[Method::Invite, Method::Ack, Method::Cancel, Method::Bye, Method::Options, Method::Update, Method::Info, Method::Prack],
    supported: &["timer", "100rel"],
    accept: &["application/sdp", "multipart/mixed"],
};

/// The value of Supported.
pub(super) const SUPPORTED: &str = "timer, 100rel";

/// The value of Allow.
pub(super) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, PRACK";

/// Headers that are the core's own; the switchboard cannot add them.
fn is_ours(name: &str) -> bool {
    matches!(
        Name::read(name.as_bytes()),
        Name::Via
            | Name::From
            | Name::To
            | Name::CallId
            | Name::CSeq
            | Name::Contact
            | Name::Route
            | Name::RecordRoute
            | Name::MaxForwards
            | Name::ContentLength
            | Name::ContentType
            | Name::Require
            | Name::Supported
            | Name::SessionExpires
            | Name::MinSe
            | Name::RSeq
            | Name::RAck
    )
}

/// The body of a message; none if empty.
pub(super) fn body_of(message: &Message) -> Option<Body> {
    if message.body().is_empty() {
        return None;
    }
    let content_type = match message.text(Name::ContentType) {
        Some("application/sdp") | None => Cow::Borrowed("application/sdp"),
        Some(other) => Cow::Owned(other.to_owned()),
    };
    Some(Body { content_type, bytes: message.body_bytes() })
}

/// What both builders can do.
pub(super) trait Builder: Sized {
    /// Adds the switchboard's headers.
    fn add(self, headers: &[Header]) -> Self;
    /// Adds a Reason.
    fn reason(self, reason: Option<&Reason>) -> Self;
    /// Adds a body.
    fn carry(self, body: Option<&Body>) -> Self;
}

macro_rules! builder {
    ($type:ty) => {
        impl Builder for $type {
            fn add(self, headers: &[Header]) -> Self {
                headers.iter().filter(|header| !is_ours(&header.name)).fold(self, |message, header| {
                    let is_one_line = !header.value.contains(['\r', '\n', '\0']);
                    if is_one_line { message.other(&header.name, header.value.as_str()) } else { message }
                })
            }

            fn reason(self, reason: Option<&Reason>) -> Self {
                match reason {
                    Some(reason) => self.header(Name::Reason, write_reason(reason)),
                    None => self,
                }
            }

            fn carry(self, body: Option<&Body>) -> Self {
                match body {
                    Some(body) => self.body(&body.content_type, body.bytes.clone()),
                    None => self,
                }
            }
        }
    };
}

builder!(Request);
builder!(Response);

/// A request inside a dialog that may renew the session says for how long.
pub(super) fn renewing(request: Request, refresh: Option<Refresh>) -> Request {
    let request = request.header(Name::Supported, SUPPORTED);
    match refresh.and_then(|refresh| refresh.in_our_request()) {
        Some(session) => request.header(Name::SessionExpires, session.text()),
        None => request,
    }
}

/// A 2xx that agrees to their session's life.
pub(super) fn accepting(response: Response, accepted: Option<&Accepted>) -> Response {
    let response = response.header(Name::Supported, SUPPORTED);
    let Some((accepted, header)) = accepted.and_then(|accepted| Some((accepted, accepted.header?))) else { return response };
    let response = response.header(Name::SessionExpires, header.text());
    if accepted.is_required() { response.header(Name::Require, "timer") } else { response }
}

fn write_reason(reason: &Reason) -> String {
    let Reason { protocol, cause, text } = reason;
    if text.is_empty() {
        return format!("{protocol};cause={cause}");
    }
    let text = text.chars().filter(|letter| !letter.is_control()).collect::<String>().replace('\\', "\\\\").replace('"', "\\\"");
    format!("{protocol};cause={cause};text=\"{text}\"")
}

/// The first Reason of a message that has a cause (RFC 3326).
pub(super) fn reason_of(message: &Message) -> Option<Reason> {
    let value = message.text(Name::Reason)?;
    let (protocol, _) = value.split_once(';')?;
    let params = message.params_of(Name::Reason);
    Some(Reason {
        protocol: Cow::Owned(protocol.trim().to_owned()),
        cause: params.get("cause")?.trim().parse().ok()?,
        text: Cow::Owned(params.get("text").unwrap_or("").to_owned()),
    })
}

/// Retry-After of a message.
pub(super) fn retry_after(message: &Message) -> Option<Duration> {
    message.number(Name::RetryAfter).map(|secs| Duration::from_secs(u64::from(secs)))
}

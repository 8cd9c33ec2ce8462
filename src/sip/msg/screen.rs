//! What a UAS refuses before it looks at its own state (RFC 3261 §8.2.1 to §8.2.3).

use super::{Message, Method, Name, Response, Scheme, Status, Tag};

/// What the core can do: the lists it puts into Allow, Supported and Accept, and what it measures requests against.
#[derive(Debug, Clone, Copy)]
pub struct Capabilities<'a> {
    /// The methods we answer.
    pub allow: &'a [Method],
    /// The extensions we support (option tags).
    pub supported: &'a [&'a str],
    /// The media types of bodies we read.
    pub accept: &'a [&'a str],
}

/// A refusal: the status, and the headers that tell the sender what would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// What to answer.
    pub status: Status,
    /// Headers to add.
    pub headers: Vec<(Name, String)>,
}

impl Rejection {
    const fn plain(status: Status) -> Self {
        Self { status, headers: Vec::new() }
    }

    fn with(status: Status, name: Name, value: String) -> Self {
        Self { status, headers: vec![(name, value)] }
    }

    /// The response to `request`.
    pub fn response(&self, request: &Message, tag: Option<&Tag>) -> Response {
        self.headers.iter().fold(Response::to(request, self.status, tag), |response, (name, value)| response.header(*name, value))
    }
}

impl Capabilities<'_> {
    /// The value of Allow.
    pub fn allow(&self) -> String {
        self.allow.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
    }

    /// The value of Supported.
    pub fn supported(&self) -> String {
        self.supported.join(", ")
    }

    /// The value of Accept.
    pub fn accept(&self) -> String {
        self.accept.join(", ")
    }
}

/// Screens a request outside or inside dialogs, in the order of RFC 3261 §8.2: method 405 or 501, URI scheme 416, hops 483, extensions 420,
/// body 415, acceptable answers 406. ACK is never refused; CANCEL never for an extension (§8.2.2.3).
///
/// Max-Forwards 0 refuses an initial INVITE only, which we would pass on; of anything else that reaches us we are the target.
pub fn screen_request(request: &Message, can: Capabilities<'_>) -> Result<(), Rejection> {
    let method = request.method();
    if *method == Method::Ack {
        return Ok(());
    }
    if !can.allow.contains(method) {
        let status = if method.is_known() { Status::METHOD_NOT_ALLOWED } else { Status::NOT_IMPLEMENTED };
        return Err(Rejection::with(status, Name::Allow, can.allow()));
    }
    if request.request_uri().is_some_and(|uri| uri.scheme() == Scheme::Other) {
        return Err(Rejection::plain(Status::UNSUPPORTED_URI_SCHEME));
    }
    if *method == Method::Invite && request.to_tag().is_none() && request.max_forwards() == Some(0) {
        return Err(Rejection::plain(Status::TOO_MANY_HOPS));
    }
    if *method == Method::Cancel {
        return Ok(());
    }
    let unsupported: Vec<_> = request
        .values(Name::Require)
        .filter(|option| !can.supported.iter().any(|ours| option.eq_ignore_ascii_case(ours.as_bytes())))
        .map(String::from_utf8_lossy)
        .collect();
    if !unsupported.is_empty() {
        return Err(Rejection::with(Status::BAD_EXTENSION, Name::Unsupported, unsupported.join(", ")));
    }
    screen_body(request, can)?;
    let wants_session = matches!(method, Method::Invite | Method::Update);
    if wants_session && !accepts(request, "application/sdp") {
        return Err(Rejection::plain(Status::NOT_ACCEPTABLE));
    }
    Ok(())
}

/// RFC 3261 §8.2.3: a body we must understand and cannot read is 415 with what we could. Only an INVITE, UPDATE, PRACK or ACK carries one
/// that matters to us; INFO and the like have packages of their own, judged by whoever handles them.
fn screen_body(request: &Message, can: Capabilities<'_>) -> Result<(), Rejection> {
    let reads = matches!(request.method(), Method::Invite | Method::Update | Method::Prack);
    let optional =
        request.params_of(Name::ContentDisposition).get("handling").is_some_and(|handling| handling.eq_ignore_ascii_case("optional"));
    if !reads || request.body().is_empty() || optional {
        return Ok(());
    }
    let unreadable = |name: Name, value: String| Err(Rejection::with(Status::UNSUPPORTED_MEDIA_TYPE, name, value));
    if request.values(Name::ContentEncoding).any(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
        return unreadable(Name::AcceptEncoding, "identity".to_owned());
    }
    if !request.content_type().is_some_and(|media| can.accept.iter().any(|ours| media.eq_ignore_ascii_case(ours))) {
        return unreadable(Name::Accept, can.accept());
    }
    Ok(())
}

/// Whether the sender takes an answer of this media type. No Accept means `application/sdp` (RFC 3261 §20.1).
fn accepts(request: &Message, media: &str) -> bool {
    if request.headers(Name::Accept).next().is_none() {
        return true;
    }
    let family = media.split_once('/').map_or(media, |(family, _)| family);
    request.values(Name::Accept).filter_map(|value| std::str::from_utf8(value).ok()).any(|value| {
        let range = value.split_once(';').map_or(value, |(range, _)| range).trim();
        range == "*/*"
            || range.eq_ignore_ascii_case(media)
            || range.strip_suffix("/*").is_some_and(|range| range.eq_ignore_ascii_case(family))
    })
}

/// Whether a response may be looked at by a UAC: more than one Via means it is somebody else's (RFC 3261 §8.1.3.3).
pub fn screen_response(response: &Message) -> bool {
    response.vias().nth(1).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAN: Capabilities<'_> = Capabilities {
        allow: &[Method::Invite, Method::Ack, Method::Bye, Method::Cancel, Method::Options, Method::Info],
        supported: &["100rel", "timer"],
        accept: &["application/sdp"],
    };

    fn screened(method: &str, to: &str, more: &str, body: &str) -> Result<(), u16> {
        let text = format!(
            "{method} sip:b@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>{to}\r\nCall-ID: 1\r\nCSeq: 1 {method}\r\n{more}\r\n{body}"
        );
        screen_request(&Message::parse(text.into()).unwrap(), CAN).map_err(|rejection| rejection.status.code())
    }

    #[test]
    fn hops_end_for_calls_we_would_pass_on_only() {
        assert_eq!(screened("INVITE", "", "Max-Forwards: 0\r\n", ""), Err(483));
        assert_eq!(screened("INVITE", ";tag=2", "Max-Forwards: 0\r\n", ""), Ok(()));
        assert_eq!(screened("OPTIONS", "", "Max-Forwards: 0\r\n", ""), Ok(()));
        assert_eq!(screened("INVITE", "", "Max-Forwards: 1\r\n", ""), Ok(()));
    }

    #[test]
    fn extensions_are_refused_but_never_in_ack_and_cancel() {
        assert_eq!(screened("INVITE", "", "Require: 100REL, timer\r\n", ""), Ok(()));
        assert_eq!(screened("INVITE", "", "Require: timer\r\nRequire: gruu\r\n", ""), Err(420));
        assert_eq!(screened("BYE", ";tag=2", "Require: gruu\r\n", ""), Err(420));
        assert_eq!(screened("CANCEL", "", "Require: gruu\r\n", ""), Ok(()));
        assert_eq!(screened("ACK", ";tag=2", "Require: gruu\r\n", ""), Ok(()));
    }

    #[test]
    fn bodies_we_cannot_read_are_refused_where_they_matter() {
        let sdp = "Content-Type: application/SDP; charset=x\r\n";
        assert_eq!(screened("INVITE", "", sdp, "v=0\r\n"), Ok(()));
        assert_eq!(screened("INVITE", "", "c: text/plain\r\n", "hi"), Err(415));
        assert_eq!(screened("INVITE", "", "", "hi"), Err(415));
        assert_eq!(screened("INVITE", "", "c: text/plain\r\n", ""), Ok(()));
        assert_eq!(screened("INVITE", "", "c: text/plain\r\nContent-Disposition: render;handling=optional\r\n", "hi"), Ok(()));
        assert_eq!(screened("INVITE", "", &format!("{sdp}e: gzip\r\n"), "v=0\r\n"), Err(415));
        assert_eq!(screened("INFO", ";tag=2", "c: application/dtmf-relay\r\n", "Signal=1"), Ok(()));
    }

    #[test]
    fn an_answer_must_be_acceptable() {
        for (accept, expected) in [
            ("text/plain", Err(406)),
            ("", Err(406)),
            ("*/*", Ok(())),
            ("application/*;q=0.5, text/plain", Ok(())),
            ("text/plain, Application/SDP;level=1", Ok(())),
        ] {
            assert_eq!(screened("INVITE", "", &format!("Accept: {accept}\r\n"), ""), expected, "{accept}");
            assert_eq!(screened("OPTIONS", "", &format!("Accept: {accept}\r\n"), ""), Ok(()), "{accept}");
        }
    }

    #[test]
    fn methods_are_refused_by_what_they_are() {
        assert_eq!(
            (screened("REGISTER", "", "", ""), screened("FROBNICATE", "", "", ""), screened("invite", "", "", "")),
            (Err(405), Err(501), Err(501))
        );
    }
}

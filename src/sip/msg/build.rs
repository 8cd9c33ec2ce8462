//! Writing messages. Whatever a value holds, it cannot end its line: CR, LF and NUL inside a value become spaces.

use std::net::SocketAddr;

use bytes::Bytes;

use super::{CSeq, HeaderLine, Message, Method, Name, NameAddr, Status, Tag, Uri, Via};

/// What can stand as a header value.
pub trait Value {
    /// Appends the value as it goes on the wire.
    fn write(&self, out: &mut Vec<u8>);
}

macro_rules! value_bytes {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn write(&self, out: &mut Vec<u8>) {
                let bytes: &[u8] = self.as_ref();
                out.extend_from_slice(bytes);
            }
        }
    )*};
}

value_bytes!(str, String, [u8], Vec<u8>, Bytes);

impl Value for u32 {
    fn write(&self, out: &mut Vec<u8>) {
        write_number(u64::from(*self), out);
    }
}

impl Value for u8 {
    fn write(&self, out: &mut Vec<u8>) {
        write_number(u64::from(*self), out);
    }
}

impl Value for Uri {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl Value for NameAddr {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl Value for Via {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl Value for CSeq {
    fn write(&self, out: &mut Vec<u8>) {
        write_number(u64::from(self.number), out);
        out.push(b' ');
        out.extend_from_slice(self.method.as_str().as_bytes());
    }
}

impl Value for Method {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_str().as_bytes());
    }
}

impl Value for super::SipCallId {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_str().as_bytes());
    }
}

impl<T: Value + ?Sized> Value for &T {
    fn write(&self, out: &mut Vec<u8>) {
        (*self).write(out);
    }
}

/// Start line and headers so far, and the body.
#[derive(Debug, Clone)]
struct Draft {
    head: Vec<u8>,
    body: Bytes,
}

impl Draft {
    fn line(&mut self, name: &[u8], value: impl Value) {
        self.guarded(|head| {
            head.extend_from_slice(name);
            head.extend_from_slice(b": ");
            value.write(head);
        });
    }

    /// Writes one line; whatever `write` put there stays one line.
    fn guarded(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let from = self.head.len();
        write(&mut self.head);
        let mut at = from;
        while let Some(offset) = memchr::memchr3(b'\r', b'\n', 0, &self.head[at..]) {
            at += offset;
            self.head[at] = b' ';
        }
        self.head.extend_from_slice(b"\r\n");
    }

    fn raw(&mut self, line: HeaderLine<'_>) {
        // The parser has made sure that a received line ends once and is folded properly.
        self.head.extend_from_slice(line.raw());
    }

    fn encode(mut self) -> Bytes {
        self.head.extend_from_slice(b"Content-Length: ");
        write_number(self.body.len() as u64, &mut self.head);
        self.head.extend_from_slice(b"\r\n\r\n");
        self.head.extend_from_slice(&self.body);
        self.head.into()
    }
}

fn write_number(number: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let (mut at, mut rest) = (digits.len(), number);
    loop {
        at -= 1;
        digits[at] = b"0123456789"[usize::try_from(rest % 10).unwrap_or(0)];
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

macro_rules! shared_builder {
    ($type:ident) => {
        impl $type {
            /// Adds a header line after those already there. CR, LF and NUL in the value become spaces. Content-Length is written by
            /// [`Self::encode`] and is left out here.
            #[must_use]
            pub fn header(mut self, name: Name, value: impl Value) -> Self {
                if !matches!(name, Name::ContentLength | Name::Other) {
                    self.draft.line(name.as_str().as_bytes(), value);
                }
                self
            }

            /// The same for a header we have no name for. A name that is no token is left out.
            #[must_use]
            pub fn other(mut self, name: &str, value: impl Value) -> Self {
                let is_token = !name.is_empty() && name.bytes().all(super::scan::is_token);
                if is_token && Name::read(name.as_bytes()) != Name::ContentLength {
                    self.draft.line(name.as_bytes(), value);
                }
                self
            }

            /// Copies a received line byte for byte, folds included.
            #[must_use]
            pub fn copy(mut self, line: HeaderLine<'_>) -> Self {
                if line.name() != Name::ContentLength {
                    self.draft.raw(line);
                }
                self
            }

            /// Copies every line of one header.
            #[must_use]
            pub fn copy_all(self, message: &Message, name: Name) -> Self {
                message.headers(name).fold(self, Self::copy)
            }

            /// Sets the body and adds its Content-Type.
            #[must_use]
            pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
                self.draft.body = body.into();
                self.header(Name::ContentType, content_type)
            }

            /// The message as it goes on the wire, Content-Length last.
            pub fn encode(self) -> Bytes {
                self.draft.encode()
            }
        }
    };
}

/// A request being written. Headers keep the order of the calls: begin with Via.
#[derive(Debug, Clone)]
pub struct Request {
    draft: Draft,
}

shared_builder!(Request);

impl Request {
    /// Begins with the request line.
    pub fn new(method: &Method, uri: &Uri) -> Self {
        let mut draft = Draft { head: Vec::with_capacity(1024), body: Bytes::new() };
        draft.guarded(|head| {
            head.extend_from_slice(method.as_str().as_bytes());
            head.push(b' ');
            head.extend_from_slice(uri.as_bytes());
            head.extend_from_slice(b" SIP/2.0");
        });
        Self { draft }
    }

    /// The ACK for a non-2xx final response: same URI, top Via, From, Call-ID, Route and number as the INVITE, To of the response
    /// (RFC 3261 §17.1.1.3).
    pub fn ack_for(invite: &Message, response: &Message) -> Self {
        let to = response.get(Name::To).unwrap_or(b"");
        Self::within(invite, Method::Ack, to)
    }

    /// The CANCEL of an INVITE: same URI, top Via, From, To, Call-ID, Route and number (RFC 3261 §9.1).
    pub fn cancel_for(invite: &Message) -> Self {
        Self::within(invite, Method::Cancel, invite.get(Name::To).unwrap_or(b""))
    }

    fn within(invite: &Message, method: Method, to: &[u8]) -> Self {
        let fallback = invite.to();
        let uri = invite.request_uri().unwrap_or(fallback.uri());
        Self::new(&method, uri)
            .header(Name::Via, invite.via())
            .copy_all(invite, Name::Route)
            .header(Name::MaxForwards, 70_u32)
            .header(Name::From, invite.get(Name::From).unwrap_or(b""))
            .header(Name::To, to)
            .header(Name::CallId, invite.call_id())
            .header(Name::CSeq, CSeq { number: invite.cseq().number, method })
    }
}

/// A response being written.
#[derive(Debug, Clone)]
pub struct Response {
    draft: Draft,
}

shared_builder!(Response);

impl Response {
    /// Begins with the status line; `reason` replaces the RFC's phrase.
    pub fn new(status: Status, reason: Option<&str>) -> Self {
        let mut draft = Draft { head: Vec::with_capacity(1024), body: Bytes::new() };
        draft.guarded(|head| {
            head.extend_from_slice(b"SIP/2.0 ");
            write_number(u64::from(status.code()), head);
            head.push(b' ');
            head.extend_from_slice(reason.unwrap_or(status.reason()).as_bytes());
        });
        Self { draft }
    }

    /// The response to a request (RFC 3261 §8.2.6): Via, From, To, Call-ID and CSeq copied, Timestamp too into a 100. When the request's To
    /// has no tag, `tag` is added; give it for everything but 100.
    pub fn to(request: &Message, status: Status, tag: Option<&Tag>) -> Self {
        Self::to_from(request, status, tag, None)
    }

    /// The same, with `received` and `rport` of the source filled into the topmost Via (RFC 3261 §18.2.1, RFC 3581 §4).
    pub fn to_from(request: &Message, status: Status, tag: Option<&Tag>, source: Option<SocketAddr>) -> Self {
        let mut response = Self::new(status, None);
        let mut vias = request.headers(Name::Via);
        if let Some(source) = source
            && let Some(top) = vias.next()
        {
            response = response.header(Name::Via, received(top.value(), &request.via(), source));
        }
        for line in vias {
            response = response.copy(line);
        }
        response = response.copy_all(request, Name::From);
        response = match tag {
            Some(tag) if request.to_tag().is_none() => response.header(Name::To, request.to().with_tag(tag)),
            _ => response.copy_all(request, Name::To),
        };
        response = response.copy_all(request, Name::CallId).copy_all(request, Name::CSeq);
        if status == Status::TRYING { response.copy_all(request, Name::Timestamp) } else { response }
    }

    /// Copies the Record-Route of the request, as every response that makes a dialog must (RFC 3261 §12.1.1).
    #[must_use]
    pub fn record_route(self, request: &Message) -> Self {
        self.copy_all(request, Name::RecordRoute)
    }
}

/// The line of the topmost Via with `received` and `rport` as the source has them; later values on the line stay as they are.
pub(super) fn received(line: &[u8], via: &Via, source: SocketAddr) -> Vec<u8> {
    let top = via.as_bytes();
    let rest = line.get(top.len()..).unwrap_or(b"");
    let params = via.params();
    let head = &top[..top.len() - super::scan::trim(params.as_bytes()).len()];
    let mut out = Vec::with_capacity(line.len() + 60);
    out.extend_from_slice(head);
    for (name, value) in params.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("received") && !name.eq_ignore_ascii_case("rport")) {
        out.push(b';');
        out.extend_from_slice(name.as_bytes());
        if let Some(value) = value {
            out.push(b'=');
            out.extend_from_slice(value);
        }
    }
    let asks = params.has("rport");
    if asks || via.host().address() != Some(source.ip()) {
        out.extend_from_slice(format!(";received={}", source.ip()).as_bytes());
    }
    if asks {
        out.extend_from_slice(format!(";rport={}", source.port()).as_bytes());
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invite(via: &str, to: &str) -> Message {
        let request = Request::new(&Method::Invite, &"sip:bob@192.0.2.4".parse().unwrap())
            .header(Name::Via, via)
            .header(Name::Via, "SIP/2.0/UDP second.example.com;branch=z9hG4bK2")
            .header(Name::RecordRoute, "<sip:p1.example.com;lr>")
            .header(Name::Route, "<sip:p2.example.com;lr>")
            .header(Name::MaxForwards, 70_u32)
            .header(Name::From, "<sip:alice@example.com>;tag=a1")
            .header(Name::To, to)
            .header(Name::CallId, "c1")
            .header(Name::CSeq, CSeq { number: 314, method: Method::Invite })
            .header(Name::Timestamp, "54")
            .other("X-Trace", b"caf\xe9".as_slice())
            .body("application/sdp", "v=0\r\n");
        Message::parse(request.encode()).unwrap()
    }

    fn plain() -> Message {
        invite("SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK1", "<sip:bob@example.com>")
    }

    #[test]
    fn what_is_written_is_read() {
        let invite = plain();
        assert_eq!((invite.method(), invite.request_uri().unwrap().as_str()), (&Method::Invite, "sip:bob@192.0.2.4"));
        assert_eq!(
            (invite.body(), invite.content_type(), invite.number(Name::ContentLength)),
            (&b"v=0\r\n"[..], Some("application/sdp"), Some(5))
        );
        assert_eq!(invite.named("x-trace").next().unwrap().value(), b"caf\xe9");
        assert_eq!(invite.all().count(), 13);
    }

    #[test]
    fn a_response_copies_what_the_rfc_says() {
        let response = Message::parse(Response::to(&plain(), Status::OK, Some(&"t9".into())).record_route(&plain()).encode()).unwrap();
        assert_eq!((response.status(), response.reason()), (Some(Status::OK), &b"OK"[..]));
        assert_eq!(
            (response.from_tag(), response.to_tag(), response.call_id(), response.cseq().number),
            (Some("a1"), Some("t9"), "c1", 314)
        );
        assert_eq!((response.vias().count(), response.record_routes().count(), response.routes().count()), (2, 1, 0));
        assert!(response.get(Name::Timestamp).is_none());
        let trying = Message::parse(Response::to(&plain(), Status::TRYING, None).encode()).unwrap();
        assert_eq!((trying.to_tag(), trying.text(Name::Timestamp)), (None, Some("54")));
        let inside = invite("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1", "<sip:bob@example.com>;tag=old");
        assert_eq!(Message::parse(Response::to(&inside, Status::OK, Some(&"new".into())).encode()).unwrap().to_tag(), Some("old"));
    }

    #[test]
    fn the_top_via_learns_where_the_request_came_from() {
        let source = "203.0.113.5:9999".parse().unwrap();
        for (via, expected) in [
            ("SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK1", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;received=203.0.113.5;rport=9999"),
            (
                "SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK1;rport=1",
                "SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK1;received=203.0.113.5;rport=9999",
            ),
            ("SIP/2.0/UDP host.example.com;branch=z9hG4bK1", "SIP/2.0/UDP host.example.com;branch=z9hG4bK1;received=203.0.113.5"),
            ("SIP/2.0/UDP 203.0.113.5;branch=z9hG4bK1", "SIP/2.0/UDP 203.0.113.5;branch=z9hG4bK1"),
            ("SIP/2.0/UDP 203.0.113.5", "SIP/2.0/UDP 203.0.113.5"),
            (
                "SIP/2.0/UDP 192.0.2.1 ; rport ; branch=z9hG4bK1 , SIP/2.0/TCP b;branch=x",
                "SIP/2.0/UDP 192.0.2.1 ;branch=z9hG4bK1;received=203.0.113.5;rport=9999 , SIP/2.0/TCP b;branch=x",
            ),
        ] {
            let response = Response::to_from(&invite(via, "<sip:bob@example.com>"), Status::TRYING, None, Some(source)).encode();
            let response = Message::parse(response).unwrap();
            assert_eq!(response.text(Name::Via), Some(expected));
        }
    }

    #[test]
    fn ack_and_cancel_repeat_the_invite() {
        let invite = plain();
        let busy = Message::parse(Response::to(&invite, Status::BUSY_HERE, Some(&"t9".into())).encode()).unwrap();
        let ack = Message::parse(Request::ack_for(&invite, &busy).encode()).unwrap();
        assert_eq!((ack.method(), ack.cseq().number, ack.to_tag(), ack.from_tag()), (&Method::Ack, 314, Some("t9"), Some("a1")));
        assert_eq!((ack.vias().count(), ack.via().branch(), ack.routes().count()), (1, "z9hG4bK1", 1));
        assert_eq!((ack.request_uri(), ack.body()), (invite.request_uri(), &b""[..]));
        let cancel = Message::parse(Request::cancel_for(&invite).encode()).unwrap();
        assert_eq!((cancel.method(), cancel.cseq().number, cancel.to_tag()), (&Method::Cancel, 314, None));
        assert_eq!((cancel.via().branch(), cancel.routes().count(), cancel.request_uri()), ("z9hG4bK1", 1, invite.request_uri()));
    }

    #[test]
    fn content_length_is_ours_to_say() {
        let request = Request::new(&Method::Options, &"sip:a@b".parse().unwrap())
            .header(Name::ContentLength, "999")
            .other("Content-Length", "999")
            .other("l", "999")
            .encode();
        assert_eq!(request, "OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 0\r\n\r\n");
    }
}

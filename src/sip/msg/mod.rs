//! Messages (RFC 3261 §7, §20, §25): an index over the received bytes, typed views on demand, and builders.
//!
//! [`Message::parse`] checks what routing and matching depend on (start line, Via, From, To, Call-ID, CSeq, Max-Forwards, Contact, routes,
//! Content-Length) and only notes where everything else is; what is not ours passes byte for byte. A message that parsed has its mandatory
//! headers, so their views cannot fail. [`Request`] and [`Response`] write messages and cannot be made to write a line break inside a
//! header. [`screen_request`] holds the refusals of RFC 3261 §8.2 that need no state.

mod build;
mod header;
pub mod limit;
mod method;
mod name;
mod name_addr;
mod parse;
mod scan;
mod screen;
mod status;
mod uri;
mod via;

use bytes::Bytes;

pub use build::{Request, Response, Value};
pub use header::{BRANCH_COOKIE, Branch, CSeq, Params, SipCallId, Tag};
pub use method::Method;
pub use name::Name;
pub use name_addr::NameAddr;
pub use parse::{Frame, Framer, ParseError, Verdict};
pub use screen::{Capabilities, Rejection, screen_request, screen_response};
pub use status::Status;
pub use uri::{Host, Scheme, Uri, UriError};
pub use via::Via;

use scan::{Scan, split_list};

/// A received message: its bytes and an index. Cloning copies the index and shares the bytes.
#[derive(Debug, Clone)]
pub struct Message {
    bytes: Bytes,
    start: Start,
    cseq: CSeq,
    lines: Vec<Line>,
    body: (u32, u32),
}

#[derive(Debug, Clone)]
enum Start {
    Request { method: Method, uri: Uri },
    Response { status: Status, reason: (u32, u32) },
}

/// Where one header line is: `bytes[start..start + total]`, line end included.
#[derive(Debug, Clone, Copy)]
struct Line {
    name: Name,
    name_len: u8,
    value: u16,
    value_len: u16,
    total: u16,
    start: u32,
}

/// One header line of a message.
#[derive(Clone, Copy)]
pub struct HeaderLine<'a> {
    bytes: &'a [u8],
    line: Line,
}

impl<'a> HeaderLine<'a> {
    /// Which header it is.
    pub const fn name(&self) -> Name {
        self.line.name
    }

    /// The name as written (perhaps compact).
    pub fn name_bytes(&self) -> &'a [u8] {
        &self.bytes[..usize::from(self.line.name_len)]
    }

    /// The value as written, folds included, without the white space around it.
    pub fn value(&self) -> &'a [u8] {
        let start = usize::from(self.line.value);
        &self.bytes[start..start + usize::from(self.line.value_len)]
    }

    /// The value as text; `None` when it is no UTF-8.
    pub fn text(&self) -> Option<&'a str> {
        std::str::from_utf8(self.value()).ok()
    }

    /// The values of a comma-separated header, trimmed.
    pub fn values(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        split_list(self.value())
    }

    /// The whole line as received, line end included.
    pub const fn raw(&self) -> &'a [u8] {
        self.bytes
    }
}

impl std::fmt::Debug for HeaderLine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", String::from_utf8_lossy(self.raw()).trim_end())
    }
}

impl Message {
    /// Reads one datagram: bytes after the body are ignored, a missing Content-Length means "to the end", too few bytes are a fault.
    pub fn parse(bytes: Bytes) -> Result<Self, ParseError> {
        parse::message(bytes)
    }

    /// The bytes as received, from the start line on, without what followed the body.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether it is a request.
    pub const fn is_request(&self) -> bool {
        matches!(self.start, Start::Request { .. })
    }

    /// The request's method; of a response, the method of its CSeq.
    pub const fn method(&self) -> &Method {
        match &self.start {
            Start::Request { method, .. } => method,
            Start::Response { .. } => &self.cseq.method,
        }
    }

    /// The Request-URI; `None` for a response.
    pub const fn request_uri(&self) -> Option<&Uri> {
        match &self.start {
            Start::Request { uri, .. } => Some(uri),
            Start::Response { .. } => None,
        }
    }

    /// The status; `None` for a request.
    pub const fn status(&self) -> Option<Status> {
        match self.start {
            Start::Response { status, .. } => Some(status),
            Start::Request { .. } => None,
        }
    }

    /// The reason phrase, any bytes; empty for a request.
    pub fn reason(&self) -> &[u8] {
        match self.start {
            Start::Response { reason: (start, end), .. } => &self.bytes[start as usize..end as usize],
            Start::Request { .. } => b"",
        }
    }

    /// The sequence number and its method.
    pub const fn cseq(&self) -> &CSeq {
        &self.cseq
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        self.text(Name::CallId).unwrap_or("")
    }

    /// The topmost Via.
    pub fn via(&self) -> Via {
        self.vias().next().expect("a message without Via does not parse")
    }

    /// All Via values from the top.
    pub fn vias(&self) -> impl Iterator<Item = Via> {
        self.each(Name::Via, via::scan_via).map(|(text, layout)| Via::assemble(text, layout))
    }

    /// From.
    pub fn from(&self) -> NameAddr {
        self.name_addrs(Name::From).next().expect("a message without From does not parse")
    }

    /// To.
    pub fn to(&self) -> NameAddr {
        self.name_addrs(Name::To).next().expect("a message without To does not parse")
    }

    /// The tag of From; RFC 2543 callers have none.
    pub fn from_tag(&self) -> Option<&str> {
        self.tag(Name::From)
    }

    /// The tag of To; none outside dialogs.
    pub fn to_tag(&self) -> Option<&str> {
        self.tag(Name::To)
    }

    fn tag(&self, name: Name) -> Option<&str> {
        let mut scan = Scan::new(self.get(name)?);
        let layout = name_addr::scan_name_addr(&mut scan)?;
        Params::new(layout.params.of(scan.bytes)).get("tag").filter(|tag| !tag.is_empty())
    }

    /// The first Contact; `None` when there is none or it is `*`.
    pub fn contact(&self) -> Option<NameAddr> {
        self.contacts().next()
    }

    /// All Contact values; none for `*`.
    pub fn contacts(&self) -> impl Iterator<Item = NameAddr> {
        self.name_addrs(Name::Contact)
    }

    /// Whether Contact is `*` (RFC 3261 §10.2.2).
    pub fn is_contact_star(&self) -> bool {
        self.get(Name::Contact) == Some(b"*")
    }

    /// All Route values from the top.
    pub fn routes(&self) -> impl Iterator<Item = NameAddr> {
        self.name_addrs(Name::Route)
    }

    /// All Record-Route values from the top.
    pub fn record_routes(&self) -> impl Iterator<Item = NameAddr> {
        self.name_addrs(Name::RecordRoute)
    }

    /// The values of any header made of name-addrs (P-Asserted-Identity, Diversion, Refer-To, …), in order; the first malformed one of a
    /// line ends that line.
    pub fn name_addrs(&self, name: Name) -> impl Iterator<Item = NameAddr> {
        self.each(name, name_addr::scan_name_addr).map(|(text, layout)| NameAddr::assemble(text, layout))
    }

    /// Max-Forwards; RFC 2543 requests have none.
    pub fn max_forwards(&self) -> Option<u8> {
        self.number(Name::MaxForwards).and_then(|hops| u8::try_from(hops).ok())
    }

    /// A header that is one decimal number, perhaps followed by parameters or a comment (Expires, RSeq, Retry-After, Session-Expires).
    pub fn number(&self, name: Name) -> Option<u32> {
        let mut scan = Scan::new(self.get(name)?);
        let digits = scan.run(|byte| byte.is_ascii_digit());
        scan.lws();
        if !matches!(scan.peek(), None | Some(b';' | b'(')) {
            return None;
        }
        scan::decimal(digits).and_then(|number| u32::try_from(number).ok())
    }

    /// The parameters after a header's first value (`Session-Expires: 1800;refresher=uac`).
    pub fn params_of(&self, name: Name) -> Params<'_> {
        let value = self.get(name).unwrap_or(b"");
        Params::new(memchr::memchr(b';', value).map_or(b"", |at| &value[at..]))
    }

    /// The first value of a header as written; for list headers the whole first line.
    pub fn get(&self, name: Name) -> Option<&[u8]> {
        self.headers(name).next().map(|line| line.value())
    }

    /// The same as text; `None` when it is no UTF-8.
    pub fn text(&self, name: Name) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// All lines of one known header, in order.
    pub fn headers(&self, name: Name) -> impl Iterator<Item = HeaderLine<'_>> {
        self.lines.iter().filter(move |line| line.name == name).map(|line| self.line(*line))
    }

    /// All lines of the header called `name`, known to us or not, compact or not.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = HeaderLine<'a>> {
        let known = Name::read(name.as_bytes());
        self.all()
            .filter(move |line| line.name() == known && (known != Name::Other || line.name_bytes().eq_ignore_ascii_case(name.as_bytes())))
    }

    /// All header lines in order.
    pub fn all(&self) -> impl Iterator<Item = HeaderLine<'_>> {
        self.lines.iter().map(|line| self.line(*line))
    }

    /// All comma-separated values of a header over all its lines, trimmed.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        self.headers(name).flat_map(|line| line.values())
    }

    /// Whether a list of tokens (Supported, Require, Allow, Privacy with its semicolons excepted) holds `token`; compared without case.
    pub fn lists(&self, name: Name, token: &str) -> bool {
        self.values(name).any(|value| value.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Whether the sender supports or requires an extension.
    pub fn supports(&self, option: &str) -> bool {
        self.lists(Name::Supported, option) || self.lists(Name::Require, option)
    }

    /// The media type of the body without parameters, trimmed.
    pub fn content_type(&self) -> Option<&str> {
        let value = self.text(Name::ContentType)?;
        Some(value.split_once(';').map_or(value, |(media, _)| media).trim())
    }

    /// The body; empty when there is none.
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.body.0 as usize..self.body.1 as usize]
    }

    /// The body, sharing the message's bytes.
    pub fn body_bytes(&self) -> Bytes {
        self.bytes.slice(self.body.0 as usize..self.body.1 as usize)
    }

    fn line(&self, line: Line) -> HeaderLine<'_> {
        let start = line.start as usize;
        HeaderLine { bytes: &self.bytes[start..start + usize::from(line.total)], line }
    }

    /// Every value `read` takes off the lines of `name`, with its bytes.
    fn each<T: 'static>(&self, name: Name, read: fn(&mut Scan<'_>) -> Option<T>) -> impl Iterator<Item = (Bytes, T)> {
        self.headers(name).flat_map(move |line| {
            let mut rest = line.value();
            std::iter::from_fn(move || {
                let mut scan = Scan::new(rest);
                let item = read(&mut scan)?;
                let text = self.bytes.slice_ref(&rest[..scan.at]);
                scan.lws();
                rest = if scan.eat(b',') { &rest[scan.at..] } else { &[] };
                Some((text, item))
            })
        })
    }
}

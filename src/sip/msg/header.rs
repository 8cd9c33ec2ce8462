//! Header names and the typed values the core reads: Via, name-addr, CSeq, method, status, identifiers.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;

use super::scan::{Scan, Span, is_lws, is_token, trim};
use super::uri::{Host, Layout, Uri, host_port};

macro_rules! names {
    ($($variant:ident $text:literal $($compact:literal)?),* $(,)?) => {
        /// The headers we know by name. Names compare without case; compact forms are the same header.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Name {
            $(#[doc = concat!("`", $text, "`")] $variant,)*
            /// Any other header; its line says which.
            Other,
        }

        impl Name {
            /// The full name as we write it; empty for [`Name::Other`].
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other => "",
                }
            }

            /// Every known name.
            pub const KNOWN: &[Self] = &[$(Self::$variant),*];

            const fn compact(self) -> Option<u8> {
                match self {
                    $($(Self::$variant => Some($compact),)?)*
                    _ => None,
                }
            }
        }
    };
}

names! {
    Accept "Accept",
    AcceptEncoding "Accept-Encoding",
    AcceptLanguage "Accept-Language",
    AlertInfo "Alert-Info",
    Allow "Allow",
    AllowEvents "Allow-Events" b'u',
    AnswerMode "Answer-Mode",
    AuthenticationInfo "Authentication-Info",
    Authorization "Authorization",
    CallId "Call-ID" b'i',
    CallInfo "Call-Info",
    Contact "Contact" b'm',
    ContentDisposition "Content-Disposition",
    ContentEncoding "Content-Encoding" b'e',
    ContentLanguage "Content-Language",
    ContentLength "Content-Length" b'l',
    ContentType "Content-Type" b'c',
    CSeq "CSeq",
    Date "Date",
    Diversion "Diversion",
    ErrorInfo "Error-Info",
    Event "Event" b'o',
    Expires "Expires",
    From "From" b'f',
    HistoryInfo "History-Info",
    Identity "Identity" b'y',
    InReplyTo "In-Reply-To",
    Join "Join",
    MaxForwards "Max-Forwards",
    MimeVersion "MIME-Version",
    MinExpires "Min-Expires",
    MinSe "Min-SE",
    Organization "Organization",
    PAccessNetworkInfo "P-Access-Network-Info",
    PAssertedIdentity "P-Asserted-Identity",
    PChargingVector "P-Charging-Vector",
    PEarlyMedia "P-Early-Media",
    PPreferredIdentity "P-Preferred-Identity",
    Path "Path",
    Priority "Priority",
    Privacy "Privacy",
    ProxyAuthenticate "Proxy-Authenticate",
    ProxyAuthorization "Proxy-Authorization",
    ProxyRequire "Proxy-Require",
    RAck "RAck",
    RSeq "RSeq",
    Reason "Reason",
    RecordRoute "Record-Route",
    ReferSub "Refer-Sub",
    ReferTo "Refer-To" b'r',
    ReferredBy "Referred-By" b'b',
    RemotePartyId "Remote-Party-ID",
    Replaces "Replaces",
    ReplyTo "Reply-To",
    RequestDisposition "Request-Disposition" b'd',
    Require "Require",
    RetryAfter "Retry-After",
    Route "Route",
    Server "Server",
    ServiceRoute "Service-Route",
    SessionExpires "Session-Expires" b'x',
    SessionId "Session-ID",
    SipEtag "SIP-ETag",
    SipIfMatch "SIP-If-Match",
    Subject "Subject" b's',
    SubscriptionState "Subscription-State",
    Supported "Supported" b'k',
    TargetDialog "Target-Dialog",
    Timestamp "Timestamp",
    To "To" b't',
    Unsupported "Unsupported",
    UserAgent "User-Agent",
    UserToUser "User-to-User",
    Via "Via" b'v',
    Warning "Warning",
    WwwAuthenticate "WWW-Authenticate",
}

const BUCKETS: usize = 256;

/// Names by a small hash of length, first and last letter: one or two comparisons find a name.
const INDEX: [[Name; 3]; BUCKETS] = {
    let mut table = [[Name::Other; 3]; BUCKETS];
    let mut next = 0;
    while next < Name::KNOWN.len() {
        let name = Name::KNOWN[next];
        let bucket = bucket(name.as_str().as_bytes());
        let mut slot = 0;
        while !matches!(table[bucket][slot], Name::Other) {
            slot += 1;
        }
        table[bucket][slot] = name;
        next += 1;
    }
    table
};

const COMPACT: [Name; 26] = {
    let mut table = [Name::Other; 26];
    let mut next = 0;
    while next < Name::KNOWN.len() {
        if let Some(letter) = Name::KNOWN[next].compact() {
            table[(letter - b'a') as usize] = Name::KNOWN[next];
        }
        next += 1;
    }
    table
};

const fn bucket(name: &[u8]) -> usize {
    let (first, middle, last) = ((name[0] | 0x20) as usize, (name[name.len() / 2] | 0x20) as usize, (name[name.len() - 1] | 0x20) as usize);
    (first * 7 + middle * 31 + last * 3 + name.len() * 13) % BUCKETS
}

impl Name {
    /// Which header `text` names, full or compact.
    pub fn read(text: &[u8]) -> Self {
        match text {
            [] => Self::Other,
            [letter] => match letter.to_ascii_lowercase() {
                letter @ b'a'..=b'z' => COMPACT[usize::from(letter - b'a')],
                _ => Self::Other,
            },
            _ => INDEX[bucket(text)].into_iter().find(|name| name.as_str().as_bytes().eq_ignore_ascii_case(text)).unwrap_or(Self::Other),
        }
    }

    /// Headers a message has at most once and as one value; a second is an attack or a fault (RFC 3261 §7.3.1, RFC 4475 §3.3.8).
    pub const fn is_single(self) -> bool {
        matches!(
            self,
            Self::CallId
                | Self::ContentDisposition
                | Self::ContentLength
                | Self::ContentType
                | Self::CSeq
                | Self::Event
                | Self::Expires
                | Self::From
                | Self::MaxForwards
                | Self::MinExpires
                | Self::MinSe
                | Self::RAck
                | Self::RSeq
                | Self::ReferTo
                | Self::ReferredBy
                | Self::Replaces
                | Self::RetryAfter
                | Self::SessionExpires
                | Self::To
        )
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request method. Compared with case (RFC 3261 §7.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Method {
    /// `INVITE`
    Invite,
    /// `ACK`
    Ack,
    /// `BYE`
    Bye,
    /// `CANCEL`
    Cancel,
    /// `OPTIONS`
    Options,
    /// `REGISTER`
    Register,
    /// `PRACK` (RFC 3262)
    Prack,
    /// `UPDATE` (RFC 3311)
    Update,
    /// `INFO` (RFC 6086)
    Info,
    /// `MESSAGE` (RFC 3428)
    Message,
    /// `REFER` (RFC 3515)
    Refer,
    /// `NOTIFY` (RFC 6665)
    Notify,
    /// `SUBSCRIBE` (RFC 6665)
    Subscribe,
    /// `PUBLISH` (RFC 3903)
    Publish,
    /// Another token.
    Other(Box<str>),
}

impl Method {
    /// Reads a method; `None` when it is no token.
    pub fn read(text: &[u8]) -> Option<Self> {
        Some(match text {
            b"INVITE" => Self::Invite,
            b"ACK" => Self::Ack,
            b"BYE" => Self::Bye,
            b"CANCEL" => Self::Cancel,
            b"OPTIONS" => Self::Options,
            b"REGISTER" => Self::Register,
            b"PRACK" => Self::Prack,
            b"UPDATE" => Self::Update,
            b"INFO" => Self::Info,
            b"MESSAGE" => Self::Message,
            b"REFER" => Self::Refer,
            b"NOTIFY" => Self::Notify,
            b"SUBSCRIBE" => Self::Subscribe,
            b"PUBLISH" => Self::Publish,
            other if !other.is_empty() && other.iter().all(|byte| is_token(*byte)) => Self::Other(std::str::from_utf8(other).ok()?.into()),
            _ => return None,
        })
    }

    /// The method as written on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Options => "OPTIONS",
            Self::Register => "REGISTER",
            Self::Prack => "PRACK",
            Self::Update => "UPDATE",
            Self::Info => "INFO",
            Self::Message => "MESSAGE",
            Self::Refer => "REFER",
            Self::Notify => "NOTIFY",
            Self::Subscribe => "SUBSCRIBE",
            Self::Publish => "PUBLISH",
            Self::Other(name) => name,
        }
    }

    /// Whether the method is one of the RFCs we know: an unknown one is answered 501, a known one we do not do 405.
    pub const fn is_known(&self) -> bool {
        !matches!(self, Self::Other(_))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A response status, 100 to 699.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Status(u16);

macro_rules! statuses {
    ($($constant:ident $code:literal $reason:literal),* $(,)?) => {
        #[expect(missing_docs, reason = "the names are the RFCs' own")]
        impl Status {
            $(pub const $constant: Self = Self($code);)*

            /// The RFCs' reason phrase.
            pub const fn reason(self) -> &'static str {
                match self.0 {
                    $($code => $reason,)*
                    100..=199 => "Progress",
                    200..=299 => "Success",
                    300..=399 => "Redirection",
                    400..=499 => "Request Failure",
                    500..=599 => "Server Failure",
                    _ => "Global Failure",
                }
            }
        }
    };
}

statuses! {
    TRYING 100 "Trying",
    RINGING 180 "Ringing",
    CALL_IS_BEING_FORWARDED 181 "Call Is Being Forwarded",
    QUEUED 182 "Queued",
    SESSION_PROGRESS 183 "Session Progress",
    OK 200 "OK",
    ACCEPTED 202 "Accepted",
    NO_NOTIFICATION 204 "No Notification",
    MULTIPLE_CHOICES 300 "Multiple Choices",
    MOVED_PERMANENTLY 301 "Moved Permanently",
    MOVED_TEMPORARILY 302 "Moved Temporarily",
    USE_PROXY 305 "Use Proxy",
    BAD_REQUEST 400 "Bad Request",
    UNAUTHORIZED 401 "Unauthorized",
    PAYMENT_REQUIRED 402 "Payment Required",
    FORBIDDEN 403 "Forbidden",
    NOT_FOUND 404 "Not Found",
    METHOD_NOT_ALLOWED 405 "Method Not Allowed",
    NOT_ACCEPTABLE 406 "Not Acceptable",
    PROXY_AUTHENTICATION_REQUIRED 407 "Proxy Authentication Required",
    REQUEST_TIMEOUT 408 "Request Timeout",
    GONE 410 "Gone",
    REQUEST_ENTITY_TOO_LARGE 413 "Request Entity Too Large",
    REQUEST_URI_TOO_LONG 414 "Request-URI Too Long",
    UNSUPPORTED_MEDIA_TYPE 415 "Unsupported Media Type",
    UNSUPPORTED_URI_SCHEME 416 "Unsupported URI Scheme",
    BAD_EXTENSION 420 "Bad Extension",
    EXTENSION_REQUIRED 421 "Extension Required",
    SESSION_INTERVAL_TOO_SMALL 422 "Session Interval Too Small",
    INTERVAL_TOO_BRIEF 423 "Interval Too Brief",
    TEMPORARILY_UNAVAILABLE 480 "Temporarily Unavailable",
    NO_SUCH_CALL 481 "Call/Transaction Does Not Exist",
    LOOP_DETECTED 482 "Loop Detected",
    TOO_MANY_HOPS 483 "Too Many Hops",
    ADDRESS_INCOMPLETE 484 "Address Incomplete",
    AMBIGUOUS 485 "Ambiguous",
    BUSY_HERE 486 "Busy Here",
    REQUEST_TERMINATED 487 "Request Terminated",
    NOT_ACCEPTABLE_HERE 488 "Not Acceptable Here",
    BAD_EVENT 489 "Bad Event",
    REQUEST_PENDING 491 "Request Pending",
    UNDECIPHERABLE 493 "Undecipherable",
    INTERNAL_ERROR 500 "Server Internal Error",
    NOT_IMPLEMENTED 501 "Not Implemented",
    BAD_GATEWAY 502 "Bad Gateway",
    SERVICE_UNAVAILABLE 503 "Service Unavailable",
    SERVER_TIMEOUT 504 "Server Time-out",
    VERSION_NOT_SUPPORTED 505 "Version Not Supported",
    MESSAGE_TOO_LARGE 513 "Message Too Large",
    BUSY_EVERYWHERE 600 "Busy Everywhere",
    DECLINE 603 "Decline",
    DOES_NOT_EXIST_ANYWHERE 604 "Does Not Exist Anywhere",
    NOT_ACCEPTABLE_ANYWHERE 606 "Not Acceptable",
    UNWANTED 607 "Unwanted",
}

impl Status {
    /// `None` outside 100 to 699.
    pub const fn new(code: u16) -> Option<Self> {
        if code >= 100 && code < 700 { Some(Self(code)) } else { None }
    }

    /// The number.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// 1xx.
    pub const fn is_provisional(self) -> bool {
        self.0 < 200
    }

    /// 2xx.
    pub const fn is_success(self) -> bool {
        self.0 >= 200 && self.0 < 300
    }

    /// 2xx to 6xx.
    pub const fn is_final(self) -> bool {
        self.0 >= 200
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! identifiers {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(Box<str>);

        impl $name {
            /// Wraps an identifier we made or read.
            pub fn new(text: impl Into<Box<str>>) -> Self {
                Self(text.into())
            }

            /// As on the wire.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

identifiers! {
    /// A Call-ID, compared with case.
    SipCallId,
    /// A From or To tag. Tokens compare without case by the grammar, but every stack compares bytes, and so do we.
    Tag,
    /// The branch of a Via.
    Branch,
}

/// The magic cookie of RFC 3261 §8.1.1.7.
pub const BRANCH_COOKIE: &str = "z9hG4bK";

/// A sequence number with its method.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CSeq {
    /// Below 2³¹ (RFC 3261 §8.1.1.5).
    pub number: u32,
    /// The method of the transaction.
    pub method: Method,
}

impl CSeq {
    /// Reads `number LWS method`.
    pub fn read(value: &[u8]) -> Option<Self> {
        let mut scan = Scan::new(value);
        scan.lws();
        let number = super::scan::decimal(scan.run(|byte| byte.is_ascii_digit()))?;
        if number >= 1 << 31 || !scan.peek().is_some_and(is_lws) {
            return None;
        }
        scan.lws();
        let method = Method::read(scan.token()?)?;
        scan.at_end().then_some(Self { number: u32::try_from(number).ok()?, method })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

/// The parameters of a header value, read on demand. `;tag=x;lr` with its first semicolon; white space may surround the parts.
#[derive(Clone, Copy)]
pub struct Params<'a>(&'a [u8]);

impl<'a> Params<'a> {
    /// Reads `;name=value…`. What is malformed ends the list.
    pub const fn new(text: &'a [u8]) -> Self {
        Self(text)
    }

    /// Name and raw value in order. Values keep their quotes.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> {
        let mut scan = Scan::new(self.0);
        std::iter::from_fn(move || {
            scan.lws();
            if !scan.eat(b';') {
                return None;
            }
            let (name, value) = scan.param()?;
            Some((std::str::from_utf8(name).ok()?, value))
        })
    }

    /// The value of a parameter, without its quotes when it has them (escapes stay); `Some("")` when it has none. Not UTF-8: `None`.
    pub fn get(self, name: &str) -> Option<&'a str> {
        let (_, value) = self.iter().find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        let value = value.unwrap_or(b"");
        let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        std::str::from_utf8(value).ok()
    }

    /// Whether the parameter is there, with or without a value.
    pub fn has(self, name: &str) -> bool {
        self.iter().any(|(found, _)| found.eq_ignore_ascii_case(name))
    }

    /// The text, from the first semicolon.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

/// One Via value.
#[derive(Clone)]
pub struct Via {
    text: Bytes,
    layout: ViaLayout,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct ViaLayout {
    transport: Span,
    host: Span,
    port: Option<u16>,
    pub(super) params: Span,
}

/// Takes one `via-parm` off the scan. `None` when it is malformed.
pub(super) fn scan_via(scan: &mut Scan<'_>) -> Option<ViaLayout> {
    scan.lws();
    if !scan.token()?.eq_ignore_ascii_case(b"SIP") {
        return None;
    }
    scan.lws();
    if !scan.eat(b'/') {
        return None;
    }
    scan.lws();
    scan.token()?;
    scan.lws();
    if !scan.eat(b'/') {
        return None;
    }
    scan.lws();
    let start = scan.at;
    scan.token()?;
    let transport = Span::new(start, scan.at)?;
    if !scan.peek().is_some_and(is_lws) {
        return None;
    }
    scan.lws();
    let start = scan.at;
    let (host_end, mut port, end) = host_port(scan.bytes, start)?;
    scan.at = end;
    if port.is_none() {
        // RFC 3261 §25.1: COLON allows white space around it: "host : 5060".
        let before = scan.at;
        scan.lws();
        if scan.eat(b':') {
            scan.lws();
            port = Some(u16::try_from(super::scan::decimal(scan.run(|byte| byte.is_ascii_digit()))?).ok()?);
        } else {
            scan.at = before;
        }
    }
    let params = scan.params()?;
    Some(ViaLayout { transport, host: Span::new(start, host_end)?, port, params })
}

impl Via {
    /// Reads one value, without a comma after it.
    pub fn parse(text: Bytes) -> Option<Self> {
        let mut scan = Scan::new(&text);
        let layout = scan_via(&mut scan)?;
        scan.at_end().then_some(Self { text, layout })
    }

    pub(super) const fn assemble(text: Bytes, layout: ViaLayout) -> Self {
        Self { text, layout }
    }

    /// Our own: `SIP/2.0/UDP host:port;rport;branch=…`.
    pub fn new(transport: &str, host: &Host, port: Option<u16>, branch: &str) -> Self {
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Self::parse(format!("SIP/2.0/{transport} {host}{port};rport;branch={branch}").into())
            .unwrap_or_else(|| Self::parse(Bytes::from_static(b"SIP/2.0/UDP invalid.invalid")).expect("a constant"))
    }

    /// The value as written.
    pub fn as_bytes(&self) -> &[u8] {
        trim(&self.text)
    }

    /// `UDP`, `TCP`, `TLS`, `WS`, … as written.
    pub fn transport(&self) -> &str {
        std::str::from_utf8(self.layout.transport.of(&self.text)).unwrap_or("")
    }

    /// The host of sent-by.
    pub fn host(&self) -> Host {
        Host::read(self.host_text())
    }

    /// The host of sent-by as written.
    pub fn host_text(&self) -> &str {
        std::str::from_utf8(self.layout.host.of(&self.text)).unwrap_or("")
    }

    /// The port of sent-by, when written.
    pub const fn port(&self) -> Option<u16> {
        self.layout.port
    }

    /// All parameters.
    pub fn params(&self) -> Params<'_> {
        Params(self.layout.params.of(&self.text))
    }

    /// The branch; empty when there is none (RFC 2543).
    pub fn branch(&self) -> &str {
        self.params().get("branch").unwrap_or("")
    }

    /// Whether the branch identifies the transaction (RFC 3261 §17.2.3). A bare cookie does not (RFC 4475 §3.2.1).
    pub fn is_unique(&self) -> bool {
        self.branch().strip_prefix(BRANCH_COOKIE).is_some_and(|rest| !rest.is_empty())
    }

    /// `rport` as the sender left it: `Some(None)` asks for symmetric responses (RFC 3581), `Some(Some(port))` has been filled in.
    pub fn rport(&self) -> Option<Option<u16>> {
        self.params().get("rport").map(|port| port.parse().ok())
    }

    /// `received`, IPv6 with or without brackets (RFC 5118 §4.5).
    pub fn received(&self) -> Option<IpAddr> {
        let text = self.params().get("received")?;
        text.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// `maddr`.
    pub fn maddr(&self) -> Option<&str> {
        self.params().get("maddr")
    }
}

impl fmt::Debug for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Via({})", String::from_utf8_lossy(self.as_bytes()))
    }
}

/// A name-addr or addr-spec with header parameters: From, To, Contact, Route, Record-Route, P-Asserted-Identity and kin.
#[derive(Clone)]
pub struct NameAddr {
    text: Bytes,
    display: Span,
    uri: Uri,
    params: Span,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct NameAddrLayout {
    display: Span,
    uri: Span,
    pub(super) uri_layout: Layout,
    pub(super) params: Span,
}

/// Takes one `name-addr / addr-spec *(; param)` off the scan.
pub(super) fn scan_name_addr(scan: &mut Scan<'_>) -> Option<NameAddrLayout> {
    scan.lws();
    let start = scan.at;
    let display = if scan.peek() == Some(b'"') {
        scan.quoted()?;
        let end = scan.at;
        scan.lws();
        if scan.peek() != Some(b'<') {
            return None;
        }
        Span::new(start, end)?
    } else {
        let stop = scan.bytes[start..].iter().position(|byte| matches!(byte, b'<' | b':' | b',' | b';' | b'"' | b'\\'))? + start;
        match scan.bytes[stop] {
            b'<' => {
                scan.at = stop;
                Span::new(start, start + trim(&scan.bytes[start..stop]).len())?
            }
            b':' => {
                // RFC 3261 §20.10: without angle brackets what follows a semicolon belongs to the header, and "?" and "," cannot be.
                let uri = scan.run(|byte| !is_lws(byte) && byte != b';' && byte != b',');
                let uri_layout = Layout::of(uri)?;
                if memchr::memchr(b'?', uri).is_some() {
                    return None;
                }
                let uri = Span::new(start, scan.at)?;
                let params = scan.params()?;
                return Some(NameAddrLayout { display: Span::new(start, start)?, uri, uri_layout, params });
            }
            _ => return None,
        }
    };
    if !scan.eat(b'<') {
        return None;
    }
    let start = scan.at;
    let end = start + memchr::memchr(b'>', &scan.bytes[start..])?;
    let uri_layout = Layout::of(&scan.bytes[start..end])?;
    scan.at = end + 1;
    let params = scan.params()?;
    Some(NameAddrLayout { display, uri: Span::new(start, end)?, uri_layout, params })
}

impl NameAddr {
    /// Reads one value, without a comma after it; shares `text`.
    pub fn parse(text: Bytes) -> Option<Self> {
        let mut scan = Scan::new(&text);
        let layout = scan_name_addr(&mut scan)?;
        scan.at_end().then(|| Self::assemble(text, layout))
    }

    pub(super) fn assemble(text: Bytes, layout: NameAddrLayout) -> Self {
        let uri = text.slice(usize::from(layout.uri.start)..usize::from(layout.uri.end));
        Self { uri: Uri::assemble(uri, layout.uri_layout), text, display: layout.display, params: layout.params }
    }

    /// `<uri>` or `"display" <uri>`; the display name is quoted and escaped.
    pub fn new(display: Option<&str>, uri: &Uri) -> Self {
        let mut text = Vec::with_capacity(uri.as_bytes().len() + 40);
        if let Some(display) = display {
            text.push(b'"');
            for byte in display.bytes().filter(|byte| !byte.is_ascii_control()) {
                if matches!(byte, b'"' | b'\\') {
                    text.push(b'\\');
                }
                text.push(byte);
            }
            text.extend_from_slice(b"\" ");
        }
        text.push(b'<');
        text.extend_from_slice(uri.as_bytes());
        text.push(b'>');
        Self::parse(text.into()).unwrap_or_else(|| Self::parse(Bytes::from_static(b"<sip:invalid.invalid>")).expect("a constant"))
    }

    /// The same with one header parameter more, or another value for one it has.
    #[must_use]
    pub fn with_param(&self, name: &str, value: Option<&str>) -> Self {
        let mut text = self.text[..usize::from(self.params.start)].to_vec();
        if !text.contains(&b'<') {
            // An addr-spec gets its brackets, so that no later parameter can be taken for the URI's.
            text = [b"<", trim(&text), b">"].concat();
        }
        for (found, value) in self.params().iter().filter(|(found, _)| !found.eq_ignore_ascii_case(name)) {
            text.push(b';');
            text.extend_from_slice(found.as_bytes());
            if let Some(value) = value {
                text.push(b'=');
                text.extend_from_slice(value);
            }
        }
        text.push(b';');
        text.extend_from_slice(name.as_bytes());
        if let Some(value) = value {
            text.push(b'=');
            text.extend_from_slice(value.as_bytes());
        }
        Self::parse(text.into()).unwrap_or_else(|| self.clone())
    }

    /// The same with this tag.
    #[must_use]
    pub fn with_tag(&self, tag: &Tag) -> Self {
        self.with_param("tag", Some(tag.as_str()))
    }

    /// The value as written.
    pub fn as_bytes(&self) -> &[u8] {
        trim(&self.text)
    }

    /// A copy that does not keep the message it came from alive.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self { text: Bytes::copy_from_slice(&self.text), uri: self.uri.detach(), ..self.clone() }
    }

    /// The display name without quotes and escapes; any bytes (Latin-1 is common). Empty when there is none.
    pub fn display(&self) -> Cow<'_, [u8]> {
        let raw = self.display.of(&self.text);
        let Some(inside) = raw.strip_prefix(b"\"").and_then(|raw| raw.strip_suffix(b"\"")) else { return Cow::Borrowed(raw) };
        if memchr::memchr(b'\\', inside).is_none() {
            return Cow::Borrowed(inside);
        }
        let mut bytes = inside.iter();
        let mut plain = Vec::with_capacity(inside.len());
        while let Some(byte) = bytes.next() {
            plain.extend(if *byte == b'\\' { bytes.next() } else { Some(byte) });
        }
        Cow::Owned(plain)
    }

    /// The display name as text, for people and logs: control characters removed, bytes that are no UTF-8 read as Latin-1.
    pub fn display_text(&self) -> String {
        let bytes = self.display();
        let text = std::str::from_utf8(&bytes).map_or_else(|_| bytes.iter().map(|byte| char::from(*byte)).collect(), str::to_owned);
        text.chars().filter(|letter| !letter.is_control()).collect()
    }

    /// The URI.
    pub const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The header parameters (not the URI's).
    pub fn params(&self) -> Params<'_> {
        Params(self.params.of(&self.text))
    }

    /// The tag parameter.
    pub fn tag(&self) -> Option<&str> {
        self.params().get("tag").filter(|tag| !tag.is_empty())
    }
}

impl fmt::Debug for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NameAddr({})", String::from_utf8_lossy(self.as_bytes()))
    }
}

/// The same text.
impl PartialEq for NameAddr {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for NameAddr {}

impl std::str::FromStr for NameAddr {
    type Err = super::UriError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(Bytes::copy_from_slice(text.as_bytes())).ok_or(super::UriError)
    }
}

/// As text; display names that are no UTF-8 lose their odd bytes, so what goes on the wire uses [`NameAddr::as_bytes`].
impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl serde::Serialize for NameAddr {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for NameAddr {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;

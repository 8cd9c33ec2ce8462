//! URIs (RFC 3261 §19.1, RFC 3966): `sip:` and `sips:` taken apart, `tel:` half, all others kept as they are.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use bytes::Bytes;

use super::limit;
use super::scan::Span;

/// A URI: its text, and where its parts are. Cloning is cheap; a URI read from a message shares the message's bytes.
#[derive(Clone)]
pub struct Uri {
    text: Bytes,
    scheme: Scheme,
    user: Option<Span>,
    host: Span,
    port: Option<u16>,
    params: Span,
    headers: Span,
}

/// What kind of URI it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`, whose number [`Uri::user`] gives.
    Tel,
    /// Anything else, opaque.
    Other,
}

/// A host: a name or an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// An address literal.
    Address(IpAddr),
    /// A domain name, as written.
    Name(String),
}

/// The text is no URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a URI: write it like sip:user@host:port, sips:host or tel:+number")]
pub struct UriError;

impl Uri {
    /// Reads a URI; shares `text`.
    pub fn parse(text: Bytes) -> Result<Self, UriError> {
        let layout = Layout::of(&text).ok_or(UriError)?;
        Ok(Self::assemble(text, layout))
    }

    pub(super) fn assemble(text: Bytes, layout: Layout) -> Self {
        let Layout { scheme, user, host, port, params, headers } = layout;
        Self { text, scheme, user, host, port, params, headers }
    }

    /// `sip:user@host:port`; the user part is escaped, an IPv6 host bracketed.
    pub fn sip(user: Option<&str>, host: &Host, port: Option<u16>) -> Self {
        let mut text = String::from("sip:");
        if let Some(user) = user {
            escape_user(user, &mut text);
            text.push('@');
        }
        text.push_str(&host.to_string());
        if let Some(port) = port {
            text.push(':');
            text.push_str(&port.to_string());
        }
        // A name that is no host name cannot become a URI; say so in the text rather than fail later.
        Self::parse(text.into()).unwrap_or_else(|_| Self::parse(Bytes::from_static(b"sip:invalid.invalid")).expect("a constant"))
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        text_of(&self.text)
    }

    /// The whole text, as bytes to pass on.
    pub fn as_bytes(&self) -> &Bytes {
        &self.text
    }

    /// A copy that does not keep the message it came from alive.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self { text: Bytes::copy_from_slice(&self.text), ..self.clone() }
    }

    /// The kind of URI.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The scheme as written, without the colon.
    pub fn scheme_text(&self) -> &str {
        self.as_str().split_once(':').map_or("", |(scheme, _)| scheme)
    }

    /// The user part without its password, still escaped; for `tel:` the number.
    pub fn user(&self) -> Option<&str> {
        let userinfo = text_of(self.user?.of(&self.text));
        Some(if self.scheme == Scheme::Tel { userinfo } else { userinfo.split_once(':').map_or(userinfo, |(user, _)| user) })
    }

    /// The user part with escapes resolved (lossy where they are no UTF-8), up to its own `;` parameters: what a dialled number is read from.
    pub fn user_unescaped(&self) -> Option<String> {
        let user = self.user()?;
        let user = user.split_once(';').map_or(user, |(plain, _)| plain);
        Some(percent_encoding::percent_decode_str(user).decode_utf8_lossy().into_owned())
    }

    /// The host as written, IPv6 in its brackets; empty when the scheme has none.
    pub fn host_text(&self) -> &str {
        text_of(self.host.of(&self.text))
    }

    /// The host; `None` when the scheme has none.
    pub fn host(&self) -> Option<Host> {
        (!self.host.is_empty()).then(|| Host::read(self.host_text()))
    }

    /// The port, when one is written.
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The value of a parameter, `Some("")` when it has none; names compare without case.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.unwrap_or(""))
    }

    /// All parameters in order, still escaped.
    pub fn params(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        text_of(self.params.of(&self.text))
            .split(';')
            .skip(1)
            .map(|param| param.split_once('=').map_or((param, None), |(name, value)| (name, Some(value))))
    }

    /// A route is loose when its URI has `lr` (RFC 3261 §19.1.1).
    pub fn is_loose(&self) -> bool {
        self.param("lr").is_some()
    }

    /// The `?name=value` headers, without the question mark; empty when there are none.
    pub fn headers(&self) -> &str {
        text_of(self.headers.of(&self.text)).strip_prefix('?').unwrap_or("")
    }

    /// The same URI without headers and without `method`: fit for a Request-URI (RFC 3261 §19.1.1, table 1).
    #[must_use]
    pub fn for_request(&self) -> Self {
        if self.headers.is_empty() && self.param("method").is_none() {
            return self.clone();
        }
        let mut text = text_of(&self.text[..usize::from(self.params.start)]).to_owned();
        for (name, value) in self.params().filter(|(name, _)| !name.eq_ignore_ascii_case("method")) {
            push_param(&mut text, name, value);
        }
        Self::parse(text.into()).unwrap_or_else(|_| self.clone())
    }

    /// The same URI with one parameter more.
    #[must_use]
    pub fn with_param(&self, name: &str, value: Option<&str>) -> Self {
        let split = usize::from(self.headers.start);
        let mut text = text_of(&self.text[..split]).to_owned();
        push_param(&mut text, name, value);
        text.push_str(text_of(&self.text[split..]));
        Self::parse(text.into()).unwrap_or_else(|_| self.clone())
    }

    /// RFC 3261 §19.1.4: whether two URIs mean the same.
    pub fn is_equivalent(&self, other: &Self) -> bool {
        if self.scheme != other.scheme || !matches!(self.scheme, Scheme::Sip | Scheme::Sips) {
            return self.as_str() == other.as_str();
        }
        let userinfo = |uri: &Self| uri.user.map(|span| percent_encoding::percent_decode(span.of(&uri.text)).collect::<Vec<u8>>());
        let same_param = |name: &str| match (self.param(name), other.param(name)) {
            (Some(one), Some(two)) => one.eq_ignore_ascii_case(two),
            (None, None) => true,
            // These four never match when only one URI has them; others are ignored then.
            (None, Some(_)) | (Some(_), None) => {
                !["user", "ttl", "method", "maddr", "transport"].iter().any(|must| name.eq_ignore_ascii_case(must))
            }
        };
        userinfo(self) == userinfo(other)
            && self.host().zip(other.host()).is_some_and(|(one, two)| one.same(&two))
            && self.port == other.port
            && self.params().chain(other.params()).all(|(name, _)| same_param(name))
            && self.headers().eq_ignore_ascii_case(other.headers())
    }
}

fn push_param(text: &mut String, name: &str, value: Option<&str>) {
    text.push(';');
    text.push_str(name);
    if let Some(value) = value {
        text.push('=');
        text.push_str(value);
    }
}

fn escape_user(user: &str, out: &mut String) {
    for byte in user.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.extend([byte >> 4, byte & 15].map(|digit| char::from(b"0123456789ABCDEF"[usize::from(digit)])));
        }
    }
}

impl Host {
    /// Reads a host: an address, a bracketed IPv6 address, or a name.
    pub fn read(text: &str) -> Self {
        if let Some(address) = ipv6_reference(text.as_bytes()) {
            return Self::Address(address.into());
        }
        text.parse::<Ipv4Addr>().map_or_else(|_| Self::Name(text.to_owned()), |address| Self::Address(address.into()))
    }

    /// Whether both are the same host; names compare without case.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(one), Self::Name(two)) => one.eq_ignore_ascii_case(two),
            (one, two) => one == two,
        }
    }

    /// The address, when it is one.
    pub const fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Name(_) => None,
        }
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        Self::Address(address)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Where the parts of a URI are, before it is known whose bytes they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    scheme: Scheme,
    user: Option<Span>,
    host: Span,
    port: Option<u16>,
    params: Span,
    headers: Span,
}

impl Layout {
    /// Whether the URI carries `?headers`, which no Request-URI may.
    pub(super) const fn has_headers(&self) -> bool {
        !self.headers.is_empty()
    }

    /// `None` when `text` is no URI.
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        if text.len() > limit::HEADER_LINE_BYTES
            || !text.iter().all(|byte| is_uri_byte(*byte))
            || (!text.is_ascii() && std::str::from_utf8(text).is_err())
        {
            return None;
        }
        let colon = memchr::memchr(b':', text)?;
        let scheme = match &text[..colon] {
            name if name.eq_ignore_ascii_case(b"sip") => Scheme::Sip,
            name if name.eq_ignore_ascii_case(b"sips") => Scheme::Sips,
            name if name.eq_ignore_ascii_case(b"tel") => Scheme::Tel,
            [first, rest @ ..]
                if first.is_ascii_alphabetic() && rest.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)) =>
            {
                Scheme::Other
            }
            _ => return None,
        };
        match scheme {
            Scheme::Sip | Scheme::Sips => Self::of_sip(text, scheme, colon + 1),
            Scheme::Tel => Self::of_tel(text, colon + 1),
            Scheme::Other => {
                let end = Span::new(text.len(), text.len())?;
                (colon + 1 < text.len()).then_some(Self { scheme, user: None, host: end, port: None, params: end, headers: end })
            }
        }
    }

    fn of_sip(text: &[u8], scheme: Scheme, start: usize) -> Option<Self> {
        let (user, host_start) = match memchr::memchr(b'@', &text[start..]) {
            None => (None, start),
            // RFC 3261 §25.1: an empty user part is none, and then there is no "@" either.
            Some(0) => return None,
            Some(length) => (Some(Span::new(start, start + length)?), start + length + 1),
        };
        if user.is_some_and(|user| !escapes_are_whole(user.of(text)) || user.of(text)[0] == b':') {
            return None;
        }
        let (host_end, port, after) = host_port(text, host_start)?;
        let rest = &text[after..];
        if memchr::memchr(b'@', rest).is_some() {
            return None;
        }
        let question = memchr::memchr(b'?', rest).map_or(text.len(), |offset| after + offset);
        let params = &text[after..question];
        if !params.is_empty() && (params[0] != b';' || !params_are_whole(params)) {
            return None;
        }
        let headers = &text[question..];
        if headers.len() == 1 || !escapes_are_whole(headers) {
            return None;
        }
        Some(Self {
            scheme,
            user,
            host: Span::new(host_start, host_end)?,
            port,
            params: Span::new(after, question)?,
            headers: Span::new(question, text.len())?,
        })
    }

    fn of_tel(text: &[u8], start: usize) -> Option<Self> {
        let end = memchr::memchr(b';', &text[start..]).map_or(text.len(), |offset| start + offset);
        let number = &text[start..end];
        // RFC 3966 §3: digits with visual separators; `*`, `#` and hexadecimal in local numbers.
        let digit = |byte: &u8| byte.is_ascii_hexdigit() || b"*#-.()".contains(byte);
        let digits = number.strip_prefix(b"+").unwrap_or(number);
        if digits.is_empty() || !digits.iter().all(digit) || (end < text.len() && !params_are_whole(&text[end..])) {
            return None;
        }
        let none = Span::new(text.len(), text.len())?;
        Some(Self {
            scheme: Scheme::Tel,
            user: Some(Span::new(start, end)?),
            host: none,
            port: None,
            params: Span::new(end, text.len())?,
            headers: none,
        })
    }
}

/// `host [":" port]` from `start`: the end of the host, the port, and the end of both.
pub(super) fn host_port(text: &[u8], start: usize) -> Option<(usize, Option<u16>, usize)> {
    let rest = text.get(start..)?;
    let length = if rest.first() == Some(&b'[') {
        let close = memchr::memchr(b']', rest)?;
        ipv6_reference(&rest[..=close])?;
        close + 1
    } else {
        rest.iter().position(|byte| !is_host_byte(*byte)).unwrap_or(rest.len())
    };
    if length == 0 {
        return None;
    }
    let host_end = start + length;
    if text.get(host_end) != Some(&b':') {
        return Some((host_end, None, host_end));
    }
    let digits = text[host_end + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let end = host_end + 1 + digits;
    let port = std::str::from_utf8(&text[host_end + 1..end]).ok()?.parse::<u16>().ok()?;
    Some((host_end, Some(port), end))
}

/// `[…]` as an address. RFC 5118 §4.10: the grammar of RFC 3261 wrongly asks for three colons before an embedded IPv4 address, so three
/// colons are read as two.
pub(super) fn ipv6_reference(text: &[u8]) -> Option<Ipv6Addr> {
    let inside = std::str::from_utf8(text.strip_prefix(b"[")?.strip_suffix(b"]")?).ok()?;
    inside
        .parse()
        .ok()
        .or_else(|| if inside.contains(":::") && inside.contains('.') { inside.replacen(":::", "::", 1).parse().ok() } else { None })
}

/// Escapes are `%` and two hexadecimal digits.
fn escapes_are_whole(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'%', bytes).all(|at| bytes.get(at + 1..at + 3).is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit)))
}

/// `;name` or `;name=value`, none of them empty.
fn params_are_whole(bytes: &[u8]) -> bool {
    let mut count = 0;
    escapes_are_whole(bytes)
        && bytes[1..].split(|byte| *byte == b';').all(|param| {
            count += 1;
            let mut halves = param.splitn(2, |byte| *byte == b'=');
            count <= limit::PARAMS
                && halves.next().is_some_and(|name| !name.is_empty())
                && halves.next().is_none_or(|value| !value.is_empty())
        })
}

/// Visible bytes but the ones that end a URI wherever it is written. Wider than the grammar: carriers write `#`, and names beyond ASCII.
const fn is_uri_byte(byte: u8) -> bool {
    (byte > 0x20 && byte != 0x7f) && !matches!(byte, b'<' | b'>' | b'"' | b'\\')
}

const fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

fn text_of(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or("")
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        Self::parse(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uri({})", self.as_str())
    }
}

/// The same text; for the same meaning see [`Uri::is_equivalent`].
impl PartialEq for Uri {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Uri {}

impl std::hash::Hash for Uri {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl serde::Serialize for Uri {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Uri {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;

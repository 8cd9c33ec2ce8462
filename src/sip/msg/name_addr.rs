//! Addresses with display names and parameters: From, To, Contact, Route and kin.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use super::header::{Params, Tag};
use super::scan::{Scan, Span, is_lws, trim};
use super::uri::{Layout, Uri};

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
        Params::new(self.params.of(&self.text))
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
mod tests {
    use super::*;

    fn address(text: &str) -> Option<NameAddr> {
        NameAddr::parse(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn addresses_come_apart() {
        let full = address(r#""A. \"B\" <x>, y" <sip:a@h;lr?x=y> ;tag=1; expires = "5" ;flag"#).unwrap();
        assert_eq!((&*full.display(), full.uri().as_str(), full.tag()), (&br#"A. "B" <x>, y"#[..], "sip:a@h;lr?x=y", Some("1")));
        assert_eq!((full.params().get("Expires"), full.params().get("flag"), full.params().has("lr")), (Some("5"), Some(""), false));
        let bare = address("sip:a@h;tag=2").unwrap();
        assert_eq!((bare.uri().as_str(), bare.tag(), bare.display().is_empty()), ("sip:a@h", Some("2"), true));
        assert_eq!(address("<sip:a@h>").unwrap().tag(), None);
        for wrong in [
            "",
            "<>",
            "<sip:a@h",
            "< sip:a@h>",
            "A, B <sip:a@h>",
            "\"A <sip:a@h>",
            "\"A\"",
            "\"A\" sip:a@h",
            "sip:a@h?x=y",
            "sip:a@h, sip:b@h",
            "<sip:a@h>;",
            "<sip:a@h>;;x",
            "<sip:a@h>;x=",
            "<sip:a@h> x",
            "*",
        ] {
            assert!(address(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn addresses_of_ours_are_quoted_and_tagged() {
        let uri: Uri = "sip:a@h;lr".parse().unwrap();
        let made = NameAddr::new(Some("Eve \"<x>\" \\ \r\nVia: y"), &uri);
        assert_eq!(made.as_bytes(), br#""Eve \"<x>\" \\ Via: y" <sip:a@h;lr>"#);
        assert_eq!(&*made.display(), br#"Eve "<x>" \ Via: y"#);
        assert_eq!(NameAddr::new(None, &uri).with_tag(&"1".into()).with_tag(&"2".into()).as_bytes(), b"<sip:a@h;lr>;tag=2");
        assert_eq!(address("sip:a@h ;x=1;tag=1").unwrap().with_tag(&"2".into()).as_bytes(), b"<sip:a@h>;x=1;tag=2");
        assert_eq!(address("<sip:a@h>").unwrap().with_tag(&"a b;c".into()).as_bytes(), b"<sip:a@h>");
    }
}

//! What may be shown of a message: everything but secrets. Credentials, keys of media, passwords in URIs, keys that were pressed and
//! whatever was dialled after a number are left out; a body of which nobody knows what it says is left out whole.
//!
//! It reads by lines, so that a message that nobody could parse is shown as safely as any other.

use std::borrow::Cow;

/// What stands where something was, in headers.
const HIDDEN: &str = "***";
/// What stands for each byte of a body that is not shown, so that its length stays true.
const FILLER: char = 'x';
/// Digits of a number; more than these is a number with something after it.
const MOST_DIGITS: usize = 15;
/// What is left of such a number.
const DIGITS_LEFT: usize = 4;
/// Parameters of credentials that say nothing about the password.
const HARMLESS: [&str; 10] = ["username", "realm", "nonce", "nextnonce", "uri", "algorithm", "qop", "nc", "opaque", "stale"];
/// Attributes of a description that hold keys.
const KEYS: [&str; 3] = ["a=crypto:", "a=key-mgmt:", "a=ice-pwd:"];

/// A message without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// All of it, line by line.
    pub text: String,
    /// Its Call-ID; empty if it has none.
    pub call_id: String,
}

/// What may be shown of these bytes.
pub fn shown(message: &[u8]) -> Shown {
    let text = String::from_utf8_lossy(message);
    let mut out = Shown { text: String::with_capacity(text.len()), call_id: String::new() };
    let mut kind: Option<String> = None;
    let mut rest: &str = &text;
    let mut is_first = true;
    loop {
        let (line, after) = header(rest);
        if line.is_empty() {
            if after.is_some() {
                out.text.push_str("\r\n");
            }
            rest = after.unwrap_or_default();
            break;
        }
        match line.split_once(':').filter(|_| !is_first) {
            None => out.text.push_str(&without_digits(&line)),
            Some((name, value)) => {
                let (lower, value) = (name.trim().to_ascii_lowercase(), value.trim());
                match lower.as_str() {
                    "call-id" | "i" if out.call_id.is_empty() => value.clone_into(&mut out.call_id),
                    // Two kinds are none.
                    "content-type" | "c" => kind = Some(if kind.is_some() { String::new() } else { media_type(value) }),
                    _ => {}
                }
                out.text.push_str(name.trim());
                out.text.push_str(": ");
                out.text.push_str(&header_value(&lower, value));
            }
        }
        out.text.push_str("\r\n");
        is_first = false;
        match after {
            Some(after) => rest = after,
            None => return out,
        }
    }
    body(kind.as_deref(), rest, &mut out.text);
    out
}

/// The next header with its folds taken out, and what comes after it.
fn header(text: &str) -> (Cow<'_, str>, Option<&str>) {
    let (first, mut after) = line(text);
    let mut whole = Cow::Borrowed(first);
    while let Some(next) = after.filter(|next| !first.is_empty() && next.starts_with([' ', '\t'])) {
        let (fold, later) = line(next);
        whole.to_mut().push(' ');
        whole.to_mut().push_str(fold.trim());
        after = later;
    }
    (whole, after)
}

fn line(text: &str) -> (&str, Option<&str>) {
    match text.split_once('\n') {
        Some((line, after)) => (line.trim_end_matches('\r'), Some(after)),
        None => (text.trim_end_matches('\r'), None),
    }
}

fn media_type(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn header_value<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    match name {
        "authorization" | "proxy-authorization" | "authentication-info" | "proxy-authentication-info" => credentials(value).into(),
        _ if ["password", "secret", "token", "api-key"].iter().any(|word| name.contains(word)) => HIDDEN.into(),
        _ => without_digits(value),
    }
}

/// Credentials without whatever a password could be guessed by.
fn credentials(value: &str) -> String {
    let (scheme, rest) = match value.split_once(' ') {
        Some((scheme, rest)) if !scheme.contains('=') => (scheme, rest),
        _ => ("", value),
    };
    let is_digest = scheme.is_empty() || scheme.eq_ignore_ascii_case("digest");
    if !is_digest {
        return format!("{scheme} {HIDDEN}");
    }
    let parts = parameters(rest).map(|part| match part.split_once('=') {
        Some((name, _)) if HARMLESS.iter().any(|harmless| name.trim().eq_ignore_ascii_case(harmless)) => without_digits(part.trim()),
        Some((name, _)) => format!("{}={HIDDEN}", name.trim()).into(),
        None => HIDDEN.into(),
    });
    let parts = parts.collect::<Vec<_>>().join(", ");
    if scheme.is_empty() { parts } else { format!("{scheme} {parts}") }
}

/// Parts between commas that stand in no quotes.
fn parameters(text: &str) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |character| {
        let separates = character == ',' && !is_quoted;
        if !is_escaped && character == '"' {
            is_quoted = !is_quoted;
        }
        is_escaped = !is_escaped && is_quoted && character == '\\';
        separates
    })
}

/// URIs without passwords and without whatever was dialled after the number.
fn without_digits(text: &str) -> Cow<'_, str> {
    let Some(mut at) = scheme(text) else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.find(['<', '>', '"', ' ', '\t']).unwrap_or(rest.len());
        let is_tel = out.len() >= 4 && out[out.len() - 4..].eq_ignore_ascii_case("tel:");
        let user = match rest[..end].find('@') {
            Some(at) => at,
            None if is_tel => end,
            None => 0,
        };
        out.push_str(&user_part(&rest[..user]));
        rest = &rest[user..];
        match scheme(rest) {
            Some(next) => at = next,
            None => break,
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Where the first URI's scheme ends.
fn scheme(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let is = |at: usize, word: &str| bytes.get(at..at + word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word.as_bytes()));
    memchr::memchr_iter(b':', bytes).find_map(|colon| {
        let fits = ["sip", "sips", "tel"].into_iter().any(|word| {
            let begin = colon.checked_sub(word.len());
            begin.is_some_and(|begin| is(begin, word) && (begin == 0 || !bytes[begin - 1].is_ascii_alphanumeric()))
        });
        fits.then_some(colon + 1)
    })
}

/// A user part: its number, its parameters but for what is dialled later, no password.
fn user_part(user: &str) -> String {
    let (name, password) = user.split_once(':').map_or((user, ""), |(name, _)| (name, ":***"));
    let mut parts = name.split(';');
    let mut out = number(parts.next().unwrap_or_default());
    for part in parts {
        out.push(';');
        match part.split_once('=') {
            Some((name, _)) if name.eq_ignore_ascii_case("postd") => {
                out.push_str(name);
                out.push('=');
                out.push_str(HIDDEN);
            }
            _ => out.push_str(part),
        }
    }
    out.push_str(password);
    out
}

/// A number without what follows a pause, a star, a hash or an escape, and no longer than a number is. Names stay.
fn number(user: &str) -> String {
    let dials = user.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '*' | '#' | '%' | ','));
    if !dials {
        return user.to_owned();
    }
    let is_digit = |character: char| character.is_ascii_digit() || matches!(character, '+' | '-' | '.' | '(' | ')');
    let end = user.find(|character| !is_digit(character)).unwrap_or(user.len());
    let (digits, after) = user.split_at(end);
    if digits.chars().filter(char::is_ascii_digit).count() > MOST_DIGITS {
        return format!("{}{HIDDEN}", digits.chars().take(DIGITS_LEFT).collect::<String>());
    }
    if after.is_empty() { digits.to_owned() } else { format!("{digits}{HIDDEN}") }
}

fn body(kind: Option<&str>, body: &str, out: &mut String) {
    match kind {
        Some("application/sdp") => by_lines(body, out, description),
        Some("application/dtmf-relay") => by_lines(body, out, |line| {
            let duration = line.split_once('=').is_some_and(|(name, _)| name.trim().eq_ignore_ascii_case("duration"));
            if duration { None } else { Some(line.find('=').map_or(0, |at| at + 1)) }
        }),
        _ => by_lines(body, out, |_| Some(0)),
    }
}

/// Each line as it is, or from where `hides` says replaced byte by byte.
fn by_lines(body: &str, out: &mut String, hides: impl Fn(&str) -> Option<usize>) {
    for whole in body.split_inclusive('\n') {
        let line = whole.trim_end_matches(['\r', '\n']);
        let kept = hides(line).unwrap_or(line.len()).min(line.len());
        out.push_str(&line[..kept]);
        out.extend(std::iter::repeat_n(FILLER, line.len() - kept));
        out.push_str(&whole[line.len()..]);
    }
}

/// From where a line of a description is a key (RFC 4568, RFC 4567).
fn description(line: &str) -> Option<usize> {
    let bytes = line.as_bytes();
    let begins = |word: &str| bytes.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word.as_bytes()));
    if begins("k=") {
        return Some(2);
    }
    let key = KEYS.into_iter().find(|key| begins(key))?;
    // Of a crypto attribute the tag and the suite may be seen.
    Some(line.find("inline:").map_or(key.len(), |at| at + "inline:".len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(message: &str) -> String {
        shown(message.as_bytes()).text
    }

    #[test]
    fn what_holds_no_secret_is_shown_as_it_is() {
        let message = "INVITE sip:+15551231234@192.0.2.7;user=phone SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n\
                       Call-ID: abc@192.0.2.1\r\nFrom: \"J\u{f6}rg\" <sip:+15551230000@192.0.2.1>;tag=1\r\n\
                       Content-Type: application/sdp\r\nContent-Length: 31\r\n\r\nv=0\r\nm=audio 4000 RTP/AVP 8 101\r\n";
        let shown = shown(message.as_bytes());
        assert_eq!((shown.text.as_str(), shown.call_id.as_str()), (message, "abc@192.0.2.1"));
    }

    #[test]
    fn credentials_keep_who_and_where_only() {
        for (header, expected) in [
            (
                "Authorization: Digest username=\"a,b\", realm=\"r\", nonce=\"n\", uri=\"sip:x@y\", response=\"0123\", cnonce=\"c\", qop=auth, nc=00000001",
                "Authorization: Digest username=\"a,b\", realm=\"r\", nonce=\"n\", uri=\"sip:x@y\", response=***, cnonce=***, qop=auth, nc=00000001",
            ),
            ("proxy-authorization: digest RESPONSE = \"0123\",realm=\"r\"", "proxy-authorization: digest RESPONSE=***, realm=\"r\""),
            ("Authorization: Basic YWxpY2U6c2VjcmV0", "Authorization: Basic ***"),
            ("Authorization: YWxpY2U6c2VjcmV0", "Authorization: ***"),
            ("Authentication-Info: rspauth=\"0123\", nextnonce=\"n\"", "Authentication-Info: rspauth=***, nextnonce=\"n\""),
            ("X-Api-Token: 0123", "X-Api-Token: ***"),
            ("Authorization: Digest\r\n username=\"a\",\r\n\tresponse=\"0123\"", "Authorization: Digest username=\"a\", response=***"),
        ] {
            assert_eq!(
                text(&format!("REGISTER sip:example.com SIP/2.0\r\n{header}\r\n\r\n")),
                format!("REGISTER sip:example.com SIP/2.0\r\n{expected}\r\n\r\n")
            );
        }
    }

    #[test]
    fn what_is_dialled_after_a_number_is_hidden() {
        for (uri, expected) in [
            ("sip:+15551230000,,12345678@192.0.2.1", "sip:+15551230000***@192.0.2.1"),
            ("sip:+15551230000p12345678@192.0.2.1", "sip:+15551230000***@192.0.2.1"),
            ("sip:15551230000*1234%23@192.0.2.1", "sip:15551230000***@192.0.2.1"),
            ("sip:+15551230000%2c1234@192.0.2.1", "sip:+15551230000***@192.0.2.1"),
            ("SIPS:1555123000012345678@192.0.2.1", "SIPS:1555***@192.0.2.1"),
            ("<tel:+1-555-123-0000;postd=pp1234;phone-context=x>", "<tel:+1-555-123-0000;postd=***;phone-context=x>"),
            ("<sip:alice:secret@192.0.2.1>, <sip:bob@192.0.2.1>", "<sip:alice:***@192.0.2.1>, <sip:bob@192.0.2.1>"),
            ("sip:a:b@x,sip:c:d@y", "sip:a:***@x,sip:c:***@y"),
            ("sip:*1234@192.0.2.1", "sip:***@192.0.2.1"),
            ("sip:192.0.2.1:5060;lr", "sip:192.0.2.1:5060;lr"),
            ("sip:alice-7@[2001:db8::1]", "sip:alice-7@[2001:db8::1]"),
        ] {
            assert_eq!(without_digits(uri), expected);
            assert_eq!(text(&format!("INVITE {uri} SIP/2.0\r\nt: {uri}\r\n")), format!("INVITE {expected} SIP/2.0\r\nt: {expected}\r\n"));
        }
    }

    #[test]
    fn bodies_show_descriptions_without_keys_and_never_digits() {
        let with = |kind: &str, body: &str| text(&format!("INFO sip:a@b SIP/2.0\r\nc: {kind}\r\n\r\n{body}"));
        for (kind, body, expected) in [
            ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", "Signal=x\r\nDuration=160\r\n"),
            ("application/dtmf", "5", "x"),
            ("application/kpml-response+xml", "<k digits=\"12\"/>\r\n", "xxxxxxxxxxxxxxxx\r\n"),
            ("application/sdp", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AbC/\r\n", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:xxxx\r\n"),
            ("application/SDP; charset=utf-8", "k=clear:ab\na=ice-pwd:ab\na=sendrecv", "k=xxxxxxxx\na=ice-pwd:xx\na=sendrecv"),
        ] {
            let whole = with(kind, body);
            assert!(whole.ends_with(&format!("\r\n\r\n{expected}")), "{whole}");
        }
        let two = text("INFO sip:a@b SIP/2.0\r\nc: application/sdp\r\nContent-Type: application/dtmf\r\n\r\n5");
        assert!(two.ends_with("\r\n\r\nx"), "{two}");
        assert!(text("INFO sip:a@b SIP/2.0\r\n\r\n12345").ends_with("\r\n\r\nxxxxx"), "a body without a kind");
    }

    #[test]
    fn whatever_the_bytes_are_something_is_shown() {
        for bytes in [&b""[..], b"\r\n\r\n", b"\xff\xfe: \x00\r\n\r", b"sip:", b"tel:", b"a\n\nb", b"INVITE sip:@ SIP/2.0\n :\n"] {
            let shown = shown(bytes);
            assert!(shown.text.len() <= bytes.len() * 4 + 4, "{shown:?}");
        }
    }
}

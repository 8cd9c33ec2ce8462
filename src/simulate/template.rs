//! The apps' template language: variables and functions between percent signs.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::{Digest as _, Sha1};

use crate::types::Random;

/// Everything but the unreserved characters of RFC 3986 §2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What an app sends instead of the password when the address is not https.
const MASK: &str = "********";
/// Length of a nonce when the template does not say.
const NONCE_CHARS: usize = 16;
/// Functions within functions.
const MAX_DEPTH: usize = 8;

/// How a value is written where it lands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    None,
    /// For an address or a form.
    Percent,
    /// For the inside of a JSON string.
    Json,
}

/// The template cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No such variable.
    #[error("%{0}% is not known: give it with --set {0}=VALUE, or correct the template")]
    Unknown(String),
    /// No such function.
    #[error("%{0}(..)% is no function: sha1 and nonce are")]
    NoFunction(String),
    /// A bracket is open at the end.
    #[error("%{0} is not closed")]
    NotClosed(String),
    /// Functions within functions within functions.
    #[error("more than {MAX_DEPTH} functions within each other")]
    TooDeep,
}

/// The values of one request: a nonce drawn once keeps its value throughout.
pub struct Expansion<'a> {
    account: &'a BTreeMap<String, String>,
    globals: &'a BTreeMap<String, String>,
    target: &'a str,
    masked: bool,
    random: &'a Random,
    nonce: Option<String>,
}

impl<'a> Expansion<'a> {
    /// `masked`: the address is not https, so that the password goes out as asterisks.
    pub fn new(
        account: &'a BTreeMap<String, String>,
        globals: &'a BTreeMap<String, String>,
        target: &'a str,
        masked: bool,
        random: &'a Random,
    ) -> Self {
        Self { account, globals, target, masked, random, nonce: None }
    }

    /// The text of `template` with its values, each written as `encoding` wants it.
    pub fn expand(&mut self, template: &str, encoding: Encoding) -> Result<String, TemplateError> {
        self.expand_within(template, encoding, self.masked, 0)
    }

    fn expand_within(&mut self, template: &str, encoding: Encoding, masked: bool, depth: usize) -> Result<String, TemplateError> {
        if depth > MAX_DEPTH {
            return Err(TemplateError::TooDeep);
        }
        let mut text = String::with_capacity(template.len() * 2);
        let mut rest = template;
        while let Some(at) = rest.find('%') {
            text.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            match read_placeholder(rest)? {
                // %2B and a lone % are themselves.
                None => text.push('%'),
                Some((placeholder, after)) => {
                    text.push_str(&encode(&self.value(placeholder, masked, depth)?, encoding));
                    rest = after;
                }
            }
        }
        text.push_str(rest);
        Ok(text)
    }

    fn value(&mut self, placeholder: Placeholder<'_>, masked: bool, depth: usize) -> Result<String, TemplateError> {
        match placeholder {
            Placeholder::Variable("targetNumber") => Ok(self.target.to_owned()),
            Placeholder::Variable("nonce") => Ok(self.nonce(NONCE_CHARS)),
            Placeholder::Variable("smartUri") => Ok(self.globals.get("smartUri").cloned().unwrap_or_default()),
            Placeholder::Variable(name) => self.globals.get(name).cloned().ok_or_else(|| TemplateError::Unknown(name.to_owned())),
            Placeholder::Account("password") if masked => Ok(MASK.to_owned()),
            Placeholder::Account(node) => self.account.get(node).cloned().ok_or_else(|| TemplateError::Unknown(node.to_owned())),
            Placeholder::Function("nonce", argument) => Ok(self.nonce(argument.trim().parse().unwrap_or(NONCE_CHARS).clamp(1, 64))),
            // A hash hides the secret, so what is hashed is the secret itself even where it may not be sent.
            Placeholder::Function("sha1", argument) => {
                let input = self.expand_within(argument, Encoding::None, false, depth + 1)?;
                Ok(sha1_hex(&input))
            }
            Placeholder::Function(name, _) => Err(TemplateError::NoFunction(name.to_owned())),
        }
    }

    fn nonce(&mut self, length: usize) -> String {
        self.nonce.get_or_insert_with(|| self.random.alphanumeric(length)).clone()
    }
}

/// Lower-case hexadecimal of the SHA-1 of UTF-8 text.
fn sha1_hex(text: &str) -> String {
    Sha1::digest(text.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        hex.push(char::from_digit(u32::from(byte >> 4), 16).expect("four bits"));
        hex.push(char::from_digit(u32::from(byte & 15), 16).expect("four bits"));
        hex
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placeholder<'t> {
    Variable(&'t str),
    Account(&'t str),
    Function(&'t str, &'t str),
}

/// Reads what follows a percent sign; `None` when it opens nothing.
fn read_placeholder(text: &str) -> Result<Option<(Placeholder<'_>, &str)>, TemplateError> {
    let end = text.find(|each: char| !(each.is_ascii_alphanumeric() || matches!(each, '_' | '-'))).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if !name.starts_with(|each: char| each.is_ascii_alphabetic()) {
        return Ok(None);
    }
    let open = || TemplateError::NotClosed(name.to_owned());
    match rest.as_bytes().first() {
        Some(b'%') => Ok(Some((Placeholder::Variable(name), &rest[1..]))),
        Some(b'[') if name == "account" => {
            let (node, after) = rest[1..].split_once("]%").ok_or_else(open)?;
            Ok(Some((Placeholder::Account(node), after)))
        }
        Some(b'(') => {
            let close = closing(&rest[1..]).ok_or_else(open)?;
            let after = rest[1 + close + 1..].strip_prefix('%').ok_or_else(open)?;
            Ok(Some((Placeholder::Function(name, &rest[1..=close]), after)))
        }
        _ => Ok(None),
    }
}

/// Where the bracket that was opened before `text` closes.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 0 => return Some(at),
            b')' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn encode(value: &str, encoding: Encoding) -> String {
    match encoding {
        Encoding::None => value.to_owned(),
        Encoding::Percent => utf8_percent_encode(value, RESERVED).to_string(),
        Encoding::Json => {
            let quoted = serde_json::Value::from(value).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(template: &str, masked: bool) -> Result<String, TemplateError> {
        let account = BTreeMap::from([
            ("username".to_owned(), "johndoe".to_owned()),
            ("password".to_owned(), "secretPhrase".to_owned()),
            ("x-cth-pin".to_owned(), "1234".to_owned()),
        ]);
        let globals = BTreeMap::from([("installid".to_owned(), "IN 1".to_owned())]);
        Expansion::new(&account, &globals, "+15551231234", masked, &Random::seeded(9)).expand(template, Encoding::Percent)
    }

    #[test]
    fn variables_stand_between_percent_signs() {
        assert_eq!(expand("/%account[username]%/%targetNumber%", false).unwrap(), "/johndoe/%2B15551231234");
        assert_eq!(expand("dev=%installid%&pin=%account[x-cth-pin]%", false).unwrap(), "dev=IN%201&pin=1234");
        assert_eq!(expand("a%2Bb%20c%", false).unwrap(), "a%2Bb%20c%");
        assert_eq!(expand("%nothing%", false), Err(TemplateError::Unknown("nothing".into())));
        assert_eq!(expand("%account[nothing]%", false), Err(TemplateError::Unknown("nothing".into())));
        assert_eq!(expand("%md5(x)%", false), Err(TemplateError::NoFunction("md5".into())));
        assert_eq!(expand("%sha1(x", false), Err(TemplateError::NotClosed("sha1".into())));
    }

    #[test]
    fn hashes_are_those_of_the_vectors() {
        assert_eq!(expand("%sha1(%account[password]%)%", false).unwrap(), "de086d65c0be8595a0b796f5da1db80397cc84aa");
        assert_eq!(
            expand("%sha1(%account[username]%:n0nce123:%account[password]%)%", false).unwrap(),
            "8c5a54bef0b43f3a58af334c12e20ad63876f724"
        );
        assert_eq!(expand("%sha1(pässwörd)%", false).unwrap(), "f517ddf1d32a112ff1ad55c66d1b12cb38e7e8f7");
    }

    #[test]
    fn a_nonce_has_one_value_throughout_a_request() {
        let text = expand("n=%nonce%&h=%sha1(%nonce%%account[password]%)%&again=%nonce()%", false).unwrap();
        let nonce = text.strip_prefix("n=").unwrap().split('&').next().unwrap();
        assert_eq!(nonce.len(), NONCE_CHARS);
        assert!(text.ends_with(&format!("&again={nonce}")));
        assert!(text.contains(&sha1_hex(&format!("{nonce}secretPhrase"))), "{text}");
        assert_eq!(expand("%nonce(24)%", false).unwrap().len(), 24);
    }

    #[test]
    fn over_http_the_password_goes_out_as_asterisks_and_its_hash_does_not_change() {
        assert_eq!(expand("%account[password]%", true).unwrap(), "%2A%2A%2A%2A%2A%2A%2A%2A");
        assert_eq!(expand("%sha1(%account[password]%)%", true).unwrap(), "de086d65c0be8595a0b796f5da1db80397cc84aa");
    }
}

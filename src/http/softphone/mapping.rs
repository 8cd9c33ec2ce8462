//! From what arrives, as the operator's template has it, to the fields a request means.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};

use super::reply::{Format, Trouble, XmlType};
use crate::http::auth::Variant;

/// Parameters of one request.
const MOST_PARAMETERS: usize = 64;

/// A field a request may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// Who asks.
    User,
    /// Their secret or hash.
    Secret,
    /// The app's nonce.
    Nonce,
    /// The number they want.
    Target,
    /// Their own number, for callback.
    Callback,
    /// The installation.
    Device,
    /// The app.
    App,
    /// iOS or Android.
    Platform,
    /// Language and region.
    Locale,
    /// Where the phone is.
    Country,
    /// The access number they name.
    Access,
    /// SIP address of an on-net contact.
    SmartUri,
    /// The answer's format.
    Format,
}

impl Field {
    const ALL: [(Self, &'static [&'static str]); 13] = [
        (Self::User, &["user", "username", "u", "cloud_username", "login"]),
        (Self::Secret, &["password", "pass", "pwd", "p", "secret", "cloud_password", "hash"]),
        (Self::Nonce, &["nonce", "n", "salt"]),
        (Self::Target, &["to", "target", "targetnumber", "number", "dest"]),
        (Self::Callback, &["from", "callback", "callbacknumber"]),
        (Self::Device, &["dev", "device", "installid"]),
        (Self::App, &["app", "appid"]),
        (Self::Platform, &["platform", "os"]),
        (Self::Locale, &["locale", "lang", "language"]),
        (Self::Country, &["country"]),
        (Self::Access, &["access", "access_number"]),
        (Self::SmartUri, &["smart_uri", "smarturi", "smart"]),
        (Self::Format, &["format"]),
    ];
}

/// What an endpoint is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Web Call-Through.
    Callthrough,
}

/// An address phones ask at, and where each field lives there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// What it is for.
    pub service: Service,
    /// Methods it takes.
    #[serde(default = "get_and_post")]
    pub methods: Vec<String>,
    /// Its path; braces capture one segment.
    pub path: Template,
    /// Names of fields, where they are not the usual ones.
    #[serde(default)]
    pub fields: BTreeMap<Field, Vec<String>>,
    /// Fields that come as headers.
    #[serde(default)]
    pub headers: BTreeMap<Field, String>,
    /// Ways to sign in.
    #[serde(default = "token_and_plain")]
    pub auth: Vec<Variant>,
    /// Format of answers.
    #[serde(default = "xml")]
    pub reply: Format,
    /// Format of failures.
    #[serde(default = "json")]
    pub error_reply: Format,
    /// Media type of XML.
    #[serde(default)]
    pub xml_type: XmlType,
}

fn get_and_post() -> Vec<String> {
    vec!["GET".to_owned(), "POST".to_owned()]
}

fn token_and_plain() -> Vec<Variant> {
    vec![Variant::Token, Variant::Plain]
}

const fn xml() -> Format {
    Format::Xml
}

const fn json() -> Format {
    Format::Json
}

impl Endpoint {
    /// What runs without configuration.
    pub fn built_in() -> Vec<Self> {
        ["/callthrough", "/callthrough/{user}/{target}"]
            .map(|path| Self {
                service: Service::Callthrough,
                methods: get_and_post(),
                path: Template::try_from(path.to_owned()).expect("a sound path"),
                fields: BTreeMap::new(),
                headers: BTreeMap::new(),
                auth: token_and_plain(),
                reply: xml(),
                error_reply: json(),
                xml_type: XmlType::default(),
            })
            .to_vec()
    }

    /// The names `field` may have here, the usual ones if it has none of its own.
    pub fn names(&self, field: Field) -> Vec<&str> {
        match self.fields.get(&field) {
            Some(own) => own.iter().map(String::as_str).collect(),
            None => Field::ALL.iter().find(|(usual, _)| *usual == field).map_or_else(Vec::new, |(_, names)| names.to_vec()),
        }
    }

    fn field_of(&self, name: &str) -> Option<Field> {
        let own = self.fields.iter().find(|(_, names)| names.iter().any(|own| own.eq_ignore_ascii_case(name)));
        own.map(|(field, _)| *field).or_else(|| {
            let usual = Field::ALL.iter().find(|(_, names)| names.iter().any(|usual| usual.eq_ignore_ascii_case(name)));
            usual.map(|(field, _)| *field).filter(|field| !self.fields.contains_key(field))
        })
    }
}

/// `/callthrough/{user}/{target}`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Template {
    text: String,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Capture(String),
}

impl TryFrom<String> for Template {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if !text.starts_with('/') || text.contains(['?', '#', '%']) {
            return Err("write the path from its first slash, without query, such as /callthrough/{user}/{target}");
        }
        let segments = text.split('/').filter(|segment| !segment.is_empty()).map(|segment| {
            match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                Some(name) if !name.is_empty() && !name.contains(['{', '}']) => Ok(Segment::Capture(name.to_owned())),
                None if !segment.contains(['{', '}']) => Ok(Segment::Literal(segment.to_owned())),
                Some(_) | None => Err("braces capture one whole segment of the path, such as /callthrough/{user}/{target}"),
            }
        });
        Ok(Self { segments: segments.collect::<Result<_, _>>()?, text: text.clone() })
    }
}

/// A path that fits a template: raw captures, and the format its suffix asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit<'p> {
    captures: Vec<(String, &'p str)>,
    /// The format of the suffix.
    pub format: Option<Format>,
}

impl Template {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Does `path` fit? Doubled and trailing slashes are forgiven; a last segment may end in `.xml`, `.json`, `.form` or `.txt`.
    pub fn fit<'p>(&self, path: &'p str) -> Option<Fit<'p>> {
        let mut segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let mut format = None;
        if let Some((last, (bare, suffix))) = segments.last_mut().and_then(|last| last.rsplit_once('.').map(|parts| (last, parts))) {
            format = Format::parse(suffix);
            if format.is_some() {
                *last = bare;
            }
        }
        if segments.len() != self.segments.len() {
            return None;
        }
        let mut captures = Vec::new();
        for (segment, asked) in self.segments.iter().zip(segments) {
            match segment {
                Segment::Literal(text) if text == asked => {}
                Segment::Literal(_) => return None,
                Segment::Capture(name) => captures.push((name.clone(), asked)),
            }
        }
        Some(Fit { captures, format })
    }

    /// How exact it is: more literals win over captures.
    pub fn literals(&self) -> usize {
        self.segments.iter().filter(|segment| matches!(segment, Segment::Literal(_))).count()
    }
}

/// Where a value came from: only queries and forms turn a plus into a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    QueryOrForm,
    Exact,
}

/// What a request means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<Field, String>);

impl Fields {
    /// The value of a field, if it is there and not empty.
    pub fn get(&self, field: Field) -> Option<&str> {
        self.0.get(&field).map(String::as_str).filter(|value| !value.trim().is_empty())
    }

    /// All fields as one text: the same request has the same.
    pub fn fingerprint(&self) -> String {
        let fields: Vec<_> = self.0.iter().map(|(field, value)| (format!("{field:?}"), value)).collect();
        serde_json::to_string(&fields).expect("texts")
    }

    fn put(&mut self, field: Field, value: String, source: Source) -> Result<(), Trouble> {
        let number = matches!(field, Field::Target | Field::Callback);
        let value = if number { restore_plus(value, source)? } else { value };
        match self.0.get(&field) {
            Some(known) if *known != value => Err(Trouble::field("conflicting_fields")),
            Some(_) => Ok(()),
            None => {
                self.0.insert(field, value);
                Ok(())
            }
        }
    }
}

/// A bare plus in a query or form arrives as one leading space. Two are a mistake.
fn restore_plus(value: String, source: Source) -> Result<String, Trouble> {
    let Some(rest) = value.strip_prefix(' ').filter(|_| source == Source::QueryOrForm) else { return Ok(value) };
    if rest.starts_with([' ', '+']) {
        return Err(Trouble::field("no_such_number"));
    }
    Ok(if rest.is_empty() { String::new() } else { format!("+{rest}") })
}

/// A request as it arrived.
#[derive(Debug, Clone, Copy)]
pub struct Arrived<'r> {
    /// The raw query.
    pub query: &'r str,
    /// The Content-Type header.
    pub content_type: Option<&'r str>,
    /// The body.
    pub body: &'r [u8],
}

/// Reads every field the endpoint knows. Everything else is ignored, never echoed and never logged.
pub fn read<'h>(
    endpoint: &Endpoint,
    fit: &Fit<'_>,
    arrived: Arrived<'_>,
    header: impl Fn(&str) -> Option<&'h str>,
) -> Result<Fields, Trouble> {
    let mut fields = Fields::default();
    let mut count = 0_usize;
    let mut counted = || {
        count += 1;
        if count > MOST_PARAMETERS { Err(Trouble::field("too_many_fields")) } else { Ok(()) }
    };
    for (name, raw) in &fit.captures {
        counted()?;
        let value = percent_decode_str(raw).decode_utf8().map_err(|_| unreadable())?;
        if let Some(field) = endpoint.field_of(name) {
            fields.put(field, value.into_owned(), Source::Exact)?;
        }
    }
    for (&field, name) in &endpoint.headers {
        if let Some(value) = header(name) {
            fields.put(field, value.to_owned(), Source::Exact)?;
        }
    }
    for (name, value) in pairs(arrived.query)? {
        counted()?;
        if let Some(field) = endpoint.field_of(&name) {
            fields.put(field, value, Source::QueryOrForm)?;
        }
    }
    if is_json(arrived.content_type) {
        for (name, value) in flat_object(arrived.body)? {
            counted()?;
            if let Some((field, value)) = endpoint.field_of(&name).zip(scalar(value)) {
                fields.put(field, value?, Source::Exact)?;
            }
        }
    } else {
        let body = std::str::from_utf8(arrived.body).map_err(|_| unreadable())?;
        for (name, value) in pairs(body.trim_end_matches(['\r', '\n']))? {
            counted()?;
            if let Some(field) = endpoint.field_of(&name) {
                fields.put(field, value, Source::QueryOrForm)?;
            }
        }
    }
    Ok(fields)
}

const fn unreadable() -> Trouble {
    Trouble::field("unreadable")
}

/// Pairs of a query or form, decoded exactly once.
fn pairs(text: &str) -> Result<Vec<(String, String)>, Trouble> {
    let decode = |part: &str| {
        let spaced = part.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| unreadable())
    };
    let parts = text.split('&').filter(|pair| !pair.is_empty()).take(MOST_PARAMETERS + 1);
    parts.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(name, value)| Ok((decode(name)?, decode(value)?))).collect()
}

fn is_json(content_type: Option<&str>) -> bool {
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence == "text/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// A JSON object with its keys as they came: a key that comes twice is seen twice.
struct Flat(Vec<(String, serde_json::Value)>);

impl<'de> Deserialize<'de> for Flat {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Flat;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("one flat object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Flat, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    if pairs.len() <= MOST_PARAMETERS {
                        pairs.push(pair);
                    }
                }
                Ok(Flat(pairs))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

fn flat_object(body: &[u8]) -> Result<Vec<(String, serde_json::Value)>, Trouble> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Vec::new());
    }
    serde_json::from_slice::<Flat>(body).map(|flat| flat.0).map_err(|_| unreadable())
}

/// Text, or a whole number as its digits. Nothing for null; an error for what no field can be.
fn scalar(value: serde_json::Value) -> Option<Result<String, Trouble>> {
    match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(Ok(text)),
        serde_json::Value::Number(number) if number.is_u64() => Some(Ok(number.to_string())),
        _ => Some(Err(unreadable())),
    }
}

#[cfg(test)]
mod tests;

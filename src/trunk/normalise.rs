//! Reading the arriving call by a trunk's rules, and writing numbers as a trunk wants them: values in, values out.
//!
//! Header values come as they stood on the wire, without the header's name. What cannot be read counts as not said.

use super::passport;
use super::settings::{Bare, Format, IdentityHeader, Rule, Settings};
use crate::types::{Attestation, CallerId, E164};

/// User parts that mean the caller withholds the number.
const WITHHELD: [&str; 6] = ["", "anonymous", "restricted", "unavailable", "unknown", "private"];
/// RFC 3323 §4.1.1.3: the host of an anonymous From.
const ANONYMOUS_HOST: &str = "anonymous.invalid";
/// `anonymous` spelled on a keypad; some gateways send it as a number.
const ANONYMOUS_DIGITS: &str = "266696687";
/// Most values looked at in one header, and over all its lines.
const MOST_VALUES: usize = 8;

/// What an INVITE says about who calls and what was dialled.
#[derive(Debug, Clone, Copy, Default)]
pub struct Arrival<'a> {
    /// The Request-URI.
    pub request_uri: &'a str,
    /// The value of To.
    pub to: &'a str,
    /// The value of From.
    pub from: &'a str,
    /// The values of P-Asserted-Identity, one a line.
    pub asserted: &'a [&'a str],
    /// The value of Remote-Party-ID.
    pub remote_party: Option<&'a str>,
    /// The value of Privacy.
    pub privacy: Option<&'a str>,
    /// The value of the topmost Diversion.
    pub diversion: Option<&'a str>,
    /// The value of Identity.
    pub identity: Option<&'a str>,
}

/// The arriving call, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadCall {
    /// Who calls.
    pub caller: CallerId,
    /// Which header told it.
    pub told_by: Option<IdentityHeader>,
    /// The caller asks that B does not see the number. It may still match a reservation.
    pub hidden: bool,
    /// The number that was dialled; `None` if nothing reads as one.
    pub dialled: Option<E164>,
}

/// Who calls and what was dialled.
pub fn read(settings: &Settings, arrival: &Arrival<'_>) -> ReadCall {
    let (told_by, caller) = caller(settings, arrival);
    ReadCall { caller, told_by, hidden: hidden(settings, arrival), dialled: dialled(settings, arrival) }
}

fn caller(settings: &Settings, arrival: &Arrival<'_>) -> (Option<IdentityHeader>, CallerId) {
    for &header in &settings.identity {
        for address in identities(settings, arrival, header) {
            if let Some(number) = caller_number(settings, &address) {
                let attestation = if settings.trusted { attestation(settings, arrival, number, &address) } else { Attestation::None };
                return (Some(header), CallerId::Number(number, attestation));
            }
        }
    }
    (None, CallerId::Withheld)
}

/// The addresses a header gives, those this trunk is not believed left out.
fn identities<'a>(settings: &Settings, arrival: &Arrival<'a>, header: IdentityHeader) -> Vec<Address<'a>> {
    let lines: &[&'a str] = match header {
        IdentityHeader::PAssertedIdentity if settings.trusted => arrival.asserted,
        IdentityHeader::PAssertedIdentity => &[],
        IdentityHeader::RemotePartyId => arrival.remote_party.as_slice(),
        IdentityHeader::From => std::slice::from_ref(&arrival.from),
    };
    lines.iter().take(MOST_VALUES).flat_map(|line| values(line)).take(MOST_VALUES).filter_map(Address::read).collect()
}

fn caller_number(settings: &Settings, address: &Address<'_>) -> Option<E164> {
    if withheld(settings, address) { None } else { number(settings, address) }
}

fn withheld(settings: &Settings, address: &Address<'_>) -> bool {
    let user = address.user.to_ascii_lowercase();
    let user = user.trim();
    WITHHELD.contains(&user)
        || user.trim_start_matches('+') == ANONYMOUS_DIGITS
        || address.host.eq_ignore_ascii_case(ANONYMOUS_HOST)
        || settings.withheld.iter().any(|word| word.eq_ignore_ascii_case(user))
}

/// RFC 3323, RFC 3325: `id`, `user` and `header` each ask that the identity stays with us; so does an anonymous From.
fn hidden(settings: &Settings, arrival: &Arrival<'_>) -> bool {
    let asked = arrival.privacy.is_some_and(|privacy| {
        privacy.split([';', ',']).any(|word| ["id", "user", "header"].iter().any(|ask| word.trim().eq_ignore_ascii_case(ask)))
    });
    let remote_party = identities(settings, arrival, IdentityHeader::RemotePartyId);
    let remote = remote_party.iter().any(|party| party.parameter("privacy").is_some_and(|value| !value.eq_ignore_ascii_case("off")));
    asked || remote || Address::read(arrival.from).is_none_or(|from| withheld(settings, &from))
}

/// What the chosen address says, or another one of the same number: carriers put `verstat` into From as well as into
/// P-Asserted-Identity. Without any, what an Identity header claims that they passed on.
fn attestation(settings: &Settings, arrival: &Arrival<'_>, number: E164, chosen: &Address<'_>) -> Attestation {
    let others = [IdentityHeader::PAssertedIdentity, IdentityHeader::From];
    let others = others.into_iter().flat_map(|header| identities(settings, arrival, header));
    let same = others.filter(|other| caller_number(settings, other) == Some(number));
    std::iter::once(chosen.verstat())
        .chain(same.map(|other| other.verstat()))
        .flatten()
        .next()
        .unwrap_or_else(|| arrival.identity.and_then(|claim| passport::attestation(claim, number)).unwrap_or_default())
}

fn dialled(settings: &Settings, arrival: &Arrival<'_>) -> Option<E164> {
    let diversion = arrival.diversion.filter(|_| settings.diversion);
    let places = [Some(arrival.request_uri), Some(arrival.to), diversion];
    places.into_iter().flatten().filter_map(|value| Address::read(values(value).next()?)).find_map(|address| number(settings, &address))
}

/// The number an address means by the trunk's rules.
fn number(settings: &Settings, address: &Address<'_>) -> Option<E164> {
    // RFC 3966 §5.1.4: a local number says in which part of the plan it is to be read.
    if let Some(context) = address.parameter("phone-context").filter(|context| context.starts_with('+'))
        && !address.user.starts_with('+')
    {
        return format!("{context}{}", address.user).parse().ok();
    }
    number_of(settings, &address.user)
}

/// The number that `typed` means by the trunk's rules: `+CC`, `00CC`, `011CC`, bare country code, national.
pub fn number_of(settings: &Settings, typed: &str) -> Option<E164> {
    let digits: String = typed.chars().filter(|character| !matches!(character, '-' | '.' | '(' | ')' | ' ')).collect();
    let rest = digits.strip_prefix('+').unwrap_or(&digits);
    if rest.is_empty() || rest.len() > 32 || !rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = apply(&settings.rules_in, digits);
    if digits.starts_with('+') {
        return digits.parse().ok();
    }
    let national = || settings.country.and_then(|country| E164::parse(&digits, country).ok());
    let after = |prefix: &str| digits.strip_prefix(prefix).and_then(|rest| rest.parse::<E164>().ok());
    let bare = || digits.parse().ok();
    match settings.bare {
        Bare::International => after("00").or_else(|| after("011")).or_else(bare).or_else(national),
        // 00 begins no national number, but 011 does: 0113 is Leeds.
        Bare::National => after("00").or_else(national),
        Bare::Auto => {
            let readings = [after("00"), national(), after("011"), bare()];
            readings.into_iter().flatten().find(|number| number.likely()).or_else(|| readings.into_iter().flatten().next())
        }
    }
}

/// The number as the trunk wants to see it.
pub fn write_number(settings: &Settings, number: E164) -> String {
    let written = match settings.format_out {
        Format::Plus => number.to_string(),
        Format::ZeroZero => format!("00{}", number.digits()),
        Format::ZeroOneOne => format!("011{}", number.digits()),
        Format::Bare => number.digits(),
        Format::National => national(settings, number),
    };
    apply(&settings.rules_out, written)
}

/// As dialled inside the trunk's country; abroad with the international prefix that country dials.
fn national(settings: &Settings, number: E164) -> String {
    let Some(country) = settings.country else { return number.to_string() };
    if number.country() == Some(country)
        && let Some(national) = number.national()
    {
        return national;
    }
    let abroad = ["00", "011", "0011", "810", "010"].map(|prefix| format!("{prefix}{}", number.digits()));
    let understood = abroad.into_iter().find(|typed| E164::parse(typed, country) == Ok(number));
    understood.unwrap_or_else(|| format!("00{}", number.digits()))
}

/// Replaces the beginning by the rule with the longest `strip` that fits.
fn apply(rules: &[Rule], digits: String) -> String {
    let fitting = rules.iter().filter(|rule| digits.starts_with(&rule.strip));
    match fitting.max_by_key(|rule| rule.strip.len()) {
        Some(rule) => format!("{}{}", rule.add, &digits[rule.strip.len()..]),
        None => digits,
    }
}

/// A `sip:`, `sips:` or `tel:` address taken apart: what identifies somebody, and every parameter wherever it stands.
struct Address<'a> {
    user: String,
    host: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Address<'a> {
    /// From a name-addr, an addr-spec, or a bare URI.
    fn read(value: &'a str) -> Option<Self> {
        let value = value.trim();
        let (uri, outside) = match position_outside_quotes(value, '<') {
            Some(open) => value[open + 1..].split_once('>')?,
            // RFC 3261 §20.10: without angle brackets the parameters belong to the header.
            None => (value, ""),
        };
        let (scheme, rest) = uri.trim().split_once(':')?;
        let tel = scheme.eq_ignore_ascii_case("tel");
        if !tel && !scheme.eq_ignore_ascii_case("sip") && !scheme.eq_ignore_ascii_case("sips") {
            return None;
        }
        let rest = rest.split('?').next().unwrap_or_default();
        let (user, location) = if tel { (rest, "") } else { rest.rsplit_once('@').unwrap_or(("", rest)) };
        let (user, user_parameters) = user.split_once(';').unwrap_or((user, ""));
        let user = user.split(':').next().unwrap_or_default();
        let (host, uri_parameters) = location.split_once(';').unwrap_or((location, ""));
        let host = if host.starts_with('[') { host } else { host.split(':').next().unwrap_or_default() };
        let parameters = [user_parameters, uri_parameters, outside].into_iter().flat_map(|list| list.split(';'));
        let parameters = parameters.map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")));
        let parameters = parameters.map(|(name, value)| (name.trim(), value.trim().trim_matches('"'))).collect();
        let user = percent_encoding::percent_decode_str(user).decode_utf8().ok()?.into_owned();
        Some(Self { user, host, parameters })
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|&(_, value)| value)
    }

    /// 3GPP TS 24.229 §7.2A.20.
    fn verstat(&self) -> Option<Attestation> {
        let value = self.parameter("verstat")?;
        let known = [
            ("TN-Validation-Passed", Attestation::Full),
            ("TN-Validation-Passed-A", Attestation::Full),
            ("TN-Validation-Passed-B", Attestation::Partial),
            ("TN-Validation-Passed-C", Attestation::Gateway),
            ("TN-Validation-Failed", Attestation::Failed),
            ("TN-Validation-Failed-A", Attestation::Failed),
            ("TN-Validation-Failed-B", Attestation::Failed),
            ("TN-Validation-Failed-C", Attestation::Failed),
            ("No-TN-Validation", Attestation::None),
        ];
        known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(value)).map(|(_, attestation)| attestation)
    }
}

/// The values of one header line, parted at commas that are neither quoted nor inside angle brackets.
fn values(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let (mut quoted, mut escaped, mut inside) = (false, false, false);
        let end = line.char_indices().find_map(|(at, character)| {
            match character {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' if !inside => quoted = !quoted,
                '<' if !quoted => inside = true,
                '>' if !quoted => inside = false,
                ',' if !quoted && !inside => return Some(at),
                _ => {}
            }
            None
        });
        rest = end.map(|at| &line[at + 1..]);
        Some(&line[..end.unwrap_or(line.len())])
    })
}

fn position_outside_quotes(text: &str, wanted: char) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.char_indices().find_map(|(at, character)| {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if character == wanted && !quoted => return Some(at),
            _ => {}
        }
        None
    })
}

#[cfg(test)]
mod tests;

//! How a trunk is reached and how it writes numbers: what the operator sets, kept as JSON in the trunk's row.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::sip::Transport;
use crate::types::{Attestation, CallerId, Country, DeckId, E164, Refusal};

/// Most addresses of a trunk beside the first.
pub const MOST_TARGETS: usize = 8;
/// Most headers a trunk adds.
pub const MOST_HEADERS: usize = 16;
/// The longest time between two questions whether an address lives.
pub const LONGEST_OPTIONS_SECS: u32 = 3_600;
/// Most entries in any list of a trunk.
pub const MOST_ENTRIES: usize = 256;

/// Everything about a trunk but its name, switch and priority.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own to the operator")]
pub struct Settings {
    /// Addresses calls may come from: `192.0.2.7`, `192.0.2.0/24`, `2001:db8::/32`, `192.0.2.7:5070`.
    pub addresses: Vec<Source>,
    /// Where calls out are sent: `sip.example.com`, `192.0.2.7:5070`. None: the trunk only brings calls.
    pub target: Option<Target>,
    /// Further addresses of the same carrier, tried in this order when the first does not answer.
    pub more_targets: Vec<Target>,
    /// The proxy that calls out are sent through; the Request-URI names the target all the same.
    pub outbound_proxy: Option<Target>,
    /// How messages travel to it.
    pub transport: TrunkTransport,
    /// Names of a TLS client certificate that identify the carrier, beside its addresses.
    pub certificate_names: Vec<String>,
    /// The name by which the carrier proves who it is wherever it calls from (RFC 7616); its password is kept apart.
    pub digest_user: Option<String>,
    /// Our name at the carrier, if it asks for a password (RFC 7616); the password is kept apart.
    pub login: Option<String>,
    /// Whether MD5 may answer it, for old carriers.
    pub login_md5: bool,
    /// Whether the carrier wants us to register.
    pub register: bool,
    /// For how long we ask to be registered.
    pub register_secs: u32,
    /// How often each of its addresses is asked by OPTIONS whether it lives, in seconds; 0 for never.
    pub options_secs: u32,
    /// Headers added to every call out, such as one that names the account.
    pub headers: Vec<ExtraHeader>,
    /// The country whose habits national numbers and international prefixes follow.
    pub country: Option<Country>,
    /// What digits without `+`, `00` or `011` mean.
    pub bare: Bare,
    /// Applied to an arriving number before anything else; the longest `strip` that fits wins.
    pub rules_in: Vec<Rule>,
    /// How numbers are written for this trunk.
    pub format_out: Format,
    /// Applied to a written number last; the longest `strip` that fits wins.
    pub rules_out: Vec<Rule>,
    /// Headers that may tell the caller's number, the first that has one wins.
    pub identity: Vec<IdentityHeader>,
    /// Whether P-Asserted-Identity of this trunk is believed (RFC 3325 trust domain).
    pub trusted: bool,
    /// Whether a Diversion header may tell the dialled number, when Request-URI and To do not.
    pub diversion: bool,
    /// User parts that mean "withheld", beside the usual ones.
    pub withheld: Vec<String>,
    /// How much the carrier must vouch for the caller's number.
    pub attestation: AttestationPolicy,
    /// Calls at once, both ways together; none means no bound of its own.
    pub channels: Option<u32>,
    /// New calls a second, both ways together; none means no bound of its own.
    pub calls_per_second: Option<u32>,
    /// Prefixes (digits without `+`) of numbers the trunk may take calls to; empty means all.
    pub destinations: Vec<String>,
    /// Prefixes (digits without `+`) of numbers that may be dialled on calls the trunk brings; empty means all.
    pub dialled: Vec<String>,
    /// The deck that says what the carrier takes; none means that nobody knows, and margins are not looked at.
    pub cost_deck: Option<DeckId>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            target: None,
            more_targets: Vec::new(),
            outbound_proxy: None,
            transport: TrunkTransport::default(),
            certificate_names: Vec::new(),
            digest_user: None,
            login: None,
            login_md5: false,
            register: false,
            register_secs: 600,
            options_secs: 30,
            headers: Vec::new(),
            country: None,
            bare: Bare::default(),
            rules_in: Vec::new(),
            format_out: Format::default(),
            rules_out: Vec::new(),
            identity: vec![IdentityHeader::PAssertedIdentity, IdentityHeader::From],
            trusted: true,
            diversion: false,
            withheld: Vec::new(),
            attestation: AttestationPolicy::default(),
            channels: None,
            calls_per_second: None,
            destinations: Vec::new(),
            dialled: Vec::new(),
            cost_deck: None,
        }
    }
}

impl Settings {
    /// What the types cannot say: bounds of lists, digits in prefixes, an identity header at all.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let lists = [
            ("addresses", self.addresses.len()),
            ("rules_in", self.rules_in.len()),
            ("rules_out", self.rules_out.len()),
            ("identity", self.identity.len()),
            ("withheld", self.withheld.len()),
            ("destinations", self.destinations.len()),
            ("dialled", self.dialled.len()),
            ("certificate_names", self.certificate_names.len()),
        ];
        if let Some((name, _)) = lists.into_iter().find(|&(_, length)| length > MOST_ENTRIES) {
            return Err((name, format!("Give at most {MOST_ENTRIES} entries.")));
        }
        for (name, prefixes) in [("destinations", &self.destinations), ("dialled", &self.dialled)] {
            if let Some(wrong) = prefixes.iter().find(|prefix| !is_digits(prefix, 1, 15)) {
                return Err((name, format!("Write the prefix {wrong:?} as 1 to 15 digits without a plus sign, such as 420.")));
            }
        }
        for (name, rules) in [("rules_in", &self.rules_in), ("rules_out", &self.rules_out)] {
            if rules.iter().any(|rule| !rule.is_sound()) {
                return Err((name, "Write strip and add as at most 20 digits, each with at most one leading plus sign.".to_owned()));
            }
        }
        if self.more_targets.len() > MOST_TARGETS {
            return Err(("more_targets", format!("Give at most {MOST_TARGETS} further addresses.")));
        }
        if self.target.is_none() && !self.more_targets.is_empty() {
            return Err(("target", "Name the first address as target; more_targets are tried after it.".to_owned()));
        }
        if self.headers.len() > MOST_HEADERS {
            return Err(("headers", format!("Give at most {MOST_HEADERS} headers.")));
        }
        if let Some(wrong) = self.headers.iter().find_map(ExtraHeader::fault) {
            return Err(("headers", wrong));
        }
        let is_name = |name: &String| (1..=255).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !self.certificate_names.iter().all(is_name) {
            return Err(("certificate_names", "Write each name as the certificate has it, such as sip.example.com.".to_owned()));
        }
        let is_user = |user: &String| {
            (1..=64).contains(&user.len()) && user.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte))
        };
        if !self.login.as_ref().is_none_or(is_user) {
            return Err(("login", "Write the name with letters, digits, dots, hyphens, underscores and plus signs.".to_owned()));
        }
        if !self.digest_user.as_ref().is_none_or(is_user) {
            return Err(("digest_user", "Write the name with letters, digits, dots, hyphens, underscores and plus signs.".to_owned()));
        }
        if self.register && (self.login.is_none() || self.target.is_none()) {
            return Err(("register", "A registration needs a login and a target.".to_owned()));
        }
        if !(60..=86_400).contains(&self.register_secs) {
            return Err(("register_secs", "Ask for 60 to 86400 seconds.".to_owned()));
        }
        if self.options_secs > LONGEST_OPTIONS_SECS {
            return Err(("options_secs", format!("Ask every 1 to {LONGEST_OPTIONS_SECS} seconds, or 0 for never.")));
        }
        if self.identity.is_empty() {
            return Err(("identity", "Name at least one header, such as from.".to_owned()));
        }
        if self.format_out == Format::National && self.country.is_none() {
            return Err(("country", "Name the country whose national format is to be written, such as CZ.".to_owned()));
        }
        if self.channels == Some(0) || self.calls_per_second == Some(0) {
            return Err(("channels", "A limit is at least 1; leave it out for none, or disable the trunk.".to_owned()));
        }
        Ok(())
    }

    /// Every host calls out may be sent to.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.outbound_proxy.iter().chain(&self.target).chain(&self.more_targets)
    }

    /// Whether calls to `destination` may go out here.
    pub fn takes(&self, destination: E164) -> bool {
        fits_one(&self.destinations, destination)
    }

    /// Whether calls to the access number `dialled` may come in here.
    pub fn brings(&self, dialled: E164) -> bool {
        fits_one(&self.dialled, dialled)
    }
}

fn fits_one(prefixes: &[String], number: E164) -> bool {
    prefixes.is_empty() || {
        let digits = number.digits();
        prefixes.iter().any(|prefix| digits.starts_with(prefix.as_str()))
    }
}

fn is_digits(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// How messages travel to a trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrunkTransport {
    /// As the carrier's DNS says (RFC 3263), else UDP; what is too long for a datagram goes by TCP.
    #[default]
    Auto,
    /// Datagrams, however long.
    Udp,
    /// TCP.
    Tcp,
    /// TLS; the carrier's certificate must name the target.
    Tls,
}

impl TrunkTransport {
    /// The one that is demanded; none leaves it to the DNS.
    pub const fn demanded(self) -> Option<Transport> {
        match self {
            Self::Auto => None,
            Self::Udp => Some(Transport::Udp),
            Self::Tcp => Some(Transport::Tcp),
            Self::Tls => Some(Transport::Tls),
        }
    }
}

/// A header of the operator's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtraHeader {
    /// Its name, such as `X-Account`.
    pub name: String,
    /// Its value, one line.
    pub value: String,
}

/// Headers that make the call what it is: none of them is the operator's to write.
const OURS: [&str; 20] = [
    "via",
    "from",
    "to",
    "call-id",
    "cseq",
    "contact",
    "route",
    "record-route",
    "max-forwards",
    "content-length",
    "content-type",
    "require",
    "supported",
    "authorization",
    "proxy-authorization",
    "session-expires",
    "min-se",
    "v",
    "f",
    "t",
];

impl ExtraHeader {
    fn fault(&self) -> Option<String> {
        let is_token = (1..=64).contains(&self.name.len()) && self.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !is_token {
            return Some(format!("Write the name {:?} with letters, digits and hyphens, such as X-Account.", self.name));
        }
        if OURS.contains(&self.name.to_ascii_lowercase().as_str()) || self.name.len() == 1 {
            return Some(format!("The header {} is written by the server. Choose another name.", self.name));
        }
        let is_line = self.value.chars().count() <= 512 && !self.value.chars().any(char::is_control);
        (!is_line).then(|| format!("Write the value of {} on one line of at most 512 characters.", self.name))
    }
}

/// What digits without any international prefix mean on calls a trunk brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bare {
    /// By the country: a national number where it can be one, else an international one without its plus.
    #[default]
    Auto,
    /// Country code first, always (unless they begin with a trunk zero).
    International,
    /// A national number of the country, always.
    National,
}

/// How a trunk wants to see numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// `+420601123456`
    #[default]
    Plus,
    /// `00420601123456`
    ZeroZero,
    /// `011420601123456`
    ZeroOneOne,
    /// `420601123456`
    Bare,
    /// As dialled inside the country; abroad with the country's international prefix.
    National,
}

/// Replaces the beginning of a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What the number must begin with; empty fits always.
    pub strip: String,
    /// What stands there instead.
    pub add: String,
}

impl Rule {
    fn is_sound(&self) -> bool {
        [&self.strip, &self.add].into_iter().all(|text| is_digits(text.strip_prefix('+').unwrap_or(text), 0, 20))
    }
}

/// Where the caller's number may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityHeader {
    /// RFC 3325; only from trusted trunks.
    PAssertedIdentity,
    /// The draft some carriers still send.
    RemotePartyId,
    /// RFC 3261; the caller says it.
    From,
}

/// How much the carrier must vouch for the caller's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttestationPolicy {
    /// Nothing is demanded.
    #[default]
    Ignore,
    /// Full attestation only.
    RequireA,
    /// Full or partial.
    RequireB,
    /// Anything but a failed validation.
    RefuseFailed,
}

impl AttestationPolicy {
    /// Refuses a caller the carrier does not vouch for as demanded. A withheld number is for others to refuse.
    pub const fn check(self, caller: CallerId) -> Result<(), Refusal> {
        let CallerId::Number(_, attestation) = caller else { return Ok(()) };
        let enough = match self {
            Self::Ignore => true,
            Self::RequireA => matches!(attestation, Attestation::Full),
            Self::RequireB => matches!(attestation, Attestation::Full | Attestation::Partial),
            Self::RefuseFailed => !matches!(attestation, Attestation::Failed),
        };
        if enough { Ok(()) } else { Err(Refusal::CallerUnverified) }
    }
}

/// Addresses calls may come from: one, or a network, with a port or any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    network: IpAddr,
    length: u8,
    port: Option<u16>,
}

/// The text is no address, network or address with port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write an address (192.0.2.7), a network (192.0.2.0/24, 2001:db8::/32) or an address with port (192.0.2.7:5070)")]
pub struct SourceError;

impl Source {
    /// How narrowly this entry fits the address: prefix length, and one more for the right port. `None`: not at all.
    pub fn fit(&self, source: SocketAddr) -> Option<u16> {
        let address = source.ip().to_canonical();
        if self.port.is_some_and(|port| port != source.port()) {
            return None;
        }
        let (inside, spare) = match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => (shared_bits(network.to_bits() ^ address.to_bits()) >= self.length, 96),
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shared = (network.to_bits() ^ address.to_bits()).leading_zeros();
                (shared >= u32::from(self.length), 0)
            }
            _ => return None,
        };
        inside.then(|| (u16::from(self.length) + spare) * 2 + u16::from(self.port.is_some()))
    }
}

fn shared_bits(difference: u32) -> u8 {
    u8::try_from(difference.leading_zeros()).unwrap_or(32)
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        if let Some((network, length)) = text.split_once('/') {
            let network: IpAddr = network.parse().map_err(|_| SourceError)?;
            let most = if network.is_ipv4() { 32 } else { 128 };
            // A network of everybody is a slip, not a trunk.
            let length = length.parse().ok().filter(|length| (1..=most).contains(length)).ok_or(SourceError)?;
            return Ok(Self { network, length, port: None });
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            let address = address.to_canonical();
            return Ok(Self { network: address, length: if address.is_ipv4() { 32 } else { 128 }, port: None });
        }
        let address: SocketAddr = text.parse().map_err(|_| SourceError)?;
        let network = address.ip().to_canonical();
        Ok(Self { network, length: if network.is_ipv4() { 32 } else { 128 }, port: Some(address.port()) })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}", SocketAddr::new(self.network, port)),
            None if self.length == if self.network.is_ipv4() { 32 } else { 128 } => write!(f, "{}", self.network),
            None => write!(f, "{}/{}", self.network, self.length),
        }
    }
}

/// A host name or address with a port: where calls out are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Name or address, without brackets.
    pub host: String,
    /// The port; none asks the DNS for it, and is the transport's usual one else.
    pub port: Option<u16>,
}

/// The text is no host with port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write the target as a host with an optional port, such as sip.example.com, 192.0.2.7:5070 or [2001:db8::1]:5060")]
pub struct TargetError;

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self { host: address.ip().to_string(), port: Some(address.port()) }).and_then(Self::with_port);
        }
        if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Ok(Self { host: address.to_string(), port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| TargetError)?)),
            None => (text, None),
        };
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        // A name whose last label is all digits is a mistyped address.
        let sound = host.len() <= 253 && host.split('.').all(label) && !host.rsplit('.').next().is_some_and(|last| is_digits(last, 1, 63));
        if sound { Self { host: host.to_ascii_lowercase(), port }.with_port() } else { Err(TargetError) }
    }
}

impl Target {
    fn with_port(self) -> Result<Self, TargetError> {
        if self.port == Some(0) { Err(TargetError) } else { Ok(self) }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]", self.host) } else { f.write_str(&self.host) }?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

macro_rules! serde_as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

serde_as_text!(Source, Target);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_and_targets_print_as_they_parse() {
        for (text, printed) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/32", "192.0.2.7"),
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("192.0.2.7:5070", "192.0.2.7:5070"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("[2001:db8::1]:5061", "[2001:db8::1]:5061"),
        ] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), printed);
        }
        for text in ["", "0.0.0.0/0", "192.0.2.0/33", "::/0", "example.com", "192.0.2.256", "192.0.2.1:99999"] {
            assert_eq!(text.parse::<Source>(), Err(SourceError), "{text}");
        }
        for (text, printed) in [
            ("SIP.example.com", "sip.example.com"),
            ("sip.example.com:5080", "sip.example.com:5080"),
            ("192.0.2.7", "192.0.2.7"),
            ("[2001:db8::1]", "[2001:db8::1]"),
            ("[2001:db8::1]:5070", "[2001:db8::1]:5070"),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), printed);
        }
        for text in ["", "192.0.2.256", "a b", "host:0", "192.0.2.1:0", "host:x", "-a.example.com", "sip:host", "a..b"] {
            assert_eq!(text.parse::<Target>(), Err(TargetError), "{text}");
        }
    }

    #[test]
    fn attestation_is_demanded_as_the_policy_says() {
        use Attestation::{Failed, Full, Gateway, None, Partial};
        let number = "+15551231234".parse().unwrap();
        for (policy, pass) in [
            (AttestationPolicy::Ignore, vec![Full, Partial, Gateway, Failed, None]),
            (AttestationPolicy::RequireA, vec![Full]),
            (AttestationPolicy::RequireB, vec![Full, Partial]),
            (AttestationPolicy::RefuseFailed, vec![Full, Partial, Gateway, None]),
        ] {
            let passed: Vec<_> = [Full, Partial, Gateway, Failed, None]
                .into_iter()
                .filter(|&attestation| policy.check(CallerId::Number(number, attestation)).is_ok())
                .collect();
            assert_eq!(passed, pass, "{policy:?}");
            assert_eq!(policy.check(CallerId::Withheld), Ok(()));
        }
    }

    #[test]
    fn settings_survive_json_and_name_the_wrong_field() {
        let settings: Settings = serde_json::from_str(
            r#"{"addresses":["192.0.2.0/24"],"target":"sip.example.com","country":"CZ","format_out":"zero_zero","identity":["from"]}"#,
        )
        .unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&serde_json::to_string(&settings).unwrap()).unwrap(), settings);
        assert!(settings.check().is_ok());
        assert!(serde_json::from_str::<Settings>(r#"{"adresses":[]}"#).is_err());
        let wrong = Settings { destinations: vec!["+420".to_owned()], ..Settings::default() };
        assert_eq!(wrong.check().unwrap_err().0, "destinations");
        for (name, value) in [("Via", "x"), ("v", "x"), ("X Account", "7"), ("X-Account", "7\r\nVia: x")] {
            let headers = vec![ExtraHeader { name: name.into(), value: value.into() }];
            assert_eq!(Settings { headers, ..Settings::default() }.check().unwrap_err().0, "headers", "{name}");
        }
        let wrong = Settings { options_secs: LONGEST_OPTIONS_SECS + 1, ..Settings::default() };
        assert_eq!(wrong.check().unwrap_err().0, "options_secs");
        let wrong = Settings { more_targets: vec!["192.0.2.7".parse().unwrap()], ..Settings::default() };
        assert_eq!(wrong.check().unwrap_err().0, "target");
        let wrong = Settings { format_out: Format::National, ..Settings::default() };
        assert_eq!(wrong.check().unwrap_err().0, "country");
    }
}

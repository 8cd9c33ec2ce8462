//! The settings: one TOML file, made of each room's own small `Config`. `config.default.toml` is the default and its documentation.

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::http::auth::Variant;
use crate::http::softphone::mapping::Field;
use crate::{b2bua, callthrough, geoip, http, jobs, ledger, media, rating, sip, subscriber, trace};

/// The documented defaults, embedded: what runs when nobody says otherwise.
pub const DEFAULTS: &str = include_str!("../config.default.toml");

/// Methods a phone may ask with.
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];

/// Every setting of the server. A key that is missing keeps its default; a key that does not exist is an error.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The name of this node among those that share a database.
    pub node: String,
    /// Where the embedded database, the master key and the spool of call records live.
    pub data_dir: PathBuf,
    /// How long a stop waits for running calls, unless a second signal comes.
    pub drain_secs: u32,
    /// The key that seals secrets in the database; none means `master.key` in the data directory.
    pub master_key_file: Option<PathBuf>,
    /// The books.
    pub database: Database,
    /// What is written to standard error.
    pub log: Log,
    /// The web doors.
    pub http: http::Config,
    /// The door for phones.
    pub softphone: http::softphone::Config,
    /// The SIP door.
    pub sip: sip::Config,
    /// The switchboard.
    pub calls: b2bua::Config,
    /// The sound.
    pub media: media::Config,
    /// Reservations.
    pub callthrough: callthrough::Config,
    /// Holds, and the limits of subscribers who have none of their own.
    pub ledger: ledger::Config,
    /// Prices.
    pub rating: rating::Config,
    /// How costly password hashes are.
    pub credentials: subscriber::credential::Config,
    /// Which country an address is in.
    pub geoip: geoip::Config,
    /// What went over the wire.
    pub trace: trace::Config,
    /// The night watch.
    pub jobs: jobs::Config,
}

/// Where the books are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// `sqlite:FILE` or `postgres://…`; empty means `callthrough.sqlite` in the data directory.
    pub url: String,
}

/// What is written to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, or a filter such as `info,callthrough::sip=debug`.
    pub level: String,
    /// Sentences for people or JSON for machines.
    pub format: LogFormat,
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One sentence a line.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node: "node1".into(),
            data_dir: "callthrough-data".into(),
            drain_secs: 600,
            master_key_file: None,
            database: Database::default(),
            log: Log::default(),
            http: http::Config::default(),
            softphone: http::softphone::Config::default(),
            sip: sip::Config::default(),
            calls: b2bua::Config::default(),
            media: media::Config::default(),
            callthrough: callthrough::Config::default(),
            ledger: ledger::Config::default(),
            rating: rating::Config::default(),
            credentials: subscriber::credential::Config::default(),
            geoip: geoip::Config::default(),
            trace: trace::Config::default(),
            jobs: jobs::Config::default(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Text }
    }
}

/// Why the settings cannot be used: which file, which line or key, and what to do.
#[derive(Debug)]
pub struct ConfigError {
    file: Option<PathBuf>,
    problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}: {}", file.display(), self.problem.trim_end()),
            None => f.write_str(self.problem.trim_end()),
        }
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads `file`, or takes the defaults when there is none.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(file) = file else { return Self::parse(DEFAULTS) };
        let told = |problem: String| ConfigError { file: Some(file.to_owned()), problem };
        let unreadable = |error| told(format!("cannot read the settings: {error}. Name a readable file with --config"));
        let text = std::fs::read_to_string(file).map_err(unreadable)?;
        let config = Self::parse(&text).map_err(|error| told(error.problem))?;
        let mode = std::fs::metadata(file).map_err(unreadable)?.permissions().mode();
        let secrets = [
            ("database.url", config.shown_database_url() != config.database_url()),
            ("trace.hep_password", !config.trace.hep_password.expose().is_empty()),
        ];
        if let Some((key, _)) = secrets.into_iter().find(|(_, is_there)| *is_there && mode & 0o007 != 0) {
            return Err(told(format!(
                "{key} holds a password, and everybody on this machine may read the file (mode {:03o}): chmod 640 it",
                mode & 0o777
            )));
        }
        Ok(config)
    }

    /// Reads settings from text.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let told = |problem: String| ConfigError { file: None, problem };
        let config: Self = toml::from_str(text).map_err(|error| told(error.to_string()))?;
        match config.out_of_range().or_else(|| config.no_relay()).or_else(|| config.no_collector()).or_else(|| config.wrong_endpoint()) {
            Some(problem) => Err(told(problem)),
            None => Ok(config),
        }
    }

    /// The first number that makes no sense, by its key.
    fn out_of_range(&self) -> Option<String> {
        let bounds = [
            ("callthrough.life_secs", self.callthrough.life_secs, 15, 120),
            ("callthrough.late_grace_secs", self.callthrough.late_grace_secs, 0, 60),
            ("callthrough.max_open_reservations", self.callthrough.max_open_reservations, 1, 100),
            ("ledger.slice_secs", self.ledger.slice_secs, 1, 3600),
            ("ledger.longest_call_secs", self.ledger.longest_call_secs, 1, 86_400),
            ("calls.setup_deadline_secs", self.calls.setup_deadline_secs, 1, 3600),
            ("calls.silence_secs", self.calls.silence_secs, 1, 60),
            ("calls.ring_secs", self.calls.ring_secs, 1, 3600),
            ("calls.longest_call_secs", self.calls.longest_call_secs, 1, 86_400),
            ("trace.kept_days", self.trace.kept_days, 1, 3650),
            ("media.first_port", self.media.first_port.into(), 1024, 65_532),
            ("media.last_port", self.media.last_port.into(), u32::from(self.media.first_port).saturating_add(3), 65_535),
        ];
        let (key, value, least, most) = bounds.into_iter().find(|(_, value, least, most)| value < least || value > most)?;
        Some(format!("{key} = {value}: choose {least} to {most}"))
    }

    /// A relay that nobody could ask.
    fn no_relay(&self) -> Option<String> {
        let lost = self.media.relay == media::Carrier::Rtpengine && self.media.rtpengine.is_empty();
        lost.then(|| "media.rtpengine is empty: name where rtpengine listens for its control protocol, such as [\"127.0.0.1:2223\"]".into())
    }

    /// A collector that cannot be found.
    fn no_collector(&self) -> Option<String> {
        let hep = self.trace.hep.as_deref()?;
        let port = hep.rsplit_once(':').filter(|(host, _)| !host.is_empty()).and_then(|(_, port)| port.parse::<u16>().ok());
        port.is_none_or(|port| port == 0).then(|| format!("trace.hep = \"{hep}\": write a host and its port, such as \"192.0.2.60:9060\""))
    }

    /// The first address for phones that could not work, or would let anybody in.
    fn wrong_endpoint(&self) -> Option<String> {
        let mut seen = Vec::new();
        self.softphone.endpoint.iter().enumerate().find_map(|(index, endpoint)| {
            let path = endpoint.path.as_str();
            let wrong = if endpoint.auth.is_empty() {
                Some("auth names nothing: name at least one of token, plain, sha1, salted_sha1, digest")
            } else if endpoint.methods.is_empty() || endpoint.methods.iter().any(|method| !METHODS.contains(&method.as_str())) {
                Some("methods takes GET, POST, PUT and DELETE; an answer to anything else could not carry a dial string")
            } else if path.starts_with("/api/") {
                Some("path begins with /api/, which is the API's: choose another")
            } else if seen.contains(&path) {
                Some("path is that of an earlier endpoint: give each its own")
            } else {
                None
            };
            seen.push(path);
            wrong.map(|wrong| format!("softphone.endpoint {} (path = \"{path}\"): {wrong}", index + 1))
        })
    }

    /// The database's address, the embedded file spelled out.
    pub fn database_url(&self) -> String {
        if self.database.url.is_empty() {
            format!("sqlite:{}", self.data_dir.join("callthrough.sqlite").display())
        } else {
            self.database.url.clone()
        }
    }
}

impl Config {
    /// The database's address for people and logs: without its password.
    pub fn shown_database_url(&self) -> String {
        let url = self.database_url();
        let Some((scheme, rest)) = url.split_once("://") else { return url };
        let Some((login, place)) = rest.rsplit_once('@') else { return url };
        let user = login.split(':').next().unwrap_or_default();
        format!("{scheme}://{user}:…@{place}")
    }

    /// The file of the key that seals secrets.
    pub fn master_key(&self) -> PathBuf {
        self.master_key_file.clone().unwrap_or_else(|| self.data_dir.join("master.key"))
    }

    /// Everything the settings allow that the defaults do not, one line each.
    pub fn relaxed(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.http.listen.ip().is_loopback() && self.http.tls_certificate.as_os_str().is_empty() {
            lines.push(format!(
                "http.listen = \"{}\" without TLS: API keys and secrets pass in clear unless a proxy in front encrypts them",
                self.http.listen
            ));
        }
        if self.media.relay == media::Carrier::Bypass {
            lines.push("media.relay = \"bypass\": silence is not noticed, nobody can key in a code, and the record tells no loss".into());
        }
        if self.callthrough.destinations.allow_high_risk {
            lines.push("callthrough.destinations.allow_high_risk: premium, shared-cost and satellite numbers may be called".into());
        }
        for endpoint in &self.softphone.endpoint {
            let path = endpoint.path.as_str();
            lines.extend(endpoint.auth.iter().filter_map(|variant| {
                let exposes = match variant {
                    Variant::Token | Variant::Plain => return None,
                    Variant::Sha1 => "sha1: who copies the hash once can ask forever",
                    Variant::SaltedSha1 => "salted_sha1: needs app secrets that can be read again",
                    Variant::Digest => "digest: MD5 is offered beside SHA-256",
                };
                Some(format!("softphone.endpoint \"{path}\" takes {exposes}"))
            }));
        }
        lines
    }

    /// The name of each door and a request to try it with.
    pub fn samples(&self) -> Vec<(&'static str, String)> {
        let scheme = if self.http.tls_certificate.as_os_str().is_empty() { "http" } else { "https" };
        let web = format!("{scheme}://{}", self.http.listen);
        let sip = self.sip.listen.first().map(ToString::to_string).unwrap_or_default();
        let mut samples = vec![("API", format!("curl -H \"Authorization: Bearer $CALLTHROUGH_KEY\" {web}/api/v1/subscribers"))];
        for endpoint in &self.softphone.endpoint {
            let (mut path, mut query) = (endpoint.path.as_str().to_owned(), Vec::new());
            for (field, value) in [(Field::User, "USER"), (Field::Secret, "SECRET"), (Field::Target, "%2B15551231234")] {
                let names = endpoint.names(field);
                match names.iter().find(|name| path.contains(&format!("{{{name}}}"))) {
                    Some(name) => path = path.replace(&format!("{{{name}}}"), value),
                    None => query.extend(names.first().map(|name| format!("{name}={value}"))),
                }
            }
            samples.push(("softphones", format!("curl '{web}{path}?{}'", query.join("&"))));
        }
        samples.push(("SIP, from the address of a trunk", format!("sipp -sn uac -s +15551230000 -m 1 {sip}")));
        samples
    }

    /// The file in which call records wait that the books could not take.
    pub fn spool(&self) -> PathBuf {
        self.data_dir.join("spool.jsonl")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_defaults_are_the_defaults() {
        assert_eq!(Config::parse(DEFAULTS).unwrap(), Config::default());
        assert_eq!(Config::parse("").unwrap(), Config::default());
    }

    #[test]
    fn a_number_that_makes_no_sense_is_named_with_its_bounds() {
        let error = Config::parse("callthrough.life_secs = 900").unwrap_err().to_string();
        assert!(error.contains("callthrough.life_secs = 900") && error.contains("15 to 120"), "{error}");
    }

    #[test]
    fn an_endpoint_that_cannot_work_is_named() {
        let endpoint = |lines: &str| Config::parse(&format!("[[softphone.endpoint]]\nservice = \"callthrough\"\n{lines}"));
        assert!(endpoint("path = \"/ct\"").is_ok());
        for (lines, named) in [
            ("path = \"/ct\"\nauth = []", "auth"),
            ("path = \"/ct\"\nmethods = [\"HEAD\"]", "methods"),
            ("path = \"/api/v1/ct\"", "/api/"),
            ("path = \"/ct\"\n[[softphone.endpoint]]\nservice = \"callthrough\"\npath = \"/ct\"", "endpoint 2"),
        ] {
            let error = endpoint(lines).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn a_collector_needs_a_port() {
        assert!(Config::parse("trace.hep = \"[2001:db8::60]:9060\"").is_ok());
        for wrong in ["homer.example.com", ":9060", "homer.example.com:0"] {
            let error = Config::parse(&format!("trace.hep = \"{wrong}\"")).unwrap_err().to_string();
            assert!(error.contains("trace.hep") && error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn samples_fit_the_endpoints() {
        let config = Config::parse(
            "[[softphone.endpoint]]\nservice = \"callthrough\"\npath = \"/ct/{user}\"\nfields = { target = [\"num\"] }\nauth = [\"sha1\"]",
        )
        .unwrap();
        let sample = config.samples().into_iter().find(|(door, _)| *door == "softphones").unwrap().1;
        assert_eq!(sample, "curl 'http://127.0.0.1:8080/ct/USER?password=SECRET&num=%2B15551231234'");
        assert!(config.relaxed().iter().any(|line| line.contains("/ct/{user}") && line.contains("sha1")));
    }

    #[test]
    fn what_is_relaxed_is_said() {
        assert_eq!(Config::default().relaxed(), Vec::<String>::new());
        let open = Config::parse("http.listen = \"0.0.0.0:80\"\ncallthrough.destinations.allow_high_risk = true").unwrap();
        assert_eq!(open.relaxed().len(), 2);
    }

    #[test]
    fn a_password_is_never_shown() {
        let mut config = Config::default();
        config.database.url = "postgres://ann:secret@db/books".into();
        assert_eq!(config.shown_database_url(), "postgres://ann:…@db/books");
        assert_eq!(Config::default().shown_database_url(), "sqlite:callthrough-data/callthrough.sqlite");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = Config::parse("[http]\nlisen = \"127.0.0.1:80\"\n").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("lisen"), "{error}");
    }
}

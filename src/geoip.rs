//! Which country an address is in.
//!
//! The answer is a hint for the choice of an access number and nothing more: mobile data is often carried home before it leaves,
//! and privacy relays exist. A DB-IP Lite country file is compiled in; a better one may be named in the configuration and is read
//! anew when it changes.

use std::borrow::Cow;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use maxminddb::{Reader, WithinOptions};
use serde::Deserialize;

use crate::types::Country;

/// The attribution the bundled data asks for, on pages that use it.
pub const ATTRIBUTION: &str = "IP Geolocation by DB-IP (https://db-ip.com)";

static BUNDLED: &[u8] = include_bytes!("../geoip/dbip-country.mmdb");
/// Networks of a new file that are read before it is trusted.
const NETWORKS_CHECKED: usize = 200_000;
/// Largest file that is read.
const LARGEST_FILE_BYTES: u64 = 1 << 30;

/// Where the data comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A MaxMind DB file; none means the bundled one.
    pub file: Option<PathBuf>,
}

/// What an address tells.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Place {
    /// The country.
    pub country: Option<Country>,
    /// Latitude and longitude in degrees, if the data has them.
    pub coordinates: Option<(f64, f64)>,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GeoIpError {
    /// It cannot be read.
    #[error("{}: cannot be read ({source}); check the path and its permissions", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no sound MaxMind DB file.
    #[error("{}: not a sound MaxMind DB file ({source}); fetch it again", file.display())]
    Broken {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: maxminddb::MaxMindDbError,
    },
    /// It knows no countries in a shape we read.
    #[error("{}: no country is told as country.iso_code, country_code or country; use a country or city file", file.display())]
    NoCountry {
        /// Which file.
        file: PathBuf,
    },
}

type Data = Reader<Cow<'static, [u8]>>;

/// The data in use. Cheap to clone; every clone sees a new file at once.
#[derive(Clone)]
pub struct GeoIp {
    data: Arc<RwLock<Arc<Data>>>,
    file: Option<Arc<File>>,
}

struct File {
    path: PathBuf,
    /// What the file looked like when it was last read, well or not.
    seen: Mutex<Option<(SystemTime, u64)>>,
}

impl GeoIp {
    /// The data that came with the program.
    pub fn bundled() -> Self {
        let data = Reader::from_source(Cow::Borrowed(BUNDLED)).expect("the bundled file is sound");
        Self { data: Arc::new(RwLock::new(Arc::new(data))), file: None }
    }

    /// The configured data. A file that cannot be used is named in the log, and the bundled data stands in until it is mended.
    pub fn open(config: &Config) -> Self {
        let mut geoip = Self::bundled();
        geoip.file = config.file.clone().map(|path| Arc::new(File { path, seen: Mutex::new(None) }));
        if let Err(error) = geoip.refresh() {
            tracing::error!(%error, "the bundled GeoIP data is used instead");
        }
        geoip
    }

    /// Whether `file` could be used; for checking a configuration.
    pub fn check(file: &Path) -> Result<(), GeoIpError> {
        read(file).map(drop)
    }

    /// Reads the file anew if it changed; true if it did. On an error the data before stays in use, and the same file is not
    /// tried again. Blocks on the disk.
    pub fn refresh(&self) -> Result<bool, GeoIpError> {
        let Some(file) = &self.file else { return Ok(false) };
        let look = stamp(&file.path)?;
        let mut seen = file.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == Some(look) {
            return Ok(false);
        }
        *seen = Some(look);
        let data = read(&file.path)?;
        *self.data.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(data);
        tracing::info!(geoip.file = %file.path.display(), "GeoIP data read");
        Ok(true)
    }

    /// Where `address` is. Nothing for private and unknown addresses.
    pub fn locate(&self, address: IpAddr) -> Place {
        let data = self.data.read().unwrap_or_else(PoisonError::into_inner).clone();
        match data.lookup(address.to_canonical()).and_then(|found| found.decode::<Shape>()) {
            Ok(shape) => shape.map(Shape::place).unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "the GeoIP data cannot be read at one address; fetch the file again");
                Place::default()
            }
        }
    }
}

fn unreadable(file: &Path) -> impl FnOnce(std::io::Error) -> GeoIpError {
    move |source| GeoIpError::Unreadable { file: file.to_owned(), source }
}

fn stamp(file: &Path) -> Result<(SystemTime, u64), GeoIpError> {
    let metadata = std::fs::metadata(file).map_err(unreadable(file))?;
    if metadata.len() > LARGEST_FILE_BYTES {
        return Err(unreadable(file)(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "above 1 GiB")));
    }
    Ok((metadata.modified().map_err(unreadable(file))?, metadata.len()))
}

fn read(file: &Path) -> Result<Data, GeoIpError> {
    stamp(file)?;
    let bytes = std::fs::read(file).map_err(unreadable(file))?;
    let broken = |source| GeoIpError::Broken { file: file.to_owned(), source };
    let data = Reader::from_source(Cow::Owned(bytes)).map_err(broken)?;
    let mut countries = 0_usize;
    for network in data.networks(WithinOptions::default()).map_err(broken)?.take(NETWORKS_CHECKED) {
        let shape = network.and_then(|network| network.decode::<Shape>()).map_err(broken)?;
        countries += usize::from(shape.is_some_and(|shape| shape.place().country.is_some()));
    }
    if countries == 0 { Err(GeoIpError::NoCountry { file: file.to_owned() }) } else { Ok(data) }
}

/// The union of the shapes we read.
#[derive(Deserialize)]
struct Shape {
    country: Option<CountryShape>,
    country_code: Option<String>,
    registered_country: Option<Coded>,
    location: Option<Location>,
    #[serde(alias = "lat")]
    latitude: Option<Degrees>,
    #[serde(alias = "lng", alias = "lon")]
    longitude: Option<Degrees>,
    loc: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum CountryShape {
    Coded(Coded),
    Text(String),
}

#[derive(Deserialize)]
struct Coded {
    iso_code: Option<String>,
}

#[derive(Deserialize)]
struct Location {
    latitude: Option<f64>,
    longitude: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Degrees {
    Number(f64),
    Text(String),
}

impl Degrees {
    fn value(self) -> Option<f64> {
        match self {
            Self::Number(value) => Some(value),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }
}

impl Shape {
    fn place(self) -> Place {
        let (coded, text) = match self.country {
            Some(CountryShape::Coded(coded)) => (coded.iso_code, None),
            Some(CountryShape::Text(text)) => (None, Some(text)),
            None => (None, None),
        };
        let codes = [coded, self.country_code, text, self.registered_country.and_then(|coded| coded.iso_code)];
        let country = codes.into_iter().flatten().find_map(|code| code.parse().ok());
        let pair = |latitude: Option<f64>, longitude: Option<f64>| latitude.zip(longitude).filter(|&place| on_the_map(place));
        let nested = self.location.and_then(|place| pair(place.latitude, place.longitude));
        let flat = || pair(self.latitude.and_then(Degrees::value), self.longitude.and_then(Degrees::value));
        let joined = || {
            let (latitude, longitude) = self.loc.as_deref()?.split_once(',')?;
            pair(latitude.trim().parse().ok(), longitude.trim().parse().ok())
        };
        Place { country, coordinates: nested.or_else(flat).or_else(joined) }
    }
}

fn on_the_map((latitude, longitude): (f64, f64)) -> bool {
    (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn country(geoip: &GeoIp, address: &str) -> Option<String> {
        geoip.locate(address.parse().unwrap()).country.map(|country| country.to_string())
    }

    fn shape(json: &str) -> Place {
        serde_json::from_str::<Shape>(json).unwrap().place()
    }

    #[test]
    fn the_bundled_file_knows_both_families() {
        let geoip = GeoIp::bundled();
        assert_eq!(country(&geoip, "195.113.144.1").as_deref(), Some("CZ"));
        assert_eq!(country(&geoip, "::ffff:195.113.144.1").as_deref(), Some("CZ"));
        assert_eq!(country(&geoip, "2001:718:1::1").as_deref(), Some("CZ"));
        assert_eq!(country(&geoip, "127.0.0.1"), None);
    }

    #[test]
    fn three_shapes_tell_the_same() {
        let prague = Place { country: "CZ".parse().ok(), coordinates: Some((50.0, 14.5)) };
        for json in [
            r#"{"country":{"iso_code":"CZ","names":{"en":"Czechia"}},"location":{"latitude":50.0,"longitude":14.5,"time_zone":"Europe/Prague"}}"#,
            r#"{"country_code":"CZ","latitude":50.0,"longitude":14.5,"city":"Prague"}"#,
            r#"{"country":"CZ","lat":"50.0","lng":"14.5"}"#,
            r#"{"country":"Czechia","country_code":"CZ","loc":"50.0,14.5"}"#,
            r#"{"country":{},"registered_country":{"iso_code":"CZ"},"latitude":50.0,"longitude":14.5}"#,
        ] {
            assert_eq!(shape(json), prague, "{json}");
        }
        assert_eq!(shape(r#"{"latitude":91.0,"longitude":0.0}"#), Place::default());
    }

    #[test]
    fn a_broken_file_keeps_the_one_before_and_is_named() {
        let folder = std::env::temp_dir().join(format!("callthrough-geoip-{}", crate::types::Random::system().alphanumeric(12)));
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join("country.mmdb");
        std::fs::write(&file, &BUNDLED[..BUNDLED.len() / 2]).unwrap();
        let geoip = GeoIp::open(&Config { file: Some(file.clone()) });
        assert_eq!(country(&geoip, "195.113.144.1").as_deref(), Some("CZ"), "the bundled data stands in");
        std::fs::write(&file, b"not a database at all").unwrap();
        assert!(geoip.refresh().unwrap_err().to_string().contains("country.mmdb"));
        assert!(!geoip.refresh().unwrap(), "the same broken file is not tried again");
        assert_eq!(country(&geoip, "195.113.144.1").as_deref(), Some("CZ"));
        std::fs::remove_dir_all(folder).unwrap();
    }
}

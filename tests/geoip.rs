//! GeoIP data of all shapes against MaxMind's own test databases, the broken ones included.

use std::path::{Path, PathBuf};

use callthrough::geoip::{Config, GeoIp};

use crate::support::folder::Folder;

fn databases() -> PathBuf {
    let folder = std::env::var_os("CALLTHROUGH_TEST_MAXMIND").expect(
        "this test needs MaxMind's test databases: run tests/run, which fetches them, or set CALLTHROUGH_TEST_MAXMIND to the folder \
         tests/data/test-data of the source distribution of the Python package maxminddb",
    );
    PathBuf::from(folder)
}

fn every(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            every(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "mmdb") {
            found.push(path);
        }
    }
}

#[test]
fn maxmind_shapes_tell_country_and_place() {
    let open = |name: &str| GeoIp::open(&Config { file: Some(databases().join(name)) });
    let country = |geoip: &GeoIp, address: &str| geoip.locate(address.parse().unwrap()).country.map(|country| country.to_string());
    let city = open("GeoIP2-City-Test.mmdb");
    assert_eq!(country(&city, "81.2.69.160").as_deref(), Some("GB"));
    let (latitude, longitude) = city.locate("81.2.69.160".parse().unwrap()).coordinates.expect("a place");
    assert!((50.0..53.0).contains(&latitude) && (-1.0..1.0).contains(&longitude), "London, not {latitude} {longitude}");
    assert_eq!(country(&city, "2001:218::1").as_deref(), Some("JP"));
    let countries = open("GeoIP2-Country-Test.mmdb");
    assert_eq!(country(&countries, "89.160.20.128").as_deref(), Some("SE"));
    assert_eq!(country(&countries, "10.0.0.1"), None);
}

#[test]
fn no_test_database_makes_us_fall() {
    let folder = Folder::new();
    let file = folder.path().join("country.mmdb");
    std::fs::copy(databases().join("GeoIP2-Country-Test.mmdb"), &file).unwrap();
    let geoip = GeoIp::open(&Config { file: Some(file.clone()) });
    let mut all = Vec::new();
    every(&databases(), &mut all);
    let (mut read, mut refused) = (0, 0);
    for (size, database) in (1_usize..).zip(&all) {
        let mut bytes = std::fs::read(database).unwrap();
        // A different length each time: the file counts as changed even within one tick of its clock.
        bytes.extend(std::iter::repeat_n(0, size));
        std::fs::write(&file, bytes).unwrap();
        match geoip.refresh() {
            Ok(_) => read += 1,
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("country.mmdb"), "{error}");
            }
        }
        for address in ["81.2.69.160", "2001:218::1", "255.255.255.255", "::"] {
            let _ = geoip.locate(address.parse().unwrap());
        }
    }
    assert!(all.len() > 20 && read > 3 && refused > 3, "{read} of {} were read, {refused} refused", all.len());
}

//! The second factor: codes of six digits that change every thirty seconds (RFC 6238 over SHA-1, as every authenticator app does).

use aws_lc_rs::hmac;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};

use crate::types::{Random, Secret, Timestamp};

/// How long a code holds.
const STEP_SECS: i64 = 30;
/// Clocks of phones may be this many steps off.
const DRIFT: i64 = 1;
/// Digits of a code.
const DIGITS: u32 = 6;
/// Bytes of a secret (RFC 4226 §4 R6: at least 128 bits, 160 recommended).
const SECRET_LENGTH: usize = 20;
/// RFC 4648 §6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Edge of the picture in pixels, at least.
const PICTURE: u32 = 200;

/// A new secret, in base 32 as people may have to type it.
pub fn secret(random: &Random) -> Secret {
    let mut bytes = [0; SECRET_LENGTH];
    random.fill(&mut bytes);
    Secret::new(base32(&bytes))
}

/// The code of one step (RFC 4226 §5.3, RFC 6238 §4.2).
fn code(key: &[u8], step: i64, digits: u32) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag[tag.len() - 1] & 0x0f);
    let four: [u8; 4] = tag[at..at + 4].try_into().expect("the offset is below 16 and the tag has 20 bytes");
    let number = (u32::from_be_bytes(four) & 0x7fff_ffff) % 10_u32.pow(digits);
    format!("{number:0width$}", width = digits as usize)
}

/// The code an authenticator shows at `now`.
pub fn current(secret: &Secret, now: Timestamp) -> Option<String> {
    Some(code(&unbase32(secret.expose())?, step(now), DIGITS))
}

const fn step(now: Timestamp) -> i64 {
    now.as_micros().div_euclid(1_000_000 * STEP_SECS)
}

/// The step `presented` is the code of, if it is one that holds now and is newer than `last`: each code lets in once.
pub fn accepted(secret: &Secret, presented: &str, now: Timestamp, last: i64) -> Option<i64> {
    let presented: String = presented.chars().filter(|character| !character.is_whitespace()).collect();
    let key = unbase32(secret.expose())?;
    let steps = step(now) - DRIFT..=step(now) + DRIFT;
    // All of them are computed, whichever fits.
    steps.filter(|&step| Secret::new(code(&key, step, DIGITS)).matches(&presented)).find(|&step| step > last)
}

/// What an authenticator app reads: `otpauth://totp/…`.
pub fn address(issuer: &str, login: &str, secret: &Secret) -> String {
    let escaped = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let (issuer, login) = (escaped(issuer), escaped(login));
    format!("otpauth://totp/{issuer}:{login}?secret={}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={STEP_SECS}", secret.expose())
}

/// The address as a picture for a phone's camera, in SVG; none if it is too long for one.
pub fn picture(address: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(address, EcLevel::M).ok()?;
    Some(code.render::<svg::Color<'_>>().min_dimensions(PICTURE, PICTURE).build())
}

fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut held, mut bits) = (0_u32, 0_u32);
    for &byte in bytes {
        held = held << 8 | u32::from(byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(BASE32[(held >> bits & 31) as usize]));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(char::from(BASE32[(held << (5 - bits) & 31) as usize]));
    }
    text
}

fn unbase32(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut held, mut bits) = (0_u32, 0_u32);
    for letter in text.bytes() {
        let value = BASE32.iter().position(|&known| known == letter)?;
        held = held << 5 | u32::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 255).ok()?);
        }
        held &= (1 << bits) - 1;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"12345678901234567890";

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_micros(secs * 1_000_000)
    }

    #[test]
    fn the_vectors_of_rfc_6238() {
        let vectors = [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ];
        for (secs, expected) in vectors {
            assert_eq!(code(KEY, step(at(secs)), 8), expected, "{secs}");
        }
    }

    #[test]
    fn the_vectors_of_rfc_4226() {
        let vectors = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];
        for (step, expected) in vectors.iter().enumerate() {
            assert_eq!(code(KEY, i64::try_from(step).unwrap(), DIGITS), *expected);
        }
    }

    #[test]
    fn a_code_lets_in_once_and_a_clock_may_be_a_step_off() {
        let secret = Secret::new(base32(KEY));
        let now = at(1_111_111_111);
        let shown = current(&secret, now).unwrap();
        let step = accepted(&secret, &format!("{} {}", &shown[..3], &shown[3..]), now, 0).expect("blanks are no matter");
        assert_eq!(accepted(&secret, &shown, now, step), None, "once");
        assert!(
            accepted(&secret, &shown, at(1_111_111_111 + 30), 0).is_some()
                && accepted(&secret, &shown, at(1_111_111_111 - 30), 0).is_some()
        );
        assert_eq!(accepted(&secret, &shown, at(1_111_111_111 + 60), 0), None);
        assert_eq!(accepted(&secret, "", now, 0), None);
    }

    #[test]
    fn base_32_there_and_back() {
        for (bytes, text) in
            [(&b""[..], ""), (b"f", "MY"), (b"fo", "MZXQ"), (b"foo", "MZXW6"), (b"foob", "MZXW6YQ"), (b"foobar", "MZXW6YTBOI")]
        {
            assert_eq!(base32(bytes), text);
            assert_eq!(unbase32(text).unwrap(), bytes);
        }
        assert_eq!(unbase32("M1"), None);
    }

    #[test]
    fn the_picture_holds_the_address() {
        let address = address("callthrough", "ann@example.com", &secret(&Random::seeded(1)));
        assert!(address.starts_with("otpauth://totp/callthrough:ann%40example%2Ecom?secret="), "{address}");
        assert!(picture(&address).unwrap().contains("<svg"));
    }
}

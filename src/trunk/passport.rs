//! What an Identity header claims about the caller's number (RFC 8224, RFC 8225, RFC 8588): read, not proved. The signature is the
//! carrier's to check; its claim counts for as much as the trunk is trusted.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::types::{Attestation, E164};

/// Characters of a PASSporT that are looked at: carriers' are under 1000.
const MAX_CHARS: usize = 4096;

#[derive(Deserialize)]
struct Claims {
    attest: Option<String>,
    orig: Orig,
}

#[derive(Deserialize)]
struct Orig {
    tn: Option<String>,
}

/// The attestation that an Identity header claims for this number; nothing if it speaks of another one, or says nothing we can read.
pub fn attestation(identity: &str, caller: E164) -> Option<Attestation> {
    let token = identity.split(';').next()?.trim();
    if token.len() > MAX_CHARS {
        return None;
    }
    let mut parts = token.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    // RFC 8225 §5.2.1: digits without the plus.
    let number: E164 = format!("+{}", claims.orig.tn?.trim_start_matches('+')).parse().ok()?;
    if number != caller {
        return None;
    }
    match claims.attest?.as_str() {
        "A" => Some(Attestation::Full),
        "B" => Some(Attestation::Partial),
        "C" => Some(Attestation::Gateway),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(claims: &str) -> String {
        format!("eyJhbGciOiJFUzI1NiJ9.{}.c2ln;info=<https://cert.example.org/a.cer>;alg=ES256;ppt=shaken", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn the_claim_is_read_for_the_number_it_is_about() {
        let caller = "+15551231234".parse().unwrap();
        let claims = |attest: &str, tn: &str| {
            format!(r#"{{"attest":"{attest}","dest":{{"tn":["15551230000"]}},"iat":1,"orig":{{"tn":"{tn}"}},"origid":"x"}}"#)
        };
        for (attest, tn, expected) in [
            ("A", "15551231234", Some(Attestation::Full)),
            ("B", "+15551231234", Some(Attestation::Partial)),
            ("C", "15551231234", Some(Attestation::Gateway)),
            ("D", "15551231234", None),
            ("A", "15551239999", None),
        ] {
            assert_eq!(attestation(&header(&claims(attest, tn)), caller), expected, "{attest} {tn}");
        }
        for nonsense in ["", "a.b", "a.b.c", "..", &header("{}"), &header("[]"), &format!("a.{}.c", "A".repeat(5000))] {
            assert_eq!(attestation(nonsense, caller), None);
        }
    }
}

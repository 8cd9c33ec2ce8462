//! Who a certificate is of, in SIP (RFC 5922): its SIP URIs name domains; only without any do its DNS names. No wildcards.

use rustls::pki_types::{CertificateDer, ServerName};

/// Most names of one certificate that are looked at.
const MOST_NAMES: usize = 64;

/// The domains a certificate is of (RFC 5922 §7.1).
pub fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(parsed) = webpki::EndEntityCert::try_from(certificate) else { return Vec::new() };
    let uris = parsed.valid_uri_names().take(MOST_NAMES).filter_map(domain).collect::<Vec<_>>();
    if !uris.is_empty() {
        return uris;
    }
    parsed.valid_dns_names().take(MOST_NAMES).map(str::to_ascii_lowercase).collect()
}

/// Whether a certificate is of this name (RFC 5922 §7.2: exact, without regard to case; a wildcard is only a name).
pub fn is_of(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    match name {
        ServerName::DnsName(wanted) => {
            let wanted = wanted.as_ref().trim_end_matches('.');
            names(certificate).iter().any(|name| name.eq_ignore_ascii_case(wanted))
        }
        // An address has no domain; the certificate must name the address itself.
        address => {
            webpki::EndEntityCert::try_from(certificate).is_ok_and(|parsed| parsed.verify_is_valid_for_subject_name(address).is_ok())
        }
    }
}

/// The host of a SIP URI that names a domain, not a user.
fn domain(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("sip") || rest.contains('@') {
        return None;
    }
    let host = rest.split([';', '?', ':']).next().filter(|host| !host.is_empty())?;
    Some(host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(names: &[&str]) -> CertificateDer<'static> {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.parse() {
                Ok(ip) => rcgen::SanType::IpAddress(ip),
                Err(_) if name.contains(':') => rcgen::SanType::URI((*name).try_into().unwrap()),
                Err(_) => rcgen::SanType::DnsName((*name).try_into().unwrap()),
            })
            .collect();
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn sip_uris_outrank_dns_names_and_wildcards_name_nobody() {
        let both = certificate(&["sip:Example.com", "gateway.example.org", "sip:user@example.net"]);
        assert_eq!(names(&both), ["example.com"]);
        let dns = certificate(&["sip.example.com", "*.example.org"]);
        for (certificate, name, expected) in [
            (&both, "example.com", true),
            (&both, "gateway.example.org", false),
            (&dns, "SIP.example.com", true),
            (&dns, "a.example.org", false),
            (&dns, "192.0.2.7", false),
            (&certificate(&["192.0.2.7"]), "192.0.2.7", true),
        ] {
            assert_eq!(is_of(certificate, &ServerName::try_from(name).unwrap()), expected, "{name}");
        }
    }
}

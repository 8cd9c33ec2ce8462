//! The call to the far side: what the next carrier's INVITE says, and whom B sees.

use std::net::{IpAddr, SocketAddr};

use super::ShownCaller;
use super::incoming::Arrived;
use crate::sip::{Body, Header, Hop, OutgoingInvite, Target};
use crate::trunk::Trunk;
use crate::types::E164;

/// How we are reached from outside: the hosts of our From and P-Asserted-Identity.
#[derive(Debug, Clone)]
pub(super) struct Hosts {
    pub advertise: Vec<IpAddr>,
    pub local: Vec<SocketAddr>,
}

impl Hosts {
    /// Our address in the family of `target`, as a SIP URI writes it.
    fn towards(&self, target: SocketAddr) -> String {
        let fits = |address: &IpAddr| address.is_ipv4() == target.is_ipv4();
        let named = self.advertise.iter().copied().find(fits);
        let bound = self.local.iter().map(SocketAddr::ip).find(|address| fits(address) && !address.is_unspecified());
        match named.or(bound) {
            Some(IpAddr::V4(address)) => address.to_string(),
            Some(IpAddr::V6(address)) => format!("[{address}]"),
            None => "anonymous.invalid".to_owned(),
        }
    }
}

/// The INVITE for one address of a trunk.
pub(super) fn invite(
    (trunk, hop): (&Trunk, Hop),
    arrived: &Arrived,
    destination: E164,
    shown: ShownCaller,
    hosts: &Hosts,
    offer: Option<Body>,
    max_forwards: u8,
) -> OutgoingInvite {
    let target = hop.address;
    let number = trunk.write_number(destination);
    let phone = if number.starts_with('+') { ";user=phone" } else { "" };
    let uri = format!("sip:{number}@{}{phone}", trunk.settings.target.as_ref().map_or_else(|| target.to_string(), ToString::to_string));
    let host = hosts.towards(target);
    let party = |number: E164| format!("<sip:{}@{host}{phone}>", trunk.write_number(number));
    let own = match shown {
        ShownCaller::AccessNumber => arrived.dialled,
        ShownCaller::Subscriber | ShownCaller::Withheld => arrived.caller.number(),
    };
    let withheld = match shown {
        ShownCaller::Withheld => true,
        ShownCaller::Subscriber => arrived.hidden,
        ShownCaller::AccessNumber => false,
    };
    let mut headers = trunk.settings.headers.iter().map(|extra| Header::new(extra.name.clone(), extra.value.clone())).collect::<Vec<_>>();
    // RFC 3325 §5: the asserted identity stays inside the trust domain.
    if trunk.settings.trusted
        && let Some(own) = own
    {
        headers.push(Header::new("P-Asserted-Identity", party(own)));
    }
    if withheld {
        headers.push(Header::new("Privacy", "id"));
    } else if trunk.settings.trusted {
        headers.extend(arrived.carried.iter().cloned());
    }
    let from = match own {
        Some(own) if !withheld => party(own),
        // RFC 3323 §4.1.1.3.
        _ => "\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_owned(),
    };
    OutgoingInvite {
        target: Target::Hop(hop),
        to: format!("<{uri}>"),
        request_uri: uri,
        from,
        headers,
        body: offer,
        max_forwards,
        sip_call_id: None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::trunk::Settings;
    use crate::types::{Attestation, CallerId, Clock, Random, Timestamp, TrunkId};

    fn trunk(trusted: bool) -> Trunk {
        Trunk {
            id: TrunkId::new(&Clock::manual(Timestamp::from_micros(0)), &Random::seeded(1)),
            name: "north".into(),
            enabled: true,
            priority: 1,
            settings: Settings { trusted, target: "192.0.2.7".parse().ok(), ..Settings::default() },
            target: Some("192.0.2.7:5060".parse().unwrap()),
        }
    }

    fn invite_as(trusted: bool, shown: ShownCaller, hidden: bool) -> OutgoingInvite {
        let arrived = Arrived {
            trunk: Arc::new(trunk(true)),
            caller: CallerId::Number("+15551231234".parse().unwrap(), Attestation::None),
            hidden,
            dialled: "+15551230000".parse().ok(),
            dialled_text: String::new(),
            sip_call_id: String::new(),
            carried: [Header::new("Diversion", "<sip:+15551230000@192.0.2.1>;reason=no-answer")].into(),
            source: "192.0.2.1".parse().unwrap(),
        };
        let hosts = Hosts { advertise: vec!["198.51.100.1".parse().unwrap()], local: vec![] };
        let hop = Hop { transport: crate::sip::Transport::Udp, address: "192.0.2.7:5060".parse().unwrap(), by_size: false };
        invite((&trunk(trusted), hop), &arrived, "+420601123456".parse().unwrap(), shown, &hosts, None, 69)
    }

    #[test]
    fn b_sees_the_number_the_setting_names() {
        let subscriber = invite_as(false, ShownCaller::Subscriber, false);
        assert_eq!(subscriber.request_uri, "sip:+420601123456@192.0.2.7;user=phone");
        assert_eq!(subscriber.from, "<sip:+15551231234@198.51.100.1;user=phone>");
        assert_eq!((subscriber.headers, subscriber.max_forwards), (vec![], 69));
        assert_eq!(
            subscriber.target,
            Target::Hop(Hop { transport: crate::sip::Transport::Udp, address: "192.0.2.7:5060".parse().unwrap(), by_size: false })
        );
        assert_eq!(invite_as(false, ShownCaller::AccessNumber, true).from, "<sip:+15551230000@198.51.100.1;user=phone>");
    }

    #[test]
    fn whom_it_was_meant_for_before_is_told_among_the_trusted() {
        let names = |trusted: bool| {
            invite_as(trusted, ShownCaller::Subscriber, false).headers.into_iter().map(|header| header.name).collect::<Vec<_>>()
        };
        assert_eq!(names(true), ["P-Asserted-Identity", "Diversion"]);
        assert!(names(false).is_empty());
    }

    #[test]
    fn privacy_is_honoured_and_the_number_stays_among_the_trusted() {
        for (shown, hidden) in [(ShownCaller::Withheld, false), (ShownCaller::Subscriber, true)] {
            let outside = invite_as(false, shown, hidden);
            assert_eq!(outside.from, "\"Anonymous\" <sip:anonymous@anonymous.invalid>");
            assert_eq!(outside.headers, [Header::new("Privacy", "id")]);
            let inside = invite_as(true, shown, hidden);
            let asserted = Header::new("P-Asserted-Identity", "<sip:+15551231234@198.51.100.1;user=phone>");
            assert_eq!(inside.headers, [asserted, Header::new("Privacy", "id")]);
        }
    }
}

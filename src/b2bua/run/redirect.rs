//! A carrier that answers 3xx names another address of its own for the same number (RFC 3261 §8.1.3.4). Anything else would take the
//! caller to a destination that nobody priced, or our call to a host that nobody vouched for.

use std::net::SocketAddr;

use super::Running;
use crate::sip::msg::{Host, Uri};
use crate::sip::{Hop, Transport};

/// Redirections followed in one call: what goes round in circles ends.
pub(super) const MOST_REDIRECTIONS: usize = 4;

impl Running {
    /// Makes the addresses that the last trunk named the next ones to try. What leads elsewhere is left out.
    pub(super) fn redirected(&mut self, contacts: &[String]) {
        let Some(trunk) = self.trunk_out.clone() else { return };
        let Some(destination) = self.reservation.as_ref().map(|reservation| reservation.destination) else { return };
        let number = trunk.write_number(destination);
        let own = self.board.trunks.hops(&trunk);
        let is_own = |address: SocketAddr| {
            own.iter().any(|hop| hop.address == address) || self.board.trunks.identify(address).is_some_and(|known| known.id == trunk.id)
        };
        let mut hops: Vec<Hop> = contacts.iter().filter_map(|contact| read(contact, &number)).filter(|hop| is_own(hop.address)).collect();
        let Some(setting_up) = &mut self.setting_up else { return };
        hops.truncate(setting_up.redirections);
        if hops.is_empty() {
            return;
        }
        setting_up.redirections -= hops.len();
        hops.reverse();
        setting_up.hops = hops;
        setting_up.candidates.push((trunk, self.cost.clone()));
    }
}

/// The hop a contact means, if it is for this number and needs no look-up.
fn read(contact: &str, number: &str) -> Option<Hop> {
    let uri: Uri = contact.parse().ok()?;
    if uri.user_unescaped()? != number {
        return None;
    }
    let transport = match uri.param("transport").map(str::to_ascii_lowercase).as_deref() {
        None | Some("udp") => Transport::Udp,
        Some("tcp") => Transport::Tcp,
        Some("tls") => Transport::Tls,
        Some(_) => return None,
    };
    let ip = match uri.host()? {
        Host::Address(ip) => ip,
        Host::Name(_) => return None,
    };
    let address = SocketAddr::new(ip, uri.port().unwrap_or(transport.usual_port()));
    Some(Hop { transport, address, by_size: transport == Transport::Udp })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_counts_for_the_same_number_at_a_literal_address() {
        let read = |contact: &str| read(contact, "+15551231234").map(|hop| (hop.transport, hop.address.to_string()));
        assert_eq!(read("sip:+15551231234@192.0.2.7:5080"), Some((Transport::Udp, "192.0.2.7:5080".into())));
        assert_eq!(read("sip:+15551231234@[2001:db8::7];transport=TCP"), Some((Transport::Tcp, "[2001:db8::7]:5060".into())));
        assert_eq!(read("sip:+15551231234@192.0.2.7;transport=tls"), Some((Transport::Tls, "192.0.2.7:5061".into())));
        for elsewhere in
            ["sip:+15551239999@192.0.2.7", "sip:192.0.2.7", "sip:+15551231234@carrier.example.com", "tel:+15551231234", "nonsense"]
        {
            assert_eq!(read(elsewhere), None, "{elsewhere}");
        }
    }
}

//! A description on its way from one leg to the other: the relay puts itself in, and notes who the describer is.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use crate::sdp::offer_answer::Own;
use crate::sdp::{Direction, SdpError, Session};

/// Where the relay is reached by one leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The address others see.
    pub ip: IpAddr,
    /// For RTP; RTCP has the next one, or the same one if both sides wish.
    pub port: u16,
}

/// How sound is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 A-law.
    Pcma,
    /// G.711 µ-law.
    Pcmu,
    /// G.722, 64 kbit/s.
    G722,
}

impl Codec {
    /// All that we speak ourselves.
    pub const ALL: [Self; 3] = [Self::Pcma, Self::Pcmu, Self::G722];

    /// Its name in an `a=rtpmap` line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pcma => "PCMA",
            Self::Pcmu => "PCMU",
            Self::G722 => "G722",
        }
    }

    /// The payload type that needs no `a=rtpmap` line (RFC 3551).
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::Pcma => 8,
            Self::Pcmu => 0,
            Self::G722 => 9,
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| name.eq_ignore_ascii_case(codec.as_str()))
    }
}

/// What one leg said of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Described {
    /// Where it receives.
    pub rtp: Option<SocketAddr>,
    /// Where it receives reports.
    pub rtcp: Option<SocketAddr>,
    /// Reports share the port of the sound.
    pub mux: bool,
    /// It will send sound.
    pub sends: bool,
    /// The first format that we speak ourselves, and its payload type.
    pub codec: Option<(Codec, u8)>,
    /// The payload type of telephone events.
    pub events: Option<u8>,
}

/// Reads the section that is relayed: the first one that is not refused.
pub fn read(session: &Session) -> Described {
    let Some(media) = session.media().find(|media| media.port() != 0) else { return Described::default() };
    let ip = media.connection().and_then(|address| address.parse::<IpAddr>().ok()).filter(|ip| !ip.is_unspecified());
    let mux = media.has("a=rtcp-mux");
    let port = media.port();
    // RFC 3605: RTCP elsewhere than on the next port, perhaps at another address.
    let own = media.attributes("rtcp").next().and_then(|text| {
        let mut words = text.split_ascii_whitespace();
        let port: u16 = words.next()?.parse().ok()?;
        let elsewhere = words.nth(2).and_then(|address| address.parse::<IpAddr>().ok());
        Some(SocketAddr::new(elsewhere.or(ip)?, port))
    });
    let rtcp = if mux { ip.map(|ip| SocketAddr::new(ip, port)) } else { own.or_else(|| Some(SocketAddr::new(ip?, port.checked_add(1)?))) };
    let maps: Vec<(u8, &str)> = media
        .attributes("rtpmap")
        .filter_map(|map| {
            let (payload_type, name) = map.split_once(' ')?;
            Some((payload_type.parse().ok()?, name.trim()))
        })
        .collect();
    let is_rtp = media.kind() == "audio";
    let formats = || media.formats().filter_map(|format| format.parse::<u8>().ok()).filter(|_| is_rtp);
    let is_event = |format: &u8| {
        maps.iter().any(|(payload_type, name)| payload_type == format && name.to_ascii_lowercase().starts_with("telephone-event/8000"))
    };
    let silent_address = media.connection().is_some_and(|address| address == "0.0.0.0");
    Described {
        rtp: ip.map(|ip| SocketAddr::new(ip, port)),
        rtcp,
        mux,
        sends: !silent_address && matches!(media.direction(), Direction::SendRecv | Direction::SendOnly),
        codec: codecs(&media).into_iter().filter(|_| is_rtp).find_map(|(codec, format)| Some((codec, format.parse().ok()?))),
        events: formats().find(is_event),
    }
}

/// Reads a description of one leg and writes the one that the other leg gets: ours in every address, all else as it was. Only the first
/// section that is not refused is relayed; what would find its own way around us is left out.
pub fn take_over(text: &Bytes, place: Place, own: &mut Own) -> Result<(Bytes, Described), SdpError> {
    let mut session = Session::parse(text)?;
    let described = read(&session);
    let relayed = session.media().position(|media| media.port() != 0);
    let old_hold = relayed.and_then(|index| session.media().nth(index)).and_then(|media| {
        (media.connection() == Some("0.0.0.0")).then(|| match media.direction() {
            Direction::SendRecv | Direction::SendOnly => Direction::SendOnly,
            Direction::RecvOnly | Direction::Inactive => Direction::Inactive,
        })
    });
    session.set_connections(place.ip);
    session.remove(|line| {
        let name = line.strip_prefix("a=").map(|line| line.split(':').next().unwrap_or_default());
        name.is_some_and(|name| {
            name == "rtcp" || name == "candidate" || name == "remote-candidates" || name == "end-of-candidates" || name.starts_with("ice-")
        })
    });
    let sections = session.media().len();
    for index in 0..sections {
        if Some(index) == relayed {
            session.set_address(index, place.ip, place.port);
        } else {
            session.refuse(index);
        }
    }
    if let (Some(index), Some(direction)) = (relayed, old_hold) {
        session.set_direction(index, direction);
    }
    own.put_on(&mut session);
    Ok((session.encode(), described))
}

/// Answers an offer by ourselves: with one format that we speak, G.711 before all, and telephone events if there are any. Also gives the
/// offer with nothing else left in it: what another party may be asked, so that both speak alike.
pub fn accept(text: &Bytes, place: Place, own: &mut Own) -> Result<Option<(Bytes, Bytes, Described)>, SdpError> {
    let mut session = Session::parse(text)?;
    let Some(index) = session.media().position(|media| media.port() != 0) else { return Ok(None) };
    let Some(media) = session.media().nth(index) else { return Ok(None) };
    if media.kind() != "audio" || !matches!(media.protocol(), "RTP/AVP" | "RTP/AVPF") {
        return Ok(None);
    }
    let direction = media.direction().mirrored();
    let codecs = codecs(&media);
    let narrow = codecs.iter().find(|(codec, _)| *codec != Codec::G722);
    let Some((_, format)) = narrow.or_else(|| codecs.first()) else { return Ok(None) };
    let events = read(&session).events.map(|events| events.to_string());
    let kept: Vec<&str> = std::iter::once(format.as_str()).chain(events.as_deref()).collect();
    session.keep_formats(index, &kept);
    let (asked, described) = (session.encode(), read(&session));
    let (answer, _) = take_over(&asked, place, own)?;
    let mut answer = Session::parse(&answer)?;
    answer.set_direction(index, direction);
    own.put_on(&mut answer);
    Ok(Some((answer.encode(), asked, described)))
}

/// The formats of a section that we speak ourselves.
fn codecs(media: &crate::sdp::Media<'_>) -> Vec<(Codec, String)> {
    let maps: Vec<(&str, &str)> = media.attributes("rtpmap").filter_map(|map| map.split_once(' ')).collect();
    let of = |format: &str| match maps.iter().find(|(mapped, _)| *mapped == format) {
        Some((_, name)) => Codec::named(name.trim().split('/').next()?),
        None => Codec::ALL.into_iter().find(|codec| codec.payload_type().to_string() == format),
    };
    media.formats().filter_map(|format| Some((of(format)?, format.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\no=alice 7 7 IN IP4 192.168.1.2\r\ns=-\r\nc=IN IP4 192.168.1.2\r\nt=0 0\r\na=ice-lite\r\n\
        m=audio 40000 RTP/AVP 18 8 101\r\na=rtpmap:18 G729/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
        a=fmtp:101 0-16\r\na=rtcp:40007\r\na=candidate:1 1 UDP 1 192.168.1.2 40000 typ host\r\na=x-own:kept as it is\r\n\
        m=video 5000 RTP/AVP 31\r\n";

    fn place() -> Place {
        Place { ip: "192.0.2.10".parse().unwrap(), port: 20_000 }
    }

    fn own() -> Own {
        Own::new(77, "192.0.2.10".parse().unwrap())
    }

    fn addr(text: &str) -> Option<SocketAddr> {
        text.parse().ok()
    }

    #[test]
    fn the_relay_is_in_and_the_party_behind_it_out() {
        let (sent, described) = take_over(&Bytes::from_static(OFFER.as_bytes()), place(), &mut own()).unwrap();
        let text = std::str::from_utf8(&sent).unwrap();
        assert!(!text.contains("192.168.") && text.contains("a=x-own:kept as it is\r\n"), "{text}");
        assert!(text.contains("o=- 77 1 IN IP4 192.0.2.10\r\n") && text.contains("m=audio 20000 RTP/AVP 18 8 101\r\n"), "{text}");
        assert!(text.contains("m=video 0 RTP/AVP 31\r\n") && !text.contains("candidate") && !text.contains("a=rtcp:"), "{text}");
        assert_eq!((described.rtp, described.rtcp), (addr("192.168.1.2:40000"), addr("192.168.1.2:40007")));
        assert_eq!((described.codec, described.events, described.sends, described.mux), (Some((Codec::Pcma, 8)), Some(101), true, false));
    }

    #[test]
    fn being_put_on_hold_passes_also_the_old_way() {
        let read_of = |text: String| take_over(&Bytes::from(text), place(), &mut own()).unwrap();
        let (sent, described) = read_of(OFFER.replace("c=IN IP4 192.168.1.2", "c=IN IP4 0.0.0.0"));
        assert!(std::str::from_utf8(&sent).unwrap().contains("a=sendonly\r\n"));
        assert_eq!((described.rtp, described.sends), (None, false));
        let (sent, described) = read_of(OFFER.replace("a=x-own:kept as it is", "a=recvonly"));
        assert!(std::str::from_utf8(&sent).unwrap().contains("a=recvonly\r\n") && !described.sends);
    }

    #[test]
    fn shared_ports_and_fax_are_read_too() {
        let text = "v=0\r\no=- 1 1 IN IP6 2001:db8::1\r\ns=-\r\nc=IN IP6 2001:db8::1\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\nm=image 5000 udptl t38\r\n";
        let (sent, described) = take_over(&Bytes::from_static(text.as_bytes()), place(), &mut own()).unwrap();
        assert!(std::str::from_utf8(&sent).unwrap().contains("m=image 20000 udptl t38\r\n"));
        assert_eq!((described.rtp, described.codec), (addr("[2001:db8::1]:5000"), None));
        let muxed = OFFER.replace("a=x-own:kept as it is", "a=rtcp-mux");
        let (_, described) = take_over(&Bytes::from(muxed), place(), &mut own()).unwrap();
        assert_eq!((described.rtcp, described.mux), (addr("192.168.1.2:40000"), true));
    }

    #[test]
    fn an_offer_is_answered_with_what_we_speak() {
        let offer = OFFER.replace("a=x-own:kept as it is", "a=sendonly");
        let (answer, asked, described) = accept(&Bytes::from(offer), place(), &mut own()).unwrap().unwrap();
        let (answer, asked) = (std::str::from_utf8(&answer).unwrap(), std::str::from_utf8(&asked).unwrap());
        assert!(answer.contains("m=audio 20000 RTP/AVP 8 101\r\n") && answer.contains("a=recvonly\r\n"), "{answer}");
        assert!(answer.contains("a=fmtp:101 0-16\r\n") && !answer.contains("G729") && !answer.contains("192.168."), "{answer}");
        assert!(asked.contains("m=audio 40000 RTP/AVP 8 101\r\n") && asked.contains("c=IN IP4 192.168.1.2"), "{asked}");
        assert_eq!((described.codec, described.events), (Some((Codec::Pcma, 8)), Some(101)));
        let strange = OFFER.replace("18 8 101", "18 101");
        assert!(accept(&Bytes::from(strange), place(), &mut own()).unwrap().is_none());
        assert!(accept(&Bytes::from(OFFER.replace("RTP/AVP", "RTP/SAVP")), place(), &mut own()).unwrap().is_none());
    }

    #[test]
    fn a_description_that_refuses_everything_names_nobody() {
        let text = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\n";
        let (sent, described) = take_over(&Bytes::from_static(text.as_bytes()), place(), &mut own()).unwrap();
        assert_eq!(described, Described::default());
        assert!(std::str::from_utf8(&sent).unwrap().contains("m=audio 0 RTP/AVP 0\r\n"));
    }
}

//! Offers and answers that pass through us (RFC 3264). A back-to-back user agent is one party to each side, so the `o=` line each side sees
//! is ours: one session id for the life of the leg, and a version that grows by one whenever the rest changed (§8), also when the change is
//! that another fork or another trunk answers.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;

use bytes::Bytes;

use super::{SdpError, Session};

/// The origin of ours on one leg.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Own {
    session_id: u64,
    version: u64,
    address: IpAddr,
    /// What was last sent, origin aside.
    last: Option<u64>,
}

impl Own {
    /// A new leg's origin. `session_id` is any number that does not repeat; it is cut to 63 bits, because some readers are signed.
    pub const fn new(session_id: u64, address: IpAddr) -> Self {
        let session_id = session_id & (u64::MAX >> 1);
        Self { session_id, version: 0, address, last: None }
    }

    /// The description to send instead of `text`, which came from the other leg: all of it, under our origin. The same description again
    /// keeps its version, another one gets the next.
    pub fn adopt(&mut self, text: &Bytes) -> Result<Bytes, SdpError> {
        let mut session = Session::parse(text)?;
        self.put_on(&mut session);
        Ok(session.encode())
    }

    /// The same for a description already taken apart.
    pub fn put_on(&mut self, session: &mut Session) {
        let mut hasher = DefaultHasher::new();
        session.without_origin().for_each(|line| line.hash(&mut hasher));
        let now = hasher.finish();
        if self.last.replace(now) != Some(now) {
            self.version += 1;
        }
        session.set_origin("-", self.session_id, self.version, self.address);
    }
}

/// Whether `answer` can be an answer to `offer`: as many media sections, of the same kinds in the same order (RFC 3264 §6).
pub fn answers(offer: &Session, answer: &Session) -> bool {
    offer.media().len() == answer.media().len() && offer.media().zip(answer.media()).all(|(one, two)| one.kind() == two.kind())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::Direction;

    const OFFER: &[u8] =
        b"v=0\r\no=bob 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\na=ptime:20\r\n";

    #[test]
    fn the_origin_is_ours_and_all_else_passes() {
        let mut own = Own::new(77, "192.0.2.10".parse().unwrap());
        let sent = own.adopt(&Bytes::from_static(OFFER)).unwrap();
        assert_eq!(sent, String::from_utf8_lossy(OFFER).replace("o=bob 1 1 IN IP4 198.51.100.7", "o=- 77 1 IN IP4 192.0.2.10"));
    }

    #[test]
    fn the_version_grows_with_changes_only() {
        let mut own = Own::new(u64::MAX, "192.0.2.10".parse().unwrap());
        let mut version = |text: &Bytes| {
            let sent = Session::parse(&own.adopt(text).unwrap()).unwrap();
            assert_eq!(sent.origin().session_id, i64::MAX.to_string());
            sent.origin().version.parse::<u64>().unwrap()
        };
        let first = Bytes::from_static(OFFER);
        let mut silent = Session::parse(&first).unwrap();
        silent.set_direction(0, Direction::Inactive);
        let mut other_origin = Session::parse(&first).unwrap();
        other_origin.set_origin("carol", 5, 9, "198.51.100.7".parse().unwrap());
        assert_eq!(version(&first), 1);
        assert_eq!(version(&first), 1);
        assert_eq!(version(&other_origin.encode()), 1);
        assert_eq!(version(&silent.encode()), 2);
        assert_eq!(version(&first), 3);
    }

    #[test]
    fn an_answer_matches_its_offer_section_by_section() {
        let offer = Session::parse(&Bytes::from_static(OFFER)).unwrap();
        let other = |text: &str| Session::parse(&Bytes::from(format!("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n{text}"))).unwrap();
        assert!(answers(&offer, &other("m=audio 1 RTP/AVP 8\r\n")));
        assert!(!answers(&offer, &other("m=video 1 RTP/AVP 31\r\n")));
        assert!(!answers(&offer, &other("")));
    }
}

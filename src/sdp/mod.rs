//! Reading, writing and answering session descriptions (RFC 8866, 3264).
//!
//! [`Session`] is an order-preserving line editor: it knows the lines we must read or own (`o=`, `c=`, `m=`, direction), and every other
//! line survives byte for byte, line ends included. [`offer_answer::Own`] gives each leg one origin of ours with a version that grows when
//! the description changes.

pub mod offer_answer;

use std::net::IpAddr;

use bytes::Bytes;

/// The largest description.
pub const BYTES: usize = 16 * 1024;
/// The most media lines.
pub const MEDIA_LINES: usize = 64;

/// Why a description is refused; each message tells its sender what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// Over [`BYTES`].
    #[error("session description over 16 KiB: send fewer candidates or media")]
    TooLarge,
    /// Over [`MEDIA_LINES`].
    #[error("more than 64 media lines: send fewer")]
    TooManyMedia,
    /// A line is not `letter=value`, or the first is not `v=0`.
    #[error("not a session description: lines are a letter, an equals sign and a value, the first one v=0")]
    NotSdp,
    /// The `o=` line is missing or malformed.
    #[error("the o= line must have user, session id, version, IN, IP4 or IP6 and an address, once")]
    Origin,
    /// A `c=` line is malformed.
    #[error("a c= line must have IN, IP4 or IP6 and an address")]
    Connection,
    /// An `m=` line is malformed.
    #[error("an m= line must have media, port, protocol and at least one format")]
    Media,
}

/// A session description, line by line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Each line with its end.
    lines: Vec<Bytes>,
    /// Where the media sections begin.
    media: Vec<usize>,
    origin: usize,
}

/// The `o=` line (RFC 8866 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Username, `-` for none.
    pub username: &'a str,
    /// Session id: numeric by the RFC, text in the wild.
    pub session_id: &'a str,
    /// Version, likewise.
    pub version: &'a str,
    /// `IP4` or `IP6`.
    pub address_type: &'a str,
    /// Address or host name.
    pub address: &'a str,
}

/// A direction attribute (RFC 8866 §6.7). "hold" is money here, so silence is a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// `sendrecv`, and the default.
    #[default]
    SendRecv,
    /// `sendonly`
    SendOnly,
    /// `recvonly`
    RecvOnly,
    /// `inactive`
    Inactive,
}

impl Direction {
    const ALL: [Self; 4] = [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive];

    /// As written after `a=`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// What the other side must answer at most (RFC 3264 §6.1).
    #[must_use]
    pub const fn mirrored(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            both => both,
        }
    }

    fn read(line: &[u8]) -> Option<Self> {
        let attribute = line.strip_prefix(b"a=")?;
        Self::ALL.into_iter().find(|direction| direction.as_str().as_bytes() == attribute)
    }
}

/// One media section.
#[derive(Clone, Copy)]
pub struct Media<'a> {
    session: &'a Session,
    index: usize,
    first: usize,
    end: usize,
}

impl Session {
    /// Reads a description; shares `text`. LF alone as line end is forgiven and kept.
    pub fn parse(text: &Bytes) -> Result<Self, SdpError> {
        if text.len() > BYTES {
            return Err(SdpError::TooLarge);
        }
        let (mut lines, mut media, mut origin) = (Vec::with_capacity(16), Vec::with_capacity(2), None);
        let mut at = 0;
        while at < text.len() {
            let end = memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |offset| at + offset + 1);
            let line = text.slice(at..end);
            at = end;
            let content = content(&line);
            if content.is_empty() {
                // Empty lines at the end are common; in the middle nothing says what they mean.
                if text[at..].iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
                    break;
                }
                return Err(SdpError::NotSdp);
            }
            let [letter, b'=', ..] = content else { return Err(SdpError::NotSdp) };
            if !letter.is_ascii_lowercase() || content.contains(&b'\r') || content.contains(&0) {
                return Err(SdpError::NotSdp);
            }
            match letter {
                b'o' if origin.replace(lines.len()).is_some() => return Err(SdpError::Origin),
                b'o' => drop(read_origin(content).ok_or(SdpError::Origin)?),
                b'c' => drop(read_connection(content).ok_or(SdpError::Connection)?),
                b'm' if media.len() == MEDIA_LINES => return Err(SdpError::TooManyMedia),
                b'm' => {
                    read_media(content).ok_or(SdpError::Media)?;
                    media.push(lines.len());
                }
                _ => {}
            }
            lines.push(line);
        }
        if lines.first().is_none_or(|line| content(line) != b"v=0") {
            return Err(SdpError::NotSdp);
        }
        let origin = origin.filter(|origin| media.first().is_none_or(|first| origin < first)).ok_or(SdpError::Origin)?;
        Ok(Self { lines, media, origin })
    }

    /// The description as it goes on the wire.
    pub fn encode(&self) -> Bytes {
        self.lines.concat().into()
    }

    /// The origin.
    pub fn origin(&self) -> Origin<'_> {
        read_origin(content(&self.lines[self.origin])).expect("checked when read or set")
    }

    /// Replaces the origin.
    pub fn set_origin(&mut self, username: &str, session_id: u64, version: u64, address: IpAddr) {
        let kind = address_type(address);
        self.replace(self.origin, format!("o={username} {session_id} {version} IN {kind} {address}"));
    }

    /// The session-level connection address.
    pub fn connection(&self) -> Option<&str> {
        self.find(0, self.session_end(), b"c=").and_then(|line| read_connection(content(&self.lines[line])))
    }

    /// The media sections in order.
    pub fn media(&self) -> impl ExactSizeIterator<Item = Media<'_>> {
        (0..self.media.len()).map(|index| self.section(index))
    }

    /// Puts our relay into a media section: its port, and its own `c=` line (RFC 8866 §5.7). A port of 0 (refused media) stays 0.
    pub fn set_address(&mut self, media: usize, address: IpAddr, port: u16) {
        let Some(first) = self.media.get(media).copied() else { return };
        let section = self.section(media);
        let (end, was) = (section.end, section.port());
        let text = str_of(&self.lines[first]).to_owned();
        let mut words = text.splitn(3, ' ');
        if let (Some(kind), Some(_), Some(rest)) = (words.next(), words.next(), words.next()) {
            let port = if was == 0 { 0 } else { port };
            self.replace(first, format!("{kind} {port} {}", rest.trim_end()));
        }
        let line = format!("c=IN {} {address}", address_type(address));
        if let Some(index) = self.find(first, end, b"c=") {
            self.replace(index, line);
        } else {
            // RFC 8866 §9: after `m=` and `i=`, before everything else of the section.
            let at = first + 1 + usize::from(self.lines.get(first + 1).is_some_and(|line| line.starts_with(b"i=")));
            self.insert(at, &line);
        }
    }

    /// Puts our address into every `c=` line there is; whoever reads the description must not learn of the party behind us.
    pub fn set_connections(&mut self, address: IpAddr) {
        let line = format!("c=IN {} {address}", address_type(address));
        for index in 0..self.lines.len() {
            if self.lines[index].starts_with(b"c=") {
                self.replace(index, line.clone());
            }
        }
    }

    /// Refuses a media section: port 0 (RFC 3264 §6).
    pub fn refuse(&mut self, media: usize) {
        let Some(first) = self.media.get(media).copied() else { return };
        let text = str_of(&self.lines[first]).to_owned();
        let mut words = text.splitn(3, ' ');
        if let (Some(kind), Some(_), Some(rest)) = (words.next(), words.next(), words.next()) {
            self.replace(first, format!("{kind} 0 {}", rest.trim_end()));
        }
    }

    /// Keeps only these formats of a media section, and the lines that say more of them.
    pub fn keep_formats(&mut self, media: usize, kept: &[&str]) {
        let Some(first) = self.media.get(media).copied() else { return };
        let section = self.section(media);
        let gone: Vec<String> = section.formats().filter(|format| !kept.contains(format)).map(str::to_owned).collect();
        let (kind, port, protocol, _) = section.parts();
        let line = format!("m={kind} {port} {protocol} {}", kept.join(" "));
        self.replace(first, line);
        self.remove(|line| {
            let rest = ["a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"].into_iter().find_map(|name| line.strip_prefix(name));
            rest.and_then(|rest| rest.split(' ').next()).is_some_and(|format| gone.iter().any(|gone| gone == format))
        });
    }

    /// Takes out the lines, of the session and of its media, of which this says so. The `v=`, `o=` and `m=` lines stay.
    pub fn remove(&mut self, unwanted: impl Fn(&str) -> bool) {
        let mut index = 0;
        while index < self.lines.len() {
            let line = &self.lines[index];
            let owned = line.starts_with(b"m=") || line.starts_with(b"o=") || line.starts_with(b"v=");
            if owned || !unwanted(str_of(line)) {
                index += 1;
                continue;
            }
            self.lines.remove(index);
            self.origin -= usize::from(self.origin > index);
            self.media.iter_mut().filter(|start| **start > index).for_each(|start| *start -= 1);
        }
    }

    /// Adds a line at the end of a media section.
    pub fn add(&mut self, media: usize, line: &str) {
        if media < self.media.len() {
            let end = self.section(media).end;
            self.insert(end, line);
        }
    }

    /// Sets the direction of a media section.
    pub fn set_direction(&mut self, media: usize, direction: Direction) {
        let Some(first) = self.media.get(media).copied() else { return };
        let end = self.section(media).end;
        let line = format!("a={}", direction.as_str());
        match (first..end).find(|index| Direction::read(content(&self.lines[*index])).is_some()) {
            Some(index) => self.replace(index, line),
            None => {
                self.insert(end, &line);
            }
        }
    }

    fn section(&self, index: usize) -> Media<'_> {
        Media { session: self, index, first: self.media[index], end: self.media.get(index + 1).copied().unwrap_or(self.lines.len()) }
    }

    fn session_end(&self) -> usize {
        self.media.first().copied().unwrap_or(self.lines.len())
    }

    fn find(&self, from: usize, to: usize, prefix: &[u8]) -> Option<usize> {
        (from..to).find(|index| self.lines[*index].starts_with(prefix))
    }

    fn replace(&mut self, index: usize, mut line: String) {
        let old = &self.lines[index];
        line.push_str(std::str::from_utf8(&old[content(old).len()..]).unwrap_or("\r\n"));
        self.lines[index] = line.into();
    }

    /// Puts a line before the one at `at`; the line before it gets its end if it has none.
    fn insert(&mut self, at: usize, line: &str) {
        if let Some(before) = at.checked_sub(1).and_then(|index| self.lines.get_mut(index)).filter(|before| !before.ends_with(b"\n")) {
            *before = [before, &b"\r\n"[..]].concat().into();
        }
        self.lines.insert(at, format!("{line}\r\n").into());
        self.media.iter_mut().filter(|start| **start >= at).for_each(|start| *start += 1);
    }

    /// All lines but the origin: what decides whether a description is another one.
    fn without_origin(&self) -> impl Iterator<Item = &[u8]> {
        self.lines.iter().enumerate().filter(|(index, _)| *index != self.origin).map(|(_, line)| content(line))
    }
}

impl<'a> Media<'a> {
    /// Its place, counted from 0.
    pub const fn index(&self) -> usize {
        self.index
    }

    /// `audio`, `video`, …
    pub fn kind(&self) -> &'a str {
        self.parts().0
    }

    /// The port; 0 refuses the media.
    pub fn port(&self) -> u16 {
        self.parts().1
    }

    /// `RTP/AVP`, …
    pub fn protocol(&self) -> &'a str {
        self.parts().2
    }

    /// The formats (payload types) in order of preference.
    pub fn formats(&self) -> impl Iterator<Item = &'a str> {
        self.parts().3.split_ascii_whitespace()
    }

    /// Where the media goes: the section's address, or the session's.
    pub fn connection(&self) -> Option<&'a str> {
        let own = self.session.find(self.first, self.end, b"c=");
        own.and_then(|line| read_connection(content(&self.session.lines[line]))).or_else(|| self.session.connection())
    }

    /// The section's direction, or the session's.
    pub fn direction(&self) -> Direction {
        let of = |from: usize, to: usize| self.session.lines[from..to].iter().find_map(|line| Direction::read(content(line)));
        of(self.first, self.end).or_else(|| of(0, self.session.session_end())).unwrap_or_default()
    }

    /// The values of the section's `a=name:` lines.
    pub fn attributes(&self, name: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.session.lines[self.first..self.end]
            .iter()
            .filter_map(move |line| str_of(line).strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':'))
    }

    /// Whether the section has this line, such as `a=rtcp-mux`.
    pub fn has(&self, line: &str) -> bool {
        self.session.lines[self.first..self.end].iter().any(|one| content(one) == line.as_bytes())
    }

    fn parts(&self) -> (&'a str, u16, &'a str, &'a str) {
        read_media(content(&self.session.lines[self.first])).expect("checked when read or set")
    }
}

/// A line without its end.
fn content(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// A line as text; empty when it is no UTF-8.
fn str_of(line: &[u8]) -> &str {
    std::str::from_utf8(content(line)).unwrap_or("")
}

const fn address_type(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IP4" } else { "IP6" }
}

fn read_origin(line: &[u8]) -> Option<Origin<'_>> {
    let text = std::str::from_utf8(line.strip_prefix(b"o=")?).ok()?;
    let mut words = text.split_ascii_whitespace();
    let mut word = || words.next();
    let (username, session_id, version, net, address_type, address) = (word()?, word()?, word()?, word()?, word()?, word()?);
    (word().is_none() && net == "IN" && matches!(address_type, "IP4" | "IP6")).then_some(Origin {
        username,
        session_id,
        version,
        address_type,
        address,
    })
}

/// The address of a `c=` line, without a multicast scope.
fn read_connection(line: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(line.strip_prefix(b"c=")?).ok()?;
    let mut words = text.split_ascii_whitespace();
    let (net, address_type, address) = (words.next()?, words.next()?, words.next()?);
    let address = address.split_once('/').map_or(address, |(address, _)| address);
    (words.next().is_none() && net == "IN" && matches!(address_type, "IP4" | "IP6") && !address.is_empty()).then_some(address)
}

/// Kind, port, protocol and formats of an `m=` line.
fn read_media(line: &[u8]) -> Option<(&str, u16, &str, &str)> {
    let text = std::str::from_utf8(line.strip_prefix(b"m=")?).ok()?;
    let mut words = text.splitn(4, ' ');
    let (kind, port, protocol, formats) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let port = port.split_once('/').map_or(port, |(port, _)| port);
    (!kind.is_empty() && !protocol.is_empty() && !formats.trim().is_empty()).then_some((kind, port.parse().ok()?, protocol, formats))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\no=alice 2890844526 2890844526 IN IP4 192.0.2.1\r\ns=-\r\ni=Caf\u{e9}\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\na=group:BUNDLE 0 1\r\nm=audio 49170 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=x-unknown\r\na=sendonly\r\nm=video 0 RTP/AVP 31\r\ni=camera\r\nc=IN IP6 2001:db8::1\r\n";

    fn offer() -> Session {
        Session::parse(&Bytes::from_static(OFFER.as_bytes())).unwrap()
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        let session = offer();
        assert_eq!(session.encode(), OFFER);
        assert_eq!(
            (session.origin().username, session.origin().session_id, session.connection()),
            ("alice", "2890844526", Some("192.0.2.1"))
        );
        let media: Vec<_> = session.media().collect();
        assert_eq!(
            (media[0].kind(), media[0].port(), media[0].protocol(), media[0].connection()),
            ("audio", 49170, "RTP/AVP", Some("192.0.2.1"))
        );
        assert_eq!((media[0].direction(), media[1].direction()), (Direction::SendOnly, Direction::SendRecv));
        assert_eq!(media[0].formats().collect::<Vec<_>>(), ["0", "8", "101"]);
        assert_eq!(media[0].attributes("rtpmap").collect::<Vec<_>>(), ["101 telephone-event/8000"]);
        assert_eq!((media[1].port(), media[1].connection()), (0, Some("2001:db8::1")));
    }

    #[test]
    fn an_edit_touches_its_line_only() {
        let mut session = offer();
        session.set_address(0, "203.0.113.9".parse().unwrap(), 30000);
        session.set_address(1, "203.0.113.9".parse().unwrap(), 30002);
        session.set_direction(0, Direction::Inactive);
        session.set_direction(1, Direction::RecvOnly);
        let expected = OFFER
            .replace("m=audio 49170 RTP/AVP 0 8 101\r\n", "m=audio 30000 RTP/AVP 0 8 101\r\nc=IN IP4 203.0.113.9\r\n")
            .replace("a=sendonly", "a=inactive")
            .replace("c=IN IP6 2001:db8::1\r\n", "c=IN IP4 203.0.113.9\r\na=recvonly\r\n");
        assert_eq!(session.encode(), expected);
        assert_eq!(Session::parse(&session.encode()).unwrap(), session);
    }

    #[test]
    fn a_relay_hides_who_is_behind_it() {
        let mut session = offer();
        session.set_connections("203.0.113.9".parse().unwrap());
        session.refuse(0);
        session.remove(|line| line.starts_with("a=group:") || line == "a=x-unknown" || line.starts_with("m=") || line.starts_with("v="));
        session.add(0, "a=rtcp:5");
        assert!(session.media().next().unwrap().has("a=rtcp:5") && !session.media().last().unwrap().has("a=rtcp:5"));
        let expected = OFFER
            .replace("c=IN IP4 192.0.2.1", "c=IN IP4 203.0.113.9")
            .replace("c=IN IP6 2001:db8::1", "c=IN IP4 203.0.113.9")
            .replace("audio 49170", "audio 0")
            .replace("a=group:BUNDLE 0 1\r\n", "")
            .replace("a=x-unknown\r\n", "")
            .replace("a=sendonly\r\n", "a=sendonly\r\na=rtcp:5\r\n");
        assert_eq!(session.encode(), expected);
        assert_eq!(Session::parse(&session.encode()).unwrap(), session);
    }

    #[test]
    fn odd_bytes_and_bare_line_feeds_survive() {
        let text = Bytes::from_static(b"v=0\no=- 1 1 IN IP4 192.0.2.1\ns=Caf\xe9\nt=0 0\nm=audio 9 RTP/AVP 0");
        let mut session = Session::parse(&text).unwrap();
        assert_eq!(session.encode(), text);
        session.set_origin("-", 7, 8, "2001:db8::2".parse().unwrap());
        assert_eq!(session.encode(), &b"v=0\no=- 7 8 IN IP6 2001:db8::2\ns=Caf\xe9\nt=0 0\nm=audio 9 RTP/AVP 0"[..]);
    }

    #[test]
    fn a_last_line_without_its_end_gets_one_when_a_line_follows() {
        let mut session = Session::parse(&Bytes::from_static(b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nm=audio 9 RTP/AVP 0")).unwrap();
        session.set_direction(0, Direction::Inactive);
        assert!(session.encode().ends_with(b"m=audio 9 RTP/AVP 0\r\na=inactive\r\n"));
    }

    #[test]
    fn nonsense_is_refused_with_its_reason() {
        let read = |text: &str| Session::parse(&Bytes::copy_from_slice(text.as_bytes())).unwrap_err();
        let origin = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n";
        assert_eq!(read(""), SdpError::NotSdp);
        assert_eq!(read("o=- 1 1 IN IP4 192.0.2.1\r\n"), SdpError::NotSdp);
        assert_eq!(read("v=0\r\ns=-\r\n"), SdpError::Origin);
        assert_eq!(read("v=0\r\no=- 1 1 IN IP4\r\n"), SdpError::Origin);
        assert_eq!(read(&format!("{origin}{}", &origin[5..])), SdpError::Origin);
        assert_eq!(read("v=0\r\nm=audio 1 RTP/AVP 0\r\no=- 1 1 IN IP4 192.0.2.1\r\n"), SdpError::Origin);
        assert_eq!(read(&format!("{origin}hello\r\n")), SdpError::NotSdp);
        assert_eq!(read(&format!("{origin}\r\ns=-\r\n")), SdpError::NotSdp);
        assert_eq!(read(&format!("{origin}c=IN IP4\r\n")), SdpError::Connection);
        assert_eq!(read(&format!("{origin}m=audio 70000 RTP/AVP 0\r\n")), SdpError::Media);
        assert_eq!(read(&format!("{origin}{}", "m=audio 1 RTP/AVP 0\r\n".repeat(65))), SdpError::TooManyMedia);
        assert_eq!(read(&format!("{origin}a={}\r\n", "x".repeat(BYTES))), SdpError::TooLarge);
    }
}

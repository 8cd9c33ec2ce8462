//! A peer on a raw socket, for what must happen at an exact moment: messages are text, written by hand.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use callthrough::types::Clock;

/// A party with a socket of its own.
pub struct Peer {
    socket: UdpSocket,
    /// Where it stands.
    pub address: SocketAddr,
    seen: Vec<String>,
}

/// One message as received.
#[derive(Debug, Clone)]
pub struct Message {
    /// The text of it.
    pub text: String,
    /// Who sent it.
    pub from: SocketAddr,
}

impl Message {
    /// The first line.
    pub fn line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> &str {
        let value = self.text.lines().skip(1).take_while(|line| !line.is_empty()).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.trim().eq_ignore_ascii_case(name).then_some(value.trim())
        });
        value.unwrap_or_else(|| panic!("no {name} in\n{}", self.text))
    }

    /// The tag of its To.
    pub fn to_tag(&self) -> &str {
        self.header("To").split_once(";tag=").map_or("", |(_, tag)| tag)
    }

    /// What it carries.
    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    /// The URI of the Contact.
    pub fn contact(&self) -> String {
        let value = self.header("Contact");
        value.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(value, |(uri, _)| uri).to_owned()
    }

    /// `180` of a response to `INVITE` is `180 INVITE`; a request is its method.
    pub fn kind(&self) -> String {
        match self.line().strip_prefix("SIP/2.0 ") {
            Some(rest) => format!("{} {}", &rest[..3], self.header("CSeq").split_whitespace().last().unwrap_or_default()),
            None => self.line().split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}

/// A description of media.
pub fn description(ip: std::net::IpAddr) -> String {
    format!("v=0\r\no=peer 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\n")
}

/// The response to a request: its headers, our tag, and a description when there is something to describe.
pub fn response(request: &Message, status: &str, here: SocketAddr, described: bool) -> String {
    let body = if described { description(here.ip()) } else { String::new() };
    response_of(request, status, here, &format!("peer{}", here.port()), &body)
}

/// The response of one phone of several: its tag, its description.
pub fn response_of(request: &Message, status: &str, here: SocketAddr, tag: &str, body: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for line in request.text.lines().skip(1).take_while(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
        match name.as_str() {
            "to" if !line.contains("tag=") => drop(write!(text, "{line};tag={tag}\r\n")),
            "via" | "from" | "to" | "call-id" | "cseq" | "record-route" => drop(write!(text, "{line}\r\n")),
            _ => {}
        }
    }
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    let _ = write!(text, "Contact: <sip:{here}>\r\n{kind}Content-Length: {}\r\n\r\n{body}", body.len());
    text
}

/// An INVITE of `caller` for `dialled`.
pub fn invite(here: SocketAddr, server: SocketAddr, caller: &str, dialled: &str, call_id: &str) -> String {
    let body = description(here.ip());
    format!(
        "INVITE sip:{dialled}@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{call_id}1\r\nMax-Forwards: 70\r\n\
         From: <sip:{caller}@{here}>;tag=a{call_id}\r\nTo: <sip:{dialled}@{server}>\r\nCall-ID: {call_id}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:{caller}@{here}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The ACK of a final response to that INVITE.
pub fn ack(invite: &str, response: &Message) -> String {
    let accepted = response.line().starts_with("SIP/2.0 2");
    let message = Message { text: invite.to_owned(), from: response.from };
    let (uri, branch) = if accepted {
        (response.contact(), format!("{}k", message.header("Via")))
    } else {
        (message.line().split(' ').nth(1).expect("a request has a URI").to_owned(), message.header("Via").to_owned())
    };
    format!(
        "ACK {uri} SIP/2.0\r\nVia: {branch}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 ACK\r\n\
         Content-Length: 0\r\n\r\n",
        message.header("From"),
        response.header("To"),
        message.header("Call-ID"),
    )
}

/// A BYE within a dialog.
pub fn bye(here: SocketAddr, uri: &str, from: &str, to: &str, call_id: &str) -> String {
    format!(
        "BYE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bKbye{}{call_id}\r\nMax-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\n\
         Call-ID: {call_id}\r\nCSeq: 7 BYE\r\nContent-Length: 0\r\n\r\n",
        here.port(),
    )
}

impl Peer {
    /// A party at a free port there.
    pub fn at(ip: Ipv4Addr) -> Self {
        Self::bound(SocketAddr::from((ip, 0)))
    }

    /// A party at that address.
    pub fn bound(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).unwrap_or_else(|error| panic!("cannot bind {address}: {error}"));
        let address = socket.local_addr().expect("bound");
        Self { socket, address, seen: Vec::new() }
    }

    /// Sends text as it is.
    pub fn send(&mut self, text: &str, to: SocketAddr) {
        self.seen.push(format!("{} -> {to}\n{text}", self.address));
        self.socket.send_to(text.as_bytes(), to).expect("loopback takes a datagram");
    }

    /// The next message of this kind (see [`Message::kind`]); others on the way are passed over.
    #[track_caller]
    pub fn hears(&mut self, kind: &str) -> Message {
        /// Nothing on loopback takes this long.
        const PATIENCE: Duration = Duration::from_secs(10);
        let found = self.hears_one_of(&[kind], PATIENCE);
        found.unwrap_or_else(|| panic!("{} heard no {kind}\n{}", self.address, self.shown()))
    }

    /// The next message of one of these kinds within `patience`.
    pub fn hears_one_of(&mut self, kinds: &[&str], patience: Duration) -> Option<Message> {
        let clock = Clock::system();
        let until = clock.now() + patience;
        let mut buffer = [0_u8; 65_536];
        loop {
            let left = until.since(clock.now());
            if left.is_zero() {
                return None;
            }
            self.socket.set_read_timeout(Some(left)).expect("a timeout");
            let Ok((length, from)) = self.socket.recv_from(&mut buffer) else { return None };
            let message = Message { text: String::from_utf8_lossy(&buffer[..length]).into_owned(), from };
            self.seen.push(format!("{from} -> {}\n{}", self.address, message.text));
            if kinds.contains(&message.kind().as_str()) {
                return Some(message);
            }
        }
    }

    /// Everything of these kinds that comes until nothing has come for `quiet`.
    pub fn hears_all(&mut self, kinds: &[&str], quiet: Duration) -> Vec<Message> {
        std::iter::from_fn(|| self.hears_one_of(kinds, quiet)).collect()
    }

    /// Answers a request.
    pub fn answers(&mut self, request: &Message, status: &str, described: bool) {
        self.send(&response(request, status, self.address, described), request.from);
    }

    /// One phone of several answers a request: the tag it has, what it describes.
    pub fn answers_as(&mut self, request: &Message, status: &str, tag: &str, body: &str) {
        self.send(&response_of(request, status, self.address, tag, body), request.from);
    }

    /// An INVITE of `caller` for `dialled`; the text is needed again for its ACK and CANCEL.
    pub fn invites(&mut self, server: SocketAddr, caller: &str, dialled: &str, call_id: &str) -> String {
        let text = invite(self.address, server, caller, dialled, call_id);
        self.send(&text, server);
        text
    }

    /// The CANCEL of an INVITE.
    pub fn cancels(&mut self, invite: &str, server: SocketAddr) {
        let (head, _) = invite.split_once("\r\n\r\n").expect("a message has an end of headers");
        let kept: Vec<_> = head.lines().filter(|line| !line.starts_with("Contact") && !line.starts_with("Content")).collect();
        let text = format!("{}\r\nContent-Length: 0\r\n\r\n", kept.join("\r\n").replace("INVITE", "CANCEL"));
        self.send(&text, server);
    }

    /// The ACK of a final response to an INVITE of ours.
    pub fn acknowledges(&mut self, invite: &str, response: &Message, server: SocketAddr) {
        self.send(&ack(invite, response), server);
    }

    /// A BYE within a dialog: from us, to them.
    pub fn hangs_up(&mut self, uri: &str, from: &str, to: &str, call_id: &str, server: SocketAddr) {
        self.send(&bye(self.address, uri, from, to, call_id), server);
    }

    /// Any other request within the dialog that `response` made: to its Contact, with this branch and number.
    pub fn asks(&mut self, method: &str, number: u32, response: &Message, body: &str, server: SocketAddr) {
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let text = format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bKasks{number}{method}{port}\r\nMax-Forwards: 70\r\nFrom: {}\r\n\
             To: {}\r\nCall-ID: {}\r\nCSeq: {number} {method}\r\nContact: <sip:{here}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            response.contact(),
            response.header("From"),
            response.header("To"),
            response.header("Call-ID"),
            body.len(),
            here = self.address,
            port = self.address.port(),
        );
        self.send(&text, server);
    }

    /// Everything sent and heard.
    pub fn shown(&self) -> String {
        self.seen.join("\n")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- peer at {}\n{}", self.address, self.shown());
        }
    }
}

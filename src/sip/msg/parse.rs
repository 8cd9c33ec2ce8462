//! Bytes become a message: the index is made in one pass, then what the core relies on is checked (RFC 3261 §8.2, §16.3, §18.3).

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;

use bytes::{Buf as _, Bytes};
use memchr::{memchr, memchr2};

use super::build::received;
use super::scan::{Scan, decimal, trim};
use super::uri::{Layout, Uri};
use super::{CSeq, Method, Name, NameAddr, Status, Tag, Via, name_addr, via};
use super::{HeaderLine, Line, Message, Response, Start, limit};

/// What to do with a message that did not parse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Answer with this status: [`ParseError::response_to`] writes it.
    Reply(Status),
    /// Say nothing: a response, an ACK, a keep-alive, or too little to answer.
    Discard,
}

/// Why a message did not parse, with as much of it as a response needs.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{fault}")]
pub struct ParseError {
    verdict: Verdict,
    fault: &'static str,
    partial: Option<Box<Partial>>,
}

/// The lines of a broken request.
#[derive(Debug, Clone)]
struct Partial {
    bytes: Bytes,
    lines: Vec<Line>,
}

impl ParseError {
    fn discard(fault: &'static str) -> Self {
        Self { verdict: Verdict::Discard, fault, partial: None }
    }

    /// What to do.
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The status to answer, when one is to be answered.
    pub const fn status(&self) -> Option<Status> {
        match self.verdict {
            Verdict::Reply(status) => Some(status),
            Verdict::Discard => None,
        }
    }

    /// What is wrong, for the log and as a hint in the answer.
    pub const fn fault(&self) -> &'static str {
        self.fault
    }

    /// The topmost Via, when it can be read: where a response goes. Otherwise it goes to the source.
    pub fn via(&self) -> Option<Via> {
        let value = self.line(Name::Via)?.value();
        let mut scan = Scan::new(value);
        let layout = via::scan_via(&mut scan)?;
        Some(Via::assemble(Bytes::copy_from_slice(&value[..scan.at]), layout))
    }

    /// The response to send, its headers copied from the request as far as they are there, with `received` and `rport` of the source
    /// filled into the topmost Via when it can be read; `None` when nothing is to be said.
    pub fn response_to(&self, source: SocketAddr) -> Option<Response> {
        let mut response = Response::new(self.status()?, Some(self.fault));
        let mut source = self.via().map(|via| (source, via));
        for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
            for line in self.lines().filter(|line| line.name() == name) {
                response = match (name, source.take()) {
                    (Name::Via, Some((source, via))) => response.header(name, received(line.value(), &via, source)),
                    (Name::To, _) => response.header(name, self.tagged(line.value())),
                    _ => response.header(name, line.value()),
                };
            }
        }
        Some(response)
    }

    /// To with a tag. It is the request's hash, so that a repeated request gets the same without our keeping anything (RFC 3261 §8.2.7).
    fn tagged(&self, to: &[u8]) -> Vec<u8> {
        let mut hasher = DefaultHasher::new();
        self.partial.iter().for_each(|partial| partial.bytes.hash(&mut hasher));
        match NameAddr::parse(Bytes::copy_from_slice(to)) {
            Some(to) if to.tag().is_none() => to.with_tag(&Tag::new(format!("{:016x}", hasher.finish()))).as_bytes().to_vec(),
            _ => to.to_vec(),
        }
    }

    fn lines(&self) -> impl Iterator<Item = HeaderLine<'_>> {
        self.partial.iter().flat_map(|partial| {
            partial.lines.iter().map(|line| {
                let start = line.start as usize;
                HeaderLine { bytes: &partial.bytes[start..start + usize::from(line.total)], line: *line }
            })
        })
    }

    fn line(&self, name: Name) -> Option<HeaderLine<'_>> {
        self.lines().find(|line| line.name() == name)
    }
}

/// A fault found on the way; the first one counts.
struct Fault(Status, &'static str);

type Checked<T = ()> = Result<T, Fault>;

const fn bad(fault: &'static str) -> Fault {
    Fault(Status::BAD_REQUEST, fault)
}

/// Reads one datagram.
pub(super) fn message(mut bytes: Bytes) -> Result<Message, ParseError> {
    // RFC 3261 §7.5: empty lines before the start line are ignored; a datagram of nothing else is a keep-alive.
    let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    bytes.advance(blank);
    if bytes.is_empty() {
        return Err(ParseError::discard("Empty datagram"));
    }
    if bytes.len() > limit::MESSAGE_BYTES {
        return Err(ParseError::discard("Message over 64 KiB"));
    }
    let Some(start_end) = memchr(b'\n', &bytes).filter(|end| *end > 0 && bytes[end - 1] == b'\r' && *end < limit::START_LINE_BYTES) else {
        return Err(ParseError::discard("No start line"));
    };
    let start_line = &bytes[..start_end - 1];
    let is_response = start_line.len() > 4 && start_line[..4].eq_ignore_ascii_case(b"SIP/");
    if is_response {
        let start = status_line(start_line).map_err(|fault| ParseError::discard(fault.1))?;
        let mut lines = Vec::with_capacity(24);
        return headers(&bytes, start_end + 1, &mut lines)
            .and_then(|body_start| finish(&bytes, start, &lines, body_start))
            .map(|(start, cseq, body)| assemble(&bytes, start, cseq, lines, body))
            .map_err(|fault| ParseError::discard(fault.1));
    }
    // What does not even end like a request line gets no answer: it is no SIP.
    let last = trim(start_line).rsplit(|byte| *byte == b' ').next().unwrap_or(b"");
    if last.len() < 4 || !last[..4].eq_ignore_ascii_case(b"SIP/") {
        return Err(ParseError::discard("Not a SIP message"));
    }
    let is_ack = start_line.starts_with(b"ACK ");
    let start = request_line(&bytes, start_end - 1);
    let mut lines = Vec::with_capacity(24);
    let indexed = headers(&bytes, start_end + 1, &mut lines);
    let checked = start.and_then(|start| finish(&bytes, start, &lines, indexed?));
    match checked {
        Ok((start, cseq, body)) => Ok(assemble(&bytes, start, cseq, lines, body)),
        // RFC 3261 §17: an ACK is never answered. Without a Via there is no transaction to answer in.
        Err(Fault(_, fault)) if is_ack || !lines.iter().any(|line| line.name == Name::Via) => Err(ParseError::discard(fault)),
        Err(Fault(status, fault)) => {
            Err(ParseError { verdict: Verdict::Reply(status), fault, partial: Some(Box::new(Partial { bytes, lines })) })
        }
    }
}

fn assemble(bytes: &Bytes, start: Start, cseq: CSeq, lines: Vec<Line>, body: (usize, usize)) -> Message {
    let bytes = bytes.slice(..body.1);
    Message { bytes, start, cseq, lines, body: (narrow(body.0), narrow(body.1)) }
}

/// Offsets fit: a message is at most 64 KiB.
fn narrow(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

/// `Method SP Request-URI SP SIP-Version`, single spaces and nothing more.
fn request_line(bytes: &Bytes, end: usize) -> Checked<Start> {
    let line = &bytes[..end];
    let first = memchr(b' ', line).ok_or(bad("Malformed request line"))?;
    let second = memchr(b' ', &line[first + 1..]).ok_or(bad("Malformed request line"))? + first + 1;
    version(&line[second + 1..])?;
    let method = Method::read(&line[..first]).ok_or(bad("Malformed method"))?;
    let uri = first + 1..second;
    let layout = Layout::of(&line[uri.clone()]).ok_or(bad("Malformed Request-URI"))?;
    if layout.has_headers() {
        // RFC 3261 §19.1.1, table 1; RFC 4475 §3.1.2.13 leaves the choice, and nobody honest sends it.
        return Err(bad("Headers in the Request-URI"));
    }
    Ok(Start::Request { method, uri: Uri::assemble(bytes.slice(uri), layout) })
}

fn version(text: &[u8]) -> Checked {
    if text.eq_ignore_ascii_case(b"SIP/2.0") {
        return Ok(());
    }
    let digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let mut halves = text.get(4..).unwrap_or(b"").splitn(2, |byte| *byte == b'.');
    if text.len() > 4 && text[..4].eq_ignore_ascii_case(b"SIP/") && halves.next().is_some_and(digits) && halves.next().is_some_and(digits) {
        return Err(Fault(Status::VERSION_NOT_SUPPORTED, "Only SIP/2.0 is supported"));
    }
    Err(bad("Malformed request line"))
}

/// `SIP-Version SP Status-Code SP Reason-Phrase`; a missing second space is forgiven.
fn status_line(line: &[u8]) -> Checked<Start> {
    let rest = line.get(7..).filter(|_| line[..7].eq_ignore_ascii_case(b"SIP/2.0")).ok_or(bad("Only SIP/2.0 is supported"))?;
    let digits = rest.strip_prefix(b" ").ok_or(bad("Malformed status line"))?;
    let code = digits.get(..3).filter(|_| digits.get(3).is_none_or(|byte| *byte == b' '));
    let code =
        code.and_then(decimal).and_then(|code| u16::try_from(code).ok()).and_then(Status::new).ok_or(bad("Malformed status code"))?;
    let reason = line.len().min(12);
    Ok(Start::Response { status: code, reason: (narrow(reason), narrow(line.len())) })
}

/// Notes every header line up to the empty one; returns where the body starts. What it noted before a fault stays in `lines`.
fn headers(bytes: &[u8], from: usize, lines: &mut Vec<Line>) -> Checked<usize> {
    let mut fault = None;
    let mut at = from;
    let body = loop {
        if bytes[at..].starts_with(b"\r\n") {
            break at + 2;
        }
        let Some(end) = line_end(bytes, at) else {
            return Err(fault.unwrap_or(bad("Header lines must end with CR LF, the last one with an empty line")));
        };
        let line = &bytes[at..end];
        if lines.len() == limit::HEADERS {
            return Err(fault.unwrap_or(Fault(Status::MESSAGE_TOO_LARGE, "Too many header lines")));
        }
        if line.len() > limit::HEADER_LINE_BYTES {
            fault.get_or_insert(Fault(Status::MESSAGE_TOO_LARGE, "Header line too long"));
        } else if let Some(line) = note(line, at) {
            lines.push(line);
        } else {
            fault.get_or_insert(bad("Malformed header line"));
        }
        at = end;
    };
    fault.map_or(Ok(body), Err)
}

/// The end of the header line at `at`, folds and line end included. `None` when it does not end, or holds a lone CR or LF.
fn line_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut from = at;
    loop {
        let hit = from + memchr2(b'\r', b'\n', &bytes[from..])?;
        if bytes[hit] != b'\r' || bytes.get(hit + 1) != Some(&b'\n') {
            return None;
        }
        match bytes.get(hit + 2) {
            Some(b' ' | b'\t') => from = hit + 2,
            _ => return Some(hit + 2),
        }
    }
}

/// Where the name and the value of one line are.
fn note(line: &[u8], start: usize) -> Option<Line> {
    let mut scan = Scan::new(line);
    let name = scan.token()?;
    while matches!(scan.peek(), Some(b' ' | b'\t')) {
        scan.at += 1;
    }
    if !scan.eat(b':') {
        return None;
    }
    scan.lws();
    let value = scan.at.min(line.len());
    Some(Line {
        name: Name::read(name),
        name_len: u8::try_from(name.len()).ok()?,
        value: u16::try_from(value).ok()?,
        value_len: u16::try_from(trim(&line[value..]).len()).ok()?,
        total: u16::try_from(line.len()).ok()?,
        start: u32::try_from(start).ok()?,
    })
}

/// Checks what the core relies on and finds the body.
fn finish(bytes: &[u8], start: Start, lines: &[Line], body_start: usize) -> Checked<(Start, CSeq, (usize, usize))> {
    const { assert!(Name::KNOWN.len() < 128, "one bit a name") };
    let mut seen = [0_u64; 2];
    let (mut vias, mut contacts, mut routes, mut record_routes) = (0, 0, 0, 0);
    let mut cseq = None;
    let mut length = None;
    for line in lines {
        let from = line.start as usize + usize::from(line.value);
        let value = &bytes[from..from + usize::from(line.value_len)];
        let bit = line.name as usize;
        let again = seen[bit / 64] & (1 << (bit % 64)) != 0;
        seen[bit / 64] |= 1 << (bit % 64);
        if again && line.name.is_single() {
            return Err(bad("A header that may be there once is there twice"));
        }
        match line.name {
            Name::Via => each(value, &mut vias, limit::VIAS, |scan| via::scan_via(scan).map(drop)).ok_or(bad("Malformed Via"))?,
            Name::From | Name::To => one(value).ok_or(bad("Malformed From or To"))?,
            Name::Contact if value == b"*" && matches!(&start, Start::Request { method: Method::Register, .. }) => {}
            Name::Contact => name_addrs(value, &mut contacts, limit::CONTACTS).ok_or(bad("Malformed Contact"))?,
            Name::Route => name_addrs(value, &mut routes, limit::ROUTES).ok_or(bad("Malformed Route"))?,
            Name::RecordRoute => name_addrs(value, &mut record_routes, limit::ROUTES).ok_or(bad("Malformed Record-Route"))?,
            Name::CallId if value.is_empty() || !value.iter().all(u8::is_ascii_graphic) => return Err(bad("Malformed Call-ID")),
            Name::CSeq => cseq = Some(CSeq::read(value).ok_or(bad("Malformed CSeq"))?),
            Name::MaxForwards if decimal(value).is_none_or(|hops| hops > 255) => return Err(bad("Malformed Max-Forwards")),
            Name::ContentLength => {
                length = Some(decimal(value).and_then(|length| usize::try_from(length).ok()).ok_or(bad("Malformed Content-Length"))?);
            }
            _ => {}
        }
    }
    let has = |name: Name| seen[name as usize / 64] & (1 << (name as usize % 64)) != 0;
    if let Some(missing) =
        [(Name::Via, "Via is missing"), (Name::From, "From is missing"), (Name::To, "To is missing"), (Name::CallId, "Call-ID is missing")]
            .iter()
            .find(|(name, _)| !has(*name))
    {
        return Err(bad(missing.1));
    }
    let cseq = cseq.ok_or(bad("CSeq is missing"))?;
    if matches!(&start, Start::Request { method, .. } if *method != cseq.method) {
        return Err(bad("The method in CSeq is another one"));
    }
    let there = bytes.len() - body_start;
    match length {
        Some(length) if length > there => Err(bad("The body is shorter than Content-Length")),
        length => Ok((start, cseq, (body_start, body_start + length.unwrap_or(there)))),
    }
}

/// Exactly one name-addr.
fn one(value: &[u8]) -> Option<()> {
    let mut scan = Scan::new(value);
    name_addr::scan_name_addr(&mut scan)?;
    scan.at_end().then_some(())
}

fn name_addrs(value: &[u8], count: &mut usize, most: usize) -> Option<()> {
    each(value, count, most, |scan| name_addr::scan_name_addr(scan).map(drop))
}

/// A comma-separated list of at least one value, none of them empty.
fn each(value: &[u8], count: &mut usize, most: usize, read: impl Fn(&mut Scan<'_>) -> Option<()>) -> Option<()> {
    let mut rest = value;
    loop {
        *count += 1;
        let mut scan = Scan::new(rest);
        read(&mut scan)?;
        scan.lws();
        if *count > most {
            return None;
        }
        if scan.done() {
            return Some(());
        }
        if !scan.eat(b',') {
            return None;
        }
        rest = &rest[scan.at..];
    }
}

/// What a stream holds next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// Not yet a whole message: read on.
    Partial,
    /// This many bytes are a keep-alive (CR LF pairs): drop them; two pairs want one back (RFC 5626 §3.5.1).
    KeepAlive(usize),
    /// This many bytes are one message.
    Complete(usize),
    /// No boundary can be found: answer what [`Message::parse`] says of this many bytes, then close the connection.
    Broken(usize),
}

/// Finds message boundaries in a stream (RFC 3261 §18.3). It remembers how far it has looked, so a slow sender costs no rescans.
#[derive(Debug, Default)]
pub struct Framer {
    looked: usize,
}

impl Framer {
    /// Looks at everything buffered since the last message. After [`Frame::KeepAlive`] or [`Frame::Complete`] take that many bytes off.
    pub fn next(&mut self, buffered: &[u8]) -> Frame {
        let blank = buffered.chunks_exact(2).take_while(|pair| *pair == b"\r\n").count() * 2;
        if blank > 0 {
            self.looked = 0;
            return Frame::KeepAlive(blank);
        }
        let from = self.looked.saturating_sub(3);
        let Some(offset) = buffered.get(from..).and_then(|fresh| memchr::memmem::find(fresh, b"\r\n\r\n")) else {
            self.looked = buffered.len();
            return if buffered.len() > limit::MESSAGE_BYTES { Frame::Broken(buffered.len()) } else { Frame::Partial };
        };
        let head = from + offset + 4;
        self.looked = head - 1;
        let Some(length) = content_length(&buffered[..head]) else { return Frame::Broken(head) };
        let Some(total) = head.checked_add(length).filter(|total| *total <= limit::MESSAGE_BYTES) else { return Frame::Broken(head) };
        if buffered.len() < total {
            return Frame::Partial;
        }
        self.looked = 0;
        Frame::Complete(total)
    }
}

/// The one valid Content-Length of a head; `None` when it is missing, malformed or there twice: then nothing tells where the body ends.
fn content_length(head: &[u8]) -> Option<usize> {
    let mut at = memchr(b'\n', head)? + 1;
    let mut found = None;
    while !head[at..].starts_with(b"\r\n") {
        let end = line_end(head, at)?;
        if let Some(line) = note(&head[at..end], at)
            && line.name == Name::ContentLength
        {
            let value = trim(&head[at + usize::from(line.value)..end]);
            if found.replace(usize::try_from(decimal(value)?).ok()?).is_some() {
                return None;
            }
        }
        at = end;
    }
    found
}

#[cfg(test)]
mod tests;

//! Reading the small grammar all headers share: tokens, quoted strings, linear white space, parameters (RFC 3261 §25).

/// A cursor over one header value. A value may hold folds; the parser has made sure that each CR LF in it is followed by white space,
/// so CR and LF count as white space here.
#[derive(Clone, Copy)]
pub(super) struct Scan<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

/// A half-open range of a value. Values are at most 8 KiB, so 16 bits do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Span {
    pub(super) start: u16,
    pub(super) end: u16,
}

impl Span {
    /// `None` beyond 64 KiB.
    pub(super) fn new(start: usize, end: usize) -> Option<Self> {
        Some(Self { start: u16::try_from(start).ok()?, end: u16::try_from(end).ok()? })
    }

    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[usize::from(self.start)..usize::from(self.end)]
    }

    pub(super) const fn is_empty(self) -> bool {
        self.start == self.end
    }
}

impl<'a> Scan<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) const fn done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Skips linear white space.
    pub(super) fn lws(&mut self) {
        while self.peek().is_some_and(is_lws) {
            self.at += 1;
        }
    }

    /// Takes `byte` when it is next.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let hit = self.peek() == Some(byte);
        self.at += usize::from(hit);
        hit
    }

    /// The longest run of bytes that satisfy `wanted`.
    pub(super) fn run(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = &self.bytes[self.at.min(self.bytes.len())..];
        let length = rest.iter().position(|byte| !wanted(*byte)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// A token; `None` when there is not one byte of it.
    pub(super) fn token(&mut self) -> Option<&'a [u8]> {
        let token = self.run(is_token);
        (!token.is_empty()).then_some(token)
    }

    /// A quoted string with its quotes. `None` when it does not start with one or is not closed.
    pub(super) fn quoted(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        if !self.eat(b'"') {
            return None;
        }
        loop {
            let rest = self.bytes.get(self.at..)?;
            let offset = memchr::memchr2(b'"', b'\\', rest)?;
            self.at += offset + 1;
            if rest[offset] == b'"' {
                return Some(&self.bytes[start..self.at]);
            }
            // RFC 3261 §25.1: a quoted pair holds any 7-bit byte but CR and LF.
            match self.peek()? {
                b'\r' | b'\n' => return None,
                _ => self.at += 1,
            }
        }
    }

    /// `*(SEMI generic-param)`: the span from the first `;` to the end of the last parameter, empty when there is none.
    pub(super) fn params(&mut self) -> Option<Span> {
        let start = self.at;
        let mut end = self.at;
        let mut count = 0;
        loop {
            let before = self.at;
            self.lws();
            if self.peek() != Some(b';') {
                self.at = before;
                return if end == start { Span::new(start, start) } else { Span::new(start, end) };
            }
            count += 1;
            if count > super::limit::PARAMS {
                return None;
            }
            self.at += 1;
            self.param()?;
            end = self.at;
        }
    }

    /// One `name [= value]`, white space around its parts allowed. The value comes with its quotes.
    pub(super) fn param(&mut self) -> Option<(&'a [u8], Option<&'a [u8]>)> {
        self.lws();
        let name = self.token()?;
        let end = self.at;
        self.lws();
        if !self.eat(b'=') {
            self.at = end;
            return Some((name, None));
        }
        self.lws();
        let value = if self.peek() == Some(b'"') { self.quoted()? } else { self.run(is_param_value) };
        (!value.is_empty()).then_some((name, Some(value)))
    }

    /// Everything up to here is read and only white space is left.
    pub(super) fn at_end(&mut self) -> bool {
        self.lws();
        self.done()
    }
}

pub(super) const fn is_lws(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut index = 0;
    while index < 128 {
        #[expect(clippy::cast_possible_truncation, reason = "below 128")]
        let byte = index as u8;
        table[index] = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
        index += 1;
    }
    table
};

pub(super) const fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// Parameter values in the wild hold more than tokens and hosts (base64 tags, bare IPv6 in `received`): any visible ASCII but delimiters.
const fn is_param_value(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b';' | b',' | b'"' | b'<' | b'>' | b'\\')
}

pub(super) const fn trim(bytes: &[u8]) -> &[u8] {
    let mut bytes = bytes;
    while let [first, rest @ ..] = bytes {
        if !is_lws(*first) {
            break;
        }
        bytes = rest;
    }
    while let [rest @ .., last] = bytes {
        if !is_lws(*last) {
            break;
        }
        bytes = rest;
    }
    bytes
}

/// Unsigned decimal digits and nothing else; `None` when it is not that or too large.
pub(super) fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0_u64, |value, byte| {
        if !byte.is_ascii_digit() {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
    })
}

/// The values of a comma-separated header, trimmed, empty ones left out. Commas in quotes and in angle brackets do not count.
pub(super) fn split_list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        loop {
            let bytes = rest?;
            let end = element_end(bytes);
            rest = bytes.get(end + 1..);
            let element = trim(&bytes[..end]);
            if !element.is_empty() {
                return Some(element);
            }
        }
    })
}

fn element_end(bytes: &[u8]) -> usize {
    let (mut quoted, mut angle, mut at) = (false, false, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            b'<' if !quoted => angle = true,
            b'>' if !quoted => angle = false,
            b',' if !quoted && !angle => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

//! Dialogs (RFC 3261 §12): who talks to whom, through which proxies, and which number comes next.

pub mod early;
pub mod invite;
pub mod refresh;
pub mod reliable;
pub mod route;

use bytes::Bytes;

use super::leg::EarlyDialogId;
use super::msg::{CSeq, Message, Method, Name, NameAddr, Request, Uri};
use super::target::Address;
use super::transport::Transport;
use route::Way;

pub use early::Forks;

/// Routes kept for one dialog; a peer that wants more is refused by the parser's own limit.
const MAX_ROUTES: usize = 32;

/// The bits of a tag that tell the early dialogs of a leg apart.
const EARLY_MASK: u64 = 0xff;

/// One dialog, from our side.
#[derive(Debug, Clone)]
pub struct Dialog {
    /// Their From or To as we write it, tag included.
    pub remote: Bytes,
    /// Their tag; empty for RFC 2543.
    pub remote_tag: Box<str>,
    /// Their Contact.
    pub target: Uri,
    /// The proxies between, nearest first.
    pub routes: Box<[NameAddr]>,
    /// The number of our latest request.
    pub local_cseq: u32,
    /// The number of their latest request.
    pub remote_cseq: Option<u32>,
    /// The number of our latest reliable provisional response (RFC 3262).
    pub local_rseq: Option<u32>,
    /// The number of their latest one.
    pub remote_rseq: Option<u32>,
    /// Whether a description went with a response here: from then on either side may offer (RFC 3311 §5.1).
    pub described: bool,
}

impl Dialog {
    /// The dialog that an INVITE we got asks for; `None` if it has no Contact we could answer to.
    pub fn from_invite(request: &Message) -> Option<Self> {
        Some(Self {
            remote: Bytes::copy_from_slice(request.get(Name::From)?),
            remote_tag: request.from_tag().unwrap_or("").into(),
            target: request.contact()?.uri().detach(),
            // §12.1.1: in the order of the Record-Route.
            routes: request.record_routes().take(MAX_ROUTES).map(|route| route.detach()).collect(),
            local_cseq: 0,
            remote_cseq: Some(request.cseq().number),
            described: false,
            local_rseq: None,
            remote_rseq: None,
        })
    }

    /// The dialog that a response to our INVITE makes. Without Contact (a bare 180) requests would go where the INVITE went.
    pub fn from_response(response: &Message, request_uri: &Uri) -> Option<Self> {
        let mut routes = response.record_routes().take(MAX_ROUTES).map(|route| route.detach()).collect::<Vec<_>>();
        // §12.1.2: reversed for the caller.
        routes.reverse();
        Some(Self {
            remote: Bytes::copy_from_slice(response.get(Name::To)?),
            remote_tag: response.to_tag().unwrap_or("").into(),
            target: response.contact().map_or_else(|| request_uri.clone(), |contact| contact.uri().detach()),
            routes: routes.into(),
            local_cseq: response.cseq().number,
            remote_cseq: None,
            described: false,
            local_rseq: None,
            remote_rseq: None,
        })
    }

    /// Their Contact of a request or response that may change it (§12.2).
    pub fn refresh(&mut self, message: &Message) {
        if let Some(contact) = message.contact() {
            self.target = contact.uri().detach();
        }
    }

    /// Whether a request of this number comes in order; if so it is the latest now.
    pub fn accept_cseq(&mut self, number: u32) -> bool {
        let in_order = self.remote_cseq.is_none_or(|latest| number > latest);
        if in_order {
            self.remote_cseq = Some(number);
        }
        in_order
    }

    /// The number of our next request.
    pub fn next_cseq(&mut self) -> u32 {
        self.local_cseq = self.local_cseq.wrapping_add(1) & 0x7fff_ffff;
        self.local_cseq
    }

    /// The transport that the next stop of a request of ours asks for.
    pub fn transport(&self) -> Option<Transport> {
        route::transport(self.routes.first().map_or(&self.target, NameAddr::uri))
    }

    /// Where a request of ours goes next.
    pub fn hop(&self) -> Option<Address> {
        route::address(self.routes.first().map_or(&self.target, NameAddr::uri))
    }

    /// Begins a request of ours: everything but Contact and body.
    pub fn request(&self, method: Method, cseq: u32, via: &str, local: &Bytes, call_id: &str) -> Option<(Request, Address)> {
        let Way { request_uri, routes, hop } = route::way(&self.target, &self.routes)?;
        let mut request = Request::new(&method, &request_uri).header(Name::Via, via);
        for route in &routes {
            request = request.header(Name::Route, route);
        }
        let request = request
            .header(Name::MaxForwards, 70_u32)
            .header(Name::From, local)
            .header(Name::To, &self.remote)
            .header(Name::CallId, call_id)
            .header(Name::CSeq, CSeq { number: cseq, method });
        Some((request, hop))
    }
}

/// The tag of an early dialog towards a caller: the low byte of the leg's own tag tells them apart, so that one look finds the leg of any.
pub const fn early_tag(first: u64, early: EarlyDialogId) -> u64 {
    first ^ (early.0 as u64 & EARLY_MASK)
}

/// Which early dialog a tag names in the leg whose first tag is `first`; nothing if it is of another leg.
pub fn early_of(first: u64, tag: u64) -> Option<EarlyDialogId> {
    u32::try_from(first ^ tag).ok().filter(|&early| u64::from(early) <= EARLY_MASK).map(EarlyDialogId)
}

/// What all tags of one leg have in common.
pub const fn tag_family(tag: u64) -> u64 {
    tag & !EARLY_MASK
}

/// Letters of [`tag_text`].
pub const TAG_LENGTH: usize = 16;

/// A number as we write it in tags and branches: sixteen small hexadecimal digits.
pub fn tag_text(number: u64) -> String {
    format!("{number:016x}")
}

/// Reads [`tag_text`] back; anything else is not ours.
pub fn tag_number(text: &str) -> Option<u64> {
    let ours = text.len() == TAG_LENGTH && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    ours.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tags_of_a_leg_are_told_apart_and_known_as_its_own() {
        let first = 0x0123_4567_89ab_cdef;
        for number in [0, 1, 16, 255] {
            let early = EarlyDialogId(number);
            let tag = early_tag(first, early);
            assert_eq!((early_of(first, tag), tag_family(tag)), (Some(early), tag_family(first)));
        }
        assert_eq!((early_tag(first, EarlyDialogId::FIRST), early_of(first, first ^ 0x100)), (first, None));
    }

    #[test]
    fn tags_read_back_and_strangers_do_not() {
        for number in [0, 7, u64::MAX] {
            assert_eq!(tag_number(&tag_text(number)), Some(number));
        }
        for text in ["", "1", "000000000000000G", "000000000000000A", "00000000000000000"] {
            assert_eq!(tag_number(text), None, "{text}");
        }
    }
}

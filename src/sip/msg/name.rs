//! Header names: one small table finds them in any case, in full and compact.

use std::fmt;

macro_rules! names {
    ($($variant:ident $text:literal $($compact:literal)?),* $(,)?) => {
        /// The headers we know by name. Names compare without case; compact forms are the same header.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Name {
            $(#[doc = concat!("`", $text, "`")] $variant,)*
            /// Any other header; its line says which.
            Other,
        }

        impl Name {
            /// The full name as we write it; empty for [`Name::Other`].
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other => "",
                }
            }

            /// Every known name.
            pub const KNOWN: &[Self] = &[$(Self::$variant),*];

            const fn compact(self) -> Option<u8> {
                match self {
                    $($(Self::$variant => Some($compact),)?)*
                    _ => None,
                }
            }
        }
    };
}

names! {
    Accept "Accept",
    AcceptEncoding "Accept-Encoding",
    AcceptLanguage "Accept-Language",
    AlertInfo "Alert-Info",
    Allow "Allow",
    AllowEvents "Allow-Events" b'u',
    AnswerMode "Answer-Mode",
    AuthenticationInfo "Authentication-Info",
    Authorization "Authorization",
    CallId "Call-ID" b'i',
    CallInfo "Call-Info",
    Contact "Contact" b'm',
    ContentDisposition "Content-Disposition",
    ContentEncoding "Content-Encoding" b'e',
    ContentLanguage "Content-Language",
    ContentLength "Content-Length" b'l',
    ContentType "Content-Type" b'c',
    CSeq "CSeq",
    Date "Date",
    Diversion "Diversion",
    ErrorInfo "Error-Info",
    Event "Event" b'o',
    Expires "Expires",
    From "From" b'f',
    HistoryInfo "History-Info",
    Identity "Identity" b'y',
    InReplyTo "In-Reply-To",
    Join "Join",
    MaxForwards "Max-Forwards",
    MimeVersion "MIME-Version",
    MinExpires "Min-Expires",
    MinSe "Min-SE",
    Organization "Organization",
    PAccessNetworkInfo "P-Access-Network-Info",
    PAssertedIdentity "P-Asserted-Identity",
    PChargingVector "P-Charging-Vector",
    PEarlyMedia "P-Early-Media",
    PPreferredIdentity "P-Preferred-Identity",
    Path "Path",
    Priority "Priority",
    Privacy "Privacy",
    ProxyAuthenticate "Proxy-Authenticate",
    ProxyAuthorization "Proxy-Authorization",
    ProxyRequire "Proxy-Require",
    RAck "RAck",
    RSeq "RSeq",
    Reason "Reason",
    RecordRoute "Record-Route",
    ReferSub "Refer-Sub",
    ReferTo "Refer-To" b'r',
    ReferredBy "Referred-By" b'b',
    RemotePartyId "Remote-Party-ID",
    Replaces "Replaces",
    ReplyTo "Reply-To",
    RequestDisposition "Request-Disposition" b'd',
    Require "Require",
    RetryAfter "Retry-After",
    Route "Route",
    Server "Server",
    ServiceRoute "Service-Route",
    SessionExpires "Session-Expires" b'x',
    SessionId "Session-ID",
    SipEtag "SIP-ETag",
    SipIfMatch "SIP-If-Match",
    Subject "Subject" b's',
    SubscriptionState "Subscription-State",
    Supported "Supported" b'k',
    TargetDialog "Target-Dialog",
    Timestamp "Timestamp",
    To "To" b't',
    Unsupported "Unsupported",
    UserAgent "User-Agent",
    UserToUser "User-to-User",
    Via "Via" b'v',
    Warning "Warning",
    WwwAuthenticate "WWW-Authenticate",
}

const BUCKETS: usize = 256;

/// Names by a small hash of length, first and last letter: one or two comparisons find a name.
const INDEX: [[Name; 3]; BUCKETS] = {
    let mut table = [[Name::Other; 3]; BUCKETS];
    let mut next = 0;
    while next < Name::KNOWN.len() {
        let name = Name::KNOWN[next];
        let bucket = bucket(name.as_str().as_bytes());
        let mut slot = 0;
        while !matches!(table[bucket][slot], Name::Other) {
            slot += 1;
        }
        table[bucket][slot] = name;
        next += 1;
    }
    table
};

const COMPACT: [Name; 26] = {
    let mut table = [Name::Other; 26];
    let mut next = 0;
    while next < Name::KNOWN.len() {
        if let Some(letter) = Name::KNOWN[next].compact() {
            table[(letter - b'a') as usize] = Name::KNOWN[next];
        }
        next += 1;
    }
    table
};

const fn bucket(name: &[u8]) -> usize {
    let (first, middle, last) = ((name[0] | 0x20) as usize, (name[name.len() / 2] | 0x20) as usize, (name[name.len() - 1] | 0x20) as usize);
    (first * 7 + middle * 31 + last * 3 + name.len() * 13) % BUCKETS
}

impl Name {
    /// Which header `text` names, full or compact.
    pub fn read(text: &[u8]) -> Self {
        match text {
            [] => Self::Other,
            [letter] => match letter.to_ascii_lowercase() {
                letter @ b'a'..=b'z' => COMPACT[usize::from(letter - b'a')],
                _ => Self::Other,
            },
            _ => INDEX[bucket(text)].into_iter().find(|name| name.as_str().as_bytes().eq_ignore_ascii_case(text)).unwrap_or(Self::Other),
        }
    }

    /// Headers a message has at most once and as one value; a second is an attack or a fault (RFC 3261 §7.3.1, RFC 4475 §3.3.8).
    pub const fn is_single(self) -> bool {
        matches!(
            self,
            Self::CallId
                | Self::ContentDisposition
                | Self::ContentLength
                | Self::ContentType
                | Self::CSeq
                | Self::Event
                | Self::Expires
                | Self::From
                | Self::MaxForwards
                | Self::MinExpires
                | Self::MinSe
                | Self::RAck
                | Self::RSeq
                | Self::ReferTo
                | Self::ReferredBy
                | Self::Replaces
                | Self::RetryAfter
                | Self::SessionExpires
                | Self::To
        )
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case_and_compact() {
        for name in Name::KNOWN {
            let text = name.as_str();
            for written in [text.to_owned(), text.to_ascii_lowercase(), text.to_ascii_uppercase()] {
                assert_eq!(Name::read(written.as_bytes()), *name, "{written}");
            }
        }
        for (compact, name) in
            [("i", Name::CallId), ("M", Name::Contact), ("l", Name::ContentLength), ("V", Name::Via), ("x", Name::SessionExpires)]
        {
            assert_eq!(Name::read(compact.as_bytes()), name);
        }
        for other in ["", "X-Custom", "Viaa", "q", "1", "C%6Fntact"] {
            assert_eq!(Name::read(other.as_bytes()), Name::Other, "{other}");
        }
    }
}

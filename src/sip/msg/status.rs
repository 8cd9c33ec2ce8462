//! Response statuses and their usual phrases.

use std::fmt;

/// A response status, 100 to 699.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Status(u16);

macro_rules! statuses {
    ($($constant:ident $code:literal $reason:literal),* $(,)?) => {
        #[expect(missing_docs, reason = "the names are the RFCs' own")]
        impl Status {
            $(pub const $constant: Self = Self($code);)*

            /// The RFCs' reason phrase.
            pub const fn reason(self) -> &'static str {
                match self.0 {
                    $($code => $reason,)*
                    100..=199 => "Progress",
                    200..=299 => "Success",
                    300..=399 => "Redirection",
                    400..=499 => "Request Failure",
                    500..=599 => "Server Failure",
                    _ => "Global Failure",
                }
            }
        }
    };
}

statuses! {
    TRYING 100 "Trying",
    RINGING 180 "Ringing",
    CALL_IS_BEING_FORWARDED 181 "Call Is Being Forwarded",
    QUEUED 182 "Queued",
    SESSION_PROGRESS 183 "Session Progress",
    OK 200 "OK",
    ACCEPTED 202 "Accepted",
    NO_NOTIFICATION 204 "No Notification",
    MULTIPLE_CHOICES 300 "Multiple Choices",
    MOVED_PERMANENTLY 301 "Moved Permanently",
    MOVED_TEMPORARILY 302 "Moved Temporarily",
    USE_PROXY 305 "Use Proxy",
    BAD_REQUEST 400 "Bad Request",
    UNAUTHORIZED 401 "Unauthorized",
    PAYMENT_REQUIRED 402 "Payment Required",
    FORBIDDEN 403 "Forbidden",
    NOT_FOUND 404 "Not Found",
    METHOD_NOT_ALLOWED 405 "Method Not Allowed",
    NOT_ACCEPTABLE 406 "Not Acceptable",
    PROXY_AUTHENTICATION_REQUIRED 407 "Proxy Authentication Required",
    REQUEST_TIMEOUT 408 "Request Timeout",
    GONE 410 "Gone",
    REQUEST_ENTITY_TOO_LARGE 413 "Request Entity Too Large",
    REQUEST_URI_TOO_LONG 414 "Request-URI Too Long",
    UNSUPPORTED_MEDIA_TYPE 415 "Unsupported Media Type",
    UNSUPPORTED_URI_SCHEME 416 "Unsupported URI Scheme",
    BAD_EXTENSION 420 "Bad Extension",
    EXTENSION_REQUIRED 421 "Extension Required",
    SESSION_INTERVAL_TOO_SMALL 422 "Session Interval Too Small",
    INTERVAL_TOO_BRIEF 423 "Interval Too Brief",
    TEMPORARILY_UNAVAILABLE 480 "Temporarily Unavailable",
    NO_SUCH_CALL 481 "Call/Transaction Does Not Exist",
    LOOP_DETECTED 482 "Loop Detected",
    TOO_MANY_HOPS 483 "Too Many Hops",
    ADDRESS_INCOMPLETE 484 "Address Incomplete",
    AMBIGUOUS 485 "Ambiguous",
    BUSY_HERE 486 "Busy Here",
    REQUEST_TERMINATED 487 "Request Terminated",
    NOT_ACCEPTABLE_HERE 488 "Not Acceptable Here",
    BAD_EVENT 489 "Bad Event",
    REQUEST_PENDING 491 "Request Pending",
    UNDECIPHERABLE 493 "Undecipherable",
    INTERNAL_ERROR 500 "Server Internal Error",
    NOT_IMPLEMENTED 501 "Not Implemented",
    BAD_GATEWAY 502 "Bad Gateway",
    SERVICE_UNAVAILABLE 503 "Service Unavailable",
    SERVER_TIMEOUT 504 "Server Time-out",
    VERSION_NOT_SUPPORTED 505 "Version Not Supported",
    MESSAGE_TOO_LARGE 513 "Message Too Large",
    BUSY_EVERYWHERE 600 "Busy Everywhere",
    DECLINE 603 "Decline",
    DOES_NOT_EXIST_ANYWHERE 604 "Does Not Exist Anywhere",
    NOT_ACCEPTABLE_ANYWHERE 606 "Not Acceptable",
    UNWANTED 607 "Unwanted",
}

impl Status {
    /// `None` outside 100 to 699.
    pub const fn new(code: u16) -> Option<Self> {
        if code >= 100 && code < 700 { Some(Self(code)) } else { None }
    }

    /// The number.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// 1xx.
    pub const fn is_provisional(self) -> bool {
        self.0 < 200
    }

    /// 2xx.
    pub const fn is_success(self) -> bool {
        self.0 >= 200 && self.0 < 300
    }

    /// 2xx to 6xx.
    pub const fn is_final(self) -> bool {
        self.0 >= 200
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

//! The app on the admin's phone that shows codes (RFC 6238), made apart from the server's own.

use aws_lc_rs::hmac;

/// An authenticator with one secret.
pub struct Authenticator {
    key: hmac::Key,
    /// The last step whose code was used; each lets in once.
    used: u64,
}

impl Authenticator {
    /// Takes the secret as it is typed: base 32, blanks between groups.
    pub fn new(secret: &str) -> Self {
        let (mut bits, mut held, mut bytes) = (0_u32, 0_u32, Vec::new());
        for letter in secret.bytes().filter(u8::is_ascii_alphanumeric) {
            let value = match letter.to_ascii_uppercase() {
                letter @ b'A'..=b'Z' => letter - b'A',
                digit => digit - b'2' + 26,
            };
            (bits, held) = ((bits << 5 | u32::from(value)) & 0xffff, held + 5);
            if held >= 8 {
                held -= 8;
                bytes.push(u8::try_from(bits >> held & 0xff).expect("eight bits"));
            }
        }
        Self { key: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes), used: 0 }
    }

    /// The next code that holds: this half minute's, or, if that was used, the next one's, which phones ahead of time show too.
    pub fn shows(&mut self) -> String {
        let now = now_step();
        // Two ahead would be refused: a person waits, and so does this.
        while self.used > now_step() {
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        self.used = now.max(self.used + 1);
        let tag = hmac::sign(&self.key, &self.used.to_be_bytes());
        let tag = tag.as_ref();
        let at = usize::from(tag[19] & 15);
        let code = u32::from_be_bytes([tag[at] & 127, tag[at + 1], tag[at + 2], tag[at + 3]]);
        format!("{:06}", code % 1_000_000)
    }
}

fn now_step() -> u64 {
    u64::try_from(callthrough::types::Clock::system().timestamp().as_micros()).expect("after 1970") / 30_000_000
}

use std::fmt;
use std::str::FromStr;

use super::{Clock, Random};

/// Crockford's base 32: no I, L, O, U.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 26;

/// The text is not an id of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the kind {0}_…")]
pub struct IdError(&'static str);

fn mint(clock: &Clock, random: &Random) -> u128 {
    let millis = u128::try_from(clock.timestamp().as_micros() / 1000).unwrap_or(0) & ((1 << 48) - 1);
    let mut chance = [0; 16];
    random.fill(&mut chance[6..]);
    (millis << 80) | u128::from_be_bytes(chance)
}

fn write(kind: &str, value: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [0; LENGTH];
    let mut rest = value;
    for place in text.iter_mut().rev() {
        *place = ALPHABET[usize::try_from(rest & 31).expect("five bits")];
        rest >>= 5;
    }
    write!(f, "{kind}_{}", std::str::from_utf8(&text).expect("the alphabet is ASCII"))
}

fn read(kind: &'static str, text: &str) -> Result<u128, IdError> {
    let body = text.strip_prefix(kind).and_then(|rest| rest.strip_prefix('_')).filter(|body| body.len() == LENGTH).ok_or(IdError(kind))?;
    body.bytes().try_fold(0_u128, |value, byte| {
        let digit = ALPHABET.iter().position(|&letter| letter == byte).ok_or(IdError(kind))?;
        let shifted = value.checked_mul(32).ok_or(IdError(kind))?;
        Ok(shifted | u128::try_from(digit).expect("below 32"))
    })
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $kind:literal;)*) => {$(
        $(#[$doc])*
        ///
        /// Written as its kind, an underscore and 26 letters that sort by the time of birth.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u128);

        impl $name {
            /// A new id: 48 bits of time, 80 of chance.
            pub fn new(clock: &Clock, random: &Random) -> Self {
                Self(mint(clock, random))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write($kind, self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write($kind, self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                read($kind, text).map(Self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// Our call, both legs; the SIP header of a similar name is `SipCallId`.
    CallId = "call";
    /// Who may call.
    SubscriberId = "sub";
    /// Money of one owner in one currency.
    AccountId = "acct";
    /// Money set aside for one leg of one call.
    HoldId = "hold";
    /// A set of ledger entries that sums to zero.
    PostingId = "post";
    /// "This phone calling that access number means this destination."
    ReservationId = "resv";
    /// A secret of one device, or of one subscriber.
    CredentialId = "cred";
    /// A rate deck, all its versions.
    DeckId = "deck";
    /// One version of a rate deck.
    DeckVersionId = "dver";
    /// A file that may become a deck version.
    ImportId = "imp";
    /// A carrier link.
    TrunkId = "trunk";
    /// A key to the API.
    ApiKeyId = "key";
    /// A customer of the operator, with numbers, decks, subscribers and people of its own.
    TenantId = "ten";
    /// Somebody who signs in to keep the books.
    PersonId = "pers";
    /// A browser that is signed in.
    SignInId = "sign";
    /// A row of the audit log.
    AuditId = "audit";
    /// A batch of vouchers.
    VoucherBatchId = "vbat";
    /// One voucher.
    VoucherId = "vou";
    /// Money from one account to another.
    TransferId = "xfer";
    /// A movement of money that waits for a second person.
    ApprovalId = "appr";
    /// Something somebody should look at.
    AlertId = "alert";
    /// A list of numbers and prefixes that must not be called.
    HotlistId = "hot";
}

impl TenantId {
    /// The tenant that exists from the first start: a server with one business never needs another.
    pub const MAIN: Self = Self(0);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::types::Timestamp;

    #[test]
    fn print_then_parse_is_identity_and_kinds_do_not_mix() {
        let clock = Clock::manual(Timestamp::from_micros(1_900_000_000_000_000));
        let id = CallId::new(&clock, &Random::seeded(3));
        assert_eq!(id.to_string().parse::<CallId>(), Ok(id));
        assert!(id.to_string().parse::<HoldId>().is_err());
        assert!("call_zzzzzzzzzzzzzzzzzzzzzzzzzz".parse::<CallId>().is_err(), "130 bits do not fit");
    }

    #[test]
    fn later_ids_sort_later() {
        let clock = Clock::manual(Timestamp::from_micros(1_900_000_000_000_000));
        let random = Random::seeded(3);
        let first = CallId::new(&clock, &random);
        clock.advance(Duration::from_millis(1));
        assert!(first.to_string() < CallId::new(&clock, &random).to_string());
    }
}

//! Double entry: what a movement is made of, and its link in the chain.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::types::{AccountId, CallId, Currency, HoldId, Micros, Money, MoneyError, PostingId, Timestamp};

/// The books an entry may stand in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Book {
    /// What we owe a subscriber.
    Subscriber,
    /// Voice sold.
    RevenueVoice,
    /// Money received.
    Payments,
    /// Money given.
    Bonus,
    /// Corrections by people.
    Adjustment,
    /// What a carrier's part of a call costs.
    CarrierCost,
    /// What we owe carriers.
    CarrierPayable,
    /// Exchange between currencies.
    Fx,
    /// On its way from one account to another.
    Transit,
}

impl Book {
    /// Every book.
    pub const ALL: [Self; 9] = [
        Self::Subscriber,
        Self::RevenueVoice,
        Self::Payments,
        Self::Bonus,
        Self::Adjustment,
        Self::CarrierCost,
        Self::CarrierPayable,
        Self::Fx,
        Self::Transit,
    ];

    /// The word the books keep.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subscriber => "subscriber",
            Self::RevenueVoice => "revenue_voice",
            Self::Payments => "payments",
            Self::Bonus => "bonus",
            Self::Adjustment => "adjustment",
            Self::CarrierCost => "carrier_cost",
            Self::CarrierPayable => "carrier_payable",
            Self::Fx => "fx",
            Self::Transit => "transit",
        }
    }

    /// From the word the books keep.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|book| book.as_str() == word)
    }
}

/// What moved the money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A payment came in: payments to subscriber.
    TopUp,
    /// A person corrected: adjustment to subscriber, or back.
    Adjustment,
    /// A gift: bonus to subscriber.
    Bonus,
    /// A call: subscriber to revenue.
    Charge,
    /// A carrier's part of a call that was free for the caller: cost to payable.
    CarrierCost,
    /// A voucher was redeemed: payments to subscriber.
    Voucher,
    /// From or to another account of the tenant, by way of the transit book.
    Transfer,
    /// The exact reverse of an earlier posting, which it names as its cause.
    Reversal,
    /// What a call should have cost, after the reversal of what it did.
    Correction,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::TopUp,
        Self::Adjustment,
        Self::Bonus,
        Self::Charge,
        Self::CarrierCost,
        Self::Voucher,
        Self::Transfer,
        Self::Reversal,
        Self::Correction,
    ];

    /// The word the books keep.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TopUp => "top_up",
            Self::Adjustment => "adjustment",
            Self::Bonus => "bonus",
            Self::Charge => "charge",
            Self::CarrierCost => "carrier_cost",
            Self::Voucher => "voucher",
            Self::Transfer => "transfer",
            Self::Reversal => "reversal",
            Self::Correction => "correction",
        }
    }

    /// From the word the books keep.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The book on the other side of the subscriber's entry. A reversal's is that of what it reverses.
    pub const fn against(self) -> Book {
        match self {
            Self::TopUp | Self::Voucher => Book::Payments,
            Self::Adjustment | Self::Reversal => Book::Adjustment,
            Self::Bonus => Book::Bonus,
            Self::Charge | Self::Correction => Book::RevenueVoice,
            Self::Transfer => Book::Transit,
            Self::CarrierCost => Book::CarrierPayable,
        }
    }
}

/// One line of a posting. Credits are positive, debits negative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub book: Book,
    /// Whose, in the subscribers' book.
    pub account: Option<AccountId>,
    /// What it is in. A carrier's part may be in another currency than the account.
    pub currency: Currency,
    /// How much.
    pub amount: Micros,
}

/// A movement that has not been posted: what the caller wants, under a key that is theirs for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Whose balance moves.
    pub account: AccountId,
    /// What kind of movement.
    pub kind: Kind,
    /// What the balance gains; negative if it loses.
    pub amount: Micros,
    /// The call, payment or person that causes it.
    pub cause: String,
    /// The same key is posted once.
    pub idempotency_key: String,
    /// For a reader.
    pub note: String,
    /// The book on the other side, where the kind does not say it: of a reversal.
    pub against: Option<Book>,
}

/// A draft that cannot be posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// The sign does not fit the kind.
    #[error("the amount of a top-up or bonus is above zero, that of an adjustment is not zero: send another amount")]
    Amount,
    /// Nobody is named.
    #[error("name the payment or person that causes the movement")]
    NoCause,
    /// No or a hopeless key.
    #[error("send an idempotency key of 1 to 255 printable characters")]
    Key,
}

/// A movement as the books keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// Which one.
    pub id: PostingId,
    /// The account whose chain it is on.
    pub account: AccountId,
    /// Its place in the chain, from 1.
    pub seq: i64,
    /// What moved the money.
    pub kind: Kind,
    /// The call, payment or person.
    pub cause: String,
    /// Posted once under this key.
    pub idempotency_key: String,
    /// For a reader.
    pub note: String,
    /// When.
    pub at: Timestamp,
    /// Of what all entries are.
    pub currency: Currency,
    /// Two or more lines that sum to zero.
    pub entries: Vec<Entry>,
    /// The hash of the posting before; empty for the first.
    pub prev_hash: String,
    /// SHA-256 over all of the above.
    pub hash: String,
}

impl Draft {
    /// The charge of a call, under a key that is the hold's: a hold is charged once.
    pub fn charge(account: AccountId, call: CallId, hold: HoldId, amount: Micros) -> Result<Self, MoneyError> {
        Ok(Self {
            account,
            kind: Kind::Charge,
            amount: Micros::ZERO.minus(amount)?,
            cause: call.to_string(),
            idempotency_key: format!("charge:{hold}"),
            note: String::new(),
            against: None,
        })
    }

    /// A free call's part in its carrier's books: the balance moves by nothing. A hold pays its carrier once.
    pub fn carrier_cost(account: AccountId, call: CallId, hold: HoldId) -> Self {
        Self {
            account,
            kind: Kind::CarrierCost,
            amount: Micros::ZERO,
            cause: call.to_string(),
            idempotency_key: format!("cost:{hold}"),
            note: String::new(),
            against: None,
        }
    }

    /// Whether it may be posted by a person or a payment. Charges come from holds and are not drafted by hand.
    pub fn check(&self) -> Result<(), DraftError> {
        let sign_fits = match self.kind {
            Kind::TopUp | Kind::Bonus | Kind::Voucher => self.amount > Micros::ZERO,
            Kind::Adjustment | Kind::Transfer | Kind::Reversal => self.amount != Micros::ZERO,
            Kind::Charge | Kind::Correction => self.amount < Micros::ZERO,
            Kind::CarrierCost => false,
        };
        if !sign_fits {
            return Err(DraftError::Amount);
        }
        if self.cause.trim().is_empty() {
            return Err(DraftError::NoCause);
        }
        let key = &self.idempotency_key;
        if key.is_empty() || key.len() > 255 || !key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return Err(DraftError::Key);
        }
        Ok(())
    }

    /// The posting it becomes at place `seq` after the posting with `prev_hash`.
    pub fn post(self, id: PostingId, seq: i64, at: Timestamp, currency: Currency, prev_hash: String) -> Result<Posting, MoneyError> {
        let other_way = Micros::ZERO.minus(self.amount)?;
        let entries = vec![
            Entry { book: Book::Subscriber, account: Some(self.account), currency, amount: self.amount },
            Entry { book: self.against.unwrap_or(self.kind.against()), account: None, currency, amount: other_way },
        ];
        let entries = if self.kind == Kind::CarrierCost { Vec::new() } else { entries };
        let mut posting = Posting {
            id,
            account: self.account,
            seq,
            kind: self.kind,
            cause: self.cause,
            idempotency_key: self.idempotency_key,
            note: self.note,
            at,
            currency,
            entries,
            prev_hash,
            hash: String::new(),
        };
        posting.hash = posting.expected_hash();
        Ok(posting)
    }
}

impl Posting {
    /// The sum of the entries in the subscribers' book: what the account's balance gained.
    pub fn gain(&self) -> Result<Micros, MoneyError> {
        self.entries.iter().filter(|entry| entry.account == Some(self.account)).try_fold(Micros::ZERO, |sum, entry| sum.plus(entry.amount))
    }

    /// The sums of all entries by currency: each is zero in books that are kept.
    pub fn sums(&self) -> BTreeMap<Currency, i128> {
        self.entries.iter().fold(BTreeMap::new(), |mut sums, entry| {
            *sums.entry(entry.currency).or_default() += i128::from(entry.amount.get());
            sums
        })
    }

    /// The same posting with what the carrier takes for the call, in the carrier's currency.
    pub fn with_carrier(mut self, cost: Money) -> Result<Self, MoneyError> {
        let Money { amount, currency } = cost;
        self.entries.push(Entry { book: Book::CarrierCost, account: None, currency, amount: Micros::ZERO.minus(amount)? });
        self.entries.push(Entry { book: Book::CarrierPayable, account: None, currency, amount });
        self.hash = self.expected_hash();
        Ok(self)
    }

    /// The hash this posting must carry. Each field is preceded by its length, so that no two postings hash the same text.
    pub fn expected_hash(&self) -> String {
        let mut hasher = Sha256::new();
        let mut field = |text: &str| {
            hasher.update(u64::try_from(text.len()).expect("a length fits").to_be_bytes());
            hasher.update(text.as_bytes());
        };
        field(&self.prev_hash);
        field(&self.id.to_string());
        field(&self.account.to_string());
        field(&self.seq.to_string());
        field(self.kind.as_str());
        field(&self.cause);
        field(&self.idempotency_key);
        field(&self.note);
        field(&self.at.as_micros().to_string());
        field(self.currency.as_str());
        for entry in &self.entries {
            field(entry.book.as_str());
            field(&entry.account.map(|account| account.to_string()).unwrap_or_default());
            field(entry.currency.as_str());
            field(&entry.amount.get().to_string());
        }
        hex(&hasher.finalize())
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    })
}

//! Money on paper: codes in batches, each good once. A code is 80 random bits and a check character; only its SHA-256 is kept.

mod store;

use sha2::{Digest as _, Sha256};
use sqlx::AnyConnection;

use super::entry::hex;
use super::store::Posted;
use super::{Draft, Kind, LedgerError};
use crate::types::{AccountId, Clock, Currency, Micros, Random, TenantId, Timestamp, VoucherBatchId, VoucherId};

pub use store::{batches, get_batch, vouchers};

/// Most vouchers of one batch.
pub const MOST: u32 = 10_000;
/// Crockford's base 32: no I, L, O, U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Random characters of a code: 16 of five bits are 80 bits (ASVS 6.5 wants more than 20 of a code that lives short; these live long).
const RANDOM: usize = 16;

/// A batch of vouchers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Which.
    pub id: VoucherBatchId,
    /// In whose books.
    pub tenant: TenantId,
    /// What people call it.
    pub name: String,
    /// What each voucher is worth.
    pub amount: Micros,
    /// In what.
    pub currency: Currency,
    /// How many.
    pub count: u32,
    /// Whether they are good.
    pub state: BatchState,
    /// When they stop being good.
    pub expires_at: Option<Timestamp>,
    /// Who made it.
    pub made_by: String,
    /// When.
    pub created_at: Timestamp,
    /// How many were redeemed.
    pub redeemed: u32,
    /// How many were voided one by one.
    pub voided: u32,
}

/// Whether a batch is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchState {
    /// It waits for a second person.
    Pending,
    /// Its vouchers are good.
    Active,
    /// None of the rest is.
    Void,
}

impl BatchState {
    /// The word of the books.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Void => "void",
        }
    }
}

/// A voucher without its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voucher {
    /// Which.
    pub id: VoucherId,
    /// Its place in the batch, from 1.
    pub number: u32,
    /// When and on which account it was redeemed.
    pub redeemed: Option<(Timestamp, AccountId)>,
    /// When it was voided.
    pub voided_at: Option<Timestamp>,
}

/// A code as it was drawn: twenty characters with hyphens, such as `7K3M-9QTX-2B4N-8RWZ-5`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code(String);

impl Code {
    fn draw(random: &Random) -> Self {
        let mut bytes = [0; RANDOM];
        random.fill(&mut bytes);
        let body: Vec<u8> = bytes.iter().map(|byte| ALPHABET[usize::from(byte & 31)]).collect();
        let check = ALPHABET[check(&body)];
        Self(body.into_iter().chain([check]).map(char::from).collect())
    }

    /// What somebody typed: any case, with or without hyphens and blanks, O for 0, I and L for 1. None: it is no code, or a
    /// character is wrong.
    pub fn parse(typed: &str) -> Option<Self> {
        let mut body = Vec::with_capacity(RANDOM + 1);
        for character in typed.chars().filter(|character| !character.is_whitespace() && *character != '-') {
            let folded = match character.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            let byte = u8::try_from(folded).ok().filter(|byte| ALPHABET.contains(byte))?;
            body.push(byte);
            if body.len() > RANDOM + 1 {
                return None;
            }
        }
        let (&last, rest) = body.split_last()?;
        (rest.len() == RANDOM && ALPHABET[check(rest)] == last).then(|| Self(body.into_iter().map(char::from).collect()))
    }

    /// As it is printed: in groups of four.
    pub fn printed(&self) -> String {
        let groups: Vec<&str> = (0..self.0.len()).step_by(4).map(|at| &self.0[at..self.0.len().min(at + 4)]).collect();
        groups.join("-")
    }

    fn digest(&self) -> String {
        hex(&Sha256::digest(self.0.as_bytes()))
    }
}

/// A weighted sum: one wrong character, or two neighbours that changed places, give another.
fn check(body: &[u8]) -> usize {
    let value = |byte: &u8| ALPHABET.iter().position(|letter| letter == byte).unwrap_or(0);
    // Weights prime to 31 would leave no blind spot; 31 is prime, so weights 1 to 17 are.
    body.iter().enumerate().map(|(place, byte)| (place + 1) * value(byte)).sum::<usize>() % 31
}

/// A batch to be made.
#[derive(Debug, Clone)]
pub struct NewBatch {
    /// In whose books.
    pub tenant: TenantId,
    /// What people call it.
    pub name: String,
    /// What each voucher is worth.
    pub amount: Micros,
    /// In what.
    pub currency: Currency,
    /// How many, 1 to [`MOST`].
    pub count: u32,
    /// When they stop being good.
    pub expires_at: Option<Timestamp>,
    /// Who makes it.
    pub made_by: String,
    /// Whether it waits for a second person.
    pub waits: bool,
}

/// Makes a batch. The codes are told this once.
pub async fn make(tx: &mut AnyConnection, new: NewBatch, clock: &Clock, random: &Random) -> Result<(Batch, Vec<Code>), LedgerError> {
    let batch = Batch {
        id: VoucherBatchId::new(clock, random),
        tenant: new.tenant,
        name: new.name,
        amount: new.amount,
        currency: new.currency,
        count: new.count.clamp(1, MOST),
        state: if new.waits { BatchState::Pending } else { BatchState::Active },
        expires_at: new.expires_at,
        made_by: new.made_by,
        created_at: clock.timestamp(),
        redeemed: 0,
        voided: 0,
    };
    store::create_batch(tx, &batch).await?;
    let codes: Vec<Code> = (0..batch.count).map(|_| Code::draw(random)).collect();
    let rows: Vec<(VoucherId, String)> = codes.iter().map(|code| (VoucherId::new(clock, random), code.digest())).collect();
    store::create_vouchers(tx, &batch, &rows).await?;
    Ok((batch, codes))
}

/// A batch that waited is good now.
pub(super) async fn activate(tx: &mut AnyConnection, id: VoucherBatchId) -> Result<(), LedgerError> {
    store::set_state(tx, id, BatchState::Pending, BatchState::Active).await.map(drop)
}

/// None of the rest of a batch is good any more; false if it was void already.
pub async fn void_batch(tx: &mut AnyConnection, id: VoucherBatchId, _now: Timestamp) -> Result<bool, LedgerError> {
    let active = store::set_state(tx, id, BatchState::Active, BatchState::Void).await?;
    Ok(active || store::set_state(tx, id, BatchState::Pending, BatchState::Void).await?)
}

/// One voucher is no longer good; false if it was redeemed or void already, or is not the tenant's.
pub async fn void(tx: &mut AnyConnection, tenant: TenantId, id: VoucherId, now: Timestamp) -> Result<bool, LedgerError> {
    store::void(tx, tenant, id, now).await
}

/// Why a code is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotRedeemed {
    /// No voucher of the tenant has it.
    Unknown,
    /// It was redeemed.
    Used,
    /// It is past its day.
    Expired,
    /// It was voided, or its batch was.
    Void,
    /// Its batch waits for a second person.
    Pending,
    /// The account is in another currency.
    Currency,
}

/// Redeems a code onto an account: once, whoever else tries at the same moment.
pub async fn redeem(
    tx: &mut AnyConnection,
    tenant: TenantId,
    code: &Code,
    (account, currency): (AccountId, Currency),
    clock: &Clock,
    random: &Random,
) -> Result<Result<Posted, NotRedeemed>, LedgerError> {
    let now = clock.timestamp();
    let Some(found) = store::find(tx, tenant, &code.digest()).await? else { return Ok(Err(NotRedeemed::Unknown)) };
    let refused = if found.redeemed {
        Some(NotRedeemed::Used)
    } else if found.voided || found.state == BatchState::Void {
        Some(NotRedeemed::Void)
    } else if found.state == BatchState::Pending {
        Some(NotRedeemed::Pending)
    } else if found.expires_at.is_some_and(|at| at <= now) {
        Some(NotRedeemed::Expired)
    } else {
        (found.currency != currency).then_some(NotRedeemed::Currency)
    };
    if let Some(refused) = refused {
        return Ok(Err(refused));
    }
    // The one whose update finds it unredeemed has it.
    if !store::take(tx, found.id, account, now).await? {
        return Ok(Err(NotRedeemed::Used));
    }
    let draft = Draft {
        account,
        kind: Kind::Voucher,
        amount: found.amount,
        cause: found.id.to_string(),
        idempotency_key: format!("voucher:{}", found.id),
        note: String::new(),
        against: None,
    };
    let posted = super::store::post(tx, draft, clock, random).await?;
    store::note_posting(tx, found.id, posted.posting.id).await?;
    Ok(Ok(posted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let random = Random::seeded(4);
        for _ in 0..200 {
            let code = Code::draw(&random);
            let printed = code.printed();
            assert_eq!(printed.len(), RANDOM + 1 + 4);
            assert_eq!(Code::parse(&printed), Some(code.clone()));
            assert_eq!(Code::parse(&format!(" {} ", printed.to_lowercase().replace('-', " "))), Some(code.clone()));
            assert_eq!(Code::parse(&printed.replace('0', "o").replace('1', "l")), Some(code));
        }
    }

    #[test]
    fn a_wrong_character_is_no_code() {
        let code = Code::draw(&Random::seeded(5)).printed();
        let mut caught = 0;
        for (at, old) in code.char_indices().filter(|(_, old)| *old != '-') {
            for new in ALPHABET.iter().map(|byte| char::from(*byte)).filter(|new| *new != old) {
                let mut typed = code.clone();
                typed.replace_range(at..=at, &new.to_string());
                caught += usize::from(Code::parse(&typed).is_none());
            }
        }
        assert!(caught * 100 >= 17 * 31 * 96, "{caught} of {}", 17 * 31);
        assert_eq!(Code::parse(""), None);
        assert_eq!(Code::parse("7K3M"), None);
    }
}

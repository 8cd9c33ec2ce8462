//! Browsers that are signed in. A sign-in is 160 random bits in a cookie, kept as their SHA-256; it ends after twelve hours, after
//! an hour without a request, or when it is ended. Money wants the password given lately.

use std::time::Duration;

use super::person::Person;
use super::{PeopleError, digest, store, totp};
use crate::database::Connection;
use crate::subscriber::Sealer;
use crate::types::{Clock, PersonId, Random, Secret, SignInId, TenantId, Timestamp};

/// The longest sign-in.
pub const LIFE: Duration = Duration::from_secs(12 * 3600);
/// The longest pause.
const IDLE: Duration = Duration::from_secs(3600);
/// How long the password counts as given lately.
pub const CONFIRMED_FOR: Duration = Duration::from_secs(15 * 60);
/// Characters of 62: 27 of them hold more than 160 bits.
const LENGTH: usize = 27;
/// What a browser calls itself is kept up to here.
const LONGEST_AGENT: usize = 200;
/// Recovery codes of one person.
const RECOVERY_CODES: usize = 10;

/// A browser that is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// Its id.
    pub id: SignInId,
    /// Who.
    pub person: PersonId,
    /// From where.
    pub source: String,
    /// What the browser calls itself.
    pub agent: String,
    /// Since when.
    pub created_at: Timestamp,
    /// Its last request, to the minute.
    pub seen_at: Timestamp,
    /// When the password was last given.
    pub confirmed_at: Timestamp,
}

impl SignIn {
    /// Whether it still lets in.
    pub fn lives(&self, now: Timestamp) -> bool {
        now.since(self.created_at) < LIFE && now.since(self.seen_at) < IDLE
    }

    /// Whether the password was given lately.
    pub fn confirmed(&self, now: Timestamp) -> bool {
        now.since(self.confirmed_at) < CONFIRMED_FOR
    }

    /// When it ends at the latest.
    pub fn ends_at(&self) -> Timestamp {
        self.created_at + LIFE
    }
}

/// The anti-forgery token of a sign-in: known to its own pages only, and worth nothing without the cookie.
pub fn csrf(token: &str) -> Secret {
    Secret::new(digest(&format!("csrf {token}")))
}

/// Somebody who may sign in as `login`, with what their password is checked against.
pub async fn candidate(
    connection: &mut Connection,
    tenant: Option<TenantId>,
    login: &str,
) -> Result<Option<(Person, Secret)>, PeopleError> {
    let found = store::candidate(connection, tenant, &login.trim().to_lowercase()).await?;
    Ok(found.filter(|(person, _)| person.enabled))
}

/// Begins a sign-in of somebody whose password was right. The token goes into the cookie and is shown nowhere else.
pub async fn begin(
    tx: &mut Connection,
    person: &Person,
    (source, agent): (&str, &str),
    clock: &Clock,
    random: &Random,
) -> Result<(SignIn, Secret), PeopleError> {
    let (token, now) = (Secret::new(random.alphanumeric(LENGTH)), clock.timestamp());
    let sign_in = SignIn {
        id: SignInId::new(clock, random),
        person: person.id,
        source: source.to_owned(),
        agent: agent.chars().filter(|character| !character.is_control()).take(LONGEST_AGENT).collect(),
        created_at: now,
        seen_at: now,
        confirmed_at: now,
    };
    store::create_sign_in(tx, &sign_in, &digest(token.expose())).await?;
    Ok((sign_in, token))
}

/// Who is signed in by the cookie `token`.
pub async fn find(connection: &mut Connection, token: &str, now: Timestamp) -> Result<Option<(Person, SignIn)>, PeopleError> {
    if token.len() != LENGTH {
        return Ok(None);
    }
    let found = store::sign_in(connection, &digest(token)).await?;
    Ok(found.filter(|(person, sign_in)| person.enabled && sign_in.lives(now)))
}

/// The sign-ins of somebody that still let in, newest first.
pub async fn list(connection: &mut Connection, person: PersonId, now: Timestamp) -> Result<Vec<SignIn>, PeopleError> {
    Ok(store::sign_ins(connection, person).await?.into_iter().filter(|sign_in| sign_in.lives(now)).collect())
}

/// Notes a request of the sign-in.
pub async fn touch(tx: &mut Connection, id: SignInId, now: Timestamp) -> Result<(), PeopleError> {
    Ok(store::touch_sign_in(tx, id, now).await?)
}

/// Ends one sign-in; false if it was not there.
pub async fn end(tx: &mut Connection, id: SignInId, now: Timestamp) -> Result<bool, PeopleError> {
    Ok(store::end_sign_in(tx, id, now).await?)
}

/// The password was given again.
pub async fn confirm(tx: &mut Connection, id: SignInId, now: Timestamp) -> Result<(), PeopleError> {
    Ok(store::confirm_sign_in(tx, id, now).await?)
}

/// Another password; every other sign-in ends.
pub async fn change_password(
    tx: &mut Connection,
    person: PersonId,
    hashed: &Secret,
    keep: SignInId,
    now: Timestamp,
) -> Result<(), PeopleError> {
    store::set_password(tx, person, hashed).await?;
    store::end_sign_ins(tx, person, Some(keep), now).await?;
    Ok(())
}

/// What is kept of a password, for whoever changes theirs or confirms it.
pub async fn password_of(connection: &mut Connection, person: PersonId) -> Result<Option<Secret>, PeopleError> {
    Ok(store::password(connection, person).await?)
}

/// Takes the second factor: a code of the authenticator or a recovery code, each once. Nothing where none is asked for.
pub async fn second_factor(
    tx: &mut Connection,
    person: &Person,
    code: Option<&str>,
    sealer: Option<&Sealer>,
    now: Timestamp,
) -> Result<(), PeopleError> {
    let (totp, _, last) = store::totp(tx, person.id).await?;
    let Some(sealed) = totp else { return Ok(()) };
    let code = code.map(str::trim).filter(|code| !code.is_empty()).ok_or(PeopleError::CodeNeeded)?;
    let secret = sealer.ok_or(PeopleError::NoMasterKey)?.open(&sealed).map_err(|_| PeopleError::NoMasterKey)?;
    if let Some(step) = totp::accepted(&secret, code, now, last) {
        return if store::take_totp_step(tx, person.id, step).await? { Ok(()) } else { Err(PeopleError::CodeWrong) };
    }
    let recovery = digest(&folded_recovery(code));
    if store::take_recovery_code(tx, person.id, &recovery).await? { Ok(()) } else { Err(PeopleError::CodeWrong) }
}

fn folded_recovery(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

/// Offers a second factor: a secret to put into an authenticator app, which counts once a code of it is given.
pub async fn offer_second_factor(
    tx: &mut Connection,
    person: PersonId,
    sealer: Option<&Sealer>,
    random: &Random,
) -> Result<Secret, PeopleError> {
    let sealer = sealer.ok_or(PeopleError::NoMasterKey)?;
    let secret = totp::secret(random);
    store::offer_totp(tx, person, &sealer.seal(secret.expose(), random)).await?;
    Ok(secret)
}

/// The offered second factor counts from now on; the recovery codes are shown once.
pub async fn confirm_second_factor(
    tx: &mut Connection,
    person: PersonId,
    code: &str,
    sealer: Option<&Sealer>,
    random: &Random,
    now: Timestamp,
) -> Result<Vec<Secret>, PeopleError> {
    let (_, offered, _) = store::totp(tx, person).await?;
    let sealed = offered.ok_or(PeopleError::NothingOffered)?;
    let secret = sealer.ok_or(PeopleError::NoMasterKey)?.open(&sealed).map_err(|_| PeopleError::NoMasterKey)?;
    let step = totp::accepted(&secret, code, now, 0).ok_or(PeopleError::CodeWrong)?;
    store::set_totp(tx, person, Some(&sealed), step).await?;
    let mut codes = Vec::with_capacity(RECOVERY_CODES);
    for _ in 0..RECOVERY_CODES {
        // Four groups of four letters and digits: more than 80 bits.
        let plain = random.alphanumeric(16).to_lowercase();
        store::add_recovery_code(tx, person, &digest(&plain)).await?;
        codes.push(Secret::new(format!("{}-{}-{}-{}", &plain[..4], &plain[4..8], &plain[8..12], &plain[12..])));
    }
    Ok(codes)
}

/// The second factor is asked for no longer.
pub async fn remove_second_factor(tx: &mut Connection, person: PersonId) -> Result<(), PeopleError> {
    Ok(store::set_totp(tx, person, None, 0).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(created: i64, seen: i64) -> SignIn {
        let random = Random::seeded(1);
        let clock = Clock::manual(Timestamp::from_micros(0));
        SignIn {
            id: SignInId::new(&clock, &random),
            person: PersonId::new(&clock, &random),
            source: String::new(),
            agent: String::new(),
            created_at: Timestamp::from_micros(created * 1_000_000),
            seen_at: Timestamp::from_micros(seen * 1_000_000),
            confirmed_at: Timestamp::from_micros(created * 1_000_000),
        }
    }

    #[test]
    fn a_sign_in_ends_by_age_and_by_silence() {
        let at = |secs: i64| Timestamp::from_micros(secs * 1_000_000);
        assert!(seen(0, 0).lives(at(3599)) && !seen(0, 0).lives(at(3600)));
        assert!(seen(0, 43_000).lives(at(43_199)) && !seen(0, 43_000).lives(at(43_200)));
        assert!(seen(0, 0).confirmed(at(899)) && !seen(0, 0).confirmed(at(900)));
    }

    #[test]
    fn the_tokens_hold_160_bits_and_the_page_token_is_not_the_cookie() {
        assert!(62_f64.log2() * f64::from(u32::try_from(LENGTH).unwrap()) >= 160.0);
        assert_ne!(csrf("cookie").expose(), digest("cookie"));
        assert_eq!(folded_recovery(" AbCd-1234-efgh-5678 "), "abcd1234efgh5678");
    }
}

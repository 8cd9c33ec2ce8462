//! Secrets: what is kept of them, and how they are proved. No SQL, no sockets.

use std::fmt;

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::types::{CredentialId, Random, Secret, SubscriberId, Timestamp};

/// Characters of a generated token or app secret: 62^32 is 190 bits.
const GENERATED_LENGTH: usize = 32;
/// Bytes of the salt of a password hash (RFC 9106 §3.1).
const SALT_LENGTH: usize = 16;
/// Longest secret in characters.
const LONGEST_SECRET: usize = 256;

/// How a subscriber or one of their devices proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Its id.
    pub id: CredentialId,
    /// Whose it is.
    pub subscriber: SubscriberId,
    /// What is kept of the secret.
    pub kind: Kind,
    /// Bound to this installation.
    pub device: Option<String>,
    /// SHA-256 of a token, argon2id of a password, SHA-1 of an app secret; empty for digest.
    pub verifier: Secret,
    /// The app secret, sealed, where a hash must be computed anew.
    pub sealed: Option<String>,
    /// `MD5(user:realm:password)` (RFC 7616 §3.4.2).
    pub ha1_md5: Option<Secret>,
    /// The same by SHA-256.
    pub ha1_sha256: Option<Secret>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last let somebody in.
    pub last_used_at: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

/// What kind of secret it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Random token of a device.
    Token,
    /// A password.
    Password,
    /// A secret of an app that arrives hashed; recoverable.
    AppSecret,
    /// HTTP Digest.
    Digest,
}

impl Kind {
    /// The word in the books.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Password => "password",
            Self::AppSecret => "app_secret",
            Self::Digest => "digest",
        }
    }

    /// From the word in the books.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Token, Self::Password, Self::AppSecret, Self::Digest].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// How costly password hashes are (argon2id).
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Memory in KiB.
    pub argon2_memory_kib: u32,
    /// Passes over it.
    pub argon2_passes: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { argon2_memory_kib: 19_456, argon2_passes: 2 }
    }
}

/// What a new credential is made from.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What kind of secret.
    pub kind: Kind,
    /// The secret, or none to have one made.
    pub secret: Option<Secret>,
    /// Bound to this installation.
    pub device: Option<String>,
    /// Digest: the user name that will be sent.
    pub user: Option<String>,
    /// Digest: the realm of the door.
    pub realm: Option<String>,
}

/// Why a credential cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Empty, too long, or with control characters.
    #[error("give a secret of 1 to 256 characters without control characters, or leave it out to have one made")]
    Secret,
    /// Only asterisks.
    #[error("a secret of asterisks only is what apps send instead of a secret over http; choose another")]
    Asterisks,
    /// No master key is loaded.
    #[error("app secrets are kept sealed: set `master_key_file` in the configuration to a file of 32 random bytes")]
    NoMasterKey,
    /// Digest without a user name or realm.
    #[error("a digest credential needs `user` and `realm` as the phone will use them")]
    NoRealm,
}

impl Credential {
    /// Makes a credential and the secret that is shown once. Hashing a password takes tens of milliseconds: not on an async thread.
    pub fn make(
        id: CredentialId,
        subscriber: SubscriberId,
        wanted: Wanted,
        config: &Config,
        sealer: Option<&Sealer>,
        random: &Random,
        now: Timestamp,
    ) -> Result<(Self, Secret), CredentialError> {
        let secret = wanted.secret.unwrap_or_else(|| Secret::new(random.alphanumeric(GENERATED_LENGTH)));
        let text = secret.expose();
        if text.is_empty() || text.chars().count() > LONGEST_SECRET || text.chars().any(char::is_control) {
            return Err(CredentialError::Secret);
        }
        if text.bytes().all(|byte| byte == b'*') {
            return Err(CredentialError::Asterisks);
        }
        let mut made = Self {
            id,
            subscriber,
            kind: wanted.kind,
            device: wanted.device,
            verifier: Secret::default(),
            sealed: None,
            ha1_md5: None,
            ha1_sha256: None,
            created_at: now,
            last_used_at: None,
            revoked_at: None,
        };
        match wanted.kind {
            Kind::Token => made.verifier = token_digest(text),
            Kind::Password => made.verifier = hash_password(text, config, random),
            Kind::AppSecret => {
                made.verifier = Secret::new(hex(&Sha1::digest(text.as_bytes())));
                made.sealed = Some(sealer.ok_or(CredentialError::NoMasterKey)?.seal(text, random));
            }
            Kind::Digest => {
                let (user, realm) = wanted.user.zip(wanted.realm).ok_or(CredentialError::NoRealm)?;
                let input = format!("{user}:{realm}:{text}");
                made.ha1_md5 = Some(Secret::new(hex(&md5::Md5::digest(input.as_bytes()))));
                made.ha1_sha256 = Some(Secret::new(hex(&Sha256::digest(input.as_bytes()))));
            }
        }
        Ok((made, secret))
    }
}

/// What is kept of a token.
pub fn token_digest(token: &str) -> Secret {
    Secret::new(hex(&Sha256::digest(token.as_bytes())))
}

/// An argon2id hash in PHC form.
pub fn hash_password(password: &str, config: &Config, random: &Random) -> Secret {
    let mut salt = [0; SALT_LENGTH];
    random.fill(&mut salt);
    let params = Params::new(config.argon2_memory_kib.max(8), config.argon2_passes.max(1), 1, None).expect("bounded parameters");
    let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_with_salt(password.as_bytes(), &salt)
        .expect("a salt of sixteen bytes and a bounded password");
    Secret::new(hash.to_string())
}

/// Whether `password` is what `verifier` (PHC form) was made from. Slow by design.
pub fn verify_password(verifier: &Secret, password: &str) -> bool {
    PasswordHash::new(verifier.expose()).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("strings take all");
        text
    })
}

/// Seals secrets that must be read again, with a master key that is kept outside the database.
#[derive(Clone)]
pub struct Sealer(std::sync::Arc<LessSafeKey>);

/// The key file does not hold a key, or sealed text was sealed by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not 32 bytes, raw or as 64 hex digits.
    #[error("the master key file must hold 32 random bytes, raw or as 64 hex digits: head -c 32 /dev/urandom > FILE")]
    Key,
    /// It cannot be opened.
    #[error("a secret was sealed by another master key: put the old key back, or make the credential anew")]
    Open,
}

impl Sealer {
    /// From the bytes of a key file: 32 raw bytes, or 64 hex digits with or without a line end.
    pub fn from_key_file(bytes: &[u8]) -> Result<Self, SealError> {
        let key = match bytes.len() {
            32 => bytes.to_vec(),
            _ => std::str::from_utf8(bytes).ok().and_then(|text| unhex(text.trim())).ok_or(SealError::Key)?,
        };
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| SealError::Key)?;
        Ok(Self(std::sync::Arc::new(LessSafeKey::new(key))))
    }

    /// Sealed text: base64 of nonce, ciphertext and tag.
    pub fn seal(&self, text: &str, random: &Random) -> String {
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce);
        let mut sealed = text.as_bytes().to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed)
            .expect("a secret is far below the limit of the cipher");
        STANDARD.encode([nonce.as_slice(), &sealed].concat())
    }

    /// The text that was sealed.
    pub fn open(&self, sealed: &str) -> Result<Secret, SealError> {
        let bytes = STANDARD.decode(sealed).map_err(|_| SealError::Open)?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN).ok_or(SealError::Open)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Open)?;
        let mut sealed = sealed.to_vec();
        let text = self.0.open_in_place(nonce, Aad::empty(), &mut sealed).map_err(|_| SealError::Open)?;
        String::from_utf8(text.to_vec()).map(Secret::new).map_err(|_| SealError::Open)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}

/// From hexadecimal of any case.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let nibble = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|&[high, low]| Some(nibble(high)? << 4 | nibble(low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_own_key_only() {
        let random = Random::seeded(1);
        let sealer = Sealer::from_key_file(&[7; 32]).unwrap();
        let sealed = sealer.seal("secretPhrase", &random);
        assert_ne!(sealed, sealer.seal("secretPhrase", &random), "each sealing has its own nonce");
        assert_eq!(sealer.open(&sealed).unwrap().expose(), "secretPhrase");
        assert_eq!(Sealer::from_key_file(&[8; 32]).unwrap().open(&sealed), Err(SealError::Open));
        assert_eq!(sealer.open("AAAA"), Err(SealError::Open));
        assert!(Sealer::from_key_file(hex(&[7; 32]).as_bytes()).unwrap().open(&sealed).is_ok());
        assert_eq!(Sealer::from_key_file(b"short").err(), Some(SealError::Key));
    }

    #[test]
    fn a_password_verifies_and_another_does_not() {
        let cheap = Config { argon2_memory_kib: 8, argon2_passes: 1 };
        let verifier = hash_password("pässwörd", &cheap, &Random::seeded(1));
        assert!(verifier.expose().starts_with("$argon2id$v=19$m=8,t=1,p=1$"));
        assert!(verify_password(&verifier, "pässwörd"));
        assert!(!verify_password(&verifier, "passwort"));
        assert!(!verify_password(&Secret::new("nonsense"), "nonsense"));
    }

    #[test]
    fn digest_keeps_ha1_of_both_algorithms() {
        let clock = crate::types::Clock::manual(Timestamp::from_micros(0));
        let random = Random::seeded(1);
        let wanted = Wanted {
            kind: Kind::Digest,
            secret: Some(Secret::new("Circle of Life")),
            device: None,
            user: Some("Mufasa".into()),
            realm: Some("http-auth@example.org".into()),
        };
        let (made, _) = Credential::make(
            CredentialId::new(&clock, &random),
            SubscriberId::new(&clock, &random),
            wanted,
            &Config::default(),
            None,
            &random,
            clock.timestamp(),
        )
        .unwrap();
        assert_eq!(made.ha1_md5.unwrap().expose(), "3d78807defe7de2157e2b0b6573a855f");
    }
}

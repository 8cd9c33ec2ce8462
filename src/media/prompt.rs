//! What we say: sentences, numbers and amounts in six languages, as frames of 20 ms in A-law and G.722.
//!
//! The sounds are made once by `src/media/prompts/make`. A file `LANGUAGE/KEY.wav` (8000 samples a second, 16 bit, one channel) in the operator's
//! folder takes the place of one, for callers who speak G.711.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::Codec;
use super::g711;
use crate::types::{Country, Micros, Money};

/// Bytes of 20 ms, in each of our codecs.
pub const FRAME: usize = 160;
/// The largest file of the operator's: a minute and a half.
const LARGEST: u64 = 1_500_000;

/// A language we speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Language {
    /// Czech.
    Cs,
    /// German.
    De,
    /// English.
    #[default]
    En,
    /// Spanish.
    Es,
    /// French.
    Fr,
    /// Portuguese.
    Pt,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Cs, Self::De, Self::En, Self::Es, Self::Fr, Self::Pt];

    /// Two letters, as in a locale.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cs => "cs",
            Self::De => "de",
            Self::En => "en",
            Self::Es => "es",
            Self::Fr => "fr",
            Self::Pt => "pt",
        }
    }

    /// Of a locale such as `de-AT`.
    pub fn of_locale(locale: &str) -> Option<Self> {
        let own = locale.get(..2)?.to_ascii_lowercase();
        Self::ALL.into_iter().find(|language| language.as_str() == own)
    }

    /// What people of a country mostly speak, as far as we speak it.
    pub fn of_country(country: Country) -> Self {
        match country.as_str() {
            "CZ" | "SK" => Self::Cs,
            "DE" | "AT" | "CH" | "LI" => Self::De,
            "FR" | "BE" | "LU" | "MC" | "SN" | "CI" | "CM" => Self::Fr,
            "PT" | "BR" | "AO" | "MZ" | "CV" => Self::Pt,
            "ES" | "MX" | "AR" | "CO" | "CL" | "PE" | "VE" | "EC" | "GT" | "CU" | "BO" | "DO" | "HN" | "PY" | "SV" | "NI" | "CR" | "PA"
            | "UY" => Self::Es,
            _ => Self::En,
        }
    }
}

struct Recorded {
    language: Language,
    index: &'static str,
    alaw: &'static [u8],
    g722: &'static [u8],
}

macro_rules! recorded {
    ($language:expr, $name:literal) => {
        Recorded {
            language: $language,
            index: include_str!(concat!("prompts/", $name, ".tsv")),
            alaw: include_bytes!(concat!("prompts/", $name, ".al")),
            g722: include_bytes!(concat!("prompts/", $name, ".g722")),
        }
    };
}

const RECORDED: [Recorded; 6] = [
    recorded!(Language::Cs, "cs"),
    recorded!(Language::De, "de"),
    recorded!(Language::En, "en"),
    recorded!(Language::Es, "es"),
    recorded!(Language::Fr, "fr"),
    recorded!(Language::Pt, "pt"),
];

/// One sound in each way of writing it.
#[derive(Debug, Clone)]
struct Sound {
    alaw: Arc<[u8]>,
    ulaw: Arc<[u8]>,
    g722: Arc<[u8]>,
}

/// Everything we can say. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Library(Arc<HashMap<(Language, Box<str>), Sound>>);

/// Why a file of the operator's cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// It cannot be read.
    #[error("media.prompts: {path}: {source}. Make it readable, or take it away")]
    Unreadable {
        /// Which file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is of another kind.
    #[error(
        "media.prompts: {path}: not a WAV file of 8000 samples a second, 16 bit, one channel, below 1.5 MB. Convert it: sox IN -r 8000 -c 1 -b 16 OUT.wav"
    )]
    Format {
        /// Which file.
        path: String,
    },
}

impl Library {
    /// The sounds that come with the program, and the operator's own in their place.
    pub fn open(folder: Option<&Path>) -> Result<Self, PromptError> {
        let mut sounds = HashMap::new();
        for recorded in RECORDED {
            let mut at = 0;
            for line in recorded.index.lines() {
                let Some((key, frames)) = line.split_once('\t') else { continue };
                let length = frames.parse::<usize>().unwrap_or(0) * FRAME;
                let cut = |all: &[u8]| -> Arc<[u8]> { all.get(at..at + length).unwrap_or_default().into() };
                let (alaw, g722) = (cut(recorded.alaw), cut(recorded.g722));
                at += length;
                sounds.insert((recorded.language, key.into()), Sound { ulaw: to_ulaw(&alaw), alaw, g722 });
            }
        }
        if let Some(folder) = folder {
            for ((language, key), sound) in &mut sounds {
                if let Some(alaw) = own(&folder.join(language.as_str()).join(format!("{key}.wav")))? {
                    // Callers who speak G.722 alone hear the one that came with us.
                    *sound = Sound { ulaw: to_ulaw(&alaw), alaw, g722: sound.g722.clone() };
                }
            }
        }
        Ok(Self(Arc::new(sounds)))
    }

    /// What is said when these keys are said one after the other. A key that is not there is left out.
    pub fn speak(&self, language: Language, codec: Codec, keys: &[Box<str>]) -> Vec<Arc<[u8]>> {
        keys.iter()
            .filter_map(|key| self.0.get(&(language, key.clone())))
            .map(|sound| match codec {
                Codec::Pcma => sound.alaw.clone(),
                Codec::Pcmu => sound.ulaw.clone(),
                Codec::G722 => sound.g722.clone(),
            })
            .collect()
    }
}

fn to_ulaw(alaw: &[u8]) -> Arc<[u8]> {
    alaw.iter().map(|&byte| g711::to_ulaw(g711::from_alaw(byte))).collect()
}

/// A file of the operator's as A-law, filled up to whole frames; nothing if there is none.
fn own(path: &Path) -> Result<Option<Arc<[u8]>>, PromptError> {
    let told = || path.display().to_string();
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(PromptError::Unreadable { path: told(), source }),
        Ok(found) if found.len() > LARGEST => return Err(PromptError::Format { path: told() }),
        Ok(_) => {}
    }
    let bytes = std::fs::read(path).map_err(|source| PromptError::Unreadable { path: told(), source })?;
    let samples = wav(&bytes).ok_or_else(|| PromptError::Format { path: told() })?;
    let mut alaw: Vec<u8> = samples.chunks_exact(2).map(|pair| g711::to_alaw(i16::from_le_bytes([pair[0], pair[1]]))).collect();
    alaw.resize(alaw.len().next_multiple_of(FRAME), g711::to_alaw(0));
    Ok(Some(alaw.into()))
}

/// The samples of a WAV file of the one kind that we take.
fn wav(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.strip_prefix(b"RIFF")?.get(4..)?.strip_prefix(b"WAVE")?;
    let mut fits = false;
    while let Some((name, after)) = rest.split_at_checked(4) {
        let (length, body) = after.split_at_checked(4)?;
        let length = usize::try_from(u32::from_le_bytes(length.try_into().ok()?)).ok()?;
        let chunk = body.get(..length.min(body.len()))?;
        match name {
            // PCM, one channel, 8000 a second, 16 bit.
            b"fmt " => fits = chunk.get(..8)? == [1, 0, 1, 0, 0x40, 0x1f, 0, 0] && chunk.get(14..16)? == [16, 0],
            b"data" => return fits.then_some(chunk),
            _ => {}
        }
        rest = body.get(length.next_multiple_of(2)..)?;
    }
    None
}

/// A number as the keys of its words.
pub fn number(language: Language, number: u64) -> Vec<Box<str>> {
    let mut words = Vec::new();
    let number = number.min(999_999);
    if number >= 1_000 {
        if number >= 2_000 {
            hundreds(language, number / 1_000, &mut words);
        }
        words.push("1000".into());
    }
    if !number.is_multiple_of(1_000) || number == 0 {
        hundreds(language, number % 1_000, &mut words);
    }
    words
}

fn hundreds(language: Language, number: u64, words: &mut Vec<Box<str>>) {
    let rest = number % 100;
    match number - rest {
        0 => {}
        100 if rest > 0 => words.push("100+".into()),
        hundreds => words.push(hundreds.to_string().into()),
    }
    if rest > 0 || number == 0 {
        tens(language, rest, words);
    }
}

/// Below a hundred: who says the unit first, who joins, and who counts by twenties.
fn tens(language: Language, number: u64, words: &mut Vec<Box<str>>) {
    let mut say = |word: u64| words.push(word.to_string().into());
    if number < 20 || number.is_multiple_of(10) {
        return say(number);
    }
    let (ten, unit) = (number / 10 * 10, number % 10);
    match language {
        Language::Cs | Language::En => {
            say(ten);
            say(unit);
        }
        Language::De => {
            say(unit);
            words.extend(["and".into(), ten.to_string().into()]);
        }
        Language::Es | Language::Pt => {
            say(ten);
            words.extend(["and".into(), unit.to_string().into()]);
        }
        Language::Fr => {
            let (base, more) = if ten == 70 || ten == 90 { (ten - 10, unit + 10) } else { (ten, unit) };
            words.push(base.to_string().into());
            if base < 80 && more % 10 == 1 {
                words.push("and".into());
            }
            words.push(more.to_string().into());
        }
    }
}

/// An amount as the keys of its words: whole units, and hundredths if there are any. What is smaller is not said.
pub fn amount(language: Language, money: Money) -> Vec<Box<str>> {
    let hundredths = u64::try_from(money.amount.max(Micros::ZERO).get() / 10_000).unwrap_or(0);
    let mut words = number(language, hundredths / 100);
    words.push(money.currency.as_str().into());
    if !hundredths.is_multiple_of(100) {
        words.extend(number(language, hundredths % 100));
        words.push(format!("{}_cents", money.currency.as_str()).into());
    }
    words
}

/// A time to talk as the keys of its words: minutes from two on, else seconds.
pub fn time(language: Language, secs: u64) -> Vec<Box<str>> {
    if secs < 120 {
        let mut words = number(language, secs);
        words.push("seconds".into());
        return words;
    }
    let mut words = number(language, secs / 60);
    words.push("minutes".into());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(language: Language, value: u64) -> String {
        number(language, value).join(" ")
    }

    #[test]
    fn everything_is_recorded_in_every_language_and_both_codecs() {
        let library = Library::open(None).unwrap();
        for language in Language::ALL {
            let mut keys: Vec<Box<str>> =
                [0, 17, 21, 71, 99, 100, 101, 271, 580, 999, 1_000, 21_345].iter().flat_map(|&value| number(language, value)).collect();
            keys.extend(
                ["code", "wrong", "no_reservation", "no_credit", "not_allowed", "later", "low_balance", "time_left", "minutes"]
                    .map(Into::into),
            );
            for currency in ["EUR", "USD", "GBP", "CZK"] {
                keys.extend(amount(language, Money { amount: "3.45".parse().unwrap(), currency: currency.parse().unwrap() }));
            }
            for codec in Codec::ALL {
                let sounds = library.speak(language, codec, &keys);
                let missing: Vec<_> = keys.iter().filter(|key| library.speak(language, codec, &[(*key).clone()]).is_empty()).collect();
                assert_eq!(missing, Vec::<&Box<str>>::new(), "{language:?}");
                assert!(sounds.iter().all(|sound| !sound.is_empty() && sound.len() % FRAME == 0), "{language:?}");
            }
        }
    }

    #[test]
    fn numbers_are_said_as_people_say_them() {
        assert_eq!((said(Language::En, 0), said(Language::En, 21), said(Language::De, 21)), ("0".into(), "20 1".into(), "1 and 20".into()));
        assert_eq!(
            (said(Language::Fr, 21), said(Language::Fr, 71), said(Language::Fr, 95)),
            ("20 and 1".into(), "60 and 11".into(), "80 15".into())
        );
        assert_eq!(
            (said(Language::Fr, 81), said(Language::Es, 35), said(Language::Pt, 135)),
            ("80 1".into(), "30 and 5".into(), "100+ 30 and 5".into())
        );
        assert_eq!((said(Language::Cs, 2_045), said(Language::Es, 1_100)), ("2 1000 40 5".into(), "1000 100".into()));
    }

    #[test]
    fn amounts_and_times_too() {
        let euro = |text: &str| Money { amount: text.parse().unwrap(), currency: "EUR".parse().unwrap() };
        assert_eq!(amount(Language::En, euro("3.456")).join(" "), "3 EUR 40 5 EUR_cents");
        assert_eq!(amount(Language::En, euro("12")).join(" "), "12 EUR");
        assert_eq!(amount(Language::En, euro("-1")).join(" "), "0 EUR");
        assert_eq!((time(Language::En, 90).join(" "), time(Language::En, 130).join(" ")), ("90 seconds".into(), "2 minutes".into()));
    }

    #[test]
    fn the_operators_own_file_is_said_instead_and_a_wrong_one_is_named() {
        let folder = std::env::temp_dir().join(format!("callthrough-prompts-{}", crate::types::Random::system().alphanumeric(12)));
        std::fs::create_dir_all(folder.join("en")).unwrap();
        let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\xf4\x01\0\0".to_vec();
        wav.extend([0; 500]);
        std::fs::write(folder.join("en/code.wav"), &wav).unwrap();
        let library = Library::open(Some(&folder)).unwrap();
        assert_eq!(library.speak(Language::En, Codec::Pcma, &["code".into()])[0].len(), 2 * FRAME, "250 samples are two frames");
        wav[22] = 2;
        std::fs::write(folder.join("en/code.wav"), &wav).unwrap();
        assert!(Library::open(Some(&folder)).unwrap_err().to_string().contains("code.wav"));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn languages_of_people_and_places() {
        assert_eq!((Language::of_locale("de-AT"), Language::of_locale("ja"), Language::of_locale("")), (Some(Language::De), None, None));
        assert_eq!(Language::of_country("BR".parse().unwrap()), Language::Pt);
        assert_eq!(Language::of_country("JP".parse().unwrap()), Language::En);
    }
}

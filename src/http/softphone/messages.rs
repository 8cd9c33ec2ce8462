//! What people read on their phones, a file a language.

use std::collections::HashMap;
use std::sync::LazyLock;

/// A language there is a catalogue of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// English.
    #[default]
    En,
    /// German.
    De,
    /// Spanish.
    Es,
    /// French.
    Fr,
    /// Portuguese.
    Pt,
    /// Czech.
    Cs,
}

type Catalogue = HashMap<String, String>;

static CATALOGUES: LazyLock<[Catalogue; 6]> = LazyLock::new(|| {
    [
        include_str!("messages/en.toml"),
        include_str!("messages/de.toml"),
        include_str!("messages/es.toml"),
        include_str!("messages/fr.toml"),
        include_str!("messages/pt.toml"),
        include_str!("messages/cs.toml"),
    ]
    .map(|text| toml::from_str(text).expect("the catalogues are tested"))
});

impl Language {
    const ALL: [(Self, &'static str); 6] =
        [(Self::En, "en"), (Self::De, "de"), (Self::Es, "es"), (Self::Fr, "fr"), (Self::Pt, "pt"), (Self::Cs, "cs")];

    /// The language of a locale such as `pt-BR`, `de_AT` or `cs`, if there is a catalogue of it.
    pub fn of(locale: &str) -> Option<Self> {
        let language = locale.split(['-', '_', '.']).next()?.trim();
        Self::ALL.into_iter().find(|(_, code)| code.eq_ignore_ascii_case(language)).map(|(language, _)| language)
    }

    /// The message of `key` in this language. `amount` and `seconds` stand where the message has a place for them.
    pub fn message(self, key: &str, amount: &str, seconds: u64) -> String {
        let place = Self::ALL.iter().position(|(language, _)| *language == self).unwrap_or(0);
        let text = CATALOGUES[place].get(key).or_else(|| CATALOGUES[place].get("internal"));
        text.map_or("", String::as_str).replace("{amount}", amount).replace("{seconds}", &seconds.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Refusal;

    #[test]
    fn every_catalogue_is_complete_and_says_something() {
        let [english, ..] = &*CATALOGUES;
        for (catalogue, (_, code)) in CATALOGUES.iter().zip(Language::ALL) {
            for key in english.keys() {
                let text = catalogue.get(key).unwrap_or_else(|| panic!("{code} lacks {key}"));
                assert!(text.trim().len() > 10, "{code} {key}");
                for place in ["{amount}", "{seconds}"] {
                    assert_eq!(text.contains(place), english[key].contains(place), "{code} {key} {place}");
                }
            }
            assert_eq!(catalogue.len(), english.len(), "{code} has a key too many");
            for refusal in Refusal::ALL {
                assert!(catalogue.contains_key(refusal.code()), "{code} lacks {refusal}");
            }
        }
    }

    #[test]
    fn languages_are_told_apart() {
        assert_eq!(Language::of("pt-BR"), Some(Language::Pt));
        assert_eq!(Language::of("DE_at"), Some(Language::De));
        assert_eq!(Language::of("tlh"), None);
        let told = Language::En.message("not_enough_credit_amount", "0.50 EUR", 0);
        assert_eq!(told, "Not enough credit for this call. Top up at least 0.50 EUR.");
        assert_eq!(Language::Cs.message("too_fast", "", 7), "Příliš mnoho pokusů. Počkejte 7 s a zkuste to znovu.");
    }
}

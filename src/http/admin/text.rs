//! What the pages say. The English sentence is its own key; a catalogue in `texts/` turns it into another language. A test sees
//! to it that `texts/en.toml` and `texts/en.calls.toml` (calls, prices, network) together list every sentence, so that a translator
//! knows where to start.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;

/// A language with a catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Language {
    /// As it stands in the source.
    #[default]
    English,
}

impl Language {
    /// The tag of the `lang` attribute (RFC 5646).
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
        }
    }

    fn of(accept: &str) -> Self {
        let first = |tag: &str| accept.split(',').next().is_some_and(|wanted| wanted.trim().starts_with(tag));
        if first("en") { Self::English } else { Self::default() }
    }
}

tokio::task_local! {
    static LANGUAGE: Language;
}

/// Sentences of each language by their English ones.
static CATALOGUES: LazyLock<HashMap<Language, HashMap<String, String>>> = LazyLock::new(|| {
    let read = |text: &str| toml::from_str::<HashMap<String, String>>(text).expect("a catalogue is a table of sentences");
    let english = [include_str!("texts/en.toml"), include_str!("texts/en.calls.toml")];
    HashMap::from([(Language::English, english.into_iter().flat_map(read).collect())])
});

/// The sentence in the reader's language.
pub fn t(english: &'static str) -> &'static str {
    let translated = CATALOGUES.get(&language()).and_then(|catalogue| catalogue.get(english));
    translated.map(String::as_str).filter(|sentence| !sentence.is_empty()).unwrap_or(english)
}

/// The reader's language.
pub fn language() -> Language {
    LANGUAGE.try_with(|language| *language).unwrap_or_default()
}

/// Lets everything below speak the reader's language.
pub async fn speak(request: Request, next: Next) -> Response {
    let accept = request.headers().get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    LANGUAGE.scope(Language::of(accept), next.run(request)).await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The sentences the pages say: what stands between `t("` and `")`.
    fn said() -> BTreeSet<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/admin");
        let mut sentences = BTreeSet::new();
        for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if file.extension().is_none_or(|extension| extension != "rs") || file.ends_with("text.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&file).unwrap();
            for (at, _) in text.match_indices("t(\"") {
                let before = text[..at].chars().next_back();
                if before.is_some_and(|before| before.is_alphanumeric() || before == '_' || before == '.') {
                    continue;
                }
                let sentence = &text[at + 3..];
                sentences.insert(sentence[..sentence.find('"').unwrap()].to_owned());
            }
        }
        sentences
    }

    #[test]
    fn the_catalogue_lists_every_sentence() {
        let said = said();
        let listed: BTreeSet<String> = CATALOGUES[&Language::English].keys().cloned().collect();
        let missing: Vec<_> = said.difference(&listed).map(|sentence| format!("{sentence:?} = \"\"")).collect();
        let unused: Vec<_> = listed.difference(&said).collect();
        assert!(missing.is_empty() && unused.is_empty(), "add to texts/en.toml:\n{}\nremove: {unused:#?}", missing.join("\n"));
    }
}

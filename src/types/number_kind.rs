//! What kind of number a number is: fixed, mobile, premium and so on, by its country's plan.

use std::sync::LazyLock;

use regex::{RegexSet, RegexSetBuilder};

use super::Country;

/// What a number is for, and so what calling it may cost (spec: security, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberKind {
    /// A line in a building.
    Fixed,
    /// A mobile phone.
    Mobile,
    /// Either: the country does not tell them apart.
    FixedOrMobile,
    /// The called party pays.
    TollFree,
    /// The called party earns.
    Premium,
    /// Caller and called party share the cost.
    SharedCost,
    /// A number that follows a person to wherever they are.
    Personal,
    /// Reached over the internet.
    Voip,
    /// A pager.
    Pager,
    /// One number for all branches of a company.
    Uan,
    /// A mailbox.
    Voicemail,
    /// Satellite phones, ships, aircraft and other networks of no country (codes 870, 878, 881, 882, 883, 888).
    Satellite,
    /// Of no kind its country's plan knows: not assigned, or made up.
    Unknown,
}

impl NumberKind {
    /// Every kind, for tables and pages.
    pub const ALL: [Self; 13] = [
        Self::Fixed,
        Self::Mobile,
        Self::FixedOrMobile,
        Self::TollFree,
        Self::Premium,
        Self::SharedCost,
        Self::Personal,
        Self::Voip,
        Self::Pager,
        Self::Uan,
        Self::Voicemail,
        Self::Satellite,
        Self::Unknown,
    ];

    /// Its word in settings, answers and logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Mobile => "mobile",
            Self::FixedOrMobile => "fixed_or_mobile",
            Self::TollFree => "toll_free",
            Self::Premium => "premium",
            Self::SharedCost => "shared_cost",
            Self::Personal => "personal",
            Self::Voip => "voip",
            Self::Pager => "pager",
            Self::Uan => "uan",
            Self::Voicemail => "voicemail",
            Self::Satellite => "satellite",
            Self::Unknown => "unknown",
        }
    }

    fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// Codes of no country with what their numbers are (ITU-T E.164, assigned country codes).
const GLOBAL: [(&str, NumberKind); 9] = [
    ("800", NumberKind::TollFree),
    ("808", NumberKind::SharedCost),
    ("870", NumberKind::Satellite),
    ("878", NumberKind::Satellite),
    ("881", NumberKind::Satellite),
    ("882", NumberKind::Satellite),
    ("883", NumberKind::Satellite),
    ("888", NumberKind::Satellite),
    ("979", NumberKind::Premium),
];

/// Memory that the expressions of one country may take, compiled and while they are matched.
const MOST_BYTES: usize = 1 << 20;

/// The kinds of one country's numbers.
struct Kinds {
    country: Country,
    calling_code: &'static str,
    /// The number is this country's if it begins so; the first of the set. Without it, if it is of any kind.
    leads: bool,
    order: Vec<NumberKind>,
    set: LazyLock<RegexSet, Box<dyn FnOnce() -> RegexSet + Send>>,
}

static KINDS: LazyLock<Vec<Kinds>> = LazyLock::new(|| include_str!("number_kinds.tsv").lines().filter_map(read).collect());

fn read(line: &'static str) -> Option<Kinds> {
    let mut fields = line.split('\t');
    let country = fields.next().filter(|field| !field.starts_with('#'))?.parse().ok()?;
    let calling_code = fields.next()?;
    let leading = fields.next()?;
    let all = fields.next()?;
    let (kinds, patterns): (Vec<_>, Vec<_>) =
        fields.filter_map(|field| field.split_once('=')).filter_map(|(kind, pattern)| Some((NumberKind::parse(kind)?, pattern))).unzip();
    let leads = leading != "-";
    let set = LazyLock::new(Box::new(move || {
        let whole = std::iter::once(all).chain(patterns).map(|pattern| format!("^(?:{pattern})$"));
        let begins = format!("^(?:{})", if leads { leading } else { "x" });
        RegexSetBuilder::new(std::iter::once(begins).chain(whole))
            .unicode(false)
            .size_limit(MOST_BYTES)
            .dfa_size_limit(MOST_BYTES)
            .build()
            .expect("every pattern of the table compiles, a test says so")
    }) as Box<dyn FnOnce() -> RegexSet + Send>);
    Some(Kinds { country, calling_code, leads, order: kinds, set })
}

impl Kinds {
    /// Whether the national number is this country's, and of which kind.
    fn of(&self, national: &str) -> Option<NumberKind> {
        let found = self.set.matches(national);
        let matching = || self.order.iter().enumerate().filter(|(index, _)| found.matched(index + 2)).map(|(_, kind)| *kind);
        let kind = match matching().next().filter(|_| found.matched(1)) {
            Some(NumberKind::Fixed) if matching().any(|kind| kind == NumberKind::Mobile) => NumberKind::FixedOrMobile,
            Some(kind) => kind,
            None => NumberKind::Unknown,
        };
        (if self.leads { found.matched(0) } else { kind != NumberKind::Unknown }).then_some(kind)
    }
}

/// The kind of an international number (digits without plus), and the country it is in if one can be told.
pub(super) fn of(digits: &str) -> (NumberKind, Option<Country>) {
    if let Some((_, kind)) = GLOBAL.iter().find(|(code, _)| digits.starts_with(code)) {
        return (*kind, None);
    }
    let mut sharing = KINDS.iter().filter(|kinds| digits.starts_with(kinds.calling_code));
    let found = sharing.find_map(|kinds| Some((kinds.of(&digits[kinds.calling_code.len()..])?, Some(kinds.country))));
    found.unwrap_or((NumberKind::Unknown, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Facts of libphonenumber: its example numbers of every country and kind, and thousands of numbers near them.
    const FACTS: &str = include_str!("../../tests/fixtures/numbering/kinds.tsv");

    #[test]
    fn every_number_is_of_the_kind_that_libphonenumber_says() {
        let mut wrong = Vec::new();
        let mut checked = 0;
        for line in FACTS.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<_> = line.split('\t').collect();
            let (kind, country) = of(fields[0]);
            checked += 1;
            if kind.code() != fields[1] || (kind != NumberKind::Unknown && country.map_or("-".to_owned(), |c| c.to_string()) != fields[2]) {
                wrong.push(format!("{line}: {} {country:?}", kind.code()));
            }
        }
        assert!(wrong.is_empty() && checked > 7000, "{} of {checked} are wrong, such as {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);
    }

    #[test]
    fn every_line_and_kind_of_the_table_is_read() {
        let lines: Vec<_> = include_str!("number_kinds.tsv").lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(KINDS.len(), lines.len());
        for (kinds, line) in KINDS.iter().zip(lines) {
            assert_eq!(kinds.order.len(), line.split('\t').count() - 4, "{line}");
        }
    }

    #[test]
    fn networks_of_no_country_are_known_by_their_codes() {
        for (digits, kind) in [
            ("881612345678", NumberKind::Satellite),
            ("870773111632", NumberKind::Satellite),
            ("97912345678", NumberKind::Premium),
            ("80012345678", NumberKind::TollFree),
            ("999123456789", NumberKind::Unknown),
            ("15551231234", NumberKind::Unknown),
        ] {
            assert_eq!(of(digits), (kind, None), "{digits}");
        }
    }
}

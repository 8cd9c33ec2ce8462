//! Lists of numbers and prefixes that must not be called. No list is shipped: operators load their own.

use std::collections::HashMap;
use std::sync::Arc;

use crate::types::{HotlistId, TenantId, Timestamp};

/// Most numbers and prefixes of one list.
pub const MOST_ENTRIES: usize = 200_000;
/// Longest text of one list that is taken.
pub const MOST_BYTES: usize = 8 << 20;
/// Bad lines that are named before the rest is left out.
const MOST_NAMED: usize = 20;
/// Digits of the longest number.
pub const LONGEST: usize = 15;

/// A list without its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hotlist {
    /// Its id.
    pub id: HotlistId,
    /// Whose; none for the operator's own, which counts for every tenant.
    pub tenant: Option<TenantId>,
    /// What people call it.
    pub name: String,
    /// Where it is from.
    pub source: String,
    /// How many numbers and prefixes it has.
    pub entries: i64,
    /// When it was loaded.
    pub updated_at: Timestamp,
}

/// The digits of every entry of a text: one a line, the first column of a CSV. Punctuation of numbers, a plus and a heading are
/// fine; comments begin with `#`. What is no number is named by its line.
pub fn read(text: &str) -> Result<Vec<u64>, String> {
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let entry = line.split([',', ';', '\t']).next().unwrap_or_default().trim().trim_matches('"').trim();
        if entry.is_empty()
            || entry.starts_with('#')
            || (index == 0 && entry.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_'))
        {
            continue;
        }
        match digits(entry) {
            Some(digits) => found.push(digits),
            None => wrong.push(index + 1),
        }
        if found.len() > MOST_ENTRIES {
            return Err(format!("A list has at most {MOST_ENTRIES} entries. Split it."));
        }
    }
    if !wrong.is_empty() {
        let named: Vec<_> = wrong.iter().take(MOST_NAMED).map(ToString::to_string).collect();
        let more = if wrong.len() > MOST_NAMED { format!(" and {} more", wrong.len() - MOST_NAMED) } else { String::new() };
        return Err(format!(
            "No number or prefix in line {}{more}. Write digits with country code, such as +88213 or 15551231234; nothing was changed.",
            named.join(", ")
        ));
    }
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        return Err("The list is empty. Write a number or prefix a line, or delete the list.".to_owned());
    }
    Ok(found)
}

fn digits(entry: &str) -> Option<u64> {
    let entry = entry.strip_prefix('+').or_else(|| entry.strip_prefix("00")).unwrap_or(entry);
    let mut digits = String::new();
    for character in entry.chars() {
        match character {
            '0'..='9' => digits.push(character),
            ' ' | '-' | '.' | '(' | ')' | '/' => {}
            _ => return None,
        }
    }
    (digits.len() <= LONGEST && !digits.starts_with('0')).then(|| digits.parse().ok()).flatten()
}

/// The entries that begin with `begins` and come after `after` in the order of a telephone book, as digits.
pub fn page(entries: &[u64], begins: &str, after: &str, most: usize) -> Vec<String> {
    let mut digits: Vec<String> = entries.iter().map(u64::to_string).filter(|digits| digits.starts_with(begins)).collect();
    digits.sort_unstable();
    let from = digits.partition_point(|digits| digits.as_str() <= after);
    digits.into_iter().skip(from).take(most).collect()
}

/// Entries of several lists, each with the name of its list.
#[derive(Debug, Clone, Default)]
pub struct Listed(HashMap<u64, Arc<str>>);

impl Listed {
    /// Adds the entries of a list.
    pub fn add(&mut self, name: &str, entries: impl IntoIterator<Item = u64>) {
        let name: Arc<str> = name.into();
        self.0.extend(entries.into_iter().map(|entry| (entry, Arc::clone(&name))));
    }

    /// The list with the longest entry that `digits` begin with.
    pub fn find(&self, digits: &str) -> Option<&str> {
        if self.0.is_empty() {
            return None;
        }
        let beginnings = (1..=digits.len().min(LONGEST)).rev();
        beginnings.filter_map(|length| self.0.get(&digits.get(..length)?.parse().ok()?)).map(AsRef::as_ref).next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_people_write_it() {
        let text = "prefix,why\n+882 13,satellite\n# a comment\n\n\"0044 7700-900123\"\n15551231234;x\n15551231234\n";
        assert_eq!(read(text), Ok(vec![88_213, 15_551_231_234, 447_700_900_123]));
    }

    #[test]
    fn bad_lines_are_named_by_number() {
        let error = read("prefix\n420\nabc1\n421\n0\n1234567890123456\n").unwrap_err();
        assert!(error.contains("line 3, 5, 6."), "{error}");
        assert!(read("").is_err());
        let long: String = (0..=MOST_ENTRIES).map(|index| format!("{}\n", 10_000_000 + index)).collect();
        assert!(read(&long).unwrap_err().contains("200000"));
    }

    #[test]
    fn entries_are_leafed_through_as_in_a_telephone_book() {
        let all = || vec![44, 88, 881, 9, 88_213];
        assert_eq!(page(&all(), "", "", 3), ["44", "88", "881"]);
        assert_eq!(page(&all(), "", "881", 9), ["88213", "9"]);
        assert_eq!(page(&all(), "88", "88", 9), ["881", "88213"]);
    }

    #[test]
    fn the_longest_prefix_names_the_list() {
        let mut listed = Listed::default();
        listed.add("wide", [88]);
        listed.add("narrow", [88_213]);
        assert_eq!(listed.find("88213123456"), Some("narrow"));
        assert_eq!(listed.find("88161234567"), Some("wide"));
        assert_eq!(listed.find("15551231234"), None);
    }
}

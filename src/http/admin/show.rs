//! How values are shown: money, times, durations, numbers, states.

use maud::{Markup, html};
use serde_json::Value;

use super::text::t;

/// Money as the API writes it: `{"amount","currency"}`. All its decimals, at least two.
pub fn money(value: &Value) -> Markup {
    let (Some(amount), Some(currency)) = (value["amount"].as_str(), value["currency"].as_str()) else { return dash() };
    html! { span.money.negative[amount.starts_with('-')] { (decimals(amount)) " " abbr { (currency) } } }
}

/// A balance: rounded down to two decimals (spec: money, section 2), all of it in the title.
pub fn balance(value: &Value) -> Markup {
    let (Some(amount), Some(currency)) = (value["amount"].as_str(), value["currency"].as_str()) else { return dash() };
    html! { span.money.negative[amount.starts_with('-')] title={ (amount) " " (currency) } { (floor(amount)) " " abbr { (currency) } } }
}

/// At least two decimals.
fn decimals(amount: &str) -> String {
    match amount.split_once('.') {
        None => format!("{amount}.00"),
        Some((_, part)) if part.len() == 1 => format!("{amount}0"),
        Some(_) => amount.to_owned(),
    }
}

/// Two decimals, rounded towards less.
fn floor(amount: &str) -> String {
    let Some((whole, part)) = amount.split_once('.') else { return format!("{amount}.00") };
    let (kept, rest) = part.split_at(part.len().min(2));
    let two = format!("{whole}.{kept:0<2}");
    if !amount.starts_with('-') || rest.bytes().all(|digit| digit == b'0') {
        return two;
    }
    let cents: i128 = two.replace(['-', '.'], "").parse().unwrap_or(0) + 1;
    format!("-{}.{:02}", cents / 100, cents % 100)
}

/// A time of day (RFC 3339 with Z), to the second, in UTC.
pub fn time(value: &Value) -> Markup {
    value.as_str().map_or_else(
        dash,
        |at| html! { time datetime=(at) { span { (at.get(..10).unwrap_or(at)) } " " span { (at.get(11..19).unwrap_or_default()) } } },
    )
}

/// A day of a time.
pub fn day(value: &Value) -> Markup {
    value.as_str().map_or_else(dash, |at| html! { time datetime=(at) { (at.get(..10).unwrap_or(at)) } })
}

/// Seconds as `1:02:03` or `2:03`.
pub fn duration(secs: u64) -> String {
    let (hours, minutes, secs) = (secs / 3600, secs / 60 % 60, secs % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{secs:02}") } else { format!("{minutes}:{secs:02}") }
}

/// Text, or a dash.
pub fn text(value: &Value) -> Markup {
    match value {
        Value::String(text) if !text.is_empty() => html! { (text) },
        Value::Number(number) => html! { (number) },
        Value::Bool(yes) => html! { (if *yes { t("yes") } else { t("no") }) },
        _ => dash(),
    }
}

/// An id, short but whole when copied.
pub fn id(value: &Value) -> Markup {
    value.as_str().map_or_else(dash, |id| html! { code.id title=(id) { (id) } })
}

/// A count, in groups of three digits.
pub fn count(value: &Value) -> Markup {
    value.as_u64().map_or_else(dash, |count| html! { (grouped(count)) })
}

/// Groups of three digits with narrow blanks that never break.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let first = digits.len() % 3;
    let groups = digits.as_bytes()[first..].chunks(3).map(|group| String::from_utf8_lossy(group).into_owned());
    let groups = (first > 0).then(|| digits[..first].to_owned()).into_iter().chain(groups);
    groups.collect::<Vec<_>>().join("\u{202f}")
}

/// What somebody wrote into the books, without the ids of who did it: their names stand beside them.
pub fn note(value: &Value) -> Markup {
    let Some(note) = value.as_str().filter(|note| !note.is_empty()) else { return dash() };
    let is_id = |word: &str| word.starts_with("pers_") || word.starts_with("key_");
    let mut plain = String::with_capacity(note.len());
    for word in note.split(' ') {
        if is_id(word) {
            // What stands behind the id stays: a comma, a bracket.
            plain.push_str(word.trim_start_matches(|letter: char| letter.is_ascii_alphanumeric() || letter == '_'));
        } else {
            if !plain.is_empty() {
                plain.push(' ');
            }
            plain.push_str(word);
        }
    }
    html! { span title=[(plain != note).then_some(note)] { (plain) } }
}

/// Nothing to show.
pub fn dash() -> Markup {
    html! { span.quiet { "–" } }
}

/// A word about a state, with a colour: `good`, `bad`, `warn`, `plain`.
pub fn badge(word: &str, colour: &'static str) -> Markup {
    html! { span class={ "badge " (colour) } { (word) } }
}

/// On or off.
pub fn enabled(value: &Value) -> Markup {
    if value.as_bool() == Some(true) { badge(t("on"), "good") } else { badge(t("off"), "bad") }
}

/// Names and what they stand for.
pub fn facts(rows: impl IntoIterator<Item = (&'static str, Markup)>) -> Markup {
    html! { dl.facts { @for (name, value) in rows { div { dt { (name) } dd { (value) } } } } }
}

/// A box with a heading.
pub fn card(heading: &str, body: Markup) -> Markup {
    html! { section.card { h2 { (heading) } (body) } }
}

/// A figure with its name.
pub fn figure(name: &str, value: Markup, note: Markup) -> Markup {
    html! { div.figure { p.name { (name) } p.value { (value) } p.note { (note) } } }
}

/// A secret, shown this once, to copy.
pub fn secret(label: &str, secret: &str) -> Markup {
    html! {
        div.secret role="status" {
            p { (label) }
            code data-copy { (secret) }
            p.hint { (t("It is shown this once. Copy it now; nothing that is kept tells it again.")) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balances_are_rounded_towards_less() {
        for (amount, shown) in [
            ("1", "1.00"),
            ("1.2", "1.20"),
            ("1.239", "1.23"),
            ("-1.231", "-1.24"),
            ("-1.23", "-1.23"),
            ("-0.001", "-0.01"),
            ("0.009999", "0.00"),
        ] {
            assert_eq!(floor(amount), shown, "{amount}");
        }
        assert_eq!(decimals("0.0137"), "0.0137");
        assert_eq!(decimals("5"), "5.00");
    }

    #[test]
    fn counts_are_read_in_threes_and_notes_without_ids() {
        assert_eq!(
            [0, 12, 999, 1000, 199_999, 5_000_000].map(grouped),
            ["0", "12", "999", "1\u{202f}000", "199\u{202f}999", "5\u{202f}000\u{202f}000"]
        );
        let noted = note(&Value::from("a slip (ann pers_01x, approved by bob pers_02y)")).into_string();
        assert!(noted.ends_with(">a slip (ann, approved by bob)</span>"), "{noted}");
    }

    #[test]
    fn durations_read_as_a_clock() {
        assert_eq!((duration(61), duration(3723)), ("1:01".to_owned(), "1:02:03".to_owned()));
    }
}

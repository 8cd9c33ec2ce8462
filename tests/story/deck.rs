//! The price list: two hundred thousand rows as somebody's spreadsheet wrote them.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::support::folder::Folder;

/// Rows of the file, the broken ones included.
const ROWS: usize = 200_000;
/// Rows as they were mistyped, by their lines.
const BROKEN: [(usize, &str); 3] =
    [(12, "33OOO9,France,0.02,60/60"), (100_001, "34,Spain,two cents,60/60"), (200_001, "44,United Kingdom,-0.02,60/60")];

/// The file, and its broken lines as the page writes them, with a word of what it says of each.
pub fn with_broken_lines(folder: &Folder) -> (PathBuf, Vec<(&'static str, &'static str)>) {
    let told = vec![("12", "33OOO9"), ("100\u{202f}001", "two cents"), ("200\u{202f}001", "it is negative")];
    (write(folder, "prices.csv", &BROKEN), told)
}

/// The file with all but one of them corrected.
pub fn with_one_broken_line(folder: &Folder) -> PathBuf {
    write(folder, "prices-corrected.csv", &BROKEN[..1])
}

fn write(folder: &Folder, name: &str, broken: &[(usize, &str)]) -> PathBuf {
    let mut text = "Code,Destination,Rate,Increment\n1,North America,0.0137,60/60\n1555123,Example town,137,60/60\n".to_owned();
    // The heading is line 1.
    for line in 4..=ROWS + 1 {
        match broken.iter().find(|(at, _)| *at == line) {
            Some((_, row)) => writeln!(text, "{row}"),
            None => writeln!(text, "{}{:05},Zone {},0.02{},60/60", [33, 34, 39, 48][line / 50_001], line % 50_001, line % 97, line % 10),
        }
        .expect("text can be written");
    }
    let file = folder.file(name);
    std::fs::write(&file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    file
}

//! Lists: a table that becomes cards on a phone, and the way to the next page.

use maud::{Markup, html};

use super::desk::query;
use super::text::t;

/// How a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Start,
    /// Figures.
    End,
}

/// A table in the making.
pub struct Table {
    caption: String,
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<Markup>>,
    empty: String,
}

impl Table {
    /// A table with a caption for those who cannot see it.
    pub fn new(caption: impl Into<String>) -> Self {
        Self { caption: caption.into(), columns: Vec::new(), rows: Vec::new(), empty: t("Nothing here yet.").to_owned() }
    }

    /// A column of words.
    pub fn column(mut self, heading: impl Into<String>) -> Self {
        self.columns.push((heading.into(), Align::Start));
        self
    }

    /// A column of figures.
    pub fn figures(mut self, heading: impl Into<String>) -> Self {
        self.columns.push((heading.into(), Align::End));
        self
    }

    /// What is said instead of an empty table.
    pub fn empty(mut self, words: impl Into<String>) -> Self {
        self.empty = words.into();
        self
    }

    /// A row: as many cells as columns.
    pub fn row(mut self, cells: Vec<Markup>) -> Self {
        self.rows.push(cells);
        self
    }

    /// Rows.
    pub fn rows(mut self, rows: impl IntoIterator<Item = Vec<Markup>>) -> Self {
        self.rows.extend(rows);
        self
    }

    /// The table.
    pub fn show(self) -> Markup {
        if self.rows.is_empty() {
            return html! { p.empty { (self.empty) } };
        }
        html! {
            div.table {
                table {
                    caption.quiet { (self.caption) }
                    thead { tr { @for (heading, align) in &self.columns { th scope="col" class=[(*align == Align::End).then_some("end")] { (heading) } } } }
                    tbody {
                        @for row in &self.rows {
                            tr { @for (cell, (heading, align)) in row.iter().zip(&self.columns) {
                                td data-label=(heading) class=[(*align == Align::End).then_some("end")] { div { (cell) } }
                            } }
                        }
                    }
                }
            }
        }
    }
}

/// The way to the next page of a list, and back to its beginning. `asked` is the present query.
pub fn pages(address: &str, asked: &[(&str, &str)], next: Option<&str>) -> Markup {
    let after = asked.iter().any(|(name, value)| *name == "after" && !value.is_empty());
    let to = |cursor: Option<&str>| {
        let mut pairs: Vec<(&str, &str)> = asked.iter().copied().filter(|(name, _)| *name != "after").collect();
        pairs.extend(cursor.map(|cursor| ("after", cursor)));
        format!("{address}{}", query(pairs))
    };
    html! {
        @if after || next.is_some() {
            nav.pages aria-label=(t("Pages")) {
                @if after { a.button href=(to(None)) { (t("To the beginning")) } }
                @if next.is_some() { a.button rel="next" href=(to(next)) { (t("Next page")) } }
            }
        }
    }
}

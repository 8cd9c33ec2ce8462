//! The story as a ladder: one lane for each who takes part, one line for each message.

use std::fmt;
use std::sync::{Arc, Mutex};

use crate::types::{Clock, Moment};

/// Distance between lanes.
const LANE_WIDTH: usize = 26;
/// Room for the time at the left.
const MARGIN: usize = 9;

/// Who takes part, from left to right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Phone,
    CarrierIn,
    Us,
    FirstOut,
    SecondOut,
}

impl Lane {
    const ALL: [Self; 5] = [Self::Phone, Self::CarrierIn, Self::Us, Self::FirstOut, Self::SecondOut];

    const fn name(self) -> &'static str {
        match self {
            Self::Phone => "phone",
            Self::CarrierIn => "carrier",
            Self::Us => "callthrough",
            Self::FirstOut => "trunk north",
            Self::SecondOut => "trunk south",
        }
    }

    const fn column(self) -> usize {
        MARGIN + self as usize * LANE_WIDTH
    }
}

/// One message, or a note where both lanes are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    at: Moment,
    from: Lane,
    to: Lane,
    text: String,
}

/// Collects what everybody says, in the order it was said.
#[derive(Debug, Clone)]
pub(super) struct Ladder {
    clock: Clock,
    began: Moment,
    lines: Arc<Mutex<Vec<Line>>>,
}

impl Ladder {
    pub(super) fn new(clock: Clock) -> Self {
        let began = clock.now();
        Self { clock, began, lines: Arc::default() }
    }

    /// Somebody said something.
    pub(super) fn say(&self, from: Lane, to: Lane, text: impl Into<String>) {
        let line = Line { at: self.clock.now(), from, to, text: text.into() };
        self.lines.lock().expect("nothing panics while the ladder is held").push(line);
    }

    /// How many lines there are with this text.
    pub(super) fn count(&self, from: Lane, to: Lane, text: &str) -> usize {
        let lines = self.lines.lock().expect("nothing panics while the ladder is held");
        lines.iter().filter(|line| line.from == from && line.to == to && line.text.starts_with(text)).count()
    }
}

impl fmt::Display for Ladder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut heading = Canvas::default();
        for lane in Lane::ALL {
            heading.write(lane.column().saturating_sub(lane.name().len() / 2), lane.name());
        }
        writeln!(f, "{}", heading.text())?;
        for line in self.lines.lock().expect("nothing panics while the ladder is held").iter() {
            let since = line.at.since(self.began);
            let mut canvas = Canvas::default();
            canvas.write(0, &format!("{:>2}.{:03} s", since.as_secs(), since.subsec_millis()));
            for lane in Lane::ALL {
                canvas.write(lane.column(), "|");
            }
            let (left, right) = (line.from.column().min(line.to.column()), line.from.column().max(line.to.column()));
            if left == right {
                canvas.write(left + 2, &line.text);
            } else {
                let arrow = "-".repeat(right - left - 2);
                canvas.write(left + 1, &if line.from.column() == left { format!("{arrow}>") } else { format!("<{arrow}") });
                canvas.write(left + 3, &format!(" {} ", line.text));
            }
            writeln!(f, "{}", canvas.text())?;
        }
        Ok(())
    }
}

/// A row of characters that are written over each other.
#[derive(Default)]
struct Canvas(Vec<char>);

impl Canvas {
    fn write(&mut self, column: usize, text: &str) {
        for (offset, each) in text.chars().enumerate() {
            if self.0.len() <= column + offset {
                self.0.resize(column + offset + 1, ' ');
            }
            self.0[column + offset] = each;
        }
    }

    fn text(&self) -> String {
        self.0.iter().collect::<String>().trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::types::Timestamp;

    #[test]
    fn arrows_run_between_their_lanes() {
        let clock = Clock::manual(Timestamp::from_micros(0));
        let ladder = Ladder::new(clock.clone());
        ladder.say(Lane::CarrierIn, Lane::Us, "INVITE");
        clock.advance(Duration::from_millis(1250));
        ladder.say(Lane::Us, Lane::CarrierIn, "200");
        ladder.say(Lane::Us, Lane::Us, "matched");
        let text = ladder.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("|-- INVITE ---------------->|") || lines[1].contains("INVITE"), "{text}");
        assert!(lines[1].trim_end_matches('|').contains('>') && !lines[1].contains('<'), "{text}");
        assert!(lines[2].starts_with(" 1.250 s") && lines[2].contains('<') && !lines[2].contains('>'), "{text}");
        assert!(lines[3].contains("| matched"), "{text}");
        assert_eq!(ladder.count(Lane::CarrierIn, Lane::Us, "INVITE"), 1);
    }
}

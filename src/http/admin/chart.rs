//! Charts as SVG made on the server: bars, or lines with their areas, with axes, a title, a word for who cannot see it, and the
//! figures themselves in a table below. Coordinates are whole tenths, so a chart of money needs no fractions either.

use maud::{Markup, html};

use super::table::Table;
use super::text::t;

const WIDTH: i64 = 4800;
const HEIGHT: i64 = 1900;
const LEFT: i64 = 520;
const RIGHT: i64 = 60;
const TOP: i64 = 110;
const BOTTOM: i64 = 240;
/// Words below the axis at most.
const LABELS: usize = 6;
/// Lines across at most, besides the axis.
const TICKS: i64 = 5;

/// How the values are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Beside each other over time, each on top of the one before.
    Bars,
    /// A line with its area.
    Line,
}

/// A chart in the making: one value of each series a label.
pub struct Chart {
    title: String,
    shape: Shape,
    labels: Vec<String>,
    series: Vec<(String, Vec<Option<i64>>)>,
    written: fn(i64) -> String,
    most: Option<i64>,
}

impl Chart {
    /// A chart over these labels.
    pub fn new(title: impl Into<String>, shape: Shape, labels: Vec<String>) -> Self {
        Self { title: title.into(), shape, labels, series: Vec::new(), written: |value| value.to_string(), most: None }
    }

    /// Values with their name; none where there is nothing to say.
    pub fn series(mut self, name: impl Into<String>, values: Vec<Option<i64>>) -> Self {
        self.series.push((name.into(), values));
        self
    }

    /// How a value is written.
    pub fn written(self, written: fn(i64) -> String) -> Self {
        Self { written, ..self }
    }

    /// The top of the axis, where it is fixed.
    pub fn most(self, most: i64) -> Self {
        Self { most: Some(most), ..self }
    }

    /// The height of a column of bars, or the highest value of a line.
    fn highest(&self) -> i64 {
        let values = |at: usize| self.series.iter().filter_map(move |(_, values)| values.get(at).copied().flatten());
        let columns = 0..self.labels.len();
        let highest = match self.shape {
            Shape::Bars => columns.map(|at| values(at).sum()).max(),
            Shape::Line => columns.filter_map(|at| values(at).max()).max(),
        };
        highest.unwrap_or(0)
    }

    /// Left edge and width of a column.
    fn column(&self, at: usize) -> (i64, i64) {
        let count = i64::try_from(self.labels.len().max(1)).unwrap_or(1);
        let at = i64::try_from(at).unwrap_or(0);
        let room = WIDTH - LEFT - RIGHT;
        let (from, to) = (LEFT + room * at / count, LEFT + room * (at + 1) / count);
        (from, to - from)
    }

    fn bars(&self, top: i64) -> Markup {
        html! {
            @for at in 0..self.labels.len() {
                @let (x, width) = self.column(at);
                @let gap = (width / 6).min(40);
                @let mut below = 0;
                @for (number, (_, values)) in self.series.iter().enumerate() {
                    @let value = values.get(at).copied().flatten().unwrap_or(0);
                    @let (from, to) = (height(below, top), height(below + value, top));
                    @if value > 0 {
                        rect class={ "s" (number % 4 + 1) } x=(tenths(x + gap)) y=(tenths(HEIGHT - BOTTOM - to)) width=(tenths(width - 2 * gap)) height=(tenths(to - from)) {}
                    }
                    @let () = below += value;
                }
            }
        }
    }

    fn lines(&self, top: i64) -> Markup {
        html! {
            @for (number, (_, values)) in self.series.iter().enumerate() {
                @for run in runs(values) {
                    @let points: Vec<(i64, i64)> = run.iter().map(|&(at, value)| {
                        let (x, width) = self.column(at);
                        (x + width / 2, HEIGHT - BOTTOM - height(value, top))
                    }).collect();
                    @let line: Vec<String> = points.iter().map(|&(x, y)| format!("{} {}", tenths(x), tenths(y))).collect();
                    @let line = line.join(" L");
                    @let ends = points.first().zip(points.last());
                    @if let Some((first, last)) = ends {
                        @let ground = tenths(HEIGHT - BOTTOM);
                        path class={ "area s" (number % 4 + 1) } d={ "M" (line) " L" (tenths(last.0)) " " (ground) " L" (tenths(first.0)) " " (ground) " Z" } {}
                        path class={ "line s" (number % 4 + 1) } d={ "M" (line) } {}
                        @if points.len() == 1 { circle class={ "s" (number % 4 + 1) } cx=(tenths(first.0)) cy=(tenths(first.1)) r="2.5" {} }
                    }
                }
            }
        }
    }

    /// The chart with its legend and its figures.
    pub fn show(self) -> Markup {
        let step = step(self.most.unwrap_or_else(|| self.highest()));
        let top = self.most.unwrap_or_else(|| (self.highest() + step - 1) / step * step).max(step);
        let highest = (self.written)(self.highest());
        let every = self.labels.len().div_ceil(LABELS).max(1);
        let described = format!("{}: {}. {} {highest}.", self.title, self.names(), t("At most"));
        html! {
            figure.chart {
                figcaption { h3 { (self.title) } }
                svg viewBox={ "0 0 " (WIDTH / 10) " " (HEIGHT / 10) } role="img" aria-label=(described) {
                    @if self.highest() == 0 {
                        text x=(tenths(WIDTH / 2 + LEFT / 2)) y=(tenths(HEIGHT / 2)) text-anchor="middle" { (t("Nothing yet")) }
                    }
                    @for tick in (0..=top / step).filter(|tick| *tick == 0 || self.highest() > 0).map(|tick| tick * step) {
                        @let y = HEIGHT - BOTTOM - height(tick, top);
                        line.axis x1=(tenths(LEFT)) x2=(tenths(WIDTH - RIGHT)) y1=(tenths(y)) y2=(tenths(y)) {}
                        text x=(tenths(LEFT - 60)) y=(tenths(y + 38)) text-anchor="end" { ((self.written)(tick)) }
                    }
                    @for at in (0..self.labels.len()).step_by(every) {
                        @let (x, width) = self.column(at);
                        text x=(tenths(x + width / 2)) y=(tenths(HEIGHT - BOTTOM + 170)) text-anchor="middle" { (axis(&self.labels[at])) }
                    }
                    @match self.shape { Shape::Bars => { (self.bars(top)) }, Shape::Line => { (self.lines(top)) } }
                    @for at in 0..self.labels.len() {
                        @let (x, width) = self.column(at);
                        rect.hit x=(tenths(x)) y=(tenths(TOP)) width=(tenths(width)) height=(tenths(HEIGHT - TOP - BOTTOM)) { title { (self.told(at)) } }
                    }
                }
                @if self.series.len() > 1 {
                    p.legend { @for (number, (name, _)) in self.series.iter().enumerate() { span { i class={ "k" (number % 4 + 1) } {} (name) } } }
                }
                details { summary { (t("The figures")) } (self.figures()) }
            }
        }
    }

    fn names(&self) -> String {
        self.series.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// A column in words.
    fn told(&self, at: usize) -> String {
        let values = self
            .series
            .iter()
            .map(|(name, values)| format!("{name} {}", values.get(at).copied().flatten().map_or_else(|| "–".to_owned(), self.written)));
        format!("{}: {}", self.labels[at], values.collect::<Vec<_>>().join(", "))
    }

    fn figures(&self) -> Markup {
        let head = Table::new(self.title.clone()).column(t("When"));
        let head = self.series.iter().fold(head, |table, (name, _)| table.figures(name.clone()));
        let rows = (0..self.labels.len()).rev().map(|at| {
            let values = self.series.iter().map(|(_, values)| values.get(at).copied().flatten());
            let mut cells = vec![html! { (self.labels[at]) }];
            cells.extend(values.map(|value| html! { (value.map_or_else(|| "–".to_owned(), self.written)) }));
            cells
        });
        head.rows(rows).show()
    }
}

/// What of a label stands below the axis: of a day and an hour, the day.
fn axis(label: &str) -> &str {
    label.split(' ').next().unwrap_or(label)
}

/// Values that stand beside each other without a gap.
fn runs(values: &[Option<i64>]) -> Vec<Vec<(usize, i64)>> {
    let mut runs: Vec<Vec<(usize, i64)>> = vec![Vec::new()];
    for (at, value) in values.iter().enumerate() {
        match (value, runs.last_mut()) {
            (Some(value), Some(run)) => run.push((at, *value)),
            (None, Some(run)) if !run.is_empty() => runs.push(Vec::new()),
            _ => {}
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// How high a value stands above the axis.
fn height(value: i64, top: i64) -> i64 {
    let room = i128::from(HEIGHT - TOP - BOTTOM);
    i64::try_from(room * i128::from(value.max(0)) / i128::from(top.max(1))).unwrap_or(0)
}

/// The step between two lines: 1, 2 or 5 with noughts, so that there are at most five of them.
fn step(highest: i64) -> i64 {
    let mut unit = 1_i64;
    loop {
        for factor in [1, 2, 5] {
            let step = unit.saturating_mul(factor);
            if highest <= step.saturating_mul(TICKS) {
                return step;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

/// Tenths as SVG reads them.
fn tenths(value: i64) -> String {
    if value % 10 == 0 { (value / 10).to_string() } else { format!("{}.{}", value / 10, value % 10) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_few() {
        for (highest, wanted) in
            [(0, 1), (5, 1), (6, 2), (11, 5), (26, 10), (51, 20), (1_000_000, 200_000), (i64::MAX, 2_000_000_000_000_000_000)]
        {
            assert_eq!(step(highest), wanted, "{highest}");
        }
    }

    #[test]
    fn a_gap_parts_a_line() {
        assert_eq!(runs(&[Some(1), None, None, Some(2), Some(3)]), [vec![(0, 1)], vec![(3, 2), (4, 3)]]);
        assert_eq!(runs(&[None]), Vec::<Vec<(usize, i64)>>::new());
    }

    #[test]
    fn the_highest_bar_reaches_the_top_and_the_table_has_every_figure() {
        let labels = vec!["00:00".to_owned(), "01:00".to_owned()];
        let chart = Chart::new("Calls", Shape::Bars, labels).series("answered", vec![Some(3), Some(0)]).series("not", vec![Some(2), None]);
        let shown = chart.show().into_string();
        assert!(shown.contains("00:00: answered 3, not 2"), "{shown}");
        assert_eq!(shown.matches("<rect class=\"s").count(), 2, "{shown}");
        assert_eq!(height(5, 5), HEIGHT - TOP - BOTTOM);
    }
}

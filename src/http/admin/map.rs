//! The world, with points on it. What is drawn is in the list beside it too; see `map/README.md` for where it comes from.

use std::collections::HashMap;
use std::sync::LazyLock;

use maud::{Markup, html};

use super::layout::ready;

const WORLD: &str = include_str!("map/world.svg");
const CENTROIDS: &str = include_str!("map/centroids.csv");
/// The drawing is the world of this size; a stripe of it is shown.
const WIDTH: f64 = 1000.0;

/// The middle of each country by its letters: latitude and longitude.
static COUNTRIES: LazyLock<HashMap<&'static str, (f64, f64)>> = LazyLock::new(|| {
    let row = |line: &'static str| {
        let mut cells = line.split(',');
        Some((cells.next()?, (cells.next()?.parse().ok()?, cells.next()?.parse().ok()?)))
    };
    CENTROIDS.lines().skip(1).filter_map(row).collect()
});

/// The middle of a country.
pub(super) fn middle(country: &str) -> Option<(f64, f64)> {
    COUNTRIES.get(country).copied()
}

/// Something on the map.
pub(super) struct Point {
    /// Latitude and longitude.
    pub(super) place: (f64, f64),
    /// What it is called.
    pub(super) name: String,
    /// Where a press on it leads.
    pub(super) address: String,
    /// Shown as switched off.
    pub(super) off: bool,
}

/// The map with its points.
pub(super) fn map(title: &str, points: &[Point]) -> Markup {
    let paths = WORLD.split_once('>').and_then(|(_, rest)| rest.rsplit_once("</svg>")).map_or("", |(paths, _)| paths);
    html! {
        svg.map viewBox="0 15 1000 400" role="group" aria-label=(title) {
            (ready(paths))
            @for (index, point) in points.iter().enumerate() {
                @let (x, y) = on_paper(point.place);
                a href=(point.address) aria-label=(point.name) {
                    title { (point.name) }
                    // A wider circle than is seen, for fingers.
                    circle.touch cx=(x) cy=(y) r="14" fill="transparent" {}
                    circle.point.off[point.off] cx=(x) cy=(y) r="6" data-index=(index) {}
                }
            }
        }
    }
}

/// Where a place is on the equirectangular paper, in tenths.
fn on_paper((latitude, longitude): (f64, f64)) -> (String, String) {
    let x = (longitude + 180.0) / 360.0 * WIDTH;
    let y = (90.0 - latitude) / 180.0 * (WIDTH / 2.0);
    (format!("{x:.1}"), format!("{y:.1}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_where_they_belong() {
        assert_eq!(on_paper((0.0, 0.0)), ("500.0".to_owned(), "250.0".to_owned()));
        assert_eq!(on_paper((90.0, -180.0)), ("0.0".to_owned(), "0.0".to_owned()));
        assert!(COUNTRIES.len() > 200);
        let (latitude, longitude) = middle("CZ").unwrap();
        assert!((48.0..52.0).contains(&latitude) && (12.0..19.0).contains(&longitude));
        assert_eq!(middle("XX"), None);
    }

    #[test]
    fn the_world_is_small_and_draws_nothing_else() {
        assert!(WORLD.len() < 60_000);
        assert_eq!(WORLD.matches("<path").count(), 2);
        assert!(!WORLD.contains("<script") && !WORLD.contains("style="));
    }
}

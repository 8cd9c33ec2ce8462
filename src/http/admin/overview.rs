//! How things stand: what is up and at risk now, the last day beside the one before, and the way there as charts.

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::extract::Query;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use serde_json::Value;

use super::House;
use super::chart::{Chart, Shape};
use super::desk::{Desk, Trouble};
use super::layout::{Page, Section};
use super::show;
use super::table::Table;
use super::text::t;
use crate::types::Micros;

pub(super) fn router() -> Router<House> {
    Router::new().route("/admin", get(overview))
}

async fn overview(desk: Desk, Query(asked): Query<BTreeMap<String, String>>) -> Result<Response, Trouble> {
    let span = asked.get("span").map(String::as_str).filter(|span| ["24h", "7d", "30d"].contains(span)).unwrap_or("24h");
    let now = desk.get("/stats/overview").await?;
    let series = desk.get(&format!("/stats/series?span={span}")).await?;
    let body = html! {
        div #now data-live aria-live="polite" aria-atomic="false" { (figures(&now)) }
        nav.tabs aria-label=(t("Time span")) {
            @for (code, name) in [("24h", t("24 hours")), ("7d", t("7 days")), ("30d", t("30 days"))] {
                a href={ "/admin?span=" (code) } aria-current=[(code == span).then_some("page")] { (name) }
            }
        }
        div.grid.wide #charts data-live {
            (charts(&series, span))
            section.card { h2 { (t("Trunks in the last hour")) } (trunks(&now)) }
        }
    };
    Ok(Page::new(&desk, Section::Overview, t("Overview")).show(body))
}

fn count(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn figures(now: &Value) -> Markup {
    let (last, before) = (&now["last_day"], &now["day_before"]);
    let live = &now["live_calls"];
    let alerts = &now["open_alerts"];
    let before_was = |shown: Markup| html! { (t("the day before")) " " (shown) };
    html! {
        div.figures {
            (show::figure(t("Live calls"), html! { a href="/admin/calls" { (count(&live["connected"]) + count(&live["setting_up"])) } }, html! { (count(&live["setting_up"])) " " (t("not answered yet")) }))
            (show::figure(t("Balance at risk"), amounts(&now["held"]), html! { a href="/admin/holds" { (count(&now["open_holds"])) " " (t("open holds")) } }))
            (show::figure(t("Calls in 24 hours"), html! { (count(&last["calls"])) }, before_was(html! { (count(&before["calls"])) })))
            (show::figure(t("Minutes in 24 hours"), html! { (minutes(last)) }, before_was(html! { (minutes(before)) })))
            (show::figure(t("Spend in 24 hours"), amounts(&last["spend"]), before_was(amounts(&before["spend"]))))
            (show::figure(t("Answer ratio"), percent(&last["answer_ratio"]), before_was(percent(&before["answer_ratio"]))))
            (show::figure(t("Requests that never arrived"), html! { (count(&last["never_arrived"])) }, html! { (t("of")) " " (count(&last["requests"])) " " (t("requests")) }))
            (show::figure(t("Alerts"), alert_count(alerts), html! { a href="/admin/alerts" { (t("Look at them")) } }))
            @if count(&now["pending_approvals"]) > 0 {
                (show::figure(t("Approvals"), html! { a href="/admin/approvals" { (count(&now["pending_approvals"])) } }, html! { (t("wait for a second person")) }))
            }
        }
    }
}

fn alert_count(alerts: &Value) -> Markup {
    let (critical, warning, notice) = (count(&alerts["critical"]), count(&alerts["warning"]), count(&alerts["notice"]));
    html! {
        @if critical > 0 { (show::badge(&format!("{critical} {}", t("critical")), "bad")) " " }
        @if warning > 0 { (show::badge(&format!("{warning} {}", t("warning")), "warn")) " " }
        @if critical + warning == 0 { (notice) }
    }
}

/// Amounts of several currencies, or a nought.
fn amounts(value: &Value) -> Markup {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    html! { @if items.is_empty() { "0" } @for (at, amount) in items.iter().enumerate() { @if at > 0 { br; } (show::balance(amount)) } }
}

fn minutes(sum: &Value) -> i64 {
    count(&sum["talk_secs"]) / 60
}

/// A ratio such as `0.667` in per mille.
fn permille(value: &Value) -> Option<i64> {
    value.as_str()?.replace('.', "").parse().ok()
}

fn percent(value: &Value) -> Markup {
    permille(value).map_or_else(show::dash, |ratio| html! { (tenths_of_a_percent(ratio)) })
}

fn tenths_of_a_percent(permille: i64) -> String {
    format!("{}.{} %", permille / 10, permille % 10)
}

/// Micro-units for an axis: no more decimals than there are.
fn micros(value: i64) -> String {
    Micros::new(value).to_string()
}

fn charts(series: &Value, span: &str) -> Markup {
    let items = series["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let by_day = series["step"] == "day";
    let labels: Vec<String> = items.iter().map(|item| label(item["at"].as_str().unwrap_or_default(), by_day, span)).collect();
    let of = |value: fn(&Value) -> i64| items.iter().map(|item| Some(value(item))).collect::<Vec<_>>();
    let currencies: BTreeSet<&str> = items
        .iter()
        .flat_map(|item| item["spend"].as_array().into_iter().flatten())
        .filter_map(|money| money["currency"].as_str())
        .collect();
    let calls = Chart::new(t("Calls"), Shape::Bars, labels.clone())
        .series(t("answered"), of(|item| count(&item["answered"])))
        .series(t("not answered"), of(|item| count(&item["calls"]) - count(&item["answered"])));
    let talk = Chart::new(t("Minutes"), Shape::Line, labels.clone()).series(t("minutes"), of(minutes));
    let spend = Chart::new(t("Spend"), Shape::Line, labels.clone()).written(micros);
    let spend = currencies
        .into_iter()
        .fold(spend, |chart, currency| chart.series(currency, items.iter().map(|item| Some(spent(item, currency))).collect()));
    let ratio = Chart::new(t("Answer ratio"), Shape::Line, labels.clone())
        .most(1000)
        .written(tenths_of_a_percent)
        .series(t("answered of all"), items.iter().map(|item| permille(&item["answer_ratio"])).collect());
    let lost = Chart::new(t("Requests"), Shape::Bars, labels)
        .series(t("came as a call"), of(|item| count(&item["requests"]) - count(&item["never_arrived"])))
        .series(t("never arrived"), of(|item| count(&item["never_arrived"])));
    html! { @for chart in [calls, talk, spend, ratio, lost] { div.card { (chart.show()) } } }
}

/// What was spent in a currency, in micro-units.
fn spent(item: &Value, currency: &str) -> i64 {
    let found = item["spend"].as_array().into_iter().flatten().find(|money| money["currency"] == currency);
    found.and_then(|money| money["amount"].as_str()?.parse::<Micros>().ok()).map_or(0, Micros::get)
}

/// Hours of one day by the clock, of more with their day; days by their date.
fn label(at: &str, by_day: bool, span: &str) -> String {
    let (day, hour) = (at.get(5..10).unwrap_or_default(), at.get(11..16).unwrap_or_default());
    match (by_day, span) {
        (true, _) => day.to_owned(),
        (false, "24h") => hour.to_owned(),
        _ => format!("{day} {hour}"),
    }
}

fn trunks(now: &Value) -> Markup {
    let rows = now["trunks"].as_array().into_iter().flatten().map(|trunk| {
        let failed = count(&trunk["failed"]);
        let health = if failed * 5 > count(&trunk["attempts"]) {
            show::badge(t("failing"), "bad")
        } else if failed > 0 {
            show::badge(t("some fail"), "warn")
        } else {
            show::badge(t("well"), "good")
        };
        vec![
            show::text(&trunk["trunk"]),
            health,
            html! { (count(&trunk["attempts"])) },
            html! { (count(&trunk["answered"])) },
            html! { (failed) },
            percent(&trunk["answer_ratio"]),
        ]
    });
    Table::new(t("Trunks"))
        .column(t("Trunk"))
        .column(t("Health"))
        .figures(t("Tried"))
        .figures(t("Answered"))
        .figures(t("Failed"))
        .figures(t("Answer ratio"))
        .empty(t("No call has been tried over a trunk in the last hour."))
        .rows(rows)
        .show()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_day_of_sums_becomes_charts() {
        let item = |at: &str, calls: i64| {
            json!({ "at": at, "calls": calls, "answered": 1, "answer_ratio": "0.500", "talk_secs": 125, "requests": 3, "never_arrived": 1,
                "spend": [{ "amount": "1.25", "currency": "EUR" }] })
        };
        let series = json!({ "step": "hour", "items": [item("2030-01-02T03:00:00Z", 2), item("2030-01-02T04:00:00Z", 4)] });
        let shown = charts(&series, "24h").into_string();
        for words in
            ["04:00: answered 1, not answered 3", "04:00: minutes 2", "04:00: EUR 1.25", "03:00: answered of all 50.0 %", "never arrived 1"]
        {
            assert!(shown.contains(words), "{words} in {shown}");
        }
    }

    #[test]
    fn labels_say_no_more_than_needed() {
        let at = "2030-01-02T03:00:00Z";
        assert_eq!(
            (label(at, false, "24h"), label(at, false, "7d"), label(at, true, "30d")),
            ("03:00".into(), "01-02 03:00".into(), "01-02".into())
        );
    }
}

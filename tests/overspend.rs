//! Everybody at once on one account, round after round: two hundred calls race with each other and with top-ups that are sent
//! twice. The account never falls below nothing, and is right to the micro-unit after each round.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use callthrough::types::{Clock, Random};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::sipp::{FIRST, free_address};
use crate::support::traffic::GENEROUS;
use crate::support::truth::End;
use crate::support::world::{ACCESS_NUMBER, Phone, World, micros, text};
use crate::support::{eventually, long_form};

/// Callers on the account.
const CALLERS: usize = 200;
/// Top-ups of a round, of 0.01 each; each is sent twice with one key.
const TOP_UPS: i64 = 10;
const TOP_UP_MICROS: i64 = 10_000;
/// What is on the account when a round begins: ten slices of 60 seconds at 0.30 a minute.
const CREDIT_MICROS: i64 = 3_000_000;
/// Requests under way at once.
const AT_ONCE: usize = 16;

#[test]
fn two_hundred_calls_and_top_ups_race_for_one_account() {
    let rounds = if long_form() { 1000 } else { 3 };
    let world = World::with(GENEROUS);
    let destination = free_address(FIRST);
    world.trunk_out("first", destination, 10);
    let account = text(&world.api.post("/accounts", &json!({ "currency": "EUR" })), "id");
    let phones: Vec<_> = (0..CALLERS).map(|n| world.phone_on(&account, &format!("+1555014{n:04}"))).collect();
    world.top_up(&account, "3.00");
    let (clock, random) = (Clock::system(), Random::system());
    let (mut admitted, mut refused) = (0, 0);
    let (mut charged, mut paid_in, lowest) = (0, CREDIT_MICROS, AtomicI64::new(i64::MAX));
    let began = clock.now();
    for round in 0..rounds {
        ask(&world, &phones);
        let (answered, said_no) = race(&world, destination, &account, &phones, round, &random, &lowest);
        assert_eq!(answered + said_no, CALLERS, "round {round}: somebody heard nothing");
        (admitted, refused) = (admitted + answered, refused + said_no);
        paid_in += TOP_UPS * TOP_UP_MICROS;

        let total = world.count("select cast(coalesce(sum(charge_micros), 0) as integer) from cdr");
        let now = world.account(&account);
        assert_eq!(now.held, 0, "round {round}: money is still set aside");
        assert_eq!(now.balance, paid_in - total, "round {round}: not exact");
        // What was spent less what was topped up comes back, so that each round begins alike.
        let spent = total - charged - TOP_UPS * TOP_UP_MICROS;
        charged = total;
        if spent > 0 {
            world.top_up(&account, &format!("{}.{:06}", spent / 1_000_000, spent % 1_000_000));
            paid_in += spent;
        }
    }
    let ever_below = "select count(*) from (select sum(e.amount_micros) over (partition by e.account_id order by p.seq) as balance
        from entry e join posting p on p.id = e.posting_id where e.book = 'subscriber') as running where balance < 0";
    assert_eq!(world.count(ever_below), 0, "the account was below nothing");
    let lowest = lowest.into_inner();
    assert!(lowest >= 0, "what was left fell to {lowest} micro-units");
    assert_eq!(world.count("select count(*) from cdr where charge_micros <> billed_secs * 5000"), 0);
    let records = world.count("select count(*) from cdr");
    assert_eq!(records, i64::try_from(CALLERS * rounds).unwrap());
    world.is_at_rest();
    println!(
        "{rounds} rounds of {CALLERS} calls and {} top-ups in {:.0} s: {admitted} admitted, {refused} refused, {charged} micro-units \
         charged, {lowest} the least that was left",
        2 * TOP_UPS,
        clock.now().since(began).as_secs_f64(),
    );
}

/// Everybody asks to call somebody.
fn ask(world: &World, phones: &[Phone]) {
    let url = format!("http://{}/callthrough", world.server.http);
    world.api.block_on(async {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        let mut workers = JoinSet::new();
        for part in phones.chunks(CALLERS.div_ceil(AT_ONCE)) {
            let (client, url, part) = (client.clone(), url.clone(), part.to_vec());
            workers.spawn(async move {
                for phone in part {
                    let to = phone.number.replace("+1555014", "+1555024");
                    let form = [("username", &phone.user), ("password", &phone.token), ("targetNumber", &to)];
                    let answer = client.post(&url).form(&form).send().await.unwrap().text().await.unwrap();
                    assert!(answer.contains(ACCESS_NUMBER), "{answer}");
                }
            });
        }
        workers.join_all().await;
    });
}

/// Everybody calls, and somebody pays in at the same time. How many were answered, and how many were turned away.
fn race(
    world: &World,
    destination: SocketAddr,
    account: &str,
    phones: &[Phone],
    round: usize,
    random: &Random,
    lowest: &AtomicI64,
) -> (usize, usize) {
    let (grant, granted) = mpsc::channel();
    let callers = End::callers(world.carrier, world.server.sip, granted);
    let _destinations = End::destinations(destination);
    for (n, phone) in phones.iter().enumerate() {
        let talk = Duration::from_millis(200 + random.below(800));
        let call = (format!("race-{round}-{n}"), phone.number.clone(), ACCESS_NUMBER.to_owned(), talk);
        grant.send(call).unwrap();
    }
    let speaker = world.api.speaker();
    let path = format!("/accounts/{account}/top_up");
    world.api.block_on(async {
        let mut sending = Vec::new();
        for n in 0..TOP_UPS {
            let body = json!({ "amount": { "amount": "0.01", "currency": "EUR" }, "payment": "race" });
            for _ in 0..2 {
                sending.push(speaker.post_with_key(&path, body.clone(), format!("race-{round}-{n}")));
            }
        }
        let mut all = JoinSet::new();
        for one in sending {
            all.spawn(one);
        }
        all.join_all().await;
    });
    let over = eventually(Duration::from_secs(60), || {
        let now = world.api.get(&format!("/accounts/{account}"));
        lowest.fetch_min(micros(&now["balance"]) - micros(&now["held"]), Ordering::Relaxed);
        let truths = callers.truths();
        let (mut answered, mut refused, mut under_way) = (0, 0, CALLERS - truths.len());
        for (_, truth) in truths.values() {
            match (truth.answered, truth.refused) {
                (Some(_), _) if truth.ended.is_some() => answered += 1,
                (None, Some(_)) => refused += 1,
                _ => under_way += 1,
            }
        }
        (under_way == 0).then_some((answered, refused))
    });
    let over = over.unwrap_or_else(|| panic!("round {round}: calls are still under way\n{}", world.server.shown()));
    let quiet = eventually(Duration::from_secs(30), || world.api.list("/calls").is_empty().then_some(()));
    assert!(quiet.is_some(), "round {round}: calls are still up");
    over
}

use std::collections::HashMap;
use std::time::Duration;

use callthrough::b2bua::books::{Books, Closed};
use callthrough::database::Kind;
use callthrough::types::{CallId, Micros, Random, Timestamp};

use crate::support::desk::Desk;

super::on_both!(no_order_of_events_loses_a_micro_unit);

/// What the books should hold, kept the simplest way: 0.60 a minute by the second.
#[derive(Default)]
struct Model {
    balance: i64,
    calls: HashMap<CallId, Talk>,
    records: u64,
}

#[derive(Clone, Copy)]
struct Talk {
    funded: i64,
    answered_at: Option<Timestamp>,
    last_alive_at: Timestamp,
}

const SECOND: i64 = 10_000;

impl Model {
    fn held(&self) -> i64 {
        self.calls.values().map(|talk| talk.funded * SECOND).sum()
    }

    fn available(&self) -> i64 {
        self.balance - self.held()
    }

    fn end(&mut self, call: CallId, talked_secs: i64) -> i64 {
        let talk = self.calls.remove(&call).unwrap();
        let charge = if talk.answered_at.is_some() { talked_secs.min(talk.funded) * SECOND } else { 0 };
        self.balance -= charge;
        self.records += 1;
        charge
    }
}

async fn no_order_of_events_loses_a_micro_unit(kind: Kind) {
    let seeds = if crate::support::long_form() { 40 } else { 4 };
    for seed in 0..seeds {
        println!("seed {seed}");
        play(kind, seed).await;
    }
}

async fn play(kind: Kind, seed: u64) {
    let desk = Desk::open(kind, 3_000_000).await;
    let mut model = Model { balance: 3_000_000, ..Model::default() };
    let mut books = desk.books.clone();
    let random = Random::seeded(seed);
    for _ in 0..150 {
        let calls: Vec<CallId> = {
            let mut calls: Vec<_> = model.calls.keys().copied().collect();
            calls.sort_unstable();
            calls
        };
        let some = calls.get(usize::try_from(random.below(u64::try_from(calls.len().max(1)).unwrap())).unwrap()).copied();
        match (random.below(100), some) {
            (0..30, _) => authorise(&desk, &books, &mut model).await,
            (30..45, Some(call)) => extend(&books, &mut model, call).await,
            (45..65, Some(call)) => {
                let now = desk.clock.timestamp();
                let talk = model.calls.get_mut(&call).unwrap();
                if talk.answered_at.is_none() {
                    books.answered(call, None, now, "{}".into(), None).await.unwrap();
                    (talk.answered_at, talk.last_alive_at) = (Some(now), now);
                }
            }
            (65..85, Some(call)) => {
                let talked = model.calls[&call].answered_at.map(|at| desk.clock.timestamp().since(at));
                let secs = i64::try_from(talked.unwrap_or_default().as_secs()).unwrap();
                let charge = model.end(call, secs);
                assert_eq!(books.close(desk.closing(call, talked)).await.unwrap(), Closed::Written(Micros::new(charge)));
            }
            (85..88, _) => {
                books.alive(&calls).await.unwrap();
                let now = desk.clock.timestamp();
                model.calls.values_mut().for_each(|talk| talk.last_alive_at = now);
            }
            (88..92, _) => {
                let amount = 1 + i64::try_from(random.below(2_000_000)).unwrap();
                desk.top_up(amount).await;
                model.balance += amount;
            }
            (92..94, _) => {
                books = desk.restarted();
                crash(&books, &mut model).await;
            }
            _ => desk.clock.advance(Duration::from_secs(random.below(20))),
        }
        let account = desk.account().await;
        assert_eq!((account.balance.get(), account.held.get()), (model.balance, model.held()));
        assert!(account.available().unwrap() >= Micros::ZERO, "never below the limit");
    }
    let counts = desk.verified_with_live_calls().await;
    assert_eq!((counts.open_holds, counts.records), (u64::try_from(model.calls.len()).unwrap(), model.records));
}

async fn authorise(desk: &Desk, books: &Books, model: &mut Model) {
    let ask = desk.ask("+420601123456");
    let call = ask.call;
    let funded = (model.available() / SECOND).min(60);
    match books.authorise(ask).await {
        Ok(authorised) => {
            assert_eq!(authorised.grant.funded.as_secs(), u64::try_from(funded).unwrap());
            model.calls.insert(call, Talk { funded, answered_at: None, last_alive_at: desk.clock.timestamp() });
        }
        Err(refused) => assert!(funded < 30, "refused with credit for {funded} s: {refused}"),
    }
}

async fn extend(books: &Books, model: &mut Model, call: CallId) {
    let more = (model.available() / SECOND).min(60).min(7200 - model.calls[&call].funded);
    let granted = books.extend(call).await;
    assert_eq!(granted.is_ok(), more > 0);
    model.calls.get_mut(&call).unwrap().funded += more;
}

async fn crash(after: &Books, model: &mut Model) {
    let left = after.recover().await.unwrap();
    assert_eq!(left.len(), model.calls.len());
    for left in left {
        let talk = model.calls[&left.call];
        let lasted = talk.answered_at.map_or(0, |at| talk.last_alive_at.max(at).since(at).as_secs() + 5);
        let charge = model.end(left.call, i64::try_from(lasted).unwrap());
        assert_eq!(after.close_abandoned(left.call).await.unwrap(), Closed::Written(Micros::new(charge)));
    }
}

//! Calls through the real server with SIPp as the carrier and as the destinations, each followed by its record and the books.

mod answered;
mod failover;
mod money;
mod races;
mod refused;
mod streams;
mod unanswered;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::support::sipp::{FIRST, SECOND, Script, Sipp, free_address};
use crate::support::world::{ACCESS_NUMBER, DESTINATION, MICROS_A_SECOND, Phone, World, micros};

/// The number of the phone in most stories.
const CALLER: &str = "+15550100001";

/// One phone with credit, one trunk out, and a reservation for [`DESTINATION`].
struct Stage {
    world: World,
    phone: Phone,
    /// Where the trunk out leads.
    destination: SocketAddr,
    /// What the phone was told to dial.
    dialled: String,
}

impl Stage {
    fn new() -> Self {
        Self::with("")
    }

    fn with(settings: &str) -> Self {
        let world = World::with(settings);
        let destination = free_address(FIRST);
        world.trunk_out("first", destination, 10);
        let phone = world.phone(CALLER, "5.00");
        let dialled = world.asks(&phone, DESTINATION);
        assert_eq!(dialled, ACCESS_NUMBER);
        Self { world, phone, destination, dialled }
    }

    /// The carrier's part, not yet started.
    fn caller(&self, scenario: &str) -> Script {
        self.world.calls(scenario, &self.phone, &self.dialled)
    }

    /// The destination, waiting.
    fn destination(&self, scenario: &str) -> Sipp {
        self.play(Script::destination(scenario, self.destination))
    }

    fn play(&self, script: Script) -> Sipp {
        script.start(self.world.folder.path())
    }

    /// Both parts as written; then the record.
    fn plays(&self, caller: &str, destination: &str) -> (Sipp, Sipp) {
        let mut b = self.destination(destination);
        let mut a = self.play(self.caller(caller));
        a.succeeds();
        b.succeeds();
        (a, b)
    }

    /// Waits until the call is up: its id.
    #[track_caller]
    fn connected(&self, caller: &Sipp) -> String {
        let call = crate::support::eventually(Duration::from_secs(10), || {
            self.world.api.list("/calls").into_iter().find(|call| call["state"] == "connected")
        });
        let call = call.unwrap_or_else(|| panic!("the call is not up\n{}", caller.shown()));
        call["id"].as_str().expect("an id").to_owned()
    }

    /// The call ended unanswered for `cause`: one record, nothing charged, nothing set aside.
    #[track_caller]
    fn cost_nothing(&self, cause: &str) -> Value {
        let record = self.world.record();
        assert_eq!(record["cause"], cause, "{record:#}");
        assert_eq!(record["billed_secs"], 0, "{record:#}");
        assert_eq!(self.world.account(&self.phone.account).balance, 5_000_000, "{record:#}");
        self.world.is_at_rest();
        record
    }

    /// The call was answered and ended for `cause`; it is charged by the second, and the account says so too.
    #[track_caller]
    fn was_charged(&self, cause: &str, at_least: Duration, at_most: Duration) -> Value {
        let record = self.world.record();
        assert_eq!(record["cause"], cause, "{record:#}");
        let billed = record["billed_secs"].as_i64().expect("a number");
        let range = i64::try_from(at_least.as_secs()).unwrap()..=i64::try_from(at_most.as_secs()).unwrap();
        assert!(range.contains(&billed), "{billed} s were billed, not {range:?}: {record:#}");
        let charge = micros(&record["charge"]);
        assert_eq!(charge, billed * MICROS_A_SECOND, "{record:#}");
        let account = self.world.account(&self.phone.account);
        assert_eq!((account.balance, account.held), (5_000_000 - charge, 0));
        self.world.is_at_rest();
        record
    }
}

/// Whether the trace holds an INVITE for this number.
fn was_invited(messages: &str, number: &str) -> bool {
    messages.contains(&format!("INVITE sip:{number}@"))
}

/// A trunk that never says a word.
fn silence() -> std::net::UdpSocket {
    std::net::UdpSocket::bind((FIRST, 0)).expect("a free port")
}

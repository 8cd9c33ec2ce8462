//! Messages that cross on the wire.

use std::time::Duration;

use super::*;
use crate::support::peer::{Message, Peer};

#[test]
fn a_late_200_after_our_cancel_gets_ack_and_bye_and_is_not_charged() {
    let stage = Stage::new();
    stage.plays("caller_cancels", "destination_answers_after_cancel");
    stage.cost_nothing("cancelled");
}

#[test]
fn a_cancel_that_comes_after_the_answer_changes_nothing() {
    let stage = Stage::new();
    stage.plays("caller_cancels_too_late", "destination_answers");
    stage.was_charged("answered", Duration::from_secs(1), Duration::from_secs(1));
}

/// A call of a phone of its own between two raw sockets, up to the 180.
struct Ringing {
    phone: Phone,
    a: Peer,
    b: Peer,
    server: SocketAddr,
    /// As A sent it.
    invite: String,
    /// As B got it.
    offered: Message,
}

impl Ringing {
    fn new(world: &World, a: Peer, b: Peer, number: &str) -> Self {
        let (mut a, mut b, server) = (a, b, world.server.sip);
        let phone = world.phone(number, "1.00");
        let dialled = world.asks(&phone, DESTINATION);
        let invite = a.invites(server, number, &dialled, &format!("race{}", number.trim_start_matches('+')));
        let offered = b.hears("INVITE");
        b.answers(&offered, "180 Ringing", false);
        a.hears("180 INVITE");
        Self { phone, a, b, server, invite, offered }
    }
}

/// A carrier and a destination on raw sockets, with their trunks.
fn peers(world: &World) -> (Peer, Peer) {
    let b = Peer::at(FIRST);
    world.trunk_out("raw", b.address, 10);
    (Peer::bound(world.carrier), b)
}

/// How long nothing may come before a race is over.
const QUIET: Duration = Duration::from_millis(150);

#[test]
fn cancel_and_answer_cross_in_either_order() {
    const CALLS: usize = 24;
    let world = World::new();
    let (mut a, mut b) = peers(&world);
    let mut answered = 0;
    for n in 0..CALLS {
        let mut call = Ringing::new(&world, a, b, &format!("+1555012{n:04}"));
        // Both leave before either side has heard of the other's; who is first on the wire alternates.
        if n % 2 == 0 {
            call.a.cancels(&call.invite, call.server);
            call.b.answers(&call.offered, "200 OK", true);
        } else {
            call.b.answers(&call.offered, "200 OK", true);
            call.a.cancels(&call.invite, call.server);
        }
        let is_final = |message: &Message| message.kind() != "200 CANCEL";
        let heard = call.a.hears_all(&["200 INVITE", "487 INVITE", "200 CANCEL"], QUIET);
        assert!(heard.iter().any(|message| message.kind() == "200 CANCEL"), "the CANCEL got no answer\n{}", call.a.shown());
        let last = heard.iter().find(|message| is_final(message)).unwrap_or_else(|| panic!("no final response\n{}", call.a.shown()));
        call.a.acknowledges(&call.invite, last, call.server);
        call.b.hears("ACK");
        if last.kind() == "200 INVITE" {
            answered += 1;
            let to = last.header("To").to_owned();
            let invite = Message { text: call.invite.clone(), from: call.a.address };
            call.a.hangs_up(&last.contact(), invite.header("From"), &to, invite.header("Call-ID"), call.server);
            call.a.hears("200 BYE");
        }
        let bye = call.b.hears("BYE");
        call.b.answers(&bye, "200 OK", false);
        let balance = world.account(&call.phone.account).balance;
        let charged = if last.kind() == "200 INVITE" { MICROS_A_SECOND } else { 0 };
        let settled = crate::support::eventually(Duration::from_secs(5), || {
            (world.account(&call.phone.account).balance == 1_000_000 - charged).then_some(())
        });
        assert!(settled.is_some(), "{} heard and {balance} left", last.kind());
        (a, b) = (call.a, call.b);
    }
    let records = world.records_once(CALLS);
    let count = |cause: &str| records.iter().filter(|record| record["cause"] == cause).count();
    assert_eq!((count("answered"), count("cancelled")), (answered, CALLS - answered), "{records:#?}");
    assert!(answered < CALLS, "no CANCEL ever won");
    world.is_at_rest();
}

#[test]
fn both_hang_up_at_once() {
    const CALLS: usize = 12;
    let world = World::new();
    let (mut a, mut b) = peers(&world);
    for n in 0..CALLS {
        let mut call = Ringing::new(&world, a, b, &format!("+1555013{n:04}"));
        call.b.answers(&call.offered, "200 OK", true);
        let answer = call.a.hears("200 INVITE");
        call.a.acknowledges(&call.invite, &answer, call.server);
        call.b.hears("ACK");
        let invite = Message { text: call.invite.clone(), from: call.a.address };
        let call_id = invite.header("Call-ID").to_owned();
        let (from_b, b_call_id) =
            (format!("{};tag=peer{}", call.offered.header("To"), call.b.address.port()), call.offered.header("Call-ID").to_owned());
        call.a.hangs_up(&answer.contact(), invite.header("From"), answer.header("To"), &call_id, call.server);
        call.b.hangs_up(&call.offered.contact(), &from_b, call.offered.header("From"), &b_call_id, call.server);
        for peer in [&mut call.a, &mut call.b] {
            let heard = peer.hears_all(&["200 BYE", "BYE"], QUIET);
            assert!(heard.iter().any(|message| message.kind() == "200 BYE"), "a BYE got no 200\n{}", peer.shown());
            if let Some(bye) = heard.iter().find(|message| message.kind() == "BYE") {
                peer.answers(bye, "200 OK", false);
            }
        }
        (a, b) = (call.a, call.b);
    }
    let records = world.records_once(CALLS);
    assert!(records.iter().all(|record| record["cause"] == "answered" && record["billed_secs"] == 1), "{records:#?}");
    world.is_at_rest();
}

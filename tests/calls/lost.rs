//! A carrier's address stops answering OPTIONS: the next call goes past it at once, and back as soon as it answers.

use std::net::UdpSocket;

use callthrough::sip::PingState;

use crate::support::carrier::Carrier;
use crate::support::peer::{self, Message};
use crate::support::switchboard::{ALICE, PRAGUE, Phone, Switchboard};
use crate::support::until;

/// The next message at a socket, if one is there.
fn heard(socket: &UdpSocket) -> Option<Message> {
    let mut bytes = [0; 4096];
    let (length, from) = socket.recv_from(&mut bytes).ok()?;
    Some(Message { text: String::from_utf8_lossy(&bytes[..length]).into_owned(), from })
}

/// Lets time go by until the trunk's first address is known to be alive or lost; it answers OPTIONS if it `lives`. How many INVITEs came to it.
async fn pass_until(board: &Switchboard, first: &UdpSocket, lives: bool) -> usize {
    let mut calls = 0;
    until("what the address says", async || {
        board.goes_by(1).await;
        while let Some(message) = heard(first) {
            calls += usize::from(message.kind() == "INVITE");
            if lives && message.kind() == "OPTIONS" {
                first.send_to(peer::response(&message, "200 OK", first.local_addr().unwrap(), false).as_bytes(), message.from).unwrap();
            }
        }
        match board.says("north").first() {
            Some(Some(PingState::Alive { .. })) => lives.then_some(()),
            Some(Some(PingState::Lost { .. })) => (!lives).then_some(()),
            _ => None,
        }
    })
    .await;
    calls
}

/// A call of Alice that `carrier` takes; where the record says that it was tried.
async fn a_call_by(board: &Switchboard, alice: &Phone<'_>, carrier: &mut Carrier, calls: usize) -> String {
    let mut a = alice.calls(PRAGUE).await;
    let mut b = carrier.gets_a_call().await;
    b.answers().await;
    a.is_answered().await;
    a.hangs_up().await;
    b.is_hung_up().await;
    board.records(calls).await.remove(calls - 1).detail.unwrap()
}

/// A socket that a test reads itself.
fn raw() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_past_an_address_that_stopped_answering() {
    let board = Switchboard::new().await;
    let (first, mut second) = (raw(), Carrier::start(&board.clock).await);
    board.add_trunk_at("north", 1, &[first.local_addr().unwrap(), second.address()]).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    pass_until(&board, &first, true).await;
    pass_until(&board, &first, false).await;
    let detail = a_call_by(&board, &alice, &mut second, 1).await;
    assert_eq!(detail.matches("\"trunk\":").count(), 1, "one try: {detail}");
    assert!(heard(&first).is_none_or(|message| message.kind() == "OPTIONS"), "nobody tried the lost address");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_past_a_trunk_that_stopped_answering_and_back_when_it_answers() {
    let board = Switchboard::new().await;
    let (first, mut south) = (raw(), board.carrier("south", 2).await);
    board.add_trunk_at("north", 1, &[first.local_addr().unwrap()]).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    pass_until(&board, &first, true).await;
    pass_until(&board, &first, false).await;
    let detail = a_call_by(&board, &alice, &mut south, 1).await;
    assert!(detail.matches("\"trunk\":").count() == 1 && detail.contains("\"trunk\":\"south\""), "one try: {detail}");

    let calls = pass_until(&board, &first, true).await;
    assert!(calls == 0 && south.is_left_alone(), "nobody tried the lost trunk");
    let a = alice.calls(PRAGUE).await;
    until("the call to the trunk that is back", async || heard(&first).filter(|message| message.kind() == "INVITE")).await;
    a.hangs_up().await;
}

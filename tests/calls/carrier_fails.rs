//! A trunk refuses, keeps silent or is not there: the next one is tried; what B itself says is final.

use callthrough::call::Cause;

use crate::support::carrier::Carrier;
use crate::support::peer::{self, Message};
use crate::support::switchboard::{ALICE, PRAGUE, Switchboard};
use crate::support::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_503_gives_way_to_the_next_trunk() {
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let mut south = board.carrier("south", 2).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let mut a = alice.calls(PRAGUE).await;
    let b = north.gets_a_call().await;
    b.rings().await;
    b.refuses(503).await;
    let mut b = south.gets_a_call().await;
    b.answers().await;
    a.is_answered().await;
    a.hangs_up().await;
    b.is_hung_up().await;
    let record = board.record().await;
    assert_eq!(record.trunk_out.as_deref(), Some("south"));
    let detail = record.detail.unwrap();
    assert!(detail.contains(r#""trunk":"north","sip_status":503,"outcome":"trunk_fault""#), "{detail}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_that_says_nothing_is_skipped() {
    let board = Switchboard::new().await;
    // It takes the INVITE and says nothing at all.
    let mute = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    mute.set_nonblocking(true).unwrap();
    board.add_trunk("mute", 1, mute.local_addr().ok(), vec![]).await;
    let mut south = board.carrier("south", 2).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let mut a = alice.calls(PRAGUE).await;
    until("the INVITE to the mute trunk", async || mute.recv_from(&mut [0; 4096]).ok()).await;
    board.goes_by(5).await;
    let b = south.gets_a_call().await;
    b.answers().await;
    a.is_answered().await;
    a.hangs_up().await;
    let detail = board.record().await.detail.unwrap();
    assert!(detail.contains("trunk_silent"), "{detail}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_every_trunk_fails_the_caller_hears_480_and_pays_nothing() {
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let mut south = board.carrier("south", 2).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let mut a = alice.calls(PRAGUE).await;
    north.gets_a_call().await.refuses(500).await;
    south.gets_a_call().await.refuses(503).await;
    assert_eq!(a.is_refused().await, 480);
    assert_eq!(board.record().await.cause.code(), "all_trunks_failed");
    assert_eq!(alice.balance().await, "5.00");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_is_bs_word_and_passed_on() {
    for (status, cause) in [(486, Cause::Busy), (603, Cause::Rejected), (404, Cause::NotFound)] {
        let board = Switchboard::new().await;
        let mut north = board.carrier("north", 1).await;
        let mut south = board.carrier("south", 2).await;
        let alice = board.subscriber(ALICE, "5.00").await;
        let mut a = alice.calls(PRAGUE).await;
        north.gets_a_call().await.refuses(status).await;
        assert_eq!(a.is_refused().await, status);
        assert_eq!(board.record().await.cause, cause);
        assert!(south.is_left_alone());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_picks_up() {
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let mut a = alice.calls(PRAGUE).await;
    let mut b = north.gets_a_call().await;
    b.rings().await;
    a.hears().await;
    until("the ringing", async || board.calls.list().first().filter(|call| call.state == "ringing").map(drop)).await;
    board.goes_by(120).await;
    assert_eq!(a.is_refused().await, 480);
    b.is_hung_up().await;
    assert_eq!(board.record().await.cause, Cause::NoAnswer);
}

/// Answers the next INVITE with 302 and these contacts.
async fn redirects(carrier: &std::net::UdpSocket, contacts: &str) {
    let mut bytes = [0; 4096];
    let request = until("the INVITE", async || {
        let (length, from) = carrier.recv_from(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        text.starts_with("INVITE ").then_some(Message { text, from })
    });
    let request = request.await;
    let response = peer::response(&request, "302 Moved Temporarily", carrier.local_addr().unwrap(), false);
    let (head, rest) = response.split_once("Contact: ").unwrap();
    let rest = rest.split_once("\r\n").unwrap().1;
    carrier.send_to(format!("{head}Contact: {contacts}\r\n{rest}").as_bytes(), request.from).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirection_is_followed_to_another_address_of_the_same_trunk_and_nowhere_else() {
    let board = Switchboard::new().await;
    let mut other = Carrier::start(&board.clock).await;
    let mut elsewhere = board.carrier("south", 2).await;
    let north = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    north.set_nonblocking(true).unwrap();
    let own = [north.local_addr().unwrap(), other.address()].map(|address| address.to_string());
    board.add_trunk("north", 1, north.local_addr().ok(), own.to_vec()).await;
    let alice = board.subscriber(ALICE, "5.00").await;

    // To another number, to a stranger, to another carrier: none of these; to its own other address: yes.
    let mut a = alice.calls(PRAGUE).await;
    let own = other.address();
    let contacts =
        format!("<sip:+15551239999@{own}>, <sip:{PRAGUE}@192.0.2.66>, <sip:{PRAGUE}@{}>, <sip:{PRAGUE}@{own}>;q=0.1", elsewhere.address());
    redirects(&north, &contacts).await;
    let mut b = other.gets_a_call().await;
    b.answers().await;
    a.is_answered().await;
    a.hangs_up().await;
    b.is_hung_up().await;
    let record = board.record().await;
    assert_eq!(record.trunk_out.as_deref(), Some("north"));
    assert!(record.detail.unwrap().contains(r#""sip_status":302"#) && elsewhere.is_left_alone());

    // Round in circles: it ends, and the next trunk has the call.
    let mut a = alice.calls(PRAGUE).await;
    for _ in 0..5 {
        redirects(&north, &format!("<sip:{PRAGUE}@{}>", north.local_addr().unwrap())).await;
    }
    elsewhere.gets_a_call().await.refuses(486).await;
    assert_eq!(a.is_refused().await, 486);
}

//! The same call through rtpengine: heard at both ends, its ports kept, told to be over.

use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};

use callthrough::media::{self, Carrier, g711};
use callthrough::sip::{InDialog, LegEvent};

use super::relay::talk;
use crate::support::carrier::text;
use crate::support::folder::Folder;
use crate::support::sound::Sound;
use crate::support::switchboard::{Plan, Switchboard};
use crate::support::until;

/// rtpengine in user space, without a configuration of its own.
struct Rtpengine {
    child: Child,
    at: SocketAddr,
    _folder: Folder,
}

impl Rtpengine {
    async fn start() -> Self {
        let at = UdpSocket::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
        let folder = Folder::new();
        let child = Command::new("rtpengine")
            .args(["--config-file=none", "--foreground", "--table=-1", "--log-stderr", "--interface=127.0.0.1"])
            .arg(format!("--listen-ng={at}"))
            .arg(format!("--pidfile={}", folder.file("pid").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("this test needs rtpengine: run tests/run, which installs it (Debian package rtpengine-daemon)");
        let asking = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        until("rtpengine's answer to a ping", async || {
            asking.send_to(b"ready d7:command4:pinge", at).await.ok()?;
            let mut bytes = [0; 100];
            let patience = std::time::Duration::from_millis(100);
            tokio::time::timeout(patience, asking.recv_from(&mut bytes)).await.ok()?.ok()
        })
        .await;
        Self { child, at, _folder: folder }
    }
}

impl Drop for Rtpengine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tone_at_one_end_is_heard_at_the_other_by_way_of_rtpengine() {
    let rtpengine = Rtpengine::start().await;
    let media = media::Config { relay: Carrier::Rtpengine, rtpengine: vec![rtpengine.at], ..media::Config::default() };
    let board = Switchboard::planned(Plan { media, ..Plan::default() }).await;
    let (mut a, mut b) = (Sound::new(1).await, Sound::new(2).await);
    let (mut caller, mut called) = talk(&board, &mut a, &mut b).await;
    a.hums(1_000.0, 25).await;
    assert!(g711::share(&b.listens(20).await, 1_000.0) > 0.9, "A's tone at B");
    b.hums(440.0, 25).await;
    assert!(g711::share(&a.listens(20).await, 440.0) > 0.9, "B's tone at A");
    b.forgets();
    a.presses(5).await;
    let (packet, payload, _) = b.hears().await;
    assert_eq!((packet.payload_type, payload[0]), (101, 5), "the event passes as it is");

    let at = b.to;
    caller.asks(InDialog::Reinvite, Some(a.described("a=sendonly\r\n"))).await;
    let LegEvent::Request { id, body, .. } = called.hears().await else { panic!("no re-INVITE") };
    assert!(text(body.as_ref()).contains("a=sendonly\r\n"));
    assert_eq!(Some(b.towards(text(body.as_ref()))), at, "the ports stay");
    called.responds(id, 200, Some(b.described("a=recvonly\r\n"))).await;
    assert!(matches!(caller.hears().await, LegEvent::Response { status: 200, .. }));
    caller.hangs_up().await;
    called.is_hung_up().await;
    assert_eq!(board.record().await.sound, None, "rtpengine counts for itself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_refused_while_no_rtpengine_answers() {
    let nobody = UdpSocket::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let media = media::Config { relay: Carrier::Rtpengine, rtpengine: vec![nobody], ..media::Config::default() };
    let board = Switchboard::planned(Plan { media, ..Plan::default() }).await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(crate::support::switchboard::ALICE, "5.00").await;
    let mut caller = alice.calls(crate::support::switchboard::PRAGUE).await;
    assert_eq!(caller.is_refused().await, 503);
    assert!(north.is_left_alone());
    assert_eq!(board.record().await.cause.code(), "draining");
}

//! Hops that pass a call on and keep no books: Kamailio as a stateful proxy, and our SIP core under the smallest switchboard.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use callthrough::sip::{Config, Endpoint, Incoming, LegEvent, OutgoingInvite, Source, SourcePolicy, Target};
use callthrough::types::{Clock, Random, TrunkId};

use crate::support::eventually;
use crate::support::folder::Folder;
use crate::support::sipp::{CARRIER, FIRST, free_address};
use crate::web::Part;
use crate::{Hop, Size, drive};

/// Each call goes to a destination of its own, as the destinations expect.
fn injection(calls: u32) -> String {
    (0..calls).fold("SEQUENTIAL\n".to_owned(), |lines, n| format!("{lines}+1555010{:04};+1555020{:04};\n", n % 10_000, n % 10_000))
}

/// Kamailio, if it is there.
pub fn kamailio(size: Size) -> Option<Hop> {
    const PLACES: [&str; 2] = ["/usr/sbin/kamailio", "/usr/local/sbin/kamailio"];
    let program = PLACES.into_iter().find(|place| std::path::Path::new(place).exists())?;
    let folder = Folder::new();
    let (listen, destination) = (free_address([127, 0, 0, 1].into()), free_address(FIRST));
    let settings = include_str!("kamailio.cfg").replace("{listen}", &listen.to_string()).replace("{next}", &destination.to_string());
    let file = folder.file("kamailio.cfg");
    std::fs::write(&file, settings).expect("a file");
    // -m: shared memory in megabytes; the usual 64 do not hold 5000 transactions.
    let log = std::fs::File::create(folder.file("log")).expect("a file");
    let child = Command::new(program)
        .args(["-m", "512", "-M", "16", "-DD", "-E", "-f"])
        .arg(&file)
        .arg("-Y")
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .ok()?;
    let proxy = Proxy(child);
    let up = eventually(Duration::from_secs(10), || {
        let mut table = std::fs::read_to_string("/proc/net/udp").unwrap_or_default();
        table.make_ascii_uppercase();
        table.contains(&format!("0100007F:{:04X}", listen.port())).then_some(())
    });
    assert!(up.is_some(), "Kamailio does not listen: {}", std::fs::read_to_string(folder.file("log")).unwrap_or_default());
    // Its children listen a moment after the first of them has bound.
    std::thread::sleep(Duration::from_millis(500));
    Some(drive(&folder, proxy.0.id(), listen, (free_address(CARRIER), destination), &injection(size.calls), size))
}

/// Ends with SIGTERM, so that Kamailio takes its children along.
struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// Our SIP core with the smallest switchboard.
pub fn core(size: Size) -> Hop {
    let folder = Folder::new();
    let destination = free_address(FIRST);
    let part = Part::start(&["--be-a-b2bua".to_owned(), destination.to_string()]);
    let listen: SocketAddr = part.1.parse().expect("its address");
    drive(&folder, part.0.id(), listen, (free_address(CARRIER), destination), &injection(size.calls), size)
}

/// Everybody is a trunk here.
struct Everybody(TrunkId);

impl SourcePolicy for Everybody {
    fn classify(&self, _source: SocketAddr) -> Source {
        Source::Trunk(self.0)
    }
}

/// The other process: passes each call on to the address it is told.
pub fn b2bua(arguments: &[String]) {
    let next: SocketAddr = arguments[0].parse().expect("an address");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (clock, random) = (Clock::system(), Random::system());
        let everybody = Everybody(TrunkId::new(&clock, &random));
        let config = Config { listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))], ..Config::default() };
        let (endpoint, mut incoming) = Endpoint::start(config, clock, random).await.expect("a port");
        endpoint.set_sources(Arc::new(everybody)).await;
        println!("{}", endpoint.local_addresses()[0]);
        while let Some(call) = incoming.recv().await {
            tokio::spawn(pass_on(endpoint.clone(), call, next));
        }
    });
}

async fn pass_on(endpoint: Endpoint, call: Incoming, next: SocketAddr) {
    let Incoming { leg: mut a, invite } = call;
    let out = OutgoingInvite {
        target: Target::Address(next),
        request_uri: invite.request_uri.clone(),
        from: invite.from.clone(),
        to: invite.to.clone(),
        headers: Vec::new(),
        body: invite.body,
        max_forwards: invite.max_forwards,
        sip_call_id: None,
    };
    let mut b = endpoint.invite(out).await;
    loop {
        tokio::select! {
            event = a.event() => match event {
                Some(LegEvent::Cancelled { reason } | LegEvent::HungUp { reason, .. }) => return b.hang_up(reason).await,
                None => return b.hang_up(None).await,
                Some(_) => {}
            },
            event = b.event() => match event {
                Some(LegEvent::Progress { status: 101.., body, .. }) => a.progress(180, body, Vec::new()).await,
                Some(LegEvent::Answered { body, .. }) => a.answer(body, Vec::new()).await,
                Some(LegEvent::Refused { status, phrase, .. }) => return a.refuse(status, phrase, Vec::new()).await,
                Some(LegEvent::HungUp { reason, .. }) => return a.hang_up(reason).await,
                None => return a.hang_up(None).await,
                Some(_) => {}
            },
        }
    }
}

//! What went over the wire is told of each call, both legs, without secrets, to the operator and to nobody else.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use callthrough::people::key::NewKey;
use callthrough::people::{Principal, Role, Who};
use callthrough::sip::{Body, InDialog, LegEvent};
use callthrough::trace::{Config, Keeping};
use callthrough::types::{CallId, Secret, TenantId};
use serde_json::Value;

use crate::support::door::{Answer, Door};
use crate::support::folder::Folder;
use crate::support::switchboard::{ALICE, PRAGUE, Plan, Switchboard};
use crate::support::until;

/// Longer than a call's last words take.
const LAST_WORDS: Duration = Duration::from_secs(6);

async fn traced(calls: Keeping) -> Switchboard {
    planned(Config { calls, ..Config::default() }).await
}

async fn planned(trace: Config) -> Switchboard {
    Switchboard::planned(Plan { trace, ..Plan::default() }).await
}

async fn door(board: &Switchboard) -> Door {
    Door::tracing(board.database.clone(), board.clock.clone(), board.calls.clone(), board.trace.clone()).await
}

/// `leg way first-line` of each message.
fn rungs(answer: &Answer) -> Vec<String> {
    let text = |message: &Value, name: &str| message[name].as_str().unwrap().to_owned();
    let messages = answer.body["messages"].as_array().unwrap_or_else(|| panic!("{}", answer.text));
    let rung = |message: &Value| {
        let first = text(message, "text").lines().next().unwrap().split('@').next().unwrap().to_owned();
        format!("{} {} {first}", text(message, "leg"), text(message, "way"))
    };
    messages.iter().map(rung).collect()
}

/// A call in which a key is pressed, to its end.
async fn a_call(board: &Switchboard) -> CallId {
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let mut a = alice.calls(PRAGUE).await;
    let mut b = north.gets_a_call().await;
    b.rings().await;
    b.answers().await;
    a.is_answered().await;
    let id = until("the call on the list", async || board.calls.list().into_iter().find(|call| call.answered.is_some())).await.id;
    let key = Body { content_type: Cow::Borrowed("application/dtmf-relay"), bytes: "Signal=7\r\nDuration=160\r\n".into() };
    a.asks(InDialog::Info, Some(key)).await;
    let request = loop {
        match b.hears().await {
            LegEvent::Acked { .. } => {}
            LegEvent::Request { id, .. } => break id,
            event => panic!("no key but {event:?}"),
        }
    };
    b.responds(request, 200, None).await;
    assert!(matches!(a.hears().await, LegEvent::Response { status: 200, .. }));
    let door = door(board).await;
    until("the message with the key", async || {
        let told = door.get(&format!("/calls/{id}/messages")).await;
        rungs(&told).iter().any(|rung| rung.starts_with("a received INFO")).then_some(())
    })
    .await;
    a.hangs_up().await;
    b.is_hung_up().await;
    board.record().await;
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_legs_are_told_while_the_call_is_up_and_from_the_books_later() {
    let mut board = traced(Keeping::Books).await;
    let id = a_call(&board).await;
    let path = format!("/calls/{id}/messages");
    let at_once = door(&board).await;
    // The last answers may still be on their way.
    let first = until("the last words", async || {
        let told = at_once.get(&path).await;
        let all = rungs(&told);
        (all.iter().filter(|rung| rung.ends_with("SIP/2.0 200 OK")).count() == 6).then_some(told)
    })
    .await;
    let all = rungs(&first);
    assert_eq!(all[0], "a received INVITE sip:+15551230000");
    for rung in [
        "a sent SIP/2.0 100 Trying",
        "b sent INVITE sip:+420601123456",
        "b received SIP/2.0 180 Ringing",
        "a sent SIP/2.0 180 Ringing",
        "a received ACK",
        "b sent ACK",
        "b sent INFO",
        "a received BYE",
        "b sent BYE",
    ] {
        assert!(all.iter().any(|one| one.starts_with(rung)), "{rung}: {all:#?}");
    }
    let whole = first.text.clone();
    assert!(whole.contains("Signal=x") && !whole.contains("Signal=7"), "the key that was pressed is nowhere: {whole}");
    assert_eq!(first.body["left_out"], 0);

    board.clock.advance(LAST_WORDS);
    until("the row", async || {
        let count: i64 =
            sqlx::query_scalar("select count(*) from call_message").fetch_one(&mut *board.database.read().await.unwrap()).await.unwrap();
        (count == 1).then_some(())
    })
    .await;
    board.is_killed_and_starts_again().await;
    let later = door(&board).await.get(&path).await;
    assert_eq!(rungs(&later)[..all.len()], all[..], "the same by the books");

    board.clock.advance(Duration::from_secs(1));
    let before = board.clock.timestamp();
    let forgotten = board.database.write(move |tx| Box::pin(callthrough::trace::forget(tx, before))).await.unwrap();
    assert_eq!(forgotten, 1);
    let gone = door(&board).await.get(&path).await;
    assert!(gone.status == 404 && gone.text.contains("trace.kept_days"), "{}", gone.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_operator_sees_them_and_in_the_right_tenant() {
    let board = traced(Keeping::Memory).await;
    let id = a_call(&board).await;
    let path = format!("/calls/{id}/messages");
    let door = door(&board).await;
    assert_eq!(door.get(&path).await.status, 200);
    let made = door.post("/tenants", &serde_json::json!({ "slug": "other", "name": "Other", "home_country": "CZ" })).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let other = made.body["id"].as_str().unwrap().to_owned();
    assert_eq!(door.send("GET", &path, &[("callthrough-tenant", &other)], None).await.status, 404, "the call is another tenant's");
    for (tenant, scopes, status) in
        [(Some(TenantId::MAIN), Role::Owner.scopes(), 403), (None, Role::Owner.scopes(), 200), (None, BTreeSet::default(), 403)]
    {
        let (clock, random) = (board.clock.clone(), door.state.random.clone());
        let made = board.database.write(move |tx| {
            Box::pin(async move {
                let by = Principal { who: Who::Server, name: "somebody".to_owned(), tenant: None, scopes: Role::Owner.scopes() };
                callthrough::people::key::make(
                    tx,
                    &by,
                    NewKey { tenant, name: "test".to_owned(), scopes, expires_at: None },
                    &clock,
                    &random,
                )
                .await
            })
        });
        let key = made.await.unwrap().1;
        let told = door.as_key(key.expose()).send("GET", &path, &[], None).await;
        assert_eq!(told.status, status, "{tenant:?}: {}", told.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_kept_unless_the_operator_wants_it() {
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let mut a = alice.calls(PRAGUE).await;
    north.gets_a_call().await.refuses(486).await;
    a.is_refused().await;
    let record = board.record().await;
    let told = door(&board).await.get(&format!("/calls/{}/messages", record.call)).await;
    assert!(told.status == 404 && told.text.contains("Set trace.calls"), "{}", told.text);
    assert!(!board.trace.is_on());
}

/// The chunks of a HEP3 packet by their kind.
fn chunks(packet: &[u8]) -> BTreeMap<u16, Vec<u8>> {
    let word = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    assert_eq!((&packet[..4], usize::from(word(4))), (&b"HEP3"[..], packet.len()));
    let (mut at, mut found) = (6, BTreeMap::new());
    while at < packet.len() {
        let length = usize::from(word(at + 4));
        assert_eq!(word(at), 0, "a chunk that every reader knows");
        assert!(found.insert(word(at + 2), packet[at + 6..at + length].to_vec()).is_none());
        at += length;
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn homer_gets_every_message_and_finds_both_legs() {
    /// What a BYE's answer may take to come.
    const PATIENCE: Duration = Duration::from_secs(20);
    let homer = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let hep = Some(homer.local_addr().unwrap().to_string());
    let board =
        planned(Config { calls: Keeping::Memory, hep, hep_id: 77, hep_password: Secret::new("letmein"), ..Config::default() }).await;
    a_call(&board).await;
    let (mut calls, mut byes) = (BTreeMap::new(), 0);
    let mut bytes = vec![0; 65_535];
    while byes < 2 {
        let (length, _) = tokio::time::timeout(PATIENCE, homer.recv_from(&mut bytes)).await.expect("a message comes").unwrap();
        let chunks = chunks(&bytes[..length]);
        let text = String::from_utf8(chunks[&15].clone()).unwrap();
        assert!(!text.contains("Signal=7"), "{text}");
        assert_eq!((&chunks[&1][..], &chunks[&2][..], &chunks[&11][..]), (&[2_u8][..], &[17_u8][..], &[1_u8][..]));
        assert_eq!((&chunks[&12][..], &chunks[&14][..]), (&77_u32.to_be_bytes()[..], &b"letmein"[..]));
        let ends = [(3, 7), (4, 8)].map(|(address, port)| {
            let octets: [u8; 4] = chunks[&address][..].try_into().unwrap();
            SocketAddr::from((octets, u16::from_be_bytes(chunks[&port][..].try_into().unwrap())))
        });
        assert!(ends.contains(&board.sip), "{ends:?}");
        if text.starts_with("INVITE") {
            let is_ours = ends[0] == board.sip;
            calls.insert(if is_ours { "b" } else { "a" }, chunks[&17].clone());
        }
        byes += usize::from(text.starts_with("SIP/2.0 200") && text.contains(" BYE\r\n"));
    }
    assert_eq!(calls.len(), 2);
    assert_eq!(calls["a"], calls["b"], "one correlation id");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_messages_are_a_capture_file_too() {
    let board = traced(Keeping::Memory).await;
    let id = a_call(&board).await;
    let door = door(&board).await;
    let path = format!("/calls/{id}/messages");
    let told = door.get(&path).await;
    let request = door.client.get(format!("http://{}/api/v1{path}", door.address)).bearer_auth(door.key.expose());
    for request in [request.try_clone().unwrap().query(&[("format", "pcap")]), request.header("accept", "application/vnd.tcpdump.pcap")] {
        let answer = request.send().await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.headers()["content-type"]), (200, &"application/vnd.tcpdump.pcap".parse().unwrap()));
        let file = answer.bytes().await.unwrap();
        let (mut at, mut texts) = (24, Vec::new());
        while at < file.len() {
            let length = usize::try_from(u32::from_le_bytes(file[at + 8..at + 12].try_into().unwrap())).unwrap();
            // IPv4 and UDP without options.
            texts.push(String::from_utf8(file[at + 16 + 28..at + 16 + length].to_vec()).unwrap());
            at += 16 + length;
        }
        let all: Vec<_> = told.body["messages"].as_array().unwrap().iter().map(|message| message["text"].as_str().unwrap()).collect();
        assert!(texts.len() >= all.len() && texts[..all.len()] == all[..], "the same messages");
    }
    assert_eq!(door.get(&format!("{path}?format=csv")).await.status, 400);
}

/// The program, looking at these doors.
fn program(door: &Door, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_callthrough"));
    command.args(["sip", "trace", "--server", &format!("http://{}", door.address)]).args(words);
    command.env("CALLTHROUGH_KEY", door.key.expose());
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_command_line_follows_a_call_and_tells_it_later() {
    let board = traced(Keeping::Memory).await;
    let door = door(&board).await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let mut child = program(&door, &["--number", PRAGUE]).stdout(Stdio::piped()).spawn().unwrap();
    let (lines, mut printed) = tokio::sync::mpsc::unbounded_channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let reading = std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
    let mut a = alice.calls(PRAGUE).await;
    let mut b = north.gets_a_call().await;
    b.answers().await;
    a.is_answered().await;
    let id = until("the call on the list", async || board.calls.list().into_iter().find(|call| call.answered.is_some())).await.id;
    for (wanted, then) in [
        ("A --> |        INVITE sip:+15551230000@", false),
        ("      | --> B  INVITE sip:+420601123456@", true),
        ("      | --> B  BYE", false),
    ] {
        loop {
            let line = tokio::time::timeout(Duration::from_secs(30), printed.recv())
                .await
                .expect("it is printed in time")
                .expect("the program runs");
            if line.contains(wanted) {
                break;
            }
        }
        if then {
            a.hangs_up().await;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // It ends with the program.
    let _ = reading.join().unwrap();
    b.is_hung_up().await;

    let file = Folder::new();
    let (id, capture) = (id.to_string(), file.file("call.pcap"));
    for words in [
        vec!["--call", &id, "--text"],
        vec!["--call", &id, "--pcap", capture.to_str().unwrap()],
        vec!["--call", "call_01jb3k5m7n9p0q1r2s3t4v5w6y"],
    ] {
        let mut command = program(&door, &words);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        match words.len() {
            3 => assert!(said.contains("BYE sip:") && said.contains("\nCall-ID: "), "{said}{complaint}"),
            4 => assert_eq!(std::fs::read(&capture).unwrap()[..4], [0xd4, 0xc3, 0xb2, 0xa1], "{complaint}"),
            _ => assert!(output.status.code() == Some(1) && complaint.contains("There is no such call"), "{complaint}"),
        }
    }
}

//! The bounds of the web doors, seen on raw sockets: heads, bodies, slow clients, panics, TLS, and the farewell.

use std::sync::Arc;
use std::time::Duration;

use axum::routing::get;
use callthrough::http::{Bounds, Certificates, Peer};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto, version};
use tokio_util::sync::CancellationToken;

use crate::support::door::{Answer, Door};
use crate::support::folder::Folder;

/// Sends bytes and reads the answer to the end of the connection.
async fn speak(mut stream: impl AsyncRead + AsyncWrite + Unpin, said: &[u8]) -> String {
    let mut heard = Vec::new();
    let exchange = async {
        stream.write_all(said).await?;
        stream.read_to_end(&mut heard).await
    };
    let _ = tokio::time::timeout(Duration::from_secs(30), exchange).await.expect("the server ends the connection");
    String::from_utf8_lossy(&heard).into_owned()
}

async fn raw(door: &Door, said: &[u8]) -> String {
    speak(TcpStream::connect(door.address).await.unwrap(), said).await
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[tokio::test]
async fn every_answer_carries_the_headers_that_protect() {
    let door = Door::open().await;
    for path in ["/", "/api/v1/trunks"] {
        let answer = Answer::of(door.client.get(format!("http://{}{path}", door.address))).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"));
        assert_eq!(answer.header("strict-transport-security"), "", "only where there is TLS");
        assert_eq!((answer.header("server"), answer.header("set-cookie"), answer.header("content-encoding")), ("", "", ""));
    }
}

#[tokio::test]
async fn heads_are_bounded_and_unambiguous() {
    let door = Door::open().await;
    let get = |rest: &str| format!("GET / HTTP/1.1\r\nHost: example.com\r\n{rest}Connection: close\r\n\r\n");
    for (said, expected) in [
        (get(""), "404"),
        (format!("GET /{} HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n", "x".repeat(9000)), "414"),
        (get(&format!("X-Long: {}\r\n", "x".repeat(17_000))), "431"),
        (get(&"X-Many: x\r\n".repeat(120)), "431"),
        (get(&format!("X-Huge: {}\r\n", "x".repeat(1_000_000))), "431"),
        (get("Host: example.org\r\n"), "400"),
        (get("Content-Length: 5\r\nContent-Length: 6\r\n"), "400"),
        (get("X-Broken\r\n"), "400"),
        ("GET / HTTP/1.1\r\n folded\r\n\r\n".to_owned(), "400"),
        ("nonsense\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), "404"),
    ] {
        let heard = raw(&door, said.as_bytes()).await;
        assert_eq!(status(&heard), expected, "{:?}: {heard}", &said[..said.len().min(80)]);
    }
}

#[tokio::test]
async fn a_request_cannot_be_smuggled_behind_two_lengths() {
    let door = Door::open().await;
    let said = "POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n";
    let heard = raw(&door, said.as_bytes()).await;
    // Read by the chunks alone (RFC 9112 §6.3), the second request is a request of its own or never seen; it is never a body.
    assert!(heard.matches("HTTP/1.1 ").count() <= 2 && status(&heard).starts_with('4'), "{heard}");
}

#[tokio::test]
async fn bodies_are_bounded() {
    let door = Door::open().await;
    let send = async |length: usize| {
        let body = format!("{{\"name\":\"{}\"}}", "x".repeat(length));
        let request = door.client.post(format!("http://{}/api/v1/trunks", door.address)).bearer_auth(door.key.expose());
        Answer::of(request.header("content-type", "application/json").body(body)).await
    };
    assert_eq!(send(1000).await.status, 400, "a name that long");
    let answer = send(17_000).await;
    assert_eq!((answer.status, answer.code()), (413, "body_too_large"));
}

#[tokio::test]
async fn slow_clients_are_dropped() {
    let brief = Duration::from_millis(300);
    let door = Door::with(Bounds { head: brief, body: brief, ..Bounds::default() }, |router| router).await;
    for said in ["", "P", "PR", "GET / HTTP/1.1\r\nHost: exam"] {
        let heard = raw(&door, said.as_bytes()).await;
        assert!(heard.is_empty() || status(&heard) == "408", "{said:?}: {heard}");
    }
    let key = door.key.expose();
    let said = format!(
        "POST /api/v1/decks HTTP/1.1\r\nHost: example.com\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
    );
    let heard = raw(&door, said.as_bytes()).await;
    assert_eq!(status(&heard), "408", "{heard}");
    // A connection that is kept open but not used gives its place back.
    let heard = raw(&door, b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n").await;
    assert_eq!(status(&heard), "404", "{heard}");
}

#[tokio::test]
async fn a_panic_is_answered_and_the_door_stays_open() {
    let broken = get(async || -> &'static str { panic!("on purpose") });
    let door = Door::with(Bounds::default(), |router| router.route("/broken", broken)).await;
    for _ in 0..3 {
        let answer = Answer::of(door.client.get(format!("http://{}/broken", door.address))).await;
        assert_eq!((answer.status, answer.code()), (500, "internal_error"));
        assert!(!answer.text.contains("purpose") && answer.header("x-content-type-options") == "nosniff");
    }
    assert_eq!(door.get("/trunks").await.status, 200);
}

#[tokio::test]
async fn http_2_is_spoken_with_prior_knowledge() {
    let door = Door::open().await;
    let mut stream = TcpStream::connect(door.address).await.unwrap();
    // RFC 9113 §3.4, §4.1: the preface, empty SETTINGS, HEADERS of stream 1 with END_STREAM and END_HEADERS.
    let head = b"\x82\x86\x84\x41\x0bexample.com";
    let mut said = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    said.extend([0, 0, u8::try_from(head.len()).unwrap(), 1, 5, 0, 0, 0, 1]);
    said.extend(head);
    stream.write_all(&said).await.unwrap();
    let first = loop {
        let mut frame = [0; 9];
        stream.read_exact(&mut frame).await.unwrap();
        let mut payload = vec![0; usize::from(frame[1]) << 8 | usize::from(frame[2])];
        stream.read_exact(&mut payload).await.unwrap();
        if frame[3] == 1 {
            break payload[0];
        }
    };
    assert_eq!(first, 0x8d, "RFC 7541 appendix A: `:status 404` is entry 13 of the static table");
}

/// A certificate of example.com in two files, and what trusts it.
fn certificate(folder: &Folder) -> RootCertStore {
    let made = rcgen::generate_simple_self_signed(vec!["example.com".to_owned()]).unwrap();
    std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    restrict(&folder.path().join("key.pem"), 0o600);
    std::fs::write(folder.path().join("chain.pem"), made.cert.pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    roots
}

fn restrict(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn connector(roots: RootCertStore, alpn: &[&[u8]]) -> TlsConnector {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&version::TLS13, &version::TLS12]).unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn tls_comes_from_files_and_follows_them() {
    let folder = Folder::new();
    let first = certificate(&folder);
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    let certificates = Certificates::load(&chain, &key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let router = axum::Router::new().route("/", get(async |peer: axum::Extension<Peer>| peer.tls.to_string()));
    tokio::spawn(callthrough::http::serve(listener, Some(certificates.clone()), router, Bounds::default(), stop.clone()));
    let hello = async |roots: &RootCertStore, alpn: &[&[u8]]| {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("example.com").unwrap();
        let stream = connector(roots.clone(), alpn).connect(name, stream).await?;
        let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        let heard = if agreed.as_deref() == Some(b"h2") {
            String::new()
        } else {
            speak(stream, b"GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n").await
        };
        Ok::<_, std::io::Error>((agreed, heard))
    };

    let (agreed, heard) = hello(&first, &[b"http/1.1"]).await.unwrap();
    assert_eq!(agreed.as_deref(), Some(b"http/1.1".as_slice()));
    assert!(heard.ends_with("true") && heard.to_lowercase().contains("strict-transport-security: max-age="), "{heard}");
    assert_eq!(hello(&first, &[b"h2", b"http/1.1"]).await.unwrap().0.as_deref(), Some(b"h2".as_slice()));
    assert_eq!(hello(&first, &[]).await.unwrap().0, None, "old clients name no protocol");

    // A broken file keeps the old certificate; a new pair takes its place.
    assert!(!certificates.refresh().unwrap());
    std::fs::write(&chain, "not a certificate").unwrap();
    assert!(certificates.refresh().unwrap_err().to_string().contains("chain.pem"));
    assert!(hello(&first, &[b"http/1.1"]).await.is_ok());
    let second = certificate(&folder);
    assert!(certificates.refresh().unwrap());
    assert!(hello(&second, &[b"http/1.1"]).await.is_ok());
    assert!(hello(&first, &[b"http/1.1"]).await.is_err());
    stop.cancel();
}

#[test]
fn certificates_that_cannot_be_used_are_named_with_their_file() {
    let folder = Folder::new();
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    let told = || Certificates::load(&chain, &key).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(told().contains("key.pem"));
    certificate(&folder);
    assert_eq!(told(), "");
    restrict(&key, 0o644);
    assert!(told().contains("chmod o-r"));
    restrict(&key, 0o600);
    let own = std::fs::read(&key).unwrap();
    certificate(&folder);
    std::fs::write(&key, own).unwrap();
    assert!(told().contains("the certificate's own key"), "{}", told());
    std::fs::write(&chain, "").unwrap();
    assert!(told().contains("chain.pem"), "{}", told());
}

#[tokio::test]
async fn a_request_that_is_being_answered_gets_its_answer_when_the_server_stops() {
    let (begun, finish) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
    let (began, finished) = (begun.clone(), finish.clone());
    let slow = get(async move || {
        began.notify_one();
        finished.notified().await;
        "done"
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let router = axum::Router::new().route("/slow", slow);
    let serving = tokio::spawn(callthrough::http::serve(listener, None, router, Bounds::default(), stop.clone()));
    let idle = TcpStream::connect(address).await.unwrap();
    let asking =
        tokio::spawn(
            async move { speak(TcpStream::connect(address).await.unwrap(), b"GET /slow HTTP/1.1\r\nHost: example.com\r\n\r\n").await },
        );
    begun.notified().await;
    stop.cancel();
    finish.notify_one();
    let heard = asking.await.unwrap();
    assert!(heard.ends_with("done"), "{heard}");
    drop(idle);
    tokio::time::timeout(Duration::from_secs(10), serving).await.expect("the server stops").unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn more_connections_than_allowed_wait_for_a_place() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let router = axum::Router::new().route("/", get(async || "here"));
    tokio::spawn(callthrough::http::serve(listener, None, router, Bounds { connections: 1, ..Bounds::default() }, stop.clone()));
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n").await.unwrap();
    let mut heard = [0; 12];
    first.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"HTTP/1.1 200");
    let second = tokio::spawn(async move {
        speak(TcpStream::connect(address).await.unwrap(), b"GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n").await
    });
    // The first keeps its place until it goes.
    assert!(
        tokio::time::timeout(Duration::from_millis(100), async {
            while !second.is_finished() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .is_err()
    );
    drop(first);
    assert!(second.await.unwrap().ends_with("here"));
    stop.cancel();
}

//! The request over HTTP: ours, and a bare axum handler that answers the same bytes and does nothing.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::header;
use axum::routing::post;
use callthrough::types::Clock;
use tokio::task::JoinSet;

use crate::support::eventually;
use crate::support::traffic::{Phones, usage};
use crate::support::world::World;

/// Requests under way at once, each on a connection kept alive.
const AT_ONCE: u32 = 16;
const ANSWER: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<response><dialString>+15551230000</dialString></response>";

/// What requests of one kind needed.
pub struct Measured {
    pub cpu_millis: f64,
    pub per_second: f64,
    pub p50: Duration,
    pub p99: Duration,
}

/// The other process: axum, one handler, the same form read.
pub fn bare_handler() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("{}", listener.local_addr().expect("bound"));
        let answer = || post(|_: String| async { ([(header::CONTENT_TYPE, "application/xml")], ANSWER) });
        let _ = axum::serve(listener, Router::new().route("/callthrough", answer())).await;
    });
}

/// A process of this program in another part, ended with the guard; and the first line it printed.
pub struct Part(pub Child, pub String);

impl Part {
    pub fn start(arguments: &[String]) -> Self {
        let program = std::env::current_exe().expect("this program has a name");
        let mut child =
            Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it can be started");
        let output = child.stdout.take().expect("its output is ours");
        let mut line = String::new();
        let _ = std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line);
        Self(child, line.trim().to_owned())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The bare handler.
pub fn bare(requests: u32) -> Measured {
    let part = Part::start(&["--be-a-bare-handler".to_owned()]);
    let url = format!("http://{}/callthrough", part.1);
    let up = eventually(Duration::from_secs(10), || std::net::TcpStream::connect(&part.1).ok());
    assert!(up.is_some(), "the bare handler does not listen at {}", part.1);
    let form = |n: u32| vec![("username".to_owned(), format!("user{n}")), ("targetNumber".to_owned(), "+15551231234".to_owned())];
    drive(part.0.id(), url, requests, form)
}

/// Ours: each request signs in by token and leaves a durable reservation.
pub fn ours(world: &World, phones: &Phones, requests: u32) -> Measured {
    let url = format!("http://{}/callthrough", world.server.http);
    let phones = phones.clone();
    drive(world.server.pid(), url, requests, move |n| {
        let (phone, destination) = phones.call(n);
        vec![
            ("username".to_owned(), phone.user.clone()),
            ("password".to_owned(), phone.token.clone()),
            ("targetNumber".to_owned(), destination),
        ]
    })
}

fn drive(pid: u32, url: String, requests: u32, form: impl Fn(u32) -> Vec<(String, String)> + Send + Sync + 'static) -> Measured {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (clock, form, next) = (Clock::system(), Arc::new(form), Arc::new(AtomicU32::new(0)));
    let before = usage(pid);
    let began = clock.now();
    let mut took = runtime.block_on(async {
        let mut workers = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (url, form, next, clock) = (url.clone(), form.clone(), next.clone(), clock.clone());
            workers.spawn(async move {
                let client = reqwest::Client::builder().no_proxy().build().expect("a client");
                let mut took = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= requests {
                        return took;
                    }
                    let sent = clock.now();
                    let answer = client.post(&url).form(&form(n)).send().await.expect("an answer");
                    let status = answer.status();
                    let text = answer.text().await.expect("an answer");
                    assert!(status.is_success() && text.contains("<dialString>"), "{status} {text}");
                    took.push(clock.now().since(sent));
                }
            });
        }
        workers.join_all().await.concat()
    });
    let all = clock.now().since(began);
    let after = usage(pid);
    took.sort_unstable();
    let at = |thousandths: usize| took[(took.len() * thousandths / 1000).min(took.len() - 1)];
    Measured {
        cpu_millis: crate::millis(before, after) / f64::from(requests),
        per_second: f64::from(requests) / all.as_secs_f64(),
        p50: at(500),
        p99: at(990),
    }
}
